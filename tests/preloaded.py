"""Run a module like `python -m` does, in a fork of a process that has already imported torch.

Importing torch and transformers takes longer than most of the miniature runs of the tests.  A
fork server (see Python's `multiprocessing`) imports them once, and forks itself for each command:
the command then starts with the libraries loaded, but without any module of this project, in its
own directory and with its own output files.  Libraries read most environment variables when they
are imported, so that a command with other values needs a new interpreter.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from unittest import mock

from tests.file_events import FileEvent, send_at

CONTEXT = multiprocessing.get_context("forkserver")

# What the commands of both tracks and of the report import, directly or not.  The Trainer is not
# among them, because a scratch run records that it has not been loaded.
LIBRARIES = [
    "torch",
    "torch._dynamo",
    "torch.optim",
    "transformers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.gpt2.tokenization_gpt2",
    "transformers.tokenization_utils_tokenizers",
    "accelerate",
    "datasets",
    "huggingface_hub",
    "pandas",
    "pydantic",
    "scipy.stats",
    "arch.bootstrap",
    "jinja2",
    "simple_parsing",
]
# Variables that only this project reads, or libraries that are not in LIBRARIES.
READ_LATER = ("XDG_CACHE_HOME", "WANDB_")

_environment: dict[str, str] = {}


def configure(environment: Mapping[str, str]) -> None:
    """Set the environment in which the libraries are imported, when `run` is first called."""
    _environment.clear()
    _environment.update(environment)


def can_run_in(environment: Mapping[str, str]) -> bool:
    """Return whether commands can run with this environment."""

    def read_early(environment: Mapping[str, str]) -> dict[str, str]:
        return {k: value for k, value in environment.items() if not k.startswith(READ_LATER)}

    return read_early(environment) == read_early(_environment)


def run(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    timeout: int,
    signal_at: tuple[FileEvent, signal.Signals] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `python -m <command>` in `directory`; `can_run_in(environment)` must be true.

    With `signal_at`, the command receives this signal at this file event.

    Raises `subprocess.TimeoutExpired`, after killing the process, if it takes longer than `timeout`
    seconds.
    """
    assert can_run_in(environment), environment
    CONTEXT.set_forkserver_preload(LIBRARIES)
    with mock.patch.dict(os.environ, _environment, clear=True):
        forkserver.ensure_running()
    with tempfile.TemporaryDirectory() as outputs:
        stdout, stderr = Path(outputs, "stdout"), Path(outputs, "stderr")
        for path in (stdout, stderr):
            path.touch()
        arguments = (command, directory, environment, stdout, stderr, signal_at)
        process = CONTEXT.Process(target=_run_module, args=arguments)
        process.start()
        process.join(timeout)
        late = process.exitcode is None
        if late:
            process.kill()
            process.join()
        output, errors = stdout.read_text(), stderr.read_text()
    if late:
        raise subprocess.TimeoutExpired(command, timeout, output, errors)
    return subprocess.CompletedProcess(command, process.exitcode, output, errors)


def _run_module(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    stdout: Path,
    stderr: Path,
    signal_at: tuple[FileEvent, signal.Signals] | None,
) -> None:
    for stream, path in ((sys.stdout, stdout), (sys.stderr, stderr)):
        with path.open("w") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    sys.path.insert(0, str(directory))
    module, *arguments = command
    sys.argv = [module, *arguments]
    if signal_at:
        send_at(*signal_at)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        # Unlike an interpreter, a child of multiprocessing ends without these.
        atexit._run_exitfuncs()
