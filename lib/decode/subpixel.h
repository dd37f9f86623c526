/* Finer than a cell: the two refinements of a heatmap's peak. Positions are in cells. */
#ifndef FKP_SUBPIXEL_H
#define FKP_SUBPIXEL_H

#include <stddef.h>
#include <stdint.h>

typedef struct fkp_peak {
    int32_t x, y;
    float logit; /* finite, and no other of the map is greater */
} fkp_peak;

typedef struct fkp_map {
    const float *logits;
    int32_t height, width;
} fkp_map;

/* The softmax of a cell relative to that of the peak: 0 to 1; 0 for NaN. */
float fkp_relative_softmax(const fkp_map *map, const fkp_peak *peak, int32_t x, int32_t y);

/* The mean of the softmax in a window around the peak, clipped at the borders of the map. A window around the
 * peak's cell cuts the two flanks unevenly when the mode lies off the middle of that cell, and so pulls
 * the mean towards it: the window is moved to the mean until it rests there (mean shift: Comaniciu & Meer,
 * PAMI 2002). */
void fkp_soft_argmax(const fkp_map *map, const fkp_peak *peak, int32_t window, double *x, double *y);

/* DARK (Zhang et al.: Distribution-Aware Coordinate Representation for Human Pose Estimation, CVPR 2020): the
 * softmax is smoothed by a Gaussian, and a Newton step on its logarithm leads from the peak to the mode.
 * Where that is no maximum, or further than two cells, or too near to a border, the peak itself. */
void fkp_dark(const fkp_map *map, const fkp_peak *peak, double *x, double *y);

#endif
