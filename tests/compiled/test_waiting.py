"""Labels that come late: both backends know a row by the same bytes, and the state stays in C."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from river_attention import (
    StreamingAttentionClassifier,
    StreamingAttentionMultiRegressor,
    StreamingAttentionRegressor,
    backend,
)

pytestmark = pytest.mark.skipif(backend._core is None, reason="the compiled core does not run")

NAMES = ["a", "b", ("c", 1), 4, "day=1"]
VALUES = st.sampled_from([0.0, -0.0, 1, True, 2.5, -3e200, None, math.nan, np.float32(0.1)])
KINDS = {
    "regressor": (StreamingAttentionRegressor, float),
    "classifier": (StreamingAttentionClassifier, lambda y: y > 0.5),
    "several": (StreamingAttentionMultiRegressor, lambda y: {"p": float(y), "q": -float(y)}),
}


def late(kind, **parameters):
    return KINDS[kind][0](advance_on="predict", window=9, **parameters)


@pytest.mark.parametrize("kind", KINDS)
@given(rows=st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES), min_size=1, max_size=9))
def test_a_row_is_known_by_the_same_bytes(kind, rows):
    model = late(kind, categorical=("day",))
    for t in range(8):
        x = dict.fromkeys(NAMES, float(t)) | {"day": 1}
        model.predict_one(x)
        model.learn_one(x, KINDS[kind][1](t % 2))
    encoder = model.features_.encoder
    for x in [*rows, *({"day": day} | x for day, x in enumerate(rows))]:
        found = model._twin.signature(x)
        encoded = encoder.encode(x)
        if found is None:
            assert encoded.new
        else:
            assert found == encoder.signature(encoded)


@pytest.mark.parametrize("keyed", [False, True], ids=["by x", "by key"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_waits_in_one_backend_is_found_by_the_other(kind, keyed, monkeypatch):
    rng, make_label = np.random.default_rng(0), KINDS[kind][1]
    rows = [({"a": float(a), "b": float(b)}, make_label(a)) for a, b in rng.normal(size=(60, 2))]
    models = []
    for first, then in [(0, 0), (0, 1), (1, 0)]:
        with monkeypatch.context() as patch:
            if first:
                patch.setattr(backend, "_core", None)
            model = late(kind)
            for i, (x, _) in enumerate(rows[:40]):
                model.predict_one(x, key=i if keyed else None)
                if i > 20:
                    model.learn_one(rows[i - 20][0], rows[i - 20][1], key=i - 20 if keyed else None)
            data = pickle.dumps(model)
        with monkeypatch.context() as patch:
            if then:
                patch.setattr(backend, "_core", None)
            model = pickle.loads(data)
            for i in range(20, 40):
                model.learn_one(*rows[i], key=i if keyed else None)
            assert model.n_unmatched_ == 0
            models.append([model.predict_one(x) for x, _ in rows[40:]])
    for answers in models[1:]:
        if kind == "regressor":
            assert answers == pytest.approx(models[0], rel=1e-9)
        elif kind == "several":
            for mine, other in zip(answers, models[0], strict=True):
                assert mine == pytest.approx(other, rel=1e-9)
        else:
            assert answers == models[0]


@pytest.mark.parametrize("keyed", [False, True], ids=["by x", "by key"])
@pytest.mark.parametrize("kind", KINDS)
def test_they_stay_in_c(kind, keyed):
    model, make_label = late(kind), KINDS[kind][1]
    for i in range(80):
        x = {"a": math.sin(i), "b": i % 7}
        model.predict_one(x, key=i if keyed else None)
        if i > 40:
            assert model._twin.is_holding
        if i >= 5:
            x = {"a": math.sin(i - 5), "b": (i - 5) % 7}
            model.learn_one(x, make_label(i % 2), key=i - 5 if keyed else None)
        if i > 40:
            assert model._twin.is_holding
    assert model.n_unmatched_ == 0
    assert model.n_pending_ == 5


def test_there_must_be_a_step_to_see():
    model = late("regressor")
    for _ in range(3):
        model.predict_one({"a": 1.0})
    with pytest.raises(RuntimeError, match="no step"):
        model._twin.see(True)
