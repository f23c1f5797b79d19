"""Text generation with the same prompts, settings and seeds for both tracks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria

from compare.corpus import Corpus
from compare.errors import Failure
from compare.ruler.evaluation import evaluation_mode
from compare.ruler.scoring import context_length_of, start_token

Watch = Callable[[str], None]
"""Is called with the generated text so far."""
SHAKESPEARE_PROMPTS = ("ROMEO:\n", "First Citizen:\nBefore we proceed", "KING RICHARD III:\nNow is")
PROMPT_CHARACTERS = 60


@dataclass(frozen=True)
class Settings:
    """Sampling settings; the length is in characters, because tokenizers differ."""

    temperature: float = 0.8
    top_k: int = 50
    top_p: float = 1.0
    characters: int = 300
    seed: int = 1


@dataclass(frozen=True)
class Sample:
    """A text that a model has written in training."""

    epoch: int
    """Finished epochs."""
    prompt: str
    text: str
    seed: int
    settings: Settings


def prompts(corpus: Corpus) -> tuple[str, ...]:
    """Return the fixed prompts of `corpus`.

    For Tiny Shakespeare, these are beginnings of speeches.  For other texts, they are up to three
    excerpts of four words, or PROMPT_CHARACTERS, from the validation split.
    """
    if corpus.is_tiny_shakespeare:
        return SHAKESPEARE_PROMPTS
    words = corpus.validation.split()
    return tuple(
        " ".join(words[at : at + 4])[:PROMPT_CHARACTERS]  # some scripts have no spaces
        for at in range(0, len(words), len(words) // 3 + 1)
    )


class _CharacterLimit(StoppingCriteria):
    """Stops after `characters` characters, and calls `watch` with the text after each token.

    `start` is the index of the first generated token.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, start: int, characters: int, watch: Watch
    ) -> None:
        self.tokenizer, self.start, self.characters = tokenizer, start, characters
        self.watch = watch

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        text = str(self.tokenizer.decode(input_ids[0, self.start :]))
        self.watch(text[: self.characters])
        return torch.tensor([len(text) >= self.characters], device=input_ids.device)


def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    settings: Settings,
    watch: Watch = lambda text: None,
) -> str:
    """Return `settings.characters` generated characters that continue `prompt`.

    The prompt itself is not returned.  When the context length C is reached, generation continues
    from the last C / 2 tokens.  The global random state is preserved.  `watch` is called after each
    token, with the text generated so far.

    Raises Failure if the model's `generate` adds no tokens.
    """
    context_length = context_length_of(model)
    encoded = tokenizer(prompt, add_special_tokens=False, split_special_tokens=True, verbose=False)
    ids = [start_token(tokenizer), *encoded["input_ids"]]
    # A sample has a fixed length, so a token that ends a text is never drawn.
    suppressed_ids = {tokenizer.bos_token_id, tokenizer.eos_token_id} - {None}
    start = len(ids)
    device = model.device
    fork_options = {} if device.type == "cpu" else {"device_type": device.type}
    fork = torch.random.fork_rng([] if device.type == "cpu" else [device], **fork_options)
    with evaluation_mode(model), fork:
        torch.manual_seed(settings.seed)
        while len(text := str(tokenizer.decode(ids[start:]))) < settings.characters:
            context = ids if len(ids) < context_length else ids[-(context_length // 2) :]
            generated = cast(Any, model).generate(  # PreTrainedModel's type hints lack `generate`
                torch.tensor([context], device=device),
                attention_mask=torch.ones(1, len(context), dtype=torch.long, device=device),
                do_sample=True,
                temperature=settings.temperature,
                top_k=settings.top_k,
                top_p=settings.top_p,
                max_new_tokens=context_length - len(context),
                eos_token_id=None,
                pad_token_id=ids[0],
                suppress_tokens=sorted(suppressed_ids),
                stopping_criteria=[
                    _CharacterLimit(
                        tokenizer,
                        len(context),
                        settings.characters - len(text),
                        partial(_watch_joined, watch, text),
                    )
                ],
            )
            added = generated[0, len(context) :].tolist()
            if not added:  # or else the loop would never end
                raise Failure(
                    "model.generate returns no more tokens than it was given: it must return these "
                    "and the new ones after them"
                )
            ids += added
    return text[: settings.characters]


def complete_characters(text: str) -> str:
    """Return `text`, as `watch` receives it, without an incomplete last character.

    Its bytes so far are decoded as replacement characters.
    """
    return text.rstrip("\N{REPLACEMENT CHARACTER}")


def _watch_joined(watch: Watch, before: str, text: str) -> None:
    """Call `watch` with the text of earlier context windows and of the current one."""
    watch(before + text)


def samples(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    corpus: Corpus,
    epoch: int,
    settings: Settings,
) -> list[Sample]:
    """Generate one sample per fixed prompt."""
    return [
        Sample(epoch, prompt, sample(model, tokenizer, prompt, settings), settings.seed, settings)
        for prompt in prompts(corpus)
    ]
