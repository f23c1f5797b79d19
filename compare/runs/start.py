"""Create a run directory, or reopen the one to resume."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from compare.cli import StudyOptions, as_record
from compare.corpus import Corpus
from compare.device import choose_device, describe
from compare.errors import Misuse
from compare.files import hold_lock
from compare.kinds import RunStatus, Track
from compare.runs.identity import Identity
from compare.runs.record import CorpusRecord, RunRecord, read_record
from compare.runs.writer import ROOT, Run

LIBRARIES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "wandb", "numpy")
CODE_PATHS = ("compare", "scratch_lm", "gpt2_finetune", "pyproject.toml")
# Environment variables that make git use another repository than that of the working directory.
GIT_VARIABLES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}


def start(track: Track, name: str, options: StudyOptions, corpus: Corpus, **fields: Any) -> Run:
    """Create a run in `runs/<track>/<name>[-N]`, or reopen the newest one there.

    `fields` are the fields of `RunRecord` that only the track knows.

    With `options.resume`, the newest run of that name is reopened, or returned unchanged if it is
    complete.  If it is complete but was trained with another configuration or other inputs, a new
    run is created.

    Raises Misuse if the run to resume is unfinished and has another configuration or other inputs,
    if its record is damaged, or if another process is writing to it.
    """
    code = code_version()
    record = RunRecord(
        track=track,
        status=RunStatus.RUNNING,
        config=as_record(options),
        corpus=CorpusRecord.model_validate(corpus.record()),
        seed=options.seed,
        device=describe(choose_device(options.device)),
        versions={"python": platform.python_version()} | {n: version(n) for n in LIBRARIES},
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        git_commit=code.commit,
        git_dirty=code.is_dirty,
        **fields,
    )
    folder = ROOT / track
    number, path = numbered_runs(folder, name)[0]
    if options.resume and (path / "run.json").exists():
        # Locked before reading, so that no other process can change the record in between.
        lock = hold_lock(path / ".lock", str(path))
        earlier = read_record(path)
        differences = Identity.of(record).differences_from(Identity.of(earlier))
        if not differences and earlier.status is RunStatus.COMPLETE:
            run = Run(path, earlier)
            # Checkpoints are left over if the process was killed just after completing the run.
            shutil.rmtree(run.checkpoint_folder, ignore_errors=True)
            lock.release()
            return run
        if not differences:
            earlier.status, earlier.failure = RunStatus.RUNNING, None
            if not earlier.device.endswith(record.device):
                earlier.device += f", then {record.device}"
            return Run(path, earlier, lock, resumed=True)
        lock.release()
        if earlier.status is not RunStatus.COMPLETE:
            raise Misuse(
                f"cannot resume {path}: {'; '.join(differences)} "
                f"(use the same options; for a new run, leave out --resume or delete {path})"
            )
    while True:  # another process may take the same name at the same time
        if path.exists():
            number += 1
            path = folder / f"{name}-{number}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)
            break
    run = Run(path, record, hold_lock(path / ".lock", str(path)))
    run.save()
    return run


def subset_suffix(options: StudyOptions) -> str:
    """Return the part of a run's name that describes its training subset; "" for the full split."""
    parts = [f"-share{options.train_share:g}"] if options.train_share < 1 else []
    if options.leave_out:
        parts.append("-without-" + re.sub(r"[^a-z0-9]+", "-", options.leave_out.lower()))
    return "".join(parts)


def open_read_only(track: Track, name: str) -> Run:
    """Open the run that the main process has started, without writing to it."""
    _, path = numbered_runs(ROOT / track, name)[0]
    return Run(path, read_record(path), is_writer=False)


def numbered_runs(folder: Path, name: str) -> list[tuple[int, Path]]:
    """Return the directories `name`, `name`-2, `name`-3, ..., and their numbers, newest first.

    The first run is in the list even if its directory is missing.
    """
    later = [
        (int(match[1]), path)
        for path in folder.glob("*")
        if (match := re.fullmatch(rf"{re.escape(name)}-(\d+)", path.name))
    ]
    return [*sorted(later, reverse=True), (1, folder / name)]


@dataclass(frozen=True)
class CodeVersion:
    """The commit of this code, and whether the code has changed since.  Both None if unknown."""

    commit: str | None = None
    is_dirty: bool | None = None


def code_version() -> CodeVersion:
    """Return the version of this code.

    It is unknown unless the code is at the top of its own repository: an installed package may be
    inside another project's repository.
    """
    top = Path(__file__).resolve().parents[2]
    head = _run_git(top, "rev-parse", "--show-toplevel", "HEAD")
    changes = _run_git(top, "status", "--porcelain", "--", *CODE_PATHS)
    if head is None or changes is None:
        return CodeVersion()
    repository, commit = head.rsplit("\n", 1)
    if Path(repository).resolve() != top:
        return CodeVersion()
    return CodeVersion(commit, bool(changes))


def _run_git(folder: Path, *arguments: str) -> str | None:
    """Return the output of git in `folder`, or None if git fails or is not installed."""
    # In a Git hook, these variables point to the hook's repository.
    environment = {key: os.environ[key] for key in os.environ.keys() - GIT_VARIABLES}
    command = ["git", "--no-optional-locks", *arguments]
    try:
        git = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
    except OSError:
        return None
    return os.fsdecode(git.stdout).strip() if git.returncode == 0 else None
