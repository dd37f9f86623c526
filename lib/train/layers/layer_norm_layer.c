/* LayerNorm (Ba, Kiros, Hinton 2016), per row of C: y = gamma xhat + beta, xhat = (x - mean) / s;
 *   g = dy gamma, dx = (g - mean(g) - xhat mean(g xhat)) / s, dgamma = sum dy xhat, dbeta = sum dy.
 * Row statistics are computed again in the backward. */
#include <string.h>

#include "train/layers/blocks.h"

static void norm_forward(const fkp_pass *pass) {
    fkp_rows rows = {fkp_pass_rows(pass), pass->layer->shape.channels,
                     pass->in[0].data,    pass->in[0].stride,
                     pass->out.data,      pass->out.stride};
    const fkp_layer_norm norm = {.weight = fkp_pass_parameter(pass, FKP_ROLE_WEIGHT),
                                 .bias = fkp_pass_parameter(pass, FKP_ROLE_BIAS),
                                 .epsilon = pass->layer->epsilon};
    fkp_layer_norm_run(&pass->context, &rows, &norm);
}

/* Per block: dgamma, then dbeta. */
static size_t norm_scratch(const fkp_pass *pass) {
    size_t channels = pass->layer->shape.channels;
    return 2 * channels * fkp_row_blocks(fkp_pass_rows(pass), channels);
}

static void norm_block(const void *argument, const fkp_row_block *block) {
    const fkp_pass *pass = argument;
    size_t channels = pass->layer->shape.channels;
    float *d_weight = pass->context.scratch + 2 * channels * block->index, *d_bias = d_weight + channels;
    const float *weight = fkp_pass_parameter(pass, FKP_ROLE_WEIGHT);
    memset(d_weight, 0, 2 * channels * sizeof *d_weight);
    for (size_t row = block->begin; row < block->end; row++)
        pass->train->layer_norm_backward(
            pass->in[0].data + row * pass->in[0].stride, weight, pass->layer->epsilon,
            pass->d_out.data + row * pass->d_out.stride, channels, pass->accumulate_input[0],
            pass->d_in[0].data == NULL ? NULL : pass->d_in[0].data + row * pass->d_in[0].stride, d_weight,
            d_bias);
}

static void norm_backward(const fkp_pass *pass) {
    size_t channels = pass->layer->shape.channels, rows = fkp_pass_rows(pass);
    size_t blocks = fkp_row_blocks(rows, channels);
    fkp_row_blocks_run(pass->context.pool, rows, channels, norm_block, pass);
    float *d_weight = fkp_pass_gradient(pass, FKP_ROLE_WEIGHT),
          *d_bias = fkp_pass_gradient(pass, FKP_ROLE_BIAS);
    const float *partial = pass->context.scratch;
    if (d_weight != NULL)
        fkp_add_partial_sums(partial, 2 * channels, blocks, channels, pass->accumulate, d_weight);
    if (d_bias != NULL)
        fkp_add_partial_sums(partial + channels, 2 * channels, blocks, channels, pass->accumulate, d_bias);
}

const fkp_layer_record fkp_layer_norm_record = {.reads_input = true,
                                                .accumulates = true,
                                                .scratch = norm_scratch,
                                                .forward = norm_forward,
                                                .backward = norm_backward};
