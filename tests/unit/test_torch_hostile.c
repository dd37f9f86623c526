/* PyTorch files that lie: each must be the documented error, and none may crash, leak or take memory without
 * bound. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/bytes.h"
#include "support/failing_allocator.h"
#include "support/whole_file.h"
#include "weights/weights.h"

#define FOLDER FKP_TEST_SOURCE "/unit/torch/"
#define MOST_MEMORY ((size_t)80 << 20) /* the values of a pickle are limited to 64 MB */

/* Opens a copy of exactly the size; checks that nothing is left and memory stayed bounded. */
static facekp_status open_bytes(const byte_string *file, fkp_error *error) {
    failing_allocator state = {0};
    facekp_allocator hooks = failing_hooks(&state);
    fkp_memory memory = fkp_memory_from(&hooks);
    unsigned char *copy = malloc(file->size + (file->size == 0));
    if (file->size != 0) memcpy(copy, file->data, file->size);
    fkp_weights *weights;
    *error = (fkp_error){0};
    facekp_status status = fkp_weights_open_memory(&memory, copy, file->size, &weights, error);
    if (status != FACEKP_OK) ck_assert_ptr_null(weights);
    fkp_weights_close(weights);
    ck_assert_uint_eq(state.pieces, 0);
    ck_assert_uint_le(state.most_bytes, MOST_MEMORY);
    free(copy);
    return status;
}

static void expect(const byte_string *file, facekp_status status, const char *says) {
    fkp_error error;
    facekp_status got = open_bytes(file, &error);
    ck_assert_msg(got == status && strstr(error.message, says) != NULL, "%d (%s), not %d (%s)", (int)got,
                  error.message, (int)status, says);
}

static byte_string load(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s%s", FOLDER, name);
    byte_string file = {NULL, 0};
    file.data = read_whole_file(path, &file.size);
    ck_assert_ptr_nonnull(file.data);
    return file;
}

/* ---- pickles, in the legacy container: preamble, the pickle, an empty list of storages ---- */

static void begin_legacy(byte_string *file) {
    put(file, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
    put(file, "\x80\x02M\xe9\x03.", 6);
    put(file, "\x80\x02}X\x0d\0\0\0little_endian\x88s.", 24);
}

static byte_string legacy_with(const void *pickle, size_t size) {
    byte_string file = {NULL, 0};
    begin_legacy(&file);
    put(&file, pickle, size);
    put(&file, "\x80\x02].", 4);
    return file;
}

#define STORAGE(key, count)                                                                                  \
    "(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" key "X\x03\0\0\0cpu" count "NtQ"
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define PICKLE(text)                                                                                         \
    { text, sizeof text - 1 }

static const struct {
    struct {
        const char *text;
        size_t size;
    } pickle;
    facekp_status status;
    const char *says;
} pickles[] = {
    {PICKLE("\x80\x02."), FACEKP_ERROR_FORMAT, "missing on the stack"},
    {PICKLE("\x80\x02}"), FACEKP_ERROR_TRUNCATED, "without STOP"}, /* takes the next pickle in */
    {PICKLE("\x80\x02}."), FACEKP_ERROR_FORMAT, "no state dict"},
    {PICKLE("\x80\x02K\x07."), FACEKP_ERROR_FORMAT, "no state dict"},
    {PICKLE("\x80\x09}."), FACEKP_ERROR_UNSUPPORTED, "protocol"},
    {PICKLE("I5\n."), FACEKP_ERROR_FORMAT, "opcode 0x49"},
    {PICKLE("\x80\x02}t."), FACEKP_ERROR_FORMAT, "mark is missing"},
    {PICKLE("\x80\x02}(R."), FACEKP_ERROR_FORMAT, "missing on the stack"},
    {PICKLE("\x80\x02}a."), FACEKP_ERROR_FORMAT, "missing on the stack"},
    {PICKLE("\x80\x02}]a."), FACEKP_ERROR_FORMAT, "no list"},
    {PICKLE("\x80\x02](K\x01K\x02u."), FACEKP_ERROR_FORMAT, "no dict"},
    {PICKLE("\x80\x02}(K\x01u."), FACEKP_ERROR_FORMAT, "no dict"},
    {PICKLE("\x80\x02h\x05."), FACEKP_ERROR_FORMAT, "unknown memo"},
    {PICKLE("\x80\x02}r\xff\xff\xff\xff."), FACEKP_ERROR_LIMIT, "memo index"},
    {PICKLE("\x80\x02}r\x00\x00\x10\x00."), FACEKP_ERROR_LIMIT, "memo index"},
    {PICKLE("\x80\x02j\xff\xff\xff\xff."), FACEKP_ERROR_FORMAT, "unknown memo"},
    {PICKLE("\x80\x02X\xff\xff\xff\xffx."), FACEKP_ERROR_TRUNCATED, "operand"},
    {PICKLE("\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xffx."), FACEKP_ERROR_TRUNCATED, "operand"},
    {PICKLE("\x80\x02\x8b\xff\xff\xff\xff."), FACEKP_ERROR_TRUNCATED, "operand"},
    {PICKLE("\x80\x02"
            "cos"),
     FACEKP_ERROR_TRUNCATED, "no end"},
    /* what would run something is a name and no more */
    {PICKLE("\x80\x02"
            "cos\nsystem\nX\x04\0\0\0true\x85R."),
     FACEKP_ERROR_UNSUPPORTED, "os.system"},
    {PICKLE("\x80\x02"
            "cbuiltins\neval\nX\x01\0\0\0"
            "1\x85R."),
     FACEKP_ERROR_UNSUPPORTED, "builtins.eval"},
    {PICKLE("\x80\x02"
            "ccollections\nOrderedDict\n]K\x01"
            "a\x85R."),
     FACEKP_ERROR_FORMAT, "no pairs"},
    {PICKLE("\x80\x02"
            "ctorch.nn.parameter\nParameter\n)\x81Nb."),
     FACEKP_ERROR_FORMAT, "without a tensor"},
    {PICKLE("\x80\x02K\x01Q."), FACEKP_ERROR_FORMAT, "no known way"},
    {PICKLE("\x80\x02(X\x07\0\0\0storageNNNNtQ."), FACEKP_ERROR_FORMAT, "no known way"},
    {PICKLE("\x80\x02" STORAGE("a", "J\xff\xff\xff\xff") "."), FACEKP_ERROR_FORMAT, "no known way"},
    {PICKLE("\x80\x02(X\x07\0\0\0storagectorch\nComplexFloatStorage\nX\x01\0\0\0aX\x03\0\0\0cpuK\x01NtQ."),
     FACEKP_ERROR_UNSUPPORTED, "ComplexFloatStorage"},
    {PICKLE("\x80\x02]" STORAGE("a", "K\x01") "a" STORAGE("a", "K\x02") "a."), FACEKP_ERROR_FORMAT,
     "two ways"},
    /* a tensor whose storage is never listed */
    {PICKLE("\x80\x02}X\x01\0\0\0w" REBUILD "(" STORAGE("a", "K\x01") "K\x00K\x01\x85K\x01\x85\x89NtRs."),
     FACEKP_ERROR_FORMAT, "not in the file"},
    {PICKLE("\x80\x02}X\x01\0\0\0w" REBUILD "(NK\x00K\x01\x85K\x01\x85\x89NtRs."), FACEKP_ERROR_FORMAT,
     "no known way"},
    {PICKLE("\x80\x02}X\x01\0\0\0w" REBUILD "(" STORAGE("a", "K\x01") "K\x00K\x01\x85)\x89NtRs."),
     FACEKP_ERROR_FORMAT, "no known way"},
    {PICKLE("\x80\x02}X\x01\0\0\0w" REBUILD
            "(" STORAGE("a", "K\x01") "J\xff\xff\xff\xffK\x01\x85K\x01\x85\x89NtRs."),
     FACEKP_ERROR_FORMAT, "negative"},
    {PICKLE("\x80\x02}X\x01\0\0\0w" REBUILD
            "(" STORAGE("a", "K\x01") "K\x00K\x01\x85J\xff\xff\xff\xff\x85\x89NtRs."),
     FACEKP_ERROR_FORMAT, "negative"},
    {PICKLE("\x80\x02}X\x01\0\0\0w" REBUILD
            "(" STORAGE("a", "K\x01") "K\x00J\xff\xff\xff\xff\x85K\x01\x85\x89NtRs."),
     FACEKP_ERROR_FORMAT, "negative"},
};

START_TEST(hostile_pickles_are_refused) {
    byte_string file = legacy_with(pickles[_i].pickle.text, pickles[_i].pickle.size);
    expect(&file, pickles[_i].status, pickles[_i].says);
    free(file.data);
}
END_TEST

/* One tensor over a storage of `there` floats: the pickle's count, the listed count, sizes and strides are
 * the test's. Numbers go in as LONG1 of eight bytes. */
static void put_long(byte_string *file, uint64_t number) {
    put(file, "\x8a\x08", 2);
    put_number(file, number, 8);
}

static byte_string legacy_tensor(uint64_t count, uint64_t listed, size_t there, uint64_t offset,
                                 uint64_t rows, uint64_t columns, uint64_t row_stride,
                                 uint64_t column_stride) {
    byte_string file = {NULL, 0};
    begin_legacy(&file);
    static const char head[] =
        "\x80\x02}X\x01\0\0\0w" REBUILD "((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0"
        "aX\x03\0\0\0cpu";
    put(&file, head, sizeof head - 1);
    put_long(&file, count);
    put(&file, "NtQ", 3);
    put_long(&file, offset);
    put_long(&file, rows);
    put_long(&file, columns);
    put_text(&file, "\x86");
    put_long(&file, row_stride);
    put_long(&file, column_stride);
    put(&file, "\x86\x89NtRs.", 7);
    put(&file, "\x80\x02]X\x01\0\0\0aa.", 11);
    put_number(&file, listed, 8);
    put_repeated(&file, 0, there * 4);
    return file;
}

#define HUGE_COUNT (UINT64_C(1) << 62)

static const struct {
    uint64_t count, listed;
    size_t there;
    uint64_t offset, rows, columns, row_stride, column_stride;
    facekp_status status;
    const char *says;
} layouts[] = {
    {6, 6, 6, 0, 2, 3, 3, 1, FACEKP_OK, ""},
    {6, 6, 6, 0, 3, 2, 1, 3, FACEKP_OK, ""},
    {6, 5, 6, 0, 2, 3, 3, 1, FACEKP_ERROR_FORMAT, "in the pickle"},
    {6, 6, 5, 0, 2, 3, 3, 1, FACEKP_ERROR_TRUNCATED, "ends inside"},
    {HUGE_COUNT, HUGE_COUNT, 6, 0, 2, 3, 3, 1, FACEKP_ERROR_FORMAT, "larger than any memory"},
    {HUGE_COUNT / 4 - 1, HUGE_COUNT / 4 - 1, 6, 0, 2, 3, 3, 1, FACEKP_ERROR_TRUNCATED, "ends inside"},
    {6, 6, 6, 1, 2, 3, 3, 1, FACEKP_ERROR_FORMAT, "outside its storage"},
    {6, 6, 6, 7, 0, 3, 3, 1, FACEKP_ERROR_FORMAT, "outside its storage"},
    {6, 6, 6, HUGE_COUNT, 2, 3, 3, 1, FACEKP_ERROR_FORMAT, "outside its storage"},
    {6, 6, 6, 0, 2, 3, 4, 1, FACEKP_ERROR_FORMAT, "outside its storage"},
    {6, 6, 6, 0, 2, 3, HUGE_COUNT, 1, FACEKP_ERROR_FORMAT, "outside its storage"},
    {6, 6, 6, 0, 3, 2, HUGE_COUNT, 1, FACEKP_ERROR_FORMAT, "outside its storage"},
    {6, 6, 6, 0, HUGE_COUNT, 8, 0, 0, FACEKP_ERROR_FORMAT, "larger than any memory"},
    {6, 6, 6, 0, HUGE_COUNT, 1, 0, 0, FACEKP_ERROR_FORMAT, "larger than any memory"},
    /* one number expanded to a tensor far larger than the file */
    {6, 6, 6, 0, 1 << 20, 1 << 10, 0, 0, FACEKP_ERROR_LIMIT, "expand"},
};

START_TEST(hostile_layouts_are_refused) {
    byte_string file = legacy_tensor(layouts[_i].count, layouts[_i].listed, layouts[_i].there,
                                     layouts[_i].offset, layouts[_i].rows, layouts[_i].columns,
                                     layouts[_i].row_stride, layouts[_i].column_stride);
    expect(&file, layouts[_i].status, layouts[_i].says);
    free(file.data);
}
END_TEST

START_TEST(bombs_are_bounded) {
    static const struct {
        const char *unit;
        size_t size, times;
        facekp_status status;
    } cases[] = {
        {"(", 1, 100000, FACEKP_ERROR_LIMIT},     /* marks */
        {"N", 1, 2000000, FACEKP_ERROR_LIMIT},    /* stack */
        {"]q\0", 3, 1500000, FACEKP_ERROR_LIMIT}, /* values */
        {"}\x85", 2, 100, FACEKP_ERROR_FORMAT},   /* tuples; then no state dict on top */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        byte_string file = {NULL, 0};
        begin_legacy(&file);
        put(&file, "\x80\x02", 2);
        size_t at = file.size, total = cases[i].size * cases[i].times;
        file.data = realloc(file.data, at + total + 8);
        for (size_t k = 0; k < total; k++)
            file.data[at + k] = (unsigned char)cases[i].unit[k % cases[i].size];
        file.size += total;
        put(&file, ".\x80\x02].", 5);
        expect(&file, cases[i].status, "");
        free(file.data);
    }
}
END_TEST

/* A list in itself, a dict in itself under the key that is looked into. */
START_TEST(circles_end) {
    static const char list[] = "\x80\x02]q\0h\0a.";
    static const char dict[] = "\x80\x02}q\0X\x05\0\0\0modelh\0s.";
    byte_string file = legacy_with(list, sizeof list - 1);
    expect(&file, FACEKP_ERROR_FORMAT, "no state dict");
    free(file.data);
    file = legacy_with(dict, sizeof dict - 1);
    expect(&file, FACEKP_ERROR_FORMAT, "no state dict");
    free(file.data);
}
END_TEST

START_TEST(other_legacy_files_are_refused) {
    byte_string file = legacy_with("\x80\x02}.", 4);
    file.data[find_bytes(&file, "M\xe9\x03", 3) + 1] = 0xe8;
    expect(&file, FACEKP_ERROR_UNSUPPORTED, "version 1001");
    file.data[find_bytes(&file, "M\xe8\x03", 3) + 1] = 0xe9;
    file.data[find_bytes(&file, "\x88s.", 3)] = 0x89;
    expect(&file, FACEKP_ERROR_UNSUPPORTED, "little-endian");
    free(file.data);
}
END_TEST

/* ---- zip ---- */

/* Where the directory's entry of a name begins: its name stands there for the second time. */
static size_t central_entry(const byte_string *file, const char *name) {
    size_t length = strlen(name);
    for (size_t at = file->size - length; at > 46; at--)
        if (memcmp(file->data + at, name, length) == 0 && memcmp(file->data + at - 46, "PK\x01\x02", 4) == 0)
            return at - 46;
    ck_abort_msg("no entry %s", name);
    return 0;
}

static size_t end_record(const byte_string *file) {
    size_t at = file->size - 22;
    ck_assert_int_eq(memcmp(file->data + at, "PK\x05\x06", 4), 0);
    return at;
}

START_TEST(lying_zip_entries_are_refused) {
    static const struct {
        const char *entry;
        size_t field, width; /* in the directory's entry */
        uint64_t value;
        facekp_status status;
        const char *says;
    } cases[] = {
        {"state.zip/data.pkl", 10, 2, 8, FACEKP_ERROR_UNSUPPORTED, "compressed"},
        {"state.zip/data/0", 10, 2, 8, FACEKP_ERROR_UNSUPPORTED, "compressed"},
        {"state.zip/data.pkl", 8, 2, 1, FACEKP_ERROR_UNSUPPORTED, "encrypted"},
        {"state.zip/data/0", 24, 4, 1000000, FACEKP_ERROR_FORMAT, "two sizes"},
        {"state.zip/data/0", 20, 4, 100000000, FACEKP_ERROR_FORMAT, "outside the file"},
        {"state.zip/data/0", 20, 4, 200, FACEKP_ERROR_FORMAT, "overlaps"},
        {"state.zip/data/0", 42, 4, 0, FACEKP_ERROR_FORMAT, "another name"},
        {"state.zip/data/0", 42, 4, 0xfffffff0, FACEKP_ERROR_FORMAT, "no local header"},
        {"state.zip/data/0", 42, 4, 0xffffffff, FACEKP_ERROR_FORMAT, "ZIP64"},
        {"state.zip/data/0", 28, 2, 60000, FACEKP_ERROR_FORMAT, "too long"},
        {"state.zip/data.pkl", 0, 4, 0, FACEKP_ERROR_FORMAT, "no directory entry"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        byte_string file = load("state.zip.pt");
        set_number(&file, central_entry(&file, cases[i].entry) + cases[i].field, cases[i].value,
                   cases[i].width);
        expect(&file, cases[i].status, cases[i].says);
        free(file.data);
    }
}
END_TEST

START_TEST(lying_zip_directories_are_refused) {
    static const struct {
        size_t field, width;
        uint64_t value;
        facekp_status status;
    } cases[] = {
        {10, 2, 65535, FACEKP_ERROR_LIMIT},       {10, 2, 16000, FACEKP_ERROR_FORMAT},
        {10, 2, 0, FACEKP_ERROR_FORMAT},          {12, 4, 0xfffffff0, FACEKP_ERROR_FORMAT},
        {16, 4, 0xfffffff0, FACEKP_ERROR_FORMAT}, {16, 4, 0, FACEKP_ERROR_FORMAT},
        {12, 4, 0, FACEKP_ERROR_FORMAT},          {0, 4, 0, FACEKP_ERROR_TRUNCATED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        byte_string file = load("state.zip.pt");
        set_number(&file, end_record(&file) - 20, 0, 4); /* no ZIP64 locator: the plain record counts */
        set_number(&file, end_record(&file) + cases[i].field, cases[i].value, cases[i].width);
        expect(&file, cases[i].status, "");
        free(file.data);
    }
}
END_TEST

/* One name in the directory twice: two storages renamed to one, in both headers. */
START_TEST(doubled_zip_names_are_refused) {
    byte_string file = load("state.zip.pt");
    for (size_t at = 0; at + 16 <= file.size; at++)
        if (memcmp(file.data + at, "state.zip/data/1", 16) == 0 && file.data[at + 16] != '0' &&
            file.data[at + 16] != '1')
            file.data[at + 15] = '0';
    expect(&file, FACEKP_ERROR_FORMAT, "second entry");
    free(file.data);
}
END_TEST

/* A storage that the pickle wants and the file has under another name. */
START_TEST(missing_zip_entries_are_named) {
    byte_string file = load("state.zip.pt");
    for (size_t at = 0; at + 16 <= file.size; at++)
        if (memcmp(file.data + at, "state.zip/data/0", 16) == 0) file.data[at + 15] = 'x';
    expect(&file, FACEKP_ERROR_FORMAT, "storage 0 is not in the file");
    for (size_t at = 0; at + 18 <= file.size; at++)
        if (memcmp(file.data + at, "state.zip/data.pkl", 18) == 0) file.data[at + 17] = 'x';
    expect(&file, FACEKP_ERROR_FORMAT, "without data.pkl");
    free(file.data);
}
END_TEST

/* Stored entries with ZIP64 everywhere and a byteorder, as newer PyTorch writes. */
static void put_zip_entry(byte_string *file, byte_string *directory, const char *name, const char *data,
                          size_t size) {
    size_t local = file->size, length = strlen(name);
    put(file, "PK\x03\x04\x2d\0\x08\0\0\0\0\0\0\0\0\0\0\0", 18); /* sizes follow the data */
    put_number(file, 0, 8);
    put_number(file, length, 2);
    put_number(file, 0, 2);
    put_text(file, name);
    put(file, data, size);
    put(file, "PK\x07\x08\0\0\0\0", 8);
    put_number(file, size, 8);
    put_number(file, size, 8);
    put(directory, "PK\x01\x02\x2d\0\x2d\0\x08\0\0\0\0\0\0\0\0\0\0\0", 20);
    put_number(directory, 0xffffffff, 4);
    put_number(directory, 0xffffffff, 4);
    put_number(directory, length, 2);
    put_number(directory, 28, 2);
    put_number(directory, 0, 10);
    put_number(directory, 0xffffffff, 4);
    put_text(directory, name);
    put(directory, "\x01\0\x18\0", 4);
    put_number(directory, size, 8);
    put_number(directory, size, 8);
    put_number(directory, local, 8);
}

static byte_string zip64(const char *byte_order) {
    static const char pickle[] =
        "\x80\x02}X\x01\0\0\0w" REBUILD "((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0"
        "0X\x03\0\0\0cpuK\x01tQ"
        "K\x00K\x01\x85K\x01\x85\x89NtRs.";
    byte_string file = {NULL, 0}, directory = {NULL, 0};
    put_zip_entry(&file, &directory, "m/data.pkl", pickle, sizeof pickle - 1);
    put_zip_entry(&file, &directory, "m/byteorder", byte_order, strlen(byte_order));
    put_zip_entry(&file, &directory, "m/data/0", "\0\0\x20\x41", 4);
    size_t at = file.size, end;
    put(&file, directory.data, directory.size);
    end = file.size;
    put_text(&file, "PK\x06\x06");
    put_number(&file, 44, 8);
    put_number(&file, 0x002d002d, 4);
    put_number(&file, 0, 8);
    put_number(&file, 3, 8);
    put_number(&file, 3, 8);
    put_number(&file, directory.size, 8);
    put_number(&file, at, 8);
    put_text(&file, "PK\x06\x07");
    put_number(&file, 0, 4);
    put_number(&file, end, 8);
    put_number(&file, 1, 4);
    put_text(&file, "PK\x05\x06");
    put_number(&file, 0, 4);
    put_number(&file, 0xffffffff, 4);
    put_number(&file, 0xffffffff, 4);
    put_number(&file, 0xffffffff, 4);
    put_number(&file, 0, 2);
    free(directory.data);
    return file;
}

START_TEST(zip64_is_read_and_checked) {
    byte_string file = zip64("little");
    fkp_memory memory = fkp_memory_from(NULL);
    fkp_weights *weights;
    fkp_error error = {0};
    ck_assert_msg(fkp_weights_open_memory(&memory, file.data, file.size, &weights, &error) == FACEKP_OK, "%s",
                  error.message);
    float value = 0;
    fkp_tensor_read(fkp_weights_find(weights, "w"), &value);
    ck_assert(value == 10.0f);
    fkp_weights_close(weights);
    size_t locator = file.size - 22 - 20, record = locator - 56;
    static const struct {
        size_t field;
        uint64_t value;
        facekp_status status;
    } cases[] = {{32, UINT64_MAX, FACEKP_ERROR_LIMIT},
                 {32, 4, FACEKP_ERROR_FORMAT},
                 {40, UINT64_MAX, FACEKP_ERROR_FORMAT},
                 {48, UINT64_MAX, FACEKP_ERROR_FORMAT},
                 {48, UINT64_MAX - 8, FACEKP_ERROR_FORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        byte_string bad = zip64("little");
        set_number(&bad, record + cases[i].field, cases[i].value, 8);
        expect(&bad, cases[i].status, "");
        free(bad.data);
    }
    set_number(&file, locator + 8, UINT64_MAX - 3, 8);
    expect(&file, FACEKP_ERROR_FORMAT, "ZIP64");
    free(file.data);
    /* sizes and offsets of 64 bits in an entry's extra field */
    for (size_t field = 0; field < 3; field++) {
        byte_string bad = zip64("little");
        set_number(&bad, central_entry(&bad, "m/data/0") + 46 + 8 + 4 + 8 * field, UINT64_MAX - 20, 8);
        expect(&bad, FACEKP_ERROR_FORMAT, "");
        free(bad.data);
    }
}
END_TEST

START_TEST(big_endian_files_are_refused) {
    byte_string file = zip64("big");
    expect(&file, FACEKP_ERROR_UNSUPPORTED, "little-endian");
    free(file.data);
}
END_TEST

/* ---- tar ---- */

static void seal_tar_header(unsigned char *header) {
    unsigned sum = 0;
    for (int i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? ' ' : header[i];
    char text[8];
    snprintf(text, sizeof text, "%06o", sum);
    memcpy(header + 148, text, 7);
    header[155] = ' ';
}

/* The header of a member: its name stands at the start of a block with a real type. */
static unsigned char *tar_header(const byte_string *file, const char *name) {
    for (size_t at = 0; at + 512 <= file->size; at += 512)
        if (strcmp((const char *)file->data + at, name) == 0 &&
            memcmp(file->data + at + 257, "ustar", 5) == 0)
            return file->data + at;
    ck_abort_msg("no member %s", name);
    return NULL;
}

START_TEST(lying_tar_headers_are_refused) {
    static const struct {
        const char *member;
        size_t field, size;
        const char *bytes;
        facekp_status status;
        const char *says;
    } cases[] = {
        {"storages", 124, 12, "77777777777", FACEKP_ERROR_TRUNCATED, "claims 8589934591 bytes"},
        {"storages", 124, 12, "\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", FACEKP_ERROR_TRUNCATED, "claims"},
        {"storages", 124, 12, "\x80\0\0\0\0\0\0\0\xff\xff\xff\xff", FACEKP_ERROR_TRUNCATED, "claims"},
        {"storages", 124, 12, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", FACEKP_ERROR_FORMAT,
         "damaged"},
        {"storages", 124, 12, "\0\0\0\0\0\0\0\0\0\0\0\0", FACEKP_ERROR_FORMAT, "damaged"},
        {"storages", 124, 12, "1234567890a", FACEKP_ERROR_FORMAT, "damaged"},
        {"storages", 156, 1, "2", FACEKP_ERROR_FORMAT, "link"},
        {"pickle", 156, 1, "1", FACEKP_ERROR_FORMAT, "link"},
        {"pickle", 0, 7, "pickled", FACEKP_ERROR_TRUNCATED, "pickle is missing"},
        {"tensors", 0, 8, "storages", FACEKP_ERROR_FORMAT, "there twice"},
        {"sys_info", 257, 5, "rats!", FACEKP_ERROR_FORMAT, "damaged"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        byte_string file = load("state.tar.pt");
        unsigned char *header = tar_header(&file, cases[i].member);
        memcpy(header + cases[i].field, cases[i].bytes, cases[i].size);
        seal_tar_header(header);
        expect(&file, cases[i].status, cases[i].says);
        free(file.data);
    }
    byte_string file = load("state.tar.pt");
    tar_header(&file, "storages")[0] ^= 1;
    expect(&file, FACEKP_ERROR_FORMAT, "damaged");
    free(file.data);
}
END_TEST

START_TEST(lying_tar_members_are_refused) {
    static const struct {
        const char *member;
        facekp_status status;
        const char *says;
    } counts[] = {{"storages", FACEKP_ERROR_FORMAT, "a storage is described"},
                  {"tensors", FACEKP_ERROR_TRUNCATED, "without STOP"}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        byte_string file = load("state.tar.pt");
        unsigned char *data = tar_header(&file, counts[i].member) + 512;
        ck_assert_int_eq(memcmp(data, "\x80\x02K", 3), 0);
        data[3] = 0xff; /* more than there are */
        expect(&file, counts[i].status, counts[i].says);
        free(file.data);
    }
    /* the first tensor: conv.weight, rank 4, behind the pickle that describes it */
    static const struct {
        size_t at, width;
        uint64_t value;
        facekp_status status;
        const char *says;
    } layout[] = {
        {0, 4, 9, FACEKP_ERROR_LIMIT, "dimensions"},
        {0, 4, 0xffffffff, FACEKP_ERROR_LIMIT, "dimensions"},
        {8, 8, UINT64_MAX, FACEKP_ERROR_FORMAT, "negative"},
        {8, 8, UINT64_C(1) << 62, FACEKP_ERROR_FORMAT, "larger than any memory"},
        {40, 8, UINT64_C(1) << 62, FACEKP_ERROR_FORMAT, "outside its storage"},
        {72, 8, 1, FACEKP_ERROR_FORMAT, "outside its storage"},
        {72, 8, UINT64_MAX, FACEKP_ERROR_FORMAT, "negative"},
    };
    for (size_t i = 0; i < sizeof layout / sizeof *layout; i++) {
        byte_string file = load("state.tar.pt");
        size_t at = find_bytes(&file, "\x04\0\0\0\x07\0\0\0", 8);
        set_number(&file, at + layout[i].at, layout[i].value, layout[i].width);
        expect(&file, layout[i].status, layout[i].says);
        free(file.data);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("torch_hostile");
    TCase *tests = tcase_create("torch_hostile");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, hostile_pickles_are_refused, 0, (int)(sizeof pickles / sizeof *pickles));
    tcase_add_loop_test(tests, hostile_layouts_are_refused, 0, (int)(sizeof layouts / sizeof *layouts));
    tcase_add_test(tests, bombs_are_bounded);
    tcase_add_test(tests, circles_end);
    tcase_add_test(tests, other_legacy_files_are_refused);
    tcase_add_test(tests, lying_zip_entries_are_refused);
    tcase_add_test(tests, lying_zip_directories_are_refused);
    tcase_add_test(tests, doubled_zip_names_are_refused);
    tcase_add_test(tests, missing_zip_entries_are_named);
    tcase_add_test(tests, zip64_is_read_and_checked);
    tcase_add_test(tests, big_endian_files_are_refused);
    tcase_add_test(tests, lying_tar_headers_are_refused);
    tcase_add_test(tests, lying_tar_members_are_refused);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
