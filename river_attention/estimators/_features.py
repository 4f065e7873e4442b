r"""From a dict to the features of the readout: the part that all estimators share.

.. math::

    u_t = [\text{lags},\ \hat x_t], \quad
    (o_t, S_t) = \text{layers}(u_t, S_{t-1}), \quad
    \varphi_t = [\mathrm{std}(\rho_t),\ \mathrm{std}(o_t),\ 1,\ u_t]

x̂ is the input standardised with the running moments of the rows before t, clipped at ±3; a
feature that is missing, constant or new is 0. ρ are the reads of retrieval and o those of the
other layers (heads, memory bank), standardised the same way, clipped at ±5. ``compute`` answers
"if x came next" and changes nothing; ``commit`` makes it the past.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import check_int
from ..encoding import Encoded, Encoder, canonical_name
from ..layers import Layer, MemoryBank, MultiHeadLinearAttention, Retrieval
from ..modes import Mode
from ..moments import Limit, RunningMoments
from ..readout import Inputs, Target

Array = NDArray[np.float64]

INPUT_LIMIT = Limit(3.0)
READ_LIMIT = Limit(5.0)
_NOTHING = np.zeros(0)


@dataclass(slots=True)
class Step:
    """What one x would make of the memory.

    Attributes
    ----------
    key
        Bytes of the encoded values.
    encoded
        The input as columns.
    raw
        Reads and input columns, not standardised.
    phi
        Features of the readout [p]: reads, 1, lags, input.
    scaled
        Standardised input, a part of ``phi``.
    states
        State of every recurrent layer after this step.
    delta
        What retrieval wants to store with the step.
    distance, seen_at
        How far the stored steps are, and how many there were.
    inputs
        The step as a readout sees it.
    anchor, known
        What is predicted when the readout says 0, and whether any label was known.
    prediction, experts
        The prediction of the readout and those of its experts; None until it was asked.
    """

    key: bytes
    encoded: Encoded
    raw: Array
    phi: Array
    scaled: Array
    states: dict[str, Any]
    delta: float
    distance: Array
    seen_at: int
    inputs: Inputs
    experts: Array
    anchor: float
    known: bool
    prediction: float | None = None

    def lighten(self) -> None:
        """Keep only what a label is learned with."""
        self.raw = self.distance = _NOTHING
        self.states = {}


def _standardise(values: Array, mean: Array, divisor: Array, limit: Limit, out: Array) -> None:
    """(values - mean) / divisor, clipped at ±limit, into ``out``."""
    np.subtract(values, mean, out=out)
    out /= divisor
    limit.apply(out)


class MemoryFeatures:
    """Encoder, layers of memory and running moments; see the module for the equations.

    Parameters
    ----------
    mode, n_heads, d_key, d_value
        Those of the heads; ``mode=None`` means no heads.
    memory
        Number of complex units of the memory bank; 0 means no bank.
    window
        Number of labelled steps that retrieval keeps; 0 means no retrieval.
    n_lags
        Number of target lags in u.
    n_long
        Number of target lags that the readout gets beside them.
    experts
        Whether the readout has experts for last target and mean.
    seed
        Seed of all layers.
    hidden
        Tells the names of features that only the readout sees, not the layers.
    """

    def __init__(
        self,
        mode: str | Mode | None,
        n_heads: int,
        d_key: int,
        d_value: int,
        memory: int,
        window: int,
        n_lags: int,
        n_long: int,
        experts: bool,
        seed: int,
        hidden: Callable[[Hashable], bool] | None = None,
    ) -> None:
        self.encoder = Encoder()
        # made even if there are none, so that their parameters are checked
        heads = MultiHeadLinearAttention(
            "gla" if mode is None else mode, n_heads, d_key, d_value, seed=seed
        )
        self.layers: dict[str, Layer] = {}
        if mode is not None:
            self.layers["head"] = heads
        if check_int("memory", memory, 0):
            self.layers["bank"] = MemoryBank(memory, seed=seed)
        self.retrieval = Retrieval(window) if check_int("window", window, 0) else None
        self.store = None if self.retrieval is None else self.retrieval.init_state()
        # the reads of retrieval come first; then name, layer, and its columns among the reads
        self.n_reads = 0 if self.retrieval is None else self.retrieval.n_outputs
        self._slots: list[tuple[str, Layer, slice]] = []
        for name, layer in self.layers.items():
            start, self.n_reads = self.n_reads, self.n_reads + layer.n_outputs
            self._slots.append((name, layer, slice(start, self.n_reads)))
        self.moments = RunningMoments(self.n_reads)
        self.states = {name: layer.init_state() for name, layer in self.layers.items()}
        self._n_lags = n_lags
        self._n_long = n_long
        self._experts = experts
        # lags join the inputs together with the first features: d counts both
        self._lags_in = 0
        self._hidden = hidden
        # columns of u for the layers; None for all of them
        self._visible: NDArray[np.intp] | None = None

    def names(self) -> list[str]:
        """What each feature of the readout is [p]."""
        n_retrieved = 0 if self.retrieval is None else self.retrieval.n_outputs
        return [
            *(f"retrieved {i}" for i in range(n_retrieved)),
            *(f"{name} {i}" for name, layer in self.layers.items() for i in range(layer.n_outputs)),
            "bias",
            *(f"y lag {i + 1}" for i in range(self._lags_in)),
            *(str(name) for name in self.encoder.names),
        ]

    def compute(self, x: Mapping[Any, Any], target: Target, memo: Step | None = None) -> Step:
        """The step that x would make; ``memo`` itself if that was made of the same values."""
        encoded = self.encoder.encode(x)
        values = encoded.values
        key = values.tobytes()
        if memo is not None and memo.key == key:
            # new features have no column yet: the same step, but they enter with this commit
            memo.encoded = encoded
            return memo

        n_reads, n_lags = self.n_reads, self._lags_in
        mean, divisor = self.moments.mean, self.moments.divisor
        raw = np.empty(n_reads + len(values))
        raw[n_reads:] = values
        phi = np.empty(n_reads + 1 + n_lags + len(values))
        phi[n_reads] = 1.0
        u = phi[n_reads + 1 :]
        u[:n_lags] = target.lags[:n_lags]
        scaled = u[n_lags:]
        _standardise(values, mean[n_reads:], divisor[n_reads:], INPUT_LIMIT, scaled)
        if not encoded.complete:
            scaled[values != values] = 0.0

        n_retrieved, seen_at, distance = 0, 0, _NOTHING
        if self.retrieval is not None and self.store is not None:
            n_retrieved = self.retrieval.n_outputs
            seen_at = self.store.n_stored
            raw[:n_retrieved], distance = self.retrieval.read(scaled, target.delta, self.store)
        states = {}
        visible = u if self._visible is None else u[self._visible]
        for name, layer, columns in self._slots:
            raw[columns], states[name] = layer.step(visible, self.states[name])
        if n_reads:
            _standardise(
                raw[:n_reads], mean[:n_reads], divisor[:n_reads], READ_LIMIT, phi[:n_reads]
            )

        n_long = self._n_long
        long = _NOTHING
        if n_long:
            long = np.empty(n_long + 1 + len(values))
            long[:n_long] = target.lags[:n_long]
            long[n_long] = 1.0
            long[n_long + 1 :] = scaled
        last, average = target.in_units if self._experts else (0.0, 0.0)
        inputs = Inputs(phi, phi[n_reads:], long, raw[:n_retrieved], last, average)
        return Step(
            key,
            encoded,
            raw,
            phi,
            scaled,
            states,
            target.delta,
            distance,
            seen_at,
            inputs,
            _NOTHING,
            target.anchor,
            target.last is not None,
        )

    def remember(self, scaled: Array, delta: float, residual: float) -> None:
        """Let retrieval store a step with its label, in units of the readout."""
        if self.retrieval is not None and self.store is not None:
            self.retrieval.store(self.store, scaled, delta, residual)

    def signature(self, encoded: Encoded) -> bytes:
        """Bytes that are equal for equal x, whatever columns have come in between."""
        new = [encoded.new[name] for name in sorted(encoded.new, key=canonical_name)]
        values = np.concatenate([encoded.values, new]) + 0.0  # -0.0 is 0.0
        present = np.flatnonzero(values == values)
        return values[: present[-1] + 1 if len(present) else 0].tobytes()

    def commit(self, step: Step) -> tuple[int, int]:
        """Make a step the past.

        Returns
        -------
        How many lags and how many inputs the features gain with the next step.
        """
        raw, complete = step.raw, step.encoded.complete
        grown = (0, 0)
        if step.encoded.new or self._lags_in < self._n_lags:
            grown = self._grow(step.encoded.new)
            new = [
                step.encoded.new[name] for name in self.encoder.names if name in step.encoded.new
            ]
            raw = np.concatenate([raw, new])
        self.moments.update(raw, complete)
        self.advance(step)
        return grown

    def branch(self) -> MemoryFeatures:
        """A copy for looking ahead: ``advance`` moves it on and leaves the original as it is."""
        branch = copy.copy(self)
        if self.store is not None:
            branch.store = self.store.branch()
        return branch

    def advance(self, step: Step) -> None:
        """Let time pass in a branch: the memory takes a step in, moments and columns stay."""
        self.states = step.states
        if self.store is not None:
            self.store.follow(step.distance, step.seen_at)

    def reset(self) -> None:
        """Forget the stream; moments and columns stay."""
        if self.retrieval is not None:
            self.store = self.retrieval.init_state()
        self.states = {name: layer.init_state() for name, layer in self.layers.items()}

    def _grow(self, new: Mapping[Hashable, float]) -> tuple[int, int]:
        n_lags = self._n_lags - self._lags_in
        first = len(self.encoder)
        columns = self.encoder.extend(new)
        inputs = [f"lag:{i + 1}" for i in range(n_lags)] + columns
        if self._hidden is not None:
            names = self.encoder.names
            shown = [not self._hidden(name) for name in names]
            inputs = inputs[:n_lags] + [
                column for column, show in zip(columns, shown[first:], strict=True) if show
            ]
            shown = [True] * self._n_lags + shown
            self._visible = None if all(shown) else np.flatnonzero(shown)
        for layer in self.layers.values():
            layer.add_inputs(inputs)
        self.moments.append(len(columns))
        self._lags_in = self._n_lags
        return n_lags, len(columns)
