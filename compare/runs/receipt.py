"""The receipt of what was pushed to the Hub from here, `runs/publish/receipt.json`.

It says which run's model was published where, after the upload has been downloaded and verified.
It also has the latest commit of each repository, because a push replaces without being asked only
what was pushed from here: noted at once, and for Spaces, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from compare.errors import Misuse
from compare.files import write_atomically
from compare.kinds import Track
from compare.runs.find import CompleteRun
from compare.runs.record import describe_invalid
from compare.runs.writer import ROOT
from compare.strict_model import StrictModel

RepoType = Literal["model", "space"]
RECEIPT = ROOT / "publish" / "receipt.json"
# Where earlier versions kept the commits.  Their receipt had the models alone.
OLD_COMMITS = RECEIPT.with_name("pushed.json")

Content = TypeVar("Content")


class Publication(StrictModel):
    """A published model, which has been downloaded and verified."""

    of: tuple[str, str]
    """Directory name and start time of the run."""
    repo: str
    url: str
    commit: str
    slice_bits_per_byte: float
    """Bits per byte of the downloaded model on the beginning of the test split."""
    private: bool = False
    """Whether only those who were given access can open it."""


class PushedRepository(StrictModel):
    """A repository to which something was pushed from here, or may have been."""

    commit: str | None = None
    """The latest commit that was pushed from here, as far as is known."""
    tokens: list[str] = Field(default_factory=list)
    """Of later pushes whose outcome is unknown.  The descriptions of their commits contain them."""


class Receipt(StrictModel):
    """The content of the receipt."""

    models: dict[Track, Publication] = Field(default_factory=dict)
    repositories: dict[str, PushedRepository] = Field(default_factory=dict)
    """Keyed by type and name, such as "model owner/name"."""


def publication_of(run: CompleteRun) -> Publication | None:
    """Return the publication of the run's model, or None if it has not been published."""
    publication = _read().models.get(run.record.track)
    return publication if publication and publication.of == _identify(run) else None


def published_url(run: CompleteRun) -> str | None:
    """Return the URL of the run's model on the Hub, or None if it has not been published."""
    publication = publication_of(run)
    return publication.url if publication else None


def pushed_repository(repo: str, repo_type: RepoType) -> PushedRepository:
    """Return what is known of the pushes from here to a repository.

    Raises Misuse if the receipt is damaged, as all functions here do.
    """
    return _read().repositories.get(_key(repo, repo_type), PushedRepository())


def note_push_begun(repo: str, repo_type: RepoType, token: str) -> None:
    """Record that a commit with `token` in its description is about to be pushed."""
    receipt = _read()
    receipt.repositories.setdefault(_key(repo, repo_type), PushedRepository()).tokens.append(token)
    _write(receipt)


def note_push(repo: str, repo_type: RepoType, commit: str) -> None:
    """Record the commit that a push from here has made."""
    receipt = _read()
    receipt.repositories[_key(repo, repo_type)] = PushedRepository(commit=commit)
    _write(receipt)


def note_verified(
    run: CompleteRun,
    repo: str,
    *,
    url: str,
    commit: str,
    slice_bits_per_byte: float,
    private: bool,
) -> None:
    """Record that the run's model was published and verified."""
    receipt = _read()
    receipt.models[run.record.track] = Publication(
        of=_identify(run),
        repo=repo,
        url=url,
        commit=commit,
        slice_bits_per_byte=slice_bits_per_byte,
        private=private,
    )
    _write(receipt)


def _identify(run: CompleteRun) -> tuple[str, str]:
    """Return the directory name and the start time of the run."""
    return run.path.name, run.record.started


def _key(repo: str, repo_type: RepoType) -> str:
    """Return the key of a repository in the receipt."""
    return f"{repo_type} {repo}"


def _write(receipt: Receipt) -> None:
    write_atomically(RECEIPT, receipt.model_dump_json(indent=2).encode() + b"\n")
    OLD_COMMITS.unlink(missing_ok=True)  # the receipt has its content


def _read() -> Receipt:
    """Return the receipt, which is empty if there is no file.

    Raises Misuse if it is damaged.
    """
    if "models" in _parse(RECEIPT, TypeAdapter(dict[str, Any])):
        return _parse(RECEIPT, TypeAdapter(Receipt))
    # The form of earlier versions, or no file yet.
    models = _parse(RECEIPT, TypeAdapter(dict[Track, Publication]))
    commits = {_key(each.repo, "model"): each.commit for each in models.values()}
    commits |= _parse(OLD_COMMITS, TypeAdapter(dict[str, str]))
    return Receipt(
        models=models,
        repositories={key: PushedRepository(commit=commit) for key, commit in commits.items()},
    )


def _parse(path: Path, kind: TypeAdapter[Content]) -> Content:
    """Return the content of a JSON file; a missing one counts as {}."""
    try:
        return kind.validate_json(path.read_bytes() if path.exists() else b"{}")
    except ValidationError as error:
        raise Misuse(f"{path} is damaged ({describe_invalid(error)}): move it away") from None
