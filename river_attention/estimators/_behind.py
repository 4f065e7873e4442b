"""Where forecasts are put to the test: the regressor as it was, and what came since."""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.ahead import Origins
from ..layers.window import Ring
from ..moments import TINY
from ..naming import canonical_name
from ..state import Stateful, Writer
from .regressor import StreamingAttentionRegressor

Array = NDArray[np.float64]


class Origin(NamedTuple):
    """A step whose forecasts wait for their targets.

    Attributes
    ----------
    at
        How many rows came before it.
    sizes
        How large errors were expected to be [horizon].
    model
        The regressor as it was; None while one follows that will come by.
    """

    at: int
    sizes: Array
    model: StreamingAttentionRegressor | None


class Due(NamedTuple):
    """An origin with its last target.

    Attributes
    ----------
    model
        The regressor as it was.
    xs
        The features since [horizon].
    targets
        All targets that are known, those since last.
    origin
        The origin.
    """

    model: StreamingAttentionRegressor
    xs: list[dict[Any, float]]
    targets: Array
    origin: Origin


class Now(NamedTuple):
    """What waits; replaced as a whole, so that no interrupt finds half of it.

    Attributes
    ----------
    first
        How many rows came before the first that waits.
    rows
        The features and targets since.
    pending
        The origins among them.
    follower
        The regressor as it was before the first row, while one follows.
    """

    first: int
    rows: tuple[tuple[dict[Any, float], float], ...]
    pending: tuple[Origin, ...]
    follower: StreamingAttentionRegressor | None


class Behind(Stateful):
    """Origins whose targets have not all come, with the rows since the first of them.

    As long as origins are dense one regressor follows ``horizon`` rows behind and learns what came.
    Between sparse ones there is more to learn than to copy: the regressor is copied at each of
    them, and the copies of origins that are done are used again.

    Parameters
    ----------
    follower
        A regressor that knows nothing yet.
    horizon
        How many targets an origin waits for.
    reach
        How many targets are kept.
    origins
        Which rows are origins.

    Attributes
    ----------
    past
        The targets so far, as a ring with the field "y".
    """

    def __init__(
        self, follower: StreamingAttentionRegressor, horizon: int, reach: int, origins: Origins
    ) -> None:
        self.horizon = horizon
        self.origins = origins
        self.past = Ring(reach, y=())
        self._now = Now(0, (), (), follower)
        self._spare: list[StreamingAttentionRegressor] = []

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_spare": []}

    @property
    def n_steps(self) -> int:
        """Number of rows so far."""
        return self.past.n_appended

    @property
    def model(self) -> StreamingAttentionRegressor | None:
        """The regressor as it was where the first rows that wait came; None if none wait."""
        _, _, pending, follower = self._now
        if follower is None and pending:
            return pending[0].model
        return follower

    def begin(self, regressor: StreamingAttentionRegressor, sizes: Array) -> Origin | None:
        """The origin before the next row, if that is one; changes nothing that counts."""
        at, now, model = self.past.n_appended, self._now, None
        if now.first + len(now.rows) != at:
            self._begin_again(regressor)
        if at not in self.origins:
            return None
        if self.origins.are_sparse(at):
            if not self._spare:
                self._spare.append(copy.deepcopy(regressor))
            model = self._spare[-1]
            model._become(regressor)
        return Origin(at, sizes.copy(), model)

    def _begin_again(self, regressor: StreamingAttentionRegressor) -> None:
        """Nothing waits here: an interrupt came in between a row and its place."""
        follows = not self.origins.are_sparse(self.n_steps)
        self._now = Now(self.n_steps, (), (), copy.deepcopy(regressor) if follows else None)
        self._spare = []

    def due(self, origin: Origin | None, x: dict[Any, float], y: float) -> Due | None:
        """What the next row is the last target of, the origin before it among them; or nothing."""
        first, rows, pending, follower = self._now
        if len(rows) + 1 < self.horizon:
            return None
        if origin is not None:
            pending = (*pending, origin)
        if not pending or pending[0].at != first:
            return None
        model = pending[0].model or follower
        if model is None:
            return None
        rows = (*rows, (x, y))
        targets = np.append(self.past["y"], y)
        return Due(model, [x for x, _ in rows], targets, pending[0])

    def check(self, regressor: StreamingAttentionRegressor, x: dict[Any, float]) -> None:
        """Raise what code of a user would raise where a row is learned; changes nothing."""
        _try(regressor, x)
        _, rows, _, follower = self._now
        if follower is not None and len(rows) + 1 >= self.horizon:
            _try(follower, rows[0][0] if rows else x)

    def join(self, origin: Origin | None, x: dict[Any, float], y: float) -> None:
        """A row came, after the origin that began before it, or none."""
        first, rows, pending, follower = self._now
        done: list[StreamingAttentionRegressor] = []
        if origin is not None:
            pending = (*pending, origin)
            if origin.model is not None:
                self._spare.pop()
        if pending or follower is not None:
            rows = (*rows, (x, y))
        if len(rows) == self.horizon:
            if pending and pending[0].at == first:
                if pending[0].model is not None:
                    done.append(pending[0].model)
                pending = pending[1:]
            if follower is not None and self.origins.are_sparse(first + 1):
                done.append(follower)
                follower = None
            if follower is not None:
                follower.learn_one(*rows[0])
                rows = rows[1:]
            else:
                needed = self.n_steps + 1 - pending[0].at if pending else 0
                rows = rows[len(rows) - needed :]
        self.past.append(y=y)
        self._now = Now(self.past.n_appended - len(rows), rows, pending, follower)
        if done:
            self._spare += done

    def transfer(self, io: Writer, *arguments: Any) -> None:
        (regressor,) = arguments
        if self._now.first + len(self._now.rows) != self.n_steps and not io.reading:
            self._begin_again(regressor)
        first, waiting, origins, _ = self._now
        self.past = io.child("past", self.past)
        n = self.n_steps
        io.check(self.past.n == min(n, self.past.capacity), f"past has {self.past.n} targets")
        first = io.integer("first", first)
        io.check(first <= n and n - first < self.horizon, f"first={first}: of {n} rows")
        follows = not self.origins.are_sparse(first)
        pending = [at for at in range(first, n) if at in self.origins]
        io.check(follows or first == min([*pending, n]), f"first={first}: no origin")
        sizes = np.array([origin.sizes for origin in origins]).reshape(-1, self.horizon)
        sizes = io.array("sizes", sizes, len(pending), self.horizon, low=TINY)
        names = sorted({name for x, _ in waiting for name in x}, key=canonical_name)
        rows = np.array([[x.get(name, math.nan) for name in names] for x, _ in waiting])
        y = io.array("waiting.y", np.array([y for _, y in waiting]), n - first)
        rows = rows.reshape(len(waiting), len(names))
        names = io.names("waiting.names", names)
        rows = io.array("waiting.x", rows, n - first, len(names), finite=False)
        model = io.child("behind", self.model or regressor) if follows or pending else None
        if io.reading:
            # what is missing is absent
            known = tuple(
                ({k: v for k, v in zip(names, x, strict=True) if math.isfinite(v)}, target)
                for x, target in zip(rows.tolist(), y.tolist(), strict=True)
            )
            self._spare = []
            found = self._catch_up(copy.deepcopy(model), first, known, pending, sizes)
            self._now = Now(first, known, found, model if follows else None)

    def _catch_up(
        self,
        model: StreamingAttentionRegressor | None,
        at: int,
        rows: tuple[tuple[dict[Any, float], float], ...],
        pending: list[int],
        sizes: Array,
    ) -> tuple[Origin, ...]:
        """Let a regressor come by all origins, and leave copies where there must be some."""
        found, left = [], iter(rows)
        for origin, size in zip(pending, sizes, strict=True):
            sparse = self.origins.are_sparse(origin)
            while model is not None and sparse and at < origin:
                model.learn_one(*next(left))
                at += 1
            found.append(Origin(origin, size, copy.deepcopy(model) if sparse else None))
        return tuple(found)


def _try(model: StreamingAttentionRegressor, x: dict[Any, float]) -> None:
    """Make the step that x will be learned with, unless no code of a user is in it."""
    if model._twin is None or not model._twin.is_alone:
        model.predict_one(x)
