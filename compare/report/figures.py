"""The figures of the report, as SVG for light and dark pages."""

from __future__ import annotations

import io
from collections.abc import Iterable
from itertools import cycle
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator

# The palette of Okabe and Ito, which color-blind readers can distinguish.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
WIDTH = 6.2  # inches; narrow enough for labels to be legible on a phone
MARKERS = "osD^vPX*"  # one more than the colors, so that 56 combinations are distinct
TRACK_COLORS = {"scratch_lm": COLORS[0], "gpt2_finetune": COLORS[1], "floor": "#777777"}
Looks = dict[str, dict[str, str]]  # color and marker of each model, the same in all figures
STROKES = {"train": {"alpha": 0.45, "lw": 1, "marker": ""}, "validation": {}}
# Kinds of rows drawn as reference lines, because gradient descent did not train them here.
REFERENCE_KINDS = ("zero-shot", "n-gram")
STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "svg.hashsalt": "study",  # makes the file reproducible
    "figure.facecolor": "white",
}


def looks(names: Iterable[str]) -> Looks:
    """Assign a color and a marker to each name."""
    pairs = zip(names, cycle(COLORS), cycle(MARKERS), strict=False)
    return {name: {"color": color, "marker": marker} for name, color, marker in pairs}


def loss_curves(curves: dict[str, list[dict[str, Any]]], looks: Looks, characters: int) -> bytes:
    """Plot bits per byte over characters read: training as lines, validation as markers.

    `curves` maps each model name to points {characters_seen, train | validation}.  `characters` is
    the number of characters per epoch, for the upper axis.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 4.2), layout="constrained")
        for name, points in curves.items():
            for key, stroke in STROKES.items():
                with_key = [point for point in points if key in point]
                axes.plot(
                    [point["characters_seen"] / 1e6 for point in with_key],
                    [point[key] for point in with_key],
                    label=f"{name}, {key}",
                    **looks[name] | stroke,
                )
        best = min(
            point["validation"]
            for points in curves.values()
            for point in points
            if "validation" in point
        )
        axes.set_ylim(best - 0.3, best + 2.2)  # cuts off the first steps, which are far above
        axes.set_xlabel("characters read (million)")
        axes.set_ylabel("bits per byte (lower is better)")
        upper = axes.secondary_xaxis(
            "top", functions=(lambda x: x * 1e6 / characters, lambda x: x * characters / 1e6)
        )
        upper.set_xlabel("epochs")
        figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
        return _svg(figure)


def row_plot(rows: list[dict[str, Any]]) -> bytes:
    """Plot each row's bits per byte on the test split, with its 95 % interval if it has one."""
    # Uniform bytes, at 8 bits per byte, would be far off the scale.
    rows = [row for row in reversed(rows) if row["kind"] != "uniform"]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 0.48 * len(rows) + 1), layout="constrained")
        for place, row in enumerate(rows):
            color = TRACK_COLORS[row["track"]]
            if row["ci95"]:
                axes.plot(row["ci95"], [place, place], color=color, lw=2)
            axes.plot(row["bits_per_byte"], place, "o", color=color)
            if row["track"] == "floor":
                axes.axvline(row["bits_per_byte"], color=color, lw=0.8, ls=":", zorder=0)
            axes.annotate(
                f"{row['bits_per_byte']:.3f}",
                (row["bits_per_byte"], place),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
            )
        axes.margins(x=0.08)
        axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
        axes.set_ylim(-0.6, len(rows) - 0.3)
        intervals = any(row["ci95"] for row in rows)
        axes.set_xlabel("bits per byte" + ", with 95 % interval" * intervals)
        return _svg(figure)


def kind_plot(kinds: list[dict[str, Any]], looks: Looks) -> bytes:
    """Plot the bits per word of each model by kind of word, with each kind's share of words."""
    words = sum(kind["words"] for kind in kinds)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 0.7 * len(kinds) + 1.8), layout="constrained")
        for name in kinds[0]["bits_per_word"]:
            bits = [kind["bits_per_word"][name] for kind in kinds]
            axes.plot(bits, range(len(kinds)), ls="", label=name, alpha=0.85, **looks[name])
        labels = [f"{kind['kind']}\n{kind['words'] / words:.0%} of words" for kind in kinds]
        axes.set_yticks(range(len(kinds)), labels)
        axes.invert_yaxis()
        axes.set_xlabel("bits per word (lower is better)")
        figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=2)
        return _svg(figure)


def context_plot(closer: list[dict[str, Any]], looks: Looks) -> bytes:
    """Plot bits per byte against context length."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 4.2), layout="constrained")
        for row in closer:
            axes.plot(
                [point["characters"] for point in row["context"]],
                [point["bits_per_byte"] for point in row["context"]],
                label=row["name"],
                **looks[row["name"]],
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_minor_formatter("")
        axes.set_xlabel("context length (characters that as many tokens cover on average)")
        axes.set_ylabel("bits per byte (lower is better)")
        figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=2)
        return _svg(figure)


def compute_plot(rows: list[dict[str, Any]], looks: Looks) -> bytes:
    """Plot bits per byte against training compute; rows not trained here are horizontal lines."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 4.2), layout="constrained")
        for row in rows:
            name, bits = row["name"], row["bits_per_byte"]
            if row["training_flops"]:
                axes.plot(row["training_flops"], bits, ls="", label=name, **looks[name])
            elif row["kind"] in REFERENCE_KINDS or name == "PPMd":
                axes.axhline(bits, color="#777777", ls="--", lw=1)
                axes.annotate(
                    name,
                    (0, bits),
                    xycoords=("axes fraction", "data"),
                    xytext=(3, 3),
                    textcoords="offset points",
                    color="#555555",
                    fontsize=8,
                )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_minor_formatter("")
        axes.margins(x=0.25, y=0.12)
        figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=2)
        axes.set_xlabel("floating-point operations of the study's own training")
        axes.set_ylabel("bits per byte (lower is better)")
        return _svg(figure)


def _svg(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    plt.close(figure)
    return file.getvalue()
