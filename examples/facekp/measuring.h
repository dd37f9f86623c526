/* Measuring a model on faces with known points: the options that eval and plot share. */
#ifndef MEASURING_H
#define MEASURING_H

#include "facekp/train.h"
#include "options.h"

enum { MEASURING_OPTIONS = 11 };
typedef struct measuring {
    const char *csv, *images;
    int32_t split; /* -1: all faces */
    double held_out;
    int64_t split_seed, threads;
    int32_t decode;
    bool flip, remove_bias, second_pass, skip_bad;
} measuring;

/* Sets the defaults, and the table's first MEASURING_OPTIONS entries. */
void measuring_begin(measuring *settings, option_entry *entries);
/* Measures a model file. EXIT_DONE and the report, or a complaint, NULL and the code to leave with. */
int measure(const measuring *settings, const char *model, facekp_train_report **report);

#endif
