"""A decoder-only language model built from `torch.nn.TransformerDecoder`.

This file is saved next to the weights, so that `AutoModelForCausalLM.from_pretrained(directory,
trust_remote_code=True)` works without this project.  It therefore imports only torch and
transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
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
CONVOLUTION_LENGTH = 4  # positions that a short convolution reads: its own, and the three before it


class ScratchConfig(PreTrainedConfig):
    """Configuration of a `ScratchLM`; the names are those of transformers."""

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
        convolutions: bool = False,
        query_key_norm: bool = False,
        embedding_skips: bool = False,
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
        self.convolutions = convolutions
        self.query_key_norm = query_key_norm
        self.embedding_skips = embedding_skips
        self.initializer_range = initializer_range
        if convolutions:
            # "hybrid": the cache of a layer holds keys and values, and the last inputs of up to
            # three convolutions: of attention, of the feed-forward and, in layer 0, of embeddings.
            kwargs |= {"layer_types": ["hybrid"] * num_hidden_layers, "number_of_conv_states": 3}
        super().__init__(**{"tie_word_embeddings": True} | kwargs)


@dataclass
class Shared:
    """What all layers receive in addition to their own input."""

    embeddings: Tensor  # (batch, time, width): the first layer's input
    cache: Cache | None = None  # keys and values of earlier positions, and inputs of convolutions


class ShortConvolution(nn.Module):
    """Add to each position a weighted sum of its own input and of those of the three before it.

    Every channel has its own weights, which are initialized to zero.  `state` is the index of this
    convolution in the cache of its layer.
    """

    def __init__(self, width: int, state: int) -> None:
        super().__init__()
        self.taps = nn.Parameter(torch.zeros(CONVOLUTION_LENGTH, width))  # the last is its own
        self.state = state

    def forward(self, x: Tensor, cache: Cache | None, layer: int) -> Tensor:
        """Transform `x`, (batch, time, width), to the same shape."""
        time, earlier = x.shape[1], CONVOLUTION_LENGTH - 1
        inputs = x
        if cache is not None:
            states = cache.update_conv_state(
                x.transpose(1, 2), layer, self.state, conv_kernel_size=earlier
            )
            inputs = states.transpose(1, 2)
        # Zeros stand for the positions before the text.
        inputs = F.pad(inputs, (0, 0, earlier, 0))[:, -(time + earlier) :]
        for offset, weights in enumerate(self.taps):
            x = torch.addcmul(x, weights, inputs[:, offset : offset + time])
        return x


class SelfAttentionDecoderLayer(nn.TransformerDecoderLayer):
    """A decoder layer without cross-attention: it attends only to earlier positions."""

    index: int  # of the layer, which the cache needs; set by `ScratchLM`

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
        # Dropout applies to the residual updates alone (dropout1 and dropout3).
        self.dropout = nn.Identity()  # type: ignore[assignment]
        self.distance_bias: nn.Parameter | None = None
        if config.distance_bias:
            heads, length = config.num_attention_heads, config.max_position_embeddings
            self.distance_bias = nn.Parameter(torch.zeros(heads, length))
        self.smear: nn.Parameter | None = None
        if config.smeared_keys:
            self.smear = nn.Parameter(torch.zeros(config.num_attention_heads, 1, 1))
        self.convolutions: nn.ModuleList | None = None  # of the attention, of the feed-forward
        if config.convolutions:
            self.convolutions = nn.ModuleList(
                ShortConvolution(config.hidden_size, state) for state in range(2)
            )
        self.sharpness: nn.Parameter | None = None
        if config.query_key_norm:
            self.sharpness = nn.Parameter(torch.ones(config.num_attention_heads, 1, 1))
        self.skip: nn.Parameter | None = None
        if config.embedding_skips:
            self.skip = nn.Parameter(torch.tensor([1.0, 0.0]))

    def forward(  # type: ignore[override]  # memory is not the output of an encoder
        self, tgt: Tensor, memory: Shared, tgt_mask: Tensor, **_: Any
    ) -> Tensor:
        """Transform `tgt`, (batch, time, width), to the same shape.

        `nn.TransformerDecoder` passes `memory` to every layer.  Elsewhere, this is the output of an
        encoder.
        """
        mask = tgt_mask
        if self.distance_bias is not None:
            mask = self._biased_mask(self.distance_bias, *tgt_mask.shape)
        if self.skip is not None:
            own, embedded = self.skip
            tgt = own * tgt + embedded * memory.embeddings
        x = self._convolve(0, self.norm1(tgt), memory.cache)
        tgt = tgt + self.dropout1(self._attend(x, mask, memory.cache))
        return tgt + self._ff_block(self._convolve(1, self.norm3(tgt), memory.cache))

    def _convolve(self, which: int, x: Tensor, cache: Cache | None) -> Tensor:
        if self.convolutions is None:
            return x
        return self.convolutions[which](x, cache, self.index)

    def _biased_mask(self, bias: Tensor, rows: int, time: int) -> Tensor:
        """Return the causal mask with a learned bias added for every head and distance.

        `bias` is (heads, context length), indexed by distance.  The result is (heads, rows, time),
        for queries at the last `rows` of `time` positions.  Its rows are shifted copies of a single
        line, so they are views made by `unfold`: the gradient of a gather would be slow on a CPU.
        """
        nearest_last = bias[:, :time].flip(-1)
        line = F.pad(nearest_last, (0, rows - 1), value=-torch.inf)  # later positions are masked
        return line.unfold(-1, time, 1).flip(1)

    def _attend(self, x: Tensor, mask: Tensor, cache: Cache | None) -> Tensor:
        """Apply `self.self_attn` to `x`, (batch, time, width), and to the positions in `cache`.

        `nn.MultiheadAttention` itself does not support a cache, and needs a copy of the mask for
        every row of the batch.  `scaled_dot_product_attention` is slower on a CPU if the mask is
        learned.
        """
        attention = self.self_attn
        projected = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)
        # Each (batch, heads, time, width / heads).
        queries, keys, values = projected.unflatten(-1, (3, attention.num_heads, -1)).permute(
            2, 0, 3, 1, 4
        )
        if cache is not None:
            keys, values = cache.update(keys, values, self.index)
        if self.smear is not None:
            previous_keys = F.pad(keys[..., :-1, :], (0, 0, 1, 0))
            keys = torch.lerp(keys, previous_keys, self.smear.sigmoid().to(keys.dtype))
        scale: float | Tensor = queries.shape[-1] ** -0.5
        if self.sharpness is not None:
            queries, keys = F.normalize(queries, dim=-1), F.normalize(keys, dim=-1)
            scale = self.sharpness * queries.shape[-1] ** 0.5
        scores = queries * scale @ keys.transpose(-1, -2) + mask
        attended = scores.softmax(-1) @ values
        return attention.out_proj(attended.transpose(1, 2).flatten(2))


class ScratchLM(PreTrainedModel, GenerationMixin):
    """Token and position embeddings, pre-norm decoder layers, and tied output weights.

    With `distance_bias`, every head of every layer learns a bias for each distance between query
    and key, as in T5 (Raffel et al. 2020), but without T5's grouping of distances.

    With `smeared_keys`, every head mixes each token's key with that of the previous token (Olsson
    et al. 2022).  A single layer can then perform induction: find an earlier occurrence of the
    current token, and attend to the token that followed it.

    With `convolutions`, a `ShortConvolution` follows the token embeddings and precedes every
    attention and every feed-forward layer, like the "canon layers" of Allen-Zhu 2025.

    With `query_key_norm`, queries and keys have unit length, and every head learns a factor for
    their products (Henry et al. 2020).

    With `embedding_skips`, the input of every layer is a learned mixture of the previous layer's
    output and of the embeddings.
    """

    config_class = ScratchConfig
    base_model_prefix = "scratch_lm"
    _tied_weights_keys: ClassVar = {"lm_head.weight": "tokens.weight"}  # type: ignore[misc]

    def __init__(self, config: ScratchConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.tokens = nn.Embedding(config.vocab_size, width)
        self.positions = nn.Embedding(config.max_position_embeddings, width)
        self.convolution: ShortConvolution | None = None
        if config.convolutions:
            self.convolution = ShortConvolution(width, state=2)  # in the cache of the first layer
        self.dropout = nn.Dropout(config.dropout)
        self.decoder = nn.TransformerDecoder(
            SelfAttentionDecoderLayer(config), config.num_hidden_layers, norm=nn.LayerNorm(width)
        )
        for index, layer in enumerate(self.decoder.layers):
            layer.index = index
        self.lm_head = nn.Linear(width, config.vocab_size, bias=False)
        # A cache of convolutions cannot be rolled back, as assisted generation would need.
        self._is_stateful = config.convolutions
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Initialize like GPT-2: normal, with the projections into the residual stream scaled down.

        Their standard deviation is divided by sqrt(2 x layers), the number of residual updates.
        """
        std = self.config.initializer_range
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=EMBEDDING_STD)
        elif isinstance(module, nn.MultiheadAttention):
            nn.init.normal_(module.in_proj_weight, std=std)
            nn.init.zeros_(module.in_proj_bias)
        elif isinstance(module, nn.Linear) and module is not self.lm_head:
            nn.init.normal_(module.weight, std=std)
            nn.init.zeros_(module.bias)
        elif isinstance(module, SelfAttentionDecoderLayer):  # initialized after its submodules
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
        """Return logits (batch, time, vocabulary) for `input_ids` (batch, time).

        With `labels` (batch, time), which are shifted here as elsewhere in transformers, the loss
        is returned too.  With `past_key_values`, `input_ids` continue the tokens in that cache, and
        are added to it.

        Raises ValueError if the input exceeds the context length, if `attention_mask` marks
        padding, or if a model with convolutions gets a cache that was made without its config.
        """
        if attention_mask is not None and not attention_mask.all():
            raise ValueError("padding is not supported: give rows of the same length")
        cached = past_key_values.get_seq_length() if past_key_values is not None else 0
        time = cached + input_ids.shape[1]
        if time > self.config.max_position_embeddings:
            raise ValueError(
                f"{time} tokens are more than the context length "
                f"{self.config.max_position_embeddings}"
            )
        if self.config.convolutions and past_key_values is not None and not past_key_values.layers:
            raise ValueError("make the cache for this model: DynamicCache(config=model.config)")
        positions = torch.arange(cached, time, device=input_ids.device)
        x = self.tokens(input_ids)
        if self.convolution is not None:
            x = self.convolution(x, past_key_values, layer=0)
        x = self.dropout(x + self.positions(positions))
        # Not a buffer: from_pretrained would leave a buffer that is not saved uninitialized.
        mask = nn.Transformer.generate_square_subsequent_mask(time, x.device, x.dtype)[cached:]
        x = self.decoder(x, memory=Shared(x, past_key_values), tgt_mask=mask)
        logits = self.lm_head(x)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values)

    def prepare_inputs_for_generation(  # type: ignore[override]  # the arguments used here
        self,
        input_ids: Tensor,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """Return what `generate` passes to `forward`: with a cache, only tokens not yet in it.

        Beyond the context length C, the oldest tokens are dropped, C / 2 at a time.  The cache is
        then emptied, because its entry for a token depends on all earlier tokens.
        """
        length = self.config.max_position_embeddings
        time, stride = input_ids.shape[1], max(1, length // 2)
        start = -(-max(0, time - length) // stride) * stride  # a multiple of stride, rounded up
        inputs: dict[str, Any] = {"attention_mask": attention_mask}
        if past_key_values is not None:
            cached = past_key_values.get_seq_length()
            if cached and cached != time - 1 - start:
                past_key_values, cached = DynamicCache(config=self.config), 0
            inputs["past_key_values"] = past_key_values
            start += cached
        return inputs | {"input_ids": input_ids[:, start:]}


ScratchConfig.register_for_auto_class()
ScratchLM.register_for_auto_class("AutoModelForCausalLM")
