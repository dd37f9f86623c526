/* What this folder offers to select.c: products on the matrix tiles of AMX, on top of the AVX-512 kernels. */
#ifndef FKP_AMX_REGISTER_H
#define FKP_AMX_REGISTER_H

#include "kernels/kernels.h"

void fkp_amx_softmax(const fkp_split_softmax *softmax);
void fkp_amx_planes(const fkp_split_planes *product);
void fkp_register_amx(fkp_kernels *kernels);

#endif
