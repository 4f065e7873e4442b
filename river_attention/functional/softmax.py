r"""Softmax attention: exact, grouped, windowed, forward and backward.

.. math::

    S_{hij} = s\, q_{ih} \cdot k_{j\,g(h)} + b_{hij}, \qquad
    A = \mathrm{softmax}_j(S), \qquad o_{ih} = \sum_j A_{hij}\, v_{j\,g(h)}

Arrays are time first, ``[..., T, H, d]``; keys and values may have fewer heads, and query head h
uses that of g(h) = h // (H / H_kv) (Ainslie et al. 2023, arXiv:2305.13245). Key j is a - age - of
i + offset - j steps before query i. ``causal`` allows ages >= 0; ``window`` with it ages below w,
the query itself counted; ``window`` without it all ages from -w to w. Both, ``mask`` and ``bias``
combine: what one of them forbids is forbidden. A query that may look at nothing reads 0 and has no
gradient. ``mask``, ``bias`` and weights are ``[..., H, Tq, Tk]`` or broadcast to it.

The same a block at a time: :mod:`river_attention.functional.softmax_blocks`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._checks import Array, require_integer, scale_of, to_floats
from .positions import ages


def causal_mask(n_q: int, n_k: int | None = None, offset: int | None = None) -> NDArray[np.bool_]:
    """Whether query i may look at key j [Tq, Tk]: not at later ones.

    Examples
    --------
    >>> causal_mask(2, 3).astype(int)
    array([[1, 1, 0],
           [1, 1, 1]])
    """
    return allowed(n_q, n_q if n_k is None else n_k, offset, True, None)


def sliding_window_mask(
    n_q: int,
    window: int,
    n_k: int | None = None,
    offset: int | None = None,
    causal: bool = True,
) -> NDArray[np.bool_]:
    """Whether query i may look at key j [Tq, Tk]: itself and the w - 1 before.

    Without ``causal`` itself, the w before and the w after.

    Examples
    --------
    >>> sliding_window_mask(6, 3)[4].astype(int), sliding_window_mask(4, 1, causal=False)[1]
    (array([0, 0, 1, 1, 1, 0]), array([ True,  True,  True, False]))
    """
    return allowed(n_q, n_q if n_k is None else n_k, offset, causal, window)


def allowed(
    n_q: int, n_k: int, offset: int | None, causal: bool, window: int | None
) -> NDArray[np.bool_]:
    """The mask of both rules [Tq, Tk]; offset None means that the last query is the last key."""
    if min(n_q, n_k) < 0:
        raise ValueError(f"n_q={n_q}, n_k={n_k}: must be >= 0")
    _check_rules(window, offset)
    age = ages(n_q, n_k, n_k - n_q if offset is None else offset)
    rule = age >= 0 if causal else np.ones(age.shape, bool)
    if window is not None:
        rule &= age < window if causal else np.abs(age) <= window
    return rule


def _check_rules(window: int | None, offset: int | None) -> None:
    if window is not None:
        require_integer("window", window)
    if offset is not None:
        require_integer("offset", offset, None)


class Problem:
    """The checked arguments of attention, heads first, and its scores block by block."""

    def __init__(
        self,
        q: Array,
        k: Array,
        v: Array,
        mask: Array | None = None,
        bias: Array | None = None,
        causal: bool = False,
        window: int | None = None,
        offset: int | None = None,
        scale: float | None = None,
    ) -> None:
        q, k, v, bias = to_floats(q=q, k=k, v=v, bias=bias)
        for name, array in (("q", q), ("k", k), ("v", v)):
            if array.ndim < 3:
                raise ValueError(f"{name} has shape {array.shape}: expected [..., T, H, d]")
        self.n_q, self.n_heads, d = q.shape[-3:]
        if d < 1:
            raise ValueError(f"q has shape {q.shape}: expected vectors of length d >= 1")
        self.n_k, self.n_kv, _ = k.shape[-3:]
        if k.shape[-1] != d:
            raise ValueError(f"k has shape {k.shape}: expected vectors of length d = {d} as q")
        if v.shape[-3:-1] != k.shape[-3:-1]:
            raise ValueError(f"v has shape {v.shape}: expected T and H of k = {k.shape[-3:-1]}")
        if self.n_kv < 1 or self.n_heads % self.n_kv:
            raise ValueError(f"k has {self.n_kv} heads: must divide the {self.n_heads} heads of q")
        _check_rules(window, offset)
        if scale is not None and not np.isfinite(scale):
            raise ValueError(f"scale={scale}: must be finite")
        self.scale = scale_of(q, scale)
        self.q, self.k, self.v = (np.moveaxis(array, -3, -2) for array in (q, k, v))
        self.causal, self.window = causal, window
        self.added: list[Array] = []
        self.offset = self.n_k - self.n_q if offset is None else offset
        try:
            batch = np.broadcast_shapes(q.shape[:-3], k.shape[:-3], v.shape[:-3])
        except ValueError:
            raise ValueError(
                f"q, k and v have shapes {q.shape}, {k.shape}, {v.shape}: the axes before "
                "[T, H, d] must broadcast"
            ) from None
        self.shape = (*batch, self.n_heads, self.n_q, self.n_k)
        for name, given in (("mask", mask), ("bias", bias)):
            if given is None:
                continue
            array = np.asarray(given)
            if array.dtype.kind not in "bf":
                raise ValueError(
                    f"{name} has dtype {array.dtype}: expected bools, True where looking is "
                    "allowed, or floats to add"
                )
            try:
                fits = np.broadcast_shapes(array.shape, self.shape) == self.shape
            except ValueError:
                fits = False
            if not fits:
                raise ValueError(
                    f"{name} has shape {array.shape}: must broadcast to [..., H, Tq, Tk] "
                    f"= {self.shape}"
                )
            self.added.append(np.broadcast_to(array, self.shape))

    def grouped(self, array: Array) -> Array:
        """[..., H, T, d] to [..., H_kv, G, T, d]."""
        group = self.n_heads // self.n_kv
        return array.reshape(*array.shape[:-3], self.n_kv, group, *array.shape[-2:])

    def times(self, left: Array, right: Array) -> Array:
        """Products of matrices [..., H, a, b] and those of shared heads [..., H_kv, b, c]."""
        product = self.grouped(left) @ right[..., None, :, :]
        return product.reshape(*product.shape[:-4], self.n_heads, *product.shape[-2:])

    def shared(self, left: Array, right: Array) -> Array:
        """Sums over a group of left^T right: [..., H, a, b], [..., H, a, c] to [.., H_kv, b, c]."""
        product = np.swapaxes(self.grouped(left), -1, -2) @ self.grouped(right)
        total: Array = product.sum(axis=-3)
        return total

    def scores(self, rows: slice, columns: slice) -> Array:
        """Scores of a block [..., H, rows, columns], -inf where looking is forbidden."""
        keys = np.swapaxes(self.k[..., columns, :], -1, -2)
        scores = self.times(self.q[..., rows, :], keys) * self.scale
        for array in self.added:
            block = array[..., rows, columns]
            if block.dtype == bool:
                scores = np.where(block, scores, -np.inf).astype(scores.dtype, copy=False)
            else:
                scores = scores + block.astype(scores.dtype, copy=False)
        if self.causal or self.window is not None:
            shift = self.offset + rows.start - columns.start
            n_rows, n_columns = rows.stop - rows.start, columns.stop - columns.start
            rule = allowed(n_rows, n_columns, shift, self.causal, self.window)
            if not rule.all():
                scores = np.where(rule, scores, -np.inf).astype(scores.dtype, copy=False)
        return scores

    def span(self, rows: slice) -> slice:
        """The keys that some query of a block may look at by the rules of age."""
        low, high = 0, self.n_k
        first, last = rows.start + self.offset, rows.stop - 1 + self.offset
        if self.causal:
            high = last + 1
            if self.window is not None:
                low = first - self.window + 1
        elif self.window is not None:
            low, high = first - self.window, last + self.window + 1
        high = min(max(high, 0), self.n_k)
        return slice(min(max(low, 0), high), high)


def finite(maximum: Array) -> Array:
    """Maxima to subtract: 0 where there is nothing to look at."""
    return np.where(np.isneginf(maximum), maximum.dtype.type(0), maximum)


def softmax(scores: Array) -> Array:
    """Weights over the last axis; all 0 where all scores are -inf."""
    if scores.shape[-1] == 0:
        return scores
    weights = np.exp(scores - finite(scores.max(axis=-1, keepdims=True)))
    total = weights.sum(axis=-1, keepdims=True)
    weights /= np.where(total == 0.0, total.dtype.type(1), total)
    return weights


def scaled_dot_product_attention(
    q: Array,
    k: Array,
    v: Array,
    *,
    mask: Array | None = None,
    bias: Array | None = None,
    causal: bool = False,
    window: int | None = None,
    offset: int | None = None,
    scale: float | None = None,
    return_weights: bool = False,
) -> Any:
    """Softmax attention of all queries on all keys; see the module for the equation.

    Parameters
    ----------
    q, k, v
        [..., Tq, H, d], [..., Tk, H_kv, d], [..., Tk, H_kv, d_v].
    mask
        True where looking is allowed, or numbers that are added, -inf for forbidden.
    bias
        Added to the scores.
    causal, window
        Rules of age; see the module.
    offset
        Index of the first query minus that of the first key; None means Tk - Tq.
    scale
        Factor on the products; None means d ** -0.5.
    return_weights
        Whether to give the weights [..., H, Tq, Tk] as well.

    Returns
    -------
    Output [..., Tq, H, d_v], or a pair of it and the weights.

    Examples
    --------
    >>> import numpy as np
    >>> q = k = np.zeros((3, 1, 2))
    >>> scaled_dot_product_attention(q, k, [[[1.0]], [[2.0]], [[6.0]]], causal=True).ravel()
    array([1. , 1.5, 3. ])
    """
    problem = Problem(q, k, v, mask, bias, causal, window, offset, scale)
    everything = slice(0, problem.n_q), slice(0, problem.n_k)
    weights = softmax(problem.scores(*everything))
    output = np.moveaxis(problem.times(weights, problem.v), -3, -2)
    return (output, weights) if return_weights else output


def scaled_dot_product_attention_backward(
    dout: Array,
    q: Array,
    k: Array,
    v: Array,
    weights: Array,
    *,
    scale: float | None = None,
    bias_shape: tuple[int, ...] | None = None,
) -> tuple[Array, Array, Array, Array]:
    """Gradients of q, k, v and bias from that of the output and the weights of the forward pass.

    The gradient of the bias is that of the scores [..., H, Tq, Tk], summed to ``bias_shape`` where
    that is given.

    Examples
    --------
    >>> import numpy as np
    >>> q, k, v = np.zeros((1, 1, 1)), np.ones((2, 1, 1)), np.array([[[1.0]], [[3.0]]])
    >>> out, weights = scaled_dot_product_attention(q, k, v, return_weights=True)
    >>> dq, dk, dv, dbias = scaled_dot_product_attention_backward([[[1.0]]], q, k, v, weights)
    >>> dq.ravel(), dv.ravel(), dbias.ravel()
    (array([0.]), array([0.5, 0.5]), array([-0.5,  0.5]))
    """
    problem = Problem(q, k, v, scale=scale)
    dout, a = to_floats(dout=dout, weights=weights)
    if a.shape != problem.shape:
        raise ValueError(f"weights has shape {a.shape}: expected [..., H, Tq, Tk] {problem.shape}")
    g = heads_first(problem, dout)
    da = problem.times(g, np.swapaxes(problem.v, -1, -2))
    ds = a * (da - (a * da).sum(axis=-1, keepdims=True))
    dv = problem.shared(a, g)
    dq = problem.times(ds, problem.k) * problem.scale
    dk = problem.shared(ds, problem.q) * problem.scale
    dbias = ds if bias_shape is None else _reduced(ds, bias_shape)
    arrays = (q, k, v)
    parts = (np.moveaxis(part, -3, -2) for part in (dq, dk, dv))
    dq, dk, dv = (sum_to(p, np.shape(x)) for p, x in zip(parts, arrays, strict=True))
    return dq, dk, dv, dbias


def heads_first(problem: Problem, dout: Array) -> Array:
    shape = (*problem.shape[:-3], problem.n_q, problem.n_heads, problem.v.shape[-1])
    if dout.shape != shape:
        raise ValueError(f"dout has shape {dout.shape}: expected that of the output = {shape}")
    return np.moveaxis(dout, -3, -2)


def _reduced(ds: Array, shape: tuple[int, ...]) -> Array:
    try:
        fits = np.broadcast_shapes(tuple(shape), ds.shape) == ds.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"bias_shape={shape}: must broadcast to [..., H, Tq, Tk] = {ds.shape}")
    return sum_to(ds, shape)


def sum_to(array: Array, shape: tuple[int, ...]) -> Array:
    """The sum over the axes along which ``shape`` was broadcast."""
    if array.shape == tuple(shape):
        return array
    lead = array.ndim - len(shape)
    axes = (*range(lead), *(lead + i for i, n in enumerate(shape) if n != array.shape[lead + i]))
    total: Array = array.sum(axis=axes, keepdims=True).reshape(shape)
    return total


def split_heads(x: Array, n_heads: int) -> Array:
    """[..., T, H · d] to [..., T, H, d], a view.

    Examples
    --------
    >>> split_heads([[1.0, 2.0, 3.0, 4.0]], 2).tolist()
    [[[1.0, 2.0], [3.0, 4.0]]]
    """
    array = np.asarray(x)
    require_integer("n_heads", n_heads)
    if array.ndim < 1 or array.shape[-1] % n_heads:
        raise ValueError(f"n_heads={n_heads}: must divide the last axis of x, {array.shape}")
    return array.reshape(*array.shape[:-1], n_heads, -1)


def merge_heads(x: Array) -> Array:
    """[..., T, H, d] to [..., T, H · d].

    Examples
    --------
    >>> merge_heads([[[1.0, 2.0], [3.0, 4.0]]]).tolist()
    [[1.0, 2.0, 3.0, 4.0]]
    """
    array = np.asarray(x)
    if array.ndim < 2:
        raise ValueError(f"x has shape {array.shape}: expected [..., T, H, d]")
    return array.reshape(*array.shape[:-2], -1)
