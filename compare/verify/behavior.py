"""How a model behaves: the same input gives the same output, the future is unseen, rows are apart.

A score means something only if all three hold.  The model is called on windows of the text that is
scored, of the length that is scored, because code could behave well on anything else.  For the same
reason, it is called both in the plainest way and as the ruler calls it: on the same batches, and
asked for the last logits only.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compare.corpus.encoding import encode
from compare.ruler.scoring import LOGITS_PER_BATCH, Score, start_token, windows
from compare.verify.calls import logits_of
from compare.verify.points import Point, failed, not_checkable, passed
from compare.verify.structure import count_parameters

REPEATABLE = ("repeatable", "The same input gives the same output")
CAUSAL = ("causal", "No token sees the future")
ROWS = ("rows", "The rows of a batch do not influence each other")

# Relative to the spread of the logits.  The same call on the same shapes gives the same floats;
# another shape may change the order of a sum.
SAME_SHAPE = 1e-5
OTHER_SHAPE = 1e-3
# Nats.  Between a token scored in a window and the same token at the end of what precedes it.
ALONE = 0.01
LARGE_MODEL = 10_000_000  # parameters; fewer calls, so that GPT-2 takes a minute on a CPU


class Behavior:
    """Checks of one model on one text.

    Args:
        context_length: the length of the windows, in tokens.
        text: a text of at least two tokens, from which the windows are taken.
        seed: selects the positions that are changed and scored again.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        text: str,
        context_length: int,
        seed: int,
    ) -> None:
        self._model = model
        ids, _ = encode(tokenizer, text)
        with_start = np.concatenate(([start_token(tokenizer)], ids))
        self._tokens = torch.from_numpy(with_start).long().to(model.device)
        self._length = min(context_length, len(ids))
        self._context_length = context_length
        self._vocabulary = int(self._tokens.max()) + 1
        self._random = np.random.default_rng(seed)
        is_large = count_parameters(model) > LARGE_MODEL
        self._changes, self._alone, rows = (6, 6, 2) if is_large else (24, 32, 4)
        starts = np.linspace(0, len(self._tokens) - self._length, rows).astype(int)
        self._windows = [self._tokens[start : start + self._length] for start in starts]
        self._first_answer = self._call(self._windows[0])
        plan = list(windows(len(ids), context_length, context_length // 2))
        size = _rows_per_batch(context_length, model.config.vocab_size)
        self._batches = [plan[start : start + size] for start in range(0, len(plan), size)]

    def check_repeatable(self) -> Point:
        """Call the model on the first window again, after all other calls so far.

        A model that remembers what it was shown could answer better the second time.
        """
        again = self._call(self._windows[0])
        change = _change(again, self._first_answer)
        if change <= SAME_SHAPE:
            return passed(*REPEATABLE, f"a window gave the same logits twice (change {change:.1g})")
        return failed(
            *REPEATABLE,
            f"a window gave different logits the second time (change {change:.2g}): either dropout "
            "is active in evaluation mode, or the model remembers what it was shown",
        )

    def check_causal(self, score: Score) -> Point:
        """Change tokens, and check that no earlier logit moves; then score tokens with no future.

        `score` is that of the text.  Some of its tokens are scored again from the tokens before
        them alone, so that code that looks ahead only while it is being scored is found, too.
        """
        if self._length < 2:
            return not_checkable(*CAUSAL, "the text is too short: give a longer --corpus")
        largest = 0.0
        for change in range(self._changes):
            is_as_scored = change % 2 == 1
            if is_as_scored:
                batch, row, last = self._scored_batch()
            else:
                window = self._windows[int(self._random.integers(len(self._windows)))]
                batch, row, last = window[None], 0, None
            # Only changes after the first logit that is returned can move an earlier one.
            first = 0 if last is None else self._length - last
            at = int(self._random.integers(first + 1, self._length))
            end = at + 1 if change % 4 < 2 else self._length  # one token, or all from there on
            replaced = batch.clone()
            replaced[row] = self._replaced(batch[row], at, end)
            answer, changed = (
                logits_of(self._model, each, last)[row, : at - first] for each in (batch, replaced)
            )
            moved = _change(changed, answer)
            if moved > SAME_SHAPE:
                called = ", called as for its score," if is_as_scored else ""
                return failed(
                    *CAUSAL,
                    f"changing token {at} of a window of {self._length}{called} changed logits "
                    f"before it (by {moved:.2g}): the model sees what it has to predict",
                )
            largest = max(largest, moved)
        difference, worst = self._score_alone(score)
        if difference > ALONE:
            return failed(
                *CAUSAL,
                f"token {worst + 1} of the text costs {difference:.2f} nats more or less when "
                "nothing follows it: the model sees the future while it is being scored",
            )
        return passed(
            *CAUSAL,
            f"{self._changes} changes of tokens in windows of {self._length}, half of them called "
            f"as for the score, moved no earlier logit (largest change {largest:.1g}); "
            f"{self._alone} tokens scored with nothing after them cost the same (within "
            f"{difference:.1g} nats)",
        )

    def check_rows(self) -> Point:
        """Check that a window's logits do not depend on the other windows in its batch."""
        first, others = self._windows[0], self._windows[1:]
        replaced = [self._replaced(other, 0, self._length) for other in others]
        largest = 0.0
        for place in (0, -1):
            batch = self._call(*_insert(others, first, place))[place]
            changed = self._call(*_insert(replaced, first, place))[place]
            by_others, alone = _change(changed, batch), _change(batch, self._first_answer[0])
            if by_others > SAME_SHAPE or alone > OTHER_SHAPE:
                what = "changing the other rows" if by_others > SAME_SHAPE else "adding other rows"
                return failed(
                    *ROWS,
                    f"{what} of a batch changed a row's logits (by {max(by_others, alone):.2g}): "
                    "what it predicts depends on its neighbors",
                )
            largest = max(largest, by_others)
        return passed(
            *ROWS,
            f"other rows were replaced, before it and after it: a row's logits stayed the same "
            f"(largest change {largest:.1g})",
        )

    def _scored_batch(self) -> tuple[Tensor, int, int]:
        """Return a random batch of the score, one of its rows, and how many logits are scored.

        At least two logits are asked for, of which one can be changed by the tokens after it.
        """
        batch = self._batches[int(self._random.integers(len(self._batches)))]
        last = max(2, *(end - first + 1 for _, first, end in batch))
        rows = torch.stack([self._tokens[begin:end] for begin, _, end in batch])
        return rows, int(self._random.integers(len(batch))), last

    def _call(self, *rows: Tensor) -> Tensor:
        return logits_of(self._model, torch.stack(rows))

    def _replaced(self, window: Tensor, start: int, end: int) -> Tensor:
        """Return `window` with other random tokens at start .. end-1."""
        shifts = self._random.integers(1, self._vocabulary, end - start)
        replaced = window.clone()
        moved = replaced[start:end] + torch.from_numpy(shifts).to(window.device)
        replaced[start:end] = moved % self._vocabulary
        return replaced

    def _score_alone(self, score: Score) -> tuple[float, int]:
        """Score random tokens of the text from the tokens before them in their windows alone.

        Returns the largest difference in nats, and the index of its token.
        """
        tokens = len(score.nats)
        begins = np.zeros(tokens, int)
        for begin, first, end in windows(tokens, self._context_length, self._context_length // 2):
            begins[first - 1 : end] = begin
        differences = {}
        for index in self._random.choice(tokens, min(self._alone, tokens), replace=False).tolist():
            logits = self._call(self._tokens[begins[index] : index + 1])[0, -1]
            nats = -logits.double().log_softmax(-1)[self._tokens[index + 1]]
            differences[index] = abs(float(nats) - float(score.nats[index]))
        worst = max(differences, key=lambda index: differences[index])
        return differences[worst], worst


def _rows_per_batch(context_length: int, vocabulary: int) -> int:
    """Return how many windows the ruler scores at once."""
    return max(1, LOGITS_PER_BATCH // (context_length * vocabulary))


def _insert(rows: list[Tensor], row: Tensor, place: int) -> list[Tensor]:
    """Return `rows` with `row` in front (0) or at the end (-1)."""
    return [row, *rows] if place == 0 else [*rows, row]


def _change(a: Tensor, b: Tensor) -> float:
    """Return the largest difference, relative to the spread of the logits (but at least to 1)."""
    finite = b[b.isfinite()]
    spread = max(1.0, float(finite.std()) if finite.numel() > 1 else 1.0)
    difference = (a - b).abs().nan_to_num(nan=0.0)  # equal infinities
    return float(difference.max()) / spread
