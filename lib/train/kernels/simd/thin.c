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
/* Weights whose reading is asked for ahead, in rows. */
#define AHEAD 4

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

/* `outputs` rows of weights; rows and outputs are constants where this is expanded. */
FKP_ALWAYS_INLINE void forward(const fkp_thin_tile *tile, size_t first, const size_t rows,
                               const size_t outputs) {
    fkp_vector sum[OUTPUTS][FKP_THIN_ROWS];
    for (size_t o = 0; o < outputs; o++)
        for (size_t r = 0; r < rows; r++) sum[o][r] = v_set(0.0f);
    const float *weights = tile->weights + first * tile->weights_stride;
    for (size_t i = 0; i < tile->width; i += FKP_LANES) {
        const size_t n = v_lanes_at(i, tile->width);
        fkp_vector w[OUTPUTS];
#pragma GCC unroll 8
        for (size_t o = 0; o < outputs; o++) w[o] = v_load_n(weights + o * tile->weights_stride + i, n);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            fkp_vector x = v_load_n(tile->in + r * tile->in_stride + i, n);
#pragma GCC unroll 8
            for (size_t o = 0; o < outputs; o++) sum[o][r] = v_fma(w[o], x, sum[o][r]);
        }
    }
    for (size_t o = 0; o < outputs; o++)
        for (size_t r = 0; r < rows; r++) tile->out[r * tile->out_stride + first + o] = v_sum(sum[o][r]);
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

/* Adds what `outputs` outputs from `first` on give to a vector of inputs, all rows. */
FKP_ALWAYS_INLINE void add_outputs(const fkp_thin_tile *tile, size_t first, const size_t outputs, size_t i,
                                   size_t n, bool accumulate, const size_t rows) {
    const float *weights = tile->weights + first * tile->weights_stride + i;
    fkp_vector w[AHEAD];
#pragma GCC unroll 8
    for (size_t o = 0; o < outputs; o++) {
        w[o] = v_load_n(weights + o * tile->weights_stride, n);
        if (first + AHEAD + o < tile->outputs)
            __builtin_prefetch(weights + (AHEAD + o) * tile->weights_stride);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        float *in = tile->in + r * tile->in_stride + i;
        fkp_vector sum = accumulate ? v_load_n(in, n) : v_set(0.0f);
#pragma GCC unroll 8
        for (size_t o = 0; o < outputs; o++)
            sum = v_fma(v_set(tile->d[r * tile->d_stride + first + o]), w[o], sum);
        v_store_n(in, n, sum);
    }
}

FKP_ALWAYS_INLINE void input_all(const fkp_thin_tile *tile, const size_t rows) {
    for (size_t o = 0; o < tile->outputs;) {
        const size_t outputs = o + AHEAD <= tile->outputs ? AHEAD : 1;
        const bool accumulate = tile->accumulate || o > 0;
        for (size_t i = 0; i < tile->width; i += FKP_LANES) {
            const size_t n = v_lanes_at(i, tile->width);
            if (outputs == AHEAD)
                add_outputs(tile, o, AHEAD, i, n, accumulate, rows);
            else
                add_outputs(tile, o, 1, i, n, accumulate, rows);
        }
        o += outputs;
    }
}

static void thin_input(const fkp_thin_tile *tile){
#define CALL(rows) input_all(tile, rows)
    FOR_ROWS(tile->rows, CALL)
#undef CALL
}

FKP_ALWAYS_INLINE void weights_all(const fkp_thin_tile *tile, const size_t rows) {
    for (size_t o = 0; o < tile->outputs; o++) {
        float *weights = tile->weights + o * tile->weights_stride;
        fkp_vector d[FKP_THIN_ROWS];
        for (size_t r = 0; r < rows; r++) d[r] = v_set(tile->d[r * tile->d_stride + o]);
        for (size_t i = 0; i < tile->width; i += FKP_LANES) {
            const size_t n = v_lanes_at(i, tile->width);
            fkp_vector sum = tile->accumulate ? v_load_n(weights + i, n) : v_set(0.0f);
#pragma GCC unroll 8
            for (size_t r = 0; r < rows; r++)
                sum = v_fma(d[r], v_load_n(tile->in + r * tile->in_stride + i, n), sum);
            v_store_n(weights + i, n, sum);
        }
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
