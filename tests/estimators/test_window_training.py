"""Layers learned inside estimators: whole gradients, bad rows, pipelines, arguments."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from river import linear_model

from river_attention import (
    LatentAttention,
    LatentAttentionRegressor,
    LSTMAttention,
    LSTMAttentionRegressor,
    SlidingWindowAttention,
    SlidingWindowAttentionClassifier,
    SlidingWindowAttentionRegressor,
)

SMALL = {"window_size": 4, "n_heads": 2, "head_dim": 4}
REGRESSORS = [SlidingWindowAttentionRegressor, LSTMAttentionRegressor, LatentAttentionRegressor]
TRANSFORMERS = [SlidingWindowAttention, LSTMAttention, LatentAttention]


def stream(n, seed=0):
    a = np.random.default_rng(seed).normal(size=(n, 2))
    for t in range(n):
        past = float(a[t - 2, 0]) if t > 1 else 0.0
        yield {"a": a[t, 0], "b": a[t, 1]}, past + 0.1 * float(a[t, 1])


def trained(cls=SlidingWindowAttentionRegressor, **more):
    options = {"readout": "sgd", "n_lags": 0, "long_lags": 0, "prior": "mean"}
    return cls(**SMALL | options | more)


def answers(cls, n=40, **more):
    model, said = trained(cls, **more), []
    for x, y in stream(n):
        said.append(model.predict_one(x))
        model.learn_one(x, y)
    return np.array(said)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize(
    "cls", [SlidingWindowAttentionRegressor, LatentAttentionRegressor], ids=lambda c: c.__name__
)
def test_gradients_over_what_the_stack_sees_are_whole(cls, n_layers):
    """L (w - 1) + 1 steps are those of the whole history; one less looks at a stale key."""
    enough = n_layers * 3 + 1
    exact = answers(cls, n_layers=n_layers, bptt=enough)
    history = answers(cls, n_layers=n_layers, bptt=100)
    stale = answers(cls, n_layers=n_layers, bptt=enough - 1)
    np.testing.assert_allclose(exact, history, rtol=1e-9, atol=1e-12)
    assert np.abs(stale - history).max() > 1e-6


def test_a_recurrent_layer_in_front_is_always_cut():
    exact, history = (answers(LSTMAttentionRegressor, bptt=bptt) for bptt in (8, 100))
    assert np.abs(exact - history).max() > 1e-6


@pytest.mark.parametrize("cls", REGRESSORS)
def test_rows_without_a_number_never_reach_the_weights(cls):
    model = trained(cls)
    for x, y in stream(20):
        model.learn_one(x, y)
    before = pickle.dumps(model)
    for y in (None, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="y="):
            model.learn_one({"a": 1.0, "b": 2.0}, y)
    assert pickle.dumps(model) == before
    for value in (None, float("nan"), float("-inf"), 1e150, -1e300):
        assert np.isfinite(model.predict_one({"a": value, "b": value}))
        model.learn_one({"a": value, "b": 0.0}, 1.0)
        assert np.isfinite(model.task_.readout.core.theta).all()
    theta = model.task_.readout.core.theta.copy()
    model.learn_one({"a": float("nan")}, 5.0, w=0.0)
    np.testing.assert_array_equal(model.task_.readout.core.theta, theta)


@pytest.mark.parametrize("cls", TRANSFORMERS)
def test_a_pipeline_trains_on_the_features_that_it_predicts_from(cls):
    seen = {"predict": [], "learn": []}

    class Watches(linear_model.LinearRegression):
        def predict_one(self, x):
            seen["predict"].append(dict(x))
            return super().predict_one(x)

        def learn_one(self, x, y, w=1.0):
            seen["learn"].append(dict(x))
            super().learn_one(x, y, w)

    pipeline = cls(**SMALL) | Watches()
    for x, y in stream(15):
        pipeline.predict_one(x)
        pipeline.learn_one(x, y)
    assert len(seen["learn"]) == 15
    assert seen["predict"] == seen["learn"]
    assert seen["learn"][3] != seen["learn"][4]


@pytest.mark.parametrize("cls", [SlidingWindowAttention, LatentAttention])
def test_a_row_matters_as_long_as_it_is_in_the_window(cls):
    model = cls(**SMALL, n_lags=0, with_forecast=False)
    for x, y in stream(12):
        model.learn_one(x, y)
    memory, rows = (
        model.features_.memories["attention"],
        np.random.default_rng(1).normal(size=(12, 2)),
    )
    reads = []
    for changed in (0.0, 1.0):
        state = memory.init_state()
        for t, row in enumerate(rows):
            read, proposal = memory.propose(row + changed * (t == 3), state)
            state = memory.commit(state, proposal)
            reads.append(read)
    moved = np.abs(np.array(reads[:12]) - np.array(reads[12:])).max(axis=1) > 1e-9
    assert moved.nonzero()[0].tolist() == [3, 4, 5, 6]


BAD = [
    (SlidingWindowAttentionRegressor, {"n_layers": 0}),
    (SlidingWindowAttentionRegressor, {"ffn_dim": 0, "n_layers": 2}),
    (SlidingWindowAttentionRegressor, {"qk_norm": "batch"}),
    (SlidingWindowAttentionRegressor, {"n_kv_heads": 0}),
    (SlidingWindowAttentionRegressor, {"seed": "one"}),
    (SlidingWindowAttentionRegressor, {"bptt": 1.5}),
    (SlidingWindowAttentionRegressor, {"clip_gradient": float("nan")}),
    (SlidingWindowAttentionClassifier, {"readout": "rls"}),
    (SlidingWindowAttentionClassifier, {"window_size": 10**7}),
    (LatentAttentionRegressor, {"kv_lora_dim": 0}),
    (LatentAttentionRegressor, {"rope_pairs": -1}),
    (LSTMAttentionRegressor, {"lstm_hidden": 0}),
    (LSTMAttentionRegressor, {"mlp_sizes": (0,)}),
    (LSTMAttentionRegressor, {"position": "far"}),
    (SlidingWindowAttention, {"n_heads": 2.0}),
    (LSTMAttention, {"lstm_hidden": None}),
    (LatentAttention, {"kv_lora_dim": 1.0}),
]


@pytest.mark.parametrize(("cls", "params"), BAD, ids=str)
def test_bad_parameters_are_named(cls, params):
    with pytest.raises(ValueError, match=next(iter(params))):
        cls(**params)
