/* Operators: one operation on whole tensors, threads included, built from the kernels. Inference plans and
 * training layers call the same ones. Tensors are rows of channels (N x H x W x C, see kernels.h); a view
 * names the first float and the distance between rows. No operator allocates: scratch memory is the caller's,
 * sized by *_scratch(). */
#ifndef FKP_OPERATORS_H
#define FKP_OPERATORS_H

#include "base/parallel.h"
#include "kernels/kernels.h"
#include "operators/window.h"

/* Where an operator runs. */
typedef struct fkp_context {
    const fkp_kernels *kernels;
    fkp_pool *pool;
    float *scratch; /* at least what the operator's *_scratch() said for fkp_pool_threads(pool) threads */
    /* Floats of it for a worker, at most its share, that stay the same from operator to operator: a worker
     * then finds in its caches what it wrote there before, and nobody else's. 0: workers lie close. */
    size_t slice;
} fkp_context;

/* A worker's own scratch memory, where each has `floats` and nothing is shared. */
static inline float *fkp_own_scratch(const fkp_context *context, size_t floats, size_t worker) {
    return context->scratch + worker * (floats > context->slice ? floats : context->slice);
}

/* ---- layer norm: of rows by themselves, or of those that a product reads ---- */

typedef struct fkp_layer_norm {
    const float *weight, *bias; /* NULL: there is none */
    float epsilon;
    /* Added to the rows first; it may lie where the result will. The sums, of which the norm is then taken,
     * go to `sum`, which may lie where the rows do. NULL: nothing is added. */
    const float *addend;
    float *sum;
    size_t addend_stride, sum_stride;
} fkp_layer_norm;
static inline bool fkp_normalises(const fkp_layer_norm *norm) { return norm->weight != NULL; }

/* ---- matrix product: out[rows x columns] = epilogue(in[rows x depth] W[depth x columns]) ---- */

size_t fkp_gemm_packed_floats(const fkp_kernels *kernels, size_t depth, size_t columns);
/* Packs W, W[k][j] = weights[k * depth_stride + j * column_stride], each column multiplied by scale[j] (NULL:
 * 1). */
void fkp_gemm_pack(const fkp_kernels *kernels, size_t depth, size_t columns, const float *weights,
                   size_t depth_stride, size_t column_stride, const float *scale, float *packed);

/* Columns [first, first + count) of a matrix whose columns are rows in memory, PyTorch's order: column j is
 * at weights + (j - first) * depth. `first` is a multiple of the granule, and so is `count` but for the last
 * columns. With inner > 1 number c * inner + p of a column goes to depth p * (depth / inner) + c: from
 * channels, then pixels or taps, to pixels, then channels. */
typedef struct fkp_column_block {
    size_t depth, columns, inner;
    size_t first, count;
    const float *weights;
    const float *scale;   /* per column of the matrix; NULL: 1 */
    size_t panel_columns; /* of a panel, but for the last one; 0: the register tile's */
} fkp_column_block;
void fkp_gemm_pack_columns(const fkp_kernels *kernels, const fkp_column_block *block, float *packed);

typedef struct fkp_gemm {
    size_t rows, depth, columns;
    const float *in;
    size_t in_stride;
    const float *packed;
    float *out;
    size_t out_stride;
    fkp_epilogue epilogue; /* bias per column; residual with its own stride */
    bool accumulate;       /* out += in W; the epilogue is then applied to the sum */
    fkp_layer_norm norm;   /* of the rows, before they are multiplied; it adds nothing */
} fkp_gemm;
size_t fkp_gemm_scratch(const fkp_kernels *kernels, const fkp_gemm *gemm, size_t threads);
void fkp_gemm_run(const fkp_context *context, const fkp_gemm *gemm);

/* The same with bias and activation only, its rows being the `pixels` pixels of one image after the other:
 * `out` receives images x columns x pixels, and out_stride is not looked at. */
size_t fkp_gemm_to_planes_scratch(const fkp_kernels *kernels, const fkp_gemm *gemm, size_t threads);
void fkp_gemm_to_planes_run(const fkp_context *context, const fkp_gemm *gemm, size_t pixels);

/* ---- convolution, square kernel ---- */

typedef struct fkp_convolution {
    size_t batch;
    size_t in_height, in_width, in_channels;
    size_t out_height, out_width, out_channels; /* before pooling */
    size_t kernel, stride, padding;
} fkp_convolution;

typedef enum fkp_convolution_algorithm {
    FKP_CONVOLUTION_DIRECT, /* a matrix product over row pointers, one tap per kernel position */
    FKP_CONVOLUTION_WINOGRAD_2_3,
    FKP_CONVOLUTION_WINOGRAD_4_3,
    FKP_CONVOLUTION_WINOGRAD_5_3,
    FKP_CONVOLUTION_WINOGRAD_6_3,
    FKP_CONVOLUTION_WINOGRAD_4_4,
    FKP_CONVOLUTION_WINOGRAD_4_3_2,
    FKP_CONVOLUTION_SPLIT, /* a matrix product of numbers taken apart, see fkp_split_record */
    FKP_CONVOLUTION_ALGORITHMS
} fkp_convolution_algorithm;

static inline bool fkp_is_winograd(fkp_convolution_algorithm algorithm) {
    return algorithm >= FKP_CONVOLUTION_WINOGRAD_2_3 && algorithm <= FKP_CONVOLUTION_WINOGRAD_4_3_2;
}

/* The fastest algorithm for this shape by the cost model, one that keeps to the library's error bound. */
fkp_convolution_algorithm fkp_convolution_choose(const fkp_kernels *kernels, const fkp_convolution *shape);
bool fkp_convolution_can(const fkp_convolution *shape, fkp_convolution_algorithm algorithm);
/* Channels at which an algorithm's input may go on in a second tensor, a multiple of them; 0: it may not. */
size_t fkp_convolution_beside(fkp_convolution_algorithm algorithm);
/* Whether such a second tensor, of the last `channels` channels, better be the result of a transposed
 * convolution of `small_channels` that is never made, where nothing is pooled. */
bool fkp_convolution_upsamples(const fkp_kernels *kernels, const fkp_convolution *shape,
                               fkp_convolution_algorithm algorithm, size_t small_channels, size_t channels);
/* Whether the halves of the channels may have results of their own. */
bool fkp_convolution_halves(const fkp_convolution *shape, fkp_convolution_algorithm algorithm);

size_t fkp_convolution_packed_floats(const fkp_kernels *kernels, const fkp_convolution *shape,
                                     fkp_convolution_algorithm algorithm);
/* weights: out_channels x in_channels x kernel x kernel, as PyTorch has them; each output channel multiplied
 * by scale[o] (NULL: 1), which is how a BatchNorm is folded. Winograd's algorithms all read one packed form,
 * and transform their filters while running. */
void fkp_convolution_pack(const fkp_kernels *kernels, const fkp_convolution *shape,
                          fkp_convolution_algorithm algorithm, const float *weights, const float *scale,
                          float *packed);
/* The same of a block of output channels (depth: in_channels x kernel x kernel; inner and panel_columns are
 * set here). */
void fkp_convolution_pack_columns(const fkp_kernels *kernels, const fkp_convolution *shape,
                                  fkp_convolution_algorithm algorithm, fkp_column_block block, float *packed);
/* The weights of the convolution that carries gradients back (stride 1): kernel turned by 180 degrees, input
 * and output channels exchanged. `shape` is that of the backward convolution: in_channels are the forward's
 * out_channels. One of fkp_convolution_panels() panels at a time, so that threads can share them out.
 * Not of split numbers. */
size_t fkp_convolution_panels(const fkp_kernels *kernels, const fkp_convolution *shape,
                              fkp_convolution_algorithm algorithm);
void fkp_convolution_pack_backward(const fkp_kernels *kernels, const fkp_convolution *shape,
                                   fkp_convolution_algorithm algorithm, const float *weights, size_t panel,
                                   float *packed);

/* A transposed convolution 2 x 2, stride 2: each pixel becomes four. */
typedef struct fkp_upsampling {
    size_t batch, in_height, in_width, in_channels, out_channels;
    const float *in;
    size_t in_stride;
    const float *packed;
    float *out; /* 2 in_height x 2 in_width */
    size_t out_stride;
    fkp_epilogue epilogue; /* bias and activation */
} fkp_upsampling;

typedef struct fkp_convolution_run_arguments {
    fkp_convolution shape;
    fkp_convolution_algorithm algorithm;
    const float *packed;
    const float *in;
    size_t in_stride; /* floats from pixel to pixel */
    /* Channels from `beside_from` on are read in a second tensor, its channel 0 being the first of them: a
     * concatenation that is never made. 0: all are in the first. A multiple of what
     * fkp_convolution_beside() says. */
    const float *beside;
    size_t beside_stride, beside_from;
    /* The second tensor is the result of this, of which rows are made where they are read. A batch of 0: it
     * is in memory. Only where fkp_convolution_upsamples(). */
    fkp_upsampling upsampled;
    float *out;
    size_t out_stride;
    fkp_epilogue epilogue;
    /* The maxima of its windows are written; Winograd's algorithms: of 2 x 2, stride 2, no padding. */
    fkp_window pool;
    /* The halves of the channels have sums of their own: one, with the epilogue, goes to `out`, the bare
     * other one here, and whoever reads the results adds the two. Only where fkp_convolution_halves(). */
    bool halves;
    float *second_out;
    size_t second_out_stride;
} fkp_convolution_run_arguments;
size_t fkp_convolution_scratch(const fkp_kernels *kernels, const fkp_convolution_run_arguments *run,
                               size_t threads);
void fkp_convolution_run(const fkp_context *context, const fkp_convolution_run_arguments *run);

/* ---- transposed convolution ---- */

size_t fkp_upsampling_packed_floats(const fkp_kernels *kernels, size_t in_channels, size_t out_channels);
/* Some input channels, from a multiple of FKP_SPLIT_DEPTH to another, or to the last. weights: those channels
 * x out_channels x 2 x 2, as PyTorch's ConvTranspose2d. */
void fkp_upsampling_pack(const fkp_kernels *kernels, size_t in_channels, size_t out_channels,
                         fkp_range channels, const float *weights, float *packed);
size_t fkp_upsampling_scratch(const fkp_kernels *kernels, const fkp_upsampling *up, size_t threads);
void fkp_upsampling_run(const fkp_context *context, const fkp_upsampling *up);

/* ---- pooling ---- */

typedef struct fkp_pooling {
    size_t batch, in_height, in_width, channels, out_height, out_width, kernel, stride, padding;
    const float *in;
    size_t in_stride;
    float *out;
    size_t out_stride;
} fkp_pooling;
void fkp_max_pooling_run(const fkp_context *context, const fkp_pooling *pooling);
/* out[batch x channels] = mean over height x width. */
void fkp_average_pooling_run(const fkp_context *context, const fkp_pooling *pooling);

/* ---- rows: elementwise and per-row operations over `rows` rows ---- */

typedef struct fkp_rows {
    size_t rows, channels;
    const float *in;
    size_t in_stride;
    float *out;
    size_t out_stride;
} fkp_rows;
void fkp_activate_run(const fkp_context *context, const fkp_rows *rows, fkp_activation activation);
void fkp_scale_shift_run(const fkp_context *context, const fkp_rows *rows, const float *scale,
                         const float *shift, fkp_activation activation);
/* out = activation(in + other) */
void fkp_add_run(const fkp_context *context, const fkp_rows *rows, const float *other, size_t other_stride,
                 fkp_activation activation);
void fkp_copy_run(const fkp_context *context, const fkp_rows *rows);
void fkp_layer_norm_run(const fkp_context *context, const fkp_rows *rows, const fkp_layer_norm *norm);
/* In one thread: for operators that normalise rows on their way. */
void fkp_layer_norm_rows(const fkp_kernels *kernels, const fkp_rows *rows, const fkp_layer_norm *norm);

/* ---- layout: N x C x H x W (callers, PyTorch) <-> N x H x W x C ---- */

void fkp_from_planes_run(const fkp_context *context, size_t batch, size_t channels, size_t pixels,
                         const float *planes, float *rows, size_t row_stride);
void fkp_to_planes_run(const fkp_context *context, size_t batch, size_t channels, size_t pixels,
                       const float *rows, size_t row_stride, float *planes);

/* ---- attention ---- */

/* softmax(Q K^T / sqrt(d)) V per image and head. qkv: batch x tokens rows of 3 x heads x d floats, as timm's
 * Linear leaves them; out: rows of heads x d. */
typedef struct fkp_attention {
    size_t batch, tokens, heads, head_channels;
    const float *qkv;
    size_t qkv_stride;
    float *out;
    size_t out_stride;
} fkp_attention;
size_t fkp_attention_scratch(const fkp_kernels *kernels, const fkp_attention *attention, size_t threads);
void fkp_attention_run(const fkp_context *context, const fkp_attention *attention);

/* Keypoint queries: F = softmax(Q X^T / sqrt(channels)) X over tokens [first, tokens) of each image.
 * queries: count x channels; out: batch x count rows of `channels`; weights (may be NULL): batch x count x
 * (tokens - first), the softmax, for confidences and for training. */
typedef struct fkp_query_attention {
    size_t batch, tokens, first, channels, count;
    const float *in;
    size_t in_stride;
    const float *queries;
    float *out;
    float *weights;
} fkp_query_attention;
size_t fkp_query_attention_scratch(const fkp_kernels *kernels, const fkp_query_attention *attention,
                                   size_t threads);
void fkp_query_attention_run(const fkp_context *context, const fkp_query_attention *attention);

#endif
