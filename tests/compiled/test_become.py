"""A model that becomes another one: in C where it can, and to the last bit."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from alike import Halving
from river import drift

from river_attention import StreamingAttentionRegressor, backend
from river_attention.modes import NAMED

SETTINGS = [
    {},
    {"memory": 0, "window": 0, "n_lags": 0, "long_lags": 0, "readout": "rls"},
    {"window": 7, "long_lags": 9, "forgetting_factor": (0.99, 1.0)},
    {"mode": None, "memory": 3, "window": 40, "prior": "mean", "max_features": 3},
    {"mode": None, "memory": 0, "window": 5, "categorical": ("day",)},
    *({"mode": mode, "window": 20, "readout": "rls"} for mode in sorted(NAMED)),
]


def rows(n, seed=0):
    """An input with gaps, categories, and a jump that is not over where models are copied."""
    rng = np.random.default_rng(seed)
    for t in range(n):
        a, b, noise = rng.normal(size=3).tolist()
        x = {"a": a, "b": math.nan if t % 7 == 3 else b, "day": float(t % 3)}
        yield x, a + math.sin(t / 5) + 0.1 * noise + (100.0 ** (t - 95) if 95 < t < 104 else 0.0)


def learned(model, some):
    for x, y in some:
        model.learn_one(x, y)
    return model


def assert_same(model, other):
    ours, theirs = model.get_state(), other.get_state()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


@pytest.mark.parametrize("parameters", SETTINGS, ids=str)
def test_it_goes_on_as_the_other_one(parameters, monkeypatch):
    some = list(rows(150))
    model = learned(StreamingAttentionRegressor(**parameters), some[:100])
    # behind, ahead, on its own
    for n in (60, 40, 100):
        other = learned(StreamingAttentionRegressor(**parameters), rows(n, seed=1))
        other.predict_one(some[0][0])
        with monkeypatch.context() as patch:
            if model._twin is not None:
                patch.setattr(copy, "deepcopy", None)
            other._become(model)
        assert_same(copy.deepcopy(other), copy.deepcopy(model))
        one = learned(copy.deepcopy(model), some[100:])
        assert_same(learned(other, some[100:]), one)
        assert other.predict_one(some[0][0]) == one.predict_one(some[0][0])


def test_an_old_model_becomes_a_young_one():
    some = list(rows(90))
    model, old = (StreamingAttentionRegressor(window=7) for _ in range(2))
    learned(model, some[:20])
    # far from its beginning, and taken over by C only then
    learned(old, rows(450, seed=1)).get_state()
    old._become(model)
    assert_same(learned(old, some[20:]), learned(copy.deepcopy(model), some[20:]))


def test_what_it_learns_then_is_its_own():
    some = list(rows(120))
    model, other = (StreamingAttentionRegressor(window=20) for _ in range(2))
    learned(other, some[:10])
    other._become(learned(model, some[:60]))
    before = copy.deepcopy(model).get_state()
    learned(other, some[60:])
    ours = model.get_state()
    assert all(np.array_equal(ours[name], before[name]) for name in before)


@pytest.mark.parametrize(
    "parameters",
    [
        {"mode": Halving(), "window": 9},
        {"trees": 200, "window": 9},
        {"drift_detector": drift.PageHinkley(min_instances=5, threshold=1.0), "window": 9},
    ],
    ids=["a user's mode", "trees", "a detector"],
)
def test_what_c_cannot_copy_is_copied_all_the_same(parameters):
    some = list(rows(80))
    model = learned(StreamingAttentionRegressor(**parameters), some[:60])
    other = StreamingAttentionRegressor(**parameters)
    other._become(model)
    ours, theirs = learned(other, some[60:]), learned(copy.deepcopy(model), some[60:])
    if "drift_detector" in parameters:
        assert ours.n_drifts_ == theirs.n_drifts_ > 0
        assert [ours.predict_one(x) for x, _ in some] == [theirs.predict_one(x) for x, _ in some]
    else:
        assert_same(ours, theirs)


def test_names_that_came_since_come_along():
    some = list(rows(90))
    model, other = (StreamingAttentionRegressor(max_features=3, window=9) for _ in range(2))
    learned(other, [({"a": x["a"]}, y) for x, y in some[:20]])
    learned(model, [(x | {f"new {t // 10}": 1.0}, y) for t, (x, y) in enumerate(some)])
    for _ in range(2):
        other._become(model)
        assert_same(copy.deepcopy(other), copy.deepcopy(model))
        learned(model, [(x | {"newest": 1.0}, y) for x, y in some[:5]])


@pytest.mark.skipif(backend._core is None, reason="the compiled core does not run")
def test_twins_of_other_tasks_do_not_become():
    from river_attention import StreamingAttentionClassifier

    twins = [StreamingAttentionClassifier()._twin for _ in range(2)]
    assert twins[0].become(twins[1]) is False
