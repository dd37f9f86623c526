/* Matrix product: rows of numbers times a packed matrix. */
#include "operators/gemm.h"

#include <string.h>

size_t fkp_gemm_packed_floats(const fkp_kernels *kernels, size_t depth, size_t columns) {
    return depth * fkp_packed_columns(kernels, columns);
}

/* Rows [0, depth) of one panel of n columns. Columns that are rows in memory (the keys of an attention) are
 * turned by the kernel for that. */
static void pack_panel(const fkp_kernels *kernels, size_t depth, size_t n, size_t width, const float *weights,
                       size_t depth_stride, size_t column_stride, float *packed) {
    if (depth_stride == 1)
        kernels->transpose(weights, column_stride, n, depth, packed, width);
    else if (column_stride == 1)
        for (size_t k = 0; k < depth; k++)
            memcpy(packed + k * width, weights + k * depth_stride, n * sizeof *packed);
    else
        for (size_t k = 0; k < depth; k++)
            for (size_t j = 0; j < n; j++)
                packed[k * width + j] = weights[k * depth_stride + j * column_stride];
    for (size_t k = 0; k < depth && n < width; k++)
        memset(packed + k * width + n, 0, (width - n) * sizeof *packed);
}

void fkp_gemm_pack(const fkp_kernels *kernels, size_t depth, size_t columns, const float *weights,
                   size_t depth_stride, size_t column_stride, const float *scale, float *packed) {
    for (size_t panel = 0; panel < fkp_panels(kernels, columns); panel++) {
        size_t first = panel * kernels->gemm.columns, n = fkp_panel_columns(kernels, columns, panel);
        size_t width = fkp_panel_width(kernels, columns, panel);
        pack_panel(kernels, depth, n, width, weights + first * column_stride, depth_stride, column_stride,
                   packed);
        for (size_t k = 0; scale != NULL && k < depth; k++)
            for (size_t j = 0; j < n; j++) packed[k * width + j] *= scale[first + j];
        packed += depth * width;
    }
}

/* Numbers of a column that are turned at a time: still in the first-level cache when they are scaled, and,
 * where their order changes, written to so many places at a time and no more. */
#define TURNED 16

/* `count` numbers of n columns, at most a granule, from `weights` on, into rows `stride` apart. */
static void turn(const fkp_kernels *kernels, const fkp_column_block *block, size_t first, size_t n,
                 const float *weights, size_t count, float *out, size_t stride) {
    kernels->transpose(weights, block->depth, n, count, out, stride);
    for (size_t k = 0; k < count && (block->scale != NULL || n < kernels->gemm.granule); k++) {
        float *row = out + k * stride;
        for (size_t j = 0; j < n && block->scale != NULL; j++) row[j] *= block->scale[first + j];
        memset(row + n, 0, (kernels->gemm.granule - n) * sizeof *row);
    }
}

void fkp_gemm_pack_columns(const fkp_kernels *kernels, const fkp_column_block *block, float *packed) {
    size_t granule = kernels->gemm.granule, depth = block->depth;
    size_t columns = block->panel_columns == 0 ? kernels->gemm.columns : block->panel_columns;
    size_t inner = block->inner <= 1 ? depth : block->inner, channels = depth / inner;
    for (size_t done = 0; done < block->count; done += granule) {
        size_t first = block->first + done, panel = first / columns;
        size_t n = fkp_min_size(granule, block->count - done);
        size_t width = fkp_min_size(columns, fkp_packed_columns(kernels, block->columns) - panel * columns);
        float *out = packed + panel * columns * depth + first % columns;
        const float *weights = block->weights + done * depth;
        for (size_t p = 0; p < inner; p += TURNED)
            for (size_t c = 0; c < channels; c++)
                turn(kernels, block, first, n, weights + c * inner + p, fkp_min_size(TURNED, inner - p),
                     out + (p * channels + c) * width, channels * width);
    }
}

/* A task is a panel and a block of rows, so many register tiles at most; blocks are of one size. With several
 * threads the tasks of a block follow each other: a worker then keeps to the rows that it wrote in the layer
 * before. One thread takes some blocks with each panel, whose rows stay in the second-level cache, and the
 * matrix passes by less often. */
enum { TASK_TILES = 17, GROUP_BLOCKS = 5 };

typedef struct gemm_job {
    const fkp_context *context;
    const fkp_kernels *kernels;
    const fkp_gemm *gemm;
    size_t tiles, blocks;               /* register tiles of rows, and the blocks that they are cut into */
    size_t group;                       /* blocks that a panel meets before the next panel */
    fkp_range depth;                    /* that is multiplied now, of all panels */
    size_t normalised[FKP_MAX_THREADS]; /* the first block of the group whose rows a worker has normalised */
} gemm_job;

/* Few rows use a number of the matrix once: it is then not read in blocks, but passes by. */
static bool passes_by(const gemm_job *job) { return job->gemm->rows <= job->kernels->gemm.rows; }

/* What is multiplied with after a block of a panel: that of the next panel, or of the first, further down.
 * NULL: nothing that would be in the cache still. */
static const float *next_block(const gemm_job *job, size_t panel) {
    const fkp_gemm *gemm = job->gemm;
    const bool last = panel + 1 == fkp_panels(job->kernels, gemm->columns);
    size_t next = last ? 0 : panel + 1, depth = last ? job->depth.end : job->depth.begin;
    if (passes_by(job) || depth >= gemm->depth) return NULL;
    return gemm->packed + next * job->kernels->gemm.columns * gemm->depth +
           depth * fkp_panel_width(job->kernels, gemm->columns, next);
}

/* Rows of the product where they lie, from row `first` on. */
typedef struct gemm_source {
    const float *rows;
    size_t stride, first;
} gemm_source;

/* One block of depth of one task: the panel's block stays in the cache while the rows pass over it. */
static void multiply_block(const gemm_job *job, const gemm_source *in, size_t row_begin, size_t row_end,
                           size_t panel) {
    const fkp_gemm *gemm = job->gemm;
    const fkp_gemm_record *record = &job->kernels->gemm;
    size_t first = panel * record->columns;
    size_t width = fkp_panel_width(job->kernels, gemm->columns, panel), depth = job->depth.begin;
    fkp_gemm_tile tile = {.columns = fkp_panel_columns(job->kernels, gemm->columns, panel),
                          .depth = job->depth.end - depth,
                          .taps = 1,
                          .b = gemm->packed + first * gemm->depth + depth * width,
                          .c_stride = gemm->out_stride,
                          .accumulate = gemm->accumulate || depth > 0};
    const float *rows[FKP_MAX_TILE_ROWS];
    tile.a = rows;
    const float *next = next_block(job, panel);
    for (size_t row = row_begin; row < row_end; row += record->rows) {
        tile.next = fkp_fetched(next, tile.depth * width, (row - row_begin) / record->rows, tile.depth);
        tile.rows = fkp_min_size(record->rows, row_end - row);
        for (size_t r = 0; r < tile.rows; r++)
            rows[r] = in->rows + (row + r - in->first) * in->stride + depth;
        fkp_epilogue epilogue = fkp_epilogue_at(&gemm->epilogue, row, first);
        tile.epilogue = job->depth.end == gemm->depth ? &epilogue : NULL;
        tile.c = gemm->out + row * gemm->out_stride + first;
        record->tile(&tile);
    }
}

/* The first row of a block. Where blocks are not all of one size, which of them have a tile more changes from
 * panel to panel, and all have as many in the end. */
static size_t block_begin(const gemm_job *job, size_t block, size_t panel) {
    size_t tile = (block * job->tiles + panel % job->blocks) / job->blocks;
    return fkp_min_size(job->gemm->rows, tile * job->kernels->gemm.rows);
}

/* Rows that some blocks have in any panel. */
static fkp_range rows_of_blocks(const gemm_job *job, size_t first, size_t count) {
    return (fkp_range){block_begin(job, first, 0), block_begin(job, first + count, job->blocks - 1)};
}

/* Floats of the rows of the largest group. */
static size_t group_floats(const gemm_job *job) {
    const size_t tiles = fkp_divide_up(job->group * job->tiles, job->blocks) + 1;
    return fkp_min_size(job->tiles, tiles) * job->kernels->gemm.rows * job->gemm->depth;
}

/* Where the rows of a group lie: in memory, or, normalised, with the worker, who keeps to a group as long as
 * there are panels. */
static gemm_source group_rows(gemm_job *job, size_t first, size_t count, size_t worker) {
    const fkp_gemm *gemm = job->gemm;
    if (!fkp_normalises(&gemm->norm)) return (gemm_source){gemm->in, gemm->in_stride, 0};
    const fkp_range range = rows_of_blocks(job, first, count);
    float *own = fkp_own_scratch(job->context, group_floats(job), worker);
    if (job->normalised[worker] != first)
        fkp_layer_norm_rows(job->kernels,
                            &(fkp_rows){.rows = range.end - range.begin,
                                        .channels = gemm->depth,
                                        .in = gemm->in + range.begin * gemm->in_stride,
                                        .in_stride = gemm->in_stride,
                                        .out = own,
                                        .out_stride = gemm->depth},
                            &gemm->norm);
    job->normalised[worker] = first;
    return (gemm_source){own, gemm->depth, range.begin};
}

static void gemm_task(void *argument, size_t index, size_t worker) {
    gemm_job *job = argument;
    const fkp_gemm *gemm = job->gemm;
    size_t panels = fkp_panels(job->kernels, gemm->columns);
    size_t first = index / (job->group * panels) * job->group;
    size_t group = fkp_min_size(job->group, job->blocks - first), rest = index - first * panels;
    size_t panel = rest / group, block = first + rest % group;
    const gemm_source rows = group_rows(job, first, group, worker);
    multiply_block(job, &rows, block_begin(job, block, panel), block_begin(job, block + 1, panel), panel);
}

/* One row passes over two panels at a time, or over the one that is left, or that is not whole. */
static void row_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const gemm_job *job = argument;
    const fkp_gemm *gemm = job->gemm;
    size_t columns = job->kernels->gemm.columns, panel = 2 * index, first = panel * columns;
    if (gemm->columns < first + 2 * columns) {
        const gemm_source row = {gemm->in, gemm->in_stride, 0};
        for (; panel < fkp_panels(job->kernels, gemm->columns); panel++)
            multiply_block(job, &row, 0, 1, panel);
        return;
    }
    const fkp_epilogue epilogue = fkp_epilogue_at(&gemm->epilogue, 0, first);
    const float *packed = gemm->packed + first * gemm->depth;
    job->kernels->gemm.tile(&(fkp_gemm_tile){.rows = 1,
                                             .columns = 2 * columns,
                                             .depth = gemm->depth,
                                             .taps = 1,
                                             .a = &gemm->in,
                                             .b = packed,
                                             .beside = packed + columns * gemm->depth,
                                             .c = gemm->out + first,
                                             .c_stride = gemm->out_stride,
                                             .accumulate = gemm->accumulate,
                                             .epilogue = &epilogue});
}

static gemm_job plan(const fkp_kernels *kernels, const fkp_gemm *gemm, size_t threads) {
    const size_t tiles = fkp_divide_up(gemm->rows, kernels->gemm.rows);
    return (gemm_job){.kernels = kernels,
                      .gemm = gemm,
                      .tiles = tiles,
                      .blocks = fkp_divide_up(tiles, TASK_TILES),
                      .group = threads > 1 ? 1 : GROUP_BLOCKS,
                      .depth = {0, gemm->depth}};
}

size_t fkp_gemm_scratch(const fkp_kernels *kernels, const fkp_gemm *gemm, size_t threads) {
    if (!fkp_normalises(&gemm->norm)) return 0;
    const gemm_job job = plan(kernels, gemm, threads);
    return threads * group_floats(&job);
}

void fkp_gemm_run(const fkp_context *context, const fkp_gemm *gemm) {
    if (gemm->rows == 0 || gemm->columns == 0) return;
    size_t panels = fkp_panels(context->kernels, gemm->columns), threads = fkp_pool_threads(context->pool);
    gemm_job job = plan(context->kernels, gemm, threads);
    job.context = context;
    for (size_t i = 0; i < threads; i++) job.normalised[i] = SIZE_MAX;
    /* Many threads have a panel each, and that is streams enough. */
    if (gemm->rows == 1 && !fkp_normalises(&gemm->norm) && panels >= 4 * threads) {
        fkp_parallel(context->pool, fkp_divide_up(panels, 2), row_task, &job);
        return;
    }
    /* All panels of a block of depth before the next block: its part of the rows stays in the cache. */
    const size_t block = passes_by(&job) ? gemm->depth : FKP_DEPTH_BLOCK;
    do {
        job.depth.end = fkp_min_size(gemm->depth, job.depth.begin + block);
        fkp_parallel(context->pool, job.blocks * panels, gemm_task, &job);
        job.depth.begin = job.depth.end;
    } while (job.depth.begin < gemm->depth);
}
