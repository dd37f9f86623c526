/* The weight gradients of convolutions. */
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

#endif
