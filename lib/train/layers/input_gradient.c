#include "train/layers/input_gradient.h"

#include <string.h>

#include "operators/gemm.h"

enum { STRIP_PIXELS = 96 }; /* pixels of a phase that one task computes */

/* Taps, in one dimension, that reach positions of a phase, and what is added to the phase's own index to find
 * dy. */
typedef struct phase_taps {
    size_t count;
    size_t first; /* taps first, first + stride, … */
    size_t begin; /* first position of the phase */
    size_t positions;
} phase_taps;

static phase_taps taps_of(const fkp_convolution *s, size_t phase, size_t size) {
    phase_taps taps = {.first = (phase + s->padding) % s->stride, .begin = phase};
    taps.count = taps.first < s->kernel ? fkp_divide_up(s->kernel - taps.first, s->stride) : 0;
    taps.positions = phase < size ? fkp_divide_up(size - phase, s->stride) : 0;
    return taps;
}

typedef struct phase_job {
    const fkp_context *context;
    const fkp_input_gradient *run;
    phase_taps vertical, horizontal;
    const float *zeros;
    float *packed;
    float *workers;
    size_t worker_floats, strips;
} phase_job;

static size_t all_taps(const phase_job *job) { return job->vertical.count * job->horizontal.count; }

/* Panel by panel: all taps of a panel follow one another. */
static void pack_task(void *argument, size_t panel, size_t worker) {
    (void)worker;
    const phase_job *job = argument;
    const fkp_kernels *kernels = job->context->kernels;
    const fkp_convolution *s = &job->run->shape;
    size_t window = s->kernel * s->kernel, first = panel * kernels->gemm.columns;
    size_t columns = fkp_panel_columns(kernels, s->in_channels, panel);
    size_t width = fkp_panel_width(kernels, s->in_channels, panel);
    float *to = job->packed + first * all_taps(job) * s->out_channels;
    for (size_t v = 0; v < job->vertical.count; v++)
        for (size_t h = 0; h < job->horizontal.count; h++) {
            size_t y = job->vertical.first + v * s->stride, x = job->horizontal.first + h * s->stride;
            /* depth: output channels; columns: input channels. */
            fkp_gemm_pack(kernels, s->out_channels, columns,
                          job->run->weights + first * window + y * s->kernel + x, s->in_channels * window,
                          window, NULL, to);
            to += s->out_channels * width;
        }
}

/* Where tap number `v` of a phase finds dy for position `index` of the phase; false outside. */
static bool source_of(const fkp_convolution *s, const phase_taps *taps, size_t index, size_t v,
                      size_t out_size, size_t *source) {
    size_t moved = taps->begin + index * s->stride + s->padding, tap = taps->first + v * s->stride;
    if (moved < tap) return false;
    *source = (moved - tap) / s->stride;
    return *source < out_size;
}

static void fill_pointers(const phase_job *job, size_t image, size_t pixel, size_t rows,
                          const float **pointers) {
    const fkp_convolution *s = &job->run->shape;
    size_t tile_rows = job->context->kernels->gemm.rows;
    for (size_t r = 0; r < rows; r++) {
        size_t row = (pixel + r) / job->horizontal.positions,
               column = (pixel + r) % job->horizontal.positions;
        for (size_t v = 0; v < job->vertical.count; v++)
            for (size_t h = 0; h < job->horizontal.count; h++) {
                size_t y = 0, x = 0;
                bool inside = source_of(s, &job->vertical, row, v, s->out_height, &y) &&
                              source_of(s, &job->horizontal, column, h, s->out_width, &x);
                size_t from = (image * s->out_height + y) * s->out_width + x;
                pointers[(v * job->horizontal.count + h) * tile_rows + r] =
                    inside ? job->run->d_out.data + from * job->run->d_out.stride : job->zeros;
            }
    }
}

static float *pixel_of(const phase_job *job, size_t image, size_t pixel) {
    const fkp_convolution *s = &job->run->shape;
    size_t y = job->vertical.begin + pixel / job->horizontal.positions * s->stride;
    size_t x = job->horizontal.begin + pixel % job->horizontal.positions * s->stride;
    return job->run->d_in.data + ((image * s->in_height + y) * s->in_width + x) * job->run->d_in.stride;
}

/* Pixels of a phase lie apart: a tile is computed in scratch and its rows put in their places. */
static void multiply_tile(const phase_job *job, size_t image, size_t pixel, size_t rows, float *memory) {
    const fkp_kernels *kernels = job->context->kernels;
    const fkp_convolution *s = &job->run->shape;
    size_t taps = all_taps(job), channels = s->in_channels;
    const float **pointers = (const float **)(void *)memory;
    float *sums = memory + fkp_divide_up(taps * kernels->gemm.rows * sizeof *pointers, 64) * 16;
    fill_pointers(job, image, pixel, rows, pointers);
    fkp_gemm_tile tile = {
        .rows = rows, .depth = s->out_channels, .taps = taps, .a = pointers, .c_stride = channels};
    for (size_t panel = 0; panel < fkp_panels(kernels, channels); panel++) {
        size_t first = panel * kernels->gemm.columns;
        tile.columns = fkp_panel_columns(kernels, channels, panel);
        tile.b = job->packed + first * taps * s->out_channels;
        tile.c = sums + first;
        kernels->gemm.tile(&tile);
    }
    for (size_t r = 0; r < rows; r++)
        memcpy(pixel_of(job, image, pixel + r), sums + r * channels, channels * sizeof *sums);
}

static void strip_task(void *argument, size_t index, size_t worker) {
    const phase_job *job = argument;
    const fkp_convolution *s = &job->run->shape;
    size_t image = index / job->strips, begin = index % job->strips * STRIP_PIXELS;
    size_t end = fkp_min_size(job->vertical.positions * job->horizontal.positions, begin + STRIP_PIXELS);
    size_t step = job->context->kernels->gemm.rows;
    for (size_t pixel = begin; pixel < end; pixel += step) {
        size_t rows = fkp_min_size(step, end - pixel);
        if (all_taps(job) > 0)
            multiply_tile(job, image, pixel, rows, job->workers + worker * job->worker_floats);
        else
            for (size_t r = 0; r < rows; r++)
                memset(pixel_of(job, image, pixel + r), 0, s->in_channels * sizeof(float));
    }
}

/* Floats of a worker: the pointers of a tile for every tap, and its sums. */
static size_t worker_floats(const fkp_kernels *kernels, const fkp_convolution *s) {
    size_t taps = s->kernel * s->kernel;
    return fkp_divide_up(taps * kernels->gemm.rows * sizeof(const float *), 64) * 16 +
           fkp_divide_up(kernels->gemm.rows * s->in_channels, 16) * 16;
}
static size_t zero_floats(const fkp_convolution *s) { return fkp_divide_up(s->out_channels, 16) * 16; }
static size_t packed_floats(const fkp_kernels *kernels, const fkp_convolution *s) {
    return s->kernel * s->kernel * s->out_channels * fkp_packed_columns(kernels, s->in_channels);
}

size_t fkp_input_gradient_scratch(const fkp_kernels *kernels, const fkp_convolution *shape, size_t threads) {
    return zero_floats(shape) + packed_floats(kernels, shape) + threads * worker_floats(kernels, shape);
}

void fkp_input_gradient_run(const fkp_context *context, const fkp_input_gradient *run) {
    const fkp_convolution *s = &run->shape;
    phase_job job = {.context = context, .run = run, .zeros = context->scratch};
    memset(context->scratch, 0, zero_floats(s) * sizeof *context->scratch);
    job.packed = context->scratch + zero_floats(s);
    job.workers = job.packed + packed_floats(context->kernels, s);
    job.worker_floats = worker_floats(context->kernels, s);
    for (size_t y = 0; y < s->stride; y++)
        for (size_t x = 0; x < s->stride; x++) {
            job.vertical = taps_of(s, y, s->in_height);
            job.horizontal = taps_of(s, x, s->in_width);
            job.strips = fkp_divide_up(job.vertical.positions * job.horizontal.positions, STRIP_PIXELS);
            if (all_taps(&job) > 0)
                fkp_parallel(context->pool, fkp_panels(context->kernels, s->in_channels), pack_task, &job);
            fkp_parallel(context->pool, s->batch * job.strips, strip_task, &job);
        }
}
