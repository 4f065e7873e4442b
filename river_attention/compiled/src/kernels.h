/* The functions of Kernels, compiled once for every instruction set; the file that includes this one
 * names the table. */
#include "walk.h"

#define REAL double
#define REAL_NAME(name) name##_double
#define REAL_EXP exp
#include "scan.h"
#undef REAL
#undef REAL_NAME
#undef REAL_EXP
#define REAL float
#define REAL_NAME(name) name##_float
#define REAL_EXP expf
#include "scan.h"

/* evidence and raw reads from the values that stand in raw already; see MemoryFeatures.propose */
static void propose(Walk *s) {
    int n_reads = s->n_reads, n_inputs = s->n_inputs, n_lags = s->n_lags;
    double *evidence = s->evidence, *bias = evidence + n_reads, *inputs = bias + 1 + n_lags;
    const double *lags = s->target.lags, *inverse = s->moments.inverse, *mean = s->moments.mean;
    *bias = 1.0;
    if (n_lags) memcpy(bias + 1, lags, n_lags * sizeof(double));
    standardise(s->raw + n_reads, mean + n_reads, inverse + n_reads, n_inputs, INPUT_LIMIT, inputs);
    const double *shown = inputs, *token = bias + 1;
    int n_shown = s->n_shown;
    if (s->shown) {
        for (int i = 0; i < n_shown; i++) s->shown_inputs[i] = inputs[s->shown[i]];
        shown = s->shown_inputs;
    }
    if (s->visible) {
        for (int i = 0; i < s->n_token; i++) s->token[i] = token[s->visible[i]];
        token = s->token;
    }
    if (s->situation >= 0) {
        evidence[s->situation] = s->target.delta;
        memcpy(evidence + s->situation + 1, shown, n_shown * sizeof(double));
    }
    if (s->has_retrieval) {
        const double *situation = evidence + s->situation;
        if (s->classes.n)
            retrieval_vote(&s->retrieval, situation, s->classes.frequencies, s->classes.n_classes,
                           evidence + s->answers);
        else
            retrieval_propose(&s->retrieval, situation, s->raw + s->at_retrieval);
    }
    if (s->has_heads) heads_propose(&s->heads, token, s->raw + s->at_heads);
    if (s->has_bank) bank_propose(&s->bank, token, s->raw + s->at_bank);
    if (s->long_part >= 0) {
        double *part = evidence + s->long_part;
        memcpy(part, lags, s->n_long * sizeof(double));
        part[s->n_long] = 1.0;
        part += s->n_long + 1;
        if (s->moves)
            for (int i = 0; i < n_shown; i++) {
                part[2 * i] = shown[i];
                part[2 * i + 1] = i < s->n_before ? shown[i] - s->before[i] : 0.0;
            }
        else
            memcpy(part, shown, n_shown * sizeof(double));
    }
    if (s->boosted.part >= 0)
        boosted_propose(&s->boosted, s->target.raw_lags, s->target.last == s->target.last,
                        s->raw + n_reads, n_inputs, evidence + s->boosted.part);
}

/* what the trees say, in units of the readout; before they know anything what the others say */
static double answer_of_trees(Walk *s, double mixed) {
    Boosted *boosted = &s->boosted;
    const double *evidence = s->evidence, *answers = evidence + s->answers;
    double unit = evidence[s->unit], anchor = evidence[s->anchor], share = 0.0;
    for (int i = 0; i < s->pool.n_told; i++) share += s->pool.shares[i];
    if (!boosted->fitted || !(unit > 0.0) || anchor != anchor) return mixed / share;
    boosted_row(boosted, evidence + boosted->part, answers, s->pool.n_told, unit, boosted->row);
    return clip(trees_predict(boosted, boosted->row) / unit, SQUARE_LIMIT);
}

/* what the readout says joins the evidence, and what reads are as features */
static void finish(Walk *s) {
    double *evidence = s->evidence;
    standardise(s->raw, s->moments.mean, s->moments.inverse, s->n_reads, READ_LIMIT, evidence);
    if (s->retrieved >= 0)
        memcpy(evidence + s->retrieved, s->raw + s->at_retrieval, N_RETRIEVED * sizeof(double));
    if (s->classes.n) {
        classes_answer(&s->classes, evidence, evidence + s->answers);
        return;
    }
    if (s->several.m) {
        several_answer(&s->several, evidence, evidence + s->n_reads + 1);
        return;
    }
    Pool *pool = &s->pool;
    const Target *target = &s->target;
    if (s->last >= 0) target_in_units(target, evidence + s->last, evidence + s->mean);
    evidence[s->anchor] = target->last == target->last ? target->anchor : NAN;
    double mixed = 0.0;
    evidence[s->unit] = target->scale;
    for (int i = 0; i < pool->n_told; i++) {
        const Expert *expert = pool->experts + i;
        double value;
        if (expert->rls) {
            rls_see(expert->rls, evidence + expert->start, expert->length);
            value = rls_predict(expert->rls);
        } else {
            value = evidence[expert->start];
        }
        value = limited(value);
        if (pool->mixes) {
            evidence[s->answers + i] = value;
            mixed += pool->shares[i] * value;
        } else {
            mixed = value;
        }
    }
    if (pool->n_told < pool->n) {
        double value = answer_of_trees(s, mixed);
        evidence[s->answers + pool->n_told] = value;
        mixed += pool->shares[pool->n_told] * value;
    }
    evidence[s->prediction] = mixed;
    evidence[s->error_size] = s->errors.size;
}

/* the uncertainty of the weights, in units of the noise variance */
static double spread(Walk *s, const double *evidence) {
    Pool *pool = &s->pool;
    double total = 0.0;
    for (int i = 0; i < pool->n; i++) {
        const Expert *expert = pool->experts + i;
        if (!expert->rls) continue;
        rls_see(expert->rls, evidence + expert->start, expert->length);
        total += pool->shares[i] * rls_spread(expert->rls);
    }
    return total;
}

/* the error joins, as it looked when the prediction was made; see Regression._measure */
static void measure(Walk *s, const double *evidence, double y) {
    double unit = evidence[s->unit];
    if (!(unit > 0.0)) return;
    double error = (y - evidence[s->anchor]) / unit - evidence[s->prediction];
    errors_update(&s->errors, clip(error, SQUARE_LIMIT), evidence[s->error_size]);
}

static void train(Walk *s, const double *evidence, double y, double r, double w) {
    Pool *pool = &s->pool;
    for (int i = 0; i < pool->n; i++) {
        RLS *rls = pool->experts[i].rls;
        if (!rls) continue;
        rls_see(rls, evidence + pool->experts[i].start, pool->experts[i].length);
        rls_update(rls, r, w);
    }
    if (!(w > 0.0)) return;
    if (pool->mixes)
        learn_shares(pool, evidence + s->answers, mixture(pool, evidence + s->answers), r, w);
    else
        noise_update(&pool->noise, r - evidence[s->prediction]);
    measure(s, evidence, y);
    if (s->boosted.part >= 0)
        boosted_keep(&s->boosted, evidence + s->boosted.part, evidence + s->answers, pool->n_told,
                     evidence[s->unit], evidence[s->anchor], y, w);
    if (s->has_retrieval)
        retrieval_learn(&s->retrieval, evidence + s->situation, s->n_shown,
                        clip(r, RESIDUAL_LIMIT));
}

/* the label in units of the readout; 0 where nothing can be learned from it */
static int residual(const Walk *s, const double *evidence, double y, double *r) {
    double anchor = evidence[s->anchor];
    if (s->target.scale == 0.0 || anchor != anchor) return 0;
    *r = target_residual(&s->target, y, anchor);
    return 1;
}

static void follow(Walk *s) {
    if (s->has_retrieval) retrieval_commit(&s->retrieval);
    if (s->has_heads) heads_commit(&s->heads);
    if (s->has_bank) bank_commit(&s->bank);
    if (s->moves) {
        const double *inputs = s->evidence + s->long_part + s->n_long + 1;
        for (int i = 0; i < s->n_shown; i++) s->before[i] = inputs[2 * i];
        s->n_before = s->n_shown;
    }
    if (s->boosted.part >= 0) {
        memcpy(s->boosted.before, s->raw + s->n_reads, s->n_inputs * sizeof(double));
        s->boosted.n_before = s->n_inputs;
    }
}

static void commit(Walk *s) {
    moments_update(&s->moments, s->raw, s->complete, s->delta, s->present);
    if (s->several.has_retrieval) several_commit(&s->several);
    follow(s);
}

static void join(Walk *s, double y) { target_update(&s->target, y); }

static double value(const Walk *s, double r) { return target_restore(&s->target, r); }

static void learn(Walk *s, double y, double w) {
    double r;
    if (residual(s, s->evidence, y, &r)) train(s, s->evidence, y, r, w);
    commit(s);
    join(s, y);
}

static void train_class(Walk *s, const double *evidence, int y, double w) {
    const double *rows = evidence + s->answers;
    if (evidence != s->evidence) classes_recall(&s->classes, rows);
    classes_train(&s->classes, evidence, rows, (int)evidence[s->last], y, w);
    if (w > 0.0 && s->has_retrieval)
        retrieval_learn(&s->retrieval, evidence + s->situation, s->n_shown, y);
}

static void learn_class(Walk *s, int y, double w) {
    train_class(s, s->evidence, y, w);
    commit(s);
}

static void train_several(Walk *s, const double *evidence, const double *y, double w) {
    several_train(&s->several, evidence, y, w);
}

static void join_several(Walk *s, const double *y) { several_join(&s->several, y); }

static void learn_several(Walk *s, const double *y, double w) {
    several_train(&s->several, s->evidence, y, w);
    commit(s);
    several_join(&s->several, y);
}

static void look_ahead(Walk *s, Ahead *ahead) {
    size_t size = s->n_inputs * sizeof(double);
    double *recursive = ahead->experts + ahead->n_steps;
    ahead_limits(ahead, &s->target);
    for (int h = 0; h < ahead->n_steps; h++) {
        memcpy(s->raw + s->n_reads, ahead->rows + h * s->n_inputs, size);
        s->complete = ahead->complete[h];
        propose(s);
        finish(s);
        if (h == 0 && ahead->looks_back)
            ahead_changes(ahead, &s->retrieval, recursive + ahead->n_steps);
        /* the range of the branch grows with its predictions: its own guard does not bound it */
        double y = value(s, s->evidence[s->prediction]);
        recursive[h] = dmin(dmax(y, ahead->low[h]), ahead->high[h]);
        join(s, recursive[h]);
        follow(s);
    }
    ahead_experts(ahead);
}

static void score_ahead(Ahead *ahead, ErrorsAhead *known, const double *truth,
                        const double *expected, double scale) {
    ahead_score(ahead, known, truth, expected, scale);
}

static double rls_says(const RLS *s) { return rls_predict(s); }

static void rls_learns(RLS *s, double y, double w) { rls_update(s, y, w); }

static void reopen(Walk *s) {
    Pool *pool = &s->pool;
    if (s->classes.n) {
        classes_reopen(&s->classes);
        return;
    }
    for (int i = 0; i < pool->n; i++) {
        if (pool->experts[i].rls) rls_reopen(pool->experts[i].rls);
        pool->shares[i] = i < pool->n_awake ? 1.0 / pool->n_awake : 0.0;
    }
}

const Kernels RA_TABLE = {propose, finish, value, spread, residual, train, commit, follow, join, learn,
                          reopen, train_class, learn_class, train_several, join_several,
                          learn_several, look_ahead, score_ahead, rls_says, rls_learns, scan_double,
                          scan_float};
