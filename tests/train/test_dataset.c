/* Data sets: both layouts, and every bad row and image with its documented status. */
#define _GNU_SOURCE
#include "train/data/dataset.h"

#include "support.h"

static char folder[PATH_BYTES];
static fkp_memory memory;
static int warnings;
static char last_warning[FKP_MESSAGE_BYTES];

static void note(void *user, int32_t level, const char *message) {
    (void)user;
    ck_assert_int_eq(level, FACEKP_LOG_WARNING);
    warnings++;
    snprintf(last_warning, sizeof last_warning, "%s", message);
}

static void setup(void) {
    const float points[4] = {10, 20, 30, 40};
    char path[PATH_BYTES];
    memory = fkp_memory_from(NULL);
    warnings = 0;
    scratch_folder(folder);
    join_path(path, folder, "two");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    write_face(path, "a_00.png", 60, 50, points, 2);
    write_face(path, "b_00.png", 64, 80, points, 2);
    write_text(path, "broken.png", "this is no picture");
}

static void teardown(void) { remove_folder(folder); }

static facekp_status add(fkp_dataset *dataset, const char *name, const char *text, size_t keypoints,
                         bool skip, fkp_error *error) {
    char path[PATH_BYTES];
    fkp_dataset_options options = {
        .keypoints = keypoints, .skip_bad = skip, .label_bias = {2.0f, 1.5f}, .log = note};
    write_text(folder, name, text);
    join_path(path, folder, name);
    return fkp_dataset_add(dataset, path, &options, error);
}

static fkp_dataset *create(size_t cache) {
    fkp_dataset *dataset;
    ck_assert_int_eq(fkp_dataset_create(&memory, cache, &dataset, NULL), FACEKP_OK);
    return dataset;
}

START_TEST(named_columns_in_any_order) {
    fkp_dataset *dataset = create(0);
    fkp_error error = {0};
    ck_assert_int_eq(add(dataset, "two.csv",
                         "\xEF\xBB\xBFy1,x1,age,image,y0,x0\r\n40,3e1,7,a_00.png,20.5,+10\r\n\r\n", 0, false,
                         &error),
                     FACEKP_OK);
    ck_assert_uint_eq(dataset->count, 1);
    ck_assert_uint_eq(dataset->keypoints, 2);
    const float *points = fkp_dataset_points(dataset, 0);
    ck_assert(points[0] == 10.0f && points[1] == 20.5f && points[2] == 30.0f && points[3] == 40.0f);
    ck_assert_str_eq(dataset->faces[0].name, "a_00.png");
    ck_assert_int_eq(dataset->faces[0].width, 60);
    ck_assert_int_eq(dataset->faces[0].height, 50);
    fkp_dataset_free(dataset);
}
END_TEST

START_TEST(udacity_layout) {
    char path[PATH_BYTES];
    const float points[4] = {10, 20, 30, 40};
    fkp_dataset *dataset = create(0);
    join_path(path, folder, "training");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    write_face(path, "Luis_Fonsi_21.png", 60, 50, points, 2);
    ck_assert_int_eq(add(dataset, "training_frames_keypoints.csv",
                         ",0,1,2,3\nLuis_Fonsi_21.png,10.0,20.0,30.0,40.0", 2, false, NULL),
                     FACEKP_OK);
    ck_assert_uint_eq(dataset->count, 1);
    ck_assert(fkp_dataset_points(dataset, 0)[3] == 40.0f);
    fkp_dataset_free(dataset);
}
END_TEST

static const struct {
    const char *rows;
    facekp_status status;
    const char *says;
    bool fatal; /* even where bad rows are skipped */
} bad[] = {
    {"image,x0,y0,x1\na_00.png,1,2,3\n", FACEKP_ERROR_FORMAT, "two.csv:1: column \"y1\" is missing", true},
    {"x0,y0,x1,y1\n1,2,3,4\n", FACEKP_ERROR_FORMAT, "\"image\" is missing", true},
    {"\n\n", FACEKP_ERROR_FORMAT, "no header", true},
    {"image,x0,y0,x1,y1\n", FACEKP_ERROR_FORMAT, "no usable row", true},
    {"image,x0,y0,x1,y1\na_00.png,1,2,3,4\nb_00.png,1,2,3\n", FACEKP_ERROR_FORMAT, "two.csv:3: 4 fields",
     false},
    {"image,x0,y0,x1,y1\na_00.png,1,2,3,4\n\nb_00.png,1,zwei,3,4\n", FACEKP_ERROR_FORMAT,
     "two.csv:4: y0 is \"zwei\"", false},
    {"image,x0,y0,x1,y1\na_00.png,1,2,3,4\nb_00.png,1,2,,4\n", FACEKP_ERROR_FORMAT, "x1 is \"\"", false},
    {"image,x0,y0,x1,y1\na_00.png,1,2,3,4\nb_00.png,1,2,3,NaN\n", FACEKP_ERROR_VALUE,
     "two.csv:3: y1 is \"NaN\"", false},
    {"image,x0,y0,x1,y1\na_00.png,1,2,3,4\nb_00.png,1,2,-inf,4\n", FACEKP_ERROR_VALUE, "x1", false},
    {"image,x0,y0,x1,y1\na_00.png,1,2,3,4\nb_00.png,1,2,3,161\n", FACEKP_ERROR_VALUE, "far outside", false},
    {"image,x0,y0,x1,y1\na_00.png,1,2,3,4\nc_00.png,1,2,3,4\n", FACEKP_ERROR_OPEN, "two.csv:3: ", false},
    {"image,x0,y0,x1,y1\na_00.png,1,2,3,4\nbroken.png,1,2,3,4\n", FACEKP_ERROR_FORMAT, "two.csv:3: ", false},
    {"image,x0,y0,x1,y1\na_00.png,1,2,3,4\n,1,2,3,4\n", FACEKP_ERROR_FORMAT, "name is empty", false},
};

START_TEST(bad_files_have_their_status) {
    fkp_error error = {0};
    fkp_dataset *dataset = create(0);
    ck_assert_int_eq(add(dataset, "two.csv", bad[_i].rows, 2, false, &error), bad[_i].status);
    ck_assert_msg(strstr(error.message, bad[_i].says) != NULL, "\"%s\" does not say \"%s\"", error.message,
                  bad[_i].says);
    ck_assert_uint_eq(dataset->count, 0);
    ck_assert_uint_eq(dataset->cached, 0);
    ck_assert_int_eq(add(dataset, "two.csv", "image,x0,y0\na_00.png,1,2\n", 1, false, &error), FACEKP_OK);
    fkp_dataset_free(dataset);
}
END_TEST

START_TEST(bad_rows_are_skipped_by_choice) {
    fkp_error error = {0};
    fkp_dataset *dataset = create(0);
    facekp_status status = add(dataset, "two.csv", bad[_i].rows, 2, true, &error);
    if (bad[_i].fatal) {
        ck_assert_int_eq(status, bad[_i].status);
    } else {
        ck_assert_int_eq(status, FACEKP_OK);
        ck_assert_uint_eq(dataset->count, 1);
        ck_assert_uint_eq(dataset->skipped, 1);
        ck_assert_int_eq(warnings, 1);
        ck_assert_ptr_nonnull(strstr(last_warning, bad[_i].says));
    }
    fkp_dataset_free(dataset);
}
END_TEST

START_TEST(sixty_seven_points_are_refused) {
    char text[4096] = "image";
    fkp_error error = {0};
    for (int k = 0; k < 67; k++) snprintf(text + strlen(text), sizeof text - strlen(text), ",x%d,y%d", k, k);
    strcat(text, "\n");
    fkp_dataset *dataset = create(0);
    ck_assert_int_eq(add(dataset, "two.csv", text, 68, true, &error), FACEKP_ERROR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "\"x67\" is missing (67 of 68"));
    fkp_dataset_free(dataset);
}
END_TEST

START_TEST(missing_file_and_folder) {
    char path[PATH_BYTES];
    fkp_error error = {0};
    fkp_dataset *dataset = create(0);
    fkp_dataset_options options = {.folder = "/nowhere"};
    join_path(path, folder, "none.csv");
    ck_assert_int_eq(fkp_dataset_add(dataset, path, &options, &error), FACEKP_ERROR_OPEN);
    write_text(folder, "two.csv", "image,x0,y0\na_00.png,1,2\n");
    join_path(path, folder, "two.csv");
    ck_assert_int_eq(fkp_dataset_add(dataset, path, &options, &error), FACEKP_ERROR_OPEN);
    ck_assert_ptr_nonnull(strstr(error.message, "/nowhere/a_00.png"));
    fkp_dataset_free(dataset);
}
END_TEST

/* Beyond the cache's limit an image is read again, and is the same. */
START_TEST(cache_has_a_limit) {
    static const char rows[] = "image,x0,y0\na_00.png,1,2\nb_00.png,3,4\n";
    fkp_dataset *all = create(0), *one = create(60 * 50);
    ck_assert_int_eq(add(all, "two.csv", rows, 0, false, NULL), FACEKP_OK);
    ck_assert_int_eq(add(one, "two.csv", rows, 0, false, NULL), FACEKP_OK);
    ck_assert_ptr_nonnull(one->faces[0].picture);
    ck_assert_ptr_null(one->faces[1].picture);
    ck_assert_uint_eq(one->cached, 60 * 50);
    for (size_t i = 0; i < 2; i++) {
        facekp_image a, b;
        facekp_picture *owned_a, *owned_b;
        ck_assert_int_eq(fkp_dataset_image(all, i, &memory, &a, &owned_a, NULL), FACEKP_OK);
        ck_assert_int_eq(fkp_dataset_image(one, i, &memory, &b, &owned_b, NULL), FACEKP_OK);
        ck_assert_ptr_null(owned_a);
        ck_assert(a.width == b.width && a.height == b.height);
        ck_assert_int_eq(memcmp(a.data, b.data, (size_t)a.width * (size_t)a.height), 0);
        fkp_picture_free(owned_b);
    }
    fkp_dataset_free(all);
    fkp_dataset_free(one);
}
END_TEST

START_TEST(files_add_up_and_a_bad_one_changes_nothing) {
    fkp_error error = {0};
    fkp_dataset *dataset = create(0);
    ck_assert_int_eq(add(dataset, "two.csv", "image,x0,y0\na_00.png,1,2\n", 0, false, NULL), FACEKP_OK);
    ck_assert_int_eq(add(dataset, "two.csv", "image,x0,y0\nb_00.png,3,4\nbroken.png,1,2\n", 0, false, &error),
                     FACEKP_ERROR_FORMAT);
    ck_assert_uint_eq(dataset->count, 1);
    ck_assert_uint_eq(dataset->cached, 60 * 50);
    ck_assert_int_eq(add(dataset, "two.csv", "image,x0,y0\nb_00.png,3,4\n", 0, false, NULL), FACEKP_OK);
    ck_assert_uint_eq(dataset->count, 2);
    ck_assert(fkp_dataset_points(dataset, 1)[1] == 4.0f);
    fkp_dataset_free(dataset);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("dataset");
    TCase *tests = tcase_create("dataset");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, named_columns_in_any_order);
    tcase_add_test(tests, udacity_layout);
    tcase_add_loop_test(tests, bad_files_have_their_status, 0, sizeof bad / sizeof *bad);
    tcase_add_loop_test(tests, bad_rows_are_skipped_by_choice, 0, sizeof bad / sizeof *bad);
    tcase_add_test(tests, sixty_seven_points_are_refused);
    tcase_add_test(tests, missing_file_and_folder);
    tcase_add_test(tests, cache_has_a_limit);
    tcase_add_test(tests, files_add_up_and_a_bad_one_changes_nothing);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
