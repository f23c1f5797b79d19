"""The receipt of what was published, `runs/publish/receipt.json`.

It is written after a pushed model has been downloaded and verified.
"""

from __future__ import annotations

from pydantic import BaseModel, TypeAdapter, ValidationError

from compare.errors import Misuse
from compare.files import write_atomically
from compare.kinds import Track
from compare.runs.find import CompleteRun
from compare.runs.writer import ROOT

RECEIPT = ROOT / "publish" / "receipt.json"


class Publication(BaseModel):
    """One published model."""

    of: tuple[str, str]
    """Directory name and start time of the run."""
    repo: str
    url: str
    commit: str
    slice_bits_per_byte: float
    """Bits per byte of the downloaded model on the beginning of the test split."""


Receipt = TypeAdapter(dict[Track, Publication])


def published_url(run: CompleteRun) -> str | None:
    """Return the URL of the run's model on the Hub, or None if it has not been published."""
    publication = _read().get(run.record.track)
    return publication.url if publication and publication.of == _identify(run) else None


def note(run: CompleteRun, repo: str, url: str, commit: str, slice_bits_per_byte: float) -> None:
    """Record in the receipt that the run's model was published."""
    publication = Publication(
        of=_identify(run),
        repo=repo,
        url=url,
        commit=commit,
        slice_bits_per_byte=slice_bits_per_byte,
    )
    receipt = _read() | {run.record.track: publication}
    write_atomically(RECEIPT, Receipt.dump_json(receipt, indent=2) + b"\n")


def _identify(run: CompleteRun) -> tuple[str, str]:
    """Return the directory name and the start time of the run."""
    return run.path.name, run.record.started


def _read() -> dict[Track, Publication]:
    """Return the publication of each track.  Raises Misuse if the receipt is damaged."""
    if not RECEIPT.exists():
        return {}
    try:
        return Receipt.validate_json(RECEIPT.read_bytes())
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise Misuse(f"{RECEIPT} is damaged ({reason}): move it away") from None
