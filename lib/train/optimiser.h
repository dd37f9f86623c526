/* Optimisers over flat arrays: one pass over parameters, gradients and moments. The formulas are those of
 * torch.optim; so is the rule that a parameter that is frozen does not move, decay, or count a step. */
#ifndef FKP_OPTIMISER_H
#define FKP_OPTIMISER_H

#include "graph/graph.h"

typedef enum fkp_optimiser_kind {
    FKP_OPTIMISER_ADAM,  /* weight decay added to the gradient */
    FKP_OPTIMISER_ADAMW, /* weight decay on the weights: p -= rate decay p */
    FKP_OPTIMISER_SGD,   /* with momentum */
    FKP_OPTIMISER_KINDS
} fkp_optimiser_kind;

/* Zero is the default of every field. */
typedef struct fkp_optimiser_options {
    fkp_optimiser_kind kind;
    double beta1;        /* Adam: 0 is 0.9 */
    double beta2;        /* Adam: 0 is 0.999 */
    double epsilon;      /* Adam: 0 is 1e-8 */
    double momentum;     /* SGD */
    double weight_decay; /* on every trained parameter, as torch.optim */
    double clip_norm;    /* largest 2-norm of all gradients together; 0: not clipped */
    double ema_decay;    /* of the moving average of the weights; 0: none kept */
} fkp_optimiser_options;

/* Parameters whose names match a pattern ('*' stands for any run of characters). The first group that matches
 * counts; a parameter that no group matches is trained at the plain rate. */
typedef struct fkp_parameter_group {
    char pattern[FKP_NAME_BYTES];
    double rate_factor;    /* times the schedule's rate; 0 freezes the group for good */
    int32_t frozen_epochs; /* trained from this epoch on (the first is 0) */
    bool without_decay;    /* weight decay does not apply */
} fkp_parameter_group;

typedef struct fkp_optimiser fkp_optimiser;

/* Fails with FACEKP_ERROR_ARGUMENT when an option is outside its range or a pattern matches no parameter. */
facekp_status fkp_optimiser_create(const fkp_memory *memory, const fkp_network *network,
                                   const fkp_kernels *kernels, fkp_pool *pool,
                                   const fkp_optimiser_options *options, const fkp_parameter_group *groups,
                                   size_t group_count, fkp_optimiser **optimiser, fkp_error *error);
void fkp_optimiser_free(fkp_optimiser *optimiser);

/* Which parameters are trained in an epoch; call before its first step. */
void fkp_optimiser_begin_epoch(fkp_optimiser *optimiser, int32_t epoch);
/* One flag per parameter, for fkp_gradient_set_trained(); valid until the next begin_epoch. */
const bool *fkp_optimiser_trained(const fkp_optimiser *optimiser);

typedef struct fkp_optimiser_step_values {
    double rate;           /* of this step, from the schedule */
    double gradient_scale; /* times every gradient first: 1 / n after n accumulated batches; 0 is 1 */
} fkp_optimiser_step_values;

/* One step. Returns the 2-norm of the (scaled) gradients of the trained parameters before clipping; when it
 * is not finite nothing is changed. */
double fkp_optimiser_step(fkp_optimiser *optimiser, const fkp_optimiser_step_values *values,
                          float *parameters, const float *gradients);

/* The moving average of the whole parameter storage (running statistics too), NULL when none is kept. Its
 * decay warms up: min(decay, (1 + t) / (10 + t)). fkp_optimiser_start_average() sets it to the initial
 * weights. */
const float *fkp_optimiser_average(const fkp_optimiser *optimiser);
void fkp_optimiser_start_average(fkp_optimiser *optimiser, const float *parameters);

/* What a checkpoint must hold besides the parameters: arrays in a fixed order, named; the caller copies them
 * out or in. */
typedef struct fkp_optimiser_state {
    const char *name; /* "first_moment", "second_moment", "average" */
    float *data;
    size_t count;
} fkp_optimiser_state;
size_t fkp_optimiser_state_count(const fkp_optimiser *optimiser);
fkp_optimiser_state fkp_optimiser_state_at(fkp_optimiser *optimiser, size_t index);
/* Steps taken by each parameter (network->parameter_count of them), then the steps of the average. */
uint64_t *fkp_optimiser_steps(fkp_optimiser *optimiser, size_t *count);

#endif
