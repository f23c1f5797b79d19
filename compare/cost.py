"""What a training cost in arithmetic, estimated from the model's shape."""

from __future__ import annotations

from transformers import PreTrainedModel

from compare.scoring import context_of


def training_flops(model: PreTrainedModel, tokens: int) -> float:
    """Floating-point operations of training on so many tokens, forward and backward.

    Chowdhery et al. 2022, "PaLM", appendix B: 6 N + 12 L d T per token, for N weights that tokens
    are multiplied with, L layers of width d and T tokens of context.  N leaves out the embeddings,
    which are looked up, and counts the output matrix even where it is one of them.
    """
    config = model.config
    output = model.get_output_embeddings().weight
    tied = output is model.get_input_embeddings().weight
    multiplied = model.num_parameters(exclude_embeddings=True) + (output.numel() if tied else 0)
    attention = config.num_hidden_layers * config.hidden_size * context_of(model)
    return float((6 * multiplied + 12 * attention) * tokens)
