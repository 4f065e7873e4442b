r"""What layers share that look back over a window: caches, and keys and values for several."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import LARGEST_SIZE
from .caches import PagedKVCache, PagePool, RingKVCache
from .trained import Layer

Array = NDArray[Any]

NORM_EPS = 1e-6


class SharedKV:
    """Keys and values of one layer in one pass, for the layers that read them as well.

    ``Sequential`` makes one in every pass where a layer has ``kv_from``; by hand it goes to the
    layer that lends, then to those that read.

    Attributes
    ----------
    state
        The cache of that layer before the pass; None for an empty one.
    k, v
        Of a step [H_kv, d]; of a sequence those that were cached, then the new ones [n, H_kv, d].
    field
        Which field of the cache holds values.
    n_past
        How many rows were cached.

    Examples
    --------
    >>> import numpy as np
    >>> from river_attention.layers import GroupedQueryAttention
    >>> lender = GroupedQueryAttention(4, 2, window_size=3, seed=1)
    >>> reader = GroupedQueryAttention(4, 2, window_size=3, kv_from=0, seed=2)
    >>> shared = SharedKV()
    >>> read, proposal = lender.propose(np.ones(4), lender.init_state(), shared)
    >>> reader.propose(read, None, shared)[0].shape
    (4,)
    """

    state: Any = None
    k: Any = None
    v: Any = None
    field = "v"
    n_past = 0
    _given: tuple[Array, Array] | None = None

    def give(self, dk: Array, dv: Array) -> None:
        """Add the gradients of new rows by another layer."""
        if self._given is not None:
            dk, dv = dk + self._given[0], dv + self._given[1]
        self._given = dk, dv

    def total(self, dk: Array, dv: Array) -> tuple[Array, Array]:
        """These, and those of other layers, which are over with that."""
        if self._given is not None:
            dk, dv = dk + self._given[0], dv + self._given[1]
        self._given = None
        return dk, dv


class Cached(Layer):
    """Part of layers that look back over a window through a cache."""

    window: int
    cache: str
    page_size: int

    def _fields(self) -> dict[str, tuple[int, ...]]:
        raise NotImplementedError

    def init_state(self, pool: PagePool | None = None) -> Any:
        """An empty cache; pages come from ``pool``, or from one of its own."""
        # the step itself is not in the cache
        capacity = max(self.window - 1, 1)
        if self.cache == "ring" and pool is None:
            return RingKVCache(capacity, self._fields(), self.dtype)
        if pool is None:
            # no budget: it grows with the branches that are alive
            pool = PagePool(LARGEST_SIZE, self.page_size, self._fields(), dtype=self.dtype)
        elif pool.fields != self._fields():
            raise ValueError(f"pool has fields {pool.fields}: expected {self._fields()}")
        elif pool.dtype not in (self.dtype, "float16"):
            raise ValueError(
                f"pool has dtype={pool.dtype!r}: expected {self.dtype!r}, that of the layer, or "
                "'float16'"
            )
        return PagedKVCache(pool, capacity)

    def branch(self, state: Any) -> Any:
        """A copy that may advance while the original stays as it is."""
        return None if state is None else state.branch()

    def commit(self, state: Any, proposal: Any) -> Any:
        """The state after the step of a proposal, changed in place."""
        row, looked = proposal
        state.append(**row)
        state.looked = looked
        return state

    advance = commit

    def _past(self, state: Any) -> list[dict[str, Array]]:
        """What a step may look at of the past."""
        segments: list[dict[str, Array]] = state.segments(self.window - 1)
        return segments

    def _joined(self, state: Any, **new: Array) -> tuple[dict[str, Array], int]:
        """The past and new rows as one array a field, and how many are of the past."""
        parts = [] if state is None else self._past(state)
        joined = {
            name: np.concatenate([*(part[name] for part in parts), rows]) if parts else rows
            for name, rows in new.items()
        }
        n_new = len(next(iter(new.values())))
        return joined, len(next(iter(joined.values()))) - n_new

    def _after(self, state: Any, **new: Array) -> Any:
        """The state after new rows; the one given stays as it is."""
        final = self.init_state() if state is None else state.branch()
        for i in range(len(next(iter(new.values())))):
            final.append(**{name: rows[i] for name, rows in new.items()})
        return final


def softmax_in_place(scores: Array) -> None:
    """Weights over the last axis, of which at least one is finite."""
    scores -= np.maximum.reduce(scores, axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= np.add.reduce(scores, axis=-1, keepdims=True)
