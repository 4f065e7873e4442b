/* Vectors as wide as the processor's registers: eight, four or two doubles.
 *
 * A vector that is wider than a register would live in memory. Buffers are aligned to 64 bytes and
 * padded with zeros to a multiple of LANES, whatever WIDTH is, so that no loop has a rest and
 * layouts are the same everywhere.
 */
#ifndef RA_VEC_H
#define RA_VEC_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 8

/* one at a time where the compiler has no vectors as types, or is told so */
#if !defined(__GNUC__) && !defined(RA_SCALAR)
#define RA_SCALAR
#endif

#if defined(RA_SCALAR)
#define WIDTH 1
#elif defined(RA_AVX512)
#define WIDTH 8
#elif defined(RA_AVX2)
#define WIDTH 4
#else
#define WIDTH 2
#endif
#if defined(_MSC_VER)
#define RA_INLINE static __forceinline
#else
#define RA_INLINE static inline __attribute__((always_inline))
#endif

#if WIDTH == 1
typedef double vec, unaligned_vec;
typedef int64_t ivec;
#define LANE(v, i) (v)
#else
typedef double vec __attribute__((vector_size(8 * WIDTH), aligned(8 * WIDTH)));
typedef double unaligned_vec __attribute__((vector_size(8 * WIDTH), aligned(8), may_alias));
typedef int64_t ivec __attribute__((vector_size(8 * WIDTH), aligned(8 * WIDTH)));
#define LANE(v, i) ((v)[i])
#endif

RA_INLINE int padded(int n) { return (n + LANES - 1) & ~(LANES - 1); }
RA_INLINE double dmin(double a, double b) { return a < b ? a : b; }
RA_INLINE double dmax(double a, double b) { return a > b ? a : b; }
RA_INLINE double clip(double x, double limit) { return dmin(dmax(x, -limit), limit); }

RA_INLINE vec load(const double *p) { return *(const vec *)p; }
RA_INLINE vec loadu(const double *p) { return *(const unaligned_vec *)p; }
RA_INLINE void store(double *p, vec v) { *(vec *)p = v; }
RA_INLINE void storeu(double *p, vec v) { *(unaligned_vec *)p = v; }
#if WIDTH == 8
RA_INLINE vec all(double x) { return (vec){x, x, x, x, x, x, x, x}; }
#elif WIDTH == 4
RA_INLINE vec all(double x) { return (vec){x, x, x, x}; }
#elif WIDTH == 2
RA_INLINE vec all(double x) { return (vec){x, x}; }
#else
RA_INLINE vec all(double x) { return x; }
#endif
#if WIDTH == 1
RA_INLINE vec choose(ivec mask, vec a, vec b) { return mask ? a : b; }
RA_INLINE ivec bits(vec a) {
    ivec r;
    memcpy(&r, &a, sizeof r);
    return r;
}
RA_INLINE vec from_bits(ivec a) {
    vec r;
    memcpy(&r, &a, sizeof r);
    return r;
}
#else
RA_INLINE vec choose(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }
RA_INLINE ivec bits(vec a) { return (ivec)a; }
RA_INLINE vec from_bits(ivec a) { return (vec)a; }
#endif

#if WIDTH == 8
RA_INLINE vec vmin(vec a, vec b) { return (vec)_mm512_min_pd((__m512d)a, (__m512d)b); }
RA_INLINE vec vmax(vec a, vec b) { return (vec)_mm512_max_pd((__m512d)a, (__m512d)b); }
RA_INLINE vec vsqrt(vec a) { return (vec)_mm512_sqrt_pd((__m512d)a); }
#elif WIDTH == 4
RA_INLINE vec vmin(vec a, vec b) { return (vec)_mm256_min_pd((__m256d)a, (__m256d)b); }
RA_INLINE vec vmax(vec a, vec b) { return (vec)_mm256_max_pd((__m256d)a, (__m256d)b); }
RA_INLINE vec vsqrt(vec a) { return (vec)_mm256_sqrt_pd((__m256d)a); }
#else
/* the second operand where either is NaN, as the instructions do */
RA_INLINE vec vmin(vec a, vec b) { return choose((ivec)(a < b), a, b); }
RA_INLINE vec vmax(vec a, vec b) { return choose((ivec)(a > b), a, b); }
RA_INLINE vec vsqrt(vec a) {
    vec r;
    for (int i = 0; i < WIDTH; i++) LANE(r, i) = sqrt(LANE(a, i));
    return r;
}
#endif
RA_INLINE vec vclip(vec x, double limit) { return vmin(vmax(x, all(-limit)), all(limit)); }

#if WIDTH == 8
RA_INLINE double sum(vec v) {
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
#elif WIDTH == 4
RA_INLINE double sum(vec v) { return (v[0] + v[2]) + (v[1] + v[3]); }
#elif WIDTH == 2
RA_INLINE double sum(vec v) { return v[0] + v[1]; }
#else
RA_INLINE double sum(vec v) { return v; }
#endif
RA_INLINE double least(vec v) {
    double smallest = LANE(v, 0);
    for (int i = 1; i < WIDTH; i++) smallest = dmin(LANE(v, i), smallest);
    return smallest;
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
    return from_bits(bits(p) + (bits(shifted) << 52));
}
RA_INLINE vec vsigmoid(vec x) { return all(1.0) / (all(1.0) + vexp(-vclip(x, 700.0))); }
RA_INLINE double exp1(double x) { return LANE(vexp(all(x)), 0); }

/* the sums of as many vectors as columns of P are taken at a time */
#if WIDTH == 8
#define COLUMNS 8
#define PAIRS(a, b)                                                                                \
    (shuffled(a, b, 0, 8, 2, 10, 4, 12, 6, 14) + shuffled(a, b, 1, 9, 3, 11, 5, 13, 7, 15))
#define FOURS(a, b)                                                                                \
    (shuffled(a, b, 0, 1, 8, 9, 4, 5, 12, 13) + shuffled(a, b, 2, 3, 10, 11, 6, 7, 14, 15))
#if defined(__clang__)
#define shuffled __builtin_shufflevector
#else
#define shuffled(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
#endif
RA_INLINE void store_sums(double *out, vec *a) {
    vec left = FOURS(PAIRS(a[0], a[1]), PAIRS(a[2], a[3]));
    vec right = FOURS(PAIRS(a[4], a[5]), PAIRS(a[6], a[7]));
    vec sums = shuffled(left, right, 0, 1, 2, 3, 8, 9, 10, 11) +
               shuffled(left, right, 4, 5, 6, 7, 12, 13, 14, 15);
    storeu(out, loadu(out) + sums);
}
#elif WIDTH == 4
#define COLUMNS 4
RA_INLINE void store_sums(double *out, vec *a) {
    __m256d left = _mm256_hadd_pd((__m256d)a[0], (__m256d)a[1]);
    __m256d right = _mm256_hadd_pd((__m256d)a[2], (__m256d)a[3]);
    __m256d crossed = _mm256_permute2f128_pd(left, right, 0x21);
    storeu(out, loadu(out) + (vec)_mm256_add_pd(crossed, _mm256_blend_pd(left, right, 12)));
}
#else
#define COLUMNS 4
RA_INLINE void store_sums(double *out, vec *a) {
    for (int c = 0; c < COLUMNS; c++) out[c] += sum(a[c]);
}
#endif

/* sum of products of n numbers, n a multiple of LANES */
RA_INLINE double dot(const double *a, const double *b, int n) {
    vec s = all(0.0);
    for (int i = 0; i < n; i += WIDTH) s += load(a + i) * load(b + i);
    return sum(s);
}

#endif
