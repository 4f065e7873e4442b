"""Quantiles of errors: they find any distribution, follow it, and never cross."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from river_attention.readout import ErrorQuantiles
from river_attention.readout.intervals import PROBABILITIES

LEVELS = [0.01, 0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.999]


def inside(errors, level=0.9, known=None):
    """Whether each error was in the interval made before it, and those below it."""
    quantiles, held, below = known or ErrorQuantiles(), [], []
    for error in errors.tolist():
        low, high = quantiles.intervals([level])[0]
        held.append(low <= error <= high)
        below.append(error < low)
        quantiles.update(error)
    return np.array(held), np.array(below)


def drawn(kind, n=6000):
    rng = np.random.default_rng(3)
    if kind == "normal":
        return rng.normal(size=n)
    if kind == "heavy-tailed":
        return rng.standard_t(2, size=n)
    if kind == "skew":
        return rng.exponential(size=n) - 1.0
    if kind == "bursts":
        return rng.normal(size=n) * np.exp(np.sin(np.arange(n) / 150))
    if kind == "growing":
        return rng.normal(size=n) * 1.002 ** np.arange(n)
    return rng.normal(size=n) + 3.0 * (np.arange(n) // 1000 % 2)


KINDS = ["normal", "heavy-tailed", "skew", "bursts", "growing", "shifting"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0.5, 0.9, 0.98])
def test_as_many_errors_are_inside_as_there_should_be(kind, level):
    held, below = inside(drawn(kind), level)
    # the tracker corrects itself: it may be off by what a quantile wanders over 60 steps' worth
    assert abs(held.mean() - level) <= 0.012
    assert abs(below.mean() - (1.0 - level) / 2.0) <= 0.012


@pytest.mark.parametrize("kind", KINDS)
def test_in_every_window_most_errors_are_inside(kind):
    held = inside(drawn(kind))[0].astype(float)
    local = np.convolve(held, np.full(500, 1 / 500), "valid")
    assert np.mean(np.abs(local - 0.9) <= 0.05) >= 0.9


def test_a_normal_distribution_of_one_deviation_does_not_hold_in_bursts():
    # what the two tests above would catch
    errors = drawn("bursts")
    held = (np.abs(errors) <= 1.645 * errors.std()).astype(float)
    local = np.convolve(held, np.full(500, 1 / 500), "valid")
    assert np.mean(np.abs(local - 0.9) <= 0.05) < 0.5


def test_skew_errors_get_a_skew_interval():
    known = ErrorQuantiles()
    inside(drawn("skew"), known=known)
    low, high = known.intervals([0.9])[0]
    # the true ones: -0.95 and 2.0
    assert high > 1.4 * -low


def test_they_begin_as_those_of_a_standard_normal_distribution():
    known = ErrorQuantiles()
    (low, high), (_, far) = known.intervals([0.9, 0.9999])
    assert high == pytest.approx(1.644854, abs=1e-6)
    assert low == -high
    assert far == pytest.approx(3.890592, abs=1e-6)
    assert known.deviation == pytest.approx(1.0)


def test_intervals_breathe_with_the_errors():
    known = ErrorQuantiles()
    rng = np.random.default_rng(0)
    inside(rng.normal(size=500), known=known)
    calm = known.size
    inside(10.0 * rng.normal(size=30), known=known)
    assert known.size > 4.0 * calm


def test_one_accident_counts_as_eight_times_the_size():
    known = ErrorQuantiles()
    inside(np.ones(300), known=known)
    before = known.size
    known.update(1e100)
    assert known.size < 1.6 * before


def test_an_error_is_judged_by_the_size_of_its_time():
    known, other = ErrorQuantiles(), ErrorQuantiles()
    known.update(3.0, size=10.0)
    other.update(3.0)
    # 0.3 sizes are below the upper quartile, 3.8 above all but the last two
    upper = PROBABILITIES.index(0.75)
    assert known.quantiles[upper] < ErrorQuantiles().quantiles[upper] < other.quantiles[upper]


def test_overlapping_errors_move_the_size_slower():
    sizes = []
    for overlap in (1.0, 10.0):
        known = ErrorQuantiles(overlap)
        inside(np.ones(200), known=known)
        known.update(5.0)
        sizes.append(known.size)
    assert sizes[0] - 1.0 > 5.0 * (sizes[1] - 1.0) > 0.0


def test_after_exact_predictions_they_are_narrow_and_recover():
    known = ErrorQuantiles()
    inside(np.zeros(3000), known=known)
    assert 0.0 < known.deviation < 1e-5
    held, _ = inside(np.random.default_rng(0).normal(size=1000), known=known)
    assert abs(held[200:].mean() - 0.9) < 0.04


wild = st.one_of(st.floats(-1e100, 1e100), st.sampled_from([0.0, 1e100, -1e100, 5e-324, 1.0, -1.0]))


@given(errors=st.lists(wild, max_size=60))
def test_intervals_never_cross_and_are_nested_whatever_the_errors(errors):
    known = ErrorQuantiles()
    for error in errors:
        known.update(error)
        intervals = known.intervals(LEVELS)
        lows, highs = zip(*intervals, strict=True)
        assert all(math.isfinite(end) for ends in intervals for end in ends)
        assert list(lows) == sorted(lows, reverse=True)
        assert list(highs) == sorted(highs)
        assert lows[0] <= highs[0]
        assert known.deviation > 0.0


@given(level=st.floats(0.0, 1.0, exclude_min=True, exclude_max=True))
def test_every_level_has_a_finite_interval(level):
    known = ErrorQuantiles()
    low, high = known.intervals([level])[0]
    assert -10.0 < low <= high < 10.0
