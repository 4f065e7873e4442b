/* Quantiles of standardised errors: the twin of readout/intervals.py. */
#ifndef RA_ERRORS_H
#define RA_ERRORS_H

#include "robust.h"

#define N_QUANTILES 13
#define FAST_SHARE 0.7
#define ERROR_LIMIT 8.0
#define SMALLEST_SIZE 1e-6

typedef struct {
    int64_t n;
    double fast, slow;
    double size; /* how large the next error will be, from both */
    double fast_rate, slow_rate;
    double quantiles[N_QUANTILES], up[N_QUANTILES], down[N_QUANTILES];
} Errors;

static inline void errors_begin(Errors *s) {
    s->size = fmax(pow(s->fast, FAST_SHARE) * pow(s->slow, 1.0 - FAST_SHARE), SMALLEST_SIZE);
}

/* an error, and the size that was expected of it when the prediction was made */
RA_INLINE void errors_update(Errors *s, double error, double expected) {
    double z = error / expected, size = fabs(error), *q = s->quantiles;
    for (int i = 0; i < N_QUANTILES; i++) q[i] += q[i] > z ? s->down[i] : s->up[i];
    s->n++;
    if (s->n > WARMUP) size = dmin(size, ERROR_LIMIT * s->size);
    s->fast += running_rate(s->n, s->fast_rate) * (size - s->fast);
    s->slow += running_rate(s->n, s->slow_rate) * (size - s->slow);
    errors_begin(s);
}

#endif
