"""Code a text into bytes with a model, and decode it again from the bytes and the model alone.

Their number is the score, shown without belief in any formula: what a decoder can restore
is what the model predicted.  Probabilities that do not sum to one, or that were computed from the
text itself, do not decode.

Both directions compute the probabilities of the next token in the same way: from the tokens before
it in its window, in a batch of one and without a cache.  The same operations on the same shapes
give the same floats, and `constriction` rounds these to the same fixed-point numbers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compare.corpus.encoding import encode as tokenize
from compare.errors import Failure, Misuse
from compare.ruler import scoring
from compare.ruler.scoring import start_token, windows
from compare.verify.calls import logits_of
from compare.verify.points import Point, failed, passed

BYTES = ("bytes", "It compresses the text to the size that its score predicts")
# constriction's probabilities are multiples of 2^-24.  In two steps of at most 256 or so symbols
# each, rounding costs nothing even for a vocabulary of 100,000 tokens.
PAGE = 256
HEADER = struct.Struct("<IB")  # the number of tokens, and a _Space
TOLERANCE = 1e-3
# Bytes that do not grow with the text: the header, and the coder's last words of 4 bytes each.
CONSTANT = HEADER.size + 8


class _Space(IntEnum):
    """What SentencePiece does to the space in front of a text."""

    KEPT = 0
    REMOVED = 1
    ADDED = 2


@dataclass(frozen=True)
class Coded:
    """A text in coded bytes."""

    size: int
    """How many bytes, header included."""
    scored_bytes: float
    """What the ruler's score of the same text amounts to."""
    decoded: str


def require_coder() -> Any:
    """Return the module `constriction`.  Raises Misuse if it is not installed."""
    try:
        import constriction
    except ImportError:
        raise Misuse(
            "--bytes needs the package constriction: pip install constriction==0.5.0"
        ) from None
    return constriction


class RangeCoder:
    """Codes texts with one model.

    Raises Misuse if the package `constriction` is not installed.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, context_length: int
    ) -> None:
        constriction = require_coder()
        self._queue = constriction.stream.queue
        self._categorical = constriction.stream.model.Categorical
        self._model, self._tokenizer = model, tokenizer
        self._context_length = context_length

    def encode(self, text: str) -> bytes:
        """Return `text` as bytes."""
        ids, _ = tokenize(self._tokenizer, text)
        tokens, coder = self._start(len(ids)), self._queue.RangeEncoder()
        for at, begin in self._plan(len(ids), "coding"):
            probabilities = self._probabilities(tokens[begin:at])
            token = int(ids[at - 1])
            page, place = divmod(token, PAGE)
            coder.encode(page, self._pages(probabilities))
            coder.encode(place, self._places(probabilities, page))
            tokens[at] = token
        words = coder.get_compressed().astype("<u4")
        restored = self._join(ids)
        space = _Space.KEPT
        if restored != text:
            space = _Space.ADDED if restored == " " + text else _Space.REMOVED
        return HEADER.pack(len(ids), space) + words.tobytes()

    def decode(self, data: bytes) -> str:
        """Return the text in bytes that `encode` has returned."""
        number, space = HEADER.unpack(data[: HEADER.size])
        words = np.frombuffer(data[HEADER.size :], "<u4").astype(np.uint32)
        tokens, coder = self._start(number), self._queue.RangeDecoder(words)
        for at, begin in self._plan(number, "decoding"):
            probabilities = self._probabilities(tokens[begin:at])
            page = int(coder.decode(self._pages(probabilities)))
            place = int(coder.decode(self._places(probabilities, page)))
            tokens[at] = min(page * PAGE + place, len(probabilities) - 1)
        text = self._join(tokens[1:])
        if space == _Space.ADDED:
            return text.removeprefix(" ")
        return " " + text if space == _Space.REMOVED else text

    def _join(self, ids: np.ndarray) -> str:
        """Return the text of tokens, special ones spelled out."""
        backend = self._tokenizer.backend_tokenizer
        return str(backend.decode(ids.tolist(), skip_special_tokens=False))

    def _start(self, number: int) -> np.ndarray:
        """Return an array for the start token and `number` unknown tokens."""
        tokens = np.zeros(number + 1, np.int64)
        tokens[0] = start_token(self._tokenizer)
        return tokens

    def _plan(self, number: int, label: str) -> Any:
        """Yield each token's position, and where its window begins, as the ruler cuts windows."""
        stride = self._context_length // 2
        with tqdm(total=number, desc=label, unit="tok", leave=False, disable=None) as bar:
            for begin, first, end in windows(number, self._context_length, stride):
                for at in range(first, end + 1):
                    yield at, begin
                    bar.update()

    def _probabilities(self, before: np.ndarray) -> np.ndarray:
        """Return the probabilities of the next token, (vocabulary,) float64."""
        ids = torch.from_numpy(before)[None].to(self._model.device)
        logits = logits_of(self._model, ids)[0, -1]
        return logits.cpu().double().softmax(-1).numpy()

    def _pages(self, probabilities: np.ndarray) -> Any:
        """Return the distribution over pages of PAGE tokens."""
        starts = np.arange(0, len(probabilities), PAGE)
        return self._distribution(np.add.reduceat(probabilities, starts))

    def _places(self, probabilities: np.ndarray, page: int) -> Any:
        """Return the distribution over the tokens on one page."""
        return self._distribution(probabilities[page * PAGE : (page + 1) * PAGE])

    def _distribution(self, weights: np.ndarray) -> Any:
        """Return weights as a distribution; the coder rounds them, and makes their sum one."""
        if not weights.sum() > 0:  # so improbable that even float64 has no number for it
            weights = np.ones(len(weights))
        if len(weights) == 1:  # the coder wants two symbols
            weights = np.append(weights, 0.0)
        return self._categorical(weights / weights.sum(), perfect=False)


def code(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, context_length: int
) -> Coded:
    """Code `text` into bytes and decode them; score it, too.

    Raises Misuse if the package `constriction` is not installed.
    """
    coder = RangeCoder(model, tokenizer, context_length)
    data = coder.encode(text)
    decoded = coder.decode(data)
    nats = scoring.score(model, tokenizer, text).nats.sum()
    return Coded(len(data), float(nats) / np.log(2) / 8, decoded)


def check_bytes(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    context_length: int,
    described: str,
) -> Point:
    """Check that `text` is coded in as many bytes as its score says, and decoded byte for byte.

    `described` says which text it is.  Raises Misuse if the package `constriction` is not
    installed.
    """
    try:
        coded = code(model, tokenizer, text, context_length)
    except Failure as error:
        return failed(*BYTES, f"{described} cannot be coded: {error}")
    size = len(text.encode())
    excess = coded.size - coded.scored_bytes
    evidence = (
        f"{described}: {size:,} bytes were coded in {coded.size:,} "
        f"({coded.size * 8 / size:.4f} bits/byte); by the score, they need "
        f"{coded.scored_bytes:,.1f} ({excess / coded.scored_bytes:+.2%})"
    )
    if coded.decoded.encode() != text.encode():
        return failed(*BYTES, f"{evidence}; but the bytes do not decode to the text")
    if abs(excess) > TOLERANCE * coded.scored_bytes + CONSTANT:
        return failed(*BYTES, f"{evidence}: the score is not what the model predicts")
    return passed(
        *BYTES,
        f"{evidence}, of which up to {CONSTANT} bytes do not grow with the text; decoded again "
        "byte for byte",
    )
