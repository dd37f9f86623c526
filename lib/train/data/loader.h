/* Batches prepared ahead on threads of their own, in an order that is a pure function of (seed, epoch).
 *
 * Threads take whole batches from a counter and put them into a ring; the trainer takes them in order. What
 * is in a batch depends on nothing but its number, so the number of threads does not show, and a loader
 * created at (epoch, step) goes on as one that was there from the start. */
#ifndef FKP_LOADER_H
#define FKP_LOADER_H

#include "train/data/augment.h"

#define FKP_MAX_BATCH 1024
#define FKP_MAX_LOADER_THREADS 16

typedef struct fkp_loader_options {
    const fkp_dataset *dataset;
    const size_t *faces; /* the ones to use, kept by the caller; NULL: all */
    size_t face_count;
    size_t batch;
    int32_t size; /* side of the network's input */
    fkp_augment augment;
    uint64_t seed;
    bool training;   /* shuffled, epoch after epoch, an incomplete last batch left out; else once, in order */
    int32_t threads; /* 0: 1 */
    int32_t ahead;   /* batches prepared ahead; 0: 3 */
} fkp_loader_options;

typedef struct fkp_batch {
    size_t count; /* faces in it */
    uint64_t epoch, step;
    const float *crops;   /* count x size x size */
    const float *targets; /* count x keypoints x 2, normalised */
    const size_t *faces;  /* their numbers in the data set */
} fkp_batch;

typedef struct fkp_loader fkp_loader;

/* The first batch is number `step` of `epoch`. With fewer faces than a batch, all of them are the batch. */
facekp_status fkp_loader_create(const fkp_memory *memory, const fkp_loader_options *options, uint64_t epoch,
                                uint64_t step, fkp_loader **loader, fkp_error *error);
void fkp_loader_free(fkp_loader *loader);
uint64_t fkp_loader_steps(const fkp_loader *loader); /* batches of an epoch */

/* Lends the next batch until the next call; batch->count is 0 at the end (never in training). */
facekp_status fkp_loader_next(fkp_loader *loader, fkp_batch *batch, fkp_error *error);

#endif
