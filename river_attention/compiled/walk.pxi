"""What src/walk.h declares, for Cython."""

cdef extern from "Python.h":
    bint PyFloat_CheckExact(object)
    double PyFloat_AS_DOUBLE(object)
    bint PyDict_CheckExact(object)
    Py_ssize_t PyDict_GET_SIZE(object)
    Py_ssize_t PyList_GET_SIZE(object)

cdef extern from "src/encode.h":
    int encode_row(object x, list keys, const int *columns, PyTypeObject *float64, double *out)

cdef extern from "src/rows.h" nogil:
    int see_row(
        const double *row, const int *columns, int n, int n_known, int n_inputs, double *out
    )

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
    ctypedef struct CErrors "Errors":
        int64_t n
        double fast, slow, size
        double fast_rate, slow_rate
        double quantiles[13]
        double up[13]
        double down[13]
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
        int p, size, m, leak, huber
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
        int window, n, end, width, n_inputs, stride, m, row
        int64_t n_appended, seen_at
        double *x
        double *norm
        double *delta
        double *residual
        double *known
        double *distance
        double *next
        double *scores[2]
        double lowest[2]
        double cold[2]
        double *terms
        double farthest
        double *ballots
    ctypedef struct Expert:
        int start, length
        RLS *rls
    ctypedef struct Pool:
        int n, mixes, n_told, n_awake
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
    ctypedef struct TreeNode:
        double number
        int feature, left, right, missing_left
    ctypedef struct CBoosted "Boosted":
        int part, n_history, width, fitted, n_roots
        const int *history
        const int *roots
        const TreeNode *nodes
        double base
        double *before
        int n_before
        float *row
        float *rows
        double *steps
        double *weights
        int64_t n_new, due
    ctypedef struct ClassExpert:
        int kind, start, length
        RLS *rls
    ctypedef struct ClassPool:
        int n, n_classes, n_votes
        ClassExpert *experts
        double *shares
        double *mean_losses
        double *losses
        int64_t n_losses
        double *counts
        double *pairs
        double *frequencies
        double *log_frequencies
        double *errors
        double *logs
        double *pooled
    int EXPERT_GIVEN, EXPERT_SHARED, EXPERT_OWN
    ctypedef struct ExpertOfSeveral:
        int kind, start, length, step, huber
        RLS **rls
        CHuberScale *scales
    ctypedef struct CSeveral "Several":
        int m, n_own, n_long, n_experts, has_retrieval
        int situation, anchor, known, prediction, last, mean, retrieved, long_part, answers
        int *own
        CTarget *targets
        Moments moments
        ExpertOfSeveral *experts
        Pool *pools
        CRetrieval retrieval
        Moments read_moments
        double *reads
        double *scaled
        double *apart
        double *columns
        double *r
        double *errors
        double *omega
        int *seen
        double *delta
        double *present
    ctypedef struct Walk:
        int n_inputs, n_lags, n_long, n_reads, n_token
        int long_part, situation, retrieved, last, mean, anchor, prediction, answers, size
        int unit, error_size
        int *visible
        int *shown
        int n_shown, moves, n_before
        double *before
        double *shown_inputs
        int has_retrieval, has_heads, has_bank
        int at_retrieval, at_heads, at_bank
        Moments moments
        CRetrieval retrieval
        CHeads heads
        CBank bank
        CTarget target
        CErrors errors
        Pool pool
        ClassPool classes
        CBoosted boosted
        CSeveral several
        double *evidence
        double *raw
        double *token
        double *delta
        double *present
        int complete
    ctypedef struct Ahead:
        int n_steps, n_inputs, n_experts, season, looks_back
        const double *past
        int n_past
        double *rows
        int *complete
        double *low
        double *high
        double *experts
        double *weights
        double *y
        double *errors
        double *sorted
    ctypedef struct CErrorsAhead "ErrorsAhead":
        int64_t n
        double eta
        double *shares
        double *squares
        double *fast
        double *slow
        double *size
        double *quantiles
        const double *rates
        const double *up
        const double *down
    ctypedef struct Tokens:
        int step, before
        int64_t n_steps, n_tokens
        int n_heads, d_key, d_value, n_sub, n_levels
        int64_t decay_time, decay_head, decay_key
        const void *decay
        const void *k
        const void *v
        const void *q
        const void *r
        const void *b
        const void *extra
        double eps, largest_exponent
    int SCAN_LINEAR, SCAN_BONUS, SCAN_DIAGONAL, SCAN_NORMALIZED, SCAN_MLSTM, SCAN_LOG_LINEAR
    ctypedef struct Kernels:
        void (*propose)(Walk *) noexcept nogil
        void (*finish)(Walk *) noexcept nogil
        double (*value)(const Walk *, double r) noexcept nogil
        double (*spread)(Walk *, const double *evidence) noexcept nogil
        int (*residual)(const Walk *, const double *evidence, double y, double *r) noexcept nogil
        void (*train)(Walk *, const double *evidence, double y, double r, double w) noexcept nogil
        void (*commit)(Walk *) noexcept nogil
        void (*follow)(Walk *) noexcept nogil
        void (*join)(Walk *, double y) noexcept nogil
        void (*learn)(Walk *, double y, double w) noexcept nogil
        void (*reopen)(Walk *) noexcept nogil
        void (*train_class)(Walk *, const double *evidence, int y, double w) noexcept nogil
        void (*learn_class)(Walk *, int y, double w) noexcept nogil
        void (*train_several)(Walk *, const double *evidence, const double *y, double w) noexcept nogil
        void (*join_several)(Walk *, const double *y) noexcept nogil
        void (*learn_several)(Walk *, const double *y, double w) noexcept nogil
        void (*look_ahead)(Walk *, Ahead *) noexcept nogil
        void (*score_ahead)(
            Ahead *, CErrorsAhead *, const double *truth, const double *expected, double scale
        ) noexcept nogil
        double (*rls_says)(const RLS *) noexcept nogil
        void (*rls_learns)(RLS *, double y, double w) noexcept nogil
        void (*scan_double)(const Tokens *, void *state, void *out, void *scratch) noexcept nogil
        void (*scan_float)(const Tokens *, void *state, void *out, void *scratch) noexcept nogil
    void errors_begin(CErrors *)
    void counts_refresh(ClassPool *)
    void several_derive(CSeveral *)
    double several_value(const CSeveral *, const double *evidence, int j)
    double rls_get(const RLS *, int i, int j)
    void rls_set(RLS *, int i, int j, double value)
    size_t rls_blocks(int size)
    void rls_see(RLS *, const double *features, int n)
    const Kernels *best_kernels()
    const char *instructions()

cdef extern from "src/copy.h" nogil:
    void copy_numbers(double *to, const double *other, size_t n)
    int walk_copy(Walk *to, const Walk *other)

cdef extern from "src/signature.h" nogil:
    void sign_row(
        const double *values, const uint64_t *seeds, const int64_t *columns, int64_t n,
        unsigned char *out
    )

cdef extern from "src/outlook.h" nogil:
    double shown_forecast(double forecast, double unit)
    void shown_group(const double *values, int n, int limited, double *out)
