/* What the parts of the convolution operator tell each other. Scratch is one slice a worker, after a shared
 * part. */
#ifndef FKP_OPERATORS_CONVOLUTION_H
#define FKP_OPERATORS_CONVOLUTION_H

#include "operators/gemm.h"

/* Direct form (convolution.c) and Winograd form (winograd.c); arguments as the public operator's. */
size_t fkp_winograd_packed_floats(const fkp_kernels *kernels, const fkp_convolution *shape,
                                  fkp_convolution_algorithm algorithm);
/* Reads weight (o, i, y, x) at weights[o * out_step + i * in_step + y * kernel + x], or turned by 180
 * degrees. */
typedef struct fkp_filter_bank {
    const float *weights;
    size_t out_step, in_step;
    bool turned;
    const float *scale; /* per output channel; NULL: 1 */
} fkp_filter_bank;
void fkp_winograd_pack(const fkp_kernels *kernels, const fkp_convolution *shape,
                       fkp_convolution_algorithm algorithm, const fkp_filter_bank *bank, float *packed);
size_t fkp_winograd_scratch(const fkp_kernels *kernels, const fkp_convolution_run_arguments *run,
                            size_t threads);
void fkp_winograd_run(const fkp_context *context, const fkp_convolution_run_arguments *run);

/* Output rows and columns that are needed: pooling drops the odd last ones. */
static inline size_t fkp_needed(size_t out, bool pool) { return pool ? out / 2 * 2 : out; }

#endif
