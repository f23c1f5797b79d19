"""One ruler for both tracks: how many nats a causal language model needs for a text.

The text is tokenized whole, with the tokenizer's end-of-text token in front as context, so that
every byte is scored exactly once, the first included.  Perplexities per token depend on the
tokenizer; bits per byte do not, and are the unit in which models are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compare.corpus.encoding import encode, token_ids
from compare.ruler.metrics import Metrics, metrics_of

LONGEST = 1024  # tokens of context: GPT-2's
LOGITS_PER_BATCH = 2**22  # 16 MiB in fp32; GPT-2's 1024 x 50257 go one window at a time


@dataclass(frozen=True)
class Score:
    """Negative log-likelihood of every token of a text, and where the token ends in it."""

    nats: np.ndarray  # (tokens,) float64
    byte_ends: np.ndarray  # (tokens,) int64: token i covers bytes byte_ends[i-1] .. byte_ends[i]
    text: str

    @cached_property
    def metrics(self) -> Metrics:
        """Totals and ratios, as `compare.ruler.metrics` defines them."""
        return metrics_of(float(self.nats.sum()), len(self.nats), self.text)


def require_window(tokenizer: PreTrainedTokenizerBase, text: str, context_length: int) -> None:
    """Raises ValueError unless `text`, a validation split, fills one window of `context_length`."""
    tokens = len(token_ids(tokenizer, text)) if text else 0
    if tokens < context_length:
        raise ValueError(
            f"its validation split has {tokens} tokens, too few for one window of "
            f"{context_length}: use a longer text or a shorter context"
        )


def windows(tokens: int, context_length: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """(begin, first, end): inputs begin .. end-1 predict targets begin+1 .. end; keep first .. end.

    Positions count the end-of-text token as 0 and the text's tokens as 1 .. `tokens`.  Every
    position is kept once; all windows have min(context_length, tokens) inputs, and each kept
    token after the first window sees more than context_length - stride tokens before it.
    """
    scored = 0
    while scored < tokens:
        end = min(scored + (stride if scored else context_length), tokens)
        yield max(0, end - context_length), scored + 1, end
        scored = end


def context_of(model: PreTrainedModel) -> int:
    """Tokens that `model` is shown at once: what it was built for, but no more than LONGEST.

    Models with rotary positions name 100,000 and more, which no split of a small text would fill.
    """
    return min(getattr(model.config, "max_position_embeddings", None) or LONGEST, LONGEST)


def start_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token in front of a text: the one made for it, or else the one that ends texts.

    Raises ValueError when the tokenizer has neither.
    """
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return token
    raise ValueError("this tokenizer has no token that begins or ends a text")


@torch.inference_mode()
def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    stride: int | None = None,
    label: str | None = None,
    context_length: int | None = None,
) -> Score:
    """Score `text` in windows of the model's context length C, `stride` tokens apart (C // 2).

    A `context_length` below the model's own shortens its sight.  `label` names a progress bar;
    without it there is none.
    Raises ValueError for an empty text or a stride outside 1 .. C.
    """
    context_length = context_length or context_of(model)
    stride = context_length // 2 if stride is None else stride
    if not text:
        raise ValueError("there is no text to score")
    if not 1 <= stride <= context_length:
        raise ValueError(f"stride {stride} is not between 1 and the context, {context_length}")
    ids, byte_ends = encode(tokenizer, text)
    with_start = np.concatenate((np.array([start_token(tokenizer)], ids.dtype), ids))
    sequence = torch.from_numpy(with_start).to(model.device)
    plan = windows(len(ids), context_length, stride)
    per_batch = max(1, LOGITS_PER_BATCH // (context_length * model.config.vocab_size))
    nats = np.full(len(ids), np.nan)
    was_training = model.training
    model.eval()
    off = None if label else True  # None: off where there is no terminal
    with tqdm(total=len(ids), desc=label, unit="tok", disable=off, leave=False) as bar:
        while batch := list(islice(plan, per_batch)):
            inputs = torch.stack([sequence[begin:end] for begin, _, end in batch]).long()
            targets = torch.stack([sequence[begin + 1 : end + 1] for begin, _, end in batch]).long()
            logits = model(input_ids=inputs).logits.float()
            losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
            rows = losses.view(targets.shape).cpu().double().numpy()  # mps has no float64
            for row, (begin, first, end) in zip(rows, batch, strict=True):
                nats[first - 1 : end] = row[first - 1 - begin :]
                bar.update(end - first + 1)
    model.train(was_training)
    return Score(nats, byte_ends, text)
