"""What was published: `runs/publish/receipt.json`, written when a pushed model was read back."""

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
    """The run's directory name, and when it was started."""
    repo: str
    url: str
    commit: str
    slice_bits_per_byte: float
    """What the downloaded model needed for the beginning of the test split."""


Receipt = TypeAdapter(dict[Track, Publication])


def published(run: CompleteRun) -> str | None:
    """The address under which this very run's model is on the Hub; None before it is."""
    publication = _read().get(run.record.track)
    return publication.url if publication and publication.of == _identify(run) else None


def note(run: CompleteRun, repo: str, url: str, commit: str, slice_bits_per_byte: float) -> None:
    """Write down that this run's model was published."""
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
    return run.path.name, run.record.started


def _read() -> dict[Track, Publication]:
    if not RECEIPT.exists():
        return {}
    try:
        return Receipt.validate_json(RECEIPT.read_bytes())
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise Misuse(f"{RECEIPT} is damaged ({reason}): move it away") from None
