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
