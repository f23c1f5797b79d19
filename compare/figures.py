"""The report's figures, as SVG that reads on light and dark pages alike."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from compare.corpus import write_atomically

# Okabe and Ito's colours, told apart by colour-blind readers; one for each trained model.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^vP"
TRACK_COLOURS = {"scratch_lm": COLOURS[0], "gpt2_finetune": COLOURS[1], "floor": "#777777"}
STROKES = {"train": {"alpha": 0.45, "lw": 1}, "validation": {"marker": "o"}}
STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "svg.hashsalt": "study",  # the same numbers give the same file
    "figure.facecolor": "white",
}


def loss_curves(path: Path, curves: dict[str, list[dict[str, Any]]], characters: int) -> None:
    """Bits per byte over characters read: training as a line, validation after each epoch as dots.

    `curves` holds by model name the lines {characters_seen, train | validation}; `characters` is
    the length of one epoch, for the upper axis.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        for (name, points), colour in zip(curves.items(), COLOURS, strict=False):
            for key, style in STROKES.items():
                chosen = [point for point in points if key in point]
                axes.plot(
                    [point["characters_seen"] / 1e6 for point in chosen],
                    [point[key] for point in chosen],
                    color=colour,
                    label=f"{name}, {key}",
                    **style,
                )
        every = [
            point["validation"] for p in curves.values() for point in p if "validation" in point
        ]
        axes.set_ylim(min(every) - 0.3, min(every) + 2.2)  # the first steps are far above
        axes.set_xlabel("characters read (million)")
        axes.set_ylabel("bits per byte (lower is better)")
        upper = axes.secondary_xaxis(
            "top", functions=(lambda x: x * 1e6 / characters, lambda x: x * characters / 1e6)
        )
        upper.set_xlabel("epochs")
        axes.legend(frameon=False, fontsize=9)
        _save(figure, path)


def row_plot(path: Path, rows: list[dict[str, Any]]) -> None:
    """Each row's bits per byte on the test split, with its 95 % interval where there is one."""
    rows = [row for row in reversed(rows) if row["kind"] != "uniform"]  # 8: far off the scale
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 0.6 * len(rows) + 1.2), layout="constrained")
        for place, row in enumerate(rows):
            colour = TRACK_COLOURS[row["track"]]
            if row["ci95"]:
                axes.plot(row["ci95"], [place, place], color=colour, lw=2)
            axes.plot(row["bits_per_byte"], place, "o", color=colour)
            axes.annotate(
                f"{row['bits_per_byte']:.3f}",
                (row["bits_per_byte"], place),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
            )
        axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
        axes.set_ylim(-0.6, len(rows) - 0.3)
        axes.set_xlabel("bits per byte on the test split, with 95 % interval (lower is better)")
        _save(figure, path)


def kind_plot(path: Path, kinds: list[dict[str, Any]]) -> None:
    """Bits per word of each model by kind of text, with the words' share of all."""
    words = sum(kind["words"] for kind in kinds)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 0.9 * len(kinds) + 1.8), layout="constrained")
        for name, colour, marker in zip(kinds[0]["bits_per_word"], COLOURS, MARKERS, strict=False):
            bits = [kind["bits_per_word"][name] for kind in kinds]
            axes.plot(bits, range(len(kinds)), marker, color=colour, label=name, alpha=0.85)
        labels = [f"{kind['kind']}\n{kind['words'] / words:.0%} of words" for kind in kinds]
        axes.set_yticks(range(len(kinds)), labels)
        axes.invert_yaxis()
        axes.set_xlabel("bits per word (lower is better)")
        figure.legend(frameon=False, fontsize=9, loc="outside upper center", ncols=2)
        _save(figure, path)


def context_plot(path: Path, closer: list[dict[str, Any]]) -> None:
    """Bits per byte against how far back a model may look."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
        for row, colour, marker in zip(closer, COLOURS, MARKERS, strict=False):
            axes.plot(
                [point["characters"] for point in row["context"]],
                [point["bits_per_byte"] for point in row["context"]],
                f"{marker}-",
                color=colour,
                label=row["name"],
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("context length (characters that as many tokens cover on average)")
        axes.set_ylabel("bits per byte (lower is better)")
        axes.legend(frameon=False, fontsize=9)
        _save(figure, path)


def compute_plot(path: Path, rows: list[dict[str, Any]]) -> None:
    """Bits per byte against training compute; rows that the study did not train are lines."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        for row in rows:
            bits, colour = row["bits_per_byte"], TRACK_COLOURS[row["track"]]
            if row["training_flops"]:
                axes.plot(row["training_flops"], bits, "o", color=colour)
                axes.annotate(row["name"], (row["training_flops"], bits), xytext=(7, 5),
                              textcoords="offset points", color=colour)  # fmt: skip
            elif row["kind"] in ("zero-shot", "n-gram") or row["name"] == "PPMd":
                axes.axhline(bits, color=colour, ls="--", lw=1)
                axes.annotate(row["name"], (0, bits), xycoords=("axes fraction", "data"),
                              xytext=(3, 3), textcoords="offset points", color=colour)  # fmt: skip
        axes.set_xscale("log")
        axes.margins(x=0.35, y=0.12)
        axes.set_xlabel("floating-point operations of the study's own training")
        axes.set_ylabel("bits per byte (lower is better)")
        _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    plt.close(figure)
    write_atomically(path, file.getvalue())
