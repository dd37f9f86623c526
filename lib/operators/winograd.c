/* Convolution by Winograd's minimal filtering. Tiles of the image are taken in blocks: their data transforms
 * make n x n matrices of tiles x in_channels (V), each is multiplied by its transformed filters (U, packed),
 * and the products (M) are transformed back with the epilogue.
 *
 * Where all of U fits beside a block in a core's cache, every worker carries its own blocks through all three
 * phases. Where U is larger it must be streamed but once a block: there all workers share one larger block,
 * phase by phase. */
#include "operators/convolution.h"

#include <string.h>

/* Memory of a worker's own block (V and M), sized for a second-level cache; of a shared block, for a
 * third-level one. */
#define OWN_BLOCK_FLOATS ((size_t)96 << 10)
#define SHARED_BLOCK_FLOATS ((size_t)1 << 20)
/* U up to this size is read again for every block. */
#define OWN_FILTER_FLOATS ((size_t)256 << 10)

static fkp_winograd_kind kind_of(fkp_convolution_algorithm algorithm) {
    return (fkp_winograd_kind)(algorithm - FKP_CONVOLUTION_WINOGRAD_2_3);
}

/* ---- filters ---- */

enum { MAX_TILE = 8 };
static const double points[FKP_WINOGRAD_COUNT][MAX_TILE - 1] = {
    {0, 1, -1}, {0, 1, -1, 2, -2}, {0, 1, -1, 2, -2, 0.5, -0.5}, {0, 1, -1, 2, -2, 0.5}};

/* G, n x r (see kernels/simd/winograd.c). */
static void filter_matrix(fkp_winograd_kind kind, size_t n, size_t r, double g[MAX_TILE][4]) {
    for (size_t i = 0; i + 1 < n; i++) {
        double product = 1.0, power = 1.0;
        for (size_t j = 0; j + 1 < n; j++)
            if (j != i) product *= points[kind][i] - points[kind][j];
        for (size_t k = 0; k < r; k++, power *= points[kind][i]) g[i][k] = power / product;
    }
    for (size_t k = 0; k < r; k++) g[n - 1][k] = k + 1 == r ? 1.0 : 0.0;
}

/* u = G f G^T. */
static void transform_filter(double g[MAX_TILE][4], size_t n, size_t r, double f[4][4],
                             double u[MAX_TILE * MAX_TILE]) {
    double middle[MAX_TILE][4];
    for (size_t i = 0; i < n; i++)
        for (size_t x = 0; x < r; x++) {
            middle[i][x] = 0.0;
            for (size_t y = 0; y < r; y++) middle[i][x] += g[i][y] * f[y][x];
        }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            u[i * n + j] = 0.0;
            for (size_t x = 0; x < r; x++) u[i * n + j] += middle[i][x] * g[j][x];
        }
}

size_t fkp_winograd_packed_floats(const fkp_kernels *kernels, const fkp_convolution *shape,
                                  fkp_convolution_algorithm algorithm) {
    const fkp_winograd_record *record = &kernels->winograd[kind_of(algorithm)];
    size_t n = record->tile + record->kernel - 1;
    return n * n * fkp_gemm_packed_floats(kernels, shape->in_channels, shape->out_channels);
}

void fkp_winograd_pack(const fkp_kernels *kernels, const fkp_convolution *shape,
                       fkp_convolution_algorithm algorithm, const fkp_filter_bank *bank, float *packed) {
    fkp_winograd_kind kind = kind_of(algorithm);
    size_t r = kernels->winograd[kind].kernel, n = kernels->winograd[kind].tile + r - 1;
    size_t matrix = fkp_gemm_packed_floats(kernels, shape->in_channels, shape->out_channels);
    double g[MAX_TILE][4], f[4][4], u[MAX_TILE * MAX_TILE];
    filter_matrix(kind, n, r, g);
    memset(packed, 0, n * n * matrix * sizeof *packed);
    for (size_t o = 0; o < shape->out_channels; o++) {
        size_t panel = o / kernels->gemm.columns, first = panel * kernels->gemm.columns;
        size_t width = fkp_panel_width(kernels, shape->out_channels, panel);
        double scale = bank->scale == NULL ? 1.0 : (double)bank->scale[o];
        for (size_t i = 0; i < shape->in_channels; i++) {
            const float *source = bank->weights + o * bank->out_step + i * bank->in_step;
            for (size_t k = 0; k < r * r; k++)
                f[k / r][k % r] = scale * (double)source[bank->turned ? r * r - 1 - k : k];
            transform_filter(g, n, r, f, u);
            float *place = packed + first * shape->in_channels + i * width + (o - first);
            for (size_t position = 0; position < n * n; position++)
                place[position * matrix] = (float)u[position];
        }
    }
}

/* ---- blocks ---- */

typedef struct winograd_job {
    const fkp_context *context;
    const fkp_convolution_run_arguments *run;
    const fkp_winograd_record *record;
    size_t n, positions;
    size_t rows, columns;           /* results that are needed, before pooling */
    size_t tile_rows, tile_columns; /* tiles of an image */
    size_t tiles;                   /* of all images */
    size_t block;                   /* tiles of a block */
    bool shared;                    /* all workers on one block */
    size_t matrix;                  /* floats of one position of U */
    size_t data_step, product_step; /* floats from position to position of V and of M */
    size_t first, count;            /* shared: the present block */
} winograd_job;

/* Rounded so that positions do not fall on the same cache sets. */
static size_t position_step(size_t tiles, size_t channels) {
    return fkp_divide_up(tiles * channels, 16) * 16 + 16;
}

static winograd_job job_of(const fkp_kernels *kernels, const fkp_convolution_run_arguments *run) {
    winograd_job job = {.run = run, .record = &kernels->winograd[kind_of(run->algorithm)]};
    const fkp_convolution *shape = &run->shape;
    job.n = job.record->tile + job.record->kernel - 1;
    job.positions = job.n * job.n;
    job.rows = fkp_needed(shape->out_height, run->pool);
    job.columns = fkp_needed(shape->out_width, run->pool);
    job.tile_rows = fkp_divide_up(job.rows, job.record->tile);
    job.tile_columns = fkp_divide_up(job.columns, job.record->tile);
    job.tiles = shape->batch * job.tile_rows * job.tile_columns;
    job.matrix = fkp_gemm_packed_floats(kernels, shape->in_channels, shape->out_channels);
    job.shared = job.positions * job.matrix > OWN_FILTER_FLOATS;
    size_t floats = job.shared ? SHARED_BLOCK_FLOATS : OWN_BLOCK_FLOATS;
    size_t block = floats / (job.positions * (shape->in_channels + shape->out_channels));
    size_t rows = kernels->gemm.rows;
    job.block = fkp_min_size(job.tiles, fkp_max_size(rows, block / rows * rows));
    job.data_step = position_step(job.block, shape->in_channels);
    job.product_step = position_step(job.block, shape->out_channels);
    return job;
}

static size_t block_floats(const winograd_job *job) {
    return job->positions * (job->data_step + job->product_step);
}

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

static void transform_data(const winograd_job *job, size_t tile, float *out) {
    const fkp_convolution *shape = &job->run->shape;
    tile_place place = place_of(job, tile);
    size_t stride = job->run->in_stride;
    fkp_winograd_input input = {.row_stride = shape->in_width * stride,
                                .pixel_stride = stride,
                                .channels = shape->in_channels,
                                .out = out,
                                .out_step = job->data_step};
    clip(place.row, job->n, shape->padding, shape->in_height, &input.row_begin, &input.row_end);
    clip(place.column, job->n, shape->padding, shape->in_width, &input.column_begin, &input.column_end);
    ptrdiff_t row = (ptrdiff_t)place.row - (ptrdiff_t)shape->padding;
    ptrdiff_t column = (ptrdiff_t)place.column - (ptrdiff_t)shape->padding;
    ptrdiff_t pixel =
        ((ptrdiff_t)(place.image * shape->in_height) + row) * (ptrdiff_t)shape->in_width + column;
    input.in = job->run->in + pixel * (ptrdiff_t)stride;
    job->record->input(&input);
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

/* M = V U of one position and panel, for `count` tiles. */
static void multiply(const winograd_job *job, const fkp_kernels *kernels, size_t position, size_t panel,
                     size_t count, const float *data, float *products) {
    const fkp_convolution *shape = &job->run->shape;
    size_t first = panel * kernels->gemm.columns;
    const float *v = data + position * job->data_step;
    const float *rows[FKP_MAX_TILE_ROWS];
    fkp_gemm_tile tile = {.columns = fkp_panel_columns(kernels, shape->out_channels, panel),
                          .depth = shape->in_channels,
                          .taps = 1,
                          .a = rows,
                          .b = job->run->packed + position * job->matrix + first * shape->in_channels,
                          .c_stride = shape->out_channels};
    for (size_t row = 0; row < count; row += kernels->gemm.rows) {
        tile.rows = fkp_min_size(kernels->gemm.rows, count - row);
        for (size_t r = 0; r < tile.rows; r++) rows[r] = v + (row + r) * shape->in_channels;
        tile.c = products + position * job->product_step + row * shape->out_channels + first;
        kernels->gemm.tile(&tile);
    }
}

/* ---- a worker's own blocks ---- */

static void own_block_task(void *argument, size_t index, size_t worker) {
    const winograd_job *job = argument;
    const fkp_kernels *kernels = job->context->kernels;
    const fkp_convolution *shape = &job->run->shape;
    size_t first = index * job->block, count = fkp_min_size(job->block, job->tiles - first);
    float *data = job->context->scratch + worker * block_floats(job);
    float *products = data + job->positions * job->data_step;
    for (size_t i = 0; i < count; i++) transform_data(job, first + i, data + i * shape->in_channels);
    for (size_t position = 0; position < job->positions; position++)
        for (size_t panel = 0; panel < fkp_panels(kernels, shape->out_channels); panel++)
            multiply(job, kernels, position, panel, count, data, products);
    for (size_t i = 0; i < count; i++) transform_products(job, first + i, products + i * shape->out_channels);
}

/* ---- one block shared by all workers ---- */

/* Tiles of a task of the transforms. */
enum { TRANSFORM_TILES = 4 };

static void shared_data_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const winograd_job *job = argument;
    size_t end = fkp_min_size(job->count, (index + 1) * TRANSFORM_TILES);
    for (size_t i = index * TRANSFORM_TILES; i < end; i++)
        transform_data(job, job->first + i, job->context->scratch + i * job->run->shape.in_channels);
}

static void shared_multiply_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const winograd_job *job = argument;
    float *data = job->context->scratch, *products = data + job->positions * job->data_step;
    size_t panels = fkp_panels(job->context->kernels, job->run->shape.out_channels);
    multiply(job, job->context->kernels, index / panels, index % panels, job->count, data, products);
}

static void shared_products_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const winograd_job *job = argument;
    const float *products = job->context->scratch + job->positions * job->data_step;
    size_t end = fkp_min_size(job->count, (index + 1) * TRANSFORM_TILES);
    for (size_t i = index * TRANSFORM_TILES; i < end; i++)
        transform_products(job, job->first + i, products + i * job->run->shape.out_channels);
}

static void run_shared(winograd_job *job) {
    fkp_pool *pool = job->context->pool;
    size_t panels = fkp_panels(job->context->kernels, job->run->shape.out_channels);
    for (job->first = 0; job->first < job->tiles; job->first += job->block) {
        job->count = fkp_min_size(job->block, job->tiles - job->first);
        size_t transforms = fkp_divide_up(job->count, TRANSFORM_TILES);
        fkp_parallel(pool, transforms, shared_data_task, job);
        fkp_parallel(pool, job->positions * panels, shared_multiply_task, job);
        fkp_parallel(pool, transforms, shared_products_task, job);
    }
}

size_t fkp_winograd_scratch(const fkp_kernels *kernels, const fkp_convolution_run_arguments *run,
                            size_t threads) {
    winograd_job job = job_of(kernels, run);
    return block_floats(&job) * (job.shared ? 1 : threads);
}

void fkp_winograd_run(const fkp_context *context, const fkp_convolution_run_arguments *run) {
    winograd_job job = job_of(context->kernels, run);
    job.context = context;
    if (job.shared)
        run_shared(&job);
    else
        fkp_parallel(context->pool, fkp_divide_up(job.tiles, job.block), own_block_task, &job);
}
