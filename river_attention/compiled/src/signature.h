/* What a row is known by while it waits for its label: the twin of Encoder.signature. */
#ifndef RA_SIGNATURE_H
#define RA_SIGNATURE_H

#include <stdint.h>
#include <string.h>

/* see naming.mixed */
static uint64_t mixed_bits(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* n values, NaN = missing, seeds [n][2]; of these columns only, if columns are given */
static void sign_row(const double *values, const uint64_t *seeds, const int64_t *columns, int64_t n,
                     unsigned char *out /* [16] */) {
    uint64_t sums[2] = {0, 0};
    for (int64_t j = 0; j < n; j++) {
        int64_t i = columns ? columns[j] : j;
        double value = values[i] + 0.0; /* -0.0 is 0.0 */
        uint64_t bits;
        if (value != value || !seeds[2 * i]) continue;
        memcpy(&bits, &value, sizeof bits);
        for (int k = 0; k < 2; k++) sums[k] += mixed_bits(seeds[2 * i + k] ^ bits);
    }
    for (int k = 0; k < 16; k++) out[k] = (unsigned char)(sums[k / 8] >> (8 * (k % 8)));
}

#endif
