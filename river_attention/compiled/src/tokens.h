/* Tokens of a sequence and the step that takes them; see functional/recurrence.py. Arrays lie in
 * memory with time first, but for the decay, whose strides are given in numbers. */
#ifndef RA_TOKENS_H
#define RA_TOKENS_H

#include <stdint.h>

enum {
    SCAN_LINEAR, SCAN_BONUS, SCAN_DIAGONAL, SCAN_NORMALIZED, SCAN_MLSTM, SCAN_LOG_LINEAR
};

typedef struct {
    int step, before /* removes what was there before the decay */;
    int64_t n_steps, n_tokens /* so far, of the Fenwick tree */;
    int n_heads, d_key, d_value, n_sub, n_levels;
    int64_t decay_time, decay_head, decay_key;
    const void *decay, *k, *v, *q, *r, *b, *extra;
    double eps, largest_exponent;
} Tokens;

#endif
