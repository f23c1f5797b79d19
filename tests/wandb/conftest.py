"""A W&B server that the commands of each test are logged in to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import FINETUNE, SCRATCH, Place
from tests.wandb.server import WandbServer


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with WandbServer() as server:
        yield server


@pytest.fixture
def place(place: Place, server: WandbServer) -> Place:
    """Return an empty place where the user is logged in to the server."""
    place.environment |= server.environment
    return place


@pytest.fixture(scope="session")
def commands(mini_text: Path, tiny_base: Path) -> dict[str, list[object]]:
    """Return the training command of each track, as the study runs it."""
    finetune = [*FINETUNE, "--base", tiny_base, "--learning-rate", "0.003"]
    commands = {"scratch_lm": SCRATCH, "gpt2_finetune": finetune}
    return {track: [*command, "--corpus", mini_text] for track, command in commands.items()}
