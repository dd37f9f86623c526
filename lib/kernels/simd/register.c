#include "kernels/simd/register.h"

#include "kernels/simd/simd.h"

void FKP_NAME(register)(fkp_kernels *kernels) {
    kernels->lanes = FKP_LANES;
    FKP_NAME(register_gemm)(kernels);
    FKP_NAME(register_elementwise)(kernels);
    FKP_NAME(register_plane)(kernels);
    FKP_NAME(register_maximum)(kernels);
    FKP_NAME(register_rowwise)(kernels);
    FKP_NAME(register_winograd)(kernels);
    FKP_NAME(register_winograd_product)(kernels);
}
