/* The products of Winograd's form, with the filters transformed on the way: U = G g G^T has four to seven
 * times the numbers of g, so it is made for one row of positions and FKP_WINOGRAD_DEPTH channels at a time,
 * used, and forgotten before it leaves the first-level cache.
 *
 * G is taken without the scale of its points (winograd.c): a row is the filter's polynomial at a point, the
 * first and the last row are coefficients as they are. */
#include "kernels/simd/register.h"
#include "kernels/simd/simd.h"

/* Positions a side of a tile, and rows of U, at most. */
#define MAX_N 9
#define MAX_FILTER_N 8
#define DEPTH FKP_WINOGRAD_DEPTH
/* Floats in a line of the cache. */
#define LINE 16
/* A register tile: rows of tiles by vectors of filters. 26 sums, two vectors of filters and a number are 29
 * of 32 registers; 25 tiles, an image of 28 pixels, are 13 and 12. */
#define VECTORS 2
#if defined(FKP_SIMD_avx512)
#define ROWS 13
#else
#define ROWS 6
#endif

/* ---- filters ---- */

/* What is particular to a kind; a constant wherever it is used. */
typedef struct form {
    size_t n, r, s;             /* positions a side, size of the kernel, stride */
    size_t filter_n;            /* rows and columns of U */
    float points[MAX_FILTER_N]; /* of U's rows, as far as they are points */
    size_t filter_of[MAX_N];    /* the row or column of U for a row or column of positions */
} form;
static const form form_2_3 = {4, 3, 1, 4, {0.0f, 1.0f, -1.0f}, {0, 1, 2, 3}};
static const form form_4_3 = {6, 3, 1, 6, {0.0f, 0.625f, -0.625f, 1.5f, -1.5f}, {0, 1, 2, 3, 4, 5}};
static const form form_5_3 = {7, 3, 1, 7, {0.0f, 1.0f, -1.0f, 2.0f, -2.0f, 0.5f}, {0, 1, 2, 3, 4, 5, 6}};
static const form form_6_3 = {
    8, 3, 1, 8, {0.0f, 1.0f, -1.0f, 2.0f, -2.0f, 0.5f, -0.5f}, {0, 1, 2, 3, 4, 5, 6, 7}};
static const form form_4_4 = {7, 4, 1, 7, {0.0f, 1.0f, -1.0f, 2.0f, -2.0f, 0.5f}, {0, 1, 2, 3, 4, 5, 6}};
/* U has the four points and infinity of the outer taps, and the middle tap. */
static const form form_4_3_2 = {9, 3, 2, 6, {0.5f, -0.5f, 1.25f, -1.25f}, {0, 1, 2, 3, 5, 5, 5, 4, 5}};

/* g_0 + g_1 a + … at the point of row i, the last being infinity. Even and odd half apart: those of a and -a
 * are the same, and the compiler makes them once. Everything but g is a constant where this is expanded. */
FKP_ALWAYS_INLINE fkp_vector evaluate(const form *f, const fkp_vector *g, const size_t i) {
    const float a = f->points[i];
    if (f->s == 2) {
        if (i + 1 == f->filter_n) return g[1];
        return i + 2 == f->filter_n ? g[2] : v_fma(g[2], v_set(a), g[0]);
    }
    if (i == 0) return g[0];
    if (i + 1 == f->filter_n) return g[f->r - 1];
    fkp_vector even = v_fma(g[2], v_set(a * a), g[0]);
    fkp_vector odd = f->r == 4 ? v_fma(g[f->r - 1], v_set(a * a), g[1]) : g[1];
    return v_fma(odd, v_set(a), even);
}

/* Row i of G times one vector of filters: r numbers, one a column of the kernel. */
FKP_ALWAYS_INLINE void filter_row(const form *f, const float *filters, const size_t i, fkp_vector *middle) {
#pragma GCC unroll 4
    for (size_t x = 0; x < f->r; x++) {
        fkp_vector g[4];
#pragma GCC unroll 4
        for (size_t y = 0; y < f->r; y++) g[y] = v_load(filters + (y * f->r + x) * FKP_LANES);
        middle[x] = evaluate(f, g, i);
    }
}

/* Filters of some channels, whose U is asked for: `width` filters in vectors that are vector_step apart. */
typedef struct filter_block {
    const float *filters;
    size_t vector_step, channels, width;
} filter_block;

/* Row i of U: element (j, channel, filter) at u + j u_step + channel width + filter. */
FKP_ALWAYS_INLINE void transform_row(const form *f, const filter_block *block, const size_t i, float *u,
                                     size_t u_step) {
    const float *filters = block->filters;
    const size_t taps = f->r * f->r * FKP_LANES, width = block->width;
    for (size_t c = 0; c < block->channels; c++, filters += taps, u += width) {
        const float *in = filters;
        for (size_t k = 0; k < width; k += FKP_LANES, in += block->vector_step) {
            fkp_vector middle[4];
            filter_row(f, in, i, middle);
#pragma GCC unroll 8
            for (size_t j = 0; j < f->filter_n; j++) v_store(u + j * u_step + k, evaluate(f, middle, j));
        }
    }
}

#define TRANSFORM_CASE(kind, i)                                                                              \
    case i:                                                                                                  \
        if (i < form_##kind.filter_n)                                                                        \
            transform_row(&form_##kind, block, i < form_##kind.filter_n ? i : 0, u, u_step);                 \
        break;
#define DEFINE_TRANSFORM(kind)                                                                               \
    static void transform_##kind(const filter_block *block, size_t row, float *u, size_t u_step) {           \
        switch (row) {                                                                                       \
            TRANSFORM_CASE(kind, 0)                                                                          \
            TRANSFORM_CASE(kind, 1)                                                                          \
            TRANSFORM_CASE(kind, 2)                                                                          \
            TRANSFORM_CASE(kind, 3)                                                                          \
            TRANSFORM_CASE(kind, 4)                                                                          \
            TRANSFORM_CASE(kind, 5)                                                                          \
            TRANSFORM_CASE(kind, 6)                                                                          \
            TRANSFORM_CASE(kind, 7)                                                                          \
        default:                                                                                             \
            break;                                                                                           \
        }                                                                                                    \
    }
DEFINE_TRANSFORM(2_3)
DEFINE_TRANSFORM(4_3)
DEFINE_TRANSFORM(5_3)
DEFINE_TRANSFORM(6_3)
DEFINE_TRANSFORM(4_4)
DEFINE_TRANSFORM(4_3_2)

/* ---- products ---- */

/* Some positions, over some channels, of all tiles. */
typedef struct group_product {
    size_t positions, channels;
    const float *u;
    size_t u_step;           /* from column to column of U */
    const size_t *filter_of; /* the column of U for a position */
    const float *v;
    size_t v_step, v_block; /* from position to position, from block to block of channels */
    float *m;
    size_t m_step;
    bool accumulate;
    /* What is needed next: a line of the cache of each vector's filters is asked for a channel, from the
     * first up to the last. */
    const float *fetch, *fetch_end;
    size_t fetch_step;
} group_product;

/* Adds a block of channels. Rows, vectors and `fetching` are constants where this is expanded, and `sum`
 * lives in registers. */
FKP_ALWAYS_INLINE void add_products(fkp_vector sum[ROWS][VECTORS], const size_t rows, const size_t vectors,
                                    const float *v, const float *u, size_t depth, const bool fetching,
                                    const float *fetch, size_t fetch_step) {
#pragma GCC unroll 1
    for (size_t c = 0; c < depth; c++, u += vectors * FKP_LANES) {
        fkp_vector filter[VECTORS];
#pragma GCC unroll 2
        for (size_t k = 0; k < vectors; k++) filter[k] = v_load(u + k * FKP_LANES);
        if (fetching) {
#pragma GCC unroll 2
            for (size_t k = 0; k < vectors; k++) __builtin_prefetch(fetch + k * fetch_step);
            fetch += LINE;
        }
#pragma GCC unroll 16
        for (size_t r = 0; r < rows; r++) {
            fkp_vector x = v_set(v[r * DEPTH + c]);
#pragma GCC unroll 2
            for (size_t k = 0; k < vectors; k++) sum[r][k] = v_fma(x, filter[k], sum[r][k]);
        }
    }
}

/* A group: the tiles whose V and M these are. */
FKP_ALWAYS_INLINE void multiply(const group_product *p, const float *v_group, float *m, const size_t rows,
                                const size_t vectors) {
    const float *fetch = p->fetch;
    for (size_t j = 0; j < p->positions; j++, v_group += p->v_step, m += p->m_step) {
        fkp_vector sum[ROWS][VECTORS];
#pragma GCC unroll 16
        for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
            for (size_t k = 0; k < vectors; k++)
                sum[r][k] = p->accumulate ? v_load(m + (r * vectors + k) * FKP_LANES) : v_set(0.0f);
        const float *u = p->u + p->filter_of[j] * p->u_step, *v = v_group;
        for (size_t begin = 0; begin < p->channels; begin += DEPTH, v += p->v_block) {
            const size_t left = p->channels - begin, depth = left < DEPTH ? left : DEPTH;
            /* The same tiles' numbers that are needed next: each line is used in one block alone. */
            const float *next = left > DEPTH ? v + p->v_block : v_group + p->v_step;
            for (size_t r = 0; r < rows; r++) __builtin_prefetch(next + r * DEPTH);
            if (fetch < p->fetch_end) {
                add_products(sum, rows, vectors, v, u, depth, true, fetch, p->fetch_step);
                fetch += depth * LINE;
            } else {
                add_products(sum, rows, vectors, v, u, depth, false, fetch, p->fetch_step);
            }
            u += depth * vectors * FKP_LANES;
        }
#pragma GCC unroll 16
        for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
            for (size_t k = 0; k < vectors; k++) v_store(m + (r * vectors + k) * FKP_LANES, sum[r][k]);
    }
}

#define ROWS_CASE(rows, vectors)                                                                             \
    case rows:                                                                                               \
        if (rows <= ROWS) multiply(p, v, m, rows <= ROWS ? rows : ROWS, vectors);                            \
        break;
/* One function a width, so that the compiler allots registers to one body at a time. */
#define DEFINE_MULTIPLY(vectors)                                                                             \
    static void multiply_##vectors(const group_product *p, const float *v, float *m, size_t rows) {          \
        switch (rows) {                                                                                      \
            ROWS_CASE(1, vectors)                                                                            \
            ROWS_CASE(2, vectors)                                                                            \
            ROWS_CASE(3, vectors)                                                                            \
            ROWS_CASE(4, vectors)                                                                            \
            ROWS_CASE(5, vectors)                                                                            \
            ROWS_CASE(6, vectors)                                                                            \
            ROWS_CASE(7, vectors)                                                                            \
            ROWS_CASE(8, vectors)                                                                            \
            ROWS_CASE(9, vectors)                                                                            \
            ROWS_CASE(10, vectors)                                                                           \
            ROWS_CASE(11, vectors)                                                                           \
            ROWS_CASE(12, vectors)                                                                           \
            ROWS_CASE(13, vectors)                                                                           \
        default:                                                                                             \
            break;                                                                                           \
        }                                                                                                    \
    }
DEFINE_MULTIPLY(1)
DEFINE_MULTIPLY(2)

/* Some tiles, in groups that fit the registers. What one has asked for the next need not. */
static void multiply_groups(group_product *p, fkp_range tiles, size_t width) {
    if (tiles.begin >= tiles.end) return;
    const size_t count = tiles.end - tiles.begin, groups = (count + ROWS - 1) / ROWS;
    for (size_t g = 0, tile = tiles.begin; g < groups; g++) {
        size_t end = tiles.begin + count * (g + 1) / groups;
        if (width == FKP_LANES)
            multiply_1(p, p->v + tile * DEPTH, p->m + tile * width, end - tile);
        else
            multiply_2(p, p->v + tile * DEPTH, p->m + tile * width, end - tile);
        if (p->fetch < p->fetch_end) p->fetch += p->positions * p->channels * LINE;
        tile = end;
    }
}

static fkp_range common(fkp_range a, fkp_range b) {
    return (fkp_range){a.begin > b.begin ? a.begin : b.begin, a.end < b.end ? a.end : b.end};
}

/* Row i of the positions, as multiply_groups; the last ones of those tiles that want the last column. */
static void multiply_row(const form *f, const fkp_winograd_product *product, group_product *all, size_t i) {
    const fkp_range every = {0, product->tiles}, tiles = i < f->n - f->s ? every : product->last_row;
    all->positions = f->n - f->s;
    all->filter_of = f->filter_of;
    multiply_groups(all, tiles, product->width);
    all->filter_of += all->positions;
    all->v += all->positions * all->v_step;
    all->m += all->positions * all->m_step;
    all->positions = f->s;
    multiply_groups(all, common(tiles, product->last_column), product->width);
}

typedef void transform(const filter_block *block, size_t row, float *u, size_t u_step);

/* A row of U and a block of channels at a time; the filters of the next block are asked for meanwhile. */
static void multiply_by_rows(const form *f, const fkp_winograd_product *product, transform *filter) {
    _Alignas(64) float u[MAX_FILTER_N * DEPTH * VECTORS * FKP_LANES];
    const size_t width = product->width, channels = product->channels, taps = f->r * f->r * FKP_LANES;
    for (size_t row = 0; row < f->filter_n; row++)
        for (size_t begin = 0; begin < channels; begin += DEPTH) {
            const bool last = begin + DEPTH >= channels;
            const filter_block block = {.filters = product->filters + begin * taps,
                                        .vector_step = channels * taps,
                                        .channels = last ? channels - begin : DEPTH,
                                        .width = width};
            const float *next = !last                   ? block.filters + DEPTH * taps
                                : row + 1 < f->filter_n ? product->filters
                                                        : product->next;
            filter(&block, row, u, DEPTH * width);
            for (size_t i = 0; i < f->n; i++) {
                if (f->filter_of[i] != row) continue;
                size_t first = begin / DEPTH * f->n * f->n + i * f->n;
                multiply_row(f, product,
                             &(group_product){.channels = block.channels,
                                              .u = u,
                                              .u_step = DEPTH * width,
                                              .v = product->data + first * product->data_step,
                                              .v_step = product->data_step,
                                              .m = product->out + i * f->n * product->out_step,
                                              .m_step = product->out_step,
                                              .accumulate = begin > 0,
                                              .fetch = next,
                                              .fetch_end = next == NULL ? NULL : next + block.channels * taps,
                                              .fetch_step = block.vector_step},
                             i);
                next = NULL; /* asked for once, though several rows of positions share one of U */
            }
        }
}

/* ---- U made beforehand: [row][column][channel][filter] ---- */

static void transform_filters(const form *f, const fkp_winograd_product *product, transform *filter,
                              float *u) {
    const filter_block block = {.filters = product->filters,
                                .vector_step = product->channels * f->r * f->r * FKP_LANES,
                                .channels = product->channels,
                                .width = product->width};
    const size_t u_step = block.channels * block.width;
    for (size_t row = 0; row < f->filter_n; row++)
        filter(&block, row, u + row * f->filter_n * u_step, u_step);
}

static void multiply_transformed(const form *f, const fkp_winograd_product *product) {
    const size_t u_step = product->channels * product->width, row_step = f->filter_n * u_step;
    for (size_t i = 0; i < f->n; i++)
        multiply_row(f, product,
                     &(group_product){.channels = product->channels,
                                      .u = product->transformed + f->filter_of[i] * row_step,
                                      .u_step = u_step,
                                      .v = product->data + i * f->n * product->data_step,
                                      .v_step = product->data_step,
                                      .v_block = f->n * f->n * product->data_step,
                                      .m = product->out + i * f->n * product->out_step,
                                      .m_step = product->out_step},
                     i);
}

#if defined(FKP_SIMD_avx512)
/* ---- four tiles, a 7 x 7 image ----
 *
 * So few tiles leave room in the registers for the sums of a whole row of positions, and U need not be
 * written at all. All rows of positions pass over a block of channels before the next block, whose filters
 * are asked for meanwhile: time is then what memory takes to deliver the filters, once. It takes longer than
 * a block does; so the next vector's filters are on their way to the second-level cache too, a sixth in each
 * row of positions, from as many pages at a time. */
#define FEW 4
#define FEW_N 6
#define FEW_TAPS (9 * FKP_LANES)
static const fkp_range few_last_row = {0, 2}, few_last_column = {1, 3};

/* Tiles of four that are wanted of position (i, j). */
FKP_ALWAYS_INLINE bool few_wanted(const size_t i, const size_t j, const size_t t) {
    return (i + 1 < FEW_N || (t >= few_last_row.begin && t < few_last_row.end)) &&
           (j + 1 < FEW_N || (t >= few_last_column.begin && t < few_last_column.end));
}

/* Row i of the positions, for one vector of filters and the block of channels from `begin` on; `next` and
 * `far` are asked for, one line and a half a channel. */
FKP_ALWAYS_INLINE void few_tiles_row(const fkp_winograd_product *product, const float *filters, size_t begin,
                                     float *out, const size_t i, const float *next, const float *far) {
    const size_t left = product->channels - begin, depth = left < DEPTH ? left : DEPTH;
    fkp_vector sum[FEW_N][FEW];
    const float *v[FEW_N];
#pragma GCC unroll 6
    for (size_t j = 0; j < FEW_N; j++) {
        v[j] = product->data + ((begin / DEPTH * FEW_N + i) * FEW_N + j) * product->data_step;
#pragma GCC unroll 4
        for (size_t t = 0; t < FEW; t++)
            if (few_wanted(i, j, t))
                sum[j][t] = begin == 0
                                ? v_set(0.0f)
                                : v_load(out + (i * FEW_N + j) * product->out_step + t * product->width);
    }
    for (size_t c = 0; c < depth; c++, filters += FEW_TAPS) {
        fkp_vector middle[4];
        filter_row(&form_4_3, filters, i, middle);
        __builtin_prefetch(next);
        __builtin_prefetch(next + LINE);
        __builtin_prefetch(far, 0, 2);
        __builtin_prefetch(far + LINE, 0, 2);
        next += FEW_TAPS / FEW_N;
        far += FEW_TAPS / FEW_N;
#pragma GCC unroll 6
        for (size_t j = 0; j < FEW_N; j++) {
            fkp_vector u = evaluate(&form_4_3, middle, j);
#pragma GCC unroll 4
            for (size_t t = 0; t < FEW; t++)
                if (few_wanted(i, j, t)) sum[j][t] = v_fma(v_set(v[j][t * DEPTH + c]), u, sum[j][t]);
        }
    }
#pragma GCC unroll 6
    for (size_t j = 0; j < FEW_N; j++)
#pragma GCC unroll 4
        for (size_t t = 0; t < FEW; t++)
            if (few_wanted(i, j, t))
                v_store(out + (i * FEW_N + j) * product->out_step + t * product->width, sum[j][t]);
}

#define DEFINE_FEW_TILES(i)                                                                                  \
    static void few_tiles_##i(const fkp_winograd_product *product, const float *filters, size_t begin,       \
                              float *out, const float *next, const float *far) {                             \
        few_tiles_row(product, filters, begin, out, i, next, far);                                           \
    }
DEFINE_FEW_TILES(0)
DEFINE_FEW_TILES(1)
DEFINE_FEW_TILES(2)
DEFINE_FEW_TILES(3)
DEFINE_FEW_TILES(4)
DEFINE_FEW_TILES(5)

static bool same_range(fkp_range a, fkp_range b) { return a.begin == b.begin && a.end == b.end; }
static bool are_few(const fkp_winograd_product *product) {
    return product->tiles == FEW && product->transformed == NULL &&
           same_range(product->last_row, few_last_row) && same_range(product->last_column, few_last_column);
}

static void multiply_few_tiles(const fkp_winograd_product *product) {
    static void (*const rows[FEW_N])(const fkp_winograd_product *, const float *, size_t, float *,
                                     const float *, const float *) = {few_tiles_0, few_tiles_1, few_tiles_2,
                                                                      few_tiles_3, few_tiles_4, few_tiles_5};
    const size_t vector_step = product->channels * FEW_TAPS, row_share = DEPTH * FEW_TAPS / FEW_N;
    for (size_t f = 0; f < product->width; f += FKP_LANES) {
        const float *vector = product->filters + f / FKP_LANES * vector_step;
        const float *after = f + FKP_LANES < product->width ? vector + vector_step : product->next;
        for (size_t begin = 0; begin < product->channels; begin += DEPTH) {
            const float *filters = vector + begin * FEW_TAPS, *next = filters + DEPTH * FEW_TAPS;
            for (size_t i = 0; i < FEW_N; i++, next += row_share) {
                const float *far =
                    after == NULL ? next : after + (i * vector_step + begin * FEW_TAPS) / FEW_N;
                rows[i](product, filters, begin, product->out + f, next, far);
            }
        }
    }
}
#endif

#define DEFINE_PRODUCT(kind)                                                                                 \
    static void transform_filters_##kind(const fkp_winograd_product *product, float *u) {                    \
        transform_filters(&form_##kind, product, transform_##kind, u);                                       \
    }                                                                                                        \
    static void multiply_##kind(const fkp_winograd_product *product) {                                       \
        if (product->transformed != NULL)                                                                    \
            multiply_transformed(&form_##kind, product);                                                     \
        else                                                                                                 \
            multiply_by_rows(&form_##kind, product, transform_##kind);                                       \
    }
DEFINE_PRODUCT(2_3)
DEFINE_PRODUCT(4_3)
DEFINE_PRODUCT(5_3)
DEFINE_PRODUCT(6_3)
DEFINE_PRODUCT(4_4)
DEFINE_PRODUCT(4_3_2)

#if defined(FKP_SIMD_avx512)
static void multiply_any_4_3(const fkp_winograd_product *product) {
    if (are_few(product))
        multiply_few_tiles(product);
    else
        multiply_4_3(product);
}
#endif

#define REGISTER(kind)                                                                                       \
    kernels->winograd[FKP_WINOGRAD_##kind].transform = transform_filters_##kind;                             \
    kernels->winograd[FKP_WINOGRAD_##kind].multiply = multiply_##kind;

void FKP_NAME(register_winograd_product)(fkp_kernels *kernels) {
    kernels->winograd_columns = VECTORS * FKP_LANES;
    kernels->winograd_rows = ROWS;
    REGISTER(2_3)
    REGISTER(4_3)
    REGISTER(5_3)
    REGISTER(6_3)
    REGISTER(4_4)
    REGISTER(4_3_2)
#if defined(FKP_SIMD_avx512)
    kernels->winograd[FKP_WINOGRAD_4_3].multiply = multiply_any_4_3;
#endif
}
