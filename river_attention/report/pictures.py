"""The pictures of the report, each a figure; None where there is nothing to draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import plot
from .._figure import new_figure
from ..plot.errors import rolling_mean
from .watch import MAIN_LEVEL, ClassWatch, Look, NumberWatch, Watch

SMOOTHED = 16
"""How many buckets a mean over time is taken of."""

_MOST_LINES = 12
_OURS = "#d62728"
_OTHERS = ("#e377c2", "#7f7f7f", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b")


def _looks(watch: Watch) -> list[tuple[int, Look]]:
    """What the model was like, with the numbers of the rows."""
    return list(zip(watch.looks.rows, watch.looks.items, strict=True))


def predictions(watch: NumberWatch) -> Any:
    """The last rows, and predictions over truth for a sample of all."""
    figure = new_figure(11.0, 3.8)
    left, right = figure.subplots(1, 2, width_ratios=(2.2, 1.0))
    rows, truth, answers, _ = zip(*watch.last, strict=True)
    ours = {watch.main: [each[watch.main] for each in answers]}
    plot.plot_predictions(truth, ours, rows=rows, ax=left)
    pairs = np.array(watch.sampled.values)
    right.plot(pairs[:, 0], pairs[:, 1], ".", markersize=3, alpha=0.5)
    ends = [float(pairs[:, 0].min()), float(pairs[:, 0].max())]
    right.plot(ends, ends, color="black", linewidth=0.8)
    right.set(xlabel="truth", ylabel="prediction")
    right.grid(alpha=0.3)
    return figure


def rolling(watch: Watch) -> Any:
    """Errors over time, of all models."""
    figure = new_figure(11.0, 3.6)
    ax = figure.subplots()
    for i, (name, means) in enumerate(watch.rolling.items()):
        style: dict[str, Any] = {"linewidth": 0.9, "color": _OTHERS[i % len(_OTHERS)]}
        if name == watch.main:
            style = {"linewidth": 1.8, "color": _OURS, "zorder": 4}
        width = min(SMOOTHED, len(means.rows()))
        ax.plot(means.rows()[width - 1 :], rolling_mean(means.means(), width), label=name, **style)
    numbers = isinstance(watch, NumberWatch)
    ax.set(xlabel="labelled row", ylabel="mean absolute error" if numbers else "accuracy")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return figure


def experts(watch: Watch) -> Any:
    """Shares of the experts over time."""
    looked = [(row, each.experts) for row, each in _looks(watch) if each.experts]
    if not looked:
        return None
    rows, shares = zip(*looked, strict=True)
    figure = new_figure(11.0, 3.6)
    plot.plot_expert_weights(shares, rows=rows, ax=figure.subplots())
    return figure


def retrieval(watch: Watch) -> Any:
    """What retrieval looks back to, at the end and over time."""
    rows = [(row, ago, share) for row, each in _looks(watch) for ago, share in each.retrieved]
    if not rows:
        return None
    figure = new_figure(11.0, 5.0)
    above, below = figure.subplots(2, 1)
    plot.plot_retrieval(watch.inside, ax=above)
    at, ago, share = np.array(rows).T
    below.scatter(at, ago, s=60.0 * share, alpha=0.6, linewidths=0.0)
    below.set(xlabel="row", ylabel="labelled steps ago")
    below.grid(alpha=0.3)
    return figure


def memory(watch: Watch) -> Any:
    """Norms of the states, at the end and over time."""
    looked = [(row, each.norms) for row, each in _looks(watch) if each.norms]
    if not looked:
        return None
    figure = new_figure(11.0, 6.0)
    above, below = figure.subplots(2, 1)
    plot.plot_memory(watch.inside, ax=above)
    rows, norms = zip(*looked, strict=True)
    parts = norms[-1]
    # heads or neurons each for itself, the many units of a bank are in the picture above
    shown = [i for i, each in enumerate(parts) if not each.part.startswith("bank")] or [
        *range(len(parts))
    ]
    for i in shown[:_MOST_LINES]:
        tau = parts[i].time_constant
        label = parts[i].part + ("" if tau is None else f", τ = {tau:.3g}")
        below.plot(rows, [each[i].norm for each in norms], label=label)
    below.set(xlabel="row", ylabel="norm of the state")
    below.grid(alpha=0.3)
    below.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def intervals(watch: NumberWatch) -> Any:
    """The last intervals, and how many targets were inside over time."""
    figure = new_figure(11.0, 3.8)
    left, right = figure.subplots(1, 2, width_ratios=(2.2, 1.0))
    last = [each for each in watch.last if each[3] is not None]
    plot.plot_intervals(
        [y for _, y, _, _ in last],
        [interval for _, _, _, interval in last],
        [answers[watch.main] for _, _, answers, _ in last],
        rows=[row for row, _, _, _ in last],
        ax=left,
    )
    rows, width = watch.coverage.rows(), min(SMOOTHED, len(watch.coverage.rows()))
    right.plot(rows[width - 1 :], rolling_mean(watch.coverage.means(), width), linewidth=1.0)
    right.axhline(MAIN_LEVEL, color="black", linewidth=0.8, linestyle="--")
    right.set(xlabel="labelled row", ylabel="share inside 90 %", ylim=(0.0, 1.02))
    right.grid(alpha=0.3)
    return figure


def residuals(watch: NumberWatch) -> Any:
    """How errors are distributed, and whether they hang together."""
    figure = new_figure(11.0, 3.4)
    left, right = figure.subplots(1, 2)
    pairs = np.array(watch.sampled.values)
    errors = pairs[:, 0] - pairs[:, 1]
    low, high = np.quantile(errors, (0.005, 0.995))
    # wide enough to be cut into bins, even where all errors are the same
    narrowest = max(1e-6 * max(abs(low), abs(high)), 1e-200)
    edges = 0.5 * (low + high) + np.linspace(-0.5, 0.5, 42) * max(high - low, narrowest)
    left.hist(np.clip(errors, low, high), bins=edges, color="#1f77b4")
    left.set(xlabel="truth minus prediction (the outer hundredth at the edge)", ylabel="rows")
    lags, together = autocorrelation(np.array(watch.residuals))
    right.bar(lags, together, color="#1f77b4")
    band = 1.96 / np.sqrt(len(watch.residuals))
    right.axhspan(-band, band, color="grey", alpha=0.2)
    right.set(xlabel="rows apart", ylabel="autocorrelation")
    right.grid(alpha=0.3)
    return figure


def autocorrelation(errors: Any, n_lags: int = 24) -> tuple[Any, Any]:
    """The lags and the autocorrelation at each, of errors without their mean.

    Examples
    --------
    >>> lags, together = autocorrelation(np.array([1.0, -1.0] * 50), 2)
    >>> lags.tolist(), together.round(2).tolist()
    ([1, 2], [-0.99, 0.98])
    """
    lags = np.arange(1, max(1, min(n_lags, len(errors) - 1)) + 1)
    scale = float(np.abs(errors).max(initial=0.0)) or 1.0
    centred = errors / scale - np.mean(errors / scale)
    total = float(centred @ centred) or 1.0
    return lags, np.array([float(centred[lag:] @ centred[:-lag]) / total for lag in lags])


def classes(watch: ClassWatch) -> Any:
    """The confusion matrix, and how probable what was right."""
    figure = new_figure(11.0, 4.2)
    left, right = figure.subplots(1, 2)
    labels = [label for label, _ in watch.frequencies.most_common()]
    predicted = list(dict.fromkeys([*labels, *(best for _, best in watch.confusion)]))
    known = [*labels, *(["others"] if any(y == "others" for y, _ in watch.confusion) else [])]
    known = list(dict.fromkeys(known))
    counts = np.array([[watch.confusion[y, best] for best in predicted] for y in known], float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    image = left.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    left.set_yticks(range(len(known)), [f"{label!s:.16}" for label in known])
    left.set_xticks(range(len(predicted)), [f"{label!s:.16}" for label in predicted], rotation=90)
    left.set(xlabel="predicted", ylabel="came")
    figure.colorbar(image, ax=left, label="share of those that came")
    filled = watch.bins[watch.bins[:, 0] > 0]
    right.plot(filled[:, 1] / filled[:, 0], filled[:, 2] / filled[:, 0], "o-")
    right.plot([0.0, 1.0], [0.0, 1.0], color="black", linewidth=0.8)
    right.set(xlabel="probability of the predicted class", ylabel="share that was right")
    right.grid(alpha=0.3)
    return figure
