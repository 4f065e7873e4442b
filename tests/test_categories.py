"""Features whose values are categories: columns of zeros and ones, made inside the encoder."""

from __future__ import annotations

import datetime as dt
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from river import compose, preprocessing

from river_attention import (
    AttentionTransformer,
    RLSRegressor,
    StreamingAttentionClassifier,
    StreamingAttentionForecaster,
    StreamingAttentionMultiRegressor,
    StreamingAttentionRegressor,
    from_bytes,
)
from river_attention.encoding import Encoder

MAKERS = {
    cls.__name__: cls
    for cls in (
        AttentionTransformer,
        RLSRegressor,
        StreamingAttentionClassifier,
        StreamingAttentionForecaster,
        StreamingAttentionMultiRegressor,
        StreamingAttentionRegressor,
    )
}


@pytest.fixture(params=MAKERS, ids=str)
def make_any(request):
    """Every class that takes categories."""
    return MAKERS[request.param]


def rows(n_rows=120, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for t in range(n_rows):
        store = "NESW"[int(rng.integers(4))] if t % 7 else None
        x = {"load": float(rng.normal()), "store": store, "day": t % 5}
        if t % 11 == 0:
            del x["day"]
        made.append((x, 3.0 * (store == "N") - 2.0 * (t % 5 == 2) + 0.1 * float(rng.normal())))
    return made


def by_hand(x, known):
    """Zeros and ones, as a user would make them."""
    encoded = {"load": x["load"]} | dict.fromkeys(known, 0.0)
    for name in ("store", "day"):
        if x.get(name) is not None:
            encoded[f"{name}={x[name]}"] = 1.0
    known |= encoded.keys() - {"load"}
    return encoded


def test_categories_are_indicators(make_any, answer, learn):
    """The same as zeros and ones of one's own, to the last bit."""
    inside, outside = make_any(categorical=("store", "day")), make_any()
    known = set()
    for x, y in rows():
        encoded = by_hand(x, known)
        assert answer(inside, x) == answer(outside, encoded)
        learn(inside, x, y)
        learn(outside, encoded, y)


def test_they_are_those_of_rivers_encoder():
    """The columns have other names there, which decide what is drawn at random: no memory here."""
    inside = StreamingAttentionRegressor(mode=None, memory=0, categorical=("store", "day"))
    outside = (
        compose.Select("load") + (compose.Select("store", "day") | preprocessing.OneHotEncoder())
    ) | StreamingAttentionRegressor(mode=None, memory=0)
    for x, y in rows():
        if len(x) == 3 and x["store"] is not None:  # there a missing one is a category
            assert inside.predict_one(x) == pytest.approx(outside.predict_one(x), rel=1e-9)
            inside.learn_one(x, y)
            outside.learn_one(x, y)


def test_a_model_learns_what_a_category_means():
    model = RLSRegressor(categorical=("store",))
    for x, _ in rows(200):
        model.learn_one({"store": x["store"]}, 5.0 if x["store"] == "N" else 1.0)
    assert model.predict_one({"store": "N"}) == pytest.approx(5.0, abs=0.1)
    assert model.predict_one({"store": "S"}) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("value", "column"),
    [
        *(("N", "f=N"), (3, "f=3"), (3.0, "f=3"), (np.int64(3), "f=3"), (2.5, "f=2.5")),
        *((True, "f=True"), (np.True_, "f=True"), ("", "f="), (np.str_("N"), "f=N")),
        *((("a", 1), "f=('a', 1)"), (dt.date(2024, 5, 1), "f=2024-05-01")),
        *((np.array("N"), "f=N"), (b"x", "f=b'x'")),
    ],
)
def test_any_value_that_can_be_told_apart_is_a_category(value, column):
    encoder = Encoder(categorical=("f",))
    assert encoder.encode({"f": value}).new == {column: 1.0}


@pytest.mark.parametrize(
    "value", [None, math.nan, pd.NA, pd.NaT, math.inf, np.datetime64("NaT"), np.float32("nan")]
)
def test_a_missing_category_is_no_column(value):
    encoder = Encoder(categorical=("f",))
    encoder.enter(encoder.encode({"f": "a"}))
    encoded = encoder.encode({"f": value})
    assert (encoded.values.tolist(), encoded.new) == ([0.0], {})
    assert encoder.encode({}).values.tolist() == [0.0]


@pytest.mark.parametrize("value", [["a"], {"a": 1}, object()])
def test_a_value_that_cannot_be_told_apart_is_refused_by_name(make_any, value, fingerprint, learn):
    model = make_any(categorical=("store",))
    before = fingerprint(model)
    with pytest.raises(TypeError, match="feature 'store'"):
        learn(model, {"store": value}, 0.0)
    assert fingerprint(model) == before


def test_a_string_elsewhere_names_the_remedy(make_any, learn):
    model = make_any(categorical=("store",))
    x = {"store": "N", "load": "21.3"}
    with pytest.raises(TypeError, match=r"feature 'load' is '21\.3'.*categorical=\('load',\)"):
        learn(model, x, 0.0)


@pytest.mark.parametrize(
    "value", ["store", b"store", 3, [["a"]], ("a", "a"), (1, "1"), ("a", "a=b"), (object(),)]
)
def test_bad_names_of_categories_are_refused_by_name(make_any, value):
    with pytest.raises(ValueError, match="categorical="):
        make_any(categorical=value)


def test_a_given_column_wins_over_a_computed_one():
    encoder = Encoder(categorical=("f",))
    assert encoder.encode({"f": "a", "f=a": 5.0}).new == {"f=a": 5.0}


def test_the_budget_bounds_the_categories_those_unseen_for_longest_first():
    encoder = Encoder(max_features=3, categorical=("f",))
    for value in "aabbccbcd":
        encoder.enter(encoder.encode({"f": value}))
    assert set(encoder.names) == {"f=b", "f=c", "f=d"}
    assert encoder.n_evicted == 1


def test_categories_survive_clone_config_bytes_and_pickle(make_any, answer, learn):
    model = make_any(categorical=("store", "day"))
    made = rows()
    for x, y in made[:60]:
        learn(model, x, y)
    again = [from_bytes(model.to_bytes()), pickle.loads(pickle.dumps(model))]
    for x, y in made[60:]:
        assert [answer(other, x) for other in again] == [answer(model, x)] * 2
        for each in (model, *again):
            learn(each, x, y)
    assert model.clone().categorical == ("store", "day")
    config = json.loads(json.dumps(model.get_config()))
    assert make_any.from_config(config).categorical == ("store", "day")
    assert make_any(categorical=()).clone().categorical is None


@pytest.mark.parametrize(
    "make_any", [RLSRegressor, StreamingAttentionClassifier, StreamingAttentionRegressor]
)
def test_blocks_take_categories(make_any):
    made = [(x, y) for x, y in rows(40) if len(x) == 3]
    X = pd.DataFrame([x for x, _ in made])
    X["store"] = X["store"].astype("category")
    block, loop = (make_any(categorical=("store", "day")) for _ in range(2))
    labels = [int(y) for _, y in made]
    block.learn_many(X, pd.Series(labels))
    for (x, _), label in zip(made, labels, strict=True):
        loop.learn_one(x, label)
    assert block.predict_many(X).tolist() == [loop.predict_one(x) for x, _ in made]


def test_late_labels_find_rows_with_categories():
    model = StreamingAttentionRegressor(
        mode=None, memory=0, advance_on="predict", categorical=("store", "day")
    )
    made = rows(60)
    for x, _ in made:
        model.predict_one(x)
    for x, y in made:
        model.learn_one(x, y)
    assert model.n_unmatched_ == model.n_pending_ == 0
