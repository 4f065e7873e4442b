r"""Where a token stands: rotations, sinusoids and biases.

.. math::

    \mathrm{rope}(x, p):\ (a, b)_m \mapsto
    (a \cos p\theta_m - b \sin p\theta_m,\ a \sin p\theta_m + b \cos p\theta_m), \qquad
    \theta_m = \text{base}^{-2m/d}

Rotary embedding (Su et al. 2021, arXiv:2104.09864) turns the pairs of a query and a key by angles
that grow with the position, so that their product depends on the distance only. Angles are float64
whatever the input is, and what rounding takes from them is added again: at position 1e6 a float32
angle is off by 1e-2, at 1e7 a float64 one by 1e-9. Biases by age are ALiBi
(Press et al. 2022, arXiv:2108.12409) and a learned table.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._checks import Array, require_integer, to_floats

SCALINGS = (None, "linear", "ntk", "dynamic_ntk", "yarn")


def rope_frequencies(
    dim: int,
    base: float = 10000.0,
    scaling: str | None = None,
    factor: float = 1.0,
    original_length: float | None = None,
    length: float | None = None,
    beta_fast: float = 32.0,
    beta_slow: float = 1.0,
) -> tuple[NDArray[np.float64], float]:
    r"""The frequencies of rotary embedding in radians per step, and a factor on q and k.

    ``"linear"``: :math:`\theta / s`. ``"ntk"``: base · s^(dim/(dim-2)). ``"dynamic_ntk"``: base ·
    (s·L'/L - (s-1))^(dim/(dim-2)) with L' = max(length, L). ``"yarn"`` (Peng et al. 2023,
    arXiv:2309.00071): fast pairs stay, slow ones are divided by s, in between a mix by the number
    of turns in ``original_length`` steps; the factor is 0.1 ln s + 1.

    Parameters
    ----------
    dim
        Number of channels that turn, even.
    base
        Above 0; the slowest pair turns about once in 2π·base steps.
    scaling
        One of None, "linear", "ntk", "dynamic_ntk", "yarn".
    factor
        s, at least 1.
    original_length
        L, the steps that the base was made for; for "dynamic_ntk" and "yarn".
    length
        Length of the sequence, for "dynamic_ntk"; None means ``original_length``.
    beta_fast, beta_slow
        YaRN: pairs with more turns than ``beta_fast`` stay, with fewer than ``beta_slow`` slow
        down by all of s.

    Returns
    -------
    theta [dim / 2], and the factor (1.0 but for "yarn").

    Examples
    --------
    >>> theta, factor = rope_frequencies(4)
    >>> theta, factor
    (array([1.  , 0.01]), 1.0)
    """
    if not isinstance(dim, (int, np.integer)) or dim < 2 or dim % 2:
        raise ValueError(f"dim={dim}: rotary embedding turns pairs; an even number >= 2")
    if not base > 0.0:
        raise ValueError(f"base={base}: must be > 0")
    if scaling not in SCALINGS:
        raise ValueError(f"scaling={scaling!r}: must be one of {', '.join(map(repr, SCALINGS))}")
    if not factor >= 1.0:
        raise ValueError(f"factor={factor}: must be >= 1")
    if scaling in ("ntk", "dynamic_ntk") and dim == 2:
        raise ValueError(f"dim=2: scaling={scaling!r} needs at least two pairs, dim >= 4")
    if scaling in ("dynamic_ntk", "yarn") and (original_length is None or original_length <= 0):
        raise ValueError(f"original_length={original_length}: scaling={scaling!r} needs it, > 0")
    if scaling == "yarn" and not beta_fast > beta_slow:
        raise ValueError(f"beta_fast={beta_fast}: must be > beta_slow={beta_slow}")
    if scaling == "ntk":
        base = base * factor ** (dim / (dim - 2))
    elif scaling == "dynamic_ntk":
        original = float(original_length or 1.0)
        longest = max(original if length is None else length, original)
        base = base * (factor * longest / original - (factor - 1.0)) ** (dim / (dim - 2))
    theta = base ** (-np.arange(0, dim, 2) / dim)
    if scaling == "linear":
        return theta / factor, 1.0
    if scaling == "yarn":
        turns = float(original_length or 1.0) * theta / (2.0 * math.pi)
        kept = np.clip((turns - beta_slow) / (beta_fast - beta_slow), 0.0, 1.0)
        return theta * (kept + (1.0 - kept) / factor), 0.1 * math.log(factor) + 1.0
    return theta, 1.0


def apply_rope(
    x: Array,
    positions: Array,
    theta: Array,
    inverse: bool = False,
    interleaved: bool = False,
) -> Array:
    """Turn the pairs of x by position times frequency.

    Parameters
    ----------
    x
        [..., T, H, d]; the first 2 · len(theta) channels turn, the others stay.
    positions
        [T], or one for all; may be fractions, such as times.
    theta
        Frequencies [pairs].
    inverse
        Turn back. This is the gradient as well.
    interleaved
        Pairs are (x[2j], x[2j+1]) instead of (x[j], x[j + pairs]).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[[5.0, 6.0, 7.0, 8.0]]])
    >>> apply_rope(x, [1], rope_frequencies(4)[0]).round(4)
    array([[[-3.1888,  5.9197,  7.9895,  8.0596]]])
    """
    (x,) = to_floats(x=x)
    angular = np.asarray(theta, np.float64)
    n_pairs = angular.shape[-1]
    if x.ndim < 3 or 2 * n_pairs > x.shape[-1]:
        raise ValueError(
            f"x has shape {x.shape}: expected [..., T, H, d] with d >= {2 * n_pairs} for theta"
        )
    at = np.asarray(positions, np.float64)
    if at.ndim and at.shape[-1] not in (1, x.shape[-3]):
        raise ValueError(f"positions has shape {at.shape}: expected [T] = ({x.shape[-3]},)")
    cos, sin = turns(at[..., None], angular)
    if at.ndim:
        cos, sin = cos[..., None, :], sin[..., None, :]
    return rotate(x, cos, sin, inverse, interleaved)


_SPLIT = 2.0**27 + 1.0


def turns(positions: Any, theta: Array) -> tuple[Array, Array]:
    r"""Cosines and sines of position · frequency, right to 1e-15 however large the position.

    With fl(pθ) the rounded product, and e = pθ - fl(pθ) from halves that multiply exactly (Dekker
    1971): cos pθ = cos fl(pθ) - e sin fl(pθ), and sin likewise, as e² vanishes. At position 1e7 the
    rounded product alone is off by 1e-9.

    Examples
    --------
    The step from 10^7 to 10^7 + 1 turns by as much as that from 0 to 1:

    >>> import numpy as np
    >>> cos, sin = turns(np.array([[1e7], [1e7 + 1.0]]), np.array([0.3]))
    >>> bool(abs(cos[0] * cos[1] + sin[0] * sin[1] - np.cos(0.3))[0] < 1e-15)
    True
    """
    rounded = positions * theta
    p_high = positions * _SPLIT
    p_high = p_high - (p_high - positions)
    t_high = theta * _SPLIT
    t_high = t_high - (t_high - theta)
    p_low, t_low = positions - p_high, theta - t_high
    error = p_high * t_high - rounded + p_high * t_low + p_low * t_high + p_low * t_low
    cos, sin = np.cos(rounded), np.sin(rounded)
    return cos - error * sin, sin + error * cos


def rotate(x: Array, cos: Array, sin: Array, inverse: bool, interleaved: bool) -> Array:
    """Turn pairs of x by angles whose cosines and sines are given [..., pairs]."""
    n_pairs = cos.shape[-1]
    cos, sin = cos.astype(x.dtype, copy=False), sin.astype(x.dtype, copy=False)
    if inverse:
        sin = -sin
    first = slice(0, 2 * n_pairs, 2) if interleaved else slice(0, n_pairs)
    second = slice(1, 2 * n_pairs, 2) if interleaved else slice(n_pairs, 2 * n_pairs)
    a, b = x[..., first], x[..., second]
    out = x.copy()
    out[..., first] = a * cos - b * sin
    out[..., second] = a * sin + b * cos
    return out


def sinusoidal_encoding(positions: Array, dim: int, base: float = 10000.0) -> Array:
    """Sines and cosines of positions (Vaswani et al. 2017, arXiv:1706.03762).

    Channel 2m is sin(p · base^(-2m/dim)), channel 2m + 1 its cosine; ``dim`` may be odd.

    Examples
    --------
    >>> sinusoidal_encoding([0, 1], 3).round(3)
    array([[0.   , 1.   , 0.   ],
           [0.841, 0.54 , 0.002]])
    """
    require_integer("dim", dim)
    angles = np.asarray(positions, np.float64)[..., None] * base ** (-np.arange(0, dim, 2) / dim)
    out = np.empty((*angles.shape[:-1], dim))
    out[..., 0::2] = np.sin(angles)
    out[..., 1::2] = np.cos(angles[..., : dim // 2])
    return out


def alibi_slopes(n_heads: int) -> Array:
    """Slopes of the bias ``-slope · age`` [H]: 2^(-8h/H) for a power of two.

    Otherwise those of the next smaller power of two, then every second one of the next larger.

    Examples
    --------
    >>> alibi_slopes(4).tolist(), alibi_slopes(3).tolist()
    ([0.25, 0.0625, 0.015625, 0.00390625], [0.0625, 0.00390625, 0.25])
    """
    require_integer("n_heads", n_heads)
    power = 1 << (n_heads.bit_length() - 1)
    slopes = 2.0 ** (-8.0 * np.arange(1, power + 1) / power)
    if power < n_heads:
        more = 2.0 ** (-8.0 * np.arange(1, 2 * power + 1) / (2 * power))
        slopes = np.concatenate([slopes, more[::2][: n_heads - power]])
    return slopes


def relative_bias(table: Array, ages: Array) -> Array:
    """The bias of keys by age from a table [H, w]: [H, *ages.shape], 0 outside 0..w-1.

    Examples
    --------
    >>> relative_bias([[0.5, 1.5]], [[0, 5], [1, 0]]).tolist()
    [[[0.5, 0.0], [1.5, 0.5]]]
    """
    (values,) = to_floats(table=table)
    if values.ndim != 2:
        raise ValueError(f"table has shape {values.shape}: expected [H, w]")
    at = np.asarray(ages)
    inside = (at >= 0) & (at < values.shape[1])
    biases: Array = np.where(inside, values[:, np.where(inside, at, 0)], values.dtype.type(0))
    return biases


def relative_bias_backward(dbias: Array, ages: Array, window: int) -> Array:
    """Gradient of the table [H, w] from that of the scores [..., H, Tq, Tk]."""
    (gradient,) = to_floats(dbias=dbias)
    require_integer("window", window)
    at = np.asarray(ages)
    if gradient.ndim < 3 or gradient.shape[-2:] != at.shape:
        raise ValueError(
            f"dbias has shape {gradient.shape}: expected [..., H, Tq, Tk] with ages {at.shape}"
        )
    gradient = gradient.reshape(-1, gradient.shape[-3], at.size).sum(axis=0)
    flat = at.ravel()
    inside = (flat >= 0) & (flat < window)
    rows = [np.bincount(flat[inside], row[inside], minlength=window) for row in gradient]
    return np.array(rows, dtype=gradient.dtype)


def ages(n_q: int, n_k: int, offset: int) -> NDArray[Any]:
    """How many steps key j is before query i, [Tq, Tk]; negative for what comes later."""
    return np.arange(n_q)[:, None] + (offset - np.arange(n_k))
