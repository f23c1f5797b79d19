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
from itertools import pairwise
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from compare import corpus as corpora
from compare import figures, finished, models, sampling, scoring, statistics
from compare.corpus import Corpus, write_atomically
from compare.floors import floors
from compare.render import render
from compare.requirements import requirements

REPORTS = Path("reports")
HERE = Path(__file__).parent


def report(options: ReportOptions) -> None:
    scratch, gpt2 = finished.newest()
    corpus = corpus_of(gpt2)
    table, scores = floors(corpus)
    rows = [models.base_row(gpt2), *map(models.row, [*scratch, gpt2])]
    texts = {}
    for row in tqdm(rows, "models", leave=False):
        model, tokenizer = models.load(row.folder, row.own_code)
        scores[row.name] = scoring.score(model, tokenizer, corpus.test, label=row.name)
        both = corpus.validation + corpus.test
        val = scoring.score(model, tokenizer, both, label=f"{row.name}, validation + test")
        texts[row.name] = [
            sampling.sample(model, tokenizer, prompt, sampling.Settings())
            for prompt in sampling.prompts(corpus)
        ]
        table.append(_row(row, scores[row.name], val, model.num_parameters()))
    draws = dict(zip(scores, statistics.bootstrap(list(scores.values())).T, strict=True))
    for entry in table:
        known = entry["name"] in draws
        entry["ci95"] = statistics.interval(draws[entry["name"]]) if known else None
    result = {
        "written": time.strftime("%Y-%m-%d", time.gmtime()),
        "corpus": corpus.record(),
        "rows": sorted(table, key=lambda entry: entry["bits_per_byte"]),
        "differences": _differences(table, draws),
        "runs": [_run(run) for run in [*scratch, gpt2]],
        "samples": [
            {"prompt": prompt, "texts": {name: written[at] for name, written in texts.items()}}
            for at, prompt in enumerate(sampling.prompts(corpus))
        ],
        "sample_settings": vars(sampling.Settings()),
        "requirements": requirements(scratch[0], gpt2),
    }
    curves = {models.row(run).name: _curve(run) for run in [*scratch, gpt2]}
    figures.loss_curves(REPORTS / "figures" / "loss_curves.svg", curves, len(corpus.train))
    shown = [entry for entry in result["rows"] if entry["kind"] != "uniform"]  # 8: far off scale
    figures.row_plot(REPORTS / "figures" / "rows.svg", shown)
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


def _row(
    row: models.Row, test: scoring.Score, val: scoring.Score, parameters: int
) -> dict[str, Any]:
    metric = evaluate.load(str(HERE / "bits_per_byte"))
    spans = np.diff(test.byte_ends, prepend=0)
    values = metric.compute(nats=test.nats.tolist(), bytes=spans.tolist(), text=test.text)
    return {
        "name": row.name,
        "track": row.run["track"],
        "kind": row.kind,
        "run": row.run["path"].name,
        "parameters": parameters,
        "trained_characters": row.run["epochs"][-1]["characters_seen"] if row.trained else 0,
        "wall_seconds": row.run["wall_seconds"] if row.trained else 0,
        "split": "test",
        **values,
        # nanoGPT's `val` is the last 10 %: our validation and test together.
        "nanogpt_val_nats_per_char": val.summary()["nats_per_char"],
    }


def _differences(table: list[dict[str, Any]], draws: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """What the text claims: fine-tuned against all, and all that is below it among themselves."""
    rows = {entry["kind"]: entry for entry in table}
    presets = [entry["kind"] for entry in table if entry["track"] == "scratch_lm"]
    pairs = [("fine-tuned", other) for other in ["zero-shot", *presets]]
    pairs += [("zero-shot", preset) for preset in presets]
    pairs += [(later, earlier) for earlier, later in pairwise(presets)]
    pairs += [(preset, "n-gram") for preset in presets]
    result = []
    for a, b in ((rows[a], rows[b]) for a, b in pairs):
        names = a["name"], b["name"]
        delta = a["bits_per_byte"] - b["bits_per_byte"]
        low, high = statistics.interval(draws[names[0]] - draws[names[1]])
        if low <= 0 <= high:
            claim = f"{names[0]} and {names[1]}: no difference shown"
        else:
            claim = (
                f"{names[0]} needs {abs(delta):.3f} bits per byte "
                f"{'less' if delta < 0 else 'more'} than {names[1]}"
            )
        sentence = f"{claim} ({delta:+.3f}, 95 % interval {low:+.3f} to {high:+.3f})"
        result.append(
            {"a": names[0], "b": names[1], "delta_bits_per_byte": delta, "ci95": [low, high],
             "sentence": sentence}
        )  # fmt: skip
    return result


def _run(run: dict[str, Any]) -> dict[str, Any]:
    kept = ("track", "preset", "command", "config", "parameters", "device", "versions",
            "git_commit", "started", "epochs", "best_epoch", "wall_seconds",
            "characters_per_second", "peak_memory_mb", "tracking")  # fmt: skip
    record = {key: run[key] for key in kept}
    base = {key: value for key, value in run.get("base", {}).items() if key != "folder"}
    record |= {"base": base, "zero_shot": run["zero_shot"]} if base else {}
    return {"name": models.row(run).name, "run": run["path"].name, **record}


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
