"""A regressor with temporal memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from river import base
from river.utils import pretty

from .._validation import (
    check_bool,
    check_choice,
    check_int,
    check_number,
    check_target,
    check_weight,
)
from ..modes import Mode
from ..readout import RecursiveLeastSquares, Target
from ._base import BlockMixin, StreamMixin, resolve_seed
from ._features import MemoryFeatures, Step

PRIOR_VARIANCE_READS = 0.01
PRIOR_VARIANCE_SKIP = 0.03
LEAK = 8


class StreamingAttentionRegressor(StreamMixin, BlockMixin, base.MiniBatchRegressor):
    r"""Regression on a stream with a memory of its past.

    .. math::

        \hat y_t = y_{t-1} + s_r\, w^\top \varphi_t, \qquad
        \varphi_t = [\mathrm{std}(o_t),\ 1,\ u_t], \qquad u_t = [y \text{ lags},\ \hat x_t]

    The input u_t — features standardised online and the last targets — is written into the state of
    linear attention heads and a bank of damped oscillators, whose reads o_t join it as features of
    a robust recursive least squares readout. It learns steps from the last target, in units of a
    robust running scale s_r.

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
    n_lags
        Number of past targets in the input; 0 for none.
    readout
        "rls", recursive least squares.
    forgetting_factor
        λ of the readout, in (0, 1]; 0.998 remembers about the last 500 samples.
    delta
        Prior variance of the weights of the readout; None means 0.03 for bias and input and 0.01
        for the reads.
    huber
        Whether samples with large errors get less weight.
    prior
        What the readout corrects: "persistence" (the last target), "mean" (the running mean of the
        targets) or "zero".
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
    >>> from river import datasets, evaluate, metrics
    >>> from river_attention import StreamingAttentionRegressor
    >>> model = StreamingAttentionRegressor()
    >>> evaluate.progressive_val_score(datasets.TrumpApproval(), model, metrics.MAE())
    MAE: 0.22...
    """

    def __init__(
        self,
        mode: str | Mode | None = "gated_delta_net",
        n_heads: int = 4,
        d_key: int = 4,
        d_value: int = 4,
        memory: int = 16,
        n_lags: int = 6,
        readout: str = "rls",
        forgetting_factor: float = 0.998,
        delta: float | None = None,
        huber: bool = True,
        prior: str = "persistence",
        seed: int | None = 42,
    ) -> None:
        self.mode = mode
        self.n_heads = n_heads
        self.d_key = d_key
        self.d_value = d_value
        self.memory = memory
        self.n_lags = n_lags
        self.readout = check_choice("readout", readout, ("rls",))
        self.forgetting_factor = forgetting_factor
        self.delta = delta
        self.huber = check_bool("huber", huber)
        self.prior = prior
        self.seed = seed
        if delta is not None:
            check_number("delta", delta, above=0.0)
        self._features = MemoryFeatures(
            mode,
            n_heads,
            d_key,
            d_value,
            memory,
            check_int("n_lags", n_lags, 0),
            resolve_seed(seed),
        )
        self._target = Target(prior, n_lags)
        variance = PRIOR_VARIANCE_READS if delta is None else delta
        self._rls = RecursiveLeastSquares(
            forgetting_factor, np.full(self._features.n_reads, variance), leak=LEAK, huber=huber
        )
        self._rls.extend(np.full(1, self._skip_variance))
        self._memo: Step | None = None

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"mode": "gla_vector", "memory": 0, "prior": "mean"}
        yield {"mode": None, "memory": 2}
        yield {"n_heads": 1, "n_lags": 0, "huber": False}
        yield {"d_key": 2, "d_value": 3, "forgetting_factor": 1.0, "delta": 0.1, "prior": "zero"}

    @property
    def _skip_variance(self) -> float:
        return PRIOR_VARIANCE_SKIP if self.delta is None else self.delta

    def _step(self, x: Mapping[Any, Any]) -> Step:
        self._memo = step = self._features.compute(x, self._target.lags, self._memo)
        return step

    def predict_one(self, x: dict[Any, Any]) -> float:
        """The prediction if x came next; 0.0 before any target is known."""
        return self._target.restore(self._rls.predict(self._step(x).phi))

    def learn_one(self, x: dict[Any, Any], y: float, w: float = 1.0) -> None:
        """Learn one sample; time advances by one step.

        Parameters
        ----------
        x
            Features.
        y
            Target, a finite number. When a label is missing, call ``advance_one(x)``.
        w
            Sample weight. With 0 time advances and the past fades, the target joins lags and
            scale, but it trains nothing.
        """
        self._learn(x, check_target(y), check_weight(w))

    def _clean(self, x: Mapping[Any, Any]) -> dict[Any, float]:
        return self._features.encoder.clean(x)

    def _learn(self, x: Mapping[Any, Any], y: float, w: float) -> None:
        step, target = self._step(x), self._target
        if target.can_learn:
            self._rls.update(step.phi, target.residual(y), w)
        self._commit(step)
        target.update(y)

    def _commit(self, step: Step) -> None:
        grown = self._features.commit(step)
        if grown:
            self._rls.extend(np.full(grown, self._skip_variance))
        self._memo = None

    def advance_one(self, x: dict[Any, Any]) -> None:
        """Time passes without a label: the memory takes x in, nothing is trained, lags stay."""
        self._commit(self._step(x))

    def reset_state(self) -> None:
        """Forget the stream (memory, lags), keep what was learned (scales, weights)."""
        self._features.reset()
        self._target.forget_stream()
        self._memo = None

    def debug_one(self, x: dict[Any, Any]) -> str:
        """How the prediction for x comes about, as text: every feature, its weight, its share."""
        step, target = self._step(x), self._target
        weights = self._rls.weights
        shares = target.scale * weights * step.phi
        order = np.argsort(-np.abs(shares), kind="stable")
        columns = (step.phi, weights, shares)
        table = pretty.print_table(
            headers=["Feature", "Value", "Weight", "Contribution"],
            columns=[
                [name for name in self._features.names()],
                *([f"{value:,.5f}" for value in column] for column in columns),
            ],
            order=order.tolist(),
        )
        return "\n".join(
            [
                f"Prediction: {self.predict_one(x):,.5f}",
                f"Anchor ({self.prior}): {target.anchor:,.5f}",
                f"Scale of the target: {target.scale:,.5f}",
                *(
                    f"Norm of the state ({name}): {np.linalg.norm(state):,.5f}"
                    for name, state in self._features.states.items()
                ),
                "",
                table,
            ]
        )
