r"""A bank of complex units: exact delays and oscillations, read with and without a gate.

.. math::

    s_i \leftarrow e^{-1/\tau_i + i\theta_i}\, s_i + b_i^\top u, \qquad
    o = [\mathrm{Re}\, s,\ \mathrm{Im}\, s], \qquad
    \text{read} = [o,\ o \odot G u]

τ is log-spaced from 1 to 64 steps and θ evenly in (0, π), **paired out of order**: the rank of
τ_i is the rank of the fractional part of 0.618034 i. If both grew together, only high frequencies
would have a long memory. Entries of b are complex Gaussian and those of G Gaussian, both of
variance 1/d; nothing is learned. Real decays cannot do delays; the gate multiplies past with
present, which is what a linear readout cannot.

A linear recurrent unit (Orvieto et al. 2023, arXiv:2303.06349); what a rotary RetNet with constant
query and key is.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import check_int
from ..functional.recurrence import diagonal_step, scan
from .linear_attention import LONGEST_TIME_CONSTANT
from .protocol import Drawn

Array = NDArray[Any]
_GOLDEN_RATIO = 0.618034


def poles(n_units: int) -> Array:
    """The complex decays exp(-1/τ + iθ) of the units [n].

    Examples
    --------
    >>> tau = -1 / np.log(np.abs(poles(4)))
    >>> tau.round(6).tolist(), (np.angle(poles(4)) / np.pi).round(3).tolist()
    ([1.0, 16.0, 4.0, 64.0], [0.125, 0.375, 0.625, 0.875])
    """
    units = np.arange(n_units)
    rank = np.argsort(np.argsort((_GOLDEN_RATIO * units) % 1.0))
    tau = LONGEST_TIME_CONSTANT ** (rank / max(n_units - 1, 1))
    return np.exp(-1.0 / tau + 1j * np.pi * (units + 0.5) / n_units)


class MemoryBank(Drawn):
    """The bank as a layer; see the module for the equations.

    Parameters
    ----------
    n_units
        Number of complex units n.
    n_inputs
        Number of inputs to begin with, named by their position; ``add_inputs`` adds named ones.
    seed
        Seed of the weights.

    Examples
    --------
    >>> import numpy as np
    >>> bank = MemoryBank(n_units=8, n_inputs=3)
    >>> reads, final = bank.forward(np.ones((5, 3)), bank.init_state())
    >>> reads.shape, final.shape
    ((5, 32), (8,))
    """

    def __init__(self, n_units: int = 16, n_inputs: int = 0, seed: int = 42) -> None:
        self.n_units = check_int("n_units", n_units, 1)
        self.seed = seed
        self.poles = poles(self.n_units)
        self._begin()
        self.add_inputs([f"position:{i}" for i in range(check_int("n_inputs", n_inputs, 0))])

    label = "bank"

    def scale(self, fan_in: int) -> Array:
        """Deviation of the weights of a column, whose rows are Re b, Im b, and G for both parts."""
        scale = np.full(4 * self.n_units, 1.0 / math.sqrt(fan_in))
        scale[: 2 * self.n_units] /= math.sqrt(2.0)
        return scale

    @property
    def n_outputs(self) -> int:
        """Length of a read, 4 n."""
        return 4 * self.n_units

    def init_state(self) -> Array:
        """The state before the first step: zeros [n], complex."""
        return np.zeros(self.n_units, np.complex128)

    def propose(self, x: Array, state: Array) -> tuple[Array, Array]:
        """One step: input [d] and state to read [4 n] and new state."""
        n = self.n_units
        projected = self.weights.dot(x)
        state, _ = diagonal_step(state, self.poles, projected[:n] + 1j * projected[n : 2 * n])
        read = np.empty(4 * n)
        read[:n] = state.real
        read[n : 2 * n] = state.imag
        np.multiply(read[: 2 * n], projected[2 * n :], out=read[2 * n :])
        return read, state

    def forward(self, X: Array, state: Array) -> tuple[Array, Array]:
        """A sequence: inputs [T, d] and state to reads [T, 4 n] and final state."""
        n = self.n_units
        projected = X @ self.weights.T
        decays = np.broadcast_to(self.poles, (len(X), n))
        inputs = projected[:, :n] + 1j * projected[:, n : 2 * n]
        states, final = scan(diagonal_step, state, decays, inputs)
        reads = np.concatenate([states.real, states.imag], axis=1)
        return np.concatenate([reads, reads * projected[:, 2 * n :]], axis=1), final
