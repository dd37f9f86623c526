/* Heatmaps as pictures: single ones over their targets, and the sum of all. */
#include <math.h>
#include <stdio.h>

#include "base/checked.h"
#include "train/plot/figures.h"

#define GAP 6
#define TEXT_SCALE 2
#define INK 0x202020
#define PAPER 0xffffff
#define OVERLAY 0.6f /* share of the heatmap's colour where it is at its peak */

static float largest(const float *map, size_t count) {
    float peak = -INFINITY;
    for (size_t i = 0; i < count; i++)
        if (map[i] > peak) peak = map[i];
    return peak;
}

static void put(facekp_picture *picture, int32_t x, int32_t y, uint32_t rgb) {
    uint8_t *pixel = picture->pixels + 3 * ((size_t)y * (size_t)picture->width + (size_t)x);
    pixel[0] = (uint8_t)(rgb >> 16);
    pixel[1] = (uint8_t)(rgb >> 8);
    pixel[2] = (uint8_t)rgb;
}

/* A softmax scaled to its peak is exp(l - max l); a target scaled to its peak is t / max t. */
static void draw_map(facekp_picture *picture, int32_t left, int32_t top, int32_t size, const float *map,
                     bool logits) {
    float peak = largest(map, (size_t)size * (size_t)size);
    for (int32_t y = 0; y < size; y++) {
        for (int32_t x = 0; x < size; x++) {
            float value = map[(size_t)y * (size_t)size + (size_t)x];
            float scaled = logits ? expf(value - peak) : peak > 0.0f ? value / peak : 0.0f;
            put(picture, left + x, top + y, fkp_colormap(scaled));
        }
    }
}

static facekp_status blank(const fkp_memory *memory, size_t columns, int32_t rows, int32_t size,
                           facekp_picture **picture, fkp_error *error) {
    if (columns == 0 || columns > 64 || size < 1 || size > 512)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "a row of %zu heatmaps of %d cells; at most 64 of 512",
                        columns, (int)size);
    int32_t header = fkp_text_height(TEXT_SCALE) + 8;
    facekp_status status = fkp_picture_create(memory, (int32_t)columns * (size + GAP) + GAP,
                                              rows * (size + GAP) + GAP + header, 3, picture, error);
    if (status == FACEKP_OK) fkp_draw_rectangle(*picture, 0, 0, (*picture)->width, (*picture)->height, PAPER);
    return status;
}

facekp_status fkp_figure_heatmaps(const fkp_memory *memory, const float *logits, const float *targets,
                                  const size_t *numbers, size_t count, int32_t size, facekp_picture **result,
                                  fkp_error *error) {
    *result = NULL;
    facekp_picture *picture;
    facekp_status status = blank(memory, count, 2, size, &picture, error);
    if (status != FACEKP_OK) return status;
    size_t cells = (size_t)size * (size_t)size;
    int32_t top = picture->height - 2 * (size + GAP);
    for (size_t i = 0; i < count; i++) {
        char label[32];
        int32_t left = GAP + (int32_t)i * (size + GAP);
        snprintf(label, sizeof label, "%zu", numbers[i]);
        fkp_draw_text(picture, left + 2, 6, TEXT_SCALE, label, INK);
        draw_map(picture, left, top, size, logits + i * cells, true);
        draw_map(picture, left, top + size + GAP, size, targets + i * cells, false);
    }
    *result = picture;
    return FACEKP_OK;
}

/* The crop's gray with the colour of `value` laid over it, the stronger the larger the value. */
static uint32_t overlay(float gray, float value) {
    uint32_t rgb = fkp_colormap(value), result = 0;
    float share = OVERLAY * value;
    for (int shift = 16; shift >= 0; shift -= 8) {
        float mixed = (1.0f - share) * 255.0f * gray + share * (float)((rgb >> shift) & 255u);
        result |= (uint32_t)(mixed + 0.5f) << shift;
    }
    return result;
}

static float unit(float value) { return value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value; }

facekp_status fkp_figure_heatmap_sum(const fkp_memory *memory, const float *logits, size_t keypoints,
                                     int32_t size, const float *crop, facekp_picture **result,
                                     fkp_error *error) {
    *result = NULL;
    facekp_picture *picture;
    facekp_status status = blank(memory, 3, 1, size, &picture, error);
    if (status != FACEKP_OK) return status;
    size_t cells = (size_t)size * (size_t)size;
    float *sum = fkp_allocate(memory, cells, sizeof *sum);
    if (sum == NULL) {
        fkp_picture_free(picture);
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for the sum of heatmaps");
    }
    for (size_t k = 0; k < keypoints; k++) {
        float peak = largest(logits + k * cells, cells);
        for (size_t i = 0; i < cells; i++) sum[i] += expf(logits[k * cells + i] - peak);
    }
    static const char *const titles[] = {"crop", "sum of heatmaps", "both"};
    int32_t top = picture->height - size - GAP;
    for (int32_t i = 0; i < 3; i++)
        fkp_draw_text(picture, GAP + i * (size + GAP), 6, TEXT_SCALE, titles[i], INK);
    for (int32_t y = 0; y < size; y++) {
        for (int32_t x = 0; x < size; x++) {
            size_t i = (size_t)y * (size_t)size + (size_t)x;
            float gray = unit(crop[i]), value = unit(sum[i]);
            put(picture, GAP + x, top + y, overlay(gray, 0.0f));
            put(picture, 2 * GAP + size + x, top + y, fkp_colormap(value));
            put(picture, 3 * GAP + 2 * size + x, top + y, overlay(gray, value));
        }
    }
    fkp_release(memory, sum, cells, sizeof *sum);
    *result = picture;
    return FACEKP_OK;
}
