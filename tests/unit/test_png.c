/* PNG: everything the format may hold, made by libpng itself; damaged and hostile files. */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "image/image.h"
#include "support/failing_allocator.h"
#include "support/run_suite.h"
#include "support/whole_file.h"

static char folder[64], path[96];

static void make_folder(void) {
    strcpy(folder, "/tmp/facekp-png-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/picture.png", folder);
}

static void remove_folder(void) {
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0); /* and no temporary file is left in it */
}

static void write_bytes(const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static facekp_status read_picture(int32_t channels, facekp_picture **picture, fkp_error *error) {
    const fkp_memory memory = fkp_memory_from(NULL);
    return fkp_png_read(&memory, path, channels, picture, error);
}

/* ---- every kind of PNG ---- */

enum { WIDTH = 13, HEIGHT = 9 };

typedef struct kind {
    int colour_type, bit_depth;
    bool transparent; /* with a tRNS chunk */
} kind;

static const kind kinds[] = {
    {PNG_COLOR_TYPE_GRAY, 1, false},        {PNG_COLOR_TYPE_GRAY, 2, false},
    {PNG_COLOR_TYPE_GRAY, 4, false},        {PNG_COLOR_TYPE_GRAY, 8, false},
    {PNG_COLOR_TYPE_GRAY, 16, false},       {PNG_COLOR_TYPE_RGB, 8, false},
    {PNG_COLOR_TYPE_RGB, 16, false},        {PNG_COLOR_TYPE_PALETTE, 1, false},
    {PNG_COLOR_TYPE_PALETTE, 2, false},     {PNG_COLOR_TYPE_PALETTE, 4, false},
    {PNG_COLOR_TYPE_PALETTE, 8, false},     {PNG_COLOR_TYPE_GRAY_ALPHA, 8, false},
    {PNG_COLOR_TYPE_GRAY_ALPHA, 16, false}, {PNG_COLOR_TYPE_RGB_ALPHA, 8, false},
    {PNG_COLOR_TYPE_RGB_ALPHA, 16, false},  {PNG_COLOR_TYPE_GRAY, 2, true},
    {PNG_COLOR_TYPE_GRAY, 16, true},        {PNG_COLOR_TYPE_RGB, 8, true},
    {PNG_COLOR_TYPE_PALETTE, 4, true},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static int samples_of(int colour_type) {
    switch (colour_type) {
    case PNG_COLOR_TYPE_GRAY_ALPHA:
        return 2;
    case PNG_COLOR_TYPE_RGB:
        return 3;
    case PNG_COLOR_TYPE_RGB_ALPHA:
        return 4;
    default:
        return 1;
    }
}

/* Sample s of pixel (x, y), in [0, 2^depth); 16-bit ones are multiples of 257, so that 8 bits hold them. */
static unsigned sample_at(const kind *k, int x, int y, int s) {
    const unsigned value = (unsigned)(x * 29 + y * 71 + s * 53 + x * y * 7);
    return k->bit_depth == 16 ? (value & 255) * 257 : value & ((1u << k->bit_depth) - 1);
}

/* The palette's entry i. */
static png_color colour_of(unsigned i) {
    return (png_color){(png_byte)(i * 37 + 5), (png_byte)(i * 101 + 60), (png_byte)(i * 13 + 200)};
}

static void put_sample(png_bytep row, int depth, size_t index, unsigned value) {
    if (depth == 16) {
        row[2 * index] = (png_byte)(value >> 8);
        row[2 * index + 1] = (png_byte)value;
        return;
    }
    const size_t bit = index * (size_t)depth;
    row[bit / 8] = (png_byte)(row[bit / 8] | value << (8 - depth - (int)(bit % 8)));
}

static void set_transparency(png_structp png, png_infop info, const kind *k) {
    png_color_16 key = {0};
    key.gray = (png_uint_16)sample_at(k, 4, 3, 0);
    key.red = key.gray;
    key.green = (png_uint_16)sample_at(k, 4, 3, 1);
    key.blue = (png_uint_16)sample_at(k, 4, 3, 2);
    png_byte alphas[5] = {255, 0, 128, 255, 64};
    if (k->colour_type == PNG_COLOR_TYPE_PALETTE)
        png_set_tRNS(png, info, alphas, 5, NULL);
    else
        png_set_tRNS(png, info, NULL, 0, &key);
}

static void make_file(const kind *k, int interlace) {
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    ck_assert_int_eq(setjmp(png_jmpbuf(png)), 0);
    png_init_io(png, file);
    png_set_IHDR(png, info, WIDTH, HEIGHT, k->bit_depth, k->colour_type, interlace,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_gAMA(png, info, 0.3); /* to be ignored */
    if (k->colour_type == PNG_COLOR_TYPE_PALETTE) {
        png_color palette[256];
        for (unsigned i = 0; i < 256; i++) palette[i] = colour_of(i);
        png_set_PLTE(png, info, palette, 1 << k->bit_depth);
    }
    if (k->transparent) set_transparency(png, info, k);
    const int samples = samples_of(k->colour_type);
    static png_byte rows[HEIGHT][WIDTH * 8];
    png_bytep pointers[HEIGHT];
    memset(rows, 0, sizeof rows);
    for (int y = 0; y < HEIGHT; y++) {
        pointers[y] = rows[y];
        for (int x = 0; x < WIDTH; x++)
            for (int s = 0; s < samples; s++)
                put_sample(rows[y], k->bit_depth, (size_t)(x * samples + s), sample_at(k, x, y, s));
    }
    png_set_rows(png, info, pointers);
    png_write_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(file);
}

static unsigned to_8_bits(const kind *k, unsigned value) { return value * 255 / ((1u << k->bit_depth) - 1); }

/* What the reader should make of pixel (x, y). */
static void expected_pixel(const kind *k, int x, int y, unsigned rgb[3]) {
    static const unsigned palette_alphas[5] = {255, 0, 128, 255, 64};
    unsigned alpha = 255;
    unsigned samples[4];
    for (int s = 0; s < 4; s++) samples[s] = sample_at(k, x, y, s);
    if (k->colour_type == PNG_COLOR_TYPE_PALETTE) {
        const png_color colour = colour_of(samples[0]);
        rgb[0] = colour.red;
        rgb[1] = colour.green;
        rgb[2] = colour.blue;
        if (k->transparent && samples[0] < 5) alpha = palette_alphas[samples[0]];
    } else {
        const bool colour = (k->colour_type & PNG_COLOR_MASK_COLOR) != 0;
        bool is_key = k->transparent;
        for (int s = 0; s < 3; s++) rgb[s] = to_8_bits(k, samples[colour ? s : 0]);
        for (int s = 0; s < samples_of(k->colour_type); s++)
            is_key = is_key && samples[s] == sample_at(k, 4, 3, s);
        if (is_key) alpha = 0;
        if ((k->colour_type & PNG_COLOR_MASK_ALPHA) != 0) alpha = to_8_bits(k, samples[colour ? 3 : 1]);
    }
    for (int s = 0; s < 3; s++) rgb[s] = (rgb[s] * alpha + 127) / 255;
}

START_TEST(every_colour_type_and_depth_is_read) {
    const kind *k = &kinds[_i % KINDS];
    make_file(k, _i < KINDS ? PNG_INTERLACE_NONE : PNG_INTERLACE_ADAM7);
    for (int32_t channels = 1; channels <= 3; channels += 2) {
        facekp_picture *picture;
        fkp_error error = {0};
        ck_assert_msg(read_picture(channels, &picture, &error) == FACEKP_OK, "%s", error.message);
        ck_assert(picture->width == WIDTH && picture->height == HEIGHT && picture->channels == channels);
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++) {
                unsigned rgb[3];
                expected_pixel(k, x, y, rgb);
                const uint8_t *pixel = picture->pixels + (y * WIDTH + x) * channels;
                if (channels == 1)
                    ck_assert_uint_eq(pixel[0], (299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000);
                else
                    for (int s = 0; s < 3; s++) ck_assert_uint_eq(pixel[s], rgb[s]);
            }
        fkp_picture_free(picture);
    }
}
END_TEST

START_TEST(what_is_written_is_read) {
    const int32_t channels = _i == 0 ? 1 : 3;
    const fkp_memory memory = fkp_memory_from(NULL);
    facekp_picture *picture, *back;
    ck_assert_int_eq(fkp_picture_create(&memory, 37, 21, channels, &picture, NULL), FACEKP_OK);
    for (size_t i = 0; i < (size_t)(37 * 21 * channels); i++) picture->pixels[i] = (uint8_t)(i * i >> 3);
    ck_assert_int_eq(fkp_png_write(picture, path, NULL), FACEKP_OK);
    ck_assert_int_eq(read_picture(channels, &back, NULL), FACEKP_OK);
    ck_assert_mem_eq(back->pixels, picture->pixels, (size_t)(37 * 21 * channels));
    fkp_picture_free(picture);
    fkp_picture_free(back);
}
END_TEST

/* ---- damage ---- */

START_TEST(every_shorter_file_is_truncated) {
    make_file(&kinds[_i == 0 ? 3 : 10], _i == 2 ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE);
    size_t size;
    unsigned char *bytes = read_whole_file(path, &size);
    ck_assert_ptr_nonnull(bytes);
    for (size_t length = 0; length < size; length++) {
        write_bytes(bytes, length);
        facekp_picture *picture = (facekp_picture *)bytes;
        fkp_error error = {0};
        ck_assert_msg(read_picture(3, &picture, &error) == FACEKP_ERROR_TRUNCATED, "length %zu: %s", length,
                      error.message);
        ck_assert_ptr_null(picture);
        ck_assert_ptr_nonnull(strstr(error.message, path));
    }
    free(bytes);
}
END_TEST

START_TEST(every_flipped_byte_is_survived) {
    make_file(&kinds[7], PNG_INTERLACE_ADAM7);
    size_t size;
    unsigned char *bytes = read_whole_file(path, &size);
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 0x55;
        write_bytes(bytes, size);
        facekp_picture *picture;
        const facekp_status status = read_picture(1, &picture, NULL);
        ck_assert(status == FACEKP_OK || status == FACEKP_ERROR_FORMAT || status == FACEKP_ERROR_TRUNCATED);
        ck_assert((picture != NULL) == (status == FACEKP_OK));
        fkp_picture_free(picture);
        bytes[i] ^= 0x55;
    }
    free(bytes);
}
END_TEST

/* A PNG of a header, a few bytes of data and an end. */
static void make_hostile(uint32_t width, uint32_t height, uint8_t depth, uint8_t colour_type) {
    uint8_t bytes[] = {137,   'P',         'N', 'G', '\r', '\n', 26,   '\n', 0,    0,    0,   13,
                       'I',   'H',         'D', 'R', 0,    0,    0,    0,    0,    0,    0,   0,
                       depth, colour_type, 0,   0,   0,    0,    0,    0,    0,    0,    0,   0,
                       2,     'I',         'D', 'A', 'T',  0x78, 0x9c, 0,    0,    0,    0,   0,
                       0,     0,           0,   'I', 'E',  'N',  'D',  0xae, 0x42, 0x60, 0x82};
    for (int i = 0; i < 4; i++) {
        bytes[16 + i] = (uint8_t)(width >> (24 - 8 * i));
        bytes[20 + i] = (uint8_t)(height >> (24 - 8 * i));
    }
    const uint32_t header = (uint32_t)crc32(0, bytes + 12, 17), data = (uint32_t)crc32(0, bytes + 37, 6);
    for (int i = 0; i < 4; i++) {
        bytes[29 + i] = (uint8_t)(header >> (24 - 8 * i));
        bytes[43 + i] = (uint8_t)(data >> (24 - 8 * i));
    }
    write_bytes(bytes, sizeof bytes);
}

START_TEST(headers_that_ask_too_much_are_refused_without_memory) {
    static const struct {
        uint32_t width, height;
        facekp_status status;
    } cases[] = {
        {60000, 60000, FACEKP_ERROR_LIMIT},
        {32768, 1, FACEKP_ERROR_LIMIT},
        {1, 32768, FACEKP_ERROR_LIMIT},
        {32767, 32767, FACEKP_ERROR_LIMIT},
        {0x7fffffff, 0x7fffffff, FACEKP_ERROR_LIMIT},
        {0, 5, FACEKP_ERROR_FORMAT},
        {5, 0, FACEKP_ERROR_FORMAT},
        {0x80000001, 5, FACEKP_ERROR_FORMAT},
        {16384, 16384, FACEKP_ERROR_TRUNCATED}, /* allowed, but a few bytes cannot hold it */
    };
    make_hostile(cases[_i].width, cases[_i].height, 8, PNG_COLOR_TYPE_RGB);
    failing_allocator state = {0};
    const facekp_allocator allocator = failing_hooks(&state);
    const fkp_memory memory = fkp_memory_from(&allocator);
    facekp_picture *picture;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_png_read(&memory, path, 3, &picture, &error), cases[_i].status);
    ck_assert_str_ne(error.message, "");
    ck_assert_ptr_null(picture);
    ck_assert_uint_eq(state.pieces, 0);
    ck_assert_uint_lt(state.most_bytes, 1 << 20);
}
END_TEST

START_TEST(impossible_headers_are_malformed) {
    static const uint8_t pairs[][2] = {{3, 0}, {8, 1}, {4, 2}, {16, 3}, {0, 0}, {8, 7}};
    make_hostile(8, 8, pairs[_i][0], pairs[_i][1]);
    facekp_picture *picture;
    ck_assert_int_eq(read_picture(1, &picture, NULL), FACEKP_ERROR_FORMAT);
}
END_TEST

START_TEST(other_files_are_malformed) {
    facekp_picture *picture;
    fkp_error error = {0};
    write_bytes("GIF89a and more", 15);
    ck_assert_int_eq(read_picture(1, &picture, &error), FACEKP_ERROR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, path));
    write_bytes("P", 1);
    ck_assert_int_eq(read_picture(1, &picture, NULL), FACEKP_ERROR_FORMAT);
    write_bytes("\x89PNG\r\n\x1a\nrubbish rubbish rubbish", 31);
    ck_assert_int_eq(read_picture(1, &picture, NULL), FACEKP_ERROR_FORMAT);
}
END_TEST

START_TEST(missing_files_and_folders_cannot_be_opened) {
    const fkp_memory memory = fkp_memory_from(NULL);
    facekp_picture *picture;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_png_read(&memory, path, 1, &picture, &error), FACEKP_ERROR_OPEN);
    ck_assert_int_eq(fkp_png_read(&memory, folder, 1, &picture, &error), FACEKP_ERROR_OPEN);
    ck_assert_int_eq(fkp_picture_create(&memory, 2, 2, 1, &picture, NULL), FACEKP_OK);
    char nowhere[128];
    snprintf(nowhere, sizeof nowhere, "%s/none/picture.png", folder);
    ck_assert_int_eq(fkp_png_write(picture, nowhere, &error), FACEKP_ERROR_WRITE);
    fkp_picture_free(picture);
}
END_TEST

START_TEST(a_full_disk_is_an_error) {
    if (access("/dev/full", W_OK) != 0) return;
    const fkp_memory memory = fkp_memory_from(NULL);
    facekp_picture *picture;
    ck_assert_int_eq(fkp_picture_create(&memory, 200, 200, 3, &picture, NULL), FACEKP_OK);
    char temporary[128]; /* the writer's own name beside the picture's, led to a device that is full */
    snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid());
    ck_assert_int_eq(symlink("/dev/full", temporary), 0);
    fkp_error error = {0};
    ck_assert_int_eq(fkp_png_write(picture, path, &error), FACEKP_ERROR_WRITE);
    ck_assert_int_ne(access(path, F_OK), 0);
    fkp_picture_free(picture);
}
END_TEST

/* ---- memory ---- */

static facekp_status read_once(const facekp_allocator *allocator, void *argument) {
    (void)argument;
    const fkp_memory memory = fkp_memory_from(allocator);
    facekp_picture *picture;
    const facekp_status status = fkp_png_read(&memory, path, 3, &picture, NULL);
    fkp_picture_free(picture);
    return status;
}

START_TEST(reading_survives_every_failed_allocation) {
    make_file(&kinds[_i], PNG_INTERLACE_ADAM7);
    check_every_allocation(read_once, NULL);
}
END_TEST

static facekp_status write_once(const facekp_allocator *allocator, void *argument) {
    (void)argument;
    const fkp_memory memory = fkp_memory_from(allocator);
    facekp_picture *picture;
    facekp_status status = fkp_picture_create(&memory, 40, 30, 3, &picture, NULL);
    if (status == FACEKP_OK) status = fkp_png_write(picture, path, NULL);
    fkp_picture_free(picture);
    return status;
}

START_TEST(writing_survives_every_failed_allocation) { check_every_allocation(write_once, NULL); }
END_TEST

int main(void) {
    Suite *suite = suite_create("png");
    TCase *tests = tcase_create("png");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_loop_test(tests, every_colour_type_and_depth_is_read, 0, 2 * KINDS);
    tcase_add_loop_test(tests, what_is_written_is_read, 0, 2);
    tcase_add_loop_test(tests, every_shorter_file_is_truncated, 0, 3);
    tcase_add_test(tests, every_flipped_byte_is_survived);
    tcase_add_loop_test(tests, headers_that_ask_too_much_are_refused_without_memory, 0, 9);
    tcase_add_loop_test(tests, impossible_headers_are_malformed, 0, 6);
    tcase_add_test(tests, other_files_are_malformed);
    tcase_add_test(tests, missing_files_and_folders_cannot_be_opened);
    tcase_add_test(tests, a_full_disk_is_an_error);
    tcase_add_loop_test(tests, reading_survives_every_failed_allocation, 0, KINDS);
    tcase_add_test(tests, writing_survives_every_failed_allocation);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
