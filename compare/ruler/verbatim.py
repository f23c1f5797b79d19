"""How many tokens of a text a model repeats word for word, given the tokens before them.

A model that has read a text often may know parts of it by heart.  It is prompted with tokens of the
text, and its greedy continuation, in which each token is the most likely one, is compared with what
follows in the text (Carlini et al. 2023, "Quantifying Memorization Across Neural Language Models").
"""

from __future__ import annotations

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from compare.corpus.encoding import token_ids
from compare.ruler.evaluation import evaluation_mode
from compare.ruler.scoring import LOGITS_PER_BATCH, context_length_of, start_token

PROMPT_TOKENS = 50
MIN_PROMPT_TOKENS = 10
CONTINUATION_TOKENS = 20
MAX_PROMPTS = 250  # of one text


def prompt_tokens(model: PreTrainedModel) -> int:
    """Return the length of the prompts for `model`: PROMPT_TOKENS, or what fits into its context.

    Raises ValueError if prompts would have fewer than MIN_PROMPT_TOKENS tokens.
    """
    room = context_length_of(model) - CONTINUATION_TOKENS
    if room < MIN_PROMPT_TOKENS:
        raise ValueError(
            f"a context of {context_length_of(model)} tokens is too short for prompts of "
            f"{MIN_PROMPT_TOKENS} tokens and continuations of {CONTINUATION_TOKENS}"
        )
    return min(PROMPT_TOKENS, room)


def prompt_starts(tokens: int, prompt: int) -> np.ndarray:
    """Return where the prompts of `prompt` tokens begin in a text of `tokens` tokens.

    Prompts and continuations do not overlap.  They cover the text, or, if it has room for more than
    MAX_PROMPTS of them, they are spread evenly over it.
    """
    length = prompt + CONTINUATION_TOKENS
    places = tokens // length
    return np.linspace(0, places - 1, min(places, MAX_PROMPTS), dtype=np.int64) * length


@torch.inference_mode()
def repeated_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, label: str | None = None
) -> np.ndarray:
    """Return how many tokens the continuation of each prompt repeats before it first differs.

    The result has shape (prompts,), int64, with values from 0 to CONTINUATION_TOKENS.  It is empty
    if the text is shorter than one prompt and its continuation.  Like the text in
    `compare.ruler.scoring`, every prompt has the start token in front.  `label` names a progress
    bar; without a label there is none.  Raises ValueError if the model's context is too short.

    Nothing is generated.  Up to the first difference, a greedy continuation is the text itself, so
    each of its tokens is the most likely one after the true text before it.  A single forward pass
    over the prompt and the true continuation gives all of these.
    """
    prompt = prompt_tokens(model)
    ids = token_ids(tokenizer, text).astype(np.int64) if text else np.empty(0, np.int64)
    starts = prompt_starts(len(ids), prompt)
    passages = torch.from_numpy(ids[starts[:, None] + np.arange(prompt + CONTINUATION_TOKENS)])
    first = torch.full((len(starts), 1), start_token(tokenizer))
    inputs = torch.cat((first, passages[:, :-1]), dim=1)
    per_batch = max(1, LOGITS_PER_BATCH // (inputs.shape[1] * model.config.vocab_size))
    lengths = np.empty(len(starts), np.int64)
    disable = None if label else True  # None disables the bar if stderr is not a terminal
    bar = tqdm(total=len(starts), desc=label, unit="prompt", disable=disable, leave=False)
    with evaluation_mode(model), bar:
        for begin in range(0, len(starts), per_batch):
            batch = slice(begin, begin + per_batch)
            logits = model(input_ids=inputs[batch].to(model.device)).logits
            most_likely = logits[:, -CONTINUATION_TOKENS:].argmax(dim=-1).cpu()
            is_repeated = (most_likely == passages[batch, -CONTINUATION_TOKENS:]).long()
            lengths[batch] = is_repeated.cumprod(dim=1).sum(dim=1).numpy()
            bar.update(len(is_repeated))
    return lengths
