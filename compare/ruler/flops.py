"""Parameter counts, and the floating-point operations of training."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from compare.ruler.parameters import Parameters
from compare.ruler.scoring import context_length_of


def count_parameters(model: PreTrainedModel) -> Parameters:
    """Return the parameter counts of `model`.

    `non_embedding` is N in Kaplan et al. 2020, "Scaling Laws for Neural Language Models".  It
    excludes the token and position embeddings and the output matrix, whether or not the output
    matrix is tied to the token embeddings.
    """
    embedding_ids = {
        id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)
    }
    if output := model.get_output_embeddings():
        embedding_ids.add(id(output.weight))
    total = model.num_parameters()
    embedding = sum(weight.numel() for weight in model.parameters() if id(weight) in embedding_ids)
    return Parameters(total=total, non_embedding=total - embedding)


def training_flops(model: PreTrainedModel, tokens: int, adapters: int | None = None) -> float:
    """Return the floating-point operations of training on `tokens` tokens, forward and backward.

    The formula is that of Chowdhery et al. 2022, "PaLM", appendix B: 6 N + 12 L d T per token, for
    L layers of width d, T tokens of context, and N weights that take part in matrix products.  N
    excludes the embeddings, which are only looked up, and includes the output matrix even if it is
    tied to them.

    Each weight costs 2 operations forward, 2 for the gradient of its input and 2 for its own
    gradient.  LoRA trains only its adapters, which have `adapters` weights in all, A for short;
    `model` is then the model without them, or with adapters that are merged.  The gradients
    of the N frozen weights are not computed, so the formula is 4 N + 6 A + 12 L d T.
    """
    config = model.config
    output = model.get_output_embeddings().weight.numel()
    weights = count_parameters(model).non_embedding + output
    attention = config.num_hidden_layers * config.hidden_size * context_length_of(model)
    products = 6 * weights if adapters is None else 4 * weights + 6 * adapters
    return float((products + 12 * attention) * tokens)
