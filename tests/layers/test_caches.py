"""Rings and pages: what is kept, what is shared, what is given back."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from river_attention.layers import PagedKVCache, PagePool, PoolExhausted, RingKVCache

FIELDS = {"k": (2,)}


def rows(cache):
    parts = [part["k"][:, 0] for part in cache.segments()]
    return np.concatenate(parts).tolist() if parts else []


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 7),
    st.integers(1, 5),
    st.lists(st.sampled_from(["append", "append", "append", "branch", "truncate", "clear"])),
    st.integers(0, 10**6),
)
def test_both_keep_what_a_list_would(capacity, page_size, operations, seed):
    rng = np.random.default_rng(seed)
    pool = PagePool(1000, page_size, FIELDS)
    # a list, a ring and pages that went the same way
    all_three = [([], RingKVCache(capacity, FIELDS), PagedKVCache(pool, capacity))]
    for number, operation in enumerate(operations):
        index = int(rng.integers(len(all_three)))
        kept, ring, paged = all_three[index]
        if operation == "append":
            for cache in (ring, paged):
                cache.append(k=[number, 0.0])
            kept.append(number)
            del kept[:-capacity]
        elif operation == "branch":
            all_three.append((list(kept), ring.branch(), paged.branch()))
        else:
            n = 0 if operation == "clear" else int(rng.integers(len(kept) + 1))
            ring.truncate(n)
            paged.truncate(n)
            del kept[n:]
        for expected, one, two in all_three:
            assert rows(one) == rows(two) == expected
            assert len(one) == len(two) == len(expected)
            assert one.n_seen == two.n_seen
            last = [part["k"][:, 0].tolist() for part in two.segments(2)]
            assert list(itertools.chain(*last)) == expected[-2:]
    for _, _, paged in all_three:
        paged.release()
    assert pool.used == 0


def test_pages_are_shared_until_one_writes():
    pool = PagePool(10, 4, FIELDS)
    first = PagedKVCache(pool)
    for t in range(6):
        first.append(k=[t, t])
    second = first.branch()
    assert pool.used == 2
    second.append(k=[9, 9])
    assert pool.used == 3
    assert rows(first) == [0, 1, 2, 3, 4, 5]
    assert rows(second) == [0, 1, 2, 3, 4, 5, 9]
    del second
    assert pool.used == 2


def test_a_full_pool_raises_and_changes_nothing():
    pool = PagePool(1, 2, FIELDS)
    cache = PagedKVCache(pool)
    cache.append(k=[1, 1])
    other = PagedKVCache(pool)
    with pytest.raises(PoolExhausted, match="max_pages=1"):
        other.append(k=[2, 2])
    assert (rows(cache), rows(other), len(other)) == ([1], [], 0)


def test_a_full_pool_takes_the_pages_of_who_was_used_least_recently():
    pool = PagePool(3, 1, FIELDS, on_full="evict")
    a, b, c, d = (PagedKVCache(pool) for _ in range(4))
    for cache in (a, b, c):
        cache.append(k=[1, 1])
    a.truncate(0)
    a.append(k=[2, 2])
    d.append(k=[3, 3])
    assert [len(cache) for cache in (a, b, c, d)] == [1, 0, 1, 1]
    assert pool.n_evicted == 1
    b.append(k=[4, 4])
    assert (b.n_seen, len(c)) == (1, 0)


def test_many_sequences_stay_within_the_budget():
    pool = PagePool(16, 4, FIELDS, on_full="evict")
    caches = [PagedKVCache(pool, 8) for _ in range(40)]
    rng = np.random.default_rng(0)
    for t in range(5000):
        caches[rng.integers(40)].append(k=[t, t])
    assert pool.used <= 16
    assert pool.nbytes == 16 * 4 * 2 * 8
    assert sum(len(cache) for cache in caches) > 16


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_their_own_way(copied):
    pool = PagePool(4, 2, FIELDS, on_full="evict")
    caches = [PagedKVCache(pool) for _ in range(2)]
    for t in range(3):
        for cache in caches:
            cache.append(k=[t, t])
    a, b = copied(caches)
    assert a.pool is b.pool is not pool
    a.append(k=[7, 7])
    a.append(k=[8, 8])
    assert (rows(a), len(b), a.pool.n_evicted) == ([0, 1, 2, 7, 8], 0, 1)
    assert rows(caches[0]) == rows(caches[1]) == [0, 1, 2]


def test_the_oldest_make_way_but_the_first():
    cache = PagedKVCache(PagePool(10, 2, FIELDS))
    for t in range(7):
        cache.append(k=[t, t])
    cache.evict_oldest(3, keep_first=1)
    assert rows(cache) == [0, 4, 5, 6]
    assert (cache.n_seen, cache.pool.used) == (7, 2)


@pytest.mark.parametrize("cache", [RingKVCache(4, FIELDS), PagedKVCache(PagePool(4, 2, FIELDS))])
def test_there_is_no_truncating_to_more_than_there_is(cache):
    cache.append(k=[0, 0])
    with pytest.raises(ValueError, match="n=2"):
        cache.truncate(2)
    assert len(cache) == 1


def test_memory_stays_flat_over_a_long_stream():
    ring = RingKVCache(60, FIELDS)
    pool = PagePool(100, 16, FIELDS)
    paged = PagedKVCache(pool, 60)
    sizes = set()
    for t in range(100_000):
        ring.append(k=(t, t))
        paged.append(k=(t, t))
        if t > 200 and t % 97 == 0:
            sizes.add((ring.nbytes, pool.nbytes, len(paged._table) <= 5))
    assert len(sizes) == 1


BAD = [
    (lambda: RingKVCache(0, FIELDS), "capacity=0"),
    (lambda: PagePool(0, 1, FIELDS), "max_pages=0"),
    (lambda: PagePool(1, 0, FIELDS), "page_size=0"),
    (lambda: PagePool(1, 1, FIELDS, on_full="wait"), "on_full='wait'"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
