"""A state for every level of a tree over the past: log-linear attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._checks import (
    Array,
    check_sequence,
    column,
    initial,
    require_shape,
    row,
    scale_of,
    state_parts,
    to_floats,
)
from .gated import decay_of
from .recurrence import log_linear_step, scan


def log_linear_attention(
    q: Array,
    k: Array,
    v: Array,
    level_weights: Array,
    log_gate: Array | None = None,
    beta: Array | None = None,
    *,
    scale: float | None = 1.0,
    initial_state: Any = None,
) -> tuple[Array, tuple[Array, int]]:
    r"""Log-linear attention: a state for every level of a Fenwick tree over the past.

    .. math::

        o_t = \mathrm{scale} \sum_{\ell} \lambda_{t\ell}\, (S_t^{(\ell)})^\top q_t

    Level 0 holds the current token, level ℓ ≥ 1 a block of 2^(ℓ-1) tokens, the larger the older.
    Every step blocks of equal size merge, then the transition of the inner mode (decay e^g, delta
    rule with β) applies to every level, then the token is written to level 0.

    Parameters
    ----------
    q, k
        Queries and keys [T, H, d_k]; keys are used as given.
    v
        Values [T, H, d_v].
    level_weights
        λ [T, H, n_levels]. Beyond the last level merged blocks stay there.
    log_gate
        Logarithm of the decay, at most 0 [T, H] or [T, H, d_k]; None means no decay.
    beta
        Strength of the delta rule [T, H]; None means none, tokens are added.
    scale
        Factor on the queries, 1 by default; None means ``d_k ** -0.5``.
    initial_state
        (levels [n_levels, H, d_k, d_v], number of tokens so far); None means a fresh stream.

    Returns
    -------
    The outputs [T, H, d_v] and the final state (levels, number of tokens so far).

    Raises
    ------
    ValueError
        If a shape does not fit or a log gate is above 0; the message names the argument.

    References
    ----------
    Guo, Yang, Goel, Xing, Dao, Kim 2025, *Log-linear attention*, arXiv:2506.04761.

    Examples
    --------
    >>> import numpy as np
    >>> q = k = v = np.ones((4, 1, 1))
    >>> weights = np.broadcast_to([1.0, 0.1, 0.01], (4, 1, 3))
    >>> output, (levels, n_tokens) = log_linear_attention(q, k, v, weights)
    >>> output.ravel(), levels.ravel(), n_tokens
    (array([1.  , 1.1 , 1.02, 1.12]), array([1., 1., 2.]), 4)
    """
    levels, n_tokens = state_parts(initial_state, "levels", "number of tokens")
    q, k, v, level_weights, log_gate, beta, levels = to_floats(
        q=q,
        k=k,
        v=v,
        level_weights=level_weights,
        log_gate=log_gate,
        beta=beta,
        initial_levels=levels,
    )
    n_steps, n_heads, d_key, d_value = check_sequence(q=q, k=k, v=v)
    if level_weights.ndim != 3 or level_weights.shape[2] < 1:
        raise ValueError(
            f"level_weights has shape {level_weights.shape}: expected [T, H, n_levels]"
        )
    n_levels = level_weights.shape[2]
    require_shape("level_weights", level_weights, "[T, H, n_levels]", (n_steps, n_heads, n_levels))
    if log_gate is None:
        log_gate = np.zeros((n_steps, n_heads), q.dtype)
    decay = decay_of(log_gate, n_steps, n_heads, d_key)
    levels = initial("initial_state[0]", levels, (n_levels, n_heads, d_key, d_value), q.dtype)
    n_tokens = 0 if n_tokens is None else int(n_tokens)
    if n_tokens < 0:
        raise ValueError(f"initial_state[1]={n_tokens}: a number of tokens is at least 0")
    weights = level_weights.transpose(0, 2, 1)[..., None, None]
    removal: tuple[Array, ...] = ()
    written = column(k)
    if beta is not None:
        require_shape("beta", beta, "[T, H]", (n_steps, n_heads))
        written = column(beta[..., None] * k)
        removal = (-written, row(k))
    output, final = scan(
        log_linear_step,
        (levels, n_tokens),
        decay,
        written,
        row(v),
        row(q * scale_of(q, scale)),
        weights,
        *removal,
    )
    return output[:, :, 0], final
