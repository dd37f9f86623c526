/* Every operator but the convolutions, on every instruction set, against plain loops in double; the same bits
 * with 1, 2 and 3 threads; nothing written between rows or beyond the scratch memory that was asked for. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "kernels/reference/reference.h"
#include "operators/operators.h"

#define EPSILON 0x1p-24
#define CANARY 12345.0f
enum { CANARIES = 32, MAX_BUFFERS = 16 };

/* What a test needs, freed together. */
typedef struct bench {
    fkp_kernels kernels;
    fkp_memory memory;
    struct {
        float *data;
        size_t count;
    } buffers[MAX_BUFFERS];
    size_t used;
} bench;

static bool bench_begin(bench *b, int isa) {
    *b = (bench){.memory = fkp_memory_from(NULL)};
    fkp_kernels_select((fkp_isa)isa, &b->kernels);
    if ((int)b->kernels.isa == isa) return true;
    printf("skipped: no %s here\n", fkp_isa_name((fkp_isa)isa));
    return false;
}

static float *buffer(bench *b, size_t count) {
    ck_assert_uint_lt(b->used, MAX_BUFFERS);
    float *data = fkp_allocate(&b->memory, count, sizeof *data);
    ck_assert_ptr_nonnull(data);
    b->buffers[b->used].data = data;
    b->buffers[b->used++].count = count;
    return data;
}

static float *random_buffer(bench *b, size_t count) {
    float *data = buffer(b, count);
    fkp_random random = fkp_random_stream(7, count, b->used);
    for (size_t i = 0; i < count; i++) data[i] = fkp_random_between(&random, -1.0f, 1.0f);
    return data;
}

static void bench_end(bench *b) {
    for (size_t i = 0; i < b->used; i++)
        fkp_release(&b->memory, b->buffers[i].data, b->buffers[i].count, sizeof(float));
}

static void fill(float *data, size_t count, float value) {
    for (size_t i = 0; i < count; i++) data[i] = value;
}

/* An operator's arguments, how it is run with its output in a given place, and its scratch memory. */
typedef struct operation {
    const void *arguments;
    void (*run)(const fkp_context *context, const void *arguments, float *out);
    size_t (*scratch)(const fkp_kernels *kernels, const void *arguments, size_t threads);
} operation;

static void run_with(bench *b, const operation *o, int32_t threads, float *out) {
    fkp_pool *pool;
    ck_assert_int_eq(fkp_pool_create(&b->memory, threads, NULL, NULL, &pool, NULL), FACEKP_OK);
    size_t floats = o->scratch == NULL ? 0 : o->scratch(&b->kernels, o->arguments, (size_t)threads);
    float *scratch = fkp_allocate(&b->memory, floats + CANARIES, sizeof *scratch);
    ck_assert_ptr_nonnull(scratch);
    fill(scratch, floats, NAN);
    fill(scratch + floats, CANARIES, CANARY);
    fkp_context context = {.kernels = &b->kernels, .pool = pool, .scratch = scratch};
    o->run(&context, o->arguments, out);
    for (size_t i = 0; i < CANARIES; i++) ck_assert_float_eq(scratch[floats + i], CANARY);
    fkp_release(&b->memory, scratch, floats + CANARIES, sizeof *scratch);
    fkp_pool_free(pool);
}

/* Rows of `channels` numbers in `stride`, `initial` in every place (NULL: canaries). The same bits on every
 * number of threads, wherever in a line of the cache the output begins. */
static float *run_everywhere(bench *b, const operation *o, size_t rows, size_t channels, size_t stride,
                             const float *initial) {
    size_t count = rows * stride;
    float *first = buffer(b, count), *again = buffer(b, count + 3);
    for (int32_t threads = 1; threads <= 3; threads++) {
        float *out = threads == 1 ? first : again + threads;
        fill(out, count, CANARY);
        if (initial != NULL) memcpy(out, initial, count * sizeof *out);
        run_with(b, o, threads, out);
        ck_assert_mem_eq(first, out, count * sizeof *out);
    }
    for (size_t i = 0; initial == NULL && i < count; i++)
        if (i % stride >= channels) ck_assert_float_eq(first[i], CANARY);
    return first;
}

static void check_near(float got, double expected, double bound, size_t place) {
    ck_assert_msg(fabs((double)got - expected) <= bound, "at %zu: %.9g, expected %.9g within %.3g", place,
                  (double)got, expected, bound);
}

/* ---- matrix product ---- */

static void run_gemm(const fkp_context *context, const void *arguments, float *out) {
    fkp_gemm gemm = *(const fkp_gemm *)arguments;
    gemm.out = out;
    fkp_gemm_run(context, &gemm);
}
static size_t gemm_scratch(const fkp_kernels *kernels, const void *arguments, size_t threads) {
    return fkp_gemm_scratch(kernels, arguments, threads);
}

/* weights: as a linear layer has them, columns x depth, if `turned`; else depth x columns. */
static void check_product(int isa, size_t rows, size_t depth, size_t columns, bool turned, bool accumulate) {
    bench b;
    if (!bench_begin(&b, isa)) return;
    size_t in_stride = depth + 3, out_stride = columns + 2;
    size_t depth_stride = turned ? 1 : columns, column_stride = turned ? depth : 1;
    const float *in = random_buffer(&b, rows * in_stride), *weights = random_buffer(&b, depth * columns);
    const float *scale = random_buffer(&b, columns), *bias = random_buffer(&b, columns);
    const float *residual = random_buffer(&b, rows * (columns + 1));
    const float *initial = accumulate ? random_buffer(&b, rows * out_stride) : NULL;
    float *packed = buffer(&b, fkp_gemm_packed_floats(&b.kernels, depth, columns));
    fkp_gemm_pack(&b.kernels, depth, columns, weights, depth_stride, column_stride, scale, packed);
    fkp_gemm gemm = {.rows = rows,
                     .depth = depth,
                     .columns = columns,
                     .in = in,
                     .in_stride = in_stride,
                     .packed = packed,
                     .out_stride = out_stride,
                     .epilogue = {bias, residual, columns + 1, FKP_ACTIVATION_ELU},
                     .accumulate = accumulate};
    operation o = {&gemm, run_gemm, gemm_scratch};
    const float *out = run_everywhere(&b, &o, rows, columns, out_stride, initial);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j++) {
            double sum = accumulate ? (double)initial[r * out_stride + j] : 0, magnitude = 3;
            for (size_t k = 0; k < depth; k++) {
                double product = (double)in[r * in_stride + k] *
                                 (double)weights[k * depth_stride + j * column_stride] * (double)scale[j];
                sum += product;
                magnitude += fabs(product);
            }
            sum += (double)bias[j] + (double)residual[r * (columns + 1) + j];
            check_near(out[r * out_stride + j], fkp_reference_activation(sum, FKP_ACTIVATION_ELU),
                       (double)(depth + 8) * EPSILON * magnitude, r * columns + j);
        }
    bench_end(&b);
}

START_TEST(multiplies) {
    const size_t shapes[][3] = {{1, 1, 1},     {1, 300, 130},  {7, 13, 5},    {13, 64, 64}, {97, 31, 70},
                                {5, 2500, 33}, {20, 1100, 17}, {193, 8, 129}, {1, 40, 590}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int kind = 0; kind < 4; kind++)
            check_product(_i, shapes[i][0], shapes[i][1], shapes[i][2], kind % 2 == 1, kind / 2 == 1);
}
END_TEST

/* Rows that are normalised on the way give what rows give that were normalised before. */
static void check_normalised_product(int isa, size_t rows, size_t depth, size_t columns) {
    bench b;
    if (!bench_begin(&b, isa)) return;
    const size_t in_stride = depth + 3;
    const float *in = random_buffer(&b, rows * in_stride), *weights = random_buffer(&b, depth * columns);
    const fkp_layer_norm norm = {
        .weight = random_buffer(&b, depth), .bias = random_buffer(&b, depth), .epsilon = 1e-6f};
    float *packed = buffer(&b, fkp_gemm_packed_floats(&b.kernels, depth, columns));
    float *normalised = buffer(&b, rows * depth);
    fkp_gemm_pack(&b.kernels, depth, columns, weights, columns, 1, NULL, packed);
    for (size_t r = 0; r < rows; r++)
        b.kernels.layer_norm(in + r * in_stride, norm.weight, norm.bias, norm.epsilon, normalised + r * depth,
                             depth);
    fkp_gemm gemm = {.rows = rows,
                     .depth = depth,
                     .columns = columns,
                     .in = normalised,
                     .in_stride = depth,
                     .packed = packed,
                     .out_stride = columns + 1};
    operation o = {&gemm, run_gemm, gemm_scratch};
    const float *expected = run_everywhere(&b, &o, rows, columns, columns + 1, NULL);
    gemm.in = in;
    gemm.in_stride = in_stride;
    gemm.norm = norm;
    const float *out = run_everywhere(&b, &o, rows, columns, columns + 1, NULL);
    ck_assert_mem_eq(out, expected, rows * (columns + 1) * sizeof *out);
    bench_end(&b);
}

START_TEST(normalises_rows_on_the_way_into_a_product) {
    check_normalised_product(_i, 1, 7, 3);
    check_normalised_product(_i, 1, 40, 590);
    check_normalised_product(_i, 5, 2500, 33);
    check_normalised_product(_i, 97, 31, 70);
    check_normalised_product(_i, 197, 384, 129);
    check_normalised_product(_i, 1500, 16, 70);
}
END_TEST

/* ---- transposed convolution ---- */

static void run_upsampling(const fkp_context *context, const void *arguments, float *out) {
    fkp_upsampling up = *(const fkp_upsampling *)arguments;
    up.out = out;
    fkp_upsampling_run(context, &up);
}
static size_t upsampling_scratch(const fkp_kernels *kernels, const void *arguments, size_t threads) {
    return fkp_upsampling_scratch(kernels, arguments, threads);
}

static void check_upsampling(int isa, bool split, size_t batch, size_t height, size_t width, size_t ins,
                             size_t outs) {
    bench b;
    if (!bench_begin(&b, isa)) return;
    b.kernels.split.speed = split ? 1.0 : 0.0;
    const float *in = random_buffer(&b, batch * height * width * (ins + 1));
    const float *weights = random_buffer(&b, ins * outs * 4), *bias = random_buffer(&b, outs);
    float *packed = buffer(&b, fkp_upsampling_packed_floats(&b.kernels, ins, outs));
    /* In two pieces, where there are so many channels. */
    const size_t piece = ins < FKP_SPLIT_DEPTH ? ins : FKP_SPLIT_DEPTH;
    fkp_upsampling_pack(&b.kernels, ins, outs, (fkp_range){0, piece}, weights, packed);
    fkp_upsampling_pack(&b.kernels, ins, outs, (fkp_range){piece, ins}, weights + piece * outs * 4, packed);
    fkp_upsampling up = {.batch = batch,
                         .in_height = height,
                         .in_width = width,
                         .in_channels = ins,
                         .out_channels = outs,
                         .in = in,
                         .in_stride = ins + 1,
                         .packed = packed,
                         .out_stride = 2 * outs,
                         .epilogue = {bias, NULL, 0, FKP_ACTIVATION_RELU}};
    operation o = {&up, run_upsampling, upsampling_scratch};
    const float *out = run_everywhere(&b, &o, batch * height * width * 4, outs, 2 * outs, NULL);
    for (size_t pixel = 0; pixel < batch * height * width * 4; pixel++)
        for (size_t j = 0; j < outs; j++) {
            size_t row = pixel / (2 * width), x = pixel % (2 * width); /* row of all images */
            double sum = (double)bias[j], magnitude = 2;
            for (size_t i = 0; i < ins; i++) {
                double product = (double)in[(row / 2 * width + x / 2) * (ins + 1) + i] *
                                 (double)weights[(i * outs + j) * 4 + row % 2 * 2 + x % 2];
                sum += product;
                magnitude += fabs(product);
            }
            check_near(out[pixel * 2 * outs + j], sum > 0 ? sum : 0,
                       (split ? 512.0 : (double)ins + 4.0) * EPSILON * magnitude, pixel);
        }
    bench_end(&b);
}

START_TEST(upsamples) {
    check_upsampling(_i, false, 1, 1, 1, 1, 1);
    check_upsampling(_i, false, 2, 5, 7, 9, 11);
    check_upsampling(_i, false, 1, 3, 100, 40, 70);
}
END_TEST

START_TEST(upsamples_with_split_products) {
    check_upsampling(_i, true, 2, 5, 7, 37, 49);
    check_upsampling(_i, true, 1, 19, 100, 32, 70);
}
END_TEST

/* ---- pooling ---- */

static void run_max_pooling(const fkp_context *context, const void *arguments, float *out) {
    fkp_pooling pooling = *(const fkp_pooling *)arguments;
    pooling.out = out;
    fkp_max_pooling_run(context, &pooling);
}
static void run_average_pooling(const fkp_context *context, const void *arguments, float *out) {
    fkp_pooling pooling = *(const fkp_pooling *)arguments;
    pooling.out = out;
    fkp_average_pooling_run(context, &pooling);
}

static float largest_in_window(const fkp_pooling *p, size_t image, size_t row, size_t column, size_t c) {
    float largest = -INFINITY;
    for (size_t i = 0; i < p->kernel * p->kernel; i++) {
        size_t y = row * p->stride + i / p->kernel, x = column * p->stride + i % p->kernel;
        if (y < p->padding || x < p->padding || y - p->padding >= p->in_height ||
            x - p->padding >= p->in_width)
            continue;
        size_t pixel = (image * p->in_height + y - p->padding) * p->in_width + x - p->padding;
        largest = fmaxf(largest, p->in[pixel * p->in_stride + c]);
    }
    return largest;
}

static void check_pooling(int isa, size_t height, size_t width, size_t channels, size_t kernel, size_t stride,
                          size_t padding) {
    bench b;
    if (!bench_begin(&b, isa)) return;
    const size_t batch = 2, in_stride = channels + 5, out_stride = channels + 1;
    fkp_pooling p = {.batch = batch,
                     .in_height = height,
                     .in_width = width,
                     .channels = channels,
                     .out_height = (height + 2 * padding - kernel) / stride + 1,
                     .out_width = (width + 2 * padding - kernel) / stride + 1,
                     .kernel = kernel,
                     .stride = stride,
                     .padding = padding,
                     .in = random_buffer(&b, batch * height * width * in_stride),
                     .in_stride = in_stride,
                     .out_stride = out_stride};
    operation o = {&p, run_max_pooling, NULL};
    size_t pixels = p.out_height * p.out_width;
    const float *out = run_everywhere(&b, &o, batch * pixels, channels, out_stride, NULL);
    for (size_t i = 0; i < batch * pixels; i++)
        for (size_t c = 0; c < channels; c++)
            ck_assert_float_eq(
                out[i * out_stride + c],
                largest_in_window(&p, i / pixels, i % pixels / p.out_width, i % pixels % p.out_width, c));

    o.run = run_average_pooling;
    out = run_everywhere(&b, &o, batch, channels, out_stride, NULL);
    for (size_t image = 0; image < batch; image++)
        for (size_t c = 0; c < channels; c++) {
            double sum = 0;
            size_t count = height * width;
            for (size_t i = 0; i < count; i++) sum += (double)p.in[(image * count + i) * in_stride + c];
            check_near(out[image * out_stride + c], sum / (double)count, (double)count * EPSILON, c);
        }
    bench_end(&b);
}

START_TEST(pools) {
    check_pooling(_i, 2, 2, 1, 2, 2, 0);
    check_pooling(_i, 11, 9, 7, 2, 2, 0);
    check_pooling(_i, 13, 12, 33, 3, 2, 1);
}
END_TEST

/* ---- rows ---- */

typedef struct row_operation {
    fkp_rows rows;
    const float *a, *b;
    float *sum; /* rows of channels + 1 */
} row_operation;

/* An operator's arguments with the output in its place. */
static fkp_rows rows_into(const void *arguments, float *out) {
    fkp_rows rows = ((const row_operation *)arguments)->rows;
    rows.out = out;
    return rows;
}
static void run_activate(const fkp_context *context, const void *arguments, float *out) {
    fkp_rows rows = rows_into(arguments, out);
    fkp_activate_run(context, &rows, FKP_ACTIVATION_RELU);
}
static void run_scale_shift(const fkp_context *context, const void *arguments, float *out) {
    const row_operation *r = arguments;
    fkp_rows rows = rows_into(arguments, out);
    fkp_scale_shift_run(context, &rows, r->a, r->b, FKP_ACTIVATION_NONE);
}
static void run_add(const fkp_context *context, const void *arguments, float *out) {
    const row_operation *r = arguments;
    fkp_rows rows = rows_into(arguments, out);
    fkp_add_run(context, &rows, r->a, r->rows.channels + 7, FKP_ACTIVATION_RELU);
}
static void run_copy(const fkp_context *context, const void *arguments, float *out) {
    fkp_rows rows = rows_into(arguments, out);
    fkp_copy_run(context, &rows);
}
static void run_layer_norm(const fkp_context *context, const void *arguments, float *out) {
    const row_operation *r = arguments;
    fkp_rows rows = rows_into(arguments, out);
    fkp_layer_norm_run(context, &rows, &(fkp_layer_norm){.weight = r->a, .bias = r->b, .epsilon = 1e-6f});
}

/* Rows of `a`, which is the weights too, are added; they lie where the result will. */
static void run_sum_layer_norm(const fkp_context *context, const void *arguments, float *out) {
    const row_operation *r = arguments;
    const fkp_rows rows = rows_into(arguments, out);
    fkp_rows before = rows;
    before.in = r->a;
    before.in_stride = rows.channels + 7;
    fkp_copy_run(context, &before);
    fkp_layer_norm_run(context, &rows,
                       &(fkp_layer_norm){.weight = r->a,
                                         .bias = r->b,
                                         .epsilon = 1e-6f,
                                         .addend = out,
                                         .addend_stride = rows.out_stride,
                                         .sum = r->sum,
                                         .sum_stride = rows.channels + 1});
}

/* What each of the first four should leave for number c of row i. */
static double expected_of(int kind, const row_operation *r, size_t i, size_t c) {
    double x = (double)r->rows.in[i * r->rows.in_stride + c];
    if (kind == 0) return fmax(x, 0);
    if (kind == 1) return x * (double)r->a[c] + (double)r->b[c];
    if (kind == 2) return fmax(x + (double)r->a[i * (r->rows.channels + 7) + c], 0);
    return x;
}

static void check_layer_norm_row(const row_operation *r, const float *row, const float *out) {
    size_t n = r->rows.channels;
    double mean = 0, variance = 0;
    for (size_t c = 0; c < n; c++) mean += (double)row[c] / (double)n;
    for (size_t c = 0; c < n; c++) variance += pow((double)row[c] - mean, 2) / (double)n;
    for (size_t c = 0; c < n; c++) {
        double x = ((double)row[c] - mean) / sqrt(variance + 1e-6);
        check_near(out[c], x * (double)r->a[c] + (double)r->b[c],
                   ((double)n + 8) * EPSILON * (fabs(x) + 4 / sqrt(variance + 1e-6)), c);
    }
}

static void check_sum(const row_operation *r) {
    for (size_t i = 0; i < r->rows.rows; i++)
        for (size_t c = 0; c < r->rows.channels; c++)
            ck_assert_float_eq(r->sum[i * (r->rows.channels + 1) + c],
                               r->rows.in[i * r->rows.in_stride + c] + r->a[i * (r->rows.channels + 7) + c]);
}

static void check_rows(int isa, size_t rows, size_t channels) {
    static void (*const runs[])(const fkp_context *, const void *, float *) = {
        run_activate, run_scale_shift, run_add, run_copy, run_layer_norm, run_sum_layer_norm};
    bench b;
    if (!bench_begin(&b, isa)) return;
    size_t in_stride = channels + 4, out_stride = channels + 3;
    row_operation r = {
        .rows = {.rows = rows, .channels = channels, .in_stride = in_stride, .out_stride = out_stride},
        .a = random_buffer(&b, (rows + 1) * (channels + 7)),
        .b = random_buffer(&b, channels),
        .sum = random_buffer(&b, rows * (channels + 1))};
    r.rows.in = random_buffer(&b, rows * in_stride);
    for (int kind = 0; kind < 6; kind++) {
        operation o = {&r, runs[kind], NULL};
        const float *out = run_everywhere(&b, &o, rows, channels, out_stride, NULL);
        if (kind == 5) check_sum(&r);
        for (size_t i = 0; i < rows; i++) {
            if (kind == 5) check_layer_norm_row(&r, r.sum + i * (channels + 1), out + i * out_stride);
            if (kind == 4) check_layer_norm_row(&r, r.rows.in + i * in_stride, out + i * out_stride);
            for (size_t c = 0; kind < 4 && c < channels; c++)
                check_near(out[i * out_stride + c], expected_of(kind, &r, i, c), 4 * EPSILON, i);
        }
    }
    bench_end(&b);
}

START_TEST(works_on_rows) {
    check_rows(_i, 0, 3);
    check_rows(_i, 1, 1);
    check_rows(_i, 130, 67);
    check_rows(_i, 65, 384);
}
END_TEST

/* ---- planes ---- */

typedef struct planes {
    size_t batch, channels, pixels, stride;
    const float *in;
} planes;

static void run_from_planes(const fkp_context *context, const void *arguments, float *out) {
    const planes *p = arguments;
    fkp_from_planes_run(context, p->batch, p->channels, p->pixels, p->in, out, p->stride);
}
static void run_to_planes(const fkp_context *context, const void *arguments, float *out) {
    const planes *p = arguments;
    fkp_to_planes_run(context, p->batch, p->channels, p->pixels, p->in, p->stride, out);
}

/* There, and back again. */
static void check_planes(int isa, size_t batch, size_t channels, size_t pixels) {
    bench b;
    if (!bench_begin(&b, isa)) return;
    planes p = {batch, channels, pixels, channels + 2, random_buffer(&b, batch * channels * pixels)};
    const float *original = p.in;
    operation o = {&p, run_from_planes, NULL};
    const float *out = run_everywhere(&b, &o, batch * pixels, channels, p.stride, NULL);
    for (size_t i = 0; i < batch * pixels; i++)
        for (size_t c = 0; c < channels; c++)
            ck_assert_float_eq(out[i * p.stride + c],
                               original[(i / pixels * channels + c) * pixels + i % pixels]);
    p.in = out;
    o.run = run_to_planes;
    const float *back = run_everywhere(&b, &o, batch * channels, pixels, pixels, NULL);
    ck_assert_mem_eq(back, original, batch * channels * pixels * sizeof *back);
    bench_end(&b);
}

START_TEST(changes_layout) {
    check_planes(_i, 1, 1, 1);
    check_planes(_i, 2, 3, 600);
    check_planes(_i, 1, 68, 259);
    check_planes(_i, 3, 17, 5);
}
END_TEST

/* A product and where its planes go; depths of one block, so that sums are of one order. */
typedef struct to_planes {
    fkp_gemm gemm;
    size_t pixels;
} to_planes;
static void run_product_to_planes(const fkp_context *context, const void *arguments, float *out) {
    to_planes p = *(const to_planes *)arguments;
    p.gemm.out = out;
    fkp_gemm_to_planes_run(context, &p.gemm, p.pixels);
}
static size_t product_to_planes_scratch(const fkp_kernels *kernels, const void *arguments, size_t threads) {
    return fkp_gemm_to_planes_scratch(kernels, &((const to_planes *)arguments)->gemm, threads);
}

/* The same as the product whose layout is changed afterwards; products of split numbers, whose sums are not
 * larger than the depth, nearly. */
static void check_product_to_planes(int isa, size_t batch, size_t pixels, size_t depth, size_t columns,
                                    bool bias, fkp_activation activation) {
    bench b;
    if (!bench_begin(&b, isa)) return;
    size_t rows = batch * pixels;
    const float *weights = random_buffer(&b, depth * columns);
    float *packed = buffer(&b, fkp_gemm_packed_floats(&b.kernels, depth, columns));
    fkp_gemm_pack(&b.kernels, depth, columns, weights, columns, 1, NULL, packed);
    to_planes p = {
        .gemm = {.rows = rows,
                 .depth = depth,
                 .columns = columns,
                 .in = random_buffer(&b, rows * (depth + 3)),
                 .in_stride = depth + 3,
                 .packed = packed,
                 .out_stride = columns,
                 .epilogue = {.bias = bias ? random_buffer(&b, columns) : NULL, .activation = activation}},
        .pixels = pixels};
    operation product = {&p.gemm, run_gemm, gemm_scratch};
    const float *expected = run_everywhere(&b, &product, rows, columns, columns, NULL);
    operation o = {&p, run_product_to_planes, product_to_planes_scratch};
    const float *out = run_everywhere(&b, &o, batch * columns, pixels, pixels, NULL);
    const bool split = b.kernels.split.speed > 0.0 && columns >= FKP_SPLIT_TILE;
    const float bound = split ? 0x1p-15f * (float)depth : 0.0f;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            ck_assert(fabsf(out[(i / pixels * columns + j) * pixels + i % pixels] -
                            expected[i * columns + j]) <= bound);
    bench_end(&b);
}

START_TEST(multiplies_to_planes) {
    check_product_to_planes(_i, 1, 1, 1, 1, false, FKP_ACTIVATION_NONE);
    check_product_to_planes(_i, 2, 263, 32, 68, true, FKP_ACTIVATION_NONE);
    check_product_to_planes(_i, 3, 65, 7, 13, true, FKP_ACTIVATION_RELU);
    check_product_to_planes(_i, 1, 600, 40, 5, false, FKP_ACTIVATION_ELU);
    check_product_to_planes(_i, 2, 1030, 70, 33, true, FKP_ACTIVATION_ELU);
}
END_TEST

/* ---- attention ---- */

static void run_attention(const fkp_context *context, const void *arguments, float *out) {
    fkp_attention attention = *(const fkp_attention *)arguments;
    attention.out = out;
    fkp_attention_run(context, &attention);
}
static size_t attention_scratch(const fkp_kernels *kernels, const void *arguments, size_t threads) {
    return fkp_attention_scratch(kernels, arguments, threads);
}

/* Weights of one query over `tokens` keys that lie `stride` apart. */
static void softmax_of(const float *query, const float *keys, size_t tokens, size_t stride, size_t channels,
                       double *weights) {
    double largest = -INFINITY, sum = 0;
    for (size_t t = 0; t < tokens; t++) {
        weights[t] = 0;
        for (size_t c = 0; c < channels; c++)
            weights[t] += (double)query[c] * (double)keys[t * stride + c] / sqrt((double)channels);
        largest = fmax(largest, weights[t]);
    }
    for (size_t t = 0; t < tokens; t++) sum += weights[t] = exp(weights[t] - largest);
    for (size_t t = 0; t < tokens; t++) weights[t] /= sum;
}

/* Scores of numbers up to 1 are at most sqrt(channels) and rounded `channels` times, which is the relative
 * error of a weight; weights add up to 1, and so values up to 1 are off by that and by the second sum. */
static double attention_bound(size_t tokens, size_t channels) {
    return EPSILON * (2 * ((double)channels + 4) * sqrt((double)channels) + 2 * (double)tokens + 16);
}

static void check_attention(int isa, bool split, size_t batch, size_t tokens, size_t heads, size_t channels) {
    bench b;
    if (!bench_begin(&b, isa)) return;
    if (split) b.kernels.split.speed = 1.0;
    size_t row = heads * channels, qkv_stride = 3 * row + 1, out_stride = row + 2;
    const float *qkv = random_buffer(&b, batch * tokens * qkv_stride);
    fkp_attention attention = {batch, tokens, heads, channels, qkv, qkv_stride, NULL, out_stride};
    operation o = {&attention, run_attention, attention_scratch};
    const float *out = run_everywhere(&b, &o, batch * tokens, row, out_stride, NULL);
    double weights[256];
    for (size_t i = 0; i < batch * tokens; i++)
        for (size_t h = 0; h < heads; h++) {
            const float *image = qkv + i / tokens * tokens * qkv_stride + h * channels;
            softmax_of(qkv + i * qkv_stride + h * channels, image + row, tokens, qkv_stride, channels,
                       weights);
            for (size_t c = 0; c < channels; c++) {
                double sum = 0;
                for (size_t t = 0; t < tokens; t++)
                    sum += weights[t] * (double)image[2 * row + t * qkv_stride + c];
                check_near(out[i * out_stride + h * channels + c], sum, attention_bound(tokens, channels), i);
            }
        }
    bench_end(&b);
}

START_TEST(attends) {
    check_attention(_i, false, 1, 1, 1, 1);
    check_attention(_i, false, 2, 13, 3, 7);
    check_attention(_i, false, 1, 197, 2, 64);
}
END_TEST

/* As where they are fast, also by the reference. */
START_TEST(attends_with_split_products) {
    check_attention(_i, true, 2, 33, 2, 17);
    check_attention(_i, true, 1, 113, 1, 50);
}
END_TEST

static void run_query_attention(const fkp_context *context, const void *arguments, float *out) {
    fkp_query_attention attention = *(const fkp_query_attention *)arguments;
    attention.out = out;
    fkp_query_attention_run(context, &attention);
}
static size_t query_scratch(const fkp_kernels *kernels, const void *arguments, size_t threads) {
    return fkp_query_attention_scratch(kernels, arguments, threads);
}

typedef struct query_sizes {
    size_t batch, tokens, first, channels, count;
} query_sizes;

/* Queries are random numbers up to `largest`. */
static void check_query_attention(int isa, bool split, query_sizes sizes, float largest) {
    bench b;
    if (!bench_begin(&b, isa)) return;
    if (split) b.kernels.split.speed = 1.0;
    const size_t batch = sizes.batch, tokens = sizes.tokens, first = sizes.first, channels = sizes.channels,
                 count = sizes.count, stride = channels + 3, used = tokens - first;
    const float *in = random_buffer(&b, batch * tokens * stride);
    float *queries = random_buffer(&b, count * channels);
    for (size_t i = 0; i < count * channels; i++) queries[i] *= largest;
    float *kept = buffer(&b, batch * count * used);
    fkp_query_attention attention = {batch, tokens, first, channels, count, in, stride, queries, NULL, kept};
    operation o = {&attention, run_query_attention, query_scratch};
    const float *out = run_everywhere(&b, &o, batch * count, channels, channels, NULL);
    double weights[256], bound = attention_bound(used, channels) * (double)largest;
    for (size_t i = 0; i < batch * count; i++) {
        const float *x = in + (i / count * tokens + first) * stride;
        softmax_of(queries + i % count * channels, x, used, stride, channels, weights);
        for (size_t t = 0; t < used; t++) check_near(kept[i * used + t], weights[t], bound * weights[t], i);
        for (size_t c = 0; c < channels; c++) {
            double sum = 0;
            for (size_t t = 0; t < used; t++) sum += weights[t] * (double)x[t * stride + c];
            check_near(out[i * channels + c], sum, bound, i);
        }
    }
    attention.weights = NULL;
    ck_assert_mem_eq(run_everywhere(&b, &o, batch * count, channels, channels, NULL), out,
                     batch * count * channels * sizeof *out);
    bench_end(&b);
}

START_TEST(attends_to_queries) {
    check_query_attention(_i, false, (query_sizes){1, 2, 1, 1, 1}, 1.0f);
    check_query_attention(_i, false, (query_sizes){3, 20, 1, 33, 5}, 1.0f);
    check_query_attention(_i, false, (query_sizes){1, 197, 1, 384, 68}, 1.0f);
}
END_TEST

/* Also sizes that are too small for it; the least halves, and parts of tiles; and queries so large that one
 * half of the tokens is next to nothing beside the other. */
START_TEST(attends_to_queries_with_split_products) {
    check_query_attention(_i, true, (query_sizes){1, 20, 0, 33, 17}, 1.0f);
    check_query_attention(_i, true, (query_sizes){1, 70, 0, 20, 1}, 1.0f);
    check_query_attention(_i, true, (query_sizes){2, 65, 1, 16, 16}, 1.0f);
    check_query_attention(_i, true, (query_sizes){3, 100, 3, 33, 17}, 1.0f);
    check_query_attention(_i, true, (query_sizes){1, 131, 1, 49, 68}, 1.0f);
    check_query_attention(_i, true, (query_sizes){1, 90, 2, 50, 33}, 20.0f);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("operators");
    TCase *tests = tcase_create("operators");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, multiplies, 0, FKP_ISA_COUNT);
    tcase_add_loop_test(tests, normalises_rows_on_the_way_into_a_product, 0, FKP_ISA_COUNT);
    tcase_add_loop_test(tests, upsamples, 0, FKP_ISA_COUNT);
    tcase_add_loop_test(tests, upsamples_with_split_products, 0, FKP_ISA_COUNT);
    tcase_add_loop_test(tests, pools, 0, FKP_ISA_COUNT);
    tcase_add_loop_test(tests, works_on_rows, 0, FKP_ISA_COUNT);
    tcase_add_loop_test(tests, changes_layout, 0, FKP_ISA_COUNT);
    tcase_add_loop_test(tests, multiplies_to_planes, 0, FKP_ISA_COUNT);
    tcase_add_loop_test(tests, attends, 0, FKP_ISA_COUNT);
    tcase_add_loop_test(tests, attends_with_split_products, 0, FKP_ISA_COUNT);
    tcase_add_loop_test(tests, attends_to_queries, 0, FKP_ISA_COUNT);
    tcase_add_loop_test(tests, attends_to_queries_with_split_products, 0, FKP_ISA_COUNT);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
