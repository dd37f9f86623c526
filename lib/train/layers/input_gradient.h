/* The input gradient of a convolution with a stride: dx[y] gathers dy[(y + padding - tap) / stride] for the
 * taps where that is whole, so the pixels of dx fall into stride x stride phases, each a convolution of its
 * own with some of the taps. */
#ifndef FKP_INPUT_GRADIENT_H
#define FKP_INPUT_GRADIENT_H

#include "train/layers/layer.h"

typedef struct fkp_input_gradient {
    fkp_convolution shape; /* of the forward convolution */
    const float *weights;  /* out x in x kernel x kernel */
    fkp_view d_out, d_in;
} fkp_input_gradient;

size_t fkp_input_gradient_scratch(const fkp_kernels *kernels, const fkp_convolution *shape, size_t threads);
void fkp_input_gradient_run(const fkp_context *context, const fkp_input_gradient *run);

#endif
