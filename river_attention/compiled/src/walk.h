/* The walk of a step: the twin of core/features.py, core/regression.py, core/classification.py and
 * core/several.py. What a step is made of stands in one evidence,
 * laid out as core/step.py says. */
#ifndef RA_WALK_H
#define RA_WALK_H

#include "ahead.h"
#include "bank.h"
#include "classes.h"
#include "errors.h"
#include "heads.h"
#include "pool.h"
#include "retrieval.h"
#include "several.h"
#include "target.h"
#include "tokens.h"
#include "trees.h"

typedef struct {
    int n_inputs, n_lags, n_long, n_reads, n_token;
    /* where parts of the evidence stand, -1 for none */
    int long_part, situation, retrieved, last, mean, anchor, prediction, answers, size;
    int unit, error_size;
    int *visible; /* columns of the token for heads and bank; NULL for all */
    int *shown;   /* columns of the inputs for retrieval and the long part; NULL for all */
    int n_shown, moves, n_before;
    double *before, *shown_inputs; /* inputs of the long part in the last step, and now [n_shown] */
    int has_retrieval, has_heads, has_bank;
    int at_retrieval, at_heads, at_bank; /* columns of their reads */
    Moments moments;
    Retrieval retrieval;
    Heads heads;
    Bank bank;
    Target target; /* of classes only the lags, and the last class as the delta */
    Errors errors;
    Pool pool;
    ClassPool classes;
    Boosted boosted;
    Several several;
    double *evidence, *raw /* reads, then values */, *token, *delta, *present;
    int complete;
} Walk;

typedef struct {
    void (*propose)(Walk *);                    /* all but what `finish` needs the reads for */
    void (*finish)(Walk *);                     /* features from reads, and the answer */
    double (*value)(const Walk *, double r);    /* a prediction in units of the target */
    double (*spread)(Walk *, const double *evidence);
    int (*residual)(const Walk *, const double *evidence, double y, double *r);
    void (*train)(Walk *, const double *evidence, double y, double r, double w);
    void (*commit)(Walk *);
    void (*follow)(Walk *); /* commit, but moments stay */
    void (*join)(Walk *, double y);
    void (*learn)(Walk *, double y, double w);  /* train, commit, join */
    void (*reopen)(Walk *);
    void (*train_class)(Walk *, const double *evidence, int y, double w);
    void (*learn_class)(Walk *, int y, double w); /* train, commit */
    /* of several targets: a label for each, NaN where it is missing */
    void (*train_several)(Walk *, const double *evidence, const double *y, double w);
    void (*join_several)(Walk *, const double *y);
    void (*learn_several)(Walk *, const double *y, double w); /* train, commit, join */
    void (*look_ahead)(Walk *, Ahead *); /* on a branch: to where it ends */
    void (*score_ahead)(Ahead *, ErrorsAhead *, const double *truth, const double *expected,
                        double scale);
    double (*rls_says)(const RLS *);
    void (*rls_learns)(RLS *, double y, double w);
    void (*scan_double)(const Tokens *, void *state, void *out, void *scratch /* [2 d_value + 2] */);
    void (*scan_float)(const Tokens *, void *state, void *out, void *scratch);
} Kernels;

extern const Kernels ra_plain, ra_avx2, ra_avx512;

/* the table for the processor that runs this */
static const Kernels *best_kernels(void) {
#if defined(__x86_64__) && !defined(RA_SCALAR)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return &ra_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &ra_avx2;
#endif
    return &ra_plain;
}

static const char *instructions(void) {
    const Kernels *best = best_kernels();
#if defined(__x86_64__) && !defined(RA_SCALAR)
    if (best == &ra_avx512) return "AVX-512";
    if (best == &ra_avx2) return "AVX2";
#endif
    return best == &ra_plain ? "baseline instructions" : "";
}

#endif
