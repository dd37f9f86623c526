/* Losses and their gradients against PyTorch's (make_parts_golden.py), on every instruction set, with the
 * same bits on any number of threads. */
#include "train/losses.h"

#include <math.h>

#include "golden/generator.h"
#include "golden/lines.h"
#include "support/run_suite.h"

enum { IMAGES = 6, COORDINATES = 8, NUMBERS = IMAGES * COORDINATES };

static void draw(const char *name, size_t index, size_t count, float low, float high, float *values) {
    fkp_random random = fkp_random_stream(GOLDEN_SEED, hash_name(name), index);
    for (size_t i = 0; i < count; i++) values[i] = fkp_random_between(&random, low, high);
}

/* Differences relative to the largest number there is. */
static void check_numbers(const char *name, const double *expected, const float *values, size_t count,
                          size_t step) {
    double largest = 0.0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs((double)values[i * step] - expected[i]) <= 2e-6 * largest,
                      "%s: gradient %zu is %.9g, not %.9g", name, i * step, (double)values[i * step],
                      expected[i]);
}

/* ---- regression ---- */

static const struct {
    const char *name;
    fkp_loss loss;
} regressions[] = {{"smooth-l1", {.kind = FKP_LOSS_SMOOTH_L1}},
                   {"smooth-l1:beta", {.kind = FKP_LOSS_SMOOTH_L1, .beta = 0.375f}},
                   {"mse", {.kind = FKP_LOSS_MSE}},
                   {"l1", {.kind = FKP_LOSS_L1}},
                   {"wing", {.kind = FKP_LOSS_WING}},
                   {"wing:constants", {.kind = FKP_LOSS_WING, .width = 1.0f, .curvature = 0.25f}},
                   {"soft-wing", {.kind = FKP_LOSS_SOFT_WING}},
                   {"soft-wing:constants",
                    {.kind = FKP_LOSS_SOFT_WING, .threshold = 0.5f, .width = 1.0f, .curvature = 0.125f}}};

START_TEST(a_regression_loss_is_pytorchs) {
    float output[NUMBERS], targets[NUMBERS], gradient[NUMBERS];
    golden_line expected;
    const char *name = regressions[_i].name;
    draw("output", 0, NUMBERS, -1.0f, 1.0f, output);
    draw("target", 0, NUMBERS, -1.0f, 1.0f, targets);
    targets[0] = output[0];
    const fkp_loss_batch batch = {.count = IMAGES,
                                  .shape = {1, 1, COORDINATES},
                                  .output = output,
                                  .targets = targets,
                                  .d_output = gradient};
    read_golden_line("losses.txt", name, &expected);
    ck_assert_uint_eq(expected.count, 1 + NUMBERS);
    ck_assert_uint_eq(fkp_loss_scratch(&regressions[_i].loss, batch.shape, batch.count), 0);
    double value = fkp_loss_run(NULL, &regressions[_i].loss, &batch);
    ck_assert_double_eq_tol(value, expected.numbers[0], 1e-6 * expected.numbers[0]);
    check_numbers(name, expected.numbers + 1, gradient, NUMBERS, 1);
}
END_TEST

/* ---- heatmaps ---- */

static const struct {
    const char *name;
    size_t height, width, keypoints, images;
    float sigma, integral;
} maps[] = {{"small", 7, 5, 3, 2, 0.0f, 0.0f}, /* the default sigma */
            {"sharp", 7, 5, 3, 2, 0.75f, 0.5f},
            {"bands", 40, 70, 2, 1, 2.33f, 0.25f}};
static const fkp_loss_kind kinds[] = {FKP_LOSS_CROSS_ENTROPY, FKP_LOSS_BCE, FKP_LOSS_HEATMAP_MSE};
enum { MAPS = sizeof maps / sizeof *maps, KINDS = sizeof kinds / sizeof *kinds, MOST_NUMBERS = 40 * 70 * 2 };

/* A case's output and points; the second point of each image lies outside. */
static fkp_loss_batch draw_heatmaps(int which, float *output, float *targets) {
    const size_t height = maps[which].height, width = maps[which].width, keypoints = maps[which].keypoints;
    const size_t points = maps[which].images * keypoints;
    float at[12];
    draw("logits", height, points * height * width, -3.0f, 3.0f, output);
    draw("point", height, 2 * points, 0.0f, 1.0f, at);
    for (size_t i = 0; i < points; i++) {
        targets[2 * i] = (float)((double)at[2 * i] * ((double)width - 1.0));
        targets[2 * i + 1] = (float)((double)at[2 * i + 1] * ((double)height - 1.0));
        if (i % keypoints == 1) targets[2 * i] = (float)width + 1.0f;
    }
    return (fkp_loss_batch){.count = maps[which].images,
                            .shape = {height, width, keypoints},
                            .output = output,
                            .targets = targets};
}

static double run(const fkp_loss *loss, fkp_loss_batch batch, fkp_isa isa, int32_t threads, float *gradient) {
    const fkp_memory memory = fkp_memory_from(NULL);
    fkp_kernels kernels;
    fkp_pool *pool;
    fkp_kernels_select(isa, &kernels);
    ck_assert_int_eq(fkp_pool_create(&memory, threads, NULL, NULL, &pool, NULL), FACEKP_OK);
    float *scratch = calloc(fkp_loss_scratch(loss, batch.shape, batch.count), sizeof *scratch);
    ck_assert_ptr_nonnull(scratch);
    const fkp_context context = {.kernels = &kernels, .pool = pool, .scratch = scratch};
    batch.d_output = gradient;
    double value = fkp_loss_run(&context, loss, &batch);
    free(scratch);
    fkp_pool_free(pool);
    return value;
}

START_TEST(a_heatmap_loss_is_pytorchs) {
    static float output[MOST_NUMBERS], gradient[MOST_NUMBERS], again[MOST_NUMBERS];
    const int which = _i % MAPS;
    const fkp_loss loss = {
        .kind = kinds[_i / MAPS], .sigma = maps[which].sigma, .integral = maps[which].integral};
    char name[64];
    float targets[12];
    golden_line expected;
    fkp_loss_batch batch = draw_heatmaps(which, output, targets);
    const size_t numbers = batch.count * fkp_shape_floats(batch.shape), step = (numbers + 79) / 80;
    snprintf(name, sizeof name, "%s:%s", fkp_loss_name(loss.kind), maps[which].name);
    read_golden_line("losses.txt", name, &expected);
    ck_assert_uint_eq(expected.count, 1 + (numbers + step - 1) / step);
    for (int isa = 0; isa < FKP_ISA_COUNT; isa++) {
        double value = run(&loss, batch, (fkp_isa)isa, 1, gradient);
        ck_assert_double_eq_tol(value, expected.numbers[0], 2e-6 * expected.numbers[0]);
        check_numbers(name, expected.numbers + 1, gradient, expected.count - 1, step);
        for (int32_t threads = 2; threads <= 3; threads++) {
            ck_assert_double_eq(run(&loss, batch, (fkp_isa)isa, threads, again), value);
            ck_assert_mem_eq(gradient, again, numbers * sizeof *again);
        }
        ck_assert_double_eq(run(&loss, batch, (fkp_isa)isa, 1, NULL), value);
    }
    /* The gradient may be written over the output. */
    run(&loss, batch, FKP_ISA_COUNT - 1, 1, gradient);
    run(&loss, batch, FKP_ISA_COUNT - 1, 1, output);
    ck_assert_mem_eq(gradient, output, numbers * sizeof *output);
}
END_TEST

/* Logits in the hundreds neither overflow nor lose the loss: softmax of (1000, 0, …) at the target's cell. */
START_TEST(large_logits_are_no_trouble) {
    float output[9] = {0}, gradient[9];
    const float target[2] = {1.0f, 1.0f};
    output[4] = 1000.0f;
    const fkp_loss_batch batch = {.count = 1, .shape = {3, 3, 1}, .output = output, .targets = target};
    const fkp_loss sharp = {.kind = FKP_LOSS_CROSS_ENTROPY, .sigma = 0.1f};
    ck_assert_double_eq_tol(run(&sharp, batch, FKP_ISA_COUNT - 1, 1, gradient), 0.0, 1e-6);
    const fkp_loss bce = {.kind = FKP_LOSS_BCE, .sigma = 0.1f};
    /* softplus(1000) - 1000 at the target, ln 2 elsewhere */
    ck_assert_double_eq_tol(run(&bce, batch, FKP_ISA_COUNT - 1, 1, gradient), 8.0 * log(2.0) / 9.0, 1e-6);
    output[0] = INFINITY;
    ck_assert(!isfinite(run(&sharp, batch, FKP_ISA_COUNT - 1, 1, gradient)));
    output[0] = NAN;
    ck_assert(!isfinite(run(&sharp, batch, FKP_ISA_COUNT - 1, 1, gradient)));
    ck_assert(!isfinite(run(&bce, batch, FKP_ISA_COUNT - 1, 1, gradient)));
}
END_TEST

START_TEST(a_target_map_sums_to_one) {
    const fkp_loss loss = {.kind = FKP_LOSS_CROSS_ENTROPY};
    const fkp_shape shape = {9, 11, 2};
    const float inside[4] = {0.0f, 8.0f, 5.4f, 3.0f}, outside[4] = {-0.51f, 4.0f, 10.5f, 4.0f};
    float map[9 * 11 * 2];
    double sums[2] = {0.0};
    fkp_loss_target_maps(&loss, 1, shape, inside, map);
    for (int i = 0; i < 9 * 11 * 2; i++) sums[i % 2] += (double)map[i];
    ck_assert_double_eq_tol(sums[0], 1.0, 1e-6);
    ck_assert_double_eq_tol(sums[1], 1.0, 1e-6);
    float largest = 0.0f;
    for (int i = 1; i < 9 * 11 * 2; i += 2) largest = fmaxf(largest, map[i]);
    ck_assert_float_eq(map[2 * (3 * 11 + 5) + 1], largest);
    fkp_loss_target_maps(&loss, 1, shape, outside, map);
    for (int i = 0; i < 9 * 11 * 2; i++) ck_assert_float_eq(map[i], 0.0f);
}
END_TEST

START_TEST(losses_by_name) {
    for (int kind = 0; kind < FKP_LOSS_KINDS; kind++)
        ck_assert_int_eq(fkp_loss_named(fkp_loss_name((fkp_loss_kind)kind)), kind);
    ck_assert_int_eq(fkp_loss_named("hinge"), FKP_LOSS_KINDS);
    ck_assert_ptr_null(fkp_loss_name(FKP_LOSS_KINDS));
    ck_assert(fkp_loss_is_heatmap(FKP_LOSS_BCE) && !fkp_loss_is_heatmap(FKP_LOSS_SOFT_WING) &&
              !fkp_loss_is_heatmap(FKP_LOSS_KINDS));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("losses");
    TCase *tests = tcase_create("losses");
    tcase_add_loop_test(tests, a_regression_loss_is_pytorchs, 0, sizeof regressions / sizeof *regressions);
    tcase_add_loop_test(tests, a_heatmap_loss_is_pytorchs, 0, MAPS * KINDS);
    tcase_add_test(tests, large_logits_are_no_trouble);
    tcase_add_test(tests, a_target_map_sums_to_one);
    tcase_add_test(tests, losses_by_name);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
