"""A candidate's score while it runs: the metric so far, and how it came to be."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import metrics, stats

from .. import backend

N_POINTS = 256
"""How many points of a curve are kept; when there are as many, every second goes."""

_FIRST_STEP = 16


class Curve(NamedTuple):
    """A score over time, arrays of equal length [n_points].

    ``rows`` counts the rows until each point, ``score`` is the metric over all of them, ``recent``
    that over those since the last point that was taken.
    """

    rows: NDArray[np.int64]
    score: NDArray[np.float64]
    recent: NDArray[np.float64]


class Score:
    """The metric of a candidate and its curve; memory does not grow with the stream.

    Points lie ``step`` rows apart. When ``N_POINTS`` are there every second is dropped, and
    further ones lie twice as far apart.

    Parameters
    ----------
    metric
        Any metric of river that has learned nothing; stays as it is.
    warmup
        The first rows, which do not count.
    n_rows
        Length of the stream, if that is known.

    Examples
    --------
    >>> from river import metrics
    >>> score = Score(metrics.MAE(), n_rows=4)
    >>> score.update_many([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 2.0])
    >>> score.value, score.curve().score.tolist(), score.curve().recent.tolist()
    (0.5, [0.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 2.0])
    """

    def __init__(self, metric: Any, warmup: int = 0, n_rows: int | None = None) -> None:
        self._fresh = metric
        self.metric = copy.deepcopy(metric)
        self._recent = copy.deepcopy(metric)
        self.warmup = warmup
        self.n_rows = 0
        self._step = _FIRST_STEP if n_rows is None else -(-n_rows // (N_POINTS - 1))
        self._points: list[tuple[int, float, float]] = []

    @property
    def value(self) -> float:
        """The metric so far."""
        return float(self.metric.get())

    def update(self, y: Any, answer: Any) -> None:
        """Take the answer to a row; None and {} mean that there was none."""
        self.update_many((y,), (answer,))

    def update_many(self, truths: Any, answers: Any) -> None:
        """Take the answers to several rows."""
        self._walk(
            len(truths),
            lambda part: _update(
                zip(truths[part], answers[part], strict=True),
                self.metric.update,
                self._recent.update,
            ),
        )

    def update_block(self, truths: list[Any], labels: Any, answers: Any) -> None:
        """The same for labels and answers as arrays: at once if the metric is MAE.

        A metric takes longer than a model in the compiled core, and holds the GIL.
        """
        core = backend.kernels()
        exact = type(self.metric) is metrics.MAE and isinstance(labels, np.ndarray)
        if core is None or not exact or answers.dtype != np.float64:
            self.update_many(truths, answers.tolist())
            return
        errors = np.abs(labels - answers)

        def take(part: slice) -> None:
            for metric in (self.metric, self._recent):
                mean = metric._mean
                metric._mean = stats.Mean._from_state(
                    mean.n + part.stop - part.start,
                    core.running_mean(errors[part], mean.n, mean.get()),
                )

        self._walk(len(errors), take)

    def _walk(self, n: int, take: Callable[[slice], None]) -> None:
        """Let rows be taken that count, as far as the next point of the curve each time."""
        at = 0
        while at < n:
            left = self.warmup - self.n_rows
            counts = left <= 0
            stop = min(n, at + (self._step - self.n_rows % self._step if counts else left))
            if counts:
                take(slice(at, stop))
            self.n_rows += stop - at
            at = stop
            if counts and self.n_rows % self._step == 0:
                self._take_point()

    def finish(self) -> None:
        """The stream is over: the curve ends here."""
        last = self._points[-1][0] if self._points else self.warmup
        if self.n_rows > last:
            self._take_point()

    def curve(self) -> Curve:
        """The curve so far."""
        rows, scores, recent = zip(*self._points, strict=True) if self._points else ((), (), ())
        return Curve(np.array(rows, np.int64), np.array(scores, float), np.array(recent, float))

    def _take_point(self) -> None:
        self._points.append((self.n_rows, self.value, float(self._recent.get())))
        # to copy one takes as long as many rows
        is_plain = type(self._fresh) is metrics.MAE
        self._recent = metrics.MAE() if is_plain else copy.deepcopy(self._fresh)
        if len(self._points) == N_POINTS:
            self._step *= 2
            self._points = [point for point in self._points if point[0] % self._step == 0]


def _update(
    pairs: Iterable[tuple[Any, Any]], total: Callable[..., Any], recent: Callable[..., Any]
) -> None:
    for y, answer in pairs:
        if answer is not None and answer != {}:
            total(y_true=y, y_pred=answer)
            recent(y_true=y, y_pred=answer)
