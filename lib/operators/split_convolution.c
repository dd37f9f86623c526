/* Convolution, and a matrix product of many rows as one of 1 x 1, by products of split numbers.
 *
 * A task takes a strip of the image apart, with its borders, into the worker's own memory, and multiplies it
 * with a panel of filters. Padded rows lie one behind the other there, and so the pixels that a tap reads for
 * one result after the other, from row to row too, are one distance apart: what a matrix tile loads. Between
 * the lines of results some are computed that nobody wants. With a stride, rows y, y + stride, … are a plane
 * of their own for every y < stride; a tap reads one plane, and what has been said holds in each. */
#include <string.h>

#include "operators/split.h"

/* A kernel has at most so many taps. */
enum { MOST_TAPS = 256 };
/* Of a strip, taken apart, which stays in the second-level cache beside all filters; or, where those are
 * larger and had to come again for every strip, beside a panel of them. */
#define STRIP_BYTES ((size_t)512 << 10)
#define LARGE_STRIP_BYTES ((size_t)1280 << 10)

bool fkp_split_can(const fkp_convolution *shape) {
    return shape->in_channels > 1 && shape->kernel * shape->kernel <= MOST_TAPS &&
           shape->padding < shape->kernel;
}

/* Shorter sums than these do not outweigh that there are twice as many. */
enum { LEAST_OF_HALF = 6 * FKP_SPLIT_DEPTH };
bool fkp_split_convolution_halves(const fkp_convolution *shape) {
    return shape->kernel == 1 && shape->stride == 1 && shape->in_channels % (2 * FKP_SPLIT_DEPTH) == 0 &&
           shape->in_channels >= 2 * LEAST_OF_HALF;
}

/* Where all filters stay in the cache and strips are small. Larger filters are few pixels, and then threads
 * share a strip's panels and would each make its rows. */
bool fkp_split_convolution_upsamples(const fkp_convolution *shape, size_t channels) {
    return shape->stride == 1 && shape->kernel > 1 && channels % FKP_SPLIT_DEPTH == 0 &&
           fkp_split_packed_floats(shape) * sizeof(float) <= STRIP_BYTES;
}

/* ---- strips ---- */

typedef struct split_job {
    const fkp_context *context;
    const fkp_convolution_run_arguments *run;
    fkp_convolution shape; /* that is computed */
    size_t halves;         /* of the channels, with results of their own */
    size_t panels, chunks; /* of a half */
    size_t row_pixels;     /* of a padded row, a multiple of the stride */
    size_t planes;         /* as many as there are strides of which a tap reads rows */
    size_t reach;          /* rows of a plane beyond a line's own that it reads */
    size_t lines;          /* of a strip, at most; with pooling, those that its pooled rows need */
    size_t rows, strips;   /* of a strip, and of an image: lines, or pooled rows */
    size_t images;         /* whose strips a task has side by side */
    size_t parts;          /* of all images: strips, or images side by side; of each half of the channels */
    size_t plane_rows, chunk_step;
    size_t strip_numbers; /* of a task; behind them is memory to make rows in */
    size_t worker_floats;
    size_t taps[MOST_TAPS];
    size_t taken_apart[FKP_MAX_THREADS]; /* the strip that a worker has in its memory */
} split_job;

/* A kernel of one pixel reads no neighbours: all images are one, and what a stride passes over is not there.
 */
static fkp_convolution shape_of(const fkp_convolution_run_arguments *run) {
    fkp_convolution shape = run->shape;
    if (shape.kernel > 1 || run->pool.size > 0) return shape;
    shape.in_height = shape.out_height = shape.batch * shape.out_height;
    shape.in_width = shape.out_width;
    shape.batch = shape.stride = 1;
    return shape;
}

static void measure_rows(split_job *job) {
    const fkp_convolution *shape = &job->shape;
    const size_t read = (shape->out_width - 1) * shape->stride + shape->kernel - shape->padding;
    const size_t pixels = fkp_max_size(shape->in_width + shape->padding, read);
    job->row_pixels = fkp_divide_up(pixels, shape->stride) * shape->stride;
    job->planes = fkp_min_size(shape->kernel, shape->stride);
    job->reach = (shape->kernel - 1) / shape->stride;
    job->halves = job->run->halves ? 2 : 1;
    job->chunks = fkp_split_chunks(shape->in_channels) / job->halves;
    job->panels = fkp_divide_up(shape->out_channels, FKP_SPLIT_COLUMNS);
}

/* Pixels of a strip of so many lines, and of what tiles read beyond it. */
static size_t strip_pixels(const split_job *job, size_t lines) {
    const fkp_convolution *shape = &job->shape;
    return job->planes * (lines + job->reach) * job->row_pixels + shape->padding +
           FKP_SPLIT_SLACK * shape->stride;
}

/* What a worker may take apart at a time. */
static size_t strip_bytes(const split_job *job) {
    const size_t filter_bytes = fkp_split_packed_floats(&job->shape) * sizeof(float);
    return filter_bytes > STRIP_BYTES ? LARGE_STRIP_BYTES : STRIP_BYTES;
}

/* What the busiest worker has to do if an image is cut into so many strips, in products of a pair of tiles
 * for each chunk. A tile of rows takes six for a tap of a panel, an odd one ten, since its sums wait for each
 * other; and as long as eleven to be taken apart. A panel's filters of a tap come in the time of 42 while
 * others are used, and slow those by an eighth of that. Half the rows for each of two workers is twice as
 * much of filters. */
enum { PRODUCTS = 6, ODD_ROW = 4, TAKING_APART = 11, FETCHING = 42, SLOWED = 8 };
static size_t busiest(const split_job *job, size_t strips, size_t threads) {
    const fkp_convolution *shape = &job->shape;
    const size_t lines = fkp_divide_up(shape->out_height, strips);
    const size_t rows = (lines - 1) * (job->row_pixels / shape->stride) + shape->out_width;
    const size_t tiles = fkp_divide_up(rows, FKP_SPLIT_TILE);
    const size_t tasks = job->halves * shape->batch * fkp_divide_up(shape->out_height, lines) * job->panels;
    const size_t own = fkp_divide_up(tasks, threads), parts = fkp_divide_up(own, job->panels);
    const size_t fetched =
        strip_bytes(job) == STRIP_BYTES ? fkp_min_size(own, job->halves * job->panels) : own;
    const size_t read = fkp_divide_up(strip_pixels(job, lines), FKP_SPLIT_TILE);
    const size_t products = own * (tiles * PRODUCTS + tiles % 2 * ODD_ROW), fetches = fetched * FETCHING;
    return shape->kernel * shape->kernel * (fkp_max_size(products, fetches) + fetches / SLOWED) +
           parts * read * TAKING_APART;
}

/* Lines of a strip: few enough for the cache, and so many that the work is shared evenly. */
static size_t choose_lines(const split_job *job, size_t threads) {
    const fkp_convolution *shape = &job->shape;
    const size_t line_bytes =
        job->planes * job->row_pixels * job->chunks * FKP_SPLIT_PIXEL * sizeof(uint16_t);
    const size_t most = fkp_max_size(job->reach + 1, strip_bytes(job) / line_bytes) - job->reach;
    const size_t fewest = fkp_divide_up(shape->out_height, most);
    size_t best = fewest;
    for (size_t strips = fewest; strips <= fkp_min_size(shape->out_height, fewest + 2 * threads); strips++)
        if (busiest(job, strips, threads) < busiest(job, best, threads)) best = strips;
    return fkp_divide_up(shape->out_height, best);
}

/* With pooling a task has all panels of some pooled rows, and their lines before pooling. As many strips as
 * the cache asks for, and a few more if all threads then have as many. */
static void choose_pooled_rows(split_job *job, size_t threads) {
    const fkp_convolution *shape = &job->shape;
    const fkp_window *pool = &job->run->pool;
    const size_t height = fkp_pooled(shape->out_height, pool);
    const size_t line = shape->out_width * shape->out_channels * sizeof(float);
    const size_t lines = fkp_min_size(choose_lines(job, threads), fkp_max_size(1, STRIP_BYTES / 2 / line));
    job->strips = fkp_divide_up(height, fkp_pooled_strip_rows(job->run, lines));
    while (shape->batch * job->strips % threads != 0 && job->strips < height) job->strips++;
    job->rows = fkp_divide_up(height, job->strips);
    job->lines = fkp_min_size(shape->out_height, (job->rows - 1) * pool->stride + pool->size);
}

/* The pooled rows of a strip: as many as of the others, or one less. */
static fkp_range pooled_rows(const split_job *job, size_t strip) {
    const size_t height = fkp_pooled(job->shape.out_height, &job->run->pool);
    return (fkp_range){strip * height / job->strips, (strip + 1) * height / job->strips};
}

static size_t line_floats(const split_job *job) {
    const fkp_convolution *shape = &job->shape;
    return job->run->pool.size == 0 ? 0 : job->lines * shape->out_width * shape->out_channels;
}

/* Small images share a panel of filters that has come into the cache, as many as find place there. */
static size_t choose_images(const split_job *job) {
    const size_t image_bytes = job->chunks * job->chunk_step * sizeof(uint16_t), batch = job->shape.batch;
    if (job->run->pool.size > 0 || job->run->upsampled.batch > 0 || job->strips > 1) return 1;
    const size_t most = fkp_min_size(batch, fkp_max_size(1, strip_bytes(job) / image_bytes));
    return fkp_divide_up(batch, fkp_divide_up(batch, most));
}

static void plan(split_job *job, const fkp_convolution_run_arguments *run, size_t threads) {
    job->run = run;
    job->shape = shape_of(run);
    measure_rows(job);
    if (run->pool.size > 0) {
        choose_pooled_rows(job, threads);
    } else {
        job->rows = job->lines = choose_lines(job, threads);
        job->strips = fkp_divide_up(job->shape.out_height, job->rows);
    }
    job->plane_rows = job->lines + job->reach;
    job->chunk_step = fkp_split_chunk_step(strip_pixels(job, job->lines));
    job->images = choose_images(job);
    job->parts = fkp_divide_up(job->shape.batch, job->images) * job->strips;
    job->strip_numbers = job->images * job->chunks * job->chunk_step;
    const size_t upsampled =
        run->upsampled.batch > 0 ? fkp_split_upsampled_numbers(&run->upsampled, job->plane_rows) : 0;
    job->worker_floats = fkp_divide_up((job->strip_numbers + upsampled) / 2 + line_floats(job), 16) * 16;
}

/* ---- taking a strip apart ---- */

static void clear_pixels(const split_job *job, size_t count, uint16_t *out) {
    for (size_t chunk = 0; chunk < job->chunks; chunk++)
        memset(out + chunk * job->chunk_step, 0, count * FKP_SPLIT_PIXEL * sizeof *out);
}

/* Channels of both tensors, or of a half, of `count` pixels, each `step` after the one before. */
static void split_pixels(const split_job *job, size_t half, size_t pixel, size_t step, size_t count,
                         uint16_t *out) {
    const fkp_convolution_run_arguments *run = job->run;
    const size_t first = run->beside_from > 0 ? run->beside_from : run->shape.in_channels / job->halves;
    fkp_split_rows rows = {.in = run->in + pixel * run->in_stride + half * first,
                           .in_stride = step * run->in_stride,
                           .rows = count,
                           .channels = first,
                           .out = out,
                           .chunk_step = job->chunk_step};
    job->context->kernels->split.rows(&rows);
    if (run->beside_from == 0 || run->upsampled.batch > 0) return;
    rows.in = run->beside + pixel * run->beside_stride;
    rows.in_stride = step * run->beside_stride;
    rows.channels = run->shape.in_channels - first;
    rows.out = out + first / FKP_SPLIT_DEPTH * job->chunk_step;
    job->context->kernels->split.rows(&rows);
}

/* Padded row `row` of an image. */
static void split_row(const split_job *job, size_t image, size_t row, uint16_t *out) {
    const fkp_convolution *shape = &job->shape;
    const size_t in_row = row - shape->padding; /* wraps around above the image */
    if (in_row >= shape->in_height) {
        clear_pixels(job, job->row_pixels, out);
        return;
    }
    const size_t width = fkp_min_size(shape->in_width, job->row_pixels - shape->padding);
    const size_t right = shape->padding + width;
    clear_pixels(job, shape->padding, out);
    split_pixels(job, 0, (image * shape->in_height + in_row) * shape->in_width, 1, width,
                 out + shape->padding * FKP_SPLIT_PIXEL);
    clear_pixels(job, job->row_pixels - right, out + right * FKP_SPLIT_PIXEL);
}

/* The channels of the image's rows that are upsampled, of a strip that begins with padded row `first`. */
static void upsample_rows(const split_job *job, size_t image, size_t first, size_t rows, uint16_t *strip) {
    const fkp_convolution *shape = &job->shape;
    const size_t begin = fkp_max_size(first, shape->padding) - shape->padding;
    const size_t end =
        fkp_min_size(shape->in_height, fkp_max_size(first + rows, shape->padding) - shape->padding);
    if (begin >= end) return;
    const size_t pixel = (begin + shape->padding - first) * job->row_pixels + shape->padding;
    const size_t first_chunk = job->run->beside_from / FKP_SPLIT_DEPTH;
    fkp_split_upsample_rows(
        job->context->kernels, &job->run->upsampled,
        &(fkp_split_upsampled_rows){.image = image,
                                    .begin = begin,
                                    .end = end,
                                    .out = strip + first_chunk * job->chunk_step + pixel * FKP_SPLIT_PIXEL,
                                    .pitch = job->row_pixels,
                                    .chunk_step = job->chunk_step,
                                    .memory = strip + job->strip_numbers});
}

/* The pixels that `lines` lines of all images read, where the kernel is one. */
static void split_lines(const split_job *job, size_t half, size_t first, size_t lines, uint16_t *out) {
    const fkp_convolution *shape = &job->run->shape;
    if (shape->stride == 1) {
        split_pixels(job, half, first * shape->in_width, 1, lines * shape->in_width, out);
        return;
    }
    for (size_t line = first; line < first + lines; line++, out += shape->out_width * FKP_SPLIT_PIXEL) {
        const size_t image = line / shape->out_height, row = line % shape->out_height * shape->stride;
        split_pixels(job, half, (image * shape->in_height + row) * shape->in_width, shape->stride,
                     shape->out_width, out);
    }
}

/* All that `lines` lines from `first` on read, or of a half of the channels. */
static void split_strip(const split_job *job, size_t half, size_t image, size_t first, size_t lines,
                        uint16_t *out) {
    const fkp_convolution *shape = &job->shape;
    const size_t row_numbers = job->row_pixels * FKP_SPLIT_PIXEL;
    if (shape->kernel == 1 && job->run->pool.size == 0) {
        split_lines(job, half, first, lines, out);
        return;
    }
    for (size_t plane = 0; plane < job->planes; plane++) {
        const size_t rows = lines + (shape->kernel - 1 - plane) / shape->stride;
        uint16_t *to = out + plane * job->plane_rows * row_numbers;
        for (size_t r = 0; r < rows; r++)
            split_row(job, image, (first + r) * shape->stride + plane, to + r * row_numbers);
        /* The zeros that the last row's right border shares with a row that is not there. */
        clear_pixels(job, shape->padding, to + rows * row_numbers);
    }
    if (job->run->upsampled.batch > 0) upsample_rows(job, image, first, lines + job->reach, out);
}

/* ---- multiplying ---- */

/* A panel's products with a strip: `lines` lines, of which the first begins with pixel `pixel` of all. */
typedef struct panel_product {
    const uint16_t *strip;
    size_t half, panel;
    bool fetch; /* asks for the panel that is used next */
    size_t pixel, lines;
    float *out;
    size_t out_stride;
    bool finish; /* applies the epilogue */
} panel_product;

static const uint16_t *filters_of(const split_job *job, size_t half, size_t panel) {
    return fkp_split_panel_chunk(&job->shape, job->run->packed, panel * FKP_SPLIT_COLUMNS,
                                 half * job->chunks);
}

/* Of the panel that is used next; NULL if there is none, or it has not all columns. */
static const uint16_t *next_filters(const split_job *job, size_t half, size_t panel) {
    if (++panel == job->panels) {
        panel = 0;
        half++;
    }
    const bool whole = (panel + 1) * FKP_SPLIT_COLUMNS <= job->shape.out_channels;
    return half < job->halves && whole ? filters_of(job, half, panel) : NULL;
}

static void multiply_panel(const split_job *job, const panel_product *product) {
    const fkp_convolution *shape = &job->shape;
    const size_t column = product->panel * FKP_SPLIT_COLUMNS;
    const fkp_epilogue epilogue = fkp_epilogue_at(&job->run->epilogue, product->pixel, column);
    job->context->kernels->split.multiply(
        &(fkp_split_product){.in = product->strip,
                             .chunk_step = job->chunk_step,
                             .row_step = shape->stride,
                             .taps = job->taps,
                             .tap_count = shape->kernel * shape->kernel,
                             .chunks = job->chunks,
                             .filters = filters_of(job, product->half, product->panel),
                             .next = product->fetch ? next_filters(job, product->half, product->panel) : NULL,
                             .columns = fkp_min_size(FKP_SPLIT_COLUMNS, shape->out_channels - column),
                             .lines = product->lines,
                             .width = shape->out_width,
                             .pitch = job->row_pixels / shape->stride,
                             .out = product->out + column,
                             .out_stride = product->out_stride,
                             .line_stride = shape->out_width * product->out_stride,
                             .epilogue = product->finish ? &epilogue : NULL});
}

static float *worker_memory(const split_job *job, size_t worker) {
    return fkp_own_scratch(job->context, job->worker_floats, worker);
}

/* Of two workers each finishes the columns that it wrote in a layer cut by columns, such as the one whose
 * result is added: it finds them in its caches. */
static size_t finishing_half(const split_job *job, size_t panel) { return job->halves * panel / job->panels; }

static void split_task(void *argument, size_t index, size_t worker) {
    split_job *job = argument;
    const fkp_convolution_run_arguments *run = job->run;
    const fkp_convolution *shape = &job->shape;
    const size_t part = index / job->panels, half = part / job->parts, within = part % job->parts;
    const size_t begin = within / job->strips * job->images;
    const size_t end = fkp_min_size(shape->batch, begin + job->images);
    const size_t first = within % job->strips * job->rows;
    const size_t lines = fkp_min_size(job->rows, shape->out_height - first);
    const size_t panel = index % job->panels;
    const bool finish = half == finishing_half(job, panel);
    const size_t out_stride = finish ? run->out_stride : run->second_out_stride;
    float *out = finish ? run->out : run->second_out;
    uint16_t *strip = (uint16_t *)(void *)worker_memory(job, worker);
    for (size_t image = begin; image < end; image++, strip += job->chunks * job->chunk_step) {
        if (job->taken_apart[worker] != part) split_strip(job, half, image, first, lines, strip);
        const size_t pixel = (image * shape->out_height + first) * shape->out_width;
        multiply_panel(job, &(panel_product){.strip = strip,
                                             .half = half,
                                             .panel = panel,
                                             .fetch = image == begin,
                                             .pixel = pixel,
                                             .lines = lines,
                                             .out = out + pixel * out_stride,
                                             .out_stride = out_stride,
                                             .finish = finish});
    }
    job->taken_apart[worker] = part;
}

static void pooled_task(void *argument, size_t index, size_t worker) {
    const split_job *job = argument;
    const fkp_convolution_run_arguments *run = job->run;
    const fkp_convolution *shape = &job->shape;
    const size_t image = index / job->strips;
    const fkp_range pooled = pooled_rows(job, index % job->strips);
    const size_t first = fkp_window_span(&run->pool, shape->out_height, pooled.begin).begin;
    const size_t lines = fkp_window_span(&run->pool, shape->out_height, pooled.end - 1).end - first;
    float *memory = worker_memory(job, worker), *rows = memory + job->chunks * job->chunk_step / 2;
    uint16_t *strip = (uint16_t *)(void *)memory;
    split_strip(job, 0, image, first, lines, strip);
    const size_t pixel = (image * shape->out_height + first) * shape->out_width;
    for (size_t panel = 0; panel < job->panels; panel++)
        multiply_panel(job, &(panel_product){.strip = strip,
                                             .panel = panel,
                                             .fetch = true,
                                             .pixel = pixel,
                                             .lines = lines,
                                             .out = rows,
                                             .out_stride = shape->out_channels,
                                             .finish = !fkp_finishes_after_pooling(run)});
    for (size_t row = pooled.begin; row < pooled.end; row++)
        fkp_pool_strip_row(job->context->kernels, run, &(fkp_strip){rows, first, lines}, image, row);
}

size_t fkp_split_scratch(const fkp_convolution_run_arguments *run, size_t threads) {
    split_job job;
    plan(&job, run, threads);
    return threads * job.worker_floats;
}

void fkp_split_run(const fkp_context *context, const fkp_convolution_run_arguments *run) {
    const size_t threads = fkp_pool_threads(context->pool);
    split_job job;
    plan(&job, run, threads);
    job.context = context;
    const fkp_convolution *shape = &job.shape;
    for (size_t tap = 0; tap < shape->kernel * shape->kernel; tap++) {
        const size_t y = tap / shape->kernel;
        const size_t plane_row = y % shape->stride * job.plane_rows + y / shape->stride;
        job.taps[tap] = plane_row * job.row_pixels + tap % shape->kernel;
    }
    for (size_t i = 0; i < threads; i++) job.taken_apart[i] = SIZE_MAX;
    if (run->pool.size > 0)
        fkp_parallel(context->pool, job.parts, pooled_task, &job);
    else if (job.halves > 1)
        fkp_parallel_prepared(context->pool, job.halves * job.parts * job.panels, split_task, &job);
    else
        fkp_parallel(context->pool, job.parts * job.panels, split_task, &job);
}
