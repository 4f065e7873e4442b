"""Progressive validation of a candidate, a block of rows at a time.

What is asked, scored and learned, and in which order, is that of
``river.evaluate.progressive_val_score``, to the last bit.
"""

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from river import base

from .. import backend
from .scores import Score
from .stream import Block, Event, Row


@dataclass(slots=True)
class Candidate:
    """A set of parameters on trial.

    Attributes
    ----------
    index
        Its number.
    params
        Its parameters by the names of the grid.
    model
        The model, None if it could not be made.
    score
        Its score so far.
    cost
        Seconds of the processor it took.
    error
        What it raised; it takes no further rows then.
    waiting
        By the number of a row: the prediction and weight that wait for the label.
    """

    index: int
    params: dict[str, Any]
    model: Any
    score: Score
    cost: float = 0.0
    error: str | None = None
    waiting: dict[int, tuple[Any, float | None]] = field(default_factory=dict)

    def fail(self, error: Exception, where: str) -> None:
        """Give up, and say why."""
        self.error = f"{type(error).__name__} {where}: {error}"
        self.waiting.clear()

    def take(self, block: Block) -> None:
        """Predict and learn the rows of a block; what is raised becomes ``error``."""
        started = time.thread_time()
        try:
            if block.events:
                self._take_events(block.events)
            elif not self._take_as_block(block):
                self._take_rows(block.rows)
        except Exception as error:
            self.fail(error, f"in row {self.score.n_rows}")
        self.cost += time.thread_time() - started

    def _take_as_block(self, block: Block) -> bool:
        """Whether the model could take all rows in one call; else it stays as it was."""
        if not takes_blocks(self.model, self.score.metric):
            return False
        table = block.table
        if table is None:
            return False
        try:
            answers = self.model.predict_learn_many(
                table.matrix, block.labels, block.weights, names=table.names
            )
        except Exception:
            return False  # one by one, it says where
        self.score.update_block(block.truths, block.labels, answers)
        return True

    def _take_rows(self, rows: list[Row]) -> None:
        ask, learn = _ask(self.model, self.score.metric), _learn(self.model)
        for row in rows:
            # no candidate may change what others are given
            x = copy.copy(row.x)
            self.score.update(row.y, ask(x, **row.more))
            learn(x, row.y, row.w, row.more)

    def _take_events(self, events: list[Event]) -> None:
        ask, learn = _ask(self.model, self.score.metric), _learn(self.model)
        for number, row in events:
            x = copy.copy(row.x)
            if row.y is None:
                self.waiting[number] = ask(x, **row.more), row.w
            else:
                answer, w = self.waiting.pop(number)
                self.score.update(row.y, answer)
                learn(x, row.y, w, row.more)


def takes_blocks(model: Any, metric: Any) -> bool:
    """Whether a model has the prediction of every row of a block that it learns, as metrics want.

    Models of this package do; probabilities and several targets are asked for row by row.
    """
    if isinstance(model, base.MultiTargetRegressor):
        return False
    if isinstance(model, base.Classifier) and not metric.requires_labels:
        return False
    method = getattr(model, "predict_learn_many", None)
    return method is not None and "names" in inspect.signature(method).parameters


def lets_threads_run(model: Any, metric: Any) -> bool:
    """Whether a model learns blocks in the compiled core, where it needs no interpreter."""
    return backend.is_compiled() and takes_blocks(model, metric)


def _ask(model: Any, metric: Any) -> Callable[..., Any]:
    if isinstance(model, base.Classifier) and not metric.requires_labels:
        return model.predict_proba_one
    ask: Callable[..., Any] = model.predict_one
    return ask


def _learn(model: Any) -> Callable[..., None]:
    parameters = inspect.signature(model.learn_one).parameters
    knows_w = "w" in parameters or any(p.kind == p.VAR_KEYWORD for p in parameters.values())

    def learn(x: Any, y: Any, w: float | None, more: Any) -> None:
        if w is not None and knows_w:
            model.learn_one(x, y, w=w, **more)
        else:
            model.learn_one(x, y, **more)

    return learn
