/* Layers that only move numbers: the input, sums, concatenation, flattening, tokens. */
#include <string.h>

#include "train/layers/blocks.h"

/* ---- input: the caller's memory ---- */

static void nothing(const fkp_pass *pass) { (void)pass; }

const fkp_layer_record fkp_input_record = {.forward = nothing, .backward = nothing};

/* ---- sum: y = f(a + b); da = db = dy, and the engine mostly lets all three be one buffer ---- */

static void add_forward(const fkp_pass *pass) {
    fkp_rows rows = {fkp_pass_rows(pass), pass->layer->shape.channels,
                     pass->in[0].data,    pass->in[0].stride,
                     pass->out.data,      pass->out.stride};
    fkp_add_run(&pass->context, &rows, pass->in[1].data, pass->in[1].stride, pass->activation);
}

static void add_backward(const fkp_pass *pass) {
    for (int k = 0; k < 2; k++) {
        const fkp_view *d_in = &pass->d_in[k];
        if (d_in->data == NULL || d_in->data == pass->d_out.data) continue;
        fkp_copy_rows(&pass->context, fkp_pass_rows(pass), pass->layer->shape.channels, pass->d_out, *d_in,
                      pass->accumulate_input[k]);
    }
}

const fkp_layer_record fkp_add_record = {
    .in_place = true, .accumulates = true, .forward = add_forward, .backward = add_backward};

/* ---- concatenation: the inputs mostly are slices of the output, and then there is nothing to do ---- */

static fkp_view slice_of(const fkp_pass *pass, fkp_view whole, int which) {
    size_t first = which == 0 ? 0 : fkp_pass_in_shape(pass, 0).channels;
    return (fkp_view){whole.data + first, whole.stride};
}

static void concatenate_forward(const fkp_pass *pass) {
    for (int k = 0; k < 2; k++) {
        fkp_view slice = slice_of(pass, pass->out, k);
        if (slice.data != pass->in[k].data)
            fkp_copy_rows(&pass->context, fkp_pass_rows(pass), fkp_pass_in_shape(pass, k).channels,
                          pass->in[k], slice, false);
    }
}

static void concatenate_backward(const fkp_pass *pass) {
    for (int k = 0; k < 2; k++) {
        fkp_view slice = slice_of(pass, pass->d_out, k);
        if (pass->d_in[k].data != NULL && slice.data != pass->d_in[k].data)
            fkp_copy_rows(&pass->context, fkp_pass_rows(pass), fkp_pass_in_shape(pass, k).channels, slice,
                          pass->d_in[k], pass->accumulate_input[k]);
    }
}

const fkp_layer_record fkp_concatenate_record = {
    .accumulates = true, .forward = concatenate_forward, .backward = concatenate_backward};

/* ---- flatten: H x W x C to C x H x W, the order of the weights that read it; tokens stay as they are ----
 */

static void flatten_forward(const fkp_pass *pass) {
    fkp_shape in = fkp_pass_in_shape(pass, 0);
    size_t rows = fkp_shape_rows(in);
    if (fkp_flatten_reorders(in))
        fkp_to_planes_run(&pass->context, pass->count, in.channels, rows, pass->in[0].data,
                          pass->in[0].stride, pass->out.data);
    else
        fkp_copy_rows(&pass->context, pass->count * rows, in.channels, pass->in[0],
                      (fkp_view){pass->out.data, in.channels}, false);
}

static void flatten_backward(const fkp_pass *pass) {
    fkp_shape in = fkp_pass_in_shape(pass, 0);
    size_t rows = fkp_shape_rows(in);
    if (pass->d_in[0].data == NULL) return;
    if (fkp_flatten_reorders(in))
        fkp_from_planes_run(&pass->context, pass->count, in.channels, rows, pass->d_out.data,
                            pass->d_in[0].data, pass->d_in[0].stride);
    else
        fkp_copy_rows(&pass->context, pass->count * rows, in.channels,
                      (fkp_view){pass->d_out.data, in.channels}, pass->d_in[0], false);
}

const fkp_layer_record fkp_flatten_record = {.forward = flatten_forward, .backward = flatten_backward};

/* ---- tokens: y[0] = class + position[0], y[1 + p] = x[p] + position[1 + p] ---- */

static void tokens_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const fkp_pass *pass = argument;
    const fkp_kernels *kernels = pass->context.kernels;
    size_t channels = pass->layer->shape.channels, tokens = fkp_shape_rows(pass->layer->shape);
    const float *position = fkp_pass_parameter(pass, FKP_ROLE_POSITION);
    float *out = pass->out.data + index * tokens * pass->out.stride;
    kernels->add(fkp_pass_parameter(pass, FKP_ROLE_CLASS_TOKEN), position, out, channels,
                 FKP_ACTIVATION_NONE);
    for (size_t t = 1; t < tokens; t++)
        kernels->add(pass->in[0].data + (index * (tokens - 1) + t - 1) * pass->in[0].stride,
                     position + t * channels, out + t * pass->out.stride, channels, FKP_ACTIVATION_NONE);
}

static void tokens_forward(const fkp_pass *pass) {
    fkp_pass copy = *pass;
    fkp_parallel(pass->context.pool, pass->count, tokens_task, &copy);
}

/* The gradient of one token's position, over the images in their order; the class token's is position 0's. */
static void token_gradient_task(void *argument, size_t token, size_t worker) {
    (void)worker;
    const fkp_pass *pass = argument;
    const fkp_kernels *kernels = pass->context.kernels;
    size_t channels = pass->layer->shape.channels, tokens = fkp_shape_rows(pass->layer->shape);
    float *targets[2] = {fkp_pass_gradient(pass, FKP_ROLE_POSITION),
                         token == 0 ? fkp_pass_gradient(pass, FKP_ROLE_CLASS_TOKEN) : NULL};
    if (targets[0] != NULL) targets[0] += token * channels;
    for (int k = 0; k < 2; k++) {
        if (targets[k] == NULL) continue;
        if (!pass->accumulate) memset(targets[k], 0, channels * sizeof(float));
        for (size_t n = 0; n < pass->count; n++)
            kernels->add(targets[k], pass->d_out.data + (n * tokens + token) * pass->d_out.stride, targets[k],
                         channels, FKP_ACTIVATION_NONE);
    }
    if (pass->d_in[0].data == NULL || token == 0) return;
    for (size_t n = 0; n < pass->count; n++)
        memcpy(pass->d_in[0].data + (n * (tokens - 1) + token - 1) * pass->d_in[0].stride,
               pass->d_out.data + (n * tokens + token) * pass->d_out.stride, channels * sizeof(float));
}

static void tokens_backward(const fkp_pass *pass) {
    fkp_pass copy = *pass;
    fkp_parallel(pass->context.pool, fkp_shape_rows(pass->layer->shape), token_gradient_task, &copy);
}

const fkp_layer_record fkp_tokens_record = {.forward = tokens_forward, .backward = tokens_backward};

/* ---- skip tokens: the rows of each image without its first ones ---- */

static size_t skipped(const fkp_pass *pass) {
    return fkp_shape_rows(fkp_pass_in_shape(pass, 0)) - fkp_shape_rows(pass->layer->shape);
}

static void skip_forward(const fkp_pass *pass) {
    size_t in_rows = fkp_shape_rows(fkp_pass_in_shape(pass, 0)),
           out_rows = fkp_shape_rows(pass->layer->shape);
    for (size_t n = 0; n < pass->count; n++) {
        fkp_view from = {pass->in[0].data + (n * in_rows + skipped(pass)) * pass->in[0].stride,
                         pass->in[0].stride};
        fkp_view to = {pass->out.data + n * out_rows * pass->out.stride, pass->out.stride};
        fkp_copy_rows(&pass->context, out_rows, pass->layer->shape.channels, from, to, false);
    }
}

static void skip_backward(const fkp_pass *pass) {
    if (pass->d_in[0].data == NULL) return;
    size_t in_rows = fkp_shape_rows(fkp_pass_in_shape(pass, 0)),
           out_rows = fkp_shape_rows(pass->layer->shape);
    size_t channels = pass->layer->shape.channels;
    for (size_t n = 0; n < pass->count; n++) {
        float *to = pass->d_in[0].data + n * in_rows * pass->d_in[0].stride;
        for (size_t t = 0; t < skipped(pass); t++)
            memset(to + t * pass->d_in[0].stride, 0, channels * sizeof(float));
        fkp_copy_rows(&pass->context, out_rows, channels,
                      (fkp_view){pass->d_out.data + n * out_rows * pass->d_out.stride, pass->d_out.stride},
                      (fkp_view){to + skipped(pass) * pass->d_in[0].stride, pass->d_in[0].stride}, false);
    }
}

const fkp_layer_record fkp_skip_tokens_record = {.forward = skip_forward, .backward = skip_backward};
