/* Names of a state dict: what wrappers put before them is taken off. */
#include <string.h>

#include "base/sort.h"
#include "weights/container.h"

/* In the order of trying; the longest names nest several, so the list is gone through until nothing more
 * comes off. */
static const char *const prefixes[] = {"module.", "model.", "network.", "teacher.", "student.", "backbone."};

static int compare_names(const void *context, uint32_t a, uint32_t b) {
    const fkp_tensor *tensors = context;
    return strcmp(tensors[a].name, tensors[b].name);
}

/* Sorts by name; returns a name that stands twice, or NULL. */
static const char *sort_names(fkp_weights *weights) {
    for (size_t i = 0; i < weights->count; i++) weights->by_name[i] = (uint32_t)i;
    fkp_sort(weights->by_name, weights->count, compare_names, weights->tensors);
    for (size_t i = 1; i < weights->count; i++) {
        const char *name = weights->tensors[weights->by_name[i]].name;
        if (strcmp(weights->tensors[weights->by_name[i - 1]].name, name) == 0) return name;
    }
    return NULL;
}

static bool has_prefix(const char *name, const char *prefix) {
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* A flat file of a teacher and a student: the teacher is the average of the students and the better network
 * (Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021). */
static void prefer_teacher(fkp_weights *weights) {
    bool teacher = false;
    for (size_t i = 0; i < weights->count; i++) teacher |= has_prefix(weights->tensors[i].name, "teacher.");
    if (!teacher) return;
    size_t kept = 0;
    for (size_t i = 0; i < weights->count; i++)
        if (!has_prefix(weights->tensors[i].name, "student.")) weights->tensors[kept++] = weights->tensors[i];
    weights->count = kept;
}

/* Takes one prefix off every name that has it, unless two names would become one. True if any came off. */
static bool strip(fkp_weights *weights, const char *prefix) {
    size_t length = strlen(prefix), stripped = 0;
    for (size_t i = 0; i < weights->count; i++) {
        fkp_tensor *tensor = &weights->tensors[i];
        bool strips = has_prefix(tensor->name, prefix) && tensor->name[length] != '\0';
        weights->marks[i] = strips;
        if (strips) tensor->name += length;
        stripped += strips;
    }
    if (stripped == 0 || sort_names(weights) == NULL) return stripped != 0;
    for (size_t i = 0; i < weights->count; i++)
        if (weights->marks[i]) weights->tensors[i].name -= length;
    return false;
}

facekp_status fkp_weights_index(fkp_weights *weights, fkp_error *error) {
    const size_t prefix_count = sizeof prefixes / sizeof *prefixes;
    prefer_teacher(weights);
    const char *twice = sort_names(weights);
    if (twice != NULL) return fkp_fail(error, FACEKP_ERROR_FORMAT, "two tensors are called %.200s", twice);
    const size_t most_rounds = 4;
    bool changed = true;
    for (size_t round = 0; round < most_rounds && changed; round++) {
        changed = false;
        for (size_t i = 0; i < prefix_count; i++) changed |= strip(weights, prefixes[i]);
    }
    sort_names(weights);
    return FACEKP_OK;
}
