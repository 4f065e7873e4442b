r"""Softmax attention over a window, with grouped heads and a cache.

.. math::

    q, k, v = W x + b, \qquad
    A_{hij} = \mathrm{softmax}_j\!\Big(\tfrac{\hat q_{ih} \cdot \hat k_{j\,g(h)}}{\sqrt d}
    + b_h(i - j)\Big), \quad 0 \le i - j < w, \qquad
    y_i = W_o\,[A_{hij} v_{j\,g(h)}]_h

Queries and keys may be normalised, and are rotated by their position or get a bias by age: ALiBi,
or a table that is learned. Keys are cached as they are scored, values as projected, w - 1 of each
(Ainslie et al. 2023, arXiv:2305.13245, for grouped heads). A step costs O(w · d) a head, and a
sequence in steps equals the sequence at once. With learned weights the cache keeps what it was
given: keys of the weights of then.

Keys may do for values, :math:`v = W_k x + b_k`, and a layer may read the keys and values of one
below it and have none of its own (Brandon et al. 2024, arXiv:2405.12981).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import check_bool, check_choice, check_int, check_number
from ..functional import (
    alibi_slopes,
    chunked_attention,
    qk_norm,
    qk_norm_backward,
    relative_bias,
    relative_bias_backward,
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
)
from ..functional.positions import ages
from .cached import NORM_EPS, Cached, SharedKV, softmax_in_place
from .caches import PagePool
from .rotation import Rotation
from .trained import Layer, check_dtype, positive

Array = NDArray[Any]

POSITIONS = ("rope", "relative", "alibi")


class GroupedQueryAttention(Cached):
    """Softmax attention with a cache; see the module for the equations.

    Parameters
    ----------
    d_model
        Length of an input, and of a read with ``out_proj``.
    n_heads, n_kv_heads
        Heads of queries, and of keys and values: a divisor of it. None for as many, 1 for one that
        all share.
    head_dim
        Length of a key; None means d_model / n_heads.
    window_size
        w, the step itself counted; None means ``max_context``.
    causal
        False looks ahead as well, in ``forward`` only: from w before to w after.
    bias
        Whether the projections of queries, keys and values have biases.
    qk_norm
        "rms", "layer" or None: whether queries and keys are normalised, with gains.
    position
        "rope", "relative" (a learned bias by age, 0 at first), "alibi" or None.
    rope_base, rope_dim, rope_scaling, rope_interleaved
        Of the rotation: base; how many channels turn, None for all; arguments of
        ``rope_frequencies`` as a dict; which channels are pairs.
    share_kv
        Whether values are the keys as projected, before they are normalised and turned: the layer
        with Wv = Wk and bv = bk, without these. Where keys are neither normalised nor turned one
        array is cached for both.
    kv_from
        Number of the layer in the same ``Sequential`` whose keys and values this one reads, as
        that one caches them: normalised and turned. It has queries only, and no cache; heads of
        keys, their length and rotation are to be those of the other, and the window no longer.
    out_proj
        Whether reads are projected; without it they are the heads side by side.
    max_context
        The window where ``window_size`` is None.
    cache, page_size
        "ring", or "paged" with so many rows a page.
    dtype
        "float64", or "float32": weights, cache and reads take half the memory, at 1e-6.
    seed
        Seed of the weights; None draws a new one.

    Examples
    --------
    >>> import numpy as np
    >>> layer = GroupedQueryAttention(6, n_heads=2, head_dim=4, window_size=3, seed=1)
    >>> X = np.random.default_rng(0).normal(size=(7, 6))
    >>> reads, final = layer.forward(X)
    >>> state = layer.init_state()
    >>> for x in X:
    ...     read, state = layer.step(x, state)
    >>> np.allclose(read, reads[-1]), len(final)
    (True, 2)
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        head_dim: int | None = None,
        *,
        window_size: int | None = None,
        causal: bool = True,
        bias: bool = True,
        qk_norm: str | None = None,
        position: str | None = "rope",
        rope_base: float = 10000.0,
        rope_dim: int | None = None,
        rope_scaling: dict[str, Any] | None = None,
        rope_interleaved: bool = False,
        share_kv: bool = False,
        kv_from: int | None = None,
        out_proj: bool = True,
        max_context: int = 1024,
        cache: str = "ring",
        page_size: int = 128,
        dtype: str = "float64",
        seed: int | None = None,
    ) -> None:
        positive(d_model=d_model, n_heads=n_heads, max_context=max_context, page_size=page_size)
        self.d_model, self.n_heads = d_model, n_heads
        self.n_kv_heads = n_kv_heads
        self._n_kv = n_heads if n_kv_heads is None else n_kv_heads
        positive(n_kv_heads=self._n_kv)
        if n_heads % self._n_kv:
            raise ValueError(f"n_kv_heads={n_kv_heads}: must divide n_heads={n_heads}")
        self.head_dim = head_dim
        if head_dim is None and d_model % n_heads:
            raise ValueError(
                f"n_heads={n_heads}: must divide d_model={d_model} where head_dim is not given"
            )
        self._d = d_model // n_heads if head_dim is None else head_dim
        self.window_size = window_size
        self.window = max_context if window_size is None else window_size
        positive(head_dim=self._d, window_size=self.window)
        self.causal = check_bool("causal", causal)
        self.bias = check_bool("bias", bias)
        self.qk_norm = (
            None if qk_norm is None else check_choice("qk_norm", qk_norm, ("rms", "layer"))
        )
        self.position = None if position is None else check_choice("position", position, POSITIONS)
        if position in ("relative", "alibi") and not causal:
            raise ValueError(f"position={position!r}: a bias by age needs causal=True")
        self.rope_base, self.rope_dim, self.rope_scaling = rope_base, rope_dim, rope_scaling
        self.rope_interleaved = check_bool("rope_interleaved", rope_interleaved)
        self.share_kv = check_bool("share_kv", share_kv)
        self.kv_from = None if kv_from is None else check_int("kv_from", kv_from, 0)
        if share_kv and kv_from is not None:
            raise ValueError(f"share_kv=True: there are no keys to share with kv_from={kv_from}")
        self.out_proj = check_bool("out_proj", out_proj)
        self.max_context = max_context
        self.cache = check_choice("cache", cache, ("ring", "paged"))
        self.page_size, self.dtype, self.seed = page_size, check_dtype(dtype), seed
        self.d_in = d_model
        self.n_outputs = d_model if out_proj else n_heads * self._d
        self._scale = 1.0 / math.sqrt(self._d)
        self._group = n_heads // self._n_kv
        # heads of keys and of values that are projected here
        self._n_k = self._n_kv if kv_from is None else 0
        self._n_v = 0 if share_kv else self._n_k
        # where a value of the cache is: with the key if the two are equal
        self._v = "k" if share_kv and position != "rope" and qk_norm is None else "v"
        if position == "rope":
            dim = self._d if rope_dim is None else rope_dim
            self._rotation = Rotation(
                self._d, dim, rope_base, rope_scaling, rope_interleaved, dtype
            )
        elif rope_dim is not None or rope_scaling is not None or rope_interleaved:
            raise ValueError(
                f"position={position!r}: rope_dim={rope_dim}, rope_scaling={rope_scaling}, "
                f"rope_interleaved={rope_interleaved} are of 'rope'"
            )
        if position == "alibi":
            self._slopes = alibi_slopes(n_heads)
        self._begin(seed)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        d, d_model = self._d, self.d_model
        heads = {"q": self.n_heads, "k": self._n_k, "v": self._n_v}
        sizes = {part: n * d for part, n in heads.items() if n}
        # the matrices stand side by side, and are one product
        shapes: dict[str, tuple[int, ...]] = {f"W{part}": (n, d_model) for part, n in sizes.items()}
        if self.bias:
            shapes |= {f"b{part}": (n,) for part, n in sizes.items()}
        if self.out_proj:
            shapes["Wo"] = (d_model, sizes["q"])
            if self.bias:
                shapes["bo"] = (d_model,)
        if self.qk_norm:
            shapes["q_norm"] = (d,)
            if self._n_k:
                shapes["k_norm"] = (d,)
        if self.position == "relative":
            shapes["relative"] = (self.n_heads, self.window)
        return shapes

    _views = (*Layer._views, "_fused", "_fused_bias")

    def _bind(self, theta: Array, gradient: Array) -> None:
        super()._bind(theta, gradient)
        n_rows = (self.n_heads + self._n_k + self._n_v) * self._d
        start = n_rows * self.d_model
        self._fused = theta[:start].reshape(n_rows, self.d_model)
        self._fused_bias = theta[start : start + n_rows] if self.bias else None

    def _draw(self, rng: np.random.Generator) -> None:
        super()._draw(rng)
        if self.position == "relative":
            self.p["relative"][:] = 0.0
        if self.position == "rope" and self.bias:
            # without them a score of rotated vectors has no part that depends on age alone
            for name in ("bq", "bk") if self._n_k else ("bq",):
                self.p[name][:] = rng.normal(size=self.p[name].shape)

    def lock_lags(self, strength: float = 8.0) -> None:
        """Let head h look at one age, by a bias of ``strength`` in the table of ages.

        Ages 0, 1, 2 and so on where there are as many heads as steps, else spread log-uniformly
        from 0 to w - 1. For weights that stay random.
        """
        if self.position != "relative":
            raise ValueError(f"position={self.position!r}: needs 'relative', a table of ages")
        strength = check_number("strength", strength, at_least=0.0)
        table = self.p["relative"]
        table[:] = 0.0
        for head, lag in enumerate(locked_lags(self.n_heads, self.window)):
            table[head, lag] = strength

    @classmethod
    def _sizes(cls, params: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
        n_rows, d_model = np.shape(params["Wq"])
        sizes: dict[str, Any] = {
            "d_model": d_model,
            "bias": "bq" in params,
            "out_proj": "Wo" in params,
            "share_kv": "Wk" in params and "Wv" not in params,
        }
        if "n_heads" in config:
            sizes["head_dim"] = d = n_rows // config["n_heads"]
            if "Wk" in params:
                sizes["n_kv_heads"] = len(params["Wk"]) // config.get("head_dim", d)
        return sizes

    def _fields(self) -> dict[str, tuple[int, ...]]:
        return {field: (self._n_kv, self._d) for field in ("k", self._v)}

    def init_state(self, pool: PagePool | None = None) -> Any:
        """An empty cache; None for a layer that reads that of another."""
        return None if self.kv_from is not None else super().init_state(pool)

    def commit(self, state: Any, proposal: Any) -> Any:
        """The state after the step of a proposal, changed in place."""
        return None if self.kv_from is not None else super().commit(state, proposal)

    advance = commit

    def _lent(self, shared: SharedKV | None) -> SharedKV:
        if shared is None or shared.k is None:
            raise ValueError(
                f"kv_from={self.kv_from}: needs the keys and values of that layer; "
                "put both into a Sequential"
            )
        return shared

    def _normed(self, x: Array, gain: str) -> Array:
        return qk_norm(x, self.qk_norm, self.p[gain], eps=NORM_EPS) if self.qk_norm else x

    def propose(self, x: Array, state: Any, shared: SharedKV | None = None) -> tuple[Array, Any]:
        """One step: input [d_model] and cache to read [n_outputs] and what is to be cached.

        ``shared`` takes key and value to layers that read them as well, or brings those of another.
        """
        if not self.causal:
            raise ValueError("causal=False: a step cannot look ahead; use forward")
        n_q, n_kv, d = self.n_heads, self._n_kv, self._d
        z = self._fused.dot(self._check_input(x))
        if self._fused_bias is not None:
            z += self._fused_bias
        z = z.reshape(-1, d)
        n_qk = n_q + self._n_k
        qk = z[:n_qk]
        source = state if self._n_k else self._lent(shared).state
        if self.qk_norm:
            normed = [self._normed(qk[:n_q], "q_norm")]
            if self._n_k:
                normed.append(self._normed(qk[n_q:], "k_norm"))
            qk = np.concatenate(normed)
        if self.position == "rope":
            qk = self._rotation.step(qk, source.n_appended)
        q = qk[:n_q].reshape(n_kv, self._group, d) * self._scale
        if self._n_k:
            k, v = qk[n_q:], z[-n_kv:]
            if shared is not None:
                shared.state, shared.k, shared.v, shared.field = state, k, v, self._v
            row, field = {"k": k, self._v: v}, self._v
        else:
            lent = self._lent(shared)
            k, v, row, field = lent.k, lent.v, {}, lent.field
        parts = self._past(source)
        n = sum(len(part["k"]) for part in parts)
        a = np.empty((n_kv, self._group, n + 1), z.dtype)
        start = 0
        for part in parts:
            stop = start + len(part["k"])
            np.matmul(q, part["k"].transpose(1, 2, 0), out=a[:, :, start:stop])
            start = stop
        a[:, :, n] = np.matmul(q, k[:, :, None])[:, :, 0]
        if self.position == "relative":
            a += self.p["relative"][:, n::-1].reshape(a.shape)
        elif self.position == "alibi":
            a -= (self._slopes[:, None] * np.arange(n, -1, -1.0)).reshape(a.shape)
        softmax_in_place(a)
        out = a[:, :, n:] * v[:, None, :]
        start = 0
        for part in parts:
            stop = start + len(part["k"])
            out += np.matmul(a[:, :, start:stop], part[field].transpose(1, 0, 2))
            start = stop
        read = out.reshape(-1)
        if self.out_proj:
            read = self.p["Wo"].dot(read)
            if self.bias:
                read += self.p["bo"]
        return read, (row, a.reshape(n_q, n + 1))

    def attention_weights(self, x: Array, state: Any) -> Array:
        """What the step of x would look at: weights by age [H, n], the step itself first."""
        _, _, context = self.forward(np.asarray(x)[None], state, ctx=True)
        weights: Array = context["weights"][:, 0, ::-1]
        return weights

    def forward(
        self, X: Array, state: Any = None, ctx: bool = False, shared: SharedKV | None = None
    ) -> Any:
        """A sequence [T, d_model] to reads [T, n_outputs] and final state; see ``Layer``.

        ``shared`` takes keys and values to layers that read them as well, or brings those of
        another.
        """
        X = self._check_inputs(X)
        n_q, d, n_steps = self.n_heads, self._d, len(X)
        z = X @ self._fused.T
        if self._fused_bias is not None:
            z += self._fused_bias
        z = z.reshape(n_steps, z.shape[1] // d, d)
        source = state if self._n_k else self._lent(shared).state
        start = 0 if source is None else source.n_appended
        positions = start + np.arange(n_steps, dtype=np.float64)
        raw_q, raw_k = z[:, :n_q], z[:, n_q : n_q + self._n_k]
        q = self._normed(raw_q, "q_norm")
        if self.position == "rope":
            q = self._rotation.sequence(q, positions)
        final = None
        if self._n_k:
            k = self._normed(raw_k, "k_norm")
            if self.position == "rope":
                k = self._rotation.sequence(k, positions)
            rows = {"k": k, self._v: z[:, -self._n_kv :]}
            joined, n_past = self._joined(state, **rows) if self.causal else (rows, 0)
            kv = SharedKV() if shared is None else shared
            kv.state, kv.k, kv.v, kv.n_past = state, joined["k"], joined[self._v], n_past
            final = self._after(state, **rows)
        else:
            kv = self._lent(shared)
            n_past = kv.n_past
        rules: dict[str, Any] = {
            "causal": self.causal,
            "window": None if self.window_size is None and not self.causal else self.window,
            "bias": self._bias(n_steps, n_past),
            "scale": self._scale,
        }
        if ctx:
            heads, weights = scaled_dot_product_attention(
                q, kv.k, kv.v, return_weights=True, **rules
            )
        else:
            heads = chunked_attention(
                q, kv.k, kv.v, chunk_size=max(32, min(self.window, 256)), **rules
            )
        merged = heads.reshape(n_steps, n_q * d)
        reads = merged
        if self.out_proj:
            reads = merged @ self.p["Wo"].T
            if self.bias:
                reads += self.p["bo"]
        if not ctx:
            return reads, final
        kept = {
            "X": X,
            "raw": (raw_q, raw_k),
            "q": q,
            "kv": kv,
            "weights": weights,
            "merged": merged,
            "positions": positions,
        }
        return reads, final, kept

    def _bias(self, n_steps: int, n_past: int) -> Array | None:
        age = ages(n_steps, n_steps + n_past, n_past)
        if self.position == "relative":
            return relative_bias(self.p["relative"], age)
        if self.position == "alibi":
            return (-self._slopes[:, None, None] * age).astype(self.dtype, copy=False)
        return None

    def backward(self, d_reads: Array, ctx: Any) -> tuple[Array, dict[str, Array]]:
        """Gradients of input and weights; what was cached before is taken as constant."""
        g, kv, X, positions = self.g, ctx["kv"], ctx["X"], ctx["positions"]
        n_past = kv.n_past
        d_merged = d_reads = self._as_own(d_reads)
        if self.out_proj:
            g["Wo"] += d_reads.T @ ctx["merged"]
            if self.bias:
                g["bo"] += d_reads.sum(axis=0)
            d_merged = d_reads @ self.p["Wo"]
        d_heads = d_merged.reshape(len(X), self.n_heads, self._d)
        dq, dk, dv, ds = scaled_dot_product_attention_backward(
            d_heads, ctx["q"], kv.k, kv.v, ctx["weights"], scale=self._scale
        )
        if self.position == "relative":
            age = ages(len(X), len(X) + n_past, n_past)
            g["relative"] += relative_bias_backward(ds, age, self.window)
        raw_q, raw_k = ctx["raw"]
        parts = {"q": self._raw_gradient(dq, raw_q, "q_norm", positions)}
        if self._n_k:
            dk, dv = kv.total(dk[n_past:], dv[n_past:])
            parts["k"] = self._raw_gradient(dk, raw_k, "k_norm", positions)
            if self.share_kv:
                parts["k"] = parts["k"] + dv
            else:
                parts["v"] = dv
        else:
            kv.give(dk[n_past:], dv[n_past:])
        dX = np.zeros_like(X)
        for part, dz in parts.items():
            dz = dz.reshape(len(X), -1)
            g[f"W{part}"] += dz.T @ X
            if self.bias:
                g[f"b{part}"] += dz.sum(axis=0)
            dX += dz @ self.p[f"W{part}"]
        return dX, self.grads

    def _raw_gradient(self, dz: Array, raw: Array, gain: str, positions: Array) -> Array:
        """Gradient of queries or keys before they were normalised and turned."""
        if self.position == "rope":
            dz = self._rotation.sequence(dz, positions, inverse=True)
        if self.qk_norm:
            dz, d_gain, _ = qk_norm_backward(dz, raw, self.qk_norm, self.p[gain], NORM_EPS)
            self.g[gain] += d_gain
        return dz


def locked_lags(n_heads: int, window: int) -> list[int]:
    """Which age each of some heads looks at.

    Examples
    --------
    >>> locked_lags(4, 3), locked_lags(4, 32)
    ([0, 1, 2, 0], [0, 1, 6, 31])
    """
    if n_heads >= window:
        return [head % window for head in range(n_heads)]
    lags = [0, *np.geomspace(1, window - 1, n_heads - 1).round().astype(int).tolist()]
    for i in range(1, n_heads):
        lags[i] = max(lags[i], lags[i - 1] + 1)
    return [int(lag) for lag in lags]
