/* Times and ceilings for --bench. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "harness.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double seconds_of(void (*work)(void *argument), void *argument) {
    enum { ROUNDS = 25 };
    const double enough = 2e-3; /* the clock's resolution does not matter then */
    size_t calls = 1;
    double elapsed = 0, best = 1e9;
    while (elapsed < enough) {
        double begin = now();
        for (size_t i = 0; i < calls; i++) work(argument);
        elapsed = now() - begin;
        if (elapsed < enough) calls *= 2;
    }
    for (int round = 0; round < ROUNDS; round++) {
        double begin = now();
        for (size_t i = 0; i < calls; i++) work(argument);
        elapsed = (now() - begin) / (double)calls;
        best = elapsed < best ? elapsed : best;
    }
    return best;
}

/* Twelve independent chains hide the latency of a fused multiply-add; nothing leaves the registers. */
#define CHAINS 12
#define STEPS 4096
#if defined(__x86_64__)
#define DEFINE_PEAK(name, isa, type, set, fma, store)                                                        \
    __attribute__((target(isa))) static void name(void *argument) {                                          \
        type sums[CHAINS], x = set(0.5f), y = set(1.0f);                                                     \
        for (int i = 0; i < CHAINS; i++) sums[i] = set((float)i);                                            \
        for (int step = 0; step < STEPS; step++)                                                             \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) sums[i] = fma(sums[i], x, y);          \
        for (int i = 0; i < CHAINS; i++) store((float *)argument + i * 16, sums[i]);                         \
    }
DEFINE_PEAK(fma_avx2, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_storeu_ps)
DEFINE_PEAK(fma_avx512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_storeu_ps)
#endif

/* The portable set has four lanes and no fused instruction: its ceiling is that of multiply and add. */
static void multiply_add(void *argument) {
    typedef float vector __attribute__((vector_size(16)));
    vector sums[CHAINS], x = {0.5f, 0.5f, 0.5f, 0.5f}, y = {1.0f, 1.0f, 1.0f, 1.0f};
    for (int i = 0; i < CHAINS; i++) sums[i] = y * (float)i;
    for (int step = 0; step < STEPS; step++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) sums[i] = sums[i] * x + y;
    float *out = argument;
    for (int i = 0; i < CHAINS; i++)
        for (int lane = 0; lane < 4; lane++) out[i * 4 + lane] = sums[i][lane];
}

double peak_gflops(fkp_isa isa) {
    float sink[CHAINS * 16];
    double lanes = 4;
    void (*loop)(void *) = multiply_add;
#if defined(__x86_64__)
    if (isa == FKP_ISA_AVX2) {
        lanes = 8;
        loop = fma_avx2;
    } else if (isa >= FKP_ISA_AVX512) {
        lanes = 16;
        loop = fma_avx512;
    }
#else
    (void)isa;
#endif
    return 2.0 * CHAINS * STEPS * lanes / seconds_of(loop, sink) * 1e-9;
}

/* ---- memory ---- */

/* What is read and written. */
typedef struct stream {
    const float *in, *other;
    float *out; /* of a read: 8 vectors */
    size_t count;
} stream;

#define SUMS 8
/* Reads, copies, and writes the sum of two streams, `in` and `other`. */
#define DEFINE_STREAMS(suffix, target_isa, type, lanes, load, add, store)                                    \
    target_isa static void read_##suffix(void *argument) {                                                   \
        const stream s = *(const stream *)argument;                                                          \
        type sums[SUMS];                                                                                     \
        for (int k = 0; k < SUMS; k++) sums[k] = load(s.in + k * lanes);                                     \
        for (size_t i = 0; i < s.count; i += SUMS * lanes)                                                   \
            _Pragma("GCC unroll 8") for (int k = 0; k < SUMS; k++) sums[k] =                                 \
                add(sums[k], load(s.in + i + k * lanes));                                                    \
        for (int k = 0; k < SUMS; k++) store(s.out + k * lanes, sums[k]);                                    \
    }                                                                                                        \
    target_isa static void copy_##suffix(void *argument) {                                                   \
        const stream s = *(const stream *)argument;                                                          \
        for (size_t i = 0; i < s.count; i += SUMS * lanes)                                                   \
            _Pragma("GCC unroll 8") for (int k = 0; k < SUMS; k++)                                           \
                store(s.out + i + k * lanes, load(s.in + i + k * lanes));                                    \
    }                                                                                                        \
    target_isa static void sum_##suffix(void *argument) {                                                    \
        const stream s = *(const stream *)argument;                                                          \
        for (size_t i = 0; i < s.count; i += SUMS * lanes)                                                   \
            _Pragma("GCC unroll 8") for (int k = 0; k < SUMS; k++) store(                                    \
                s.out + i + k * lanes, add(load(s.in + i + k * lanes), load(s.other + i + k * lanes)));      \
    }
#if defined(__x86_64__)
DEFINE_STREAMS(avx2, __attribute__((target("avx2"))), __m256, 8, _mm256_load_ps, _mm256_add_ps,
               _mm256_store_ps)
DEFINE_STREAMS(avx512, __attribute__((target("avx512f"))), __m512, 16, _mm512_load_ps, _mm512_add_ps,
               _mm512_store_ps)
#endif

/* Four lanes, for the portable set. */
typedef float four __attribute__((vector_size(16), may_alias));
static inline four load_four(const float *in) { return *(const four *)(const void *)in; }
static inline four add_four(four a, four b) { return a + b; }
static inline void store_four(float *out, four value) { *(four *)(void *)out = value; }
DEFINE_STREAMS(four, , four, 4, load_four, add_four, store_four)

bandwidth measure_bandwidth(fkp_isa isa) {
    /* The three ends of a sum fit into a first-level cache of 32 KB; none into any third level. */
    enum { NEAR = 2048, FAR = 32 << 20 };
    const fkp_memory memory = fkp_memory_from(NULL);
    float *in = fkp_allocate(&memory, FAR, sizeof *in), *out = fkp_allocate(&memory, FAR, sizeof *out);
    if (in == NULL || out == NULL) {
        fprintf(stderr, "no memory to measure its bandwidth\n");
        exit(EXIT_FAILURE);
    }
    void (*read)(void *) = read_four, (*copy)(void *) = copy_four, (*sum)(void *) = sum_four;
#if defined(__x86_64__)
    if (isa == FKP_ISA_AVX2) read = read_avx2, copy = copy_avx2, sum = sum_avx2;
    if (isa >= FKP_ISA_AVX512) read = read_avx512, copy = copy_avx512, sum = sum_avx512;
#else
    (void)isa;
#endif
    stream near = {in, in + NEAR, out, NEAR}, near_all = {in, NULL, out, 3 * NEAR},
           far = {in, NULL, out, FAR};
    const double near_bytes = sizeof(float) * NEAR, far_bytes = sizeof(float) * FAR;
    bandwidth measured = {.cache_read = 3 * near_bytes / seconds_of(read, &near_all) * 1e-9,
                          .cache_copy = 2 * near_bytes / seconds_of(copy, &near) * 1e-9,
                          .cache_sum = 3 * near_bytes / seconds_of(sum, &near) * 1e-9,
                          .memory_read = far_bytes / seconds_of(read, &far) * 1e-9,
                          .memory_copy = 2 * far_bytes / seconds_of(copy, &far) * 1e-9};
    fkp_release(&memory, in, FAR, sizeof *in);
    fkp_release(&memory, out, FAR, sizeof *out);
    return measured;
}
