"""What a card claims is read as a person would read it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from compare.corpus import Corpus
from compare.corpus.sources import TINY_SHAKESPEARE_SHA256
from compare.verify import provenance
from compare.verify.claims import UNITS, Clarity, claims_of_card
from compare.verify.known_models import Shape
from compare.verify.loss_curves import LossCurve, loss_curves_of_card
from tests.compare.verify.conftest import Check, verdicts
from tests.run_records import make_metrics

OF_THIS_PROJECT = """
| epoch | train loss | validation loss |
|---:|---:|---:|
| 0 | | 7.1 |
| 1 | 5.3 | 5.5 |
| 2 (this model) | 4.8 | 4.9 |

| model | n-gram order | bits/byte |
|---|---|---:|
| 7-gram Kneser-Ney | 7 | 2.281 |
"""
OF_THE_TRAINER = """
| Training Loss | Epoch | Step | Validation Loss |
|:---:|:---:|:---:|:---:|
| 3.9 | 0.5 | 10 | 3.8 |
| 3.7 | 1.0 | 20 | 3.6 |
| 3.5 | 1.5 | 30 | 3.5 |
| 3.4 | 1.99 | 40 | 3.4 |
"""


def model_index(data_set: dict[str, str], metric: str, value: object) -> dict[str, Any]:
    """Return metadata with one score."""
    result = {"dataset": data_set, "metrics": [{"type": metric, "value": value}]}
    return {"model-index": [{"results": [result]}]}


def test_epochs_end_with_their_table_and_begin_with_the_first() -> None:
    assert loss_curves_of_card(OF_THIS_PROJECT) == [LossCurve(7.1, [5.5, 4.9], 2)]


def test_parts_of_epochs_are_not_epochs() -> None:
    assert loss_curves_of_card(OF_THE_TRAINER) == [LossCurve(None, [3.6, 3.4], 2)]


@pytest.mark.parametrize("table", [OF_THIS_PROJECT, OF_THE_TRAINER])
def test_the_newest_epoch_may_be_on_top(table: str) -> None:
    first, *rest = table.strip().split("\n\n")
    header, rule, *rows = first.splitlines()
    newest_first = "\n\n".join(["\n".join([header, rule, *reversed(rows)]), *rest])
    assert newest_first != table.strip()
    assert loss_curves_of_card(newest_first) == loss_curves_of_card(table)


@pytest.mark.parametrize("name", ["val_loss", "eval_loss", "Val Loss", "evaluation_loss"])
def test_columns_may_be_called_as_in_code(name: str) -> None:
    table = (
        f"| epoch | train_loss | {name} |\n|---|---|---|\n| 0 | 7.0 | 6.5 |\n| 1 | 6.0 | 5.5 |\n"
    )
    # With a training loss, epoch 0 is the first.
    assert loss_curves_of_card(table) == [LossCurve(None, [6.5, 5.5], 2)]


def test_epochs_that_no_training_reaches_are_not_read() -> None:
    table = f"| epoch | validation loss |\n|---|---|\n| {'9' * 400} | 4.0 |\n"
    assert loss_curves_of_card(table) == []


def test_of_several_rows_for_one_epoch_the_last_counts() -> None:
    table = "| Epoch | Validation Loss |\n|---|---|\n"
    rows = [("0.96", 5.0), ("0.98", 4.9), ("1.0", 4.8), ("**2.0**", 4.5)]
    table += "".join(f"| {epoch} | {loss} |\n" for epoch, loss in rows)
    assert loss_curves_of_card(table) == [LossCurve(None, [4.8, 4.5], 2)]


@pytest.mark.parametrize(
    ("rows", "meanings"),
    [
        (["0 | | 7.0", "1 | 6.0 | 6.0"], [LossCurve(7.0, [6.0], 1)]),
        (["0 | 7.0 | 7.0", "1 | 6.0 | 6.0"], [LossCurve(None, [7.0, 6.0], 2)]),
        (["0 | | 7.0", "1 | | 6.0"], [LossCurve(7.0, [6.0], 1), LossCurve(None, [7.0, 6.0], 2)]),
        (["0 (before training) | | 7.0", "1 | | 6.0"], [LossCurve(7.0, [6.0], 1)]),
        (["1 | 7.0 | 7.0", "20 | 6.0 | 6.0"], [LossCurve(None, [7.0, 6.0], 20)]),
        (["1 | 7.0 | 7.0", "2.8 | 6.0 | 6.0"], [LossCurve(None, [7.0], 2.8)]),
        (["0.02 | No log | 7.0", "1 | 6.0 | 6.0"], [LossCurve(None, [6.0], 1)]),
        (["0 | | 7.0"], []),
    ],
)
def test_epoch_0_is_before_training_only_if_the_table_shows_it(
    rows: list[str], meanings: list[LossCurve]
) -> None:
    table = "| epoch | train loss | validation loss |\n|---|---|---|\n"
    assert loss_curves_of_card(table + "".join(f"| {row} |\n" for row in rows)) == meanings


@pytest.mark.parametrize(
    ("line", "split", "is_understood"),
    [
        ("bits per byte: 1.9", None, True),
        ("| **bits per byte** (95% interval for this run) | **1.9** (1.8 to 2.0) |", None, True),
        ("| **bits per byte** (the test split is too short for an interval) | 1.9 |", "test", True),
        ("- bits per byte on the validation set: 1.9", "validation", True),
        ("bits per byte (train): 1.9", "train", True),
        ("bits per byte (mini test text): 1.9", "test", False),
        ("bits per byte of GPT-2: 1.9", None, False),
    ],
)
def test_a_claim_is_of_the_split_and_the_model_that_its_label_names(
    corpus: Corpus, line: str, split: str | None, is_understood: bool
) -> None:
    (claim,) = claims_of_card({}, line, corpus)
    assert (claim.value, claim.split, claim.further_words is None) == (1.9, split, is_understood)


ROWS_OF_SPLITS = "| | train | validation | test |\n|---|---|---|---|\n| bits per byte |"
ROWS_OF_MODELS = "| | GPT-2 | this model |\n|---|---|---|\n| bits per byte on test |"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"{ROWS_OF_SPLITS} 1.80 | **2.00** (1.9 to 2.1) | 2.05 |",
            [(1.8, "train", True), (2.0, "validation", True), (2.05, "test", True)],
        ),
        (f"{ROWS_OF_SPLITS} | | 2.05 |", [(2.05, "test", True)]),
        (f"{ROWS_OF_MODELS} 1.1 | 2.05 |", [(1.1, "test", False), (2.05, "test", True)]),
        (
            "| metric | test | 95% CI |\n|---|---|---|\n| bits per byte | 2.05 | 1.95 |",
            [(2.05, "test", True)],
        ),
        (
            f"{ROWS_OF_SPLITS} | | 2.05 |\n\n| bpb | 2.1 |",
            [(2.05, "test", True), (2.1, None, True)],
        ),
    ],
)
def test_a_table_s_header_says_what_is_in_a_column(
    corpus: Corpus, text: str, expected: list[tuple[float, str | None, bool]]
) -> None:
    found = [
        (claim.value, claim.split, claim.further_words is None)
        for claim in claims_of_card({}, text, corpus)
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("text", "clarity"),
    [
        ("bits per byte on the test set: 2.05 (95% interval 2.0 to 2.1)", Clarity.ROUGH),
        ("bits per byte on the test set: 2.05 ± 0.04", Clarity.ROUGH),
        ("bits per byte: 2.05", Clarity.OPEN),
        ("bits per byte on train/test: 1.8 / 2.05", Clarity.OPEN),
        ("bits per byte on the test set: 1.8, 2.05", Clarity.OPEN),
        ("bits per byte on the validation set: 2.05", Clarity.OPEN),
        ("| bits per byte (test) | 1.8 | 2.05 |", Clarity.OPEN),
        ("word perplexity on the test set: 300.5", Clarity.OPEN),  # what is a word?
        ("perplexity on the test set: 20.5", Clarity.VAGUE),
    ],
)
def test_only_what_names_the_test_split_plainly_can_be_held_against_a_model(
    corpus: Corpus, text: str, clarity: Clarity
) -> None:
    assert claims_of_card({}, text, corpus)[0].clarity is clarity


def test_what_a_label_says_of_another_model_is_not_held_against_this_one(
    hand_in: Path, check: Check
) -> None:
    text = "A decoder-only model that was trained on the text of the course. " * 4
    for line in ("bits per byte of GPT-2: 0.1", "bits per byte (train): 0.1"):
        (hand_in / "README.md").write_text(f"---\ntags: [a]\n---\n{text}\n\n{line}\n", "utf-8")
        assert verdicts(check(hand_in))["claims"] == "not checkable", line


def test_exponents_are_read_and_their_digits_are_not_taken_for_exact(corpus: Corpus) -> None:
    (claim,) = claims_of_card({}, "| word perplexity | 1.2e+06 |", corpus)
    assert (claim.value, claim.decimals) == (1.2e6, -5)


@pytest.mark.parametrize("value", ["1.5e400", "1.1e-400"])
@pytest.mark.parametrize("in_metadata", [True, False])
def test_numbers_that_no_float_can_hold_are_no_claims(
    corpus: Corpus, value: str, in_metadata: bool
) -> None:
    metadata = model_index({}, "token_perplexity", value) if in_metadata else {}
    text = "" if in_metadata else f"token perplexity on the test split: {value}"
    assert claims_of_card(metadata, text, corpus) == []


@pytest.mark.parametrize("value", ["1.5e300", "1e-300"])
@pytest.mark.parametrize("metric", sorted(UNITS))
def test_the_largest_and_smallest_scores_can_be_converted(
    corpus: Corpus, metric: str, value: str
) -> None:
    (claim,) = claims_of_card(model_index({}, metric, value), "", corpus)
    assert claim.value == float(value)
    assert not math.isnan(claim.bits_per_byte(make_metrics()))


@pytest.mark.parametrize(
    ("line", "metric", "split", "clarity"),
    [
        ("Test bits per byte: 1.2", "bits_per_byte", "test", Clarity.ROUGH),
        ("- val_bpb: 1.2", "bpb", "validation", Clarity.OPEN),
        ("| Test token perplexity | 1.2 |", "token_perplexity", "test", Clarity.ROUGH),
        ("**Test perplexity**: 1.2", "perplexity", "test", Clarity.VAGUE),
        ("eval_loss: 1.2", "loss", "validation", Clarity.VAGUE),
        ("Validation loss = 1.2", "loss", "validation", Clarity.VAGUE),
    ],
)
def test_a_split_may_stand_in_front_of_a_metric(
    corpus: Corpus, line: str, metric: str, split: str, clarity: Clarity
) -> None:
    (claim,) = claims_of_card({}, line, corpus)
    assert (claim.metric, claim.value, claim.split, claim.clarity) == (metric, 1.2, split, clarity)


def test_a_split_in_a_metric_s_name_counts_unless_the_data_set_names_one(corpus: Corpus) -> None:
    text = "eval_loss: 1.2"  # repeats the metadata
    (claim,) = claims_of_card(model_index({}, "eval_loss", 1.2), text, corpus)
    assert (claim.source, claim.split) == ("card's metadata", "validation")
    (claim,) = claims_of_card(model_index({"split": "test"}, "eval_loss", 1.2), "", corpus)
    assert claim.split == "test"


WIKITEXT = {"name": "WikiText", "type": "Salesforce/wikitext", "split": "test"}


@pytest.mark.parametrize(
    ("metadata", "clarity"),
    [
        ({}, Clarity.ROUGH),
        ({"datasets": None}, Clarity.ROUGH),
        ({"datasets": ["karpathy/tiny_shakespeare"]}, Clarity.ROUGH),
        ({"datasets": ["wikitext", "karpathy/tiny_shakespeare"]}, Clarity.ROUGH),
        ({"datasets": ["wikitext"]}, Clarity.OPEN),
        ({"datasets": "wikitext"}, Clarity.OPEN),
        (model_index(WIKITEXT, "token_perplexity", 9.5), Clarity.OPEN),
        (
            {"datasets": ["karpathy/tiny_shakespeare"]}
            | model_index(WIKITEXT, "token_perplexity", 9.5),
            Clarity.ROUGH,
        ),
        ({"datasets": ["wikitext"]} | model_index({}, "token_perplexity", 9.5), Clarity.OPEN),
    ],
)
@pytest.mark.parametrize("metric", ["bits per byte", "token perplexity"])
def test_the_test_split_of_a_card_about_other_texts_is_not_plainly_the_one_here(
    corpus: Corpus, metadata: dict[str, Any], metric: str, clarity: Clarity
) -> None:
    shakespeare = replace(corpus, sha256=TINY_SHAKESPEARE_SHA256)
    line = f"{metric} on the test split: 0.9"
    assert claims_of_card(metadata, line, shakespeare)[-1].clarity is clarity


@pytest.mark.parametrize(
    ("text", "data_set", "is_other"),
    [
        ("tiny-shakespeare", "Tiny Shakespeare", False),
        ("tiny-shakespeare", "karpathy/tiny_shakespeare", False),
        ("tiny-shakespeare", "The Pile", True),
        ("wikitext-2", "Salesforce/wikitext", False),
        ("my-novel.txt", "My Novel", False),
        ("my-novel.txt", "The Pile", True),
        ("my-novel.txt", "", False),
    ],
)
def test_scores_on_another_text_are_known_by_its_name(
    corpus: Corpus, text: str, data_set: str, is_other: bool
) -> None:
    if text == "tiny-shakespeare":
        # Its checksum counts, and not the name of the file.
        text, corpus = "input.txt", replace(corpus, sha256=TINY_SHAKESPEARE_SHA256)
    data_set_of_result = {"name": data_set, "type": data_set, "split": "test"}
    metadata = model_index(data_set_of_result, "bits_per_byte", 2.0)
    (claim,) = claims_of_card(metadata, "", replace(corpus, name=text))
    assert claim.other_text == (data_set if is_other else None)


def test_a_fine_tuned_model_with_another_output_matrix_is_recognized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Pythia's, whose output matrix comes first in the file."""
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=300,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        tie_word_embeddings=False,
    )
    model = GPTNeoXForCausalLM(config)
    path = tmp_path / "model.safetensors"
    save_file(dict(sorted(model.state_dict().items())), path)
    monkeypatch.setattr(provenance, "weights_of", lambda name: path)
    monkeypatch.setattr(provenance, "SHAPES", {"known": Shape(300, 32, layers=2)})
    assert provenance.similarity_to("known", model) == pytest.approx(1)


def test_a_claim_about_another_model_does_not_hide_one_about_this_model(corpus: Corpus) -> None:
    card = "bits per byte of GPT-2: 0.5\n\nbits per byte of my model: 0.5\n"
    claims = claims_of_card({}, card, corpus)
    assert [claim.further_words is None for claim in claims] == [False, True]


def test_a_score_after_training_is_of_the_split_that_is_named(corpus: Corpus) -> None:
    (claim,) = claims_of_card({}, "bits per byte after training, on the test split: 1.9", corpus)
    assert claim.split == "test"
