"""The figures of the report, as SVG for light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.ticker import LogLocator, MaxNLocator
from matplotlib.typing import ColorType

from compare.kinds import RowKind
from compare.report.differences import Difference, PairDifference, PartDifference
from compare.report.drawing import (
    FIGURE_STYLE,
    GRAY,
    LABEL_COLOR,
    WIDTH,
    Style,
    Styles,
    explain,
    label_points,
    to_svg,
    wrap,
)
from compare.report.results import (
    CloserLook,
    Curve,
    CurvePoint,
    OtherPlays,
    ResultRow,
    WordClassResult,
)
from compare.report.worth_results import Worth
from compare.ruler.metrics import Interval
from compare.wording import format_share

TRAIN_STROKE: Style = {"alpha": 0.45, "lw": 1, "marker": ""}
# Kinds of rows drawn as reference lines, because gradient descent did not train them here.
REFERENCE_KINDS = (RowKind.ZERO_SHOT, RowKind.N_GRAM, RowKind.ADAPTIVE)


def loss_curves(curves: Mapping[str, Curve], styles: Styles, epoch_characters: int) -> bytes:
    """Plot bits per byte over characters read: training as lines, validation as markers.

    `curves` has a row name for each curve; an epoch has `epoch_characters`, for the upper axis.
    """
    with plt.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 4.2), layout="constrained")
        for name, curve in curves.items():
            _plot_curve(axes, curve.train, styles[name] | TRAIN_STROKE)
            _plot_curve(axes, curve.validation, styles[name] | {"lw": 1.5, "ms": 5})
            for point in curve.validation:
                x, y = point.characters_seen / 1e6, point.bits_per_byte
                epoch = point.characters_seen / epoch_characters
                explain(axes, x, y, f"{name}, epoch {epoch:.3g}: validation {y:.3f} bits per byte")
        best = min(point.bits_per_byte for curve in curves.values() for point in curve.validation)
        axes.set_ylim(best - 0.3, best + 2.2)  # cuts off the first steps, which are far above
        axes.set_xlabel("characters read (million)")
        axes.set_ylabel("bits per byte (lower is better)")
        upper = axes.secondary_xaxis(
            "top",
            functions=(
                lambda millions: np.asarray(millions) * 1e6 / epoch_characters,
                lambda epochs: np.asarray(epochs) * epoch_characters / 1e6,
            ),
        )
        upper.set_xlabel("epochs")
        ends = {
            name: (curve.validation[-1].characters_seen / 1e6, curve.validation[-1].bits_per_byte)
            for name, curve in curves.items()
        }
        label_points(axes, ends, styles)
        return to_svg(figure, "loss_curves")


def _plot_curve(axes: Axes, points: Sequence[CurvePoint], style: Style) -> None:
    axes.plot(
        [point.characters_seen / 1e6 for point in points],
        [point.bits_per_byte for point in points],
        **style,
    )


def _with_best_compressor(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Return `rows`, which are sorted, without all compressors but the best: one is enough."""
    compressors = [row.name for row in rows if row.kind is RowKind.ADAPTIVE]
    return [row for row in rows if row.name not in compressors[1:]]


def row_plot(rows: Sequence[ResultRow], styles: Styles) -> bytes:
    """Plot each row's bits per byte on the test split, with its 95% interval if it has one.

    `rows` are sorted, the best first.
    """
    # Uniform bytes, at 8 bits per byte, would be far off the scale.
    shown = [
        row for row in reversed(_with_best_compressor(rows)) if row.kind is not RowKind.UNIFORM
    ]
    with plt.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 0.36 * len(shown) + 1), layout="constrained")
        for place, row in enumerate(shown):
            right = row.bits_per_byte
            if row.ci95:
                right = row.ci95[1]
                axes.plot(row.ci95, [place, place], color=styles[row.name]["color"], lw=2)
            axes.plot(row.bits_per_byte, place, **styles[row.name])
            explain(axes, row.bits_per_byte, place, _score(row.name, row.bits_per_byte, row.ci95))
            axes.annotate(
                f"{row.bits_per_byte:.3f}",
                (right, place),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
        axes.margins(x=0.12)
        axes.set_yticks(range(len(shown)), [wrap(row.name, 27) for row in shown], fontsize=10)
        axes.set_ylim(-0.6, len(shown) - 0.4)
        has_intervals = any(row.ci95 for row in shown)
        axes.set_xlabel("bits per byte" + (", with 95% interval" if has_intervals else ""))
        return to_svg(figure, "rows")


def claim_plot(differences: Sequence[Difference]) -> bytes:
    """Plot each claim's difference with its interval: for the whole text, and for each part."""
    entries: list[tuple[str, PartDifference, bool]] = []  # label, difference, whether whole
    for difference in differences:
        label = f"{difference.a}\n− {difference.b}"
        entries.append((label, difference, True))
        entries += [(name, part, False) for name, part in difference.by_play.items()]
    with plt.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(
            figsize=(WIDTH, 0.42 * len(entries) + 1.1), layout="constrained"
        )
        for place, (label, entry, is_whole) in enumerate(entries):
            color = "black" if is_whole else GRAY
            if entry.ci95:
                axes.plot(entry.ci95, [place, place], "|-", color=color, lw=2 if is_whole else 1)
            delta = entry.delta_bits_per_byte
            axes.plot(delta, place, "o", color=color, ms=5 if is_whole else 4)
            explain(axes, delta, place, _score(label.replace("\n", " "), delta, entry.ci95, "+"))
        axes.axvline(0, color="black", lw=1)
        axes.set_yticks(range(len(entries)), [label for label, _, _ in entries], fontsize=9)
        axes.invert_yaxis()
        axes.set_xlabel("difference in bits per byte")
        return to_svg(figure, "claims")


def pair_plot(pairs: Sequence[PairDifference]) -> bytes:
    """Plot the differences of all pairs of rows as a matrix; those not shown are in gray."""
    names = list(dict.fromkeys([*(pair.a for pair in pairs), *(pair.b for pair in pairs)]))
    size = 0.62 * len(names) + 2.2
    largest = max(abs(pair.delta_bits_per_byte) for pair in pairs)
    with plt.rc_context(FIGURE_STYLE | {"axes.grid": False}):
        figure, axes = plt.subplots(figsize=(max(WIDTH, size), size), layout="constrained")
        for pair in pairs:
            row, column = names.index(pair.a), names.index(pair.b)
            for y, x, delta in (
                (row, column, pair.delta_bits_per_byte),
                (column, row, -pair.delta_bits_per_byte),
            ):
                # At least a tint, so that no difference that is shown looks like none.
                strength = 0.12 + 0.3 * abs(delta) / largest
                shade = plt.get_cmap("PuOr")(0.5 + math.copysign(strength, delta))
                color = shade if pair.is_shown else "#e8e8e8"
                axes.add_patch(plt.Rectangle((x - 0.5, y - 0.5), 1, 1, color=color))
                text = f"{delta:+.2f}".replace("-", "−") if abs(delta) >= 0.005 else "0.00"
                axes.text(x, y, text, ha="center", va="center", fontsize=8, color=_ink_on(color))
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_title("row minus column, bits per byte (orange: the row is better)", fontsize=10)
        return to_svg(figure, "pairs")


def _ink_on(background: ColorType) -> str:
    """Return black or white, whichever has the higher contrast with `background` (WCAG 2)."""
    channels = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in to_rgb(background)
    ]
    luminance = float(np.dot(channels, (0.2126, 0.7152, 0.0722)))
    return "white" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "black"


def other_plays_plot(other_plays: OtherPlays, styles: Styles) -> bytes:
    """Plot the bits per byte of each row on each play; plays are sorted by the best row's."""
    titles = sorted(other_plays.rows[0].by_play, key=other_plays.rows[0].by_play.__getitem__)
    with plt.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 0.26 * len(titles) + 2.6), layout="constrained")
        for row in other_plays.rows:
            label = row.name + (" (may have read them)" if row.may_have_read else "")
            bits = [row.by_play[title] for title in titles]
            axes.plot(bits, range(len(titles)), ls="", label=label, alpha=0.85, **styles[row.name])
            for place, title in enumerate(titles):
                explain(axes, bits[place], place, _score(f"{row.name}, {title}", bits[place]))
        axes.set_yticks(range(len(titles)), titles, fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(prune="upper"))  # at the edge, it would be cut off
        axes.invert_yaxis()
        axes.set_xlabel("bits per byte (lower is better)")
        figure.legend(frameon=False, fontsize=8, loc="outside upper left", ncols=1)
        return to_svg(figure, "other_plays")


def worth_plot(worth: Worth, styles: Styles) -> bytes:
    """Plot bits per byte over characters of training text; untouched bases are dashed lines."""
    trained = [point for curve in worth.curves for point in curve.trained]
    texts = {point.share: point.characters for point in trained}
    with plt.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 4.4), layout="constrained")
        for curve in worth.curves:
            characters = [point.characters for point in curve.trained]
            bits = [point.bits_per_byte for point in curve.trained]
            axes.plot(characters, bits, **styles[curve.name])
            for point in curve.trained:
                text = f"{curve.name}, {point.characters:,} characters"
                explain(
                    axes,
                    point.characters,
                    point.bits_per_byte,
                    _score(text, point.bits_per_byte, point.ci95),
                )
                if point.ci95:
                    color = styles[curve.name]["color"]
                    axes.plot([point.characters] * 2, point.ci95, color=color, alpha=0.6, lw=3)
        for base, bits_per_byte in worth.zero_shot.items():
            axes.axhline(bits_per_byte, color=GRAY, ls="--", lw=1)
            axes.annotate(
                f"{base} before fine-tuning (none of the text)",
                (0, bits_per_byte),
                xycoords=("axes fraction", "data"),
                xytext=(3, 3),
                textcoords="offset points",
                color=LABEL_COLOR,
                fontsize=8,
            )
        axes.set_xscale("log", base=2)
        labels = [f"{characters:,}\n({format_share(share)})" for share, characters in texts.items()]
        axes.set_xticks(list(texts.values()), labels, fontsize=9)
        axes.minorticks_off()
        axes.margins(x=0.1, y=0.1)
        axes.set_xlabel("characters of training text (share of the training split)")
        has_intervals = any(point.ci95 for point in trained)
        axes.set_ylabel("bits per byte" + (", with 95% interval" if has_intervals else ""))
        ends = {
            curve.name: (curve.points[-1].characters, curve.points[-1].bits_per_byte)
            for curve in worth.curves
        }
        label_points(axes, ends, styles)
        return to_svg(figure, "worth")


def word_class_plot(
    word_classes: Sequence[WordClassResult], names: Sequence[str], styles: Styles
) -> bytes:
    """Plot the bits per word of the models `names` by class of words, and each class's share."""
    words = sum(each.words for each in word_classes)
    places = range(len(word_classes))
    with plt.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(
            figsize=(WIDTH, 0.7 * len(word_classes) + 1.8), layout="constrained"
        )
        for name in names:
            bits = [each.bits_per_word[name] for each in word_classes]
            axes.plot(bits, places, ls="", label=name, alpha=0.85, **styles[name])
            for place, each in enumerate(word_classes):
                text = f"{name}, {each.word_class}: {bits[place]:.2f} bits per word"
                explain(axes, bits[place], place, text)
        labels = [f"{each.word_class}\n{each.words / words:.0%} of words" for each in word_classes]
        axes.set_yticks(places, labels)
        axes.invert_yaxis()
        axes.set_xlabel("bits per word (lower is better)")
        figure.legend(frameon=False, fontsize=8, loc="outside upper left", ncols=1)
        return to_svg(figure, "word_classes")


def context_plot(closer_looks: Sequence[CloserLook], styles: Styles) -> bytes:
    """Plot bits per byte against context length."""
    with plt.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 4.2), layout="constrained")
        for look in closer_looks:
            axes.plot(
                [point.characters for point in look.context],
                [point.bits_per_byte for point in look.context],
                **styles[look.name],
            )
            for point in look.context:
                text = f"{look.name}, {point.tokens:,} tokens"
                explain(
                    axes, point.characters, point.bits_per_byte, _score(text, point.bits_per_byte)
                )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_minor_formatter("")
        axes.set_xlabel("context length, in characters")
        axes.set_ylabel("bits per byte (lower is better)")
        longest = {
            look.name: (look.context[0].characters, look.context[0].bits_per_byte)
            for look in closer_looks
        }
        label_points(axes, longest, styles)
        return to_svg(figure, "contexts")


def compute_plot(rows: Sequence[ResultRow], styles: Styles) -> bytes:
    """Plot bits per byte against training compute; rows not trained here are horizontal lines.

    `rows` are sorted, the best first.
    """
    with plt.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 4.2), layout="constrained")
        trained: dict[str, tuple[float, float]] = {}
        for row in rows:
            if row.training_flops:
                trained[row.name] = x, y = row.training_flops, row.bits_per_byte
                axes.plot(x, y, ls="", **styles[row.name])
                explain(axes, x, y, f"{_score(row.name, y)}, {x:.2g} floating-point operations")
        untrained = [row for row in _with_best_compressor(rows) if row.kind in REFERENCE_KINDS]
        # Labels stand on the left and on the right in turn, since neighbors may be close.
        for row, side in zip(untrained, cycle((0, 1)), strict=False):
            axes.axhline(row.bits_per_byte, color=GRAY, ls="--", lw=1)
            axes.annotate(
                row.name,
                (side, row.bits_per_byte),
                xycoords=("axes fraction", "data"),
                xytext=(-3 if side else 3, 3),
                textcoords="offset points",
                ha="right" if side else "left",
                color=LABEL_COLOR,
                fontsize=8,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_minor_formatter("")
        axes.margins(x=0.25, y=0.12)
        axes.set_xlabel("floating-point operations of the study's own training")
        axes.set_ylabel("bits per byte (lower is better)")
        label_points(axes, trained, styles)
        return to_svg(figure, "compute")


def _score(name: str, bits_per_byte: float, ci95: Interval | None = None, sign: str = "") -> str:
    """Return a sentence for `explain`; `sign` is "+" to show the sign of positive numbers."""
    text = f"{name}: {bits_per_byte:{sign}.3f} bits per byte"
    return text + (f" ({ci95[0]:{sign}.3f} to {ci95[1]:{sign}.3f})" if ci95 else "")
