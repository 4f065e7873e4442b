"""The state of a population of spiking neurons, on one flat buffer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Firing:
    """The state of a population: views with names on one flat buffer, which C works on as well.

    Attributes
    ----------
    at
        The slot of the window that is written next.
    slots
        S [N, D].
    ring, head, tails
        The window [W, N], and the sums that :class:`WindowSum` explains [N] and [W + 1, N].
    potentials, spikes, traces, thresholds
        Of every neuron [N], after the last step.
    now
        When the last step was, in steps; NaN where nobody said.
    due
        How much later the next step is; None for one step. See ``until``.
    """

    due: float | None = None

    def __init__(self, buffer: Array, n: int, dim: int, size: int, now: float = math.nan) -> None:
        self.sizes = (n, dim, size)
        self.buffer = buffer
        self.now = now
        parts = [(n, dim), (size, n), (size + 1, n), *[(n,)] * 5]
        views, start = [], 1
        for shape in parts:
            stop = start + math.prod(shape)
            views.append(buffer[start:stop].reshape(shape))
            start = stop
        self.slots, self.ring, self.tails = views[:3]
        self.head, self.potentials, self.spikes, self.traces, self.thresholds = views[3:]

    @classmethod
    def silent(cls, n: int, dim: int, size: int, threshold: float) -> Firing:
        """The state before the first step."""
        state = cls(np.zeros(1 + n * (dim + 2 * size + 6)), n, dim, size)
        state.thresholds[:] = threshold
        return state

    @property
    def at(self) -> int:
        """The slot of the window that is written next."""
        return int(self.buffer[0])

    def copy(self) -> Firing:
        """The same, in a buffer of its own."""
        return Firing(self.buffer.copy(), *self.sizes, self.now)

    def until(self, now: float) -> Firing:
        """The same buffer, with the next step at a time, which is never before the last one."""
        known = not math.isnan(self.now)
        waiting = Firing(self.buffer, *self.sizes, max(now, self.now) if known else now)
        waiting.due = max(now - self.now, 0.0) if known else 1.0
        return waiting

    def __reduce__(self) -> tuple[Any, ...]:
        return Firing, (self.buffer, *self.sizes, self.now)

    def sum_window(self, at: int) -> None:
        """Make the sums again for a window whose slot ``at`` is written next."""
        self.buffer[0] = at
        self.head[:] = 0.0
        for row in self.ring[:at]:
            self.head += row
        self.tails[:] = 0.0
        for j in range(len(self.ring) - 1, at - 1, -1):
            np.add(self.ring[j], self.tails[j + 1], out=self.tails[j])

    def push(self, values: Array) -> None:
        """Write values [N] over the oldest ones."""
        at = self.at
        self.ring[at] = values
        self.head += values
        if at + 1 < len(self.ring):
            self.buffer[0] = at + 1
            return
        self.sum_window(0)

    def push_zeros(self, n: int) -> None:
        """As many silent steps, in no more than O(W)."""
        if n >= len(self.ring):
            self.ring[:] = 0.0
            self.sum_window((self.at + n) % len(self.ring))
        else:
            silence = np.zeros(len(self.head))
            for _ in range(n):
                self.push(silence)
