/* Work over rows, cut into blocks by shape alone; and the sums that run over all rows. */
#ifndef FKP_BLOCKS_H
#define FKP_BLOCKS_H

#include "train/layers/layer.h"

typedef struct fkp_row_block {
    size_t begin, end; /* rows */
    size_t index;      /* of the block */
    size_t worker;
} fkp_row_block;
typedef void (*fkp_row_task)(const void *argument, const fkp_row_block *block);

/* Rows of a block: about 64 KB of a tensor of that many channels. */
static inline size_t fkp_rows_per_block(size_t channels) { return fkp_max_size(1, 16384 / channels); }
static inline size_t fkp_row_blocks(size_t rows, size_t channels) {
    return fkp_divide_up(rows, fkp_rows_per_block(channels));
}
void fkp_row_blocks_run(fkp_pool *pool, size_t rows, size_t channels, fkp_row_task task,
                        const void *argument);

/* sums[c] (+)= sum over rows of x: blocks in float, added up in double. Scratch: fkp_column_sums_scratch
 * floats. */
size_t fkp_column_sums_scratch(size_t rows, size_t channels);
void fkp_column_sums_run(const fkp_context *context, const fkp_train_kernels *train, fkp_view x, size_t rows,
                         size_t channels, bool accumulate, float *sums);
/* sums[c] (+)= sum over b of partial[b * stride + c], in the order of b, in double. */
void fkp_add_partial_sums(const float *partial, size_t stride, size_t blocks, size_t channels,
                          bool accumulate, float *sums);

/* Copies rows, or adds them onto what is there; strides as the views have them. */
void fkp_copy_rows(const fkp_context *context, size_t rows, size_t channels, fkp_view from, fkp_view to,
                   bool accumulate);

#endif
