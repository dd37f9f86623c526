/* Describing a network: layers one by one, shapes inferred, parameters named. */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "graph/graph.h"

/* No tensor of an image has more numbers than this; products of sizes below it do not overflow. */
#define MAX_FLOATS ((size_t)1 << 28)

static const char *const kind_names[FKP_LAYER_KINDS] = {
    "input",       "convolution",     "upsampling", "linear",      "batch norm",     "activation",
    "max pooling", "average pooling", "dropout",    "add",         "concatenate",    "flatten",
    "tokens",      "layer norm",      "attention",  "skip tokens", "query attention"};

const char *fkp_layer_kind_name(fkp_layer_kind kind) { return kind_names[kind]; }

facekp_status fkp_network_begin(const fkp_memory *memory, fkp_builder *builder, size_t height, size_t width,
                                size_t channels) {
    *builder = (fkp_builder){.memory = memory};
    fkp_network *network = fkp_allocate(memory, 1, sizeof *network);
    if (network != NULL) {
        network->layers = fkp_allocate(memory, FKP_MAX_LAYERS, sizeof *network->layers);
        network->parameters = fkp_allocate(memory, FKP_MAX_PARAMETERS, sizeof *network->parameters);
    }
    if (network == NULL || network->layers == NULL || network->parameters == NULL) {
        fkp_network_free(memory, network);
        return fkp_fail(&builder->error, FACEKP_ERROR_MEMORY, "no memory to describe a network");
    }
    builder->network = network;
    network->layers[0] = (fkp_layer){.inputs = {-1, -1}, .shape = {height, width, channels}};
    network->layer_count = 1;
    return FACEKP_OK;
}

void fkp_network_free(const fkp_memory *memory, fkp_network *network) {
    if (network == NULL) return;
    fkp_release(memory, network->layers, FKP_MAX_LAYERS, sizeof *network->layers);
    fkp_release(memory, network->parameters, FKP_MAX_PARAMETERS, sizeof *network->parameters);
    fkp_release(memory, network, 1, sizeof *network);
}

/* ---- layers ---- */

static fkp_shape shape_of(const fkp_builder *builder, int32_t layer) {
    if (builder->error.status != FACEKP_OK || layer < 0 || layer >= builder->network->layer_count)
        return (fkp_shape){0, 0, 0};
    return builder->network->layers[layer].shape;
}

/* Adds a layer that has its shape; -1 and a sticky error when it cannot be. */
static int32_t add_layer(fkp_builder *builder, fkp_layer layer, const char *name) {
    if (builder->error.status != FACEKP_OK) return -1;
    fkp_network *network = builder->network;
    snprintf(layer.name, sizeof layer.name, "%s", name);
    size_t rows, floats;
    if (network->layer_count == FKP_MAX_LAYERS || strlen(name) >= FKP_NAME_BYTES) {
        fkp_fail(&builder->error, FACEKP_ERROR_LIMIT,
                 "layer '%.40s': more than %d layers, or a name too long", name, FKP_MAX_LAYERS);
        return -1;
    }
    if (!fkp_checked_multiply(layer.shape.height, layer.shape.width, &rows) ||
        !fkp_checked_multiply(rows, layer.shape.channels, &floats) || floats == 0 || floats > MAX_FLOATS) {
        fkp_fail(&builder->error, FACEKP_ERROR_ARGUMENT, "layer '%s' (%s) has no valid size: %zu x %zu x %zu",
                 name, kind_names[layer.kind], layer.shape.channels, layer.shape.height, layer.shape.width);
        return -1;
    }
    network->layers[network->layer_count] = layer;
    return network->layer_count++;
}

/* Adds a parameter of the layer that comes next; called before add_layer. `shape` is filled up with zeros. */
static void add_parameter(fkp_builder *builder, const char *prefix, const char *suffix, fkp_role role,
                          const size_t shape[4]) {
    if (builder->error.status != FACEKP_OK) return;
    fkp_network *network = builder->network;
    fkp_parameter parameter = {
        .layer = network->layer_count, .role = role, .count = 1, .offset = network->storage};
    int length = snprintf(parameter.name, sizeof parameter.name, "%s%s", prefix, suffix);
    bool fits =
        length > 0 && (size_t)length < sizeof parameter.name && network->parameter_count < FKP_MAX_PARAMETERS;
    for (int i = 0; i < 4 && shape[i] != 0; i++) {
        parameter.shape[parameter.rank++] = shape[i];
        fits = fits && fkp_checked_multiply(parameter.count, shape[i], &parameter.count);
    }
    size_t room = 0;
    fits = fits && parameter.count <= MAX_FLOATS && fkp_checked_round_up(parameter.count, 16, &room);
    if (!fits) {
        fkp_fail(&builder->error, FACEKP_ERROR_LIMIT, "parameter '%s%s' is too large, or one too many",
                 prefix, suffix);
        return;
    }
    network->storage += room;
    network->parameters[network->parameter_count++] = parameter;
}

static void add_weight_and_bias(fkp_builder *builder, const char *name, const size_t shape[4], size_t bias) {
    add_parameter(builder, name, ".weight", FKP_ROLE_WEIGHT, shape);
    if (bias > 0) add_parameter(builder, name, ".bias", FKP_ROLE_BIAS, (const size_t[4]){bias, 0, 0, 0});
}

/* Positions of a window along one side; 0 when the window does not fit. */
static size_t window_positions(size_t size, size_t kernel, size_t stride, size_t padding) {
    return size + 2 * padding < kernel ? 0 : (size + 2 * padding - kernel) / stride + 1;
}

int32_t fkp_add_convolution(fkp_builder *builder, int32_t input, const char *name, size_t channels,
                            size_t kernel, size_t stride, size_t padding, bool bias) {
    fkp_shape in = shape_of(builder, input);
    add_weight_and_bias(builder, name, (const size_t[4]){channels, in.channels, kernel, kernel},
                        bias ? channels : 0);
    fkp_shape out = {window_positions(in.height, kernel, stride, padding),
                     window_positions(in.width, kernel, stride, padding), channels};
    return add_layer(builder,
                     (fkp_layer){.kind = FKP_LAYER_CONVOLUTION,
                                 .inputs = {input, -1},
                                 .shape = out,
                                 .kernel = kernel,
                                 .stride = stride,
                                 .padding = padding,
                                 .bias = bias},
                     name);
}

int32_t fkp_add_upsampling(fkp_builder *builder, int32_t input, const char *name, size_t channels) {
    fkp_shape in = shape_of(builder, input);
    add_weight_and_bias(builder, name, (const size_t[4]){in.channels, channels, 2, 2}, channels);
    return add_layer(builder,
                     (fkp_layer){.kind = FKP_LAYER_UPSAMPLING,
                                 .inputs = {input, -1},
                                 .shape = {2 * in.height, 2 * in.width, channels},
                                 .kernel = 2,
                                 .stride = 2,
                                 .bias = true},
                     name);
}

int32_t fkp_add_linear(fkp_builder *builder, int32_t input, const char *name, size_t channels) {
    fkp_shape in = shape_of(builder, input);
    add_weight_and_bias(builder, name, (const size_t[4]){channels, in.channels, 0, 0}, channels);
    return add_layer(builder,
                     (fkp_layer){.kind = FKP_LAYER_LINEAR,
                                 .inputs = {input, -1},
                                 .shape = {in.height, in.width, channels},
                                 .bias = true},
                     name);
}

int32_t fkp_add_batch_norm(fkp_builder *builder, int32_t input, const char *name) {
    fkp_shape in = shape_of(builder, input);
    const size_t shape[4] = {in.channels, 0, 0, 0};
    add_weight_and_bias(builder, name, shape, in.channels);
    add_parameter(builder, name, ".running_mean", FKP_ROLE_RUNNING_MEAN, shape);
    add_parameter(builder, name, ".running_var", FKP_ROLE_RUNNING_VARIANCE, shape);
    return add_layer(
        builder,
        (fkp_layer){.kind = FKP_LAYER_BATCH_NORM, .inputs = {input, -1}, .shape = in, .epsilon = 1e-5f},
        name);
}

int32_t fkp_add_layer_norm(fkp_builder *builder, int32_t input, const char *name, float epsilon) {
    fkp_shape in = shape_of(builder, input);
    add_weight_and_bias(builder, name, (const size_t[4]){in.channels, 0, 0, 0}, in.channels);
    return add_layer(
        builder,
        (fkp_layer){.kind = FKP_LAYER_LAYER_NORM, .inputs = {input, -1}, .shape = in, .epsilon = epsilon},
        name);
}

int32_t fkp_add_activation(fkp_builder *builder, int32_t input, fkp_activation activation) {
    return add_layer(builder,
                     (fkp_layer){.kind = FKP_LAYER_ACTIVATION,
                                 .inputs = {input, -1},
                                 .shape = shape_of(builder, input),
                                 .activation = activation},
                     "");
}

int32_t fkp_add_max_pooling(fkp_builder *builder, int32_t input, size_t kernel, size_t stride,
                            size_t padding) {
    fkp_shape in = shape_of(builder, input);
    fkp_shape out = {window_positions(in.height, kernel, stride, padding),
                     window_positions(in.width, kernel, stride, padding), in.channels};
    return add_layer(builder,
                     (fkp_layer){.kind = FKP_LAYER_MAX_POOLING,
                                 .inputs = {input, -1},
                                 .shape = out,
                                 .kernel = kernel,
                                 .stride = stride,
                                 .padding = padding},
                     "");
}

int32_t fkp_add_average_pooling(fkp_builder *builder, int32_t input) {
    return add_layer(builder,
                     (fkp_layer){.kind = FKP_LAYER_AVERAGE_POOLING,
                                 .inputs = {input, -1},
                                 .shape = {1, 1, shape_of(builder, input).channels}},
                     "");
}

int32_t fkp_add_dropout(fkp_builder *builder, int32_t input, float rate, bool whole_channels) {
    return add_layer(builder,
                     (fkp_layer){.kind = FKP_LAYER_DROPOUT,
                                 .inputs = {input, -1},
                                 .shape = shape_of(builder, input),
                                 .rate = rate,
                                 .whole_channels = whole_channels},
                     "");
}

int32_t fkp_add_sum(fkp_builder *builder, int32_t a, int32_t b) {
    fkp_shape left = shape_of(builder, a), right = shape_of(builder, b);
    if (left.height != right.height || left.width != right.width || left.channels != right.channels)
        left = (fkp_shape){0, 0, 0};
    return add_layer(builder, (fkp_layer){.kind = FKP_LAYER_ADD, .inputs = {a, b}, .shape = left}, "");
}

int32_t fkp_add_concatenation(fkp_builder *builder, int32_t a, int32_t b) {
    fkp_shape left = shape_of(builder, a), right = shape_of(builder, b);
    bool same = left.height == right.height && left.width == right.width;
    fkp_shape out = {left.height, left.width, same ? left.channels + right.channels : 0};
    return add_layer(builder, (fkp_layer){.kind = FKP_LAYER_CONCATENATE, .inputs = {a, b}, .shape = out}, "");
}

int32_t fkp_add_flatten(fkp_builder *builder, int32_t input) {
    fkp_shape in = shape_of(builder, input);
    return add_layer(
        builder,
        (fkp_layer){.kind = FKP_LAYER_FLATTEN, .inputs = {input, -1}, .shape = {1, 1, fkp_shape_floats(in)}},
        "");
}

int32_t fkp_add_tokens(fkp_builder *builder, int32_t input, const char *class_name,
                       const char *position_name) {
    fkp_shape in = shape_of(builder, input);
    size_t tokens = fkp_shape_rows(in) + 1;
    add_parameter(builder, class_name, "", FKP_ROLE_CLASS_TOKEN, (const size_t[4]){1, 1, in.channels, 0});
    add_parameter(builder, position_name, "", FKP_ROLE_POSITION,
                  (const size_t[4]){1, tokens, in.channels, 0});
    return add_layer(
        builder,
        (fkp_layer){.kind = FKP_LAYER_TOKENS, .inputs = {input, -1}, .shape = {tokens, 1, in.channels}}, "");
}

int32_t fkp_add_attention(fkp_builder *builder, int32_t input, size_t heads) {
    fkp_shape in = shape_of(builder, input);
    bool divides = heads > 0 && in.channels % (3 * heads) == 0;
    return add_layer(builder,
                     (fkp_layer){.kind = FKP_LAYER_ATTENTION,
                                 .inputs = {input, -1},
                                 .shape = {in.height, in.width, divides ? in.channels / 3 : 0},
                                 .heads = heads},
                     "");
}

int32_t fkp_add_skip_tokens(fkp_builder *builder, int32_t input) {
    fkp_shape in = shape_of(builder, input);
    return add_layer(builder,
                     (fkp_layer){.kind = FKP_LAYER_SKIP_TOKENS,
                                 .inputs = {input, -1},
                                 .shape = {in.height > 0 ? in.height - 1 : 0, 1, in.channels}},
                     "");
}

int32_t fkp_add_query_attention(fkp_builder *builder, int32_t input, const char *name, size_t count) {
    fkp_shape in = shape_of(builder, input);
    add_parameter(builder, name, "", FKP_ROLE_QUERIES, (const size_t[4]){count, in.channels, 0, 0});
    return add_layer(builder,
                     (fkp_layer){.kind = FKP_LAYER_QUERY_ATTENTION,
                                 .inputs = {input, -1},
                                 .shape = {count, 1, in.channels},
                                 .count = count},
                     name);
}

facekp_status fkp_network_finish(fkp_builder *builder, fkp_network **network, fkp_error *error) {
    *network = NULL;
    if (builder->error.status != FACEKP_OK) {
        fkp_network_free(builder->memory, builder->network);
        builder->network = NULL;
        return fkp_fail(error, builder->error.status, "%s", builder->error.message);
    }
    *network = builder->network;
    return FACEKP_OK;
}

/* ---- asking ---- */

int32_t fkp_network_parameter(const fkp_network *network, int32_t layer, fkp_role role) {
    for (int32_t i = 0; i < network->parameter_count; i++)
        if (network->parameters[i].layer == layer && network->parameters[i].role == role) return i;
    return -1;
}

uint64_t fkp_layer_parameters(const fkp_network *network, int32_t layer) {
    uint64_t sum = 0;
    for (int32_t i = 0; i < network->parameter_count; i++)
        if (network->parameters[i].layer == layer && fkp_role_trained(network->parameters[i].role))
            sum += network->parameters[i].count;
    return sum;
}

uint64_t fkp_layer_multiply_adds(const fkp_network *network, int32_t index) {
    const fkp_layer *layer = &network->layers[index];
    if (layer->inputs[0] < 0) return 0;
    fkp_shape in = network->layers[layer->inputs[0]].shape;
    uint64_t outputs = fkp_shape_floats(layer->shape), rows = fkp_shape_rows(in);
    switch (layer->kind) {
    case FKP_LAYER_CONVOLUTION:
        return outputs * layer->kernel * layer->kernel * in.channels;
    case FKP_LAYER_UPSAMPLING:
        return outputs * in.channels;
    case FKP_LAYER_LINEAR:
        return outputs * in.channels;
    case FKP_LAYER_ATTENTION:
        return 2 * rows * rows * layer->shape.channels;
    case FKP_LAYER_QUERY_ATTENTION:
        return 2 * layer->count * rows * in.channels;
    default:
        return 0;
    }
}
