"""Dicts that misbehave: the core says what NumPy says, and an exception changes nothing."""

from __future__ import annotations

import collections
import decimal
import fractions
import math
import types
import warnings

import numpy as np
import pytest
from alike import on_numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from river_attention import (
    RLSRegressor,
    StreamingAttentionClassifier,
    StreamingAttentionRegressor,
    backend,
)
from river_attention.values import clean

pytestmark = pytest.mark.skipif(backend._core is None, reason="the compiled core does not run")


class Twin:
    """A key with the hash of "a" that is equal to nothing."""

    def __hash__(self):
        return hash("a")

    def __eq__(self, other):
        return self is other

    def __repr__(self):
        return "Twin()"


class Spiteful(Twin):
    """A key with the hash of "a" whose comparison fails."""

    __hash__ = Twin.__hash__

    def __eq__(self, other):
        if self is other:
            return True
        raise ArithmeticError("not comparable")

    def __repr__(self):
        return "Spiteful()"


class Word(str):
    """A string that is equal to a plain one."""


class Failing(float):
    """A number that cannot be told."""

    def __float__(self):
        raise ArithmeticError("no number")


class Other(float):
    """A number that says another one."""

    def __float__(self):
        return 2.5


class Changing(float):
    """A number that changes the dict it is in."""

    x: dict

    def __float__(self):
        self.x[f"new {len(self.x)}"] = 1.0
        return 1.5


class Backwards(dict):
    """A dict that shows its items from the end."""

    def items(self):
        return reversed(list(super().items()))

    def __iter__(self):
        return reversed(list(super().__iter__()))


TWIN, SPITEFUL = Twin(), Spiteful()
KEYS = st.sampled_from(
    [
        *("a", "b", "c", "".join(["a"]), Word("a"), "\ud800", b"a", np.str_("b"), np.int64(1)),
        *(0, 1, True, 1.0, 10**30, None, ("a", 1), math.nan, TWIN, SPITEFUL),
    ]
)
VALUES = st.one_of(
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.sampled_from(
        [
            *(None, True, 10**400, -(10**400), np.float64(1e300), np.float32(0.1)),
            *(np.bool_(False), np.int8(-3), np.longdouble("1e400"), np.array(2.0)),
            *(decimal.Decimal("0.1"), decimal.Decimal("sNaN"), fractions.Fraction(1, 3)),
            *("text", 1j, b"1", [1.0], object, Failing(1.0), Other(1.0)),
        ]
    ),
)
KINDS = st.sampled_from(
    [
        *(dict, dict, dict, Backwards, collections.OrderedDict, list),
        lambda items: collections.Counter(dict(items)),
        lambda items: collections.defaultdict(float, items),
        lambda items: collections.UserDict(items),
        lambda items: collections.ChainMap(dict(items)),
        lambda items: types.MappingProxyType(dict(items)),
    ]
)
# plain rows in between: they bring the fast path of the core about
PLAIN = st.fixed_dictionaries({"a": st.floats(-9, 9), "b": st.floats(-9, 9)})
WILD = st.tuples(st.lists(st.tuples(KEYS, VALUES), max_size=4), KINDS)
MODELS = {
    "linear": RLSRegressor,
    "regressor": lambda: StreamingAttentionRegressor(
        mode="gla", window=5, n_lags=1, long_lags=0, readout="rls", memory=0
    ),
    "classifier": lambda: StreamingAttentionClassifier(
        mode="gla", window=5, n_lags=1, long_lags=0, memory=0
    ),
}


def made(row):
    """A row, made anew."""
    if isinstance(row, dict):
        return dict(row)
    items, kind = row
    return kind(items)


def outcome(call, *arguments):
    """What is returned, or the kind of what is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(*arguments)
        except Exception as error:
            return type(error)


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=60)
@given(rows=st.lists(st.tuples(st.one_of(PLAIN, PLAIN, WILD), st.integers(0, 2)), max_size=20))
def test_a_wild_dict_is_what_numpy_makes_of_it_or_changes_nothing(fingerprint, model, rows):
    compiled, spared = MODELS[model](), MODELS[model]()
    reference = on_numpy(MODELS[model])
    assert compiled._twin is not None
    assert reference._twin is None
    ask = "predict_proba_one" if model == "classifier" else "predict_one"
    for row, y in rows:
        try:
            made(row)
        except (ArithmeticError, TypeError, ValueError):  # nothing that can be made
            continue
        theirs = outcome(getattr(reference, ask), made(row))
        ours = outcome(getattr(compiled, ask), made(row))
        if isinstance(theirs, (float, dict)):
            assert ours == getattr(spared, ask)(clean(made(row)))
            # without a scale huge inputs magnify what was rounded
            if model != "linear":
                assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)
        else:
            assert ours == theirs
        ours = outcome(compiled.learn_one, made(row), y)
        assert ours == outcome(reference.learn_one, made(row), y)
        if ours is None:
            spared.learn_one(clean(made(row)), y)
    # a model that got plain numbers, and never saw the rows that failed, is the same
    assert fingerprint(compiled) == fingerprint(spared)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", [dict, collections.OrderedDict, Backwards, collections.ChainMap])
def test_a_value_that_changes_its_dict_is_read_once_or_not_at_all(fingerprint, model, kind):
    compiled, reference = MODELS[model](), on_numpy(MODELS[model])
    for made_ in (compiled, reference):
        for i in range(30):
            made_.learn_one({"a": float(i % 5), "b": float(i % 3)}, i % 2)
    before = fingerprint(compiled)
    outcomes = []
    for made_ in (compiled, reference):
        value = Changing(1.0)
        value.x = x = kind({"a": value, "b": 2.0})
        outcomes.append(outcome(made_.learn_one, x, 1))
    # a classifier reads a copy, which has the labels of the past beside
    if kind in (dict, collections.OrderedDict) and model != "classifier":
        assert outcomes == [RuntimeError, RuntimeError]
        assert fingerprint(compiled) == before
    else:  # read from a copy of the items
        assert outcomes == [None, None]
        ask = "predict_proba_one" if model == "classifier" else "predict_one"
        ours, theirs = (
            getattr(made_, ask)({"a": 1.0, "b": 2.0}) for made_ in (compiled, reference)
        )
        assert ours == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("question", [False, True])
def test_a_value_that_uses_the_model_is_refused(fingerprint, model, question):
    class Busy(float):
        def __float__(self):
            if question:
                one.learn_one({"a": 1.0, "b": 2.0}, 1)
            else:
                one.learn_one({"a": 1.0, "z": 2.0}, 1)
            return 1.0

    one, expected = MODELS[model](), MODELS[model]()
    for made_ in (one, expected):
        for i in range(30):
            made_.learn_one({"a": float(i % 5), "b": float(i % 3)}, i % 2)
    with pytest.raises(RuntimeError, match="does one thing at a time"):
        one.learn_one({"a": Busy(1.0), "b": 1.0}, 1)
    # only what the value itself did has happened
    expected.learn_one({"a": 1.0, "b": 2.0} if question else {"a": 1.0, "z": 2.0}, 1)
    assert fingerprint(one) == fingerprint(expected)
