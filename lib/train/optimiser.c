#include "train/optimiser.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "train/kernels/train_kernels.h"

/* Numbers of one task: a few pages of each array. */
enum { SLICE = 16384 };

typedef struct slice {
    size_t offset, count; /* in the flat arrays */
    int32_t parameter;
} slice;

/* How one parameter is treated, by its group. */
typedef struct treatment {
    double rate_factor;
    int32_t frozen_epochs;
    bool without_decay;
} treatment;

struct fkp_optimiser {
    fkp_memory memory;
    const fkp_network *network;
    fkp_kernels kernels;
    fkp_train_kernels train;
    fkp_pool *pool;
    fkp_optimiser_options options;
    treatment *treatments; /* per parameter, as the arrays below */
    bool *trained;
    uint64_t *steps; /* parameter_count + 1: the last one counts steps of the average */
    slice *slices;   /* of all parameters, in the order of the storage */
    size_t slice_count;
    double *square_sums;           /* per slice */
    float *first, *second, *moved; /* moments and average; storage floats each, NULL where not kept */
};

/* ---- options ---- */

static bool in_range(double value, double low, double high) { return value >= low && value <= high; }
static double or_default(double value, double otherwise) { return value > 0.0 ? value : otherwise; }

static facekp_status check_options(const fkp_optimiser_options *o, fkp_error *error) {
    if ((size_t)o->kind >= FKP_OPTIMISER_KINDS)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "unknown optimiser %d", (int)o->kind);
    if (!in_range(o->beta1, 0.0, 0.999999) || !in_range(o->beta2, 0.0, 0.999999999) ||
        !in_range(o->epsilon, 0.0, 1.0))
        return fkp_fail(
            error, FACEKP_ERROR_ARGUMENT,
            "Adam's beta1 %g, beta2 %g or epsilon %g is out of range (0 to below 1; 0 is the default)",
            o->beta1, o->beta2, o->epsilon);
    if (!in_range(o->momentum, 0.0, 0.999999) || !in_range(o->weight_decay, 0.0, 1.0) ||
        !in_range(o->clip_norm, 0.0, 1e30) || !in_range(o->ema_decay, 0.0, 0.9999999))
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "momentum %g, weight decay %g, clipping norm %g or average decay %g is out of range",
                        o->momentum, o->weight_decay, o->clip_norm, o->ema_decay);
    return FACEKP_OK;
}

/* '*' stands for any run of characters; the usual two-pointer walk that returns to the last star. */
static bool matches(const char *pattern, const char *name) {
    const char *star = NULL, *retry = NULL;
    while (*name != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            retry = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star != NULL) {
            pattern = star + 1;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return *pattern == '\0';
}

static facekp_status apply_groups(fkp_optimiser *optimiser, const fkp_parameter_group *groups, size_t count,
                                  fkp_error *error) {
    const fkp_network *network = optimiser->network;
    for (int32_t p = 0; p < network->parameter_count; p++)
        optimiser->treatments[p] = (treatment){.rate_factor = 1.0};
    /* Later groups first, so that the first match is written last. */
    for (size_t g = count; g-- > 0;) {
        bool used = false;
        if (!in_range(groups[g].rate_factor, 0.0, 1e6) || groups[g].frozen_epochs < 0)
            return fkp_fail(
                error, FACEKP_ERROR_ARGUMENT,
                "parameter group \"%s\": rate factor %g must be 0 to 1e6, frozen epochs %d at least 0",
                groups[g].pattern, groups[g].rate_factor, (int)groups[g].frozen_epochs);
        for (int32_t p = 0; p < network->parameter_count; p++) {
            if (!matches(groups[g].pattern, network->parameters[p].name)) continue;
            optimiser->treatments[p] =
                (treatment){groups[g].rate_factor, groups[g].frozen_epochs, groups[g].without_decay};
            used = true;
        }
        if (!used)
            return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                            "parameter group \"%s\" matches no parameter of the network", groups[g].pattern);
    }
    return FACEKP_OK;
}

/* ---- create, free ---- */

static size_t count_slices(const fkp_network *network) {
    size_t count = 0;
    for (int32_t p = 0; p < network->parameter_count; p++)
        count += fkp_divide_up(network->parameters[p].count, SLICE);
    return count;
}

static void cut_slices(fkp_optimiser *optimiser) {
    slice *next = optimiser->slices;
    for (int32_t p = 0; p < optimiser->network->parameter_count; p++) {
        const fkp_parameter *parameter = &optimiser->network->parameters[p];
        for (size_t begin = 0; begin < parameter->count; begin += SLICE)
            *next++ = (slice){parameter->offset + begin, fkp_min_size(SLICE, parameter->count - begin), p};
    }
}

static float *storage(const fkp_optimiser *optimiser, bool kept) {
    return kept ? fkp_allocate(&optimiser->memory, optimiser->network->storage, sizeof(float)) : NULL;
}

static facekp_status take_memory(fkp_optimiser *optimiser, fkp_error *error) {
    const fkp_memory *memory = &optimiser->memory;
    size_t parameters = (size_t)optimiser->network->parameter_count;
    bool adam = optimiser->options.kind != FKP_OPTIMISER_SGD, average = optimiser->options.ema_decay > 0.0;
    optimiser->slice_count = count_slices(optimiser->network);
    optimiser->treatments = fkp_allocate(memory, parameters, sizeof *optimiser->treatments);
    optimiser->trained = fkp_allocate(memory, parameters, sizeof *optimiser->trained);
    optimiser->steps = fkp_allocate(memory, parameters + 1, sizeof *optimiser->steps);
    optimiser->slices = fkp_allocate(memory, optimiser->slice_count, sizeof *optimiser->slices);
    optimiser->square_sums = fkp_allocate(memory, optimiser->slice_count, sizeof *optimiser->square_sums);
    optimiser->first = storage(optimiser, true);
    optimiser->second = storage(optimiser, adam);
    optimiser->moved = storage(optimiser, average);
    if (optimiser->treatments == NULL || optimiser->trained == NULL || optimiser->steps == NULL ||
        optimiser->slices == NULL || optimiser->square_sums == NULL || optimiser->first == NULL ||
        (adam && optimiser->second == NULL) || (average && optimiser->moved == NULL))
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for the optimiser's state");
    cut_slices(optimiser);
    return FACEKP_OK;
}

facekp_status fkp_optimiser_create(const fkp_memory *memory, const fkp_network *network,
                                   const fkp_kernels *kernels, fkp_pool *pool,
                                   const fkp_optimiser_options *options, const fkp_parameter_group *groups,
                                   size_t group_count, fkp_optimiser **result, fkp_error *error) {
    *result = NULL;
    facekp_status status = check_options(options, error);
    if (status != FACEKP_OK) return status;
    fkp_optimiser *optimiser = fkp_allocate(memory, 1, sizeof *optimiser);
    if (optimiser == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for an optimiser");
    optimiser->memory = *memory;
    optimiser->network = network;
    optimiser->kernels = *kernels;
    fkp_train_kernels_select(kernels->isa, &optimiser->train);
    optimiser->pool = pool;
    optimiser->options = *options;
    status = take_memory(optimiser, error);
    if (status == FACEKP_OK) status = apply_groups(optimiser, groups, group_count, error);
    if (status != FACEKP_OK) {
        fkp_optimiser_free(optimiser);
        return status;
    }
    fkp_optimiser_begin_epoch(optimiser, 0);
    *result = optimiser;
    return FACEKP_OK;
}

void fkp_optimiser_free(fkp_optimiser *optimiser) {
    if (optimiser == NULL) return;
    fkp_memory memory = optimiser->memory;
    size_t parameters = (size_t)optimiser->network->parameter_count, floats = optimiser->network->storage;
    fkp_release(&memory, optimiser->treatments, parameters, sizeof *optimiser->treatments);
    fkp_release(&memory, optimiser->trained, parameters, sizeof *optimiser->trained);
    fkp_release(&memory, optimiser->steps, parameters + 1, sizeof *optimiser->steps);
    fkp_release(&memory, optimiser->slices, optimiser->slice_count, sizeof *optimiser->slices);
    fkp_release(&memory, optimiser->square_sums, optimiser->slice_count, sizeof *optimiser->square_sums);
    fkp_release(&memory, optimiser->first, floats, sizeof(float));
    fkp_release(&memory, optimiser->second, floats, sizeof(float));
    fkp_release(&memory, optimiser->moved, floats, sizeof(float));
    fkp_release(&memory, optimiser, 1, sizeof *optimiser);
}

/* ---- which parameters move ---- */

void fkp_optimiser_begin_epoch(fkp_optimiser *optimiser, int32_t epoch) {
    for (int32_t p = 0; p < optimiser->network->parameter_count; p++) {
        const treatment *t = &optimiser->treatments[p];
        optimiser->trained[p] = fkp_role_trained(optimiser->network->parameters[p].role) &&
                                t->rate_factor > 0.0 && epoch >= t->frozen_epochs;
    }
}

const bool *fkp_optimiser_trained(const fkp_optimiser *optimiser) { return optimiser->trained; }

/* ---- one step ---- */

typedef struct step_job {
    fkp_optimiser *optimiser;
    float *parameters;
    const float *gradients;
    double rate;
    float scale; /* of the gradients, clipping included */
} step_job;

static void square_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const step_job *job = argument;
    fkp_optimiser *o = job->optimiser;
    const slice *s = &o->slices[index];
    o->square_sums[index] =
        o->trained[s->parameter] ? o->train.square_sum(job->gradients + s->offset, s->count) : 0.0;
}

static double gradient_norm(step_job *job, double scale) {
    fkp_parallel(job->optimiser->pool, job->optimiser->slice_count, square_task, job);
    double sum = 0.0;
    for (size_t i = 0; i < job->optimiser->slice_count; i++) sum += job->optimiser->square_sums[i];
    return sqrt(sum) * scale;
}

static void adam_slice(const step_job *job, const slice *s, double rate, double decay) {
    fkp_optimiser *o = job->optimiser;
    double beta1 = or_default(o->options.beta1, 0.9), beta2 = or_default(o->options.beta2, 0.999);
    double t = (double)o->steps[s->parameter];
    bool decoupled = o->options.kind == FKP_OPTIMISER_ADAMW;
    fkp_adam_arguments arguments = {.count = s->count,
                                    .parameter = job->parameters + s->offset,
                                    .first = o->first + s->offset,
                                    .second = o->second + s->offset,
                                    .gradient = job->gradients + s->offset,
                                    .gradient_scale = job->scale,
                                    .beta1 = (float)beta1,
                                    .beta2 = (float)beta2,
                                    .decay = decoupled ? 0.0f : (float)decay,
                                    .shrink = decoupled ? (float)(1.0 - rate * decay) : 1.0f,
                                    .step = (float)(rate / (1.0 - pow(beta1, t))),
                                    .root_factor = (float)(1.0 / sqrt(1.0 - pow(beta2, t))),
                                    .epsilon = (float)or_default(o->options.epsilon, 1e-8)};
    o->train.adam(&arguments);
}

static void sgd_slice(const step_job *job, const slice *s, double rate, double decay) {
    fkp_optimiser *o = job->optimiser;
    fkp_sgd_arguments arguments = {.count = s->count,
                                   .parameter = job->parameters + s->offset,
                                   .momentum_buffer = o->first + s->offset,
                                   .gradient = job->gradients + s->offset,
                                   .gradient_scale = job->scale,
                                   .momentum = (float)o->options.momentum,
                                   .decay = (float)decay,
                                   .rate = (float)rate};
    o->train.sgd(&arguments);
}

static void step_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const step_job *job = argument;
    fkp_optimiser *o = job->optimiser;
    const slice *s = &o->slices[index];
    if (!o->trained[s->parameter]) return;
    const treatment *t = &o->treatments[s->parameter];
    double rate = job->rate * t->rate_factor, decay = t->without_decay ? 0.0 : o->options.weight_decay;
    if (o->options.kind == FKP_OPTIMISER_SGD)
        sgd_slice(job, s, rate, decay);
    else
        adam_slice(job, s, rate, decay);
}

static void average_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const step_job *job = argument;
    fkp_optimiser *o = job->optimiser;
    double t = (double)o->steps[o->network->parameter_count];
    double decay = fmin(o->options.ema_decay, (1.0 + t) / (10.0 + t));
    const slice *s = &o->slices[index];
    o->train.average(job->parameters + s->offset, o->moved + s->offset, s->count, (float)decay);
}

double fkp_optimiser_step(fkp_optimiser *o, const fkp_optimiser_step_values *values, float *parameters,
                          const float *gradients) {
    double scale = or_default(values->gradient_scale, 1.0);
    step_job job = {.optimiser = o, .parameters = parameters, .gradients = gradients, .rate = values->rate};
    double norm = gradient_norm(&job, scale);
    if (!isfinite(norm)) return norm;
    /* torch.nn.utils.clip_grad_norm_ */
    if (o->options.clip_norm > 0.0) scale *= fmin(1.0, o->options.clip_norm / (norm + 1e-6));
    job.scale = (float)scale;
    for (int32_t p = 0; p < o->network->parameter_count; p++) o->steps[p] += o->trained[p];
    fkp_parallel(o->pool, o->slice_count, step_task, &job);
    if (o->moved != NULL) {
        o->steps[o->network->parameter_count]++;
        fkp_parallel(o->pool, o->slice_count, average_task, &job);
    }
    return norm;
}

/* ---- average and state ---- */

const float *fkp_optimiser_average(const fkp_optimiser *optimiser) { return optimiser->moved; }

void fkp_optimiser_start_average(fkp_optimiser *optimiser, const float *parameters) {
    if (optimiser->moved != NULL)
        memcpy(optimiser->moved, parameters, optimiser->network->storage * sizeof *parameters);
}

size_t fkp_optimiser_state_count(const fkp_optimiser *optimiser) {
    return 1 + (size_t)(optimiser->second != NULL) + (size_t)(optimiser->moved != NULL);
}

fkp_optimiser_state fkp_optimiser_state_at(fkp_optimiser *optimiser, size_t index) {
    const fkp_optimiser_state all[] = {{"first_moment", optimiser->first, optimiser->network->storage},
                                       {"second_moment", optimiser->second, optimiser->network->storage},
                                       {"average", optimiser->moved, optimiser->network->storage}};
    size_t seen = 0, i = 0;
    for (; i < 2; i++)
        if (all[i].data != NULL && seen++ == index) break;
    return all[i];
}

uint64_t *fkp_optimiser_steps(fkp_optimiser *optimiser, size_t *count) {
    *count = (size_t)optimiser->network->parameter_count + 1;
    return optimiser->steps;
}
