/* The thin vector layer under the kernels: one source, three backends. CMake compiles every file of this
 * folder once per instruction set and defines FKP_SIMD (the suffix of external names) and FKP_SIMD_<set>.
 *
 * Everything is static inline and nothing has a static initialiser, so that no instruction of a better set
 * can leak into code that runs on a lesser CPU. Partial loads and stores touch only the first n floats, n <=
 * FKP_LANES. v_max and v_min give their second argument where one is not a number: the bound stands first,
 * so that a NaN of the data stays one. */
#ifndef FKP_SIMD_H
#define FKP_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"

#define FKP_JOIN_(a, b) a##_##b
#define FKP_JOIN(a, b) FKP_JOIN_(a, b)
/* FKP_NAME(gemm_tile) is fkp_gemm_tile_avx2, and so on. */
#define FKP_NAME(name) FKP_JOIN(fkp_##name, FKP_SIMD)
#define FKP_ALWAYS_INLINE static inline __attribute__((always_inline))
/* Floats from what a kernel uses to what it asks for where numbers pass by once, in their order, several read
 * and one written: the hardware alone brings these slower than memory could. */
#define FKP_STREAM_AHEAD 1024

#if defined(FKP_SIMD_avx512)
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512DQ__) || !defined(__AVX512VL__)
#error "the avx512 kernels need -mavx512f -mavx512bw -mavx512dq -mavx512vl"
#endif
#include <immintrin.h>

#define FKP_LANES 16
typedef __m512 fkp_vector;
typedef __mmask16 fkp_mask;

FKP_ALWAYS_INLINE fkp_vector v_load(const float *p) { return _mm512_loadu_ps(p); }
FKP_ALWAYS_INLINE void v_store(float *p, fkp_vector a) { _mm512_storeu_ps(p, a); }
FKP_ALWAYS_INLINE __mmask16 v_first(size_t n) { return (__mmask16)((1u << n) - 1u); }
FKP_ALWAYS_INLINE fkp_vector v_load_part(const float *p, size_t n) {
    return _mm512_maskz_loadu_ps(v_first(n), p);
}
FKP_ALWAYS_INLINE void v_store_part(float *p, size_t n, fkp_vector a) {
    _mm512_mask_storeu_ps(p, v_first(n), a);
}
FKP_ALWAYS_INLINE fkp_vector v_set(float x) { return _mm512_set1_ps(x); }
FKP_ALWAYS_INLINE fkp_vector v_add(fkp_vector a, fkp_vector b) { return _mm512_add_ps(a, b); }
FKP_ALWAYS_INLINE fkp_vector v_sub(fkp_vector a, fkp_vector b) { return _mm512_sub_ps(a, b); }
FKP_ALWAYS_INLINE fkp_vector v_mul(fkp_vector a, fkp_vector b) { return _mm512_mul_ps(a, b); }
FKP_ALWAYS_INLINE fkp_vector v_div(fkp_vector a, fkp_vector b) { return _mm512_div_ps(a, b); }
FKP_ALWAYS_INLINE fkp_vector v_max(fkp_vector a, fkp_vector b) { return _mm512_max_ps(a, b); }
FKP_ALWAYS_INLINE fkp_vector v_min(fkp_vector a, fkp_vector b) { return _mm512_min_ps(a, b); }
/* a b + c */
FKP_ALWAYS_INLINE fkp_vector v_fma(fkp_vector a, fkp_vector b, fkp_vector c) {
    return _mm512_fmadd_ps(a, b, c);
}
FKP_ALWAYS_INLINE fkp_vector v_sqrt(fkp_vector a) { return _mm512_sqrt_ps(a); }
FKP_ALWAYS_INLINE fkp_vector v_abs(fkp_vector a) { return _mm512_abs_ps(a); }
FKP_ALWAYS_INLINE fkp_mask v_greater(fkp_vector a, fkp_vector b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}
/* mask ? a : b */
FKP_ALWAYS_INLINE fkp_vector v_select(fkp_mask m, fkp_vector a, fkp_vector b) {
    return _mm512_mask_blend_ps(m, b, a);
}
FKP_ALWAYS_INLINE fkp_vector v_round(fkp_vector a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* 2^n for whole n in [-126, 127] */
FKP_ALWAYS_INLINE fkp_vector v_power_of_two(fkp_vector n) {
    return _mm512_scalef_ps(_mm512_set1_ps(1.0f), n);
}
/* a 2^n for whole n in [-126, 127] */
FKP_ALWAYS_INLINE fkp_vector v_scale(fkp_vector a, fkp_vector n) { return _mm512_scalef_ps(a, n); }
/* The first n floats, and zeros. */
FKP_ALWAYS_INLINE fkp_vector v_keep(fkp_vector a, size_t n) { return _mm512_maskz_mov_ps(v_first(n), a); }
/* Sum and largest of the lanes, by halves. */
FKP_ALWAYS_INLINE float v_sum(fkp_vector a) { return _mm512_reduce_add_ps(a); }
FKP_ALWAYS_INLINE float v_largest(fkp_vector a) { return _mm512_reduce_max_ps(a); }

#elif defined(FKP_SIMD_avx2)
#if !defined(__AVX2__) || !defined(__FMA__)
#error "the avx2 kernels need -mavx2 -mfma"
#endif
#include <immintrin.h>

#define FKP_LANES 8
typedef __m256 fkp_vector;
typedef __m256 fkp_mask;

FKP_ALWAYS_INLINE fkp_vector v_load(const float *p) { return _mm256_loadu_ps(p); }
FKP_ALWAYS_INLINE void v_store(float *p, fkp_vector a) { _mm256_storeu_ps(p, a); }
FKP_ALWAYS_INLINE __m256i v_first(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
FKP_ALWAYS_INLINE fkp_vector v_load_part(const float *p, size_t n) {
    return _mm256_maskload_ps(p, v_first(n));
}
FKP_ALWAYS_INLINE void v_store_part(float *p, size_t n, fkp_vector a) {
    _mm256_maskstore_ps(p, v_first(n), a);
}
FKP_ALWAYS_INLINE fkp_vector v_set(float x) { return _mm256_set1_ps(x); }
FKP_ALWAYS_INLINE fkp_vector v_add(fkp_vector a, fkp_vector b) { return _mm256_add_ps(a, b); }
FKP_ALWAYS_INLINE fkp_vector v_sub(fkp_vector a, fkp_vector b) { return _mm256_sub_ps(a, b); }
FKP_ALWAYS_INLINE fkp_vector v_mul(fkp_vector a, fkp_vector b) { return _mm256_mul_ps(a, b); }
FKP_ALWAYS_INLINE fkp_vector v_div(fkp_vector a, fkp_vector b) { return _mm256_div_ps(a, b); }
FKP_ALWAYS_INLINE fkp_vector v_max(fkp_vector a, fkp_vector b) { return _mm256_max_ps(a, b); }
FKP_ALWAYS_INLINE fkp_vector v_min(fkp_vector a, fkp_vector b) { return _mm256_min_ps(a, b); }
FKP_ALWAYS_INLINE fkp_vector v_fma(fkp_vector a, fkp_vector b, fkp_vector c) {
    return _mm256_fmadd_ps(a, b, c);
}
FKP_ALWAYS_INLINE fkp_vector v_sqrt(fkp_vector a) { return _mm256_sqrt_ps(a); }
FKP_ALWAYS_INLINE fkp_vector v_abs(fkp_vector a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
FKP_ALWAYS_INLINE fkp_mask v_greater(fkp_vector a, fkp_vector b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
FKP_ALWAYS_INLINE fkp_vector v_select(fkp_mask m, fkp_vector a, fkp_vector b) {
    return _mm256_blendv_ps(b, a, m);
}
FKP_ALWAYS_INLINE fkp_vector v_round(fkp_vector a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
FKP_ALWAYS_INLINE fkp_vector v_power_of_two(fkp_vector n) {
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
FKP_ALWAYS_INLINE fkp_vector v_scale(fkp_vector a, fkp_vector n) { return v_mul(a, v_power_of_two(n)); }
FKP_ALWAYS_INLINE fkp_vector v_keep(fkp_vector a, size_t n) {
    return _mm256_and_ps(a, _mm256_castsi256_ps(v_first(n)));
}
FKP_ALWAYS_INLINE float v_sum(fkp_vector a) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
FKP_ALWAYS_INLINE float v_largest(fkp_vector a) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

#elif defined(FKP_SIMD_portable)
/* Four lanes through the compilers' vector extension: SSE2 or NEON where there is one, plain code where there
 * is not. */
#define FKP_LANES 4
typedef float fkp_vector __attribute__((vector_size(16)));
typedef int32_t fkp_mask __attribute__((vector_size(16)));

FKP_ALWAYS_INLINE fkp_vector v_load(const float *p) {
    fkp_vector a;
    memcpy(&a, p, sizeof a);
    return a;
}
FKP_ALWAYS_INLINE void v_store(float *p, fkp_vector a) { memcpy(p, &a, sizeof a); }
FKP_ALWAYS_INLINE fkp_vector v_load_part(const float *p, size_t n) {
    if (n == FKP_LANES) return v_load(p);
    fkp_vector a = {0.0f, 0.0f, 0.0f, 0.0f};
    for (size_t i = 0; i < n; i++) a[i] = p[i];
    return a;
}
FKP_ALWAYS_INLINE void v_store_part(float *p, size_t n, fkp_vector a) {
    if (n == FKP_LANES) {
        v_store(p, a);
        return;
    }
    for (size_t i = 0; i < n; i++) p[i] = a[i];
}
FKP_ALWAYS_INLINE fkp_vector v_set(float x) { return (fkp_vector){x, x, x, x}; }
FKP_ALWAYS_INLINE fkp_vector v_add(fkp_vector a, fkp_vector b) { return a + b; }
FKP_ALWAYS_INLINE fkp_vector v_sub(fkp_vector a, fkp_vector b) { return a - b; }
FKP_ALWAYS_INLINE fkp_vector v_mul(fkp_vector a, fkp_vector b) { return a * b; }
FKP_ALWAYS_INLINE fkp_vector v_div(fkp_vector a, fkp_vector b) { return a / b; }
FKP_ALWAYS_INLINE fkp_vector v_fma(fkp_vector a, fkp_vector b, fkp_vector c) { return a * b + c; }
FKP_ALWAYS_INLINE fkp_mask v_greater(fkp_vector a, fkp_vector b) { return a > b; }
FKP_ALWAYS_INLINE fkp_vector v_select(fkp_mask m, fkp_vector a, fkp_vector b) {
    return (fkp_vector)(((fkp_mask)a & m) | ((fkp_mask)b & ~m));
}
FKP_ALWAYS_INLINE fkp_vector v_max(fkp_vector a, fkp_vector b) { return v_select(a > b, a, b); }
FKP_ALWAYS_INLINE fkp_vector v_min(fkp_vector a, fkp_vector b) { return v_select(a < b, a, b); }
FKP_ALWAYS_INLINE fkp_vector v_abs(fkp_vector a) {
    const fkp_mask magnitude = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX};
    return (fkp_vector)((fkp_mask)a & magnitude);
}
FKP_ALWAYS_INLINE fkp_vector v_sqrt(fkp_vector a) {
    for (int i = 0; i < FKP_LANES; i++) a[i] = __builtin_sqrtf(a[i]);
    return a;
}
/* Adding and taking away 1.5 x 2^23 leaves the nearest whole number, for |a| < 2^22. */
FKP_ALWAYS_INLINE fkp_vector v_round(fkp_vector a) {
    const fkp_vector magic = v_set(12582912.0f);
    return (a + magic) - magic;
}
FKP_ALWAYS_INLINE fkp_vector v_power_of_two(fkp_vector n) {
    fkp_mask exponent = __builtin_convertvector(n, fkp_mask) + 127;
    return (fkp_vector)(exponent << 23);
}
FKP_ALWAYS_INLINE fkp_vector v_scale(fkp_vector a, fkp_vector n) { return v_mul(a, v_power_of_two(n)); }
FKP_ALWAYS_INLINE fkp_vector v_keep(fkp_vector a, size_t n) {
    const fkp_mask lane = {0, 1, 2, 3}, count = {(int32_t)n, (int32_t)n, (int32_t)n, (int32_t)n};
    return (fkp_vector)((fkp_mask)a & (lane < count));
}
FKP_ALWAYS_INLINE float v_sum(fkp_vector a) { return (a[0] + a[2]) + (a[1] + a[3]); }
FKP_ALWAYS_INLINE float v_largest(fkp_vector a) {
    float first = a[0] > a[2] ? a[0] : a[2], second = a[1] > a[3] ? a[1] : a[3];
    return first > second ? first : second;
}
#else
#error "compile this folder through cmake/isa.cmake: FKP_SIMD_<set> names no known instruction set"
#endif

/* Lanes of the vector that begins at channel c. */
FKP_ALWAYS_INLINE size_t v_lanes_at(size_t c, size_t channels) {
    return channels - c < FKP_LANES ? channels - c : FKP_LANES;
}
/* Part loads and stores that are whole ones where all lanes are meant: a masked store of AVX2 is slow. */
FKP_ALWAYS_INLINE fkp_vector v_load_n(const float *p, size_t n) {
    return n == FKP_LANES ? v_load(p) : v_load_part(p, n);
}
FKP_ALWAYS_INLINE void v_store_n(float *p, size_t n, fkp_vector a) {
    if (n == FKP_LANES)
        v_store(p, a);
    else
        v_store_part(p, n, a);
}

/* exp(x) = 2^n (1 + p(r)), x = n ln 2 + r, p(r) = r + r^2 q(r), q a minimax polynomial on |r| <= ln 2 / 2
 * with error 1e-9. Clamped below at -87, so that no denormal arises, and above at 88. */
FKP_ALWAYS_INLINE fkp_vector v_exp(fkp_vector x) {
    x = v_min(v_set(88.0f), v_max(v_set(-87.0f), x));
    fkp_vector n = v_round(v_mul(x, v_set(1.44269504f)));
    fkp_vector r = v_fma(n, v_set(-0.693359375f), x);
    r = v_fma(n, v_set(2.12194440e-4f), r);
    fkp_vector q = v_set(1.39411178e-3f);
    q = v_fma(q, r, v_set(8.36317986e-3f));
    q = v_fma(q, r, v_set(4.16663736e-2f));
    q = v_fma(q, r, v_set(1.66665763e-1f));
    q = v_fma(q, r, v_set(0.5f));
    fkp_vector power = v_power_of_two(n);
    return v_fma(power, v_fma(v_mul(q, r), r, r), power);
}

/* x where it is positive, exp(x) - 1 elsewhere: 2^n r q(r) + (2^n - 1), x / ln 2 = n + r, q a minimax
 * polynomial of (2^r - 1) / r on |r| <= 1/2 with relative error 1.1e-8. Within 2 ulp, near 0 too, where the
 * naive difference loses everything: what rounding x / ln 2 costs grows with |x|, but exp(x) falls faster.
 * Where x is positive 2^n is 1 and r is 0. */
FKP_ALWAYS_INLINE fkp_vector v_elu(fkp_vector x) {
    const fkp_vector zero = v_set(0.0f);
    fkp_vector y = v_max(v_set(-125.0f), v_mul(v_min(zero, x), v_set(1.44269504f)));
    fkp_vector n = v_round(y), r = v_sub(y, n), q = v_set(1.54035122e-4f);
    q = v_fma(q, r, v_set(1.33907353e-3f));
    q = v_fma(q, r, v_set(9.61823761e-3f));
    q = v_fma(q, r, v_set(5.55035733e-2f));
    q = v_fma(q, r, v_set(2.40226492e-1f));
    q = v_fma(q, r, v_set(6.93147182e-1f));
    fkp_vector power = v_power_of_two(n), rest = v_add(v_sub(power, v_set(1.0f)), v_max(zero, x));
    return v_fma(power, v_mul(q, r), rest);
}

/* 2^x, clamped below at -125, so that no denormal arises; x <= 127. 2^n p(x - n) with p a minimax polynomial
 * on [-1/2, 1/2] with error 7.5e-8. */
FKP_ALWAYS_INLINE fkp_vector v_exp2(fkp_vector x) {
    x = v_max(v_set(-125.0f), x);
    fkp_vector n = v_round(x), r = v_sub(x, n), p = v_set(1.32764666e-3f);
    p = v_fma(p, r, v_set(9.67554096e-3f));
    p = v_fma(p, r, v_set(5.55071346e-2f));
    p = v_fma(p, r, v_set(2.40221202e-1f));
    p = v_fma(p, r, v_set(6.93146944e-1f));
    return v_scale(v_fma(p, r, v_set(1.00000012f)), n);
}

/* erf(x / sqrt 2) = 2 Phi(x) - 1 = x P(x^2), P a minimax polynomial for |x| <= 5.15, beyond which the result
 * is one but for 2.6e-7. P is in t = 2 (x / 5.15)^2 - 1: there its terms fall, and rounding costs little.
 * Absolute error below 3.1e-7. No exponent and no division: a third of the operations that exp takes. */
FKP_ALWAYS_INLINE fkp_vector v_erf_normal(fkp_vector x) {
    const fkp_vector one = v_set(1.0f);
    fkp_vector t = v_fma(v_min(v_set(26.5225f), v_mul(x, x)), v_set(7.54076727e-2f), v_sub(v_set(0.0f), one));
    fkp_vector p = v_set(-8.23657378e-4f);
    p = v_fma(p, t, v_set(2.20377883e-3f));
    p = v_fma(p, t, v_set(-2.23931414e-3f));
    p = v_fma(p, t, v_set(3.44021479e-3f));
    p = v_fma(p, t, v_set(-8.94077588e-3f));
    p = v_fma(p, t, v_set(1.61363296e-2f));
    p = v_fma(p, t, v_set(-2.4099471e-2f));
    p = v_fma(p, t, v_set(3.51238102e-2f));
    p = v_fma(p, t, v_set(-4.88578752e-2f));
    p = v_fma(p, t, v_set(6.37888014e-2f));
    p = v_fma(p, t, v_set(-8.01549405e-2f));
    p = v_fma(p, t, v_set(1.00806177e-1f));
    p = v_fma(p, t, v_set(-1.36738598e-1f));
    p = v_fma(p, t, v_set(2.74530202e-1f));
    return v_max(v_set(-1.0f), v_min(one, v_mul(x, p)));
}

FKP_ALWAYS_INLINE fkp_vector v_activate(fkp_vector x, fkp_activation activation) {
    switch (activation) {
    case FKP_ACTIVATION_RELU:
        return v_max(v_set(0.0f), x);
    case FKP_ACTIVATION_ELU:
        return v_elu(x);
    case FKP_ACTIVATION_GELU: {
        fkp_vector half = v_mul(x, v_set(0.5f));
        return v_fma(half, v_erf_normal(x), half);
    }
    case FKP_ACTIVATION_NONE:
        break;
    }
    return x;
}

/* Expands `call` once per activation, so that the switch stands outside of the loop. */
#define FKP_FOR_EACH_ACTIVATION(activation, call)                                                            \
    switch (activation) {                                                                                    \
    case FKP_ACTIVATION_RELU:                                                                                \
        call(FKP_ACTIVATION_RELU);                                                                           \
        break;                                                                                               \
    case FKP_ACTIVATION_ELU:                                                                                 \
        call(FKP_ACTIVATION_ELU);                                                                            \
        break;                                                                                               \
    case FKP_ACTIVATION_GELU:                                                                                \
        call(FKP_ACTIVATION_GELU);                                                                           \
        break;                                                                                               \
    default:                                                                                                 \
        call(FKP_ACTIVATION_NONE);                                                                           \
        break;                                                                                               \
    }

#endif
