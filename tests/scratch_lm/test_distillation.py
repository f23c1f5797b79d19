"""Knowledge distillation: predictions match their tokens, and unsuitable teachers are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from compare import corpus as corpora
from compare.corpus.blocks import IGNORED
from compare.corpus.encoding import token_ids
from compare.errors import Misuse
from compare.report import assemble, candidates
from compare.ruler import scoring
from compare.runs import models
from compare.runs.study import find_study
from scratch_lm import distillation
from scratch_lm.config import PRESETS, ScratchOptions
from scratch_lm.distillation import Teacher
from tests.conftest import SCRATCH, Place
from tests.file_events import FileEvent

TEACHERS = ["course-seed1", "course-seed2"]


@pytest.fixture
def school(study: Place, place: Place) -> Place:
    """Return a place with the study's runs, to which a test can add more."""
    shutil.copytree(study.path / "runs", place.path / "runs", symlinks=True)
    return place


def test_soft_targets_are_the_mean_of_the_teachers_predictions(
    study: Place, mini_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distillation, "TOP_TOKENS", 400)  # the whole vocabulary
    runs = [study.path / "runs/scratch_lm" / name for name in TEACHERS]
    loaded = [models.load(run / "model") for run in runs]
    teachers = [Teacher(run, model, "") for run, (model, _) in zip(runs, loaded, strict=True)]
    text, tokenizer = mini_text.read_text("utf-8")[:5000], loaded[0][1]
    ids = token_ids(tokenizer, text).astype(np.int64)
    soft_targets = distillation.compute_soft_targets(teachers, tokenizer.eos_token_id, ids)
    tokens, probabilities = soft_targets.lookup(torch.arange(len(ids)), torch.from_numpy(ids))
    found = probabilities[tokens == torch.from_numpy(ids)[:, None]]
    expected = np.mean([np.exp(-scoring.score(*pair, text).nats) for pair in loaded], axis=0)
    assert found.numpy() == pytest.approx(expected, rel=2e-3, abs=1e-6)  # kept in float16
    assert probabilities.sum(-1).numpy() == pytest.approx(1, abs=5e-3)


def test_a_position_outside_the_text_has_only_its_target_as_prediction() -> None:
    soft_targets = distillation.SoftTargets(
        np.array([[3, 4], [5, 6]], np.int32), np.array([[0.75, 0.25], [0.5, 0.25]], np.float16)
    )
    tokens, probabilities = soft_targets.lookup(
        torch.tensor([[1, -1], [-1, 0]]), torch.tensor([[5, 9], [IGNORED, 3]])
    )
    assert probabilities.tolist() == [[[0.5, 0.25], [1, 0]], [[1, 0], [0.75, 0.25]]]
    assert tokens[0, 0].tolist() == [5, 6] and tokens[0, 1, 0] == 9 and tokens.min() >= 0


def test_the_loss_is_the_cross_entropy_with_the_teachers_predictions() -> None:
    torch.manual_seed(0)
    logits, teacher = torch.randn(2, 3, 10), torch.randn(2, 3, 10).softmax(-1)
    targets = torch.tensor([[1, 2, 3], [4, IGNORED, 5]])
    probabilities, tokens = teacher.topk(10)
    nats = distillation.soft_cross_entropy(logits, targets, tokens, probabilities)
    each = F.cross_entropy(logits.flatten(0, 1), teacher.flatten(0, 1), reduction="none")
    assert nats.item() == pytest.approx(each[[0, 1, 2, 3, 5]].sum().item(), rel=1e-5)


def test_a_distilled_run_records_its_teachers_and_resumes_to_the_same_weights(
    school: Place, mini_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*SCRATCH, "--corpus", mini_text, "--tracking", "disabled", "--seed", "3"]
    command += ["--teachers", *TEACHERS, "--checkpoint-steps", "20"]
    command += ["--drills", "--rename", "0.5"]
    run = school.path / "runs/scratch_lm/course-seed3"
    school.kill_at(FileEvent("os.rename", "state.safetensors", 2), *command)
    school.run(*command, "--resume")
    school.run(*command)
    resumed, straight = (
        (path / "model/model.safetensors").read_bytes()
        for path in (run, run.with_name("course-seed3-2"))
    )
    assert resumed == straight
    assert len(json.loads((run / "run.json").read_text("utf-8"))["teachers_sha256"]) == 2
    monkeypatch.chdir(school.path)
    notes = assemble.notes_on_training(candidates.candidates(find_study()))
    distilled = [note for note in notes if "distilled from 2 other models" in note]
    assert len(distilled) == 1 and distilled[0].startswith("Scratch (course) was")
    assert sum("trained on copying exercises" in note for note in notes) == 2


MINIATURE = {
    "vocabulary": 400,
    "context_length": 32,
    "layers": 1,
    "width": 32,
    "heads": 2,
    "feed_forward": 64,
    "epochs": 3,
    "learning_rate": 0.003,
    "batch_size": 8,
}


@pytest.fixture
def chosen(
    school: Place, mini_text: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Return a function that returns the runs chosen as teachers; `tuned` is a miniature preset."""
    monkeypatch.chdir(school.path)
    monkeypatch.setitem(PRESETS, "tuned", PRESETS["tuned"] | MINIATURE)
    corpus = corpora.load(str(mini_text))
    _, tokenizer = models.load(Path("runs/scratch_lm/tuned-seed1/model"))

    def find(*teachers: str, preset: str = "record") -> list[str]:
        options = {"corpus": str(mini_text), "preset": preset, "teachers": list(teachers)}
        chosen = ScratchOptions(**options | MINIATURE)
        found = distillation.load_teachers(chosen, corpus, tokenizer)
        return [teacher.run.name for teacher in found]

    return find


def another(school: Place, name: str, status: str = "complete", **options: object) -> None:
    """Add a run of `tuned` with other options, or change an existing one."""
    runs = school.path / "runs/scratch_lm"
    if not (runs / name).exists():
        shutil.copytree(runs / "tuned-seed1", runs / name)
    run = json.loads((runs / name / "run.json").read_text("utf-8"))
    run |= {"status": status, "config": run["config"] | options}
    (runs / name / "run.json").write_text(json.dumps(run), "utf-8")


def test_a_name_means_the_newest_complete_run(school: Place, chosen: Callable) -> None:
    assert chosen("tuned-seed1") == ["tuned-seed1"]
    another(school, "tuned-seed1-2")
    another(school, "tuned-seed1-10")
    another(school, "tuned-seed1-11", status="running")
    another(school, "tuned-seed12")
    assert chosen("tuned-seed1") == ["tuned-seed1-10"]
    assert chosen("tuned-seed1-2") == ["tuned-seed1-2"]
    both = chosen("course-seed1", "tuned-seed1", preset="course")
    assert both == ["course-seed1", "tuned-seed1-10"]


def test_a_presets_default_teachers_must_match_its_current_recipe(
    school: Place, chosen: Callable
) -> None:
    another(school, "tuned-seed1-2")
    another(school, "tuned-seed1", dropout=0.3)
    assert chosen("tuned-seed1") == ["tuned-seed1-2"]
    another(school, "tuned-seed1-3", rename=0.5)
    assert chosen("tuned-seed1") == ["tuned-seed1-2"]
    assert chosen("tuned-seed1", preset="course") == [
        "tuned-seed1-3"
    ]  # not a default teacher of this preset


def test_outdated_teachers_are_refused_with_the_difference_and_the_command(
    school: Place, chosen: Callable, mini_text: Path
) -> None:
    another(school, "tuned-seed1", dropout=0.3)
    another(school, "tuned-seed1-2", status="failed")
    with pytest.raises(Misuse) as error:
        chosen("tuned-seed1")
    line = str(error.value)
    assert "runs/scratch_lm/tuned-seed1 was not trained with the current --preset tuned" in line
    assert "dropout was 0.3 and is now 0.0; train one with" in line
    command = f"scratch_lm.train --corpus {mini_text} --preset tuned --resume"
    assert f"python -m {command}" in line
    assert chosen("runs/scratch_lm/tuned-seed1") == ["tuned-seed1"]  # as the error message suggests


def test_the_advice_for_an_outdated_teacher_keeps_the_others(
    school: Place, chosen: Callable
) -> None:
    another(school, "tuned-seed1", dropout=0.3)
    with pytest.raises(Misuse) as error:
        chosen("course-seed1", "tuned-seed1")
    assert "give --teachers course-seed1 runs/scratch_lm/tuned-seed1 to learn" in str(error.value)


def test_own_teachers_of_any_preset_must_match_the_current_recipe(
    school: Place, chosen: Callable
) -> None:
    another(school, "tuned-seed1", dropout=0.3)
    with pytest.raises(Misuse, match=r"dropout was 0\.3 and is now 0\.0"):
        chosen("own", preset="tuned")


def test_a_newer_run_on_another_text_is_skipped(school: Place, chosen: Callable) -> None:
    another(school, "tuned-seed1-2")
    file = school.path / "runs/scratch_lm/tuned-seed1-2/run.json"
    file.write_text(file.read_text("utf-8").replace('"sha256": "', '"sha256": "0', 1), "utf-8")
    assert chosen("tuned-seed1") == ["tuned-seed1"]


def test_record_refuses_teachers_from_an_outdated_tuned(school: Place, mini_text: Path) -> None:
    line = school.refused(*SCRATCH, "--corpus", mini_text, "--preset", "record")
    assert "tuned-seed1 was not trained with the current --preset tuned" in line
    assert "vocabulary was 400 and is now 1024" in line
    assert not list((school.path / "runs/scratch_lm").glob("record*"))


def test_unsuitable_teachers_are_refused(school: Place, mini_text: Path) -> None:
    command = [*SCRATCH, "--corpus", mini_text, "--teachers"]
    missing = school.refused(*command, "tuned-seed9")
    command_for_it = f"scratch_lm.train --corpus {mini_text} --seed 9 --preset tuned --resume"
    assert f"train one with python -m {command_for_it}" in missing
    vocabulary = ["--vocabulary", "390"]
    assert "a different tokenizer" in school.refused(*command, "course-seed1", *vocabulary)
    other = school.path / "other.txt"
    other.write_text(mini_text.read_text("utf-8") + "More.\n", "utf-8")
    command[command.index(mini_text)] = other
    assert "was trained on mini.txt" in school.refused(*command, "course-seed1")
    assert not list((school.path / "runs/scratch_lm").glob("*-2"))


def test_own_teachers_are_three_that_no_other_seed_learns_from() -> None:
    names = [ScratchOptions(seed=seed, teachers=["own"]).teacher_names for seed in (1, 2, 3)]
    assert names[0] == ["tuned-seed1", "tuned-seed2", "tuned-seed3"]
    assert len({name for each in names for name in each}) == 9
    assert PRESETS["record"]["teachers"] == ["own"]
    mixed = ScratchOptions(seed=2, teachers=["runs/other", "own"]).teacher_names
    assert mixed == ["runs/other", "tuned-seed4", "tuned-seed5", "tuned-seed6"]


@pytest.mark.parametrize("part", [{"train_share": 0.5}, {"leave_out": "Coriolanus"}])
def test_teachers_are_refused_with_a_part_of_the_text(part: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="--preset record and --teachers need the whole training"):
        ScratchOptions(**PRESETS["record"] | part)


def test_runs_that_share_teachers_are_said_to_vary_less(
    school: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(school.path)
    study = find_study()
    (group,) = (group for group in study.scratch if len(group.runs) == 2)
    for run in group.runs:
        run.record.teachers_sha256 = ["a", "b"]
    name = group.best.record.display_name
    notes = assemble.notes_on_training(candidates.candidates(study))
    assert sum(f"The runs of {name} share teachers" in note for note in notes) == 1
    group.runs[1].record.teachers_sha256 = ["c", "d"]
    notes = assemble.notes_on_training(candidates.candidates(study))
    assert not any("share teachers" in note for note in notes)
