/* The target in units that a readout can learn: the twin of core/target.py. */
#ifndef RA_TARGET_H
#define RA_TARGET_H

#include "robust.h"

#define LAG_LIMIT 3.0
#define STEPS_PER_SCALE 5.0
#define WIDE 1000.0

enum { PRIOR_PERSISTENCE, PRIOR_MEAN, PRIOR_ZERO };

typedef struct {
    int prior, n_lags, for_retrieval;
    int64_t n, n_differences;
    double anchor, scale, last /* NaN for none */, delta, low, high, mean, variance, spread;
    double difference_mean, difference_variance;
    Floor floor, difference_floor;
    RobustMean step_size;
    double *raw_lags, *lags; /* [n_lags] */
} Target;

RA_INLINE double target_residual(const Target *t, double y, double anchor) {
    return clip((y - anchor) / t->scale, SQUARE_LIMIT);
}

RA_INLINE double target_restore(const Target *t, double r) {
    if (t->n == 0) return 0.0;
    double width = t->high - t->low, prediction = t->anchor + t->scale * r;
    if (prediction != prediction) prediction = t->anchor;
    return dmin(dmax(prediction, t->low - width), t->high + width);
}

/* last target and running mean in units of the readout */
RA_INLINE void target_in_units(const Target *t, double *last, double *mean) {
    *last = *mean = 0.0;
    if (t->scale == 0.0) return;
    *last = target_residual(t, t->last == t->last ? t->last : t->mean, t->anchor);
    *mean = target_residual(t, t->mean, t->anchor);
}

RA_INLINE double target_ignorance(const Target *t) {
    double wide = WIDE * dmax(1.0, fabs(t->anchor));
    return wide * wide;
}

/* what follows from mean, spread and the past: scale, anchor, lags */
RA_INLINE void target_place(Target *t) {
    t->scale = dmin(t->spread, STEPS_PER_SCALE * t->step_size.value);
    if (t->scale <= TINY) t->scale = 0.0;
    int known = t->last == t->last;
    if (t->prior == PRIOR_ZERO)
        t->anchor = 0.0;
    else
        t->anchor = t->prior == PRIOR_PERSISTENCE && known ? t->last : t->mean;
    if (t->spread > 0.0 && known)
        for (int i = 0; i < t->n_lags; i++)
            t->lags[i] = clip((t->raw_lags[i] - t->mean) / t->spread, LAG_LIMIT);
    else
        for (int i = 0; i < t->n_lags; i++) t->lags[i] = 0.0;
}

RA_INLINE void target_derive(Target *t) {
    t->spread = deviation(t->variance);
    target_place(t);
}

/* y joins the past values, of which there are some */
RA_INLINE void target_shift(Target *t, double y) {
    if (!t->n_lags) return;
    memmove(t->raw_lags + 1, t->raw_lags, (t->n_lags - 1) * sizeof(double));
    t->raw_lags[0] = y;
}

static void target_measure_difference(Target *t, double difference) {
    int64_t n = ++t->n_differences;
    double mean = t->difference_mean, variance = t->difference_variance;
    double delta = winsorised(difference - mean, deviation(variance), n);
    double floor = floor_update(&t->difference_floor, delta, mean, variance, n);
    join_moments(&t->difference_mean, &t->difference_variance, delta, running_rate(n, floor));
    double spread = deviation(t->difference_variance);
    t->delta = spread > 0.0 ? clip(difference / spread, LAG_LIMIT) : 0.0;
}

static void target_update(Target *t, double y) {
    t->n++;
    double delta = winsorised(y - t->mean, t->spread, t->n);
    double floor = floor_update(&t->floor, delta, t->mean, t->variance, t->n);
    join_moments(&t->mean, &t->variance, delta, running_rate(t->n, floor));
    if (t->last != t->last) {
        for (int i = 0; i < t->n_lags; i++) t->raw_lags[i] = y;
    } else {
        if (t->for_retrieval) target_measure_difference(t, y - t->last);
        double step = fabs(y - t->last);
        if (t->step_size.n || step != 0.0) robust_mean_update(&t->step_size, step);
        target_shift(t, y);
    }
    t->last = y;
    t->low = dmin(t->low, y);
    t->high = dmax(t->high, y);
    target_derive(t);
}

#endif
