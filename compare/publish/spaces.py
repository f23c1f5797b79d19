"""Stage Spaces of the Hub: the demo with both models, and the report as a static page."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import SpaceCard, SpaceCardData

import compare
from compare.errors import Misuse
from compare.files import new_folder, replace_folder
from compare.publish.card import CARD_FILE, MARK
from compare.publish.licenses import PROJECT_LICENSE
from compare.report import pages, storage
from compare.runs import models

PACKAGE = Path(compare.__file__).parent
DISTRIBUTION = "tiny-shakespeare-study"
PYTHON = "3.12"
APP = """\
\"\"\"Serve the demo of both models.  Its code is in compare/demo.\"\"\"

import runpy
import sys

MODELS = {models}
TRAINED_ON = {corpus}

sys.argv = ["compare.demo", "--run", *MODELS, "--host", "0.0.0.0", "--no-browser"]
if TRAINED_ON:
    sys.argv += ["--corpus", TRAINED_ON]
runpy.run_module("compare.demo", run_name="__main__", alter_sys=True)
"""


class Space(NamedTuple):
    """A staged Space."""

    repo: str
    folder: Path
    sdk: str


def stage_demo(
    target: Path, repo: str, model_repos: Sequence[str], corpus: str | None = None
) -> Space:
    """Create or replace the directory `target`, with a Space that runs `compare.demo`.

    It downloads the models of the repositories `model_repos`, and shows the answer of the report.
    What the models copy is marked if they were trained on the text called `corpus`, which the Space
    can download.
    """
    new = new_folder(target)
    shutil.copytree(PACKAGE, new / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    # The models' own code, with which the code next to their weights is compared.
    (new / "scratch_lm").mkdir()
    shutil.copy(models.PROJECT_MODEL_CODE, new / "scratch_lm" / models.PROJECT_MODEL_CODE.name)
    shutil.copy(PROJECT_LICENSE, new / PROJECT_LICENSE.name)
    (new / storage.PATH.parent).mkdir()
    shutil.copy(storage.PATH, new / storage.PATH)
    (new / "app.py").write_text(APP.format(models=list(model_repos), corpus=repr(corpus)), "utf-8")
    (new / "requirements.txt").write_text("\n".join(pinned_requirements()) + "\n", "utf-8")
    lock = (PACKAGE / "demo" / "demo.lock").read_text("utf-8")
    (gradio,) = re.findall(r"^gradio==(\S+)", lock, re.MULTILINE)
    _write_card(
        new,
        SpaceCardData(
            title="From scratch versus fine-tuned: try both",
            sdk="gradio",
            sdk_version=gradio,
            python_version=PYTHON,
            app_file="app.py",
            license="mit",
            models=list(model_repos),
            tags=[MARK],
        ),
        "Two language models continue a prompt side by side, and color a text by what surprises "
        f"them: {' and '.join(model_repos)}. `python -m compare.demo` shows the same page.",
    )
    return Space(repo, replace_folder(new, target), "gradio")


def stage_report(target: Path, repo: str, model_repos: Sequence[str]) -> Space:
    """Create or replace the directory `target`, with a static Space that shows the report."""
    new = new_folder(target)
    shutil.copy(pages.REPORTS / "report.html", new / "index.html")
    _write_card(
        new,
        SpaceCardData(
            title="From scratch versus fine-tuned: the report",
            sdk="static",
            app_file="index.html",
            license="mit",
            models=list(model_repos),
            tags=[MARK],
        ),
        f"What was measured on {' and '.join(model_repos)}. The page loads nothing from other "
        "sites.",
    )
    return Space(repo, replace_folder(new, target), "static")


def pinned_requirements() -> list[str]:
    """Return this project's dependencies, without extras, in the versions that are installed.

    Raises Misuse if this project is not installed, since only then are they known.
    """
    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        raise Misuse(
            "a Space needs this project's list of dependencies: install it with "
            "pip install --no-deps --editable ."
        ) from None
    names = [
        re.match(r"[\w.-]+", line).group()  # type: ignore[union-attr]  # a name comes first
        for line in lines
        if "extra ==" not in line
    ]
    # Without the local part, as in 2.13.0+cpu: the package index has no such version.
    return [f"{name}=={version(name).partition('+')[0]}" for name in names]


def _write_card(folder: Path, data: SpaceCardData, text: str) -> None:
    SpaceCard(f"---\n{data.to_yaml()}\n---\n\n# {data.title}\n\n{text}\n").save(folder / CARD_FILE)
