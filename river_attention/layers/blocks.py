r"""Layers made of layers: a block with residuals, and one after the other.

.. math::

    \text{pre: } z = x + \text{attend}(N_1 x), \quad y = z + \text{ffn}(N_2 z), \qquad
    \text{post: } z = N_1(x + \text{attend}(x)), \quad y = N_2(z + \text{ffn}(z))

with ffn(z) = W' a(W z + b) + b' and a GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415, in its
form with tanh) or ReLU. Blocks normalise first by default (Xiong et al. 2020, arXiv:2002.04745).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import check_choice
from .cached import SharedKV
from .grouped_query import GroupedQueryAttention
from .trained import Dense, Layer, LayerNorm, check_dtype, positive

Array = NDArray[Any]

_ROOT = math.sqrt(2.0 / math.pi)


def _gelu(x: Array) -> tuple[Array, Array]:
    """Values and slopes."""
    inner = np.tanh(_ROOT * (x + 0.044715 * x**3))
    slope = 0.5 * (1.0 + inner) + 0.5 * x * (1.0 - inner**2) * _ROOT * (1.0 + 0.134145 * x**2)
    return 0.5 * x * (1.0 + inner), slope


def _relu(x: Array) -> tuple[Array, Array]:
    """Values and slopes."""
    return np.maximum(x, 0.0), (x > 0.0).astype(x.dtype)


_ACTIVATIONS = {"gelu": _gelu, "relu": _relu}


class Activation(Layer):
    """GELU or ReLU of every number."""

    def __init__(self, d: int, kind: str = "gelu", dtype: str = "float64") -> None:
        positive(d=d)
        self.dtype = check_dtype(dtype)
        self.d, self.kind = d, check_choice("kind", kind, tuple(_ACTIVATIONS))
        self.d_in = self.n_outputs = d
        self._begin(None)

    def forward(self, X: Array, state: Any = None, ctx: bool = False) -> Any:
        """Rows [T, d] to rows [T, d]."""
        Y, slope = _ACTIVATIONS[self.kind](self._check_inputs(X))
        return (Y, state, slope) if ctx else (Y, state)

    def backward(self, d_reads: Array, ctx: Any) -> tuple[Array, dict[str, Array]]:
        """Gradient of the input."""
        return self._as_own(d_reads) * ctx, self.grads


class Sequential(Layer):
    """One layer after the other; the state is the list of theirs.

    Attention with ``kv_from=i``, in a block or not, reads the keys and values of layer i.

    Examples
    --------
    >>> layer = Sequential((Dense(2, 3, seed=1), Dense(3, 1, seed=2)))
    >>> layer.forward([[1.0, 2.0]])[0].shape, list(layer.parameters())
    ((1, 1), ['0.W', '0.b', '1.W', '1.b'])
    """

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        if not layers:
            raise ValueError("layers is empty: at least one is needed")
        self.layers = tuple(layers)
        for one, two in zip(self.layers, self.layers[1:], strict=False):
            if one.n_outputs != two.d_in:
                raise ValueError(
                    f"layers: {type(one).__name__} gives {one.n_outputs} numbers, "
                    f"{type(two).__name__} takes {two.d_in}"
                )
        # who reads the keys of whom
        self._sources: dict[int, int] = {}
        for i, layer in enumerate(self.layers):
            own = _attention_of(layer)
            if own is not None and own.kv_from is not None:
                if own.kv_from >= i:
                    raise ValueError(
                        f"kv_from={own.kv_from}: must be below {i}, the layer's number"
                    )
                _check_lender(own, _attention_of(self.layers[own.kv_from]))
                self._sources[i] = own.kv_from
        self.d_in, self.n_outputs = self.layers[0].d_in, self.layers[-1].n_outputs
        self.dtype = self.layers[0].dtype
        self._begin(None)

    def _children(self) -> dict[str, Layer]:
        return {str(i): layer for i, layer in enumerate(self.layers)}

    def _exchanges(self) -> list[tuple[SharedKV, ...]]:
        """What layers get in a pass beside input and state: keys to lend or to read."""
        lent = {source: SharedKV() for source in self._sources.values()}
        of = {source: source for source in lent} | self._sources
        return [(lent[of[i]],) if i in of else () for i in range(len(self.layers))]

    def init_state(self) -> list[Any]:
        """The states of the layers."""
        return [layer.init_state() for layer in self.layers]

    def propose(self, x: Array, state: Any) -> tuple[Array, Any]:
        """One step through all layers."""
        proposals = []
        for layer, own, shared in zip(self.layers, state, self._exchanges(), strict=True):
            x, proposal = layer.propose(x, own, *shared)
            proposals.append(proposal)
        return x, proposals

    def commit(self, state: Any, proposal: Any) -> Any:
        """The states after the step of a proposal."""
        parts = zip(self.layers, state, proposal, strict=True)
        return [layer.commit(own, new) for layer, own, new in parts]

    advance = commit

    def branch(self, state: Any) -> Any:
        """Copies that may advance while the originals stay as they are."""
        return [layer.branch(own) for layer, own in zip(self.layers, state, strict=True)]

    def forward(self, X: Array, state: Any = None, ctx: bool = False) -> Any:
        """A sequence through all layers; see ``Layer``."""
        X = self._check_inputs(X)
        finals, contexts = [], []
        for i, (layer, shared) in enumerate(zip(self.layers, self._exchanges(), strict=True)):
            own = None if state is None else state[i]
            if ctx:
                X, final, context = layer.forward(X, own, True, *shared)
                contexts.append(context)
            else:
                X, final = layer.forward(X, own, False, *shared)
            finals.append(final)
        return (X, finals, contexts) if ctx else (X, finals)

    def backward(self, d_reads: Array, ctx: Any) -> tuple[Array, dict[str, Array]]:
        """Gradients of input and weights of all layers."""
        for layer, context in zip(reversed(self.layers), reversed(ctx), strict=True):
            d_reads, _ = layer.backward(d_reads, context)
        return d_reads, self.grads


class TransformerBlock(Layer):
    """A layer between residuals, and a net of two layers behind it; see the module.

    Parameters
    ----------
    attention
        A layer with as many outputs as inputs; the block has its dtype.
    norm
        "pre" or "post".
    ffn_dim
        Width of the net; None for no net.
    activation
        "gelu" or "relu".
    seed
        Seed of the net; None draws a new one.
    """

    def __init__(
        self,
        attention: Layer,
        norm: str = "pre",
        ffn_dim: int | None = None,
        activation: str = "gelu",
        seed: int | None = None,
    ) -> None:
        d = attention.d_in
        if attention.n_outputs != d:
            raise ValueError(
                f"attention gives {attention.n_outputs} numbers for {d}: a residual needs as many"
            )
        self.attention, self.ffn_dim, self.seed = attention, ffn_dim, seed
        self.norm = check_choice("norm", norm, ("pre", "post"))
        self.activation = check_choice("activation", activation, tuple(_ACTIVATIONS))
        self.d_in = self.n_outputs = d
        self.dtype = attention.dtype
        self._norm1 = LayerNorm(d, dtype=self.dtype)
        self._parts: dict[str, Layer] = {"attention": attention, "norm1": self._norm1}
        self._ffn: Sequential | None = None
        if ffn_dim is not None:
            positive(ffn_dim=ffn_dim)
            second = None if seed is None else seed + 1
            self._ffn = Sequential(
                (
                    Dense(d, ffn_dim, seed=seed, dtype=self.dtype),
                    Activation(ffn_dim, activation, self.dtype),
                    Dense(ffn_dim, d, seed=second, dtype=self.dtype),
                )
            )
            self._norm2 = LayerNorm(d, dtype=self.dtype)
            self._parts |= {"norm2": self._norm2, "ffn": self._ffn}
        self._begin(seed)

    def _children(self) -> dict[str, Layer]:
        return self._parts

    def init_state(self) -> Any:
        """The state of the attention."""
        return self.attention.init_state()

    def propose(self, x: Array, state: Any, *shared: SharedKV) -> tuple[Array, Any]:
        """One step; the proposal is that of the attention, ``shared`` goes to it."""
        x = self._check_input(x)
        inner = self._norm1.forward(x[None])[0][0] if self.norm == "pre" else x
        read, proposal = self.attention.propose(inner, state, *shared)
        z = (x + read)[None]
        if self.norm == "post":
            z, _ = self._norm1.forward(z)
        if self._ffn is not None:
            if self.norm == "pre":
                z = z + self._ffn.forward(self._norm2.forward(z)[0])[0]
            else:
                z, _ = self._norm2.forward(z + self._ffn.forward(z)[0])
        return z[0], proposal

    def commit(self, state: Any, proposal: Any) -> Any:
        """The state of the attention after the step."""
        return self.attention.commit(state, proposal)

    advance = commit

    def branch(self, state: Any) -> Any:
        """A copy that may advance while the original stays as it is."""
        return self.attention.branch(state)

    def forward(self, X: Array, state: Any = None, ctx: bool = False, *shared: SharedKV) -> Any:
        """A sequence [T, d]; see ``Layer``. ``shared`` goes to the attention."""
        X = self._check_inputs(X)
        pre, contexts = self.norm == "pre", {}

        def through(name: str, rows: Array, own: Any = None, *more: SharedKV) -> Any:
            if not ctx:
                return self._parts[name].forward(rows, own, False, *more)
            *result, contexts[name] = self._parts[name].forward(rows, own, True, *more)
            return result

        inner = through("norm1", X)[0] if pre else X
        read, final = through("attention", inner, state, *shared)
        z = X + read
        if not pre:
            z = through("norm1", z)[0]
        if self._ffn is not None:
            if pre:
                z = z + through("ffn", through("norm2", z)[0])[0]
            else:
                z = through("norm2", z + through("ffn", z)[0])[0]
        return (z, final, contexts) if ctx else (z, final)

    def backward(self, d_reads: Array, ctx: Any) -> tuple[Array, dict[str, Array]]:
        """Gradients of input and weights of all parts."""

        def back(name: str, d: Array) -> Array:
            return self._parts[name].backward(d, ctx[name])[0]

        dz = self._as_own(d_reads)
        if self.norm == "pre":
            if self._ffn is not None:
                dz = dz + back("norm2", back("ffn", dz))
            return dz + back("norm1", back("attention", dz)), self.grads
        if self._ffn is not None:
            dz = back("norm2", dz)
            dz = dz + back("ffn", dz)
        dz = back("norm1", dz)
        return dz + back("attention", dz), self.grads


def _attention_of(layer: Layer) -> GroupedQueryAttention | None:
    """The layer itself, or the one in a block, if it is attention with keys and values."""
    inner = layer.attention if isinstance(layer, TransformerBlock) else layer
    return inner if isinstance(inner, GroupedQueryAttention) else None


def _check_lender(reader: GroupedQueryAttention, lender: GroupedQueryAttention | None) -> None:
    """Raise ``ValueError`` unless a layer can read the keys and values of another."""
    which = f"kv_from={reader.kv_from}"
    if lender is None or lender.kv_from is not None:
        raise ValueError(f"{which}: that layer has no keys and values of its own")
    same = {
        "head_dim": (reader._d, lender._d),
        "n_kv_heads": (reader._n_kv, lender._n_kv),
        "causal": (reader.causal, lender.causal),
        "position='rope'": (reader.position == "rope", lender.position == "rope"),
    }
    if reader.position == lender.position == "rope":
        turning = ("rope_base", "rope_dim", "rope_scaling", "rope_interleaved")
        same |= {name: (getattr(reader, name), getattr(lender, name)) for name in turning}
    for name, (own, other) in same.items():
        if own != other:
            raise ValueError(
                f"{which}: {name} is {own}, and {other} in the layer whose keys are read; they "
                "have to be equal"
            )
    if reader.window > lender.window:
        raise ValueError(
            f"{which}: a window of {reader.window} steps, and {lender.window} in the layer whose "
            "keys are read; it may not be longer"
        )
