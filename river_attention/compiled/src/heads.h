/* Linear attention heads: the twin of layers/linear_attention.py with the modes of modes/ and the
 * steps of functional/recurrence.py. A token is a, r, b, k, q per key dimension and v per value
 * dimension, of every head, with sub-steps in front for keys and values. */
#ifndef RA_HEADS_H
#define RA_HEADS_H

#include "vec.h"

enum {
    MODE_RETNET, MODE_GLA, MODE_HGRN2, MODE_LINEAR, MODE_DELTA, MODE_RWKV7, MODE_RWKV, MODE_HAWK,
    MODE_MLSTM, MODE_ROTARY, MODE_LRU
};
enum {
    STEP_LINEAR, STEP_DPLR, STEP_BONUS, STEP_DIAGONAL, STEP_NORMALIZED, STEP_MLSTM, STEP_COMPLEX,
    STEP_LOG_LINEAR
};

typedef struct {
    int mode, step, n_heads, d_key, d_value, n_inputs, n_rows, stride /* padded n_rows */;
    int size /* of the state */, n_outputs;
    int read_before, key_gates /* a gate for every key dimension */, gated, tied, n_sub, n_levels;
    double lower_bound, beta_scale;
    double *weights /* [n_inputs][stride] */, *bias, *x /* projected */, *state, *next;
    double *level_weights;
    double *a, *r, *b, *k, *q, *v, *gate; /* the token, with LANES to spare */
} Heads;

#define NORM_FLOOR 1e-12
#define RWKV7_RATE 0.6065306597126334 /* exp(-1/2) */
#define NORMALIZER_EPS 1e-12
#define MLSTM_EPS 1e-6

/* x holds n numbers; out and x have LANES to spare */
RA_INLINE void sigmoids(const double *x, int n, double *out) {
    for (int i = 0; i < n; i += WIDTH) storeu(out + i, vsigmoid(loadu(x + i)));
}

RA_INLINE void unit(const double *x, double *out, int d) {
    double length = 0.0;
    for (int i = 0; i < d; i++) length += x[i] * x[i];
    length = sqrt(length) + NORM_FLOOR;
    for (int i = 0; i < d; i++) out[i] = x[i] / length;
}

RA_INLINE void elu_plus_one(const double *x, double *out, int n) {
    for (int i = 0; i < n; i += WIDTH) {
        vec z = loadu(x + i);
        storeu(out + i, choose((ivec)(z > all(0.0)), z + all(1.0),
                               vexp(vmax(vmin(z, all(0.0)), all(-700.0)))));
    }
}

/* gates of heads, or of key dimensions, to a */
RA_INLINE void heads_decay(Heads *s, const double *gate) {
    int H = s->n_heads, d = s->d_key;
    for (int h = 0; h < H; h++)
        for (int i = 0; i < d; i++) s->a[h * d + i] = s->key_gates ? gate[h * d + i] : gate[h];
}

/* gate, beta, rows of keys and query, v: the delta rule */
RA_INLINE void token_delta(Heads *s, const double *x) {
    int H = s->n_heads, d = s->d_key, dv = s->d_value, n = s->n_sub, n_rows = n + !s->tied;
    int n_gates = s->key_gates ? H * d : H;
    if (s->gated)
        sigmoids(x, n_gates, s->gate);
    else
        for (int i = 0; i < n_gates; i++) s->gate[i] = 1.0;
    heads_decay(s, s->gate);
    sigmoids(x + n_gates, H * n, s->gate);
    const double *row = x + n_gates + H * n, *value = row + H * n_rows * d;
    for (int h = 0; h < H; h++) {
        for (int j = 0; j < n; j++, row += d) {
            int at = (j * H + h) * d;
            double beta = s->beta_scale * s->gate[h * n + j];
            unit(row, s->b + at, d);
            for (int i = 0; i < d; i++) {
                s->k[at + i] = beta * s->b[at + i];
                s->r[at + i] = -s->k[at + i];
            }
            memcpy(s->v + (j * H + h) * dv, value + (h * n + j) * dv, dv * sizeof(double));
        }
        if (s->tied)
            memcpy(s->q + h * d, s->b + h * d, d * sizeof(double));
        else
            unit(row, s->q + h * d, d), row += d;
    }
}

RA_INLINE void heads_token(Heads *s) {
    int H = s->n_heads, d = s->d_key, K = H * d, V = H * s->d_value;
    const double *x = s->x, *k = x, *v = x, *q = x;
    switch (s->mode) {
    case MODE_RETNET:
        heads_decay(s, x);
        k = x + H, v = k + K, q = v + V;
        break;
    case MODE_GLA: {
        int n = s->key_gates ? K : H;
        sigmoids(x, n, s->gate);
        heads_decay(s, s->gate);
        k = x + n, v = k + K, q = v + V;
        break;
    }
    case MODE_HGRN2:
        sigmoids(x, K, s->a);
        for (int i = 0; i < K; i++) {
            s->a[i] = s->lower_bound + (1.0 - s->lower_bound) * s->a[i];
            s->k[i] = 1.0 - s->a[i];
        }
        k = s->k, v = x + K, q = v + V;
        break;
    case MODE_LINEAR: {
        heads_decay(s, x);
        v = x + H + K;
        elu_plus_one(x + H, s->k, K);
        elu_plus_one(v + V, s->q, K);
        k = s->k, q = s->q;
        break;
    }
    case MODE_DELTA:
        token_delta(s, x);
        return;
    case MODE_RWKV7:
        sigmoids(x, K, s->gate);
        for (int i = 0; i < K; i += WIDTH)
            storeu(s->a + i, vexp(all(-RWKV7_RATE) * loadu(s->gate + i)));
        sigmoids(x + K, K, s->gate);
        k = x + 2 * K, v = k + K, q = v + V;
        for (int h = 0; h < H; h++) unit(k + h * d, s->b + h * d, d);
        for (int i = 0; i < K; i++) {
            s->r[i] = -s->gate[i] * s->b[i];
            s->k[i] = s->gate[i] * k[i];
        }
        k = s->k;
        break;
    case MODE_RWKV:
        for (int i = 0; i < K; i += WIDTH) {
            vec rate = vexp(vmax(vmin(loadu(x + i), all(30.0)), all(-700.0)));
            storeu(s->a + i, vexp(vmax(-rate, all(-700.0))));
        }
        k = x + K, v = k + K, q = v + V;
        memcpy(s->b, q + K, K * sizeof(double)); /* the bonus */
        break;
    case MODE_HAWK: {
        const double *in = x, *rate = x + 3 * V;
        sigmoids(x + V, V, s->a);
        sigmoids(x + 2 * V, V, s->gate);
        for (int i = 0; i < V; i++) {
            double log_decay = -rate[i] * s->a[i];
            s->a[i] = exp(log_decay);
            s->v[i] = sqrt(-expm1(2.0 * log_decay)) * (s->gate[i] * in[i]);
        }
        return;
    }
    case MODE_MLSTM: {
        double scale = 1.0 / sqrt((double)d);
        k = x + 2 * H, v = k + K;
        for (int h = 0; h < H; h++) { /* -log(1 + exp(-f)) */
            s->a[h] = -(x[h] > 0.0 ? log1p(exp(-x[h])) : log1p(exp(x[h])) - x[h]);
            s->gate[h] = x[H + h];
        }
        for (int i = 0; i < K; i++) s->q[i] = v[V + i] * scale;
        q = s->q;
        break;
    }
    case MODE_ROTARY: { /* pairs of dimensions as complex numbers; a is constant */
        const double *keys = x + H, *queries = keys + 2 * K + V;
        v = keys + 2 * K;
        for (int i = 0; i < K; i++) {
            s->k[i] = keys[2 * i], s->k[K + i] = -keys[2 * i + 1];
            s->q[i] = queries[2 * i], s->q[K + i] = queries[2 * i + 1];
        }
        k = s->k, q = s->q;
        break;
    }
    case MODE_LRU: /* a, k and q are constant */
        v = x + H + K;
        k = s->k, q = s->q;
        break;
    }
    if (k != s->k) memcpy(s->k, k, K * sizeof(double));
    if (q != s->q) memcpy(s->q, q, K * sizeof(double));
    if (v != s->v) memcpy(s->v, v, V * sizeof(double));
}

/* read = q' S, [dk] and [dk, dv] */
RA_INLINE void read_state(const double *q, const double *S, int dk, int dv, double *read) {
    for (int c = 0; c < dv; c++) read[c] = 0.0;
    for (int i = 0; i < dk; i++)
        for (int c = 0; c < dv; c++) read[c] += q[i] * S[i * dv + c];
}

/* S += r (b' found) of one head */
RA_INLINE void remove_found(const double *r, const double *b, const double *found, double *S, int dk,
                            int dv, double *scratch) {
    read_state(b, found, dk, dv, scratch);
    for (int i = 0; i < dk; i++)
        for (int c = 0; c < dv; c++) S[i * dv + c] += r[i] * scratch[c];
}

/* linear_step, product_step and dplr_step; dv is known to the compiler where it is 4 */
RA_INLINE void linear_kernel(Heads *s, const double *old, double *new, double *reads, int dv,
                             int removes, int dplr) {
    int H = s->n_heads, dk = s->d_key, n = s->n_sub;
    double *found = s->gate; /* free by now */
    for (int h = 0; h < H; h++) {
        const double *S = old + h * dk * dv;
        double *T = new + h * dk * dv;
        for (int i = 0; i < dk; i++)
            for (int c = 0; c < dv; c++) T[i * dv + c] = s->a[h * dk + i] * S[i * dv + c];
        for (int j = 0; j < n; j++) {
            int at = (j * H + h) * dk;
            const double *k = s->k + at, *v = s->v + (j * H + h) * dv;
            if (removes) remove_found(s->r + at, s->b + at, dplr ? S : T, T, dk, dv, found);
            for (int i = 0; i < dk; i++)
                for (int c = 0; c < dv; c++) T[i * dv + c] += k[i] * v[c];
        }
        read_state(s->q + h * dk, s->read_before ? S : T, dk, dv, reads + h * dv);
    }
}

RA_INLINE void linear_kernels(Heads *s, const double *old, double *new, double *reads) {
    int removes = s->mode == MODE_DELTA || s->mode == MODE_RWKV7, dplr = s->step == STEP_DPLR;
    if (s->d_value == 4 && removes && !dplr)
        linear_kernel(s, old, new, reads, 4, 1, 0);
    else if (s->d_value == 4 && !removes)
        linear_kernel(s, old, new, reads, 4, 0, 0);
    else
        linear_kernel(s, old, new, reads, s->d_value, removes, dplr);
}

static void bonus_kernel(Heads *s, double *reads) {
    int H = s->n_heads, dk = s->d_key, dv = s->d_value;
    for (int h = 0; h < H; h++) {
        double *read = reads + h * dv;
        for (int c = 0; c < dv; c++) read[c] = 0.0;
        for (int i = 0; i < dk; i++)
            for (int c = 0; c < dv; c++) {
                int key = h * dk + i, at = key * dv + c;
                double written = s->v[h * dv + c];
                read[c] += s->q[key] * (s->state[at] + (s->b[key] * s->k[key]) * written);
                s->next[at] = s->a[key] * s->state[at] + s->k[key] * written;
            }
    }
}

static void normalized_kernel(Heads *s, double *reads) {
    int H = s->n_heads, dk = s->d_key, dv = s->d_value, w = dv + 1;
    for (int h = 0; h < H; h++) {
        double weight = 0.0, *read = reads + h * dv;
        for (int c = 0; c < dv; c++) read[c] = 0.0;
        for (int i = 0; i < dk; i++) {
            int key = h * dk + i;
            const double *S = s->state + key * w;
            double *T = s->next + key * w;
            for (int c = 0; c < dv; c++) {
                T[c] = S[c] + s->k[key] * s->v[h * dv + c];
                read[c] += s->q[key] * T[c];
            }
            T[dv] = S[dv] + s->k[key];
            weight += s->q[key] * T[dv];
        }
        for (int c = 0; c < dv; c++) read[c] /= weight + NORMALIZER_EPS;
    }
}

static void mlstm_kernel(Heads *s, double *reads) {
    int H = s->n_heads, dk = s->d_key, dv = s->d_value, w = dv + 1;
    for (int h = 0; h < H; h++) {
        const double *S = s->state + h * (dk + 1) * w;
        double *T = s->next + h * (dk + 1) * w, *read = reads + h * dv, weight = 0.0;
        double forgotten = s->a[h] + S[dk * w + dv], m = dmax(forgotten, s->gate[h]);
        double keep = exp(forgotten - m), write = exp(s->gate[h] - m);
        for (int c = 0; c < dv; c++) read[c] = 0.0;
        for (int i = 0; i < dk; i++) {
            int key = h * dk + i;
            double written = write * s->k[key];
            for (int c = 0; c < dv; c++) {
                T[i * w + c] = keep * S[i * w + c] + written * s->v[h * dv + c];
                read[c] += s->q[key] * T[i * w + c];
            }
            T[i * w + dv] = keep * S[i * w + dv] + written;
            weight += s->q[key] * T[i * w + dv];
        }
        for (int c = 0; c < dv; c++) T[dk * w + c] = 0.0;
        T[dk * w + dv] = m;
        double bound = dmax(fabs(weight), exp(dmin(-m, 709.0))) + MLSTM_EPS;
        for (int c = 0; c < dv; c++) read[c] /= bound;
    }
}

/* states are [2][H, dk, dv]: real parts, imaginary parts; so are a, k and q */
static void complex_kernel(Heads *s, double *reads) {
    int H = s->n_heads, dk = s->d_key, dv = s->d_value, K = H * dk, half = K * dv;
    for (int h = 0; h < H; h++) {
        double *read = reads + h * dv;
        for (int c = 0; c < dv; c++) read[c] = 0.0;
        for (int i = 0; i < dk; i++) {
            int key = h * dk + i;
            for (int c = 0; c < dv; c++) {
                int at = key * dv + c;
                double re = s->state[at], im = s->state[half + at], v = s->v[h * dv + c];
                double new_re = s->a[key] * re - s->a[K + key] * im + s->k[key] * v;
                double new_im = s->a[key] * im + s->a[K + key] * re + s->k[K + key] * v;
                s->next[at] = new_re, s->next[half + at] = new_im;
                read[c] += s->read_before ? s->q[key] * re - s->q[K + key] * im
                                          : s->q[key] * new_re - s->q[K + key] * new_im;
            }
        }
    }
}

/* levels of a Fenwick tree, and the number of tokens in front of what is left of the last slot */
static void log_linear_kernel(Heads *s, double *reads) {
    int H = s->n_heads, dk = s->d_key, dv = s->d_value, size = H * dk * dv, L = s->n_levels;
    int removes = s->mode == MODE_DELTA;
    double *levels = s->next, *found = s->gate;
    int64_t n = (int64_t)s->state[L * size];
    memcpy(levels, s->state, (L + 1) * size * sizeof(double));
    if (n) {
        int target = 0;
        while (((n - 1) >> target) & 1) target++;
        target = target + 1 < L - 1 ? target + 1 : L - 1;
        for (int l = 0; l < target; l++)
            for (int i = 0; i < size; i++) {
                levels[target * size + i] += levels[l * size + i];
                levels[l * size + i] = 0.0;
            }
    }
    int used = 1;
    while (used < L && (n >> (used - 1))) used++;
    for (int i = 0; i < H * dv; i++) reads[i] = 0.0;
    for (int l = 0; l < used; l++)
        for (int h = 0; h < H; h++) {
            double *S = levels + l * size + h * dk * dv;
            for (int i = 0; i < dk; i++)
                for (int c = 0; c < dv; c++) S[i * dv + c] *= s->a[h * dk + i];
            if (removes) remove_found(s->r + h * dk, s->b + h * dk, S, S, dk, dv, found);
            for (int i = 0; i < dk; i++)
                for (int c = 0; c < dv; c++) {
                    if (!l) S[i * dv + c] += s->k[h * dk + i] * s->v[h * dv + c];
                    reads[h * dv + c] += s->q[h * dk + i] * (s->level_weights[l] * S[i * dv + c]);
                }
        }
    levels[L * size] = (double)(n + 1);
}

/* the reads for inputs u [n_inputs]; the new state waits in next */
RA_INLINE void heads_propose(Heads *s, const double *u, double *reads) {
    /* four vectors at a time: one would wait for itself */
    int i = 0, stride = s->stride;
    for (; i + 4 * WIDTH <= stride; i += 4 * WIDTH) {
        const double *w = s->weights + i;
        vec x[4];
        for (int c = 0; c < 4; c++) x[c] = load(s->bias + i + c * WIDTH);
        for (int j = 0; j < s->n_inputs; j++, w += stride)
            for (int c = 0; c < 4; c++) x[c] += load(w + c * WIDTH) * all(u[j]);
        for (int c = 0; c < 4; c++) store(s->x + i + c * WIDTH, x[c]);
    }
    for (; i < stride; i += WIDTH) {
        vec even = load(s->bias + i), odd = all(0.0);
        const double *w = s->weights + i;
        for (int j = 0; j + 1 < s->n_inputs; j += 2, w += 2 * stride) {
            even += load(w) * all(u[j]);
            odd += load(w + stride) * all(u[j + 1]);
        }
        if (s->n_inputs % 2) even += load(w) * all(u[s->n_inputs - 1]);
        store(s->x + i, even + odd);
    }
    heads_token(s);
    switch (s->step) {
    case STEP_LINEAR:
    case STEP_DPLR:
        linear_kernels(s, s->state, s->next, reads);
        break;
    case STEP_BONUS:
        bonus_kernel(s, reads);
        break;
    case STEP_DIAGONAL:
        for (int i = 0; i < s->size; i++)
            reads[i] = s->next[i] = s->a[i] * s->state[i] + s->v[i];
        break;
    case STEP_NORMALIZED:
        normalized_kernel(s, reads);
        break;
    case STEP_MLSTM:
        mlstm_kernel(s, reads);
        break;
    case STEP_COMPLEX:
        complex_kernel(s, reads);
        break;
    case STEP_LOG_LINEAR:
        log_linear_kernel(s, reads);
        break;
    }
}

RA_INLINE void heads_commit(Heads *s) {
    double *old = s->state;
    s->state = s->next;
    s->next = old;
}

#endif
