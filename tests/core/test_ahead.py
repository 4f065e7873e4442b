"""Forecasts of many steps: which origins are scored, and what is learned from their errors."""

from __future__ import annotations

import numpy as np
import pytest

from river_attention.core.ahead import ETAS, ErrorsAhead, Origins
from river_attention.readout import ErrorQuantiles
from river_attention.readout.robust import NoiseVariance


@pytest.mark.parametrize("season", [2, 5, 7, 8, 12, 24, 168])
def test_every_phase_of_a_season_is_scored_as_often(season):
    origins = Origins()
    phases = np.zeros(season)
    for origin in range(1000, 1000 + 400 * season):
        phases[origin % season] += origin in origins
    assert phases == pytest.approx(50.0, rel=0.2)  # 0 or 150 with every eighth of 24


@pytest.mark.parametrize(
    ("at_least", "early", "late"), [(1, 1000, 125), (3, 333, 125), (20, 50, 50)]
)
def test_all_of_the_first_origins_are_scored_and_an_eighth_of_the_others(at_least, early, late):
    origins = Origins(at_least)
    assert sum(origin in origins for origin in range(1000)) == pytest.approx(early, abs=2)
    assert sum(origin in origins for origin in range(1000, 2000)) == pytest.approx(late, abs=2)


def test_errors_of_every_step_are_followed_as_those_of_one():
    rng = np.random.default_rng(0)
    n_steps, every = 4, 2
    known = ErrorsAhead(n_steps, n_experts=3, spacings=(every, 8))
    noises = [NoiseVariance() for _ in range(n_steps)]
    errors = [ErrorQuantiles(max(1.0, h / every)) for h in range(1, n_steps + 1)]
    for t in range(80):
        experts = rng.normal(size=(3, n_steps)) * (1e3 if t == 50 else 1.0)
        mixed, truth = experts.mean(axis=0), rng.normal(size=n_steps)
        expected = known.size.copy()
        known.learn(experts, mixed, truth, 2.0, expected)
        for h, (noise, quantiles) in enumerate(zip(noises, errors, strict=True)):
            error = float((truth - mixed)[h] / 2.0)
            noise.update(error)
            quantiles.update(error, float(expected[h]))
    assert known.n == noises[0].n == 80
    assert known.squares == pytest.approx(np.array([noise.value for noise in noises]), rel=1e-12)
    for h, quantiles in enumerate(errors):
        ours = known.quantiles_of(h)
        assert ours.quantiles == pytest.approx(quantiles.quantiles, rel=1e-12)
        assert ours.size == pytest.approx(quantiles.size, rel=1e-12)
        assert ours.deviation == pytest.approx(quantiles.deviation, rel=1e-12)


def test_shares_learn_faster_from_fewer_origins():
    experts, truth = np.array([[0.0], [1.0]]), np.zeros(1)
    for sparse, eta in enumerate(ETAS):
        known = ErrorsAhead(1, 2)
        known.learn(experts, np.ones(1), truth, 1.0, known.size.copy(), bool(sparse))
        # the loss is 2: one unit of error where the median is a half
        odds = np.exp(2.0 * eta)
        assert known.shares[0, 0] == pytest.approx(0.995 * odds / (1.0 + odds) + 0.0025)
