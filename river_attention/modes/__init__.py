"""Attention modes: what a token does to the state, one small class each.

A mode is data for the one recurrence of :mod:`river_attention.functional`: it names the
projections it needs and turns them into decay, key, value and query.
"""

from ._base import Mode, Projection
from .delta import KDA, RWKV7, DeltaNet, DeltaProduct, GatedDeltaNet
from .diagonal import LRU, Hawk
from .gated import GLA, HGRN2, MLSTM, RWKV, LinearAttention, RetNet
from .log_linear import LogLinear

NAMED: dict[str, Mode] = {
    "retnet": RetNet(),
    "hawk": Hawk(),
    "gla": GLA(gate="scalar"),
    "gla_vector": GLA(gate="vector"),
    "delta_net": DeltaNet(),
    "gated_delta_net": GatedDeltaNet(),
    "rwkv": RWKV(),
    "mlstm": MLSTM(),
    "delta_product": DeltaProduct(),
    "rwkv7": RWKV7(),
    "hgrn2": HGRN2(),
    "log_linear": LogLinear(),
    "kda": KDA(),
    "linear": LinearAttention(),
    "lru": LRU(),
}
"""Every mode that can be given by name."""

CLASSES: dict[str, type[Mode]] = {type(mode).__name__: type(mode) for mode in NAMED.values()}
"""The classes of the modes by their names."""


def resolve(mode: str | Mode) -> Mode:
    """The mode object for a name; a mode object is returned as it is.

    Raises
    ------
    ValueError
        If there is no mode of that name.

    Examples
    --------
    >>> resolve("gla_vector")
    GLA(gate='vector', read='after')
    """
    if isinstance(mode, Mode):
        return mode
    if not isinstance(mode, str) or mode not in NAMED:
        raise ValueError(
            f"mode={mode!r}: must be a mode object or one of {', '.join(map(repr, NAMED))}"
        )
    return NAMED[mode]


__all__ = [
    "CLASSES",
    "GLA",
    "HGRN2",
    "KDA",
    "LRU",
    "MLSTM",
    "NAMED",
    "RWKV",
    "RWKV7",
    "DeltaNet",
    "DeltaProduct",
    "GatedDeltaNet",
    "Hawk",
    "LinearAttention",
    "LogLinear",
    "Mode",
    "Projection",
    "RetNet",
    "resolve",
]
