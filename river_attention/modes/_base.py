"""What a mode has to say about itself."""

from __future__ import annotations

import abc
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import base

Array = NDArray[np.float64]


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
        "zero"; "normal": drawn from N(0, 1); "time_constant": logit(exp(-1/tau)) with tau the
        time constant of the head, so that a sigmoid of it is the decay of that head at rest.
    gain
        Factor on the weights, which are drawn from N(0, 1/d).
    """

    name: str
    shape: tuple[int, int]
    bias: Literal["zero", "normal", "time_constant"] = "zero"
    gain: float = 1.0


class Mode(base.Base, abc.ABC):
    """An attention mode: projections, gates, recurrence. Holds hyper-parameters, no state."""

    def __repr__(self) -> str:
        params = ", ".join(f"{name}={value!r}" for name, value in self._get_params().items())
        return f"{type(self).__name__}({params})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    @abc.abstractmethod
    def projections(self, d_key: int, d_value: int) -> tuple[Projection, ...]:
        """The blocks of the input projection, in the order in which ``token`` takes them."""

    @abc.abstractmethod
    def token(self, *blocks: Array) -> tuple[Array, ...]:
        """Projected blocks ([..., H, *shape] each) to the arguments of ``step``."""

    @abc.abstractmethod
    def state_shape(self, n_heads: int, d_key: int, d_value: int) -> tuple[int, ...]:
        """Shape of the state, one contiguous array."""

    @abc.abstractmethod
    def step(self, state: Array, *token: Any) -> tuple[Array, Array]:
        """One token: the new state, and the read [H, 1, d_v]."""
