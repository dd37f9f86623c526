/* Checkpoints: everything a training needs to go on as if it had never stopped, in one safetensors file.
 *
 *   tensors   the network's parameters by their names, then "optimiser.first_moment" and the other arrays of
 *             the optimiser, each flat
 *   metadata  "facekp_checkpoint" = format number; "architecture"; "options" (fkp_options_describe); "state":
 *             the position below and the steps of each parameter, as hexadecimal words
 *
 * All random numbers are functions of the seed and the position, so the position is the random state. */
#ifndef FKP_CHECKPOINT_H
#define FKP_CHECKPOINT_H

#include "graph/graph.h"
#include "train/optimiser.h"

/* Where a training stands. Sums are of the epoch that is under way. */
typedef struct fkp_position {
    uint64_t epoch, step; /* the next step to take */
    uint64_t data;        /* fingerprint of the faces trained on and held out */
    uint64_t batches;     /* in loss_sum */
    double loss_sum, square_sum;
    uint64_t coordinates; /* in square_sum */
    double best;          /* metric of the best epoch; infinity before there is one */
    uint64_t best_epoch, worse_epochs;
} fkp_position;

typedef struct fkp_checkpoint {
    const fkp_network *network;
    float *parameters;
    fkp_optimiser *optimiser;
    const char *options; /* as fkp_options_describe() writes them */
    fkp_position *position;
} fkp_checkpoint;

/* Writes the file whole or not at all. */
facekp_status fkp_checkpoint_write(const fkp_memory *memory, const char *path,
                                   const fkp_checkpoint *checkpoint, fkp_error *error);
/* Fills parameters, optimiser and position. FACEKP_ERROR_FORMAT: no checkpoint, or damaged;
 * FACEKP_ERROR_STATE: one of another architecture, with other options, or of other data than position->data
 * says: the message names what differs; FACEKP_ERROR_TENSOR: a tensor is missing or of another size. After a
 * failure the training's state is not to be used. */
facekp_status fkp_checkpoint_read(const fkp_memory *memory, const char *path,
                                  const fkp_checkpoint *checkpoint, fkp_error *error);

#endif
