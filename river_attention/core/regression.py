"""The task of regression: how a label is read and trained."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import LIMIT, check_target
from ..encoding import Encoded
from ..layers import Retrieval
from ..readout import BoostedMixture, ErrorQuantiles, Mixture, SingleReadout
from ..readout.robust import SQUARE_LIMIT
from ..state import Stateful, Writer
from . import drift
from .features import MemoryFeatures, check_sizes
from .step import Evidence, Step
from .target import Target

Array = NDArray[np.float64]

CONTEXT = ("anchor", "prediction", "unit", "error size")
"""What is predicted when the readout says 0 (NaN before any label was known); what it said; the
unit of the readout then, 0 if there was none; how large its error was expected to be, in it."""

EXPERTS_CONTEXT = ("last", "mean")
"""Last target and running mean in units of the readout, for readouts whose experts they are."""


class Regression(Stateful):
    """Features, target and readout of a model that predicts numbers.

    Parameters
    ----------
    features
        Made with the context of this module.
    target
        Scale, lags and limits of the target.
    readout
        The experts.
    detector
        A drift detector, None for none.

    Attributes
    ----------
    errors
        Quantiles of the errors of the readout, for intervals.
    n_drifts
        How often the detector fired.
    """

    check = staticmethod(check_target)

    def __init__(
        self,
        features: MemoryFeatures,
        target: Target,
        readout: Mixture | SingleReadout,
        detector: drift.Detector | None = None,
    ) -> None:
        self.features = features
        self.target = target
        self.readout = readout
        self.detector = detector
        self.errors = ErrorQuantiles()
        self.n_drifts = 0

    def propose(self, encoded: Encoded) -> Step:
        """The step that an encoded x would make, and what the readout says of it."""
        target, readout = self.target, self.readout
        seen = (target.lags, target.delta, readout.n_answers, target.history)
        step = self.features.propose(encoded, *seen)
        buffer, layout = step.evidence.buffer, step.evidence.layout
        if "last" in layout:
            buffer[layout["last"]], buffer[layout["mean"]] = target.in_units
        buffer[layout["anchor"]] = math.nan if target.last is None else target.anchor
        buffer[layout["unit"]] = target.scale
        buffer[layout["prediction"]] = readout.predict(step.evidence)
        buffer[layout["error size"]] = self.errors.size
        return step

    def transfer(self, io: Writer, *_: Any) -> None:
        drift.refuse(self.detector)
        self.target = io.child("target", self.target)
        self.features = io.child("features", self.features)
        self.readout = io.child("readout", self.readout)
        self.errors = io.child("errors", self.errors)
        self.n_drifts = io.integer("n_drifts", self.n_drifts)
        if io.reading:
            check_sizes(io, self.features, self.readout)

    def value(self, evidence: Evidence) -> float:
        """The prediction in units of the target."""
        return self.target.restore(float(evidence["prediction"]))

    def variance(self, evidence: Evidence) -> float:
        """Variance of the prediction, at most 1e300: σ² (1 + uncertainty of the weights).

        σ is that of the normal distribution whose central 90 % are as wide as the interval.
        """
        scale = self.target.scale
        if scale > 0.0:
            deviation = min(scale * self.errors.deviation, LIMIT)
            return min(deviation**2 * (1.0 + self.readout.spread(evidence)), 1e300)
        return min(self.target.ignorance, 1e300)

    def intervals(self, evidence: Evidence, levels: Sequence[float]) -> list[tuple[float, float]]:
        """Where the label lies with probability ``levels``, within ±1e150."""
        return self.target.around(self.value(evidence), self.errors, levels)

    def train(self, evidence: Evidence, y: float, w: float) -> None:
        """Learn a label with what was seen then, in units of the scale of now."""
        target, anchor = self.target, float(evidence["anchor"])
        if target.scale == 0.0 or anchor != anchor:
            return
        r = target.residual(y, anchor)
        # a user's detector may fail: before anything has changed
        error = abs(r - float(evidence["prediction"]))
        drifted = w > 0.0 and drift.drifted(self.detector, error)
        self.readout.update(evidence, r, w)
        if w > 0.0:
            self._measure(evidence, y, anchor)
            if isinstance(self.readout, BoostedMixture):
                self.readout.keep(evidence, y, w)
            self.features.learn(evidence, r)
        if drifted:
            self.n_drifts += 1
            self.readout.reopen()

    def join(self, y: float) -> None:
        """A label becomes the past."""
        self.target.update(y)

    def commit(self, step: Step) -> None:
        """Make a step the past."""
        grown = self.features.commit(step)
        if grown.anything:
            self.readout.extend(grown.kinds)
            self.readout.renew(grown.recycled, self.features.layout(0).places)

    def forget_stream(self) -> None:
        """Forget memory and lags; keep scales, weights and shares."""
        self.features.reset()
        self.target.forget_stream()

    def branch(self) -> Regression:
        """A copy whose memory and target go their own way."""
        branch = copy.copy(self)
        branch.features, branch.target = self.features.branch(), self.target.branch()
        return branch

    def attention(self, step: Step) -> Array:
        """What retrieval looks back to [metric, temperature, n]; see ``Retrieval.weights``."""
        retrieval = self.features.memories.get("retrieved")
        if not isinstance(retrieval, Retrieval):
            return np.zeros((1, 1, 0))
        state, proposal = self.features.states["retrieved"], step.transition.proposals["retrieved"]
        return retrieval.weights(step.evidence["situation"], proposal, state)

    def _measure(self, evidence: Evidence, y: float, anchor: float) -> None:
        """Let the error join, as it looked when the prediction was made."""
        unit = float(evidence["unit"])
        if unit > 0.0:
            error = (y - anchor) / unit - float(evidence["prediction"])
            error = min(max(error, -SQUARE_LIMIT), SQUARE_LIMIT)
            self.errors.update(error, float(evidence["error size"]))
