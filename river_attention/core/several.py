"""The task of regression on several targets: one memory, and what each target has of its own.

All targets share encoder, heads, bank and the store of retrieval, and one vector of features: the
reads, a bias, the last values of every target and the input. A target has of its own its scale,
lags and limits (:class:`Targets`), where it looks back to, an expert on its long past, and its
shares of the mixture.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import check_target, is_missing
from ..encoding import Encoded
from ..layers import Memory
from ..layers.retrieval import READS, Proposal
from ..layers.retrieval_of_several import RetrievalOfSeveral
from ..moments import RunningMoments
from ..naming import LABEL_LAG, canonical_name
from ..readout.pool import padded
from ..readout.several import MixtureOfSeveral
from ..state import Stateful, Writer
from .classification import is_lag
from .features import READ_LIMIT, Grown, MemoryFeatures, standardise
from .step import Evidence, Layout, Step, Transition
from .targets import Targets

Array = NDArray[np.float64]


def check_targets(y: Any) -> dict[Hashable, float]:
    """The targets of a row that are there, as floats clipped at ±1e150.

    Raises
    ------
    TypeError
        If ``y`` is no mapping, a target is not a number, or a name is known by its address only.
    ValueError
        If a target is infinite or beyond the range of a float.
    """
    if not isinstance(y, Mapping):
        raise TypeError(
            f"y={y!r} is a {type(y).__name__}: expected a dict of targets, {{name: number}}"
        )
    checked: dict[Hashable, float] = {}
    for name, value in y.items():
        if is_missing(value):
            continue
        try:
            checked[name] = check_target(value)
        except (TypeError, ValueError) as error:
            raise type(error)(f"target {name!r}: {error}") from None
    return checked


class LayoutOfSeveral(Layout):
    """Where the parts of an evidence stand when there are several targets.

    Beside ``full``, ``skip``, ``token`` and ``inputs``, which they share: ``situation`` (last step
    of every target, input without lags), and with one number for each of m targets ``anchor``,
    ``known`` (1 where the anchor is a label, 0 where none was known), ``prediction``, ``last``,
    ``mean`` and ``retrieved i``; ``long`` [m, own] (long lags, standardised reads of retrieval,
    bias, input without lags); ``answers`` [m, K].

    Examples
    --------
    >>> layout = LayoutOfSeveral(
    ...     3, 2, np.array([1]), n_long=4, n_retrieved=0, n_answers=6, n_experts=3
    ... )
    >>> layout["long"], layout["answers"], layout.n_targets
    (slice(19, 31, None), slice(31, 37, None), 2)
    """

    def __init__(
        self,
        n_reads: int,
        n_inputs: int,
        own: NDArray[np.intp],
        n_long: int,
        n_retrieved: int,
        n_answers: int,
        n_experts: int,
    ) -> None:
        super().__init__(n_reads, 0, 0, n_inputs, 0, False, (), 0, own)
        n_own_inputs = len(own)
        m = self.n_targets = n_answers // n_experts
        self._append("situation", m + n_own_inputs)
        for name in ("anchor", "known", "prediction", "last", "mean"):
            self._append(name, m)
        self._append("retrieved", n_retrieved * m)
        for i in range(n_retrieved):
            start = self["retrieved"].start
            self[f"retrieved {i}"] = slice(start + i, start + n_retrieved * m, n_retrieved)
        self._append("long", m * (n_long + n_retrieved + 1 + n_own_inputs) if n_long else 0)
        self._append("answers", n_answers)
        self.n_answers = n_answers
        self.grown = (0, n_inputs, n_answers)

    def n_rows(self, part: str) -> int:
        """Number of rows that a part stands for: in the long one, one for every target."""
        return self.n_targets if part == "long" else 1


@dataclass(slots=True)
class TransitionOfSeveral(Transition):
    """What committing a step needs; with what the store of retrieval wants."""

    looked: Proposal | None


class SharedFeatures(MemoryFeatures):
    """Encoder, memories and moments that all targets share.

    Past targets are inputs under names of their own: heads and bank see them like any other, the
    distances of retrieval and what a target has of its own do not.

    Parameters
    ----------
    memories
        Those that see the token.
    n_long
        Number of long lags of every target.
    n_retrieved
        Number of reads of retrieval for every target.
    n_experts
        Number of answers for every target.
    max_features, categorical
        Those of the encoder; lags do not count.

    Attributes
    ----------
    own
        Columns of the inputs that are no lags.
    """

    def __init__(
        self,
        memories: Mapping[str, Memory],
        n_long: int,
        n_retrieved: int,
        n_experts: int,
        max_features: int | None = None,
        categorical: Any = None,
    ) -> None:
        super().__init__(
            memories, max_features=max_features, categorical=categorical, computed=is_lag
        )
        self._sizes = (n_long, n_retrieved, n_experts)
        self.own = np.zeros(0, dtype=np.intp)

    def layout_of(self, n_lags: int, n_inputs: int, n_answers: int) -> LayoutOfSeveral:
        """Where things stood when there were so many inputs and answers."""
        n_long, n_retrieved, n_experts = self._sizes
        own = self.own[: int(np.searchsorted(self.own, n_inputs))]
        return LayoutOfSeveral(
            self.n_reads, n_inputs, own, n_long, n_retrieved, n_answers, n_experts
        )

    def commit(self, step: Step) -> Grown:
        """Make a step the past; the kinds of the features to come are "lag" and "input"."""
        grown = super().commit(step)
        names = self.encoder.names
        new = names[len(names) - len(grown.kinds) :]
        return Grown(["lag" if is_lag(name) else "input" for name in new], grown.recycled)

    def _show(self) -> None:
        super()._show()
        mine = [not is_lag(name) for name in self.encoder.names]
        self.own = np.flatnonzero(mine)


class MultiRegression(Stateful):
    """Features, targets and readout of a model that predicts several numbers.

    Parameters
    ----------
    features
        What the targets share.
    readout
        The experts.
    retrieval
        The store of labelled steps; None for none.
    prior
        What is predicted when the readout says 0, see :class:`.target.Target`.
    n_lags
        Number of past values of every target among the inputs.
    n_long
        Number of past values that a target has of its own.

    Attributes
    ----------
    names
        The targets in the order in which they were first seen.
    targets
        Scale, lags and limits of every target.
    lags
        The last values of all targets as features.
    """

    def __init__(
        self,
        features: SharedFeatures,
        readout: MixtureOfSeveral,
        retrieval: RetrievalOfSeveral | None,
        prior: str,
        n_lags: int,
        n_long: int,
    ) -> None:
        self.features = features
        self.readout = readout
        self.retrieval = retrieval
        self.names: list[Any] = []
        self.targets = Targets(prior, max(n_lags, n_long))
        self.lags: dict[Any, float] = {}
        self.moments = RunningMoments()
        self._n_lags = n_lags
        self._n_long = n_long
        self._index: dict[Hashable, int] = {}

    def check(self, y: Any) -> dict[Hashable, float]:
        """The targets of a row, checked; see :func:`check_targets`."""
        checked = check_targets(y)
        if self._index.keys() >= checked.keys():
            return checked
        named = {}
        for name, value in checked.items():
            if isinstance(name, numbers.Number) and name != name:
                name = math.nan  # not even equal to itself: one object stands for all of them
            if name not in self._index:
                canonical_name(name)
            named[name] = value
        return named

    def propose(self, encoded: Encoded) -> Step:
        """The step that an encoded x would make, and what the readout says of it."""
        step = self.features.propose(encoded, n_answers=self.readout.n_answers)
        proposal = self._add_own(step.evidence) if self.names else None
        old = step.transition
        step.transition = TransitionOfSeveral(old.encoded, old.raw, old.proposals, proposal)
        return step

    def _add_own(self, evidence: Evidence) -> Proposal | None:
        """What every target has of its own, and the predictions, join the evidence."""
        targets, n_long, retrieval = self.targets, self._n_long, self.retrieval
        m = len(targets)
        x, situation = evidence["inputs"][self.features.own], evidence["situation"]
        situation[:m], situation[m:] = targets.delta, x
        evidence["anchor"], evidence["known"] = targets.anchor, targets.known
        evidence["last"], evidence["mean"] = targets.in_units
        long = evidence["long"].reshape(m, -1)
        if n_long:
            long[:, :n_long] = targets.lags[:, :n_long]
        n, proposal = n_long, None
        if retrieval is not None:
            reads, proposal = retrieval.propose(situation[:m], x)
            raw = reads.reshape(-1)
            evidence["retrieved"] = raw
            if n_long:
                n += reads.shape[1]
                standardise(raw, self.moments.mean, self.moments.divisor, READ_LIMIT, raw)
                long[:, n_long:n] = reads
        if n_long:
            long[:, n] = 1.0
            long[:, n + 1 :] = x
        evidence["prediction"] = self.readout.predict(evidence)
        return proposal

    def value(self, evidence: Evidence) -> dict[Any, float]:
        """The prediction of every target that was known, in its units."""
        if not self.names:
            return {}
        restored = self.targets.restore(evidence["prediction"])
        return dict(zip(self.names, restored.tolist(), strict=True))

    def train(self, evidence: Evidence, y: Mapping[Hashable, float], w: float) -> None:
        """Learn the targets that are there with what was seen then, in units of now."""
        m, n = len(evidence["anchor"]), len(self.names)
        values = self._columns(y)
        seen = np.zeros(n, dtype=bool)
        seen[:m] = (values[:m] == values[:m]) & (evidence["known"] > 0.0)
        seen &= self.targets.scale > 0.0
        anchors = padded(evidence["anchor"], n)  # targets may have come since
        r = np.where(seen, self.targets.residuals(values, anchors), 0.0)
        if not seen.any():
            return
        self.readout.update(evidence, r, seen, w)
        if w > 0.0 and self.retrieval is not None:
            situation = evidence["situation"]
            self.retrieval.learn(situation[:m], situation[m:], r[:m], seen[:m])

    def join(self, y: Mapping[Hashable, float]) -> None:
        """The targets that are there become the past; those that were never seen become known."""
        if not self._index.keys() >= y.keys():
            new = [name for name in y if name not in self._index]
            for name in sorted(new, key=canonical_name):
                self._enter(name)
        if y:
            self.targets.update(self._columns(y))
            self._show_lags()

    def _columns(self, y: Mapping[Hashable, float]) -> Array:
        """A number for every known target [m], NaN where it is missing."""
        return np.array([y.get(name, math.nan) for name in self.names])

    def _enter(self, name: Hashable) -> None:
        self._index[name] = len(self.names)
        self.names.append(name)
        self.targets.add(1)
        self.readout.add_target()
        if self.retrieval is not None:
            self.retrieval.add_targets(1)
            self.moments.append(len(READS))

    def _show_lags(self) -> None:
        past = self.targets.past[:, : self._n_lags].tolist()
        self.lags = {
            (LABEL_LAG, lag, name): value
            for name, values, known in zip(self.names, past, self.targets.known, strict=True)
            if known
            for lag, value in enumerate(values, start=1)
        }

    def commit(self, step: Step) -> None:
        """Make a step the past."""
        features = self.features
        grown = features.commit(step)
        if grown.anything:
            self.readout.extend(grown.kinds)
            layout = features.layout_of(0, len(features.encoder), len(self.readout.experts))
            self.readout.renew(grown.recycled, layout.places)
            if self.retrieval is not None:
                for column in grown.recycled:
                    self.retrieval.renew_input(int(np.searchsorted(features.own, column)))
        transition = step.transition
        looked = transition.looked if isinstance(transition, TransitionOfSeveral) else None
        if looked is not None and self.retrieval is not None:
            self.retrieval.commit(looked)
            self.moments.update(step.evidence["retrieved"], True)

    def forget_stream(self) -> None:
        """Forget memory and lags; keep scales, weights and shares."""
        self.features.reset()
        if self.retrieval is not None:
            self.retrieval.reset()
        self.targets.forget_stream()
        self.lags = {}

    def transfer(self, io: Writer, *_: Any) -> None:
        self.names = io.names("targets", self.names)
        m = len(self.names)
        if io.reading:
            self._index = {name: j for j, name in enumerate(self.names)}
            io.check(len(self._index) == m, "targets: a name is there twice")
        self.targets = io.child("target", self.targets, m)
        self.features = io.child("features", self.features)
        self.readout = io.child("readout", self.readout, m)
        if self.retrieval is not None:
            self.retrieval = io.child("retrieval", self.retrieval, m, len(self.features.own))
            self.moments = io.child("moments", self.moments, m * len(READS))
        if io.reading:
            self._check_sizes(io)
            self._show_lags()

    def _check_sizes(self, io: Writer) -> None:
        layout = self.features.layout_of(0, len(self.features.encoder), len(self.readout.experts))
        for name, part, learner in self.readout.experts:
            if learner is not None:
                n, n_features = learner.n_features, layout[part].stop - layout[part].start
                io.check(
                    n == n_features, f"readout.{name} has {n} weights for {n_features} features"
                )
