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
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 0.6 * len(rows) + 1.2), layout="constrained")
        for place, row in enumerate(reversed(rows)):
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
        axes.set_yticks(range(len(rows)), [row["name"] for row in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.3)
        axes.set_xlabel("bits per byte on the test split, with 95 % interval (lower is better)")
        _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    plt.close(figure)
    write_atomically(path, file.getvalue())
