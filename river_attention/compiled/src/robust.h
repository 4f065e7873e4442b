/* Winsorised running means: the twin of readout/robust.py. */
#ifndef RA_ROBUST_H
#define RA_ROBUST_H

#include "moments.h"

#define SQUARE_LIMIT 1e100
#define ROBUST_RATE 0.005
#define SMALLEST_NOISE 1e-12

typedef struct {
    int64_t n;
    double value;
} RobustMean;

RA_INLINE void robust_mean_update(RobustMean *m, double size) {
    m->n++;
    if (m->n > WARMUP && m->value > 0.0) size = dmin(size, 4.0 * m->value);
    m->value += running_rate(m->n, FORGETTING_RATE) * (size - m->value);
}

typedef struct {
    int64_t n;
    double fast, slow;
} HuberScale;

RA_INLINE double huber_weight(HuberScale *s, double size) {
    double scale = dmax(s->fast, 0.25 * s->slow);
    double weight = s->n == 0 || size <= scale ? 1.0 : scale / size;
    s->n++;
    int settled = s->n > WARMUP && scale > 0.0;
    if (settled) size = dmin(size, 1e4 * scale);
    s->slow += running_rate(s->n, FORGETTING_RATE) * (size - s->slow);
    if (settled) size = dmin(size, 4.0 * scale);
    s->fast += running_rate(s->n, ROBUST_RATE) * (size - s->fast);
    return weight;
}

typedef struct {
    int64_t n;
    double value;
} NoiseVariance;

RA_INLINE void noise_update(NoiseVariance *v, double error) {
    double square = error * error;
    v->n++;
    if (v->n > WARMUP) square = dmin(square, 9.0 * v->value);
    v->value = dmax(v->value + running_rate(v->n, ROBUST_RATE) * (square - v->value), SMALLEST_NOISE);
}

#endif
