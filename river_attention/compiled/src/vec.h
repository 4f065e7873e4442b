/* Vectors of eight doubles, whatever the processor makes of them.
 *
 * Buffers are aligned to 64 bytes and padded with zeros to a multiple of LANES, so that no loop has
 * a rest. Reductions have one order, so processors differ by what they contract to one
 * instruction (a product and a sum), and by nothing else.
 */
#ifndef RA_VEC_H
#define RA_VEC_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 8
#define RA_INLINE static inline __attribute__((always_inline))

typedef double vec __attribute__((vector_size(64), aligned(64)));
typedef double unaligned_vec __attribute__((vector_size(64), aligned(8), may_alias));
typedef int64_t ivec __attribute__((vector_size(64), aligned(64)));

RA_INLINE int padded(int n) { return (n + LANES - 1) & ~(LANES - 1); }
RA_INLINE double dmin(double a, double b) { return a < b ? a : b; }
RA_INLINE double dmax(double a, double b) { return a > b ? a : b; }
RA_INLINE double clip(double x, double limit) { return dmin(dmax(x, -limit), limit); }

RA_INLINE vec load(const double *p) { return *(const vec *)p; }
RA_INLINE vec loadu(const double *p) { return *(const unaligned_vec *)p; }
RA_INLINE void store(double *p, vec v) { *(vec *)p = v; }
RA_INLINE void storeu(double *p, vec v) { *(unaligned_vec *)p = v; }
RA_INLINE vec all(double x) { return (vec){x, x, x, x, x, x, x, x}; }
RA_INLINE vec choose(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }

#if defined(RA_AVX512)
RA_INLINE vec vmin(vec a, vec b) { return (vec)_mm512_min_pd((__m512d)a, (__m512d)b); }
RA_INLINE vec vmax(vec a, vec b) { return (vec)_mm512_max_pd((__m512d)a, (__m512d)b); }
RA_INLINE vec vsqrt(vec a) { return (vec)_mm512_sqrt_pd((__m512d)a); }
#else
/* the second operand where either is NaN, as the instructions do */
RA_INLINE vec vmin(vec a, vec b) { return choose((ivec)(a < b), a, b); }
RA_INLINE vec vmax(vec a, vec b) { return choose((ivec)(a > b), a, b); }
RA_INLINE vec vsqrt(vec a) {
    vec r;
    for (int i = 0; i < LANES; i++) r[i] = sqrt(a[i]);
    return r;
}
#endif
RA_INLINE vec vclip(vec x, double limit) { return vmin(vmax(x, all(-limit)), all(limit)); }

RA_INLINE double sum(vec v) {
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
RA_INLINE double least(vec v) {
    return dmin(dmin(dmin(v[0], v[4]), dmin(v[2], v[6])), dmin(dmin(v[1], v[5]), dmin(v[3], v[7])));
}

/* exp(x) for x in [-700, 700], within 2e-16 or so: |r| is at most log(2) / 2 */
RA_INLINE vec vexp(vec x) {
    const double shifter = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer */
    vec shifted = x * all(1.4426950408889634) + all(shifter);
    vec n = shifted - all(shifter);
    vec r = x - n * all(6.93147180369123816490e-01);
    r = r - n * all(1.90821492927058770002e-10);
    vec p = all(1.0 / 479001600.0);
    p = p * r + all(1.0 / 39916800.0);
    p = p * r + all(1.0 / 3628800.0);
    p = p * r + all(1.0 / 362880.0);
    p = p * r + all(1.0 / 40320.0);
    p = p * r + all(1.0 / 5040.0);
    p = p * r + all(1.0 / 720.0);
    p = p * r + all(1.0 / 120.0);
    p = p * r + all(1.0 / 24.0);
    p = p * r + all(1.0 / 6.0);
    p = p * r + all(0.5);
    p = p * r + all(1.0);
    p = p * r + all(1.0);
    /* n stands in the low bits of the shifted number: move it to the exponent */
    return (vec)((ivec)p + ((ivec)shifted << 52));
}
RA_INLINE vec vsigmoid(vec x) { return all(1.0) / (all(1.0) + vexp(-vclip(x, 700.0))); }
RA_INLINE double exp1(double x) { return vexp(all(x))[0]; }

/* the sums of eight vectors */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define RA_SHUFFLES
#endif
#endif
#if defined(RA_SHUFFLES)
RA_INLINE vec pairs(vec a, vec b) {
    return __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14) +
           __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
}
RA_INLINE vec fours(vec a, vec b) {
    return __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13) +
           __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
}
RA_INLINE vec sums(vec a, vec b, vec c, vec d, vec e, vec f, vec g, vec h) {
    vec left = fours(pairs(a, b), pairs(c, d)), right = fours(pairs(e, f), pairs(g, h));
    return __builtin_shufflevector(left, right, 0, 1, 2, 3, 8, 9, 10, 11) +
           __builtin_shufflevector(left, right, 4, 5, 6, 7, 12, 13, 14, 15);
}
#else
RA_INLINE vec sums(vec a, vec b, vec c, vec d, vec e, vec f, vec g, vec h) {
    return (vec){sum(a), sum(b), sum(c), sum(d), sum(e), sum(f), sum(g), sum(h)};
}
#endif

/* sum of products of n numbers, n a multiple of LANES */
RA_INLINE double dot(const double *a, const double *b, int n) {
    vec s = all(0.0);
    for (int i = 0; i < n; i += LANES) s += load(a + i) * load(b + i);
    return sum(s);
}

#endif
