/* The mixture of experts on classes: the twin of readout/classes.py, logistic.py, class_counts.py
 * and opinion_pool.py. */
#ifndef RA_CLASSES_H
#define RA_CLASSES_H

#include "rls.h"

#define CLASS_FLOOR 1e-3
#define CLASS_WEIGHT 1e6
#define SMALLEST_CURVATURE 1e-3
#define LARGEST_LOGIT 100.0
#define SMALLEST_PROBABILITY 1e-30
#define COUNT_MEMORY 1000.0
#define COUNT_SHRINKAGE 2.0
#define N_LAST 16
#define NOBODY -1
#define NOBODY_ELSE 1e-30

enum { GIVEN, LOGISTIC, CODES, POOLED };

typedef struct {
    int kind, start, length; /* the part of the evidence */
    RLS *rls;
} ClassExpert;

typedef struct {
    int n, n_classes, n_votes;
    ClassExpert *experts; /* the last one is the pool of the votes and all others */
    double *shares, *mean_losses, *losses;
    int64_t n_losses;
    double *counts, *pairs /* [N_LAST + 1][n_classes] */, *frequencies, *log_frequencies;
    double *errors /* scratch [n_classes] */;
    /* of the last answers: logarithms of all rows but the last, and what the pool made of them */
    double *logs, *pooled;
} ClassPool;

static void counts_refresh(ClassPool *s) {
    double total = 0.0;
    for (int k = 0; k < s->n_classes; k++) total += s->counts[k];
    for (int k = 0; k < s->n_classes; k++) {
        s->frequencies[k] = (s->counts[k] + 1.0) / (total + s->n_classes);
        s->log_frequencies[k] = log(s->frequencies[k]);
    }
}

static void count_in(double *row, int n, int y, double w) {
    double total = 0.0;
    row[y] += w;
    for (int k = 0; k < n; k++) total += row[k];
    if (total > COUNT_MEMORY)
        for (int k = 0; k < n; k++) row[k] *= COUNT_MEMORY / total;
}

static void counts_update(ClassPool *s, int last, int y, double w) {
    w = dmin(w, COUNT_MEMORY);
    count_in(s->counts, s->n_classes, y, w);
    if (last != NOBODY)
        count_in(s->pairs + (last < N_LAST ? last : N_LAST) * s->n_classes, s->n_classes, y, w);
    counts_refresh(s);
}

static void counts_given(const ClassPool *s, int last, double *p) {
    if (last == NOBODY) {
        memcpy(p, s->frequencies, s->n_classes * sizeof(double));
        return;
    }
    const double *row = s->pairs + (last < N_LAST ? last : N_LAST) * s->n_classes;
    double total = 0.0;
    for (int k = 0; k < s->n_classes; k++) total += row[k];
    for (int k = 0; k < s->n_classes; k++)
        p[k] = (row[k] + COUNT_SHRINKAGE * s->frequencies[k]) / (total + COUNT_SHRINKAGE);
}

RA_INLINE double score(const RLS *s, int target) {
    return dot(s->w + target * s->size, s->phi, s->size);
}

/* logits of a logistic regression [K], probabilities of codes [K] */
static void class_answer(const ClassPool *s, const ClassExpert *expert, double *out) {
    const RLS *rls = expert->rls;
    int K = s->n_classes;
    if (expert->kind == LOGISTIC) {
        for (int k = 0; k < K; k++)
            out[k] = s->log_frequencies[k] + (K > 2 ? score(rls, k) : k ? score(rls, 0) : 0.0);
    } else if (K == 2) {
        out[1] = dmin(dmax(s->frequencies[1] + 0.5 * score(rls, 0), 1e-3), 0.999);
        out[0] = 1.0 - out[1];
    } else {
        double total = 0.0;
        for (int k = 0; k < K; k++) {
            out[k] = dmin(dmax(s->frequencies[k] + 0.5 * score(rls, k), 1e-3), 0.999);
            total += out[k];
        }
        for (int k = 0; k < K; k++) out[k] /= total;
    }
}

static void softmax(double *logits, int n) {
    double largest = -INFINITY, total = 0.0;
    for (int k = 0; k < n; k++) largest = dmax(logits[k], largest);
    for (int k = 0; k < n; k++) total += logits[k] = exp(logits[k] - largest);
    for (int k = 0; k < n; k++) logits[k] /= total;
}

RA_INLINE double raised_to_floor(double p, int n) { return p * (1.0 - CLASS_FLOOR) + CLASS_FLOOR / n; }

/* what the pool makes of the logarithms of all other rows */
static void pool_answer(ClassPool *s, const RLS *rls) {
    int K = s->n_classes, n = rls->p;
    for (int k = 0; k < K; k++) s->pooled[k] = 0.0;
    for (int r = 0; r < n; r++)
        for (int k = 0; k < K; k++) s->pooled[k] += (rls->w[r] + 1.0 / n) * s->logs[r * K + k];
    softmax(s->pooled, K);
}

/* the probabilities of all experts [J, K] join the evidence, behind the votes [V, K] */
static void classes_answer(ClassPool *s, const double *evidence, double *rows) {
    int K = s->n_classes, n_rows = s->n_votes + s->n - 1;
    for (int i = 0; i < s->n - 1; i++) {
        const ClassExpert *expert = s->experts + i;
        double *out = rows + (s->n_votes + i) * K;
        if (expert->kind == GIVEN) {
            counts_given(s, (int)evidence[expert->start], out);
        } else {
            rls_see(expert->rls, evidence + expert->start, expert->length);
            class_answer(s, expert, out);
            if (expert->kind == LOGISTIC) softmax(out, K);
        }
    }
    for (int i = 0; i < n_rows * K; i++) {
        rows[i] = raised_to_floor(rows[i], K);
        s->logs[i] = log(rows[i]);
    }
    pool_answer(s, s->experts[s->n - 1].rls);
    for (int k = 0; k < K; k++) rows[n_rows * K + k] = raised_to_floor(s->pooled[k], K);
}

static double curvature(double omega, double p) {
    if (p < 0.499) {
        p = dmax(p, SMALLEST_PROBABILITY);
        omega = dmax(omega, (0.5 - p) / log((1.0 - p) / p));
    }
    return dmax(omega, SMALLEST_CURVATURE);
}

RA_INLINE void class_learn(ClassPool *s, const ClassExpert *expert, int y, double w) {
    RLS *rls = expert->rls;
    int K = s->n_classes;
    double *errors = s->errors;
    if (expert->kind == LOGISTIC && K == 2) {
        double z = s->log_frequencies[1] - s->log_frequencies[0] + score(rls, 0);
        double p = 1.0 / (1.0 + exp(-clip(z, LARGEST_LOGIT)));
        double omega = curvature(p * (1.0 - p), y ? p : 1.0 - p);
        errors[0] = (y - p) / omega;
        rls_correct(rls, errors, w * omega);
    } else if (expert->kind == LOGISTIC) {
        double squares = 0.0;
        class_answer(s, expert, errors);
        softmax(errors, K);
        for (int k = 0; k < K; k++) squares += errors[k] * errors[k];
        double omega = curvature(0.5 * (1.0 - squares), errors[y]);
        for (int k = 0; k < K; k++) errors[k] = ((k == y) - errors[k]) / omega;
        rls_correct(rls, errors, w * omega);
    } else {
        double squares = 0.0;
        int m = rls->m;
        if (K == 2)
            errors[0] = 2.0 * (y - s->frequencies[1]);
        else
            for (int k = 0; k < K; k++) errors[k] = 2.0 * (k == y) - 2.0 * s->frequencies[k];
        for (int k = 0; k < m; k++) {
            errors[k] -= score(rls, k);
            squares += errors[k] * errors[k];
        }
        rls_correct(rls, errors, isfinite(squares) ? w : 0.0);
    }
}

/* the pool learns a class with what it made of the last answers; see LogLinearPool.update */
RA_INLINE void pool_learn(ClassPool *s, RLS *rls, int y, double w) {
    int K = s->n_classes;
    double p = s->pooled[y], rest = 0.0;
    for (int k = 0; k < K; k++) rest += k == y ? 0.0 : s->pooled[k];
    for (int r = 0; r < rls->p; r++) {
        const double *said = s->logs + r * K;
        double others = 0.0;
        for (int k = 0; k < K; k++) others += k == y ? 0.0 : s->pooled[k] * said[k];
        rls->phi[r] = rest > NOBODY_ELSE ? said[y] - others / rest : 0.0;
    }
    double omega = curvature(p * rest, p), error = rest / omega;
    rls_correct(rls, &error, w * omega);
}

/* answers that were made earlier are the last ones again; what the pool makes of them it makes now */
RA_INLINE void classes_recall(ClassPool *s, const double *rows) {
    int K = s->n_classes, n_rows = s->n_votes + s->n - 1;
    for (int i = 0; i < n_rows * K; i++) s->logs[i] = log(rows[i]);
    pool_answer(s, s->experts[s->n - 1].rls);
}

/* learn a class with the answers made last */
RA_INLINE void classes_train(ClassPool *s, const double *evidence, const double *rows, int last,
                             int y, double w) {
    int K = s->n_classes;
    const double *answers = rows + s->n_votes * K;
    for (int i = 0; i < s->n; i++) {
        const ClassExpert *expert = s->experts + i;
        if (expert->kind == POOLED) {
            pool_learn(s, expert->rls, y, w);
        } else if (expert->kind != GIVEN) {
            rls_see(expert->rls, evidence + expert->start, expert->length);
            class_learn(s, expert, y, w);
        }
    }
    if (!(w > 0.0)) return;
    counts_update(s, last, y, w);
    double least_loss = INFINITY, total = 0.0, rate = running_rate(++s->n_losses, FORGETTING_RATE);
    for (int i = 0; i < s->n; i++) {
        s->losses[i] = -log(answers[i * K + y]);
        least_loss = dmin(s->losses[i], least_loss);
        s->mean_losses[i] += rate * (s->losses[i] - s->mean_losses[i]);
    }
    for (int i = 0; i < s->n; i++) {
        double weighted = dmin(w, CLASS_WEIGHT) * (s->losses[i] - least_loss);
        s->losses[i] = s->shares[i] * exp(-weighted);
        total += s->losses[i];
    }
    total = (1.0 - 0.005) / total;
    for (int i = 0; i < s->n; i++) s->shares[i] = s->losses[i] * total + 0.005 / s->n;
}

static void classes_reopen(ClassPool *s) {
    for (int i = 0; i < s->n; i++) {
        if (s->experts[i].rls) rls_reopen(s->experts[i].rls);
        s->shares[i] = 1.0 / s->n;
    }
}

#endif
