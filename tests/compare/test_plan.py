"""The plan's scripts run every command of the study, each after what it needs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from compare import cli, plan
from compare.plan import PlanOptions, Step
from gpt2_finetune.config import FinetuneOptions
from scratch_lm.config import PRESETS, ScratchOptions
from tests.conftest import HANGS, ROOT

needs_bash = pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")

# A path that a shell would take apart, or replace by something else, if it was not quoted.
STRANGE = "models/Ann's  base of $HOME (#1)"
FULL = PlanOptions(full=True, base=["auto", "smollm2", STRANGE], seeds=[1, 2])

# Stands for Python: writes down its number of threads, its GPU and, separated by tabs, its
# arguments.  Fails if $FAILING is one of them.
PYTHON = """#!/bin/bash
IFS=$'\\t'
echo "python $OMP_NUM_THREADS:$CUDA_VISIBLE_DEVICES"$'\\t'"$*" >> "$LOG"
for argument; do [ "$argument" != "$FAILING" ] || exit 1; done
"""
# Stands for Python in the Makefile: prints a makefile which shows with what arguments it was made.
PLANNER = """#!/bin/bash
echo "all: ; @echo planned: $*"
"""
# Stands for Slurm: runs all tasks of an array, last one first, and prints the job's id.
SBATCH = """#!/bin/bash
script=$(cat)
echo "sbatch $*" >> "$LOG"
tasks=$(sed --regexp-extended 's/.*--array=1-([0-9]+).*/\\1/' <<< "$*")
for task in $(seq "$tasks" -1 1); do SLURM_ARRAY_TASK_ID=$task bash -c "$script"; done
echo "$(grep --count sbatch "$LOG");cluster"
"""
# Stands for GNU parallel: takes the last commands first, as many at a time as there are job slots.
# After one of them has failed, the others are not run with --halt now, but they are with soon.
PARALLEL = f"""#!{sys.executable}
import argparse, itertools, shlex, subprocess, sys
parser = argparse.ArgumentParser()
parser.add_argument("--jobs", type=int, required=True)
parser.add_argument("--halt", choices=["now,fail=1", "soon,fail=1"], required=True)
parser.add_argument("template", nargs=argparse.REMAINDER)
options = parser.parse_args()
commands = iter(sys.stdin.read().splitlines()[::-1])
while together := list(itertools.islice(commands, options.jobs)):
    codes = []
    for slot, command in enumerate(together, start=1):
        if options.template:
            shown = " ".join(options.template).replace("{{%}}", str(slot))
            command = shown.replace("{{}}", shlex.quote(command))
        codes.append(subprocess.run(["bash", "-c", command]).returncode)
        if any(codes) and options.halt.startswith("now"):
            break
    if any(codes):
        sys.exit(max(codes))
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stand-ins first on the search path; return the file that they write to."""
    for name, script in (("python", PYTHON), ("sbatch", SBATCH), ("parallel", PARALLEL)):
        (tmp_path / name).write_text(script, "utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("FAILING", "nothing")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "log"


def commands(log: Path) -> list[tuple[str, ...]]:
    """Return the arguments of every command that ran, in this order."""
    lines = [line for line in log.read_text("utf-8").splitlines() if line.startswith("python ")]
    return [tuple(line.split("\t")[1:]) for line in lines]


def check(ran: list[tuple[str, ...]]) -> None:
    """Assert that `ran` has the commands of FULL once each, each after what it needs."""
    steps = plan.plan(FULL)
    position = {step.name: ran.index(("-m", *step.arguments)) for step in steps}
    assert sorted(position.values()) == list(range(len(ran)))
    for step in steps:
        assert all(position[name] < position[step.name] for name in step.needs), step


def check_threads(log: Path, threads: str, others: str) -> None:
    """Assert that training runs have OMP_NUM_THREADS=`threads`, and other commands `others`.

    The corpus, the report and the publication each run while nothing else does.
    """
    for number, program in re.findall(r"^python (\S*):\t-m\t(\S+)", log.read_text("utf-8"), re.M):
        assert number == (threads if program.endswith(".train") else others), program


def test_every_planned_training_is_a_valid_command() -> None:
    presets = set()
    for step in plan.plan(FULL):
        program, *arguments = step.arguments
        if program == "scratch_lm.train":
            options = cli.parse(ScratchOptions, PRESETS, arguments)
            presets.add(options.preset)
            assert options.resume
        elif program == "gpt2_finetune.train":
            assert cli.parse(FinetuneOptions, argv=arguments).resume
    assert presets == set(PRESETS)


def test_a_small_study_has_one_training_of_each_kind(capsys: pytest.CaptureFixture) -> None:
    plan.main(PlanOptions())
    assert capsys.readouterr().out.splitlines() == [
        "python -m compare.corpus",
        "python -m scratch_lm.train --resume --seed 1",
        "python -m scratch_lm.train --resume --seed 1 --preset tuned",
        "python -m gpt2_finetune.train --resume --seed 1 --base auto",
        "python -m compare.report",
        "python -m compare.publish",
    ]


def make(
    folder: Path, *arguments: str, threads: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run make in `folder`, with the makefile of FULL."""
    (folder / "study.mk").write_text(plan.as_makefile(plan.plan(FULL), threads) + "\n", "utf-8")
    return run_make(folder, "--file", "study.mk", *arguments)


def run_make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        # Without the options of `make test`, if that runs these tests.
        env={k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "PYTHON"))},
        capture_output=True,
        text=True,
        timeout=HANGS,
    )


def with_needs(name: str) -> list[Step]:
    """Return a step of FULL, what it needs, what that needs, and so on."""
    needed, found = {name}, []
    for step in reversed(plan.plan(FULL)):
        if step.name in needed:
            needed |= set(step.needs)
            found.append(step)
    return found


@needs_make
def test_make_runs_the_plan_with_several_jobs(tmp_path: Path, log: Path) -> None:
    done = make(tmp_path, "--jobs", "4", threads=3)
    assert done.returncode == 0, done.stderr
    check(commands(log))
    check_threads(log, "3", others="")


@needs_make
@needs_bash
@pytest.mark.parametrize(("flags", "jobs"), [([], "1"), (["-j3"], "3"), (["--jobs"], None)])
def test_the_makefile_plans_for_the_number_of_jobs(
    tmp_path: Path, flags: list[str], jobs: str | None
) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv").mkdir()
    for name in ("pyproject.toml", "requirements.lock", ".venv/installed"):  # the last is newest
        (tmp_path / name).touch()
    (tmp_path / "python").write_text(PLANNER, "utf-8")
    (tmp_path / "python").chmod(0o755)
    done = run_make(tmp_path, *flags, f"BIN={tmp_path}", "study")
    if jobs:
        assert done.returncode == 0, done.stderr
        shown = f"planned: -m compare.plan --base auto --jobs {jobs} --format make\n"
        assert shown in done.stdout
    else:
        assert done.returncode != 0 and "give one, as in make -j2" in done.stderr
        assert not done.stdout


@needs_make
def test_make_prints_each_command_once_after_those_that_it_needs(tmp_path: Path) -> None:
    shown = make(tmp_path, "--dry-run").stdout.splitlines()
    assert all(line.startswith("python -m ") for line in shown)
    check([tuple(shlex.split(line)[1:]) for line in shown])


@needs_make
@pytest.mark.parametrize("name", ["corpus", "tuned-1", "record-2", "report", "publish"])
def test_make_of_one_step_runs_it_and_what_it_needs_alone(tmp_path: Path, name: str) -> None:
    shown = make(tmp_path, "--dry-run", "PYTHON=/opt/my/python", name).stdout.splitlines()
    needed = [["/opt/my/python", "-m", *step.arguments] for step in with_needs(name)]
    assert sorted(map(shlex.split, shown)) == sorted(needed)


@needs_bash
@pytest.mark.parametrize("scheduler", ["slurm", "parallel"])
def test_a_scheduler_runs_the_plan_in_stages(log: Path, scheduler: str) -> None:
    steps = plan.plan(FULL)
    script = {
        "slurm": plan.as_slurm_script(steps),
        "parallel": plan.as_parallel_script(steps, threads=3, jobs=2),
    }[scheduler]
    subprocess.run(["bash", "-c", script], check=True, timeout=HANGS)
    check(commands(log))
    if scheduler == "parallel":
        check_threads(log, "3", others="")
    lines = log.read_text("utf-8").splitlines()
    submitted = [line for line in lines if line.startswith("sbatch ")]
    if scheduler == "slurm":
        after = [f"--dependency=afterok:{number}" for number in range(1, len(submitted))]
        assert "--dependency" not in submitted[0]
        assert all(each in line for each, line in zip(after, submitted[1:], strict=True))


@needs_bash
def test_parallel_runs_use_one_gpu_each(log: Path) -> None:
    script = plan.as_parallel_script(plan.plan(FULL), threads=3, jobs=3, gpus=2)
    subprocess.run(["bash", "-c", script], check=True, timeout=HANGS)
    check(commands(log))
    ran = re.findall(r"^python (\S*):(\S*)\t-m\t(\S+)", log.read_text("utf-8"), re.M)
    trained = [(threads, gpu) for threads, gpu, program in ran if program.endswith(".train")]
    assert trained[:4] == [("3", "0"), ("3", "1"), ("3", "0"), ("3", "0")]  # slots 1, 2, 3, and 1
    alone = {(threads, gpu) for threads, gpu, program in ran if not program.endswith(".train")}
    assert alone == {("", "")}


@needs_bash
def test_runs_beside_a_failed_one_may_finish(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If parallel stopped them, it would not wait for their checkpoints."""
    monkeypatch.setenv("FAILING", "third")
    steps = [Step(name, (name,)) for name in ("first", "second", "third")]  # the third starts first
    script = plan.as_parallel_script(steps, threads=None, jobs=2)
    assert subprocess.run(["bash", "-c", script], timeout=HANGS).returncode == 1
    assert commands(log) == [("-m", "third"), ("-m", "second")]


@needs_bash
def test_the_printed_commands_run_in_a_shell_line_by_line(log: Path) -> None:
    script = plan.as_commands(plan.plan(FULL))
    subprocess.run(["bash", "-e", "-c", script], check=True, timeout=HANGS)
    check(commands(log))


@needs_bash
@pytest.mark.parametrize("program", [pytest.param("make", marks=needs_make), "parallel"])
def test_nothing_that_needs_a_failed_command_runs(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setenv("FAILING", "--lora")
    if program == "make":
        code = make(tmp_path, "--keep-going").returncode
    else:
        script = plan.as_parallel_script(plan.plan(FULL), threads=3, jobs=2)
        code = subprocess.run(["bash", "-c", script], timeout=HANGS).returncode
    assert code != 0
    ran = {arguments[1] for arguments in commands(log)}
    assert "gpt2_finetune.train" in ran and not ran & {"compare.report", "compare.publish"}


@pytest.mark.parametrize("format", ["make", "parallel"])
@pytest.mark.parametrize(("cores", "threads"), [(8, 2), (2, 1)])
@pytest.mark.parametrize("has_affinity", [True, False])
def test_commands_at_the_same_time_share_the_cores(
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    format: Literal["make", "parallel"],
    cores: int,
    threads: int,
    has_affinity: bool,
) -> None:
    if has_affinity:  # a scheduler has given this process some of the 64 cores
        usable = set(range(8, 8 + cores))
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: usable, raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: 64)
    else:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: cores)
    plan.main(PlanOptions(jobs=4, format=format))
    shown = capsys.readouterr().out
    assert f"OMP_NUM_THREADS={threads} " in shown
    assert ("--jobs 4 " in shown) == (format == "parallel")
    plan.main(PlanOptions(format=format))
    assert "OMP_NUM_THREADS" not in capsys.readouterr().out  # one at a time has all cores


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--jobs", "0"], "--jobs is 0"),
        (["--seeds", "1", "-1"], "--seeds has -1"),
        (["--base", ""], "--base is empty"),
        (["--seeds", "1", "1"], "--seeds lists a seed twice"),
        (["--full", "--seeds", "0"], "--seeds has 0"),
        (["--base", "a/b", "a-b"], "--base has two checkpoints"),
        (["--jobs", "2"], "--jobs has no effect on --format commands"),
        (["--jobs", "2", "--gpus", "2", "--format", "make"], "--gpus has no effect on --format"),
        (["--jobs", "2", "--gpus", "4", "--format", "parallel"], "--gpus is 4, but --jobs is 2"),
    ],
)
def test_wrong_options_are_refused(
    wrong: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.parse(PlanOptions, argv=wrong)
    assert stopped.value.code == 2 and message in capsys.readouterr().err
