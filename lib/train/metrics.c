#include "train/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "decode/decode.h"

#define LEFT_EYE_CORNER 36
#define RIGHT_EYE_CORNER 45

const char *const fkp_region_names[FKP_REGIONS] = {"jaw", "brows", "nose", "eyes", "mouth"};
static const size_t region_begin[FKP_REGIONS + 1] = {0, 17, 27, 36, 48, 68};

struct fkp_metrics {
    fkp_memory memory;
    size_t keypoints, capacity, count;
    double squares;          /* of normalised differences, over all */
    fkp_point_metrics *sums; /* of each point, over the faces */
    float *errors;           /* count x keypoints, pixels */
    float *nme;              /* count */
};

facekp_status fkp_metrics_create(const fkp_memory *memory, size_t keypoints, size_t capacity,
                                 fkp_metrics **result, fkp_error *error) {
    *result = NULL;
    size_t points;
    fkp_metrics *metrics = fkp_allocate(memory, 1, sizeof *metrics);
    if (metrics != NULL && fkp_checked_multiply(keypoints, capacity, &points)) {
        metrics->memory = *memory;
        metrics->keypoints = keypoints;
        metrics->capacity = capacity;
        metrics->sums = fkp_allocate(memory, keypoints, sizeof *metrics->sums);
        metrics->errors = fkp_allocate_raw(memory, points, sizeof(float));
        metrics->nme = fkp_allocate_raw(memory, capacity, sizeof(float));
        if (metrics->sums != NULL && metrics->errors != NULL && metrics->nme != NULL) {
            *result = metrics;
            return FACEKP_OK;
        }
        fkp_metrics_free(metrics);
    } else {
        fkp_release(memory, metrics, 1, sizeof *metrics);
    }
    return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for the metrics of %zu faces", capacity);
}

void fkp_metrics_free(fkp_metrics *metrics) {
    if (metrics == NULL) return;
    fkp_memory memory = metrics->memory;
    fkp_release(&memory, metrics->sums, metrics->keypoints, sizeof *metrics->sums);
    fkp_release(&memory, metrics->errors, metrics->keypoints * metrics->capacity, sizeof(float));
    fkp_release(&memory, metrics->nme, metrics->capacity, sizeof(float));
    fkp_release(&memory, metrics, 1, sizeof *metrics);
}

void fkp_metrics_clear(fkp_metrics *metrics) {
    metrics->count = 0;
    metrics->squares = 0.0;
    memset(metrics->sums, 0, metrics->keypoints * sizeof *metrics->sums);
}

/* The length a face's errors are divided by, in normalised units. */
static double face_size(const float *truth, size_t keypoints) {
    if (keypoints == FACEKP_KEYPOINTS) {
        const float *left = truth + 2 * LEFT_EYE_CORNER, *right = truth + 2 * RIGHT_EYE_CORNER;
        return hypot((double)right[0] - (double)left[0], (double)right[1] - (double)left[1]);
    }
    double side[2];
    for (size_t axis = 0; axis < 2; axis++) {
        double low = (double)truth[axis], high = low;
        for (size_t k = 1; k < keypoints; k++) {
            low = fmin(low, (double)truth[2 * k + axis]);
            high = fmax(high, (double)truth[2 * k + axis]);
        }
        side[axis] = high - low;
    }
    return sqrt(side[0] * side[1]);
}

void fkp_metrics_add(fkp_metrics *metrics, const float *predicted, const float *truth) {
    const double scale = (double)FKP_COORDINATE_SCALE;
    float *errors = metrics->errors + metrics->count * metrics->keypoints;
    double sum = 0.0;
    for (size_t k = 0; k < metrics->keypoints; k++) {
        double dx = (double)predicted[2 * k] - (double)truth[2 * k];
        double dy = (double)predicted[2 * k + 1] - (double)truth[2 * k + 1];
        double distance = scale * sqrt(dx * dx + dy * dy);
        fkp_point_metrics *point = &metrics->sums[k];
        metrics->squares += dx * dx + dy * dy;
        point->error += distance;
        point->residual_x += scale * dx;
        point->residual_y += scale * dy;
        errors[k] = isnan(distance) ? INFINITY : (float)distance;
        sum += distance;
    }
    double size = scale * face_size(truth, metrics->keypoints);
    metrics->nme[metrics->count++] = (float)(sum / (double)metrics->keypoints / size);
}

size_t fkp_metrics_count(const fkp_metrics *metrics) { return metrics->count; }
const float *fkp_metrics_nme(const fkp_metrics *metrics) { return metrics->nme; }

/* ---- summaries ---- */

static fkp_point_metrics mean_of_points(const fkp_metrics *metrics, size_t begin, size_t end) {
    fkp_point_metrics mean = {0};
    for (size_t k = begin; k < end; k++) {
        mean.error += metrics->sums[k].error;
        mean.residual_x += metrics->sums[k].residual_x;
        mean.residual_y += metrics->sums[k].residual_y;
    }
    double count = (double)(end - begin) * (double)metrics->count; /* no face: 0 / 0 is NaN, as promised */
    return (fkp_point_metrics){mean.error / count, mean.residual_x / count, mean.residual_y / count};
}

fkp_point_metrics fkp_metrics_point(const fkp_metrics *metrics, size_t keypoint) {
    return mean_of_points(metrics, keypoint, keypoint + 1);
}

/* The value that `rank` others lie below, by quickselect (Hoare); reorders the values, of which none is NaN.
 */
static float select_rank(float *values, size_t count, size_t rank) {
    size_t low = 0, high = count - 1;
    while (low < high) {
        float pivot = values[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (values[i] < pivot) i++;
            while (values[j] > pivot) j--;
            if (i >= j) break;
            float value = values[i];
            values[i++] = values[j];
            values[j--] = value;
        }
        if (rank <= j)
            high = j;
        else
            low = j + 1;
    }
    return values[rank];
}

static double quantile(float *values, size_t count, double part) {
    return (double)select_rank(values, count, (size_t)(part * (double)(count - 1) + 0.5));
}

fkp_metrics_summary fkp_metrics_summarize(const fkp_metrics *metrics) {
    fkp_metrics_summary summary = {.faces = metrics->count};
    size_t points = metrics->count * metrics->keypoints;
    double faces = (double)metrics->count, nme = 0.0, failures = 0.0, area = 0.0;
    summary.all = mean_of_points(metrics, 0, metrics->keypoints);
    for (size_t r = 0; r < FKP_REGIONS; r++)
        summary.regions[r] = metrics->keypoints == FACEKP_KEYPOINTS
                                 ? mean_of_points(metrics, region_begin[r], region_begin[r + 1])
                                 : (fkp_point_metrics){NAN, NAN, NAN};
    for (size_t i = 0; i < metrics->count; i++) {
        double value = (double)metrics->nme[i];
        bool failed = !(value <= FKP_FAILURE_NME);
        nme += value;
        failures += failed;
        area += failed ? 0.0 : 1.0 - value / FKP_FAILURE_NME;
    }
    summary.mse = metrics->squares / (2.0 * (double)points);
    summary.nme = nme / faces;
    summary.failure_rate = failures / faces;
    summary.auc = area / faces;
    summary.median_error = points == 0 ? NAN : quantile(metrics->errors, points, 0.5);
    summary.p95_error = points == 0 ? NAN : quantile(metrics->errors, points, 0.95);
    return summary;
}

facekp_train_metrics fkp_metrics_publish(const fkp_metrics_summary *s) {
    return (facekp_train_metrics){.struct_size = sizeof(facekp_train_metrics),
                                  .faces = (int64_t)s->faces,
                                  .mse = s->mse,
                                  .nme = s->nme,
                                  .median_px = s->median_error,
                                  .p95_px = s->p95_error,
                                  .failure_rate = s->failure_rate,
                                  .auc = s->auc,
                                  .residual_x = s->all.residual_x,
                                  .residual_y = s->all.residual_y};
}

/* ---- writers ---- */

static void text_line(fkp_text *text, const char *name, double value, int decimals, const char *unit) {
    fkp_text_append(text, "%-22s ", name);
    fkp_text_number(text, value, decimals);
    fkp_text_append(text, "%s\n", unit);
}

static void text_row(fkp_text *text, const char *name, fkp_point_metrics row) {
    fkp_text_append(text, "  %-20s ", name);
    fkp_text_number(text, row.error, 2);
    fkp_text_append(text, "   %s", row.residual_x < 0.0 ? "" : "+");
    fkp_text_number(text, row.residual_x, 2);
    fkp_text_append(text, "   %s", row.residual_y < 0.0 ? "" : "+");
    fkp_text_number(text, row.residual_y, 2);
    fkp_text_append(text, "\n");
}

void fkp_metrics_write_text(const fkp_metrics *metrics, fkp_text *text) {
    fkp_metrics_summary s = fkp_metrics_summarize(metrics);
    fkp_text_append(text, "%-22s %zu\n", "faces", s.faces);
    text_line(text, "MSE", s.mse, 5, "");
    text_line(text, "NME", 100.0 * s.nme, 2, " %");
    text_line(text, "median point error", s.median_error, 2, " px");
    text_line(text, "p95 point error", s.p95_error, 2, " px");
    text_line(text, "failures (NME > 10 %)", 100.0 * s.failure_rate, 2, " %");
    text_line(text, "AUC to 10 %", s.auc, 4, "");
    fkp_text_append(text, "error, mean signed residual x and y, in px of the 224 crop:\n");
    text_row(text, "all", s.all);
    for (size_t r = 0; r < FKP_REGIONS && metrics->keypoints == FACEKP_KEYPOINTS; r++)
        text_row(text, fkp_region_names[r], s.regions[r]);
}

static void json_member(fkp_text *text, const char *name, double value) {
    fkp_text_append(text, ", \"%s\": ", name);
    fkp_text_json_number(text, value, 6);
}

static void json_point(fkp_text *text, fkp_point_metrics point) {
    fkp_text_append(text, "{\"error_px\": ");
    fkp_text_json_number(text, point.error, 4);
    json_member(text, "residual_x_px", point.residual_x);
    json_member(text, "residual_y_px", point.residual_y);
    fkp_text_append(text, "}");
}

void fkp_metrics_write_json(const fkp_metrics *metrics, fkp_text *text) {
    fkp_metrics_summary s = fkp_metrics_summarize(metrics);
    fkp_text_append(text, "{\"faces\": %zu", s.faces);
    json_member(text, "mse", s.mse);
    json_member(text, "nme", s.nme);
    json_member(text, "median_error_px", s.median_error);
    json_member(text, "p95_error_px", s.p95_error);
    json_member(text, "failure_rate", s.failure_rate);
    json_member(text, "auc", s.auc);
    fkp_text_append(text, ", \"all\": ");
    json_point(text, s.all);
    fkp_text_append(text, ", \"regions\": {");
    for (size_t r = 0; r < FKP_REGIONS && metrics->keypoints == FACEKP_KEYPOINTS; r++) {
        fkp_text_append(text, "%s\"%s\": ", r == 0 ? "" : ", ", fkp_region_names[r]);
        json_point(text, s.regions[r]);
    }
    fkp_text_append(text, "}, \"points\": [");
    for (size_t k = 0; k < metrics->keypoints; k++) {
        fkp_text_append(text, k == 0 ? "" : ", ");
        json_point(text, fkp_metrics_point(metrics, k));
    }
    fkp_text_append(text, "]}\n");
}

static void csv_cells(fkp_text *text, const double *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fkp_text_append(text, ",");
        fkp_text_number(text, values[i], 6);
    }
}

static void csv_row(fkp_text *text, fkp_point_metrics row) {
    csv_cells(text, (const double[]){row.error, row.residual_x, row.residual_y}, 3);
    fkp_text_append(text, ",,,,,,\n");
}

void fkp_metrics_write_csv(const fkp_metrics *metrics, fkp_text *text) {
    fkp_metrics_summary s = fkp_metrics_summarize(metrics);
    fkp_text_append(text, "what,error_px,residual_x_px,residual_y_px,mse,nme,median_error_px,p95_error_px,"
                          "failure_rate,auc\nall");
    csv_cells(text,
              (const double[]){s.all.error, s.all.residual_x, s.all.residual_y, s.mse, s.nme, s.median_error,
                               s.p95_error, s.failure_rate, s.auc},
              9);
    fkp_text_append(text, "\n");
    for (size_t r = 0; r < FKP_REGIONS && metrics->keypoints == FACEKP_KEYPOINTS; r++) {
        fkp_text_append(text, "%s", fkp_region_names[r]);
        csv_row(text, s.regions[r]);
    }
    for (size_t k = 0; k < metrics->keypoints; k++) {
        fkp_text_append(text, "%zu", k);
        csv_row(text, fkp_metrics_point(metrics, k));
    }
}
