/* Rendered faces: the same for the same numbers, sane points, and features where the points say. */
#include "train/data/synth.h"

#include <math.h>
#include <string.h>

#include "decode/plausibility.h"
#include "support/failing_allocator.h"
#include "support/run_suite.h"

enum { SIZE = 224, FACES = 12 };

static uint8_t gray[SIZE * SIZE];
static float points[136];

static void render(uint64_t seed, uint64_t index) {
    const fkp_memory memory = fkp_memory_from(NULL);
    fkp_error error = {0};
    ck_assert_msg(fkp_synth_render(&memory, seed, index, SIZE, gray, points, &error) == FACEKP_OK, "%s",
                  error.message);
}

START_TEST(same_numbers_give_the_same_face) {
    static uint8_t first[SIZE * SIZE];
    float first_points[136];
    render(7, 3);
    memcpy(first, gray, sizeof gray);
    memcpy(first_points, points, sizeof points);
    render(7, 4);
    ck_assert_mem_ne(first, gray, sizeof gray);
    ck_assert_mem_ne(first_points, points, sizeof points);
    render(8, 3);
    ck_assert_mem_ne(first, gray, sizeof gray);
    render(7, 3);
    ck_assert_mem_eq(first, gray, sizeof gray);
    ck_assert_mem_eq(first_points, points, sizeof points);
}
END_TEST

START_TEST(points_scale_with_the_picture) {
    const fkp_memory memory = fkp_memory_from(NULL);
    static uint8_t small[SIZE * SIZE / 4];
    float half[136];
    render(7, 5);
    ck_assert_int_eq(fkp_synth_render(&memory, 7, 5, SIZE / 2, small, half, NULL), FACEKP_OK);
    for (int i = 0; i < 136; i++) ck_assert_float_eq_tol(2.0f * half[i] + 0.5f, points[i], 1e-3f);
}
END_TEST

static float x_of(int i) { return points[2 * i]; }
static float y_of(int i) { return points[2 * i + 1]; }
static float apart(int i, int j) { return hypotf(x_of(i) - x_of(j), y_of(i) - y_of(j)); }

START_TEST(points_are_in_the_picture_and_in_order) {
    for (uint64_t index = 0; index < FACES; index++) {
        render(1, index);
        for (int i = 0; i < 68; i++)
            ck_assert(x_of(i) > 0 && x_of(i) < SIZE - 1 && y_of(i) > 0 && y_of(i) < SIZE - 1);
        const float eyes = apart(36, 45);
        ck_assert(eyes > 0.1f * SIZE && eyes < 0.5f * SIZE);
        ck_assert(x_of(0) < x_of(8) && x_of(8) < x_of(16)); /* the jaw's ends and the chin */
        ck_assert(y_of(8) > y_of(0) && y_of(8) > y_of(16) && y_of(8) > y_of(57));
        ck_assert(x_of(17) < x_of(21) && x_of(21) < x_of(22) && x_of(22) < x_of(26)); /* brows */
        ck_assert(y_of(19) < y_of(37) && y_of(24) < y_of(44));
        ck_assert(x_of(36) < x_of(39) && x_of(39) < x_of(42) && x_of(42) < x_of(45)); /* eyes */
        ck_assert(y_of(37) < y_of(41) && y_of(43) < y_of(47));
        ck_assert(y_of(27) < y_of(30) && x_of(31) < x_of(35)); /* nose */
        ck_assert(x_of(48) < x_of(54) && y_of(51) < y_of(57)); /* mouth */
        ck_assert(y_of(51) < y_of(62) && y_of(62) <= y_of(66) + 1.0f && y_of(66) < y_of(57));
    }
}
END_TEST

START_TEST(shapes_are_those_of_faces) {
    double sum = 0.0;
    for (uint64_t index = 0; index < FACES; index++) {
        float plausible[68];
        render(2, index);
        fkp_shape_plausibility(points, 68, plausible);
        for (int i = 0; i < 68; i++) sum += (double)plausible[i];
    }
    ck_assert_double_gt(sum / (68.0 * FACES), 0.85);
}
END_TEST

static float brightness(float x, float y) { return (float)gray[(int)(y + 0.5f) * SIZE + (int)(x + 0.5f)]; }

/* The darkest place of an eye whose six points begin at `first`. */
static float darkest_in_eye(int first) {
    float darkest = 255.0f;
    for (float y = fminf(y_of(first + 1), y_of(first + 2)); y <= y_of(first + 4); y += 1.0f)
        for (float x = x_of(first) + 1.0f; x < x_of(first + 3); x += 1.0f)
            darkest = fminf(darkest, brightness(x, y));
    return darkest;
}

START_TEST(pupils_are_darker_than_cheeks) {
    for (uint64_t index = 0; index < FACES; index++) {
        render(3, index);
        for (int right = 0; right < 2; right++) {
            const int eye = right == 1 ? 42 : 36, wing = right == 1 ? 35 : 31;
            const float middle = 0.5f * (x_of(eye) + x_of(eye + 3));
            ck_assert_float_lt(darkest_in_eye(eye), brightness(middle, 0.5f * (y_of(eye) + y_of(wing))));
        }
    }
}
END_TEST

START_TEST(sizes_are_limited) {
    static const int32_t sizes[] = {FKP_SYNTH_SMALLEST - 1, FKP_SYNTH_LARGEST + 1, 0, -5, INT32_MIN};
    const fkp_memory memory = fkp_memory_from(NULL);
    fkp_error error = {0};
    ck_assert_int_eq(fkp_synth_render(&memory, 1, 1, sizes[_i], gray, points, &error), FACEKP_ERROR_ARGUMENT);
    ck_assert_str_ne(error.message, "");
}
END_TEST

static facekp_status render_once(const facekp_allocator *allocator, void *argument) {
    (void)argument;
    const fkp_memory memory = fkp_memory_from(allocator);
    return fkp_synth_render(&memory, 1, 1, FKP_SYNTH_SMALLEST, gray, points, NULL);
}

START_TEST(rendering_survives_every_failed_allocation) { check_every_allocation(render_once, NULL); }
END_TEST

int main(void) {
    Suite *suite = suite_create("synth");
    TCase *tests = tcase_create("synth");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, same_numbers_give_the_same_face);
    tcase_add_test(tests, points_scale_with_the_picture);
    tcase_add_test(tests, points_are_in_the_picture_and_in_order);
    tcase_add_test(tests, shapes_are_those_of_faces);
    tcase_add_test(tests, pupils_are_darker_than_cheeks);
    tcase_add_loop_test(tests, sizes_are_limited, 0, 5);
    tcase_add_test(tests, rendering_survives_every_failed_allocation);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
