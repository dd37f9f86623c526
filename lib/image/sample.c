/* From a caller's pixels to a network's input. The filter is separable along the axes of the image; where
 * the crop's axes are the image's, so is the work: a few rows are combined, then a few columns of the
 * result. */
#include <math.h>
#include <string.h>

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

static void sample_strip(const fkp_gray_rows *image, const axis *across, const axis *down, int32_t begin,
                         int32_t size, strip *plan, float *out) {
    plan_strip(plan, across, begin, size);
    for (int32_t j = 0; j < size; j++) {
        float rows[FKP_FILTER_TAPS];
        int32_t top = 0;
        const int32_t count =
            fkp_filter_taps(&down->filter, down->scale * j + down->offset, down->pixels, &top, rows);
        memset(plan->sums, 0, sizeof *plan->sums * (size_t)plan->pixels);
        if (plan->pixels > 0)
            for (int32_t k = 0; k < count; k++)
                fkp_add_gray_row(image, (top + k) * down->filter.step, plan->low, plan->pixels,
                                 across->filter.step, rows[k], plan->sums);
        for (int32_t i = 0; i < plan->columns; i++) {
            const float *weights = plan->weights + i * across->filter.taps;
            const float *sums = plan->sums + plan->first[i];
            float sum = 0.0f;
            for (int32_t k = 0; k < plan->count[i]; k++) sum += weights[k] * sums[k];
            out[(size_t)(begin + i) * across->out_step + (size_t)j * down->out_step] = sum / image->unit;
        }
    }
}

static void sample_aligned(const fkp_gray_rows *image, const axis *across, const axis *down, int32_t size,
                           float *out) {
    strip plan;
    for (int32_t begin = 0; begin < size; begin += plan.columns)
        sample_strip(image, across, down, begin, size, &plan, out);
}

/* ---- any map ---- */

static void sample_turned(const facekp_image *image, const fkp_gray_rows *rows, const fkp_affine *map,
                          int32_t size, float *out) {
    const fkp_filter across = fkp_filter_of(hypot(map->a, map->b)),
                     down = fkp_filter_of(hypot(map->d, map->e));
    float column_weights[FKP_FILTER_TAPS], row_weights[FKP_FILTER_TAPS];
    fkp_taps columns = {0, 0, across.step, column_weights}, lines = {0, 0, down.step, row_weights};
    for (int32_t v = 0; v < size; v++)
        for (int32_t u = 0; u < size; u++) {
            double x, y;
            fkp_affine_apply(map, u, v, &x, &y);
            columns.count = fkp_filter_taps(&across, x, image->width, &columns.first, column_weights);
            lines.count = fkp_filter_taps(&down, y, image->height, &lines.first, row_weights);
            const bool inside = columns.count > 0 && lines.count > 0;
            *out++ = inside ? fkp_weigh_gray(rows, &columns, &lines) / rows->unit : 0.0f;
        }
}

void fkp_image_sample(const facekp_image *image, const fkp_affine *map, int32_t size, float *out) {
    const bool upright = map->b == 0.0 && map->d == 0.0, turned = map->a == 0.0 && map->e == 0.0;
    const fkp_gray_rows rows = fkp_gray_rows_of(image);
    if (!upright && !turned) {
        sample_turned(image, &rows, map, size, out);
        return;
    }
    axis across = {map->a, map->c, fkp_filter_of(map->a), image->width, 1};
    axis down = {map->e, map->f, fkp_filter_of(map->e), image->height, (size_t)size};
    if (!upright) {
        /* A quarter turn: the columns of the image are the rows of the crop. */
        across = (axis){map->b, map->c, fkp_filter_of(map->b), image->width, (size_t)size};
        down = (axis){map->d, map->f, fkp_filter_of(map->d), image->height, 1};
    }
    sample_aligned(&rows, &across, &down, size, out);
}
