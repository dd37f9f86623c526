/* Line charts with axes, ticks, labels and a legend. */
#ifndef FKP_CHART_H
#define FKP_CHART_H

#include "image/image.h"

#define FKP_MAX_SERIES 16

typedef struct fkp_series {
    const char *label;
    const double *x, *y; /* points whose y is NaN (or, on a log scale, not above zero) break the line */
    size_t count;
} fkp_series;

typedef struct fkp_chart {
    const char *title, *x_label, *y_label;
    const fkp_series *series;
    size_t series_count;
    bool log_y;
    bool legend_below;                   /* in the lower right corner, not the upper */
    bool whole_x;                        /* x counts something: no ticks between whole numbers */
    double x_low, x_high, y_low, y_high; /* low == high: from the data */
    int32_t width, height;               /* 0: 960 x 600 */
} fkp_chart;

facekp_status fkp_chart_draw(const fkp_memory *memory, const fkp_chart *chart, facekp_picture **picture,
                             fkp_error *error);

/* Tick marks: the values k * step inside [low, high], for the step of 1, 2 or 5 times a power of ten that
 * gives at most `most` of them. Returns the step. */
double fkp_tick_step(double low, double high, int most);

#endif
