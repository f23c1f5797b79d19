"""W&B's own files contain the same values as the run records."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from compare import reachability
from compare.runs import tracking
from tests.conftest import SCRATCH, Place
from tests.file_events import FileEvent
from tests.run_records import read_lines
from tests.wandb_file import logged, records

RUNS = ("scratch_lm/course-seed1", "gpt2_finetune/tiny-gpt2-seed1")


def wandb_file(run: Path) -> Path:
    (path,) = run.glob("wandb/offline-run-*/*.wandb")
    return path


def files_of_model(kept: dict[str, list[dict]]) -> list[dict]:
    """Return the files of the only artifact that is a model."""
    (model,) = [each for each in kept["artifact"] if each["type"] == "model"]
    return model["manifest"]["contents"]


@pytest.mark.parametrize("name", RUNS)
def test_every_logged_value_is_in_the_wandb_file(study: Place, name: str) -> None:
    run = study.path / "runs" / name
    rows = logged(wandb_file(run))
    assert [row for row in rows if "train/loss" in row or "eval/loss" in row] == read_lines(
        run / "history.jsonl"
    )
    tables = [row for row in rows if "samples.nrows" in row]
    assert [table["samples.nrows"] for table in tables] == [3, 6, 9]  # all so far, each epoch


def test_both_tracks_lie_over_each_other_in_one_project(study: Place) -> None:
    found = []
    for name in RUNS:
        run = study.path / "runs" / name
        kept = records(wandb_file(run))
        record = json.loads((run / "run.json").read_text("utf-8"))
        (about,) = kept["run"]
        assert about["job_type"] == record["track"] and about["display_name"] == name
        assert about["config"]["update"]["corpus_sha256"] == record["corpus"]["sha256"]
        axes = {
            each["glob_name"]: each["step_metric"] for each in kept["metric"] if "glob_name" in each
        }
        assert set(axes.values()) == {"characters_seen"}
        summary = {}
        for each in kept["summary"]:
            summary |= each["update"]
        scores = [epoch["eval"]["bits_per_byte"] for epoch in record["epochs"]]
        assert summary["best/bits_per_byte"] == min(scores)
        assert summary["final/bits_per_byte"] == scores[-1]
        assert any(entry["path"] == "model.safetensors" for entry in files_of_model(kept))
        found.append((about["project"], about["run_group"], axes))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", RUNS)
def test_an_offline_run_refers_to_its_model_instead_of_copying_it(study: Place, name: str) -> None:
    """W&B's default copies all files into the user's home, and never deletes them there."""
    model = (study.path / "runs" / name / "model").resolve()
    files = files_of_model(records(wandb_file(study.path / "runs" / name)))
    assert {entry["local_path"] for entry in files} == {str(path) for path in model.iterdir()}


def logged_losses(run: Path) -> list[dict]:
    """Return the history lines that W&B's file contains so far."""
    if not any(run.glob("wandb/offline-run-*/*.wandb")):
        return []
    return [row for row in logged(wandb_file(run)) if "samples.nrows" not in row]


def test_wandb_gets_its_copy_during_the_run(place: Place, mini_text: Path) -> None:
    """By default, W&B's client writes every 15 seconds, and a kill would lose that much."""
    run = place.path / "runs" / RUNS[0]
    command = [*SCRATCH, "--corpus", mini_text, "--epochs", 200]  # a minute, if it is not killed
    place.kill_when(lambda: len(logged_losses(run)) >= 4, *command)
    kept, history = logged_losses(run), read_lines(run / "history.jsonl")
    assert kept == history[: len(kept)]


def test_a_resumed_run_is_the_same_wandb_run(place: Place, mini_text: Path) -> None:
    run = place.path / "runs" / RUNS[0]
    command = [*SCRATCH, "--corpus", mini_text, "--checkpoint-steps", 10]
    place.kill_at(FileEvent("os.rename", "state.safetensors", 2), *command)
    first_id = json.loads((run / "run.json").read_text("utf-8"))["tracking"]["id"]
    place.run(*command, "--resume")
    tracking = json.loads((run / "run.json").read_text("utf-8"))["tracking"]
    assert tracking["id"] == first_id and tracking["where"].endswith(first_id)
    # W&B's server keeps the later one, so that one must have all rows.
    (last,) = (place.path / tracking["where"]).glob("*.wandb")
    rows = [row for row in logged(last) if "samples.nrows" not in row]
    assert rows == read_lines(run / "history.jsonl")
    # If both were left, `wandb sync` would upload them at the same time.
    assert len(list(run.glob("wandb/offline-run-*"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["auto", "online"])
@pytest.mark.parametrize("server", ["absent", "silent"])
def test_a_server_that_does_not_answer_changes_no_weight(
    place: Place, study: Place, mini_text: Path, mode: str, server: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, says nothing
        port = silent.getsockname()[1] if server == "silent" else 9
        place.environment |= {
            "WANDB_BASE_URL": f"http://127.0.0.1:{port}",
            "WANDB_API_KEY": "0" * 40,
        }
        done = place.run(*SCRATCH, "--corpus", mini_text, "--tracking", mode)
    weights = [each.path / "runs" / RUNS[0] / "model/model.safetensors" for each in (place, study)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    record = json.loads((place.path / "runs" / RUNS[0] / "run.json").read_text("utf-8"))
    assert record["status"] == "complete"
    assert record["tracking"]["mode"] == "offline"
    assert f"wandb sync {record['tracking']['where']}" in done.stdout
    assert done.stderr.count("W&B failed") == (mode == "online")
    assert "0" * 40 not in done.stdout + done.stderr + json.dumps(record)


def test_ctrl_c_ends_a_wait_for_wandb_even_if_another_thread_receives_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, restored_signals: None
) -> None:
    """The kernel may choose any thread.  Python's waits on a lock end only if it is this one."""
    is_waiting, ends = threading.Event(), threading.Event()

    def interrupt_and_hang(*_: object) -> None:
        is_waiting.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        ends.wait()

    limit = 600.0
    monkeypatch.setattr(tracking, "FLUSH_SECONDS", limit)
    monkeypatch.setattr(tracking.Tracker, "_start", interrupt_and_hang)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    record, options = (
        SimpleNamespace(tracking=None),
        SimpleNamespace(tracking="offline", project=""),
    )
    tracker = tracking.Tracker(tmp_path, record, lambda: None, options, [], [])
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            is_waiting.set()
            tracker.flush()
        assert time.monotonic() - began < limit
    finally:
        ends.set()


@pytest.mark.parametrize(
    ("stored", "server", "mode"),
    [
        ("api.wandb.ai", "https://api.wandb.ai", "online"),
        ("localhost:8080", "http://localhost:8080", "online"),  # W&B stores the port, too
        ("localhost:8080", "https://api.wandb.ai", "offline"),
        (None, "https://api.wandb.ai", "offline"),
    ],
)
@pytest.mark.parametrize("name", [".netrc", "_netrc"])
def test_a_stored_login_is_found_where_wandb_stores_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    stored: str | None,
    server: str,
    mode: str,
) -> None:
    for variable in ("NETRC", "WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", server)
    monkeypatch.setattr(reachability, "reachable", lambda url: True)
    if stored:
        (tmp_path / name).write_text(f"machine {stored} login user password {'0' * 40}\n", "utf-8")
        (tmp_path / name).chmod(0o644)
    assert tracking._choose_mode() == mode


def test_what_wandb_has_been_told_to_do_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`wandb offline` and `wandb login --host` write this file."""
    for variable in ("WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    reached = []
    monkeypatch.setattr(reachability, "reachable", lambda url: bool(reached.append(url)) or True)
    settings = tmp_path / "settings"
    settings.write_text("[default]\nbase_url = https://wandb.example.org\n", "utf-8")
    assert tracking._choose_mode() == "online" and reached == ["https://wandb.example.org"]
    settings.write_text("[default]\nmode = online\napi_key = %\n", "utf-8")  # unreadable
    assert tracking._choose_mode() == "online" and reached.pop() == "https://api.wandb.ai"
    settings.write_text("[default]\nmode = offline\n", "utf-8")
    assert tracking._choose_mode() == "offline" and len(reached) == 1
    settings.write_text("[default]\nmode = dryrun\n", "utf-8")
    assert tracking._choose_mode() == "offline" and len(reached) == 1
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert tracking._choose_mode() == "disabled"


@pytest.mark.parametrize(
    ("mode", "chosen"),
    [("run", "online"), ("dryrun", "offline"), ("online", "online"), ("unknown", "online")],
)
def test_other_names_of_modes_are_those_that_wandb_accepts(
    monkeypatch: pytest.MonkeyPatch, mode: str, chosen: str
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(reachability, "reachable", lambda url: True)
    monkeypatch.setenv("WANDB_MODE", mode)
    assert tracking._choose_mode() == chosen


def test_a_key_in_wandbs_settings_is_a_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    monkeypatch.setattr(reachability, "reachable", lambda url: True)
    assert tracking._choose_mode() == "offline"
    (tmp_path / "settings").write_text(f"[default]\napi_key = {'0' * 40}\n", "utf-8")
    assert tracking._choose_mode() == "online"


def test_a_netrc_that_cannot_be_read_is_no_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(path))
    for content in (b"# \xff\n", b"machine\n"):
        path.write_bytes(content)
        assert not tracking._has_netrc_key("https://api.wandb.ai")
