"""How figures look: colors, labels beside lines, and SVG with tooltips."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, pairwise
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from scipy.optimize import isotonic_regression

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from compare.kinds import RowKind, Track
from compare.report.results import ResultRow

WIDTH = 6.2  # inches; on a phone, the page scrolls a figure sideways instead of shrinking it
FIGURE_STYLE: Any = {  # a dict of matplotlib's parameters, whose names its types list one by one
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "svg.hashsalt": "study",  # makes the file reproducible
    "svg.fonttype": "none",  # text that a reader can select and search
    "figure.facecolor": "white",
}

Style = dict[str, Any]
"""Keyword arguments of `Axes.plot`: color and marker."""
Styles = dict[str, Style]
"""By row name, the same in all figures."""

# Blue and vermilion are of the palette of Okabe and Ito, which color-blind readers can distinguish.
GRAY = "#777777"  # for what neither track has trained
# The lightest still have a contrast of 3 to 1 with a white page.
SCRATCH_SHADES = ("#0b3c6f", "#0072B2", "#2f93d1", "#4a90a4")
GPT2_SHADES = ("#D55E00", "#8f3300", "#b8860b", "#e07b39")
GPT2_MARKERS: dict[RowKind, Style] = {
    RowKind.FINE_TUNED: {"marker": "o"},
    RowKind.LORA: {"marker": "^"},
    RowKind.ZERO_SHOT: {"marker": "s"},
    RowKind.RANDOM_WEIGHTS: {"marker": "o", "mfc": "white"},  # hollow: without pretraining
}
MARKERS = "osD^vPX*"
LABEL_COLOR = "#333333"  # the lighter shades would be hard to read
LABEL_SIZE = 9  # points
LABEL_CHARACTERS = 21  # per line
LINE_SPACING = 1.25  # lines of text, in units of their size
TIP = "tip: "  # begins the id of what `explain` draws
SVG_NAMESPACE = "http://www.w3.org/2000/svg"
LINK = "{http://www.w3.org/1999/xlink}href"


def assign_styles(rows: Iterable[ResultRow]) -> Styles:
    """Return a color and a marker for each row.

    The track chooses among blue, orange and gray.  Among scratch models, each has its own shade
    and marker; in the GPT-2 track, the shade is for the base and the marker for the kind of row.
    """
    rows = list(rows)
    bases = list(dict.fromkeys(row.base for row in rows if row.track is Track.GPT2))
    scratch = zip(cycle(SCRATCH_SHADES), cycle(MARKERS), strict=False)
    baselines = zip(cycle([GRAY]), cycle(MARKERS), strict=False)
    styles = {}
    for row in rows:
        if row.track is Track.GPT2:
            shade = GPT2_SHADES[bases.index(row.base) % len(GPT2_SHADES)]
            styles[row.name] = {"color": shade} | GPT2_MARKERS[row.kind]
        else:
            color, marker = next(scratch if row.track is Track.SCRATCH else baselines)
            styles[row.name] = {"color": color, "marker": marker}
    return styles


def explain(axes: Axes, x: float, y: float, text: str) -> None:
    """Show `text` while the pointer is on a point.

    This draws a transparent disk, larger than the point, with `text` in its id; `to_svg` makes it
    the disk's `<title>`, which browsers show.
    """
    axes.plot(x, y, "o", ms=14, alpha=0, gid=TIP + text)


def label_points(axes: Axes, points: Mapping[str, tuple[float, float]], styles: Styles) -> None:
    """Write each name to the right of the axes, connected with its point, instead of a legend.

    Call this last: the labels keep clear of each other at the axes' limits of this moment.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # lays the axes out, so that their height is known
    height = axes.get_window_extent().height * 72 / figure.dpi
    names = sorted(points, key=lambda name: points[name][1])
    labels = [wrap(name, LABEL_CHARACTERS) for name in names]
    heights = [(label.count("\n") + 1) * LABEL_SIZE * LINE_SPACING for label in labels]
    low, high = axes.get_ylim()
    wanted = [(points[name][1] - low) / (high - low) * height for name in names]
    for name, label, place in zip(names, labels, spread(wanted, heights, height), strict=True):
        axes.annotate(
            label,
            xy=points[name],
            xytext=(1.04, place / height),
            textcoords="axes fraction",
            va="center",
            color=LABEL_COLOR,
            fontsize=LABEL_SIZE,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "relpos": (0, 0.5),  # the middle of the label's left side
                "color": styles[name]["color"],
                "lw": 0.9,
                "ls": ":",
            },
        )


def wrap(name: str, characters: int) -> str:
    """Return `name` in lines of at most so many characters, broken at spaces."""
    return textwrap.fill(name, characters, break_long_words=False, break_on_hyphens=False)


def spread(centers: Sequence[float], heights: Sequence[float], available: float) -> list[float]:
    """Move labels as little as possible (least squares), so that none overlaps its neighbors.

    `centers` are sorted and from the lower end of the `available` height.  The labels stay within
    it; if there are too many, they extend beyond its lower end.

    Subtracting from each place what the labels below it take up turns the problem into an isotonic
    regression: the differences may not decrease.
    """
    below = np.concatenate([[0.0], np.cumsum([(a + b) / 2 for a, b in pairwise(heights)])])
    differences = isotonic_regression(np.asarray(centers) - below).x
    lowest, highest = heights[0] / 2, available - heights[-1] / 2 - below[-1]
    return (np.minimum(np.maximum(differences, lowest), highest) + below).tolist()


def to_svg(figure: Figure, name: str) -> bytes:
    """Return the figure as SVG, for a file or within a page, and close it.

    Ids start with `name`, since several figures share a page, and what `explain` has drawn gets its
    title.
    """
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    plt.close(figure)
    ElementTree.register_namespace("", SVG_NAMESPACE)
    ElementTree.register_namespace("xlink", LINK[1:].partition("}")[0])
    root = ElementTree.fromstring(file.getvalue())
    for metadata in root.findall(f"{{{SVG_NAMESPACE}}}metadata"):
        root.remove(metadata)
    for element in root.iter():
        _rename(element, name)
    return ElementTree.tostring(root, encoding="utf-8")


def _rename(element: ElementTree.Element, name: str) -> None:
    own = element.get("id", "")
    if own.startswith(TIP):
        del element.attrib["id"]
        title = ElementTree.Element(f"{{{SVG_NAMESPACE}}}title")
        title.text = own.removeprefix(TIP)
        element.insert(0, title)
    elif own:
        element.set("id", f"{name}-{own}")
    if LINK in element.attrib:
        element.set(LINK, element.attrib[LINK].replace("#", f"#{name}-", 1))
    clip = element.get("clip-path")
    if clip:
        element.set("clip-path", clip.replace("#", f"#{name}-", 1))
