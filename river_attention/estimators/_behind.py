"""Where forecasts are put to the test: the regressor as it was, and what came since."""

from __future__ import annotations

import copy
import math
from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.ahead import Origins
from ..moments import TINY
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
    origins
        Which rows are origins.

    Attributes
    ----------
    n_steps
        Number of rows so far.
    """

    def __init__(
        self, follower: StreamingAttentionRegressor, horizon: int, origins: Origins
    ) -> None:
        self.n_steps = 0
        self.horizon = horizon
        self.origins = origins
        self._follower: StreamingAttentionRegressor | None = follower
        self._pending: deque[Origin] = deque()
        self._waiting: deque[tuple[dict[Any, float], float]] = deque()
        self._spare: list[StreamingAttentionRegressor] = []

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_spare": []}

    @property
    def model(self) -> StreamingAttentionRegressor | None:
        """The regressor as it was where the first rows that wait came; None if none wait."""
        if self._follower is None and self._pending:
            return self._pending[0].model
        return self._follower

    def begin(self, regressor: StreamingAttentionRegressor, sizes: Array) -> Origin | None:
        """The origin before the next row, if that is one; changes nothing."""
        now, model = self.n_steps, None
        if now not in self.origins:
            return None
        if self.origins.are_sparse(now):
            if not self._spare:
                self._spare.append(copy.deepcopy(regressor))
            model = self._spare[-1]
            model.become(regressor)
        return Origin(now, sizes.copy(), model)

    def join(self, origin: Origin | None, x: dict[Any, float], y: float) -> None:
        """A row came, after the origin that began before it, or none."""
        if origin is not None:
            self._pending.append(origin)
            if origin.model is not None:
                self._spare.pop()
        if self._pending or self._follower is not None:
            self._waiting.append((x, y))
        self.n_steps += 1

    @property
    def _first(self) -> int:
        """How many rows came before the first that waits."""
        return self.n_steps - len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether as many rows wait as an origin has targets."""
        return len(self._waiting) == self.horizon

    def due(self) -> tuple[StreamingAttentionRegressor, list[dict[Any, float]], Origin] | None:
        """The origin before all rows that wait, with the regressor and the features; or none."""
        model = self.model
        if model is None or not self._pending or self._pending[0].at != self._first:
            return None
        return model, [x for x, _ in self._waiting], self._pending[0]

    def move_on(self) -> None:
        """What the first row waited for is done."""
        if self._pending and self._pending[0].at == self._first:
            model = self._pending.popleft().model
            if model is not None:
                self._spare.append(model)
        if self._follower is not None:
            if not self.origins.are_sparse(self._first + 1):
                self._follower.learn_one(*self._waiting.popleft())
                return
            self._spare.append(self._follower)
            self._follower = None
        needed = self.n_steps - self._pending[0].at if self._pending else 0
        while len(self._waiting) > needed:
            self._waiting.popleft()

    def transfer(self, io: Writer, *arguments: Any) -> None:
        (regressor,) = arguments
        self.n_steps = n = io.integer("n_steps", self.n_steps)
        first = max(0, n - self.horizon + 1)
        follows = not self.origins.are_sparse(first)
        pending = [at for at in range(first, n) if at in self.origins]
        if not follows:
            first = pending[0] if pending else n
        sizes = np.array([origin.sizes for origin in self._pending]).reshape(-1, self.horizon)
        sizes = io.array("sizes", sizes, len(pending), self.horizon, low=TINY)
        names = list(dict.fromkeys(name for x, _ in self._waiting for name in x))
        rows = np.array([[x.get(name, math.nan) for name in names] for x, _ in self._waiting])
        y = io.array("waiting.y", np.array([y for _, y in self._waiting]), n - first)
        rows = rows.reshape(len(self._waiting), len(names))
        names = io.names("waiting.names", names)
        rows = io.array("waiting.x", rows, n - first, len(names), finite=False)
        model = io.child("behind", self.model or regressor) if follows or pending else None
        if io.reading:
            # what is missing is absent
            self._waiting = deque(
                ({k: v for k, v in zip(names, x, strict=True) if math.isfinite(v)}, target)
                for x, target in zip(rows.tolist(), y.tolist(), strict=True)
            )
            self._spare = []
            self._follower = model if follows else None
            self._pending = deque()
            if model is not None:
                self._catch_up(copy.deepcopy(model), pending, sizes)

    def _catch_up(
        self, model: StreamingAttentionRegressor, pending: list[int], sizes: Array
    ) -> None:
        """Let a regressor come by all origins, and leave copies where there must be some."""
        at, rows = self._first, iter(self._waiting)
        for origin, size in zip(pending, sizes, strict=True):
            sparse = self.origins.are_sparse(origin)
            while sparse and at < origin:
                model.learn_one(*next(rows))
                at += 1
            self._pending.append(Origin(origin, size, copy.deepcopy(model) if sparse else None))
