r"""Linear attention with a normaliser and a window of values behind it.

.. math::

    S \leftarrow \lambda S + \varphi(k) v^\top, \qquad
    z \leftarrow \lambda z + \varphi(k), \\
    \text{read} = g\, \frac{\varphi(q)^\top S}{\varphi(q)^\top z}
    + (1 - g)\, \frac{1}{W} \sum_{j<W} v_{t-j}

with φ = elu + 1. The full vector form of what one spiking neuron
(:class:`river_attention.HybridLinearAttentionNeuron`) does with scalars: there a key is hashed into
one of D slots and only that slot is read, without a normaliser; here the state is the matrix
S [d_key, d_value], and a query reads what all keys have written, as much as it is alike to each.
Projections of the input are drawn as those of :class:`MultiHeadLinearAttention`.

Katharopoulos, Vyas, Pappas, Fleuret 2020, *Transformers are RNNs*, arXiv:2006.16236; Pan et al.
2025, *SpikingBrain*, arXiv:2509.05276.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .._validation import LARGEST_ARRAY, check_int, check_number, check_product
from ..functional.gated import elu_plus_one
from ..functional.recurrence import linear_step, scan
from .protocol import Drawn

Array = NDArray[np.float64]


class HybridLinearAttention(Drawn):
    """The layer; see the module for the equations.

    Parameters
    ----------
    d_key
        Key dimension.
    d_value
        Value dimension, the length of a read.
    window_size
        Number of steps W of the local mean.
    lambda_decay
        λ in [0, 1]: what is left of S and z after one unit of time.
    dt
        How long a step lasts: S and z decay by λ^dt.
    global_weight
        g in [0, 1]: the share of S in a read; the rest is that of the window.
    n_inputs
        Number of inputs to begin with, named by their position; ``add_inputs`` adds named ones.
    seed
        Seed of the weights.

    Examples
    --------
    >>> import numpy as np
    >>> layer = HybridLinearAttention(d_key=4, d_value=3, window_size=5, n_inputs=2)
    >>> reads, state = layer.forward(np.ones((7, 2)), layer.init_state())
    >>> reads.shape, state.shape
    ((7, 3), (9, 4))
    """

    label = "hybrid"

    def __init__(
        self,
        d_key: int = 16,
        d_value: int = 16,
        window_size: int = 16,
        lambda_decay: float = 0.95,
        dt: float = 1.0,
        global_weight: float = 0.5,
        n_inputs: int = 0,
        seed: int = 42,
    ) -> None:
        self.d_key = check_int("d_key", d_key, 1)
        self.d_value = check_int("d_value", d_value, 1)
        self.window_size = check_int("window_size", window_size, 1)
        n = (self.d_key + self.window_size) * (self.d_value + 1)
        sizes = {"d_key": d_key, "d_value": d_value, "window_size": window_size}
        check_product(LARGEST_ARRAY, "entries of state", n, **sizes)
        self.lambda_decay = check_number("lambda_decay", lambda_decay, at_least=0.0, at_most=1.0)
        self.dt = check_number("dt", dt, above=0.0)
        self.global_weight = check_number("global_weight", global_weight, at_least=0.0, at_most=1.0)
        self.seed = seed
        self._decay = np.array(self.lambda_decay**self.dt)
        self._begin()
        self.add_inputs([f"position:{i}" for i in range(check_int("n_inputs", n_inputs, 0))])

    def scale(self, fan_in: int) -> Array:
        """Deviation of the weights of a column, whose rows are those of q, k and v."""
        return np.full(2 * self.d_key + self.d_value, 1.0 / math.sqrt(fan_in))

    @property
    def n_outputs(self) -> int:
        """Length of a read, d_value."""
        return self.d_value

    def init_state(self) -> Array:
        """Zeros [d_key + W, d_value + 1]: S and z as its last column, the window, newest first."""
        return np.zeros((self.d_key + self.window_size, self.d_value + 1))

    def propose(self, x: Array, state: Array) -> tuple[Array, Array]:
        """One step: input [d] and state to read [d_value] and new state."""
        return self.attend(self.weights.dot(x), state)

    def attend(self, projected: Array, state: Array) -> tuple[Array, Array]:
        """The same for query, key and value in one array [2 d_key + d_value]."""
        n, value = self.d_key, np.ones(self.d_value + 1)
        value[:-1] = projected[2 * n :]
        x = projected[: 2 * n]
        phi = elu_plus_one(x)
        new = np.empty_like(state)
        new[:n], read = linear_step(state[:n], self._decay, phi[n:, None], value, phi[None, :n])
        new[n], new[n + 1 :] = value, state[n:-1]
        # a normaliser of 0 has read nothing
        whole = read[0, :-1] / max(read[0, -1], np.finfo(np.float64).tiny)
        g, window = self.global_weight, new[n:, :-1]
        return g * whole + (1.0 - g) * (window.sum(axis=0) / self.window_size), new

    def forward(self, X: Array, state: Array) -> tuple[Array, Array]:
        """A sequence: inputs [T, d] and state to reads [T, d_value] and final state."""

        def step(state: Array, projected: Array) -> tuple[Array, Array]:
            read, state = self.attend(projected, state)
            return state, read

        return scan(step, state, X @ self.weights.T)
