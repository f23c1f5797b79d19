"""Weights & Biases for both tracks: one project, one group, the same keys and axes.

W&B receives a copy; `history.jsonl` is the source of truth.  Errors of W&B never stop training: the
first one is printed on one line, and the run continues untracked.
"""

from __future__ import annotations

import netrc
import os
import secrets
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from tqdm.auto import tqdm

from compare import reachability
from compare.cli import StudyOptions
from compare.runs.record import RunRecord, TrackingRecord

Mode = Literal["online", "offline", "disabled"]
SAMPLE_COLUMNS = ["epoch", "prompt", "text", "seed"]


class NoTracker:
    """A tracker that does nothing, for a run that this process does not track."""

    def log(self, values: dict[str, Any]) -> None:
        """Do nothing."""

    def log_samples(self, samples: list[dict[str, Any]]) -> None:
        """Do nothing."""

    def finish(self, model: Path) -> None:
        """Do nothing."""


class Tracker:
    """The W&B run of a run directory.

    Its mode, id and address are stored in `record`, which `save` writes to disk.
    """

    def __init__(
        self,
        path: Path,
        record: RunRecord,
        save: Callable[[], None],
        options: StudyOptions,
    ) -> None:
        self.mode: Mode = options.tracking if options.tracking != "auto" else _choose_mode()
        self._path, self._record, self._save = path, record, save
        self._wandb_run: Any = None
        earlier_id = record.tracking.id if record.tracking else None
        self._tracking_record = TrackingRecord(project=options.project, mode=self.mode)
        record.tracking = self._tracking_record
        if self.mode != "disabled":
            self._tracking_record.id = earlier_id or secrets.token_hex(4)
            # In a thread, because W&B's service takes a second to start: training does not wait.
            self._future_run = ThreadPoolExecutor(1).submit(self._init, options)
        save()

    def _get_run(self) -> Any:
        """Return the W&B run.  The first call waits for it, and records and prints its address."""
        if self._wandb_run is None:
            self._wandb_run = self._future_run.result()
            offline = self.mode == "offline"
            folder = os.path.relpath(str(Path(self._wandb_run.dir).parent))
            where = folder if offline else self._wandb_run.url
            self._tracking_record.where = where
            self._save()
            how = f"offline; to upload: wandb sync {where}" if offline else f"online at {where}"
            tqdm.write(f"W&B: {how}")
        return self._wandb_run

    def _init(self, options: StudyOptions) -> Any:
        """Start the W&B run, or continue that of an interrupted run, and return it."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        record = self._record
        wandb_run = wandb.init(
            project=options.project,
            mode=self.mode,
            dir=self._path,
            group=record.corpus.name,
            job_type=str(record.track),
            name=f"{record.track}/{self._path.name}",
            config=record.config | {"corpus_sha256": record.corpus.sha256},
            id=self._tracking_record.id,
            resume="allow",
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=20,
                x_transaction_log_flush_interval=0.5,  # seconds that a kill loses; default: 15
            ),
        )
        # The x-axis is the amount of text read, so that the curves of both tracks are comparable.
        wandb_run.define_metric("epoch")
        wandb_run.define_metric("characters_seen")
        for keys in ("train/*", "eval/*", "throughput/*"):
            wandb_run.define_metric(keys, step_metric="characters_seen")
        return wandb_run

    def log(self, values: dict[str, Any]) -> None:
        """Log a row of values."""
        self._try(lambda: self._get_run().log(values))

    def log_samples(self, samples: list[dict[str, Any]]) -> None:
        """Log a table of samples."""

        def send() -> None:
            import wandb

            rows = [[sample[column] for column in SAMPLE_COLUMNS] for sample in samples]
            self._get_run().log({"samples": wandb.Table(columns=[*SAMPLE_COLUMNS], data=rows)})

        self._try(send)

    def finish(self, model: Path) -> None:
        """Log the summary, and the directory `model` as an artifact; then end the W&B run."""

        def send() -> None:
            import wandb

            scores = [epoch.eval.bits_per_byte for epoch in self._record.epochs]
            wandb_run = self._get_run()
            wandb_run.summary["best/bits_per_byte"] = min(scores)
            wandb_run.summary["final/bits_per_byte"] = scores[-1]
            artifact = wandb.Artifact(f"{self._record.track}-model", type="model")
            artifact.add_dir(str(model))
            wandb_run.log_artifact(artifact)
            wandb_run.finish()

        self._try(send)

    def _try(self, action: Callable[[], None]) -> None:
        """Call `action` unless tracking is disabled; if it fails, disable tracking and say so."""
        if self.mode == "disabled":
            return
        try:
            action()
        except Exception as error:  # of any type: W&B only has a copy, so training must go on
            self.mode = "disabled"
            if self._wandb_run is None:
                self._tracking_record.mode = self.mode
            reason = " ".join(str(error).split())[:200]
            print(
                f"WARNING: W&B failed ({type(error).__name__}: {reason}); the run continues "
                "untracked, and history.jsonl has all values",
                file=sys.stderr,
            )


def _choose_mode() -> Mode:
    """Return the mode for `--tracking auto`: WANDB_MODE if set, else online if possible."""
    modes: tuple[Mode, ...] = ("online", "offline", "disabled")
    for mode in modes:
        if os.environ.get("WANDB_MODE") == mode:
            return mode
    server = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    logged_in = bool(os.environ.get("WANDB_API_KEY")) or _has_netrc_key(urlsplit(server).hostname)
    return "online" if logged_in and reachability.reachable(server) else "offline"


def _has_netrc_key(host: str | None) -> bool:
    """Return whether `wandb login` has stored a key for `host`."""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False
