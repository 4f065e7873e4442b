"""The loop over time of functional/recurrence.py, for the steps of that module."""

from functools import partial

cdef const void *address(object array):
    return <const void *><uintptr_t>array.ctypes.data


cdef object plain_step(object step):
    """A step as the function of the module that it is, and what it was given by name."""
    if type(step) is partial and not step.args:
        return step.func, step.keywords
    # that of a mode which has none of its own, or reads after it wrote
    function = getattr(step, "__func__", None)
    if function is Mode.step:
        return recurrence.linear_step, {}
    if function is ReadingMode.step and step.__self__.read == "after":
        return step.__self__.update, {}
    return step, {}


def scan(step, state, tuple tokens):
    """What ``recurrence.scan`` gives; None where only NumPy knows."""
    cdef Tokens s
    cdef const Kernels *kernels = best_kernels()
    cdef object kind, reads, scratch, decay = None
    cdef void *new_address
    cdef void *out
    cdef void *room
    cdef int i
    cdef bint single
    cdef int64_t n_tokens = 0
    function, options = plain_step(step)
    memset(&s, 0, sizeof(Tokens))
    if function is recurrence.log_linear_step:
        state, known_tokens = state
        if not 0 <= known_tokens < 2**62:
            return None
        n_tokens = known_tokens
    if not isinstance(state, np.ndarray) or not tokens or not len(tokens[0]):
        return None
    kind = state.dtype
    if kind not in (np.float64, np.float32):
        return None
    if not all(isinstance(token, np.ndarray) and token.dtype == kind for token in tokens):
        return None
    n = len(tokens[0])
    if not all(len(token) == n for token in tokens):
        return None  # an error, which NumPy names
    s.n_steps, s.n_tokens = n, n_tokens
    single = kind == np.float32
    s.largest_exponent = recurrence._LARGEST_EXPONENT[kind]
    new = np.array(state, order="C")
    if function is recurrence.diagonal_step:
        decay, x = tokens
        if x.shape[1:] != new.shape or decay.shape[1:] != new.shape or options:
            return None
        s.step, s.n_heads = SCAN_DIAGONAL, new.size
        decay, x = np.ascontiguousarray(decay), np.ascontiguousarray(x)
        s.decay, s.k = address(decay), address(x)
        reads, kept = np.empty((n, *new.shape), kind), (decay, x)
    else:
        kept = read_tokens(&s, function, options, new, tokens, kind)
        if kept is None:
            return None
        reads = np.empty((n, s.n_heads, 1, kept[0]), kind)
    scratch = np.empty(2 * s.d_value + 2, kind)
    new_address, out = <void *>address(new), <void *>address(reads)
    room = <void *>address(scratch)

    with nogil:
        if single:
            kernels.scan_float(&s, new_address, out, room)
        else:
            kernels.scan_double(&s, new_address, out, room)
    if function is recurrence.log_linear_step:
        return reads, (new, known_tokens + n)
    return reads, new


cdef object read_tokens(
    Tokens *s, object function, dict options, object state, tuple tokens, object kind
):
    """Tokens of matrices to s; returns d_value of a read and what must live on, or None."""
    cdef int n_sub = 1
    arrays = {}
    if function is recurrence.mlstm_step:
        if len(tokens) != 5 or options.keys() - {"eps"}:
            return None
        s.step, s.eps = SCAN_MLSTM, options.get("eps", 1e-6)
        decay, arrays["extra"], k, v, q = tokens
        H, dk, dv = state.shape[0], state.shape[1] - 1, state.shape[2] - 1
        if decay.shape[1:] != (H, 1, 1) or arrays["extra"].shape[1:] != (H, 1, 1):
            return None
        decay = np.ascontiguousarray(decay)
    elif function is recurrence.normalized_step:
        if len(tokens) != 3 or options.keys() - {"eps"}:
            return None
        s.step, s.eps = SCAN_NORMALIZED, options.get("eps", 1e-12)
        k, v, q = tokens
        decay = None
        H, dk, dv = state.shape
    elif function is recurrence.log_linear_step:
        if len(tokens) not in (5, 7) or options or state.ndim != 4:
            return None
        s.step, s.n_levels = SCAN_LOG_LINEAR, state.shape[0]
        decay, k, v, q, arrays["extra"] = tokens[:5]
        H, dk, dv = state.shape[1:]
        if arrays["extra"].shape[1:] != (s.n_levels, H, 1, 1):
            return None
        if len(tokens) == 7:
            arrays["r"], arrays["b"] = tokens[5:]
    elif function is recurrence.bonus_step:
        if len(tokens) != 4 or options.keys() != {"bonus"}:
            return None
        s.step = SCAN_BONUS
        decay, k, v, q = tokens
        H, dk, dv = state.shape
        bonus = options["bonus"]
        if bonus.shape != (H, dk, 1) or bonus.dtype != kind:
            return None
        arrays["extra"] = bonus
    elif function in (recurrence.linear_step, recurrence.dplr_step, recurrence.product_step):
        if len(tokens) not in (4, 6) or options:
            return None
        s.step, s.before = SCAN_LINEAR, function is recurrence.dplr_step
        decay, k, v, q = tokens[:4]
        if len(tokens) == 6:
            arrays["r"], arrays["b"] = tokens[4:]
        elif function is not recurrence.linear_step:
            return None
        H, dk, dv = state.shape
        if function is recurrence.product_step:
            n_sub = k.shape[1]
            if n_sub < 1:
                return None
    else:
        return None
    subs = (n_sub,) if function is recurrence.product_step else ()
    shapes = {
        "k": (*subs, H, dk, 1), "v": (*subs, H, 1, dv), "q": (H, 1, dk),
        "r": (*subs, H, dk, 1), "b": (*subs, H, 1, dk),
    }
    arrays |= {"k": k, "v": v, "q": q}
    for name, shape in shapes.items():
        if name in arrays and arrays[name].shape[1:] != shape:
            return None
    if H == 0 or dk == 0 or dv == 0 or max(H, dk, dv, s.n_levels, n_sub) >= 2**30:
        return None
    if decay is not None and s.step != SCAN_MLSTM:
        if decay.ndim != 4 or decay.shape[3] != 1:
            return None
        decay = np.broadcast_to(decay, (len(decay), H, dk, 1))
        s.decay_time, s.decay_head, s.decay_key = (
            stride // kind.itemsize for stride in decay.strides[:3]
        )
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    s.n_heads, s.d_key, s.d_value, s.n_sub = H, dk, dv, n_sub
    s.k, s.v, s.q = address(arrays["k"]), address(arrays["v"]), address(arrays["q"])
    if "r" in arrays:
        s.r, s.b = address(arrays["r"]), address(arrays["b"])
    if "extra" in arrays:
        s.extra = address(arrays["extra"])
    if decay is not None:
        s.decay = address(decay)
    return (dv - 1 if s.step == SCAN_NORMALIZED else dv), arrays, decay
