"""Predictions, intervals and forecasts beside the truth, and errors over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._figure import axes_for
from .._validation import LIMIT, check_int

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

TRUTH = {"color": "black", "linewidth": 1.6, "label": "truth", "zorder": 3}
BAND = "#1f77b4"
MISSED = "#d62728"


def numbers(name: str, values: Any, n: int | None = None) -> Array:
    """Values as an array [n], or ``ValueError`` with their name."""
    found = np.asarray(list(values) if not isinstance(values, np.ndarray) else values, np.float64)
    if found.ndim != 1:
        raise ValueError(f"{name}: must be one number for each row, not of shape {found.shape}")
    if n is not None and len(found) != n:
        raise ValueError(f"{name}: has {len(found)} rows, the truth has {n}")
    # beyond, the width of an axis is no number any more
    return np.clip(found, -LIMIT, LIMIT)


def _row_numbers(rows: Any, n: int) -> Array:
    return np.arange(n, dtype=np.float64) if rows is None else numbers("rows", rows, n)


def _by_name(y_pred: Any, n: int) -> dict[str, Array]:
    """Predictions by the names of their models."""
    if not isinstance(y_pred, Mapping):
        y_pred = {"prediction": y_pred}
    return {str(name): numbers(str(name), values, n) for name, values in y_pred.items()}


def _limit(ax: Any, *shown: Array) -> None:
    """One wild prediction must not flatten everything else."""
    finite = np.concatenate([values[np.isfinite(values)] for values in shown])
    if len(finite):
        low, high = float(finite.min()), float(finite.max())
        margin = 0.25 * (high - low) or 1.0
        ax.set_ylim(low - margin, high + margin)


def plot_predictions(
    y_true: Any, y_pred: Any, *, last: int | None = None, rows: Any = None, ax: Any = None
) -> Axes:
    """Draw predictions over the truth.

    Parameters
    ----------
    y_true
        Targets [n].
    y_pred
        Predictions [n], or those of several models by name.
    last
        Only so many rows, the last ones; None for all.
    rows
        The numbers of the rows [n]; None counts from 0.
    ax
        Where to draw; None for new axes.

    Examples
    --------
    >>> from river_attention.plot import plot_predictions
    >>> ax = plot_predictions([1.0, 2.0, 3.0], {"ours": [1.0, 1.9, 3.2]}, last=2)
    >>> [(line.get_label(), line.get_ydata().tolist()) for line in ax.lines]
    [('truth', [2.0, 3.0]), ('ours', [1.9, 3.2])]
    """
    truth = numbers("y_true", y_true)
    predictions = _by_name(y_pred, len(truth))
    numbered = _row_numbers(rows, len(truth))
    shown = slice(0 if last is None else max(len(truth) - check_int("last", last, 1), 0), None)
    ax = axes_for(ax)
    ax.plot(numbered[shown], truth[shown], **TRUTH)
    for name, values in predictions.items():
        ax.plot(numbered[shown], values[shown], linewidth=1.2, label=name)
    _limit(ax, truth[shown])
    ax.set(xlabel="row", ylabel="target")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return ax


def rolling_mean(values: Array, window: int) -> Array:
    """Mean of every ``window`` values in a row [n - window + 1].

    Examples
    --------
    >>> rolling_mean(np.array([1.0, 3.0, 5.0]), 2).tolist()
    [2.0, 4.0]
    """
    sums = np.cumsum(np.concatenate(([0.0], values)))
    return (sums[window:] - sums[:-window]) / window


def plot_rolling_error(
    y_true: Any,
    y_pred: Any,
    *,
    window: int | None = None,
    log: bool = False,
    ax: Any = None,
) -> Axes:
    """Draw the mean absolute error of the last ``window`` rows, over time.

    Parameters
    ----------
    y_true
        Targets [n].
    y_pred
        Predictions [n], or those of several models by name.
    window
        Number of rows of a mean; None for a sixth of all rows, at most 100.
    log
        Whether the errors have a logarithmic axis.
    ax
        Where to draw; None for new axes.

    Examples
    --------
    >>> from river_attention.plot import plot_rolling_error
    >>> ax = plot_rolling_error([1.0, 2.0, 4.0], [1.0, 1.0, 1.0], window=2)
    >>> ax.lines[0].get_xdata().tolist(), ax.lines[0].get_ydata().tolist()
    ([2, 3], [0.5, 2.0])
    """
    truth = numbers("y_true", y_true)
    predictions = _by_name(y_pred, len(truth))
    n = len(truth)
    width = max(1, min(100, n // 6)) if window is None else min(check_int("window", window, 1), n)
    ax = axes_for(ax)
    for name, values in predictions.items():
        errors = rolling_mean(np.abs(truth - values), width) if n else np.zeros(0)
        ax.plot(np.arange(width, width + len(errors)), errors, linewidth=1.2, label=name)
    if log:
        _log_axis(ax)
    title = f"mean absolute error of the last {width} rows"
    ax.set(title=title, xlabel="row", ylabel="MAE (log scale)" if log else "MAE")
    ax.grid(alpha=0.3, which="both")
    ax.legend(frameon=False)
    return ax


def _log_axis(ax: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set_yscale("log")
    # The errors of one stream often stay within a decade: 0.1, 0.2, 0.5 rather than powers of ten.
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def plot_intervals(
    y_true: Any,
    intervals: Any,
    y_pred: Any = None,
    *,
    last: int | None = None,
    rows: Any = None,
    ax: Any = None,
) -> Axes:
    """Draw intervals, the truth, and mark what lies outside. The title says how much lies inside.

    Parameters
    ----------
    y_true
        Targets [n].
    intervals
        What ``predict_interval_one`` said of each: pairs (low, high), or an array [n, 2].
    y_pred
        Predictions [n]; None if they are not to be drawn.
    last
        Only so many rows, the last ones; None for all. The title counts all rows.
    rows
        The numbers of the rows [n]; None counts from 0.
    ax
        Where to draw; None for new axes.

    Examples
    --------
    >>> from river_attention.plot import plot_intervals
    >>> ax = plot_intervals([1.0, 2.0, 9.0], [(0, 2), (1, 3), (2, 4)])
    >>> ax.get_title(), ax.lines[-1].get_xdata().tolist()
    ('67 % of 3 targets inside', [2.0])
    """
    truth = numbers("y_true", y_true)
    band = np.clip(np.asarray(intervals, np.float64).reshape(-1, 2), -LIMIT, LIMIT)
    if len(band) != len(truth):
        raise ValueError(f"intervals: are {len(band)}, the truth has {len(truth)} rows")
    inside = (band[:, 0] <= truth) & (truth <= band[:, 1])
    numbered = _row_numbers(rows, len(truth))
    start = 0 if last is None else max(len(truth) - check_int("last", last, 1), 0)
    ax = axes_for(ax)
    at, low, high = numbered[start:], band[start:, 0], band[start:, 1]
    ax.fill_between(at, low, high, color=BAND, alpha=0.25, linewidth=0.0, label="interval")
    if y_pred is not None:
        predictions = numbers("y_pred", y_pred, len(truth))
        ax.plot(at, predictions[start:], color=BAND, linewidth=1.0, label="prediction")
    ax.plot(at, truth[start:], **TRUTH)
    missed = ~inside[start:]
    style = {"color": MISSED, "linestyle": "", "marker": "o", "markersize": 4, "zorder": 4}
    ax.plot(at[missed], truth[start:][missed], label="outside", **style)
    _limit(ax, truth[start:])
    if len(truth):
        ax.set_title(f"{inside.mean():.0%} of {len(truth)} targets inside".replace("%", " %"))
    ax.set(xlabel="row", ylabel="target")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return ax


def plot_forecast(
    model: Any,
    horizon: int | None = None,
    xs: Iterable[Mapping[Any, Any] | None] | None = None,
    *,
    level: float | None = 0.9,
    past: int = 60,
    y_true: Sequence[float] | None = None,
    ax: Any = None,
) -> Axes:
    """Draw the last targets that a forecaster has seen, and what it says comes next.

    Parameters
    ----------
    model
        A :class:`river_attention.StreamingAttentionForecaster`; stays as it is.
    horizon
        Number of steps ahead; None for that of the model.
    xs
        Features of the steps ahead, as ``forecast`` takes them.
    level
        Level of the intervals; None for none.
    past
        The largest number of past targets. The model knows as many as it looks back on.
    y_true
        What did come next, as far as it is known.
    ax
        Where to draw; None for new axes.

    Examples
    --------
    >>> from river_attention import StreamingAttentionForecaster
    >>> from river_attention.plot import plot_forecast
    >>> model = StreamingAttentionForecaster(horizon=3)
    >>> for t in range(30):
    ...     model.learn_one(float(t % 3))
    >>> ax = plot_forecast(model, past=10)
    >>> [line.get_xdata().tolist() for line in ax.lines]
    [[-9, -8, -7, -6, -5, -4, -3, -2, -1, 0], [1, 2, 3]]
    """
    n = model.horizon if horizon is None else check_int("horizon", horizon, 1)
    known = None if xs is None else list(xs)
    forecast = numbers("forecast", model.forecast(n, known))
    before = model.past_[-check_int("past", past, 1) :]
    ahead = np.arange(1, n + 1)
    ax = axes_for(ax)
    ax.plot(np.arange(1 - len(before), 1), before, **TRUTH)
    if level is not None:
        band = np.clip(model.forecast_interval(n, known, level=level), -LIMIT, LIMIT)
        name = f"{level:.0%} interval".replace("%", " %")
        ax.fill_between(
            ahead, band[:, 0], band[:, 1], color=BAND, alpha=0.25, linewidth=0.0, label=name
        )
    ax.plot(ahead, forecast, color=BAND, linewidth=1.6, marker="o", markersize=3, label="forecast")
    if y_true is not None:
        came = numbers("y_true", y_true)[:n]
        ax.plot(ahead[: len(came)], came, **{**TRUTH, "label": "what came", "linestyle": "--"})
    ax.axvspan(0.5, n + 0.5, color="grey", alpha=0.08, linewidth=0.0)
    ax.set(xlabel="steps from the last target", ylabel="target")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return ax
