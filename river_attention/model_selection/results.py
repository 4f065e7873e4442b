"""What a search found, as scikit-learn's users expect it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .progressive import Candidate

Order = tuple[int, float]

_AS_CHEAP = 1.25
"""Costs within this factor count as equal: clocks are not more precise than that."""


def order(candidate: Candidate, bigger_is_better: bool) -> Order:
    """Smallest for the best: rows taken, then score; those that failed or have no score last."""
    value = candidate.score.value if candidate.error is None else math.nan
    if math.isnan(value):
        return 1, math.inf
    return -candidate.score.n_rows, -value if bigger_is_better else value


def best_of(candidates: list[Candidate], bigger_is_better: bool) -> Candidate:
    """The best candidate; of those that are as good one of the cheapest, the first of them."""
    first = min(order(candidate, bigger_is_better) for candidate in candidates)
    tied = [candidate for candidate in candidates if order(candidate, bigger_is_better) == first]
    affordable = _AS_CHEAP * min(candidate.cost for candidate in tied)
    return next(candidate for candidate in tied if candidate.cost <= affordable)


def tabulate(candidates: list[Candidate], bigger_is_better: bool) -> dict[str, Any]:
    """Arrays [n_candidates] by name: a table, for ``pandas.DataFrame`` for instance.

    ``param_NAME`` is masked where a candidate does not have the parameter, ``mean_test_score`` is
    the metric as it is, NaN where there is none.
    """
    n = len(candidates)
    table: dict[str, Any] = {"mean_fit_time": np.array([c.cost for c in candidates])}
    for name in dict.fromkeys(name for c in candidates for name in c.params):
        column = np.ma.masked_all(n, object)
        for i, candidate in enumerate(candidates):
            if name in candidate.params:
                column[i] = candidate.params[name]
        table[f"param_{name}"] = column
    orders = [order(candidate, bigger_is_better) for candidate in candidates]
    table["params"] = [candidate.params for candidate in candidates]
    table["mean_test_score"] = np.array(
        [math.nan if c.error is not None else c.score.value for c in candidates]
    )
    table["rank_test_score"] = np.array(
        [1 + sum(other < mine for other in orders) for mine in orders], np.int32
    )
    table["n_rows"] = np.array([c.score.n_rows for c in candidates])
    errors = np.empty(n, object)
    errors[:] = [c.error for c in candidates]
    table["error"] = errors
    return table
