"""The record that a training leaves in `runs/<track>/<name>/`; `compare.runs.find` reads it.

    run.json        what ran, on what (see `compare.runs.start`), and its scores
    history.jsonl   one line per logged step, the source of truth for curves
    samples.jsonl   text written after each epoch
    model/          what `AutoModelForCausalLM.from_pretrained` loads
    checkpoint/     what --resume needs; removed when the run completes

A run is complete or says that it is not: `status` is "running" until `finish`, or "failed".
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from tqdm.auto import tqdm

from compare import files
from compare.errors import Failure
from compare.files import write_atomically
from compare.peak_memory import peak_memory_mb
from compare.runs import tracking
from compare.runs.latest import point_latest_at

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ROOT = Path("runs")


class Run:
    """A run directory that is being written to."""

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path, self.record = path, record
        self.history: list[dict[str, Any]] = read_lines(path / "history.jsonl")
        self.tracker: tracking.Tracker | None = None
        self.lock: FileLock | None = None
        self._began = time.perf_counter() - record.get("wall_seconds", 0.0)

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    def log(self, values: dict[str, Any], bar: tqdm | None = None) -> None:
        """One line of `history.jsonl`, and the same to W&B.

        A step is shown beside its epoch's `bar`, or as a plain line where there is no terminal.
        """
        self.history.append(values)
        _append(self.path / "history.jsonl", values)
        if self.tracker:
            self.tracker.log(values)
        if bar is not None:
            speed = values["throughput/characters_per_second"]
            shown = f"loss {values['train/loss']:.3f}, {speed:,} chars/s"
            bar.set_postfix_str(shown)
            if bar.disable:
                print(f"epoch {values['epoch']:.2f}, step {values['step']}: {shown}", flush=True)

    def add_samples(self, samples: list[dict[str, Any]]) -> None:
        """Lines of `samples.jsonl`; W&B gets all so far as one table."""
        for sample in samples:
            _append(self.path / "samples.jsonl", sample)
        if self.tracker:
            self.tracker.log_samples(read_lines(self.path / "samples.jsonl"))

    def add_epoch(self, epoch: dict[str, Any]) -> None:
        """One finished epoch: its losses go to the record, its evaluation to the history."""
        self.record["epochs"].append(epoch)
        where = {key: epoch[key] for key in ("epoch", "characters_seen")}
        self.log(where | tracked(epoch["eval"]))
        best = min(self.record["epochs"], key=lambda each: each["eval"]["bits_per_byte"])
        self.record["best_epoch"] = best["epoch"]
        self.save()
        tqdm.write(
            f"epoch {epoch['epoch']}: train loss {epoch['train_loss']:.4f}, validation loss "
            f"{epoch['eval']['loss']:.4f} nats/token = "
            f"{epoch['eval']['bits_per_byte']:.4f} bits/byte"
        )

    def rewind(self, characters_seen: int, epochs: int) -> None:
        """Forget what was logged after the checkpoint that training goes on from."""
        self.history = [
            line for line in self.history if line["characters_seen"] <= characters_seen
            and ("eval/loss" not in line or line["epoch"] <= epochs)
        ]  # fmt: skip
        samples = read_lines(self.path / "samples.jsonl")
        kept = {"history": self.history, "samples": [s for s in samples if s["epoch"] <= epochs]}
        for name, lines in kept.items():
            text = "".join(json.dumps(line) + "\n" for line in lines)
            write_atomically(self.path / f"{name}.jsonl", text.encode())
        self.record["epochs"] = self.record["epochs"][:epochs]

    def save_model(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        weights: dict[str, Tensor] | None = None,
    ) -> None:
        """`model/` in the layout of `save_pretrained`, as a whole or not at all.

        `weights` are given where the model itself holds only a part of them.
        """
        from transformers.utils import logging

        logging.disable_progress_bar()  # "Writing model shards": over before it can be read
        new = self.path / ".model"
        try:
            model.save_pretrained(new, state_dict=weights)
            tokenizer.save_pretrained(new)
        except Exception as error:  # the library's own kinds, for a full disk too
            raise Failure(f"the model cannot be written to {new}: {error}") from None
        shutil.rmtree(self.path / "model", ignore_errors=True)
        new.replace(self.path / "model")
        self.record["model_sha256"] = files.checksums(self.path / "model")

    def save(self) -> None:
        self.record["wall_seconds"] = round(time.perf_counter() - self._began, 1)
        self.record["peak_memory_mb"] = max(peak_memory_mb(), self.record.get("peak_memory_mb", 0))
        text = json.dumps(self.record, indent=2, ensure_ascii=False) + "\n"
        write_atomically(self.path / "run.json", text.encode())

    def require_finite(self, loss: float, step: int) -> None:
        """Raises Failure, noted in the record, when a step's loss is no number any more."""
        if not math.isfinite(loss):
            self.record |= {"status": "failed", "failure": f"the loss of step {step} is {loss}"}
            self.save()
            kept = any(self.checkpoint.glob("*"))
            raise Failure(
                f"the loss of step {step} is {loss}: try a lower --learning-rate"
                + (f"; the last checkpoint before is kept in {self.checkpoint}" if kept else "")
            )

    def finish(self) -> None:
        """Complete the record, drop the checkpoint and point `latest` here."""
        seen = self.record["epochs"][-1]["characters_seen"]
        training = sum(epoch["seconds"] for epoch in self.record["epochs"])
        self.record["characters_per_second"] = round(seen / training)
        self.record["trainer_loaded"] = "transformers.trainer" in sys.modules
        if self.tracker:
            self.tracker.finish(self.record, self.path / "model")
        point_latest_at(self.path)
        self.record["status"] = "complete"  # after all that a kill could leave undone
        self.save()
        shutil.rmtree(self.checkpoint, ignore_errors=True)
        if self.lock:
            self.lock.release()
        self._print_summary()

    def _print_summary(self) -> None:
        """Losses by epoch, the best one, and what to open next."""
        print("epoch  train loss  validation loss  bits/byte  (losses in nats/token)")
        for epoch in self.record["epochs"]:
            scores, mark = epoch["eval"], " best" * (epoch["epoch"] == self.record["best_epoch"])
            print(f"{epoch['epoch']:5}  {epoch['train_loss']:10.4f}  {scores['loss']:15.4f}  "
                  f"{scores['bits_per_byte']:9.4f}{mark}")  # fmt: skip
        print(f"model: {self.path / 'model'}    next: python -m compare.report")


def tracked(summary: dict[str, float | int]) -> dict[str, float | int]:
    """The values of a summary that are logged after each epoch, under their W&B keys."""
    keys = ("loss", "bits_per_byte", "token_perplexity")
    return {f"eval/{key}": summary[key] for key in keys}


def _append(path: Path, values: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file; none where there is no file.

    What follows the last line end was being written when its process died, and is left out.
    """
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
