"""Run directories while other processes write to them, and the recorded commit."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from compare.cli import StudyOptions
from compare.corpus import Corpus
from compare.errors import Misuse
from compare.files import hold_lock
from compare.kinds import RowKind, RunStatus, Track
from compare.ruler.parameters import Parameters
from compare.runs import start as start_module
from compare.runs.record import read_record, write_record
from compare.runs.writer import Run
from tests.run_records import make_metrics, make_record

CORPUS = Corpus("text", "file text", "0" * 64, "train", "validation", "test")


@dataclass(frozen=True)
class LaterOptions(StudyOptions):
    """The options of a later version, which has one more."""

    patience: int | None = None


def start(
    name: str = "course-seed1", kind: type[StudyOptions] = StudyOptions, **options: Any
) -> Run:
    return start_module.start(
        Track.SCRATCH,
        name,
        kind(**options),
        CORPUS,
        command=Track.SCRATCH.command,
        preset=RowKind.COURSE,
        parameters=Parameters(total=1000, non_embedding=500),
    )


def ready(name: str) -> Run:
    """Return a run on which only `finish` has not been called yet."""
    path = Path("runs/scratch_lm") / name
    path.mkdir(parents=True)
    return Run(path, make_record(status=RunStatus.RUNNING))


def test_the_score_before_training_survives_a_kill() -> None:
    """It is not computed again when the run is resumed from a checkpoint."""
    run = ready("first")
    run.log_zero_shot(make_metrics())
    assert read_record(run.path).zero_shot == make_metrics()


def test_a_training_that_ends_while_another_points_latest_at_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = ready("first"), ready("second")
    really = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if target.name == "latest" and second.record.status is RunStatus.RUNNING:
            second.record.status = RunStatus.COMPLETE
            second.finish()  # between the link's making and its renaming
        return really(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    first.finish()
    assert Path("runs/scratch_lm/latest").readlink() == Path("first")
    for name in ("first", "second"):
        record = json.loads((Path("runs/scratch_lm") / name / "run.json").read_text("utf-8"))
        assert record["status"] == "complete"


def test_many_trainings_end_at_once() -> None:
    runs = [ready(f"run-{number}") for number in range(8)]
    together, failures = threading.Barrier(len(runs)), []

    def finish(run: Run) -> None:
        for _ in range(25):
            together.wait()
            try:
                run.finish()
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=finish, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    folder = Path("runs/scratch_lm")
    assert (folder / "latest" / "run.json").exists()
    assert {path.name for path in folder.iterdir()} == {"latest", *(run.path.name for run in runs)}


def test_a_run_that_another_process_completes_meanwhile_stays_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = start()
    run.release()

    def finished_first(path: Path, what: str) -> object:
        """Complete the run just before the lock is acquired, as another process might."""
        complete = make_record(config=run.record.config, corpus=run.record.corpus)
        write_record(run.path, complete)
        return hold_lock(path, what)

    monkeypatch.setattr(start_module, "hold_lock", finished_first)
    assert start(resume=True).start_mode == "complete"


def test_a_run_that_another_process_writes_to_is_refused() -> None:
    run = start()
    with pytest.raises(Misuse, match="another process is writing"):
        start(resume=True)
    run.release()
    assert start(resume=True).start_mode == "resumed"


def test_the_newest_run_has_the_highest_number_even_if_an_earlier_one_was_deleted() -> None:
    runs = [start() for _ in range(3)]
    for run in runs:
        run.release()
    runs[1].path.rename("elsewhere")
    assert start(resume=True).path == runs[2].path
    assert start().path.name == "course-seed1-4"


def test_a_run_that_continues_on_another_device_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    start().release()
    monkeypatch.setattr(start_module, "describe", lambda device: "another device")
    run = start(resume=True)
    assert run.record.device.endswith(", then another device")
    run.release()
    assert start(resume=True).record.device.count("another device") == 1


def test_looking_at_a_run_that_cannot_be_resumed_leaves_it_free() -> None:
    run = start()
    run.release()
    with pytest.raises(Misuse, match="cannot resume"):
        start(resume=True, seed=2)
    assert start(resume=True).start_mode == "resumed"


def test_a_run_from_before_an_option_existed_is_resumed_unless_the_option_is_used() -> None:
    start().release()
    with pytest.raises(Misuse, match="patience was None and is now 2"):
        start(kind=LaterOptions, patience=2, resume=True)
    assert start(kind=LaterOptions, resume=True).start_mode == "resumed"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", *identity, *arguments]
    # Without the user's settings, and without a hook's variables that name another repository.
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory in which `start` looks for this project's code and its repository."""
    folder = tmp_path / "outer" / "project"
    (folder / "compare" / "runs").mkdir(parents=True)
    (folder / "compare" / "runs" / "start.py").write_text("code\n", "utf-8")
    monkeypatch.setattr(start_module, "__file__", str(folder / "compare" / "runs" / "start.py"))
    return folder


def committed(folder: Path) -> str:
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "code")
    return git(folder, "rev-parse", "HEAD")


def noted() -> tuple[str | None, bool | None]:
    record = start().record
    return record.git_commit, record.git_dirty


def test_the_commit_of_this_projects_own_repository_is_noted(project: Path) -> None:
    assert noted() == (None, None)  # no repository
    commit = committed(project)
    assert noted() == (commit, False)


def test_the_commit_of_a_repository_around_it_is_not(project: Path) -> None:
    committed(project.parent)
    assert noted() == (None, None)


def test_the_commit_of_a_hooks_repository_is_not(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = committed(project)
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").touch()
    committed(other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert noted() == (commit, False)


def test_changes_of_the_code_are_noted_others_are_not(project: Path) -> None:
    commit = committed(project)
    (project / "notes.txt").touch()
    (project / "reports").mkdir()
    (project / "reports" / "report.md").touch()
    assert noted() == (commit, False)
    (project / "compare" / "runs" / "start.py").write_text("other code\n", "utf-8")
    assert noted() == (commit, True)
    git(project, "checkout", "--quiet", ".")
    (project / "scratch_lm").mkdir()
    (project / "scratch_lm" / "new.py").touch()
    assert noted() == (commit, True)
