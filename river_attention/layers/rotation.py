r"""Rotations of queries and keys by their position, as layers need them.

.. math:: y = x \odot C_p + x_\sigma \odot S_p

with the pairs of :func:`river_attention.functional.apply_rope` swapped by σ, and C and S [d] made
of cosines and sines of position p, 1 and 0 where nothing turns. A stream asks for one position
after the other, so those of sixteen are made at once. Angles are float64 whatever the layer is.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..functional import apply_rope, rope_frequencies
from ..functional.positions import turns

Array = NDArray[Any]

_BLOCK = 16
_SCALING = tuple(inspect.signature(rope_frequencies).parameters)[2:]


class Rotation:
    """The rotation of vectors of length d.

    Parameters
    ----------
    d, dim
        Length of a vector, and how many of its channels turn; an even number of at most d.
    base, scaling
        Of ``rope_frequencies``, ``scaling`` all its other arguments.
    interleaved
        Which channels are pairs.
    dtype
        Of the vectors.

    Examples
    --------
    >>> rotation = Rotation(4, 4, 10000.0)
    >>> x = np.array([[5.0, 6.0, 7.0, 8.0]])
    >>> rotation.step(x, 1).round(4), rotation.sequence(x[None], np.array([1.0])).round(4)
    (array([[-3.1888,  5.9197,  7.9895,  8.0596]]), array([[[-3.1888,  5.9197,  7.9895,  8.0596]]]))
    """

    def __init__(
        self,
        d: int,
        dim: int,
        base: float,
        scaling: Mapping[str, Any] | None = None,
        interleaved: bool = False,
        dtype: str = "float64",
    ) -> None:
        if dim > d:
            raise ValueError(f"rope_dim={dim}: at most head_dim={d}")
        self.d, self.interleaved, self.dtype = d, interleaved, dtype
        for name in scaling or {}:
            if name not in _SCALING:
                raise ValueError(f"rope_scaling has {name!r}: allowed are {', '.join(_SCALING)}")
        self.theta, self.factor = rope_frequencies(dim, base, **(scaling or {}))
        n_pairs = dim // 2
        first, second = np.arange(n_pairs), np.arange(n_pairs, dim)
        if interleaved:
            first, second = 2 * first, 2 * first + 1
        self._pairs = first, second
        self._swap = np.arange(d)
        self._swap[first], self._swap[second] = second, first
        self._block: tuple[int, Array, Array] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_block": None}

    def _tables(self, number: int) -> tuple[int, Array, Array]:
        """C and S of the positions of a block [16, d]."""
        positions = _BLOCK * number + np.arange(_BLOCK, dtype=np.float64)
        cos, sin = turns(positions[:, None], self.theta)
        C, S = np.ones((_BLOCK, self.d)), np.zeros((_BLOCK, self.d))
        first, second = self._pairs
        C[:, first] = C[:, second] = cos
        S[:, first], S[:, second] = -sin, sin
        C, S = C * self.factor, S * self.factor
        return number, C.astype(self.dtype, copy=False), S.astype(self.dtype, copy=False)

    def step(self, x: Array, position: int) -> Array:
        """Vectors [n, d] of one step."""
        number, i = divmod(position, _BLOCK)
        block = self._block
        if block is None or block[0] != number:
            self._block = block = self._tables(number)
        turned = x * block[1][i]
        turned += x.take(self._swap, 1) * block[2][i]
        return turned

    def sequence(self, x: Array, positions: Array, inverse: bool = False) -> Array:
        """Vectors [T, n, d] of steps at these positions; ``inverse`` is the gradient as well."""
        x = apply_rope(x, positions, self.theta, inverse, self.interleaved)
        return x if self.factor == 1.0 else x * self.factor
