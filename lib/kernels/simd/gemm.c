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

/* The end of a tile with a ragged edge: a vector of sums at (row, column), of which n floats are columns,
 * gets what c held, bias and residual, is activated, and written. */
FKP_ALWAYS_INLINE void finish_vector(const fkp_gemm_tile *tile, fkp_vector sum, size_t row, size_t column,
                                     size_t n, const fkp_epilogue *epilogue) {
    float *c = tile->c + row * tile->c_stride + column;
    if (tile->accumulate) sum = v_add(sum, v_load_part(c, n));
    if (epilogue->bias != NULL) sum = v_add(sum, v_load_part(epilogue->bias + column, n));
    if (epilogue->residual != NULL)
        sum = v_add(sum, v_load_part(epilogue->residual + row * epilogue->residual_stride + column, n));
    v_store_part(c, n, v_activate(sum, epilogue->activation));
}

/* `sums` has `width` floats a row. */
static void finish_ragged(const fkp_gemm_tile *tile, const float *sums, size_t width) {
    static const fkp_epilogue none = {NULL, NULL, 0, FKP_ACTIVATION_NONE};
    const fkp_epilogue *epilogue = tile->epilogue == NULL ? &none : tile->epilogue;
    for (size_t r = 0; r < tile->rows; r++)
        for (size_t column = 0; column < tile->columns; column += FKP_LANES) {
            size_t left = tile->columns - column, n = left < FKP_LANES ? left : FKP_LANES;
            finish_vector(tile, v_load(sums + r * width + column), r, column, n, epilogue);
        }
}

/* Writes the activated sums of `rows` rows, some vectors at a time, whose chains of operations overlap. */
FKP_ALWAYS_INLINE void activate_rows(const float *sums, size_t rows, const size_t vectors, float *c,
                                     size_t stride, const fkp_activation activation) {
    for (size_t r = 0; r < rows; r++, sums += vectors * FKP_LANES, c += stride) {
        fkp_vector x[VECTORS];
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++) x[v] = v_activate(v_load(sums + v * FKP_LANES), activation);
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++) v_store(c + v * FKP_LANES, x[v]);
    }
}

/* One body a width, for the activations that take more than an operation. */
#define ACTIVATE_WIDTH(vectors)                                                                              \
    static void activate_##vectors(const float *sums, const fkp_gemm_tile *tile) {                           \
        if (tile->epilogue->activation == FKP_ACTIVATION_GELU)                                               \
            activate_rows(sums, tile->rows, vectors, tile->c, tile->c_stride, FKP_ACTIVATION_GELU);          \
        else                                                                                                 \
            activate_rows(sums, tile->rows, vectors, tile->c, tile->c_stride, FKP_ACTIVATION_ELU);           \
    }

ACTIVATE_WIDTH(1)
ACTIVATE_WIDTH(2)
#if VECTORS == 4
ACTIVATE_WIDTH(3)
ACTIVATE_WIDTH(4)
#endif

static void activate_sums(const fkp_gemm_tile *tile, const float *sums, size_t vectors) {
    switch (vectors) {
    case 1:
        activate_1(sums, tile);
        break;
    case 2:
        activate_2(sums, tile);
        break;
#if VECTORS == 4
    case 3:
        activate_3(sums, tile);
        break;
    case 4:
        activate_4(sums, tile);
        break;
#endif
    default:
        break;
    }
}

/* Asks at the beginning for what the end reads and writes: both may have left the second-level cache, or be
 * in memory. */
FKP_ALWAYS_INLINE void fetch_ends(const fkp_gemm_tile *tile, const size_t rows, const size_t vectors) {
    const fkp_epilogue *epilogue = tile->epilogue;
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (size_t column = 0; column < vectors * FKP_LANES; column += 16)
            __builtin_prefetch(tile->c + r * tile->c_stride + column, 1, 3);
    if (epilogue == NULL || epilogue->residual == NULL) return;
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (size_t column = 0; column < vectors * FKP_LANES; column += 16)
            __builtin_prefetch(epilogue->residual + r * epilogue->residual_stride + column, 0, 3);
}

/* What an epilogue does within the registers of a whole tile: all but the activations that take more than an
 * operation. */
FKP_ALWAYS_INLINE void add_epilogue(const fkp_gemm_tile *tile, fkp_vector sum[ROWS][VECTORS],
                                    const size_t rows, const size_t vectors) {
    const fkp_epilogue *epilogue = tile->epilogue;
#define FOR_SUMS(body)                                                                                       \
    _Pragma("GCC unroll 8") for (size_t r = 0; r < rows; r++)                                                \
        _Pragma("GCC unroll 8") for (size_t v = 0; v < vectors; v++) sum[r][v] = body;
    if (tile->accumulate) FOR_SUMS(v_add(sum[r][v], v_load(tile->c + r * tile->c_stride + v * FKP_LANES)))
    if (epilogue->bias != NULL) FOR_SUMS(v_add(sum[r][v], v_load(epilogue->bias + v * FKP_LANES)))
    if (epilogue->residual != NULL)
        FOR_SUMS(v_add(sum[r][v], v_load(epilogue->residual + r * epilogue->residual_stride + v * FKP_LANES)))
    if (epilogue->activation == FKP_ACTIVATION_RELU) FOR_SUMS(v_max(v_set(0.0f), sum[r][v]))
#undef FOR_SUMS
}

/* Rows and vectors are constants where this is expanded; the loops over them unroll and `sum` lives in
 * registers. */
FKP_ALWAYS_INLINE void multiply(const fkp_gemm_tile *tile, const size_t rows, const size_t vectors,
                                const bool fetch) {
    fetch_ends(tile, rows, vectors);
    const fkp_epilogue *epilogue = tile->epilogue;
    const bool whole = tile->columns == vectors * FKP_LANES;
    /* A whole tile that goes on comes straight from memory. */
    const bool continued = whole && epilogue == NULL && tile->accumulate;
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

    if (whole && epilogue != NULL) add_epilogue(tile, sum, rows, vectors);
    const bool straight = whole && (epilogue == NULL || epilogue->activation == FKP_ACTIVATION_NONE ||
                                    epilogue->activation == FKP_ACTIVATION_RELU);
    _Alignas(64) float sums[ROWS * VECTORS * FKP_LANES];
    float *out = straight ? tile->c : sums;
    const size_t stride = straight ? tile->c_stride : vectors * FKP_LANES;
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++) v_store(out + r * stride + v * FKP_LANES, sum[r][v]);
    if (straight) return;
    if (whole)
        activate_sums(tile, sums, vectors);
    else
        finish_ragged(tile, sums, vectors * FKP_LANES);
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

/* How far ahead one row asks for what it reads: a kilobyte. */
#define ROW_AHEAD 256

/* One row and two panels. It uses a number once, and goes as fast as memory gives: two streams give more than
 * one, and asking ahead more than waiting for the hardware to see where a stream goes. */
static void multiply_pair(const fkp_gemm_tile *tile) {
    const size_t width = VECTORS * FKP_LANES, depth = tile->depth;
    const float *a = tile->a[0], *panels[2] = {tile->b, tile->beside};
    fkp_vector sum[2][VECTORS];
#pragma GCC unroll 2
    for (size_t p = 0; p < 2; p++)
#pragma GCC unroll 8
        for (size_t v = 0; v < VECTORS; v++) sum[p][v] = v_set(0.0f);
    for (size_t k = 0; k < depth; k++) {
        const fkp_vector x = v_set(a[k]);
#pragma GCC unroll 2
        for (size_t p = 0; p < 2; p++) {
            const float *b = panels[p] + k * width;
#pragma GCC unroll 8
            for (size_t line = 0; line < width; line += 16) __builtin_prefetch(b + ROW_AHEAD + line, 0, 3);
#pragma GCC unroll 8
            for (size_t v = 0; v < VECTORS; v++) sum[p][v] = v_fma(x, v_load(b + v * FKP_LANES), sum[p][v]);
        }
    }
    _Alignas(64) float sums[2 * VECTORS * FKP_LANES];
#pragma GCC unroll 2
    for (size_t p = 0; p < 2; p++)
#pragma GCC unroll 8
        for (size_t v = 0; v < VECTORS; v++) v_store(sums + p * width + v * FKP_LANES, sum[p][v]);
    finish_ragged(tile, sums, 2 * width);
}

/* Whole tiles alone fetch: they are most of them, and the loop of the others is not burdened. */
static void multiply_fetching(const fkp_gemm_tile *tile) { multiply(tile, ROWS, VECTORS, true); }

static void gemm_tile(const fkp_gemm_tile *tile) {
    if (tile->beside != NULL) {
        multiply_pair(tile);
        return;
    }
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
