"""Pictures of a search, for people who have matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._figure import new_figure
from .scores import Curve

_WIDEST_LABEL = 24


def draw(
    results: dict[str, Any],
    curves: list[Curve],
    best: int,
    metric: str,
    param: str | None,
    n_curves: int,
) -> Any:
    """Scores against a parameter on the left, recent scores over time on the right."""
    figure = new_figure(12, 4.5)
    names = [key.removeprefix("param_") for key in results if key.startswith("param_")]
    if param is not None and param not in names:
        raise ValueError(f"param={param!r}: must be one of {', '.join(names)}")
    shown = param or max(names, key=lambda name: _spread(results, name), default=None)
    left, right = figure.subplots(1, 2)
    if shown is not None:
        _draw_scores(left, results, shown, best)
        left.set(xlabel=shown, ylabel=metric, title=f"score against {shown}")
        left.grid(alpha=0.3)
    _draw_curves(right, results, curves, n_curves)
    right.set(xlabel="row", ylabel=metric, title="recent score of the best candidates")
    right.grid(alpha=0.3)
    return figure


def _values(results: dict[str, Any], name: str) -> list[Any]:
    """The values of a parameter; None where a candidate does not have it."""
    column = results[f"param_{name}"]
    return [
        None if masked else value for value, masked in zip(column.data, column.mask, strict=True)
    ]


def _levels(values: list[Any]) -> list[Any]:
    """Values that differ, in order."""
    levels: list[Any] = []
    for value in values:
        if not any(value is other or value == other for other in levels):
            levels.append(value)
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in levels):
        levels.sort()
    return levels


def _by_level(results: dict[str, Any], name: str) -> tuple[list[Any], list[list[int]]]:
    """The values of a parameter, and which candidates with a score have each."""
    values = _values(results, name)
    levels = _levels(values)
    scored = np.isfinite(results["mean_test_score"])
    members = [
        [i for i, v in enumerate(values) if scored[i] and (v is level or v == level)]
        for level in levels
    ]
    return levels, members


def _spread(results: dict[str, Any], name: str) -> float:
    """How much the median score of its values differs, for the parameter that matters most."""
    _, members = _by_level(results, name)
    medians = [np.median(results["mean_test_score"][m]) for m in members if m]
    return float(max(medians) - min(medians)) if medians else 0.0


def _draw_scores(axes: Any, results: dict[str, Any], name: str, best: int) -> None:
    levels, members = _by_level(results, name)
    scores = results["mean_test_score"]
    n_rows = results["n_rows"]
    for at, those in enumerate(members):
        # those that saw all rows stand out: others have scores of a part of the stream
        for complete, colour in ((True, "#1f77b4"), (False, "#bbbbbb")):
            chosen = [i for i in those if (n_rows[i] == n_rows.max()) == complete]
            spread = np.linspace(-0.15, 0.15, len(chosen)) if len(chosen) > 1 else np.zeros(1)
            axes.scatter(at + spread[: len(chosen)], scores[chosen], s=18, color=colour)
    medians = [np.median(scores[those]) if those else np.nan for those in members]
    axes.plot(range(len(levels)), medians, color="#1f77b4", alpha=0.5, label="median")
    for at, those in enumerate(members):
        if best in those:
            axes.scatter(
                [at], scores[[best]], s=90, marker="*", color="#d62728", label="best", zorder=3
            )
    labels = [_short(level) for level in levels]
    slanted = sum(map(len, labels)) > 60
    axes.set_xticks(
        range(len(levels)),
        labels,
        rotation=30 if slanted else 0,
        ha="right" if slanted else "center",
    )
    axes.legend()


def _draw_curves(axes: Any, results: dict[str, Any], curves: list[Curve], n_curves: int) -> None:
    order = np.argsort(results["rank_test_score"], kind="stable")
    varied = [
        key.removeprefix("param_")
        for key in results
        if key.startswith("param_")
        and len(_levels(_values(results, key.removeprefix("param_")))) > 1
    ]
    for place, i in enumerate(order[:n_curves].tolist()):
        curve, params = curves[i], results["params"][i]
        label = ", ".join(f"{name}={_short(params[name])}" for name in varied if name in params)
        first = {"color": "#d62728", "zorder": 3} if place == 0 else {"alpha": 0.6}
        axes.plot(
            curve.rows, curve.recent, linewidth=1.5 if place == 0 else 1, label=label, **first
        )
    axes.legend(fontsize="x-small")


def _short(value: Any) -> str:
    text = "—" if value is None else str(value)
    return text if len(text) <= _WIDEST_LABEL else text[: _WIDEST_LABEL - 1] + "…"
