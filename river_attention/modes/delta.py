"""Modes that remove what a key finds before they write."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit, logit

from .._validation import check_bool, check_choice, check_int, check_number
from ..functional.recurrence import dplr_step, product_step
from ._base import (
    STEEPNESS,
    Array,
    DeltaMode,
    Mode,
    Projection,
    constant,
    decay_at_rest,
    gate,
    normalized,
)

_STEEPEST = 4.0
_RWKV7_RATE = math.exp(-0.5)


def _removing(decay: Array, beta: Array, key: Array, v: Array, query: Array) -> tuple[Array, ...]:
    """The token of the delta rule, for key and query rows."""
    written = beta * key.swapaxes(-1, -2)
    return decay, written, v, query, -written, key


class DeltaNet(DeltaMode):
    r"""Delta rule: what the key finds is replaced by the value.

    .. math::

        S_t = S_{t-1} + \beta_t \hat k_t (v_t - S_{t-1}^\top \hat k_t)^\top, \qquad
        \beta_t = \sigma(w_\beta^\top u_t), \qquad o_t = S_t^\top \hat q_t

    An associative memory that overwrites: remembers the last value for every key, for ever, as long
    as keys are few.

    Parameters
    ----------
    tied
        Whether key and query are one projection. Projections do not learn here, so recall works
        with tied ones only.
    read
        Whether a token reads "after" or "before" it writes.

    References
    ----------
    Schlag, Irie, Schmidhuber 2021, arXiv:2102.11174; Yang et al. 2024, *Parallelizing linear
    transformers with the delta rule over sequence length*, arXiv:2406.06484.

    Examples
    --------
    >>> from river_attention.modes import DeltaNet
    >>> DeltaNet(tied=True, read="before")
    DeltaNet(tied=True, read='before')
    """

    def __init__(self, tied: bool = False, read: str = "after") -> None:
        super().__init__(tied, read)

    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        return (
            constant("decay", (1, 1), np.ones_like),
            Projection("beta", (1, 1)),
            self._keys(d_key),
            Projection("v", (1, d_value)),
        )

    def token(self, *blocks: Array) -> tuple[Array, ...]:
        decay, beta, keys, v = blocks
        key, query = self._key_and_query(keys)
        return _removing(decay, expit(beta), key, v, query)


class GatedDeltaNet(DeltaMode):
    r"""Gated delta rule: decay first, then replace.

    .. math::

        S' = a_t S_{t-1}, \qquad
        S_t = S' + \beta_t \hat k_t (v_t - S'^\top \hat k_t)^\top, \qquad o_t = S_t^\top \hat q_t

    with the gate a of GLA, one per head. Forgets slowly by time and at once by key: the safest
    choice on real streams.

    Parameters
    ----------
    beta
        "per_token": β_t = σ(w'u_t); "static": one constant, 0.5.
    beta_scale
        Factor on β, in (0, 2]; above 1 the state may be reflected.
    tied
        Whether key and query are one projection; recall needs it.
    read
        Whether a token reads "after" or "before" it writes.

    References
    ----------
    Yang, Kautz, Hatamizadeh 2024, *Gated delta networks: improving Mamba2 with delta rule*,
    arXiv:2412.06464.

    Examples
    --------
    >>> from river_attention.modes import GatedDeltaNet
    >>> GatedDeltaNet(beta="static").beta
    'static'
    """

    def __init__(
        self,
        beta: str = "per_token",
        beta_scale: float = 1.0,
        tied: bool = False,
        read: str = "after",
    ) -> None:
        super().__init__(tied, read)
        self.beta = check_choice("beta", beta, ("per_token", "static"))
        self.beta_scale = check_number("beta_scale", beta_scale, above=0.0, at_most=2.0)

    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        static = self.beta == "static"
        return (
            gate("decay", (1, 1)),
            # a static β is the sigmoid of 0
            Projection("beta", (1, 1), gain=0.0 if static else 1.0),
            self._keys(d_key),
            Projection("v", (1, d_value)),
        )

    def token(self, *blocks: Array) -> tuple[Array, ...]:
        decay, beta, keys, v = blocks
        key, query = self._key_and_query(keys)
        return _removing(expit(decay), self.beta_scale * expit(beta), key, v, query)


class KDA(DeltaMode):
    r"""Kimi Delta Attention: the gated delta rule with a gate per key dimension.

    .. math::

        S' = \mathrm{diag}(a_t)\, S_{t-1}, \qquad
        S_t = S' + \beta_t \hat k_t (v_t - S'^\top \hat k_t)^\top, \qquad o_t = S_t^\top \hat q_t

    As Gated DeltaNet, but parts of a key may fade at rates of their own.

    Parameters
    ----------
    tied
        Whether key and query are one projection; recall needs it.
    read
        Whether a token reads "after" or "before" it writes.

    References
    ----------
    Kimi Team 2025, *Kimi Linear: an expressive, efficient attention architecture*,
    arXiv:2510.26692.

    Examples
    --------
    >>> from river_attention.modes import KDA
    >>> KDA()
    KDA(tied=False, read='after')
    """

    def __init__(self, tied: bool = False, read: str = "after") -> None:
        super().__init__(tied, read)

    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        return (
            gate("decay", (d_key, 1)),
            Projection("beta", (1, 1)),
            self._keys(d_key),
            Projection("v", (1, d_value)),
        )

    def token(self, *blocks: Array) -> tuple[Array, ...]:
        decay, beta, keys, v = blocks
        key, query = self._key_and_query(keys)
        return _removing(expit(decay), expit(beta), key, v, query)


class DeltaProduct(DeltaMode):
    r"""(Gated) DeltaProduct: n delta updates per token, in order.

    .. math::

        S \leftarrow a_t S_{t-1}; \qquad
        S \leftarrow S + \beta_{tj} \hat k_{tj} (v_{tj} - S^\top \hat k_{tj})^\top,\ j = 1 \dots n;
        \qquad \beta_{tj} = \sigma(\mathrm{gain} \cdot w_j^\top u_t)

    With ``reflections`` β is doubled, up to 2: a token may then reflect the state instead of
    erasing it, and products of reflections track states (parity, permutations) that no fading
    memory can. That needs decay off (``gated=False``) and decided gates (``beta_gain=20``).

    Parameters
    ----------
    n_compositions
        n, updates per token.
    reflections
        Whether β lies in (0, 2) instead of (0, 1).
    gated
        Whether the state decays, with the gate of GLA.
    beta_gain
        Steepness of β.
    tied
        Whether the query is the first key.
    read
        Whether a token reads "after" or "before" it writes.

    References
    ----------
    Siems et al. 2025, *DeltaProduct: improving state-tracking in linear RNNs via Householder
    products*, arXiv:2502.10297; Grazzi et al. 2024, *Unlocking state-tracking in linear RNNs
    through negative eigenvalues*, arXiv:2411.12537.

    Examples
    --------
    >>> from river_attention.modes import DeltaProduct
    >>> DeltaProduct(n_compositions=1, reflections=True, gated=False, beta_gain=20).gated
    False
    """

    def __init__(
        self,
        n_compositions: int = 2,
        reflections: bool = False,
        gated: bool = True,
        beta_gain: float = 1.0,
        tied: bool = False,
        read: str = "after",
    ) -> None:
        super().__init__(tied, read)
        self.n_compositions = check_int("n_compositions", n_compositions, 1)
        self.reflections = check_bool("reflections", reflections)
        self.gated = check_bool("gated", gated)
        self.beta_gain = check_number("beta_gain", beta_gain, above=0.0)

    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        n = self.n_compositions
        # without a gate the decay is the sigmoid of infinity, 1
        decay = (
            gate("decay", (1, 1))
            if self.gated
            else constant("decay", (1, 1), lambda tau: np.full_like(tau, np.inf))
        )
        n_queries = 0 if self.tied else 1
        return (
            decay,
            Projection("beta", (n, 1), gain=self.beta_gain),
            Projection("k, q", (n + n_queries, d_key), "normal"),
            Projection("v", (n, d_value)),
        )

    def token(self, *blocks: Array) -> tuple[Array, ...]:
        decay, beta, rows, v = blocks
        n = self.n_compositions
        rows = normalized(rows)
        query = rows[..., :1, :] if self.tied else rows[..., n:, :]
        # sub-steps in front of heads: [..., H, n, d] to [..., n, H, 1, d]
        key = rows[..., :n, :].swapaxes(-3, -2)[..., None, :]
        strength = (1 + self.reflections) * expit(beta)
        written = strength.swapaxes(-3, -2)[..., None] * key.swapaxes(-1, -2)
        values = v.swapaxes(-3, -2)[..., None, :]
        return expit(decay), written, values, query, -written, key

    update = staticmethod(product_step)


class RWKV7(Mode):
    r"""RWKV-7: a decay per key dimension, and removal at a rate per key dimension.

    .. math::

        S_t = \mathrm{diag}(w_t)\, S_{t-1} - (a_t \odot \hat\kappa_t)(\hat\kappa_t^\top S_{t-1})
              + (a_t \odot k_t) v_t^\top, \qquad o_t = S_t^\top r_t

    with :math:`w = \exp(-e^{-1/2} \sigma(\cdot))`, :math:`a = \sigma(\cdot)` and κ̂ the unit vector
    along k. Overwrites like the delta rule, part by part; the removal reads the state before the
    decay. Time constants at rest are spread from the floor of the decay to 64 steps, the logit of
    the gate limited to ±4.

    References
    ----------
    Peng et al. 2025, *RWKV-7 "Goose" with expressive dynamic state evolution*, arXiv:2503.14456.

    Examples
    --------
    >>> from river_attention.modes import RWKV7
    >>> round(RWKV7().shortest_time_constant, 2)
    1.65
    """

    # the decay has a floor: exp(-e^-½)
    shortest_time_constant = 1.0 / _RWKV7_RATE

    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        def at_rest(tau: Array) -> Array:
            share = np.clip(-np.log(decay_at_rest(tau)) / _RWKV7_RATE, 0, 1)
            return np.clip(logit(share), -_STEEPEST, _STEEPEST)

        return (
            Projection("decay", (d_key, 1), at_rest, STEEPNESS),
            Projection("a", (d_key, 1)),
            Projection("k", (1, d_key), "normal"),
            Projection("v", (1, d_value)),
            Projection("r", (1, d_key), "normal"),
        )

    def token(self, *blocks: Array) -> tuple[Array, ...]:
        decay, a, k, v, r = blocks
        removal = normalized(k)
        rate = expit(a)
        return (
            np.exp(-_RWKV7_RATE * expit(decay)),
            rate * k.swapaxes(-1, -2),
            v,
            r,
            -rate * removal.swapaxes(-1, -2),
            removal,
        )

    step = staticmethod(dplr_step)
