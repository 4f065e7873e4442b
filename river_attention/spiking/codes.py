r"""How numbers become spikes: four codes.

A standardised value z says how strong a feature is now, p = (z + 3) / 6 within [0, 1], and a row is
as long as n steps of time.

.. math::

    \text{rate:}\quad & a \leftarrow a + p, \quad \text{spike and } a \leftarrow a - 1
        \text{ where } a \ge 1 \\
    \text{poisson:}\quad & \text{spike with probability } p \text{ in every step} \\
    \text{latency:}\quad & \text{one spike, in step } \lfloor (1 - p)\, n \rfloor + 1
        \text{ of } n \\
    \text{delta:}\quad & \text{spike up (down) where } x \text{ is more than } \theta
        \text{ deviations above (below) } b, \text{ then } b \leftarrow x

The sum a of the rate code goes on from row to row, so that over many rows the share of spikes is
the mean of p; nothing about it is random. Poisson spikes are drawn from a hash of the seed, the
name of the feature and the number of the row: the same row gives the same spikes, in whichever
order features come. A delta code sends changes only, from where it last sent one. A feature that is
missing fires in no code, and its a and b stay.

Auge, Hille, Mueller, Knoll 2021, *A survey of encoding techniques for signal processing in spiking
neural networks*, Neural Processing Letters 53.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.features import INPUT_LIMIT, standardise
from ..moments import RunningMoments

Array = NDArray[np.float64]

_RANGE = 3.0


class Row(NamedTuple):
    """What a code sees of a row.

    Attributes
    ----------
    values
        One number for each column [n], NaN = missing.
    memory
        What the code remembers of each column [n].
    moments
        Those of the columns, before this row.
    names
        Canonical names of the columns.
    number
        How many rows there were before.
    """

    values: Array
    memory: Array
    moments: RunningMoments
    names: Sequence[str]
    number: int

    @property
    def strength(self) -> Array:
        """The strength p of every column [n], NaN = missing."""
        scaled = np.empty_like(self.values)
        standardise(self.values, self.moments.mean, self.moments.divisor, INPUT_LIMIT, scaled)
        return np.clip((scaled + _RANGE) / (2.0 * _RANGE), 0.0, 1.0)


class Code:
    """A code: spikes of a row, and what it remembers after it. See the module.

    Parameters
    ----------
    n_steps
        Steps of time in a row.
    threshold
        θ of the delta code.
    seed
        Seed of the Poisson code.
    """

    blank = 0.0
    """What is remembered of a column that was never seen."""

    def __init__(self, n_steps: int, threshold: float, seed: int) -> None:
        self.n_steps, self.threshold, self.seed = n_steps, threshold, seed

    @property
    def channels(self) -> Sequence[str]:
        """What the spikes of a feature are called."""
        return [str(step + 1) for step in range(self.n_steps)]

    def __call__(self, row: Row) -> tuple[Array, Array]:
        """The spikes of a row [n, channels], 0 or 1, and the memory after it [n]."""
        raise NotImplementedError


class Rate(Code):
    """The sum of strengths, a spike whenever it is full."""

    def __call__(self, row: Row) -> tuple[Array, Array]:
        strength = np.nan_to_num(row.strength, nan=0.0)
        spikes, memory = np.zeros((len(strength), self.n_steps)), row.memory
        present = row.values == row.values
        for step in range(self.n_steps):
            total = memory + strength
            fires = (total >= 1.0) & present
            spikes[:, step] = fires
            memory = total - fires
        return spikes, memory


class Poisson(Code):
    """A spike with the probability of the strength."""

    def __call__(self, row: Row) -> tuple[Array, Array]:
        drawn = np.empty((len(row.values), self.n_steps))
        for i, name in enumerate(row.names):
            text = f"{self.seed}\x1f{row.number}\x1f{name}".encode("utf-8", "surrogatepass")
            digest = hashlib.shake_128(text).digest(8 * self.n_steps)
            drawn[i] = (np.frombuffer(digest, "<u8") >> np.uint64(11)) * 2.0**-53
        # a comparison with NaN is False
        return (drawn < row.strength[:, None]).astype(np.float64), row.memory


class Latency(Code):
    """One spike, the earlier the stronger."""

    def __call__(self, row: Row) -> tuple[Array, Array]:
        strength, present = row.strength, row.values == row.values
        step = np.nan_to_num((1.0 - strength) * self.n_steps, nan=0.0).astype(np.intp)
        spikes = np.zeros((len(strength), self.n_steps))
        spikes[np.arange(len(strength)), np.minimum(step, self.n_steps - 1)] = present
        return spikes, row.memory


class Delta(Code):
    """Changes of more than a threshold, up and down; remembers where it sent the last one."""

    blank = np.nan
    channels = ("up", "down")

    def __call__(self, row: Row) -> tuple[Array, Array]:
        change = (row.values - row.memory) / row.moments.divisor
        spikes = np.stack([change > self.threshold, change < -self.threshold], axis=1)
        first = np.isnan(row.memory)
        return spikes.astype(np.float64), np.where(
            spikes.any(axis=1) | first, row.values, row.memory
        )


CODES: dict[str, type[Code]] = {
    "rate": Rate,
    "poisson": Poisson,
    "latency": Latency,
    "delta": Delta,
}
