/* Convolutions, in every algorithm, on every instruction set, against a direct sum in double. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "operators/operators.h"

static const fkp_memory *memory(void) {
    static fkp_memory m;
    m = fkp_memory_from(NULL);
    return &m;
}

static float *random_floats(size_t count, uint64_t seed) {
    float *values = fkp_allocate(memory(), count, sizeof *values);
    ck_assert_ptr_nonnull(values);
    fkp_random random = fkp_random_stream(seed, count, 0);
    for (size_t i = 0; i < count; i++) values[i] = fkp_random_between(&random, -1.0f, 1.0f);
    return values;
}

static double activated(double x, fkp_activation activation) {
    if (activation == FKP_ACTIVATION_RELU) return x > 0 ? x : 0;
    if (activation == FKP_ACTIVATION_ELU) return x > 0 ? x : expm1(x);
    if (activation == FKP_ACTIVATION_GELU) return 0.5 * x * (1 + erf(x * sqrt(0.5)));
    return x;
}

/* What every run over a shape shares: its operands, and the sums in double. */
typedef struct truth {
    fkp_convolution shape;
    size_t in_stride, in_floats, filter_floats, out_floats;
    float *in, *weights, *bias, *residual;
    double *sums, *magnitudes; /* the sum of magnitudes bounds the error */
} truth;

static void direct_sum(truth *t, size_t pixel, size_t o) {
    const fkp_convolution *s = &t->shape;
    size_t image = pixel / (s->out_height * s->out_width), row = pixel / s->out_width % s->out_height;
    size_t column = pixel % s->out_width, area = s->kernel * s->kernel;
    double sum = 0, magnitude = 0;
    for (size_t tap = 0; tap < area; tap++) {
        size_t in_row = row * s->stride + tap / s->kernel, in_column = column * s->stride + tap % s->kernel;
        if (in_row < s->padding || in_row - s->padding >= s->in_height || in_column < s->padding ||
            in_column - s->padding >= s->in_width)
            continue;
        size_t in_pixel = (image * s->in_height + in_row - s->padding) * s->in_width + in_column - s->padding;
        for (size_t i = 0; i < s->in_channels; i++) {
            double product = (double)t->in[in_pixel * t->in_stride + i] *
                             (double)t->weights[(o * s->in_channels + i) * area + tap];
            sum += product;
            magnitude += fabs(product);
        }
    }
    t->sums[pixel * s->out_channels + o] = sum;
    t->magnitudes[pixel * s->out_channels + o] = magnitude;
}

static truth truth_of(const fkp_convolution *s) {
    truth t = {.shape = *s, .in_stride = s->in_channels + 3};
    size_t pixels = s->batch * s->out_height * s->out_width;
    t.in_floats = s->batch * s->in_height * s->in_width * t.in_stride;
    t.filter_floats = s->out_channels * s->in_channels * s->kernel * s->kernel;
    t.out_floats = pixels * s->out_channels;
    t.weights = random_floats(t.filter_floats, 1);
    t.in = random_floats(t.in_floats, 2);
    t.bias = random_floats(s->out_channels, 3);
    t.residual = random_floats(t.out_floats, 4);
    t.sums = fkp_allocate(memory(), t.out_floats, sizeof *t.sums);
    t.magnitudes = fkp_allocate(memory(), t.out_floats, sizeof *t.magnitudes);
    ck_assert(t.sums != NULL && t.magnitudes != NULL);
    for (size_t pixel = 0; pixel < pixels; pixel++)
        for (size_t o = 0; o < s->out_channels; o++) direct_sum(&t, pixel, o);
    return t;
}

static void truth_free(truth *t) {
    fkp_release(memory(), t->weights, t->filter_floats, sizeof *t->weights);
    fkp_release(memory(), t->in, t->in_floats, sizeof *t->in);
    fkp_release(memory(), t->bias, t->shape.out_channels, sizeof *t->bias);
    fkp_release(memory(), t->residual, t->out_floats, sizeof *t->residual);
    fkp_release(memory(), t->sums, t->out_floats, sizeof *t->sums);
    fkp_release(memory(), t->magnitudes, t->out_floats, sizeof *t->magnitudes);
}

/* One finished number before pooling. */
static double expected_at(const truth *t, const fkp_convolution_run_arguments *run, size_t pixel, size_t o) {
    double sum = t->sums[pixel * t->shape.out_channels + o];
    if (run->epilogue.bias != NULL) sum += (double)run->epilogue.bias[o];
    if (run->epilogue.residual != NULL)
        sum += (double)run->epilogue.residual[pixel * run->epilogue.residual_stride + o];
    return activated(sum, run->epilogue.activation);
}

/* Winograd transforms amplify rounding; the factors are the largest that were seen, doubled. */
static double tolerance(fkp_convolution_algorithm algorithm, double magnitude) {
    static const double factors[] = {
        [FKP_CONVOLUTION_DIRECT] = 16,          [FKP_CONVOLUTION_WINOGRAD_2_3] = 32,
        [FKP_CONVOLUTION_WINOGRAD_4_3] = 200,   [FKP_CONVOLUTION_WINOGRAD_5_3] = 200,
        [FKP_CONVOLUTION_WINOGRAD_6_3] = 800,   [FKP_CONVOLUTION_WINOGRAD_4_4] = 800,
        [FKP_CONVOLUTION_WINOGRAD_4_3_2] = 100, [FKP_CONVOLUTION_SPLIT] = 250};
    return factors[algorithm] * 0x1p-24 * (magnitude + 1.0);
}

/* The largest number of a window, or the only one; and the largest magnitude. */
static double expected_in_window(const truth *t, const fkp_convolution_run_arguments *run, size_t image,
                                 size_t row, size_t column, size_t o, double *magnitude) {
    const fkp_convolution *s = &run->shape;
    const fkp_window one = {1, 1, 0}, *window = run->pool.size > 0 ? &run->pool : &one;
    double expected = -INFINITY;
    *magnitude = 0;
    for (size_t k = 0; k < window->size * window->size; k++) {
        size_t y = row * window->stride + k / window->size, x = column * window->stride + k % window->size;
        if (y < window->padding || y >= s->out_height + window->padding || x < window->padding ||
            x >= s->out_width + window->padding)
            continue;
        size_t pixel = (image * s->out_height + y - window->padding) * s->out_width + x - window->padding;
        expected = fmax(expected, expected_at(t, run, pixel, o));
        *magnitude = fmax(*magnitude, t->magnitudes[pixel * s->out_channels + o]);
    }
    return expected;
}

static void check_outputs(const truth *t, const fkp_convolution_run_arguments *run) {
    const fkp_convolution *s = &run->shape;
    size_t height = fkp_pooled(s->out_height, &run->pool), width = fkp_pooled(s->out_width, &run->pool);
    for (size_t k = 0; k < s->batch * height * width * s->out_channels; k++) {
        size_t place = k / s->out_channels, o = k % s->out_channels;
        size_t image = place / (height * width), row = place / width % height, column = place % width;
        double magnitude, expected = expected_in_window(t, run, image, row, column, o, &magnitude);
        double got = (double)run->out[place * run->out_stride + o];
        ck_assert_msg(fabs(got - expected) <= tolerance(run->algorithm, magnitude),
                      "algorithm %d kernel %zu channels %zu -> %zu at (%zu, %zu, %zu): %g, expected %g",
                      (int)run->algorithm, s->kernel, s->in_channels, s->out_channels, row, column, o, got,
                      expected);
    }
}

/* Packs and runs with 1, 2 and 3 threads, the last time with the channels in two tensors where that can be:
 * right, and the same bits. */
static void check_run(const fkp_kernels *kernels, const truth *t, fkp_convolution_run_arguments run) {
    const fkp_convolution *s = &run.shape;
    run.in = t->in;
    run.in_stride = t->in_stride;
    run.out_stride = s->out_channels + 5;
    size_t outs = s->batch * s->out_height * s->out_width * run.out_stride;
    size_t packed_floats = fkp_convolution_packed_floats(kernels, s, run.algorithm);
    float *packed = random_floats(packed_floats, 5), *first = NULL;
    fkp_convolution_pack(kernels, s, run.algorithm, t->weights, NULL, packed);
    run.packed = packed;
    run.epilogue.bias = t->bias;
    if (run.pool.size == 0) run.epilogue.residual = t->residual;
    run.epilogue.residual_stride = s->out_channels;
    for (int32_t threads = 1; threads <= 3; threads++) {
        fkp_pool *pool;
        ck_assert_int_eq(fkp_pool_create(memory(), threads, NULL, NULL, &pool, NULL), FACEKP_OK);
        size_t scratch_floats = fkp_convolution_scratch(kernels, &run, (size_t)threads) + 300;
        float *scratch = random_floats(scratch_floats, 6), *out = random_floats(outs, 7);
        run.out = out;
        const size_t unit = fkp_convolution_beside(run.algorithm);
        if (threads == 3 && unit > 0) {
            run.beside_from = s->in_channels / 2 / unit * unit;
            run.beside = t->in + run.beside_from;
            run.beside_stride = t->in_stride;
        }
        /* Three workers lie apart, as in a session. */
        fkp_context context = {kernels, pool, scratch, threads == 3 ? scratch_floats / 3 : 0};
        fkp_convolution_run(&context, &run);
        if (first == NULL) {
            check_outputs(t, &run);
            first = out;
        } else {
            ck_assert_mem_eq(first, out, outs * sizeof *out);
            fkp_release(memory(), out, outs, sizeof *out);
        }
        fkp_release(memory(), scratch, scratch_floats, sizeof *scratch);
        fkp_pool_free(pool);
    }
    fkp_release(memory(), first, outs, sizeof *first);
    fkp_release(memory(), packed, packed_floats, sizeof *packed);
}

static fkp_convolution shape_of(size_t batch, size_t height, size_t width, size_t in, size_t out,
                                size_t kernel, size_t stride, size_t padding) {
    return (fkp_convolution){batch,
                             height,
                             width,
                             in,
                             (height + 2 * padding - kernel) / stride + 1,
                             (width + 2 * padding - kernel) / stride + 1,
                             out,
                             kernel,
                             stride,
                             padding};
}

/* The reference of split products takes its time: large shapes are left to the level that has better. */
static bool is_long(const fkp_kernels *kernels, const fkp_convolution *s) {
    return kernels->split.speed <= 0.0 &&
           s->out_height * s->out_width * s->out_channels * s->in_channels * s->kernel * s->kernel > 4000000;
}

START_TEST(every_algorithm_on_odd_shapes) {
    fkp_kernels kernels;
    fkp_kernels_select((fkp_isa)_i, &kernels);
    if ((int)kernels.isa != _i) {
        printf("skipped: this CPU has no %s\n", fkp_isa_name((fkp_isa)_i));
        return;
    }
    const fkp_convolution shapes[] = {
        shape_of(2, 9, 11, 5, 7, 3, 1, 1), shape_of(1, 14, 14, 32, 70, 3, 1, 1),
        shape_of(2, 13, 10, 17, 33, 3, 1, 1), shape_of(1, 7, 7, 64, 64, 3, 1, 1),
        shape_of(1, 12, 15, 6, 19, 4, 1, 0), shape_of(2, 17, 11, 20, 64, 4, 1, 0),
        shape_of(1, 15, 13, 3, 18, 3, 2, 1), shape_of(2, 21, 19, 1, 64, 7, 2, 3),
        shape_of(1, 16, 18, 1, 32, 3, 1, 1), shape_of(2, 12, 13, 1, 33, 4, 1, 0),
        shape_of(1, 32, 32, 1, 24, 16, 16, 0), shape_of(2, 40, 19, 1, 140, 3, 1, 2),
        shape_of(1, 90, 37, 1, 21, 4, 1, 0), shape_of(1, 33, 65, 1, 17, 5, 3, 1),
        shape_of(1, 8, 6, 40, 68, 1, 1, 0), shape_of(1, 8, 8, 12, 20, 1, 2, 0),
        shape_of(1, 5, 5, 300, 9, 3, 1, 1), shape_of(1, 22, 24, 520, 48, 3, 1, 1),
        shape_of(1, 9, 9, 300, 40, 4, 1, 1), shape_of(1, 14, 14, 40, 33, 3, 2, 1),
        shape_of(2, 28, 27, 17, 70, 3, 2, 1), shape_of(1, 17, 12, 300, 20, 3, 2, 0),
        /* so many tiles that filters are transformed once */
        shape_of(1, 84, 80, 16, 33, 3, 1, 1), shape_of(1, 70, 66, 16, 40, 4, 1, 1),
        shape_of(1, 160, 132, 16, 33, 3, 2, 1)};
    const fkp_window windows[] = {{0, 0, 0}, {2, 2, 0}, {3, 2, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        truth t = truth_of(&shapes[i]);
        for (int a = 0; a < FKP_CONVOLUTION_ALGORITHMS; a++)
            for (size_t pool = 0; pool < (fkp_is_winograd((fkp_convolution_algorithm)a) ? 2 : 3); pool++) {
                if (!fkp_convolution_can(&shapes[i], (fkp_convolution_algorithm)a)) continue;
                if (a == FKP_CONVOLUTION_SPLIT && is_long(&kernels, &shapes[i])) continue;
                fkp_convolution_run_arguments run = {
                    .shape = shapes[i],
                    .algorithm = (fkp_convolution_algorithm)a,
                    .epilogue = {.activation = (fkp_activation)((i + (size_t)a) % 3)},
                    .pool = windows[pool]};
                check_run(&kernels, &t, run);
            }
        truth_free(&t);
    }
}
END_TEST

static void run_with_scratch(const fkp_context *context, const fkp_convolution_run_arguments *run) {
    fkp_context whole = *context;
    const size_t floats = fkp_convolution_scratch(context->kernels, run, fkp_pool_threads(context->pool));
    whole.scratch = random_floats(floats, 7);
    fkp_convolution_run(&whole, run);
    fkp_release(memory(), whole.scratch, floats, sizeof *whole.scratch);
}

/* One run on the caller's thread into `out`, rows without gaps. */
static void run_plain(const fkp_kernels *kernels, const fkp_convolution *shape,
                      fkp_convolution_algorithm algorithm, const float *packed, const float *in, float *out) {
    fkp_pool *pool;
    ck_assert_int_eq(fkp_pool_create(memory(), 1, NULL, NULL, &pool, NULL), FACEKP_OK);
    fkp_convolution_run_arguments run = {.shape = *shape,
                                         .algorithm = algorithm,
                                         .packed = packed,
                                         .in = in,
                                         .in_stride = shape->in_channels,
                                         .out = out,
                                         .out_stride = shape->out_channels};
    run_with_scratch(&(fkp_context){.kernels = kernels, .pool = pool}, &run);
    fkp_pool_free(pool);
}

/* A transposed convolution of 40 channels, and what is beside it in a concatenation. */
typedef struct upsampled_case {
    fkp_convolution_run_arguments run; /* with the second tensor in memory */
    fkp_upsampling up;
    size_t small_floats, skip_floats, up_floats, up_packed_floats, packed_floats, outs;
    float *small, *skip, *result, *up_packed, *packed;
} upsampled_case;

static upsampled_case upsampled_case_of(const fkp_kernels *kernels, size_t height, size_t width,
                                        size_t channels, size_t kernel) {
    const size_t batch = 2, skip = 64, pixels = batch * height * width;
    upsampled_case c = {
        .small_floats = pixels / 4 * 42,
        .skip_floats = pixels * skip,
        .up_floats = pixels * channels,
        .up_packed_floats = fkp_upsampling_packed_floats(kernels, 40, channels),
        .run = {.shape = shape_of(batch, height, width, skip + channels, 37, kernel, 1, kernel / 2),
                .algorithm = FKP_CONVOLUTION_SPLIT,
                .in_stride = skip,
                .beside_stride = channels,
                .beside_from = skip,
                .out_stride = 37,
                .epilogue = {.activation = FKP_ACTIVATION_RELU}}};
    const fkp_convolution *shape = &c.run.shape;
    const size_t filter = shape->out_channels * shape->in_channels * kernel * kernel;
    float *weights = random_floats(filter, 1), *up_weights = random_floats(40 * channels * 4, 2);
    c.packed_floats = fkp_convolution_packed_floats(kernels, shape, FKP_CONVOLUTION_SPLIT);
    c.outs = batch * shape->out_height * shape->out_width * c.run.out_stride;
    c.small = random_floats(c.small_floats, 3);
    c.skip = random_floats(c.skip_floats, 4);
    c.result = random_floats(c.up_floats, 5);
    c.up_packed = random_floats(c.up_packed_floats, 6);
    c.packed = random_floats(c.packed_floats, 7);
    fkp_upsampling_pack(kernels, 40, channels, (fkp_range){0, 40}, up_weights, c.up_packed);
    fkp_convolution_pack(kernels, shape, FKP_CONVOLUTION_SPLIT, weights, NULL, c.packed);
    fkp_release(memory(), weights, filter, sizeof *weights);
    fkp_release(memory(), up_weights, 40 * channels * 4, sizeof *up_weights);
    c.up = (fkp_upsampling){.batch = batch,
                            .in_height = height / 2,
                            .in_width = width / 2,
                            .in_channels = 40,
                            .out_channels = channels,
                            .in = c.small,
                            .in_stride = 42,
                            .packed = c.up_packed,
                            .out = c.result,
                            .out_stride = channels,
                            .epilogue = {.bias = c.skip, .activation = FKP_ACTIVATION_ELU}};
    c.run.packed = c.packed;
    c.run.in = c.skip;
    c.run.beside = c.result;
    return c;
}

static void upsampled_case_free(upsampled_case *c) {
    fkp_release(memory(), c->small, c->small_floats, sizeof *c->small);
    fkp_release(memory(), c->skip, c->skip_floats, sizeof *c->skip);
    fkp_release(memory(), c->result, c->up_floats, sizeof *c->result);
    fkp_release(memory(), c->up_packed, c->up_packed_floats, sizeof *c->up_packed);
    fkp_release(memory(), c->packed, c->packed_floats, sizeof *c->packed);
}

/* The same bits whether rows are upsampled where they are read or before. */
static void check_upsampled(const fkp_kernels *kernels, size_t height, size_t width, size_t channels,
                            size_t kernel) {
    upsampled_case c = upsampled_case_of(kernels, height, width, channels, kernel);
    ck_assert(fkp_convolution_upsamples(kernels, &c.run.shape, c.run.algorithm, 40, channels));
    float *expected = random_floats(c.outs, 8), *out = random_floats(c.outs, 9);
    for (int32_t threads = 1; threads <= 3; threads++) {
        fkp_pool *pool;
        ck_assert_int_eq(fkp_pool_create(memory(), threads, NULL, NULL, &pool, NULL), FACEKP_OK);
        fkp_convolution_run_arguments inside = c.run;
        inside.upsampled = c.up;
        inside.upsampled.out = NULL;
        inside.beside = NULL;
        inside.out = out;
        c.run.out = expected;
        size_t floats = fkp_convolution_scratch(kernels, &inside, (size_t)threads);
        floats = fkp_max_size(floats, fkp_convolution_scratch(kernels, &c.run, (size_t)threads));
        floats = fkp_max_size(floats, fkp_upsampling_scratch(kernels, &c.up, (size_t)threads));
        float *scratch = random_floats(floats, 6);
        const fkp_context context = {.kernels = kernels, .pool = pool, .scratch = scratch};
        fkp_upsampling_run(&context, &c.up);
        fkp_convolution_run(&context, &c.run);
        memset(c.result, 0xff, c.up_floats * sizeof *c.result);
        fkp_convolution_run(&context, &inside);
        ck_assert_mem_eq(out, expected, c.outs * sizeof *out);
        fkp_release(memory(), scratch, floats, sizeof *scratch);
        fkp_pool_free(pool);
    }
    fkp_release(memory(), expected, c.outs, sizeof *expected);
    fkp_release(memory(), out, c.outs, sizeof *out);
    upsampled_case_free(&c);
}

START_TEST(rows_are_upsampled_where_they_are_read) {
    fkp_kernels kernels;
    fkp_kernels_select((fkp_isa)_i, &kernels);
    const bool reference = kernels.split.speed <= 0.0;
    if (reference) kernels.split.speed = 1.0;
    check_upsampled(&kernels, 14, 18, 32, 3);
    check_upsampled(&kernels, 2, 2, 64, 3);
    check_upsampled(&kernels, 6, 10, 32, 5);
    if (!reference) check_upsampled(&kernels, 50, 202, 64, 3);
}
END_TEST

/* A matrix product of 768 channels, and of their halves, packed each by itself. */
typedef struct halved_case {
    fkp_convolution whole, half;
    size_t ins, outs, whole_floats, half_floats;
    float *in, *residual, *whole_packed, *half_packed[2];
    float *finished[2], *bare[2]; /* what each half should give, with the epilogue and without */
} halved_case;

static halved_case halved_case_of(const fkp_kernels *kernels, size_t batch, size_t rows, size_t columns) {
    const size_t channels = 768, half = channels / 2;
    halved_case c = {.whole = shape_of(batch, rows, 1, channels, columns, 1, 1, 0),
                     .half = shape_of(batch, rows, 1, half, columns, 1, 1, 0),
                     .ins = batch * rows * channels,
                     .outs = batch * rows * columns};
    float *weights = random_floats(columns * channels, 1), *part = random_floats(columns * half, 1);
    c.whole_floats = fkp_convolution_packed_floats(kernels, &c.whole, FKP_CONVOLUTION_SPLIT);
    c.half_floats = fkp_convolution_packed_floats(kernels, &c.half, FKP_CONVOLUTION_SPLIT);
    c.in = random_floats(c.ins, 2);
    c.residual = random_floats(c.outs, 3);
    c.whole_packed = random_floats(c.whole_floats, 4);
    fkp_convolution_pack(kernels, &c.whole, FKP_CONVOLUTION_SPLIT, weights, NULL, c.whole_packed);
    for (size_t h = 0; h < 2; h++) {
        for (size_t i = 0; i < columns; i++)
            memcpy(part + i * half, weights + i * channels + h * half, half * sizeof *part);
        c.half_packed[h] = random_floats(c.half_floats, 5);
        c.finished[h] = random_floats(c.outs, 6);
        c.bare[h] = random_floats(c.outs, 7);
        fkp_convolution_pack(kernels, &c.half, FKP_CONVOLUTION_SPLIT, part, NULL, c.half_packed[h]);
    }
    fkp_release(memory(), weights, columns * channels, sizeof *weights);
    fkp_release(memory(), part, columns * half, sizeof *part);
    return c;
}

static void halved_case_free(halved_case *c) {
    fkp_release(memory(), c->in, c->ins, sizeof *c->in);
    fkp_release(memory(), c->residual, c->outs, sizeof *c->residual);
    fkp_release(memory(), c->whole_packed, c->whole_floats, sizeof *c->whole_packed);
    for (size_t h = 0; h < 2; h++) {
        fkp_release(memory(), c->half_packed[h], c->half_floats, sizeof **c->half_packed);
        fkp_release(memory(), c->finished[h], c->outs, sizeof **c->finished);
        fkp_release(memory(), c->bare[h], c->outs, sizeof **c->bare);
    }
}

static void multiply_half(const fkp_context *context, const halved_case *c, size_t half, float *out,
                          const fkp_epilogue *epilogue) {
    run_with_scratch(context, &(fkp_convolution_run_arguments){.shape = c->half,
                                                               .algorithm = FKP_CONVOLUTION_SPLIT,
                                                               .packed = c->half_packed[half],
                                                               .in = c->in + half * c->half.in_channels,
                                                               .in_stride = c->whole.in_channels,
                                                               .out = out,
                                                               .out_stride = c->half.out_channels,
                                                               .epilogue = *epilogue});
}

/* Whether in a column of all rows one half, finished, is in `out`, and the other one, bare, in `second`. */
static bool has_halves(const halved_case *c, size_t column, size_t half, const float *out,
                       const float *second) {
    for (size_t i = column; i < c->outs; i += c->half.out_channels)
        if (memcmp(out + i, c->finished[half] + i, sizeof *out) != 0 ||
            memcmp(second + i, c->bare[1 - half] + i, sizeof *second) != 0)
            return false;
    return true;
}

/* Each half has the bits of a product of its channels alone, and every column the epilogue once. */
static void check_halves(const fkp_kernels *kernels, size_t batch, size_t rows, size_t columns) {
    halved_case c = halved_case_of(kernels, batch, rows, columns);
    ck_assert(fkp_convolution_halves(&c.whole, FKP_CONVOLUTION_SPLIT));
    float *out = random_floats(c.outs, 8), *second = random_floats(c.outs, 9);
    const fkp_epilogue epilogue = {.bias = c.in, .residual = c.residual, .residual_stride = columns};
    for (int32_t threads = 1; threads <= 3; threads++) {
        fkp_pool *pool;
        ck_assert_int_eq(fkp_pool_create(memory(), threads, NULL, NULL, &pool, NULL), FACEKP_OK);
        const fkp_context context = {.kernels = kernels, .pool = pool};
        for (size_t h = 0; h < 2; h++) {
            multiply_half(&context, &c, h, c.finished[h], &epilogue);
            multiply_half(&context, &c, h, c.bare[h], &(fkp_epilogue){0});
        }
        run_with_scratch(&context, &(fkp_convolution_run_arguments){.shape = c.whole,
                                                                    .algorithm = FKP_CONVOLUTION_SPLIT,
                                                                    .packed = c.whole_packed,
                                                                    .in = c.in,
                                                                    .in_stride = c.whole.in_channels,
                                                                    .out = out,
                                                                    .out_stride = columns,
                                                                    .epilogue = epilogue,
                                                                    .halves = true,
                                                                    .second_out = second,
                                                                    .second_out_stride = columns});
        for (size_t column = 0; column < columns; column++)
            ck_assert_msg(has_halves(&c, column, 0, out, second) || has_halves(&c, column, 1, out, second),
                          "column %zu of %zu", column, columns);
        fkp_pool_free(pool);
    }
    fkp_release(memory(), out, c.outs, sizeof *out);
    fkp_release(memory(), second, c.outs, sizeof *second);
    halved_case_free(&c);
}

START_TEST(halves_of_the_channels_have_their_own_results) {
    fkp_kernels kernels;
    fkp_kernels_select((fkp_isa)_i, &kernels);
    check_halves(&kernels, 1, 1, 40);
    check_halves(&kernels, 1, 70, 100);
    check_halves(&kernels, 3, 17, 33);
    if (kernels.split.speed > 0.0) check_halves(&kernels, 2, 600, 64);
    const fkp_convolution odd = shape_of(1, 8, 1, 800, 32, 1, 1, 0),
                          wide = shape_of(1, 8, 8, 768, 32, 3, 1, 1);
    ck_assert(!fkp_convolution_halves(&odd, FKP_CONVOLUTION_SPLIT));
    ck_assert(!fkp_convolution_halves(&wide, FKP_CONVOLUTION_SPLIT));
}
END_TEST

static double dot(const float *a, const float *b, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* <y, C x> = <C^T y, x>: the packed backward weights make the transpose of the forward convolution. */
static void check_adjoint(const fkp_kernels *kernels, fkp_convolution_algorithm algorithm, size_t kernel) {
    const fkp_convolution forward = shape_of(2, 9, 11, 6, 21, kernel, 1, 1);
    const fkp_convolution backward =
        shape_of(2, forward.out_height, forward.out_width, 21, 6, kernel, 1, kernel - 2);
    size_t ins = 2 * 9 * 11 * 6, outs = 2 * forward.out_height * forward.out_width * 21;
    size_t filter = 21 * 6 * kernel * kernel;
    size_t forward_floats = fkp_convolution_packed_floats(kernels, &forward, algorithm);
    size_t backward_floats = fkp_convolution_packed_floats(kernels, &backward, algorithm);
    float *weights = random_floats(filter, 1), *x = random_floats(ins, 2), *y = random_floats(outs, 3);
    float *forward_packed = random_floats(forward_floats, 4),
          *backward_packed = random_floats(backward_floats, 4);
    float *forward_out = random_floats(outs, 5), *backward_out = random_floats(ins, 5);
    fkp_convolution_pack(kernels, &forward, algorithm, weights, NULL, forward_packed);
    for (size_t panel = 0; panel < fkp_convolution_panels(kernels, &backward, algorithm); panel++)
        fkp_convolution_pack_backward(kernels, &backward, algorithm, weights, panel, backward_packed);
    run_plain(kernels, &forward, algorithm, forward_packed, x, forward_out);
    run_plain(kernels, &backward, algorithm, backward_packed, y, backward_out);
    double there = dot(y, forward_out, outs), back = dot(x, backward_out, ins);
    ck_assert_msg(fabs(there - back) < 1e-4 * sqrt(dot(y, y, outs) * dot(forward_out, forward_out, outs)),
                  "algorithm %d: %g there, %g back", (int)algorithm, there, back);
    fkp_release(memory(), backward_out, ins, sizeof *x);
    fkp_release(memory(), forward_out, outs, sizeof *x);
    fkp_release(memory(), backward_packed, backward_floats, sizeof *x);
    fkp_release(memory(), forward_packed, forward_floats, sizeof *x);
    fkp_release(memory(), y, outs, sizeof *x);
    fkp_release(memory(), x, ins, sizeof *x);
    fkp_release(memory(), weights, filter, sizeof *x);
}

/* Of the algorithms that have a transpose of this kind, those of stride 1. */
START_TEST(backward_weights_make_the_transpose) {
    fkp_kernels kernels;
    fkp_kernels_select(FKP_ISA_AVX512, &kernels);
    for (int a = 0; a <= FKP_CONVOLUTION_WINOGRAD_4_4; a++)
        check_adjoint(&kernels, (fkp_convolution_algorithm)a, a == FKP_CONVOLUTION_WINOGRAD_4_4 ? 4 : 3);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("convolution");
    TCase *tests = tcase_create("convolution");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, every_algorithm_on_odd_shapes, 0, FKP_ISA_COUNT);
    tcase_add_loop_test(tests, rows_are_upsampled_where_they_are_read, 0, FKP_ISA_COUNT);
    tcase_add_loop_test(tests, halves_of_the_channels_have_their_own_results, 0, FKP_ISA_COUNT);
    tcase_add_test(tests, backward_weights_make_the_transpose);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
