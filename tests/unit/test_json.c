/* The JSON reader and writer, and the arena and sorting they rest on. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/sort.h"
#include "support/failing_allocator.h"

static fkp_json *parse(const char *text) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_error error = {0};
    fkp_json *json;
    facekp_status status = fkp_json_parse(&memory, text, strlen(text), &json, &error);
    ck_assert_msg(status == FACEKP_OK, "%s: %s", text, error.message);
    return json;
}

static facekp_status refusal(const char *text, size_t size, fkp_error *error) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_json *json = (fkp_json *)&memory;
    facekp_status status = fkp_json_parse(&memory, text, size, &json, error);
    ck_assert_ptr_null(json);
    return status;
}

START_TEST(values_of_every_kind) {
    fkp_json *json = parse(" {\"a\": [1, -2.5e+3, true, false, null], \"b\": {\"c\": \"d\"}, \"\": {}} \n");
    const fkp_json_value *root = fkp_json_root(json);
    ck_assert_int_eq(root->kind, FKP_JSON_OBJECT);
    ck_assert_uint_eq(root->count, 3);
    const fkp_json_value *a = fkp_json_find(json, root, "a");
    ck_assert_int_eq(a->kind, FKP_JSON_ARRAY);
    ck_assert_uint_eq(a->count, 5);
    static const fkp_json_kind kinds[] = {FKP_JSON_NUMBER, FKP_JSON_NUMBER, FKP_JSON_TRUE, FKP_JSON_FALSE,
                                          FKP_JSON_NULL};
    const fkp_json_value *element = fkp_json_first(json, a);
    for (size_t i = 0; i < 5; i++, element = fkp_json_next(json, element))
        ck_assert_int_eq(element->kind, kinds[i]);
    ck_assert_ptr_null(element);
    ck_assert_str_eq(fkp_json_next(json, fkp_json_first(json, a))->text, "-2.5e+3");
    const fkp_json_value *b = fkp_json_find(json, root, "b");
    ck_assert_str_eq(fkp_json_find(json, b, "c")->text, "d");
    ck_assert_ptr_null(fkp_json_find(json, b, "a"));
    ck_assert_ptr_null(fkp_json_find(json, a, "a"));
    const fkp_json_value *empty = fkp_json_find(json, root, "");
    ck_assert_ptr_null(fkp_json_first(json, empty));
    fkp_json_free(json);
    json = parse("7");
    ck_assert_str_eq(fkp_json_root(json)->text, "7");
    fkp_json_free(json);
}
END_TEST

START_TEST(strings_are_decoded) {
    fkp_json *json = parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t \\u00e9\\u20AC\\ud83d\\ude00 \xc3\xa9\"");
    ck_assert_str_eq(fkp_json_root(json)->text,
                     "\"\\/\b\f\n\r\t \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \xc3\xa9");
    fkp_json_free(json);
}
END_TEST

START_TEST(unsigned_numbers_are_exact) {
    fkp_json *json = parse("[18446744073709551615, 18446744073709551616, -1, 1.0, 1e2, 0, \"1\"]");
    static const bool valid[] = {true, false, false, false, false, true, false};
    static const uint64_t values[] = {UINT64_MAX, 0, 0, 0, 0, 0, 0};
    const fkp_json_value *element = fkp_json_first(json, fkp_json_root(json));
    for (size_t i = 0; i < 7; i++, element = fkp_json_next(json, element)) {
        uint64_t value = 5;
        ck_assert_int_eq(fkp_json_unsigned(element, &value), valid[i]);
        ck_assert_uint_eq(value, valid[i] ? values[i] : 5);
    }
    uint64_t untouched;
    ck_assert(!fkp_json_unsigned(NULL, &untouched));
    fkp_json_free(json);
}
END_TEST

static const char *const malformed[] = {
    "", " ", "{", "[", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "[1,]", "[1 2]", "{a:1}", "{\"a\":1]", "01", "-",
    "1.", "1e", "+1", ".5", "nul", "truefalse", "\"", "\"\\x\"", "\"\\u12\"", "\"\\u123g\"", "\"\\ud800\"",
    "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\\u0000\"", "\"\n\"", "1 2", "{} x", "NaN", "[1]]",
    /* not UTF-8: overlong, surrogate, above U+10FFFF, cut, lone continuation */
    "\"\xc0\x80\"", "\"\xe0\x80\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xc3\"", "\"\x80\"",
    "\"\xff\"", "\"\xf0\x80\x80\x80\"", "\xc3\xa9",
    /* a key twice, also when spelled differently */
    "{\"a\":1,\"a\":2}", "{\"b\":{\"a\":1,\"c\":0,\"\\u0061\":2}}"};

START_TEST(malformed_text_is_refused) {
    fkp_error error = {0};
    ck_assert_int_eq(refusal(malformed[_i], strlen(malformed[_i]), &error), FACEKP_ERROR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "JSON: "));
}
END_TEST

START_TEST(the_byte_is_named) {
    fkp_error error = {0};
    refusal("[1, x]", 6, &error);
    ck_assert_str_eq(error.message, "JSON: expected a value at byte 4");
    refusal("{\"k\":1,\"k\":2}", 13, &error);
    ck_assert_str_eq(error.message, "JSON: the key \"k\" stands twice in one object");
    ck_assert_int_eq(refusal("[\"a\0b\"]", 7, &error), FACEKP_ERROR_FORMAT);
}
END_TEST

START_TEST(every_cut_of_a_document_is_refused) {
    const char *text = "{\"a\": [1, -2.5e+3, true, null], \"b\": {\"c\": \"\\u00e9\"}}";
    for (size_t size = 0; size < strlen(text); size++) {
        /* exactly sized, so that a sanitizer sees a read past the end */
        char *cut = malloc(size + 1);
        memcpy(cut, text, size);
        fkp_error error = {0};
        ck_assert_int_eq(refusal(cut, size, &error), FACEKP_ERROR_FORMAT);
        free(cut);
    }
}
END_TEST

START_TEST(depth_and_number_of_values_are_limited) {
    fkp_error error = {0};
    char nested[2 * FKP_JSON_DEPTH + 2];
    memset(nested, '[', FKP_JSON_DEPTH);
    memset(nested + FKP_JSON_DEPTH, ']', FKP_JSON_DEPTH);
    nested[2 * FKP_JSON_DEPTH] = '\0';
    fkp_json_free(parse(nested));
    memset(nested, '[', sizeof nested);
    ck_assert_int_eq(refusal(nested, FKP_JSON_DEPTH + 1, &error), FACEKP_ERROR_LIMIT);
    size_t size = 2 * (size_t)FKP_JSON_VALUES + 3;
    char *many = malloc(size);
    for (size_t i = 0; i < size; i++) many[i] = i % 2 == 0 ? ',' : '1';
    many[0] = '[';
    many[size - 1] = ']';
    ck_assert_int_eq(refusal(many, size, &error), FACEKP_ERROR_LIMIT);
    memset(many, '[', size);
    ck_assert_int_eq(refusal(many, size, &error), FACEKP_ERROR_LIMIT);
    free(many);
}
END_TEST

START_TEST(what_is_written_reads_back) {
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_json_writer writer;
    fkp_json_writer_begin(&writer, &memory);
    fkp_json_write_raw(&writer, "[");
    fkp_json_write_string(&writer, "q\" b\\ \b\f\n\r\t\x01\x1f \xe2\x82\xac \xff!");
    fkp_json_write_raw(&writer, ",");
    fkp_json_write_unsigned(&writer, UINT64_MAX);
    fkp_json_write_raw(&writer, ",");
    fkp_json_write_unsigned(&writer, 0);
    fkp_json_write_raw(&writer, "]");
    ck_assert(!writer.failed);
    fkp_json *json;
    ck_assert_int_eq(fkp_json_parse(&memory, writer.text, writer.used, &json, NULL), FACEKP_OK);
    const fkp_json_value *element = fkp_json_first(json, fkp_json_root(json));
    ck_assert_str_eq(element->text, "q\" b\\ \b\f\n\r\t\x01\x1f \xe2\x82\xac \xef\xbf\xbd!");
    uint64_t number;
    ck_assert(fkp_json_unsigned(fkp_json_next(json, element), &number) && number == UINT64_MAX);
    fkp_json_free(json);
    fkp_json_writer_free(&writer);
}
END_TEST

static facekp_status parse_and_write(const facekp_allocator *allocator, void *argument) {
    fkp_memory memory = fkp_memory_from(allocator);
    const char *text = argument;
    fkp_json *json;
    fkp_error error = {0};
    facekp_status status = fkp_json_parse(&memory, text, strlen(text), &json, &error);
    if (status != FACEKP_OK) return status;
    fkp_json_writer writer;
    fkp_json_writer_begin(&writer, &memory);
    for (int i = 0; i < 100; i++) fkp_json_write_string(&writer, "some text");
    status = writer.failed ? FACEKP_ERROR_MEMORY : FACEKP_OK;
    fkp_json_writer_free(&writer);
    fkp_json_free(json);
    return status;
}

START_TEST(every_allocation_may_fail) {
    char text[] = "{\"a\": [1, 2], \"b\": \"c\"}";
    check_every_allocation(parse_and_write, text);
}
END_TEST

static int compare_numbers(const void *context, uint32_t a, uint32_t b) {
    const int *numbers = context;
    return numbers[a] < numbers[b] ? -1 : numbers[a] > numbers[b];
}

START_TEST(sorting_sorts) {
    int numbers[97] = {0};
    uint32_t order[97];
    for (size_t count = 0; count <= 97; count++) {
        for (uint32_t i = 0; i < count; i++) {
            numbers[i] = (int)(i * 7919 % 53);
            order[i] = i;
        }
        fkp_sort(order, count, compare_numbers, numbers);
        bool seen[97] = {false};
        for (size_t i = 0; i < count; i++) {
            ck_assert(!seen[order[i]]);
            seen[order[i]] = true;
            if (i > 0) ck_assert_int_le(numbers[order[i - 1]], numbers[order[i]]);
        }
    }
}
END_TEST

START_TEST(an_arena_keeps_its_limit) {
    failing_allocator state = {0};
    facekp_allocator hooks = failing_hooks(&state);
    fkp_memory memory = fkp_memory_from(&hooks);
    fkp_arena arena;
    fkp_arena_begin(&arena, &memory, 100000);
    char *copy = fkp_arena_copy(&arena, "text", 4);
    ck_assert_str_eq(copy, "text");
    unsigned char *large = fkp_arena_allocate(&arena, 50000, 1);
    ck_assert_ptr_nonnull(large);
    for (size_t i = 0; i < 50000; i++) ck_assert_uint_eq(large[i], 0);
    ck_assert_ptr_null(fkp_arena_allocate(&arena, 50000, 1));
    ck_assert_ptr_null(fkp_arena_allocate(&arena, SIZE_MAX / 2, 3));
    ck_assert_ptr_null(fkp_arena_allocate(&arena, SIZE_MAX, 1));
    ck_assert_uint_le(state.bytes, 100000 + 128);
    ck_assert_str_eq(copy, "text");
    fkp_arena_free(&arena);
    ck_assert_uint_eq(state.pieces, 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("json");
    TCase *tests = tcase_create("json");
    tcase_add_test(tests, values_of_every_kind);
    tcase_add_test(tests, strings_are_decoded);
    tcase_add_test(tests, unsigned_numbers_are_exact);
    tcase_add_loop_test(tests, malformed_text_is_refused, 0, (int)(sizeof malformed / sizeof *malformed));
    tcase_add_test(tests, the_byte_is_named);
    tcase_add_test(tests, every_cut_of_a_document_is_refused);
    tcase_add_test(tests, depth_and_number_of_values_are_limited);
    tcase_add_test(tests, what_is_written_reads_back);
    tcase_add_test(tests, every_allocation_may_fail);
    tcase_add_test(tests, sorting_sorts);
    tcase_add_test(tests, an_arena_keeps_its_limit);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
