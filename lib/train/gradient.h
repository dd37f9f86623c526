/* The mathematics of a training step: a network run forward, keeping what its backward needs, and backward,
 * which gives the gradient of every parameter. One engine serves one thread at a time; its memory is taken
 * when it is created and nothing is allocated afterwards.
 *
 * Parameters and gradients are flat arrays laid out as the network's parameter storage: the tensor of
 * `fkp_parameter` p begins at p.offset, in PyTorch's order. The floats between two tensors are padding. */
#ifndef FKP_GRADIENT_H
#define FKP_GRADIENT_H

#include "graph/graph.h"

typedef struct fkp_gradient fkp_gradient;

/* `kernels` is copied; network and pool must outlive the engine. All parameters are trained at first. */
facekp_status fkp_gradient_create(const fkp_memory *memory, const fkp_network *network,
                                  const fkp_kernels *kernels, fkp_pool *pool, size_t batch,
                                  fkp_gradient **engine, fkp_error *error);
void fkp_gradient_free(fkp_gradient *engine);
/* What the engine holds: activations, their gradients and scratch memory. */
size_t fkp_gradient_bytes(const fkp_gradient *engine);

/* One flag per parameter of the network; NULL: all are trained. A parameter that is not gets no gradient (its
 * place in the array is not touched), and the backward pass stops below the lowest trained layer. As in
 * PyTorch's freezing by requires_grad, a frozen BatchNorm still normalises by its batch and updates its
 * running statistics. */
void fkp_gradient_set_trained(fkp_gradient *engine, const bool *trained);

/* How a forward pass runs. `training`: batch statistics (the running ones in `parameters` are updated as
 * PyTorch does: momentum 0.1, unbiased variance), dropout by `stream`, backward possible. Otherwise the
 * running statistics are used and nothing is dropped. */
typedef struct fkp_forward {
    bool training;
    uint64_t stream; /* the key of fkp_random_stream(seed, epoch, step): the same key drops the same units */
} fkp_forward;

/* in: count x height x width (one channel), count <= batch. Returns the output, count x H x W x C rows of the
 * last layer's shape, dense. It belongs to the engine until the next forward; a loss may write its gradient
 * over it. */
float *fkp_gradient_forward(fkp_gradient *engine, float *parameters, const float *in, size_t count,
                            const fkp_forward *options);

/* After a training forward: d_output is the loss's gradient, shaped as the output (it may be the output's own
 * memory). With `accumulate` the gradients are added to what the array holds, otherwise they replace it. */
void fkp_gradient_backward(fkp_gradient *engine, const float *parameters, const float *d_output,
                           bool accumulate, float *gradients);

/* Called after every layer's forward and backward, for profiles; a layer that another one does in passing is
 * not reported. NULL: nobody. */
typedef void (*fkp_gradient_observer)(void *user, int32_t layer, bool backward);
void fkp_gradient_observe(fkp_gradient *engine, fkp_gradient_observer observer, void *user);

#endif
