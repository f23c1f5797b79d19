"""Create a run directory, or reopen the one to resume."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from compare.cli import StudyOptions, as_record
from compare.corpus import Corpus
from compare.device import choose_device, describe
from compare.errors import Misuse
from compare.files import hold_lock
from compare.kinds import RunStatus, Track
from compare.runs.record import CorpusRecord, RunRecord, read_record
from compare.runs.writer import ROOT, Run

INPUT_HASHES = ("corpus sha256", "base weights sha256")
# Options that do not change the outcome, or no more than rounding does.
IGNORED_ON_RESUME = ("tracking", "project", "checkpoint_steps", "device")
LIBRARIES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "wandb", "numpy")
OWN_FILES = ("compare", "scratch_lm", "gpt2_finetune", "pyproject.toml")
GIT_PLACES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}


def start(track: Track, name: str, options: StudyOptions, corpus: Corpus, **fields: Any) -> Run:
    """Create a run in `runs/<track>/<name>[-N]`, or reopen the newest one there.

    `fields` are the fields of `RunRecord` that only the track knows.  With `options.resume`, the
    newest directory of that name is reopened; a complete run is returned as it is.  Raises Misuse
    if its configuration or inputs differ from the present ones, or if another process writes to it.
    """
    record = RunRecord(
        track=track,
        status=RunStatus.RUNNING,
        config=as_record(options),
        corpus=CorpusRecord.model_validate(corpus.record()),
        seed=options.seed,
        device=describe(choose_device(options.device)),
        versions={"python": platform.python_version()} | {n: version(n) for n in LIBRARIES},
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **code_version(),
        **fields,
    )
    folder = ROOT / track
    path, number = _newest(folder, name)
    if options.resume and (path / "run.json").exists():
        lock = hold_lock(path / ".lock", str(path))  # before reading: nobody else may change it
        earlier = read_record(path)
        now, then = identity(record), identity(earlier)
        differences = [
            f"{key} was {then.get(key)} and is now {now.get(key)}"
            for key in sorted(now.keys() | then.keys())
            if now.get(key) != then.get(key)
        ]
        if not differences and earlier.status is RunStatus.COMPLETE:
            run = Run(path, earlier)
            # A kill just after the run was marked as complete leaves them.
            shutil.rmtree(run.checkpoint_folder, ignore_errors=True)
            lock.release()
            return run
        if not differences:
            earlier.status, earlier.failure = RunStatus.RUNNING, None
            return Run(path, earlier, lock, resumed=True)
        lock.release()
        if earlier.status is not RunStatus.COMPLETE:
            raise Misuse(
                f"cannot resume {path}: {'; '.join(differences)} "
                "(give the same options, or leave out --resume to start a new run)"
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
    """Return what the name of a run says about the part of the training split it was given."""
    words = [f"-share{options.train_share:g}"] if options.train_share < 1 else []
    if options.leave_out:
        words.append("-without-" + re.sub(r"[^a-z0-9]+", "-", options.leave_out.lower()))
    return "".join(words)


def join(track: Track, name: str) -> Run:
    """Open the run that the main process has started; this process writes nothing."""
    path, _ = _newest(ROOT / track, name)
    return Run(path, read_record(path), is_writer=False)


def _newest(folder: Path, name: str) -> tuple[Path, int]:
    """Return the newest of the directories name, name-2, name-3 ..., and its number."""
    number, path = 1, folder / name
    while (folder / f"{name}-{number + 1}").exists():
        number, path = number + 1, folder / f"{name}-{number + 1}"
    return path, number


def identity(record: RunRecord) -> dict[str, Any]:
    """Return everything that must match for a run to be resumed or grouped with another."""
    base = record.base.weights_sha256 if record.base else None
    return recipe_identity(record.config, record.corpus.sha256, base, record.teachers_sha256)


def recipe_identity(
    config: Mapping[str, Any],
    corpus_sha256: str,
    base_sha256: str | None = None,
    teachers_sha256: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the `identity` of a run that does not have to exist."""
    return {key: value for key, value in config.items() if key not in IGNORED_ON_RESUME} | {
        "teachers sha256": list(teachers_sha256),
        **dict(zip(INPUT_HASHES, (corpus_sha256, base_sha256), strict=True)),
    }


def code_version() -> dict[str, Any]:
    """Return the commit of this code, and whether the code has changed since.

    Both are None unless the code is at the top of its own repository: an installed package may be
    inside somebody else's.
    """
    top = Path(__file__).resolve().parents[2]
    found = _ask_git(top, "rev-parse", "--show-toplevel", "HEAD")
    changes = _ask_git(top, "status", "--porcelain", "--", *OWN_FILES)
    if found is None or changes is None:
        return {"git_commit": None, "git_dirty": None}
    repository, commit = found.rsplit("\n", 1)
    if Path(repository).resolve() != top:
        return {"git_commit": None, "git_dirty": None}
    return {"git_commit": commit, "git_dirty": bool(changes)}


def _ask_git(folder: Path, *arguments: str) -> str | None:
    # In a Git hook, the environment names the hook's repository.
    environment = {key: os.environ[key] for key in os.environ.keys() - GIT_PLACES}
    command = ["git", "--no-optional-locks", *arguments]
    try:
        git = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
    except OSError:  # no git
        return None
    return os.fsdecode(git.stdout).strip() if git.returncode == 0 else None
