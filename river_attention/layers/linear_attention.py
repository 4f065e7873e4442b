r"""Multi-head linear attention as a layer.

.. math::

    (\text{gates}, k, v, q)_h = W_h u + b_h, \qquad
    (S_h, o_h) \leftarrow \text{mode}(S_h;\ \text{gates}, k, v, q), \qquad
    \text{read} = [o_1, \dots, o_H]

One fused projection W makes all blocks of all heads. Its weights are drawn, not learned: entries
are N(0, 1/d), column by column from a generator seeded by the name of the input, so that
inputs may be added at any time and in any order. The time constants of the heads are spread
log-uniformly from 1 to 64 steps. The read is raw: no output projection.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from .._validation import LARGEST_ARRAY, check_int, check_product
from ..functional.recurrence import scan
from ..modes import Mode, Projection, resolve
from ..naming import normal
from .protocol import Drawn

Array = NDArray[np.float64]

LONGEST_TIME_CONSTANT = 64.0


@functools.lru_cache(maxsize=64)
def time_constants(n_heads: int, shortest: float = 1.0) -> Array:
    """Time constants of the heads in steps [H], log-spaced from ``shortest`` to 64.

    A single head takes the geometric middle of that range.

    Examples
    --------
    >>> time_constants(4).round(6).tolist(), time_constants(1).round(6).tolist()
    ([1.0, 4.0, 16.0, 64.0], [8.0])
    """
    tau = np.array([math.sqrt(shortest * LONGEST_TIME_CONSTANT)])
    if n_heads > 1:
        tau = np.geomspace(shortest, LONGEST_TIME_CONSTANT, n_heads)
    tau.setflags(write=False)  # one array for all who ask
    return tau


class MultiHeadLinearAttention(Drawn):
    """Linear attention heads over a stream of vectors; see the module for the equations.

    Parameters
    ----------
    mode
        Name of an attention mode, or a mode object.
    n_heads
        Number of heads H.
    d_key
        Key dimension per head.
    d_value
        Value dimension per head.
    n_inputs
        Number of inputs to begin with, named by their position; ``add_inputs`` adds named ones.
    seed
        Seed of the weights.

    Examples
    --------
    >>> import numpy as np
    >>> layer = MultiHeadLinearAttention("gla", n_heads=2, d_key=4, d_value=3, n_inputs=5, seed=1)
    >>> X = np.random.default_rng(0).normal(size=(7, 5))
    >>> reads, final = layer.forward(X, layer.init_state())
    >>> reads.shape, final.shape
    ((7, 6), (2, 4, 3))
    >>> read, state = layer.propose(X[0], layer.init_state())
    >>> np.allclose(read, reads[0])
    True
    """

    def __init__(
        self,
        mode: str | Mode = "gla",
        n_heads: int = 4,
        d_key: int = 4,
        d_value: int = 4,
        n_inputs: int = 0,
        seed: int = 42,
    ) -> None:
        self.mode = resolve(mode)
        self.n_heads = check_int("n_heads", n_heads, 1)
        self.d_key = check_int("d_key", d_key, 1)
        self.d_value = check_int("d_value", d_value, 1)
        self.seed = seed
        sizes = {"n_heads": self.n_heads, "d_key": self.d_key, "d_value": self.d_value}
        check_product(LARGEST_ARRAY, "entries of state", math.prod(sizes.values()), **sizes)
        self.mode.check(self.n_heads, self.d_key, self.d_value)
        projections = self.mode.projections(self.d_key, self.d_value)
        n_rows = self.n_heads * sum(math.prod(block.shape) for block in projections)
        check_product(LARGEST_ARRAY, "rows of weights", n_rows, mode=self.mode, **sizes)
        self._slices: list[tuple[slice, tuple[int, ...]]] = []
        gains = []
        start = 0
        for block in projections:
            n_rows = self.n_heads * math.prod(block.shape)
            self._slices.append((slice(start, start + n_rows), (self.n_heads, *block.shape)))
            start += n_rows
            gains.append(np.full(n_rows, block.gain))
        self._gain = np.concatenate(gains)
        self._begin()
        self.add_inputs([f"position:{i}" for i in range(check_int("n_inputs", n_inputs, 0))])

    label = "heads"

    def _begin(self) -> None:
        super()._begin()
        blocks = self.mode.projections(self.d_key, self.d_value)
        self.bias = np.concatenate([self._bias(block) for block in blocks])

    def scale(self, fan_in: int) -> Array:
        """Deviation of the weights of a column: gain over the root of the fan-in."""
        return self._gain / math.sqrt(fan_in)

    def _bias(self, block: Projection) -> Array:
        shape = (self.n_heads, *block.shape)
        if block.bias == "zero":
            return np.zeros(math.prod(shape))
        if block.bias == "normal":
            return normal(math.prod(shape), self.seed, "heads", "bias", block.name)
        tau = time_constants(self.n_heads, self.mode.shortest_time_constant)
        return np.broadcast_to(block.bias(tau[:, None, None]), shape).astype(float).ravel()

    @property
    def time_constants(self) -> Array | None:
        """For how many steps each head remembers at rest [H]; None if the mode does not use it."""
        rests = [
            block.bias
            for block in self.mode.projections(self.d_key, self.d_value)
            if callable(block.bias)
        ]
        one, two = np.full((1, 1, 1), 20.0), np.full((1, 1, 1), 30.0)
        if all(np.array_equal(rest(one), rest(two)) for rest in rests):
            return None
        return time_constants(self.n_heads, self.mode.shortest_time_constant)

    @property
    def n_outputs(self) -> int:
        """Length of a read, H · d_value."""
        return self.n_heads * self.d_value

    def init_state(self) -> Array:
        """The state before the first step: zeros."""
        return self.mode.init_state(self.n_heads, self.d_key, self.d_value)

    def propose(self, x: Array, state: Array) -> tuple[Array, Array]:
        """One step: input [d] and state to read [H · d_value] and new state."""
        projected = self.weights.dot(x)
        projected += self.bias
        blocks = [projected[rows].reshape(shape) for rows, shape in self._slices]
        state, read = self.mode.step(state, *self.mode.token(*blocks))
        return read.ravel(), state

    def forward(self, X: Array, state: Array) -> tuple[Array, Array]:
        """A sequence: inputs [T, d] and state to reads [T, H · d_value] and final state."""
        projected = X @ self.weights.T + self.bias
        blocks = [projected[:, rows].reshape(len(X), *shape) for rows, shape in self._slices]
        reads, state = scan(self.mode.step, state, *self.mode.token(*blocks))
        return reads.reshape(len(X), self.n_outputs), state
