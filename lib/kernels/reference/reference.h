/* The plain truth: every kernel in the simplest C, sums in double. The table begins with it, so that a kernel
 * not yet written for an instruction set still works, and tests/kernels holds every other set to it. */
#ifndef FKP_REFERENCE_H
#define FKP_REFERENCE_H

#include "kernels/kernels.h"

double fkp_reference_activation(double x, fkp_activation activation);
/* Fills the whole table. The register tile is a single number: 1 row, 1 column, granule 1. */
void fkp_register_reference(fkp_kernels *kernels);

#define FKP_REFERENCE_WINOGRAD_N 9
/* B^T (data), G (filter) and A^T (result) of one kind; the rest is zeros. */
typedef struct fkp_reference_transforms {
    size_t n, m, r, s;
    double data[FKP_REFERENCE_WINOGRAD_N][FKP_REFERENCE_WINOGRAD_N];
    double filter[FKP_REFERENCE_WINOGRAD_N][FKP_REFERENCE_WINOGRAD_N];
    double result[FKP_REFERENCE_WINOGRAD_N][FKP_REFERENCE_WINOGRAD_N];
} fkp_reference_transforms;
void fkp_reference_winograd(fkp_winograd_kind kind, fkp_reference_transforms *transforms);
/* Whether the tile's product at position i n + j is asked for. */
bool fkp_reference_winograd_wants(const fkp_winograd_product *product,
                                  const fkp_reference_transforms *transforms, size_t position, size_t tile);
/* The part of fkp_register_reference() that is in winograd.c. */
void fkp_register_reference_winograd(fkp_kernels *kernels);

float fkp_reference_bfloat16(uint16_t number);
/* The part that is in split.c. */
void fkp_register_reference_split(fkp_kernels *kernels);

#endif
