"""What the page shows after a click: a message, and a card for each model, as HTML."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from compare.demo import markup
from compare.demo.reading import Reading, read
from compare.demo.sides import Side
from compare.demo.writing import check_settings, write
from compare.errors import Failure, Misuse

Answer = tuple[str, ...]
"""The message, then a card for each side."""
IsStopped = Callable[[], bool]
"""Returns whether the user has pressed Stop."""
SECONDS_BETWEEN_UPDATES = 0.05  # a browser that is sent every token may fall behind


def write_answers(
    sides: Sequence[Side],
    prompt: str,
    temperature: float | None,
    top_k: float | None,
    characters: float | None,
    seed: float | None,
    samples: float | None,
    is_stopped: IsStopped = lambda: False,
) -> Iterator[Answer]:
    """Yield the continuations of `prompt` as they grow, until `is_stopped()`.

    A request that cannot be fulfilled is answered with the reason.
    """
    cards = empty_cards(sides)
    try:
        settings, number = check_settings(temperature, top_k, characters, seed, samples)
        yield markup.status("Writing…"), *cards
        shown_at = 0.0
        for state in write(sides, prompt, settings, number):
            cards = [
                markup.written(side, prompt, continuations)
                for side, continuations in zip(sides, state, strict=True)
            ]
            if is_stopped():
                yield markup.status("Stopped."), *cards
                return
            if time.monotonic() - shown_at >= SECONDS_BETWEEN_UPDATES:
                yield markup.status("Writing…"), *cards
                shown_at = time.monotonic()
        yield markup.status("Done."), *cards
    except (Misuse, Failure, ValueError) as error:
        yield markup.alert(str(error)), *cards


def read_answers(
    sides: Sequence[Side], text: str, is_stopped: IsStopped = lambda: False
) -> Iterator[Answer]:
    """Yield the text in the colors of each side, one side after the other, until `is_stopped()`.

    A text that cannot be scored is answered with the reason.
    """
    cards = empty_cards(sides)
    readings: list[Reading] = []
    try:
        for number, side in enumerate(sides):
            if is_stopped():
                yield markup.status("Stopped."), *cards
                return
            yield markup.status("Reading…"), *cards
            readings.append(read(side, text))
            cards[number] = markup.read(side, readings[number])
        yield markup.status(_compare(sides, readings)), *cards
    except (Misuse, Failure, ValueError) as error:
        yield markup.alert(str(error)), *cards


def empty_cards(sides: Sequence[Side]) -> list[str]:
    """Return the cards before anything was asked."""
    return [markup.card(side, "") for side in sides]


def _compare(sides: Sequence[Side], readings: Sequence[Reading]) -> str:
    """Say which side predicts the text best."""
    if len(sides) == 1:
        return "Done."
    ranked = sorted(zip(readings, sides, strict=True), key=lambda pair: pair[0].bits_per_byte)
    (best, best_side), (other, _) = ranked[:2]
    if f"{best.bits_per_byte:.3f}" == f"{other.bits_per_byte:.3f}":
        return "Done. Both predict this text equally well."
    return (
        f"Done. {best_side.name} predicts this text better: it needs {best.bits_per_byte:.3f} bits "
        f"per byte instead of {other.bits_per_byte:.3f}."
    )
