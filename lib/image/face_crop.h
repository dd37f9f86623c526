/* Where the network looks: the maps from a crop to the caller's image. */
#ifndef FKP_FACE_CROP_H
#define FKP_FACE_CROP_H

#include "image/image.h"

/* The share of the crop's side that the longer side of the landmark box takes in the training data: 110 of
 * 224 pixels in the median of its 3462 faces under the preprocessing of record. */
#define FKP_BOX_FILL 0.48
/* Longest side of a box: four times the longest image. */
#define FKP_MAX_BOX (4.0f * FKP_MAX_SIDE)

/* The preprocessing of record on an image that stands upright after image->rotation. */
fkp_affine fkp_crop_of_image(const facekp_image *image, int32_t size);

/* Checks a caller's box (x, y, width, height) against the image. */
facekp_status fkp_box_check(const float *box, const facekp_image *image, fkp_error *error);
/* The crop in which a tight landmark box lies as it does in the training data: `fill` of the side, and lower
 * than the middle by an eighth of the room that is left. */
fkp_affine fkp_crop_of_face(const float *box, const facekp_image *image, int32_t size);

/* The crop around count points (x, y in the image), turned so that the eyes of a 68-point face are level.
 * False when the points give none: not finite, all in one place, or far outside of the image. */
bool fkp_crop_of_points(const float *points, size_t count, const facekp_image *image, int32_t size,
                        double fill, fkp_affine *crop);

#endif
