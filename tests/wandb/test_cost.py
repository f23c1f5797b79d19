"""Logging to W&B does not slow training down.

A comparison of seconds would depend on what else the machine does.  Counted instead is the CPU time
of the client's threads, which training would have to wait for at most.
"""

from __future__ import annotations

import pytest

from tests.conftest import Place

pytestmark = pytest.mark.slow

# Prints the CPU seconds of training, and those of all other threads, between two of its steps.
TRAINING = """
import time

from scratch_lm import train
from scratch_lm.config import PRESETS, ScratchOptions

STARTUP = 150  # steps, of 0.03 s or more: the client is imported and connects meanwhile
train_step, evaluate = train.train_step, train.evaluate
times = []


def counted_step(*arguments, **options):
    times.append((time.thread_time(), time.process_time()))
    return train_step(*arguments, **options)


def print_times(*arguments, **options):
    (thread, process), (thread_end, process_end) = times[STARTUP], times[-1]
    training = thread_end - thread
    print("CPU seconds:", training, process_end - process - training, flush=True)
    return evaluate(*arguments, **options)


train.train_step, train.evaluate = counted_step, print_times
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
