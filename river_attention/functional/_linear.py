"""Linear attention functions: thin shells that check shapes and run the scan."""

from __future__ import annotations

import numpy as np

from ._scan import Array, linear_step, scan


def _require(name: str, array: Array, shape: tuple[int, ...], meaning: str) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}: expected {meaning} = {shape}")


def _floats(**arrays: Array) -> list[Array]:
    """All arrays in float32 if every one of them is, else in float64; never the caller's memory."""
    converted = [np.asarray(array) for array in arrays.values()]
    single = all(array.dtype == np.float32 for array in converted)
    dtype = np.float32 if single else np.float64
    for name, array in zip(arrays, converted, strict=True):
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{name} has dtype {array.dtype}: expected real numbers")
    return [array.astype(dtype, copy=False) for array in converted]


def _check_qkv(q: Array, k: Array, v: Array) -> tuple[int, int, int, int]:
    for name, array in (("q", q), ("v", v)):
        if array.ndim != 3:
            raise ValueError(f"{name} has shape {array.shape}: expected [T, H, d], time first")
    n_steps, n_heads, d_key = q.shape
    _require("k", k, (n_steps, n_heads, d_key), "the shape of q, [T, H, d_k]")
    d_value = v.shape[2]
    _require("v", v, (n_steps, n_heads, d_value), "[T, H, d_v] with T and H as in q")
    return n_steps, n_heads, d_key, d_value


def gated_linear_attention(
    q: Array,
    k: Array,
    v: Array,
    log_gate: Array,
    *,
    scale: float | None = None,
    initial_state: Array | None = None,
) -> tuple[Array, Array]:
    r"""Gated linear attention (GLA), with one gate per head or per key dimension.

    .. math::

        S_t = \mathrm{diag}(e^{g_t})\, S_{t-1} + k_t v_t^\top, \qquad
        o_t = \mathrm{scale} \cdot S_t^\top q_t

    Parameters
    ----------
    q, k
        Queries and keys [T, H, d_k].
    v
        Values [T, H, d_v].
    log_gate
        Logarithm of the decay, at most 0: [T, H] or [T, H, d_k].
    scale
        Factor on the queries; None means ``d_k ** -0.5``.
    initial_state
        S before the first token [H, d_k, d_v]; None means zeros.

    Returns
    -------
    The outputs [T, H, d_v] and the final state [H, d_k, d_v]; float32 if all arrays were.

    Raises
    ------
    ValueError
        If a shape does not fit or a log gate is above 0; the message names the argument.

    References
    ----------
    Yang, Wang, Shen, Panda, Kim 2023, *Gated linear attention transformers with
    hardware-efficient training*, arXiv:2312.06635.

    Examples
    --------
    >>> import numpy as np
    >>> q = k = v = np.ones((3, 1, 1))
    >>> output, state = gated_linear_attention(q, k, v, np.log(np.full((3, 1), 0.5)))
    >>> output.ravel(), state.ravel()
    (array([1.  , 1.5 , 1.75]), array([1.75]))
    """
    if initial_state is None:
        q, k, v, log_gate = _floats(q=q, k=k, v=v, log_gate=log_gate)
        state = None
    else:
        q, k, v, log_gate, state = _floats(
            q=q, k=k, v=v, log_gate=log_gate, initial_state=initial_state
        )
    n_steps, n_heads, d_key, d_value = _check_qkv(q, k, v)
    if log_gate.shape not in ((n_steps, n_heads), (n_steps, n_heads, d_key)):
        raise ValueError(
            f"log_gate has shape {log_gate.shape}: expected [T, H] = {(n_steps, n_heads)} "
            f"or [T, H, d_k] = {(n_steps, n_heads, d_key)}"
        )
    if log_gate.size and not log_gate.max() <= 0:
        raise ValueError(
            f"log_gate has a largest value of {log_gate.max()}: the logarithm of a decay is at "
            "most 0 (pass log(gate), not the gate)"
        )
    state = np.zeros((n_heads, d_key, d_value), q.dtype) if state is None else state.copy()
    _require("initial_state", state, (n_heads, d_key, d_value), "[H, d_k, d_v]")
    factor = q.dtype.type(d_key**-0.5 if scale is None else scale)
    decay = np.exp(log_gate if log_gate.ndim == 3 else log_gate[..., None])[..., None]
    output, final_state = scan(
        linear_step, state, decay, k[..., None], v[:, :, None, :], (q * factor)[:, :, None, :]
    )
    return output[:, :, 0, :], final_state
