"""A bounded number of features: which names keep their columns, and what is forgotten."""

from __future__ import annotations

import copy
import functools
import pickle
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import metrics

from river_attention import (
    AttentionTransformer,
    RLSRegressor,
    StreamingAttentionClassifier,
    StreamingAttentionForecaster,
    StreamingAttentionMultiRegressor,
    StreamingAttentionRegressor,
    from_bytes,
)
from river_attention.encoding import LONGER, Encoder
from river_attention.readout import RecursiveLeastSquares

SMALL = {"memory": 2, "mode": "gla"}
MAKERS = {
    "rls": RLSRegressor,
    "single": functools.partial(StreamingAttentionRegressor, readout="rls", window=20, **SMALL),
    "mixture": functools.partial(StreamingAttentionRegressor, window=20, long_lags=4, **SMALL),
    "classifier": functools.partial(StreamingAttentionClassifier, window=20, long_lags=4, **SMALL),
    "forecaster": functools.partial(
        StreamingAttentionForecaster, horizon=3, window=20, long_lags=4, **SMALL
    ),
    "several": functools.partial(StreamingAttentionMultiRegressor, window=20, long_lags=4, **SMALL),
    "transformer": functools.partial(AttentionTransformer, **SMALL),
}


@pytest.fixture(params=MAKERS, ids=str)
def make_bounded(request):
    """Makes an estimator of every kind with at most so many features."""
    return MAKERS[request.param]


def sparse(n_rows, n_names, per_row=3, seed=0, power=1.0):
    """Rows of a few names out of many, each name with a weight of its own (Zipf's law)."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=n_names)
    rank = np.arange(1.0, n_names + 1.0) ** -power
    rank /= rank.sum()
    rows = []
    for _ in range(n_rows):
        picked = rng.choice(n_names, per_row, replace=False, p=rank)
        values = rng.normal(size=per_row)
        y = float(weights[picked].dot(values)) + 0.1 * rng.normal()
        rows.append((dict(zip((f"w{i}" for i in picked), values.tolist(), strict=True)), y))
    return rows


# --- which column goes


def entered(encoder, *rows):
    for row in rows:
        encoder.enter(encoder.encode(dict.fromkeys(row, 1.0)))
    return encoder.names


def test_the_name_unseen_for_longest_makes_room():
    encoder = Encoder(max_features=3)
    names = entered(encoder, "abc", "abc", "bc", "abc", "ac", "ad")
    assert names == ["a", "d", "c"]
    assert encoder.n_evicted == 1
    assert encoder.encode({"b": 5.0, "d": 2.0}).new == {"b": 5.0}


def test_a_name_that_came_once_goes_before_one_that_came_again():
    encoder = Encoder(max_features=3)
    assert entered(encoder, "ab", "ab", "b", "c", "d") == ["a", "b", "d"]


def test_a_name_that_never_varied_goes_first():
    encoder = Encoder(max_features=2)
    entered(encoder, "ab", "ab", "b")
    encoder.enter(encoder.encode({"c": 1.0}), useless=np.array([False, True]))
    assert encoder.names == ["a", "c"]


def test_names_out_of_use_make_room_for_new_ones_in_the_end():
    encoder = Encoder(max_features=4)
    entered(encoder, *["abcd"] * 5)
    names = entered(encoder, *(f"{i % 3}" for i in range(4 * LONGER)))
    assert set("012") <= set(names)


def test_names_of_the_same_row_do_not_take_columns_from_each_other():
    encoder = Encoder(max_features=3)
    entered(encoder, "ab", "ab")
    with pytest.warns(UserWarning, match=r"more features than max_features=3.*left out"):
        encoded = encoder.encode(dict.fromkeys("aedc", 1.0))
    encoder.enter(encoded)
    assert encoder.names == ["a", "d", "c"]  # of c and d, c came first and took the free column


def test_the_order_of_keys_does_not_matter(make_bounded, answer, learn):
    first, second = (make_bounded(max_features=5) for _ in range(2))
    for x, y in sparse(80, 20):
        reverse = dict(reversed(x.items()))
        assert answer(first, x) == answer(second, reverse)
        learn(first, x, y)
        learn(second, reverse, y)
    assert first.n_evicted_ == second.n_evicted_ > 10


@given(rows=st.lists(st.sets(st.sampled_from("abcdefgh"), max_size=5), max_size=40))
def test_there_are_never_more_columns_and_every_name_stands_where_it_is_looked_up(rows):
    encoder = Encoder(max_features=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in rows:
            encoded = encoder.encode({name: float(ord(name)) for name in row})
            known = {name for name in row if name in encoder.names}
            encoder.enter(encoded)
            assert len(encoder) <= 3
            assert known <= set(encoder.names)
            here = encoder.encode({name: float(ord(name)) for name in encoder.names})
            assert here.values.tolist() == [float(ord(name)) for name in encoder.names]
            assert not here.new


# --- what it means to models


def test_within_the_budget_nothing_changes(make_bounded, stream, answer, learn):
    """ "c" appears late, "b" goes for a while."""
    bounded, free = make_bounded(max_features=3), make_bounded(max_features=None)
    for x, y in stream():
        assert answer(bounded, x) == answer(free, x)
        learn(bounded, x, y)
        learn(free, x, y)
    assert bounded.n_evicted_ == free.n_evicted_ == 0


def test_a_recycled_column_starts_like_a_new_one():
    """A name that comes when all others are gone for good is learned as from the start."""
    model = RLSRegressor(max_features=2, delta=10.0)
    for i in range(50):
        model.learn_one({"a": float(i % 3), "b": float(i % 5)}, 2.0 * (i % 3) - (i % 5))
    model.learn_one({"c": 1.0}, 0.0)
    assert set(model.weights_) == {"b", "c"}
    assert model.rls_.covariance[1 + model.encoder_.names.index("c")][0] != 0.0  # learned at once
    for i in range(50):
        model.learn_one({"c": float(i % 7)}, 3.0 * (i % 7))
    assert model.weights_["c"] == pytest.approx(3.0, abs=0.1)


def test_a_renewed_weight_leaves_what_is_known_of_the_others():
    rng = np.random.default_rng(0)
    rls = RecursiveLeastSquares(0.99, np.ones(4), leak=8)
    for _ in range(100):
        phi = rng.normal(size=4)
        rls.update(phi, float(phi.sum()))
    others, before = [0, 1, 3], rls.covariance
    rls.renew(2, 0.5)
    after = rls.covariance
    assert np.array_equal(after[np.ix_(others, others)], before[np.ix_(others, others)])
    assert after[2].tolist() == [0.0, 0.0, 0.5, 0.0]
    assert rls.weights[2] == 0.0
    assert np.linalg.eigvalsh(after).min() > 0.0


def test_training_uses_the_features_of_the_prediction_while_names_come_and_go(learned):
    """Asked before learning or not, a model learns the same."""
    asked = MAKERS["mixture"](max_features=4)
    silent = copy.deepcopy(asked)
    for x, y in sparse(120, 30):
        asked.predict_one(x)
        asked.learn_one(x, y)
        silent.learn_one(x, y)
    assert learned(asked) == learned(silent)
    assert asked.n_evicted_ > 20


def test_predictions_are_pure_beyond_the_budget(make_bounded, train, answer, fingerprint):
    model = train(make_bounded(max_features=4), sparse(60, 30))
    before = fingerprint(model)
    for x, _ in sparse(10, 30, seed=1):
        assert answer(model, x) == answer(model, x)
    assert fingerprint(model) == before


def test_saved_beyond_the_budget_a_model_goes_on_to_the_last_bit(
    make_bounded, train, answer, learn
):
    rows = sparse(160, 40)
    model = train(make_bounded(max_features=5), rows[:80])
    others = [from_bytes(model.to_bytes()), pickle.loads(pickle.dumps(model))]
    for x, y in rows[80:]:
        expected = answer(model, x)
        learn(model, x, y)
        for other in others:
            assert answer(other, x) == expected
            learn(other, x, y)
    assert {other.n_evicted_ for other in others} == {model.n_evicted_}


def test_blocks_are_loops_beyond_the_budget(answer):
    import pandas as pd

    rows = sparse(60, 20)
    X = pd.DataFrame([x for x, _ in rows])
    y = pd.Series([y for _, y in rows])
    block, loop = (MAKERS["mixture"](max_features=4) for _ in range(2))
    block.learn_many(X, y)
    for x, label in rows:
        loop.learn_one(x, label)
    assert answer(block, rows[0][0]) == answer(loop, rows[0][0])
    assert block.n_evicted_ == loop.n_evicted_ > 0


@pytest.mark.parametrize("kind", ["single", "mixture", "classifier", "several"])
def test_what_waits_forgets_the_names_that_went_meanwhile(kind, label, fingerprint):
    """A late label must not teach a new name what an old one said."""
    model = MAKERS[kind](max_features=2, advance_on="predict")
    rng = np.random.default_rng(0)
    rows = [({"a": v, "b": -v}, v) for v in rng.normal(size=30).tolist()]
    for x, y in rows:
        model.predict_one(x)
        model.learn_one(x, label(model, y))
    model.predict_one({"a": 2.0, "b": 1.0}, key="late")
    for i in range(5):
        model.predict_one({"c": float(i), "d": float(i * i)}, key=i)
    for i in range(5):
        model.learn_one({"c": float(i), "d": float(i * i)}, label(model, 1.0), key=i)
    assert set(model.features_.encoder.names) >= {"c", "d"}
    evidence, _ = model._find({"a": 2.0, "b": 1.0}, "late")
    layout = evidence.layout
    for part in ("inputs", "full", "skip", "situation", "long"):
        rows = evidence[part].reshape(layout.n_rows(part), -1)
        for name in "cd":
            column = model.features_.encoder.names.index(name)
            assert not rows[:, layout.places(part, column)].any()


def test_late_labels_find_their_x_whatever_columns_changed():
    model = StreamingAttentionRegressor(max_features=2, advance_on="predict", **SMALL)
    rows = sparse(60, 12, per_row=2)
    for x, _ in rows:
        model.predict_one(x)
    for x, y in rows:
        model.learn_one(x, y)
    assert model.n_evicted_ > 10
    assert model.n_unmatched_ == model.n_pending_ == 0


def test_label_lags_of_a_classifier_do_not_count():
    model = StreamingAttentionClassifier(max_features=1, n_lags=6)
    for i in range(60):
        model.learn_one({"a": float(i % 4)}, i % 5)
    assert model.n_evicted_ == 0
    assert len(model.features_.encoder) == 1 + 6 * 5


@pytest.mark.parametrize("value", [0, -1, 2.5, "many", True, 10**9])
def test_a_bad_budget_is_refused_by_name(make_bounded, value):
    with pytest.raises(ValueError, match="max_features="):
        make_bounded(max_features=value)


def error_of(model, rows):
    mae = metrics.MAE()
    for x, y in rows:
        mae.update(y, model.predict_one(x))
        model.learn_one(x, y)
    return mae.get()


def test_a_bounded_model_is_as_good_on_a_sparse_stream():
    rows = sparse(3000, 1000, power=1.5)
    free = error_of(RLSRegressor(max_features=None), rows)
    bounded = RLSRegressor(max_features=256)
    assert error_of(bounded, rows) <= 1.05 * free
    assert bounded.n_evicted_ > 100


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "n_rows"), [(RLSRegressor, 100_000), (StreamingAttentionRegressor, 25_000)]
)
def test_a_hundred_thousand_names_need_no_more_memory(make, n_rows):
    model, used = make(), []
    rng = np.random.default_rng(0)
    tracemalloc.start()
    try:
        for t in range(n_rows):
            names = rng.integers(100_000, size=3).tolist()
            model.learn_one({f"w{i}": 1.0 + i % 3 for i in names}, float(sum(names) % 7))
            if t in (n_rows // 5, n_rows - 1):
                used.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert used[1] <= 1.2 * used[0]
