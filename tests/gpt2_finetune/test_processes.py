"""Numbers of processes and GPUs that do not fit together are refused before training."""

from __future__ import annotations

import pytest
import torch

from compare.errors import Misuse
from gpt2_finetune import bench, processes
from gpt2_finetune.config import FinetuneOptions
from gpt2_finetune.processes import join_processes

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


def test_one_process_on_several_gpus_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(Misuse, match="2 GPUs and one process: start it with torchrun"):
        join_processes(FinetuneOptions(), GPU)
    monkeypatch.setattr(bench, "choose_device", lambda: GPU)
    with pytest.raises(Misuse, match="2 GPUs and one process: set CUDA_VISIBLE_DEVICES=0"):
        bench.bench(bench.BenchOptions())


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
