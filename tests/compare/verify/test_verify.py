"""The command: what it takes, what it prints, and its exit code."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers.normalizers import Lowercase
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from compare import reachability
from compare.errors import Failure, Misuse
from compare.kinds import TrackingMode
from compare.ruler import scoring, verbatim
from compare.ruler.sampling import Sample, Settings
from compare.runs import history, models, subjects
from compare.runs.history import EvaluationLine
from compare.runs.record import TrackingRecord
from compare.verify import check as check_module
from compare.verify import generation, terminal
from compare.verify.__main__ import VerifyOptions, main
from compare.verify.card import Card, check_card
from compare.verify.points import Assignment, Measurements, Outcomes, Point, Verification, failed
from compare.verify.structure import check_decoder_only, check_ties
from compare.verify.training import check_training
from tests.compare.verify.conftest import Check, point, verdicts
from tests.run_records import make_epoch, make_metrics, make_steps_line

CARD = """---
license: mit
pipeline_tag: text-generation
tags: [from-scratch, causal-lm]
---
# A small model

It was trained from scratch on the text of the course, with a hand-written loop, for three epochs.
Its losses are at https://wandb.ai/student/course/runs/abc123.

| Training Loss | Epoch | Step | Validation Loss |
|:---:|:---:|:---:|:---:|
| 5.1 | 1.0 | 60 | 4.9 |
| 4.8 | 2.0 | 120 | 4.7 |
| 4.5 | 3.0 | 180 | 4.6 |
"""


def command(*what: object, **options: Any) -> VerifyOptions:
    options = {"seed": 1, "device": "cpu"} | options
    return VerifyOptions(what=[str(each) for each in what], **options)


def test_a_good_hand_in_passes_with_evidence_for_each_point(
    hand_in: Path, mini_text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (hand_in / "README.md").write_text(CARD, "utf-8")
    main(command(hand_in, corpus=str(mini_text), bytes="200"))
    shown = capsys.readouterr().out
    assert "0 fail" in shown and "FAIL" not in shown
    for evidence in ("22,432 parameters", "decoded again byte for byte", "/runs/abc123"):
        assert evidence in " ".join(shown.split())
    assert "At least 3 epochs (claimed)" in shown


def test_json_has_every_point_and_number(
    hand_in: Path, mini_text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(command(hand_in, corpus=str(mini_text), json=True))
    found = json.loads(capsys.readouterr().out)
    (outcome,) = found["outcomes"]
    assert found["ok"] and outcome["assignment"] == "scratch"
    assert outcome["kind"] == "directory" and outcome["commit"] is None
    assert outcome["measurements"]["parameters"] == 22_432
    assert 0 < outcome["measurements"]["bits_per_byte"] < 8
    assert all(each["evidence"] for each in outcome["points"])
    assert {each["verdict"] for each in outcome["points"]} == {"pass", "not checkable"}
    assert {each["basis"] for each in outcome["points"]} <= {"computed", "claimed"}


def test_several_give_a_table_and_one_that_is_missing_does_not_stop_the_others(
    hand_in: Path,
    tiny_base: Path,
    mini_text: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(command(hand_in, tiny_base, "nowhere", corpus=str(mini_text), quick=True))
    assert stop.value.code == 1
    shown = capsys.readouterr().out
    rows = {line.split()[0]: line for line in shown.splitlines()[1:4]}
    assert rows[str(hand_in)].split()[3] == "0"  # fails
    assert "torch-nn" in rows[str(tiny_base)]  # of transformers, and it says nothing else
    assert "not checked" in rows["nowhere"]
    assert "nowhere is neither a directory here nor" in shown


def test_one_whose_check_stops_with_an_error_does_not_stop_the_others(
    hand_in: Path,
    trained: Path,
    tiny_base: Path,
    mini_text: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (hand_in / "model.py").open("a") as file:
        file.write("\nraise SystemExit(3)\n")
    original = check_module.check_card

    def fail(subject: subjects.Subject, *arguments: Any) -> list[Point]:
        if subject.what == str(tiny_base):
            raise RuntimeError("of two\nlines")
        return original(subject, *arguments)

    monkeypatch.setattr(check_module, "check_card", fail)
    what = (hand_in, tiny_base, trained)
    with pytest.raises(SystemExit) as stop:
        main(command(*what, corpus=str(mini_text), quick=True, trust_code=True))
    assert stop.value.code == 1
    captured = capsys.readouterr()
    rows = {line.split()[0]: line for line in captured.out.splitlines()[1:4]}
    assert "not checked" in rows[str(hand_in)] and "not checked" in rows[str(tiny_base)]
    assert "not checked" not in rows[str(trained)]
    assert "stopped with SystemExit: 3" in captured.out
    assert "stopped with RuntimeError: of two lines" in captured.out
    assert f"{hand_in}: not checked" in captured.err  # as soon as it is known


def test_the_seed_is_random_unless_it_is_given_and_is_shown(
    hand_in: Path,
    mini_text: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(secrets, "randbelow", lambda limit: 1234)
    main(command(hand_in, corpus=str(mini_text), quick=True, seed=None))
    shown = capsys.readouterr().out
    assert "--seed 1234" in shown and "seed 1234, temperature" in " ".join(shown.split())
    main(command(hand_in, corpus=str(mini_text), quick=True, seed=5))
    assert "--seed 5" in capsys.readouterr().out


def test_control_characters_cannot_change_what_the_terminal_shows() -> None:
    evil = "\x1b[2K\x1b[1Apass\r\u202e"
    measured = Measurements(sample=f"one {evil}\n\ttwo caf\u00e9")
    found = Verification(
        "a",
        subjects.SubjectKind.RUN,
        "run",
        Assignment.SCRATCH,
        measured,
        [failed("tags", "Tags", f"tag {evil}")],
    )
    shown = list(terminal.show(Outcomes([found]), 100))
    assert not any(character in line for line in shown for character in "\x1b\r\n\u202e")
    assert any("[2K" in line for line in shown)
    assert ["two", "caf\u00e9"] in [line.split() for line in shown]  # on a line of its own


def test_scores_on_another_text_name_it() -> None:
    def scored(what: str, text: str) -> Verification:
        measured = Measurements(text=text, bits_per_byte=1.5)
        kind = subjects.SubjectKind.RUN
        return Verification(what, kind, "run", Assignment.SCRATCH, measured, [])

    outcomes = [scored("a", "text A"), scored("b", "text B"), scored("c", "text B")]
    rows = list(terminal.show(Outcomes(outcomes), 100))[1:4]
    assert [row.partition("1.5000")[2].strip() for row in rows] == ["on text A", "", ""]


@pytest.mark.parametrize(
    ("before", "epochs", "verdict"),
    [(9.9, [5.5], "pass"), (5.0, [5.5, 5.2, 5.1], "fail"), (None, [5.5], "not checkable")],
)
def test_fine_tuning_must_lower_the_loss_but_need_not_take_three_epochs(
    run: Path,
    edit_record: Callable[..., None],
    before: float | None,
    epochs: list[float],
    verdict: str,
) -> None:
    zero_shot = replace(make_metrics(), loss=before) if before else None
    records = [make_epoch(50 * loss, number) for number, loss in enumerate(epochs, 1)]
    edit_record(zero_shot=zero_shot, epochs=records, best_epoch=1)
    points = check_training(subjects.find_subject(str(run)), Card(), Assignment.FINE_TUNED)
    found = {each.id: each.verdict for each in points}
    assert found["validation"] == verdict and "epochs" not in found


HEADER = "| epoch | train loss | validation loss |\n|---|---|---|\n"
FROM_ZERO = HEADER + "| 0 | 5.5 | 5.0 |\n| 1 | 4.9 | 4.5 |\n| 2 | 4.4 | 4.6 |\n"
WITHOUT_TRAINING_LOSS = HEADER + "| 0 | | 5.0 |\n| 1 | | 4.5 |\n| 2 | | 4.6 |\n"


@pytest.mark.parametrize(
    ("assignment", "table", "expected"),
    [
        (Assignment.SCRATCH, FROM_ZERO, {"epochs": "pass", "validation": "pass"}),
        (Assignment.SCRATCH, FROM_ZERO.replace("| 2 | 4.4 | 4.6 |\n", ""), {"epochs": "fail"}),
        (Assignment.SCRATCH, WITHOUT_TRAINING_LOSS, {"epochs": "not checkable"}),
        (Assignment.SCRATCH, HEADER + "| 1 | 5 | 5 |\n| 20 | 4 | 4 |\n", {"epochs": "pass"}),
        (Assignment.SCRATCH, HEADER + "| 1 | 5 | 5 |\n| 2 | 4 | 4 |\n", {"epochs": "fail"}),
        (
            Assignment.SCRATCH,
            HEADER + "| 1 | 5 | 5 |\n| 2.8 | 4 | 4 |\n",
            {"epochs": "not checkable"},
        ),
        (
            Assignment.FINE_TUNED,
            FROM_ZERO.replace("4.5", "5.1").replace("4.6", "5.2"),
            {"validation": "not checkable"},
        ),
        (
            Assignment.FINE_TUNED,
            WITHOUT_TRAINING_LOSS.replace("4.5", "5.1").replace("4.6", "5.2"),
            {"validation": "not checkable"},
        ),
        (
            Assignment.FINE_TUNED,
            HEADER + "| 0 | | 5.0 |\n| 1 | 4.9 | 4.5 |\n",
            {"validation": "pass"},
        ),
    ],
)
def test_a_card_s_epochs_go_by_their_numbers_and_may_begin_with_0(
    tmp_path: Path, assignment: Assignment, table: str, expected: dict[str, str]
) -> None:
    points = check_training(subjects.Subject("a", tmp_path), Card(table), assignment)
    found = {each.id: str(each.verdict) for each in points}
    assert found | expected == found


def test_a_fine_tuned_model_may_be_large_and_of_a_library(tiny_base: Path, check: Check) -> None:
    model, _ = models.load(tiny_base)
    found = check(tiny_base, assignment=Assignment.FINE_TUNED)
    ids = verdicts(found)
    assert not {"small", "torch-nn", "own-loop", "from-scratch"} & set(ids)
    assert ids["causal"] == ids["rows"] == ids["repeatable"] == "pass"
    assert found.measurements.parameters == model.num_parameters()


def test_what_a_bare_model_cannot_show_is_not_checkable(hand_in: Path, check: Check) -> None:
    found = verdicts(check(hand_in))
    open_points = ("claims", "own-loop", "epochs", "validation", "tracking", "card", "tags")
    assert {found[id] for id in (*open_points, "published")} == {"not checkable"}
    assert {verdict for id, verdict in found.items() if id not in (*open_points, "published")} == {
        "pass"
    }


def test_traces_of_the_trainer_are_found(hand_in: Path, check: Check) -> None:
    (hand_in / "training_args.bin").touch()
    assert verdicts(check(hand_in))["own-loop"] == "fail"


@pytest.mark.parametrize(
    ("card", "failing"),
    [
        ("# A model\n", {"card", "tags"}),
        (CARD.replace("from-scratch, causal-lm", ""), {"tags"}),
        (CARD + "\n[More Information Needed]\n", {"card"}),
        (CARD.replace("| 3.0 | 180 | 4.6 |", ""), {"epochs"}),
        (CARD.replace("4.7", "4.9").replace("4.6", "5.0"), {"validation"}),
        ("---\n: {\n---\n" + CARD[CARD.index("# A") :], {"card", "tags"}),
    ],
)
def test_what_a_card_lacks_is_named(
    hand_in: Path, check: Check, card: str, failing: set[str]
) -> None:
    (hand_in / "README.md").write_text(card, "utf-8")
    assert {each.id for each in check(hand_in).failed} == failing


@pytest.mark.parametrize(
    ("mode", "verdict"),
    [
        (TrackingMode.ONLINE, "fail"),
        (TrackingMode.OFFLINE, "not checkable"),
        (TrackingMode.DISABLED, "fail"),
    ],
)
def test_tracking_is_read_from_the_record(
    run: Path, check: Check, edit_record: Callable[..., None], mode: TrackingMode, verdict: str
) -> None:
    edit_record(tracking=TrackingRecord(project="p", mode=mode, where="here"))
    found = check(run)
    assert verdicts(found)["tracking"] == verdict
    if mode is TrackingMode.ONLINE:
        history.append(run / history.HISTORY, make_steps_line())
        history.append(run / history.HISTORY, EvaluationLine.of(1, 100, make_metrics()))
        history.append(run / history.SAMPLES, Sample(1, "a", "b", 1, Settings()))
        assert verdicts(check(run))["tracking"] == "pass"


def test_a_record_that_lies_about_the_number_of_parameters_is_found(
    run: Path, check: Check
) -> None:
    text = (run / "run.json").read_text("utf-8")
    (run / "run.json").write_text(text.replace("22432", "12432"), "utf-8")
    assert verdicts(check(run))["record"] == "fail"


def test_a_model_with_its_own_names_for_its_size_is_scored(
    hand_in: Path, check: Check, trained: Path
) -> None:
    """`block_size` instead of max_position_embeddings."""
    code = (
        (hand_in / "model.py").read_text("utf-8").replace("max_position_embeddings", "block_size")
    )
    (hand_in / "model.py").write_text(code, "utf-8")
    config = (hand_in / "config.json").read_text("utf-8")
    (hand_in / "config.json").write_text(
        config.replace("max_position_embeddings", "block_size"), "utf-8"
    )
    found = check(hand_in, trust_code=True)
    assert "32 tokens of context" in point(found, "loads").evidence
    expected = check(trained).measurements.bits_per_byte
    assert found.measurements.bits_per_byte == expected


@pytest.mark.parametrize(
    ("name", "evidence"),
    [("max_len", "32 tokens of context"), ("room", "32 tokens of context, the largest power")],
)
def test_a_context_length_that_is_guessed_is_said_to_be(
    hand_in: Path, check: Check, name: str, evidence: str
) -> None:
    for file in (hand_in / "model.py", hand_in / "config.json"):
        text = file.read_text("utf-8").replace("max_position_embeddings", name)
        file.write_text(text, "utf-8")
    found = point(check(hand_in, trust_code=True), "loads").evidence
    assert found.partition("; ")[2].startswith(evidence)
    assert ("largest power" in found) == (name == "room")


def test_a_tokenizer_that_needs_code_needs_trust(hand_in: Path, check: Check) -> None:
    code = (
        "from transformers import PreTrainedTokenizerFast\n\n\n"
        "class Mine(PreTrainedTokenizerFast):\n    pass\n"
    )
    (hand_in / "mine.py").write_text(code, "utf-8")
    config = json.loads((hand_in / "tokenizer_config.json").read_text("utf-8"))
    names = {"auto_map": {"AutoTokenizer": [None, "mine.Mine"]}, "tokenizer_class": "Mine"}
    (hand_in / "tokenizer_config.json").write_text(json.dumps(config | names), "utf-8")
    loads = point(check(hand_in), "loads")
    assert loads.verdict == "not checkable" and "--trust-code" in loads.evidence
    found = check(hand_in, trust_code=True)
    assert verdicts(found)["loads"] == "pass"
    tokenizer = point(found, "tokenizer")
    assert tokenizer.verdict == "fail"
    assert tokenizer.evidence == (
        "Mine comes from its own code: hand in a tokenizer class of transformers"
    )


def test_a_model_that_cannot_be_called_fails_without_traceback(hand_in: Path, check: Check) -> None:
    code = (hand_in / "model.py").read_text("utf-8")
    broken = code.replace("logits = self.lm_head(x)\n", "raise RuntimeError('out of ideas')\n")
    (hand_in / "model.py").write_text(broken, "utf-8")
    loads = point(check(hand_in, trust_code=True), "loads")
    assert loads.verdict == "fail" and "out of ideas" in loads.evidence


@pytest.mark.parametrize(
    ("raised", "reported"),
    [
        ("torch.OutOfMemoryError('CUDA out of memory')", torch.OutOfMemoryError),
        ("RuntimeError('MPS backend out of memory')", torch.OutOfMemoryError),
        ('RuntimeError("DefaultCPUAllocator: can\'t allocate memory")', Failure),
    ],
    ids=["GPU", "Apple GPU", "CPU"],
)
def test_a_full_memory_is_not_held_against_the_model_that_is_called(
    hand_in: Path, mini_text: Path, raised: str, reported: type[Exception]
) -> None:
    code = (hand_in / "model.py").read_text("utf-8")
    full = code.replace("logits = self.lm_head(x)\n", f"raise {raised}\n")
    (hand_in / "model.py").write_text(full, "utf-8")
    with pytest.raises(reported, match="memory"):
        main(command(hand_in, corpus=str(mini_text), quick=True, trust_code=True))


@pytest.mark.parametrize(
    ("module", "name"),
    [(scoring, "score"), (generation, "sample"), (verbatim, "repeated_tokens")],
    ids=["score", "samples", "passages"],
)
def test_a_full_memory_ends_the_check_wherever_it_happens(
    hand_in: Path, check: Check, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    def fill(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(module, name, fill)
    with pytest.raises(torch.OutOfMemoryError):  # which the command reports with advice
        check(hand_in)


@pytest.mark.parametrize(
    "full",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    ],
    ids=["GPU", "Apple GPU"],
)
def test_a_full_gpu_also_ends_the_check_of_several(
    trained: Path, mini_text: Path, monkeypatch: pytest.MonkeyPatch, full: Exception
) -> None:
    def fill(*_: Any, **__: Any) -> None:
        raise full

    # As when the first model is moved to the GPU.
    monkeypatch.setattr(models, "load", fill)
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        main(command(trained, trained, corpus=str(mini_text)))


def test_weights_without_a_class_are_counted_but_not_scored(hand_in: Path, check: Check) -> None:
    config = json.loads((hand_in / "config.json").read_text("utf-8"))
    for key in ("model_type", "auto_map", "architectures"):
        del config[key]
    (hand_in / "config.json").write_text(json.dumps(config), "utf-8")
    found = check(hand_in)
    assert "model_type" in point(found, "loads").evidence
    assert verdicts(found)["loads"] == "not checkable"
    assert verdicts(found)["small"] == "pass"


def test_a_tokenizer_that_loses_text_leaves_the_score_open(
    tmp_path: Path, tiny_base: Path, check: Check
) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "lossy"))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.backend_tokenizer.normalizer = Lowercase()
    tokenizer.save_pretrained(folder)
    found = check(folder)
    assert verdicts(found)["score"] == "not checkable"
    assert "does not reproduce the text" in point(found, "score").evidence
    assert verdicts(found)["unseen"] == "not checkable"


def test_a_model_with_cross_attention_is_not_decoder_only() -> None:
    config = GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=9, add_cross_attention=True)
    found = check_decoder_only(GPT2LMHeadModel(config), is_causal=True)
    assert found.verdict == "fail" and "cross-attention" in found.evidence


def test_torch_s_name_for_cross_attention_may_be_that_of_self_attention() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.multihead_attn = nn.MultiheadAttention(8, 1)

    class Model(nn.Module):
        def __init__(self, block: nn.Module) -> None:
            super().__init__()
            self.config, self.blocks = GPT2Config(), nn.ModuleList([block])

    found: Any = check_decoder_only(Model(Block()), is_causal=True)  # type: ignore[arg-type]
    assert found.verdict == "pass"
    layer = nn.TransformerDecoderLayer(8, 1)
    found = check_decoder_only(Model(layer), is_causal=True)  # type: ignore[arg-type]
    assert found.verdict == "fail" and "blocks.0.multihead_attn" in found.evidence


@pytest.mark.parametrize(
    ("tied", "config", "verdict"),
    [
        (True, {}, "pass"),
        (False, {}, "not checkable"),
        (True, {"tie_word_embeddings": True}, "pass"),
        (False, {"tie_word_embeddings": True}, "fail"),
        (False, {"tie_word_embeddings": False}, "pass"),
    ],
)
def test_ties_must_be_as_configured(tied: bool, config: dict[str, bool], verdict: str) -> None:
    sizes = {"n_layer": 1, "n_embd": 8, "n_head": 1, "vocab_size": 9}
    model = GPT2LMHeadModel(GPT2Config(**sizes, tie_word_embeddings=tied))
    assert check_ties(model, config).verdict == verdict


def test_an_adapter_must_be_merged(hand_in: Path, check: Check) -> None:
    (hand_in / "config.json").unlink()
    (hand_in / "model.safetensors").rename(hand_in / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "base_model_name_or_path": "openai-community/gpt2"}
    (hand_in / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    found = check(hand_in)
    loads = point(found, "loads")
    assert loads.verdict == "not checkable"
    assert "this is an adapter of openai-community/gpt2: merge it" in loads.evidence
    assert found.assignment is Assignment.FINE_TUNED


@pytest.mark.parametrize(
    "what", ["student/model", "student/model@v1", "{endpoint}/student/model/tree/v1"]
)
def test_hub_repositories_go_by_name_revision_or_address(
    hand_in: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    asked: dict[str, Any] = {}

    def download(repo: str, revision: str | None, **patterns: Any) -> str:
        asked.update(repo=repo, revision=revision, **patterns)
        return str(hand_in)

    monkeypatch.setattr(subjects, "snapshot_download", download)
    info = SimpleNamespace(siblings=[SimpleNamespace(rfilename="training_args.bin")])
    monkeypatch.setattr(subjects.HfApi, "model_info", lambda *_, **__: info)
    monkeypatch.setattr(reachability, "hub_reachable", lambda: True)
    subject = subjects.find_subject(what.format(endpoint=subjects.constants.ENDPOINT))
    assert asked["repo"] == "student/model"
    assert asked["revision"] == (None if what == "student/model" else "v1")
    assert not any(pattern.endswith((".bin", ".pt", ".pkl")) for pattern in asked["allow_patterns"])
    assert subject.repository
    assert subject.repository.address == f"{subjects.constants.ENDPOINT}/student/model"
    assert subject.repository.file_names == {"training_args.bin"}
    address = "hub.example/student/model"  # as it is shown, and as it is configured
    monkeypatch.setattr(subjects.constants, "ENDPOINT", "https://me:secret@hub.example")
    for given in (f"https://{address}", f"https://me:secret@{address}"):
        repository = subjects.find_subject(given).repository
        assert repository and repository.address == f"https://{address}"


def test_a_repository_from_the_cache_is_said_to_be(tmp_path: Path) -> None:
    repository = subjects.Repository("https://hub/a/b", "c" * 40, is_from_cache=True)
    subject = subjects.Subject("a/b", tmp_path, repository=repository)
    assert subject.kind is subjects.SubjectKind.REPOSITORY
    assert subject.description == (
        "Hub repository at commit ccccccccc, from the cache because the Hub cannot be reached"
    )


def test_a_copy_in_the_cache_does_not_show_what_is_on_the_hub(tmp_path: Path) -> None:
    repository = subjects.Repository("https://hub/a/b", "c" * 40, is_from_cache=True)
    subject = subjects.Subject("a/b", tmp_path, repository=repository)
    points = check_training(subject, Card(), Assignment.SCRATCH)
    points += check_card(subject, Card(), Assignment.SCRATCH)
    found_points = {each.id: each for each in points}
    for id in ("own-loop", "published", "card", "tags"):
        assert found_points[id].verdict == "not checkable", id
        assert "no trace" not in found_points[id].evidence


def test_a_login_in_an_address_is_left_out() -> None:
    assert subjects.without_login("https://me:secret@hub.example:8443/a/b?c") == (
        "https://hub.example:8443/a/b?c"
    )
    assert subjects.without_login("https://huggingface.co/a@b") == "https://huggingface.co/a@b"


def test_paths_and_names_without_a_model_are_refused_with_a_remedy(
    tmp_path: Path, run: Path, edit_record: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, file = tmp_path / "empty", tmp_path / "model.zip"
    empty.mkdir()
    file.touch()
    for what, message in ((empty, "save_pretrained"), (file, "is a file"), ("nope", "OWNER/NAME")):
        with pytest.raises(Misuse, match=message):
            subjects.find_subject(str(what))

    def out_of_reach(*_: Any, **__: Any) -> str:
        raise subjects.LocalEntryNotFoundError("not in the cache")

    monkeypatch.setattr(reachability, "hub_reachable", lambda: False)
    monkeypatch.setattr(subjects, "snapshot_download", out_of_reach)
    with pytest.raises(Failure, match="cannot be reached"):
        subjects.find_subject("student/model")


@pytest.mark.parametrize("value", ["0", "-1", "few", "runs/x"])
def test_how_much_to_code_is_a_number_or_all(value: str) -> None:
    with pytest.raises(ValueError, match="--bytes"):
        command("x", bytes=value)
