"""Show a corpus, or write its text to a file.

python -m compare.corpus                            # name, source, sha256, split sizes
python -m compare.corpus --export input.txt         # write the text
python -m compare.corpus --corpus my-novel.txt      # any UTF-8 text file
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compare import cli
from compare.corpus import load
from compare.errors import Misuse
from compare.files import write_atomically


@dataclass(frozen=True)
class CorpusOptions:
    """Show a corpus: name, source, sha256, line endings and split sizes."""

    corpus: str = "tiny-shakespeare"
    """Text to show: tiny-shakespeare, wikitext-2, or the path of a UTF-8 text file."""
    export: Path | None = None
    """Write the whole text to this file, with the LF line endings used for training."""


def main(options: CorpusOptions) -> None:
    """Print the properties of the corpus, and write its text to `options.export` if it is set.

    Raises Misuse if `options.export` is a directory.
    """
    if options.export and options.export.is_dir():
        raise Misuse(f"--export {options.export} is a directory: give the name of a file")
    corpus = load(options.corpus)
    record = corpus.record()
    for key in ("name", "source", "sha256"):
        print(f"{key:<11}{record[key]}")
    converted = [f"{number:,} {kind}" for kind, number in corpus.line_ends.items() if number]
    if converted:
        print(f"{'line ends':<11}{' and '.join(converted)}, read as LF")
    for split, size in record["splits"].items():
        print(f"{split:<11}{size['chars']:,} characters, {size['bytes']:,} bytes")
    if options.export:
        text = corpus.train + corpus.validation + corpus.test
        write_atomically(options.export, text.encode())
        print(f"{'written':<11}{options.export}")


if __name__ == "__main__":
    cli.run(main, cli.parse(CorpusOptions))
