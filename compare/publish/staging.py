"""A directory for each repository: weights, tokenizer, code, a model card and samples."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import ModelCard

from compare.errors import Misuse
from compare.kinds import BaseKind
from compare.publish import licenses
from compare.publish.card import metadata
from compare.rendering import render
from compare.report import pages
from compare.report import results as report
from compare.report.results import Results, RunResult
from compare.runs import models, writer
from compare.runs.find import CompleteRun

STAGED = writer.ROOT / "publish"


def stage(
    target: Path,
    repo: str,
    run: CompleteRun,
    results: Results,
    license: str | None = None,
) -> Path:
    """`target`, new or replaced as a whole: model, card and samples, for the repository `repo`.

    Its card states the license that is known, else `license`, else none, with a line that says so.
    """
    models.require_whole(run)
    terms, missing = licenses.known(run.record)
    if not terms and license:
        terms = {"license": license}
    elif not terms:
        print(
            f"license left out of the card of {target.name}: {missing}; if you may pass the model "
            "on, name its license, for instance --license cc-by-4.0"
        )
    test = result_of(run, results).test
    config = json.loads((run.model / "config.json").read_text("utf-8"))
    context_length = config.get("n_positions") or config.get("max_position_embeddings", 200)
    shape = (
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
        "dropout",
    )
    card = render(
        Path(__file__).parent / "card.md.jinja",
        repo=repo,
        on_hub="/" in repo,
        new_tokens=min(100, context_length // 2),  # GPT-2 cannot write past its context
        run=run.record,
        name=run.record.display_name,
        test=test,
        metadata=metadata(repo, run.record, test, terms).to_yaml(),
        stand_in=run.record.base is not None and run.record.base.kind is BaseKind.STAND_IN,
        architecture={"class": config["architectures"][0]}
        | {key.replace("_", " "): config[key] for key in shape if config.get(key) is not None},
        results=results,
    )
    new = target.with_name(f".{target.name}")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(run.model, new)
    ModelCard(card).save(new / "README.md")
    shutil.copy(run.path / "samples.jsonl", new / "samples.jsonl")
    shutil.copy(pages.REPORTS / "figures" / "loss_curves.svg", new / "loss_curves.svg")
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.replace(old)
    try:
        new.replace(target)
    except OSError:
        if old.exists():
            old.replace(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
    return target


def require_report_of(runs: Sequence[CompleteRun], results: Results) -> None:
    """Raise Misuse unless the report has scored exactly these runs."""
    scored = {(run.run, run.started) for run in results.runs}
    newest = {(run.path.name, run.record.started) for run in runs}
    if scored != newest:
        raise Misuse(
            f"{report.PATH} is of other runs than the newest: run python -m compare.report"
        )


def result_of(run: CompleteRun, results: Results) -> RunResult:
    """What the report's `results` have of one run, its scores on the test split included."""
    return results.run_result(run.record.track, run.path.name)
