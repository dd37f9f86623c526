/* A network computed as its description reads, layer by layer, in double, nothing fused: what programs are
 * held to. Tensors are dense N x H x W x C. */
#ifndef INTERPRETER_H
#define INTERPRETER_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

typedef struct interpreter {
    const fkp_network *network;
    const float *storage;
    const fkp_layer *layer;
    int32_t index;
    fkp_shape in, out;
    const double *x, *y; /* the inputs */
    double *result;
} interpreter;

static inline const float *parameter_values(const interpreter *t, fkp_role role) {
    int32_t parameter = fkp_network_parameter(t->network, t->index, role);
    return parameter < 0 ? NULL : t->storage + t->network->parameters[parameter].offset;
}

static inline double input_at(const interpreter *t, size_t y, size_t x, size_t c) {
    return t->x[(y * t->in.width + x) * t->in.channels + c];
}

/* The input pixel that a window's tap falls on; false outside of the image. */
static inline bool tap_inside(const interpreter *t, size_t row, size_t column, size_t i, size_t j, size_t *y,
                              size_t *x) {
    size_t padding = t->layer->padding;
    *y = row * t->layer->stride + i;
    *x = column * t->layer->stride + j;
    if (*y < padding || *x < padding || *y >= t->in.height + padding || *x >= t->in.width + padding)
        return false;
    *y -= padding;
    *x -= padding;
    return true;
}

static inline double convolution_at(const interpreter *t, size_t row, size_t column, size_t o) {
    size_t kernel = t->layer->kernel, y, x;
    const float *weights = parameter_values(t, FKP_ROLE_WEIGHT);
    double sum = t->layer->bias ? (double)parameter_values(t, FKP_ROLE_BIAS)[o] : 0.0;
    for (size_t i = 0; i < kernel; i++)
        for (size_t j = 0; j < kernel; j++) {
            if (!tap_inside(t, row, column, i, j, &y, &x)) continue;
            for (size_t c = 0; c < t->in.channels; c++)
                sum += (double)weights[((o * t->in.channels + c) * kernel + i) * kernel + j] *
                       input_at(t, y, x, c);
        }
    return sum;
}

static inline double upsampling_at(const interpreter *t, size_t row, size_t column, size_t o) {
    const float *weights = parameter_values(t, FKP_ROLE_WEIGHT);
    double sum = (double)parameter_values(t, FKP_ROLE_BIAS)[o];
    for (size_t c = 0; c < t->in.channels; c++)
        sum += input_at(t, row / 2, column / 2, c) *
               (double)weights[((c * t->out.channels + o) * 2 + row % 2) * 2 + column % 2];
    return sum;
}

static inline double linear_at(const interpreter *t, size_t row, size_t column, size_t o) {
    const float *weights = parameter_values(t, FKP_ROLE_WEIGHT) + o * t->in.channels;
    double sum = (double)parameter_values(t, FKP_ROLE_BIAS)[o];
    for (size_t c = 0; c < t->in.channels; c++) sum += (double)weights[c] * input_at(t, row, column, c);
    return sum;
}

static inline double batch_norm_at(const interpreter *t, size_t row, size_t column, size_t c) {
    double deviation =
        sqrt((double)parameter_values(t, FKP_ROLE_RUNNING_VARIANCE)[c] + (double)t->layer->epsilon);
    return (input_at(t, row, column, c) - (double)parameter_values(t, FKP_ROLE_RUNNING_MEAN)[c]) / deviation *
               (double)parameter_values(t, FKP_ROLE_WEIGHT)[c] +
           (double)parameter_values(t, FKP_ROLE_BIAS)[c];
}

static inline double layer_norm_at(const interpreter *t, size_t row, size_t column, size_t c) {
    double mean = 0, variance = 0, count = (double)t->in.channels;
    for (size_t k = 0; k < t->in.channels; k++) mean += input_at(t, row, column, k) / count;
    for (size_t k = 0; k < t->in.channels; k++)
        variance += pow(input_at(t, row, column, k) - mean, 2) / count;
    return (input_at(t, row, column, c) - mean) / sqrt(variance + (double)t->layer->epsilon) *
               (double)parameter_values(t, FKP_ROLE_WEIGHT)[c] +
           (double)parameter_values(t, FKP_ROLE_BIAS)[c];
}

static inline double activated(double x, fkp_activation activation) {
    if (activation == FKP_ACTIVATION_RELU) return x > 0 ? x : 0;
    if (activation == FKP_ACTIVATION_ELU) return x > 0 ? x : expm1(x);
    if (activation == FKP_ACTIVATION_GELU) return 0.5 * x * (1 + erf(x * sqrt(0.5)));
    return x;
}

static inline double max_pooling_at(const interpreter *t, size_t row, size_t column, size_t c) {
    double most = -INFINITY;
    size_t y, x;
    for (size_t i = 0; i < t->layer->kernel; i++)
        for (size_t j = 0; j < t->layer->kernel; j++)
            if (tap_inside(t, row, column, i, j, &y, &x)) most = fmax(most, input_at(t, y, x, c));
    return most;
}

static inline double average_at(const interpreter *t, size_t c) {
    double sum = 0;
    for (size_t y = 0; y < t->in.height; y++)
        for (size_t x = 0; x < t->in.width; x++) sum += input_at(t, y, x, c);
    return sum / (double)fkp_shape_rows(t->in);
}

static inline double concatenated_at(const interpreter *t, size_t row, size_t column, size_t c) {
    if (c < t->in.channels) return input_at(t, row, column, c);
    size_t channels = t->out.channels - t->in.channels;
    return t->y[(row * t->in.width + column) * channels + c - t->in.channels];
}

/* The number of a flattened tensor at place k, in PyTorch's order. */
static inline double flattened_at(const interpreter *t, size_t k) {
    size_t pixels = fkp_shape_rows(t->in);
    return t->in.width == 1 ? t->x[k] : t->x[k % pixels * t->in.channels + k / pixels];
}

static inline double token_at(const interpreter *t, size_t row, size_t c) {
    double position = (double)parameter_values(t, FKP_ROLE_POSITION)[row * t->out.channels + c];
    return position + (row == 0 ? (double)parameter_values(t, FKP_ROLE_CLASS_TOKEN)[c]
                                : t->x[(row - 1) * t->in.channels + c]);
}

/* softmax(q K^T / sqrt d) V for one query and one channel of V: keys and values are `stride` apart. */
static inline double attended(const double *query, const double *keys, const double *values, size_t tokens,
                              size_t stride, size_t d) {
    double sum = 0, weighted = 0;
    for (size_t k = 0; k < tokens; k++) {
        double dot = 0;
        for (size_t i = 0; i < d; i++) dot += query[i] * keys[k * stride + i];
        double weight = exp(dot / sqrt((double)d));
        sum += weight;
        weighted += weight * values[k * stride];
    }
    return weighted / sum;
}

static inline double attention_at(const interpreter *t, size_t row, size_t c) {
    size_t dimension = t->out.channels, d = dimension / t->layer->heads, head = c / d * d;
    const double *query = t->x + row * 3 * dimension + head, *keys = t->x + dimension + head;
    return attended(query, keys, t->x + 2 * dimension + c, fkp_shape_rows(t->in), 3 * dimension, d);
}

static inline double query_attention_at(const interpreter *t, size_t row, size_t c) {
    double query[1024];
    size_t d = t->in.channels;
    for (size_t i = 0; i < d; i++) query[i] = (double)parameter_values(t, FKP_ROLE_QUERIES)[row * d + i];
    return attended(query, t->x, t->x + c, fkp_shape_rows(t->in), d, d);
}

static inline double number_at(const interpreter *t, size_t row, size_t column, size_t c) {
    switch (t->layer->kind) {
    case FKP_LAYER_CONVOLUTION:
        return convolution_at(t, row, column, c);
    case FKP_LAYER_UPSAMPLING:
        return upsampling_at(t, row, column, c);
    case FKP_LAYER_LINEAR:
        return linear_at(t, row, column, c);
    case FKP_LAYER_BATCH_NORM:
        return batch_norm_at(t, row, column, c);
    case FKP_LAYER_ACTIVATION:
        return activated(input_at(t, row, column, c), t->layer->activation);
    case FKP_LAYER_MAX_POOLING:
        return max_pooling_at(t, row, column, c);
    case FKP_LAYER_AVERAGE_POOLING:
        return average_at(t, c);
    case FKP_LAYER_ADD:
        return input_at(t, row, column, c) + t->y[(row * t->in.width + column) * t->in.channels + c];
    case FKP_LAYER_CONCATENATE:
        return concatenated_at(t, row, column, c);
    case FKP_LAYER_FLATTEN:
        return flattened_at(t, c);
    case FKP_LAYER_TOKENS:
        return token_at(t, row, c);
    case FKP_LAYER_LAYER_NORM:
        return layer_norm_at(t, row, column, c);
    case FKP_LAYER_ATTENTION:
        return attention_at(t, row, c);
    case FKP_LAYER_SKIP_TOKENS:
        return input_at(t, row + 1, column, c);
    case FKP_LAYER_QUERY_ATTENTION:
        return query_attention_at(t, row, c);
    default: /* input and dropout */
        return input_at(t, row, column, c);
    }
}

/* One image, planes of one channel; the result dense, H x W x C; free() it. */
static inline double *interpret(const fkp_network *network, const float *storage, const float *image) {
    double *tensors[FKP_MAX_LAYERS] = {NULL};
    size_t pixels = fkp_shape_floats(network->layers[0].shape);
    double *input = malloc(pixels * sizeof *input);
    for (size_t i = 0; i < pixels; i++) input[i] = (double)image[i];
    tensors[0] = input;
    int32_t last = network->layer_count - 1;
    for (int32_t index = 1; index <= last; index++) {
        const fkp_layer *layer = &network->layers[index];
        interpreter t = {.network = network,
                         .storage = storage,
                         .layer = layer,
                         .index = index,
                         .in = network->layers[layer->inputs[0]].shape,
                         .out = layer->shape,
                         .x = tensors[layer->inputs[0]],
                         .y = layer->inputs[1] < 0 ? NULL : tensors[layer->inputs[1]],
                         .result = malloc(fkp_shape_floats(layer->shape) * sizeof(double))};
        double *place = t.result;
        for (size_t row = 0; row < t.out.height; row++)
            for (size_t column = 0; column < t.out.width; column++)
                for (size_t c = 0; c < t.out.channels; c++) *place++ = number_at(&t, row, column, c);
        tensors[index] = t.result;
    }
    for (int32_t index = 0; index < last; index++) free(tensors[index]);
    return tensors[last];
}

#endif
