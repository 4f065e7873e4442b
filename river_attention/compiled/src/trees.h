/* Boosted trees as the last expert: the twin of readout/trees.py, and of what readout/boosting.py does
 * with every row. Fits, and all that happens when ``due`` comes, are Python's. */
#ifndef RA_TREES_H
#define RA_TREES_H

#include "vec.h"

#define TREES_LIMIT 1e150
#define TREES_LIMIT32 3e38
#define TREES_LARGEST_WEIGHT 1e6

typedef struct {
    double number; /* up to what it goes left, or what a leaf adds */
    int feature;   /* -1 for a leaf */
    int left, right, missing_left;
} TreeNode;

typedef struct {
    int part; /* where what trees see stands in the evidence; -1: there are no trees */
    int n_history, width, fitted, n_roots;
    const int *history; /* lags that are compared with the first [n_history] */
    const int *roots;
    const TreeNode *nodes;
    double base;
    double *before; /* inputs one step before [n_inputs], of which n_before are known */
    int n_before;
    float *row, *rows;               /* room for z [width]; where the next rows go [room, width] */
    double *steps, *weights;         /* [room] */
    int64_t n_new, due;              /* rows since those were given, and when Python is to be asked */
} Boosted;

RA_INLINE float single_or_missing(double x) { return (float)(x == x ? clip(x, TREES_LIMIT32) : x); }

/* history of the target and inputs, now and before, to the evidence; see MemoryFeatures.propose */
static void boosted_propose(const Boosted *s, const double *raw_lags, int known, const double *values,
                            int n_inputs, double *seen) {
    for (int i = 0; i < s->n_history; i++) {
        if (!known)
            seen[i] = NAN;
        else
            seen[i] = i ? raw_lags[s->history[i]] - raw_lags[0] : raw_lags[0];
    }
    seen += s->n_history;
    for (int i = 0; i < n_inputs; i++) {
        seen[2 * i] = values[i];
        seen[2 * i + 1] = i < s->n_before ? s->before[i] : NAN;
    }
}

/* z of an evidence: history, answers of the other experts as steps, inputs; see BoostedMixture.row */
static void boosted_row(const Boosted *s, const double *seen, const double *answers, int n_told,
                        double unit, float *row) {
    int n = s->n_history, i;
    for (i = 0; i < n; i++) row[i] = single_or_missing(seen[i]);
    for (i = 0; i < n_told; i++) row[n + i] = single_or_missing(answers[i] * unit);
    for (i = n; i + n_told < s->width; i++) row[n_told + i] = single_or_missing(seen[i]);
}

static double trees_predict(const Boosted *s, const float *row) {
    double sum = s->base;
    for (int m = 0; m < s->n_roots; m++) {
        const TreeNode *node = s->nodes + s->roots[m];
        while (node->feature >= 0) {
            double z = row[node->feature];
            int goes_left = (z <= node->number) | ((z != z) & node->missing_left);
            node = s->nodes + (goes_left ? node->left : node->right);
        }
        sum += node->number;
    }
    return sum;
}

/* keep a row and the step that followed for the next fit */
static void boosted_keep(Boosted *s, const double *seen, const double *answers, int n_told, double unit,
                         double anchor, double y, double w) {
    float *row = s->rows + s->n_new * s->width;
    boosted_row(s, seen, answers, n_told, unit, row);
    s->steps[s->n_new] = clip(y - anchor, TREES_LIMIT);
    s->weights[s->n_new] = dmin(w, TREES_LARGEST_WEIGHT);
    s->n_new++;
}

#endif
