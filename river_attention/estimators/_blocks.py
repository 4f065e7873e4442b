"""Blocks of rows, for estimators that know single ones."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _frames

Array = NDArray[np.float64]
Names = Iterable[Hashable] | None

_PACKAGE = __name__.split(".")[0]


class CheckedRows:
    """Part of estimators: rows of a block that are checked first, and learned all or not at all."""

    _twin: Any

    def _clean(self, x: Any) -> dict[Any, float]:
        """An x that was checked, as columns; raises what is wrong with it."""
        raise NotImplementedError

    def _rows(self, table: _frames.Table) -> Callable[[int], dict[Any, Any]]:
        """Gives a row by its number, after all have been checked."""
        if table.matrix is None:
            return list(map(self._clean, table.rows())).__getitem__
        if table.n_rows:
            self._clean(table.row(0))  # numbers are fine, names may not be
        return table.row

    @contextlib.contextmanager
    def _all_or_nothing(self, n_names: int) -> Iterator[None]:
        """Within, the model stays as it was if anything is raised.

        What was checked is learned without fail. Only a detector or mode of the user may raise
        then, or a warning where those are errors: about a row with more names than there is room
        for.
        """
        before = self._copied() if self._may_fail(n_names) else None
        try:
            yield
        except BaseException:
            if before is not None:
                self.__setstate__(before)  # type: ignore[attr-defined]
            raise

    def _may_fail(self, n_names: int) -> bool:
        mode = getattr(self, "mode", None)
        parts = (mode, getattr(mode, "inner", None), getattr(self, "drift_detector", None))
        is_foreign = any(
            part is not None and not type(part).__module__.startswith(("builtins", _PACKAGE))
            for part in parts
        )
        budget = getattr(self, "max_features", None)
        return is_foreign or (budget is not None and n_names > budget)

    def _copied(self) -> Any:
        """A copy of the state; None if something in it cannot be copied."""
        state = self.__getstate__()
        # parameters stay the objects that they are
        memo = {id(value): value for value in self._get_params().values()}  # type: ignore[attr-defined]
        try:
            return copy.deepcopy(state, memo)
        except Exception:  # of any user's object, whatever it raises
            return None


class Blocks(CheckedRows):
    """The rows of a block: in one call of the compiled core where it can, else one by one.

    The core has a row in C and lets other threads run, for as many rows as bring nothing new: no
    new feature, no new class. Those, and everything where code of a user takes part, go one by one,
    and then the core goes on. Either way a block is the loop over its rows, bit by bit.
    """

    # of models that know no late labels
    advance_on: str = "learn"

    def predict_one(self, x: dict[Any, Any]) -> Any:
        """The prediction if x came next."""
        raise NotImplementedError

    def _foresee(self, x: Mapping[Any, Any]) -> Any:
        """The prediction if x came next; pure."""
        raise NotImplementedError

    def _check(self, y: Any) -> Any:
        """A label that was checked; raises what is wrong with it."""
        raise NotImplementedError

    def _learn(self, x: Mapping[Any, Any], y: Any, w: float) -> None:
        """Learn one sample that was checked."""
        raise NotImplementedError

    def _labels(self, y: Any, n_rows: int) -> Any:
        """The labels of a block, checked: a list or an array."""
        return [self._check(value) for value in _frames.labels(y, n_rows)]

    def _compact(self, labels: Any) -> Any:
        """Checked labels as the twin takes them."""
        return labels

    def _room(self, n_rows: int) -> Any:
        """Room for the predictions of a block."""
        return np.empty(n_rows)

    def _answered(self, answers: Any, table: _frames.Table) -> Any:
        """The predictions of a block in the form of its features."""
        return table.series(answers)

    def _checked(self, table: _frames.Table, y: Any, w: Any) -> tuple[Any, Any, Array]:
        """What gives the rows, their labels and weights; raises what is wrong with any."""
        row = self._rows(table)
        return row, self._labels(y, table.n_rows), _frames.weights(w, table.n_rows)

    def check_many(self, X: Any, y: Any, w: Any = 1.0, names: Names = None) -> None:
        """Raise what ``learn_many`` would; learns nothing."""
        self._checked(_frames.Table(X, names), y, w)

    def learn_many(self, X: Any, y: Any, w: Any = 1.0, names: Names = None) -> None:
        """Learn the rows of a block one after the other, after all have been checked.

        Equal to a loop of ``learn_one``, and several times faster where the columns are numbers:
        then the compiled core learns the block in one call, in which other threads may run. The
        model itself is for one thread at a time.

        Parameters
        ----------
        X
            A data frame of features, or a NumPy array [n, d], in the order of time.
        y
            A series, array or list of labels.
        w
            One sample weight for all rows, or one for each.
        names
            Names of the columns of an array; None names them 0 to d - 1.

        Raises
        ------
        ValueError, TypeError
            If anything in the block is wrong; nothing of it was learned then.

        Examples
        --------
        >>> import numpy as np
        >>> from river_attention import RLSRegressor
        >>> model, X = RLSRegressor(delta=1e6), np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]])
        >>> model.learn_many(X, X @ [2.0, 1.0], names=["a", "b"])
        >>> round(model.predict_one({"a": 3.0, "b": 1.0}), 2)
        7.0
        """
        table = _frames.Table(X, names)
        self._walk(table, *self._checked(table, y, w), None)

    def predict_many(self, X: Any, names: Names = None) -> Any:
        """A prediction for every row of a block, each as if that row came next.

        Parameters
        ----------
        X, names
            See ``learn_many``.

        Returns
        -------
        A series, or an array where X is one.
        """
        table = _frames.Table(X, names)
        answers = self._room(table.n_rows)
        self._foreseen(table, answers, self._ask("predict_rows"), self._foresee)
        return self._answered(answers, table)

    def predict_learn_many(self, X: Any, y: Any, w: Any = 1.0, names: Names = None) -> Any:
        """Test, then train: every row is predicted, then learned. Returns the predictions.

        Parameters
        ----------
        X, y, w, names
            See ``learn_many``.

        Returns
        -------
        A series, or an array where X is one.
        """
        table = _frames.Table(X, names)
        answers = self._room(table.n_rows)
        self._walk(table, *self._checked(table, y, w), answers)
        return self._answered(answers, table)

    def predict_learn_rows(self, rows: Sequence[tuple[Mapping[Any, Any], Any]]) -> list[Any]:
        """``predict_learn_many`` for pairs of features and label instead of a data frame."""
        batch = [self._clean(x) for x, _ in rows]
        labels = self._labels([y for _, y in rows], len(rows))
        answers = self._room(len(rows))
        with self._all_or_nothing(max(map(len, batch), default=0)):
            for i, x in enumerate(batch):
                answers[i] = self.predict_one(x)
                self._learn(x, _item(labels, i), 1.0)
        return answers if isinstance(answers, list) else answers.tolist()

    def _ask(self, name: str) -> Any:
        """A method of the twin; None if it cannot help."""
        return None if self._twin is None else getattr(self._twin, name)

    def _foreseen(
        self, table: _frames.Table, answers: Any, ask: Any, foresee: Callable[[Any], Any]
    ) -> None:
        """Answer to all rows, the state held still: by the twin's ``ask``, or one by one."""
        row, at = self._rows(table), 0
        while at < table.n_rows:
            if ask is not None and table.matrix is not None:
                start, at = at, ask(table.names, table.matrix, answers, at)
                if at == table.n_rows:
                    break
                if at == start:
                    ask = None  # nor would it later: nothing changes
            answers[at] = foresee(row(at))
            at += 1

    def _walk(
        self,
        table: _frames.Table,
        row: Callable[[int], dict[Any, Any]],
        labels: Any,
        weights: Array,
        answers: Any,
    ) -> None:
        """Learn a block that was checked, and predict every row before if there are answers."""
        compact, at = None, 0
        by_block = self._twin is not None and table.matrix is not None
        if by_block and self.advance_on == "learn":
            compact = self._compact(labels)
        with self._all_or_nothing(len(table.names)):
            while at < table.n_rows:
                if compact is not None:
                    at = self._twin.learn_rows(
                        table.names, table.matrix, compact, weights, answers, at
                    )
                    if at == table.n_rows:
                        break
                x = row(at)
                if answers is not None:
                    answers[at] = self.predict_one(x)
                self._learn(x, _item(labels, at), float(weights[at]))
                at += 1


def _item(labels: Any, i: int) -> Any:
    """A label, as a float where they are an array."""
    return float(labels[i]) if isinstance(labels, np.ndarray) else labels[i]


class Numbers:
    """Part of streams whose labels are numbers."""

    def _labels(self, y: Any, n_rows: int) -> Array:
        """The labels of a block, checked."""
        return _frames.targets(y, n_rows)
