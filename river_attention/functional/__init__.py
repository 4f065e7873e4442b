"""Recurrences as pure functions on arrays: ``[T, H, d]`` in, ``([T, H, d], final state)`` out.

No classes, no river, NumPy only. All of them run on one scan over time.
"""

from ._linear import gated_linear_attention
from ._scan import linear_step, scan

__all__ = ["gated_linear_attention", "linear_step", "scan"]
