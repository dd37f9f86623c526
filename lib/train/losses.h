/* Losses: the value for a batch, and its gradient. Reductions and constants are PyTorch's where PyTorch has
 * the loss. */
#ifndef FKP_LOSSES_H
#define FKP_LOSSES_H

#include "graph/graph.h"

typedef enum fkp_loss_kind {
    /* Regression: means over all coordinates. */
    FKP_LOSS_SMOOTH_L1, /* d^2 / (2 beta) below beta, |d| - beta / 2 above */
    FKP_LOSS_MSE,
    FKP_LOSS_L1,
    FKP_LOSS_WING,      /* Feng et al., CVPR 2018: w ln(1 + |d| / e) below w, |d| - C above */
    FKP_LOSS_SOFT_WING, /* Lin et al. 2021: |d| below w1, w2 ln(1 + |d| / e) + B above */
    /* Heatmaps: the target is a one at the keypoint's cell, then a Gaussian filter of deviation sigma (cut at
     * 4 sigma, reflected at the border, so that it sums to one); nothing for a keypoint outside the map. */
    FKP_LOSS_CROSS_ENTROPY, /* over the cells of each map; mean over batch and keypoints */
    FKP_LOSS_BCE,           /* with logits; mean over all cells */
    FKP_LOSS_HEATMAP_MSE,   /* mean over all cells */
    FKP_LOSS_KINDS
} fkp_loss_kind;

/* Zero is the default of every field. */
typedef struct fkp_loss {
    fkp_loss_kind kind;
    float beta;      /* smooth L1: 0 is 1 */
    float width;     /* Wing w, Soft-Wing w2: 0 is 0.2 (10 of 50 pixels) and 0.4 */
    float threshold; /* Soft-Wing w1: 0 is 0.04 */
    float curvature; /* Wing e, Soft-Wing e: 0 is 0.04 and 0.01 */
    float sigma;     /* heatmaps: 0 is 2.33 cells */
    /* Heatmaps: times the mean smooth L1 distance, in cells, of the maps' soft-argmax from the keypoints,
     * added to the loss (integral regression, Sun et al., ECCV 2018). 0: none. */
    float integral;
} fkp_loss;

typedef struct fkp_loss_batch {
    size_t count;        /* images */
    fkp_shape shape;     /* of one image's output */
    const float *output; /* count x shape rows, as fkp_gradient_forward leaves them */
    /* Regression: count x channels, the coordinates. Heatmaps: count x channels x 2, (x, y) in cells, the
     * centre of the first cell being (0, 0). */
    const float *targets;
    float *d_output; /* gradient, shaped as output; may be output itself; NULL: the value alone */
} fkp_loss_batch;

/* Names as in configuration files ("smooth-l1", "mse", "l1", "wing", "soft-wing", "cross-entropy", "bce",
 * "heatmap-mse"); NULL and FKP_LOSS_KINDS for what does not exist. */
const char *fkp_loss_name(fkp_loss_kind kind);
fkp_loss_kind fkp_loss_named(const char *name);
/* Whether the loss is one for heatmaps. */
bool fkp_loss_is_heatmap(fkp_loss_kind kind);

/* Floats of context->scratch for a batch of `count` images of that shape. */
size_t fkp_loss_scratch(const fkp_loss *loss, fkp_shape shape, size_t count);
/* The mean loss of the batch. */
double fkp_loss_run(const fkp_context *context, const fkp_loss *loss, const fkp_loss_batch *batch);

/* The target maps themselves (count x shape rows), for pictures of them. */
void fkp_loss_target_maps(const fkp_loss *loss, size_t count, fkp_shape shape, const float *targets,
                          float *maps);

#endif
