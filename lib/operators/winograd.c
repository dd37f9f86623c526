/* Convolution by Winograd's minimal filtering. Tiles of the image are taken in blocks: their data transforms
 * make n x n matrices of tiles x in_channels (V), each is multiplied by its transformed filters (U), and the
 * products (M) are transformed back with the epilogue.
 *
 * The filters are packed as they are and transformed while they are used, so that a model in memory
 * is no larger than its weights (U has n^2 / r^2 times their size: 4 for F(4,3), 7 for F(6,3)), and no more
 * than its weights is read from memory. There are two ways to go about it:
 *
 * - resident: U is small. It is made once a run and stays in the cache; every worker carries blocks of its
 *   own through all three phases.
 * - streamed: U is large. All workers share one large block of tiles, phase by phase; a task of the middle
 *   phase takes one panel of filters, transforms block of depth by block of depth and multiplies at once.
 *
 * A result depends on nothing but its own tile and filters: blocks and threads do not change a bit of it. */
#include "operators/convolution.h"

/* Memory of a worker's own block (V and M), sized for a second-level cache; of a shared block, for a
 * third-level one. */
#define OWN_BLOCK_FLOATS ((size_t)96 << 10)
#define SHARED_BLOCK_FLOATS ((size_t)1 << 20)
/* U is resident up to this size, and where V and M of the whole run are larger. */
#define RESIDENT_FLOATS ((size_t)1280 << 10)
/* Transformed filters that a worker has at a time, in its second-level cache. */
#define FILTER_BLOCK_FLOATS ((size_t)96 << 10)
/* With fewer panels than these the positions of each are halved, so that there are tasks to share out. */
#define ENOUGH_PANELS 4

typedef struct winograd_job {
    const fkp_context *context;
    const fkp_convolution_run_arguments *run;
    const fkp_winograd_record *record;
    size_t n, positions;
    size_t panels;
    size_t rows, columns;           /* results that are needed, before pooling */
    size_t tile_rows, tile_columns; /* tiles of an image */
    size_t tiles;                   /* of all images */
    size_t block;                   /* tiles of a block */
    bool resident;
    size_t filter_step;             /* resident: floats from position to position of U */
    size_t parts, part_rows;        /* streamed: tasks of a panel, and rows of positions of each */
    size_t depth_block;             /* streamed: channels of a block of filters */
    size_t data_step, product_step; /* floats from position to position of V and of M */
    size_t first, count;            /* streamed: the present block of tiles */
} winograd_job;

/* Rounded so that positions do not fall on the same cache sets. */
static size_t position_step(size_t tiles, size_t channels) {
    return fkp_divide_up(tiles * channels, 16) * 16 + 16;
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
    size_t matrix = fkp_gemm_packed_floats(kernels, shape->in_channels, shape->out_channels);
    size_t channels = shape->in_channels + shape->out_channels;
    job.resident = job.positions * matrix <= RESIDENT_FLOATS && matrix <= job.tiles * channels;
    size_t floats = job.resident ? OWN_BLOCK_FLOATS : SHARED_BLOCK_FLOATS;
    size_t block = floats / (job.positions * channels);
    size_t rows = kernels->gemm.rows;
    job.block = fkp_min_size(job.tiles, fkp_max_size(rows, block / rows * rows));
    job.parts = job.panels >= ENOUGH_PANELS ? 1 : 2;
    job.part_rows = fkp_divide_up(job.n, job.parts);
    job.depth_block = fkp_min_size(shape->in_channels,
                                   FILTER_BLOCK_FLOATS / (job.part_rows * job.n * kernels->gemm.columns));
    job.filter_step = position_step(1, matrix);
    job.data_step = position_step(job.block, shape->in_channels);
    job.product_step = position_step(job.block, shape->out_channels);
    return job;
}

/* V and M of a block. */
static size_t block_floats(const winograd_job *job) {
    return job->positions * (job->data_step + job->product_step);
}
/* Streamed: a worker's block of filters. */
static size_t filter_floats(const winograd_job *job, const fkp_kernels *kernels) {
    return job->part_rows * job->n * position_step(job->depth_block, kernels->gemm.columns);
}

/* ---- filters ---- */

/* Of one panel: rows of positions and channels. */
typedef struct filter_range {
    size_t panel, row_begin, row_end, begin, end;
} filter_range;

static void transform_filters(const winograd_job *job, filter_range range, float *out, size_t out_step) {
    const fkp_kernels *kernels = job->context->kernels;
    const fkp_convolution *shape = &job->run->shape;
    size_t width = fkp_panel_width(kernels, shape->out_channels, range.panel);
    size_t taps = shape->kernel * shape->kernel;
    const float *panel = job->run->packed + range.panel * kernels->gemm.columns * taps * shape->in_channels;
    job->record->filter(&(fkp_winograd_filter){.in = panel + range.begin * taps * width,
                                               .channels = range.end - range.begin,
                                               .width = width,
                                               .row_begin = range.row_begin,
                                               .row_end = range.row_end,
                                               .out = out,
                                               .out_step = out_step});
}

/* Channels of a task that makes resident filters. */
enum { FILTER_CHANNELS = 16 };

static void resident_filter_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const winograd_job *job = argument;
    const fkp_convolution *shape = &job->run->shape;
    const fkp_kernels *kernels = job->context->kernels;
    size_t panel = index % job->panels, begin = index / job->panels * FILTER_CHANNELS;
    size_t end = fkp_min_size(shape->in_channels, begin + FILTER_CHANNELS);
    size_t place = panel * kernels->gemm.columns * shape->in_channels +
                   begin * fkp_panel_width(kernels, shape->out_channels, panel);
    transform_filters(job, (filter_range){panel, 0, job->n, begin, end}, job->context->scratch + place,
                      job->filter_step);
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

static void transform_data(const winograd_job *job, size_t tile, float *out) {
    const fkp_convolution_run_arguments *run = job->run;
    size_t channels = run->shape.in_channels, own = run->beside_from > 0 ? run->beside_from : channels;
    tile_place place = place_of(job, tile);
    transform_part(job, place, &(data_part){run->in, run->in_stride, own}, out);
    if (own < channels)
        transform_part(job, place, &(data_part){run->beside, run->beside_stride, channels - own}, out + own);
}

static void transform_products(const winograd_job *job, size_t tile, const float *in) {
    const fkp_convolution_run_arguments *run = job->run;
    const fkp_convolution *shape = &run->shape;
    tile_place place = place_of(job, tile);
    size_t pool = run->pool ? 2 : 1, height = shape->out_height / pool, width = shape->out_width / pool;
    size_t pixel = (place.image * height + place.row / pool) * width + place.column / pool;
    size_t full_pixel = (place.image * shape->out_height + place.row) * shape->out_width + place.column;
    fkp_epilogue epilogue = fkp_epilogue_at(&run->epilogue, full_pixel, 0);
    fkp_winograd_output output = {.in = in,
                                  .in_step = job->product_step,
                                  .out = run->out + pixel * run->out_stride,
                                  .row_stride = width * run->out_stride,
                                  .pixel_stride = run->out_stride,
                                  .rows = fkp_min_size(job->record->tile, job->rows - place.row) / pool,
                                  .columns =
                                      fkp_min_size(job->record->tile, job->columns - place.column) / pool,
                                  .channels = shape->out_channels,
                                  .epilogue = &epilogue,
                                  .residual_row_stride = shape->out_width * epilogue.residual_stride,
                                  .pool = run->pool};
    job->record->output(&output);
}

/* Multiplies channels [begin, end) of V of one position with a panel `u` of as many filters. */
static void multiply(const winograd_job *job, size_t position, size_t panel, size_t count, size_t begin,
                     size_t end, const float *u, const float *data, float *products) {
    const fkp_kernels *kernels = job->context->kernels;
    const fkp_convolution *shape = &job->run->shape;
    const float *v = data + position * job->data_step + begin;
    const float *rows[FKP_MAX_TILE_ROWS];
    float *m = products + position * job->product_step + panel * kernels->gemm.columns;
    fkp_gemm_tile tile = {.columns = fkp_panel_columns(kernels, shape->out_channels, panel),
                          .depth = end - begin,
                          .taps = 1,
                          .a = rows,
                          .b = u,
                          .c_stride = shape->out_channels,
                          .accumulate = begin > 0};
    for (size_t row = 0; row < count; row += kernels->gemm.rows) {
        tile.rows = fkp_min_size(kernels->gemm.rows, count - row);
        for (size_t r = 0; r < tile.rows; r++) rows[r] = v + (row + r) * shape->in_channels;
        tile.c = m + row * shape->out_channels;
        kernels->gemm.tile(&tile);
    }
}

/* ---- resident: scratch is U, then a block a worker ---- */

static void resident_block_task(void *argument, size_t index, size_t worker) {
    const winograd_job *job = argument;
    const fkp_convolution *shape = &job->run->shape;
    size_t first = index * job->block, count = fkp_min_size(job->block, job->tiles - first);
    const float *filters = job->context->scratch;
    float *data = job->context->scratch + job->positions * job->filter_step + worker * block_floats(job);
    float *products = data + job->positions * job->data_step;
    for (size_t i = 0; i < count; i++) transform_data(job, first + i, data + i * shape->in_channels);
    for (size_t position = 0; position < job->positions; position++)
        for (size_t panel = 0; panel < job->panels; panel++) {
            const float *u = filters + position * job->filter_step +
                             panel * job->context->kernels->gemm.columns * shape->in_channels;
            multiply(job, position, panel, count, 0, shape->in_channels, u, data, products);
        }
    for (size_t i = 0; i < count; i++) transform_products(job, first + i, products + i * shape->out_channels);
}

static void run_resident(winograd_job *job) {
    fkp_pool *pool = job->context->pool;
    size_t depths = fkp_divide_up(job->run->shape.in_channels, FILTER_CHANNELS);
    fkp_parallel(pool, job->panels * depths, resident_filter_task, job);
    fkp_parallel(pool, fkp_divide_up(job->tiles, job->block), resident_block_task, job);
}

/* ---- streamed: scratch is one block, then filters a worker ---- */

/* Tiles of a task of the transforms. */
enum { TRANSFORM_TILES = 4 };

static void streamed_data_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const winograd_job *job = argument;
    size_t end = fkp_min_size(job->count, (index + 1) * TRANSFORM_TILES);
    for (size_t i = index * TRANSFORM_TILES; i < end; i++)
        transform_data(job, job->first + i, job->context->scratch + i * job->run->shape.in_channels);
}

static void streamed_multiply_task(void *argument, size_t index, size_t worker) {
    const winograd_job *job = argument;
    const fkp_kernels *kernels = job->context->kernels;
    size_t channels = job->run->shape.in_channels, panel = index / job->parts;
    size_t first = index % job->parts * job->part_rows, last = fkp_min_size(job->n, first + job->part_rows);
    size_t positions = (last - first) * job->n, step = position_step(job->depth_block, kernels->gemm.columns);
    float *data = job->context->scratch, *products = data + job->positions * job->data_step;
    float *filters = data + block_floats(job) + worker * filter_floats(job, kernels);
    for (size_t begin = 0; begin < channels; begin += job->depth_block) {
        size_t end = fkp_min_size(channels, begin + job->depth_block);
        transform_filters(job, (filter_range){panel, first, last, begin, end}, filters, step);
        for (size_t i = 0; i < positions; i++)
            multiply(job, first * job->n + i, panel, job->count, begin, end, filters + i * step, data,
                     products);
    }
}

static void streamed_products_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const winograd_job *job = argument;
    const float *products = job->context->scratch + job->positions * job->data_step;
    size_t end = fkp_min_size(job->count, (index + 1) * TRANSFORM_TILES);
    for (size_t i = index * TRANSFORM_TILES; i < end; i++)
        transform_products(job, job->first + i, products + i * job->run->shape.out_channels);
}

static void run_streamed(winograd_job *job) {
    fkp_pool *pool = job->context->pool;
    for (job->first = 0; job->first < job->tiles; job->first += job->block) {
        job->count = fkp_min_size(job->block, job->tiles - job->first);
        size_t transforms = fkp_divide_up(job->count, TRANSFORM_TILES);
        fkp_parallel(pool, transforms, streamed_data_task, job);
        fkp_parallel(pool, job->panels * job->parts, streamed_multiply_task, job);
        fkp_parallel(pool, transforms, streamed_products_task, job);
    }
}

size_t fkp_winograd_scratch(const fkp_kernels *kernels, const fkp_convolution_run_arguments *run,
                            size_t threads) {
    winograd_job job = job_of(kernels, run);
    return job.resident ? job.positions * job.filter_step + threads * block_floats(&job)
                        : block_floats(&job) + threads * filter_floats(&job, kernels);
}

void fkp_winograd_run(const fkp_context *context, const fkp_convolution_run_arguments *run) {
    winograd_job job = job_of(context->kernels, run);
    job.context = context;
    if (job.resident)
        run_resident(&job);
    else
        run_streamed(&job);
}
