/* Where the tensors of a training step live: which of them share memory, which activation is done in passing,
 * and the place of each buffer in one arena, by lifetimes. Time runs through the forward pass (layer i at i)
 * and then back through the layers (layer i at 2 L - 1 - i). */
#ifndef FKP_GRADIENT_PLAN_H
#define FKP_GRADIENT_PLAN_H

#include "train/layers/layer.h"

/* A tensor's place: rows of `stride` floats from `offset` in the arena. Offsets are for a whole batch. */
typedef struct fkp_tensor_place {
    bool outside; /* the caller's memory: the network's input, the gradient of its output */
    size_t offset, stride;
} fkp_tensor_place;

typedef struct fkp_layer_plan {
    const fkp_layer_record *record;
    fkp_activation activation; /* see fkp_pass */
    bool forward_absorbed;     /* an activation that its input's layer does */
    bool backward_absorbed;    /* … the backward too (after BatchNorm) */
    bool keep_gradient;        /* the backward must leave d_out as it is: another layer reads it later */
    bool accumulate_input[2];  /* another layer has written to the input's gradient before */
    bool temporary[2];         /* then through `temporary_place`, where the layer itself cannot add */
    fkp_tensor_place value, gradient, temporary_place;
    size_t saved; /* offset */
} fkp_layer_plan;

typedef struct fkp_gradient_plan {
    fkp_layer_plan *layers; /* network->layer_count */
    size_t floats;          /* of the arena */
    size_t scratch;         /* floats that the hungriest layer needs beside it */
} fkp_gradient_plan;

/* `pass` gives network, count (the largest batch), kernels and pool. */
facekp_status fkp_gradient_plan_create(const fkp_memory *memory, const fkp_pass *pass,
                                       fkp_gradient_plan *plan, fkp_error *error);
void fkp_gradient_plan_free(const fkp_memory *memory, const fkp_network *network, fkp_gradient_plan *plan);

#endif
