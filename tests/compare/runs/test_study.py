"""Which runs make up a study."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from compare.errors import Failure, Misuse
from compare.kinds import BaseKind, RowKind, RunStatus, Track
from compare.runs import find
from compare.runs.latest import point_latest_at
from compare.runs.record import read_record, write_record
from compare.runs.study import find_study, left_out
from tests.run_records import BASE, CORPUS, make_epoch, make_record

ADDED_OPTIONS = ("train_share", "leave_out", "patience")  # which the oldest records do not have


def leave(
    track: str, name: str, minute: int, preset: str, seed: int, nats: float, **differing: Any
) -> None:
    """Create a complete run directory, and make it the latest run of its track."""
    path = Path("runs") / track / name
    path.mkdir(parents=True)
    base = BASE.model_copy(
        update={
            "weights_sha256": differing.get("base", "b"),
            "resolved": differing.get("base_name", "some/base"),
            "kind": differing.get("base_kind", BaseKind.OTHER),
        }
    )
    record = make_record(
        Track(track),
        preset=RowKind(preset),
        seed=seed,
        config={
            "corpus": differing.get("corpus", "text"),
            "base": base.resolved,
            "seed": seed,
            "epochs": differing.get("epochs", 5),
            "project": name,
            "learning_rate": differing.get("learning_rate", 0.1),
            **{key: differing[key] for key in ADDED_OPTIONS if key in differing},
        },
        corpus=CORPUS.model_copy(update={"sha256": differing.get("text", "t")}),
        teachers_sha256=differing.get("teachers", []),
        base=base if track == Track.GPT2 else None,
        started=f"2026-01-01T00:{minute:02}:00Z",
        epochs=[make_epoch(nats)],
    )
    write_record(path, record)
    if not record.is_partial:
        point_latest_at(path)


def found() -> list[list[str]]:
    return [[run.path.name for run in group.runs] for group in find_study().groups]


def test_seeds_of_one_recipe_are_one_row_the_best_first() -> None:
    leave("gpt2_finetune", "g1", 0, "fine-tuned", 1, 5.0)
    leave("gpt2_finetune", "r1", 1, "from random weights", 1, 9.0)
    leave("scratch_lm", "t1", 2, "tuned", 1, 7.0)
    leave("scratch_lm", "t2", 3, "tuned", 2, 6.0)
    leave("scratch_lm", "c1", 4, "course", 1, 8.0)
    leave("scratch_lm", "t3", 5, "tuned", 3, 6.5)
    assert found() == [["c1"], ["t2", "t3", "t1"], ["g1"], ["r1"]]


def test_seeds_with_their_own_teachers_are_one_row() -> None:
    leave("gpt2_finetune", "g1", 0, "fine-tuned", 1, 5.0)
    for seed in (1, 2, 3):
        leave("scratch_lm", f"r{seed}", seed, "record", seed, 5.0 + seed, teachers=[f"t{seed}"])
    assert found() == [["r1", "r2", "r3"], ["g1"]]


def test_full_fine_tuning_speaks_for_its_track_low_rank_only_where_there_is_nothing_else() -> None:
    leave("scratch_lm", "c1", 0, "course", 1, 8.0)
    leave("gpt2_finetune", "r1", 1, "from random weights", 1, 9.0)
    leave("gpt2_finetune", "l1", 2, "LoRA fine-tuned", 1, 4.0)
    assert found() == [["c1"], ["l1"], ["r1"]]
    leave("gpt2_finetune", "g1", 3, "fine-tuned", 1, 5.0)
    assert found() == [["c1"], ["g1"], ["l1"], ["r1"]]
    assert find_study().best_gpt2.path.name == "g1"


def test_every_base_has_its_rows_and_the_answer_is_about_the_best_real_one() -> None:
    real = {"base": "r", "base_name": "real"}
    gpt2 = {"base": "g", "base_name": "gpt2", "base_kind": BaseKind.GPT2}
    stand_in = {"base": "s", "base_name": "small", "base_kind": BaseKind.STAND_IN}
    leave("scratch_lm", "c1", 0, "course", 1, 8.0)
    leave("gpt2_finetune", "real1", 1, "fine-tuned", 1, 5.0, **real)
    leave("gpt2_finetune", "some1", 2, "fine-tuned", 1, 6.0)
    leave("gpt2_finetune", "some-random", 3, "from random weights", 1, 9.0)
    leave("gpt2_finetune", "small1", 4, "fine-tuned", 1, 1.0, **stand_in)
    assert found()[1:] == [["real1"], ["some1"], ["some-random"], ["small1"]]
    assert find_study().best_gpt2.path.name == "real1"
    leave("gpt2_finetune", "gpt2-random", 5, "from random weights", 1, 3.0, **gpt2)
    assert found()[1] == ["real1"] and found()[-1] == ["gpt2-random"]
    leave("gpt2_finetune", "gpt2-1", 6, "fine-tuned", 1, 7.0, **gpt2)
    assert found()[1:3] == [["gpt2-1"], ["gpt2-random"]]


def test_of_two_bases_with_one_name_the_last_one_used_counts() -> None:
    leave("scratch_lm", "c1", 0, "course", 1, 8.0)
    leave("gpt2_finetune", "older", 1, "fine-tuned", 1, 1.0, base="c")
    leave("gpt2_finetune", "newer", 2, "fine-tuned", 1, 5.0)
    assert found() == [["c1"], ["newer"]]


def test_a_base_with_two_names_is_one_base() -> None:
    leave("scratch_lm", "c1", 0, "course", 1, 8.0)
    leave("gpt2_finetune", "first", 1, "fine-tuned", 1, 5.0, base_name="gpt2")
    leave("gpt2_finetune", "second", 2, "fine-tuned", 2, 6.0, base_name="openai-community/gpt2")
    assert found() == [["c1"], ["first", "second"]]


def test_a_text_with_two_names_is_one_text() -> None:
    leave("gpt2_finetune", "g1", 0, "fine-tuned", 1, 5.0)
    leave("scratch_lm", "first", 1, "course", 1, 5.0, corpus="novel.txt")
    leave("scratch_lm", "second", 2, "course", 2, 6.0, corpus="./novel.txt")
    assert found() == [["first", "second"], ["g1"]]


def test_other_recipes_texts_and_older_runs_stay_out() -> None:
    leave("gpt2_finetune", "of-another-text", 0, "fine-tuned", 2, 1.0, text="u")
    leave("gpt2_finetune", "g1", 1, "fine-tuned", 1, 5.0)
    leave("scratch_lm", "long", 2, "course", 3, 1.0, epochs=50)
    leave("scratch_lm", "other-text", 3, "course", 4, 1.0, text="u")
    leave("scratch_lm", "old", 4, "course", 1, 1.0)
    leave("scratch_lm", "new", 5, "course", 1, 2.0)
    leave("scratch_lm", "second", 6, "course", 2, 3.0)
    assert found() == [["new", "second"], ["g1"]]


def test_runs_from_before_an_option_belong_to_the_recipe_that_does_not_use_it() -> None:
    leave("gpt2_finetune", "g1", 0, "fine-tuned", 1, 5.0)
    half: dict[str, Any] = {"train_share": 0.5, "leave_out": ""}
    leave("scratch_lm", "half", 1, "tuned", 1, 7.0, **half)
    leave("scratch_lm", "before", 2, "tuned", 1, 6.0)
    leave("scratch_lm", "patient", 3, "tuned", 3, 5.0, patience=2)
    leave("scratch_lm", "now", 4, "tuned", 2, 7.0, patience=None)
    assert found() == [["before", "now"], ["g1"]]
    assert found_shares() == {"tuned": {0.5: ["half"]}, "fine-tuned": {}}


def found_shares() -> dict[str, dict[float, list[str]]]:
    return {
        group.kind: {each.share: [run.path.name for run in each.runs] for each in group.shares}
        for group in find_study().groups
    }


def test_runs_on_a_share_of_the_text_belong_to_their_recipe_and_are_no_rows() -> None:
    leave("gpt2_finetune", "g1", 0, "fine-tuned", 1, 5.0)
    leave("gpt2_finetune", "g1-half", 1, "fine-tuned", 1, 1.0, train_share=0.5, leave_out="")
    leave("scratch_lm", "c1", 2, "course", 1, 8.0)
    leave("scratch_lm", "t1", 3, "tuned", 1, 7.0, train_share=1.0, leave_out="")
    leave("scratch_lm", "t2-half", 4, "tuned", 2, 2.0, train_share=0.5, leave_out="")
    leave("scratch_lm", "t1-half-old", 5, "tuned", 1, 2.0, train_share=0.5, leave_out="")
    leave("scratch_lm", "t1-half", 6, "tuned", 1, 3.0, train_share=0.5, leave_out="")
    leave("scratch_lm", "t1-eighth", 7, "tuned", 1, 9.0, train_share=0.125, leave_out="")
    assert found() == [["c1"], ["t1"], ["g1"]]
    assert found_shares() == {
        "course": {},
        "tuned": {0.125: ["t1-eighth"], 0.5: ["t1-half", "t2-half"]},
        "fine-tuned": {0.5: ["g1-half"]},
    }


def test_other_recipes_on_a_share_and_runs_without_a_play_stay_out() -> None:
    leave("gpt2_finetune", "g1", 0, "fine-tuned", 1, 5.0)
    leave("scratch_lm", "t1", 1, "tuned", 1, 7.0)
    half: dict[str, Any] = {"train_share": 0.5, "leave_out": ""}
    leave("scratch_lm", "other-rate", 2, "tuned", 1, 2.0, learning_rate=0.2, **half)
    leave("scratch_lm", "other-text", 3, "tuned", 2, 2.0, text="u", **half)
    leave("scratch_lm", "no-full-run", 4, "course", 1, 2.0, **half)
    leave("scratch_lm", "no-play", 5, "tuned", 3, 2.0, train_share=0.5, leave_out="Coriolanus")
    leave("gpt2_finetune", "other-base", 6, "fine-tuned", 1, 2.0, base="c", **half)
    assert found_shares() == {"tuned": {}, "fine-tuned": {}}


def test_a_share_may_be_read_more_often_by_all_of_its_runs_alike() -> None:
    leave("gpt2_finetune", "g1", 0, "fine-tuned", 1, 5.0)
    leave("scratch_lm", "t1", 1, "tuned", 1, 7.0)
    for number, (seed, epochs) in enumerate([(1, 5), (2, 20), (1, 20), (3, 5)]):
        name = f"seed{seed}-epochs{epochs}"
        leave("scratch_lm", name, 2 + number, "tuned", seed, 3.0, epochs=epochs, train_share=0.5)
    assert found_shares()["tuned"] == {0.5: ["seed1-epochs5", "seed3-epochs5"]}
    leave("scratch_lm", "newest", 6, "tuned", 2, 3.0, epochs=20, train_share=0.5)
    assert found_shares()["tuned"] == {0.5: ["seed1-epochs20", "newest"]}


def test_runs_that_are_left_out_are_named_with_what_differs() -> None:
    leave("gpt2_finetune", "g1", 0, "fine-tuned", 1, 5.0)
    half: dict[str, Any] = {"train_share": 0.5, "leave_out": ""}
    leave("scratch_lm", "other-rate", 1, "tuned", 1, 2.0, learning_rate=0.2, **half)
    leave("scratch_lm", "often", 2, "tuned", 2, 2.0, epochs=20, **half)
    leave("scratch_lm", "used", 3, "tuned", 1, 2.0, patience=2, **half)
    leave("scratch_lm", "old-rate", 4, "tuned", 3, 2.0, learning_rate=0.3)
    leave("scratch_lm", "t1-before", 5, "tuned", 1, 7.0)
    leave("scratch_lm", "t1", 6, "tuned", 1, 7.0)
    leave("scratch_lm", "other-text", 7, "tuned", 2, 2.0, text="u", **half)
    leave("scratch_lm", "no-play", 8, "tuned", 3, 2.0, train_share=0.5, leave_out="Coriolanus")
    leave("scratch_lm", "t2", 9, "tuned", 2, 7.5)
    study = find_study()
    assert found_shares()["tuned"] == {0.5: ["used"]}
    assert left_out(study) == [
        "runs/scratch_lm/other-rate on 1/2 of the text is left out: learning_rate was 0.2 and is "
        "now 0.1",
        "runs/scratch_lm/often on 1/2 of the text is left out: epochs was 20 and is now 5, "
        "patience was None and is now 2",
        "runs/scratch_lm/old-rate is left out: learning_rate was 0.3 and is now 0.1",
    ]


def test_tracks_on_different_texts_are_refused() -> None:
    leave("gpt2_finetune", "g1", 0, "fine-tuned", 1, 5.0)
    leave("scratch_lm", "c1", 1, "course", 1, 5.0, text="u")
    with pytest.raises(Misuse, match="same --corpus"):
        find_study()


def test_a_control_alone_is_no_study() -> None:
    leave("gpt2_finetune", "r1", 0, "from random weights", 1, 5.0)
    leave("scratch_lm", "c1", 1, "course", 1, 5.0)
    with pytest.raises(Misuse, match="nothing was fine-tuned"):
        find_study()


def test_the_newest_run_is_found_without_latest() -> None:
    leave("scratch_lm", "first", 1, "course", 1, 6.0)
    leave("scratch_lm", "second", 2, "course", 2, 6.0)
    leave("scratch_lm", "share", 3, "course", 3, 6.0, train_share=0.5)
    folder = Path("runs/scratch_lm")
    assert find.latest(Track.SCRATCH).path == folder / "second"
    (folder / "second").rename("moved away")
    assert find.latest(Track.SCRATCH).path == folder / "first"


def test_a_control_is_the_newest_run_only_if_there_is_no_other() -> None:
    """It may complete last by chance, where several training runs execute at the same time."""
    leave("gpt2_finetune", "control", 3, "from random weights", 1, 5.0)
    assert find.latest(Track.GPT2).path.name == "control"
    for name, number in (("first", 1), ("second", 2)):
        leave("gpt2_finetune", name, number, "fine-tuned", number, 5.0)
    point_latest_at(Path("runs/gpt2_finetune/control"))
    assert find.latest(Track.GPT2).path.name == "second"


def test_complete_runs_are_found_although_latest_is_not_complete() -> None:
    """A process may be killed between pointing `latest` at its run and completing it."""
    leave("scratch_lm", "first", 1, "course", 1, 6.0)
    leave("scratch_lm", "second", 2, "course", 2, 6.0)
    folder = Path("runs/scratch_lm")
    record = read_record(folder / "second")
    record.status = RunStatus.RUNNING
    write_record(folder / "second", record)
    assert find.latest(Track.SCRATCH).path == folder / "first"
    (folder / "first").rename("moved away")
    with pytest.raises(Misuse, match="second is not complete: finish it with"):
        find.latest(Track.SCRATCH)


def test_a_text_that_was_moved_after_training_is_missed_by_name() -> None:
    leave("scratch_lm", "first", 1, "course", 1, 6.0)
    run = find.latest(Track.SCRATCH)
    with pytest.raises(Misuse, match="first was trained on text, which is no longer there: put"):
        find.corpus_of(run)
    Path("text").write_text("another text", "utf-8")
    with pytest.raises(Misuse, match="text has changed since"):
        find.corpus_of(run)


def test_an_unpacked_latest_is_no_run_of_its_own() -> None:
    """Archives that follow links contain a copy of the run in its place."""
    leave("scratch_lm", "first", 1, "course", 1, 6.0)
    latest = Path("runs/scratch_lm/latest")
    latest.unlink()
    shutil.copytree(latest.with_name("first"), latest)
    assert [run.path.name for run in find.complete(Track.SCRATCH)] == ["first"]
    assert find.latest(Track.SCRATCH).path.name == "first"
    with pytest.raises(Failure, match="latest is a directory instead of a link: move it away"):
        leave("scratch_lm", "second", 2, "course", 2, 6.0)
    assert (latest / "run.json").exists()


def test_only_runs_that_help_are_recommended_for_resuming() -> None:
    for name, status, differing in (
        ("unfinished", RunStatus.RUNNING, {}),
        ("share", RunStatus.RUNNING, {"train_share": 0.5}),
        ("failed", RunStatus.FAILED, {}),
    ):
        path = Path("runs/scratch_lm") / name
        path.mkdir(parents=True)
        config = {"corpus": "text", "seed": 1} | differing
        write_record(path, make_record(status=status, failure="the loss is NaN", config=config))
    with pytest.raises(Misuse, match=r"or finish unfinished with --resume"):
        find.latest(Track.SCRATCH)
    with pytest.raises(Misuse, match=r"has failed \(the loss is NaN\): train again"):
        find.load(Path("runs/scratch_lm/failed"))
