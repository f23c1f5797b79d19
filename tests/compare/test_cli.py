"""The command that an interrupted training run prints."""

from __future__ import annotations

import pytest

from compare import cli

COMMAND = "python -m scratch_lm.train --seed 2"


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({}, "python -m scratch_lm.train --seed 2 --resume"),
        (
            {"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2"},
            "torchrun --nproc-per-node 2 -m scratch_lm.train --seed 2 --resume",
        ),
        ({"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4"}, "repeat the same command with --resume"),
        (
            {"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2", "ACCELERATE_USE_FSDP": "true"},
            "repeat the same command with --resume",
        ),
    ],
    ids=["python", "torchrun", "torchrun on two machines", "accelerate launch"],
)
def test_a_resumed_run_is_launched_as_before(
    environment: dict[str, str], shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE", "ACCELERATE_USE_FSDP"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cli.resume_command(COMMAND) == shown
