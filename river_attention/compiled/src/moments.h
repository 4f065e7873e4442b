/* Running moments: the twin of moments.py, where the equations and their reasons stand. */
#ifndef RA_MOMENTS_H
#define RA_MOMENTS_H

#include "vec.h"

#define FORGETTING_RATE 0.001
#define CALM_RATE 0.01
#define WARMUP 20
#define CALM_SHARE 1e-3
#define QUICK_EVERY 16
#define QUICK_RATE 0.15
#define QUICK_WARMUP 100
#define SETTLED 1000
#define FARTHEST 30.0
#define TINY 1e-140
#define INPUT_LIMIT 3.0
#define READ_LIMIT 5.0

RA_INLINE double running_rate(int64_t n, double floor) { return dmax(1.0 / (double)n, floor); }
RA_INLINE double deviation(double variance) {
    double root = sqrt(variance);
    return root > TINY ? root : 0.0;
}
RA_INLINE double winsorised(double delta, double spread, int64_t n) {
    double bound = FARTHEST * spread;
    if (bound == 0.0 || n <= WARMUP) return delta;
    return dmin(dmax(delta, -bound), bound);
}

/* ForgettingRate of one number */
typedef struct {
    int64_t n;
    double sampled, mean, variance, rate;
} Floor;

RA_INLINE double floor_update(Floor *f, double delta, double mean, double variance, int64_t count) {
    if (++f->n % QUICK_EVERY == 0) {
        double value = mean + delta;
        double share = value != f->sampled ? QUICK_RATE : 0.0;
        double step = share * (value - f->mean);
        double quick_mean = f->mean + step;
        double quick = (1.0 - share) * (f->variance + step * (value - f->mean));
        int young = count < QUICK_WARMUP;
        f->mean = young ? mean : quick_mean;
        f->variance = young ? variance : quick;
        f->sampled = value;
        f->rate = f->variance < CALM_SHARE * variance ? CALM_RATE : FORGETTING_RATE;
    }
    return f->rate;
}

/* mean and variance take one value in, delta from the mean */
RA_INLINE void join_moments(double *mean, double *variance, double delta, double rate) {
    double step = rate * delta;
    *mean += step;
    *variance = (1.0 - rate) * (*variance + step * delta);
}

/* RunningMoments of n columns; inverse is 1 / divisor, 0 where that is infinite */
typedef struct {
    int n, some_constant, any_calm;
    int64_t fewest, floor_n;
    double *mean, *inverse, *variance, *count, *sampled, *quick_mean, *quick_variance, *rate;
} Moments;

RA_INLINE void moments_divide(Moments *m) {
    int size = padded(m->n), check = m->some_constant || m->floor_n % QUICK_EVERY == 0;
    ivec constant = {0}, near = {0};
    for (int i = 0; i < size; i += WIDTH) {
        vec divisor = vsqrt(load(m->variance + i));
        vec inverse = all(1.0) / divisor;
        if (check) {
            ivec tiny = (ivec)(divisor <= all(TINY));
            if (m->some_constant) inverse = choose(tiny, all(0.0), inverse);
            for (int k = 0; k < WIDTH && i + k < m->n; k++) {
                LANE(constant, k) |= LANE(tiny, k);
                LANE(near, k) |= LANE(divisor, k) <= 2.0 * TINY;
            }
        }
        store(m->inverse + i, inverse);
    }
    if (check) {
        ivec found = m->some_constant ? constant : near;
        int any = 0;
        for (int k = 0; k < WIDTH; k++) any |= LANE(found, k) != 0;
        m->some_constant = any;
    }
    for (int i = m->n; i < size; i++) m->inverse[i] = 0.0;
}

static void moments_look(Moments *m, const double *delta, const double *present) {
    m->any_calm = 0;
    for (int i = 0; i < m->n; i++) {
        double mean = m->mean[i], variance = m->variance[i], value = mean + delta[i];
        double share = QUICK_RATE * (value != m->sampled[i] && (!present || present[i] != 0.0));
        double step = share * (value - m->quick_mean[i]);
        int young = m->count[i] < QUICK_WARMUP;
        double quick_mean = m->quick_mean[i] + step;
        double quick = (1.0 - share) * (m->quick_variance[i] + step * (value - m->quick_mean[i]));
        m->quick_mean[i] = young ? mean : quick_mean;
        m->quick_variance[i] = young ? variance : quick;
        m->sampled[i] = value;
        double calm = m->quick_variance[i] < CALM_SHARE * variance;
        m->rate[i] = FORGETTING_RATE + (CALM_RATE - FORGETTING_RATE) * calm;
        m->any_calm |= calm != 0.0;
    }
}

/* A vector joins; NaN = missing. values, delta and present have room for padded(n) numbers, of which
 * the last two are scratch. */
RA_INLINE void moments_update(Moments *m, const double *values, int complete, double *delta,
                              double *present) {
    int n = m->n, size = padded(n);
    if (!n) return;
    int counts = m->fewest <= SETTLED; /* whether the number of values matters */
    vec far = all(0.0);
    if (complete) {
        counts = ++m->fewest <= SETTLED;
        for (int i = 0; i < size; i += WIDTH) {
            if (counts) store(m->count + i, load(m->count + i) + all(1.0));
            vec d = load(values + i) - load(m->mean + i);
            vec f = d * load(m->inverse + i);
            store(delta + i, d);
            far += f * f;
        }
    } else {
        double fewest = INFINITY;
        for (int i = 0; i < n; i++) {
            int here = values[i] == values[i];
            present[i] = here;
            if (counts) {
                m->count[i] += here;
                fewest = dmin(m->count[i], fewest);
            }
            delta[i] = here ? values[i] - m->mean[i] : 0.0;
        }
        for (int i = n; i < size; i++) present[i] = delta[i] = 0.0;
        if (counts) m->fewest = (int64_t)fewest;
        for (int i = 0; i < size; i += WIDTH) {
            vec f = load(delta + i) * load(m->inverse + i);
            far += f * f;
        }
    }
    if (!(sum(far) <= FARTHEST * FARTHEST)) {
        for (int i = 0; i < n; i++) {
            /* an inverse of 0 stands for a divisor of infinity */
            if (m->count[i] < WARMUP || m->inverse[i] == 0.0) continue;
            double bound = FARTHEST * sqrt(m->variance[i]);
            delta[i] = dmin(dmax(delta[i], -bound), bound);
        }
    }
    /* rates are those of before this value */
    vec one = all(1.0);
    int look = ++m->floor_n % QUICK_EVERY == 0;
    for (int i = 0; i < size; i += WIDTH) {
        vec rate = load(m->rate + i);
        if (complete) {
            if (counts) rate = vmax(one / load(m->count + i), rate);
        } else {
            rate = vmax(one / vmax(load(m->count + i), one), rate) * load(present + i);
        }
        store(m->inverse + i, rate); /* scratch until moments_divide */
    }
    if (look) moments_look(m, delta, complete ? NULL : present);
    for (int i = 0; i < size; i += WIDTH) {
        vec rate = load(m->inverse + i), d = load(delta + i), step = rate * d;
        store(m->mean + i, load(m->mean + i) + step);
        store(m->variance + i, (one - rate) * (load(m->variance + i) + step * d));
    }
    moments_divide(m);
}

/* (values - mean) / divisor of n columns, clipped; NaN becomes 0 */
RA_INLINE void standardise(const double *values, const double *mean, const double *inverse, int n,
                           double limit, double *out) {
    for (int i = 0; i < n; i++) {
        double z = (values[i] - mean[i]) * inverse[i];
        out[i] = z == z ? clip(z, limit) : 0.0;
    }
}

#endif
