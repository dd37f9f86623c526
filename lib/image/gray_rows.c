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

/* Inlined with constant steps, so that the usual one is a loop for vectors. */
static inline void add_bytes(const uint8_t *pixels, int32_t step, int32_t count, float weight, float *sums) {
    for (int32_t i = 0; i < count; i++) sums[i] += weight * (float)pixels[i * step];
}

static inline void add_floats(const uint8_t *pixels, int32_t step, int32_t count, float weight, float *sums) {
    for (int32_t i = 0; i < count; i++) {
        float value; /* the caller's floats need not be aligned */
        memcpy(&value, pixels + (ptrdiff_t)i * step * (ptrdiff_t)sizeof value, sizeof value);
        sums[i] += weight * value;
    }
}

static inline void add_colours(const uint8_t *pixels, int32_t bytes, int32_t red, int32_t blue, int32_t count,
                               float weight, float *sums) {
    for (int32_t i = 0; i < count; i++) {
        const uint8_t *pixel = pixels + (ptrdiff_t)i * bytes;
        sums[i] += weight * (float)fkp_luma1000(pixel[red], pixel[1], pixel[blue]);
    }
}

void fkp_add_gray_row(const facekp_image *image, int32_t y, int32_t first, int32_t step, int32_t count,
                      float weight, float *sums) {
    const int32_t bytes = pixel_bytes(image->format);
    const ptrdiff_t stride = image->stride != 0 ? (ptrdiff_t)image->stride : (ptrdiff_t)image->width * bytes;
    const uint8_t *pixels = (const uint8_t *)image->data + y * stride + (ptrdiff_t)first * step * bytes;
    switch (image->format) {
    case FACEKP_GRAY8:
        if (step == 1)
            add_bytes(pixels, 1, count, weight, sums);
        else
            add_bytes(pixels, step, count, weight, sums);
        return;
    case FACEKP_GRAYF:
        if (step == 1)
            add_floats(pixels, 1, count, weight, sums);
        else
            add_floats(pixels, step, count, weight, sums);
        return;
    case FACEKP_RGB8:
    case FACEKP_RGBA8:
        add_colours(pixels, bytes * step, 0, 2, count, weight, sums);
        return;
    default:
        add_colours(pixels, bytes * step, 2, 0, count, weight, sums);
        return;
    }
}

float fkp_gray_unit(int32_t format) {
    switch (format) {
    case FACEKP_GRAY8:
        return 255.0f;
    case FACEKP_GRAYF:
        return 1.0f;
    default:
        return 255000.0f;
    }
}
