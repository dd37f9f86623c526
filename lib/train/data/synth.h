/* Rendered faces with their exact 68 points: something to train on where there is no data, to test with, and
 * to show. Each face is a pure function of (seed, index). */
#ifndef FKP_SYNTH_H
#define FKP_SYNTH_H

#include "base/memory.h"

#define FKP_SYNTH_SMALLEST 32
#define FKP_SYNTH_LARGEST 2048

/* Renders face `index` of the series `seed`.
 *  size    side of the picture in pixels, FKP_SYNTH_SMALLEST to FKP_SYNTH_LARGEST.
 *  gray    receives size x size bytes.
 *  points  receives 68 x 2, in pixels, in the iBUG order; the jaw is the visible outline, as annotators draw
 * it. The face's box takes about as much of the picture as in ytfaces68. */
facekp_status fkp_synth_render(const fkp_memory *memory, uint64_t seed, uint64_t index, int32_t size,
                               uint8_t *gray, float *points, fkp_error *error);

#endif
