/* What the tests of the training library share: a scratch folder, files in it, small faces. */
#ifndef FKP_TEST_TRAIN_SUPPORT_H
#define FKP_TEST_TRAIN_SUPPORT_H

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "image/image.h"
#include "support/run_suite.h"

#define PATH_BYTES 512

/* A new folder of this test's own, under TMPDIR. */
static inline void scratch_folder(char path[PATH_BYTES]) {
    const char *root = getenv("TMPDIR");
    snprintf(path, PATH_BYTES, "%s/facekp-test-XXXXXX", root == NULL ? "/tmp" : root);
    ck_assert_ptr_nonnull(mkdtemp(path));
}

static inline void remove_folder(const char *path) {
    char command[PATH_BYTES + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    ck_assert_int_eq(system(command), 0);
}

static inline void join_path(char path[PATH_BYTES], const char *folder, const char *name) {
    ck_assert_int_lt(snprintf(path, PATH_BYTES, "%s/%s", folder, name), PATH_BYTES);
}

static inline void write_text(const char *folder, const char *name, const char *text) {
    char path[PATH_BYTES];
    join_path(path, folder, name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, strlen(text), file), strlen(text));
    ck_assert_int_eq(fclose(file), 0);
}

/* A gray picture with a bright dot at each of the given points, on noise. */
static inline void write_face(const char *folder, const char *name, int32_t width, int32_t height,
                              const float *points, size_t keypoints) {
    fkp_memory memory = fkp_memory_from(NULL);
    facekp_picture *picture;
    char path[PATH_BYTES];
    ck_assert_int_eq(fkp_picture_create(&memory, width, height, 1, &picture, NULL), FACEKP_OK);
    fkp_random random = fkp_random_stream(7, (uint64_t)width, (uint64_t)height);
    for (int32_t i = 0; i < width * height; i++)
        picture->pixels[i] = (uint8_t)(40 + fkp_random_below(&random, 30));
    for (size_t k = 0; k < keypoints; k++)
        fkp_draw_disc(picture, (double)points[2 * k], (double)points[2 * k + 1], 2.0, 0xffffff);
    join_path(path, folder, name);
    ck_assert_int_eq(fkp_png_write(picture, path, NULL), FACEKP_OK);
    fkp_picture_free(picture);
}

/* 68 points with the two eyes, the jaw and the mouth about where a face has them, on a picture of `width` x
 * `height`; `seed` moves them a little. */
static inline void face_points(int32_t width, int32_t height, uint64_t seed, float points[136]) {
    fkp_random random = fkp_random_stream(seed, 0, 0);
    float cx = (float)width * fkp_random_between(&random, 0.45f, 0.55f);
    float cy = (float)height * fkp_random_between(&random, 0.45f, 0.55f);
    float rx = 0.25f * (float)width, ry = 0.3f * (float)height;
    for (int k = 0; k < 68; k++) {
        float angle = k < 17 ? 3.1415927f * (float)k / 16.0f : 6.2831853f * (float)k / 51.0f;
        float radius = k < 17 ? 1.0f : 0.3f;
        points[2 * k] = cx + rx * radius * cosf(angle);
        points[2 * k + 1] = cy + ry * radius * sinf(angle);
    }
}

/* A data set of `count` such faces in folder/train.csv and folder/train/, each of its own person. */
static inline void write_faces(const char *folder, size_t count) {
    char path[PATH_BYTES], name[64];
    float points[136];
    join_path(path, folder, "train");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    join_path(path, folder, "train.csv");
    FILE *csv = fopen(path, "w");
    ck_assert_ptr_nonnull(csv);
    fprintf(csv, "image");
    for (int k = 0; k < 68; k++) fprintf(csv, ",x%d,y%d", k, k);
    join_path(path, folder, "train");
    for (size_t i = 0; i < count; i++) {
        int32_t width = 120 + (int32_t)(i % 3) * 20, height = 130;
        snprintf(name, sizeof name, "Person %zu_00.png", i);
        face_points(width, height, i, points);
        write_face(path, name, width, height, points, 68);
        fprintf(csv, "\n%s", name);
        for (int j = 0; j < 136; j++)
            fprintf(csv, ",%d.%03d", (int)points[j], (int)(points[j] * 1000.0f) % 1000);
    }
    fprintf(csv, "\n");
    ck_assert_int_eq(fclose(csv), 0);
}

#endif
