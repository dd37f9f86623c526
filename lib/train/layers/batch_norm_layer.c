/* BatchNorm (Ioffe & Szegedy 2015) and the activation that follows it. x: R rows x C, statistics per channel:
 *   y = f(z), z = gamma xhat + beta, xhat = (x - mean) / sqrt(var + eps)
 *   dz = dy f'(z), dbeta = sum dz, dgamma = sum dz xhat
 *   dx = gamma / sqrt(var + eps) (dz - dbeta / R - xhat dgamma / R)
 * Only x is kept: z is computed again. Running statistics as PyTorch: momentum 0.1, unbiased variance. */
#include <math.h>

#include "train/layers/blocks.h"

static const float running_momentum = 0.1f;

/* What is saved, `channels` floats each. */
enum { SAVED_MEAN, SAVED_INVERSE, SAVED_SCALE, SAVED_SHIFT, SAVED_ROWS };

static float *saved_row(const fkp_pass *pass, size_t which) {
    return pass->saved + which * pass->layer->shape.channels;
}
static size_t batch_norm_saved(const fkp_pass *pass) { return SAVED_ROWS * pass->layer->shape.channels; }

/* Two sums per channel for every block of rows; then two constants per channel. */
static size_t batch_norm_scratch(const fkp_pass *pass) {
    size_t channels = pass->layer->shape.channels;
    return 2 * channels * (fkp_row_blocks(fkp_pass_rows(pass), channels) + 1);
}

typedef struct moments_job {
    const fkp_pass *pass;
    float *partial; /* per block: means, then squares about them */
} moments_job;

static void moments_block(const void *argument, const fkp_row_block *block) {
    const moments_job *job = argument;
    const fkp_view *x = &job->pass->in[0];
    size_t channels = job->pass->layer->shape.channels;
    float *mean = job->partial + 2 * channels * block->index;
    job->pass->train->moments(x->data + block->begin * x->stride, x->stride, block->end - block->begin,
                              channels, mean, mean + channels);
}

/* Joins the blocks' moments in their order (Chan, Golub, LeVeque 1979): mean and sum of squares about it. */
static void join_moments(const float *partial, size_t channels, size_t channel, size_t rows, double *mean,
                         double *squares) {
    size_t per_block = fkp_rows_per_block(channels), done = 0;
    double m = 0.0, s = 0.0;
    for (size_t block = 0; done < rows; block++) {
        const float *sums = partial + 2 * channels * block + channel;
        size_t count = fkp_min_size(per_block, rows - done);
        double delta = (double)sums[0] - m, total = (double)(done + count);
        m += delta * (double)count / total;
        s += (double)sums[channels] + delta * delta * (double)done * (double)count / total;
        done += count;
    }
    *mean = m;
    *squares = s;
}

static void batch_statistics(const fkp_pass *pass) {
    size_t channels = pass->layer->shape.channels, rows = fkp_pass_rows(pass);
    moments_job job = {pass, pass->context.scratch};
    fkp_row_blocks_run(pass->context.pool, rows, channels, moments_block, &job);
    float *mean = saved_row(pass, SAVED_MEAN), *inverse = saved_row(pass, SAVED_INVERSE);
    float *running_mean = fkp_pass_parameter(pass, FKP_ROLE_RUNNING_MEAN);
    float *running_variance = fkp_pass_parameter(pass, FKP_ROLE_RUNNING_VARIANCE);
    for (size_t c = 0; c < channels; c++) {
        double m, squares;
        join_moments(job.partial, channels, c, rows, &m, &squares);
        mean[c] = (float)m;
        inverse[c] = (float)(1.0 / sqrt(squares / (double)rows + (double)pass->layer->epsilon));
        double unbiased = squares / (double)fkp_max_size(1, rows - 1);
        running_mean[c] += running_momentum * ((float)m - running_mean[c]);
        running_variance[c] += running_momentum * ((float)unbiased - running_variance[c]);
    }
}

static void running_statistics(const fkp_pass *pass) {
    const float *running_mean = fkp_pass_parameter(pass, FKP_ROLE_RUNNING_MEAN);
    const float *running_variance = fkp_pass_parameter(pass, FKP_ROLE_RUNNING_VARIANCE);
    for (size_t c = 0; c < pass->layer->shape.channels; c++) {
        saved_row(pass, SAVED_MEAN)[c] = running_mean[c];
        saved_row(pass, SAVED_INVERSE)[c] = 1.0f / sqrtf(running_variance[c] + pass->layer->epsilon);
    }
}

/* The rows of a block, with the constants that both directions need. */
static fkp_norm_rows rows_of(const fkp_pass *pass, const fkp_row_block *block) {
    return (fkp_norm_rows){.rows = block->end - block->begin,
                           .channels = pass->layer->shape.channels,
                           .x = pass->in[0].data + block->begin * pass->in[0].stride,
                           .x_stride = pass->in[0].stride,
                           .scale = saved_row(pass, SAVED_SCALE),
                           .shift = saved_row(pass, SAVED_SHIFT),
                           .mean = saved_row(pass, SAVED_MEAN),
                           .activation = pass->activation};
}

static void normalize_block(const void *argument, const fkp_row_block *block) {
    const fkp_pass *pass = argument;
    fkp_norm_rows rows = rows_of(pass, block);
    pass->train->normalize(&rows, pass->out.data + block->begin * pass->out.stride, pass->out.stride);
}

static void batch_norm_forward(const fkp_pass *pass) {
    if (pass->training)
        batch_statistics(pass);
    else
        running_statistics(pass);
    const float *gamma = fkp_pass_parameter(pass, FKP_ROLE_WEIGHT),
                *beta = fkp_pass_parameter(pass, FKP_ROLE_BIAS);
    float *scale = saved_row(pass, SAVED_SCALE), *shift = saved_row(pass, SAVED_SHIFT);
    for (size_t c = 0; c < pass->layer->shape.channels; c++) {
        scale[c] = gamma[c] * saved_row(pass, SAVED_INVERSE)[c];
        shift[c] = beta[c] - saved_row(pass, SAVED_MEAN)[c] * scale[c];
    }
    fkp_row_blocks_run(pass->context.pool, fkp_pass_rows(pass), pass->layer->shape.channels, normalize_block,
                       pass);
}

typedef struct backward_job {
    const fkp_pass *pass;
    float *partial; /* per block: sums of dz, then of dz (x - mean) */
    const float *slope, *offset;
} backward_job;

static void sums_block(const void *argument, const fkp_row_block *block) {
    const backward_job *job = argument;
    const fkp_view *d = &job->pass->d_out;
    fkp_norm_rows rows = rows_of(job->pass, block);
    rows.d = d->data + block->begin * d->stride;
    rows.d_stride = d->stride;
    rows.sum_d = job->partial + 2 * rows.channels * block->index;
    rows.sum_dx = rows.sum_d + rows.channels;
    job->pass->train->norm_sums(&rows);
}

static void apply_block(const void *argument, const fkp_row_block *block) {
    const backward_job *job = argument;
    const fkp_pass *pass = job->pass;
    fkp_norm_rows rows = rows_of(pass, block);
    rows.d = pass->d_out.data + block->begin * pass->d_out.stride;
    rows.d_stride = pass->d_out.stride;
    rows.slope = job->slope;
    rows.offset = job->offset;
    rows.dx = pass->d_in[0].data + block->begin * pass->d_in[0].stride;
    rows.dx_stride = pass->d_in[0].stride;
    pass->train->norm_apply(&rows);
}

static void batch_norm_backward(const fkp_pass *pass) {
    size_t channels = pass->layer->shape.channels, rows = fkp_pass_rows(pass);
    size_t blocks = fkp_row_blocks(rows, channels);
    float *slope = pass->context.scratch, *offset = slope + channels;
    backward_job job = {pass, offset + channels, slope, offset};
    fkp_row_blocks_run(pass->context.pool, rows, channels, sums_block, &job);
    float *d_gamma = fkp_pass_gradient(pass, FKP_ROLE_WEIGHT),
          *d_beta = fkp_pass_gradient(pass, FKP_ROLE_BIAS);
    const float *inverse = saved_row(pass, SAVED_INVERSE), *scale = saved_row(pass, SAVED_SCALE);
    fkp_add_partial_sums(job.partial, 2 * channels, blocks, channels, false, offset);
    fkp_add_partial_sums(job.partial + channels, 2 * channels, blocks, channels, false, slope);
    for (size_t c = 0; c < channels; c++) {
        float beta_sum = offset[c], gamma_sum = slope[c] * inverse[c];
        if (d_gamma != NULL) d_gamma[c] = (pass->accumulate ? d_gamma[c] : 0.0f) + gamma_sum;
        if (d_beta != NULL) d_beta[c] = (pass->accumulate ? d_beta[c] : 0.0f) + beta_sum;
        offset[c] = -scale[c] * beta_sum / (float)rows;
        slope[c] = -scale[c] * inverse[c] * gamma_sum / (float)rows;
    }
    if (pass->d_in[0].data != NULL) fkp_row_blocks_run(pass->context.pool, rows, channels, apply_block, &job);
}

const fkp_layer_record fkp_batch_norm_record = {
    .reads_input = true,
    .gradient_in_place = true,
    .saved = batch_norm_saved,
    .scratch = batch_norm_scratch,
    .forward = batch_norm_forward,
    .backward = batch_norm_backward,
};
