"""What one step is: what its label will need, and what making it the past needs.

Both are views with named parts on flat buffers of floats. The evidence stays until the label comes,
which may be thousands of steps later; the transition is over as soon as time has advanced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoding import Encoded

Array = NDArray[np.float64]


class Layout(dict[str, Any]):
    """Where the parts of an evidence stand in its buffer: names to slices, or to positions.

    Parameters
    ----------
    n_reads
        Numbers that the memories read.
    n_retrieved
        How many of them, the first, are kept raw as well.
    n_lags, n_inputs
        Target lags and input columns.
    n_long
        Long target lags; 0 means no long part.
    situation
        Whether some memory sees the situation.
    context
        Names of single numbers that the task keeps with the step.
    n_answers
        Numbers that the experts answer.
    shown
        Columns of the inputs that retrieval, the long part and trees see; None for all.
    moves
        Whether every input of the long part is followed by its last move.
    n_history
        Numbers of the target's history in the part that trees see; 0 means no such part.

    Attributes
    ----------
    size
        Length of the buffer.
    grown
        What differs between the steps of one model: lags, inputs and answers.

    Examples
    --------
    >>> layout = Layout(3, 0, 1, 2, 0, False, ("anchor",), 2)
    >>> layout["full"], layout["skip"], layout["anchor"], layout["answers"], layout.size
    (slice(0, 7, None), slice(3, 7, None), 7, slice(8, 10, None), 10)
    """

    def __init__(
        self,
        n_reads: int,
        n_retrieved: int,
        n_lags: int,
        n_inputs: int,
        n_long: int,
        situation: bool,
        context: Sequence[str],
        n_answers: int,
        shown: NDArray[np.intp] | None = None,
        moves: bool = False,
        n_history: int = 0,
    ) -> None:
        n_shown = n_inputs if shown is None else len(shown)
        full = n_reads + 1 + n_lags + n_inputs
        super().__init__(
            full=slice(0, full),
            skip=slice(n_reads, full),
            token=slice(n_reads + 1, full),
            inputs=slice(full - n_inputs, full),
        )
        self.size = full
        self._append("long", n_long + 1 + (1 + moves) * n_shown if n_long else 0)
        self._append("situation", 1 + n_shown if situation else 0)
        self._append("boosted", n_history + 2 * n_shown if n_history else 0)
        for i in range(n_retrieved):
            self._append(f"retrieved {i}")
        for name in context:
            self._append(name)
        self._append("answers", n_answers)
        self.n_answers = n_answers
        self.n_inputs = n_inputs
        self._shown = shown
        self._per_input = {"long": 1 + moves, "boosted": 2}
        self.grown = (n_lags, n_inputs, n_answers)

    def n_rows(self, part: str) -> int:
        """Number of rows that a part stands for, of which learners see one at a time."""
        return 1

    def places(self, part: str, column: int) -> list[int]:
        """Where a column of the input stands in a row of a part."""
        width = (self[part].stop - self[part].start) // max(self.n_rows(part), 1)
        if not width:
            return []
        n, shown = self.n_inputs, self._shown
        if shown is not None and part in ("long", "situation", "boosted"):
            n, column = len(shown), int(np.searchsorted(shown, column))
        # in every part the inputs stand last
        each = self._per_input.get(part, 1)
        first = width + each * (column - n)
        return list(range(first, first + each))

    def _append(self, name: str, length: int | None = None) -> None:
        start = self.size
        self.size += 1 if length is None else length
        self[name] = start if length is None else slice(start, self.size)


@dataclass(slots=True)
class Evidence:
    """What a label will be learned with: features, the experts' answers, what was known.

    Parts, of which the first four overlap: ``full`` (all features of the readout: reads, then
    ``skip``), ``skip`` (bias, lags, input), ``token`` (lags, input), ``inputs``; ``long`` (long
    lags, bias, input; or input and last move of each in turn), ``situation`` (last step of the
    target, input), ``boosted`` (history of the target, then every input as it came, now and one
    step before; NaN where it is missing), ``retrieved i`` (raw reads of retrieval), the numbers of
    the task by their names, and ``answers``.

    ``n_evicted`` is how often a column of the input had been given to another name by then.
    ``before`` is what a readout that learns the memory has to go back through, if labels are late.
    """

    buffer: Array
    layout: Layout
    n_evicted: int = 0
    before: Any = None

    def __getitem__(self, part: str) -> Any:
        """A part, a view or a single number."""
        return self.buffer[self.layout[part]]

    def __setitem__(self, part: str, value: Any) -> None:
        self.buffer[self.layout[part]] = value


@dataclass(slots=True)
class Transition:
    """What committing a step needs: raw reads and input columns, and what the memories propose."""

    encoded: Encoded
    raw: Array
    proposals: dict[str, Any]


@dataclass(slots=True)
class Step:
    """What one x would make of the model; ``key`` holds the bytes of its encoded values."""

    key: bytes
    evidence: Evidence
    transition: Transition
