#include <string.h>

#include "base/checked.h"
#include "image/filter.h"
#include "image/image.h"

static size_t picture_bytes(int32_t width, int32_t height, int32_t channels) {
    return (size_t)width * (size_t)height * (size_t)channels;
}

facekp_status fkp_picture_create(const fkp_memory *memory, int32_t width, int32_t height, int32_t channels,
                                 facekp_picture **result, fkp_error *error) {
    *result = NULL;
    if (width < 1 || height < 1 || (channels != 1 && channels != 3))
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "picture: %d x %d pixels of %d channels; sides must be positive, channels 1 or 3",
                        (int)width, (int)height, (int)channels);
    if (width > FKP_MAX_SIDE || height > FKP_MAX_SIDE || (size_t)width * (size_t)height > FKP_MAX_PIXELS)
        return fkp_fail(error, FACEKP_ERROR_LIMIT,
                        "picture: %d x %d pixels; at most %d a side and %zu in all are allowed", (int)width,
                        (int)height, FKP_MAX_SIDE, FKP_MAX_PIXELS);
    facekp_picture *picture = fkp_allocate(memory, 1, sizeof *picture);
    uint8_t *pixels = fkp_allocate(memory, picture_bytes(width, height, channels), 1);
    if (picture == NULL || pixels == NULL) {
        fkp_release(memory, picture, 1, sizeof *picture);
        fkp_release(memory, pixels, picture_bytes(width, height, channels), 1);
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for a picture of %d x %d pixels", (int)width,
                        (int)height);
    }
    *picture = (facekp_picture){*memory, width, height, channels, pixels};
    *result = picture;
    return FACEKP_OK;
}

void fkp_picture_free(facekp_picture *picture) {
    if (picture == NULL) return;
    const fkp_memory memory = picture->memory;
    fkp_release(&memory, picture->pixels, picture_bytes(picture->width, picture->height, picture->channels),
                1);
    fkp_release(&memory, picture, 1, sizeof *picture);
}

/* ---- resizing ---- */

/* What one column of the result is made of. */
typedef struct column_taps {
    int32_t first, count;
    float weights[FKP_FILTER_TAPS];
} column_taps;

static void fill_columns(column_taps *columns, const fkp_filter *filter, int32_t from, int32_t to) {
    for (int32_t i = 0; i < to; i++)
        columns[i].count = fkp_filter_taps(filter, (double)from / to * (i + 0.5) - 0.5, from,
                                           &columns[i].first, columns[i].weights);
}

/* sums[i] = weighted sum of the rows of the picture that make row y of the result. */
static void combine_rows(const facekp_picture *picture, const fkp_filter *filter, int32_t y, int32_t height,
                         float *sums) {
    const size_t row = (size_t)picture->width * (size_t)picture->channels;
    float weights[FKP_FILTER_TAPS];
    int32_t first = 0;
    const int32_t count = fkp_filter_taps(filter, (double)picture->height / height * (y + 0.5) - 0.5,
                                          picture->height, &first, weights);
    memset(sums, 0, row * sizeof *sums);
    for (int32_t k = 0; k < count; k++) {
        const uint8_t *pixels = picture->pixels + (size_t)((first + k) * filter->step) * row;
        for (size_t i = 0; i < row; i++) sums[i] += weights[k] * (float)pixels[i];
    }
}

static void combine_columns(const float *sums, const column_taps *columns, int32_t step, int32_t channels,
                            int32_t width, uint8_t *out) {
    for (int32_t x = 0; x < width; x++) {
        const column_taps *taps = &columns[x];
        for (int32_t channel = 0; channel < channels; channel++) {
            float sum = 0.5f; /* rounds */
            for (int32_t k = 0; k < taps->count; k++)
                sum += taps->weights[k] * sums[(ptrdiff_t)(taps->first + k) * step * channels + channel];
            *out++ = (uint8_t)(sum < 255.0f ? sum : 255.0f);
        }
    }
}

facekp_status fkp_picture_resize(const facekp_picture *picture, int32_t width, int32_t height,
                                 facekp_picture **resized, fkp_error *error) {
    const fkp_memory *memory = &picture->memory;
    facekp_status status = fkp_picture_create(memory, width, height, picture->channels, resized, error);
    if (status != FACEKP_OK) return status;
    const size_t row = (size_t)picture->width * (size_t)picture->channels;
    float *sums = fkp_allocate_raw(memory, row, sizeof *sums);
    column_taps *columns = fkp_allocate_raw(memory, (size_t)width, sizeof *columns);
    if (sums == NULL || columns == NULL) {
        fkp_picture_free(*resized);
        *resized = NULL;
        status = fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory to resize a picture to %d x %d pixels",
                          (int)width, (int)height);
    } else {
        const fkp_filter across = fkp_filter_of((double)picture->width / width);
        const fkp_filter down = fkp_filter_of((double)picture->height / height);
        fill_columns(columns, &across, picture->width, width);
        for (int32_t y = 0; y < height; y++) {
            combine_rows(picture, &down, y, height, sums);
            combine_columns(sums, columns, across.step, picture->channels, width,
                            (*resized)->pixels + (size_t)y * (size_t)width * (size_t)picture->channels);
        }
    }
    fkp_release(memory, sums, row, sizeof *sums);
    fkp_release(memory, columns, (size_t)width, sizeof *columns);
    return status;
}
