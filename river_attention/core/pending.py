"""Steps that were seen and wait for their label."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Any

CAPACITY = 4096


class PendingSteps:
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

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, key: Hashable, step: Any) -> None:
        """Let a step wait under a key."""
        self._by_key.setdefault(key, deque()).append(self._next)
        self._steps[self._next] = (key, step)
        self._next += 1
        if len(self._steps) > self.capacity:
            self._take(next(iter(self._steps)))
            self.n_dropped += 1

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
