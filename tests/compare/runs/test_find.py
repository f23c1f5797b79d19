"""Which runs make up a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compare.errors import Misuse
from compare.kinds import RowKind, Track
from compare.runs import find
from compare.runs.latest import point_latest_at
from compare.runs.record import write_record
from tests.run_records import BASE, CORPUS, make_epoch, make_record


def leave(
    track: str, name: str, minute: int, preset: str, seed: int, nats: float, **differing: Any
) -> None:
    """Create a complete run directory, and make it the latest run of its track."""
    path = Path("runs") / track / name
    path.mkdir(parents=True)
    base = BASE.model_copy(update={"weights_sha256": differing.get("base", "b")})
    record = make_record(
        Track(track),
        preset=RowKind(preset),
        seed=seed,
        config={
            "corpus": "text",
            "seed": seed,
            "epochs": differing.get("epochs", 5),
            "project": name,
        },
        corpus=CORPUS.model_copy(update={"sha256": differing.get("text", "t")}),
        base=base if track == Track.GPT2 else None,
        started=f"2026-01-01T00:{minute:02}:00Z",
        epochs=[make_epoch(nats)],
    )
    write_record(path, record)
    point_latest_at(path)


def found() -> list[list[str]]:
    return [[run.path.name for run in group.runs] for group in find.study().groups]


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_seeds_of_one_recipe_are_one_row_the_best_first() -> None:
    leave("gpt2_finetune", "g1", 0, "fine-tuned", 1, 5.0)
    leave("gpt2_finetune", "r1", 1, "from random weights", 1, 9.0)
    leave("scratch_lm", "t1", 2, "tuned", 1, 7.0)
    leave("scratch_lm", "t2", 3, "tuned", 2, 6.0)
    leave("scratch_lm", "c1", 4, "course", 1, 8.0)
    leave("scratch_lm", "t3", 5, "tuned", 3, 6.5)
    assert found() == [["c1"], ["t2", "t3", "t1"], ["g1"], ["r1"]]


def test_full_fine_tuning_speaks_for_its_track_low_rank_only_where_there_is_nothing_else() -> None:
    leave("scratch_lm", "c1", 0, "course", 1, 8.0)
    leave("gpt2_finetune", "r1", 1, "from random weights", 1, 9.0)
    leave("gpt2_finetune", "l1", 2, "LoRA fine-tuned", 1, 4.0)
    assert found() == [["c1"], ["l1"], ["r1"]]
    leave("gpt2_finetune", "g1", 3, "fine-tuned", 1, 5.0)
    assert found() == [["c1"], ["g1"], ["l1"], ["r1"]]
    assert find.study().best_gpt2.path.name == "g1"


def test_other_recipes_texts_bases_and_older_runs_stay_out() -> None:
    leave("gpt2_finetune", "other-base", 0, "fine-tuned", 2, 1.0, base="c")
    leave("gpt2_finetune", "g1", 1, "fine-tuned", 1, 5.0)
    leave("scratch_lm", "long", 2, "course", 3, 1.0, epochs=50)
    leave("scratch_lm", "other-text", 3, "course", 4, 1.0, text="u")
    leave("scratch_lm", "old", 4, "course", 1, 1.0)
    leave("scratch_lm", "new", 5, "course", 1, 2.0)
    leave("scratch_lm", "second", 6, "course", 2, 3.0)
    assert found() == [["new", "second"], ["g1"]]


def test_tracks_on_different_texts_are_refused() -> None:
    leave("gpt2_finetune", "g1", 0, "fine-tuned", 1, 5.0)
    leave("scratch_lm", "c1", 1, "course", 1, 5.0, text="u")
    with pytest.raises(Misuse, match="same --corpus"):
        find.study()


def test_a_control_alone_is_no_study() -> None:
    leave("gpt2_finetune", "r1", 0, "from random weights", 1, 5.0)
    leave("scratch_lm", "c1", 1, "course", 1, 5.0)
    with pytest.raises(Misuse, match="nothing was fine-tuned"):
        find.study()
