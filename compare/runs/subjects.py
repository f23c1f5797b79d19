"""What a user names: a run, a model directory, or a repository on the Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
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


class SubjectKind(StrEnum):
    """What holds a model."""

    RUN = "run"
    DIRECTORY = "directory"
    REPOSITORY = "repository"


@dataclass(frozen=True)
class Repository:
    """A repository that was downloaded from the Hub."""

    address: str
    commit: str
    file_names: frozenset[str] = frozenset()
    """Of all its files, including those that were not downloaded; empty if it comes from the
    cache."""
    is_from_cache: bool = False
    """Whether the Hub could not be reached."""


@dataclass(frozen=True)
class Subject:
    """A model whose files are on this machine."""

    what: str
    """As the user has named it."""
    folder: Path
    """The model directory, which may also contain a card."""
    run: CompleteRun | None = None
    repository: Repository | None = None

    @property
    def kind(self) -> SubjectKind:
        """What holds the model."""
        if self.run:
            return SubjectKind.RUN
        return SubjectKind.REPOSITORY if self.repository else SubjectKind.DIRECTORY

    @property
    def description(self) -> str:
        """What holds the model, for people."""
        if self.run:
            return "run"
        if not self.repository:
            return "model directory"
        described = f"Hub repository at commit {self.repository.commit[:9]}"
        if self.repository.is_from_cache:
            described += ", from the cache because the Hub cannot be reached"
        return described

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
    is_model = any((path / name).is_file() for name in ("config.json", "adapter_config.json"))
    if is_model or (path.is_dir() and any(path.glob("*.safetensors"))):
        return Subject(what, path)
    if path.is_file() or (path / "run.json").is_file():
        run = find.load(path)
        return Subject(what, run.model, run)
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
    address = f"{without_login(constants.ENDPOINT)}/{repo}"
    # The Hub's client calls the directory of a download by its commit.
    repository = Repository(address, folder.name, names, is_from_cache=not reachable)
    return Subject(what, folder, repository=repository)


def without_login(url: str) -> str:
    """Return `url` without the user name and the password that HF_ENDPOINT may contain."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
