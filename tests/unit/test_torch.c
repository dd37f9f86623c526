/* PyTorch's three containers: the files of make_torch_files.py, every way of cutting them, a real tar's first
 * MiB. */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/failing_allocator.h"
#include "support/whole_file.h"
#include "weights/weights.h"

#define FOLDER FKP_TEST_SOURCE "/unit/torch/"
#define REAL_TAR FKP_TEST_SHARED "/samples/resnet18-5c106cde.first-1MiB.pth"

static const struct {
    const char *name, *format;
} files[] = {
    {"state.zip.pt", "torch zip"},
    {"state.legacy.pt", "torch legacy"},
    {"state.tar.pt", "torch tar"},
    {"protocol4.zip.pt", "torch zip"},
    {"protocol4.legacy.pt", "torch legacy"},
    {"plain_dict.zip.pt", "torch zip"},
    {"parameters.zip.pt", "torch zip"},
    {"checkpoint.zip.pt", "torch zip"},
    {"checkpoint.legacy.pt", "torch legacy"},
    {"dino.zip.pt", "torch zip"},
};
#define FILES ((int)(sizeof files / sizeof *files))

static void path_of(char path[256], const char *name) { snprintf(path, 256, "%s%s", FOLDER, name); }

/* Values of a tensor against first, first + step, …, of a given shape. */
static void check_ramp(const fkp_weights *weights, const char *name, fkp_dtype dtype, int32_t rank,
                       size_t rows, size_t columns, float first, float row_step, float column_step) {
    const fkp_tensor *tensor = fkp_weights_find(weights, name);
    ck_assert_msg(tensor != NULL, "%s is missing", name);
    ck_assert_msg(tensor->dtype == dtype && tensor->rank == rank && tensor->count == rows * columns, "%s",
                  name);
    if (rank >= 1) ck_assert_uint_eq(tensor->shape[rank - 1], columns);
    float values[32];
    fkp_tensor_read(tensor, values);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            ck_assert_msg(values[i * columns + j] == first + row_step * (float)i + column_step * (float)j,
                          "%s[%zu, %zu] is %g", name, i, j, (double)values[i * columns + j]);
}

static void check_numbers(const fkp_weights *weights) {
    check_ramp(weights, "conv.weight", FKP_F32, 4, 6, 3, 0, 0.75f, 0.25f);
    check_ramp(weights, "half", FKP_F16, 1, 1, 5, 0, 0, 0.25f);
    check_ramp(weights, "brain", FKP_BF16, 1, 1, 5, 0, 0, 0.25f);
    check_ramp(weights, "double", FKP_F64, 1, 1, 5, 0, 0, 0.25f);
    check_ramp(weights, "long", FKP_I64, 1, 1, 2, -3, 0, 8);
    check_ramp(weights, "byte", FKP_U8, 1, 1, 2, 0, 0, 200);
    check_ramp(weights, "bool", FKP_BOOL, 1, 1, 2, 1, 0, -1);
    check_ramp(weights, "bn.num_batches_tracked", FKP_I64, 0, 1, 1, 7, 0, 0);
    check_ramp(weights, "transposed", FKP_F32, 2, 3, 2, 0, 0.25f, 0.75f);
    check_ramp(weights, "strided", FKP_F32, 2, 2, 2, 1.5f, 3.0f, 0.75f);
    check_ramp(weights, "expanded", FKP_F32, 2, 2, 3, 1.5f, 1, 0);
    check_ramp(weights, "shared.a", FKP_F32, 1, 1, 6, 1, 0, 0.25f);
    check_ramp(weights, "shared.b", FKP_F32, 1, 1, 3, 1.5f, 0, 0.25f);
    check_ramp(weights, "empty", FKP_F32, 2, 0, 4, 0, 0, 0);
}

START_TEST(every_container_gives_the_tensors) {
    char path[256];
    path_of(path, files[_i].name);
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_weights *weights;
    fkp_error error = {0};
    facekp_status status = fkp_weights_open(&memory, path, &weights, &error);
    ck_assert_msg(status == FACEKP_OK, "%s", error.message);
    ck_assert_str_eq(fkp_weights_format(weights), files[_i].format);
    check_numbers(weights);
    fkp_weights_close(weights);
}
END_TEST

/* Strides and shared storages are written out dense. */
START_TEST(conversion_keeps_every_number) {
    char path[256], out[] = "/tmp/facekp-torch-XXXXXX";
    path_of(path, files[_i].name);
    int descriptor = mkstemp(out);
    ck_assert_int_ge(descriptor, 0);
    close(descriptor);
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_weights *weights, *back;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_weights_open(&memory, path, &weights, &error), FACEKP_OK);
    ck_assert_int_eq(fkp_weights_write(&memory, weights, out, FKP_DTYPES, NULL, 0, &error), FACEKP_OK);
    ck_assert_int_eq(fkp_weights_open(&memory, out, &back, &error), FACEKP_OK);
    ck_assert_str_eq(fkp_weights_format(back), "safetensors");
    check_numbers(back);
    fkp_weights_close(back);
    fkp_weights_close(weights);
    unlink(out);
}
END_TEST

/* Whatever length a file is cut to, it is an error, and a sanitizer sees no read past the end. A tar may lose
 * the empty blocks at its end, and a legacy file is whole with its last storage. */
START_TEST(every_cut_of_a_file_is_refused) {
    char path[256];
    path_of(path, files[_i].name);
    size_t size;
    unsigned char *whole = read_whole_file(path, &size);
    ck_assert_ptr_nonnull(whole);
    fkp_memory memory = fkp_memory_from(NULL);
    size_t needed = size;
    if (strcmp(files[_i].format, "torch tar") == 0)
        while (needed > 0 && whole[needed - 1] == 0) needed--;
    for (size_t cut = 0; cut < needed; cut++) {
        unsigned char *part = malloc(cut + (cut == 0));
        memcpy(part, whole, cut);
        fkp_weights *weights;
        fkp_error error = {0};
        facekp_status status = fkp_weights_open_memory(&memory, part, cut, &weights, &error);
        ck_assert_msg(status == FACEKP_ERROR_TRUNCATED || status == FACEKP_ERROR_FORMAT,
                      "%s cut to %zu: %d, %s", files[_i].name, cut, (int)status, error.message);
        ck_assert(error.message[0] != '\0');
        free(part);
    }
    free(whole);
}
END_TEST

static facekp_status open_file(const facekp_allocator *allocator, void *argument) {
    fkp_memory memory = fkp_memory_from(allocator);
    fkp_weights *weights;
    fkp_error error = {0};
    facekp_status status = fkp_weights_open(&memory, argument, &weights, &error);
    fkp_weights_close(weights);
    return status;
}

START_TEST(every_allocation_may_fail) {
    char path[256];
    path_of(path, files[_i].name);
    check_every_allocation(open_file, path);
}
END_TEST

START_TEST(a_whole_model_is_refused_with_advice) {
    char path[256];
    path_of(path, "whole_model.zip.pt");
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_weights *weights;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_weights_open(&memory, path, &weights, &error), FACEKP_ERROR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "torch.nn.modules.linear.Linear"));
    ck_assert_ptr_nonnull(strstr(error.message, "state_dict()"));
}
END_TEST

START_TEST(a_real_tar_cut_short_is_named_as_such) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_weights *weights;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_weights_open(&memory, REAL_TAR, &weights, &error), FACEKP_ERROR_TRUNCATED);
    ck_assert_msg(strstr(error.message, "storages claims 46801661 bytes") != NULL, "%s", error.message);
}
END_TEST

/* The same file with its storages filled up by zeros: everything before them is the real thing, Python 2's
 * Parameters and keys included. The storages of the cut part are made up to the layout. */
START_TEST(a_real_tar_filled_up_is_read) {
    size_t size;
    unsigned char *part = read_whole_file(REAL_TAR, &size);
    ck_assert_ptr_nonnull(part);
    ck_assert_uint_gt(size, 20480 + 512);
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_weights *weights;
    fkp_error error = {0};
    /* the size of the member `storages` becomes what is there; reading then fails inside it, not before */
    memcpy(part + 20480 + 124, "00003727000", 12);
    unsigned sum = 0;
    for (size_t i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? ' ' : part[20480 + i];
    snprintf((char *)part + 20480 + 148, 8, "%06o", sum);
    ck_assert_int_eq(fkp_weights_open_memory(&memory, part, size, &weights, &error), FACEKP_ERROR_TRUNCATED);
    ck_assert_msg(strstr(error.message, "a member ends too early") != NULL, "%s", error.message);
    free(part);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("torch");
    TCase *tests = tcase_create("torch");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, every_container_gives_the_tensors, 0, FILES);
    tcase_add_loop_test(tests, conversion_keeps_every_number, 0, FILES);
    tcase_add_loop_test(tests, every_cut_of_a_file_is_refused, 0, FILES);
    tcase_add_loop_test(tests, every_allocation_may_fail, 0, FILES);
    tcase_add_test(tests, a_whole_model_is_refused_with_advice);
    if (access(REAL_TAR, R_OK) == 0) {
        tcase_add_test(tests, a_real_tar_cut_short_is_named_as_such);
        tcase_add_test(tests, a_real_tar_filled_up_is_read);
    } else
        printf("skipped: %s is not there\n", REAL_TAR);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
