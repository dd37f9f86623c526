/* Shapes, text, colours and pictures on pictures. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "image/image.h"
#include "support/failing_allocator.h"
#include "support/run_suite.h"

enum { WIDTH = 40, HEIGHT = 30 };

static facekp_picture *make_picture(int32_t width, int32_t height, int32_t channels) {
    const fkp_memory memory = fkp_memory_from(NULL);
    facekp_picture *picture;
    ck_assert_int_eq(fkp_picture_create(&memory, width, height, channels, &picture, NULL), FACEKP_OK);
    return picture;
}

static unsigned gray_at(const facekp_picture *picture, int x, int y) {
    return picture->pixels[y * picture->width + x];
}

static double total(const facekp_picture *picture) {
    double sum = 0.0;
    const size_t count = (size_t)(picture->width * picture->height * picture->channels);
    for (size_t i = 0; i < count; i++) sum += picture->pixels[i];
    return sum / 255.0;
}

/* ---- shapes ---- */

START_TEST(disc_covers_its_area) {
    static const double radii[] = {1.0, 1.6, 2.5, 7.3};
    facekp_picture *picture = make_picture(WIDTH, HEIGHT, 1);
    fkp_draw_disc(picture, 17.3, 14.6, radii[_i], 0xffffff);
    const double area = 3.14159265 * radii[_i] * radii[_i];
    ck_assert_double_eq_tol(total(picture), area, 0.05 * area + 0.15);
    fkp_picture_free(picture);
}
END_TEST

START_TEST(disc_is_full_within_and_nothing_without) {
    facekp_picture *picture = make_picture(WIDTH, HEIGHT, 1);
    fkp_draw_disc(picture, 20, 15, 5.0, 0xffffff);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            const double distance = hypot(x - 20, y - 15);
            if (distance <= 4.5) ck_assert_uint_eq(gray_at(picture, x, y), 255);
            if (distance >= 5.5) ck_assert_uint_eq(gray_at(picture, x, y), 0);
        }
    ck_assert_uint_eq(gray_at(picture, 25, 15), 128); /* the edge runs through the pixel's middle */
    fkp_picture_free(picture);
}
END_TEST

START_TEST(line_has_its_width) {
    facekp_picture *picture = make_picture(WIDTH, HEIGHT, 1);
    fkp_draw_line(picture, 5, 10, 30, 10, 2.0, 0xffffff);
    ck_assert_uint_eq(gray_at(picture, 20, 8), 0);
    ck_assert_uint_eq(gray_at(picture, 20, 9), 128);
    ck_assert_uint_eq(gray_at(picture, 20, 10), 255);
    ck_assert_uint_eq(gray_at(picture, 20, 11), 128);
    ck_assert_uint_eq(gray_at(picture, 20, 12), 0);
    ck_assert_uint_eq(gray_at(picture, 33, 10), 0);
    memset(picture->pixels, 0, WIDTH * HEIGHT);
    fkp_draw_line(picture, 5, 5, 29, 23, 3.0, 0xffffff); /* 30 long, round ends */
    ck_assert_double_eq_tol(total(picture), 30 * 3 + 3.14159 * 1.5 * 1.5, 2.0);
    fkp_picture_free(picture);
}
END_TEST

START_TEST(shapes_are_clipped) {
    static const double far[] = {-3, WIDTH + 2, 1e9, -1e9, 1e300};
    facekp_picture *picture = make_picture(WIDTH, HEIGHT, 3);
    fkp_draw_disc(picture, far[_i], 15, 4, 0xffffff);
    fkp_draw_line(picture, far[_i], far[_i], 20, 15, 2, 0xffffff);
    fkp_draw_disc(picture, NAN, 15, 4, 0xffffff);
    fkp_draw_line(picture, 0, 0, INFINITY, 1, 2, 0xffffff);
    fkp_draw_rectangle(picture, -100, -100, 101, 101, 0x0000ff);
    ck_assert_uint_eq(picture->pixels[2], 255);
    fkp_draw_rectangle(picture, WIDTH - 1, HEIGHT - 1, INT32_MAX, INT32_MAX, 0x0000ff);
    ck_assert_uint_eq(picture->pixels[3 * WIDTH * HEIGHT - 1], 255);
    memset(picture->pixels, 0, 3 * WIDTH * HEIGHT);
    fkp_draw_rectangle(picture, INT32_MIN, 0, 5, 5, 0xffffff);
    fkp_draw_rectangle(picture, 5, 5, 0, -4, 0xffffff);
    fkp_draw_rectangle(picture, WIDTH, 0, 5, 5, 0xffffff);
    ck_assert_double_eq(total(picture), 0.0);
    fkp_picture_free(picture);
}
END_TEST

START_TEST(rectangle_is_exact_and_coloured) {
    facekp_picture *picture = make_picture(WIDTH, HEIGHT, 3);
    fkp_draw_rectangle(picture, 3, 4, 5, 2, 0x12ab56);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            const bool inside = x >= 3 && x < 8 && y >= 4 && y < 6;
            const uint8_t *pixel = picture->pixels + 3 * (y * WIDTH + x);
            ck_assert_uint_eq(pixel[0], inside ? 0x12 : 0);
            ck_assert_uint_eq(pixel[1], inside ? 0xab : 0);
            ck_assert_uint_eq(pixel[2], inside ? 0x56 : 0);
        }
    fkp_picture_free(picture);
    picture = make_picture(WIDTH, HEIGHT, 1);
    fkp_draw_rectangle(picture, 0, 0, WIDTH, HEIGHT, 0xff0000);
    ck_assert_uint_eq(gray_at(picture, 10, 10), 76); /* 0.299 * 255 */
    fkp_picture_free(picture);
}
END_TEST

/* ---- text ---- */

START_TEST(text_fills_its_box) {
    const char *text = "Hgjp|_0";
    const int32_t scale = _i + 1, width = fkp_text_width(text, scale), height = fkp_text_height(scale);
    facekp_picture *picture = make_picture(width + 4, height + 4, 1);
    fkp_draw_text(picture, 2, 2, scale, text, 0xffffff);
    int left = width + 4, right = -1, top = height + 4, bottom = -1;
    for (int y = 0; y < height + 4; y++)
        for (int x = 0; x < width + 4; x++) {
            if (gray_at(picture, x, y) == 0) continue;
            left = x < left ? x : left;
            right = x > right ? x : right;
            top = y < top ? y : top;
            bottom = y > bottom ? y : bottom;
        }
    ck_assert_int_eq(left, 2);
    ck_assert_int_eq(right, width + 1);
    ck_assert_int_eq(top, 2);
    ck_assert_int_eq(bottom, height + 1);
    fkp_picture_free(picture);
}
END_TEST

START_TEST(every_character_looks_different) {
    static uint8_t seen[127][6 * 9];
    for (int c = 32; c < 127; c++) {
        const char text[2] = {(char)c, '\0'};
        facekp_picture *picture = make_picture(6, 9, 1);
        fkp_draw_text(picture, 0, 0, 1, text, 0xffffff);
        memcpy(seen[c], picture->pixels, sizeof seen[c]);
        ck_assert_int_eq(total(picture) == 0.0, c == ' ');
        for (int other = 32; other < c; other++) ck_assert_mem_ne(seen[c], seen[other], sizeof seen[c]);
        fkp_picture_free(picture);
    }
    /* What is not ASCII is shown as a question mark. */
    facekp_picture *picture = make_picture(6, 9, 1);
    fkp_draw_text(picture, 0, 0, 1, "\xfe", 0xffffff);
    ck_assert_mem_eq(picture->pixels, seen['?'], sizeof seen['?']);
    fkp_picture_free(picture);
    ck_assert_int_eq(fkp_text_width("", 3), 0);
    ck_assert_int_eq(fkp_text_width("ab", 3), 33);
}
END_TEST

/* ---- colours ---- */

/* CIE lightness of an sRGB colour. */
static double lightness(uint32_t rgb) {
    static const double shares[] = {0.0722, 0.7152, 0.2126};
    double luminance = 0.0;
    for (int i = 0; i < 3; i++) {
        const double value = (double)(rgb >> (8 * i) & 255) / 255.0;
        luminance += shares[i] * (value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4));
    }
    return luminance > 0.008856 ? 116.0 * cbrt(luminance) - 16.0 : 903.3 * luminance;
}

START_TEST(colours_grow_lighter_evenly) {
    double before = lightness(fkp_colormap(0.0f));
    ck_assert_double_lt(before, 6.0);
    for (int i = 1; i <= 64; i++) {
        const double now = lightness(fkp_colormap((float)i / 64.0f));
        ck_assert_double_gt(now, before);
        ck_assert_double_lt(now - before, 4.0);
        before = now;
    }
    ck_assert_double_gt(before, 90.0);
}
END_TEST

START_TEST(colours_outside_of_the_range_are_the_ends) {
    ck_assert_uint_eq(fkp_colormap(-1.0f), fkp_colormap(0.0f));
    ck_assert_uint_eq(fkp_colormap(NAN), fkp_colormap(0.0f));
    ck_assert_uint_eq(fkp_colormap(7.0f), fkp_colormap(1.0f));
    ck_assert_uint_le(fkp_colormap(0.5f), 0xffffff);
}
END_TEST

/* ---- pictures ---- */

START_TEST(pictures_are_copied_and_converted) {
    facekp_picture *gray = make_picture(3, 2, 1), *colours = make_picture(WIDTH, HEIGHT, 3);
    for (int i = 0; i < 6; i++) gray->pixels[i] = (uint8_t)(40 * i + 10);
    fkp_draw_picture(colours, 5, 6, gray);
    ck_assert_uint_eq(colours->pixels[3 * (7 * WIDTH + 6) + 1], 170);
    ck_assert_double_eq_tol(total(colours), 3 * total(gray), 1e-9);
    fkp_draw_picture(colours, -2, -1, gray); /* only its last pixel */
    ck_assert_uint_eq(colours->pixels[0], 210);
    fkp_draw_picture(colours, WIDTH, HEIGHT, gray);
    fkp_draw_picture(colours, INT32_MAX, INT32_MIN, gray);
    colours->pixels[0] = 255;
    colours->pixels[1] = colours->pixels[2] = 0;
    fkp_draw_picture(gray, 0, 0, colours);
    ck_assert_uint_eq(gray->pixels[0], 76);
    fkp_picture_free(gray);
    fkp_picture_free(colours);
}
END_TEST

START_TEST(resizing_keeps_what_it_should) {
    facekp_picture *picture = make_picture(WIDTH, HEIGHT, 3), *same, *small;
    for (int i = 0; i < 3 * WIDTH * HEIGHT; i++) picture->pixels[i] = (uint8_t)(i * 7 + i / 50);
    ck_assert_int_eq(fkp_picture_resize(picture, WIDTH, HEIGHT, &same, NULL), FACEKP_OK);
    ck_assert_mem_eq(same->pixels, picture->pixels, 3 * WIDTH * HEIGHT);
    fkp_picture_free(same);
    memset(picture->pixels, 255, 3 * WIDTH * HEIGHT);
    ck_assert_int_eq(fkp_picture_resize(picture, 7 + 100 * _i, 5 + 90 * _i, &small, NULL), FACEKP_OK);
    for (int i = 0; i < 3 * small->width * small->height; i++) ck_assert_uint_eq(small->pixels[i], 255);
    fkp_picture_free(small);
    fkp_picture_free(picture);
}
END_TEST

START_TEST(reduced_ramp_stays_a_ramp) {
    facekp_picture *picture = make_picture(240, 60, 1), *small;
    for (int i = 0; i < 240 * 60; i++) picture->pixels[i] = (uint8_t)(i % 240);
    ck_assert_int_eq(fkp_picture_resize(picture, 40, 10, &small, NULL), FACEKP_OK);
    for (int y = 0; y < 10; y++)
        for (int x = 1; x < 39; x++) ck_assert_double_eq_tol(gray_at(small, x, y), 6 * x + 2.5, 0.51);
    fkp_picture_free(small);
    fkp_picture_free(picture);
}
END_TEST

START_TEST(sizes_are_limited) {
    static const struct {
        int32_t width, height, channels;
        facekp_status status;
    } cases[] = {{0, 5, 1, FACEKP_ERROR_ARGUMENT},     {5, -1, 1, FACEKP_ERROR_ARGUMENT},
                 {5, 5, 2, FACEKP_ERROR_ARGUMENT},     {5, 5, 4, FACEKP_ERROR_ARGUMENT},
                 {32768, 1, 1, FACEKP_ERROR_LIMIT},    {1, 32768, 3, FACEKP_ERROR_LIMIT},
                 {32767, 32767, 1, FACEKP_ERROR_LIMIT}};
    const fkp_memory memory = fkp_memory_from(NULL);
    facekp_picture *picture = (facekp_picture *)&memory;
    fkp_error error = {0};
    ck_assert_int_eq(
        fkp_picture_create(&memory, cases[_i].width, cases[_i].height, cases[_i].channels, &picture, &error),
        cases[_i].status);
    ck_assert_ptr_null(picture);
    ck_assert_str_ne(error.message, "");
    fkp_picture_free(NULL);
}
END_TEST

static facekp_status resize_once(const facekp_allocator *allocator, void *argument) {
    (void)argument;
    const fkp_memory memory = fkp_memory_from(allocator);
    facekp_picture *picture, *resized = NULL;
    facekp_status status = fkp_picture_create(&memory, 20, 10, 3, &picture, NULL);
    if (status == FACEKP_OK) status = fkp_picture_resize(picture, 11, 33, &resized, NULL);
    ck_assert((resized != NULL) == (status == FACEKP_OK));
    fkp_picture_free(resized);
    fkp_picture_free(picture);
    return status;
}

START_TEST(resizing_survives_every_failed_allocation) { check_every_allocation(resize_once, NULL); }
END_TEST

int main(void) {
    Suite *suite = suite_create("draw");
    TCase *tests = tcase_create("draw");
    tcase_add_loop_test(tests, disc_covers_its_area, 0, 4);
    tcase_add_test(tests, disc_is_full_within_and_nothing_without);
    tcase_add_test(tests, line_has_its_width);
    tcase_add_loop_test(tests, shapes_are_clipped, 0, 5);
    tcase_add_test(tests, rectangle_is_exact_and_coloured);
    tcase_add_loop_test(tests, text_fills_its_box, 0, 3);
    tcase_add_test(tests, every_character_looks_different);
    tcase_add_test(tests, colours_grow_lighter_evenly);
    tcase_add_test(tests, colours_outside_of_the_range_are_the_ends);
    tcase_add_test(tests, pictures_are_copied_and_converted);
    tcase_add_loop_test(tests, resizing_keeps_what_it_should, 0, 2);
    tcase_add_test(tests, reduced_ramp_stays_a_ramp);
    tcase_add_loop_test(tests, sizes_are_limited, 0, 7);
    tcase_add_test(tests, resizing_survives_every_failed_allocation);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
