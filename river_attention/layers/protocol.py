"""What every kind of memory can do, whatever it keeps.

A memory holds weights and no state: whoever owns the state decides when time advances. ``propose``
answers "if x came next" and leaves the state as it is; ``commit`` makes that step the past and may
work in place; ``branch`` gives a copy to look ahead with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Memory(Protocol):
    """A kind of memory over vectors.

    Attributes
    ----------
    view
        What it sees of a step: "token" (target lags and standardised input) or "situation" (the
        last step of the target and the standardised input).
    learns
        Whether it wants labels.
    """

    view: str
    learns: bool

    @property
    def n_outputs(self) -> int:
        """Length of a read."""
        ...

    def add_inputs(self, names: Sequence[str]) -> None:
        """Append an input for each name."""
        ...

    def init_state(self) -> Any:
        """The state before the first step."""
        ...

    def propose(self, x: Any, state: Any) -> tuple[Any, Any]:
        """If x came next: the read, and a proposal for ``commit``. Changes nothing."""
        ...

    def commit(self, state: Any, proposal: Any) -> Any:
        """The state after the step of a proposal; the old one must not be used any more."""
        ...

    def branch(self, state: Any) -> Any:
        """A copy that may advance while the original stays as it is."""
        ...

    def learn(self, state: Any, x: Any, label: float) -> Any:
        """The state after a label, in units of the readout, for an x seen now or earlier."""
        ...

    def forward(self, X: Any, state: Any) -> tuple[Any, Any]:
        """A sequence: inputs and state to reads and final state; ``state`` stays as it is."""
        ...


class Recurrent:
    """Part of memories whose state is one array, made anew by every step and blind to labels.

    The new state is the proposal, and nobody ever writes into an old one.
    """

    view = "token"
    learns = False

    def commit(self, state: Any, proposal: Any) -> Any:
        """The state after the step of a proposal."""
        return proposal

    def branch(self, state: Any) -> Any:
        """The state itself: it is never changed, only replaced."""
        return state

    def learn(self, state: Any, x: Any, label: float) -> Any:
        """The state as it is."""
        return state
