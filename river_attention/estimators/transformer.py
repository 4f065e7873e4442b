"""Temporal memory as a transformer."""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from river import base

from .._validation import check_bool, check_choice, check_int
from ..core import (
    Classification,
    Evidence,
    MemoryFeatures,
    Regression,
    SteadyUnit,
    Step,
    Target,
    shown_forecast,
    shown_group,
    shown_odds,
)
from ..core.classification import CONTEXT as CLASS_CONTEXT
from ..core.classification import N_SLOTS, check_label, is_lag
from ..core.regression import CONTEXT
from ..encoding import Encoded
from ..layers import ClassRetrieval, Retrieval
from ..layers.retrieval import READS
from ..modes import Mode
from ..readout import ClassMixture, SingleReadout
from ..readout.classes import class_experts
from ..state import Writer
from ..values import check_categorical
from . import _frames
from ._blocks import CheckedRows, Names
from ._stream import Stream, resolve_seed

FORGETTING_FACTOR = 0.998
FORGETTING_FACTORS = (0.998, 0.9999)
"""λ of the readouts, of numbers and of classes: those of the regressor and the classifier."""


def _is_class(y: Any) -> bool:
    """Whether a label that is not missing says a class: a bool, or anything that is no number."""
    return isinstance(y, (bool, np.bool_)) or not isinstance(y, (numbers.Number, np.number))


@functools.lru_cache(maxsize=1024)
def _numbered(start: str, n: int) -> tuple[str, ...]:
    return tuple(f"{start}{i}" for i in range(1, n + 1))


class AttentionTransformer(
    Stream, CheckedRows, base.MiniBatchSupervisedTransformer, base.SupervisedTransformer
):
    r"""What a temporal memory knows of the stream, as features for any river model.

    .. math::

        \varphi_t = [\,2\hat y_t / U,\ \text{lags}/2,\ \text{reads}/2,\ \hat x_t/2\,]

    The first feature is what the memory expects: the forecast of recursive least squares on past
    targets, reads and input, made before y is known, in a unit U that hardly moves
    (:mod:`river_attention.core.outlook`). Past targets, the reads of each memory (retrieval, heads,
    bank) and the standardised input follow as groups of squared norm ¼. So |φ|² is of order one
    and below 20 whatever the stream, and models that learn by gradient descent bear it as they bear
    a handful of standardised features, and find the level within a few rows.

    Where labels are classes, the log-odds of the classes take the place of the forecast (that of
    the second of two, or those of all), retrieval votes for them, and past labels are indicators.

    No scaler is needed in front or behind, and the input is passed on: ``AttentionTransformer() |
    model`` is complete. Time advances by one step with every ``learn_one``; ``transform_one`` is
    pure. Without labels there are the reads of heads and bank, and the input.

    In a pipeline the step is transformed first and learns afterwards, so a model behind it is
    trained on the same features that it predicted with. This holds alone, in a union, behind
    stateless or supervised steps, and behind unsupervised scalers under
    ``compose.learn_during_predict()``. It cannot hold behind a plain ``StandardScaler``, which
    river updates first, nor in a ``Grouper``, which lets a group learn before it is transformed:
    there a model is trained on features that know its label, and predicts without.

    Parameters
    ----------
    mode
        Name of an attention mode, a mode object, or None for no heads.
    n_heads
        Number of heads.
    d_key
        Key dimension per head.
    d_value
        Value dimension per head. There are n_heads · d_value reads of the heads.
    memory
        Number of complex units of the memory bank, 4 reads each; 0 for none.
    window
        Number of labelled steps that retrieval looks back on, 6 reads; 0 for no retrieval.
    n_lags
        Number of past targets in the memory and among the features; 0 for none. A past label is
        one indicator for two classes, else one for each of at most sixteen.
    with_forecast
        Whether the forecast, or the log-odds, are among the features. Without them, ``n_lags=0``
        and ``window=0`` no feature depends on the target.
    keep_inputs
        Whether the input is passed on, standardised and under its own names. Switch it off beside a
        scaler: ``(StandardScaler() + AttentionTransformer(keep_inputs=False)) | model``.
    target
        "number", "class", or "auto": what the first label is that is not missing decides. A bool
        and everything hashable that is no number is a class; integers are numbers, for which
        "class" has to be said where they are names. None, NaN, infinities and what does not fit the
        kind count as no label: time passes, nothing is trained, the past targets stay.
    prefix
        What the names of the features begin with, apart from those of the input.
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
    unit_
        The unit U of the forecast.
    task_
        Features, past targets and readout, for a look inside.

    Examples
    --------
    >>> from river import datasets, evaluate, linear_model, metrics
    >>> from river_attention import AttentionTransformer
    >>> memory = AttentionTransformer(n_heads=2, window=0, n_lags=1)
    >>> for x, y in datasets.ChickWeights().take(50):
    ...     memory.learn_one(x, y)
    >>> list(memory.transform_one(x))
    ['chick', 'diet', 'time', 'attn_next', 'attn_lag_1', 'attn_head_1', 'attn_head_2']
    >>> model = AttentionTransformer() | linear_model.LinearRegression()
    >>> evaluate.progressive_val_score(datasets.WaterFlow(), model, metrics.MAE())
    MAE: 2.4...
    """

    _sizes: ClassVar[tuple[str, ...]] = ("n_heads", "d_value", "memory", "n_lags")

    def __init__(
        self,
        mode: str | Mode | None = "gated_delta_net",
        n_heads: int = 4,
        d_key: int = 4,
        d_value: int = 1,
        memory: int = 0,
        window: int = 1000,
        n_lags: int = 6,
        with_forecast: bool = True,
        keep_inputs: bool = True,
        target: str = "auto",
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
        self.window = check_int("window", window, 0)
        self.n_lags = check_int("n_lags", n_lags, 0)
        self.with_forecast = check_bool("with_forecast", with_forecast)
        self.keep_inputs = check_bool("keep_inputs", keep_inputs)
        self.target = check_choice("target", target, ("auto", "number", "class"))
        self.prefix = prefix
        self.max_features = max_features
        self.categorical = check_categorical(categorical)
        self.seed = seed
        if not isinstance(prefix, str):
            raise ValueError(f"prefix={prefix!r}: must be a string")
        self._seed = resolve_seed(seed)
        self._begin(of_classes=target == "class")

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"mode": "gla_vector", "window": 20, "prefix": "memory_", "keep_inputs": False}
        yield {
            "n_heads": 1,
            "d_key": 2,
            "d_value": 3,
            "n_lags": 0,
            "window": 0,
            "with_forecast": False,
        }
        yield {"mode": None, "memory": 4, "n_lags": 1}

    def _begin(self, of_classes: bool) -> None:
        """The state before the first step."""
        self._keep(self._classes() if of_classes else self._numbers())
        self.unit_ = SteadyUnit()

    @property
    def task_(self) -> Any:
        """Features, past targets and readout; ask again after the next sample."""
        return self._whole()

    def _numbers(self) -> Regression:
        features = MemoryFeatures(
            self._memories(self._seed, Retrieval),
            self.n_lags,
            context=CONTEXT,
            max_features=self.max_features,
            categorical=self.categorical,
        )
        self._check_size(features, self.n_lags)
        readout = SingleReadout(features.n_reads, FORGETTING_FACTOR, None, huber=True)
        target = Target("persistence", self.n_lags, for_retrieval=self.window > 0)
        return Regression(features, target, readout)

    def _classes(self) -> Classification:
        features = MemoryFeatures(
            self._memories(self._seed, ClassRetrieval),
            context=CLASS_CONTEXT,
            hidden=is_lag,
            max_features=self.max_features,
            categorical=self.categorical,
        )
        self._check_size(features, N_SLOTS * self.n_lags)
        rows = class_experts(features.n_reads, FORGETTING_FACTORS, None)
        n_votes = len(READS) if self.window else 0
        readout = ClassMixture(rows, n_votes, FORGETTING_FACTORS[0], None)
        return Classification(features, readout, self.n_lags)

    @property
    def features_(self) -> MemoryFeatures:
        """Encoder, memories and running moments; ask again after the next sample."""
        features: MemoryFeatures = self._whole().features
        return features

    def _names(self) -> MemoryFeatures:
        features: MemoryFeatures = self._task.features
        return features

    def transfer(self, io: Writer, *_: Any) -> None:
        of_classes = bool(io.integer("of_classes", int(isinstance(self.task_, Classification))))
        if of_classes != isinstance(self.task_, Classification):
            io.check(self.target == "auto", f"of_classes does not fit target={self.target!r}")
            self._begin(of_classes)
        task = io.child("", self.task_)
        if io.reading:
            self._keep(task)
        self.unit_ = io.child("unit", self.unit_)

    def _encode(self, x: Mapping[Any, Any]) -> Encoded:
        task = self.task_
        if isinstance(task, Regression):
            return super()._encode(x)
        if type(x) is not dict and not isinstance(x, Mapping):
            self._clean(x)  # says what is wrong
        return task.features.encoder.encode({**x, **task.lags})

    def _propose(self, encoded: Encoded) -> Step:
        return self.task_.propose(encoded)

    @property
    def _target(self) -> Target:
        """The target of a regression, for a look that changes nothing."""
        target: Target = self._task.target if self._twin is None else self._twin.target()
        return target

    def _evidence(self, x: Mapping[Any, Any]) -> Evidence:
        """What x would be trained with if it came next."""
        buffer = None if self._twin is None else self._twin.look(x)
        if buffer is None:
            return self._step(x).evidence
        return Evidence(buffer, self._names().layout(self._task.readout.n_answers))

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, float]:
        """What the memory says if x came next."""
        compiled = self._shown_compiled(x)
        if compiled is not None:
            return compiled
        evidence, task, features = self._evidence(x), self._task, self._names()
        names, inputs = features.encoder.names, evidence["inputs"]
        is_decided = isinstance(task, Classification)
        shown: dict[Any, float] = {}
        if is_decided:
            columns = dict(zip(names, inputs.tolist(), strict=True))
            names = [name for name in names if not is_lag(name)]
            inputs = np.array([columns[name] for name in names])
        if self.keep_inputs:
            values = shown_group(inputs, limited=False)
            shown.update(zip(names, values.tolist(), strict=True))
        if is_decided:
            self._show_classes(shown, task, evidence, columns)
        else:
            target = self._target
            is_decided = target.n > 0
            if is_decided and self.with_forecast:
                forecast = target.restore(float(evidence["prediction"]))
                shown[f"{self.prefix}next"] = shown_forecast(forecast, self.unit_.value)
            if is_decided:
                self._show(shown, "lag", shown_group(target.lags))
        for part, start, n in self._parts(is_decided):
            self._show(shown, part, shown_group(evidence.buffer[start : start + n]))
        return shown

    def _parts(self, is_decided: bool) -> list[tuple[str, int, int]]:
        """Groups of reads that are shown: name, first place in an evidence, and number."""
        found, start = [], 0
        for name, memory in self._names().memories.items():
            for part, n in getattr(memory, "parts", {name: memory.n_outputs}).items():
                if is_decided or not memory.learns:
                    found.append((part, start, n))
                start += n
        return found

    def _shown_compiled(self, x: Mapping[Any, Any]) -> dict[Any, float] | None:
        """What the compiled twin of a regression shows, if there is one that can say."""
        if self._twin is None or not isinstance(self._task, Regression):
            return None
        is_decided = self._is_decided
        parts = self._parts(is_decided)
        places = [(start, n) for _, start, n in parts]
        unit, inputs_too = self.unit_.value, self.keep_inputs
        values = self._twin.shown(x, unit, inputs_too, self.with_forecast, places)
        if values is None:
            return None
        names = list(self._names().encoder.names) if inputs_too else []
        if is_decided:
            if self.with_forecast:
                names.append(f"{self.prefix}next")
            names += _numbered(f"{self.prefix}lag_", self.n_lags)
        for part, _, n in parts:
            names += _numbered(f"{self.prefix}{part}_", n)
        return dict(zip(names, values, strict=True))

    def _show_classes(
        self,
        shown: dict[Any, float],
        task: Classification,
        evidence: Evidence,
        columns: Mapping[Any, float],
    ) -> None:
        n = len(task.classes)
        if self.with_forecast and n > 1:
            odds = shown_odds(task.readout.mixed(evidence))
            self._show(shown, "odds", odds, range(n - len(odds), n))
        past = {f"{name[1]}_{name[2]}": value for name, value in columns.items() if is_lag(name)}
        self._show(shown, "lag", shown_group(np.array([*past.values()])), past)

    def _show(
        self,
        shown: dict[Any, float],
        group: str,
        values: NDArray[np.float64],
        labels: Iterable[Any] | None = None,
    ) -> None:
        """Let the values of a group join what is shown, numbered from one or as labelled."""
        if labels is None:
            names = _numbered(f"{self.prefix}{group}_", len(values))
        else:
            names = tuple(f"{self.prefix}{group}_{label}" for label in labels)
        shown.update(zip(names, values.tolist(), strict=True))

    @property
    def _is_decided(self) -> bool:
        """Whether it is known what labels are."""
        if isinstance(self._task, Classification):
            return True
        n: int = self._task.target.n if self._twin is None else self._twin.n_labels
        return n > 0

    def _label(self, y: Any) -> Any:
        """A label that the task can learn; None if there is none."""
        try:
            return self._task.check(y)
        except (TypeError, ValueError):
            return None

    def learn_one(self, x: dict[Any, Any], y: Any = None) -> None:
        """Advance by one step; a label that is not missing becomes the past."""
        if self._learns_compiled(x, y):
            return
        step = self._step(x)
        if self.target == "auto" and not self._is_decided and _is_class(y):
            self._decide(y)
            step = self._step(x)
        task, label = self.task_, self._label(y)
        if label is not None and (self.with_forecast or self.window):
            task.train(step.evidence, label, 1.0)
        task.commit(step)
        if label is not None:
            task.join(label)
            if isinstance(task, Regression):
                self.unit_.update(task.target.size)
        self._memo = None

    def _learns_compiled(self, x: Mapping[Any, Any], y: Any) -> bool:
        """Whether the twin has learned a sample."""
        if self._twin is None or not (self._is_decided or self.target == "number"):
            return False
        label = self._label(y)
        if label is None:
            return bool(self._twin.advance(x))
        if not (self.with_forecast or self.window) or not self._twin.learn(x, label):
            return False
        if isinstance(self._task, Regression):
            self.unit_.update(self._twin.target_size)
        return True

    def _decide(self, y: Any) -> None:
        """Let labels be classes from now on if y is one."""
        try:
            check_label(y)
        except (TypeError, ValueError):
            return
        self._begin(of_classes=True)

    def transform_many(self, X: Any, names: Names = None) -> Any:
        """What the memory says for every row of a block, if that row came next.

        Parameters
        ----------
        X
            A data frame of features, or a NumPy array [n, d].
        names
            Names of the columns of an array; None names them 0 to d - 1.

        Returns
        -------
        A data frame. An array where X is one, its columns in the order of ``transform_one({})``.
        """
        table = _frames.Table(X, names)
        records = [self.transform_one(row) for row in table.rows()]
        return table.frame_of(records, list(self.transform_one({})))

    def learn_many(self, X: Any, y: Any = None, names: Names = None) -> None:
        """Advance over the rows of a block, after all have been checked.

        Parameters
        ----------
        X
            A data frame of features, or a NumPy array [n, d], in the order of time.
        y
            A series, array or list of labels, which may be missing; None for none.
        names
            Names of the columns of an array; None names them 0 to d - 1.
        """
        table = _frames.Table(X, names)
        n = table.n_rows
        row = self._rows(table)
        labels = [None] * n if y is None else _frames.labels(y, n)
        compact, at = None, 0
        with self._all_or_nothing(len(table.names)):
            while at < n:
                if compact is None and table.matrix is not None and self._twin_learns:
                    compact = self._compact(labels)
                if compact is not None:
                    at = self._learn_block(table, compact, at)
                if at < n:
                    self.learn_one(row(at), labels[at])
                    at += 1

    @property
    def _twin_learns(self) -> bool:
        """Whether there is a twin, and labels are for it to learn from now on."""
        if self._twin is None or not (self.with_forecast or self.window):
            return False
        return self._is_decided or self.target == "number"

    def _compact(self, labels: list[Any]) -> Any:
        """Labels as the twin takes them: those that are missing count as none."""
        found = [self._label(y) for y in labels]
        if isinstance(self._task, Classification):
            numbers: dict[Any, int] = {}
            which = [-1 if y is None else numbers.setdefault(y, len(numbers)) for y in found]
            return list(numbers), np.array(which, np.int64)
        return np.array([math.nan if y is None else y for y in found], np.float64)

    def _learn_block(self, table: _frames.Table, labels: Any, at: int) -> int:
        """Let the twin learn rows from ``at`` on; the first that it did not."""
        learn, weights = self._twin.learn_rows, np.broadcast_to(1.0, table.n_rows)
        if isinstance(self._task, Classification):
            reached: int = learn(table.names, table.matrix, labels, weights, None, at)
            return reached
        sizes = np.empty(table.n_rows)
        reached = learn(table.names, table.matrix, labels, weights, None, at, sizes)
        for size in sizes[at:reached][~np.isnan(labels[at:reached])].tolist():
            self.unit_.update(size)
        return reached

    def reset_state(self) -> None:
        """Forget the stream (memory, past targets); scales and the readout stay."""
        self.task_.forget_stream()
        self._memo = None
