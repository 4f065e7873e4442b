"""From the NumPy objects to the structs of src/ and back, room by room."""

cdef inline int padded(int n):
    return (n + LANES - 1) & ~(LANES - 1)


cdef class Arena:
    """Zeroed memory, aligned for vectors; freed all at once."""

    cdef list blocks
    cdef readonly list parents  # arenas that hold what is shared

    def __cinit__(self):
        self.blocks = []
        self.parents = []

    cdef double *take(self, size_t n) except NULL:
        """Room for n numbers and a vector more."""
        cdef char *block = <char *>calloc((n + 2 * LANES) * sizeof(double) + 64, 1)
        if block == NULL:
            raise MemoryError(f"{n} numbers")
        self.blocks.append(<uintptr_t>block)
        return <double *>(block + 63 - <uintptr_t>(block + 63) % 64)

    def __dealloc__(self):
        for block in self.blocks:
            free(<void *><uintptr_t>block)


cdef int read(object array, double *out, Py_ssize_t n) except -1:
    """Copy n numbers of an array."""
    cdef const double[::1] view = array if array.ndim == 1 else array.reshape(-1)
    if view.shape[0] != n:
        raise _Unknown(array)
    if n:
        memcpy(out, &view[0], n * sizeof(double))
    return 0


cdef object write(const double *values, Py_ssize_t n):
    """An array of n numbers."""
    cdef object array = np.empty(n)
    cdef double[::1] view = array
    if n:
        memcpy(&view[0], values, n * sizeof(double))
    return array


cdef int read_floor(object part, Floor *floor) except -1:
    known(part, ForgettingRate)
    floor.n, floor.sampled, floor.mean = part.n, part._sampled, part._mean
    floor.variance, floor.rate = part._variance, part.rate
    return 0


cdef int write_floor(object part, const Floor *floor) except -1:
    part.n, part._sampled, part._mean = floor.n, floor.sampled, floor.mean
    part._variance, part.rate = floor.variance, floor.rate
    return 0


cdef int read_mean(object part, CRobustMean *mean) except -1:
    known(part, RobustMean)
    mean.n, mean.value = part.n, part.value
    return 0


cdef int read_noise(object part, CNoiseVariance *noise) except -1:
    known(part, NoiseVariance)
    noise.n, noise.value = part.n, part.value
    return 0


cdef int read_errors(object part, CErrors *errors) except -1:
    known(part, ErrorQuantiles)
    cdef int i
    errors.n, errors.fast, errors.slow = part.n, part.fast, part.slow
    errors.fast_rate, errors.slow_rate = part._rates
    for i in range(13):
        errors.quantiles[i], errors.up[i], errors.down[i] = part.quantiles[i], UP[i], DOWN[i]
    errors_begin(errors)
    return 0


cdef int write_errors(object part, const CErrors *errors) except -1:
    cdef int i
    part.n, part.fast, part.slow = errors.n, errors.fast, errors.slow
    part.quantiles = [errors.quantiles[i] for i in range(13)]
    return 0


cdef int read_moments(object part, Moments *m, Arena arena) except -1:
    known(part, RunningMoments)
    cdef object floor = known(part._floor, ForgettingRate)
    cdef int n = len(part.mean), i
    m.n, m.fewest, m.some_constant = n, part._fewest, part._some_constant
    m.floor_n = floor.n
    m.mean, m.inverse, m.variance = arena.take(n), arena.take(n), arena.take(n)
    m.count, m.sampled, m.quick_mean = arena.take(n), arena.take(n), arena.take(n)
    m.quick_variance, m.rate = arena.take(n), arena.take(n)
    read(part.mean, m.mean, n)
    read(part.divisor, m.inverse, n)
    read(part._variance, m.variance, n)
    read(part.count, m.count, n)
    read(floor._sampled, m.sampled, n)
    read(floor._mean, m.quick_mean, n)
    read(floor._variance, m.quick_variance, n)
    m.any_calm = isinstance(floor.rate, np.ndarray)
    if m.any_calm:
        read(floor.rate, m.rate, n)
    for i in range(n):
        m.inverse[i] = 1.0 / m.inverse[i]
        if not m.any_calm:
            m.rate[i] = floor.rate
    return 0


cdef int write_moments(object part, const Moments *m) except -1:
    cdef object floor = part._floor
    cdef int n = m.n
    part._fewest, part._some_constant = m.fewest, bool(m.some_constant)
    part.mean, part._variance = write(m.mean, n), write(m.variance, n)
    part.count = write(m.count, n)
    divisor = np.sqrt(part._variance)
    divisor[write(m.inverse, n) == 0.0] = math.inf
    part.divisor = divisor
    floor.n = m.floor_n
    floor._sampled, floor._mean = write(m.sampled, n), write(m.quick_mean, n)
    floor._variance = write(m.quick_variance, n)
    floor.rate = write(m.rate, n) if m.any_calm else FORGETTING_RATE
    return 0


cdef int read_target(object part, CTarget *t, Arena arena) except -1:
    known(part, NumpyTarget)
    t.prior = PRIORS.index(part.prior)
    t.n_lags, t.for_retrieval = len(part.lags), part._for_retrieval
    t.n, t.n_differences = part.n, part._n_differences
    t.anchor, t.scale, t.delta = part.anchor, part.scale, part.delta
    t.last = NAN if part.last is None else part.last
    t.low, t.high, t.spread = part.low, part.high, part._spread
    t.mean, t.variance = part._mean, part._variance
    t.difference_mean, t.difference_variance = part._difference_mean, part._difference_variance
    read_floor(part._floor, &t.floor)
    read_floor(part._difference_floor, &t.difference_floor)
    read_mean(part.step_size, &t.step_size)
    t.lags, t.raw_lags = arena.take(t.n_lags), arena.take(t.n_lags)
    read(part.lags, t.lags, t.n_lags)
    read(part._raw_lags, t.raw_lags, t.n_lags)
    return 0


cdef int write_target(object part, const CTarget *t) except -1:
    part.n, part._n_differences = t.n, t.n_differences
    part.anchor, part.scale, part.delta = t.anchor, t.scale, t.delta
    part.last = t.last if t.last == t.last else None
    part.low, part.high, part._spread = t.low, t.high, t.spread
    part._mean, part._variance = t.mean, t.variance
    part._difference_mean, part._difference_variance = t.difference_mean, t.difference_variance
    write_floor(part._floor, &t.floor)
    write_floor(part._difference_floor, &t.difference_floor)
    part.step_size.n, part.step_size.value = t.step_size.n, t.step_size.value
    part.lags, part._raw_lags = write(t.lags, t.n_lags), write(t.raw_lags, t.n_lags)
    return 0


cdef RLS *read_rls(object part, Arena arena) except NULL:
    known(part, RecursiveLeastSquares)
    known(part.scale, HuberScale)
    cdef RLS *s = <RLS *>arena.take(sizeof(RLS) // sizeof(double) + 1)
    cdef int p = part._weights.shape[0], i, j
    s.m = 1 if part._weights.ndim == 1 else part._weights.shape[1]
    s.p, s.size, s.leak, s.huber = p, padded(p), part.leak, part.huber
    s.forgetting, s.growth = part.forgetting_factor, part._growth
    s.n_updates, s.n_resets, s.next_leak = part.n_updates, part.n_resets_, part._next_leak
    s.scale.n, s.scale.fast, s.scale.slow = part.scale.n, part.scale.fast, part.scale.slow
    s.w, s.prior, s.phi = arena.take(s.m * s.size), arena.take(p), arena.take(p)
    s.g, s.h = arena.take(p), arena.take(p)
    s.P = arena.take(rls_blocks(s.size) * LANES * LANES)
    cdef const double[:, :] weights = part._weights.reshape(p, s.m)
    for j in range(p):
        for i in range(s.m):
            s.w[i * s.size + j] = weights[j, i]
    read(part.prior, s.prior, p)
    cdef const double[::1, :] P
    if p:
        P = part._covariance
        for j in range(p):
            for i in range(j, p):
                rls_set(s, i, j, P[i, j])
    return s


cdef int write_rls(object part, const RLS *s) except -1:
    cdef int p = s.p, i, j
    part._growth, part.n_updates, part.n_resets_ = s.growth, s.n_updates, s.n_resets
    part._next_leak = s.next_leak
    part.scale.n, part.scale.fast, part.scale.slow = s.scale.n, s.scale.fast, s.scale.slow
    moved = np.empty((p, s.m))
    cdef double[:, ::1] weights = moved
    for j in range(p):
        for i in range(s.m):
            weights[j, i] = s.w[i * s.size + j]
    part._weights = moved.reshape(part._weights.shape)
    covariance = np.zeros((p, p), order="F")
    cdef double[::1, :] P
    if p:
        P = covariance
        for j in range(p):
            for i in range(j, p):
                P[i, j] = rls_get(s, i, j)
    part._covariance = covariance
    return 0


cdef int read_bank(object layer, object state, CBank *s, int n_inputs, Arena arena) except -1:
    known(layer, MemoryBank)
    cdef int n = layer.n_units, m = padded(n), i, j, part
    cdef const double[:, ::1] weights = layer.weights
    if weights.shape[1] != n_inputs:
        raise _Unknown(layer)
    s.n, s.stride, s.n_inputs = n, m, n_inputs
    s.weights, s.poles = arena.take(n_inputs * 4 * m), arena.take(2 * m)
    s.state, s.next = arena.take(2 * m), arena.take(2 * m)
    for part in range(4):
        for i in range(n):
            for j in range(n_inputs):
                s.weights[j * 4 * m + part * m + i] = weights[part * n + i, j]
    read(layer.poles.real.copy(), s.poles, n)
    read(layer.poles.imag.copy(), s.poles + m, n)
    read(state.real.copy(), s.state, n)
    read(state.imag.copy(), s.state + m, n)
    return 0


cdef object write_bank(const CBank *s):
    return write(s.state, s.n) + 1j * write(s.state + s.stride, s.n)


# of every mode: how blocks become a token, and what that does to the state
cdef enum:
    MODE_RETNET, MODE_GLA, MODE_HGRN2, MODE_LINEAR, MODE_DELTA, MODE_RWKV7, MODE_RWKV, MODE_HAWK
    MODE_MLSTM, MODE_ROTARY, MODE_LRU
cdef enum:
    STEP_LINEAR, STEP_DPLR, STEP_BONUS, STEP_DIAGONAL, STEP_NORMALIZED, STEP_MLSTM, STEP_COMPLEX
    STEP_LOG_LINEAR


cdef int read_mode(object mode, CHeads *s) except -1:
    kind = type(mode)
    s.step, s.n_sub, s.gated, s.tied, s.beta_scale = STEP_LINEAR, 1, 1, 0, 1.0
    s.read_before = getattr(mode, "read", "after") == "before"
    if kind is RetNet:
        s.mode = MODE_ROTARY if mode.rotary else MODE_RETNET
        if mode.rotary:
            s.step = STEP_COMPLEX
    elif kind is GLA:
        s.mode, s.key_gates = MODE_GLA, mode.gate == "vector"
    elif kind is HGRN2:
        s.mode, s.lower_bound = MODE_HGRN2, mode.lower_bound
    elif kind is LinearAttention:
        s.mode = MODE_LINEAR
        if mode.normalize:
            s.step = STEP_NORMALIZED
    elif kind is DeltaNet:
        s.mode, s.tied, s.gated = MODE_DELTA, mode.tied, 0
    elif kind is GatedDeltaNet:
        s.mode, s.tied, s.beta_scale = MODE_DELTA, mode.tied, mode.beta_scale
    elif kind is KDA:
        s.mode, s.tied, s.key_gates = MODE_DELTA, mode.tied, 1
    elif kind is DeltaProduct:
        s.mode, s.tied, s.gated = MODE_DELTA, mode.tied, mode.gated
        s.n_sub, s.beta_scale = mode.n_compositions, 1 + mode.reflections
    elif kind is RWKV7:
        s.mode, s.step = MODE_RWKV7, STEP_DPLR
    elif kind is RWKV:
        s.mode, s.step = MODE_RWKV, STEP_BONUS
    elif kind is Hawk:
        s.mode, s.step = MODE_HAWK, STEP_DIAGONAL
    elif kind is MLSTM:
        s.mode, s.step = MODE_MLSTM, STEP_MLSTM
    elif kind is LRU:
        s.mode, s.step = MODE_LRU, STEP_COMPLEX
    elif kind is LogLinear:
        read_mode(mode.inner, s)
        s.step, s.n_levels = STEP_LOG_LINEAR, mode.max_levels
    else:
        return 0
    return 1


cdef int read_heads(object layer, object state, CHeads *s, int n_inputs, Arena arena) except -1:
    """0 if the layer has no twin."""
    if type(layer) is not MultiHeadLinearAttention or not read_mode(layer.mode, s):
        return 0
    known(layer, MultiHeadLinearAttention)
    cdef int H = layer.n_heads, i, j, K, V
    cdef const double[:, ::1] weights = layer.weights
    if weights.shape[1] != n_inputs:
        raise _Unknown(layer)
    s.n_heads, s.d_key, s.d_value = H, layer.d_key, layer.d_value
    s.n_rows, s.stride, s.n_inputs = weights.shape[0], padded(weights.shape[0]), n_inputs
    s.size, s.n_outputs = state.size, H * s.d_value
    if s.mode == MODE_ROTARY:
        s.d_key //= 2
    if s.step == STEP_COMPLEX:
        s.size *= 2
    K, V = H * s.d_key, H * s.d_value
    s.weights, s.bias = arena.take(n_inputs * s.stride), arena.take(s.stride)
    s.x, s.state, s.next = arena.take(s.stride), arena.take(s.size), arena.take(s.size)
    cdef int room = s.n_sub * (2 * K + V) + H * s.n_sub
    s.a, s.r, s.b, s.k = arena.take(room), arena.take(room), arena.take(room), arena.take(room)
    s.q, s.v, s.gate = arena.take(room), arena.take(room), arena.take(room)
    for i in range(s.n_rows):
        for j in range(n_inputs):
            s.weights[j * s.stride + i] = weights[i, j]
    bias = layer.bias
    read(bias, s.bias, s.n_rows)
    if s.step == STEP_COMPLEX:
        read(state.real.copy(), s.state, s.size // 2)
        read(state.imag.copy(), s.state + s.size // 2, s.size // 2)
        angle = bias[-K:] if s.mode == MODE_ROTARY else bias[H : H + K]
        decay = np.repeat(bias[:H], s.d_key)
        read((decay * np.exp(1j * angle)).real.copy(), s.a, K)
        read((decay * np.exp(1j * angle)).imag.copy(), s.a + K, K)
        if s.mode == MODE_LRU:
            read(np.sqrt(1.0 - decay * decay), s.k, K)
            read(bias[H + K + V :], s.q, 2 * K)
    else:
        read(state, s.state, s.size)
    if s.step == STEP_LOG_LINEAR:
        s.level_weights = arena.take(s.n_levels)
        read(layer.mode._level_weights, s.level_weights, s.n_levels)
    return 1


cdef object write_heads(const CHeads *s, object old):
    cdef int half = s.size // 2
    if s.step == STEP_COMPLEX:
        return (write(s.state, half) + 1j * write(s.state + half, half)).reshape(old.shape)
    return write(s.state, s.size).reshape(old.shape)


cdef int read_retrieval(
    object layer, object state, CRetrieval *s, int n_inputs, int n_classes, Arena arena
) except -1:
    """Retrieval of numbers; of classes where there are any."""
    known(layer, ClassRetrieval if n_classes else NumpyRetrieval)
    read_past(layer, state, s, n_inputs, 1, arena)
    read(state.distance, s.distance, s.window)
    s.farthest, s.ballots = 1.0 if n_classes else math.inf, arena.take(16 * n_classes)
    return 0


cdef int read_past(
    object layer, object state, CRetrieval *s, int n_inputs, int m, Arena arena
) except -1:
    """The stored steps of m targets, but for their distances."""
    if type(state) is not Lived:
        raise _Unknown(state)
    past = known(state.past, Ring)
    cdef int window = layer.window, i, j, n = past.n
    cdef const double[:, ::1] x = past["x"]
    s.window, s.n, s.end, s.n_inputs = window, n, n, n_inputs
    s.width, s.stride = x.shape[1], padded(2 * window) + LANES
    s.m, s.row = m, padded(window) + LANES
    s.n_appended, s.seen_at = past.n_appended, state.seen_at
    if s.width > n_inputs:
        raise _Unknown(state)
    s.x, s.norm = arena.take(n_inputs * s.stride), arena.take(s.stride)
    s.delta, s.residual = arena.take(m * s.stride), arena.take(m * s.stride)
    s.distance, s.next = arena.take(m * s.row), arena.take(m * s.row)
    s.scores[0], s.scores[1] = arena.take(window), arena.take(window)
    s.terms = arena.take(window + 512)
    for i in range(n):
        for j in range(s.width):
            s.x[j * s.stride + i] = x[i, j]
    read(past["norm"], s.norm, n)
    read_steps(past["delta"], s.delta, s)
    read_steps(past["residual"], s.residual, s)
    if s.n_appended - n < 400:
        read(_terms(window + 512), s.terms, window + 512)
    return 0


cdef int read_steps(object field, double *out, const CRetrieval *s) except -1:
    """What was stored of every step [n] or [n, m], a row for every target."""
    cdef const double[:, :] values = np.atleast_2d(field.T).T
    cdef int i, j
    if values.shape[0] != s.n or values.shape[1] != s.m:
        raise _Unknown(field)
    for j in range(s.m):
        for i in range(s.n):
            out[j * s.stride + i] = values[i, j]
    return 0


_TERMS = {}


def _terms(n):
    """1 / (1 - 0.9^k) for k below n."""
    if n not in _TERMS:
        _TERMS.clear()
        _TERMS[n] = 1.0 / np.maximum(1.0 - 0.9 ** np.arange(n), 0.05)
    return _TERMS[n]


cdef object write_retrieval(const CRetrieval *s, object state):
    """The state after it was changed, in buffers of its own: branches keep the old ones."""
    cdef int i, j, start = s.end - s.n
    vectors, norm = np.zeros((2 * s.window, s.width)), np.zeros(2 * s.window)
    cdef double[:, ::1] x = vectors
    for i in range(s.n):
        for j in range(s.width):
            x[i, j] = s.x[j * s.stride + start + i]
    norm[: s.n] = write(s.norm + start, s.n)
    fields = {"delta": write_steps(s.delta, s), "residual": write_steps(s.residual, s)}
    if s.known != NULL:
        fields["known"] = write_steps(s.known, s)
    past = state.past
    fields = {name: field.reshape(past._rows[name].shape) for name, field in fields.items()}
    past._rows = {"x": vectors, "norm": norm, **fields}
    past.n, past._end, past.n_appended = s.n, s.n, s.n_appended
    past._is_branch = False
    distance = np.array([write(s.distance + j * s.row, s.window) for j in range(s.m)])
    state.distance = distance.reshape(state.distance.shape)
    state.seen_at = s.seen_at
    return state


cdef object write_steps(const double *values, const CRetrieval *s):
    """What was stored of every step [2 window, m], zeros behind the last."""
    cdef int i, j, start = s.end - s.n
    field = np.zeros((2 * s.window, s.m))
    cdef double[:, ::1] out = field
    for j in range(s.m):
        for i in range(s.n):
            out[i, j] = values[j * s.stride + start + i]
    return field
