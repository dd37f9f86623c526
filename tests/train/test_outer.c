/* Sums of outer products of rows, on every instruction set of this CPU, against the plain sum in double; the
 * same bits for any number of threads and for one worker alone. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/run_suite.h"
#include "train/layers/outer.h"

enum { MARGIN = 3 }; /* floats between two rows, so that strides are not the number of channels */

/* Rows, channels of a and of b: single ones, tiles and panels that end early, more than a block of rows, more
 * than a task's channels, and whole blocks and panels. */
static const size_t shapes[][3] = {{1, 1, 1},      {3, 5, 7},     {17, 15, 33},   {197, 64, 64},
                                   {255, 13, 31},  {257, 29, 48}, {300, 193, 65}, {513, 40, 100},
                                   {512, 192, 64}, {700, 390, 37}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

typedef struct problem {
    fkp_memory memory;
    fkp_outer run;
    size_t numbers; /* of c, between the rows too */
    float *before, *c;
    double *expected;
} problem;

static float *random_numbers(size_t count, uint64_t name) {
    fkp_random random = fkp_random_stream(6, name, count);
    float *numbers = calloc(count, sizeof *numbers);
    ck_assert_ptr_nonnull(numbers);
    for (size_t i = 0; i < count; i++) numbers[i] = fkp_random_normal(&random);
    return numbers;
}

static fkp_view random_rows(size_t rows, size_t channels, uint64_t name) {
    return (fkp_view){random_numbers(rows * (channels + MARGIN), name), channels + MARGIN};
}

static void begin_problem(problem *p, const size_t shape[3]) {
    p->memory = fkp_memory_from(NULL);
    p->run = (fkp_outer){.rows = shape[0],
                         .a_channels = shape[1],
                         .b_channels = shape[2],
                         .a = random_rows(shape[0], shape[1], 1),
                         .b = random_rows(shape[0], shape[2], 2),
                         .c_stride = shape[2] + MARGIN};
    p->numbers = shape[1] * p->run.c_stride;
    p->before = random_numbers(p->numbers, 3);
    p->c = calloc(p->numbers, sizeof *p->c);
    p->expected = calloc(p->numbers, sizeof *p->expected);
    ck_assert(p->c != NULL && p->expected != NULL);
    const fkp_view *a = &p->run.a, *b = &p->run.b;
    for (size_t row = 0; row < shape[0]; row++)
        for (size_t i = 0; i < shape[1]; i++)
            for (size_t j = 0; j < shape[2]; j++)
                p->expected[i * p->run.c_stride + j] +=
                    (double)a->data[row * a->stride + i] * (double)b->data[row * b->stride + j];
    memcpy(p->c, p->before, p->numbers * sizeof *p->c);
    p->run.c = p->c;
}

static void end_problem(problem *p) {
    free(p->run.a.data);
    free(p->run.b.data);
    free(p->before);
    free(p->c);
    free(p->expected);
}

/* Scratch memory is exactly what was asked for, and full of NaN before. No thread: the serial form. */
static void multiply(const problem *p, const fkp_kernels *kernels, int32_t threads, bool accumulate,
                     float *c) {
    fkp_train_kernels train;
    fkp_train_kernels_select(kernels->isa, &train);
    fkp_outer run = p->run;
    run.c = c;
    run.accumulate = accumulate;
    memcpy(c, p->before, p->numbers * sizeof *c);
    fkp_pool *pool;
    ck_assert_int_eq(fkp_pool_create(&p->memory, threads == 0 ? 1 : threads, NULL, NULL, &pool, NULL),
                     FACEKP_OK);
    const size_t floats =
        threads == 0 ? fkp_outer_serial_floats() : fkp_outer_scratch(fkp_pool_threads(pool));
    const fkp_context context = {
        .kernels = kernels, .pool = pool, .scratch = fkp_allocate_raw(&p->memory, floats, sizeof(float))};
    ck_assert_ptr_nonnull(context.scratch);
    memset(context.scratch, 0xff, floats * sizeof(float));
    if (threads == 0)
        fkp_outer_serial(&train, &run, context.scratch);
    else
        fkp_outer_run(&context, &train, &run);
    fkp_release(&p->memory, context.scratch, floats, sizeof(float));
    fkp_pool_free(pool);
}

/* Every number within what a sum of so many rounded products may lose; what lies between the rows untouched.
 */
static void compare(const problem *p, const char *isa, bool accumulate, const float *c) {
    const double bound = 1e-6 * (double)p->run.rows + 1e-5;
    for (size_t k = 0; k < p->numbers; k++) {
        const double before = (double)p->before[k];
        const bool inside = k % p->run.c_stride < p->run.b_channels;
        const double expected = !inside ? before : p->expected[k] + (accumulate ? before : 0.0);
        const double off = (double)c[k] - expected;
        ck_assert_msg(inside ? off <= bound && off >= -bound : off >= 0.0 && off <= 0.0,
                      "%s, %zu rows of %zu and %zu channels, number %zu: off by %g", isa, p->run.rows,
                      p->run.a_channels, p->run.b_channels, k, off);
    }
}

START_TEST(every_set_and_any_number_of_threads_gives_the_plain_sum) {
    problem p;
    begin_problem(&p, shapes[_i]);
    float *other = calloc(p.numbers, sizeof *other);
    ck_assert_ptr_nonnull(other);
    for (int isa = FKP_ISA_PORTABLE; isa <= (int)fkp_isa_detect(FKP_ISA_COUNT - 1); isa++) {
        fkp_kernels kernels;
        fkp_kernels_select((fkp_isa)isa, &kernels);
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            multiply(&p, &kernels, 1, accumulate != 0, p.c);
            compare(&p, fkp_isa_name(kernels.isa), accumulate != 0, p.c);
            for (int32_t threads = 0; threads <= 3; threads++) {
                multiply(&p, &kernels, threads, accumulate != 0, other);
                ck_assert_int_eq(memcmp(p.c, other, p.numbers * sizeof *other), 0);
            }
        }
    }
    free(other);
    end_problem(&p);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("outer");
    TCase *tests = tcase_create("outer");
    tcase_add_loop_test(tests, every_set_and_any_number_of_threads_gives_the_plain_sum, 0, SHAPES);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
