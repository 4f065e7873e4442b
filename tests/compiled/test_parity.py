"""The compiled core says what NumPy says, and leaves the same state behind."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from alike import Halving, assert_alike, on_numpy, pair, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from river_attention import (
    AttentionTransformer,
    RLSRegressor,
    StreamingAttentionClassifier,
    StreamingAttentionRegressor,
    backend,
)
from river_attention.modes import (
    GLA,
    HGRN2,
    NAMED,
    DeltaNet,
    DeltaProduct,
    GatedDeltaNet,
    LinearAttention,
    LogLinear,
    RetNet,
)
from river_attention.readout import fits

pytestmark = pytest.mark.skipif(backend._core is None, reason="the compiled core does not run")

HEADS = {"memory": 0, "window": 0, "n_lags": 0, "long_lags": 0, "readout": "rls"}
MODES = {
    **NAMED,
    "rotary": RetNet(rotary=True),
    "rotary, before": RetNet(rotary=True, read="before"),
    "gla, before": GLA(read="before"),
    "hgrn2, no bound": HGRN2(lower_bound=0.0, read="before"),
    "delta, tied": DeltaNet(tied=True),
    "gated delta, tied, before": GatedDeltaNet(tied=True, read="before"),
    "gated delta, static": GatedDeltaNet(beta="static", beta_scale=1.5),
    "reflections": DeltaProduct(3, reflections=True, gated=False, beta_gain=20, tied=True),
    "sums": LinearAttention(normalize=False),
    "levels of deltas": LogLinear(GatedDeltaNet(), max_levels=4, lambda_init=(1.0, 0.5)),
    "one level": LogLinear(RetNet(), max_levels=1),
}
SETTINGS = {
    "default": {},
    "rls with everything": {"readout": "rls"},
    "mixture without memories": {"mode": None, "memory": 0, "window": 0},
    "several factors": {"forgetting_factor": (0.99, 1.0), "window": 30, "memory": 3},
    "no Huber": {"huber": False, "prior": "mean", "window": 7},
    "zero": {"prior": "zero", "delta": 0.5, "n_lags": 2, "long_lags": 0},
    "odd sizes": {"n_heads": 3, "d_key": 6, "d_value": 5, "memory": 9, "window": 100},
    "without forgetting": {**HEADS, "mode": "gla", "forgetting_factor": 1.0},
    "forgetful": {**HEADS, "mode": "gla", "forgetting_factor": 0.9},
    "trees": {"mode": "gla", "memory": 0, "window": 30, "trees": 150},
    "trees without lags": {
        **{"mode": None, "memory": 0, "n_lags": 0, "long_lags": 0, "window": 30},
        **{"trees": 150, "prior": "mean"},
    },
}


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    """Fits that take milliseconds."""
    monkeypatch.setitem(fits.SETTINGS, "max_iter", 8)


def largest_difference(compiled, reference, rows, learn_weights=(1.0,)):
    """Between predictions, relative to the largest."""
    worst, size = 0.0, 1e-9
    for t, (x, y) in enumerate(rows):
        ours, theirs = compiled.predict_one(x), reference.predict_one(x)
        worst, size = max(worst, abs(ours - theirs)), max(size, abs(theirs))
        w = learn_weights[t % len(learn_weights)]
        compiled.learn_one(x, y, w)
        reference.learn_one(x, y, w)
    return worst / size


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_every_mode_agrees(mode):
    compiled, reference = pair(StreamingAttentionRegressor, mode=mode, **HEADS)
    assert largest_difference(compiled, reference, stream(400)) < 1e-12
    assert_alike(compiled, reference, 1e-10)


@pytest.mark.parametrize("parameters", SETTINGS.values(), ids=SETTINGS)
def test_every_readout_and_memory_agrees(parameters):
    compiled, reference = pair(StreamingAttentionRegressor, **parameters)
    # scikit-learn is slow where trees have weights; see tests/estimators/test_boosted.py for those
    weights = (1.0, 1.0, 1.0, 0.0) if "trees" in parameters else (1.0, 1.0, 0.3, 0.0, 2.5)
    assert largest_difference(compiled, reference, stream(600), weights) < 1e-12
    assert_alike(compiled, reference, 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("parameters", SETTINGS.values(), ids=SETTINGS)
def test_ten_thousand_steps_agree(parameters):
    compiled, reference = pair(StreamingAttentionRegressor, **parameters)
    assert largest_difference(compiled, reference, stream(10_000)) < 1e-12


def test_what_happens_in_between_agrees():
    compiled, reference = pair(StreamingAttentionRegressor, window=50)
    for model in (compiled, reference):
        for t, (x, y) in enumerate(stream(300)):
            if t == 100:
                model.reset_state()
            if t > 150:
                x |= {"e": float(t % 7)}
            if t % 5 == 0:
                model.advance_one(x)
            model.learn_one(x, y)
    x = next(iter(stream(1, seed=3)))[0]
    ours, theirs = (model.predict_one(x, with_dist=True) for model in (compiled, reference))
    assert ours.mu == pytest.approx(theirs.mu, rel=1e-10)
    assert ours.sigma == pytest.approx(theirs.sigma, rel=1e-10)
    assert ours.mu == compiled.predict_one(x)
    assert_alike(compiled, reference, 1e-10)


@pytest.mark.parametrize("delay", [0, 3])
def test_late_labels_agree(delay):
    compiled, reference = pair(StreamingAttentionRegressor, advance_on="predict", window=50)
    waiting = []
    for t, (x, y) in enumerate(stream(300)):
        ours, theirs = compiled.predict_one(x, key=t), reference.predict_one(x, key=t)
        assert ours == pytest.approx(theirs, rel=1e-10, abs=1e-10)
        waiting.append((t, x, y))
        if len(waiting) > delay:
            seen, x, y = waiting.pop(0)
            compiled.learn_one(x, y, key=seen)
            reference.learn_one(x, y, key=seen)
    assert compiled.n_unmatched_ == 0
    assert compiled._twin.is_holding
    assert_alike(compiled, reference, 1e-9)


def test_looking_ahead_agrees():
    compiled, reference = pair(StreamingAttentionRegressor, window=50, mode="lru")
    for x, y in stream(200):
        compiled.learn_one(x, y)
        reference.learn_one(x, y)
    before = compiled.get_state()
    ours, theirs = compiled.rollout(), reference.rollout()
    for x, y in stream(20, seed=1):
        assert ours.predict(x) == pytest.approx(theirs.predict(x), rel=1e-10)
        np.testing.assert_allclose(ours.attention(), theirs.attention(), rtol=1e-7)
        ours.advance(y)
        theirs.advance(y)
    after = compiled.get_state()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_the_reads_of_the_transformer_agree():
    compiled, reference = pair(AttentionTransformer, n_heads=3)
    for t, (x, y) in enumerate(stream(200)):
        ours, theirs = compiled.transform_one(x), reference.transform_one(x)
        assert list(ours) == list(theirs)
        np.testing.assert_allclose(list(ours.values()), list(theirs.values()), atol=1e-12)
        compiled.learn_one(x, y if t % 9 else None)
        reference.learn_one(x, y if t % 9 else None)
    assert_alike(compiled, reference, 1e-12)


@pytest.mark.parametrize(
    "kind", [StreamingAttentionRegressor, StreamingAttentionClassifier, RLSRegressor]
)
def test_all_that_an_estimator_can_be_runs_in_c(kind):
    # a NumPy class that got a new attribute is left to NumPy until its twin knows it
    for parameters in kind._unit_test_params():
        model = kind(**parameters)
        for x, y in stream(30, gaps=False):
            model.learn_one(x, y > 0.0 if kind is StreamingAttentionClassifier else y)
        # but trees of classes, whose fits cost more than the steps
        in_c = not (kind is StreamingAttentionClassifier and "trees" in parameters)
        assert model._twin.is_holding is in_c, parameters


def test_a_linear_regression_agrees():
    compiled, reference = pair(RLSRegressor, forgetting_factor=0.99, leak=8, huber=True)
    assert largest_difference(compiled, reference, stream(500), (1.0, 0.0, 2.0)) < 1e-10
    assert_alike(compiled, reference, 1e-9)


def test_a_drift_detector_is_told_the_same_errors():
    detector = drift.PageHinkley(min_instances=10, threshold=5.0)
    compiled, reference = pair(StreamingAttentionRegressor, drift_detector=detector)
    assert largest_difference(compiled, reference, stream(800)) < 1e-12
    assert compiled.n_drifts_ == reference.n_drifts_ > 0


def test_looking_inside_changes_nothing():
    looked_at, other = (StreamingAttentionRegressor(window=40) for _ in range(2))
    for t, (x, y) in enumerate(stream(200)):
        if t % 3 == 0:
            assert looked_at.task_.target.n == t
            looked_at.debug_one(x)
            looked_at.get_state()
            copy.deepcopy(looked_at)
        assert looked_at.predict_one(x) == other.predict_one(x)
        looked_at.learn_one(x, y)
        other.learn_one(x, y)


@pytest.mark.parametrize("parameters", [{}, {**HEADS, "mode": "lru"}], ids=["default", "complex"])
def test_a_pickle_of_one_continues_on_the_other(parameters):
    compiled, reference = pair(StreamingAttentionRegressor, **parameters)
    rows = list(stream(300))
    for x, y in rows[:200]:
        compiled.learn_one(x, y)
        reference.learn_one(x, y)
    from_numpy = pickle.loads(pickle.dumps(reference))
    from_compiled = on_numpy(lambda: pickle.loads(pickle.dumps(compiled)))
    assert from_numpy._twin is not None
    assert from_compiled._twin is None
    assert largest_difference(from_numpy, from_compiled, rows[200:]) < 1e-12


def test_a_mode_of_a_user_runs_inside():
    compiled, reference = pair(StreamingAttentionRegressor, mode=Halving(), window=20)
    assert largest_difference(compiled, reference, stream(300)) < 1e-12
    assert compiled._twin.is_holding
    assert_alike(compiled, reference, 1e-10)


def test_an_exception_leaves_the_model_as_it_was():
    model = StreamingAttentionRegressor(mode=Halving(), window=20)
    for x, y in stream(50):
        model.learn_one(x, y)
    before = model.get_state()

    def fail(*_):
        raise ArithmeticError("too large")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Halving, "token", fail)
        with pytest.raises(ArithmeticError):
            model.learn_one({"a": 0.5}, 1.0)
    for value, y, w in [("text", 1.0, 1.0), (1.0, math.nan, 1.0), (1.0, 1.0, -1.0)]:
        with pytest.raises((TypeError, ValueError)):
            model.learn_one({"a": value}, y, w)
    after = model.get_state()
    assert all(np.array_equal(before[name], after[name]) for name in before)


class Text(str):
    """A string that is equal to a plain one."""


class Wild:
    """A key whose comparisons fail."""

    def __hash__(self):
        return hash("a")

    def __eq__(self, other):
        raise ArithmeticError("not comparable")

    def __repr__(self):
        return "Wild()"


class Own(dict):
    """A dict that knows more than it shows."""

    def __missing__(self, key):
        return 7.0


NAMES = st.sampled_from(["a", "b", "c", 1, 2.5, Text("a"), ("a", 1), Wild()])
VALUES = st.one_of(
    st.floats(),
    st.integers(),
    st.booleans(),
    st.none(),
    st.sampled_from([np.float64(2.0), np.float32(0.5), np.int64(3), np.bool_(True), 10**400, "x"]),
)
ROWS = st.lists(
    st.tuples(
        st.lists(st.tuples(NAMES, VALUES), max_size=5),
        st.sampled_from([dict, Own]),
        st.floats(-9, 9),
    ),
    max_size=25,
)


def outcome(call, *arguments):
    try:
        return call(*arguments)
    except (ArithmeticError, TypeError, ValueError) as error:
        return type(error), str(error)


@settings(max_examples=80, deadline=None)
@given(ROWS)
def test_any_dict_means_the_same(rows):
    compiled, reference = pair(
        StreamingAttentionRegressor,
        mode="gla",
        window=5,
        n_lags=1,
        long_lags=0,
        readout="rls",
        memory=0,
    )
    for items, kind, y in rows:
        try:
            x = kind(items)
        except ArithmeticError:  # keys that cannot be together
            continue
        ours, theirs = outcome(compiled.predict_one, x), outcome(reference.predict_one, x)
        assert ours == theirs or ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)
        ours, theirs = outcome(compiled.learn_one, x, y), outcome(reference.learn_one, x, y)
        assert ours == theirs
