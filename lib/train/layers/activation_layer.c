/* Activations and dropout, mostly in place. The derivative of ReLU and ELU is told by the output, that of
 * GELU by the input: d = dy f'. Dropout (Srivastava et al. 2014): y = x mask / (1 - rate), dx = dy mask / (1
 * - rate); the mask is drawn again in the backward from the same stream instead of being kept. */
#include "train/layers/blocks.h"

/* Reads of the input or the output are decided per activation by the engine; see fkp_activation_reads_input.
 */
static void activate_forward(const fkp_pass *pass) {
    fkp_rows rows = {fkp_pass_rows(pass), pass->layer->shape.channels,
                     pass->in[0].data,    pass->in[0].stride,
                     pass->out.data,      pass->out.stride};
    fkp_activate_run(&pass->context, &rows, pass->layer->activation);
}

static void activation_block(const void *argument, const fkp_row_block *block) {
    const fkp_pass *pass = argument;
    const fkp_view *value = pass->layer->activation == FKP_ACTIVATION_GELU ? &pass->in[0] : &pass->out;
    size_t channels = pass->layer->shape.channels, rows = block->end - block->begin;
    bool dense =
        value->stride == channels && pass->d_out.stride == channels && pass->d_in[0].stride == channels;
    size_t runs = dense ? 1 : rows, length = dense ? rows * channels : channels;
    for (size_t r = 0; r < runs; r++) {
        size_t row = block->begin + r;
        pass->train->activation_backward(
            value->data + row * value->stride, pass->d_out.data + row * pass->d_out.stride,
            pass->d_in[0].data + row * pass->d_in[0].stride, length, pass->layer->activation);
    }
}

static void activate_backward(const fkp_pass *pass) {
    if (pass->d_in[0].data != NULL)
        fkp_row_blocks_run(pass->context.pool, fkp_pass_rows(pass), pass->layer->shape.channels,
                           activation_block, pass);
}

const fkp_layer_record fkp_activation_record = {
    .in_place = true, .gradient_in_place = true, .forward = activate_forward, .backward = activate_backward};

/* ---- dropout ---- */

typedef struct dropout_job {
    const fkp_pass *pass;
    fkp_view from, to;
} dropout_job;

static void drop_units(const void *argument, const fkp_row_block *block) {
    const dropout_job *job = argument;
    size_t channels = job->pass->layer->shape.channels;
    bool dense = job->from.stride == channels && job->to.stride == channels;
    size_t rows = dense ? 1 : block->end - block->begin;
    size_t length = dense ? (block->end - block->begin) * channels : channels;
    for (size_t r = 0; r < rows; r++) {
        size_t row = block->begin + r;
        job->pass->train->dropout(job->pass->stream, (uint64_t)row * channels, job->pass->layer->rate,
                                  job->from.data + row * job->from.stride,
                                  job->to.data + row * job->to.stride, length);
    }
}

/* Dropout2d: a unit is one channel of one image. */
static void drop_channels(void *argument, size_t image, size_t worker) {
    (void)worker;
    const dropout_job *job = argument;
    size_t channels = job->pass->layer->shape.channels, rows = fkp_shape_rows(job->pass->layer->shape);
    for (size_t r = image * rows; r < (image + 1) * rows; r++)
        job->pass->train->dropout(job->pass->stream, (uint64_t)image * channels, job->pass->layer->rate,
                                  job->from.data + r * job->from.stride, job->to.data + r * job->to.stride,
                                  channels);
}

static void drop(const fkp_pass *pass, fkp_view from, fkp_view to) {
    dropout_job job = {pass, from, to};
    size_t rows = fkp_pass_rows(pass), channels = pass->layer->shape.channels;
    if (!pass->training || pass->layer->rate <= 0.0f) {
        if (from.data != to.data) fkp_copy_rows(&pass->context, rows, channels, from, to, false);
    } else if (pass->layer->whole_channels) {
        fkp_parallel(pass->context.pool, pass->count, drop_channels, &job);
    } else {
        fkp_row_blocks_run(pass->context.pool, rows, channels, drop_units, &job);
    }
}

static void dropout_forward(const fkp_pass *pass) { drop(pass, pass->in[0], pass->out); }
static void dropout_backward(const fkp_pass *pass) {
    if (pass->d_in[0].data != NULL) drop(pass, pass->d_out, pass->d_in[0]);
}

const fkp_layer_record fkp_dropout_record = {
    .in_place = true, .gradient_in_place = true, .forward = dropout_forward, .backward = dropout_backward};
