/* Raw network output -> points in pixels of the input crop. */
#ifndef FKP_DECODE_H
#define FKP_DECODE_H

#include "base/status.h"

#define FKP_INPUT_CROP 224.0
#define FKP_COORDINATE_SCALE 50.0f
#define FKP_COORDINATE_OFFSET 100.0f

/* p = 50 q + 100, for count numbers. */
void fkp_decode_regression(const float *raw, size_t count, float *points);

typedef struct fkp_heatmap_options {
    int32_t method; /* FACEKP_DECODE_… */
    int32_t window; /* cells a side, odd: of the soft-argmax and of the confidence */
} fkp_heatmap_options;

/* Checks and defaults of the public options. */
facekp_status fkp_heatmap_options_from(const facekp_predict_options *options, fkp_heatmap_options *result,
                                       fkp_error *error);
/* One map of logits -> point (pixels of the 224 crop) and confidence: the share of the softmax over all cells
 * that lies in the window around the peak. Ties go to the first cell in row order; NaN cells count as the
 * smallest value. A map without a finite peak (all NaN, or an infinity) gives NaN and confidence 0. */
void fkp_decode_heatmap(const float *logits, int32_t height, int32_t width,
                        const fkp_heatmap_options *options, float *point, float *confidence);

#endif
