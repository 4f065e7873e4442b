"""Objects to plain data that JSON can hold, and back."""

from __future__ import annotations

import functools
import importlib
import inspect
from typing import Any, Self

import numpy as np
from river import base

from .modes import CLASSES, Mode


def to_plain(value: Any) -> Any:
    """A parameter as data that JSON can hold: an object as a dict of its class and parameters.

    Objects are modes and, by their full name, objects of river such as drift detectors.

    Examples
    --------
    >>> from river_attention.modes import LogLinear, RetNet
    >>> to_plain(LogLinear(inner=RetNet(gamma=(0.9, 0.99)), max_levels=8))["inner"]["gamma"]
    [0.9, 0.99]
    """
    if isinstance(value, base.Base):
        kind = type(value)
        name = kind.__name__
        if not isinstance(value, Mode):
            name = f"{kind.__module__}.{kind.__qualname__}"
            if not name.startswith("river."):
                raise TypeError(
                    f"{value!r} is no object of river or of this package: not plain data"
                )
        params = inspect.signature(kind).parameters
        return {"class": name} | {key: to_plain(getattr(value, key)) for key in params}
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


@functools.cache
def _arguments(cls: type) -> tuple[str, ...]:
    """The names of the constructor's arguments; to look them up takes as long as a step."""
    return tuple(inspect.signature(cls).parameters)


class ConfigMixin:
    """Constructor arguments to a dict that JSON can hold, and back."""

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments, mode objects included, as plain data."""
        kind: Any = type(self)
        return {name: to_plain(getattr(self, name)) for name in _arguments(kind)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """An estimator from what ``get_config`` gave; what is left out takes its default.

        Raises
        ------
        ValueError
            If there is a key that is no argument of the constructor.
        """
        kind: Any = cls
        allowed = _arguments(kind)
        unknown = [key for key in config if key not in allowed]
        if unknown:
            raise ValueError(
                f"unknown key {unknown[0]!r} for {cls.__name__}: allowed are {', '.join(allowed)}"
            )
        return cls(**{key: from_plain(value) for key, value in config.items()})
