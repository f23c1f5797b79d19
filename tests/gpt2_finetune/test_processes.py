"""Numbers of processes and GPUs that do not fit together, and the GPU of a single process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from transformers import TrainingArguments
from transformers.training_args import ParallelMode

from compare.errors import Misuse
from gpt2_finetune import processes
from gpt2_finetune.config import FinetuneOptions
from gpt2_finetune.processes import join_processes
from gpt2_finetune.train import training_arguments

GPU, APPLE_GPU = torch.device("cuda"), torch.device("mps")


@pytest.fixture
def state_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make joining the other processes an error, because there are none."""
    monkeypatch.setattr(processes, "PartialState", lambda cpu: pytest.fail("joined"))


@pytest.mark.parametrize(("gpus", "words"), [(1, "finds 1 GPU, which"), (2, "finds 2 GPUs, which")])
def test_more_processes_than_gpus_are_refused(
    monkeypatch: pytest.MonkeyPatch, state_is_needed: None, gpus: int, words: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("LOCAL_RANK", str(gpus))
    with pytest.raises(Misuse, match=f"{words} is fewer than the processes started"):
        join_processes(FinetuneOptions(), GPU)


def test_several_processes_on_an_apple_gpu_are_refused(
    monkeypatch: pytest.MonkeyPatch, state_is_needed: None
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(Misuse, match=r"Apple GPU .* use --device cpu"):
        join_processes(FinetuneOptions(), APPLE_GPU)


def test_one_process_uses_one_of_several_gpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By default, the Trainer would divide larger batches among all of them."""
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.setattr(transformers.training_args, "is_torch_mps_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert join_processes(FinetuneOptions(), GPU).num_processes == 1
    by_default = TrainingArguments(str(tmp_path), per_device_train_batch_size=3)
    assert by_default.train_batch_size == 6  # the Trainer does see two GPUs
    options = FinetuneOptions(learning_rate=1e-4, accumulation=1)
    arguments = training_arguments(options, tmp_path, 3, GPU)
    assert arguments.n_gpu == 1 and arguments.train_batch_size == 3
    assert arguments.parallel_mode is ParallelMode.NOT_PARALLEL


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("MIXED_PRECISION", "bf16", "--precision decides here: set mixed_precision: 'no' in"),
        ("DYNAMO_BACKEND", "INDUCTOR", "dynamo_backend is inductor, but torch.compile is not"),
        ("USE_DEEPSPEED", "true", "DeepSpeed is not supported"),
    ],
)
def test_settings_of_the_users_accelerate_configuration_are_refused(
    monkeypatch: pytest.MonkeyPatch,
    state_is_needed: None,
    variable: str,
    value: str,
    words: str,
) -> None:
    """The Trainer would obey them: validation would be scored in bf16, unrecorded."""
    monkeypatch.setenv(f"ACCELERATE_{variable}", value)
    with pytest.raises(Misuse, match=words):
        join_processes(FinetuneOptions(precision="fp32"), torch.device("cpu"))


def test_what_accelerate_launch_sets_by_default_is_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in (
        ("MIXED_PRECISION", "no"),
        ("DYNAMO_BACKEND", "NO"),
        ("USE_DEEPSPEED", "false"),
    ):
        monkeypatch.setenv(f"ACCELERATE_{variable}", value)
    assert join_processes(FinetuneOptions(), torch.device("cpu")).num_processes == 1
