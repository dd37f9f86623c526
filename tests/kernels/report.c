/* What --bench tells: a line of a table for each kernel, or with json one document. */
#include <math.h>
#include <stdio.h>

#include "harness.h"

void report_begin(trial *check) {
    const fkp_isa isa = check->kernels.isa;
    check->peak = peak_gflops(isa);
    check->bandwidth = measure_bandwidth(isa);
    const bandwidth *b = &check->bandwidth;
    if (check->json)
        printf("{\"cpu\": \"%s\",\n \"ceilings\": {\"multiply_add_gflops\": %.1f, \"cache_read_gbs\": %.1f, "
               "\"cache_copy_gbs\": %.1f, \"cache_sum_gbs\": %.1f, \"memory_read_gbs\": %.1f, "
               "\"memory_copy_gbs\": %.1f},\n \"rows\": [",
               fkp_isa_name(isa), check->peak, b->cache_read, b->cache_copy, b->cache_sum, b->memory_read,
               b->memory_copy);
    else
        printf(
            "Ceilings of one thread, %s: %.1f GFLOP/s; first-level cache, GB/s: %.1f read, %.1f copied, %.1f "
            "summed; memory: %.1f read, %.1f copied\n",
            fkp_isa_name(isa), check->peak, b->cache_read, b->cache_copy, b->cache_sum, b->memory_read,
            b->memory_copy);
}

void report_end(const trial *check) {
    if (check->json) printf("\n ]}\n");
}

static void report(trial *check, const char *what, double seconds, double rate, const char *unit,
                   double ceiling, const char *ceiling_name) {
    if (check->json)
        printf(
            "%s\n  {\"kernel\": \"%s\", \"microseconds\": %.4f, \"rate\": %.3f, \"unit\": \"%s\", \"share\": "
            "%.4f, \"ceiling\": \"%s\"}",
            check->rows == 0 ? "" : ",", what, seconds * 1e6, rate, unit, rate / ceiling, ceiling_name);
    else
        printf("%-9s %-60s %10.2f us %8.1f %-7s %3.0f %% of %s\n", fkp_isa_name(check->kernels.isa), what,
               seconds * 1e6, rate, unit, 100 * rate / ceiling, ceiling_name);
    check->rows++;
}

void report_gflops(trial *check, const char *what, double operations, double seconds) {
    report(check, what, seconds, operations / seconds * 1e-9, "GFLOP/s", check->peak, "multiply-add");
}

static double cache_ceiling(const bandwidth *b) {
    return fmax(b->cache_read, fmax(b->cache_copy, b->cache_sum));
}

void report_bandwidth(trial *check, const char *what, double bytes, double seconds) {
    report(check, what, seconds, bytes / seconds * 1e-9, "GB/s", cache_ceiling(&check->bandwidth), "cache");
}

void report_streaming(trial *check, const char *what, double bytes, double seconds) {
    report(check, what, seconds, bytes / seconds * 1e-9, "GB/s", check->bandwidth.memory_read, "memory read");
}
