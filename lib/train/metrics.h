/* How far predicted points lie from the true ones: the metrics of record over a set of faces.
 *
 * Errors are in pixels of the 224 crop. NME is a face's mean point error over the distance of its outer eye
 * corners (points 36 and 45); for other numbers of points than 68, over the root of the area of the true
 * points' box. */
#ifndef FKP_METRICS_H
#define FKP_METRICS_H

#include "facekp/train.h"
#include "train/text.h"

#define FKP_FAILURE_NME 0.10
#define FKP_REGIONS 5

typedef struct fkp_point_metrics {
    double error;                  /* mean distance, pixels */
    double residual_x, residual_y; /* mean of prediction minus truth, pixels */
} fkp_point_metrics;

typedef struct fkp_metrics_summary {
    size_t faces;
    double mse; /* of record: over all normalised coordinates */
    double nme, median_error, p95_error, failure_rate, auc;
    fkp_point_metrics all;
    fkp_point_metrics regions[FKP_REGIONS]; /* 68 points only: fkp_region_names */
} fkp_metrics_summary;

extern const char *const fkp_region_names[FKP_REGIONS]; /* jaw, brows, nose, eyes, mouth */

typedef struct fkp_metrics fkp_metrics;

facekp_status fkp_metrics_create(const fkp_memory *memory, size_t keypoints, size_t capacity,
                                 fkp_metrics **metrics, fkp_error *error);
void fkp_metrics_free(fkp_metrics *metrics);
void fkp_metrics_clear(fkp_metrics *metrics);
/* Counts in one face; both are 2 K normalised coordinates. At most `capacity` faces. */
void fkp_metrics_add(fkp_metrics *metrics, const float *predicted, const float *truth);
size_t fkp_metrics_count(const fkp_metrics *metrics);
/* NME of the faces in the order of adding, as a part of one. */
const float *fkp_metrics_nme(const fkp_metrics *metrics);
/* NaN throughout when no face was added. */
fkp_metrics_summary fkp_metrics_summarize(const fkp_metrics *metrics);
/* The summary in the public struct. */
facekp_train_metrics fkp_metrics_publish(const fkp_metrics_summary *summary);
fkp_point_metrics fkp_metrics_point(const fkp_metrics *metrics, size_t keypoint);

/* Writers: a table to read; one JSON object; CSV with a row for all, for each region and for each point. */
void fkp_metrics_write_text(const fkp_metrics *metrics, fkp_text *text);
void fkp_metrics_write_json(const fkp_metrics *metrics, fkp_text *text);
void fkp_metrics_write_csv(const fkp_metrics *metrics, fkp_text *text);

#endif
