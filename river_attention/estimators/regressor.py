"""A regressor with temporal memory."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
from river import base, proba
from river.utils import pretty

from .._validation import (
    check_bool,
    check_choice,
    check_int,
    check_number,
    check_target,
    check_weight,
)
from ..layers.retrieval import METRICS, TEMPERATURES
from ..modes import Mode
from ..readout import Mixture, SingleReadout, Target
from ..readout.mixture import ETA_LATE
from ._base import BlockMixin, LabelledMixin, resolve_seed
from ._features import MemoryFeatures, Step
from ._pending import PendingSteps

LEAK = 8
_READ_NAMES = tuple(f"retrieval a={a:g} h={h:g}" for a in METRICS for h in TEMPERATURES)
_WIDE = 1000.0


class StreamingAttentionRegressor(LabelledMixin, BlockMixin, base.MiniBatchRegressor):
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
    seed
        Seed of the projections; None draws a new one.

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
        self.readout = check_choice("readout", readout, ("mixture", "rls"))
        self.forgetting_factor = forgetting_factor
        self.delta = None if delta is None else check_number("delta", delta, above=0.0)
        self.huber = check_bool("huber", huber)
        self.prior = prior
        self.advance_on = check_choice("advance_on", advance_on, ("learn", "predict"))
        self.drift_detector = drift_detector
        self.seed = seed
        self._features = MemoryFeatures(
            mode,
            n_heads,
            d_key,
            d_value,
            memory,
            window=window,
            n_lags=n_lags,
            n_long=long_lags if readout == "mixture" else 0,
            experts=readout == "mixture",
            seed=resolve_seed(seed),
        )
        self._target = Target(
            prior,
            max(n_lags, long_lags if readout == "mixture" else 0),
            for_retrieval=window > 0,
        )
        self._readout = self._build_readout()
        self._detector = self._build_detector()
        self._pending = PendingSteps()
        self.n_unmatched_ = 0
        self.n_drifts_ = 0
        self._memo: Step | None = None

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"mode": "gla_vector", "memory": 0, "window": 20, "prior": "mean"}
        yield {"mode": None, "memory": 2, "forgetting_factor": (0.99, 1.0)}
        yield {"n_heads": 1, "n_lags": 0, "readout": "rls", "huber": False}
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

    def _build_readout(self) -> Mixture | SingleReadout:
        factors = self.forgetting_factor
        factors = factors if isinstance(factors, tuple) else (factors,)
        for factor in factors:
            check_number("forgetting_factor", factor, above=0.0, at_most=1.0)
        if len(set(factors)) != len(factors) or not factors:
            raise ValueError(
                f"forgetting_factor={self.forgetting_factor!r}: must be different numbers"
            )
        if self.readout == "mixture":
            return Mixture(
                self._features.n_reads,
                self.long_lags,
                _READ_NAMES if self.window else (),
                factors,
                self.delta,
                LEAK,
                self.huber,
                eta=ETA_LATE if self.advance_on == "predict" else None,
            )
        if len(factors) > 1:
            raise ValueError(
                f"forgetting_factor={self.forgetting_factor!r}: one number for readout='rls'; "
                "several take readout='mixture'"
            )
        return SingleReadout(self._features.n_reads, factors[0], self.delta, LEAK, self.huber)

    def _build_detector(self) -> base.DriftDetector | None:
        detector = self.drift_detector
        if detector is None:
            return None
        if isinstance(detector, base.BinaryDriftDetector) or not isinstance(
            detector, base.DriftDetector
        ):
            raise ValueError(
                f"drift_detector={detector!r}: must be a river drift detector for real numbers, "
                "such as river.drift.ADWIN() or river.drift.PageHinkley()"
            )
        return detector.clone()

    @property
    def retrieved_(self) -> list[tuple[int, float]]:
        """The past steps that looked most like the last labelled one."""
        retrieval, store = self._features.retrieval, self._features.store
        if retrieval is None or store is None:
            return []
        return retrieval.strongest_of_last(store)

    def _step(self, x: Mapping[Any, Any]) -> Step:
        self._memo = step = self._features.compute(x, self._target, self._memo)
        if step.prediction is None:
            step.prediction, step.experts = self._readout.predict(step.inputs)
        return step

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
            Whether to give a normal distribution instead of a number. Its standard deviation
            comes from the errors of the experts, their disagreement and the uncertainty of their
            weights; before anything was learned it is wide.
        """
        step = self._step(x)
        answer = self._distribution(step) if with_dist else self._restored(step)
        if self.advance_on == "predict":
            waits_under = self._key(step, key)
            self._commit(step)
            step.lighten()
            self._pending.add(waits_under, step)
        return answer

    def _predict(self, x: Mapping[Any, Any]) -> float:
        return self._restored(self._step(x))

    def _restored(self, step: Step) -> float:
        return self._target.restore(step.prediction or 0.0)

    def _distribution(self, step: Step) -> proba.Gaussian:
        target = self._target
        if target.scale > 0.0:
            variance = target.scale * (target.scale * self._readout.variance(step.inputs))
        else:
            variance = (_WIDE * max(1.0, abs(target.anchor))) ** 2
        return proba.Gaussian._from_state(1, self._restored(step), min(variance, 1e300), 0)

    def _key(self, step: Step, key: Hashable | None) -> Hashable:
        if key is None:
            return ("x", self._features.signature(step.encoded))
        hash(key)
        return ("key", key)

    def learn_one(
        self, x: dict[Any, Any], y: float, w: float = 1.0, key: Hashable | None = None
    ) -> None:
        """Learn one sample; time advances by one step, unless it did when x was seen.

        Parameters
        ----------
        x
            Features.
        y
            Target, a finite number. When a label is missing, call ``advance_one(x)``.
        w
            Sample weight. With 0 time advances and the past fades, the target joins lags and
            scale, but it trains nothing.
        key
            What ``predict_one`` was given; with ``advance_on="predict"`` only.
        """
        self._learn(x, check_target(y), check_weight(w), key)

    def _clean(self, x: Mapping[Any, Any]) -> dict[Any, float]:
        return self._features.encoder.clean(x)

    def _learn(self, x: Mapping[Any, Any], y: float, w: float, key: Hashable | None = None) -> None:
        if self.advance_on == "learn":
            step = self._step(x)
            self._train(step, y, w)
            self._commit(step)
        else:
            self._train(self._find(x, key), y, w)
            self._memo = None
        self._target.update(y)

    def _find(self, x: Mapping[Any, Any], key: Hashable | None) -> Step:
        """The step that waits for the label of x; without one, the step that x would make now."""
        step = self._step(x)
        waiting: Step | None = self._pending.pop(self._key(step, key))
        if waiting is None:
            self.n_unmatched_ += 1
            return step
        return waiting

    def _train(self, step: Step, y: float, w: float) -> None:
        """Learn a label with what was seen then, in units of the scale of now."""
        target = self._target
        if target.scale == 0.0 or not step.known:
            return
        r, prediction = target.residual(y, step.anchor), step.prediction or 0.0
        drifted = w > 0.0 and self._detector is not None and self._drifted(abs(r - prediction))
        self._readout.update(step.inputs, prediction, step.experts, r, w)
        if w > 0.0:
            self._features.remember(step.scaled, step.delta, r)
        if drifted:
            self.n_drifts_ += 1
            self._readout.reopen()

    def _drifted(self, error: float) -> bool:
        """Tell the drift detector."""
        if self._detector is None:
            return False
        self._detector.update(error)
        return self._detector.drift_detected

    def _commit(self, step: Step) -> None:
        n_lags, n_inputs = self._features.commit(step)
        if n_lags or n_inputs:
            self._readout.extend(n_lags, n_inputs)
        self._memo = None

    def advance_one(self, x: dict[Any, Any]) -> None:
        """Time passes without a label: the memory takes x in, nothing is trained, lags stay."""
        self._commit(self._step(x))

    def reset_state(self) -> None:
        """Forget the stream (memory, lags), keep what was learned (scales, weights)."""
        self._features.reset()
        self._target.forget_stream()
        self._pending.clear()
        self._memo = None

    def debug_one(self, x: dict[Any, Any]) -> str:
        """How the prediction for x comes about, as text.

        The experts with their shares and predictions, the past steps that retrieval looks back to,
        and every feature of the linear expert on all features with its weight and contribution.
        """
        step, target, features = self._step(x), self._target, self._features
        lines = [
            f"Prediction: {self._restored(step):,.5f}",
            f"Anchor ({self.prior}): {target.anchor:,.5f}",
            f"Scale of the target: {target.scale:,.5f}",
            *(
                f"Norm of the state ({name}): {np.linalg.norm(state):,.5f}"
                for name, state in features.states.items()
            ),
        ]
        if features.retrieval is not None and features.store is not None:
            looked = features.retrieval.strongest(step.scaled, target.delta, features.store)
            lines.append(
                "Looked back to (labelled steps ago, share): "
                + (", ".join(f"{ago} ({share:.0%})" for ago, share in looked) or "nothing yet")
            )
        shares = self.expert_weights_
        said = self._readout.named(step.prediction or 0.0, step.experts)
        experts = [target.restore(said[name]) for name in shares]
        lines += ["", self._table(("Expert", "Share", "Prediction"), shares, experts)]
        linear = self._readout.linear()
        if linear is not None:
            rls, share = linear
            weights = rls.weights
            contributions = share * target.scale * weights * step.phi
            lines += [
                "",
                self._table(
                    ("Feature", "Value", "Weight", "Contribution"),
                    dict(zip(features.names(), step.phi.tolist(), strict=True)),
                    weights,
                    contributions,
                ),
            ]
        return "\n".join(lines)

    @staticmethod
    def _table(headers: tuple[str, ...], first: dict[str, float], *columns: Any) -> str:
        """A table of named numbers, the largest of the last column first."""
        values = [list(first.values()), *(list(column) for column in columns)]
        order = np.argsort(-np.abs(values[-1 if len(columns) > 1 else 0]), kind="stable")
        return pretty.print_table(
            headers=list(headers),
            columns=[list(first), *([f"{value:,.5f}" for value in column] for column in values)],
            order=order.tolist(),
        )
