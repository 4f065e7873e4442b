"""Temporal memory as a transformer."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from river import base

from ..core import MemoryFeatures, Step, build_memories
from ..encoding import Encoded, check_categorical
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
    max_features
        The largest number of columns that features take; a new name beyond it takes the column of
        the one unseen for longest, and nothing is remembered of that. None for no bound.
    categorical
        Names of the features whose values are categories, such as ``("store", "day")``: strings,
        codes, anything hashable. Each becomes a column ``name=value``, 1 for its value and 0 for
        the others; a missing one is 0 in all. None if there are none.
    seed
        Seed of the projections; None draws a new one.

    Attributes
    ----------
    n_evicted_
        How often the column of a feature was given to another one.
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
        max_features: int | None = 256,
        categorical: tuple[Hashable, ...] | None = None,
        seed: int | None = 42,
    ) -> None:
        self.mode = mode
        self.n_heads = n_heads
        self.d_key = d_key
        self.d_value = d_value
        self.memory = memory
        self.prefix = prefix
        self.max_features = max_features
        self.categorical = check_categorical(categorical)
        self.seed = seed
        if not isinstance(prefix, str):
            raise ValueError(f"prefix={prefix!r}: must be a string")
        self.features_ = MemoryFeatures(
            build_memories(mode, n_heads, d_key, d_value, memory, resolve_seed(seed)),
            max_features=max_features,
            categorical=categorical,
        )
        self._names = [f"{prefix}{i}" for i in range(self.features_.n_reads)]
        self._memo: Step | None = None

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
        reads = self._step(x).evidence["full"][: len(self._names)].tolist()
        return dict(zip(self._names, reads, strict=True))

    def learn_one(self, x: dict[Any, Any], y: Any = None) -> None:
        """Advance by one step; the target is not used."""
        self.features_.commit(self._step(x))
        self._memo = None

    def transform_many(self, X: Any) -> Any:
        """What the memory would read for every row of a data frame, if that row came next."""
        records = [self.transform_one(row) for row in _frames.rows(X)]
        return _frames.to_frame(records, self._names, X)

    def learn_many(self, X: Any, y: Any = None) -> None:
        """Advance over the rows of a data frame, after all have been checked."""
        for x in [self._clean(row) for row in _frames.rows(X)]:
            self.learn_one(x)

    def reset_state(self) -> None:
        """Forget the stream; the running moments stay."""
        self.features_.reset()
        self._memo = None
