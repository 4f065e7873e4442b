r"""Gated linear attention.

.. math::

    a_t = \sigma(\tfrac12 w_a^\top u_t + \mathrm{logit}\, e^{-1/\tau_h}), \qquad
    S_t = \mathrm{diag}(a_t)\, S_{t-1} + k_t v_t^\top, \qquad o_t = S_t^\top q_t

The gate is per head (scalar) or per key dimension (vector) and is biased so that head h at rest
remembers for its time constant tau_h.

Yang, Wang, Shen, Panda, Kim 2023, *Gated linear attention transformers with hardware-efficient
training*, arXiv:2312.06635.
"""

from __future__ import annotations

from scipy.special import expit

from .._validation import check_choice
from ..functional import linear_step
from ._base import Array, Mode, Projection


class GLA(Mode):
    """Gated linear attention: an additive memory that fades at a rate the input decides.

    Good at slowly changing averages and trends of the inputs; it cannot overwrite what it stored.

    Parameters
    ----------
    gate
        "scalar": one gate per head; "vector": one per key dimension.

    References
    ----------
    Yang, Wang, Shen, Panda, Kim 2023, arXiv:2312.06635.

    Examples
    --------
    >>> from river_attention.modes import GLA
    >>> GLA(gate="vector")
    GLA(gate='vector')
    """

    def __init__(self, gate: str = "scalar") -> None:
        self.gate = check_choice("gate", gate, ("scalar", "vector"))

    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        gates = d_key if self.gate == "vector" else 1
        return (
            Projection("decay", (gates, 1), bias="time_constant", gain=0.5),
            Projection("k", (d_key, 1), bias="normal"),
            Projection("v", (1, d_value)),
            Projection("q", (1, d_key), bias="normal"),
        )

    def token(self, *blocks: Array) -> tuple[Array, ...]:
        decay, k, v, q = blocks
        return expit(decay), k, v, q

    def state_shape(self, n_heads: int, d_key: int, d_value: int) -> tuple[int, ...]:
        return (n_heads, d_key, d_value)

    step = staticmethod(linear_step)
