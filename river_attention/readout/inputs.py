"""What a readout gets to see of one step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def padded(phi: Array, n_features: int) -> Array:
    """Features [n_features]; those that did not exist yet when ``phi`` was made are 0."""
    if len(phi) == n_features:
        return phi
    return np.concatenate([phi, np.zeros(n_features - len(phi))])


class Inputs(NamedTuple):
    """Features of one step, for every kind of expert.

    Attributes
    ----------
    full
        All features [p]: memory, then the skip features.
    skip
        Bias, short lags and input: the tail of ``full``.
    long
        Long lags, bias and input.
    reads
        The raw reads of retrieval [6], or nothing.
    last, mean
        Last target and running mean of the targets, in the units of the readout.
    """

    full: Array
    skip: Array
    long: Array
    reads: Array
    last: float
    mean: float
