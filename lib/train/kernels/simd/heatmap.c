/* Losses over heatmaps, whose channels lie side by side: softmax down the rows, a vector of channels at a
 * time. */
#include "train/kernels/simd/block.h"

static void softmax_chunk(const float *x, size_t stride, size_t rows, size_t channels, float *maximum,
                          float *sum) {
    for (size_t c = 0; c < channels; c += FKP_LANES) {
        const size_t n = v_lanes_at(c, channels);
        fkp_vector largest = v_load_n(x + c, n);
        for (size_t r = 1; r < rows; r++) largest = v_max(largest, v_load_n(x + r * stride + c, n));
        fkp_vector total = v_set(0.0f);
        for (size_t r = 0; r < rows; r++)
            total = v_add(total, v_exp_or_zero(v_sub(v_load_n(x + r * stride + c, n), largest)));
        v_store_n(maximum + c, n, largest);
        v_store_n(sum + c, n, total);
    }
}

static void softmax_row(const float *x, const float *maximum, const float *factor, float *out,
                        size_t channels) {
    for (size_t c = 0; c < channels; c += FKP_LANES) {
        const size_t n = v_lanes_at(c, channels);
        fkp_vector e = v_exp_or_zero(v_sub(v_load_n(x + c, n), v_load_n(maximum + c, n)));
        v_store_n(out + c, n, v_mul(e, v_load_n(factor + c, n)));
    }
}

/* ln(1 + u) for u in [0, 1]: 2 atanh(u / (2 + u)), whose series in s = u / (2 + u) <= 1/3 ends quickly. */
FKP_ALWAYS_INLINE fkp_vector log1p_of(fkp_vector u) {
    fkp_vector s = v_div(u, v_add(u, v_set(2.0f))), s2 = v_mul(s, s);
    fkp_vector p = v_set(2.0f / 15.0f);
    p = v_fma(p, s2, v_set(2.0f / 13.0f));
    p = v_fma(p, s2, v_set(2.0f / 11.0f));
    p = v_fma(p, s2, v_set(2.0f / 9.0f));
    p = v_fma(p, s2, v_set(2.0f / 7.0f));
    p = v_fma(p, s2, v_set(2.0f / 5.0f));
    p = v_fma(p, s2, v_set(2.0f / 3.0f));
    p = v_fma(p, s2, v_set(2.0f));
    return v_mul(p, s);
}

/* Both from e = exp(-|x|), so that nothing overflows. */
static void sigmoid_row(const float *x, float *sigmoid, float *softplus, size_t channels) {
    const fkp_vector zero = v_set(0.0f), one = v_set(1.0f);
    for (size_t c = 0; c < channels; c += FKP_LANES) {
        const size_t n = v_lanes_at(c, channels);
        fkp_vector v = v_load_n(x + c, n);
        fkp_vector e = v_exp_or_zero(v_sub(zero, v_abs(v)));
        fkp_vector share = v_div(one, v_add(one, e));
        v_store_n(sigmoid + c, n, v_select(v_greater(zero, v), v_mul(e, share), share));
        v_store_n(softplus + c, n, v_add(v_max(v, zero), log1p_of(e)));
    }
}

void FKP_NAME(register_train_heatmap)(fkp_train_kernels *kernels) {
    kernels->softmax_chunk = softmax_chunk;
    kernels->softmax_row = softmax_row;
    kernels->sigmoid_row = sigmoid_row;
}
