"""Checks and conversions that all functions share; every error names the argument."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


def to_floats(**arguments: ArrayLike | None) -> list[Any]:
    """The arguments as arrays: float32 if every one of them is, else float64; None stays None."""
    arrays = {
        name: None if value is None else np.asarray(value) for name, value in arguments.items()
    }
    given = {name: array for name, array in arrays.items() if array is not None}
    for name, array in given.items():
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{name} has dtype {array.dtype}: expected real numbers")
    single = all(array.dtype == np.float32 for array in given.values())
    dtype = np.float32 if single else np.float64
    return [None if array is None else array.astype(dtype, copy=False) for array in arrays.values()]


def require_shape(name: str, array: Array, expected: str, *shapes: tuple[int, ...]) -> None:
    """Raise unless ``array`` has one of ``shapes``; ``expected`` says them in words."""
    if array.shape not in shapes:
        sizes = " or ".join(map(str, shapes))
        raise ValueError(f"{name} has shape {array.shape}: expected {expected} = {sizes}")


def require_integer(name: str, value: Any, low: int | None = 1) -> None:
    """Raise unless ``value`` is an integer, of at least ``low``."""
    if not isinstance(value, (int, np.integer)) or (low is not None and value < low):
        least = "" if low is None else f" >= {low}"
        raise ValueError(f"{name}={value!r}: must be an integer{least}")


def check_sequence(**arrays: Array) -> tuple[int, int, int, int]:
    """Check queries, keys and values given by name, in this order, keys or values may be left out.

    Returns T, H, d_k, d_v, where d_v is the last axis of the last array.
    """
    names = list(arrays)
    for name in (names[0], names[-1]):
        if arrays[name].ndim != 3:
            raise ValueError(
                f"{name} has shape {arrays[name].shape}: expected [T, H, d], time first"
            )
    n_steps, n_heads, d_key = arrays[names[0]].shape
    d_value = arrays[names[-1]].shape[2]
    for name in names[1:-1]:
        require_shape(name, arrays[name], f"[T, H, d_k] as {names[0]}", (n_steps, n_heads, d_key))
    require_shape(
        names[-1],
        arrays[names[-1]],
        f"[T, H, d_v] with T and H of {names[0]}",
        (n_steps, n_heads, d_value),
    )
    return n_steps, n_heads, d_key, d_value


def require_at_most(name: str, array: Array, limit: float, remedy: str) -> None:
    """Raise unless no element of ``array`` is above ``limit`` (NaN is)."""
    if array.size and not array.max() <= limit:
        raise ValueError(
            f"{name} has a largest value of {array.max()}: at most {limit:g}; {remedy}"
        )


def require_between(name: str, array: Array, low: float, high: float) -> None:
    """Raise unless all elements of ``array`` lie in [low, high]."""
    if array.size and not (array.min() >= low and array.max() <= high):
        raise ValueError(
            f"{name} lies in [{array.min()}, {array.max()}]: expected [{low:g}, {high:g}]"
        )


def initial(name: str, state: Array | None, shape: tuple[int, ...], dtype: Any) -> Array:
    """The given state after a check of its shape, or zeros."""
    if state is None:
        return np.zeros(shape, dtype)
    require_shape(name, state, "the shape of the state", shape)
    return state.copy()  # without a token it is the final state


def state_parts(state: Any, *names: str) -> tuple[Any, ...]:
    """The parts of an initial state, Nones for None; an error names what they should be."""
    if state is None:
        return (None,) * len(names)
    if not isinstance(state, (tuple, list)) or len(state) != len(names):
        raise ValueError(f"initial_state must be a tuple of {len(names)}: ({', '.join(names)})")
    return tuple(state)


def scale_of(q: Array, scale: float | None) -> Any:
    """Factor on the queries in their own precision: ``d_k ** -0.5`` for None."""
    return q.dtype.type(q.shape[-1] ** -0.5 if scale is None else scale)


def row(array: Array) -> Array:
    """[..., d] to rows [..., 1, d]."""
    return array[..., None, :]


def column(array: Array) -> Array:
    """[..., d] to columns [..., d, 1]."""
    return array[..., None]
