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

from compare.errors import Failure

PIECE = 2**14  # characters; the library needs some 1,000 bytes for each while it works on them
ABREAST = 4  # pieces, which the library shares out among the cores
BORDER = re.compile(r"(?<=\S)[ \n]")
SHOWN = 20  # characters of a text that is not given back


class LossyTokenizer(Failure, ValueError):
    """Its tokens do not say which text they are of, so that their bits per byte mean nothing."""


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
    Raises LossyTokenizer unless the tokens, decoded, are the text again, byte for byte: all but
    the one space that SentencePiece puts in front of a text, or takes from there.
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
    in_pieces = _splits_as_gpt2(tokenizer)
    parts = pieces(text) if in_pieces else iter([text])
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
            decoded = tokenizer.backend_tokenizer.decode_batch(
                [encoding.ids for encoding in batch.encodings], skip_special_tokens=False
            )
            for part, encoding, again in zip(abreast, batch.encodings, decoded, strict=True):
                if again != part and (in_pieces or not _but_for_a_space(part, again, encoding)):
                    raise LossyTokenizer(_loss(part, again, tokenizer.name_or_path))
                yield _tiled(part, encoding)
                bar.update(len(part))


def _but_for_a_space(text: str, again: str, encoding: Encoding) -> bool:
    """Whether a whole text and its tokens, decoded, differ by a space in front alone.

    Some tokenizers put one in front of each text and leave it there when they decode.  Others put
    it only where there is none, so that a text's own is gone when they take it away again.
    """
    taken = " " + again == text and "".join(encoding.tokens[:1]).startswith("▁")
    return taken or again == " " + text


def _loss(text: str, again: str, folder: str) -> str:
    shorter = min(len(text), len(again))
    at = next((at for at in range(shorter) if text[at] != again[at]), shorter)
    return (
        f"the tokenizer{' in ' * bool(folder)}{folder} does not give the text back: "
        f"{text[at : at + SHOWN]!r} comes back as {again[at : at + SHOWN]!r}"
    )


def _splits_as_gpt2(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether it cuts text as GPT-2's does, so that pieces give the tokens of the whole."""
    backend = tokenizer.backend_tokenizer
    splitter = backend.pre_tokenizer
    return backend.normalizer is None and type(splitter) is ByteLevel and (
        splitter.use_regex and not splitter.add_prefix_space
    )  # fmt: skip


def _tiled(text: str, encoding: Encoding) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array(encoding.ids, dtype=np.int32)
    ends = np.maximum.accumulate([end for _, end in encoding.offsets])
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    sizes = 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)
    byte_ends = np.concatenate(([0], np.cumsum(sizes)))[ends]
    byte_ends[-1] = sizes.sum()
    return ids, byte_ends
