/* Recursive least squares for m targets: the twin of readout/rls.py.
 *
 * P is symmetric and kept in blocks of 8 x 8, those on and below the diagonal, column of blocks by
 * column of blocks: one pass reads memory in order. A block on the diagonal holds both of its
 * halves; products of sqrt(c) g with itself keep them equal to the bit. The factor 1/lambda is
 * applied in the same pass as the rank-one update.
 */
#ifndef RA_RLS_H
#define RA_RLS_H

#include "robust.h"

#define BLOCK (LANES * LANES)
#define LEAK_SLACK 30.0
#define COVARIANCE_LIMIT 1e100
#define EXTREME 1e100

typedef struct {
    int p, size /* padded p */, m /* targets */, leak, huber;
    double forgetting;
    int64_t n_updates, n_resets, next_leak;
    double growth;
    HuberScale scale;
    double *P, *w /* [m][size] */, *prior, *phi, *g, *h; /* blocks, and vectors [size] */
} RLS;

RA_INLINE size_t rls_blocks(int size) {
    size_t n = size / LANES;
    return n * (n + 1) / 2;
}
/* where P[i, j] stands, i >= j */
RA_INLINE size_t rls_at(const RLS *s, int i, int j) {
    size_t n = s->size / LANES, bi = i / LANES, bj = j / LANES;
    size_t before = bj * n - bj * (bj - 1) / 2 + (bi - bj);
    return before * BLOCK + (j % LANES) * LANES + i % LANES;
}
static double rls_get(const RLS *s, int i, int j) { return s->P[i >= j ? rls_at(s, i, j) : rls_at(s, j, i)]; }
static void rls_set(RLS *s, int i, int j, double value) {
    s->P[rls_at(s, i, j)] = value;
    if (i / LANES == j / LANES) s->P[rls_at(s, j, i)] = value;
}

/* g = P phi */
RA_INLINE void rls_gain(const RLS *s, const double *phi, double *g) {
    int n = s->size / LANES;
    const double *column = s->P; /* the block on the diagonal */
    for (int i = 0; i < s->size; i += WIDTH) store(g + i, all(0.0));
    for (int bj = 0; bj < n; column += (n - bj) * BLOCK, bj++) {
        const double *x = phi + bj * LANES;
        double *y = g + bj * LANES;
        for (int r = 0; r < LANES; r += WIDTH) {
            vec even = load(y + r), odd = all(0.0);
            for (int c = 0; c < LANES; c += 2) {
                even += load(column + c * LANES + r) * all(x[c]);
                odd += load(column + (c + 1) * LANES + r) * all(x[c + 1]);
            }
            store(y + r, even + odd);
        }
        /* below the diagonal a block counts twice: for its rows, and for its columns */
        for (int first = 0; first < LANES && bj + 1 < n; first += COLUMNS) {
            vec a[COLUMNS], times[COLUMNS];
            for (int c = 0; c < COLUMNS; c++) a[c] = all(0.0), times[c] = all(x[first + c]);
            const double *block = column + BLOCK + first * LANES;
            for (int i = (bj + 1) * LANES; i < s->size; i += LANES, block += BLOCK)
                for (int r = 0; r < LANES; r += WIDTH) {
                    vec rows = load(phi + i + r), even = load(g + i + r), odd = all(0.0);
                    for (int c = 0; c < COLUMNS; c += 2) {
                        vec left = load(block + c * LANES + r);
                        vec right = load(block + (c + 1) * LANES + r);
                        a[c] += left * rows;
                        a[c + 1] += right * rows;
                        even += left * times[c];
                        odd += right * times[c + 1];
                    }
                    store(g + i + r, even + odd);
                }
            store_sums(y + first, a);
        }
    }
}

/* P = (P - sign h h') * inflation */
RA_INLINE void rls_downdate(RLS *s, const double *h, double sign, double inflation) {
    int n = s->size / LANES;
    double *block = s->P;
    vec factor = all(inflation);
    for (int bj = 0; bj < n; bj++) {
        vec times[LANES];
        for (int c = 0; c < LANES; c++) times[c] = all(sign * h[bj * LANES + c]);
        for (int i = bj * LANES; i < s->size; i += LANES, block += BLOCK)
            for (int r = 0; r < LANES; r += WIDTH) {
                vec rows = load(h + i + r);
                for (int c = 0; c < LANES; c++) {
                    double *at = block + c * LANES + r;
                    store(at, (load(at) - rows * times[c]) * factor);
                }
            }
    }
}

RA_INLINE void rls_scale(RLS *s, double factor) {
    size_t size = rls_blocks(s->size) * BLOCK;
    for (size_t i = 0; i < size; i += WIDTH) store(s->P + i, load(s->P + i) * all(factor));
}

/* whether 1/lambda cannot make P overflow, however large it is by now */
RA_INLINE int rls_may_inflate(RLS *s, double inflation) {
    s->growth *= inflation;
    if (s->growth <= COVARIANCE_LIMIT) return 1;
    double largest = 0.0;
    for (int i = 0; i < s->p; i++) largest = dmax(rls_get(s, i, i), largest);
    s->growth = inflation * largest;
    return s->growth <= COVARIANCE_LIMIT;
}

static void rls_reopen(RLS *s) {
    memset(s->P, 0, rls_blocks(s->size) * BLOCK * sizeof(double));
    s->growth = 0.0;
    for (int i = 0; i < s->p; i++) {
        rls_set(s, i, i, s->prior[i]);
        s->growth = dmax(s->prior[i], s->growth);
    }
}

static void rls_reset(RLS *s) {
    s->n_resets++;
    rls_reopen(s);
    for (int i = 0; i < s->m * s->size; i++)
        if (!isfinite(s->w[i])) s->w[i] = 0.0;
}

RA_INLINE void rls_column(const RLS *s, int k, double *g) {
    int n = s->size / LANES, bk = k / LANES;
    for (int b = 0; b < bk; b++) {
        const double *row = s->P + rls_at(s, bk * LANES, b * LANES) + k % LANES;
        for (int c = 0; c < LANES; c++) g[b * LANES + c] = row[c * LANES];
    }
    const double *column = s->P + rls_at(s, bk * LANES, bk * LANES) + (k % LANES) * LANES;
    for (int b = bk; b < n; b++, column += BLOCK)
        memcpy(g + b * LANES, column, LANES * sizeof(double));
}

static void rls_leak(RLS *s) {
    int p = s->p;
    double rate = 1.0 - s->forgetting;
    if (p == 0 || rate == 0.0) return;
    int m = (int)dmax(1.0, ceil(p * s->leak * rate));
    double slack = LEAK_SLACK * m / (rate * p * s->leak);
    for (int i = 0; i < m; i++) {
        int k = (int)(s->next_leak % p);
        s->next_leak = k + 1;
        rls_column(s, k, s->g);
        double c = 1.0 / (slack * s->prior[k] + s->g[k]);
        /* rounding can have made an entry of the diagonal negative */
        double root = sqrt(fabs(c));
        for (int t = 0; t < s->m; t++) {
            double *w = s->w + t * s->size, move = c * w[k];
            for (int j = 0; j < s->size; j++) w[j] -= move * s->g[j];
        }
        for (int j = 0; j < s->size; j++) s->h[j] = root * s->g[j];
        rls_downdate(s, s->h, c < 0.0 ? -1.0 : 1.0, 1.0);
    }
}

/* w' phi for the features in s->phi */
RA_INLINE double rls_predict(const RLS *s) { return dot(s->w, s->phi, s->size); }

RA_INLINE double rls_spread(RLS *s) {
    rls_gain(s, s->phi, s->g);
    return dmax(dot(s->phi, s->g, s->size), 0.0);
}

/* s->phi = features; what stands behind them is 0 already */
RA_INLINE void rls_see(RLS *s, const double *features, int n) {
    memcpy(s->phi, features, n * sizeof(double));
    for (int i = n; i < s->p; i++) s->phi[i] = 0.0;
}

/* Move the weights by c error g; 0 where that overflows, and nothing is moved. */
static int rls_move(RLS *s, double c, const double *errors, const double *g) {
    for (int check = 1; check >= 0; check--)
        for (int t = 0; t < s->m; t++)
            for (int i = 0; i < s->p; i++) {
                double moved = s->w[t * s->size + i] + (c * g[i]) * errors[t];
                if (!check)
                    s->w[t * s->size + i] = moved;
                else if (!isfinite(moved))
                    return 0;
            }
    return 1;
}

/* Condition on one observation and forget; the errors [m] are finite. */
RA_INLINE void rls_correct(RLS *s, const double *errors, double omega) {
    int observed = 0;
    if (omega > 0.0 && s->p) {
        double noise = s->forgetting / omega, *g = s->g;
        rls_gain(s, s->phi, g);
        double spread = dot(s->phi, g, s->size);
        if (!(spread >= 0.0)) {
            rls_reset(s);
            rls_gain(s, s->phi, g);
            spread = dot(s->phi, g, s->size);
        }
        double c = 1.0 / (noise + spread);
        if (c > 0.0 && c < EXTREME) {
            double largest = 0.0;
            for (int t = 0; t < s->m; t++) largest = dmax(fabs(c * errors[t]), largest);
            observed = 1;
            if (!(largest < EXTREME && spread < EXTREME)) {
                observed = rls_move(s, c, errors, g);
            } else {
                for (int t = 0; t < s->m; t++) {
                    double *w = s->w + t * s->size;
                    vec move = all(c * errors[t]);
                    for (int i = 0; i < s->size; i += WIDTH)
                        store(w + i, load(w + i) + move * load(g + i));
                }
            }
            if (observed) {
                vec root = all(sqrt(c));
                for (int i = 0; i < s->size; i += WIDTH) store(s->h + i, root * load(g + i));
            }
        }
    }
    int forgets = s->forgetting < 1.0;
    double inflation = forgets ? 1.0 / s->forgetting : 1.0;
    if (observed && s->growth * inflation <= COVARIANCE_LIMIT) {
        s->growth *= inflation;
        rls_downdate(s, s->h, 1.0, inflation);
    } else {
        if (observed) rls_downdate(s, s->h, 1.0, 1.0);
        if (forgets && rls_may_inflate(s, inflation)) rls_scale(s, inflation);
    }
    s->n_updates++;
    if (s->leak && s->n_updates % s->leak == 0) rls_leak(s);
}

/* Learn the label r of the features in s->phi. */
RA_INLINE void rls_update(RLS *s, double r, double w) {
    double error = r - rls_predict(s), size = fabs(error);
    if (!isfinite(size)) w = 0.0;
    double omega = w;
    if (s->huber && w > 0.0) omega *= huber_weight(&s->scale, size);
    rls_correct(s, &error, omega);
}

#endif
