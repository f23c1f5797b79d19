"""The course's points, each met or not, with evidence from records and files alone."""

from __future__ import annotations

import json

from safetensors import safe_open

from compare.course import MIN_EPOCHS, PARAMETER_LIMIT, describe_losses, falls_visibly
from compare.kinds import BaseKind, RowKind, TrackingMode
from compare.report.results import Requirement
from compare.runs.find import CompleteRun
from compare.runs.receipt import Publication, publication_of
from compare.runs.record import RunRecord


def requirements(scratch: CompleteRun, gpt2: CompleteRun) -> list[Requirement]:
    """Check the points of the course for a run of each track."""
    model = scratch.model
    record, fine_tuned = scratch.record, gpt2.record
    config = json.loads((model / "config.json").read_text("utf-8"))
    tokenizer = json.loads((model / "tokenizer_config.json").read_text("utf-8"))
    code = (model / "model.py").read_text("utf-8")
    with safe_open(model / "model.safetensors", "np") as weights:
        names = list(weights.keys())
    cross = [name for name in names if "multihead_attn" in name]
    losses = [epoch.eval.loss for epoch in record.epochs]
    total = record.parameters.total
    is_gpt2 = fine_tuned.base is not None and fine_tuned.base.kind is BaseKind.GPT2
    published = [found for run in (scratch, gpt2) if (found := publication_of(run))]
    return [
        Requirement(
            id="decoder-only",
            text="Decoder-only model from torch.nn",
            met="nn.TransformerDecoder(" in code and not cross,
            evidence=(
                f"{config['architectures'][0]} in model.py; {len(names)} tensors, {len(cross)} of "
                "cross-attention"
            ),
        ),
        Requirement(
            id="small",
            text=f"Fewer than {PARAMETER_LIMIT:,} parameters",
            met=total < PARAMETER_LIMIT,
            evidence=f"{total:,} parameters",
        ),
        Requirement(
            id="tokenizer",
            text="Tokenizer from transformers",
            met=tokenizer["tokenizer_class"].startswith("GPT2Tokenizer"),
            evidence=f"{tokenizer['tokenizer_class']}, {config['vocab_size']:,} tokens",
        ),
        Requirement(
            id="own-loop",
            text="Hand-written training loop, no Trainer",
            met=not record.trainer_loaded,
            evidence=f"{_describe_trainer(record)} in the training process",
        ),
        Requirement(
            id="epochs",
            text=f"At least {MIN_EPOCHS} epochs",
            met=len(losses) >= MIN_EPOCHS,
            evidence=f"{len(losses)} epochs",
        ),
        Requirement(
            id="validation",
            text="Validation loss after each epoch, falling",
            met=falls_visibly(losses),
            evidence=f"{describe_losses(losses)} (nats per token)",
        ),
        *(
            Requirement(
                id=f"tracking-{run.record.track}",
                text=f"W&B: losses and samples ({run.record.track})",
                met=run.record.tracking is not None
                and run.record.tracking.mode is TrackingMode.ONLINE,
                evidence=_describe_tracking(run),
            )
            for run in (scratch, gpt2)
        ),
        Requirement(
            id="gpt2",
            text="Bonus: GPT-2 fine-tuned with the Trainer",
            met=bool(fine_tuned.trainer_loaded)
            and fine_tuned.preset in (RowKind.FINE_TUNED, RowKind.LORA)
            and is_gpt2,
            evidence=f"{fine_tuned.display_name}, {_describe_trainer(fine_tuned)}"
            + ("" if is_gpt2 else "; the base is not GPT-2"),
        ),
        Requirement(
            id="published",
            text="Both models on the Hub, with cards and tags",
            met=len(published) == 2 and not any(each.private for each in published),
            evidence=", ".join(map(_describe_publication, published))
            or "not pushed; python -m compare.publish stages both",
        ),
    ]


def _describe_trainer(record: RunRecord) -> str:
    """Say whether the training process had loaded the Trainer."""
    return f"transformers.trainer {'loaded' if record.trainer_loaded else 'not loaded'}"


def _describe_tracking(run: CompleteRun) -> str:
    """Say what was logged, and where it is or how to upload it."""
    tracking = run.record.tracking
    assert tracking is not None, "a complete run has been tracked, if only as disabled"
    logged = ", ".join(run.logged_losses)
    where = tracking.where or "nowhere"
    what = f"{tracking.mode}: {logged} and {len(run.samples)} samples"
    if tracking.mode is TrackingMode.OFFLINE:
        return (
            f"{what}; upload them with wandb sync {where}, and hand in the address that it prints"
        )
    return f"{what}; {where}"


def _describe_publication(publication: Publication) -> str:
    """Return where a model is, and whether others need access to open it."""
    hint = (
        " (private: make it public in its settings, then push again)" if publication.private else ""
    )
    return f"{publication.url}{hint}"
