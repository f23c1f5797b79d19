"""Each file operation of a command fails in turn, and nothing is lost."""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import gpt2_finetune.train
import scratch_lm.train
from compare.errors import Failure
from compare.publish import staging
from compare.report import pages, storage
from compare.report.results import Results
from compare.runs.study import find_study
from gpt2_finetune.config import FinetuneOptions
from scratch_lm.config import ScratchOptions
from tests.conftest import REPORT, TINY, Place

pytestmark = pytest.mark.slow
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)
BOTH = {"corpus": "text.txt", "tracking": "disabled", "epochs": 1, "checkpoint_steps": 3}
SCRATCH = TINY | BOTH
FINETUNE = BOTH | {"batch_tokens": 512, "precision": "fp32"}


class Fault:
    """While armed, makes the n-th write below the working directory fail, with an audit hook."""

    def __init__(self) -> None:
        self.left = self.code = self.failed = 0
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.left or event not in ("open", "os.rename", "os.mkdir"):
            return
        path = os.fspath(arguments[0]) if isinstance(arguments[0], str | Path) else ""
        writes = event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes and os.path.abspath(path).startswith(os.getcwd()):
            self.left -= 1
            if not self.left:
                raise OSError(self.code, os.strerror(self.code), path)

    def each(self, work: Callable[[], object]) -> Iterator[None]:
        """Call `work` with its first write failing, then its second, ..., until it succeeds."""
        self.failed = 0
        for number in count(1):
            self.left, self.code = number, ERRORS[number % len(ERRORS)]
            try:
                work()
            except (OSError, Failure) as error:
                assert os.strerror(self.code) in str(error), error
            if self.left:
                self.left = 0
                return
            self.failed = number
            yield


@pytest.fixture(scope="module")
def fault() -> Fault:
    return Fault()


@pytest.fixture
def here(tmp_path: Path, restored_signals: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.parent / "cache"))
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("track", ["scratch_lm", "gpt2_finetune"])
def test_training_continues_after_any_failed_write(
    here: Path,
    fault: Fault,
    tiny_base: Path,
    tiny_shakespeare: str,
    track: str,
    capsys: pytest.CaptureFixture,
) -> None:
    (here / "text.txt").write_text(tiny_shakespeare[:8000], "utf-8")
    options, train, name = {
        "scratch_lm": (ScratchOptions(**SCRATCH), scratch_lm.train.train, "course-seed1"),
        "gpt2_finetune": (
            FinetuneOptions(**FINETUNE, base=str(tiny_base)),
            gpt2_finetune.train.train,
            "tiny-gpt2-seed1",
        ),
    }[track]
    train(options)
    first = Path("runs", track, name)
    straight = load_file(first / "model/model.safetensors")
    for _ in fault.each(lambda: train(options)):
        for path in first.parent.glob(f"{name}*/run.json"):
            assert json.loads(path.read_text("utf-8"))["status"] in ("running", "complete")
        gc.collect()  # the failed run and its lock, which the end of a process would have freed
        train(replace(options, resume=True))
        # A directory without a record is no run: writing the record was what failed.
        records = first.parent.glob(f"{name}*/run.json")
        newest = max(records, key=lambda path: path.stat().st_mtime).parent
        found = load_file(newest / "model/model.safetensors")
        assert all(found[name].equal(straight[name]) for name in straight)
        assert len((newest / "history.jsonl").read_text("utf-8").splitlines()) == len(
            (first / "history.jsonl").read_text("utf-8").splitlines()
        )
    with capsys.disabled():
        print(f"\n{track}: {fault.failed} writes failed in turn")


@pytest.fixture
def reported(study: Place, here: Path) -> Results:
    shutil.copytree(study.path, here, dirs_exist_ok=True, symlinks=True)
    if not storage.PATH.exists():
        Place(here, Path(study.environment["XDG_CACHE_HOME"])).run(*REPORT)
    return storage.read()


def test_pages_and_staged_uploads_are_old_or_new(
    here: Path,
    fault: Fault,
    reported: Results,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    images = pages.draw(reported)
    monkeypatch.setattr(pages, "draw", lambda result: images)
    reports = here / "reports"
    pages.write(reported)
    old = files(reports)
    later = reported.model_copy(update={"written": "2100-01-01"})
    pages.write(later)
    new = files(reports)
    pages.write(reported)
    for _ in fault.each(lambda: pages.write(later)):
        assert all(content in (old[name], new[name]) for name, content in files(reports).items())
        pages.write(reported)
        assert files(reports) == old
    with capsys.disabled():
        print(f"\nreport: {fault.failed} writes failed in turn")

    run = find_study().best_scratch
    target = here / "runs/publish/repository"

    def stage() -> None:
        staging.stage(target, "someone/repository", run, reported)

    stage()
    whole = files(target)
    for _ in fault.each(stage):
        assert files(target) == whole
    with capsys.disabled():
        print(f"\nstaging: {fault.failed} writes failed in turn")
