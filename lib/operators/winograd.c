/* Convolution by Winograd's minimal filtering. Tiles of the image are taken in blocks: their data transforms
 * make n x n matrices of tiles x in_channels (V), each is multiplied by its transformed filters (U), and the
 * products (M) are transformed back with the epilogue.
 *
 * The filters are packed as they are and transformed while they are used, so that a model in memory
 * is no larger than its weights (U has n^2 / r^2 times their size: 4 for F(4,3), 7 for F(6,3)), and no more
 * than its weights is read from memory. Every worker makes all that it uses, V, U and M, in memory of its own
 * that fits into its second-level cache, even though U is then made more than once: cores may share no cache,
 * and what another core wrote is far away; what leaves the cache is written at a rate that two cores share.
 * There are two ways to go about it:
 *
 * - resident: U is small. A worker makes it once a run and carries blocks of tiles through all three phases.
 * - by blocks: U is large. A task is a panel of filters for a block of tiles; block of depth by block of
 * depth it makes U and V and adds their product to M.
 *
 * A result depends on nothing but its own tile and filters: blocks and threads do not change a bit of it. */
#include "operators/convolution.h"

/* V and M of a resident task, M and U of a task by blocks: all for a second-level cache of a megabyte. */
#define RESIDENT_BLOCK_FLOATS ((size_t)96 << 10)
#define TILE_BLOCK_FLOATS ((size_t)160 << 10)
#define FILTER_BLOCK_FLOATS ((size_t)80 << 10)
/* U is resident up to this size. */
#define RESIDENT_FLOATS ((size_t)288 << 10)
/* Blocks of tiles are a multiple of this, so that they can be shared evenly. */
#define EVEN_BLOCKS 2
/* Blocks of depth are a multiple of this, a line of the cache. */
#define DEPTH_GRANULE 16

typedef struct winograd_job {
    const fkp_context *context;
    const fkp_convolution_run_arguments *run;
    const fkp_winograd_record *record;
    size_t n, positions;
    size_t panels;
    size_t rows, columns;           /* results that are needed, before pooling */
    size_t tile_rows, tile_columns; /* tiles of an image */
    size_t tiles;                   /* of all images */
    bool resident;
    size_t block;       /* tiles of a task */
    size_t depth_block; /* channels of a block of U and V */
    size_t filter_step; /* floats from position to position of U, V and M of a task */
    size_t data_step, product_step;
    bool made[FKP_MAX_THREADS]; /* resident: whether a worker has its U */
} winograd_job;

/* Rounded so that positions do not fall on the same cache sets. */
static size_t position_step(size_t tiles, size_t channels) {
    return fkp_divide_up(tiles * channels, 16) * 16 + 16;
}

/* The size of equal blocks of at most `most` tiles, as even in number as there are tiles for. */
static size_t tile_block(size_t tiles, size_t most) {
    if (tiles <= most) return tiles;
    return fkp_divide_up(tiles, fkp_divide_up(tiles, EVEN_BLOCKS * fkp_max_size(1, most)) * EVEN_BLOCKS);
}

static void choose_blocks(const fkp_kernels *kernels, winograd_job *job) {
    const fkp_convolution *shape = &job->run->shape;
    size_t in = shape->in_channels, out = shape->out_channels;
    size_t width = fkp_min_size(fkp_packed_columns(kernels, out), kernels->gemm.columns);
    size_t matrix = fkp_gemm_packed_floats(kernels, in, out);
    job->resident = job->positions * matrix <= RESIDENT_FLOATS;
    if (job->resident) {
        job->depth_block = in;
        job->block = tile_block(job->tiles, RESIDENT_BLOCK_FLOATS / (job->positions * (in + out)));
        job->filter_step = position_step(1, matrix);
        job->product_step = position_step(job->block, out);
    } else {
        size_t depth = FILTER_BLOCK_FLOATS / (job->positions * width) / DEPTH_GRANULE * DEPTH_GRANULE;
        job->depth_block = fkp_min_size(in, fkp_max_size(DEPTH_GRANULE, depth));
        job->block = tile_block(job->tiles, TILE_BLOCK_FLOATS / (job->positions * width));
        job->filter_step = position_step(job->depth_block, width);
        job->product_step = position_step(job->block, width);
    }
    job->data_step = position_step(job->block, job->depth_block);
}

static winograd_job job_of(const fkp_kernels *kernels, const fkp_convolution_run_arguments *run) {
    winograd_job job = {.run = run,
                        .record = &kernels->winograd[run->algorithm - FKP_CONVOLUTION_WINOGRAD_2_3]};
    const fkp_convolution *shape = &run->shape;
    job.n = job.record->tile + job.record->kernel - 1;
    job.positions = job.n * job.n;
    job.panels = fkp_panels(kernels, shape->out_channels);
    job.rows = fkp_needed(shape->out_height, run->pool);
    job.columns = fkp_needed(shape->out_width, run->pool);
    job.tile_rows = fkp_divide_up(job.rows, job.record->tile);
    job.tile_columns = fkp_divide_up(job.columns, job.record->tile);
    job.tiles = shape->batch * job.tile_rows * job.tile_columns;
    choose_blocks(kernels, &job);
    return job;
}

/* Scratch of a worker: U, V, M. */
static size_t worker_floats(const winograd_job *job) {
    return job->positions * (job->filter_step + job->data_step + job->product_step);
}
typedef struct worker_memory {
    float *filters, *data, *products;
} worker_memory;
static worker_memory memory_of(const winograd_job *job, size_t worker) {
    float *filters = job->context->scratch + worker * worker_floats(job);
    float *data = filters + job->positions * job->filter_step;
    return (worker_memory){filters, data, data + job->positions * job->data_step};
}

/* ---- filters ---- */

/* U of channels [begin, end) of a panel. */
static void transform_filters(const winograd_job *job, size_t panel, size_t begin, size_t end, float *u) {
    const fkp_kernels *kernels = job->context->kernels;
    const fkp_convolution *shape = &job->run->shape;
    size_t width = fkp_panel_width(kernels, shape->out_channels, panel);
    size_t taps = shape->kernel * shape->kernel;
    const float *filters = job->run->packed + panel * kernels->gemm.columns * taps * shape->in_channels;
    job->record->filter(&(fkp_winograd_filter){.in = filters + begin * taps * width,
                                               .channels = end - begin,
                                               .width = width,
                                               .row_begin = 0,
                                               .row_end = job->n,
                                               .out = u,
                                               .out_step = job->filter_step});
}

/* ---- tiles ---- */

/* The tile's place: image, and first result row and column. */
typedef struct tile_place {
    size_t image, row, column;
} tile_place;
static tile_place place_of(const winograd_job *job, size_t tile) {
    size_t per_image = job->tile_rows * job->tile_columns, inside = tile % per_image;
    return (tile_place){tile / per_image, inside / job->tile_columns * job->record->tile,
                        inside % job->tile_columns * job->record->tile};
}

/* The part of [begin, begin + n), counted from `begin`, that lies in the image [padding, padding + size). */
static void clip(size_t begin, size_t n, size_t padding, size_t size, size_t *first, size_t *last) {
    *first = begin < padding ? padding - begin : 0;
    *last = padding + size > begin ? fkp_min_size(n, padding + size - begin) : 0;
}

/* Channels of a tile that lie in one tensor. */
typedef struct data_part {
    const float *in;
    size_t stride, channels;
} data_part;

static void transform_part(const winograd_job *job, tile_place place, const data_part *part, float *out) {
    const fkp_convolution *shape = &job->run->shape;
    fkp_winograd_input input = {.row_stride = shape->in_width * part->stride,
                                .pixel_stride = part->stride,
                                .channels = part->channels,
                                .out = out,
                                .out_step = job->data_step};
    clip(place.row, job->n, shape->padding, shape->in_height, &input.row_begin, &input.row_end);
    clip(place.column, job->n, shape->padding, shape->in_width, &input.column_begin, &input.column_end);
    ptrdiff_t row = (ptrdiff_t)place.row - (ptrdiff_t)shape->padding;
    ptrdiff_t column = (ptrdiff_t)place.column - (ptrdiff_t)shape->padding;
    ptrdiff_t pixel =
        ((ptrdiff_t)(place.image * shape->in_height) + row) * (ptrdiff_t)shape->in_width + column;
    input.in = part->in + pixel * (ptrdiff_t)part->stride;
    bool last = place.column + job->record->tile >= job->columns;
    bool next_inside = input.row_begin == 0 && input.row_end == job->n &&
                       place.column + job->record->tile + job->n <= shape->padding + shape->in_width;
    input.next = !last && next_inside ? input.in + job->record->tile * part->stride : NULL;
    job->record->input(&input);
}

/* Channels [begin, end) of a tile. */
static void transform_data(const winograd_job *job, size_t tile, size_t begin, size_t end, float *out) {
    const fkp_convolution_run_arguments *run = job->run;
    size_t own = run->beside_from > 0 ? run->beside_from : run->shape.in_channels;
    size_t split = fkp_max_size(begin, fkp_min_size(end, own));
    tile_place place = place_of(job, tile);
    if (begin < split)
        transform_part(job, place, &(data_part){run->in + begin, run->in_stride, split - begin}, out);
    if (split < end)
        transform_part(job, place, &(data_part){run->beside + (split - own), run->beside_stride, end - split},
                       out + (split - begin));
}

/* Channels [first, first + channels) of a tile; `in` holds those alone. */
static void transform_products(const winograd_job *job, size_t tile, size_t first, size_t channels,
                               const float *in) {
    const fkp_convolution_run_arguments *run = job->run;
    const fkp_convolution *shape = &run->shape;
    tile_place place = place_of(job, tile);
    size_t pool = run->pool ? 2 : 1, height = shape->out_height / pool, width = shape->out_width / pool;
    size_t pixel = (place.image * height + place.row / pool) * width + place.column / pool;
    size_t full_pixel = (place.image * shape->out_height + place.row) * shape->out_width + place.column;
    fkp_epilogue epilogue = fkp_epilogue_at(&run->epilogue, full_pixel, first);
    fkp_winograd_output output = {.in = in,
                                  .in_step = job->product_step,
                                  .out = run->out + pixel * run->out_stride + first,
                                  .row_stride = width * run->out_stride,
                                  .pixel_stride = run->out_stride,
                                  .rows = fkp_min_size(job->record->tile, job->rows - place.row) / pool,
                                  .columns =
                                      fkp_min_size(job->record->tile, job->columns - place.column) / pool,
                                  .channels = channels,
                                  .epilogue = &epilogue,
                                  .residual_row_stride = shape->out_width * epilogue.residual_stride,
                                  .pool = run->pool};
    job->record->output(&output);
}

/* One position: `count` tiles of V times a panel of U of the same depth, into M, whose rows are `m_stride`
 * apart; added to what is there, if `accumulate`. */
static void multiply(const winograd_job *job, size_t panel, size_t count, size_t depth, const float *v,
                     const float *u, float *m, size_t m_stride, bool accumulate) {
    const fkp_kernels *kernels = job->context->kernels;
    const float *rows[FKP_MAX_TILE_ROWS];
    fkp_gemm_tile tile = {.columns = fkp_panel_columns(kernels, job->run->shape.out_channels, panel),
                          .depth = depth,
                          .taps = 1,
                          .a = rows,
                          .b = u,
                          .c_stride = m_stride,
                          .accumulate = accumulate};
    size_t groups = fkp_divide_up(count, kernels->gemm.rows), row = 0;
    for (size_t group = 0; group < groups; group++, row += tile.rows) {
        tile.rows = count * (group + 1) / groups - row;
        for (size_t r = 0; r < tile.rows; r++) rows[r] = v + (row + r) * depth;
        tile.c = m + row * m_stride;
        kernels->gemm.tile(&tile);
    }
}

/* ---- resident ---- */

static void resident_task(void *argument, size_t index, size_t worker) {
    winograd_job *job = argument;
    size_t in = job->run->shape.in_channels, out = job->run->shape.out_channels;
    size_t columns = job->context->kernels->gemm.columns;
    size_t first = index * job->block, count = fkp_min_size(job->block, job->tiles - first);
    worker_memory memory = memory_of(job, worker);
    for (size_t panel = 0; !job->made[worker] && panel < job->panels; panel++)
        transform_filters(job, panel, 0, in, memory.filters + panel * columns * in);
    job->made[worker] = true;
    for (size_t i = 0; i < count; i++) transform_data(job, first + i, 0, in, memory.data + i * in);
    for (size_t position = 0; position < job->positions; position++)
        for (size_t panel = 0; panel < job->panels; panel++)
            multiply(job, panel, count, in, memory.data + position * job->data_step,
                     memory.filters + position * job->filter_step + panel * columns * in,
                     memory.products + position * job->product_step + panel * columns, out, false);
    for (size_t i = 0; i < count; i++) transform_products(job, first + i, 0, out, memory.products + i * out);
}

/* ---- by blocks ---- */

static void block_task(void *argument, size_t index, size_t worker) {
    const winograd_job *job = argument;
    const fkp_kernels *kernels = job->context->kernels;
    const fkp_convolution *shape = &job->run->shape;
    size_t panel = index % job->panels, first = index / job->panels * job->block;
    size_t count = fkp_min_size(job->block, job->tiles - first);
    size_t columns = fkp_panel_columns(kernels, shape->out_channels, panel);
    worker_memory memory = memory_of(job, worker);
    for (size_t begin = 0; begin < shape->in_channels; begin += job->depth_block) {
        size_t end = fkp_min_size(shape->in_channels, begin + job->depth_block), depth = end - begin;
        transform_filters(job, panel, begin, end, memory.filters);
        for (size_t i = 0; i < count; i++)
            transform_data(job, first + i, begin, end, memory.data + i * depth);
        for (size_t position = 0; position < job->positions; position++)
            multiply(job, panel, count, depth, memory.data + position * job->data_step,
                     memory.filters + position * job->filter_step,
                     memory.products + position * job->product_step, columns, begin > 0);
    }
    for (size_t i = 0; i < count; i++)
        transform_products(job, first + i, panel * kernels->gemm.columns, columns,
                           memory.products + i * columns);
}

size_t fkp_winograd_scratch(const fkp_kernels *kernels, const fkp_convolution_run_arguments *run,
                            size_t threads) {
    winograd_job job = job_of(kernels, run);
    return threads * worker_floats(&job);
}

void fkp_winograd_run(const fkp_context *context, const fkp_convolution_run_arguments *run) {
    winograd_job job = job_of(context->kernels, run);
    job.context = context;
    size_t blocks = fkp_divide_up(job.tiles, job.block);
    if (job.resident)
        fkp_parallel(context->pool, blocks, resident_task, &job);
    else
        fkp_parallel(context->pool, blocks * job.panels, block_task, &job);
}
