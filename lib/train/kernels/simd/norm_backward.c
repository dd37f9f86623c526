/* BatchNorm over blocks of rows: moments, normalising, and both passes of the backward with the activation
 * that follows folded in, so that a block is read twice and written once. */
#include "train/kernels/simd/block.h"

/* Two passes over a block that fits the cache: the mean, then the squares about it, which loses nothing to
 * cancellation. */
static void moments(const float *x, size_t stride, size_t rows, size_t channels, float *mean, float *m2) {
    const fkp_vector share = v_set(1.0f / (float)rows);
    for (size_t c = 0; c < channels; c += FKP_LANES) {
        const size_t n = v_lanes_at(c, channels);
        fkp_vector sum[4] = {v_set(0.0f), v_set(0.0f), v_set(0.0f), v_set(0.0f)};
        for (size_t r = 0; r < rows; r++) sum[r % 4] = v_add(sum[r % 4], v_load_n(x + r * stride + c, n));
        fkp_vector middle = v_mul(v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3])), share);
        for (size_t i = 0; i < 4; i++) sum[i] = v_set(0.0f);
        for (size_t r = 0; r < rows; r++) {
            fkp_vector d = v_sub(v_load_n(x + r * stride + c, n), middle);
            sum[r % 4] = v_fma(d, d, sum[r % 4]);
        }
        v_store_n(mean + c, n, middle);
        v_store_n(m2 + c, n, v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3])));
    }
}

static void column_sums(const float *x, size_t stride, size_t rows, size_t channels, bool accumulate,
                        float *sums) {
    for (size_t c = 0; c < channels; c += FKP_LANES) {
        const size_t n = v_lanes_at(c, channels);
        fkp_vector sum[4] = {v_set(0.0f), v_set(0.0f), v_set(0.0f), v_set(0.0f)};
        for (size_t r = 0; r < rows; r++) sum[r % 4] = v_add(sum[r % 4], v_load_n(x + r * stride + c, n));
        fkp_vector total = v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3]));
        v_store_n(sums + c, n, accumulate ? v_add(total, v_load_n(sums + c, n)) : total);
    }
}

FKP_ALWAYS_INLINE void normalize_as(const fkp_norm_rows *rows, float *out, size_t out_stride,
                                    const fkp_activation activation) {
    for (size_t c = 0; c < rows->channels; c += FKP_LANES) {
        const size_t n = v_lanes_at(c, rows->channels);
        const fkp_vector scale = v_load_n(rows->scale + c, n), shift = v_load_n(rows->shift + c, n);
        for (size_t r = 0; r < rows->rows; r++) {
            fkp_vector z = v_fma(v_load_n(rows->x + r * rows->x_stride + c, n), scale, shift);
            v_store_n(out + r * out_stride + c, n, v_activate(z, activation));
        }
    }
}

FKP_ALWAYS_INLINE void sums_as(const fkp_norm_rows *rows, const fkp_activation activation) {
    for (size_t c = 0; c < rows->channels; c += FKP_LANES) {
        const size_t n = v_lanes_at(c, rows->channels);
        const fkp_vector scale = v_load_n(rows->scale + c, n), shift = v_load_n(rows->shift + c, n);
        const fkp_vector mean = v_load_n(rows->mean + c, n);
        fkp_vector sum_d[2] = {v_set(0.0f), v_set(0.0f)}, sum_dx[2] = {v_set(0.0f), v_set(0.0f)};
        for (size_t r = 0; r < rows->rows; r++) {
            fkp_vector x = v_load_n(rows->x + r * rows->x_stride + c, n);
            fkp_vector d = v_load_n(rows->d + r * rows->d_stride + c, n);
            fkp_vector dz = v_mul(d, v_slope(v_fma(x, scale, shift), activation));
            sum_d[r % 2] = v_add(sum_d[r % 2], dz);
            sum_dx[r % 2] = v_fma(dz, v_sub(x, mean), sum_dx[r % 2]);
        }
        v_store_n(rows->sum_d + c, n, v_add(sum_d[0], sum_d[1]));
        v_store_n(rows->sum_dx + c, n, v_add(sum_dx[0], sum_dx[1]));
    }
}

FKP_ALWAYS_INLINE void apply_as(const fkp_norm_rows *rows, const fkp_activation activation) {
    for (size_t c = 0; c < rows->channels; c += FKP_LANES) {
        const size_t n = v_lanes_at(c, rows->channels);
        const fkp_vector scale = v_load_n(rows->scale + c, n), shift = v_load_n(rows->shift + c, n);
        const fkp_vector mean = v_load_n(rows->mean + c, n);
        const fkp_vector slope = v_load_n(rows->slope + c, n), offset = v_load_n(rows->offset + c, n);
        for (size_t r = 0; r < rows->rows; r++) {
            fkp_vector x = v_load_n(rows->x + r * rows->x_stride + c, n);
            fkp_vector d = v_load_n(rows->d + r * rows->d_stride + c, n);
            fkp_vector dz = v_mul(d, v_slope(v_fma(x, scale, shift), activation));
            fkp_vector dx = v_fma(scale, dz, v_fma(slope, v_sub(x, mean), offset));
            v_store_n(rows->dx + r * rows->dx_stride + c, n, dx);
        }
    }
}

/* The switch stands outside the loops, once for a block. */
#define FOR_EACH_ACTIVATION(activation, call)                                                                \
    switch (activation) {                                                                                    \
    case FKP_ACTIVATION_NONE:                                                                                \
        call(FKP_ACTIVATION_NONE);                                                                           \
        break;                                                                                               \
    case FKP_ACTIVATION_RELU:                                                                                \
        call(FKP_ACTIVATION_RELU);                                                                           \
        break;                                                                                               \
    case FKP_ACTIVATION_ELU:                                                                                 \
        call(FKP_ACTIVATION_ELU);                                                                            \
        break;                                                                                               \
    case FKP_ACTIVATION_GELU:                                                                                \
        call(FKP_ACTIVATION_GELU);                                                                           \
        break;                                                                                               \
    }

static void normalize(const fkp_norm_rows *rows, float *out, size_t out_stride) {
#define CALL(kind) normalize_as(rows, out, out_stride, kind)
    FOR_EACH_ACTIVATION(rows->activation, CALL)
#undef CALL
}

static void norm_sums(const fkp_norm_rows *rows) {
#define CALL(kind) sums_as(rows, kind)
    FOR_EACH_ACTIVATION(rows->activation, CALL)
#undef CALL
}

static void norm_apply(const fkp_norm_rows *rows) {
#define CALL(kind) apply_as(rows, kind)
    FOR_EACH_ACTIVATION(rows->activation, CALL)
#undef CALL
}

void FKP_NAME(register_train_norm)(fkp_train_kernels *kernels) {
    kernels->moments = moments;
    kernels->column_sums = column_sums;
    kernels->normalize = normalize;
    kernels->norm_sums = norm_sums;
    kernels->norm_apply = norm_apply;
}
