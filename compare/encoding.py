"""From text to tokens, and to the bytes that each token covers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

import numpy as np
from tokenizers import Encoding
from tokenizers.pre_tokenizers import ByteLevel
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

PIECE = 2**14  # characters; the library needs some 1,000 bytes for each while it works on them
ABREAST = 4  # pieces, which the library shares out among the cores
BORDER = re.compile(r"(?<=\S)[ \n]")


def pieces(text: str, size: int = PIECE) -> Iterator[str]:
    """`text` in pieces of `size` characters or a little more, each but the first with white space
    at its beginning and what is none before it: there GPT-2's tokenizer never joins."""
    begin = 0
    while begin < len(text):
        border = BORDER.search(text, begin + size)
        end = border.start() if border else len(text)
        yield text[begin:end]
        begin = end


def encode(
    tokenizer: PreTrainedTokenizerBase, text: str, label: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Token ids of `text` (int32) and the byte offset at which each token ends (int64).

    A special token's spelling inside the text is encoded as ordinary text.  A character that is
    split over several tokens belongs to the first of them; white space that the tokenizer's
    offsets leave out belongs to the token after it, so the spans always tile the text.  `label`
    names a progress bar for long texts.
    Raises ValueError when the tokenizer has no token for some of the text.
    """
    ids, byte_ends, at = bytearray(), bytearray(), 0  # grow in place: parts would be held twice
    for part, ends in _encoded(tokenizer, text, label):
        ids += part.tobytes()
        byte_ends += (ends + at).tobytes()
        at += int(ends[-1])
    return np.frombuffer(ids, np.int32), np.frombuffer(byte_ends, np.int64)


def token_ids(
    tokenizer: PreTrainedTokenizerBase, text: str, label: str | None = None
) -> np.ndarray:
    """The first result of `encode` alone, as uint16 where the vocabulary allows it.

    A long text's ids are then about as many bytes as the text.
    """
    kind = np.uint16 if len(tokenizer) <= 2**16 else np.int32
    found = bytearray()
    for ids, _ in _encoded(tokenizer, text, label):
        found += ids.astype(kind).tobytes()
    return np.frombuffer(found, kind)


def _encoded(
    tokenizer: PreTrainedTokenizerBase, text: str, label: str | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    parts = pieces(text) if _splits_as_gpt2(tokenizer) else iter([text])
    off = None if label and len(text) > PIECE else True  # None: off where there is no terminal
    with tqdm(total=len(text), desc=label, unit="char", unit_scale=True, disable=off) as bar:
        while abreast := list(islice(parts, ABREAST)):
            batch = tokenizer(
                abreast,
                add_special_tokens=False,
                return_offsets_mapping=True,
                split_special_tokens=True,
                verbose=False,
            )
            for part, encoding in zip(abreast, batch.encodings, strict=True):
                yield _tiled(part, encoding, tokenizer.unk_token_id)
                bar.update(len(part))


def _splits_as_gpt2(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether it cuts text as GPT-2's does, so that pieces give the tokens of the whole."""
    backend = tokenizer.backend_tokenizer
    splitter = backend.pre_tokenizer
    return backend.normalizer is None and type(splitter) is ByteLevel and (
        splitter.use_regex and not splitter.add_prefix_space
    )  # fmt: skip


def _tiled(text: str, encoding: Encoding, unknown: int | None) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array(encoding.ids, dtype=np.int32)
    starts, ends = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2).T
    ends = np.maximum.accumulate(ends)
    ends_before, starts_after = np.append(0, ends), np.append(starts, len(text))
    gaps = np.flatnonzero(ends_before < starts_after)
    left_out = "".join(text[ends_before[at] : starts_after[at]] for at in gaps)
    if not len(ids) or left_out.strip() or np.any(ids == unknown):
        raise ValueError("this tokenizer has no token for some characters of the text")
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    sizes = 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)
    byte_ends = np.concatenate(([0], np.cumsum(sizes)))[ends]
    byte_ends[-1] = sizes.sum()
    return ids, byte_ends
