r"""The sum of the last W values in O(1), without drift.

.. math::

    \sum_{j<W} w_j \;=\; \underbrace{w_0 + \dots + w_{i}}_{\text{head}}
    \;+\; \underbrace{w_{i+1} + (\dots + w_{W-1})}_{\text{tail}_{i+1}}

Slots are written in turn. What was written since slot 0 is summed as it comes; the sums of what is
older, from every slot to the end, are made once per round. So a value costs two additions on
average, every sum is one of W numbers that stand in the window now, and a value that has left it,
however large it was, leaves nothing behind. A running sum that adds what comes and subtracts what
goes drifts away within a million steps.
"""

from __future__ import annotations


class WindowSum:
    """The last W numbers and their sum; see the module.

    Parameters
    ----------
    size
        W, at least 1.

    Attributes
    ----------
    values
        The slots [W], zeros at first; number n of the stream is in slot n mod W.
    at
        The slot that is written next.
    head
        Sum of the slots before ``at``.
    tails
        Sums of what was older at the last round: from slot j to the end [W + 1].

    Examples
    --------
    >>> window = WindowSum(2)
    >>> [window.push(value) for value in (1.0, 2.0, 4.0, 3.0)]
    [1.0, 3.0, 6.0, 7.0]
    """

    __slots__ = ("at", "head", "size", "tails", "values")

    def __init__(self, size: int) -> None:
        self.size = size
        self.fill([0.0] * size, 0)

    def fill(self, values: list[float], at: int) -> None:
        """Take over slots, of which ``at`` is written next."""
        self.values, self.at, self.head = values, at, 0.0
        for value in values[:at]:
            self.head += value
        tails = [0.0] * (self.size + 1)
        for j in range(self.size - 1, -1, -1):
            tails[j] = values[j] + tails[j + 1] if j >= at else 0.0
        self.tails = tails

    def with_next(self, value: float) -> float:
        """The sum if ``value`` came next; changes nothing."""
        return (self.head + value) + self.tails[self.at + 1]

    def push(self, value: float) -> float:
        """Write a value over the oldest one; the sum of all."""
        at = self.at
        self.values[at] = value
        self.head = head = self.head + value
        self.at = at = at + 1
        total = head + self.tails[at]
        if at == self.size:
            self.fill(self.values, 0)
        return total

    def push_zeros(self, n: int) -> None:
        """As many zeros, in no more than O(W)."""
        if n >= self.size:
            self.fill([0.0] * self.size, (self.at + n) % self.size)
        else:
            for _ in range(n):
                self.push(0.0)
