"""Names that are the same in every process, and what is drawn at random for them.

Python salts its own ``hash``, and equal keys of a dict may look different: features are told apart
by a *canonical name*, and whatever is random about one comes from a generator seeded by
``(seed, canonical name)``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import numbers
import re
from collections.abc import Hashable
from fractions import Fraction
from typing import Any

import numpy as np

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


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
