"""Score the newest runs of both tracks on the test split and write `reports/`.

    python -m compare.report        # reports/report.md, report.json, figures/, tables/

Every number of the Markdown is in the JSON.  This is the only reader of the test split.
"""

from __future__ import annotations

from dataclasses import dataclass

from compare import cli


@dataclass(frozen=True)
class ReportOptions:
    """Score the newest runs of both tracks on the test split and write reports/."""


if __name__ == "__main__":
    options = cli.parse(ReportOptions)

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from compare import corpus as corpora
from compare import figures, finished, kinds, models, sampling, statistics
from compare.corpus import Corpus, write_atomically
from compare.differences import differences
from compare.floors import floors
from compare.measure import SETTINGS, Measured, measure
from compare.recital import recital
from compare.render import render
from compare.requirements import requirements
from compare.scoring import Score

REPORTS = Path("reports")
FIGURES = REPORTS / "figures"
SHOWN = 300  # characters of each sample


def report(options: ReportOptions) -> None:
    scratch, gpt2 = finished.study()
    rows = models.rows(scratch, gpt2)
    corpus = corpus_of(gpt2[0][0])
    table, scores = floors(corpus)
    measured = {row.name: measure(row, corpus) for row in tqdm(rows, "models", leave=False)}
    table += [each.entry for each in measured.values()]
    scores = {name: [score] for name, score in scores.items()}
    scores |= {name: each.scores for name, each in measured.items()}
    draws = statistics.bootstrap(scores)
    for entry in table:
        known = entry["name"] in draws
        entry["ci95"] = statistics.interval(draws[entry["name"]]) if known else None
    means = {name: statistics.mean(each) for name, each in scores.items()}
    by_kind = kinds.by_kind(means, corpus.test, corpus.train)
    table.sort(key=lambda entry: entry["bits_per_byte"])
    result = {
        "written": time.strftime("%Y-%m-%d", time.gmtime()),
        "corpus": corpus.record(),
        "rows": table,
        "differences": differences(table, draws, by_kind),
        "kinds": by_kind,
        "closer": [
            {"name": name, "stride": each.strides, "context": each.contexts}
            for name, each in measured.items()
        ],
        "recital": _recital(measured, corpus),
        "runs": [
            _run(run, score, row.name)
            for row in rows
            if row.trained
            for run, score in zip(row.runs, measured[row.name].scores, strict=True)
        ],
        "samples": [
            {"prompt": prompt, "texts": {n: each.texts[at][:SHOWN] for n, each in measured.items()}}
            for at, prompt in enumerate(sampling.prompts(corpus))
        ],
        "sample_settings": vars(SETTINGS),
        "shown": SHOWN,
        "common": kinds.COMMON,
        "requirements": requirements(scratch[0][0], gpt2[0][0]),
    }
    trained = [row for row in rows if row.trained]
    looks = figures.looks(dict.fromkeys([*measured, *means]))
    figures.loss_curves(
        FIGURES / "loss_curves.svg",
        {row.name: _curve(row.runs[0]) for row in trained},
        looks,
        len(corpus.train),
    )
    figures.row_plot(FIGURES / "rows.svg", result["rows"])
    figures.kind_plot(FIGURES / "kinds.svg", result["kinds"], looks)
    figures.context_plot(FIGURES / "contexts.svg", result["closer"], looks)
    figures.compute_plot(FIGURES / "compute.svg", result["rows"], looks)
    tables = {
        "results": pd.DataFrame(result["rows"]),
        "differences": pd.DataFrame(result["differences"]),
        "epochs": pd.json_normalize(
            result["runs"], "epochs", ["name", "run"], record_prefix="epoch."
        ),
    }
    for name, frame in tables.items():
        data = frame.to_csv(index=False).encode()
        write_atomically(REPORTS / "tables" / f"{name}.csv", data)
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    write_atomically(REPORTS / "report.json", text.encode())
    write_atomically(REPORTS / "report.md", render("report.md.jinja", **result).encode())
    print(f"written: {REPORTS / 'report.md'}, {REPORTS / 'report.json'}")


def corpus_of(run: dict[str, Any]) -> Corpus:
    """The text that a run was trained on.  Raises Misuse when it is not that text any more."""
    corpus = corpora.load(run["config"]["corpus"])
    if corpus.sha256 != run["corpus"]["sha256"]:
        raise cli.Misuse(
            f"{run['config']['corpus']} has changed since {run['path']} was trained on it "
            f"(sha256 {corpus.sha256[:8]}..., then {run['corpus']['sha256'][:8]}...): train again"
        )
    return corpus


def _recital(measured: Mapping[str, Measured], corpus: Corpus) -> list[dict[str, Any]]:
    """Of each model's samples, and of as much real text of the test split, in as many pieces."""
    pieces, length = len(sampling.prompts(corpus)), SETTINGS.characters
    starts = np.linspace(0, max(0, len(corpus.test) - length), pieces, dtype=int)
    texts = {"real text of the test split": [corpus.test[at : at + length] for at in starts]}
    texts |= {name: each.texts for name, each in measured.items()}
    return [{"name": name, **recital(each, corpus.train)} for name, each in texts.items()]


def _run(run: dict[str, Any], test: Score, name: str) -> dict[str, Any]:
    """The record of a run, with what it alone needs for the test split."""
    kept = ("track", "preset", "seed", "command", "config", "parameters", "device", "versions",
            "git_commit", "started", "epochs", "best_epoch", "wall_seconds",
            "characters_per_second", "peak_memory_mb", "tracking")  # fmt: skip
    record = {key: run[key] for key in kept}
    base = {key: value for key, value in run.get("base", {}).items() if key != "folder"}
    record |= {"base": base, "zero_shot": run["zero_shot"]} if base else {}
    interval = statistics.interval(statistics.bootstrap({name: [test]})[name])
    scores = test.summary() | {"ci95": interval}
    return {"name": name, "run": run["path"].name, **record, "test": scores}


def _curve(run: dict[str, Any]) -> list[dict[str, Any]]:
    """History in bits per byte; training nats per token by the validation text's ratio."""
    scores = run["epochs"][0]["eval"]
    per_nat = scores["bits_per_byte"] / scores["loss"]
    return [
        {
            "characters_seen": line["characters_seen"],
            **({"train": line["train/loss"] * per_nat} if "train/loss" in line else {}),
            **({"validation": line["eval/bits_per_byte"]} if "eval/loss" in line else {}),
        }
        for line in run["history"]
    ]


if __name__ == "__main__":
    cli.run(report, options)
