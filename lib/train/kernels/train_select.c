/* Fills the table of training kernels, as kernels/select.c does the others: the portable set first, then each
 * better one overwrites what it has. */
#include <string.h>

#include "train/kernels/simd/train_register.h"

void fkp_train_kernels_select(fkp_isa isa, fkp_train_kernels *kernels) {
    memset(kernels, 0, sizeof *kernels);
    fkp_register_train_portable(kernels);
#if defined(__x86_64__)
    if (isa >= FKP_ISA_AVX2) fkp_register_train_avx2(kernels);
    if (isa >= FKP_ISA_AVX512) fkp_register_train_avx512(kernels);
#else
    (void)isa;
#endif
}
