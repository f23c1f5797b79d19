"""Tokenize a text, and map each token to the bytes that it covers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

import numpy as np
from tokenizers import Encoding
from tokenizers.pre_tokenizers import ByteLevel
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from compare.errors import Failure

# In characters.  The library needs about 1,000 bytes of memory per character while tokenizing.
PIECE_LENGTH = 2**14
PIECES_PER_BATCH = 4  # the library distributes them over the CPU cores
PIECE_BORDER = re.compile(r"(?<=\S)[ \n]")
EXCERPT_LENGTH = 20  # characters shown of a text that does not survive a round trip


class UnusableTokenizer(Failure, ValueError):
    """The tokenizer cannot be used to score the text: for instance, it changes the text."""


def pieces(text: str, size: int = PIECE_LENGTH) -> Iterator[str]:
    """Split `text` into pieces of at least `size` characters (the last may be shorter).

    Each piece except the first begins with whitespace that follows a non-whitespace character.
    GPT-2's tokenizer never merges across such a border, so tokenizing the pieces one by one gives
    the tokens of the whole text.
    """
    begin = 0
    while begin < len(text):
        border = PIECE_BORDER.search(text, begin + size)
        end = border.start() if border else len(text)
        yield text[begin:end]
        begin = end


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the token ids of `text` (int32) and the byte offset where each token ends (int64).

    Special tokens that are spelled out in the text are encoded as ordinary text.  A character that
    is split over several tokens belongs to the first of them.  Whitespace that the tokenizer's
    offsets leave out belongs to the token after it, so that the spans always tile the text.

    Raises UnusableTokenizer unless decoding the tokens gives the text back byte for byte, apart
    from the one leading space that SentencePiece adds or removes.
    """
    # Bytearrays grow in place; concatenating arrays would hold the parts twice.
    ids, byte_ends, offset = bytearray(), bytearray(), 0
    for piece_ids, piece_ends in _encode_pieces(tokenizer, text, label=None):
        ids += piece_ids.tobytes()
        byte_ends += (piece_ends + offset).tobytes()
        offset += int(piece_ends[-1])
    return np.frombuffer(ids, np.int32), np.frombuffer(byte_ends, np.int64)


def token_ids(
    tokenizer: PreTrainedTokenizerBase, text: str, label: str | None = None
) -> np.ndarray:
    """Return the token ids of `text` as `encode` does, but as uint16 if the vocabulary allows it.

    The ids of a long text then take about as many bytes as the text itself.  Otherwise they are
    int32.  `label` names a progress bar, which is shown for long texts.

    Raises UnusableTokenizer under the same conditions as `encode`.
    """
    dtype = np.uint16 if len(tokenizer) <= 2**16 else np.int32
    ids = bytearray()
    for piece_ids, _ in _encode_pieces(tokenizer, text, label):
        ids += piece_ids.astype(dtype).tobytes()
    return np.frombuffer(ids, dtype)


def _encode_pieces(
    tokenizer: PreTrainedTokenizerBase, text: str, label: str | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the token ids and byte ends of each piece; byte ends count from the piece's start."""
    if not tokenizer.is_fast:
        raise UnusableTokenizer(
            "the tokenizer does not say which characters its tokens cover: use a fast one"
        )
    in_pieces = _splits_like_gpt2(tokenizer)
    remaining = pieces(text) if in_pieces else iter([text])
    # tqdm takes None as "disabled unless stderr is a terminal".
    disable = None if label and len(text) > PIECE_LENGTH else True
    with tqdm(total=len(text), desc=label, unit="char", unit_scale=True, disable=disable) as bar:
        while batch := list(islice(remaining, PIECES_PER_BATCH)):
            encoded = tokenizer(
                batch,
                add_special_tokens=False,
                return_offsets_mapping=True,
                split_special_tokens=True,
                verbose=False,
            )
            decoded = tokenizer.backend_tokenizer.decode_batch(
                [encoding.ids for encoding in encoded.encodings], skip_special_tokens=False
            )
            for piece, encoding, result in zip(batch, encoded.encodings, decoded, strict=True):
                is_lossless = result == piece or (
                    not in_pieces and _only_space_differs(piece, result, encoding)
                )
                if not is_lossless:
                    raise UnusableTokenizer(_describe_loss(piece, result, tokenizer.name_or_path))
                yield _align_to_bytes(piece, encoding)
                bar.update(len(piece))


def _only_space_differs(text: str, decoded: str, encoding: Encoding) -> bool:
    """Return whether `text` and its decoded tokens differ only in one leading space.

    Some tokenizers put a space in front of every text and keep it when decoding.  Others add one
    only if the text has none, and always remove it when decoding, including the text's own.
    """
    removed = " " + decoded == text and "".join(encoding.tokens[:1]).startswith("▁")
    return removed or decoded == " " + text


def _describe_loss(text: str, decoded: str, folder: str) -> str:
    """Say where `text` and its decoded tokens first differ, for an error message."""
    shorter = min(len(text), len(decoded))
    start = next((at for at in range(shorter) if text[at] != decoded[at]), shorter)
    excerpt = slice(start, start + EXCERPT_LENGTH)
    return (
        f"the tokenizer{' in ' * bool(folder)}{folder} does not reproduce the text: "
        f"{text[excerpt]!r} becomes {decoded[excerpt]!r}"
    )


def _splits_like_gpt2(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether the tokenizer pre-tokenizes like GPT-2's, so that pieces can be used."""
    backend = tokenizer.backend_tokenizer
    splitter = backend.pre_tokenizer
    return (
        backend.normalizer is None
        and type(splitter) is ByteLevel
        and splitter.use_regex
        and not splitter.add_prefix_space
    )


def _align_to_bytes(text: str, encoding: Encoding) -> tuple[np.ndarray, np.ndarray]:
    """Return the token ids and byte ends of `text`; the byte ends never decrease and tile it."""
    ids = np.array(encoding.ids, dtype=np.int32)
    ends = np.maximum.accumulate([end for _, end in encoding.offsets])
    code_points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    # Length of each character in UTF-8.
    sizes = 1 + (code_points >= 0x80) + (code_points >= 0x800) + (code_points >= 0x10000)
    byte_ends = np.concatenate(([0], np.cumsum(sizes)))[ends]
    byte_ends[-1] = sizes.sum()
    return ids, byte_ends
