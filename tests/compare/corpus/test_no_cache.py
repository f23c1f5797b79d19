"""Commands use the text even if there is no home directory, or if the cache is not writable.

Root can write anywhere, so a regular file takes the place of the cache directory.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compare.corpus.sources import TINY_SHAKESPEARE_SHA256
from tests.conftest import FINETUNE, SCRATCH, Place

WITHOUT_USER = """
import pwd
def getpwuid(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = getpwuid
"""


@pytest.fixture
def homeless(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a place of a user without a home, in neither HOME nor the password database."""
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(WITHOUT_USER, "utf-8")
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "NETRC"):
        place.environment.pop(name, None)
    path = [str(site), os.environ.get("PYTHONPATH", "")]
    place.environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    return place


@pytest.fixture
def unwritable(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    cache = tmp_path_factory.mktemp("cache") / "file"
    cache.write_text("in the way", "utf-8")
    place.environment["XDG_CACHE_HOME"] = str(cache)
    return place


def test_the_corpus_is_shown_without_a_home(homeless: Place) -> None:
    done = homeless.run("compare.corpus")
    assert TINY_SHAKESPEARE_SHA256 in done.stdout and not done.stderr
    assert not list(homeless.path.iterdir())  # no directory called ~


def test_the_corpus_is_shown_and_the_missing_cache_told_in_one_line(unwritable: Place) -> None:
    done = unwritable.run("compare.corpus", "--export", "input.txt")
    assert TINY_SHAKESPEARE_SHA256 in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("WARNING: the corpus is not cached") and "file" in line
    assert (unwritable.path / "input.txt").stat().st_size == 1_115_394


def test_a_cache_that_cannot_be_read_is_passed_over(place: Place) -> None:
    folder = place.path / "cache"
    (folder / "tiny-shakespeare-study" / "tiny_shakespeare.txt").mkdir(parents=True)
    place.environment["XDG_CACHE_HOME"] = str(folder)
    assert TINY_SHAKESPEARE_SHA256 in place.run("compare.corpus").stdout


@pytest.mark.parametrize("kind", ["homeless", "unwritable"])
def test_a_model_is_trained_from_scratch(
    request: pytest.FixtureRequest, kind: str, mini_text: Path
) -> None:
    place = request.getfixturevalue(kind)
    options = ["--corpus", mini_text, "--epochs", 1]
    assert "best" in place.run(*SCRATCH, *options).stdout
    assert {path.name for path in place.path.iterdir()} == {"runs"}


def test_a_model_is_fine_tuned_without_a_home(homeless: Place, mini_text: Path) -> None:
    options = ["--corpus", mini_text, "--epochs", 1, "--tracking", "disabled"]
    done = homeless.run(*FINETUNE, *options, "--base", "auto")
    assert "best on validation" in done.stdout and "set HOME or HF_HOME" in done.stderr
    assert {path.name for path in homeless.path.iterdir()} == {"runs"}
