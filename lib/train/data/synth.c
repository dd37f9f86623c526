#include "train/data/synth.h"

#include <math.h>

#include "base/checked.h"
#include "train/data/gaussian.h"
#include "train/data/synth_scene.h"

enum { SUPERSAMPLING = 2 };

/* ---- the camera ---- */

static fkp_pose turn(float yaw, float pitch, float roll, fkp_vector pivot) {
    const float cy = cosf(yaw), sy = sinf(yaw), cp = cosf(pitch), sp = sinf(pitch), cr = cosf(roll),
                sr = sinf(roll);
    return (fkp_pose){{{cr * cy - sr * sp * sy, -sr * cp, cr * sy + sr * sp * cy},
                       {sr * cy + cr * sp * sy, cr * cp, sr * sy - cr * sp * cy},
                       {-cp * sy, sp, cp * cy}},
                      pivot};
}

fkp_vector fkp_posed(const fkp_pose *pose, fkp_vector place) {
    const float x = place.x - pose->pivot.x, y = place.y - pose->pivot.y, z = place.z - pose->pivot.z;
    const float(*m)[3] = pose->matrix;
    return (fkp_vector){m[0][0] * x + m[0][1] * y + m[0][2] * z + pose->pivot.x,
                        m[1][0] * x + m[1][1] * y + m[1][2] * z + pose->pivot.y,
                        m[2][0] * x + m[2][1] * y + m[2][2] * z + pose->pivot.z};
}

void fkp_project(const fkp_synth_scene *scene, fkp_vector place, float *x, float *y) {
    const float scale = scene->scale * scene->distance / (scene->distance - place.z);
    *x = scene->centre_x + scale * place.x;
    *y = scene->centre_y - scale * place.y;
}

static float bounded_normal(fkp_random *random, float deviation) {
    return deviation * fminf(fmaxf(fkp_random_normal(random), -2.5f), 2.5f);
}

static void draw_scene(fkp_random *random, fkp_synth_scene *scene) {
    fkp_synth_face_draw(random, &scene->face);
    const fkp_vector neck = {0.0f, -0.9f, -0.4f}, waist = {0.0f, -3.0f, -0.4f};
    const float yaw = bounded_normal(random, 0.26f), pitch = bounded_normal(random, 0.11f);
    const float roll = bounded_normal(random, 0.09f);
    scene->head = turn(yaw, pitch, roll, neck);
    scene->body = turn(0.5f * yaw + bounded_normal(random, 0.1f), 0.0f, 0.25f * roll, waist);
    const fkp_vector light = {bounded_normal(random, 0.5f), fkp_random_between(random, -0.1f, 0.9f),
                              fkp_random_between(random, 0.55f, 1.0f)};
    const float length = sqrtf(light.x * light.x + light.y * light.y + light.z * light.z);
    scene->light = (fkp_vector){light.x / length, light.y / length, light.z / length};
    scene->key = fkp_random_between(random, 0.5f, 1.0f);
    scene->ambient = fkp_random_between(random, 0.15f, 0.5f);
    const float box = 2.75f; /* of the mean face's points */
    scene->distance = fkp_random_between(random, 10.0f, 20.0f);
    scene->scale = fkp_random_between(random, 0.36f, 0.50f) / box;
    scene->centre_x = 0.5f + bounded_normal(random, 0.025f);
    scene->centre_y = 0.52f + bounded_normal(random, 0.02f);
}

/* ---- the points ---- */

/* The jaw's points are those of the outline that is seen: on the side that is turned away, the place of their
 * ring that reaches furthest out. */
static fkp_vector jaw_place(const fkp_synth_scene *scene, int32_t point) {
    enum { STEPS = 48 };
    const float side = point < 8 ? -1.0f : 1.0f, ring = (float)(point < 8 ? 8 - point : point - 8);
    fkp_vector best = fkp_posed(&scene->head, fkp_synth_surface(&scene->face, ring, side * 1.5707963f));
    if (point == 8) return fkp_posed(&scene->head, fkp_synth_surface(&scene->face, 0.0f, 0.0f));
    for (int32_t i = 0; i < STEPS; i++) {
        const float angle = side * 1.5707963f * (float)i / STEPS;
        const fkp_vector place = fkp_posed(&scene->head, fkp_synth_surface(&scene->face, ring, angle));
        if (side * place.x > side * best.x) best = place;
    }
    return best;
}

static void find_points(const fkp_synth_scene *scene, int32_t size, float *points) {
    const float side = (float)size;
    for (int32_t i = 0; i < FACEKP_KEYPOINTS; i++) {
        const float *front = scene->face.points[i];
        const fkp_vector place =
            i < 17 ? jaw_place(scene, i)
                   : fkp_posed(&scene->head, fkp_synth_front(&scene->face, front[0], front[1]));
        float x, y;
        fkp_project(scene, place, &x, &y);
        points[2 * i] = side * x - 0.5f;
        points[2 * i + 1] = side * y - 0.5f;
    }
}

/* ---- the picture ---- */

/* Walls, windows and lamps, out of focus. */
static void fill_background(fkp_random *random, fkp_canvas *canvas) {
    enum { BOXES = 5 };
    const float level = fkp_random_between(random, 0.02f, 0.5f), slope = bounded_normal(random, 0.3f);
    const float grain = fkp_random_between(random, 1.5f, 9.0f),
                contrast = fkp_random_between(random, 0.05f, 0.6f);
    const uint64_t key = fkp_random_next(random);
    float boxes[BOXES][5];
    for (int32_t i = 0; i < BOXES; i++) {
        boxes[i][0] = fkp_random_uniform(random);
        boxes[i][1] = fkp_random_uniform(random);
        boxes[i][2] = fkp_random_between(random, 0.03f, 0.3f);
        boxes[i][3] = fkp_random_between(random, 0.03f, 0.5f);
        boxes[i][4] = fkp_random_between(random, 0.3f, 2.2f);
    }
    for (int32_t row = 0; row < canvas->size; row++)
        for (int32_t column = 0; column < canvas->size; column++) {
            const float x = (float)column / (float)canvas->size, y = (float)row / (float)canvas->size;
            float light = level * (1.0f + slope * (x - 0.5f) - 0.3f * (y - 0.5f));
            light *= 1.0f + contrast * (fkp_value_noise(key, grain * x, grain * y) - 0.5f);
            for (int32_t i = 0; i < BOXES; i++) {
                const float outside =
                    fmaxf(fabsf(x - boxes[i][0]) - boxes[i][2], fabsf(y - boxes[i][1]) - boxes[i][3]);
                light *= 1.0f + (boxes[i][4] - 1.0f) * fkp_smooth_step(0.02f, -0.02f, outside);
            }
            const size_t pixel = (size_t)row * (size_t)canvas->size + (size_t)column;
            canvas->light[pixel] = fmaxf(light, 0.0f);
            canvas->depth[pixel] = -1e9f;
        }
}

/* The canvas's light to a picture of half its side, through a lens and onto a noisy sensor. */
static void develop(fkp_random *random, const fkp_canvas *canvas, int32_t size, float *picture,
                    float *scratch, uint8_t *gray) {
    const float blur = fkp_random_uniform(random) * 1.2f * (float)size / 224.0f;
    const float noise = 0.03f * fkp_random_uniform(random) * fkp_random_uniform(random);
    const float exposure = fkp_random_between(random, 0.8f, 1.5f),
                gamma = fkp_random_between(random, 0.40f, 0.52f);
    const float black = fkp_random_between(random, 0.0f, 0.06f);
    for (int32_t y = 0; y < size; y++)
        for (int32_t x = 0; x < size; x++) {
            const float *light = canvas->light + (size_t)(2 * y) * (size_t)canvas->size + (size_t)(2 * x);
            const float mean = 0.25f * (light[0] + light[1] + light[canvas->size] + light[canvas->size + 1]);
            picture[(size_t)y * (size_t)size + (size_t)x] = powf(fminf(exposure * mean, 1.0f), gamma);
        }
    if (blur > 0.3f) fkp_gaussian_blur(blur, size, size, picture, scratch);
    for (size_t i = 0; i < (size_t)size * (size_t)size; i++) {
        const float value = black + (1.0f - black) * picture[i] + noise * fkp_random_normal(random);
        gray[i] = (uint8_t)(255.0f * fminf(fmaxf(value, 0.0f), 1.0f) + 0.5f);
    }
}

facekp_status fkp_synth_render(const fkp_memory *memory, uint64_t seed, uint64_t index, int32_t size,
                               uint8_t *gray, float *points, fkp_error *error) {
    if (size < FKP_SYNTH_SMALLEST || size > FKP_SYNTH_LARGEST)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "a rendered face of %d pixels a side; it must be %d to %d", (int)size,
                        FKP_SYNTH_SMALLEST, FKP_SYNTH_LARGEST);
    const size_t pixels = (size_t)size * (size_t)size, samples = pixels * SUPERSAMPLING * SUPERSAMPLING;
    const size_t most_vertices = fkp_synth_most_vertices();
    fkp_canvas canvas = {SUPERSAMPLING * size, fkp_allocate_raw(memory, samples, sizeof(float)),
                         fkp_allocate_raw(memory, samples, sizeof(float))};
    fkp_vertex *vertices = fkp_allocate_raw(memory, most_vertices, sizeof *vertices);
    facekp_status status = FACEKP_OK;
    if (canvas.light == NULL || canvas.depth == NULL || vertices == NULL) {
        status =
            fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory to render a face of %d pixels a side", (int)size);
    } else {
        fkp_random random = fkp_random_stream(seed, index, 0);
        fkp_synth_scene scene;
        draw_scene(&random, &scene);
        fill_background(&random, &canvas);
        fkp_synth_draw_person(&scene, &canvas, vertices);
        /* Depth is no longer needed: the picture and its blur go there. */
        develop(&random, &canvas, size, canvas.depth, canvas.depth + pixels, gray);
        find_points(&scene, size, points);
    }
    fkp_release(memory, canvas.light, samples, sizeof(float));
    fkp_release(memory, canvas.depth, samples, sizeof(float));
    fkp_release(memory, vertices, most_vertices, sizeof *vertices);
    return status;
}
