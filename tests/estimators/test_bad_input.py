"""Bad input: what is missing, what is refused, and that nothing has changed then."""

from __future__ import annotations

import datetime as dt
import inspect
import math
import pickle
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from river_attention import AttentionTransformer, RLSRegressor, StreamingAttentionRegressor
from river_attention.modes import GLA
from river_attention.readout import RecursiveLeastSquares

pytestmark = pytest.mark.usefixtures("nothing_warns")

LIMIT = 1e150

MISSING = {
    "None": None,
    "nan": float("nan"),
    "inf": math.inf,
    "-inf": -math.inf,
    "pd.NA": pd.NA,
    "pd.NaT": pd.NaT,
    "masked": np.ma.masked,
    "int beyond float": 10**400,
    "negative int beyond float": -(10**400),
    "Decimal beyond float": Decimal("1e400"),
    "Decimal NaN": Decimal("NaN"),
    "Decimal sNaN": Decimal("sNaN"),
    "Decimal Infinity": Decimal("-Infinity"),
    "Fraction beyond float": Fraction(10**400, 3),
    "np.float16 nan": np.float16("nan"),
    "np.float32 inf": np.float32("inf"),
    "np.float64 nan": np.float64("nan"),
    "np.longdouble nan": np.longdouble("nan"),
    "np.datetime64 NaT": np.datetime64("NaT"),
    "0-d array": np.array(np.nan),
}


class Unprintable:
    """An object that only its address tells from others."""


def double(x):
    return 2.0 * x


class Level:
    """An object that is not a number."""

    def __repr__(self):
        return "Level()"


BAD_VALUES = {
    "str": "blue",
    "numeral": "1.5",
    "empty str": "",
    "bytes": b"1",
    "list": [1.0],
    "dict": {"a": 1},
    "array": np.array([1.0, 2.0]),
    "complex": 1 + 2j,
    "np.complex128": np.complex128(1),
    "np.str_": np.str_("blue"),
    "timedelta": dt.timedelta(1),
    "np.timedelta64": np.timedelta64(1, "s"),
    "time": dt.time(12),
    "object": Level(),
    "class": Level,
}

BAD_TARGETS = {
    "None": None,
    "nan": float("nan"),
    "inf": math.inf,
    "-inf": -math.inf,
    "pd.NA": pd.NA,
    "pd.NaT": pd.NaT,
    "np.float32 nan": np.float32("nan"),
    "Decimal NaN": Decimal("NaN"),
    "Decimal sNaN": Decimal("sNaN"),
    "int beyond float": 10**400,
    "Decimal beyond float": Decimal("1e400"),
}

NO_TARGETS = {
    "str": "blue",
    "numeral": "1.5",
    "bytes": b"1",
    "list": [1.0],
    "array": np.array([1.0, 2.0]),
    "complex": 1 + 2j,
    "np.complex128": np.complex128(1 + 2j),
    "datetime": dt.datetime(2024, 1, 1),
    "np.datetime64": np.datetime64("2024-01-01"),
    "np.timedelta64": np.timedelta64(1, "s"),
    "object": Level(),
}

BAD_WEIGHTS = [-1.0, -5e-324, float("nan"), math.inf, -math.inf, None, "a", 10**400, 1j, pd.NA]


def table(cases):
    return [pytest.param(value, id=name) for name, value in cases.items()]


# --- missing, clipped, converted


def test_every_spelling_of_missing_means_the_feature_is_absent(
    make, stream, train, answer, fingerprint, learn, case
):
    spelled, absent = train(make(), stream()[:20]), train(make(), stream()[:20])
    for (spelling, value), (x, y) in zip(MISSING.items(), stream(seed=1), strict=False):
        with case(spelling):
            without = {name: number for name, number in x.items() if name != "b"}
            with_it = without | {"b": value}
            assert answer(spelled, with_it) == answer(absent, without)
            learn(spelled, with_it, y)
            learn(absent, without, y)
            assert fingerprint(spelled) == fingerprint(absent)


def test_a_feature_that_was_only_ever_missing_is_unknown(make, train, fingerprint, case):
    absent = train(make(), [({"a": float(i)}, float(i)) for i in range(3)])
    for spelling, value in MISSING.items():
        with case(spelling):
            spelled = train(make(), [({"a": float(i), "b": value}, float(i)) for i in range(3)])
            assert fingerprint(spelled) == fingerprint(absent)


BEYOND = [
    sign * value
    for value in (1e151, 1e308, 10**151, Decimal("1e200"), Fraction(10**300), np.float64(1e250))
    for sign in (1, -1)
]


def test_a_feature_beyond_the_limit_counts_as_the_limit(
    make, stream, train, answer, fingerprint, learn, case
):
    beyond, limited = train(make(), stream()[:20]), train(make(), stream()[:20])
    for i, value in enumerate(BEYOND):
        with case(value):
            # one that is known, and one that comes with this number
            x = {"a": 9.0, "b": value, f"new {i}": value}
            x_limited = dict.fromkeys(x, LIMIT if value > 0 else -LIMIT) | {"a": 9.0}
            for _ in range(2):
                assert answer(beyond, x) == answer(limited, x_limited)
                learn(beyond, x, 50.0)
                learn(limited, x_limited, 50.0)
            assert fingerprint(beyond) == fingerprint(limited)


def test_a_target_beyond_the_limit_counts_as_the_limit(
    make_regressor, stream, train, fingerprint, case
):
    beyond, limited = train(make_regressor(), stream()[:20]), train(make_regressor(), stream()[:20])
    for value in BEYOND:
        if not isinstance(value, Fraction):
            with case(value):
                beyond.learn_one({"a": 9.0}, value)
                limited.learn_one({"a": 9.0}, LIMIT if value > 0 else -LIMIT)
                assert fingerprint(beyond) == fingerprint(limited)


KINDS = [
    *(int, bool, Decimal, Fraction, np.array, np.bool_),
    *(np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64),
    *(np.float16, np.float32, np.float64, np.longdouble),
]


def test_numbers_of_every_kind_are_numbers(make, answer, fingerprint, learn, case):
    floats, others = make(), make()
    for kind in KINDS:
        with case(kind):
            for i in range(4):
                value = (i // 2) % 2
                x, x_other = {"a": float(value), "b": 2.0}, {"a": kind(value), "b": 2.0}
                assert answer(others, x_other) == answer(floats, x)
                learn(floats, x, float(i))
                learn(others, x_other, kind(i) if kind not in (bool, np.bool_) else float(i))
            assert fingerprint(others) == fingerprint(floats)


# --- refused


def test_a_feature_that_is_no_number_is_refused_by_name(make, stream, train, answer, learn, case):
    model = train(make(), stream()[:20])
    before = pickle.dumps(model)
    for what, value in BAD_VALUES.items():
        for name in ("b", "never seen", 7):
            x = {"a": 9.0, name: value}
            for ask in (learn, answer):
                with case(what, name, ask):
                    with pytest.raises(TypeError, match=rf"{name!r}.*OneHotEncoder"):
                        ask(model, x, *([50.0] if ask is learn else []))
                    assert pickle.dumps(model) == before


@pytest.mark.parametrize("value", [1.0, None])
def test_a_feature_known_by_its_address_only_is_refused(
    make, stream, train, answer, value, learn, case
):
    model = train(make(), stream()[:20])
    before = pickle.dumps(model)
    for name in (Unprintable(), ("a", Unprintable()), frozenset([object()]), double):
        for ask in (learn, answer):
            with case(name, ask):
                with pytest.raises(TypeError, match="address"):
                    ask(model, {"a": 9.0, name: value}, *([50.0] if ask is learn else []))
                assert pickle.dumps(model) == before


NO_DICTS = [3.0, "ab", [1.0, 2.0], (1.0, 2.0), {0, 1}, np.ones(2), pd.Series([1.0, 2.0])]


def test_x_has_to_be_a_dict(make, train, answer, learn, case):
    for names in (("a", "b"), (0, 1), ()):
        rows = [({name: float(i) for name in names}, float(i)) for i in range(5)]
        model = train(make(), rows)
        before = pickle.dumps(model)
        for x in NO_DICTS:
            for ask in (learn, answer):
                with case(x, names, ask):
                    with pytest.raises(TypeError, match="dict"):
                        ask(model, x, *([50.0] if ask is learn else []))
                    assert pickle.dumps(model) == before


def test_x_may_be_none_where_features_ahead_need_not_be_known_only(make, train, answer, learn):
    model = train(make(), [({"a": float(i)}, float(i)) for i in range(5)])
    before = pickle.dumps(model)
    if hasattr(model, "forecast"):
        assert answer(model, None) == answer(model, {})
        learn(model, None, 50.0)
        return
    for refused in (lambda: learn(model, None, 50.0), lambda: answer(model, None)):
        with pytest.raises(TypeError, match="dict"):
            refused()
        assert pickle.dumps(model) == before


def test_a_target_that_is_not_finite_is_refused_by_name(make_regressor, stream, train, case):
    model = train(make_regressor(), stream()[:20])
    before = pickle.dumps(model)
    for what, y in BAD_TARGETS.items():
        with case(what):
            with pytest.raises(ValueError, match=re.escape(f"y={y!r}")):
                model.learn_one({"a": 9.0, "new": 1.0}, y)
            assert pickle.dumps(model) == before


def test_a_target_that_is_no_number_is_refused(make_regressor, stream, train, case):
    model = train(make_regressor(), stream()[:20])
    before = pickle.dumps(model)
    for what, y in NO_TARGETS.items():
        with case(what):
            with pytest.raises(TypeError):
                model.learn_one({"a": 9.0, "new": 1.0}, y)
            assert pickle.dumps(model) == before


def test_a_bad_weight_is_refused_by_name(make_regressor, stream, train, case):
    model = train(make_regressor(), stream()[:20])
    before = pickle.dumps(model)
    for w in BAD_WEIGHTS:
        with case(w):
            with pytest.raises(ValueError, match=re.escape(f"w={w!r}")):
                model.learn_one({"a": 9.0, "new": 1.0}, 50.0, w)
            assert pickle.dumps(model) == before


def test_a_bad_feature_in_the_last_row_of_a_block_leaves_the_model_as_it_was(
    make_for_blocks, stream, train, case
):
    model = train(make_for_blocks(), stream()[:20])
    before = pickle.dumps(model)
    for what, value in BAD_VALUES.items():
        X = pd.DataFrame({"a": [1.0, 2.0, 3.0], "z": pd.Series([1.0, 2.0, None], dtype=object)})
        X.at[2, "z"] = value
        with case(what):
            with pytest.raises(TypeError, match=r"'z'.*OneHotEncoder"):
                model.learn_many(X, pd.Series([1.0, 2.0, 3.0]))
            assert pickle.dumps(model) == before


def test_a_bad_target_in_the_last_row_of_a_block_leaves_the_model_as_it_was(
    make_regressor, stream, train, case
):
    model = train(make_regressor(), stream()[:20])
    before = pickle.dumps(model)
    for what, y in BAD_TARGETS.items():
        with case(what):
            with pytest.raises(ValueError, match="y="):
                model.learn_many(pd.DataFrame({"z": [1.0, 2.0]}), pd.Series([1.0, y], dtype=object))
            assert pickle.dumps(model) == before


@pytest.mark.parametrize("y", table(BAD_TARGETS | NO_TARGETS))
def test_a_bad_target_is_none_to_a_transformer_of_numbers(stream, train, fingerprint, y):
    told, untold = (train(AttentionTransformer(), stream()[:20]) for _ in range(2))
    for x, _ in stream()[20:25]:
        told.learn_one(x, y)
        untold.learn_one(x)
    assert fingerprint(told) == fingerprint(untold)


@pytest.mark.parametrize("y", [None, math.nan, math.inf, pd.NA, pd.NaT, Decimal("NaN"), [1.0]])
def test_a_bad_label_is_none_to_a_transformer_of_classes(stream, fingerprint, y):
    told, untold = AttentionTransformer(), AttentionTransformer()
    for t, (x, _) in enumerate(stream()[:25]):
        told.learn_one(x, y if t % 3 == 0 else f"class {t % 2}")
        untold.learn_one(x, None if t % 3 == 0 else f"class {t % 2}")
    assert fingerprint(told) == fingerprint(untold)


# --- hyper-parameters

LAYER = {
    "n_heads": [0, -1, 1.5, True, "4", None, math.nan],
    "d_key": [0, -1, 1.5, True, "4", None],
    "d_value": [0, -1, 1.5, True, "4", None],
    "mode": ["x", 3, "", GLA, b"gla"],
    "seed": [1.5, "42", math.nan, [1]],
}
READOUT = {
    "forgetting_factor": [0, 0.0, -0.5, 1.1, math.nan, math.inf, "a", None, True, 10**400],
    "huber": ["yes", None, 1, 0.5],
}
DELTA = [0, 0.0, -1, math.inf, math.nan, "a", True, 10**400]
BAD_PARAMETERS = [
    pytest.param(cls, name, value, id=f"{cls.__name__}-{name}={str(value)[:20]}")
    for cls, names in [
        (
            StreamingAttentionRegressor,
            LAYER
            | READOUT
            | {
                "delta": DELTA,
                "n_lags": [-1, 1.5, True, "6", None],
                "prior": ["x", None, 1, ""],
                "readout": ["x", None, 1],
            },
        ),
        (
            AttentionTransformer,
            LAYER
            | {
                "prefix": [3, None, b"attn_"],
                "target": ["classes", None, 1],
                "n_lags": [-1, 1.5, True, "6", None],
                "window": [-1, 1.5, True, "6", None],
            },
        ),
        (RLSRegressor, READOUT | {"delta": [*DELTA, None], "leak": [-1, 1.5, True, "8", None]}),
        (
            RecursiveLeastSquares,
            READOUT
            | {
                "delta": [0, -1, math.inf, math.nan, "a", 10**400, None, [1.0, -1.0], [[1.0]]],
                "leak": [-1, 1.5, True],
            },
        ),
        (GLA, {"gate": ["x", None, 1]}),
    ]
    for name, values in names.items()
    for value in values
]


def test_a_size_beyond_any_memory_is_refused_with_its_name(estimator):
    parameters = inspect.signature(estimator).parameters.values()
    sizes = [p.name for p in parameters if type(p.default) is int and p.name != "seed"]
    for name in sizes + (["season"] if hasattr(estimator, "forecast") else []):
        for value in (10**9, 10**30):
            with pytest.raises(ValueError, match=rf"\b{name}={value}\b"):
                estimator(**{name: value})


@pytest.mark.parametrize(
    "factors", [(0.9, 2.0), (0.9, math.nan), (0.0,), (), (0.9, "a"), (0.9,) * 2]
)
def test_bad_forgetting_factors_are_refused_with_all_of_them(estimator, factors):
    if "forgetting_factor" not in inspect.signature(estimator).parameters:
        return  # it has no readout
    with pytest.raises(ValueError, match=re.escape(f"forgetting_factor={factors!r}")):
        estimator(forgetting_factor=factors)


@pytest.mark.parametrize(("cls", "name", "value"), BAD_PARAMETERS)
def test_a_bad_parameter_is_refused_with_its_name_and_value(cls, name, value):
    with pytest.raises(ValueError, match=re.escape(f"{name}={value!r}") + ".*must be"):
        cls(**{name: value})


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (StreamingAttentionRegressor, "n_heads", np.int64(2)),
        (StreamingAttentionRegressor, "forgetting_factor", np.float32(0.5)),
        (StreamingAttentionRegressor, "forgetting_factor", 1),
        (StreamingAttentionRegressor, "n_lags", 0),
        (StreamingAttentionRegressor, "delta", np.float64(0.5)),
        (StreamingAttentionRegressor, "seed", np.uint8(3)),
        (StreamingAttentionRegressor, "mode", GLA("vector")),
        (AttentionTransformer, "prefix", ""),
        (RLSRegressor, "delta", 3),
        (RLSRegressor, "leak", np.int32(8)),
    ],
)
def test_a_good_parameter_of_an_unusual_type_works(cls, name, value, stream, train, answer):
    model = train(cls(**{name: value}), stream()[:10])
    assert np.isfinite(answer(model, stream()[10][0])).all()
