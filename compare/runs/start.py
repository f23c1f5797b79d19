"""Create a run directory, or reopen the one to resume."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
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
from compare.wording import THEN

LIBRARIES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "wandb", "numpy")
CODE_PATHS = ("compare", "scratch_lm", "gpt2_finetune", "pyproject.toml")
# Environment variables that make git use another repository than that of the working directory.
GIT_VARIABLES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}


def start(track: Track, name: str, options: StudyOptions, corpus: Corpus, **fields: Any) -> Run:
    """Create a run in `runs/<track>/<name>[-N]`, or reopen one there.

    `fields` are the fields of `RunRecord` that only the track knows.

    With `options.resume`, the newest run of that name with this configuration and these inputs is
    reopened, or returned unchanged if it is complete.  Without such a run, a new one is created.

    Raises Misuse if there is no such run and the newest of that name is unfinished, if the newest
    record is damaged, or if another process is writing to the run to resume.
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
    if options.resume and (same := _find_same(folder, name, Identity.of(record))):
        return _reopen(same, record)
    number, path = numbered_runs(folder, name)[0]
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


def recorded_options(track: Track, name: str, identity: Identity, unknown: str) -> dict[str, Any]:
    """Return the recorded options of the run that --resume would reopen; without one, no options.

    It is the newest run called `name` with this `identity`, whatever its option `unknown` is.
    Raises Misuse if the newest record of that name is damaged.
    """
    for _, record in _recorded_runs(ROOT / track, name):
        if Identity.of(record).without(unknown) == identity.without(unknown):
            return record.config
    return {}


def _recorded_runs(folder: Path, name: str) -> Iterator[tuple[Path, RunRecord]]:
    """Yield the runs called `name` and their records, newest first.

    A directory without a record is none of them: its process was killed right after creating it.
    Raises Misuse if the newest record is damaged; older ones that are damaged are left out.
    """
    paths = [path for _, path in numbered_runs(folder, name) if (path / "run.json").exists()]
    for path in paths:
        try:
            record = read_record(path)
        except Misuse:
            if path == paths[0]:
                raise
            continue
        yield path, record


def _find_same(folder: Path, name: str, identity: Identity) -> Path | None:
    """Return the newest run called `name` with this `identity`, or None.

    Raises Misuse if there is none and the newest run of that name is unfinished.
    """
    newest: tuple[Path, RunRecord] | None = None
    for path, record in _recorded_runs(folder, name):
        if Identity.of(record) == identity:
            return path
        newest = newest or (path, record)
    if newest is not None and newest[1].status is not RunStatus.COMPLETE:
        differences = "; ".join(identity.differences_from(Identity.of(newest[1])))
        raise Misuse(
            f"{newest[0]} was started with other options or inputs ({differences}). To continue "
            "it, repeat its options; to start a new run, leave out --resume."
        )
    return None


def _reopen(path: Path, current: RunRecord) -> Run:
    """Return the run in directory `path`; `current` is the record that a new run would have."""
    # Locked before reading, so that no other process can change the record in between.
    lock = hold_lock(path / ".lock", str(path))
    record = read_record(path)
    if record.status is RunStatus.COMPLETE:
        run = Run(path, record)
        # Checkpoints are left over if the process was killed just after completing the run.
        shutil.rmtree(run.checkpoint_folder, ignore_errors=True)
        lock.release()
        return run
    record.status, record.failure = RunStatus.RUNNING, None
    _note_circumstances(record, current)
    return Run(path, record, lock, resumed=True)


def _note_circumstances(record: RunRecord, current: RunRecord) -> None:
    """Add to `record` what is different now that its run is resumed: device, versions, commit.

    `record.config` remains that from the beginning: what may differ there does not matter.
    """
    record.device = _then(record.device, current.device)
    for library, now in current.versions.items():
        record.versions[library] = _then(record.versions.get(library, now), now)
    if record.git_commit is None:
        return
    record.git_dirty = record.git_dirty or current.git_dirty
    record.git_commit = _then(record.git_commit, current.git_commit or "unknown")


def _then(earlier: str, now: str) -> str:
    """Return `earlier`, followed by `now` unless it ends with that."""
    return earlier if earlier.split(THEN)[-1] == now else f"{earlier}{THEN}{now}"


def subset_suffix(options: StudyOptions) -> str:
    """Return the part of a run's name that describes its training subset; "" for the full split."""
    parts = [f"-share{options.train_share:g}"] if options.train_share < 1 else []
    if options.leave_out:
        parts.append("-without-" + re.sub(r"[^a-z0-9]+", "-", options.leave_out.lower()))
    return "".join(parts)


def open_read_only(path: Path) -> Run:
    """Open the run in directory `path`, which the main process has started, without writing."""
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


def origin_url() -> str | None:
    """Return the URL of the remote repository that git calls `origin`; None if it is unknown.

    It may be a path, and may contain a login.  As in `code_version`, a repository around an
    installed package does not count.
    """
    top = Path(__file__).resolve().parents[2]
    repository = _run_git(top, "rev-parse", "--show-toplevel")
    if repository is None or Path(repository).resolve() != top:
        return None
    return _run_git(top, "remote", "get-url", "origin")


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
