"""Whatever comes, no answer is ever NaN or infinite, and the stream afterwards is learned."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from river_attention import AttentionTransformer, StreamingAttentionRegressor
from river_attention.readout import RecursiveLeastSquares

pytestmark = pytest.mark.usefixtures("nothing_warns")

LIMIT = 1e150

# --- no answer is ever NaN or infinite, and nothing warns

hashable_numbers = st.one_of(
    st.integers(-(10**30), 10**30),
    st.booleans(),
    st.floats(allow_nan=True),
    st.decimals(allow_nan=False),
    st.fractions(),
)
# categories=None: any code point, lone surrogates too
plain_keys = st.one_of(
    st.sampled_from(["a", "b", "c"]),
    st.text(st.characters(categories=None), max_size=3),
    st.binary(max_size=3),
    st.none(),
    hashable_numbers,
    st.dates(),
    st.datetimes(),
)
keys = st.recursive(
    plain_keys, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=2)
)
numbers = st.one_of(
    st.floats(-10.0, 10.0),
    st.floats(),
    st.sampled_from(
        [
            *(0.0, -0.0, 1e308, -1e308, 1.7976931348623157e308, 2.0**1023, 1e154, 1e150, -1e150),
            *(5e-324, -5e-324, 1e-310, 1e-150, 10**400, -(10**400), 10**200, True, False),
        ]
    ),
    st.integers(),
    st.decimals(),
    st.fractions(),
)
scalars = st.one_of(
    numbers,
    st.sampled_from([None, pd.NA, pd.NaT, np.ma.masked, np.datetime64("NaT"), np.array(3)]),
    st.integers(-128, 127).map(np.int8),
    st.integers(0, 2**64 - 1).map(np.uint64),
    st.floats(width=16).map(np.float16),
    st.floats(width=32).map(np.float32),
    st.floats().map(np.float64),
    st.floats(allow_nan=False).map(np.longdouble),
    st.booleans().map(np.bool_),
    st.dates(),
    st.datetimes(),
    st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2250, 1, 1)).map(pd.Timestamp),
    st.datetimes().map(np.datetime64),
)
targets = st.one_of(
    st.floats(-10.0, 10.0),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e308, -1e308, 5e-324, -1e150, 1e150, 0.0, 10**300, True, Decimal("1e-400")]),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(np.float32),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
)
weights = st.one_of(
    st.just(1.0),
    st.sampled_from([0.0, 1e308, 5e-324, 1e150, 1e-150, 1, True]),
    st.floats(0.0, allow_infinity=False),
)
# dicts within a family of keys, so that features come back
wild_streams = st.lists(keys, min_size=1, max_size=4).flatmap(
    lambda names: st.lists(
        st.tuples(st.dictionaries(st.sampled_from(names), scalars), targets, weights), max_size=12
    )
)


def assert_answers_stay_finite(model, answer, learn, rows):
    for x, y, w in rows:
        assert np.isfinite(answer(model, x)).all()
        learn(model, x, y, w)
        assert np.isfinite(answer(model, x)).all()
        assert np.isfinite(answer(model, {})).all()


# what runs for every setting: a fifth of the examples, each setting has the same
few_examples = settings(max_examples=settings.default.max_examples // 5)


@given(rows=wild_streams)
@few_examples
def test_no_answer_is_nan_or_infinite_and_nothing_overflows(make, answer, learn, rows):
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        assert_answers_stay_finite(make(), answer, learn, rows)


@given(rows=wild_streams)
@few_examples
def test_no_answer_is_nan_or_infinite_between_ordinary_data(make, stream, answer, rows, learn):
    model = make()
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        for x, y in stream(25):
            learn(model, x, y)
        assert_answers_stay_finite(model, answer, learn, rows)
        for x, y in stream(12, seed=1):
            learn(model, x, y)
            assert np.isfinite(answer(model, x)).all()


@given(rows=wild_streams)
@settings(max_examples=settings.default.max_examples // 10)
def test_blocks_and_texts_are_finite_too(make_for_blocks, rows, learn):
    model = make_for_blocks()
    for x, y, _ in rows:
        learn(model, x, y)
    X = pd.DataFrame([{"a": 1e308, "b": -1e308}, {"a": 5e-324, "b": None}])
    asked = ("predict_proba_many", "transform_many", "predict_many")
    ask = getattr(model, next(name for name in asked if hasattr(model, name)))
    assert np.isfinite(ask(X).to_numpy()).all()
    if hasattr(model, "debug_one"):
        assert isinstance(model.debug_one({"a": 1e308}), str)


EXTREMES = [1e308, -1e308, 1e150, -1e150, 1e77, 5e-324, 1e-150, 0.0, 1.0, -1.0]


@pytest.mark.parametrize("quiet", [0, 100])
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))]
)
def test_extreme_numbers_keep_every_answer_finite(make, stream, train, answer, learn, quiet, seed):
    rng = np.random.default_rng(seed)
    rows = [
        (dict(zip("abc", rng.choice(EXTREMES, 3).tolist(), strict=True)), y, abs(w))
        for y, w in rng.choice(EXTREMES, (60, 2)).tolist()
    ]
    model = train(make(), stream(quiet))
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        assert_answers_stay_finite(model, answer, learn, rows)


# --- the first answer, and the guard


def test_the_first_prediction_is_zero(make_regressor):
    for x in ({}, {"a": 1.0}, {"a": 1e308, "b": None}):
        assert make_regressor().predict_one(x) == 0.0


def test_the_first_reads_are_zero(make_memory):
    for x in ({}, {"a": 1.0}, {"a": 1e308, "b": None}):
        model = make_memory()
        if isinstance(model, AttentionTransformer):
            assert not any(model.transform_one(x).values())
        else:
            features = model.features_
            step = model.task_.propose(features.encoder.encode(x))
            assert not step.evidence["full"][: features.n_reads].any()


@given(rows=wild_streams)
@few_examples
def test_predictions_stay_in_the_widened_range_of_the_targets(make_attention, rows):
    model = make_attention()
    low, high = math.inf, -math.inf
    for x, y, w in rows:
        model.learn_one(x, y, w)
        y = min(max(float(y), -LIMIT), LIMIT)
        low, high = min(low, y), max(high, y)
        for asked in (x, {}, {"a": 1e9}):
            assert low - (high - low) <= model.predict_one(asked) <= high + (high - low)


def test_the_guard_lets_predictions_leave_the_range_by_its_width_and_no_more(
    make_attention, stream, train
):
    model = train(make_attention(), stream())
    targets_seen = [y for _, y in stream()]
    low, high = min(targets_seen), max(targets_seen)
    for extreme, limit in ((1e9, high + (high - low)), (-1e9, low - (high - low))):
        model.task_.readout.predict = lambda evidence, r=extreme: r
        assert model.predict_one({"a": extreme}) == limit


# --- whole streams


@pytest.mark.parametrize("broken", ["feature", "label"])
def test_one_accident_is_over_after_a_few_hundred_rows(broken):
    def tail(accident):
        rng, level, errors = np.random.default_rng(0), 0.0, []
        model = StreamingAttentionRegressor()
        for t in range(2000):
            a, b = rng.normal(size=2).tolist()
            level = 0.9 * level + a
            x, y = {"a": a, "b": b}, 10.0 + level + 0.3 * b
            if t == 1000 and accident:
                x, y = ({"a": 1e308, "b": b}, y) if broken == "feature" else (x, 1e308)
            errors.append(abs(y - model.predict_one(x)))
            model.learn_one(x, y)
        return np.mean(errors[1500:])

    assert tail(accident=True) < 2.0 * tail(accident=False)


def test_a_stream_without_features_is_a_stream(make, answer, learn):
    model = make()
    for i in range(300):
        assert np.isfinite(answer(model, {})).all()
        learn(model, {}, math.sin(i / 2))
    assert np.isfinite(answer(model, {"a": 1.0})).all()


def test_without_features_the_lags_alone_learn_an_oscillation():
    model, errors, steps = StreamingAttentionRegressor(), [], []
    for i in range(500):
        y = math.sin(i / 2)
        errors.append(abs(y - model.predict_one({})))
        steps.append(abs(y - math.sin((i - 1) / 2)))
        model.learn_one({}, y)
    assert np.mean(errors[-100:]) < 0.05 * np.mean(steps[-100:])


def test_constant_features_are_harmless(make, answer, learn):
    model = make()
    rng = np.random.default_rng(0)
    for y in rng.normal(100.0, 1.0, size=300).tolist():
        assert np.isfinite(answer(model, {"a": 5.0, "b": 0.0, "c": -1e150})).all()
        learn(model, {"a": 5.0, "b": 0.0, "c": -1e150}, y)


def signal(n_rows, seed=0):
    rng = np.random.default_rng(seed)
    for a, b in rng.normal(size=(n_rows, 2)).tolist():
        yield {"a": a, "b": b}, 20.0 + 3.0 * a - 2.0 * b


def errors_on(model, rows):
    errors = []
    for x, y in rows:
        errors.append(abs(y - model.predict_one(x)))
        model.learn_one(x, y)
    return errors


def persistence_error(rows):
    return np.mean(np.abs(np.diff([y for _, y in rows])))


def test_a_signal_is_learned_after_a_hundred_equal_targets(make_regressor):
    model = make_regressor()
    # the prior "zero" is meant for targets around zero
    level = 0.0 if getattr(model, "prior", None) == "zero" else 20.0
    rows = [(x, y - 20.0 + level) for x, y in signal(1000)]
    errors_on(model, [(x, level) for x, _ in signal(100, seed=1)])
    errors = errors_on(model, rows)
    # 0.71 is the best that can be done where the last target is no feature (n_lags=0)
    assert np.mean(errors[-200:]) < 0.8 * persistence_error(rows[-200:])


def test_a_signal_is_learned_after_a_hundred_constant_inputs(make_regressor):
    rows = list(signal(1000))
    model = make_regressor()
    errors_on(model, [({"a": 1.0, "b": 1.0}, y) for _, y in signal(100, seed=1)])
    errors = errors_on(model, rows)
    assert np.mean(errors[-200:]) < 0.8 * persistence_error(rows[-200:])


def test_twenty_exact_zeros_do_not_deafen_the_readout():
    # without a floor the Huber scale locks at zero and nothing is ever learned again
    rls = RecursiveLeastSquares(forgetting_factor=0.998, huber=True, leak=8)
    rng = np.random.default_rng(0)
    for phi in rng.normal(size=(20, 3)):
        rls.update(phi, 0.0)
    weights = np.array([3.0, -2.0, 1.0])
    for phi in rng.normal(size=(1000, 3)):
        rls.update(phi, float(weights @ phi))
    # the first errors count for little, so the prior still pulls
    np.testing.assert_allclose(rls.weights, weights, atol=0.05)


JUMPS = [1e6, -1e6]


def with_a_jump(rows, jump):
    return [(x, y + jump * (300 <= i < 310)) for i, (x, y) in enumerate(rows)]


@pytest.mark.parametrize("jump", JUMPS)
def test_a_target_that_jumps_far_away_and_back_is_harmless(make_regressor, jump):
    assert np.isfinite(errors_on(make_regressor(), with_a_jump(signal(600), jump))).all()


@pytest.mark.parametrize("jump", JUMPS)
def test_after_a_jump_there_and_back_the_default_works_again(jump):
    rows = list(signal(2000))
    errors = errors_on(StreamingAttentionRegressor(), with_a_jump(rows, jump))
    # the deviation of the targets takes thousands of rows to forget a jump by 250 000 of them
    assert np.mean(errors[-200:]) < 2.0 * persistence_error(rows[-200:])
