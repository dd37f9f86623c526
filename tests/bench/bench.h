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

/* Milliseconds since the process was started, in the kernel's ticks of 10 ms. */
static inline double since_start_ms(void) {
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "r");
    if (file == NULL) return 0.0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    const char *field = strrchr(text, ')');
    for (int i = 2; i < 22 && field != NULL; i++) field = strchr(field + 1, ' ');
    if (field == NULL) return 0.0;
    double ticks = strtod(field, NULL);
    return now_ms(CLOCK_BOOTTIME) - 1e3 * ticks / (double)sysconf(_SC_CLK_TCK);
}

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
