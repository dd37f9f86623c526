/* Maps, and the crops that are made of them. */
#include <check.h>
#include <math.h>

#include "image/face_crop.h"
#include "support/run_suite.h"

static void check_point(const fkp_affine *map, double x, double y, double px, double py) {
    double u, v;
    fkp_affine_apply(map, x, y, &u, &v);
    ck_assert_double_eq_tol(u, px, 1e-9);
    ck_assert_double_eq_tol(v, py, 1e-9);
}

START_TEST(product_applies_the_first_map_first) {
    const fkp_affine shift = {1, 0, 10, 0, 1, 20}, turn = {0, -1, 0, 1, 0, 0};
    const fkp_affine turn_then_shift = fkp_affine_multiply(shift, turn);
    check_point(&turn_then_shift, 3, 4, 6, 23);
    const fkp_affine shift_then_turn = fkp_affine_multiply(turn, shift);
    check_point(&shift_then_turn, 3, 4, -24, 13);
}
END_TEST

START_TEST(inverse_leads_back) {
    const fkp_affine map = {1.5, -0.25, 17, 0.5, 2.0, -3};
    fkp_affine inverse;
    ck_assert(fkp_affine_invert(map, &inverse));
    const fkp_affine back = fkp_affine_multiply(inverse, map);
    check_point(&back, 5, 7, 5, 7);
    check_point(&back, -300, 1e4, -300, 1e4);
}
END_TEST

START_TEST(maps_without_inverse_are_refused) {
    static const fkp_affine flat[] = {{0},
                                      {1, 2, 3, 2, 4, 5},
                                      {NAN, 0, 0, 0, 1, 0},
                                      {1, 0, INFINITY, 0, 1, 0},
                                      {1e-200, 0, 0, 0, 1e-200, 0}};
    fkp_affine inverse = {7, 7, 7, 7, 7, 7};
    ck_assert(!fkp_affine_invert(flat[_i], &inverse));
    ck_assert_double_eq(inverse.a, 7);
}
END_TEST

START_TEST(record_maps_corners_to_corners) {
    /* 500 x 400 becomes 312 x 250: floor(312.5). The outer edges of the images are each other's. */
    const fkp_affine map = fkp_crop_of_record(500, 400, 224, 0, 0);
    check_point(&map, -0.5, -0.5, -0.5, -0.5);
    check_point(&map, 311.5, 249.5, 499.5, 399.5);
}
END_TEST

START_TEST(record_is_centred_or_where_it_is_told) {
    const fkp_affine told = fkp_crop_of_record(250, 250, 224, 3, 5);
    check_point(&told, 0, 0, 3, 5);
    const fkp_affine centred = fkp_crop_of_record(250, 250, 224, -1, -1);
    check_point(&centred, 0, 0, 13, 13);
    /* 250 x 333, and floor((333 - 224) / 2). */
    const fkp_affine tall = fkp_crop_of_record(300, 400, 224, -1, -1);
    check_point(&tall, -0.5, -0.5, 1.2 * 13 - 0.5, 400.0 / 333.0 * 54 - 0.5);
}
END_TEST

START_TEST(record_has_an_inverse_at_the_extremes) {
    static const int32_t sides[][2] = {{1, 1}, {1, 32767}, {32767, 1}, {32767, 32767}};
    const fkp_affine map = fkp_crop_of_record(sides[_i][0], sides[_i][1], 224, -1, -1);
    fkp_affine inverse;
    ck_assert(fkp_affine_invert(map, &inverse));
    double x, y;
    fkp_affine_apply(&map, 100, 200, &x, &y);
    check_point(&inverse, x, y, 100, 200);
}
END_TEST

START_TEST(crop_of_a_turned_image_stands_upright) {
    /* Whatever the turn, the crop's middle is the image's, and "down" in the crop is down once it is turned.
     */
    static const double down[4][2] = {{0, 1}, {1, 0}, {0, -1}, {-1, 0}};
    const facekp_image image = {.width = 250, .height = 250, .rotation = 90 * _i};
    const fkp_affine map = fkp_crop_of_image(&image, 224);
    check_point(&map, 111.5, 111.5, 124.5, 124.5);
    check_point(&map, 111.5, 112.5, 124.5 + down[_i][0], 124.5 + down[_i][1]);
}
END_TEST

START_TEST(box_fills_its_share_of_the_crop) {
    const facekp_image image = {.width = 640, .height = 480};
    const float box[4] = {100, 120, 96, 80};
    const fkp_affine map = fkp_crop_of_face(box, &image, 200);
    double x0, y0, x1, y1;
    fkp_affine_apply(&map, -0.5, 0, &x0, &y0);
    fkp_affine_apply(&map, 199.5, 0, &x1, &y1);
    ck_assert_double_eq_tol(96.0 / (x1 - x0), FKP_BOX_FILL, 1e-9);
    ck_assert_double_eq_tol(y1, y0, 1e-9);
    ck_assert_double_eq_tol(0.5 * (x0 + x1), 148, 1e-9);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("affine");
    TCase *tests = tcase_create("affine");
    tcase_add_test(tests, product_applies_the_first_map_first);
    tcase_add_test(tests, inverse_leads_back);
    tcase_add_loop_test(tests, maps_without_inverse_are_refused, 0, 5);
    tcase_add_test(tests, record_maps_corners_to_corners);
    tcase_add_test(tests, record_is_centred_or_where_it_is_told);
    tcase_add_loop_test(tests, record_has_an_inverse_at_the_extremes, 0, 4);
    tcase_add_loop_test(tests, crop_of_a_turned_image_stands_upright, 0, 4);
    tcase_add_test(tests, box_fills_its_share_of_the_crop);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
