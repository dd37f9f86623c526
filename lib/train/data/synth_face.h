/* One rendered person: a head whose surface is known in closed form, where its features lie, and what it is
 * painted with. Units are those of the mean face of lib/decode/plausibility.c, so that its proportions are
 * those of the real set; x to the right of the picture, y up, z towards the viewer. */
#ifndef FKP_SYNTH_FACE_H
#define FKP_SYNTH_FACE_H

#include <stdbool.h>

#include "base/random.h"
#include "facekp/facekp.h"

typedef struct fkp_vector {
    float x, y, z;
} fkp_vector;

/* A head is a stack of rings from chin to crown: half an ellipse in front of a ring's widest place, half a
 * deeper or flatter one behind it. Positions in between are splines of these. */
typedef struct fkp_ring {
    float y;
    float half_width;
    float middle; /* z of the widest place: the silhouette seen from the front */
    float front, back;
} fkp_ring;

enum { FKP_RINGS = 16, FKP_MAX_BUMPS = 32 };

/* A Gaussian hill or dent of the surface, seen from the front. */
typedef struct fkp_bump {
    float x, y, spread_x, spread_y, height;
} fkp_bump;

typedef struct fkp_synth_face {
    fkp_ring rings[FKP_RINGS];
    fkp_bump bumps[FKP_MAX_BUMPS];
    int32_t bump_count;
    float points[FACEKP_KEYPOINTS][2]; /* x, y of each, seen from the front */
    float nose_height;
    /* Reflectances in linear light, 0 to 1. */
    float skin, lips, hair, brows, iris, cloth, shirt;
    float iris_radius, gaze_x, gaze_y;
    float beard;    /* 0: none */
    float wrinkles; /* 0 to 1 */
    float mouth_open;
    float hairline; /* y of the hair over the forehead; above the crown: bald */
    float neckline; /* how far the clothes are open in front, 0 to 1 */
    bool long_hair, glasses, jacket;
    float glasses_shade;
    uint64_t noise; /* key of its textures */
} fkp_synth_face;

void fkp_synth_face_draw(fkp_random *random, fkp_synth_face *face);

/* The surface at ring position t in [0, FKP_RINGS - 1] and angle (0: front, positive to the picture's right).
 */
fkp_vector fkp_synth_surface(const fkp_synth_face *face, float t, float angle);
/* The same without bumps: what hair and ears are fastened to. */
fkp_vector fkp_synth_skull(const fkp_synth_face *face, float t, float angle);
/* The surface under (x, y), seen from the front. */
fkp_vector fkp_synth_front(const fkp_synth_face *face, float x, float y);

/* y at x of the smooth curve through `count` points of rising x; beyond its ends, the ends' y. */
float fkp_synth_curve(const float points[][2], int32_t count, float x);
/* 0 below `low`, 1 above `high`, smooth between; downwards if low > high. */
float fkp_smooth_step(float low, float high, float x);
/* Noise in [0, 1) that changes over distances of about 1. */
float fkp_value_noise(uint64_t key, float x, float y);

/* Reflectance of the head's skin, eyes, brows and mouth at (x, y) of its front; *gloss: 0 matt to 1 wet. */
float fkp_synth_paint(const fkp_synth_face *face, float x, float y, float *gloss);

#endif
