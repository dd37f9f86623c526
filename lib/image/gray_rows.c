#include "image/gray_rows.h"

#include <string.h>

static int32_t pixel_bytes(int32_t format) {
    switch (format) {
    case FACEKP_GRAY8:
        return 1;
    case FACEKP_RGB8:
    case FACEKP_BGR8:
        return 3;
    case FACEKP_RGBA8:
    case FACEKP_BGRA8:
    case FACEKP_GRAYF:
        return 4;
    default:
        return 0;
    }
}

facekp_status fkp_image_check(const facekp_image *image, fkp_error *error) {
    if (image->data == NULL) return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "image: data is NULL");
    if (image->width < 1 || image->width > FKP_MAX_SIDE || image->height < 1 || image->height > FKP_MAX_SIDE)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "image: %d x %d pixels; each side must be 1 to %d",
                        (int)image->width, (int)image->height, FKP_MAX_SIDE);
    const int32_t bytes = pixel_bytes(image->format);
    if (bytes == 0)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "image: %d is no pixel format", (int)image->format);
    const int64_t row = (int64_t)image->width * bytes, most = PTRDIFF_MAX / FKP_MAX_SIDE;
    if (image->stride != 0 &&
        ((image->stride < row && image->stride > -row) || image->stride > most || image->stride < -most))
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "image: stride %lld; a row of %d pixels has %lld bytes (0 means dense)",
                        (long long)image->stride, (int)image->width, (long long)row);
    if (image->rotation != 0 && image->rotation != 90 && image->rotation != 180 && image->rotation != 270)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "image: rotation %d; it must be 0, 90, 180 or 270",
                        (int)image->rotation);
    return FACEKP_OK;
}

fkp_gray_rows fkp_gray_rows_of(const facekp_image *image) {
    const ptrdiff_t bytes = pixel_bytes(image->format);
    const bool is_gray = image->format == FACEKP_GRAY8, is_float = image->format == FACEKP_GRAYF;
    return (fkp_gray_rows){
        .data = image->data,
        .stride = image->stride != 0 ? (ptrdiff_t)image->stride : image->width * bytes,
        .pixel_bytes = bytes,
        .format = image->format,
        .unit = is_float ? 1.0f : (is_gray ? 255.0f : 255000.0f), /* colours: see fkp_luma1000() */
    };
}

/* The functions below are inlined with constant formats and steps, so that each is a tight loop. */

static inline float gray_of(const uint8_t *pixel, int32_t format) {
    float value; /* the caller's floats need not be aligned */
    switch (format) {
    case FACEKP_GRAY8:
        return (float)pixel[0];
    case FACEKP_GRAYF:
        memcpy(&value, pixel, sizeof value);
        return value;
    case FACEKP_RGB8:
    case FACEKP_RGBA8:
        return (float)fkp_luma1000(pixel[0], pixel[1], pixel[2]);
    default:
        return (float)fkp_luma1000(pixel[2], pixel[1], pixel[0]);
    }
}

static inline void add_row(const uint8_t *pixels, ptrdiff_t bytes, int32_t format, int32_t count,
                           float weight, float *sums) {
    for (ptrdiff_t i = 0; i < count; i++) sums[i] += weight * gray_of(pixels + i * bytes, format);
}

void fkp_add_gray_row(const fkp_gray_rows *rows, int32_t y, int32_t first, int32_t count, int32_t step,
                      float weight, float *sums) {
    const ptrdiff_t bytes = rows->pixel_bytes * step;
    const uint8_t *pixels = rows->data + y * rows->stride + first * bytes;
    switch (rows->format) {
    case FACEKP_GRAY8:
        if (step == 1)
            add_row(pixels, 1, FACEKP_GRAY8, count, weight, sums);
        else
            add_row(pixels, bytes, FACEKP_GRAY8, count, weight, sums);
        return;
    case FACEKP_GRAYF:
        if (step == 1)
            add_row(pixels, sizeof(float), FACEKP_GRAYF, count, weight, sums);
        else
            add_row(pixels, bytes, FACEKP_GRAYF, count, weight, sums);
        return;
    case FACEKP_RGB8:
    case FACEKP_RGBA8:
        add_row(pixels, bytes, FACEKP_RGB8, count, weight, sums);
        return;
    default:
        add_row(pixels, bytes, FACEKP_BGR8, count, weight, sums);
        return;
    }
}

static inline float weigh(const fkp_gray_rows *rows, int32_t format, const fkp_taps *across,
                          const fkp_taps *down) {
    const ptrdiff_t bytes = rows->pixel_bytes * across->step, stride = rows->stride * down->step;
    const uint8_t *pixels = rows->data + down->first * stride + across->first * bytes;
    float sum = 0.0f;
    for (ptrdiff_t k = 0; k < down->count; k++) {
        float row = 0.0f;
        for (ptrdiff_t i = 0; i < across->count; i++)
            row += across->weights[i] * gray_of(pixels + k * stride + i * bytes, format);
        sum += down->weights[k] * row;
    }
    return sum;
}

float fkp_weigh_gray(const fkp_gray_rows *rows, const fkp_taps *across, const fkp_taps *down) {
    switch (rows->format) {
    case FACEKP_GRAY8:
        return weigh(rows, FACEKP_GRAY8, across, down);
    case FACEKP_GRAYF:
        return weigh(rows, FACEKP_GRAYF, across, down);
    case FACEKP_RGB8:
    case FACEKP_RGBA8:
        return weigh(rows, FACEKP_RGB8, across, down);
    default:
        return weigh(rows, FACEKP_BGR8, across, down);
    }
}
