"""Estimators with softmax attention in float32: what is single, what stays double, and files."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
from river import optim

from river_attention import (
    LatentAttention,
    LatentAttentionRegressor,
    LSTMAttention,
    LSTMAttentionRegressor,
    SlidingWindowAttention,
    SlidingWindowAttentionClassifier,
    SlidingWindowAttentionRegressor,
    from_bytes,
)
from river_attention.keyed import KeyedModel

SMALL = {"window_size": 4, "n_heads": 2, "head_dim": 4, "dtype": "float32"}
REGRESSORS = [SlidingWindowAttentionRegressor, LSTMAttentionRegressor, LatentAttentionRegressor]
TRANSFORMERS = [SlidingWindowAttention, LSTMAttention, LatentAttention]
ALL = [
    (cls, {"readout": readout, "n_layers": 2} if cls is not LSTMAttentionRegressor else {})
    for cls in REGRESSORS
    for readout in ("mixture", "sgd")
] + [
    (LSTMAttentionRegressor, {"readout": "sgd", "lstm_hidden": 5, "mlp_sizes": (3,)}),
    (SlidingWindowAttentionClassifier, {}),
    (SlidingWindowAttentionClassifier, {"readout": "sgd", "ffn_dim": 5, "n_layers": 2}),
]


def stream(n, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    for t in range(n):
        yield {"a": a[t], "b": rng.normal()}, float(a[t - 2]) if t > 1 else 0.0


def fed(model, n=40):
    for x, y in stream(n):
        model.learn_one(x, y > 0 if isinstance(model, SlidingWindowAttentionClassifier) else y)
    return model


def said(model, x):
    if isinstance(model, SlidingWindowAttentionClassifier):
        return model.predict_proba_one(x)
    return {"y": model.predict_one(x)}


def core_of(model):
    memories = model.features_.memories
    return memories["attention"].core if memories else model.task_.readout.core


@pytest.mark.parametrize(("cls", "more"), ALL, ids=str)
def test_attention_is_single_and_the_rest_is_double(cls, more):
    model = fed(cls(**SMALL, **more))
    assert core_of(model).theta.dtype == np.float32
    caches = [own for own in model._caches() if hasattr(own, "segments")]
    assert caches
    for cache in caches:
        assert {rows.dtype.name for rows in cache.segments()[0].values()} == {"float32"}
    step = model._step({"a": 1.0, "b": 2.0})
    assert {step.evidence["token"].dtype.name, step.evidence.buffer.dtype.name} == {"float64"}
    x = {"a": 0.3, "b": -1.0}
    double = fed(cls(**SMALL | {"dtype": "float64"}, **more))
    ours, theirs = said(model, x), said(double, x)
    assert ours == pytest.approx(theirs, abs=2e-3)
    assert ours != theirs


@pytest.mark.parametrize(("cls", "more"), ALL, ids=str)
def test_copies_files_and_states_go_on_to_the_bit(cls, more):
    model = fed(cls(**SMALL, **more))
    fresh = cls(**SMALL, **more)
    fresh.set_state(model.get_state())
    twins = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model), from_bytes(model.to_bytes())]
    for twin in (*twins, fresh):
        assert core_of(twin).theta.dtype == np.float32
    for x, y in stream(12, seed=1):
        goal = said(model, x)
        label = y > 0 if cls is SlidingWindowAttentionClassifier else y
        model.learn_one(x, label)
        for twin in (*twins, fresh):
            assert said(twin, x) == goal
            twin.learn_one(x, label)


@pytest.mark.parametrize(
    "optimizer", [optim.NesterovMomentum(0.01), optim.AdaDelta(), optim.RMSProp(0.01)], ids=str
)
def test_optimizers_keep_their_moments_in_float64(optimizer):
    model = fed(SlidingWindowAttentionRegressor(**SMALL, readout="sgd", optimizer=optimizer))
    again = from_bytes(model.to_bytes())
    kept = [value for name, value in model.get_state().items() if ".optimizer." in name]
    assert {value.dtype.name for value in kept if isinstance(value, np.ndarray)} == {"float64"}
    for x, y in stream(5, seed=1):
        assert again.predict_one(x) == model.predict_one(x)
        again.learn_one(x, y)
        model.learn_one(x, y)


@pytest.mark.parametrize("cls", TRANSFORMERS)
def test_features_are_plain_floats(cls):
    model, double = fed(cls(**SMALL)), fed(cls(**SMALL | {"dtype": "float64"}))
    features = model.transform_one({"a": 1.0, "b": 2.0})
    assert {type(value) for value in features.values()} == {float}
    expected = double.transform_one({"a": 1.0, "b": 2.0})
    assert features == pytest.approx(expected, abs=1e-4)
    assert features != expected


@pytest.mark.parametrize("readout", ["mixture", "sgd"])
@pytest.mark.parametrize("cls", REGRESSORS)
def test_no_number_is_too_large(cls, readout):
    """float32 ends at 3e38; targets and inputs do not."""
    model = cls(**SMALL, readout=readout)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for t, (x, y) in enumerate(stream(60)):
            factor = {20: 1e150, 21: -1e60, 22: 1e30, 40: 1e20}.get(t, 1.0)
            assert np.isfinite(model.predict_one(x))
            model.learn_one({"a": factor * x["a"], "b": x["b"]}, factor * (y + 1.0))
    assert np.isfinite(core_of(model).theta).all()
    assert np.isfinite(model.look_one(x)).all()


class Leaps(optim.SGD):
    """From the tenth step on to where float32 has no number and float64 has."""

    def step(self, w, g):
        after = super().step(w, g)
        if self.n_iterations < 10:
            return after
        return {name: np.asarray(value, np.float64) + 1e60 for name, value in after.items()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_beyond_float32_are_not_taken(dtype):
    more = {"readout": "sgd", "optimizer": Leaps(0.01), "dtype": dtype}
    model = SlidingWindowAttentionRegressor(**SMALL | more)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        thetas = []
        for x, y in stream(13):
            model.learn_one(x, y)
            thetas.append(core_of(model).theta.copy())
    assert np.isfinite(thetas).all()
    assert (thetas[7] != thetas[8]).any()
    # the control: float64 goes there
    assert (float(np.abs(thetas[-1]).max()) > 1e59) is (dtype == "float64")


def test_a_pool_has_the_dtype_of_the_model_or_halves():
    models = [fed(SlidingWindowAttentionRegressor(**SMALL)) for _ in range(3)]
    x, goal = {"a": 1.0, "b": 0.0}, models[0].predict_one({"a": 1.0, "b": 0.0})
    pool, halves = models[0].make_pool(64), models[1].make_pool(64, dtype="float16")
    assert (pool.dtype, halves.dtype) == ("float32", "float16")
    models[0].use_pool(pool)
    models[1].use_pool(halves)
    assert models[0].predict_one(x) == pytest.approx(goal, rel=1e-6)
    assert models[1].predict_one(x) == pytest.approx(goal, rel=1e-2)
    assert from_bytes(models[1].to_bytes()).predict_one(x) == pytest.approx(goal, rel=1e-2)
    double = fed(SlidingWindowAttentionRegressor(**SMALL | {"dtype": "float64"}))
    with pytest.raises(ValueError, match="pool has dtype='float64'"):
        models[2].use_pool(double.make_pool(64))


def test_models_by_key_share_pages_of_their_dtype():
    keyed = KeyedModel(SlidingWindowAttentionRegressor(**SMALL), key="who", max_rows=64)
    alone = SlidingWindowAttentionRegressor(**SMALL)
    for x, y in stream(20):
        for who in "ab":
            keyed.learn_one(x | {"who": who}, y)
        alone.learn_one(x, y)
    assert keyed.pool_.dtype == "float32"
    assert keyed.predict_one(x | {"who": "a"}) == pytest.approx(alone.predict_one(x), rel=1e-5)


@pytest.mark.parametrize("cls", [*REGRESSORS, *TRANSFORMERS, SlidingWindowAttentionClassifier])
def test_bad_dtypes_are_named(cls):
    with pytest.raises(ValueError, match="dtype='float16'"):
        cls(dtype="float16")
