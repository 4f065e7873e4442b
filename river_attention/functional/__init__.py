"""Recurrences as pure functions on arrays: ``[T, H, d]`` in, ``([T, H, d], final state)`` out.

No classes, no river, NumPy only. All of them run on one scan over time; carrying the final state
into the next call equals one long call.
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

__all__ = [
    "delta_rule",
    "dplr",
    "gated_delta_product",
    "gated_delta_rule",
    "gated_linear_attention",
    "hgrn",
    "hgrn2",
    "kernel_linear_attention",
    "log_linear_attention",
    "mlstm",
    "retention",
    "rg_lru",
    "rwkv6",
    "rwkv7",
]
