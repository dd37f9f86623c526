/* A convolution's weight gradient by every algorithm that can do a shape, on every instruction set of this
 * CPU, against the plain sum in double; the same bits for any number of threads. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/run_suite.h"
#include "train/layers/weight_gradient.h"

enum { MARGIN = 3 }; /* floats between two pixels, so that strides are not the number of channels */

/* Odd sizes, tiles that end early, one channel, and more sums than are made at a time. */
static const fkp_convolution shapes[] = {
    {2, 9, 11, 5, 9, 11, 7, 3, 1, 1},     {1, 7, 6, 33, 7, 6, 40, 3, 1, 1},
    {3, 13, 12, 17, 11, 10, 18, 3, 1, 0}, {2, 12, 10, 9, 9, 7, 19, 4, 1, 0},
    {2, 15, 14, 32, 14, 13, 16, 4, 1, 1}, {1, 10, 9, 290, 10, 9, 277, 3, 1, 1},
    {8, 30, 31, 16, 30, 31, 64, 3, 1, 1}, {3, 15, 17, 1, 8, 9, 13, 7, 2, 3},
    {2, 14, 14, 1, 14, 14, 20, 3, 1, 1},  {2, 20, 23, 1, 17, 20, 32, 4, 1, 0},
    {2, 32, 32, 1, 2, 2, 40, 16, 16, 0},  {2, 11, 9, 18, 6, 5, 21, 3, 2, 1},
    {2, 10, 8, 12, 5, 4, 30, 2, 2, 0},    {2, 13, 11, 21, 7, 6, 37, 1, 2, 0},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

typedef struct problem {
    fkp_memory memory;
    fkp_convolution_weights run;
    size_t numbers; /* of the weights */
    float *before;  /* what the gradients hold when they are added to */
    double *expected;
} problem;

static fkp_view random_rows(size_t rows, size_t channels, uint64_t name) {
    fkp_random random = fkp_random_stream(5, name, rows);
    fkp_view view = {calloc(rows * (channels + MARGIN), sizeof(float)), channels + MARGIN};
    ck_assert_ptr_nonnull(view.data);
    for (size_t i = 0; i < rows * view.stride; i++) view.data[i] = fkp_random_normal(&random);
    return view;
}

/* Sum over the output's pixels for weight (o, i, y, x). */
static double plain_sum(const fkp_convolution_weights *run, size_t o, size_t i, size_t y, size_t x) {
    const fkp_convolution *s = &run->shape;
    double sum = 0.0;
    for (size_t image = 0; image < s->batch; image++)
        for (size_t row = 0; row < s->out_height; row++)
            for (size_t column = 0; column < s->out_width; column++) {
                size_t in_row = row * s->stride + y, in_column = column * s->stride + x;
                if (in_row < s->padding || in_row >= s->in_height + s->padding || in_column < s->padding ||
                    in_column >= s->in_width + s->padding)
                    continue;
                size_t from =
                    (image * s->in_height + in_row - s->padding) * s->in_width + in_column - s->padding;
                size_t to = (image * s->out_height + row) * s->out_width + column;
                sum += (double)run->in.data[from * run->in.stride + i] *
                       (double)run->d_out.data[to * run->d_out.stride + o];
            }
    return sum;
}

static void begin_problem(problem *p, const fkp_convolution *shape) {
    const size_t taps = shape->kernel * shape->kernel;
    p->memory = fkp_memory_from(NULL);
    p->run = (fkp_convolution_weights){
        .shape = *shape,
        .in = random_rows(shape->batch * shape->in_height * shape->in_width, shape->in_channels, 1),
        .d_out = random_rows(shape->batch * shape->out_height * shape->out_width, shape->out_channels, 2)};
    p->numbers = shape->out_channels * shape->in_channels * taps;
    p->expected = calloc(p->numbers, sizeof *p->expected);
    p->before = random_rows(1, p->numbers, 3).data;
    ck_assert_ptr_nonnull(p->expected);
    for (size_t k = 0; k < p->numbers; k++)
        p->expected[k] = plain_sum(&p->run, k / taps / shape->in_channels, k / taps % shape->in_channels,
                                   k % taps / shape->kernel, k % shape->kernel);
}

static void end_problem(problem *p) {
    free(p->run.in.data);
    free(p->run.d_out.data);
    free(p->before);
    free(p->expected);
}

/* Scratch memory is exactly what was asked for, and full of NaN before. */
static void differentiate(const problem *p, const fkp_kernels *kernels, int32_t threads, bool accumulate,
                          float *d_weights) {
    fkp_pool *pool;
    fkp_train_kernels train;
    fkp_train_kernels_select(kernels->isa, &train);
    ck_assert_int_eq(fkp_pool_create(&p->memory, threads, NULL, NULL, &pool, NULL), FACEKP_OK);
    fkp_convolution_weights run = p->run;
    const size_t floats = fkp_convolution_weights_scratch(kernels, &run, fkp_pool_threads(pool));
    const fkp_context context = {
        .kernels = kernels, .pool = pool, .scratch = fkp_allocate_raw(&p->memory, floats, sizeof(float))};
    ck_assert_ptr_nonnull(context.scratch);
    memset(context.scratch, 0xff, floats * sizeof(float));
    memcpy(d_weights, p->before, p->numbers * sizeof *d_weights);
    run.d_weights = d_weights;
    run.accumulate = accumulate;
    fkp_convolution_weights_run(&context, &train, &run);
    fkp_release(&p->memory, context.scratch, floats, sizeof(float));
    fkp_pool_free(pool);
}

/* The distance from what is expected, relative to its norm. */
static double distance(const problem *p, const float *d_weights, bool accumulate) {
    double off = 0.0, norm = 0.0;
    for (size_t k = 0; k < p->numbers; k++) {
        double before = accumulate ? (double)p->before[k] : 0.0;
        off += pow((double)d_weights[k] - before - p->expected[k], 2.0);
        norm += p->expected[k] * p->expected[k];
    }
    return sqrt(off / norm);
}

static void check_algorithm(problem *p, const fkp_kernels *kernels, fkp_convolution_algorithm algorithm) {
    /* Winograd's larger tiles lose two digits more than plain sums (docs/numerics.md). */
    const double bound = algorithm == FKP_CONVOLUTION_DIRECT ? 1e-6 : 2e-5;
    float *one = calloc(p->numbers, sizeof *one), *many = calloc(p->numbers, sizeof *many);
    ck_assert_ptr_nonnull(one);
    ck_assert_ptr_nonnull(many);
    p->run.algorithm = algorithm;
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        differentiate(p, kernels, 1, accumulate != 0, one);
        double off = distance(p, one, accumulate != 0);
        ck_assert_msg(off <= bound, "%s, algorithm %d, %zu x %zu x %zu: off by %g",
                      fkp_isa_name(kernels->isa), (int)algorithm, p->run.shape.in_height,
                      p->run.shape.in_width, p->run.shape.in_channels, off);
        for (int32_t threads = 2; threads <= 3; threads++) {
            differentiate(p, kernels, threads, accumulate != 0, many);
            ck_assert_int_eq(memcmp(one, many, p->numbers * sizeof *one), 0);
        }
    }
    free(one);
    free(many);
}

START_TEST(every_algorithm_gives_the_plain_sum) {
    problem p;
    begin_problem(&p, &shapes[_i]);
    for (int isa = FKP_ISA_PORTABLE; isa <= (int)fkp_isa_detect(FKP_ISA_COUNT - 1); isa++) {
        fkp_kernels kernels;
        fkp_kernels_select((fkp_isa)isa, &kernels);
        for (int a = FKP_CONVOLUTION_DIRECT; a < FKP_CONVOLUTION_ALGORITHMS; a++)
            if (fkp_convolution_weights_can(&p.run.shape, (fkp_convolution_algorithm)a))
                check_algorithm(&p, &kernels, (fkp_convolution_algorithm)a);
    }
    end_problem(&p);
}
END_TEST

START_TEST(the_choice_is_one_that_can) {
    fkp_kernels kernels;
    fkp_kernels_select(FKP_ISA_COUNT - 1, &kernels);
    ck_assert(
        fkp_convolution_weights_can(&shapes[_i], fkp_convolution_weights_choose(&kernels, &shapes[_i])));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("weight gradient");
    TCase *tests = tcase_create("weight gradient");
    tcase_add_loop_test(tests, every_algorithm_gives_the_plain_sum, 0, SHAPES);
    tcase_add_loop_test(tests, the_choice_is_one_that_can, 0, SHAPES);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
