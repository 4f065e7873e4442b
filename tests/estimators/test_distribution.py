"""Predictive distributions: their mean is the prediction, their width is how wrong it will be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import conf, evaluate, metrics, proba

from river_attention import StreamingAttentionRegressor
from river_attention.readout.robust import NoiseVariance

X = {"a": 10.0, "b": 0.5}


def autoregressive(n_rows, noise, seed=0):
    """A target that remembers itself and follows two inputs."""
    rng = np.random.default_rng(seed)
    y, rows = 0.0, []
    for a, b, e in rng.normal(size=(n_rows, 3)).tolist():
        y = 0.7 * y + a - 0.5 * b + noise * e
        rows.append(({"a": a, "b": b}, y))
    return rows


# --- what it is


def test_the_distribution_is_a_gaussian(make_attention, stream, train):
    model = train(make_attention(), stream(40))
    assert type(model.predict_one(X, with_dist=True)) is proba.Gaussian


@pytest.mark.parametrize("n_rows", [0, 1, 2, 40])
def test_its_mean_is_the_prediction(make_attention, stream, train, n_rows):
    model = train(make_attention(), stream(n_rows))
    assert model.predict_one(X, with_dist=True).mu == model.predict_one(X)


@pytest.mark.parametrize("n_rows", [0, 1, 2, 40])
def test_asking_for_it_leaves_the_model_as_it_was(
    make_attention, stream, train, fingerprint, n_rows
):
    model = train(make_attention(), stream(n_rows))
    before = fingerprint(model)
    model.predict_one(X, with_dist=True)
    assert fingerprint(model) == before


def test_asking_for_it_makes_no_difference_to_what_is_learned(make_attention, stream, fingerprint):
    asked, silent = make_attention(), make_attention()
    for x, y in stream(40):
        asked.predict_one(x, with_dist=True)
        asked.learn_one(x, y)
        silent.learn_one(x, y)
    assert fingerprint(asked) == fingerprint(silent)


def test_two_distributions_are_the_same(make_attention, stream, train):
    model = train(make_attention(), stream(40))
    first, second = (model.predict_one(X, with_dist=True) for _ in range(2))
    assert (first.mu, first.sigma) == (second.mu, second.sigma)


def test_by_default_there_is_a_float(make_attention, stream, train):
    assert type(train(make_attention(), stream(40)).predict_one(X)) is float


def test_updating_the_distribution_does_not_touch_the_model(make_attention, stream, train):
    model = train(make_attention(), stream(40))
    model.predict_one(X, with_dist=True).update(1e9)
    assert model.predict_one(X, with_dist=True).mu == model.predict_one(X)


# --- how wide it is


def sigma(model, x=X):
    return model.predict_one(x, with_dist=True).sigma


@pytest.mark.parametrize("targets", [[], [5.0], [5.0] * 30, [-1e6] * 3])
def test_before_anything_was_learned_it_is_finite_and_wide(make_attention, train, targets):
    model = train(make_attention(), [({"a": float(t)}, y) for t, y in enumerate(targets)])
    level = max([1.0, *map(abs, targets)])
    assert math.isfinite(sigma(model))
    # with the prior "zero" a level is no reason to be less sure of it
    assert sigma(model) >= (level if model.prior != "zero" else 1.0)


def test_it_is_always_positive(make_attention, stream):
    model = make_attention()
    for x, y in stream(60):
        assert sigma(model, x) > 0.0
        model.learn_one(x, y)


def test_after_perfect_predictions_it_is_positive(make_attention, train):
    model = train(make_attention(), [({"a": float(t % 2)}, float(t % 2)) for t in range(300)])
    assert sigma(model, {"a": 0.0}) > 0.0


def test_on_a_stream_without_noise_it_is_narrower(make_attention, train):
    narrow, wide = (train(make_attention(), autoregressive(300, noise)) for noise in (0.0, 3.0))
    rows = [x for x, _ in autoregressive(50, 0.0, seed=1)]
    assert np.mean([sigma(narrow, x) for x in rows]) < 0.5 * np.mean([sigma(wide, x) for x in rows])


def test_it_is_in_units_of_the_target(make_attention, train, case):
    rows = autoregressive(200, 0.5)
    model = train(make_attention(), rows)
    for unit in (1e-6, 1e6):
        other = train(make_attention(), [(x, unit * y) for x, y in rows])
        with case(unit):
            # the units of the target drop out but for rounding, which the readout magnifies
            assert abs(sigma(other) / (unit * sigma(model)) - 1.0) < 1e-6


def test_it_is_wider_for_an_input_unlike_all_before(make_attention, train):
    model = train(make_attention(), autoregressive(60, 0.5))
    assert sigma(model, {"a": 30.0, "b": -30.0}) > sigma(model, {"a": 0.0, "b": 0.0})


def test_it_widens_when_predictions_get_worse(make_attention, train):
    calm = autoregressive(400, 0.1)
    model = train(make_attention(), calm)
    before = sigma(model)
    rng = np.random.default_rng(5)
    train(model, [(x, y + 3.0 * rng.normal()) for x, y in autoregressive(300, 0.1, seed=2)])
    assert sigma(model) > 1.5 * before


@pytest.mark.parametrize(
    "params", [{}, {"readout": "rls"}, {"forgetting_factor": (0.99, 0.999)}, {"prior": "mean"}]
)
def test_ninety_percent_of_the_targets_are_in_the_interval_of_ninety_percent(params):
    covered = []
    for seed in range(2):
        model = StreamingAttentionRegressor(window=200, **params)
        for t, (x, y) in enumerate(autoregressive(2500, 0.5, seed)):
            # the width remembers the errors made while learning for some hundred rows
            if t >= 1000:
                distribution = model.predict_one(x, with_dist=True)
                covered.append(abs(y - distribution.mu) <= 1.6448536 * distribution.sigma)
            model.learn_one(x, y)
    # 3 000 draws leave a standard error of .006
    assert 0.85 <= np.mean(covered) <= 0.95


WILD = [0.0, 1.0, -1.0, 1e308, -1e308, 1e150, 1e-300, 5e-324, 1e20, 7.0]


@settings(max_examples=settings.default.max_examples // 5)  # for every setting
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(WILD), st.sampled_from(WILD), st.sampled_from([0.0, 1.0, 1e9])),
        max_size=25,
    )
)
def test_it_is_finite_and_positive_whatever_the_input(make_attention, rows):
    model = make_attention()
    for a, y, w in rows:
        distribution = model.predict_one({"a": a}, with_dist=True)
        assert math.isfinite(distribution.mu)
        assert math.isfinite(distribution.sigma)
        assert distribution.sigma > 0.0
        model.learn_one({"a": a}, y, w)


# --- among river's tools


def test_it_answers_what_a_distribution_of_river_answers(stream, train):
    model = train(StreamingAttentionRegressor(), stream(60))
    distribution = model.predict_one(X, with_dist=True)
    assert abs(distribution.cdf(distribution.mu) - 0.5) < 1e-10
    assert distribution(distribution.mu) > distribution(distribution.mu + distribution.sigma)


def test_the_jackknife_of_river_gives_intervals():
    model = conf.RegressionJackknife(
        StreamingAttentionRegressor(window=100), confidence_level=0.9, window_size=200
    )
    covered = []
    for t, (x, y) in enumerate(autoregressive(300, 0.5)):
        interval = model.predict_one(x, with_interval=True)
        if t >= 100:
            covered.append(interval.lower <= y <= interval.upper)
        model.learn_one(x, y)
    # 200 draws leave a standard error of .02, and the quantiles come from few residuals
    assert 0.8 <= np.mean(covered) <= 0.97


def test_the_jackknife_passes_the_question_for_a_distribution_on(stream):
    model = conf.RegressionJackknife(StreamingAttentionRegressor())
    for x, y in stream(30):
        model.learn_one(x, y)
    assert isinstance(model.predict_one(X, with_dist=True), proba.Gaussian)


def test_progressive_validation_gets_numbers(make_attention, stream):
    rows, mae = stream(60), metrics.MAE()
    evaluate.progressive_val_score(rows, make_attention(), mae)
    model, errors = make_attention(), []
    for x, y in rows:
        errors.append(abs(y - model.predict_one(x)))
        model.learn_one(x, y)
    assert abs(mae.get() - np.mean(errors)) < 1e-10


# --- how large errors are


def test_the_noise_variance_is_one_before_the_first_error():
    assert float(NoiseVariance().value) == 1.0


def test_the_noise_variance_is_the_mean_of_the_first_squares():
    errors = np.random.default_rng(0).normal(size=20)
    noise = NoiseVariance()
    for error in errors:
        noise.update(error)
    assert abs(float(noise.value) - np.mean(errors**2)) < 1e-10


def test_one_accident_counts_as_three_deviations():
    noise = NoiseVariance()
    for _ in range(300):
        noise.update(1.0)
    noise.update(1e9)
    assert abs(float(noise.value) - (1.0 + 0.005 * 8.0)) < 1e-10


@pytest.mark.parametrize("size", [0.1, 1.0, 50.0])
def test_the_noise_variance_is_a_running_mean_of_squares_up_to_three_deviations(size):
    noise, variance = NoiseVariance(), 1.0
    errors = size * np.random.default_rng(0).normal(size=400)
    errors[[5, 200]] *= 100.0
    for n, square in enumerate((errors**2).tolist(), start=1):
        if n > 20:
            square = min(square, 9.0 * variance)
        variance += max(1.0 / n, 0.005) * (square - variance)
    for error in errors.tolist():
        noise.update(error)
    assert abs(noise.value / variance - 1.0) < 1e-10


def test_after_a_run_of_exact_predictions_the_variance_grows_again():
    rng = np.random.default_rng(0)
    noise = NoiseVariance()
    for _ in range(300):
        noise.update(0.0)
    for error in rng.normal(size=5000):
        noise.update(error)
    # winsorised at three deviations, the variance of a normal error is a little below one
    assert 0.7 < float(noise.value) < 1.3
