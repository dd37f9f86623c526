#include "train/data/synth_face.h"

#include <math.h>
#include <string.h>

/* ---- tools ---- */

float fkp_smooth_step(float low, float high, float x) {
    const float t = fminf(fmaxf((x - low) / (high - low), 0.0f), 1.0f);
    return t * t * (3.0f - 2.0f * t);
}

static float corner_noise(uint64_t key, int32_t x, int32_t y) {
    return fkp_to_uniform(fkp_mix64(key ^ fkp_mix64((uint64_t)(uint32_t)x << 32 | (uint32_t)y)));
}

float fkp_value_noise(uint64_t key, float x, float y) {
    const float left = floorf(x), top = floorf(y);
    const int32_t i = (int32_t)left, j = (int32_t)top;
    const float s = fkp_smooth_step(0.0f, 1.0f, x - left), t = fkp_smooth_step(0.0f, 1.0f, y - top);
    const float upper = corner_noise(key, i, j) * (1.0f - s) + corner_noise(key, i + 1, j) * s;
    const float lower = corner_noise(key, i, j + 1) * (1.0f - s) + corner_noise(key, i + 1, j + 1) * s;
    return upper * (1.0f - t) + lower * t;
}

/* Catmull-Rom between b and c. */
static float spline(float a, float b, float c, float d, float t) {
    return b + 0.5f * t * (c - a + t * (2.0f * a - 5.0f * b + 4.0f * c - d + t * (3.0f * (b - c) + d - a)));
}

float fkp_synth_curve(const float points[][2], int32_t count, float x) {
    if (x <= points[0][0]) return points[0][1];
    if (x >= points[count - 1][0]) return points[count - 1][1];
    int32_t i = 0;
    while (x > points[i + 1][0]) i++;
    const int32_t before = i > 0 ? i - 1 : 0, after = i + 2 < count ? i + 2 : count - 1;
    const float t = (x - points[i][0]) / (points[i + 1][0] - points[i][0]);
    return spline(points[before][1], points[i][1], points[i + 1][1], points[after][1], t);
}

/* ---- the surface ---- */

static fkp_ring ring_at(const fkp_synth_face *face, float t) {
    const float low = fminf(fmaxf(floorf(t), 0.0f), (float)(FKP_RINGS - 2));
    const int32_t i = (int32_t)low;
    const fkp_ring *b = &face->rings[i], *c = &face->rings[i + 1];
    const fkp_ring *a = i > 0 ? b - 1 : b, *d = i + 2 < FKP_RINGS ? c + 1 : c;
    const float s = t - low;
    return (fkp_ring){spline(a->y, b->y, c->y, d->y, s),
                      fmaxf(spline(a->half_width, b->half_width, c->half_width, d->half_width, s), 0.0f),
                      spline(a->middle, b->middle, c->middle, d->middle, s),
                      spline(a->front, b->front, c->front, d->front, s),
                      spline(a->back, b->back, c->back, d->back, s)};
}

fkp_vector fkp_synth_skull(const fkp_synth_face *face, float t, float angle) {
    const fkp_ring ring = ring_at(face, t);
    const float depth = cosf(angle) > 0.0f ? ring.front - ring.middle : ring.middle - ring.back;
    return (fkp_vector){ring.half_width * sinf(angle), ring.y, ring.middle + depth * cosf(angle)};
}

/* The ridge from between the eyes to the tip, and its fall to the lip. */
static float nose(const fkp_synth_face *face, float x, float y) {
    const float root = face->points[27][1], tip = face->points[30][1], base = face->points[33][1];
    const float along = fminf(fmaxf((root - y) / (root - tip), 0.0f), 1.0f);
    const float width = 0.085f + 0.075f * along;
    const float height = face->nose_height * (0.12f + 0.88f * powf(along, 1.25f));
    const float begins = fkp_smooth_step(root + 0.35f, root - 0.05f, y);
    const float ends = fkp_smooth_step(base - 0.05f, tip - 0.02f, y);
    return height * begins * ends * expf(-x * x / (2.0f * width * width));
}

static float relief(const fkp_synth_face *face, float x, float y) {
    float sum = nose(face, x, y);
    for (int32_t i = 0; i < face->bump_count; i++) {
        const fkp_bump *bump = &face->bumps[i];
        const float u = (x - bump->x) / bump->spread_x, v = (y - bump->y) / bump->spread_y;
        const float distance2 = u * u + v * v;
        if (distance2 < 16.0f) sum += bump->height * expf(-0.5f * distance2);
    }
    return sum;
}

fkp_vector fkp_synth_surface(const fkp_synth_face *face, float t, float angle) {
    fkp_vector place = fkp_synth_skull(face, t, angle);
    const float facing = cosf(angle);
    if (facing > 0.0f) place.z += fkp_smooth_step(0.0f, 0.35f, facing) * relief(face, place.x, place.y);
    return place;
}

fkp_vector fkp_synth_front(const fkp_synth_face *face, float x, float y) {
    float low = 0.0f, high = (float)(FKP_RINGS - 1);
    for (int i = 0; i < 40; i++) {
        const float middle = 0.5f * (low + high);
        if (ring_at(face, middle).y < y)
            low = middle;
        else
            high = middle;
    }
    const float width = ring_at(face, low).half_width;
    return fkp_synth_surface(face, low, asinf(fminf(fmaxf(x / width, -1.0f), 1.0f)));
}

/* ---- a person ---- */

/* Chin to crown. Rings 1 to 8 hold the points 7 to 0 of the jaw (and 9 to 16), ring 0 the chin. */
static const fkp_ring mean_rings[FKP_RINGS] = {
    {-1.442f, 0.02f, 0.86f, 0.88f, 0.70f},   {-1.331f, 0.430f, 0.62f, 1.03f, 0.20f},
    {-1.161f, 0.699f, 0.40f, 1.10f, -0.05f}, {-0.968f, 0.912f, 0.20f, 1.10f, -0.2f},
    {-0.677f, 1.106f, 0.02f, 1.10f, -0.4f},  {-0.328f, 1.220f, -0.10f, 1.13f, -0.7f},
    {-0.013f, 1.287f, -0.15f, 1.14f, -1.0f}, {0.312f, 1.345f, -0.18f, 1.13f, -1.3f},
    {0.670f, 1.362f, -0.18f, 1.12f, -1.5f},  {1.050f, 1.360f, -0.18f, 1.17f, -1.65f},
    {1.500f, 1.300f, -0.18f, 1.13f, -1.65f}, {1.900f, 1.160f, -0.20f, 0.99f, -1.55f},
    {2.250f, 0.920f, -0.22f, 0.74f, -1.30f}, {2.500f, 0.620f, -0.24f, 0.42f, -0.95f},
    {2.640f, 0.300f, -0.26f, 0.06f, -0.60f}, {2.680f, 0.0f, -0.27f, -0.27f, -0.27f}};

/* What makes one face differ from another, and one moment from the next; each about 0 and 1 wide. */
typedef struct character {
    float width, jaw, chin, eye_distance, eye_width, brow_height, brow_slant, nose_length, nose_width,
        mouth_width, lip_height;
    float brow_raise, eye_open, smile, mouth_open;
} character;

static void draw_character(fkp_random *random, character *c) {
    float *values[] = {&c->width,       &c->jaw,        &c->chin,        &c->eye_distance, &c->eye_width,
                       &c->brow_height, &c->brow_slant, &c->nose_length, &c->nose_width,   &c->mouth_width,
                       &c->lip_height,  &c->brow_raise, &c->eye_open};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        *values[i] = fminf(fmaxf(fkp_random_normal(random), -2.0f), 2.0f);
    c->smile = fkp_random_uniform(random) < 0.45f ? fkp_random_uniform(random) : 0.0f;
    c->mouth_open = fkp_random_uniform(random) < 0.45f ? fkp_random_uniform(random) : 0.0f;
}

static void shape_rings(const character *c, fkp_ring *rings) {
    memcpy(rings, mean_rings, sizeof mean_rings);
    for (int32_t i = 0; i < FKP_RINGS; i++) {
        fkp_ring *ring = &rings[i];
        const float low = fkp_smooth_step(0.3f, -1.2f, ring->y),
                    jaw = low * fkp_smooth_step(-1.45f, -0.9f, ring->y);
        ring->half_width *= 1.0f + 0.035f * c->width + 0.06f * c->jaw * jaw;
        ring->y -= low * (0.07f * c->chin + 0.24f * c->mouth_open);
    }
}

static void set_pair(float (*points)[2], int32_t left, int32_t right, float x, float y) {
    points[left][0] = -x;
    points[right][0] = x;
    points[left][1] = points[right][1] = y;
}

static void place_eyes_and_brows(const character *c, float (*points)[2]) {
    const float eye_x = 0.566f + 0.022f * c->eye_distance, half = 0.218f + 0.012f * c->eye_width;
    const float open = fmaxf(1.0f + 0.22f * c->eye_open, 0.25f), y = 0.70f;
    set_pair(points, 36, 45, eye_x + half, y + 0.010f);
    set_pair(points, 37, 44, eye_x + 0.40f * half, y + 0.068f * open);
    set_pair(points, 38, 43, eye_x - 0.36f * half, y + 0.064f * open);
    set_pair(points, 39, 42, eye_x - half, y - 0.014f);
    set_pair(points, 40, 47, eye_x - 0.36f * half, y - 0.052f * open);
    set_pair(points, 41, 46, eye_x + 0.40f * half, y - 0.050f * open);
    static const float brow[5][2] = {
        {1.032f, 1.000f}, {0.874f, 1.092f}, {0.675f, 1.128f}, {0.493f, 1.105f}, {0.331f, 1.060f}};
    for (int32_t i = 0; i < 5; i++) {
        const float inner = (float)i / 4.0f;
        const float raise = 0.025f * c->brow_height + 0.035f * c->brow_raise;
        set_pair(points, 17 + i, 26 - i, brow[i][0],
                 brow[i][1] + raise + 0.03f * c->brow_slant * (inner - 0.5f));
    }
}

static void place_nose(const character *c, float (*points)[2]) {
    const float length = 1.0f + 0.07f * c->nose_length, width = 1.0f + 0.09f * c->nose_width;
    static const float bridge[4] = {0.0f, -0.242f, -0.470f, -0.664f};
    for (int32_t i = 0; i < 4; i++) {
        points[27 + i][0] = 0.0f;
        points[27 + i][1] = 0.687f + length * bridge[i];
    }
    set_pair(points, 31, 35, 0.220f * width, 0.687f - 0.803f * length);
    set_pair(points, 32, 34, 0.122f * width, 0.687f - 0.836f * length);
    points[33][0] = 0.0f;
    points[33][1] = 0.687f - 0.862f * length;
}

static void place_mouth(const character *c, float (*points)[2]) {
    const float half = 0.44f + 0.025f * c->mouth_width + 0.09f * c->smile;
    const float lips = fmaxf(1.0f + 0.2f * c->lip_height - 0.25f * c->smile, 0.45f),
                y = -0.545f - 0.035f * c->nose_length;
    const float corner = y + 0.06f * c->smile - 0.06f * c->mouth_open;
    const float upper = y + 0.01f * c->smile, lower = y - 0.26f * c->mouth_open - 0.012f;
    set_pair(points, 48, 54, half, corner);
    set_pair(points, 49, 53, 0.64f * half, upper + 0.072f * lips);
    set_pair(points, 50, 52, 0.24f * half, upper + 0.120f * lips);
    set_pair(points, 51, 51, 0.0f, upper + 0.100f * lips);
    set_pair(points, 59, 55, 0.62f * half, lower - 0.095f * lips + 0.3f * (corner - y));
    set_pair(points, 58, 56, 0.32f * half, lower - 0.150f * lips);
    set_pair(points, 57, 57, 0.0f, lower - 0.165f * lips);
    set_pair(points, 60, 64, 0.90f * half, corner + 0.002f);
    set_pair(points, 61, 63, 0.34f * half, upper + 0.004f);
    set_pair(points, 62, 62, 0.0f, upper - 0.002f);
    set_pair(points, 67, 65, 0.34f * half, lower + 0.004f);
    set_pair(points, 66, 66, 0.0f, lower - 0.002f);
}

static void add_bump(fkp_synth_face *face, float x, float y, float spread_x, float spread_y, float height) {
    face->bumps[face->bump_count++] = (fkp_bump){x, y, spread_x, spread_y, height};
}

static void add_bumps(fkp_synth_face *face, float (*p)[2]) {
    for (int32_t side = -1; side <= 1; side += 2) {
        const float s = (float)side, eye = 0.5f * (p[42][0] + p[45][0]);
        add_bump(face, s * eye, 0.72f, 0.25f, 0.16f, -0.17f);    /* the socket */
        add_bump(face, s * eye, 0.70f, 0.16f, 0.10f, 0.11f);     /* the eyeball */
        add_bump(face, s * 0.24f, 0.72f, 0.09f, 0.13f, -0.07f);  /* beside the root of the nose */
        add_bump(face, s * 0.52f, 1.03f, 0.34f, 0.09f, 0.06f);   /* the ridge of the brow */
        add_bump(face, s * 0.78f, 0.18f, 0.30f, 0.22f, 0.09f);   /* the cheekbone */
        add_bump(face, s * 0.92f, -0.45f, 0.25f, 0.30f, -0.05f); /* the hollow below it */
        add_bump(face, s * p[35][0] * 0.78f, p[35][1] + 0.06f, 0.075f, 0.085f,
                 0.17f); /* the nostril's wing */
    }
    const float half = p[54][0];
    add_bump(face, 0.0f, p[51][1] - 0.06f, 0.55f * half, 0.07f, 0.10f);
    add_bump(face, 0.0f, p[57][1] + 0.08f, 0.48f * half, 0.07f, 0.12f);
    add_bump(face, 0.0f, 0.5f * (p[62][1] + p[66][1]), 0.60f * half, 0.02f + 0.5f * (p[62][1] - p[66][1]),
             -0.06f);
    add_bump(face, 0.0f, p[57][1] - 0.10f, 0.28f, 0.07f, -0.07f); /* between lip and chin */
    add_bump(face, 0.0f, face->rings[0].y + 0.30f, 0.26f, 0.16f, 0.11f);
    add_bump(face, 0.0f, 1.45f, 0.6f, 0.25f, 0.05f); /* the forehead */
}

static void draw_appearance(fkp_random *random, fkp_synth_face *face) {
    face->skin = 0.16f + 0.44f * sqrtf(fkp_random_uniform(random));
    face->lips = face->skin * fkp_random_between(random, 0.45f, 0.75f);
    const float dark = fkp_random_uniform(random);
    face->hair =
        0.012f + 0.30f * dark * dark * dark * dark + (fkp_random_uniform(random) < 0.10f ? 0.2f : 0.0f);
    face->brows = fminf(face->hair * 0.8f, face->skin * 0.5f);
    face->iris = fkp_random_between(random, 0.02f, 0.16f);
    face->iris_radius = fkp_random_between(random, 0.096f, 0.112f);
    face->gaze_x = 0.05f * fkp_random_normal(random);
    face->gaze_y = 0.012f * fkp_random_normal(random);
    face->beard = fkp_random_uniform(random) < 0.3f ? fkp_random_between(random, 0.2f, 0.9f) : 0.0f;
    face->wrinkles = fkp_random_uniform(random) * fkp_random_uniform(random);
    face->long_hair = face->beard == 0.0f && fkp_random_uniform(random) < 0.5f;
    face->hairline = fkp_random_between(random, 1.65f, 2.05f);
    if (!face->long_hair && fkp_random_uniform(random) < 0.12f) face->hairline = 4.0f;
    face->glasses = fkp_random_uniform(random) < 0.15f;
    face->glasses_shade = fkp_random_between(random, 0.01f, 0.2f);
    face->cloth = fkp_random_between(random, 0.02f, 0.5f);
    face->shirt = fkp_random_between(random, 0.3f, 0.8f);
    face->neckline = face->long_hair ? fkp_random_uniform(random) : 0.2f * fkp_random_uniform(random);
    face->jacket = fkp_random_uniform(random) < (face->long_hair ? 0.3f : 0.75f);
    face->nose_height = fkp_random_between(random, 0.30f, 0.46f);
    face->noise = fkp_random_next(random);
}

void fkp_synth_face_draw(fkp_random *random, fkp_synth_face *face) {
    memset(face, 0, sizeof *face);
    character c;
    draw_character(random, &c);
    face->mouth_open = c.mouth_open;
    shape_rings(&c, face->rings);
    for (int32_t i = 0; i < 8; i++)
        set_pair(face->points, i, 16 - i, face->rings[8 - i].half_width, face->rings[8 - i].y);
    face->points[8][1] = face->rings[0].y;
    place_eyes_and_brows(&c, face->points);
    place_nose(&c, face->points);
    place_mouth(&c, face->points);
    draw_appearance(random, face);
    add_bumps(face, face->points);
}
