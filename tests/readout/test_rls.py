"""Recursive least squares: the closed form, forgetting, weights, and staying sane for ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from river_attention import RLSRegressor
from river_attention.readout import RecursiveLeastSquares

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"


def problem(n_rows=120, n_features=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    y = X @ rng.normal(size=n_features) + 0.3 * rng.normal(size=n_rows)
    sample_weights = rng.uniform(0.0, 3.0, size=n_rows)
    sample_weights[::7] = 0.0
    return X, y, sample_weights


def ridge(X, y, sample_weights, forgetting_factor, delta):
    """The minimiser of the weighted squares plus the fading prior, solved from scratch."""
    n_rows = len(X)
    past = forgetting_factor ** np.arange(n_rows - 1, -1, -1) * sample_weights
    prior = forgetting_factor**n_rows / np.broadcast_to(delta, X.shape[1])
    precision = (X.T * past) @ X + np.diag(prior)
    return np.linalg.solve(precision, (X.T * past) @ y), np.linalg.inv(precision)


def assert_close(actual, expected, tolerance=1e-9):
    """Relative to the largest value: another order of evaluation costs that many digits."""
    np.testing.assert_allclose(
        actual, expected, rtol=0, atol=tolerance * max(np.abs(expected).max(), 1e-300)
    )


# --- the closed form


@pytest.mark.parametrize("forgetting_factor", [1.0, 0.99, 0.9])
@pytest.mark.parametrize("delta", [0.03, 1.0, 100.0, [0.01, 1.0, 5.0, 100.0]])
@pytest.mark.parametrize("weighted", [False, True])
def test_weights_are_those_of_weighted_ridge_regression(forgetting_factor, delta, weighted):
    X, y, w = problem()
    w = w if weighted else np.ones(len(y))
    rls = RecursiveLeastSquares(forgetting_factor, np.broadcast_to(delta, 4))
    for t in range(len(y)):
        before = rls.predict(X[t])
        assert rls.update(X[t], y[t], w[t]) == before
        if t % 10 == 0 or t == len(y) - 1:
            rows = slice(0, t + 1)
            weights, covariance = ridge(X[rows], y[rows], w[rows], forgetting_factor, delta)
            assert_close(rls.weights, weights)
            assert_close(rls.covariance, covariance)


@pytest.mark.parametrize("name", ["lam1", "lam1_sw", "lam099", "lam099_sw"])
def test_weights_and_predictions_are_those_of_the_reference_file(name):
    path = GOLDEN / f"rls__{name}.npz"
    if not path.exists():
        pytest.skip("no reference files beside this repository")
    z = np.load(path)
    rls = RecursiveLeastSquares(float(z["lam"]), np.full(z["X"].shape[1], float(z["delta"])))
    rows = zip(z["X"], z["y"], z["sample_weight"], z["weights"], z["prior_prediction"], strict=True)
    largest = np.abs(z["prior_prediction"]).max()
    for phi, y, w, weights, prediction in rows:
        assert abs(rls.update(phi, y, w) - prediction) <= 1e-9 * largest
        assert_close(rls.weights, weights)
    assert_close(rls.covariance, z["final_P"])


@pytest.mark.parametrize("forgetting_factor", [1.0, 0.95])
def test_the_linear_model_solves_the_same_problem_with_an_intercept(forgetting_factor):
    X, y, w = problem()
    model = RLSRegressor(forgetting_factor, delta=10.0)
    for phi, target, weight in zip(X.tolist(), y.tolist(), w.tolist(), strict=True):
        model.learn_one(dict(zip("abcd", phi, strict=True)), target, weight)
    weights, _ = ridge(np.column_stack([np.ones(len(y)), X]), y, w, forgetting_factor, 10.0)
    assert_close(np.array([model.intercept_, *model.weights_.values()]), weights)
    assert list(model.weights_) == ["a", "b", "c", "d"]


def test_a_sample_of_weight_two_counts_as_two_of_weight_one():
    X, y, _ = problem()
    double, twice = RecursiveLeastSquares(1.0, np.ones(4)), RecursiveLeastSquares(1.0, np.ones(4))
    for phi, target in zip(X, y, strict=True):
        double.update(phi, target, 2.0)
        twice.update(phi, target)
        twice.update(phi, target)
    assert_close(double.weights, twice.weights)
    assert_close(double.covariance, twice.covariance)


def test_a_sample_of_weight_zero_forgets_and_teaches_nothing():
    X, y, _ = problem()
    rls = RecursiveLeastSquares(0.9, np.ones(4))
    for phi, target in zip(X, y, strict=True):
        rls.update(phi, target)
    weights, covariance = rls.weights, rls.covariance
    rls.update(X[0], 1e6, 0.0)
    assert np.array_equal(rls.weights, weights)
    assert_close(rls.covariance, covariance / 0.9, 1e-12)


def test_before_anything_is_learned_the_prediction_is_zero():
    assert RecursiveLeastSquares(delta=np.ones(3)).predict(np.ones(3)) == 0.0


# --- features that come later


def test_a_feature_appended_later_is_one_that_was_zero_so_far():
    X, y, w = problem()
    X[:50, 2:] = 0.0
    whole, grown = RecursiveLeastSquares(1.0, np.full(4, 2.0)), RecursiveLeastSquares(1.0, 2.0)
    for t in range(len(y)):
        whole.update(X[t], y[t], w[t])
        grown.update(X[t, : 2 if t < 50 else 4], y[t], w[t])
    assert_close(grown.weights, whole.weights, 1e-12)
    assert_close(grown.covariance, whole.covariance, 1e-12)


def test_extend_gives_each_new_feature_its_prior_variance_and_weight_zero():
    rls = RecursiveLeastSquares(0.99, np.ones(2))
    rls.update(np.array([1.0, 2.0]), 3.0)
    before = rls.covariance
    rls.extend([5.0, 7.0])
    assert rls.n_features == 4
    assert np.array_equal(rls.weights[2:], [0.0, 0.0])
    assert np.array_equal(rls.covariance[:2, :2], before)
    assert np.array_equal(rls.covariance[2:, 2:], np.diag([5.0, 7.0]))
    assert not rls.covariance[:2, 2:].any()


def test_features_not_known_yet_count_for_nothing_in_a_prediction():
    rls = RecursiveLeastSquares(delta=1.0)
    rls.update(np.array([1.0, 2.0]), 3.0)
    assert rls.predict(np.array([1.0, 2.0, 1e9])) == rls.predict(np.array([1.0, 2.0]))


def test_too_few_features_are_refused():
    rls = RecursiveLeastSquares(delta=np.ones(3))
    with pytest.raises(ValueError, match="phi"):
        rls.predict(np.ones(2))
    with pytest.raises(ValueError, match="phi"):
        rls.update(np.ones(2), 1.0)


def test_a_feature_without_a_prior_is_refused():
    rls = RecursiveLeastSquares(delta=np.ones(3))
    with pytest.raises(ValueError, match="prior"):
        rls.update(np.ones(4), 1.0)


def test_arrays_given_and_taken_are_not_shared():
    rls = RecursiveLeastSquares(delta=np.ones(2))
    phi = np.array([1.0, 2.0])
    rls.update(phi, 1.0)
    assert np.array_equal(phi, [1.0, 2.0])
    weights, covariance = rls.weights, rls.covariance
    weights[:] = covariance[:] = 99.0
    rls.update(phi, 1.0)
    assert abs(rls.predict(phi)) < 2.0


# --- Huber


def huber_weights(errors):
    """ω of each error as the equation has it."""
    fast = slow = 0.0
    for n, error in enumerate(np.abs(errors).tolist(), start=1):
        scale = max(fast, 0.25 * slow)
        yield min(1.0, scale / error) if n > 1 else 1.0
        slow += max(1.0 / n, 0.001) * (error - slow)
        if n > 20 and scale > 0.0:
            error = min(error, 4.0 * scale)
        fast += max(1.0 / n, 0.005) * (error - fast)


def test_huber_weights_are_those_of_the_equation():
    X, y, w = problem(300)
    y[::10] += 100.0
    robust = RecursiveLeastSquares(0.99, np.ones(4), huber=True)
    errors = [
        target - robust.update(phi, target, weight)
        for phi, target, weight in zip(X, y, w, strict=True)
        if weight > 0.0
    ]
    weighted = RecursiveLeastSquares(0.99, np.ones(4))
    rows = [row for row in zip(X, y, w, strict=True) if row[2] > 0.0]
    for (phi, target, weight), omega in zip(rows, huber_weights(errors), strict=True):
        weighted.update(phi, target, weight * omega)
    assert_close(robust.weights, weighted.weights)


def test_outliers_count_for_less_with_huber():
    X, y, _ = problem(400)
    truth = np.linalg.lstsq(X, y, rcond=None)[0]
    y[7::15] += 1e3
    errors = {}
    for huber in (False, True):
        rls = RecursiveLeastSquares(0.999, np.ones(4), huber=huber)
        for phi, target in zip(X, y, strict=True):
            rls.update(phi, target)
        errors[huber] = np.abs(rls.weights - truth).max()
    assert errors[True] < 0.1 * errors[False]


# --- staying sane for ever


def test_a_certainty_beyond_rounding_does_not_make_weights_nan():
    # the first sample leaves nothing of P, the second would be inf · 0
    rls = RecursiveLeastSquares(1.0, np.ones(2))
    rls.update(np.array([1.0, 1e-150]), 1.0, 1e150)
    rls.update(np.array([1.0, 5e-324]), -1e150, 1e308)
    assert np.isfinite(rls.weights).all()


@pytest.mark.parametrize("leak", [0, 8])
def test_the_covariance_is_exactly_symmetric(leak):
    X, y, w = problem(500)
    rls = RecursiveLeastSquares(0.95, np.ones(4), leak=leak)
    for phi, target, weight in zip(X, y, w, strict=True):
        rls.update(phi, target, weight)
        assert np.array_equal(rls.covariance, rls.covariance.T)


INPUTS = {
    "white": lambda rng, p: rng.normal(size=p),
    "constant": lambda rng, p: np.ones(p),
    "duplicated": lambda rng, p: np.tile(rng.normal(size=p // 2), 2),
    "dead": lambda rng, p: np.concatenate([rng.normal(size=p // 2), np.zeros(p - p // 2)]),
    "all dead": lambda rng, p: np.zeros(p),
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize(
    ("n_features", "forgetting_factor"), [(20, 0.95), (20, 0.99), (20, 0.998), (100, 0.95)]
)
def test_the_leak_bounds_the_covariance_whatever_the_input(name, n_features, forgetting_factor):
    rng = np.random.default_rng(0)
    prior = np.where(np.arange(n_features) % 2, 0.03, 0.01)
    rls = RecursiveLeastSquares(forgetting_factor, prior, leak=8)
    for t in range(3000):
        phi = INPUTS[name](rng, n_features)
        rls.update(phi, float(phi.sum()) + rng.normal())
        if t % 50 == 0 or t > 2980:
            assert (np.diag(rls.covariance) <= 3 * 30 * prior).all()
    eigenvalues = np.linalg.eigvalsh(rls.covariance)
    assert eigenvalues[0] > 0.0
    assert rls.n_resets_ == 0
    assert np.isfinite(rls.weights).all()


def test_the_leak_has_no_effect_where_nothing_is_forgotten():
    X, y, _ = problem()
    plain, leaking = (RecursiveLeastSquares(1.0, np.ones(4), leak=leak) for leak in (0, 1))
    for phi, target in zip(X, y, strict=True):
        plain.update(phi, target)
        leaking.update(phi, target)
    assert np.array_equal(plain.weights, leaking.weights)
    assert np.array_equal(plain.covariance, leaking.covariance)


def test_the_leak_costs_little_accuracy_on_live_features():
    X, y, _ = problem(2000)
    errors = []
    for leak in (0, 8):
        rls = RecursiveLeastSquares(0.99, np.ones(4), leak=leak)
        errors.append(np.mean([(t - rls.update(phi, t)) ** 2 for phi, t in zip(X, y, strict=True)]))
    assert errors[1] < 1.02 * errors[0]


def test_the_leak_lets_the_weight_of_a_dead_feature_fade():
    rng = np.random.default_rng(0)
    rls = RecursiveLeastSquares(0.95, np.ones(2), leak=8)
    for a, b in rng.normal(size=(200, 2)):
        rls.update(np.array([a, b]), a + b)
    assert rls.weights[1] > 0.9
    for a in rng.normal(size=5000):
        rls.update(np.array([a, 0.0]), a)
    assert abs(rls.weights[1]) < 0.1


@pytest.mark.parametrize("leak", [0, 8])
@pytest.mark.parametrize("phi", [np.zeros(3), np.ones(3), np.array([1.0, 0.0, 0.0])])
def test_winding_up_stays_finite(phi, leak):
    # at 0.5 this forgets as much as 0.99 does in 200 000 steps
    rls = RecursiveLeastSquares(0.5, np.ones(3), leak=leak)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for _ in range(3000):
            rls.update(phi, 1.0)
            assert np.isfinite(rls.predict(np.ones(3)))
    assert np.isfinite(rls.covariance).all()


@pytest.mark.parametrize("phi", [np.zeros(3), np.ones(3), np.array([1.0, 0.0, 0.0])])
def test_after_winding_up_it_learns_again(phi):
    rls = RecursiveLeastSquares(0.9, np.ones(3))
    for _ in range(10_000):
        rls.update(phi, 1.0)
    weights = np.array([1.0, -2.0, 3.0])
    for row in np.random.default_rng(0).normal(size=(200, 3)):
        rls.update(row, float(weights @ row))
    np.testing.assert_allclose(rls.weights, weights, rtol=1e-6)


def test_white_noise_is_harmless_without_a_leak_for_twice_as_long_as_the_textbook_form_lasts():
    # P -= k (φ'P) diverges at step 3 315 at this rate of forgetting
    rng = np.random.default_rng(0)
    rls = RecursiveLeastSquares(0.99, np.ones(10))
    weights = rng.normal(size=10)
    for phi in rng.normal(size=(8000, 10)):
        rls.update(phi, float(weights @ phi))
    np.testing.assert_allclose(rls.weights, weights, rtol=1e-6)
    assert np.linalg.eigvalsh(rls.covariance)[0] > 0.0


extreme = st.sampled_from([0.0, 1.0, -1.0, 1e150, -1e150, 1e77, 1e-150, 5e-324, 1e40, -1e20])


@given(
    rows=st.lists(
        st.tuples(
            st.lists(extreme, min_size=3, max_size=3),
            extreme,
            st.sampled_from([1.0, 0.0, 1e308, 5e-324, 1e150]),
        ),
        max_size=25,
    ),
    forgetting_factor=st.sampled_from([1.0, 0.99, 0.5]),
    leak=st.sampled_from([0, 1, 8]),
    huber=st.booleans(),
)
@settings(max_examples=300)
def test_weights_stay_finite_whatever_the_input(rows, forgetting_factor, leak, huber):
    rls = RecursiveLeastSquares(forgetting_factor, np.ones(3), leak, huber)
    for phi, y, w in rows:
        rls.update(np.array(phi), y, w)
        assert np.isfinite(rls.weights).all()
        assert np.isfinite(rls.covariance).all()


# --- several targets


def several(n_rows=120, n_targets=3, seed=0):
    X, _, w = problem(n_rows, seed=seed)
    rng = np.random.default_rng(seed + 1)
    Y = X @ rng.normal(size=(X.shape[1], n_targets)) + 0.3 * rng.normal(size=(n_rows, n_targets))
    return X, Y, w


@pytest.mark.parametrize("name", ["lam1_multi", "lam099_sw_multi"])
def test_several_targets_are_those_of_the_reference_file(name):
    path = GOLDEN / f"rls__{name}.npz"
    if not path.exists():
        pytest.skip("no reference files beside this repository")
    z = np.load(path)
    n_rows, n_features = z["X"].shape
    sample_weight = z["sample_weight"] if "sample_weight" in z else np.ones(n_rows)
    rls = RecursiveLeastSquares(float(z["lam"]), np.full(n_features, float(z["delta"])))
    rows = zip(z["X"], z["y"], sample_weight, z["weights"], z["prior_prediction"], strict=True)
    largest = np.abs(z["prior_prediction"]).max()
    for phi, y, w, weights, prediction in rows:
        np.testing.assert_allclose(rls.update(phi, y, w), prediction, rtol=0, atol=1e-9 * largest)
        assert_close(rls.weights, weights)
    assert_close(rls.covariance, z["final_P"])


@pytest.mark.parametrize("forgetting_factor", [1.0, 0.95])
@pytest.mark.parametrize("delta", [0.03, 100.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_weights_for_several_targets_are_those_of_ridge_regression(
    forgetting_factor, delta, weighted
):
    X, Y, w = several()
    w = w if weighted else np.ones(len(Y))
    rls = RecursiveLeastSquares(forgetting_factor, np.full(4, delta))
    for t in range(len(Y)):
        before = rls.predict(X[t])
        assert np.array_equal(rls.update(X[t], Y[t], w[t]), before if t else np.zeros(3))
    weights, covariance = ridge(X, Y, w, forgetting_factor, delta)
    assert_close(rls.weights, weights)
    assert_close(rls.covariance, covariance)


@pytest.mark.parametrize("leak", [0, 8])
def test_several_targets_share_what_each_alone_would_learn(leak):
    X, Y, w = several(400)
    together = RecursiveLeastSquares(0.95, np.ones(4), leak=leak)
    alone = [RecursiveLeastSquares(0.95, np.ones(4), leak=leak) for _ in range(3)]
    for phi, y, weight in zip(X, Y, w, strict=True):
        together.update(phi, y, weight)
        for rls, target in zip(alone, y.tolist(), strict=True):
            rls.update(phi, target, weight)
    assert_close(together.weights, np.column_stack([rls.weights for rls in alone]))
    for rls in alone:
        assert np.array_equal(together.covariance, rls.covariance)


def test_the_huber_weight_of_several_targets_is_that_of_their_root_mean_square():
    X, Y, _ = several(300)
    Y[::10] += 100.0
    robust = RecursiveLeastSquares(0.99, np.ones(4), huber=True)
    errors = [y - robust.update(phi, y) for phi, y in zip(X, Y, strict=True)]
    sizes = np.sqrt((np.array(errors) ** 2).mean(axis=1))
    weighted = RecursiveLeastSquares(0.99, np.ones(4))
    for phi, y, omega in zip(X, Y, huber_weights(sizes), strict=True):
        weighted.update(phi, y, omega)
    assert_close(robust.weights, weighted.weights)


def test_one_target_in_an_array_is_as_one_target():
    X, Y, w = several()
    scalar, vector = (RecursiveLeastSquares(0.99, np.ones(4), leak=8, huber=True) for _ in range(2))
    for phi, y, weight in zip(X, Y[:, :1], w, strict=True):
        scalar.update(phi, float(y[0]), weight)
        vector.update(phi, y, weight)
    assert vector.weights.shape == (4, 1)
    assert_close(vector.weights[:, 0], scalar.weights)


def test_features_appended_later_serve_all_targets():
    X, Y, w = several()
    X[:50, 2:] = 0.0
    whole, grown = RecursiveLeastSquares(1.0, np.full(4, 2.0)), RecursiveLeastSquares(1.0, 2.0)
    for t in range(len(Y)):
        whole.update(X[t], Y[t], w[t])
        grown.update(X[t, : 2 if t < 50 else 4], Y[t], w[t])
    assert_close(grown.weights, whole.weights, 1e-12)


def test_several_targets_after_one_are_refused():
    rls = RecursiveLeastSquares(delta=np.ones(2))
    rls.update(np.ones(2), 1.0)
    with pytest.raises(ValueError, match=r"y has shape \(3,\)"):
        rls.update(np.ones(2), np.ones(3))


@pytest.mark.parametrize("y", [1.0, np.ones(1), np.ones(2), np.ones(4)])
def test_another_number_of_targets_is_refused(y):
    rls = RecursiveLeastSquares(delta=np.ones(2))
    rls.update(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="y has shape"):
        rls.update(np.ones(2), y)


@pytest.mark.parametrize("y", [1.0, np.ones(1), np.ones(2), np.ones(4)])
def test_what_is_refused_teaches_nothing(y):
    rls = RecursiveLeastSquares(0.9, np.ones(2))
    rls.update(np.ones(2), np.arange(3.0))
    weights, covariance = rls.weights, rls.covariance
    with pytest.raises(ValueError, match="y has shape"):
        rls.update(np.ones(2), y)
    assert np.array_equal(rls.weights, weights)
    assert np.array_equal(rls.covariance, covariance)


def test_a_target_that_is_not_finite_teaches_none_of_them():
    rls = RecursiveLeastSquares(1.0, np.ones(2))
    rls.update(np.ones(2), np.ones(3))
    before = rls.weights
    rls.update(np.ones(2), np.array([1e308, np.inf, 0.0]))
    assert np.array_equal(rls.weights, before)


def test_targets_of_extreme_size_leave_the_weights_finite():
    rls = RecursiveLeastSquares(0.9, np.ones(2), leak=1, huber=True)
    with np.errstate(over="raise", invalid="raise"):
        for _ in range(20):
            rls.update(np.array([1e100, 1.0]), np.array([1e100, -1e100, 1.0]))
    assert np.isfinite(rls.weights).all()


# --- uncertainty


def test_the_spread_is_the_variance_of_the_prediction():
    X, y, w = problem()
    rls = RecursiveLeastSquares(0.99, [0.01, 1.0, 5.0, 100.0], leak=8)
    for phi, target, weight in zip(X, y, w, strict=True):
        expected = phi @ rls.covariance @ phi
        assert abs(rls.spread(phi) - expected) < 1e-10 * expected
        rls.update(phi, target, weight)


def test_the_spread_of_a_model_without_features_is_zero():
    assert RecursiveLeastSquares().spread(np.ones(3)) == 0.0


def test_features_not_known_yet_do_not_count_in_the_spread():
    rls = RecursiveLeastSquares(delta=1.0)
    rls.update(np.array([1.0, 2.0]), 3.0)
    assert rls.spread(np.array([1.0, 2.0, 1e9])) == rls.spread(np.array([1.0, 2.0]))


def test_the_spread_changes_nothing():
    X, y, _ = problem(10)
    rls = RecursiveLeastSquares(0.9, np.ones(4))
    for phi, target in zip(X, y, strict=True):
        rls.update(phi, target)
    before = rls.covariance
    rls.spread(X[0])
    assert np.array_equal(rls.covariance, before)


def test_the_prior_may_differ_from_feature_to_feature():
    prior = np.array([0.01, 1.0, 5.0])
    assert np.array_equal(RecursiveLeastSquares(delta=prior).covariance, np.diag(prior))


@pytest.mark.parametrize("delta", [[1.0, 0.0], [1.0, -1.0], [1.0, np.nan], np.ones((2, 2)), "1,2"])
def test_a_bad_prior_is_refused_by_name(delta):
    with pytest.raises(ValueError, match="delta"):
        RecursiveLeastSquares(delta=delta)


def test_reopening_sets_back_the_covariance_and_keeps_the_weights():
    X, y, _ = problem()
    prior = np.array([0.01, 1.0, 5.0, 100.0])
    rls = RecursiveLeastSquares(0.99, prior)
    for phi, target in zip(X, y, strict=True):
        rls.update(phi, target)
    before = rls.weights
    rls.reopen()
    assert np.array_equal(rls.covariance, np.diag(prior))
    assert np.array_equal(rls.weights, before)
