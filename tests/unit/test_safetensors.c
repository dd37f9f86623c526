/* safetensors: what the format promises, what it forbids, and what the writer makes of it. */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/failing_allocator.h"
#include "support/whole_file.h"
#include "weights/weights.h"

#define PRETRAINED FKP_TEST_SHARED "/pretrained/resnet18_imagenet_stem_to_layer3.safetensors"

static char scratch[64];

/* A file in memory: length, header, `data_size` bytes 0, 1, 2, …; exactly sized. */
static unsigned char *build(const char *header, size_t data_size, size_t *size) {
    uint64_t length = strlen(header);
    *size = 8 + (size_t)length + data_size;
    unsigned char *bytes = malloc(*size);
    for (size_t i = 0; i < 8; i++) bytes[i] = (unsigned char)(length >> (8 * i));
    memcpy(bytes + 8, header, (size_t)length);
    for (size_t i = 0; i < data_size; i++) bytes[8 + (size_t)length + i] = (unsigned char)i;
    return bytes;
}

static facekp_status open_bytes(const unsigned char *bytes, size_t size, fkp_weights **weights,
                                fkp_error *error) {
    fkp_memory memory = fkp_memory_from(NULL);
    *error = (fkp_error){0};
    return fkp_weights_open_memory(&memory, bytes, size, weights, error);
}

START_TEST(tensors_and_metadata_are_found) {
    size_t size;
    unsigned char *bytes = build("{\"__metadata__\":{\"architecture\":\"unet\",\"license\":\"MIT\"},"
                                 "\"b\":{\"dtype\":\"U8\",\"shape\":[2,3],\"data_offsets\":[2,8]},"
                                 "\"a\":{\"dtype\":\"I16\",\"shape\":[],\"data_offsets\":[0,2]},"
                                 "\"z\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[2,2]}}  ",
                                 8, &size);
    fkp_weights *weights;
    fkp_error error;
    ck_assert_int_eq(open_bytes(bytes, size, &weights, &error), FACEKP_OK);
    ck_assert_str_eq(fkp_weights_format(weights), "safetensors");
    ck_assert_uint_eq(fkp_weights_count(weights), 3);
    ck_assert_str_eq(fkp_weights_metadata(weights, "architecture"), "unet");
    ck_assert_str_eq(fkp_weights_metadata(weights, "license"), "MIT");
    ck_assert_ptr_null(fkp_weights_metadata(weights, "none"));
    const fkp_tensor *b = fkp_weights_find(weights, "b");
    ck_assert(b->rank == 2 && b->shape[0] == 2 && b->shape[1] == 3 && b->count == 6 && b->dtype == FKP_U8);
    float values[6];
    fkp_tensor_read(b, values);
    for (int i = 0; i < 6; i++) ck_assert(values[i] == (float)(i + 2));
    const fkp_tensor *a = fkp_weights_find(weights, "a");
    ck_assert(a->rank == 0 && a->count == 1);
    fkp_tensor_read(a, values);
    ck_assert(values[0] == 256.0f);
    ck_assert_uint_eq(fkp_weights_find(weights, "z")->count, 0);
    fkp_tensor_read(fkp_weights_find(weights, "z"), values);
    ck_assert_ptr_null(fkp_weights_find(weights, "c"));
    fkp_weights_close(weights);
    free(bytes);
}
END_TEST

START_TEST(every_type_is_read) {
    static const struct {
        const char *dtype;
        unsigned char bytes[8];
        size_t size;
        float value;
    } cases[] = {
        {"F32", {0, 0, 0x20, 0xc0}, 4, -2.5f},
        {"F16", {0, 0xc1}, 2, -2.5f},
        {"BF16", {0x20, 0xc0}, 2, -2.5f},
        {"F64", {0, 0, 0, 0, 0, 0, 0x04, 0xc0}, 8, -2.5f},
        {"I64", {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 8, -2.0f},
        {"I32", {0xfe, 0xff, 0xff, 0xff}, 4, -2.0f},
        {"I16", {0xfe, 0xff}, 2, -2.0f},
        {"I8", {0xfe}, 1, -2.0f},
        {"U8", {0xfe}, 1, 254.0f},
        {"BOOL", {2}, 1, 1.0f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char header[128];
        snprintf(header, sizeof header, "{\"t\":{\"dtype\":\"%s\",\"shape\":[1],\"data_offsets\":[0,%zu]}}",
                 cases[i].dtype, cases[i].size);
        size_t size;
        unsigned char *bytes = build(header, cases[i].size, &size);
        memcpy(bytes + size - cases[i].size, cases[i].bytes, cases[i].size);
        fkp_weights *weights;
        fkp_error error;
        ck_assert_int_eq(open_bytes(bytes, size, &weights, &error), FACEKP_OK);
        ck_assert_str_eq(fkp_dtype_name(fkp_weights_tensor(weights, 0)->dtype), cases[i].dtype);
        float value;
        fkp_tensor_read(fkp_weights_tensor(weights, 0), &value);
        ck_assert_msg(value == cases[i].value, "%s: %g", cases[i].dtype, (double)value);
        fkp_weights_close(weights);
        free(bytes);
    }
}
END_TEST

#define ENTRY(name, shape, offsets)                                                                          \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct {
    const char *header;
    size_t data;
    facekp_status status;
    const char *says;
} hostile[] = {
    {"{" ENTRY("a", "[2]", "[0,8]") "," ENTRY("b", "[1]", "[4,8]") "}", 8, FACEKP_ERROR_FORMAT, "inside"},
    {"{" ENTRY("a", "[1]", "[0,4]") "," ENTRY("b", "[1]", "[0,4]") "}", 4, FACEKP_ERROR_FORMAT, "inside"},
    {"{" ENTRY("a", "[1]", "[0,4]") "," ENTRY("b", "[1]", "[8,12]") "}", 12, FACEKP_ERROR_FORMAT, "hole"},
    {"{" ENTRY("a", "[1]", "[4,8]") "}", 8, FACEKP_ERROR_FORMAT, "hole"},
    {"{" ENTRY("a", "[1]", "[0,4]") "}", 8, FACEKP_ERROR_FORMAT, "follow the last"},
    {"{}", 1, FACEKP_ERROR_FORMAT, "follow the last"},
    {"{" ENTRY("a", "[2]", "[0,8]") "}", 7, FACEKP_ERROR_TRUNCATED, "cut or damaged"},
    {"{" ENTRY("a", "[2]", "[0,4]") "}", 4, FACEKP_ERROR_FORMAT, "do not make"},
    {"{" ENTRY("a", "[1]", "[4,0]") "}", 4, FACEKP_ERROR_FORMAT, "not in order"},
    /* products and offsets that wrap */
    {"{" ENTRY("a", "[4294967296,4294967296]", "[0,0]") "}", 0, FACEKP_ERROR_FORMAT, "do not make"},
    {"{" ENTRY("a", "[4611686018427387904]", "[0,0]") "}", 0, FACEKP_ERROR_FORMAT, "do not make"},
    {"{" ENTRY("a", "[4611686018427387905]", "[0,4]") "}", 4, FACEKP_ERROR_FORMAT, "do not make"},
    {"{" ENTRY("a", "[0]", "[18446744073709551615,18446744073709551615]") "}", 0, FACEKP_ERROR_TRUNCATED, ""},
    {"{" ENTRY("a", "[1]", "[0,18446744073709551616]") "}", 4, FACEKP_ERROR_FORMAT, "data_offsets"},
    {"{" ENTRY("a", "[1]", "[-4,0]") "}", 4, FACEKP_ERROR_FORMAT, "data_offsets"},
    {"{" ENTRY("a", "[-1]", "[0,4]") "}", 4, FACEKP_ERROR_FORMAT, "no size"},
    {"{" ENTRY("a", "[1.0]", "[0,4]") "}", 4, FACEKP_ERROR_FORMAT, "no size"},
    {"{" ENTRY("a", "[1]", "[0,4,8]") "}", 4, FACEKP_ERROR_FORMAT, "data_offsets"},
    {"{" ENTRY("a", "[1]", "7") "}", 4, FACEKP_ERROR_FORMAT, "data_offsets"},
    {"{" ENTRY("a", "7", "[0,4]") "}", 4, FACEKP_ERROR_FORMAT, "shape is missing"},
    {"{" ENTRY("a", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, FACEKP_ERROR_LIMIT, "dimensions"},
    {"{" ENTRY("a", "[1]", "[0,4]") "," ENTRY("a", "[1]", "[4,8]") "}", 8, FACEKP_ERROR_FORMAT, "twice"},
    {"{" ENTRY("a", "[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]", "[0,4]") "}", 4, FACEKP_ERROR_LIMIT, "nested"},
    {"{\"a\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1, FACEKP_ERROR_UNSUPPORTED, "F4"},
    {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, FACEKP_ERROR_UNSUPPORTED,
     "F8_E4M3"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, FACEKP_ERROR_FORMAT, "dtype is missing"},
    {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, FACEKP_ERROR_FORMAT,
     "dtype is missing"},
    {"{\"a\":7}", 0, FACEKP_ERROR_FORMAT, "no object"},
    {"{\"__metadata__\":7}", 0, FACEKP_ERROR_FORMAT, "not an object"},
    {"{\"__metadata__\":{\"a\":7}}", 0, FACEKP_ERROR_FORMAT, "no string"},
    {"{\"\xc3(\":{}}", 0, FACEKP_ERROR_FORMAT, "UTF-8"},
    {"{} x", 0, FACEKP_ERROR_FORMAT, "follows the document"},
};

START_TEST(hostile_headers_are_refused) {
    size_t size;
    unsigned char *bytes = build(hostile[_i].header, hostile[_i].data, &size);
    fkp_weights *weights = (fkp_weights *)bytes;
    fkp_error error;
    facekp_status status = open_bytes(bytes, size, &weights, &error);
    ck_assert_msg(status == hostile[_i].status, "%s: %d, %s", hostile[_i].header, (int)status, error.message);
    ck_assert_ptr_null(weights);
    ck_assert_msg(strstr(error.message, hostile[_i].says) != NULL, "%s", error.message);
    free(bytes);
}
END_TEST

START_TEST(header_lengths_are_checked_before_use) {
    static const struct {
        uint64_t length;
        facekp_status status;
    } cases[] = {{UINT64_MAX, FACEKP_ERROR_LIMIT},
                 {100000001, FACEKP_ERROR_LIMIT},
                 {100000000, FACEKP_ERROR_TRUNCATED},
                 {3, FACEKP_ERROR_TRUNCATED},
                 {UINT64_MAX - 7, FACEKP_ERROR_LIMIT},
                 {0, FACEKP_ERROR_FORMAT},
                 {1, FACEKP_ERROR_FORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        unsigned char *bytes = build("{}", 0, &size);
        for (size_t j = 0; j < 8; j++) bytes[j] = (unsigned char)(cases[i].length >> (8 * j));
        fkp_weights *weights;
        fkp_error error;
        ck_assert_int_eq(open_bytes(bytes, size, &weights, &error), cases[i].status);
        free(bytes);
    }
}
END_TEST

START_TEST(every_cut_of_a_file_is_refused) {
    size_t size;
    unsigned char *bytes =
        build("{" ENTRY("a", "[2]", "[0,8]") "," ENTRY("b", "[1]", "[8,12]") "}", 12, &size);
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *part = malloc(cut + (cut == 0));
        memcpy(part, bytes, cut);
        fkp_weights *weights;
        fkp_error error;
        facekp_status status = open_bytes(part, cut, &weights, &error);
        ck_assert_msg(status == FACEKP_ERROR_TRUNCATED || (cut < 9 && status == FACEKP_ERROR_FORMAT),
                      "%zu bytes: %d", cut, (int)status);
        free(part);
    }
    free(bytes);
}
END_TEST

START_TEST(limits_hold) {
    char name[FKP_MAX_TENSOR_NAME + 2];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    char header[2 * sizeof name];
    snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", name);
    size_t size;
    unsigned char *bytes = build(header, 1, &size);
    fkp_weights *weights;
    fkp_error error;
    ck_assert_int_eq(open_bytes(bytes, size, &weights, &error), FACEKP_ERROR_LIMIT);
    free(bytes);

    size_t room = 80 * (FKP_MAX_TENSORS + 2), used = 1;
    char *many = malloc(room);
    many[0] = '{';
    for (int i = 0; i <= FKP_MAX_TENSORS; i++)
        used += (size_t)snprintf(many + used, room - used,
                                 "%s\"%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                                 i == 0 ? "" : ",", i);
    snprintf(many + used, room - used, "}");
    bytes = build(many, 0, &size);
    ck_assert_int_eq(open_bytes(bytes, size, &weights, &error), FACEKP_ERROR_LIMIT);
    free(bytes);
    free(many);
}
END_TEST

START_TEST(prefixes_come_off) {
    static const struct {
        const char *first, *second, *as_first, *as_second;
    } cases[] = {
        {"module.a", "module.b", "a", "b"},
        {"module.model.a", "b", "a", "b"},
        {"backbone.a", "head.b", "a", "head.b"},
        {"teacher.backbone.a", "teacher.head.b", "a", "head.b"},
        {"student.module.backbone.a", "module.c", "a", "c"},
        {"backbone.a", "a", "backbone.a", "a"},
        {"model.", "a", "model.", "a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char header[256];
        snprintf(header, sizeof header,
                 "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                 "\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
                 cases[i].first, cases[i].second);
        size_t size;
        unsigned char *bytes = build(header, 2, &size);
        fkp_weights *weights;
        fkp_error error;
        ck_assert_int_eq(open_bytes(bytes, size, &weights, &error), FACEKP_OK);
        float value = -1;
        ck_assert_ptr_nonnull(fkp_weights_find(weights, cases[i].as_first));
        fkp_tensor_read(fkp_weights_find(weights, cases[i].as_first), &value);
        ck_assert(value == 0.0f);
        ck_assert_ptr_nonnull(fkp_weights_find(weights, cases[i].as_second));
        fkp_weights_close(weights);
        free(bytes);
    }
}
END_TEST

START_TEST(of_teacher_and_student_the_teacher_is_taken) {
    size_t size;
    unsigned char *bytes = build("{\"student.a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                                 "\"teacher.a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
                                 2, &size);
    fkp_weights *weights;
    fkp_error error;
    ck_assert_int_eq(open_bytes(bytes, size, &weights, &error), FACEKP_OK);
    ck_assert_uint_eq(fkp_weights_count(weights), 1);
    float value;
    fkp_tensor_read(fkp_weights_find(weights, "a"), &value);
    ck_assert(value == 1.0f);
    fkp_weights_close(weights);
    free(bytes);
}
END_TEST

/* ---- writing ---- */

static const size_t shape_23[] = {2, 3}, shape_4[] = {4};
static const float six[] = {1.0f, -2.0f, 0.333333343f, 65504.0f, 1e-7f, 0.0f}, four[] = {1, 2, 3, 4};
static const fkp_write_tensor written[] = {
    {"w", 2, shape_23, six}, {"b \"q\"", 1, shape_4, four}, {"s", 0, NULL, four}};
static const fkp_metadata notes[] = {{"architecture", "direct"}, {"license", "a \"b\"\n\xe2\x82\xac"}};

static void scratch_path(char *path, size_t size, const char *name) {
    snprintf(path, size, "%s/%s", scratch, name);
}

START_TEST(what_is_written_reads_back) {
    static const fkp_dtype dtypes[] = {FKP_F32, FKP_F16, FKP_BF16};
    fkp_memory memory = fkp_memory_from(NULL);
    char path[128];
    scratch_path(path, sizeof path, "written.safetensors");
    for (int d = 0; d < 3; d++) {
        fkp_error error = {0};
        ck_assert_int_eq(fkp_safetensors_write(&memory, path, written, 3, dtypes[d], notes, 2, &error),
                         FACEKP_OK);
        fkp_weights *weights;
        ck_assert_int_eq(fkp_weights_open(&memory, path, &weights, &error), FACEKP_OK);
        ck_assert_uint_eq(fkp_weights_count(weights), 3);
        ck_assert_str_eq(fkp_weights_metadata(weights, "license"), notes[1].value);
        const fkp_tensor *w = fkp_weights_find(weights, "w");
        ck_assert_int_eq(w->dtype, dtypes[d]);
        float values[6];
        fkp_tensor_read(w, values);
        for (int i = 0; i < 6; i++) {
            float expected = d == 0   ? six[i]
                             : d == 1 ? fkp_half_to_float(fkp_float_to_half(six[i]))
                                      : fkp_bfloat16_to_float(fkp_float_to_bfloat16(six[i]));
            ck_assert(values[i] == expected);
        }
        fkp_tensor_read(fkp_weights_find(weights, "b \"q\""), values);
        ck_assert(values[3] == 4.0f);
        fkp_weights_close(weights);
    }
    unlink(path);
}
END_TEST

/* The reference's layout to the byte: metadata first, then tensors by name, the header padded to 8. */
START_TEST(the_bytes_are_those_of_the_reference) {
    fkp_memory memory = fkp_memory_from(NULL);
    char path[128];
    scratch_path(path, sizeof path, "bytes.safetensors");
    static const fkp_write_tensor pair[] = {{"w", 2, shape_23, six}, {"b", 1, shape_4, four}};
    ck_assert_int_eq(fkp_safetensors_write(&memory, path, pair, 2, FKP_F32, notes, 1, NULL), FACEKP_OK);
    size_t size;
    unsigned char *bytes = read_whole_file(path, &size);
    const char *header = "{\"__metadata__\":{\"architecture\":\"direct\"},"
                         "\"b\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
                         "\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[16,40]}}";
    size_t padded = (strlen(header) + 7) / 8 * 8;
    ck_assert_uint_eq(size, 8 + padded + 40);
    ck_assert_uint_eq(bytes[0] + 256u * bytes[1], padded);
    ck_assert_int_eq(memcmp(bytes + 8, header, strlen(header)), 0);
    for (size_t i = strlen(header); i < padded; i++) ck_assert_int_eq(bytes[8 + i], ' ');
    ck_assert_int_eq(memcmp(bytes + 8 + padded, four, 16), 0);
    free(bytes);
    unlink(path);
}
END_TEST

START_TEST(writing_refuses_what_it_cannot_keep) {
    fkp_memory memory = fkp_memory_from(NULL);
    char path[128];
    scratch_path(path, sizeof path, "refused.safetensors");
    fkp_error error = {0};
    const float large[] = {1.0f, 65520.0f, 0, 0};
    const fkp_write_tensor too_large = {"w", 1, shape_4, large};
    ck_assert_int_eq(fkp_safetensors_write(&memory, path, &too_large, 1, FKP_F16, NULL, 0, &error),
                     FACEKP_ERROR_VALUE);
    ck_assert_ptr_nonnull(strstr(error.message, "65520"));
    const fkp_write_tensor twice[] = {{"w", 1, shape_4, four}, {"w", 1, shape_4, four}};
    ck_assert_int_eq(fkp_safetensors_write(&memory, path, twice, 2, FKP_F32, NULL, 0, &error),
                     FACEKP_ERROR_ARGUMENT);
    ck_assert_int_eq(fkp_safetensors_write(&memory, path, twice, 1, FKP_I8, NULL, 0, &error),
                     FACEKP_ERROR_ARGUMENT);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_eq(fkp_safetensors_write(&memory, "/nonexistent/x", twice, 1, FKP_F32, NULL, 0, &error),
                     FACEKP_ERROR_WRITE);
}
END_TEST

START_TEST(a_converted_file_keeps_names_metadata_and_integers) {
    size_t size;
    unsigned char *bytes = build("{\"__metadata__\":{\"a\":\"1\",\"b\":\"2\"},"
                                 "\"d\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[8,16]},"
                                 "\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}",
                                 16, &size);
    const double two = 2.0;
    memcpy(bytes + size - 8, &two, 8);
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_weights *weights, *back;
    fkp_error error;
    ck_assert_int_eq(open_bytes(bytes, size, &weights, &error), FACEKP_OK);
    char path[128];
    scratch_path(path, sizeof path, "converted.safetensors");
    static const fkp_metadata extra[] = {{"b", "3"}, {"c", "4"}};
    static const fkp_dtype asked[] = {FKP_DTYPES, FKP_F16}, expected[] = {FKP_F64, FKP_F16};
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(fkp_weights_write(&memory, weights, path, asked[i], extra, 2, &error), FACEKP_OK);
        ck_assert_int_eq(fkp_weights_open(&memory, path, &back, &error), FACEKP_OK);
        ck_assert_str_eq(fkp_weights_metadata(back, "a"), "1");
        ck_assert_str_eq(fkp_weights_metadata(back, "b"), "3");
        ck_assert_str_eq(fkp_weights_metadata(back, "c"), "4");
        ck_assert_int_eq(fkp_weights_find(back, "i")->dtype, FKP_I64);
        ck_assert_int_eq(fkp_weights_find(back, "d")->dtype, expected[i]);
        float value;
        fkp_tensor_read(fkp_weights_find(back, "d"), &value);
        ck_assert(value == 2.0f);
        fkp_weights_close(back);
    }
    ck_assert_int_eq(fkp_weights_write(&memory, weights, path, FKP_I8, NULL, 0, &error),
                     FACEKP_ERROR_ARGUMENT);
    fkp_weights_close(weights);
    free(bytes);
    unlink(path);
}
END_TEST

static facekp_status write_and_read(const facekp_allocator *allocator, void *argument) {
    fkp_memory memory = fkp_memory_from(allocator);
    const char *path = argument;
    fkp_error error = {0};
    facekp_status status = fkp_safetensors_write(&memory, path, written, 3, FKP_F32, notes, 2, &error);
    fkp_weights *weights = NULL;
    if (status == FACEKP_OK) status = fkp_weights_open(&memory, path, &weights, &error);
    if (status == FACEKP_OK) status = fkp_weights_write(&memory, weights, path, FKP_F16, notes, 2, &error);
    fkp_weights_close(weights);
    return status;
}

START_TEST(every_allocation_may_fail) {
    char path[128];
    scratch_path(path, sizeof path, "memory.safetensors");
    check_every_allocation(write_and_read, path);
    unlink(path);
}
END_TEST

START_TEST(files_that_are_none) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_weights *weights;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_weights_open(&memory, "/nonexistent", &weights, &error), FACEKP_ERROR_OPEN);
    ck_assert_int_eq(fkp_weights_open(&memory, "/tmp", &weights, &error), FACEKP_ERROR_OPEN);
    char path[128];
    scratch_path(path, sizeof path, "empty");
    fclose(fopen(path, "w"));
    ck_assert_int_eq(fkp_weights_open(&memory, path, &weights, &error), FACEKP_ERROR_TRUNCATED);
    unlink(path);
    const unsigned char *text = (const unsigned char *)"hello, this is no weights file";
    ck_assert_int_eq(open_bytes(text, 30, &weights, &error), FACEKP_ERROR_FORMAT);
    ck_assert_int_eq(open_bytes(text, 0, &weights, &error), FACEKP_ERROR_TRUNCATED);
}
END_TEST

START_TEST(a_real_file_is_read) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_weights *weights;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_weights_open(&memory, PRETRAINED, &weights, &error), FACEKP_OK);
    const fkp_tensor *conv1 = fkp_weights_find(weights, "conv1.weight");
    ck_assert(conv1 != NULL && conv1->rank == 4 && conv1->shape[0] == 64 && conv1->shape[1] == 3);
    ck_assert_str_eq(fkp_weights_metadata(weights, "format"), "pt");
    float values[64];
    fkp_tensor_read(fkp_weights_find(weights, "bn1.running_var"), values);
    for (int i = 0; i < 64; i++) ck_assert(isfinite(values[i]) && values[i] >= 0.0f);
    fkp_weights_close(weights);
}
END_TEST

int main(void) {
    snprintf(scratch, sizeof scratch, "/tmp/facekp-safetensors-XXXXXX");
    if (mkdtemp(scratch) == NULL) return EXIT_FAILURE;
    Suite *suite = suite_create("safetensors");
    TCase *tests = tcase_create("safetensors");
    tcase_add_test(tests, tensors_and_metadata_are_found);
    tcase_add_test(tests, every_type_is_read);
    tcase_add_loop_test(tests, hostile_headers_are_refused, 0, (int)(sizeof hostile / sizeof *hostile));
    tcase_add_test(tests, header_lengths_are_checked_before_use);
    tcase_add_test(tests, every_cut_of_a_file_is_refused);
    tcase_add_test(tests, limits_hold);
    tcase_add_test(tests, prefixes_come_off);
    tcase_add_test(tests, of_teacher_and_student_the_teacher_is_taken);
    tcase_add_test(tests, what_is_written_reads_back);
    tcase_add_test(tests, the_bytes_are_those_of_the_reference);
    tcase_add_test(tests, writing_refuses_what_it_cannot_keep);
    tcase_add_test(tests, a_converted_file_keeps_names_metadata_and_integers);
    tcase_add_test(tests, every_allocation_may_fail);
    tcase_add_test(tests, files_that_are_none);
    if (access(PRETRAINED, R_OK) == 0)
        tcase_add_test(tests, a_real_file_is_read);
    else
        printf("skipped: %s is not there\n", PRETRAINED);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    rmdir(scratch);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
