"""Print the commands of `make study` or `make study-full`, in an order in which they can run.

python -m compare.plan                                       # one command per line
python -m compare.plan --full --base auto smollm2            # what make study-full runs
python -m compare.plan --jobs 2 --format make > study.mk     # then make --jobs 2 --file study.mk
python -m compare.plan --jobs 8 --format parallel > study.sh # then bash study.sh
python -m compare.plan --full --format slurm > study.sh      # the same, for a cluster

Every command can be interrupted and repeated: finished runs are skipped, unfinished ones continue.
Commands that do not need each other may run at the same time, also on machines that share the
directory.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Literal

from compare import cli
from compare.kinds import RowKind
from compare.teachers import OWN_TEACHERS, own_teacher_seeds

# Shares of the training split; the report plots the scores of both tracks against them.
SHARES = (0.125, 0.25, 0.5)
# How often the scratch track reads a share; validation prefers this to the preset's 5 passes on 1/8
# of the text (scratch_lm/EXPERIMENTS.md).
SHARE_EPOCHS = 10
# Options of gpt2_finetune.train for what is not plain fine-tuning.
FLAGS = {RowKind.RANDOM_WEIGHTS: "random-weights", RowKind.LORA: "lora"}


@dataclass(frozen=True)
class PlanOptions:
    """Print the commands of the study, for a shell or a scheduler."""

    full: bool = False
    """Plan all recipes: also record with its teachers, tuned without the copying exercises, LoRA,
    controls from random weights, and training on shares of the text.  make study-full also uses
    --base auto smollm2."""
    base: list[str] = field(default_factory=lambda: ["auto"])
    """Checkpoints to fine-tune, as in gpt2_finetune.train --base."""
    seeds: list[int] = field(default_factory=list)
    """Seeds of every recipe; by default 1, and 1 2 3 with --full."""
    format: Literal["commands", "make", "parallel", "slurm"] = "commands"
    """What to print: one command per line; a makefile; or a shell script that calls GNU parallel,
    or submits one SLURM array after another."""
    jobs: int = 1
    """How many training runs execute at the same time on one machine; if more than one, each uses
    its share of the CPU cores, which are counted where the plan is printed, and --format must be
    make or parallel."""
    gpus: int = 1
    """How many of the machine's GPUs these runs are spread over; if more than one, each uses one of
    them, whatever CUDA_VISIBLE_DEVICES is, and --format must be parallel.  For a script of --format
    slurm, set SBATCH_GPUS=1."""

    def __post_init__(self) -> None:
        cli.check(self, "jobs", 1, 1024)
        if not self.base or not all(self.base):
            raise ValueError("--base is empty: name at least one checkpoint, or leave it out")
        if self.jobs > 1 and self.format not in ("make", "parallel"):
            raise ValueError(f"--jobs has no effect on --format {self.format}: leave it out")
        cli.check(self, "gpus", 1, 1024)
        if self.gpus > 1 and self.format != "parallel":
            raise ValueError(f"--gpus has no effect on --format {self.format}: leave it out")
        if self.gpus > self.jobs:
            raise ValueError(
                f"--gpus is {self.gpus}, but --jobs is {self.jobs}, and each run uses one GPU: "
                "raise --jobs or lower --gpus"
            )
        # The seeds of the teachers of `record` are larger, and begin at 1.
        low, high = (1, cli.LARGEST_SEED // OWN_TEACHERS) if self.full else (0, cli.LARGEST_SEED)
        for seed in self.seeds:
            if not low <= seed <= high:
                raise ValueError(f"--seeds has {seed}: a seed must be between {low:,} and {high:,}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("--seeds lists a seed twice")
        if len({_safe(base) for base in self.base}) < len(self.base):
            raise ValueError("--base has two checkpoints whose names are too similar")


@dataclass(frozen=True)
class Step:
    """A command of the study."""

    name: str
    arguments: tuple[str, ...]
    """What follows `python -m`."""
    needs: tuple[str, ...] = ()
    """Names of the steps that must be complete before."""
    runs_alone: bool = False
    """Whether no other step can run at the same time, so that this one may use all cores."""


def plan(options: PlanOptions) -> list[Step]:
    """Return the steps of the study in an order in which they can run one after another."""
    seeds = options.seeds or ([1, 2, 3] if options.full else [1])
    corpus = Step("corpus", ("compare.corpus",), runs_alone=True)
    trainings = []
    for seed in seeds:
        trainings += [_scratch("course", seed), _scratch("tuned", seed)]
        for base in options.base:
            # Plain fine-tuning last: if the steps run one after another, it is the `latest` run,
            # which compare.generate uses.
            controls = (RowKind.RANDOM_WEIGHTS, RowKind.LORA) if options.full else ()
            kinds = (*controls, RowKind.FINE_TUNED)
            trainings += [_finetune(base, seed, kind) for kind in kinds]
    if options.full:
        for seed in seeds:
            for share in SHARES:
                trainings.append(_scratch("tuned", seed, share))
                trainings += [
                    _finetune(base, seed, RowKind.FINE_TUNED, share) for base in options.base
                ]
        trainings += [_scratch("tuned-no-drills", seed) for seed in seeds]
        for seed in seeds:
            teachers = [_scratch("tuned", each) for each in own_teacher_seeds(seed)]
            trainings += [teacher for teacher in teachers if teacher not in trainings]
            needs = ("corpus", *(teacher.name for teacher in teachers))
            trainings.append(Step(f"record-{seed}", _scratch("record", seed).arguments, needs))
    names = tuple(step.name for step in trainings)
    report = Step("report", ("compare.report",), names, runs_alone=True)
    publish = Step("publish", ("compare.publish",), ("report",), runs_alone=True)
    return [corpus, *trainings, report, publish]


def _scratch(preset: str, seed: int, share: float = 1) -> Step:
    name, arguments = f"{preset}-{seed}", ["scratch_lm.train", "--resume", "--seed", str(seed)]
    if preset != "course":
        arguments += ["--preset", preset]
    if share < 1:
        name += f"-share{share:g}"
        arguments += ["--train-share", f"{share:g}", "--epochs", str(SHARE_EPOCHS)]
    return Step(name, tuple(arguments), ("corpus",))


def _finetune(base: str, seed: int, kind: RowKind, share: float = 1) -> Step:
    """Return the step that trains a row of this `kind` from `base`."""
    arguments = ["gpt2_finetune.train", "--resume", "--seed", str(seed), "--base", base]
    name = f"fine-tune-{_safe(base)}-{seed}"
    if kind in FLAGS:
        name += f"-{FLAGS[kind]}"
        arguments.append(f"--{FLAGS[kind]}")
    if share < 1:
        name += f"-share{share:g}"
        arguments += ["--train-share", f"{share:g}"]
    return Step(name, tuple(arguments), ("corpus",))


def _safe(base: str) -> str:
    """Return a name for a step: a base may be a path, but targets of make have neither slashes nor
    spaces."""
    return "".join(each if each.isalnum() or each in ".-_" else "-" for each in base)


def stages(steps: Sequence[Step]) -> list[list[Step]]:
    """Return the steps in groups, each of which only needs steps of earlier groups."""
    by_name = {step.name: step for step in steps}
    graph = TopologicalSorter({step.name: step.needs for step in steps})
    graph.prepare()
    groups = []
    while graph.is_active():
        ready = set(graph.get_ready())
        groups.append([step for name, step in by_name.items() if name in ready])
        graph.done(*ready)
    return groups


def as_makefile(steps: Sequence[Step], threads: int | None) -> str:
    """Return a makefile in which every step is a target; `make PYTHON=...` sets the interpreter."""
    names = [step.name for step in steps]
    lines = ["PYTHON ?= python", f".DEFAULT_GOAL := {names[-1]}", f".PHONY: {' '.join(names)}"]
    for step in steps:
        command = shlex.join(("-m", *step.arguments)).replace("$", "$$")
        command = f"{_limit(threads, step)}$(PYTHON) {command}"
        lines += ["", " ".join([f"{step.name}:", *step.needs]), f"\t{command}"]
    return "\n".join(lines)


def _limit(threads: int | None, step: Step) -> str:
    """Return what to write before a command so that it uses `threads`, if there is such a limit."""
    return f"OMP_NUM_THREADS={threads} " if threads and not step.runs_alone else ""


def as_commands(steps: Sequence[Step]) -> str:
    """Return one command per line."""
    return "\n".join(shlex.join(("python", "-m", *step.arguments)) for step in steps)


def as_parallel_script(steps: Sequence[Step], threads: int | None, jobs: int, gpus: int = 1) -> str:
    """Return a shell script that runs each stage with GNU parallel.

    After a failure, no more commands start, but those that are running may finish.  If parallel
    stopped them, it would not wait for their checkpoints.
    """
    # parallel replaces {%} by the number of the job slot, from 1 on, and {} by the command.
    on_gpu = f"'CUDA_VISIBLE_DEVICES=$((({{%}} - 1) % {gpus}))' bash -c {{}} " if gpus > 1 else ""
    lines = ["#!/bin/bash", "set -e"]
    for group in stages(steps):
        runs_alone = group[0].runs_alone  # such a step is a stage of its own
        limit, placement = _limit(threads, group[0]), "" if runs_alone else on_gpu
        lines.append(f"{limit}parallel --jobs {jobs} --halt soon,fail=1 {placement}<< 'COMMANDS'")
        lines += [as_commands(group), "COMMANDS"]
    return "\n".join(lines)


def as_slurm_script(steps: Sequence[Step]) -> str:
    """Return a shell script that submits each stage as an array which waits for the one before.

    The arrays inherit the environment, and the options in SBATCH_* variables, of `bash study.sh`.
    """
    lines = ["#!/bin/bash", "set -e"]
    dependency = ""
    for number, group in enumerate(stages(steps), start=1):
        lines.append(
            f"job=$(sbatch --parsable --job-name=study-{number} --array=1-{len(group)} "
            f"{dependency}<< 'SCRIPT'"
        )
        lines += ["#!/bin/bash", "sed --quiet \"${SLURM_ARRAY_TASK_ID}p\" << 'COMMANDS' | bash"]
        lines += [as_commands(group), "COMMANDS", "SCRIPT", ")"]
        dependency = "--dependency=afterok:${job%%;*} --kill-on-invalid-dep=yes "
    return "\n".join(lines)


def _usable_cores() -> int:
    """Return how many CPU cores this process may use: a scheduler may have given it only some."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def main(options: PlanOptions) -> None:
    """Print the plan in the requested format."""
    steps = plan(options)
    threads = max(1, _usable_cores() // options.jobs) if options.jobs > 1 else None
    match options.format:
        case "commands":
            print(as_commands(steps))
        case "make":
            print(as_makefile(steps, threads))
        case "parallel":
            print(as_parallel_script(steps, threads, options.jobs, options.gpus))
        case "slurm":
            print(as_slurm_script(steps))


if __name__ == "__main__":
    cli.run(main, cli.parse(PlanOptions))
