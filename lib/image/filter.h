/* The triangle filter along one axis: bilinear interpolation where an image is enlarged, and stretched to the
 * size of an output pixel where it is reduced, so that nothing aliases. */
#ifndef FKP_FILTER_H
#define FKP_FILTER_H

#include <stdint.h>

/* A filter of a greater radius than 32 looks at every second pixel, then every third, …: what a reduction by
 * a thousand costs is bounded, and thousands of pixels still go into each. */
#define FKP_FILTER_RADIUS 32
#define FKP_FILTER_TAPS (2 * FKP_FILTER_RADIUS)

typedef struct fkp_filter {
    double radius; /* pixels, at least 1 */
    int32_t step;  /* pixels from tap to tap; taps lie at multiples of it */
    int32_t taps;  /* the most that any centre has */
} fkp_filter;

/* The filter for `reduction` input pixels an output pixel; its sign does not matter. */
fkp_filter fkp_filter_of(double reduction);

/* The taps around `centre` that exist in [0, size), at pixels step * *first, step * (*first + 1), …, and
 * their weights, which sum to 1. Returns how many; 0 when the centre is outside of [-1/2, size - 1/2), or
 * NaN. */
int32_t fkp_filter_taps(const fkp_filter *filter, double centre, int32_t size, int32_t *first,
                        float *weights);

#endif
