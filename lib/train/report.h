/* A report: faces measured with a model, their predictions, and what their pictures need.
 *
 *   evaluate.c  predicts and measures
 *   report.c    metrics, text, end
 *   pictures.c  contact sheets, heatmaps, curves */
#ifndef FKP_REPORT_H
#define FKP_REPORT_H

#include "train/data/dataset.h"
#include "train/metrics.h"

#define FKP_REPORT_FORMATS 3

struct facekp_train_report {
    fkp_memory memory;
    facekp_session *session; /* holds the model */
    facekp_model_info model; /* without its strings */
    fkp_dataset *dataset;
    size_t *faces; /* the ones measured, numbers in the data set; face_capacity allocated */
    size_t face_capacity, count;
    fkp_metrics *metrics; /* in the order of `faces` */
    float *predicted;     /* count x keypoints x 2, normalised */
    float *truth;
    fkp_text texts[FKP_REPORT_FORMATS];
};

static inline size_t fkp_report_coordinates(const facekp_train_report *report) {
    return 2 * report->dataset->keypoints;
}

/* The map of the preprocessing of record, size x size crop -> image, of a face of the report. */
fkp_affine fkp_report_crop(const facekp_train_report *report, size_t face, int32_t size);

#endif
