/* Rows of an image of any format as gray numbers. */
#ifndef FKP_GRAY_ROWS_H
#define FKP_GRAY_ROWS_H

#include "image/image.h"

/* sums[i] += weight * gray(pixel step * (first + i) of row y), for count pixels. Gray is whole, in units of
 * 1 / fkp_gray_unit(), where the pixels are bytes, so that one pixel alone comes out exact. */
void fkp_add_gray_row(const facekp_image *image, int32_t y, int32_t first, int32_t step, int32_t count,
                      float weight, float *sums);
float fkp_gray_unit(int32_t format);

#endif
