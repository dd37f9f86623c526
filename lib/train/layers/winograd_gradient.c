/* A convolution's weight gradient in Winograd's form: for each of the n x n positions a matrix product over
 * tiles instead of, for each tap, one over pixels: n^2 multiply-adds for a tile of m^2 pixels instead of m^2
 * r^2.
 *
 * Tiles are taken in blocks that fit the shared cache, phase by phase: both transforms, then the products,
 * each adding to the sums of its position; at the end the sums are transformed back. Input channels are taken
 * in groups, so that the sums fit too. Every sum is made by one task, over the tiles in their order. */
#include "train/layers/weight_gradient.h"

#include "operators/convolution.h"
#include "train/layers/outer.h"

/* Transforms of a block of tiles, and sums of a group of channels. */
#define BLOCK_FLOATS ((size_t)1 << 20)
#define SUM_FLOATS ((size_t)5 << 19)
/* Least tiles of a block: fewer would visit the sums too often. */
#define LEAST_TILES 64
/* Costs, counted in multiply-adds of the register tile at full rate, of a number of a transform and of a sum.
 */
#define TRANSFORM_COST 12.0
#define SUM_COST 16.0

enum {
    VISIT_TILES = 128,     /* tiles between two visits of the sums: both operands stay in the nearest cache */
    TRANSFORM_TILES = 4,   /* of a task of the transforms */
    PRODUCT_CHANNELS = 64, /* output channels of a task of the products */
    GATHER_CHANNELS = 16,  /* output channels of a task of the end */
    MOST_TAPS = 16
};

typedef struct weights_job {
    const fkp_context *context;
    const fkp_train_kernels *train;
    const fkp_convolution_weights *run;
    fkp_winograd_kind kind;
    size_t m, n, positions;
    size_t tile_rows, tile_columns, tiles;   /* of an image, of an image, of all images */
    size_t block, group;                     /* most tiles and most input channels at a time */
    size_t data_step, spread_step, sum_step; /* floats from position to position */
    float *data, *spread, *sums;
    const float **pointers;         /* to each tile's data of position 0 */
    size_t first, count;            /* the present block of tiles */
    size_t first_channel, channels; /* the present group of input channels */
} weights_job;

/* Rounded so that positions do not fall on the same cache sets. */
static size_t position_step(size_t rows, size_t channels) {
    return fkp_divide_up(rows * channels, 16) * 16 + 16;
}

static weights_job job_of(const fkp_kernels *kernels, const fkp_convolution_weights *run) {
    const fkp_convolution *s = &run->shape;
    weights_job job = {.run = run,
                       .kind = (fkp_winograd_kind)(run->algorithm - FKP_CONVOLUTION_WINOGRAD_2_3)};
    const fkp_winograd_record *record = &kernels->winograd[job.kind];
    job.m = record->tile;
    job.n = record->side;
    job.positions = job.n * job.n;
    job.tile_rows = fkp_divide_up(s->out_height, job.m);
    job.tile_columns = fkp_divide_up(s->out_width, job.m);
    job.tiles = s->batch * job.tile_rows * job.tile_columns;
    size_t groups = fkp_divide_up(job.positions * s->in_channels * s->out_channels, SUM_FLOATS);
    job.group = fkp_divide_up(fkp_divide_up(s->in_channels, groups), 16) * 16;
    job.group = fkp_min_size(job.group, s->in_channels);
    size_t block = BLOCK_FLOATS / (job.positions * (job.group + s->out_channels));
    job.block = fkp_min_size(job.tiles, fkp_max_size(LEAST_TILES, block));
    job.data_step = position_step(job.block, job.group);
    job.spread_step = position_step(job.block, s->out_channels);
    job.sum_step = position_step(job.group, s->out_channels);
    return job;
}

static size_t pointer_floats(const weights_job *job) {
    return fkp_divide_up(job->block * sizeof(const float *), FKP_ALIGNMENT) * (FKP_ALIGNMENT / sizeof(float));
}

size_t fkp_winograd_weights_scratch(const fkp_kernels *kernels, const fkp_convolution_weights *run) {
    weights_job job = job_of(kernels, run);
    return pointer_floats(&job) + job.positions * (job.data_step + job.spread_step + job.sum_step);
}

double fkp_winograd_weights_cost(const fkp_kernels *kernels, const fkp_convolution_weights *run) {
    const fkp_convolution *s = &run->shape;
    weights_job job = job_of(kernels, run);
    double in = (double)s->in_channels, out = (double)s->out_channels, tiles = (double)job.tiles;
    double groups = (double)fkp_divide_up(s->in_channels, job.group);
    double visits = (double)fkp_divide_up(job.tiles, job.block);
    return (double)job.positions *
           (tiles * in * out + tiles * (in + groups * out) * TRANSFORM_COST + in * out * (SUM_COST + visits));
}

/* ---- transforms ---- */

/* The part of [begin, begin + n), counted from `begin`, that lies in the image [padding, padding + size). */
static void clip(size_t begin, size_t n, size_t padding, size_t size, size_t *first, size_t *last) {
    *first = begin < padding ? padding - begin : 0;
    *last = padding + size > begin ? fkp_min_size(n, padding + size - begin) : 0;
}

static void transform_data(const weights_job *job, size_t image, size_t row, size_t column, float *out) {
    const fkp_convolution *s = &job->run->shape;
    const fkp_view *in = &job->run->in;
    fkp_winograd_input input = {.row_stride = s->in_width * in->stride,
                                .pixel_stride = in->stride,
                                .channels = job->channels,
                                .out = out,
                                .out_step = job->data_step};
    clip(row, job->n, s->padding, s->in_height, &input.row_begin, &input.row_end);
    clip(column, job->n, s->padding, s->in_width, &input.column_begin, &input.column_end);
    /* Border tiles begin outside of the image, and their pointer is used from inside on only. */
    ptrdiff_t y = (ptrdiff_t)(image * s->in_height + row) - (ptrdiff_t)s->padding;
    ptrdiff_t pixel = y * (ptrdiff_t)s->in_width + (ptrdiff_t)column - (ptrdiff_t)s->padding;
    input.in = in->data + pixel * (ptrdiff_t)in->stride + job->first_channel;
    job->context->kernels->winograd[job->kind].input(&input);
}

static void transform_gradient(const weights_job *job, size_t image, size_t row, size_t column, float *out) {
    const fkp_convolution *s = &job->run->shape;
    const fkp_view *d = &job->run->d_out;
    size_t pixel = (image * s->out_height + row) * s->out_width + column;
    job->train->winograd[job->kind].spread(
        &(fkp_winograd_spread){.d_out = d->data + pixel * d->stride,
                               .row_stride = s->out_width * d->stride,
                               .pixel_stride = d->stride,
                               .rows = fkp_min_size(job->m, s->out_height - row),
                               .columns = fkp_min_size(job->m, s->out_width - column),
                               .channels = s->out_channels,
                               .out = out,
                               .out_step = job->spread_step});
}

static void transform_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const weights_job *job = argument;
    size_t per_image = job->tile_rows * job->tile_columns;
    size_t end = fkp_min_size(job->count, (index + 1) * TRANSFORM_TILES);
    for (size_t i = index * TRANSFORM_TILES; i < end; i++) {
        size_t image = (job->first + i) / per_image, tile = (job->first + i) % per_image;
        size_t row = tile / job->tile_columns * job->m, column = tile % job->tile_columns * job->m;
        transform_data(job, image, row, column, job->data + i * job->channels);
        transform_gradient(job, image, row, column, job->spread + i * job->run->shape.out_channels);
    }
}

/* ---- products: sums[position][in][out] (+)= data^T gradient ---- */

static void product_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const weights_job *job = argument;
    const fkp_outer_record *record = &job->train->outer;
    size_t outputs = job->run->shape.out_channels, blocks = fkp_divide_up(outputs, PRODUCT_CHANNELS);
    size_t position = index / blocks, first = index % blocks * PRODUCT_CHANNELS;
    size_t last = fkp_min_size(outputs, first + PRODUCT_CHANNELS);
    float *sums = job->sums + position * job->sum_step;
    const size_t step = fkp_even_rows(job->channels, record->rows);
    for (size_t tile = 0; tile < job->count; tile += VISIT_TILES) {
        fkp_outer_tile product = {.pixels = fkp_min_size(VISIT_TILES, job->count - tile),
                                  .a = job->pointers + tile,
                                  .b_stride = outputs,
                                  .c_stride = outputs,
                                  .accumulate = job->first + tile > 0};
        const float *gradient = job->spread + position * job->spread_step + tile * outputs;
        for (size_t column = first; column < last; column += record->columns) {
            product.columns = fkp_min_size(record->columns, last - column);
            product.b = gradient + column;
            for (size_t row = 0; row < job->channels; row += step) {
                product.rows = fkp_min_size(step, job->channels - row);
                product.a_offset = position * job->data_step + row;
                product.c = sums + row * outputs + column;
                record->tile(&product);
            }
        }
    }
}

/* ---- the end: G^T sums G, in PyTorch's layout ---- */

static void gather_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const weights_job *job = argument;
    const fkp_convolution *s = &job->run->shape;
    size_t taps = s->kernel * s->kernel, first = index * GATHER_CHANNELS;
    size_t count = fkp_min_size(GATHER_CHANNELS, s->out_channels - first);
    _Alignas(FKP_ALIGNMENT) float filters[MOST_TAPS * GATHER_CHANNELS];
    fkp_winograd_gather gather = {
        .in_step = job->sum_step, .count = count, .out = filters, .out_step = GATHER_CHANNELS};
    for (size_t i = 0; i < job->channels; i++) {
        gather.in = job->sums + i * s->out_channels + first;
        job->train->winograd[job->kind].gather(&gather);
        float *to = job->run->d_weights + (first * s->in_channels + job->first_channel + i) * taps;
        for (size_t o = 0; o < count; o++, to += s->in_channels * taps)
            for (size_t tap = 0; tap < taps; tap++) {
                float number = filters[tap * GATHER_CHANNELS + o];
                to[tap] = job->run->accumulate ? to[tap] + number : number;
            }
    }
}

void fkp_winograd_weights_run(const fkp_context *context, const fkp_train_kernels *train,
                              const fkp_convolution_weights *run) {
    const fkp_convolution *s = &run->shape;
    weights_job job = job_of(context->kernels, run);
    job.context = context;
    job.train = train;
    job.pointers = (const float **)(void *)context->scratch;
    job.data = context->scratch + pointer_floats(&job);
    job.spread = job.data + job.positions * job.data_step;
    job.sums = job.spread + job.positions * job.spread_step;
    size_t products = job.positions * fkp_divide_up(s->out_channels, PRODUCT_CHANNELS);
    for (; job.first_channel < s->in_channels; job.first_channel += job.group) {
        job.channels = fkp_min_size(job.group, s->in_channels - job.first_channel);
        for (size_t i = 0; i < job.block; i++) job.pointers[i] = job.data + i * job.channels;
        for (job.first = 0; job.first < job.tiles; job.first += job.block) {
            job.count = fkp_min_size(job.block, job.tiles - job.first);
            fkp_parallel(context->pool, fkp_divide_up(job.count, TRANSFORM_TILES), transform_task, &job);
            fkp_parallel(context->pool, products, product_task, &job);
        }
        fkp_parallel(context->pool, fkp_divide_up(s->out_channels, GATHER_CHANNELS), gather_task, &job);
    }
}
