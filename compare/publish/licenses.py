"""Which license a model's card may state: the one that is known, or none.

A model on Tiny Shakespeare is made from public-domain text by this project's code, so a scratch
model is under the project's license, and a fine-tuned one under its base's.  The terms of any other
text are not known here.
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


def known(record: RunRecord) -> tuple[dict[str, str], str]:
    """The license fields of a card's front matter, and the reason where there are none."""
    if record.corpus.sha256 != TINY_SHAKESPEARE_SHA256:
        return {}, f"the terms of {record.corpus.name} are not known here"
    base = record.base
    if base is None or base.kind in (BaseKind.GPT2, BaseKind.STAND_IN):
        return MIT, ""  # GPT-2's, also where a cache lacks its card
    fields = _stated_in(Path(base.folder), base.weights_sha256)
    return fields, "" if fields else f"the base {base.resolved} states none that can be read"


def _stated_in(folder: Path, weights_sha256: str) -> dict[str, str]:
    """What the base's card, or else its configuration, says, if the base is still there."""
    if not folder.is_dir() or models.weights_sha256(folder) != weights_sha256:
        return {}
    for stated in (card.front_matter(folder / card.NAME), models.read_config(folder)):
        license = stated.get("license")
        if isinstance(license, str) and re.fullmatch(card.LICENSE, license):
            return {"license": license} | _details(stated)
    return {}


def _details(stated: dict[str, Any]) -> dict[str, str]:
    """Name and address of a license that is not in the Hub's list (`license: other`)."""
    name, link = stated.get("license_name"), stated.get("license_link")
    fields = {"license_name": name} if isinstance(name, str) else {}
    if isinstance(link, str) and link.startswith("https://"):  # not a file of the base's repository
        fields["license_link"] = link
    return fields
