/* What the matrix product and the convolutions share: panels and blocks of depth. */
#ifndef FKP_OPERATORS_GEMM_H
#define FKP_OPERATORS_GEMM_H

#include "base/checked.h"
#include "operators/operators.h"

/* Register tiles of any instruction set have at most this many rows: row pointers live in small arrays. */
#define FKP_MAX_TILE_ROWS 16

/* Rows of a task: enough to use a panel that has come into the cache, few enough to share the work out. */
#define FKP_TASK_ROWS 96

/* Panels whose depth is larger than this are used block by block, so that a block stays in the second-level
 * cache. */
#define FKP_DEPTH_BLOCK 768

static inline size_t fkp_panels(const fkp_kernels *kernels, size_t columns) {
    return fkp_divide_up(columns, kernels->gemm.columns);
}
/* Columns of a panel, and the width it is stored with. */
static inline size_t fkp_panel_columns(const fkp_kernels *kernels, size_t columns, size_t panel) {
    return fkp_min_size(kernels->gemm.columns, columns - panel * kernels->gemm.columns);
}
static inline size_t fkp_panel_width(const fkp_kernels *kernels, size_t columns, size_t panel) {
    size_t granule = kernels->gemm.granule;
    return fkp_divide_up(fkp_panel_columns(kernels, columns, panel), granule) * granule;
}
/* Columns of all panels as stored. */
static inline size_t fkp_packed_columns(const fkp_kernels *kernels, size_t columns) {
    return fkp_divide_up(columns, kernels->gemm.granule) * kernels->gemm.granule;
}
/* Filters of a panel of a convolution. Winograd's panels are a vector wide: each is read as one run. */
static inline size_t fkp_filter_panel(const fkp_kernels *kernels, fkp_convolution_algorithm algorithm) {
    return algorithm == FKP_CONVOLUTION_DIRECT ? kernels->gemm.columns : kernels->gemm.granule;
}
/* What tile number `index` of a block asks for, of the `floats` from `next` on that the next block reads: all
 * of it within the first tiles. */
static inline const float *fkp_fetched(const float *next, size_t floats, size_t index, size_t steps) {
    return next != NULL && index * steps * 16 < floats ? next + index * steps * 16 : NULL;
}
/* An epilogue moved to the tile that begins at (row, column). */
static inline fkp_epilogue fkp_epilogue_at(const fkp_epilogue *epilogue, size_t row, size_t column) {
    fkp_epilogue moved = *epilogue;
    if (moved.bias != NULL) moved.bias += column;
    if (moved.residual != NULL) moved.residual += row * moved.residual_stride + column;
    return moved;
}

/* The packed matrix's columns as rows, `stride` apart (gemm_planes.c). */
void fkp_gemm_turn(const fkp_kernels *kernels, const fkp_gemm *gemm, float *turned, size_t stride);

#endif
