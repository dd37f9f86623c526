/* One function per file of this folder and instruction set: it writes its kernels into the table. */
#ifndef FKP_TRAIN_REGISTER_H
#define FKP_TRAIN_REGISTER_H

#include "train/kernels/train_kernels.h"

#define FKP_DECLARE_TRAIN_REGISTERS(set)                                                                     \
    void fkp_register_train_outer_##set(fkp_train_kernels *kernels);                                         \
    void fkp_register_train_winograd_##set(fkp_train_kernels *kernels);                                      \
    void fkp_register_train_norm_##set(fkp_train_kernels *kernels);                                          \
    void fkp_register_train_rows_##set(fkp_train_kernels *kernels);                                          \
    void fkp_register_train_pooling_##set(fkp_train_kernels *kernels);                                       \
    void fkp_register_train_thin_##set(fkp_train_kernels *kernels);                                          \
    void fkp_register_train_optimise_##set(fkp_train_kernels *kernels);                                      \
    void fkp_register_train_heatmap_##set(fkp_train_kernels *kernels);                                       \
    void fkp_register_train_##set(fkp_train_kernels *kernels);

FKP_DECLARE_TRAIN_REGISTERS(portable)
FKP_DECLARE_TRAIN_REGISTERS(avx2)
FKP_DECLARE_TRAIN_REGISTERS(avx512)

#endif
