/* Backward kernels of single rows: activations, dropout, layer norm, softmax. */
#include <string.h>

#include "base/random.h"
#include "train/kernels/simd/block.h"

/* activation' from the output of ReLU and ELU (exp(z) = y + 1 below zero), from the input of GELU. */
FKP_ALWAYS_INLINE fkp_vector slope_of_value(fkp_vector value, fkp_activation activation) {
    if (activation == FKP_ACTIVATION_ELU)
        return v_select(v_greater(value, v_set(0.0f)), v_set(1.0f), v_add(value, v_set(1.0f)));
    return v_slope(value, activation);
}

FKP_ALWAYS_INLINE void activation_as(const float *value, const float *d, float *d_in, size_t count,
                                     const fkp_activation activation) {
    for (size_t i = 0; i < count; i += FKP_LANES) {
        const size_t n = v_lanes_at(i, count);
        __builtin_prefetch(value + i + FKP_STREAM_AHEAD);
        __builtin_prefetch(d + i + FKP_STREAM_AHEAD);
        v_store_n(d_in + i, n, v_mul(v_load_n(d + i, n), slope_of_value(v_load_n(value + i, n), activation)));
    }
}

static void activation_backward(const float *value, const float *d, float *d_in, size_t count,
                                fkp_activation activation) {
    switch (activation) {
    case FKP_ACTIVATION_NONE:
        activation_as(value, d, d_in, count, FKP_ACTIVATION_NONE);
        break;
    case FKP_ACTIVATION_RELU:
        activation_as(value, d, d_in, count, FKP_ACTIVATION_RELU);
        break;
    case FKP_ACTIVATION_ELU:
        activation_as(value, d, d_in, count, FKP_ACTIVATION_ELU);
        break;
    case FKP_ACTIVATION_GELU:
        activation_as(value, d, d_in, count, FKP_ACTIVATION_GELU);
        break;
    }
}

/* Unit u has 16 bits of its own: number u mod 4, in memory, of the stream's number u / 4. The loops over a
 * group of numbers are what compilers make vectors of. */
static void dropout(uint64_t key, uint64_t first, float rate, const float *in, float *out, size_t count) {
    enum { NUMBERS = 16, UNITS = 4 * NUMBERS };
    const uint16_t threshold = (uint16_t)(rate * 65536.0f);
    const float kept = 1.0f / (1.0f - rate);
    for (size_t done = 0; done < count;) {
        const uint64_t unit = first + done;
        const size_t skipped = unit % 4;
        uint64_t numbers[NUMBERS];
        uint16_t units[UNITS];
        float factors[UNITS];
        for (size_t k = 0; k < NUMBERS; k++) numbers[k] = fkp_random_at(key, unit / 4 + k);
        memcpy(units, numbers, sizeof units);
        for (size_t k = 0; k < UNITS; k++) factors[k] = units[k] >= threshold ? kept : 0.0f;
        const size_t left = count - done, length = left < UNITS - skipped ? left : UNITS - skipped;
        for (size_t i = 0; i < length; i += FKP_LANES) {
            const size_t n = v_lanes_at(i, length);
            fkp_vector factor = v_load_n(factors + skipped + i, n);
            v_store_n(out + done + i, n, v_mul(v_load_n(in + done + i, n), factor));
        }
        done += length;
    }
}

static void layer_norm_backward(const float *x, const float *weight, float epsilon, const float *d,
                                size_t channels, bool accumulate, float *d_in, float *d_weight,
                                float *d_bias) {
    fkp_vector sum = v_set(0.0f);
    for (size_t c = 0; c < channels; c += FKP_LANES)
        sum = v_add(sum, v_load_n(x + c, v_lanes_at(c, channels)));
    const float share = 1.0f / (float)channels, mean = v_sum(sum) * share;
    fkp_vector squares = v_set(0.0f), sum_d = v_set(0.0f), sum_dx = v_set(0.0f);
    for (size_t c = 0; c < channels; c += FKP_LANES) {
        const size_t n = v_lanes_at(c, channels);
        /* Lanes beyond the row must not count: the centre there is taken as their own value, zero. */
        fkp_vector middle = v_set(mean);
        if (n < FKP_LANES) {
            float lanes[FKP_LANES] = {0};
            for (size_t i = 0; i < n; i++) lanes[i] = mean;
            middle = v_load(lanes);
        }
        fkp_vector centred = v_sub(v_load_n(x + c, n), middle);
        fkp_vector g = v_mul(v_load_n(d + c, n), v_load_n(weight + c, n));
        squares = v_fma(centred, centred, squares);
        sum_d = v_add(sum_d, g);
        sum_dx = v_fma(g, centred, sum_dx);
    }
    const float inverse = 1.0f / __builtin_sqrtf(v_sum(squares) * share + epsilon);
    const fkp_vector scale = v_set(inverse), offset = v_set(-inverse * share * v_sum(sum_d));
    const fkp_vector slope = v_set(-inverse * inverse * inverse * share * v_sum(sum_dx));
    for (size_t c = 0; c < channels; c += FKP_LANES) {
        const size_t n = v_lanes_at(c, channels);
        fkp_vector centred = v_sub(v_load_n(x + c, n), v_set(mean)), dy = v_load_n(d + c, n);
        if (d_weight != NULL) {
            fkp_vector xhat = v_mul(centred, scale);
            v_store_n(d_weight + c, n, v_fma(dy, xhat, v_load_n(d_weight + c, n)));
            v_store_n(d_bias + c, n, v_add(dy, v_load_n(d_bias + c, n)));
        }
        if (d_in == NULL) continue;
        fkp_vector g = v_fma(v_mul(dy, v_load_n(weight + c, n)), scale, v_fma(slope, centred, offset));
        if (accumulate) g = v_add(g, v_load_n(d_in + c, n));
        v_store_n(d_in + c, n, g);
    }
}

static void softmax_backward(const float *p, float *d, size_t count, float scale) {
    fkp_vector sum = v_set(0.0f);
    for (size_t i = 0; i < count; i += FKP_LANES) {
        const size_t n = v_lanes_at(i, count);
        sum = v_fma(v_load_n(p + i, n), v_load_n(d + i, n), sum);
    }
    const fkp_vector centre = v_set(v_sum(sum)), factor = v_set(scale);
    for (size_t i = 0; i < count; i += FKP_LANES) {
        const size_t n = v_lanes_at(i, count);
        fkp_vector g = v_mul(v_load_n(p + i, n), v_sub(v_load_n(d + i, n), centre));
        v_store_n(d + i, n, v_mul(g, factor));
    }
}

static void axpy(float a, const float *x, float *y, size_t count) {
    const fkp_vector factor = v_set(a);
    for (size_t i = 0; i < count; i += FKP_LANES) {
        const size_t n = v_lanes_at(i, count);
        v_store_n(y + i, n, v_fma(factor, v_load_n(x + i, n), v_load_n(y + i, n)));
    }
}

void FKP_NAME(register_train_rows)(fkp_train_kernels *kernels) {
    kernels->activation_backward = activation_backward;
    kernels->dropout = dropout;
    kernels->layer_norm_backward = layer_norm_backward;
    kernels->softmax_backward = softmax_backward;
    kernels->axpy = axpy;
}
