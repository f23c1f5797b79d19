"""Imports between packages, fast --help, and a README that matches the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import Place

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = (
    "scratch_lm.train",
    "scratch_lm.bench",
    "scratch_lm.leave_one_out",
    "scratch_lm.time_to_quality",
    "gpt2_finetune.train",
    "gpt2_finetune.bench",
    "gpt2_finetune.cost",
    "gpt2_finetune.build_offline_base",
    "compare.corpus",
    "compare.generate",
    "compare.plan",
    "compare.report",
    "compare.publish",
    "compare.verify",
    "compare.notebook",
    "compare.demo",
)
PACKAGES = ("compare", "scratch_lm", "gpt2_finetune")
# Who may import whom.  The ground floor is every file in compare/ itself except generate.py.
BELOW_RUNS = ("ground floor", "corpus", "ruler")
MAY_IMPORT = {
    "ground floor": (),
    "corpus": ("ground floor",),
    "ruler": ("ground floor", "corpus"),
    "runs": BELOW_RUNS,
    "report": (*BELOW_RUNS, "runs"),
    "publish": (*BELOW_RUNS, "runs", "report"),
    "verify": (*BELOW_RUNS, "runs", "report", "publish"),
    "notebook": ("ground floor",),
    "demo": (*BELOW_RUNS, "runs", "report"),
    "generate": (*BELOW_RUNS, "runs"),
    "scratch_lm": (*BELOW_RUNS, "runs"),
    "gpt2_finetune": (*BELOW_RUNS, "runs"),
}


def modules() -> dict[str, Path]:
    """Return the file of every module of the project, by dotted name."""
    paths = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if not (path.parent / "__init__.py").exists():
                continue  # the `evaluate` metric is a script, which that library copies
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            paths[name.removesuffix(".__init__")] = path
    return paths


def room_of(module: str) -> str:
    package, *rest = module.split(".")
    if package != "compare":
        return package
    return rest[0] if rest and rest[0] in MAY_IMPORT else "ground floor"


def imports(module: str, known: dict[str, Path]) -> set[str]:
    """Return the project's own modules that `module` imports anywhere in its code."""
    found = set()
    for node in ast.walk(ast.parse(known[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & known.keys()
            if names - known.keys():
                found.add(node.module)
    return {name for name in found if name.split(".")[0] in PACKAGES}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_each_room_imports_only_what_it_may(room: str) -> None:
    known = modules()
    for module in known:
        if room_of(module) == room:
            for name in imports(module, known):
                assert room_of(name) in (room, *MAY_IMPORT[room]), f"{module} imports {name}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = modules()
    TopologicalSorter({module: imports(module, known) for module in known}).prepare()


def test_each_package_says_what_it_may_import() -> None:
    """The sentence in its docstring is that of the table."""
    for name, path in modules().items():
        if path.name != "__init__.py" or name == "compare":
            continue
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        found = re.search(r"[Mm]ay import (.*?)[.;](?:\s|$)", docstring, re.DOTALL)
        assert found, name
        allowed = set(re.findall(r"`compare\.(\w+)`", found[1]))
        if "modules directly in `compare`" in " ".join(found[1].split()):
            allowed.add("ground floor")
        assert allowed == set(MAY_IMPORT[room_of(name)]), name


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_without_loading_torch(place: Place, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", command, "--help"],
        cwd=place.path,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "compare.cli" in imported and "torch" not in imported
    assert f"usage: python -m {command}" in done.stdout
    shown = " ".join(done.stdout.split())
    assert "(default: " in shown
    assert not re.search(r"\(default: (None|\[\])?\)", shown)  # the help says what applies instead


def test_every_command_of_the_readme_exists() -> None:
    modules = set(re.findall(r"python -m ([\w.]+)", README))
    assert set(COMMANDS) <= modules
    for module in modules - set(COMMANDS):
        assert module in ("venv", "pytest"), module
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for target in re.findall(r"(?:^|`)make ([\w-]+)", README, re.MULTILINE):
        assert target in targets, target


def test_every_option_in_the_readme_exists(place: Place) -> None:
    used: dict[str, set[str]] = {}
    for line in re.findall(r"^python -m [^#\n]*", README, re.MULTILINE):
        used.setdefault(line.split()[2], set()).update(options_in(line))
    for command in COMMANDS:
        if options := used.get(command):
            shown = place.run(command, "--help").stdout
            # The help of an option begins on its line, or on the next one.
            defined = options_in(" ".join(re.findall(r"^  (-.*?)(?:  |$)", shown, re.MULTILINE)))
            assert options <= defined, command


def options_in(text: str) -> set[str]:
    """Return the options in `text`, which are whole words there."""
    return set(re.findall(r"(?<!\S)--[a-z0-9-]+", text))


def test_every_package_says_what_its_modules_are() -> None:
    for path in modules().values():
        if path.name not in ("__init__.py", "__main__.py"):
            assert f" {path.name} " in (path.parent / "__init__.py").read_text("utf-8"), path


def test_locks_pin_every_requirement_within_its_bounds_by_checksum() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    usual = [*project["dependencies"], *extras["lora"], *extras["test"]]
    for file, texts in {
        "requirements.lock": usual + extras["lint"],
        "tests/slow.lock": usual + extras["slow"],
        "compare/demo/demo.lock": extras["demo"],
    }.items():
        entries = re.split(r"\n(?=\S)", (ROOT / file).read_text("utf-8"))
        assert all("--hash=sha256:" in entry for entry in entries)
        pinned = dict(re.match(r"([\w.-]+)==([\w.]+)", entry).groups() for entry in entries)
        for requirement in map(Requirement, texts):
            if requirement.name != "torch":  # its builds are of different checksums: the Makefile's
                version = pinned[canonicalize_name(requirement.name)]
                assert requirement.specifier.contains(version), requirement


def test_locks_agree_on_the_packages_that_they_share() -> None:
    """Otherwise `make test-all` replaces what `make install` has installed."""
    from packaging.markers import Marker

    for python in ("3.11.9", "3.12.9", "3.13.9", "3.14.9"):
        environment = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
        installed: list[dict[str, str]] = []
        for file in ("requirements.lock", "tests/slow.lock"):
            lines = re.findall(
                r"^([\w.-]+)==([\w.]+)(?: ; (.*?))? \\$", (ROOT / file).read_text("utf-8"), re.M
            )
            assert len(lines) > 100
            installed.append(
                {
                    name: version
                    for name, version, marker in lines
                    if not marker or Marker(marker).evaluate(environment)
                }
            )
        usual, slow = installed
        shared = usual.keys() & slow.keys()
        assert {name: usual[name] for name in shared} == {name: slow[name] for name in shared}


def test_the_lock_of_the_demo_only_adds_to_requirements_lock() -> None:
    added, usual = (
        dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / file).read_text("utf-8"), re.MULTILINE))
        for file in ("compare/demo/demo.lock", "requirements.lock")
    )
    assert not added.keys() & usual.keys()
