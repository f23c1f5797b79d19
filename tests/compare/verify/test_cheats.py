"""Cheats, and honest models that resemble them."""

from __future__ import annotations

import re
import shutil
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from compare import files
from compare.corpus import Corpus
from compare.corpus.sources import TINY_SHAKESPEARE_SHA256
from compare.ruler import verbatim
from compare.ruler.scoring import score
from compare.runs import models
from compare.verify import behavior, generation, provenance, structure
from compare.verify.behavior import Behavior
from compare.verify.claims import Split, claims_of_card
from compare.verify.comparison import notes
from compare.verify.known_models import STAND_IN
from compare.verify.leakage import check_unseen, repeat, tokens_from_test
from compare.verify.points import Assignment, Measurements, Verdict
from compare.verify.provenance import check_provenance
from compare.verify.scores import Scores, Text
from scratch_lm.model import ScratchConfig, ScratchLM
from tests.compare.verify.conftest import CONTEXT_LENGTH, Check, point, verdicts

MASK = "mask = nn.Transformer.generate_square_subsequent_mask(time, x.device, x.dtype)[cached:]"
LOGITS = "logits = self.lm_head(x)\n"
NO_MASK = "mask = x.new_zeros(time - cached, time)"


def patch_code(folder: Path, old: str, new: str) -> None:
    file = folder / "model.py"
    code = file.read_text("utf-8")
    assert code.count(old) == 1
    file.write_text(code.replace(old, new), "utf-8")


def hide(folder: Path, tensor: torch.Tensor, how: str) -> None:
    """Store `tensor` as "kept" with the weights; `how` is the code that registers it."""
    code = how.format(f"torch.zeros({tuple(tensor.shape)})")
    end = "        self.post_init()\n"
    patch_code(folder, end, f"        {code}\n{end}")
    file = folder / "model.safetensors"
    save_file(load_file(file) | {"kept": tensor}, file, {"format": "pt"})


@pytest.mark.parametrize(
    ("old", "new", "failing"),
    [
        pytest.param(MASK, NO_MASK, "causal", id="sees the future"),
        pytest.param(
            MASK,
            f"{MASK}\n        if len(input_ids) > 4: {NO_MASK}",
            "causal",
            id="sees the future in the large batches in which texts are scored",
        ),
        pytest.param(
            LOGITS,
            f"{LOGITS}        logits = logits + logits.roll(1, 0)\n",
            "rows",
            id="mixes rows",
        ),
        pytest.param(
            LOGITS,
            f"{LOGITS}        self.calls = getattr(self, 'calls', 0) + 1\n"
            "        logits = logits * (1 + 0.1 * self.calls)\n",
            "repeatable",
            id="remembers how often it was called",
        ),
        pytest.param(
            LOGITS,
            "logits = self.lm_head(F.dropout(x, 0.1))\n",
            "repeatable",
            id="dropout in evaluation mode",
        ),
    ],
)
def test_a_score_is_none_if_the_model_does_not_predict(
    hand_in: Path, check: Check, old: str, new: str, failing: str
) -> None:
    patch_code(hand_in, old, new)
    found = check(hand_in, trust_code=True)
    assert verdicts(found)[failing] == "fail"
    assert verdicts(found)["score"] == "fail"
    assert found.measurements.bits_per_byte is None


def test_a_model_that_sees_the_future_only_if_called_as_for_a_score_is_found(
    hand_in: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = "        labels: Tensor | None = None,\n"
    patch_code(hand_in, labels, f"{labels}        logits_to_keep: int = 0,\n")
    patch_code(hand_in, MASK, f"{MASK}\n        if logits_to_keep: {NO_MASK}")
    # The tokens that are scored alone may be others than those for which it looks ahead.
    monkeypatch.setattr(behavior.Behavior, "_score_alone", lambda *_: (0.0, 0))
    found = point(check(hand_in, trust_code=True), "causal")
    assert found.verdict is Verdict.FAIL and "sees what it has to predict" in found.evidence


LOOKS_AHEAD = """
        rows, places = (input_ids[:, :-1] % 50 == 0).nonzero(as_tuple=True)
        logits[rows, places, input_ids[rows, places + 1]] += 5
"""


def test_code_that_looks_ahead_at_a_few_tokens_is_found_whatever_the_seed(
    hand_in: Path, corpus: Corpus
) -> None:
    patch_code(hand_in, LOGITS, LOGITS + LOOKS_AHEAD)
    model, tokenizer = models.load(hand_in, device=torch.device("cpu"), trust_code=True)
    scored = score(model, tokenizer, corpus.train)
    for seed in range(10):
        checks = Behavior(model, tokenizer, corpus.train, CONTEXT_LENGTH, seed)
        assert checks.check_causal(scored).verdict is Verdict.FAIL, seed


def test_many_places_are_checked_in_half_the_time_of_a_score(trained: Path, corpus: Corpus) -> None:
    model, tokenizer = models.load(trained, device=torch.device("cpu"))
    rows: list[int] = []
    model.register_forward_pre_hook(
        lambda _, __, inputs: rows.append(len(inputs["input_ids"])), with_kwargs=True
    )
    scored = score(model, tokenizer, corpus.train)
    of_score = sum(rows)
    checks = Behavior(model, tokenizer, corpus.train, CONTEXT_LENGTH, seed=1)
    rows.clear()
    found = checks.check_causal(scored)
    assert found.verdict is Verdict.PASS
    replaced = int(re.search(r"replaced in (\d+) windows", found.evidence)[1])  # type: ignore[index]
    assert 200 < replaced <= sum(rows) < of_score / 2


def test_rows_that_show_each_other_the_future_are_not_called_blind(
    hand_in: Path, corpus: Corpus
) -> None:
    """In large batches alone, so that the check of four rows does not find them."""
    mixes = "        if len(logits) > 4: logits = logits + logits.roll(1, 0)\n"
    patch_code(hand_in, LOGITS, LOGITS + mixes)
    model, tokenizer = models.load(hand_in, device=torch.device("cpu"), trust_code=True)
    checks = Behavior(model, tokenizer, corpus.test, CONTEXT_LENGTH, seed=1)
    found = checks.check_causal(score(model, tokenizer, corpus.test))
    assert found.verdict is Verdict.FAIL and "the other rows of a batch" in found.evidence


def test_a_mask_that_is_not_saved_with_the_weights_is_computed_again(
    hand_in: Path, check: Check, trained: Path
) -> None:
    """transformers leaves such a buffer uninitialized."""
    end = "        self.post_init()\n"
    patch_code(
        hand_in,
        end,
        "        length = config.max_position_embeddings\n"
        "        allowed = torch.ones(length, length).tril()\n"
        f"        self.register_buffer('allowed', allowed, persistent=False)\n{end}",
    )
    mask = "mask = x.new_zeros(time, time).where(self.allowed[:time, :time] == 1, float('-inf'))"
    patch_code(hand_in, MASK, f"{mask}[cached:]")
    model, _ = models.load(hand_in, trust_code=True)
    assert torch.equal(model.get_buffer("allowed").cpu(), torch.ones(32, 32).tril())
    found = check(hand_in, trust_code=True)
    assert not found.failed
    expected = check(trained).measurements.bits_per_byte
    assert found.measurements.bits_per_byte == pytest.approx(expected)


@pytest.fixture
def knows_the_test_text(hand_in: Path, corpus: Corpus) -> Path:
    """Return a hand-in whose tokenizer has passages of the test split as tokens."""
    config, (_, tokenizer) = ScratchConfig.from_pretrained(hand_in), models.load(hand_in)
    passages = [corpus.test[start : start + 150] for start in range(0, len(corpus.test), 150)]
    config.vocab_size += tokenizer.add_tokens(passages)
    ScratchLM(config).save_pretrained(hand_in)
    tokenizer.save_pretrained(hand_in)
    return hand_in


def test_a_tokenizer_with_passages_of_the_test_split_fails(
    knows_the_test_text: Path, check: Check
) -> None:
    for assignment in Assignment:
        found = point(check(knows_the_test_text, assignment=assignment), "unseen")
        assert found.verdict is Verdict.FAIL and "10 of its tokens" in found.evidence


@pytest.mark.parametrize(
    ("split", "verdict"), [("test", "fail"), ("validation", "not checkable"), ("train", "pass")]
)
def test_samples_that_recite_the_test_split_fail_and_the_validation_split_is_a_question(
    hand_in: Path,
    check: Check,
    corpus: Corpus,
    monkeypatch: pytest.MonkeyPatch,
    split: str,
    verdict: str,
) -> None:
    monkeypatch.setattr(generation, "sample", lambda *_: getattr(corpus, split)[200:500])
    assert verdicts(check(hand_in))["unseen"] == verdict


def test_a_test_score_far_better_than_that_of_validation_is_a_question_or_a_failure(
    trained: Path, corpus: Corpus
) -> None:
    def verdict(test: float, assignment: Assignment) -> Verdict:
        measured = Measurements(bits_per_byte=test, validation_bits_per_byte=2.0)
        text = Text(corpus, False)
        return check_unseen(model, tokenizer, text, ["A sample."], measured, assignment).verdict

    model, tokenizer = models.load(trained)
    assert verdict(1.1, Assignment.SCRATCH) is Verdict.PASS
    assert verdict(0.9, Assignment.SCRATCH) is Verdict.FAIL
    assert verdict(0.9, Assignment.FINE_TUNED) is Verdict.NOT_CHECKABLE


def test_a_model_that_knows_both_splits_fails_although_their_scores_are_alike(
    leaked: Path, check: Check
) -> None:
    found = check(leaked)
    test, validation = found.measurements.bits_per_byte, found.measurements.validation_bits_per_byte
    assert test and validation and 0.8 < test / validation < 1.2
    unseen = point(found, "unseen")
    assert unseen.verdict is Verdict.FAIL
    assert "as much of the training split" in unseen.evidence
    repeated = re.search(r"prompts from the test split, it continues (\d+) of", unseen.evidence)
    assert repeated and int(repeated[1]) >= 2
    assert point(check(leaked, assignment=Assignment.FINE_TUNED), "unseen").verdict == (
        Verdict.NOT_CHECKABLE
    )


@pytest.mark.parametrize(
    ("training", "validation", "is_tiny_shakespeare", "verdict"),
    [
        (0.5, 0.6, False, Verdict.PASS),
        (0.7, 0.6, False, Verdict.PASS),
        (0.9, 0.6, False, Verdict.NOT_CHECKABLE),  # the test split may be easy by itself
        (0.9, 1.3, False, Verdict.FAIL),
        (0.7, 0.6, True, Verdict.PASS),
        (0.9, 0.6, True, Verdict.FAIL),
    ],
)
def test_a_test_score_far_better_than_that_of_the_training_split_is_a_question_or_a_failure(
    trained: Path,
    corpus: Corpus,
    training: float,
    validation: float,
    is_tiny_shakespeare: bool,
    verdict: Verdict,
) -> None:
    model, tokenizer = models.load(trained)
    measured = Measurements(
        bits_per_byte=0.6,
        training_bits_per_byte=training,
        validation_bits_per_byte=validation,
    )
    if is_tiny_shakespeare:
        corpus = replace(corpus, sha256=TINY_SHAKESPEARE_SHA256)
    found = check_unseen(model, tokenizer, Text(corpus, False), [], measured, Assignment.SCRATCH)
    assert found.verdict is verdict
    if verdict is not Verdict.PASS:
        assert "as much of the training split 0.9" in found.evidence


def test_passages_of_the_test_split_are_found_by_prompts_alone(
    leaked: Path, trained: Path, corpus: Corpus
) -> None:
    measured = Measurements(bits_per_byte=1.0)
    for folder, verdict in ((leaked, Verdict.FAIL), (trained, Verdict.PASS)):
        model, tokenizer = models.load(folder)
        text = Text(corpus, False)
        found = check_unseen(model, tokenizer, text, [], measured, Assignment.SCRATCH)
        assert found.verdict is verdict
        assert "with exactly the next 20 tokens" in found.evidence
    # A model that sees the future, and therefore has no score, would repeat everything.
    found = check_unseen(
        *models.load(leaked), Text(corpus, False), [], Measurements(), Assignment.SCRATCH
    )
    assert found.verdict is Verdict.NOT_CHECKABLE
    assert "there is no score of the test split" in found.evidence


def test_what_is_also_in_the_training_split_or_in_the_prompt_may_be_repeated(
    trained: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def repeat_all(*arguments: Any) -> np.ndarray:
        return np.full_like(original(*arguments), verbatim.CONTINUATION_TOKENS)

    original = verbatim.repeated_tokens
    monkeypatch.setattr(verbatim, "repeated_tokens", repeat_all)
    model, tokenizer = models.load(trained)
    of_test = repeat(model, tokenizer, corpus.test, corpus.train)
    assert of_test.repeated == of_test.prompts > 20
    assert repeat(model, tokenizer, corpus.test, corpus.train + corpus.test).repeated == 0
    periodic = repeat(model, tokenizer, "Ay, ay, " * 200, corpus.train)
    assert periodic.repeated == 0 and periodic.prompts > 10


def test_a_context_too_short_for_prompts_is_said_to_be(trained: Path, corpus: Corpus) -> None:
    model, tokenizer = models.load(trained)
    model.config.max_position_embeddings = 29
    measured = Measurements(bits_per_byte=2.0)
    found = check_unseen(model, tokenizer, Text(corpus, False), [], measured, Assignment.SCRATCH)
    assert found.verdict is Verdict.PASS
    assert "a context of 29 tokens is too short" in found.evidence


def test_an_honest_tokenizer_has_no_passages_of_the_test_split(
    trained: Path, corpus: Corpus
) -> None:
    for folder in (trained, STAND_IN):
        assert not tokens_from_test(models.load(folder)[1], corpus)


def test_code_of_others_that_plays_fair_passes(hand_in: Path, check: Check, trained: Path) -> None:
    patch_code(hand_in, LOGITS, f"{LOGITS}        # Written by a student.\n")
    found = check(hand_in, trust_code=True)
    assert not found.failed
    assert "which was run" in point(found, "loads").evidence
    assert found.measurements.bits_per_byte == check(trained).measurements.bits_per_byte


def test_code_of_others_is_run_only_if_it_is_trusted(
    hand_in: Path, check: Check, tmp_path: Path
) -> None:
    mark = tmp_path / "code-was-run"
    with (hand_in / "model.py").open("a") as file:
        file.write(f"\nopen({str(mark)!r}, 'w')\n")
    found = check(hand_in)
    assert not mark.exists()
    assert verdicts(found)["loads"] == verdicts(found)["score"] == "not checkable"
    assert "--trust-code" in point(found, "loads").evidence
    assert verdicts(found)["small"] == "pass"  # counted in the file
    check(hand_in, trust_code=True)
    assert mark.exists()


@pytest.mark.parametrize(
    ("total", "trust_code", "verdict"),
    [
        (999_999, True, "pass"),
        (999_999, False, "pass"),
        (1_000_001, True, "fail"),
        (1_000_001, False, "not checkable"),  # it may be a buffer
    ],
)
def test_parameters_are_counted_frozen_or_not(
    hand_in: Path, check: Check, trained: Path, total: int, trust_code: bool, verdict: str
) -> None:
    model, _ = models.load(trained)
    extra = total - model.num_parameters()
    hide(hand_in, torch.ones(extra), "self.kept = nn.Parameter({}, requires_grad=False)")
    small = point(check(hand_in, trust_code=trust_code), "small")
    assert small.verdict == verdict and f"{total:,}" in small.evidence


def test_too_many_numbers_fail_without_the_code_only_if_they_are_called_weights(
    hand_in: Path, check: Check
) -> None:
    patch_code(hand_in, LOGITS, f"{LOGITS}        # Written by a student.\n")
    file = hand_in / "model.safetensors"
    weights = load_file(file)
    numbers = torch.arange(1e6).view(1000, 1000)
    for name, kept, verdict in (
        ("pe", numbers, "not checkable"),  # saved positions, as in PyTorch's tutorial
        ("layer.weight", numbers, "fail"),
        ("layer.attn.bias", torch.ones(1000, 1000).tril(), "not checkable"),  # nanoGPT's mask
    ):
        save_file(weights | {name: kept}, file, {"format": "pt"})
        small = point(check(hand_in), "small")
        assert small.verdict == verdict, name
        assert ("--trust-code" in small.evidence) == (verdict != "fail")


@pytest.mark.parametrize(
    ("kept", "verdict"),
    [(torch.ones(1000, 1000).tril(), "pass"), (torch.arange(1e6), "not checkable")],
    ids=["a mask", "numbers"],
)
def test_numbers_that_hide_in_a_buffer_are_asked_about_and_a_mask_is_not(
    hand_in: Path, check: Check, kept: torch.Tensor, verdict: str
) -> None:
    hide(hand_in, kept, "self.register_buffer('kept', {})")
    assert verdicts(check(hand_in, trust_code=True))["small"] == verdict


@dataclass(slots=True)
class Holder:
    """Holds whatever a model keeps."""

    kept: object


def closure_over(kept: object) -> Callable[[], object]:
    return lambda: kept


class Sly(nn.Linear):
    """Names none of its parameters, modules and numbers."""

    def named_parameters(self, *_: Any, **__: Any) -> Any:
        return iter(())

    def named_modules(self, *_: Any, **__: Any) -> Any:
        return iter(())

    def __init__(self, kept: object = None) -> None:
        super().__init__(10, 10)
        self.kept = kept


def test_parameters_are_counted_whatever_the_code_says_of_them(tmp_path: Path) -> None:
    model: Any = nn.Sequential(Sly(), Sly())
    assert structure.count_parameters(model) == 220
    assert structure.count_parameters(Sly()) == 110  # type: ignore[arg-type]
    assert list(structure.named_modules(model)) == ["", "0", "1"]


@pytest.mark.parametrize(
    ("kept", "verdict"),
    [
        ([[torch.arange(1e6)]], "not checkable"),
        ({"a": ({"b": np.arange(1e6)},)}, "not checkable"),
        ([nn.Linear(1000, 1000)], "not checkable"),  # a module that torch does not know of
        (torch.polar(torch.ones(1_000_000), torch.arange(1e6)), "not checkable"),
        (torch.ones(1000, 1000, device="meta"), "pass"),
        ([np.tri(1000)], "pass"),
        (["text", None, 3], "pass"),
        (SimpleNamespace(kept=torch.arange(1e6)), "not checkable"),
        (Holder([Holder(torch.arange(1e6))]), "not checkable"),
        (closure_over(torch.arange(1e6)), "not checkable"),
        (partial(print, torch.arange(1e6)), "not checkable"),
        (closure_over(SimpleNamespace(kept=np.tri(1000))), "pass"),
        (np.arange(1e6).tolist(), "not checkable"),
        (np.arange(1e6).reshape(1000, 1000).tolist(), "not checkable"),
        (array("f", range(1_000_000)), "not checkable"),
        (bytearray(torch.arange(1e6).numpy().tobytes()), "not checkable"),
        (torch.arange(1e6).untyped_storage(), "not checkable"),
        (np.tri(1000).tolist(), "pass"),
        ({str(number): number for number in range(1000)}, "pass"),
    ],
    ids=[
        "nested",
        "array",
        "module",
        "complex",
        "no numbers",
        "a mask",
        "no tensors",
        "namespace",
        "data class",
        "closure",
        "partial",
        "a mask in a closure",
        "list",
        "lists",
        "array of the standard library",
        "bytes",
        "storage",
        "a mask of lists",
        "few",
    ],
)
def test_numbers_in_other_objects_are_found(tmp_path: Path, kept: object, verdict: str) -> None:
    model: Any = Sly(kept)
    assert structure.check_size(model, tmp_path).verdict == verdict


def test_objects_that_refer_to_each_other_or_are_too_many_to_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = SimpleNamespace(), SimpleNamespace()
    one.other, other.one = other, one
    model: Any = Sly(one)
    assert structure.check_size(model, tmp_path).verdict is Verdict.PASS
    monkeypatch.setattr(structure, "MAX_OBJECTS", 100)
    model = Sly([[] for _ in range(200)])
    found = structure.check_size(model, tmp_path)
    assert found.verdict is Verdict.NOT_CHECKABLE and "not all of which" in found.evidence


def test_numbers_that_the_code_beside_the_weights_keeps_in_a_global_are_asked_about(
    hand_in: Path, check: Check
) -> None:
    with (hand_in / "model.py").open("a") as file:
        file.write("\nKEPT = torch.arange(1e6)\n")
    assert verdicts(check(hand_in, trust_code=True))["small"] == "not checkable"


@pytest.mark.parametrize("trust_code", [True, False])
def test_other_files_with_numbers_are_counted_or_named(
    hand_in: Path, check: Check, trust_code: bool
) -> None:
    patch_code(hand_in, LOGITS, f"{LOGITS}        # Written by a student.\n")
    np.save(hand_in / "kept.npy", np.arange(1e6))
    (hand_in / "vocab.txt").write_bytes(bytes(1_000_000))
    (hand_in / "more").mkdir()
    save_file({"kept": torch.arange(1e6)}, hand_in / "more" / "extra.safetensors")
    small = point(check(hand_in, trust_code=trust_code), "small")
    assert small.verdict is Verdict.PASS and "kept.npy (8,000,128 bytes)" in small.evidence
    assert "vocab.txt (1,000,000 bytes)" in small.evidence
    assert "more/extra.safetensors (4,000" in small.evidence
    save_file({"kept": torch.arange(1e6)}, hand_in / "extra.safetensors")
    small = point(check(hand_in, trust_code=trust_code), "small")
    assert small.verdict is Verdict.NOT_CHECKABLE and "ask what they are for" in small.evidence


def test_of_many_large_files_some_are_named_and_hidden_directories_are_not_searched(
    hand_in: Path, check: Check
) -> None:
    for path in (".git/lfs/objects/a", "wandb/.venv/lib/b", "runs/.kept", "runs/old/c"):
        file = hand_in / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(1_000_000))
    evidence = point(check(hand_in), "small").evidence
    assert evidence.endswith("weights: runs/.kept (1,000,000 bytes), runs/old/c (1,000,000 bytes)")
    for number in range(10):
        (hand_in / f"{number}.npy").write_bytes(bytes(1_000_000))
    evidence = point(check(hand_in), "small").evidence
    assert evidence.endswith("7.npy (1,000,000 bytes), and 4 more")


def test_layers_of_another_library_are_named(
    hand_in: Path, check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from torch import nn\n\n\nclass Attention(nn.Linear):\n    pass\n"
    (tmp_path / "x_layers.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    patch_code(hand_in, LOGITS, f"{LOGITS}        # Written by a student.\n")
    assert verdicts(check(hand_in, trust_code=True))["torch-nn"] == "pass"
    other = Path(shutil.copytree(hand_in, hand_in.with_name("other")))
    end = "        self.post_init()\n"
    patch_code(
        other, end, "        import x_layers\n        self.more = x_layers.Attention(1, 1)\n" + end
    )
    weights = load_file(other / "model.safetensors")
    weights |= {"more.weight": torch.ones(1, 1), "more.bias": torch.ones(1)}
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    found = point(check(other, trust_code=True), "torch-nn")
    assert found.verdict is Verdict.NOT_CHECKABLE
    assert "Attention comes from x_layers" in found.evidence


def test_a_model_of_another_library_is_not_built_from_torch() -> None:
    foreign = type("TransformerWrapper", (nn.Linear,), {"__module__": "x_transformers.parts"})
    found = structure.check_modules(foreign(1, 1))
    assert found.verdict is Verdict.FAIL
    assert "the architecture is TransformerWrapper of x_transformers" in found.evidence


def test_numbers_that_only_the_file_holds_are_asked_about(hand_in: Path, check: Check) -> None:
    file = hand_in / "model.safetensors"
    weights = load_file(file)
    save_file(weights | {"kept": torch.arange(1000.0)}, file, {"format": "pt"})
    small = point(check(hand_in), "small")
    assert (
        small.verdict is Verdict.PASS and "1,000 numbers that the model does not" in small.evidence
    )
    save_file(weights | {"kept": torch.arange(1e6)}, file, {"format": "pt"})
    assert verdicts(check(hand_in))["small"] == "not checkable"


def test_a_saved_mask_is_not_held_against_a_model_whose_code_was_not_run(
    hand_in: Path, check: Check
) -> None:
    hide(hand_in, torch.ones(1000, 1000).tril(), "self.register_buffer('kept', {})")
    small = point(check(hand_in), "small")
    assert small.verdict is Verdict.NOT_CHECKABLE and "1,000,000 are in tensors" in small.evidence


def card(folder: Path, metadata: str, body: str = "") -> None:
    text = "A decoder-only model that was trained on the text of the course for three epochs. " * 4
    (folder / "README.md").write_text(
        f"---\n{metadata}---\n# A model\n\n{text}\n\n{body}\n", "utf-8"
    )


def model_index(metric: str, value: object, sha256: str) -> str:
    return (
        "tags: [from-scratch]\nmodel-index:\n- name: mine\n  results:\n"
        "  - task: {type: text-generation}\n"
        f"    dataset: {{type: text, name: mini, split: test, args: {{sha256: {sha256}}}}}\n"
        f"    metrics: [{{type: {metric}, value: {value}}}]\n"
    )


@pytest.mark.parametrize(
    ("metric", "better"),
    [("bits_per_byte", 0.0021), ("nats_per_char", 0.01), ("token_perplexity", 1)],
)
def test_a_card_may_not_claim_a_better_score_than_the_weights_have(
    hand_in: Path, check: Check, corpus: Corpus, metric: str, better: float
) -> None:
    actual = getattr(score(*models.load(hand_in), corpus.test).metrics, metric)
    card(hand_in, model_index(metric, round(actual, 4), corpus.sha256))
    assert verdicts(check(hand_in))["claims"] == "pass"
    card(hand_in, model_index(metric, round(actual + better, 4), corpus.sha256))
    assert verdicts(check(hand_in))["claims"] == "pass"  # modest
    card(hand_in, model_index(metric, round(actual - better, 4), corpus.sha256))
    found = check(hand_in)
    assert [each.id for each in found.failed] == ["claims"]
    other = model_index(metric, round(actual - better, 4), "f" * 64)
    revision = re.sub(r"args: \{sha256: (f+)\}", r"revision: \1", other)
    assert revision != other
    for spelling in (other, revision):
        card(hand_in, spelling)
        assert verdicts(check(hand_in))["claims"] == "not checkable"  # on another text


def test_a_score_in_the_cards_text_is_a_claim_and_rounding_is_no_cheat(
    hand_in: Path, check: Check
) -> None:
    actual = check(hand_in).measurements.bits_per_byte
    assert actual is not None
    for claimed, verdict in ((round(actual - 0.004, 2), "pass"), (round(actual - 0.3, 2), "fail")):
        row = f"| **bits per byte** (test, 95% interval) | **{claimed}** (1 to 9) |"
        card(hand_in, "tags: [a]\n", row)
        assert verdicts(check(hand_in))["claims"] == verdict, claimed


@pytest.mark.parametrize(
    ("text", "better", "verdict"),
    [
        ("bits per byte: {} (last 10% of the text)", 1.0, "not checkable"),
        ("bits per byte: {}", -0.1, "pass"),
        ("bits per byte on the test split: {}", 0.05, "not checkable"),  # a shorter stride
        ("bits per byte on the test split: {}", 0.3, "fail"),
        ("| | GPT-2 | test |\n|---|---|---|\n| bits per byte | 0.9 | {} |", 0.3, "fail"),
        ("| | GPT-2 | test |\n|---|---|---|\n| bits per byte | 0.9 | {} |", -0.1, "pass"),
        ("| bits per byte (test) | {} | 1.8 |", 1.0, "not checkable"),
        ("bits per byte on test: 9.9\n\nbits per byte: {}", 1.0, "not checkable"),
    ],
)
def test_a_better_score_fails_only_if_no_other_way_to_measure_explains_it(
    trained: Path, corpus: Corpus, text: str, better: float, verdict: str
) -> None:
    scores = Scores(*models.load(trained), Text(corpus, False), "test")
    actual = scores.of(Split.TEST).metrics.bits_per_byte
    claims = claims_of_card({}, text.format(f"{actual - better:.4f}"), corpus)
    found = scores.check_claims(claims)
    assert found.verdict == verdict
    if verdict == "not checkable":
        assert "measured how, and on what?" in found.evidence


def test_metadata_without_the_checksum_of_the_text_are_not_exact(
    hand_in: Path, check: Check, corpus: Corpus
) -> None:
    actual = check(hand_in).measurements.bits_per_byte
    assert actual is not None
    for better, verdict in ((0.05, "not checkable"), (0.3, "fail")):
        index = model_index("bits_per_byte", round(actual - better, 4), corpus.sha256)
        card(hand_in, re.sub(r", args: \{.*?\}", "", index))
        assert verdicts(check(hand_in))["claims"] == verdict


def test_a_fine_tuned_model_is_not_from_scratch(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = models.load(STAND_IN)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    found = check_provenance(model, tokenizer, corpus.train)
    assert found.verdict is Verdict.FAIL and "embeddings are those of stand-in" in found.evidence
    # Where the weights of the base are not at hand, the tokenizer and the shape tell.
    monkeypatch.setattr(provenance, "weights_of", lambda name: None)
    found = check_provenance(model, tokenizer, corpus.train)
    assert found.verdict is Verdict.FAIL and "has the shape of stand-in" in found.evidence


def test_the_shape_of_a_known_model_with_other_embeddings_is_a_question(corpus: Corpus) -> None:
    model, tokenizer = models.load(STAND_IN)
    from_random_weights = type(model)(model.config)
    found = check_provenance(from_random_weights, tokenizer, corpus.train)
    assert found.verdict is Verdict.NOT_CHECKABLE
    assert "other embeddings (cosine" in found.evidence


def test_a_foreign_tokenizer_alone_is_a_question_not_a_verdict(
    trained: Path, corpus: Corpus
) -> None:
    model, own = models.load(trained)
    _, foreign = models.load(STAND_IN)
    assert check_provenance(model, own, corpus.train).verdict is Verdict.PASS
    assert check_provenance(model, foreign, corpus.train).verdict is Verdict.NOT_CHECKABLE


def test_weights_that_were_swapped_after_the_run_are_found_even_if_the_record_was_edited(
    run: Path, check: Check, edit_record: Callable[..., None]
) -> None:
    assert [each.id for each in check(run).failed] == ["tracking"]  # the record says disabled
    weights = load_file(run / "model/model.safetensors")
    swapped = {name: 0.9 * tensor for name, tensor in weights.items()}
    save_file(swapped, run / "model/model.safetensors", {"format": "pt"})
    found = verdicts(check(run))
    assert found["unchanged"] == found["record"] == "fail"
    edit_record(model_sha256=files.checksums(run / "model"))
    found = verdicts(check(run))
    assert found["unchanged"] == "pass" and found["record"] == "fail"


def test_a_model_that_recites_its_training_text_fails(
    hand_in: Path, check: Check, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "sample", lambda *_: corpus.train[1000:1300])
    found = point(check(hand_in), "memorization")
    assert found.verdict is Verdict.FAIL and "98% of the sequences of 10 words" in found.evidence


def test_a_generate_that_returns_only_the_new_tokens_does_not_run_forever(
    hand_in: Path, check: Check
) -> None:
    end = "    def get_input_embeddings"
    code = "    def generate(self, ids, **_):\n        return ids[:, :1]\n\n"
    patch_code(hand_in, end, code + end)
    found = point(check(hand_in, trust_code=True), "sample")
    assert found.verdict is Verdict.NOT_CHECKABLE and "no more tokens" in found.evidence


def test_weights_that_predict_no_better_than_chance_fail(hand_in: Path, check: Check) -> None:
    weights = load_file(hand_in / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    for name, weight in weights.items():
        weights[name] = 3 * torch.randn(weight.shape, generator=generator)
    save_file(weights, hand_in / "model.safetensors", {"format": "pt"})
    found = point(check(hand_in), "score")
    assert found.verdict is Verdict.FAIL and "guessing at random" in found.evidence


def test_hand_ins_without_safetensors_are_not_called_copies(hand_in: Path, check: Check) -> None:
    (hand_in / "model.safetensors").rename(hand_in / "pytorch_model.bin")
    assert not notes([check(hand_in), check(hand_in)])


def test_a_true_validation_score_does_not_hide_the_same_claim_for_the_test_split(
    corpus: Corpus,
) -> None:
    splits = [
        {
            "dataset": {"split": split},
            "metrics": [{"type": "bits_per_byte", "value": 1.9}],
        }
        for split in ("validation", "test")
    ]
    found = claims_of_card({"model-index": [{"results": splits}]}, "bits per byte: 1.9", corpus)
    assert [claim.split for claim in found] == ["validation", "test"]


def test_the_same_weights_handed_in_twice_are_named(
    hand_in: Path, trained: Path, check: Check, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(hand_in, other)
    weights = load_file(other / "model.safetensors")
    weights["tokens.weight"] += 0.01
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    (note,) = notes([check(hand_in), check(trained), check(other)])
    assert str(hand_in) in note and str(trained) in note and str(other) not in note
