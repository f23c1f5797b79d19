"""Who may import whom, commands that answer at once, and a README that works."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import Place

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = ("scratch_lm.train", "scratch_lm.bench",
            "gpt2_finetune.train", "gpt2_finetune.bench", "gpt2_finetune.build_offline_base",
            "compare.corpus", "compare.generate", "compare.report", "compare.publish")  # fmt: skip
ALLOWED = {
    "compare": {"compare"},
    "scratch_lm": {"scratch_lm", "compare"},
    "gpt2_finetune": {"gpt2_finetune", "compare"},
}


@pytest.mark.parametrize("package", ALLOWED)
def test_the_tracks_know_the_referee_and_the_referee_knows_neither(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                first = name.split(".")[0]
                assert first not in ALLOWED or first in ALLOWED[package], f"{path}: {name}"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_without_loading_torch(place: Place, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", command, "--help"],
        cwd=place.path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "compare.cli" in imported and "torch" not in imported
    assert f"usage: python -m {command}" in done.stdout
    options = re.findall(r"^  (--[a-z-]+)", done.stdout, re.MULTILINE)
    assert done.stdout.count("(default:") == len(options)


def test_every_command_of_the_readme_exists() -> None:
    modules = set(re.findall(r"python -m ([\w.]+)", README))
    assert set(COMMANDS) <= modules
    for module in modules - set(COMMANDS):
        assert module in ("venv", "pytest"), module
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"(?:^|`)make ([\w-]+)", README, re.MULTILINE):
        assert target in targets, target


def test_every_option_in_the_readme_exists(place: Place) -> None:
    for line in re.findall(r"^python -m .*$", README, re.MULTILINE):
        command, options = line.split()[2], re.findall(r"(--[a-z-]+)", line.split("#")[0])
        if command in COMMANDS and options:
            known = place.run(command, "--help").stdout
            assert all(option in known for option in options), line


def test_readme_tree_names_every_module() -> None:
    for package in ALLOWED:
        for path in (ROOT / package).glob("*.py"):
            if path.name != "__init__.py":
                assert path.name in README, path


def test_locks_pin_every_requirement_within_its_bounds_by_checksum() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    usual = [*project["dependencies"], *extras["lora"], *extras["test"]]
    for file, texts in {
        "requirements.lock": usual,
        "tests/slow.lock": usual + extras["slow"],
    }.items():
        entries = re.split(r"\n(?=\S)", (ROOT / file).read_text())
        assert all("--hash=sha256:" in entry for entry in entries)
        pinned = dict(re.match(r"([\w.-]+)==([\w.]+)", entry).groups() for entry in entries)
        for requirement in map(Requirement, texts):
            if requirement.name != "torch":  # its builds are of different checksums: the Makefile's
                version = pinned[canonicalize_name(requirement.name)]
                assert requirement.specifier.contains(version), requirement
