"""The model is causal, rows of a batch are independent, and anyone can load a saved model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache, set_seed

from scratch_lm.config import PRESETS, ScratchOptions
from scratch_lm.model import ScratchConfig, ScratchLM, Shared
from tests.conftest import Place


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tuned"])
def model(request: pytest.FixtureRequest) -> ScratchLM:
    set_seed(0)
    config = ScratchConfig(
        vocab_size=50,
        max_position_embeddings=12,
        num_hidden_layers=3,
        hidden_size=16,
        num_attention_heads=4,
        intermediate_size=32,
        initializer_range=0.5,
        distance_bias=request.param,
        smeared_keys=request.param,
        convolutions=request.param,
        query_key_norm=request.param,
        embedding_skips=request.param,
    )
    model = ScratchLM(config).eval()
    for name, parameter in model.named_parameters():  # initialized to zero or one
        if name.endswith(("distance_bias", "smear", "taps", "sharpness", "skip")):
            torch.nn.init.normal_(parameter)
    return model


@torch.inference_mode()
def test_changing_a_token_does_not_change_earlier_logits(model: ScratchLM) -> None:
    ids = torch.randint(50, (1, 12))
    before = model(ids).logits
    for t in range(12):
        changed = ids.clone()
        changed[0, t] = (ids[0, t] + 1) % 50
        after = model(changed).logits
        assert torch.equal(after[:, :t], before[:, :t])
        assert not torch.allclose(after[:, t], before[:, t])


@torch.inference_mode()
def test_rows_of_a_batch_are_independent(model: ScratchLM) -> None:
    ids = torch.randint(50, (3, 12))
    together = model(ids).logits
    for row in range(3):
        torch.testing.assert_close(model(ids[row : row + 1]).logits[0], together[row])
    ids[1] = (ids[1] + 1) % 50
    changed = model(ids).logits
    assert torch.equal(changed[[0, 2]], together[[0, 2]])


@torch.inference_mode()
@pytest.mark.parametrize("sampled", [False, True])
def test_the_cache_changes_no_token_even_past_the_context(model: ScratchLM, sampled: bool) -> None:
    prompt = torch.randint(50, (2, 3))
    generated = []
    for use_cache in (False, True):
        torch.manual_seed(0)
        generated.append(
            model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=sampled,
                top_k=10,
                min_new_tokens=40,
                max_new_tokens=40,
                use_cache=use_cache,
                pad_token_id=0,
            )
        )
    assert generated[0].shape == (2, 43)
    assert torch.equal(generated[0], generated[1])


@torch.inference_mode()
def test_beams_keep_their_own_caches(model: ScratchLM) -> None:
    prompt = torch.randint(50, (2, 3))
    generated = [
        model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            num_beams=3,
            do_sample=False,
            min_new_tokens=9,
            max_new_tokens=9,
            use_cache=use_cache,
            pad_token_id=0,
        )
        for use_cache in (False, True)
    ]
    assert torch.equal(generated[0], generated[1])


@torch.inference_mode()
def test_a_cache_without_room_for_convolutions_is_refused(model: ScratchLM) -> None:
    ids = torch.randint(50, (1, 4))
    if model.config.convolutions:
        with pytest.raises(ValueError, match="make the cache for this model"):
            model(ids, past_key_values=DynamicCache())
        with pytest.raises(ValueError, match="assisted generation is not supported"):
            model.generate(ids, prompt_lookup_num_tokens=2, max_new_tokens=4)
    else:
        assert model(ids, past_key_values=DynamicCache()).logits.shape == (1, 4, 50)


@torch.inference_mode()
def test_the_model_runs_in_bf16(model: ScratchLM) -> None:
    ids = torch.randint(50, (2, 12))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(ids).logits.float()
    exact = model(ids).logits
    assert (rounded - exact).norm() < 0.05 * exact.norm()


@torch.inference_mode()
def test_the_cache_avoids_recomputing_the_past(model: ScratchLM) -> None:
    widths = []
    hook = model.decoder.register_forward_pre_hook(lambda _, args: widths.append(args[0].shape[1]))
    model.generate(torch.ones(1, 3).long(), min_new_tokens=18, max_new_tokens=18, pad_token_id=0)
    hook.remove()
    # Context length 12: full after 9 new tokens.  The last 7 tokens are then recomputed, and once
    # more 6 steps later.
    assert widths == [3, *[1] * 9, 7, *[1] * 5, 7, 1]


@torch.inference_mode()
def test_cached_logits_equal_those_of_one_forward_pass(model: ScratchLM) -> None:
    ids, past = torch.randint(50, (2, 12)), DynamicCache(config=model.config)
    whole = model(ids).logits
    parts = [model(ids[:, a:b], past_key_values=past).logits for a, b in ((0, 5), (5, 6), (6, 12))]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


@torch.inference_mode()
def test_a_loaded_model_computes_the_same_with_the_cache(model: ScratchLM, tmp_path: Path) -> None:
    """The cached path reads the mask, a buffer that is not saved and must not be undefined."""
    model.save_pretrained(tmp_path)
    loaded = ScratchLM.from_pretrained(tmp_path).eval()
    assert not list(loaded.buffers())
    ids, past = torch.randint(50, (2, 12)), DynamicCache(config=model.config)
    torch.testing.assert_close(loaded(ids, past_key_values=past).logits, model(ids).logits)


def test_dropout_acts_on_the_updates_of_attention_and_feed_forward() -> None:
    for silent in ("linear2", "self_attn.out_proj"):
        config = ScratchConfig(hidden_size=64, dropout=0.5, initializer_range=0.5)
        layer = ScratchLM(config).train().decoder.layers[0]
        torch.nn.init.zeros_(layer.get_submodule(silent).weight)  # only the other one contributes
        x = torch.randn(4, 8, 64)
        added = layer(x, Shared(x), torch.zeros(8, 8)) - x
        assert 0.4 < (added == 0).float().mean() < 0.6


def test_there_is_no_cross_attention_and_the_output_weights_are_tied(model: ScratchLM) -> None:
    assert isinstance(model.decoder, torch.nn.TransformerDecoder)
    layers = model.decoder.layers
    assert all(isinstance(layer, torch.nn.TransformerDecoderLayer) for layer in layers)
    assert not any("multihead_attn" in name for name, _ in model.named_parameters())
    assert model.lm_head.weight is model.tokens.weight


@pytest.mark.parametrize("preset", PRESETS)
def test_parameters_are_counted_before_the_model_is_built(preset: str) -> None:
    options = ScratchOptions(preset=preset, **PRESETS[preset])
    config = ScratchConfig(
        vocab_size=options.vocabulary,
        max_position_embeddings=options.context_length,
        num_hidden_layers=options.layers,
        hidden_size=options.width,
        num_attention_heads=options.heads,
        intermediate_size=options.feed_forward,
        distance_bias=options.distance_bias,
        smeared_keys=options.smeared_keys,
        convolutions=options.convolutions,
        query_key_norm=options.query_key_norm,
        embedding_skips=options.embedding_skips,
    )
    assert options.parameters == ScratchLM(config).num_parameters() < 1_000_000


def test_too_long_input_and_padding_are_refused(model: ScratchLM) -> None:
    with pytest.raises(ValueError, match="13 tokens are more than the context length 12"):
        model(torch.zeros(1, 13, dtype=torch.long))
    with pytest.raises(ValueError, match="padding"):
        model(torch.zeros(1, 2, dtype=torch.long), attention_mask=torch.tensor([[0, 1]]))


def test_the_loss_is_the_cross_entropy_of_the_next_token(model: ScratchLM) -> None:
    ids = torch.randint(50, (2, 12))
    out = model(ids, labels=ids)
    expected = torch.nn.functional.cross_entropy(
        out.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()
    )
    torch.testing.assert_close(out.loss, expected)


STRANGER = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline
assert not any(name in sys.modules for name in ("scratch_lm", "compare"))
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], trust_remote_code=True)
torch.save(model(torch.arange(30)[None]).logits, sys.argv[2])
generator = pipeline("text-generation", sys.argv[1], trust_remote_code=True)
torch.manual_seed(0)
text = generator("ROMEO:", max_new_tokens=60, do_sample=True, top_k=50)[0]["generated_text"]
assert text.startswith("ROMEO:") and len(text) > 20, text
# Past the context length of 32, the oldest tokens are dropped.
new = model.generate(torch.ones(1, 1).long(), min_new_tokens=60, max_new_tokens=60)
assert new.shape == (1, 61)
assert "scratch_lm.model" not in sys.modules
"""


def test_a_stranger_loads_the_saved_model_and_gets_the_same_logits(
    study: Place, tmp_path: Path
) -> None:
    folder = study.path / "runs" / "scratch_lm" / "course-seed1" / "model"
    # -S -I and an explicit path: this project is not importable in that process.
    site = next(path for path in sys.path if path.endswith("site-packages"))
    code = f"import sys; sys.path.append({site!r})\n{STRANGER}"
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(folder), str(tmp_path / "logits.pt")],
        check=True,
        cwd=tmp_path,
        env=study.environment | {"PATH": os.environ["PATH"]},
    )
    ours = ScratchLM.from_pretrained(folder)(torch.arange(30)[None]).logits
    torch.testing.assert_close(torch.load(tmp_path / "logits.pt"), ours)
