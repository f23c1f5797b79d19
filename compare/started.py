"""A run's directory, made for a training that starts, or found again for one that goes on."""

from __future__ import annotations

import contextlib
import json
import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from compare.cli import Misuse, StudyOptions, as_record
from compare.corpus import Corpus
from compare.lock import hold
from compare.runs import ROOT, Run

SCHEMA = 1
COMMANDS = {
    "scratch_lm": "python -m scratch_lm.train",
    "gpt2_finetune": "python -m gpt2_finetune.train",
}
MATERIAL = ("corpus sha256", "base weights sha256")  # what a run is made from
ELSEWHERE = ("tracking", "project", "checkpoint_steps")  # what does not change the outcome
LIBRARIES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "wandb", "numpy")


def start(
    track: str, name: str, options: StudyOptions, corpus: Corpus, **fields: Any
) -> tuple[Run, str]:
    """A run directory `runs/<track>/<name>[-N]`, and "new", "resumed" or "complete".

    With `options.resume` the newest directory of that name is continued; raises Misuse when its
    configuration or corpus differ from those given now.
    """
    config = as_record(options)
    command = [argument for argument in sys.argv[1:] if argument != "--resume"]
    folder = ROOT / track
    path, number = _newest(folder, name)
    if options.resume and (path / "run.json").exists():
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
                return Run(path, record), "complete"
            record["status"] = "running"
            record.pop("failure", None)
            run = Run(path, record)
            run.lock = hold(path / ".lock", str(path))
            return run, "resumed"
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
        "device": _device(),
        "versions": {"python": platform.python_version()} | {n: version(n) for n in LIBRARIES},
        "git_commit": _git_commit(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "epochs": [],
    }
    run = Run(path, record)
    run.lock = hold(path / ".lock", str(path))
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


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' * (threads > 1)}, {platform.machine()}"


def _git_commit() -> str | None:
    here = Path(__file__).parent
    try:
        git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return git.stdout.strip() if git.returncode == 0 else None
