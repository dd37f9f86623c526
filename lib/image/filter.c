#include "image/filter.h"

#include <math.h>

fkp_filter fkp_filter_of(double reduction) {
    /* No image is longer; a map may say more, or NaN. */
    const double most = 65536.0;
    const double radius = fmin(fmax(fabs(reduction), 1.0), most);
    const double step = ceil(radius / FKP_FILTER_RADIUS);
    return (fkp_filter){radius, (int32_t)step, (int32_t)ceil(2.0 * radius / step)};
}

/* floor and ceil of small numbers, inline on every machine. */
static inline int32_t whole_below(double x) {
    const int32_t whole = (int32_t)x;
    return whole - ((double)whole > x);
}

static inline int32_t whole_above(double x) {
    const int32_t whole = (int32_t)x;
    return whole + ((double)whole < x);
}

static inline int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

int32_t fkp_filter_taps(const fkp_filter *filter, double centre, int32_t size, int32_t *first,
                        float *weights) {
    if (!(centre >= -0.5 && centre < (double)size - 0.5)) return 0;
    const int32_t step = filter->step;
    double left = centre - filter->radius, right = centre + filter->radius;
    int32_t last = size - 1;
    if (step > 1) {
        left /= step;
        right /= step;
        last /= step;
    }
    /* The ends themselves have no weight. */
    const int32_t inner = whole_below(left) + 1;
    const int32_t low = inner > 0 ? inner : 0;
    const int32_t high = smaller(whole_above(right) - 1, last);
    const int32_t count = smaller(high - low + 1, filter->taps);
    double values[FKP_FILTER_TAPS], sum = 0.0;
    for (int32_t i = 0; i < count; i++) {
        values[i] = filter->radius - fabs((double)((low + i) * step) - centre);
        sum += values[i];
    }
    const double scale = 1.0 / sum;
    for (int32_t i = 0; i < count; i++) weights[i] = (float)(values[i] * scale);
    *first = low;
    return count;
}
