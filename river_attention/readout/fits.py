"""Fits of boosted trees beside the stream: what they learn from, how, and who waits for them.

A fit runs in a thread, on rows that nobody writes to any more, and on one core: sums over several
depend on how many there are, and a forked process cannot use those of its parent.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .trees import ClassTrees, Trees

Array = NDArray[np.float64]
Rows = NDArray[np.float32]

ROWS = 8000
CHUNK = 256
N_TREES = 100
N_TREES_OF_CLASSES = 60
SETTINGS = {
    "loss": "absolute_error",
    "max_iter": N_TREES,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 20,
    "learning_rate": 0.1,
    "max_features": 0.5,
    "max_bins": 63,
    "early_stopping": False,
}


def fit(rows: Rows, steps: Array, weights: Array, seed: int) -> Trees:
    """The trees for rows [n, d], in which missing numbers are NaN, and steps [n].

    Raises
    ------
    RuntimeError
        If the trees are not what scikit-learn predicts: one that keeps them in another way.
    """
    known, names = _seen(rows)
    model = learner()(random_state=seed, **SETTINGS)
    some = rows[:: max(1, len(rows) // 8)]
    # one core also because a forked process cannot use the threads of its parent
    with _cores().limit(limits=1, user_api="openmp"):
        model.fit(known, steps, None if (weights == weights[0]).all() else weights)
        expected = model.predict(known[:: max(1, len(rows) // 8)])
    trees = Trees.of(model)
    trees.renumber(names)
    found = [trees.predict(row) for row in some]
    _check(np.allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(steps).max()))
    return trees


def fit_classes(rows: Rows, labels: Array, weights: Array, seed: int) -> ClassTrees:
    """The same for numbers of classes, under log loss; see ``fit``."""
    known, names = _seen(rows)
    settings = SETTINGS | {"loss": "log_loss", "max_iter": N_TREES_OF_CLASSES}
    model = learner(of_classes=True)(random_state=seed, **settings)
    every = slice(None, None, max(1, len(rows) // 8))
    classes, numbers = np.unique(labels.astype(np.intp), return_inverse=True)
    if len(classes) < 2:
        raise ValueError("all labels are the same so far")
    with _cores().limit(limits=1, user_api="openmp"):
        model.fit(known, numbers, None if (weights == weights[0]).all() else weights)
        expected = model.predict_proba(known[every])
    n_outputs = model.n_trees_per_iteration_
    trees = ClassTrees(classes.tolist(), [Trees.of(model, k) for k in range(n_outputs)])
    trees.renumber(names)
    found = [trees.predict(row, int(classes[-1]) + 1)[classes] for row in rows[every]]
    _check(np.allclose(found, expected, rtol=1e-9, atol=1e-9))
    return trees


def _seen(rows: Rows) -> tuple[Rows, NDArray[np.intp]]:
    """The columns in which there is anything, and which they are."""
    columns = np.flatnonzero(~np.isnan(rows).all(axis=0))
    return (rows, columns) if len(columns) == rows.shape[1] else (rows[:, columns], columns)


def _check(is_alike: bool) -> None:
    if not is_alike:
        raise RuntimeError("this version of scikit-learn keeps its trees in an unknown way")


@functools.cache
def learner(of_classes: bool = False) -> Any:
    """The class of what is fitted, which takes long to import."""
    from sklearn import ensemble

    if of_classes:
        return ensemble.HistGradientBoostingClassifier
    return ensemble.HistGradientBoostingRegressor


@functools.cache
def _cores() -> Any:
    """What says on how many cores this thread's parallel loops run."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@functools.cache
def _workers() -> ThreadPoolExecutor:
    """The threads that fit, of this process."""
    return ThreadPoolExecutor(os.cpu_count(), "trees")


# the threads are not there in a child that was forked
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.cache_clear)


class Chunk:
    """Rows that stand together; only the last of several is written to.

    Attributes
    ----------
    rows, steps, weights
        Features [CHUNK, d], what to predict from them, and sample weights.
    n
        How many there are so far.
    """

    def __init__(self, width: int) -> None:
        self.rows = np.empty((CHUNK, width), np.float32)
        self.steps = np.empty(CHUNK)
        self.weights = np.empty(CHUNK)
        self.n = 0

    @property
    def room(self) -> int:
        """How many more rows there is room for."""
        return len(self.steps) - self.n

    def __getstate__(self) -> dict[str, Any]:
        # what was never written to may be anything
        rows = np.zeros_like(self.rows)
        rows[: self.n] = self.rows[: self.n]
        state = {name: np.zeros_like(self.steps) for name in ("steps", "weights")}
        for name, values in state.items():
            values[: self.n] = getattr(self, name)[: self.n]
        return {"rows": rows, "n": self.n, **state}


def joined(chunks: Sequence[tuple[Chunk, int]], width: int) -> tuple[Rows, Array, Array]:
    """Rows, steps and weights of chunks, of which so many count."""
    rows = np.full((sum(count for _, count in chunks), width), np.nan, np.float32)
    at = 0
    for chunk, count in chunks:
        rows[at : at + count, : chunk.rows.shape[1]] = chunk.rows[:count]
        at += count
    steps = [chunk.steps[:count] for chunk, count in chunks]
    weights = [chunk.weights[:count] for chunk, count in chunks]
    return rows, np.concatenate([np.zeros(0), *steps]), np.concatenate([np.zeros(0), *weights])


def _window(
    chunks: Sequence[tuple[Chunk, int]], width: int, since: dict[int, int], first: int
) -> tuple[Rows, Array, Array]:
    """What a fit learns from: the last rows; the first of all is row ``first`` of the stream."""
    rows, steps, weights = joined(chunks, width)
    for column, begin in since.items():
        rows[: max(begin - first, 0), column] = np.nan
    return rows[-ROWS:], steps[-ROWS:], weights[-ROWS:]


def _fit_window(
    kind: Any, chunks: Any, width: int, since: dict[int, int], first: int, seed: int
) -> Any:
    how = fit if kind is Trees else fit_classes
    return how(*_window(chunks, width, since, first), seed)


class Fit:
    """A fit under way; ``result`` waits for it."""

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments
        self._process = os.getpid()
        self._future: Future[Any] | None = None
        # there are no more threads when the interpreter goes down
        with contextlib.suppress(RuntimeError):
            self._future = _workers().submit(_fit_window, *arguments)

    def result(self) -> Any:
        """The trees."""
        if self._future is None or self._process != os.getpid():
            return _fit_window(*self._arguments)
        return self._future.result()


def chunks_of(rows: Rows, steps: Array, weights: Array) -> Iterator[Chunk]:
    """Chunks that hold these rows."""
    for at in range(0, len(rows), CHUNK):
        chunk, some = Chunk(rows.shape[1]), slice(at, at + CHUNK)
        chunk.n = len(steps[some])
        chunk.rows[: chunk.n], chunk.steps[: chunk.n] = rows[some], steps[some]
        chunk.weights[: chunk.n] = weights[some]
        yield chunk
