"""Temporal memory as a transformer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from river import base

from ..core import MemoryFeatures, Step, build_memories
from ..encoding import Encoded, clean
from ..modes import Mode
from . import _frames
from ._stream import Stream, resolve_seed


class AttentionTransformer(Stream, base.MiniBatchSupervisedTransformer, base.SupervisedTransformer):
    r"""What a temporal memory holds of the stream, as features for any river model.

    .. math::

        (o_t, S_t) = \text{layers}(\hat x_t, S_{t-1}), \qquad
        \texttt{attn\_}i = \mathrm{clip}\bigl((o_{t,i} - m_i) / s_i,\ \pm 5\bigr)

    Inputs are standardised online, and so are the outputs: no scaler is needed in front or behind.
    Time advances by one step with every ``learn_one``; ``transform_one`` is pure.

    In a pipeline the step is transformed first and learns afterwards, so a model behind it is
    trained on the same features that it predicted with. This holds alone, in a union, behind
    stateless or supervised steps, and behind unsupervised scalers under
    ``compose.learn_during_predict()``. It cannot hold behind a plain ``StandardScaler``, which
    river updates first, nor in a ``Grouper``, which lets a group learn before it is transformed.

    Parameters
    ----------
    mode
        Name of an attention mode, a mode object, or None for no heads.
    n_heads
        Number of heads.
    d_key
        Key dimension per head.
    d_value
        Value dimension per head.
    memory
        Number of complex units of the memory bank; 0 for none. There are n_heads · d_value outputs
        of the heads and 4 for each unit.
    prefix
        What the names of the outputs begin with.
    seed
        Seed of the projections; None draws a new one.

    Attributes
    ----------
    state_
        State of the heads, one array whose shape the mode decides; None without heads.
    bank_state_
        State of the memory bank [memory], complex; None without bank.

    Examples
    --------
    >>> from river import datasets, linear_model
    >>> from river_attention import AttentionTransformer
    >>> memory = AttentionTransformer(n_heads=2, d_value=1, memory=0)
    >>> for x, y in datasets.TrumpApproval().take(50):
    ...     memory.learn_one(x)
    >>> sorted(memory.transform_one(x))
    ['attn_0', 'attn_1']
    >>> model = AttentionTransformer() | linear_model.LinearRegression()
    """

    def __init__(
        self,
        mode: str | Mode | None = "gated_delta_net",
        n_heads: int = 4,
        d_key: int = 4,
        d_value: int = 4,
        memory: int = 16,
        prefix: str = "attn_",
        seed: int | None = 42,
    ) -> None:
        self.mode = mode
        self.n_heads = n_heads
        self.d_key = d_key
        self.d_value = d_value
        self.memory = memory
        self.prefix = prefix
        self.seed = seed
        if not isinstance(prefix, str):
            raise ValueError(f"prefix={prefix!r}: must be a string")
        features = MemoryFeatures(
            build_memories(mode, n_heads, d_key, d_value, memory, resolve_seed(seed))
        )
        self._reads = [f"{prefix}{i}" for i in range(features.n_reads)]
        self._keep(features)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"mode": "gla_vector", "memory": 0, "prefix": "memory_"}
        yield {"n_heads": 1, "d_key": 2, "d_value": 3}
        yield {"mode": None, "memory": 4}

    def _propose(self, encoded: Encoded) -> Step:
        return self.features_.propose(encoded)

    def transform_one(self, x: dict[Any, Any]) -> dict[str, float]:  # type: ignore[override]
        """What the memory would read if x came next."""
        if self._twin is not None:
            features: dict[str, float] | None = self._twin.transform(x, self._reads)
            if features is not None:
                return features
        reads = self._step(x).evidence["full"][: len(self._reads)].tolist()
        return dict(zip(self._reads, reads, strict=True))

    def learn_one(self, x: dict[Any, Any], y: Any = None) -> None:
        """Advance by one step; the target is not used."""
        if self._twin is not None and self._twin.advance(x):
            return
        self.features_.commit(self._step(x))
        self._memo = None

    def transform_many(self, X: Any) -> Any:
        """What the memory would read for every row of a data frame, if that row came next."""
        records = [self.transform_one(row) for row in _frames.rows(X)]
        return _frames.to_frame(records, self._reads, X)

    def learn_many(self, X: Any, y: Any = None) -> None:
        """Advance over the rows of a data frame, after all have been checked."""
        for x in [clean(row) for row in _frames.rows(X)]:
            self.learn_one(x)

    def reset_state(self) -> None:
        """Forget the stream; the running moments stay."""
        self.features_.reset()
        self._memo = None
