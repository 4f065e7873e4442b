"""A classifier with temporal memory."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from .._validation import check_choice, check_int, check_number
from ..core import Classification, MemoryFeatures
from ..core.classification import CONTEXT, N_SLOTS, is_lag
from ..core.drift import Detector
from ..encoding import Encoded
from ..layers import ClassRetrieval
from ..layers.retrieval import READS
from ..modes import Mode
from ..readout import (
    Boosted,
    BoostedClassMixture,
    ClassMixture,
    check_factors,
    class_experts,
)
from ..readout.boosted_classes import N_LABELS
from ..readout.trees import ClassTrees
from ..values import check_categorical
from . import _frames
from ._blocks import Names
from ._debug import explain_classification
from ._stream import LabelledStream, OneLabel, build_detector, resolve_seed


class StreamingAttentionClassifier(OneLabel, LabelledStream, base.MiniBatchClassifier):
    r"""Classification on a stream with a memory of its past.

    .. math::

        p_t = \sum_j s_j\, p_{tj}, \qquad
        p_{tj} = \mathrm{softmax}(\log \pi + W_j^\top \varphi_{tj})
        \ \text{ for most experts } j

    The input — features standardised online — is written into the state of linear attention heads
    and a bank of damped oscillators. Online Newton logistic regressions on the input and the last
    labels, with and without the reads of the memory, and on long lags of the labels are experts of
    a mixture under log loss, beside least squares on codes ±1, the class frequencies π, and those
    given the last class. Retrieval, softmax attention over the exact recent past, lets past steps
    that look like the present vote; a log-linear pool weighs its votes and all other experts, and
    is itself an expert. See :mod:`river_attention.readout.classes`.

    Labels may be anything hashable, two or many classes, and appear at any time: a new one starts
    from its frequency, not from 1/K, and is soon likely only for x like that of its first label.
    Labels that are equal are one class (1, 1.0 and True; a string and its NumPy form), predicted in
    the form that was seen first. Probabilities sum to 1; once two classes are known, none of K
    classes has less than 1/(1000 K).

    The last ``n_lags`` labels enter one-hot, a column for each of the first 16 classes: the first,
    not the most frequent, because a column must keep its meaning once weights were learned for it.
    Later classes have no columns; two classes need one column per lag only. The readout sees these
    columns, the memory does not: where labels are noisy they would drown the input in it, and
    nowhere was it measured to be better.

    Nothing has to be scaled by hand: put no scaler in front. Features may appear, vanish and be
    missing; dates become calendar features. ``learn_one`` advances time by one step, predictions
    are pure.

    Parameters
    ----------
    mode
        Name of an attention mode (see :data:`river_attention.modes.NAMED`), a mode object, or None
        for no heads.
    n_heads
        Number of heads; their time constants are spread from 1 to 64 steps.
    d_key
        Key dimension per head.
    d_value
        Value dimension per head.
    memory
        Number of complex units of the memory bank; 0 for none.
    window
        Number of labelled steps that retrieval looks back on; 0 for no retrieval.
    n_lags
        Number of past labels that the readout sees; 0 for none.
    long_lags
        Number of past labels that some experts see, with the input and how it moved since the last
        step; 0 for no such experts. Of each label they see whether it was the second class.
    forgetting_factor
        λ of the readout, in (0, 1], one or several with experts for each. The first is that of
        the least squares on codes and of the log-linear pool as well.
    delta
        Prior variance of the weights of the readout; None means 0.1.
    advance_on
        "learn": time advances by one step when a label is learned, and predictions are pure.
        "predict": for labels that come late. Time advances when x is seen: every call of
        ``predict_one`` or ``predict_proba_one`` is a step, so call one of them once per x.
        ``learn_one`` trains on what was seen then: on the step with the same ``key`` where one is
        given, else on the oldest that waits with the same x. An x that nobody waits for is trained
        on as it looks now and counted in ``n_unmatched_``. ``predict_many``,
        ``predict_proba_many`` and ``debug_one`` stay pure.
    drift_detector
        A drift detector of river, fed with 1 where the most probable class was wrong and 0 where it
        was right; those for true and false (``river.drift.binary``) get that. When it fires, the
        experts are trusted alike again and learn quickly, from where they are. None for none.
    max_features
        The largest number of columns that features take; a new name beyond it takes the column of
        the one unseen for longest, and nothing is remembered of that. None for no bound.
    categorical
        Names of the features whose values are categories, such as ``("store", "day")``: strings,
        codes, anything hashable. Each becomes a column ``name=value``, 1 for its value and 0 for
        the others; a missing one is 0 in all. None if there are none.
    trees
        Number of rows between two fits of boosted trees, which join the experts of the mixture; 0
        for none. They are fitted to the last 8 000 rows, in a thread beside the stream, and take
        over half an interval later; see :mod:`river_attention.readout.boosting`. With trees the
        classifier runs on NumPy.
    seed
        Seed of the projections and of the trees; None draws a new one.

    Attributes
    ----------
    classes_
        The classes in the order in which they were first seen.
    n_evicted_
        How often the column of a feature was given to another one.
    state_
        State of the heads, one array whose shape the mode decides; None without heads.
    bank_state_
        State of the memory bank [memory], complex; None without bank.
    expert_weights_
        Share of each expert in the prediction, by name.
    expert_losses_
        Running mean of the log loss of each expert, by name.
    retrieved_
        The past steps that looked most like the last one: (how many labelled steps before it, share
        of the attention), strongest first.
    n_drifts_
        How often the drift detector fired.
    n_pending_, n_dropped_, n_unmatched_
        With ``advance_on="predict"``: steps that wait for their label, steps dropped because more
        than 4096 waited, labels that matched no step.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> from river_attention import StreamingAttentionClassifier
    >>> model = StreamingAttentionClassifier()
    >>> evaluate.progressive_val_score(datasets.Phishing(), model, metrics.Accuracy())
    Accuracy: 8...%

    What comes next in a sequence without features:

    >>> model = StreamingAttentionClassifier()
    >>> for label in "abcabcabcabcabcabcabcabcab":
    ...     model.learn_one({}, label)
    >>> model.predict_one({})
    'c'
    """

    def __init__(
        self,
        mode: str | Mode | None = "gated_delta_net",
        n_heads: int = 4,
        d_key: int = 4,
        d_value: int = 4,
        memory: int = 16,
        window: int = 1000,
        n_lags: int = 6,
        long_lags: int = 50,
        forgetting_factor: float | tuple[float, ...] = (0.998, 0.9999),
        delta: float | None = None,
        advance_on: str = "learn",
        drift_detector: Detector | None = None,
        max_features: int | None = 256,
        categorical: tuple[Hashable, ...] | None = None,
        trees: int = 0,
        seed: int | None = 42,
    ) -> None:
        self.mode = mode
        self.n_heads = n_heads
        self.d_key = d_key
        self.d_value = d_value
        self.memory = memory
        self.window = window
        self.n_lags = check_int("n_lags", n_lags, 0)
        self.long_lags = check_int("long_lags", long_lags, 0)
        self.forgetting_factor = forgetting_factor
        self.delta = None if delta is None else check_number("delta", delta, above=0.0)
        self.advance_on = check_choice("advance_on", advance_on, ("learn", "predict"))
        self.max_features = max_features
        self.categorical = check_categorical(categorical)
        self.drift_detector = drift_detector
        self.trees = check_int("trees", trees, 0)
        self.seed = seed
        drawn = resolve_seed(seed)
        factors = check_factors(forgetting_factor)
        memories = self._memories(drawn, ClassRetrieval)
        features = MemoryFeatures(
            memories,
            n_long=long_lags,
            context=CONTEXT,
            hidden=is_lag,
            moves=long_lags > 0,
            max_features=max_features,
            categorical=categorical,
            n_history=N_LABELS if trees else 0,
        )
        self._check_size(features, max(N_SLOTS * n_lags, long_lags))
        self._begin(self._build_task(features, factors, drawn))

    def _build_task(
        self, features: MemoryFeatures, factors: tuple[float, ...], seed: int
    ) -> Classification:
        rows = class_experts(features.n_reads, factors, self.delta, self.long_lags)
        n_votes = len(READS) if self.window else 0
        settings = (rows, n_votes, factors[0], self.delta)
        if self.trees:
            boosted = Boosted(self.trees, seed, ClassTrees)
            readout: ClassMixture = BoostedClassMixture(*settings, boosted)
        else:
            readout = ClassMixture(*settings)
        detector = build_detector(self.drift_detector, binary=True)
        return Classification(features, readout, self.n_lags, self.long_lags, detector)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"mode": "gla_vector", "memory": 0, "window": 20, "forgetting_factor": 0.99}
        yield {"mode": None, "memory": 2, "n_lags": 1, "long_lags": 3}
        yield {"mode": None, "memory": 0, "window": 20, "long_lags": 0, "trees": 200}
        yield {
            "mode": None,
            "memory": 0,
            "window": 0,
            "n_lags": 0,
            "long_lags": 0,
            "forgetting_factor": 1.0,
            "delta": 0.5,
        }

    @property
    def _multiclass(self) -> bool:
        return True

    @property
    def classes_(self) -> list[Any]:
        """The classes in the order in which they were first seen."""
        return self._task.classes

    def _encode(self, x: Mapping[Any, Any]) -> Encoded:
        if type(x) is not dict and not isinstance(x, Mapping):
            self._clean(x)  # says what is wrong
        return self._names().encoder.encode({**x, **self.task_.lags})

    def predict_proba_one(  # type: ignore[override]  # swallows no misspelt keywords
        self, x: dict[Any, Any], key: Hashable | None = None
    ) -> dict[Any, float]:
        """The probability of every known class if x came next; {} before any label.

        Parameters
        ----------
        x
            Features.
        key
            What ``learn_one`` will find the step by; with ``advance_on="predict"`` only, where
            every call is a step.
        """
        said = self._twin_says(x)
        if said is not None and (self.advance_on == "learn" or not self._twin.new):
            if self.advance_on == "predict":
                self._see_compiled(key)
            return said
        probabilities: dict[Any, float] = self._see(x, key, self._task.value)
        return probabilities

    def _twin_says(self, x: Mapping[Any, Any]) -> dict[Any, float] | None:
        """The probabilities of the compiled twin, if there is one that can say."""
        said: dict[Any, float] | None = None if self._twin is None else self._twin.probabilities(x)
        return said

    def predict_one(  # type: ignore[override]
        self, x: dict[Any, Any], key: Hashable | None = None
    ) -> Any:
        """The most probable class if x came next; None before any label.

        Parameters
        ----------
        x
            Features.
        key
            What ``learn_one`` will find the step by; with ``advance_on="predict"`` only, where
            every call is a step.
        """
        return self._task.most_probable(self.predict_proba_one(x, key))

    def _foresee(self, x: Mapping[Any, Any]) -> Any:
        return self._task.most_probable(self._probabilities(x))

    def _probabilities(self, x: Mapping[Any, Any]) -> dict[Any, float]:
        """The probabilities if x came next; pure."""
        said = self._twin_says(x)
        return self.task_.value(self._step(x).evidence) if said is None else said

    def _room(self, n_rows: int) -> list[Any]:
        return [None] * n_rows

    def _compact(self, labels: Any) -> tuple[list[Any], NDArray[np.int64]]:
        """The labels that differ, and which of them it is in every row [n]."""
        numbers: dict[Hashable, int] = {}
        found = [numbers.setdefault(label, len(numbers)) for label in labels]
        return list(numbers), np.array(found, np.int64)

    def predict_proba_many(self, X: Any, names: Names = None) -> Any:
        """Probabilities for every row of a block, each as if that row came next.

        Parameters
        ----------
        X, names
            See ``learn_many``.

        Returns
        -------
        A data frame with a column for every class; frames that know names only that are strings
        get those. An array [n, n_classes] where X is one, the columns in the order of ``classes_``.
        """
        table = _frames.Table(X, names)
        answers = np.empty((table.n_rows, len(self.classes_)))
        ask = self._ask("probabilities_of_rows")
        self._foreseen(table, answers, ask, lambda x: list(self._probabilities(x).values()))
        return table.frame(answers, self.classes_)

    def debug_one(self, x: dict[Any, Any]) -> str:
        """How the prediction for x comes about, as text.

        The most probable classes, the past steps that retrieval looks back to with the classes they
        had, and the experts with their shares and what they say of the most probable one.
        """
        return explain_classification(self.task_, self._step(x))
