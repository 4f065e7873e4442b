"""What a model trusts, holds, and looks back to."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._figure import axes_for
from ..look import features_of, looked_back, state_norms

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

_FAMILIES = {"head": "#1f77b4", "bank": "#2ca02c", "neuron": "#9467bd"}
# shares that never reach this are drawn as one
_SMALL = 0.03
_MOST = 9


def _stacked(history: Sequence[Mapping[str, float]]) -> dict[str, Array]:
    """Shares over time by name, those that never matter together as "others"."""
    names = list(dict.fromkeys(name for shares in history for name in shares))
    table = {name: np.array([shares.get(name, 0.0) for shares in history]) for name in names}
    names.sort(key=lambda name: -float(table[name].mean()))
    shown = [name for name in names if table[name].max() >= _SMALL][:_MOST]
    layers = {name: table[name] for name in shown}
    rest = [table[name] for name in names if name not in layers]
    if rest:
        layers["others"] = np.sum(rest, axis=0)
    return layers


def plot_expert_weights(shares: Any, *, rows: Any = None, ax: Any = None) -> Axes:
    """Draw how far each expert is trusted.

    Parameters
    ----------
    shares
        A model: one bar for every expert, or for a forecaster all experts over the steps ahead. Or
        what ``model.expert_weights_`` said over time, a list of dicts.
    rows
        The numbers of the rows at which it was asked [n]; None counts from 0.
    ax
        Where to draw; None for new axes.

    Examples
    --------
    >>> from river_attention import StreamingAttentionRegressor
    >>> from river_attention.plot import plot_expert_weights
    >>> model, history = StreamingAttentionRegressor(), []
    >>> for t in range(30):
    ...     model.learn_one({}, t % 3)
    ...     history.append(model.expert_weights_)
    >>> ax = plot_expert_weights(history)
    >>> round(sum(layer.get_paths()[0].vertices[:, 1].max() > 0 for layer in ax.collections)) > 2
    True
    """
    history, label = shares, "row"
    if hasattr(shares, "expert_weights_"):
        history = shares.expert_weights_
        if isinstance(history, Mapping):
            return _bars(history, ax)
        label = "steps ahead"
        rows = np.arange(1, len(history) + 1) if rows is None else rows
    history = list(history)
    if not history or not all(isinstance(each, Mapping) for each in history):
        raise ValueError("shares: must be a model with expert_weights_, or a list of dicts")
    at = np.arange(len(history)) if rows is None else np.asarray(rows)
    if len(at) != len(history):
        raise ValueError(f"rows: are {len(at)}, shares were asked {len(history)} times")
    layers = _stacked(history)
    ax = axes_for(ax)
    colours = _palette(len(layers))
    ax.stackplot(at, *layers.values(), labels=list(layers), colors=colours, linewidth=0.0)
    ax.set(xlabel=label, ylabel="share of the prediction", ylim=(0.0, 1.0))
    ax.margins(x=0.0)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return ax


def _palette(n: int) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps["tab20"](i % 20) for i in range(n)]


def _bars(shares: Mapping[Any, Any], ax: Any) -> Axes:
    if any(isinstance(value, Mapping) for value in shares.values()):
        # of several targets: their mean is what the memory as a whole is trusted with
        several = [dict(value) for value in shares.values()]
        shares = {name: np.mean([each[name] for each in several]) for name in several[0]}
    names = sorted(shares, key=lambda name: shares[name])
    ax = axes_for(ax)
    ax.barh([str(name) for name in names], [shares[name] for name in names], color="#1f77b4")
    ax.set(xlabel="share of the prediction", xlim=(0.0, 1.0))
    ax.grid(alpha=0.3, axis="x")
    return ax


def plot_memory(model: Any, *, ax: Any = None) -> Axes:
    """Draw how much each part of the memory holds: heads, units of the bank, spiking neurons.

    Parts stand in the order of their time constants, as bars as high as the norm of their state.

    Parameters
    ----------
    model
        An estimator, which stays as it is.
    ax
        Where to draw; None for new axes.

    Raises
    ------
    ValueError
        If it has no recurrent memory: ``plot_attention`` is for memories over a window.

    Examples
    --------
    >>> from river_attention import StreamingAttentionRegressor
    >>> from river_attention.plot import plot_memory
    >>> model = StreamingAttentionRegressor(mode="gla", n_heads=2, memory=0)
    >>> for t in range(30):
    ...     model.learn_one({"a": t % 4}, t % 3)
    >>> ax = plot_memory(model)
    >>> all(bar.get_height() > 0.0 for bar in ax.patches)
    True
    >>> [tick.get_text().split() for tick in ax.get_xticklabels()]
    [['head', '1', 'τ', '=', '1'], ['head', '2', 'τ', '=', '64']]
    """
    norms = state_norms(model)
    if not norms:
        raise ValueError(
            f"{type(model).__name__}: has no recurrent memory; plot_attention is for those over a "
            "window"
        )
    families = list(dict.fromkeys(each.part.split()[0] for each in norms))
    norms.sort(key=lambda each: (families.index(each.part.split()[0]), each.time_constant or 0.0))
    ax = axes_for(ax)
    for family in families:
        at = [i for i, each in enumerate(norms) if each.part.startswith(family)]
        heights = [norms[i].norm for i in at]
        ax.bar(at, heights, color=_FAMILIES.get(family, "#7f7f7f"), label=family)
    few = len(norms) <= 8
    ax.set_xticks(
        range(len(norms)),
        [
            (f"{each.part}\n" if few else "")
            + ("" if each.time_constant is None else _tau(each.time_constant, few))
            for each in norms
        ],
        rotation=0 if few else 90,
        fontsize=None if few else 7,
    )
    ax.set(ylabel="norm of the state", xlabel="" if few else "time constant in steps")
    ax.grid(alpha=0.3, axis="y")
    if len(families) > 1:
        ax.legend(frameon=False)
    return ax


def _tau(steps: float, named: bool) -> str:
    return f"τ = {steps:.3g}" if named else f"{steps:.3g}"


def plot_retrieval(model: Any, x: Mapping[Any, Any] | None = None, *, ax: Any = None) -> Axes:
    """Draw how much retrieval attends to each step of the past.

    Parameters
    ----------
    model
        An estimator with ``window > 0``, which stays as it is.
    x
        Features that might come next; None for what the last labelled step looked back to.
    ax
        Where to draw; None for new axes.

    Examples
    --------
    >>> from river_attention import StreamingAttentionRegressor
    >>> from river_attention.plot import plot_retrieval
    >>> model = StreamingAttentionRegressor()
    >>> for t in range(60):
    ...     model.learn_one({}, [0.0, 1.0, 5.0][t % 3])
    >>> shares = plot_retrieval(model, {}).lines[0].get_ydata()
    >>> sorted(shares.argsort()[-4:] + 1) == [3, 6, 9, 12]
    True
    """
    shares = looked_back(model, x)
    ago = np.arange(1, len(shares) + 1)
    ax = axes_for(ax)
    ax.plot(ago, shares, color="#1f77b4", linewidth=0.9)
    ax.fill_between(ago, shares, color="#1f77b4", alpha=0.25, linewidth=0.0)
    best = np.sort(np.argsort(-shares, kind="stable")[:5])
    style = {"color": "#d62728", "linestyle": "", "marker": "o", "markersize": 4}
    ax.plot(ago[best], shares[best], label="the strongest five", **style)
    if not len(shares):
        ax.text(0.5, 0.5, "nothing stored yet", ha="center", transform=ax.transAxes)
    ax.set(xlabel="labelled steps ago", ylabel="share of the attention")
    ax.set_ylim(bottom=0.0)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return ax


def plot_attention(model: Any, x: Mapping[Any, Any] | None = None, *, ax: Any = None) -> Axes:
    """Draw what the heads of a memory over a window look at, a line of cells for each head.

    Parameters
    ----------
    model
        An estimator with softmax attention as memory, such as
        :class:`river_attention.SlidingWindowAttentionRegressor`; or weights [H, n] by age.
    x
        Features that might come next; None for what the last step looked at.
    ax
        Where to draw; None for new axes.

    Examples
    --------
    >>> from river_attention import SlidingWindowAttentionRegressor
    >>> from river_attention.plot import plot_attention
    >>> model = SlidingWindowAttentionRegressor(n_heads=2, window_size=8)
    >>> for t in range(30):
    ...     model.learn_one({"a": t % 4}, t % 3)
    >>> plot_attention(model).images[0].get_array().shape
    (2, 8)
    """
    if isinstance(model, np.ndarray):
        weights: Any = model
    elif not hasattr(model, "look_one"):
        raise ValueError(
            f"{type(model).__name__}: has no attention over a window; plot_retrieval shows what "
            "retrieval looks back to, plot_memory what a recurrent memory holds"
        )
    else:
        weights = model.attention_weights_ if x is None else model.look_one(x)
    ax = axes_for(ax, height=2.6)
    if weights is None:
        weights = np.zeros((model.n_heads, 1))
    image = ax.imshow(weights, aspect="auto", cmap="viridis", vmin=0.0, interpolation="nearest")
    ax.set_yticks(range(len(weights)), [f"head {h + 1}" for h in range(len(weights))])
    ax.set_xlabel("steps ago")
    ax.figure.colorbar(image, ax=ax, label="share of the attention")
    return ax


def plot_raster(
    spikes: Any, rows: Iterable[tuple[Any, Any]] | None = None, *, ax: Any = None
) -> Axes:
    """Draw when each neuron fires, a dot for a spike.

    Parameters
    ----------
    spikes
        Spikes [T, N], zero where there is none; or a spiking estimator, of which a copy goes on
        through ``rows`` while itself stays as it is.
    rows
        Pairs (x, y) for the copy to learn; with an estimator only.
    ax
        Where to draw; None for new axes.

    Examples
    --------
    >>> from river_attention.plot import plot_raster
    >>> ax = plot_raster([[1, 0], [0, 1], [1, 1]])
    >>> [line.get_xdata().tolist() for line in ax.lines]
    [[0, 2], [1, 2]]
    """
    if hasattr(spikes, "firing_"):
        if rows is None:
            raise ValueError("rows: a spiking model needs pairs (x, y) to be watched on")
        fired = _fired(spikes, rows)
    else:
        fired = np.asarray(spikes)
    if fired.ndim != 2:
        raise ValueError(f"spikes: must be of shape [T, N], not {fired.shape}")
    ax = axes_for(ax)
    for neuron, column in enumerate(fired.T):
        at = np.flatnonzero(column)
        ax.plot(at, np.full(len(at), neuron + 1), linestyle="", marker="|", color="black")
    ax.set(xlabel="step", ylabel="neuron", ylim=(0.4, fired.shape[1] + 0.6))
    ax.set_xlim(-0.5, max(len(fired), 1) - 0.5)
    rate = float((fired != 0).mean()) if fired.size else 0.0
    ax.set_title(f"{fired.shape[1]} neurons, {rate:.2g} spikes per step of each")
    return ax


def _fired(model: Any, rows: Iterable[tuple[Any, Any]]) -> Array:
    watched = copy.deepcopy(model)
    n = len(features_of(watched).states["spiking"].spikes)
    spikes = []
    for x, y in rows:
        watched.learn_one(x, y)
        spikes.append(watched.firing_.spikes.copy())
    return np.array(spikes).reshape(-1, n)
