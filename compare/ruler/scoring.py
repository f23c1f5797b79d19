"""Negative log-likelihood of a text under a causal language model, the same for both tracks.

The text is tokenized whole, with a start token in front as context (BOS, or EOS if the tokenizer
has no BOS), so that every byte is scored exactly once, including the first.  Perplexities per token
depend on the tokenizer; bits per byte do not, and are the unit in which models are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compare.corpus.encoding import UnusableTokenizer, encode, token_ids
from compare.ruler.evaluation import evaluation_mode
from compare.ruler.metrics import Metrics, metrics_of

MAX_CONTEXT_LENGTH = 1024  # tokens of context: GPT-2's
LOGITS_PER_BATCH = 2**22  # 16 MiB in fp32; GPT-2's 1024 x 50257 go one window at a time


@dataclass(frozen=True)
class Score:
    """Negative log-likelihood of every token of a text, and where the token ends in it."""

    nats: np.ndarray  # (tokens,) float64
    # (tokens,) int64: token i covers bytes [byte_ends[i - 1], byte_ends[i]), and token 0 covers
    # [0, byte_ends[0]).
    byte_ends: np.ndarray
    text: str

    @cached_property
    def metrics(self) -> Metrics:
        """Totals and ratios, as `compare.ruler.metrics` defines them."""
        return metrics_of(float(self.nats.sum()), len(self.nats), self.text)


def require_one_window(
    tokenizer: PreTrainedTokenizerBase, text: str, context_length: int, shorter_context: str
) -> None:
    """Raise ValueError if `text`, a validation split, does not fill a window.

    `shorter_context` completes the advice: how the user gets a shorter context.
    """
    tokens = len(token_ids(tokenizer, text)) if text else 0
    if tokens < context_length:
        raise ValueError(
            f"the validation split has {tokens:,} tokens, too few for one window of "
            f"{context_length:,}: use a longer text or {shorter_context}"
        )


def windows(tokens: int, context_length: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """Yield windows (begin, first, end) that score every token exactly once.

    The inputs at positions begin .. end-1 predict the targets at begin+1 .. end, of which first ..
    end are scored.  Position 0 is the start token; the text's tokens are 1 .. `tokens`.

    All windows have min(context_length, tokens) inputs.  After the first window, every scored token
    has more than context_length - stride tokens of context.
    """
    scored = 0
    while scored < tokens:
        end = min(scored + (stride if scored else context_length), tokens)
        yield max(0, end - context_length), scored + 1, end
        scored = end


def windows_per_batch(context_length: int, vocabulary: int) -> int:
    """Return how many windows are scored at once."""
    return max(1, LOGITS_PER_BATCH // (context_length * vocabulary))


def context_length_of(model: PreTrainedModel) -> int:
    """Return the context length for scoring: that of `model`, at most MAX_CONTEXT_LENGTH.

    Models with rotary positions often declare 100,000 tokens or more, which a small split cannot
    fill.
    """
    return min(
        getattr(model.config, "max_position_embeddings", None) or MAX_CONTEXT_LENGTH,
        MAX_CONTEXT_LENGTH,
    )


def start_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the id of the token in front of a text: BOS, or EOS if the tokenizer has no BOS.

    Raises UnusableTokenizer if it has neither.
    """
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return token
    raise UnusableTokenizer("the tokenizer has neither a BOS nor an EOS token")


@torch.inference_mode()
def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    stride: int | None = None,
    label: str | None = None,
    context_length: int | None = None,
) -> Score:
    """Score `text` in windows of the model's context length C, `stride` tokens apart.

    `stride` is C // 2 by default.  `context_length` restricts the model's context.  `label` names a
    progress bar; without a label there is none.

    Raises ValueError for an empty text or a stride outside 1 .. C, and UnusableTokenizer if the
    tokenizer has neither BOS nor EOS, or if its tokens do not give the text back.
    """
    context_length = context_length or context_length_of(model)
    stride = context_length // 2 if stride is None else stride
    if not text:
        raise ValueError("there is no text to score")
    if not 1 <= stride <= context_length:
        raise ValueError(f"stride {stride} is not between 1 and the context, {context_length}")
    ids, byte_ends = encode(tokenizer, text)
    with_start = np.concatenate((np.array([start_token(tokenizer)], ids.dtype), ids))
    sequence = torch.from_numpy(with_start).to(model.device)
    plan = windows(len(ids), context_length, stride)
    per_batch = windows_per_batch(context_length, model.config.vocab_size)
    nats = np.full(len(ids), np.nan)
    disable = None if label else True  # None disables the bar if stderr is not a terminal
    bar = tqdm(total=len(ids), desc=label, unit="tok", disable=disable, leave=False)
    with evaluation_mode(model), bar:
        while batch := list(islice(plan, per_batch)):
            inputs = torch.stack([sequence[begin:end] for begin, _, end in batch]).long()
            targets = torch.stack([sequence[begin + 1 : end + 1] for begin, _, end in batch]).long()
            # Only the last targets of a window are scored, so only their logits are needed.
            most_scored = max(end - first + 1 for _, first, end in batch)
            logits = _last_logits(model, inputs, most_scored)
            targets = targets[:, -most_scored:]
            losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
            rows = losses.view(targets.shape).cpu().double().numpy()  # mps has no float64
            for row, (_, first, end) in zip(rows, batch, strict=True):
                scored = end - first + 1
                nats[first - 1 : end] = row[-scored:]
                bar.update(scored)
    return Score(nats, byte_ends, text)


def _last_logits(model: PreTrainedModel, inputs: Tensor, positions: int) -> Tensor:
    """Return the logits at the last `positions` of `inputs`, (batch, positions, vocabulary) fp32.

    Most models can leave out the others, whose product with the output matrix and whose softmax
    would be computed for nothing: at the usual stride, half of C, these are half of all positions.
    """
    leave_out = {}
    # A PeftModel passes keywords that its own `forward` does not name on to the model inside.
    inner: Any = getattr(model, "get_base_model", lambda: model)()
    if "logits_to_keep" in signature(inner.forward).parameters:
        leave_out = {"logits_to_keep": positions}
    return model(input_ids=inputs, **leave_out).logits[:, -positions:].float()


def mean_score(runs: Sequence[Score]) -> Score:
    """Average the nats of each token over runs, which must share a tokenizer and a text."""
    return Score(np.mean([run.nats for run in runs], axis=0), runs[0].byte_ends, runs[0].text)


def nats_by_range(score: Score, ends: np.ndarray) -> np.ndarray:
    """Return the nats of consecutive ranges of bytes that end at `ends`, (ranges,) float64.

    A token counts toward the range that contains its last byte.
    """
    return np.bincount(np.searchsorted(ends, score.byte_ends), score.nats, len(ends))
