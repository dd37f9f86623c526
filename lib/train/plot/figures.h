/* The pictures of a training: curves, cumulative error, contact sheets, heatmaps. */
#ifndef FKP_FIGURES_H
#define FKP_FIGURES_H

#include "image/image.h"

/* One chart of columns of an epoch log (CSV, header line, first column the x axis); `columns` are `count`
 * names, at most FKP_MAX_SERIES. FACEKP_ERROR_FORMAT for a missing column or no line. */
facekp_status fkp_figure_curves(const fkp_memory *memory, const char *log_path, const char *title,
                                const char *const *columns, size_t count, bool log_scale,
                                facekp_picture **picture, fkp_error *error);

/* Cumulative error: which part of the faces has an NME of at most x, for x up to 10 %. */
typedef struct fkp_error_series {
    const char *label;
    const float *nme; /* as a part of one */
    size_t count;
} fkp_error_series;
facekp_status fkp_figure_cumulative(const fkp_memory *memory, const char *title,
                                    const fkp_error_series *series, size_t count, facekp_picture **picture,
                                    fkp_error *error);

/* Contact sheet: each crop with the predicted points (red) over the true ones (green), a line from one to the
 * other, and up to two lines of text under it. */
typedef struct fkp_tile_view {
    const float *crop;              /* size x size, gray in [0, 1] */
    const float *predicted, *truth; /* 2 K normalised coordinates; NULL: not drawn */
    const char *name, *note;        /* may be NULL */
} fkp_tile_view;
facekp_status fkp_figure_sheet(const fkp_memory *memory, const fkp_tile_view *tiles, size_t count,
                               size_t columns, int32_t size, size_t keypoints, facekp_picture **picture,
                               fkp_error *error);

#define FKP_MAX_HEATMAP_ROW 64

/* A row of single heatmaps (the softmax of `logits`, each scaled to its peak) over a row of their targets.
 * Both are count x size x size; `numbers` are the keypoints' numbers, written above. */
facekp_status fkp_figure_heatmaps(const fkp_memory *memory, const float *logits, const float *targets,
                                  const size_t *numbers, size_t count, int32_t size, facekp_picture **picture,
                                  fkp_error *error);

/* The sum of all heatmaps (each scaled to its peak, and so is the sum) beside the crop and laid over it. */
facekp_status fkp_figure_heatmap_sum(const fkp_memory *memory, const float *logits, size_t keypoints,
                                     int32_t size, const float *crop, facekp_picture **picture,
                                     fkp_error *error);

#endif
