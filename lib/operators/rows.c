/* Operators that treat each row by itself. */
#include <string.h>

#include "base/checked.h"
#include "operators/operators.h"

enum { ROWS_PER_TASK = 32 };

typedef struct rows_job {
    const fkp_kernels *kernels;
    const fkp_rows *rows;
    const float *scale, *shift;
    const float *other;
    size_t other_stride;
    const fkp_layer_norm *norm;
    fkp_activation activation;
} rows_job;

/* Calls `body` for each row of the task, with `in` and `out` at its first channel. */
#define FOR_ROWS_OF_TASK(body)                                                                               \
    const rows_job *job = argument;                                                                          \
    (void)worker;                                                                                            \
    size_t end = fkp_min_size(job->rows->rows, (index + 1) * ROWS_PER_TASK);                                 \
    for (size_t row = index * ROWS_PER_TASK; row < end; row++) {                                             \
        const float *in = job->rows->in + row * job->rows->in_stride;                                        \
        float *out = job->rows->out + row * job->rows->out_stride;                                           \
        body;                                                                                                \
    }

static void run_rows(const fkp_context *context, fkp_tile task, rows_job *job) {
    job->kernels = context->kernels;
    fkp_parallel(context->pool, fkp_divide_up(job->rows->rows, ROWS_PER_TASK), task, job);
}

static void activate_task(void *argument, size_t index, size_t worker) {
    FOR_ROWS_OF_TASK(job->kernels->activate(in, out, job->rows->channels, job->activation))
}
void fkp_activate_run(const fkp_context *context, const fkp_rows *rows, fkp_activation activation) {
    rows_job job = {.rows = rows, .activation = activation};
    run_rows(context, activate_task, &job);
}

static void scale_shift_task(void *argument, size_t index, size_t worker) {
    FOR_ROWS_OF_TASK(
        job->kernels->scale_shift(in, job->scale, job->shift, out, job->rows->channels, job->activation))
}
void fkp_scale_shift_run(const fkp_context *context, const fkp_rows *rows, const float *scale,
                         const float *shift, fkp_activation activation) {
    rows_job job = {.rows = rows, .scale = scale, .shift = shift, .activation = activation};
    run_rows(context, scale_shift_task, &job);
}

static void add_task(void *argument, size_t index, size_t worker) {
    FOR_ROWS_OF_TASK(job->kernels->add(in, job->other + row * job->other_stride, out, job->rows->channels,
                                       job->activation))
}
void fkp_add_run(const fkp_context *context, const fkp_rows *rows, const float *other, size_t other_stride,
                 fkp_activation activation) {
    rows_job job = {.rows = rows, .other = other, .other_stride = other_stride, .activation = activation};
    run_rows(context, add_task, &job);
}

static void copy_task(void *argument, size_t index, size_t worker) {
    FOR_ROWS_OF_TASK(memcpy(out, in, job->rows->channels * sizeof *out))
}
void fkp_copy_run(const fkp_context *context, const fkp_rows *rows) {
    rows_job job = {.rows = rows};
    run_rows(context, copy_task, &job);
}

void fkp_layer_norm_rows(const fkp_kernels *kernels, const fkp_rows *rows, const fkp_layer_norm *norm) {
    for (size_t row = 0; row < rows->rows; row++) {
        const float *in = rows->in + row * rows->in_stride;
        if (norm->addend != NULL) {
            float *sum = norm->sum + row * norm->sum_stride;
            kernels->add(in, norm->addend + row * norm->addend_stride, sum, rows->channels,
                         FKP_ACTIVATION_NONE);
            in = sum;
        }
        kernels->layer_norm(in, norm->weight, norm->bias, norm->epsilon, rows->out + row * rows->out_stride,
                            rows->channels);
    }
}

/* A norm moved to row `row`. */
static fkp_layer_norm layer_norm_at(const fkp_layer_norm *norm, size_t row) {
    fkp_layer_norm moved = *norm;
    if (moved.addend == NULL) return moved;
    moved.addend += row * moved.addend_stride;
    moved.sum += row * moved.sum_stride;
    return moved;
}

static void layer_norm_task(void *argument, size_t index, size_t worker) {
    const rows_job *job = argument;
    const size_t first = index * ROWS_PER_TASK;
    (void)worker;
    fkp_rows rows = *job->rows;
    rows.rows = fkp_min_size(ROWS_PER_TASK, rows.rows - first);
    rows.in += first * rows.in_stride;
    rows.out += first * rows.out_stride;
    const fkp_layer_norm norm = layer_norm_at(job->norm, first);
    fkp_layer_norm_rows(job->kernels, &rows, &norm);
}
void fkp_layer_norm_run(const fkp_context *context, const fkp_rows *rows, const fkp_layer_norm *norm) {
    rows_job job = {.rows = rows, .norm = norm};
    run_rows(context, layer_norm_task, &job);
}
