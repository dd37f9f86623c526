/* What a layer is to the engine: how much it saves and needs, and its forward and backward on bound memory.
 * One file a layer, forward and backward side by side; table.c lists them by fkp_layer_kind. */
#ifndef FKP_LAYER_H
#define FKP_LAYER_H

#include "base/checked.h"
#include "graph/graph.h"
#include "train/kernels/train_kernels.h"

/* Rows of channels inside a buffer; data NULL: not there, or not wanted. */
typedef struct fkp_view {
    float *data;
    size_t stride;
} fkp_view;

/* One layer bound to its memory for one pass. */
typedef struct fkp_pass {
    const fkp_network *network;
    const fkp_layer *layer;
    int32_t index;
    size_t count; /* images */
    fkp_context context;
    const fkp_train_kernels *train;
    bool split;                /* products of split numbers are fast: linear layers of many rows take them */
    fkp_activation activation; /* the layer's own, or that of the activation layer it does in passing */
    bool training;
    uint64_t stream; /* of this layer and step */
    float *saved;    /* record->saved(pass) floats, from forward to backward */

    fkp_view in[2], out;
    fkp_view d_in[2], d_out;  /* backward */
    bool accumulate_input[2]; /* d_in holds something already: add */

    float *parameters; /* flat storages; running statistics are the only ones written */
    float *gradients;
    const bool *trained; /* per parameter */
    bool accumulate;     /* gradients hold something already: add */
} fkp_pass;

typedef struct fkp_layer_record {
    /* Which tensors the backward reads: they are kept until then. */
    bool reads_input, reads_output;
    bool in_place;          /* out may be the first input's memory (the second's too, for a sum) */
    bool gradient_in_place; /* d_in may be d_out's memory */
    bool accumulates;       /* can add onto d_in; otherwise the engine gives it a place of its own and adds */
    size_t (*saved)(const fkp_pass *pass);   /* floats; NULL: none */
    size_t (*scratch)(const fkp_pass *pass); /* floats of context.scratch; NULL: none */
    void (*forward)(const fkp_pass *pass);
    /* Gives gradients of the layer's trained parameters and of the inputs whose d_in is there. */
    void (*backward)(const fkp_pass *pass);
} fkp_layer_record;

const fkp_layer_record *fkp_layer_record_of(fkp_layer_kind kind);

extern const fkp_layer_record fkp_input_record, fkp_convolution_record, fkp_upsampling_record,
    fkp_linear_record, fkp_batch_norm_record, fkp_activation_record, fkp_max_pooling_record,
    fkp_average_pooling_record, fkp_dropout_record, fkp_add_record, fkp_concatenate_record,
    fkp_flatten_record, fkp_tokens_record, fkp_layer_norm_record, fkp_attention_record,
    fkp_skip_tokens_record, fkp_query_attention_record;

static inline fkp_shape fkp_pass_in_shape(const fkp_pass *pass, int which) {
    return pass->network->layers[pass->layer->inputs[which]].shape;
}
/* Rows of the output and of an input, over the whole batch. */
static inline size_t fkp_pass_rows(const fkp_pass *pass) {
    return pass->count * fkp_shape_rows(pass->layer->shape);
}
static inline size_t fkp_pass_in_rows(const fkp_pass *pass, int which) {
    return pass->count * fkp_shape_rows(fkp_pass_in_shape(pass, which));
}
static inline size_t fkp_pass_threads(const fkp_pass *pass) { return fkp_pool_threads(pass->context.pool); }

/* A parameter's values; NULL if the layer has none of that role. */
float *fkp_pass_parameter(const fkp_pass *pass, fkp_role role);
/* Where its gradient goes; NULL also if it is not trained. */
float *fkp_pass_gradient(const fkp_pass *pass, fkp_role role);
/* The context with the first `used` floats of scratch taken. */
fkp_context fkp_pass_context_after(const fkp_pass *pass, size_t used);

#endif
