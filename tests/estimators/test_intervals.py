"""Intervals of predictions and forecasts: nested, pure, finite, and they hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from river_attention import StreamingAttentionForecaster, StreamingAttentionRegressor

X = {"a": 10.0, "b": 0.5}
LEVELS = [0.5, 0.8, 0.9, 0.99]
FAST = {"mode": None, "memory": 0, "window": 0, "n_lags": 1, "long_lags": 0, "readout": "rls"}


def noise(kind, n_rows, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "heavy-tailed":
        return rng.standard_t(2.5, size=n_rows)
    if kind == "heteroscedastic":
        return rng.normal(size=n_rows) * (1.0 + 4.0 * (np.arange(n_rows) // 300 % 2))
    return rng.exponential(size=n_rows) - 1.0


def rows_with(kind, n_rows, seed=0):
    """A target that remembers itself and follows an input, with noise of a kind."""
    y, rows = 0.0, []
    inputs = np.random.default_rng(seed + 100).normal(size=n_rows)
    for a, e in zip(inputs.tolist(), noise(kind, n_rows, seed).tolist(), strict=True):
        y = 0.7 * y + a + e
        rows.append(({"a": a}, y))
    return rows


def test_an_interval_is_a_pair_and_several_are_a_list(make_attention, stream, train):
    model = train(make_attention(), stream(40))
    low, high = model.predict_interval_one(X)
    assert type(low) is float
    assert low < high
    assert model.predict_interval_one(X, level=0.9) == (low, high)
    assert model.predict_interval_one(X, level=[0.9]) == [(low, high)]
    assert len(model.predict_interval_one(X, level=(0.5, 0.9))) == 2


@pytest.mark.parametrize("n_rows", [0, 1, 2, 60])
def test_higher_levels_contain_lower_ones(make_attention, stream, train, n_rows):
    model = train(make_attention(), stream(n_rows))
    lows, highs = zip(*model.predict_interval_one(X, LEVELS), strict=True)
    assert list(lows) == sorted(lows, reverse=True)
    assert list(highs) == sorted(highs)
    assert lows[0] < highs[0]


@pytest.mark.parametrize("n_rows", [0, 1, 2, 40])
def test_asking_changes_nothing(make_attention, stream, train, fingerprint, n_rows):
    model = train(make_attention(), stream(n_rows))
    before = fingerprint(model)
    assert model.predict_interval_one(X) == model.predict_interval_one(X)
    assert fingerprint(model) == before


def test_asking_is_pure_where_time_advances_with_predictions(stream, fingerprint):
    model = StreamingAttentionRegressor(advance_on="predict", **FAST)
    for x, y in stream(30):
        model.predict_one(x)
        model.learn_one(x, y)
    before = fingerprint(model)
    model.predict_interval_one(X)
    assert fingerprint(model) == before


@pytest.mark.parametrize("targets", [[], [5.0], [5.0] * 30, [-1e6] * 3])
def test_before_anything_was_learned_it_is_finite_and_wide(make_attention, train, targets):
    model = train(make_attention(), [({"a": float(t)}, y) for t, y in enumerate(targets)])
    low, high = model.predict_interval_one({"a": 0.0})
    level = max([1.0, *map(abs, targets)])
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert high - low >= (level if model.prior != "zero" else 1.0)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 90, math.nan, math.inf, "0.9", None, True])
def test_a_bad_level_is_refused_by_name(level):
    model, forecaster = StreamingAttentionRegressor(**FAST), StreamingAttentionForecaster()
    for wrong in (level, [0.5, level], (level,)):
        with pytest.raises(ValueError, match=r"level=.*must be a finite number > 0 and < 1"):
            model.predict_interval_one(X, wrong)
        with pytest.raises(ValueError, match=r"level=.*must be a finite number > 0 and < 1"):
            forecaster.forecast_interval(2, level=wrong)


@pytest.mark.parametrize("kind", ["heavy-tailed", "heteroscedastic", "skew"])
def test_intervals_hold_in_the_long_run_and_in_every_window(kind):
    model, inside, above = StreamingAttentionRegressor(**FAST), [], []
    for x, y in rows_with(kind, 2000):
        low, high = model.predict_interval_one(x)
        inside.append(low <= y <= high)
        above.append(y > high)
        model.learn_one(x, y)
    assert abs(np.mean(inside) - 0.9) <= 0.01
    assert abs(np.mean(above) - 0.05) <= 0.01
    local = np.convolve(np.array(inside, dtype=float), np.full(500, 1 / 500), "valid")
    assert np.mean(np.abs(local - 0.9) <= 0.05) >= 0.9


def test_the_mixture_has_intervals_that_hold():
    model, inside = StreamingAttentionRegressor(mode=None, memory=0, window=50), []
    for x, y in rows_with("heteroscedastic", 1000):
        low, high = model.predict_interval_one(x)
        inside.append(low <= y <= high)
        model.learn_one(x, y)
    assert abs(np.mean(inside) - 0.9) <= 0.02


def test_late_labels_are_judged_by_the_interval_of_when_x_was_seen():
    model, inside, waiting = StreamingAttentionRegressor(advance_on="predict", **FAST), [], []
    for t, (x, y) in enumerate(rows_with("heteroscedastic", 1800)):
        low, high = model.predict_interval_one(x)
        model.predict_one(x, key=t)
        inside.append(low <= y <= high)
        waiting.append((x, y, t))
        if len(waiting) > 20:
            x, y, key = waiting.pop(0)
            model.learn_one(x, y, key=key)
    # for twenty rows after each of five jumps of the noise nobody knows of it
    assert abs(np.mean(inside) - 0.9) <= 0.02


def test_a_sample_of_weight_zero_moves_no_quantile(stream, train):
    model = train(StreamingAttentionRegressor(**FAST), stream(40))
    before = model.task_.errors.get_state()
    model.learn_one(X, 1000.0, w=0.0)
    after = model.task_.errors.get_state()
    assert np.array_equal(before.pop("quantiles"), after.pop("quantiles"))
    assert before == after


def test_reset_state_keeps_what_is_known_of_errors(stream, train):
    model = train(StreamingAttentionRegressor(**FAST), stream(40))
    before = model.task_.errors.size
    model.reset_state()
    assert model.task_.errors.size == before
    assert all(map(math.isfinite, model.predict_interval_one(X)))


def test_a_state_brings_its_intervals_along(make_attention, stream, train):
    model, other = train(make_attention(), stream(60)), make_attention()
    other.set_state(model.get_state())
    assert other.predict_interval_one(X, LEVELS) == model.predict_interval_one(X, LEVELS)


def test_a_rollout_moves_no_quantile(stream, train, fingerprint):
    model = train(StreamingAttentionRegressor(**FAST), stream(40))
    before = fingerprint(model)
    future = model.rollout()
    for _ in range(5):
        future.advance(future.predict(X) + 100.0)
    assert fingerprint(model) == before


def test_a_normal_distribution_is_as_wide_as_the_interval_and_a_little_wider(stream, train):
    model = train(StreamingAttentionRegressor(**FAST), rows_with("skew", 600))
    low, high = model.predict_interval_one({"a": 0.0})
    sigma = model.predict_one({"a": 0.0}, with_dist=True).sigma
    assert 1.0 <= 2 * 1.6448536 * sigma / (high - low) < 1.1


WILD = [0.0, 1.0, -1.0, 1e308, -1e308, 1e150, 1e-300, 5e-324, 1e20, 7.0]


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(WILD), st.sampled_from(WILD), st.sampled_from([0.0, 1.0, 1e9])),
        max_size=20,
    )
)
def test_intervals_are_finite_and_nested_whatever_the_input(rows):
    for params in ({"mode": None, "memory": 0, "window": 5, "long_lags": 2}, FAST):
        model = StreamingAttentionRegressor(**params)
        for a, y, w in rows:
            lows, highs = zip(*model.predict_interval_one({"a": a}, LEVELS), strict=True)
            assert all(map(math.isfinite, lows + highs))
            assert list(lows) == sorted(lows, reverse=True)
            assert list(highs) == sorted(highs)
            assert lows[0] <= highs[0]
            model.learn_one({"a": a}, y, w)


# --- the forecaster


def forecaster(**params):
    return StreamingAttentionForecaster(**({"mode": None, "memory": 0, "window": 0} | params))


@pytest.mark.parametrize("n_rows", [0, 1, 5, 60])
def test_every_step_has_its_interval(n_rows):
    model = forecaster(horizon=4)
    for x, y in rows_with("skew", n_rows):
        model.learn_one(y, x)
    single = model.forecast_interval(7)
    several = model.forecast_interval(7, level=LEVELS)
    assert [len(step) for step in several] == [4] * 7
    assert [step[2] for step in several] == single
    for step in several:
        lows, highs = zip(*step, strict=True)
        assert list(lows) == sorted(lows, reverse=True)
        assert list(highs) == sorted(highs)
        assert all(map(math.isfinite, lows + highs))


def test_intervals_of_forecasts_hold_for_every_step():
    model, horizon, rows = forecaster(horizon=3, readout="rls", n_lags=1), 3, rows_with("skew", 700)
    inside = []
    for t, (x, y) in enumerate(rows[: -horizon + 1]):
        ahead = rows[t : t + horizon]
        intervals = model.forecast_interval(horizon, [x for x, _ in ahead])
        inside.append(
            [low <= y <= high for (low, high), (_, y) in zip(intervals, ahead, strict=True)]
        )
        model.learn_one(y, x)
    # with 650 rows, of which the quantiles need the first hundred or so
    assert (np.abs(np.mean(inside[50:], axis=0) - 0.9) <= 0.025).all()


def test_intervals_of_forecasts_change_nothing_and_travel_with_the_state(fingerprint):
    model, other = forecaster(horizon=30), forecaster(horizon=30)
    for x, y in rows_with("skew", 75):
        model.learn_one(y, x)
    before = fingerprint(model)
    first = model.forecast_interval(40, level=LEVELS)
    assert fingerprint(model) == before
    other.set_state(model.get_state())
    for x, y in rows_with("skew", 40, seed=1):
        model.learn_one(y, x)
        other.learn_one(y, x)
    assert other.forecast_interval(40) == model.forecast_interval(40)
    assert first != model.forecast_interval(40, level=LEVELS)
