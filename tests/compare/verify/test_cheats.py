"""Cheats, and honest models that resemble them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from compare import files
from compare.corpus import Corpus
from compare.ruler.scoring import score
from compare.runs import models
from compare.verify import generation, provenance
from compare.verify.claims import claims_of_card
from compare.verify.comparison import notes
from compare.verify.known_models import STAND_IN
from compare.verify.points import Verdict
from compare.verify.provenance import check_provenance
from tests.compare.verify.conftest import Check, point, verdicts

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


@pytest.mark.parametrize("trust_code", [True, False])
@pytest.mark.parametrize(("total", "verdict"), [(999_999, "pass"), (1_000_001, "fail")])
def test_parameters_are_counted_frozen_or_not(
    hand_in: Path, check: Check, trained: Path, total: int, verdict: str, trust_code: bool
) -> None:
    model, _ = models.load(trained)
    extra = total - model.num_parameters()
    hide(hand_in, torch.ones(extra), "self.kept = nn.Parameter({}, requires_grad=False)")
    small = point(check(hand_in, trust_code=trust_code), "small")
    assert small.verdict == verdict and f"{total:,}" in small.evidence


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
    for claimed, verdict in ((round(actual - 0.004, 2), "pass"), (round(actual - 0.1, 2), "fail")):
        card(
            hand_in, "tags: [a]\n", f"| **bits per byte** (95% interval) | **{claimed}** (1 to 9) |"
        )
        assert verdicts(check(hand_in))["claims"] == verdict, claimed


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
