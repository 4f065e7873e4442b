"""River's own ways of choosing among models, with models of this package."""

from __future__ import annotations

import numpy as np
import pytest
from river import bandit, datasets, metrics, model_selection, utils

from river_attention import StreamingAttentionRegressor

SMALL = {"memory": 0, "window": 20, "long_lags": 0}


def candidates():
    grid = {"n_lags": [0, 6], "forgetting_factor": [0.9, 0.998]}
    return utils.expand_param_grid(StreamingAttentionRegressor(**SMALL), grid)


def stream(n=300):
    # the last two targets tell the next one
    return [({}, float(y)) for y in np.sin(np.arange(n) / 2.0)]


def test_a_grid_of_river_expands_to_models_with_those_parameters():
    found = {(model.n_lags, model.forgetting_factor, model.window) for model in candidates()}
    assert found == {(0, 0.9, 20), (6, 0.9, 20), (0, 0.998, 20), (6, 0.998, 20)}


@pytest.mark.parametrize(
    "choose",
    [
        lambda models: model_selection.GreedyRegressor(models, metric=metrics.MAE()),
        lambda models: model_selection.SuccessiveHalvingRegressor(
            models, metric=metrics.MAE(), budget=800, eta=2
        ),
        lambda models: model_selection.BanditRegressor(
            models, metric=metrics.R2(), policy=bandit.EpsilonGreedy(0.3, seed=1)
        ),
    ],
    ids=["greedy", "halving", "bandit"],
)
def test_a_selector_of_river_finds_the_better_model(choose):
    selector = choose(candidates())
    for x, y in stream():
        assert np.isfinite(selector.predict_one(x))
        selector.learn_one(x, y)
    assert selector.best_model.n_lags == 6


def test_a_selector_gets_through_a_stream_of_river():
    selector = model_selection.GreedyRegressor(candidates(), metric=metrics.MAE())
    for x, y in datasets.TrumpApproval().take(100):
        assert np.isfinite(selector.predict_one(x))
        selector.learn_one(x, y)
