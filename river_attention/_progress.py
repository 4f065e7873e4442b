"""A progress bar on stderr, for the demo and the benchmarks."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self, TextIO

_WIDTH = 30


class ProgressBar:
    """Show how much of `total` is done.

    On a terminal one line is redrawn in place. Anywhere else (a file, a pipe, a build log) a line
    is printed for each new label only.

    Parameters
    ----------
    total
        Number of units of work; None if that is not known: then the label alone is shown.
    stream
        Where to draw; by default `sys.stderr` as it is at the time.
    quiet
        Draw nothing at all.

    Examples
    --------
    >>> import sys
    >>> with ProgressBar(total=2, stream=sys.stdout) as bar:
    ...     bar.label("first model")
    ...     bar.advance(2)
    first model
    """

    def __init__(
        self, total: int | None, stream: TextIO | None = None, quiet: bool = False
    ) -> None:
        self.total = None if total is None else max(total, 1)
        self.stream = sys.stderr if stream is None else stream
        self.quiet = quiet
        self._done = 0
        self._label = ""
        self._drawn = ""
        self._redraws = self.stream.isatty()

    def label(self, text: str) -> None:
        """Name the work that comes next."""
        self._label = text
        if self._redraws:
            self._draw()
        elif not self.quiet:
            print(text, file=self.stream, flush=True)

    def advance(self, n: int = 1) -> None:
        """Count `n` more units as done."""
        self._done += n
        if self._redraws:
            self._draw()

    def _draw(self) -> None:
        line = self._label
        if self.total is not None:
            share = min(self._done / self.total, 1.0)
            bar = "#" * round(share * _WIDTH)
            line = f"[{bar:.<{_WIDTH}}] {share:4.0%}  {line}"
        # Most steps change nothing that can be seen; the terminal is slower than the models.
        if line != self._drawn and not self.quiet:
            self.stream.write(f"\r{line:<{len(self._drawn)}}")
            self.stream.flush()
            self._drawn = line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._drawn:
            self.stream.write("\r" + " " * len(self._drawn) + "\r")
            self.stream.flush()
