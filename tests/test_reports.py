"""The committed report comes from real runs and supports the study's claims."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

REPORTS = Path(__file__).parent.parent / "reports"
README = REPORTS.parent / "README.md"
# The parts of the report with the scores and differences that the README may quote.
SCORES = ("rows", "differences", "sealed_differences", "pairs", "other_plays", "worth")


def reason_to_skip() -> str:
    """Return why the report may not be the committed one, such as after `make study`; else ""."""
    if not shutil.which("git") or not (REPORTS.parent / ".git").exists():
        return "there is no Git, or no clone"
    # Git would refuse a clone of another user, as in some containers.
    command = ["git", "-c", "safe.directory=*", "status", "--porcelain", "--untracked-files=no"]
    git = subprocess.run([*command, "."], cwd=REPORTS, capture_output=True, text=True)
    if git.returncode:
        return f"Git cannot use this clone: {git.stderr.strip()}"
    return "reports/ has uncommitted changes" if git.stdout.strip() else ""


pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())


@pytest.fixture(scope="module")
def report() -> dict:
    return json.loads((REPORTS / "report.json").read_text("utf-8"))


def test_it_is_of_the_real_corpus_and_every_row_counts_the_whole_test_split(report: dict) -> None:
    assert report["corpus"]["sha256"].startswith("86c4e6aa") and len(report["rows"]) >= 4
    assert {row["bytes"] for row in report["rows"]} == {55_770}


def test_validation_loss_of_course_fell_after_every_epoch(report: dict) -> None:
    course = next(run for run in report["runs"] if run["preset"] == "course")
    losses = [epoch["eval"]["bits_per_byte"] for epoch in course["epochs"]]
    assert len(losses) == 5
    assert all(later < earlier for earlier, later in pairwise(losses))


def test_fine_tuned_is_below_zero_shot_and_below_scratch(report: dict) -> None:
    base = report["bases"][0]["identity"]["resolved"]
    by_kind = {
        row["kind"]: row["bits_per_byte"] for row in report["rows"] if row["base"] in (None, base)
    }
    for other in ("zero-shot", "course", "tuned"):
        assert by_kind["fine-tuned"] < by_kind[other]
    assert by_kind["zero-shot"] < by_kind["course"]


def test_floors_agree_with_what_others_measured(report: dict) -> None:
    """The expected values for nanoGPT's val were measured with other programs, in nats per char."""
    rows = {row["name"]: row["nanogpt_val_nats_per_char"] for row in report["rows"]}
    for name, bits in (("xz", 2.518), ("bzip2", 2.398), ("PPMd", 2.026)):
        assert rows[name] == pytest.approx(bits * math.log(2), rel=0.01)
    ngram = next(nats for name, nats in rows.items() if name.endswith("-gram Kneser-Ney"))
    assert ngram == pytest.approx(1.5165, rel=0.01)


def test_readme_shows_the_numbers_of_this_report(report: dict) -> None:
    readme = README.read_text("utf-8")
    assert report["differences"][0]["sentence"] in readme
    for row in report["rows"]:
        if row["ci95"]:
            cells = [
                row["name"],
                f"{row['bits_per_byte']:.3f}",
                "{:.3f} to {:.3f}".format(*row["ci95"]),
                row["seeds"] or "",
                f"{row['parameters']:,}" if row["parameters"] else "",
                f"{row['wall_seconds']:,.0f}" if row["wall_seconds"] else "",
            ]
            assert f"| {' | '.join(map(str, cells))} |" in readme


def test_readme_quotes_no_score_that_is_not_in_this_report(report: dict) -> None:
    results = README.read_text("utf-8").partition("## Usage")[0]
    quoted = set(re.findall(r"(?<![\d.,])\d+\.\d{3}(?!\d)", results))
    rounded = {f"{abs(number):.3f}" for part in SCORES for number in numbers_in(report[part])}
    assert len(quoted) > 30 and quoted <= rounded, sorted(quoted - rounded)


def numbers_in(value: Any) -> Iterator[float]:
    """Yield `value`, or all numbers that are nested in it."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from numbers_in(inner)
    elif isinstance(value, float):
        yield value


def test_no_path_of_a_machine_is_in_it() -> None:
    for path in REPORTS.rglob("*.*"):
        assert not any(word in path.read_text("utf-8") for word in ("/home/", "/root/", "/tmp/"))
