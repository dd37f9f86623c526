#include "train/layers/blocks.h"

#include <string.h>

typedef struct row_job {
    fkp_row_task task;
    const void *argument;
    size_t rows, per_block;
} row_job;

static void run_block(void *argument, size_t index, size_t worker) {
    const row_job *job = argument;
    size_t begin = index * job->per_block;
    job->task(job->argument,
              &(fkp_row_block){begin, fkp_min_size(job->rows, begin + job->per_block), index, worker});
}

void fkp_row_blocks_run(fkp_pool *pool, size_t rows, size_t channels, fkp_row_task task,
                        const void *argument) {
    row_job job = {task, argument, rows, fkp_rows_per_block(channels)};
    fkp_parallel(pool, fkp_row_blocks(rows, channels), run_block, &job);
}

void fkp_add_partial_sums(const float *partial, size_t stride, size_t blocks, size_t channels,
                          bool accumulate, float *sums) {
    for (size_t c = 0; c < channels; c++) {
        double sum = accumulate ? (double)sums[c] : 0.0;
        for (size_t b = 0; b < blocks; b++) sum += (double)partial[b * stride + c];
        sums[c] = (float)sum;
    }
}

typedef struct sums_job {
    const fkp_train_kernels *train;
    fkp_view x;
    size_t channels;
    float *partial;
} sums_job;

static void sum_block(const void *argument, const fkp_row_block *block) {
    const sums_job *job = argument;
    job->train->column_sums(job->x.data + block->begin * job->x.stride, job->x.stride,
                            block->end - block->begin, job->channels, false,
                            job->partial + block->index * job->channels);
}

size_t fkp_column_sums_scratch(size_t rows, size_t channels) {
    return fkp_row_blocks(rows, channels) * channels;
}

void fkp_column_sums_run(const fkp_context *context, const fkp_train_kernels *train, fkp_view x, size_t rows,
                         size_t channels, bool accumulate, float *sums) {
    sums_job job = {train, x, channels, context->scratch};
    fkp_row_blocks_run(context->pool, rows, channels, sum_block, &job);
    fkp_add_partial_sums(job.partial, channels, fkp_row_blocks(rows, channels), channels, accumulate, sums);
}

void fkp_copy_rows(const fkp_context *context, size_t rows, size_t channels, fkp_view from, fkp_view to,
                   bool accumulate) {
    fkp_rows copy = {rows, channels, from.data, from.stride, to.data, to.stride};
    if (accumulate)
        fkp_add_run(context, &copy, to.data, to.stride, FKP_ACTIVATION_NONE);
    else
        fkp_copy_run(context, &copy);
}
