#include "facekp/model.h"

#include <string.h>

#include "base/floating.h"
#include "base/structs.h"
#include "facekp/credentials.h"
#include "weights/weights.h"

/* ---- holding ---- */

void fkp_model_hold(facekp_model *model) { atomic_fetch_add(&model->holders, 1); }

void fkp_model_release(facekp_model *model) {
    if (atomic_fetch_sub(&model->holders, 1) != 1) return;
    fkp_memory memory = model->memory;
    fkp_program_free(model->program);
    fkp_network_free(&memory, model->network);
    fkp_credentials_free(&memory, &model->credentials);
    fkp_release(&memory, model, 1, sizeof *model);
}

void facekp_model_free(facekp_model *model) {
    if (model != NULL) fkp_model_release(model);
}

/* ---- loading ---- */

/* Checks the options that all kinds of load share and makes an empty model. */
static facekp_status begin_model(const facekp_load_options *options, facekp_model **model,
                                 fkp_kernels *kernels, fkp_error *error) {
    facekp_allocator allocator;
    facekp_status status =
        fkp_struct_read(options->allocator, &allocator, sizeof allocator, "facekp_allocator", error);
    if (status != FACEKP_OK) return status;
    if (options->allocator != NULL && (allocator.allocate == NULL || allocator.release == NULL))
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "an allocator needs both allocate and release");
    if (options->architecture < FACEKP_ARCHITECTURE_AUTO || options->architecture > FACEKP_UNET)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "architecture is %d; it must be 0 to %d",
                        (int)options->architecture, FACEKP_UNET);
    if (options->normalization < FACEKP_NORMALIZATION_DEFAULT ||
        options->normalization > FACEKP_NORMALIZATION_IMAGENET)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "normalization is %d; it must be 0 to %d",
                        (int)options->normalization, FACEKP_NORMALIZATION_IMAGENET);
    if (options->activation < FKP_ACTIVATION_NONE || options->activation > FKP_ACTIVATION_ELU)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "activation is %d; it must be 0 to %d",
                        (int)options->activation, FKP_ACTIVATION_ELU);
    fkp_isa limit = options->cpu == NULL ? FKP_ISA_COUNT - 1 : fkp_isa_named(options->cpu);
    if (limit == FKP_ISA_COUNT)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "cpu is \"%.40s\"; it must be portable, avx2 or avx512",
                        options->cpu);
    fkp_kernels_select(limit, kernels);

    fkp_memory memory = fkp_memory_from(options->allocator == NULL ? NULL : &allocator);
    *model = fkp_allocate(&memory, 1, sizeof **model);
    if (*model == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for a model");
    (*model)->memory = memory;
    (*model)->isa = kernels->isa;
    (*model)->precision = fkp_dtype_name(FKP_F32);
    atomic_init(&(*model)->holders, 1);
    return FACEKP_OK;
}

/* The element type that most of the file's numbers have. */
static const char *precision_of(const fkp_weights *weights) {
    size_t numbers[FKP_DTYPES] = {0};
    for (size_t i = 0; i < fkp_weights_count(weights); i++) {
        const fkp_tensor *tensor = fkp_weights_tensor(weights, i);
        numbers[tensor->dtype] += tensor->count;
    }
    fkp_dtype most = FKP_F32;
    for (int dtype = 0; dtype < FKP_DTYPES; dtype++)
        if (numbers[dtype] > numbers[most]) most = (fkp_dtype)dtype;
    return fkp_dtype_name(most);
}

/* The file's tensors become the model's network and program. */
static facekp_status build_from_weights(facekp_model *model, const fkp_weights *weights,
                                        const facekp_load_options *options, const fkp_kernels *kernels,
                                        fkp_error *error) {
    fkp_network_options network = {0};
    facekp_status status = fkp_weights_recognize(weights, options->architecture, &network, error);
    if (status != FACEKP_OK) return status;
    if (network.activation == FKP_ACTIVATION_NONE) network.activation = (fkp_activation)options->activation;
    status = fkp_credentials_read(&model->memory, weights, &model->credentials, error);
    if (status == FACEKP_OK) status = fkp_network_create(&model->memory, &network, &model->network, error);
    if (status != FACEKP_OK) return status;

    const fkp_fit_options fit_options = {
        .normalization = options->normalization, .log = options->log, .log_user = options->log_user};
    fkp_fit *fit;
    status = fkp_fit_create(&model->memory, weights, model->network, &fit_options, &fit, error);
    if (status != FACEKP_OK) return status;
    fkp_weight_source source = fkp_fit_source(fit);
    status = fkp_program_compile(&model->memory, model->network, kernels, &source, options->measure != 0,
                                 &model->program, error);
    fkp_fit_free(fit);
    model->precision = precision_of(weights);
    return status;
}

static const float *read_storage(void *user, const fkp_parameter *parameter, size_t first, size_t count,
                                 float *room, fkp_error *error) {
    (void)count, (void)room, (void)error;
    const float *storage = user;
    return storage + parameter->offset + first;
}

static facekp_status build_random(facekp_model *model, const facekp_load_options *options,
                                  const fkp_kernels *kernels, fkp_error *error) {
    if (options->architecture == FACEKP_ARCHITECTURE_AUTO)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "random weights need an architecture to be named");
    const fkp_network_options network = {.architecture = options->architecture,
                                         .activation = (fkp_activation)options->activation};
    facekp_status status = fkp_credentials_read(&model->memory, NULL, &model->credentials, error);
    if (status == FACEKP_OK) status = fkp_network_create(&model->memory, &network, &model->network, error);
    if (status != FACEKP_OK) return status;
    const size_t floats = model->network->storage;
    float *storage = fkp_allocate(&model->memory, floats, sizeof *storage);
    if (storage == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for %zu weights", floats);
    fkp_network_initialize(model->network, options->seed, storage);
    const fkp_weight_source source = {.user = storage, .read = read_storage};
    status = fkp_program_compile(&model->memory, model->network, kernels, &source, options->measure != 0,
                                 &model->program, error);
    fkp_release(&model->memory, storage, floats, sizeof *storage);
    return status;
}

/* Where the weights come from: a path, or, with that NULL, memory. */
typedef struct load_origin {
    const char *path;
    const void *data;
    size_t size;
} load_origin;

static facekp_status load(const load_origin *origin, const facekp_load_options *options,
                          facekp_model **result, fkp_error *error) {
    fkp_kernels kernels;
    facekp_model *model = NULL;
    facekp_status status = begin_model(options, &model, &kernels, error);
    if (status != FACEKP_OK) return status;
    if (options->random_weights != 0) {
        status = build_random(model, options, &kernels, error);
    } else {
        fkp_weights *weights = NULL;
        status = origin->path != NULL
                     ? fkp_weights_open(&model->memory, origin->path, &weights, error)
                     : fkp_weights_open_memory(&model->memory, origin->data, origin->size, &weights, error);
        if (status == FACEKP_OK) status = build_from_weights(model, weights, options, &kernels, error);
        fkp_weights_close(weights);
        if (status != FACEKP_OK && origin->path != NULL) fkp_fail_in(error, origin->path);
    }
    if (status != FACEKP_OK) {
        fkp_model_release(model);
        return status;
    }
    *result = model;
    return FACEKP_OK;
}

static facekp_status load_with(const load_origin *origin, const facekp_load_options *given,
                               facekp_model **model) {
    if (model == NULL) return FACEKP_ERROR_ARGUMENT;
    *model = NULL;
    facekp_load_options options;
    facekp_status status = fkp_load_options_read(given, &options);
    if (status != FACEKP_OK) return status;
    fkp_error error = {0};
    if (options.random_weights == 0 && origin->path == NULL && origin->data == NULL)
        status =
            fkp_fail(&error, FACEKP_ERROR_ARGUMENT, "no weights were given: the path or the data is NULL");
    /* Weights are converted and packed as they are, denormals included. */
    fkp_floating floating = fkp_floating_begin(false);
    if (status == FACEKP_OK) status = load(origin, &options, model, &error);
    fkp_floating_end(floating);
    if (status != FACEKP_OK) fkp_error_copy(&error, options.message, options.message_size);
    return status;
}

facekp_status facekp_model_load(const char *path, const facekp_load_options *options, facekp_model **model) {
    return load_with(&(load_origin){.path = path}, options, model);
}

facekp_status facekp_model_load_memory(const void *data, size_t size, const facekp_load_options *options,
                                       facekp_model **model) {
    return load_with(&(load_origin){.data = data, .size = size}, options, model);
}

/* ---- describing ---- */

size_t facekp_model_output_count(const facekp_model *model) {
    return model == NULL ? 0 : fkp_shape_floats(fkp_model_output(model)->shape);
}

facekp_status facekp_model_get_info(const facekp_model *model, facekp_model_info *info) {
    if (model == NULL) return FACEKP_ERROR_ARGUMENT;
    facekp_status status = fkp_struct_check(info, sizeof *info, "facekp_model_info", NULL);
    if (status != FACEKP_OK) return status;
    const fkp_network *network = model->network;
    const fkp_shape input = network->layers[0].shape, output = fkp_model_output(model)->shape;
    const bool heatmaps = network->output_kind == FACEKP_OUTPUT_HEATMAPS;
    facekp_model_info known = {
        .architecture = fkp_architecture_name(network->architecture),
        .variant = network->variant,
        .license = model->credentials.license,
        .training_data = model->credentials.training_data,
        .precision = model->precision,
        .cpu = fkp_isa_name(model->isa),
        .architecture_id = network->architecture,
        .keypoints = (int32_t)network->keypoints,
        .input_width = (int32_t)input.width,
        .input_height = (int32_t)input.height,
        .output_kind = network->output_kind,
        .output_width = heatmaps ? (int32_t)output.width : 2,
        .output_height = heatmaps ? (int32_t)output.height : 1,
        .weight_bytes = fkp_program_weight_bytes(model->program),
        .label_bias_px = {model->credentials.label_bias[0], model->credentials.label_bias[1]}};
    for (int32_t i = 0; i < network->layer_count; i++) {
        known.parameters += fkp_layer_parameters(network, i);
        known.multiply_adds += fkp_layer_multiply_adds(network, i);
    }
    fkp_struct_write(info, &known, sizeof known);
    return FACEKP_OK;
}

/* The table begins after the input, which is no layer to a reader. */
int32_t facekp_model_layer_count(const facekp_model *model) {
    return model == NULL ? 0 : model->network->layer_count - 1;
}

facekp_status facekp_model_get_layer(const facekp_model *model, int32_t index, facekp_layer_info *info) {
    if (model == NULL || index < 0 || index >= facekp_model_layer_count(model)) return FACEKP_ERROR_ARGUMENT;
    facekp_status status = fkp_struct_check(info, sizeof *info, "facekp_layer_info", NULL);
    if (status != FACEKP_OK) return status;
    const fkp_layer *layer = &model->network->layers[index + 1];
    const facekp_layer_info known = {.name = layer->name,
                                     .kind = fkp_layer_kind_name(layer->kind),
                                     .channels = (int32_t)layer->shape.channels,
                                     .height = (int32_t)layer->shape.height,
                                     .width = (int32_t)layer->shape.width,
                                     .parameters = fkp_layer_parameters(model->network, index + 1),
                                     .multiply_adds = fkp_layer_multiply_adds(model->network, index + 1)};
    fkp_struct_write(info, &known, sizeof known);
    return FACEKP_OK;
}
