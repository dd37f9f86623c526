/* BatchNorm over blocks of rows: moments, normalising, and both passes of the backward with the activation
 * that follows folded in, so that a block is read twice and written once. */
#include "train/kernels/simd/block.h"

/* Vectors of channels that are taken side by side: whole cache lines of a row, read in the order of memory
 * where rows are short. */
#define SIDE 2
/* Rows that are asked for ahead: rows of many channels lie too far apart for the hardware to foresee. */
#define AHEAD 8

/* A function of (…, first channel, vectors, lanes of each): `vectors` and whole lanes are constants there. */
#define FOR_CHANNELS(channels, function, ...)                                                                \
    do {                                                                                                     \
        size_t channel = 0;                                                                                  \
        for (; channel + SIDE * FKP_LANES <= (channels); channel += SIDE * FKP_LANES)                        \
            function(__VA_ARGS__, channel, SIDE, FKP_LANES);                                                 \
        for (; channel + FKP_LANES <= (channels); channel += FKP_LANES)                                      \
            function(__VA_ARGS__, channel, 1, FKP_LANES);                                                    \
        if (channel < (channels)) function(__VA_ARGS__, channel, 1, (channels)-channel);                     \
    } while (0)

#define CHAINS 4
#define EACH_VECTOR _Pragma("GCC unroll 2") for (size_t v = 0; v < vectors; v++)
#define EACH_CHAIN _Pragma("GCC unroll 4") for (size_t k = 0; k < CHAINS; k++)

/* Channels v of a row. */
FKP_ALWAYS_INLINE fkp_vector at(const float *row, size_t v, const size_t lanes) {
    return v_load_n(row + v * FKP_LANES, lanes);
}

/* ---- sums ---- */

/* Sums down the columns; each of CHAINS rows in turn has sums of its own, which costs no time and rounds less
 * than one long chain. */
FKP_ALWAYS_INLINE void sum_columns(const float *x, size_t stride, size_t rows, bool accumulate, float *sums,
                                   size_t c, const size_t vectors, const size_t lanes) {
    fkp_vector sum[CHAINS][SIDE];
    EACH_CHAIN EACH_VECTOR sum[k][v] = v_set(0.0f);
    x += c;
    size_t r = 0;
    for (; r + CHAINS <= rows; r += CHAINS, x += CHAINS * stride) EACH_CHAIN {
            __builtin_prefetch(x + (AHEAD + k) * stride);
            EACH_VECTOR sum[k][v] = v_add(sum[k][v], at(x + k * stride, v, lanes));
        }
    for (; r < rows; r++, x += stride) EACH_VECTOR sum[0][v] = v_add(sum[0][v], at(x, v, lanes));
    EACH_VECTOR {
        fkp_vector total = v_add(v_add(sum[0][v], sum[1][v]), v_add(sum[2][v], sum[3][v]));
        if (accumulate) total = v_add(total, at(sums + c, v, lanes));
        v_store_n(sums + c + v * FKP_LANES, lanes, total);
    }
}

static void column_sums(const float *x, size_t stride, size_t rows, size_t channels, bool accumulate,
                        float *sums) {
    FOR_CHANNELS(channels, sum_columns, x, stride, rows, accumulate, sums);
}

/* Squares about the means; the block is in the cache from the pass that made them. */
FKP_ALWAYS_INLINE void square_columns(const float *x, size_t stride, size_t rows, const float *mean,
                                      float *m2, size_t c, const size_t vectors, const size_t lanes) {
    fkp_vector middle[SIDE], sum[CHAINS][SIDE];
    EACH_VECTOR middle[v] = at(mean + c, v, lanes);
    EACH_CHAIN EACH_VECTOR sum[k][v] = v_set(0.0f);
    x += c;
    size_t r = 0;
    for (; r + CHAINS <= rows; r += CHAINS, x += CHAINS * stride) EACH_CHAIN EACH_VECTOR {
            fkp_vector d = v_sub(at(x + k * stride, v, lanes), middle[v]);
            sum[k][v] = v_fma(d, d, sum[k][v]);
        }
    for (; r < rows; r++, x += stride) EACH_VECTOR {
            fkp_vector d = v_sub(at(x, v, lanes), middle[v]);
            sum[0][v] = v_fma(d, d, sum[0][v]);
        }
    EACH_VECTOR v_store_n(m2 + c + v * FKP_LANES, lanes,
                          v_add(v_add(sum[0][v], sum[1][v]), v_add(sum[2][v], sum[3][v])));
}

/* Two passes over a block that fits the cache: the mean, then the squares about it, which loses nothing to
 * cancellation. */
static void moments(const float *x, size_t stride, size_t rows, size_t channels, float *mean, float *m2) {
    const fkp_vector share = v_set(1.0f / (float)rows);
    column_sums(x, stride, rows, channels, false, mean);
    for (size_t c = 0; c < channels; c += FKP_LANES) {
        const size_t n = v_lanes_at(c, channels);
        v_store_n(mean + c, n, v_mul(v_load_n(mean + c, n), share));
    }
    FOR_CHANNELS(channels, square_columns, x, stride, rows, mean, m2);
}

/* ---- normalising ---- */

FKP_ALWAYS_INLINE void normalize_columns(const fkp_norm_rows *rows, float *out, size_t out_stride,
                                         const fkp_activation activation, size_t c, const size_t vectors,
                                         const size_t lanes) {
    fkp_vector scale[SIDE], shift[SIDE];
    EACH_VECTOR scale[v] = at(rows->scale + c, v, lanes);
    EACH_VECTOR shift[v] = at(rows->shift + c, v, lanes);
    const float *x = rows->x + c;
    out += c;
    for (size_t r = 0; r < rows->rows; r++, x += rows->x_stride, out += out_stride) {
        __builtin_prefetch(x + AHEAD * rows->x_stride);
        EACH_VECTOR v_store_n(out + v * FKP_LANES, lanes,
                              v_activate(v_fma(at(x, v, lanes), scale[v], shift[v]), activation));
    }
}

/* ---- backward ---- */

/* One row's part of the sums. */
FKP_ALWAYS_INLINE void add_gradient(const float *x, const float *d, const fkp_vector *scale,
                                    const fkp_vector *shift, const fkp_vector *mean,
                                    const fkp_activation activation, const size_t vectors, const size_t lanes,
                                    fkp_vector *sum_d, fkp_vector *sum_dx) {
    EACH_VECTOR {
        fkp_vector value = at(x, v, lanes);
        fkp_vector dz = v_mul(at(d, v, lanes), v_slope(v_fma(value, scale[v], shift[v]), activation));
        sum_d[v] = v_add(sum_d[v], dz);
        sum_dx[v] = v_fma(dz, v_sub(value, mean[v]), sum_dx[v]);
    }
}

/* Even and odd rows have sums of their own. */
FKP_ALWAYS_INLINE void gradient_sums(const fkp_norm_rows *rows, const fkp_activation activation, size_t c,
                                     const size_t vectors, const size_t lanes) {
    fkp_vector scale[SIDE], shift[SIDE], mean[SIDE], sum_d[2][SIDE], sum_dx[2][SIDE];
    EACH_VECTOR {
        scale[v] = at(rows->scale + c, v, lanes);
        shift[v] = at(rows->shift + c, v, lanes);
        mean[v] = at(rows->mean + c, v, lanes);
        sum_d[0][v] = sum_d[1][v] = sum_dx[0][v] = sum_dx[1][v] = v_set(0.0f);
    }
    const float *x = rows->x + c, *d = rows->d + c;
    const size_t x_stride = rows->x_stride, d_stride = rows->d_stride;
    for (size_t r = 0; r + 1 < rows->rows; r += 2, x += 2 * x_stride, d += 2 * d_stride) {
        for (size_t k = 0; k < 2; k++) {
            __builtin_prefetch(x + (AHEAD + k) * x_stride);
            __builtin_prefetch(d + (AHEAD + k) * d_stride);
        }
        add_gradient(x, d, scale, shift, mean, activation, vectors, lanes, sum_d[0], sum_dx[0]);
        add_gradient(x + x_stride, d + d_stride, scale, shift, mean, activation, vectors, lanes, sum_d[1],
                     sum_dx[1]);
    }
    if (rows->rows % 2 != 0)
        add_gradient(x, d, scale, shift, mean, activation, vectors, lanes, sum_d[0], sum_dx[0]);
    EACH_VECTOR {
        v_store_n(rows->sum_d + c + v * FKP_LANES, lanes, v_add(sum_d[0][v], sum_d[1][v]));
        v_store_n(rows->sum_dx + c + v * FKP_LANES, lanes, v_add(sum_dx[0][v], sum_dx[1][v]));
    }
}

FKP_ALWAYS_INLINE void gradient_columns(const fkp_norm_rows *rows, const fkp_activation activation, size_t c,
                                        const size_t vectors, const size_t lanes) {
    fkp_vector scale[SIDE], shift[SIDE], mean[SIDE], slope[SIDE], offset[SIDE];
    EACH_VECTOR {
        scale[v] = at(rows->scale + c, v, lanes);
        shift[v] = at(rows->shift + c, v, lanes);
        mean[v] = at(rows->mean + c, v, lanes);
        slope[v] = at(rows->slope + c, v, lanes);
        offset[v] = at(rows->offset + c, v, lanes);
    }
    const float *x = rows->x + c, *d = rows->d + c;
    float *dx = rows->dx + c;
    for (size_t r = 0; r < rows->rows; r++, x += rows->x_stride, d += rows->d_stride, dx += rows->dx_stride) {
        __builtin_prefetch(x + AHEAD * rows->x_stride);
        __builtin_prefetch(d + AHEAD * rows->d_stride);
        EACH_VECTOR {
            fkp_vector value = at(x, v, lanes);
            fkp_vector dz = v_mul(at(d, v, lanes), v_slope(v_fma(value, scale[v], shift[v]), activation));
            fkp_vector rest = v_fma(slope[v], v_sub(value, mean[v]), offset[v]);
            v_store_n(dx + v * FKP_LANES, lanes, v_fma(scale[v], dz, rest));
        }
    }
}

static void normalize(const fkp_norm_rows *rows, float *out, size_t out_stride) {
#define CALL(kind) FOR_CHANNELS(rows->channels, normalize_columns, rows, out, out_stride, kind)
    FKP_FOR_EACH_ACTIVATION(rows->activation, CALL)
#undef CALL
}

static void norm_sums(const fkp_norm_rows *rows) {
#define CALL(kind) FOR_CHANNELS(rows->channels, gradient_sums, rows, kind)
    FKP_FOR_EACH_ACTIVATION(rows->activation, CALL)
#undef CALL
}

static void norm_apply(const fkp_norm_rows *rows) {
#define CALL(kind) FOR_CHANNELS(rows->channels, gradient_columns, rows, kind)
    FKP_FOR_EACH_ACTIVATION(rows->activation, CALL)
#undef CALL
}

void FKP_NAME(register_train_norm)(fkp_train_kernels *kernels) {
    kernels->moments = moments;
    kernels->column_sums = column_sums;
    kernels->normalize = normalize;
    kernels->norm_sums = norm_sums;
    kernels->norm_apply = norm_apply;
}
