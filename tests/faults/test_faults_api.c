/* Every allocation of load, open and predict fails in turn: the documented status, nothing left behind. */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <stdio.h>

#include "support/failing_allocator.h"
#include "support/small_model.h"

/* The path of a model file, and how it is to be used. */
typedef struct load_job {
    const char *path;
    int32_t threads;
    int32_t random; /* architecture to fill at random instead; 0: none */
    bool measure;
} load_job;

static facekp_status load_open_predict(const facekp_allocator *allocator, void *argument) {
    const load_job *self = argument;
    facekp_load_options load = FACEKP_LOAD_OPTIONS_INIT;
    load.allocator = allocator;
    load.random_weights = self->random != 0;
    load.architecture = self->random;
    load.measure = self->measure;
    facekp_model *model;
    facekp_status status = facekp_model_load(self->path, &load, &model);
    if (status != FACEKP_OK) {
        ck_assert_ptr_null(model);
        return status;
    }
    facekp_session_options open = FACEKP_SESSION_OPTIONS_INIT;
    open.threads = self->threads;
    open.batch = 2;
    facekp_session *session;
    status = facekp_session_open(model, &open, &session);
    facekp_model_free(model);
    if (status != FACEKP_OK) {
        ck_assert_ptr_null(session);
        return status;
    }
    static const unsigned char pixels[64 * 64];
    const facekp_image image = {sizeof image, pixels, 0, 64, 64, FACEKP_GRAY8, 0}, *images[] = {&image};
    float points[2 * FACEKP_KEYPOINTS];
    facekp_faces faces = FACEKP_FACES_INIT;
    faces.points = points;
    status = facekp_session_predict(session, images, 1, NULL, NULL, 1, NULL, &faces);
    ck_assert_int_eq(status, FACEKP_OK);
    facekp_session_free(session);
    return status;
}

static void check_file(const fkp_network_options *network, int32_t threads) {
    char path[SMALL_PATH_BYTES];
    small_model_write(network, NULL, 0, NULL, path);
    load_job job = {.path = path, .threads = threads};
    check_every_allocation(load_open_predict, &job);
    unlink(path);
}

START_TEST(loading_a_file) {
    check_file(&small_dino, 1);
    check_file(&small_dino, 2);
    check_file(&small_unet, 1);
}
END_TEST

START_TEST(measuring) {
    char path[SMALL_PATH_BYTES];
    small_model_write(&small_unet, NULL, 0, NULL, path);
    load_job job = {.path = path, .threads = 1, .measure = true};
    check_every_allocation(load_open_predict, &job);
    unlink(path);
}
END_TEST

START_TEST(random_weights) {
    load_job job = {.random = FACEKP_RESNET18, .threads = 1};
    check_every_allocation(load_open_predict, &job);
}
END_TEST

static facekp_status convert(const facekp_allocator *allocator, void *argument) {
    const char *path = argument;
    char output[SMALL_PATH_BYTES + 8];
    snprintf(output, sizeof output, "%s.out", path);
    facekp_load_options options = FACEKP_LOAD_OPTIONS_INIT;
    options.allocator = allocator;
    facekp_status status = facekp_convert(path, output, FACEKP_F16, &options);
    /* The new file is there whole, or not at all. */
    ck_assert_int_eq(access(output, F_OK) == 0, status == FACEKP_OK);
    unlink(output);
    return status;
}

START_TEST(converting) {
    char path[SMALL_PATH_BYTES];
    small_model_write(&small_dino, NULL, 0, NULL, path);
    check_every_allocation(convert, path);
    unlink(path);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("faults of the api");
    TCase *test = tcase_create("allocation");
    tcase_set_timeout(test, 600);
    tcase_add_test(test, loading_a_file);
    tcase_add_test(test, measuring);
    tcase_add_test(test, random_weights);
    tcase_add_test(test, converting);
    suite_add_tcase(suite, test);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
