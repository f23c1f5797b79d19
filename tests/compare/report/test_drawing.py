"""Models look different in a figure, labels keep apart, and points say their numbers."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt

from compare.kinds import RowKind
from compare.report import drawing
from tests.result_rows import make_row

GPT2_KINDS = (RowKind.ZERO_SHOT, RowKind.RANDOM_WEIGHTS, RowKind.LORA, RowKind.FINE_TUNED)


def test_every_row_looks_different() -> None:
    scratch = [make_row(RowKind.TUNED, 2.0, name=f"scratch {number}") for number in range(8)]
    gpt2 = [
        make_row(kind, 2.0, name=f"{base} {kind}", base=base)
        for base in ("GPT-2", "SmolLM2", "stand-in")
        for kind in GPT2_KINDS
    ]
    styles = drawing.assign_styles([*scratch, *gpt2])
    assert list(styles) == [row.name for row in (*scratch, *gpt2)]
    assert len({tuple(style.values()) for style in styles.values()}) == len(styles)
    colors = [{styles[row.name]["color"] for row in rows} for rows in (scratch, gpt2)]
    assert not colors[0] & colors[1]


@given(st.lists(st.tuples(st.floats(0, 300), st.integers(1, 3)), min_size=1, max_size=10))
def test_labels_keep_apart(labels: list[tuple[float, int]]) -> None:
    centers = sorted(center for center, _ in labels)
    heights = [10.0 * lines for _, lines in labels]
    places = drawing.spread(centers, heights, 300)
    for (a, b), (lower, upper) in zip(pairwise(places), pairwise(heights), strict=True):
        assert b - a >= (lower + upper) / 2 - 1e-9
    assert places[-1] <= 300 - heights[-1] / 2 + 1e-9
    if sum(heights) <= 300:
        assert places[0] >= heights[0] / 2 - 1e-9


def test_labels_of_points_that_coincide_spread_to_both_sides() -> None:
    assert drawing.spread([100.0] * 3, [10.0] * 3, 300) == [90.0, 100.0, 110.0]


def test_labels_with_room_stay_where_they_are() -> None:
    assert drawing.spread([20.0, 100.0, 290.0], [10.0] * 3, 300) == [20.0, 100.0, 290.0]


def test_points_say_their_numbers_whatever_the_name() -> None:
    figure, axes = plt.subplots()
    axes.plot([1, 2], [3, 4])
    drawing.explain(axes, 1, 3, '<b> & "quotes": 3.000')
    root = ElementTree.fromstring(drawing.to_svg(figure, "example"))
    (title,) = root.iter(f"{{{drawing.SVG_NAMESPACE}}}title")
    assert title.text == '<b> & "quotes": 3.000'
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert ids and all(each.startswith("example-") for each in ids)
