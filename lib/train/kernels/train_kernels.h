/* The contract of the kernels that only training needs, as kernels/kernels.h is that of the rest: one tile in
 * one thread, nothing read or written outside what was given, rows of channels with a stride in floats. simd/
 * is compiled once per instruction set. */
#ifndef FKP_TRAIN_KERNELS_H
#define FKP_TRAIN_KERNELS_H

#include "kernels/kernels.h"

/* c[rows x columns] (+)= sum over pixels p of a[p][row] b[p][column]: the weight gradient of a convolution's
 * tap or of a linear layer. */
typedef struct fkp_outer_tile {
    size_t rows;    /* 1 .. record.rows */
    size_t columns; /* 1 .. record.columns */
    size_t pixels;
    const float *const *a; /* a pointer for each pixel … */
    size_t a_offset;       /* … and the distance from there to the tile's first row */
    const float *b;
    size_t b_stride;
    float *c;
    size_t c_stride;
    bool accumulate;
    const float *next;  /* what the caller reads later: a line asked for every FKP_OUTER_ASK pixels, … */
    size_t next_stride; /* … so much further each time; NULL: none */
} fkp_outer_tile;
/* More requests than these hold up those of the product itself. */
#define FKP_OUTER_ASK 4

typedef struct fkp_outer_record {
    const char *name;
    size_t rows, columns; /* of the register tile */
    void (*tile)(const fkp_outer_tile *tile);
} fkp_outer_record;

/* Winograd's form of a weight gradient (simd/winograd_backward.c), beside the data transform of kernels.h.
 *
 * Spread: A dy A^T of one tile, for `channels` channels. Only rows x columns of the m x m results are there;
 * the others count as zeros. Element (i, j) goes to out + (i n + j) out_step. */
typedef struct fkp_winograd_spread {
    const float *d_out;
    size_t row_stride, pixel_stride;
    size_t rows, columns;
    size_t channels;
    float *out;
    size_t out_step;
} fkp_winograd_spread;

/* Gather: G^T u G for `count` filters that lie side by side: element (i, j) is at in + (i n + j) in_step,
 * number (y, x) of the filter goes to out + (y r + x) out_step. */
typedef struct fkp_winograd_gather {
    const float *in;
    size_t in_step;
    size_t count;
    float *out;
    size_t out_step;
} fkp_winograd_gather;

typedef struct fkp_winograd_backward_record {
    void (*spread)(const fkp_winograd_spread *spread);
    void (*gather)(const fkp_winograd_gather *gather);
} fkp_winograd_backward_record;

/* BatchNorm and the activation after it, backward. With z = scale x + shift, dz = d activation'(z):
 * sums:  sum_d = sum of dz, sum_dx = sum of dz (x - mean) over the rows;
 * apply: dx = scale dz + slope (x - mean) + offset; dx may be d. */
typedef struct fkp_norm_rows {
    size_t rows, channels;
    const float *x;
    size_t x_stride;
    const float *d;
    size_t d_stride;
    const float *scale, *shift, *mean; /* one per channel, as the others below */
    fkp_activation activation;
    float *sum_d, *sum_dx;
    const float *slope, *offset;
    float *dx;
    size_t dx_stride;
} fkp_norm_rows;

/* Backward of one row of output pixels of a max pooling: each d_out goes to the first input of its window
 * (rows before columns) that equals out, and zeros to the others; with `accumulate` they are added to what
 * d_in holds, as they must be where windows overlap. The window of output pixel o takes `window_rows` rows
 * (those inside the image) and the columns o stride - padding + [0, kernel) as far as they lie inside [0,
 * width). */
typedef struct fkp_pooling_row {
    size_t pixels, channels;
    size_t window_rows, kernel, stride, padding, width;
    const float *in; /* first pixel of the window's first row */
    size_t in_stride, in_row_stride;
    float *d_in;
    size_t d_in_stride, d_in_row_stride;
    const float *out;
    size_t out_stride;
    const float *d_out;
    size_t d_out_stride;
    bool accumulate;
} fkp_pooling_row;

#define FKP_THIN_ROWS 8

/* A tile of a thin linear layer: `outputs` outputs and `width` inputs of every row. */
typedef struct fkp_thin_tile {
    size_t rows, width, outputs;
    float *weights; /* outputs x width: read, or written when they are gradients */
    size_t weights_stride;
    float *in; /* rows x width: read, or written when it is a gradient */
    size_t in_stride;
    const float *d; /* backward: rows x outputs */
    size_t d_stride;
    float *out; /* forward: rows x outputs */
    size_t out_stride;
    bool accumulate; /* onto what the written one holds */
} fkp_thin_tile;

/* Adam (Kingma & Ba 2015) as torch.optim.Adam and AdamW compute it, over `count` numbers. */
typedef struct fkp_adam_arguments {
    size_t count;
    float *parameter, *first, *second;
    const float *gradient;
    float gradient_scale;
    float beta1, beta2;
    float decay;       /* gradient += decay parameter */
    float shrink;      /* parameter *= shrink first: 1, or AdamW's 1 - rate decay */
    float step;        /* rate / (1 - beta1^t) */
    float root_factor; /* 1 / sqrt(1 - beta2^t) */
    float epsilon;
} fkp_adam_arguments;

typedef struct fkp_sgd_arguments {
    size_t count;
    float *parameter, *momentum_buffer;
    const float *gradient;
    float gradient_scale;
    float momentum, decay, rate;
} fkp_sgd_arguments;

typedef struct fkp_train_kernels {
    fkp_outer_record outer;
    fkp_winograd_backward_record winograd[FKP_WINOGRAD_COUNT];
    /* mean[c] and m2[c] = sum of (x - mean)^2 of each channel over `rows` rows. */
    void (*moments)(const float *x, size_t stride, size_t rows, size_t channels, float *mean, float *m2);
    /* sums[c] (+)= sum over the rows. */
    void (*column_sums)(const float *x, size_t stride, size_t rows, size_t channels, bool accumulate,
                        float *sums);
    /* out = activation(x scale + shift), a block of rows. */
    void (*normalize)(const fkp_norm_rows *rows, float *out, size_t out_stride);
    void (*norm_sums)(const fkp_norm_rows *rows);
    void (*norm_apply)(const fkp_norm_rows *rows);
    /* d_in = d activation', from the output (ReLU, ELU) or from the input (GELU); d_in may be d. */
    void (*activation_backward)(const float *value, const float *d, float *d_in, size_t count,
                                fkp_activation activation);
    void (*max_pooling_backward)(const fkp_pooling_row *row);
    /* x *= mask / (1 - rate) for units first … first + count of the stream `key`; unit u is kept if 16 bits
     * of its own are at least rate 2^16. */
    void (*dropout)(uint64_t key, uint64_t first, float rate, const float *in, float *out, size_t count);
    /* One row: with y = xhat weight + bias, d_in (+)= gradient; d_weight += d xhat, d_bias += d (NULL: not
     * wanted, both). */
    void (*layer_norm_backward)(const float *x, const float *weight, float epsilon, const float *d,
                                size_t channels, bool accumulate, float *d_in, float *d_weight,
                                float *d_bias);
    /* One row in place: d = scale p (d - sum p d), the gradient of softmax(scale s) at p. */
    void (*softmax_backward)(const float *p, float *d, size_t count, float scale);
    /* The thin linear layer, a batch of up to FKP_THIN_ROWS rows against unpacked weights.
     * out[r][o] (+)= sum over i of weights[o][i] in[r][i]. */
    void (*thin_forward)(const fkp_thin_tile *tile);
    /* in[r][i] (+)= sum over o of d[r][o] weights[o][i]. */
    void (*thin_input)(const fkp_thin_tile *tile);
    /* weights[o][i] (+)= sum over r of d[r][o] in[r][i]. */
    void (*thin_weights)(const fkp_thin_tile *tile);
    /* y += a x */
    void (*axpy)(float a, const float *x, float *y, size_t count);
    /* Sum of squares, in double. */
    double (*square_sum)(const float *x, size_t count);
    void (*adam)(const fkp_adam_arguments *arguments);
    void (*sgd)(const fkp_sgd_arguments *arguments);
    /* average += (1 - decay) (x - average) */
    void (*average)(const float *x, float *average, size_t count, float decay);
    /* Heatmap losses over rows of channels. Chunk of a softmax over rows: maximum[c] and sum[c] of
     * exp(x - maximum). */
    void (*softmax_chunk)(const float *x, size_t stride, size_t rows, size_t channels, float *maximum,
                          float *sum);
    /* out = exp(x - maximum[c]) factor[c], one row. */
    void (*softmax_row)(const float *x, const float *maximum, const float *factor, float *out,
                        size_t channels);
    /* out = 1 / (1 + exp(-x)), softplus = ln(1 + exp(x)), one row. */
    void (*sigmoid_row)(const float *x, float *sigmoid, float *softplus, size_t channels);
} fkp_train_kernels;

void fkp_train_kernels_select(fkp_isa isa, fkp_train_kernels *kernels);

#endif
