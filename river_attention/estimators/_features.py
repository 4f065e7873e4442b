r"""From a dict to the features of the readout: the part that all estimators share.

.. math::

    u_t = [\text{lags},\ \hat x_t], \quad
    (o_t, S_t) = \text{heads}(u_t, S_{t-1}), \quad
    \varphi_t = [\mathrm{std}(o_t),\ 1,\ u_t]

x̂ is the input standardised with the running moments of the rows before t, clipped at ±3; a
feature that is missing, constant or new is 0. std(o) are the raw reads of the heads, standardised
the same way, clipped at ±5. ``compute`` answers "if x came next" and changes nothing; ``commit``
makes it the past.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoding import Encoded, Encoder
from ..layers import MultiHeadLinearAttention
from ..modes import Mode
from ..moments import RunningMoments

Array = NDArray[np.float64]

INPUT_LIMIT = 3.0
READ_LIMIT = 5.0


class Step:
    """What one x would make of the memory.

    Attributes
    ----------
    key
        Bytes of the encoded values.
    encoded
        The input as columns.
    raw
        Reads and input columns, not standardised.
    phi
        Features of the readout [p]: reads, 1, lags, input.
    state
        State of the heads after this step.
    """

    __slots__ = ("encoded", "key", "phi", "raw", "state")

    def __init__(self, key: bytes, encoded: Encoded, raw: Array, phi: Array, state: Array) -> None:
        self.key = key
        self.encoded = encoded
        self.raw = raw
        self.phi = phi
        self.state = state


class MemoryFeatures:
    """Encoder, heads and running moments; see the module for the equations.

    Parameters
    ----------
    mode, n_heads, d_key, d_value, seed
        Those of the heads.
    n_lags
        Number of target lags in u.
    """

    def __init__(
        self,
        mode: str | Mode,
        n_heads: int,
        d_key: int,
        d_value: int,
        n_lags: int,
        seed: int,
    ) -> None:
        self.encoder = Encoder()
        self.heads = MultiHeadLinearAttention(mode, n_heads, d_key, d_value, seed=seed)
        self.n_reads = self.heads.n_outputs
        self.moments = RunningMoments(self.n_reads)
        self.state = self.heads.init_state()
        self._n_lags = n_lags
        # lags join the inputs together with the first features: d counts both
        self._lags_in = 0

    @property
    def n_features(self) -> int:
        """Number p of features that ``compute`` gives."""
        return self.n_reads + 1 + self._lags_in + len(self.encoder)

    def names(self) -> list[str]:
        """What each feature of the readout is [p]."""
        return [
            *(
                f"read {i // self.heads.d_value}.{i % self.heads.d_value}"
                for i in range(self.n_reads)
            ),
            "bias",
            *(f"y lag {i + 1}" for i in range(self._lags_in)),
            *(str(name) for name in self.encoder.names),
        ]

    def compute(self, x: Mapping[Any, Any], lags: Array, memo: Step | None = None) -> Step:
        """The step that x would make; ``memo`` itself if that was made of the same values."""
        encoded = self.encoder.encode(x)
        values = encoded.values
        key = values.tobytes()
        if memo is not None and memo.key == key:
            # new features have no column yet: the same step, but they enter with this commit
            memo.encoded = encoded
            return memo

        n_reads = self.n_reads
        first_input = n_reads + 1
        phi = np.empty(self.n_features)
        phi[n_reads] = 1.0
        u = phi[first_input:]
        if self._lags_in:
            u[: self._lags_in] = lags
        scaled = u[self._lags_in :]
        np.subtract(values, self.moments.mean[n_reads:], out=scaled)
        scaled /= self.moments.divisor[n_reads:]
        np.maximum(scaled, -INPUT_LIMIT, out=scaled)
        np.minimum(scaled, INPUT_LIMIT, out=scaled)
        if not encoded.complete:
            scaled[values != values] = 0.0

        raw = np.empty(n_reads + len(values))
        raw[n_reads:] = values
        raw[:n_reads], state = self.heads.step(u, self.state)
        reads = phi[:n_reads]
        np.subtract(raw[:n_reads], self.moments.mean[:n_reads], out=reads)
        reads /= self.moments.divisor[:n_reads]
        np.maximum(reads, -READ_LIMIT, out=reads)
        np.minimum(reads, READ_LIMIT, out=reads)
        return Step(key, encoded, raw, phi, state)

    def commit(self, step: Step) -> int:
        """Make a step the past; returns by how many features the next one will be longer."""
        raw, complete = step.raw, step.encoded.complete
        grown = 0
        if step.encoded.new or self._lags_in < self._n_lags:
            grown = self._grow(step.encoded.new)
            new = [
                step.encoded.new[name] for name in self.encoder.names if name in step.encoded.new
            ]
            raw = np.concatenate([raw, new])
        self.moments.update(raw, complete)
        self.state = step.state
        return grown

    def reset(self) -> None:
        """Forget the stream; moments and columns stay."""
        self.state = self.heads.init_state()

    def _grow(self, new: Mapping[Hashable, float]) -> int:
        n_lags = self._n_lags - self._lags_in
        columns = self.encoder.extend(new)
        self.heads.add_inputs([f"lag:{i + 1}" for i in range(n_lags)] + columns)
        self.moments.append(len(columns))
        self._lags_in = self._n_lags
        return n_lags + len(columns)
