/* Measuring a model on faces with known points. The model is run through libfacekp's public functions alone.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/floating.h"
#include "base/structs.h"
#include "decode/decode.h"
#include "train/data/augment.h"
#include "train/data/split.h"
#include "train/report.h"
#include "train/settings.h"

#define DEFAULT_BATCH 8
#define DEFAULT_HELD_OUT 0.1
#define MAX_BATCH 64 /* of a session */

/* ---- model ---- */

static facekp_status open_model(facekp_train_report *report, const facekp_train_evaluation *o,
                                fkp_error *error) {
    facekp_load_options load = FACEKP_LOAD_OPTIONS_INIT;
    load.allocator = o->allocator;
    load.log = o->log;
    load.log_user = o->log_user;
    load.message = error->message;
    load.message_size = sizeof error->message;
    facekp_model *model;
    facekp_status status = facekp_model_load(o->model, &load, &model);
    if (status != FACEKP_OK) return error->status = status;
    facekp_session_options options = FACEKP_SESSION_OPTIONS_INIT;
    options.threads = o->threads;
    options.batch = o->batch == 0 ? DEFAULT_BATCH : o->batch;
    report->model.struct_size = sizeof report->model;
    status = facekp_model_get_info(model, &report->model);
    if (status == FACEKP_OK) status = facekp_session_open(model, &options, &report->session);
    facekp_model_free(model);
    if (status == FACEKP_OK) return FACEKP_OK;
    return fkp_fail(error, status, "%s: no session with %d threads and a batch of %d: %s", o->model,
                    (int)options.threads, (int)options.batch, facekp_status_string(status));
}

/* ---- faces ---- */

static facekp_status choose_faces(facekp_train_report *report, const facekp_train_evaluation *o,
                                  fkp_error *error) {
    static const char *const names[] = {"person", "video", NULL};
    static const fkp_split_by splits[] = {FKP_SPLIT_PERSON, FKP_SPLIT_VIDEO};
    const size_t all = report->dataset->count;
    int32_t by;
    facekp_status status = fkp_settings_choose("split", o->split, names, 0, &by, error);
    if (status != FACEKP_OK) return status;
    report->faces = fkp_allocate_raw(&report->memory, all, sizeof *report->faces);
    if (report->faces == NULL)
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for a list of %zu faces", all);
    report->face_capacity = report->count = all;
    if (o->split == NULL) {
        for (size_t i = 0; i < all; i++) report->faces[i] = i;
        return FACEKP_OK;
    }
    fkp_split split;
    status =
        fkp_split_create(&report->memory, report->dataset, splits[by],
                         o->held_out == 0.0 ? DEFAULT_HELD_OUT : o->held_out, o->split_seed, &split, error);
    if (status != FACEKP_OK) return status;
    report->count = split.held_count;
    memcpy(report->faces, split.faces + split.train_count, split.held_count * sizeof *report->faces);
    fkp_split_free(&report->memory, &split);
    return FACEKP_OK;
}

static facekp_status read_faces(facekp_train_report *report, const facekp_train_evaluation *o,
                                fkp_error *error) {
    const fkp_dataset_options options = {.keypoints = (size_t)report->model.keypoints,
                                         .folder = o->images,
                                         .skip_bad = o->skip_bad != 0,
                                         .log = o->log,
                                         .log_user = o->log_user};
    facekp_status status = fkp_dataset_create(&report->memory, 0, &report->dataset, error);
    if (status == FACEKP_OK) status = fkp_dataset_add(report->dataset, o->csv, &options, error);
    if (status == FACEKP_OK) status = choose_faces(report, o, error);
    if (status != FACEKP_OK) return status;
    const size_t floats = fkp_report_coordinates(report) * sizeof(float);
    report->predicted = fkp_allocate(&report->memory, report->count, floats);
    report->truth = fkp_allocate(&report->memory, report->count, floats);
    if (report->predicted == NULL || report->truth == NULL)
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for the points of %zu faces", report->count);
    return fkp_metrics_create(&report->memory, report->dataset->keypoints, report->count, &report->metrics,
                              error);
}

/* ---- predicting ---- */

/* Some faces of the report on their way through the session; points in pixels of the image, count x keypoints
 * x 2. */
typedef struct face_batch {
    size_t first, count;
    facekp_image images[MAX_BATCH], mirrored[MAX_BATCH];
    facekp_picture *owned[MAX_BATCH], *mirrors[MAX_BATCH]; /* NULL: none */
    float transforms[6 * MAX_BATCH];
    float *points, *mirrored_points;
} face_batch;

static facekp_status mirror_image(const fkp_memory *memory, const facekp_image *image, facekp_image *mirrored,
                                  facekp_picture **owner, fkp_error *error) {
    facekp_status status = fkp_picture_create(memory, image->width, image->height, 1, owner, error);
    if (status != FACEKP_OK) return status;
    const size_t width = (size_t)image->width;
    for (size_t y = 0; y < (size_t)image->height; y++) {
        const uint8_t *from = (const uint8_t *)image->data + y * width;
        uint8_t *to = (*owner)->pixels + y * width;
        for (size_t x = 0; x < width; x++) to[x] = from[width - 1 - x];
    }
    *mirrored = *image;
    mirrored->data = (*owner)->pixels;
    return FACEKP_OK;
}

static facekp_status gather(const facekp_train_report *report, bool mirror, face_batch *batch,
                            fkp_error *error) {
    facekp_status status = FACEKP_OK;
    for (size_t i = 0; i < batch->count && status == FACEKP_OK; i++) {
        status = fkp_dataset_image(report->dataset, report->faces[batch->first + i], &report->memory,
                                   &batch->images[i], &batch->owned[i], error);
        if (status == FACEKP_OK && mirror)
            status = mirror_image(&report->memory, &batch->images[i], &batch->mirrored[i], &batch->mirrors[i],
                                  error);
    }
    return status;
}

static void release_pictures(face_batch *batch) {
    for (size_t i = 0; i < batch->count; i++) {
        fkp_picture_free(batch->owned[i]);
        fkp_picture_free(batch->mirrors[i]);
        batch->owned[i] = batch->mirrors[i] = NULL;
    }
}

static facekp_status predict(const facekp_train_report *report, const facekp_train_evaluation *o,
                             const facekp_image *images, const face_batch *batch, float *points,
                             float *transforms, fkp_error *error) {
    const facekp_image *pointers[MAX_BATCH];
    for (size_t i = 0; i < batch->count; i++) pointers[i] = &images[i];
    facekp_predict_options options = FACEKP_PREDICT_OPTIONS_INIT;
    options.decode = o->decode;
    options.second_pass = o->second_pass;
    /* Mirrored predictions meet without the bias, whatever is wanted in the end. */
    options.keep_label_bias = o->remove_bias == 0 && o->flip == 0;
    facekp_faces faces = FACEKP_FACES_INIT;
    faces.points = points;
    faces.transforms = transforms;
    facekp_status status = facekp_session_predict(report->session, pointers, batch->count, NULL, NULL,
                                                  batch->count, &options, &faces);
    if (status == FACEKP_OK) return FACEKP_OK;
    return fkp_fail(error, status, "%s and the %zu faces after it: %s",
                    report->dataset->faces[report->faces[batch->first]].name, batch->count - 1,
                    facekp_session_message(report->session));
}

/* The mean of the two predictions, and the labels' bias, which grows with the crop, put back if wanted. */
static void average_mirrored(const facekp_train_report *report, bool keep_bias, face_batch *batch) {
    const double *bias = report->model.label_bias_px;
    const size_t keypoints = report->dataset->keypoints;
    for (size_t i = 0; i < batch->count; i++) {
        float *points = batch->points + i * 2 * keypoints;
        const float *mirrored = batch->mirrored_points + i * 2 * keypoints, *map = batch->transforms + 6 * i;
        const double right = batch->images[i].width - 1.0, keep = keep_bias ? 1.0 : 0.0;
        const double dx = keep * ((double)map[0] * bias[0] + (double)map[1] * bias[1]);
        const double dy = keep * ((double)map[3] * bias[0] + (double)map[4] * bias[1]);
        for (size_t k = 0; k < keypoints; k++) {
            const float *twin = mirrored + 2 * (size_t)fkp_flip_order[k];
            points[2 * k] = (float)(0.5 * ((double)points[2 * k] + right - (double)twin[0]) + dx);
            points[2 * k + 1] = (float)(0.5 * ((double)points[2 * k + 1] + (double)twin[1]) + dy);
        }
    }
}

/* Pixels of the image -> normalised coordinates of the crop of record. */
static void normalise(const fkp_affine *image_to_crop, const float *points, size_t keypoints,
                      float *normalised) {
    for (size_t k = 0; k < keypoints; k++) {
        double at[2];
        fkp_affine_apply(image_to_crop, (double)points[2 * k], (double)points[2 * k + 1], &at[0], &at[1]);
        for (size_t axis = 0; axis < 2; axis++)
            normalised[2 * k + axis] =
                (float)((at[axis] - (double)FKP_COORDINATE_OFFSET) / (double)FKP_COORDINATE_SCALE);
    }
}

static void measure(facekp_train_report *report, const face_batch *batch) {
    const size_t coordinates = fkp_report_coordinates(report), keypoints = report->dataset->keypoints;
    for (size_t i = 0; i < batch->count; i++) {
        const size_t face = batch->first + i;
        float *predicted = report->predicted + face * coordinates,
              *truth = report->truth + face * coordinates;
        fkp_affine map = fkp_report_crop(report, face, (int32_t)FKP_INPUT_CROP);
        (void)fkp_affine_invert(map, &map); /* a similarity with a scale above zero */
        normalise(&map, batch->points + i * coordinates, keypoints, predicted);
        normalise(&map, fkp_dataset_points(report->dataset, report->faces[face]), keypoints, truth);
        fkp_metrics_add(report->metrics, predicted, truth);
    }
}

static facekp_status predict_faces(facekp_train_report *report, const facekp_train_evaluation *o,
                                   face_batch *batch, fkp_error *error) {
    const size_t together = o->batch == 0 ? DEFAULT_BATCH : (size_t)o->batch;
    const bool flip = o->flip != 0;
    facekp_status status = FACEKP_OK;
    for (size_t first = 0; first < report->count && status == FACEKP_OK; first += together) {
        batch->first = first;
        batch->count = fkp_min_size(together, report->count - first);
        status = gather(report, flip, batch, error);
        if (status == FACEKP_OK)
            status = predict(report, o, batch->images, batch, batch->points, batch->transforms, error);
        if (status == FACEKP_OK && flip)
            status = predict(report, o, batch->mirrored, batch, batch->mirrored_points, NULL, error);
        if (status == FACEKP_OK && flip) average_mirrored(report, o->remove_bias == 0, batch);
        if (status == FACEKP_OK) measure(report, batch);
        release_pictures(batch);
    }
    return status;
}

static facekp_status run(facekp_train_report *report, const facekp_train_evaluation *o, fkp_error *error) {
    const size_t floats = MAX_BATCH * fkp_report_coordinates(report);
    const fkp_memory *memory = &report->memory;
    face_batch *batch = fkp_allocate(memory, 1, sizeof *batch);
    float *points = fkp_allocate(memory, 2 * floats, sizeof *points);
    facekp_status status;
    if (batch == NULL || points == NULL) {
        status = fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for a batch of faces");
    } else {
        batch->points = points;
        batch->mirrored_points = points + floats;
        status = predict_faces(report, o, batch, error);
    }
    fkp_release(memory, points, 2 * floats, sizeof *points);
    fkp_release(memory, batch, 1, sizeof *batch);
    return status;
}

/* ---- all of it ---- */

static facekp_status check(const facekp_train_evaluation *o, fkp_error *error) {
    if (o->model == NULL || o->csv == NULL)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "an evaluation needs a model and a CSV file");
    if (o->batch < 0 || o->batch > MAX_BATCH)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "a batch of %d faces; it must be 1 to %d",
                        (int)o->batch, MAX_BATCH);
    return FACEKP_OK;
}

static facekp_status evaluate(facekp_train_report *report, const facekp_train_evaluation *o,
                              fkp_error *error) {
    facekp_status status = open_model(report, o, error);
    if (status != FACEKP_OK) return status;
    if (o->flip != 0 && report->model.keypoints != FACEKP_KEYPOINTS)
        return fkp_fail(error, FACEKP_ERROR_UNSUPPORTED,
                        "mirroring knows the order of %d points, not of %d; set flip to 0", FACEKP_KEYPOINTS,
                        (int)report->model.keypoints);
    status = read_faces(report, o, error);
    return status == FACEKP_OK ? run(report, o, error) : status;
}

facekp_status facekp_train_evaluate(const facekp_train_evaluation *given, facekp_train_report **result) {
    if (result == NULL) return FACEKP_ERROR_ARGUMENT;
    *result = NULL;
    facekp_train_evaluation options;
    facekp_allocator allocator;
    fkp_error error = {0};
    facekp_status status = fkp_struct_read(given, &options, sizeof options, "facekp_train_evaluation", NULL);
    if (status != FACEKP_OK) return status; /* where the message would go is not known */
    status = fkp_struct_read(options.allocator, &allocator, sizeof allocator, "facekp_allocator", &error);
    if (status == FACEKP_OK) status = check(&options, &error);
    const fkp_memory memory = fkp_memory_from(options.allocator == NULL ? NULL : &allocator);
    facekp_train_report *report = status == FACEKP_OK ? fkp_allocate(&memory, 1, sizeof *report) : NULL;
    if (status == FACEKP_OK && report == NULL)
        status = fkp_fail(&error, FACEKP_ERROR_MEMORY, "no memory for a report");
    if (status == FACEKP_OK) {
        report->memory = memory;
        for (size_t i = 0; i < FKP_REPORT_FORMATS; i++) fkp_text_begin(&report->texts[i], &memory);
        fkp_floating floating = fkp_floating_begin(true);
        status = evaluate(report, &options, &error);
        fkp_floating_end(floating);
    }
    if (status == FACEKP_OK) {
        *result = report;
        return FACEKP_OK;
    }
    fkp_error_copy(&error, options.message, options.message_size);
    facekp_train_report_free(report);
    return status;
}
