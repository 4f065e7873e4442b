r"""States as plain data: what every part knows, as one flat dict, and back.

A part that has a state names what it knows once, in ``transfer``, and both directions follow from
that: through a :class:`Writer` the values go into a dict; through a :class:`Reader` they come out
of one, after a check of names, kinds, shapes and ranges. ``get_state`` and ``set_state`` are these
two. A dict is flat, ``{"readout.full 0.998.P": array, ...}``, and holds arrays, numbers, strings
and lists of numbers or strings, nothing else; with the constructor's arguments it is the whole
part. Symmetric matrices travel as one triangle, rings as their content; what can be computed or
drawn again is left out.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from .naming import from_text, to_text

Part = TypeVar("Part", bound="Stateful")
State = dict[str, Any]


class StateError(ValueError):
    """A state, or the file of one, that does not fit; the message names what is wrong."""


@functools.lru_cache(maxsize=64)
def _lower(n: int) -> NDArray[np.intp]:
    """Where the lower triangle of a matrix [n, n] in column order is, row by row."""
    rows, columns = np.tril_indices(n)
    return n * columns + rows


class Writer:
    """Collects what parts know; every method returns the value that it is given.

    Examples
    --------
    >>> writer = Writer()
    >>> writer.below("target").integer("n", 3)
    3
    >>> Reader(writer.state).below("target").integer("n", 0)
    3
    """

    reading = False

    def __init__(self, state: State | None = None, prefix: str = "") -> None:
        self.state: State = {} if state is None else state
        self._prefix = prefix

    def array(
        self,
        name: str,
        value: NDArray[Any],
        *shape: int | None,
        low: float = -math.inf,
        finite: bool = True,
    ) -> Any:
        """An array: its shape, None for an axis of any length; the smallest value allowed."""
        self.state[self._prefix + name] = np.array(value)
        return value

    def triangle(self, name: str, value: NDArray[np.float64], n: int) -> Any:
        """A symmetric matrix [n, n] of which the lower triangle counts."""
        self.state[self._prefix + name] = value.T.reshape(-1)[_lower(n)]
        return value

    def number(self, name: str, value: Any, low: float = -math.inf, finite: bool = True) -> Any:
        """A float, at least ``low``."""
        self.state[self._prefix + name] = float(value)
        return value

    def integer(self, name: str, value: int, low: int | None = 0) -> int:
        """An int, at least ``low``."""
        self.state[self._prefix + name] = int(value)
        return value

    def integers(self, name: str, value: Sequence[int], low: int = 0) -> list[int]:
        """A list of ints, each at least ``low``."""
        self.state[self._prefix + name] = [int(item) for item in value]
        return list(value)

    def names(self, name: str, value: Iterable[Hashable]) -> list[Any]:
        """Names of features or classes, of any kind that :func:`to_text` knows."""
        items = list(value)
        try:
            self.state[self._prefix + name] = [to_text(item) for item in items]
        except TypeError as error:
            raise StateError(f"{self._prefix}{name}: {error}") from None
        return items

    def child(self, name: str, part: Part, *arguments: Any) -> Part:
        """What another part knows, under names that begin with this one (none for "")."""
        part.transfer(self.below(name), *arguments)
        return part

    def below(self, name: str) -> Self:
        """The same for names that begin with this one."""
        return type(self)(self.state, f"{self._prefix}{name}." if name else self._prefix)

    def check(self, fits: bool, what: str) -> None:
        """Raise ``StateError`` where what was read does not fit together."""


class Reader(Writer):
    """Hands out what a dict holds, after checking it; the value given says what is expected."""

    reading = True

    def __init__(self, state: State, prefix: str = "", used: set[str] | None = None) -> None:
        super().__init__(state, prefix)
        self._used: set[str] = set() if used is None else used

    def _take(self, name: str) -> tuple[str, Any]:
        full = self._prefix + name
        if full not in self.state:
            raise StateError(f"the state has no {full!r}")
        self._used.add(full)
        return full, self.state[full]

    def array(
        self,
        name: str,
        value: NDArray[Any],
        *shape: int | None,
        low: float = -math.inf,
        finite: bool = True,
    ) -> Any:
        """The array, as a copy in the kind of the one that is given."""
        full, found = self._take(name)
        if not isinstance(found, np.ndarray) or found.dtype.kind != value.dtype.kind:
            raise StateError(
                f"{full} is {_kind(found)}: expected an array of the kind {value.dtype}"
            )
        fits = found.ndim == len(shape) and all(
            expected in (None, n) for n, expected in zip(found.shape, shape, strict=True)
        )
        if not fits:
            expected = ", ".join("any" if n is None else str(n) for n in shape)
            raise StateError(f"{full} has shape {found.shape}: expected ({expected})")
        if finite and not np.isfinite(found).all():
            raise StateError(f"{full} holds values that are not finite")
        if low > -math.inf and found.size and not found.min() >= low:
            raise StateError(f"{full} has a smallest value of {found.min()}: at least {low:g}")
        return np.array(found, dtype=value.dtype, order="C")

    def triangle(self, name: str, value: NDArray[np.float64], n: int) -> Any:
        """The matrix in column order, zeros above the diagonal, which must not be negative."""
        packed = self.array(name, np.zeros(0), n * (n + 1) // 2)
        entries = np.zeros(n * n)
        entries[_lower(n)] = packed
        matrix = entries.reshape(n, n).T
        self.check(bool((matrix.diagonal() >= 0.0).all()), f"{name} has a negative diagonal")
        return matrix

    def number(self, name: str, value: Any, low: float = -math.inf, finite: bool = True) -> Any:
        """The float."""
        full, found = self._take(name)
        if not isinstance(found, float) or (finite and not math.isfinite(found)):
            raise StateError(f"{full}={found!r:.80}: expected a finite float")
        if found < low:
            raise StateError(f"{full}={found!r}: expected at least {low:g}")
        return float(found)

    def integer(self, name: str, value: int, low: int | None = 0) -> int:
        """The int."""
        full, found = self._take(name)
        if type(found) is not int or (low is not None and found < low):
            raise StateError(f"{full}={found!r:.80}: expected an int of at least {low}")
        return found

    def integers(self, name: str, value: Sequence[int], low: int = 0) -> list[int]:
        """The list of ints."""
        full, found = self._take(name)
        if not isinstance(found, list) or not all(type(n) is int and n >= low for n in found):
            raise StateError(f"{full} is {_kind(found)}: expected a list of ints from {low}")
        return list(found)

    def names(self, name: str, value: Iterable[Hashable]) -> list[Any]:
        """The names."""
        full, found = self._take(name)
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise StateError(f"{full} is {_kind(found)}: expected a list of strings")
        try:
            return [from_text(text) for text in found]
        except ValueError as error:
            raise StateError(f"{full}: {error}") from None

    def child(self, name: str, part: Part, *arguments: Any) -> Part:
        """A copy of the part that knows what the dict says."""
        part = _shallow(part)
        part.transfer(self.below(name), *arguments)
        return part

    def below(self, name: str) -> Self:
        """The same for names that begin with this one."""
        prefix = f"{self._prefix}{name}." if name else self._prefix
        return type(self)(self.state, prefix, self._used)

    def check(self, fits: bool, what: str) -> None:
        """Raise ``StateError`` where what was read does not fit together."""
        if not fits:
            raise StateError(f"{self._prefix}{what}")

    def finish(self) -> None:
        """Raise if there is anything that nobody asked for."""
        unknown = self.state.keys() - self._used
        if unknown:
            raise StateError(f"the state has an unknown entry {min(map(repr, unknown))}")


def _shallow(part: Part) -> Part:
    """``copy.copy``, without its detour for what has nothing to say about how it is copied."""
    kind: Any = type(part)
    if kind.__getstate__ is not object.__getstate__ or not hasattr(part, "__dict__"):
        return copy.copy(part)
    fresh: Part = kind.__new__(kind)
    fresh.__dict__.update(part.__dict__)
    return fresh


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of the kind {value.dtype}"
    return f"{repr(value)[:40]}, a {type(value).__name__}"


class Stateful:
    """A part with a state: a subclass says in ``transfer`` what it knows."""

    def transfer(self, io: Writer, *arguments: Any) -> None:
        """Let everything known go through ``io``, and keep what comes back.

        Nothing may be changed in place: reading works on a shallow copy. ``arguments`` are what
        the part that this one belongs to knows of its shape.
        """
        raise NotImplementedError

    def get_state(self) -> State:
        """Everything known but the constructor's arguments, as a flat dict of plain data.

        Arrays, numbers, strings and lists of them; the arrays are copies.
        """
        writer = Writer()
        self.transfer(writer)
        return writer.state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take over what ``get_state`` gave, of a part with the same constructor's arguments.

        Raises
        ------
        StateError
            If a name is missing or unknown, or a value has the wrong kind, shape or range;
            everything is as it was before then.
        """
        if not isinstance(state, Mapping):
            raise StateError(f"state={state!r:.80}: expected a dict")
        fresh, reader = copy.copy(self), Reader(dict(state))
        fresh.transfer(reader)
        reader.finish()
        self.__dict__.update(fresh.__dict__)
