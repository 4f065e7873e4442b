"""Targets on arrays are single targets side by side."""

from __future__ import annotations

import numpy as np
import pytest

from river_attention.core.target import PRIORS, Target
from river_attention.core.targets import Targets


def values(n_rows=80):
    rng = np.random.default_rng(3)
    Y = np.cumsum(rng.normal(size=(n_rows, 3)), axis=0)
    Y[:, 1] = 5.0
    Y[40:, 1] += rng.normal(size=n_rows - 40)
    Y[30, 2] = 1e6
    return Y


@pytest.mark.parametrize("prior", PRIORS)
def test_every_row_is_what_a_target_alone_is(prior):
    Y, several, alone = values(), Targets(prior, 4), [Target(prior, 4) for _ in range(3)]
    several.add(3)
    for row in Y:
        several.update(row)
        for target, y in zip(alone, row.tolist(), strict=True):
            target.update(y)
        # sums are taken in another order
        close = {"rtol": 1e-9, "atol": 1e-12}
        for name in ("anchor", "scale", "delta", "lags", "low", "high"):
            expected = np.array([getattr(target, name) for target in alone])
            np.testing.assert_allclose(getattr(several, name), expected, **close)
        r = np.array([0.5, -200.0, 3.0])
        restored = [target.restore(one) for target, one in zip(alone, r, strict=True)]
        np.testing.assert_allclose(several.restore(r), restored, **close)
        units = np.array([target.in_units for target in alone]).T
        np.testing.assert_allclose(several.in_units, units, **close)


def test_a_target_that_is_missing_stays_as_it_is():
    with_gaps, without = Targets("persistence", 4), Targets("persistence", 4)
    with_gaps.add(2)
    without.add(1)
    for t, row in enumerate(values()):
        gap = t > 0 and t % 3 == 0
        with_gaps.update(np.array([row[0], np.nan if gap else row[2]]))
        if not gap:
            without.update(row[2:])
    for name in ("anchor", "scale", "delta", "lags", "past", "last"):
        # the counts behind the rates are kept in another way when all values are there
        np.testing.assert_allclose(getattr(with_gaps, name)[1], getattr(without, name)[0])


def test_after_forgetting_the_stream_the_mean_takes_the_place_of_the_last_value():
    targets = Targets("persistence", 2)
    targets.add(1)
    for y in (1.0, 2.0, 6.0):
        targets.update(np.array([y]))
    targets.forget_stream()
    assert targets.anchor.tolist() == [3.0]
    assert not targets.known.any()
    assert not targets.lags.any()
    assert not targets.delta.any()
    targets.update(np.array([7.0]))
    assert targets.anchor.tolist() == [7.0]
    assert targets.past.tolist() == [[7.0, 7.0]]
