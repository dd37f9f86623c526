/* Pictures of results: points over the image, heatmaps. */
#ifndef DRAWING_H
#define DRAWING_H

#include <stdbool.h>
#include <stddef.h>

#include "facekp/facekp.h"

/* Draws the points of some faces (face_count x keypoints x 2; NULL entries of `failed` aside) over the image
 * file in colour, enlarged when it is small, and writes a PNG. Complains and returns false on failure. */
bool draw_overlay(const char *image, const char *output, const float *points, const int32_t *statuses,
                  size_t face_count, size_t keypoints);

/* Writes the maps of one face, each softmax against its peak, as NAME-00.png … and their sum as NAME-sum.png.
 * logits: as many maps as the model's info says. */
bool draw_heatmaps(const char *image, const char *folder, size_t face, const float *logits,
                   const facekp_model_info *info);

#endif
