/* The pixels of an image of any format as gray numbers. */
#ifndef FKP_GRAY_ROWS_H
#define FKP_GRAY_ROWS_H

#include "image/image.h"

/* An image made ready for reading. Gray is in units of 1 / unit: whole numbers where the pixels are bytes, so
 * that a pixel taken alone comes out exact. */
typedef struct fkp_gray_rows {
    const uint8_t *data;
    ptrdiff_t stride;
    ptrdiff_t pixel_bytes;
    int32_t format;
    float unit;
} fkp_gray_rows;

/* The image must have passed fkp_image_check(). */
fkp_gray_rows fkp_gray_rows_of(const facekp_image *image);

/* Taps at pixels step * first, step * (first + 1), … along one axis. */
typedef struct fkp_taps {
    int32_t first, count, step;
    const float *weights;
} fkp_taps;

/* sums[i] += weight * gray(step * (first + i), y), for count pixels. */
void fkp_add_gray_row(const fkp_gray_rows *rows, int32_t y, int32_t first, int32_t count, int32_t step,
                      float weight, float *sums);
/* The weighted sum over a window. */
float fkp_weigh_gray(const fkp_gray_rows *rows, const fkp_taps *across, const fkp_taps *down);

#endif
