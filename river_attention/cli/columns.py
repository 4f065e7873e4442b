"""What the columns of a file are: target, time, key, and features that are numbers or categories.

The first rows decide. A column of strings holds dates if all of them are dates as ISO 8601 writes
them (``2024-03-01``, ``2024-03-01T12:30``, ``2024-03``), else categories. What comes later has to
fit.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .._validation import is_missing
from .errors import InputError
from .reading import Row, Source

N_SNIFFED = 1000

_MONTH = re.compile(r"\d{4}-\d{2}")


class Sample(NamedTuple):
    """A row for a model.

    Attributes
    ----------
    where
        What messages call it.
    x
        The features, the key among them.
    y
        The label; None if it is missing.
    time
        When it was; None if nobody said what the time is.
    key
        The series it belongs to; None if there is one only.
    """

    where: str
    x: dict[str, Any]
    y: Any
    time: Any
    key: Hashable


@dataclass
class Roles:
    """What the user says of the columns.

    Attributes
    ----------
    target
        The column to predict.
    time, key
        Columns of the time and of the series that a row belongs to; None if there are none.
    categorical
        Columns that are categories whatever they look like.
    drop
        Columns that are no features.
    time_format
        How times are written, as in ``strptime``; None for ISO 8601.
    of_classes
        Whether the target is a class, of any kind, or a number.
    """

    target: str
    time: str | None = None
    key: str | None = None
    categorical: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    time_format: str | None = None
    of_classes: bool = False


@dataclass
class Columns:
    """Rows of a source as samples; the kinds of its columns are known.

    Attributes
    ----------
    categorical
        The features that are categories.
    dates
        The features that are dates.
    """

    source: Source
    roles: Roles
    categorical: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    _head: list[tuple[str, Row]] = field(default_factory=list)

    def __iter__(self) -> Iterator[Sample]:
        roles, name = self.roles, self.source.name
        label = as_class if roles.of_classes else as_number
        out = {roles.target, *roles.drop}
        dates, categories = set(self.dates), set(self.categorical)
        latest: dict[Hashable, Any] = {}
        for where, row in itertools.chain(self._head, self.source.rows):
            at = f"{name}: {where}"
            y = _told(at, roles.target, row.get(roles.target), label, _FOR_CLASSES)
            key = None if roles.key is None else row.get(roles.key)
            time = None
            if roles.time is not None:
                time = self._time(at, row.get(roles.time))
                _check_order(at, time, latest, key)
            x = {}
            for column, value in row.items():
                if column in out or value is None:
                    continue
                if column == roles.time:
                    # a number that grows for ever is no feature
                    if isinstance(time, dt.date):
                        x[column] = time
                elif column in dates:
                    x[column] = _told(at, column, value, as_date)
                elif isinstance(value, str) and column not in categories and column != roles.key:
                    raise InputError(
                        f"{at}: {column!r} is {value!r:.60}, no number: if it is a category, say "
                        f"--categorical {column}; if it is no feature, --drop {column}"
                    )
                else:
                    x[column] = value
            yield Sample(at, x, y, time, key)

    def _time(self, at: str, value: Any) -> Any:
        column = self.roles.time
        if is_missing(value):
            raise InputError(f"{at}: the time {column!r} is missing")
        if not isinstance(value, str) and self.roles.time_format is None:
            return value
        return _told(
            at, str(column), str(value), lambda text: as_date(text, self.roles.time_format)
        )


def _check_order(at: str, time: Any, latest: dict[Hashable, Any], key: Hashable) -> None:
    """Remember the time of a row; an earlier one than that of the row before is an error."""
    before = latest.get(key)
    try:
        ordered = before is None or _instant(before) <= _instant(time)
    except TypeError:
        raise InputError(
            f"{at}: the time {time} cannot be compared with {before} of the row before"
        ) from None
    if not ordered:
        series = "" if key is None else f" of {key!r}"
        raise InputError(
            f"{at}: rows are out of time order: {time} comes after {before}{series}; sort the file"
        )
    latest[key] = time


def _instant(time: Any) -> Any:
    """Dates and datetimes so that they can be compared with each other."""
    if isinstance(time, dt.date) and not isinstance(time, dt.datetime):
        return dt.datetime(time.year, time.month, time.day)
    return time


def sniffed(source: Source, roles: Roles) -> Columns:
    """Look at the first rows of a source, and say what its columns are.

    Raises
    ------
    InputError
        If there are no rows, or a column that was named is not there.
    """
    head = list(itertools.islice(source.rows, N_SNIFFED))
    if not head:
        raise InputError(f"{source.name}: has no rows")
    names = source.names
    if names is None:
        names = list(dict.fromkeys(column for _, row in head for column in row))
    asked: dict[str, list[str | None]] = {
        "--target": [roles.target],
        "--time": [roles.time],
        "--key": [roles.key],
        "--categorical": [*roles.categorical],
        "--drop": [*roles.drop],
    }
    used: dict[str, str] = {}
    for option, columns in asked.items():
        for column in columns:
            if column is None:
                continue
            if column not in names:
                raise InputError(
                    f"{source.name}: there is no column {column!r} ({option}); it has "
                    f"{', '.join(names)}"
                )
            if option in ("--target", "--time", "--key") and column in used:
                raise InputError(f"{used[column]} and {option} are both {column!r}")
            used[column] = option
    strings: dict[str, list[str]] = {}
    for _, row in head:
        for column, value in row.items():
            if isinstance(value, str):
                strings.setdefault(column, []).append(value)
    mine = [
        column
        for column in strings
        if column not in (roles.target, roles.time, roles.key, *roles.drop, *roles.categorical)
    ]
    dates = tuple(column for column in mine if all(map(_is_date, strings[column])))
    categorical = (*roles.categorical, *(column for column in mine if column not in dates))
    return Columns(source, roles, categorical, dates, head)


_FOR_CLASSES = "; for classes there is `river-attention classify`"


def _told(at: str, column: str, value: Any, read: Callable[[Any], Any], hint: str = "") -> Any:
    """What a value is read as, or an error that says where it stands."""
    try:
        return read(value)
    except ValueError as error:
        raise InputError(f"{at}: {column!r} is {value!r:.60}, {error}{hint}") from None


def as_number(value: Any) -> float | None:
    """A target; None if it is missing.

    Raises
    ------
    ValueError
        If it is no finite number.
    """
    if is_missing(value):
        return None
    if isinstance(value, (str, bytes, dt.date)):
        raise ValueError("no number")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("no number") from None
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def as_class(value: Any) -> Any:
    """A class; None if it is missing."""
    return None if is_missing(value) else value


def as_date(text: str, how: str | None = None) -> dt.date:
    """A date or datetime.

    Raises
    ------
    ValueError
        If it is written in another way.

    Examples
    --------
    >>> as_date("2024-03-01"), as_date("01.03.2024 12:30", "%d.%m.%Y %H:%M")
    (datetime.date(2024, 3, 1), datetime.datetime(2024, 3, 1, 12, 30))
    >>> as_date("2024-03")
    datetime.date(2024, 3, 1)
    """
    if isinstance(text, dt.date):
        return text
    try:
        if how is not None:
            return dt.datetime.strptime(text, how)
        text = str(text).strip()
        if _MONTH.fullmatch(text):
            text += "-01"
        return dt.date.fromisoformat(text) if len(text) == 10 else dt.datetime.fromisoformat(text)
    except (ValueError, TypeError):
        wanted = "no date such as 2024-03-01T12:30" if how is None else f"not of the form {how!r}"
        more = "; say how it is written: --time-format '%d.%m.%Y %H:%M'" if how is None else ""
        raise ValueError(f"{wanted}{more}") from None


def _is_date(text: str) -> bool:
    try:
        as_date(text)
    except ValueError:
        return False
    return True
