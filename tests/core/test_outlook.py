"""Features for other models: how long they are, and how steady their unit is."""

from __future__ import annotations

import numpy as np
import pytest

from river_attention.core import SteadyUnit, shown_forecast, shown_group, shown_odds


def test_a_unit_is_the_size_at_first():
    unit = SteadyUnit()
    for size in (1.0, 100.0, 3.0):
        unit.update(size)
        assert unit.value == size


def test_a_settled_unit_rests_while_sizes_are_near():
    unit = SteadyUnit()
    for size in [10.0] * 21 + [14.9, 6.7, 12.0]:
        unit.update(size)
    assert unit.value == 10.0


@pytest.mark.parametrize(("size", "expected"), [(30.0, 20.0), (2.0, 3.0)])
def test_a_settled_unit_is_dragged_along_by_sizes_that_are_far(size, expected):
    unit = SteadyUnit()
    for s in [10.0] * 21 + [size]:
        unit.update(s)
    assert unit.value == pytest.approx(expected, rel=1e-15)


def test_a_forecast_is_two_where_it_is_the_unit_and_never_beyond_four():
    assert [shown_forecast(f, 5.0) for f in (5.0, -5.0, 1e150, 0.0)] == [2.0, -2.0, 4.0, 0.0]
    assert shown_forecast(1e150, 1e-150) == 4.0
    assert shown_forecast(3.0, 0.0) == 0.0


@pytest.mark.parametrize("n", [1, 2, 30])
def test_a_group_has_a_squared_norm_of_at_most_a_quarter(n):
    values = np.random.default_rng(0).normal(size=n)
    for scale in (0.1, 1.0, 5.0):
        shown = shown_group(scale * values)
        assert shown @ shown <= 0.25 * (1 + 1e-12)
        assert shown == pytest.approx(shown[0] / values[0] * values)


def test_a_group_of_no_limit_keeps_its_proportion_to_the_values():
    assert shown_group(np.full(4, 3.0), limited=False).tolist() == [0.75] * 4


def test_of_two_classes_the_odds_of_the_second_are_shown_and_of_more_all():
    assert shown_odds(np.array([0.2, 0.8])) == pytest.approx([np.log(4.0)])
    assert shown_odds(np.array([0.5, 0.25, 0.25])) == pytest.approx(
        np.array([0.0, -np.log(3.0), -np.log(3.0)]) / np.sqrt(3.0)
    )


@pytest.mark.parametrize("k", [2, 3, 50])
def test_odds_have_a_squared_norm_of_at_most_sixteen(k):
    certain = np.zeros(k)
    certain[0] = 1.0
    shown = shown_odds(certain)
    assert np.isfinite(shown).all()
    assert shown @ shown <= 16.0 * (1 + 1e-12)
