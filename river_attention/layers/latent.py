r"""Multi-head latent attention: one small vector a step is all that is cached.

.. math::

    c_j = \mathrm{rms}(W_{kv,a} x_j)_{1..r}, \quad
    \kappa_j = \mathrm{rope}((W_{kv,a} x_j)_{r+1..}), \qquad
    s_{hij} = \frac{q^c_{hi} \cdot U_h c_j + q^r_{hi} \cdot \kappa_j}{\sqrt{d_c + d_r}}, \qquad
    y_i = W_o [V_h \textstyle\sum_j A_{hij} c_j]_h

Keys and values of all heads are made of the latent c (DeepSeek-V2: 2024, arXiv:2405.04434). A step
puts U_h into the query and V_h behind the sum, so it looks at the latents as they are cached:
r + d_r numbers a step instead of 2 · H · d. ``forward`` expands keys and values; both agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import check_bool, check_choice, check_int
from ..functional import (
    chunked_attention,
    qk_norm,
    qk_norm_backward,
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
)
from .cached import NORM_EPS, Cached, softmax_in_place
from .grouped_query import GroupedQueryAttention
from .rotation import Rotation
from .trained import check_dtype, positive

Array = NDArray[Any]


class MultiHeadLatentAttention(Cached):
    """Attention over cached latents; see the module for the equations.

    Parameters
    ----------
    d_model
        Length of an input and of a read.
    n_heads, head_dim
        Heads, and the length of the part of a key that is made of the latent.
    kv_lora_dim
        r, length of the latent.
    rope_dim
        Length of the rotated part of a key, which all heads share; even, 0 for none.
    v_head_dim
        Length of a value; None means ``head_dim``.
    q_lora_dim
        Length of the latent that queries are made of; None for none.
    window_size
        w, the step itself counted; None means ``max_context``.
    latent_norm
        Whether latents are normalised, with a gain.
    rope_base, rope_interleaved
        Of the rotation.
    out_proj
        Whether reads are projected; without it they are the heads side by side.
    max_context, cache, page_size, dtype, seed
        Those of ``GroupedQueryAttention``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = MultiHeadLatentAttention(6, 2, 4, 3, 2, window_size=5, seed=1)
    >>> X = np.random.default_rng(0).normal(size=(9, 6))
    >>> state = layer.init_state()
    >>> for x in X:
    ...     read, state = layer.step(x, state)
    >>> np.allclose(read, layer.forward(X)[0][-1]), state.view()["c"].shape
    (True, (4, 3))
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        head_dim: int,
        kv_lora_dim: int,
        rope_dim: int,
        *,
        v_head_dim: int | None = None,
        q_lora_dim: int | None = None,
        window_size: int | None = None,
        latent_norm: bool = True,
        rope_base: float = 10000.0,
        rope_interleaved: bool = False,
        out_proj: bool = True,
        max_context: int = 1024,
        cache: str = "ring",
        page_size: int = 128,
        dtype: str = "float64",
        seed: int | None = None,
    ) -> None:
        positive(d_model=d_model, n_heads=n_heads, head_dim=head_dim, kv_lora_dim=kv_lora_dim)
        positive(max_context=max_context, page_size=page_size)
        self.d_model, self.n_heads, self.head_dim = d_model, n_heads, head_dim
        self.kv_lora_dim, self.rope_dim = kv_lora_dim, rope_dim
        self.v_head_dim, self.q_lora_dim = v_head_dim, q_lora_dim
        self._dv = head_dim if v_head_dim is None else v_head_dim
        positive(v_head_dim=self._dv, q_lora_dim=1 if q_lora_dim is None else q_lora_dim)
        if rope_dim != 0:
            self._rotation = Rotation(rope_dim, rope_dim, rope_base, None, rope_interleaved, dtype)
        self.window_size = window_size
        self.window = max_context if window_size is None else window_size
        positive(window_size=self.window)
        self.latent_norm = check_bool("latent_norm", latent_norm)
        self.rope_base, self.max_context = rope_base, max_context
        self.rope_interleaved = check_bool("rope_interleaved", rope_interleaved)
        self.out_proj = check_bool("out_proj", out_proj)
        self.cache = check_choice("cache", cache, ("ring", "paged"))
        self.page_size, self.dtype, self.seed = page_size, check_dtype(dtype), seed
        self.d_in = d_model
        self.n_outputs = d_model if out_proj else n_heads * self._dv
        self._scale = 1.0 / math.sqrt(head_dim + rope_dim)
        self._begin(seed)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        n_heads, r, d = self.n_heads, self.kv_lora_dim, self.d_model
        n_q = n_heads * (self.head_dim + self.rope_dim)
        if self.q_lora_dim is None:
            shapes: dict[str, tuple[int, ...]] = {"Wq": (n_q, d)}
        else:
            rank = self.q_lora_dim
            shapes = {"Wq_a": (rank, d)}
            if self.latent_norm:
                shapes["q_a_norm"] = (rank,)
            shapes["Wq_b"] = (n_q, rank)
        shapes["Wkv_a"] = (r + self.rope_dim, d)
        if self.latent_norm:
            shapes["kv_a_norm"] = (r,)
        shapes["Wkv_b"] = (n_heads * (self.head_dim + self._dv), r)
        if self.out_proj:
            shapes["Wo"] = (d, n_heads * self._dv)
        return shapes

    @classmethod
    def _sizes(cls, params: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
        r = np.shape(params["Wkv_b"])[1]
        sizes: dict[str, Any] = {
            "d_model": np.shape(params["Wkv_a"])[1],
            "kv_lora_dim": r,
            "rope_dim": len(params["Wkv_a"]) - r,
            "latent_norm": "kv_a_norm" in params,
            "out_proj": "Wo" in params,
            "q_lora_dim": len(params["Wq_a"]) if "Wq_a" in params else None,
        }
        if "n_heads" in config:
            n_heads = config["n_heads"]
            n_q = len(params["Wq_b" if "Wq_b" in params else "Wq"])
            head_dim = n_q // n_heads - sizes["rope_dim"]
            sizes |= {"head_dim": head_dim}
            sizes["v_head_dim"] = len(params["Wkv_b"]) // n_heads - config.get("head_dim", head_dim)
        return sizes

    def _fields(self) -> dict[str, tuple[int, ...]]:
        return {"c": (self.kv_lora_dim,), "kr": (self.rope_dim,)}

    def _turned(self, x: Array, positions: Array, inverse: bool = False) -> Array:
        if not self.rope_dim:
            return x
        return self._rotation.sequence(x, positions, inverse)

    def _latents(self, X: Array, positions: Array) -> tuple[Array, Array, Array]:
        """Raw latents, latents and rotated keys of rows [T, d_model]."""
        a = X @ self.p["Wkv_a"].T
        raw, kr = a[:, : self.kv_lora_dim], a[:, self.kv_lora_dim :]
        c = qk_norm(raw, "rms", self.p["kv_a_norm"], eps=NORM_EPS) if self.latent_norm else raw
        return raw, c, self._turned(kr[:, None, :], positions)[:, 0]

    def _queries(self, X: Array, positions: Array) -> tuple[Array, Array, Array, Array]:
        """Raw query latents, query latents, and both parts of the queries [T, H, .]."""
        if self.q_lora_dim is None:
            raw = latent = X
            q = X @ self.p["Wq"].T
        else:
            raw = latent = X @ self.p["Wq_a"].T
            if self.latent_norm:
                latent = qk_norm(raw, "rms", self.p["q_a_norm"], eps=NORM_EPS)
            q = latent @ self.p["Wq_b"].T
        q = q.reshape(len(X), self.n_heads, self.head_dim + self.rope_dim)
        return (
            raw,
            latent,
            q[..., : self.head_dim],
            self._turned(q[..., self.head_dim :], positions),
        )

    _views = (*Cached._views, "_fused", "_U", "_V")

    def _bind(self, theta: Array, gradient: Array) -> None:
        super()._bind(theta, gradient)
        # one product for queries and latents where their matrices stand side by side
        self._fused: Array | None = None
        if self.q_lora_dim is None:
            n_rows = len(self.p["Wq"]) + len(self.p["Wkv_a"])
            self._fused = theta[: n_rows * self.d_model].reshape(n_rows, self.d_model)
        # U [H, head_dim, r] and V [H, d_v, r]
        both = self.p["Wkv_b"].reshape(self.n_heads, self.head_dim + self._dv, self.kv_lora_dim)
        self._U, self._V = both[:, : self.head_dim], both[:, self.head_dim :]

    def _projected(self, x: Array) -> tuple[Array, Array]:
        """Queries and raw latents of one step, flat."""
        if self._fused is not None:
            z = self._fused.dot(x)
            n_q = len(z) - self.kv_lora_dim - self.rope_dim
            return z[:n_q], z[n_q:]
        latent = self.p["Wq_a"].dot(x)
        if self.latent_norm:
            latent = _rms(latent, self.p["q_a_norm"])
        return self.p["Wq_b"].dot(latent), self.p["Wkv_a"].dot(x)

    def propose(self, x: Array, state: Any) -> tuple[Array, Any]:
        """One step on the cached latents: input [d_model] to read, and what is to be cached."""
        n_heads, r, d = self.n_heads, self.kv_lora_dim, self.head_dim
        q, latent = self._projected(self._check_input(x))
        q, c, kr = q.reshape(n_heads, -1), latent[:r], latent[r:]
        if self.latent_norm:
            c = _rms(c, self.p["kv_a_norm"])
        qt = np.matmul(q[:, None, :d], self._U)[:, 0] * self._scale  # [H, r]
        if self.rope_dim:
            turned = np.concatenate([q[:, d:], kr[None]])
            turned = self._rotation.step(turned, state.n_appended)
            qr, kr = turned[:-1] * self._scale, turned[-1]
        parts = self._past(state)
        n = sum(len(part["c"]) for part in parts)
        a = np.empty((n_heads, n + 1), qt.dtype)
        start = 0
        for part in parts:
            stop = start + len(part["c"])
            np.matmul(qt, part["c"].T, out=a[:, start:stop])
            if self.rope_dim:
                a[:, start:stop] += np.matmul(qr, part["kr"].T)
            start = stop
        a[:, n] = qt.dot(c)
        if self.rope_dim:
            a[:, n] += qr.dot(kr)
        softmax_in_place(a)
        m = a[:, n:] * c
        start = 0
        for part in parts:
            stop = start + len(part["c"])
            m += np.matmul(a[:, start:stop], part["c"])
            start = stop
        read = np.matmul(self._V, m[:, :, None]).reshape(-1)
        if self.out_proj:
            read = self.p["Wo"].dot(read)
        return read, ({"c": c, "kr": kr}, a)

    def attention_weights(self, x: Array, state: Any) -> Array:
        """What the step of x would look at: weights by age [H, n], the step itself first."""
        _, _, context = self.forward(np.asarray(x)[None], state, ctx=True)
        weights: Array = context["weights"][:, 0, ::-1]
        return weights

    def forward(self, X: Array, state: Any = None, ctx: bool = False) -> Any:
        """A sequence [T, d_model] to reads [T, n_outputs] and final state; see ``Layer``."""
        X = self._check_inputs(X)
        n_steps, n_heads, d = len(X), self.n_heads, self.head_dim
        start = 0 if state is None else state.n_appended
        positions = start + np.arange(n_steps, dtype=np.float64)
        raw, c, kr = self._latents(X, positions)
        q_raw, q_latent, qc, qr = self._queries(X, positions)
        joined, n_past = self._joined(state, c=c, kr=kr)
        C, KR = joined["c"], joined["kr"]
        expanded = (C @ self.p["Wkv_b"].T).reshape(len(C), n_heads, d + self._dv)
        shared = np.broadcast_to(KR[:, None, :], (len(C), n_heads, self.rope_dim))
        q = np.concatenate([qc, qr], axis=-1)
        k, v = np.concatenate([expanded[..., :d], shared], axis=-1), expanded[..., d:]
        rules: dict[str, Any] = {"causal": True, "window": self.window, "scale": self._scale}
        if ctx:
            heads, weights = scaled_dot_product_attention(q, k, v, return_weights=True, **rules)
        else:
            heads = chunked_attention(q, k, v, chunk_size=max(32, min(self.window, 256)), **rules)
        merged = heads.reshape(n_steps, n_heads * self._dv)
        reads = merged @ self.p["Wo"].T if self.out_proj else merged
        final = self._after(state, c=c, kr=kr)
        if not ctx:
            return reads, final
        kept = {
            "X": X,
            "raw": raw,
            "q_raw": q_raw,
            "q_latent": q_latent,
            "C": C,
            "q": q,
            "k": k,
            "v": v,
            "weights": weights,
            "merged": merged,
            "n_past": n_past,
            "positions": positions,
        }
        return reads, final, kept

    def backward(self, d_reads: Array, ctx: Any) -> tuple[Array, dict[str, Array]]:
        """Gradients of input and weights; latents that were cached before are constant."""
        g, n_past, X, d = self.g, ctx["n_past"], ctx["X"], self.head_dim
        n_steps, n_heads = len(X), self.n_heads
        d_merged = d_reads = self._as_own(d_reads)
        if self.out_proj:
            g["Wo"] += d_reads.T @ ctx["merged"]
            d_merged = d_reads @ self.p["Wo"]
        dq, dk, dv, _ = scaled_dot_product_attention_backward(
            d_merged.reshape(n_steps, n_heads, self._dv),
            ctx["q"],
            ctx["k"],
            ctx["v"],
            ctx["weights"],
            scale=self._scale,
        )
        d_expanded = np.concatenate([dk[..., :d], dv], axis=-1).reshape(len(ctx["C"]), -1)
        g["Wkv_b"] += d_expanded.T @ ctx["C"]
        dc = (d_expanded @ self.p["Wkv_b"])[n_past:]
        dkr = dk[n_past:, :, d:].sum(axis=1, keepdims=True)
        dkr = self._turned(dkr, ctx["positions"], inverse=True)[:, 0]
        if self.latent_norm:
            dc, dgain, _ = qk_norm_backward(dc, ctx["raw"], "rms", self.p["kv_a_norm"], NORM_EPS)
            g["kv_a_norm"] += dgain
        da = np.concatenate([dc, dkr], axis=1)
        g["Wkv_a"] += da.T @ X
        dX = da @ self.p["Wkv_a"]
        dqr = self._turned(dq[..., d:], ctx["positions"], inverse=True)
        dq = np.concatenate([dq[..., :d], dqr], axis=-1).reshape(n_steps, -1)
        if self.q_lora_dim is None:
            g["Wq"] += dq.T @ X
            return dX + dq @ self.p["Wq"], self.grads
        g["Wq_b"] += dq.T @ ctx["q_latent"]
        dl = dq @ self.p["Wq_b"]
        if self.latent_norm:
            dl, dgain, _ = qk_norm_backward(dl, ctx["q_raw"], "rms", self.p["q_a_norm"], NORM_EPS)
            g["q_a_norm"] += dgain
        g["Wq_a"] += dl.T @ X
        return dX + dl @ self.p["Wq_a"], self.grads


def _rms(x: Array, gain: Array) -> Array:
    """What ``qk_norm`` does to one vector, in two products."""
    return x * (gain * (1.0 / math.sqrt(x.dot(x) / len(x) + NORM_EPS)))


def mla_from_gqa(layer: GroupedQueryAttention, rank: int) -> MultiHeadLatentAttention:
    r"""Latent attention that does nearly what a layer with grouped heads does.

    .. math:: [W_k; W_v] \approx U_r\, (\Sigma_r V_r^\top)

    The best latents of a length ``rank`` are those of the truncated singular value decomposition of
    keys and values together; with as many as d_model, or as rows of both, it is the same layer.

    Raises
    ------
    ValueError
        If the layer has what latents of this kind have not: positions, normalised queries and keys,
        biases; or if ``rank`` is beyond that of the matrices.

    Examples
    --------
    >>> import numpy as np
    >>> plain = {"position": None, "bias": False, "window_size": 4, "seed": 1}
    >>> layer = GroupedQueryAttention(6, n_heads=4, n_kv_heads=1, head_dim=2, **plain)
    >>> X = np.random.default_rng(0).normal(size=(9, 6))
    >>> np.allclose(mla_from_gqa(layer, 4).forward(X)[0], layer.forward(X)[0])
    True
    """
    for name, wanted in (
        ("position", None),
        ("qk_norm", None),
        ("bias", False),
        ("causal", True),
        ("kv_from", None),
        ("share_kv", False),
    ):
        if getattr(layer, name) != wanted:
            raise ValueError(f"{name}={getattr(layer, name)!r}: latents need {name}={wanted!r}")
    p = layer.parameters()
    n_heads, n_kv, d = layer.n_heads, len(p["Wk"]) // layer._d, layer._d
    both = np.concatenate([p["Wk"], p["Wv"]])
    U, sizes, V = np.linalg.svd(both, full_matrices=False)
    if check_int("rank", rank, 1) > len(sizes):
        raise ValueError(f"rank={rank}: at most {len(sizes)}, the rank of keys and values")
    # [key or value, kv head, d, rank]: every query head gets those of its group
    up = U[:, :rank].reshape(2, n_kv, d, rank)
    per_head = np.repeat(up, n_heads // n_kv, axis=1).swapaxes(0, 1)
    params = {
        "Wq": p["Wq"],
        "Wkv_a": sizes[:rank, None] * V[:rank],
        "Wkv_b": per_head.reshape(n_heads * 2 * d, rank),
    } | ({"Wo": p["Wo"]} if layer.out_proj else {})
    latent: MultiHeadLatentAttention = MultiHeadLatentAttention.from_params(
        params,
        n_heads=n_heads,
        window_size=layer.window_size,
        max_context=layer.max_context,
        cache=layer.cache,
        page_size=layer.page_size,
        dtype=layer.dtype,
    )
    return latent
