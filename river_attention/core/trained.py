r"""A readout that learns its memory as well, by truncated back-propagation.

.. math::

    \hat r_t = w^\top \text{core}\big(W [u_{t-b+1}, \dots, u_t]; s_{t-b}\big)_t + c, \qquad
    \theta \leftarrow \text{optimizer}\big(\theta,\ \text{clip}(\partial_\theta (\hat r_t - r_t)^2)
    + \lambda \theta\big)

The last b - 1 inputs are kept as they were encoded and read again with the weights of now; what
came before them is in a state of the core that is constant to the gradient. b = L (w - 1) + 1 is
exact for L layers of attention over w steps, b = 1 trains on caches that keep the keys of old
weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import optim

from ..layers import Dense, Sequential
from ..layers.sequence import last_attention
from ..naming import canonical_name, normal
from ..state import StateError, Writer
from .regression import Regression
from .step import Step

Array = NDArray[np.float64]


def check_optimizer(optimizer: Any) -> Any:
    """An untrained copy of an optimizer of river that can train arrays; Adam for None.

    Raises
    ------
    ValueError
        If it is no optimizer, or one for single numbers only.
    """
    if optimizer is None:
        return optim.Adam(lr=3e-3)
    if not isinstance(optimizer, optim.base.Optimizer):
        raise ValueError(f"optimizer={optimizer!r}: must be an optimizer of river.optim")
    theta, gradient = np.ones(2), np.array([1.0, -1.0])
    try:
        weights: Any = {"theta": theta}
        probe: Any = optimizer.clone()
        for _ in range(2):
            probe.look_ahead(weights)
            weights = probe.step(weights, {"theta": gradient.copy()})
        after = np.asarray(weights["theta"])
        fits = after.shape == (2,) and bool((np.isfinite(after) & (after != 1.0)).all())
    except Exception:
        fits = False
    if not fits:
        raise ValueError(
            f"optimizer={type(optimizer).__name__}: trains single numbers only; "
            "use Adam, SGD, RMSProp, Momentum, AdaGrad, AdaDelta or Nadam"
        )
    return optimizer.clone()


class TrainedReadout:
    """The layers, their optimizer, and the inputs that gradients go through.

    Parameters
    ----------
    core
        The layers.
    bptt
        b, the steps that a gradient goes through.
    optimizer
        A checked optimizer.
    clip_gradient
        The largest norm of a gradient.
    l2
        λ.
    seed
        Seed of the columns of inputs.
    """

    n_answers = 0
    n_rows = 1
    experts: tuple[Any, ...] = ()

    def __init__(
        self,
        core: Sequential,
        bptt: int,
        optimizer: Any,
        clip_gradient: float,
        l2: float,
        seed: int,
    ) -> None:
        self.head = Dense(core.n_outputs, 1)
        self.head.theta[:] = 0.0  # says the anchor until it knows better
        self.core = core
        self.net = Sequential((core, self.head))
        self.bptt, self.optimizer = bptt, optimizer
        self.clip_gradient, self.l2, self.seed = clip_gradient, l2, seed
        # columns of the input in blocks, so that an optimizer never sees an array grow
        self.blocks: list[Array] = []
        self.names: list[str] = []
        self._looks_ahead = type(optimizer).look_ahead is not optim.base.Optimizer.look_ahead
        self.forget()

    WIDTH = 32

    def forget(self) -> None:
        """Forget the stream, keep the weights."""
        self.carry = self.net.init_state()
        self.inputs: list[Array] = []
        self.looked: Array | None = None
        self._memo: tuple[bytes, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # the core is a part of the net, and its weights are views on those of it
        return self.__dict__ | {"_memo": None, "core": None, "head": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.core, self.head = self.net.layers  # type: ignore[assignment]

    @property
    def projection(self) -> Array:
        """W [d_model, d]."""
        if not self.blocks:
            return np.zeros((self.net.d_in, 0))
        return np.concatenate(self.blocks, axis=1)[:, : len(self.names)]

    def widen(self, names: Sequence[str]) -> None:
        """Let these be the inputs from now on; of those that were there the columns stay."""
        n_in = max(len(names), 1)
        for i, name in enumerate(names):
            block, column = divmod(i, self.WIDTH)
            if block == len(self.blocks):
                self.blocks.append(np.zeros((self.net.d_in, self.WIDTH)))
            if i < len(self.names) and self.names[i] == name:
                continue
            drawn = normal(self.net.d_in, self.seed, "trained", name)
            self.blocks[block][:, column] = drawn / np.sqrt(n_in)
        self.names = list(names)
        self._memo = None

    def _forward(self, x: Array) -> Any:
        """Reads of the chunk that ends with x, and what going back needs."""
        width = len(self.names)
        chunk = np.zeros((len(self.inputs) + 1, width))
        for row, values in zip(chunk, [*self.inputs, x], strict=True):
            row[: len(values)] = values[:width]
        reads, _, ctx = self.net.forward(chunk @ self.projection.T, self.carry, ctx=True)
        return float(reads[-1, 0]), chunk, ctx

    def _run(self, x: Array) -> Any:
        key = x.tobytes()
        if self._memo is None or self._memo[0] != key:
            self._memo = (key, self._forward(x))
        return self._memo[1]

    def predict(self, evidence: Any) -> float:
        """What the layers say of a step; changes nothing."""
        if not self.names:
            return 0.0
        prediction: float = self._run(evidence["token"])[0]
        return prediction if math.isfinite(prediction) else 0.0

    def _weights(self) -> dict[Any, Array]:
        return {"theta": self.net.theta} | {("in", i): b for i, b in enumerate(self.blocks)}

    def update(self, evidence: Any, r: float, w: float) -> None:
        """Learn a label in units of the target, with the sample weight w."""
        x = evidence["token"]
        if w == 0.0 or not self.names or len(x) != len(self.names):
            return
        weights = self._weights()
        before = {name: value.copy() for name, value in weights.items()}
        learned = False
        try:
            learned = self._descend(weights, x, r, w)
        finally:
            # weights of an overflow, of a look ahead, or of an optimizer that failed half way
            if not learned:
                for name, value in weights.items():
                    value[:] = before[name]
            self._memo = None

    def _descend(self, weights: dict[Any, Array], x: Array, r: float, w: float) -> bool:
        """A step of the optimizer; False if it cannot be taken, and weights are to be restored."""
        if self._looks_ahead:
            self.optimizer.look_ahead(weights)
            self._memo = None
        prediction, chunk, ctx = self._run(x)
        self.net.zero_grads()
        d_reads = np.zeros((len(chunk), 1))
        d_reads[-1, 0] = 2.0 * w * (prediction - r)
        dH, _ = self.net.backward(d_reads, ctx)
        dW = dH.T @ chunk
        norm = float(np.sqrt(self.net.gradient @ self.net.gradient + np.square(dW).sum()))
        self.looked = self._seen(ctx)
        if not math.isfinite(norm):
            return False
        factor = min(1.0, self.clip_gradient / norm) if norm > 0.0 else 1.0
        gradients: dict[Any, Array] = {"theta": factor * self.net.gradient}
        for i, block in enumerate(self.blocks):
            part = np.zeros_like(block)
            columns = factor * dW[:, i * self.WIDTH : (i + 1) * self.WIDTH]
            part[:, : columns.shape[1]] = columns
            gradients["in", i] = part
        if self.l2:
            for name, value in weights.items():
                gradients[name] = gradients[name] + self.l2 * value
        after = self.optimizer.step(dict(weights), gradients)
        if not all(np.isfinite(value).all() for value in after.values()):
            return False
        for name, value in weights.items():
            value[:] = after[name]
        return True

    def advance(self, x: Array) -> None:
        """Let a step be the past: the oldest input beyond b - 1 goes into the state."""
        if self._memo is not None:
            self.looked = self._seen(self._memo[1][2])
        elif self.looked is None:  # the first step has nothing to look at but itself
            self.looked = np.ones((last_attention(self.core)[0].n_heads, 1))
        self.inputs.append(x.copy())
        while len(self.inputs) > self.bptt - 1:
            oldest = np.zeros(len(self.names))
            values = self.inputs.pop(0)
            oldest[: len(values)] = values
            _, self.carry = self.net.step(self.projection @ oldest, self.carry)
        self._memo = None

    def look(self, x: Array) -> Array:
        """What x would look at by age [H, n], the step itself first."""
        if self.names:
            return self._seen(self._run(x)[2])
        return np.ones((last_attention(self.core)[0].n_heads, 1))

    def _seen(self, ctx: Any) -> Array:
        layer, last = last_attention(self.core)
        weights: Array = ctx[0][last]["weights"][:, -1, ::-1]
        return weights[:, : layer.window].copy()

    def spread(self, evidence: Any) -> float:
        """Uncertainty of the weights: not known."""
        return 0.0

    def weights(self) -> dict[str, float]:
        """The one expert."""
        return {"trained": 1.0}

    def losses(self) -> dict[str, float]:
        """Not measured here."""
        return {}

    def reopen(self) -> None:
        """Nothing: a gradient never stops learning."""

    def first_on(self, part: str) -> None:
        """There is no linear expert."""

    def extend(self, kinds: Sequence[str]) -> None:
        """Columns come with their names, by ``widen``."""

    def renew(self, columns: Sequence[int], places: Callable[[str, int], Sequence[int]]) -> None:
        """Inputs of before in a column that is another name's are 0 from now on."""
        for column in columns:
            for place in places("token", column):
                for values in self.inputs:
                    if place < len(values):
                        values[place] = 0.0

    def transfer(self, io: Writer, *_: Any) -> None:
        """Refuse: what an optimizer of river knows is no plain data."""
        raise StateError(
            "readout='sgd': what an optimizer of river knows is no plain data; use pickle, "
            "or readout='mixture'"
        )


class TrainedRegression(Regression):
    """Regression whose readout learns the memory; the readout takes the step in."""

    readout: Any

    def commit(self, step: Step) -> None:
        """Make a step the past."""
        super().commit(step)
        features, n = self.features, self.features.n_lags_in
        names = [f"lag:{i + 1}" for i in range(n)] + list(
            map(canonical_name, features.encoder.names)
        )
        if names != self.readout.names:
            self.readout.widen(names)
        self.readout.advance(step.evidence["token"])

    def forget_stream(self) -> None:
        """Forget inputs and lags; keep scales and weights."""
        super().forget_stream()
        self.readout.forget()
