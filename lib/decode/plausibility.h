/* How much a shape looks like a face: what stands for confidence where a network expresses none. */
#ifndef FKP_PLAUSIBILITY_H
#define FKP_PLAUSIBILITY_H

#include <stddef.h>

/* points: count x (x, y), any place, size and turn. confidences: count numbers, exp(-d^2 / (2 (3 s)^2)) for a
 * point d away from its place in the mean face fitted to the shape, where points of real faces have standard
 * deviation s an axis. All 0 for a collapsed or not finite shape, and for a count other than 68. */
void fkp_shape_plausibility(const float *points, size_t count, float *confidences);

#endif
