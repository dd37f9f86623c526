#include "base/checked.h"
#include "operators/operators.h"

typedef struct pooling_job {
    const fkp_context *context;
    const fkp_pooling *pooling;
} pooling_job;

/* One output row of one image. */
static void max_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const pooling_job *job = argument;
    const fkp_pooling *p = job->pooling;
    size_t image = index / p->out_height, row = index % p->out_height;
    const float *plane = p->in + image * p->in_height * p->in_width * p->in_stride;
    const fkp_window window = {p->kernel, p->stride, p->padding};
    const fkp_range span = fkp_window_span(&window, p->in_height, row);
    const float *rows[FKP_WINDOW_ROWS];
    for (size_t y = span.begin; y < span.end; y++)
        rows[y - span.begin] = plane + y * p->in_width * p->in_stride;
    job->context->kernels->maximum(
        &(fkp_maxima){.rows = rows,
                      .row_count = span.end - span.begin,
                      .width = p->in_width,
                      .in_stride = p->in_stride,
                      .size = p->kernel,
                      .stride = p->stride,
                      .padding = p->padding,
                      .pixels = p->out_width,
                      .channels = p->channels,
                      .out = p->out + (image * p->out_height + row) * p->out_width * p->out_stride,
                      .out_stride = p->out_stride,
                      .activation = FKP_ACTIVATION_NONE});
}

void fkp_max_pooling_run(const fkp_context *context, const fkp_pooling *pooling) {
    pooling_job job = {context, pooling};
    fkp_parallel(context->pool, pooling->batch * pooling->out_height, max_task, &job);
}

/* One image: rows are added one after the other. */
static void average_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const pooling_job *job = argument;
    const fkp_pooling *p = job->pooling;
    size_t pixels = p->in_height * p->in_width;
    const float *in = p->in + index * pixels * p->in_stride;
    float *out = p->out + index * p->out_stride;
    for (size_t c = 0; c < p->channels; c++) out[c] = in[c];
    for (size_t i = 1; i < pixels; i++)
        job->context->kernels->add(out, in + i * p->in_stride, out, p->channels, FKP_ACTIVATION_NONE);
    for (size_t c = 0; c < p->channels; c++) out[c] /= (float)pixels;
}

void fkp_average_pooling_run(const fkp_context *context, const fkp_pooling *pooling) {
    pooling_job job = {context, pooling};
    fkp_parallel(context->pool, pooling->batch, average_task, &job);
}
