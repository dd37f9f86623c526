/* Sums of outer products over rows: a matrix product whose first factor is turned. The weight gradient of a
 * linear layer, and gradients through attention. */
#ifndef FKP_OUTER_H
#define FKP_OUTER_H

#include "train/layers/layer.h"

/* c[i][j] (+)= sum over rows of a[row][i] b[row][j]. */
typedef struct fkp_outer {
    size_t rows, a_channels, b_channels;
    fkp_view a, b;
    float *c;
    size_t c_stride;
    bool accumulate;
} fkp_outer;

size_t fkp_outer_scratch(size_t threads);
void fkp_outer_run(const fkp_context *context, const fkp_train_kernels *train, const fkp_outer *job);

/* The same on one worker, for layers that share their work out otherwise and whose `a` lies in the caches. */
size_t fkp_outer_serial_floats(void);
void fkp_outer_serial(const fkp_train_kernels *train, const fkp_outer *job, float *memory);

/* Rows of every tile when `count` of them are made of as few tiles as at most `limit` rows allow, evenly. */
static inline size_t fkp_even_rows(size_t count, size_t limit) {
    return fkp_divide_up(count, fkp_divide_up(count, limit));
}

#endif
