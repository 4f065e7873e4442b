"""Tables, progress and JSON."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

_WIDTH = 120
_REDRAW_EVERY = 64


def console() -> Console:
    """Standard output; wide where nobody knows how wide it is."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)


def print_table(title: str, heading: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a title and a table; the first column is text, the others numbers."""
    print(title)
    table = Table()
    for i, name in enumerate(heading):
        table.add_column(escape(name), justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console().print(table)


def print_json(data: Any) -> None:
    """Print data as one line of JSON; numbers that are none become null."""
    print(json.dumps(finite(data), default=str))


def finite(data: Any) -> Any:
    """Data without NaN and infinities, which JSON does not have.

    Examples
    --------
    >>> finite({"a": [1.0, float("nan")]})
    {'a': [1.0, None]}
    """
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {str(key): finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(value) for value in data]
    return data


def number(value: float, digits: int = 5) -> str:
    """A number for a table."""
    return f"{value:,.{digits}g}" if math.isfinite(value) else "–"


@contextlib.contextmanager
def progress(label: str, total: int | None, quiet: bool) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, nothing elsewhere; gives what is called for every row."""
    shown = Console(stderr=True)
    if quiet or not shown.is_terminal:
        yield lambda: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=shown,
        transient=True,
    )
    done = 0
    with bar:
        # where the file lies is of no interest, and takes the room of the bar
        task = bar.add_task(escape(Path(label).name), total=total)

        def advance() -> None:
            nonlocal done
            done += 1
            if done % _REDRAW_EVERY == 0:
                bar.update(task, completed=done)

        yield advance
