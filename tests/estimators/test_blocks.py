"""Blocks of rows: arrays and frames of any kind are the loop over their rows, bit by bit."""

from __future__ import annotations

import contextlib
import itertools
import pickle
import threading
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import base, drift

from river_attention import (
    AttentionTransformer,
    RLSRegressor,
    StreamingAttentionClassifier,
    StreamingAttentionMultiRegressor,
    StreamingAttentionRegressor,
    backend,
)
from river_attention._baselines import FAST_SETTINGS as FAST
from river_attention.modes import GLA

N, D = 40, 4
NAMES = ["a", "b", "c", "d"]


def block(seed=0, n=N):
    """A matrix with gaps, infinities, huge numbers, columns that begin late, and labels."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, D)).round(3)
    y = 5.0 + X[:, 0] + 0.1 * rng.normal(size=n)
    X[rng.random((n, D)) < 0.05] = np.nan
    X[: n // 4, 2] = np.nan
    X[: n // 2, 3] = np.nan
    X[n // 3, 0], X[n // 3 + 1, 1], X[n // 3 + 2, 0] = np.inf, -np.inf, 1e300
    return X, y


def dicts(X, names=NAMES):
    """Rows of an array as they come one by one."""
    return [dict(zip(names, row, strict=True)) for row in X.tolist()]


def labels_for(model, y):
    """Labels of a block, and the same one by one."""
    if isinstance(model, base.Classifier):
        values = [f"class {int(v * 10) % 3}" for v in y]
        return values, values
    if isinstance(model, base.MultiTargetRegressor):
        Y = np.column_stack([y, np.where(np.arange(len(y)) % 3, -y, np.nan)])
        return Y, [dict(enumerate(row)) for row in Y.tolist()]
    return y, y.tolist()


def loop(model, X, labels, weights=None):
    """What single rows are predicted, each before it is learned."""
    answers = []
    for i, (x, y) in enumerate(zip(X, labels, strict=True)):
        if isinstance(model, base.Transformer):
            answers.append(list(model.transform_one(x).values()))
            model.learn_one(x, y)
            continue
        answers.append(model.predict_one(x))
        if weights is None:
            model.learn_one(x, y)
        else:
            model.learn_one(x, y, weights[i])
    return answers


def predictions(answers, model):
    """Those of an array as single rows have them."""
    if isinstance(model, base.MultiTargetRegressor):
        return [
            {name: value for name, value in enumerate(row) if value == value}
            for row in answers.tolist()
        ]
    return answers.tolist()


# --- arrays


def test_an_array_is_the_loop_over_its_rows(make_for_blocks, fingerprint):
    one, many = make_for_blocks(), make_for_blocks()
    X, y = block()
    labels, single = labels_for(one, y)
    expected = loop(one, dicts(X), single)
    if isinstance(many, base.Transformer) or not hasattr(many, "predict_learn_many"):
        many.learn_many(X, labels, names=NAMES)
    else:
        answers = many.predict_learn_many(X, labels, names=NAMES)
        assert isinstance(answers, np.ndarray)
        assert predictions(answers, many) == expected
    assert fingerprint(many) == fingerprint(one)


def test_learning_alone_is_the_same(make_weighted, fingerprint):
    one, many = make_weighted(), make_weighted()
    X, y = block(1)
    w = np.linspace(0.0, 2.0, N)
    labels, single = labels_for(one, y)
    loop(one, dicts(X), single, w.tolist())
    many.learn_many(X, labels, w, names=NAMES)
    assert fingerprint(many) == fingerprint(one)


@pytest.mark.parametrize("n_before", [0, 1, 30])
def test_an_array_is_predicted_row_by_row_and_changes_nothing(make_weighted, fingerprint, n_before):
    model = make_weighted()
    X, y = block(2)
    labels, _ = labels_for(model, y)
    model.learn_many(X[:n_before], labels[:n_before], names=NAMES)
    before = fingerprint(model)
    X, _ = block(3)
    answers = model.predict_many(X, names=NAMES)
    assert fingerprint(model) == before
    assert predictions(answers, model) == [model.predict_one(x) for x in dicts(X)]
    if hasattr(model, "predict_proba_many"):
        answers = model.predict_proba_many(X, names=NAMES)
        one_by_one = [list(model.predict_proba_one(x).values()) for x in dicts(X)]
        assert answers.tolist() == one_by_one


@pytest.mark.parametrize("target", ["numbers", "classes", "missing", "bools"])
@pytest.mark.parametrize("index", range(len(list(AttentionTransformer._unit_test_params()))))
def test_an_array_is_transformed_row_by_row(fingerprint, index, target):
    params = list(AttentionTransformer._unit_test_params())[index]
    one, many = AttentionTransformer(**params), AttentionTransformer(**params)
    X, y = block(4)
    labels = {
        "numbers": y.tolist(),
        "classes": [None, None, *(f"class {int(10 * v) % 3}" for v in y[2:])],
        "missing": [None if i % 4 == 1 else v for i, v in enumerate(y.tolist())],
        "bools": (y > 5.0).tolist(),
    }[target]
    loop(one, dicts(X), labels)
    many.learn_many(X, labels, names=NAMES)
    assert fingerprint(many) == fingerprint(one)
    answers = many.transform_many(X, names=NAMES)
    assert isinstance(answers, np.ndarray)
    assert answers.tolist() == [list(one.transform_one(x).values()) for x in dicts(X)]


def test_columns_without_names_are_numbered(fingerprint):
    one, many = RLSRegressor(), RLSRegressor()
    X, y = block()
    loop(one, dicts(X, range(D)), y.tolist())
    many.learn_many(X, y)
    assert fingerprint(many) == fingerprint(one)


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "every second row, backwards": lambda X: X[::-2],
    "some columns": lambda X: X[:, ::3],
    "read-only": lambda X: np.broadcast_to(X[0], (9, D)),
    "float32": lambda X: np.nan_to_num(X, posinf=1.0, neginf=1.0).clip(-9, 9).astype(np.float32),
    "float16": lambda X: np.nan_to_num(X, posinf=1.0, neginf=1.0).clip(-9, 9).astype(np.float16),
    "big-endian": lambda X: X.astype(">f8"),
    "ints": lambda X: np.arange(12 * D).reshape(12, D) % 7 * 10**17,
    "unsigned": lambda X: np.full((5, 2), 2**64 - 1, np.uint64),
    "bools": lambda X: X > 0,
    "objects": lambda X: X.astype(object),
    "masked": lambda X: np.ma.masked_greater(np.nan_to_num(X), 0.5),
    "long doubles": lambda X: X.astype(np.longdouble),
    "no columns": lambda X: X[:, :0],
    "no rows": lambda X: X[:0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("make", [RLSRegressor, lambda: StreamingAttentionRegressor(**FAST)])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numbers beyond a float16
def test_arrays_of_any_kind_mean_their_values(fingerprint, layout, make):
    one, many = make(), make()
    X, y = block()
    X = LAYOUTS[layout](X)
    y = y[: len(X)]
    names = NAMES[: X.shape[1]]
    rows = [dict(zip(names, row, strict=True)) for row in X]
    expected = loop(one, rows, y.tolist())
    assert many.predict_learn_many(X, y, names=names).tolist() == expected
    assert fingerprint(many) == fingerprint(one)


def test_the_array_of_the_caller_stays_as_it_is():
    X, y = block()
    before = X.copy(), y.copy()
    RLSRegressor().learn_many(X, y)
    assert np.array_equal(X, before[0], equal_nan=True)
    assert np.array_equal(y, before[1])


def test_predicted_labels_are_objects_whatever_they_are():
    model = StreamingAttentionClassifier(window=0)
    labels = [(0, 1) if i % 2 else "b" for i in range(20)]
    answers = model.predict_learn_many(np.zeros((20, 1)), labels)
    assert answers.shape == (20,)
    assert answers[0] is None
    assert set(answers[2:]) <= {(0, 1), "b"}


WRONG = {
    "one dimension": ({"X": np.zeros(3)}, r"shape \(3,\)"),
    "three dimensions": ({"X": np.zeros((3, 1, 1))}, r"shape \(3, 1, 1\)"),
    "too few names": ({"names": ["a"]}, "1 names for 2 columns"),
    "too many names": ({"names": ["a", "b", "c"]}, "3 names for 2 columns"),
    "the same name twice": ({"names": ["a", "a"]}, "'a' is there twice"),
    "names that are equal": ({"names": [1, True]}, "True is there twice"),
    "a name that is a list": ({"names": [["a"], "b"]}, "hashable"),
    "names that are a string": ({"names": "ab"}, "names='ab'"),
    "names of a frame": (
        {"X": pd.DataFrame({"a": [1.0, 2.0, 3.0]}), "names": ["b"]},
        "names are for arrays",
    ),
    "the same column twice": ({"X": pd.DataFrame(np.zeros((3, 2)), columns=["a", "a"])}, "unique"),
    "too few labels": ({"y": [1.0, 2.0]}, "2 labels for 3 rows"),
    "labels in a column": ({"y": np.zeros((3, 1))}, r"shape \(3, 1\)"),
    "labels in a frame": ({"y": pd.DataFrame({"y": [1.0, 2.0, 3.0]})}, "with columns"),
    "a label that is missing": ({"y": [1.0, None, 3.0]}, "y=None"),
    "a label that is not finite": ({"y": np.array([1.0, np.inf, 3.0])}, "y=.*inf"),
    "too few weights": ({"w": [1.0, 2.0]}, "2 weights for 3 rows"),
    "a negative weight": ({"w": np.array([1.0, -1.0, 1.0])}, "w="),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("method", ["learn_many", "predict_learn_many", "check_many"])
def test_what_is_wrong_is_said_and_nothing_is_learned(fingerprint, what, method):
    model = StreamingAttentionRegressor(**FAST)
    model.learn_many(*block(), names=NAMES)
    before = fingerprint(model)
    given_, message = WRONG[what]
    arguments: dict[str, Any] = {"X": np.zeros((3, 2)), "y": [1.0, 2.0, 3.0], **given_}
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(**arguments)
    assert fingerprint(model) == before


def test_names_known_by_their_address_are_refused(fingerprint):
    model = RLSRegressor()
    model.learn_many(*block(), names=NAMES)
    before = fingerprint(model)
    for call in (model.learn_many, model.predict_learn_many):
        with pytest.raises(TypeError, match="object"):
            call(np.zeros((2, 1)), [1.0, 2.0], names=[object()])
    assert fingerprint(model) == before


# --- frames


FRAMES = {
    "floats": lambda X: pd.DataFrame(X, columns=NAMES),
    "ints and bools beside": lambda X: pd.DataFrame(X, columns=NAMES).assign(
        i=np.arange(len(X)), t=np.arange(len(X)) % 3 == 0, u=np.arange(len(X), dtype=np.uint8)
    ),
    "nullable": lambda X: pd.DataFrame(X, columns=NAMES).assign(
        i=pd.array([None if t % 5 == 2 else t for t in range(len(X))], dtype="Int64"),
        t=pd.array([None if t % 7 == 2 else t % 2 == 0 for t in range(len(X))], dtype="boolean"),
        f=pd.array([None if t % 6 == 2 else t / 2 for t in range(len(X))], dtype="Float64"),
    ),
    "objects": lambda X: pd.DataFrame(X, columns=NAMES).astype(object),
    "dates": lambda X: pd.DataFrame(X, columns=NAMES).assign(
        when=pd.date_range("2024-01-01", periods=len(X), freq="h")
    ),
    "names of any kind": lambda X: pd.DataFrame(X, columns=["a", 2, ("c", 1), 4.5]),
}


def test_a_frame_is_the_loop_over_its_rows(make_for_blocks, fingerprint, case):
    for i, (kind, frame_of) in enumerate(FRAMES.items()):
        # every second frame comes to models that know one already
        if i % 2 == 0:
            one, many = make_for_blocks(), make_for_blocks()
        with case(kind):
            X, y = block(5, 16)
            X = frame_of(X).set_index(np.arange(16) + 100)
            labels, single = labels_for(one, y)
            rows = [dict(zip(X.columns, row, strict=True)) for row in X.itertuples(index=False)]
            loop(one, rows, single)
            if isinstance(labels, np.ndarray) and labels.ndim == 2:
                labels = pd.DataFrame(labels)
            many.learn_many(X, labels)
            assert fingerprint(many) == fingerprint(one)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
@pytest.mark.parametrize("kind", ["floats", "ints and bools beside", "gaps", "large ints"])
def test_frames_of_other_libraries_are_read(fingerprint, library, kind):
    module = pytest.importorskip(library)
    X, y = block(6)
    columns: dict[str, Any] = {name: X[:, i].tolist() for i, name in enumerate(NAMES)}
    if kind != "floats":
        columns |= {"i": list(range(N)), "t": [t % 3 == 0 for t in range(N)]}
    if kind == "gaps":
        columns = {
            name: [None if t % 6 == i else v for t, v in enumerate(values)]
            for i, (name, values) in enumerate(columns.items())
        }
    if kind == "large ints":
        columns["i"] = [2**62 + 1 + t for t in range(N)]
    frame = module.table(columns) if library == "pyarrow" else module.DataFrame(columns)
    one, many = RLSRegressor(), RLSRegressor()
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    expected = loop(one, rows, y.tolist())
    answers = many.predict_learn_many(frame, y)
    assert (
        answers.to_pylist() == expected if library == "pyarrow" else answers.to_list() == expected
    )
    assert fingerprint(many) == fingerprint(one)


def test_a_string_in_row_500_leaves_the_model_as_it_was(make_for_blocks, fingerprint):
    model = make_for_blocks()
    X, y = block()
    labels, _ = labels_for(model, y)
    model.learn_many(X, labels, names=NAMES)
    before = fingerprint(model)
    bad = np.zeros((600, D)).astype(object)
    bad[500, 1] = "high"
    long, _ = labels_for(model, np.linspace(0.0, 1.0, 600))
    for X in (bad, pd.DataFrame(bad, columns=NAMES)):
        with pytest.raises(TypeError, match="high"):
            model.learn_many(X, long)
        assert fingerprint(model) == before


# --- what takes the ordinary path in the middle


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(0, 30), max_size=4),
    width=st.integers(0, D),
    budget=st.sampled_from([None, 2, 3]),
    kind=st.sampled_from(["regressor", "classifier", "linear", "several", "transformer"]),
)
def test_blocks_of_any_size_with_any_gaps_are_the_loop(
    fingerprint, seed, cuts, width, budget, kind
):
    def make():
        small = {"window": 5, "n_lags": 1, "memory": 0, "max_features": budget}
        if kind == "linear":
            return RLSRegressor(max_features=budget)
        return {
            "regressor": StreamingAttentionRegressor,
            "classifier": StreamingAttentionClassifier,
            "several": StreamingAttentionMultiRegressor,
            "transformer": AttentionTransformer,
        }[kind](mode="gla", n_heads=1, **small)

    rng = np.random.default_rng(seed)
    X = rng.normal(size=(30, width))
    X[rng.random(X.shape) < 0.5] = np.nan
    y = rng.normal(size=30)
    one, many = make(), make()
    labels, single = labels_for(one, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # more names in a row than the budget
        loop(one, dicts(X, NAMES[:width]), single)
        edges = sorted({0, *cuts, 30})
        for start, stop in itertools.pairwise(edges):
            many.learn_many(X[start:stop], labels[start:stop], names=NAMES[:width])
    assert fingerprint(many) == fingerprint(one)


def test_columns_may_change_their_order_from_block_to_block(fingerprint):
    one, many = (
        StreamingAttentionRegressor(**FAST),
        StreamingAttentionRegressor(**FAST),
    )
    X, y = block(7)
    loop(one, dicts(X), y.tolist())
    many.learn_many(X[:20], y[:20], names=NAMES)
    many.learn_many(X[20:, ::-1], y[20:], names=NAMES[::-1])
    assert fingerprint(many) == fingerprint(one)


def test_a_block_may_lack_columns_and_bring_others(make_weighted, fingerprint, case):
    one, many = make_weighted(), make_weighted()
    X, y = block(12)
    labels, single = labels_for(one, y)
    for model in (one, many):
        model.learn_many(X, labels, names=NAMES)
    for names in (["a", "d"], ["a", "x", "y", "z", "v"], ["x", "w"], ["w"], []):
        with case(names):
            Z = np.random.default_rng(1).normal(size=(20, len(names)))
            Z[:10] = np.nan
            Z[5, :1] = 3.0
            answers = many.predict_many(Z, names=names)
            assert predictions(answers, many) == [one.predict_one(x) for x in dicts(Z, names)]
            loop(one, dicts(Z, names), single[:20])
            many.learn_many(Z, labels[:20], names=names)
            assert fingerprint(many) == fingerprint(one)


@pytest.mark.parametrize("kind", [RLSRegressor, StreamingAttentionRegressor])
def test_predictions_of_rows_beyond_the_budget_warn(kind):
    model = kind(max_features=2)
    X, y = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20.0)
    model.learn_many(X, y)
    with pytest.warns(UserWarning, match="max_features=2"):
        answers = model.predict_many(np.ones((3, 4)))
    assert answers.tolist() == model.predict_many(np.ones((3, 2))).tolist()


def test_categories_take_the_ordinary_path(fingerprint):
    params = {**FAST, "categorical": ("b",)}
    one, many = StreamingAttentionRegressor(**params), StreamingAttentionRegressor(**params)
    X = np.column_stack([np.arange(20.0), np.arange(20) % 3])
    y = np.arange(20.0) % 3
    loop(one, dicts(X, "ab"), y.tolist())
    many.learn_many(X, y, names=["a", "b"])
    assert "b=2" in many.features_.encoder.names
    assert fingerprint(many) == fingerprint(one)


@pytest.mark.parametrize("kind", [StreamingAttentionRegressor, StreamingAttentionClassifier])
def test_late_labels_are_matched_row_by_row(fingerprint, kind):
    one, many = (kind(advance_on="predict", window=5) for _ in range(2))
    X, y = block(8)
    labels, single = labels_for(one, y)
    expected = loop(one, dicts(X), single)
    assert many.predict_learn_many(X, labels, names=NAMES).tolist() == expected
    before = fingerprint(many)
    answers = many.predict_many(X, names=NAMES)
    assert fingerprint(many) == before == fingerprint(one)
    # each as if it came next: a prediction lets time pass here
    assert answers.tolist() == [pickle.loads(pickle.dumps(one)).predict_one(x) for x in dicts(X)]


def test_a_drift_detector_hears_of_every_row(fingerprint):
    one, many = (StreamingAttentionRegressor(**FAST, drift_detector=drift.ADWIN()) for _ in "ab")
    X, y = block(9)
    loop(one, dicts(X), y.tolist())
    many.learn_many(X, y, names=NAMES)
    assert many.task_.detector.width == one.task_.detector.width > 0


class Alarm(base.DriftDetector):
    """A detector that fails in the end."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def update(self, x):
        self.n += 1
        if self.n > 25:
            raise ArithmeticError("too much")


class Fragile(GLA):
    """A mode that fails when the time comes."""

    calls_left = 10**9

    def token(self, *blocks):
        Fragile.calls_left -= 1
        if Fragile.calls_left < 0:
            raise ArithmeticError("too much")
        return super().token(*blocks)


@pytest.mark.parametrize("params", [{"drift_detector": Alarm()}, {"mode": Fragile()}])
def test_code_of_the_user_that_fails_leaves_the_model_as_before_the_block(
    monkeypatch, fingerprint, params
):
    model = StreamingAttentionRegressor(**{**FAST, "n_lags": 1, **params})
    X, y = block(10)
    model.learn_many(X[:10], y[:10], names=NAMES)
    before = fingerprint(model)
    monkeypatch.setattr(Fragile, "calls_left", 15)
    with pytest.raises(ArithmeticError, match="too much"):
        model.learn_many(X[10:], y[10:], names=NAMES)
    assert fingerprint(model) == before


def test_a_warning_that_is_an_error_leaves_the_model_as_before_the_block(fingerprint):
    model = RLSRegressor(max_features=2)
    X, y = np.random.default_rng(0).normal(size=(20, 4)), np.arange(20.0)
    X[:15, 2:] = np.nan
    model.learn_many(X[:5], y[:5])
    before = fingerprint(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="max_features=2"):
            model.learn_many(X[5:], y[5:])
    assert fingerprint(model) == before


# --- threads


@pytest.mark.skipif(backend._core is None, reason="NumPy has no blocks")
@pytest.mark.parametrize(
    "make", [RLSRegressor, StreamingAttentionRegressor, StreamingAttentionClassifier]
)
def test_the_core_does_blocks_without_a_call_for_single_rows(monkeypatch, make):
    model = make()
    X, y = np.random.default_rng(0).normal(size=(60, 3)), [True, False] * 30
    model.learn_many(X[:20], y[:20])
    for name in ("predict_one", "learn_one", "_learn", "_foresee"):
        monkeypatch.setattr(model, name, None)
    model.learn_many(X[20:40], y[20:40])
    assert len(model.predict_learn_many(X[40:], y[40:])) == 20
    assert len(model.predict_many(X)) == 60


@pytest.mark.parametrize("make", [RLSRegressor, StreamingAttentionRegressor])
def test_threads_with_models_of_their_own_learn_what_they_would_alone(fingerprint, make):
    blocks = [block(seed, 400) for seed in range(4)]
    alone, together = [make() for _ in blocks], [make() for _ in blocks]
    for model, (X, y) in zip(alone, blocks, strict=True):
        model.learn_many(X, y)

    def learn(model, X, y):
        for start in range(0, 400, 50):
            model.learn_many(X[start : start + 50], y[start : start + 50])

    threads = [
        threading.Thread(target=learn, args=(model, *block_))
        for model, block_ in zip(together, blocks, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(map(fingerprint, together)) == list(map(fingerprint, alone))


@pytest.mark.skipif(backend._core is None, reason="NumPy holds the interpreter")
def test_a_model_that_is_in_use_says_so_to_another_thread(fingerprint):
    model, expected = (StreamingAttentionRegressor(window=200) for _ in range(2))
    X, y = block(11, 20_000)
    X[:] = np.nan_to_num(X, posinf=0.0, neginf=0.0)
    for one in (model, expected):
        one.learn_many(X[:300], y[:300])
    expected.learn_many(X[300:], y[300:])
    thread = threading.Thread(target=model.learn_many, args=(X[300:], y[300:]))
    thread.start()
    questions = [
        lambda: model.predict_one({0: 1.0}),
        lambda: model.task_,
        lambda: model.predict_many(X[:2]),
    ]
    refused = 0
    while thread.is_alive():
        question = questions[refused % len(questions)]
        # once it has begun: before that the core has not taken the model yet
        if model._twin.is_busy:
            with contextlib.suppress(RuntimeError):
                question()
                continue
            refused += 1
    thread.join()
    assert refused > 0
    assert fingerprint(model) == fingerprint(expected)
