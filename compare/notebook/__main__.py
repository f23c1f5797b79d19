"""Write the notebook that walks through the study, from its text in `compare/notebook/study.md`.

python -m compare.notebook    # reports/study.ipynb
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compare import cli
from compare.errors import Misuse
from compare.files import write_atomically
from compare.notebook import cells

TEXT = Path(__file__).parent / "study.md"


@dataclass(frozen=True)
class NotebookOptions:
    """Write the notebook that walks through the study, for Jupyter and Colab."""

    output: Path = Path("reports/study.ipynb")
    """File to write; an existing one is replaced only if it is a notebook without outputs."""


def main(options: NotebookOptions) -> None:
    """Write the notebook to `options.output`.

    Raises Misuse rather than replace a notebook that someone has run, or a file of another kind.
    """
    if options.output.exists():
        _require_replaceable(options.output)
    write_atomically(options.output, cells.to_json(TEXT.read_text("utf-8")).encode())
    print(f"written: {options.output}; open it in Jupyter or Colab")


def _require_replaceable(path: Path) -> None:
    try:
        was_run = cells.has_outputs(path.read_text("utf-8"))
    except ValueError:  # neither UTF-8 nor JSON, or not a notebook
        raise Misuse(f"{path} is not a notebook: choose another --output") from None
    if was_run:
        raise Misuse(f"{path} has outputs: move it elsewhere first, or choose another --output")


if __name__ == "__main__":
    cli.run(main, cli.parse(NotebookOptions))
