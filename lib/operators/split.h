/* Operators by products of split numbers, see fkp_split_record. */
#ifndef FKP_OPERATORS_SPLIT_H
#define FKP_OPERATORS_SPLIT_H

#include "operators/convolution.h"

/* Numbers of a row of a chunk: high and low. */
#define FKP_SPLIT_PIXEL ((size_t)2 * FKP_SPLIT_DEPTH)

static inline size_t fkp_split_chunks(size_t channels) { return fkp_divide_up(channels, FKP_SPLIT_DEPTH); }
/* From chunk to chunk where each has so many rows, what tiles read beyond the last included; an odd number of
 * rows, so that chunks do not fall on the same lines of the cache. */
static inline size_t fkp_split_chunk_step(size_t rows) { return (rows | 1) * FKP_SPLIT_PIXEL; }
/* A matrix depth x columns, as the functions below name filters. */
static inline fkp_convolution fkp_split_matrix(size_t depth, size_t columns) {
    return (fkp_convolution){.in_channels = depth, .out_channels = columns, .kernel = 1};
}

/* ---- filters (split_pack.c): of a convolution or a matrix; of a shape channels and kernel are looked at
 * ----
 */

size_t fkp_split_packed_floats(const fkp_convolution *shape);
/* block->depth is the distance of columns, and may be larger than what is packed of one. */
void fkp_split_pack_columns(const fkp_kernels *kernels, const fkp_convolution *shape,
                            const fkp_column_block *block, float *packed);
/* A part of a matrix whose rows lie in memory, its columns some numbers apart: rows [depth.begin, depth.end)
 * of a product's depth, columns [columns.begin, columns.end). Begins are multiples of a chunk's depth and of
 * 16, ends too but for the matrix's. */
typedef struct fkp_split_row_block {
    const float *matrix; /* the number in the part's first row and in column 0, wherever the part begins */
    size_t stride, column_stride;
    fkp_range depth, columns;
} fkp_split_row_block;
/* Into its place among all of the matrix. */
void fkp_split_pack_rows(const fkp_kernels *kernels, const fkp_convolution *matrix,
                         const fkp_split_row_block *block, float *packed);
/* The panel that begins with column `first`. */
const uint16_t *fkp_split_panel(const fkp_convolution *shape, const float *packed, size_t first);
/* Its filters from a chunk of the input's channels on. */
const uint16_t *fkp_split_panel_chunk(const fkp_convolution *shape, const float *packed, size_t first,
                                      size_t chunk);
/* The one after it; NULL if it is not as wide, or not there. */
const uint16_t *fkp_split_next_panel(const fkp_convolution *shape, const float *packed, size_t first);
/* Rows, one after the other, times the panel of a matrix that begins with column `first`: all that does not
 * depend on where rows and results lie. */
fkp_split_product fkp_split_times(const fkp_convolution *matrix, const float *packed, size_t first);

/* Rows that were taken apart, and their product with all of a packed matrix. */
typedef struct fkp_split_factor {
    const uint16_t *in;
    size_t chunk_step, rows;
} fkp_split_factor;
void fkp_split_multiply(const fkp_kernels *kernels, const fkp_convolution *matrix, const float *packed,
                        const fkp_split_factor *rows, float *out, size_t out_stride);

/* ---- convolution (split_convolution.c) ---- */

bool fkp_split_can(const fkp_convolution *shape);
bool fkp_split_convolution_halves(const fkp_convolution *shape);
bool fkp_split_convolution_upsamples(const fkp_convolution *shape, size_t channels);
size_t fkp_split_scratch(const fkp_convolution_run_arguments *run, size_t threads);
void fkp_split_run(const fkp_context *context, const fkp_convolution_run_arguments *run);

/* ---- transposed convolution (split_upsampling.c) ---- */

/* Whether it is faster so. */
bool fkp_split_upsamples(const fkp_kernels *kernels, size_t in_channels, size_t out_channels);
size_t fkp_split_upsampling_packed_floats(size_t in_channels, size_t out_channels);
void fkp_split_upsampling_pack(const fkp_kernels *kernels, size_t in_channels, size_t out_channels,
                               fkp_range channels, const float *weights, float *packed);
size_t fkp_split_upsampling_scratch(const fkp_upsampling *up, size_t threads);
void fkp_split_upsampling_run(const fkp_context *context, const fkp_upsampling *up);
/* Numbers of the memory that fkp_split_upsample_rows() needs for so many rows of a result. */
size_t fkp_split_upsampled_numbers(const fkp_upsampling *up, size_t rows);
/* Rows [begin, end) of an image's result, taken apart: pixel 0 of row `begin` goes to `out`, row after row
 * `pitch` pixels apart, chunks as rows taken apart have them. Result channels are whole chunks. */
typedef struct fkp_split_upsampled_rows {
    size_t image, begin, end;
    uint16_t *out;
    size_t pitch, chunk_step;
    uint16_t *memory;
} fkp_split_upsampled_rows;
void fkp_split_upsample_rows(const fkp_kernels *kernels, const fkp_upsampling *up,
                             const fkp_split_upsampled_rows *rows);

/* ---- product to planes (split_planes.c), see fkp_gemm_to_planes_run ---- */

/* Whether it is faster so. */
bool fkp_split_makes_planes(const fkp_kernels *kernels, const fkp_gemm *gemm);
size_t fkp_split_planes_scratch(const fkp_gemm *gemm, size_t threads);
void fkp_split_planes_run(const fkp_context *context, const fkp_gemm *gemm, size_t pixels);

/* ---- self attention (split_attention.c) ---- */

/* Whether it is faster so. */
bool fkp_split_attends(const fkp_kernels *kernels, const fkp_attention *attention);
size_t fkp_split_attention_scratch(const fkp_attention *attention, size_t threads);
void fkp_split_attention_run(const fkp_context *context, const fkp_attention *attention);

/* ---- keypoint queries (split_query_attention.c) ---- */

/* Whether it is faster so. */
bool fkp_split_attends_to_queries(const fkp_kernels *kernels, const fkp_query_attention *attention);
size_t fkp_split_query_attention_scratch(const fkp_query_attention *attention);
void fkp_split_query_attention_run(const fkp_context *context, const fkp_query_attention *attention);

#endif
