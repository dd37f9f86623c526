/* Pictures for the tools: the public face of lib/image. */
#include <math.h>
#include <string.h>

#include "base/floating.h"
#include "base/structs.h"
#include "image/image.h"

facekp_status facekp_picture_read(const char *path, int32_t channels, char *message, size_t message_size,
                                  facekp_picture **picture) {
    if (picture == NULL) return FACEKP_ERROR_ARGUMENT;
    *picture = NULL;
    fkp_error error = {0};
    facekp_status status;
    if (path == NULL || (channels != 1 && channels != 3)) {
        status = fkp_fail(&error, FACEKP_ERROR_ARGUMENT, "path must not be NULL, channels must be 1 or 3");
    } else {
        const fkp_memory memory = fkp_memory_from(NULL);
        status = fkp_png_read(&memory, path, channels, picture, &error);
    }
    if (status != FACEKP_OK) fkp_error_copy(&error, message, message_size);
    return status;
}

facekp_status facekp_picture_create(int32_t width, int32_t height, int32_t channels,
                                    facekp_picture **picture) {
    if (picture == NULL) return FACEKP_ERROR_ARGUMENT;
    const fkp_memory memory = fkp_memory_from(NULL);
    *picture = NULL;
    return fkp_picture_create(&memory, width, height, channels, picture, NULL);
}

void facekp_picture_free(facekp_picture *picture) { fkp_picture_free(picture); }

facekp_status facekp_picture_get_image(const facekp_picture *picture, facekp_image *image) {
    if (picture == NULL) return FACEKP_ERROR_ARGUMENT;
    facekp_status status = fkp_struct_check(image, sizeof *image, "facekp_image", NULL);
    if (status != FACEKP_OK) return status;
    const facekp_image known = {.data = picture->pixels,
                                .width = picture->width,
                                .height = picture->height,
                                .format = picture->channels == 1 ? FACEKP_GRAY8 : FACEKP_RGB8};
    fkp_struct_write(image, &known, sizeof known);
    return FACEKP_OK;
}

uint8_t *facekp_picture_pixels(facekp_picture *picture) { return picture == NULL ? NULL : picture->pixels; }

facekp_status facekp_picture_write(const facekp_picture *picture, const char *path, char *message,
                                   size_t message_size) {
    fkp_error error = {0};
    facekp_status status = picture == NULL || path == NULL
                               ? fkp_fail(&error, FACEKP_ERROR_ARGUMENT, "picture and path must not be NULL")
                               : fkp_png_write(picture, path, &error);
    if (status != FACEKP_OK) fkp_error_copy(&error, message, message_size);
    return status;
}

facekp_status facekp_picture_draw_points(facekp_picture *picture, const float *points, size_t count,
                                         float radius, uint32_t rgb) {
    if (picture == NULL || points == NULL || !(radius > 0.0f && radius <= (float)FKP_MAX_SIDE) ||
        rgb > 0xffffff)
        return FACEKP_ERROR_ARGUMENT;
    for (size_t i = 0; i < count; i++)
        if (isfinite(points[2 * i]) && isfinite(points[2 * i + 1]))
            fkp_draw_disc(picture, (double)points[2 * i], (double)points[2 * i + 1], (double)radius, rgb);
    return FACEKP_OK;
}

facekp_status facekp_picture_resize(const facekp_picture *picture, int32_t width, int32_t height,
                                    facekp_picture **resized) {
    if (resized == NULL) return FACEKP_ERROR_ARGUMENT;
    *resized = NULL;
    if (picture == NULL) return FACEKP_ERROR_ARGUMENT;
    return fkp_picture_resize(picture, width, height, resized, NULL);
}

facekp_status facekp_picture_from_heatmap(const float *map, int32_t width, int32_t height,
                                          facekp_picture **picture) {
    if (picture == NULL) return FACEKP_ERROR_ARGUMENT;
    *picture = NULL;
    if (map == NULL) return FACEKP_ERROR_ARGUMENT;
    facekp_status status = facekp_picture_create(width, height, 3, picture);
    if (status != FACEKP_OK) return status;
    const size_t count = (size_t)width * (size_t)height;
    float low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(map[i])) continue;
        low = fminf(low, map[i]);
        high = fmaxf(high, map[i]);
    }
    for (size_t i = 0; i < count; i++) {
        const float share = high > low && isfinite(map[i]) ? (map[i] - low) / (high - low) : 0.0f;
        const uint32_t rgb = fkp_colormap(share);
        uint8_t *pixel = (*picture)->pixels + 3 * i;
        pixel[0] = (uint8_t)(rgb >> 16);
        pixel[1] = (uint8_t)(rgb >> 8);
        pixel[2] = (uint8_t)rgb;
    }
    return FACEKP_OK;
}
