"""Running moments."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from river_attention.moments import RunningMoments, deviation, running_rate, update_moments


def moments_of(rows):
    moments = RunningMoments(rows.shape[1])
    for row in rows:
        moments.update(row, complete=not np.isnan(row).any())
    return moments


@pytest.mark.parametrize("n", [1, 2, 3, 10, 999, 1000])
def test_up_to_a_thousand_values_the_moments_are_those_of_numpy(n):
    rows = np.random.default_rng(0).normal([5.0, -100.0, 0.0], [1.0, 30.0, 1e-3], size=(n, 3))
    moments = moments_of(rows)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-10)
    if n > 1:
        np.testing.assert_allclose(moments.divisor, rows.std(axis=0), rtol=1e-10)


@pytest.mark.parametrize("n", [2, 50, 900])
def test_missing_values_count_for_nothing(n):
    rng = np.random.default_rng(1)
    rows = rng.normal(3.0, 2.0, size=(n, 4))
    rows[rng.random(rows.shape) < 0.4] = np.nan
    rows[:2] = rng.normal(size=(2, 4))
    moments = moments_of(rows)
    np.testing.assert_allclose(moments.mean, np.nanmean(rows, axis=0), rtol=1e-10)
    np.testing.assert_allclose(moments.divisor, np.nanstd(rows, axis=0), rtol=1e-10)


def test_an_appended_column_begins_its_own_count():
    rows = np.random.default_rng(2).normal(7.0, size=(200, 3))
    moments = RunningMoments(1)
    for i, row in enumerate(rows):
        if i == 150:
            moments.append(2)
        moments.update(row[: len(moments.mean)], complete=True)
    np.testing.assert_allclose(moments.mean[0], rows[:, 0].mean(), rtol=1e-10)
    np.testing.assert_allclose(moments.mean[1:], rows[150:, 1:].mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(moments.divisor[1:], rows[150:, 1:].std(axis=0), rtol=1e-10)


def test_from_the_thousandth_value_on_the_rate_of_forgetting_is_constant():
    assert running_rate(1) == 1.0
    assert running_rate(250) == 1 / 250
    assert running_rate(1000) == running_rate(1001) == running_rate(10**9) == 0.001


def test_after_a_thousand_values_old_ones_fade_exponentially():
    rows = np.random.default_rng(3).normal(size=(3000, 1)) + 4.0
    moments = moments_of(rows)
    weights = np.full(3000, 0.001) * 0.999 ** np.arange(2999, -1, -1)
    weights[:1000] = 0.001 * 0.999**2000  # equal among the first thousand
    assert weights.sum() == pytest.approx(1.0)
    mean = weights @ rows[:, 0]
    np.testing.assert_allclose(moments.mean[0], mean, rtol=1e-10)
    variance = weights @ (rows[:, 0] - mean) ** 2
    np.testing.assert_allclose(moments.divisor[0], math.sqrt(variance), rtol=1e-10)


def test_a_change_of_scale_is_over_after_a_few_thousand_rows():
    rng = np.random.default_rng(4)
    rows = np.concatenate([rng.normal(0.0, 1e3, (5000, 1)), rng.normal(0.0, 1.0, (15000, 1))])
    assert moments_of(rows).divisor[0] < 2.0


@pytest.mark.parametrize("value", [0.0, 5.0, 0.1, -1e150, 1e150, 1 / 3, 5e-324])
@pytest.mark.parametrize("n", [0, 1, 7, 3000])
def test_a_constant_column_has_an_infinite_divisor(value, n):
    moments = moments_of(np.full((n, 1), value))
    assert moments.divisor[0] == math.inf


def test_a_column_that_was_never_seen_has_an_infinite_divisor():
    moments = moments_of(np.array([[1.0, np.nan], [2.0, np.nan]]))
    assert moments.divisor[0] == 0.5
    assert moments.divisor[1] == math.inf


@given(st.lists(st.floats(-1e150, 1e150), min_size=1, max_size=20))
def test_moments_of_anything_within_the_limit_are_finite_and_divide_to_finite(values):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        moments = moments_of(np.array(values)[:, None])
        assert np.isfinite(moments.mean).all()
        assert (moments.divisor > 0.0).all()
        assert np.isfinite(2e150 / moments.divisor).all()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_the_formula_is_the_same_for_floats_and_arrays(values):
    mean = variance = 0.0
    array_mean, array_variance = np.zeros(1), np.zeros(1)
    for n, value in enumerate(values, start=1):
        rate = running_rate(n)
        mean, variance = update_moments(mean, variance, value - mean, rate)
        array_mean, array_variance = update_moments(
            array_mean, array_variance, np.array([value]) - array_mean, rate
        )
    assert (mean, variance) == (array_mean[0], array_variance[0])
    assert variance >= 0.0


def test_a_deviation_too_small_to_divide_by_is_zero():
    assert deviation(4.0) == 2.0
    assert deviation(0.0) == deviation(1e-290) == 0.0
