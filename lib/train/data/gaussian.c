#include "train/data/gaussian.h"

#include <math.h>

int32_t fkp_gaussian_weights(float sigma, float *weights) {
    int32_t radius = (int32_t)(4.0f * sigma + 0.5f);
    if (radius > FKP_MAX_GAUSSIAN_RADIUS) radius = FKP_MAX_GAUSSIAN_RADIUS;
    float sum = 0.0f;
    for (int32_t i = 0; i <= radius; i++) {
        float z = (float)i / sigma;
        weights[i] = expf(-0.5f * z * z);
        sum += i == 0 ? weights[i] : 2.0f * weights[i];
    }
    for (int32_t i = 0; i <= radius; i++) weights[i] /= sum;
    return radius;
}

static int32_t clamp_index(int32_t i, int32_t count) { return i < 0 ? 0 : i >= count ? count - 1 : i; }

/* Blurs along the rows of `in` and writes the columns of `out`, so that two passes blur both ways. */
static void blur_rows(const float *weights, int32_t radius, int32_t width, int32_t height, const float *in,
                      float *out) {
    for (int32_t y = 0; y < height; y++) {
        const float *row = in + (int64_t)y * width;
        for (int32_t x = 0; x < width; x++) {
            float sum = weights[0] * row[x];
            for (int32_t i = 1; i <= radius; i++)
                sum += weights[i] * (row[clamp_index(x - i, width)] + row[clamp_index(x + i, width)]);
            out[(int64_t)x * height + y] = sum;
        }
    }
}

void fkp_gaussian_blur(float sigma, int32_t width, int32_t height, float *image, float *scratch) {
    float weights[FKP_MAX_GAUSSIAN_RADIUS + 1];
    int32_t radius = fkp_gaussian_weights(sigma, weights);
    blur_rows(weights, radius, width, height, image, scratch);
    blur_rows(weights, radius, height, width, scratch, image);
}
