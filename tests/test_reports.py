"""The committed report comes from real runs and supports the study's claims."""

from __future__ import annotations

import json
import math
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

REPORTS = Path(__file__).parent.parent / "reports"


def is_as_committed(folder: Path) -> bool:
    """Return whether Git says so; `make study`, for example, replaces the committed report."""
    command = ["git", "status", "--porcelain", "--untracked-files=no", "."]
    try:
        git = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:  # there is no Git
        return False
    return git.returncode == 0 and not git.stdout.strip()


pytestmark = pytest.mark.skipif(
    not is_as_committed(REPORTS), reason="reports/ are not known to be as committed"
)


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
    readme = (REPORTS.parent / "README.md").read_text("utf-8")
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


def test_no_path_of_a_machine_is_in_it() -> None:
    for path in REPORTS.rglob("*.*"):
        assert not any(word in path.read_text("utf-8") for word in ("/home/", "/root/", "/tmp/"))
