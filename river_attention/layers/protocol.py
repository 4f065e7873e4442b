"""What every kind of memory can do, whatever it keeps.

A memory holds weights and no state: whoever owns the state decides when time advances. ``propose``
answers "if x came next" and leaves the state as it is; ``commit`` makes that step the past and may
work in place; ``branch`` gives a copy to look ahead with.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..naming import normal
from ..state import Writer


class Memory(Protocol):
    """A kind of memory over vectors.

    Attributes
    ----------
    view
        What it sees of a step: "token" (target lags and standardised input) or "situation" (the
        last step of the target and the standardised input).
    learns
        Whether it wants labels.
    """

    view: str
    learns: bool

    @property
    def n_outputs(self) -> int:
        """Length of a read."""
        ...

    def add_inputs(self, names: Sequence[str]) -> None:
        """Append an input for each name."""
        ...

    def renew_input(self, i: int, name: str, state: Any) -> Any:
        """Let input i of what it sees be another one from now on; the state after that."""
        ...

    def init_state(self) -> Any:
        """The state before the first step."""
        ...

    def transfer(self, io: Writer, inputs: Sequence[str]) -> Memory:
        """The memory itself as plain data; see :mod:`river_attention.state`."""
        ...

    def transfer_state(self, io: Writer, state: Any, n_inputs: int) -> Any:
        """A state as plain data; ``n_inputs`` counts the input columns of x."""
        ...

    def propose(self, x: Any, state: Any) -> tuple[Any, Any]:
        """If x came next: the read, and a proposal for ``commit``. Changes nothing."""
        ...

    def commit(self, state: Any, proposal: Any) -> Any:
        """The state after the step of a proposal; the old one must not be used any more."""
        ...

    def branch(self, state: Any) -> Any:
        """A copy that may advance while the original stays as it is."""
        ...

    def learn(self, state: Any, x: Any, label: float) -> Any:
        """The state after a label, in units of the readout, for an x seen now or earlier."""
        ...

    def forward(self, X: Any, state: Any) -> tuple[Any, Any]:
        """A sequence: inputs and state to reads and final state; ``state`` stays as it is."""
        ...


class Recurrent:
    """Part of memories whose state is one array, made anew by every step and blind to labels.

    The new state is the proposal, and nobody ever writes into an old one.
    """

    view = "token"
    learns = False

    def commit(self, state: Any, proposal: Any) -> Any:
        """The state after the step of a proposal."""
        return proposal

    def branch(self, state: Any) -> Any:
        """The state itself: it is never changed, only replaced."""
        return state

    def learn(self, state: Any, x: Any, label: float) -> Any:
        """The state as it is."""
        return state

    def transfer_state(self, io: Writer, state: Any, n_inputs: int) -> Any:
        """The array."""
        return io.array("state", state, *state.shape)


class Drawn(Recurrent):
    """Part of memories whose weights are drawn at random, a column for every input.

    What is drawn depends on the seed, the name of an input, and how many inputs there were when it
    came, so these are all that has to be kept of the weights.

    Attributes
    ----------
    weights
        A column for every input.
    fan_in
        For every input, how many there were when it came, itself included.
    """

    seed: int
    weights: NDArray[np.float64]
    fan_in: list[int]
    label: str
    """First label of the generators."""

    @property
    def n_inputs(self) -> int:
        """Number of inputs d."""
        return len(self.fan_in)

    def scale(self, fan_in: int) -> NDArray[np.float64]:
        """Deviation of the weights of a column."""
        raise NotImplementedError

    def add_inputs(self, names: Sequence[str]) -> None:
        """Append an input for each name; its column has variance 1/d, d counted at this moment."""
        if names:
            self._draw(names, [self.n_inputs + len(names)] * len(names))

    def renew_input(self, i: int, name: str, state: Any) -> Any:
        """Draw the column of input i for another name; the state is kept."""
        d = self.n_inputs
        weights = self.weights.copy()
        weights[:, i] = self._column(name, self.scale(d))
        self.weights, self.fan_in = weights, [*self.fan_in[:i], d, *self.fan_in[i + 1 :]]
        return state

    def _column(self, name: str, scale: NDArray[np.float64]) -> NDArray[np.float64]:
        return scale * normal(len(scale), self.seed, self.label, name)

    def _draw(self, names: Sequence[str], fan_in: Sequence[int]) -> None:
        scales = {d: self.scale(d) for d in set(fan_in)}
        columns = [self._column(name, scales[d]) for name, d in zip(names, fan_in, strict=True)]
        self.weights = np.hstack([self.weights, np.stack(columns, axis=1)])
        self.fan_in = [*self.fan_in, *fan_in]

    def _begin(self) -> None:
        """What is drawn before there are inputs."""
        self.weights, self.fan_in = np.zeros((len(self.scale(1)), 0)), []

    def transfer(self, io: Writer, inputs: Sequence[str]) -> Any:
        """Seed and fan-ins; reading gives another layer with the weights drawn again."""
        seed = io.integer("seed", self.seed, low=None)
        fan_in = io.integers("fan_in", self.fan_in, low=1)
        total = io.number("sum_of_weights", float(self.weights.sum()))
        if not io.reading:
            return self
        io.check(len(fan_in) == len(inputs), f"fan_in has {len(fan_in)} of {len(inputs)} inputs")
        layer = copy.copy(self)
        layer.seed = seed
        layer._begin()
        if inputs:
            layer._draw(inputs, fan_in)
        drawn = float(layer.weights.sum())
        io.check(
            abs(drawn - total) <= 1e-6 * (1.0 + abs(total)),
            f"sum_of_weights={total}: {drawn} was drawn here; another NumPy may draw other numbers",
        )
        return layer
