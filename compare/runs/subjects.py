"""What a user names: a run, a model directory, or a repository on the Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from compare import reachability
from compare.errors import Failure, Misuse
from compare.runs import find, latest
from compare.runs.find import CompleteRun

# What is downloaded: nothing in pickle format, and no checkpoints or logs in subdirectories.
FILES = ("*.json", "*.jsonl", "*.txt", "*.model", "*.md", "*.py", "*.safetensors")
SUBDIRECTORIES = ("*/*",)
NAME = r"[\w.-]+"
REPOSITORY = re.compile(
    rf"(?P<repo>{NAME}/{NAME})(?:(?:@|/tree/|/commit/)(?P<revision>[\w./-]+))?/?", re.ASCII
)


@dataclass(frozen=True)
class Subject:
    """A model whose files are on this machine."""

    what: str
    kind: str
    folder: Path
    """The model directory, which may also contain a card."""
    run: CompleteRun | None = None
    on_hub: str | None = None
    """Address of the repository, if it was downloaded from the Hub."""
    file_names: frozenset[str] = frozenset()
    """Names of all files of the repository, including those that were not downloaded."""

    @property
    def card(self) -> Path:
        """The model card, which may be missing."""
        return self.folder / "README.md"


def find_subject(what: str) -> Subject:
    """Return the model that `what` names: a directory, or a repository on the Hub.

    A repository is named as OWNER/NAME, as OWNER/NAME@REVISION, or by its address.  It is
    downloaded into the cache of the Hub's client.

    Raises Misuse if there is nothing of that name, or if it is a run that is not complete, and
    Failure if the Hub is unreachable or refuses access.
    """
    path = Path(what)
    if path.exists():
        return _find_directory(what, path)
    name = what
    for endpoint in (constants.ENDPOINT, without_login(constants.ENDPOINT)):
        name = name.removeprefix(f"{endpoint}/")
    match = REPOSITORY.fullmatch(name)
    if not match:
        raise Misuse(
            f"{what} is neither a directory here nor the name of a repository on the Hub: give a "
            "run, a model directory, or OWNER/NAME"
        )
    return _download(what, match["repo"], match["revision"])


def _find_directory(what: str, path: Path) -> Subject:
    """Return the run or the model in directory `path`, or the run in the file `latest`."""
    if path.is_file() and path.name != latest.NAME:
        raise Misuse(f"{what} is a file: give the directory of a run or a model")
    if path.is_dir() and ((path / "config.json").is_file() or any(path.glob("*.safetensors"))):
        return Subject(what, "model directory", path)
    if path.is_file() or (path / "run.json").is_file():
        run = find.load(path)
        return Subject(what, "run", run.model, run)
    raise Misuse(
        f"{what} is neither a run (it has no run.json) nor a model (it has no config.json and no "
        "*.safetensors): give the directory that save_pretrained wrote"
    )


def _download(what: str, repo: str, revision: str | None) -> Subject:
    """Download `repo`; if the Hub cannot be reached, use the copy in its client's cache."""
    reachable = reachability.hub_reachable()
    names: frozenset[str] = frozenset()
    try:
        if reachable:  # or else a repository that is gone would be taken from the cache silently
            info = HfApi().model_info(repo, revision=revision)
            names = frozenset(file.rfilename for file in info.siblings or [])
        folder = Path(
            snapshot_download(
                repo,
                revision=revision,
                allow_patterns=list(FILES),
                ignore_patterns=list(SUBDIRECTORIES),
            )
        )
    except LocalEntryNotFoundError:
        raise Failure(
            f"{what} is not a directory here, and the Hub cannot be reached: try again later"
        ) from None
    except GatedRepoError:
        raise Failure(
            f"{repo} is gated: ask its owner for access, then run hf auth login"
        ) from None
    except RevisionNotFoundError:
        raise Misuse(f"{repo} has no revision {revision}") from None
    except RepositoryNotFoundError:
        raise Misuse(
            f"{what} is neither a directory here nor a repository on the Hub that you may read: "
            "check the name; if it is private, run hf auth login"
        ) from None
    except Exception as error:  # the client raises many types
        if isinstance(error, HfHubHTTPError) and error.response.status_code == 401:
            raise Failure("the Hub rejects this token: run hf auth login, then try again") from None
        raise Failure(f"{repo} cannot be downloaded ({error}): try again later") from None
    kind = f"Hub repository at commit {folder.name[:9]}"
    if not reachable:
        kind += ", from the cache because the Hub cannot be reached"
    address = f"{without_login(constants.ENDPOINT)}/{repo}"
    return Subject(what, kind, folder, on_hub=address, file_names=names)


def without_login(url: str) -> str:
    """Return `url` without the user name and the password that HF_ENDPOINT may contain."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
