/* A training under way: the pieces, and who does what with them.
 *
 *   prepare.c   reads the data, builds the network, takes the first weights
 *   trainer.c   takes the steps
 *   validate.c  measures
 *   record.c    writes: the weights file of the best epoch, the epoch log, the checkpoint */
#ifndef FKP_TRAINER_H
#define FKP_TRAINER_H

#include "train/checkpoint.h"
#include "train/data/loader.h"
#include "train/data/split.h"
#include "train/gradient.h"
#include "train/metrics.h"
#include "train/settings.h"

struct facekp_train {
    fkp_memory memory;
    fkp_error error;
    fkp_settings settings;
    facekp_train_options options; /* its strings are copies, or NULL where nothing needs them any more */
    fkp_text description;         /* fkp_options_describe() */

    fkp_dataset *dataset;    /* train_csv, then extra_csv */
    fkp_dataset *validation; /* validation_csv; NULL: held out of the data set, or none */
    size_t *faces;           /* train_count to train on, then held_count held out */
    size_t face_capacity, train_count, held_count;

    fkp_pool *pool;
    fkp_kernels kernels;
    fkp_network *network;
    fkp_gradient *engine;
    fkp_optimiser *optimiser;
    float *parameters, *gradients; /* network->storage each */
    float *loss_scratch;
    size_t loss_scratch_floats;
    float *cells;  /* a batch's targets on the heatmaps' grid */
    float *points; /* a batch's predictions, normalised */
    float *plane;  /* one heatmap */

    uint64_t steps; /* of an epoch */
    fkp_position position;
};

/* ---- prepare.c ---- */
facekp_status fkp_train_prepare(facekp_train *train, const facekp_train_options *options);
static inline bool fkp_train_on_heatmaps(const facekp_train *train) {
    return train->network->output_kind == FACEKP_OUTPUT_HEATMAPS;
}

/* ---- trainer.c ---- */
/* The loss of a batch, and with d_output its gradient; targets are normalised points. */
double fkp_train_loss(facekp_train *train, const float *output, const float *targets, size_t count,
                      float *d_output);

/* ---- validate.c ---- */
/* train->points from the network's output: normalised, count x keypoints x 2. */
void fkp_train_points(facekp_train *train, const float *output, size_t count);
static inline bool fkp_train_validates(const facekp_train *train) {
    return train->validation != NULL || train->held_count > 0;
}
/* The loss and the metrics of the weights that would be kept, over the validation faces. */
facekp_status fkp_train_validate(facekp_train *train, double *loss, fkp_metrics_summary *summary);

/* ---- record.c ---- */
/* Whether the files that will be written can be, so that it does not show after an epoch; removes what killed
 * trainings left of them. */
facekp_status fkp_train_check_files(facekp_train *train);
/* The weights that are validated and kept: the moving average where there is one. */
float *fkp_train_kept_weights(facekp_train *train);
facekp_status fkp_train_write_output(facekp_train *train);
/* Appends an epoch to the log, after the lines of the epochs before it that the file has. */
facekp_status fkp_train_write_log(facekp_train *train, const facekp_train_epoch *epoch);
facekp_status fkp_train_write_checkpoint(facekp_train *train);

#endif
