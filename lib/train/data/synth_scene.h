/* A person before a camera, and the light on them. */
#ifndef FKP_SYNTH_SCENE_H
#define FKP_SYNTH_SCENE_H

#include "train/data/synth_raster.h"

typedef struct fkp_pose {
    float matrix[3][3];
    fkp_vector pivot; /* stays where it is */
} fkp_pose;

typedef struct fkp_synth_scene {
    fkp_synth_face face;
    fkp_pose head, body;
    fkp_vector light; /* direction to it, of length 1 */
    float key, ambient;
    float distance, scale, centre_x, centre_y; /* the camera; a picture has side 1 */
} fkp_synth_scene;

fkp_vector fkp_posed(const fkp_pose *pose, fkp_vector place);
/* Where a place in the camera's space is seen in a picture of side 1. */
void fkp_project(const fkp_synth_scene *scene, fkp_vector place, float *x, float *y);

/* Vertices that the largest part needs. */
size_t fkp_synth_most_vertices(void);
/* Draws body, head, ears, hair and spectacles. `vertices` is scratch for the most that a part needs. */
void fkp_synth_draw_person(const fkp_synth_scene *scene, fkp_canvas *canvas, fkp_vertex *vertices);

#endif
