"""Names to columns: the same in every process and for every order; dates become cycles."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import itertools
import math
import os
import pickle
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from river_attention import calendar_features
from river_attention.encoding import Encoder
from river_attention.naming import canonical_name, generator
from river_attention.values import clean

# --- the same in every process

SCRIPT = """
import datetime as dt
from river_attention import AttentionTransformer, RLSRegressor, StreamingAttentionRegressor

keys = ["load", ("load", 1), 3, None, 2.5, frozenset(["x", "y", "z"]), b"raw", ("a", ("b", None))]
for model in (
    StreamingAttentionRegressor(), RLSRegressor(), AttentionTransformer(),
    AttentionTransformer("gla_vector", seed=1),
):
    for t in range(12):
        # a new name in every other row, several in the first
        x = {key: (t * i) % 5 - 2.0 for i, key in enumerate(keys[: 4 + t // 2])}
        x["day"] = dt.date(2024, 1, 1 + t)
        if hasattr(model, "predict_one"):
            print(model.predict_one(x))
        else:  # a frozenset prints its items in any order
            print(list(model.transform_one(x).values()))
        model.learn_one(x, float((t * t) % 7))
"""


def run(hash_seed):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_predictions_are_the_same_bits_in_every_process():
    one, other = run("1"), run("2")
    assert len(one.splitlines()) == 48
    assert len(set(one.splitlines())) > 30
    assert one == other


# --- the same for every order

NAMES = ["a", "b", "B", 1, "1", ("a", 1), 2.5, None]


@given(order=st.permutations(NAMES), late=st.sets(st.sampled_from(NAMES)))
@settings(max_examples=settings.default.max_examples // 5)  # for every setting
def test_answers_are_the_same_bits_whatever_the_order_of_keys(
    make, answer, fingerprint, order, late, learn
):
    sorted_keys, shuffled_keys = make(), make()
    for t in range(8):
        x = {name: math.sin(i + t) for i, name in enumerate(NAMES) if t > 3 or name not in late}
        shuffled = {name: x[name] for name in order if name in x}
        assert answer(sorted_keys, x) == answer(shuffled_keys, shuffled)
        learn(sorted_keys, x, float(t % 3))
        learn(shuffled_keys, shuffled, float(t % 3))


@given(order=st.permutations(NAMES))
def test_new_names_of_one_dict_enter_in_canonical_order(order):
    encoder = Encoder()
    encoder.enter(encoder.encode(dict.fromkeys(order, 1.0)))
    assert encoder.names == sorted(NAMES, key=canonical_name)


def test_a_name_made_by_a_date_and_given_as_well_does_not_depend_on_the_order(make, answer, learn):
    when = dt.datetime(2024, 5, 17, 6)
    answers = []
    for names in (["t", "t_hour_sin"], ["t_hour_sin", "t"]):
        model = make()
        for i in range(8):
            x = {"t": when + dt.timedelta(hours=i), "t_hour_sin": 5.0 * i}
            learn(model, {name: x[name] for name in names}, float(i % 3))
        answers.append(answer(model, {name: x[name] for name in names}))
    assert answers[0] == answers[1]


def drawn_layers(model):
    """The layers whose weights are drawn, by what seeds them."""
    labels = {"head": "heads", "bank": "bank"}
    memories = model.features_.memories
    return {label: memories[name] for name, label in labels.items() if name in memories}


def gains(label, layer):
    """The factor on the drawn weights of every row; 0 for rows that see no input."""
    if label == "bank":
        # the complex inputs of the bank have two parts that share the variance
        return np.repeat([2**-0.5, 1.0], 2 * layer.n_units)
    blocks = layer.mode.projections(layer.d_key, layer.d_value)
    sizes = [layer.n_heads * math.prod(block.shape) for block in blocks]
    return np.repeat([block.gain for block in blocks], sizes)


@pytest.mark.parametrize("first", ["a", "b"])
def test_the_column_of_a_feature_does_not_depend_on_when_it_came(make_memory, first, learn):
    model = make_memory()
    learn(model, {first: 1.0}, 1.0)
    learn(model, {"a": 1.0, "b": 2.0}, 2.0)
    names = model.features_.encoder.names
    layers = drawn_layers(model)
    assert layers
    for label, layer in layers.items():
        weights = layer.weights[:, layer.n_inputs - len(names) + names.index("b")]
        drawn = generator(42, label, canonical_name("b")).normal(size=len(weights))
        gain = gains(label, layer)
        ratios = weights[gain != 0.0] / (drawn * gain)[gain != 0.0]
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-12)


# --- equal keys, equal columns


class Color(str, enum.Enum):  # noqa: UP042 - the older kind prints as Color.RED
    RED = "a"


class Shade(enum.StrEnum):
    RED = "a"


class Number(enum.IntEnum):
    ONE = 1


class Pair(collections.namedtuple("Pair", "first second")):
    pass


BERLIN = dt.datetime(2024, 6, 1, 14, tzinfo=ZoneInfo("Europe/Berlin"))

EQUAL = {
    "one": [
        *(1, True, 1.0, Decimal(1), Decimal("1.00"), Fraction(1), Number.ONE, complex(1)),
        *(np.bool_(True), np.int8(1), np.uint64(1), np.int64(1), np.float16(1), np.float32(1)),
        *(np.float64(1), np.longdouble(1), np.complex128(1)),
    ],
    "zero": [0, False, 0.0, -0.0, Decimal("-0"), np.float64(-0.0), Fraction(0)],
    "a half": [0.5, Decimal("0.5"), Decimal("0.50"), Fraction(1, 2), np.float32(0.5)],
    "a tenth": [Decimal("0.1"), Decimal("0.10"), Fraction(1, 10)],
    "large": [10**22, 1e22, Decimal(10**22)],
    "beyond float": [10**400, Decimal(10**400), Fraction(10**400)],
    "infinity": [math.inf, Decimal("Infinity"), np.float32("inf")],
    "text": ["a", np.str_("a"), Color.RED, Shade.RED],
    "bytes": [b"a", np.bytes_(b"a")],
    "tuple": [("a", 1), (np.str_("a"), np.int64(1)), (Color.RED, True), Pair("a", 1.0)],
    "nested": [(("a", 1), 0.5), ((np.str_("a"), 1.0), Fraction(1, 2))],
    "set": [frozenset(["a", 1]), frozenset([1.0, np.str_("a")])],
    "moment": [
        BERLIN,
        BERLIN.astimezone(dt.UTC),
        BERLIN.astimezone(ZoneInfo("Asia/Tokyo")),
        pd.Timestamp(BERLIN),
    ],
    "naive moment": [dt.datetime(2024, 6, 1, 14), pd.Timestamp(2024, 6, 1, 14)],
    "day": [dt.date(2024, 6, 1)],
}
EQUAL_PAIRS = [
    # numbered: the repr of a set differs from process to process, and with it would the test's name
    pytest.param(one, other, id=f"{name}-{i}-{type(one).__name__}-{type(other).__name__}")
    for name, keys in EQUAL.items()
    for i, (one, other) in enumerate(itertools.pairwise(keys))
]


@pytest.mark.parametrize(("one", "other"), EQUAL_PAIRS)
def test_equal_keys_have_equal_canonical_names(one, other):
    assert {one: None} == {other: None}  # the premise
    assert canonical_name(one) == canonical_name(other)


def test_equal_keys_are_the_same_feature(make, train, answer, case):
    """Models that learned the keys of a line in their first, second, ... spelling, all at once."""
    firsts = [keys[0] for keys in EQUAL.values()]
    expected = None
    for i in range(max(map(len, EQUAL.values()))):
        spelled = [keys[min(i, len(keys) - 1)] for keys in EQUAL.values()]
        model = train(make(), [(numbers(spelled, t), float(t % 4)) for t in range(4)])
        expected = expected or answer(model, numbers(firsts, 4))
        with case(spelled):
            assert answer(model, numbers(firsts, 4)) == expected
            assert answer(model, numbers(spelled, 4)) == expected


def numbers(names, t):
    """A number for every name."""
    return {name: math.sin(1.0 + j + t) for j, name in enumerate(names)}


DIFFERENT = [
    *("1", 1, b"1", ("1",), (1,), "int:1", "str:'1'", "(1,)", "True", 1.5, "1.5", (), "", b""),
    *(None, "None", frozenset(), frozenset([1]), ((1,),), (1, ()), ("a", "b"), ("a,b",)),
    *(("a", ("b",)), (("a", "b"),), ("a','b",), "a", "A", "a ", "\ud800", "ä", "a\u0308"),
    *(
        dt.date(2024, 6, 1),
        dt.datetime(2024, 6, 1),
        "2024-06-01",
        BERLIN,
        BERLIN.replace(tzinfo=None),
    ),
    *(Decimal("0.1"), 0.1, 0.1 + 2**-56, 10**22 + 1, 10**22, math.inf),
]


def test_different_keys_have_different_canonical_names():
    assert len(set(DIFFERENT)) == len(DIFFERENT)  # the premise
    names = {}
    for key in DIFFERENT:
        assert names.setdefault(canonical_name(key), key) is key


def test_different_keys_are_different_features(make, train):
    model = train(make(), [(dict.fromkeys(DIFFERENT, 1.0), 1.0)])
    inner = getattr(model, "regressor_", model)
    encoder = inner.encoder_ if hasattr(inner, "encoder_") else inner.features_.encoder
    assert len(encoder) == len(DIFFERENT)


def test_different_columns_are_drawn_for_the_text_and_the_number_one(make_memory, train):
    model = train(make_memory(), [({"1": 1.0, 1: 1.0}, 1.0)])
    layers = drawn_layers(model)
    assert layers
    for layer in layers.values():
        assert not np.allclose(layer.weights[:, -1], layer.weights[:, -2])


def test_a_key_known_by_its_address_only_has_no_canonical_name():
    for key in (object(), ("a", object()), frozenset([object()]), lambda: None):
        with pytest.raises(TypeError, match="address"):
            canonical_name(key)


# --- calendar

NOON = dt.datetime(2024, 3, 1, 18, 30, 36)  # a Friday, the 61st day of the year
CYCLES = {
    "weekday": 4 / 7,
    "yearday": 60 / 365.25,
    "hour": (18 + 30 / 60 + 36 / 3600) / 24,
}


def expected(cycles, name="t"):
    columns = {}
    for cycle in cycles:
        columns[f"{name}_{cycle}_sin"] = math.sin(2 * math.pi * CYCLES[cycle])
        columns[f"{name}_{cycle}_cos"] = math.cos(2 * math.pi * CYCLES[cycle])
    return columns


@pytest.mark.parametrize(
    "when",
    [
        NOON,
        NOON.replace(tzinfo=ZoneInfo("Asia/Tokyo")),  # the hour on the clock, wherever it hangs
        pd.Timestamp(NOON),
        pd.Timestamp(NOON, tz="Europe/Berlin"),
        np.datetime64(NOON),
        np.datetime64("2024-03-01T18:30:36", "ns"),
        np.datetime64("2024-03-01T18:30:36", "s"),
    ],
)
def test_a_datetime_becomes_hour_weekday_and_day_of_the_year(when):
    features = calendar_features({"t": when, "load": 3.0})
    assert features == pytest.approx(expected(CYCLES) | {"load": 3.0}, rel=1e-10)


def test_microseconds_do_not_matter_much():
    exact = calendar_features({"t": NOON})
    assert calendar_features({"t": NOON.replace(microsecond=1)}) == pytest.approx(exact, abs=1e-9)


def test_a_date_has_no_hour():
    features = calendar_features({"t": dt.date(2024, 3, 1)})
    assert features == pytest.approx(expected(["weekday", "yearday"]), rel=1e-10)


NO_TIMES = [pd.NaT, np.datetime64("NaT"), np.datetime64("NaT", "ns")]


def test_a_time_that_is_none_is_missing(make, train, fingerprint, case):
    untold = train(make(), [({"a": float(i)}, float(i)) for i in range(5)])
    for missing in NO_TIMES:
        with case(missing):
            told = train(make(), [({"a": float(i), "t": missing}, float(i)) for i in range(5)])
            assert fingerprint(told) == fingerprint(untold)


@pytest.mark.parametrize("missing", NO_TIMES)
def test_a_time_that_is_none_has_no_features(missing):
    assert not any(
        isinstance(value, float) and math.isfinite(value)
        for value in calendar_features({"t": missing}).values()
    )


@pytest.mark.parametrize("name", [3, ("t", 1), None])
def test_a_name_that_is_no_text_is_paired_with_the_cycle(name):
    features = calendar_features({name: dt.date(2024, 3, 1)})
    assert set(features) == {
        (name, f"{cycle}_{wave}") for cycle in ("weekday", "yearday") for wave in ("sin", "cos")
    }


def test_other_values_pass_as_they_are():
    x = {"a": 1, "b": "text", ("c",): None, "d": math.nan}
    features = calendar_features(x)
    assert features == x
    assert features is not x
    assert all(features[name] is value for name, value in x.items())


def test_the_cycles_close():
    one, next_year = (calendar_features({"t": dt.datetime(year, 1, 1)}) for year in (2023, 2024))
    assert math.hypot(one["t_yearday_sin"] - next_year["t_yearday_sin"], 0.0) < 0.02
    before, after = (
        calendar_features({"t": dt.datetime(2024, 3, 1, 23, 59, 59) + dt.timedelta(seconds=s)})
        for s in (0, 1)
    )
    assert abs(before["t_hour_sin"] - after["t_hour_sin"]) < 1e-4


TIMES = [
    [NOON + dt.timedelta(hours=7 * i) for i in range(10)],
    [NOON.date() + dt.timedelta(days=i) for i in range(10)],
    list(pd.date_range("2024-01-01", periods=10, freq="7h", tz="Europe/Berlin")),
    [np.datetime64("2024-01-01T00:00") + np.timedelta64(7 * i, "h") for i in range(10)],
    [NOON.date() if i % 3 else NOON + dt.timedelta(hours=i) for i in range(10)],
]


def test_a_model_told_the_time_equals_one_told_its_features(make, answer, fingerprint, learn, case):
    for times in TIMES:
        told, prepared = make(), make()
        for i, t in enumerate(times):
            x, y = {"when": t, 7: t, "a": float(i % 4)}, math.sin(i)
            with case(t):
                assert answer(told, x) == answer(prepared, calendar_features(x))
            learn(told, x, y)
            learn(prepared, calendar_features(x), y)
        with case(times):
            assert fingerprint(told) == fingerprint(prepared)


@pytest.mark.parametrize("categorical", [None, ("a",)])
@pytest.mark.parametrize(
    "x",
    [
        {},
        {"a": 1.5, "b": -2.0},
        {"a": 1.5, "b": math.nan},
        {"a": 1e200, "b": 1.0},
        {"a": -math.inf},
        {"a": 3},
        {1: 2.0, "a": 1.0},
        {"a": None, "b": 1.0},
    ],
    ids=repr,
)
def test_an_encoder_cleans_as_the_function_does_whatever_way_it_takes(x, categorical):
    before = dict(x)
    cleaned = Encoder(categorical=categorical).clean(x)
    assert repr(cleaned) == repr(clean(x, categorical=categorical or ()))
    assert cleaned is not x
    assert repr(x) == repr(before)


# --- what an x is known by


def signature(encoder, x):
    return encoder.signature(encoder.encode(x))


def test_equal_rows_have_one_signature_in_any_order_and_before_their_columns():
    encoder = Encoder()
    x = {"a": 1.5, "b": -2.0, 3: 7.0}
    before = signature(encoder, x)
    encoder.enter(encoder.encode({"z": 1.0, "b": 1.0}))
    assert signature(encoder, x) == before
    encoder.enter(encoder.encode(x))
    assert signature(encoder, dict(reversed(x.items()))) == before
    assert signature(encoder, {"a": 1.5, "b": -2, 3.0: 7, "z": None}) == before
    assert signature(encoder, {"a": 0.0}) == signature(encoder, {"a": -0.0})
    assert len(before) == 16


@pytest.mark.parametrize(
    "other",
    [{}, {"a": 1.0}, {"a": 1.0, "b": 2.0, "c": 0.0}, {"a": 2.0, "b": 1.0}, {"a": 1.0, "b": 2.5}],
)
def test_other_rows_have_other_signatures(other):
    encoder = Encoder()
    encoder.enter(encoder.encode({"a": 1.0, "b": 2.0}))
    assert signature(encoder, other) != signature(encoder, {"a": 1.0, "b": 2.0})


def test_names_that_are_swapped_have_another_signature_and_pinned_ones_none():
    encoder = Encoder(pinned=lambda name: name == "lag", categorical=("day",))
    encoder.enter(encoder.encode({"a": 1.0, "lag": 2.0, "day": "mo"}))
    encoder.enter(encoder.encode({"a": 1.0, "day": "tu"}))
    assert signature(encoder, {"a": 1.0, "lag": 5.0}) == signature(encoder, {"a": 1.0})
    days = {signature(encoder, {"a": 1.0, "day": day}) for day in ("mo", "tu", "we", None)}
    assert len(days) == 4


def test_a_column_that_was_given_away_signs_with_its_new_name():
    encoder = Encoder(max_features=2)
    encoder.enter(encoder.encode({"a": 1.0, "b": 2.0}))
    before = signature(encoder, {"b": 3.0}), signature(encoder, {"c": 3.0})
    encoder.enter(encoder.encode({"c": 1.0, "b": 2.0}))
    assert encoder.n_evicted == 1
    assert (signature(encoder, {"b": 3.0}), signature(encoder, {"c": 3.0})) == before


def test_what_signs_names_is_no_part_of_what_is_pickled():
    encoder = Encoder()
    encoder.enter(encoder.encode({"a": 1.0}))
    before = pickle.dumps(encoder)
    signature(encoder, {"a": 1.0})
    assert pickle.dumps(encoder) == before
