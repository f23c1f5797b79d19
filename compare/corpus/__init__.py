"""The text that both tracks train on, its splits, its tokens and the blocks they are cut into.

May use the ground floor alone; the ruler and everything above it use this room.

Splits are by characters: the first 90 % train, the next 5 % validation, the last 5 % test, as in
the Hub's `tiny_shakespeare`.  Validation chooses; test is read once, by `compare.report`.

Line ends of Windows (CRLF) and of old Macs (CR) are read as LF, so that speeches and lines are
found whatever system a file comes from.  Splits and sha256 are of the text after that: the same
text is the same corpus, and a record's sha256 is of what was trained on.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compare.corpus import sources
from compare.errors import Misuse


@dataclass(frozen=True)
class Corpus:
    """A text in three splits.

    `source` says where it came from, `sha256` is of all its bytes, with LF as line ends, and
    `line_ends` says how many others there were.
    """

    name: str
    source: str
    sha256: str
    train: str
    validation: str
    test: str
    line_ends: dict[str, int] = field(default_factory=lambda: {"CRLF": 0, "CR": 0})

    def record(self) -> dict[str, Any]:
        """Name, source, sha256, line ends and sizes, as run records and reports carry them."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            "name": self.name,
            "source": self.source,
            "sha256": self.sha256,
            "line_ends": self.line_ends,
            "splits": {
                split: {"chars": len(text), "bytes": len(text.encode())}
                for split, text in splits.items()
            },
        }


def load(name: str) -> Corpus:
    """The corpus called `name`, or the text file at that path.

    Raises Misuse for a file that is missing, unreadable, empty, not regular or not UTF-8, Failure
    when a named corpus cannot be had.
    """
    if name == "tiny-shakespeare":
        return _split(name, *sources.tiny_shakespeare())
    if name == "wikitext-2":
        return _wikitext_2()
    path = Path(name)
    if path.is_dir():
        raise Misuse(f"--corpus {name} is a directory: give one UTF-8 text file")
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # it might never end
            raise Misuse(f"--corpus {name} is no regular file: give one UTF-8 text file")
        data = path.read_bytes()
    except FileNotFoundError:
        raise Misuse(f"--corpus {name}: no such file, nor tiny-shakespeare or wikitext-2") from None
    except OSError as error:
        raise Misuse(f"--corpus {name} cannot be read: {error.strerror}") from None
    if not data:
        raise Misuse(f"--corpus {name} is empty: give a text to train on")
    try:
        return _split(path.name, data, f"file {path}")
    except UnicodeDecodeError as error:
        raise Misuse(
            f"--corpus {name} is not UTF-8 (byte {error.start}): convert it, "
            f"e.g. iconv -f latin1 -t utf-8"
        ) from None


def _split(name: str, data: bytes, source: str) -> Corpus:
    text = data.decode("utf-8")
    text, line_ends = _with_lf(text)
    if any(line_ends.values()):
        data = text.encode()
    train_end = int(len(text) * 0.9)
    validation_end = train_end + (len(text) - train_end) // 2
    return Corpus(
        name,
        source,
        hashlib.sha256(data).hexdigest(),
        text[:train_end],
        text[train_end:validation_end],
        text[validation_end:],
        line_ends,
    )


def _with_lf(text: str) -> tuple[str, dict[str, int]]:
    """`text` with LF as its only line end, and how many there were of the others."""
    crlf = text.count("\r\n")
    line_ends = {"CRLF": crlf, "CR": text.count("\r") - crlf}
    return text.replace("\r\n", "\n").replace("\r", "\n"), line_ends


def _wikitext_2() -> Corpus:
    """Its own splits, each with LF as line ends."""
    splits = [_with_lf(text) for text in sources.wikitext_2()]
    texts = [text for text, _ in splits]
    line_ends = {kind: sum(counts[kind] for _, counts in splits) for kind in ("CRLF", "CR")}
    digest = hashlib.sha256("".join(texts).encode()).hexdigest()
    return Corpus("wikitext-2", "/".join(sources.WIKITEXT), digest, *texts, line_ends)
