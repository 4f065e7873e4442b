"""The target: what the readout learns, lags, and the guard."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from river_attention.core import Target
from river_attention.readout import RecursiveLeastSquares

# --- prior and scale


def target_of(labels, prior="persistence", n_lags=6):
    target = Target(prior, n_lags)
    for y in labels:
        target.update(y)
    return target


def walk(n, seed=0):
    return (50.0 + np.random.default_rng(seed).normal(size=n).cumsum()).tolist()


def step_size(labels):
    """s_Δ as the equation has it."""
    size = 0.0
    # zeros before the first real step do not count
    steps = np.trim_zeros(np.abs(np.diff(labels)), "f")
    for n, step in enumerate(steps.tolist(), start=1):
        if n > 20 and size > 0.0:
            step = min(step, 4.0 * size)
        size += max(1.0 / n, 0.001) * (step - size)
    return size


def scale_of(labels):
    return min(np.std(labels), 5.0 * step_size(labels))


@pytest.mark.parametrize("prior", ["persistence", "mean", "zero"])
def test_a_prediction_of_zero_is_the_prior(prior):
    labels = walk(30)
    anchor = {"persistence": labels[-1], "mean": np.mean(labels), "zero": 0.0}[prior]
    target = target_of(labels, prior)
    low, high = min(labels), max(labels)
    width = high - low
    assert target.restore(0.0) == pytest.approx(
        min(max(anchor, low - width), high + width), rel=1e-10
    )
    assert target.anchor == pytest.approx(anchor, rel=1e-10)


@pytest.mark.parametrize("prior", ["persistence", "mean", "zero"])
@pytest.mark.parametrize("n", [2, 3, 20, 21, 22, 40, 900])
def test_a_label_is_its_distance_from_the_prior_in_units_of_the_scale(prior, n):
    labels = walk(n)
    target = target_of(labels, prior)
    assert target.scale == pytest.approx(scale_of(labels), rel=1e-10)
    assert target.residual(51.5) == pytest.approx(
        (51.5 - target.anchor) / scale_of(labels), rel=1e-10
    )


def test_restoring_a_residual_gives_the_label():
    target = target_of(walk(100))
    for y in (48.0, 50.0, 55.0):
        assert target.restore(target.residual(y)) == pytest.approx(y, rel=1e-12)


def test_the_scale_is_the_deviation_where_steps_are_large():
    labels = np.random.default_rng(0).normal(size=200).tolist()
    assert target_of(labels).scale == pytest.approx(np.std(labels), rel=1e-10)


def test_the_scale_is_five_steps_where_steps_are_small():
    labels = np.linspace(0.0, 100.0, 201).tolist()
    assert target_of(labels).scale == pytest.approx(2.5, rel=1e-10)


def test_a_level_shift_does_not_multiply_the_scale():
    labels = walk(200)
    before = target_of(labels).scale
    after = target_of(labels + [y + 1e5 for y in labels[:5]]).scale
    assert after < 1.5 * before


def test_large_steps_count_four_times_the_step_size_after_twenty_differences():
    labels = [float(i % 2) for i in range(22)]  # twenty-one differences of one
    target = target_of([*labels, 1e9])
    assert target.step_size.value == pytest.approx(1.0 + (4.0 - 1.0) / 22, rel=1e-10)


def test_the_first_twenty_differences_count_in_full():
    labels = [float(i % 2) for i in range(20)]  # nineteen of them
    target = target_of([*labels, 1e6])
    assert target.step_size.value == pytest.approx((19 + 1e6) / 20, rel=1e-5)


def test_a_hundred_equal_labels_do_not_lock_the_scale_at_zero():
    labels = walk(400)
    target = target_of([labels[0]] * 100)
    assert target.scale == 0.0
    for y in labels:
        target.update(y)
    full = [labels[0]] * 100 + labels
    assert target.scale == pytest.approx(scale_of(full), rel=1e-10)
    assert target.scale > 0.1 * scale_of(labels)


@pytest.mark.parametrize("prior", ["persistence", "mean", "zero"])
def test_the_scale_is_zero_until_two_targets_differ(prior):
    assert target_of([], prior).scale == 0.0
    assert target_of([3.0], prior).scale == 0.0
    assert target_of([3.0] * 50, prior).scale == 0.0
    assert target_of([3.0] * 50 + [4.0], prior).scale > 0.0


def test_after_forgetting_the_stream_there_is_no_last_target():
    target = target_of(walk(30))
    target.forget_stream()
    assert target.last is None
    target.update(50.0)
    assert target.last == 50.0


def test_the_model_learns_in_units_of_the_scale_that_its_prediction_used(
    make_attention, stream, monkeypatch, numpy_only
):
    model, learned = make_attention(), []
    update = RecursiveLeastSquares.update

    def spy(self, phi, y, w=1.0):
        learned.append(y)
        return update(self, phi, y, w)

    monkeypatch.setattr(RecursiveLeastSquares, "update", spy)
    expected = []
    for x, y in stream():
        target = model.task_.target
        if target.scale > 0.0:
            expected.append((y - target.anchor) / target.scale)
        model.learn_one(x, y)
    assert len(expected) >= 57
    # every readout inside gets the same label
    n_readouts = len(learned) // len(expected)
    assert learned == [r for r in expected for _ in range(n_readouts)]


def test_the_model_does_not_train_while_the_target_is_constant(make_attention, stream, recursions):
    model = make_attention()
    for x, _ in stream():
        model.learn_one(x, 7.0)
    assert all(rls.n_updates == 0 for rls in recursions(model).values())
    # whatever the prior, the guard knows of no other value
    assert model.predict_one(stream()[0][0]) == 7.0


# --- lags


def lags_of(labels, n_lags):
    """Standardised by the labels themselves, latest first, the oldest standing in for missing."""
    raw = [*reversed(labels), *[labels[0]] * n_lags][:n_lags]
    return np.clip((np.array(raw) - np.mean(labels)) / np.std(labels), -3.0, 3.0)


@pytest.mark.parametrize("n_lags", [0, 1, 6])
@pytest.mark.parametrize("n", [2, 3, 6, 7, 50])
def test_lags_are_the_last_targets_standardised(n_lags, n):
    labels = walk(n)
    np.testing.assert_allclose(
        target_of(labels, n_lags=n_lags).lags, lags_of(labels, n_lags), rtol=1e-10, atol=1e-12
    )


def test_lags_are_clipped_at_three_deviations():
    labels = [float(i % 2) for i in range(100)] + [1e6]
    assert target_of(labels).lags[0] == 3.0
    assert target_of([-y for y in labels]).lags[0] == -3.0


@pytest.mark.parametrize("n", [0, 1, 5, 100])
def test_lags_are_zero_while_all_targets_are_equal(n):
    assert not target_of([4.2] * n).lags.any()


def test_after_forgetting_the_stream_missing_lags_are_the_oldest_label_since():
    target = target_of(walk(30))
    target.forget_stream()
    assert not target.lags.any()
    target.update(49.0)
    assert target.lags.any()
    assert np.ptp(target.lags) == 0.0


def test_lags_that_were_given_out_do_not_change():
    target = target_of(walk(30))
    lags, copied = target.lags, target.lags.copy()
    target.update(60.0)
    assert np.array_equal(lags, copied)


# --- the guard


def test_before_any_target_the_answer_is_zero():
    for prior in ("persistence", "mean", "zero"):
        for r in (0.0, 1.0, -1e300, math.inf, math.nan):
            assert Target(prior).restore(r) == 0.0


@pytest.mark.parametrize("prior", ["persistence", "mean", "zero"])
def test_answers_stay_in_the_range_of_the_targets_widened_by_its_width(prior):
    target = target_of([10.0, 14.0, 12.0], prior)
    assert target.restore(1e9) == target.restore(math.inf) == 18.0
    assert target.restore(-1e9) == target.restore(-math.inf) == 6.0


def test_the_range_is_that_of_all_targets_ever():
    target = target_of([0.0, 1e3] + [500.0 + i % 2 for i in range(3000)])
    assert target.restore(1e9) == 2e3
    target.forget_stream()
    assert target.restore(-1e9) == -1e3


@given(
    st.lists(st.floats(-1e150, 1e150), max_size=40),
    st.floats(),
    st.sampled_from(["persistence", "mean", "zero"]),
)
def test_answers_and_labels_are_finite_whatever_the_targets(labels, r, prior):
    target = target_of(labels, prior)
    assert math.isfinite(target.restore(r))
    assert np.isfinite(target.lags).all()
    assert math.isfinite(target.scale)
    if target.scale > 0.0:
        assert math.isfinite(target.residual(1e150))
        assert math.isfinite(target.residual(-1e150))
