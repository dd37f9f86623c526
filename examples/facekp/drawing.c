#include "drawing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "paths.h"

/* The shorter side that a picture is enlarged to, so that 68 points can be told apart. */
enum { COMFORTABLE_SIDE = 480 };

static bool write_picture(const facekp_picture *picture, const char *path) {
    char message[512] = "";
    facekp_status status = facekp_picture_write(picture, path, message, sizeof message);
    if (status != FACEKP_OK) complain("%s", message[0] != '\0' ? message : facekp_status_string(status));
    return status == FACEKP_OK;
}

/* Enlarges the picture in place of itself; returns the factor, 0 on failure. */
static float enlarge(facekp_picture **picture) {
    facekp_image image = FACEKP_IMAGE_INIT;
    if (facekp_picture_get_image(*picture, &image) != FACEKP_OK) return 0.0f;
    const int32_t shorter = image.width < image.height ? image.width : image.height;
    if (shorter >= COMFORTABLE_SIDE) return 1.0f;
    const int32_t factor = (COMFORTABLE_SIDE + shorter - 1) / shorter;
    facekp_picture *larger;
    if (facekp_picture_resize(*picture, image.width * factor, image.height * factor, &larger) != FACEKP_OK)
        return 1.0f;
    facekp_picture_free(*picture);
    *picture = larger;
    return (float)factor;
}

static bool draw_faces(facekp_picture *picture, float factor, const float *points, const int32_t *statuses,
                       size_t face_count, size_t keypoints) {
    const uint32_t outline = 0x400000, fill = 0xff4040;
    const size_t numbers = 2 * keypoints;
    float *scaled = malloc(numbers * sizeof *scaled);
    if (scaled == NULL) return false;
    facekp_image image = FACEKP_IMAGE_INIT;
    facekp_status status = facekp_picture_get_image(picture, &image);
    const float radius = (float)(image.width < image.height ? image.width : image.height) / 200.0f;
    for (size_t face = 0; face < face_count && status == FACEKP_OK; face++) {
        if (statuses[face] != FACEKP_OK) continue;
        /* Pixel centres are whole numbers before and after. */
        for (size_t i = 0; i < numbers; i++) scaled[i] = factor * (points[face * numbers + i] + 0.5f) - 0.5f;
        status = facekp_picture_draw_points(picture, scaled, keypoints, radius + 1.0f, outline);
        if (status == FACEKP_OK)
            status = facekp_picture_draw_points(picture, scaled, keypoints, radius, fill);
    }
    free(scaled);
    return status == FACEKP_OK;
}

bool draw_overlay(const char *image, const char *output, const float *points, const int32_t *statuses,
                  size_t face_count, size_t keypoints) {
    char message[512] = "";
    facekp_picture *picture;
    if (facekp_picture_read(image, 3, message, sizeof message, &picture) != FACEKP_OK) {
        complain("%s", message);
        return false;
    }
    const float factor = enlarge(&picture);
    bool done = draw_faces(picture, factor, points, statuses, face_count, keypoints);
    if (!done)
        complain("%s: the points could not be drawn", image);
    else
        done = write_picture(picture, output);
    facekp_picture_free(picture);
    return done;
}

static bool write_map(const float *map, const facekp_model_info *info, const char *path) {
    facekp_picture *picture;
    facekp_status status =
        facekp_picture_from_heatmap(map, info->output_width, info->output_height, &picture);
    if (status != FACEKP_OK) {
        complain("%s: %s", path, facekp_status_string(status));
        return false;
    }
    const bool done = write_picture(picture, path);
    facekp_picture_free(picture);
    return done;
}

bool draw_heatmaps(const char *image, const char *folder, size_t face, const float *logits,
                   const facekp_model_info *info) {
    const size_t cells = (size_t)info->output_width * (size_t)info->output_height;
    float *map = calloc(2 * cells, sizeof *map);
    if (map == NULL) {
        complain("%s: no memory for heatmaps", image);
        return false;
    }
    float *sum = map + cells;
    char path[PATH_BYTES], suffix[32];
    bool done = true;
    for (int32_t k = 0; k < info->keypoints && done; k++) {
        const float *from = logits + (size_t)k * cells;
        float peak = -INFINITY;
        for (size_t i = 0; i < cells; i++) peak = fmaxf(peak, from[i]);
        for (size_t i = 0; i < cells; i++) {
            map[i] = expf(from[i] - peak);
            sum[i] += map[i];
        }
        snprintf(suffix, sizeof suffix, "-%02d.png", (int)k);
        done = output_path(path, folder, image, face, suffix) && write_map(map, info, path);
    }
    done = done && output_path(path, folder, image, face, "-sum.png") && write_map(sum, info, path);
    free(map);
    return done;
}
