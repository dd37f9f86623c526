/* Winograd's transforms and products against their matrices: whole tiles and clipped ones, whole vectors of
 * channels and ends of them, every number of tiles in a register, every epilogue, with and without pooling.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "kernels/reference/reference.h"

enum { N = FKP_REFERENCE_WINOGRAD_N, POSITIONS = N * N, MAX_CHANNELS = 64 };

/* A transform in two dimensions rounds each number a few times a dimension; factored forms cancel a little
 * more than the matrices show. */
#define ROUNDINGS 24

typedef struct subject {
    trial *check;
    const fkp_winograd_record *record, *reference;
    fkp_reference_transforms transforms;
} subject;

static size_t channels_at(const trial *check, size_t index) {
    size_t lanes = check->kernels.lanes;
    const size_t channels[] = {1, 3, lanes - 1, lanes, lanes + 1, 3 * lanes + 5};
    return index < sizeof channels / sizeof *channels ? channels[index] : SIZE_MAX;
}

/* sum |t[i][k]| x[k][l] |t[j][l]| for magnitudes x. */
static double magnitude(double t[N][N], size_t size, double x[N][N], size_t i, size_t j) {
    double sum = 0;
    for (size_t k = 0; k < size; k++)
        for (size_t l = 0; l < size; l++) sum += fabs(t[i][k]) * x[k][l] * fabs(t[j][l]);
    return sum;
}

/* ---- filters and products ---- */

/* Numbers of V that are no channel's stay poison. */
static guarded data_blocks(trial *check, size_t channels, size_t positions, size_t tiles, size_t step) {
    size_t blocks = (channels + FKP_WINOGRAD_DEPTH - 1) / FKP_WINOGRAD_DEPTH;
    guarded data = block_create(check, blocks * positions * step);
    for (size_t c = 0; c < channels; c++)
        for (size_t k = 0; k < positions * tiles; k++)
            data.data[(c / FKP_WINOGRAD_DEPTH * positions + k / tiles) * step +
                      k % tiles * FKP_WINOGRAD_DEPTH + c % FKP_WINOGRAD_DEPTH] =
                fkp_random_between(&check->random, -1.0f, 1.0f);
    return data;
}

/* Sum over channels of |V| times the magnitude of U, for element f of a tile at a position. */
static double product_magnitude(subject *s, const fkp_winograd_product *p, size_t position, size_t tile,
                                size_t f) {
    size_t r = s->transforms.r, n = s->transforms.n;
    double sum = 0;
    for (size_t c = 0; c < p->channels; c++) {
        const float *one = p->filters + f / p->granule * p->granule * r * r * p->channels + f % p->granule;
        double g[N][N];
        for (size_t y = 0; y < r; y++)
            for (size_t x = 0; x < r; x++) g[y][x] = fabs((double)one[((c * r + y) * r + x) * p->granule]);
        double v = (double)p->data[(c / FKP_WINOGRAD_DEPTH * n * n + position) * p->data_step +
                                   tile * FKP_WINOGRAD_DEPTH + c % FKP_WINOGRAD_DEPTH];
        sum += fabs(v) * magnitude(s->transforms.filter, r, g, position / n, position % n);
    }
    return sum;
}

static void compare_products(subject *s, const fkp_winograd_product *p, const float *expected) {
    trial *check = s->check;
    size_t positions = s->transforms.n * s->transforms.n;
    double units = ROUNDINGS + (double)p->channels;
    for (size_t k = 0; k < positions * p->out_step; k++) {
        size_t position = k / p->out_step, inside = k % p->out_step, tile = inside / p->width;
        if (tile >= p->tiles || !fkp_reference_winograd_wants(p, &s->transforms, position, tile))
            expect(check, is_poison(p->out[k]), "wrote what was not wanted");
        else
            expect_near(check, k, (double)p->out[k], (double)expected[k],
                        units * EPSILON * product_magnitude(s, p, position, tile, inside % p->width));
    }
}

/* Filters transformed on the way and, where `before`, beforehand; the last row and column of results wanted
 * of some tiles. */
static void check_cut_product(subject *s, size_t channels, size_t tiles, size_t width, bool before,
                              fkp_range last_row, fkp_range last_column) {
    trial *check = s->check;
    size_t r = s->transforms.r, n = s->transforms.n, positions = n * n;
    set_label(check, "%s, products, %zu channels, %zu tiles (%zu-%zu, %zu-%zu), %zu filters%s",
              s->record->name, channels, tiles, last_row.begin, last_row.end, last_column.begin,
              last_column.end, width, before ? ", transformed before" : "");
    guarded filters = block_random(check, channels * r * r * width, -1.0f, 1.0f);
    guarded u = block_create(check, channels * positions * width);
    size_t data_step = tiles * FKP_WINOGRAD_DEPTH + 3, out_step = tiles * width + 5;
    guarded data = data_blocks(check, channels, positions, tiles, data_step);
    guarded out = block_create(check, positions * out_step), expected = block_create(check, out.count);
    fkp_winograd_product product = {.filters = filters.data,
                                    .channels = channels,
                                    .tiles = tiles,
                                    .last_row = last_row,
                                    .last_column = last_column,
                                    .width = width,
                                    .granule = check->kernels.gemm.granule,
                                    .data = data.data,
                                    .data_step = data_step,
                                    .out = expected.data,
                                    .out_step = out_step};
    s->reference->multiply(&product);
    product.out = out.data;
    if (before) {
        s->record->transform(&product, u.data);
        product.transformed = u.data;
    }
    s->record->multiply(&product);
    compare_products(s, &product, expected.data);
    block_free(check, &filters);
    block_free(check, &u);
    block_free(check, &data);
    block_free(check, &out);
    block_free(check, &expected);
}

static void check_product(subject *s, size_t channels, size_t tiles, size_t width, bool before) {
    check_cut_product(s, channels, tiles, width, before, (fkp_range){0, tiles}, (fkp_range){0, tiles});
}

/* Tiles in the operator's order, of a block at the beginning, in the middle, and at the end. */
static void check_cut_products(subject *s, size_t channels, size_t width, bool before) {
    check_cut_product(s, channels, 4, width, before, (fkp_range){0, 2}, (fkp_range){1, 3});
    check_cut_product(s, channels, 25, width, before, (fkp_range){0, 15}, (fkp_range){6, 21});
    check_cut_product(s, channels, 5, width, before, (fkp_range){0, 5}, (fkp_range){0, 0});
    check_cut_product(s, channels, 5, width, before, (fkp_range){0, 0}, (fkp_range){0, 2});
}

/* Groups of tiles of every size of the register tile, and more than one of them. */
static void check_products(subject *s) {
    size_t granule = s->check->kernels.gemm.granule, widest = s->check->kernels.winograd_columns;
    for (size_t width = granule; width <= widest; width += granule) {
        for (size_t tiles = 1; tiles <= 13; tiles++) check_product(s, 5, tiles, width, tiles % 2 == 0);
        check_product(s, 4, 4, width, true);
        check_product(s, 2 * FKP_WINOGRAD_DEPTH + 1, 4, width, false);
        check_product(s, FKP_WINOGRAD_DEPTH, 25, width, false);
        check_product(s, FKP_WINOGRAD_DEPTH + 3, 25, width, true);
        check_cut_products(s, 2 * FKP_WINOGRAD_DEPTH + 1, width, false);
        check_cut_products(s, 2 * FKP_WINOGRAD_DEPTH, width, true);
    }
}

/* ---- data ---- */

/* The part of the tile that lies inside of the image. */
typedef struct part {
    size_t row_begin, row_end, column_begin, column_end;
} part;

static bool inside(const part *p, size_t i, size_t j) {
    return i >= p->row_begin && i < p->row_end && j >= p->column_begin && j < p->column_end;
}

static void compare_data(subject *s, const fkp_winograd_input *input, const part *p, const float *out,
                         const float *expected) {
    trial *check = s->check;
    size_t n = s->transforms.n;
    for (size_t c = 0; c < input->channels; c++) {
        double d[N][N];
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                d[i][j] = inside(p, i, j)
                              ? fabs((double)input->in[i * input->row_stride + j * input->pixel_stride + c])
                              : 0;
        for (size_t k = 0; k < n * n; k++) {
            double bound = ROUNDINGS * EPSILON * magnitude(s->transforms.data, n, d, k / n, k % n);
            expect_near(check, k * input->channels + c, (double)out[k * input->out_step + c],
                        (double)expected[k * input->out_step + c], bound);
        }
    }
}

/* The buffer holds the inner part alone, so that a read outside of it is a fault or a NaN. */
static void check_input(subject *s, const part *p, size_t channels) {
    trial *check = s->check;
    size_t n = s->transforms.n, rows = p->row_end - p->row_begin, columns = p->column_end - p->column_begin;
    size_t pixel_stride = channels + 2, row_stride = columns * pixel_stride + 5, out_step = channels + 9;
    set_label(check, "%s, data, rows %zu to %zu, columns %zu to %zu, %zu channels", s->record->name,
              p->row_begin, p->row_end, p->column_begin, p->column_end, channels);
    guarded in =
        block_random(check, (rows - 1) * row_stride + (columns - 1) * pixel_stride + channels, -1.0f, 1.0f);
    guarded out = block_create(check, (n * n - 1) * out_step + channels),
            expected = block_create(check, out.count);
    fkp_winograd_input input = {.in = in.data - p->row_begin * row_stride - p->column_begin * pixel_stride,
                                .row_stride = row_stride,
                                .pixel_stride = pixel_stride,
                                .row_begin = p->row_begin,
                                .row_end = p->row_end,
                                .column_begin = p->column_begin,
                                .column_end = p->column_end,
                                .channels = channels,
                                .out = out.data,
                                .out_step = out_step};
    s->record->input(&input);
    input.out = expected.data;
    s->reference->input(&input);
    compare_data(s, &input, p, out.data, expected.data);
    for (size_t k = 0; k < out.count; k++)
        if (k % out_step >= channels) expect(check, is_poison(out.data[k]), "wrote between the positions");
    block_free(check, &in);
    block_free(check, &out);
    block_free(check, &expected);
}

/* ---- results ---- */

typedef struct ending {
    bool epilogue, bias, residual, pool;
    fkp_activation activation;
} ending;
static const ending endings[] = {
    {false, false, false, false, FKP_ACTIVATION_NONE}, {true, true, false, false, FKP_ACTIVATION_RELU},
    {true, true, true, false, FKP_ACTIVATION_RELU},    {true, false, true, false, FKP_ACTIVATION_GELU},
    {true, true, false, true, FKP_ACTIVATION_ELU},     {true, true, true, true, FKP_ACTIVATION_NONE},
    {false, false, false, true, FKP_ACTIVATION_NONE}};

/* Activations raise an error by a factor of at most 1.13 and add a few units of their own. */
static double result_bound(const subject *s, const fkp_winograd_output *output, size_t row, size_t column,
                           size_t channel) {
    const fkp_reference_transforms *t = &s->transforms;
    double largest = 0, m[N][N], matrix[N][N];
    memcpy(matrix, t->result, sizeof matrix);
    for (size_t k = 0; k < t->n * t->n; k++)
        m[k / t->n][k % t->n] = fabs((double)output->in[k * output->in_step + channel]);
    size_t side = output->pool ? 2 : 1;
    for (size_t k = 0; k < side * side; k++)
        largest = fmax(largest, magnitude(matrix, t->n, m, row * side + k / side, column * side + k % side));
    return 1.13 * ROUNDINGS * EPSILON * (largest + 2);
}

static void compare_results(subject *s, const fkp_winograd_output *output, size_t count,
                            const float *expected) {
    for (size_t k = 0; k < count; k++) {
        size_t row = k / output->row_stride, left = k % output->row_stride;
        size_t column = left / output->pixel_stride, channel = left % output->pixel_stride;
        if (row >= output->rows || column >= output->columns || channel >= output->channels)
            expect(s->check, is_poison(output->out[k]), "wrote results that were not wanted");
        else
            expect_near(s->check, k, (double)output->out[k], (double)expected[k],
                        result_bound(s, output, row, column, channel));
    }
}

static void check_output(subject *s, const ending *end, size_t rows, size_t columns, size_t channels) {
    trial *check = s->check;
    size_t n = s->transforms.n, side = end->pool ? 2 : 1, in_step = channels + 1;
    size_t pixel_stride = channels + 2, row_stride = columns * pixel_stride + 3;
    size_t residual_stride = channels + 4, residual_row_stride = columns * side * residual_stride + 1;
    set_label(check, "%s, results, %zu x %zu%s, %zu channels, activation %d", s->record->name, rows, columns,
              end->pool ? " pooled" : "", channels, (int)end->activation);
    guarded in = block_random(check, (n * n - 1) * in_step + channels, -1.0f, 1.0f);
    guarded bias = block_random(check, channels, -1.0f, 1.0f);
    guarded residual = block_random(
        check, (rows * side - 1) * residual_row_stride + (columns * side - 1) * residual_stride + channels,
        -1.0f, 1.0f);
    guarded out = block_create(check, (rows - 1) * row_stride + (columns - 1) * pixel_stride + channels);
    guarded expected = block_create(check, out.count);
    fkp_epilogue epilogue = {end->bias ? bias.data : NULL, end->residual ? residual.data : NULL,
                             residual_stride, end->activation};
    fkp_winograd_output output = {.in = in.data,
                                  .in_step = in_step,
                                  .out = out.data,
                                  .row_stride = row_stride,
                                  .pixel_stride = pixel_stride,
                                  .rows = rows,
                                  .columns = columns,
                                  .channels = channels,
                                  .epilogue = end->epilogue ? &epilogue : NULL,
                                  .residual_row_stride = residual_row_stride,
                                  .pool = end->pool};
    s->record->output(&output);
    output.out = expected.data;
    s->reference->output(&output);
    output.out = out.data;
    compare_results(s, &output, out.count, expected.data);
    block_free(check, &in);
    block_free(check, &bias);
    block_free(check, &residual);
    block_free(check, &out);
    block_free(check, &expected);
}

/* ---- all of it ---- */

static void check_channels(subject *s, size_t channels) {
    size_t n = s->transforms.n, m = s->transforms.m;
    const part parts[] = {{0, n, 0, n}, {1, n, 1, n}, {0, n - 1, 0, n - 2}, {1, 2, 0, n}, {0, n, n - 1, n}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) check_input(s, &parts[i], channels);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t side = endings[i].pool ? m / 2 : m;
        check_output(s, &endings[i], side, side, channels);
        check_output(s, &endings[i], side, 1, channels);
        check_output(s, &endings[i], 1, side, channels);
    }
}

void check_winograd(trial *check) {
    for (int kind = 0; kind < FKP_WINOGRAD_COUNT; kind++) {
        subject s = {check, &check->kernels.winograd[kind], &check->reference.winograd[kind], {0}};
        fkp_reference_winograd((fkp_winograd_kind)kind, &s.transforms);
        set_label(check, "%s", s.record->name);
        expect(check,
               s.record->tile == s.transforms.m && s.record->kernel == s.transforms.r &&
                   s.record->stride == s.transforms.s && s.record->side == s.transforms.n,
               "another tile than the reference's");
        check_products(&s);
        for (size_t i = 0; channels_at(check, i) != SIZE_MAX; i++) check_channels(&s, channels_at(check, i));
    }
}

/* ---- time ---- */

typedef struct timed {
    const fkp_winograd_record *record;
    fkp_winograd_product product;
    fkp_winograd_input input;
    fkp_winograd_output output;
    float *transformed;
} timed;
static void run_transform(void *argument) {
    const timed *t = argument;
    t->record->transform(&t->product, t->transformed);
}
static void run_multiply(void *argument) {
    const timed *t = argument;
    t->record->multiply(&t->product);
}
static void run_input(void *argument) {
    const timed *t = argument;
    t->record->input(&t->input);
}
static void run_output(void *argument) {
    const timed *t = argument;
    t->record->output(&t->output);
}

/* A panel of filters of BENCH_CHANNELS channels: U alone, and products with few and with many tiles. */
static void bench_products(trial *check, const fkp_winograd_record *record) {
    enum { BENCH_CHANNELS = 128, MANY = 24 };
    static const size_t tiles[] = {4, 16, MANY};
    size_t n = record->side, positions = n * n, width = check->kernels.winograd_columns;
    size_t taps = record->kernel * record->kernel;
    guarded filters = block_random(check, BENCH_CHANNELS * taps * width, -1.0f, 1.0f);
    guarded u = block_create(check, BENCH_CHANNELS * positions * width);
    guarded data = block_random(check, BENCH_CHANNELS * positions * MANY, -1.0f, 1.0f);
    guarded out = block_create(check, positions * MANY * width);
    timed t = {.record = record,
               .product = {.filters = filters.data,
                           .channels = BENCH_CHANNELS,
                           .width = width,
                           .granule = check->kernels.gemm.granule,
                           .data = data.data,
                           .data_step = MANY * FKP_WINOGRAD_DEPTH,
                           .out = out.data,
                           .out_step = MANY * width},
               .transformed = u.data};
    char what[96];
    snprintf(what, sizeof what, "%s, filters", record->name);
    report_bandwidth(check, what, 4.0 * (double)u.count, seconds_of(run_transform, &t));
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        t.product.tiles = tiles[i];
        t.product.last_row = t.product.last_column = (fkp_range){0, tiles[i]};
        snprintf(what, sizeof what, "%s, filters and products, %zu tiles", record->name, tiles[i]);
        report_gflops(check, what, 2.0 * BENCH_CHANNELS * (double)(positions * tiles[i] * width),
                      seconds_of(run_multiply, &t));
    }
    block_free(check, &filters);
    block_free(check, &u);
    block_free(check, &data);
    block_free(check, &out);
}

void bench_winograd(trial *check) {
    enum { STEP = MAX_CHANNELS + 16 };
    guarded pixels = block_random(check, POSITIONS * MAX_CHANNELS, -1.0f, 1.0f);
    guarded positions = block_random(check, POSITIONS * STEP, -1.0f, 1.0f);
    fkp_epilogue epilogue = {.activation = FKP_ACTIVATION_RELU};
    for (int kind = 0; kind < FKP_WINOGRAD_COUNT; kind++) {
        const fkp_winograd_record *record = &check->kernels.winograd[kind];
        bench_products(check, record);
        size_t n = record->side, row = N * MAX_CHANNELS;
        timed t = {.record = record,
                   .input = {.in = pixels.data,
                             .row_stride = row,
                             .pixel_stride = MAX_CHANNELS,
                             .row_end = n,
                             .column_end = n,
                             .channels = MAX_CHANNELS,
                             .out = positions.data,
                             .out_step = STEP},
                   .output = {positions.data, STEP, pixels.data, row, MAX_CHANNELS, record->tile,
                              record->tile, MAX_CHANNELS, &epilogue, 0, false}};
        double bytes = 4.0 * MAX_CHANNELS * (double)(n * n);
        char what[64];
        snprintf(what, sizeof what, "%s, data", record->name);
        report_bandwidth(check, what, bytes, seconds_of(run_input, &t));
        snprintf(what, sizeof what, "%s, results", record->name);
        report_bandwidth(check, what, bytes, seconds_of(run_output, &t));
    }
    block_free(check, &pixels);
    block_free(check, &positions);
}
