/* Sums of outer products over pixels or rows: the weight gradients. */
#ifndef FKP_WEIGHT_GRADIENT_H
#define FKP_WEIGHT_GRADIENT_H

#include "train/layers/layer.h"

/* d_weights[o][i][y][x] (+)= sum over output pixels of in[pixel moved by (y, x)][i] d_out[pixel][o]. */
typedef struct fkp_convolution_weights {
    fkp_convolution shape;
    fkp_convolution_algorithm algorithm; /* one that fkp_convolution_can() do for the shape */
    fkp_view in, d_out;
    float *d_weights; /* out x in x kernel x kernel */
    bool accumulate;
} fkp_convolution_weights;
/* Weight gradients have the direct form and Winograd's of stride 1. */
bool fkp_convolution_weights_can(const fkp_convolution *shape, fkp_convolution_algorithm algorithm);
/* The fastest algorithm by the cost model. */
fkp_convolution_algorithm fkp_convolution_weights_choose(const fkp_kernels *kernels,
                                                         const fkp_convolution *shape);
/* Of `run` shape and algorithm are looked at. */
size_t fkp_convolution_weights_scratch(const fkp_kernels *kernels, const fkp_convolution_weights *run,
                                       size_t threads);
void fkp_convolution_weights_run(const fkp_context *context, const fkp_train_kernels *train,
                                 const fkp_convolution_weights *run);

/* The same by one of Winograd's algorithms (winograd_gradient.c). The cost is in multiply-adds. */
double fkp_winograd_weights_cost(const fkp_kernels *kernels, const fkp_convolution_weights *run);
size_t fkp_winograd_weights_scratch(const fkp_kernels *kernels, const fkp_convolution_weights *run);
void fkp_winograd_weights_run(const fkp_context *context, const fkp_train_kernels *train,
                              const fkp_convolution_weights *run);

/* c[i][j] (+)= sum over rows of a[row][i] b[row][j]; scratch as *_scratch says. */
typedef struct fkp_outer {
    size_t rows, a_channels, b_channels;
    fkp_view a, b;
    float *c;
    size_t c_stride;
    bool accumulate;
} fkp_outer;
size_t fkp_outer_scratch(size_t threads);
void fkp_outer_run(const fkp_context *context, const fkp_train_kernels *train, const fkp_outer *job);
/* The same on one worker, for layers that share their work out otherwise. `pointers`: FKP_OUTER_PIXELS. */
#define FKP_OUTER_PIXELS 256
void fkp_outer_serial(const fkp_train_kernels *train, const fkp_outer *job, const float **pointers);

#endif
