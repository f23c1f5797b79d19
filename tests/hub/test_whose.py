"""A push replaces only repositories of this study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, ModelCard, constants

from compare.errors import Failure, Misuse
from compare.kinds import Track
from compare.publish import card
from compare.publish import hub as hub_module
from compare.publish.card import MARK
from compare.runs import receipt
from tests.compare.publish.test_licenses import SCORES
from tests.compare.publish.test_licenses import tuned as run_of
from tests.hub.server import LOST, Hub, Repository

pytestmark = pytest.mark.usefixtures("logged_in")
REPO = "student/tiny-shakespeare-fine-tuned"
OTHERS = {"README.md": b"---\ntags: [model-comparison]\n---\n# Mine\n", "weights.bin": b"1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a staged repository that has a card from `compare.publish`, but no model."""
    from compare.publish.card import metadata

    base = tmp_path / "base"
    base.mkdir()
    staged = tmp_path / "staged"
    staged.mkdir()
    data = metadata(REPO, run_of(base), SCORES, {})
    ModelCard(f"---\n{data.to_yaml()}\n---\n").save(staged / "README.md")
    (staged / "config.json").write_text("{}", "utf-8")
    return staged


def exists(
    hub: Hub, files: dict[str, bytes], repo: str = REPO, private: bool = False
) -> Repository:
    """Create and return a repository with `files` and one commit."""
    hub.repositories[repo] = Repository(private, {".gitattributes": b""} | files)
    hub.commit(repo, [])
    return hub.repositories[repo]


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("repo", [REPO, "class/tiny-shakespeare-fine-tuned"])
@pytest.mark.parametrize(
    "files",
    [
        OTHERS,
        {"weights.bin": b"1"},  # no card at all
        {"README.md": b"no front matter, but the words tiny-shakespeare-study"},
        {"README.md": b"---\ntags: [tiny-shakespeare-study\n---\n"},  # damaged
        {"README.md": b"---\ntags: tiny-shakespeare-study-of-mine\n---\n"},
        {"README.md": b"\xff\xfe"},
    ],
    ids=["another card", "no card", "no front matter", "damaged", "no list", "no text"],
)
def test_a_repository_of_others_is_refused_and_stays_as_it_is(
    hub: Hub, folder: Path, repo: str, private: bool, files: dict[str, bytes]
) -> None:
    hub.namespaces.add("class")
    there = exists(hub, files, repo, private)
    before = dict(there.files), list(there.commits)
    with pytest.raises(Misuse, match=rf"{repo} .*--prefix"):
        hub_module.push(folder, repo, private)
    assert (there.files, there.commits) == before


@pytest.mark.parametrize("private", [False, True])
def test_what_this_study_has_pushed_is_replaced(hub: Hub, folder: Path, private: bool) -> None:
    hub_module.push(folder, REPO, private)
    there = hub.repositories[REPO]
    assert there.private == private and len(there.commits) == 2
    (folder / "old.txt").write_text("from an older push", "utf-8")
    hub_module.push(folder, REPO, private)
    (folder / "old.txt").unlink()
    hub_module.push(folder, REPO, private)
    sent = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert hub.repositories[REPO].files == sent | {".gitattributes": b""}


@pytest.mark.parametrize("space_sdk", [None, "static"])
def test_what_was_not_pushed_from_here_is_replaced_only_if_asked_for(
    hub: Hub, folder: Path, space_sdk: str | None
) -> None:
    """Another student's push under the same name, or an edit of the card on the Hub."""
    hub_module.push(folder, REPO, False, space_sdk)
    (there,) = hub.repositories.values()
    there.files["edited.txt"] = b"on the Hub"
    hub.commit(*hub.repositories, [])
    before = dict(there.files), list(there.commits)
    with pytest.raises(Misuse, match=rf"{REPO} .*--prefix.*--replace"):
        hub_module.push(folder, REPO, False, space_sdk)
    assert (there.files, there.commits) == before
    hub_module.push(folder, REPO, False, space_sdk, replace=True)
    assert "edited.txt" not in there.files
    (folder / "config.json").write_text('{"new": true}', "utf-8")
    hub_module.push(folder, REPO, False, space_sdk)  # it was left by the last push from here


def test_a_repository_of_others_is_refused_even_if_it_may_be_replaced(
    hub: Hub, folder: Path
) -> None:
    exists(hub, OTHERS)
    with pytest.raises(Misuse, match="lacks this study's tag"):
        hub_module.push(folder, REPO, False, replace=True)


@pytest.mark.parametrize("space_sdk", [None, "static"])
def test_a_push_whose_response_was_lost_needs_no_replace(
    hub: Hub, folder: Path, space_sdk: str | None
) -> None:
    hub_module.push(folder, REPO, False, space_sdk)
    (there,) = hub.repositories.values()
    (folder / "config.json").write_text('{"new": true}', "utf-8")
    hub.faults = [("commit/main", LOST)]
    with pytest.raises(Failure, match="run the same command again"):
        hub_module.push(folder, REPO, False, space_sdk)
    assert not hub.faults and len(there.commits) == 3
    assert hub_module.push(folder, REPO, False, space_sdk).commit == there.head
    assert len(there.commits) == 3  # there was nothing left to send
    (folder / "config.json").write_text('{"newer": true}', "utf-8")
    hub_module.push(folder, REPO, False, space_sdk)
    assert there.files["config.json"] == b'{"newer": true}'


def test_a_commit_of_others_after_a_lost_response_still_needs_replace(
    hub: Hub, folder: Path
) -> None:
    hub.faults = [("commit/main", LOST)]
    with pytest.raises(Failure, match="run the same command again"):
        hub_module.push(folder, REPO, False)
    hub.commit(REPO, [])
    with pytest.raises(Misuse, match=rf"{REPO} .*--prefix.*--replace"):
        hub_module.push(folder, REPO, False)
    hub_module.push(folder, REPO, False, replace=True)


@pytest.mark.parametrize("file", ["receipt.json", "pushed.json"])
def test_the_files_of_earlier_versions_are_read(hub: Hub, folder: Path, file: str) -> None:
    commit = hub_module.push(folder, REPO, False).commit
    receipt.RECEIPT.unlink()
    with pytest.raises(Misuse, match="--replace"):
        hub_module.head_of_own(REPO)
    publication = {"of": ["run", "now"], "repo": REPO, "url": "", "commit": commit}
    contents = {
        "receipt.json": {Track.GPT2: publication | {"slice_bits_per_byte": 2.0}},
        "pushed.json": {f"model {REPO}": commit},
    }
    receipt.RECEIPT.with_name(file).write_text(json.dumps(contents[file]), "utf-8")
    head = hub_module.head_of_own(REPO)
    assert head is not None and head.commit == commit
    hub_module.push(folder, REPO, False)
    written = json.loads(receipt.RECEIPT.read_text("utf-8"))
    assert list(written["models"]) == (["gpt2_finetune"] if file == "receipt.json" else [])
    assert [path.name for path in receipt.RECEIPT.parent.iterdir()] == ["receipt.json"]
    assert hub_module.head_of_own(REPO) == head


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("receipt.json", "[", "Invalid JSON"),
        (
            "receipt.json",
            '{"models": {}, "repositories": {"model a/b": {"commit": 1}}}',
            "commit: ",
        ),
        ("receipt.json", '{"scratch_lm": {"repo": "a/b"}}', r"scratch_lm\.of: "),
        ("pushed.json", '{"model a/b": 1}', "model a/b: "),
    ],
)
def test_damaged_files_are_named(hub: Hub, file: str, content: str, problem: str) -> None:
    receipt.RECEIPT.parent.mkdir(parents=True)
    receipt.RECEIPT.with_name(file).write_text(content, "utf-8")
    with pytest.raises(Misuse, match=rf"{file} is damaged \(.*{problem}.*move it away"):
        receipt.pushed_repository(REPO, "model")


def test_a_public_repository_does_not_stay_public_silently(hub: Hub, folder: Path) -> None:
    hub_module.push(folder, REPO, private=False)
    commits = len(hub.repositories[REPO].commits)
    with pytest.raises(Misuse, match=rf"{REPO} .*public.*--private"):
        hub_module.push(folder, REPO, private=True)
    assert len(hub.repositories[REPO].commits) == commits


def test_a_login_in_the_hubs_address_is_not_published(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = hub.url.replace("://", "://me:secret@")
    create = HfApi.create_repo

    def create_repo(*arguments: Any, **options: Any) -> str:
        return str(create(*arguments, **options)).replace(hub.url, endpoint)

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    assert hub_module.push(folder, REPO, private=False).url == f"{hub.url}/{REPO}"
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    text = card.metadata(REPO, run_of(folder), SCORES, {}).to_yaml()
    assert f"{hub.url}/{REPO}/resolve/main/report.html" in text and "secret" not in text


def test_the_empty_repository_of_an_interrupted_push_is_filled(hub: Hub, folder: Path) -> None:
    hub.faults = [("commit/main", 400)]
    with pytest.raises(Failure, match="run the same command again to complete it"):
        hub_module.push(folder, REPO, False)
    assert list(hub.repositories[REPO].files) == [".gitattributes"]
    hub_module.push(folder, REPO, False)
    assert "config.json" in hub.repositories[REPO].files


def test_the_new_space_of_an_interrupted_push_is_filled(hub: Hub, folder: Path) -> None:
    hub.faults = [("commit/main", 400)]
    with pytest.raises(
        Failure, match=r"the Hub returned HTTP 400 \(injected\); run the same command"
    ):
        hub_module.push(folder, REPO, False, "static")
    assert "README.md" in hub.repositories[f"spaces/{REPO}"].files  # the Hub's own
    hub_module.push(folder, REPO, False, "static")
    assert "config.json" in hub.repositories[f"spaces/{REPO}"].files


def test_what_the_hub_says_of_the_card_is_passed_on(hub: Hub, folder: Path) -> None:
    hub.faults = [("validate-yaml", 400)]
    with pytest.raises(Failure, match="metadata") as error:
        hub_module.push(folder, REPO, False)
    assert "again" not in str(error.value)


def test_a_file_added_between_check_and_push_is_not_deleted(hub: Hub, folder: Path) -> None:
    hub_module.push(folder, REPO, False)
    (folder / "config.json").write_text('{"new": true}', "utf-8")
    original = hub.fault

    def meanwhile(path: str) -> None:
        if path.endswith("preupload/main"):  # the check is done, and the push sends
            hub.repositories[REPO].files["of-a-colleague.txt"] = b"1"
            hub.commit(REPO, [])
        return original(path)

    hub.fault = meanwhile
    with pytest.raises(Failure, match="changed during the upload"):
        hub_module.push(folder, REPO, False)
    assert "of-a-colleague.txt" in hub.repositories[REPO].files


def test_the_check_creates_no_repository(hub: Hub) -> None:
    assert hub_module.head_of_own(REPO) is None and not hub.repositories


def test_a_repository_without_write_permission_is_refused(hub: Hub, folder: Path) -> None:
    repo = "teacher/tiny-shakespeare-fine-tuned"
    exists(hub, {"README.md": f"---\ntags: [{MARK}]\n---\n".encode()}, repo)
    with pytest.raises(Failure, match="no permission to write to teacher"):
        hub_module.push(folder, repo, False, replace=True)
