# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, binding=False
"""The walk of a step in C, on a state that is borrowed from the NumPy objects.

A twin is made of a NumPy task and owns it. For what happens with every sample it takes the state
over into C (``_take``); whoever asks for the task gets the state back first (``release``). So one
of the two holds the state at any time, and all that is rare (features that appear, files, looks
inside) has one implementation, that of NumPy.
"""

from cpython.object cimport PyTypeObject
from libc.float cimport DBL_MAX
from libc.math cimport NAN, isfinite, fabs
from libc.stdint cimport int64_t, uint8_t, uintptr_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

import math

import numpy as np

from collections.abc import Mapping

from .._validation import check_target, check_weight
from ..core import drift
from ..core.classification import Classification as NumpyClassification, check_label
from ..core.features import MemoryFeatures
from ..core.linear import LinearTask
from ..core.regression import Regression as NumpyRegression
from ..core.several import MultiRegression as NumpyMultiRegression, SharedFeatures
from ..core.target import PRIORS, Target as NumpyTarget
from ..core.targets import Targets
from ..encoding import Encoder
from ..functional import recurrence
from ..layers import (
    ClassRetrieval, MemoryBank, MultiHeadLinearAttention, Retrieval as NumpyRetrieval,
)
from ..layers.retrieval import Lived
from ..layers.retrieval_of_several import RetrievalOfSeveral
from ..layers.window import Ring
from ..modes import (
    GLA, HGRN2, KDA, LRU, MLSTM, RWKV, RWKV7, DeltaNet, DeltaProduct, GatedDeltaNet, Hawk,
    LinearAttention, LogLinear, RetNet,
)
from ..modes._base import Mode, ReadingMode
from ..naming import LABEL_LAG
from ..moments import FORGETTING_RATE, ForgettingRate, RunningMoments
from ..readout import BoostedMixture, ErrorQuantiles
from ..readout.boosting import Boosted as NumpyBoosted
from ..readout.class_counts import ClassCounts
from ..readout.intervals import DOWN, UP
from ..readout.classes import ClassMixture
from ..readout.logistic import Codes, OnlineLogistic
from ..readout.opinion_pool import LogLinearPool
from ..readout.regression import Linear, Mixture, SingleReadout
from ..readout.rls import RecursiveLeastSquares
from ..readout.robust import HuberScale, NoiseVariance, RobustMean
from ..readout.several import MixtureOfSeveral, OwnLinear, SharedLinear

include "walk.pxi"

cdef enum:
    LANES = 8
cdef double LIMIT = 1e150
cdef object _float64 = np.float64

# what every NumPy object is known to hold; one that holds more is left to NumPy
_FIELDS = {
    NumpyRegression: {"features", "target", "readout", "detector", "errors", "n_drifts"},
    ErrorQuantiles: {"_rates", "n", "fast", "slow", "quantiles"},
    MemoryFeatures: {
        "encoder", "memories", "states", "n_reads", "_slots", "_learners", "moments",
        "_n_retrieved", "_has_situation", "_n_lags", "_n_long", "_context", "_hidden", "_lags_in",
        "_visible", "_shown", "_computed", "_moves", "_before", "_n_history", "_came_before",
    },
    SharedFeatures: {
        "encoder", "memories", "states", "n_reads", "_slots", "_learners", "moments",
        "_n_retrieved", "_has_situation", "_n_lags", "_n_long", "_context", "_hidden", "_lags_in",
        "_visible", "_shown", "_computed", "_moves", "_before", "_n_history", "_came_before",
        "_sizes", "own",
    },
    Encoder: {
        "names", "max_features", "categorical", "n_evicted", "_columns", "_starts", "_pinned",
        "_indicators", "_clock", "_seen_at", "_once", "_since",
    },
    RunningMoments: {
        "mean", "divisor", "_variance", "count", "_floor", "_fewest", "_some_constant"
    },
    ForgettingRate: {"n", "_sampled", "_mean", "_variance", "rate"},
    NumpyTarget: {
        "_for_retrieval", "prior", "n", "anchor", "scale", "last", "lags", "delta", "_raw_lags",
        "_floor", "_difference_floor", "_n_differences", "_difference_mean",
        "_difference_variance", "_mean", "_variance", "_spread", "step_size", "low", "high",
        "_in_history",
    },
    RobustMean: {"n", "value"},
    HuberScale: {"n", "fast", "slow"},
    NoiseVariance: {"n", "value"},
    SingleReadout: {"experts", "shares", "mean_losses", "_n_losses", "noise"},
    Mixture: {
        "experts", "shares", "mean_losses", "_n_losses", "eta", "n_answers", "scale", "_n_far",
        "n_told",
    },
    NumpyBoosted: {
        "every", "seed", "kind", "n", "trees", "failure", "chunks", "_start", "_begun",
        "_takes_over", "_coming", "_since",
    },
    Linear: {"rls", "_late_prior"},
    NumpyClassification: {
        "features", "readout", "detector", "n_drifts", "classes", "past", "lags", "long_lags",
        "_n_lags", "_index",
    },
    ClassMixture: {
        "experts", "shares", "mean_losses", "_n_losses", "n_classes", "counts", "n_votes", "pool",
        "n_told",
        "_n_logits",
    },
    LogLinearPool: {"rls"},
    ClassCounts: {"_counts", "_pairs", "frequencies", "log_frequencies"},
    OnlineLogistic: {"n_classes", "rls", "_late_delta"},
    Codes: {"n_classes", "rls", "_late_delta"},
    NumpyMultiRegression: {
        "features", "readout", "retrieval", "names", "targets", "lags", "moments", "_n_lags",
        "_n_long", "_index",
    },
    Targets: {
        "prior", "last", "low", "high", "delta", "past", "step_sizes", "moments", "mean", "scale",
        "lags", "known", "anchor",
    },
    MixtureOfSeveral: {
        "experts", "shares", "mean_losses", "_n_losses", "n_targets", "eta", "scales", "_counts",
        "_n_far",
    },
    SharedLinear: {"rls", "scales", "_huber", "_late_prior"},
    OwnLinear: {"rls", "n_features", "_forgetting_factor", "_variance", "_huber"},
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
    ClassRetrieval: {"window"},
    RetrievalOfSeveral: {"window", "n_targets", "_lived"},
    Ring: {"capacity", "n", "n_appended", "_end", "_is_branch", "_rows"},
}
_FIELDS[BoostedMixture] = _FIELDS[Mixture] | {"boosted", "n_opinions"}
_OPTIONAL = {"_layout", "_seeds"}


class _Unknown(Exception):
    """An object that no twin knows."""


cdef object known(object part, object kind, object other=None):
    """The part, if it is of one of two kinds and holds what that is known to hold."""
    if type(part) is other:
        kind = other
    if type(part) is not kind or vars(part).keys() - _OPTIONAL != _FIELDS[kind]:
        raise _Unknown(part)
    return part


include "rooms.pxi"
include "rows.pxi"
include "walker.pxi"
include "regression.pxi"
include "classes.pxi"
include "several.pxi"
include "means.pxi"
include "scan.pxi"
include "spiking.pxi"


cdef class LeastSquares(Walker):
    """The twin of an encoder with a recursive least squares behind it."""

    cdef RLS *rls

    cdef int _read(self, Arena arena) except -1:
        cdef Walk *s = &self.walk
        self._read_encoder(self.task.encoder)
        rls = known(self.task.rls, RecursiveLeastSquares)
        self.rls = read_rls(rls, arena)
        s.n_inputs = len(self.encoder.names)
        if self.rls.p != s.n_inputs + 1 or self.rls.m != 1:
            raise _Unknown(self.task)  # before the first sample
        s.evidence = arena.take(self.rls.p)
        s.evidence[0] = 1.0
        self.seen = s.evidence + 1
        self.keys = None
        return 0

    cdef int _give(self) except -1:
        return write_rls(self.task.rls, self.rls)

    cdef int _look(self, object x, bint learns) except -1:
        """The features of x to those of the least squares."""
        cdef int i
        self._encode(x)
        if learns and not self.new:
            self._count(self.seen, self.complete)
        if not self.complete:
            for i in range(self.walk.n_inputs):
                if self.seen[i] != self.seen[i]:
                    self.seen[i] = 0.0
        rls_see(self.rls, self.walk.evidence, self.rls.p)
        return 0

    def predict(self, x):
        """The prediction for x; None: ask NumPy."""
        cdef double prediction
        if not self.holds and not self._take():
            return None
        self._look(x, False)
        prediction = self.kernels.rls_says(self.rls)
        if isfinite(prediction):
            return prediction
        return float(np.nan_to_num(prediction, nan=0.0))

    def learn(self, x, y, w=1.0):
        """Learn a sample; False: nothing was done, ask NumPy."""
        cdef double label = checked_label(y), weight = checked_weight(w)
        if not self.holds and not self._take():
            return False
        self._look(x, True)
        if self.new:
            return False
        self.dirty = True
        self.changes += 1
        self.kernels.rls_learns(self.rls, label, weight)
        return True

    cdef bint _look_at(self, Rows rows, Py_ssize_t at, bint learns) noexcept nogil:
        """The features of a row to those of the least squares; whether all have a column."""
        cdef int n = self.walk.n_inputs, i
        cdef int complete = rows.see(at, n, self.seen)
        if complete < 0 and (learns or rows.is_strict):
            return False
        if learns:
            self._count_all(self.seen, complete)
        if complete <= 0:
            for i in range(n):
                if self.seen[i] != self.seen[i]:
                    self.seen[i] = 0.0
        rls_see(self.rls, self.walk.evidence, self.rls.p)
        return True

    def predict_rows(self, names, X, double[::1] answers, Py_ssize_t at=0):
        """Predict the rows from `at` on, the state held still; returns the first left to NumPy."""
        cdef Rows rows = self._rows(names, X)
        if rows is None:
            return at
        with nogil:
            while at < rows.n and self._look_at(rows, at, False):
                answers[at] = said_safely(self.kernels.rls_says(self.rls))
                at += 1
        self._done(False)
        return at

    def learn_rows(self, names, X, const double[::1] y, const double[:] w, answers, Py_ssize_t at=0):
        """Learn the rows from `at` on, after predicting them if answers are wanted.

        Returns the first row that is left to NumPy.
        """
        cdef Rows rows = self._rows(names, X)
        cdef double[::1] out = answers
        cdef bint answers_too = answers is not None
        cdef Py_ssize_t start = at
        if rows is None:
            return at
        with nogil:
            while at < rows.n and self._look_at(rows, at, True):
                if answers_too:
                    out[at] = said_safely(self.kernels.rls_says(self.rls))
                self.kernels.rls_learns(self.rls, y[at], w[at])
                at += 1
        self._done(at > start)
        return at


cdef inline double said_safely(double prediction) noexcept nogil:
    """As np.nan_to_num."""
    if prediction != prediction:
        return 0.0
    return min(max(prediction, -DBL_MAX), DBL_MAX)


def twin_of(task):
    """The twin of a task, None if it is of another kind."""
    kinds = {
        LinearTask: LeastSquares,
        NumpyRegression: Regression,
        NumpyClassification: Classification,
        NumpyMultiRegression: Several,
    }
    kind = kinds.get(type(task))
    return None if kind is None else kind(task)


INSTRUCTIONS = instructions().decode()
