/* Convolution of one channel, a grey image's, in direct form: a task makes a strip of rows, each from the
 * plane by one call of a kernel a panel. Where there is a border, or pixels are far apart, the strip's part
 * of the plane is first copied to the task's own memory, so that no task waits for another. */
#include "operators/convolution.h"

#include <string.h>

/* Multiply-adds of a task for each filter, about: few enough to share the work out. */
enum { TASK_PRODUCTS = 1 << 14 };

/* Pooling 2 x 2 is the kernel's, in registers; other windows go over rows in memory. */
static bool pools_in_registers(const fkp_convolution_run_arguments *run) {
    const fkp_window *pool = &run->pool;
    return fkp_finishes_after_pooling(run) && pool->size == 2 && pool->stride == 2 && pool->padding == 0;
}

static size_t strip_rows(const fkp_convolution_run_arguments *run) {
    const fkp_convolution *shape = &run->shape;
    size_t rows = fkp_max_size(1, TASK_PRODUCTS / (shape->kernel * shape->kernel * shape->out_width));
    return run->pool.size > 0 ? fkp_pooled_strip_rows(run, rows) : fkp_min_size(rows, shape->out_height);
}

/* Rows of the output, before pooling, that a strip of `rows` rows needs at most. */
static size_t computed_rows(const fkp_convolution_run_arguments *run, size_t rows) {
    size_t computed = run->pool.size == 0 ? rows : (rows - 1) * run->pool.stride + run->pool.size;
    return fkp_min_size(computed, run->shape.out_height);
}

static bool reads_in_place(const fkp_convolution_run_arguments *run) {
    return run->shape.padding == 0 && run->in_stride == 1;
}

static size_t plane_width(const fkp_convolution *shape) { return shape->in_width + 2 * shape->padding; }

/* Rows of the plane that `rows` rows of the output read. */
static size_t plane_rows(const fkp_convolution *shape, size_t rows) {
    return (rows - 1) * shape->stride + shape->kernel;
}

/* A worker's memory: its part of the plane, and the rows that a pooled one is made of. */
static size_t plane_floats(const fkp_convolution_run_arguments *run) {
    if (reads_in_place(run)) return 0;
    size_t rows = plane_rows(&run->shape, computed_rows(run, strip_rows(run)));
    return fkp_divide_up(rows * plane_width(&run->shape), 16) * 16;
}
static size_t ring_floats(const fkp_convolution_run_arguments *run) {
    if (pools_in_registers(run)) return 0;
    return fkp_divide_up(run->pool.size * run->shape.out_width * run->shape.out_channels, 16) * 16;
}

size_t fkp_plane_convolution_scratch(const fkp_convolution_run_arguments *run, size_t threads) {
    return threads * (plane_floats(run) + ring_floats(run));
}

typedef struct plane_job {
    const fkp_context *context;
    const fkp_convolution_run_arguments *run;
    size_t rows_per_strip, strips; /* of an image; pooled rows, if there is pooling */
} plane_job;

/* What a task works with. */
typedef struct strip_task {
    const plane_job *job;
    size_t image, begin, end; /* rows of the output before pooling */
    const float *plane;       /* what the first of them reads */
    float *ring;              /* pool.size rows of the output, row y in slot (y - begin) % pool.size */
} strip_task;

/* A row of the plane with its border; y counts from the border's first row. */
static void copy_row(const fkp_convolution_run_arguments *run, size_t image, size_t y, float *out) {
    const fkp_convolution *shape = &run->shape;
    const size_t width = shape->in_width, padding = shape->padding;
    size_t row = y - padding; /* wraps around, and is then too large, above the image */
    if (row >= shape->in_height) {
        memset(out, 0, plane_width(shape) * sizeof *out);
        return;
    }
    const float *in = run->in + (image * shape->in_height + row) * width * run->in_stride;
    memset(out, 0, padding * sizeof *out);
    if (run->in_stride == 1)
        memcpy(out + padding, in, width * sizeof *out);
    else
        for (size_t x = 0; x < width; x++) out[padding + x] = in[x * run->in_stride];
    memset(out + padding + width, 0, padding * sizeof *out);
}

static strip_task begin_strip(const plane_job *job, size_t worker, size_t image, size_t begin, size_t end) {
    const fkp_convolution_run_arguments *run = job->run;
    const fkp_convolution *shape = &run->shape;
    float *plane = fkp_own_scratch(job->context, plane_floats(run) + ring_floats(run), worker);
    strip_task task = {job, image, begin, end, plane, plane + plane_floats(run)};
    size_t first = begin * shape->stride;
    if (reads_in_place(run))
        task.plane = run->in + (image * shape->in_height + first) * shape->in_width;
    else
        for (size_t y = 0; y < plane_rows(shape, end - begin); y++)
            copy_row(run, image, first + y, plane + y * plane_width(shape));
    return task;
}

/* One row of the output, which pooling begins with, of one panel of filters, at `out`, where the row's
 * channel 0 is. */
static void convolve_row(const strip_task *task, size_t row, size_t panel, float *out, size_t out_stride) {
    const fkp_kernels *kernels = task->job->context->kernels;
    const fkp_convolution_run_arguments *run = task->job->run;
    const fkp_convolution *shape = &run->shape;
    const bool pool = pools_in_registers(run), finish = pool || !fkp_finishes_after_pooling(run);
    size_t first = panel * kernels->gemm.columns;
    fkp_epilogue epilogue =
        fkp_epilogue_at(&run->epilogue, (task->image * shape->out_height + row) * shape->out_width, first);
    kernels->convolve_plane(
        &(fkp_plane_row){.in = task->plane + (row - task->begin) * shape->stride * plane_width(shape),
                         .in_stride = plane_width(shape),
                         .kernel = shape->kernel,
                         .stride = shape->stride,
                         .pixels = pool ? fkp_pooled(shape->out_width, &run->pool) : shape->out_width,
                         .columns = fkp_panel_columns(kernels, shape->out_channels, panel),
                         .filters = run->packed + first * shape->kernel * shape->kernel,
                         .width = fkp_panel_width(kernels, shape->out_channels, panel),
                         .out = out + first,
                         .out_stride = out_stride,
                         .epilogue = finish ? &epilogue : NULL,
                         .pool = pool});
}

/* Rows that the kernel finishes, of one panel. */
static void plane_task(void *argument, size_t index, size_t worker) {
    const plane_job *job = argument;
    const fkp_convolution_run_arguments *run = job->run;
    const fkp_window *pool = &run->pool;
    const bool pooled = pool->size > 0;
    size_t panels = fkp_panels(job->context->kernels, run->shape.out_channels), panel = index % panels;
    size_t image = index / panels / job->strips, begin = index / panels % job->strips * job->rows_per_strip;
    size_t height = fkp_pooled(run->shape.out_height, pool), width = fkp_pooled(run->shape.out_width, pool);
    size_t end = fkp_min_size(height, begin + job->rows_per_strip), step = pooled ? pool->stride : 1;
    strip_task task = begin_strip(job, worker, image, begin * step, end * step);
    for (size_t row = begin; row < end; row++)
        convolve_row(&task, row * step, panel, run->out + (image * height + row) * width * run->out_stride,
                     run->out_stride);
}

/* A row is computed when the first pooled row needs it, and overwritten when none does any more. */
static void pooled_task(void *argument, size_t index, size_t worker) {
    const plane_job *job = argument;
    const fkp_kernels *kernels = job->context->kernels;
    const fkp_convolution_run_arguments *run = job->run;
    const fkp_convolution *shape = &run->shape;
    size_t image = index / job->strips, begin = index % job->strips * job->rows_per_strip;
    size_t end = fkp_min_size(fkp_pooled(shape->out_height, &run->pool), begin + job->rows_per_strip);
    size_t first = fkp_window_span(&run->pool, shape->out_height, begin).begin;
    size_t last = fkp_window_span(&run->pool, shape->out_height, end - 1).end;
    strip_task task = begin_strip(job, worker, image, first, last);
    const fkp_strip strip = {task.ring, first, run->pool.size};
    size_t row_floats = shape->out_width * shape->out_channels, next = first;
    for (size_t pooled = begin; pooled < end; pooled++) {
        const fkp_range span = fkp_window_span(&run->pool, shape->out_height, pooled);
        for (next = fkp_max_size(next, span.begin); next < span.end; next++)
            for (size_t panel = 0; panel < fkp_panels(kernels, shape->out_channels); panel++)
                convolve_row(&task, next, panel, task.ring + (next - first) % strip.slots * row_floats,
                             shape->out_channels);
        fkp_pool_strip_row(kernels, run, &strip, image, pooled);
    }
}

void fkp_plane_convolution_run(const fkp_context *context, const fkp_convolution_run_arguments *run) {
    const fkp_convolution *shape = &run->shape;
    plane_job job = {.context = context, .run = run, .rows_per_strip = strip_rows(run)};
    job.strips = fkp_divide_up(fkp_pooled(shape->out_height, &run->pool), job.rows_per_strip);
    size_t tasks = shape->batch * job.strips;
    if (run->pool.size > 0 && !pools_in_registers(run))
        fkp_parallel(context->pool, tasks, pooled_task, &job);
    else
        fkp_parallel(context->pool, tasks * fkp_panels(context->kernels, shape->out_channels), plane_task,
                     &job);
}
