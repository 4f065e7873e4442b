"""A regressor with temporal memory."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, ClassVar

from river import base, proba

from .._validation import check_bool, check_choice, check_int, check_number
from ..core import Evidence, MemoryFeatures, Regression, Rollout, Target
from ..core.regression import CONTEXT, EXPERTS_CONTEXT
from ..layers import Retrieval
from ..layers.retrieval import READS
from ..modes import Mode
from ..readout import (
    Boosted,
    BoostedMixture,
    Mixture,
    SingleReadout,
    check_factors,
    experts,
)
from ..readout.boosting import DIFFERENCES, N_HISTORY, N_LAGS
from ..readout.intervals import Levels, check_levels
from ..readout.regression import ETA, ETA_LATE
from ..values import check_categorical
from ._blocks import Numbers
from ._debug import explain_regression
from ._stream import LabelledStream, OneLabel, build_detector, normal, resolve_seed


class StreamingAttentionRegressor(Numbers, OneLabel, LabelledStream, base.MiniBatchRegressor):
    r"""Regression on a stream with a memory of its past.

    .. math::

        \hat y_t = y_{t-1} + s_r \sum_k p_k\, \hat r_{tk}, \qquad
        \hat r_{tk} = w_k^\top \varphi_{tk} \ \text{ or } \ \rho_{tk}

    The input — features standardised online and the last targets — is written into the state of
    linear attention heads and a bank of damped oscillators. Robust recursive least squares on their
    reads, on the input alone and on long lags are experts of a mixture, beside persistence, the
    running mean and retrieval: softmax attention over the exact recent past, which finds seasons
    that nobody declared. All of them learn steps from the last target, in units of a robust running
    scale s_r.

    Nothing has to be scaled or lagged by hand: put no scaler in front. Features may appear,
    vanish and be missing; dates become calendar features. Predictions stay within the range of the
    targets seen so far, widened by its own width on both sides. ``learn_one`` advances time by one
    step, predictions are pure.

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
        Number of past targets in the input; 0 for none.
    long_lags
        Number of past targets that one more expert sees; 0 for none. Only with the mixture.
    readout
        "mixture", or "rls": one recursive least squares on all features, several times cheaper.
    forgetting_factor
        λ of the readout, in (0, 1]; 0.998 remembers about the last 500 samples. The mixture takes
        several as well, with experts for each.
    delta
        Prior variance of the weights of the readout; None means 0.1 in the mixture, and in a single
        RLS 0.03 for bias and input and 0.01 for the reads.
    huber
        Whether samples with large errors get less weight.
    prior
        What the readout corrects: "persistence" (the last target), "mean" (the running mean of the
        targets) or "zero".
    advance_on
        "learn": time advances by one step when a label is learned, and predictions are pure.
        "predict": for labels that come late. Time advances when x is seen by ``predict_one``, and
        ``learn_one`` trains on what was seen then: on the step with the same ``key`` where one is
        given, else on the oldest that waits with the same x. An x that nobody waits for is trained
        on as it looks now and counted in ``n_unmatched_``. ``predict_many`` and ``debug_one`` stay
        pure. Not for use inside wrappers that predict while they learn, such as
        ``conf.RegressionJackknife``: their predictions would count as steps.
    drift_detector
        A drift detector of river, fed with the absolute error in units of the scale. When it fires,
        the experts are trusted alike again and learn quickly, from where they are. None for none.
    max_features
        The largest number of columns that features take; a new name beyond it takes the column of
        the one unseen for longest, and nothing is remembered of that. None for no bound.
    categorical
        Names of the features whose values are categories, such as ``("store", "day")``: strings,
        codes, anything hashable. Each becomes a column ``name=value``, 1 for its value and 0 for
        the others; a missing one is 0 in all. None if there are none.
    trees
        Number of rows between two fits of boosted trees, which join the experts of the mixture; 0
        for none. 500 is the accurate setting: an ensemble is fitted to the last 8 000 rows, in a
        thread beside the stream, and takes over half an interval later, however long that took.
        See :mod:`river_attention.readout.boosting` for what the trees see and what they cost.
    seed
        Seed of the projections and of the trees; None draws a new one.

    Attributes
    ----------
    state_
        State of the heads, one array whose shape the mode decides; None without heads.
    bank_state_
        State of the memory bank [memory], complex; None without bank.
    expert_weights_
        Share of each expert in the prediction, by name.
    expert_losses_
        Running mean of the loss of each expert, by name.
    n_evicted_
        How often the column of a feature was given to another one.
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
    >>> from river_attention import StreamingAttentionRegressor
    >>> model = StreamingAttentionRegressor()
    >>> evaluate.progressive_val_score(datasets.TrumpApproval(), model, metrics.MAE())
    MAE: 0.19...

    A prediction with its uncertainty:

    >>> x, y = next(iter(datasets.TrumpApproval()))
    >>> model.predict_one(x, with_dist=True).sigma < 1.0
    True
    """

    _readouts: ClassVar[tuple[str, ...]] = ("mixture", "rls")

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
        readout: str = "mixture",
        forgetting_factor: float | tuple[float, ...] = 0.998,
        delta: float | None = None,
        huber: bool = True,
        prior: str = "persistence",
        advance_on: str = "learn",
        drift_detector: base.DriftDetector | None = None,
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
        self.readout = check_choice("readout", readout, self._readouts)
        self.forgetting_factor = forgetting_factor
        self.delta = None if delta is None else check_number("delta", delta, above=0.0)
        self.huber = check_bool("huber", huber)
        self.prior = prior
        self.advance_on = check_choice("advance_on", advance_on, ("learn", "predict"))
        self.drift_detector = drift_detector
        self.max_features = max_features
        self.categorical = check_categorical(categorical)
        self.trees = check_int("trees", trees, 0)
        self.seed = seed
        has_experts = readout == "mixture"
        n_long = long_lags if has_experts else 0
        drawn = resolve_seed(seed)
        memories = self._memories(drawn, Retrieval)
        context = CONTEXT + (EXPERTS_CONTEXT if has_experts else ())
        features = MemoryFeatures(
            memories,
            n_lags,
            n_long,
            context,
            max_features=max_features,
            categorical=categorical,
            n_history=N_HISTORY if trees else 0,
        )
        self._check_size(features, max(n_lags, n_long))
        target = Target(
            prior,
            max(n_lags, n_long, N_LAGS if trees else 0),
            for_retrieval=window > 0,
            differences=DIFFERENCES if trees else (),
        )
        self._begin(self._build_task(features, target, drawn))

    def _build_task(self, features: MemoryFeatures, target: Target, seed: int) -> Regression:
        """Features and target with the readout behind them."""
        readout = self._build_readout(features.n_reads, seed)
        return Regression(features, target, readout, build_detector(self.drift_detector))

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"mode": "gla_vector", "memory": 0, "window": 20, "prior": "mean"}
        yield {"mode": None, "memory": 2, "forgetting_factor": (0.99, 1.0)}
        yield {"n_heads": 1, "n_lags": 0, "readout": "rls", "huber": False}
        yield {"mode": "gla", "memory": 0, "window": 20, "long_lags": 10, "trees": 200}
        yield {
            "mode": "gla",
            "memory": 0,
            "window": 0,
            "n_lags": 0,
            "long_lags": 0,
            "readout": "rls",
            "forgetting_factor": 1.0,
            "delta": 0.1,
            "prior": "zero",
        }

    def _build_readout(self, n_reads: int, seed: int) -> Mixture | SingleReadout:
        factors = check_factors(self.forgetting_factor)
        if self.readout == "mixture":
            names = READS if self.window else ()
            rows = experts(n_reads, self.long_lags, names, factors, self.delta, self.huber)
            eta = ETA if self.advance_on == "learn" else ETA_LATE
            if self.trees:
                return BoostedMixture(rows, eta, Boosted(self.trees, seed))
            return Mixture(rows, eta)
        if self.trees:
            raise ValueError(
                f"trees={self.trees!r}: they are an expert of readout='mixture', and there are no "
                f"experts in readout={self.readout!r}"
            )
        if len(factors) > 1:
            raise ValueError(
                f"forgetting_factor={self.forgetting_factor!r}: one number for readout='rls'; "
                "several take readout='mixture'"
            )
        return SingleReadout(n_reads, factors[0], self.delta, self.huber)

    def predict_one(
        self, x: dict[Any, Any], key: Hashable | None = None, *, with_dist: bool = False
    ) -> Any:
        """The prediction if x came next; 0.0 before any target is known.

        Parameters
        ----------
        x
            Features.
        key
            What ``learn_one`` will find the step by; with ``advance_on="predict"`` only.
        with_dist
            Whether to give a normal distribution instead of a number. Its central 90 % are as wide
            as the interval of ``predict_interval_one``, widened by the uncertainty of the weights;
            before anything was learned it is wide.
        """
        twin = self._twin
        if twin is not None:
            answer = twin.distribution(x) if with_dist else twin.predict(x)
            late = self.advance_on == "predict"
            if answer is not None and not (late and twin.new):
                if late:
                    self._see_compiled(key)
                return normal(*answer) if with_dist else answer
        return self._see(x, key, self._distribution if with_dist else self.task_.value)

    def predict_interval_one(self, x: dict[Any, Any], level: Levels = 0.9) -> Any:
        """Where the target lies if x came next. Changes nothing, wherever time advances.

        From quantiles of the errors so far, in units of how large errors are just now: the share of
        targets inside is close to ``level`` in the long run, and in every few hundred rows, whether
        errors are normal or not; see :mod:`river_attention.readout.intervals`. Before anything was
        learned it is wide. The prediction is inside, unless errors are one-sided or the level is
        low. Where labels come late, an error is judged by the interval of when x was seen; so ask
        for it before ``predict_one`` lets time pass.

        Parameters
        ----------
        x
            Features.
        level
            How probable the target is inside, in (0, 1); or a list or tuple of levels.

        Returns
        -------
        (low, high), or a list of them, one for each level; those of higher levels contain those of
        lower ones.

        Examples
        --------
        >>> from river import datasets
        >>> from river_attention import StreamingAttentionRegressor
        >>> model, inside = StreamingAttentionRegressor(), []
        >>> for x, y in datasets.TrumpApproval():
        ...     low, high = model.predict_interval_one(x, level=0.8)
        ...     inside.append(low <= y <= high)
        ...     model.learn_one(x, y)
        >>> round(sum(inside) / len(inside), 2)
        0.8
        """
        levels, single = check_levels(level)
        intervals = None if self._twin is None else self._twin.intervals(x, levels)
        if intervals is None:
            intervals = self.task_.intervals(self._step(x).evidence, levels)
        return intervals[0] if single else intervals

    def _distribution(self, evidence: Evidence) -> proba.Gaussian:
        task = self.task_
        return normal(task.value(evidence), task.variance(evidence))

    def rollout(self) -> Rollout:
        """A look ahead, step by step, with targets of your choice; the model stays as it is.

        The rollout is valid until the model learns or advances; see
        :class:`river_attention.core.Rollout`.
        """
        twin = None if self._twin is None else self._twin.branch()
        return Rollout(self.task_ if twin is None else self._task, twin)

    def debug_one(self, x: dict[Any, Any]) -> str:
        """How the prediction for x comes about, as text.

        The experts with their shares and predictions, the past steps that retrieval looks back to,
        and every feature of the linear expert on all features with its weight and contribution.
        """
        return explain_regression(self.task_, self.prior, self._step(x))
