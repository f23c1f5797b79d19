"""Weights & Biases for both tracks: one project, one group, the same keys and axes.

W&B gets a copy; `history.jsonl` is the source of truth.  Whatever W&B does, training goes on: the
first error is printed in one line, and the run goes untracked from there.
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
    """A tracker of nothing, for a run that is not tracked by this process."""

    def log(self, values: dict[str, Any]) -> None:
        """Do nothing."""

    def log_samples(self, samples: list[dict[str, Any]]) -> None:
        """Do nothing."""

    def finish(self, model: Path) -> None:
        """Do nothing."""


class Tracker:
    """A W&B run for a run directory; the record says where to look at it."""

    def __init__(
        self,
        path: Path,
        record: RunRecord,
        save: Callable[[], None],
        options: StudyOptions,
    ) -> None:
        self.mode: Mode = options.tracking if options.tracking != "auto" else _mode()
        self._path, self._record, self._save = path, record, save
        self._wandb_run: Any = None
        earlier = record.tracking.id if record.tracking else None
        self._where = TrackingRecord(project=options.project, mode=self.mode)
        record.tracking = self._where
        if self.mode != "disabled":
            self._where.id = earlier or secrets.token_hex(4)
            # W&B's service needs a second to come up: the first steps need not wait for it.
            self._starting = ThreadPoolExecutor(1).submit(self._init, options)
        save()

    def _begun(self) -> Any:
        """The W&B run; when it is asked for first, it goes to the record."""
        if self._wandb_run is None:
            self._wandb_run = self._starting.result()
            offline = self.mode == "offline"
            folder = os.path.relpath(str(Path(self._wandb_run.dir).parent))
            where = folder if offline else self._wandb_run.url
            self._where.where = where
            self._save()
            how = f"offline; to upload: wandb sync {where}" if offline else f"online at {where}"
            tqdm.write(f"W&B: {how}")
        return self._wandb_run

    def _init(self, options: StudyOptions) -> Any:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        record = self._record
        begun = wandb.init(
            project=options.project,
            mode=self.mode,
            dir=self._path,
            group=record.corpus.name,
            job_type=str(record.track),
            name=f"{record.track}/{self._path.name}",
            config=record.config | {"corpus_sha256": record.corpus.sha256},
            id=self._where.id,
            resume="allow",
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=20,
                x_transaction_log_flush_interval=0.5,  # what a kill can cost; 15 seconds otherwise
            ),
        )
        # One curve over the other: both tracks are drawn over the text they have read.
        begun.define_metric("epoch")
        begun.define_metric("characters_seen")
        for keys in ("train/*", "eval/*", "throughput/*"):
            begun.define_metric(keys, step_metric="characters_seen")
        return begun

    def log(self, values: dict[str, Any]) -> None:
        self._safely(lambda: self._begun().log(values))

    def log_samples(self, samples: list[dict[str, Any]]) -> None:
        def send() -> None:
            import wandb

            rows = [[sample[column] for column in SAMPLE_COLUMNS] for sample in samples]
            self._begun().log({"samples": wandb.Table(columns=[*SAMPLE_COLUMNS], data=rows)})

        self._safely(send)

    def finish(self, model: Path) -> None:
        """Summary, the model directory as an artifact, and a clean end."""

        def send() -> None:
            import wandb

            scores = [epoch.eval.bits_per_byte for epoch in self._record.epochs]
            begun = self._begun()
            begun.summary["best/bits_per_byte"] = min(scores)
            begun.summary["final/bits_per_byte"] = scores[-1]
            artifact = wandb.Artifact(f"{self._record.track}-model", type="model")
            artifact.add_dir(str(model))
            begun.log_artifact(artifact)
            begun.finish()

        self._safely(send)

    def _safely(self, action: Callable[[], None]) -> None:
        if self.mode == "disabled":
            return
        try:
            action()
        except Exception as error:  # whatever it is, a lost copy must not cost the training
            self.mode = "disabled"
            if self._wandb_run is None:
                self._where.mode = self.mode
            reason = " ".join(str(error).split())[:200]
            print(
                f"W&B stopped ({type(error).__name__}: {reason}); the run goes on untracked, "
                "history.jsonl has everything",
                file=sys.stderr,
            )


def _mode() -> Mode:
    """What `--tracking auto` means here: WANDB_MODE if set, else online where that can work."""
    modes: tuple[Mode, ...] = ("online", "offline", "disabled")
    for mode in modes:
        if os.environ.get("WANDB_MODE") == mode:
            return mode
    server = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    logged_in = bool(os.environ.get("WANDB_API_KEY")) or _in_netrc(urlsplit(server).hostname)
    return "online" if logged_in and reachability.reachable(server) else "offline"


def _in_netrc(host: str | None) -> bool:
    """Whether `wandb login` has left a key for `host`."""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False
