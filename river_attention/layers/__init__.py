"""Layers with an explicit state: ``init_state() / step(x, state) / forward(X, state)``.

A layer holds weights and no state: ``step`` returns the new state and leaves the old one readable
as it was, so that whoever owns the state decides when time advances.
"""

from .linear_attention import MultiHeadLinearAttention

__all__ = ["MultiHeadLinearAttention"]
