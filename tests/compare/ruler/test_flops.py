"""Parameters and training operations: the same in both tracks, and as computed by hand."""

from __future__ import annotations

import json
import re

from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

from compare.ruler import flops
from compare.ruler.parameters import Parameters
from scratch_lm.config import ScratchOptions
from scratch_lm.copy_exercises import DRILL_INTERVAL, FIRST_DRILL_STEPS
from scratch_lm.train import build_model
from tests.conftest import Place

LAYER = 12 * 32**2 + 13 * 32  # of width 32, with a feed-forward of 4 x 32
NORM = 2 * 32


def gpt2() -> GPT2LMHeadModel:
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=300, n_positions=64, n_embd=32, n_layer=2, n_head=2)
    )


def test_embeddings_of_tokens_and_positions_are_left_out_in_both_tracks() -> None:
    rest = 2 * LAYER + NORM
    assert flops.count_parameters(gpt2()) == Parameters(
        total=rest + (300 + 64) * 32, non_embedding=rest
    )
    options = ScratchOptions(
        vocabulary=300, context_length=64, layers=2, heads=2, width=32, feed_forward=128
    )
    assert flops.count_parameters(build_model(options, 0)) == flops.count_parameters(gpt2())


def test_an_output_matrix_of_its_own_is_left_out_too() -> None:
    """Kaplan et al. leave it out of N, but training multiplies by it."""
    config = GPTNeoXConfig(
        vocab_size=300,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=64,
        tie_word_embeddings=False,
    )
    model, rest = GPTNeoXForCausalLM(config), 2 * LAYER + NORM
    assert flops.count_parameters(model) == Parameters(
        total=rest + 2 * 300 * 32, non_embedding=rest
    )
    assert flops.training_flops(model, 10) == flops.training_flops(gpt2(), 10)


def test_weights_that_are_frozen_cost_a_third_less_and_adapters_are_added() -> None:
    """Compared with 6 operations for each weight that is trained, and 0 adapters."""
    model, adapters = gpt2(), 1000
    weights = 2 * LAYER + NORM + 300 * 32
    everything = flops.training_flops(model, 10)
    assert flops.training_flops(model, 10, 0) == everything - 10 * 2 * weights
    assert flops.training_flops(model, 10, adapters) == everything - 10 * (
        2 * weights - 6 * adapters
    )


def test_the_records_of_both_tracks_say_it(study: Place) -> None:
    for run, context in (("gpt2_finetune/tiny-gpt2-seed1", 64), ("scratch_lm/course-seed1", 32)):
        record = json.loads((study.path / "runs" / run / "run.json").read_text("utf-8"))
        config = json.loads(
            (study.path / "runs" / run / "model" / "config.json").read_text("utf-8")
        )
        parameters = record["parameters"]
        embeddings = (config["vocab_size"] + context) * 32
        assert parameters["total"] - parameters["non_embedding"] == embeddings


def test_help_says_that_drills_have_their_own_warm_up(place: Place) -> None:
    shown = " ".join(place.run("scratch_lm.train", "--help").stdout.split())
    drills, warmup = (
        re.search(rf" {option} .*?\(default", shown.partition("Train a decoder-only")[2])[0]
        for option in ("--drills,", "--warmup-steps int")
    )
    assert f"{FIRST_DRILL_STEPS} steps" in drills and "their own warm-up" in drills
    assert DRILL_INTERVAL == 3 and "every third step" in drills
    assert "--drills" in warmup
