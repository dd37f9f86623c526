/* What a face is painted with. Every edge of eyes, brows and lips is the curve through its points, so that
 * the points are exact by construction. */
#include <math.h>

#include "train/data/synth_face.h"

static float mix(float from, float to, float share) { return from + (to - from) * share; }
static float hill(float x, float spread) { return expf(-0.5f * x * x / (spread * spread)); }

/* The curve through named points, at x. */
static float edge(const fkp_synth_face *face, const int32_t *indices, int32_t count, float x) {
    enum { MOST = 7 };
    float points[MOST][2] = {{0.0f}};
    for (int32_t i = 0; i < count; i++) {
        points[i][0] = face->points[indices[i]][0];
        points[i][1] = face->points[indices[i]][1];
    }
    return fkp_synth_curve((const float(*)[2])points, count, x);
}

/* ---- skin ---- */

static float paint_skin(const fkp_synth_face *face, float x, float y, float *gloss) {
    const float mottle = fkp_value_noise(face->noise, 3.0f * x, 3.0f * y) - 0.5f;
    const float pores = fkp_value_noise(face->noise + 1, 40.0f * x, 40.0f * y) - 0.5f;
    float skin = face->skin * (1.0f + 0.10f * mottle + 0.07f * pores);
    const float across = fabsf(x);
    /* The fold from the nose to the corner of the mouth. */
    const float fold_y = face->points[31][1] + 0.02f, corner_y = face->points[48][1] - 0.08f;
    const float along = fminf(fmaxf((fold_y - y) / (fold_y - corner_y), 0.0f), 1.0f);
    const float fold_x = mix(face->points[35][0] + 0.07f, face->points[54][0] + 0.10f, along);
    const float fold = hill(across - fold_x, 0.03f) * fkp_smooth_step(0.0f, 0.2f, along) *
                       fkp_smooth_step(1.0f, 0.8f, along);
    skin *= 1.0f - (0.10f + 0.25f * face->wrinkles) * fold;
    /* Lines on the forehead, and shade in the eye sockets. */
    const float lines = sinf(26.0f * (y + 0.05f * sinf(2.0f * x))) * fkp_smooth_step(1.25f, 1.4f, y);
    skin *= 1.0f - 0.16f * face->wrinkles * fmaxf(lines, 0.0f) * hill(x, 0.6f);
    skin *= 1.0f - 0.22f * hill(across - 0.5f, 0.28f) * hill(y - 0.75f, 0.14f);
    skin *= 1.0f - (0.08f + 0.2f * face->wrinkles) * hill(across - 0.52f, 0.16f) * hill(y - 0.55f, 0.04f);
    *gloss = 0.25f + 0.25f * hill(x, 0.15f);
    return skin;
}

/* From below the nose down along the mouth's folds, over the cheeks and up to the ears. */
static float paint_beard(const fkp_synth_face *face, float x, float y, float skin) {
    const float across = fabsf(x), lip = 0.4f * face->points[33][1] + 0.6f * face->points[51][1];
    const float cheek = mix(lip, -0.42f, fkp_smooth_step(0.35f, 0.62f, across));
    const float upper = mix(cheek, 0.40f, fkp_smooth_step(0.75f, 1.25f, across));
    const float area = fkp_smooth_step(upper + 0.10f, upper - 0.12f, y);
    const float hairs = 0.6f + 0.4f * fkp_value_noise(face->noise + 2, 45.0f * x, 30.0f * y);
    return mix(skin, fminf(1.3f * face->hair, skin), face->beard * area * hairs);
}

static float paint_nostrils(const fkp_synth_face *face, float x, float y, float skin) {
    const float centre_x = 0.52f * face->points[35][0], centre_y = face->points[33][1] + 0.035f;
    const float u = (fabsf(x) - centre_x) / 0.062f, v = (y - centre_y) / 0.028f;
    const float below = hill(x, 0.16f) * hill(y - face->points[33][1] + 0.03f, 0.04f);
    return mix(skin, 0.02f, 0.75f * fkp_smooth_step(1.25f, 0.55f, sqrtf(u * u + v * v))) *
           (1.0f - 0.2f * below);
}

/* ---- mouth ---- */

static float paint_inner_mouth(const fkp_synth_face *face, float x, float y, float upper, float lower) {
    const float half = face->points[64][0], gap = upper - lower;
    const float dark = 0.025f;
    if (gap < 0.05f) return dark;
    const float teeth_end = upper - fminf(0.13f, 0.75f * gap);
    const float teeth =
        fkp_smooth_step(teeth_end - 0.012f, teeth_end, y) * fkp_smooth_step(half, 0.75f * half, fabsf(x));
    const float between = 1.0f - 0.35f * hill(sinf(27.0f * x), 0.12f);
    const float tongue = fkp_smooth_step(lower + 0.5f * gap, lower + 0.1f * gap, y);
    return mix(mix(dark, 0.10f, tongue), 0.55f * between, teeth);
}

static float paint_mouth(const fkp_synth_face *face, float x, float y, float skin, float *gloss) {
    static const int32_t upper_outer[] = {48, 49, 50, 51, 52, 53, 54},
                         lower_outer[] = {48, 59, 58, 57, 56, 55, 54};
    static const int32_t upper_inner[] = {48, 60, 61, 62, 63, 64, 54},
                         lower_inner[] = {48, 60, 67, 66, 65, 64, 54};
    const float half = face->points[54][0];
    if (fabsf(x) > half + 0.06f) return skin;
    const float top = edge(face, upper_outer, 7, x), bottom = edge(face, lower_outer, 7, x);
    const float shade = 1.0f - 0.22f * hill(y - bottom + 0.05f, 0.035f) * hill(x, 0.5f * half);
    const float corner = 1.0f - 0.4f * hill(fabsf(x) - half, 0.035f) * hill(y - face->points[54][1], 0.03f);
    skin *= shade * corner;
    const float inside = fminf(top - y, y - bottom);
    if (inside < -0.03f || fabsf(x) > half) return skin;
    const float upper = edge(face, upper_inner, 7, x), lower = edge(face, lower_inner, 7, x);
    if (y < upper && y > lower) return paint_inner_mouth(face, x, y, upper, lower);
    const float creases = fkp_value_noise(face->noise + 3, 30.0f * x, 4.0f * y) - 0.5f;
    const float is_upper = y >= upper ? 0.82f : 1.0f;
    const float lip = face->lips * is_upper * (1.0f + 0.15f * creases);
    const float share = fkp_smooth_step(-0.012f, 0.012f, inside);
    *gloss = mix(*gloss, 0.8f, share);
    const float line = 1.0f - 0.5f * (hill(y - upper, 0.012f) + hill(y - lower, 0.012f)) * 0.7f;
    return mix(skin, lip, share) * line;
}

/* ---- eyes ---- */

static float paint_eyeball(const fkp_synth_face *face, float x, float y, float centre_x, float centre_y,
                           float lid, float half) {
    const float u = x - centre_x - face->gaze_x, v = y - centre_y - face->gaze_y;
    const float distance = sqrtf(u * u + v * v), radius = face->iris_radius, pupil = 0.43f * radius;
    const float glint_u = u + 0.035f, glint_v = v - 0.035f;
    if (glint_u * glint_u + glint_v * glint_v < 0.018f * 0.018f) return 1.6f;
    const float lid_shade = 0.55f + 0.45f * fkp_smooth_step(0.0f, 0.05f, lid - y);
    const float corner = 1.0f - 0.45f * fkp_smooth_step(0.5f * half, half, fabsf(x - centre_x));
    const float rays = 0.8f + 0.4f * fkp_value_noise(face->noise + 4, 6.0f * atan2f(v, u), 20.0f * distance);
    const float rim = 1.0f - 0.6f * fkp_smooth_step(0.75f * radius, radius, distance);
    const float iris =
        mix(0.004f, face->iris * rays * rim, fkp_smooth_step(pupil - 0.006f, pupil + 0.006f, distance));
    return lid_shade * mix(iris, 0.55f * corner, fkp_smooth_step(radius - 0.008f, radius + 0.008f, distance));
}

static float paint_eye(const fkp_synth_face *face, bool right, float x, float y, float skin, float *gloss) {
    static const int32_t upper_lid[2][4] = {{36, 37, 38, 39}, {42, 43, 44, 45}};
    static const int32_t lower_lid[2][4] = {{36, 41, 40, 39}, {42, 47, 46, 45}};
    const int32_t *above = upper_lid[right], *below = lower_lid[right];
    const float begin = face->points[above[0]][0], end = face->points[above[3]][0];
    const float centre = 0.5f * (begin + end), half = 0.5f * (end - begin);
    if (fabsf(x - centre) > 1.25f * half || fabsf(y - 0.7f) > 0.3f) return skin;
    const float lid = edge(face, above, 4, x), lower = edge(face, below, 4, x);
    if (y <= lid && y >= lower) {
        const float middle = 0.5f * (edge(face, above, 4, centre) + edge(face, below, 4, centre));
        *gloss = 1.0f;
        return paint_eyeball(face, x, y, centre, middle, lid, half);
    }
    const float within = fkp_smooth_step(1.15f, 0.95f, fabsf(x - centre) / half);
    const float crease = hill(y - lid - 0.075f, 0.014f) * within;
    const float upper_lashes = fkp_smooth_step(0.034f, 0.008f, fabsf(y - lid - 0.004f)) * within;
    const float lower_lashes = 0.45f * fkp_smooth_step(0.020f, 0.004f, fabsf(y - lower)) * within;
    skin *= 1.0f - 0.30f * crease;
    return mix(skin, 0.3f * face->brows, y >= lid ? upper_lashes : lower_lashes);
}

static float paint_brow(const fkp_synth_face *face, bool right, float x, float y, float skin) {
    static const int32_t brows[2][5] = {{17, 18, 19, 20, 21}, {22, 23, 24, 25, 26}};
    const int32_t *brow = brows[right];
    const float begin = face->points[brow[0]][0], end = face->points[brow[4]][0];
    if (x < begin - 0.05f || x > end + 0.05f) return skin;
    const float inner = (right ? end - x : x - begin) / (end - begin);
    const float half = mix(0.022f, 0.055f, fkp_smooth_step(0.0f, 0.7f, inner));
    const float away = fabsf(y - edge(face, brow, 5, x) + 0.3f * half) / half;
    const float hairs =
        0.55f + 0.45f * fkp_value_noise(face->noise + 5, 60.0f * (x + (right ? y : -y)), 16.0f * y);
    const float ends = fkp_smooth_step(-0.06f, 0.06f, fminf(x - begin, end - x));
    return mix(skin, face->brows, 0.92f * hairs * ends * fkp_smooth_step(1.25f, 0.65f, away));
}

float fkp_synth_paint(const fkp_synth_face *face, float x, float y, float *gloss) {
    float colour = paint_skin(face, x, y, gloss);
    if (face->beard > 0.0f) colour = paint_beard(face, x, y, colour);
    colour = paint_nostrils(face, x, y, colour);
    colour = paint_mouth(face, x, y, colour, gloss);
    for (int32_t right = 0; right < 2; right++) {
        colour = paint_brow(face, right == 1, x, y, colour);
        colour = paint_eye(face, right == 1, x, y, colour, gloss);
    }
    return colour;
}
