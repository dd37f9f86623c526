#include "image/filter.h"

#include <math.h>

fkp_filter fkp_filter_of(double reduction) {
    /* No image is longer; a map may say more, or NaN. */
    const double most = 65536.0;
    const double radius = fmin(fmax(fabs(reduction), 1.0), most);
    const double step = ceil(radius / FKP_FILTER_RADIUS);
    return (fkp_filter){radius, (int32_t)step, (int32_t)ceil(2.0 * radius / step)};
}

int32_t fkp_filter_taps(const fkp_filter *filter, double centre, int32_t size, int32_t *first,
                        float *weights) {
    if (!(centre >= -0.5 && centre < (double)size - 0.5)) return 0;
    const double step = filter->step;
    /* The ends themselves have no weight. */
    const double low = fmax(floor((centre - filter->radius) / step) + 1.0, 0.0);
    const double high =
        fmin(ceil((centre + filter->radius) / step) - 1.0, (double)((size - 1) / filter->step));
    const int32_t count = (int32_t)fmin(high - low + 1.0, filter->taps);
    double values[FKP_FILTER_TAPS], sum = 0.0;
    for (int32_t i = 0; i < count; i++) {
        values[i] = filter->radius - fabs((low + i) * step - centre);
        sum += values[i];
    }
    for (int32_t i = 0; i < count; i++) weights[i] = (float)(values[i] / sum);
    *first = (int32_t)low;
    return count;
}
