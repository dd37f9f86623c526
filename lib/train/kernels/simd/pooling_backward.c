/* Max pooling, backward: finds each window's first largest input again instead of having stored where it was.
 */
#include "train/kernels/simd/block.h"

/* One window, one vector of channels: what is left of d goes to the first input that is not below the
 * maximum. */
FKP_ALWAYS_INLINE void scatter(const fkp_pooling_row *row, size_t pixel, size_t begin, size_t end, size_t c,
                               const size_t n, const bool accumulate) {
    const fkp_vector zero = v_set(0.0f);
    fkp_vector largest = v_load_n(row->out + pixel * row->out_stride + c, n);
    fkp_vector left = v_load_n(row->d_out + pixel * row->d_out_stride + c, n);
    for (size_t y = 0; y < row->window_rows; y++)
        for (size_t x = begin; x < end; x++) {
            const float *in = row->in + y * row->in_row_stride + x * row->in_stride + c;
            float *d_in = row->d_in + y * row->d_in_row_stride + x * row->d_in_stride + c;
            fkp_mask below = v_greater(largest, v_load_n(in, n));
            fkp_vector given = v_select(below, zero, left);
            v_store_n(d_in, n, accumulate ? v_add(v_load_n(d_in, n), given) : given);
            left = v_select(below, left, zero);
        }
}

/* Output pixels ahead of the present one whose windows are asked for. */
#define AHEAD 4

FKP_ALWAYS_INLINE void fetch(const fkp_pooling_row *row, size_t first, size_t c) {
    for (size_t y = 0; y < row->window_rows; y++)
        for (size_t x = first; x < first + row->stride && x < row->width; x++)
            __builtin_prefetch(row->in + y * row->in_row_stride + x * row->in_stride + c);
}

FKP_ALWAYS_INLINE void scatter_row(const fkp_pooling_row *row, const bool accumulate) {
    for (size_t pixel = 0; pixel < row->pixels; pixel++) {
        size_t first = pixel * row->stride, last = first + row->kernel;
        size_t begin = first < row->padding ? 0 : first - row->padding;
        size_t end = last < row->padding ? 0 : last - row->padding;
        if (end > row->width) end = row->width;
        size_t c = 0;
        for (; c + FKP_LANES <= row->channels; c += FKP_LANES) {
            if (c % 16 == 0) fetch(row, begin + AHEAD * row->stride, c);
            scatter(row, pixel, begin, end, c, FKP_LANES, accumulate);
        }
        if (c < row->channels) scatter(row, pixel, begin, end, c, row->channels - c, accumulate);
    }
}

static void max_pooling_backward(const fkp_pooling_row *row) {
    if (row->accumulate)
        scatter_row(row, true);
    else
        scatter_row(row, false);
}

void FKP_NAME(register_train_pooling)(fkp_train_kernels *kernels) {
    kernels->max_pooling_backward = max_pooling_backward;
}
