"""The real Hub client pushes both models to a Hub on loopback, where others can use them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from compare.publish import staging
from compare.report import storage
from compare.runs import find, models
from tests.conftest import HANGS, REPORT, Place
from tests.hub.server import CUT, TOKEN, Hub, Repository

pytestmark = pytest.mark.slow
REPOS = ("student/tiny-shakespeare-scratch", "student/tiny-shakespeare-fine-tuned")
PUSH = ["compare.publish", "--push"]


@pytest.fixture(scope="module")
def reported(study: Place) -> Place:
    study.run(*REPORT)
    return study


@pytest.fixture
def place(reported: Place, hub: Hub, tmp_path: Path) -> Iterator[Place]:
    """Return a copy of the study that is logged in to the loopback Hub and not yet published."""
    before = reported.environment
    reported.environment = before | {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "hf"),
    }
    yield reported
    reported.environment = before
    shutil.rmtree(reported.path / "runs/publish", ignore_errors=True)


def published(place: Place) -> dict:
    """Return the publication of each track in the receipt."""
    path = place.path / "runs/publish/receipt.json"
    return json.loads(path.read_text("utf-8"))["models"] if path.exists() else {}


@pytest.mark.parametrize("large_files", ["xet", "lfs"])
def test_push_reads_back_what_it_sent_and_again_makes_no_commit(
    place: Place, hub: Hub, large_files: str
) -> None:
    if large_files == "lfs":
        place.environment |= {"HF_HUB_DISABLE_XET": "1"}
    shown = place.run(*PUSH).stdout
    assert shown.count("read back and scored") == 2
    for repo in REPOS:
        repository = hub.repositories[repo]
        staged = place.path / "runs/publish" / repo.split("/")[1]
        sent = {path.name: path.read_bytes() for path in staged.iterdir()}
        assert repository.files == sent | {".gitattributes": b""}
        assert len(repository.commits) == 2  # the Hub's first, and ours
        assert not repository.private
        assert not any(path.endswith((".bin", ".pt", ".pkl")) for path in repository.files)
    heads = {repo: repository.head for repo, repository in hub.repositories.items()}
    assert {entry["repo"]: entry["commit"] for entry in published(place).values()} == heads

    place.run(*PUSH)
    assert {repo: repository.head for repo, repository in hub.repositories.items()} == heads
    assert TOKEN not in shown + json.dumps(published(place))


def test_spaces_are_pushed_beside_the_models_and_again_make_no_commit(
    place: Place, hub: Hub
) -> None:
    assert place.run(*PUSH, "--space").stdout.count("published") == 4
    repos = {f"spaces/student/tiny-shakespeare-{name}" for name in ("demo", "report")}
    assert set(hub.repositories) == {*REPOS, *repos}
    for repo in repos:
        staged = place.path / "runs/publish" / repo.split("/")[2]
        files = [path for path in staged.rglob("*") if path.is_file()]
        sent = {path.relative_to(staged).as_posix(): path.read_bytes() for path in files}
        assert hub.repositories[repo].files == sent | {".gitattributes": b""}
    app = hub.repositories["spaces/student/tiny-shakespeare-demo"].files["app.py"].decode()
    assert all(repo in app for repo in REPOS)
    heads = {repo: repository.head for repo, repository in hub.repositories.items()}
    place.run(*PUSH, "--space")
    assert {repo: repository.head for repo, repository in hub.repositories.items()} == heads


def test_a_space_of_someone_else_is_not_changed(place: Place, hub: Hub) -> None:
    theirs = Repository(private=False, files={"README.md": b"---\ntitle: mine\n---\n"})
    theirs.commits.append("a" * 40)
    hub.repositories["spaces/student/tiny-shakespeare-demo"] = theirs
    assert "--prefix" in place.refused(*PUSH, "--space")
    assert set(hub.repositories) == {"spaces/student/tiny-shakespeare-demo"}


def test_the_report_shows_the_links_of_what_was_published(place: Place, hub: Hub) -> None:
    place.run(*PUSH)
    place.run(*REPORT)
    report = json.loads((place.path / "reports/report.json").read_text("utf-8"))
    met = {point["id"]: point for point in report["requirements"]}["published"]
    assert met["met"] and met["evidence"] == ", ".join(f"{hub.url}/{repo}" for repo in REPOS)
    page = (place.path / "reports/handin.de.md").read_text("utf-8")
    assert all(f"<{hub.url}/{repo}>" in page for repo in REPOS)


def test_private_models_are_published_only_once_the_teacher_can_open_them(
    place: Place, hub: Hub
) -> None:
    place.run(*PUSH, "--private")
    assert [entry["private"] for entry in published(place).values()] == [True, True]
    place.run(*REPORT)
    report = json.loads((place.path / "reports/report.json").read_text("utf-8"))
    point = {point["id"]: point for point in report["requirements"]}["published"]
    assert not point["met"]
    assert (
        point["evidence"].count("(private: make it public in its settings, then push again)") == 2
    )
    for repo in REPOS:
        hub.repositories[repo].private = False  # in its settings on the Hub
    place.run(*PUSH)
    assert [entry["private"] for entry in published(place).values()] == [False, False]


def test_the_snippet_of_a_card_works_for_others(place: Place, hub: Hub, tmp_path: Path) -> None:
    place.run(*PUSH, "--private")
    assert all(hub.repositories[repo].private for repo in REPOS)
    for repo in REPOS:
        card = hub.repositories[repo].files["README.md"].decode()
        results = ModelCard(card).data.eval_results  # type: ignore[attr-defined]
        source = f"{hub.url}/{repo}/resolve/main/report.html"
        assert results and {result.source_url for result in results} == {source}
        assert "report.html" in hub.repositories[repo].files and f'"{repo}"' in card
        (snippet,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        done = subprocess.run(
            [sys.executable, "-I", "-c", snippet],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=place.environment | {"HF_HOME": str(tmp_path / "stranger")},
            timeout=HANGS,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("ROMEO:\n") and len(done.stdout) > 20


@pytest.mark.parametrize(
    "faults",
    [
        [("preupload", 500)],
        [("commit/main", 429)],
        [("commit/main", CUT)],
        [("xorbs/", CUT), ("v1/shards", 500)],
    ],
    ids=str,
)
def test_a_temporary_error_of_the_hub_is_waited_out(place: Place, hub: Hub, faults: list) -> None:
    hub.faults = faults
    place.run(*PUSH)
    assert not hub.faults and len(published(place)) == 2


def test_an_interrupted_upload_is_completed_by_the_same_command(place: Place, hub: Hub) -> None:
    hub.faults = [("tiny-shakespeare-fine-tuned/commit/main", CUT)] * 20
    line = place.refused(*PUSH, code=1)
    assert (
        "tiny-shakespeare-fine-tuned" in line
        and "run the same command again to complete it" in line
    )
    assert list(published(place)) == ["scratch_lm"]
    assert len(hub.repositories[REPOS[1]].commits) == 1  # nothing of the model is to be seen
    hub.faults = []
    place.run(*PUSH)
    assert len(published(place)) == 2
    assert [len(hub.repositories[repo].commits) for repo in REPOS] == [2, 2]


def test_missing_permission_is_reported_in_one_line(place: Place, hub: Hub) -> None:
    line = place.refused(*PUSH, "--namespace", "teacher", code=1)
    assert "no permission to write to teacher" in line
    place.environment |= {"HF_TOKEN": "hf_wrong"}
    assert "rejects this token" in place.refused(*PUSH, code=1)
    del place.environment["HF_TOKEN"]
    assert "hf auth login" in place.refused(*PUSH, code=1)
    place.environment |= {"HF_TOKEN": TOKEN, "HF_ENDPOINT": "http://127.0.0.1:9"}
    assert "cannot be reached" in place.refused(*PUSH, code=1)
    assert not hub.repositories and not published(place)


def test_nothing_is_sent_if_one_of_the_repositories_belongs_to_others(
    place: Place, hub: Hub
) -> None:
    theirs = {".gitattributes": b"", "novel.txt": b"ten years of work"}
    hub.repositories[REPOS[1]] = Repository(False, dict(theirs))
    hub.commit(REPOS[1], [])
    line = place.refused(*PUSH)
    assert REPOS[1] in line and "--prefix" in line
    assert list(hub.repositories) == [REPOS[1]] and hub.repositories[REPOS[1]].files == theirs
    assert not published(place)
    place.run(*PUSH, "--prefix", "other")
    assert len(published(place)) == 2 and hub.repositories[REPOS[1]].files == theirs


def test_without_push_the_command_that_would_upload_the_same_is_shown(place: Place) -> None:
    shown = place.run("compare.publish", "--prefix", "mine", "--namespace", "class").stdout
    assert "then python -m compare.publish --prefix mine --namespace class --push\n" in shown


def test_the_card_names_the_commands_of_the_teachers_first(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(place.path)
    run = find.load(Path("runs/scratch_lm/tuned-seed1"))
    teachers = [find.load(Path(f"runs/scratch_lm/course-seed{seed}")) for seed in (2, 1)]

    def end_of_card(*digests: str) -> str:
        taught = run.record.model_copy(update={"teachers_sha256": list(digests)})
        changed = replace(run, record=taught)
        folder = staging.stage(tmp_path / "repository", "a/b", changed, storage.read())
        return (folder / "README.md").read_text("utf-8").strip().splitlines()[-1]

    assert end_of_card().startswith(f"To reproduce this model, run `{run.record.command}`")
    first, second = (teacher.record.command for teacher in teachers)
    assert end_of_card(*(models.weights_sha256(each.model) for each in teachers)).startswith(
        "To reproduce this model, first train the 2 models that it learned from "
        f"(`{first}`, `{second}`), then run `{run.record.command}`"
    )
    missing = "first train the model that it learned from (the following command names what is"
    assert missing in end_of_card("0" * 64)


def test_a_copy_that_is_not_what_was_sent_is_refused(place: Place, hub: Hub) -> None:
    original = hub.commit

    def spoil(repo: str, lines: list) -> str:
        commit = original(repo, lines)
        if "config.json" in hub.repositories[repo].files:
            hub.repositories[repo].files["config.json"] += b" "
        return commit

    hub.commit = spoil
    assert "config.json in" in place.refused(*PUSH, code=1)
    assert not published(place)


def test_a_model_whose_score_is_not_the_reports_gets_no_receipt(place: Place, hub: Hub) -> None:
    place.environment |= {"HF_HUB_DISABLE_XET": "1"}
    path = place.path / storage.PATH
    saved = path.read_bytes()
    report = json.loads(saved)
    for run in report["runs"]:
        run["test_slice"]["bits_per_byte"] += 0.001
    path.write_text(json.dumps(report), "utf-8")
    try:
        line = place.refused(*PUSH, code=1)
    finally:
        path.write_bytes(saved)
    assert REPOS[0] in line and "but the report says" in line
    assert not published(place)
