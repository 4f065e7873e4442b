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
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import LARGEST_SIZE, check_bool, check_choice
from ..functional import (
    alibi_slopes,
    apply_rope,
    chunked_attention,
    qk_norm,
    qk_norm_backward,
    relative_bias,
    relative_bias_backward,
    rope_frequencies,
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
)
from ..functional.positions import ages, rotate, turns
from .caches import PagedKVCache, PagePool, RingKVCache
from .trained import Layer, positive

Array = NDArray[Any]

POSITIONS = ("rope", "relative", "alibi")
NORM_EPS = 1e-6


class Cached(Layer):
    """Part of layers that look back over a window through a cache."""

    window: int
    cache: str
    page_size: int

    def _fields(self) -> dict[str, tuple[int, ...]]:
        raise NotImplementedError

    def init_state(self, pool: PagePool | None = None) -> Any:
        """An empty cache; pages come from ``pool``, or from one of its own."""
        # the step itself is not in the cache
        capacity = max(self.window - 1, 1)
        if self.cache == "ring" and pool is None:
            return RingKVCache(capacity, self._fields())
        if pool is None:
            # no budget: it grows with the branches that are alive
            pool = PagePool(LARGEST_SIZE, self.page_size, self._fields())
        elif pool.fields != self._fields():
            raise ValueError(f"pool has fields {pool.fields}: expected {self._fields()}")
        return PagedKVCache(pool, capacity)

    def branch(self, state: Any) -> Any:
        """A copy that may advance while the original stays as it is."""
        return state.branch()

    def commit(self, state: Any, proposal: Any) -> Any:
        """The state after the step of a proposal, changed in place."""
        row, looked = proposal
        state.append(**row)
        state.looked = looked
        return state

    advance = commit

    def _past(self, state: Any) -> list[dict[str, Array]]:
        """What a step may look at of the past."""
        segments: list[dict[str, Array]] = state.segments(self.window - 1)
        return segments

    def _joined(self, state: Any, **new: Array) -> tuple[dict[str, Array], int]:
        """The past and new rows as one array a field, and how many are of the past."""
        parts = [] if state is None else self._past(state)
        joined = {
            name: np.concatenate([*(part[name] for part in parts), rows]) if parts else rows
            for name, rows in new.items()
        }
        n_new = len(next(iter(new.values())))
        return joined, len(next(iter(joined.values()))) - n_new

    def _after(self, state: Any, **new: Array) -> Any:
        """The state after new rows; the one given stays as it is."""
        final = self.init_state() if state is None else state.branch()
        for i in range(len(next(iter(new.values())))):
            final.append(**{name: rows[i] for name, rows in new.items()})
        return final


def softmax_in_place(scores: Array) -> None:
    """Weights over the last axis, of which at least one is finite."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)


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
    out_proj
        Whether reads are projected; without it they are the heads side by side.
    max_context
        The window where ``window_size`` is None.
    cache, page_size
        "ring", or "paged" with so many rows a page.
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
        out_proj: bool = True,
        max_context: int = 1024,
        cache: str = "ring",
        page_size: int = 128,
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
        self.out_proj = check_bool("out_proj", out_proj)
        self.max_context = max_context
        self.cache = check_choice("cache", cache, ("ring", "paged"))
        self.page_size, self.seed = page_size, seed
        self.d_in = d_model
        self.n_outputs = d_model if out_proj else n_heads * self._d
        self._scale = 1.0 / math.sqrt(self._d)
        self._group = n_heads // self._n_kv
        if position == "rope":
            dim = self._d if rope_dim is None else rope_dim
            if dim > self._d:
                raise ValueError(f"rope_dim={rope_dim}: at most head_dim={self._d}")
            self._theta, self._factor = rope_frequencies(dim, rope_base, **(rope_scaling or {}))
        if position == "alibi":
            self._slopes = alibi_slopes(n_heads)
        self._begin(seed)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        n_q, n_kv, d = self.n_heads * self._d, self._n_kv * self._d, self.d_model
        # the three matrices stand side by side, and are one product
        shapes: dict[str, tuple[int, ...]] = {"Wq": (n_q, d), "Wk": (n_kv, d), "Wv": (n_kv, d)}
        if self.bias:
            shapes |= {"bq": (n_q,), "bk": (n_kv,), "bv": (n_kv,)}
        if self.out_proj:
            shapes["Wo"] = (d, n_q)
            if self.bias:
                shapes["bo"] = (d,)
        if self.qk_norm:
            shapes |= {"q_norm": (self._d,), "k_norm": (self._d,)}
        if self.position == "relative":
            shapes["relative"] = (self.n_heads, self.window)
        return shapes

    _views = (*Layer._views, "_fused", "_fused_bias")

    def _bind(self, theta: Array, gradient: Array) -> None:
        super()._bind(theta, gradient)
        n_rows = (self.n_heads + 2 * self._n_kv) * self._d
        start = n_rows * self.d_model
        self._fused = theta[:start].reshape(n_rows, self.d_model)
        self._fused_bias = theta[start : start + n_rows] if self.bias else None

    def _draw(self, rng: np.random.Generator) -> None:
        super()._draw(rng)
        if self.position == "relative":
            self.p["relative"][:] = 0.0
        if self.position == "rope" and self.bias:
            # without them a score of rotated vectors has no part that depends on age alone
            for name in ("bq", "bk"):
                self.p[name][:] = rng.normal(size=self.p[name].shape)

    def lock_lags(self, strength: float = 8.0) -> None:
        """Let head h look at one age, by a bias of ``strength`` in the table of ages.

        Ages 0, 1, 2 and so on where there are as many heads as steps, else spread log-uniformly
        from 0 to w - 1. For weights that stay random.
        """
        if self.position != "relative":
            raise ValueError(f"position={self.position!r}: needs 'relative', a table of ages")
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
        }
        if "n_heads" in config:
            d = n_rows // config["n_heads"]
            sizes |= {"head_dim": d, "n_kv_heads": len(params["Wk"]) // config.get("head_dim", d)}
        return sizes

    def _fields(self) -> dict[str, tuple[int, ...]]:
        return {"k": (self._n_kv, self._d), "v": (self._n_kv, self._d)}

    def _normed(self, q: Array, k: Array) -> tuple[Array, Array]:
        if not self.qk_norm:
            return q, k
        return (
            qk_norm(q, self.qk_norm, self.p["q_norm"], eps=NORM_EPS),
            qk_norm(k, self.qk_norm, self.p["k_norm"], eps=NORM_EPS),
        )

    def _turned(self, x: Array, positions: Array, inverse: bool = False) -> Array:
        x = apply_rope(x, positions, self._theta, inverse, self.rope_interleaved)
        return x if self._factor == 1.0 else x * self._factor

    def propose(self, x: Array, state: Any) -> tuple[Array, Any]:
        """One step: input [d_model] and cache to read [n_outputs] and what is to be cached."""
        if not self.causal:
            raise ValueError("causal=False: a step cannot look ahead; use forward")
        n_q, n_kv, d = self.n_heads, self._n_kv, self._d
        z = self._fused.dot(x)
        if self._fused_bias is not None:
            z += self._fused_bias
        z = z.reshape(n_q + 2 * n_kv, d)
        qk, v = z[: n_q + n_kv], z[n_q + n_kv :]
        if self.qk_norm:
            qk = np.concatenate(self._normed(qk[:n_q], qk[n_q:]))
        if self.position == "rope":
            cos, sin = turns(float(state.n_appended), self._theta)
            qk = rotate(qk, cos, sin, False, self.rope_interleaved)
            if self._factor != 1.0:
                qk *= self._factor
        q, k = qk[:n_q].reshape(n_kv, self._group, d) * self._scale, qk[n_q:]
        parts = self._past(state)
        n = sum(len(part["k"]) for part in parts)
        a = np.empty((n_kv, self._group, n + 1))
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
            stop = start + len(part["v"])
            out += np.matmul(a[:, :, start:stop], part["v"].transpose(1, 0, 2))
            start = stop
        read = out.reshape(-1)
        if self.out_proj:
            read = self.p["Wo"].dot(read)
            if self.bias:
                read += self.p["bo"]
        return read, ({"k": k, "v": v}, a.reshape(n_q, n + 1))

    def attention_weights(self, x: Array, state: Any) -> Array:
        """What the step of x would look at: weights by age [H, n], the step itself first."""
        X = np.asarray(x, np.float64)[None]
        _, _, context = self.forward(X, state, ctx=True)
        weights: Array = context["weights"][:, 0, ::-1]
        return weights

    def forward(self, X: Array, state: Any = None, ctx: bool = False) -> Any:
        """A sequence [T, d_model] to reads [T, n_outputs] and final state; see ``Layer``."""
        X = self._check_inputs(X)
        n_q, n_kv, d, n_steps = self.n_heads, self._n_kv, self._d, len(X)
        z = X @ self._fused.T
        if self._fused_bias is not None:
            z += self._fused_bias
        z = z.reshape(n_steps, n_q + 2 * n_kv, d)
        raw_q, raw_k, v = np.split(z, [n_q, n_q + n_kv], axis=1)
        q, k = self._normed(raw_q, raw_k)
        start = 0 if state is None else state.n_appended
        positions = start + np.arange(n_steps, dtype=np.float64)
        if self.position == "rope":
            q, k = self._turned(q, positions), self._turned(k, positions)
        joined, n_past = self._joined(state, k=k, v=v) if self.causal else ({"k": k, "v": v}, 0)
        rules: dict[str, Any] = {
            "causal": self.causal,
            "window": None if self.window_size is None and not self.causal else self.window,
            "bias": self._bias(n_steps, n_past),
            "scale": self._scale,
        }
        if ctx:
            heads, weights = scaled_dot_product_attention(
                q, joined["k"], joined["v"], return_weights=True, **rules
            )
        else:
            heads = chunked_attention(
                q, joined["k"], joined["v"], chunk_size=max(32, min(self.window, 256)), **rules
            )
        merged = heads.reshape(n_steps, n_q * d)
        reads = merged
        if self.out_proj:
            reads = merged @ self.p["Wo"].T
            if self.bias:
                reads += self.p["bo"]
        final = self._after(state, k=k, v=v)
        if not ctx:
            return reads, final
        kept = {
            "X": X,
            "raw": (raw_q, raw_k),
            "q": q,
            "k": joined["k"],
            "v": joined["v"],
            "weights": weights,
            "merged": merged,
            "n_past": n_past,
            "positions": positions,
        }
        return reads, final, kept

    def _bias(self, n_steps: int, n_past: int) -> Array | None:
        age = ages(n_steps, n_steps + n_past, n_past)
        if self.position == "relative":
            return relative_bias(self.p["relative"], age)
        if self.position == "alibi":
            return -self._slopes[:, None, None] * age
        return None

    def backward(self, d_reads: Array, ctx: Any) -> tuple[Array, dict[str, Array]]:
        """Gradients of input and weights; what was cached before is taken as constant."""
        g, n_past, X = self.g, ctx["n_past"], ctx["X"]
        d_merged = d_reads
        if self.out_proj:
            g["Wo"] += d_reads.T @ ctx["merged"]
            if self.bias:
                g["bo"] += d_reads.sum(axis=0)
            d_merged = d_reads @ self.p["Wo"]
        d_heads = d_merged.reshape(len(X), self.n_heads, self._d)
        dq, dk, dv, ds = scaled_dot_product_attention_backward(
            d_heads, ctx["q"], ctx["k"], ctx["v"], ctx["weights"], scale=self._scale
        )
        dk, dv = dk[n_past:], dv[n_past:]
        if self.position == "relative":
            age = ages(len(X), len(X) + n_past, n_past)
            g["relative"] += relative_bias_backward(ds, age, self.window)
        if self.position == "rope":
            dq = self._turned(dq, ctx["positions"], inverse=True)
            dk = self._turned(dk, ctx["positions"], inverse=True)
        if self.qk_norm:
            raw_q, raw_k = ctx["raw"]
            gains = self.p["q_norm"], self.p["k_norm"]
            dq, dgain, _ = qk_norm_backward(dq, raw_q, self.qk_norm, gains[0], NORM_EPS)
            g["q_norm"] += dgain
            dk, dgain, _ = qk_norm_backward(dk, raw_k, self.qk_norm, gains[1], NORM_EPS)
            g["k_norm"] += dgain
        dX = np.zeros_like(X)
        for part, dz in (("q", dq), ("k", dk), ("v", dv)):
            dz = dz.reshape(len(X), -1)
            g[f"W{part}"] += dz.T @ X
            if self.bias:
                g[f"b{part}"] += dz.sum(axis=0)
            dX += dz @ self.p[f"W{part}"]
        return dX, self.grads


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
