#include "train/kernels/simd/train_register.h"

#include "kernels/simd/simd.h"

void FKP_NAME(register_train)(fkp_train_kernels *kernels) {
    FKP_NAME(register_train_outer)(kernels);
    FKP_NAME(register_train_winograd)(kernels);
    FKP_NAME(register_train_norm)(kernels);
    FKP_NAME(register_train_rows)(kernels);
    FKP_NAME(register_train_pooling)(kernels);
    FKP_NAME(register_train_thin)(kernels);
    FKP_NAME(register_train_optimise)(kernels);
    FKP_NAME(register_train_heatmap)(kernels);
}
