"""Turn Markdown into a Jupyter notebook: blocks of Python become code cells, the rest is text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

# What follows the language on a block's first line are tags of its cell: ```python parameters
PYTHON_BLOCK = re.compile(r"^```python *(.*?)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook, without outputs."""

    kind: Literal["markdown", "code"]
    source: str
    tags: tuple[str, ...] = ()
    """Tools find a cell by its tags; papermill inserts values after the one tagged `parameters`."""


def split(markdown: str) -> Iterator[Cell]:
    """Yield the cells of a notebook with the text and the blocks of Python in `markdown`."""
    # With its two groups, the pattern splits the text into: text, tags, code, text, tags, code, ...
    text, *parts = PYTHON_BLOCK.split(markdown)
    yield from _text_cells(text)
    for tags, code, following in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        yield Cell("code", code.strip(), tuple(tags.split()))
        yield from _text_cells(following)


def _text_cells(text: str) -> Iterator[Cell]:
    if text.strip():
        yield Cell("markdown", text.strip())


def to_json(markdown: str) -> str:
    """Return the notebook of `markdown` as JSON, in version 4.5 of the format (nbformat)."""
    notebook = {
        "cells": [_as_dict(number, cell) for number, cell in enumerate(split(markdown), 1)],
        "metadata": {
            # Colab starts such a notebook on a machine with a GPU.
            "accelerator": "GPU",
            "colab": {"provenance": []},
            "kernelspec": KERNEL,
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _as_dict(number: int, cell: Cell) -> dict[str, Any]:
    contents = {
        "cell_type": cell.kind,
        "id": f"cell-{number:02}",
        "metadata": {"tags": list(cell.tags)} if cell.tags else {},
        "source": cell.source.splitlines(keepends=True),
    }
    return contents | ({"execution_count": None, "outputs": []} if cell.kind == "code" else {})


def has_outputs(notebook: str) -> bool:
    """Return whether a cell of `notebook`, a JSON text, has outputs.

    Raises ValueError if it is not a notebook.
    """
    try:
        return any(cell.get("outputs") for cell in json.loads(notebook)["cells"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this JSON has no cells of a notebook: {error!r}") from None
