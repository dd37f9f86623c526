#include "train/layers/pack.h"

#include "operators/gemm.h"

typedef struct matrix_job {
    const fkp_kernels *kernels;
    size_t depth, columns;
    const float *weights;
    size_t depth_stride, column_stride;
    float *packed;
} matrix_job;

static void pack_matrix_task(void *argument, size_t panel, size_t worker) {
    (void)worker;
    const matrix_job *job = argument;
    size_t first = panel * job->kernels->gemm.columns;
    fkp_gemm_pack(job->kernels, job->depth, fkp_panel_columns(job->kernels, job->columns, panel),
                  job->weights + first * job->column_stride, job->depth_stride, job->column_stride, NULL,
                  job->packed + first * job->depth);
}

void fkp_pack_matrix(const fkp_context *context, size_t depth, size_t columns, const float *weights,
                     size_t depth_stride, size_t column_stride, float *packed) {
    matrix_job job = {context->kernels, depth, columns, weights, depth_stride, column_stride, packed};
    fkp_parallel(context->pool, fkp_panels(context->kernels, columns), pack_matrix_task, &job);
}

typedef struct convolution_job {
    const fkp_kernels *kernels;
    const fkp_convolution_run_arguments *run;
    const float *weights;
    bool backward;
    float *packed;
} convolution_job;

static void pack_convolution_task(void *argument, size_t panel, size_t worker) {
    (void)worker;
    const convolution_job *job = argument;
    const fkp_convolution *shape = &job->run->shape;
    if (job->backward) {
        fkp_convolution_pack_backward(job->kernels, shape, job->run->algorithm, job->weights, panel,
                                      job->packed);
        return;
    }
    size_t columns = fkp_filter_panel(job->kernels, job->run->algorithm);
    fkp_column_block block = {.depth = shape->kernel * shape->kernel * shape->in_channels,
                              .columns = shape->out_channels,
                              .first = panel * columns,
                              .count = fkp_min_size(columns, shape->out_channels - panel * columns)};
    block.weights = job->weights + block.first * block.depth;
    fkp_convolution_pack_columns(job->kernels, shape, job->run->algorithm, block, job->packed);
}

void fkp_pack_convolution(const fkp_context *context, const fkp_convolution_run_arguments *run,
                          const float *weights, bool backward, float *packed) {
    convolution_job job = {context->kernels, run, weights, backward, packed};
    fkp_parallel(context->pool, fkp_convolution_panels(context->kernels, &run->shape, run->algorithm),
                 pack_convolution_task, &job);
}
