/* Runs a fuzz target without a fuzzer: `driver FOLDER [MUTATIONS]` gives it every file of the folder, every
 * beginning of the small ones, and that many mutations of each, the same in every run. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "fuzz/fuzz.h"
#include "support/whole_file.h"

#define MOST_CUTS 4096 /* files up to this size are cut at every length */
#define MOST_CHANGES 8

/* From an exactly sized copy, so that a sanitizer sees a read past the end. */
static void run_copy(const unsigned char *data, size_t size) {
    unsigned char *copy = malloc(size + (size == 0));
    if (copy == NULL) return;
    if (size != 0) memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* Numbers that lie at the edges of what readers check. */
static uint64_t edge_number(fkp_random *random) {
    static const uint64_t edges[] = {0,
                                     1,
                                     0x7f,
                                     0x80,
                                     0xff,
                                     0x7fff,
                                     0xffff,
                                     0x7fffffff,
                                     0x80000000,
                                     0xffffffff,
                                     UINT64_C(1) << 62,
                                     INT64_MAX,
                                     UINT64_MAX};
    return edges[fkp_random_below(random, sizeof edges / sizeof *edges)];
}

static size_t mutate(unsigned char *data, size_t size, fkp_random *random) {
    size_t changes = 1 + (size_t)fkp_random_below(random, MOST_CHANGES);
    for (size_t i = 0; i < changes && size > 0; i++) {
        size_t at = (size_t)fkp_random_below(random, size);
        size_t width = (size_t)1 << fkp_random_below(random, 4);
        switch (fkp_random_below(random, 5)) {
        case 0:
            data[at] ^= (unsigned char)(1u << fkp_random_below(random, 8));
            break;
        case 1:
            data[at] = (unsigned char)fkp_random_next(random);
            break;
        case 2: {
            uint64_t number = edge_number(random);
            for (size_t k = 0; k < width && at + k < size; k++)
                data[at + k] = (unsigned char)(number >> (8 * k));
            break;
        }
        case 3: { /* a piece of the file over another */
            size_t from = (size_t)fkp_random_below(random, size),
                   length = (size_t)fkp_random_below(random, 64);
            if (length > size - at) length = size - at;
            if (length > size - from) length = size - from;
            memmove(data + at, data + from, length);
            break;
        }
        default:
            if (fkp_random_below(random, 8) == 0) size = at;
        }
    }
    return size;
}

static int run_file(const char *path, unsigned long mutations, uint64_t number) {
    size_t size;
    unsigned char *data = read_whole_file(path, &size);
    if (data == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return 1;
    }
    run_copy(data, size);
    for (size_t cut = 0; cut < size && size <= MOST_CUTS; cut++) run_copy(data, cut);
    unsigned char *changed = malloc(size + 1);
    for (unsigned long i = 0; i < mutations && changed != NULL; i++) {
        fkp_random random = fkp_random_stream(1, number, i);
        memcpy(changed, data, size);
        run_copy(changed, mutate(changed, size, &random));
    }
    free(changed);
    free(data);
    return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [MUTATIONS]\n", argv[0]);
        return 2;
    }
    unsigned long mutations = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    struct dirent **entries;
    int count = scandir(argv[1], &entries, NULL, by_name), failed = 0;
    unsigned files = 0;
    if (count < 0) {
        perror(argv[1]);
        return 2;
    }
    for (int i = 0; i < count; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", argv[1], entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            failed |= run_file(path, mutations, files);
            files++;
        }
        free(entries[i]);
    }
    free(entries);
    printf("%u files, %lu mutations of each\n", files, mutations);
    return failed != 0 || files == 0;
}
