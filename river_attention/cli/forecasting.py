"""`forecast`: learn a file, then say what comes next."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Hashable, Mapping
from typing import Any

from .. import StreamingAttentionForecaster
from . import models
from .columns import Columns, Sample
from .errors import InputError, reason
from .output import number, print_json, print_table, progress

_KNOWN_TIMES = 24


class Series:
    """One series: a forecaster, its last times, and rows at the end that have no target yet.

    Parameters
    ----------
    model
        A forecaster.
    time
        The column of the time.
    """

    def __init__(self, model: StreamingAttentionForecaster, time: str | None) -> None:
        self.model = model
        self.time = time
        self.times: list[Any] = []
        self.ahead: list[Sample] = []
        self.n_learned = 0
        self.n_bridged = 0

    def learn(self, sample: Sample, x: dict[str, Any]) -> None:
        """Take the next row; rows without a target wait, for they may be the steps ahead."""
        sample = sample._replace(x=x)
        if sample.y is None:
            self.ahead.append(sample)
            return
        for gap in self.ahead if self.n_learned else ():
            # time passes in a gap as well: what was expected stands for what is missing
            self.model.learn_one(self.model.forecast(1, [gap.x])[0], gap.x)
            self.n_bridged += 1
            self._note(gap.time)
        self.ahead = []
        self.model.learn_one(sample.y, sample.x)
        self.n_learned += 1
        self._note(sample.time)

    def _note(self, time: Any) -> None:
        self.times = [*self.times[1 - _KNOWN_TIMES :], time]

    def steps(self, horizon: int) -> tuple[list[Any], list[dict[str, Any]]]:
        """Times and features of the steps ahead, as far as they can be told."""
        times = [each.time for each in self.ahead[:horizon]]
        if self.time is not None:
            times += next_times([*self.times, *times], horizon - len(times))
        times += [None] * (horizon - len(times))
        xs = [each.x for each in self.ahead[:horizon]]
        xs += [
            {str(self.time): time} if isinstance(time, dt.date) else {} for time in times[len(xs) :]
        ]
        return times, xs

    def forecast(self, horizon: int, level: float) -> list[dict[str, Any]]:
        """What comes next: step, time where it can be told, forecast, low, high."""
        times, xs = self.steps(horizon)
        values = self.model.forecast(horizon, xs)
        intervals = self.model.forecast_interval(horizon, xs, level=level)
        return [
            {"step": i + 1, "time": time, "forecast": value, "low": low, "high": high}
            for i, (time, value, (low, high)) in enumerate(
                zip(times, values, intervals, strict=True)
            )
        ]


def next_times(times: list[Any], n: int) -> list[Any]:
    """The times after these, if they are even: equal steps, or whole months; else nothing.

    Examples
    --------
    >>> next_times([1, 3, 5], 2)
    [7, 9]
    >>> [str(day) for day in next_times([dt.date(2024, 11, 1), dt.date(2024, 12, 1)], 2)]
    ['2025-01-01', '2025-02-01']
    >>> next_times([1, 2, 4], 2)
    []
    """
    if len(times) < 2 or n <= 0:
        return []
    last = times[-1]
    pairs = list(itertools.pairwise(times))
    if isinstance(last, dt.date) and last.day <= 28:
        months = {12 * (b.year - a.year) + b.month - a.month for a, b in pairs}
        whole = len({(each.day, _clock(each)) for each in times}) == 1
        if whole and len(months) == 1 and min(months) > 0:
            step = months.pop()
            return [_months_later(last, step * (i + 1)) for i in range(n)]
    try:
        steps = {b - a for a, b in pairs}
        return [last + next(iter(steps)) * (i + 1) for i in range(n)] if len(steps) == 1 else []
    except (TypeError, OverflowError):
        return []


def _clock(time: Any) -> Any:
    return time.time() if isinstance(time, dt.datetime) else None


def _months_later(day: Any, n: int) -> Any:
    years, month = divmod(day.month - 1 + n, 12)
    return day.replace(year=day.year + years, month=month + 1)


def learned(
    columns: Columns, given: Mapping[str, Any], n_rows: int | None, quiet: bool
) -> dict[Hashable, Series]:
    """Every series of a file, learned to its end."""
    roles = columns.roles
    models.build("forecaster", given, columns.categorical)
    found: dict[Hashable, Series] = {}
    with progress(columns.source.name, columns.source.n_rows, quiet) as advance:
        for sample in itertools.islice(columns, n_rows):
            series = found.get(sample.key)
            if series is None:
                model = models.build("forecaster", given, columns.categorical)
                series = found[sample.key] = Series(model, roles.time)
            x = {name: value for name, value in sample.x.items() if name != roles.key}
            try:
                series.learn(sample, x)
            except (ValueError, TypeError) as error:
                raise InputError(f"{sample.where}: {reason(error)}") from None
            advance()
    if not any(series.n_learned for series in found.values()):
        raise InputError(f"{columns.source.name}: no row has a {roles.target!r}")
    return found


def show(
    found: Mapping[Hashable, Series],
    columns: Columns,
    *,
    horizon: int,
    level: float,
    plot: str | None,
    as_json: bool,
) -> None:
    """Print the forecasts of all series, and draw that of the first."""
    key = columns.roles.key
    for name, series in found.items():
        rows = series.forecast(horizon, level)
        if as_json:
            for row in rows:
                print_json({**({} if key is None else {key: name}), **row})
            continue
        timed = any(row["time"] is not None for row in rows)
        heading = ["step", *(["time"] if timed else []), "forecast", "low", "high"]
        cells = [
            [
                row["step"],
                *([row["time"] if row["time"] is not None else ""] if timed else []),
                *(number(row[part], 6) for part in ("forecast", "low", "high")),
            ]
            for row in rows
        ]
        what = columns.roles.target if key is None else f"{columns.roles.target} of {name}"
        title = f"{what}: after {series.n_learned:,} rows, with intervals of {level:.0%}"
        if series.n_bridged:
            title += f"; {series.n_bridged:,} missing targets bridged"
        print_table(title.replace("%", " %"), heading, cells)
    if plot is not None:
        _draw(next(iter(found.values())), horizon, level, plot)
        if not as_json:
            print(f"Picture: {plot}")


def _draw(series: Series, horizon: int, level: float, path: str) -> None:
    from ..plot import plot_forecast

    _, xs = series.steps(horizon)
    try:
        figure: Any = plot_forecast(series.model, horizon, xs, level=level).figure
        figure.savefig(path, dpi=120)
    except (ImportError, OSError, ValueError) as error:
        raise InputError(f"--plot {path}: {reason(error)}") from None
