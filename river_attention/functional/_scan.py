r"""The recurrence that all linear modes share, and the loop over time.

Per head the state is a matrix S of shape [d_k, d_v]. One token does

.. math::

    S \leftarrow \mathrm{diag}(a)\, S + k v^\top, \qquad o = S^\top q

with a the decay, k the key, v the value and q the query; the read comes after the update.

Katharopoulos, Vyas, Pappas, Fleuret 2020, *Transformers are RNNs*, arXiv:2006.16236;
with decay: Yang, Wang, Shen, Panda, Kim 2023, *Gated linear attention*, arXiv:2312.06635.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Step = Callable[..., tuple[Array, Array]]


def linear_step(state: Array, decay: Array, k: Array, v: Array, q: Array) -> tuple[Array, Array]:
    """One token of the module's equation for all heads; ``state`` is left as it was.

    Tokens come as the matrices of the equation, so that nothing has to be reshaped in the loop.

    Parameters
    ----------
    state
        S [H, d_k, d_v].
    decay
        a [H, d_k, 1], or [H, 1, 1] for one gate per head.
    k
        Key as a column [H, d_k, 1].
    v
        Value as a row [H, 1, d_v].
    q
        Query as a row [H, 1, d_k].

    Returns
    -------
    The new state [H, d_k, d_v] and the read [H, 1, d_v].
    """
    state = decay * state
    state += k * v
    return state, np.matmul(q, state)


def scan(step: Step, state: Array, *tokens: Array) -> tuple[Array, Array]:
    """Apply ``step`` to every token in turn: the only loop over time.

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
    reads = []
    for token in zip(*tokens, strict=True):
        state, read = step(state, *token)
        reads.append(read)
    if not reads:
        _, read = step(state, *(np.zeros(array.shape[1:], array.dtype) for array in tokens))
        return np.empty((0, *read.shape), read.dtype), state
    return np.stack(reads), state
