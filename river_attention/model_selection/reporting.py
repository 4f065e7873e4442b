"""How far a search is, and how good the best candidate."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self, TextIO

from .._progress import ProgressBar
from .progressive import Candidate

EVERY = 10.0
"""Seconds between two lines where lines cannot be redrawn: in files, pipes and notebooks."""


class Report:
    """A bar on a terminal; elsewhere a line now and then, none for short searches.

    Parameters
    ----------
    n_rows
        Length of the stream; None if that is not known.
    quiet
        Say nothing.
    stream
        Where to; by default stderr.
    """

    def __init__(
        self, n_rows: int | None, quiet: bool = False, stream: TextIO | None = None
    ) -> None:
        self._bar = ProgressBar(n_rows, stream, quiet)
        self._told, self._redraws = time.monotonic(), self._bar.stream.isatty()
        self._n_read = 0

    def tell(self, n_read: int, n_alive: int, best: Candidate) -> None:
        """So many rows are read, so many candidates run, and this is the best of them."""
        now = time.monotonic()
        if self._redraws or now - self._told >= EVERY:
            self._told = now
            name = type(best.score.metric).__name__
            self._bar.label(
                f"{n_read} rows, {n_alive} candidates, best {name} {best.score.value:.6g} with "
                f"{best.params}"
            )
        self._bar.advance(n_read - self._n_read)
        self._n_read = n_read

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.__exit__(exc_type, exc, traceback)
