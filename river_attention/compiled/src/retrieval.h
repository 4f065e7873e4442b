/* Softmax attention over the exact past: the twin of layers/retrieval.py and class_retrieval.py.
 *
 * Stored steps stand column by column, so that several of them are looked at together. Everything is
 * counted from the oldest step of the window, wherever that stands in the buffers: the same steps
 * give the same bits.
 */
#ifndef RA_RETRIEVAL_H
#define RA_RETRIEVAL_H

#include "vec.h"

#define FADING 0.9
#define N_METRICS 2
#define N_TEMPERATURES 3
#define N_RETRIEVED (N_METRICS * N_TEMPERATURES)
#define FIRST_TEMPERATURE 0.1
#define FEWEST 5
#define RESIDUAL_LIMIT 10.0
#define FARTHEST_EXPONENT -40.0
#define ALIKE 1e-12
#define SETTLED_STEPS 400
#define FREQUENCY_VOTES 2.0
#define BANKS 4

static const double METRICS[N_METRICS] = {0.3, 10.0};

typedef struct {
    int window, n, end, width, n_inputs, stride /* of columns: 2 window, padded */;
    int m, row;                 /* targets, and the stride of their rows of distances */
    int64_t n_appended, seen_at, next_seen_at;
    int next_n;
    double *x /* [n_inputs][stride] */, *norm /* [stride] */;
    double *delta, *residual;   /* [m][stride] */
    double *known;              /* of several: whether a label was there [m][stride], else NULL */
    double *distance, *next;    /* [m][window]: for stored steps, those of the newest last */
    double *scores[N_METRICS];  /* of the last proposal [window]; and what makes exponents of them */
    double lowest[N_METRICS], cold[N_METRICS];
    double *terms;              /* 1 / (1 - 0.9^k) [window + SETTLED_STEPS] */
    double farthest;            /* squared difference of last steps: 1 where they are classes */
    double *ballots;            /* of classes: scratch [BANKS][classes][BANKS] */
} Retrieval;

/* a row of D of the step seen last, moved on by what was stored since; n entries */
static const double *moved_row(const Retrieval *s, const double *distance, double *scratch) {
    int64_t window = s->window, shift = s->n_appended - s->seen_at - 1;
    if (shift != 0) {
        memset(scratch, 0, window * sizeof(double));
        if (shift > 0 && shift < window)
            memcpy(scratch, distance + shift, (window - shift) * sizeof(double));
        else if (shift == -1)
            memcpy(scratch + 1, distance, (window - 1) * sizeof(double));
        distance = scratch;
    }
    return distance + window - s->n;
}

typedef struct {
    const double *norm, *delta, *residual, *moved, *terms, *x;
    double *next;
    double delta_now, x_length;
    const double *x_now;
} Look;

RA_INLINE void score_some(const Retrieval *s, const Look *look, int i, ivec here, vec *totals,
                           vec *lowest) {
    vec d = loadu(look->delta + i) - all(look->delta_now);
    d = vmin(d * d, all(s->farthest)) + all(FADING) * loadu(look->moved + i);
    storeu(look->next + i, d);
    if (look->terms) d = d * loadu(look->terms + i);
    vec apart = all(0.0);
    if (s->n_inputs) {
        for (int j = 0; j < s->n_inputs; j++)
            apart += loadu(look->x + (size_t)j * s->stride + i) * all(look->x_now[j]);
        apart = apart * all(-2.0) + loadu(look->norm + i) + all(look->x_length);
    }
    for (int m = 0; m < N_METRICS; m++) {
        vec score = apart * all(METRICS[m]) + d;
        store(s->scores[m] + i, score);
        totals[m] += choose(here, score, all(0.0));
        lowest[m] = vmin(choose(here, score, all(INFINITY)), lowest[m]);
    }
}

RA_INLINE ivec up_to(int n) {
    ivec mask;
    for (int k = 0; k < WIDTH; k++) LANE(mask, k) = k < n ? -1 : 0;
    return mask;
}

/* the scores for a situation [1 + n_inputs]; the distances wait in next */
RA_INLINE Look retrieval_look(Retrieval *s, const double *situation) {
    int n = s->n, start = s->end - n, whole = n & ~(WIDTH - 1);
    int64_t first = s->n_appended - n;
    vec totals[N_METRICS], lowest[N_METRICS];
    double x_length = 0.0;
    for (int j = 0; j < s->n_inputs; j++) x_length += situation[1 + j] * situation[1 + j];
    Look look = {s->norm + start, s->delta + start, s->residual + start,
                 moved_row(s, s->distance, s->scores[0]), first < SETTLED_STEPS ? s->terms + first + 1 : NULL,
                 s->x + start, s->next + s->window - n, situation[0], x_length, situation + 1};
    for (int m = 0; m < N_METRICS; m++) totals[m] = all(0.0), lowest[m] = all(INFINITY);
    ivec rest = up_to(n - whole), whole_mask = up_to(WIDTH);
    for (int i = 0; i < whole; i += WIDTH) score_some(s, &look, i, whole_mask, totals, lowest);
    if (whole < n) score_some(s, &look, whole, rest, totals, lowest);
    s->next_n = n;
    s->next_seen_at = s->n_appended;
    if (n < FEWEST) return look;
    for (int m = 0; m < N_METRICS; m++) {
        double mean = sum(totals[m]) / n;
        int alike = !(mean > ALIKE);
        s->lowest[m] = least(lowest[m]);
        s->cold[m] = alike ? 0.0 : -1.0 / (FIRST_TEMPERATURE * mean);
    }
    return look;
}

/* some weights of the warmest read of a metric */
RA_INLINE vec retrieval_weights(const Retrieval *s, int m, int i) {
    vec z = (load(s->scores[m] + i) - all(s->lowest[m])) * all(s->cold[m]);
    return vexp(vmax(z, all(FARTHEST_EXPONENT)));
}

/* the reads [6] for a situation [1 + n_inputs] */
RA_INLINE void retrieval_propose(Retrieval *s, const double *situation, double *reads) {
    Look look = retrieval_look(s, situation);
    int n = s->n, whole = n & ~(WIDTH - 1);
    ivec rest = up_to(n - whole);
    for (int r = 0; r < N_RETRIEVED; r++) reads[r] = 0.0;
    if (n < FEWEST) return;
    for (int m = 0; m < N_METRICS; m++) {
        vec weight[N_TEMPERATURES], read[N_TEMPERATURES];
        for (int k = 0; k < N_TEMPERATURES; k++) weight[k] = read[k] = all(0.0);
        for (int i = 0; i < n; i += WIDTH) {
            vec e = retrieval_weights(s, m, i);
            vec r = loadu(look.residual + i);
            if (i == whole) {
                e = choose(rest, e, all(0.0));
                r = choose(rest, r, all(0.0));
            }
            for (int k = 0; k < N_TEMPERATURES; k++) {
                if (k) e = e * e, e = e * e; /* temperatures are a factor 4 apart */
                weight[k] += e;
                read[k] += e * r;
            }
        }
        for (int k = 0; k < N_TEMPERATURES; k++)
            reads[m * N_TEMPERATURES + k] = sum(read[k]) / sum(weight[k]);
    }
}

/* add some weights of every temperature to the sums of their classes */
RA_INLINE void retrieval_count(Retrieval *s, int n_classes, vec classes, const vec *weights) {
    for (int i = 0; i < WIDTH; i++) {
        /* neighbours are of one class often: sums of their own need not wait for each other */
        double *of_class = s->ballots + ((i % BANKS) * n_classes + (int)LANE(classes, i)) * BANKS;
        for (int k = 0; k < N_TEMPERATURES; k++) of_class[k] += LANE(weights[k], i);
    }
}

/* the probabilities of the classes [6][n_classes] for a situation [1 + n_inputs] */
RA_INLINE void retrieval_vote(Retrieval *s, const double *situation, const double *frequencies,
                              int n_classes, double *votes) {
    Look look = retrieval_look(s, situation);
    int n = s->n, whole = n & ~(WIDTH - 1);
    ivec rest = up_to(n - whole);
    if (n < FEWEST) {
        for (int r = 0; r < N_RETRIEVED; r++)
            memcpy(votes + r * n_classes, frequencies, n_classes * sizeof(double));
        return;
    }
    for (int m = 0; m < N_METRICS; m++) {
        vec weight[N_TEMPERATURES], square[N_TEMPERATURES], second[N_TEMPERATURES];
        for (int k = 0; k < N_TEMPERATURES; k++) weight[k] = square[k] = second[k] = all(0.0);
        if (n_classes > 2) memset(s->ballots, 0, BANKS * n_classes * BANKS * sizeof(double));
        for (int i = 0; i < n; i += WIDTH) {
            vec e[N_TEMPERATURES], label = loadu(look.residual + i);
            e[0] = retrieval_weights(s, m, i);
            if (i == whole) {
                e[0] = choose(rest, e[0], all(0.0));
                label = choose(rest, label, all(0.0));
            }
            for (int k = 0; k < N_TEMPERATURES; k++) {
                if (k) e[k] = e[k - 1] * e[k - 1], e[k] = e[k] * e[k];
                weight[k] += e[k];
                square[k] += e[k] * e[k];
                second[k] += e[k] * label;
            }
            if (n_classes > 2) retrieval_count(s, n_classes, label, e);
        }
        for (int k = 0; k < N_TEMPERATURES; k++) {
            double *p = votes + (m * N_TEMPERATURES + k) * n_classes, total = sum(weight[k]);
            double per_sum = total / sum(square[k]), scale = 1.0 / (total * per_sum + FREQUENCY_VOTES);
            for (int c = 0; c < n_classes; c++) {
                double of_class = 0.0;
                if (n_classes == 2)
                    of_class = c ? sum(second[k]) : dmax(total - sum(second[k]), 0.0);
                else
                    for (int b = 0; b < BANKS; b++)
                        of_class += s->ballots[(b * n_classes + c) * BANKS + k];
                p[c] = (of_class * per_sum + FREQUENCY_VOTES * frequencies[c]) * scale;
            }
        }
    }
}

RA_INLINE void retrieval_commit(Retrieval *s) {
    double *old = s->distance;
    for (int t = 0; t < s->m; t++)
        memset(s->next + t * s->row, 0, (s->window - s->next_n) * sizeof(double));
    s->distance = s->next;
    s->next = old;
    s->seen_at = s->next_seen_at;
}

/* keep the last of n rows of numbers, from the beginning of each on */
static void keep_rows(double *rows, int n, size_t stride, int from, int keep) {
    for (int i = 0; i < n; i++)
        memmove(rows + i * stride, rows + i * stride + from, keep * sizeof(double));
}

/* the input of one more step; labels come beside it */
static void retrieval_append(Retrieval *s, const double *inputs, int n_inputs) {
    if (s->end == 2 * s->window) {
        int keep = s->n < s->window - 1 ? s->n : s->window - 1, from = s->end - keep;
        keep_rows(s->norm, 1, s->stride, from, keep);
        keep_rows(s->delta, s->m, s->stride, from, keep);
        keep_rows(s->residual, s->m, s->stride, from, keep);
        if (s->known) keep_rows(s->known, s->m, s->stride, from, keep);
        keep_rows(s->x, s->n_inputs, s->stride, from, keep);
        s->n = s->end = keep;
    }
    double length = 0.0;
    for (int j = 0; j < s->n_inputs; j++) {
        double x = j < n_inputs ? inputs[j] : 0.0;
        s->x[(size_t)j * s->stride + s->end] = x;
        length += x * x;
    }
    s->norm[s->end] = length;
    if (n_inputs > s->width) s->width = n_inputs;
    s->end++;
    if (s->n < s->window) s->n++;
    s->n_appended++;
}

/* store a situation with its label */
static void retrieval_learn(Retrieval *s, const double *situation, int n_inputs, double label) {
    retrieval_append(s, situation + 1, n_inputs);
    s->delta[s->end - 1] = situation[0];
    s->residual[s->end - 1] = label;
}

#endif
