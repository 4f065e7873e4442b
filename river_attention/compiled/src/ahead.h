/* Forecasts of many steps: the twin of core/ahead.py, where the equations stand. */
#ifndef RA_AHEAD_H
#define RA_AHEAD_H

#include "errors.h"
#include "pool.h"
#include "retrieval.h"
#include "target.h"

typedef struct {
    int n_steps, n_inputs, n_experts, season /* 0: none */, looks_back;
    const double *past;    /* the last targets, the latest last */
    int n_past;
    double *rows;          /* inputs of the steps ahead [n_steps][n_inputs] */
    int *complete;         /* whether none of a row is missing [n_steps] */
    double *low, *high;    /* [n_steps] */
    double *experts;       /* [n_experts][n_steps] */
    double *weights, *y;   /* of retrieval, and the targets beside it [window + 1] */
    double *errors, *sorted; /* scratch [n_experts] */
} Ahead;

/* what is known of errors so many steps ahead, in arrays of Python's */
typedef struct {
    int64_t n;
    double eta;
    double *shares;                        /* [n_steps][n_experts] */
    double *squares, *fast, *slow, *size;  /* [n_steps] */
    double *quantiles;                     /* [n_steps][N_QUANTILES] */
    const double *rates;                   /* [n_steps][2] */
    const double *up, *down;               /* steps of the quantiles [N_QUANTILES] */
} ErrorsAhead;

/* the lowest and the highest forecast that is allowed */
RA_INLINE void ahead_limits(Ahead *s, const Target *t) {
    double per = s->season ? (double)s->season : (double)t->n;
    for (int h = 0; h < s->n_steps; h++) {
        double room = (t->high - t->low) * (1.0 + (h + 1) / per);
        s->low[h] = t->low - room;
        s->high[h] = t->high + room;
    }
}

/* the change from the last target that followed steps like the one proposed last [n_steps] */
RA_INLINE void ahead_changes(Ahead *s, const Retrieval *past, double *changes) {
    int n = past->n;
    for (int h = 0; h < s->n_steps; h++) changes[h] = 0.0;
    if (n < FEWEST) return;
    memcpy(s->y, s->past + s->n_past - (n + 1), (n + 1) * sizeof(double));
    /* the metric that looks at the target first, the sharpest temperature: measured best */
    for (int i = 0; i < n; i += WIDTH) {
        vec e = retrieval_weights(past, 0, i);
        for (int k = 1; k < N_TEMPERATURES; k++) e = e * e, e = e * e;
        store(s->weights + i, e);
    }
    for (int h = 0; h < s->n_steps && h < n; h++) {
        int known = n - h, whole = known & ~(WIDTH - 1);
        vec totals = all(0.0), moves = all(0.0);
        for (int i = 0; i < whole; i += WIDTH) {
            vec w = load(s->weights + i);
            totals += w;
            moves += w * (loadu(s->y + i + 1 + h) - load(s->y + i));
        }
        double total = sum(totals), move = sum(moves);
        for (int i = whole; i < known; i++) {
            total += s->weights[i];
            move += s->weights[i] * (s->y[i + 1 + h] - s->y[i]);
        }
        changes[h] = move / total;
    }
}

static double mean_of(const double *values, int n) {
    double total = 0.0;
    for (int i = 0; i < n; i++) total += values[i];
    return total / n;
}

/* the values of a whole number of seasons ago, without and with drift; else the last value */
static void ahead_seasonal(const Ahead *s, double *naive, double *drifting) {
    const double *end = s->past + s->n_past;
    int season = s->season;
    double drift = 0.0;
    if (s->n_past >= 2 * season) drift = mean_of(end - season, season) - mean_of(end - 2 * season, season);
    for (int h = 0; h < s->n_steps; h++) {
        int seasons = (h + season) / season; /* h + 1 steps, rounded up */
        naive[h] = s->n_past < season ? end[-1] : end[h - season * seasons];
        drifting[h] = naive[h] + seasons * drift;
    }
}

/* all experts, after the recursive forecast, and with retrieval the changes, stand in theirs */
RA_INLINE void ahead_experts(Ahead *s) {
    int n = s->n_steps, first = 2 + s->looks_back;
    double last = s->past[s->n_past - 1], *experts = s->experts;
    for (int h = 0; h < n; h++) {
        experts[h] = last;
        if (s->looks_back) experts[2 * n + h] += last;
        for (int k = 0; k < first; k++) s->errors[k] = experts[k * n + h];
        experts[first * n + h] = median(s->errors, first, s->sorted);
    }
    if (s->season) ahead_seasonal(s, experts + (first + 1) * n, experts + (first + 2) * n);
}

/* Targets met their forecasts: shares and errors move. truth and expected (how large errors were
 * expected to be) are of every step ahead [n_steps]. */
RA_INLINE void ahead_score(Ahead *s, ErrorsAhead *known, const double *truth, const double *expected,
                           double scale) {
    int n = s->n_steps, K = s->n_experts, is_scored = known->n > 0;
    NoiseVariance noise = {known->n, 0.0};
    Errors errors;
    memcpy(errors.up, known->up, sizeof errors.up);
    memcpy(errors.down, known->down, sizeof errors.down);
    for (int h = 0; h < n; h++) {
        double mixed = 0.0, total = 0.0, *shares = known->shares + h * K;
        for (int k = 0; k < K; k++) {
            double answer = s->experts[k * n + h];
            mixed += shares[k] * answer;
            s->errors[k] = dmin(fabs(answer - truth[h]) / scale, SQUARE_LIMIT);
        }
        mixed = dmin(dmax(mixed, s->low[h]), s->high[h]);
        double unit = median(s->errors, K, s->sorted);
        if (is_scored) unit = dmax(unit, sqrt(known->squares[h]));
        unit = dmax(unit, TINY); /* not 0, where most are exact the first time */
        for (int k = 0; k < K; k++) {
            double loss = dmin(s->errors[k], LARGEST_LOSS * unit) / unit;
            shares[k] *= exp1(-known->eta * loss);
            total += shares[k];
        }
        total = (1.0 - SHARE) / total;
        for (int k = 0; k < K; k++) shares[k] = shares[k] * total + SHARE / K;
        double missed = clip((truth[h] - mixed) / scale, SQUARE_LIMIT);
        noise.n = errors.n = known->n;
        noise.value = known->squares[h];
        noise_update(&noise, missed);
        known->squares[h] = noise.value;
        errors.fast = known->fast[h], errors.slow = known->slow[h], errors.size = known->size[h];
        errors.fast_rate = known->rates[2 * h], errors.slow_rate = known->rates[2 * h + 1];
        memcpy(errors.quantiles, known->quantiles + h * N_QUANTILES, sizeof errors.quantiles);
        errors_update(&errors, missed, expected[h]);
        memcpy(known->quantiles + h * N_QUANTILES, errors.quantiles, sizeof errors.quantiles);
        known->fast[h] = errors.fast, known->slow[h] = errors.slow, known->size[h] = errors.size;
    }
    known->n++;
}

#endif
