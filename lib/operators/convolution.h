/* What the parts of the convolution operator tell each other. Scratch is one slice a worker, after a shared
 * part. */
#ifndef FKP_OPERATORS_CONVOLUTION_H
#define FKP_OPERATORS_CONVOLUTION_H

#include "operators/gemm.h"

/* Winograd form (winograd.c); arguments as the public operator's, the algorithm one of Winograd's. */
size_t fkp_winograd_scratch(const fkp_kernels *kernels, const fkp_convolution_run_arguments *run,
                            size_t threads);
void fkp_winograd_run(const fkp_context *context, const fkp_convolution_run_arguments *run);

#endif
