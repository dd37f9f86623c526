/* The register tile of weight gradients: a sum of outer products of pixels, both operands read where they
 * lie. The sums stay in registers over the block of pixels; per pixel it loads VECTORS vectors of b and
 * broadcasts ROWS numbers of a. The sums are enough to cover the latency of the multiply-adds, and few enough
 * that every channel count of the networks is a multiple of the tile. */
#include "kernels/simd/simd.h"

#include "train/kernels/simd/train_register.h"

#define VECTORS 2
#if defined(FKP_SIMD_avx512)
#define ROWS 8
#else
#define ROWS 4
#endif
/* Pixels from what is used to what is asked for. Rows of channels are some kilobytes apart: they fall on few
 * sets of the first-level cache, and come from the second each time. */
#define AHEAD 8

/* Rows, vectors and `tail` are constants where this is expanded. With `tail` the last vector is a partial
 * one. */
FKP_ALWAYS_INLINE void multiply(const fkp_outer_tile *tile, const size_t rows, const size_t vectors,
                                const bool tail) {
    const size_t last = tile->columns - (vectors - 1) * FKP_LANES;
    fkp_vector sum[ROWS][VECTORS];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++) sum[r][v] = v_set(0.0f);

    const size_t offset = tile->a_offset;
    const float *b = tile->b;
    for (size_t p = 0; p < tile->pixels; p++, b += tile->b_stride) {
        const float *a = tile->a[p] + offset;
        fkp_vector column[VECTORS];
        __builtin_prefetch(tile->a[p + AHEAD < tile->pixels ? p + AHEAD : p] + offset);
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++) __builtin_prefetch(b + AHEAD * tile->b_stride + v * FKP_LANES);
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            column[v] =
                tail && v + 1 == vectors ? v_load_part(b + v * FKP_LANES, last) : v_load(b + v * FKP_LANES);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            fkp_vector x = v_set(a[r]);
#pragma GCC unroll 2
            for (size_t v = 0; v < vectors; v++) sum[r][v] = v_fma(x, column[v], sum[r][v]);
        }
    }

#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++) {
            float *c = tile->c + r * tile->c_stride + v * FKP_LANES;
            if (tail && v + 1 == vectors) {
                if (tile->accumulate) sum[r][v] = v_add(sum[r][v], v_load_part(c, last));
                v_store_part(c, last, sum[r][v]);
            } else {
                if (tile->accumulate) sum[r][v] = v_add(sum[r][v], v_load(c));
                v_store(c, sum[r][v]);
            }
        }
}

#define MULTIPLY_WIDTH(name, vectors, tail)                                                                  \
    static void name(const fkp_outer_tile *tile) {                                                           \
        switch (tile->rows) {                                                                                \
        case 1:                                                                                              \
            multiply(tile, 1, vectors, tail);                                                                \
            break;                                                                                           \
        case 2:                                                                                              \
            multiply(tile, 2, vectors, tail);                                                                \
            break;                                                                                           \
        case 3:                                                                                              \
            multiply(tile, 3, vectors, tail);                                                                \
            break;                                                                                           \
        case 4:                                                                                              \
            multiply(tile, 4, vectors, tail);                                                                \
            break;                                                                                           \
            MULTIPLY_MORE_ROWS(vectors, tail)                                                                \
        default:                                                                                             \
            break;                                                                                           \
        }                                                                                                    \
    }
#if ROWS == 8
#define MULTIPLY_MORE_ROWS(vectors, tail)                                                                    \
    case 5:                                                                                                  \
        multiply(tile, 5, vectors, tail);                                                                    \
        break;                                                                                               \
    case 6:                                                                                                  \
        multiply(tile, 6, vectors, tail);                                                                    \
        break;                                                                                               \
    case 7:                                                                                                  \
        multiply(tile, 7, vectors, tail);                                                                    \
        break;                                                                                               \
    case 8:                                                                                                  \
        multiply(tile, 8, vectors, tail);                                                                    \
        break;
#else
#define MULTIPLY_MORE_ROWS(vectors, tail)
#endif

MULTIPLY_WIDTH(multiply_1, 1, false)
MULTIPLY_WIDTH(multiply_2, 2, false)
MULTIPLY_WIDTH(multiply_1_tail, 1, true)
MULTIPLY_WIDTH(multiply_2_tail, 2, true)

static void outer_tile(const fkp_outer_tile *tile) {
    const bool tail = tile->columns % FKP_LANES != 0;
    if (tile->columns > FKP_LANES)
        (tail ? multiply_2_tail : multiply_2)(tile);
    else
        (tail ? multiply_1_tail : multiply_1)(tile);
}

void FKP_NAME(register_train_outer)(fkp_train_kernels *kernels) {
#if defined(FKP_SIMD_avx512)
    const char *name = "outer_f32_8x32_avx512";
#elif defined(FKP_SIMD_avx2)
    const char *name = "outer_f32_4x16_avx2";
#else
    const char *name = "outer_f32_4x8_portable";
#endif
    kernels->outer = (fkp_outer_record){name, ROWS, VECTORS * FKP_LANES, outer_tile};
}
