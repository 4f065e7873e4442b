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

import collections
import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import optim

from ..encoding import Encoded
from ..layers import Sequential
from ..layers.sequence import last_attention, transfer_layer
from ..naming import canonical_name, normal
from ..readout.logistic import softmax
from ..state import StateError, Stateful, Writer
from .classification import Classification
from .features import MemoryFeatures
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


def transfer_optimizer(io: Writer, optimizer: Any, shapes: dict[Any, tuple[int, ...]]) -> Any:
    """What an optimizer of river knows: its steps, and an array for each array that it trains.

    Raises
    ------
    StateError
        If it knows something else, as an optimizer of the user's may.
    """
    parameters = optimizer._get_params()
    fresh = copy.deepcopy(optimizer) if io.reading else optimizer
    fresh.n_iterations = io.integer("n_iterations", optimizer.n_iterations)
    known = {"/".join(map(str, key)) if isinstance(key, tuple) else key: key for key in shapes}
    texts = {key: text for text, key in known.items()}
    slots = {}
    for name, value in vars(optimizer).items():
        if isinstance(value, optim.base.Optimizer):
            setattr(fresh, name, transfer_optimizer(io.below(name), value, shapes))
        elif name not in parameters and name not in ("lr", "n_iterations"):
            slots[name] = value
    for name, value in slots.items():
        if not io.reading and not (value is None or isinstance(value, dict)):
            raise StateError(
                f"optimizer={type(optimizer).__name__}: what it keeps as {name} is no plain data; "
                "use pickle, or readout='mixture'"
            )
        of = io.names(f"{name}.of", [texts[key] for key in value or ()])
        io.check(set(of) <= set(known), f"{name}.of: an array that is not trained")
        found: dict[Any, Any] = collections.defaultdict(float)
        for text in of:
            key = known[text]
            own = np.zeros(shapes[key]) if io.reading else value[key]
            found[key] = io.array(f"{name}.{text}", own, *shapes[key])
        if io.reading:
            # what it is before the first step is for the optimizer to say
            setattr(fresh, name, found if of else getattr(optimizer.clone(), name))
    return fresh


class Before(NamedTuple):
    """What a gradient goes back through: names of columns, the last inputs, the state before them.

    Nothing of it is written to after it was handed out, so steps that wait share what they can.
    """

    names: list[str]
    inputs: list[Array]
    carry: Any


def _rows(inputs: Sequence[Array], width: int) -> Array:
    """Inputs as rows of one width; those of before a column came have 0 there."""
    rows = np.zeros((len(inputs), width))
    for row, values in zip(rows, inputs, strict=True):
        row[: len(values)] = values[:width]
    return rows


class TrainedReadout(Stateful):
    """The layers, their optimizer, and the inputs that gradients go through; one answer.

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
        self.core = core
        self.bptt, self.optimizer = bptt, optimizer
        self.clip_gradient, self.l2, self.seed = clip_gradient, l2, seed
        # columns of the input in blocks, and a row for every answer, so that an optimizer never
        # sees an array grow
        self.blocks: list[Array] = []
        self.names: list[str] = []
        self.rows: list[Array] = []
        self._add_row()
        self._looks_ahead = type(optimizer).look_ahead is not optim.base.Optimizer.look_ahead
        self.forget()

    WIDTH = 32

    def forget(self) -> None:
        """Forget the stream, keep the weights."""
        self.carry = self.core.init_state()
        self.inputs: list[Array] = []
        self.looked: Array | None = None
        self._memo: tuple[bytes, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_memo": None}

    def _add_row(self) -> None:
        # says the anchor, or that all classes are alike, until it knows better
        self.rows.append(np.zeros(self.core.n_outputs + 1))

    @property
    def projection(self) -> Array:
        """W [d_model, d]."""
        if not self.blocks:
            return np.zeros((self.core.d_in, 0))
        return np.concatenate(self.blocks, axis=1)[:, : len(self.names)]

    def widen(self, names: Sequence[str]) -> None:
        """Let these be the inputs from now on; of those that were there the columns stay."""
        n_in = max(len(names), 1)
        for i, name in enumerate(names):
            block, column = divmod(i, self.WIDTH)
            if block == len(self.blocks):
                self.blocks.append(np.zeros((self.core.d_in, self.WIDTH)))
            if i < len(self.names) and self.names[i] == name:
                continue
            drawn = normal(self.core.d_in, self.seed, "trained", name)
            self.blocks[block][:, column] = drawn / np.sqrt(n_in)
        self.names = list(names)
        self._memo = None

    def before(self) -> Before:
        """What a step that is proposed now has to go back through."""
        return Before(self.names, list(self.inputs), self.core.branch(self.carry))

    def _forward(self, x: Array, before: Before) -> Any:
        """The read of x, the chunk that ends with it, and what going back needs."""
        names = self.names
        chunk = _rows([*before.inputs, x], len(names))
        if before.names is not names:
            # columns that were given to other names while the step waited for its label
            for i, name in enumerate(before.names):
                if name != names[i]:
                    chunk[:, i] = 0.0
        reads, _, ctx = self.core.forward(chunk @ self.projection.T, before.carry, ctx=True)
        return reads[-1], chunk, ctx

    def _run(self, x: Array, before: Before | None = None) -> Any:
        if before is not None:
            return self._forward(x, before)
        key = x.tobytes()
        if self._memo is None or self._memo[0] != key:
            now = Before(self.names, self.inputs, self.carry)
            self._memo = (key, self._forward(x, now))
        return self._memo[1]

    def _scores(self, read: Array) -> Array:
        return np.array([row[:-1] @ read + row[-1] for row in self.rows])

    def _slopes(self, scores: Array, label: Any) -> Array:
        """Derivative of the loss by the scores: here that of (score - label)²."""
        return 2.0 * (scores - label)

    def predict(self, evidence: Any) -> float:
        """What the layers say of a step; changes nothing."""
        if not self.names:
            return 0.0
        prediction = float(self._scores(self._run(evidence["token"])[0])[0])
        return prediction if math.isfinite(prediction) else 0.0

    def _weights(self) -> dict[Any, Array]:
        weights: dict[Any, Array] = {"theta": self.core.theta}
        weights |= {("in", i): block for i, block in enumerate(self.blocks)}
        return weights | {("out", i): row for i, row in enumerate(self.rows)}

    def update(self, evidence: Any, label: Any, w: float) -> None:
        """Learn a label, in units of the target or the number of a class; w is its weight."""
        x = evidence["token"]
        before = evidence.before
        # the first step of all has no columns to learn
        seen = self.names if before is None else before.names
        if w == 0.0 or not seen or len(x) != len(seen):
            return
        weights = self._weights()
        old = {name: value.copy() for name, value in weights.items()}
        learned = False
        try:
            learned = self._descend(weights, x, before, label, w)
        finally:
            # weights of an overflow, of a look ahead, or of an optimizer that failed half way
            if not learned:
                for name, value in weights.items():
                    value[:] = old[name]
            self._memo = None

    def _descend(
        self, weights: dict[Any, Array], x: Array, before: Before | None, label: Any, w: float
    ) -> bool:
        """A step of the optimizer; False if it cannot be taken, and weights are to be restored."""
        if self._looks_ahead:
            self.optimizer.look_ahead(weights)
            self._memo = None
        read, chunk, ctx = self._run(x, before)
        slopes = w * self._slopes(self._scores(read), label)
        if before is None:
            self.looked = self._seen(ctx)
        peak = float(np.abs(slopes).max())
        if not math.isfinite(peak):
            return False
        # a power of two, which rounds nothing, so that no gradient is beyond float32 on its way
        unit = math.ldexp(1.0, max(0, math.frexp(peak)[1]))
        slopes = slopes / unit
        d_rows = np.outer(slopes, np.append(read, 1.0))
        d_reads = np.zeros((len(chunk), len(read)))
        d_reads[-1] = slopes @ np.array(self.rows)[:, :-1]
        self.core.zero_grads()
        dH, _ = self.core.backward(d_reads, ctx)
        dW = dH.T @ chunk
        # optimizers work in float64, whatever the core is
        theta = self.core.gradient.astype(np.float64, copy=False)
        norm = math.sqrt(theta @ theta + np.square(dW).sum() + np.square(d_rows).sum())
        if not math.isfinite(norm):
            return False
        factor = min(unit, self.clip_gradient / norm) if norm > 0.0 else 1.0
        gradients: dict[Any, Array] = {"theta": factor * theta}
        for i, block in enumerate(self.blocks):
            part = np.zeros_like(block)
            columns = factor * dW[:, i * self.WIDTH : (i + 1) * self.WIDTH]
            part[:, : columns.shape[1]] = columns
            gradients["in", i] = part
        for i, d_row in enumerate(d_rows):
            gradients["out", i] = factor * d_row
        if self.l2:
            for name, value in weights.items():
                gradients[name] = gradients[name] + self.l2 * value
        after = self.optimizer.step(dict(weights), gradients)
        with np.errstate(over="ignore"):
            # what is finite in float64 may be beyond float32
            fresh = {name: np.asarray(after[name], value.dtype) for name, value in weights.items()}
        if not all(np.isfinite(value).all() for value in fresh.values()):
            return False
        for name, value in weights.items():
            value[:] = fresh[name]
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
            _, self.carry = self.core.step(self.projection @ oldest, self.carry)
        self._memo = None

    def look(self, x: Array) -> Array:
        """What x would look at by age [H, n], the step itself first."""
        if self.names:
            return self._seen(self._run(x)[2])
        return np.ones((last_attention(self.core)[0].n_heads, 1))

    def _seen(self, ctx: Any) -> Array:
        layer, last = last_attention(self.core)
        weights: Array = ctx[last]["weights"][:, -1, ::-1]
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
        n_rows = len(self.rows)
        self.names = io.names("inputs", self.names)
        width, d_model = len(self.names), self.core.d_in
        io.check(all(isinstance(name, str) for name in self.names), "inputs: names of columns")
        blocks = io.array("W", self.projection, d_model, width)
        rows = io.array("out", np.array(self.rows), n_rows, self.core.n_outputs + 1)
        theta = io.array("theta", self.core.theta, len(self.core.theta))
        now = self.transfer_before(io.below("before"), Before(self.names, self.inputs, self.carry))
        shapes: dict[Any, tuple[int, ...]] = {"theta": theta.shape}
        shapes |= {("in", i): (d_model, self.WIDTH) for i in range(-(-width // self.WIDTH))}
        shapes |= {("out", i): row.shape for i, row in enumerate(rows)}
        optimizer = transfer_optimizer(io.below("optimizer"), self.optimizer, shapes)
        if io.reading:
            self.core = self.core.clone()
            self.core.theta[:] = theta
            self.rows, self.inputs, self.carry = list(rows), now.inputs, now.carry
            self.optimizer, self.blocks = optimizer, []
            for start in range(0, width, self.WIDTH):
                block = np.zeros((d_model, self.WIDTH))
                columns = blocks[:, start : start + self.WIDTH]
                block[:, : columns.shape[1]] = columns
                self.blocks.append(block)
            self.looked, self._memo = None, None

    def transfer_before(self, io: Writer, before: Before) -> Before:
        """What a step has to go back through, as plain data; it is for the names of now."""
        width = len(self.names)
        columns = io.names("columns", before.names)
        io.check(len(columns) <= width, f"columns: more than the {width} that there are")
        past = io.array("inputs", _rows(before.inputs, width), None, width)
        io.check(len(past) < self.bptt, f"inputs has {len(past)} rows, more than bptt - 1")
        own = self.core.init_state() if io.reading else before.carry
        carry = [transfer_layer(io.below(f"carry.{i}"), state) for i, state in enumerate(own)]
        return Before(self.names if columns == self.names else columns, list(past), carry)


class TrainedClasses(TrainedReadout):
    r"""The same for classes: a row of the head for each, p = softmax, and log loss.

    Attributes
    ----------
    n_classes
        Number of classes that there is room for, at least 2.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._add_row()

    @property
    def n_classes(self) -> int:
        """Number of rows of the head."""
        return len(self.rows)

    @property
    def n_answers(self) -> int:  # type: ignore[override]
        """Number of probabilities in the evidence."""
        return len(self.rows)

    def add_class(self) -> None:
        """One more class, a row of zeros."""
        self._add_row()

    def _slopes(self, scores: Array, label: int) -> Array:
        """Derivative of -log p(label) by the scores."""
        slopes = softmax(scores)
        slopes[label] -= 1.0
        return slopes

    def predict(self, evidence: Any, votes: Array | None = None) -> Any:
        """Let the probabilities join the evidence; changes nothing else."""
        scores = np.zeros(len(self.rows))
        if self.names:
            scores = self._scores(self._run(evidence["token"])[0])
        if not np.isfinite(scores).all():
            scores[:] = 0.0
        evidence["answers"] = softmax(scores)

    def answers(self, evidence: Any) -> Array:
        """The probabilities of the one expert [1, K], as they were said."""
        said: Array = evidence["answers"]
        return said[None]

    def mixed(self, evidence: Any) -> Array:
        """The probabilities [K]."""
        said: Array = evidence["answers"]
        return said

    def transfer(self, io: Writer, *arguments: Any) -> None:
        if io.reading:
            self.rows = [np.zeros(self.core.n_outputs + 1)] * arguments[0]
        super().transfer(io)


class _Advancing:
    """Part of tasks whose readout learns the memory: it takes the step in."""

    readout: Any
    features: MemoryFeatures
    late = False

    def propose(self, encoded: Encoded) -> Step:
        """The step that an encoded x would make."""
        step: Step = super().propose(encoded)  # type: ignore[misc]
        if self.late:
            step.evidence.before = self.readout.before()
        return step

    def commit(self, step: Step) -> None:
        """Make a step the past."""
        super().commit(step)  # type: ignore[misc]
        features, n = self.features, self.features.n_lags_in
        names = [f"lag:{i + 1}" for i in range(n)] + list(
            map(canonical_name, features.encoder.names)
        )
        if names != self.readout.names:
            self.readout.widen(names)
        self.readout.advance(step.evidence["token"])

    def forget_stream(self) -> None:
        """Forget inputs and lags; keep scales and weights."""
        super().forget_stream()  # type: ignore[misc]
        self.readout.forget()


class TrainedRegression(_Advancing, Regression):
    """Regression whose readout learns the memory."""

    readout: Any


class TrainedClassification(_Advancing, Classification):
    """Classification whose readout learns the memory."""

    readout: Any
