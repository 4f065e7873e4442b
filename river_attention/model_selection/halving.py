"""Successive halving: at checkpoints twice as far apart each time, the worse half has to go.

    checkpoints  r, 2r, 4r, …        candidates  N, N/2, N/4, …, 1

Every stretch between two checkpoints costs what the first half of the stream until the former did,
N r / 2. With r = T/8 for a stream of T rows the halvings are at T/8, T/4 and T/2; an eighth of the
candidates sees all rows, and the search costs 1/8 + 1/16 + 1/16 + 1/16 = 5/16 of the exhaustive
one. (Jamieson and Talwalkar 2016, *Non-stochastic best arm identification and hyperparameter
optimization*, arXiv 1502.07943; there every rung starts afresh, here models just go on.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from .progressive import Candidate

FIRST_ROWS = 1000
"""The first checkpoint where the length of the stream is not known."""


def checkpoints(first: int, n_rows: int | None) -> Iterator[int]:
    """The numbers of rows after which the worse half goes: first, twice that, and so on.

    Examples
    --------
    >>> list(checkpoints(100, n_rows=800))
    [100, 200, 400]
    """
    while n_rows is None or first < n_rows:
        yield first
        first *= 2


def first_checkpoint(n_rows: int | None, warmup: int = 0) -> int:
    """An eighth of the stream, and at least as many rows that count as that do not.

    Examples
    --------
    >>> first_checkpoint(17420), first_checkpoint(None), first_checkpoint(800, warmup=100)
    (2178, 1000, 200)
    """
    return max(FIRST_ROWS if n_rows is None else math.ceil(n_rows / 8), 2 * warmup)


def better_half(candidates: list[Candidate], key: Callable[[Candidate], Any]) -> list[Candidate]:
    """The half whose ``key`` is smaller, in their order; of an odd number the larger part."""
    best = sorted(candidates, key=key)[: math.ceil(len(candidates) / 2)]
    stay = {candidate.index for candidate in best}
    return [candidate for candidate in candidates if candidate.index in stay]
