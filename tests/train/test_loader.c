/* Loaders: the same batches for any number of threads, from any place on. */
#define _GNU_SOURCE
#include "train/data/loader.h"

#include "support.h"

enum { FACES = 11, BATCH = 4, SIDE = 32 };

static fkp_memory memory;
static char folder[PATH_BYTES];
static fkp_dataset *dataset;

static void setup(void) {
    memory = fkp_memory_from(NULL);
    scratch_folder(folder);
    write_faces(folder, FACES);
    char path[PATH_BYTES];
    fkp_dataset_options options = {.keypoints = 68};
    join_path(path, folder, "train.csv");
    ck_assert_int_eq(fkp_dataset_create(&memory, 1, &dataset, NULL), FACEKP_OK);
    ck_assert_int_eq(fkp_dataset_add(dataset, path, &options, NULL), FACEKP_OK);
}

static void teardown(void) {
    fkp_dataset_free(dataset);
    remove_folder(folder);
}

static fkp_loader *create(bool training, int32_t threads, uint64_t epoch, uint64_t step) {
    fkp_loader_options options = {.dataset = dataset,
                                  .batch = BATCH,
                                  .size = SIDE,
                                  .seed = 12,
                                  .training = training,
                                  .threads = threads,
                                  .ahead = 2,
                                  .augment = {.random_crop = true, .rotation = 10.0f, .noise = 0.1f}};
    fkp_loader *loader;
    ck_assert_int_eq(fkp_loader_create(&memory, &options, epoch, step, &loader, NULL), FACEKP_OK);
    return loader;
}

static void check_same(const fkp_batch *a, const fkp_batch *b) {
    ck_assert(a->count == b->count && a->epoch == b->epoch && a->step == b->step);
    ck_assert_mem_eq(a->faces, b->faces, a->count * sizeof *a->faces);
    ck_assert_mem_eq(a->crops, b->crops, a->count * SIDE * SIDE * sizeof(float));
    ck_assert_mem_eq(a->targets, b->targets, a->count * 136 * sizeof(float));
}

START_TEST(threads_do_not_show) {
    fkp_loader *one = create(true, 1, 0, 0), *many = create(true, 4, 0, 0);
    fkp_batch a, b;
    for (int i = 0; i < 9; i++) {
        ck_assert_int_eq(fkp_loader_next(one, &a, NULL), FACEKP_OK);
        ck_assert_int_eq(fkp_loader_next(many, &b, NULL), FACEKP_OK);
        check_same(&a, &b);
    }
    fkp_loader_free(one);
    fkp_loader_free(many);
}
END_TEST

START_TEST(goes_on_from_any_place) {
    fkp_batch a, b;
    for (uint64_t start = 0; start < 5; start++) {
        fkp_loader *whole = create(true, 1, 0, 0), *rest = create(true, 1, start / 2, start % 2);
        for (uint64_t i = 0; i < start; i++) ck_assert_int_eq(fkp_loader_next(whole, &a, NULL), FACEKP_OK);
        for (int i = 0; i < 3; i++) {
            ck_assert_int_eq(fkp_loader_next(whole, &a, NULL), FACEKP_OK);
            ck_assert_int_eq(fkp_loader_next(rest, &b, NULL), FACEKP_OK);
            check_same(&a, &b);
        }
        fkp_loader_free(whole);
        fkp_loader_free(rest);
    }
}
END_TEST

START_TEST(an_epoch_shows_each_face_once_in_a_new_order) {
    fkp_loader *loader = create(true, 2, 0, 0);
    size_t orders[2][2 * BATCH];
    ck_assert_uint_eq(fkp_loader_steps(loader), FACES / BATCH);
    for (int epoch = 0; epoch < 2; epoch++) {
        bool seen[FACES] = {false};
        for (int step = 0; step < FACES / BATCH; step++) {
            fkp_batch batch;
            ck_assert_int_eq(fkp_loader_next(loader, &batch, NULL), FACEKP_OK);
            ck_assert(batch.epoch == (uint64_t)epoch && batch.step == (uint64_t)step && batch.count == BATCH);
            for (size_t i = 0; i < BATCH; i++) {
                ck_assert(!seen[batch.faces[i]]);
                seen[batch.faces[i]] = true;
                orders[epoch][step * BATCH + (int)i] = batch.faces[i];
            }
        }
    }
    ck_assert_mem_ne(orders[0], orders[1], sizeof orders[0]);
    fkp_loader_free(loader);
}
END_TEST

START_TEST(evaluation_is_in_order_and_ends) {
    fkp_loader *loader = create(false, 2, 0, 0);
    fkp_batch batch;
    size_t next = 0;
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(fkp_loader_next(loader, &batch, NULL), FACEKP_OK);
        for (size_t j = 0; j < batch.count; j++) ck_assert_uint_eq(batch.faces[j], next++);
    }
    ck_assert_uint_eq(next, FACES);
    ck_assert_int_eq(fkp_loader_next(loader, &batch, NULL), FACEKP_OK);
    ck_assert_uint_eq(batch.count, 0);
    fkp_loader_free(loader);
}
END_TEST

START_TEST(an_image_lost_while_training_is_reported) {
    char path[PATH_BYTES];
    fkp_error error = {0};
    fkp_batch batch;
    join_path(path, folder, "train/Person 5_00.png");
    ck_assert_int_eq(unlink(path), 0);
    fkp_loader *loader = create(false, 1, 0, 0);
    ck_assert_int_eq(fkp_loader_next(loader, &batch, &error), FACEKP_OK);
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(fkp_loader_next(loader, &batch, &error), FACEKP_ERROR_OPEN);
        ck_assert_ptr_nonnull(strstr(error.message, "Person 5_00.png"));
    }
    fkp_loader_free(loader);
}
END_TEST

START_TEST(few_faces_are_one_batch_and_bad_options_are_refused) {
    const size_t faces[] = {3, 1};
    fkp_loader_options options = {
        .dataset = dataset, .faces = faces, .face_count = 2, .batch = BATCH, .size = SIDE, .training = true};
    fkp_loader *loader;
    fkp_batch batch;
    ck_assert_int_eq(fkp_loader_create(&memory, &options, 0, 0, &loader, NULL), FACEKP_OK);
    ck_assert_int_eq(fkp_loader_next(loader, &batch, NULL), FACEKP_OK);
    ck_assert_uint_eq(batch.count, 2);
    fkp_loader_free(loader);
    options.face_count = 0;
    ck_assert_int_eq(fkp_loader_create(&memory, &options, 0, 0, &loader, NULL), FACEKP_ERROR_ARGUMENT);
    ck_assert_ptr_null(loader);
    options.face_count = 2;
    options.batch = 0;
    ck_assert_int_eq(fkp_loader_create(&memory, &options, 0, 0, &loader, NULL), FACEKP_ERROR_ARGUMENT);
    options.batch = BATCH;
    options.augment.flip = 2.0f;
    ck_assert_int_eq(fkp_loader_create(&memory, &options, 0, 0, &loader, NULL), FACEKP_ERROR_ARGUMENT);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("loader");
    TCase *tests = tcase_create("loader");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, threads_do_not_show);
    tcase_add_test(tests, goes_on_from_any_place);
    tcase_add_test(tests, an_epoch_shows_each_face_once_in_a_new_order);
    tcase_add_test(tests, evaluation_is_in_order_and_ends);
    tcase_add_test(tests, an_image_lost_while_training_is_reported);
    tcase_add_test(tests, few_faces_are_one_batch_and_bad_options_are_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
