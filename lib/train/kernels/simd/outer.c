/* The register tile of weight gradients: a sum of outer products of pixels, both operands read where they
 * lie. The sums stay in registers over the block of pixels; per pixel it loads VECTORS vectors of b and
 * broadcasts ROWS numbers of a. As many rows as the registers allow: addresses and requests take turns of the
 * multiply-adds' ports, and the more of these share them, the less it costs. */
#include "kernels/simd/simd.h"

#include "train/kernels/simd/train_register.h"

#define VECTORS 2
#if defined(FKP_SIMD_avx512)
#define ROWS 14
#elif defined(FKP_SIMD_avx2)
#define ROWS 6
#else
#define ROWS 4
#endif

/* Rows, vectors and `tail` are constants where this is expanded. With `tail` the last vector is a partial
 * one. */
FKP_ALWAYS_INLINE void multiply(const fkp_outer_tile *tile, const size_t rows, const size_t vectors,
                                const bool tail) {
    const size_t last = tile->columns - (vectors - 1) * FKP_LANES;
    fkp_vector sum[ROWS][VECTORS];
#pragma GCC unroll 16
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++) {
            __builtin_prefetch(tile->c + r * tile->c_stride + v * FKP_LANES, 1);
            sum[r][v] = v_set(0.0f);
        }

    const size_t offset = tile->a_offset;
    const float *b = tile->b;
    const float *next = tile->next != NULL ? tile->next : b;
    const size_t next_stride = tile->next != NULL ? tile->next_stride : tile->b_stride;
    for (size_t p = 0; p < tile->pixels; p++, b += tile->b_stride) {
        const float *a = tile->a[p] + offset;
#if defined(__GNUC__)
        /* GCC would add `offset` and r first, and keep a register a row for it. */
        __asm__("" : "+r"(a));
#endif
        fkp_vector column[VECTORS];
        if (p % FKP_OUTER_ASK == 0) {
            __builtin_prefetch(next, 0, 2);
            next += next_stride;
        }
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            column[v] =
                tail && v + 1 == vectors ? v_load_part(b + v * FKP_LANES, last) : v_load(b + v * FKP_LANES);
#pragma GCC unroll 16
        for (size_t r = 0; r < rows; r++) {
            fkp_vector x = v_set(a[r]);
#pragma GCC unroll 2
            for (size_t v = 0; v < vectors; v++) sum[r][v] = v_fma(x, column[v], sum[r][v]);
        }
    }

#pragma GCC unroll 16
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

#define MULTIPLY_ROWS(rows, vectors, tail)                                                                   \
    case rows:                                                                                               \
        multiply(tile, rows, vectors, tail);                                                                 \
        break;
#if ROWS > 4
#define MULTIPLY_6_ROWS(vectors, tail) MULTIPLY_ROWS(5, vectors, tail) MULTIPLY_ROWS(6, vectors, tail)
#else
#define MULTIPLY_6_ROWS(vectors, tail)
#endif
#if ROWS > 6
#define MULTIPLY_14_ROWS(vectors, tail)                                                                      \
    MULTIPLY_ROWS(7, vectors, tail)                                                                          \
    MULTIPLY_ROWS(8, vectors, tail)                                                                          \
    MULTIPLY_ROWS(9, vectors, tail)                                                                          \
    MULTIPLY_ROWS(10, vectors, tail)                                                                         \
    MULTIPLY_ROWS(11, vectors, tail)                                                                         \
    MULTIPLY_ROWS(12, vectors, tail)                                                                         \
    MULTIPLY_ROWS(13, vectors, tail)                                                                         \
    MULTIPLY_ROWS(14, vectors, tail)
#else
#define MULTIPLY_14_ROWS(vectors, tail)
#endif
#define MULTIPLY_WIDTH(name, vectors, tail)                                                                  \
    static void name(const fkp_outer_tile *tile) {                                                           \
        switch (tile->rows) {                                                                                \
            MULTIPLY_ROWS(1, vectors, tail)                                                                  \
            MULTIPLY_ROWS(2, vectors, tail)                                                                  \
            MULTIPLY_ROWS(3, vectors, tail)                                                                  \
            MULTIPLY_ROWS(4, vectors, tail)                                                                  \
            MULTIPLY_6_ROWS(vectors, tail)                                                                   \
            MULTIPLY_14_ROWS(vectors, tail)                                                                  \
        default:                                                                                             \
            break;                                                                                           \
        }                                                                                                    \
    }

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
    const char *name = "outer_f32_14x32_avx512";
#elif defined(FKP_SIMD_avx2)
    const char *name = "outer_f32_6x16_avx2";
#else
    const char *name = "outer_f32_4x8_portable";
#endif
    kernels->outer = (fkp_outer_record){name, ROWS, VECTORS * FKP_LANES, outer_tile};
}
