/* What the files of this folder offer to select.c: each fills its part of the table. One set of these
 * functions exists per instruction set. */
#ifndef FKP_SIMD_REGISTER_H
#define FKP_SIMD_REGISTER_H

#include "kernels/kernels.h"

#define FKP_DECLARE_REGISTER(isa)                                                                            \
    void fkp_register_##isa(fkp_kernels *kernels);                                                           \
    void fkp_register_gemm_##isa(fkp_kernels *kernels);                                                      \
    void fkp_register_elementwise_##isa(fkp_kernels *kernels);                                               \
    void fkp_register_plane_##isa(fkp_kernels *kernels);                                                     \
    void fkp_register_maximum_##isa(fkp_kernels *kernels);                                                   \
    void fkp_register_rowwise_##isa(fkp_kernels *kernels);                                                   \
    void fkp_register_winograd_##isa(fkp_kernels *kernels);                                                  \
    void fkp_register_winograd_product_##isa(fkp_kernels *kernels);

FKP_DECLARE_REGISTER(portable)
FKP_DECLARE_REGISTER(avx2)
FKP_DECLARE_REGISTER(avx512)

#endif
