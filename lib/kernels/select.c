/* Fills the kernel table: the reference first, then each better set overwrites what it has. */
#include "kernels/kernels.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/amx/register.h"
#include "kernels/reference/reference.h"
#include "kernels/simd/register.h"

void fkp_kernels_select(fkp_isa limit, fkp_kernels *kernels) {
    const char *lowered = getenv("FACEKP_CPU");
    if (lowered != NULL && fkp_isa_named(lowered) < limit) limit = fkp_isa_named(lowered);
    memset(kernels, 0, sizeof *kernels);
    kernels->isa = fkp_isa_detect(limit);
    fkp_register_reference(kernels);
    fkp_register_portable(kernels);
#if defined(__x86_64__)
    if (kernels->isa >= FKP_ISA_AVX2) fkp_register_avx2(kernels);
    if (kernels->isa >= FKP_ISA_AVX512) fkp_register_avx512(kernels);
#endif
#if defined(FKP_HAS_AMX)
    if (kernels->isa >= FKP_ISA_AMX) fkp_register_amx(kernels);
#endif
}
