"""One-line constructors of regressors, named after their attention mode."""

from __future__ import annotations

from typing import Any

from ..modes import GLA, DeltaNet, GatedDeltaNet, Hawk, Mode, RetNet
from .regressor import StreamingAttentionRegressor


def streaming_attention(mode: str | Mode | None, **params: Any) -> StreamingAttentionRegressor:
    """A regressor with the given attention mode.

    Parameters
    ----------
    mode
        Name of a mode, a mode object, or None for no heads.
    params
        Arguments of :class:`StreamingAttentionRegressor`.

    Examples
    --------
    >>> streaming_attention("hgrn2", n_heads=8).n_heads
    8
    """
    return StreamingAttentionRegressor(mode=mode, **params)


def gla(gate: str = "scalar", **params: Any) -> StreamingAttentionRegressor:
    """A regressor with gated linear attention, see :class:`river_attention.modes.GLA`.

    Examples
    --------
    >>> gla(gate="vector").mode
    GLA(gate='vector', read='after')
    """
    return streaming_attention(GLA(gate=gate), **params)


def delta_net(**params: Any) -> StreamingAttentionRegressor:
    """A regressor with the delta rule, see :class:`river_attention.modes.DeltaNet`.

    Examples
    --------
    >>> delta_net().mode
    DeltaNet(tied=False, read='after')
    """
    return streaming_attention(DeltaNet(), **params)


def gated_delta_net(
    beta: str = "per_token", beta_scale: float = 1.0, **params: Any
) -> StreamingAttentionRegressor:
    """A regressor with the gated delta rule, see :class:`river_attention.modes.GatedDeltaNet`.

    Examples
    --------
    >>> gated_delta_net(beta="static", memory=0).mode.beta
    'static'
    """
    return streaming_attention(GatedDeltaNet(beta=beta, beta_scale=beta_scale), **params)


def hawk(**params: Any) -> StreamingAttentionRegressor:
    """A regressor with real-gated linear recurrent units, see :class:`river_attention.modes.Hawk`.

    Examples
    --------
    >>> hawk().mode
    Hawk()
    """
    return streaming_attention(Hawk(), **params)


def ret_net(
    gamma: float | tuple[float, ...] | None = None, rotary: bool = False, **params: Any
) -> StreamingAttentionRegressor:
    """A regressor with retention, see :class:`river_attention.modes.RetNet`.

    Examples
    --------
    >>> ret_net(gamma=0.95).mode.gamma
    0.95
    """
    return streaming_attention(RetNet(gamma=gamma, rotary=rotary), **params)
