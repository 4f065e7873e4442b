"""The ring: the last rows, whatever is appended; branches that share them."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from river_attention.layers import Ring


def rows_of(ring):
    return [(*key, value) for key, value in zip(ring["key"], ring["value"], strict=True)]


def append(ring, n, start=0):
    for t in range(start, start + n):
        ring.append(key=np.array([t, -t]), value=t)
    return ring


@given(st.integers(1, 9), st.integers(0, 60))
def test_it_holds_the_last_rows_oldest_first(capacity, n):
    ring = append(Ring(capacity, key=(2,), value=()), n)
    assert rows_of(ring) == list(deque(((t, -t, t) for t in range(n)), maxlen=capacity))
    assert (ring.n, ring.n_appended) == (min(n, capacity), n)


def test_a_wider_field_is_zero_in_the_past():
    ring = append(Ring(3, key=(2,), value=()), 5)
    ring.widen("key", 3)
    ring.append(key=np.ones(3), value=9)
    assert ring["key"].tolist() == [[3, -3, 0], [4, -4, 0], [1, 1, 1]]


def test_a_row_shorter_than_its_field_ends_in_zeros():
    ring = Ring(2, key=(3,))
    for _ in range(7):  # in buffers that held other rows before
        ring.append(key=np.ones(3))
    ring.append(key=np.ones(1))
    assert ring["key"][-1].tolist() == [1, 0, 0]


def test_without_its_last_row():
    ring = append(Ring(3, key=(2,), value=()), 7)
    past = ring.before_last()
    assert past["value"].tolist() == [4, 5]
    assert past.n_appended == 6
    assert ring["value"].tolist() == [4, 5, 6]


@pytest.mark.parametrize("n", [0, 2, 3, 5, 6, 7])
@pytest.mark.parametrize("more", [1, 4, 20])
def test_a_branch_and_its_original_go_their_own_ways(n, more):
    ring = append(Ring(3, key=(2,), value=()), n)
    branch, twin = ring.branch(), append(Ring(3, key=(2,), value=()), n)
    append(ring, more, start=100)
    assert rows_of(branch) == rows_of(twin)
    append(branch, more, start=200)
    assert rows_of(branch) == rows_of(append(twin, more, start=200))
    again = append(append(Ring(3, key=(2,), value=()), n), more, start=100)
    assert rows_of(ring) == rows_of(again)
