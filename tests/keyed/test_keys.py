"""Which model a row belongs to, and what it is called in a store."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from river_attention.keyed.keys import split, to_key

NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
KEYS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-2.0, 2.0, width=16)
    | st.sampled_from([Decimal(1), Fraction(1, 2), Fraction(1, 3), np.int64(2), np.float32(0.5)])
    | st.sampled_from(["", "1", "a", np.str_("a"), b"a", NOON.date()])
    | st.sampled_from([NOON, NOON.astimezone(dt.timezone(dt.timedelta(hours=2)))]),
    lambda inner: st.tuples(inner) | st.tuples(inner, inner),
    max_leaves=3,
)


def test_the_key_is_taken_out_and_x_stays_as_it_is():
    x = {"shop": "north", "till": 3, "a": 1.0}
    assert split(x, "till") == (3, {"shop": "north", "a": 1.0})
    assert split(x, ("till", "shop")) == ((3, "north"), {"a": 1.0})
    assert split(x, ("till",)) == ((3,), {"shop": "north", "a": 1.0})
    assert x == {"shop": "north", "till": 3, "a": 1.0}


def test_a_function_says_the_key_and_leaves_x_whole():
    x = {"shop": "north", "a": 1.0}
    assert split(x, lambda x: x.pop("shop")[0]) == ("n", x)
    assert x == {"shop": "north", "a": 1.0}


@pytest.mark.parametrize("value", [None, math.nan, np.float32("nan"), pd.NA, pd.NaT])
def test_a_missing_key_is_none(value):
    assert split({"shop": value}, "shop") == split({}, "shop") == (None, {})
    assert split({"shop": value, "till": 3}, ("shop", "till"))[0] == (None, 3)


@pytest.mark.parametrize("key", ["shop", lambda x: x["shop"]])
def test_a_key_that_cannot_be_found_again_is_refused(key):
    with pytest.raises(TypeError, match=r"key \['north'\] is a list"):
        split({"shop": ["north"]}, key)


@settings(max_examples=300)
@given(KEYS, KEYS)
def test_keys_in_a_store_are_equal_when_keys_of_a_dict_are(one, other):
    assert (to_key(one) == to_key(other)) == (len({one, other}) == 1)


def test_a_key_in_a_store_is_json():
    assert json.loads(to_key(("north", 7.0))) == {"tuple": ["north", 7]}
    assert to_key(frozenset({1.0})) == b'{"frozenset":[1]}'
    assert to_key("Zürich\ud800") == b'"Z\\u00fcrich\\ud800"'


def test_a_key_that_is_no_plain_data_has_no_place_in_a_store():
    with pytest.raises(TypeError, match="cannot be saved"):
        to_key(object)
