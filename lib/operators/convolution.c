/* Convolution in direct form: for each block of output pixels the row pointers of every tap are made, and the
 * register tile multiplies through them (Dukhan, The Indirect Convolution Algorithm, 2019). A tap outside of
 * the image points at zeros.
 *
 * With one input channel a tap would be a single number: that is plane_convolution.c. */
#include "operators/convolution.h"

#include <string.h>

#include "operators/split.h"

/* A tap is a position of the kernel, as deep as there are input channels. */
static size_t taps_of(const fkp_convolution *shape) { return shape->kernel * shape->kernel; }

/* ---- packing ---- */

size_t fkp_convolution_packed_floats(const fkp_kernels *kernels, const fkp_convolution *shape,
                                     fkp_convolution_algorithm algorithm) {
    if (algorithm == FKP_CONVOLUTION_SPLIT) return fkp_split_packed_floats(shape);
    return fkp_gemm_packed_floats(kernels, shape->kernel * shape->kernel * shape->in_channels,
                                  shape->out_channels);
}

bool fkp_convolution_can(const fkp_convolution *shape, fkp_convolution_algorithm algorithm) {
    if (algorithm == FKP_CONVOLUTION_DIRECT) return true;
    if (algorithm == FKP_CONVOLUTION_SPLIT) return fkp_split_can(shape);
    size_t kernel = algorithm == FKP_CONVOLUTION_WINOGRAD_4_4 ? 4 : 3;
    size_t stride = algorithm == FKP_CONVOLUTION_WINOGRAD_4_3_2 ? 2 : 1;
    return shape->kernel == kernel && shape->stride == stride && shape->in_channels > 1 &&
           shape->padding < kernel;
}

size_t fkp_convolution_beside(fkp_convolution_algorithm algorithm) {
    if (algorithm == FKP_CONVOLUTION_SPLIT) return FKP_SPLIT_DEPTH;
    return fkp_is_winograd(algorithm) ? FKP_WINOGRAD_DEPTH : 0;
}

bool fkp_convolution_upsamples(const fkp_kernels *kernels, const fkp_convolution *shape,
                               fkp_convolution_algorithm algorithm, size_t small_channels, size_t channels) {
    return algorithm == FKP_CONVOLUTION_SPLIT && fkp_split_upsamples(kernels, small_channels, channels) &&
           fkp_split_convolution_upsamples(shape, channels);
}

bool fkp_convolution_halves(const fkp_convolution *shape, fkp_convolution_algorithm algorithm) {
    return algorithm == FKP_CONVOLUTION_SPLIT && fkp_split_convolution_halves(shape);
}

/* Panels of columns. In a panel lie, for the direct form, taps, then channels; for Winograd's, channels, then
 * taps, so that a block of filters to be transformed is one run. */
void fkp_convolution_pack_columns(const fkp_kernels *kernels, const fkp_convolution *shape,
                                  fkp_convolution_algorithm algorithm, fkp_column_block block,
                                  float *packed) {
    if (algorithm == FKP_CONVOLUTION_SPLIT) {
        fkp_split_pack_columns(kernels, shape, &block, packed);
        return;
    }
    block.inner = algorithm == FKP_CONVOLUTION_DIRECT ? shape->kernel * shape->kernel : 1;
    block.panel_columns = fkp_filter_panel(kernels, algorithm);
    fkp_gemm_pack_columns(kernels, &block, packed);
}

void fkp_convolution_pack(const fkp_kernels *kernels, const fkp_convolution *shape,
                          fkp_convolution_algorithm algorithm, const float *weights, const float *scale,
                          float *packed) {
    fkp_column_block block = {.depth = shape->kernel * shape->kernel * shape->in_channels,
                              .columns = shape->out_channels,
                              .count = shape->out_channels,
                              .weights = weights,
                              .scale = scale};
    fkp_convolution_pack_columns(kernels, shape, algorithm, block, packed);
}

size_t fkp_convolution_panels(const fkp_kernels *kernels, const fkp_convolution *shape,
                              fkp_convolution_algorithm algorithm) {
    return fkp_divide_up(shape->out_channels, fkp_filter_panel(kernels, algorithm));
}

void fkp_convolution_pack_backward(const fkp_kernels *kernels, const fkp_convolution *shape,
                                   fkp_convolution_algorithm algorithm, const float *weights, size_t panel,
                                   float *packed) {
    size_t area = shape->kernel * shape->kernel, channels = shape->in_channels, outs = shape->out_channels;
    bool direct = algorithm == FKP_CONVOLUTION_DIRECT;
    size_t columns = fkp_filter_panel(kernels, algorithm), first = panel * columns;
    size_t n = fkp_min_size(columns, outs - first);
    size_t width = fkp_min_size(columns, fkp_packed_columns(kernels, outs) - first);
    packed += first * area * channels;
    for (size_t i = 0; i < channels; i++)
        for (size_t position = 0; position < area; position++) {
            const float *source = weights + (i * outs + first) * area + area - 1 - position;
            float *row = packed + (direct ? position * channels + i : i * area + position) * width;
            for (size_t j = 0; j < n; j++) row[j] = source[j * area];
            memset(row + n, 0, (width - n) * sizeof *row);
        }
}

/* ---- running ---- */

/* A task computes a strip of whole rows, about FKP_TASK_ROWS pixels. */
static size_t strip_rows(const fkp_convolution_run_arguments *run) {
    size_t rows = fkp_max_size(1, FKP_TASK_ROWS / run->shape.out_width);
    return fkp_min_size(rows, run->shape.out_height);
}

/* Floats of a worker: the pointers of one register tile, and when pooling the strip before pooling. */
static size_t pointer_floats(const fkp_kernels *kernels, const fkp_convolution *shape) {
    size_t pointers = taps_of(shape) * kernels->gemm.rows;
    return fkp_divide_up(pointers * sizeof(const float *), FKP_ALIGNMENT) * (FKP_ALIGNMENT / sizeof(float));
}
static size_t strip_floats(const fkp_convolution_run_arguments *run) {
    if (run->pool.size == 0) return 0;
    size_t rows = (fkp_pooled_strip_rows(run, strip_rows(run)) - 1) * run->pool.stride + run->pool.size;
    rows = fkp_min_size(rows, run->shape.out_height);
    return fkp_divide_up(rows * run->shape.out_width * run->shape.out_channels, 16) * 16;
}
/* The shared part: a row of zeros. */
static size_t shared_floats(const fkp_convolution *shape) {
    return fkp_divide_up(shape->in_channels, 16) * 16;
}

typedef struct convolution_job {
    const fkp_context *context;
    const fkp_convolution_run_arguments *run;
    const float *zeros; /* in_channels zeros */
    float *worker_scratch;
    size_t worker_floats;
    size_t rows_per_strip, strips; /* of an image; pooled rows, if there is pooling */
} convolution_job;

/* First pixel of an image row that the kernel's row y reads for output row `row`; NULL if it lies outside of
 * the image, where there are only zeros. */
static const float *input_row(const convolution_job *job, size_t image, size_t row, size_t y) {
    const fkp_convolution *shape = &job->run->shape;
    size_t in_row = row * shape->stride + y;
    if (in_row < shape->padding || in_row >= shape->in_height + shape->padding) return NULL;
    return job->run->in +
           (image * shape->in_height + in_row - shape->padding) * shape->in_width * job->run->in_stride;
}

/* Pointers of one kernel row for `count` pixels of an output row, from `column` on. */
static void point_at_row(const convolution_job *job, const float *in, size_t column, size_t count,
                         const float **pointers) {
    const fkp_convolution *shape = &job->run->shape;
    size_t tile_rows = job->context->kernels->gemm.rows, stride = shape->stride;
    for (size_t x = 0; x < shape->kernel; x++, pointers += tile_rows)
        for (size_t r = 0; r < count; r++) {
            /* Wraps around, and is then too large, left of the image. */
            size_t in_column = (column + r) * stride + x - shape->padding;
            bool inside = in != NULL && in_column < shape->in_width;
            pointers[r] = inside ? in + in_column * job->run->in_stride : job->zeros;
        }
}

/* Row pointers of all taps for `count` pixels of an image, which may go over several of its rows. */
static void fill_pointers(const convolution_job *job, size_t image, size_t pixel, size_t count,
                          const float **pointers) {
    const fkp_convolution *shape = &job->run->shape;
    size_t row = pixel / shape->out_width, column = pixel % shape->out_width;
    size_t step = job->context->kernels->gemm.rows * shape->kernel;
    for (size_t first = 0; first < count; row++, column = 0) {
        size_t n = fkp_min_size(count - first, shape->out_width - column);
        for (size_t y = 0; y < shape->kernel; y++)
            point_at_row(job, input_row(job, image, row, y), column, n, pointers + first + y * step);
        first += n;
    }
}

/* Taps that make a block of depth. */
static size_t taps_per_block(const fkp_convolution *shape) {
    return fkp_min_size(taps_of(shape), fkp_max_size(1, FKP_DEPTH_BLOCK / shape->in_channels));
}

/* Multiplies pixels [begin, end) of an image with one block of one panel, into `out` (the pixel `begin`'s
 * row). */
static void multiply_strip(const convolution_job *job, size_t image, size_t begin, size_t end, size_t panel,
                           size_t first_tap, const float **pointers, float *out, size_t out_stride) {
    const fkp_kernels *kernels = job->context->kernels;
    const fkp_convolution_run_arguments *run = job->run;
    const fkp_convolution *shape = &run->shape;
    size_t first = panel * kernels->gemm.columns,
           width = fkp_panel_width(kernels, shape->out_channels, panel);
    size_t taps = fkp_min_size(taps_per_block(shape), taps_of(shape) - first_tap);
    fkp_gemm_tile tile = {.columns = fkp_panel_columns(kernels, shape->out_channels, panel),
                          .depth = shape->in_channels,
                          .taps = taps,
                          .a = pointers + first_tap * kernels->gemm.rows,
                          .b = run->packed + first * taps_of(shape) * shape->in_channels +
                               first_tap * shape->in_channels * width,
                          .c_stride = out_stride,
                          .accumulate = first_tap > 0};
    size_t image_rows = image * shape->out_height * shape->out_width;
    /* After the last taps of a panel come the first of the next, which lie behind them. */
    size_t steps = taps * shape->in_channels;
    const float *next = first + tile.columns < shape->out_channels || first_tap + taps < taps_of(shape)
                            ? tile.b + steps * width
                            : NULL;
    for (size_t pixel = begin; pixel < end; pixel += kernels->gemm.rows) {
        tile.rows = fkp_min_size(kernels->gemm.rows, end - pixel);
        fill_pointers(job, image, pixel, tile.rows, pointers);
        fkp_epilogue epilogue = fkp_epilogue_at(&run->epilogue, image_rows + pixel, first);
        tile.epilogue =
            first_tap + taps == taps_of(shape) && !fkp_finishes_after_pooling(run) ? &epilogue : NULL;
        tile.c = out + (pixel - begin) * out_stride + first;
        tile.next = fkp_fetched(next, steps * width, (pixel - begin) / kernels->gemm.rows, steps);
        kernels->gemm.tile(&tile);
    }
}

/* All panels of pixels [begin, end) of an image. */
static void multiply_panels(const convolution_job *job, size_t image, size_t begin, size_t end,
                            size_t first_panel, size_t last_panel, float *scratch, float *out,
                            size_t out_stride) {
    const float **pointers = (const float **)(void *)scratch;
    for (size_t panel = first_panel; panel < last_panel; panel++)
        for (size_t tap = 0; tap < taps_of(&job->run->shape); tap += taps_per_block(&job->run->shape))
            multiply_strip(job, image, begin, end, panel, tap, pointers, out, out_stride);
}

/* Asks for what rows [begin, end) of the output read: another core may have written it, and is far away. */
static void fetch_input(const convolution_job *job, size_t image, size_t begin, size_t end) {
    const fkp_convolution *shape = &job->run->shape;
    size_t stride = job->run->in_stride, padding = shape->padding;
    size_t first = begin * shape->stride - fkp_min_size(begin * shape->stride, padding);
    size_t last = fkp_min_size(shape->in_height, (end - 1) * shape->stride + shape->kernel - padding);
    const float *rows = job->run->in + image * shape->in_height * shape->in_width * stride;
    for (size_t pixel = first * shape->in_width; pixel < last * shape->in_width; pixel++)
        for (size_t c = 0; c < shape->in_channels; c += 16)
            __builtin_prefetch(rows + pixel * stride + c, 0, 2);
}

static void convolution_task(void *argument, size_t index, size_t worker) {
    const convolution_job *job = argument;
    const fkp_convolution_run_arguments *run = job->run;
    const fkp_convolution *shape = &run->shape;
    size_t panels = fkp_panels(job->context->kernels, shape->out_channels), panel = index % panels;
    size_t image = index / panels / job->strips, row = index / panels % job->strips * job->rows_per_strip;
    size_t end = fkp_min_size(shape->out_height, row + job->rows_per_strip);
    size_t first = image * shape->out_height * shape->out_width + row * shape->out_width;
    fetch_input(job, image, row, end);
    multiply_panels(job, image, row * shape->out_width, end * shape->out_width, panel, panel + 1,
                    job->worker_scratch + worker * job->worker_floats, run->out + first * run->out_stride,
                    run->out_stride);
}

static void pooled_task(void *argument, size_t index, size_t worker) {
    const convolution_job *job = argument;
    const fkp_convolution_run_arguments *run = job->run;
    const fkp_convolution *shape = &run->shape;
    const fkp_window *pool = &run->pool;
    size_t height = fkp_pooled(shape->out_height, pool);
    size_t image = index / job->strips, begin = index % job->strips * job->rows_per_strip;
    size_t end = fkp_min_size(height, begin + job->rows_per_strip);
    size_t first = fkp_window_span(pool, shape->out_height, begin).begin;
    size_t last = fkp_window_span(pool, shape->out_height, end - 1).end;
    float *scratch = job->worker_scratch + worker * job->worker_floats;
    float *strip = scratch + pointer_floats(job->context->kernels, shape);
    multiply_panels(job, image, first * shape->out_width, last * shape->out_width, 0,
                    fkp_panels(job->context->kernels, shape->out_channels), scratch, strip,
                    shape->out_channels);
    for (size_t row = begin; row < end; row++)
        fkp_pool_strip_row(job->context->kernels, run, &(fkp_strip){strip, first, last - first}, image, row);
}

size_t fkp_convolution_scratch(const fkp_kernels *kernels, const fkp_convolution_run_arguments *run,
                               size_t threads) {
    const fkp_convolution *shape = &run->shape;
    if (run->algorithm == FKP_CONVOLUTION_SPLIT) return fkp_split_scratch(run, threads);
    if (run->algorithm != FKP_CONVOLUTION_DIRECT) return fkp_winograd_scratch(kernels, run, threads);
    if (shape->in_channels == 1) return fkp_plane_convolution_scratch(run, threads);
    return shared_floats(shape) + threads * (pointer_floats(kernels, shape) + strip_floats(run));
}

static void run_direct(const fkp_context *context, const fkp_convolution_run_arguments *run) {
    const fkp_convolution *shape = &run->shape;
    convolution_job job = {.context = context, .run = run, .zeros = context->scratch};
    job.worker_scratch = context->scratch + shared_floats(shape);
    job.worker_floats = pointer_floats(context->kernels, shape) + strip_floats(run);
    memset(context->scratch, 0, shape->in_channels * sizeof(float));
    bool pooled = run->pool.size > 0;
    job.rows_per_strip = pooled ? fkp_pooled_strip_rows(run, strip_rows(run)) : strip_rows(run);
    job.strips = fkp_divide_up(fkp_pooled(shape->out_height, &run->pool), job.rows_per_strip);
    size_t tasks = shape->batch * job.strips;
    if (pooled)
        fkp_parallel(context->pool, tasks, pooled_task, &job);
    else
        fkp_parallel(context->pool, tasks * fkp_panels(context->kernels, shape->out_channels),
                     convolution_task, &job);
}

void fkp_convolution_run(const fkp_context *context, const fkp_convolution_run_arguments *run) {
    if (run->algorithm == FKP_CONVOLUTION_SPLIT)
        fkp_split_run(context, run);
    else if (run->algorithm != FKP_CONVOLUTION_DIRECT)
        fkp_winograd_run(context, run);
    else if (run->shape.in_channels == 1)
        fkp_plane_convolution_run(context, run);
    else
        run_direct(context, run);
}
