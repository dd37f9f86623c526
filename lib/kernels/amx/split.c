/* Products of split numbers by the matrix tiles of AMX: tiles of 16 rows of 64 bytes, 32 bfloat16 or 16
 * float32. A block of results is two tiles by two, and stays in four of the eight tile registers over all
 * chunks and taps; twelve products of tiles, 192 cycles, go with eight loads, 64. The last block has one tile
 * of rows if their number is odd. */
#include "kernels/amx/register.h"
#include "kernels/amx/tiles.h"

/* ---- taking apart ---- */

static void split_rows(const fkp_split_rows *rows) {
    /* In rows, since what follows a row's channels may be another worker's. */
    const size_t ahead = (FKP_STREAM_AHEAD + rows->channels - 1) / rows->channels * rows->in_stride;
    for (size_t r = 0; r < rows->rows; r++) {
        const float *in = rows->in + r * rows->in_stride;
        uint16_t *out = rows->out + r * 2 * DEPTH;
        for (size_t c = 0; c < rows->channels; c += DEPTH, out += rows->chunk_step) {
            __builtin_prefetch(in + ahead + c, 0, 3);
            __builtin_prefetch(in + ahead + c + 16, 0, 3);
            split_chunk(in + c, rows->channels - c, out);
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

/* Sixteen rows of sixteen pairs, turned: a pair of every row is a line. In lanes of four pairs, first within
 * each four rows, then these fours. */
FKP_ALWAYS_INLINE void turn_pairs(const __m512i *rows, uint16_t *out) {
    __m512i fours[16];
#pragma GCC unroll 4
    for (size_t r = 0; r < 16; r += 4) {
        const __m512i a = _mm512_unpacklo_epi32(rows[r], rows[r + 1]);
        const __m512i b = _mm512_unpackhi_epi32(rows[r], rows[r + 1]);
        const __m512i c = _mm512_unpacklo_epi32(rows[r + 2], rows[r + 3]);
        const __m512i d = _mm512_unpackhi_epi32(rows[r + 2], rows[r + 3]);
        fours[r] = _mm512_unpacklo_epi64(a, c);
        fours[r + 1] = _mm512_unpackhi_epi64(a, c);
        fours[r + 2] = _mm512_unpacklo_epi64(b, d);
        fours[r + 3] = _mm512_unpackhi_epi64(b, d);
    }
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        const __m512i a = _mm512_shuffle_i32x4(fours[j], fours[4 + j], 0x88); /* lanes 0 and 2 of both */
        const __m512i b = _mm512_shuffle_i32x4(fours[8 + j], fours[12 + j], 0x88);
        const __m512i c = _mm512_shuffle_i32x4(fours[j], fours[4 + j], 0xdd); /* 1 and 3 */
        const __m512i d = _mm512_shuffle_i32x4(fours[8 + j], fours[12 + j], 0xdd);
        _mm512_storeu_si512(out + j * DEPTH, _mm512_shuffle_i32x4(a, b, 0x88));
        _mm512_storeu_si512(out + (4 + j) * DEPTH, _mm512_shuffle_i32x4(c, d, 0x88));
        _mm512_storeu_si512(out + (8 + j) * DEPTH, _mm512_shuffle_i32x4(a, b, 0xdd));
        _mm512_storeu_si512(out + (12 + j) * DEPTH, _mm512_shuffle_i32x4(c, d, 0xdd));
    }
}

/* Taken apart, a column's numbers are pairs already. */
static void turn(const float *columns, size_t stride, size_t count, uint16_t *packed) {
    __m512i high[16], low[16];
#pragma GCC unroll 16
    for (size_t j = 0; j < 16; j++) {
        const parts p = chunk_of(columns + j * stride, count);
        high[j] = p.high;
        low[j] = p.low;
    }
    turn_pairs(high, packed);
    turn_pairs(low, packed + TILE);
}

/* ---- multiplying ---- */

/* Filters that are asked for, in streams side by side, of which memory gives more than of one. */
enum { STREAMS = 8 };
typedef struct fetcher {
    const uint16_t *at;
    size_t stream;      /* from stream to stream */
    size_t lines, each; /* of a stream: left, and asked for at a time */
} fetcher;

FKP_ALWAYS_INLINE void fetch(fetcher *f) {
    for (size_t i = 0; i < f->each && f->lines > 0; i++, f->lines--, f->at += DEPTH)
#pragma GCC unroll 8
        for (size_t s = 0; s < STREAMS; s++) __builtin_prefetch(f->at + s * f->stream, 0, 2);
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

/* ---- bare sums ----
 *
 * Where nothing is to be done to results, and their rows lie at one distance, whole tiles go to memory as
 * they are. In short products, those of attention, finishing takes longer than multiplying. */

typedef struct direct_rows {
    size_t rows; /* of whole tiles; the rest is finished */
    size_t stride;
} direct_rows;

static bool is_direct(const fkp_split_product *p) {
    return p->epilogue == NULL && p->apart == NULL && p->columns % FKP_SPLIT_TILE == 0 && p->lines == 1;
}

/* Of a block's rows, from `row` on, those that are written so; a `direct` of NULL: none. */
FKP_ALWAYS_INLINE size_t rows_written(const direct_rows *direct, size_t row, size_t rows) {
    if (direct == NULL || direct->rows <= row) return 0;
    return direct->rows - row < rows ? direct->rows - row : rows;
}

#define STORE_ROWS(r, first, second)                                                                         \
    do {                                                                                                     \
        const size_t at = row + (r)*TILE_ROWS;                                                               \
        const bool whole = at < direct->rows;                                                                \
        float *to = whole ? out + at * direct->stride : sums + (r)*ROW_TILE;                                 \
        const size_t bytes = (whole ? direct->stride : FKP_SPLIT_COLUMNS) * sizeof(float);                   \
        _tile_stored(first, to, bytes);                                                                      \
        if (wide) _tile_stored(second, to + 16, bytes);                                                      \
    } while (0)

FKP_ALWAYS_INLINE void store_directly(const direct_rows *direct, float *out, size_t row, const bool wide,
                                      const bool two, float *sums) {
    STORE_ROWS(0, 0, 1);
    if (two) STORE_ROWS(1, 2, 3);
}

/* ---- blocks ---- */

/* The first step of the block that begins at `row`. */
FKP_ALWAYS_INLINE operands operands_of(const fkp_split_product *p, size_t row) {
    const size_t pixel = p->row_step * 2 * DEPTH;
    return (operands){p->in + row * pixel + p->taps[0] * 2 * DEPTH, p->filters, pixel * sizeof(uint16_t),
                      TILE_ROWS * pixel};
}

/* The sums of the block that begins at `row`, and with step `now`; the block after it begins with step
 * `after`. While the tiles multiply, the vectors finish the block before. */
FKP_ALWAYS_INLINE void multiply_block(const fkp_split_product *p, size_t row, operands now,
                                      const operands *after, const bool wide, const bool two, float *sums,
                                      fetcher *next, finisher *before, const direct_rows *direct) {
    const size_t steps = p->chunks * p->tap_count, times = two ? 2 * steps : steps;
    const size_t finished = (before->rows + times - 1) / times;
    const uint16_t *chunk = p->in + row * p->row_step * 2 * DEPTH;
    size_t tap = 0;
    clear_sums(wide, two);
    for (size_t step = 0; step < steps; step++) {
        fetch(next);
        keep_vectors_awake();
        operands next_step = *after;
        if (step + 1 < steps) {
            if (++tap == p->tap_count) {
                tap = 0;
                chunk += p->chunk_step;
            }
            next_step.rows = chunk + p->taps[tap] * 2 * DEPTH;
            next_step.filters = now.filters + (wide ? 4 * TILE : 2 * TILE);
        }
        if (two) {
            add_first_half(&now, wide);
            if (before->rows > 0) finish_rows(p, before, finished);
            add_second_half(&now, &next_step, wide);
        } else {
            add_one_by_two(&now, &next_step, wide);
        }
        if (before->rows > 0) finish_rows(p, before, finished);
        now = next_step;
    }
    if (direct != NULL)
        store_directly(direct, p->out, row, wide, two, sums);
    else
        store_sums(sums, wide, two);
}

FKP_ALWAYS_INLINE void multiply_panel(const fkp_split_product *p, const bool wide,
                                      const direct_rows *direct) {
    _Alignas(64) float sums[2][2 * ROW_TILE];
    const size_t rows = (p->lines - 1) * p->pitch + p->width, blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    const size_t steps = p->chunks * p->tap_count, lines = steps * (wide ? 4 : 2) * TILE / DEPTH / STREAMS;
    fetcher next = {.at = p->next, .stream = lines * DEPTH, .lines = p->next == NULL ? 0 : lines};
    next.each = (lines + steps * blocks - 1) / (steps * blocks);
    finisher before = {NULL, 0, 0, 0};
    if (direct != NULL) before.x = direct->rows;
    operands now = operands_of(p, 0);
    begin_steps(&now, wide);
    for (size_t block = 0; block < blocks; block++) {
        const size_t row = block * BLOCK_ROWS;
        const bool two = row + TILE_ROWS < rows;
        const operands after = operands_of(p, block + 1 < blocks ? row + BLOCK_ROWS : 0);
        if (direct == NULL) fetch_ends(p, &before);
        if (two)
            multiply_block(p, row, now, &after, wide, true, sums[block % 2], &next, &before, direct);
        else
            multiply_block(p, row, now, &after, wide, false, sums[block % 2], &next, &before, direct);
        const size_t made = two ? BLOCK_ROWS : TILE_ROWS, written = rows_written(direct, row, made);
        before.sums = sums[block % 2] + written * FKP_SPLIT_COLUMNS;
        before.rows = made - written;
        now = after;
    }
    finish_rows(p, &before, before.rows);
}

/* Lines that follow each other without a gap are one: results are finished in long runs. */
static fkp_split_product joined(const fkp_split_product *p) {
    fkp_split_product product = *p;
    const size_t stride = p->width == 1 ? p->line_stride : p->out_stride;
    if (p->pitch != p->width || p->line_stride != p->width * stride) return product;
    product.width = product.pitch = p->lines * p->width;
    product.lines = 1;
    product.out_stride = stride;
    return product;
}

FKP_ALWAYS_INLINE void multiply_columns(const fkp_split_product *p, const direct_rows *direct) {
    configure();
    if (p->columns > 16)
        multiply_panel(p, true, direct);
    else
        multiply_panel(p, false, direct);
    _tile_release();
}

/* Two functions: in one, the code of both would be slower. */
__attribute__((noinline)) static void multiply_and_finish(const fkp_split_product *p) {
    multiply_columns(p, NULL);
}
__attribute__((noinline)) static void multiply_directly(const fkp_split_product *p) {
    const direct_rows direct = {p->width / TILE_ROWS * TILE_ROWS, p->out_stride};
    multiply_columns(p, &direct);
}

static void multiply(const fkp_split_product *p) {
    const fkp_split_product product = joined(p);
    if (is_direct(&product))
        multiply_directly(&product);
    else
        multiply_and_finish(&product);
}

void fkp_register_amx(fkp_kernels *kernels) {
    kernels->split = (fkp_split_record){
        "split_bf16x3_amx", 6.0, split_rows, fkp_amx_softmax, pack, turn, multiply, fkp_amx_planes};
}
