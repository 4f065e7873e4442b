/* What a walk knows, into another one of the same shape: room by room, what a state is made of. What
 * the rooms were given when they were made, and scratch, stays. */
#ifndef RA_COPY_H
#define RA_COPY_H

#include "walk.h"

static void copy_numbers(double *to, const double *from, size_t n) {
    if (n) memcpy(to, from, n * sizeof(double)); /* there may be no room for none */
}

static void moments_copy(Moments *to, const Moments *from) {
    Moments own = *to;
    size_t n = padded(from->n);
    *to = *from;
    to->mean = own.mean, to->inverse = own.inverse, to->variance = own.variance;
    to->count = own.count, to->sampled = own.sampled, to->quick_mean = own.quick_mean;
    to->quick_variance = own.quick_variance, to->rate = own.rate;
    copy_numbers(to->mean, from->mean, n);
    copy_numbers(to->inverse, from->inverse, n);
    copy_numbers(to->variance, from->variance, n);
    copy_numbers(to->count, from->count, n);
    copy_numbers(to->sampled, from->sampled, n);
    copy_numbers(to->quick_mean, from->quick_mean, n);
    copy_numbers(to->quick_variance, from->quick_variance, n);
    copy_numbers(to->rate, from->rate, n);
}

static void target_copy(Target *to, const Target *from) {
    Target own = *to;
    *to = *from;
    to->lags = own.lags, to->raw_lags = own.raw_lags;
    copy_numbers(to->lags, from->lags, from->n_lags);
    copy_numbers(to->raw_lags, from->raw_lags, from->n_lags);
}

static void rls_copy(RLS *to, const RLS *from) {
    to->n_updates = from->n_updates, to->n_resets = from->n_resets, to->next_leak = from->next_leak;
    to->growth = from->growth, to->scale = from->scale;
    copy_numbers(to->P, from->P, rls_blocks(from->size) * BLOCK);
    copy_numbers(to->w, from->w, (size_t)from->m * from->size);
}

static void pool_copy(Pool *to, const Pool *from) {
    to->n_awake = from->n_awake, to->n_losses = from->n_losses, to->n_far = from->n_far;
    to->noise = from->noise, to->scale = from->scale;
    copy_numbers(to->shares, from->shares, from->n);
    copy_numbers(to->mean_losses, from->mean_losses, from->n);
    for (int i = 0; i < from->n; i++)
        if (from->experts[i].rls) rls_copy(to->experts[i].rls, from->experts[i].rls);
}

/* the steps of the window, to the beginning of the buffers */
static void retrieval_copy(Retrieval *to, const Retrieval *from) {
    int n = from->n, start = from->end - n;
    to->n = to->end = n, to->width = from->width;
    to->n_appended = from->n_appended, to->seen_at = from->seen_at;
    for (int j = 0; j < from->width; j++)
        copy_numbers(to->x + (size_t)j * to->stride, from->x + (size_t)j * from->stride + start, n);
    copy_numbers(to->norm, from->norm + start, n);
    copy_numbers(to->delta, from->delta + start, n);
    copy_numbers(to->residual, from->residual + start, n);
    copy_numbers(to->distance, from->distance, from->window);
    if (from->n_appended - n < SETTLED_STEPS)
        copy_numbers(to->terms, from->terms, from->window + SETTLED_STEPS);
}

/* 0: they are not of one shape, and nothing was done */
static int walk_copy(Walk *to, const Walk *from) {
    if (to->n_inputs != from->n_inputs || to->size != from->size || to->pool.n != from->pool.n ||
        from->boosted.part >= 0)
        return 0;
    to->n_before = from->n_before;
    if (from->moves) copy_numbers(to->before, from->before, from->n_shown);
    moments_copy(&to->moments, &from->moments);
    target_copy(&to->target, &from->target);
    to->errors = from->errors;
    pool_copy(&to->pool, &from->pool);
    if (from->has_heads) copy_numbers(to->heads.state, from->heads.state, from->heads.size);
    if (from->has_bank) copy_numbers(to->bank.state, from->bank.state, 2 * from->bank.stride);
    if (from->has_retrieval) retrieval_copy(&to->retrieval, &from->retrieval);
    return 1;
}

#endif
