/* Contact sheets: crops with their points, side by side. */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "train/data/target.h"
#include "train/plot/figures.h"

#define GAP 6
#define TEXT_SCALE 2
#define PREDICTED 0xff2020
#define TRUTH 0x20d020
#define APART 0xe0c020 /* the line from a true point to its prediction */
#define RADIUS 1.6
#define INK 0x202020
#define PAPER 0xffffff

/* A point in pixels of a tile; false outside it. */
static bool place(const float *point, int32_t size, double *x, double *y) {
    *x = fkp_target_cell(point[0], (size_t)size);
    *y = fkp_target_cell(point[1], (size_t)size);
    return *x >= 0.0 && *y >= 0.0 && *x <= size - 1 && *y <= size - 1;
}

static void draw_points(facekp_picture *picture, int32_t left, int32_t top, int32_t size, const float *points,
                        size_t keypoints, uint32_t rgb) {
    double x, y;
    for (size_t k = 0; points != NULL && k < keypoints; k++)
        if (place(points + 2 * k, size, &x, &y)) fkp_draw_disc(picture, left + x, top + y, RADIUS, rgb);
}

/* Which prediction belongs to which point, where they are far apart. */
static void join_points(facekp_picture *picture, int32_t left, int32_t top, int32_t size,
                        const fkp_tile_view *tile, size_t keypoints) {
    double x, y, to_x, to_y;
    for (size_t k = 0; tile->truth != NULL && tile->predicted != NULL && k < keypoints; k++)
        if (place(tile->truth + 2 * k, size, &x, &y) && place(tile->predicted + 2 * k, size, &to_x, &to_y))
            fkp_draw_line(picture, left + x, top + y, left + to_x, top + to_y, 1.0, APART);
}

static uint8_t gray_byte(float value) {
    return (uint8_t)(value <= 0.0f ? 0.0f : value >= 1.0f ? 255.0f : 255.0f * value + 0.5f);
}

static void draw_crop(facekp_picture *picture, int32_t left, int32_t top, int32_t size, const float *crop) {
    for (int32_t y = 0; y < size; y++) {
        uint8_t *row = picture->pixels + 3 * ((size_t)(top + y) * (size_t)picture->width + (size_t)left);
        for (int32_t x = 0; x < size; x++)
            row[3 * x] = row[3 * x + 1] = row[3 * x + 2] =
                gray_byte(crop[(size_t)y * (size_t)size + (size_t)x]);
    }
}

/* The two lines under a tile; what is too wide for it is cut off. */
static void draw_caption(facekp_picture *picture, int32_t left, int32_t top, int32_t width,
                         const fkp_tile_view *tile) {
    const char *const lines[] = {tile->name, tile->note};
    for (int i = 0; i < 2; i++, top += fkp_text_height(TEXT_SCALE) + 2) {
        char line[128];
        if (lines[i] == NULL) continue;
        snprintf(line, sizeof line, "%s", lines[i]);
        for (size_t end = strlen(line); end > 0 && fkp_text_width(line, TEXT_SCALE) > width;)
            line[--end] = '\0';
        fkp_draw_text(picture, left, top, TEXT_SCALE, line, INK);
    }
}

static void draw_key(facekp_picture *picture) {
    static const char *const names[] = {"predicted", "true"};
    static const uint32_t colours[] = {PREDICTED, TRUTH};
    const int32_t line = fkp_text_height(TEXT_SCALE);
    int32_t x = GAP;
    for (int i = 0; i < 2; i++) {
        fkp_draw_disc(picture, x + line / 2.0, GAP + line / 2.0, 2.5 * RADIUS, colours[i]);
        fkp_draw_text(picture, x + line + 4, GAP, TEXT_SCALE, names[i], INK);
        x += 2 * line + fkp_text_width(names[i], TEXT_SCALE);
    }
}

facekp_status fkp_figure_sheet(const fkp_memory *memory, const fkp_tile_view *tiles, size_t count,
                               size_t columns, int32_t size, size_t keypoints, facekp_picture **result,
                               fkp_error *error) {
    *result = NULL;
    if (count == 0 || columns == 0 || count > 4096 || columns > 64 || size < 16 || size > 512)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "a contact sheet of %zu crops of %d pixels in %zu columns; at most 4096 of 16 to 512 "
                        "in 64",
                        count, (int)size, columns);
    if (columns > count) columns = count;
    const int32_t line = fkp_text_height(TEXT_SCALE);
    const int32_t wide = size + GAP, high = size + GAP + 2 * (line + 4), header = line + 2 * GAP;
    facekp_picture *picture;
    facekp_status status =
        fkp_picture_create(memory, (int32_t)columns * wide + GAP,
                           (int32_t)fkp_divide_up(count, columns) * high + header, 3, &picture, error);
    if (status != FACEKP_OK) return status;
    fkp_draw_rectangle(picture, 0, 0, picture->width, picture->height, PAPER);
    draw_key(picture);
    for (size_t i = 0; i < count; i++) {
        int32_t left = GAP + (int32_t)(i % columns) * wide, top = header + (int32_t)(i / columns) * high;
        draw_crop(picture, left, top, size, tiles[i].crop);
        join_points(picture, left, top, size, &tiles[i], keypoints);
        draw_points(picture, left, top, size, tiles[i].truth, keypoints, TRUTH);
        draw_points(picture, left, top, size, tiles[i].predicted, keypoints, PREDICTED);
        draw_caption(picture, left, top + size + 3, size, &tiles[i]);
    }
    *result = picture;
    return FACEKP_OK;
}
