/* From pixels to crops: formats, strides, filters, borders. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "image/face_crop.h"
#include "image/filter.h"
#include "support/run_suite.h"

enum { SIZE = 32 };

static const fkp_affine identity = {1, 0, 0, 0, 1, 0};

static facekp_image image_of(const void *data, int32_t width, int32_t height, int32_t format) {
    return (facekp_image){sizeof(facekp_image), data, 0, width, height, format, 0};
}

static void fill_random(uint8_t *bytes, size_t count, uint64_t seed) {
    fkp_random random = fkp_random_stream(seed, 0, 0);
    for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)fkp_random_below(&random, 256);
}

/* The filter as its definition says, in double, over the whole image. */
static double sample_plainly(const uint8_t *gray, int32_t width, int32_t height, double x, double y,
                             double radius_x, double radius_y) {
    double sum = 0.0, weights = 0.0;
    for (int32_t j = 0; j < height; j++)
        for (int32_t i = 0; i < width; i++) {
            const double weight =
                fmax(1.0 - fabs(i - x) / radius_x, 0.0) * fmax(1.0 - fabs(j - y) / radius_y, 0.0);
            sum += weight * gray[(size_t)j * (size_t)width + (size_t)i];
            weights += weight;
        }
    return sum / weights / 255.0;
}

static void compare_plainly(int32_t width, int32_t height, const fkp_affine *map) {
    uint8_t *gray = malloc((size_t)width * (size_t)height);
    fill_random(gray, (size_t)width * (size_t)height, 1);
    const facekp_image image = image_of(gray, width, height, FACEKP_GRAY8);
    float out[SIZE * SIZE];
    fkp_image_sample(&image, map, SIZE, out);
    const double radius_x = fmax(hypot(map->a, map->b), 1.0), radius_y = fmax(hypot(map->d, map->e), 1.0);
    int inside = 0;
    for (int v = 0; v < SIZE; v++)
        for (int u = 0; u < SIZE; u++) {
            double x, y, expected = 0.0;
            fkp_affine_apply(map, u, v, &x, &y);
            if (x >= -0.5 && x < width - 0.5 && y >= -0.5 && y < height - 0.5) {
                expected = sample_plainly(gray, width, height, x, y, radius_x, radius_y);
                inside++;
            }
            ck_assert_float_eq_tol(out[v * SIZE + u], (float)expected, 2e-6f);
        }
    ck_assert_int_gt(inside, 0);
    free(gray);
}

START_TEST(sampling_is_the_filter_it_says) {
    static const fkp_affine maps[] = {
        {1.7, 0, 0.35, 0, 2.3, 0.65},   /* reduced */
        {0.4, 0, -0.3, 0, 0.7, 3.1},    /* enlarged */
        {-1.3, 0, 44, 0, 1.1, -4},      /* mirrored, and over the upper border */
        {0, 1.9, 0.2, -1.4, 0, 48},     /* a quarter turn */
        {1.2, -0.7, 15, 0.7, 1.2, -6},  /* turned, and outside at corners */
        {0.3, 0.1, 2, -0.2, 0.35, 20},  /* enlarged and sheared */
        {6.5, 0, 2.75, 0, 5.25, 2.125}, /* much reduced: 208 x 168 */
        {20.0, 0, 9.5, 0, 31.0, 15.0},  /* the longest filters without steps */
    };
    static const int32_t sizes[][2] = {{56, 75}, {13, 26}, {48, 33},   {63, 51},
                                       {50, 40}, {17, 31}, {208, 168}, {640, 992}};
    compare_plainly(sizes[_i][0], sizes[_i][1], &maps[_i]);
}
END_TEST

START_TEST(identity_is_exact) {
    uint8_t gray[SIZE * SIZE];
    fill_random(gray, sizeof gray, 2);
    const facekp_image image = image_of(gray, SIZE, SIZE, FACEKP_GRAY8);
    float out[SIZE * SIZE];
    fkp_image_sample(&image, &identity, SIZE, out);
    for (int i = 0; i < SIZE * SIZE; i++) ck_assert_float_eq(out[i], (float)gray[i] / 255.0f);
}
END_TEST

START_TEST(quarter_turns_are_exact) {
    uint8_t gray[SIZE * SIZE];
    fill_random(gray, sizeof gray, 3);
    const facekp_image image = image_of(gray, SIZE, SIZE, FACEKP_GRAY8);
    const fkp_affine turn = {0, 1, 0, -1, 0, SIZE - 1};
    float out[SIZE * SIZE];
    fkp_image_sample(&image, &turn, SIZE, out);
    for (int v = 0; v < SIZE; v++)
        for (int u = 0; u < SIZE; u++)
            ck_assert_float_eq(out[v * SIZE + u], (float)gray[(SIZE - 1 - u) * SIZE + v] / 255.0f);
}
END_TEST

START_TEST(constant_stays_constant) {
    static uint8_t gray[200 * 100];
    memset(gray, 200, sizeof gray);
    const facekp_image image = image_of(gray, 200, 100, FACEKP_GRAY8);
    static const fkp_affine maps[] = {{6, 0, 2, 0, 3, 1}, {0.5, 0, 0, 0, 0.25, 0}, {2, 1, 50, -1, 2, 30}};
    float out[SIZE * SIZE];
    fkp_image_sample(&image, &maps[_i], SIZE, out);
    for (int i = 0; i < SIZE * SIZE; i++)
        if (out[i] != 0.0f) ck_assert_float_eq_tol(out[i], 200.0f / 255.0f, 1e-6f);
    ck_assert_float_ne(out[0], 0.0f);
}
END_TEST

START_TEST(ramp_stays_a_ramp) {
    static float ramp[100 * 256];
    for (int i = 0; i < 100 * 256; i++) ramp[i] = (float)(i % 256) / 256.0f;
    const facekp_image image = image_of(ramp, 256, 100, FACEKP_GRAYF);
    const fkp_affine map = {7.3, 0, 9, 0, 2, 11};
    float out[SIZE * SIZE];
    fkp_image_sample(&image, &map, SIZE, out);
    for (int v = 0; v < SIZE; v++)
        for (int u = 1; u < SIZE - 1; u++)
            ck_assert_float_eq_tol(out[v * SIZE + u], (float)((7.3 * u + 9) / 256.0), 2e-3f);
}
END_TEST

START_TEST(formats_agree) {
    static const int32_t formats[] = {FACEKP_RGB8, FACEKP_BGR8, FACEKP_RGBA8, FACEKP_BGRA8};
    static const size_t bytes[] = {3, 3, 4, 4};
    static const size_t red[] = {0, 2, 0, 2};
    uint8_t colours[SIZE * SIZE * 3], stored[SIZE * SIZE * 4];
    fill_random(colours, sizeof colours, 4);
    fill_random(stored, sizeof stored, 5);
    for (size_t i = 0; i < SIZE * SIZE; i++) {
        stored[i * bytes[_i] + red[_i]] = colours[3 * i];
        stored[i * bytes[_i] + 1] = colours[3 * i + 1];
        stored[i * bytes[_i] + 2 - red[_i]] = colours[3 * i + 2];
    }
    const facekp_image image = image_of(stored, SIZE, SIZE, formats[_i]);
    const fkp_affine turned = {0.8, 0.6, 0, -0.6, 0.8, 19};
    float out[SIZE * SIZE], gray[SIZE * SIZE], expected[SIZE * SIZE], got[SIZE * SIZE];
    fkp_image_sample(&image, &identity, SIZE, out);
    for (size_t i = 0; i < SIZE * SIZE; i++) {
        gray[i] = 0.299f * (float)colours[3 * i] + 0.587f * (float)colours[3 * i + 1] +
                  0.114f * (float)colours[3 * i + 2];
        gray[i] /= 255.0f;
        ck_assert_float_eq_tol(out[i], gray[i], 1e-6f);
    }
    const facekp_image plain = image_of(gray, SIZE, SIZE, FACEKP_GRAYF);
    fkp_image_sample(&plain, &turned, SIZE, expected);
    fkp_image_sample(&image, &turned, SIZE, got);
    for (size_t i = 0; i < SIZE * SIZE; i++) ck_assert_float_eq_tol(got[i], expected[i], 1e-6f);
}
END_TEST

START_TEST(gray_colours_are_exactly_gray) {
    uint8_t colours[3 * SIZE * SIZE];
    for (size_t i = 0; i < sizeof colours; i++) colours[i] = (uint8_t)(i / 3);
    const facekp_image image = image_of(colours, SIZE, SIZE, FACEKP_RGB8);
    float out[SIZE * SIZE];
    fkp_image_sample(&image, &identity, SIZE, out);
    for (int i = 0; i < SIZE * SIZE; i++) ck_assert_float_eq(out[i], (float)(uint8_t)i / 255.0f);
}
END_TEST

START_TEST(strides_may_be_wide_or_negative) {
    enum { STRIDE = SIZE + 5 };
    uint8_t gray[SIZE * STRIDE];
    fill_random(gray, sizeof gray, 6);
    facekp_image image = image_of(gray, SIZE, SIZE, FACEKP_GRAY8);
    float out[SIZE * SIZE];
    image.stride = STRIDE;
    fkp_image_sample(&image, &identity, SIZE, out);
    for (int v = 0; v < SIZE; v++)
        for (int u = 0; u < SIZE; u++)
            ck_assert_float_eq(out[v * SIZE + u], (float)gray[v * STRIDE + u] / 255.0f);
    image.data = gray + (SIZE - 1) * STRIDE;
    image.stride = -STRIDE;
    fkp_image_sample(&image, &identity, SIZE, out);
    for (int v = 0; v < SIZE; v++)
        for (int u = 0; u < SIZE; u++)
            ck_assert_float_eq(out[v * SIZE + u], (float)gray[(SIZE - 1 - v) * STRIDE + u] / 255.0f);
}
END_TEST

START_TEST(floats_need_not_be_aligned) {
    float values[SIZE * SIZE], out[SIZE * SIZE];
    for (int i = 0; i < SIZE * SIZE; i++) values[i] = (float)i / (SIZE * SIZE);
    uint8_t *bytes = malloc(sizeof values + 1);
    memcpy(bytes + 1, values, sizeof values);
    const facekp_image image = image_of(bytes + 1, SIZE, SIZE, FACEKP_GRAYF);
    fkp_image_sample(&image, &identity, SIZE, out);
    ck_assert_mem_eq(out, values, sizeof values);
    free(bytes);
}
END_TEST

START_TEST(outside_is_zero_whatever_the_map) {
    static const fkp_affine maps[] = {{1, 0, 1e300, 0, 1, 0},
                                      {1, 0, -33, 0, 1, 0},
                                      {1, 0, 0, 0, 1, SIZE},
                                      {NAN, 0, 0, 0, 1, 0},
                                      {1, 0.5, INFINITY, 0.5, 1, 0},
                                      {1, NAN, 0, 1, 1, 0},
                                      {1e300, 1e300, -1e10, 1e300, 1, 0}};
    uint8_t gray[SIZE * SIZE];
    memset(gray, 255, sizeof gray);
    const facekp_image image = image_of(gray, SIZE, SIZE, FACEKP_GRAY8);
    float out[SIZE * SIZE];
    memset(out, 0xff, sizeof out);
    fkp_image_sample(&image, &maps[_i], SIZE, out);
    for (int i = 0; i < SIZE * SIZE; i++) ck_assert_float_eq(out[i], 0.0f);
}
END_TEST

START_TEST(huge_reductions_stay_within_the_image) {
    /* Steps over pixels; the image is exactly as large as it says, so that a sanitizer sees any slip. */
    static const int32_t sizes[][2] = {{3000, 7}, {7, 3000}, {32767, 2}, {1, 1}};
    static const double reductions[] = {65, 97, 1000, 1e9};
    const int32_t width = sizes[_i][0], height = sizes[_i][1];
    uint8_t *gray = malloc((size_t)width * (size_t)height);
    memset(gray, 100, (size_t)width * (size_t)height);
    const facekp_image image = image_of(gray, width, height, FACEKP_GRAY8);
    float out[SIZE * SIZE];
    for (int turned = 0; turned < 2; turned++) {
        const double s = reductions[_i];
        const fkp_affine map = {s, turned * 0.1 * s, -2 * s, turned * -0.1 * s, s, -2 * s};
        fkp_image_sample(&image, &map, SIZE, out);
        int inside = 0;
        for (int i = 0; i < SIZE * SIZE; i++) {
            if (out[i] == 0.0f) continue;
            ck_assert_float_eq_tol(out[i], 100.0f / 255.0f, 1e-6f);
            inside++;
        }
        ck_assert(inside > 0 || turned == 1);
    }
    free(gray);
}
END_TEST

START_TEST(filter_weights_sum_to_one) {
    float weights[FKP_FILTER_TAPS];
    for (double reduction = 0.5; reduction < 3000; reduction *= 1.37)
        for (double centre = -0.5; centre < 499.5; centre += 0.477) {
            const fkp_filter filter = fkp_filter_of(reduction);
            int32_t first = -1;
            const int32_t count = fkp_filter_taps(&filter, centre, 500, &first, weights);
            ck_assert(count >= 1 && count <= filter.taps && filter.taps <= FKP_FILTER_TAPS);
            ck_assert(first >= 0 && (first + count - 1) * filter.step < 500);
            float sum = 0.0f;
            for (int32_t i = 0; i < count; i++) {
                ck_assert_float_gt(weights[i], 0.0f);
                sum += weights[i];
            }
            ck_assert_float_eq_tol(sum, 1.0f, 1e-5f);
        }
}
END_TEST

static facekp_status check_with(void (*change)(facekp_image *)) {
    static const uint8_t pixel[64];
    facekp_image image = image_of(pixel, 4, 4, FACEKP_RGB8);
    fkp_error error = {0};
    ck_assert_int_eq(fkp_image_check(&image, &error), FACEKP_OK);
    change(&image);
    const facekp_status status = fkp_image_check(&image, &error);
    ck_assert_str_ne(error.message, "");
    return status;
}

static void no_data(facekp_image *image) { image->data = NULL; }
static void no_width(facekp_image *image) { image->width = 0; }
static void negative_height(facekp_image *image) { image->height = -1; }
static void too_wide(facekp_image *image) { image->width = 32768; }
static void unknown_format(facekp_image *image) { image->format = 7; }
static void zero_format(facekp_image *image) { image->format = 0; }
static void narrow_stride(facekp_image *image) { image->stride = 11; }
static void narrow_negative_stride(facekp_image *image) { image->stride = -11; }
static void endless_stride(facekp_image *image) { image->stride = INT64_MIN; }
static void oblique(facekp_image *image) { image->rotation = 45; }

START_TEST(bad_images_are_refused) {
    static void (*const changes[])(facekp_image *) = {
        no_data,     no_width,      negative_height,        too_wide,       unknown_format,
        zero_format, narrow_stride, narrow_negative_stride, endless_stride, oblique};
    ck_assert_int_eq(check_with(changes[_i]), FACEKP_ERROR_ARGUMENT);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("image");
    TCase *tests = tcase_create("image");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, sampling_is_the_filter_it_says, 0, 8);
    tcase_add_test(tests, identity_is_exact);
    tcase_add_test(tests, quarter_turns_are_exact);
    tcase_add_loop_test(tests, constant_stays_constant, 0, 3);
    tcase_add_test(tests, ramp_stays_a_ramp);
    tcase_add_loop_test(tests, formats_agree, 0, 4);
    tcase_add_test(tests, gray_colours_are_exactly_gray);
    tcase_add_test(tests, strides_may_be_wide_or_negative);
    tcase_add_test(tests, floats_need_not_be_aligned);
    tcase_add_loop_test(tests, outside_is_zero_whatever_the_map, 0, 7);
    tcase_add_loop_test(tests, huge_reductions_stay_within_the_image, 0, 4);
    tcase_add_test(tests, filter_weights_sum_to_one);
    tcase_add_loop_test(tests, bad_images_are_refused, 0, 10);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
