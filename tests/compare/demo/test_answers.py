"""What the page shows after a click."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest

from compare.demo.answers import read_answers, write_answers
from compare.demo.sides import Side
from compare.ruler.sampling import Settings, sample
from compare.ruler.scoring import score

NASTY = "<script>1</script> {{value}} ${1+1} & né\n"
TOKEN = r'<span class="token"[^>]*>(.*?)</span>'


def write(sides: list[Side], prompt: str, **numbers: float | None) -> tuple[str, ...]:
    """Return the last answer, to a request with usual numbers but for `numbers`."""
    usual = {"temperature": 0.8, "top_k": 50, "characters": 20, "seed": 1, "samples": 1}
    *_, last = write_answers(sides, prompt, **usual | numbers)  # type: ignore[arg-type]
    return last


def shown(markup: str) -> str:
    """Return the text that a browser shows."""
    return html.unescape(re.sub("<[^>]*>", "", markup))


def test_continuations_of_each_seed_are_shown_on_each_side(sides: list[Side]) -> None:
    message, *cards = write(sides, NASTY, samples=2)
    assert shown(message) == "Done."
    for side, card in zip(sides, cards, strict=True):
        assert side.name in card
        for seed in (1, 2):
            settings = Settings(characters=20, seed=seed)
            text = sample(side.model, side.tokenizer, NASTY, settings)
            assert NASTY + text in shown(card)
        # Gradio's HTML component would replace what looks like a template.
        assert not re.search(r"<script|[{}$]", card)


def test_what_is_copied_from_the_training_text_is_marked(sides: list[Side]) -> None:
    side = sides[0]
    assert side.corpus
    corpus = replace(side.corpus, train="Yes: to be or not to be, that is it")
    copied = "to be or not to be,"

    def copying(*_: object) -> str:
        return f"Well, {copied} or so"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compare.demo.turns.sample", copying)
        _, card = write([replace(side, corpus=corpus)], "HAMLET:\n")
        _, of_unknown_text = write([replace(side, corpus=None)], "HAMLET:\n")
    assert re.findall("<mark>(.*?)</mark>", card) == [copied]
    assert "1 passage copied from the training text, 6 words in all" in shown(card)
    assert copied in of_unknown_text and "training text" not in of_unknown_text


def test_stop_ends_an_answer_with_what_there_is(sides: list[Side]) -> None:
    numbers = (0.8, 50, 2000, 1, 5)
    *_, (message, *cards) = write_answers(sides, "ROMEO:\n", *numbers, is_stopped=lambda: True)
    assert shown(message) == "Stopped." and "<pre>" in cards[0]
    *_, (message, *cards) = read_answers(sides, "Wherefore?", is_stopped=lambda: True)
    assert shown(message) == "Stopped." and "<pre>" not in cards[0]


@pytest.mark.parametrize(
    ("prompt", "numbers", "reason"),
    [
        ("", {}, "The prompt is empty"),
        ("x" * 2001, {}, "The prompt has 2,001 characters"),
        ("x", {"temperature": 0}, "Temperature is 0: it must be between 0.1 and 2"),
        ("x", {"temperature": float("nan")}, "Temperature is nan"),
        ("x", {"seed": None}, "Seed is missing"),
        ("x", {"characters": 10**9}, "Length is 1e"),
    ],
)
def test_a_request_that_cannot_be_fulfilled_is_answered_with_the_reason(
    sides: list[Side], prompt: str, numbers: dict[str, float | None], reason: str
) -> None:
    message, *cards = write(sides, prompt, **numbers)
    assert reason in shown(message) and 'role="alert"' in message
    assert all("<pre>" not in card for card in cards)


def test_a_text_is_colored_by_what_each_token_costs(sides: list[Side]) -> None:
    text = NASTY + "ROMEO:\nWherefore?"
    *_, (message, *cards) = read_answers(sides, text)
    for side, card in zip(sides, cards, strict=True):
        scored = score(side.model, side.tokenizer, text)
        assert f">{scored.metrics.bits_per_byte:.3f}<" in card
        tokens = re.findall(TOKEN, card, re.DOTALL)
        assert html.unescape("".join(tokens)) == text and all(tokens)
        bits = [float(each) for each in re.findall(r'title="([\d.]+) bits"', card)]
        assert sum(bits) == pytest.approx(scored.metrics.bits_per_byte * len(text.encode()), 0.01)
        assert not re.search(r"<script|[{}$]", card)
    assert "predict" in shown(message)


@pytest.mark.parametrize(("text", "reason"), [(" \n", "is empty"), ("x" * 4001, "at most 4,000")])
def test_a_text_that_cannot_be_read_is_answered_with_the_reason(
    sides: list[Side], text: str, reason: str
) -> None:
    *_, (message, *_) = read_answers(sides, text)
    assert reason in shown(message)
