#include "train/gradient.h"

#include "base/random.h"
#include "train/gradient_plan.h"
#include "train/layers/blocks.h"

struct fkp_gradient {
    fkp_memory memory;
    const fkp_network *network;
    fkp_kernels kernels;
    fkp_train_kernels train;
    bool split; /* see fkp_pass */
    fkp_pool *pool;
    size_t batch;
    fkp_gradient_plan plan;
    float *arena;   /* plan.floats, for activations and their gradients */
    float *scratch; /* plan.scratch */
    bool *trained;  /* per parameter */
    bool *wanted;   /* per layer: something trained at it or below, so that its gradient is needed */
    fkp_gradient_observer observer;
    void *observer_user;

    /* Of the last forward pass. */
    const float *in;
    size_t count;
    fkp_forward options;
};

/* ---- which gradients are needed ---- */

void fkp_gradient_set_trained(fkp_gradient *engine, const bool *trained) {
    const fkp_network *network = engine->network;
    for (int32_t p = 0; p < network->parameter_count; p++)
        engine->trained[p] = fkp_role_trained(network->parameters[p].role) && (trained == NULL || trained[p]);
    for (int32_t i = 0; i < network->layer_count; i++) {
        engine->wanted[i] = false;
        for (int k = 0; k < 2; k++) {
            int32_t input = network->layers[i].inputs[k];
            engine->wanted[i] = engine->wanted[i] || (input >= 0 && engine->wanted[input]);
        }
        for (int32_t p = 0; p < network->parameter_count; p++)
            engine->wanted[i] =
                engine->wanted[i] || (network->parameters[p].layer == i && engine->trained[p]);
    }
}

/* ---- create, free ---- */

static facekp_status check_batch(const fkp_network *network, size_t batch, fkp_error *error) {
    size_t floats;
    if (batch == 0)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "a batch of 0 images; it must be at least 1");
    for (int32_t i = 0; i < network->layer_count; i++)
        if (!fkp_checked_multiply(batch, fkp_shape_floats(network->layers[i].shape), &floats) ||
            floats > SIZE_MAX / 4096)
            return fkp_fail(error, FACEKP_ERROR_LIMIT, "a batch of %zu images is too large for the network",
                            batch);
    return FACEKP_OK;
}

static fkp_pass plain_pass(fkp_gradient *engine, size_t count) {
    return (fkp_pass){
        .network = engine->network,
        .count = count,
        .context = {.kernels = &engine->kernels, .pool = engine->pool, .scratch = engine->scratch},
        .train = &engine->train,
        .split = engine->split,
        .trained = engine->trained};
}

static facekp_status take_memory(fkp_gradient *engine, fkp_error *error) {
    fkp_pass pass = plain_pass(engine, engine->batch);
    facekp_status status = fkp_gradient_plan_create(&engine->memory, &pass, &engine->plan, error);
    if (status != FACEKP_OK) return status;
    engine->arena = fkp_allocate_raw(&engine->memory, engine->plan.floats, sizeof(float));
    engine->scratch = fkp_allocate_raw(&engine->memory, engine->plan.scratch, sizeof(float));
    engine->trained = fkp_allocate(&engine->memory, (size_t)engine->network->parameter_count, sizeof(bool));
    engine->wanted = fkp_allocate(&engine->memory, (size_t)engine->network->layer_count, sizeof(bool));
    if (engine->arena == NULL || engine->scratch == NULL || engine->trained == NULL || engine->wanted == NULL)
        return fkp_fail(error, FACEKP_ERROR_MEMORY,
                        "no memory for training with batches of %zu (%zu MB); use smaller batches",
                        engine->batch, fkp_gradient_bytes(engine) >> 20);
    return FACEKP_OK;
}

facekp_status fkp_gradient_create(const fkp_memory *memory, const fkp_network *network,
                                  const fkp_kernels *kernels, fkp_pool *pool, size_t batch,
                                  fkp_gradient **result, fkp_error *error) {
    *result = NULL;
    facekp_status status = check_batch(network, batch, error);
    if (status != FACEKP_OK) return status;
    fkp_gradient *engine = fkp_allocate(memory, 1, sizeof *engine);
    if (engine == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for a training engine");
    engine->memory = *memory;
    engine->network = network;
    engine->kernels = *kernels;
    /* Only linear layers of many rows gain by split products: the others keep to float32. */
    engine->split = kernels->split.speed > 0.0;
    engine->kernels.split.speed = 0.0;
    fkp_train_kernels_select(kernels->isa, &engine->train);
    engine->pool = pool;
    engine->batch = batch;
    status = take_memory(engine, error);
    if (status != FACEKP_OK) {
        fkp_gradient_free(engine);
        return status;
    }
    fkp_gradient_set_trained(engine, NULL);
    *result = engine;
    return FACEKP_OK;
}

void fkp_gradient_free(fkp_gradient *engine) {
    if (engine == NULL) return;
    fkp_memory memory = engine->memory;
    fkp_release(&memory, engine->arena, engine->plan.floats, sizeof(float));
    fkp_release(&memory, engine->scratch, engine->plan.scratch, sizeof(float));
    fkp_release(&memory, engine->trained, (size_t)engine->network->parameter_count, sizeof(bool));
    fkp_release(&memory, engine->wanted, (size_t)engine->network->layer_count, sizeof(bool));
    fkp_gradient_plan_free(&memory, engine->network, &engine->plan);
    fkp_release(&memory, engine, 1, sizeof *engine);
}

size_t fkp_gradient_bytes(const fkp_gradient *engine) {
    return (engine->plan.floats + engine->plan.scratch) * sizeof(float);
}

/* ---- passes ---- */

void fkp_gradient_observe(fkp_gradient *engine, fkp_gradient_observer observer, void *user) {
    engine->observer = observer;
    engine->observer_user = user;
}

static void report(const fkp_gradient *engine, int32_t layer, bool backward) {
    if (engine->observer != NULL) engine->observer(engine->observer_user, layer, backward);
}

/* `outside` is the memory of a tensor that is the caller's; it is not written to. */
static fkp_view view_of(const fkp_gradient *engine, const fkp_tensor_place *place, const float *outside) {
    union {
        const float *given;
        float *taken;
    } memory = {.given = outside};
    return (fkp_view){place->outside ? memory.taken : engine->arena + place->offset, place->stride};
}

static fkp_pass bind(fkp_gradient *engine, int32_t index, float *parameters) {
    const fkp_layer_plan *plan = &engine->plan.layers[index];
    fkp_pass pass = plain_pass(engine, engine->count);
    pass.layer = &engine->network->layers[index];
    pass.index = index;
    pass.activation = plan->activation;
    pass.training = engine->options.training;
    pass.stream = fkp_mix64(engine->options.stream ^ fkp_mix64((uint64_t)index));
    pass.saved = engine->arena + plan->saved;
    pass.parameters = parameters;
    pass.out = view_of(engine, &plan->value, engine->in);
    for (int k = 0; k < 2; k++)
        if (pass.layer->inputs[k] >= 0)
            pass.in[k] = view_of(engine, &engine->plan.layers[pass.layer->inputs[k]].value, engine->in);
    return pass;
}

float *fkp_gradient_forward(fkp_gradient *engine, float *parameters, const float *in, size_t count,
                            const fkp_forward *options) {
    engine->in = in;
    engine->count = count;
    engine->options = *options;
    int32_t last = engine->network->layer_count - 1;
    for (int32_t i = 1; i <= last; i++) {
        if (engine->plan.layers[i].forward_absorbed) continue;
        fkp_pass pass = bind(engine, i, parameters);
        engine->plan.layers[i].record->forward(&pass);
        report(engine, i, false);
    }
    return engine->arena + engine->plan.layers[last].value.offset;
}

/* Binds the gradients of the inputs; those that must be added but cannot get a place of their own. */
static void bind_inputs(const fkp_gradient *engine, fkp_pass *pass, const float *d_output) {
    const fkp_layer_plan *plan = &engine->plan.layers[pass->index];
    for (int k = 0; k < 2; k++) {
        int32_t input = pass->layer->inputs[k];
        if (input <= 0 || !engine->wanted[input]) continue;
        pass->d_in[k] = view_of(engine, &engine->plan.layers[input].gradient, d_output);
        pass->accumulate_input[k] = plan->accumulate_input[k];
        if (!plan->temporary[k]) continue;
        pass->d_in[k] = view_of(engine, &plan->temporary_place, NULL);
        pass->accumulate_input[k] = false;
    }
}

static void add_temporaries(const fkp_gradient *engine, const fkp_pass *pass) {
    const fkp_layer_plan *plan = &engine->plan.layers[pass->index];
    for (int k = 0; k < 2; k++) {
        if (pass->d_in[k].data == NULL || !plan->temporary[k]) continue;
        fkp_view sum = view_of(engine, &engine->plan.layers[pass->layer->inputs[k]].gradient, NULL);
        fkp_copy_rows(&pass->context, fkp_pass_in_rows(pass, k), fkp_pass_in_shape(pass, k).channels,
                      pass->d_in[k], sum, true);
    }
}

void fkp_gradient_backward(fkp_gradient *engine, const float *parameters, const float *d_output,
                           bool accumulate, float *gradients) {
    union {
        const float *given;
        float *unwritten; /* the backward pass writes no parameter */
    } values = {.given = parameters};
    for (int32_t i = engine->network->layer_count - 1; i > 0; i--) {
        if (!engine->wanted[i] || engine->plan.layers[i].backward_absorbed) continue;
        fkp_pass pass = bind(engine, i, values.unwritten);
        pass.gradients = gradients;
        pass.accumulate = accumulate;
        pass.d_out = view_of(engine, &engine->plan.layers[i].gradient, d_output);
        bind_inputs(engine, &pass, d_output);
        engine->plan.layers[i].record->backward(&pass);
        add_temporaries(engine, &pass);
        report(engine, i, true);
    }
}
