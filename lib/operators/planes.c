/* Between the callers' planes (N x C x H x W) and the library's rows (N x H x W x C). */
#include "base/checked.h"
#include "operators/operators.h"

enum { PIXELS_PER_TASK = 256 };

typedef struct planes_job {
    const fkp_kernels *kernels;
    size_t channels, pixels, tasks; /* tasks of one image */
    const float *in;
    float *out;
    size_t row_stride;
} planes_job;

static void from_planes_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const planes_job *job = argument;
    size_t image = index / job->tasks, pixel = index % job->tasks * PIXELS_PER_TASK;
    size_t count = fkp_min_size(PIXELS_PER_TASK, job->pixels - pixel);
    job->kernels->transpose(job->in + image * job->channels * job->pixels + pixel, job->pixels, job->channels,
                            count, job->out + (image * job->pixels + pixel) * job->row_stride,
                            job->row_stride);
}

static void to_planes_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const planes_job *job = argument;
    size_t image = index / job->tasks, pixel = index % job->tasks * PIXELS_PER_TASK;
    size_t count = fkp_min_size(PIXELS_PER_TASK, job->pixels - pixel);
    job->kernels->transpose(job->in + (image * job->pixels + pixel) * job->row_stride, job->row_stride, count,
                            job->channels, job->out + image * job->channels * job->pixels + pixel,
                            job->pixels);
}

void fkp_from_planes_run(const fkp_context *context, size_t batch, size_t channels, size_t pixels,
                         const float *planes, float *rows, size_t row_stride) {
    size_t tasks = fkp_divide_up(pixels, PIXELS_PER_TASK);
    planes_job job = {context->kernels, channels, pixels, tasks, planes, rows, row_stride};
    fkp_parallel(context->pool, batch * tasks, from_planes_task, &job);
}

void fkp_to_planes_run(const fkp_context *context, size_t batch, size_t channels, size_t pixels,
                       const float *rows, size_t row_stride, float *planes) {
    size_t tasks = fkp_divide_up(pixels, PIXELS_PER_TASK);
    planes_job job = {context->kernels, channels, pixels, tasks, rows, planes, row_stride};
    fkp_parallel(context->pool, batch * tasks, to_planes_task, &job);
}
