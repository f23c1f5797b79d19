"""Finding the runs that trainings have completed; unfinished ones are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compare import corpus as corpora
from compare.errors import Misuse
from compare.runs.latest import latest_run, resolve
from compare.runs.start import COMMANDS, MATERIAL, SCHEMA, identity
from compare.runs.writer import ROOT, read_lines

NEEDED = {"track": str, "status": str, "config": dict, "corpus": dict, "preset": str, "seed": int,
          "started": str, "epochs": list}  # fmt: skip

Runs = list[dict[str, Any]]


def load(path: Path) -> dict[str, Any]:
    """The record of the complete run in directory `path`, with `path`, `history` and `samples`.

    Raises Misuse when there is no run, or it is not complete.
    """
    path = resolve(path)
    record = _record(path)
    if record["status"] != "complete":
        raise Misuse(
            f"{path} is not complete: finish it with {COMMANDS[record['track']]} --resume "
            "and the options of its run.json"
        )
    return record | {
        "path": path,
        "history": read_lines(path / "history.jsonl"),
        "samples": read_lines(path / "samples.jsonl"),
    }


def corpus_of(run: dict[str, Any]) -> corpora.Corpus:
    """The text that a run was trained on.  Raises Misuse when it is not that text any more."""
    corpus = corpora.load(run["config"]["corpus"])
    if corpus.sha256 != run["corpus"]["sha256"]:
        raise Misuse(
            f"{run['config']['corpus']} has changed since {run['path']} was trained on it "
            f"(sha256 {corpus.sha256[:8]}..., then {run['corpus']['sha256'][:8]}...): train again"
        )
    return corpus


def model_name(run: dict[str, Any]) -> str:
    """What tables call the model that a run has trained."""
    if run["track"] == "scratch_lm":
        return f"Scratch ({run['preset']})"
    return f"{run['base']['resolved']} {run['preset']}"


def latest(track: str) -> dict[str, Any]:
    """The newest complete run of `track`.  Raises Misuse, with the command that makes one."""
    newest = latest_run(ROOT / track)
    if newest is None:
        unfinished = [path.parent.name for path in sorted((ROOT / track).glob("*/run.json"))]
        raise Misuse(
            f"no complete run in {ROOT / track}: make one with {COMMANDS[track]}"
            + (f", or finish {', '.join(unfinished)} with --resume" if unfinished else "")
        )
    return load(newest)


def complete(track: str) -> Runs:
    """All complete runs of `track`, oldest first."""
    found = []
    for file in (ROOT / track).glob("*/run.json"):
        if file.parent.is_symlink():
            continue
        record = _record(file.parent)
        if record["status"] == "complete":
            found.append((record["started"], file.parent))
    return [load(path) for _, path in sorted(found)]


def study() -> tuple[list[Runs], list[Runs]]:
    """The complete runs on the newest runs' text, of the scratch and of the GPT-2 track.

    Each in lists, one for each preset, that hold one run for each seed: those of the preset's
    newest configuration, on the newest base, the best on validation first.  Raises Misuse when a
    track has no run, or only controls, or when both were trained on different texts.
    """
    scratch, gpt2 = latest("scratch_lm"), latest("gpt2_finetune")
    if scratch["corpus"]["sha256"] != gpt2["corpus"]["sha256"]:
        raise Misuse(
            f"{scratch['path']} was trained on {scratch['corpus']['name']} and {gpt2['path']} on "
            f"{gpt2['corpus']['name']}: train both tracks on the same --corpus"
        )
    groups = _by_preset(gpt2)
    if groups[0][0]["preset"] == "from random weights":
        raise Misuse(
            f"{gpt2['path']} is a control from random weights, and nothing was fine-tuned from the "
            f"same base: make that with {COMMANDS['gpt2_finetune']}"
        )
    return _by_preset(scratch), groups


def _by_preset(newest: dict[str, Any]) -> list[Runs]:
    presets: dict[str, dict[int, dict[str, Any]]] = {}
    for run in reversed(complete(newest["track"])):
        if any(identity(run)[key] != identity(newest)[key] for key in MATERIAL):
            continue
        group = presets.setdefault(run["preset"], {})
        recipes = [identity(each) | {"seed": None} for each in (run, *group.values())]
        if all(recipe == recipes[0] for recipe in recipes):
            group.setdefault(run["seed"], run)
    return [
        sorted(presets[preset].values(), key=validation_nats)
        for preset in sorted(presets, key=_order)
    ]


def _order(preset: str) -> tuple[bool, bool, str]:
    """What the study asks for first, its control last."""
    return preset != "fine-tuned", preset == "from random weights", preset


def chosen(scratch: list[Runs], gpt2: list[Runs]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run of each track that is handed in and published: validation chooses, not the test."""
    return min((runs[0] for runs in scratch), key=validation_nats), gpt2[0][0]


def validation_nats(run: dict[str, Any]) -> float:
    """What the run's saved model needs for the validation split."""
    return run["epochs"][run["best_epoch"] - 1]["eval"]["nats"]


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads((path / "run.json").read_text("utf-8"))
    except FileNotFoundError:
        raise Misuse(f"{path} is not a run directory: it has no run.json") from None
    except ValueError as error:
        raise Misuse(f"{path}/run.json is damaged ({error}): move the directory away") from None
    if not isinstance(record, dict):
        raise Misuse(f"{path}/run.json is damaged: it is no record: move the directory away")
    if record.get("schema") != SCHEMA:
        raise Misuse(f"{path}/run.json has schema {record.get('schema')}, this reads {SCHEMA}")
    if missing := [key for key, kind in NEEDED.items() if not isinstance(record.get(key), kind)]:
        raise Misuse(
            f"{path}/run.json is damaged: it has no {', '.join(missing)}: move the directory away"
        )
    return record
