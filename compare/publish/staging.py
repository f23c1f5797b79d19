"""Stage a directory for each repository: weights, tokenizer, code, model card, samples, report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, constants

from compare import files
from compare.errors import Misuse
from compare.publish import licenses
from compare.publish.card import CARD_FILE, REPORT, metadata, name_on_hub
from compare.publish.origin import study_address
from compare.rendering import render
from compare.report import pages, storage
from compare.report.bases import describe
from compare.report.results import Results, RunResult
from compare.runs import find, models, writer
from compare.runs.find import CompleteRun
from compare.runs.identity import IGNORED_ON_RESUME
from compare.runs.record import RunRecord
from compare.runs.subjects import without_login

STAGED = writer.ROOT / "publish"

# What the card shows of config.json.
ARCHITECTURE_KEYS = (
    "n_layer",
    "n_head",
    "n_embd",
    "n_inner",
    "n_positions",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "vocab_size",
    "activation_function",
    "distance_bias",
    "smeared_keys",
    "convolutions",
    "query_key_norm",
    "embedding_skips",
    "dropout",
)
# Options that the card states elsewhere, or that do not change the model.
NOT_SETTINGS = ("corpus", "base", "lora", "teachers", *IGNORED_ON_RESUME)
# Values with which an option has no effect, other than False and empty ones.
WITHOUT_EFFECT = {"train_share": 1.0, "rename": 0.0, "averaging": 0.0, "precision": "auto"}


def stage(
    target: Path,
    repo: str,
    run: CompleteRun,
    results: Results,
    license: str | None = None,
) -> Path:
    """Create or replace the directory `target`, with the files of the repository `repo`.

    They are the model, its card, license files and samples, and the report.  The directory is
    replaced as a whole.
    The card states the license that is known, or else `license`.  If there is neither, it states
    none, and a message says so.  Returns `target`.

    Raises Failure if the model has changed since training, and OSError if a file cannot be written.
    """
    models.require_unchanged(run)
    terms, reason = licenses.find_license(run.record)
    if not terms and license:
        terms = {"license": license}
    elif not terms:
        print(
            f"no license in the card of {target.name}: {reason}; if you may redistribute the "
            "model, state its license, for example --license cc-by-4.0"
        )
    license_files = licenses.license_files(run.record)
    card = render_card(repo, run, results, terms, [file.name for file in license_files])
    new = files.new_folder(target)
    shutil.copytree(run.model, new, dirs_exist_ok=True)
    ModelCard(card).save(new / CARD_FILE)
    for file in license_files:
        shutil.copy(file, new / file.name)
    shutil.copy(run.path / "samples.jsonl", new / "samples.jsonl")
    shutil.copy(pages.REPORTS / "figures" / "loss_curves.svg", new / "loss_curves.svg")
    shutil.copy(pages.REPORTS / REPORT, new / REPORT)
    return files.replace_folder(new, target)


def render_card(
    repo: str,
    run: CompleteRun,
    results: Results,
    terms: dict[str, str],
    license_files: Sequence[str],
) -> str:
    """Return the card of the repository `repo`.

    `terms` are its license fields, and `license_files` the names of the license files beside it.
    """
    record = run.record
    test = result_of(run, results).test
    config = json.loads((run.model / "config.json").read_text("utf-8"))
    context_length = config.get("n_positions") or config.get("max_position_embeddings", 200)
    base_name = name_on_hub(record.base) if record.base else None
    return render(
        Path(__file__).parent / "card.md.jinja",
        repo=repo,
        on_hub="/" in repo,
        new_tokens=min(100, context_length // 2),  # GPT-2 cannot generate past its context length
        run=record,
        name=record.display_name,
        test=test,
        metadata=metadata(repo, record, test, terms).to_yaml(),
        base_description=describe(record.base) if record.base else None,
        base_name=base_name,
        base_page=f"{without_login(constants.ENDPOINT)}/{base_name}" if base_name else None,
        architecture={"class": config["architectures"][0]}
        | {
            key.replace("_", " "): config[key]
            for key in ARCHITECTURE_KEYS
            if config.get(key) is not None and config[key] is not False
        },
        settings=settings_of(record.config),
        results=results,
        teacher_commands=_teacher_commands(record),
        license_name=terms.get("license_name") or _name_of(terms.get("license")),
        license_link=licenses.link_to(terms),
        license_files=license_files,
        study_address=study_address(),
    )


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options in `config`, those of a run's record, that the card lists.

    Options that are off, or have no effect together with the others, are left out.
    """
    return {
        key: value
        for key, value in config.items()
        if key not in NOT_SETTINGS
        and value not in (None, "", [])
        and value is not False
        and value != WITHOUT_EFFECT.get(key)
        and not (key == "muon_learning_rate" and config.get("optimizer") != "muon")
    }


def _name_of(license_id: str | None) -> str | None:
    """Return a license's id, or None for the Hub's ids of licenses without one."""
    return None if license_id in ("other", "unknown") else license_id


def _teacher_commands(record: RunRecord) -> list[str]:
    """Return the commands that have trained a run's teachers, or [] unless all of them are here."""
    wanted = record.teachers_sha256
    if not wanted:
        return []
    commands = {
        models.weights_sha256(run.model): run.record.command for run in find.complete(record.track)
    }
    return [commands[digest] for digest in wanted] if commands.keys() >= set(wanted) else []


def require_report_of(runs: Sequence[CompleteRun], results: Results) -> None:
    """Raise Misuse unless the report has scored exactly these runs."""
    scored = {(run.run, run.started) for run in results.runs}
    newest = {(run.path.name, run.record.started) for run in runs}
    if scored != newest:
        raise Misuse(f"{storage.PATH} does not cover the newest runs: run python -m compare.report")


def result_of(run: CompleteRun, results: Results) -> RunResult:
    """Return the report's results of one run, including its scores on the test split."""
    return results.run_result(run.record.track, run.path.name)
