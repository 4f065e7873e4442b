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
import hashlib
import math
import numbers
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._validation import LIMIT

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_QUICK = frozenset({float, int, bool, np.float64, np.bool_})


def canonical_name(name: Hashable) -> str:
    """A text that is the same in every process and for all names that are equal as dict keys.

    NumPy scalars and strings become their Python values, bools and integral numbers ints; a type
    tag keeps ``1`` and ``"1"`` apart.

    Raises
    ------
    TypeError
        If the only text of ``name`` is its address, which differs from run to run.

    Examples
    --------
    >>> import numpy as np
    >>> canonical_name("load"), canonical_name(np.str_("load")), canonical_name(("a", 1.0))
    ("str:'load'", "str:'load'", "tuple:(str:'a',int:1)")
    >>> canonical_name(True) == canonical_name(1) == canonical_name(np.float32(1.0))
    True
    """
    if isinstance(name, str):
        return f"str:{str.__str__(name)!r}"
    if isinstance(name, bytes):
        return f"bytes:{bytes(name)!r}"
    if isinstance(name, np.generic):
        value = name.item()
        if not isinstance(value, np.generic):  # np.longdouble gives itself back
            return canonical_name(value)
    if isinstance(name, numbers.Number):
        return _canonical_number(name)
    if isinstance(name, tuple):
        return f"tuple:({','.join(map(canonical_name, name))})"
    if isinstance(name, frozenset):
        return f"frozenset:({','.join(sorted(map(canonical_name, name)))})"
    if isinstance(name, dt.datetime):
        aware = name.utcoffset() is not None
        return f"datetime:{(name.astimezone(dt.UTC) if aware else name).isoformat()}"
    if isinstance(name, dt.timedelta):
        parts = (name.days, name.seconds, name.microseconds, getattr(name, "nanoseconds", 0))
        return f"timedelta:{parts}"
    text = repr(name)
    if _ADDRESS.search(text):
        raise TypeError(
            f"feature name {text} is known by its address only, which differs from run to run; "
            "use a string, number or tuple, or give its class a __repr__"
        )
    return f"{type(name).__name__}:{text}"


def _canonical_number(number: Any) -> str:
    """An int, else a float, else a fraction, whichever is the first to equal the number."""
    if isinstance(number, numbers.Complex) and number.imag == 0:
        number = number.real
    try:
        exact = Fraction(*number.as_integer_ratio())
    except (AttributeError, OverflowError, ValueError):  # complex, infinite, NaN
        try:
            return f"float:{float(number)!r}"
        except (TypeError, ValueError):
            return f"{type(number).__name__}:{number!r}"
    if exact.denominator == 1:
        return f"int:{exact.numerator}"
    try:
        if Fraction(float(exact)) == exact:
            return f"float:{float(exact)!r}"
    except OverflowError:
        pass
    return f"Fraction:{exact}"


def generator(seed: int, *labels: str) -> np.random.Generator:
    """A random generator for ``(seed, labels)``, the same in every process.

    Examples
    --------
    >>> generator(1, "heads", "str:'x'").integers(1000) == generator(
    ...     1, "heads", "str:'x'"
    ... ).integers(1000)
    np.True_
    """
    text = "\x1f".join([str(seed), *labels])
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


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


class Encoder:
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

    def clean(self, x: Mapping[Hashable, Any]) -> dict[Hashable, float]:
        """All features of ``x`` as floats (NaN = missing), dates expanded; raises what is wrong."""
        if not isinstance(x, Mapping):
            raise TypeError(f"x={x!r} is a {type(x).__name__}: expected a dict of features")
        cleaned = {}
        for name, value in _expand(x):
            if isinstance(name, numbers.Number) and name != name:
                name = math.nan  # not even equal to itself: one object stands for all of them
            cleaned[name] = to_number(name, value)
            if name not in self._columns:
                canonical_name(name)
        return cleaned

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
        for name, number in self.clean(x).items():
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
