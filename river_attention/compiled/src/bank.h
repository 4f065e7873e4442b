/* The bank of complex units: the twin of layers/memory_bank.py. */
#ifndef RA_BANK_H
#define RA_BANK_H

#include "vec.h"

typedef struct {
    int n, n_inputs, stride /* padded n, four times in a row of weights */;
    double *weights /* [n_inputs][4 stride] */, *poles /* [2][stride] */, *state, *next;
} Bank;

/* reads [4 n]: Re s, Im s, and both times a linear function of the inputs */
RA_INLINE void bank_propose(Bank *s, const double *u, double *reads) {
    int n = s->n, m = s->stride;
    for (int i = 0; i < m; i += WIDTH) {
        vec re = all(0.0), im = re, gate_re = re, gate_im = re;
        for (int j = 0; j < s->n_inputs; j++) {
            const double *w = s->weights + j * 4 * m + i;
            vec x = all(u[j]);
            re += load(w) * x;
            im += load(w + m) * x;
            gate_re += load(w + 2 * m) * x;
            gate_im += load(w + 3 * m) * x;
        }
        vec old_re = load(s->state + i), old_im = load(s->state + m + i);
        vec pole_re = load(s->poles + i), pole_im = load(s->poles + m + i);
        re += pole_re * old_re - pole_im * old_im;
        im += pole_re * old_im + pole_im * old_re;
        store(s->next + i, re);
        store(s->next + m + i, im);
        gate_re *= re;
        gate_im *= im;
        if (i >= n) continue;
        int count = n - i < WIDTH ? n - i : WIDTH;
        if (count == WIDTH) {
            storeu(reads + i, re);
            storeu(reads + n + i, im);
            storeu(reads + 2 * n + i, gate_re);
            storeu(reads + 3 * n + i, gate_im);
        } else {
            for (int k = 0; k < count; k++) {
                reads[i + k] = LANE(re, k);
                reads[n + i + k] = LANE(im, k);
                reads[2 * n + i + k] = LANE(gate_re, k);
                reads[3 * n + i + k] = LANE(gate_im, k);
            }
        }
    }
}

RA_INLINE void bank_commit(Bank *s) {
    double *old = s->state;
    s->state = s->next;
    s->next = old;
}

#endif
