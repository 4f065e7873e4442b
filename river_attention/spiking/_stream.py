r"""The walk of a stream whose memory is a population, with rows that come at any time.

.. math::  \Delta t_t = \max\big((x_{t,\text{time}} - \text{now}_{t-1}) / \text{time\_step},\ 0\big)

in steps, one where there is no time before or none now. A row steps the population by Δt: what
silent steps in between would have done is done at once (:mod:`river_attention.spiking.neuron`).
Encoder, moments, lags and readouts count rows, not time.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

import numpy as np

from .._validation import LIMIT, check_number
from ..encoding import Encoded
from ..estimators._stream import Stream
from ..layers import Memory, Retrieval
from ..values import as_date, to_number
from .firing import Firing
from .population import Population

NAME = "spiking"
"""The population among the memories."""


def moment(name: Hashable, value: Any) -> float:
    """A time as a number: seconds since 1970 for dates, NaN where it is missing.

    Dates without a time zone count as UTC.

    Examples
    --------
    >>> import datetime as dt
    >>> moment("t", 12), moment("t", dt.date(1970, 1, 2)), moment("t", None)
    (12.0, 86400.0, nan)
    """
    when = as_date(value)
    if when is None:
        is_date = isinstance(value, (np.datetime64, dt.date))
        return math.nan if is_date else to_number(name, value)
    if not isinstance(when, dt.datetime):
        when = dt.datetime(when.year, when.month, when.day)
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return when.timestamp()


class OnPopulation(Stream):
    """Part of estimators with a population in the place of heads and bank."""

    _sizes: ClassVar[tuple[str, ...]] = ("n_neurons", "n_lags", "long_lags")

    n_neurons: int
    dim: int
    window_size: int
    lambda_decay: float | None
    threshold: float
    global_weight: float
    trace_steps: float
    target_rate: float | None
    threshold_rate: float
    time: Hashable | None
    time_step: float
    categorical: tuple[Hashable, ...] | None

    def _memories(self, seed: int, retrieval: type[Retrieval]) -> dict[str, Memory]:
        self._check_time()
        memories: dict[str, Memory] = super()._memories(seed, retrieval)
        memories[NAME] = Population(
            self.n_neurons,
            self.dim,
            self.window_size,
            self.lambda_decay,
            self.threshold,
            self.global_weight,
            self.trace_steps,
            self.target_rate,
            self.threshold_rate,
            seed=seed,
        )
        return memories

    def _check_time(self) -> None:
        check_number("time_step", self.time_step, above=0.0)
        try:
            is_category = self.time in (self.categorical or ())
            hash(self.time)
        except TypeError:
            raise ValueError(f"time={self.time!r}: must be the name of a feature or None") from None
        if is_category:
            raise ValueError(
                f"time={self.time!r}: is named in categorical={self.categorical!r}, but a time is "
                "a number or a date; take it out there"
            )

    @property
    def firing_(self) -> Firing:
        """State of the population: potentials, spikes, traces, thresholds, slots and window."""
        # it has no other home, whoever holds the rest of the state
        firing: Firing = self._names().states[NAME]
        return firing

    def _keep(self, task: Any) -> None:
        super()._keep(task)
        if self.time is not None and self._twin is not None:
            # in C a step does not know when it is
            self._plain, self._twin = self._twin.release(), None

    def _clean(self, x: Any) -> dict[Any, float]:
        cleaned = super()._clean(x)
        if self.time is not None and self.time in x:
            # a date leaves nothing but its calendar
            cleaned[self.time] = moment(self.time, x[self.time])
        return cleaned

    def _given(self, x: Mapping[Any, Any]) -> Mapping[Any, Any]:
        """What of x are features: not the time, unless it is a date, which has a calendar."""
        if self.time is None or not isinstance(x, Mapping) or self.time not in x:
            return x
        if as_date(x[self.time]) is not None:
            return x
        return {name: value for name, value in x.items() if name != self.time}

    def _encode(self, x: Mapping[Any, Any]) -> Encoded:
        return super()._encode(self._given(x))

    def _step(self, x: Mapping[Any, Any]) -> Any:
        if self.time is None:
            return super()._step(x)
        now = math.nan
        if isinstance(x, Mapping) and self.time in x:
            now = moment(self.time, x[self.time]) / self.time_step
            now = min(max(now, -LIMIT), LIMIT) if now == now else now
        states = self._names().states
        firing: Firing = states[NAME]
        waited = firing if math.isnan(now) else firing.until(now)
        if self._memo is not None:
            # the memo is that of the same values, maybe at another time
            before: Firing | None = self._memo.transition.proposals[NAME][0]
            then = firing.now if before is None else before.now
            if (before is None) != (waited is firing) or then != waited.now:
                self._memo = None
        states[NAME] = waited
        try:
            return super()._step(x)
        finally:
            states[NAME] = firing
