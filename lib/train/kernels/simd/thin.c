/* Linear layers with a handful of rows (a batch of images in front of a fully connected head): the weights
 * are read once, where they lie, at the speed of memory. */
#include "train/kernels/simd/block.h"

/* `rows` is a constant where this is expanded. */
FKP_ALWAYS_INLINE void forward(const float *weights, const float *in, size_t in_stride, const size_t rows,
                               size_t depth, float *out) {
    fkp_vector sum[FKP_THIN_ROWS];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) sum[r] = v_set(0.0f);
    size_t i = 0;
    for (; i + FKP_LANES <= depth; i += FKP_LANES) {
        fkp_vector w = v_load(weights + i);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) sum[r] = v_fma(w, v_load(in + r * in_stride + i), sum[r]);
    }
    if (i < depth) {
        fkp_vector w = v_load_part(weights + i, depth - i);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++)
            sum[r] = v_fma(w, v_load_part(in + r * in_stride + i, depth - i), sum[r]);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) out[r] = v_sum(sum[r]);
}

static void thin_forward(const float *weights, const float *in, size_t in_stride, size_t rows, size_t depth,
                         float *out) {
    switch (rows) {
    case 1:
        forward(weights, in, in_stride, 1, depth, out);
        break;
    case 2:
        forward(weights, in, in_stride, 2, depth, out);
        break;
    case 3:
        forward(weights, in, in_stride, 3, depth, out);
        break;
    case 4:
        forward(weights, in, in_stride, 4, depth, out);
        break;
    case 5:
        forward(weights, in, in_stride, 5, depth, out);
        break;
    case 6:
        forward(weights, in, in_stride, 6, depth, out);
        break;
    case 7:
        forward(weights, in, in_stride, 7, depth, out);
        break;
    case 8:
        forward(weights, in, in_stride, 8, depth, out);
        break;
    default:
        break;
    }
}

static void thin_input(const fkp_thin_tile *tile) {
    for (size_t i = 0; i < tile->width; i += FKP_LANES) {
        const size_t n = v_lanes_at(i, tile->width);
        fkp_vector sum[FKP_THIN_ROWS];
        for (size_t r = 0; r < tile->rows; r++)
            sum[r] = tile->accumulate ? v_load_n(tile->in + r * tile->in_stride + i, n) : v_set(0.0f);
        for (size_t o = 0; o < tile->outputs; o++) {
            fkp_vector w = v_load_n(tile->weights + o * tile->weights_stride + i, n);
            for (size_t r = 0; r < tile->rows; r++)
                sum[r] = v_fma(v_set(tile->d[r * tile->d_stride + o]), w, sum[r]);
        }
        for (size_t r = 0; r < tile->rows; r++) v_store_n(tile->in + r * tile->in_stride + i, n, sum[r]);
    }
}

static void thin_weights(const fkp_thin_tile *tile) {
    for (size_t o = 0; o < tile->outputs; o++) {
        float *weights = tile->weights + o * tile->weights_stride;
        for (size_t i = 0; i < tile->width; i += FKP_LANES) {
            const size_t n = v_lanes_at(i, tile->width);
            fkp_vector sum = tile->accumulate ? v_load_n(weights + i, n) : v_set(0.0f);
            for (size_t r = 0; r < tile->rows; r++)
                sum = v_fma(v_set(tile->d[r * tile->d_stride + o]),
                            v_load_n(tile->in + r * tile->in_stride + i, n), sum);
            v_store_n(weights + i, n, sum);
        }
    }
}

void FKP_NAME(register_train_thin)(fkp_train_kernels *kernels) {
    kernels->thin_forward = thin_forward;
    kernels->thin_input = thin_input;
    kernels->thin_weights = thin_weights;
}
