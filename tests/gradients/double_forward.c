#include "gradients/double_forward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

typedef struct layer_run {
    const fkp_network *network;
    const fkp_layer *layer;
    int32_t index;
    const double *parameters;
    size_t count;
    uint64_t stream;
    const double *a, *b; /* inputs */
    fkp_shape in, out;   /* of a; of the result */
    double *y;
} layer_run;

static const double *parameter(const layer_run *r, fkp_role role) {
    int32_t p = fkp_network_parameter(r->network, r->index, role);
    return p < 0 ? NULL : r->parameters + r->network->parameters[p].offset;
}
static size_t in_rows(const layer_run *r) { return r->count * fkp_shape_rows(r->in); }
static size_t out_floats(const layer_run *r) { return r->count * fkp_shape_floats(r->out); }

static double activate(double x, fkp_activation activation) {
    switch (activation) {
    case FKP_ACTIVATION_RELU:
        return x > 0.0 ? x : 0.0;
    case FKP_ACTIVATION_ELU:
        return x > 0.0 ? x : expm1(x);
    case FKP_ACTIVATION_GELU:
        return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    default:
        return x;
    }
}

/* One pixel of a convolution; rows and columns outside are zeros. */
static double convolve(const layer_run *r, const double *image, const double *w, size_t o, size_t y,
                       size_t x) {
    size_t kernel = r->layer->kernel, channels = r->in.channels;
    double sum = 0.0;
    for (size_t i = 0; i < kernel; i++)
        for (size_t j = 0; j < kernel; j++) {
            size_t iy = y * r->layer->stride + i, ix = x * r->layer->stride + j, pad = r->layer->padding;
            if (iy < pad || ix < pad || iy - pad >= r->in.height || ix - pad >= r->in.width) continue;
            const double *pixel = image + ((iy - pad) * r->in.width + ix - pad) * channels;
            for (size_t c = 0; c < channels; c++)
                sum += pixel[c] * w[((o * channels + c) * kernel + i) * kernel + j];
        }
    return sum;
}

static void convolution(const layer_run *r) {
    const double *w = parameter(r, FKP_ROLE_WEIGHT), *bias = parameter(r, FKP_ROLE_BIAS);
    double *y = r->y;
    for (size_t n = 0; n < r->count; n++)
        for (size_t p = 0; p < fkp_shape_rows(r->out); p++)
            for (size_t o = 0; o < r->out.channels; o++)
                *y++ = (bias == NULL ? 0.0 : bias[o]) + convolve(r, r->a + n * fkp_shape_floats(r->in), w, o,
                                                                 p / r->out.width, p % r->out.width);
}

static void upsampling(const layer_run *r) {
    const double *w = parameter(r, FKP_ROLE_WEIGHT), *bias = parameter(r, FKP_ROLE_BIAS);
    double *y = r->y;
    for (size_t n = 0; n < r->count; n++)
        for (size_t p = 0; p < fkp_shape_rows(r->out); p++)
            for (size_t o = 0; o < r->out.channels; o++) {
                size_t row = p / r->out.width, column = p % r->out.width;
                const double *x =
                    r->a + ((n * r->in.height + row / 2) * r->in.width + column / 2) * r->in.channels;
                double sum = bias[o];
                for (size_t c = 0; c < r->in.channels; c++)
                    sum += x[c] * w[(c * r->out.channels + o) * 4 + row % 2 * 2 + column % 2];
                *y++ = sum;
            }
}

static void linear(const layer_run *r) {
    const double *w = parameter(r, FKP_ROLE_WEIGHT), *bias = parameter(r, FKP_ROLE_BIAS);
    size_t depth = r->in.channels, columns = r->out.channels;
    for (size_t row = 0; row < in_rows(r); row++)
        for (size_t o = 0; o < columns; o++) {
            double sum = bias == NULL ? 0.0 : bias[o];
            for (size_t i = 0; i < depth; i++) sum += r->a[row * depth + i] * w[o * depth + i];
            r->y[row * columns + o] = sum;
        }
}

static void normalize(const double *x, size_t count, size_t step, double epsilon, double weight, double bias,
                      double *y) {
    double mean = 0.0, variance = 0.0;
    for (size_t i = 0; i < count; i++) mean += x[i * step] / (double)count;
    for (size_t i = 0; i < count; i++)
        variance += (x[i * step] - mean) * (x[i * step] - mean) / (double)count;
    for (size_t i = 0; i < count; i++)
        y[i * step] = (x[i * step] - mean) / sqrt(variance + epsilon) * weight + bias;
}

static void batch_norm(const layer_run *r) {
    for (size_t c = 0; c < r->out.channels; c++)
        normalize(r->a + c, in_rows(r), r->out.channels, (double)r->layer->epsilon,
                  parameter(r, FKP_ROLE_WEIGHT)[c], parameter(r, FKP_ROLE_BIAS)[c], r->y + c);
}

static void layer_norm(const layer_run *r) {
    size_t channels = r->out.channels;
    for (size_t row = 0; row < in_rows(r); row++) {
        double *y = r->y + row * channels;
        normalize(r->a + row * channels, channels, 1, (double)r->layer->epsilon, 1.0, 0.0, y);
        for (size_t c = 0; c < channels; c++)
            y[c] = y[c] * parameter(r, FKP_ROLE_WEIGHT)[c] + parameter(r, FKP_ROLE_BIAS)[c];
    }
}

static void activation(const layer_run *r) {
    for (size_t i = 0; i < out_floats(r); i++) r->y[i] = activate(r->a[i], r->layer->activation);
}

static void max_pooling(const layer_run *r) {
    size_t channels = r->in.channels, pad = r->layer->padding;
    double *out = r->y;
    for (size_t n = 0; n < r->count; n++)
        for (size_t p = 0; p < fkp_shape_rows(r->out); p++)
            for (size_t c = 0; c < channels; c++) {
                double largest = -INFINITY;
                for (size_t k = 0; k < r->layer->kernel * r->layer->kernel; k++) {
                    size_t y = p / r->out.width * r->layer->stride + k / r->layer->kernel;
                    size_t x = p % r->out.width * r->layer->stride + k % r->layer->kernel;
                    if (y < pad || x < pad || y - pad >= r->in.height || x - pad >= r->in.width) continue;
                    largest = fmax(
                        largest, r->a[((n * r->in.height + y - pad) * r->in.width + x - pad) * channels + c]);
                }
                *out++ = largest;
            }
}

static void average_pooling(const layer_run *r) {
    size_t channels = r->in.channels, rows = fkp_shape_rows(r->in);
    for (size_t n = 0; n < r->count; n++)
        for (size_t p = 0; p < rows; p++)
            for (size_t c = 0; c < channels; c++)
                r->y[n * channels + c] += r->a[(n * rows + p) * channels + c] / (double)rows;
}

/* The rule of lib/train: unit u has 16 bits of the layer's stream, and is kept when they reach the rate. */
static void dropout(const layer_run *r) {
    uint64_t key = fkp_mix64(r->stream ^ fkp_mix64((uint64_t)r->index));
    size_t channels = r->out.channels, rows = fkp_shape_rows(r->out);
    for (size_t i = 0; i < out_floats(r); i++) {
        uint64_t unit = r->layer->whole_channels ? i / (rows * channels) * channels + i % channels : i;
        uint64_t bits = fkp_random_at(key, unit / 4) >> (16 * (unit % 4)) & 0xffff;
        bool kept = bits >= (uint64_t)(r->layer->rate * 65536.0f);
        r->y[i] = kept ? r->a[i] / (1.0 - (double)r->layer->rate) : 0.0;
    }
}

static void add(const layer_run *r) {
    for (size_t i = 0; i < out_floats(r); i++) r->y[i] = r->a[i] + r->b[i];
}

static void concatenate(const layer_run *r) {
    size_t first = r->in.channels, second = r->out.channels - first;
    for (size_t row = 0; row < in_rows(r); row++) {
        memcpy(r->y + row * r->out.channels, r->a + row * first, first * sizeof(double));
        memcpy(r->y + row * r->out.channels + first, r->b + row * second, second * sizeof(double));
    }
}

static void flatten(const layer_run *r) {
    size_t rows = fkp_shape_rows(r->in), channels = r->in.channels;
    for (size_t n = 0; n < r->count; n++)
        for (size_t p = 0; p < rows; p++)
            for (size_t c = 0; c < channels; c++) {
                size_t place = fkp_flatten_reorders(r->in) ? c * rows + p : p * channels + c;
                r->y[n * channels * rows + place] = r->a[(n * rows + p) * channels + c];
            }
}

static void tokens(const layer_run *r) {
    size_t channels = r->out.channels, count = fkp_shape_rows(r->out);
    const double *position = parameter(r, FKP_ROLE_POSITION);
    for (size_t n = 0; n < r->count; n++)
        for (size_t t = 0; t < count; t++)
            for (size_t c = 0; c < channels; c++)
                r->y[(n * count + t) * channels + c] =
                    position[t * channels + c] + (t == 0 ? parameter(r, FKP_ROLE_CLASS_TOKEN)[c]
                                                         : r->a[(n * (count - 1) + t - 1) * channels + c]);
}

static void skip_tokens(const layer_run *r) {
    size_t channels = r->out.channels, rows = fkp_shape_rows(r->out), skipped = fkp_shape_rows(r->in) - rows;
    for (size_t n = 0; n < r->count; n++)
        memcpy(r->y + n * rows * channels, r->a + (n * (rows + skipped) + skipped) * channels,
               rows * channels * sizeof(double));
}

/* y = softmax(q k^T / sqrt(d)) v for one query over `count` rows of k and v, `step` apart. */
static void attend(const double *q, const double *k, const double *v, size_t count, size_t step, size_t d,
                   double *y) {
    double *p = calloc(count, sizeof *p), sum = 0.0;
    for (size_t t = 0; t < count; t++) {
        for (size_t c = 0; c < d; c++) p[t] += q[c] * k[t * step + c] / sqrt((double)d);
        p[t] = exp(p[t]);
        sum += p[t];
    }
    for (size_t c = 0; c < d; c++) y[c] = 0.0;
    for (size_t t = 0; t < count; t++)
        for (size_t c = 0; c < d; c++) y[c] += p[t] / sum * v[t * step + c];
    free(p);
}

static void attention(const layer_run *r) {
    size_t heads = r->layer->heads, all = r->out.channels, d = all / heads, rows = fkp_shape_rows(r->out);
    for (size_t n = 0; n < r->count; n++)
        for (size_t h = 0; h < heads; h++)
            for (size_t t = 0; t < rows; t++) {
                const double *qkv = r->a + n * rows * 3 * all + h * d;
                attend(qkv + t * 3 * all, qkv + all, qkv + 2 * all, rows, 3 * all, d,
                       r->y + (n * rows + t) * all + h * d);
            }
}

static void query_attention(const layer_run *r) {
    size_t channels = r->in.channels, rows = fkp_shape_rows(r->in);
    for (size_t n = 0; n < r->count; n++)
        for (size_t k = 0; k < r->layer->count; k++) {
            const double *x = r->a + n * rows * channels;
            attend(parameter(r, FKP_ROLE_QUERIES) + k * channels, x, x, rows, channels, channels,
                   r->y + (n * r->layer->count + k) * channels);
        }
}

static void (*const forwards[FKP_LAYER_KINDS])(const layer_run *) = {
    [FKP_LAYER_CONVOLUTION] = convolution,
    [FKP_LAYER_UPSAMPLING] = upsampling,
    [FKP_LAYER_LINEAR] = linear,
    [FKP_LAYER_BATCH_NORM] = batch_norm,
    [FKP_LAYER_ACTIVATION] = activation,
    [FKP_LAYER_MAX_POOLING] = max_pooling,
    [FKP_LAYER_DROPOUT] = dropout,
    [FKP_LAYER_AVERAGE_POOLING] = average_pooling,
    [FKP_LAYER_ADD] = add,
    [FKP_LAYER_CONCATENATE] = concatenate,
    [FKP_LAYER_FLATTEN] = flatten,
    [FKP_LAYER_TOKENS] = tokens,
    [FKP_LAYER_LAYER_NORM] = layer_norm,
    [FKP_LAYER_ATTENTION] = attention,
    [FKP_LAYER_SKIP_TOKENS] = skip_tokens,
    [FKP_LAYER_QUERY_ATTENTION] = query_attention,
};

double *double_forward(const fkp_network *network, const double *parameters, const float *in, size_t count,
                       uint64_t stream) {
    double **values = calloc((size_t)network->layer_count, sizeof *values);
    for (int32_t i = 0; i < network->layer_count; i++) {
        const fkp_layer *layer = &network->layers[i];
        size_t floats = count * fkp_shape_floats(layer->shape);
        values[i] = calloc(floats, sizeof **values);
        if (i == 0) {
            for (size_t k = 0; k < floats; k++) values[0][k] = (double)in[k];
            continue;
        }
        layer_run run = {.network = network,
                         .layer = layer,
                         .index = i,
                         .parameters = parameters,
                         .count = count,
                         .stream = stream,
                         .a = values[layer->inputs[0]],
                         .b = layer->inputs[1] < 0 ? NULL : values[layer->inputs[1]],
                         .in = network->layers[layer->inputs[0]].shape,
                         .out = layer->shape,
                         .y = values[i]};
        forwards[layer->kind](&run);
    }
    double *output = values[network->layer_count - 1];
    for (int32_t i = 0; i + 1 < network->layer_count; i++) free(values[i]);
    free(values);
    return output;
}
