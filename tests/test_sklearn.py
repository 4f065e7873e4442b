"""The bridge to scikit-learn."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
from river import compat
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from river_attention import StreamingAttentionClassifier, StreamingAttentionRegressor
from river_attention.sklearn import NOT_TAKEN, AttentionClassifier, AttentionRegressor

BY_ORDER = {
    "check_sample_weight_equivalence_on_dense_data": "a row that comes twice is two steps in time",
    "check_methods_sample_order_invariance": "rows are predicted in the order of time",
    "check_methods_subset_invariance": "a row is predicted as what follows the rows before it",
}
PAIRS = [
    (AttentionRegressor, StreamingAttentionRegressor),
    (AttentionClassifier, StreamingAttentionClassifier),
]


@parametrize_with_checks(
    [AttentionRegressor(), AttentionClassifier()],
    expected_failed_checks=lambda estimator: BY_ORDER,
)
def test_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


def stream(n=300, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    X[::17, 1] = np.nan
    return X, np.sin(np.arange(n) / 3.0) + X[:, 0] + 5.0


def labels(X):
    return np.where(X[:, 0] > 0.0, "up", "down")


@pytest.mark.parametrize(("ours", "river"), PAIRS)
def test_parameters_and_their_defaults_are_those_of_the_river_estimator(ours, river):
    theirs = {
        name: parameter.default
        for name, parameter in inspect.signature(river).parameters.items()
        if name not in NOT_TAKEN
    }
    assert ours().get_params() == theirs
    assert list(inspect.signature(ours).parameters) == list(theirs)


def test_a_fit_is_one_pass_and_a_partial_fit_goes_on():
    X, y = stream()
    whole, parts = AttentionRegressor().fit(X, y), AttentionRegressor()
    river = StreamingAttentionRegressor()
    for rows in (slice(0, 1), slice(1, 150), slice(150, 300)):
        parts.partial_fit(X[rows], y[rows])
    for x, label in zip(X.tolist(), y.tolist(), strict=True):
        river.learn_one(dict(enumerate(x)), label)
    assert whole.predict(X[:5]).tolist() == parts.predict(X[:5]).tolist()
    assert whole.predict(X[:1])[0] == river.predict_one(dict(enumerate(X[0].tolist())))
    # from scratch again
    assert parts.fit(X, y).predict(X[:5]).tolist() == whole.predict(X[:5]).tolist()


@pytest.mark.parametrize("ours", [AttentionRegressor, AttentionClassifier])
def test_predictions_roll_on_and_leave_the_model_where_it_is(ours):
    X, y = stream()
    y = y if ours is AttentionRegressor else labels(X)
    model = ours().fit(X, y)
    before = pickle.dumps(model)
    said = model.predict(X[:20])
    river = pickle.loads(pickle.dumps(model.model_))
    expected = []
    for x in X[:20].tolist():
        expected.append(river.predict_one(dict(enumerate(x))))
        river.advance_one(dict(enumerate(x)))
    assert said.tolist() == expected
    assert pickle.dumps(model) == before
    assert pickle.loads(before).predict(X[:20]).tolist() == expected


def test_frames_keep_their_names_and_may_hold_what_river_takes():
    X, y = stream(60)
    frame = pd.DataFrame(X, columns=["a", "b"])
    model = AttentionRegressor().fit(frame, y)
    assert model.feature_names_in_.tolist() == ["a", "b"]
    river = StreamingAttentionRegressor()
    river.learn_many(frame, y)
    assert model.predict(frame[:1])[0] == river.predict_one(frame.iloc[0].to_dict())
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"a": "c"}))
    mixed = frame.assign(
        when=pd.date_range("2024-01-01", periods=60, freq="h"),
        shop=[None if i % 9 == 4 else "north" if i % 2 else "south" for i in range(60)],
    )
    model = AttentionRegressor(categorical=("shop",)).fit(mixed, y)
    assert np.isfinite(model.predict(mixed)).all()
    assert "shop=north" in model.model_.features_.encoder.names
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit(mixed, y[:-1])
    with pytest.raises(ValueError, match="NaN"):
        model.fit(mixed, np.full(60, np.nan))


def test_weights_are_those_of_the_rows():
    X, y = stream()
    wrong = np.where(np.arange(300) % 2, 1e3, y)
    weights = (np.arange(300) % 2 == 0).astype(float)
    told = AttentionRegressor(prior="zero").fit(X, wrong, sample_weight=weights)
    not_told = AttentionRegressor(prior="zero").fit(X, wrong)
    assert told.predict(X[:1])[0] != not_told.predict(X[:1])[0]


def test_classes_are_sorted_and_may_join_late():
    X, _ = stream()
    y = labels(X)
    model = AttentionClassifier().partial_fit(X[:100], y[:100])
    model.partial_fit(X[100:101], ["aside"])
    assert model.classes_.tolist() == ["aside", "down", "up"]
    assert model.predict_proba(X[:5]).shape == (5, 3)
    np.testing.assert_allclose(model.predict_proba(X[:5]).sum(axis=1), 1.0)
    told = AttentionClassifier().partial_fit(X[:1], ["up"], classes=["up", "down", "flat"])
    assert told.predict_proba(X[:2]).tolist() == [[0.0, 0.0, 1.0]] * 2
    with pytest.raises(ValueError, match="sideways"):
        told.partial_fit(X[:1], ["sideways"])
    assert told.fit(X, y).classes_.tolist() == ["down", "up"]


def test_searches_and_pipelines_work():
    X, y = stream(120)
    X = np.nan_to_num(X)
    pipe = make_pipeline(FunctionTransformer(), AttentionRegressor(memory=0, window=20))
    grid = {"attentionregressor__n_lags": [0, 6], "attentionregressor__mode": [None, "gla"]}
    search = GridSearchCV(pipe, grid, cv=TimeSeriesSplit(2), error_score="raise").fit(X, y)
    assert search.best_params_.keys() == grid.keys()
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(X[:4]).shape == (4,)
    # by a parameter, not by rows: those would be drawn without their order
    halving = HalvingGridSearchCV(
        AttentionRegressor(memory=0),
        {"n_lags": [0, 2, 6]},
        resource="window",
        max_resources=80,
        min_resources=20,
        cv=TimeSeriesSplit(2),
        error_score="raise",
    ).fit(X, y)
    assert halving.best_params_["window"] in (20, 60)


def test_clones_have_the_parameters_and_nothing_learned():
    X, y = stream(50)
    model = AttentionRegressor(n_lags=3, categorical=(1,)).fit(X, y)
    fresh = clone(model)
    assert fresh.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(X)


def test_wrong_parameters_are_named_when_fitting():
    X, y = stream(20)
    with pytest.raises(ValueError, match=r"n_lags=-1"):
        AttentionRegressor(n_lags=-1).fit(X, y)
    with pytest.raises(ValueError, match="continuous"):
        AttentionClassifier().fit(X, y)


def test_nothing_is_learned_from_a_block_that_is_wrong():
    X, y = stream(60)
    model = AttentionRegressor().fit(X, y)
    before = model.predict(X[:3]).tolist()
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :1], y)
    with pytest.raises(ValueError, match="infinity"):
        model.partial_fit(X, np.append(y[:-1], np.inf))
    assert model.predict(X[:3]).tolist() == before


# --- river's own wrapper


def test_the_wrapper_of_river_works_with_our_estimators():
    X, y = stream(120)
    X = np.nan_to_num(X)
    wrapped = compat.convert_river_to_sklearn(StreamingAttentionRegressor()).fit(X, y)
    assert np.isfinite(wrapped.predict(X)).all()
    classes = compat.convert_river_to_sklearn(StreamingAttentionClassifier())
    classes.fit(X, (y > 5.0).astype(int))
    assert set(classes.predict(X).tolist()) <= {0, 1}


@pytest.mark.parametrize("ours", [AttentionRegressor, AttentionClassifier])
@pytest.mark.parametrize("wrong", [{"n_lags": -1}, {}])
def test_a_fit_that_fails_leaves_what_was_fitted(ours, wrong, fingerprint):
    X, y = stream(60)
    model = ours().fit(X, y if ours is AttentionRegressor else labels(X)).set_params(**wrong)
    before = fingerprint(model)
    with pytest.raises(ValueError, match="n_lags=-1" if wrong else "NaN"):
        model.fit(X[:2, :1], [0.0, 1.0] if wrong else [0.0, np.nan])
    assert fingerprint(model) == before


def test_classes_that_were_told_are_forgotten_with_a_fit():
    X, _ = stream(60)
    model = AttentionClassifier().partial_fit(X, ["a"] * 60, classes=["a", "b"])
    model.fit(X, ["c"] * 60).partial_fit(X, ["d"] * 60)
    assert model.classes_.tolist() == ["c", "d"]


def test_predictions_are_the_same_by_block_and_row_by_row(numpy_only):
    X, y = stream(200)
    by_rows = AttentionRegressor().fit(X[:150], y[:150]).predict(X[150:])
    model = StreamingAttentionRegressor()
    model.learn_many(X[:150], y[:150])
    for x, found in zip(X[150:].tolist(), by_rows, strict=True):
        assert found == model.predict_one(dict(enumerate(x)))
        model.advance_one(dict(enumerate(x)))
