"""Upload a staged model to the Hugging Face Hub, and read back what a stranger would get."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NoReturn

from huggingface_hub import HfApi, get_token, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError

from compare import reachability
from compare.errors import Failure, Misuse
from compare.publish import card
from compare.ruler.scoring import score
from compare.runs import models

TOLERANCE = 1e-4  # bits per byte: another machine may sum in another order


def namespace() -> str:
    """The name that this machine is logged in under.  Raises Failure when it is not, or offline."""
    if not get_token():
        raise Failure("not logged in to the Hugging Face Hub: run hf auth login, then this again")
    if not reachability.hub_reachable():
        raise Failure(
            "the Hugging Face Hub is out of reach: try again later, or stage without --push"
        )
    try:
        return HfApi().whoami()["name"]
    except Exception as error:
        _fail("the Hub", error)


def head_of_own(repo: str) -> str | None:
    """The newest commit of repository `repo`; None where there is no such repository.

    Raises Misuse when it holds files, and its card does not say that they are of this study: a push
    would delete them.  A repository that an interrupted push has left is empty.
    """
    try:
        info = HfApi().model_info(repo)
        if {file.rfilename for file in info.siblings or []} <= {".gitattributes"}:
            return info.sha
        own = _card_is_of_the_study(repo, info.sha)
    except RepositoryNotFoundError:
        return None
    except Exception as error:
        _fail(repo, error)
    if not own:
        raise Misuse(
            f"{repo} is on the Hub already, and its card does not say that this study made it "
            f"(tag {card.MARK}): give another --prefix, so that its files are not replaced"
        )
    return info.sha


def _card_is_of_the_study(repo: str, commit: str | None) -> bool:
    with tempfile.TemporaryDirectory() as cache:
        try:
            path = hf_hub_download(repo, card.NAME, revision=commit, cache_dir=cache)
        except EntryNotFoundError:
            return False
        return card.is_of_the_study(Path(path))


def push(folder: Path, repo: str, private: bool) -> dict[str, str]:
    """Make repository `repo` what `folder` is, in one commit, or none where nothing changed.

    Returns its url and commit.  Raises Misuse when the repository is not of this study, and
    Failure, after which a second push completes the work: what has arrived of the weights is not
    sent again, and no commit holds half of a model.
    """
    api = HfApi()
    try:
        url = api.create_repo(repo, private=private, exist_ok=True)
    except Exception as error:
        _fail(repo, error)
    head = head_of_own(repo)
    try:
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            commit_message="Model, tokenizer, card and samples of the study",
            delete_patterns="*",  # of files that are not in `folder`
            parent_commit=head,  # the Hub refuses when somebody has written there since
        )
    except Exception as error:
        _fail(repo, error)
    return {"url": str(url), "commit": commit.oid}


def read_back(repo: str, commit: str, folder: Path, text: str, expected: float) -> float:
    """Bits per byte that a fresh download of `commit` needs for `text`.

    Raises Failure unless it holds the very files of `folder`, and scores what the report says.
    """
    with tempfile.TemporaryDirectory() as cache:
        try:
            found = Path(snapshot_download(repo, revision=commit, cache_dir=cache))
        except Exception as error:
            _fail(repo, error)
        for path in folder.iterdir():
            if not (found / path.name).exists() or (
                (found / path.name).read_bytes() != path.read_bytes()
            ):
                raise Failure(f"{repo} does not hold the {path.name} that was sent: push again")
        model, tokenizer = models.load(found)
        bits = score(model, tokenizer, text).metrics.bits_per_byte
    if abs(bits - expected) > TOLERANCE:
        raise Failure(
            f"{repo} needs {bits:.4f} bits per byte where the report says {expected:.4f}: "
            "run python -m compare.report, then push again"
        )
    return bits


def _fail(repo: str, error: Exception) -> NoReturn:
    """The client, its Xet library and its HTTP library each raise kinds of their own."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status == 401:
        raise Failure("the Hub refuses this token: run hf auth login, then this again") from None
    if status == 403:
        raise Failure(
            f"no right to write to {repo}: log in as someone who has, or give another --namespace"
        ) from None
    if status == 412:
        raise Failure(
            f"{repo} has changed during the upload: the same command looks at it again"
        ) from None
    reason = f"answered {status}" if status else f"could not be used ({error})"
    raise Failure(f"{repo}: the Hub {reason}; the same command completes the work") from None
