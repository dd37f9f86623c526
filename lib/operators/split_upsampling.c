/* Transposed convolution 2 x 2 by products of split numbers: some rows of the image are taken apart once, and
 * multiplied with the four matrices of a panel of columns; each writes every second pixel of every second
 * row. */
#include "operators/split.h"

/* Of the rows that are taken apart at a time. */
#define STRIP_BYTES ((size_t)256 << 10)

bool fkp_split_upsamples(const fkp_kernels *kernels, size_t in_channels, size_t out_channels) {
    return kernels->split.speed > 0.0 && in_channels >= FKP_SPLIT_DEPTH && out_channels >= FKP_SPLIT_TILE;
}

size_t fkp_split_upsampling_packed_floats(size_t in_channels, size_t out_channels) {
    const fkp_convolution product = fkp_split_matrix(in_channels, out_channels);
    return 4 * fkp_split_packed_floats(&product);
}

void fkp_split_upsampling_pack(const fkp_kernels *kernels, size_t in_channels, size_t out_channels,
                               fkp_range channels, const float *weights, float *packed) {
    const fkp_convolution product = fkp_split_matrix(in_channels, out_channels);
    for (size_t position = 0; position < 4; position++)
        fkp_split_pack_rows(kernels, &product,
                            &(fkp_split_row_block){.matrix = weights + position,
                                                   .stride = out_channels * 4,
                                                   .column_stride = 4,
                                                   .depth = channels,
                                                   .columns = {0, out_channels}},
                            packed + position * fkp_split_packed_floats(&product));
}

typedef struct upsampling_job {
    const fkp_context *context;
    const fkp_upsampling *up;
    fkp_convolution product;
    size_t lines, strips, panels; /* of a strip; of an image; of the matrices */
    size_t chunk_step, worker_floats;
    size_t taken_apart[FKP_MAX_THREADS]; /* the strip that a worker has in its memory */
} upsampling_job;

static void plan(upsampling_job *job, const fkp_upsampling *up, size_t threads) {
    const size_t chunks = fkp_split_chunks(up->in_channels);
    const size_t line_bytes = up->in_width * chunks * FKP_SPLIT_PIXEL * sizeof(uint16_t);
    const size_t most = fkp_max_size(1, STRIP_BYTES / line_bytes);
    job->up = up;
    job->product = fkp_split_matrix(up->in_channels, up->out_channels);
    job->panels = fkp_divide_up(up->out_channels, FKP_SPLIT_COLUMNS);
    const size_t strips = fkp_divide_up(fkp_divide_up(up->in_height, most), threads) * threads;
    job->lines = fkp_divide_up(up->in_height, strips);
    job->strips = fkp_divide_up(up->in_height, job->lines);
    job->chunk_step = fkp_split_chunk_step(job->lines * up->in_width + FKP_SPLIT_SLACK);
    job->worker_floats = fkp_divide_up(chunks * job->chunk_step / 2, 16) * 16;
}

size_t fkp_split_upsampling_scratch(const fkp_upsampling *up, size_t threads) {
    upsampling_job job;
    plan(&job, up, threads);
    return threads * job.worker_floats;
}

/* Rows that were taken apart times the panel of columns from `column` on of a position's matrix: all but
 * where the results lie. */
static fkp_split_product product_of(const fkp_upsampling *up, const fkp_convolution *matrix,
                                    const uint16_t *rows, size_t chunk_step, size_t lines, size_t position,
                                    size_t column) {
    const float *packed = up->packed + position * fkp_split_packed_floats(matrix);
    fkp_split_product product = fkp_split_times(matrix, packed, column);
    product.in = rows;
    product.chunk_step = chunk_step;
    product.lines = lines;
    product.width = product.pitch = up->in_width;
    return product;
}

/* Lines of an image, from `first` on, at one of the four positions. */
static void multiply_position(const upsampling_job *job, const uint16_t *strip, size_t image_line,
                              size_t lines, size_t position, size_t column) {
    const fkp_upsampling *up = job->up;
    const size_t width = 2 * up->in_width, pixel = (2 * image_line + position / 2) * width + position % 2;
    const fkp_epilogue epilogue = fkp_epilogue_at(&up->epilogue, 0, column);
    fkp_split_product product =
        product_of(up, &job->product, strip, job->chunk_step, lines, position, column);
    product.out = up->out + pixel * up->out_stride + column;
    product.out_stride = 2 * up->out_stride;
    product.line_stride = 2 * width * up->out_stride;
    product.epilogue = &epilogue;
    job->context->kernels->split.multiply(&product);
}

/* Lines of an image, taken apart into a worker's memory. */
static void take_apart(const fkp_kernels *kernels, const fkp_upsampling *up, size_t image_line, size_t lines,
                       uint16_t *out, size_t chunk_step) {
    kernels->split.rows(&(fkp_split_rows){.in = up->in + image_line * up->in_width * up->in_stride,
                                          .in_stride = up->in_stride,
                                          .rows = lines * up->in_width,
                                          .channels = up->in_channels,
                                          .out = out,
                                          .chunk_step = chunk_step});
}

static void upsampling_task(void *argument, size_t index, size_t worker) {
    upsampling_job *job = argument;
    const fkp_upsampling *up = job->up;
    const size_t part = index / job->panels, image = part / job->strips,
                 first = part % job->strips * job->lines;
    const size_t lines = fkp_min_size(job->lines, up->in_height - first),
                 line = image * up->in_height + first;
    uint16_t *strip = (uint16_t *)(void *)fkp_own_scratch(job->context, job->worker_floats, worker);
    if (job->taken_apart[worker] != part)
        take_apart(job->context->kernels, up, line, lines, strip, job->chunk_step);
    job->taken_apart[worker] = part;
    for (size_t position = 0; position < 4; position++)
        multiply_position(job, strip, line, lines, position, index % job->panels * FKP_SPLIT_COLUMNS);
}

void fkp_split_upsampling_run(const fkp_context *context, const fkp_upsampling *up) {
    const size_t threads = fkp_pool_threads(context->pool);
    upsampling_job job;
    plan(&job, up, threads);
    job.context = context;
    for (size_t i = 0; i < threads; i++) job.taken_apart[i] = SIZE_MAX;
    fkp_parallel(context->pool, up->batch * job.strips * job.panels, upsampling_task, &job);
}

/* ---- rows for a product ---- */

/* From chunk to chunk of the lines that so many rows of the result are made of. */
static size_t small_step(const fkp_upsampling *up, size_t rows) {
    return fkp_split_chunk_step((rows / 2 + 1) * up->in_width + FKP_SPLIT_SLACK);
}

size_t fkp_split_upsampled_numbers(const fkp_upsampling *up, size_t rows) {
    return fkp_split_chunks(up->in_channels) * small_step(up, rows);
}

/* The rows of one position, of the panel from `column` on. */
static void upsample_position(const fkp_kernels *kernels, const fkp_upsampling *up,
                              const fkp_split_upsampled_rows *rows, size_t position, size_t column) {
    const fkp_convolution matrix = fkp_split_matrix(up->in_channels, up->out_channels);
    const size_t first = rows->begin + (rows->begin + position / 2) % 2;
    if (first >= rows->end) return;
    const size_t line = (first / 2 - rows->begin / 2) * up->in_width;
    const fkp_epilogue epilogue = fkp_epilogue_at(&up->epilogue, 0, column);
    fkp_split_product product =
        product_of(up, &matrix, rows->memory + line * FKP_SPLIT_PIXEL,
                   small_step(up, rows->end - rows->begin), (rows->end - first + 1) / 2, position, column);
    product.apart = rows->out + column / FKP_SPLIT_DEPTH * rows->chunk_step +
                    ((first - rows->begin) * rows->pitch + position % 2) * FKP_SPLIT_PIXEL;
    product.out_stride = 2 * FKP_SPLIT_PIXEL;
    product.line_stride = 2 * rows->pitch * FKP_SPLIT_PIXEL;
    product.epilogue = &epilogue;
    kernels->split.multiply(&product);
}

void fkp_split_upsample_rows(const fkp_kernels *kernels, const fkp_upsampling *up,
                             const fkp_split_upsampled_rows *rows) {
    const size_t first = rows->begin / 2, lines = (rows->end + 1) / 2 - first;
    take_apart(kernels, up, rows->image * up->in_height + first, lines, rows->memory,
               small_step(up, rows->end - rows->begin));
    for (size_t column = 0; column < up->out_channels; column += FKP_SPLIT_COLUMNS)
        for (size_t position = 0; position < 4; position++)
            upsample_position(kernels, up, rows, position, column);
}
