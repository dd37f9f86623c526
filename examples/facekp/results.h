/* The points of faces, as CSV, JSON or .pts. */
#ifndef RESULTS_H
#define RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum result_format { RESULT_CSV, RESULT_JSON, RESULT_PTS } result_format;

/* One face of one image. A failed one has `error` set and no points. */
typedef struct face_result {
    const char *file;
    size_t face;              /* among the faces of the image */
    const float *box;         /* x, y, width, height; NULL: the whole image */
    const char *error;        /* NULL: success */
    const float *points;      /* keypoints x 2 */
    const float *confidences; /* keypoints */
    const float *transform;   /* 6 numbers, crop -> image */
} face_result;

typedef struct result_writer {
    result_format format;
    size_t keypoints;
    FILE *stream;       /* NULL with a folder */
    const char *folder; /* of .pts files, one a face */
    size_t written;
} result_writer;

/* `output` NULL: standard output. With RESULT_PTS it may be a folder. Complains and returns false on failure.
 */
bool results_open(result_writer *writer, result_format format, size_t keypoints, const char *output);
bool results_write(result_writer *writer, const face_result *result);
/* False, with a complaint, when something could not be written. */
bool results_close(result_writer *writer);

#endif
