/* facekp_session_predict: formats, rotation, boxes, batches, failures by face, the bias, the second pass. */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <math.h>

#include "image/face_crop.h"
#include "support/small_model.h"

enum { WIDTH = 90, HEIGHT = 120, POINTS = 2 * FACEKP_KEYPOINTS };

static facekp_model *model;
static facekp_session *session;
static unsigned char gray[WIDTH * HEIGHT];

static facekp_image image_of(const void *data, int32_t width, int32_t height, int32_t format,
                             int32_t rotation) {
    return (facekp_image){sizeof(facekp_image), data, 0, width, height, format, rotation};
}

static void open_dino(void) {
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            gray[y * WIDTH + x] =
                (unsigned char)(128.0 + 60.0 * sin(x / 9.0) + 50.0 * cos(y / 13.0 + x / 31.0));
    model = small_model_load(&small_dino, NULL, 0, NULL);
    facekp_session_options options = FACEKP_SESSION_OPTIONS_INIT;
    options.batch = 2;
    ck_assert_int_eq(facekp_session_open(model, &options, &session), FACEKP_OK);
}

static void close_dino(void) {
    facekp_session_free(session);
    facekp_model_free(model);
}

static void predict_one(const facekp_image *image, const float *box, float points[POINTS]) {
    facekp_faces faces = FACEKP_FACES_INIT;
    faces.points = points;
    facekp_status status = facekp_session_predict(session, &image, 1, box, NULL, 1, NULL, &faces);
    ck_assert_msg(status == FACEKP_OK, "%s", facekp_session_message(session));
}

static float farthest(const float *a, const float *b) {
    float most = 0.0f;
    for (int i = 0; i < POINTS; i++) most = fmaxf(most, fabsf(a[i] - b[i]));
    return most;
}

START_TEST(every_format_gives_the_same_points) {
    static unsigned char bytes[4 * WIDTH * HEIGHT];
    static float floats[WIDTH * HEIGHT];
    float expected[POINTS], points[POINTS];
    facekp_image image = image_of(gray, WIDTH, HEIGHT, FACEKP_GRAY8, 0);
    predict_one(&image, NULL, expected);
    for (int i = 0; i < WIDTH * HEIGHT; i++) floats[i] = (float)gray[i] / 255.0f;
    image = image_of(floats, WIDTH, HEIGHT, FACEKP_GRAYF, 0);
    predict_one(&image, NULL, points);
    ck_assert(farthest(points, expected) < 0.01f);
    for (int32_t format = FACEKP_RGB8; format <= FACEKP_BGRA8; format++) {
        const int channels = format <= FACEKP_BGR8 ? 3 : 4;
        memset(bytes, 7, sizeof bytes);
        for (int i = 0; i < WIDTH * HEIGHT; i++) memset(bytes + i * channels, gray[i], 3);
        image = image_of(bytes, WIDTH, HEIGHT, format, 0);
        predict_one(&image, NULL, points);
        ck_assert(farthest(points, expected) < 0.01f);
    }
}
END_TEST

START_TEST(strides_may_be_padded_or_negative) {
    static unsigned char padded[HEIGHT * 128];
    float expected[POINTS], points[POINTS];
    facekp_image image = image_of(gray, WIDTH, HEIGHT, FACEKP_GRAY8, 0);
    predict_one(&image, NULL, expected);
    for (int y = 0; y < HEIGHT; y++) memcpy(padded + y * 128, gray + y * WIDTH, WIDTH);
    image = image_of(padded, WIDTH, HEIGHT, FACEKP_GRAY8, 0);
    image.stride = 128;
    predict_one(&image, NULL, points);
    ck_assert_mem_eq(points, expected, sizeof points);
    for (int y = 0; y < HEIGHT; y++) memcpy(padded + (HEIGHT - 1 - y) * 128, gray + y * WIDTH, WIDTH);
    image.data = padded + (HEIGHT - 1) * 128;
    image.stride = -128;
    predict_one(&image, NULL, points);
    ck_assert_mem_eq(points, expected, sizeof points);
}
END_TEST

/* Stores the picture so that it must be turned clockwise by `rotation` to stand upright, and maps a point of
 * the upright picture to the stored one. */
static void stored_place(int32_t rotation, double x, double y, double *stored_x, double *stored_y) {
    *stored_x = rotation == 90 ? y : rotation == 180 ? WIDTH - 1 - x : rotation == 270 ? HEIGHT - 1 - y : x;
    *stored_y = rotation == 90 ? WIDTH - 1 - x : rotation == 180 ? HEIGHT - 1 - y : rotation == 270 ? x : y;
}

START_TEST(rotated_images_give_the_points_of_the_upright_one) {
    static unsigned char turned[WIDTH * HEIGHT];
    const float box[4] = {20.0f, 30.0f, 40.0f, 50.0f};
    for (int with_box = 0; with_box < 2; with_box++) {
        float expected[POINTS], points[POINTS];
        facekp_image image = image_of(gray, WIDTH, HEIGHT, FACEKP_GRAY8, 0);
        predict_one(&image, with_box ? box : NULL, expected);
        for (int32_t rotation = 90; rotation <= 270; rotation += 90) {
            const bool lying = rotation != 180;
            const int32_t width = lying ? HEIGHT : WIDTH, height = lying ? WIDTH : HEIGHT;
            double x, y, opposite_x, opposite_y;
            for (int v = 0; v < HEIGHT; v++)
                for (int u = 0; u < WIDTH; u++) {
                    stored_place(rotation, u, v, &x, &y);
                    turned[(int)y * width + (int)x] = gray[v * WIDTH + u];
                }
            image = image_of(turned, width, height, FACEKP_GRAY8, rotation);
            stored_place(rotation, (double)box[0], (double)box[1], &x, &y);
            stored_place(rotation, (double)(box[0] + box[2]), (double)(box[1] + box[3]), &opposite_x,
                         &opposite_y);
            const float turned_box[4] = {(float)fmin(x, opposite_x), (float)fmin(y, opposite_y),
                                         (float)fabs(x - opposite_x), (float)fabs(y - opposite_y)};
            predict_one(&image, with_box ? turned_box : NULL, points);
            for (int i = 0; i < FACEKP_KEYPOINTS; i++) {
                stored_place(rotation, (double)expected[2 * i], (double)expected[2 * i + 1], &x, &y);
                ck_assert(fabs(x - (double)points[2 * i]) < 0.02 &&
                          fabs(y - (double)points[2 * i + 1]) < 0.02);
            }
        }
    }
}
END_TEST

START_TEST(a_box_lies_in_the_crop_as_faces_of_the_training_data_do) {
    const facekp_image image = image_of(gray, WIDTH, HEIGHT, FACEKP_GRAY8, 0), *images[] = {&image};
    const float box[4] = {20.0f, 30.0f, 48.0f, 40.0f};
    float transform[6];
    facekp_faces faces = FACEKP_FACES_INIT;
    faces.transforms = transform;
    ck_assert_int_eq(facekp_session_predict(session, images, 1, box, NULL, 1, NULL, &faces), FACEKP_OK);
    const float side = 48.0f / 0.48f; /* of the crop, in pixels of the image */
    ck_assert_float_eq_tol(transform[0], side / 224.0f, 1e-4f);
    ck_assert_float_eq_tol(transform[4], side / 224.0f, 1e-4f);
    ck_assert(transform[1] == 0.0f && transform[3] == 0.0f);
    /* The middle of the box lies in the middle of the crop across, and 6.5 % of its side below the middle. */
    const float u = 111.5f, v = 111.5f + 0.065f * 224.0f;
    ck_assert_float_eq_tol(transform[0] * u + transform[2], 44.0f, 1e-3f);
    ck_assert_float_eq_tol(transform[4] * v + transform[5], 50.0f, 1e-3f);
}
END_TEST

START_TEST(raw_output_transform_and_points_belong_together) {
    const facekp_image image = image_of(gray, WIDTH, HEIGHT, FACEKP_GRAY8, 0), *images[] = {&image};
    const float boxes[3][4] = {{20, 30, 40, 50}, {-10, -10, 60, 60}, {50, 60, 80, 90}};
    float points[3][POINTS], raw[3][POINTS], transforms[3][6], decoded[POINTS];
    facekp_faces faces = FACEKP_FACES_INIT;
    faces.points = points[0];
    faces.raw = raw[0];
    faces.transforms = transforms[0];
    ck_assert_int_eq(facekp_session_predict(session, images, 1, boxes[0], NULL, 3, NULL, &faces), FACEKP_OK);
    for (int f = 0; f < 3; f++) {
        ck_assert_int_eq(facekp_decode_regression(raw[f], 1, FACEKP_KEYPOINTS, decoded), FACEKP_OK);
        const float *t = transforms[f];
        for (int i = 0; i < FACEKP_KEYPOINTS; i++) {
            const float u = decoded[2 * i], v = decoded[2 * i + 1];
            ck_assert_float_eq_tol(points[f][2 * i], t[0] * u + t[1] * v + t[2], 1e-2f);
            ck_assert_float_eq_tol(points[f][2 * i + 1], t[3] * u + t[4] * v + t[5], 1e-2f);
        }
    }
}
END_TEST

START_TEST(images_are_found_by_index) {
    static unsigned char other[64 * 64];
    memset(other, 200, sizeof other);
    const facekp_image first = image_of(gray, WIDTH, HEIGHT, FACEKP_GRAY8, 0);
    const facekp_image second = image_of(other, 64, 64, FACEKP_GRAY8, 0);
    const facekp_image *images[] = {&first, &second};
    float alone[2][POINTS], together[3][POINTS];
    predict_one(&first, NULL, alone[0]);
    predict_one(&second, NULL, alone[1]);
    facekp_faces faces = FACEKP_FACES_INIT;
    faces.points = together[0];
    const int32_t order[3] = {1, 0, 1};
    ck_assert_int_eq(facekp_session_predict(session, images, 2, NULL, order, 3, NULL, &faces), FACEKP_OK);
    for (int i = 0; i < 3; i++) ck_assert(farthest(together[i], alone[order[i]]) < 0.01f);
    ck_assert_int_eq(facekp_session_predict(session, images, 2, NULL, NULL, 2, NULL, &faces), FACEKP_OK);
    for (int i = 0; i < 2; i++) ck_assert(farthest(together[i], alone[i]) < 0.01f);
}
END_TEST

static const float bad_boxes[][4] = {{NAN, 0, 10, 10}, {0, INFINITY, 10, 10}, {0, 0, 0, 10},
                                     {0, 0, 10, -1},   {0, 0, NAN, 10},       {0, 0, 10, 1e9f},
                                     {90, 0, 10, 10},  {0, -11, 10, 10},      {0, 0, 0.5f, 10.0f}};
enum { BAD_BOXES = sizeof bad_boxes / sizeof *bad_boxes };

START_TEST(one_bad_box_does_not_spoil_the_others) {
    const facekp_image image = image_of(gray, WIDTH, HEIGHT, FACEKP_GRAY8, 0), *images[] = {&image};
    const float good[4] = {20, 30, 40, 50};
    float expected[POINTS];
    predict_one(&image, good, expected);
    for (int b = 0; b < BAD_BOXES; b++) {
        float boxes[3][4], points[3][POINTS], confidences[3][FACEKP_KEYPOINTS];
        for (int i = 0; i < 3; i++) memcpy(boxes[i], i == 1 ? bad_boxes[b] : good, sizeof good);
        memset(points, 0x5a, sizeof points);
        int32_t statuses[3] = {1, 1, 1};
        facekp_faces faces = FACEKP_FACES_INIT;
        faces.points = points[0];
        faces.confidences = confidences[0];
        faces.statuses = statuses;
        ck_assert_int_eq(facekp_session_predict(session, images, 1, boxes[0], NULL, 3, NULL, &faces),
                         FACEKP_OK);
        ck_assert(statuses[0] == FACEKP_OK && statuses[1] == FACEKP_ERROR_ARGUMENT &&
                  statuses[2] == FACEKP_OK);
        ck_assert_ptr_nonnull(strstr(facekp_session_message(session), "box"));
        ck_assert(farthest(points[0], expected) < 0.01f && farthest(points[2], expected) < 0.01f);
        for (size_t i = 0; i < sizeof points[1]; i++) ck_assert_int_eq(((unsigned char *)points[1])[i], 0x5a);

        memset(points, 0x5a, sizeof points);
        faces.statuses = NULL;
        ck_assert_int_eq(facekp_session_predict(session, images, 1, boxes[0], NULL, 3, NULL, &faces),
                         FACEKP_ERROR_ARGUMENT);
        for (size_t i = 0; i < sizeof points; i++) ck_assert_int_eq(((unsigned char *)points)[i], 0x5a);
    }
}
END_TEST

START_TEST(bad_images_are_refused) {
    facekp_image image = image_of(gray, WIDTH, HEIGHT, FACEKP_GRAY8, 0);
    facekp_image bad[8];
    for (int i = 0; i < 8; i++) bad[i] = image;
    bad[0].data = NULL;
    bad[1].width = 0;
    bad[2].height = -1;
    bad[3].format = 7;
    bad[4].rotation = 45;
    bad[5].stride = WIDTH - 1;
    bad[6].width = 40000;
    bad[7].stride = INT64_MIN;
    facekp_faces faces = FACEKP_FACES_INIT;
    for (int i = 0; i < 8; i++) {
        const facekp_image *images[] = {&bad[i]};
        facekp_status status = facekp_session_predict(session, images, 1, NULL, NULL, 1, NULL, &faces);
        ck_assert_msg(status == FACEKP_ERROR_ARGUMENT || status == FACEKP_ERROR_LIMIT, "%d: %d", i,
                      (int)status);
    }
    bad[0] = image;
    bad[0].struct_size = 1;
    const facekp_image *images[] = {&bad[0], &image}, *absent[] = {NULL};
    ck_assert_int_eq(facekp_session_predict(session, images, 1, NULL, NULL, 1, NULL, &faces),
                     FACEKP_ERROR_STRUCT_SIZE);
    ck_assert_int_eq(facekp_session_predict(session, absent, 1, NULL, NULL, 1, NULL, &faces),
                     FACEKP_ERROR_ARGUMENT);
    const int32_t beyond = 2;
    ck_assert_int_eq(facekp_session_predict(session, images, 2, NULL, &beyond, 1, NULL, &faces),
                     FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_session_predict(session, images, 2, NULL, NULL, 3, NULL, &faces),
                     FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_session_predict(session, images, 0, NULL, NULL, 1, NULL, &faces),
                     FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_session_predict(session, images, 1, NULL, NULL, 0, NULL, &faces),
                     FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(facekp_session_predict(session, images, 1, NULL, NULL, 1, NULL, NULL),
                     FACEKP_ERROR_ARGUMENT);
    facekp_predict_options options = FACEKP_PREDICT_OPTIONS_INIT;
    options.window = 33;
    ck_assert_int_eq(facekp_session_predict(session, absent, 1, NULL, NULL, 1, &options, &faces),
                     FACEKP_ERROR_ARGUMENT);
}
END_TEST

START_TEST(pixels_that_are_not_numbers_fail_their_face) {
    static float floats[WIDTH * HEIGHT];
    floats[HEIGHT / 2 * WIDTH + WIDTH / 2] = NAN;
    const facekp_image poisoned = image_of(floats, WIDTH, HEIGHT, FACEKP_GRAYF, 0);
    const facekp_image good = image_of(gray, WIDTH, HEIGHT, FACEKP_GRAY8, 0);
    const facekp_image *images[] = {&poisoned, &good};
    const fkp_network_options *const networks[] = {&small_dino, &small_unet};
    for (int n = 0; n < 2; n++) {
        facekp_model *other = small_model_load(networks[n], NULL, 0, NULL);
        facekp_session *opened;
        ck_assert_int_eq(facekp_session_open(other, NULL, &opened), FACEKP_OK);
        int32_t statuses[2];
        facekp_faces faces = FACEKP_FACES_INIT;
        faces.statuses = statuses;
        ck_assert_int_eq(facekp_session_predict(opened, images, 2, NULL, NULL, 2, NULL, &faces), FACEKP_OK);
        ck_assert_int_eq(statuses[0], FACEKP_ERROR_VALUE);
        ck_assert_int_eq(statuses[1], FACEKP_OK);
        facekp_session_free(opened);
        facekp_model_free(other);
    }
}
END_TEST

START_TEST(the_bias_of_the_labels_is_scaled_to_the_image) {
    const fkp_metadata extra = {"label_bias_px", "2.0,1.5"};
    facekp_model *biased = small_model_load(&small_dino, &extra, 1, NULL);
    facekp_session *opened;
    ck_assert_int_eq(facekp_session_open(biased, NULL, &opened), FACEKP_OK);
    const facekp_image image = image_of(gray, WIDTH, HEIGHT, FACEKP_GRAY8, 0), *images[] = {&image};
    float clean[POINTS], kept[POINTS], transform[6];
    facekp_faces faces = FACEKP_FACES_INIT;
    faces.transforms = transform;
    facekp_predict_options options = FACEKP_PREDICT_OPTIONS_INIT;
    faces.points = clean;
    ck_assert_int_eq(facekp_session_predict(opened, images, 1, NULL, NULL, 1, &options, &faces), FACEKP_OK);
    options.keep_label_bias = 1;
    faces.points = kept;
    ck_assert_int_eq(facekp_session_predict(opened, images, 1, NULL, NULL, 1, &options, &faces), FACEKP_OK);
    for (int i = 0; i < FACEKP_KEYPOINTS; i++) {
        ck_assert_float_eq_tol(kept[2 * i] - clean[2 * i], 2.0f * transform[0], 1e-2f);
        ck_assert_float_eq_tol(kept[2 * i + 1] - clean[2 * i + 1], 1.5f * transform[4], 1e-2f);
    }
    facekp_session_free(opened);
    facekp_model_free(biased);
}
END_TEST

START_TEST(the_second_crop_stands_upright_around_the_points) {
    /* A face of ten units a side, its eyes on a line that falls by 30 degrees. */
    float points[POINTS] = {0};
    const double turn = 0.5235987755982988;
    for (int i = 0; i < FACEKP_KEYPOINTS; i++) {
        const double x = i < 36 ? 10.0 * (i % 2) : i < 42 ? 2.0 : i < 48 ? 8.0 : 5.0;
        const double y = i < 36 ? 10.0 * (i / 2 % 2) : i < 48 ? 4.0 : 7.0;
        points[2 * i] = (float)(40.0 + x * cos(turn) - y * sin(turn));
        points[2 * i + 1] = (float)(50.0 + x * sin(turn) + y * cos(turn));
    }
    const facekp_image image = image_of(gray, WIDTH, HEIGHT, FACEKP_GRAY8, 0);
    fkp_affine crop, inverse;
    ck_assert(fkp_crop_of_points(points, FACEKP_KEYPOINTS, &image, 224, 0.5, &crop));
    ck_assert(fkp_affine_invert(crop, &inverse));
    double u0, v0, u1, v1;
    fkp_affine_apply(&inverse, (double)points[72], (double)points[73], &u0, &v0);
    fkp_affine_apply(&inverse, (double)points[84], (double)points[85], &u1, &v1);
    ck_assert(fabs(v0 - v1) < 1e-3 && fabs(u1 - u0 - 6.0 * 11.2) < 1e-2);
    fkp_affine_apply(&inverse, (double)points[0], (double)points[1], &u0, &v0);
    fkp_affine_apply(&inverse, (double)points[6], (double)points[7], &u1, &v1);
    ck_assert(fabs(u1 - u0 - 112.0) < 1e-2 && fabs(v1 - v0 - 112.0) < 1e-2);
    ck_assert(fabs((u0 + u1) / 2 - 111.5) < 1e-2 && fabs((v0 + v1) / 2 - 111.5 - 14.0) < 1e-2);

    memset(points, 0, sizeof points);
    ck_assert(!fkp_crop_of_points(points, FACEKP_KEYPOINTS, &image, 224, 0.5, &crop));
    points[3] = NAN;
    ck_assert(!fkp_crop_of_points(points, 4, &image, 224, 0.5, &crop));
}
END_TEST

START_TEST(a_second_pass_looks_where_the_first_points_are) {
    const facekp_image image = image_of(gray, WIDTH, HEIGHT, FACEKP_GRAY8, 0), *images[] = {&image};
    float first[POINTS], second[POINTS], transforms[2][6];
    facekp_faces faces = FACEKP_FACES_INIT;
    facekp_predict_options options = FACEKP_PREDICT_OPTIONS_INIT;
    faces.points = first;
    faces.transforms = transforms[0];
    ck_assert_int_eq(facekp_session_predict(session, images, 1, NULL, NULL, 1, &options, &faces), FACEKP_OK);
    options.second_pass = 1;
    faces.points = second;
    faces.transforms = transforms[1];
    ck_assert_int_eq(facekp_session_predict(session, images, 1, NULL, NULL, 1, &options, &faces), FACEKP_OK);
    fkp_affine expected;
    if (fkp_crop_of_points(first, FACEKP_KEYPOINTS, &image, FACEKP_INPUT_SIZE, FKP_BOX_FILL, &expected)) {
        ck_assert_float_eq_tol(transforms[1][0], (float)expected.a, 1e-4f);
        ck_assert_float_eq_tol(transforms[1][2], (float)expected.c, 1e-2f);
    } else {
        ck_assert_mem_eq(first, second, sizeof first);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("api predict");
    TCase *test = tcase_create("predict");
    tcase_set_timeout(test, 120);
    tcase_add_checked_fixture(test, open_dino, close_dino);
    tcase_add_test(test, every_format_gives_the_same_points);
    tcase_add_test(test, strides_may_be_padded_or_negative);
    tcase_add_test(test, rotated_images_give_the_points_of_the_upright_one);
    tcase_add_test(test, a_box_lies_in_the_crop_as_faces_of_the_training_data_do);
    tcase_add_test(test, raw_output_transform_and_points_belong_together);
    tcase_add_test(test, images_are_found_by_index);
    tcase_add_test(test, one_bad_box_does_not_spoil_the_others);
    tcase_add_test(test, bad_images_are_refused);
    tcase_add_test(test, pixels_that_are_not_numbers_fail_their_face);
    tcase_add_test(test, the_bias_of_the_labels_is_scaled_to_the_image);
    tcase_add_test(test, the_second_crop_stands_upright_around_the_points);
    tcase_add_test(test, a_second_pass_looks_where_the_first_points_are);
    suite_add_tcase(suite, test);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
