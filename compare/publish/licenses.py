"""The license that a model's card may state, if it is known.

Tiny Shakespeare is in the public domain.  A scratch model that is trained on it is therefore under
this project's license, and a fine-tuned model under the license of its base.  If a model is trained
on another text, its license is not known.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from compare.corpus.sources import TINY_SHAKESPEARE_SHA256
from compare.kinds import BaseKind
from compare.publish import card
from compare.runs import models
from compare.runs.record import RunRecord

MIT = {"license": "mit"}


def find_license(record: RunRecord) -> tuple[dict[str, str], str]:
    """Return the license fields for the front matter of a run's card.

    If the license is not known, the fields are empty and the second value is the reason; otherwise
    it is "".
    """
    if record.corpus.sha256 != TINY_SHAKESPEARE_SHA256:
        return {}, f"the license of {record.corpus.name} is not known"
    base = record.base
    if base is None or base.kind in (BaseKind.GPT2, BaseKind.STAND_IN):
        return MIT, ""  # not read from GPT-2's card, which may be missing from a cache
    fields = _read_license(Path(base.folder), base.weights_sha256)
    return fields, "" if fields else f"the base {base.resolved} states no license that can be read"


def _read_license(folder: Path, weights_sha256: str) -> dict[str, str]:
    """Return the license fields of the base's card, or else of its configuration.

    Return {} if neither states a license, or if the base is no longer in `folder`.
    """
    if not folder.is_dir() or models.weights_sha256(folder) != weights_sha256:
        return {}
    for source in (card.read_front_matter(folder / card.CARD_FILE), models.read_config(folder)):
        license = source.get("license")
        if isinstance(license, str) and re.fullmatch(card.LICENSE, license):
            return {"license": license} | _read_name_and_link(source)
    return {}


def _read_name_and_link(source: dict[str, Any]) -> dict[str, str]:
    """Return name and URL of a license that is not in the Hub's list (`license: other`)."""
    name, link = source.get("license_name"), source.get("license_link")
    fields = {"license_name": name} if isinstance(name, str) else {}
    # Other links are relative to the base's repository, and would not work in ours.
    if isinstance(link, str) and link.startswith("https://"):
        fields["license_link"] = link
    return fields
