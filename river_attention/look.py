r"""What a running model holds, as numbers: for plots, reports, and a look of one's own.

The norm of a state of linear attention is that of its matrix, head by head (Frobenius); of a unit
of the bank :math:`|s_i|`; of a spiking neuron that of its slots. A state that decays with the time
constant τ holds about the last τ steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .layers import MemoryBank, MultiHeadLinearAttention, Retrieval
from .spiking.population import Population

__all__ = ["StateNorm", "looked_back", "state_norms"]

Array = NDArray[np.float64]


class StateNorm(NamedTuple):
    """How much one part of a memory holds.

    Attributes
    ----------
    part
        Such as "head 1", "bank 3", "neuron 2".
    time_constant
        For how many steps it remembers, at rest; None where a mode does not decay by itself.
    norm
        The norm of its state.
    """

    part: str
    time_constant: float | None
    norm: float


def _parts(memory: Any, state: Any) -> tuple[str, Array | None, Array] | None:
    """What the parts of a memory are called, their time constants, their norms."""
    if isinstance(memory, MultiHeadLinearAttention):
        return "head", memory.time_constants, memory.mode.norms(state)
    if isinstance(memory, MemoryBank):
        return "bank", -1.0 / np.log(np.abs(memory.poles)), np.abs(state)
    if isinstance(memory, Population):
        with np.errstate(divide="ignore"):
            steps = np.abs(1.0 / np.log(memory.decays))
        return "neuron", steps, np.linalg.norm(state.slots, axis=1)
    return None


def state_norms(model: Any) -> list[StateNorm]:
    """How much each head, unit of the bank or neuron of an estimator holds.

    Empty for models without such a memory: those over a window show ``attention_weights_``.

    Examples
    --------
    >>> from river_attention import StreamingAttentionRegressor
    >>> from river_attention.look import state_norms
    >>> model = StreamingAttentionRegressor(mode="gla", n_heads=2, memory=1)
    >>> for t in range(20):
    ...     model.learn_one({"a": t % 3}, t % 5)
    >>> for part, time_constant, norm in state_norms(model):
    ...     print(part, round(time_constant), norm > 0.0)
    head 1 1 True
    head 2 64 True
    bank 1 1 True
    """
    features = features_of(model)
    found = []
    for name, memory in features.memories.items():
        parts = _parts(memory, features.states[name])
        if parts is not None:
            called, taus, norms = parts
            found += [
                StateNorm(
                    f"{called} {i + 1}", None if taus is None else float(taus[i]), float(norm)
                )
                for i, norm in enumerate(norms)
            ]
    return found


def looked_back(model: Any, x: Mapping[Any, Any] | None = None) -> Array:
    """How much retrieval attends to each stored step [n], the last one first; sums to 1.

    Parameters
    ----------
    model
        A regressor, classifier or transformer with ``window > 0``.
    x
        Features that might come next; None for what the last labelled step looked back to.

    Returns
    -------
    Shares [n]; nothing ([0]) while less than five steps are stored.

    Raises
    ------
    ValueError
        If the model has no retrieval over one label.

    Examples
    --------
    A target that repeats after three steps looks back to every third:

    >>> from river_attention import StreamingAttentionRegressor
    >>> from river_attention.look import looked_back
    >>> model = StreamingAttentionRegressor()
    >>> for t in range(60):
    ...     model.learn_one({}, [0.0, 1.0, 5.0][t % 3])
    >>> sorted(looked_back(model, {}).argsort()[-4:] + 1) == [3, 6, 9, 12]
    True
    """
    model = getattr(model, "regressor_", model)
    features = features_of(model)
    retrieval = features.memories.get("retrieved")
    if not isinstance(retrieval, Retrieval):
        raise ValueError(f"{type(model).__name__}: has no retrieval; set window= to 1 or more")
    state = features.states["retrieved"]
    if x is None:
        found = retrieval.strongest_of_last(state, k=retrieval.window)
    else:
        found = retrieval.strongest(model._step(x).evidence["situation"], state, k=retrieval.window)
    shares = np.zeros(max((ago for ago, _ in found), default=0))
    for ago, share in found:
        shares[ago - 1] = share
    return shares


def features_of(model: Any) -> Any:
    """Encoder, memories and states of an estimator; of a forecaster those of its regressor.

    Raises
    ------
    ValueError
        If it has none.
    """
    features = getattr(getattr(model, "regressor_", model), "features_", None)
    if features is None:
        raise ValueError(f"{type(model).__name__}: is no estimator with a memory")
    return features
