/* Measuring a network under training: points from its output, metrics over the validation faces. */
#include <math.h>
#include <string.h>

#include "decode/decode.h"
#include "train/trainer.h"

/* Local soft-argmax, as facekp_session_predict() decodes by default. */
static void points_of_heatmaps(facekp_train *t, const float *output, size_t count) {
    const fkp_shape shape = t->network->layers[t->network->layer_count - 1].shape;
    const size_t cells = fkp_shape_rows(shape);
    const facekp_predict_options defaults = FACEKP_PREDICT_OPTIONS_INIT;
    fkp_heatmap_options options;
    (void)fkp_heatmap_options_from(&defaults, &options, NULL); /* the defaults are always good */
    for (size_t i = 0; i < count * shape.channels; i++) {
        const float *map = output + i / shape.channels * cells * shape.channels + i % shape.channels;
        float point[2], confidence;
        for (size_t j = 0; j < cells; j++) t->plane[j] = map[j * shape.channels];
        fkp_decode_heatmap(t->plane, (int32_t)shape.height, (int32_t)shape.width, &options, point,
                           &confidence);
        for (int axis = 0; axis < 2; axis++)
            t->points[2 * i + (size_t)axis] = (point[axis] - FKP_COORDINATE_OFFSET) / FKP_COORDINATE_SCALE;
    }
}

void fkp_train_points(facekp_train *t, const float *output, size_t count) {
    if (fkp_train_on_heatmaps(t))
        points_of_heatmaps(t, output, count);
    else
        memcpy(t->points, output, count * 2 * t->settings.keypoints * sizeof(float));
}

static facekp_status measure(facekp_train *t, fkp_loader *loader, fkp_metrics *metrics, double *loss) {
    const size_t coordinates = 2 * t->settings.keypoints;
    const fkp_forward forward = {.training = false};
    double sum = 0.0;
    size_t faces = 0;
    for (;;) {
        fkp_batch batch;
        facekp_status status = fkp_loader_next(loader, &batch, &t->error);
        if (status != FACEKP_OK) return status;
        if (batch.count == 0) break;
        const float *output =
            fkp_gradient_forward(t->engine, fkp_train_kept_weights(t), batch.crops, batch.count, &forward);
        fkp_train_points(t, output, batch.count);
        for (size_t i = 0; i < batch.count; i++)
            fkp_metrics_add(metrics, t->points + i * coordinates, batch.targets + i * coordinates);
        sum += (double)batch.count * fkp_train_loss(t, output, batch.targets, batch.count, NULL);
        faces += batch.count;
    }
    *loss = sum / (double)faces;
    return FACEKP_OK;
}

facekp_status fkp_train_validate(facekp_train *t, double *loss, fkp_metrics_summary *summary) {
    const bool own_file = t->validation != NULL;
    fkp_loader_options options = {.dataset = own_file ? t->validation : t->dataset,
                                  .faces = own_file ? NULL : t->faces + t->train_count,
                                  .face_count = t->held_count,
                                  .batch = t->settings.batch,
                                  .size = (int32_t)t->network->layers[0].shape.width,
                                  .threads = t->options.loader_threads};
    memcpy(options.augment.label_bias, t->settings.augment.label_bias, sizeof options.augment.label_bias);
    fkp_metrics *metrics;
    fkp_loader *loader;
    facekp_status status =
        fkp_metrics_create(&t->memory, t->settings.keypoints, own_file ? t->validation->count : t->held_count,
                           &metrics, &t->error);
    if (status != FACEKP_OK) return status;
    status = fkp_loader_create(&t->memory, &options, 0, 0, &loader, &t->error);
    if (status == FACEKP_OK) {
        status = measure(t, loader, metrics, loss);
        fkp_loader_free(loader);
    }
    if (status == FACEKP_OK) *summary = fkp_metrics_summarize(metrics);
    fkp_metrics_free(metrics);
    return status;
}
