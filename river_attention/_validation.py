"""Checks of hyper-parameters and labels: one place, one wording.

Every error names the parameter, the value it got and what is allowed.
"""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

import numpy as np

LIMIT = 1e150
"""Finite numbers beyond ±LIMIT are clipped there: their squares still fit in a float64."""


LARGEST_SIZE = 1_000_000
"""The largest number of anything that is counted: steps, heads, units, lags."""

LARGEST_ARRAY = 10_000_000
"""The largest number of weights or state entries of one memory."""

MOST_FEATURES = 20_000
"""The most features of a readout, whose cost and memory grow with their square."""


def is_absent(value: Any) -> bool:
    """Whether a value is None, or what stands for it in tables."""
    return value is None or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant")


def is_missing(value: Any) -> bool:
    """Whether a value is absent, NaN or NaT."""
    if type(value) is float:
        return value != value
    if is_absent(value):
        return True
    try:
        return isinstance(value, (numbers.Number, np.generic)) and bool(value != value)
    except ArithmeticError:  # a signalling NaN
        return True


def check_int(name: str, value: Any, minimum: int) -> int:
    """Return ``value`` as an int between ``minimum`` and a million, or raise ``ValueError``."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not minimum <= number <= LARGEST_SIZE:
        raise ValueError(
            f"{name}={shortened(value)}: must be an integer of at least {minimum} "
            f"and at most {LARGEST_SIZE}"
        )
    return number


def check_product(limit: int, what: str, n: int, **sizes: Any) -> None:
    """Raise ``ValueError`` if sizes, each fine alone, make more than ``limit`` of something."""
    if n > limit:
        named = ", ".join(f"{name}={value!r}" for name, value in sizes.items())
        raise ValueError(f"{named}: make {n} {what}, more than {limit}; choose smaller sizes")


def shortened(value: Any) -> str:
    """The repr of a value, cut where it is endless."""
    try:
        text = repr(value)
    except ValueError:  # an int with more digits than Python will print
        return "a number beyond all bounds"
    return text if len(text) <= 1000 else f"{text[:40]}...{text[-20:]}"


def check_number(
    name: str,
    value: Any,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
) -> float:
    """Return ``value`` as a finite float within the bounds, or raise ``ValueError``."""
    ok = isinstance(value, numbers.Real) and not isinstance(value, bool)
    try:
        number = float(value) if ok else math.nan
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and above < number < below and at_least <= number <= at_most):
        bounds = []
        if above > -math.inf:
            bounds.append(f"> {above:g}")
        if at_least > -math.inf:
            bounds.append(f">= {at_least:g}")
        if at_most < math.inf:
            bounds.append(f"<= {at_most:g}")
        if below < math.inf:
            bounds.append(f"< {below:g}")
        allowed = " and ".join(bounds)
        raise ValueError(f"{name}={shortened(value)}: must be a finite number {allowed}".rstrip())
    return number


def check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``allowed``, or raise ``ValueError``."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name}={value!r}: must be one of {', '.join(map(repr, allowed))}")
    return value


def check_bool(name: str, value: Any) -> bool:
    """Return ``value`` if it is a bool, or raise ``ValueError``."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}={value!r}: must be True or False")
    return value


def check_seed(value: Any) -> int | None:
    """Return ``value`` if it is an integer or None, or raise ``ValueError``."""
    if value is None:
        return None
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"seed={value!r}: must be an integer or None") from None


def check_weight(w: Any) -> float:
    """Return a sample weight as a float: finite and not negative, or ``ValueError``."""
    if type(w) is float and 0.0 <= w < math.inf:
        return w
    try:
        number = math.nan if isinstance(w, (str, bytes)) else float(w)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0.0 <= number < math.inf:
        raise ValueError(f"w={w!r}: a sample weight must be a finite number >= 0")
    return number


def check_target(y: Any) -> float:
    """Return a regression target as a float clipped at ±1e150.

    Raises
    ------
    ValueError
        If ``y`` is None, NaN, infinite or beyond the range of a float.
    TypeError
        If ``y`` is not a number.
    """
    if type(y) is float:
        number = y
    elif is_absent(y):
        number = math.nan
    elif (
        isinstance(y, (str, bytes))
        or not hasattr(y, "__float__")
        or (isinstance(y, numbers.Complex) and not isinstance(y, numbers.Real))
    ):
        raise TypeError(f"y={y!r} is a {type(y).__name__}: a regression target must be a number")
    else:
        try:
            number = float(y)
        except (OverflowError, ValueError):
            number = math.inf
    if -LIMIT <= number <= LIMIT:
        return number
    if not math.isfinite(number):
        raise ValueError(
            f"y={y!r}: a target must be a finite number; "
            "call advance_one(x) to let time pass without a label"
        )
    return math.copysign(LIMIT, number)
