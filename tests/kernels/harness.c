#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "harness.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { POISON = 0xff, REPORTED_FAILURES = 10 };

bool is_poison(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits == UINT32_MAX;
}

static guarded place(const trial *check, size_t count, size_t alignment) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = count * sizeof(float);
    size_t rounded = (size + alignment - 1) / alignment * alignment;
    size_t inner = (rounded + page - 1) / page * page;
    guarded block = {.count = count, .bytes = inner + 2 * page};
    block.pages = mmap(NULL, block.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block.pages == MAP_FAILED || mprotect(block.pages, page, PROT_NONE) != 0 ||
        mprotect(block.pages + page + inner, page, PROT_NONE) != 0) {
        fprintf(stderr, "no memory for a guarded buffer\n");
        exit(EXIT_FAILURE);
    }
    memset(block.pages + page, POISON, inner);
    block.data = (float *)(void *)(block.pages + page + (check->at_end ? inner - rounded : 0));
    return block;
}

guarded block_create(const trial *check, size_t count) { return place(check, count, sizeof(float)); }
guarded block_create_aligned(const trial *check, size_t count) { return place(check, count, 64); }

guarded block_random(trial *check, size_t count, float low, float high) {
    guarded block = block_create(check, count);
    for (size_t i = 0; i < count; i++) block.data[i] = fkp_random_between(&check->random, low, high);
    return block;
}

void block_free(trial *check, guarded *block) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const unsigned char *data = (const unsigned char *)block->data, *end = block->pages + block->bytes - page;
    bool clean = true;
    for (const unsigned char *p = block->pages + page; p < data; p++) clean = clean && *p == POISON;
    for (const unsigned char *p = data + block->count * sizeof(float); p < end; p++)
        clean = clean && *p == POISON;
    expect(check, clean, "wrote outside of a buffer");
    munmap(block->pages, block->bytes);
}

void set_label(trial *check, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(check->label, sizeof check->label, format, arguments);
    va_end(arguments);
}

static bool failed(trial *check) {
    check->failures++;
    if (check->failures > REPORTED_FAILURES) return false;
    printf("FAILED %s, %s, buffers %s, seed %llu: ", fkp_isa_name(check->kernels.isa), check->label,
           check->at_end ? "at the end" : "at the start", (unsigned long long)check->seed);
    return true;
}

void expect_near(trial *check, size_t index, double got, double expected, double bound) {
    check->comparisons++;
    bool same = isnan(expected) ? isnan(got) : got == expected || fabs(got - expected) <= bound;
    if (!same && failed(check))
        printf("at %zu %.9g, expected %.9g within %.3g\n", index, got, expected, bound);
}

void expect(trial *check, bool truth, const char *what) {
    check->comparisons++;
    if (!truth && failed(check)) printf("%s\n", what);
}

size_t length_at(const trial *check, size_t index) {
    size_t lanes = check->kernels.lanes;
    const size_t lengths[] = {0,
                              1,
                              2,
                              3,
                              31,
                              97,
                              251,
                              lanes - 1,
                              lanes,
                              lanes + 1,
                              4 * lanes - 1,
                              4 * lanes,
                              4 * lanes + 1,
                              8 * lanes + 3};
    return index < sizeof lengths / sizeof *lengths ? lengths[index] : SIZE_MAX;
}
