"""Recurrences as pure functions on arrays: ``[T, H, d]`` in, ``([T, H, d], final state)`` out.

No classes, no river, NumPy only. All of them run on one scan over time; carrying the final state
into the next call equals one long call. Softmax attention stands beside them: it has no state, and
its arrays may have leading axes, ``[..., T, H, d]``.
"""

from .delta import (
    delta_rule,
    dplr,
    gated_delta_product,
    gated_delta_rule,
    rwkv7,
)
from .gated import (
    gated_linear_attention,
    hgrn,
    hgrn2,
    kernel_linear_attention,
    mlstm,
    retention,
    rg_lru,
    rwkv6,
)
from .log_linear import log_linear_attention
from .norms import qk_norm, qk_norm_backward
from .positions import (
    alibi_slopes,
    apply_rope,
    relative_bias,
    relative_bias_backward,
    rope_frequencies,
    sinusoidal_encoding,
)
from .softmax import (
    causal_mask,
    merge_heads,
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
    sliding_window_mask,
    split_heads,
)
from .softmax_blocks import (
    chunked_attention,
    memory_efficient_attention,
    memory_efficient_attention_backward,
    merge_partial_attention,
)

__all__ = [
    "alibi_slopes",
    "apply_rope",
    "causal_mask",
    "chunked_attention",
    "delta_rule",
    "dplr",
    "gated_delta_product",
    "gated_delta_rule",
    "gated_linear_attention",
    "hgrn",
    "hgrn2",
    "kernel_linear_attention",
    "log_linear_attention",
    "memory_efficient_attention",
    "memory_efficient_attention_backward",
    "merge_heads",
    "merge_partial_attention",
    "mlstm",
    "qk_norm",
    "qk_norm_backward",
    "relative_bias",
    "relative_bias_backward",
    "retention",
    "rg_lru",
    "rope_frequencies",
    "rwkv6",
    "rwkv7",
    "scaled_dot_product_attention",
    "scaled_dot_product_attention_backward",
    "sinusoidal_encoding",
    "sliding_window_mask",
    "split_heads",
]
