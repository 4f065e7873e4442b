r"""What the values of features mean: numbers, dates, categories.

Dates and datetimes become

.. math::  \sin(2\pi f), \cos(2\pi f), \qquad
           f \in \{\text{hour}/24,\ \text{weekday}/7,\ \text{day of the year}/365.25\}.

**Categories.** A feature that is named as one becomes columns ``name=value``, 1 for its value and 0
for all values seen before.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import numbers
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ._validation import LIMIT, is_absent
from .naming import canonical_name


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
        if is_absent(value):
            return math.nan
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value.item()
        if not isinstance(value, (numbers.Real, decimal.Decimal, np.bool_)) or isinstance(
            value, np.timedelta64
        ):
            raise TypeError(
                f"feature {name!r} is {value!r}, a {type(value).__name__}: expected a number or "
                f"bool. If it is a category, say so with categorical=({name!r},), or encode it "
                "first with river.preprocessing.OneHotEncoder()"
            )
        try:
            value = float(value)
        except (OverflowError, ValueError):
            return math.nan
    if not math.isfinite(value):
        return math.nan
    return min(max(value, -LIMIT), LIMIT)


def as_date(value: Any) -> dt.date | None:
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


def check_categorical(value: Any) -> tuple[Hashable, ...] | None:
    """Names of features whose values are categories as a tuple; None if there are none.

    Raises
    ------
    ValueError
        If it is no collection of names, or two of them would share columns.
    """
    if value is None:
        return None
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ValueError(
            f"categorical={value!r}: must be a tuple of names of features, such as ({value!r},)"
        )
    names = tuple(value)
    try:
        hash(names)
        starts = [f"{name}=" for name in names if canonical_name(name)]
    except TypeError as error:
        raise ValueError(f"categorical={value!r}: {error}") from None
    for i, start in enumerate(starts):
        if any(start.startswith(other) for j, other in enumerate(starts) if j != i):
            raise ValueError(
                f"categorical={value!r}: columns that begin with {start!r} would belong to two of "
                "them; rename one"
            )
    return names or None


def _indicator(name: Hashable, value: Any) -> str | None:
    """The column of a category, None for a missing one; raises what is wrong."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, np.generic) and not isinstance(value, (np.datetime64, np.timedelta64)):
        value = value.item()
    if is_absent(value) or (isinstance(value, np.datetime64) and np.isnat(value)):
        return None
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        # a column of ints with gaps is one of floats in a data frame
        value = int(value) if value.is_integer() else value
    try:
        hash(value)
        canonical_name(value)
    except TypeError as error:
        raise TypeError(
            f"feature {name!r} is {value!r:.80}, a {type(value).__name__}, which cannot be told "
            f"from other categories: {error}"
        ) from None
    return f"{name}={value}"


def _expand(
    x: Mapping[Hashable, Any], categorical: Container[Hashable] = ()
) -> Iterator[tuple[Hashable, Any]]:
    """Names and values, dates and categories replaced; what is given wins over what is computed."""
    for name, value in x.items():
        if categorical and name in categorical:
            column = _indicator(name, value)
            if column is not None and column not in x:
                yield column, 1.0
            continue
        when = as_date(value)
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


def clean(
    x: Any, known: Container[Hashable] = (), categorical: Container[Hashable] = ()
) -> dict[Hashable, float]:
    """All features of ``x`` as floats (NaN = missing), dates and categories as their columns.

    Parameters
    ----------
    x
        A dictionary of features.
    known
        Names that need no check.
    categorical
        Names of features whose values are categories.

    Raises
    ------
    TypeError
        If ``x`` is no mapping, a value is not a number, or a name or category is known by its
        address only.
    """
    if not isinstance(x, Mapping):
        raise TypeError(f"x={x!r} is a {type(x).__name__}: expected a dict of features")
    cleaned = {}
    for name, value in _expand(x, categorical):
        if isinstance(name, numbers.Number) and name != name:
            name = math.nan  # not even equal to itself: one object stands for all of them
        cleaned[name] = to_number(name, value)
        if name not in known:
            canonical_name(name)
    return cleaned
