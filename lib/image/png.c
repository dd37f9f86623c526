/* PNG through libpng, which reports errors by longjmp: everything that must survive one lives in a struct
 * whose address does not change, and the functions that call setjmp do little else. Nothing is printed, and
 * libpng's memory is the host's. */
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "image/image.h"

/* ---- what libpng is given ---- */

typedef struct png_state {
    fkp_memory memory;
    jmp_buf failed;
    bool out_of_memory;
    bool at_end;       /* the file ended too soon */
    char message[128]; /* libpng's */
    /* reading */
    const uint8_t *data;
    size_t size, position;
    png_infop info;
    uint8_t *rows; /* one, or all of an interlaced picture, as libpng gives them */
    size_t row_count, row_bytes;
    int passes; /* over the rows */
    facekp_picture *picture;
    /* writing */
    fkp_writer *writer;
} png_state;

/* libpng frees without saying how much: the size is kept in front of each piece. */
static void *allocate_for_png(png_structp png, png_alloc_size_t size) {
    png_state *state = png_get_mem_ptr(png);
    size_t whole;
    uint8_t *piece = NULL;
    if (fkp_checked_add(size, FKP_ALIGNMENT, &whole)) piece = fkp_allocate_raw(&state->memory, whole, 1);
    if (piece == NULL) {
        state->out_of_memory = true;
        return NULL;
    }
    memcpy(piece, &whole, sizeof whole);
    return piece + FKP_ALIGNMENT;
}

static void release_for_png(png_structp png, void *pointer) {
    const png_state *state = png_get_mem_ptr(png);
    if (pointer == NULL) return;
    uint8_t *piece = (uint8_t *)pointer - FKP_ALIGNMENT;
    size_t whole;
    memcpy(&whole, piece, sizeof whole);
    fkp_release(&state->memory, piece, whole, 1);
}

static void note_error(png_structp png, const char *message) {
    png_state *state = png_get_error_ptr(png);
    const size_t length = fkp_min_size(strlen(message), sizeof state->message - 1);
    memcpy(state->message, message, length);
    state->message[length] = '\0';
    longjmp(state->failed, 1);
}

static void ignore_warning(png_structp png, const char *message) {
    (void)png;
    (void)message;
}

static void read_for_png(png_structp png, uint8_t *bytes, size_t count) {
    png_state *state = png_get_io_ptr(png);
    if (count > state->size - state->position) {
        state->at_end = true;
        png_error(png, "the file ends too soon");
    }
    memcpy(bytes, state->data + state->position, count);
    state->position += count;
}

static void write_for_png(png_structp png, uint8_t *bytes, size_t count) {
    const png_state *state = png_get_io_ptr(png);
    fkp_writer_write(state->writer, bytes, count);
}

static void flush_for_png(png_structp png) { (void)png; }

static facekp_status fail_as_noted(const png_state *state, fkp_error *error) {
    if (state->out_of_memory) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for libpng");
    if (state->at_end)
        return fkp_fail(error, FACEKP_ERROR_TRUNCATED, "the PNG file ends before its contents do");
    return fkp_fail(error, FACEKP_ERROR_FORMAT, "damaged PNG file: %s", state->message);
}

/* ---- reading ---- */

/* Whether so few bytes can hold so many pixels: deflate packs at most 1032 into one. */
static bool has_room_for(size_t file_bytes, uint32_t width, uint32_t height, uint32_t pixel_bits) {
    const uint64_t bytes = (uint64_t)width * height * pixel_bits / 8;
    return bytes / 1032 <= file_bytes;
}

static facekp_status check_size(png_state *state, png_structp png, fkp_error *error) {
    const uint32_t width = png_get_image_width(png, state->info);
    const uint32_t height = png_get_image_height(png, state->info);
    if (width > FKP_MAX_SIDE || height > FKP_MAX_SIDE || (size_t)width * height > FKP_MAX_PIXELS)
        return fkp_fail(error, FACEKP_ERROR_LIMIT,
                        "%u x %u pixels; at most %d a side and %zu in all are allowed", width, height,
                        FKP_MAX_SIDE, FKP_MAX_PIXELS);
    const uint32_t bits = (uint32_t)png_get_bit_depth(png, state->info) * png_get_channels(png, state->info);
    if (!has_room_for(state->size, width, height, bits)) {
        state->at_end = true;
        return fail_as_noted(state, error);
    }
    return FACEKP_OK;
}

/* Everything becomes gray, gray and alpha, RGB or RGBA of 8 bits. Chunks that say how colours are meant, and
 * texts, are not even unpacked. */
static facekp_status read_header(png_state *state, png_structp png, fkp_error *error) {
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours come first */
    png_set_read_fn(png, state, read_for_png);
    png_read_info(png, state->info);
    facekp_status status = check_size(state, png, error);
    if (status != FACEKP_OK) return status;
    png_set_expand(png);
    png_set_scale_16(png);
    state->passes = png_set_interlace_handling(png);
    state->row_count = state->passes > 1 ? png_get_image_height(png, state->info) : 1;
    png_read_update_info(png, state->info);
    state->row_bytes = png_get_rowbytes(png, state->info);
    return FACEKP_OK;
}

/* A row of 1 to 4 channels to 1 or 3; the last of 2 or 4 is alpha, over black. */
static void convert_row(const uint8_t *from, int32_t from_channels, uint8_t *to, int32_t to_channels,
                        int32_t width) {
    const bool has_alpha = from_channels == 2 || from_channels == 4;
    const bool has_colour = from_channels >= 3;
    for (int32_t x = 0; x < width; x++, from += from_channels, to += to_channels) {
        const uint32_t alpha = has_alpha ? from[from_channels - 1] : 255;
        uint8_t rgb[3];
        for (int32_t i = 0; i < 3; i++) rgb[i] = (uint8_t)((from[has_colour ? i : 0] * alpha + 127) / 255);
        if (to_channels == 3)
            memcpy(to, rgb, 3);
        else
            to[0] = has_colour ? fkp_luma8(rgb[0], rgb[1], rgb[2]) : rgb[0];
    }
}

static void read_rows(png_state *state, png_structp png) {
    facekp_picture *picture = state->picture;
    const int32_t channels = png_get_channels(png, state->info);
    for (int pass = 0; pass < state->passes; pass++)
        for (size_t y = 0; y < (size_t)picture->height; y++) {
            uint8_t *row = state->rows + (state->row_count > 1 ? y : 0) * state->row_bytes;
            png_read_row(png, row, NULL);
            if (pass + 1 < state->passes) continue;
            uint8_t *to = picture->pixels + y * (size_t)picture->width * (size_t)picture->channels;
            convert_row(row, channels, to, picture->channels, picture->width);
        }
    png_read_end(png, NULL);
}

static facekp_status read_under_guard(png_state *state, png_structp png, int32_t channels, fkp_error *error) {
    if (setjmp(state->failed) != 0) return fail_as_noted(state, error);
    state->info = png_create_info_struct(png);
    if (state->info == NULL) return fail_as_noted(state, error);
    facekp_status status = read_header(state, png, error);
    if (status != FACEKP_OK) return status;
    status =
        fkp_picture_create(&state->memory, (int32_t)png_get_image_width(png, state->info),
                           (int32_t)png_get_image_height(png, state->info), channels, &state->picture, error);
    if (status != FACEKP_OK) return status;
    state->rows = fkp_allocate(&state->memory, state->row_count, state->row_bytes);
    if (state->rows == NULL) {
        state->out_of_memory = true;
        return fail_as_noted(state, error);
    }
    read_rows(state, png);
    /* libpng gets by without some pieces of memory, but then not everything was read. */
    return state->out_of_memory ? fail_as_noted(state, error) : FACEKP_OK;
}

static facekp_status read_file(const fkp_memory *memory, const fkp_file *file, int32_t channels,
                               facekp_picture **picture, fkp_error *error) {
    static const uint8_t signature[8] = {137, 'P', 'N', 'G', '\r', '\n', 26, '\n'};
    png_state state = {.memory = *memory, .data = file->data, .size = file->size};
    if (memcmp(file->data, signature, fkp_min_size(file->size, sizeof signature)) != 0)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "not a PNG file");
    png_structp png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &state, note_error, ignore_warning,
                                               &state, allocate_for_png, release_for_png);
    if (png == NULL) return fail_as_noted(&state, error);
    facekp_status status = read_under_guard(&state, png, channels, error);
    png_destroy_read_struct(&png, &state.info, NULL);
    fkp_release(memory, state.rows, state.row_count, state.row_bytes);
    if (status != FACEKP_OK) {
        fkp_picture_free(state.picture);
        return status;
    }
    *picture = state.picture;
    return FACEKP_OK;
}

facekp_status fkp_png_read(const fkp_memory *memory, const char *path, int32_t channels,
                           facekp_picture **picture, fkp_error *error) {
    *picture = NULL;
    fkp_file file;
    facekp_status status = fkp_file_open(path, &file, error);
    if (status != FACEKP_OK) return status;
    status = read_file(memory, &file, channels, picture, error);
    fkp_file_close(&file);
    return status == FACEKP_OK || error == NULL ? status : fkp_fail_in(error, path);
}

/* ---- writing ---- */

static facekp_status write_under_guard(png_state *state, png_structp png, fkp_error *error) {
    if (setjmp(state->failed) != 0) return fail_as_noted(state, error);
    state->info = png_create_info_struct(png);
    if (state->info == NULL) return fail_as_noted(state, error);
    const facekp_picture *picture = state->picture;
    png_set_write_fn(png, state, write_for_png, flush_for_png);
    png_set_IHDR(png, state->info, (uint32_t)picture->width, (uint32_t)picture->height, 8,
                 picture->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, state->info);
    const size_t row = (size_t)picture->width * (size_t)picture->channels;
    for (size_t y = 0; y < (size_t)picture->height; y++) png_write_row(png, picture->pixels + y * row);
    png_write_end(png, NULL);
    return FACEKP_OK;
}

facekp_status fkp_png_write(const facekp_picture *picture, const char *path, fkp_error *error) {
    png_state state = {.memory = picture->memory};
    facekp_status status = fkp_writer_open(&state.memory, path, &state.writer, error);
    if (status != FACEKP_OK) return status;
    png_structp png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &state, note_error, ignore_warning,
                                                &state, allocate_for_png, release_for_png);
    facekp_picture lent = *picture;
    state.picture = &lent;
    status = png == NULL ? fail_as_noted(&state, error) : write_under_guard(&state, png, error);
    png_destroy_write_struct(&png, &state.info);
    if (status != FACEKP_OK) {
        fkp_writer_abandon(state.writer);
        return status;
    }
    return fkp_writer_finish(state.writer, error);
}
