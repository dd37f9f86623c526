/* The products of Winograd's form, with the filters transformed on the way: U = G g G^T has four to seven
 * times the numbers of g, so it is made for one row of positions and FKP_WINOGRAD_DEPTH channels at a time,
 * used, and forgotten before it leaves the first-level cache. */
#include "kernels/simd/register.h"
#include "kernels/simd/winograd_filter.h"

/* A register tile: rows of tiles by vectors of filters. 26 sums, two vectors of filters and a number are 29
 * of 32 registers; 25 tiles, an image of 28 pixels, are 13 and 12. */
#define VECTORS 2
#if defined(FKP_SIMD_avx512)
#define ROWS 13
#else
#define ROWS 6
#endif

/* ---- filters ---- */

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
    if (!FKP_NAME(winograd_four_tiles)(product)) multiply_4_3(product);
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
