/* For mkdtemp and setrlimit. */
#define _XOPEN_SOURCE 700
/* Checkpoints: a stopped training goes on to the same bytes; those of another training are refused; a full
 * disk leaves the last one whole. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "small_training.h"

enum { STEPS = 8 }; /* of a small training on 14 faces, one of them held out */

static small_data data;
static char straight[PATH_BYTES], straight_output[PATH_BYTES], straight_log[PATH_BYTES];
static char stopped[PATH_BYTES], stopped_output[PATH_BYTES], stopped_log[PATH_BYTES];

/* The training that is never interrupted. */
static facekp_train_options uninterrupted(void) {
    facekp_train_options options = small_training(&data);
    options.checkpoint = straight;
    options.output = straight_output;
    options.epoch_log = straight_log;
    return options;
}

static facekp_train_options interrupted(void) {
    facekp_train_options options = uninterrupted();
    options.checkpoint = stopped;
    options.output = stopped_output;
    options.epoch_log = stopped_log;
    options.resume = 1;
    return options;
}

static void make_data(void) {
    small_data_make(&data, 14);
    join_path(straight, data.folder, "straight.ckpt");
    join_path(straight_output, data.folder, "straight.safetensors");
    join_path(straight_log, data.folder, "straight.csv");
    join_path(stopped, data.folder, "stopped.ckpt");
    join_path(stopped_output, data.folder, "stopped.safetensors");
    join_path(stopped_log, data.folder, "stopped.csv");
    facekp_train_options options = uninterrupted();
    run_training(&options, FACEKP_OK);
}

static void begin_anew(void) {
    unlink(stopped);
    unlink(stopped_output);
    unlink(stopped_log);
}

static void remove_data(void) { remove_folder(data.folder); }

/* Logs are the same but for the two columns of time at the end. */
static void check_same_logs(const char *a, const char *b) {
    FILE *files[] = {fopen(a, "r"), fopen(b, "r")};
    char lines[2][1024];
    ck_assert_ptr_nonnull(files[0]);
    ck_assert_ptr_nonnull(files[1]);
    int count = 0;
    for (; fgets(lines[0], sizeof lines[0], files[0]) != NULL; count++) {
        ck_assert_ptr_nonnull(fgets(lines[1], sizeof lines[1], files[1]));
        for (int i = 0; i < 2; i++)
            for (int cut = 0; cut < 2; cut++) *strrchr(lines[i], ',') = '\0';
        ck_assert_str_eq(lines[0], lines[1]);
    }
    ck_assert_ptr_null(fgets(lines[1], sizeof lines[1], files[1]));
    ck_assert_int_eq(count, 3);
    fclose(files[0]);
    fclose(files[1]);
}

static void check_same_end(void) {
    check_same_files(straight, stopped);
    check_same_files(straight_output, stopped_output);
    check_same_logs(straight_log, stopped_log);
}

/* ---- stopping and going on ---- */

START_TEST(stopped_after_any_step_it_ends_with_the_same_bytes) {
    facekp_train_options options = interrupted();
    int left = _i;
    options.on_step = stop_at_zero;
    options.callback_user = &left;
    run_training(&options, FACEKP_ERROR_CANCELLED);
    options.on_step = NULL;
    options.threads = 2; /* of no importance, and free to change */
    run_training(&options, FACEKP_OK);
    check_same_end();
}
END_TEST

START_TEST(the_same_handle_goes_on_too) {
    facekp_train_options options = interrupted();
    int left = 3;
    options.on_step = stop_at_zero;
    options.callback_user = &left;
    facekp_train *train = open_training(&options);
    ck_assert_int_eq(facekp_train_run(train), FACEKP_ERROR_CANCELLED);
    ck_assert_ptr_nonnull(strstr(facekp_train_message(train), "step 3"));
    ck_assert_int_eq(facekp_train_run(train), FACEKP_OK);
    ck_assert_str_eq(facekp_train_message(train), "");
    facekp_train_free(train);
    check_same_end();
}
END_TEST

/* Dropout goes on where it was, and running statistics are kept: networks that have them. */
START_TEST(networks_with_dropout_go_on_too) {
    static const char *const recipes[] = {"direct", "unet-tuned"};
    char whole[PATH_BYTES], parts[PATH_BYTES];
    join_path(whole, data.folder, "whole.ckpt");
    join_path(parts, data.folder, "parts.ckpt");
    facekp_train_options options = small_training(&data);
    ck_assert_int_eq(facekp_train_recipe(recipes[_i], &options), FACEKP_OK);
    options.input_size = 64;
    options.width = 4;
    options.epochs = 2;
    options.batch = 6;
    options.checkpoint = whole;
    run_training(&options, FACEKP_OK);
    int left = 3; /* in the second epoch */
    options.checkpoint = parts;
    options.on_step = stop_at_zero;
    options.callback_user = &left;
    run_training(&options, FACEKP_ERROR_CANCELLED);
    options.on_step = NULL;
    options.resume = 1;
    run_training(&options, FACEKP_OK);
    check_same_files(whole, parts);
    unlink(whole);
    unlink(parts);
}
END_TEST

static int32_t stop_after_first(void *user, const facekp_train_epoch *epoch) {
    (void)user;
    return epoch->epoch == 0;
}

START_TEST(stopped_after_an_epoch) {
    facekp_train_options options = interrupted();
    options.on_epoch = stop_after_first;
    run_training(&options, FACEKP_ERROR_CANCELLED);
    options.on_epoch = NULL;
    run_training(&options, FACEKP_OK);
    check_same_end();
    run_training(&options, FACEKP_OK); /* there is nothing left to do */
    check_same_end();
}
END_TEST

START_TEST(without_resume_it_begins_again) {
    facekp_train_options options = interrupted();
    int left = 2;
    options.on_step = stop_at_zero;
    options.callback_user = &left;
    run_training(&options, FACEKP_ERROR_CANCELLED);
    left = STEPS;
    options.resume = 0;
    run_training(&options, FACEKP_ERROR_CANCELLED); /* all steps anew: stopped at the last of them */
    ck_assert_int_eq(left, 0);
}
END_TEST

/* ---- refused ---- */

START_TEST(another_training_is_refused) {
    facekp_train_options options = uninterrupted();
    options.resume = 1;
    facekp_train_free(open_training(&options));
    options.learning_rate = 0.125;
    check_open_fails(&options, FACEKP_ERROR_STATE, "learning_rate = 0.125");
    options = uninterrupted();
    options.resume = 1;
    options.seed++;
    check_open_fails(&options, FACEKP_ERROR_STATE, "seed");
    options = uninterrupted();
    options.resume = 1;
    options.split_seed = 99;
    check_open_fails(&options, FACEKP_ERROR_STATE, "split_seed");
    options = uninterrupted();
    options.resume = 1;
    ck_assert_int_eq(facekp_train_recipe("unet-tuned", &options), FACEKP_OK);
    options.width = 2;
    options.input_size = 32;
    check_open_fails(&options, FACEKP_ERROR_STATE, "dino");
}
END_TEST

START_TEST(other_data_are_refused) {
    small_data other;
    small_data_make(&other, 13);
    facekp_train_options options = uninterrupted();
    options.resume = 1;
    options.train_csv = other.csv;
    check_open_fails(&options, FACEKP_ERROR_STATE, "other data");
    remove_folder(other.folder);
}
END_TEST

/* Writes the first `size` bytes of the checkpoint, one of them changed if asked. */
static void write_damaged(const char *path, double part, int64_t change) {
    size_t size;
    unsigned char *bytes = read_whole_file(straight, &size);
    ck_assert_ptr_nonnull(bytes);
    if (change >= 0) bytes[change] ^= 0xff;
    const size_t count = (size_t)(part * (double)size);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    fclose(file);
    free(bytes);
}

START_TEST(damaged_checkpoints_are_refused) {
    facekp_train_options options = interrupted();
    facekp_train *train;
    const double parts[] = {0.0, 1e-5, 0.01, 0.5, 0.9999};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        write_damaged(stopped, parts[i], -1);
        ck_assert_int_ne(facekp_train_open(&options, &train), FACEKP_OK);
        ck_assert_ptr_null(train);
    }
    write_damaged(stopped, 1.0, 8); /* the header's first byte */
    ck_assert_int_ne(facekp_train_open(&options, &train), FACEKP_OK);
    options.checkpoint = straight_output; /* weights are no checkpoint */
    check_open_fails(&options, FACEKP_ERROR_FORMAT, "no checkpoint");
}
END_TEST

/* ---- no room ---- */

/* The next files may have so many bytes, as on a full disk; each test is a process of its own. */
static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    ck_assert_ptr_ne((void *)(uintptr_t)signal(SIGXFSZ, SIG_IGN), (void *)(uintptr_t)SIG_ERR);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

START_TEST(a_full_disk_loses_nothing) {
    char kept[PATH_BYTES];
    facekp_train_options options = interrupted();
    int left = 3;
    options.on_step = stop_at_zero;
    options.callback_user = &left;
    run_training(&options, FACEKP_ERROR_CANCELLED);
    join_path(kept, data.folder, "kept.ckpt");
    ck_assert_int_eq(link(stopped, kept), 0); /* the new one is another file */
    limit_files(100 * 1024);
    options.on_step = NULL;
    options.checkpoint_steps = 1;
    facekp_train *train = open_training(&options);
    ck_assert_int_eq(facekp_train_run(train), FACEKP_ERROR_WRITE);
    ck_assert_ptr_nonnull(strstr(facekp_train_message(train), stopped));
    facekp_train_free(train);
    check_same_files(stopped, kept);
    limit_files(RLIM_INFINITY);
    run_training(&options, FACEKP_OK);
    check_same_end();
}
END_TEST

/* The best weights of an earlier training stay until there is room for better ones. */
START_TEST(a_full_disk_keeps_the_earlier_output) {
    char kept[PATH_BYTES], command[PATH_BYTES + 32];
    facekp_train_options options = interrupted();
    options.resume = 0;
    run_training(&options, FACEKP_OK);
    join_path(kept, data.folder, "kept.safetensors");
    ck_assert_int_eq(link(stopped_output, kept), 0);
    unlink(stopped);
    limit_files(100 * 1024);
    options.seed++;
    facekp_train *train = open_training(&options);
    ck_assert_int_eq(facekp_train_run(train), FACEKP_ERROR_WRITE);
    ck_assert_ptr_nonnull(strstr(facekp_train_message(train), stopped_output));
    facekp_train_free(train);
    check_same_files(stopped_output, kept);
    snprintf(command, sizeof command, "ls '%s' | grep -q tmp", data.folder);
    ck_assert_int_ne(system(command), 0); /* nothing half written is left */
}
END_TEST

/* A process killed while it wrote leaves a file that the next training of the same checkpoint removes. */
START_TEST(what_killed_trainings_left_goes) {
    char left[PATH_BYTES + 32];
    pid_t child = fork();
    if (child == 0) _exit(0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    snprintf(left, sizeof left, "%s.%ld.tmp", stopped, (long)child);
    FILE *file = fopen(left, "wb");
    ck_assert_ptr_nonnull(file);
    fclose(file);
    facekp_train_options options = interrupted();
    facekp_train_free(open_training(&options));
    ck_assert_int_ne(access(left, F_OK), 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("checkpoint");
    TCase *test = tcase_create("checkpoint");
    tcase_set_timeout(test, 300);
    tcase_add_unchecked_fixture(test, make_data, remove_data);
    tcase_add_checked_fixture(test, begin_anew, NULL);
    tcase_add_loop_test(test, stopped_after_any_step_it_ends_with_the_same_bytes, 1, STEPS + 1);
    tcase_add_test(test, the_same_handle_goes_on_too);
    tcase_add_loop_test(test, networks_with_dropout_go_on_too, 0, 2);
    tcase_add_test(test, stopped_after_an_epoch);
    tcase_add_test(test, without_resume_it_begins_again);
    tcase_add_test(test, another_training_is_refused);
    tcase_add_test(test, other_data_are_refused);
    tcase_add_test(test, damaged_checkpoints_are_refused);
    tcase_add_test(test, a_full_disk_loses_nothing);
    tcase_add_test(test, a_full_disk_keeps_the_earlier_output);
    tcase_add_test(test, what_killed_trainings_left_goes);
    suite_add_tcase(suite, test);
    return run_suite(suite);
}
