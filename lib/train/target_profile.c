#include "train/target_profile.h"

#include <math.h>

bool fkp_target_inside(float coordinate, size_t size) {
    return coordinate >= -0.5f && (double)coordinate < (double)size - 0.5;
}

/* The cell a position beyond the border is reflected to: -1 is 0, -2 is 1, size is size - 1. */
static size_t reflected(ptrdiff_t position, ptrdiff_t size) {
    while (position < 0 || position >= size)
        position = position < 0 ? -1 - position : 2 * size - 1 - position;
    return (size_t)position;
}

bool fkp_target_profile(float coordinate, size_t size, double sigma, float *profile, size_t step) {
    for (size_t i = 0; i < size; i++) profile[i * step] = 0.0f;
    if (!fkp_target_inside(coordinate, size)) return false;
    ptrdiff_t centre = (ptrdiff_t)floor((double)coordinate + 0.5), radius = (ptrdiff_t)(4.0 * sigma + 0.5);
    double sum = 0.0;
    for (ptrdiff_t d = -radius; d <= radius; d++) sum += exp(-0.5 * (double)(d * d) / (sigma * sigma));
    for (ptrdiff_t d = -radius; d <= radius; d++)
        profile[reflected(centre + d, (ptrdiff_t)size) * step] +=
            (float)(exp(-0.5 * (double)(d * d) / (sigma * sigma)) / sum);
    return true;
}

void fkp_target_map(const float point[2], fkp_shape shape, double sigma, float *map) {
    size_t stride = shape.channels, line = shape.width * stride;
    bool inside = fkp_target_inside(point[1], shape.height) && fkp_target_inside(point[0], shape.width);
    for (size_t i = 0; i < shape.height * shape.width; i++) map[i * stride] = 0.0f;
    if (!inside) return;
    /* The profile along y stands in the first column until each row, from the last up, is multiplied out;
     * that along x in the first row, which comes last. */
    fkp_target_profile(point[1], shape.height, sigma, map, line);
    float corner = map[0];
    fkp_target_profile(point[0], shape.width, sigma, map, stride);
    for (size_t y = shape.height; y-- > 0;) {
        float factor = y == 0 ? corner : map[y * line];
        for (size_t x = 0; x < shape.width; x++) map[y * line + x * stride] = factor * map[x * stride];
    }
}
