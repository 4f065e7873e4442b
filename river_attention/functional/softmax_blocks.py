"""Softmax attention a block at a time, with less memory than all of its scores.

``chunked_attention`` goes over blocks of queries. ``memory_efficient_attention`` holds no weights:
it goes over blocks of keys as well, with a running maximum (Rabe and Staats 2021,
arXiv:2112.05682), and leaves out blocks that nobody may look at, which makes a window cost
O(T · w). The equations are those of :mod:`river_attention.functional.softmax`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ._checks import Array, require_integer, require_shape, to_floats
from .softmax import Problem, finite, heads_first, softmax, sum_to


def _blocks(start: int, stop: int, size: int) -> Iterator[slice]:
    for first in range(start, stop, size):
        yield slice(first, min(first + size, stop))


def _check_chunk(chunk_size: int) -> None:
    require_integer("chunk_size", chunk_size)


def chunked_attention(
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
    chunk_size: int = 32,
) -> Array:
    """The same as ``scaled_dot_product_attention``, a block of queries at a time.

    Needs H · chunk_size · Tk numbers at once, less with rules of age.
    """
    _check_chunk(chunk_size)
    problem = Problem(q, k, v, mask, bias, causal, window, offset, scale)
    out = _empty_output(problem)
    for rows in _blocks(0, problem.n_q, chunk_size):
        columns = problem.span(rows)
        weights = softmax(problem.scores(rows, columns))
        out[..., rows, :] = problem.times(weights, problem.v[..., columns, :])
    return np.moveaxis(out, -3, -2)


def _empty_output(problem: Problem) -> Array:
    return np.zeros((*problem.shape[:-1], problem.v.shape[-1]), problem.q.dtype)


def memory_efficient_attention(
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
    chunk_size: int = 32,
    return_lse: bool = False,
) -> Any:
    """The same as ``scaled_dot_product_attention``, blocks of queries times blocks of keys.

    Needs H · chunk_size² scores at once and no work for blocks that no query may look at.

    Returns
    -------
    Output [..., Tq, H, d_v]; with ``return_lse`` a pair of it and the logarithms of the sums of
    exponentials [..., H, Tq], -inf where there was nothing to look at.
    """
    _check_chunk(chunk_size)
    problem = Problem(q, k, v, mask, bias, causal, window, offset, scale)
    out = _empty_output(problem)
    lse = np.full(problem.shape[:-1], -np.inf, problem.q.dtype)
    for rows in _blocks(0, problem.n_q, chunk_size):
        span = problem.span(rows)
        parts = (
            partial_attention(problem.scores(rows, columns), problem, problem.v[..., columns, :])
            for columns in _blocks(span.start, span.stop, chunk_size)
        )
        merged = _merge(parts)
        if merged is not None:
            maximum, total, sums = merged
            some = np.where(total == 0.0, total.dtype.type(1), total)
            out[..., rows, :] = sums / some[..., None]
            with np.errstate(divide="ignore"):
                lse[..., rows] = maximum + np.log(total)
    output = np.moveaxis(out, -3, -2)
    return (output, lse) if return_lse else output


def partial_attention(scores: Array, problem: Any, values: Array) -> tuple[Array, Array, Array]:
    """Maximum, sum of exponentials and sum of values of a block, as ``merge`` takes them."""
    maximum = finite(scores.max(axis=-1))
    weights = np.exp(scores - maximum[..., None])
    total = weights.sum(axis=-1)
    maximum = np.where(total == 0.0, maximum.dtype.type(-np.inf), maximum)
    return maximum, total, problem.times(weights, values)


def _merge(
    partials: Iterable[tuple[Array, Array, Array]],
) -> tuple[Array, Array, Array] | None:
    merged: tuple[Array, Array, Array] | None = None
    for maximum, total, sums in partials:
        if merged is None:
            merged = maximum, total, sums
            continue
        old_maximum, old_total, old_sums = merged
        highest = np.maximum(old_maximum, maximum)
        safe = finite(highest)
        before, now = np.exp(old_maximum - safe), np.exp(maximum - safe)
        merged = (
            highest,
            old_total * before + total * now,
            old_sums * before[..., None] + sums * now[..., None],
        )
    return merged


def merge_partial_attention(partials: Iterable[tuple[Array, Array, Array]]) -> Array:
    """One read from those of several parts of the keys.

    Parameters
    ----------
    partials
        For each part the largest score m [...], the sum of exp(score - m) [...], and the sum of
        exp(score - m) · v [..., d_v]; m = -inf and zeros where a part has nothing to look at.

    Examples
    --------
    >>> import numpy as np
    >>> part = lambda m, v: (np.array(m), np.array(1.0), np.array([v]))
    >>> merge_partial_attention([part(0.0, 1.0), part(0.0, 3.0), part(-np.inf, 9.0)])
    array([2.])
    """
    merged = _merge(partials)
    if merged is None:
        raise ValueError("partials is empty: at least one part is needed")
    _, total, sums = merged
    return sums / np.where(total == 0.0, 1.0, total)[..., None]


def memory_efficient_attention_backward(
    dout: Array,
    q: Array,
    k: Array,
    v: Array,
    out: Array,
    lse: Array,
    *,
    mask: Array | None = None,
    bias: Array | None = None,
    causal: bool = False,
    window: int | None = None,
    offset: int | None = None,
    scale: float | None = None,
    chunk_size: int = 32,
) -> tuple[Array, Array, Array]:
    """Gradients of q, k and v, with weights made again block by block from ``lse``.

    The other arguments are those of ``memory_efficient_attention``.
    """
    _check_chunk(chunk_size)
    problem = Problem(q, k, v, mask, bias, causal, window, offset, scale)
    dout, out, lse = to_floats(dout=dout, out=out, lse=lse)
    g = heads_first(problem, dout)
    require_shape("out", out, "that of dout", dout.shape)
    require_shape("lse", lse, "[..., H, Tq]", problem.shape[:-1])
    o = np.moveaxis(out, -3, -2)
    along = (g * o).sum(axis=-1, keepdims=True)
    batch = problem.shape[:-3]
    dq = np.zeros((*batch, *problem.q.shape[-3:]), problem.q.dtype)
    dk = np.zeros((*batch, *problem.k.shape[-3:]), problem.q.dtype)
    dv = np.zeros((*batch, *problem.v.shape[-3:]), problem.q.dtype)
    for rows in _blocks(0, problem.n_q, chunk_size):
        span = problem.span(rows)
        level = finite(lse[..., rows])[..., None]
        for columns in _blocks(span.start, span.stop, chunk_size):
            p = np.exp(problem.scores(rows, columns) - level)
            keys, values = problem.k[..., columns, :], problem.v[..., columns, :]
            da = problem.times(g[..., rows, :], np.swapaxes(values, -1, -2))
            ds = p * (da - along[..., rows, :]) * problem.scale
            dq[..., rows, :] += problem.times(ds, keys)
            dk[..., columns, :] += problem.shared(ds, problem.q[..., rows, :])
            dv[..., columns, :] += problem.shared(p, g[..., rows, :])
    parts = (np.moveaxis(part, -3, -2) for part in (dq, dk, dv))
    dq, dk, dv = (sum_to(p, np.shape(x)) for p, x in zip(parts, (q, k, v), strict=True))
    return dq, dk, dv
