"""The license that a model's card may state, if it is known, and the license files beside it.

Tiny Shakespeare is in the public domain.  A scratch model that is trained on it is therefore under
this project's license, and a fine-tuned model under the license of its base.  If a model is trained
on another text, its license is not known.

Whatever the text, a scratch model has this project's code beside its weights, and a fine-tuned
model is a version of its base: both need the license files of what they contain.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import compare
from compare.corpus.sources import TINY_SHAKESPEARE_SHA256
from compare.kinds import BaseKind
from compare.publish import card
from compare.runs import models
from compare.runs.record import Base, RunRecord

MIT = {"license": "mit"}
PROJECT_LICENSE = Path(compare.__file__).parents[1] / "LICENSE"
LICENSE_FILE = re.compile(r"(LICENSE|NOTICE)[\w-]*(\.txt|\.md)?")
TEXTS = {
    "mit": "https://opensource.org/license/mit",
    "apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
}


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
    fields = _read_license(base)
    return fields, "" if fields else f"the base {base.resolved} states no license that can be read"


def license_files(record: RunRecord) -> list[Path]:
    """Return the license files to copy beside a run's model.

    These are this project's for its code and its stand-in, and those of other bases if they have
    any.
    """
    base = record.base
    if base is None or base.kind is BaseKind.STAND_IN:
        return [PROJECT_LICENSE]
    if not _is_in_its_folder(base):
        return []
    files = sorted(Path(base.folder).iterdir())
    return [file for file in files if LICENSE_FILE.fullmatch(file.name) and file.is_file()]


def link_to(terms: dict[str, str]) -> str | None:
    """Return the address of the license in a card's `terms`, or None if it is not known."""
    link = terms.get("license_link") or TEXTS.get(terms.get("license", ""))
    # Other characters could break the card's Markdown.
    return link if link and re.fullmatch(r"https://[^\s<>()\[\]]+", link) else None


def _is_in_its_folder(base: Base) -> bool:
    """Return whether the base is still in the directory that it was loaded from."""
    folder = Path(base.folder)
    return folder.is_dir() and models.weights_sha256(folder) == base.weights_sha256


def _read_license(base: Base) -> dict[str, str]:
    """Return the license fields of the base's card, or else of its configuration.

    Return {} if neither states a license, or if the base is no longer in its directory.
    """
    if not _is_in_its_folder(base):
        return {}
    folder = Path(base.folder)
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
