/* Decoding alone, for callers that ran the network themselves. */
#include "base/checked.h"
#include "base/floating.h"
#include "base/structs.h"
#include "decode/decode.h"

enum { MAX_MAP_SIDE = 32767 };

facekp_status facekp_decode_regression(const float *raw, size_t count, int32_t keypoints, float *points) {
    size_t numbers;
    if (raw == NULL || points == NULL || count == 0 || keypoints < 1 ||
        !fkp_checked_multiply(count, 2 * (size_t)keypoints, &numbers))
        return FACEKP_ERROR_ARGUMENT;
    fkp_floating floating = fkp_floating_begin(true);
    fkp_decode_regression(raw, numbers, points);
    fkp_floating_end(floating);
    return FACEKP_OK;
}

facekp_status facekp_decode_heatmaps(const float *logits, size_t count, int32_t keypoints, int32_t height,
                                     int32_t width, const facekp_predict_options *given, float *points,
                                     float *confidences) {
    size_t maps;
    if (logits == NULL || points == NULL || count == 0 || keypoints < 1 || height < 1 || width < 1 ||
        height > MAX_MAP_SIDE || width > MAX_MAP_SIDE ||
        !fkp_checked_multiply(count, (size_t)keypoints, &maps))
        return FACEKP_ERROR_ARGUMENT;
    facekp_predict_options options;
    fkp_heatmap_options heatmap;
    facekp_status status = fkp_struct_read(given, &options, sizeof options, "facekp_predict_options", NULL);
    if (status == FACEKP_OK) status = fkp_heatmap_options_from(&options, &heatmap, NULL);
    if (status != FACEKP_OK) return status;
    const size_t cells = (size_t)height * (size_t)width;
    fkp_floating floating = fkp_floating_begin(true);
    for (size_t i = 0; i < maps; i++) {
        float confidence;
        fkp_decode_heatmap(logits + i * cells, height, width, &heatmap, points + 2 * i, &confidence);
        if (confidences != NULL) confidences[i] = confidence;
    }
    fkp_floating_end(floating);
    return FACEKP_OK;
}
