/* The target of a heatmap: a one at the keypoint's cell, then a Gaussian filter, which is a product of two
 * profiles. */
#ifndef FKP_TARGET_PROFILE_H
#define FKP_TARGET_PROFILE_H

#include "graph/graph.h"

/* Whether the cell nearest to a coordinate lies in [0, size). NaN does not. */
bool fkp_target_inside(float coordinate, size_t size);
/* profile[i * step], i < size: the Gaussian of deviation sigma about the nearest cell, cut at 4 sigma (as
 * scipy.ndimage.gaussian_filter), of sum one, what falls over a border being reflected back (d c b a | a b c
 * d). Returns false, with zeros, when the coordinate is outside. */
bool fkp_target_profile(float coordinate, size_t size, double sigma, float *profile, size_t step);
/* The map of one keypoint: map[(y * width + x) * channels]. */
void fkp_target_map(const float point[2], fkp_shape shape, double sigma, float *map);

#endif
