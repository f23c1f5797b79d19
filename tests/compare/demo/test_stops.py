"""Stop ends the answers that were requested before it, and no others."""

from __future__ import annotations

from compare.demo.stops import Stops


def test_stop_ends_the_visitors_answer_only() -> None:
    stops = Stops()
    anns, bens = stops.begin("Ann"), stops.begin("Ben")
    stops.stop("Ann")
    assert stops.is_stopped("Ann", anns)
    assert not stops.is_stopped("Ben", bens)


def test_stop_before_any_answer_does_not_count() -> None:
    stops = Stops()
    stops.stop("Ann")
    assert not stops.is_stopped("Ann", stops.begin("Ann"))


def test_a_stopped_answer_stays_stopped_when_the_next_one_is_requested() -> None:
    """It may look for a stop only seconds after the click, when the next request has arrived."""
    stops = Stops()
    first = stops.begin("Ann")
    stops.stop("Ann")
    second = stops.begin("Ann")
    assert stops.is_stopped("Ann", first)
    assert not stops.is_stopped("Ann", second)


def test_a_new_request_replaces_an_answer_that_waits_or_is_being_given() -> None:
    stops = Stops()
    first, second = stops.begin("Ann"), stops.begin("Ann")
    assert stops.is_stopped("Ann", first)
    assert not stops.is_stopped("Ann", second)
