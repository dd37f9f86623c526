/* Grids of vertices to pixels, nearest first by a depth buffer. */
#ifndef FKP_SYNTH_RASTER_H
#define FKP_SYNTH_RASTER_H

#include "train/data/synth_face.h"

typedef struct fkp_vertex {
    fkp_vector place;  /* in the camera's space: x right, y up, z towards it */
    fkp_vector normal; /* of length 1 */
    float column, row; /* pixels, y down */
    float u, v;        /* what the painter wants to know: on the head, x and y of its front */
    float angle;       /* around the vertical axis; 0 is the front */
} fkp_vertex;

typedef struct fkp_canvas {
    int32_t size;
    float *light; /* size x size */
    float *depth; /* z of what is nearest */
} fkp_canvas;

/* Light that comes from a place of the surface; negative: there is none, look through. */
typedef float (*fkp_shader)(const void *context, const fkp_vertex *at);

/* normal of each of rows x columns vertices from its neighbours' places; `outwards` 1 or -1. */
void fkp_grid_normals(fkp_vertex *vertices, int32_t rows, int32_t columns, float outwards);
void fkp_draw_grid(fkp_canvas *canvas, const fkp_vertex *vertices, int32_t rows, int32_t columns,
                   fkp_shader shader, const void *context);

#endif
