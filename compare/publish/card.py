"""What a model card says of itself in its front matter, whoever wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
from huggingface_hub import EvalResult, ModelCardData

from compare.runs.record import RunRecord

if TYPE_CHECKING:  # only a type: --help answers without torch
    from compare.report.results import TestScores

NAME = "README.md"
LICENSE = r"[a-z0-9][a-z0-9.+-]*"  # as the Hub writes them: mit, apache-2.0, cc-by-sa-3.0
MARK = "tiny-shakespeare-study"  # the tag by which `--push` knows the repositories of this study
HUB_DATASETS = {
    "tiny-shakespeare": "karpathy/tiny_shakespeare",
    "wikitext-2": "Salesforce/wikitext",
}
METRICS = ("bits_per_byte", "nats_per_char", "word_perplexity", "token_perplexity")


def front_matter(path: Path) -> dict[str, Any]:
    """The fields of the card in file `path`; none where there is no such file or it is damaged."""
    try:
        return huggingface_hub.metadata_load(path) or {}
    except Exception:  # strangers' YAML fails in many ways, and then it says nothing
        return {}


def is_of_the_study(path: Path) -> bool:
    """Whether the card in file `path` carries the mark of this study."""
    tags = front_matter(path).get("tags")
    return isinstance(tags, list) and MARK in tags


def metadata(
    repo: str, record: RunRecord, test: TestScores, terms: dict[str, Any]
) -> ModelCardData:
    """The card's front matter, with every metric of the test split in its model index."""
    dataset = HUB_DATASETS.get(record.config["corpus"])  # a file of that name is another text
    base = record.base
    return ModelCardData(
        model_name=repo.rpartition("/")[2],
        **terms,
        language="en" if dataset else None,
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=base.resolved if base and base.revision else None,
        datasets=[dataset] if dataset else None,
        tags=[
            "fine-tuned" if base else "from-scratch",
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
                dataset_revision=record.corpus.sha256,
                metric_type=metric,
                metric_name=metric.replace("_", " "),
                metric_value=round(getattr(test, metric), 4),
                metric_args={"ci95": list(test.ci95)}
                if metric == "bits_per_byte" and test.ci95
                else None,
            )
            for metric in METRICS
        ],
    )
