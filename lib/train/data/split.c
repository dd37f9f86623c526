#include "train/data/split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

size_t fkp_split_group(const char *name, fkp_split_by by) {
    const char *underscore = strrchr(name, '_');
    if (underscore == NULL) return strlen(name);
    size_t person = (size_t)(underscore - name);
    return by == FKP_SPLIT_VIDEO && underscore[1] != '\0' ? person + 2 : person;
}

/* A group's key: FNV-1a of its name, then mixed with the seed. Groups are told apart by their keys. */
static uint64_t group_key(const char *name, size_t length, uint64_t seed) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
    return fkp_random_stream(seed, hash, length).key;
}

static int compare_keys(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sorts the keys and moves the different ones to the front; returns how many there are. */
static size_t unique_keys(uint64_t *keys, size_t count) {
    qsort(keys, count, sizeof *keys, compare_keys);
    size_t unique = 0;
    for (size_t i = 0; i < count; i++)
        if (unique == 0 || keys[i] != keys[unique - 1]) keys[unique++] = keys[i];
    return unique;
}

static void fill(const fkp_dataset *dataset, fkp_split_by by, uint64_t seed, uint64_t last_held,
                 fkp_split *split) {
    for (int held = 0; held < 2; held++) {
        for (size_t i = 0; i < dataset->count; i++) {
            const char *name = dataset->faces[i].name;
            bool out = group_key(name, fkp_split_group(name, by), seed) <= last_held;
            if (out == (held == 1)) split->faces[split->train_count + split->held_count++] = i;
        }
        if (held == 0) {
            split->train_count = split->held_count;
            split->held_count = 0;
        }
    }
}

facekp_status fkp_split_create(const fkp_memory *memory, const fkp_dataset *dataset, fkp_split_by by,
                               double fraction, uint64_t seed, fkp_split *split, fkp_error *error) {
    *split = (fkp_split){0};
    if (!(fraction > 0.0 && fraction < 1.0))
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "the held-out part must lie between 0 and 1");
    size_t count = dataset->count;
    uint64_t *keys = fkp_allocate_raw(memory, count, sizeof *keys);
    fkp_split made = {.faces = fkp_allocate_raw(memory, count, sizeof *made.faces), .count = count};
    facekp_status status = FACEKP_OK;
    if (keys == NULL || made.faces == NULL) {
        status = fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory to split %zu faces", count);
    } else {
        for (size_t i = 0; i < count; i++) {
            const char *name = dataset->faces[i].name;
            keys[i] = group_key(name, fkp_split_group(name, by), seed);
        }
        size_t groups = unique_keys(keys, count);
        size_t held = (size_t)lround(fraction * (double)groups);
        if (held == 0) held = 1;
        if (groups < 2 || held >= groups)
            status = fkp_fail(error, FACEKP_ERROR_FORMAT,
                              "%zu %s: too few to hold out %.2g of them; give a validation file instead",
                              groups, by == FKP_SPLIT_PERSON ? "people" : "videos", fraction);
        else
            fill(dataset, by, seed, keys[held - 1], &made);
    }
    fkp_release(memory, keys, count, sizeof *keys);
    if (status == FACEKP_OK)
        *split = made;
    else
        fkp_release(memory, made.faces, count, sizeof *made.faces);
    return status;
}

void fkp_split_free(const fkp_memory *memory, fkp_split *split) {
    fkp_release(memory, split->faces, split->count, sizeof *split->faces);
    *split = (fkp_split){0};
}
