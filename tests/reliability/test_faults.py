"""Failed writes leave existing files readable, and are reported to the user."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from compare import files
from compare.files import write_atomically
from tests.conftest import FINETUNE, HANGS, SCRATCH, Place

ERRORS = [errno.ENOSPC, errno.EIO, errno.EACCES]


CALLS = ["open", "write", "flush", "fsync", "replace"]


def break_call(name: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make one of the calls in `write_atomically` fail."""

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    really = Path.open

    def opened(path: Path, *arguments: object, **options: object) -> object:
        file = really(path, *arguments, **options)
        broken = MagicMock(wraps=file)
        broken.__enter__.return_value = broken
        broken.__exit__.side_effect = lambda *_: file.close()
        setattr(broken, name, fail)
        return broken

    if name in ("fsync", "replace"):
        monkeypatch.setattr(files.os, name, fail)
    else:
        monkeypatch.setattr(Path, "open", fail if name == "open" else opened)


@pytest.mark.parametrize("code", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", CALLS)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        break_call(name, code, patch)
        with pytest.raises(OSError, match=f"{os.strerror(code)}: '{path}'"):
            write_atomically(path, b"new" * 1000)
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.slow
@pytest.mark.parametrize("track", ["scratch_lm", "gpt2_finetune"])
@pytest.mark.parametrize("kilobytes", [1, 20, 150])
def test_a_full_disk_ends_a_training_with_one_line(
    place: Place, mini_text: Path, tiny_base: Path, track: str, kilobytes: int
) -> None:
    """A limit on file size simulates it: record, checkpoint or model cannot be written."""
    own = SCRATCH if track == "scratch_lm" else [*FINETUNE, "--base", tiny_base]
    command = [*own, "--corpus", mini_text, "--tracking", "disabled"]
    place.environment["XDG_CACHE_HOME"] = str(place.path / "cache")
    limited = f"ulimit -f {kilobytes}; exec {sys.executable} -m " + " ".join(map(str, command))
    done = subprocess.run(
        ["bash", "-c", limited],
        cwd=place.path,
        capture_output=True,
        text=True,
        timeout=HANGS,
        env=place.environment | {"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: "), done.stderr
    for record in place.path.glob("runs/*/*/run.json"):
        assert json.loads(record.read_text("utf-8"))["status"] != "complete"
    assert "complete" not in place.run(*command, "--resume").stdout  # room again
    (record,) = place.path.glob("runs/*/latest/run.json")
    assert json.loads(record.read_text("utf-8"))["status"] == "complete"
