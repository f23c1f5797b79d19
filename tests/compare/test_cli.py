"""Flags, defaults and help of a command line, and how an interrupted or failed run ends."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

import pytest

from compare import cli
from compare.errors import Diverged, Failure, Interrupted, Misuse
from compare.plan import PlanOptions
from compare.verify.__main__ import VerifyOptions

COMMAND = "python -m scratch_lm.train --seed 2"


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({}, "python -m scratch_lm.train --seed 2 --resume"),
        (
            {"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2"},
            "torchrun --nproc-per-node 2 -m scratch_lm.train --seed 2 --resume",
        ),
        ({"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4"}, "repeat the same command with --resume"),
        (
            {"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2", "ACCELERATE_USE_FSDP": "true"},
            "repeat the same command with --resume",
        ),
    ],
    ids=["python", "torchrun", "torchrun on two machines", "accelerate launch"],
)
def test_a_resumed_run_is_launched_as_before(
    environment: dict[str, str], shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE", "ACCELERATE_USE_FSDP"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cli.resume_command(COMMAND) == shown


LOST = RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] Connection reset")


def lose_a_process(_: object) -> None:
    raise LOST


def test_a_lost_process_is_reported_on_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit) as ended:
        cli.run(lose_a_process, cli.StudyOptions())
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: another process") and "--resume" in line


@pytest.mark.parametrize(
    ("error", "code", "printed_by"),
    [
        (Interrupted(15, "repeat the command"), 143, {"0"}),
        (Diverged("the loss of step 3 is nan", None), 1, {"0"}),
        # Perhaps only one process raises these, and torchrun then ends the others.
        (Misuse("torch finds 1 GPU"), 2, {"0", "1"}),
        (Failure("no checkpoint can be written"), 1, {"0", "1"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_ends_all_processes_together_is_printed_once_per_machine(
    error: Exception,
    code: int,
    printed_by: set[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def end(_: object) -> None:
        raise error

    for rank in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        with pytest.raises(SystemExit) as ended:
            cli.run(end, cli.StudyOptions())
        assert ended.value.code == code
        shown = capsys.readouterr().err
        assert shown == (f"error: {error}\n" if rank in printed_by else "")


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (cli.StudyOptions(), "see the batch and precision options in --help, or use --device cpu"),
        (VerifyOptions(), "to use the CPU instead, add --device cpu"),
        (PlanOptions(), "to use the CPU instead, set CUDA_VISIBLE_DEVICES to nothing"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_full_gpu_is_reported_with_advice_that_the_command_accepts(
    options: object, advice: str, capsys: pytest.CaptureFixture
) -> None:
    class OutOfMemoryError(RuntimeError):
        """As torch's."""

    def fill(_: object) -> None:
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore.")

    with pytest.raises(SystemExit) as ended:
        cli.run(fill, options)
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "Tried to allocate 2.00 GiB" in line and line.endswith(advice)


def test_the_command_repeats_values_that_begin_with_a_dash() -> None:
    arguments = ["--corpus=-novel.txt", "--leave-out", "a -b"]
    options = cli.parse(cli.StudyOptions, argv=arguments)
    assert options.corpus == "-novel.txt"
    command = shlex.split(cli.command_line("python -m x", options))
    assert command == ["python", "-m", "x", *arguments]
    assert cli.parse(cli.StudyOptions, argv=command[3:]) == options


@dataclass(frozen=True)
class Recipe:
    """A recipe."""

    preset: str = "plain"
    """Its name."""
    drills: bool = False
    """Whether it has drills."""
    steps: int = 100
    """Number of steps."""
    patience: int | None = None
    """Epochs to wait; by default, forever."""
    teachers: list[str] = field(default_factory=list)
    """Teachers; by default, none."""


RECIPES = {"plain": {}, "best": {"drills": True, "steps": 200, "teachers": ["own"]}}


@pytest.mark.parametrize(
    ("arguments", "drills"),
    [("", True), ("--drills", True), ("--no-drills", False), ("--nodrills", False)],
)
def test_a_flag_is_turned_on_and_off(arguments: str, drills: bool) -> None:
    options = cli.parse(Recipe, RECIPES, ["--preset", "best", *arguments.split()])
    assert options.drills == drills
    command = shlex.split(cli.command_line("python -m x", options, RECIPES))
    assert cli.parse(Recipe, RECIPES, command[3:]) == options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--nodrills true", "unrecognized arguments: true"),
        ("--drills=true", "--drills takes no value, but got 'true': leave it out"),
        ("--no-drills=", "--drills takes no value, but got '': leave it out"),
        ("--patience", "--patience: expected one argument"),
    ],
)
def test_flags_take_no_value_and_other_options_need_one(
    arguments: str, message: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parse(Recipe, RECIPES, arguments.split())
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and line.startswith("error: ") and message in line


def test_an_option_with_a_list_may_be_given_none() -> None:
    assert cli.parse(Recipe, RECIPES, ["--preset", "best", "--teachers"]).teachers == []


@pytest.mark.parametrize(("preset", "steps"), [("plain", 100), ("best", 200)])
def test_help_shows_the_defaults_of_the_preset_unless_they_are_empty(
    preset: str, steps: int, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parse(Recipe, RECIPES, ["--preset", preset, "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"--steps int Number of steps. (default: {steps})" in shown
    assert "--patience int Epochs to wait; by default, forever. --teachers" in shown
    assert "bool" not in shown and ("(default: ['own'])" in shown) == (preset == "best")


@dataclass(frozen=True)
class NeverResumed(cli.StudyOptions):
    """The options of a command that refuses --resume."""

    def __post_init__(self) -> None:
        if self.resume:
            raise ValueError("--resume cannot be used here")


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (cli.StudyOptions(), "to continue, repeat the command with --resume"),
        (NeverResumed(), "run the same command again"),
        (PlanOptions(), "run the same command again"),
    ],
)
def test_ctrl_c_advises_only_what_the_command_accepts(
    options: object, advice: str, capsys: pytest.CaptureFixture
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        cli.run(interrupt, options)
    assert ended.value.code == 130
    assert capsys.readouterr().err == f"error: interrupted; {advice}\n"


def test_other_errors_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("shape mismatch")

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="shape mismatch"):
        cli.run(fail, cli.StudyOptions())
    monkeypatch.delenv("WORLD_SIZE")
    with pytest.raises(RuntimeError, match="gloo"):
        cli.run(lose_a_process, cli.StudyOptions())
