/* Every layer's forward pass written plainly in double: what central differences are taken of. */
#ifndef FKP_TEST_DOUBLE_FORWARD_H
#define FKP_TEST_DOUBLE_FORWARD_H

#include "graph/graph.h"

/* The network's output (count x last shape, to be freed) for a training pass with that dropout stream. */
double *double_forward(const fkp_network *network, const double *parameters, const float *in, size_t count,
                       uint64_t stream);

#endif
