/* Raw output to points: exact values, sub-pixel accuracy, and maps that no network should give. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "decode/decode.h"
#include "support/run_suite.h"

enum { SIDE = 56 };

static float map[SIDE * SIDE];

/* Log-probabilities, up to a constant, of a Gaussian. */
static void fill_gaussian(double x, double y, double deviation, float constant) {
    for (int row = 0; row < SIDE; row++)
        for (int column = 0; column < SIDE; column++) {
            const double distance2 = (column - x) * (column - x) + (row - y) * (row - y);
            map[row * SIDE + column] = constant - (float)(distance2 / (2.0 * deviation * deviation));
        }
}

static void decode(int32_t method, int32_t window, double *x, double *y, float *confidence) {
    const fkp_heatmap_options options = {method, window};
    float point[2];
    fkp_decode_heatmap(map, SIDE, SIDE, &options, point, confidence);
    *x = ((double)point[0] + 0.5) * SIDE / FKP_INPUT_CROP - 0.5;
    *y = ((double)point[1] + 0.5) * SIDE / FKP_INPUT_CROP - 0.5;
}

START_TEST(regression_is_scaled_and_shifted) {
    float numbers[] = {0.0f, 1.0f, -2.0f, 0.5f};
    fkp_decode_regression(numbers, 4, numbers);
    ck_assert_float_eq(numbers[0], 100.0f);
    ck_assert_float_eq(numbers[1], 150.0f);
    ck_assert_float_eq(numbers[2], 0.0f);
    ck_assert_float_eq(numbers[3], 125.0f);
}
END_TEST

START_TEST(argmax_is_the_centre_of_its_cell) {
    static float small[3 * 4];
    small[1 * 4 + 2] = 5.0f;
    const fkp_heatmap_options options = {FACEKP_DECODE_ARGMAX, 9};
    float point[2], confidence;
    fkp_decode_heatmap(small, 3, 4, &options, point, &confidence);
    ck_assert_float_eq_tol(point[0], 2.5f * 224 / 4 - 0.5f, 1e-4f);
    ck_assert_float_eq_tol(point[1], 1.5f * 224 / 3 - 0.5f, 1e-4f);
}
END_TEST

START_TEST(ties_go_to_the_first_in_row_order) {
    memset(map, 0, sizeof map);
    map[10 * SIDE + 40] = map[10 * SIDE + 41] = map[11 * SIDE + 3] = 1.0f;
    double x, y;
    float confidence;
    decode(FACEKP_DECODE_ARGMAX, 9, &x, &y, &confidence);
    ck_assert_double_eq_tol(x, 40, 1e-4);
    ck_assert_double_eq_tol(y, 10, 1e-4);
}
END_TEST

/* How far off a method is at worst, over centres in all parts of a cell. */
static double worst_error(int32_t method, int32_t window, double deviation) {
    double worst = 0.0;
    for (int i = 0; i < 10; i++)
        for (int j = 0; j < 10; j++) {
            const double true_x = 24.5 + 0.1 * i, true_y = 30.5 + 0.1 * j;
            double x, y;
            float confidence;
            fill_gaussian(true_x, true_y, deviation, 7.0f);
            decode(method, window, &x, &y, &confidence);
            worst = fmax(worst, hypot(x - true_x, y - true_y));
        }
    return worst;
}

START_TEST(gaussians_are_found_between_cells) {
    static const double deviations[] = {0.8, 1.0, 1.5, 2.33, 3.0};
    ck_assert_double_lt(worst_error(FACEKP_DECODE_SOFT_ARGMAX, 9, deviations[_i]), 0.05);
    ck_assert_double_lt(worst_error(FACEKP_DECODE_DARK, 9, deviations[_i]), 0.02);
    ck_assert_double_gt(worst_error(FACEKP_DECODE_ARGMAX, 9, deviations[_i]), 0.5);
}
END_TEST

START_TEST(confidence_is_the_mass_of_the_window) {
    /* Over a floor of c everywhere, a single cell of log-weight 8. */
    memset(map, 0, sizeof map);
    map[20 * SIDE + 20] = 8.0f;
    double x, y;
    float confidence;
    decode(FACEKP_DECODE_SOFT_ARGMAX, 5, &x, &y, &confidence);
    const double peak = exp(8.0);
    ck_assert_float_eq_tol(confidence, (float)((peak + 24) / (peak + SIDE * SIDE - 1)), 2e-5f);
    /* In the corner the window is clipped. */
    memset(map, 0, sizeof map);
    map[0] = 8.0f;
    decode(FACEKP_DECODE_ARGMAX, 5, &x, &y, &confidence);
    ck_assert_float_eq_tol(confidence, (float)((peak + 8) / (peak + SIDE * SIDE - 1)), 2e-5f);
    /* All that counts is in the window: not above 1. */
    memset(map, 0, sizeof map);
    map[20 * SIDE + 20] = 1000.0f;
    decode(FACEKP_DECODE_DARK, 3, &x, &y, &confidence);
    ck_assert_float_eq_tol(confidence, 1.0f, 2e-5f);
    ck_assert_float_le(confidence, 1.0f);
}
END_TEST

START_TEST(borders_give_points_inside) {
    static const double places[][2] = {{0, 0},   {SIDE - 1, 0},    {0, SIDE - 1},   {SIDE - 1, SIDE - 1},
                                       {-3, 20}, {20, SIDE + 2.0}, {0.4, SIDE / 2}, {1.3, 1.2}};
    for (int32_t method = FACEKP_DECODE_ARGMAX; method <= FACEKP_DECODE_DARK; method++) {
        double x, y;
        float confidence;
        fill_gaussian(places[_i][0], places[_i][1], 2.33, 0.0f);
        decode(method, 9, &x, &y, &confidence);
        ck_assert(x > -1e-3 && x < SIDE - 0.999 && y > -1e-3 && y < SIDE - 0.999);
        const double near_x = fmin(fmax(places[_i][0], 0), SIDE - 1);
        const double near_y = fmin(fmax(places[_i][1], 0), SIDE - 1);
        ck_assert_double_lt(hypot(x - near_x, y - near_y), 3.0);
        ck_assert(confidence > 0.2f && confidence <= 1.0f);
    }
}
END_TEST

START_TEST(flat_and_odd_maps_give_their_peak) {
    double x, y;
    float confidence;
    /* No maximum along x: DARK stays at the first cell of the ridge. */
    for (int i = 0; i < SIDE * SIDE; i++) map[i] = i / SIDE == 30 ? 0.0f : -1e4f;
    map[30 * SIDE + 25] = 1e-3f;
    decode(FACEKP_DECODE_DARK, 9, &x, &y, &confidence);
    ck_assert_double_eq_tol(y, 30, 1e-3);
    ck_assert_double_le(fabs(x - 25), 2.0);
    memset(map, 0, sizeof map);
    decode(FACEKP_DECODE_DARK, 9, &x, &y, &confidence);
    ck_assert_double_eq_tol(x, 0, 1e-4);
    ck_assert_float_eq_tol(confidence, 25.0f / (SIDE * SIDE), 1e-5f);
}
END_TEST

START_TEST(nan_counts_as_the_smallest) {
    double x, y;
    float confidence;
    for (int32_t method = FACEKP_DECODE_ARGMAX; method <= FACEKP_DECODE_DARK; method++) {
        fill_gaussian(20.0, 20.0, 1.0, 0.0f);
        map[0] = NAN;
        map[22 * SIDE + 23] = NAN;
        map[17 * SIDE + 18] = -INFINITY;
        decode(method, 9, &x, &y, &confidence);
        ck_assert_double_lt(hypot(x - 20, y - 20), 0.05);
        ck_assert_float_gt(confidence, 0.99f);
    }
}
END_TEST

START_TEST(maps_without_a_finite_peak_give_nan) {
    const float values[] = {NAN, -INFINITY, INFINITY};
    for (int i = 0; i < SIDE * SIDE; i++) map[i] = values[_i];
    for (int32_t method = FACEKP_DECODE_ARGMAX; method <= FACEKP_DECODE_DARK; method++) {
        double x, y;
        float confidence;
        decode(method, 9, &x, &y, &confidence);
        ck_assert_double_nan(x);
        ck_assert_double_nan(y);
        ck_assert_float_eq(confidence, 0.0f);
    }
}
END_TEST

START_TEST(smallest_maps) {
    static const int32_t sides[][2] = {{1, 1}, {1, 7}, {2, 1}, {3, 33}, {65, 2}};
    const int32_t height = sides[_i][0], width = sides[_i][1];
    for (int i = 0; i < height * width; i++) map[i] = (float)(i % 5);
    for (int32_t method = FACEKP_DECODE_ARGMAX; method <= FACEKP_DECODE_DARK; method++) {
        const fkp_heatmap_options options = {method, 31};
        float point[2], confidence;
        fkp_decode_heatmap(map, height, width, &options, point, &confidence);
        ck_assert(point[0] > -0.51f && point[0] < 223.51f && point[1] > -0.51f && point[1] < 223.51f);
        ck_assert(confidence > 0.0f && confidence <= 1.0f);
    }
}
END_TEST

START_TEST(options_are_checked) {
    facekp_predict_options options = FACEKP_PREDICT_OPTIONS_INIT;
    fkp_heatmap_options result = {0};
    ck_assert_int_eq(fkp_heatmap_options_from(&options, &result, NULL), FACEKP_OK);
    ck_assert_int_eq(result.method, FACEKP_DECODE_SOFT_ARGMAX);
    ck_assert_int_eq(result.window, 9);
    static const int32_t bad_windows[] = {-1, 1, 2, 4, 32, 33, INT32_MAX};
    for (size_t i = 0; i < sizeof bad_windows / sizeof *bad_windows; i++) {
        fkp_error error = {0};
        options.window = bad_windows[i];
        ck_assert_int_eq(fkp_heatmap_options_from(&options, &result, &error), FACEKP_ERROR_ARGUMENT);
        ck_assert_str_ne(error.message, "");
        ck_assert_int_eq(result.window, 9);
    }
    options.window = 31;
    static const int32_t bad_methods[] = {-1, 4};
    for (size_t i = 0; i < 2; i++) {
        options.decode = bad_methods[i];
        ck_assert_int_eq(fkp_heatmap_options_from(&options, &result, NULL), FACEKP_ERROR_ARGUMENT);
    }
    options.decode = FACEKP_DECODE_DARK;
    ck_assert_int_eq(fkp_heatmap_options_from(&options, &result, NULL), FACEKP_OK);
    ck_assert_int_eq(result.method, FACEKP_DECODE_DARK);
    ck_assert_int_eq(result.window, 31);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("decode");
    TCase *tests = tcase_create("decode");
    tcase_add_test(tests, regression_is_scaled_and_shifted);
    tcase_add_test(tests, argmax_is_the_centre_of_its_cell);
    tcase_add_test(tests, ties_go_to_the_first_in_row_order);
    tcase_add_loop_test(tests, gaussians_are_found_between_cells, 0, 5);
    tcase_add_test(tests, confidence_is_the_mass_of_the_window);
    tcase_add_loop_test(tests, borders_give_points_inside, 0, 8);
    tcase_add_test(tests, flat_and_odd_maps_give_their_peak);
    tcase_add_test(tests, nan_counts_as_the_smallest);
    tcase_add_loop_test(tests, maps_without_a_finite_peak_give_nan, 0, 3);
    tcase_add_loop_test(tests, smallest_maps, 0, 5);
    tcase_add_test(tests, options_are_checked);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
