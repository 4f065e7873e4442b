r"""An expert that is an ensemble of boosted trees, fitted now and then on the recent past.

.. math::

    \hat y_t = a_t + g(z_t), \qquad
    z_t = [y_{t-1},\ y_{t-1-l} - y_{t-1},\ \hat y_{tk} - a_t,\ x_t,\ x_{t-1}]

with l = 1 … 12, 23, 24, the anchor a_t of the prior (y_{t-1} for persistence) and ŷ_tk what the
other experts predict. g is fitted to the steps y − a of the last 8 000 labelled rows, under the
absolute error: 100 trees of 15 leaves with at least 20 rows in each, learning rate 0.1, half of the
features for every split. The first fit begins after 100 rows, the next ones whenever a quarter as
many rows have come as there are, and after ``every`` rows at the latest.

A fit runs in a thread beside the stream, on rows that nobody writes to any more, and takes over
half an interval after it began, however long it took: predictions do not depend on timing. Whoever
is there first, waits. It runs on one core, because sums over several depend on how many there are.

The trees see what no linear expert does, interactions; and what the others think as well. Their
window takes 4 bytes × (8 000 + ``every``) × (15 + experts + 2 × inputs): z is rounded to single
precision, which also keeps equal what is equal but for rounding.

Freund, Schapire, Singer, Warmuth 1997, *Using and combining predictors that specialize*, for
experts that sleep, as this one does before its first fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import LIMIT
from ..state import Stateful, Writer
from . import fits
from .fits import Chunk, Fit, Rows, chunks_of, joined, learner
from .pool import Expert, ExpertPool
from .regression import LARGEST_WEIGHT, Mixture, alike_by_kind
from .robust import SQUARE_LIMIT
from .trees import ClassTrees, Trees

Array = NDArray[np.float64]

DIFFERENCES = (*range(1, 13), 23, 24)
N_HISTORY = 1 + len(DIFFERENCES)
N_LAGS = 1 + DIFFERENCES[-1]
"""Last target and differences to those before it: how many numbers, from how many lags."""

FIRST = 100
GROWTH = 4
SHARE = 0.1
LIMIT32 = 3e38


class Boosted(Stateful):
    """Window, fits and trees of the expert; see the module.

    Parameters
    ----------
    every
        Rows between two fits, once there are many.
    seed
        Seed of the choice of features.
    kind
        ``Trees`` for steps, ``ClassTrees`` for numbers of classes.

    Attributes
    ----------
    n
        Number of rows learned.
    trees
        What predicts; None before the first fit has taken over.
    failure
        What the last fit failed with, None if it did not: then the trees before it stay.
    """

    def __init__(self, every: int, seed: int, kind: type[Trees] | type[ClassTrees] = Trees) -> None:
        learner(kind is ClassTrees)  # now, not in the middle of a stream
        self.kind = kind
        self.every = every
        self.seed = seed
        self.n = 0
        self.trees: Any = None
        self.failure: str | None = None
        self.chunks: list[Chunk] = []
        self._start, self._begun, self._takes_over = FIRST, 0, 0
        self._coming: Any = None
        # since which row a feature is what it is now, for those that were others before
        self._since: dict[int, int] = {}

    @property
    def width(self) -> int:
        """Number of features of the last row."""
        return self.chunks[-1].rows.shape[1] if self.chunks else 0

    def place(self, width: int) -> Chunk:
        """Where the next rows of so many features go; with the first one ``add`` the chunk."""
        if self.chunks and self.chunks[-1].room and width == self.width:
            return self.chunks[-1]
        return Chunk(width)

    def add(self, chunk: Chunk, n: int) -> None:
        """So many rows more stand in a chunk that ``place`` gave."""
        if n and not (self.chunks and self.chunks[-1] is chunk):
            self.chunks.append(chunk)
        chunk.n += n
        self.n += n

    def learn(self, row: Rows, step: float, weight: float) -> None:
        """Keep a row with the step that followed it."""
        chunk = self.place(max(len(row), self.width))
        chunk.rows[chunk.n, : len(row)] = row
        chunk.rows[chunk.n, len(row) :] = np.nan
        chunk.steps[chunk.n], chunk.weights[chunk.n] = step, weight
        self.add(chunk, 1)

    def turn(self) -> None:
        """Do what is due at this number of rows, if anything is."""
        if self._coming is not None and self.n >= self._takes_over:
            self._take_over()
        if self.n >= self._start:
            self._begin()

    @property
    def due(self) -> int:
        """The number of rows at which ``turn`` has something to do."""
        return self._start if self._coming is None else min(self._start, self._takes_over)

    def renew(self, features: Sequence[int]) -> None:
        """Features are others from now on."""
        for feature in features:
            self._since[feature] = self.n
            if self.trees is not None:
                self.trees.forget(feature)

    def _begin(self) -> None:
        """Begin a fit on the rows of now."""
        interval = max(1, min(self.every, self.n // GROWTH))
        self._begun, self._takes_over = self.n, self.n + (interval + 1) // 2
        self._start = self.n + interval
        # those of the last window, and as many as may come before the next fit is over
        kept = sum(chunk.n for chunk in self.chunks)
        while kept - self.chunks[0].n >= fits.ROWS:
            kept -= self.chunks.pop(0).n
        first = self.n - kept
        self._since = {feature: n for feature, n in self._since.items() if n > first}
        rows = [(chunk, chunk.n) for chunk in self.chunks]
        seed = (self.seed + self.n) % 2**32
        self._coming = Fit(self.kind, rows, self.width, dict(self._since), first, seed)

    def _take_over(self) -> None:
        coming, self._coming = self._coming, None
        try:
            self.trees = coming.result() if isinstance(coming, Fit) else coming
            self.failure = None
        except Exception as error:
            # the trees of before are better than none, and better than a model that raises
            self.failure = f"{type(error).__name__}: {error}"
            return
        for feature, n in self._since.items():
            if n >= self._begun and self.trees is not None:
                self.trees.forget(feature)

    def _finish(self) -> None:
        """Wait for the fit under way: trees can be kept, a thread cannot."""
        if isinstance(self._coming, Fit):
            try:
                self._coming = self._coming.result()
            except Exception as error:
                self._coming, self.failure = None, f"{type(error).__name__}: {error}"

    def __getstate__(self) -> dict[str, Any]:
        self._finish()
        return self.__dict__.copy()

    def transfer(self, io: Writer, *_: Any) -> None:
        self._finish()
        self.n = io.integer("n", self.n)
        self._start = io.integer("start", self._start)
        self._begun = io.integer("begun", self._begun)
        self._takes_over = io.integer("takes_over", self._takes_over)
        kept = sum(chunk.n for chunk in self.chunks)
        window = joined([(chunk, chunk.n) for chunk in self.chunks], self.width)
        rows = io.array("rows", window[0], None, None, finite=False)
        steps = io.array("steps", window[1], len(rows))
        weights = io.array("weights", window[2], len(rows), low=0.0)
        features = io.integers("renewed", list(self._since))
        renewed = io.integers("renewed_at", list(self._since.values()))
        if io.reading:
            io.check(len(rows) <= self.n, "n: fewer than there are rows")
            io.check(len(rows) <= fits.ROWS + self.every + 2 * fits.CHUNK, "rows: too many")
            io.check(len(features) == len(renewed), "renewed_at: one for each")
            io.check(max(features, default=-1) < rows.shape[1], "renewed: an unknown feature")
            self._since = dict(zip(features, renewed, strict=True))
            self.chunks = list(chunks_of(rows, steps, weights))
            kept = len(rows)
        fitted = io.integer("is_fitted", self.trees is not None)
        coming = io.integer("is_fitting", self._coming is not None)
        width = rows.shape[1]
        fresh = self.kind()
        self.trees = io.child("trees", self.trees or fresh, width) if fitted else None
        self._coming = io.child("coming", self._coming or fresh, width) if coming else None
        if io.reading:
            io.check(kept > 0 or not (fitted or coming), "trees without rows")
            self.failure = None


class LastIsBoosted(ExpertPool):
    """Part of pools whose last expert are boosted trees.

    The expert sleeps until its first fit: it has no share, and the others share as they would
    without it. Then it gets a tenth.

    Attributes
    ----------
    boosted
        The trees.
    n_opinions
        How many numbers of z say what the others think; they stand behind the history.
    """

    boosted: Boosted
    n_opinions: int

    @property
    def n_awake(self) -> int:
        """Number of experts with a share: the last one has none before its first fit."""
        return len(self.experts) - (self.boosted.trees is None)

    def transfer(self, io: Writer, *arguments: Any) -> None:
        super().transfer(io, *arguments)
        self.boosted = io.child("trees", self.boosted)
        io.check(self.n_awake == len(self.shares) or self.shares[-1] == 0.0, "shares: trees sleep")

    def turn(self) -> None:
        """Do what is due at this number of rows; see ``Boosted.turn``."""
        slept = self.boosted.trees is None
        self.boosted.turn()
        if slept and self.boosted.trees is not None:
            self.mean_losses[-1] = self.shares.dot(self.mean_losses)
            self.shares = np.append(self.shares[:-1] * (1.0 - SHARE), SHARE)

    def renew(self, columns: Sequence[int], places: Callable[[str, int], Sequence[int]]) -> None:
        """Columns of the input, with their ``places`` in the parts, are other features from now."""
        super().renew(columns, places)
        for column in columns:
            self.boosted.renew([place + self.n_opinions for place in places("boosted", column)])


def names_of_inputs(inputs: Sequence[str]) -> list[str]:
    """What the numbers of z are that come from the inputs."""
    return [f"{name}{when}" for name in inputs for when in ("", " one step before")]


def single(values: Array) -> Rows:
    """Numbers in single precision, the largest cut off."""
    return np.clip(values, -LIMIT32, LIMIT32).astype(np.float32)


class BoostedMixture(LastIsBoosted, Mixture):
    """The mixture with boosted trees as its last expert; see the module.

    Parameters
    ----------
    rows
        The other experts.
    eta
        η.
    boosted
        The trees.
    """

    def __init__(self, rows: Iterable[Expert], eta: float, boosted: Boosted) -> None:
        self.boosted = boosted
        # what the trees say stands in no part of the evidence
        super().__init__([*rows, Expert("trees", "")], eta)
        self.n_told = self.n_opinions = len(self.experts) - 1
        self.shares = np.append(alike_by_kind(self.experts[:-1]), 0.0)

    def predict(self, evidence: Any) -> float:
        """The prediction; the answers of all experts [K] join the evidence."""
        answers = self.answers(evidence)
        known = self.shares[:-1]
        # before the first fit, and where no target is known, what the others say together
        answers[-1] = float(known.dot(answers[:-1])) / float(known.sum())
        trees, unit, anchor = self.boosted.trees, float(evidence["unit"]), float(evidence["anchor"])
        if trees is not None and unit > 0.0 and anchor == anchor:
            answer = trees.predict(self.row(evidence)) / unit
            answers[-1] = min(max(answer, -SQUARE_LIMIT), SQUARE_LIMIT)
        return float(self.shares.dot(answers))

    def row(self, evidence: Any) -> Rows:
        """z: what the trees see of a step, missing numbers as NaN."""
        seen, opinions = evidence["boosted"], evidence["answers"][:-1] * float(evidence["unit"])
        return single(np.concatenate([seen[:N_HISTORY], opinions, seen[N_HISTORY:]]))

    def keep(self, evidence: Any, y: float, w: float) -> None:
        """Keep a step and its label for the next fit, and take over what is ready."""
        step = min(max(y - float(evidence["anchor"]), -LIMIT), LIMIT)
        self.boosted.learn(self.row(evidence), step, min(w, LARGEST_WEIGHT))
        self.turn()

    def names_of_row(self, inputs: Sequence[str]) -> list[str]:
        """What each number of z is, given the names of the inputs."""
        return [
            "last target",
            *(f"target {1 + lag} back - last target" for lag in DIFFERENCES),
            *(f"{expert.name} - anchor" for expert in self.experts[:-1]),
            *names_of_inputs(inputs),
        ]
