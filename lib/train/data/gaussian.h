/* A Gaussian filter, separable, cut at four deviations and normalised. Beyond the border the border's own
 * values go on. */
#ifndef FKP_GAUSSIAN_H
#define FKP_GAUSSIAN_H

#include <stdint.h>

#define FKP_MAX_GAUSSIAN_RADIUS 64

/* weights[0 .. radius], of offset 0 to radius; they sum to one over both sides. Returns the radius. */
int32_t fkp_gaussian_weights(float sigma, float *weights);

/* Blurs height x width floats in place; scratch is as large. */
void fkp_gaussian_blur(float sigma, int32_t width, int32_t height, float *image, float *scratch);

#endif
