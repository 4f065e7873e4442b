"""Numbers to spikes, as a river transformer."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from .._validation import check_choice, check_int, check_number
from ..config import ConfigMixin
from ..encoding import Encoded, Encoder
from ..estimators import _frames
from ..estimators._stream import resolve_seed
from ..files import Saved
from ..moments import RunningMoments
from ..naming import canonical_name
from ..state import Stateful, Writer
from ..values import check_categorical
from .codes import CODES, Row

Array = NDArray[np.float64]


class SpikeEncoder(
    Stateful, Saved, ConfigMixin, base.MiniBatchSupervisedTransformer, base.SupervisedTransformer
):
    """Features as spikes, 0 or 1, for spiking models and whoever likes sparse input.

    What a spike means is the code's, see :mod:`river_attention.spiking.codes`: "rate" and "poisson"
    fire more often the larger a value is, "latency" fires once and earlier, "delta" fires when a
    value has changed. Values are standardised online, so nothing has to be scaled before. A feature
    ``name`` becomes ``name_1``, ..., one for every step of a row, or ``name_up`` and ``name_down``;
    a name that is no string is shown by its kind, ``int:7_1``. It is there from the row after the
    one that brought it.

    ``learn_one`` ends a row and ignores y; ``transform_one`` is pure. In a pipeline a row is
    transformed first and learned afterwards.

    Parameters
    ----------
    kind
        "rate", "poisson", "latency" or "delta".
    n_steps
        Steps of time in a row, for all but "delta".
    threshold
        For "delta": how many running deviations a value has to move.
    max_features
        The largest number of columns that features take; a new name beyond it takes the column of
        the one unseen for longest. None for no bound.
    categorical
        Names of the features whose values are categories; each becomes a column ``name=value`` of
        zeros and ones before it becomes spikes. None if there are none.
    seed
        Seed of the Poisson spikes; None draws a new one.

    Attributes
    ----------
    n_evicted_
        How often the column of a feature was given to another one.

    Examples
    --------
    >>> encoder = SpikeEncoder("delta", threshold=0.5)
    >>> for value in (1.0, 2.0, 1.0):
    ...     encoder.learn_one({"load": value})
    >>> encoder.transform_one({"load": 3.0}), encoder.transform_one({"load": 1.1})
    ({'load_up': 1.0, 'load_down': 0.0}, {'load_up': 0.0, 'load_down': 0.0})
    >>> encoder = SpikeEncoder("latency", n_steps=3)
    >>> for value in (1.0, 2.0, 3.0):
    ...     encoder.learn_one({"load": value})
    >>> list(encoder.transform_one({"load": 3.5}).values())
    [1.0, 0.0, 0.0]
    """

    def __init__(
        self,
        kind: str = "rate",
        n_steps: int = 8,
        threshold: float = 0.5,
        max_features: int | None = 256,
        categorical: tuple[Hashable, ...] | None = None,
        seed: int | None = 42,
    ) -> None:
        self.kind = check_choice("kind", kind, tuple(CODES))
        self.n_steps = check_int("n_steps", n_steps, 1)
        self.threshold = check_number("threshold", threshold, above=0.0)
        self.max_features = max_features
        self.categorical = check_categorical(categorical)
        self.seed = seed
        self._code = CODES[kind](self.n_steps, self.threshold, resolve_seed(seed))
        self.encoder_ = Encoder(max_features, categorical)
        self.moments_ = RunningMoments()
        self._memory: Array = np.zeros(0)
        self._canonical: list[str] = []
        self._n_rows = 0

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"kind": "poisson", "n_steps": 3}
        yield {"kind": "latency", "n_steps": 16}
        yield {"kind": "delta", "threshold": 0.1}

    def transfer(self, io: Writer, *_: Any) -> None:
        self.encoder_ = io.child("encoder", self.encoder_)
        n = len(self.encoder_)
        self.moments_ = io.child("moments", self.moments_, n)
        # a column of which nothing is remembered yet is NaN here, which no state may hold
        blank = np.isnan(self._memory)
        memory = io.array("memory", np.where(blank, 0.0, self._memory), n)
        blank = io.array("blank", blank.astype(np.float64), n, low=0.0)
        self._n_rows = io.integer("n_rows", self._n_rows)
        if io.reading:
            self._memory = np.where(blank > 0.0, np.nan, memory)
            self._canonical = list(map(canonical_name, self.encoder_.names))

    @property
    def n_evicted_(self) -> int:
        """How often the column of a feature was given to another one."""
        return self.encoder_.n_evicted

    def _spikes(self, encoded: Encoded) -> tuple[Array, Array]:
        row = Row(encoded.values, self._memory, self.moments_, self._canonical, self._n_rows)
        return self._code(row)

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, float]:
        """The spikes of x if it came next."""
        spikes, _ = self._spikes(self._encode(x))
        shown: dict[Any, float] = {}
        names = zip(self.encoder_.names, self._canonical, strict=True)
        for (name, canonical), row in zip(names, spikes.tolist(), strict=True):
            text = name if isinstance(name, str) else canonical
            for channel, spike in zip(self._code.channels, row, strict=True):
                shown[f"{text}_{channel}"] = spike
        return shown

    def _encode(self, x: Mapping[Any, Any]) -> Encoded:
        if not isinstance(x, Mapping):
            self.encoder_.clean(x)  # says what is wrong
        return self.encoder_.encode(x)

    def learn_one(self, x: dict[Any, Any], y: Any = None) -> None:
        """End a row: the code remembers it, and its values join the moments."""
        encoded = self._encode(x)
        _, memory = self._spikes(encoded)
        constant = self.moments_.divisor == np.inf if encoded.new else None
        entered = self.encoder_.enter(encoded, constant)
        values = encoded.values
        if encoded.new:
            names, columns = self.encoder_.names, [column for column, _ in entered.recycled]
            n_new = len(entered.appended)
            appended = [encoded.new[name] for name in names[len(names) - n_new :]]
            values = np.concatenate([values, appended])
            memory = np.concatenate([memory, np.full(n_new, self._code.blank)])
            self.moments_.append(n_new)
            self.moments_.renew(columns)
            memory[columns] = self._code.blank
            values[columns] = [encoded.new[names[column]] for column in columns]
            self._canonical = list(map(canonical_name, names))
        self._memory = memory
        self.moments_.update(values, encoded.complete)
        self._n_rows += 1

    def transform_many(self, X: Any, names: Iterable[Hashable] | None = None) -> Any:
        """The spikes of every row of a block, each as if that row came next.

        ``names`` are those of the columns of an array; None names them 0 to d - 1.
        """
        table = _frames.Table(X, names)
        records = [self.transform_one(row) for row in table.rows()]
        return table.frame_of(records, list(self.transform_one({})))

    def learn_many(self, X: Any, y: Any = None, names: Iterable[Hashable] | None = None) -> None:
        """End the rows of a block one after the other, after all have been checked."""
        rows = [self.encoder_.clean(row) for row in _frames.Table(X, names).rows()]
        if y is not None:
            _frames.labels(y, len(rows))
        for row in rows:
            self.learn_one(row)

    def reset_state(self) -> None:
        """Forget the stream (sums, levels, the number of the row); scales stay."""
        self._memory = np.full(len(self._memory), self._code.blank)
        self._n_rows = 0
