# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, binding=False
"""The walk of a step in C, on a state that is borrowed from the NumPy objects.

A twin is made of a NumPy task and owns it. For what happens with every sample it takes the state
over into C (``_take``); whoever asks for the task gets the state back first (``release``). So one
of the two holds the state at any time, and all that is rare (features that appear, files, looks
inside) has one implementation, that of NumPy.
"""

from cpython.dict cimport PyDict_Next
from cpython.list cimport PyList_GET_ITEM, PyList_SetItem
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.math cimport NAN, isfinite, fabs
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

import math

import numpy as np

from .._validation import check_target, check_weight
from ..core.features import MemoryFeatures
from ..core.regression import Regression as NumpyRegression
from ..core.target import PRIORS, Target as NumpyTarget
from ..encoding import Encoder
from ..layers import MemoryBank, MultiHeadLinearAttention, Retrieval as NumpyRetrieval
from ..layers.retrieval import Lived
from ..layers.window import Ring
from ..modes import (
    GLA, HGRN2, KDA, LRU, MLSTM, RWKV, RWKV7, DeltaNet, DeltaProduct, GatedDeltaNet, Hawk,
    LinearAttention, LogLinear, RetNet,
)
from ..moments import FORGETTING_RATE, ForgettingRate, RunningMoments
from ..readout.regression import Linear, Mixture, SingleReadout
from ..readout.rls import RecursiveLeastSquares
from ..readout.robust import HuberScale, NoiseVariance, RobustMean

cdef extern from "Python.h":
    bint PyFloat_CheckExact(object)
    double PyFloat_AS_DOUBLE(object)
    double PyFloat_AsDouble(object) except? -1.0
    bint PyLong_CheckExact(object)
    bint PyUnicode_CheckExact(object)
    bint PyDict_CheckExact(object)
    int PyObject_RichCompareBool(object, object, int) except -1
    int Py_EQ
    Py_ssize_t PyDict_GET_SIZE(object)

cdef extern from "src/walk.h" nogil:
    ctypedef struct Floor:
        int64_t n
        double sampled, mean, variance, rate
    ctypedef struct Moments:
        int n, some_constant, any_calm
        int64_t fewest, floor_n
        double *mean
        double *inverse
        double *variance
        double *count
        double *sampled
        double *quick_mean
        double *quick_variance
        double *rate
    ctypedef struct CRobustMean "RobustMean":
        int64_t n
        double value
    ctypedef struct CHuberScale "HuberScale":
        int64_t n
        double fast, slow
    ctypedef struct CNoiseVariance "NoiseVariance":
        int64_t n
        double value
    ctypedef struct CTarget "Target":
        int prior, n_lags, for_retrieval
        int64_t n, n_differences
        double anchor, scale, last, delta, low, high, mean, variance, spread
        double difference_mean, difference_variance
        Floor floor, difference_floor
        CRobustMean step_size
        double *raw_lags
        double *lags
    ctypedef struct RLS:
        int p, size, leak, huber
        double forgetting
        int64_t n_updates, n_resets, next_leak
        double growth
        CHuberScale scale
        double *P
        double *w
        double *prior
        double *phi
        double *g
        double *h
    ctypedef struct CHeads "Heads":
        int mode, step, n_heads, d_key, d_value, n_inputs, n_rows, stride, size, n_outputs
        int read_before, key_gates, gated, tied, n_sub, n_levels
        double lower_bound, beta_scale
        double *weights
        double *bias
        double *x
        double *state
        double *next
        double *level_weights
        double *a
        double *r
        double *b
        double *k
        double *q
        double *v
        double *gate
    ctypedef struct CBank "Bank":
        int n, n_inputs, stride
        double *weights
        double *poles
        double *state
        double *next
    ctypedef struct CRetrieval "Retrieval":
        int window, n, end, width, n_inputs, stride
        int64_t n_appended, seen_at
        double *x
        double *norm
        double *delta
        double *residual
        double *distance
        double *next
        double *scores[2]
        double *terms
    ctypedef struct Expert:
        int start, length
        RLS *rls
    ctypedef struct Pool:
        int n, mixes
        double eta
        Expert *experts
        double *shares
        double *mean_losses
        double *errors
        double *losses
        double *sorted
        int64_t n_losses, n_far
        CNoiseVariance noise
        CRobustMean scale
    ctypedef struct Walk:
        int n_inputs, n_lags, n_long, n_reads, n_token
        int long_part, situation, retrieved, last, mean, anchor, prediction, answers, size
        int *visible
        int has_retrieval, has_heads, has_bank
        int at_retrieval, at_heads, at_bank
        Moments moments
        CRetrieval retrieval
        CHeads heads
        CBank bank
        CTarget target
        Pool pool
        double *evidence
        double *raw
        double *token
        double *delta
        double *present
        int complete
    ctypedef struct Kernels:
        void (*propose)(Walk *)
        void (*finish)(Walk *)
        double (*value)(const Walk *, double r)
        double (*variance)(Walk *, const double *evidence)
        int (*residual)(const Walk *, const double *evidence, double y, double *r)
        void (*train)(Walk *, const double *evidence, double r, double w)
        void (*commit)(Walk *)
        void (*follow)(Walk *)
        void (*join)(Walk *, double y)
        void (*learn)(Walk *, double y, double w)
        void (*reopen)(Walk *)
    double rls_get(const RLS *, int i, int j)
    void rls_set(RLS *, int i, int j, double value)
    size_t rls_blocks(int size)
    const Kernels *best_kernels()
    const char *instructions()

cdef enum:
    LANES = 8
cdef double LIMIT = 1e150

# what every NumPy object is known to hold; one that holds more is left to NumPy
_FIELDS = {
    NumpyRegression: {"features", "target", "readout", "detector", "n_drifts"},
    MemoryFeatures: {
        "encoder", "memories", "states", "n_reads", "_slots", "_learners", "moments",
        "_n_retrieved", "_has_situation", "_n_lags", "_n_long", "_context", "_hidden", "_lags_in",
        "_visible",
    },
    Encoder: {"names", "_columns"},
    RunningMoments: {
        "mean", "divisor", "_variance", "count", "_floor", "_fewest", "_some_constant"
    },
    ForgettingRate: {"n", "_sampled", "_mean", "_variance", "rate"},
    NumpyTarget: {
        "_for_retrieval", "prior", "n", "anchor", "scale", "last", "lags", "delta", "_raw_lags",
        "_floor", "_difference_floor", "_n_differences", "_difference_mean",
        "_difference_variance", "_mean", "_variance", "_spread", "step_size", "low", "high",
    },
    RobustMean: {"n", "value"},
    HuberScale: {"n", "fast", "slow"},
    NoiseVariance: {"n", "value"},
    SingleReadout: {"experts", "shares", "mean_losses", "_n_losses", "noise"},
    Mixture: {
        "experts", "shares", "mean_losses", "_n_losses", "noise", "eta", "n_answers", "scale",
        "_n_far",
    },
    Linear: {"rls", "_late_prior"},
    RecursiveLeastSquares: {
        "forgetting_factor", "delta", "leak", "huber", "n_resets_", "scale", "n_updates",
        "_next_leak", "_growth", "_weights", "prior", "_covariance",
    },
    MultiHeadLinearAttention: {
        "mode", "n_heads", "d_key", "d_value", "seed", "_slices", "_gain", "bias", "weights",
        "fan_in",
    },
    MemoryBank: {"n_units", "seed", "poles", "weights", "fan_in"},
    NumpyRetrieval: {"window"},
    Ring: {"capacity", "n", "n_appended", "_end", "_is_branch", "_rows"},
}
_OPTIONAL = {"_layout"}


class _Unknown(Exception):
    """An object that no twin knows."""


cdef object known(object part, object kind, object other=None):
    """The part, if it is of one of two kinds and holds what that is known to hold."""
    if type(part) is other:
        kind = other
    if type(part) is not kind or vars(part).keys() - _OPTIONAL != _FIELDS[kind]:
        raise _Unknown(part)
    return part


cdef inline int padded(int n):
    return (n + LANES - 1) & ~(LANES - 1)


cdef class Arena:
    """Zeroed memory, aligned for vectors; freed all at once."""

    cdef list blocks

    def __cinit__(self):
        self.blocks = []

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
    if part._weights.ndim != 1:
        raise _Unknown(part)
    cdef RLS *s = <RLS *>arena.take(sizeof(RLS) // sizeof(double) + 1)
    cdef int p = part._weights.shape[0], i, j
    s.p, s.size, s.leak, s.huber = p, padded(p), part.leak, part.huber
    s.forgetting, s.growth = part.forgetting_factor, part._growth
    s.n_updates, s.n_resets, s.next_leak = part.n_updates, part.n_resets_, part._next_leak
    s.scale.n, s.scale.fast, s.scale.slow = part.scale.n, part.scale.fast, part.scale.slow
    s.w, s.prior, s.phi = arena.take(p), arena.take(p), arena.take(p)
    s.g, s.h = arena.take(p), arena.take(p)
    s.P = arena.take(rls_blocks(s.size) * LANES * LANES)
    read(part._weights, s.w, p)
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
    part._weights = write(s.w, p)
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


cdef int read_retrieval(object layer, object state, CRetrieval *s, int n_inputs, Arena arena) except -1:
    known(layer, NumpyRetrieval)
    if type(state) is not Lived:
        raise _Unknown(state)
    past = known(state.past, Ring)
    cdef int window = layer.window, i, j, n = past.n
    cdef const double[:, ::1] x = past["x"]
    s.window, s.n, s.end, s.n_inputs = window, n, n, n_inputs
    s.width, s.stride = x.shape[1], padded(2 * window) + LANES
    s.n_appended, s.seen_at = past.n_appended, state.seen_at
    if s.width > n_inputs:
        raise _Unknown(state)
    s.x, s.norm = arena.take(n_inputs * s.stride), arena.take(s.stride)
    s.delta, s.residual = arena.take(s.stride), arena.take(s.stride)
    s.distance, s.next = arena.take(window), arena.take(window)
    s.scores[0], s.scores[1] = arena.take(window), arena.take(window)
    s.terms = arena.take(window + 512)
    for i in range(n):
        for j in range(s.width):
            s.x[j * s.stride + i] = x[i, j]
    read(past["norm"], s.norm, n)
    read(past["delta"], s.delta, n)
    read(past["residual"], s.residual, n)
    read(state.distance, s.distance, window)
    if s.n_appended - n < 400:
        read(_terms(window + 512), s.terms, window + 512)
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
    cdef int i, j, start = s.end - s.n, window = s.window
    past = state.past
    rows = {name: np.zeros(2 * window) for name in ("norm", "delta", "residual")}
    rows["norm"][: s.n] = write(s.norm + start, s.n)
    rows["delta"][: s.n] = write(s.delta + start, s.n)
    rows["residual"][: s.n] = write(s.residual + start, s.n)
    vectors = np.zeros((2 * window, s.width))
    cdef double[:, ::1] x = vectors
    for i in range(s.n):
        for j in range(s.width):
            x[i, j] = s.x[j * s.stride + start + i]
    past._rows = {"x": vectors, **rows}
    past.n, past._end, past.n_appended = s.n, s.n, s.n_appended
    past._is_branch = False
    state.distance = write(s.distance, window)
    state.seen_at = s.seen_at
    return state


cdef class Regression:
    """The twin of :class:`river_attention.core.Regression`.

    Methods that cannot be done in C, because features are new or the task holds what is unknown
    here, say so by returning None or False and have changed nothing.
    """

    cdef Walk walk
    cdef const Kernels *kernels
    cdef Arena arena
    cdef object task, encoder, detector
    cdef bint looks_ahead
    cdef list foreign  # memories without a twin: (name, memory, first read, n)
    cdef dict proposals
    cdef readonly int64_t changes
    cdef bint holds, dirty, remembers, new
    cdef int complete
    cdef list keys
    cdef int *columns
    cdef double *seen
    cdef double *values

    def __init__(self, task, looks_ahead=False):
        self.task = task
        self.looks_ahead = looks_ahead
        self.kernels = best_kernels()

    def __dealloc__(self):
        free(self.columns)

    @property
    def is_holding(self):
        """Whether the state is here, not in the NumPy objects."""
        return self.holds

    def release(self):
        """The task, with the state."""
        if self.holds:
            if self.dirty:
                self._give()
            self.holds = False
        return self.task

    cdef bint _take(self) except -1:
        """Take the state over; False if the task is nothing that C knows."""
        try:
            self._read()
        except _Unknown:
            return False
        self.holds, self.dirty, self.remembers = True, False, False
        return True

    cdef int _read(self) except -1:
        cdef Walk *s = &self.walk
        cdef Arena arena = Arena()
        cdef int start = 0, n, i
        task = known(self.task, NumpyRegression)
        features = known(task.features, MemoryFeatures)
        encoder = known(features.encoder, Encoder)
        readout = known(task.readout, SingleReadout, Mixture)
        if features._lags_in != features._n_lags or features._visible is not None:
            raise _Unknown(features)
        self.detector = task.detector
        self.encoder = encoder
        memset(s, 0, sizeof(Walk))
        n_inputs, n_reads = len(encoder.names), features.n_reads
        layout = features.layout(readout.n_answers)
        s.n_inputs, s.n_reads, s.n_lags = n_inputs, n_reads, features._lags_in
        s.n_long, s.n_token = features._n_long, features._lags_in + n_inputs
        s.long_part = layout["long"].start if s.n_long else -1
        s.situation = layout["situation"].start if features._has_situation else -1
        s.retrieved = layout["retrieved 0"] if features._n_retrieved else -1
        s.last, s.mean = layout.get("last", -1), layout.get("mean", -1)
        s.anchor, s.prediction = layout["anchor"], layout["prediction"]
        s.answers, s.size = layout["answers"].start, layout.size
        read_moments(features.moments, &s.moments, arena)
        read_target(task.target, &s.target, arena)
        foreign = []
        for name, memory in features.memories.items():
            state = features.states[name]
            if name == "retrieved":
                read_retrieval(memory, state, &s.retrieval, n_inputs, arena)
                s.has_retrieval, s.at_retrieval = 1, start
            elif name == "head" and read_heads(memory, state, &s.heads, s.n_token, arena):
                s.has_heads, s.at_heads = 1, start
            elif name == "bank":
                read_bank(memory, state, &s.bank, s.n_token, arena)
                s.has_bank, s.at_bank = 1, start
            elif memory.learns or memory.view != "token":
                raise _Unknown(memory)
            else:
                foreign.append((name, memory, start, memory.n_outputs))
            start += memory.n_outputs
        self._read_pool(readout, layout, arena)
        n = n_reads + n_inputs
        s.evidence, s.raw, s.token = arena.take(s.size), arena.take(n), arena.take(s.n_token)
        s.delta, s.present = arena.take(n), arena.take(n)
        self.seen, self.values = arena.take(n_inputs), s.raw + s.n_reads
        self.foreign = foreign
        self.proposals = {}
        self.arena = arena
        self.keys = None
        return 0

    cdef int _read_pool(self, object readout, object layout, Arena arena) except -1:
        cdef Pool *pool = &self.walk.pool
        cdef int n = len(readout.experts), i
        cdef Expert *expert
        pool.n, pool.mixes = n, type(readout) is Mixture
        pool.experts = <Expert *>arena.take(n * (sizeof(Expert) // sizeof(double) + 1))
        pool.shares, pool.mean_losses = arena.take(n), arena.take(n)
        pool.errors, pool.losses, pool.sorted = arena.take(n), arena.take(n), arena.take(n)
        read(readout.shares, pool.shares, n)
        read(readout.mean_losses, pool.mean_losses, n)
        pool.n_losses = readout._n_losses
        read_noise(readout.noise, &pool.noise)
        if pool.mixes:
            pool.eta, pool.n_far = readout.eta, readout._n_far
            read_mean(readout.scale, &pool.scale)
        for i, (_, part, learner) in enumerate(readout.experts):
            expert = &pool.experts[i]
            place = layout[part]
            if learner is None:
                expert.start, expert.length = place, 1
                continue
            expert.start, expert.length = place.start, place.stop - place.start
            expert.rls = read_rls(known(learner, Linear).rls, arena)
            if expert.rls.p != expert.length:
                raise _Unknown(learner)
        return 0

    cdef int _give(self) except -1:
        """Give the state back to the NumPy objects."""
        cdef Walk *s = &self.walk
        cdef Pool *pool = &s.pool
        cdef int i
        task = self.task
        features, readout = task.features, task.readout
        states = features.states
        write_target(task.target, &s.target)
        if s.has_heads:
            states["head"] = write_heads(&s.heads, states["head"])
        if s.has_bank:
            states["bank"] = write_bank(&s.bank)
        if s.has_retrieval:
            states["retrieved"] = write_retrieval(&s.retrieval, states["retrieved"])
        if self.looks_ahead:
            return 0  # the rest is not its own
        write_moments(features.moments, &s.moments)
        readout.shares = write(pool.shares, pool.n)
        readout.mean_losses = write(pool.mean_losses, pool.n)
        readout._n_losses = pool.n_losses
        readout.noise.n, readout.noise.value = pool.noise.n, pool.noise.value
        if pool.mixes:
            readout._n_far = pool.n_far
            readout.scale.n, readout.scale.value = pool.scale.n, pool.scale.value
        for i in range(pool.n):
            if pool.experts[i].rls != NULL:
                write_rls(readout.experts[i].learner.rls, pool.experts[i].rls)
        return 0

    cdef int _encode(self, object x) except -1:
        """The values of x to `seen`; sets `complete` and `new`."""
        cdef Py_ssize_t at = 0, i = 0
        cdef PyObject *key
        cdef PyObject *item
        cdef object value, cached
        cdef double number
        cdef int complete = 1, n
        if self.keys is not None and PyDict_CheckExact(x) and PyDict_GET_SIZE(x) == len(self.keys):
            n = len(self.keys)
            if n < self.walk.n_inputs:
                complete = 0
                for i in range(self.walk.n_inputs):
                    self.seen[i] = NAN
                i = 0
            while PyDict_Next(x, &at, &key, &item):
                if key != <PyObject *>PyList_GET_ITEM(self.keys, i):
                    if not PyUnicode_CheckExact(<object>key):
                        break
                    # both are plain strings: no code of the user runs
                    if not PyObject_RichCompareBool(<object>key, self.keys[i], Py_EQ):
                        break
                    self.keys[i] = <object>key
                value = <object>item
                if PyFloat_CheckExact(value):
                    number = PyFloat_AS_DOUBLE(value)
                elif PyLong_CheckExact(value):
                    try:
                        number = PyFloat_AsDouble(value)
                    except OverflowError:
                        number = NAN
                elif value is None:
                    number = NAN
                elif type(value) is _float64 or value is True or value is False:
                    number = PyFloat_AsDouble(value)
                else:
                    break
                if not fabs(number) <= LIMIT:
                    if isfinite(number):
                        number = LIMIT if number > 0.0 else -LIMIT
                    else:
                        number = NAN
                        complete = 0
                self.seen[self.columns[i]] = number
                i += 1
            else:
                self.complete, self.new = complete, False
                return 0
        return self._encode_any(x)

    cdef int _encode_any(self, object x) except -1:
        encoded = self.encoder.encode(x)
        read(encoded.values, self.seen, self.walk.n_inputs)
        self.complete, self.new = encoded.complete, bool(encoded.new)
        self.keys = None
        if not encoded.new and type(x) is dict:
            self._learn_keys(x)
        return 0

    cdef int _learn_keys(self, dict x) except -1:
        """Remember the order of keys, if they are plain strings or ints with columns."""
        cdef list keys = list(x)
        cdef dict known_columns = self.encoder._columns
        cdef int i, n = len(keys)
        cdef int *columns
        for key in keys:
            if type(key) is not str and type(key) is not int or key not in known_columns:
                return 0
        columns = <int *>calloc(n + 1, sizeof(int))
        if columns == NULL:
            raise MemoryError()
        for i in range(n):
            columns[i] = known_columns[keys[i]]
        free(self.columns)
        self.columns = columns
        self.keys = keys
        return 0

    cdef int _propose(self, object x) except -1:
        """Make the step of x, unless it was made already."""
        cdef Walk *s = &self.walk
        cdef size_t size = s.n_inputs * sizeof(double)
        self._encode(x)
        if self.remembers and memcmp(self.seen, self.values, size) == 0:
            return 0
        self.remembers = False
        memcpy(self.values, self.seen, size)
        s.complete = self.complete
        self.kernels.propose(s)
        if self.foreign:
            self._propose_foreign()
        self.kernels.finish(s)
        self.remembers = True
        return 0

    cdef int _propose_foreign(self) except -1:
        cdef Walk *s = &self.walk
        cdef const double[::1] read
        cdef int i, n
        token = write(s.evidence + s.n_reads + 1, s.n_token)
        states = self.task.features.states
        for name, memory, start, n in self.foreign:
            found, self.proposals[name] = memory.propose(token, states[name])
            read = np.ascontiguousarray(found, dtype=np.float64)
            if read.shape[0] != n:
                raise ValueError(f"memory {name!r} read {read.shape[0]} numbers: expected {n}")
            for i in range(n):
                s.raw[<int>start + i] = read[i]
        return 0

    cdef int _commit_foreign(self) except -1:
        states = self.task.features.states
        for name, memory, _, _ in self.foreign:
            states[name] = memory.commit(states[name], self.proposals[name])
        return 0

    def predict(self, x):
        """The prediction if x came next; None: ask NumPy."""
        if not self.holds and not self._take():
            return None
        self._propose(x)
        return self.kernels.value(&self.walk, self.walk.evidence[self.walk.prediction])

    def distribution(self, x):
        """Mean and variance of the prediction; None: ask NumPy."""
        if not self.holds and not self._take():
            return None
        self._propose(x)
        cdef Walk *s = &self.walk
        cdef double scale = s.target.scale, variance
        if scale > 0.0:
            variance = scale * (scale * self.kernels.variance(s, s.evidence))
        else:
            variance = self.task.target.ignorance if not self.dirty else _ignorance(s.target.anchor)
        return self.kernels.value(s, s.evidence[s.prediction]), min(variance, 1e300)

    def learn(self, x, y, w=1.0):
        """Learn a sample; False: nothing was done, ask NumPy."""
        cdef double label, weight
        cdef Walk *s = &self.walk
        if PyFloat_CheckExact(y) and fabs(PyFloat_AS_DOUBLE(y)) <= LIMIT:
            label = PyFloat_AS_DOUBLE(y)
        else:
            label = check_target(y)
        if PyFloat_CheckExact(w) and 0.0 <= PyFloat_AS_DOUBLE(w) and isfinite(PyFloat_AS_DOUBLE(w)):
            weight = PyFloat_AS_DOUBLE(w)
        else:
            weight = check_weight(w)
        if not self.holds and not self._take():
            return False
        self._propose(x)
        if self.new:
            return False
        if self.detector is None and not self.foreign:
            self.dirty, self.remembers = True, False
            self.changes += 1
            self.kernels.learn(s, label, weight)
            return True
        self._learn_beside(label, weight)
        return True

    cdef int _learn_beside(self, double y, double w) except -1:
        """Learn with code of the user beside, which may fail: it comes first."""
        cdef Walk *s = &self.walk
        cdef double r
        cdef bint drifted = False
        cdef bint learns = self.kernels.residual(s, s.evidence, y, &r) != 0
        if learns and w > 0.0 and self.detector is not None:
            self.detector.update(fabs(r - s.evidence[s.prediction]))
            drifted = self.detector.drift_detected
        self._commit_foreign()
        self.dirty, self.remembers = True, False
        self.changes += 1
        self.kernels.learn(s, y, w)
        if drifted:
            self.task.n_drifts += 1
            self.kernels.reopen(s)
        return 0

    def advance(self, x):
        """Time passes without a label; False: nothing was done, ask NumPy."""
        if not self.holds and not self._take():
            return False
        self._propose(x)
        if self.new:
            return False
        self._commit_foreign()
        self.dirty, self.remembers = True, False
        self.changes += 1
        self.kernels.commit(&self.walk)
        return True

    def follow(self, x, double y):
        """Look ahead: time passes with a target; False: nothing was done, ask NumPy."""
        if not self.holds and not self._take():
            return False
        self._propose(x)
        self._commit_foreign()
        self.dirty, self.remembers = True, False
        self.changes += 1
        self.kernels.join(&self.walk, y)
        self.kernels.follow(&self.walk)
        return True


cdef double _ignorance(double anchor):
    cdef double wide = 1000.0 * max(1.0, fabs(anchor))
    return wide * wide


_float64 = np.float64


def twin_of(task, looks_ahead=False):
    """The twin of a task, None if it is of another kind; of a branch if it looks ahead."""
    return Regression(task, looks_ahead) if type(task) is NumpyRegression else None


INSTRUCTIONS = instructions().decode()
