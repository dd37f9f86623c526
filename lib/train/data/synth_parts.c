/* The parts of a person: how each is placed, painted and lit. */
#include <math.h>

#include "train/data/synth_scene.h"

static const float pi = 3.14159265f;

static float lit(const fkp_synth_scene *scene, const fkp_vertex *at, float colour, float gloss) {
    const fkp_vector n = at->normal, l = scene->light;
    const float facing = n.x * l.x + n.y * l.y + n.z * l.z;
    const float wrap = 0.25f; /* light that skin scatters round the edge */
    const float diffuse = fmaxf((facing + wrap) / (1.0f + wrap), 0.0f);
    const float hx = l.x, hy = l.y, hz = l.z + 1.0f, length = sqrtf(hx * hx + hy * hy + hz * hz);
    const float shine = fmaxf((n.x * hx + n.y * hy + n.z * hz) / length, 0.0f);
    const float highlight = 0.20f * gloss * powf(shine, 24.0f) * fmaxf(facing, 0.0f);
    return colour * (scene->ambient * (0.72f + 0.28f * n.y) + scene->key * diffuse) + scene->key * highlight;
}

/* ---- the head ---- */

static void place_head(const fkp_synth_scene *scene, float s, float t, fkp_vertex *vertex) {
    const float angle = pi * (2.0f * t - 1.0f);
    vertex->place = fkp_synth_surface(&scene->face, s * (FKP_RINGS - 1), angle);
    vertex->u = vertex->place.x;
    vertex->v = vertex->place.y;
    vertex->angle = angle;
}

static float shade_head(const void *context, const fkp_vertex *at) {
    const fkp_synth_scene *scene = context;
    float gloss = 0.3f;
    const float skin =
        cosf(at->angle) > 0.1f ? fkp_synth_paint(&scene->face, at->u, at->v, &gloss) : scene->face.skin;
    return lit(scene, at, skin, gloss);
}

/* How far down the hair comes at an angle. */
static float hair_edge(const fkp_synth_face *face, float angle) {
    const float away = fabsf(angle);
    const float waves = 0.16f * (fkp_value_noise(face->noise + 6, 5.0f * angle, 0.5f) - 0.5f);
    const float front = face->hairline - 0.35f * fkp_smooth_step(0.5f, 1.0f, away) + waves;
    const float side = 0.55f + 0.5f * waves, back = -0.55f;
    const float temple = front + (side - front) * fkp_smooth_step(0.95f, 1.25f, away);
    return temple + (back - temple) * fkp_smooth_step(1.75f, 2.1f, away);
}

static void place_hair(const fkp_synth_scene *scene, float s, float t, fkp_vertex *vertex) {
    const fkp_synth_face *face = &scene->face;
    const float angle = pi * (2.0f * t - 1.0f);
    fkp_vector p = fkp_synth_skull(face, 4.0f + s * (FKP_RINGS - 5), angle);
    const float edge = hair_edge(face, angle);
    const float locks = fkp_value_noise(face->noise + 7, 9.0f * angle, 1.2f * p.y);
    const float body = face->long_hair ? 0.20f : 0.11f;
    const float thick = 0.02f + (body + 0.10f * locks) * fkp_smooth_step(edge - 0.05f, edge + 0.45f, p.y);
    const float length = sqrtf(p.x * p.x + (p.y - 0.9f) * (p.y - 0.9f) + (p.z + 0.2f) * (p.z + 0.2f));
    vertex->u = p.x;
    vertex->v = p.y;
    p.x += thick * p.x / length;
    p.y += thick * (p.y - 0.9f) / length;
    p.z += thick * (p.z + 0.2f) / length;
    vertex->place = p;
    vertex->angle = angle;
}

static float shade_strands(const fkp_synth_scene *scene, const fkp_vertex *at) {
    const fkp_synth_face *face = &scene->face;
    const float strands = fkp_value_noise(face->noise + 8, 60.0f * at->angle, 2.0f * at->v);
    const float locks = fkp_value_noise(face->noise + 9, 16.0f * at->angle, 1.5f * at->v);
    return lit(scene, at, face->hair * (0.35f + 0.7f * strands + 0.6f * locks), 0.35f * strands);
}

static float shade_hair(const void *context, const fkp_vertex *at) {
    const fkp_synth_scene *scene = context;
    const float locks = fkp_value_noise(scene->face.noise + 10, 14.0f * at->angle, 1.0f) - 0.5f;
    const float hairs = fkp_value_noise(scene->face.noise + 13, 90.0f * at->angle, 1.0f) - 0.5f;
    const float fringe = 0.14f * locks + 0.07f * hairs;
    return at->v < hair_edge(&scene->face, at->angle) + fringe ? -1.0f : shade_strands(scene, at);
}

/* Hair that hangs behind the face, from one cheek round the back to the other. */
static void place_curtain(const fkp_synth_scene *scene, float s, float t, fkp_vertex *vertex) {
    const float angle = 1.45f + (2.0f * pi - 2.9f) * t, y = 2.1f - 4.4f * s;
    const float waves = 0.22f * (fkp_value_noise(scene->face.noise + 11, 3.0f * angle, 1.6f * y) - 0.5f);
    const float width =
        (1.50f + 0.16f * fkp_smooth_step(1.2f, -1.2f, y) + waves) * fkp_smooth_step(2.7f, 1.7f, y);
    vertex->place = (fkp_vector){width * sinf(angle), y, -0.25f + 1.05f * width * cosf(angle)};
    vertex->u = vertex->place.x;
    vertex->v = y;
    vertex->angle = angle;
}

static float shade_curtain(const void *context, const fkp_vertex *at) { return shade_strands(context, at); }

static void place_ear(const fkp_synth_scene *scene, float side, float s, float t, fkp_vertex *vertex) {
    const float polar = pi * s, around = 2.0f * pi * t;
    const float width = scene->face.rings[8].half_width;
    const float x = 0.09f * sinf(polar) * cosf(around), y = 0.33f * cosf(polar),
                z = 0.19f * sinf(polar) * sinf(around);
    vertex->place = (fkp_vector){side * (width + 0.03f + x - 0.35f * z), 0.42f + y, -0.36f + z + 0.08f * y};
    vertex->u = z;
    vertex->v = y;
    vertex->angle = 0.0f;
}

static void place_left_ear(const fkp_synth_scene *scene, float s, float t, fkp_vertex *v) {
    place_ear(scene, -1.0f, s, t, v);
}
static void place_right_ear(const fkp_synth_scene *scene, float s, float t, fkp_vertex *v) {
    place_ear(scene, 1.0f, s, t, v);
}

static float shade_ear(const void *context, const fkp_vertex *at) {
    const fkp_synth_scene *scene = context;
    const float hollow = expf(-40.0f * (at->u - 0.03f) * (at->u - 0.03f) - 25.0f * at->v * at->v);
    return lit(scene, at, scene->face.skin * (0.9f - 0.5f * hollow), 0.2f);
}

/* Neck and shoulders, by half width and half depth at a height. */
static void place_body(const fkp_synth_scene *scene, float s, float t, fkp_vertex *vertex) {
    static const float widths[][2] = {{-6.0f, 3.1f},   {-3.4f, 3.0f},  {-2.75f, 2.75f}, {-2.4f, 2.25f},
                                      {-2.12f, 1.45f}, {-1.9f, 0.96f}, {-1.6f, 0.82f},  {-0.5f, 0.80f}};
    const float angle = pi * (2.0f * t - 1.0f), y = -6.0f + 5.5f * s;
    const float neck = scene->face.rings[8].half_width / 1.362f;
    const float width = neck * fkp_synth_curve(widths, 8, y);
    const float depth = fminf(width, 0.74f + 0.22f * (width - 0.74f));
    vertex->place = (fkp_vector){width * sinf(angle), y, -0.42f + depth * cosf(angle)};
    vertex->u = vertex->place.x;
    vertex->v = y;
    vertex->angle = angle;
}

static float shade_body(const void *context, const fkp_vertex *at) {
    const fkp_synth_scene *scene = context;
    const fkp_synth_face *face = &scene->face;
    const float away = fabsf(at->u), under_chin = 0.42f + 0.58f * fkp_smooth_step(-1.3f, -2.1f, at->v);
    const float collar = -1.98f - 0.30f * face->neckline * fkp_smooth_step(1.0f, 0.0f, away);
    if (at->v > collar) return lit(scene, at, face->skin * under_chin, 0.2f);
    const float folds = fkp_value_noise(face->noise + 12, 2.5f * at->u, 1.2f * at->v);
    const float lapel = 0.34f * (at->v + 4.2f);
    const bool is_shirt = face->jacket && away < lapel && at->angle * at->angle < 1.5f;
    const bool is_tie = is_shirt && away < 0.10f - 0.05f * (at->v + 2.2f) && face->neckline < 0.5f;
    const float cloth = is_tie ? 0.5f * face->cloth + 0.05f : (is_shirt ? face->shirt : face->cloth);
    const float seam = face->jacket ? 1.0f - 0.5f * expf(-900.0f * (away - lapel) * (away - lapel)) : 1.0f;
    return lit(scene, at, cloth * seam * (0.75f + 0.5f * folds), 0.05f);
}

/* ---- spectacles: a tube along a curve ---- */

static fkp_vector rim(const fkp_synth_face *face, float side, float t) {
    const float around = 2.0f * pi * t, eye = 0.5f * (face->points[42][0] + face->points[45][0]);
    const float c = cosf(around), s = sinf(around),
                square = 1.0f / powf(c * c * c * c + s * s * s * s, 0.25f);
    const float x = eye + 0.03f + 0.36f * c * square, y = 0.66f + 0.25f * s * square;
    const float curve = 0.62f * sqrtf(fmaxf(1.0f - 0.42f * x * x, 0.0f));
    return (fkp_vector){side * x, y, 0.72f + curve};
}

static void place_tube(fkp_vector a, fkp_vector b, fkp_vector centre, float radius, float t,
                       fkp_vertex *vertex) {
    /* Across the curve: its direction's normal in the plane of the face, and the line of sight. */
    const float dx = b.x - a.x, dy = b.y - a.y, length = fmaxf(sqrtf(dx * dx + dy * dy), 1e-6f);
    const float around = 2.0f * pi * t, u = radius * cosf(around), w = radius * sinf(around);
    vertex->place = (fkp_vector){centre.x - u * dy / length, centre.y + u * dx / length, centre.z + w};
    vertex->u = vertex->v = vertex->angle = 0.0f;
}

static void place_rim(const fkp_synth_scene *scene, float side, float s, float t, fkp_vertex *vertex) {
    place_tube(rim(&scene->face, side, s - 0.01f), rim(&scene->face, side, s + 0.01f),
               rim(&scene->face, side, s), 0.024f, t, vertex);
}

static void place_left_rim(const fkp_synth_scene *scene, float s, float t, fkp_vertex *v) {
    place_rim(scene, -1.0f, s, t, v);
}
static void place_right_rim(const fkp_synth_scene *scene, float s, float t, fkp_vertex *v) {
    place_rim(scene, 1.0f, s, t, v);
}

/* From the left rim's outer end along the temple; over the nose; and so to the right: one piece each. */
static fkp_vector bar(const fkp_synth_face *face, float end_x, float s) {
    if (end_x == 0.0f) {
        const fkp_vector inner = rim(face, 1.0f, 0.46f);
        const float x = inner.x * (2.0f * s - 1.0f);
        return (fkp_vector){x, inner.y + 0.06f * (1.0f - x * x / (inner.x * inner.x)), inner.z + 0.02f};
    }
    const fkp_vector outer = rim(face, end_x < 0.0f ? -1.0f : 1.0f, 0.06f);
    return (fkp_vector){outer.x + (end_x - outer.x) * fkp_smooth_step(0.0f, 0.35f, s), outer.y - 0.1f * s,
                        outer.z + (-0.4f - outer.z) * s};
}

static void place_bar(const fkp_synth_scene *scene, float end_x, float s, float t, fkp_vertex *vertex) {
    place_tube(bar(&scene->face, end_x, s - 0.01f), bar(&scene->face, end_x, s + 0.01f),
               bar(&scene->face, end_x, s), 0.022f, t, vertex);
}

static void place_bridge(const fkp_synth_scene *scene, float s, float t, fkp_vertex *v) {
    place_bar(scene, 0.0f, s, t, v);
}
static void place_left_temple(const fkp_synth_scene *scene, float s, float t, fkp_vertex *v) {
    place_bar(scene, -scene->face.rings[8].half_width + 0.03f, s, t, v);
}
static void place_right_temple(const fkp_synth_scene *scene, float s, float t, fkp_vertex *v) {
    place_bar(scene, scene->face.rings[8].half_width - 0.03f, s, t, v);
}

static float shade_frame(const void *context, const fkp_vertex *at) {
    const fkp_synth_scene *scene = context;
    return lit(scene, at, scene->face.glasses_shade, 0.8f);
}

/* ---- all of them ---- */

typedef struct body_part {
    int32_t rows, columns;
    float outwards; /* see fkp_grid_normals() */
    /* Place and paint coordinates at (s, t) in [0, 1] x [0, 1]. */
    void (*place)(const fkp_synth_scene *scene, float s, float t, fkp_vertex *vertex);
    fkp_shader shader;
} body_part;

enum { HEAD_ROWS = 160, HEAD_COLUMNS = 224 };

static void draw_part(const fkp_synth_scene *scene, const fkp_pose *pose, const body_part *part,
                      fkp_canvas *canvas, fkp_vertex *vertices) {
    const float size = (float)canvas->size;
    for (int32_t i = 0; i < part->rows; i++)
        for (int32_t j = 0; j < part->columns; j++) {
            fkp_vertex *vertex = &vertices[i * part->columns + j];
            part->place(scene, (float)i / (float)(part->rows - 1), (float)j / (float)(part->columns - 1),
                        vertex);
            vertex->place = fkp_posed(pose, vertex->place);
            fkp_project(scene, vertex->place, &vertex->column, &vertex->row);
            vertex->column = size * vertex->column - 0.5f;
            vertex->row = size * vertex->row - 0.5f;
        }
    fkp_grid_normals(vertices, part->rows, part->columns, part->outwards);
    fkp_draw_grid(canvas, vertices, part->rows, part->columns, part->shader, scene);
}

size_t fkp_synth_most_vertices(void) { return HEAD_ROWS * HEAD_COLUMNS; }

void fkp_synth_draw_person(const fkp_synth_scene *scene, fkp_canvas *canvas, fkp_vertex *vertices) {
    static const body_part body = {64, 96, 1.0f, place_body, shade_body},
                           curtain = {80, 128, 1.0f, place_curtain, shade_curtain};
    static const body_part head[] = {{HEAD_ROWS, HEAD_COLUMNS, 1.0f, place_head, shade_head},
                                     {24, 32, -1.0f, place_left_ear, shade_ear},
                                     {24, 32, 1.0f, place_right_ear, shade_ear}};
    static const body_part hair = {112, 224, 1.0f, place_hair, shade_hair};
    static const body_part spectacles[] = {{96, 10, 1.0f, place_left_rim, shade_frame},
                                           {96, 10, 1.0f, place_right_rim, shade_frame},
                                           {32, 10, 1.0f, place_bridge, shade_frame},
                                           {48, 10, 1.0f, place_left_temple, shade_frame},
                                           {48, 10, 1.0f, place_right_temple, shade_frame}};
    draw_part(scene, &scene->body, &body, canvas, vertices);
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        draw_part(scene, &scene->head, &head[i], canvas, vertices);
    if (scene->face.long_hair) draw_part(scene, &scene->head, &curtain, canvas, vertices);
    draw_part(scene, &scene->head, &hair, canvas, vertices);
    for (size_t i = 0; i < sizeof spectacles / sizeof *spectacles && scene->face.glasses; i++)
        draw_part(scene, &scene->head, &spectacles[i], canvas, vertices);
}
