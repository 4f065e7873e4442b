"""A model in C and the same on NumPy, and whether they agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from river_attention import backend
from river_attention.modes import GLA


class Halving(GLA):
    """A mode of a user: no twin knows it."""

    def token(self, *blocks: Any) -> Any:
        decay, *rest = super().token(*blocks)
        return 0.5 * decay, *rest


def on_numpy(make: Callable[[], Any]) -> Any:
    """What is made while there is no compiled core."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "_core", None)
        return make()


def pair(cls: type, **parameters: Any) -> tuple[Any, Any]:
    """A model that runs in C, and one that runs on NumPy."""
    compiled, reference = cls(**parameters), on_numpy(lambda: cls(**parameters))
    if hasattr(compiled, "_twin"):  # that of a forecaster is its regressor's
        assert compiled._twin is not None
        assert reference._twin is None
    return compiled, reference


def assert_alike(compiled: Any, reference: Any, tolerance: float) -> None:
    """The states agree, entry by entry, relative to the largest value of an entry."""
    ours, theirs = compiled.get_state(), reference.get_state()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        found = ours[name]
        assert type(found) is type(value), name
        if isinstance(value, (float, np.ndarray)):
            known = np.abs(value)[np.isfinite(value)]
            size = known.max(initial=1e-9) if np.size(value) else 1.0
            np.testing.assert_allclose(
                found, value, rtol=0, atol=tolerance * float(size), err_msg=name
            )
        else:
            assert found == value, name


def stream(n: int, seed: int = 0, gaps: bool = True) -> Iterator[tuple[dict[str, Any], float]]:
    """A seasonal target that remembers its input, with gaps, level shifts and accidents."""
    rng = np.random.default_rng(seed)
    level, past = 0.0, np.zeros(4)
    for t in range(n):
        x = rng.normal(size=4).round(3)
        if t % 400 == 399:
            level += 50.0 * rng.normal()
        y = level + 3 * math.sin(t / 7) + x[0] + past[1] * past[2] + 0.1 * rng.normal()
        past = x
        row: dict[str, Any] = dict(zip("abcd", x.tolist(), strict=True))
        if gaps and t % 11 == 5:
            row["b"] = None
        if gaps and t % 13 == 5:
            del row["c"]
        if gaps and t == 200:
            row["a"] = 1e9
        yield row, float(y)
