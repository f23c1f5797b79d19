"""Write `reports/` from the results: every number on the pages is also in `report.json`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from compare.files import write_atomically
from compare.kinds import RowKind
from compare.rendering import render
from compare.report import drawing, figures, storage, story
from compare.report.bases import stored_in_4_bits
from compare.report.results import Results
from compare.ruler.scoring import MAX_CONTEXT_LENGTH
from compare.teachers import own_teacher_seeds

REPORTS = storage.PATH.parent
TEMPLATES = Path(__file__).parent / "templates"
PAIR_COLUMNS = ["a", "b", "delta_bits_per_byte", "ci95_low", "ci95_high"]
# Figures and tables that only some studies have.
OPTIONAL = ("worth", "other_plays", "contamination")
PAGES = ("report.md", "report.html", "samples.md", "handin.de.md")


def write(study_results: Results) -> None:
    """Write report.json, figures, tables and pages; each file is written atomically."""
    # First of all, so that no score of the sealed text can be read without this note.
    storage.note_opening(study_results)
    images = draw(study_results)
    for name, image in images.items():
        write_atomically(REPORTS / "figures" / f"{name}.svg", image)
    frames = tables(study_results)
    for name, frame in frames.items():
        data = frame.to_csv(index=False).encode()
        write_atomically(REPORTS / "tables" / f"{name}.csv", data)
    for name in OPTIONAL:  # what an earlier report had and this one has not
        if name not in images:
            (REPORTS / "figures" / f"{name}.svg").unlink(missing_ok=True)
        if name not in frames:
            (REPORTS / "tables" / f"{name}.csv").unlink(missing_ok=True)
    for page in PAGES:
        write_atomically(REPORTS / page, render_page(page, study_results, images).encode())
    storage.write(study_results)


def render_page(page: str, study_results: Results, images: dict[str, bytes]) -> str:
    """Render one of PAGES.  `images` are the figures by name, which report.html embeds."""
    embedded = {name: image.decode() for name, image in images.items()}
    told = story.tell(study_results)
    return render(
        TEMPLATES / f"{page}.jinja",
        results=study_results,
        images=embedded,
        story=told,
        max_context_length=MAX_CONTEXT_LENGTH,
        own_teacher_seeds=own_teacher_seeds,
        stored_in_4_bits=stored_in_4_bits,
    )


def draw(study_results: Results) -> dict[str, bytes]:
    """Draw the figures, and return them as SVG by name."""
    styles = drawing.assign_styles(study_results.rows)
    characters = study_results.corpus.splits["train"].chars
    images = {
        "rows": figures.row_plot(study_results.rows, styles),
        "claims": figures.claim_plot(study_results.differences),
        "pairs": figures.pair_plot(study_results.pairs),
        "loss_curves": figures.loss_curves(study_results.curves, styles, characters),
        "word_classes": figures.word_class_plot(
            study_results.word_classes, _names_to_compare(study_results), styles
        ),
        "contexts": figures.context_plot(study_results.closer_looks, styles),
        "compute": figures.compute_plot(study_results.rows, styles),
    }
    if study_results.other_plays:
        images["other_plays"] = figures.other_plays_plot(study_results.other_plays, styles)
    if study_results.worth:
        images["worth"] = figures.worth_plot(study_results.worth, styles)
    return images


def _names_to_compare(study_results: Results) -> list[str]:
    """Return the rows of the study's answer and of the n-gram model."""
    headline, n_gram = study_results.headline, RowKind.N_GRAM
    return [headline.a, headline.b, *(r.name for r in study_results.rows if r.kind is n_gram)]


def tables(study_results: Results) -> dict[str, pd.DataFrame]:
    """Return the tables of the report by name."""
    data = study_results.model_dump(mode="json")
    rows = _frame(data["rows"]).drop(columns="by_play")
    parts = [
        {"name": row.name, "part": name, **part.model_dump(mode="json")}
        for row in study_results.rows
        for name, part in row.by_play.items()
    ]
    frames = {
        "results": rows.convert_dtypes(),  # keeps counts integers
        "by_play": _frame(parts),
        "differences": _frame(data["differences"])[["question", *PAIR_COLUMNS]],
        "pairs": _frame(data["pairs"])[PAIR_COLUMNS],
        "word_classes": pd.json_normalize(data["word_classes"]),
        "memorization": pd.DataFrame(data["memorization"]),
        "epochs": pd.json_normalize(
            data["runs"], "epochs", ["name", "run"], record_prefix="epoch."
        ),
    }
    if study_results.contamination:
        frames["contamination"] = _frame(
            {
                "name": model.name,
                "prompt_tokens": model.prompt_tokens,
                "continuation_characters": model.continuation_characters,
                "text": text,
                **rate.model_dump(mode="json"),
            }
            for model in study_results.contamination.models
            for text, rate in model.rates.items()
        )
    if study_results.other_plays:
        frames["other_plays"] = (
            pd.DataFrame({row.name: row.by_play for row in study_results.other_plays.rows})
            .rename_axis("play")
            .reset_index()
        )
    if study_results.worth:
        frames["worth"] = _frame(
            {
                "name": curve.name_of(point),
                "kind": curve.kind_of(point),
                **point.model_dump(mode="json", exclude={"name"}),
            }
            for curve in study_results.worth.curves
            for point in curve.points
        )
    return frames


def _frame(records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return a table with one number in each cell: intervals become columns of their ends."""
    frame = pd.json_normalize(list(records), max_level=0)
    if "sealed" in frame:
        sealed = frame.pop("sealed").map(lambda each: each or {})
        frame["sealed_bits_per_byte"] = sealed.map(lambda each: each.get("bits_per_byte"))
        ends = sealed.map(lambda each: each.get("ci95") or (None, None))
        frame["sealed_ci95_low"], frame["sealed_ci95_high"] = ends.str[0], ends.str[1]
    if "ci95" in frame:
        ends = frame.pop("ci95").map(lambda each: each or (None, None))
        frame["ci95_low"], frame["ci95_high"] = ends.str[0], ends.str[1]
    return frame
