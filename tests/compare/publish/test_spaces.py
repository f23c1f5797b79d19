"""The Spaces that --space stages: a demo that runs on its own, and the report as a page."""

from __future__ import annotations

import ast
import re
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

import pytest
from huggingface_hub import SpaceCard

from compare.publish import card, spaces
from tests.conftest import HANGS, Place, default_environment, killed_if_it_hangs

MODELS = ["student/tiny-scratch", "student/tiny-gpt2"]


@pytest.fixture
def reported(tmp_path: Path) -> Path:
    """Return a directory with a report, as the current directory."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "report.json").write_text("{}", "utf-8")
    (tmp_path / "reports" / "report.html").write_text("<p>the report</p>", "utf-8")
    return tmp_path


def test_the_demo_brings_its_code_and_names_models_and_versions(reported: Path) -> None:
    staged = spaces.stage_demo(reported / "demo", "student/tiny-demo", MODELS)
    assert (staged.repo, staged.sdk) == ("student/tiny-demo", "gradio")
    data = SpaceCard.load(staged.folder / card.CARD_FILE).data
    assert data.sdk == "gradio" and data.models == MODELS and data.app_file == "app.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", data.sdk_version)
    assert card.is_of_the_study(staged.folder / card.CARD_FILE)  # so that a push may replace it
    assert all(
        name in ast.dump(ast.parse((staged.folder / "app.py").read_text("utf-8")))
        for name in MODELS
    )
    wanted = (staged.folder / "requirements.txt").read_text("utf-8").splitlines()
    assert f"torch=={version('torch').partition('+')[0]}" in wanted
    assert f"transformers=={version('transformers')}" in wanted
    assert not any(line.startswith(("pytest", "ruff", "gradio")) for line in wanted)
    assert not list(staged.folder.rglob("__pycache__"))
    assert "MIT License" in (staged.folder / "LICENSE").read_text("utf-8")
    done = subprocess.run(  # it imports its own copy, and finds what it needs there
        [
            sys.executable,
            "-c",
            "from compare.runs import models; print(models.PROJECT_MODEL_CODE.read_text())",
        ],
        cwd=staged.folder,
        capture_output=True,
        text=True,
    )
    assert "class ScratchLM" in done.stdout, done.stderr


def test_staging_again_replaces_what_was_there(reported: Path) -> None:
    for _ in range(2):
        staged = spaces.stage_report(reported / "report", "student/tiny-report", MODELS)
        assert {path.name for path in staged.folder.iterdir()} == {"index.html", card.CARD_FILE}
        assert (staged.folder / "index.html").read_text("utf-8") == "<p>the report</p>"
        (staged.folder / "stale.txt").touch()
    assert SpaceCard.load(staged.folder / card.CARD_FILE).data.sdk == "static"
    assert not [path for path in reported.iterdir() if path.name.startswith(".")]


def test_spaces_need_the_names_of_the_models_owner(place: Place) -> None:
    assert "--namespace" in place.refused("compare.publish", "--space")
    private = place.refused("compare.publish", "--space", "--push", "--private")
    assert "could not download private models" in private
    assert "without --push" in place.refused("compare.publish", "--private")
    assert "without --push" in place.refused("compare.publish", "--replace")


@pytest.mark.slow
def test_the_demo_serves_both_models(reported: Path, caches: Path, tiny_base: Path) -> None:
    if not find_spec("gradio"):
        pytest.skip("no gradio: make test-all installs it")
    folder = spaces.stage_demo(reported / "demo", "student/tiny-demo", ["left", "right"]).folder
    for name in ("left", "right"):
        shutil.copytree(tiny_base, folder / name)
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=folder,
        env=default_environment(caches),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        with killed_if_it_hangs(process):
            line = process.stdout.readline()
        served = re.fullmatch(r"serving http://[\w.]+:(\d+)/\n", line)
        assert served
        with urlopen(f"http://127.0.0.1:{served[1]}/", timeout=HANGS) as answer:
            assert b"gradio" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(HANGS) == 0
    finally:
        process.kill()
        process.communicate()
