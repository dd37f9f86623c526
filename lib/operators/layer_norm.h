/* What the operators that normalise rows on their way into a product use of the layer norm (rows.c). */
#ifndef FKP_OPERATORS_LAYER_NORM_H
#define FKP_OPERATORS_LAYER_NORM_H

#include "operators/operators.h"

/* A norm moved to row `row`. */
static inline fkp_layer_norm fkp_layer_norm_at(const fkp_layer_norm *norm, size_t row) {
    fkp_layer_norm moved = *norm;
    if (moved.addend == NULL) return moved;
    moved.addend += row * moved.addend_stride;
    moved.sum += row * moved.sum_stride;
    return moved;
}

/* All of the rows, in one thread. */
void fkp_layer_norm_rows(const fkp_kernels *kernels, const fkp_layer_norm *norm, const fkp_rows *rows);

#endif
