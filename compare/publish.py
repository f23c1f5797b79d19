"""Stage both models with their cards, and push them to the Hugging Face Hub.

    python -m compare.publish           # runs/publish/<prefix>-scratch and <prefix>-gpt2
    python -m compare.publish --push    # and upload them, read them back, leave a receipt

Each directory holds weights, tokenizer, the code that loads them, a model card and samples.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from compare import cards, cli

NAME = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"


@dataclass(frozen=True)
class PublishOptions:
    """Stage both models with their cards, and with --push upload them to the Hub."""

    prefix: str = "tiny-shakespeare"
    """Names the repositories: <prefix>-scratch and <prefix>-gpt2."""

    namespace: str | None = None
    """User or organization on the Hub; by default whom this machine is logged in as."""
    push: bool = False
    """Upload; without it the models are only staged."""
    private: bool = False
    """Make new repositories private."""
    license: str | None = None
    """License of the models whose license is not known here, as the Hub writes it: cc-by-4.0."""

    def __post_init__(self) -> None:
        if self.namespace is not None and not re.fullmatch(NAME, self.namespace):
            raise ValueError(f"--namespace {self.namespace!r} is no name of a user on the Hub")
        if not re.fullmatch(NAME, self.prefix):
            raise ValueError(f"--prefix {self.prefix!r}: use letters, digits, '-', '_' and '.'")
        if self.license is not None and not re.fullmatch(cards.LICENSE, self.license):
            raise ValueError(
                f"--license {self.license!r}: give an identifier of the Hub, such as cc-by-4.0"
            )


if __name__ == "__main__":
    options = cli.parse(PublishOptions)

import json
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from compare import corpus as corpora
from compare import finished, licenses, models, push, receipt, runs
from compare.lock import hold
from compare.render import render

STAGED = runs.ROOT / "publish"
REPORT = Path("reports/report.json")
HUB_DATASETS = {
    "tiny-shakespeare": "karpathy/tiny_shakespeare",
    "wikitext-2": "Salesforce/wikitext",
}
METRICS = ("bits_per_byte", "nats_per_char", "word_perplexity", "token_perplexity")


def publish(options: PublishOptions) -> None:
    lock = hold(STAGED / ".lock", str(STAGED))
    scratch, gpt2 = finished.study()
    results = _report_of([run for runs in [*scratch, *gpt2] for run in runs])
    namespace = options.namespace
    if options.push:
        logged_in = push.namespace()
        namespace = namespace or logged_in
    names = [f"{options.prefix}-{suffix}" for suffix in ("scratch", "gpt2")]
    if options.push:  # both, before anything is sent to either
        for name in names:
            push.head_of_own(f"{namespace}/{name}")
    for name, run in zip(names, finished.chosen(scratch, gpt2), strict=True):
        repo = f"{namespace}/{name}" if namespace else name
        folder = stage(STAGED / name, repo, run, results, options.license)
        print(f"staged {folder}")
        if options.push:
            _upload(run, repo, folder, options.private, results)
    lock.release()
    if options.push:
        print("next: python -m compare.report, which then shows the links")
    else:
        print("not uploaded; log in with hf auth login, then: python -m compare.publish --push")


def _upload(
    run: dict[str, Any], repo: str, folder: Path, private: bool, results: dict[str, Any]
) -> None:
    """Push, read back, and note it in the receipt."""
    expected = _record_of(run, results)["test_slice"]
    text = corpora.of(run).test[: expected["chars"]]
    pushed = push.push(folder, repo, private)
    bits = push.read_back(repo, pushed["commit"], folder, text, expected["bits_per_byte"])
    receipt.note(run, {"repo": repo, **pushed, "slice_bits_per_byte": bits})
    print(f"published {pushed['url']} (commit {pushed['commit'][:9]}), read back and scored")


def _record_of(run: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    of = run["track"], run["path"].name
    return next(each for each in results["runs"] if (each["track"], each["run"]) == of)


def stage(
    target: Path,
    repo: str,
    run: dict[str, Any],
    results: dict[str, Any],
    license: str | None = None,
) -> Path:
    """`target`, new or replaced as a whole: model, card and samples, for the repository `repo`.

    Its card states the license that is known, else `license`, else none, with a line that says so.
    """
    models.require_whole(run)
    terms, missing = licenses.known(run)
    if not terms and license:
        terms = {"license": license}
    elif not terms:
        print(
            f"license left out of the card of {target.name}: {missing}; if you may pass the model "
            "on, name its license, for instance --license cc-by-4.0"
        )
    record = _record_of(run, results)
    config = json.loads((run["path"] / "model" / "config.json").read_text("utf-8"))
    context_length = config.get("n_positions") or config.get("max_position_embeddings", 200)
    shape = ("n_layer", "n_head", "n_embd", "n_inner", "n_positions", "num_hidden_layers",
             "num_attention_heads", "hidden_size", "intermediate_size", "max_position_embeddings",
             "vocab_size", "activation_function", "distance_bias", "smeared_keys",
             "dropout")  # fmt: skip
    card = render(
        "card.md.jinja",
        repo=repo,
        on_hub="/" in repo,
        new_tokens=min(100, context_length // 2),  # GPT-2 cannot write past its context
        run=run,
        name=models.name(run),
        test=record["test"],
        metadata=metadata(repo, run, record["test"], terms).to_yaml(),
        stand_in=run["track"] == "gpt2_finetune" and run["base"]["resolved"].startswith("stand-in"),
        architecture={"class": config["architectures"][0]}
        | {key.replace("_", " "): config[key] for key in shape if config.get(key) is not None},
        rows=results["rows"],
        samples=results["samples"],
        sample_settings=results["sample_settings"],
    )
    new = target.with_name(f".{target.name}")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(run["path"] / "model", new)
    ModelCard(card).save(new / "README.md")
    shutil.copy(run["path"] / "samples.jsonl", new / "samples.jsonl")
    shutil.copy(REPORT.parent / "figures" / "loss_curves.svg", new / "loss_curves.svg")
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


def metadata(
    repo: str, run: dict[str, Any], test: dict[str, Any], terms: dict[str, str]
) -> ModelCardData:
    """The card's front matter, with every metric of the test split in its model index."""
    dataset = HUB_DATASETS.get(run["config"]["corpus"])  # a file of that name is another text
    scratch = run["track"] == "scratch_lm"
    on_hub = not scratch and run["base"]["revision"] is not None
    return ModelCardData(
        model_name=repo.rpartition("/")[2],
        **terms,
        language="en" if dataset else None,
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=run["base"]["resolved"] if on_hub else None,
        datasets=[dataset] if dataset else None,
        tags=[
            "from-scratch" if scratch else "fine-tuned",
            "causal-lm",
            "model-comparison",
            cards.MARK,
        ],
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
                metric_args={"ci95": test["ci95"]}
                if metric == "bits_per_byte" and test["ci95"]
                else None,
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
