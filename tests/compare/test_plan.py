"""The plan's scripts run every command of the study, each after what it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from compare import cli, plan
from compare.plan import PlanOptions
from gpt2_finetune.config import FinetuneOptions
from scratch_lm.config import PRESETS, ScratchOptions

FULL = PlanOptions(full=True, base=["auto", "smollm2", "models/my base"], seeds=[1, 2])

# Stands for Python: writes down the command that it would run.
PYTHON = """#!/bin/bash
echo "python $*" >> "$LOG"
"""
# Stands for Slurm: runs all tasks of an array, last one first, and prints the job's id.
SBATCH = """#!/bin/bash
script=$(cat)
echo "sbatch $*" >> "$LOG"
tasks=$(sed --regexp-extended 's/.*--array=1-([0-9]+).*/\\1/' <<< "$*")
for task in $(seq "$tasks" -1 1); do SLURM_ARRAY_TASK_ID=$task bash -c "$script"; done
echo "$(grep --count sbatch "$LOG");cluster"
"""
# Stands for GNU parallel: runs all commands, last one first.
PARALLEL = """#!/bin/bash
tac | while read -r command; do bash -c "$command" || exit 1; done
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stand-ins first on the search path; return the file that they write to."""
    for name, script in (("python", PYTHON), ("sbatch", SBATCH), ("parallel", PARALLEL)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def commands(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if line.startswith("python ")]


def check(log: Path) -> None:
    """Assert that the commands of FULL ran once each, each after what it needs."""
    ran = commands(log)
    steps = plan.plan(FULL)
    position = {step.name: ran.index(" ".join(("python -m", *step.arguments))) for step in steps}
    assert sorted(position.values()) == list(range(len(ran)))
    for step in steps:
        assert all(position[name] < position[step.name] for name in step.needs), step


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


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_runs_the_plan_with_several_jobs(tmp_path: Path, log: Path) -> None:
    (tmp_path / "study.mk").write_text(plan.as_makefile(plan.plan(FULL), threads=1) + "\n")
    subprocess.run(["make", "-j4", "-f", "study.mk"], cwd=tmp_path, check=True, timeout=60)
    check(log)


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize("scheduler", ["slurm", "parallel"])
def test_a_scheduler_runs_the_plan_in_stages(tmp_path: Path, log: Path, scheduler: str) -> None:
    steps = plan.plan(FULL)
    script = {
        "slurm": plan.as_slurm_script(steps),
        "parallel": plan.as_parallel_script(steps, threads=1, jobs=2),
    }[scheduler]
    subprocess.run(["bash", "-c", script], check=True, timeout=60)
    check(log)
    submitted = [line for line in log.read_text().splitlines() if line.startswith("sbatch ")]
    if scheduler == "slurm":
        after = [f"--dependency=afterok:{number}" for number in range(1, len(submitted))]
        assert "--dependency" not in submitted[0]
        assert all(each in line for each, line in zip(after, submitted[1:], strict=True))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--jobs", "0"], "--jobs is 0"),
        (["--seeds", "1", "-1"], "--seeds has -1"),
        (["--base", ""], "--base is empty"),
        (["--seeds", "1", "1"], "--seeds has a seed twice"),
        (["--full", "--seeds", "0"], "--seeds has 0"),
        (["--base", "a/b", "a-b"], "--base has two checkpoints"),
        (["--jobs", "2"], "--jobs has no effect on --format commands"),
    ],
)
def test_wrong_options_are_refused(
    wrong: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.parse(PlanOptions, argv=wrong)
    assert stopped.value.code == 2 and message in capsys.readouterr().err
