#include "kernels/reference/reference.h"

#include <math.h>

double fkp_reference_activation(double x, fkp_activation activation) {
    switch (activation) {
    case FKP_ACTIVATION_RELU:
        return x < 0 ? 0 : x;
    case FKP_ACTIVATION_ELU:
        return x > 0 ? x : expm1(x);
    case FKP_ACTIVATION_GELU:
        return 0.5 * x * erfc(-x * sqrt(0.5));
    case FKP_ACTIVATION_NONE:
        break;
    }
    return x;
}

static void gemm_tile(const fkp_gemm_tile *tile) {
    double sum = tile->accumulate ? (double)*tile->c : 0.0;
    for (size_t t = 0; t < tile->taps; t++)
        for (size_t k = 0; k < tile->depth; k++)
            sum += (double)tile->a[t][k] * (double)tile->b[t * tile->depth + k];
    const fkp_epilogue *epilogue = tile->epilogue;
    if (epilogue != NULL) {
        if (epilogue->bias != NULL) sum += (double)*epilogue->bias;
        if (epilogue->residual != NULL) sum += (double)*epilogue->residual;
        sum = fkp_reference_activation(sum, epilogue->activation);
    }
    *tile->c = (float)sum;
}

/* Sum of pixel (y, x), which row 0 begins with. */
static double plane_sum(const fkp_plane_row *row, size_t y, size_t x, size_t column) {
    const float *in = row->in + y * row->stride * row->in_stride + x * row->stride;
    double sum = 0.0;
    for (size_t i = 0; i < row->kernel; i++)
        for (size_t j = 0; j < row->kernel; j++)
            sum += (double)in[i * row->in_stride + j] *
                   (double)row->filters[(i * row->kernel + j) * row->width + column];
    return sum;
}

static double plane_result(const fkp_plane_row *row, size_t pixel, size_t column) {
    if (!row->pool) return plane_sum(row, 0, pixel, column);
    double largest = -INFINITY;
    for (size_t i = 0; i < 4; i++) largest = fmax(largest, plane_sum(row, i / 2, 2 * pixel + i % 2, column));
    return largest;
}

static void convolve_plane(const fkp_plane_row *row) {
    const fkp_epilogue *epilogue = row->epilogue;
    for (size_t p = 0; p < row->pixels; p++)
        for (size_t f = 0; f < row->columns; f++) {
            double sum = plane_result(row, p, f);
            if (epilogue != NULL) {
                if (epilogue->bias != NULL) sum += (double)epilogue->bias[f];
                if (epilogue->residual != NULL)
                    sum += (double)epilogue->residual[p * epilogue->residual_stride + f];
                sum = fkp_reference_activation(sum, epilogue->activation);
            }
            row->out[p * row->out_stride + f] = (float)sum;
        }
}

static void activate(const float *in, float *out, size_t count, fkp_activation activation) {
    for (size_t i = 0; i < count; i++) out[i] = (float)fkp_reference_activation((double)in[i], activation);
}

static void scale_shift(const float *in, const float *scale, const float *shift, float *out, size_t channels,
                        fkp_activation activation) {
    for (size_t c = 0; c < channels; c++) {
        double x = (double)in[c] * (double)scale[c] + (double)shift[c];
        out[c] = (float)fkp_reference_activation(x, activation);
    }
}

static void add(const float *a, const float *b, float *out, size_t count, fkp_activation activation) {
    for (size_t i = 0; i < count; i++)
        out[i] = (float)fkp_reference_activation((double)a[i] + (double)b[i], activation);
}

/* One number of one window. */
static float maximum_at(const fkp_maxima *row, size_t pixel, size_t channel) {
    float largest = -INFINITY;
    for (size_t r = 0; r < row->row_count; r++)
        for (size_t j = 0; j < row->size; j++) {
            size_t x = pixel * row->stride + j - row->padding; /* wraps around left of the image */
            if (x >= row->width) continue;
            float number = row->rows[r][x * row->in_stride + channel];
            largest = largest > number ? largest : number;
        }
    return largest;
}

static void maximum(const fkp_maxima *row) {
    for (size_t p = 0; p < row->pixels; p++)
        for (size_t c = 0; c < row->channels; c++) {
            double sum = (double)maximum_at(row, p, c) + (row->bias == NULL ? 0.0 : (double)row->bias[c]);
            row->out[p * row->out_stride + c] = (float)fkp_reference_activation(sum, row->activation);
        }
}

static void layer_norm(const float *in, const float *weight, const float *bias, float epsilon, float *out,
                       size_t channels) {
    double mean = 0, variance = 0;
    for (size_t c = 0; c < channels; c++) mean += (double)in[c] / (double)channels;
    for (size_t c = 0; c < channels; c++)
        variance += ((double)in[c] - mean) * ((double)in[c] - mean) / (double)channels;
    double scale = 1 / sqrt(variance + (double)epsilon);
    for (size_t c = 0; c < channels; c++)
        out[c] = (float)(((double)in[c] - mean) * scale * (double)weight[c] + (double)bias[c]);
}

static void softmax(float *row, size_t count, float scale) {
    double largest = -INFINITY, sum = 0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, (double)scale * (double)row[i]);
    for (size_t i = 0; i < count; i++) sum += exp((double)scale * (double)row[i] - largest);
    for (size_t i = 0; i < count; i++) row[i] = (float)(exp((double)scale * (double)row[i] - largest) / sum);
}

static void transpose(const float *in, size_t in_stride, size_t rows, size_t columns, float *out,
                      size_t out_stride) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) out[c * out_stride + r] = in[r * in_stride + c];
}

void fkp_register_reference(fkp_kernels *kernels) {
    kernels->lanes = 1;
    kernels->gemm = (fkp_gemm_record){"gemm_f32_1x1_reference", 1, 1, 1, gemm_tile};
    kernels->activate = activate;
    kernels->scale_shift = scale_shift;
    kernels->add = add;
    kernels->convolve_plane = convolve_plane;
    kernels->maximum = maximum;
    kernels->layer_norm = layer_norm;
    kernels->softmax = softmax;
    kernels->transpose = transpose;
    fkp_register_reference_winograd(kernels);
    fkp_register_reference_split(kernels);
}
