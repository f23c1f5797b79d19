"""Logging to W&B does not slow training down.

A comparison of seconds would depend on what else the machine does.  Counted instead is the CPU time
of the client's threads, which training would have to wait for at most.
"""

from __future__ import annotations

import pytest

from tests.conftest import Place

pytestmark = pytest.mark.slow

# Prints the CPU seconds of training, and those of all other threads, between its first step and its
# last one.  The first step waits until the client is imported and connected.
TRAINING = """
import threading
import time

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


def counted_step(*arguments, **options):
    started.wait()
    times.append((time.thread_time(), time.process_time()))
    return train_step(*arguments, **options)


def print_times(*arguments, **options):
    (thread, process), (thread_end, process_end) = times[0], times[-1]
    training = thread_end - thread
    print("CPU seconds:", training, process_end - process - training, flush=True)
    return evaluate(*arguments, **options)


Tracker._start, train.train_step, train.evaluate = noted_start, counted_step, print_times
train.train(ScratchOptions(preset="course", **PRESETS["course"] | {"epochs": 1}, device="cpu"))
"""


def test_the_client_takes_less_than_two_percent_of_the_time_of_training(place: Place) -> None:
    """With one thread (OMP_NUM_THREADS), all computation of the training is on the main thread."""
    (place.path / "training.py").write_text(TRAINING, "utf-8")
    output = place.run("training").stdout
    assert "W&B: online at" in output
    training, client = map(float, output.split("CPU seconds:")[1].split()[:2])
    print(f"training {training:.1f} s, W&B's client {client:.3f} s")
    assert client < 0.02 * training
