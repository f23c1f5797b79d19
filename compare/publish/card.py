"""The front matter of model cards, this study's and others'."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
from huggingface_hub import EvalResult, ModelCardData, hf_hub_url

from compare.kinds import RowKind
from compare.runs.record import Base, RunRecord

if TYPE_CHECKING:  # an import at run time would load torch, and delay --help
    from compare.report.results import TestScores

CARD_FILE = "README.md"
LICENSE = r"[a-z0-9][a-z0-9.+-]*"  # the Hub's identifiers: mit, apache-2.0, cc-by-sa-3.0
MARK = "tiny-shakespeare-study"  # the tag by which `--push` recognizes this study's repositories
HUB_DATASETS = {
    "tiny-shakespeare": "karpathy/tiny_shakespeare",
    "wikitext-2": "Salesforce/wikitext",
}
REPORT = "report.html"  # the study's report, in each repository
METRICS = ("bits_per_byte", "nats_per_char", "word_perplexity", "token_perplexity")


def read_front_matter(path: Path) -> dict[str, Any]:
    """Return the front matter of the card in file `path`, or {} if it is missing or damaged."""
    try:
        return huggingface_hub.metadata_load(path) or {}
    except Exception:  # invalid YAML raises many types
        return {}


def is_of_the_study(path: Path) -> bool:
    """Return whether the card in file `path` has the tag of this study."""
    tags = read_front_matter(path).get("tags")
    return isinstance(tags, list) and MARK in tags


def name_on_hub(base: Base) -> str | None:
    """Return the base's name on the Hub; None if it is not known to be there."""
    return base.version_of or (base.resolved if base.revision else None)


def metadata(
    repo: str, record: RunRecord, test: TestScores, terms: dict[str, Any]
) -> ModelCardData:
    """Return the front matter of a card, with all metrics of the test split in its model index.

    `terms` are the license fields from `compare.publish.licenses`.  If `repo` is the name of a
    repository on the Hub, the source of the metrics is the report there.
    """
    from compare.runs.subjects import without_login  # imports torch, which would delay --help

    # By --corpus, not by the name in the record: a user's file may have the same name.
    dataset = HUB_DATASETS.get(record.config["corpus"])
    base = record.base
    source = without_login(hf_hub_url(repo, REPORT)) if "/" in repo else None
    return ModelCardData(
        model_name=repo.rpartition("/")[2],
        **terms,
        language="en" if dataset else None,
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=name_on_hub(base) if base else None,
        datasets=[dataset] if dataset else None,
        tags=[
            "fine-tuned" if base else "from-scratch",
            *(["lora"] if record.preset is RowKind.LORA else []),
            "causal-lm",
            "model-comparison",
            MARK,
        ],
        eval_results=[
            EvalResult(
                task_type="text-generation",
                dataset_type=dataset or "text",
                dataset_name=record.corpus.name,
                dataset_split="test",
                # Not a revision: the text need not come from the Hub's copy of the dataset.
                dataset_args={"sha256": record.corpus.sha256},
                metric_type=metric,
                metric_name=metric.replace("_", " "),
                metric_value=round(getattr(test, metric), 4),
                metric_args={"ci95": list(test.ci95)}
                if metric == "bits_per_byte" and test.ci95
                else None,
                source_name="report of the study" if source else None,
                source_url=source,
            )
            for metric in METRICS
            if getattr(test, metric) is not None
        ],
    )
