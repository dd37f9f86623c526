/* Files: read mapped, written whole or not at all. */
#define _DEFAULT_SOURCE
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "support/failing_allocator.h"
#include "support/whole_file.h"

static char folder[64];

static void path_of(char path[128], const char *name) { snprintf(path, 128, "%s/%s", folder, name); }

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, strlen(text), file), strlen(text));
    fclose(file);
}

static void check_text(const char *path, const char *text) {
    size_t size;
    unsigned char *bytes = read_whole_file(path, &size);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(size, strlen(text));
    ck_assert_int_eq(memcmp(bytes, text, size), 0);
    free(bytes);
}

START_TEST(a_file_is_mapped_and_read) {
    char path[128];
    path_of(path, "read");
    write_text(path, "some text");
    fkp_file file;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_file_open(path, &file, &error), FACEKP_OK);
    ck_assert_uint_eq(file.size, 9);
    ck_assert_int_eq(memcmp(file.data, "some text", 9), 0);
    char part[4];
    ck_assert_int_eq(fkp_file_read(&file, 5, 4, part, &error), FACEKP_OK);
    ck_assert_int_eq(memcmp(part, "text", 4), 0);
    ck_assert_int_eq(truncate(path, 7), 0);
    ck_assert_int_eq(fkp_file_read(&file, 5, 4, part, &error), FACEKP_ERROR_READ);
    fkp_file_close(&file);
    ck_assert_ptr_null(file.data);
    unlink(path);
}
END_TEST

START_TEST(what_is_no_file_is_refused) {
    char path[128];
    fkp_file file;
    fkp_error error = {0};
    path_of(path, "absent");
    ck_assert_int_eq(fkp_file_open(path, &file, &error), FACEKP_ERROR_OPEN);
    ck_assert_ptr_nonnull(strstr(error.message, path));
    ck_assert_int_eq(fkp_file_open(folder, &file, &error), FACEKP_ERROR_OPEN);
    ck_assert_ptr_nonnull(strstr(error.message, "not a regular file"));
    path_of(path, "empty");
    write_text(path, "");
    ck_assert_int_eq(fkp_file_open(path, &file, &error), FACEKP_ERROR_TRUNCATED);
    unlink(path);
}
END_TEST

static size_t files_in_folder(void) {
    char command[128];
    snprintf(command, sizeof command, "ls -A %s | wc -l", folder);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    unsigned count = 0;
    ck_assert_int_eq(fscanf(pipe, "%u", &count), 1);
    pclose(pipe);
    return count;
}

START_TEST(a_file_appears_whole_or_not_at_all) {
    char path[128];
    path_of(path, "written");
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_writer *writer;
    fkp_error error = {0};
    write_text(path, "old");
    ck_assert_int_eq(fkp_writer_open(&memory, path, &writer, &error), FACEKP_OK);
    fkp_writer_write(writer, "new", 3);
    check_text(path, "old");
    fkp_writer_abandon(writer);
    check_text(path, "old");
    ck_assert_uint_eq(files_in_folder(), 1);
    ck_assert_int_eq(fkp_writer_open(&memory, path, &writer, &error), FACEKP_OK);
    fkp_writer_write(writer, "newer", 5);
    fkp_writer_write(writer, NULL, 0);
    check_text(path, "old");
    ck_assert_int_eq(fkp_writer_finish(writer, &error), FACEKP_OK);
    check_text(path, "newer");
    ck_assert_uint_eq(files_in_folder(), 1);
    fkp_writer_abandon(NULL);
    unlink(path);
}
END_TEST

START_TEST(a_place_that_cannot_be_written_is_named) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_writer *writer;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_writer_open(&memory, "/nonexistent/folder/x", &writer, &error), FACEKP_ERROR_WRITE);
    ck_assert_ptr_null(writer);
    ck_assert_ptr_nonnull(strstr(error.message, "/nonexistent/folder/x"));
    /* the target has become a folder: renaming over it fails, and the temporary file goes */
    char path[128];
    path_of(path, "folder");
    ck_assert_int_eq(fkp_writer_open(&memory, path, &writer, &error), FACEKP_OK);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    fkp_writer_write(writer, "x", 1);
    ck_assert_int_eq(fkp_writer_finish(writer, &error), FACEKP_ERROR_WRITE);
    ck_assert_uint_eq(files_in_folder(), 1);
    rmdir(path);
}
END_TEST

/* A full disk, as a limit on the size of files: the failure is reported, the old file and no other is there.
 */
START_TEST(a_full_disk_leaves_the_old_file) {
    char path[128];
    path_of(path, "full");
    write_text(path, "old");
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_writer *writer;
    fkp_error error = {0};
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit small = {65536, 65536};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    ck_assert_int_eq(fkp_writer_open(&memory, path, &writer, &error), FACEKP_OK);
    char block[4096] = {0};
    for (int i = 0; i < 32; i++) fkp_writer_write(writer, block, sizeof block);
    ck_assert_int_eq(fkp_writer_finish(writer, &error), FACEKP_ERROR_WRITE);
    ck_assert_ptr_nonnull(strstr(error.message, path));
    check_text(path, "old");
    ck_assert_uint_eq(files_in_folder(), 1);
    unlink(path);
}
END_TEST

static facekp_status write_file(const facekp_allocator *allocator, void *argument) {
    fkp_memory memory = fkp_memory_from(allocator);
    fkp_writer *writer;
    fkp_error error = {0};
    facekp_status status = fkp_writer_open(&memory, argument, &writer, &error);
    if (status != FACEKP_OK) return status;
    fkp_writer_write(writer, "text", 4);
    return fkp_writer_finish(writer, &error);
}

START_TEST(a_device_is_not_replaced) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_writer *writer = (fkp_writer *)1;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_writer_open(&memory, "/dev/null", &writer, &error), FACEKP_ERROR_WRITE);
    ck_assert_ptr_null(writer);
    ck_assert_ptr_nonnull(strstr(error.message, "/dev/null"));
    ck_assert_int_eq(fkp_writer_open(&memory, folder, &writer, &error), FACEKP_ERROR_WRITE);
}
END_TEST

START_TEST(every_allocation_may_fail) {
    char path[128];
    path_of(path, "memory");
    check_every_allocation(write_file, path);
    check_text(path, "text");
    ck_assert_uint_eq(files_in_folder(), 1);
    unlink(path);
}
END_TEST

/* ---- what killed writers left ---- */

/* A process that opens a writer, writes, and ends without finishing, as if killed. */
static pid_t die_writing(const char *path) {
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        fkp_memory memory = fkp_memory_from(NULL);
        fkp_writer *writer;
        if (fkp_writer_open(&memory, path, &writer, NULL) != FACEKP_OK) _exit(1);
        fkp_writer_write(writer, "half", 4);
        _exit(0);
    }
    int result;
    ck_assert_int_eq(waitpid(child, &result, 0), child);
    ck_assert_int_eq(result, 0);
    return child;
}

static facekp_status sweep(const char *path) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_error error = {0};
    return fkp_file_sweep(&memory, path, &error);
}

START_TEST(files_of_dead_writers_are_removed) {
    char path[128], other[128], leftover[256];
    path_of(path, "swept");
    path_of(other, "swept.too");
    write_text(path, "old");
    pid_t dead = die_writing(path);
    snprintf(leftover, sizeof leftover, "%s.%ld.tmp", path, (long)dead);
    die_writing(other);
    ck_assert_uint_eq(files_in_folder(), 3);
    ck_assert_int_eq(access(leftover, F_OK), 0);
    ck_assert_int_eq(sweep(path), FACEKP_OK);
    ck_assert_int_ne(access(leftover, F_OK), 0);
    ck_assert_uint_eq(files_in_folder(), 2); /* the other target's is not ours */
    check_text(path, "old");
    ck_assert_int_eq(chdir(folder), 0); /* a path without a folder */
    ck_assert_int_eq(sweep("swept.too"), FACEKP_OK);
    ck_assert_uint_eq(files_in_folder(), 1);
    unlink(path);
    ck_assert_int_eq(sweep("/nonexistent/folder/x"), FACEKP_OK);
}
END_TEST

START_TEST(files_in_use_and_others_stay) {
    static const char *const names[] = {"kept.tmp", "kept.1x.tmp", "kept..tmp", "kept.1234567890.tmp",
                                        "kept.7"};
    char path[128], name[128], locked[256];
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_writer *writer;
    path_of(path, "kept");
    ck_assert_int_eq(fkp_writer_open(&memory, path, &writer, NULL), FACEKP_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_of(name, names[i]);
        write_text(name, "x");
    }
    /* As of a process that this one cannot see. */
    snprintf(locked, sizeof locked, "%s.%ld.tmp", path, (long)die_writing(path));
    int descriptor = open(locked, O_RDONLY);
    ck_assert_int_eq(flock(descriptor, LOCK_EX | LOCK_NB), 0);
    const size_t before = files_in_folder();
    ck_assert_int_eq(sweep(path), FACEKP_OK);
    ck_assert_uint_eq(files_in_folder(), before);
    close(descriptor);
    ck_assert_int_eq(sweep(path), FACEKP_OK);
    ck_assert_int_ne(access(locked, F_OK), 0);
    ck_assert_int_eq(fkp_writer_finish(writer, NULL), FACEKP_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_of(name, names[i]);
        ck_assert_int_eq(unlink(name), 0);
    }
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

int main(void) {
    snprintf(folder, sizeof folder, "/tmp/facekp-file-XXXXXX");
    if (mkdtemp(folder) == NULL) return EXIT_FAILURE;
    Suite *suite = suite_create("file");
    TCase *tests = tcase_create("file");
    tcase_add_test(tests, a_file_is_mapped_and_read);
    tcase_add_test(tests, what_is_no_file_is_refused);
    tcase_add_test(tests, a_file_appears_whole_or_not_at_all);
    tcase_add_test(tests, a_place_that_cannot_be_written_is_named);
    tcase_add_test(tests, a_full_disk_leaves_the_old_file);
    tcase_add_test(tests, a_device_is_not_replaced);
    tcase_add_test(tests, every_allocation_may_fail);
    tcase_add_test(tests, files_of_dead_writers_are_removed);
    tcase_add_test(tests, files_in_use_and_others_stay);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    rmdir(folder);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
