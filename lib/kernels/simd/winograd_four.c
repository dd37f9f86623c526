/* F(4,3)'s products of four tiles, a 7 x 7 image.
 *
 * So few tiles leave room in the registers for the sums of a whole row of positions, and U need not be
 * written at all. All rows of positions pass over a block of channels before the next block, whose filters
 * are asked for meanwhile: time is then what memory takes to deliver the filters, once. It takes longer than
 * a block does; so the next vector's filters are on their way to the second-level cache too, a sixth in each
 * row of positions, from as many pages at a time. */
#include "kernels/simd/winograd_filter.h"

#if defined(FKP_SIMD_avx512)
#define FOUR 4
#define SIDE 6
#define TAPS (9 * FKP_LANES)
static const fkp_range last_row = {0, 2}, last_column = {1, 3};

/* Tiles of four that are wanted of position (i, j). */
FKP_ALWAYS_INLINE bool wanted(const size_t i, const size_t j, const size_t t) {
    return (i + 1 < SIDE || (t >= last_row.begin && t < last_row.end)) &&
           (j + 1 < SIDE || (t >= last_column.begin && t < last_column.end));
}

/* Row i of the positions, for one vector of filters and the block of channels from `begin` on; `next` and
 * `far` are asked for, one line and a half a channel. */
FKP_ALWAYS_INLINE void multiply_row(const fkp_winograd_product *product, const float *filters, size_t begin,
                                    float *out, const size_t i, const float *next, const float *far) {
    const size_t left = product->channels - begin, depth = left < DEPTH ? left : DEPTH;
    fkp_vector sum[SIDE][FOUR];
    const float *v[SIDE];
#pragma GCC unroll 6
    for (size_t j = 0; j < SIDE; j++) {
        v[j] = product->data + ((begin / DEPTH * SIDE + i) * SIDE + j) * product->data_step;
#pragma GCC unroll 4
        for (size_t t = 0; t < FOUR; t++)
            if (wanted(i, j, t))
                sum[j][t] = begin == 0
                                ? v_set(0.0f)
                                : v_load(out + (i * SIDE + j) * product->out_step + t * product->width);
    }
    for (size_t c = 0; c < depth; c++, filters += TAPS) {
        fkp_vector middle[4];
        filter_row(&form_4_3, filters, i, middle);
        __builtin_prefetch(next);
        __builtin_prefetch(next + LINE);
        __builtin_prefetch(far, 0, 2);
        __builtin_prefetch(far + LINE, 0, 2);
        next += TAPS / SIDE;
        far += TAPS / SIDE;
#pragma GCC unroll 6
        for (size_t j = 0; j < SIDE; j++) {
            fkp_vector u = evaluate(&form_4_3, middle, j);
#pragma GCC unroll 4
            for (size_t t = 0; t < FOUR; t++)
                if (wanted(i, j, t)) sum[j][t] = v_fma(v_set(v[j][t * DEPTH + c]), u, sum[j][t]);
        }
    }
#pragma GCC unroll 6
    for (size_t j = 0; j < SIDE; j++)
#pragma GCC unroll 4
        for (size_t t = 0; t < FOUR; t++)
            if (wanted(i, j, t))
                v_store(out + (i * SIDE + j) * product->out_step + t * product->width, sum[j][t]);
}

#define DEFINE_ROW(i)                                                                                        \
    static void row_##i(const fkp_winograd_product *product, const float *filters, size_t begin, float *out, \
                        const float *next, const float *far) {                                               \
        multiply_row(product, filters, begin, out, i, next, far);                                            \
    }
DEFINE_ROW(0)
DEFINE_ROW(1)
DEFINE_ROW(2)
DEFINE_ROW(3)
DEFINE_ROW(4)
DEFINE_ROW(5)

static bool same_range(fkp_range a, fkp_range b) { return a.begin == b.begin && a.end == b.end; }
static bool are_four(const fkp_winograd_product *product) {
    return product->tiles == FOUR && product->transformed == NULL &&
           same_range(product->last_row, last_row) && same_range(product->last_column, last_column);
}

bool FKP_NAME(winograd_four_tiles)(const fkp_winograd_product *product) {
    if (!are_four(product)) return false;
    static void (*const rows[SIDE])(const fkp_winograd_product *, const float *, size_t, float *,
                                    const float *,
                                    const float *) = {row_0, row_1, row_2, row_3, row_4, row_5};
    const size_t vector_step = product->channels * TAPS, row_share = DEPTH * TAPS / SIDE;
    for (size_t f = 0; f < product->width; f += FKP_LANES) {
        const float *vector = product->filters + f / FKP_LANES * vector_step;
        const float *after = f + FKP_LANES < product->width ? vector + vector_step : product->next;
        for (size_t begin = 0; begin < product->channels; begin += DEPTH) {
            const float *filters = vector + begin * TAPS, *next = filters + DEPTH * TAPS;
            for (size_t i = 0; i < SIDE; i++, next += row_share) {
                const float *far = after == NULL ? next : after + (i * vector_step + begin * TAPS) / SIDE;
                rows[i](product, filters, begin, product->out + f, next, far);
            }
        }
    }
    return true;
}
#endif
