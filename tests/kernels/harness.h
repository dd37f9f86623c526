/* What the kernel checks share: buffers between guard pages, comparison against a bound, a stopwatch. The
 * same list of families is checked and, with --bench, timed. */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "kernels/kernels.h"

/* Half a unit in the last place of 1. */
#define EPSILON 0x1p-24

/* GB/s of one thread, counting what is read and what is written; a sum is of two. */
typedef struct bandwidth {
    double cache_read, cache_copy, cache_sum; /* the first level */
    double memory_read, memory_copy;
} bandwidth;

/* The state of a run over one instruction set. */
typedef struct trial {
    fkp_kernels kernels, reference;
    fkp_random random;
    uint64_t seed;
    bool at_end; /* buffers end at a guard page; else they begin after one */
    char label[160];
    size_t comparisons, failures;
    /* For --bench: ceilings, GFLOP/s and GB/s of one thread, and what has been told. */
    double peak;
    bandwidth bandwidth;
    bool json;
    size_t rows;
} trial;

/* `count` floats with an unmapped page before and after; what is left of the pages is poisoned with NaN, and
 * so are the floats themselves at first. */
typedef struct guarded {
    float *data;
    size_t count;
    unsigned char *pages;
    size_t bytes; /* of all pages, guards too */
} guarded;

/* Ends the program when memory is not to be had: nothing can be checked then. */
guarded block_create(const trial *check, size_t count);
/* The same, data aligned to 64 bytes. */
guarded block_create_aligned(const trial *check, size_t count);
guarded block_random(trial *check, size_t count, float low, float high);
/* A failure if anything outside of the floats was written. */
void block_free(trial *check, guarded *block);

/* True if the float is the poison that block_create() left. */
bool is_poison(float value);

void set_label(trial *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A failure if they differ by more than `bound`; NaN equals NaN. `index` is reported. */
void expect_near(trial *check, size_t index, double got, double expected, double bound);
/* A failure, with the label, if `truth` is false. */
void expect(trial *check, bool truth, const char *what);

/* Lengths around those of a vector and of a few vectors: 0, 1, primes, multiples and their neighbours. */
size_t length_at(const trial *check, size_t index); /* SIZE_MAX after the last */

/* Seconds of one call of `work`, the best of several measurements. */
double seconds_of(void (*work)(void *argument), void *argument);
/* Highest rate of one thread of this machine with the given instruction set, measured. */
double peak_gflops(fkp_isa isa);
bandwidth measure_bandwidth(fkp_isa isa);

/* Measures the ceilings and tells them; every row stands between the two. `what` is plain: no quotes. */
void report_begin(trial *check);
void report_end(const trial *check);
/* Against the peak; operations are those of one thread. */
void report_gflops(trial *check, const char *what, double operations, double seconds);
/* Against the highest rate of the first-level cache: bytes that a kernel reads and writes there. */
void report_bandwidth(trial *check, const char *what, double bytes, double seconds);
/* Against reading from memory. */
void report_streaming(trial *check, const char *what, double bytes, double seconds);

void check_gemm(trial *check);
void bench_gemm(trial *check);
void check_plane(trial *check);
void bench_plane(trial *check);
void check_activate(trial *check);
void check_scale_shift(trial *check);
void check_add(trial *check);
void check_maximum(trial *check);
void bench_maximum(trial *check);
void bench_elementwise(trial *check);
void check_layer_norm(trial *check);
void check_softmax(trial *check);
void check_transpose(trial *check);
void bench_rowwise(trial *check);
void check_winograd(trial *check);
void bench_winograd(trial *check);
void check_split(trial *check);
void bench_split(trial *check);
void bench_operators(trial *check);

#endif
