/* Fuzz target: any bytes as a table. Every field lies inside the text, numbers are read or refused, and a
 * data set made of it, whose images are not there, has no row and says so. */
/* For memfd_create. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "train/data/csv.h"
#include "train/data/dataset.h"
#include "train/text.h"

enum { CAPACITY = 8 };

static void read_fields(const uint8_t *data, size_t size) {
    const char *begin = (const char *)data, *end = begin + size;
    fkp_field fields[CAPACITY];
    size_t count, lines = 0;
    fkp_csv csv;
    fkp_csv_begin(&csv, data, size);
    for (; fkp_csv_next(&csv, fields, CAPACITY, &count); lines++) {
        if (count == 0 || csv.line <= lines) abort();
        for (size_t i = 0; i < count && i < CAPACITY; i++) {
            double value;
            if (fields[i].begin < begin || fields[i].end < fields[i].begin || fields[i].end > end) abort();
            (void)fkp_parse_number(fields[i].begin, fields[i].end, &value);
        }
    }
}

static void read_dataset(const char *path, size_t keypoints) {
    const fkp_memory memory = fkp_memory_from(NULL);
    const fkp_dataset_options options = {.keypoints = keypoints, .folder = "/nonexistent", .skip_bad = true};
    fkp_error error = {0};
    fkp_dataset *dataset;
    if (fkp_dataset_create(&memory, 0, &dataset, NULL) != FACEKP_OK) return;
    if (fkp_dataset_add(dataset, path, &options, &error) == FACEKP_OK || error.message[0] == '\0') abort();
    fkp_dataset_free(dataset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    const int file = memfd_create("table", 0);
    read_fields(data, size);
    if (file < 0) return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (write(file, data, size) == (ssize_t)size) {
        read_dataset(path, 0);
        read_dataset(path, 2);
    }
    close(file);
    return 0;
}
