#include "decode/subpixel.h"

#include <math.h>

float fkp_relative_softmax(const fkp_map *map, const fkp_peak *peak, int32_t x, int32_t y) {
    const float difference = map->logits[(ptrdiff_t)y * map->width + x] - peak->logit;
    return difference <= 0.0f ? expf(difference) : 0.0f; /* false for NaN */
}

/* ---- local soft-argmax ---- */

/* How much of cell c, which reaches half a cell to either side, lies within `half` of the centre. */
static double share(int32_t c, double centre, double half) {
    return fmin(fmax(half + 0.5 - fabs(c - centre), 0.0), 1.0);
}

static int32_t clamped(double value, int32_t size) { return (int32_t)fmin(fmax(value, 0.0), size - 1.0); }

void fkp_soft_argmax(const fkp_map *map, const fkp_peak *peak, int32_t window, double *x, double *y) {
    enum { ROUNDS = 16 };
    const double half = 0.5 * window, at_rest = 1e-3;
    double centre_x = peak->x, centre_y = peak->y;
    for (int32_t round = 0; round < ROUNDS; round++) {
        const int32_t left = clamped(floor(centre_x - half), map->width);
        const int32_t right = clamped(ceil(centre_x + half), map->width);
        const int32_t top = clamped(floor(centre_y - half), map->height);
        const int32_t bottom = clamped(ceil(centre_y + half), map->height);
        double sum = 0.0, sum_x = 0.0, sum_y = 0.0;
        for (int32_t row = top; row <= bottom; row++)
            for (int32_t column = left; column <= right; column++) {
                const double inside = share(column, centre_x, half) * share(row, centre_y, half);
                if (inside == 0.0) continue;
                const double mass = inside * (double)fkp_relative_softmax(map, peak, column, row);
                sum += mass;
                sum_x += mass * column;
                sum_y += mass * row;
            }
        if (!(sum > 0.0)) break;
        const double moved = fmax(fabs(sum_x / sum - centre_x), fabs(sum_y / sum - centre_y));
        centre_x = sum_x / sum;
        centre_y = sum_y / sum;
        if (moved < at_rest) break;
    }
    *x = centre_x;
    *y = centre_y;
}

/* ---- DARK ---- */

enum {
    SMOOTH_RADIUS = 5, /* of a Gaussian of deviation 2: the paper's 11 x 11 */
    NEAR = 3           /* the cells whose logarithms the derivatives need */
};

static int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

/* logs[i][j]: logarithm of the smoothed softmax at (peak.x + j - 1, peak.y + i - 1). Close to a border the
 * Gaussian is cut down, on all sides alike, to what lies inside: a lopsided one would shift the mode. */
static void smoothed_logs(const fkp_map *map, const fkp_peak *peak, double logs[NEAR][NEAR]) {
    const double deviation = 2.0;
    const int32_t room_x = smaller(peak->x, map->width - 1 - peak->x) - 1;
    const int32_t room_y = smaller(peak->y, map->height - 1 - peak->y) - 1;
    const int32_t radius = smaller(SMOOTH_RADIUS, smaller(room_x, room_y));
    double gaussian[SMOOTH_RADIUS + 1];
    for (int32_t i = 0; i <= radius; i++) gaussian[i] = exp(-i * i / (2.0 * deviation * deviation));
    for (int32_t i = 0; i < NEAR; i++)
        for (int32_t j = 0; j < NEAR; j++) {
            double sum = 0.0;
            for (int32_t dy = -radius; dy <= radius; dy++)
                for (int32_t dx = -radius; dx <= radius; dx++)
                    sum +=
                        gaussian[dy < 0 ? -dy : dy] * gaussian[dx < 0 ? -dx : dx] *
                        (double)fkp_relative_softmax(map, peak, peak->x + j - 1 + dx, peak->y + i - 1 + dy);
            logs[i][j] = log(sum);
        }
}

void fkp_dark(const fkp_map *map, const fkp_peak *peak, double *x, double *y) {
    const double furthest = 2.0;
    *x = peak->x;
    *y = peak->y;
    if (peak->x < 1 || peak->x > map->width - 2 || peak->y < 1 || peak->y > map->height - 2) return;
    double p[NEAR][NEAR];
    smoothed_logs(map, peak, p);
    /* Gradient and Hessian by central differences; the step is -H^-1 g (the paper's equation 8). */
    const double gx = 0.5 * (p[1][2] - p[1][0]), gy = 0.5 * (p[2][1] - p[0][1]);
    const double hxx = p[1][2] - 2.0 * p[1][1] + p[1][0], hyy = p[2][1] - 2.0 * p[1][1] + p[0][1];
    const double hxy = 0.25 * (p[2][2] - p[2][0] - p[0][2] + p[0][0]);
    const double determinant = hxx * hyy - hxy * hxy;
    if (!(hxx < 0.0 && determinant > 0.0)) return;
    const double dx = (hxy * gy - hyy * gx) / determinant, dy = (hxy * gx - hxx * gy) / determinant;
    if (!(fabs(dx) <= furthest && fabs(dy) <= furthest)) return;
    *x += dx;
    *y += dy;
}
