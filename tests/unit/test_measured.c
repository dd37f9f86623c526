/* Algorithms of convolutions chosen by the clock: whatever it tells, outputs are those of the cost model's
 * choice within the library's bound. All architectures at full size, with random weights. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "facekp/facekp.h"
#include "facekp/model.h"
#include "graph/program.h"

enum { PIXELS = FACEKP_INPUT_SIZE * FACEKP_INPUT_SIZE, BATCH = 3 };

/* Of the largest output; docs/numerics.md. */
#define OUTPUT_BOUND 1e-4

static float pictures[BATCH * PIXELS];

static void make_pictures(void) {
    fkp_random random = fkp_random_stream(1, 0, 0);
    for (size_t i = 0; i < BATCH * PIXELS; i++) pictures[i] = fkp_random_uniform(&random);
}

static facekp_model *load_for(const char *cpu, int32_t architecture, bool measure) {
    facekp_load_options options = FACEKP_LOAD_OPTIONS_INIT;
    options.cpu = cpu;
    options.architecture = architecture;
    options.random_weights = 1;
    options.measure = measure;
    facekp_model *model;
    ck_assert_int_eq(facekp_model_load(NULL, &options, &model), FACEKP_OK);
    return model;
}

static facekp_model *load(int32_t architecture, bool measure) {
    return load_for(NULL, architecture, measure);
}

/* Outputs of `count` pictures, to be freed. */
static float *run(facekp_model *model, int32_t threads, int32_t batch, size_t count) {
    facekp_session_options options = FACEKP_SESSION_OPTIONS_INIT;
    options.threads = threads;
    options.batch = batch;
    facekp_session *session;
    ck_assert_int_eq(facekp_session_open(model, &options, &session), FACEKP_OK);
    size_t floats = count * facekp_model_output_count(model);
    float *out = malloc(floats * sizeof *out);
    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(facekp_session_run(session, pictures, count, out, floats), FACEKP_OK);
    facekp_session_free(session);
    return out;
}

/* Frees `got`. */
static void expect_near(const float *expected, float *got, size_t count, const char *what) {
    double largest = 0.0, worst = 0.0;
    for (size_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs((double)expected[i]));
        worst = fmax(worst, fabs((double)got[i] - (double)expected[i]));
    }
    ck_assert(largest > 0.0);
    ck_assert_msg(worst <= OUTPUT_BOUND * largest, "%s: outputs differ by %g of the largest", what,
                  worst / largest);
    free(got);
}

START_TEST(a_measured_model_computes_the_same) {
    facekp_model *chosen = load(_i, false), *measured = load(_i, true);
    size_t floats = facekp_model_output_count(chosen);
    float *expected = run(chosen, 1, 1, BATCH), *one = run(measured, 1, 1, 1);
    for (int32_t threads = 2; threads <= 3; threads++) {
        float *more = run(measured, threads, 1, 1);
        ck_assert_mem_eq(one, more, floats * sizeof *one);
        free(more);
    }
    expect_near(expected, one, floats, "one picture");
    expect_near(expected, run(measured, 2, BATCH, BATCH), BATCH * floats, "a batch");
    free(expected);
    facekp_model_free(chosen);
    facekp_model_free(measured);
}
END_TEST

/* Winograd's algorithms read one packed form, so that a model can be set from one to another. Returns how
 * many steps were changed. */
static int set_all(facekp_model *model, fkp_convolution_algorithm algorithm) {
    int changed = 0;
    for (int32_t i = 0; i < model->program->step_count; i++) {
        fkp_step *step = &model->program->steps[i];
        fkp_convolution shape = fkp_step_convolution(step, 1);
        if (step->kind != FKP_STEP_CONVOLUTION || !fkp_is_winograd(step->algorithm) ||
            !fkp_convolution_can(&shape, algorithm))
            continue;
        changed += step->algorithm != algorithm;
        step->algorithm = algorithm;
    }
    return changed;
}

/* What no clock of this machine may ever choose, another's might. */
START_TEST(every_choice_keeps_the_bound) {
    static const int32_t architectures[] = {FACEKP_RESNET18, FACEKP_UNET};
    facekp_model *model = load_for("avx512", architectures[_i], false);
    size_t floats = facekp_model_output_count(model);
    float *expected = run(model, 2, 1, 1);
    for (int a = FKP_CONVOLUTION_WINOGRAD_2_3; a <= FKP_CONVOLUTION_WINOGRAD_6_3; a++) {
        ck_assert_int_gt(set_all(model, (fkp_convolution_algorithm)a), 0);
        expect_near(expected, run(model, 2, 1, 1), floats, model->program->kernels.winograd[a - 1].name);
    }
    free(expected);
    facekp_model_free(model);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("measured");
    TCase *test = tcase_create("measured");
    tcase_set_timeout(test, 120);
    tcase_add_unchecked_fixture(test, make_pictures, NULL);
    tcase_add_loop_test(test, a_measured_model_computes_the_same, FACEKP_DIRECT, FACEKP_UNET + 1);
    tcase_add_loop_test(test, every_choice_keeps_the_bound, 0, 2);
    suite_add_tcase(suite, test);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
