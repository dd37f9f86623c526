/* The three products of a linear layer of many rows by split numbers, see fkp_split_record. */
#ifndef FKP_SPLIT_LINEAR_H
#define FKP_SPLIT_LINEAR_H

#include "train/layers/layer.h"

typedef struct fkp_linear_sizes {
    size_t rows, depth, columns;
} fkp_linear_sizes;
static inline fkp_linear_sizes fkp_linear_sizes_of(const fkp_pass *pass) {
    return (fkp_linear_sizes){fkp_pass_rows(pass), fkp_pass_in_shape(pass, 0).channels,
                              pass->layer->shape.channels};
}

/* Whether they are faster so; else the others must not be called. */
bool fkp_split_linear(const fkp_pass *pass);
/* Floats that each of them needs at most. */
size_t fkp_split_linear_scratch(const fkp_pass *pass);
void fkp_split_linear_forward(const fkp_pass *pass);
void fkp_split_linear_input_gradient(const fkp_pass *pass);
/* dW = dy^T x, a product along the rows: dy is turned while it is taken apart, x is packed as it lies. */
void fkp_split_linear_weight_gradient(const fkp_pass *pass);

#endif
