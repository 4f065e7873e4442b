"""What a mode has to say about itself."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import base
from scipy.special import logit

from .._validation import check_bool, check_choice
from ..functional.recurrence import linear_step

Array = NDArray[Any]
Rest = Callable[[NDArray[np.float64]], Any]
"""From the time constants of the heads [H, 1, 1] to a value at rest that broadcasts to a block."""

STEEPNESS = 0.5
"""Gain of the gates: how much the input moves them away from the time constant of their head."""


class Projection(NamedTuple):
    """One block of the fused projection that a layer makes of its input.

    Attributes
    ----------
    name
        What it is, in the mode's equation.
    shape
        Shape of one head's block, as the recurrence wants it: a key is a column (d_k, 1), a value
        a row (1, d_v), a gate (1, 1) or (d_k, 1).
    bias
        "zero"; "normal": drawn from N(0, 1); or a function of the time constants of the heads.
    gain
        Factor on the weights, which are drawn from N(0, 1/d); 0 makes a constant of the bias.
    """

    name: str
    shape: tuple[int, int]
    bias: Literal["zero", "normal"] | Rest = "zero"
    gain: float = 1.0


def constant(name: str, shape: tuple[int, int], value: Literal["normal"] | Rest) -> Projection:
    """A block that does not depend on the input."""
    return Projection(name, shape, value, gain=0.0)


def decay_at_rest(tau: NDArray[np.float64]) -> NDArray[np.float64]:
    """Decay exp(-1/τ) of a time constant τ in steps."""
    return np.exp(-1.0 / tau)


def gate(name: str, shape: tuple[int, int]) -> Projection:
    """A sigmoid gate that decays at rest with the time constant of its head."""
    return Projection(name, shape, lambda tau: logit(decay_at_rest(tau)), STEEPNESS)


def normalized(rows: Array) -> Array:
    """Rows [..., d] of length one (of zero length where they were zero)."""
    length = np.sqrt((rows * rows).sum(axis=-1, keepdims=True))
    return rows / (length + 1e-12)


class Mode(base.Base, abc.ABC):
    """An attention mode: projections, gates, recurrence. Holds hyper-parameters, no state.

    A new mode is a subclass that says which blocks it needs of the input (``projections``), what
    they mean to the recurrence (``token``) and, where it is not the common one, how a token changes
    the state (``init_state``, ``step``); and a row in ``modes.NAMED``.

    Attributes
    ----------
    shortest_time_constant
        Time constants of the heads are spread from here to 64 steps; above 1 for a mode whose
        decay has a floor.
    """

    shortest_time_constant: float = 1.0

    def __repr__(self) -> str:
        params = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._get_params())
        return f"{type(self).__name__}({params})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def check(self, n_heads: int, d_key: int, d_value: int) -> None:
        """Raise ``ValueError`` if the mode cannot work with these dimensions."""

    @abc.abstractmethod
    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        """The blocks of the input projection, in the order in which ``token`` takes them."""

    @abc.abstractmethod
    def token(self, *blocks: Array) -> tuple[Array, ...]:
        """Projected blocks ([..., H, *shape] each) to the arguments of ``step``."""

    def init_state(self, n_heads: int, d_key: int, d_value: int) -> Array:
        """The state before the first token, one contiguous array of zeros."""
        return np.zeros((n_heads, d_key, d_value))

    def step(self, state: Array, *token: Any) -> tuple[Array, Array]:
        """One token: the new state, and the read [H, 1, d_v]."""
        return linear_step(state, *token)

    def norms(self, state: Array) -> NDArray[np.float64]:
        """How much each head holds [H]: the norm of its part of the state."""
        return np.sqrt((np.abs(state) ** 2).sum(axis=(-2, -1)))


class ReadingMode(Mode):
    """A mode whose token (decay, k, v, q, ...) may read before or after it writes."""

    read: str

    update: Callable[..., tuple[Array, Array]] = staticmethod(linear_step)

    def step(self, state: Array, *token: Any) -> tuple[Array, Array]:
        new, read = self.update(state, *token)
        if self.read == "before":
            read = np.matmul(token[3], state)
        return new, read


def check_read(read: Any) -> str:
    """Return ``read`` if it is "after" or "before"."""
    return check_choice("read", read, ("after", "before"))


class DeltaMode(ReadingMode):
    """A mode with unit keys and queries; ``tied`` makes them one projection."""

    def __init__(self, tied: bool, read: str) -> None:
        self.tied = check_bool("tied", tied)
        self.read = check_read(read)

    def _keys(self, d_key: int) -> Projection:
        """Rows: the key, and the query unless they are tied."""
        return Projection("k" if self.tied else "k, q", (1 if self.tied else 2, d_key), "normal")

    def _key_and_query(self, block: Array) -> tuple[Array, Array]:
        """Unit key and query, both as rows [..., H, 1, d_k]."""
        rows = normalized(block)
        return rows[..., :1, :], rows[..., -1:, :]
