"""Write `reports/` from the results: every number on the pages is also in `report.json`."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pandas as pd

from compare.files import write_atomically
from compare.rendering import render
from compare.report import figures

REPORTS = Path("reports")
TEMPLATES = Path(__file__).parent / "templates"
PAGES = ("report.md", "report.html", "samples.md", "handin.de.md")


def write(result: dict[str, Any]) -> None:
    """Write report.json, figures, tables and pages; each file is written atomically."""
    images = draw(result)
    for name, image in images.items():
        write_atomically(REPORTS / "figures" / f"{name}.svg", image)
    for name, frame in tables(result).items():
        data = frame.to_csv(index=False).encode()
        write_atomically(REPORTS / "tables" / f"{name}.csv", data)
    embedded = {name: base64.b64encode(image).decode() for name, image in images.items()}
    for page in PAGES:
        text = render(TEMPLATES / f"{page}.jinja", **result, images=embedded)
        write_atomically(REPORTS / page, text.encode())
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    write_atomically(REPORTS / "report.json", text.encode())


def draw(result: dict[str, Any]) -> dict[str, bytes]:
    """Draw the figures, and return them as SVG by name."""
    models = [row["name"] for row in result["closer"]]
    looks = figures.looks(dict.fromkeys([*models, *result["kinds"][0]["bits_per_word"]]))
    characters = result["corpus"]["splits"]["train"]["chars"]
    return {
        "rows": figures.row_plot(result["rows"]),
        "loss_curves": figures.loss_curves(result["curves"], looks, characters),
        "kinds": figures.kind_plot(result["kinds"], looks),
        "contexts": figures.context_plot(result["closer"], looks),
        "compute": figures.compute_plot(result["rows"], looks),
    }


def tables(result: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """Return the tables of the report by name."""
    epochs = pd.json_normalize(result["runs"], "epochs", ["name", "run"], record_prefix="epoch.")
    return {
        "results": pd.DataFrame(result["rows"]).convert_dtypes(),  # keeps counts integers
        "differences": pd.DataFrame(result["differences"]).drop(columns=["sentence", "by_kind"]),
        "kinds": pd.json_normalize(result["kinds"]),
        "recital": pd.DataFrame(result["recital"]),
        "epochs": epochs,
    }
