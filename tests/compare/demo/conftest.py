"""Two small random models, as the two sides of the demo."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from compare import corpus as corpora
from compare.demo.sides import Side


@pytest.fixture(scope="package")
def sides(tiny_base: Path, mini_text: Path) -> list[Side]:
    """Return two models with the same tokenizer and different weights."""
    corpus = corpora.load(str(mini_text))
    made = []
    for seed, name in enumerate(("left", "right")):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tiny_base)).eval()
        tokenizer = AutoTokenizer.from_pretrained(tiny_base)
        made.append(Side(name, "small and random", model, tokenizer, corpus))
    return made
