"""Experts of several targets: one P, errors weighted for each."""

from __future__ import annotations

import numpy as np

from river_attention.readout import RecursiveLeastSquares
from river_attention.readout.rls import LEAK
from river_attention.readout.several import SharedLinear


def rows(n_rows=120, m=3):
    rng = np.random.default_rng(1)
    phi = np.hstack([np.ones((n_rows, 1)), rng.normal(size=(n_rows, 3))])
    noise = rng.standard_t(2, size=(n_rows, m))
    return phi, phi @ rng.normal(size=(4, m)) + 0.3 * noise


def shared(m, huber=True):
    expert = SharedLinear(0.99, np.full(4, 0.1), 0.1, huber)
    for _ in range(m):
        expert.add_target()
    return expert


def test_with_one_target_it_is_recursive_least_squares():
    phi, Y = rows(m=1)
    expert, alone = shared(1), RecursiveLeastSquares(0.99, np.full(4, 0.1), LEAK, huber=True)
    for features, y in zip(phi, Y, strict=True):
        expert.update(features, y, [0], 1.0)
        alone.update(features, float(y[0]))
    # products of matrices and of vectors are summed in another order
    np.testing.assert_allclose(expert.rls.weights[:, 0], alone.weights, rtol=1e-9)
    np.testing.assert_allclose(expert.rls.covariance, alone.covariance, rtol=1e-9)


def test_without_huber_every_target_is_learned_as_alone():
    phi, Y = rows()
    expert = shared(3, huber=False)
    for features, y in zip(phi, Y, strict=True):
        expert.update(features, y, [0, 1, 2], 1.0)
    for j in range(3):
        alone = RecursiveLeastSquares(0.99, np.full(4, 0.1), LEAK)
        for features, y in zip(phi, Y[:, j].tolist(), strict=True):
            alone.update(features, y)
        np.testing.assert_allclose(expert.rls.weights[:, j], alone.weights, rtol=1e-9)


def test_an_outlier_of_one_target_does_not_move_the_others():
    phi, Y = rows()
    calm, hit = shared(3), shared(3)
    for t, (features, y) in enumerate(zip(phi, Y, strict=True)):
        calm.update(features, y, [0, 1, 2], 1.0)
        hit.update(features, y + (np.array([1e6, 0, 0]) if t == 100 else 0.0), [0, 1, 2], 1.0)
    apart = np.abs(calm.rls.weights - hit.rls.weights).max(axis=0)
    assert apart[1:].max() < 0.05
    assert apart[0] < 0.5


def test_a_target_that_is_missing_keeps_its_weights():
    phi, Y = rows()
    expert = SharedLinear(1.0, np.full(4, 0.1), 0.1, huber=True)  # no leak: nothing is forgotten
    for _ in range(3):
        expert.add_target()
    for features, y in zip(phi[:50], Y[:50], strict=True):
        expert.update(features, y, [0, 1, 2], 1.0)
    before, scale = expert.rls.weights[:, 1], vars(expert.scales[1]).copy()
    for features, y in zip(phi[50:], Y[50:], strict=True):
        expert.update(features, y, [0, 2], 1.0)
    assert expert.rls.weights[:, 1].tobytes() == before.tobytes()
    assert vars(expert.scales[1]) == scale
