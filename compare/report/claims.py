"""The claims of the report: sentences derived from paired intervals and from nothing else."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from compare.ruler.bootstrap import LEAST_BLOCKS, Cut, interval


def differences(
    table: list[dict[str, Any]],
    draws: dict[str, np.ndarray],
    kinds: list[dict[str, Any]],
    chosen: str,
    blocks: Cut,
) -> list[dict[str, Any]]:
    """Return [{a, b, delta_bits_per_byte, ci95, sentence, by_kind}] for the pairs of interest.

    The first pair is fine-tuned against `chosen`, the scratch preset that is best on validation.
    Then follow fine-tuned against all other rows, the base and the control against scratch, the
    scratch presets against each other, and the scratch presets against the n-gram.

    `by_kind` splits the difference by kind of word; its values add up to `delta_bits_per_byte`.  If
    the text has too few `blocks` for an interval, `ci95` is None and the sentence makes no claim.
    """
    rows = {entry["kind"]: entry for entry in table}
    scratch = [entry for entry in table if entry["track"] == "scratch_lm"]
    scratch.sort(key=lambda entry: (entry["kind"] != chosen, entry["bits_per_byte"]))
    presets = [entry["kind"] for entry in scratch]
    others = ["zero-shot", "from random weights"]
    tuned = [kind for kind in ("fine-tuned", "LoRA fine-tuned") if kind in rows]
    pairs = [(kind, other) for kind in tuned for other in [*presets, *others]]
    pairs += [tuple(tuned)] if len(tuned) == 2 else []
    pairs += [(other, preset) for other in others for preset in presets]
    pairs += pairwise(presets)
    pairs += [(preset, "n-gram") for preset in presets]
    return [
        _difference(rows[a], rows[b], draws, kinds, blocks)
        for a, b in pairs
        if a in rows and b in rows
    ]


def _difference(
    a: dict[str, Any],
    b: dict[str, Any],
    draws: dict[str, np.ndarray],
    kinds: list[dict[str, Any]],
    blocks: Cut,
) -> dict[str, Any]:
    delta = a["bits_per_byte"] - b["bits_per_byte"]
    ci95 = interval(draws[a["name"]] - draws[b["name"]]) if blocks.enough else None
    if ci95 is None:
        sentence = (
            f"{a['name']} and {b['name']}: no difference claimed, the text is too short for an "
            f"interval ({blocks}, {LEAST_BLOCKS} are needed)"
        )
    elif ci95[0] <= 0 <= ci95[1]:
        sentence = (
            f"{a['name']} and {b['name']}: no difference shown [{ci95[0]:+.3f}, {ci95[1]:+.3f}]"
        )
    else:
        less = "less" if delta < 0 else "more"
        near, far = sorted(map(abs, ci95))
        sentence = (
            f"{a['name']} needs {abs(delta):.3f} bits per byte {less} than {b['name']} "
            f"[{near:.3f}, {far:.3f}]"
        )
    return {
        "a": a["name"],
        "b": b["name"],
        "delta_bits_per_byte": delta,
        "ci95": ci95,
        "by_kind": {
            kind["kind"]: (kind["bits_per_byte"][a["name"]] - kind["bits_per_byte"][b["name"]])
            * kind["bytes"]
            / a["bytes"]
            for kind in kinds
        },
        "sentence": sentence,
    }
