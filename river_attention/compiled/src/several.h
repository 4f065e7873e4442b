/* Several targets: the twin of core/several.py, core/targets.py, readout/several.py and
 * layers/retrieval_of_several.py. In everything that has rows, a row is a target. */
#ifndef RA_SEVERAL_H
#define RA_SEVERAL_H

#include "pool.h"
#include "retrieval.h"
#include "target.h"

enum { EXPERT_GIVEN, EXPERT_SHARED, EXPERT_OWN };

typedef struct {
    int kind, start, length, step; /* the part, and how far that of the next target is from it */
    int huber;
    RLS **rls;                     /* EXPERT_SHARED: one of m targets; EXPERT_OWN: m of one */
    HuberScale *scales;            /* EXPERT_SHARED: [m] */
} ExpertOfSeveral;

typedef struct {
    int m, n_own, n_long, n_experts, has_retrieval;
    /* where parts of the evidence stand, -1 for none */
    int situation, anchor, known, prediction, last, mean, retrieved, long_part, answers;
    int *own;                      /* columns of the inputs that are no past targets [n_own] */
    Target *targets;               /* moments stand beside, so theirs are not used */
    Moments moments;               /* of values and differences in turn [2 m] */
    ExpertOfSeveral *experts;
    Pool *pools;                   /* shares of every target */
    Retrieval retrieval;
    Moments read_moments;          /* [6 m] */
    double *reads, *scaled;        /* [6 m] */
    double *apart;                 /* of the inputs of stored steps [window] */
    double *columns;               /* [2 m] */
    double *r, *errors, *omega;    /* [m] */
    int *seen;                     /* [m] */
    double *delta, *present;       /* scratch for moments */
} Several;

/* what a target is without its moments, which stand in columns 2 j and 2 j + 1 */
RA_INLINE void several_derive(Several *s) {
    for (int j = 0; j < s->m; j++) {
        Target *t = s->targets + j;
        t->mean = s->moments.mean[2 * j];
        /* an inverse of 0 stands for a divisor of infinity */
        t->spread = s->moments.inverse[2 * j] == 0.0 ? 0.0 : sqrt(s->moments.variance[2 * j]);
        target_place(t);
    }
}

/* labels [m] become the past, NaN where they are missing */
RA_INLINE void several_join(Several *s, const double *y) {
    int some = 0, all_moved = 1;
    for (int j = 0; j < s->m; j++) {
        double difference = y[j] - s->targets[j].last;
        s->columns[2 * j] = y[j];
        s->columns[2 * j + 1] = difference;
        some |= y[j] == y[j];
        all_moved &= difference == difference;
    }
    if (!some) return;
    moments_update(&s->moments, s->columns, all_moved, s->delta, s->present);
    for (int j = 0; j < s->m; j++) {
        Target *t = s->targets + j;
        double difference = s->columns[2 * j + 1], step = fabs(difference);
        if (y[j] != y[j]) continue;
        if (difference == difference) {
            int constant = s->moments.inverse[2 * j + 1] == 0.0;
            double spread = sqrt(s->moments.variance[2 * j + 1]);
            t->delta = constant ? 0.0 : clip(difference / spread, LAG_LIMIT);
            target_shift(t, y[j]);
            if (t->step_size.n || step != 0.0) robust_mean_update(&t->step_size, step);
        } else {
            for (int i = 0; i < t->n_lags; i++) t->raw_lags[i] = y[j];
        }
        t->last = y[j];
        t->low = dmin(t->low, y[j]);
        t->high = dmax(t->high, y[j]);
    }
    several_derive(s);
}

/* the reads [6] of a target, whose last step was delta; apart is how far the inputs are */
RA_INLINE void several_look_back(Several *several, int target, double delta, double *reads) {
    Retrieval *s = &several->retrieval;
    int n = s->n, start = s->end - n, whole = n & ~(WIDTH - 1);
    int64_t first = s->n_appended - n;
    size_t row = (size_t)target * s->stride + start;
    const double *deltas = s->delta + row, *residuals = s->residual + row, *known = s->known + row;
    const double *moved = moved_row(s, s->distance + target * s->row, s->scores[0]);
    const double *terms = first < SETTLED_STEPS ? s->terms + first + 1 : NULL;
    double *next = s->next + target * s->row + s->window - n;
    vec totals[N_METRICS], lowest[N_METRICS], count = all(0.0);
    for (int m = 0; m < N_METRICS; m++) totals[m] = all(0.0), lowest[m] = all(INFINITY);
    for (int i = 0; i < n; i += WIDTH) {
        vec d = loadu(deltas + i) - all(delta), here = loadu(known + i);
        d = d * d + all(FADING) * loadu(moved + i);
        storeu(next + i, d);
        if (terms) d = d * loadu(terms + i);
        ivec counts = (ivec)(here > all(0.0));
        if (i == whole) counts &= up_to(n - whole);
        count += choose(counts, all(1.0), all(0.0));
        for (int m = 0; m < N_METRICS; m++) {
            vec score = load(several->apart + i) * all(METRICS[m]) + d;
            store(s->scores[m] + i, score);
            totals[m] += choose(counts, score, all(0.0));
            lowest[m] = vmin(choose(counts, score, all(INFINITY)), lowest[m]);
        }
    }
    double n_known = sum(count);
    for (int r = 0; r < N_RETRIEVED; r++) reads[r] = 0.0;
    if (n_known < FEWEST) return;
    for (int m = 0; m < N_METRICS; m++) {
        double mean = sum(totals[m]) / n_known;
        s->lowest[m] = least(lowest[m]);
        s->cold[m] = mean > ALIKE ? -1.0 / (FIRST_TEMPERATURE * mean) : 0.0;
        vec weight[N_TEMPERATURES], read[N_TEMPERATURES];
        for (int k = 0; k < N_TEMPERATURES; k++) weight[k] = read[k] = all(0.0);
        for (int i = 0; i < n; i += WIDTH) {
            /* steps without a label may be nearer than the nearest with one */
            vec z = (load(s->scores[m] + i) - all(s->lowest[m])) * all(s->cold[m]);
            vec e = vexp(vmin(vmax(z, all(FARTHEST_EXPONENT)), all(0.0)));
            vec r = loadu(residuals + i), here = loadu(known + i);
            ivec counts = (ivec)(here > all(0.0));
            if (i == whole) counts &= up_to(n - whole);
            e = choose(counts, e, all(0.0));
            r = choose(counts, r, all(0.0));
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

/* the reads [m][6] for a situation [m + n_own] */
RA_INLINE void several_retrieve(Several *several, const double *situation) {
    Retrieval *s = &several->retrieval;
    int n = s->n, start = s->end - n;
    const double *now = situation + several->m;
    double length = 0.0;
    for (int j = 0; j < s->n_inputs; j++) length += now[j] * now[j];
    for (int i = 0; i < n; i += WIDTH) {
        vec apart = all(0.0);
        for (int j = 0; j < s->n_inputs; j++)
            apart += loadu(s->x + (size_t)j * s->stride + start + i) * all(now[j]);
        if (s->n_inputs) apart = apart * all(-2.0) + loadu(s->norm + start + i) + all(length);
        store(several->apart + i, apart);
    }
    s->next_n = n;
    s->next_seen_at = s->n_appended;
    for (int j = 0; j < several->m; j++)
        several_look_back(several, j, situation[j], several->reads + j * N_RETRIEVED);
}

/* what every target has of its own, and what the experts say, join an evidence with its inputs */
RA_INLINE void several_answer(Several *s, double *evidence, const double *inputs) {
    int m = s->m;
    double *situation = evidence + s->situation, *own = situation + m;
    for (int i = 0; i < s->n_own; i++) own[i] = inputs[s->own[i]];
    for (int j = 0; j < m; j++) {
        const Target *t = s->targets + j;
        situation[j] = t->delta;
        evidence[s->anchor + j] = t->anchor;
        evidence[s->known + j] = t->last == t->last;
        target_in_units(t, evidence + s->last + j, evidence + s->mean + j);
    }
    if (s->has_retrieval) {
        several_retrieve(s, situation);
        memcpy(evidence + s->retrieved, s->reads, N_RETRIEVED * m * sizeof(double));
        standardise(s->reads, s->read_moments.mean, s->read_moments.inverse, N_RETRIEVED * m,
                    READ_LIMIT, s->scaled);
    }
    if (s->long_part >= 0) {
        double *row = evidence + s->long_part;
        for (int j = 0; j < m; j++) {
            memcpy(row, s->targets[j].lags, s->n_long * sizeof(double));
            row += s->n_long;
            if (s->has_retrieval) {
                memcpy(row, s->scaled + j * N_RETRIEVED, N_RETRIEVED * sizeof(double));
                row += N_RETRIEVED;
            }
            *row++ = 1.0;
            memcpy(row, own, s->n_own * sizeof(double));
            row += s->n_own;
        }
    }
    double *answers = evidence + s->answers;
    int n = s->n_experts;
    for (int k = 0; k < n; k++) {
        const ExpertOfSeveral *expert = s->experts + k;
        const double *part = evidence + expert->start;
        RLS *rls = expert->kind == EXPERT_GIVEN ? NULL : expert->rls[0];
        if (expert->kind == EXPERT_SHARED) rls_see(rls, part, expert->length);
        for (int j = 0; j < m; j++) {
            double answer;
            if (expert->kind == EXPERT_GIVEN) {
                answer = part[j * expert->step];
            } else if (expert->kind == EXPERT_SHARED) {
                answer = dot(rls->w + j * rls->size, rls->phi, rls->size);
            } else {
                rls_see(expert->rls[j], part + j * expert->step, expert->length);
                answer = rls_predict(expert->rls[j]);
            }
            answers[j * n + k] = limited(answer);
        }
    }
    for (int j = 0; j < m; j++)
        evidence[s->prediction + j] = mixture(s->pools + j, answers + j * n);
}

/* the prediction of a target in its units */
static double several_value(const Several *s, const double *evidence, int j) {
    return target_restore(s->targets + j, evidence[s->prediction + j]);
}

/* labels r [m] of the targets that were seen, for one RLS of all targets; see SharedLinear.update */
RA_INLINE void several_learn_shared(Several *s, const ExpertOfSeveral *expert, const double *part,
                                    double w) {
    RLS *rls = expert->rls[0];
    double squares = 0.0, most = 0.0;
    rls_see(rls, part, expert->length);
    for (int j = 0; j < s->m; j++) {
        s->errors[j] = s->r[j] - dot(rls->w + j * rls->size, rls->phi, rls->size);
        squares += s->errors[j] * s->errors[j];
    }
    for (int j = 0; j < s->m; j++) {
        int counts = s->seen[j];
        if (!isfinite(squares) && !(fabs(s->errors[j]) < SQUARE_LIMIT)) counts = 0, s->errors[j] = 0.0;
        s->omega[j] = counts ? 1.0 : 0.0;
        if (counts && expert->huber && w > 0.0)
            s->omega[j] = huber_weight(expert->scales + j, fabs(s->errors[j]));
        most = dmax(s->omega[j], most);
    }
    for (int j = 0; j < s->m && most > 0.0; j++) s->errors[j] *= s->omega[j] / most;
    rls_correct(rls, s->errors, w * most);
}

/* labels [m] with an evidence of now or earlier; NaN where they are missing */
RA_INLINE void several_train(Several *s, const double *evidence, const double *y, double w) {
    int some = 0, m = s->m, n = s->n_experts;
    for (int j = 0; j < m; j++) {
        const Target *t = s->targets + j;
        s->seen[j] = y[j] == y[j] && evidence[s->known + j] > 0.0 && t->scale > 0.0;
        s->r[j] = s->seen[j] ? target_residual(t, y[j], evidence[s->anchor + j]) : 0.0;
        some |= s->seen[j];
    }
    if (!some) return;
    for (int k = 0; k < n; k++) {
        const ExpertOfSeveral *expert = s->experts + k;
        const double *part = evidence + expert->start;
        if (expert->kind == EXPERT_SHARED) several_learn_shared(s, expert, part, w);
        for (int j = 0; j < m && expert->kind == EXPERT_OWN; j++) {
            if (!s->seen[j]) continue;
            rls_see(expert->rls[j], part + j * expert->step, expert->length);
            rls_update(expert->rls[j], s->r[j], w);
        }
    }
    if (!(w > 0.0)) return;
    for (int j = 0; j < m; j++)
        if (s->seen[j])
            learn_shares(s->pools + j, evidence + s->answers + j * n, evidence[s->prediction + j],
                         s->r[j], w);
    if (!s->has_retrieval) return;
    Retrieval *past = &s->retrieval;
    retrieval_append(past, evidence + s->situation + m, s->n_own);
    for (int j = 0; j < m; j++) {
        size_t at = (size_t)j * past->stride + past->end - 1;
        past->delta[at] = evidence[s->situation + j];
        past->residual[at] = clip(s->r[j], RESIDUAL_LIMIT);
        past->known[at] = s->seen[j];
    }
}

/* time advances by the step proposed last: what retrieval has to do for it */
RA_INLINE void several_commit(Several *s) {
    retrieval_commit(&s->retrieval);
    moments_update(&s->read_moments, s->reads, 1, s->delta, s->present);
}

#endif
