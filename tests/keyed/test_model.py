"""One model per key: equal to models by hand, bounded in memory, kept in a store."""

from __future__ import annotations

import copy
import functools
import pickle
import subprocess
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from river import base, checks, linear_model, metrics, preprocessing, tree
from river import evaluate as evaluation

from river_attention import (
    AttentionTransformer,
    RLSRegressor,
    SlidingWindowAttentionRegressor,
    StateError,
    StreamingAttentionClassifier,
    StreamingAttentionForecaster,
    StreamingAttentionRegressor,
    from_bytes,
)
from river_attention.keyed import FolderStore, KeyedModel, SqliteStore

SMALL = {"mode": "gla", "memory": 0, "window": 9, "readout": "rls"}
OURS = {
    "default": StreamingAttentionRegressor(),
    "small": StreamingAttentionRegressor(**SMALL),
    "classifier": StreamingAttentionClassifier(memory=2),
    "rls": RLSRegressor(),
}
MODELS = OURS | {
    "river": preprocessing.StandardScaler() | linear_model.LinearRegression(),
    "tree": tree.HoeffdingTreeClassifier(),
}
STORES = {
    "none": lambda _: None,
    "dict": lambda _: {},
    "sqlite": SqliteStore,
    "folder": FolderStore,
}
SETTINGS = [
    pytest.param(functools.partial(KeyedModel, **params), id=str(i))
    for i, params in enumerate(KeyedModel._unit_test_params())
]


@pytest.fixture
def keyed_rows(stream):
    """Rows of seven keys, one of them missing; the first is frequent, the last rare."""

    def make(model, n_rows=200, seed=0):
        names = ["a", "b", "c", 4, ("e", 5), None, "g"]
        p = [0.4, 0.2, 0.1, 0.1, 0.1, 0.07, 0.03]
        keys = [names[i] for i in np.random.default_rng(seed).choice(len(names), n_rows, p=p)]
        rows = []
        for (x, y), key in zip(stream(n_rows, seed), keys, strict=True):
            label = y > 50.0 if isinstance(model, base.Classifier) else y
            rows.append(({"key": key, **x} if key is not None else x, label))
        return rows

    return make


def by_hand(model, rows, models=None):
    models, predictions = {} if models is None else models, []
    for x, y in rows:
        key = x.get("key")
        own = models.setdefault(key, model.clone())
        rest = {name: value for name, value in x.items() if name != "key"}
        predictions.append(own.predict_one(rest))
        own.learn_one(rest, y)
    return models, predictions


def validate(keyed, rows):
    predictions = []
    for x, y in rows:
        predictions.append(keyed.predict_one(x))
        keyed.learn_one(x, y)
    return predictions


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_it_is_one_model_per_key(model, keyed_rows, fingerprint):
    before = fingerprint(model)
    rows = keyed_rows(model)
    keyed = KeyedModel(model, key="key")
    models, predictions = by_hand(model, rows)
    assert validate(keyed, rows) == predictions
    assert keyed.models_.keys() == models.keys()
    assert fingerprint(model) == before


@pytest.mark.parametrize("max_keys", [1, 3])
@pytest.mark.parametrize(
    ("model", "store"),
    [*((name, "dict") for name in OURS), ("small", "sqlite"), ("rls", "folder")],
)
def test_it_is_that_with_a_store_to_the_last_bit(model, store, max_keys, keyed_rows, tmp_path):
    model = OURS[model]
    rows = keyed_rows(model, 120)
    keyed = KeyedModel(model, "key", max_keys, STORES[store](tmp_path / "store"))
    models, predictions = by_hand(model, rows)
    assert validate(keyed, rows) == predictions
    assert len(keyed.models_) == max_keys
    assert keyed.n_evicted_ == keyed.n_loaded_ + len(models) - max_keys > 0
    for key, own in models.items():
        assert keyed.model_of(key).to_bytes() == own.to_bytes()


def test_numbers_that_are_equal_are_one_key_in_memory_and_in_a_store():
    keyed = KeyedModel(RLSRegressor(), "key", max_keys=1, store={})
    for key in (1, 1.0, True, np.int64(1), np.float32(1.0)):
        keyed.learn_one({"key": "another", "a": 1.0}, 1.0)
        keyed.learn_one({"key": key, "a": 1.0}, 1.0)
    assert keyed.store.keys() == {b"1", b'"another"'}
    assert keyed.model_of(1).rls_.n_updates == 5


def test_a_prediction_changes_nothing(keyed_rows, fingerprint):
    model = OURS["small"]
    rows = keyed_rows(model)
    keyed = KeyedModel(model, "key", max_keys=2, store={})
    validate(keyed, rows)
    before, store = fingerprint(keyed), dict(keyed.store)
    first = [keyed.predict_one(x) for x, _ in rows]
    keyed.predict_many(pd.DataFrame([x for x, _ in rows]))
    assert keyed.predict_one({"key": "never seen", "a": 1.0}) == 0.0
    assert [keyed.predict_one(x) for x, _ in rows] == first
    assert fingerprint(keyed) == before
    assert keyed.store == store
    assert keyed.model_of("never seen") is None


def test_where_labels_come_late_predicting_is_a_step(keyed_rows):
    model = StreamingAttentionRegressor(advance_on="predict", **SMALL)
    rows = keyed_rows(model)
    keyed, models = KeyedModel(model, "key", max_keys=2, store={}), {}
    for i in range(len(rows) + 9):
        if i < len(rows):
            x, _ = rows[i]
            own = models.setdefault(x.get("key"), model.clone())
            rest = {name: value for name, value in x.items() if name != "key"}
            assert keyed.predict_one(x, key=i) == own.predict_one(rest, key=i)
        if i >= 9:
            x, y = rows[i - 9]
            rest = {name: value for name, value in x.items() if name != "key"}
            keyed.learn_one(x, y, key=i - 9)
            models[x.get("key")].learn_one(rest, y, key=i - 9)
    assert all(keyed.model_of(key).n_pending_ == 0 for key in models)
    assert all(keyed.model_of(key).n_unmatched_ == 0 for key in models)


def test_what_else_a_model_takes_is_passed_on():
    keyed, own = KeyedModel(OURS["small"], "key"), OURS["small"].clone()
    for t in range(20):
        keyed.learn_one({"key": 1, "a": float(t)}, float(t % 3), w=0.5 + t % 2)
        own.learn_one({"a": float(t)}, float(t % 3), w=0.5 + t % 2)
    keyed.advance_one({"key": 1, "a": 3.0})
    own.advance_one({"a": 3.0})
    x = {"a": 2.0}
    asked = keyed.predict_one({"key": 1, **x}, with_dist=True)
    assert asked.sigma == own.predict_one(x, with_dist=True).sigma


# --- memory


def test_the_one_that_learned_nothing_for_longest_leaves():
    left = []
    keyed = KeyedModel(RLSRegressor(), "key", 2, {}, lambda key, model: left.append((key, model)))
    for key in ("a", "b", "a", "c", "b"):
        keyed.predict_one({"key": "b", "x": 1.0})
        keyed.learn_one({"key": key, "x": 1.0}, 1.0)
    assert [(key, model.rls_.n_updates) for key, model in left] == [("b", 1), ("a", 2)]
    assert list(keyed.models_) == ["c", "b"]


def test_without_a_store_who_leaves_is_lost():
    keyed = KeyedModel(linear_model.LinearRegression(), "key", max_keys=1)
    keyed.learn_one({"key": "a", "x": 1.0}, 1.0)
    keyed.learn_one({"key": "b", "x": 1.0}, 1.0)
    assert list(keyed.models_) == ["b"]
    assert keyed.predict_one({"key": "a", "x": 1.0}) == 0.0
    assert keyed.n_evicted_ == 1


def test_memory_is_bounded_whatever_the_number_of_keys(tmp_path):
    keyed = KeyedModel(RLSRegressor(), "key", max_keys=10, store=SqliteStore(tmp_path / "store"))
    sizes = []
    for t in range(1000):
        keyed.learn_one({"key": t, "x": 1.0}, 1.0)
        if t in (100, 999):
            sizes.append(keyed._raw_memory_usage)
    assert len(keyed.store) == 990
    # counters and keys take some bytes more when they grow
    assert sizes[1] < 1.05 * sizes[0]


class Failing(dict):
    """A store that is full."""

    def __setitem__(self, key, value):
        raise OSError("no space left")


def test_when_the_store_fails_nothing_has_changed(fingerprint):
    keyed = KeyedModel(RLSRegressor(), "key", max_keys=1, store=Failing())
    keyed.learn_one({"key": "a", "x": 1.0}, 1.0)
    before = fingerprint(keyed)
    for _ in range(2):
        with pytest.raises(OSError, match="no space"):
            keyed.learn_one({"key": "b", "x": 1.0}, 1.0)
        assert fingerprint(keyed) == before
    keyed.learn_one({"key": "a", "x": 1.0}, 1.0)


@pytest.mark.parametrize(
    ("x", "y", "error"),
    [
        ({"key": "b", "x": "text"}, 1.0, TypeError),
        ({"key": "b", "x": 1.0}, None, ValueError),
        ({"key": "a", "x": 1.0}, None, ValueError),
        ({"key": ["b"], "x": 1.0}, 1.0, TypeError),
        ({"key": object, "x": 1.0}, 1.0, TypeError),
    ],
)
def test_a_bad_row_leaves_it_as_it_was(x, y, error, fingerprint):
    keyed = KeyedModel(RLSRegressor(), "key", max_keys=1, store={})
    keyed.learn_one({"key": "a", "x": 1.0}, 1.0)
    before = fingerprint(keyed.models_), keyed.n_evicted_
    with pytest.raises(error):
        keyed.learn_one(x, y)
    assert (fingerprint(keyed.models_), keyed.n_evicted_) == before
    keyed.learn_one({"key": "b", "x": 1.0}, 1.0)
    assert keyed.model_of("b").rls_.n_updates == 1


# --- blocks


@pytest.mark.parametrize("columns", ["key", "tuple", "function"])
@pytest.mark.parametrize("model", OURS.values(), ids=OURS)
def test_blocks_are_rows(model, columns, keyed_rows):
    rows = [(x, y) for x, y in keyed_rows(model, 70) if x.get("key") != "g"]
    if columns == "function":
        rows = [({name: v for name, v in x.items() if name != "key"}, y) for x, y in rows]
    key = {"key": "key", "tuple": ("key", "absent"), "function": _sign}[columns]
    X = pd.DataFrame([x for x, _ in rows], index=range(5, 5 + len(rows)))
    y = pd.Series([y for _, y in rows])
    one, many, both = (KeyedModel(model, key, 2, {}) for _ in range(3))
    w = np.linspace(0.5, 1.5, len(rows))
    predictions = []
    for i, (x, label) in enumerate(rows):
        predictions.append(one.predict_one(x))
        one.learn_one(x, label, w=w[i])
    many.learn_many(X, y, w=w)
    found = both.predict_learn_many(X, y, w=w)
    assert found.to_list() == predictions
    assert found.index.equals(X.index)
    asked = [one.predict_one(x) for x, _ in rows]
    assert many.predict_many(X).to_list() == both.predict_many(X).to_list() == asked
    if isinstance(model, base.Classifier):
        frame = many.predict_proba_many(X)
        assert frame.index.equals(X.index)
        assert frame.to_dict("records") == [
            {label: one.predict_proba_one(x).get(label, 0.0) for label in frame.columns}
            for x, _ in rows
        ]


def _sign(x):
    return x["a"] > 10.0


def test_a_block_with_a_bad_row_leaves_it_as_it_was(fingerprint):
    keyed = KeyedModel(RLSRegressor(), "key", store={})
    keyed.learn_one({"key": "a", "x": 1.0}, 1.0)
    before = fingerprint(keyed)
    X = pd.DataFrame({"key": ["a", "b"], "x": [1.0, 2.0]})
    for learn in (keyed.learn_many, keyed.predict_learn_many):
        with pytest.raises(ValueError, match="nan"):
            learn(X, pd.Series([1.0, np.nan]))
        with pytest.raises(ValueError, match="1 labels for 2 rows"):
            learn(X, pd.Series([1.0]))
    assert fingerprint(keyed) == before


def test_blocks_of_models_of_river(keyed_rows):
    model = linear_model.LinearRegression()
    rows = [(x, y) for x, y in keyed_rows(model, 60) if len(x) == 4]
    X, y = pd.DataFrame([x for x, _ in rows]), pd.Series([y for _, y in rows])
    keyed, own = KeyedModel(model, "key"), {}
    keyed.learn_many(X, y)
    for key, part in X.groupby("key", sort=False, dropna=False):
        own[key] = model.clone()
        own[key].learn_many(part.drop(columns="key"), y[part.index])
        expected = own[key].predict_many(part.drop(columns="key"))
        assert keyed.predict_many(part).to_list() == expected.to_list()


def test_models_without_blocks_say_so():
    keyed = KeyedModel(tree.HoeffdingTreeRegressor(), "key")
    with pytest.raises(AttributeError, match="learn_many"):
        keyed.learn_many(pd.DataFrame({"key": [1], "x": [1.0]}), pd.Series([1.0]))


# --- keeping it


def test_a_new_process_goes_on_from_the_store(keyed_rows, tmp_path):
    model = OURS["rls"]
    rows = keyed_rows(model, 300)
    _, expected = by_hand(model, rows)
    for name, kind in {"sqlite": SqliteStore, "folder": FolderStore}.items():
        keyed = KeyedModel(model, key="key", max_keys=2, store=kind(tmp_path / name))
        for x, y in rows[:200]:
            keyed.learn_one(x, y)
        keyed.flush()
        if kind is SqliteStore:
            keyed.store.close()
    (tmp_path / "rows.pickle").write_bytes(pickle.dumps((model, rows[200:])))
    script = (
        "import pickle\n"
        "from river_attention.keyed import FolderStore, KeyedModel, SqliteStore\n"
        "model, rows = pickle.load(open('rows.pickle', 'rb'))\n"
        "for store in (SqliteStore('sqlite'), FolderStore('folder')):\n"
        "    keyed = KeyedModel(model, 'key', max_keys=3, store=store)\n"
        "    for x, y in rows:\n"
        "        print(repr(keyed.predict_one(x))); keyed.learn_one(x, y)\n"
    )
    answered = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert answered.stdout.split() == 2 * [repr(prediction) for prediction in expected[200:]]


def test_a_flush_writes_only_what_changed():
    class Counting(dict):
        written = 0

        def __setitem__(self, key, value):
            self.written += 1
            super().__setitem__(key, value)

    keyed = KeyedModel(RLSRegressor(), "key", store=Counting())
    for key in "abc":
        keyed.learn_one({"key": key, "x": 1.0}, 1.0)
    keyed.flush()
    keyed.learn_one({"key": "b", "x": 1.0}, 1.0)
    keyed.flush()
    assert keyed.store.written == 4
    assert from_bytes(keyed.store[b'"b"']).rls_.n_updates == 2


def test_after_a_kill_sqlite_holds_the_models_of_the_last_flush(tmp_path):
    """With a note of your own in the same commit, nothing is lost and nothing learned twice."""
    script = (
        "import os, sys\n"
        "from river_attention import RLSRegressor\n"
        "from river_attention.keyed import KeyedModel, SqliteStore\n"
        "keyed = KeyedModel(RLSRegressor(), 'key', max_keys=2, store=SqliteStore(sys.argv[1]))\n"
        "for t in range(100):\n"
        "    keyed.learn_one({'key': t % 7, 'x': float(t)}, float(t % 5))\n"
        "    if t == 59:\n"
        "        keyed.store[b'position'] = b'60'\n"
        "        keyed.flush()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path / "s")]).returncode == -9
    keyed = KeyedModel(RLSRegressor(), "key", max_keys=2, store=SqliteStore(tmp_path / "s"))
    position = int(keyed.store[b"position"])
    for t in range(position, 100):
        keyed.learn_one({"key": t % 7, "x": float(t)}, float(t % 5))
    models = {}
    for t in range(100):
        models.setdefault(t % 7, RLSRegressor()).learn_one({"x": float(t)}, float(t % 5))
    for key, own in models.items():
        assert keyed.model_of(key).to_bytes() == own.to_bytes()


def test_a_store_of_other_parameters_is_refused():
    keyed = KeyedModel(RLSRegressor(delta=2.0), "key", store={})
    keyed.learn_one({"key": "a", "x": 1.0}, 1.0)
    keyed.flush()
    other = KeyedModel(RLSRegressor(), "key", store=keyed.store)
    with pytest.raises(StateError, match=r"key 'a': .*delta=2.0 instead of 1.0"):
        other.predict_one({"key": "a", "x": 1.0})


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_go_on_alone(copied, keyed_rows):
    model = OURS["small"]
    rows = keyed_rows(model)
    keyed = KeyedModel(model, "key", max_keys=2, store={})
    _, expected = by_hand(model, rows)
    validate(keyed, rows[:100])
    again = copied(keyed)
    assert validate(keyed, rows[100:]) == expected[100:]
    assert validate(again, rows[100:]) == expected[100:]


def test_a_clone_has_a_store_of_its_own(keyed_rows, tmp_path):
    model = OURS["rls"]
    rows = keyed_rows(model)
    keyed = KeyedModel(model, "key", max_keys=2, store=SqliteStore(tmp_path / "store"))
    expected = validate(keyed, rows)
    assert validate(keyed.clone(), rows) == expected
    given = SqliteStore(tmp_path / "another")
    assert validate(keyed.clone({"store": given}), rows) == expected
    assert len(given) > 2
    assert KeyedModel(model, "key").clone().store is None


# --- what may be given


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": AttentionTransformer()}, "regressor or classifier"),
        ({"model": StreamingAttentionForecaster()}, "regressor or classifier"),
        ({"key": ()}, r"key=\(\)"),
        ({"key": ["a"]}, r"key=\['a'\]: must be the name of a feature, a tuple of names"),
        ({"max_keys": 0}, "max_keys=0"),
        (
            {"model": linear_model.LinearRegression(), "store": {}},
            r"LinearRegression has no to_bytes\(\).*leave store=",
        ),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        KeyedModel(**{"model": RLSRegressor(), "key": "key"} | parameters)


def test_without_a_store_there_is_nothing_to_flush():
    with pytest.raises(ValueError, match="no store"):
        KeyedModel(RLSRegressor(), "key").flush()


# --- river


def test_it_is_of_the_kind_of_its_model():
    kinds = [
        base.Regressor,
        base.Classifier,
        base.MiniBatchRegressor,
        base.MiniBatchClassifier,
    ]

    def kind(model):
        keyed = KeyedModel(model, "key")
        return [isinstance(keyed, each) for each in kinds]

    assert kind(RLSRegressor()) == [True, False, True, False]
    assert kind(MODELS["river"]) == [True, False, True, False]
    assert kind(StreamingAttentionClassifier()) == [False, True, False, True]
    assert kind(tree.HoeffdingTreeClassifier()) == [False, True, False, False]


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("make", SETTINGS)
def test_every_check_of_river_passes(make, every):
    """Each on its first data set without the soak; all others are slow."""
    model = make()
    names = Counter()
    for check in checks.yield_checks(model):
        name = check.__name__
        if name not in model._unit_test_skips():
            if (name in names or name == "check_bounded_memory_growth") is every:
                check(model.clone())
            names[name] += 1
    assert {"check_learn_many_matches_learn_one", "check_pickling"} <= (
        names.keys() | model._unit_test_skips()
    )


def test_models_of_this_package_skip_no_check():
    assert not KeyedModel(RLSRegressor(), "key")._unit_test_skips()


def test_it_works_in_pipelines_and_evaluations(keyed_rows):
    rows = [(x, y) for x, y in keyed_rows(RLSRegressor()) if "key" in x]
    pipeline = preprocessing.StatImputer() | KeyedModel(RLSRegressor(), "key")
    mae = evaluation.progressive_val_score(rows, pipeline, metrics.MAE())
    _, predictions = by_hand(RLSRegressor(), rows)
    truth = np.array([y for _, y in rows])
    assert mae.get() == pytest.approx(np.abs(truth - predictions).mean(), rel=1e-12)


def users(n, seed=0):
    rng = np.random.default_rng(seed)
    for t in range(n):
        a = rng.normal()
        yield {"user": f"user {rng.integers(4)}", "a": a}, float(np.sin(t) + a)


def attending(**more):
    options = {"window_size": 6, "n_heads": 2, "head_dim": 3, "n_lags": 0, "long_lags": 0}
    return SlidingWindowAttentionRegressor(**options | more)


@pytest.mark.parametrize("more", [{}, {"n_layers": 2}, {"readout": "sgd"}], ids=str)
def test_keys_in_one_pool_are_those_with_a_window_each(more):
    shared = KeyedModel(attending(**more), key="user", max_rows=1000)
    own = KeyedModel(attending(**more), key="user")
    for t, (x, y) in enumerate(users(160)):
        if t == 80:
            shared = pickle.loads(pickle.dumps(shared))
        assert shared.predict_one(x) == pytest.approx(own.predict_one(x), rel=1e-9, abs=1e-12)
        shared.learn_one(x, y)
        own.learn_one(x, y)
    assert shared.pool_.n_evicted == 0
    assert shared.pool_.used >= 4


def test_the_key_used_least_recently_loses_its_window_and_keeps_what_it_learned():
    model = KeyedModel(attending(readout="rls"), key="user", max_rows=32)  # two pages
    own = KeyedModel(attending(readout="rls"), key="user")
    for t in range(60):
        row = {"user": "ab"[t % 2], "a": float(t % 7)}, float(t % 5)
        for each in (model, own):
            each.learn_one(*row)
    weights = model.models_["a"].task_.readout.rls._weights.copy()
    for t in range(9):
        for each in (model, own):
            each.learn_one({"user": "c", "a": float(t)}, 1.0)
            each.learn_one({"user": "b", "a": float(t % 7)}, float(t % 5))
    assert model.pool_.n_evicted > 0
    assert model.pool_.used <= 2
    np.testing.assert_array_equal(model.models_["a"].task_.readout.rls._weights, weights)
    assert model.models_["a"].look_one({"a": 1.0}).shape == (2, 1)
    assert own.models_["a"].look_one({"a": 1.0}).shape == (2, 6)


def test_a_pooled_window_goes_to_the_store_and_comes_back():
    plain = KeyedModel(attending(), key="user", max_rows=1000)
    stored = KeyedModel(attending(), key="user", max_rows=1000, max_keys=2, store={})
    for x, y in users(120):
        assert stored.predict_one(x) == pytest.approx(plain.predict_one(x), rel=1e-9, abs=1e-12)
        stored.learn_one(x, y)
        plain.learn_one(x, y)
    assert stored.n_loaded_ > 5
    del stored._aside
    assert stored.pool_.used <= 2 * 2  # a window of 6 lies on two pages at most


def test_a_budget_of_rows_needs_a_window():
    with pytest.raises(ValueError, match="max_rows=100: a RLSRegressor keeps no window"):
        KeyedModel(RLSRegressor(), key="user", max_rows=100)
    with pytest.raises(ValueError, match="max_rows=10"):
        KeyedModel(attending(), key="user", max_rows=10)
