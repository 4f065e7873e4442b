r"""Keys: which model a row belongs to, and what that model is called in a store.

The key of a row is the value of a feature, the tuple of several, or what a function says of it.
Keys that are equal as keys of a dict are one key, in a store as well: there a key is the JSON of
:func:`river_attention.naming.to_text`, as bytes, of its plain value (an integral number is an int,
a datetime with a time zone is in UTC)::

    "north"  ->  b'"north"'      7, 7.0, np.int64(7)  ->  b'7'      ("north", 7)  ->
    b'{"tuple":["north",7]}'
"""

from __future__ import annotations

import datetime as dt
import numbers
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np

from .._validation import is_missing
from ..naming import plain_number, to_text

Key = Hashable | tuple[Hashable, ...] | Callable[[dict[Any, Any]], Hashable]


def split(x: Mapping[Any, Any], key: Key) -> tuple[Hashable, dict[Any, Any]]:
    """The key of a row, and the row without it; what ``key`` means is said in ``KeyedModel``.

    Examples
    --------
    >>> split({"shop": "north", "a": 1.0}, "shop")
    ('north', {'a': 1.0})
    >>> split({"shop": "north", "a": 1.0}, ("shop", "till"))
    (('north', None), {'a': 1.0})
    """
    if callable(key):
        return checked(key(dict(x))), dict(x)
    names = names_of(key)
    rest = {name: value for name, value in x.items() if name not in names}
    values = tuple(x.get(name) for name in names)
    return checked(values if isinstance(key, tuple) else values[0]), rest


def names_of(key: Key) -> tuple[Hashable, ...]:
    """The features that make the key; none for a function."""
    if callable(key):
        return ()
    return key if isinstance(key, tuple) else (key,)


def checked(key: Any) -> Hashable:
    """A key that a dict can find again: what is missing is None.

    Raises
    ------
    TypeError
        If it is not hashable.
    """
    if isinstance(key, tuple):
        return tuple(map(checked, key))
    if is_missing(key):
        return None
    try:
        hash(key)
    except TypeError:
        raise TypeError(
            f"the key {key!r:.80} is a {type(key).__name__}: use a string, number, date, or a "
            "tuple of these"
        ) from None
    return key


def to_key(key: Hashable) -> bytes:
    """What the model of a key is called in a store, the same for all keys that are equal.

    Raises
    ------
    TypeError
        If no plain value equals the key.

    Examples
    --------
    >>> to_key("north"), to_key(("north", 7.0)), to_key(None)
    (b'"north"', b'{"tuple":["north",7]}', b'null')
    """
    return to_text(_plain(key)).encode()


def _plain(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(map(_plain, key))
    if isinstance(key, frozenset):
        return frozenset(map(_plain, key))
    if isinstance(key, np.generic):
        key = key.item()
    if isinstance(key, numbers.Number):
        return plain_number(key)
    if isinstance(key, dt.datetime) and key.utcoffset() is not None:
        return key.astimezone(dt.UTC)
    return key
