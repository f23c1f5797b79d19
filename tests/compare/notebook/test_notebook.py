"""The notebook is up to date, never replaces a user's own, and runs from beginning to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compare.errors import Misuse
from compare.notebook import cells
from compare.notebook.__main__ import TEXT, NotebookOptions, main
from tests.conftest import Place

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "reports" / "study.ipynb"


def test_the_committed_notebook_is_what_the_command_writes(tmp_path: Path) -> None:
    committed = COMMITTED.read_text("utf-8")
    if cells.has_outputs(committed):
        pytest.skip("reports/study.ipynb has been run")
    main(NotebookOptions(tmp_path / "study.ipynb"))
    assert (tmp_path / "study.ipynb").read_text("utf-8") == committed


def test_markdown_becomes_cells_that_hold_all_of_it() -> None:
    markdown = "# Title\n\ntext\n\n```python parameters\nN = 1\n```\n\n```python\nN\n```\n\nend\n"
    notebook = json.loads(cells.to_json(markdown))
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]] == [
        ("markdown", "# Title\n\ntext"),
        ("code", "N = 1"),
        ("code", "N"),
        ("markdown", "end"),
    ]
    assert notebook["cells"][1]["metadata"]["tags"] == ["parameters"]
    assert len({cell["id"] for cell in notebook["cells"]}) == 4


@pytest.mark.parametrize(
    "existing",
    [
        '{"cells": [{"cell_type": "code", "outputs": [{"output_type": "stream"}]}]}',
        '{"name": "no notebook"}',
        "My essay.",
    ],
)
def test_what_a_user_has_made_is_not_replaced(tmp_path: Path, existing: str) -> None:
    path = tmp_path / "mine.ipynb"
    path.write_text(existing, "utf-8")
    with pytest.raises(Misuse, match=r"mine\.ipynb"):
        main(NotebookOptions(path))
    assert path.read_text("utf-8") == existing


def executed(place: Place, **parameters: object) -> Any:
    """Run the notebook inside a copy of the project in `place`, and return it with its outputs.

    Like papermill, replace the values of the cell tagged `parameters` in a cell after it.
    """
    nbformat = pytest.importorskip("nbformat", reason="make test-all installs it")
    nbclient = pytest.importorskip("nbclient", reason="make test-all installs it")
    for name in ("compare", "scratch_lm", "gpt2_finetune", "LICENSE"):
        (place.path / name).symlink_to(ROOT / name)
    start = place.path / "reports"  # where Jupyter starts if the notebook is opened there
    start.mkdir()
    notebook = nbformat.reads(cells.to_json(TEXT.read_text("utf-8")), as_version=4)
    nbformat.validate(notebook)
    [position] = [
        number
        for number, cell in enumerate(notebook.cells)
        if "parameters" in cell.metadata.get("tags", [])
    ]
    values = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    notebook.cells.insert(position + 1, nbformat.v4.new_code_cell(values))
    client = nbclient.NotebookClient(
        notebook,
        timeout=1800,  # seconds for a cell
        kernel_name="python3",
        resources={"metadata": {"path": str(start)}},
    )
    client.execute(env=place.environment)
    return notebook


@pytest.mark.slow
def test_it_runs_from_beginning_to_end(place: Place, mini_text: Path, tiny_base: Path) -> None:
    notebook = executed(
        place,
        CORPUS=str(mini_text),
        EPOCHS=3,
        BASE=str(tiny_base),
        FINETUNE_EPOCHS=3,
        PREFIX="mini",
        MINIATURE=True,
    )
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = "".join(output.get("text", "") for output in outputs)
    assert shown.count("W&B: offline; to upload") == 3  # course, tuned and GPT-2
    assert "checked as: scratch" in shown and "checked as: fine-tuned" in shown
    assert any("<iframe" in output.get("data", {}).get("text/html", "") for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3  # of losses
    report = json.loads((place.path / "reports" / "report.json").read_text("utf-8"))
    assert {"course", "tuned", "fine-tuned"} <= {row["kind"] for row in report["rows"]}
    assert (place.path / "reports" / "handin.de.md").exists()
    for name in ("mini-scratch", "mini-fine-tuned"):
        staged = place.path / "runs" / "publish" / name
        assert "tags:" in (staged / "README.md").read_text("utf-8")
        assert (staged / "model.safetensors").exists()
    assert "# mini-scratch" in shown  # its card


@pytest.mark.slow
def test_it_stops_where_a_command_fails(place: Place, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="the command above failed"):
        executed(place, CORPUS=str(tmp_path / "missing.txt"), MINIATURE=True)
    assert not (place.path / "runs").exists()
