"""How a model behaves: the same input gives the same output, the future is unseen, rows are apart.

A score means something only if all three hold.  The model is called on windows of the text that is
scored, of the length that is scored, because code could behave well on anything else.  For the same
reason, it is called both in the plainest way and as the ruler calls it: on the same batches, and
asked for the last logits only.  What it says then is compared with the score itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compare.corpus.encoding import encode
from compare.ruler.scoring import Score, start_token, windows, windows_per_batch
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
# Nats.  Between a token scored in a window and the same token, scored when what follows it in the
# window is replaced, or at the end of what precedes it.
REPLACED = 1e-4
ALONE = 0.01
# Tokens are replaced in half of the windows, which takes half as long as scoring the text, but in
# about MAX_REPLACED at most, and in at least MIN_REPLACED, or FEW_REPLACED if the model is large.
# One window shows only whether the model looks ahead just before one place, and some code does so
# in a few places only.
MAX_REPLACED = 256
MIN_REPLACED = 128
FEW_REPLACED = 24
LARGE_MODEL = 10_000_000  # parameters; fewer calls, so that GPT-2 takes minutes on a CPU
Window = tuple[int, int, int]
"""As `compare.ruler.scoring.windows` yields them."""


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
        self._alone, rows = (6, 2) if is_large else (32, 4)
        self._least_replaced = FEW_REPLACED if is_large else MIN_REPLACED
        starts = np.linspace(0, len(self._tokens) - self._length, rows).astype(int)
        self._windows = [self._tokens[start : start + self._length] for start in starts]
        self._first_answer = self._call(self._windows[0])
        plan = list(windows(len(ids), context_length, context_length // 2))
        size = windows_per_batch(context_length, model.config.vocab_size)
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
        """Replace tokens, and check that the score of the tokens before them stays the same.

        `score` is that of the text.  The batches are those of the score.  In every row, the tokens
        from a random place on are replaced, or only one.  Some tokens are also scored again from
        the tokens before them alone: code may look ahead only where nothing was replaced.
        """
        if self._length < 2:
            return not_checkable(*CAUSAL, "the text is too short: give a longer --corpus")
        largest, replaced = 0.0, 0
        for batch in self._batches_to_change():
            # The first replaced token of each row, or its end if there is none to replace.
            places = [
                int(self._random.integers(first, max(first + 1, end))) for _, first, end in batch
            ]
            changed = self._replace_in_rows(batch, places)
            moved = self._differences(batch, changed, places, score)
            worst = int(moved.argmax())
            if moved[worst] > REPLACED:
                return self._describe_leak(batch, changed, places, score, worst)
            largest = max(largest, float(moved[worst]))
            replaced += sum(at < end for at, (_, _, end) in zip(places, batch, strict=True))
        difference, worst = self._score_alone(score)
        if difference > ALONE:
            return failed(
                *CAUSAL,
                f"token {worst + 1} of the text costs {difference:.2f} nats more or less when "
                "nothing follows it: the model sees the future while it is being scored",
            )
        return passed(
            *CAUSAL,
            f"tokens were replaced in {replaced} windows of {self._length}, and the score of those "
            f"before them stayed the same (within {largest:.1g} nats); {self._alone} tokens scored "
            f"with nothing after them cost the same (within {difference:.1g} nats)",
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

    def _batches_to_change(self) -> Iterator[list[Window]]:
        """Yield random batches of the score; some come several times if there are too few."""
        rows = len(self._batches[0])
        most, least = (-(-number // rows) for number in (MAX_REPLACED, self._least_replaced))
        order: list[int] = []
        for _ in range(min(most, max(least, len(self._batches) // 2))):
            order = order or self._random.permutation(len(self._batches)).tolist()
            yield self._batches[order.pop()]

    def _rows(self, batch: list[Window]) -> Tensor:
        return torch.stack([self._tokens[begin:end] for begin, _, end in batch])

    def _replace_in_rows(self, batch: list[Window], places: Sequence[int]) -> Tensor:
        """Return the rows of `batch` with other tokens from `places` on, or there only."""
        rows = self._rows(batch)
        for row, ((begin, _, end), at) in enumerate(zip(batch, places, strict=True)):
            stop = end if self._random.integers(2) else min(at + 1, end)
            rows[row] = self._replaced(rows[row], at - begin, stop - begin)
        return rows

    @torch.inference_mode()
    def _differences(
        self, batch: list[Window], rows: Tensor, places: Sequence[int], score: Score
    ) -> np.ndarray:
        """Return the largest difference between the nats in `rows` and in `score`, (batch,).

        In each row, only the tokens up to its place are compared, which nothing replaced precedes.
        """
        last = max(end - first + 1 for _, first, end in batch)
        logits = logits_of(self._model, rows, last)
        targets = torch.stack([self._tokens[begin + 1 : end + 1] for begin, _, end in batch])
        losses = F.cross_entropy(
            logits.flatten(0, 1), targets[:, -last:].flatten(), reduction="none"
        )
        nats = losses.view(len(batch), last).cpu().double().numpy()
        differences = np.zeros(len(batch))
        for row, ((_, first, end), at) in enumerate(zip(batch, places, strict=True)):
            of_row = nats[row, last - (end - first + 1) :][: at - first + 1]
            of_score = score.nats[first - 1 : at]
            with np.errstate(invalid="ignore"):  # infinity minus infinity
                difference = np.nan_to_num(np.abs(of_row - of_score), nan=np.inf)
            is_equal = (of_row == of_score) | (np.isnan(of_row) & np.isnan(of_score))
            differences[row] = difference[~is_equal].max(initial=0.0)
        return differences

    def _describe_leak(
        self, batch: list[Window], changed: Tensor, places: Sequence[int], score: Score, row: int
    ) -> Point:
        """Say what the score of a `row` depends on: its own later tokens, or other rows."""
        only_row = self._rows(batch)
        only_row[row] = changed[row]
        moved = self._differences(batch, only_row, places, score)[row]
        if moved > REPLACED:
            return failed(
                *CAUSAL,
                f"replacing tokens of a window of {self._length}, from position "
                f"{places[row] - batch[row][0]} on, changed the score of those before it (by "
                f"{moved:.2g} nats): the model sees what it has to predict",
            )
        return failed(
            *CAUSAL,
            "replacing tokens in the other rows of a batch changed the score of a row: the model "
            "may see there what it has to predict",
        )

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
            log_probabilities = logits.cpu().double().log_softmax(-1)  # mps has no float64
            nats = -float(log_probabilities[int(self._tokens[index + 1])])
            differences[index] = abs(nats - float(score.nats[index]))
        worst = max(differences, key=lambda index: differences[index])
        return differences[worst], worst


def _insert(rows: list[Tensor], row: Tensor, place: int) -> list[Tensor]:
    """Return `rows` with `row` in front (0) or at the end (-1)."""
    return [row, *rows] if place == 0 else [*rows, row]


def _change(a: Tensor, b: Tensor) -> float:
    """Return the largest difference, relative to the spread of the logits (but at least to 1)."""
    finite = b[b.isfinite()]
    spread = max(1.0, float(finite.std()) if finite.numel() > 1 else 1.0)
    difference = (a - b).abs().nan_to_num(nan=0.0)  # equal infinities
    return float(difference.max()) / spread
