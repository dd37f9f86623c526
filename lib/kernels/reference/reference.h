/* The plain truth: every kernel in the simplest C, sums in double. The table begins with it, so that a kernel
 * not yet written for an instruction set still works, and tests/kernels holds every other set to it. */
#ifndef FKP_REFERENCE_H
#define FKP_REFERENCE_H

#include "kernels/kernels.h"

double fkp_reference_activation(double x, fkp_activation activation);
/* Fills all but the Winograd records. The register tile is a single number: 1 row, 1 column, granule 1. */
void fkp_register_reference(fkp_kernels *kernels);

#endif
