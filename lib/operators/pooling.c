#include "base/checked.h"
#include "operators/operators.h"

typedef struct pooling_job {
    const fkp_context *context;
    const fkp_pooling *pooling;
} pooling_job;

/* Output pixels ahead of the one that is computed whose windows are asked for. */
enum { AHEAD = 4 };

/* The part of the window of pixel (row, column) that its left neighbour has not read. */
static void fetch_window(const fkp_pooling *p, const float *plane, size_t row, size_t column) {
    for (size_t i = 0; i < p->kernel; i++)
        for (size_t j = 0; j < p->stride; j++) {
            size_t y = row * p->stride + i, x = column * p->stride + j;
            if (y < p->padding || y >= p->in_height + p->padding || x < p->padding ||
                x >= p->in_width + p->padding)
                continue;
            const float *pixel = plane + ((y - p->padding) * p->in_width + x - p->padding) * p->in_stride;
            for (size_t c = 0; c < p->channels; c += 16) __builtin_prefetch(pixel + c);
        }
}

/* One output row of one image. */
static void max_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const pooling_job *job = argument;
    const fkp_pooling *p = job->pooling;
    size_t image = index / p->out_height, row = index % p->out_height;
    const float *plane = p->in + image * p->in_height * p->in_width * p->in_stride;
    const fkp_window window = {p->kernel, p->stride, p->padding};
    for (size_t column = 0; column < p->out_width; column++) {
        const float *pixels[FKP_WINDOW_POSITIONS];
        size_t count = fkp_window_pixels(&window, p->in_height, p->in_width, row, column, plane, 0,
                                         p->in_stride, pixels);
        fetch_window(p, plane, row, column + AHEAD);
        float *out = p->out + ((image * p->out_height + row) * p->out_width + column) * p->out_stride;
        job->context->kernels->maximum(pixels, count, out, p->channels);
    }
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
