"""Modes whose memory is a vector or a set of oscillators."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..functional.gated import rg_lru_gates
from ..functional.recurrence import diagonal_step, linear_step
from ._base import STEEPNESS, Array, Mode, Projection, constant, decay_at_rest


class Hawk(Mode):
    r"""Hawk (RG-LRU): a gated leaky average of every channel.

    .. math::

        \log a_t = -\rho_h\, \sigma(r_t), \qquad
        h_t = a_t \odot h_{t-1} + \sqrt{1 - a_t^2} \odot \sigma(i_t) \odot x_t, \qquad o_t = h_t

    with ρ = 8 softplus(Λ) set so that head h at rest remembers for its time constant. No keys: the
    cheapest memory, and a good one next to the memory bank. The state is [H, 1, d_v].

    References
    ----------
    De, Smith, Fernando et al. 2024, *Griffin: mixing gated linear recurrences with local attention
    for efficient language models*, arXiv:2402.19427.

    Examples
    --------
    >>> from river_attention.modes import Hawk
    >>> Hawk().init_state(2, 4, 3).shape
    (2, 1, 3)
    """

    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        row = (1, d_value)
        return (
            Projection("x", row),
            Projection("recurrence gate", row, gain=STEEPNESS),
            Projection("input gate", row),
            # σ(0) = ½, so the decay at rest is exp(-ρ/2)
            constant("rate", row, lambda tau: 2.0 / tau),
        )

    def token(self, *blocks: Array) -> tuple[Array, ...]:
        return rg_lru_gates(*blocks)

    def init_state(self, n_heads: int, d_key: int, d_value: int) -> Array:
        return np.zeros((n_heads, 1, d_value))

    step = staticmethod(diagonal_step)


class LRU(Mode):
    r"""Linear recurrent unit: damped oscillators.

    .. math::

        S_t = \mathrm{diag}(\lambda)\, S_{t-1} + \sqrt{1 - |\lambda|^2}\, 1\, v_t^\top, \qquad
        o_t = \mathrm{Re}(S_t^\top c), \qquad \lambda_{hk} = e^{-1/\tau_h + i \pi (k + ½) / d_k}

    Each key dimension of a head is a frequency, each value dimension a channel; c is complex and
    drawn at random. Exact delays and oscillations, which no real decay can do. The state is complex
    [H, d_k, d_v].

    References
    ----------
    Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu, De 2023, *Resurrecting recurrent neural
    networks for long sequences*, arXiv:2303.06349.

    Examples
    --------
    >>> from river_attention.modes import LRU
    >>> LRU().init_state(2, 4, 3).dtype
    dtype('complex128')
    """

    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        angles = np.pi * (np.arange(d_key) + 0.5) / d_key
        return (
            constant("decay", (1, 1), decay_at_rest),
            constant("angle", (d_key, 1), lambda tau: angles[:, None]),
            Projection("v", (1, d_value)),
            constant("real", (1, d_key), "normal"),
            constant("imaginary", (1, d_key), "normal"),
        )

    def token(self, *blocks: Array) -> tuple[Array, ...]:
        decay, angle, v, real, imaginary = blocks
        rate = decay * np.exp(1j * angle)
        return rate, np.sqrt(1 - decay * decay), v, real + 1j * imaginary

    def init_state(self, n_heads: int, d_key: int, d_value: int) -> Array:
        return np.zeros((n_heads, d_key, d_value), np.complex128)

    def step(self, state: Array, *token: Any) -> tuple[Array, Array]:
        state, read = linear_step(state, *token)
        return state, read.real
