/* Optimiser steps: parameters, gradients and moments read once and written once. */
#include "train/kernels/simd/block.h"

static void adam(const fkp_adam_arguments *a) {
    const fkp_vector beta1 = v_set(a->beta1), rest1 = v_set(1.0f - a->beta1);
    const fkp_vector beta2 = v_set(a->beta2), rest2 = v_set(1.0f - a->beta2);
    const fkp_vector scale = v_set(a->gradient_scale), decay = v_set(a->decay), shrink = v_set(a->shrink);
    const fkp_vector step = v_set(-a->step), root = v_set(a->root_factor), epsilon = v_set(a->epsilon);
    for (size_t i = 0; i < a->count; i += FKP_LANES) {
        const size_t n = v_lanes_at(i, a->count);
        fkp_vector p = v_load_n(a->parameter + i, n);
        fkp_vector g = v_fma(decay, p, v_mul(scale, v_load_n(a->gradient + i, n)));
        fkp_vector first = v_fma(beta1, v_load_n(a->first + i, n), v_mul(rest1, g));
        fkp_vector second = v_fma(beta2, v_load_n(a->second + i, n), v_mul(rest2, v_mul(g, g)));
        fkp_vector divisor = v_fma(v_sqrt(second), root, epsilon);
        v_store_n(a->first + i, n, first);
        v_store_n(a->second + i, n, second);
        v_store_n(a->parameter + i, n, v_fma(step, v_div(first, divisor), v_mul(shrink, p)));
    }
}

static void sgd(const fkp_sgd_arguments *a) {
    const fkp_vector momentum = v_set(a->momentum), rate = v_set(-a->rate);
    const fkp_vector scale = v_set(a->gradient_scale), decay = v_set(a->decay);
    for (size_t i = 0; i < a->count; i += FKP_LANES) {
        const size_t n = v_lanes_at(i, a->count);
        fkp_vector p = v_load_n(a->parameter + i, n);
        fkp_vector g = v_fma(decay, p, v_mul(scale, v_load_n(a->gradient + i, n)));
        fkp_vector buffer = v_fma(momentum, v_load_n(a->momentum_buffer + i, n), g);
        v_store_n(a->momentum_buffer + i, n, buffer);
        v_store_n(a->parameter + i, n, v_fma(rate, buffer, p));
    }
}

static void average(const float *x, float *mean, size_t count, float decay) {
    const fkp_vector share = v_set(1.0f - decay);
    for (size_t i = 0; i < count; i += FKP_LANES) {
        const size_t n = v_lanes_at(i, count);
        fkp_vector old = v_load_n(mean + i, n);
        v_store_n(mean + i, n, v_fma(share, v_sub(v_load_n(x + i, n), old), old));
    }
}

/* Blocks short enough for a float to hold their sum well, added up in double. */
static double square_sum(const float *x, size_t count) {
    enum { BLOCK = 1024 };
    double total = 0.0;
    for (size_t begin = 0; begin < count; begin += BLOCK) {
        const size_t end = begin + BLOCK < count ? begin + BLOCK : count;
        fkp_vector sum = v_set(0.0f);
        for (size_t i = begin; i < end; i += FKP_LANES) {
            fkp_vector v = v_load_n(x + i, v_lanes_at(i, end));
            sum = v_fma(v, v, sum);
        }
        total += (double)v_sum(sum);
    }
    return total;
}

void FKP_NAME(register_train_optimise)(fkp_train_kernels *kernels) {
    kernels->adam = adam;
    kernels->sgd = sgd;
    kernels->average = average;
    kernels->square_sum = square_sum;
}
