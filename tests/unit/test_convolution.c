/* Convolutions, in every algorithm, on every instruction set, against a direct sum in double. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* One output number before pooling, and the sum of magnitudes that bounds its error. */
static double direct_sum(const fkp_convolution_run_arguments *run, const float *weights, size_t image,
                         size_t row, size_t column, size_t o, double *magnitude) {
    const fkp_convolution *s = &run->shape;
    double sum = 0;
    *magnitude = 0;
    for (size_t i = 0; i < s->in_channels; i++)
        for (size_t y = 0; y < s->kernel; y++)
            for (size_t x = 0; x < s->kernel; x++) {
                size_t in_row = row * s->stride + y, in_column = column * s->stride + x;
                if (in_row < s->padding || in_row - s->padding >= s->in_height || in_column < s->padding ||
                    in_column - s->padding >= s->in_width)
                    continue;
                size_t pixel =
                    (image * s->in_height + in_row - s->padding) * s->in_width + in_column - s->padding;
                double product = (double)run->in[pixel * run->in_stride + i] *
                                 (double)weights[((o * s->in_channels + i) * s->kernel + y) * s->kernel + x];
                sum += product;
                *magnitude += fabs(product);
            }
    size_t pixel = (image * s->out_height + row) * s->out_width + column;
    if (run->epilogue.bias != NULL) sum += (double)run->epilogue.bias[o];
    if (run->epilogue.residual != NULL)
        sum += (double)run->epilogue.residual[pixel * run->epilogue.residual_stride + o];
    return activated(sum, run->epilogue.activation);
}

/* Winograd transforms amplify rounding; the factors are the largest that were seen, doubled. */
static double tolerance(fkp_convolution_algorithm algorithm, double magnitude) {
    static const double factors[] = {16, 32, 200, 800, 800};
    return factors[algorithm] * 0x1p-24 * (magnitude + 1.0);
}

static void check_outputs(const fkp_convolution_run_arguments *run, const float *weights) {
    const fkp_convolution *s = &run->shape;
    size_t step = run->pool ? 2 : 1, height = s->out_height / step, width = s->out_width / step;
    for (size_t image = 0; image < s->batch; image++)
        for (size_t row = 0; row < height; row++)
            for (size_t column = 0; column < width; column++)
                for (size_t o = 0; o < s->out_channels; o++) {
                    double expected = -INFINITY, magnitude = 0;
                    for (size_t k = 0; k < step * step; k++) {
                        double m, value = direct_sum(run, weights, image, row * step + k / step,
                                                     column * step + k % step, o, &m);
                        expected = fmax(expected, value);
                        magnitude = fmax(magnitude, m);
                    }
                    double got =
                        (double)run->out[((image * height + row) * width + column) * run->out_stride + o];
                    ck_assert_msg(
                        fabs(got - expected) <= tolerance(run->algorithm, magnitude),
                        "algorithm %d kernel %zu channels %zu -> %zu at (%zu, %zu, %zu): %g, expected %g",
                        (int)run->algorithm, s->kernel, s->in_channels, s->out_channels, row, column, o, got,
                        expected);
                }
}

/* Packs and runs with 1, 2 and 3 threads: right, and the same bits. */
static void check_run(const fkp_kernels *kernels, fkp_convolution_run_arguments run) {
    const fkp_convolution *s = &run.shape;
    size_t filter = s->out_channels * s->in_channels * s->kernel * s->kernel;
    size_t pixels = s->batch * s->out_height * s->out_width;
    run.in_stride = s->in_channels + 3;
    run.out_stride = s->out_channels + 5;
    size_t ins = s->batch * s->in_height * s->in_width * run.in_stride, outs = pixels * run.out_stride;
    float *weights = random_floats(filter, 1), *in = random_floats(ins, 2),
          *bias = random_floats(s->out_channels, 3);
    float *residual = random_floats(pixels * s->out_channels, 4);
    size_t packed_floats = fkp_convolution_packed_floats(kernels, s, run.algorithm);
    float *packed = random_floats(packed_floats, 5), *first = NULL;
    fkp_convolution_pack(kernels, s, run.algorithm, weights, NULL, packed);
    run.packed = packed;
    run.in = in;
    run.epilogue.bias = bias;
    if (!run.pool) run.epilogue.residual = residual;
    run.epilogue.residual_stride = s->out_channels;
    for (int32_t threads = 1; threads <= 3; threads++) {
        fkp_pool *pool;
        ck_assert_int_eq(fkp_pool_create(memory(), threads, NULL, NULL, &pool, NULL), FACEKP_OK);
        size_t scratch_floats = fkp_convolution_scratch(kernels, &run, (size_t)threads);
        float *scratch = random_floats(scratch_floats, 6), *out = random_floats(outs, 7);
        run.out = out;
        fkp_context context = {kernels, pool, scratch};
        fkp_convolution_run(&context, &run);
        if (first == NULL) {
            check_outputs(&run, weights);
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
    fkp_release(memory(), residual, pixels * s->out_channels, sizeof *residual);
    fkp_release(memory(), bias, s->out_channels, sizeof *bias);
    fkp_release(memory(), in, ins, sizeof *in);
    fkp_release(memory(), weights, filter, sizeof *weights);
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

START_TEST(every_algorithm_on_odd_shapes) {
    fkp_kernels kernels;
    fkp_kernels_select((fkp_isa)_i, &kernels);
    if ((int)kernels.isa != _i) {
        printf("skipped: this CPU has no %s\n", fkp_isa_name((fkp_isa)_i));
        return;
    }
    const fkp_convolution shapes[] = {
        shape_of(2, 9, 11, 5, 7, 3, 1, 1),     shape_of(1, 14, 14, 32, 70, 3, 1, 1),
        shape_of(2, 13, 10, 17, 33, 3, 1, 1),  shape_of(1, 7, 7, 64, 64, 3, 1, 1),
        shape_of(1, 12, 15, 6, 19, 4, 1, 0),   shape_of(2, 17, 11, 20, 64, 4, 1, 0),
        shape_of(1, 15, 13, 3, 18, 3, 2, 1),   shape_of(2, 21, 19, 1, 64, 7, 2, 3),
        shape_of(1, 16, 18, 1, 32, 3, 1, 1),   shape_of(2, 12, 13, 1, 33, 4, 1, 0),
        shape_of(1, 32, 32, 1, 24, 16, 16, 0), shape_of(1, 8, 6, 40, 68, 1, 1, 0),
        shape_of(1, 8, 8, 12, 20, 1, 2, 0),    shape_of(1, 5, 5, 300, 9, 3, 1, 1),
        shape_of(1, 22, 24, 520, 48, 3, 1, 1), shape_of(1, 9, 9, 300, 40, 4, 1, 1)};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int a = 0; a < FKP_CONVOLUTION_ALGORITHMS; a++)
            for (int pool = 0; pool < 2; pool++) {
                if (!fkp_convolution_can(&shapes[i], (fkp_convolution_algorithm)a)) continue;
                fkp_convolution_run_arguments run = {
                    .shape = shapes[i],
                    .algorithm = (fkp_convolution_algorithm)a,
                    .epilogue = {.activation = (fkp_activation)((i + (size_t)a) % 3)},
                    .pool = pool};
                check_run(&kernels, run);
            }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("convolution");
    TCase *tests = tcase_create("convolution");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, every_algorithm_on_odd_shapes, 0, FKP_ISA_COUNT);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
