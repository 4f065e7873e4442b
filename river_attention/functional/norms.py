r"""Normalisation of single vectors, forward and backward.

.. math::

    \text{rms: } y = \frac{x}{\sqrt{\overline{x^2} + \epsilon}} g + b, \qquad
    \text{layer: the same of } x - \bar x

Means run over the last axis, so that every vector is normalised by itself (RMSNorm: Zhang and
Sennrich 2019, arXiv:1910.07467; LayerNorm: Ba et al. 2016, arXiv:1607.06450). Queries and keys are
normalised before they are rotated.
"""

from __future__ import annotations

import numpy as np

from ._checks import Array, to_floats

KINDS = ("rms", "layer")


def _normalised(x: Array, kind: str, eps: float) -> tuple[Array, Array]:
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: must be 'rms' or 'layer'")
    if x.ndim < 1 or x.shape[-1] < 1:
        raise ValueError(f"x has shape {x.shape}: expected vectors [..., d]")
    if not eps >= 0.0:
        raise ValueError(f"eps={eps}: must be >= 0")
    if kind == "layer":
        x = x - x.mean(axis=-1, keepdims=True)
    root = np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + x.dtype.type(eps))
    return x / root, root


def qk_norm(
    x: Array,
    kind: str = "rms",
    gain: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-6,
) -> Array:
    """Every vector x [..., d] normalised, times ``gain`` [d], plus ``bias`` [d].

    Examples
    --------
    >>> qk_norm([1.0, 2.0, 3.0, 4.0], "layer").round(4)
    array([-1.3416, -0.4472,  0.4472,  1.3416])
    """
    x, gain, bias = to_floats(x=x, gain=gain, bias=bias)
    _check(x, gain=gain, bias=bias)
    y, _ = _normalised(x, kind, eps)
    if gain is not None:
        y = y * gain
    return y if bias is None else y + bias


def qk_norm_backward(
    dy: Array,
    x: Array,
    kind: str = "rms",
    gain: Array | None = None,
    eps: float = 1e-6,
) -> tuple[Array, Array, Array]:
    """Gradients of x [..., d], gain [d] and bias [d] from that of the output.

    Examples
    --------
    >>> dx, dgain, dbias = qk_norm_backward([1.0, 0.0], [3.0, 4.0])
    >>> dx.round(3), dgain.round(3), dbias
    (array([ 0.181, -0.136]), array([0.849, 0.   ]), array([1., 0.]))
    """
    dy, x, gain = to_floats(dy=dy, x=x, gain=gain)
    _check(x, gain=gain)
    if dy.shape != x.shape:
        raise ValueError(f"dy has shape {dy.shape}: expected that of x = {x.shape}")
    xhat, root = _normalised(x, kind, eps)
    d = x.shape[-1]
    dgain = (dy * xhat).reshape(-1, d).sum(axis=0)
    dbias = dy.reshape(-1, d).sum(axis=0)
    dxhat = dy if gain is None else dy * gain
    dx = dxhat - xhat * (dxhat * xhat).mean(axis=-1, keepdims=True)
    if kind == "layer":
        dx = dx - dxhat.mean(axis=-1, keepdims=True)
    return dx / root, dgain, dbias


def _check(x: Array, **vectors: Array | None) -> None:
    for name, vector in vectors.items():
        if vector is not None and vector.shape != x.shape[-1:]:
            raise ValueError(f"{name} has shape {vector.shape}: expected [d] = {x.shape[-1:]}")
