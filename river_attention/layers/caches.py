r"""What attention looks back on: keys and values of the last steps, in a ring or in pages.

A ring keeps the last ``capacity`` rows in one block. Pages of a pool are shared by many sequences
under one memory budget: a sequence holds a table of pages, a branch shares them and copies the last
one when it writes (paging: Kwon et al. 2023, arXiv:2309.06180). Both give their rows as segments,
oldest first, which attention reads where they are: nothing is gathered.
"""

from __future__ import annotations

import math
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import check_choice, check_int
from ..state import Reader, StateError, Stateful, Writer
from .window import Ring

Array = NDArray[Any]
Fields = dict[str, tuple[int, ...]]

_LARGEST_HALF = float(np.finfo(np.float16).max)


class RingKVCache(Ring):
    """The last ``capacity`` rows of keys and values, a view in the order of time.

    Examples
    --------
    >>> cache = RingKVCache(2, {"k": (1, 2), "v": (1, 2)})
    >>> for t in range(3):
    ...     cache.append(k=np.full((1, 2), t), v=np.zeros((1, 2)))
    >>> len(cache), cache.n_seen, cache.view()["k"][:, 0, 0]
    (2, 3, array([1., 2.]))
    """

    looked: Array | None = None
    """Weights of the last step, oldest row first, if whoever owns the cache keeps them."""

    def __init__(self, capacity: int, fields: Fields, dtype: str = "float64") -> None:
        check_choice("dtype", dtype, ("float64", "float32"))
        super().__init__(check_int("capacity", capacity, 1), dtype, **fields)

    def __len__(self) -> int:
        return self.n

    @property
    def n_seen(self) -> int:
        """Number of rows ever appended, less those that were truncated."""
        return self.n_appended

    def view(self) -> dict[str, Array]:
        """The rows of every field [n, ...], without a copy."""
        return {field: self[field] for field in self._rows}

    def segments(self, n: int | None = None) -> list[dict[str, Array]]:
        """The last n rows as parts in the order of time: here one, or none."""
        n = self.n if n is None else min(n, self.n)
        if not n:
            return []
        start = self._end - n
        return [{field: rows[start : self._end] for field, rows in self._rows.items()}]

    def truncate(self, n: int) -> None:
        """Forget the newest rows until n are left."""
        if not 0 <= n <= self.n:
            raise ValueError(f"n={n}: must be between 0 and the {self.n} rows that are kept")
        self.n_appended -= self.n - n
        self._end -= self.n - n
        self.n = n
        # rows that branches may still share must not be written again
        self._is_branch = True

    def clear(self) -> None:
        """Forget all rows and the position."""
        self.truncate(0)
        self.n_appended = 0

    @property
    def fields(self) -> Fields:
        """The shape of a row of every field."""
        return {field: rows.shape[1:] for field, rows in self._rows.items()}

    @property
    def dtype(self) -> str:
        """That of all fields, by name."""
        return next(iter(self._rows.values())).dtype.name

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers."""
        return sum(rows.nbytes for rows in self._rows.values())


class PoolExhausted(MemoryError):
    """All pages of a pool are in use, and none may be taken away."""


class PagePool:
    """Pages of rows for many sequences, under one budget.

    Parameters
    ----------
    max_pages
        The largest number of pages; memory is taken as it is needed, twice as much each time.
    page_size
        Rows of a page.
    fields
        The shape of a row of every field.
    on_full
        "raise", or "evict": the sequence that was used least recently loses all its pages, and
        begins anew when it is used again.
    dtype
        Of all rows: "float64", "float32", or "float16" for long contexts: three digits, and
        numbers beyond ±65504 are cut there. Layers compute in their own.

    Attributes
    ----------
    used
        Number of pages in use.
    n_evicted
        How many sequences lost their pages.

    Examples
    --------
    >>> pool = PagePool(2, 4, {"k": (1,)}, on_full="evict")
    >>> a, b, c = (PagedKVCache(pool) for _ in range(3))
    >>> for cache in (a, b, a, c):
    ...     cache.append(k=[1.0])
    >>> len(a), len(b), len(c), pool.used, pool.n_evicted
    (2, 0, 1, 2, 1)
    """

    def __init__(
        self,
        max_pages: int,
        page_size: int,
        fields: Fields,
        on_full: str = "raise",
        dtype: str = "float64",
    ) -> None:
        self.max_pages = check_int("max_pages", max_pages, 1)
        self.page_size = check_int("page_size", page_size, 1)
        self.fields = dict(fields)
        self.on_full = check_choice("on_full", on_full, ("raise", "evict"))
        self.dtype = check_choice("dtype", dtype, ("float64", "float32", "float16"))
        self.n_evicted = 0
        # pages side by side: neighbours are read as one
        self._rows = {name: np.zeros((0, *shape), dtype) for name, shape in self.fields.items()}
        self._holders: list[int] = []
        self._free: list[int] = []
        # sequences by number, the one used least recently first; who drops one frees its pages
        self._sequences: OrderedDict[int, weakref.ref[PagedKVCache]] = OrderedDict()
        self._n_sequences = 0
        self._clock = 0

    @property
    def used(self) -> int:
        """Number of pages that some sequence holds."""
        return len(self._holders) - len(self._free)

    @property
    def nbytes(self) -> int:
        """Bytes of all pages that there is room for by now."""
        return sum(rows.nbytes for rows in self._rows.values())

    def _living(self) -> list[PagedKVCache]:
        found = [reference() for reference in self._sequences.values()]
        return [cache for cache in found if cache is not None]

    def __getstate__(self) -> dict[str, Any]:
        # the sequences that are copied with a pool claim their pages; no others hold any then
        return self.__dict__ | {"_sequences": OrderedDict(), "_holders": [0] * len(self._holders)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._free = list(range(len(self._holders)))

    def _claim(self, cache: PagedKVCache) -> None:
        """Let a copied sequence hold its pages, in the order of use."""
        for page in cache._table:
            if not self._holders[page]:
                self._free.remove(page)
            self._holders[page] += 1
        self._sequences[cache._number] = weakref.ref(cache)
        living = sorted(self._living(), key=lambda one: one._used_at)
        self._sequences = OrderedDict((one._number, weakref.ref(one)) for one in living)

    def _register(self) -> int:
        self._n_sequences += 1
        return self._n_sequences

    def _touch(self, cache: PagedKVCache) -> None:
        """Let a sequence that holds pages be the one used last."""
        self._clock += 1
        cache._used_at = self._clock
        if cache._number in self._sequences:
            self._sequences.move_to_end(cache._number)
        else:
            self._sequences[cache._number] = weakref.ref(cache)

    def _forget(self, cache: PagedKVCache) -> None:
        self._sequences.pop(cache._number, None)

    def _take(self, owner: PagedKVCache) -> int:
        while not self._free and len(self._holders) == self.max_pages:
            victim = next((one for one in self._living() if one is not owner), None)
            if self.on_full == "raise" or victim is None:
                raise PoolExhausted(
                    f"all max_pages={self.max_pages} pages are in use: release a sequence, "
                    "choose a larger max_pages, or on_full='evict'"
                )
            victim.clear()
            self.n_evicted += 1
        if self._free:
            page = self._free.pop()
        else:
            page = len(self._holders)
            if page * self.page_size == len(next(iter(self._rows.values()))):
                self._make_room(min(max(2 * page, 1), self.max_pages) * self.page_size)
            self._holders.append(0)
        self._holders[page] = 1
        return page

    def _make_room(self, n_rows: int) -> None:
        for name, rows in self._rows.items():
            more = np.zeros((n_rows - len(rows), *rows.shape[1:]), rows.dtype)
            self._rows[name] = np.concatenate([rows, more])

    def _release(self, page: int) -> None:
        self._holders[page] -= 1
        if not self._holders[page]:
            self._free.append(page)


class PagedKVCache(Stateful):
    """The rows of one sequence, in pages of a pool.

    Parameters
    ----------
    pool
        Where pages come from.
    capacity
        Rows to keep at least: pages whose rows are all older are released. None keeps all.

    Examples
    --------
    >>> cache = PagedKVCache(PagePool(4, 2, {"k": ()}))
    >>> for t in range(3):
    ...     cache.append(k=t)
    >>> [part["k"].tolist() for part in cache.segments()], cache.pool.used
    ([[0.0, 1.0, 2.0]], 2)
    """

    looked: Array | None = None

    def __init__(self, pool: PagePool, capacity: int | None = None) -> None:
        self.pool = pool
        self.capacity = None if capacity is None else check_int("capacity", capacity, 1)
        self._number = pool._register()
        self._table: list[int] = []
        self._used_at = 0
        self._skipped = 0  # rows of the first page that are gone
        self.n = 0
        self.n_appended = 0

    def __len__(self) -> int:
        return self.n

    @property
    def n_seen(self) -> int:
        """Number of rows ever appended, less those that were truncated."""
        return self.n_appended

    @property
    def nbytes(self) -> int:
        """Bytes of the pages, shared ones counted in full."""
        row = sum(math.prod(shape) for shape in self.pool.fields.values())
        size = np.dtype(self.pool.dtype).itemsize
        return size * row * self.pool.page_size * len(self._table)

    @classmethod
    def of(cls, pool: PagePool, cache: RingKVCache | PagedKVCache) -> PagedKVCache:
        """The rows and the position of another cache, in pages of a pool."""
        paged = cls(pool, cache.capacity)
        for part in cache.segments():
            for i in range(len(next(iter(part.values())))):
                paged.append(**{field: rows[i] for field, rows in part.items()})
        paged.n_appended, paged.looked = cache.n_appended, cache.looked
        return paged

    def transfer(self, io: Writer, *_: Any) -> None:
        """The rows, as a ring has them: where they are is no part of what is known."""
        n, fields = None, {}
        for field, shape in self.pool.fields.items():
            parts = [part[field] for part in self.segments()]
            own = np.concatenate(parts) if parts else np.zeros((0, *shape), self.pool.dtype)
            if own.dtype == np.float16:  # files know no halves
                own = own.astype(np.float32)
            fields[field] = io.array(field, own, n, *shape)
            n = len(fields[field])
        n = n or 0
        n_appended = io.integer("n_appended", self.n_appended, low=n)
        if io.reading:
            io.check(self.capacity is None or n <= self.capacity, f"{n} rows are too many")
            self.clear()
            for i in range(n):
                self.append(**{field: rows[i] for field, rows in fields.items()})
            self.n_appended, self.looked = n_appended, None

    def set_state(self, state: Mapping[str, Any]) -> None:
        """As all parts do, but pages have one holder: they change hands, and go back on errors."""
        if not isinstance(state, Mapping):
            raise StateError(f"state={state!r:.80}: expected a dict")
        fresh, reader = self.branch(), Reader(dict(state))
        fresh.transfer(reader)
        reader.finish()
        self.clear()
        self._table, fresh._table = fresh._table, []
        self._skipped, self.n, self.n_appended = fresh._skipped, fresh.n, fresh.n_appended
        self.looked = None
        self.pool._forget(fresh)
        if self._table:
            self.pool._touch(self)

    def append(self, **row: Any) -> None:
        """Append a row."""
        pool = self.pool
        slot = (self._skipped + self.n) % pool.page_size
        if slot == 0:
            page = pool._take(self)
            self._table.append(page)
        else:
            page = self._table[-1]
            if pool._holders[page] > 1:
                page = self._copy_last(slot)
        pool._touch(self)
        place = page * pool.page_size + slot
        for field, value in row.items():
            if pool.dtype == "float16":
                value = np.clip(value, -_LARGEST_HALF, _LARGEST_HALF)
            pool._rows[field][place] = value
        self.n += 1
        self.n_appended += 1
        if self.capacity is not None and self.n > self.capacity:
            # the oldest row is gone; its page as soon as no row of it is left
            self.n -= 1
            self._skipped += 1
            if self._skipped == pool.page_size:
                pool._release(self._table.pop(0))
                self._skipped = 0

    def _copy_last(self, n_rows: int) -> int:
        """Take the rows of the last page, which others hold as well, into a page of one's own."""
        pool, shared = self.pool, self._table[-1]
        page = pool._take(self)
        to, start = page * pool.page_size, shared * pool.page_size
        for rows in pool._rows.values():
            rows[to : to + n_rows] = rows[start : start + n_rows]
        pool._release(shared)
        self._table[-1] = page
        return page

    def segments(self, n: int | None = None) -> list[dict[str, Array]]:
        """The last n rows in the order of time, views; pages side by side are one."""
        n = self.n if n is None else min(n, self.n)
        size, table, parts = self.pool.page_size, self._table, []
        stop = self._skipped + self.n
        first = stop - n
        while first < stop:
            index, slot = divmod(first, size)
            start = table[index] * size + slot
            end = index + 1
            while end < len(table) and table[end] == table[end - 1] + 1:
                end += 1
            length = min(end * size, stop) - first
            rows = self.pool._rows
            parts.append({field: rows[field][start : start + length] for field in rows})
            first += length
        return parts

    def truncate(self, n: int) -> None:
        """Forget the newest rows until n are left; whole pages go back to the pool."""
        if not 0 <= n <= self.n:
            raise ValueError(f"n={n}: must be between 0 and the {self.n} rows that are kept")
        self.n_appended -= self.n - n
        self.n = n
        needed = -(-(self._skipped + n) // self.pool.page_size) if n else 0
        while len(self._table) > needed:
            self.pool._release(self._table.pop())
        if not n:
            self._skipped = 0
            self.pool._forget(self)

    def evict_oldest(self, n: int = 1, keep_first: int = 0) -> None:
        """Forget the n oldest rows, after the first ``keep_first`` ones, by moving what is kept."""
        if n < 0 or keep_first < 0 or n + keep_first > self.n:
            raise ValueError(
                f"n={n}, keep_first={keep_first}: together at most the {self.n} rows that are kept"
            )
        if not n:
            return
        rows = [
            {field: part[field][i].copy() for field in part}
            for part in self.segments()
            for i in range(len(next(iter(part.values()))))
        ]
        n_appended = self.n_appended
        self.truncate(0)
        for row in rows[:keep_first] + rows[keep_first + n :]:
            self.append(**row)
        self.n_appended = n_appended

    def clear(self) -> None:
        """Give all pages back and forget the position."""
        self.truncate(0)
        self.n_appended = 0

    def branch(self) -> PagedKVCache:
        """A copy to go on from: it shares the pages and copies the last one when it writes."""
        # not by way of __setstate__, which is for copies with a pool of their own
        branch = PagedKVCache.__new__(PagedKVCache)
        branch.__dict__.update(self.__dict__ | {"_table": list(self._table)})
        branch._number = self.pool._register()
        for page in self._table:
            self.pool._holders[page] += 1
        if self._table:
            self.pool._touch(branch)
        return branch

    release = clear
    __copy__ = branch

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._table:
            self.pool._claim(self)

    def __del__(self) -> None:
        if self.__dict__.get("_table"):
            self.clear()
