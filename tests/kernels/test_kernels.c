/* Holds every kernel of one instruction set to the reference, or times the same list:
 *
 *     test_kernels portable|avx2|avx512|amx [--seed N] [--bench [json]] [FAMILY]
 *
 * 77: this CPU lacks the set. A set that was asked for, is there, and is not chosen is a failure. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "kernels/reference/reference.h"

enum { SKIPPED = 77 };

typedef struct family {
    const char *name;
    void (*check)(trial *check);
    void (*bench)(trial *check);
} family;

static const family families[] = {{"gemm", check_gemm, bench_gemm},
                                  {"plane", check_plane, bench_plane},
                                  {"activate", check_activate, bench_elementwise},
                                  {"scale_shift", check_scale_shift, NULL},
                                  {"add", check_add, NULL},
                                  {"maximum", check_maximum, bench_maximum},
                                  {"layer_norm", check_layer_norm, bench_rowwise},
                                  {"softmax", check_softmax, NULL},
                                  {"transpose", check_transpose, NULL},
                                  {"winograd", check_winograd, bench_winograd},
                                  {"split", check_split, bench_split},
                                  {"operators", NULL, bench_operators}};

#if defined(FKP_HAS_AMX)
/* Whether Linux lists a flag of the CPU. */
static bool linux_lists(const char *flag) {
    static char line[1 << 16];
    FILE *file = fopen("/proc/cpuinfo", "r");
    bool found = false;
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL)
        found = strncmp(line, "flags", 5) == 0 && strstr(line, flag) != NULL;
    if (file != NULL) fclose(file);
    return found;
}
#endif

/* What the compiler's own detection says, to hold ours to; AMX is not known to all compilers, and left out of
 * the library by those that do not know it at all. */
static bool cpu_has(fkp_isa isa) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#if defined(FKP_HAS_AMX)
    if (isa == FKP_ISA_AMX)
        return avx512 && linux_lists(" amx_tile") && linux_lists(" amx_bf16") && linux_lists(" avx512_bf16");
#endif
    return isa == FKP_ISA_PORTABLE || (isa == FKP_ISA_AVX2 && avx2) || (isa == FKP_ISA_AVX512 && avx512);
#else
    return isa == FKP_ISA_PORTABLE;
#endif
}

static void run_family(trial *check, const family *f, bool bench) {
    if (bench) {
        if (f->bench != NULL) f->bench(check);
        return;
    }
    for (int at_end = 0; f->check != NULL && at_end < 2; at_end++) {
        check->at_end = at_end == 1;
        f->check(check);
    }
}

static int run(trial *check, bool bench, const char *only) {
    if (bench) report_begin(check);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (only == NULL || strcmp(only, families[i].name) == 0) run_family(check, &families[i], bench);
    if (bench)
        report_end(check);
    else
        printf("%s: %zu comparisons, %zu failures, seed %" PRIu64 "\n", fkp_isa_name(check->kernels.isa),
               check->comparisons, check->failures, check->seed);
    return check->failures == 0 && (bench || check->comparisons > 0) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv) {
    static trial check;
    check.seed = 1; /* the same numbers in every run of the gate */
    bool bench = false;
    const char *only = NULL;
    fkp_isa isa = argc > 1 ? fkp_isa_named(argv[1]) : FKP_ISA_COUNT;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--bench") == 0)
            bench = true;
        else if (bench && strcmp(argv[i], "json") == 0)
            check.json = true;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            check.seed = strtoull(argv[++i], NULL, 10);
        else
            only = argv[i];
    }
    if (isa == FKP_ISA_COUNT) {
        fprintf(stderr,
                "usage: test_kernels portable|avx2|avx512|amx [--seed N] [--bench [json]] [FAMILY]\n");
        return EXIT_FAILURE;
    }
    if (!cpu_has(isa)) {
        printf("skipped: this CPU has no %s\n", fkp_isa_name(isa));
        return SKIPPED;
    }
    check.random = fkp_random_stream(check.seed, 0, 0);
    fkp_register_reference(&check.reference);
    fkp_kernels_select(isa, &check.kernels);
    if (check.kernels.isa != isa) {
        printf("FAILED: asked for %s, got %s\n", fkp_isa_name(isa), fkp_isa_name(check.kernels.isa));
        return EXIT_FAILURE;
    }
    return run(&check, bench, only);
}
