"""What the pretrained models are, as the report describes them."""

from __future__ import annotations

from compare.kinds import BaseKind
from compare.runs.record import BaseIdentity

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"


def stored_in_4_bits(base: BaseIdentity) -> bool:
    """Return whether the weights of `base` were stored in 4 bits before it was used here.

    Only the version of SmolLM2 that does not come from the Hub is known to be such a base.
    """
    return base.version_of == SMOLLM2


def describe(base: BaseIdentity) -> str:
    """Return a sentence on what `base` is and what it was pretrained on, as far as is known."""
    if base.kind is BaseKind.STAND_IN:
        return (
            "a small stand-in with GPT-2's architecture, which this project pretrained on 29 plays "
            "of Shakespeare, none of them in Tiny Shakespeare. It takes GPT-2's place where GPT-2 "
            "is not available; it has neither GPT-2's size nor its pretraining"
        )
    if base.kind is BaseKind.GPT2:
        return (
            "OpenAI's GPT-2 with 124 M parameters, pretrained on 40 GB of web pages (Radford et "
            "al. 2019)"
        )
    if SMOLLM2 in (base.version_of, base.resolved):
        weights = (
            ". Its weights were stored in 4 bits (Q4_1) and converted to fp32"
            if stored_in_4_bits(base)
            else ""
        )
        return (
            "a model of GPT-2's size with Llama's architecture, pretrained on 2 trillion tokens of "
            "web pages, code and mathematics, and then trained to follow instructions "
            f"({SMOLLM2}, Ben Allal et al. 2025, license Apache-2.0){weights}"
        )
    return f"a causal language model ({base.source}) whose pretraining data is unknown here"
