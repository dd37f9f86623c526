/* For mkdtemp. */
#define _POSIX_C_SOURCE 200809L
/* Metrics against numbers worked out by hand, and their writers. */
#include "train/metrics.h"

#include "support.h"

#define POINTS 136

static fkp_memory memory;
static fkp_metrics *metrics;
static float truth[POINTS];

/* A face whose outer eye corners are 60 px apart. */
static void setup(void) {
    memory = fkp_memory_from(NULL);
    for (int i = 0; i < POINTS; i++) truth[i] = 0.02f * (float)i;
    truth[2 * 36] = -0.6f;
    truth[2 * 45] = 0.6f;
    truth[2 * 36 + 1] = truth[2 * 45 + 1] = 0.0f;
    ck_assert_int_eq(fkp_metrics_create(&memory, 68, 8, &metrics, NULL), FACEKP_OK);
}

static void teardown(void) { fkp_metrics_free(metrics); }

/* Moves points [begin, end) of the truth by (dx, dy) pixels and counts the face in. */
static void add_moved(int begin, int end, float dx, float dy) {
    float predicted[POINTS];
    memcpy(predicted, truth, sizeof predicted);
    for (int k = begin; k < end; k++) {
        predicted[2 * k] += dx / 50.0f;
        predicted[2 * k + 1] += dy / 50.0f;
    }
    fkp_metrics_add(metrics, predicted, truth);
}

START_TEST(one_shifted_face) {
    add_moved(0, 68, 3.0f, -4.0f);
    fkp_metrics_summary s = fkp_metrics_summarize(metrics);
    ck_assert_uint_eq(s.faces, 1);
    ck_assert_double_eq_tol(s.mse, (0.06 * 0.06 + 0.08 * 0.08) / 2.0, 1e-7);
    ck_assert_double_eq_tol(s.nme, 5.0 / 60.0, 1e-6);
    ck_assert_double_eq_tol(s.median_error, 5.0, 1e-4);
    ck_assert_double_eq_tol(s.p95_error, 5.0, 1e-4);
    ck_assert_double_eq(s.failure_rate, 0.0);
    ck_assert_double_eq_tol(s.auc, 1.0 - 5.0 / 6.0, 1e-5);
    ck_assert_double_eq_tol(s.all.residual_x, 3.0, 1e-4);
    ck_assert_double_eq_tol(s.all.residual_y, -4.0, 1e-4);
    ck_assert_double_eq_tol(fkp_metrics_point(metrics, 67).error, 5.0, 1e-4);
}
END_TEST

START_TEST(regions_and_quantiles) {
    add_moved(48, 68, 10.0f, 0.0f); /* the mouth, 20 of 68 points */
    add_moved(0, 0, 0.0f, 0.0f);
    add_moved(0, 68, 12.0f, 0.0f); /* NME 20 %: a failure */
    fkp_metrics_summary s = fkp_metrics_summarize(metrics);
    ck_assert_double_eq_tol(s.failure_rate, 1.0 / 3.0, 1e-9);
    ck_assert_double_eq_tol(s.regions[4].residual_x, 22.0 / 3.0, 1e-4);
    ck_assert_double_eq_tol(s.regions[0].residual_x, 4.0, 1e-4);
    /* Of 204 errors 116 are 0, 20 are 10 and 68 are 12. */
    ck_assert_double_eq_tol(s.median_error, 0.0, 1e-6);
    ck_assert_double_eq_tol(s.p95_error, 12.0, 1e-4);
    double small = 10.0 * 20.0 / 68.0 / 60.0;
    ck_assert_double_eq_tol(s.auc, (1.0 - small / 0.1 + 1.0 + 0.0) / 3.0, 1e-5);
    ck_assert_double_eq_tol(s.nme, (small + 0.2) / 3.0, 1e-6);
}
END_TEST

START_TEST(quantiles_are_order_statistics) {
    fkp_metrics *one;
    ck_assert_int_eq(fkp_metrics_create(&memory, 1, 101, &one, NULL), FACEKP_OK);
    const float origin[2] = {0.0f, 0.0f};
    for (int i = 0; i <= 100; i++)
        fkp_metrics_add(one, (float[]){(float)((i * 37) % 101) / 50.0f, 0.0f}, origin);
    fkp_metrics_summary s = fkp_metrics_summarize(one);
    ck_assert_double_eq_tol(s.median_error, 50.0, 1e-4);
    ck_assert_double_eq_tol(s.p95_error, 95.0, 1e-4);
    fkp_metrics_free(one);
}
END_TEST

START_TEST(nothing_and_nan) {
    fkp_metrics_summary s = fkp_metrics_summarize(metrics);
    ck_assert(isnan(s.mse) && isnan(s.nme) && isnan(s.median_error) && isnan(s.auc));
    add_moved(0, 1, NAN, 0.0f);
    s = fkp_metrics_summarize(metrics);
    ck_assert(isnan(s.mse));
    ck_assert_double_eq(s.failure_rate, 1.0);
    ck_assert_double_eq_tol(s.median_error, 0.0, 1e-9);
    fkp_metrics_clear(metrics);
    ck_assert_uint_eq(fkp_metrics_count(metrics), 0);
}
END_TEST

START_TEST(other_numbers_of_points_use_the_box) {
    fkp_metrics *four;
    const float box[8] = {0, 0, 1, 0, 1, 4, 0, 4}; /* 50 x 200 px: the root of the area is 100 px */
    const float moved[8] = {0.1f, 0, 1.1f, 0, 1.1f, 4, 0.1f, 4};
    ck_assert_int_eq(fkp_metrics_create(&memory, 4, 1, &four, NULL), FACEKP_OK);
    fkp_metrics_add(four, moved, box);
    fkp_metrics_summary s = fkp_metrics_summarize(four);
    ck_assert_double_eq_tol(s.nme, 0.05, 1e-6);
    ck_assert(isnan(s.regions[0].error));
    fkp_metrics_free(four);
}
END_TEST

START_TEST(writers_say_the_numbers) {
    fkp_text text;
    fkp_text_begin(&text, &memory);
    add_moved(0, 68, 3.0f, -4.0f);
    fkp_metrics_write_text(metrics, &text);
    ck_assert_ptr_nonnull(strstr(fkp_text_get(&text), "NME                    8.33 %"));
    ck_assert_ptr_nonnull(strstr(fkp_text_get(&text), "mouth                5.00   +3.00   -4.00"));
    fkp_text_clear(&text);
    fkp_metrics_write_json(metrics, &text);
    ck_assert_ptr_nonnull(strstr(fkp_text_get(&text), "{\"faces\": 1, \"mse\": 0.005000, \"nme\": 0.083333"));
    ck_assert_ptr_nonnull(
        strstr(fkp_text_get(&text), "\"jaw\": {\"error_px\": 5.0000, \"residual_x_px\": 3.0"));
    fkp_text_clear(&text);
    fkp_metrics_write_csv(metrics, &text);
    int lines = 0, commas = 0;
    for (const char *c = fkp_text_get(&text); *c != '\0'; c++) {
        lines += *c == '\n';
        commas += *c == ',';
    }
    ck_assert_int_eq(lines, 1 + 1 + 5 + 68);
    ck_assert_int_eq(commas, 9 * lines);
    fkp_text_free(&text);
}
END_TEST

START_TEST(numbers_are_read_and_written) {
    static const struct {
        const char *text;
        double value;
    } good[] = {{"1", 1}, {" -2.5 ", -2.5}, {"+.5e1", 5}, {"3e-2", 0.03}, {"1e400", INFINITY}, {"12.", 12}};
    static const char *const wrong[] = {"", " ", "1,5", "0x10", "1e", "--1", "1 2", ".", "nanx"};
    double value;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert(fkp_parse_number(good[i].text, good[i].text + strlen(good[i].text), &value));
        ck_assert(value == good[i].value);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert(!fkp_parse_number(wrong[i], wrong[i] + strlen(wrong[i]), &value));
    fkp_text text;
    fkp_text_begin(&text, &memory);
    fkp_text_number(&text, 0.1, -1);
    fkp_text_append(&text, " ");
    fkp_text_number(&text, -1234.5678, 2);
    fkp_text_append(&text, " ");
    fkp_text_json_number(&text, (double)NAN, 2);
    fkp_text_json_string(&text, "a\"b\n");
    ck_assert_str_eq(fkp_text_get(&text), "0.1 -1234.57 null\"a\\\"b\\u000a\"");
    fkp_text_free(&text);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("metrics");
    TCase *tests = tcase_create("metrics");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, one_shifted_face);
    tcase_add_test(tests, regions_and_quantiles);
    tcase_add_test(tests, quantiles_are_order_statistics);
    tcase_add_test(tests, nothing_and_nan);
    tcase_add_test(tests, other_numbers_of_points_use_the_box);
    tcase_add_test(tests, writers_say_the_numbers);
    tcase_add_test(tests, numbers_are_read_and_written);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
