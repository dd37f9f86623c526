/* Weights change every step, so they are packed every step: panel by panel, shared out over the threads. */
#ifndef FKP_PACK_H
#define FKP_PACK_H

#include "train/layers/layer.h"

/* fkp_gemm_pack on all threads. */
void fkp_pack_matrix(const fkp_context *context, size_t depth, size_t columns, const float *weights,
                     size_t depth_stride, size_t column_stride, float *packed);
/* fkp_convolution_pack, or with `backward` fkp_convolution_pack_backward, on all threads. */
void fkp_pack_convolution(const fkp_context *context, const fkp_convolution_run_arguments *run,
                          const float *weights, bool backward, float *packed);

#endif
