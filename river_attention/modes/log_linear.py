"""Log-linear attention: a state for every level of a tree over the past."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._validation import check_int, check_number
from ..functional.recurrence import log_linear_step
from ._base import Array, Mode, Projection
from .delta import DeltaNet, GatedDeltaNet
from .gated import GLA, LinearAttention, RetNet


class LogLinear(Mode):
    r"""Log-linear attention over another mode.

    .. math:: o_t = \sum_\ell \lambda_\ell\, (S_t^{(\ell)})^\top q_t

    Level 0 holds the current token, level ℓ ≥ 1 a block of 2^(ℓ-1) tokens, the larger the older;
    decay and removal of the inner mode apply to every level. With the level weights λ the age of a
    token counts by powers of two: a memory for long seasons whose size grows with the logarithm of
    time. With all of them 1 the read is that of the inner mode without interference between levels.

    Parameters
    ----------
    inner
        The mode of every level: RetNet (not rotary), GLA with a scalar gate, LinearAttention
        without normaliser, DeltaNet or GatedDeltaNet, all reading after they write.
    max_levels
        Number of levels; blocks merge in the last one.
    lambda_init
        Level weights, a tuple of at most ``max_levels`` numbers (the last one holds for all levels
        beyond); None means 1.

    References
    ----------
    Guo, Yang, Goel, Xing, Dao, Kim 2025, *Log-linear attention*, arXiv:2506.04761.

    Examples
    --------
    >>> from river_attention.modes import LogLinear, RetNet
    >>> LogLinear(inner=RetNet(), max_levels=12).init_state(2, 4, 3).shape
    (13, 2, 4, 3)
    """

    def __init__(
        self,
        inner: Mode | None = None,
        max_levels: int = 32,
        lambda_init: tuple[float, ...] | None = None,
    ) -> None:
        self.inner = GLA() if inner is None else inner
        self.max_levels = check_int("max_levels", max_levels, 1)
        reason = _unfit(self.inner)
        if reason:
            raise ValueError(f"inner={self.inner!r}: {reason}")
        weights = (1.0,) if lambda_init is None else lambda_init
        if not isinstance(weights, tuple) or not 1 <= len(weights) <= self.max_levels:
            raise ValueError(
                f"lambda_init={lambda_init!r}: must be a tuple of 1 to {self.max_levels} numbers"
            )
        numbers = [check_number("lambda_init", weight) for weight in weights]
        self.lambda_init = None if lambda_init is None else tuple(numbers)
        numbers += numbers[-1:] * (self.max_levels - len(numbers))
        self._level_weights = np.array(numbers)[:, None, None, None]

    def check(self, n_heads: int, d_key: int, d_value: int) -> None:
        self.inner.check(n_heads, d_key, d_value)

    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        return self.inner.projections(d_key, d_value)

    def token(self, *blocks: Array) -> tuple[Array, ...]:
        return self.inner.token(*blocks)

    def init_state(self, n_heads: int, d_key: int, d_value: int) -> Array:
        # the first number of the last slot counts the tokens, so that the state is one array
        return np.zeros((self.max_levels + 1, n_heads, d_key, d_value))

    def step(self, state: Array, *token: Any) -> tuple[Array, Array]:
        decay, k, v, q, *removal = token
        levels = (state[:-1], int(state[-1].flat[0]))
        (levels_new, n_tokens), read = log_linear_step(
            levels, decay, k, v, q, self._level_weights, *removal
        )
        new = np.empty_like(state)
        new[:-1] = levels_new
        new[-1] = 0.0
        new[-1].flat[0] = n_tokens
        return new, read

    def norms(self, state: Array) -> Array:
        # over all levels; the last slot counts
        return np.sqrt((super().norms(state[:-1]) ** 2).sum(axis=0))


def _unfit(inner: Any) -> str:
    """Why a mode cannot be the inner one; empty if it can."""
    if isinstance(inner, LogLinear):
        return "log-linear attention in itself has levels of levels; give its inner mode instead"
    if isinstance(inner, LinearAttention) and inner.normalize:
        return "levels cannot share a normaliser; use LinearAttention(normalize=False)"
    if isinstance(inner, GLA) and inner.gate != "scalar":
        return "a level fades as a whole; use GLA(gate='scalar')"
    if isinstance(inner, RetNet) and inner.rotary:
        return "levels are real; use RetNet(rotary=False)"
    if getattr(inner, "read", "after") != "after":
        return "levels are read after the token was written; use read='after'"
    if not isinstance(inner, (RetNet, GLA, LinearAttention, DeltaNet, GatedDeltaNet)):
        return (
            "its step is not one decay and one rank-one update that could apply to every level; "
            "use RetNet, GLA, LinearAttention(normalize=False), DeltaNet or GatedDeltaNet"
        )
    return ""
