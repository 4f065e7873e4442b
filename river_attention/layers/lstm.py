r"""Long short-term memory (Hochreiter and Schmidhuber 1997), in layers.

.. math::

    (i, f, g, o) = W x_t + b + R h_{t-1} + b', \qquad
    c_t = \sigma(f)\, c_{t-1} + \sigma(i) \tanh(g), \qquad h_t = \sigma(o) \tanh(c_t)

Names and the order of gates are those of PyTorch. With ``layer_norm`` the input and what each layer
gives are normalised. The state [2, layers, hidden] holds h and c; the one that a sequence begins
with is constant to ``backward``, so to cut a sequence is to truncate the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import check_bool
from ..functional import qk_norm, qk_norm_backward
from ..functional.gated import sigmoid
from ..functional.recurrence import scan
from .trained import Layer, check_dtype, positive

Array = NDArray[Any]

NORM_EPS = 1e-6


def _step(state: Array, z: Array, R: Array) -> tuple[Array, Array]:
    """One step of a layer: (h, c) and Wx + b to (h, c) and [i, f, g, o, c, h]."""
    kept = np.empty((6, len(R[0])), z.dtype)
    a = (z + R.dot(state[0])).reshape(4, -1)
    kept[:4] = sigmoid(a)
    np.tanh(a[2], out=kept[2])
    i, f, g, o = kept[:4]
    kept[4] = f * state[1] + i * g
    kept[5] = o * np.tanh(kept[4])
    return kept[:3:-1], kept


def _step_back(
    state: Array, d_h: Array, gates: Array, c: Array, before: Array, R: Array
) -> tuple[Array, Array]:
    """The same backwards: gradients of (h, c) from later steps to those of earlier ones and dz."""
    i, f, g, o = gates
    tanh_c = np.tanh(c)
    dh = state[0] + d_h
    dc = state[1] + dh * o * (1.0 - tanh_c * tanh_c)
    dz = np.array(
        [
            dc * g * i * (1.0 - i),
            dc * before * f * (1.0 - f),
            dc * i * (1.0 - g * g),
            dh * tanh_c * o * (1.0 - o),
        ]
    )
    return np.array([dz.reshape(-1) @ R, dc * f]), dz


class LSTM(Layer):
    """LSTM layers; see the module for the equations.

    Parameters
    ----------
    d_in
        Length of an input.
    d_hidden
        Length of h, and of a read.
    n_layers
        Number of layers.
    layer_norm
        Whether the input and the output of every layer are normalised.
    seed
        Seed of the weights; None draws a new one.
    dtype
        "float64" or "float32", of weights, state and reads.

    Examples
    --------
    >>> import numpy as np
    >>> layer = LSTM(3, 4, n_layers=2, seed=1)
    >>> reads, final = layer.forward(np.ones((5, 3)))
    >>> reads.shape, final.shape
    ((5, 4), (2, 2, 4))
    """

    def __init__(
        self,
        d_in: int,
        d_hidden: int,
        n_layers: int = 1,
        layer_norm: bool = True,
        seed: int | None = None,
        dtype: str = "float64",
    ) -> None:
        positive(d_in=d_in, d_hidden=d_hidden, n_layers=n_layers)
        self.d_in, self.d_hidden, self.n_layers = d_in, d_hidden, n_layers
        self.layer_norm, self.seed = check_bool("layer_norm", layer_norm), seed
        self.n_outputs, self.dtype = d_hidden, check_dtype(dtype)
        self._begin(seed)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        if self.layer_norm:
            shapes |= {"in_gain": (self.d_in,), "in_bias": (self.d_in,)}
        width, h = self.d_in, self.d_hidden
        for i in range(self.n_layers):
            shapes[f"weight_ih_l{i}"] = (4 * h, width)
            shapes[f"weight_hh_l{i}"] = (4 * h, h)
            shapes |= {f"bias_ih_l{i}": (4 * h,), f"bias_hh_l{i}": (4 * h,)}
            if self.layer_norm:
                shapes |= {f"out_l{i}_gain": (h,), f"out_l{i}_bias": (h,)}
            width = h
        return shapes

    def _draw(self, rng: np.random.Generator) -> None:
        """Glorot for the input, an orthogonal matrix a gate, a bias of 1 for the forget gate."""
        super()._draw(rng)
        h = self.d_hidden
        for i in range(self.n_layers):
            weight = self.p[f"weight_ih_l{i}"]
            limit = math.sqrt(6.0 / (weight.shape[1] + h))
            weight[:] = rng.uniform(-limit, limit, size=weight.shape)
            for gate in range(4):
                q, r = np.linalg.qr(rng.normal(size=(h, h)))
                self.p[f"weight_hh_l{i}"][gate * h : (gate + 1) * h] = q * np.sign(np.diag(r))
            self.p[f"bias_ih_l{i}"][h : 2 * h] = 1.0

    @classmethod
    def _sizes(cls, params: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
        rows, d_in = np.shape(params["weight_ih_l0"])
        return {
            "d_in": d_in,
            "d_hidden": rows // 4,
            "n_layers": sum(name.startswith("weight_ih_l") for name in params),
            "layer_norm": "in_gain" in params,
        }

    def init_state(self) -> Array:
        """Zeros."""
        return np.zeros((2, self.n_layers, self.d_hidden), self.dtype)

    def commit(self, state: Array, proposal: Any) -> Any:
        """The new state, which is the proposal."""
        return proposal

    advance = commit

    def propose(self, x: Array, state: Array) -> tuple[Array, Array]:
        """One step: input [d_in] to read [d_hidden] and new state."""
        reads, final = self.forward(self._check_input(x)[None], state)
        return reads[0], final

    def _norm(self, X: Array, name: str) -> Array:
        if not self.layer_norm:
            return X
        return qk_norm(X, "layer", self.p[f"{name}_gain"], self.p[f"{name}_bias"], NORM_EPS)

    def forward(self, X: Array, state: Any = None, ctx: bool = False) -> Any:
        """A sequence [T, d_in] to reads [T, d_hidden] and final state; see ``Layer``."""
        X = self._check_inputs(X)
        state = self.init_state() if state is None else self._as_own(state)
        if np.shape(state) != (2, self.n_layers, self.d_hidden):
            raise ValueError(
                f"state has shape {np.shape(state)}: expected [2, layers, hidden] = "
                f"{(2, self.n_layers, self.d_hidden)}"
            )
        final, kept = np.empty_like(state), []
        Y = self._norm(X, "in")
        for i in range(self.n_layers):
            inputs = Y
            z = inputs @ self.p[f"weight_ih_l{i}"].T
            z += self.p[f"bias_ih_l{i}"] + self.p[f"bias_hh_l{i}"]
            R = self.p[f"weight_hh_l{i}"]
            rows, final[:, i] = scan(partial(_step, R=R), state[:, i], z)
            kept.append((inputs, rows, state[:, i]))
            Y = self._norm(rows[:, 5], f"out_l{i}")
        return (Y, final, (X, kept)) if ctx else (Y, final)

    def backward(self, d_reads: Array, ctx: Any) -> tuple[Array, dict[str, Array]]:
        """Gradients of input and weights, through the whole sequence of ``ctx``."""
        X, kept = ctx
        g, n, dY = self.g, self.d_hidden, self._as_own(d_reads)
        for i in reversed(range(self.n_layers)):
            inputs, rows, (h0, c0) = kept[i]
            dY = self._norm_backward(dY, rows[:, 5], f"out_l{i}")
            before = np.concatenate([[c0], rows[:-1, 4]])
            tokens = (dY, rows[:, :4], rows[:, 4], before)
            step = partial(_step_back, R=self.p[f"weight_hh_l{i}"])
            dz, _ = scan(step, np.zeros((2, n), dY.dtype), *(token[::-1] for token in tokens))
            flat = dz[::-1].reshape(len(X), 4 * n)
            g[f"weight_ih_l{i}"] += flat.T @ inputs
            g[f"weight_hh_l{i}"] += flat.T @ np.concatenate([[h0], rows[:-1, 5]])
            g[f"bias_ih_l{i}"] += flat.sum(axis=0)
            g[f"bias_hh_l{i}"] += flat.sum(axis=0)
            dY = flat @ self.p[f"weight_ih_l{i}"]
        return self._norm_backward(dY, X, "in"), self.grads

    def _norm_backward(self, dY: Array, X: Array, name: str) -> Array:
        if not self.layer_norm:
            return dY
        dX, dgain, dbias = qk_norm_backward(dY, X, "layer", self.p[f"{name}_gain"], NORM_EPS)
        self.g[f"{name}_gain"] += dgain
        self.g[f"{name}_bias"] += dbias
        return dX
