"""Modes that only add to a fading memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import expit, logit

from .._validation import check_bool, check_choice, check_number
from ..functional.gated import elu_plus_one, softplus, with_ones
from ..functional.recurrence import bonus_step, linear_step, mlstm_step, normalized_step
from ._base import (
    STEEPNESS,
    Array,
    Mode,
    Projection,
    ReadingMode,
    check_read,
    constant,
    decay_at_rest,
    gate,
)

_STEEPEST = 4.0
_ROTARY_BASE = 10000.0


def _key_value_query(d_key: int, d_value: int) -> tuple[Projection, Projection, Projection]:
    return (
        Projection("k", (d_key, 1), "normal"),
        Projection("v", (1, d_value)),
        Projection("q", (1, d_key), "normal"),
    )


class RetNet(ReadingMode):
    r"""Retention: a memory that fades at a constant rate.

    .. math:: S_t = \gamma_h S_{t-1} + k_t v_t^\top, \qquad o_t = S_t^\top q_t

    Remembers exponentially fading averages. With ``rotary`` keys and queries turn against each
    other as time passes, so that reads depend on the exact distance: real decays alone cannot tell
    delays apart.

    Parameters
    ----------
    gamma
        Decay in [0, 1]: one number, or a tuple with one for each head; None spreads the time
        constants of the heads from 1 to 64 steps.
    rotary
        Whether to rotate pairs of key dimensions; d_key must be even. The state is complex then
        [H, d_k / 2, d_v].
    read
        Whether a token reads "after" or "before" it writes.

    References
    ----------
    Sun et al. 2023, *Retentive network*, arXiv:2307.08621.

    Examples
    --------
    >>> from river_attention.modes import RetNet
    >>> RetNet(gamma=(0.9, 0.99))
    RetNet(gamma=(0.9, 0.99), rotary=False, read='after')
    """

    def __init__(
        self,
        gamma: float | tuple[float, ...] | None = None,
        rotary: bool = False,
        read: str = "after",
    ) -> None:
        self.gamma: float | tuple[float, ...] | None = None
        if isinstance(gamma, tuple):
            if not gamma:
                raise ValueError("gamma=(): must be a number, or a tuple with one for each head")
            self.gamma = tuple(
                check_number("gamma", value, at_least=0.0, at_most=1.0) for value in gamma
            )
        elif gamma is not None:
            self.gamma = check_number("gamma", gamma, at_least=0.0, at_most=1.0)
        self.rotary = check_bool("rotary", rotary)
        self.read = check_read(read)

    def check(self, n_heads: int, d_key: int, d_value: int) -> None:
        if isinstance(self.gamma, tuple) and len(self.gamma) != n_heads:
            raise ValueError(f"gamma={self.gamma!r}: one number for each of {n_heads} heads needed")
        if self.rotary and d_key % 2:
            raise ValueError(f"d_key={d_key}: must be even for RetNet(rotary=True)")

    def _decay(self, tau: Array) -> Any:
        if self.gamma is None:
            return decay_at_rest(tau)
        return np.reshape(self.gamma, (-1, 1, 1))

    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        blocks = (constant("decay", (1, 1), self._decay), *_key_value_query(d_key, d_value))
        if not self.rotary:
            return blocks
        angles = _ROTARY_BASE ** (-np.arange(d_key // 2) / (d_key // 2))
        return (*blocks, constant("angle", (d_key // 2, 1), lambda tau: angles[:, None]))

    def token(self, *blocks: Array) -> tuple[Array, ...]:
        if not self.rotary:
            return blocks
        decay, k, v, q, angle = blocks
        turned = decay * np.exp(1j * angle)
        pairs_k = k[..., 0::2, :] - 1j * k[..., 1::2, :]
        return turned, pairs_k, v, q[..., 0::2] + 1j * q[..., 1::2]

    def init_state(self, n_heads: int, d_key: int, d_value: int) -> Array:
        if self.rotary:
            return np.zeros((n_heads, d_key // 2, d_value), np.complex128)
        return super().init_state(n_heads, d_key, d_value)

    def step(self, state: Array, *token: Any) -> tuple[Array, Array]:
        state, read = super().step(state, *token)
        return state, read.real


class GLA(ReadingMode):
    r"""Gated linear attention: the input decides how fast the memory fades.

    .. math::

        a_t = \sigma(\tfrac12 w_a^\top u_t + \mathrm{logit}\, e^{-1/\tau_h}), \qquad
        S_t = \mathrm{diag}(a_t)\, S_{t-1} + k_t v_t^\top, \qquad o_t = S_t^\top q_t

    Good at averages and trends that events may reset; it cannot overwrite what it stored.

    Parameters
    ----------
    gate
        "scalar": one gate per head; "vector": one per key dimension.
    read
        Whether a token reads "after" or "before" it writes.

    References
    ----------
    Yang, Wang, Shen, Panda, Kim 2023, *Gated linear attention transformers with
    hardware-efficient training*, arXiv:2312.06635.

    Examples
    --------
    >>> from river_attention.modes import GLA
    >>> GLA(gate="vector")
    GLA(gate='vector', read='after')
    """

    def __init__(self, gate: str = "scalar", read: str = "after") -> None:
        self.gate = check_choice("gate", gate, ("scalar", "vector"))
        self.read = check_read(read)

    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        gates = d_key if self.gate == "vector" else 1
        return (gate("decay", (gates, 1)), *_key_value_query(d_key, d_value))

    def token(self, *blocks: Array) -> tuple[Array, ...]:
        decay, *rest = blocks
        return expit(decay), *rest


class HGRN2(ReadingMode):
    r"""HGRN2: what the forget gate gives up is the key.

    .. math::

        f_t = b + (1 - b)\, \sigma(\cdot), \qquad
        S_t = \mathrm{diag}(f_t)\, S_{t-1} + (1 - f_t) v_t^\top, \qquad o_t = S_t^\top q_t

    A leaky average per key dimension that never fades faster than its lower bound b: a long and
    smooth memory. Time constants at rest are spread from that of b to 64 steps, the logit of the
    gate limited to ±4.

    Parameters
    ----------
    lower_bound
        b in [0, 1).
    read
        Whether a token reads "after" or "before" it writes.

    References
    ----------
    Qin et al. 2024, *HGRN2: gated linear RNNs with state expansion*, arXiv:2404.07904.

    Examples
    --------
    >>> from river_attention.modes import HGRN2
    >>> round(HGRN2(lower_bound=0.9).shortest_time_constant, 2)
    9.49
    """

    def __init__(self, lower_bound: float = 0.9, read: str = "after") -> None:
        self.lower_bound = check_number("lower_bound", lower_bound, at_least=0.0)
        if self.lower_bound >= 1.0:
            raise ValueError(f"lower_bound={lower_bound!r}: must be below 1")
        self.read = check_read(read)

    @property
    def shortest_time_constant(self) -> float:  # type: ignore[override]
        return max(1.0, -1.0 / math.log(self.lower_bound)) if self.lower_bound > 0 else 1.0

    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        def at_rest(tau: Array) -> Array:
            share = (decay_at_rest(tau) - self.lower_bound) / (1 - self.lower_bound)
            return np.clip(logit(np.clip(share, 0, 1)), -_STEEPEST, _STEEPEST)

        _, v, q = _key_value_query(d_key, d_value)
        return (Projection("forget", (d_key, 1), at_rest, STEEPNESS), v, q)

    def token(self, *blocks: Array) -> tuple[Array, ...]:
        forget, v, q = blocks
        f = self.lower_bound + (1 - self.lower_bound) * expit(forget)
        return f, 1 - f, v, q


class RWKV(Mode):
    r"""RWKV-6: reads before it writes, with a bonus for the token itself.

    .. math::

        o_t = (S_{t-1} + \mathrm{diag}(u) k_t v_t^\top)^\top r_t, \qquad
        S_t = \mathrm{diag}(e^{-e^{w_t}})\, S_{t-1} + k_t v_t^\top

    Fading memory per key dimension, where the present counts in its own way. The bonus u is drawn
    from N(0, 1).

    Parameters
    ----------
    initial_decay
        Decay at rest in (0, 1), for all heads; None spreads the time constants from 1 to 64 steps.

    References
    ----------
    Peng et al. 2024, *Eagle and Finch: RWKV with matrix-valued states and dynamic recurrence*,
    arXiv:2404.05892.

    Examples
    --------
    >>> from river_attention.modes import RWKV
    >>> RWKV(initial_decay=0.95)
    RWKV(initial_decay=0.95)
    """

    def __init__(self, initial_decay: float | None = None) -> None:
        self.initial_decay: float | None = None
        if initial_decay is not None:
            self.initial_decay = check_number("initial_decay", initial_decay, above=0.0)
            if self.initial_decay >= 1.0:
                raise ValueError(f"initial_decay={initial_decay!r}: must be below 1")

    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        def at_rest(tau: Array) -> Any:
            if self.initial_decay is None:
                return -np.log(tau)
            return math.log(-math.log(self.initial_decay))

        return (
            Projection("log rate", (d_key, 1), at_rest, STEEPNESS),
            *_key_value_query(d_key, d_value),
            constant("bonus", (d_key, 1), "normal"),
        )

    def token(self, *blocks: Array) -> tuple[Array, ...]:
        log_rate, *rest = blocks
        # exp(-exp(30)) is 0 already; beyond, the inner exponential would overflow
        return np.exp(-np.exp(np.minimum(log_rate, 30.0))), *rest

    step = staticmethod(bonus_step)


class MLSTM(Mode):
    r"""MLSTM, the matrix memory of xLSTM: exponential input gate and a normaliser.

    .. math::

        C_t = f_t C_{t-1} + e^{i_t} k_t v_t^\top, \qquad n_t = f_t n_{t-1} + e^{i_t} k_t, \qquad
        o_t = \frac{C_t^\top q_t}{\max(|n_t^\top q_t|, 1)}

    computed with the running maximum m of the gates taken out. A token may shout: with a large
    input gate it outweighs everything before. The state [H, d_k + 1, d_v + 1] holds C, n in the
    last column and m in the corner.

    References
    ----------
    Beck et al. 2024, *xLSTM: extended long short-term memory*, arXiv:2405.04517.

    Examples
    --------
    >>> from river_attention.modes import MLSTM
    >>> MLSTM().init_state(2, 4, 3).shape
    (2, 5, 4)
    """

    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        return (
            gate("forget", (1, 1)),
            Projection("input", (1, 1)),
            *_key_value_query(d_key, d_value),
        )

    def token(self, *blocks: Array) -> tuple[Array, ...]:
        forget, log_input, k, v, q = blocks
        return -softplus(-forget), log_input, k, v, q * k.shape[-2] ** -0.5

    def init_state(self, n_heads: int, d_key: int, d_value: int) -> Array:
        return np.zeros((n_heads, d_key + 1, d_value + 1))

    def step(self, state: Array, *token: Any) -> tuple[Array, Array]:
        return mlstm_step(state, *token)

    def norms(self, state: Array) -> Array:
        return super().norms(state[:, :-1, :-1])


class LinearAttention(Mode):
    r"""Kernel linear attention: remembers everything, equally.

    .. math::

        S_t = S_{t-1} + \varphi(k_t) v_t^\top, \quad z_t = z_{t-1} + \varphi(k_t), \quad
        o_t = \frac{S_t^\top \varphi(q_t)}{z_t^\top \varphi(q_t)}, \qquad
        \varphi(x) = \mathrm{elu}(x) + 1

    A weighted mean of all values ever seen: it learns slow regularities and cannot forget. Without
    normaliser the read is the sum.

    Parameters
    ----------
    normalize
        Whether to divide by the sum of the weights. The last column of the state
        [H, d_k, d_v + 1] is z then.

    References
    ----------
    Katharopoulos, Vyas, Pappas, Fleuret 2020, *Transformers are RNNs*, arXiv:2006.16236.

    Examples
    --------
    >>> from river_attention.modes import LinearAttention
    >>> LinearAttention().init_state(2, 4, 3).shape
    (2, 4, 4)
    """

    def __init__(self, normalize: bool = True) -> None:
        self.normalize = check_bool("normalize", normalize)

    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        return (constant("decay", (1, 1), np.ones_like), *_key_value_query(d_key, d_value))

    def token(self, *blocks: Array) -> tuple[Array, ...]:
        decay, k, v, q = blocks
        k, q = elu_plus_one(k), elu_plus_one(q)
        return (k, with_ones(v), q) if self.normalize else (decay, k, v, q)

    def init_state(self, n_heads: int, d_key: int, d_value: int) -> Array:
        return np.zeros((n_heads, d_key, d_value + self.normalize))

    def step(self, state: Array, *token: Any) -> tuple[Array, Array]:
        if self.normalize:
            return normalized_step(state, *token)
        return linear_step(state, *token)
