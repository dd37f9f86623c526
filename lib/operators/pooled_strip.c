/* Max pooling of a strip of rows that a task has just computed, and that is in its cache. */
#include "operators/convolution.h"

/* Where windows overlap, neighbouring strips both compute the rows they share, which then are few. */
enum { ROWS_A_SHARED_ROW = 7 };

size_t fkp_pooled_strip_rows(const fkp_convolution_run_arguments *run, size_t rows) {
    const fkp_window *pool = &run->pool;
    size_t shared = pool->size > pool->stride ? pool->size - pool->stride : 0;
    size_t pooled = fkp_max_size(rows / pool->stride, ROWS_A_SHARED_ROW * shared);
    return fkp_min_size(fkp_max_size(1, pooled), fkp_pooled(run->shape.out_height, pool));
}

void fkp_pool_strip_row(const fkp_kernels *kernels, const fkp_convolution_run_arguments *run,
                        const fkp_strip *strip, size_t image, size_t row) {
    const fkp_convolution *shape = &run->shape;
    const fkp_window *pool = &run->pool;
    const fkp_range span = fkp_window_span(pool, shape->out_height, row);
    const bool finishes = fkp_finishes_after_pooling(run);
    size_t height = fkp_pooled(shape->out_height, pool), width = fkp_pooled(shape->out_width, pool);
    const float *rows[FKP_WINDOW_ROWS];
    for (size_t y = span.begin; y < span.end; y++)
        rows[y - span.begin] =
            strip->rows + (y - strip->first) % strip->slots * shape->out_width * shape->out_channels;
    kernels->maximum(&(fkp_maxima){.rows = rows,
                                   .row_count = span.end - span.begin,
                                   .width = shape->out_width,
                                   .in_stride = shape->out_channels,
                                   .size = pool->size,
                                   .stride = pool->stride,
                                   .padding = pool->padding,
                                   .pixels = width,
                                   .channels = shape->out_channels,
                                   .out = run->out + (image * height + row) * width * run->out_stride,
                                   .out_stride = run->out_stride,
                                   .bias = finishes ? run->epilogue.bias : NULL,
                                   .activation = finishes ? run->epilogue.activation : FKP_ACTIVATION_NONE});
}
