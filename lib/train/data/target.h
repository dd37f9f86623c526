/* Places on a grid of size x size cells that covers the 224 crop: the centre of cell c lies at pixel
 * (c + 0.5) 224 / size - 0.5, as decode.h has it. The grid may be a heatmap or a network's smaller input. The
 * target heatmaps themselves are made by the losses (losses.h). */
#ifndef FKP_TARGET_H
#define FKP_TARGET_H

#include <stddef.h>

/* From a normalised coordinate to cells, the centre of the first being 0. */
double fkp_target_cell(float normalised, size_t size);
/* The same for count numbers. */
void fkp_target_cells(const float *normalised, size_t count, size_t size, float *cells);

#endif
