/* Convolution by Winograd's minimal filtering. Tiles of the image are taken in blocks: their data transforms
 * make n x n matrices of tiles x in_channels (V), each is multiplied by its transformed filters (U), and the
 * products (M) are transformed back with the epilogue.
 *
 * A task is a panel of filters for a block of tiles. Its filters are transformed while they are used
 * (kernels/simd/winograd_product.c), so that a model in memory is no larger than its weights (U has n^2 / r^2
 * times their size: 4 for F(4,3), 7 for F(6,3)), and no more than its weights is read from memory. Where
 * there are few filters and many tiles U is resident: a worker makes it once a run. V and M are a worker's
 * own and fit into its second-level cache: cores may share no cache, and what another core wrote is far away.
 * V is kept from task to task while the block is the same, and tasks that follow each other are of one block.
 *
 * A result depends on nothing but its own tile and filters: blocks and threads do not change a bit of it. */
#include "operators/convolution.h"

/* V and M of a task, for a second-level cache of a megabyte. */
#define BLOCK_FLOATS ((size_t)128 << 10)
/* With fewer tiles the transform of the filters counts. For that V may be larger than the cache, up to a
 * second size: it is read in order. */
#define LEAST_TILES 36
#define STREAMED_FLOATS ((size_t)512 << 10)
/* U is made once if it leaves room in the second-level cache and there are so many blocks of tiles; or, up to
 * twice that size, if many tiles share what reading it from further away costs. */
#define RESIDENT_FLOATS ((size_t)300 << 10)
#define RESIDENT_BLOCKS 4
#define MANY_TILES 200
/* Blocks of tiles are a multiple of this, so that they can be shared evenly. */
#define EVEN_BLOCKS 2
/* A block of tiles for each thread instead of panels for each, where it has so many and the filters, which
 * every thread then transforms, are no larger than so many images: it reads what it wrote itself in the layer
 * before, and no data is transformed twice. */
#define LEAST_SHARE 12
#define MOST_IMAGES 3
#define NO_BLOCK SIZE_MAX

typedef struct winograd_job {
    const fkp_kernels *kernels;
    const fkp_convolution_run_arguments *run;
    const fkp_winograd_record *record;
    const fkp_context *context;
    size_t n, positions;
    size_t panels, panel_columns;
    size_t rows, columns;                  /* results that are needed, before pooling */
    fkp_tile_side tile_rows, tile_columns; /* tiles of an image */
    size_t tiles;                          /* of all images */
    fkp_range last_row, last_column;       /* tiles whose last row is wanted, whose last column is */
    size_t blocks, block;                  /* blocks of tiles, and tiles of the largest */
    size_t data_step, product_step;        /* floats from position to position of V and M */
    bool resident;                         /* U is made once */
    bool made[FKP_MAX_THREADS];            /* resident: whether a worker has its U */
    size_t held[FKP_MAX_THREADS];          /* the block that a worker's V is of */
} winograd_job;

static size_t depth_blocks(const winograd_job *job) {
    return fkp_divide_up(job->run->shape.in_channels, FKP_WINOGRAD_DEPTH);
}

/* U of `columns` filters. */
static size_t filter_floats(const winograd_job *job, size_t columns) {
    size_t width = fkp_packed_columns(job->kernels, columns);
    return job->run->shape.in_channels * job->record->filter_side * job->record->filter_side * width;
}

/* Rounded so that positions do not fall on the same cache sets. */
static size_t position_step(size_t tiles, size_t width) { return fkp_divide_up(tiles * width, 16) * 16 + 16; }

/* The number of equal blocks of at most `most` tiles: even, if it is not one. */
static size_t tile_blocks(size_t tiles, size_t most) {
    return tiles <= most ? 1 : fkp_divide_up(tiles, EVEN_BLOCKS * most) * EVEN_BLOCKS;
}

fkp_tile_side fkp_tile_side_of(size_t results, size_t m) {
    size_t tiles = fkp_divide_up(results, m), cut = fkp_min_size(tiles, tiles * m - results);
    return (fkp_tile_side){tiles - cut, cut};
}

/* Results in a row of a pooled window. */
static size_t pool_side(const fkp_convolution_run_arguments *run) { return run->pool.size > 0 ? 2 : 1; }

/* Pooling wants an even number of results in each tile: whole ones alone, or cut ones. */
static fkp_tile_side even_side(size_t results, size_t m) {
    return m % 2 == 0 ? (fkp_tile_side){fkp_divide_up(results, m), 0}
                      : (fkp_tile_side){0, fkp_divide_up(results, m - 1)};
}

/* The order of tiles: those of the last columns and not the last rows, which are cut in width, then the whole
 * ones, those that are cut in height, and those in both: so whoever wants its last row, or its last column,
 * is one range. */
static void cut_into_tiles(winograd_job *job) {
    size_t m = job->record->tile;
    fkp_tile_side rows = fkp_tile_side_of(job->rows, m), columns = fkp_tile_side_of(job->columns, m);
    if (job->run->pool.size > 0) {
        rows = even_side(job->rows, m);
        columns = even_side(job->columns, m);
    }
    size_t batch = job->run->shape.batch, all_rows = rows.full + rows.cut;
    size_t narrow = batch * rows.full * columns.cut;
    job->tile_rows = rows;
    job->tile_columns = columns;
    job->tiles = batch * all_rows * (columns.full + columns.cut);
    job->last_row = (fkp_range){0, narrow + batch * rows.full * columns.full};
    job->last_column = (fkp_range){narrow, narrow + batch * all_rows * columns.full};
}

static bool has_small_filters(const fkp_convolution *shape) {
    return shape->kernel * shape->kernel * shape->out_channels <=
           MOST_IMAGES * shape->batch * shape->in_height * shape->in_width;
}

static winograd_job job_of(const fkp_kernels *kernels, const fkp_convolution_run_arguments *run,
                           size_t threads) {
    winograd_job job = {.kernels = kernels,
                        .run = run,
                        .record = &kernels->winograd[run->algorithm - FKP_CONVOLUTION_WINOGRAD_2_3]};
    const fkp_convolution *shape = &run->shape;
    size_t pool = pool_side(run);
    job.n = job.record->side;
    job.positions = job.n * job.n;
    job.panel_columns = kernels->winograd_columns;
    job.panels = fkp_divide_up(shape->out_channels, job.panel_columns);
    job.rows = shape->out_height / pool * pool;
    job.columns = shape->out_width / pool * pool;
    cut_into_tiles(&job);
    size_t tile_floats = job.positions * (depth_blocks(&job) * FKP_WINOGRAD_DEPTH + job.panel_columns);
    size_t most = fkp_max_size(1, BLOCK_FLOATS / tile_floats);
    job.resident = filter_floats(&job, shape->out_channels) <=
                       (job.tiles < MANY_TILES ? RESIDENT_FLOATS : 2 * RESIDENT_FLOATS) &&
                   job.tiles >= RESIDENT_BLOCKS * most;
    if (job.resident) /* whole groups: U passes by once a group */
        most = fkp_max_size(1, most / kernels->winograd_rows) * kernels->winograd_rows;
    else
        most = fkp_max_size(most, fkp_min_size(LEAST_TILES, STREAMED_FLOATS / tile_floats));
    job.blocks = tile_blocks(job.tiles, most);
    if (job.blocks == 1 && job.tiles >= LEAST_SHARE * threads && has_small_filters(shape))
        job.blocks = threads;
    job.block = fkp_divide_up(job.tiles, job.blocks);
    job.data_step = position_step(job.block, FKP_WINOGRAD_DEPTH);
    job.product_step = position_step(job.block, job.panel_columns);
    return job;
}

/* Scratch of a worker: V, M, and U if it is resident. */
static size_t data_floats(const winograd_job *job) {
    return depth_blocks(job) * job->positions * job->data_step;
}
static size_t worker_floats(const winograd_job *job) {
    return data_floats(job) + job->positions * job->product_step +
           (job->resident ? filter_floats(job, job->run->shape.out_channels) : 0);
}

/* ---- tiles ---- */

/* A tile's place: image, first result row and column, and how many it has of each. */
typedef struct tile_place {
    size_t image, row, column, rows, columns;
} tile_place;
static tile_place place_of(const winograd_job *job, size_t tile) {
    static const struct {
        bool cut_rows, cut_columns;
    } groups[] = {{false, true}, {false, false}, {true, false}, {true, true}};
    const fkp_tile_side *rows = &job->tile_rows, *columns = &job->tile_columns;
    const size_t m = job->record->tile;
    for (size_t k = 0;; k++) {
        bool low = groups[k].cut_rows, narrow = groups[k].cut_columns;
        size_t height = low ? rows->cut : rows->full, width = narrow ? columns->cut : columns->full;
        size_t count = job->run->shape.batch * height * width;
        if (tile >= count) {
            tile -= count;
            continue;
        }
        size_t row = tile / width % height, column = tile % width;
        return (tile_place){.image = tile / width / height,
                            .row = low ? rows->full * m + row * (m - 1) : row * m,
                            .column = narrow ? columns->full * m + column * (m - 1) : column * m,
                            .rows = low ? m - 1 : m,
                            .columns = narrow ? m - 1 : m};
    }
}

/* The part of [begin, begin + n), counted from `begin`, that lies in the image [padding, padding + size). */
static void clip(size_t begin, size_t n, size_t padding, size_t size, size_t *first, size_t *last) {
    *first = begin < padding ? padding - begin : 0;
    *last = padding + size > begin ? fkp_min_size(n, padding + size - begin) : 0;
}

/* Channels [begin, end) of the input, which lie in one tensor from `in` on. */
typedef struct data_part {
    const float *in;
    size_t stride, begin, end;
} data_part;

/* The first pixel of a tile, which may lie outside of the image, and the part that lies inside. */
typedef struct tile_view {
    const float *in;
    size_t row_begin, row_end, column_begin, column_end;
} tile_view;
static tile_view view_of(const winograd_job *job, tile_place place, const data_part *part) {
    const fkp_convolution *shape = &job->run->shape;
    size_t first_row = place.row * shape->stride, first_column = place.column * shape->stride;
    ptrdiff_t row = (ptrdiff_t)first_row - (ptrdiff_t)shape->padding;
    ptrdiff_t column = (ptrdiff_t)first_column - (ptrdiff_t)shape->padding;
    ptrdiff_t pixel =
        ((ptrdiff_t)(place.image * shape->in_height) + row) * (ptrdiff_t)shape->in_width + column;
    tile_view view = {.in = part->in + pixel * (ptrdiff_t)part->stride};
    clip(first_row, job->n, shape->padding, shape->in_height, &view.row_begin, &view.row_end);
    clip(first_column, job->n, shape->padding, shape->in_width, &view.column_begin, &view.column_end);
    return view;
}

/* A tile of V from `out` on, and the next one fetched, if there is one. */
static void transform_part(const winograd_job *job, size_t tile, bool fetch, const data_part *part,
                           float *out) {
    tile_place place = place_of(job, tile);
    tile_view view = view_of(job, place, part);
    fkp_winograd_input input = {.row_stride = job->run->shape.in_width * part->stride,
                                .pixel_stride = part->stride,
                                .row_begin = view.row_begin,
                                .row_end = view.row_end,
                                .column_begin = view.column_begin,
                                .column_end = view.column_end,
                                .out_step = job->data_step};
    tile_view next = {0};
    if (fetch) {
        tile_place after = place_of(job, tile + 1);
        next = view_of(job, after, part);
        input.next_row_begin = next.row_begin;
        input.next_row_end = next.row_end;
        /* Its left columns are this one's right ones, if it is the neighbour. */
        bool neighbour = after.row == place.row && after.column == place.column + place.columns;
        input.next_column_begin =
            neighbour ? job->n - place.columns * job->record->stride : next.column_begin;
        input.next_column_end = next.column_end;
    }
    for (size_t c = part->begin; c < part->end; c += FKP_WINOGRAD_DEPTH) {
        input.in = view.in + (c - part->begin);
        if (fetch) input.next = next.in + (c - part->begin);
        input.channels = fkp_min_size(FKP_WINOGRAD_DEPTH, part->end - c);
        input.out = out + c / FKP_WINOGRAD_DEPTH * job->positions * job->data_step;
        job->record->input(&input);
    }
}

/* V of a block of tiles. */
static void transform_data(const winograd_job *job, size_t first, size_t count, float *v) {
    const fkp_convolution_run_arguments *run = job->run;
    size_t channels = run->shape.in_channels, own = run->beside_from > 0 ? run->beside_from : channels;
    const data_part parts[] = {{run->in, run->in_stride, 0, own},
                               {run->beside, run->beside_stride, own, channels}};
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < (own < channels ? 2 : 1); k++)
            transform_part(job, first + i, i + 1 < count, &parts[k], v + i * FKP_WINOGRAD_DEPTH);
}

/* ---- panels ---- */

/* A panel's packed filters. */
static const float *panel_filters(const winograd_job *job, size_t panel) {
    const fkp_convolution *shape = &job->run->shape;
    return job->run->packed + panel * job->panel_columns * shape->kernel * shape->kernel * shape->in_channels;
}
static size_t panel_width(const winograd_job *job, size_t panel) {
    size_t all = fkp_packed_columns(job->kernels, job->run->shape.out_channels);
    return fkp_min_size(job->panel_columns, all - panel * job->panel_columns);
}

/* ---- results ---- */

/* Where the results of a tile go, and what is added to them. */
typedef struct tile_results {
    fkp_winograd_output output;
    fkp_epilogue epilogue;
} tile_results;

/* Channels [first, first + channels) of a tile; `in` holds those alone. */
static tile_results results_of(const winograd_job *job, size_t tile, size_t first, size_t channels,
                               const float *in) {
    const fkp_convolution_run_arguments *run = job->run;
    const fkp_convolution *shape = &run->shape;
    tile_place place = place_of(job, tile);
    size_t pool = pool_side(run), height = shape->out_height / pool, width = shape->out_width / pool;
    size_t pixel = (place.image * height + place.row / pool) * width + place.column / pool;
    size_t full_pixel = (place.image * shape->out_height + place.row) * shape->out_width + place.column;
    tile_results results = {.epilogue = fkp_epilogue_at(&run->epilogue, full_pixel, first)};
    results.output =
        (fkp_winograd_output){.in = in,
                              .in_step = job->product_step,
                              .out = run->out + pixel * run->out_stride + first,
                              .row_stride = width * run->out_stride,
                              .pixel_stride = run->out_stride,
                              .rows = fkp_min_size(place.rows, job->rows - place.row) / pool,
                              .columns = fkp_min_size(place.columns, job->columns - place.column) / pool,
                              .channels = channels,
                              .residual_row_stride = shape->out_width * results.epilogue.residual_stride,
                              .pool = pool > 1};
    return results;
}

/* Asks for the lines of 16 floats of a tile that will be written or added. */
static void fetch_results(const tile_results *results) {
    const fkp_winograd_output *output = &results->output;
    const float *residual = results->epilogue.residual;
    for (size_t i = 0; i < output->rows; i++)
        for (size_t j = 0; j < output->columns; j++)
            for (size_t c = 0; c < output->channels; c += 16) {
                size_t at = i * output->residual_row_stride + j * results->epilogue.residual_stride + c;
                __builtin_prefetch(output->out + i * output->row_stride + j * output->pixel_stride + c, 0, 2);
                if (residual != NULL) __builtin_prefetch(residual + at, 0, 2);
            }
}

/* Results of a block of tiles, each one's lines on their way while the one before is computed. */
static void transform_products(const winograd_job *job, size_t tile, size_t tiles, size_t panel,
                               const float *m) {
    size_t first = panel * job->panel_columns, width = panel_width(job, panel);
    size_t channels = fkp_min_size(job->panel_columns, job->run->shape.out_channels - first);
    tile_results next = results_of(job, tile, first, channels, m);
    for (size_t i = 0; i < tiles; i++) {
        tile_results results = next;
        results.output.epilogue = &results.epilogue;
        if (i + 1 < tiles) {
            next = results_of(job, tile + i + 1, first, channels, m + (i + 1) * width);
            fetch_results(&next);
        }
        job->record->output(&results.output);
    }
}

/* ---- running ---- */

/* What a task multiplies, but for its tiles. */
static fkp_winograd_product product_of(const winograd_job *job, size_t panel) {
    return (fkp_winograd_product){.filters = panel_filters(job, panel),
                                  .next = panel + 1 < job->panels ? panel_filters(job, panel + 1) : NULL,
                                  .channels = job->run->shape.in_channels,
                                  .width = panel_width(job, panel),
                                  .granule = job->kernels->gemm.granule,
                                  .data_step = job->data_step,
                                  .out_step = job->product_step};
}

static void transform_filters(const winograd_job *job, float *u) {
    for (size_t panel = 0; panel < job->panels; panel++) {
        fkp_winograd_product product = product_of(job, panel);
        job->record->transform(&product, u + panel * filter_floats(job, job->panel_columns));
    }
}

/* The part of a range of tiles that lies in a block, counted from its first tile. */
static fkp_range range_inside(fkp_range range, size_t first, size_t count) {
    size_t begin = fkp_max_size(range.begin, first), end = fkp_min_size(range.end, first + count);
    return begin < end ? (fkp_range){begin - first, end - first} : (fkp_range){0, 0};
}

static void block_task(void *argument, size_t index, size_t worker) {
    winograd_job *job = argument;
    size_t block = index / job->panels, panel = index % job->panels;
    size_t tile = job->tiles * block / job->blocks, tiles = job->tiles * (block + 1) / job->blocks - tile;
    float *v = fkp_own_scratch(job->context, worker_floats(job), worker), *m = v + data_floats(job);
    float *u = m + job->positions * job->product_step;
    if (job->held[worker] != block) transform_data(job, tile, tiles, v);
    job->held[worker] = block;
    if (job->resident && !job->made[worker]) transform_filters(job, u);
    job->made[worker] = true;
    fkp_winograd_product product = product_of(job, panel);
    product.tiles = tiles;
    product.last_row = range_inside(job->last_row, tile, tiles);
    product.last_column = range_inside(job->last_column, tile, tiles);
    product.data = v;
    product.out = m;
    if (job->resident) product.transformed = u + panel * filter_floats(job, job->panel_columns);
    job->record->multiply(&product);
    transform_products(job, tile, tiles, panel, m);
}

size_t fkp_winograd_scratch(const fkp_kernels *kernels, const fkp_convolution_run_arguments *run,
                            size_t threads) {
    winograd_job job = job_of(kernels, run, threads);
    return threads * worker_floats(&job);
}

void fkp_winograd_run(const fkp_context *context, const fkp_convolution_run_arguments *run) {
    winograd_job job = job_of(context->kernels, run, fkp_pool_threads(context->pool));
    job.context = context;
    for (size_t i = 0; i < fkp_pool_threads(context->pool); i++) job.held[i] = NO_BLOCK;
    fkp_parallel(context->pool, job.blocks * job.panels, block_task, &job);
}
