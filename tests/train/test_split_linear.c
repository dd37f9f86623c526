/* Linear layers of many rows by products of split numbers: the gradients of float32, on every level of this
 * CPU, and the same bits for any number of threads. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/run_suite.h"
#include "train/gradient.h"

/* Rows are more than a strip of them on one thread or on three, and end within a tile, a pair and a chunk;
 * channels end within a tile, and are more than a strip of dW's. */
enum { BATCH = 2, ROWS = 101, INPUTS = 1, MIDDLE = 139, OUTPUTS = 49, LAST = 33 };

typedef struct subject {
    fkp_memory memory;
    fkp_network *network;
    float *parameters, *in, *d_output;
    size_t outputs;
} subject;

static float *random_numbers(size_t count, uint64_t name) {
    fkp_random random = fkp_random_stream(8, name, count);
    float *numbers = calloc(count, sizeof *numbers);
    ck_assert_ptr_nonnull(numbers);
    for (size_t i = 0; i < count; i++) numbers[i] = fkp_random_normal(&random);
    return numbers;
}

static subject make_subject(void) {
    subject s = {.memory = fkp_memory_from(NULL), .outputs = BATCH * ROWS * LAST};
    fkp_builder b;
    ck_assert_int_eq(fkp_network_begin(&s.memory, &b, ROWS, 1, INPUTS), FACEKP_OK);
    int32_t x = fkp_add_linear(&b, 0, "a", MIDDLE);
    x = fkp_add_activation(&b, x, FKP_ACTIVATION_GELU);
    x = fkp_add_linear(&b, x, "b", OUTPUTS);
    fkp_add_linear(&b, x, "c", LAST);
    ck_assert_int_eq(fkp_network_finish(&b, &s.network, NULL), FACEKP_OK);
    s.parameters = random_numbers(s.network->storage, 1);
    s.in = random_numbers(BATCH * ROWS * INPUTS, 2);
    s.d_output = random_numbers(s.outputs, 3);
    return s;
}

static void free_subject(subject *s) {
    fkp_network_free(&s->memory, s->network);
    free(s->parameters);
    free(s->in);
    free(s->d_output);
}

/* Outputs, then gradients given twice, the second time onto the first. */
static float *differentiate(const subject *s, const fkp_kernels *kernels, int32_t threads) {
    fkp_pool *pool;
    fkp_gradient *engine;
    ck_assert_int_eq(fkp_pool_create(&s->memory, threads, NULL, NULL, &pool, NULL), FACEKP_OK);
    ck_assert_int_eq(fkp_gradient_create(&s->memory, s->network, kernels, pool, BATCH, &engine, NULL),
                     FACEKP_OK);
    float *numbers = calloc(s->outputs + s->network->storage, sizeof *numbers);
    ck_assert_ptr_nonnull(numbers);
    for (int time = 0; time < 2; time++) {
        const float *out =
            fkp_gradient_forward(engine, s->parameters, s->in, BATCH, &(fkp_forward){.training = true});
        memcpy(numbers, out, s->outputs * sizeof *numbers);
        fkp_gradient_backward(engine, s->parameters, s->d_output, time == 1, numbers + s->outputs);
    }
    fkp_gradient_free(engine);
    fkp_pool_free(pool);
    return numbers;
}

static void compare(const float *expected, const float *got, size_t count, const char *isa,
                    const char *what) {
    double norm = 0.0, distance = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double off = (double)got[i] - (double)expected[i];
        norm += (double)expected[i] * (double)expected[i];
        distance += off * off;
    }
    ck_assert(norm > 0.0);
    ck_assert_msg(sqrt(distance / norm) <= 1e-5, "%s, %s: off by %g", isa, what, sqrt(distance / norm));
}

START_TEST(gradients_are_those_of_float32) {
    subject s = make_subject();
    const size_t numbers = s.outputs + s.network->storage;
    for (int isa = FKP_ISA_PORTABLE; isa <= (int)fkp_isa_detect(FKP_ISA_COUNT - 1); isa++) {
        fkp_kernels kernels;
        fkp_kernels_select((fkp_isa)isa, &kernels);
        kernels.split.speed = 0.0;
        float *expected = differentiate(&s, &kernels, 1);
        kernels.split.speed = 1.0;
        float *first = differentiate(&s, &kernels, 1);
        ck_assert_int_ne(memcmp(expected, first, numbers * sizeof *first), 0);
        compare(expected, first, s.outputs, fkp_isa_name(kernels.isa), "outputs");
        for (int32_t i = 0; i < s.network->parameter_count; i++) {
            const fkp_parameter *p = &s.network->parameters[i];
            compare(expected + s.outputs + p->offset, first + s.outputs + p->offset, p->count,
                    fkp_isa_name(kernels.isa), p->name);
        }
        for (int32_t threads = 2; threads <= 3; threads++) {
            float *other = differentiate(&s, &kernels, threads);
            ck_assert_int_eq(memcmp(first, other, numbers * sizeof *other), 0);
            free(other);
        }
        free(first);
        free(expected);
    }
    free_subject(&s);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("split linear");
    TCase *tests = tcase_create("split linear");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, gradients_are_those_of_float32);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
