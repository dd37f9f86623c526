/* Samples: a pure function of (seed, epoch, face); labels go where the pixels go; mirrors and biases. */
#define _GNU_SOURCE
#include "train/data/augment.h"

#include "base/memory.h"
#include "support.h"

#define SIDE 224
#define POINTS (2 * FACEKP_KEYPOINTS)

static const fkp_augment everything = {true, 12.0f, 0.2f, 25.0f, 0.5f, 0.2f, 0.3f,
                                       0.4f, 0.5f,  1.5f, 0.05f, 0.5f, 0.3f, {2.0f, 1.5f}};

static fkp_memory memory;
static char folder[PATH_BYTES];
static fkp_dataset *dataset;
static float scratch[SIDE * SIDE];

static void setup(void) {
    memory = fkp_memory_from(NULL);
    scratch_folder(folder);
    write_faces(folder, 4);
    char path[PATH_BYTES];
    fkp_dataset_options options = {.keypoints = 68, .label_bias = {2.0f, 1.5f}};
    join_path(path, folder, "train.csv");
    ck_assert_int_eq(fkp_dataset_create(&memory, 0, &dataset, NULL), FACEKP_OK);
    ck_assert_int_eq(fkp_dataset_add(dataset, path, &options, NULL), FACEKP_OK);
}

static void teardown(void) {
    fkp_dataset_free(dataset);
    remove_folder(folder);
}

static void sample(const fkp_augment *augment, size_t face, uint64_t epoch, float *crop, float *targets) {
    ck_assert_int_eq(
        fkp_sample(dataset, face, augment, 3, epoch, &memory, SIDE, crop, targets, scratch, NULL), FACEKP_OK);
}

START_TEST(sample_is_a_function_of_seed_epoch_and_face) {
    static float crops[3][SIDE * SIDE], targets[3][POINTS];
    sample(&everything, 2, 5, crops[0], targets[0]);
    sample(&everything, 1, 5, crops[1], targets[1]);
    sample(&everything, 2, 5, crops[1], targets[1]);
    sample(&everything, 2, 6, crops[2], targets[2]);
    ck_assert_mem_eq(crops[0], crops[1], sizeof crops[0]);
    ck_assert_mem_eq(targets[0], targets[1], sizeof targets[0]);
    ck_assert_mem_ne(crops[0], crops[2], sizeof crops[0]);
    ck_assert_mem_ne(targets[0], targets[2], sizeof targets[0]);
    for (int i = 0; i < SIDE * SIDE; i++) ck_assert(crops[0][i] >= 0.0f && crops[0][i] <= 1.0f);
}
END_TEST

/* The evaluation's sample: labels through the centre crop of record, and nothing else. */
START_TEST(evaluation_is_the_centre_crop) {
    static float crop[SIDE * SIDE], targets[POINTS];
    fkp_augment none = {.label_bias = {2.0f, 1.5f}};
    for (size_t face = 0; face < dataset->count; face++) {
        sample(&none, face, 0, crop, targets);
        /* The preprocessing of record resizes to whole pixels and crops at whole pixels. */
        double width = dataset->faces[face].width, height = dataset->faces[face].height;
        double across = floor(250.0 * width / fmin(width, height)),
               down = floor(250.0 * height / fmin(width, height));
        double left = floor((across - 224.0) / 2.0), top = floor((down - 224.0) / 2.0);
        for (int k = 0; k < 68; k++) {
            const float *p = fkp_dataset_points(dataset, face) + 2 * k;
            double x = ((double)p[0] + 0.5) * across / width - 0.5 - left;
            double y = ((double)p[1] + 0.5) * down / height - 0.5 - top;
            ck_assert_double_eq_tol((double)targets[2 * k], (x - 100.0) / 50.0, 1e-5);
            ck_assert_double_eq_tol((double)targets[2 * k + 1], (y - 100.0) / 50.0, 1e-5);
        }
    }
}
END_TEST

/* The bright dot drawn at a point of the image is where the label says, whatever was done to the crop. */
START_TEST(labels_go_where_the_pixels_go) {
    static float crop[SIDE * SIDE], targets[POINTS];
    fkp_augment geometry = {
        .random_crop = true, .shift = 10.0f, .zoom = 0.2f, .rotation = 25.0f, .flip = 0.5f};
    int checked = 0;
    double offset_x = 0.0, offset_y = 0.0;
    memset(dataset->faces[0].label_bias, 0, sizeof dataset->faces[0].label_bias);
    for (uint64_t epoch = 0; epoch < 40; epoch++) {
        sample(&geometry, 0, epoch, crop, targets);
        fkp_draw draw = fkp_augment_draw(&geometry, 3, epoch, 0);
        for (int k = 0; k < 68; k += 5) {
            int from = draw.flip ? fkp_flip_order[k] : k;
            double x = 50.0 * (double)targets[2 * k] + 100.0, y = 50.0 * (double)targets[2 * k + 1] + 100.0;
            if (from > 16 || x < 8 || y < 8 || x > SIDE - 9 || y > SIDE - 9)
                continue; /* only the jaw stands free */
            double mass = 0.0, sum_x = 0.0, sum_y = 0.0;
            for (int j = (int)y - 6; j <= (int)y + 7; j++) {
                for (int i = (int)x - 6; i <= (int)x + 7; i++) {
                    double weight = fmax(0.0, (double)crop[j * SIDE + i] - 0.35);
                    mass += weight;
                    sum_x += weight * i;
                    sum_y += weight * j;
                }
            }
            ck_assert_double_eq_tol(sum_x / mass, x, 1.0);
            ck_assert_double_eq_tol(sum_y / mass, y, 1.0);
            offset_x += sum_x / mass - x;
            offset_y += sum_y / mass - y;
            checked++;
        }
    }
    ck_assert_int_gt(checked, 60);
    ck_assert_double_eq_tol(offset_x / checked, 0.0, 0.1);
    ck_assert_double_eq_tol(offset_y / checked, 0.0, 0.1);
}
END_TEST

START_TEST(mirroring_twice_is_nothing) {
    for (int k = 0; k < 68; k++) ck_assert_int_eq(fkp_flip_order[fkp_flip_order[k]], k);
    fkp_augment none = {0};
    fkp_draw draw = fkp_augment_draw(&none, 1, 2, 3), mirrored = draw;
    mirrored.flip = true;
    fkp_affine once = fkp_augment_map(&mirrored, 250, 250, SIDE),
               plain = fkp_augment_map(&draw, 250, 250, SIDE);
    for (int x = 0; x < SIDE; x += 31) {
        double ax, ay, bx, by;
        fkp_affine_apply(&plain, x, 7, &ax, &ay);
        fkp_affine_apply(&once, SIDE - 1 - x, 7, &bx, &by);
        ck_assert_double_eq_tol(ax, bx, 1e-9);
        ck_assert_double_eq_tol(ay, by, 1e-9);
    }
    /* Mirror the points, put them back into the image, mirror again. */
    float points[POINTS], once_points[POINTS], twice[POINTS];
    const float no_bias[2] = {0.0f, 0.0f};
    face_points(250, 250, 4, points);
    fkp_augment_points(&none, &mirrored, no_bias, 250, 250, points, 68, once_points);
    for (int i = 0; i < POINTS; i++)
        once_points[i] = 50.0f * once_points[i] + 113.0f; /* crop -> image of 250 */
    fkp_augment_points(&none, &mirrored, no_bias, 250, 250, once_points, 68, twice);
    for (int i = 0; i < POINTS; i++) ck_assert_float_eq_tol(50.0f * twice[i] + 113.0f, points[i], 1e-3f);
}
END_TEST

/* Left and right change their numbers: by the annotation's own symmetry, part after part. */
START_TEST(a_mirrored_face_has_its_points_in_order) {
    static const struct {
        int first, last, sum; /* points first to last, of which k and sum - k are a pair */
    } runs[] = {{0, 16, 16},  {17, 26, 43},  {31, 35, 66},  {36, 39, 81},  {42, 45, 81}, {40, 41, 87},
                {46, 47, 87}, {48, 54, 102}, {55, 59, 114}, {60, 64, 124}, {65, 67, 132}};
    float points[POINTS], plain[POINTS], flipped[POINTS];
    const float no_bias[2] = {0.0f, 0.0f};
    const fkp_augment none = {0};
    fkp_draw draw = fkp_augment_draw(&none, 1, 2, 3), mirrored = draw;
    mirrored.flip = true;
    face_points(250, 250, 4, points);
    fkp_augment_points(&none, &draw, no_bias, 250, 250, points, 68, plain);
    fkp_augment_points(&none, &mirrored, no_bias, 250, 250, points, 68, flipped);
    int pair[68];
    for (int k = 0; k < 68; k++) pair[k] = k; /* the ridge of the nose */
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        for (int k = runs[i].first; k <= runs[i].last; k++) pair[k] = runs[i].sum - k;
    for (int k = 0; k < 68; k++) {
        const float across = (SIDE - 1 - 2 * 100.0f) / 50.0f; /* x and its mirror image add up to this */
        ck_assert_msg(fabsf(flipped[2 * k] - (across - plain[2 * pair[k]])) < 1e-4f, "x of point %d", k);
        ck_assert_msg(fabsf(flipped[2 * k + 1] - plain[2 * pair[k] + 1]) < 1e-4f, "y of point %d", k);
    }
}
END_TEST

/* A label that stands 2 px too far right stands so after mirroring, turning and zooming too. */
START_TEST(bias_is_put_back_where_it_was) {
    float truth[POINTS], label[POINTS], a[POINTS], b[POINTS];
    const float bias[2] = {2.0f, 1.5f}, no_bias[2] = {0.0f, 0.0f};
    face_points(250, 250, 4, truth);
    for (int i = 0; i < POINTS; i++) label[i] = truth[i] + bias[i % 2];
    fkp_augment biased = {.rotation = 90.0f, .zoom = 0.5f, .flip = 0.5f, .label_bias = {2.0f, 1.5f}},
                plain = biased;
    plain.label_bias[0] = plain.label_bias[1] = 0.0f;
    int flips = 0;
    for (uint64_t epoch = 0; epoch < 20; epoch++) {
        fkp_draw draw = fkp_augment_draw(&biased, 9, epoch, 0);
        flips += draw.flip;
        fkp_augment_points(&plain, &draw, no_bias, 250, 250, truth, 68, a);
        fkp_augment_points(&biased, &draw, bias, 250, 250, label, 68, b);
        for (int i = 0; i < POINTS; i++)
            ck_assert_float_eq_tol(50.0f * (b[i] - a[i]), draw.zoom * bias[i % 2], 1e-3f);
    }
    ck_assert(flips > 0 && flips < 20);
}
END_TEST

/* Switching one part off leaves what was drawn for the others as it was. */
START_TEST(parts_are_independent) {
    fkp_draw all = fkp_augment_draw(&everything, 1, 2, 3);
    fkp_augment less = everything;
    less.rotation = 0.0f;
    less.blur = 0.0f;
    fkp_draw some = fkp_augment_draw(&less, 1, 2, 3);
    ck_assert(some.rotation == 0.0f && all.rotation != 0.0f);
    ck_assert(some.zoom == all.zoom && some.gamma == all.gamma && some.noise_key == all.noise_key);
    ck_assert(some.occlusion[0] == all.occlusion[0] && some.left == all.left);
}
END_TEST

/* Each part alone changes the crop; together with the plain crop's own parts off, only pixels change. */
START_TEST(each_part_does_something) {
    static float plain[SIDE * SIDE], changed[SIDE * SIDE], targets[POINTS], moved[POINTS];
    static const struct {
        fkp_augment augment;
        bool moves;
    } parts[] = {{{.random_crop = true}, true},
                 {{.shift = 20}, true},
                 {{.zoom = 0.5f}, true},
                 {{.rotation = 40}, true},
                 {{.flip = 1}, true},
                 {{.brightness = 0.3f}, false},
                 {{.contrast = 0.5f}, false},
                 {{.gamma = 0.5f}, false},
                 {{.blur = 1, .blur_sigma = 3}, false},
                 {{.noise = 0.1f}, false},
                 {{.occlusion = 1, .occlusion_side = 0.5f}, false}};
    const fkp_augment none = {0};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        sample(&none, 1, 9, plain, targets);
        sample(&parts[i].augment, 1, 9, changed, moved);
        ck_assert_msg(memcmp(plain, changed, sizeof plain) != 0, "part %zu changed nothing", i);
        ck_assert((memcmp(targets, moved, sizeof targets) != 0) == parts[i].moves);
    }
}
END_TEST

START_TEST(smaller_input_shows_the_same_crop) {
    fkp_draw draw = fkp_augment_draw(&everything, 1, 2, 3);
    fkp_affine large = fkp_augment_map(&draw, 200, 300, 224), small = fkp_augment_map(&draw, 200, 300, 56);
    double ax, ay, bx, by;
    fkp_affine_apply(&large, 1.5, 5.5, &ax, &ay); /* the middle of pixels 0 to 3, 4 to 7 */
    fkp_affine_apply(&small, 0.0, 1.0, &bx, &by);
    ck_assert_double_eq_tol(ax, bx, 1e-9);
    ck_assert_double_eq_tol(ay, by, 1e-9);
}
END_TEST

START_TEST(ranges_are_checked) {
    fkp_error error = {0};
    ck_assert_int_eq(fkp_augment_check(&everything, 68, &error), FACEKP_OK);
    fkp_augment wrong = {.zoom = -0.1f};
    ck_assert_int_eq(fkp_augment_check(&wrong, 68, &error), FACEKP_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "zoom"));
    wrong = (fkp_augment){.flip = NAN};
    ck_assert_int_eq(fkp_augment_check(&wrong, 68, &error), FACEKP_ERROR_ARGUMENT);
    wrong = (fkp_augment){.flip = 0.5f};
    ck_assert_int_eq(fkp_augment_check(&wrong, 5, &error), FACEKP_ERROR_UNSUPPORTED);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("augment");
    TCase *tests = tcase_create("augment");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, sample_is_a_function_of_seed_epoch_and_face);
    tcase_add_test(tests, evaluation_is_the_centre_crop);
    tcase_add_test(tests, labels_go_where_the_pixels_go);
    tcase_add_test(tests, mirroring_twice_is_nothing);
    tcase_add_test(tests, a_mirrored_face_has_its_points_in_order);
    tcase_add_test(tests, bias_is_put_back_where_it_was);
    tcase_add_test(tests, parts_are_independent);
    tcase_add_test(tests, each_part_does_something);
    tcase_add_test(tests, smaller_input_shows_the_same_crop);
    tcase_add_test(tests, ranges_are_checked);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
