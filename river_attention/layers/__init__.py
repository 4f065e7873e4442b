"""Layers with an explicit state: ``init_state() / step(x, state) / forward(X, state)``.

Retrieval, whose state is a store of labelled steps, has ``read`` and ``store`` instead of ``step``.
A layer holds weights and no state: ``step`` returns the new state and leaves the old one readable
as it was, so that whoever owns the state decides when time advances.
"""

from typing import Any, Protocol

from .linear_attention import MultiHeadLinearAttention
from .memory_bank import MemoryBank
from .retrieval import Retrieval


class Layer(Protocol):
    """A kind of memory over vectors."""

    @property
    def n_outputs(self) -> int:
        """Length of a read."""
        ...

    def add_inputs(self, names: list[str]) -> None:
        """Append an input for each name."""
        ...

    def init_state(self) -> Any:
        """The state before the first step."""
        ...

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """One step: input and state to read and new state."""
        ...

    def forward(self, X: Any, state: Any) -> tuple[Any, Any]:
        """A sequence: inputs and state to reads and final state."""
        ...


__all__ = ["Layer", "MemoryBank", "MultiHeadLinearAttention", "Retrieval"]
