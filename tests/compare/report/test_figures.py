"""Every model in a figure looks different, however many there are."""

from __future__ import annotations

from compare.report import figures


def test_more_models_than_colours() -> None:
    names = [f"model {number}" for number in range(30)]
    looks = figures.assign_styles(names)
    assert list(looks) == names
    assert len({tuple(look.values()) for look in looks.values()}) == 30
