"""Attention modes: what a token does to the state, one small class each.

A mode is data for the one recurrence of :mod:`river_attention.functional`: it names the
projections it needs and turns them into decay, key, value and query.
"""

import importlib
import inspect
from typing import Any

import numpy as np
from river import base

from ._base import Mode, Projection
from .additive import GLA, HGRN2, MLSTM, RWKV, LinearAttention, RetNet
from .delta import KDA, RWKV7, DeltaNet, DeltaProduct, GatedDeltaNet
from .diagonal import LRU, Hawk
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


def to_plain(value: Any) -> Any:
    """A parameter as data that JSON can hold: an object as a dict of its class and parameters.

    Objects are modes and, by their full name, objects of river such as drift detectors.

    Examples
    --------
    >>> to_plain(LogLinear(inner=RetNet(gamma=(0.9, 0.99)), max_levels=8))["inner"]["gamma"]
    [0.9, 0.99]
    """
    if isinstance(value, Mode):
        names = inspect.signature(type(value)).parameters
        return {"class": type(value).__name__} | {
            name: to_plain(getattr(value, name)) for name in names
        }
    if isinstance(value, base.Base):
        kind = type(value)
        if not kind.__module__.startswith("river."):
            raise TypeError(f"{value!r} is no object of river or of this package: not plain data")
        params = {name: to_plain(item) for name, item in value._get_params().items()}
        return {"class": f"{kind.__module__}.{kind.__qualname__}"} | params
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def from_plain(value: Any) -> Any:
    """The parameter that ``to_plain`` turned into data.

    Raises
    ------
    ValueError
        If an object has an unknown class or parameter.

    Examples
    --------
    >>> from_plain({"class": "GLA", "gate": "vector"})
    GLA(gate='vector', read='after')
    """
    if isinstance(value, list):
        return tuple(from_plain(item) for item in value)
    if not isinstance(value, dict):
        return value
    config = dict(value)
    name = config.pop("class", None)
    kind = _class_of(name)
    allowed = inspect.signature(kind).parameters
    for key in config:
        if key not in allowed:
            raise ValueError(
                f"unknown key {key!r} for {name}: allowed are {', '.join(allowed) or 'none'}"
            )
    return kind(**{key: from_plain(item) for key, item in config.items()})


def _class_of(name: Any) -> Any:
    """A mode by the name of its class, or a class of river by its full name."""
    if isinstance(name, str) and name in CLASSES:
        return CLASSES[name]
    if isinstance(name, str) and name.startswith("river."):
        module, _, attribute = name.rpartition(".")
        try:
            kind = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError):
            kind = None
        if inspect.isclass(kind) and issubclass(kind, base.Base):
            return kind
    raise ValueError(
        f"class={name!r}: must be the full name of a class of river or one of {', '.join(CLASSES)}"
    )


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
    "from_plain",
    "resolve",
    "to_plain",
]
