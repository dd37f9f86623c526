/* Heatmaps as pictures: single ones over their targets, and the sum of all. */
#include <math.h>
#include <stdio.h>

#include "base/checked.h"
#include "train/plot/figures.h"

#define GAP 6
#define TEXT_SCALE 2
#define INK 0x202020
#define PAPER 0xffffff
#define SMALLEST_TILE 192 /* smaller maps are enlarged, a cell becoming a square of pixels */
#define OVERLAY 0.6f      /* share of the heatmap's colour where it is at its peak */

static float largest(const float *map, size_t count) {
    float peak = -INFINITY;
    for (size_t i = 0; i < count; i++)
        if (map[i] > peak) peak = map[i];
    return peak;
}

/* A picture of columns x rows maps, below a line of text and right of a margin. */
typedef struct map_grid {
    facekp_picture *picture;
    int32_t size, zoom; /* cells of a map, pixels of a cell */
    int32_t margin, header;
} map_grid;

static int32_t tile_left(const map_grid *grid, size_t column) {
    return grid->margin + GAP + (int32_t)column * (grid->size * grid->zoom + GAP);
}
static int32_t tile_top(const map_grid *grid, int32_t row) {
    return grid->header + row * (grid->size * grid->zoom + GAP);
}

static void put(const map_grid *grid, size_t column, int32_t row, size_t cell, uint32_t rgb) {
    const int32_t x = (int32_t)(cell % (size_t)grid->size), y = (int32_t)(cell / (size_t)grid->size);
    fkp_draw_rectangle(grid->picture, tile_left(grid, column) + x * grid->zoom,
                       tile_top(grid, row) + y * grid->zoom, grid->zoom, grid->zoom, rgb);
}

/* A softmax scaled to its peak is exp(l - max l); a target scaled to its peak is t / max t. */
static void draw_map(const map_grid *grid, size_t column, int32_t row, const float *map, bool logits) {
    const size_t cells = (size_t)grid->size * (size_t)grid->size;
    const float peak = largest(map, cells);
    for (size_t i = 0; i < cells; i++) {
        const float scaled = logits ? expf(map[i] - peak) : peak > 0.0f ? map[i] / peak : 0.0f;
        put(grid, column, row, i, fkp_colormap(scaled));
    }
}

static facekp_status create_grid(const fkp_memory *memory, size_t columns, int32_t rows, int32_t size,
                                 int32_t margin, map_grid *grid, fkp_error *error) {
    if (columns == 0 || columns > FKP_MAX_HEATMAP_ROW || size < 1 || size > 512)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "a row of %zu heatmaps of %d cells; at most %d of 512",
                        columns, (int)size, FKP_MAX_HEATMAP_ROW);
    *grid = (map_grid){.size = size,
                       .zoom = size < SMALLEST_TILE ? (SMALLEST_TILE + size - 1) / size : 1,
                       .margin = margin,
                       .header = fkp_text_height(TEXT_SCALE) + 14};
    facekp_status status =
        fkp_picture_create(memory, tile_left(grid, columns), tile_top(grid, rows), 3, &grid->picture, error);
    if (status == FACEKP_OK)
        fkp_draw_rectangle(grid->picture, 0, 0, grid->picture->width, grid->picture->height, PAPER);
    return status;
}

static void draw_title(const map_grid *grid, size_t column, const char *title) {
    fkp_draw_text(grid->picture, tile_left(grid, column), 7, TEXT_SCALE, title, INK);
}

facekp_status fkp_figure_heatmaps(const fkp_memory *memory, const float *logits, const float *targets,
                                  const size_t *numbers, size_t count, int32_t size, facekp_picture **result,
                                  fkp_error *error) {
    static const char *const rows[] = {"network", "target"};
    *result = NULL;
    map_grid grid;
    facekp_status status =
        create_grid(memory, count, 2, size, GAP + fkp_text_width(rows[0], TEXT_SCALE), &grid, error);
    if (status != FACEKP_OK) return status;
    const size_t cells = (size_t)size * (size_t)size;
    for (int32_t row = 0; row < 2; row++)
        fkp_draw_text(grid.picture, GAP, tile_top(&grid, row) + size * grid.zoom / 2, TEXT_SCALE, rows[row],
                      INK);
    for (size_t i = 0; i < count; i++) {
        char label[32];
        snprintf(label, sizeof label, "point %zu", numbers[i]);
        draw_title(&grid, i, label);
        draw_map(&grid, i, 0, logits + i * cells, true);
        draw_map(&grid, i, 1, targets + i * cells, false);
    }
    *result = grid.picture;
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
    static const char *const titles[] = {"crop", "sum of heatmaps", "both"};
    *result = NULL;
    map_grid grid;
    facekp_status status = create_grid(memory, 3, 1, size, 0, &grid, error);
    if (status != FACEKP_OK) return status;
    const size_t cells = (size_t)size * (size_t)size;
    float *sum = fkp_allocate(memory, cells, sizeof *sum);
    if (sum == NULL) {
        fkp_picture_free(grid.picture);
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for the sum of heatmaps");
    }
    for (size_t k = 0; k < keypoints; k++) {
        const float peak = largest(logits + k * cells, cells);
        for (size_t i = 0; i < cells; i++) sum[i] += expf(logits[k * cells + i] - peak);
    }
    for (size_t i = 0; i < 3; i++) draw_title(&grid, i, titles[i]);
    const float highest = largest(sum, cells);
    for (size_t i = 0; i < cells; i++) {
        const float gray = unit(crop[i]), value = unit(sum[i] / highest);
        put(&grid, 0, 0, i, overlay(gray, 0.0f));
        put(&grid, 1, 0, i, fkp_colormap(value));
        put(&grid, 2, 0, i, overlay(gray, value));
    }
    fkp_release(memory, sum, cells, sizeof *sum);
    *result = grid.picture;
    return FACEKP_OK;
}
