"""Logging to W&B does not slow training down.

A comparison of seconds would depend on what else the machine does.  Counted instead is the CPU time
of the client, in its threads and in its own process (wandb-core).  On a machine whose cores are all
busy with training, this is what training would have to wait for.
"""

from __future__ import annotations

import pytest

from tests.conftest import Place

pytestmark = pytest.mark.slow

# Prints the CPU seconds of training, of all other threads, and of all processes that were started,
# between its first step and its last one.  The first step waits until the client is imported and
# connected.
TRAINING = """
import threading
import time

import psutil

from compare.runs.tracking import Tracker
from scratch_lm import train
from scratch_lm.config import PRESETS, ScratchOptions

start, train_step, evaluate = Tracker._start, train.train_step, train.evaluate
started = threading.Event()
times = []


def noted_start(*arguments):
    try:
        start(*arguments)
    finally:  # if it fails, the test fails, too, instead of waiting
        started.set()


def note_times():
    others = [each.cpu_times() for each in psutil.Process().children(recursive=True)]
    assert others, "wandb-core has been started, and runs until the end"
    core = sum(each.user + each.system for each in others)
    times.append((time.thread_time(), time.process_time(), core))


def counted_step(*arguments, **options):
    started.wait()
    if not times:
        note_times()
    return train_step(*arguments, **options)


def print_times(*arguments, **options):
    note_times()
    training, process, core = (end - begin for begin, end in zip(*times, strict=True))
    print("CPU seconds:", training, process - training, core, flush=True)
    return evaluate(*arguments, **options)


Tracker._start, train.train_step, train.evaluate = noted_start, counted_step, print_times
train.train(ScratchOptions(preset="course", **PRESETS["course"] | {"epochs": 1}, device="cpu"))
"""


def test_the_client_takes_less_than_two_percent_of_the_time_of_training(place: Place) -> None:
    """With one thread (OMP_NUM_THREADS), all computation of the training is on the main thread."""
    (place.path / "training.py").write_text(TRAINING, "utf-8")
    output = place.run("training").stdout
    assert "W&B: online at" in output
    training, threads, core = map(float, output.split("CPU seconds:")[1].split()[:3])
    print(f"training {training:.1f} s, W&B's client {threads:.3f} s, wandb-core {core:.3f} s")
    assert threads + core < 0.02 * training
