"""What a model has in parameters, and what its training cost in operations, time and memory."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from compare.ruler.scoring import context_length_of


def parameters(model: PreTrainedModel) -> dict[str, int]:
    """{total, non_embedding}: the numbers that a model has, in both tracks counted alike.

    `non_embedding` is the N of Kaplan et al. 2020, "Scaling Laws for Neural Language Models": it
    leaves out the embeddings of tokens and of positions, and the output matrix, be it one of them
    or not.
    """
    embeddings = {id(each.weight) for each in model.modules() if isinstance(each, nn.Embedding)}
    if output := model.get_output_embeddings():
        embeddings.add(id(output.weight))
    total = model.num_parameters()
    looked_up = sum(each.numel() for each in model.parameters() if id(each) in embeddings)
    return {"total": total, "non_embedding": total - looked_up}


def training_flops(model: PreTrainedModel, tokens: int) -> float:
    """Floating-point operations of training on `tokens` tokens, forward and backward.

    Chowdhery et al. 2022, "PaLM", appendix B: 6 N + 12 L d T per token, for N weights that tokens
    are multiplied with, L layers of width d and T tokens of context.  N leaves out the embeddings,
    which are looked up, and counts the output matrix even where it is one of them.
    """
    config = model.config
    output = model.get_output_embeddings().weight.numel()
    multiplied = parameters(model)["non_embedding"] + output
    attention = config.num_hidden_layers * config.hidden_size * context_length_of(model)
    return float((6 * multiplied + 12 * attention) * tokens)
