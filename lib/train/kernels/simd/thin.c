/* Linear layers with a handful of rows (a batch of images in front of a fully connected head): the weights
 * are read once, where they lie, at the speed of memory. */
#include "train/kernels/simd/block.h"

/* Outputs whose sums are in registers together: the inputs come from the second-level cache, once for all of
 * them. */
#if defined(FKP_SIMD_avx512)
#define OUTPUTS 3
#else
#define OUTPUTS 1
#endif
/* Weights are asked for this many numbers ahead: several streams at a time are more than the hardware sees.
 */
#define AHEAD 256
/* Outputs that give to the inputs' gradients together. */
#define GIVERS 4

/* A call with the number of rows as a constant. */
#define FOR_ROWS(rows, call)                                                                                 \
    switch (rows) {                                                                                          \
    case 1:                                                                                                  \
        call(1);                                                                                             \
        break;                                                                                               \
    case 2:                                                                                                  \
        call(2);                                                                                             \
        break;                                                                                               \
    case 3:                                                                                                  \
        call(3);                                                                                             \
        break;                                                                                               \
    case 4:                                                                                                  \
        call(4);                                                                                             \
        break;                                                                                               \
    case 5:                                                                                                  \
        call(5);                                                                                             \
        break;                                                                                               \
    case 6:                                                                                                  \
        call(6);                                                                                             \
        break;                                                                                               \
    case 7:                                                                                                  \
        call(7);                                                                                             \
        break;                                                                                               \
    case 8:                                                                                                  \
        call(8);                                                                                             \
        break;                                                                                               \
    default:                                                                                                 \
        break;                                                                                               \
    }

/* ---- forward ---- */

/* Adds the products of one vector of inputs; n is a constant where it is expanded for a whole one. */
FKP_ALWAYS_INLINE void forward_step(const fkp_thin_tile *tile, const float *weights, size_t i, const size_t n,
                                    const size_t rows, const size_t outputs,
                                    fkp_vector sum[OUTPUTS][FKP_THIN_ROWS]) {
    fkp_vector w[OUTPUTS];
#pragma GCC unroll 8
    for (size_t o = 0; o < outputs; o++) {
        w[o] = v_load_n(weights + o * tile->weights_stride + i, n);
        __builtin_prefetch(weights + o * tile->weights_stride + i + AHEAD);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        fkp_vector x = v_load_n(tile->in + r * tile->in_stride + i, n);
#pragma GCC unroll 8
        for (size_t o = 0; o < outputs; o++) sum[o][r] = v_fma(w[o], x, sum[o][r]);
    }
}

/* `outputs` rows of weights; rows and outputs are constants where this is expanded, and the sums live in
 * registers. */
FKP_ALWAYS_INLINE void forward(const fkp_thin_tile *tile, size_t first, const size_t rows,
                               const size_t outputs) {
    fkp_vector sum[OUTPUTS][FKP_THIN_ROWS];
#pragma GCC unroll 8
    for (size_t o = 0; o < outputs; o++)
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) sum[o][r] = v_set(0.0f);
    const float *weights = tile->weights + first * tile->weights_stride;
    size_t i = 0;
    for (; i + FKP_LANES <= tile->width; i += FKP_LANES)
        forward_step(tile, weights, i, FKP_LANES, rows, outputs, sum);
    if (i < tile->width) forward_step(tile, weights, i, tile->width - i, rows, outputs, sum);
#pragma GCC unroll 8
    for (size_t o = 0; o < outputs; o++)
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            float *out = tile->out + r * tile->out_stride + first + o;
            *out = (tile->accumulate ? *out : 0.0f) + v_sum(sum[o][r]);
        }
}

FKP_ALWAYS_INLINE void forward_all(const fkp_thin_tile *tile, const size_t rows) {
    size_t o = 0;
    for (; o + OUTPUTS <= tile->outputs; o += OUTPUTS) forward(tile, o, rows, OUTPUTS);
    for (; o < tile->outputs; o++) forward(tile, o, rows, 1);
}

static void thin_forward(const fkp_thin_tile *tile){
#define CALL(rows) forward_all(tile, rows)
    FOR_ROWS(tile->rows, CALL)
#undef CALL
}

/* ---- backward ---- */

/* Adds what `outputs` outputs from `first` on give to a vector of inputs, all rows; n is a constant where
 * this is expanded for a whole one. */
FKP_ALWAYS_INLINE void input_step(const fkp_thin_tile *tile, size_t first, const size_t outputs, size_t i,
                                  const size_t n, bool accumulate, const size_t rows) {
    const float *weights = tile->weights + first * tile->weights_stride + i;
    const float *d = tile->d + first;
    const size_t stride = tile->d_stride;
    fkp_vector w[GIVERS];
#pragma GCC unroll 8
    for (size_t o = 0; o < outputs; o++) {
        w[o] = v_load_n(weights + o * tile->weights_stride, n);
        __builtin_prefetch(weights + (outputs + o) * tile->weights_stride);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        float *in = tile->in + r * tile->in_stride + i;
        fkp_vector sum = accumulate ? v_load_n(in, n) : v_set(0.0f);
#pragma GCC unroll 8
        for (size_t o = 0; o < outputs; o++) sum = v_fma(v_set(d[r * stride + o]), w[o], sum);
        v_store_n(in, n, sum);
    }
}

FKP_ALWAYS_INLINE void input_outputs(const fkp_thin_tile *tile, size_t first, const size_t outputs,
                                     const size_t rows) {
    const bool accumulate = tile->accumulate || first > 0;
    size_t i = 0;
    for (; i + FKP_LANES <= tile->width; i += FKP_LANES)
        input_step(tile, first, outputs, i, FKP_LANES, accumulate, rows);
    if (i < tile->width) input_step(tile, first, outputs, i, tile->width - i, accumulate, rows);
}

FKP_ALWAYS_INLINE void input_all(const fkp_thin_tile *tile, const size_t rows) {
    size_t o = 0;
    for (; o + GIVERS <= tile->outputs; o += GIVERS) input_outputs(tile, o, GIVERS, rows);
    for (; o < tile->outputs; o++) input_outputs(tile, o, 1, rows);
}

static void thin_input(const fkp_thin_tile *tile){
#define CALL(rows) input_all(tile, rows)
    FOR_ROWS(tile->rows, CALL)
#undef CALL
}

/* One vector of one output's weight gradients; n is a constant where this is expanded for a whole one. */
FKP_ALWAYS_INLINE void weights_step(const fkp_thin_tile *tile, float *weights, const fkp_vector *d, size_t i,
                                    const size_t n, const size_t rows) {
    fkp_vector sum = tile->accumulate ? v_load_n(weights + i, n) : v_set(0.0f);
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) sum = v_fma(d[r], v_load_n(tile->in + r * tile->in_stride + i, n), sum);
    v_store_n(weights + i, n, sum);
}

FKP_ALWAYS_INLINE void weights_all(const fkp_thin_tile *tile, const size_t rows) {
    for (size_t o = 0; o < tile->outputs; o++) {
        float *weights = tile->weights + o * tile->weights_stride;
        fkp_vector d[FKP_THIN_ROWS];
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) d[r] = v_set(tile->d[r * tile->d_stride + o]);
        size_t i = 0;
        for (; i + FKP_LANES <= tile->width; i += FKP_LANES)
            weights_step(tile, weights, d, i, FKP_LANES, rows);
        if (i < tile->width) weights_step(tile, weights, d, i, tile->width - i, rows);
    }
}

static void thin_weights(const fkp_thin_tile *tile) {
#define CALL(rows) weights_all(tile, rows)
    FOR_ROWS(tile->rows, CALL)
#undef CALL
}

void FKP_NAME(register_train_thin)(fkp_train_kernels *kernels) {
    kernels->thin_forward = thin_forward;
    kernels->thin_input = thin_input;
    kernels->thin_weights = thin_weights;
}
