/* Products of split numbers by the matrix tiles of AMX: tiles of 16 rows of 64 bytes, 32 bfloat16 or 16
 * float32. A block of results is two tiles by two, and stays in four of the eight tile registers over all
 * chunks and taps; twelve products of tiles, 192 cycles, go with ten loads, 80. The last block has three
 * tiles of rows if their number is odd: eighteen products go with twenty-four loads. */
#include "kernels/amx/register.h"
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

static void split_rows(const fkp_split_rows *rows) {
    for (size_t r = 0; r < rows->rows; r++) {
        const float *in = rows->in + r * rows->in_stride;
        uint16_t *out = rows->out + r * 2 * DEPTH;
        for (size_t c = 0; c < rows->channels; c += DEPTH, out += rows->chunk_step) {
            __builtin_prefetch(in + c + FKP_STREAM_AHEAD, 0, 3);
            __builtin_prefetch(in + c + FKP_STREAM_AHEAD + 16, 0, 3);
            const size_t left = rows->channels - c;
            const bool whole = left >= DEPTH;
            const __m512 a = whole ? v_load(in + c) : v_load_part(in + c, left < 16 ? left : 16);
            const __m512 b = whole       ? v_load(in + c + 16)
                             : left > 16 ? v_load_part(in + c + 16, left - 16)
                                         : v_set(0.0f);
            const parts p = take_apart(a, b);
            _mm512_storeu_si512(out, p.high);
            _mm512_storeu_si512(out + DEPTH, p.low);
        }
    }
}

/* Two rows, rounded: numbers j of both are pair j. */
FKP_ALWAYS_INLINE __m512i rounded_pairs(__m512 even, __m512 odd) {
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, /* the upper half */
                         23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

FKP_ALWAYS_INLINE void pack_pairs(__m512 even, __m512 odd, uint16_t *packed) {
    const __m512i high = rounded_pairs(even, odd), upper = _mm512_set1_epi32((int)0xffff0000);
    even = _mm512_sub_ps(even, _mm512_castsi512_ps(_mm512_slli_epi32(high, 16)));
    odd = _mm512_sub_ps(odd, _mm512_castsi512_ps(_mm512_and_si512(high, upper)));
    _mm512_storeu_si512(packed, high);
    _mm512_storeu_si512(packed + TILE, rounded_pairs(even, odd));
}

static void pack(const float *rows, size_t stride, size_t count, const float *scale, uint16_t *packed) {
    const __m512 factor = scale == NULL ? v_set(1.0f) : v_load(scale);
    for (; count > 1; count -= 2, rows += 2 * stride, packed += DEPTH)
        pack_pairs(v_mul(v_load(rows), factor), v_mul(v_load(rows + stride), factor), packed);
    if (count > 0) pack_pairs(v_mul(v_load(rows), factor), v_set(0.0f), packed);
}

/* ---- multiplying ---- */

/* Sums are in the tiles 2 r + c, rows and filters in the others. All tiles have 16 rows of 64 bytes. */
static void configure(void) {
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

/* Filters that are asked for, in streams side by side, of which memory gives more than of one. */
enum { STREAMS = 4 };
typedef struct fetcher {
    const uint16_t *at;
    size_t stream;      /* from stream to stream */
    size_t lines, each; /* of a stream: left, and asked for at a time */
} fetcher;

FKP_ALWAYS_INLINE void fetch(fetcher *f) {
    for (size_t i = 0; i < f->each && f->lines > 0; i++, f->lines--, f->at += DEPTH)
#pragma GCC unroll 4
        for (size_t s = 0; s < STREAMS; s++) __builtin_prefetch(f->at + s * f->stream, 0, 3);
}

/* Tile registers hold the sums of a block, 32 or 48 rows of 32 floats, of which the second sixteen columns
 * are left alone where the panel has but one tile of them. */
#define FOR_SUMS(move)                                                                                       \
    move(0, sums);                                                                                           \
    move(2, sums + ROW_TILE);                                                                                \
    if (three) move(4, sums + 2 * ROW_TILE);                                                                 \
    if (wide) move(1, sums + 16);                                                                            \
    if (wide) move(3, sums + ROW_TILE + 16);                                                                 \
    if (wide && three) move(5, sums + 2 * ROW_TILE + 16)
#define LOAD_SUMS(tile, at) _tile_loadd(tile, at, FKP_SPLIT_COLUMNS * sizeof(float))
#define STORE_SUMS(tile, at) _tile_stored(tile, at, FKP_SPLIT_COLUMNS * sizeof(float))
#define CLEAR_SUMS(tile, at) _tile_zero(tile)

FKP_ALWAYS_INLINE void begin_sums(const float *sums, const bool wide, const bool three, bool first) {
    if (first) {
        FOR_SUMS(CLEAR_SUMS);
    } else {
        FOR_SUMS(LOAD_SUMS);
    }
}

FKP_ALWAYS_INLINE void end_sums(float *sums, const bool wide, const bool three) { FOR_SUMS(STORE_SUMS); }

/* Adds the products of one chunk and tap: low high, high high, high low. */
FKP_ALWAYS_INLINE void add_products_of_two(const uint16_t *rows, size_t bytes, size_t second,
                                           const uint16_t *filters, const bool wide) {
    _tile_loadd(6, filters, 64);
    if (wide) _tile_loadd(7, filters + 2 * TILE, 64);
    _tile_loadd(4, rows + DEPTH, bytes);
    _tile_dpbf16ps(0, 4, 6);
    if (wide) _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, rows + second + DEPTH, bytes);
    _tile_dpbf16ps(2, 5, 6);
    if (wide) _tile_dpbf16ps(3, 5, 7);
    _tile_loadd(4, rows, bytes);
    _tile_dpbf16ps(0, 4, 6);
    if (wide) _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, rows + second, bytes);
    _tile_dpbf16ps(2, 5, 6);
    if (wide) _tile_dpbf16ps(3, 5, 7);
    _tile_loadd(6, filters + TILE, 64);
    if (wide) _tile_loadd(7, filters + 3 * TILE, 64);
    _tile_dpbf16ps(0, 4, 6);
    if (wide) _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    if (wide) _tile_dpbf16ps(3, 5, 7);
}

/* Three tiles of rows with one of filters, sixteen columns. */
#define ADD_COLUMN(first, second_row, third_row, column)                                                     \
    _tile_loadd(7, column, 64);                                                                              \
    _tile_loadd(6, rows, bytes);                                                                             \
    _tile_dpbf16ps(first, 6, 7);                                                                             \
    _tile_loadd(6, rows + second, bytes);                                                                    \
    _tile_dpbf16ps(second_row, 6, 7);                                                                        \
    _tile_loadd(6, rows + 2 * second, bytes);                                                                \
    _tile_dpbf16ps(third_row, 6, 7)

FKP_ALWAYS_INLINE void add_three(const uint16_t *rows, size_t bytes, size_t second, const uint16_t *filters,
                                 const bool wide) {
    ADD_COLUMN(0, 2, 4, filters);
    if (!wide) return;
    ADD_COLUMN(1, 3, 5, filters + 2 * TILE);
}

/* In the same order. */
FKP_ALWAYS_INLINE void add_products_of_three(const uint16_t *rows, size_t bytes, size_t second,
                                             const uint16_t *filters, const bool wide) {
    add_three(rows + DEPTH, bytes, second, filters, wide);
    add_three(rows, bytes, second, filters, wide);
    add_three(rows, bytes, second, filters + TILE, wide);
}

/* ---- finishing ---- */

/* A block's sums on their way to memory, some rows at a time; the place of the next one. */
typedef struct finisher {
    const float *sums;
    size_t rows; /* that are left */
    size_t line, x;
} finisher;

/* Sixteen of a pixel's sums, or the `n` that there are, from column c on. */
typedef struct columns {
    fkp_vector bias;
    size_t c, n;
} columns;

FKP_ALWAYS_INLINE columns columns_of(const fkp_split_product *p, size_t c) {
    const size_t left = p->columns > c ? p->columns - c : 0, n = left < 16 ? left : 16;
    const bool biased = n > 0 && p->epilogue != NULL && p->epilogue->bias != NULL;
    return (columns){biased ? v_load_n(p->epilogue->bias + c, n) : v_set(0.0f), c, n};
}

FKP_ALWAYS_INLINE fkp_vector finished(const float *sums, const float *residual, const columns *at,
                                      const fkp_activation activation) {
    fkp_vector sum = v_add(v_load(sums + at->c), at->bias);
    if (residual != NULL) sum = v_add(sum, v_load_n(residual + at->c, at->n));
    return v_activate(sum, activation);
}

/* Pixels that follow each other in a line, finished and written. */
FKP_ALWAYS_INLINE void finish_run(const fkp_split_product *p, const finisher *f, size_t count,
                                  const bool whole, const fkp_activation activation) {
    columns first = columns_of(p, 0), second = columns_of(p, 16);
    if (whole) first.n = second.n = 16;
    const size_t pixel = f->line * p->width + f->x;
    const bool has_residual = p->epilogue != NULL && p->epilogue->residual != NULL;
    const size_t residual_stride = has_residual ? p->epilogue->residual_stride : 0;
    const float *residual = has_residual ? p->epilogue->residual + pixel * residual_stride : NULL;
    const float *sums = f->sums;
    size_t place = f->line * p->line_stride + f->x * p->out_stride;
    for (size_t i = 0; i < count; i++, place += p->out_stride, sums += FKP_SPLIT_COLUMNS) {
        const fkp_vector a = finished(sums, residual, &first, activation);
        if (p->apart != NULL) {
            const parts both = take_apart(a, finished(sums, residual, &second, activation));
            _mm512_storeu_si512(p->apart + place, both.high);
            _mm512_storeu_si512(p->apart + place + DEPTH, both.low);
        } else {
            v_store_n(p->out + place, first.n, a);
            if (second.n > 0)
                v_store_n(p->out + place + 16, second.n, finished(sums, residual, &second, activation));
        }
        if (residual != NULL) residual += residual_stride;
    }
}

/* The next rows, of which those between the lines are dropped. */
static void finish_rows(const fkp_split_product *p, finisher *f, size_t rows) {
    const fkp_activation activation = p->epilogue == NULL ? FKP_ACTIVATION_NONE : p->epilogue->activation;
    rows = rows < f->rows ? rows : f->rows;
    f->rows -= rows;
    while (rows > 0) {
        const bool wanted = f->line < p->lines && f->x < p->width;
        const size_t left = (wanted ? p->width : p->pitch) - f->x, count = rows < left ? rows : left;
        if (wanted && p->columns == FKP_SPLIT_COLUMNS) {
#define FINISH(kind) finish_run(p, f, count, true, kind)
            FKP_FOR_EACH_ACTIVATION(activation, FINISH)
#undef FINISH
        } else if (wanted) {
#define FINISH(kind) finish_run(p, f, count, false, kind)
            FKP_FOR_EACH_ACTIVATION(activation, FINISH)
#undef FINISH
        }
        rows -= count;
        f->sums += count * FKP_SPLIT_COLUMNS;
        f->x += count;
        if (f->x == p->pitch) {
            f->line++;
            f->x = 0;
        }
    }
}

/* Asks for what a block that is begun will read and write at its end: it may be in memory. */
static void fetch_ends(const fkp_split_product *p, const finisher *before) {
    if (p->apart != NULL) return; /* in a worker's own memory */
    const bool residual = p->epilogue != NULL && p->epilogue->residual != NULL;
    const size_t stride = p->out_stride, residual_stride = residual ? p->epilogue->residual_stride : 0;
    const size_t x = before->x + before->rows, first = before->line * p->width + x;
    const float *out = p->out + before->line * p->line_stride + x * stride;
    for (size_t r = 0; r < BLOCK_ROWS; r++)
        for (size_t c = 0; c < p->columns; c += 16) {
            __builtin_prefetch(out + r * stride + c, 1, 3);
            if (residual) __builtin_prefetch(p->epilogue->residual + (first + r) * residual_stride + c, 0, 3);
        }
}

/* ---- blocks ---- */

/* Adds steps [begin, end), of which each is a tap of a chunk, to the sums of the block that begins at `row`.
 * While the tiles multiply, the vectors finish the block before. */
FKP_ALWAYS_INLINE void add_steps(const fkp_split_product *p, size_t row, size_t begin, size_t end,
                                 const bool wide, const bool three, float *sums, fetcher *next,
                                 finisher *before) {
    const size_t tile = wide ? 4 * TILE : 2 * TILE,
                 finished = (before->rows + end - begin - 1) / (end - begin);
    const size_t bytes = p->row_step * 2 * DEPTH * sizeof(uint16_t);
    const size_t second = TILE_ROWS * p->row_step * 2 * DEPTH;
    const uint16_t *filters = p->filters + begin * tile;
    const uint16_t *in = p->in + begin / p->tap_count * p->chunk_step + row * p->row_step * 2 * DEPTH;
    size_t tap = begin % p->tap_count;
    begin_sums(sums, wide, three, begin == 0);
    for (size_t step = begin; step < end; step++, filters += tile) {
        fetch(next);
        const uint16_t *rows = in + p->taps[tap] * 2 * DEPTH;
        if (three)
            add_products_of_three(rows, bytes, second, filters, wide);
        else
            add_products_of_two(rows, bytes, second, filters, wide);
        if (before->rows > 0) finish_rows(p, before, finished);
        if (++tap == p->tap_count) {
            tap = 0;
            in += p->chunk_step;
        }
    }
    end_sums(sums, wide, three);
}

/* Blocks that use the filters of some steps before the next ones: filters, rows and sums then stay in the
 * first-level cache. With one tap each step has rows of its own. Where there are few blocks, all steps in one
 * go. */
enum { GROUP_BLOCKS = 8, FEW_BLOCKS = 3, PASS_STEPS = 9, PASS_STEPS_OF_ONE_TAP = 4 };

static size_t pass_steps(const fkp_split_product *p, size_t blocks) {
    if (blocks < FEW_BLOCKS) return p->chunks * p->tap_count;
    return p->tap_count > 1 ? PASS_STEPS : PASS_STEPS_OF_ONE_TAP;
}

FKP_ALWAYS_INLINE void multiply_panel(const fkp_split_product *p, const bool wide) {
    _Alignas(64) float sums[(2 * GROUP_BLOCKS + 1) * ROW_TILE];
    const size_t rows = (p->lines - 1) * p->pitch + p->width, tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    const size_t blocks = tiles == 1 ? 1 : tiles / 2, three_at = tiles % 2 == 1 ? tiles / 2 - 1 : SIZE_MAX;
    const size_t steps = p->chunks * p->tap_count, lines = steps * (wide ? 4 : 2) * TILE / DEPTH / STREAMS;
    fetcher next = {.at = p->next, .stream = lines * DEPTH, .lines = p->next == NULL ? 0 : lines};
    next.each = (lines + steps * blocks - 1) / (steps * blocks);
    const size_t pass = pass_steps(p, blocks);
    finisher before = {NULL, 0, 0, 0};
    for (size_t group = 0; group < blocks; group += GROUP_BLOCKS) {
        const size_t group_end = blocks - group < GROUP_BLOCKS ? blocks : group + GROUP_BLOCKS;
        for (size_t begin = 0; begin < steps; begin += pass) {
            const size_t end = steps - begin < pass ? steps : begin + pass;
            for (size_t block = group; block < group_end; block++) {
                float *block_sums = sums + (block - group) * 2 * ROW_TILE;
                const size_t row = block * BLOCK_ROWS;
                if (end == steps) fetch_ends(p, &before);
                if (block == three_at)
                    add_steps(p, row, begin, end, wide, true, block_sums, &next, &before);
                else
                    add_steps(p, row, begin, end, wide, false, block_sums, &next, &before);
                if (end < steps) continue;
                before.sums = block_sums;
                before.rows = block == three_at ? 3 * TILE_ROWS : BLOCK_ROWS;
            }
        }
    }
    finish_rows(p, &before, before.rows);
}

static void multiply(const fkp_split_product *p) {
    configure();
    if (p->columns > 16)
        multiply_panel(p, true);
    else
        multiply_panel(p, false);
    _tile_release();
}

void fkp_register_amx(fkp_kernels *kernels) {
    kernels->split = (fkp_split_record){"split_bf16x3_amx", 6.0, split_rows, pack, multiply};
}
