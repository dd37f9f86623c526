/* Kernels that treat every number alike. */
#include "kernels/simd/register.h"
#include "kernels/simd/simd.h"

FKP_ALWAYS_INLINE void activate_as(const float *in, float *out, size_t count, fkp_activation activation) {
    size_t i = 0;
    for (; i + FKP_LANES <= count; i += FKP_LANES) {
        __builtin_prefetch(in + i + FKP_STREAM_AHEAD);
        __builtin_prefetch(out + i + FKP_STREAM_AHEAD, 1);
        v_store(out + i, v_activate(v_load(in + i), activation));
    }
    if (i < count) v_store_part(out + i, count - i, v_activate(v_load_part(in + i, count - i), activation));
}

static void activate(const float *in, float *out, size_t count, fkp_activation activation){
#define ACTIVATE(kind) activate_as(in, out, count, kind)
    FKP_FOR_EACH_ACTIVATION(activation, ACTIVATE)
#undef ACTIVATE
}

FKP_ALWAYS_INLINE void scale_shift_as(const float *in, const float *scale, const float *shift, float *out,
                                      size_t channels, fkp_activation activation) {
    size_t i = 0;
    for (; i + FKP_LANES <= channels; i += FKP_LANES)
        v_store(out + i, v_activate(v_fma(v_load(in + i), v_load(scale + i), v_load(shift + i)), activation));
    size_t n = channels - i;
    if (n > 0)
        v_store_part(
            out + i, n,
            v_activate(v_fma(v_load_part(in + i, n), v_load_part(scale + i, n), v_load_part(shift + i, n)),
                       activation));
}

static void scale_shift(const float *in, const float *scale, const float *shift, float *out, size_t channels,
                        fkp_activation activation){
#define SCALE_SHIFT(kind) scale_shift_as(in, scale, shift, out, channels, kind)
    FKP_FOR_EACH_ACTIVATION(activation, SCALE_SHIFT)
#undef SCALE_SHIFT
}

FKP_ALWAYS_INLINE
    void add_as(const float *a, const float *b, float *out, size_t count, fkp_activation activation) {
    size_t i = 0;
    for (; i + FKP_LANES <= count; i += FKP_LANES) {
        __builtin_prefetch(a + i + FKP_STREAM_AHEAD);
        __builtin_prefetch(b + i + FKP_STREAM_AHEAD);
        v_store(out + i, v_activate(v_add(v_load(a + i), v_load(b + i)), activation));
    }
    size_t n = count - i;
    if (n > 0)
        v_store_part(out + i, n, v_activate(v_add(v_load_part(a + i, n), v_load_part(b + i, n)), activation));
}

static void add(const float *a, const float *b, float *out, size_t count, fkp_activation activation) {
#define ADD(kind) add_as(a, b, out, count, kind)
    FKP_FOR_EACH_ACTIVATION(activation, ADD)
#undef ADD
}

void FKP_NAME(register_elementwise)(fkp_kernels *kernels) {
    kernels->activate = activate;
    kernels->scale_shift = scale_shift;
    kernels->add = add;
}
