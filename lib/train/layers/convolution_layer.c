/* Convolution. With x: N x H x W x I, W: O x I x k x k, y: N x H' x W' x O (Dumoulin & Visin, A guide to
 * convolution arithmetic, 2016): y = x * W + b          forward dx = dy * W turned     a convolution for
 * stride 1, one small convolution for each output parity beyond dW = sum over pixels of x (moved by the tap)
 * dy        weight_gradient.c db = sum over pixels of dy */
#include <string.h>

#include "train/layers/blocks.h"
#include "train/layers/input_gradient.h"
#include "train/layers/pack.h"
#include "train/layers/weight_gradient.h"

static fkp_convolution shape_of(const fkp_pass *pass) {
    fkp_shape in = fkp_pass_in_shape(pass, 0), out = pass->layer->shape;
    return (fkp_convolution){.batch = pass->count,
                             .in_height = in.height,
                             .in_width = in.width,
                             .in_channels = in.channels,
                             .out_height = out.height,
                             .out_width = out.width,
                             .out_channels = out.channels,
                             .kernel = pass->layer->kernel,
                             .stride = pass->layer->stride,
                             .padding = pass->layer->padding};
}

/* The convolution that carries dy back to dx, for stride 1. */
static fkp_convolution backward_shape(const fkp_convolution *s) {
    return (fkp_convolution){.batch = s->batch,
                             .in_height = s->out_height,
                             .in_width = s->out_width,
                             .in_channels = s->out_channels,
                             .out_height = s->in_height,
                             .out_width = s->in_width,
                             .out_channels = s->in_channels,
                             .kernel = s->kernel,
                             .stride = 1,
                             .padding = s->kernel - 1 - s->padding};
}
static bool backward_is_convolution(const fkp_convolution *s) {
    return s->stride == 1 && s->padding < s->kernel;
}

/* The algorithm is that of a usual batch, whatever this one is: the last batch of an epoch is smaller, and a
 * choice by its size could ask for more scratch memory than the engine has, and would round differently. */
enum { USUAL_BATCH = 8 };
static fkp_convolution usual(const fkp_convolution *shape) {
    fkp_convolution usual = *shape;
    usual.batch = USUAL_BATCH;
    return usual;
}
static fkp_convolution_run_arguments run_of(const fkp_pass *pass, const fkp_convolution *shape) {
    fkp_convolution chosen_for = usual(shape);
    return (fkp_convolution_run_arguments){
        .shape = *shape, .algorithm = fkp_convolution_choose(pass->context.kernels, &chosen_for)};
}
static fkp_convolution_weights weights_run_of(const fkp_pass *pass, const fkp_convolution *shape) {
    fkp_convolution chosen_for = usual(shape);
    return (fkp_convolution_weights){
        .shape = *shape, .algorithm = fkp_convolution_weights_choose(pass->context.kernels, &chosen_for)};
}

/* Packed weights come first in scratch, then the operator's own. */
static size_t packed_floats(const fkp_kernels *kernels, const fkp_convolution_run_arguments *run) {
    return fkp_divide_up(fkp_convolution_packed_floats(kernels, &run->shape, run->algorithm), 16) * 16;
}

static size_t run_scratch(const fkp_pass *pass, const fkp_convolution *shape) {
    fkp_convolution_run_arguments run = run_of(pass, shape);
    return packed_floats(pass->context.kernels, &run) +
           fkp_convolution_scratch(pass->context.kernels, &run, fkp_pass_threads(pass));
}

static size_t convolution_scratch(const fkp_pass *pass) {
    fkp_convolution shape = shape_of(pass), turned = backward_shape(&shape);
    size_t threads = fkp_pass_threads(pass);
    size_t forward = run_scratch(pass, &shape);
    size_t input = backward_is_convolution(&shape)
                       ? run_scratch(pass, &turned)
                       : fkp_input_gradient_scratch(pass->context.kernels, &shape, threads);
    fkp_convolution_weights run = weights_run_of(pass, &shape);
    size_t weights = fkp_convolution_weights_scratch(pass->context.kernels, &run, threads);
    size_t bias = fkp_column_sums_scratch(fkp_pass_rows(pass), shape.out_channels);
    return fkp_max_size(fkp_max_size(forward, input), fkp_max_size(weights, bias));
}

static void convolution_forward(const fkp_pass *pass) {
    fkp_convolution shape = shape_of(pass);
    fkp_convolution_run_arguments run = run_of(pass, &shape);
    float *packed = pass->context.scratch;
    fkp_pack_convolution(&pass->context, &run, fkp_pass_parameter(pass, FKP_ROLE_WEIGHT), false, packed);
    run.packed = packed;
    run.in = pass->in[0].data;
    run.in_stride = pass->in[0].stride;
    run.out = pass->out.data;
    run.out_stride = pass->out.stride;
    run.epilogue.bias = fkp_pass_parameter(pass, FKP_ROLE_BIAS);
    run.epilogue.activation = pass->activation;
    fkp_context context = fkp_pass_context_after(pass, packed_floats(pass->context.kernels, &run));
    fkp_convolution_run(&context, &run);
}

static void input_gradient(const fkp_pass *pass, const fkp_convolution *shape, const float *weights) {
    if (!backward_is_convolution(shape)) {
        fkp_input_gradient_run(&pass->context,
                               &(fkp_input_gradient){*shape, weights, pass->d_out, pass->d_in[0]});
        return;
    }
    fkp_convolution turned = backward_shape(shape);
    fkp_convolution_run_arguments run = run_of(pass, &turned);
    float *packed = pass->context.scratch;
    fkp_pack_convolution(&pass->context, &run, weights, true, packed);
    run.packed = packed;
    run.in = pass->d_out.data;
    run.in_stride = pass->d_out.stride;
    run.out = pass->d_in[0].data;
    run.out_stride = pass->d_in[0].stride;
    fkp_context context = fkp_pass_context_after(pass, packed_floats(pass->context.kernels, &run));
    fkp_convolution_run(&context, &run);
}

static void convolution_backward(const fkp_pass *pass) {
    fkp_convolution shape = shape_of(pass);
    float *d_weights = fkp_pass_gradient(pass, FKP_ROLE_WEIGHT),
          *d_bias = fkp_pass_gradient(pass, FKP_ROLE_BIAS);
    if (d_weights != NULL) {
        fkp_convolution_weights run = weights_run_of(pass, &shape);
        run.in = pass->in[0];
        run.d_out = pass->d_out;
        run.d_weights = d_weights;
        run.accumulate = pass->accumulate;
        fkp_convolution_weights_run(&pass->context, pass->train, &run);
    }
    if (d_bias != NULL)
        fkp_column_sums_run(&pass->context, pass->train, pass->d_out, fkp_pass_rows(pass), shape.out_channels,
                            pass->accumulate, d_bias);
    if (pass->d_in[0].data != NULL) input_gradient(pass, &shape, fkp_pass_parameter(pass, FKP_ROLE_WEIGHT));
}

const fkp_layer_record fkp_convolution_record = {
    .reads_input = true,
    .scratch = convolution_scratch,
    .forward = convolution_forward,
    .backward = convolution_backward,
};
