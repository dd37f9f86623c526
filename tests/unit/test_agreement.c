/* The instruction sets agree: whatever kernels a machine chooses, outputs and points are those of the
 * portable ones. Every architecture at full size, and the trained model of the examples, on a drawn picture
 * and, where the data set is at hand, on real faces. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facekp/facekp.h"

#define TRAINED FKP_TEST_SOURCE "/../examples/models/facekp-resnet18.safetensors"

enum { SIZE = 250, POINTS = 2 * FACEKP_KEYPOINTS };

/* The bounds of docs/numerics.md: raw outputs relative to the largest, points in pixels. */
#define OUTPUT_BOUND 1e-4
#define POINT_BOUND 0.05

static unsigned char picture[SIZE * SIZE];

/* A smooth round head with darker eyes and mouth: edges and gradients as a face has them. */
static void draw_picture(void) {
    static const double dark[3][3] = {{100, 105, 12}, {150, 105, 12}, {125, 175, 22}};
    for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++) {
            double level = 60.0 + 130.0 / (1.0 + exp((hypot(x - 125.0, 0.8 * (y - 130.0)) - 75.0) / 4.0));
            for (int k = 0; k < 3; k++)
                level -= 90.0 * exp(-pow(hypot(x - dark[k][0], y - dark[k][1]) / dark[k][2], 2.0));
            picture[y * SIZE + x] = (unsigned char)fmax(0.0, level);
        }
}

typedef struct answer {
    float *raw;
    size_t count;
    float points[POINTS];
} answer;

/* architecture 0: the trained model. */
static answer ask(int32_t architecture, const char *cpu) {
    facekp_load_options options = FACEKP_LOAD_OPTIONS_INIT;
    options.architecture = architecture;
    options.random_weights = architecture != 0;
    options.cpu = cpu;
    facekp_model *model;
    facekp_session *session;
    ck_assert_int_eq(facekp_model_load(architecture == 0 ? TRAINED : NULL, &options, &model), FACEKP_OK);
    ck_assert_int_eq(facekp_session_open(model, NULL, &session), FACEKP_OK);
    answer a = {.count = facekp_model_output_count(model)};
    a.raw = malloc(a.count * sizeof *a.raw);
    ck_assert_ptr_nonnull(a.raw);
    const facekp_image image = {sizeof image, picture, 0, SIZE, SIZE, FACEKP_GRAY8, 0};
    const facekp_image *images[] = {&image};
    facekp_faces faces = FACEKP_FACES_INIT;
    faces.points = a.points;
    faces.raw = a.raw;
    facekp_status status = facekp_session_predict(session, images, 1, NULL, NULL, 1, NULL, &faces);
    ck_assert_msg(status == FACEKP_OK, "%s", facekp_session_message(session));
    facekp_session_free(session);
    facekp_model_free(model);
    return a;
}

START_TEST(outputs_and_points_agree) {
    answer chosen = ask(_i, NULL), portable = ask(_i, "portable");
    double largest = 0.0, worst = 0.0, moved = 0.0;
    for (size_t i = 0; i < portable.count; i++) {
        largest = fmax(largest, fabs((double)portable.raw[i]));
        worst = fmax(worst, fabs((double)chosen.raw[i] - (double)portable.raw[i]));
    }
    for (int i = 0; i < POINTS; i++)
        moved = fmax(moved, fabs((double)chosen.points[i] - (double)portable.points[i]));
    printf("architecture %d: outputs differ by %.1e of the largest, points by %.1e px\n", _i, worst / largest,
           moved);
    ck_assert(largest > 0.0);
    ck_assert_msg(worst <= OUTPUT_BOUND * largest, "outputs differ by %g of the largest", worst / largest);
    ck_assert_msg(moved <= POINT_BOUND, "points moved by %g px", moved);
    free(chosen.raw);
    free(portable.raw);
}
END_TEST

/* ---- real faces ---- */

#define FACES FKP_TEST_SHARED "/data/ytfaces68"

/* Frames of one video follow each other in the table: every tenth row shows 77 of its 770 faces. */
enum { EVERY = 10, LEAST_FACES = 64, NAME_BYTES = 256, LINE_BYTES = 8192 };

static facekp_session *open_trained(const char *cpu) {
    facekp_load_options options = FACEKP_LOAD_OPTIONS_INIT;
    options.cpu = cpu;
    facekp_model *model;
    facekp_session *session;
    ck_assert_int_eq(facekp_model_load(TRAINED, &options, &model), FACEKP_OK);
    ck_assert_int_eq(facekp_session_open(model, NULL, &session), FACEKP_OK);
    facekp_model_free(model);
    return session;
}

/* Points of a face in pixels of the network's crop, whatever the size of the picture. */
static void find_in_crop(facekp_session *session, const facekp_image *image, float points[POINTS]) {
    float raw[POINTS];
    facekp_faces faces = FACEKP_FACES_INIT;
    faces.raw = raw;
    facekp_status status = facekp_session_predict(session, &image, 1, NULL, NULL, 1, NULL, &faces);
    ck_assert_msg(status == FACEKP_OK, "%s", facekp_session_message(session));
    ck_assert_int_eq(facekp_decode_regression(raw, 1, FACEKP_KEYPOINTS, points), FACEKP_OK);
}

/* The farthest that a point of the picture moves between the two sessions. */
static double move_in_crop(facekp_session *const sessions[2], const char *name) {
    char path[sizeof FACES + NAME_BYTES + 8], message[512] = "";
    snprintf(path, sizeof path, "%s/test/%.*s", FACES, NAME_BYTES, name);
    facekp_picture *photograph;
    facekp_image image = FACEKP_IMAGE_INIT;
    ck_assert_msg(facekp_picture_read(path, 1, message, sizeof message, &photograph) == FACEKP_OK, "%s",
                  message);
    ck_assert_int_eq(facekp_picture_get_image(photograph, &image), FACEKP_OK);
    float points[2][POINTS];
    for (int i = 0; i < 2; i++) find_in_crop(sessions[i], &image, points[i]);
    facekp_picture_free(photograph);
    double farthest = 0.0;
    for (int i = 0; i < POINTS; i += 2)
        farthest = fmax(farthest, hypot((double)points[0][i] - (double)points[1][i],
                                        (double)points[0][i + 1] - (double)points[1][i + 1]));
    return farthest;
}

START_TEST(points_agree_on_real_faces) {
    FILE *table = fopen(FACES "/test.csv", "r");
    if (table == NULL) {
        printf("real faces skipped: there is no %s\n", FACES);
        return;
    }
    facekp_session *sessions[2] = {open_trained(NULL), open_trained("portable")};
    static char line[LINE_BYTES];
    double moved = 0.0;
    int faces = 0;
    ck_assert_ptr_nonnull(fgets(line, sizeof line, table)); /* the names of the columns */
    for (int row = 0; fgets(line, sizeof line, table) != NULL; row++) {
        if (row % EVERY != 0) continue;
        char *comma = strchr(line, ',');
        ck_assert(comma != NULL && comma - line < NAME_BYTES);
        *comma = '\0';
        moved = fmax(moved, move_in_crop(sessions, line));
        faces++;
    }
    fclose(table);
    for (int i = 0; i < 2; i++) facekp_session_free(sessions[i]);
    printf("%d real faces: points move by at most %.1e px of the crop\n", faces, moved);
    ck_assert_int_ge(faces, LEAST_FACES);
    ck_assert_msg(moved <= POINT_BOUND, "points moved by %g px", moved);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("agreement");
    TCase *test = tcase_create("agreement");
    tcase_set_timeout(test, 120);
    tcase_add_unchecked_fixture(test, draw_picture, NULL);
    tcase_add_loop_test(test, outputs_and_points_agree, 0, FACEKP_UNET + 1);
    tcase_add_test(test, points_agree_on_real_faces);
    suite_add_tcase(suite, test);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
