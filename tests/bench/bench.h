/* What the benchmark programs share: clocks, and the order statistics of their times. */
#ifndef BENCH_H
#define BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Runs before the measured ones. */
enum { WARM_UP = 3 };

static inline double now_ms(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return 1e3 * (double)time.tv_sec + 1e-6 * (double)time.tv_nsec;
}

/* When the process was started, asked at the beginning of main(): until then it has done nothing but compute.
 * The kernel tells the start itself only in ticks of 10 ms. */
static inline double start_ms(void) { return now_ms(CLOCK_MONOTONIC) - now_ms(CLOCK_PROCESS_CPUTIME_ID); }

static inline long peak_mb(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss / 1024;
}

static inline int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static inline void sort_times(double *times, int count) {
    qsort(times, (size_t)count, sizeof *times, by_value);
}

#endif
