"""Names that are the same in every process, and what is drawn at random for them.

Python salts its own ``hash``, and equal keys of a dict may look different: features are told apart
by a *canonical name*, and whatever is random about one comes from a generator seeded by
``(seed, canonical name)``. Saved names are JSON, see :func:`to_text`.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import json
import math
import numbers
import re
from collections.abc import Callable, Hashable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """The text of the plain number that equals this one."""
    plain = plain_number(number)
    if isinstance(plain, (int, float)):
        return f"{type(plain).__name__}:{plain!r}"
    return f"Fraction:{plain}" if type(plain) is Fraction else f"{type(number).__name__}:{number!r}"


def plain_number(number: Any) -> Any:
    """An int, else a float, else a fraction, whichever is the first to equal the number.

    A complex number with an imaginary part is given back as it is.
    """
    if isinstance(number, numbers.Complex) and number.imag == 0:
        number = number.real
    try:
        exact = Fraction(*number.as_integer_ratio())
    except (AttributeError, OverflowError, ValueError):  # complex, infinite, NaN
        try:
            return float(number)
        except (TypeError, ValueError):
            return number
    if exact.denominator == 1:
        return exact.numerator
    try:
        if Fraction(float(exact)) == exact:
            return float(exact)
    except OverflowError:
        pass
    return exact


def generator(seed: int, *labels: str) -> np.random.Generator:
    """A random generator for ``(seed, labels)``, the same in every process.

    Examples
    --------
    >>> generator(1, "heads", "str:'x'").integers(1000) == generator(
    ...     1, "heads", "str:'x'"
    ... ).integers(1000)
    np.True_
    """
    digest = _digest("\x1f".join([str(seed), *labels]))
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


@functools.lru_cache(maxsize=4096)
def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def name_seeds(names: Iterable[Hashable]) -> NDArray[np.uint64]:
    """Two numbers for the canonical name of each [n, 2], never 0, the same in every process."""
    digests = b"".join(_digest(canonical_name(name)) for name in names)
    return np.frombuffer(digests, "<u8").astype(np.uint64).reshape(-1, 2) | np.uint64(1)


def mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The bits of each number, scattered over all of it.

    The finaliser of SplitMix64 (Steele, Lea, Flood 2014, *Fast splittable pseudorandom number
    generators*), one to one.

    >>> mixed(np.array([0, 1, 2], np.uint64)) % 1000
    array([  0, 789, 730], dtype=uint64)
    """
    z = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


@functools.lru_cache(maxsize=1024)
def _cached_normal(size: int, seed: int, *labels: str) -> NDArray[np.float64]:
    numbers = generator(seed, *labels).normal(size=size)
    numbers.setflags(write=False)
    return numbers


def normal(size: int, seed: int, *labels: str) -> NDArray[np.float64]:
    """Standard normal numbers for ``(seed, labels)``, the same in every process; do not change.

    Models with the same seed and names, of which there may be one per key of a stream, draw the
    same ones again and again.
    """
    if size > 1024:
        return generator(seed, *labels).normal(size=size)
    return _cached_normal(size, seed, *labels)


class _LabelLag:
    """First part of the names of label lags: equal to nothing that a user may name a feature."""

    def __repr__(self) -> str:
        return "lag"

    def __reduce__(self) -> str:
        return "LABEL_LAG"


LABEL_LAG = _LabelLag()


def to_text(name: Hashable) -> str:
    """A name of a feature or class as JSON, for what is saved.

    A string, bool, int, float or None is itself; of anything else an object of its kind and what
    it is made of: ``{"tuple": [...]}``, ``{"frozenset": [...]}``, ``{"bytes": hex}``, ``{"date"``,
    ``"datetime"``, ``"time": ISO 8601}``, ``{"timedelta": [days, seconds, microseconds]}``,
    ``{"Decimal"``, ``"Fraction"``, ``"float"``, ``"complex": text}``. What is equal as a key of a
    dict, such as a string of NumPy, becomes the plain one.

    Raises
    ------
    TypeError
        If there is no plain value that equals the name.

    Examples
    --------
    >>> to_text("load"), to_text(("a", 1)), to_text(b"x")
    ('"load"', '{"tuple":["a",1]}', '{"bytes":"78"}')
    >>> from_text(to_text(("a", 1)))
    ('a', 1)
    """
    if type(name) is str and name.isascii():  # most are, and there is nothing to try
        return json.dumps(name)
    try:
        text = json.dumps(_plain(name), separators=(",", ":"), allow_nan=False)
        back = from_text(text)
        same = (back == name and hash(back) == hash(name)) or (name != name and back != back)
        if same and canonical_name(back) == canonical_name(name):
            return text
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass
    raise TypeError(
        f"the name {name!r:.80}, a {type(name).__name__}, cannot be saved as plain data: use a "
        "string, number, bool, bytes, date, or a tuple of these"
    )


def _plain(name: Any) -> Any:
    if isinstance(name, np.generic):
        name = name.item()
    if isinstance(name, str):
        return str.__str__(name)
    if name is None or isinstance(name, bool):
        return name
    if isinstance(name, int):
        return int(name)
    if isinstance(name, float):
        return float(name) if math.isfinite(name) else {"float": repr(float(name))}
    if name is LABEL_LAG:
        return {"label": "lag"}
    if isinstance(name, tuple):
        return {"tuple": [_plain(item) for item in name]}
    if isinstance(name, frozenset):
        return {"frozenset": [_plain(item) for item in sorted(name, key=canonical_name)]}
    if isinstance(name, bytes):
        return {"bytes": bytes(name).hex()}
    if isinstance(name, dt.timedelta):
        return {"timedelta": [name.days, name.seconds, name.microseconds]}
    for kind in (dt.datetime, dt.date, dt.time):
        if isinstance(name, kind):
            return {kind.__name__: name.isoformat()}
    for other in (Decimal, Fraction, complex):
        if isinstance(name, other):
            return {other.__name__: str(name)}
    raise TypeError(name)


_FROM_PLAIN: dict[str, Callable[[Any], Any]] = {
    "float": lambda text: math.nan if text == "nan" else float(text),
    "label": lambda _: LABEL_LAG,
    "tuple": lambda items: tuple(map(_name, items)),
    "frozenset": lambda items: frozenset(map(_name, items)),
    "bytes": bytes.fromhex,
    "timedelta": lambda parts: dt.timedelta(*parts),
    "datetime": dt.datetime.fromisoformat,
    "date": dt.date.fromisoformat,
    "time": dt.time.fromisoformat,
    "Decimal": Decimal,
    "Fraction": Fraction,
    "complex": complex,
}


def _name(plain: Any) -> Any:
    if not isinstance(plain, dict):
        hash(plain)
        return plain
    ((kind, content),) = plain.items()
    return _FROM_PLAIN[kind](content)


def from_text(text: str) -> Any:
    """The name that ``to_text`` turned into JSON; ``ValueError`` if it is none."""
    try:
        return _name(json.loads(text))
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{text[:80]!r} is no name: {error}") from None
