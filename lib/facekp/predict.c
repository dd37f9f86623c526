/* Images in, points out: each face is prepared (image, box, crop), computed with others in a batch, and
 * delivered in the coordinates of its image. */
#include <math.h>
#include <string.h>

#include "base/structs.h"
#include "decode/plausibility.h"
#include "facekp/session.h"

/* A call, its arguments checked. */
typedef struct predict_request {
    facekp_session *session;
    const facekp_image *const *images;
    size_t image_count;
    const float *boxes;
    const int32_t *image_of_face;
    size_t face_count;
    facekp_predict_options options;
    fkp_heatmap_options heatmap;
    facekp_faces faces;
} predict_request;

/* ---- preparing ---- */

static facekp_status find_image(const predict_request *request, size_t index, const facekp_image **image) {
    size_t i = request->image_count == 1 ? 0 : index;
    if (request->image_of_face != NULL) {
        const int32_t named = request->image_of_face[index];
        if (named < 0 || (size_t)named >= request->image_count)
            return fkp_fail(&request->session->error, FACEKP_ERROR_ARGUMENT,
                            "face %zu: image_of_face is %d, of %zu images", index, (int)named,
                            request->image_count);
        i = (size_t)named;
    }
    *image = request->images[i];
    if (*image == NULL)
        return fkp_fail(&request->session->error, FACEKP_ERROR_ARGUMENT, "image %zu is NULL", i);
    return FACEKP_OK;
}

static facekp_status prepare(const predict_request *request, size_t index, fkp_face *face) {
    facekp_session *session = request->session;
    fkp_error *error = &session->error;
    const facekp_image *given;
    facekp_status status = find_image(request, index, &given);
    if (status != FACEKP_OK) return status;
    status = fkp_struct_read(given, &face->image, sizeof face->image, "facekp_image", error);
    if (status == FACEKP_OK) status = fkp_image_check(&face->image, error);
    if (status != FACEKP_OK) return status;
    face->index = index;
    face->status = FACEKP_OK;
    if (request->boxes == NULL) {
        face->crop = fkp_crop_of_image(&face->image, FACEKP_INPUT_SIZE);
        return FACEKP_OK;
    }
    const float *box = request->boxes + 4 * index;
    status = fkp_box_check(box, &face->image, error);
    if (status == FACEKP_OK) face->crop = fkp_crop_of_face(box, &face->image, FACEKP_INPUT_SIZE);
    return status;
}

/* ---- computing ---- */

static bool are_finite(const float *numbers, size_t count) {
    float sum = 0.0f; /* of zeros, unless a number is not finite */
    for (size_t i = 0; i < count; i++) sum += 0.0f * numbers[i];
    return sum == 0.0f;
}

static void sample_face(void *argument, size_t index, size_t worker) {
    (void)worker;
    facekp_session *session = argument;
    fkp_face *face = &session->faces[index];
    float *crop = session->crops + index * session->input_floats;
    /* A network that reads another size sees the same crop, pixel centres scaled about the corner. */
    const double step = (double)FACEKP_INPUT_SIZE / session->input_size, shift = 0.5 * step - 0.5;
    const fkp_affine map = fkp_affine_multiply(face->crop, (fkp_affine){step, 0, shift, 0, step, shift});
    fkp_image_sample(&face->image, &map, session->input_size, crop);
    /* A heatmap may have its peak where a NaN does not reach: only here is it seen for sure. */
    if (face->image.format == FACEKP_GRAYF && !are_finite(crop, session->input_floats))
        face->status = FACEKP_ERROR_VALUE;
}

static void decode_map(void *argument, size_t index, size_t worker) {
    (void)worker;
    const predict_request *request = argument;
    facekp_session *session = request->session;
    const fkp_shape shape = fkp_model_output(session->model)->shape;
    fkp_decode_heatmap(session->raw + index * shape.height * shape.width, (int32_t)shape.height,
                       (int32_t)shape.width, &request->heatmap, session->points + 2 * index,
                       session->confidences + index);
}

/* The raw output of a batch becomes points in pixels of the crop, and confidences. */
static void decode_batch(predict_request *request, size_t count) {
    facekp_session *session = request->session;
    const size_t keypoints = session->keypoints;
    if (session->model->network->output_kind == FACEKP_OUTPUT_HEATMAPS) {
        fkp_parallel(session->pool, count * keypoints, decode_map, request);
    } else {
        fkp_decode_regression(session->raw, count * 2 * keypoints, session->points);
        for (size_t i = 0; i < count; i++)
            fkp_shape_plausibility(session->points + i * 2 * keypoints, keypoints,
                                   session->confidences + i * keypoints);
    }
}

/* The points of a face go from its crop to its image, without the bias of the labels unless it is to be kept.
 */
static void place_points(const predict_request *request, size_t i) {
    facekp_session *session = request->session;
    const double *bias = session->model->credentials.label_bias;
    const double keep = request->options.keep_label_bias != 0 ? 0.0 : 1.0;
    fkp_face *face = &session->faces[i];
    float *points = session->points + i * 2 * session->keypoints;
    for (size_t k = 0; k < session->keypoints; k++) {
        double x, y;
        fkp_affine_apply(&face->crop, (double)points[2 * k] - keep * bias[0],
                         (double)points[2 * k + 1] - keep * bias[1], &x, &y);
        points[2 * k] = (float)x;
        points[2 * k + 1] = (float)y;
        if (!isfinite(points[2 * k]) || !isfinite(points[2 * k + 1])) face->status = FACEKP_ERROR_VALUE;
    }
}

static void run_pass(predict_request *request, size_t count) {
    facekp_session *session = request->session;
    fkp_parallel(session->pool, count, sample_face, session);
    fkp_session_compute(session, session->crops, count, session->raw);
    decode_batch(request, count);
    for (size_t i = 0; i < count; i++) place_points(request, i);
}

static void compute(predict_request *request, size_t count) {
    run_pass(request, count);
    if (request->options.second_pass == 0) return;
    facekp_session *session = request->session;
    const double fill = session->model->credentials.second_pass_fill;
    /* A face whose first points give no crop is computed again on the crop it had, and comes out the same. */
    for (size_t i = 0; i < count; i++)
        fkp_crop_of_points(session->points + i * 2 * session->keypoints, session->keypoints,
                           &session->faces[i].image, FACEKP_INPUT_SIZE, fill, &session->faces[i].crop);
    run_pass(request, count);
}

/* ---- delivering ---- */

static void copy_floats(float *to, size_t index, const float *from, size_t slot, size_t count) {
    if (to != NULL) memcpy(to + index * count, from + slot * count, count * sizeof *to);
}

static facekp_status deliver(const predict_request *request, size_t slot) {
    const facekp_session *session = request->session;
    const fkp_face *face = &session->faces[slot];
    const facekp_faces *out = &request->faces;
    if (face->status != FACEKP_OK)
        return fkp_fail(&request->session->error, face->status,
                        "face %zu: the image or the network's output holds NaN or infinity", face->index);
    const size_t keypoints = session->keypoints;
    const fkp_affine *crop = &face->crop;
    const float transform[6] = {(float)crop->a, (float)crop->b, (float)crop->c,
                                (float)crop->d, (float)crop->e, (float)crop->f};
    copy_floats(out->points, face->index, session->points, slot, 2 * keypoints);
    copy_floats(out->confidences, face->index, session->confidences, slot, keypoints);
    copy_floats(out->transforms, face->index, transform, 0, 6);
    copy_floats(out->raw, face->index, session->raw, slot, session->output_floats);
    if (out->statuses != NULL) out->statuses[face->index] = FACEKP_OK;
    return FACEKP_OK;
}

/* Takes faces from *next on until a batch is full. A bad one is noted in statuses, or ends the call. */
static facekp_status gather(const predict_request *request, size_t *next, size_t *count) {
    facekp_session *session = request->session;
    for (*count = 0; *next < request->face_count && *count < session->batch; ++*next) {
        facekp_status status = prepare(request, *next, &session->faces[*count]);
        if (status == FACEKP_OK)
            ++*count;
        else if (request->faces.statuses != NULL)
            request->faces.statuses[*next] = status;
        else
            return status;
    }
    return FACEKP_OK;
}

static facekp_status predict(predict_request *request) {
    facekp_session *session = request->session;
    if (request->faces.statuses == NULL)
        for (size_t i = 0; i < request->face_count; i++) {
            facekp_status status = prepare(request, i, &session->faces[0]);
            if (status != FACEKP_OK) return status;
        }
    for (size_t next = 0; next < request->face_count;) {
        size_t count;
        facekp_status status = gather(request, &next, &count);
        if (status != FACEKP_OK) return status;
        if (count > 0) compute(request, count);
        for (size_t slot = 0; slot < count; slot++) {
            status = deliver(request, slot);
            if (status == FACEKP_OK) continue;
            if (request->faces.statuses == NULL) return status;
            request->faces.statuses[session->faces[slot].index] = status;
        }
    }
    return FACEKP_OK;
}

static facekp_status check_request(predict_request *request, const facekp_predict_options *options,
                                   const facekp_faces *faces) {
    fkp_error *error = &request->session->error;
    if (request->images == NULL || request->image_count == 0 || request->face_count == 0 || faces == NULL)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "images and faces must not be NULL, image_count and face_count not 0");
    if (request->image_of_face == NULL && request->image_count != 1 &&
        request->image_count != request->face_count)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "%zu images for %zu faces: image_of_face must say which belongs to which",
                        request->image_count, request->face_count);
    facekp_status status =
        fkp_struct_read(options, &request->options, sizeof request->options, "facekp_predict_options", error);
    if (status == FACEKP_OK)
        status = fkp_struct_read(faces, &request->faces, sizeof request->faces, "facekp_faces", error);
    if (status == FACEKP_OK) status = fkp_heatmap_options_from(&request->options, &request->heatmap, error);
    return status;
}

facekp_status facekp_session_predict(facekp_session *session, const facekp_image *const *images,
                                     size_t image_count, const float *boxes, const int32_t *image_of_face,
                                     size_t face_count, const facekp_predict_options *options,
                                     const facekp_faces *faces) {
    if (session == NULL) return FACEKP_ERROR_ARGUMENT;
    predict_request request = {.session = session,
                               .images = images,
                               .image_count = image_count,
                               .boxes = boxes,
                               .image_of_face = image_of_face,
                               .face_count = face_count};
    facekp_status status = check_request(&request, options, faces);
    if (status != FACEKP_OK) return status;
    fkp_floating floating = fkp_floating_begin(true);
    status = predict(&request);
    fkp_floating_end(floating);
    return status;
}
