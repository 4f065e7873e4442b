"""Recurrences that only add: retention, gated linear attention, RWKV-6, HGRN, kernels, mLSTM."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ._checks import (
    Array,
    check_sequence,
    column,
    initial,
    require_at_most,
    require_between,
    require_shape,
    row,
    scale_of,
    state_parts,
    to_floats,
)
from .recurrence import bonus_step, diagonal_step, linear_step, mlstm_step, normalized_step, scan

LOG_GATE_REMEDY = "it is the logarithm of a decay: pass log(gate), not the gate"


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow."""
    return 0.5 * np.tanh(0.5 * x) + np.asarray(0.5, x.dtype)


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) without overflow."""
    return np.logaddexp(np.asarray(0, x.dtype), x)


def retention(
    q: Array,
    k: Array,
    v: Array,
    gamma: Array,
    *,
    scale: float | None = None,
    initial_state: Array | None = None,
) -> tuple[Array, Array]:
    r"""Retention: a constant decay per head.

    .. math::

        S_t = \gamma_h S_{t-1} + k_t v_t^\top, \qquad o_t = \mathrm{scale} \cdot S_t^\top q_t

    Parameters
    ----------
    q, k
        Queries and keys [T, H, d_k].
    v
        Values [T, H, d_v].
    gamma
        Decay in [0, 1] per head [H].
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
        If a shape does not fit or gamma is out of range; the message names the argument.

    References
    ----------
    Sun, Dong, Huang, Ma, Xia, Xue, Wang, Wei 2023, *Retentive network*, arXiv:2307.08621.

    Examples
    --------
    >>> import numpy as np
    >>> q = k = v = np.ones((3, 1, 1))
    >>> output, state = retention(q, k, v, gamma=[0.5])
    >>> output.ravel(), state.ravel()
    (array([1.  , 1.5 , 1.75]), array([1.75]))
    """
    q, k, v, gamma, state = to_floats(q=q, k=k, v=v, gamma=gamma, initial_state=initial_state)
    n_steps, n_heads, d_key, d_value = check_sequence(q=q, k=k, v=v)
    require_shape("gamma", gamma, "[H]", (n_heads,))
    require_between("gamma", gamma, 0.0, 1.0)
    state = initial("initial_state", state, (n_heads, d_key, d_value), q.dtype)
    decay = np.broadcast_to(gamma[:, None, None], (n_steps, n_heads, 1, 1))
    output, final = scan(linear_step, state, decay, column(k), row(v), row(q * scale_of(q, scale)))
    return output[:, :, 0], final


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
    q, k, v, log_gate, state = to_floats(
        q=q, k=k, v=v, log_gate=log_gate, initial_state=initial_state
    )
    n_steps, n_heads, d_key, d_value = check_sequence(q=q, k=k, v=v)
    decay = decay_of(log_gate, n_steps, n_heads, d_key)
    state = initial("initial_state", state, (n_heads, d_key, d_value), q.dtype)
    output, final = scan(linear_step, state, decay, column(k), row(v), row(q * scale_of(q, scale)))
    return output[:, :, 0], final


def decay_of(log_gate: Array, n_steps: int, n_heads: int, d_key: int) -> Array:
    """The decays [T, H, 1 or d_k, 1] of checked log gates [T, H] or [T, H, d_k]."""
    require_shape(
        "log_gate",
        log_gate,
        "[T, H] or [T, H, d_k]",
        (n_steps, n_heads),
        (n_steps, n_heads, d_key),
    )
    require_at_most("log_gate", log_gate, 0.0, LOG_GATE_REMEDY)
    if log_gate.ndim == 2:
        log_gate = column(log_gate)
    return column(np.exp(log_gate))


def rwkv6(
    r: Array,
    k: Array,
    v: Array,
    log_decay: Array,
    bonus: Array,
    *,
    scale: float | None = 1.0,
    initial_state: Array | None = None,
) -> tuple[Array, Array]:
    r"""RWKV-6: reads before it writes, with a bonus for the token itself.

    .. math::

        o_t = \mathrm{scale} \cdot (S_{t-1} + \mathrm{diag}(u) k_t v_t^\top)^\top r_t, \qquad
        S_t = \mathrm{diag}(e^{w_t})\, S_{t-1} + k_t v_t^\top

    Parameters
    ----------
    r, k
        Receptances (queries) and keys [T, H, d_k].
    v
        Values [T, H, d_v].
    log_decay
        w, the logarithm of the decay per key dimension, at most 0 [T, H, d_k].
    bonus
        u [H, d_k].
    scale
        Factor on the receptances, 1 by default; None means ``d_k ** -0.5``.
    initial_state
        S before the first token [H, d_k, d_v]; None means zeros.

    Returns
    -------
    The outputs [T, H, d_v] and the final state [H, d_k, d_v]; float32 if all arrays were.

    Raises
    ------
    ValueError
        If a shape does not fit or a log decay is above 0; the message names the argument.

    References
    ----------
    Peng et al. 2024, *Eagle and Finch: RWKV with matrix-valued states and dynamic recurrence*,
    arXiv:2404.05892.

    Examples
    --------
    >>> import numpy as np
    >>> r = k = v = np.ones((3, 1, 1))
    >>> output, state = rwkv6(r, k, v, np.log(np.full((3, 1, 1), 0.5)), bonus=[[2.0]])
    >>> output.ravel(), state.ravel()
    (array([2. , 3. , 3.5]), array([1.75]))
    """
    r, k, v, log_decay, bonus, state = to_floats(
        r=r, k=k, v=v, log_decay=log_decay, bonus=bonus, initial_state=initial_state
    )
    _, n_heads, d_key, d_value = check_sequence(r=r, k=k, v=v)
    require_shape("log_decay", log_decay, "[T, H, d_k]", r.shape)
    require_at_most("log_decay", log_decay, 0.0, LOG_GATE_REMEDY)
    require_shape("bonus", bonus, "[H, d_k]", (n_heads, d_key))
    state = initial("initial_state", state, (n_heads, d_key, d_value), r.dtype)
    step = partial(bonus_step, bonus=column(bonus))
    output, final = scan(
        step, state, column(np.exp(log_decay)), column(k), row(v), row(r * scale_of(r, scale))
    )
    return output[:, :, 0], final


def hgrn2(
    q: Array,
    v: Array,
    forget: Array,
    *,
    scale: float | None = None,
    initial_state: Array | None = None,
) -> tuple[Array, Array]:
    r"""HGRN2: what the forget gate gives up is the key.

    .. math::

        S_t = \mathrm{diag}(f_t)\, S_{t-1} + (1 - f_t) v_t^\top, \qquad
        o_t = \mathrm{scale} \cdot S_t^\top q_t

    Parameters
    ----------
    q
        Queries [T, H, d_k].
    v
        Values [T, H, d_v].
    forget
        f, the forget gate itself (not its logarithm) in [0, 1], [T, H, d_k].
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
        If a shape does not fit or ``forget`` is out of range; the message names the argument.

    References
    ----------
    Qin, Yang, Sun, Shen, Li, Sun, Zhong 2024, *HGRN2: gated linear RNNs with state expansion*,
    arXiv:2404.07904.

    Examples
    --------
    >>> import numpy as np
    >>> q = v = np.ones((3, 1, 1))
    >>> output, state = hgrn2(q, v, forget=np.full((3, 1, 1), 0.5))
    >>> output.ravel(), state.ravel()
    (array([0.5  , 0.75 , 0.875]), array([0.875]))
    """
    q, v, forget, state = to_floats(q=q, v=v, forget=forget, initial_state=initial_state)
    _, n_heads, d_key, d_value = check_sequence(q=q, v=v)
    require_shape("forget", forget, "[T, H, d_k]", q.shape)
    require_between("forget", forget, 0.0, 1.0)
    state = initial("initial_state", state, (n_heads, d_key, d_value), q.dtype)
    output, final = scan(
        linear_step,
        state,
        column(forget),
        column(1 - forget),
        row(v),
        row(q * scale_of(q, scale)),
    )
    return output[:, :, 0], final


def hgrn(x: Array, log_gate: Array, *, initial_state: Array | None = None) -> tuple[Array, Array]:
    r"""HGRN: an elementwise gated recurrence.

    .. math:: h_t = e^{g_t} \odot h_{t-1} + x_t, \qquad o_t = h_t

    Parameters
    ----------
    x
        Inputs, already multiplied by their input gate [T, D].
    log_gate
        g, the logarithm of the decay, at most 0 [T, D].
    initial_state
        h before the first step [D]; None means zeros.

    Returns
    -------
    The states [T, D] and the last of them [D]; float32 if all arrays were.

    Raises
    ------
    ValueError
        If a shape does not fit or a log gate is above 0; the message names the argument.

    References
    ----------
    Qin, Yang, Zhong 2023, *Hierarchically gated recurrent neural network for sequence modeling*,
    arXiv:2311.04823.

    Examples
    --------
    >>> import numpy as np
    >>> output, state = hgrn(np.ones((3, 1)), np.log(np.full((3, 1), 0.5)))
    >>> output.ravel(), state
    (array([1.  , 1.5 , 1.75]), array([1.75]))
    """
    x, log_gate, state = to_floats(x=x, log_gate=log_gate, initial_state=initial_state)
    if x.ndim != 2:
        raise ValueError(f"x has shape {x.shape}: expected [T, D], time first")
    require_shape("log_gate", log_gate, "[T, D] as x", x.shape)
    require_at_most("log_gate", log_gate, 0.0, LOG_GATE_REMEDY)
    state = initial("initial_state", state, x.shape[1:], x.dtype)
    return scan(diagonal_step, state, np.exp(log_gate), x)


def rg_lru(
    x: Array,
    rec_gate_pre: Array,
    input_gate_pre: Array,
    recurrent_param: Array,
    position_ids: Array | None = None,
    *,
    initial_state: Array | None = None,
) -> tuple[Array, Array]:
    r"""Real-gated linear recurrent unit (RG-LRU), the recurrence of Hawk and Griffin.

    .. math::

        \log a_t = -8\, \sigma(r_t)\, \mathrm{softplus}(\Lambda), \qquad
        h_t = a_t h_{t-1} + \sqrt{1 - a_t^2}\; \sigma(i_t)\, x_t

    and h_t = σ(i_t) x_t where a new sequence starts.

    Parameters
    ----------
    x
        Inputs [T, D].
    rec_gate_pre, input_gate_pre
        r and i before their sigmoid [T, D].
    recurrent_param
        Λ [D].
    position_ids
        Positions [T]; at position 0 the state is reset. None means no reset.
    initial_state
        h before the first step [D]; None means zeros.

    Returns
    -------
    The states [T, D] and the last of them [D]; float32 if all arrays were.

    Raises
    ------
    ValueError
        If a shape does not fit; the message names the argument.

    References
    ----------
    De, Smith, Fernando et al. 2024, *Griffin: mixing gated linear recurrences with local attention
    for efficient language models*, arXiv:2402.19427.

    Examples
    --------
    >>> import numpy as np
    >>> ones = np.ones((2, 1))
    >>> output, state = rg_lru(ones, 0 * ones, 0 * ones, recurrent_param=[0.0])
    >>> output.ravel().round(4)
    array([0.499 , 0.5302])
    """
    x, rec_gate_pre, input_gate_pre, recurrent_param, state = to_floats(
        x=x,
        rec_gate_pre=rec_gate_pre,
        input_gate_pre=input_gate_pre,
        recurrent_param=recurrent_param,
        initial_state=initial_state,
    )
    if x.ndim != 2:
        raise ValueError(f"x has shape {x.shape}: expected [T, D], time first")
    require_shape("rec_gate_pre", rec_gate_pre, "[T, D] as x", x.shape)
    require_shape("input_gate_pre", input_gate_pre, "[T, D] as x", x.shape)
    require_shape("recurrent_param", recurrent_param, "[D]", x.shape[1:])
    state = initial("initial_state", state, x.shape[1:], x.dtype)
    rate = 8 * softplus(recurrent_param)
    decay, written = rg_lru_gates(x, rec_gate_pre, input_gate_pre, rate)
    if position_ids is not None:
        positions = np.asarray(position_ids)
        require_shape("position_ids", positions, "[T]", x.shape[:1])
        starts = (positions == 0)[:, None]
        written = np.where(starts, sigmoid(input_gate_pre) * x, written)
        decay = np.where(starts, np.asarray(0, x.dtype), decay)
    return scan(diagonal_step, state, decay, written)


def rg_lru_gates(
    x: Array, rec_gate_pre: Array, input_gate_pre: Array, rate: Array
) -> tuple[Array, Array]:
    """Decay and what is written, as in ``rg_lru``; ``rate`` is 8 softplus(Λ). Elementwise."""
    log_decay = -rate * sigmoid(rec_gate_pre)
    # 1 - a² by expm1: exact where a is close to 1
    written = np.sqrt(-np.expm1(2 * log_decay)) * (sigmoid(input_gate_pre) * x)
    return np.exp(log_decay), written


def elu_plus_one(x: Array) -> Array:
    """The feature map elu(x) + 1 of kernel linear attention: positive everywhere."""
    return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))


def with_ones(v: Array) -> Array:
    """Values [..., d_v] with a last entry 1 [..., d_v + 1]: that column of S sums the keys."""
    return np.concatenate([v, np.ones((*v.shape[:-1], 1), v.dtype)], axis=-1)


def kernel_linear_attention(
    q: Array,
    k: Array,
    v: Array,
    *,
    normalize: bool = True,
    decay: Array | None = None,
    eps: float = 0.0,
    initial_state: Any = None,
) -> tuple[Array, Any]:
    r"""Linear attention with the feature map φ(x) = elu(x) + 1.

    .. math::

        S_t = \lambda S_{t-1} + \varphi(k_t) v_t^\top, \quad z_t = z_{t-1} + \varphi(k_t), \quad
        o_t = \frac{S_t^\top \varphi(q_t)}{z_t^\top \varphi(q_t) + \mathrm{eps}}
        \ \text{ or } \ S_t^\top \varphi(q_t)

    Parameters
    ----------
    q, k
        Queries and keys [T, H, d_k].
    v
        Values [T, H, d_v].
    normalize
        Whether to divide by the sum of the weights. There is no scale either way.
    decay
        λ in [0, 1] per head [H]; None means 1. Only without normaliser.
    eps
        Added to the denominator.
    initial_state
        (S [H, d_k, d_v], z [H, d_k]), or S alone if not normalised; None means zeros.

    Returns
    -------
    The outputs [T, H, d_v] and the final state, (S, z) or S alone; float32 if all arrays were.

    Raises
    ------
    ValueError
        If a shape does not fit, decay is out of range or given with ``normalize=True``.

    References
    ----------
    Katharopoulos, Vyas, Pappas, Fleuret 2020, *Transformers are RNNs*, arXiv:2006.16236.

    Examples
    --------
    >>> import numpy as np
    >>> q = k = np.zeros((3, 1, 1))
    >>> output, (state, z) = kernel_linear_attention(q, k, np.array([1.0, 2, 3])[:, None, None])
    >>> output.ravel(), z.ravel()
    (array([1. , 1.5, 2. ]), array([3.]))
    """
    if normalize:
        if decay is not None:
            raise ValueError(
                f"decay={decay!r} with normalize=True: the normaliser would have to decay too; "
                "pass normalize=False"
            )
        memory, z = state_parts(initial_state, "S", "z")
        q, k, v, memory, z = to_floats(q=q, k=k, v=v, initial_state=memory, initial_z=z)
        _, n_heads, d_key, d_value = check_sequence(q=q, k=k, v=v)
        memory = initial("initial_state[0]", memory, (n_heads, d_key, d_value), q.dtype)
        z = initial("initial_state[1]", z, (n_heads, d_key), q.dtype)
        state = np.concatenate([memory, column(z)], axis=-1)
        step = partial(normalized_step, eps=eps)
        output, final = scan(
            step, state, column(elu_plus_one(k)), row(with_ones(v)), row(elu_plus_one(q))
        )
        return output[:, :, 0], (final[..., :-1].copy(), final[..., -1].copy())
    q, k, v, decay, state = to_floats(q=q, k=k, v=v, decay=decay, initial_state=initial_state)
    check_sequence(q=q, k=k, v=v)
    gamma = np.ones(q.shape[1], q.dtype) if decay is None else decay
    require_shape("decay", gamma, "[H]", q.shape[1:2])
    require_between("decay", gamma, 0.0, 1.0)
    return retention(elu_plus_one(q), elu_plus_one(k), v, gamma, scale=1.0, initial_state=state)


def mlstm(
    q: Array,
    k: Array,
    v: Array,
    i_pre: Array,
    f_pre: Array,
    *,
    forget: str = "sigmoid",
    eps: float = 1e-6,
    scale: float | None = None,
    initial_state: Any = None,
) -> tuple[Array, tuple[Array, Array, Array]]:
    r"""MLSTM, the matrix memory of xLSTM: exponential gates and a normaliser.

    .. math::

        m_t &= \max(\log f_t + m_{t-1},\ i_t), \qquad
        f' = e^{\log f_t + m_{t-1} - m_t}, \qquad i' = e^{i_t - m_t} \\
        C_t &= f' C_{t-1} + i' k_t v_t^\top, \qquad n_t = f' n_{t-1} + i' k_t \\
        o_t &= \frac{C_t^\top q'_t}{\max(|n_t^\top q'_t|,\ e^{-m_t}) + \mathrm{eps}},
        \qquad q' = \mathrm{scale} \cdot q

    Parameters
    ----------
    q, k
        Queries and keys [T, H, d_k].
    v
        Values [T, H, d_v].
    i_pre, f_pre
        Input and forget gate before their activation [T, H].
    forget
        "sigmoid": log f is the log of the sigmoid of f_pre; "exp": log f is f_pre.
    eps
        Added to the denominator.
    scale
        Factor on the queries; None means ``d_k ** -0.5``.
    initial_state
        (C [H, d_k, d_v], n [H, d_k], m [H]), stabilised; None means zeros.

    Returns
    -------
    The outputs [T, H, d_v] and the final state (C, n, m); float32 if all arrays were.

    Raises
    ------
    ValueError
        If a shape does not fit or ``forget`` is unknown; the message names the argument.

    References
    ----------
    Beck et al. 2024, *xLSTM: extended long short-term memory*, arXiv:2405.04517.

    Examples
    --------
    >>> import numpy as np
    >>> q = k = v = np.ones((3, 1, 1))
    >>> output, (C, n, m) = mlstm(q, k, v, i_pre=np.zeros((3, 1)), f_pre=np.zeros((3, 1)))
    >>> output.ravel().round(3), C.ravel(), m
    (array([1., 1., 1.]), array([1.75]), array([0.]))
    """
    if forget not in ("sigmoid", "exp"):
        raise ValueError(f"forget={forget!r}: must be 'sigmoid' or 'exp'")
    memory, n, m = state_parts(initial_state, "C", "n", "m")
    q, k, v, i_pre, f_pre, memory, n, m = to_floats(
        q=q,
        k=k,
        v=v,
        i_pre=i_pre,
        f_pre=f_pre,
        initial_C=memory,
        initial_n=n,
        initial_m=m,
    )
    n_steps, n_heads, d_key, d_value = check_sequence(q=q, k=k, v=v)
    require_shape("i_pre", i_pre, "[T, H]", (n_steps, n_heads))
    require_shape("f_pre", f_pre, "[T, H]", (n_steps, n_heads))
    state = np.zeros((n_heads, d_key + 1, d_value + 1), q.dtype)
    state[:, :-1, :-1] = initial("initial_state[0]", memory, (n_heads, d_key, d_value), q.dtype)
    state[:, :-1, -1] = initial("initial_state[1]", n, (n_heads, d_key), q.dtype)
    state[:, -1, -1] = initial("initial_state[2]", m, (n_heads,), q.dtype)
    log_forget = -softplus(-f_pre) if forget == "sigmoid" else f_pre
    output, final = scan(
        partial(mlstm_step, eps=eps),
        state,
        log_forget[:, :, None, None],
        i_pre[:, :, None, None],
        column(k),
        row(v),
        row(q * scale_of(q, scale)),
    )
    parts = (final[:, :-1, :-1], final[:, :-1, -1], final[:, -1, -1])
    return output[:, :, 0], (parts[0].copy(), parts[1].copy(), parts[2].copy())
