"""Weights & Biases for both tracks: one project, one group, the same keys and axes.

W&B receives a copy; `history.jsonl` is the source of truth.  Training steps neither wait for W&B
nor fail because of it: a thread makes all calls.  If one of them fails, the error is printed on one
line, and at the end of training everything is logged once more, offline, for `wandb sync`.  Only
`finish`, which uploads the model, waits, for a limited time.
"""

from __future__ import annotations

import netrc
import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from urllib.parse import urlsplit

from tqdm.auto import tqdm

from compare import reachability
from compare.cli import StudyOptions
from compare.kinds import TrackingMode
from compare.ruler.sampling import Sample
from compare.runs.history import HistoryLine, to_json
from compare.runs.record import RunRecord, TrackingRecord

SAMPLE_COLUMNS = ["epoch", "prompt", "text", "seed"]

# Limits in seconds, for a server that hangs.  W&B's client retries uploads for days.  In training
# this delays nothing, but by default it does the same before it lets the process end.
INIT_SECONDS = 20.0  # WANDB_INIT_TIMEOUT changes it
FINISH_SECONDS = 30.0  # WANDB_FINISH_TIMEOUT changes it
FLUSH_SECONDS = 10.0
SIGNAL_SECONDS = 0.5  # how soon a wait ends after Ctrl-C
CALL_SECONDS = 300.0  # how long `finish` waits for earlier calls: only if the client hangs
UPLOAD_BYTES_PER_SECOND = 1e6  # a slow connection: sets how long the upload may take

# Other names of modes that W&B accepts.
OTHER_NAMES = {"run": TrackingMode.ONLINE, "dryrun": TrackingMode.OFFLINE}


class NoTracker:
    """A tracker that does nothing, for a run that this process does not track."""

    def log(self, line: HistoryLine) -> None:
        """Do nothing."""

    def log_samples(self, samples: list[Sample]) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""

    def finish(self, model: Path, history: list[HistoryLine], samples: list[Sample]) -> None:
        """Do nothing."""


class Tracker:
    """The W&B run of a run directory.

    Its mode, id and address are stored in `record`, which `save` writes to disk.  A run that is
    resumed is logged from its beginning (`history`, `samples`) under the same id, which replaces
    what W&B had: no row is missing or doubled, whatever the interruption cost.
    """

    def __init__(
        self,
        path: Path,
        record: RunRecord,
        save: Callable[[], None],
        options: StudyOptions,
        history: list[HistoryLine],
        samples: list[Sample],
    ) -> None:
        chosen = options.tracking
        self.mode = _choose_mode() if chosen == "auto" else TrackingMode(chosen)
        self._path, self._record = path, record
        self._client: _Client | None = None
        self._failed = False
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        earlier_id = record.tracking.id if record.tracking else None
        self._tracking_record = TrackingRecord(project=options.project, mode=self.mode)
        record.tracking = self._tracking_record
        if self.mode is not TrackingMode.DISABLED:
            self._tracking_record.id = earlier_id or secrets.token_hex(4)
            earlier = list(history)
            self._queue(lambda: self._start(earlier, samples))
            threading.Thread(target=self._make_calls, name="W&B", daemon=True).start()
        save()

    def log(self, line: HistoryLine) -> None:
        """Log a line of the history."""
        self._queue(lambda: self._use_client(lambda client: client.log(line)))

    def log_samples(self, samples: list[Sample]) -> None:
        """Log a table of samples."""
        self._queue(lambda: self._use_client(lambda client: client.log_samples(samples)))

    def flush(self) -> None:
        """Wait until W&B's client has what was logged so far, but only for a short time."""
        self._wait(FLUSH_SECONDS)

    def finish(self, model: Path, history: list[HistoryLine], samples: list[Sample]) -> None:
        """Log the summary, and the directory `model` as an artifact; then end the W&B run.

        If W&B has not received everything, `history`, `samples` and `model` are logged offline.
        """
        size = sum(file.stat().st_size for file in model.iterdir())
        finish_seconds = _limit("finish_timeout", FINISH_SECONDS)
        upload_seconds = finish_seconds + size / UPLOAD_BYTES_PER_SECOND
        self._queue(lambda: self._finish(model, history, samples, upload_seconds))
        limit = CALL_SECONDS + upload_seconds + finish_seconds
        try:
            is_finished = self._wait(limit)
        except KeyboardInterrupt:
            if self.mode is TrackingMode.ONLINE:
                print(
                    f"stopping W&B, within {finish_seconds:.0f} seconds; press Ctrl-C again to "
                    "stop immediately",
                    file=sys.stderr,
                )
            # The thread's calls fail when the process ends.  It must neither report that, nor log
            # the run once more.
            self.mode, self._failed = TrackingMode.DISABLED, True
            raise
        if not is_finished:
            self.mode, self._failed = TrackingMode.DISABLED, False
            self._report(TimeoutError(f"its client is busy after {limit:.0f} seconds"))
        if self._failed:
            self._tracking_record.mode, self._tracking_record.where = TrackingMode.DISABLED, None

    def _queue(self, call: Callable[[], None]) -> None:
        """Let the thread make a call, after those before it, unless tracking is disabled."""
        if self.mode is not TrackingMode.DISABLED:
            self._calls.put(call)

    def _wait(self, seconds: float) -> bool:
        """Return whether all calls so far have been made within `seconds`."""
        made = threading.Event()
        self._queue(made.set)
        if self.mode is TrackingMode.DISABLED:
            return True
        end = time.monotonic() + seconds
        # A signal such as Ctrl-C may reach another thread, for instance while W&B's client starts
        # one.  It then does not end a wait of this thread, and takes effect only after it.
        while not made.wait(min(SIGNAL_SECONDS, max(0, end - time.monotonic()))):
            if time.monotonic() >= end:
                return False
        return True

    # The thread runs what follows.

    def _make_calls(self) -> None:
        while True:
            call = self._calls.get()
            try:
                call()
            except Exception as error:  # of any type: W&B only has a copy, so training must go on
                self._report(error)

    def _use_client(self, call: Callable[[_Client], None]) -> None:
        """Make a call, unless an earlier one failed: the rest would be incomplete anyway."""
        if self._client and not self._failed:
            call(self._client)

    def _start(self, history: list[HistoryLine], samples: list[Sample]) -> None:
        """Start the W&B run in the current mode, log what there is, and print its address."""
        self._client = _Client(self.mode, self._path, self._record, self._report)
        self._tracking_record.mode, self._tracking_record.where = self.mode, self._client.where
        what = (
            "offline; to upload: wandb sync" if self.mode is TrackingMode.OFFLINE else "online at"
        )
        tqdm.write(f"W&B: {what} {self._client.where}")
        for line in history:
            self._client.log(line)
        if samples:
            self._client.log_samples(samples)

    def _finish(
        self, model: Path, history: list[HistoryLine], samples: list[Sample], upload_seconds: float
    ) -> None:
        try:
            self._use_client(lambda client: client.send_model(model, upload_seconds))
        except Exception as error:
            self._report(error)
        try:
            if self._client:
                self._client.finish()
        except Exception as error:
            self._report(error)
        if self._failed and self.mode is TrackingMode.ONLINE:
            self.mode, self._failed = TrackingMode.OFFLINE, False
            _Client.tear_down()
            self._start(history, samples)
            self._use_client(lambda client: client.send_model(model, upload_seconds))
            self._use_client(lambda client: client.finish())
        self._use_client(self._remove_earlier_copies)

    def _remove_earlier_copies(self, client: _Client) -> None:
        """Remove what was logged offline before the run was resumed.

        `client` has logged all of it again.  `wandb sync` would replace that by the earlier part.
        """
        for folder in self._path.glob("wandb/offline-run-*"):
            if folder.resolve() != client.folder.resolve():
                shutil.rmtree(folder, ignore_errors=True)

    def _report(self, error: Exception) -> None:
        """Print the first error, and note that W&B's copy is incomplete."""
        if self._failed:
            return
        self._failed = True
        reason = " ".join(str(error).split())[:200]
        rest = "the run continues untracked, and history.jsonl has all values"
        if self.mode is TrackingMode.ONLINE:
            rest = "the run continues, and at its end everything is logged offline"
        print(f"WARNING: W&B failed ({type(error).__name__}: {reason}); {rest}", file=sys.stderr)


class _Client:
    """W&B's client, for one run.  Each call may take as long as W&B's limits, and raise anything.

    What the client reports later about an upload that failed is passed to `report`.
    """

    def __init__(
        self, mode: TrackingMode, path: Path, record: RunRecord, report: Callable[[Exception], None]
    ) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        assert record.tracking, "set by the tracker"
        silent = wandb.Settings(silent=True)
        wandb.setup(silent)
        wandb.termsetup(silent, _Messages(report))
        self._is_online, self._record = mode is TrackingMode.ONLINE, record
        self._run = wandb.init(
            project=record.tracking.project,
            mode=mode.value,
            dir=path,
            group=record.corpus.name,
            job_type=str(record.track),
            name=f"{record.track}/{path.name}",
            config=record.config | {"corpus_sha256": record.corpus.sha256},
            id=record.tracking.id,  # without `resume`, which would append to what W&B has
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=_limit("init_timeout", INIT_SECONDS),
                finish_timeout=_limit("finish_timeout", FINISH_SECONDS),
                finish_timeout_raises=True,
                x_transaction_log_flush_interval=0.5,  # seconds that a kill loses; default: 15
            ),
        )
        # The x-axis is the amount of text read, so that the curves of both tracks are comparable.
        self._run.define_metric("epoch")
        self._run.define_metric("characters_seen")
        for keys in ("train/*", "eval/*", "throughput/*"):
            self._run.define_metric(keys, step_metric="characters_seen")

    @property
    def where(self) -> str:
        """The URL of the run, or the directory to upload."""
        if self._is_online and self._run.url:
            return self._run.url
        return os.path.relpath(self.folder)

    @property
    def folder(self) -> Path:
        """W&B's directory of the run."""
        return Path(self._run.dir).parent

    def log(self, line: HistoryLine) -> None:
        """Log a line of the history."""
        self._run.log(to_json(line))

    def log_samples(self, samples: list[Sample]) -> None:
        """Log a table of samples."""
        import wandb

        rows = [[getattr(sample, column) for column in SAMPLE_COLUMNS] for sample in samples]
        self._run.log({"samples": wandb.Table(columns=[*SAMPLE_COLUMNS], data=rows)})

    def send_model(self, model: Path, seconds: float) -> None:
        """Log the summary, and the directory `model` as an artifact; wait until it is uploaded."""
        import wandb

        scores = [epoch.eval.bits_per_byte for epoch in self._record.epochs]
        self._run.summary["best/bits_per_byte"] = min(scores)
        self._run.summary["final/bits_per_byte"] = scores[-1]
        artifact = wandb.Artifact(f"{self._record.track}-model", type="model")
        # By default, W&B copies the files into the user's home first, and leaves the copies of an
        # offline run there.  That is not necessary: `model` is not changed any more.  The path is
        # absolute because `wandb sync` may be started in another directory.
        artifact.add_dir(str(model.resolve()), policy="immutable", skip_cache=True)
        logged = self._run.log_artifact(artifact)
        if self._is_online:
            logged.wait(timeout=int(seconds))

    def finish(self) -> None:
        """End the run, once everything has been uploaded."""
        self._run.finish()

    @staticmethod
    def tear_down() -> None:
        """End W&B's service: as long as it runs, the id of a run that did not start is taken."""
        import wandb

        wandb.teardown()


class _Messages:
    """What W&B's client would print.  Only the news that an upload failed matters here."""

    def __init__(self, report: Callable[[Exception], None]) -> None:
        self._report = report

    def info(self, message: str) -> None:
        """Ignore progress, and each of the client's retries."""

    def warning(self, message: str) -> None:
        """Report a message that advises to upload the rest with `wandb sync`."""
        if "wandb sync" in message:
            self._report(ConnectionError(message.split("WARNING ")[-1]))

    error = warning


def _limit(setting: str, default: float) -> float:
    """Return a time limit: what the user chose with W&B's own variable, else `default` seconds."""
    try:
        return float(os.environ[f"WANDB_{setting.upper()}"])
    except (KeyError, ValueError):
        return default


def _choose_mode() -> TrackingMode:
    """Return the mode for `--tracking auto`: what the user has chosen, else online if possible.

    Users choose with WANDB_MODE, or with commands such as `wandb offline`.
    """
    chosen = _mode_called(os.environ.get("WANDB_MODE"))
    if chosen:
        return chosen
    stored = _stored_settings()
    stored_mode = _mode_called(stored.get("mode"))
    if stored_mode in (TrackingMode.OFFLINE, TrackingMode.DISABLED):
        return stored_mode
    default = stored.get("base_url", "https://api.wandb.ai")
    server = os.environ.get("WANDB_BASE_URL", default)
    has_key = bool(os.environ.get("WANDB_API_KEY") or stored.get("api_key"))
    logged_in = has_key or _has_netrc_key(server)
    can_log_in = logged_in and reachability.reachable(server)
    return TrackingMode.ONLINE if can_log_in else TrackingMode.OFFLINE


def _mode_called(name: str | None) -> TrackingMode | None:
    """Return the mode that W&B calls `name`, or None if there is none."""
    return next((mode for mode in TrackingMode if mode == name), OTHER_NAMES.get(name or ""))


def _stored_settings() -> dict[str, str]:
    """Return what commands such as `wandb offline` and `wandb login --host` have stored.

    Returns nothing if it cannot be read, since tracking never stops a run.
    """
    try:
        import wandb

        folder = Path(os.environ.get("WANDB_CONFIG_DIR", "~/.config/wandb")).expanduser()
        return wandb.Settings(settings_system=str(folder / "settings")).read_system_settings().all()
    except Exception:  # the client raises many types
        return {}


def _has_netrc_key(server: str) -> bool:
    """Return whether `wandb login` has stored a key for `server`, in the files that W&B reads."""
    chosen = os.environ.get("NETRC")
    names = [chosen] if chosen else ["~/.netrc", "~/_netrc"]
    paths = [os.path.expanduser(name) for name in names]
    path = next(filter(os.path.exists, paths), paths[0])
    try:
        # Given a path, netrc accepts a file that others may read, as W&B does.
        return netrc.netrc(path).authenticators(urlsplit(server).netloc) is not None
    except (OSError, ValueError, netrc.NetrcParseError):  # ValueError: it is not UTF-8
        return False
