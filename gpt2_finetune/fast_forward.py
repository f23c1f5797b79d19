"""Training in less time and memory: the same functions, computed by cheaper kernels.

Only the parts of a model that are recognized are replaced, so any causal language model can be
passed.
"""

from __future__ import annotations

from functools import partial
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.activations import NewGELUActivation, SiLUActivation
from transformers.loss.loss_utils import ForCausalLMLoss
from transformers.models.llama import modeling_llama as llama

from gpt2_finetune.attention import use_blockwise_attention
from gpt2_finetune.fused_functions import GatedSiLU, RMSNorm, Rotation, product_dtype
from gpt2_finetune.loss import calls_of_loss_function, default_loss_function

# Number of tokens whose logits exist at the same time: 512 x 50,257 in fp32 are 103 MB.  All 2,048
# tokens of a step would need 412 MB, and the same again for their softmax and for its gradient.
CHUNK_TOKENS = 512


def use_fast_kernels(model: PreTrainedModel) -> None:
    """Replace parts of a model and its training loss, in place, by equivalent cheaper kernels.

    If the model computes its logits as the product of the hidden states and one matrix, its
    `logits` output holds the hidden states, (batch, time, width), in training mode.

    transformers copies the code of Llama's norm, rotation and feed-forward layer to every
    architecture that uses the same.  These copies are recognized by their code.
    """
    for module in model.modules():
        _use_fused_activations(module)
        forward = type(module).forward
        if _is_copy(forward, llama.LlamaRMSNorm.forward):
            module.forward = MethodType(_rms_norm, module)
        elif _is_copy(forward, llama.LlamaMLP.forward) and _is_silu(module.act_fn):
            module.forward = MethodType(_feed_forward, module)
        elif _rotates_as_llama(forward):
            module.forward = MethodType(_with_global(forward, ROTATE, _rotate), module)
    use_blockwise_attention(model)
    if _is_plain_head(model):
        head: Any = model.get_output_embeddings()
        head.forward = lambda hidden: hidden if model.training else F.linear(hidden, head.weight)
        model.loss_function = partial(chunked_loss, head)


def _use_fused_activations(module: nn.Module) -> None:
    """Replace GPT-2's activation with the same function as a single kernel of torch.

    transformers composes it from seven elementwise operations, each of which stores its result for
    the backward pass.
    """
    for name, child in module.named_children():
        if isinstance(child, NewGELUActivation):
            setattr(module, name, nn.GELU(approximate="tanh"))


def _is_silu(activation: Any) -> bool:
    return isinstance(activation, nn.SiLU | SiLUActivation)


def _is_copy(function: Any, original: Any) -> bool:
    """Return whether two functions have the same code, even if it is in different files."""

    def content(code: Any) -> tuple:
        return code.co_code, code.co_names, code.co_consts, code.co_varnames

    code = getattr(function, "__code__", None)
    return code is not None and content(code) == content(original.__code__)


def _rms_norm(self: Any, hidden_states: Tensor) -> Tensor:
    return RMSNorm.apply(hidden_states, self.weight, self.variance_epsilon)


def _feed_forward(self: Any, x: Tensor) -> Tensor:
    return self.down_proj(GatedSiLU.apply(self.gate_proj(x), self.up_proj(x)))


ROTATE = "apply_rotary_pos_emb"


def _rotates_as_llama(forward: Any) -> bool:
    """Return whether an attention's `forward` calls the same rotation as Llama's."""
    code = getattr(forward, "__code__", None)
    if code is None or ROTATE not in code.co_names or ROTATE not in forward.__globals__:
        return False
    rotate = forward.__globals__[ROTATE]
    # Equal code can still call another `rotate_half`: NanoChat's, for one, has the opposite sign.
    rotate_half = getattr(rotate, "__globals__", {}).get("rotate_half")
    return _is_copy(rotate, llama.apply_rotary_pos_emb) and _is_copy(rotate_half, llama.rotate_half)


def _rotate(
    q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1
) -> tuple[Tensor, Tensor]:
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    return Rotation.apply(q, cos, sin), Rotation.apply(k, cos, sin)


def _with_global(function: Any, name: str, value: Any) -> FunctionType:
    """Return a copy of `function` for which the global variable `name` is `value`."""
    changed = FunctionType(
        function.__code__,
        function.__globals__ | {name: value},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    changed.__kwdefaults__ = function.__kwdefaults__
    return changed


def _is_plain_head(model: PreTrainedModel) -> bool:
    """Return whether the loss is that of the product of hidden states and one matrix.

    Some architectures scale or cap the logits, or add a bias.  Others compute the loss themselves,
    and do not call `loss_function`.  Therefore the model is run on a few tokens, and the logits
    that its `loss_function` receives are compared with the product.
    """
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or head.bias is not None:
        return False
    if default_loss_function(model) is not ForCausalLMLoss:
        return False
    products: list[Tensor] = []
    hook = head.register_forward_hook(lambda module, inputs, output: products.append(output))
    try:
        received = calls_of_loss_function(model)
    finally:
        hook.remove()
    return len(products) == len(received) == 1 and torch.equal(products[0], received[0].logits)


def chunked_loss(
    head: nn.Linear,
    logits: Tensor,
    labels: Tensor,
    vocab_size: int,
    *,
    shift_labels: Tensor,
    num_items_in_batch: Tensor,
    **_: Any,
) -> Tensor:
    """Return the sum of the cross-entropies in nats divided by `num_items_in_batch`, in fp32.

    `logits` holds the hidden states, (batch, time, width), which `head` returns unchanged in
    training mode.  `shift_labels` is (batch, time) int64.  `labels` and `vocab_size` are
    not needed, but models pass them, by position or by name.

    `linear_cross_entropy` returns nats in the dtype of its input, so the sum is computed here, in
    fp32.  A sum in bf16 would be rounded to a multiple of 32 (2,048 tokens have about 7,000 nats),
    and the loss to a multiple of 1/64.  A single token's 3 nats in bf16 are off by up to 1/128, and
    the mean of 2,048 tokens by about 1e-4.
    """
    dtype = product_dtype(logits)
    nats = F.linear_cross_entropy(
        logits.flatten(0, 1).to(dtype),
        head.weight.to(dtype),
        shift_labels.flatten(),
        reduction="none",
        options=nn.LinearCrossEntropyOptions(
            batch_chunk_size=CHUNK_TOKENS, chunking_method=None, acc_policy="balanced"
        ),
    )
    return nats.float().sum() / num_items_in_batch
