"""A decoder-only language model out of `torch.nn.TransformerDecoder`.

This file is saved beside the weights, so that `AutoModelForCausalLM.from_pretrained(directory,
trust_remote_code=True)` works where this project is not installed: it imports torch and
transformers only.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

EMBEDDING_STD = 0.02


class ScratchConfig(PreTrainedConfig):
    """Shape of a `ScratchLM`; names as in `transformers`."""

    model_type = "scratch_lm"

    def __init__(
        self,
        vocab_size: int = 4096,
        max_position_embeddings: int = 128,
        num_hidden_layers: int = 2,
        num_attention_heads: int = 4,
        hidden_size: int = 128,
        intermediate_size: int = 256,
        dropout: float = 0.0,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.max_position_embeddings = max_position_embeddings
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.dropout = dropout
        self.initializer_range = initializer_range
        super().__init__(**{"use_cache": False, "tie_word_embeddings": True} | kwargs)


class SelfAttentionDecoderLayer(nn.TransformerDecoderLayer):
    """A decoder layer with nothing to attend to but its own past: no cross-attention."""

    def __init__(self, config: ScratchConfig) -> None:
        super().__init__(
            config.hidden_size,
            config.num_attention_heads,
            config.intermediate_size,
            dropout=config.dropout,
            activation=F.gelu,
            batch_first=True,
            norm_first=True,
        )
        del self.multihead_attn, self.norm2, self.dropout2

    def forward(self, tgt: Tensor, memory: None, tgt_mask: Tensor, **_: Any) -> Tensor:
        """(batch, time, width) to the same; `nn.TransformerDecoder` hands the memory through."""
        # is_causal only tells the fused kernel what tgt_mask says anyway.
        tgt = tgt + self._sa_block(self.norm1(tgt), tgt_mask, None, is_causal=True)
        return tgt + self._ff_block(self.norm3(tgt))


class ScratchLM(PreTrainedModel, GenerationMixin):
    """Token and learned position embeddings, pre-norm decoder layers, tied output weights."""

    config_class = ScratchConfig
    base_model_prefix = "scratch_lm"
    _tied_weights_keys: ClassVar = {"lm_head.weight": "tokens.weight"}

    def __init__(self, config: ScratchConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.tokens = nn.Embedding(config.vocab_size, width)
        self.positions = nn.Embedding(config.max_position_embeddings, width)
        self.dropout = nn.Dropout(config.dropout)
        self.decoder = nn.TransformerDecoder(
            SelfAttentionDecoderLayer(config), config.num_hidden_layers, norm=nn.LayerNorm(width)
        )
        self.lm_head = nn.Linear(width, config.vocab_size, bias=False)
        mask = nn.Transformer.generate_square_subsequent_mask(config.max_position_embeddings)
        self.register_buffer("causal_mask", mask, persistent=False)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """As in GPT-2: normal, and projections into the residual smaller by sqrt(2 x layers)."""
        std = self.config.initializer_range
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=EMBEDDING_STD)
        elif isinstance(module, nn.MultiheadAttention):
            nn.init.normal_(module.in_proj_weight, std=std)
            nn.init.zeros_(module.in_proj_bias)
        elif isinstance(module, nn.Linear) and module is not self.lm_head:
            nn.init.normal_(module.weight, std=std)
            nn.init.zeros_(module.bias)
        elif isinstance(module, SelfAttentionDecoderLayer):  # after its parts
            residual_std = std / (2 * self.config.num_hidden_layers) ** 0.5
            nn.init.normal_(module.self_attn.out_proj.weight, std=residual_std)
            nn.init.normal_(module.linear2.weight, std=residual_std)

    def get_input_embeddings(self) -> nn.Module:
        return self.tokens

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutput:
        """Logits (batch, time, vocabulary) for input_ids (batch, time), time <= context length.

        With `labels`, as elsewhere in transformers, also the loss of each token given its past.
        Raises ValueError for longer input and for an `attention_mask` with padding in it.
        """
        if attention_mask is not None and not attention_mask.all():
            raise ValueError("padding is not supported: give rows of the same length")
        time = input_ids.shape[1]
        if time > self.config.max_position_embeddings:
            raise ValueError(
                f"{time} tokens are more than the context length "
                f"{self.config.max_position_embeddings}"
            )
        places = torch.arange(time, device=input_ids.device)
        x = self.dropout(self.tokens(input_ids) + self.positions(places))
        x = self.decoder(x, memory=None, tgt_mask=self.causal_mask[:time, :time])
        logits = self.lm_head(x)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, self.config.vocab_size, **kwargs)
        return CausalLMOutput(loss=loss, logits=logits)

    def prepare_inputs_for_generation(self, input_ids: Tensor, **kwargs: Any) -> dict[str, Tensor]:
        """`generate` past the context length: the oldest tokens are forgotten."""
        return {"input_ids": input_ids[:, -self.config.max_position_embeddings :]}


ScratchConfig.register_for_auto_class()
ScratchLM.register_for_auto_class("AutoModelForCausalLM")
