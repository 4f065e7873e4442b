"""From a dict of features to a vector: which name owns which column.

Every feature name owns one column, found by the name and by nothing else: columns enter in the
order of their *canonical names*, and whatever is drawn at random for a column is drawn from a
generator seeded by ``(seed, canonical name)``. Neither the order of the keys in a dict nor the
process (Python salts its own ``hash``) can change a prediction.

**Budget.** When more names than ``max_features`` were seen, a new one takes the column of the name
that was unseen for longest. Names that tell nothing, because they never varied or came once, count
as unseen a hundred times as long: they go first, and yet a vocabulary that is out of use makes room
for a new one in the end.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Container, Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._validation import LIMIT, check_int
from .naming import canonical_name, mixed, name_seeds
from .state import Stateful, Writer
from .values import check_categorical, clean

_QUICK = frozenset({float, int, bool, np.float64, np.bool_})
_STRINGS = frozenset({str})
_FLOATS = frozenset({float})
_NO_COLUMNS = np.zeros(0, np.intp)

LONGER = 100
"""How many times as long a name that tells nothing counts as unseen."""


class Encoded(NamedTuple):
    """A dict of features as columns.

    Attributes
    ----------
    values
        One number for each known column [n]; NaN = missing.
    complete
        True if no value is missing.
    new
        Features that have no column yet, with their values (never NaN).
    seen
        Columns that the dict named, without those of other categories; None where these are all
        that are not missing.
    """

    values: NDArray[np.float64]
    complete: bool
    new: dict[Hashable, float]
    seen: NDArray[np.intp] | None = None


class Entered(NamedTuple):
    """What new features changed about the columns.

    Attributes
    ----------
    appended
        Canonical names of the columns that were appended.
    recycled
        Columns that belong to another name now, with its canonical name.
    """

    appended: list[str]
    recycled: list[tuple[int, str]]


class Encoder(Stateful):
    """Names to columns: which feature stands where, and nothing else.

    Parameters
    ----------
    max_features
        The largest number of columns; None for no bound.
    categorical
        Names of features whose values are categories.
    pinned
        Tells the names that keep their columns and do not count.

    Attributes
    ----------
    names
        The name of every column.
    n_evicted
        How often a column was given to another name.

    Examples
    --------
    >>> encoder = Encoder(categorical=("store",))
    >>> encoded = encoder.encode({"b": 2, "a": 1.0, "store": "N"})
    >>> encoder.enter(encoded).appended
    ["str:'a'", "str:'b'", "str:'store=N'"]
    >>> encoder.encode({"b": 5, "a": None, "c": 7, "store": "S"}).values
    array([nan,  5.,  0.])
    """

    # of names, made when they are asked for
    _seeds: NDArray[np.uint64] | None = None

    def __init__(
        self,
        max_features: int | None = None,
        categorical: Any = None,
        pinned: Callable[[Hashable], bool] | None = None,
    ) -> None:
        if max_features is not None:
            check_int("max_features", max_features, 1)
        self.max_features = max_features
        self.categorical = check_categorical(categorical) or ()
        self._starts = tuple(f"{name}=" for name in self.categorical)
        self._pinned = pinned
        self.names: list[Hashable] = []
        self._columns: dict[Hashable, int] = {}
        # columns of categories, which are 0 where another one is given
        self._indicators: NDArray[np.intp] = _NO_COLUMNS
        self.n_evicted = 0
        # rows so far, and the last complete one; when each column was seen last, if not in that;
        # those that were seen once
        self._clock: NDArray[np.int64] = np.zeros(2, np.int64)
        self._seen_at: NDArray[np.int64] = np.zeros(0, np.int64)
        self._once: NDArray[np.bool_] = np.zeros(0, np.bool_)
        # n_evicted after a column got its name
        self._since: NDArray[np.int64] = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.names)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_seeds", None)
        return state

    def transfer(self, io: Writer, *_: Any) -> None:
        self.names = io.names("names", self.names)
        ages = io.integers("ages", self._ages().tolist())
        once = io.integers("once", np.flatnonzero(self._seen_once()).tolist())
        self.n_evicted = io.integer("n_evicted", self.n_evicted)
        since = io.integers("since", np.trim_zeros(self._since, "b").tolist())
        if io.reading:
            n = len(self.names)
            self._columns = {name: column for column, name in enumerate(self.names)}
            io.check(len(self._columns) == n, "names: a name is there twice")
            io.check(len(ages) == n, f"ages has {len(ages)} of {n} names")
            io.check(all(column < n for column in once), "once: an unknown column")
            fits = len(since) <= n and max(since, default=0) <= self.n_evicted
            io.check(fits, "since does not fit")
            oldest = max(ages, default=0)
            io.check(oldest < 1 << 50, "ages: too large")
            self._clock = np.array([oldest, 0])
            self._seen_at = oldest - np.array(ages, np.int64)
            self._once = np.zeros(n, np.bool_)
            self._once[once] = True
            self._since = np.array(since + [0] * (n - len(since)), np.int64)
            self._seeds = None
            self._find_indicators()

    def clean(self, x: Any, known: Container[Hashable] = ()) -> dict[Hashable, float]:
        """See :func:`clean`; the result may be encoded in the place of ``x``."""
        if type(x) is dict and not self.categorical and _STRINGS.issuperset(map(type, x)):
            values = x.values()
            # numbers of which none is missing or wants a limit, under names that need no check
            if _FLOATS.issuperset(map(type, values)) and math.hypot(*values) <= LIMIT:
                return x.copy()
        return clean(x, known, self.categorical)

    def encode(self, x: Mapping[Hashable, Any]) -> Encoded:
        """The vector of ``x``; changes nothing.

        Names beyond the budget are left out, with a warning, if they came in one and the same dict:
        the last new ones in canonical order.

        Raises
        ------
        TypeError
            If a value is not a number, or a name is known by its address only.
        """
        try:
            # a dict of a kind of its own, a Counter say, may have a value for what is not there
            if type(x) is dict and len(x) == len(self.names) and not self._starts:
                row = [x[name] for name in self.names]
                # the length is not below the limit for NaN and inf either
                if _QUICK.issuperset(map(type, row)) and math.hypot(*row) <= LIMIT:
                    return Encoded(np.array(row, dtype=np.float64), True, {})
        except (KeyError, OverflowError):
            pass  # a new or a missing name, an int beyond float: see below
        return self._encode_any(x)

    def _encode_any(self, x: Mapping[Hashable, Any]) -> Encoded:
        values = np.full(len(self.names), np.nan)
        if self._starts:
            values[self._indicators] = 0.0
        new: dict[Hashable, float] = {}
        seen: list[int] = []
        for name, number in self.clean(x, self._columns).items():
            column = self._columns.get(name)
            if column is not None:
                values[column] = number
                if number == number:
                    seen.append(column)
            elif number == number:
                new[name] = number
        if new and self.max_features is not None:
            self._leave_out(new, seen)
        complete = not np.isnan(values).any()
        return Encoded(values, complete, new, np.array(seen, np.intp) if self._starts else None)

    def seeds(self) -> NDArray[np.uint64]:
        """Two numbers for the name of every column [n, 2], 0 for those that are pinned."""
        if self._seeds is None:
            self._seeds = name_seeds(self.names)
            self._seeds[[not self._is_free(name) for name in self.names]] = 0
        return self._seeds

    def signature(self, encoded: Encoded) -> bytes:
        r"""Bytes that are equal for equal ``x``, whatever columns have come in between.

        .. math:: \sum_i \mathrm{mixed}(\mathrm{seeds}_i \oplus \mathrm{bits}(v_i)) \bmod 2^{64}

        over the features that are not missing (or named, of categories) and not pinned; twice, with
        both seeds of a name. It does not matter in which columns they stand.
        """
        values, seeds = encoded.values, self.seeds()
        seen = np.flatnonzero(values == values) if encoded.seen is None else encoded.seen
        values, seeds = values[seen], seeds[seen]
        new = {name: value for name, value in encoded.new.items() if self._is_free(name)}
        if new:
            values = np.concatenate([values, list(new.values())])
            seeds = np.concatenate([seeds, name_seeds(new)])
        bits = (values + 0.0).view(np.uint64)  # -0.0 is 0.0
        every = mixed(seeds ^ bits[:, np.newaxis]) * (seeds != 0)
        return every.sum(axis=0, dtype=np.uint64).astype("<u8").tobytes()

    def _is_free(self, name: Hashable) -> bool:
        """Whether a name counts, and its column may be given to another one."""
        return self._pinned is None or not self._pinned(name)

    def _leave_out(self, new: dict[Hashable, float], seen: list[int]) -> None:
        """Take what exceeds the budget out of the new names of one dict."""
        free = [name for name in new if self._is_free(name)]
        n_seen = sum(self._is_free(self.names[column]) for column in seen)
        room = max((self.max_features or 0) - n_seen, 0)
        if len(free) > room:
            warnings.warn(
                f"one row has more features than max_features={self.max_features}: the rest is "
                "left out; raise max_features, or set it to None for no bound",
                stacklevel=2,
            )
            for name in sorted(free, key=canonical_name)[room:]:
                del new[name]

    def enter(self, encoded: Encoded, useless: NDArray[np.bool_] | None = None) -> Entered:
        """A dict was seen: its new names get their columns, in canonical order.

        Parameters
        ----------
        encoded
            The dict.
        useless
            Columns that tell nothing so far [n]; names that came once are counted to them.
        """
        if self.max_features is not None:
            self._see(encoded)
        if not encoded.new:
            return Entered([], [])
        new = sorted(encoded.new, key=canonical_name)
        n_late = 0
        if self.max_features is not None:
            n_late = sum(map(self._is_free, self.names)) - self.max_features
            n_late = max(n_late + sum(map(self._is_free, new)), 0)
        late = [name for name in new if self._is_free(name)][-n_late:] if n_late else []
        return self._enter(
            [name for name in new if name not in late], self._victims(n_late, useless), late
        )

    def _enter(self, appended: list[Hashable], victims: list[int], late: list[Hashable]) -> Entered:
        """Give names new columns, and the late ones those of others."""
        n, n_new = len(self.names), len(appended)
        self._seeds = None
        for name in appended:
            self._columns[name] = len(self.names)
            self.names.append(name)
        self._seen_at = np.concatenate([self._seen_at, np.zeros(n_new, np.int64)])
        self._once = np.concatenate([self._once, np.zeros(n_new, np.bool_)])
        self._since = np.concatenate([self._since, np.zeros(n_new, np.int64)])
        for column, name in zip(victims, late, strict=True):
            del self._columns[self.names[column]]
            self._columns[name], self.names[column] = column, name
            self.n_evicted += 1
            self._since[column] = self.n_evicted
        fresh = [*range(n, n + n_new), *victims]
        self._seen_at[fresh] = self._clock[0]
        if self.max_features is not None:
            self._once[fresh] = True
        self._find_indicators()
        recycled = [(column, canonical_name(self.names[column])) for column in victims]
        return Entered([canonical_name(name) for name in appended], recycled)

    def _see(self, encoded: Encoded) -> None:
        """Remember which columns were seen with this row."""
        clock = self._clock
        clock[0] += 1
        if encoded.complete and encoded.seen is None:
            clock[1] = clock[0]  # stands for all columns: a cheap way for the usual row
        else:
            values = encoded.values
            seen = np.flatnonzero(values == values) if encoded.seen is None else encoded.seen
            self._seen_at[seen] = clock[0]
            self._once[seen] = False

    def _seen_once(self) -> NDArray[np.bool_]:
        """Columns that were seen in one row only."""
        return self._once & (self._seen_at >= self._clock[1])

    def _ages(self) -> NDArray[np.int64]:
        """How many rows ago each column was seen."""
        ages: NDArray[np.int64] = self._clock[0] - np.maximum(self._seen_at, self._clock[1])
        return ages

    def _victims(self, n: int, useless: NDArray[np.bool_] | None) -> list[int]:
        """The columns of n names that were unseen for longest, none of this row."""
        tells_nothing = self._seen_once() if useless is None else self._seen_once() | useless
        score = self._ages() * np.where(tells_nothing, LONGER, 1)
        if self._pinned is not None:
            score[[column for column, name in enumerate(self.names) if self._pinned(name)]] = -1
        order: list[int] = np.argsort(-score, kind="stable")[:n].tolist()
        return order

    def recycled_since(self, n_evicted: int, n_columns: int) -> NDArray[np.intp]:
        """Which of the first columns got another name after ``n_evicted`` times."""
        return np.flatnonzero(self._since[:n_columns] > n_evicted)

    def _find_indicators(self) -> None:
        if self._starts:
            is_one = [
                isinstance(name, str) and name.startswith(self._starts) for name in self.names
            ]
            self._indicators = np.flatnonzero(is_one)
