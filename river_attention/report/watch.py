"""Test-then-train of one or several models on a stream, and what is worth telling of it.

Every model predicts a row before any of them learns it. What is kept is bounded: sums, the last
rows, means over buckets, a sample of the errors, and now and then a look into the first model.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import look
from .._validation import LIMIT
from .series import BucketMeans, Reservoir, Thinned

LEVELS = (0.5, 0.8, 0.9, 0.95)
MAIN_LEVEL = 0.9
N_LAST = 300
N_RESIDUALS = 1000
N_BINS = 10
MOST_CLASSES = 30
SMALLEST = 1e-6
"""The smallest probability in a log loss, as of a class that nobody expected."""

# a look into a model costs as much as dozens of rows
_LOOK_EVERY = 16


@dataclass
class Score:
    """How a model did.

    Attributes
    ----------
    n
        Rows that count: not those before which no label was known.
    loss, second
        Sums over them: of absolute and squared errors, or of right answers and log losses.
    seconds
        Time of all predictions and updates, n_timed of them.
    failed
        What it raised, if it did; it takes no more part then.
    """

    n: int = 0
    loss: float = 0.0
    second: float = 0.0
    seconds: float = 0.0
    n_timed: int = 0
    failed: str | None = None

    @property
    def mean(self) -> float:
        """Mean absolute error, or accuracy."""
        return self.loss / self.n if self.n else math.nan

    @property
    def mean_second(self) -> float:
        """Mean squared error, or log loss."""
        return self.second / self.n if self.n else math.nan

    @property
    def microseconds(self) -> float:
        """Time for one row."""
        return 1e6 * self.seconds / self.n_timed if self.n_timed else math.nan


class Look(NamedTuple):
    """What a model was like at a row; empty where it has no such thing.

    Attributes
    ----------
    experts
        The share of each expert.
    norms
        What each part of the memory holds.
    retrieved
        The steps most looked back to: how many labelled steps ago, and their shares.
    """

    experts: dict[str, float]
    norms: list[look.StateNorm]
    retrieved: list[tuple[int, float]]


class Watch:
    """Models on a stream; the base of both kinds.

    Parameters
    ----------
    models
        Models by name. The first one is the one that is told of, the others are compared.
    detailed
        Whether to keep what a report needs, or the scores only.
    key
        The feature that tells series apart, where the models have one model for each.
    """

    def __init__(
        self, models: Mapping[str, Any], *, detailed: bool = True, key: str | None = None
    ) -> None:
        self.models = dict(models)
        self.main = next(iter(self.models))
        self.scores = {name: Score() for name in self.models}
        self.detailed = detailed
        self.key = key
        self.n_rows = 0
        self.n_labels = 0
        self.looked_at: Hashable = None
        self.looks: Thinned[Look] = Thinned(_LOOK_EVERY)
        self.rolling = {name: BucketMeans() for name in self.models}
        self._known: set[Hashable] = set()

    def step(self, x: dict[Any, Any], y: Any) -> Any:
        """Let all models predict a row, then learn it; time passes where y is None.

        Returns
        -------
        What the first model predicted.

        Raises
        ------
        Exception
            What the first model raises; others that raise are out, and ``failed`` says why.
        """
        key = None if self.key is None else x.get(self.key)
        if self.n_rows == 0:
            self.looked_at = key
        counts = y is not None and key in self._known
        answers: dict[str, Any] = {}
        self._before(x, y, counts)
        for name, model in self.models.items():
            score = self.scores[name]
            if score.failed is not None:
                continue
            start = time.perf_counter()
            try:
                answers[name] = self._ask(model, x)
                if y is not None:
                    model.learn_one(x, y)
                elif hasattr(model, "advance_one"):
                    model.advance_one(x)
            except Exception as error:
                if name == self.main:
                    raise
                score.failed = f"{type(error).__name__}: {error}"
                continue
            score.seconds += time.perf_counter() - start
            score.n_timed += 1
        if y is not None:
            if counts:
                self._note(y, answers)
            self.n_labels += 1
            self._known.add(key)
        if self.detailed and self.looks.wants(self.n_rows):
            self.looks.add(self.n_rows, _look(self.inside))
        self.n_rows += 1
        return answers[self.main]

    def _before(self, x: dict[Any, Any], y: Any, counts: bool) -> None:
        """What is asked before the row is learned, beside the predictions."""

    def _ask(self, model: Any, x: dict[Any, Any]) -> Any:
        return model.predict_one(x)

    def _note(self, y: Any, answers: Mapping[str, Any]) -> None:
        raise NotImplementedError

    @property
    def inside(self) -> Any:
        """The model to look into: of one model per key that of the first row."""
        model = self.models[self.main]
        return model.model_of(self.looked_at) if hasattr(model, "model_of") else model


def _look(model: Any) -> Look:
    shares = getattr(model, "expert_weights_", None)
    has_features = getattr(model, "features_", None) is not None
    return Look(
        shares if isinstance(shares, dict) else {},
        look.state_norms(model) if has_features else [],
        list(getattr(model, "retrieved_", ())),
    )


class NumberWatch(Watch):
    """Regressors on a stream of numbers.

    Examples
    --------
    >>> from river_attention import RLSRegressor
    >>> watch = NumberWatch({"rls": RLSRegressor(delta=100.0)})
    >>> for t in range(50):
    ...     _ = watch.step({"a": t % 7}, 2.0 * (t % 7))
    >>> watch.scores["rls"].n, watch.scores["rls"].mean < 0.1
    (49, True)
    """

    def __init__(
        self, models: Mapping[str, Any], *, detailed: bool = True, key: str | None = None
    ) -> None:
        super().__init__(models, detailed=detailed, key=key)
        self.last: deque[tuple[int, float, dict[str, float], Any]] = deque(maxlen=N_LAST)
        self.sampled: Reservoir = Reservoir()
        self.residuals: deque[float] = deque(maxlen=N_RESIDUALS)
        self.n_inside = np.zeros(len(LEVELS))
        self.widths = Reservoir()
        self.n_intervals = 0
        self.coverage = BucketMeans()
        self._sum = self._square = 0.0
        self._intervals: Any = None

    @property
    def r_squared(self) -> float:
        """One minus the squared error of the first model over that of the mean."""
        n, score = self.scores[self.main].n, self.scores[self.main]
        spread = self._square - self._sum * self._sum / n if n else 0.0
        return 1.0 - score.second / spread if spread > 0.0 else math.nan

    def _before(self, x: dict[Any, Any], y: Any, counts: bool) -> None:
        self._intervals = None
        model = self.models[self.main]
        key = None if self.key is None else x.get(self.key)
        if self.detailed and counts:
            model = model.model_of(key) if hasattr(model, "model_of") else model
            if hasattr(model, "predict_interval_one"):
                rest = {name: value for name, value in x.items() if name != self.key}
                self._intervals = model.predict_interval_one(rest, level=list(LEVELS))

    def _note(self, y: float, answers: Mapping[str, float]) -> None:
        # as models of this package take them; beyond, there is nothing to add up or to draw
        y, answers = _clipped(y), {name: _clipped(answer) for name, answer in answers.items()}
        self._sum += y
        self._square += y * y
        for name, answer in answers.items():
            error, score = abs(y - answer), self.scores[name]
            score.n += 1
            score.loss += error
            score.second += error * error
            self.rolling[name].add(error)
        if not self.detailed:
            return
        ours = answers[self.main]
        self.residuals.append(y - ours)
        self.sampled.add((y, ours))
        main = None
        if self._intervals is not None:
            inside = np.array([low <= y <= high for low, high in self._intervals])
            low, high = self._intervals[LEVELS.index(MAIN_LEVEL)]
            main = _clipped(low), _clipped(high)
            self.n_inside += inside
            self.n_intervals += 1
            self.widths.add(main[1] - main[0])
            self.coverage.add(float(inside[LEVELS.index(MAIN_LEVEL)]))
        self.last.append((self.n_rows, y, dict(answers), main))


def _clipped(value: float) -> float:
    return min(max(value, -LIMIT), LIMIT)


class ClassWatch(Watch):
    """Classifiers on a stream of classes.

    Examples
    --------
    >>> from river_attention import StreamingAttentionClassifier
    >>> watch = ClassWatch({"ours": StreamingAttentionClassifier()})
    >>> for t in range(60):
    ...     _ = watch.step({}, "ab"[t % 2])
    >>> watch.scores["ours"].mean > 0.8
    True
    """

    def __init__(
        self, models: Mapping[str, Any], *, detailed: bool = True, key: str | None = None
    ) -> None:
        super().__init__(models, detailed=detailed, key=key)
        self.confusion: Counter[tuple[Any, Any]] = Counter()
        self.frequencies: Counter[Any] = Counter()
        self.bins = np.zeros((N_BINS, 3))

    def _ask(self, model: Any, x: dict[Any, Any]) -> Any:
        return model.predict_proba_one(x)

    def _shown(self, label: Any) -> Any:
        """A class of its own while there are few, else one of the others."""
        return label if label in self.frequencies else "others"

    def _note(self, y: Any, answers: Mapping[str, Any]) -> None:
        if y in self.frequencies or len(self.frequencies) < MOST_CLASSES:
            self.frequencies[y] += 1
        for name, probabilities in answers.items():
            score = self.scores[name]
            best = max(probabilities, key=probabilities.__getitem__, default=None)
            right = best is not None and best == y
            probability = float(probabilities.get(y, 0.0))
            score.n += 1
            score.loss += right
            score.second -= math.log(max(probability, SMALLEST))
            self.rolling[name].add(float(right))
            if name == self.main and self.detailed:
                self.confusion[self._shown(y), self._shown(best)] += 1
                confidence = 0.0 if best is None else float(probabilities[best])
                at = min(int(confidence * N_BINS), N_BINS - 1)
                self.bins[at] += (1.0, confidence, right)
