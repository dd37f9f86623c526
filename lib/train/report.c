#include "train/report.h"

#include <string.h>

#include "base/structs.h"
#include "decode/decode.h"

fkp_affine fkp_report_crop(const facekp_train_report *report, size_t face, int32_t size) {
    const fkp_face *record = &report->dataset->faces[report->faces[face]];
    const double scale = FKP_INPUT_CROP / size, offset = 0.5 * scale - 0.5;
    const fkp_affine resize = {scale, 0, offset, 0, scale, offset};
    return fkp_affine_multiply(
        fkp_crop_of_record(record->width, record->height, (int32_t)FKP_INPUT_CROP, -1.0, -1.0), resize);
}

facekp_status facekp_train_report_get_metrics(const facekp_train_report *report,
                                              facekp_train_metrics *metrics) {
    if (report == NULL) return FACEKP_ERROR_ARGUMENT;
    facekp_status status = fkp_struct_check(metrics, sizeof *metrics, "facekp_train_metrics", NULL);
    if (status != FACEKP_OK) return status;
    const fkp_metrics_summary summary = fkp_metrics_summarize(report->metrics);
    const facekp_train_metrics known = fkp_metrics_publish(&summary);
    fkp_struct_write(metrics, &known, sizeof known);
    return FACEKP_OK;
}

const char *facekp_train_report_text(facekp_train_report *report, int32_t format) {
    static void (*const writers[FKP_REPORT_FORMATS])(const fkp_metrics *, fkp_text *) = {
        [FACEKP_TRAIN_TEXT] = fkp_metrics_write_text,
        [FACEKP_TRAIN_JSON] = fkp_metrics_write_json,
        [FACEKP_TRAIN_CSV] = fkp_metrics_write_csv};
    if (report == NULL || format < 0 || format >= FKP_REPORT_FORMATS) return NULL;
    fkp_text *text = &report->texts[format];
    if (text->data == NULL || text->failed) {
        fkp_text_clear(text);
        writers[format](report->metrics, text);
    }
    return fkp_text_check(text, NULL) == FACEKP_OK ? fkp_text_get(text) : NULL;
}

void facekp_train_report_free(facekp_train_report *report) {
    if (report == NULL) return;
    const fkp_memory memory = report->memory;
    if (report->dataset != NULL) {
        const size_t floats = fkp_report_coordinates(report) * sizeof(float);
        fkp_release(&memory, report->predicted, report->count, floats);
        fkp_release(&memory, report->truth, report->count, floats);
    }
    for (size_t i = 0; i < FKP_REPORT_FORMATS; i++) fkp_text_free(&report->texts[i]);
    fkp_metrics_free(report->metrics);
    fkp_release(&memory, report->faces, report->face_capacity, sizeof *report->faces);
    fkp_dataset_free(report->dataset);
    facekp_session_free(report->session);
    fkp_release(&memory, report, 1, sizeof *report);
}
