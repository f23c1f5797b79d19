"""The real W&B client delivers all values to a server on loopback: online, resumed and synced."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Place
from tests.wandb.arrival import RUNS, check_all_arrived, sync, tracking, weights
from tests.wandb.server import KEY, WandbServer

pytestmark = pytest.mark.slow
README = Path(__file__).parents[2] / "README.md"
OFFLINE_RUNS = "runs/*/*-seed*/wandb/offline-run-*"


@pytest.mark.parametrize("track", RUNS)
def test_all_values_arrive_online(
    server: WandbServer,
    place: Place,
    study: Place,
    commands: dict[str, list[object]],
    track: str,
) -> None:
    done = place.run(*commands[track])
    check_all_arrived(server, place, track)
    assert tracking(place, track)["mode"] == "online"
    assert f"W&B: online at {tracking(place, track)['where']}" in done.stdout
    assert "W&B" not in done.stderr and "wandb" not in done.stderr
    assert KEY not in done.stdout + done.stderr
    assert weights(place, track) == weights(study, track)


def test_a_resumed_run_is_the_same_wandb_run_without_doubled_rows(
    server: WandbServer, place: Place, commands: dict[str, list[object]]
) -> None:
    """The server has rows beyond the last checkpoint, which the resumed run logs again."""
    command = [*commands["scratch_lm"], "--epochs", 30, "--checkpoint-steps", 100]  # half a minute
    place.kill_when(lambda: any(len(run.history) > 4 for run in server.runs.values()), *command)
    place.run(*command, "--resume")
    assert list(server.runs) == [tracking(place, "scratch_lm")["id"]]
    check_all_arrived(server, place, "scratch_lm")


def test_what_was_logged_offline_before_is_not_uploaded_over_the_rest(
    server: WandbServer, place: Place, commands: dict[str, list[object]]
) -> None:
    """A run starts offline, is killed, and is resumed after the user has logged in."""
    command = [*commands["scratch_lm"], "--epochs", 30, "--checkpoint-steps", 100]

    def offline_runs() -> list[Path]:
        return list(place.path.glob(OFFLINE_RUNS))

    place.kill_when(lambda: bool(offline_runs()), *command, "--tracking", "offline")
    command.append("--resume")
    place.kill_when(lambda: any(len(run.history) > 4 for run in server.runs.values()), *command)
    assert len(offline_runs()) == 1  # W&B has not received everything yet
    place.run(*command)
    assert not offline_runs()
    check_all_arrived(server, place, "scratch_lm")


def test_the_command_in_the_readme_uploads_what_was_logged_offline(
    server: WandbServer, place: Place, study: Place
) -> None:
    assert f"wandb sync {OFFLINE_RUNS}" in README.read_text("utf-8")
    shutil.copytree(study.path / "runs", place.path / "runs", symlinks=True)
    offline_runs = list(place.path.glob(OFFLINE_RUNS))
    assert len({path.resolve() for path in offline_runs}) == len(offline_runs)  # none by `latest`
    sync(place, *offline_runs)
    for track in RUNS:
        check_all_arrived(server, place, track)
