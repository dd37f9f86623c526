/* What the parts of the convolution operator tell each other. Scratch is one slice a worker, after a shared
 * part. */
#ifndef FKP_OPERATORS_CONVOLUTION_H
#define FKP_OPERATORS_CONVOLUTION_H

#include "operators/gemm.h"

/* How Winograd's form cuts a side of the results: into tiles of m, and behind them tiles of m - 1, which need
 * fewer products; so that as little as possible is computed beyond the end. */
typedef struct fkp_tile_side {
    size_t full, cut;
} fkp_tile_side;
fkp_tile_side fkp_tile_side_of(size_t results, size_t m);

/* Winograd form (winograd.c); arguments as the public operator's, the algorithm one of Winograd's. */
size_t fkp_winograd_scratch(const fkp_kernels *kernels, const fkp_convolution_run_arguments *run,
                            size_t threads);
void fkp_winograd_run(const fkp_context *context, const fkp_convolution_run_arguments *run);

#endif
