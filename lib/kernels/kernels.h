/* The contract between the operators and the kernels. A kernel works on one tile in one thread; it reads and
 * writes nothing outside what it was given; with `accumulate` off the output is not read. Every optimised
 * kernel is held to kernels/reference by tests/kernels. docs/kernels.md says how to add one.
 *
 * Layout: N x H x W x C. A pixel or token is a row of C floats, and rows may lie further apart than C (a
 * slice of a wider tensor: the U-Net's concatenation is two slices of one buffer). */
#ifndef FKP_KERNELS_H
#define FKP_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum fkp_isa {
    FKP_ISA_PORTABLE,
    FKP_ISA_AVX2,
    FKP_ISA_AVX512,
    FKP_ISA_AMX, /* AVX-512, and matrix tiles of bfloat16 */
    FKP_ISA_COUNT
} fkp_isa;

typedef enum fkp_activation {
    FKP_ACTIVATION_NONE,
    FKP_ACTIVATION_RELU,
    FKP_ACTIVATION_ELU, /* alpha 1 */
    FKP_ACTIVATION_GELU /* exact: x Phi(x) */
} fkp_activation;

/* What happens to a finished sum on its way to memory: out = activation(sum + bias + residual). */
typedef struct fkp_epilogue {
    const float *bias;     /* one per column; NULL: none */
    const float *residual; /* same rows and columns as the output; NULL: none */
    size_t residual_stride;
    fkp_activation activation;
} fkp_epilogue;

/* One tile of a matrix product: c[rows x columns] = sum over taps t, depth k of a[t][row][k] *
 * b[t][k][column]. A plain product has one tap; a convolution has one tap per kernel position, and the row
 * pointers of a tap that falls outside the image lead to zeros. */
typedef struct fkp_gemm_tile {
    size_t rows;    /* 1 .. record.rows */
    size_t columns; /* 1 .. record.columns, or twice that with `beside` */
    size_t depth;
    size_t taps;
    const float *const *a; /* taps x record.rows pointers; those of rows beyond `rows` need not be set */
    const float *b; /* one packed panel: taps x depth x width, 64-byte aligned; width is `columns` rounded up
                       to record.granule, with zeros beyond the last column */
    /* Of one row and one tap alone: a second panel, whose columns follow those of the first. Both are whole,
     * and `columns` counts both. NULL: none. */
    const float *beside;
    /* What is needed soon: a whole tile asks for a line of 16 floats a step; NULL: nothing. */
    const float *next;
    float *c;
    size_t c_stride;
    bool accumulate; /* add to what c holds; then no epilogue until the last call */
    const fkp_epilogue
        *epilogue; /* NULL: the bare sum. Its pointers are those of the tile's first row and column */
} fkp_gemm_tile;

typedef struct fkp_gemm_record {
    const char *name;
    size_t rows, columns; /* of the register tile; columns is the width of a panel, but for the last one */
    size_t granule;       /* the last panel's width is a multiple of it */
    void (*tile)(const fkp_gemm_tile *tile);
} fkp_gemm_record;

/* Winograd F(m x m, r x r) (Lavin & Gray, CVPR 2016), of stride s: tiles of n = (m - 1) s + r pixels a side,
 * and n x n positions. */
typedef enum fkp_winograd_kind {
    FKP_WINOGRAD_2_3, /* F(2, 3), and so on */
    FKP_WINOGRAD_4_3,
    FKP_WINOGRAD_5_3,
    FKP_WINOGRAD_6_3,
    FKP_WINOGRAD_4_4,
    FKP_WINOGRAD_4_3_2, /* F(4, 3) of stride 2 */
    FKP_WINOGRAD_COUNT
} fkp_winograd_kind;

/* [begin, end) */
typedef struct fkp_range {
    size_t begin, end;
} fkp_range;

/* Channels of a block of V. */
#define FKP_WINOGRAD_DEPTH 16

/* The products of some filters with tiles, M = sum over channels of V U at each position p = i n + j, U = G g
 * G^T. Filters lie in panels of g, the granule: number (y, x) of filter f of channel c is at filters + (f /
 * g) g r^2 channels + (c r^2 + y r + x) g + f % g; V of tile t at data + ((c / DEPTH) n^2 + p) data_step + t
 * DEPTH
 * + c % DEPTH; M at out + p out_step + t width + f. */
typedef struct fkp_winograd_product {
    const float *filters;
    /* The filters used after these: fetched into the cache meanwhile, and perhaps a little beyond; NULL:
     * none. */
    const float *next;
    /* U as `transform` made it of these filters; NULL: made on the way, and forgotten. */
    const float *transformed;
    size_t channels, tiles;
    /* The last row of results is wanted of these tiles alone, the last column of those. The last s rows and
     * columns of positions go into no other results, and are made for no other tiles. */
    fkp_range last_row, last_column;
    size_t width, granule; /* filters, a multiple of g, and g, which is the register tile's */
    const float *data;
    size_t data_step;
    float *out;
    size_t out_step;
} fkp_winograd_product;

/* B^T d B of one tile, for `channels` channels: `in` is the tile's first pixel (which may lie outside the
 * image); rows [row_begin, row_end) and columns [column_begin, column_end) of the tile lie inside, the others
 * are zeros. Element (i, j) goes to out + (i n + j) out_step. */
typedef struct fkp_winograd_input {
    const float *in;
    size_t row_stride, pixel_stride; /* floats */
    size_t row_begin, row_end, column_begin, column_end;
    size_t channels;
    float *out;
    size_t out_step;
    /* First pixel of the tile that comes next, fetched into the cache meanwhile; NULL: none. */
    const float *next;
    size_t next_row_begin, next_row_end, next_column_begin, next_column_end; /* what of it lies inside */
} fkp_winograd_input;

/* A^T m A of one tile, then bias, residual, activation, and, with `pool`, the maximum of each 2 x 2 (out,
 * rows and columns then count pooled pixels). Only rows x columns of the m x m results are written. */
typedef struct fkp_winograd_output {
    const float *in;
    size_t in_step;
    float *out;
    size_t row_stride, pixel_stride;
    size_t rows, columns;
    size_t channels;
    const fkp_epilogue *epilogue; /* NULL: the bare results */
    size_t residual_row_stride;   /* pixels of the residual are epilogue->residual_stride apart */
    bool pool;
} fkp_winograd_output;

typedef struct fkp_winograd_record {
    const char *name;
    size_t tile, kernel, stride; /* m, r, s */
    size_t side, filter_side;    /* n, and rows and columns of U: several positions may share one */
    void (*input)(const fkp_winograd_input *input);
    /* U of product->filters, filter_side^2 width floats a channel, in the kernel's own order. */
    void (*transform)(const fkp_winograd_product *product, float *u);
    void (*multiply)(const fkp_winograd_product *product);
    void (*output)(const fkp_winograd_output *output);
} fkp_winograd_record;

/* A row of a convolution of one channel: out[p][f] = epilogue(sum over rows y, columns x of the kernel of
 * in[y in_stride + p stride + x] * filters[(y kernel + x) width + f]), in the order of the register tile.
 * Borders are in the plane. With `pool` the maximum of 2 x 2 sums, at a stride of 2, takes the place of one;
 * pixels are then pooled ones. */
typedef struct fkp_plane_row {
    const float *in; /* the first number that the first pixel reads */
    size_t in_stride;
    size_t kernel, stride;
    size_t pixels, columns; /* of the output; columns: 1 .. gemm.columns */
    const float *filters;   /* one packed panel, as the register tile's */
    size_t width;           /* of the panel */
    float *out;
    size_t out_stride;
    const fkp_epilogue *epilogue; /* NULL: the bare sum; else its pointers are those of the first pixel */
    bool pool;
} fkp_plane_row;

/* A row of max pooling: out[p][c] = activation(maximum + bias[c]) over the pixels of the given rows in
 * columns [p stride - padding, p stride - padding + size) that lie in [0, width); there is one in every
 * window. */
typedef struct fkp_maxima {
    const float *const *rows; /* those of the windows' rows that lie inside the image */
    size_t row_count;
    size_t width, in_stride; /* pixels of a row, floats from pixel to pixel */
    size_t size, stride, padding;
    size_t pixels, channels; /* of the output */
    float *out;
    size_t out_stride;
    const float *bias; /* NULL: none */
    fkp_activation activation;
} fkp_maxima;

/* ---- products of split numbers ----
 *
 * A float32 number x is high + low, two bfloat16: x rounded, and what is then missing, rounded; at most 2^-17
 * of x is lost. A product of two such numbers is three, high high + high low + low high, summed in float32
 * (Henry, Tang & Heinecke, ARITH 2019): with low low left out it is wrong by 2^-15 of itself at most, and as
 * a rule by a tenth of that; a sum of many errs about as much as Winograd's F(4, 3). Matrix tiles make the
 * three faster than registers make the one. */

/* Channels of a chunk; rows of a tile, and columns; columns of a panel, two tiles, of which the last panel
 * may have one. */
enum { FKP_SPLIT_DEPTH = 32, FKP_SPLIT_TILE = 16, FKP_SPLIT_COLUMNS = 2 * FKP_SPLIT_TILE };
/* Rows that a product may read beyond its last one, times its row_step: tiles are whole, and two at least. */
enum { FKP_SPLIT_SLACK = 2 * FKP_SPLIT_TILE - 1 };

/* Rows taken apart: channel c of row r goes to out + (c / DEPTH) chunk_step + r 2 DEPTH + c % DEPTH, high,
 * and DEPTH behind it, low. A chunk that ends beyond the channels is filled up with zeros. */
typedef struct fkp_split_rows {
    const float *in;
    size_t in_stride, rows, channels;
    uint16_t *out;
    size_t chunk_step; /* in numbers, as all distances of split ones */
} fkp_split_rows;

/* Rows of scores that become weights, softmax(scale row), taken apart as fkp_split_rows are. Of the scores
 * something else is left. */
typedef struct fkp_split_softmax {
    float *scores;
    size_t stride, rows, columns; /* columns: at least one */
    float scale;
    uint16_t *out;
    size_t chunk_step;
} fkp_split_softmax;

/* Rows of a product, sum over chunks and taps of in[row row_step + tap] * filters, of one panel of columns.
 * The results are lines of `width` pixels each; a line begins `pitch` rows after the one before, and what is
 * computed in between is dropped. */
typedef struct fkp_split_product {
    const uint16_t *in; /* at the beginning of a line of the cache, best */
    size_t chunk_step, row_step;
    const size_t *taps; /* rows from a result's first */
    size_t tap_count, chunks;
    const uint16_t *filters; /* chunks x taps tiles of the panel, as `pack` leaves them; likewise */
    /* A panel of the same size that is used next, fetched into the cache meanwhile; NULL: none. */
    const uint16_t *next;
    size_t columns; /* 1 .. FKP_SPLIT_COLUMNS */
    size_t lines, width, pitch;
    /* One of the two. Results that another product reads are written taken apart, as `rows` leaves them:
     * `columns` is then FKP_SPLIT_COLUMNS, a chunk. */
    float *out;
    uint16_t *apart;
    /* From pixel to pixel, and from line to line, in floats or in split numbers; a residual's pixels follow
     * each other. */
    size_t out_stride, line_stride;
    const fkp_epilogue *epilogue; /* NULL: the bare sum; else its pointers are those of the first pixel */
} fkp_split_product;

/* The product of a matrix with pixels whose results are planes: out[plane out_stride + pixel] =
 * activation(sum over channels of matrix[plane][channel] in[pixel in_stride + channel] + bias[plane]). Planes
 * may lie so far apart that lines of all of them fall on one place of the first-level cache. */
typedef struct fkp_split_planes {
    const float *in;
    size_t in_stride, pixels, channels;
    const uint16_t *matrix; /* rows taken apart, and FKP_SPLIT_SLACK more; at the beginning of a line, best */
    size_t chunk_step, planes;
    const float *bias; /* NULL: none */
    fkp_activation activation;
    float *out;
    size_t out_stride;
    uint16_t *panels; /* for pixels taken apart, FKP_SPLIT_PANELS numbers for each chunk; likewise */
} fkp_split_planes;
/* Numbers of a chunk of two panels, high and low. */
enum { FKP_SPLIT_PANELS = 2 * 2 * FKP_SPLIT_COLUMNS * FKP_SPLIT_DEPTH };

typedef struct fkp_split_record {
    const char *name;
    /* Its multiply-adds in the time of one of the register tile; 0: the reference's, never the fastest. */
    double speed;
    void (*rows)(const fkp_split_rows *rows);
    void (*softmax)(const fkp_split_softmax *softmax);
    /* `count` rows of depth of a tile's columns, times `scale` (NULL: as they are), taken apart, as pairs;
     * what an odd count lacks are zeros. A chunk and tap of a panel is high and low of its first tile of
     * columns, DEPTH / 2 rows of pairs each, then of the second: `packed` is the high ones' place. */
    void (*pack)(const float *rows, size_t stride, size_t count, const float *scale, uint16_t *packed);
    /* The same of columns that are rows in memory: `count` numbers, a chunk's at most, of each of a tile's
     * sixteen. All of the chunk is written, and what it lacks are zeros. */
    void (*turn)(const float *columns, size_t stride, size_t count, uint16_t *packed);
    void (*multiply)(const fkp_split_product *product);
    void (*planes)(const fkp_split_planes *product);
} fkp_split_record;

/* Everything one instruction set offers. Filled by fkp_kernels_select(): the reference first, then each
 * better one overwrites what it has. */
typedef struct fkp_kernels {
    fkp_isa isa;
    size_t lanes; /* floats in a vector */
    fkp_gemm_record gemm;
    /* Filters of a product, at most, of every kind, whole granules; and tiles that it takes at a time. */
    size_t winograd_columns, winograd_rows;
    fkp_winograd_record winograd[FKP_WINOGRAD_COUNT];
    fkp_split_record split;
    /* out[i] = activation(in[i]); in place allowed. */
    void (*activate)(const float *in, float *out, size_t count, fkp_activation activation);
    /* out[c] = in[c] * scale[c] + shift[c], then activation; one row; in place allowed. */
    void (*scale_shift)(const float *in, const float *scale, const float *shift, float *out, size_t channels,
                        fkp_activation activation);
    /* out[i] = activation(a[i] + b[i]). */
    void (*add)(const float *a, const float *b, float *out, size_t count, fkp_activation activation);
    void (*convolve_plane)(const fkp_plane_row *row);
    void (*maximum)(const fkp_maxima *row);
    /* One row: (x - mean) / sqrt(variance + epsilon) * weight + bias. */
    void (*layer_norm)(const float *in, const float *weight, const float *bias, float epsilon, float *out,
                       size_t channels);
    /* One row in place: exp(scale x - max) / sum. */
    void (*softmax)(float *row, size_t count, float scale);
    /* out[columns x rows] = in[rows x columns] transposed; strides in floats. */
    void (*transpose)(const float *in, size_t in_stride, size_t rows, size_t columns, float *out,
                      size_t out_stride);
} fkp_kernels;

/* The best instruction set of this CPU and operating system, at most `limit`. */
fkp_isa fkp_isa_detect(fkp_isa limit);
/* "portable", "avx2", "avx512", "amx". */
const char *fkp_isa_name(fkp_isa isa);
/* The level a name stands for; FKP_ISA_COUNT for an unknown name. */
fkp_isa fkp_isa_named(const char *name);
/* Fills *kernels for the best level of this machine, at most `limit`, lowered by the environment's
 * FACEKP_CPU. */
void fkp_kernels_select(fkp_isa limit, fkp_kernels *kernels);

#endif
