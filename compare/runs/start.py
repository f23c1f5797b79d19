"""A run's directory, made for a training that starts, or found again for one that goes on."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from compare.cli import StudyOptions, as_record
from compare.corpus import Corpus
from compare.device import choose_device, describe
from compare.errors import Misuse
from compare.files import hold_lock
from compare.runs.writer import ROOT, Run

SCHEMA = 1
COMMANDS = {
    "scratch_lm": "python -m scratch_lm.train",
    "gpt2_finetune": "python -m gpt2_finetune.train",
}
MATERIAL = ("corpus sha256", "base weights sha256")  # what a run is made from
# What does not change the outcome, or no more than rounding does.
ELSEWHERE = ("tracking", "project", "checkpoint_steps", "device")
LIBRARIES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "wandb", "numpy")
OWN_FILES = ("compare", "scratch_lm", "gpt2_finetune", "pyproject.toml")
GIT_PLACES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}


def start(
    track: str, name: str, options: StudyOptions, corpus: Corpus, **fields: Any
) -> tuple[Run, str]:
    """A run directory `runs/<track>/<name>[-N]`, and "new", "resumed" or "complete".

    With `options.resume` the newest directory of that name is continued; raises Misuse when its
    configuration or corpus differ from those given now, or another process is writing to it.
    """
    config = as_record(options)
    command = [argument for argument in sys.argv[1:] if argument != "--resume"]
    folder = ROOT / track
    path, number = _newest(folder, name)
    if options.resume and (path / "run.json").exists():
        lock = hold_lock(path / ".lock", str(path))  # before a look: nobody may be finishing it
        record = json.loads((path / "run.json").read_text("utf-8"))
        now = identity({"config": config, "corpus": corpus.record(), **fields})
        then = identity(record)
        differences = [
            f"{key} was {then.get(key)} and is now {now.get(key)}"
            for key in sorted(now.keys() | then.keys())
            if now.get(key) != then.get(key)
        ]
        if not differences:
            if record["status"] == "complete":
                lock.release()
                return Run(path, record), "complete"
            record["status"] = "running"
            record.pop("failure", None)
            run = Run(path, record)
            run.lock = lock
            return run, "resumed"
        lock.release()
        if record["status"] != "complete":
            raise Misuse(
                f"cannot resume {path}: {'; '.join(differences)} "
                "(give the same options, or leave out --resume to start a new run)"
            )
    while True:  # another process may be looking for a name, too
        if path.exists():
            number += 1
            path = folder / f"{name}-{number}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)
            break
    record = {
        "schema": SCHEMA,
        "track": track,
        "status": "running",
        "command": f"{COMMANDS[track]} {shlex.join(command)}".strip(),
        "config": config,
        "corpus": corpus.record(),
        **fields,
        "seed": options.seed,
        "device": describe(choose_device(options.device)),
        "versions": {"python": platform.python_version()} | {n: version(n) for n in LIBRARIES},
        **_git(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "epochs": [],
    }
    run = Run(path, record)
    run.lock = hold_lock(path / ".lock", str(path))
    run.save()
    return run, "new"


def newest(track: str, name: str) -> tuple[Run, str]:
    """What `start` has given another process; for reading only."""
    path, _ = _newest(ROOT / track, name)
    record = json.loads((path / "run.json").read_text("utf-8"))
    return Run(path, record), record["status"]


def _newest(folder: Path, name: str) -> tuple[Path, int]:
    """The newest of the directories name, name-2, name-3 ..., and its number."""
    number, path = 1, folder / name
    while (folder / f"{name}-{number + 1}").exists():
        number, path = number + 1, folder / f"{name}-{number + 1}"
    return path, number


def identity(record: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for a run to be the same run: not where it is tracked and kept."""
    config = record["config"]
    digests = record["corpus"]["sha256"], record.get("base", {}).get("weights_sha256")
    return {key: config[key] for key in config if key not in ELSEWHERE} | {
        "teachers sha256": record.get("teachers_sha256", []),
        **dict(zip(MATERIAL, digests, strict=True)),
    }


def _git() -> dict[str, Any]:
    """The commit that this code is of, and whether it has been changed since.

    Of this project's own repository: where it is installed, another one may lie around it.
    """
    top = Path(__file__).resolve().parent.parent
    found = _ask_git(top, "rev-parse", "--show-toplevel", "HEAD")
    changes = _ask_git(top, "status", "--porcelain", "--", *OWN_FILES)
    if found is None or changes is None:
        return {"git_commit": None, "git_dirty": None}
    repository, commit = found.rsplit("\n", 1)
    if Path(repository).resolve() != top:
        return {"git_commit": None, "git_dirty": None}
    return {"git_commit": commit, "git_dirty": bool(changes)}


def _ask_git(folder: Path, *arguments: str) -> str | None:
    # A hook's environment names the repository that the hook is of.
    environment = {key: os.environ[key] for key in os.environ.keys() - GIT_PLACES}
    command = ["git", "--no-optional-locks", *arguments]
    try:
        git = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
    except OSError:  # no git
        return None
    return os.fsdecode(git.stdout).strip() if git.returncode == 0 else None
