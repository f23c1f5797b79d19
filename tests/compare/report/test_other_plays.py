"""The plays that are in no split: who is scored on them, and what the intervals say."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from compare import corpus as corpora
from compare.kinds import BaseKind, RowKind
from compare.report import measure, other_plays
from compare.report.other_plays import PlayScores
from tests.run_records import BASE


def test_29_excerpts_none_of_which_is_in_the_corpus(tiny_shakespeare: str) -> None:
    plays = other_plays.excerpts(corpora.load("tiny-shakespeare"))
    assert len(plays) == 29
    assert "Hamlet" in plays and "The Tempest" not in plays
    assert {len(text) for text in plays.values()} == {other_plays.CHARACTERS}
    assert not any(text[:200] in tiny_shakespeare for text in plays.values())


def test_other_texts_have_no_other_plays() -> None:
    corpus = replace(corpora.load("tiny-shakespeare"), sha256="0" * 64)
    assert other_plays.excerpts(corpus) == {}
    assert other_plays.summarize([]) is None


def test_the_stand_in_has_read_them_and_is_left_out() -> None:
    assert other_plays.is_eligible(None)
    assert other_plays.is_eligible(BASE.model_copy(update={"kind": BaseKind.GPT2}))
    assert not other_plays.is_eligible(BASE.model_copy(update={"kind": BaseKind.STAND_IN}))


def scores(name: str, values: list[float], may_have_read: bool = False) -> PlayScores:
    """Made-up scores on as many plays."""
    by_play = {f"play {number}": value for number, value in enumerate(values)}
    return PlayScores(name, 1, may_have_read, by_play)


def test_rows_are_compared_with_the_best_that_cannot_have_read_the_plays() -> None:
    summary = other_plays.summarize(
        [
            scores("n-gram", [2.2, 2.4, 2.3]),
            scores("scratch", [2.0, 2.3, 2.1]),
            scores("from the web", [1.4, 1.5, 1.3], may_have_read=True),
        ]
    )
    assert summary is not None
    assert [row.name for row in summary.rows] == ["from the web", "scratch", "n-gram"]
    assert {difference.b for difference in summary.differences} == {"scratch"}
    by_name = {difference.a: difference for difference in summary.differences}
    assert by_name["n-gram"].delta_bits_per_byte == pytest.approx(1 / 6)
    assert by_name["from the web"].delta_bits_per_byte == pytest.approx(-2.2 / 3)
    # Plays differ more than the two rows do on each play, so the paired interval is narrower.
    low, high = by_name["n-gram"].ci95 or (0, 0)
    assert high - low < summary.rows[2].ci95[1] - summary.rows[2].ci95[0]


def test_intervals_over_plays_contain_the_true_mean_95_times_in_100() -> None:
    rng = np.random.default_rng(1)
    hits = [
        low <= 2.0 <= high
        for low, high in (
            other_plays.interval_over_plays(list(2.0 + 0.1 * rng.standard_normal(29)))
            for _ in range(2000)
        )
    ]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.015)  # three standard errors


@pytest.mark.parametrize(
    ("kind", "base_kind", "is_scored"),
    [
        (RowKind.FINE_TUNED, BaseKind.STAND_IN, False),
        (RowKind.ZERO_SHOT, BaseKind.STAND_IN, False),
        (RowKind.RANDOM_WEIGHTS, BaseKind.STAND_IN, False),  # its tokenizer was trained on them
        (RowKind.FINE_TUNED, BaseKind.OTHER, True),
    ],
)
def test_only_what_was_pretrained_on_the_plays_is_left_out(
    monkeypatch: pytest.MonkeyPatch, kind: RowKind, base_kind: BaseKind, is_scored: bool
) -> None:
    monkeypatch.setattr(other_plays, "score_models", lambda *_: "scored")
    base = BASE.model_copy(update={"kind": base_kind})
    candidate = SimpleNamespace(name="model", kind=kind, base=base, runs=[])
    scores = measure._play_scores(candidate, [], {"Hamlet": "To be"})
    assert (scores == "scored") == is_scored
