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

/* One input channel, direct form (plane_convolution.c). */
size_t fkp_plane_convolution_scratch(const fkp_convolution_run_arguments *run, size_t threads);
void fkp_plane_convolution_run(const fkp_context *context, const fkp_convolution_run_arguments *run);

/* ---- pooling at the end of a convolution in direct form (pooled_strip.c) ---- */

/* The maximum of a window may be taken before bias and activation, a fraction of the work, where those
 * never turn the order around: GELU does, and residuals differ from pixel to pixel. */
static inline bool fkp_finishes_after_pooling(const fkp_convolution_run_arguments *run) {
    return run->pool.size > 0 && run->epilogue.residual == NULL &&
           run->epilogue.activation != FKP_ACTIVATION_GELU;
}

/* Pooled rows of a strip, where without pooling it would have `rows` rows. */
size_t fkp_pooled_strip_rows(const fkp_convolution_run_arguments *run, size_t rows);

/* Rows of an image before pooling, out_width x out_channels each; row y lies in slot (y - first) % slots. */
typedef struct fkp_strip {
    const float *rows;
    size_t first, slots;
} fkp_strip;

/* One pooled row, with what is left of the epilogue, into the result. The strip has all rows of its windows.
 */
void fkp_pool_strip_row(const fkp_kernels *kernels, const fkp_convolution_run_arguments *run,
                        const fkp_strip *strip, size_t image, size_t row);

#endif
