/* Faces with their points, read from a CSV file and a folder of PNG images.
 *
 * The header names the columns. Two layouts are understood:
 *   image,x0,y0,x1,y1,…      any order, other columns are ignored
 *   (no name),0,1,2,3,…      the Udacity layout: 2 k is x of point k, 2 k + 1 its y
 * Coordinates are pixels of the stored image. The images lie in `folder`; without one, in the folder named as
 * the CSV without its ending (train.csv: train/), else, for NAME_frames_keypoints.csv, in NAME/, else beside
 * the CSV.
 *
 * What can be wrong, and its status; the message names file and line:
 *   a column is missing (67 points where 68 are asked for)            FACEKP_ERROR_FORMAT, always fatal
 *   a row with too few fields, or a cell that is not a number         FACEKP_ERROR_FORMAT
 *   a coordinate that is NaN or infinite                              FACEKP_ERROR_VALUE
 *   a point further outside the image than its longer side            FACEKP_ERROR_VALUE
 *   an image that is missing, unreadable or no PNG                    as fkp_png_read says
 *   no good row at all                                                FACEKP_ERROR_FORMAT, always fatal
 * All but those marked fatal are skipped, with a warning to the log, when `skip_bad` is set. */
#ifndef FKP_DATASET_H
#define FKP_DATASET_H

#include <stdbool.h>

#include "image/image.h"

#define FKP_MAX_KEYPOINTS 1024
#define FKP_DEFAULT_CACHE_BYTES ((size_t)1 << 30)

typedef struct fkp_dataset_options {
    size_t keypoints; /* 0: as many as the header names */
    const char *folder;
    bool skip_bad;
    float label_bias[2]; /* constant offset of this file's labels, pixels of the 224 crop */
    facekp_log log;
    void *log_user;
} fkp_dataset_options;

typedef struct fkp_face {
    char *name; /* as in the CSV */
    char *path; /* of the image */
    int32_t width, height;
    float label_bias[2];
    facekp_picture *picture; /* decoded, gray; NULL beyond the cache's limit: read again at each use */
} fkp_face;

typedef struct fkp_dataset {
    fkp_memory memory;
    size_t keypoints;
    size_t count, capacity;
    fkp_face *faces;
    float *points; /* count x keypoints x 2 */
    size_t skipped;
    size_t cache_bytes, cached;
} fkp_dataset;

/* cache_bytes: how much decoded images may take; 0: FKP_DEFAULT_CACHE_BYTES. */
facekp_status fkp_dataset_create(const fkp_memory *memory, size_t cache_bytes, fkp_dataset **dataset,
                                 fkp_error *error);
/* Appends the faces of one CSV file; every image is decoded once, so that nothing bad is left to be found
 * hours later. All files of a data set have the same number of points. On failure the data set is as before.
 */
facekp_status fkp_dataset_add(fkp_dataset *dataset, const char *csv_path, const fkp_dataset_options *options,
                              fkp_error *error);
void fkp_dataset_free(fkp_dataset *dataset);

static inline const float *fkp_dataset_points(const fkp_dataset *dataset, size_t face) {
    return dataset->points + face * dataset->keypoints * 2;
}

/* The face's image, 8-bit gray; *owned is the picture to free after use (fkp_picture_free), or NULL if it is
 * the cached one. From any thread: `memory` is the caller's. */
facekp_status fkp_dataset_image(const fkp_dataset *dataset, size_t face, const fkp_memory *memory,
                                facekp_image *image, facekp_picture **owned, fkp_error *error);

#endif
