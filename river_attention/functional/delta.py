"""Recurrences that remove before they write: the delta rule and its relatives."""

from __future__ import annotations

import numpy as np

from ._checks import (
    Array,
    check_sequence,
    column,
    initial,
    require_at_most,
    require_shape,
    row,
    scale_of,
    to_floats,
)
from .gated import LOG_GATE_REMEDY, decay_of
from .recurrence import dplr_step, linear_step, product_step, scan


def delta_rule(
    q: Array,
    k: Array,
    v: Array,
    beta: Array,
    *,
    scale: float | None = None,
    initial_state: Array | None = None,
) -> tuple[Array, Array]:
    r"""Delta rule (DeltaNet): what the key finds is replaced by the value.

    .. math::

        S_t = S_{t-1} + \beta_t k_t (v_t - S_{t-1}^\top k_t)^\top, \qquad
        o_t = \mathrm{scale} \cdot S_t^\top q_t

    Parameters
    ----------
    q, k
        Queries and keys [T, H, d_k]; keys are used as given, so normalise them first.
    v
        Values [T, H, d_v].
    beta
        Strength of the writing [T, H], usually in [0, 1].
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
        If a shape does not fit; the message names the argument.

    References
    ----------
    Schlag, Irie, Schmidhuber 2021, *Linear transformers are secretly fast weight programmers*,
    arXiv:2102.11174; Yang, Wang, Zhang, Shen, Kim 2024, arXiv:2406.06484.

    Examples
    --------
    >>> import numpy as np
    >>> q = k = np.ones((3, 1, 1))
    >>> v = np.array([1.0, 2.0, 3.0])[:, None, None]
    >>> output, state = delta_rule(q, k, v, beta=np.ones((3, 1)))
    >>> output.ravel(), state.ravel()
    (array([1., 2., 3.]), array([3.]))
    """
    zeros = np.zeros(np.shape(beta), np.asarray(beta).dtype)
    return gated_delta_rule(q, k, v, beta, zeros, scale=scale, initial_state=initial_state)


def gated_delta_rule(
    q: Array,
    k: Array,
    v: Array,
    beta: Array,
    log_gate: Array,
    *,
    scale: float | None = None,
    initial_state: Array | None = None,
) -> tuple[Array, Array]:
    r"""Gated delta rule: decay first, then replace.

    .. math::

        S' = \mathrm{diag}(e^{g_t})\, S_{t-1}, \qquad
        S_t = S' + \beta_t k_t (v_t - S'^\top k_t)^\top, \qquad
        o_t = \mathrm{scale} \cdot S_t^\top q_t

    Parameters
    ----------
    q, k
        Queries and keys [T, H, d_k]; keys are used as given, so normalise them first.
    v
        Values [T, H, d_v].
    beta
        Strength of the writing [T, H], usually in [0, 1].
    log_gate
        Logarithm of the decay, at most 0: one per head [T, H] (Gated DeltaNet) or one per key
        dimension [T, H, d_k] (Kimi Delta Attention).
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
    Yang, Kautz, Hatamizadeh 2024, *Gated delta networks: improving Mamba2 with delta rule*,
    arXiv:2412.06464; Kimi Team 2025, *Kimi Linear*, arXiv:2510.26692.

    Examples
    --------
    >>> import numpy as np
    >>> q = k = v = np.ones((2, 1, 1))
    >>> half = np.full((2, 1), 0.5)
    >>> output, state = gated_delta_rule(q, k, v, beta=half, log_gate=np.log(half))
    >>> output.ravel()
    array([0.5  , 0.625])
    """
    q, k, v, beta, log_gate, state = to_floats(
        q=q, k=k, v=v, beta=beta, log_gate=log_gate, initial_state=initial_state
    )
    n_steps, n_heads, d_key, d_value = check_sequence(q=q, k=k, v=v)
    require_shape("beta", beta, "[T, H]", (n_steps, n_heads))
    decay = decay_of(log_gate, n_steps, n_heads, d_key)
    state = initial("initial_state", state, (n_heads, d_key, d_value), q.dtype)
    written = column(beta[..., None] * k)
    output, final = scan(
        linear_step,
        state,
        decay,
        written,
        row(v),
        row(q * scale_of(q, scale)),
        -written,
        row(k),
    )
    return output[:, :, 0], final


def gated_delta_product(
    q: Array,
    k: Array,
    v: Array,
    beta: Array,
    log_gate: Array | None = None,
    *,
    scale: float | None = 1.0,
    initial_state: Array | None = None,
) -> tuple[Array, Array]:
    r"""(Gated) DeltaProduct: n delta updates per token, in order.

    .. math::

        S \leftarrow e^{g_t} S_{t-1}; \qquad
        S \leftarrow S + \beta_{tj} k_{tj} (v_{tj} - S^\top k_{tj})^\top,\ j = 1 \dots n; \qquad
        o_t = \mathrm{scale} \cdot S_t^\top q_t

    Parameters
    ----------
    q
        Queries [T, H, d_k].
    k
        Keys [T, n, H, d_k], used as given.
    v
        Values [T, n, H, d_v].
    beta
        Strength of the writing [T, n, H], usually in [0, 1], up to 2 for reflections.
    log_gate
        Logarithm of the decay, at most 0 [T, H]; None means no decay.
    scale
        Factor on the queries, 1 by default; None means ``d_k ** -0.5``.
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
    Siems, Carstensen, Zela, Hutter, Pontil, Grazzi 2025, *DeltaProduct: improving state-tracking
    in linear RNNs via Householder products*, arXiv:2502.10297.

    Examples
    --------
    >>> import numpy as np
    >>> q, kv = np.ones((1, 1, 1)), np.ones((1, 2, 1, 1))
    >>> output, state = gated_delta_product(q, kv, kv, beta=np.full((1, 2, 1), 0.5))
    >>> output.ravel()
    array([0.75])
    """
    q, k, v, beta, log_gate, state = to_floats(
        q=q, k=k, v=v, beta=beta, log_gate=log_gate, initial_state=initial_state
    )
    if q.ndim != 3:
        raise ValueError(f"q has shape {q.shape}: expected [T, H, d_k], time first")
    n_steps, n_heads, d_key = q.shape
    if k.ndim != 4:
        raise ValueError(f"k has shape {k.shape}: expected [T, n, H, d_k], time first")
    n = k.shape[1]
    require_shape("k", k, "[T, n, H, d_k]", (n_steps, n, n_heads, d_key))
    if v.ndim != 4:
        raise ValueError(f"v has shape {v.shape}: expected [T, n, H, d_v], time first")
    d_value = v.shape[3]
    require_shape("v", v, "[T, n, H, d_v]", (n_steps, n, n_heads, d_value))
    require_shape("beta", beta, "[T, n, H]", (n_steps, n, n_heads))
    if log_gate is None:
        log_gate = np.zeros((n_steps, n_heads), q.dtype)
    require_shape("log_gate", log_gate, "[T, H]", (n_steps, n_heads))
    decay = decay_of(log_gate, n_steps, n_heads, d_key)
    state = initial("initial_state", state, (n_heads, d_key, d_value), q.dtype)
    written = column(beta[..., None] * k)
    output, final = scan(
        product_step,
        state,
        decay,
        written,
        row(v),
        row(q * scale_of(q, scale)),
        -written,
        row(k),
    )
    return output[:, :, 0], final


def dplr(
    q: Array,
    k: Array,
    v: Array,
    log_decay: Array,
    alpha: Array,
    beta: Array,
    *,
    scale: float | None = None,
    initial_state: Array | None = None,
) -> tuple[Array, Array]:
    r"""Diagonal plus low rank, the general form with one sub-step.

    .. math::

        S_t = \mathrm{diag}(e^{w_t})\, S_{t-1} + \beta_t (\alpha_t^\top S_{t-1}) + k_t v_t^\top,
        \qquad o_t = \mathrm{scale} \cdot S_t^\top q_t

    Parameters
    ----------
    q, k
        Queries and keys [T, H, d_k].
    v
        Values [T, H, d_v].
    log_decay
        w, the logarithm of the decay per key dimension, at most 0 [T, H, d_k].
    alpha, beta
        What is read from the state before the decay, and where it is added [T, H, d_k].
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
        If a shape does not fit or a log decay is above 0; the message names the argument.

    References
    ----------
    Peng et al. 2025, *RWKV-7 "Goose" with expressive dynamic state evolution*, arXiv:2503.14456.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones((2, 1, 1))
    >>> output, state = dplr(one, one, one, np.log(0.5 * one), alpha=one, beta=-0.25 * one)
    >>> output.ravel()
    array([1.  , 1.25])
    """
    q, k, v, log_decay, alpha, beta, state = to_floats(
        q=q,
        k=k,
        v=v,
        log_decay=log_decay,
        alpha=alpha,
        beta=beta,
        initial_state=initial_state,
    )
    _, n_heads, d_key, d_value = check_sequence(q=q, k=k, v=v)
    for name, array in (("log_decay", log_decay), ("alpha", alpha), ("beta", beta)):
        require_shape(name, array, "[T, H, d_k]", q.shape)
    require_at_most("log_decay", log_decay, 0.0, LOG_GATE_REMEDY)
    state = initial("initial_state", state, (n_heads, d_key, d_value), q.dtype)
    output, final = scan(
        dplr_step,
        state,
        column(np.exp(log_decay)),
        column(k),
        row(v),
        row(q * scale_of(q, scale)),
        column(beta),
        row(alpha),
    )
    return output[:, :, 0], final


def rwkv7(
    r: Array,
    k: Array,
    v: Array,
    log_decay: Array,
    kk: Array,
    a: Array,
    *,
    scale: float | None = 1.0,
    initial_state: Array | None = None,
) -> tuple[Array, Array]:
    r"""RWKV-7: a decay per key dimension, and a key of its own for what is removed.

    .. math::

        S_t = \mathrm{diag}(e^{w_t})\, S_{t-1} - (a_t \odot \kappa_t)(\kappa_t^\top S_{t-1})
              + k_t v_t^\top, \qquad o_t = \mathrm{scale} \cdot S_t^\top r_t

    The removal reads the state before the decay.

    Parameters
    ----------
    r, k
        Receptances (queries) and keys [T, H, d_k].
    v
        Values [T, H, d_v].
    log_decay
        w, the logarithm of the decay per key dimension, at most 0 [T, H, d_k].
    kk
        κ, the removal key, used as given: normalise it first [T, H, d_k].
    a
        Strength of the removal per key dimension, usually in [0, 1], [T, H, d_k].
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
    Peng et al. 2025, *RWKV-7 "Goose" with expressive dynamic state evolution*, arXiv:2503.14456.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones((2, 1, 1))
    >>> output, state = rwkv7(one, one, one, np.log(0.5 * one), kk=one, a=0.25 * one)
    >>> output.ravel()
    array([1.  , 1.25])
    """
    r, k, v, log_decay, kk, a, state = to_floats(
        r=r, k=k, v=v, log_decay=log_decay, kk=kk, a=a, initial_state=initial_state
    )
    check_sequence(r=r, k=k, v=v)
    require_shape("kk", kk, "[T, H, d_k]", r.shape)
    require_shape("a", a, "[T, H, d_k]", r.shape)
    return dplr(r, k, v, log_decay, kk, -a * kk, scale=scale, initial_state=state)
