/* Experts and their shares: the twin of readout/pool.py, readout/shares.py and of the mixture of
 * readout/regression.py. */
#ifndef RA_POOL_H
#define RA_POOL_H

#include "rls.h"

#define LARGEST_LOSS 10.0
#define LARGEST_WEIGHT 1e6
#define PATIENCE 3
#define SHARE 0.005

typedef struct {
    int start, length; /* the part of the evidence */
    RLS *rls;          /* NULL: the part is the answer */
} Expert;

typedef struct {
    int n, mixes;
    int n_told, n_awake; /* experts that parts of the evidence tell, and those with a share */
    double eta;
    Expert *experts;
    double *shares, *mean_losses, *errors, *losses, *sorted; /* [n], padded */
    int64_t n_losses, n_far;
    NoiseVariance noise;
    RobustMean scale;
} Pool;

RA_INLINE double limited(double answer) { return answer == answer ? clip(answer, SQUARE_LIMIT) : answer; }

/* what the shares make of the answers */
RA_INLINE double mixture(const Pool *s, const double *answers) {
    double mixed = 0.0;
    for (int i = 0; i < s->n; i++) mixed += s->shares[i] * answers[i];
    return mixed;
}

static double median(const double *values, int n, double *sorted) {
    for (int i = 0; i < n; i++) {
        int j = i;
        for (; j && sorted[j - 1] > values[i]; j--) sorted[j] = sorted[j - 1];
        sorted[j] = values[i];
    }
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0;
}

/* shares after a label r for which the mixture said mixed; see Mixture.update */
static void learn_shares(Pool *s, const double *answers, double mixed, double r, double w) {
    int n = s->n_awake, size = padded(n);
    double nearest = INFINITY;
    for (int i = 0; i < n; i++) {
        s->errors[i] = fabs(answers[i] - r);
        nearest = dmin(s->errors[i], nearest);
    }
    double error = fabs(mixed - r), scale = s->scale.value;
    if (scale > 0.0) {
        s->n_far = nearest > LARGEST_LOSS * scale ? s->n_far + 1 : 0;
        if (s->n_far > PATIENCE) scale = median(s->errors, n, s->sorted);
        double rate = running_rate(++s->n_losses, FORGETTING_RATE), total = 0.0;
        double times = dmin(w, LARGEST_WEIGHT);
        for (int i = 0; i < n; i++) {
            double loss = dmin(s->errors[i], LARGEST_LOSS * scale) / scale;
            s->mean_losses[i] += rate * (loss - s->mean_losses[i]);
            s->losses[i] = -s->eta * dmin(loss * times, LARGEST_LOSS);
        }
        for (int i = 0; i < size; i += WIDTH)
            store(s->losses + i, load(s->shares + i) * vexp(load(s->losses + i)));
        for (int i = 0; i < n; i++) total += s->losses[i];
        total = (1.0 - SHARE) / total;
        for (int i = 0; i < n; i++) s->shares[i] = s->losses[i] * total + SHARE / n;
    }
    robust_mean_update(&s->scale, error);
}

#endif
