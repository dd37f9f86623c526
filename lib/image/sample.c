/* From a caller's pixels to a network's input. The filter is separable along the axes of the image; where
 * the crop's axes are the image's, so is the work: a few rows are combined, then a few columns of the
 * result. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "image/filter.h"
#include "image/gray_rows.h"

/* ---- axes that agree, mirrored or swapped at most ---- */

/* A strip of crop columns and the pixels of the image under it, small enough for any thread's stack: with
 * filters of radius r, in steps of the filter, n columns have at most n * 2r <= STRIP_WEIGHTS weights, so
 * that their centres span at most STRIP_WEIGHTS / 2 pixels. */
enum { STRIP_COLUMNS = 96, STRIP_WEIGHTS = 384, STRIP_PIXELS = STRIP_WEIGHTS / 2 + FKP_FILTER_TAPS + 2 };

typedef struct strip {
    int32_t columns;
    int32_t low, pixels; /* those of the image that any column needs, in steps of the filter */
    uint16_t first[STRIP_COLUMNS], count[STRIP_COLUMNS]; /* a column's taps, from low on */
    float weights[STRIP_WEIGHTS];                        /* columns x filter.taps */
    float sums[STRIP_PIXELS];
} strip;

/* One axis of the crop: where its positions lie in the image, and how far apart in the output. */
typedef struct axis {
    double scale, offset;
    fkp_filter filter;
    int32_t pixels; /* of the image */
    size_t out_step;
} axis;

static void plan_strip(strip *plan, const axis *across, int32_t begin, int32_t size) {
    const int32_t fit = STRIP_WEIGHTS / across->filter.taps;
    const int32_t most = fit < STRIP_COLUMNS ? fit : STRIP_COLUMNS;
    plan->columns = size - begin < most ? size - begin : most;
    int32_t first[STRIP_COLUMNS], low = INT32_MAX, high = 0;
    for (int32_t i = 0; i < plan->columns; i++) {
        const double centre = across->scale * (begin + i) + across->offset;
        const int32_t count = fkp_filter_taps(&across->filter, centre, across->pixels, &first[i],
                                              plan->weights + i * across->filter.taps);
        plan->count[i] = (uint16_t)count;
        if (count == 0) continue;
        if (first[i] < low) low = first[i];
        if (first[i] + count > high) high = first[i] + count;
    }
    plan->low = low;
    plan->pixels = high == 0 ? 0 : high - low;
    for (int32_t i = 0; i < plan->columns; i++)
        plan->first[i] = plan->count[i] == 0 ? 0 : (uint16_t)(first[i] - low);
}

static void sample_strip(const facekp_image *image, const axis *across, const axis *down, int32_t begin,
                         int32_t size, strip *plan, float *out) {
    plan_strip(plan, across, begin, size);
    const float unit = fkp_gray_unit(image->format);
    for (int32_t j = 0; j < size; j++) {
        float rows[FKP_FILTER_TAPS];
        int32_t top = 0;
        const int32_t count =
            fkp_filter_taps(&down->filter, down->scale * j + down->offset, down->pixels, &top, rows);
        memset(plan->sums, 0, sizeof *plan->sums * (size_t)plan->pixels);
        if (plan->pixels > 0)
            for (int32_t k = 0; k < count; k++)
                fkp_add_gray_row(image, (top + k) * down->filter.step, plan->low, across->filter.step,
                                 plan->pixels, rows[k], plan->sums);
        for (int32_t i = 0; i < plan->columns; i++) {
            const float *weights = plan->weights + i * across->filter.taps;
            const float *sums = plan->sums + plan->first[i];
            float sum = 0.0f;
            for (int32_t k = 0; k < plan->count[i]; k++) sum += weights[k] * sums[k];
            out[(size_t)(begin + i) * across->out_step + (size_t)j * down->out_step] = sum / unit;
        }
    }
}

static void sample_aligned(const facekp_image *image, const axis *across, const axis *down, int32_t size,
                           float *out) {
    strip plan;
    for (int32_t begin = 0; begin < size; begin += plan.columns)
        sample_strip(image, across, down, begin, size, &plan, out);
}

/* ---- any map ---- */

static void sample_turned(const facekp_image *image, const fkp_affine *map, int32_t size, float *out) {
    const fkp_filter across = fkp_filter_of(hypot(map->a, map->b)),
                     down = fkp_filter_of(hypot(map->d, map->e));
    const float unit = fkp_gray_unit(image->format);
    for (int32_t v = 0; v < size; v++) {
        for (int32_t u = 0; u < size; u++) {
            double x, y;
            fkp_affine_apply(map, u, v, &x, &y);
            float columns[FKP_FILTER_TAPS], rows[FKP_FILTER_TAPS], sums[FKP_FILTER_TAPS] = {0.0f};
            int32_t left = 0, top = 0;
            const int32_t width = fkp_filter_taps(&across, x, image->width, &left, columns);
            const int32_t height = width == 0 ? 0 : fkp_filter_taps(&down, y, image->height, &top, rows);
            for (int32_t k = 0; k < height; k++)
                fkp_add_gray_row(image, (top + k) * down.step, left, across.step, width, rows[k], sums);
            float sum = 0.0f;
            for (int32_t k = 0; k < width; k++) sum += columns[k] * sums[k];
            out[(size_t)v * (size_t)size + (size_t)u] = sum / unit;
        }
    }
}

void fkp_image_sample(const facekp_image *image, const fkp_affine *map, int32_t size, float *out) {
    const bool upright = map->b == 0.0 && map->d == 0.0, turned = map->a == 0.0 && map->e == 0.0;
    if (!upright && !turned) {
        sample_turned(image, map, size, out);
        return;
    }
    axis across = {map->a, map->c, {0, 0, 0}, image->width, 1};
    axis down = {map->e, map->f, {0, 0, 0}, image->height, (size_t)size};
    if (!upright) {
        /* A quarter turn: the columns of the image are the rows of the crop. */
        across.scale = map->b;
        down.scale = map->d;
        across.out_step = (size_t)size;
        down.out_step = 1;
    }
    across.filter = fkp_filter_of(across.scale);
    down.filter = fkp_filter_of(down.scale);
    sample_aligned(image, &across, &down, size, out);
}
