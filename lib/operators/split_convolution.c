/* Convolution, and a matrix product of many rows as one of 1 x 1, by products of split numbers.
 *
 * A task takes a strip of the image apart, with its borders, into the worker's own memory, and multiplies it
 * with a panel of filters. Padded rows lie one behind the other there, and so the pixels that a tap reads for
 * one result after the other, from row to row too, are one distance apart: what a matrix tile loads. Between
 * the lines of results some are computed that nobody wants. With a stride, rows y, y + stride, … are a plane
 * of their own for every y < stride; a tap reads one plane, and what has been said holds in each. */
#include <string.h>

#include "operators/convolution.h"

/* A kernel has at most so many taps. */
enum { MOST_TAPS = 256 };
/* Of a strip, taken apart, which stays in the second-level cache beside all filters; or, where those are
 * larger and had to come again for every strip, beside a panel of them. */
#define STRIP_BYTES ((size_t)512 << 10)
#define LARGE_STRIP_BYTES ((size_t)1280 << 10)
/* Numbers of a pixel in a chunk: high and low. */
#define PIXEL ((size_t)2 * FKP_SPLIT_DEPTH)
/* Columns of a tile of filters. */
#define GRANULE ((size_t)16)

static size_t chunks_of(size_t channels) { return fkp_divide_up(channels, FKP_SPLIT_DEPTH); }

bool fkp_split_can(const fkp_convolution *shape) {
    return shape->in_channels > 1 && shape->kernel * shape->kernel <= MOST_TAPS &&
           shape->padding < shape->kernel;
}

/* ---- filters: numbers of 16 bits, two in the place of a float ---- */

size_t fkp_split_packed_floats(const fkp_convolution *shape) {
    return fkp_divide_up(shape->out_channels, GRANULE) * GRANULE * shape->kernel * shape->kernel *
           chunks_of(shape->in_channels) * FKP_SPLIT_DEPTH;
}

/* Numbers of a chunk and a tap of 16 columns, high and low. */
enum { COLUMNS_TILE = 2 * FKP_SPLIT_DEPTH * 16 };

/* Numbers of a column that are turned at a time: still in the first-level cache when they are taken apart. */
enum { TURNED = 512 };

typedef struct filter_packer {
    const fkp_kernels *kernels;
    const fkp_column_block *block;
    size_t area, channels, taken; /* channels that are turned at a time, an even number */
    size_t first, count;          /* the 16 columns at hand */
    size_t tile;                  /* from tile to tile of their panel */
    uint16_t *packed;             /* their first one */
} filter_packer;

/* Turns the weights of `count` channels, and scales them; what is missing of 16 columns and of an even number
 * of channels are zeros. */
static void turn_channels(const filter_packer *p, size_t channel, size_t count, float (*rows)[GRANULE]) {
    const fkp_column_block *block = p->block;
    const float *weights = block->weights + (p->first - block->first) * block->depth + channel * p->area;
    const size_t numbers = count * p->area;
    if (p->count < GRANULE || count % 2 != 0) memset(rows, 0, TURNED * sizeof *rows);
    p->kernels->transpose(weights, block->depth, p->count, numbers, rows[0], GRANULE);
    if (block->scale == NULL) return;
    float scale[GRANULE] = {0};
    memcpy(scale, block->scale + p->first, p->count * sizeof *scale);
    for (size_t k = 0; k < numbers; k++)
        for (size_t j = 0; j < GRANULE; j++) rows[k][j] *= scale[j];
}

static void pack_channels(const filter_packer *p, size_t channel, size_t count) {
    _Alignas(64) float rows[TURNED][GRANULE];
    turn_channels(p, channel, count, rows);
    for (size_t i = 0; i < count; i += 2) {
        const size_t chunk = (channel + i) / FKP_SPLIT_DEPTH, pair = (channel + i) % FKP_SPLIT_DEPTH / 2;
        uint16_t *high = p->packed + chunk * p->area * p->tile + pair * 2 * GRANULE;
        for (size_t tap = 0; tap < p->area; tap++, high += p->tile)
            p->kernels->split.pack(rows[i * p->area + tap], rows[(i + 1) * p->area + tap], high,
                                   high + COLUMNS_TILE / 2);
    }
}

/* Zeros for the channels that the last chunk has not. */
static void pack_nothing(const filter_packer *p) {
    for (size_t channel = p->channels + p->channels % 2; channel % FKP_SPLIT_DEPTH != 0; channel += 2) {
        uint16_t *high =
            p->packed + channel / FKP_SPLIT_DEPTH * p->area * p->tile + channel % FKP_SPLIT_DEPTH * GRANULE;
        for (size_t tap = 0; tap < p->area; tap++, high += p->tile) {
            memset(high, 0, 2 * GRANULE * sizeof *high);
            memset(high + COLUMNS_TILE / 2, 0, 2 * GRANULE * sizeof *high);
        }
    }
}

/* The 16 columns from `first` on, in their panel. */
static void point_at_columns(filter_packer *p, size_t first, float *packed) {
    const size_t column_numbers = 2 * p->area * chunks_of(p->channels) * FKP_SPLIT_DEPTH;
    const size_t panel = first / FKP_SPLIT_COLUMNS * FKP_SPLIT_COLUMNS;
    p->first = first;
    p->tile = p->block->columns - panel > GRANULE ? 2 * COLUMNS_TILE : COLUMNS_TILE;
    p->packed =
        (uint16_t *)(void *)packed + panel * column_numbers + (first - panel) / GRANULE * COLUMNS_TILE;
}

void fkp_split_pack_columns(const fkp_kernels *kernels, const fkp_convolution *shape,
                            const fkp_column_block *block, float *packed) {
    filter_packer p = {.kernels = kernels,
                       .block = block,
                       .area = shape->kernel * shape->kernel,
                       .channels = shape->in_channels};
    p.taken = fkp_min_size(FKP_SPLIT_DEPTH, TURNED / p.area / 2 * 2);
    for (size_t done = 0; done < block->count; done += GRANULE) {
        point_at_columns(&p, block->first + done, packed);
        p.count = fkp_min_size(GRANULE, block->count - done);
        for (size_t channel = 0; channel < p.channels; channel += p.taken)
            pack_channels(&p, channel, fkp_min_size(p.taken, p.channels - channel));
        pack_nothing(&p);
    }
}

/* ---- strips ---- */

typedef struct split_job {
    const fkp_context *context;
    const fkp_convolution_run_arguments *run;
    size_t panels, chunks;
    size_t row_pixels;   /* of a padded row, a multiple of the stride */
    size_t planes;       /* as many as there are strides of which a tap reads rows */
    size_t reach;        /* rows of a plane beyond a line's own that it reads */
    size_t lines;        /* of a strip, at most; with pooling, those that its pooled rows need */
    size_t rows, strips; /* of a strip, and of an image: lines, or pooled rows */
    size_t plane_rows, chunk_step;
    size_t worker_floats;
    size_t taps[MOST_TAPS];
    size_t taken_apart[FKP_MAX_THREADS]; /* the strip that a worker has in its memory */
} split_job;

static void measure_rows(split_job *job) {
    const fkp_convolution *shape = &job->run->shape;
    const size_t read = (shape->out_width - 1) * shape->stride + shape->kernel - shape->padding;
    const size_t pixels = fkp_max_size(shape->in_width + shape->padding, read);
    job->row_pixels = fkp_divide_up(pixels, shape->stride) * shape->stride;
    job->planes = fkp_min_size(shape->kernel, shape->stride);
    job->reach = (shape->kernel - 1) / shape->stride;
    job->chunks = chunks_of(shape->in_channels);
    job->panels = fkp_divide_up(shape->out_channels, FKP_SPLIT_COLUMNS);
}

/* Pixels of a chunk of a strip of so many lines; odd, so that chunks do not fall on the same lines of the
 * cache. */
static size_t strip_pixels(const split_job *job, size_t lines) {
    const fkp_convolution *shape = &job->run->shape;
    return (job->planes * (lines + job->reach) * job->row_pixels + shape->padding +
            FKP_SPLIT_SLACK * shape->stride) |
           1;
}

/* What the busiest worker has to do if an image is cut into so many strips, in products of a pair of tiles: a
 * tile of rows takes six for each tap and chunk of a panel, and as long as ten to be taken apart. */
enum { TILE_ROWS = 16, PRODUCTS = 6, TAKING_APART = 10 };
static size_t busiest(const split_job *job, size_t strips, size_t threads) {
    const fkp_convolution *shape = &job->run->shape;
    const size_t lines = fkp_divide_up(shape->out_height, strips);
    const size_t rows = (lines - 1) * (job->row_pixels / shape->stride) + shape->out_width;
    const size_t tiles = fkp_max_size(2, fkp_divide_up(rows, TILE_ROWS));
    const size_t tasks = shape->batch * fkp_divide_up(shape->out_height, lines) * job->panels;
    const size_t own = fkp_divide_up(tasks, threads), parts = fkp_divide_up(own, job->panels);
    const size_t read = fkp_divide_up(strip_pixels(job, lines), TILE_ROWS);
    return own * tiles * shape->kernel * shape->kernel * PRODUCTS + parts * read * TAKING_APART;
}

/* Lines of a strip: few enough for the cache, and so many that the work is shared evenly. */
static size_t choose_lines(const split_job *job, size_t threads) {
    const fkp_convolution *shape = &job->run->shape;
    const size_t line_bytes = job->planes * job->row_pixels * job->chunks * PIXEL * sizeof(uint16_t);
    const size_t filter_bytes = fkp_split_packed_floats(shape) * sizeof(float);
    const size_t most_bytes = filter_bytes > STRIP_BYTES ? LARGE_STRIP_BYTES : STRIP_BYTES;
    const size_t most = fkp_max_size(job->reach + 1, most_bytes / line_bytes) - job->reach;
    const size_t fewest = fkp_divide_up(shape->out_height, most);
    size_t best = fewest;
    for (size_t strips = fewest; strips <= fkp_min_size(shape->out_height, fewest + 2 * threads); strips++)
        if (busiest(job, strips, threads) < busiest(job, best, threads)) best = strips;
    return fkp_divide_up(shape->out_height, best);
}

/* With pooling a task has all panels of some pooled rows, and their lines before pooling. */
static void choose_pooled_rows(split_job *job, size_t threads) {
    const fkp_convolution *shape = &job->run->shape;
    const fkp_window *pool = &job->run->pool;
    const size_t height = fkp_pooled(shape->out_height, pool);
    const size_t line = shape->out_width * shape->out_channels * sizeof(float);
    const size_t lines = fkp_min_size(choose_lines(job, threads), fkp_max_size(1, STRIP_BYTES / 2 / line));
    job->rows = fkp_pooled_strip_rows(job->run, lines);
    job->rows = fkp_divide_up(height, fkp_divide_up(height, job->rows));
    job->lines = fkp_min_size(shape->out_height, (job->rows - 1) * pool->stride + pool->size);
}

static size_t line_floats(const split_job *job) {
    const fkp_convolution *shape = &job->run->shape;
    return job->run->pool.size == 0 ? 0 : job->lines * shape->out_width * shape->out_channels;
}

static void plan(split_job *job, const fkp_convolution_run_arguments *run, size_t threads) {
    job->run = run;
    measure_rows(job);
    if (run->pool.size > 0)
        choose_pooled_rows(job, threads);
    else
        job->rows = job->lines = choose_lines(job, threads);
    job->strips = fkp_divide_up(fkp_pooled(run->shape.out_height, &run->pool), job->rows);
    job->plane_rows = job->lines + job->reach;
    job->chunk_step = strip_pixels(job, job->lines) * PIXEL;
    job->worker_floats = fkp_divide_up(job->chunks * job->chunk_step / 2 + line_floats(job), 16) * 16;
}

/* ---- taking a strip apart ---- */

/* Channels of both tensors, of `count` pixels from the one on; NULL: zeros. */
static void split_pixels(const split_job *job, size_t pixel, size_t count, bool zeros, uint16_t *out) {
    const fkp_convolution_run_arguments *run = job->run;
    if (zeros) {
        for (size_t chunk = 0; chunk < job->chunks; chunk++)
            memset(out + chunk * job->chunk_step, 0, count * PIXEL * sizeof *out);
        return;
    }
    const size_t first = run->beside_from > 0 ? run->beside_from : run->shape.in_channels;
    fkp_split_rows rows = {.in = run->in + pixel * run->in_stride,
                           .in_stride = run->in_stride,
                           .rows = count,
                           .channels = first,
                           .out = out,
                           .chunk_step = job->chunk_step};
    job->context->kernels->split.rows(&rows);
    if (run->beside_from == 0) return;
    rows.in = run->beside + pixel * run->beside_stride;
    rows.in_stride = run->beside_stride;
    rows.channels = run->shape.in_channels - first;
    rows.out = out + first / FKP_SPLIT_DEPTH * job->chunk_step;
    job->context->kernels->split.rows(&rows);
}

/* Padded row `row` of an image. */
static void split_row(const split_job *job, size_t image, size_t row, uint16_t *out) {
    const fkp_convolution *shape = &job->run->shape;
    const size_t in_row = row - shape->padding; /* wraps around above the image */
    if (in_row >= shape->in_height) {
        split_pixels(job, 0, job->row_pixels, true, out);
        return;
    }
    const size_t width = fkp_min_size(shape->in_width, job->row_pixels - shape->padding);
    const size_t right = shape->padding + width;
    if (shape->padding > 0) split_pixels(job, 0, shape->padding, true, out);
    split_pixels(job, (image * shape->in_height + in_row) * shape->in_width, width, false,
                 out + shape->padding * PIXEL);
    if (right < job->row_pixels) split_pixels(job, 0, job->row_pixels - right, true, out + right * PIXEL);
}

/* All that `lines` lines from `first` on read. */
static void split_strip(const split_job *job, size_t image, size_t first, size_t lines, uint16_t *out) {
    const fkp_convolution *shape = &job->run->shape;
    const size_t row_numbers = job->row_pixels * PIXEL;
    if (shape->kernel == 1 && shape->stride == 1) {
        split_pixels(job, (image * shape->in_height + first) * shape->in_width, lines * shape->in_width,
                     false, out);
        return;
    }
    for (size_t plane = 0; plane < job->planes; plane++) {
        const size_t rows = lines + (shape->kernel - 1 - plane) / shape->stride;
        uint16_t *to = out + plane * job->plane_rows * row_numbers;
        for (size_t r = 0; r < rows; r++)
            split_row(job, image, (first + r) * shape->stride + plane, to + r * row_numbers);
        /* The zeros that the last row's right border shares with a row that is not there. */
        if (shape->padding > 0) split_pixels(job, 0, shape->padding, true, to + rows * row_numbers);
    }
}

/* ---- multiplying ---- */

static void multiply_panel(const split_job *job, const uint16_t *strip, size_t panel, size_t first_pixel,
                           size_t lines, float *out, size_t out_stride) {
    const fkp_convolution_run_arguments *run = job->run;
    const fkp_convolution *shape = &run->shape;
    const size_t column = panel * FKP_SPLIT_COLUMNS;
    const size_t column_numbers = 2 * shape->kernel * shape->kernel * job->chunks * FKP_SPLIT_DEPTH;
    const uint16_t *filters = (const uint16_t *)(const void *)run->packed + column * column_numbers;
    const fkp_epilogue epilogue = fkp_epilogue_at(&run->epilogue, first_pixel, column);
    /* The last panel may be narrow, and is then not asked for: it would be asked for beyond its end. */
    const bool followed = column + 2 * FKP_SPLIT_COLUMNS <= shape->out_channels;
    job->context->kernels->split.multiply(
        &(fkp_split_product){.in = strip,
                             .chunk_step = job->chunk_step,
                             .row_step = shape->stride,
                             .taps = job->taps,
                             .tap_count = shape->kernel * shape->kernel,
                             .chunks = job->chunks,
                             .filters = filters,
                             .next = followed ? filters + FKP_SPLIT_COLUMNS * column_numbers : NULL,
                             .columns = fkp_min_size(FKP_SPLIT_COLUMNS, shape->out_channels - column),
                             .lines = lines,
                             .width = shape->out_width,
                             .pitch = job->row_pixels / shape->stride,
                             .out = out + column,
                             .out_stride = out_stride,
                             .epilogue = fkp_finishes_after_pooling(run) ? NULL : &epilogue});
}

static float *worker_memory(const split_job *job, size_t worker) {
    return fkp_own_scratch(job->context, job->worker_floats, worker);
}

static void split_task(void *argument, size_t index, size_t worker) {
    split_job *job = argument;
    const fkp_convolution_run_arguments *run = job->run;
    const fkp_convolution *shape = &run->shape;
    const size_t part = index / job->panels, image = part / job->strips;
    const size_t first = part % job->strips * job->rows;
    const size_t lines = fkp_min_size(job->rows, shape->out_height - first);
    uint16_t *strip = (uint16_t *)(void *)worker_memory(job, worker);
    if (job->taken_apart[worker] != part) split_strip(job, image, first, lines, strip);
    job->taken_apart[worker] = part;
    const size_t pixel = (image * shape->out_height + first) * shape->out_width;
    multiply_panel(job, strip, index % job->panels, pixel, lines, run->out + pixel * run->out_stride,
                   run->out_stride);
}

static void pooled_task(void *argument, size_t index, size_t worker) {
    const split_job *job = argument;
    const fkp_convolution_run_arguments *run = job->run;
    const fkp_convolution *shape = &run->shape;
    const size_t image = index / job->strips, begin = index % job->strips * job->rows;
    const size_t end = fkp_min_size(fkp_pooled(shape->out_height, &run->pool), begin + job->rows);
    const size_t first = fkp_window_span(&run->pool, shape->out_height, begin).begin;
    const size_t lines = fkp_window_span(&run->pool, shape->out_height, end - 1).end - first;
    float *memory = worker_memory(job, worker), *rows = memory + job->chunks * job->chunk_step / 2;
    uint16_t *strip = (uint16_t *)(void *)memory;
    split_strip(job, image, first, lines, strip);
    const size_t pixel = (image * shape->out_height + first) * shape->out_width;
    for (size_t panel = 0; panel < job->panels; panel++)
        multiply_panel(job, strip, panel, pixel, lines, rows, shape->out_channels);
    for (size_t row = begin; row < end; row++)
        fkp_pool_strip_row(job->context->kernels, run, &(fkp_strip){rows, first, lines}, image, row);
}

size_t fkp_split_scratch(const fkp_convolution_run_arguments *run, size_t threads) {
    split_job job;
    plan(&job, run, threads);
    return threads * job.worker_floats;
}

void fkp_split_run(const fkp_context *context, const fkp_convolution_run_arguments *run) {
    const fkp_convolution *shape = &run->shape;
    const size_t threads = fkp_pool_threads(context->pool);
    split_job job;
    plan(&job, run, threads);
    job.context = context;
    for (size_t tap = 0; tap < shape->kernel * shape->kernel; tap++) {
        const size_t y = tap / shape->kernel,
                     plane_row = y % shape->stride * job.plane_rows + y / shape->stride;
        job.taps[tap] = plane_row * job.row_pixels + tap % shape->kernel;
    }
    for (size_t i = 0; i < threads; i++) job.taken_apart[i] = SIZE_MAX;
    const size_t parts = shape->batch * job.strips;
    if (run->pool.size > 0)
        fkp_parallel(context->pool, parts, pooled_task, &job);
    else
        fkp_parallel(context->pool, parts * job.panels, split_task, &job);
}
