"""Stores: mappings that are whole whenever a process is killed."""

from __future__ import annotations

import copy
import pickle

import pytest

from river_attention.keyed import FolderStore, SqliteStore


@pytest.fixture(params=[SqliteStore, FolderStore])
def store(request, tmp_path):
    return request.param(tmp_path / "store")


def again(store):
    if isinstance(store, SqliteStore):
        store.commit()
        store.close()
    return type(store)(store.path)


def test_a_store_is_a_mapping(store):
    expected = {b"%d" % i: bytes(range(i)) for i in range(20)} | {b"": b"", b"x" * 1000: b"long"}
    store.update(expected)
    assert dict(store) == expected
    assert len(store) == len(expected)
    store[b"3"] = b"other"
    del store[b"4"]
    assert store[b"3"] == b"other"
    assert b"4" not in store
    assert "3" not in store
    for missing in (b"4", b"nothing"):
        with pytest.raises(KeyError):
            store[missing]
        with pytest.raises(KeyError):
            del store[missing]
    assert store.get(b"4") is None


def test_a_store_is_there_when_it_is_opened_again(store):
    store[b"a"] = b"1"
    assert dict(again(store)) == {b"a": b"1"}


def test_sqlite_forgets_what_was_not_committed(tmp_path):
    store = SqliteStore(tmp_path / "store")
    store[b"a"] = b"1"
    store.commit()
    store[b"a"] = b"2"
    store[b"b"] = b"2"
    store.close()
    assert dict(SqliteStore(tmp_path / "store")) == {b"a": b"1"}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_store_on_a_disk_is_not_copied(store, copied):
    with pytest.raises(TypeError, match=r"Store\('.*store'\) is on a disk.*flush"):
        copied(store)


WRITES = """
from river_attention.keyed import {kind}
store, t = {kind}(path), 0
while True:
    t += 1
    for key in (b"a", b"b", b"c"):
        store[key] = b"%d " % t * 5000
    getattr(store, "commit", int)()
    print(flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SqliteStore, FolderStore])
def test_killed_while_writing_every_item_is_the_old_or_the_new_one(tmp_path, kind, killed):
    for _ in killed(WRITES.format(kind=kind.__name__), tmp_path / "store", 200):
        store = kind(tmp_path / "store")
        items = {key: set(value.split()) for key, value in store.items()}
        assert items.keys() == {b"a", b"b", b"c"}
        assert all(
            len(value) == 5000 * len(store[key].split()[0] + b" ") for key, value in store.items()
        )
        assert all(len(values) == 1 for values in items.values())
        if kind is SqliteStore:
            # all that was committed is of one moment
            assert len({*map(frozenset, items.values())}) == 1
            store.close()
