r"""The recurrence that all linear modes share, and the loop over time.

Per head the state is a matrix S of shape [d_k, d_v]. One token does

.. math::

    S^* = \mathrm{diag}(a)\, S, \qquad
    S \leftarrow S^* + \textstyle\sum_j \bigl( r_j (b_j^\top S') + k_j v_j^\top \bigr), \qquad
    o = S^\top q

decay, remove and write, read; a is the decay, (r, b) what is removed, k the key, v the value, q the
query and S' the state just before sub-step j (where a mode says so, the state before the decay).
Every linear mode is a choice of (a, r, b, k, v, q).

Tokens come as the matrices of the equation, so that nothing has to be reshaped in the loop: a
[H, d_k, 1] (or any shape that broadcasts to the state), r and k columns [H, d_k, 1], b and q rows
[H, 1, d_k], v a row [H, 1, d_v]. A step leaves the state it is given as it was and returns the new
state and the read [H, 1, d_v].

Katharopoulos, Vyas, Pappas, Fleuret 2020, *Transformers are RNNs*, arXiv:2006.16236; Yang, Wang,
Zhang, Shen, Kim 2024, *Parallelizing linear transformers with the delta rule over sequence length*,
arXiv:2406.06484.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_LARGEST_EXPONENT = {np.dtype(np.float64): 709.0, np.dtype(np.float32): 88.0}

Step = Callable[..., tuple[Any, Array]]

_compiled: Callable[[Step, Any, tuple[Array, ...]], tuple[Array, Any] | None] | None = None


def use(compiled: Callable[[Step, Any, tuple[Array, ...]], tuple[Array, Any] | None]) -> None:
    """Let a compiled loop run the steps that it knows; it says None to others."""
    global _compiled
    _compiled = compiled


def scan(step: Step, state: Any, *tokens: Array) -> tuple[Array, Any]:
    """Apply ``step`` to every token in turn: the only loop over time.

    The steps of this module run in C where the core is there.

    Parameters
    ----------
    step
        ``step(state, *token) -> (new state, read)``.
    state
        The state before the first token.
    tokens
        Arrays with time first; each step gets one slice of each.

    Returns
    -------
    The reads [T, ...] and the state after the last token.
    """
    found = None if _compiled is None else _compiled(step, state, tokens)
    return _scan(step, state, *tokens) if found is None else found


def _scan(step: Step, state: Any, *tokens: Array) -> tuple[Array, Any]:
    """The same one by one, for any step."""
    reads = []
    for token in zip(*tokens, strict=True):
        state, read = step(state, *token)
        reads.append(read)
    if not reads:
        with np.errstate(all="ignore"):  # only the shape of a read is wanted
            # a step may work in place
            nothing = (np.zeros(array.shape[1:], array.dtype) for array in tokens)
            _, read = step(copy.deepcopy(state), *nothing)
        return np.empty((0, *read.shape), read.dtype), state
    return np.stack(reads), state


def linear_step(
    state: Array,
    decay: Array,
    k: Array,
    v: Array,
    q: Array,
    r: Array | None = None,
    b: Array | None = None,
) -> tuple[Array, Array]:
    """One token of the module's equation with one sub-step, for all heads."""
    new = decay * state
    if r is not None and b is not None:
        new += r * np.matmul(b, new)
    new += k * v
    return new, np.matmul(q, new)


def dplr_step(
    state: Array, decay: Array, k: Array, v: Array, q: Array, r: Array, b: Array
) -> tuple[Array, Array]:
    """As ``linear_step``, but what is removed is what was there before the decay."""
    new = decay * state
    new += r * np.matmul(b, state)
    new += k * v
    return new, np.matmul(q, new)


def product_step(
    state: Array, decay: Array, k: Array, v: Array, q: Array, r: Array, b: Array
) -> tuple[Array, Array]:
    """As ``linear_step`` with n sub-steps in order: k, v, r and b have an axis n in front."""
    new = decay * state
    for k_j, v_j, r_j, b_j in zip(k, v, r, b, strict=True):
        new += r_j * np.matmul(b_j, new)
        new += k_j * v_j
    return new, np.matmul(q, new)


def bonus_step(
    state: Array, decay: Array, k: Array, v: Array, q: Array, bonus: Array
) -> tuple[Array, Array]:
    """RWKV-6: reads the state it found, and its own token with weight ``bonus`` [H, d_k, 1]."""
    read = np.matmul(q, state + (bonus * k) * v)
    return decay * state + k * v, read


def diagonal_step(state: Array, decay: Array, x: Array) -> tuple[Array, Array]:
    """Elementwise recurrence h = a h + x; the read is h itself."""
    new = decay * state + x
    return new, new


def mlstm_step(
    state: Array,
    log_forget: Array,
    log_input: Array,
    k: Array,
    v: Array,
    q: Array,
    eps: float = 1e-6,
) -> tuple[Array, Array]:
    r"""MLSTM: exponential gates, stabilised by their running maximum m, and a normaliser n.

    The state [H, d_k + 1, d_v + 1] holds C in its upper left, n in the last column above the corner
    and m in the corner; ``log_forget`` and ``log_input`` are [H, 1, 1].
    """
    memory, m = state[:, :-1, :], state[:, -1:, -1:]
    forgotten = log_forget + m
    m_new = np.maximum(forgotten, log_input)
    new = np.zeros_like(state)
    new[:, :-1, :] = np.exp(forgotten - m_new) * memory
    written = np.exp(log_input - m_new) * k
    new[:, :-1, :-1] += written * v
    new[:, :-1, -1:] += written
    new[:, -1:, -1:] = m_new
    read = np.matmul(q, new[:, :-1, :])
    largest = _LARGEST_EXPONENT[state.dtype]
    bound = np.maximum(np.abs(read[..., -1:]), np.exp(np.minimum(-m_new, largest))) + eps
    return new, read[..., :-1] / bound


def normalized_step(
    state: Array, k: Array, v: Array, q: Array, eps: float = 1e-12
) -> tuple[Array, Array]:
    """Linear attention with normaliser: v ends in a 1, so the last column of S sums the keys."""
    new = state + k * v
    read = np.matmul(q, new)
    return new, read[..., :-1] / (read[..., -1:] + eps)


def log_linear_step(
    state: tuple[Array, int],
    decay: Array,
    k: Array,
    v: Array,
    q: Array,
    level_weights: Array,
    r: Array | None = None,
    b: Array | None = None,
) -> tuple[tuple[Array, int], Array]:
    """A state for every level of a Fenwick tree over the past.

    The state is (levels [L, H, d_k, d_v], number of tokens so far); ``level_weights`` is
    [L, H, 1, 1]. The token moves level 0 up, adding equal blocks until a level is free; beyond the
    last level they stay there. Then the transition applies to every level, the token is written to
    level 0, and the levels are mixed.
    """
    levels, n_tokens = state
    levels = levels.copy()
    if n_tokens:
        # level l >= 1 is occupied if bit l - 1 of (tokens before the last) is set
        before = n_tokens - 1
        free = (~before & (before + 1)).bit_length()
        target = min(free, len(levels) - 1)
        levels[target] += levels[:target].sum(axis=0)
        levels[:target] = 0
    used = levels[: min(n_tokens.bit_length() + 1, len(levels))]
    used *= decay
    if r is not None and b is not None:
        used += r * np.matmul(b, used)
    levels[0] += k * v
    mixed = (level_weights[: len(used)] * used).sum(axis=0)
    return (levels, n_tokens + 1), np.matmul(q, mixed)
