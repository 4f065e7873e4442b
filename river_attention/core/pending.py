"""Steps that were seen and wait for their label."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Any

import numpy as np

from ..state import Stateful, Writer
from .features import MemoryFeatures
from .step import Evidence

CAPACITY = 4096


class PendingSteps(Stateful):
    """A bounded buffer of steps by key; for equal keys the oldest comes first.

    Parameters
    ----------
    capacity
        Number of steps that may wait; one more drops the oldest.

    Examples
    --------
    >>> pending = PendingSteps(capacity=2)
    >>> for i, key in enumerate("aba"):
    ...     pending.add(key, i)
    >>> pending.pop("a"), pending.pop("a"), pending.n_dropped, len(pending)
    (2, None, 1, 1)
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.n_dropped = 0
        self._next = 0
        self._steps: dict[int, tuple[Hashable, Any]] = {}
        self._by_key: dict[Hashable, deque[int]] = {}

    def transfer(self, io: Writer, *arguments: Any) -> None:
        features, n_experts, n_answers = arguments
        steps = list(self._steps.values())
        keys = io.names("keys", [key for key, _ in steps])
        self.n_dropped = io.integer("n_dropped", self.n_dropped)
        shapes, buffers = [], np.zeros(0)
        if steps:
            shapes = [n for _, evidence in steps for n in evidence.layout.grown]
            buffers = np.concatenate([evidence.buffer for _, evidence in steps])
        shapes = io.integers("shapes", shapes)
        evicted = io.integers("n_evicted", [evidence.n_evicted for _, evidence in steps])
        buffers = io.array("evidence", buffers, None, finite=False)
        if io.reading:
            self._steps, self._by_key, self._next = {}, {}, 0
            io.check(len(shapes) == 3 * len(keys) and len(keys) <= self.capacity, "shapes: wrong")
            io.check(len(evicted) == len(keys), "n_evicted: one for each key")
            start = 0
            for i, key in enumerate(keys):
                grown = shapes[3 * i : 3 * i + 3]
                io.check(grown[2] <= n_answers and not grown[2] % n_experts, "shapes: wrong")
                evidence, start = _evidence(io, features, grown, buffers, start)
                evidence.n_evicted = evicted[i]
                self.add(key, evidence)
            io.check(start == len(buffers), "evidence is too long")

    def __len__(self) -> int:
        return len(self._steps)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._by_key

    def waiting(self) -> list[Any]:
        """The steps that wait, the oldest first."""
        return [step for _, step in self._steps.values()]

    def add(self, key: Hashable, step: Any) -> None:
        """Let a step wait under a key."""
        self._by_key.setdefault(key, deque()).append(self._next)
        self._steps[self._next] = (key, step)
        self._next += 1
        if len(self._steps) > self.capacity:
            self._take(next(iter(self._steps)))
            self.n_dropped += 1

    def first(self, key: Hashable) -> Any:
        """The oldest step that waits under a key; None if there is none."""
        waiting = self._by_key.get(key)
        return None if waiting is None else self._steps[waiting[0]][1]

    def pop(self, key: Hashable) -> Any:
        """Take the oldest step that waits under a key; None if there is none."""
        waiting = self._by_key.get(key)
        return None if waiting is None else self._take(waiting[0])

    def clear(self) -> None:
        """Drop everything, uncounted."""
        self._steps.clear()
        self._by_key.clear()

    def _take(self, ticket: int) -> Any:
        key, step = self._steps.pop(ticket)
        # the oldest of all is the oldest of its key as well
        waiting = self._by_key[key]
        waiting.popleft()
        if not waiting:
            del self._by_key[key]
        return step


def _evidence(
    io: Writer, features: MemoryFeatures, grown: list[int], buffers: Any, start: int
) -> tuple[Evidence, int]:
    """What waited, from its place in the buffers; and where the next one begins."""
    layout = features.layout_of(*grown)
    known = grown[0] in (0, features.n_lags_in) and grown[1] <= len(features.encoder)
    io.check(known, "shapes: features that are unknown")
    buffer = buffers[start : start + layout.size].copy()
    io.check(len(buffer) == layout.size, "evidence is too short")
    fine = np.isfinite(buffer)
    # there is no anchor before the first label, and trees know what to do without a number
    fine[layout["boosted"]] |= np.isnan(buffer[layout["boosted"]])
    wild = np.flatnonzero(~fine).tolist()
    io.check(not wild or wild == [layout.get("anchor")], "evidence is not finite")
    return Evidence(buffer, layout), start + layout.size
