"""The pairs of rows that the report compares, and their differences with paired intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from compare.kinds import RowKind, Track
from compare.report.results import Difference, ResultRow, WordClassResult
from compare.ruler.bootstrap import interval


def differences(
    rows: Sequence[ResultRow],
    draws: Mapping[str, np.ndarray],
    word_classes: Sequence[WordClassResult],
    best_scratch: RowKind,
) -> list[Difference]:
    """Return the differences of the pairs of interest.

    The first pair answers the question of the study: fine-tuned against `best_scratch`, the scratch
    preset that is best on validation.  The others are fine-tuned (and LoRA) against the other
    scratch presets, the base and the control; the base and the control against the scratch presets;
    the scratch presets against each other and against the n-gram.

    `draws` maps row names to bootstrap draws of their bits per byte.  If it is empty, because the
    text is too short for intervals, the differences have none.
    """
    by_kind = {row.kind: row for row in rows}
    return [
        _difference(by_kind[a], by_kind[b], draws, word_classes)
        for a, b in _pairs(rows, best_scratch)
        if a in by_kind and b in by_kind
    ]


def _pairs(rows: Sequence[ResultRow], best_scratch: RowKind) -> list[tuple[RowKind, RowKind]]:
    scratch = [row for row in rows if row.track == Track.SCRATCH]
    scratch.sort(key=lambda row: (row.kind is not best_scratch, row.bits_per_byte))
    presets = [row.kind for row in scratch]
    kinds = [row.kind for row in rows]
    controls = [RowKind.ZERO_SHOT, RowKind.RANDOM_WEIGHTS]
    fine_tuned: list[RowKind] = [RowKind.FINE_TUNED, RowKind.LORA]
    tuned = [kind for kind in fine_tuned if kind in kinds]
    pairs: list[tuple[RowKind, RowKind]] = [
        (kind, other) for kind in tuned for other in [*presets, *controls]
    ]
    pairs += pairwise(tuned)
    pairs += [(other, preset) for other in controls for preset in presets]
    pairs += pairwise(presets)
    pairs += [(preset, RowKind.N_GRAM) for preset in presets]
    return pairs


def _difference(
    a: ResultRow,
    b: ResultRow,
    draws: Mapping[str, np.ndarray],
    word_classes: Sequence[WordClassResult],
) -> Difference:
    paired = draws[a.name] - draws[b.name] if draws else None
    return Difference(
        a=a.name,
        b=b.name,
        delta_bits_per_byte=a.bits_per_byte - b.bits_per_byte,
        ci95=interval(paired),
        by_word_class={
            each.word_class: (each.bits_per_byte[a.name] - each.bits_per_byte[b.name])
            * each.bytes
            / a.bytes
            for each in word_classes
        },
    )
