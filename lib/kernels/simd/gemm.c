/* The register tile of every matrix product in the library: up to 6 rows by FKP_TILE_VECTORS vectors of sums
 * that stay in registers over the whole depth. Six row pointers leave room for everything else in the general
 * registers; the 24 sums of AVX-512 (12 of AVX2) cover the latency of the multiply-adds twice, so a narrower
 * panel still runs at full rate. Per step of depth it loads FKP_TILE_VECTORS vectors of the panel and
 * broadcasts one number a row. */
#include "kernels/simd/simd.h"

#include "kernels/simd/register.h"

#define ROWS 6
#if defined(FKP_SIMD_avx512)
#define VECTORS 4
#else
#define VECTORS 2
#endif

/* Adds what c held, bias and residual, activates, and writes the tile; `sums` has `width` floats a row. The
 * activation is a constant where this is expanded. */
FKP_ALWAYS_INLINE void finish_as(const fkp_gemm_tile *tile, const float *sums, size_t width,
                                 const fkp_epilogue *epilogue, const fkp_activation activation) {
    for (size_t column = 0; column < tile->columns; column += FKP_LANES) {
        size_t left = tile->columns - column, n = left < FKP_LANES ? left : FKP_LANES;
        fkp_vector bias = epilogue->bias == NULL ? v_set(0.0f) : v_load_part(epilogue->bias + column, n);
        for (size_t r = 0; r < tile->rows; r++) {
            float *c = tile->c + r * tile->c_stride + column;
            fkp_vector sum = v_load(sums + r * width + column);
            if (tile->accumulate) sum = v_add(sum, v_load_part(c, n));
            sum = v_add(sum, bias);
            if (epilogue->residual != NULL)
                sum = v_add(sum, v_load_part(epilogue->residual + r * epilogue->residual_stride + column, n));
            v_store_part(c, n, v_activate(sum, activation));
        }
    }
}

static void finish(const fkp_gemm_tile *tile, const float *sums, size_t width) {
    static const fkp_epilogue none = {NULL, NULL, 0, FKP_ACTIVATION_NONE};
    const fkp_epilogue *epilogue = tile->epilogue == NULL ? &none : tile->epilogue;
    switch (epilogue->activation) {
    case FKP_ACTIVATION_RELU:
        finish_as(tile, sums, width, epilogue, FKP_ACTIVATION_RELU);
        break;
    case FKP_ACTIVATION_ELU:
        finish_as(tile, sums, width, epilogue, FKP_ACTIVATION_ELU);
        break;
    case FKP_ACTIVATION_GELU:
        finish_as(tile, sums, width, epilogue, FKP_ACTIVATION_GELU);
        break;
    case FKP_ACTIVATION_NONE:
        finish_as(tile, sums, width, epilogue, FKP_ACTIVATION_NONE);
        break;
    }
}

/* Rows and vectors are constants where this is expanded; the loops over them unroll and `sum` lives in
 * registers. */
FKP_ALWAYS_INLINE void multiply(const fkp_gemm_tile *tile, const size_t rows, const size_t vectors,
                                const bool fetch) {
    /* A whole tile without an epilogue comes straight from memory and goes straight back; anything else
     * passes through finish(). */
    const bool plain = tile->epilogue == NULL && tile->columns == vectors * FKP_LANES;
    const bool continued = plain && tile->accumulate;
    fkp_vector sum[ROWS][VECTORS];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++)
            sum[r][v] = continued ? v_load(tile->c + r * tile->c_stride + v * FKP_LANES) : v_set(0.0f);

    const float *b = tile->b, *next = tile->next;
    const size_t depth = tile->depth;
    for (size_t tap = 0; tap < tile->taps; tap++) {
        const float *const *a = tile->a + tap * ROWS;
        const float *row[ROWS];
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) row[r] = a[r];
        for (size_t k = 0; k < depth; k++, b += vectors * FKP_LANES) {
            fkp_vector panel[VECTORS];
            if (fetch) {
                __builtin_prefetch(next, 0, 2);
                next += 16;
            }
#pragma GCC unroll 8
            for (size_t v = 0; v < vectors; v++) panel[v] = v_load(b + v * FKP_LANES);
#pragma GCC unroll 8
            for (size_t r = 0; r < rows; r++) {
                fkp_vector x = v_set(row[r][k]);
#pragma GCC unroll 8
                for (size_t v = 0; v < vectors; v++) sum[r][v] = v_fma(x, panel[v], sum[r][v]);
            }
        }
    }

    _Alignas(64) float sums[ROWS * VECTORS * FKP_LANES];
    float *out = plain ? tile->c : sums;
    const size_t stride = plain ? tile->c_stride : vectors * FKP_LANES;
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++) v_store(out + r * stride + v * FKP_LANES, sum[r][v]);
    if (!plain) finish(tile, sums, vectors * FKP_LANES);
}

/* One function a width, so that the compiler allots registers to one body at a time. */
#define MULTIPLY_WIDTH(vectors)                                                                              \
    static void multiply_##vectors(const fkp_gemm_tile *tile) {                                              \
        switch (tile->rows) {                                                                                \
        case 1:                                                                                              \
            multiply(tile, 1, vectors, false);                                                               \
            break;                                                                                           \
        case 2:                                                                                              \
            multiply(tile, 2, vectors, false);                                                               \
            break;                                                                                           \
        case 3:                                                                                              \
            multiply(tile, 3, vectors, false);                                                               \
            break;                                                                                           \
        case 4:                                                                                              \
            multiply(tile, 4, vectors, false);                                                               \
            break;                                                                                           \
        case 5:                                                                                              \
            multiply(tile, 5, vectors, false);                                                               \
            break;                                                                                           \
        case 6:                                                                                              \
            multiply(tile, 6, vectors, false);                                                               \
            break;                                                                                           \
        default:                                                                                             \
            break;                                                                                           \
        }                                                                                                    \
    }

MULTIPLY_WIDTH(1)
MULTIPLY_WIDTH(2)
#if VECTORS == 4
MULTIPLY_WIDTH(3)
MULTIPLY_WIDTH(4)
#endif

/* Whole tiles alone fetch: they are most of them, and the loop of the others is not burdened. */
static void multiply_fetching(const fkp_gemm_tile *tile) { multiply(tile, ROWS, VECTORS, true); }

static void gemm_tile(const fkp_gemm_tile *tile) {
    if (tile->next != NULL && tile->rows == ROWS && tile->columns > (VECTORS - 1) * FKP_LANES) {
        multiply_fetching(tile);
        return;
    }
    switch ((tile->columns + FKP_LANES - 1) / FKP_LANES) {
    case 1:
        multiply_1(tile);
        break;
    case 2:
        multiply_2(tile);
        break;
#if VECTORS == 4
    case 3:
        multiply_3(tile);
        break;
    case 4:
        multiply_4(tile);
        break;
#endif
    default:
        break;
    }
}

void FKP_NAME(register_gemm)(fkp_kernels *kernels) {
#if defined(FKP_SIMD_avx512)
    const char *name = "gemm_f32_6x64_avx512";
#elif defined(FKP_SIMD_avx2)
    const char *name = "gemm_f32_6x16_avx2";
#else
    const char *name = "gemm_f32_6x8_portable";
#endif
    kernels->gemm = (fkp_gemm_record){name, ROWS, VECTORS * FKP_LANES, FKP_LANES, gemm_tile};
}
