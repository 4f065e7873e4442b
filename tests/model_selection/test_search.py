"""Searches are many progressive validations at once: same scores, one reading, errors that say."""

from __future__ import annotations

import copy
import datetime as dt
import itertools
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from river import (
    compose,
    datasets,
    drift,
    dummy,
    evaluate,
    linear_model,
    metrics,
    preprocessing,
    stream,
    tree,
    utils,
)
from scipy import stats

from river_attention import (
    RLSRegressor,
    StreamingAttentionClassifier,
    StreamingAttentionForecaster,
    StreamingAttentionMultiRegressor,
    StreamingAttentionRegressor,
)
from river_attention.model_selection import ProgressiveGridSearch, ProgressiveRandomSearch
from river_attention.model_selection.scores import N_POINTS
from river_attention.modes import GLA, LogLinear, RetNet

FAST = {"memory": 0, "window": 0, "n_lags": 2, "readout": "rls"}


def make_rows(n=300, seed=0):
    """Plain numbers by the same names in every row: what the block path takes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    y = np.cumsum(X[:, 0]) + X[:, 1] + 0.1 * rng.normal(size=n)
    names = ("a", "b", "c")
    return [
        (dict(zip(names, x, strict=True)), t) for x, t in zip(X.tolist(), y.tolist(), strict=True)
    ]


def ragged_rows(n=300):
    """Names that come and go, gaps and dates: not for the block path."""
    rows = make_rows(n)
    for i, (x, _) in enumerate(rows):
        if i % 7 == 0:
            del x["b"]
        if i % 11 == 0:
            x["c"] = None
        x["t"] = dt.datetime(2020, 1, 1) + dt.timedelta(hours=i)
    return rows


def labelled_rows(n=300):
    return [(x, "up" if y > 0 else "down") for x, y in make_rows(n)]


def search(estimator, grid, **params):
    return ProgressiveGridSearch(estimator, grid, progress=False, **params)


MODES = {
    "mode": ["gla", "delta_net", "gated_delta_net", "hawk", "retnet", "rwkv7", "hgrn2", "mlstm"],
    "n_heads": [1, 2],
    "forgetting_factor": [0.9, 0.99, 0.998, 1.0],
}

CASES = {
    "64 candidates": (StreamingAttentionRegressor(**FAST), MODES, None, make_rows, {}),
    "mixture": (
        StreamingAttentionRegressor(window=50, long_lags=5),
        {"mode": ["gla", None], "seed": [1, 2]},
        metrics.RMSE(),
        make_rows,
        {},
    ),
    "ragged": (StreamingAttentionRegressor(**FAST), {"n_heads": [1, 3]}, None, ragged_rows, {}),
    "late": (
        StreamingAttentionRegressor(**FAST),
        {"n_heads": [1, 3], "advance_on": ["learn", "predict"]},
        None,
        make_rows,
        {"delay": 5},
    ),
    "late by moment": (
        StreamingAttentionRegressor(**FAST),
        {"n_heads": [1, 3]},
        None,
        ragged_rows,
        {"moment": "t", "delay": lambda x, y: dt.timedelta(hours=1 + (7 * x["t"].hour) % 5)},
    ),
    "rls": (
        RLSRegressor(),
        {"forgetting_factor": [0.9, 0.99], "delta": [0.1, 100.0]},
        metrics.R2(),
        make_rows,
        {},
    ),
    "classifier": (
        StreamingAttentionClassifier(window=20, long_lags=0),
        {"n_lags": [0, 3], "forgetting_factor": [0.99, (0.99, 1.0)]},
        metrics.F1(pos_val="up"),
        labelled_rows,
        {},
    ),
    "probabilities": (
        StreamingAttentionClassifier(window=20, long_lags=0),
        {"n_lags": [0, 3]},
        metrics.LogLoss(),
        lambda: [(x, y == "up") for x, y in labelled_rows()],
        {},
    ),
    "late probabilities": (
        StreamingAttentionClassifier(window=20, long_lags=0),
        {"n_lags": [0, 3]},
        metrics.CrossEntropy(),
        labelled_rows,
        {"delay": 3},
    ),
    "several targets": (
        StreamingAttentionMultiRegressor(window=0, memory=0),
        {"n_heads": [1, 2]},
        None,
        lambda: [(x, {"p": y, "q": -y}) for x, y in make_rows(150)],
        {},
    ),
    "river's pipeline": (
        preprocessing.StandardScaler() | linear_model.LinearRegression(),
        {"LinearRegression__l2": [0.0, 0.1], "StandardScaler__with_std": [True, False]},
        None,
        make_rows,
        {},
    ),
    "object in a pipeline": (
        preprocessing.StandardScaler() | linear_model.LinearRegression(),
        {"LinearRegression__optimizer__lr": [0.01, 0.1]},
        None,
        make_rows,
        {},
    ),
    "tree": (tree.HoeffdingTreeRegressor(), {"grace_period": [20, 200]}, None, make_rows, {}),
    "rolling metric": (
        linear_model.PARegressor(),
        {"C": [0.01, 1.0]},
        utils.Rolling(metrics.MAE, window_size=50),
        make_rows,
        {},
    ),
}


def alone(model, metric, rows, **when):
    return evaluate.progressive_val_score(rows, model, metric, **when).get()


@pytest.mark.parametrize("name", CASES)
def test_scores_are_those_of_separate_runs_to_the_last_bit(name):
    estimator, grid, metric, rows, when = CASES[name]
    found = search(estimator, grid, metric=metric, **when).fit(rows())
    assert found.cv_results_["error"].tolist() == [None] * len(found.cv_results_["params"])
    default = (
        metrics.multioutput.MicroAverage(metrics.MAE())
        if name == "several targets"
        else metrics.MAE()
    )
    for params, score in zip(
        found.cv_results_["params"], found.cv_results_["mean_test_score"], strict=True
    ):
        model = estimator.clone()
        for path, value in params.items():
            *steps, last = path.split("__")
            if steps:
                new = {last: value}
                for step in reversed(steps[1:]):
                    part = getattr(model[steps[0]], step)
                    new = {step: part.clone({**new})}
                model = model.clone({steps[0]: new})
            else:
                model = model.clone({last: value})
        assert score == alone(model, copy.deepcopy(metric or default), rows(), **when)


def test_the_best_model_has_learned_the_whole_stream(fingerprint):
    found = search(StreamingAttentionRegressor(**FAST), {"n_heads": [1, 2, 4]}).fit(make_rows())
    model = StreamingAttentionRegressor(**FAST, **found.best_params_)
    for x, y in make_rows():
        model.predict_one(x)
        model.learn_one(x, y)
    assert fingerprint(found.best_estimator_) == fingerprint(model)
    assert found.best_score_ == min(found.cv_results_["mean_test_score"]) == found.metric_.get()
    assert found.best_params_ == found.cv_results_["params"][found.best_index_]


def test_the_stream_is_read_once_and_lazily():
    taken = []

    def rows():
        for i, row in enumerate(make_rows(1000)):
            taken.append(i)
            yield row

    found = search(RLSRegressor(), {"delta": [0.1, 1.0, 10.0]}).fit(rows())
    assert taken == list(range(1000))
    assert found.cv_results_["n_rows"].tolist() == [1000] * 3


def test_memory_does_not_grow_with_an_iterator():
    def peak(n):
        def rows():
            for i in range(n):
                yield {"a": float(i % 7)}, float(i % 5)

        tracemalloc.start()
        try:
            search(dummy.StatisticRegressor(_Mean()), {}).fit(rows())
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)  # what is imported on the way
    assert peak(60_000) < 1.1 * peak(25_000)


class _Mean:
    """The mean, quickly."""

    n, total = 0, 0.0

    def update(self, y):
        self.n, self.total = self.n + 1, self.total + y

    def get(self):
        return self.total / self.n if self.n else 0.0


def test_frames_arrays_and_dicts_are_streams_too():
    rows = make_rows()
    X, y = pd.DataFrame([x for x, _ in rows]), pd.Series([y for _, y in rows])
    grid = {"n_heads": [1, 2]}

    def scores(*data):
        found = search(StreamingAttentionRegressor(**FAST), grid).fit(*data)
        return found.cv_results_["mean_test_score"].tolist()

    expected = scores(rows)
    assert scores(X, y) == expected
    assert scores([x for x, _ in rows], [y for _, y in rows]) == expected
    array = scores(X.to_numpy(), y.to_numpy())
    assert array == scores(list(stream.iter_array(X.to_numpy(), y.to_numpy())))
    assert array != expected  # other names, other projections


def test_weights_of_a_stream_reach_models_that_take_them():
    rows = [(x, y, {"w": 1.0 + (i % 3)}) for i, (x, y) in enumerate(make_rows())]
    found = search(StreamingAttentionRegressor(**FAST), {"n_heads": [1]}).fit(rows)
    model = StreamingAttentionRegressor(**FAST, n_heads=1)
    assert found.best_score_ == alone(model, metrics.MAE(), copy.deepcopy(rows))
    assert found.best_score_ != alone(model.clone(), metrics.MAE(), make_rows())


def test_rows_of_the_warmup_are_learned_but_do_not_count():
    rows, metric = make_rows(), metrics.MAE()
    found = search(StreamingAttentionRegressor(**FAST), {"n_heads": [2]}, warmup=37).fit(rows)
    model = StreamingAttentionRegressor(**FAST, n_heads=2)
    for i, (x, y) in enumerate(rows):
        if i >= 37:
            metric.update(y, model.predict_one(x))
        model.learn_one(x, y)
    assert found.best_score_ == metric.get()


def test_results_are_a_table():
    grid = [{"mode": [GLA(gate="vector"), None]}, {"n_heads": [2], "mode__gamma": [0.5, 0.9]}]
    estimator = StreamingAttentionRegressor(RetNet(), **FAST)
    found = search(estimator, grid).fit(make_rows())
    table = pd.DataFrame(found.cv_results_)
    assert len(table) == 4
    assert table.columns.tolist() == [
        *("mean_fit_time", "param_mode", "param_mode__gamma", "param_n_heads", "params"),
        *("mean_test_score", "rank_test_score", "n_rows", "error"),
    ]
    assert found.cv_results_["param_n_heads"].mask.tolist() == [True, True, False, False]
    assert sorted(table["rank_test_score"]) == [1, 2, 3, 4]
    assert table["rank_test_score"][found.best_index_] == 1
    assert (table["mean_fit_time"] > 0).all()


def test_a_bigger_metric_wins_where_bigger_is_better():
    found = search(StreamingAttentionRegressor(**FAST), {"n_heads": [1, 4]}, metric=metrics.R2())
    found.fit(make_rows())
    scores = found.cv_results_["mean_test_score"]
    assert found.best_score_ == max(scores) > min(scores)


def test_of_equal_candidates_the_cheap_one_wins():
    slow = search(_Sleepy(), {"work": [20_000, 0]}).fit(make_rows(50))
    assert slow.best_params_ == {"work": 0}
    assert slow.cv_results_["rank_test_score"].tolist() == [1, 1]


class _Sleepy(linear_model.PARegressor):
    """Takes its time."""

    def __init__(self, work=0):
        super().__init__()
        self.work = work

    def predict_one(self, x):
        sum(range(self.work))
        return super().predict_one(x)


class _Fragile(linear_model.PARegressor):
    """Breaks at a row."""

    def __init__(self, at=0):
        super().__init__()
        self.at, self.seen = at, 0

    def learn_one(self, x, y):
        if self.seen == self.at:
            raise RuntimeError("it broke")
        self.seen += 1
        super().learn_one(x, y)


def test_a_candidate_that_raises_is_reported_and_the_others_go_on():
    found = search(_Fragile(), {"at": [1000, 20, 0]}).fit(make_rows())
    ok, late, early = found.cv_results_["error"]
    assert ok is None
    assert late == "RuntimeError in row 21: it broke"
    assert early == "RuntimeError in row 1: it broke"
    assert np.isnan(found.cv_results_["mean_test_score"]).tolist() == [False, True, True]
    assert found.cv_results_["rank_test_score"].tolist() == [1, 2, 2]
    assert found.best_params_ == {"at": 1000}


def test_values_that_make_no_model_are_errors_of_their_candidate():
    found = search(StreamingAttentionRegressor(**FAST), {"n_heads": [-1, 2]}).fit(make_rows())
    assert found.cv_results_["error"][0].startswith("ValueError at construction: n_heads=-1")
    assert found.best_params_ == {"n_heads": 2}


def test_a_bad_row_is_named_where_rows_go_by_blocks():
    rows = make_rows()
    rows[123] = (rows[123][0], float("nan"))
    with pytest.raises(ValueError, match=r"all 2 candidates failed.*ValueError in row 12[34]"):
        search(StreamingAttentionRegressor(**FAST), {"n_heads": [1, 2]}).fit(rows)


@pytest.mark.parametrize(
    ("estimator", "grid", "message"),
    [
        (RLSRegressor(), {"lam": [1]}, r"'lam' of RLSRegressor: known are forgetting_factor, del"),
        (
            preprocessing.StandardScaler() | RLSRegressor(),
            {"delta": [1.0]},
            r"'delta' of Pipeline: known are .*StandardScaler__with_std.*RLSRegressor__delta",
        ),
        (
            preprocessing.StandardScaler() | RLSRegressor(),
            {"RLSRegressor__alpha": [1.0]},
            r"'RLSRegressor__alpha' of RLSRegressor: known are RLSRegressor__forgetting_factor",
        ),
        (
            StreamingAttentionRegressor(),
            {"mode__gate": ["vector"]},
            r"'mode__gate' of str: .* none",
        ),
        (RLSRegressor(), [{"delta": [1.0]}, {"deltas": [1.0]}], r"unknown parameter 'deltas'"),
    ],
)
def test_wrong_names_fail_at_once_and_the_known_ones_are_listed(estimator, grid, message):
    with pytest.raises(ValueError, match=message):
        ProgressiveGridSearch(estimator, grid)
    if isinstance(grid, dict):
        with pytest.raises(ValueError, match=message):
            ProgressiveRandomSearch(estimator, grid, n_iter=1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"metric": metrics.Accuracy()}, "metric=Accuracy: does not work with RLSRegressor"),
        ({"metric": metrics.MAE}, "must be one metric of river"),
        ({"metric": metrics.MAE() + metrics.MSE()}, "must be one metric of river"),
        ({"metric": "mae"}, "metric='mae': must be one metric of river"),
        ({"warmup": -1}, "warmup=-1"),
        ({"halving": 10, "warmup": 20}, "halving=10.*after the warmup of 20"),
        ({"halving": 0}, "halving=0"),
        ({"refit": "yes"}, "refit='yes'"),
        ({"progress": 1}, "progress=1"),
    ],
)
def test_bad_arguments_fail_at_construction(params, message):
    with pytest.raises(ValueError, match=message):
        ProgressiveGridSearch(RLSRegressor(), {"delta": [1.0]}, **params)


@pytest.mark.parametrize(
    "estimator", [RLSRegressor, StreamingAttentionForecaster(), preprocessing.StandardScaler(), 3]
)
def test_only_regressors_and_classifiers_are_searched(estimator):
    with pytest.raises(ValueError, match="must be a regressor, a classifier or a pipeline"):
        ProgressiveGridSearch(estimator, {})


def test_data_without_labels_or_rows_are_refused():
    found = search(RLSRegressor(), {"delta": [1.0]})
    with pytest.raises(ValueError, match="stream is empty"):
        found.fit([])
    with pytest.raises(ValueError, match="y is missing"):
        found.fit(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="y has 2 labels for 3 rows"):
        found.fit(np.zeros((3, 2)), [1.0, 2.0])
    with pytest.raises(ValueError, match="shape"):
        found.fit(np.zeros(3), [1.0, 2.0, 3.0])


def test_estimator_metric_and_values_stay_as_they_are(fingerprint):
    estimator, metric = StreamingAttentionRegressor(**FAST), metrics.MAE()
    detector = drift.ADWIN()
    before = [fingerprint(thing) for thing in (estimator, metric, detector)]
    grid = {"drift_detector": [detector, None], "mode": [LogLinear()]}
    found = search(estimator, grid, metric=metric).fit(make_rows())
    assert [fingerprint(thing) for thing in (estimator, metric, detector)] == before
    assert found.cv_results_["params"][0]["drift_detector"] is detector


def test_no_candidate_changes_what_another_is_given():
    class Greedy(linear_model.PARegressor):
        def learn_one(self, x, y):
            super().learn_one(x, y)
            x.clear()

    rows = make_rows()
    found = search(Greedy(), {"C": [0.1, 0.1]}).fit(rows)
    one, other = found.cv_results_["mean_test_score"]
    assert one == other == alone(linear_model.PARegressor(C=0.1), metrics.MAE(), make_rows())
    assert all(x for x, _ in rows)


def test_a_step_may_be_replaced_and_functions_stay_steps():
    estimator = compose.FuncTransformer(_double) | preprocessing.StandardScaler() | RLSRegressor()
    grid = {
        "RLSRegressor": [RLSRegressor(huber=True), linear_model.PARegressor()],
        "StandardScaler": [preprocessing.MinMaxScaler()],
    }
    found = search(estimator, grid).fit(make_rows())
    for params, score in zip(
        found.cv_results_["params"], found.cv_results_["mean_test_score"], strict=True
    ):
        model = compose.FuncTransformer(_double) | preprocessing.MinMaxScaler()
        model |= params["RLSRegressor"].clone()
        assert score == alone(model, metrics.MAE(), make_rows())


def _double(x):
    return {name: 2 * value for name, value in x.items()}


def test_random_search_draws_from_distributions():
    def draw(seed):
        found = ProgressiveRandomSearch(
            RLSRegressor(),
            {"forgetting_factor": stats.uniform(0.9, 0.1), "delta": [0.1, 1.0]},
            n_iter=6,
            random_state=seed,
            progress=False,
        )
        return found.fit(make_rows(100)).cv_results_

    one, again, other = draw(1), draw(1), draw(2)
    assert one["params"] == again["params"] != other["params"]
    assert one["mean_test_score"].tolist() == again["mean_test_score"].tolist()
    assert all(0.9 <= params["forgetting_factor"] <= 1.0 for params in one["params"])


@pytest.mark.parametrize("known", [True, False])
def test_curves_end_at_the_score_and_stay_short(known):
    rows = make_rows(7000)
    found = search(RLSRegressor(), {"delta": [0.1, 1.0]}, warmup=10).fit(
        rows if known else iter(rows)
    )
    for curve, score in zip(found.curves_, found.cv_results_["mean_test_score"], strict=True):
        assert curve.score[-1] == score
        assert curve.rows[-1] == 7000
        assert (np.diff(curve.rows) > 0).all()
        assert N_POINTS / 2 <= len(curve.rows) <= N_POINTS
        middle = len(curve.rows) // 2
        n = curve.rows[middle]
        model, metric = RLSRegressor(), metrics.MAE()
        if score == found.cv_results_["mean_test_score"][1]:
            for i, (x, y) in enumerate(itertools.islice(rows, int(n))):
                if i >= 10:
                    metric.update(y, model.predict_one(x))
                model.learn_one(x, y)
            assert curve.score[middle] == metric.get()


def test_recent_scores_are_those_since_the_last_point():
    rows = make_rows(1000)
    found = search(RLSRegressor(), {"delta": [1.0]}).fit(rows)
    curve, model = found.curves_[0], RLSRegressor()
    errors = []
    for x, y in rows:
        errors.append(abs(y - model.predict_one(x)))
        model.learn_one(x, y)
    begin = 0
    for n, recent in zip(curve.rows.tolist(), curve.recent.tolist(), strict=True):
        assert recent == pytest.approx(np.mean(errors[begin:n]), rel=1e-12)
        begin = n


def test_without_refit_no_model_is_kept():
    found = search(RLSRegressor(), {"delta": [1.0]}, refit=False).fit(make_rows(50))
    assert not hasattr(found, "best_estimator_")
    assert found.best_params_ == {"delta": 1.0}


def test_what_river_ships_can_be_searched():
    found = search(RLSRegressor(), {"huber": [True, False]}).fit(datasets.TrumpApproval())
    assert found.cv_results_["n_rows"].tolist() == [1001, 1001]
