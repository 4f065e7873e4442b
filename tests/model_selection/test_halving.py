"""Halving costs a third of the rows, and keeps the best of those that it has seen."""

from __future__ import annotations

import pytest
from river import datasets

from river_attention import RLSRegressor
from river_attention.model_selection import ProgressiveGridSearch

GRID = {"forgetting_factor": [0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0]}


def _fit(stream, **params):
    return ProgressiveGridSearch(RLSRegressor(), GRID, progress=False, **params).fit(stream)


def test_candidates_see_an_eighth_a_quarter_a_half_or_all_of_the_stream():
    rows = list(datasets.TrumpApproval())[:800]
    found = _fit(rows, halving=True)
    assert sorted(found.cv_results_["n_rows"]) == [100, 100, 100, 100, 200, 200, 400, 800]
    assert found.cv_results_["n_rows"][found.best_index_] == 800


def test_the_winner_is_that_of_the_exhaustive_search():
    rows = list(datasets.TrumpApproval())
    every, half = _fit(rows), _fit(rows, halving=True)
    assert half.best_params_ == every.best_params_
    assert half.best_score_ == every.best_score_
    assert half.cv_results_["n_rows"].sum() < every.cv_results_["n_rows"].sum() / 3


def test_those_that_stayed_longer_rank_before_those_that_went():
    found = _fit(list(datasets.TrumpApproval()), halving=True)
    rows, ranks = found.cv_results_["n_rows"], found.cv_results_["rank_test_score"]
    assert [rows[i] for i in ranks.argsort()] == sorted(rows, reverse=True)


@pytest.mark.parametrize("halving", [50, True])
def test_without_a_length_checkpoints_double_until_one_is_left(halving):
    rows = list(datasets.TrumpApproval()) * 5
    found = _fit(iter(rows), halving=halving)
    first = 1000 if halving is True else 50
    assert sorted(found.cv_results_["n_rows"]) == [first] * 4 + [2 * first] * 2 + [4 * first, 5005]
