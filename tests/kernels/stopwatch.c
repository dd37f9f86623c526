/* Times and ceilings for --bench. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <stdio.h>
#include <time.h>

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
    } else if (isa == FKP_ISA_AVX512) {
        lanes = 16;
        loop = fma_avx512;
    }
#else
    (void)isa;
#endif
    return 2.0 * CHAINS * STEPS * lanes / seconds_of(loop, sink) * 1e-9;
}

void report_gflops(const trial *check, const char *what, double operations, double seconds) {
    double rate = operations / seconds * 1e-9;
    printf("%-9s %-60s %8.1f GFLOP/s  %3.0f %% of the peak\n", fkp_isa_name(check->kernels.isa), what, rate,
           100 * rate / check->peak);
}

void report_bandwidth(const trial *check, const char *what, double bytes, double seconds) {
    printf("%-9s %-60s %8.1f GB/s\n", fkp_isa_name(check->kernels.isa), what, bytes / seconds * 1e-9);
}
