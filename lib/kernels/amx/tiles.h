/* What the kernels on matrix tiles share. Tiles have 16 rows of 64 bytes, 32 bfloat16 or 16 float32. A block
 * of results is two tiles of rows by two of columns, or one by two, and stays in tile registers over all
 * steps, which are a chunk and a tap each. */
#ifndef FKP_AMX_TILES_H
#define FKP_AMX_TILES_H

#include "kernels/simd/simd.h"

/* GCC's name and Clang's. */
#if !(defined(__AMX_BF16__) || defined(__AMXBF16__)) || !defined(__AVX512BF16__)
#error "the amx kernels need -mamx-tile -mamx-bf16 -mavx512bf16"
#endif

enum { DEPTH = FKP_SPLIT_DEPTH, TILE_ROWS = FKP_SPLIT_TILE, BLOCK_ROWS = 2 * TILE_ROWS };
/* Numbers of a tile of rows, high or low, and of one of filters. */
enum { TILE = TILE_ROWS * DEPTH };
/* Sums of a tile of rows. */
enum { ROW_TILE = TILE_ROWS * FKP_SPLIT_COLUMNS };

/* ---- taking apart ---- */

typedef struct parts {
    __m512i high, low; /* of 32 floats */
} parts;

FKP_ALWAYS_INLINE __m512 widened(__m256i bfloat16) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bfloat16), 16));
}

FKP_ALWAYS_INLINE parts take_apart(__m512 a, __m512 b) {
    const __m512i high = (__m512i)_mm512_cvtne2ps_pbh(b, a);
    a = _mm512_sub_ps(a, widened(_mm512_castsi512_si256(high)));
    b = _mm512_sub_ps(b, widened(_mm512_extracti64x4_epi64(high, 1)));
    return (parts){high, (__m512i)_mm512_cvtne2ps_pbh(b, a)};
}

/* A chunk of one row, of which there are `left` numbers; the rest are zeros. */
FKP_ALWAYS_INLINE parts chunk_of(const float *in, size_t left) {
    const bool whole = left >= DEPTH;
    const __m512 a = whole ? v_load(in) : v_load_part(in, left < 16 ? left : 16);
    const __m512 b = whole ? v_load(in + 16) : left > 16 ? v_load_part(in + 16, left - 16) : v_set(0.0f);
    return take_apart(a, b);
}

/* The same in memory: high, and behind it low. */
FKP_ALWAYS_INLINE void split_chunk(const float *in, size_t left, uint16_t *out) {
    const parts p = chunk_of(in, left);
    _mm512_storeu_si512(out, p.high);
    _mm512_storeu_si512(out + DEPTH, p.low);
}

/* ---- multiplying ---- */

/* Sums are in the tiles 2 r + c, rows in 4 and 5, filters in 6 and 7. All tiles have 16 rows of 64 bytes. */
FKP_ALWAYS_INLINE void configure(void) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = TILE_ROWS;
    }
    _tile_loadconfig(&config);
}

/* Tile registers hold the sums of a block, 16 or 32 rows of 32 floats, of which the second sixteen columns
 * are left alone where the panel has but one tile of them. */
FKP_ALWAYS_INLINE void clear_sums(const bool wide, const bool two) {
    _tile_zero(0);
    if (wide) _tile_zero(1);
    if (two) _tile_zero(2);
    if (wide && two) _tile_zero(3);
}

FKP_ALWAYS_INLINE void store_sums(float *sums, const bool wide, const bool two) {
    const size_t bytes = FKP_SPLIT_COLUMNS * sizeof(float);
    _tile_stored(0, sums, bytes);
    if (wide) _tile_stored(1, sums + 16, bytes);
    if (two) _tile_stored(2, sums + ROW_TILE, bytes);
    if (wide && two) _tile_stored(3, sums + ROW_TILE + 16, bytes);
}

/* ---- steps ----
 *
 * A step adds low rows times high filters, high times high, and high times low. The processor does not load
 * a tile register before the products that read it have begun, however far ahead it looks; so each register
 * is loaded anew right after its last product, and a step loads what the next one begins with: the low rows,
 * and the high filters. */

/* After half a microsecond without a vector operation sums go to memory 0.3 microseconds late, presumably
 * because their way leads through vector units that were switched off: an operation a step prevents it.
 * Measured on Granite Rapids. */
FKP_ALWAYS_INLINE void keep_vectors_awake(void) {
    __m512 any = _mm512_setzero_ps();
    __asm__ volatile("vaddps %0, %0, %0" : "+v"(any));
}

/* Where a step's tiles begin. */
typedef struct operands {
    const uint16_t *rows, *filters;
    size_t row_bytes, second; /* from row to row, and, in numbers, from a tile of rows to the next */
} operands;

/* Before the first step: what every other one finds loaded. */
FKP_ALWAYS_INLINE void begin_steps(const operands *first, const bool wide) {
    _tile_loadd(6, first->filters, 64);
    if (wide) _tile_loadd(7, first->filters + 2 * TILE, 64);
    _tile_loadd(4, first->rows + DEPTH, first->row_bytes);
    _tile_loadd(5, first->rows + first->second + DEPTH, first->row_bytes);
}

/* A step of a block of two by two, twelve products, in halves: the processor looks ahead over some 500
 * instructions, so that what the vectors do is hidden best if it is put between them. */
FKP_ALWAYS_INLINE void add_first_half(const operands *now, const bool wide) {
    _tile_dpbf16ps(0, 4, 6);
    if (wide) _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(4, now->rows, now->row_bytes);
    _tile_dpbf16ps(2, 5, 6);
    if (wide) _tile_dpbf16ps(3, 5, 7);
    _tile_loadd(5, now->rows + now->second, now->row_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if (wide) _tile_dpbf16ps(1, 4, 7);
}

FKP_ALWAYS_INLINE void add_second_half(const operands *now, const operands *next, const bool wide) {
    _tile_dpbf16ps(2, 5, 6);
    _tile_loadd(6, now->filters + TILE, 64);
    if (wide) _tile_dpbf16ps(3, 5, 7);
    if (wide) _tile_loadd(7, now->filters + 3 * TILE, 64);
    _tile_dpbf16ps(0, 4, 6);
    if (wide) _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(4, next->rows + DEPTH, next->row_bytes);
    _tile_dpbf16ps(2, 5, 6);
    _tile_loadd(6, next->filters, 64);
    if (wide) _tile_dpbf16ps(3, 5, 7);
    _tile_loadd(5, next->rows + next->second + DEPTH, next->row_bytes);
    if (wide) _tile_loadd(7, next->filters + 2 * TILE, 64);
}

/* A step of a block of one by two. The low filters are in the registers of a second tile of rows' sums. The
 * products of a sum are in the same order as above, so that a result does not depend on its block: with two
 * sums alone they wait for each other, 26 cycles instead of 16 each. */
FKP_ALWAYS_INLINE void add_one_by_two(const operands *now, const operands *next, const bool wide) {
    _tile_loadd(5, now->rows, now->row_bytes);
    _tile_loadd(2, now->filters + TILE, 64);
    if (wide) _tile_loadd(3, now->filters + 3 * TILE, 64);
    _tile_dpbf16ps(0, 4, 6);
    if (wide) _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(4, next->rows + DEPTH, next->row_bytes);
    _tile_dpbf16ps(0, 5, 6);
    if (wide) _tile_dpbf16ps(1, 5, 7);
    _tile_loadd(6, next->filters, 64);
    if (wide) _tile_loadd(7, next->filters + 2 * TILE, 64);
    _tile_dpbf16ps(0, 5, 2);
    if (wide) _tile_dpbf16ps(1, 5, 3);
    _tile_loadd(5, next->rows + next->second + DEPTH, next->row_bytes);
}

#endif
