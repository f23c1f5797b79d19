"""Run directories while other processes write to them, and the recorded commit."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from dataclasses import dataclass, replace
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
from compare.runs.identity import Identity
from compare.runs.record import read_record, write_record
from compare.runs.writer import Run
from tests.run_records import BASE, make_metrics, make_record

CORPUS = Corpus("text", "file text", "0" * 64, "train", "validation", "test")


@dataclass(frozen=True)
class LaterOptions(StudyOptions):
    """The options of a later version, which has one more."""

    patience: int | None = None


OTHER_CORPUS = replace(CORPUS, sha256="1" * 64)


def start(
    name: str = "course-seed1",
    kind: type[StudyOptions] = StudyOptions,
    corpus: Corpus = CORPUS,
    corpus_name: str = StudyOptions.corpus,
    **options: Any,
) -> Run:
    return start_module.start(
        Track.SCRATCH,
        name,
        kind(corpus=corpus_name, **options),
        corpus,
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


def complete(run: Run) -> None:
    run.record = make_record(config=run.record.config, corpus=run.record.corpus)
    run.save()
    run.release()


def test_a_run_is_resumed_although_a_later_one_of_its_name_has_another_text() -> None:
    first = start()
    first.release()
    second = start(corpus=OTHER_CORPUS)
    with pytest.raises(Misuse, match=r"course-seed1-2 was started .*\(corpus was .*sha256 1+"):
        start(resume=True, corpus=replace(CORPUS, sha256="2" * 64))
    resumed = start(resume=True)  # also while another process is writing the later one
    assert resumed.path == first.path and resumed.resumed
    resumed.release()
    complete(second)
    assert start(resume=True, corpus=OTHER_CORPUS).start_mode == "complete"
    assert start(resume=True).path == first.path


def test_a_run_is_resumed_whatever_its_text_is_called() -> None:
    start(corpus_name="novel.txt").release()
    resumed = start(corpus_name="./novel.txt", resume=True)
    assert resumed.start_mode == "resumed"
    resumed.release()
    other = r"corpus was novel\.txt \(sha256 0{12}\) and is now novel\.txt \(sha256 1{12}\)"
    with pytest.raises(Misuse, match=other):
        start(corpus_name="novel.txt", corpus=OTHER_CORPUS, resume=True)


def test_a_run_is_not_resumed_from_another_base() -> None:
    def identity(name: str, sha256: str) -> Identity:
        base = BASE.model_copy(update={"weights_sha256": sha256})
        config = {"corpus": "text", "base": name}
        return Identity.of(make_record(Track.GPT2, config=config, base=base))

    first = identity("auto", "a" * 64)
    assert identity("gpt2", "a" * 64) == first
    assert identity("gpt2", "b" * 64).differences_from(first) == [
        "base was auto (sha256 aaaaaaaaaaaa) and is now gpt2 (sha256 bbbbbbbbbbbb)"
    ]


def test_options_that_only_change_rounding_do_not_prevent_resuming() -> None:
    eager, compiled = (
        Identity.of(make_record(config={"corpus": "text", "compile": compile}))
        for compile in (False, True)
    )
    assert eager == compiled


def test_an_empty_directory_does_not_hide_the_run_to_resume() -> None:
    """It remains if a process is killed before it saves the record."""
    first = start()
    first.release()
    first.path.with_name("course-seed1-2").mkdir()
    resumed = start(resume=True)
    assert resumed.path == first.path
    resumed.release()
    assert start().path.name == "course-seed1-3"


def test_an_older_record_that_cannot_be_read_does_not_stop_a_new_run() -> None:
    first = start()
    first.release()
    second = start(corpus=OTHER_CORPUS)
    second.release()
    complete = make_record(status=RunStatus.COMPLETE)
    write_record(second.path, complete)
    (first.path / "run.json").write_text("{", "utf-8")
    third = start(resume=True)
    assert third.path.name == "course-seed1-3"
    third.release()


def test_the_options_of_the_run_to_resume_are_found_whatever_one_of_them_is() -> None:
    start(sample_characters=7).release()
    run = start(seed=2, corpus=OTHER_CORPUS)
    run.release()
    identity = Identity.of(run.record)

    def find(identity: Identity) -> dict[str, Any]:
        return start_module.recorded_options(Track.SCRATCH, "course-seed1", identity, "seed")

    assert find(replace(identity, corpus_sha256=CORPUS.sha256))["sample_characters"] == 7
    assert find(replace(identity, options={**identity.options, "seed": 3}))["seed"] == 2
    assert find(replace(identity, corpus_sha256="2" * 64)) == {}


def test_looking_at_a_run_that_cannot_be_resumed_leaves_it_free() -> None:
    run = start()
    run.release()
    with pytest.raises(Misuse, match="was started with other options or inputs"):
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


def test_only_the_remote_of_this_projects_own_repository_counts(project: Path) -> None:
    committed(project.parent)
    git(project.parent, "remote", "add", "origin", "https://example.org/outer.git")
    assert start_module.origin_url() is None
    committed(project)
    assert start_module.origin_url() is None
    git(project, "remote", "add", "origin", "https://example.org/project.git")
    assert start_module.origin_url() == "https://example.org/project.git"


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


def test_a_run_that_continues_with_other_code_names_both(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = committed(project)
    run = start()
    run.release()
    python = run.record.versions["python"]
    run = start(resume=True)
    assert (run.record.git_commit, run.record.git_dirty) == (first, False)
    run.release()

    (project / "compare" / "runs" / "start.py").write_text("other code\n", "utf-8")
    second = committed(project)
    monkeypatch.setattr(start_module.platform, "python_version", lambda: "4.0")
    for _ in range(2):  # the second time, nothing is different
        run = start(resume=True)
        assert (run.record.git_commit, run.record.git_dirty) == (f"{first}, then {second}", False)
        assert run.record.versions["python"] == f"{python}, then 4.0"
        run.save()
        run.release()
