"""What a card says about its run, and what lies beside it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import constants

from compare.corpus.sources import TINY_SHAKESPEARE_SHA256
from compare.kinds import RowKind, Track, TrackingMode
from compare.publish import staging
from compare.publish.origin import web_address
from compare.report import storage
from compare.report.results import Results, RunResult, TestScores
from compare.ruler.parameters import Parameters
from compare.runs import models, start
from compare.runs.find import CompleteRun
from compare.runs.record import RunRecord, TrackingRecord
from tests.conftest import ROOT
from tests.run_records import BASE, CORPUS, make_metrics, make_record

OPTIONS = {"corpus": "tiny-shakespeare", "train_share": 1.0, "leave_out": "", "seed": 1}
SCRATCH_OPTIONS = OPTIONS | {
    "distance_bias": False,
    "epochs": 5,
    "patience": None,
    "rename": 0.0,
    "optimizer": "adamw",
    "learning_rate": 0.0003,
    "muon_learning_rate": 0.02,
    "averaging": 0.0,
    "dropout": 0.0,
    "teachers": [],
}
FINETUNE_OPTIONS = OPTIONS | {
    "base": "some/base",
    "lora": False,
    "epochs": 3,
    "precision": "auto",
    "learning_rate": 0.0001,
}


@pytest.fixture(scope="module")
def committed() -> Results:
    return storage.read(ROOT / storage.PATH)


@pytest.fixture
def results(committed: Results) -> Results:
    """Return the committed results, beside which lie the files that are staged."""
    (Path("reports") / "figures").mkdir(parents=True)
    for name in ("report.html", "figures/loss_curves.svg"):
        (Path("reports") / name).write_text("made by compare.report", "utf-8")
    return committed


def stage(results: Results, track: Track = Track.SCRATCH, **differing: Any) -> Path:
    """Stage a made-up run, whose record has `differing` fields."""
    options = SCRATCH_OPTIONS if track is Track.SCRATCH else FINETUNE_OPTIONS
    corpus = CORPUS.model_copy(
        update={"name": "tiny-shakespeare", "sha256": TINY_SHAKESPEARE_SHA256}
    )
    versions = {"torch": "2.13.0", "transformers": "5.23.0"}
    fields = {"config": options, "corpus": corpus, "versions": versions} | differing
    record = make_record(track, **fields)
    path = Path("runs", track, "a-run")
    (path / "model").mkdir(parents=True)
    config = {"architectures": ["SomeModel"], "n_positions": 64, "distance_bias": False}
    (path / "model" / "config.json").write_text(json.dumps(config), "utf-8")
    (path / "samples.jsonl").touch()
    chosen = next(run for run in results.runs if run.track is track)
    result = make_result(chosen, record, path.name)
    # Samples are shown under the name of the row.
    samples = [
        each.model_copy(update={"texts": {record.display_name: each.texts[chosen.name]}})
        for each in results.samples
    ]
    results = results.model_copy(update={"runs": [result], "samples": samples})
    run = CompleteRun(path, record, [], [])
    return staging.stage(Path("staged"), "student/model", run, results)


def make_result(like: RunResult, record: RunRecord, run: str) -> RunResult:
    """Return the results of a run in directory `run`, with the record of a made-up one."""
    scores = TestScores(**asdict(make_metrics()), ci95=(2.5, 3.2))
    update = {"name": record.display_name, "run": run, "track": record.track, "test": scores}
    return like.model_copy(update=update)


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text("utf-8")


def rows_of(card: str) -> dict[str, str]:
    """Return the rows of the tables with two columns."""
    lines = [line.strip("|").split(" | ") for line in card.splitlines() if line.startswith("| ")]
    return {line[0].strip(): line[1].strip() for line in lines if len(line) == 2}


def test_settings_without_effect_are_not_listed(results: Results) -> None:
    card = card_of(stage(results))
    rows = rows_of(card)
    assert rows["optimizer"] == "adamw" and rows["learning rate"] == "0.0003"
    assert rows["dropout"] == "0.0"  # a choice, not an option that is off
    for absent in ("muon learning rate", "teachers", "rename", "averaging", "train share"):
        assert absent not in rows
    assert "False" not in card and "None" not in card and "[]" not in card


def test_muons_learning_rate_is_listed_if_it_was_used(results: Results) -> None:
    config = SCRATCH_OPTIONS | {"optimizer": "muon", "rename": 0.2, "train_share": 0.5}
    rows = rows_of(card_of(stage(results, config=config)))
    assert rows["muon learning rate"] == "0.02"
    assert rows["rename"] == "0.2" and rows["train share"] == "0.5"


@pytest.mark.parametrize(("teachers", "said"), [(1, "1 other model that"), (3, "3 other models")])
def test_the_card_says_what_the_seconds_include(results: Results, teachers: int, said: str) -> None:
    card = card_of(stage(results, wall_seconds=90.0, teachers_sha256=["0" * 64] * teachers))
    label = "seconds, including evaluation and samples, without the training of the teachers"
    assert rows_of(card)[label] == "90"
    assert f"Besides learning from the text, it was distilled from {said}" in card


@pytest.mark.parametrize(
    ("mode", "where", "said"),
    [
        (TrackingMode.ONLINE, "https://wandb.ai/a/b/runs/c", "W&B: <https://wandb.ai/a/b/runs/c>."),
        (TrackingMode.OFFLINE, "runs/wandb", "project `study`; this card has no link to it."),
        (TrackingMode.DISABLED, None, "This run was not logged to W&B.\n"),
    ],
)
def test_the_card_says_where_the_run_was_logged(
    results: Results, mode: TrackingMode, where: str | None, said: str
) -> None:
    tracking = TrackingRecord(project="study", mode=mode, where=where)
    card = card_of(stage(results, tracking=tracking))
    assert said in card
    assert ("`study`" in card) == (mode is TrackingMode.OFFLINE) and "runs/wandb" not in card


def test_low_rank_adapters_are_described(results: Results) -> None:
    folder = stage(
        results,
        Track.GPT2,
        preset=RowKind.LORA,
        config=FINETUNE_OPTIONS | {"lora": True},
        parameters=Parameters(total=124_439_808, non_embedding=85_056_000, trained=2_359_296),
    )
    card = card_of(folder)
    assert "low-rank adapters (LoRA) with 2,359,296 parameters were trained, and merged" in card
    assert "lora" in yaml.safe_load(card.split("---\n")[1])["tags"]
    assert "lora" not in rows_of(card) and "precision" not in rows_of(card)


def test_other_fine_tuned_models_are_not_said_to_have_adapters(results: Results) -> None:
    card = card_of(stage(results, Track.GPT2))
    assert "low-rank adapters" not in card
    assert "- lora\n" not in card  # the tag; the table of all models may have a row of LoRA


def test_a_scratch_model_brings_the_license_of_its_code(results: Results) -> None:
    folder = stage(results)
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert "model and its code in `model.py` are under the MIT license: see [LI" in card_of(folder)


def test_a_scratch_model_of_another_text_has_the_license_for_its_code_alone(
    results: Results,
) -> None:
    folder = stage(results, corpus=CORPUS)
    assert "\nThe code in `model.py` is under the MIT license: see [LICENSE]" in card_of(folder)
    assert (folder / "LICENSE").exists()


def test_a_fine_tuned_model_brings_the_license_files_of_its_base(results: Results) -> None:
    base = Path("base")
    base.mkdir()
    (base / "model.safetensors").write_bytes(b"weights")
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n", "utf-8")
    for name in ("LICENSE", "NOTICE.txt"):
        (base / name).write_text(f"the {name} of the base", "utf-8")
    here = {"folder": str(base), "weights_sha256": models.weights_sha256(base)}
    folder = stage(results, Track.GPT2, base=BASE.model_copy(update=here))
    for name in ("LICENSE", "NOTICE.txt"):
        assert (folder / name).read_text("utf-8") == f"the {name} of the base"
    card = card_of(folder)
    assert "[apache-2.0](https://www.apache.org/licenses/LICENSE-2.0)." in card
    assert "its base is in [LICENSE](LICENSE) and [NOTICE.txt](NOTICE.txt)." in card


def test_a_license_that_cannot_be_copied_is_linked(results: Results) -> None:
    folder = stage(results, Track.GPT2)
    assert not list(folder.glob("LICENSE*"))
    page = f"[some/base]({constants.ENDPOINT}/some/base)"
    assert f"The license of its base is on the page of {page}." in card_of(folder)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://github.com/owner/name.git", "https://github.com/owner/name.git"),
        ("https://me:p@ss@git.example:8443/owner/name", "https://git.example:8443/owner/name"),
        ("git@github.com:owner/name.git", "https://github.com/owner/name"),
        ("ssh://git@github.com/owner/name", "https://github.com/owner/name"),
        ("git@git.example:owner/name.git", None),
        ("ssh://git@github.com:22/owner/name", None),
        ("http://git.example/owner/name", None),
        ("https://git.example/owner/name?token=secret", None),
        ("https://git.example/a) [b](c", None),
        ("https://[git.example/owner/name", None),
        ("/home/student/study", None),
        ("file:///home/student/study", None),
        ("../study", None),
    ],
)
def test_only_web_addresses_without_login_are_shown(url: str, address: str | None) -> None:
    assert web_address(url) == address


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "in the repository of the study at commit `012345678`, with"),
        ("/home/student/study", "in the repository of the study at commit `012345678`, with"),
        (
            "https://me:secret@github.com/owner/name",
            "in [the repository of the study](https://github.com/owner/name) at commit",
        ),
    ],
)
def test_the_card_links_the_repository_with_the_code(
    results: Results, monkeypatch: pytest.MonkeyPatch, url: str | None, said: str
) -> None:
    monkeypatch.setattr(start, "origin_url", lambda: url)
    card = card_of(stage(results, git_commit="0123456789abcdef"))
    assert said in card and "secret" not in card and "/home" not in card
