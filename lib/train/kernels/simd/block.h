/* What kernels over blocks of rows share: a loop over vectors of channels whose last one may be partial. */
#ifndef FKP_TRAIN_BLOCK_H
#define FKP_TRAIN_BLOCK_H

#include "kernels/simd/simd.h"
#include "train/kernels/simd/train_register.h"

/* exp for arguments that may be far below the range: 0 there, never a denormal. */
FKP_ALWAYS_INLINE fkp_vector v_exp_or_zero(fkp_vector x) {
    return v_select(v_greater(v_set(-87.0f), x), v_set(0.0f), v_exp(x));
}

/* activation'(z) from the input z. */
FKP_ALWAYS_INLINE fkp_vector v_slope(fkp_vector z, fkp_activation activation) {
    const fkp_vector zero = v_set(0.0f), one = v_set(1.0f);
    switch (activation) {
    case FKP_ACTIVATION_RELU:
        return v_select(v_greater(z, zero), one, zero);
    case FKP_ACTIVATION_ELU:
        return v_select(v_greater(z, zero), one, v_exp(v_min(z, zero)));
    case FKP_ACTIVATION_GELU: {
        /* Phi(z) + z phi(z) */
        fkp_vector phi = v_mul(v_exp_or_zero(v_mul(v_mul(z, z), v_set(-0.5f))), v_set(0.398942280f));
        fkp_vector cumulative = v_mul(v_set(0.5f), v_add(one, v_erf_normal(z)));
        return v_fma(z, phi, cumulative);
    }
    case FKP_ACTIVATION_NONE:
        break;
    }
    return one;
}

#endif
