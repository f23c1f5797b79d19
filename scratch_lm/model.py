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
from transformers import (
    Cache,
    DynamicCache,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

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
        distance_bias: bool = False,
        smeared_keys: bool = False,
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
        self.distance_bias = distance_bias
        self.smeared_keys = smeared_keys
        self.initializer_range = initializer_range
        super().__init__(**{"tie_word_embeddings": True} | kwargs)


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
        # Dropout acts on what a layer adds, and only there.
        self.dropout = nn.Identity()
        self.distance_bias = None
        if config.distance_bias:
            heads, length = config.num_attention_heads, config.max_position_embeddings
            self.distance_bias = nn.Parameter(torch.zeros(heads, length))
        self.smear = None
        if config.smeared_keys:
            self.smear = nn.Parameter(torch.zeros(config.num_attention_heads, 1, 1))

    def forward(self, tgt: Tensor, memory: Cache | None, tgt_mask: Tensor, **_: Any) -> Tensor:
        """(batch, time, width) to the same.

        `nn.TransformerDecoder` hands the memory through: where other decoders have an encoder's
        output, this one has its own past.
        """
        mask = tgt_mask if self.distance_bias is None else self._biased(tgt_mask)
        tgt = tgt + self.dropout1(self._attend(self.norm1(tgt), mask, memory))
        return tgt + self._ff_block(self.norm3(tgt))

    def _biased(self, mask: Tensor) -> Tensor:
        """The mask (rows, time) with what each head makes of each distance: (heads, rows, time).

        Each row is the one after it, shifted: no gather, whose gradient is slow on a CPU.
        """
        rows, time = mask.shape
        nearest_last = self.distance_bias[:, :time].flip(-1)
        line = F.pad(nearest_last, (0, rows - 1), value=-torch.inf)  # and then what is to come
        return line.unfold(-1, time, 1).flip(1)

    def _attend(self, x: Tensor, mask: Tensor, past: Cache | None) -> Tensor:
        """`self.self_attn` of `x`, and of the past: its keys and values come first.

        `nn.MultiheadAttention` has no place for a past, and wants a copy of the mask for each row;
        `scaled_dot_product_attention` is slower on a CPU where the mask is learned.
        """
        attention = self.self_attn
        projected = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)
        parts = projected.unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys, values = parts
        if past is not None:
            keys, values = past.update(keys, values, self.index)
        if self.smear is not None:
            before = F.pad(keys[..., :-1, :], (0, 0, 1, 0))
            keys = torch.lerp(keys, before, self.smear.sigmoid())
        scores = queries * queries.shape[-1] ** -0.5 @ keys.transpose(-1, -2) + mask
        found = scores.softmax(-1) @ values
        return attention.out_proj(found.transpose(1, 2).flatten(2))


class ScratchLM(PreTrainedModel, GenerationMixin):
    """Token and position embeddings, pre-norm decoder layers, tied output weights.

    With `distance_bias` each head of each layer also learns how much it looks at a token by its
    distance, as in T5 (Raffel et al. 2020), but with a number of its own for every distance.  With
    `smeared_keys` it mixes each token's key with that of the token before (Olsson et al. 2022), so
    that one layer can find what came after the present token when it stood there before.
    """

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
        for index, layer in enumerate(self.decoder.layers):
            layer.index = index
        self.lm_head = nn.Linear(width, config.vocab_size, bias=False)
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
        past_key_values: Cache | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits (batch, time, vocabulary) for input_ids (batch, time), time <= context length.

        With `labels`, as elsewhere in transformers, also the loss of each token given its past.
        With `past_key_values`, input_ids go on after the tokens that it holds, and are added to it.
        Raises ValueError for longer input and for an `attention_mask` with padding in it.
        """
        if attention_mask is not None and not attention_mask.all():
            raise ValueError("padding is not supported: give rows of the same length")
        held = past_key_values.get_seq_length() if past_key_values is not None else 0
        time = held + input_ids.shape[1]
        if time > self.config.max_position_embeddings:
            raise ValueError(
                f"{time} tokens are more than the context length "
                f"{self.config.max_position_embeddings}"
            )
        places = torch.arange(held, time, device=input_ids.device)
        x = self.dropout(self.tokens(input_ids) + self.positions(places))
        # Made here: a buffer that is not saved would be left without values by from_pretrained.
        mask = nn.Transformer.generate_square_subsequent_mask(time, x.device, x.dtype)[held:]
        x = self.decoder(x, memory=past_key_values, tgt_mask=mask)
        logits = self.lm_head(x)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """What `generate` gives `forward`: with a cache, only what the cache does not hold.

        Past the context length C the oldest tokens are forgotten, C / 2 at a time: what the cache
        holds of a token depends on the tokens before it, so nothing of it can be kept.
        """
        length = self.config.max_position_embeddings
        time, jump = input_ids.shape[1], max(1, length // 2)
        start = -(-max(0, time - length) // jump) * jump
        inputs: dict[str, Any] = {"attention_mask": attention_mask}
        if past_key_values is not None:
            held = past_key_values.get_seq_length()
            if held and held != time - 1 - start:
                past_key_values, held = DynamicCache(config=self.config), 0
            inputs["past_key_values"] = past_key_values
            start += held
        return inputs | {"input_ids": input_ids[:, start:]}


ScratchConfig.register_for_auto_class()
ScratchLM.register_for_auto_class("AutoModelForCausalLM")
