"""Stage both models as they would be uploaded to the Hugging Face Hub.

    python -m compare.publish       # runs/publish/<prefix>-scratch and <prefix>-gpt2

Each directory holds weights, tokenizer, the code that loads them, a model card and samples.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from compare import cli


@dataclass(frozen=True)
class PublishOptions:
    """Stage both models, with cards, as they would be uploaded to the Hub."""

    prefix: str = "tiny-shakespeare"
    """Names the repositories: <prefix>-scratch and <prefix>-gpt2."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", self.prefix):
            raise ValueError(f"--prefix {self.prefix!r}: use letters, digits, '-', '_' and '.'")


if __name__ == "__main__":
    options = cli.parse(PublishOptions)

import json
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from compare import finished, models, runs
from compare.render import render

STAGED = runs.ROOT / "publish"
REPORT = Path("reports/report.json")
HUB_DATASETS = {
    "tiny-shakespeare": "karpathy/tiny_shakespeare",
    "wikitext-2": "Salesforce/wikitext",
}
METRICS = ("bits_per_byte", "nats_per_char", "word_perplexity", "token_perplexity")


def publish(options: PublishOptions) -> None:
    scratch, gpt2 = finished.study()
    results = _report_of([run for runs in [*scratch, *gpt2] for run in runs])
    for suffix, run in zip(("scratch", "gpt2"), finished.chosen(scratch, gpt2), strict=True):
        repo = f"{options.prefix}-{suffix}"
        target = stage(repo, run, results)
        print(f"staged {target}; to publish: hf upload {repo} {target}")
    print("Log in once with: hf auth login")


def stage(repo: str, run: dict[str, Any], results: dict[str, Any]) -> Path:
    """`runs/publish/<repo>/`, new or replaced as a whole: model, card and samples."""
    record = next(each for each in results["runs"] if each["run"] == run["path"].name)
    config = json.loads((run["path"] / "model" / "config.json").read_text("utf-8"))
    shape = ("n_layer", "n_head", "n_embd", "n_inner", "n_positions", "num_hidden_layers",
             "num_attention_heads", "hidden_size", "intermediate_size", "max_position_embeddings",
             "vocab_size", "activation_function", "dropout")  # fmt: skip
    card = render(
        "card.md.jinja",
        repo=repo,
        run=run,
        name=models.name(run),
        test=record["test"],
        metadata=metadata(repo, run, record["test"]).to_yaml(),
        stand_in=run["track"] == "gpt2_finetune" and run["base"]["resolved"].startswith("stand-in"),
        architecture={"class": config["architectures"][0]}
        | {key.replace("_", " "): config[key] for key in shape if config.get(key) is not None},
        rows=results["rows"],
        samples=results["samples"],
        sample_settings=results["sample_settings"],
    )
    new, target = STAGED / f".{repo}", STAGED / repo
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(run["path"] / "model", new)
    ModelCard(card).save(new / "README.md")
    shutil.copy(run["path"] / "samples.jsonl", new / "samples.jsonl")
    if target.exists():
        shutil.rmtree(target)
    new.replace(target)
    return target


def metadata(repo: str, run: dict[str, Any], test: dict[str, Any]) -> ModelCardData:
    """The card's front matter, with every metric of the test split in its model index."""
    dataset = HUB_DATASETS.get(run["corpus"]["name"])
    scratch = run["track"] == "scratch_lm"
    on_hub = not scratch and run["base"]["revision"] is not None
    return ModelCardData(
        model_name=repo,
        license="mit",
        language="en" if dataset else None,
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=run["base"]["resolved"] if on_hub else None,
        datasets=[dataset] if dataset else None,
        tags=["from-scratch" if scratch else "fine-tuned", "causal-lm", "model-comparison"],
        eval_results=[
            EvalResult(
                task_type="text-generation",
                dataset_type=dataset or "text",
                dataset_name=run["corpus"]["name"],
                dataset_split="test",
                dataset_revision=run["corpus"]["sha256"],
                metric_type=metric,
                metric_name=metric.replace("_", " "),
                metric_value=round(test[metric], 4),
            )
            for metric in METRICS
        ],
    )


def _report_of(records: list[dict[str, Any]]) -> dict[str, Any]:
    """`reports/report.json`.  Raises Misuse unless it scored exactly these runs."""
    if not REPORT.exists():
        raise cli.Misuse(f"no {REPORT}: make it with python -m compare.report")
    results = json.loads(REPORT.read_text("utf-8"))
    scored = {(run["run"], run["started"]) for run in results["runs"]}
    newest = {(run["path"].name, run["started"]) for run in records}
    if scored != newest:
        raise cli.Misuse(f"{REPORT} is of other runs than the newest: run python -m compare.report")
    return results


if __name__ == "__main__":
    cli.run(publish, options)
