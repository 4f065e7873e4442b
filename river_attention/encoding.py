r"""From a dict of features to a vector: names, numbers, calendar.

Every feature name owns one column, found by the name and by nothing else: columns enter in the
order of their *canonical names*, and whatever is drawn at random for a column is drawn from a
generator seeded by ``(seed, canonical name)``. Neither the order of the keys in a dict nor the
process (Python salts its own ``hash``) can change a prediction.

Dates and datetimes become

.. math::  \sin(2\pi f), \cos(2\pi f), \qquad
           f \in \{\text{hour}/24,\ \text{weekday}/7,\ \text{day of the year}/365.25\}.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import numbers
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._validation import LIMIT
from .naming import canonical_name
from .state import Stateful, Writer

_QUICK = frozenset({float, int, bool, np.float64, np.bool_})


def to_number(name: Hashable, value: Any) -> float:
    """A feature value as a float clipped at ±1e150; NaN when it counts as missing.

    None, NaN, ±inf, ``pd.NA``, ``pd.NaT``, ``np.ma.masked`` and numbers beyond the range of a
    float count as missing.

    Raises
    ------
    TypeError
        If the value is not a number or bool.
    """
    if type(value) is not float:
        if value is None or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant"):
            return math.nan
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value.item()
        if not isinstance(value, (numbers.Real, decimal.Decimal, np.bool_)) or isinstance(
            value, np.timedelta64
        ):
            raise TypeError(
                f"feature {name!r} is {value!r}, a {type(value).__name__}: expected a number or "
                "bool. Encode categories first, for instance with "
                "river.preprocessing.OneHotEncoder()"
            )
        try:
            value = float(value)
        except (OverflowError, ValueError):
            return math.nan
    if not math.isfinite(value):
        return math.nan
    return min(max(value, -LIMIT), LIMIT)


def _as_date(value: Any) -> dt.date | None:
    """The value as a date or datetime, None if it is something else (or not a time: NaT)."""
    if isinstance(value, dt.date):
        return value if value == value else None
    if isinstance(value, np.datetime64):
        whole_days = np.datetime_data(value.dtype)[0] in ("Y", "M", "W", "D")
        item = value.astype("datetime64[D]" if whole_days else "datetime64[us]").item()
        return item if isinstance(item, dt.date) else None
    return None


def _calendar_columns(name: Hashable, when: dt.date) -> Iterator[tuple[Hashable, float]]:
    cycles = {"weekday": when.weekday() / 7, "yearday": (when.timetuple().tm_yday - 1) / 365.25}
    if isinstance(when, dt.datetime):
        cycles["hour"] = (when.hour + when.minute / 60 + when.second / 3600) / 24
    for cycle, fraction in cycles.items():
        for wave in (math.sin, math.cos):
            label = f"{cycle}_{wave.__name__}"
            column = f"{name}_{label}" if isinstance(name, str) else (name, label)
            yield column, wave(2 * math.pi * fraction)


def _expand(x: Mapping[Hashable, Any]) -> Iterator[tuple[Hashable, Any]]:
    """Names and values, dates replaced; a feature that is given wins over a computed one."""
    for name, value in x.items():
        when = _as_date(value)
        if when is not None:
            yield from (item for item in _calendar_columns(name, when) if item[0] not in x)
        elif not isinstance(value, (np.datetime64, dt.date)):  # those left are NaT: missing
            yield name, value


def calendar_features(x: Mapping[Any, Any]) -> dict[Any, Any]:
    """Replace dates and datetimes by sine and cosine of hour, weekday and day of the year.

    The models of this package do it themselves; this is for the others. The hour counts minutes
    and seconds, in the time zone of the value; a date has no hour.

    Parameters
    ----------
    x
        A dictionary of features. Values that are not dates pass unchanged, and a feature that has
        the name of a computed one stays.

    Examples
    --------
    >>> import datetime as dt
    >>> x = calendar_features({"t": dt.datetime(2024, 1, 1, 6), "load": 3.0})
    >>> {name: round(value, 3) for name, value in x.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'t_weekday_sin': 0.0, 't_weekday_cos': 1.0, 't_yearday_sin': 0.0, 't_yearday_cos': 1.0,
     't_hour_sin': 1.0, 't_hour_cos': 0.0, 'load': 3.0}
    """
    return dict(_expand(x))


def clean(x: Any, known: Container[Hashable] = ()) -> dict[Hashable, float]:
    """All features of ``x`` as floats (NaN = missing), dates expanded; raises what is wrong.

    Parameters
    ----------
    x
        A dictionary of features.
    known
        Names that need no check.

    Raises
    ------
    TypeError
        If ``x`` is no mapping, a value is not a number, or a name is known by its address only.
    """
    if not isinstance(x, Mapping):
        raise TypeError(f"x={x!r} is a {type(x).__name__}: expected a dict of features")
    cleaned = {}
    for name, value in _expand(x):
        if isinstance(name, numbers.Number) and name != name:
            name = math.nan  # not even equal to itself: one object stands for all of them
        cleaned[name] = to_number(name, value)
        if name not in known:
            canonical_name(name)
    return cleaned


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
    """

    values: NDArray[np.float64]
    complete: bool
    new: dict[Hashable, float]


class Encoder(Stateful):
    """Names to columns: which feature stands where, and nothing else.

    Examples
    --------
    >>> encoder = Encoder()
    >>> encoded = encoder.encode({"b": 2, "a": 1.0})
    >>> encoder.extend(encoded.new)
    ["str:'a'", "str:'b'"]
    >>> encoder.encode({"b": 5, "a": None, "c": 7}).values
    array([nan,  5.])
    """

    def __init__(self) -> None:
        self.names: list[Hashable] = []
        self._columns: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self.names)

    def transfer(self, io: Writer, *_: Any) -> None:
        self.names = io.names("names", self.names)
        if io.reading:
            self._columns = {name: column for column, name in enumerate(self.names)}
            io.check(len(self._columns) == len(self.names), "names: a name is there twice")

    def encode(self, x: Mapping[Hashable, Any]) -> Encoded:
        """The vector of ``x``; changes nothing.

        Raises
        ------
        TypeError
            If a value is not a number, or a name is known by its address only.
        """
        try:
            if isinstance(x, dict) and len(x) == len(self.names):
                row = [x[name] for name in self.names]
                # the length is not below the limit for NaN and inf either
                if _QUICK.issuperset(map(type, row)) and math.hypot(*row) <= LIMIT:
                    return Encoded(np.array(row, dtype=np.float64), True, {})
        except (KeyError, OverflowError):
            pass  # a new or a missing name, an int beyond float: see below
        return self._encode_any(x)

    def _encode_any(self, x: Mapping[Hashable, Any]) -> Encoded:
        values = np.full(len(self.names), np.nan)
        new: dict[Hashable, float] = {}
        for name, number in clean(x, self._columns).items():
            column = self._columns.get(name)
            if column is not None:
                values[column] = number
            elif number == number:
                new[name] = number
        return Encoded(values, not np.isnan(values).any(), new)

    def extend(self, names: Iterable[Hashable]) -> list[str]:
        """Give each name a column, in canonical order; returns their canonical names."""
        ordered = sorted(names, key=canonical_name)
        for name in ordered:
            self._columns[name] = len(self.names)
            self.names.append(name)
        return [canonical_name(name) for name in ordered]
