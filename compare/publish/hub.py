"""Upload a staged model or Space to the Hugging Face Hub, then download and verify it."""

from __future__ import annotations

import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from huggingface_hub import HfApi, get_token, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError

from compare import reachability
from compare.errors import Failure, Misuse
from compare.publish import card
from compare.ruler.scoring import score
from compare.runs import models, receipt
from compare.runs.receipt import RepoType
from compare.runs.subjects import without_login

# The Hub's own commit in every new repository, and the files that it may have, those of Spaces
# included.
FIRST_COMMIT = "initial commit"
FIRST_FILES = {".gitattributes", "README.md", "index.html", "style.css"}
TOLERANCE = 1e-4  # bits per byte; machines differ in the order of floating-point sums


def logged_in_user() -> str:
    """Return the name of the logged-in user.

    Raises Failure if nobody is logged in or the Hub cannot be reached.
    """
    if not get_token():
        raise Failure("not logged in to the Hugging Face Hub: run hf auth login, then try again")
    if not reachability.hub_reachable():
        raise Failure(
            "the Hugging Face Hub cannot be reached: try again later, or stage without --push"
        )
    try:
        return HfApi().whoami()["name"]
    except Exception as error:
        _fail("the Hub", error)


@dataclass(frozen=True)
class Head:
    """The latest commit of a repository."""

    commit: str | None
    is_private: bool
    """Whether the repository is private."""


def head_of_own(
    repo: str, repo_type: RepoType = "model", private: bool = False, replace: bool = False
) -> Head | None:
    """Return the latest commit of repository `repo`, or None if it does not exist.

    Raises Misuse if a push would delete files that are not this study's: if the repository's card
    does not carry the tag of this study, or if its latest commit was not pushed from here, because
    someone else uses the same name or has edited it there; `replace` accepts the latter.  An
    interrupted push leaves a new repository, which is accepted.  Raises Misuse, too, if the
    repository is to be private, but is public.  Raises Failure if the Hub cannot be queried.
    """
    try:
        api = HfApi()
        info = api.space_info(repo) if repo_type == "space" else api.model_info(repo)
        files = {file.rfilename for file in info.siblings or []}
        is_new = files <= FIRST_FILES and _has_only_the_first_commit(api, repo, repo_type)
        is_own = is_new or _card_is_of_the_study(repo, repo_type, info.sha)
    except RepositoryNotFoundError:
        return None
    except Exception as error:
        _fail(repo, error)
    if not is_own:
        raise Misuse(
            f"{repo} is on the Hub already, and its card lacks this study's tag ({card.MARK}): "
            "choose another --prefix so that its files are not replaced"
        )
    if not (is_new or replace or _was_pushed_from_here(api, repo, repo_type, info.sha)):
        raise Misuse(
            f"{repo} is on the Hub already, and its latest commit ({str(info.sha)[:9]}) was not "
            "pushed from here, but from another machine, by another study or by an edit there; "
            "choose another --prefix, or add --replace to replace it"
        )
    if private and not info.private:
        raise Misuse(
            f"{repo} is on the Hub already, and public: make it private in its settings there, or "
            "leave out --private"
        )
    return Head(info.sha, bool(info.private))


def _was_pushed_from_here(api: HfApi, repo: str, repo_type: RepoType, commit: str | None) -> bool:
    """Return whether `commit`, the latest one of `repo`, was pushed from here.

    If a push was not answered, for instance because the connection was lost, its commit may have
    been made.  It is recognized by the token in its description, and noted in the receipt.
    """
    earlier = receipt.pushed_repository(repo, repo_type)
    if commit is None or commit == earlier.commit:
        return commit is not None
    if not earlier.tokens:
        return False
    try:
        latest = api.list_repo_commits(repo, repo_type=repo_type, revision=commit)[0]
    except Exception as error:
        _fail(repo, error)
    if not any(token in latest.message for token in earlier.tokens):
        return False
    receipt.note_push(repo, repo_type, commit)
    return True


def _has_only_the_first_commit(api: HfApi, repo: str, repo_type: RepoType) -> bool:
    """Return whether `repo` has only the commit that the Hub makes in every new repository."""
    commits = api.list_repo_commits(repo, repo_type=repo_type)
    return [commit.title for commit in commits] == [FIRST_COMMIT]


def _card_is_of_the_study(repo: str, repo_type: RepoType, commit: str | None) -> bool:
    """Return whether `repo` has a card with the tag of this study."""
    with tempfile.TemporaryDirectory() as cache:
        try:
            path = hf_hub_download(
                repo, card.CARD_FILE, repo_type=repo_type, revision=commit, cache_dir=cache
            )
        except EntryNotFoundError:
            return False
        return card.is_of_the_study(Path(path))


@dataclass(frozen=True)
class Pushed:
    """Where a push has arrived."""

    url: str
    """Of the repository."""
    commit: str
    is_private: bool
    """Whether the repository is private."""


def push(
    folder: Path,
    repo: str,
    private: bool,
    space_sdk: str | None = None,
    replace: bool = False,
) -> Pushed:
    """Make the files of repository `repo` equal to those of `folder`, in a single commit.

    The repository is a Space if `space_sdk` is given, which is what it is built with.  Nothing is
    committed if nothing has changed.

    Raises Misuse under the same conditions as `head_of_own`, and Failure if the upload fails.  A
    second push then completes the upload: weights that have arrived are not sent again, and no
    commit contains a partial model.
    """
    api = HfApi()
    repo_type: RepoType = "space" if space_sdk else "model"
    try:
        url = api.create_repo(
            repo, private=private, exist_ok=True, repo_type=repo_type, space_sdk=space_sdk
        )
    except Exception as error:
        _fail(repo, error)
    head = head_of_own(repo, repo_type, private, replace)
    if head is None:
        raise Failure(
            f"{repo} was created, but cannot be read: check the token's permissions, then run the "
            "same command again"
        )
    token = secrets.token_hex(16)
    receipt.note_push_begun(repo, repo_type, token)
    try:
        commit = api.upload_folder(
            repo_id=repo,
            repo_type=repo_type,
            folder_path=folder,
            commit_message="What compare.publish has staged",
            commit_description=f"compare.publish recognizes this push by {token}.",
            delete_patterns="*",  # delete whatever is not in `folder`
            parent_commit=head.commit,  # the Hub rejects the commit if another came in between
        )
    except Exception as error:
        _fail(repo, error)
    receipt.note_push(repo, repo_type, commit.oid)  # at once: what follows may fail
    return Pushed(without_login(str(url)), commit.oid, head.is_private)


def read_back(repo: str, commit: str, folder: Path, text: str, expected: float) -> float:
    """Download `commit` into an empty cache, and return its bits per byte on `text`.

    Raises Failure if the download fails, if its files differ from those in `folder`, or if its
    score differs from `expected` by more than TOLERANCE.
    """
    with tempfile.TemporaryDirectory() as cache:
        downloaded = _download(repo, commit, folder, "model", cache)
        model, tokenizer = models.load(downloaded)
        bits = score(model, tokenizer, text).metrics.bits_per_byte
    if abs(bits - expected) > TOLERANCE:
        raise Failure(
            f"{repo} needs {bits:.4f} bits per byte, but the report says {expected:.4f}: "
            "run python -m compare.report, then push again"
        )
    return bits


def require_arrived(repo: str, commit: str, folder: Path) -> None:
    """Raise Failure unless `commit` of the Space `repo` has the files in `folder`."""
    with tempfile.TemporaryDirectory() as cache:
        _download(repo, commit, folder, "space", cache)


def _download(repo: str, commit: str, folder: Path, repo_type: RepoType, cache: str) -> Path:
    """Download `commit` to `cache`, and return the directory with its files.

    Raises Failure if the download fails, or if the files differ from those in `folder`.
    """
    try:
        snapshot = snapshot_download(repo, repo_type=repo_type, revision=commit, cache_dir=cache)
    except Exception as error:
        _fail(repo, error)
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        copy = Path(snapshot) / name
        if path.is_file() and not (copy.is_file() and copy.read_bytes() == path.read_bytes()):
            raise Failure(f"{name} in {repo} differs from the file that was uploaded: push again")
    return Path(snapshot)


def _fail(repo: str, error: Exception) -> NoReturn:
    """Raise a Failure that explains `error`, whose type depends on the client library used."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status == 401:
        raise Failure("the Hub rejects this token: run hf auth login, then try again") from None
    if status == 403:
        raise Failure(
            f"no permission to write to {repo}: log in with a token that may write there, or use "
            "another --namespace"
        ) from None
    if status == 412:
        raise Failure(f"{repo} changed during the upload: run the same command again") from None
    if isinstance(error, HfHubHTTPError):
        said = f" ({error.server_message})" if error.server_message else ""
        reason = f"the Hub returned HTTP {status}{said}"
    elif isinstance(error, ValueError):  # the Hub rejects the card, and repeating does not help
        raise Failure(f"{repo}: {error}") from None
    else:
        reason = f"the request failed ({error})"
    raise Failure(f"{repo}: {reason}; run the same command again to complete it") from None
