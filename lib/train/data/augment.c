#include "train/data/augment.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "decode/decode.h"
#include "train/data/gaussian.h"

#define SHORTER_SIDE 250.0
#define PI 3.14159265358979323846

const uint8_t fkp_flip_order[FACEKP_KEYPOINTS] = {
    16, 15, 14, 13, 12, 11, 10, 9,  8,  7,  6,  5,  4,  3,  2,  1,  0,  26, 25, 24, 23, 22, 21,
    20, 19, 18, 17, 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65};

static bool in_range(float value, float highest) { return value >= 0.0f && value <= highest; }

facekp_status fkp_augment_check(const fkp_augment *a, size_t keypoints, fkp_error *error) {
    const struct {
        const char *name;
        float value, highest;
    } limits[] = {{"shift", a->shift, 224.0f},
                  {"zoom", a->zoom, 4.0f},
                  {"rotation", a->rotation, 180.0f},
                  {"flip", a->flip, 1.0f},
                  {"brightness", a->brightness, 1.0f},
                  {"contrast", a->contrast, 4.0f},
                  {"gamma", a->gamma, 4.0f},
                  {"blur", a->blur, 1.0f},
                  {"blur_sigma", a->blur_sigma, 10.0f},
                  {"noise", a->noise, 1.0f},
                  {"occlusion", a->occlusion, 1.0f},
                  {"occlusion_side", a->occlusion_side, 1.0f}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (!in_range(limits[i].value, limits[i].highest))
            return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "augmentation: %s is %g; it must be 0 to %g",
                            limits[i].name, (double)limits[i].value, (double)limits[i].highest);
    if (a->flip > 0.0f && keypoints != FACEKP_KEYPOINTS)
        return fkp_fail(error, FACEKP_ERROR_UNSUPPORTED,
                        "augmentation: mirroring knows the order of %d points, not of %zu; set flip to 0",
                        FACEKP_KEYPOINTS, keypoints);
    return FACEKP_OK;
}

static float symmetric(fkp_random *random, float range) { return fkp_random_between(random, -range, range); }

/* Log-uniform in 1 / (1 + range) to 1 + range. */
static float factor(fkp_random *random, float range) { return expf(symmetric(random, log1pf(range))); }

fkp_draw fkp_augment_draw(const fkp_augment *a, uint64_t seed, uint64_t epoch, uint64_t face) {
    fkp_random random = fkp_random_stream(seed, epoch, face);
    fkp_draw draw;
    draw.left = fkp_random_uniform(&random);
    draw.top = fkp_random_uniform(&random);
    if (!a->random_crop) draw.left = draw.top = -1.0f;
    draw.shift_x = symmetric(&random, a->shift);
    draw.shift_y = symmetric(&random, a->shift);
    draw.zoom = factor(&random, a->zoom);
    draw.rotation = symmetric(&random, a->rotation);
    draw.flip = fkp_random_uniform(&random) < a->flip;
    draw.brightness = symmetric(&random, a->brightness);
    draw.contrast = factor(&random, a->contrast);
    draw.gamma = factor(&random, a->gamma);
    bool blurred = fkp_random_uniform(&random) < a->blur;
    draw.blur_sigma = fkp_random_uniform(&random) * (blurred ? a->blur_sigma : 0.0f);
    draw.noise = fkp_random_uniform(&random) * a->noise;
    bool occluded = fkp_random_uniform(&random) < a->occlusion;
    for (int i = 0; i < 4; i++) draw.occlusion[i] = fkp_random_uniform(&random);
    for (int i = 2; i < 4; i++) draw.occlusion[i] *= occluded ? a->occlusion_side : 0.0f;
    draw.occlusion_gray = fkp_random_uniform(&random);
    draw.noise_key = fkp_random_next(&random);
    return draw;
}

/* ---- geometry ---- */

/* The left edge of a crop of record along a side of `length` pixels, in pixels of the resized image: one of
 * the whole places there are. */
static double crop_edge(float part, double length, double shorter) {
    if (part < 0.0f) return -1.0;
    double room = length * SHORTER_SIDE / shorter - FKP_INPUT_CROP;
    return floor((double)part * (floor(room) + 1.0));
}

/* The augmented 224 crop -> the 224 crop of record. */
static fkp_affine local_map(const fkp_draw *draw) {
    const double centre = (FKP_INPUT_CROP - 1.0) / 2.0, angle = (double)draw->rotation * PI / 180.0;
    const double cosine = cos(angle) / (double)draw->zoom, sine = sin(angle) / (double)draw->zoom;
    fkp_affine to_centre = {1, 0, -centre - (double)draw->shift_x, 0, 1, -centre - (double)draw->shift_y};
    fkp_affine turn = {cosine, sine, centre, -sine, cosine, centre};
    fkp_affine map = fkp_affine_multiply(turn, to_centre);
    fkp_affine mirror = {-1, 0, FKP_INPUT_CROP - 1.0, 0, 1, 0};
    return draw->flip ? fkp_affine_multiply(map, mirror) : map;
}

static fkp_affine record_map(const fkp_draw *draw, int32_t width, int32_t height) {
    double shorter = width < height ? width : height;
    return fkp_crop_of_record(width, height, (int32_t)FKP_INPUT_CROP, crop_edge(draw->left, width, shorter),
                              crop_edge(draw->top, height, shorter));
}

fkp_affine fkp_augment_map(const fkp_draw *draw, int32_t width, int32_t height, int32_t size) {
    double scale = FKP_INPUT_CROP / size, offset = 0.5 * scale - 0.5;
    fkp_affine resize = {scale, 0, offset, 0, scale, offset};
    return fkp_affine_multiply(record_map(draw, width, height), fkp_affine_multiply(local_map(draw), resize));
}

void fkp_augment_points(const fkp_augment *augment, const fkp_draw *draw, const float *face_bias,
                        int32_t width, int32_t height, const float *points, size_t keypoints,
                        float *targets) {
    fkp_affine to_record = record_map(draw, width, height), to_crop = local_map(draw);
    (void)fkp_affine_invert(to_record, &to_record); /* both are similarities with a scale above zero */
    (void)fkp_affine_invert(to_crop, &to_crop);
    for (size_t k = 0; k < keypoints; k++) {
        size_t from = draw->flip ? fkp_flip_order[k] : k;
        double x, y;
        fkp_affine_apply(&to_record, (double)points[2 * from], (double)points[2 * from + 1], &x, &y);
        fkp_affine_apply(&to_crop, x - (double)face_bias[0], y - (double)face_bias[1], &x, &y);
        x += (double)(draw->zoom * augment->label_bias[0]);
        y += (double)(draw->zoom * augment->label_bias[1]);
        targets[2 * k] = (float)((x - (double)FKP_COORDINATE_OFFSET) / (double)FKP_COORDINATE_SCALE);
        targets[2 * k + 1] = (float)((y - (double)FKP_COORDINATE_OFFSET) / (double)FKP_COORDINATE_SCALE);
    }
}

/* ---- light ---- */

static void occlude(const fkp_draw *draw, int32_t size, float *crop) {
    float side = (float)size;
    int32_t width = (int32_t)(draw->occlusion[2] * side), height = (int32_t)(draw->occlusion[3] * side);
    int32_t x0 = (int32_t)(draw->occlusion[0] * (float)(size - width));
    int32_t y0 = (int32_t)(draw->occlusion[1] * (float)(size - height));
    for (int32_t y = y0; y < y0 + height; y++)
        for (int32_t x = x0; x < x0 + width; x++) crop[y * size + x] = draw->occlusion_gray;
}

static float clamp(float value) { return value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value; }

/* Gamma, then contrast about the middle gray, then brightness. */
static void relight(const fkp_draw *draw, int32_t size, float *crop) {
    bool curved = fabsf(draw->gamma - 1.0f) > 1e-6f;
    for (int32_t i = 0; i < size * size; i++) {
        float value = curved ? powf(crop[i], draw->gamma) : crop[i];
        crop[i] = clamp((value - 0.5f) * draw->contrast + 0.5f + draw->brightness);
    }
}

static void add_noise(const fkp_draw *draw, int32_t size, float *crop) {
    fkp_random random = {draw->noise_key, 0};
    for (int32_t i = 0; i < size * size; i++)
        crop[i] = clamp(crop[i] + draw->noise * fkp_random_normal(&random));
}

void fkp_augment_light(const fkp_draw *draw, int32_t size, float *crop, float *scratch) {
    float sigma = draw->blur_sigma * (float)size / (float)FKP_INPUT_CROP;
    occlude(draw, size, crop);
    if (sigma > 0.1f) fkp_gaussian_blur(sigma, size, size, crop, scratch);
    relight(draw, size, crop);
    if (draw->noise > 0.0f) add_noise(draw, size, crop);
}

facekp_status fkp_sample(const fkp_dataset *dataset, size_t face, const fkp_augment *augment, uint64_t seed,
                         uint64_t epoch, const fkp_memory *memory, int32_t size, float *crop, float *targets,
                         float *scratch, fkp_error *error) {
    facekp_image image;
    facekp_picture *owned;
    facekp_status status = fkp_dataset_image(dataset, face, memory, &image, &owned, error);
    if (status != FACEKP_OK) return status;
    const fkp_face *record = &dataset->faces[face];
    fkp_draw draw = fkp_augment_draw(augment, seed, epoch, face);
    fkp_affine map = fkp_augment_map(&draw, image.width, image.height, size);
    fkp_image_sample(&image, &map, size, crop);
    fkp_picture_free(owned);
    fkp_augment_light(&draw, size, crop, scratch);
    fkp_augment_points(augment, &draw, record->label_bias, image.width, image.height,
                       fkp_dataset_points(dataset, face), dataset->keypoints, targets);
    return FACEKP_OK;
}
