"""The course's points, each met or not, with evidence from records and files alone."""

from __future__ import annotations

import json

from safetensors import safe_open

from compare.course import MIN_EPOCHS, PARAMETER_LIMIT, describe_losses, falls_visibly
from compare.kinds import BaseKind, RowKind, TrackingMode
from compare.report.results import Requirement
from compare.runs.find import CompleteRun
from compare.runs.receipt import published_url


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
    links = [link for run in (scratch, gpt2) if (link := published_url(run))]
    points = [
        (
            "decoder-only",
            "Decoder-only model from torch.nn",
            "nn.TransformerDecoder(" in code and not cross,
            f"{config['architectures'][0]} in model.py; {len(names)} tensors, {len(cross)} of "
            "cross-attention",
        ),
        (
            "small",
            f"Fewer than {PARAMETER_LIMIT:,} parameters",
            total < PARAMETER_LIMIT,
            f"{total:,} parameters",
        ),
        (
            "tokenizer",
            "Tokenizer from transformers",
            tokenizer["tokenizer_class"].startswith("GPT2Tokenizer"),
            f"{tokenizer['tokenizer_class']}, {config['vocab_size']:,} tokens",
        ),
        (
            "own-loop",
            "Hand-written training loop, no Trainer",
            not record.trainer_loaded,
            "transformers.trainer was "
            + ("loaded" if record.trainer_loaded else "not loaded in the training process"),
        ),
        (
            "epochs",
            f"At least {MIN_EPOCHS} epochs",
            len(losses) >= MIN_EPOCHS,
            f"{len(losses)} epochs",
        ),
        (
            "validation",
            "Validation loss after each epoch, falling",
            falls_visibly(losses),
            f"{describe_losses(losses)} (nats per token)",
        ),
        *(
            (
                f"tracking-{run.record.track}",
                f"W&B: losses and samples ({run.record.track})",
                run.record.tracking is not None and run.record.tracking.mode is TrackingMode.ONLINE,
                _tracking(run),
            )
            for run in (scratch, gpt2)
        ),
        (
            "gpt2",
            "Bonus: GPT-2 fine-tuned with the Trainer",
            bool(fine_tuned.trainer_loaded)
            and fine_tuned.preset in (RowKind.FINE_TUNED, RowKind.LORA)
            and is_gpt2,
            f"{fine_tuned.display_name}, transformers.trainer "
            + ("loaded" if fine_tuned.trainer_loaded else "not loaded")
            + ("" if is_gpt2 else "; the base is not GPT-2"),
        ),
        (
            "published",
            "Both models on the Hub, with cards and tags",
            len(links) == 2,
            ", ".join(links) or "not pushed; python -m compare.publish stages both",
        ),
    ]
    return [
        Requirement(id=id, text=text, met=met, evidence=evidence)
        for id, text, met, evidence in points
    ]


def _tracking(run: CompleteRun) -> str:
    """What was logged, and where."""
    tracking = run.record.tracking
    assert tracking is not None, "a complete run has been tracked, if only as disabled"
    logged = ", ".join(run.logged_losses)
    where = tracking.where or "nowhere"
    how = f"wandb sync {where}" if tracking.mode is TrackingMode.OFFLINE else where
    return f"{tracking.mode}: {logged} and {len(run.samples)} samples; {how}"
