/* A population of spiking neurons on a flat state: river_attention/spiking/population.py.

Sums and products are those of NumPy and Python to the last bit: no product is fused with a sum, and
the exponential is that of the C library, which is Python's own. */

#ifndef RIVER_ATTENTION_SPIKING_H
#define RIVER_ATTENTION_SPIKING_H

#include <math.h>
#include <stdint.h>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#define SPIKING_EXACT
#elif defined(__GNUC__)
#define SPIKING_EXACT __attribute__((optimize("fp-contract=off")))
#else
#define SPIKING_EXACT
#endif

#define SPIKING_LIMIT 1e150
#define SPIKING_SMALLEST 1e-290

/* Views on the buffer of a Firing. */
typedef struct {
    int n, dim, size;
    double *at, *slots, *ring, *tails, *head, *potentials, *spikes, *traces, *thresholds;
} Firing;

static Firing firing_of(double *buffer, int n, int dim, int size)
{
    Firing s = {n, dim, size};
    s.at = buffer;
    s.slots = buffer + 1;
    s.ring = s.slots + (size_t)n * dim;
    s.tails = s.ring + (size_t)size * n;
    s.head = s.tails + (size_t)(size + 1) * n;
    s.potentials = s.head + n;
    s.spikes = s.potentials + n;
    s.traces = s.spikes + n;
    s.thresholds = s.traces + n;
    return s;
}

/* Within the limit; the limit for a NaN. */
static inline double spiking_clip(double x)
{
    return x < -SPIKING_LIMIT ? -SPIKING_LIMIT : x <= SPIKING_LIMIT ? x : SPIKING_LIMIT;
}

static inline double spiking_phi(double x) { return x > 0.0 ? x + 1.0 : exp(x); }

/* The slot of a key: floor(|phi| dim) mod dim. */
static inline int spiking_slot(double phi, int dim)
{
    double scaled = phi * dim;
    if (scaled < 1e15)
        return (int)((int64_t)scaled % dim);
    return (int)fmod(floor(scaled), dim);
}

SPIKING_EXACT static void population_respond(
    const Firing *s, const double *decays, double g, double kept, const double *currents,
    double *read, double *numbers)
{
    int n = s->n, i;
    const double *tail = s->tails + ((size_t)*s->at + 1) * n;
    for (i = 0; i < n; i++) {
        double phi_q = spiking_phi(spiking_clip(currents[i]));
        double phi_k = spiking_phi(spiking_clip(currents[n + i]));
        double v = spiking_clip(currents[2 * n + i]);
        int place = i * s->dim + spiking_slot(phi_k, s->dim);
        double slot = spiking_clip(s->slots[place] * decays[i] + phi_k * v);
        double local = ((s->head[i] + v) + tail[i]) / s->size;
        double potential = g * (phi_q * slot) + (1.0 - g) * local;
        double spike = potential > s->thresholds[i] ? 1.0 : 0.0;
        read[i] = potential;
        read[n + i] = spike;
        read[2 * n + i] = kept * s->traces[i] + spike;
        numbers[i] = place;
        numbers[n + i] = slot;
        numbers[2 * n + i] = v;
    }
}

/* Write the values over the oldest; make the sums again where a round of the window is over. */
SPIKING_EXACT static void firing_push(Firing *s, const double *v)
{
    int n = s->n, at = (int)*s->at, i, j;
    double *row = s->ring + (size_t)at * n;
    for (i = 0; i < n; i++) {
        row[i] = v[i];
        s->head[i] = s->head[i] + v[i];
    }
    if (at + 1 < s->size) {
        *s->at = at + 1;
        return;
    }
    *s->at = 0;
    for (i = 0; i < n; i++)
        s->head[i] = s->tails[(size_t)s->size * n + i] = 0.0;
    for (j = s->size - 1; j >= 0; j--) {
        double *tail = s->tails + (size_t)j * n, *next = tail + n;
        row = s->ring + (size_t)j * n;
        for (i = 0; i < n; i++)
            tail[i] = row[i] + next[i];
    }
}

SPIKING_EXACT static void population_commit(
    Firing *s, const double *decays, const double *numbers, const double *read, double rate,
    double target)
{
    int n = s->n, dim = s->dim, i, j;
    for (i = 0; i < n; i++) {
        double decay = decays[i], *slots = s->slots + (size_t)i * dim;
        for (j = 0; j < dim; j++)
            slots[j] *= decay;
    }
    for (i = 0; i < n; i++)
        s->slots[(int)numbers[i]] = numbers[n + i];
    firing_push(s, numbers + 2 * n);
    if (*s->at == 0.0)
        for (i = 0; i < n * dim; i++)
            s->slots[i] = fabs(s->slots[i]) <= SPIKING_SMALLEST ? 0.0 : s->slots[i];
    for (i = 0; i < n; i++) {
        s->potentials[i] = read[i];
        s->spikes[i] = read[n + i];
        s->traces[i] = read[2 * n + i];
    }
    if (rate != 0.0)
        for (i = 0; i < n; i++)
            s->thresholds[i] = s->thresholds[i] + rate * (s->spikes[i] - target);
}

#endif
