/* A product of split numbers whose results are planes, see fkp_split_planes. A panel of pixels is taken apart
 * and turned to be what tiles multiply with; the tiles of rows are planes. While they multiply, the vectors
 * turn the next panel and finish the block before. */
#include "kernels/amx/register.h"
#include "kernels/amx/tiles.h"

enum { PIXELS = FKP_SPLIT_COLUMNS, SPLIT_PIXEL = 2 * DEPTH };
/* Numbers of a panel's chunk. */
enum { PANEL = 4 * TILE };

/* ---- a panel ---- */

/* Four numbers each of the rows r, r + 4, r + 8 and r + 12. */
FKP_ALWAYS_INLINE __m512i quarters(const uint16_t *row) {
    const __m128i *at = (const __m128i *)(const void *)row;
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128(at));
    v = _mm512_mask_broadcast_i32x4(v, 0x00f0, _mm_loadu_si128(at + 4 * SPLIT_PIXEL / 8));
    v = _mm512_mask_broadcast_i32x4(v, 0x0f00, _mm_loadu_si128(at + 8 * SPLIT_PIXEL / 8));
    return _mm512_mask_broadcast_i32x4(v, 0xf000, _mm_loadu_si128(at + 12 * SPLIT_PIXEL / 8));
}

/* Sixteen rows of sixteen pairs of numbers become rows of sixteen rows' pairs. */
FKP_ALWAYS_INLINE void turn_pairs(const uint16_t *rows, uint16_t *out) {
#pragma GCC unroll 4
    for (size_t pair = 0; pair < 16; pair += 4, rows += 8, out += 4 * DEPTH) {
        const __m512i a = quarters(rows), b = quarters(rows + SPLIT_PIXEL);
        const __m512i c = quarters(rows + 2 * SPLIT_PIXEL), d = quarters(rows + 3 * SPLIT_PIXEL);
        const __m512i ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d);
        const __m512i above_ab = _mm512_unpackhi_epi32(a, b), above_cd = _mm512_unpackhi_epi32(c, d);
        _mm512_storeu_si512(out, _mm512_unpacklo_epi64(ab, cd));
        _mm512_storeu_si512(out + DEPTH, _mm512_unpackhi_epi64(ab, cd));
        _mm512_storeu_si512(out + 2 * DEPTH, _mm512_unpacklo_epi64(above_ab, above_cd));
        _mm512_storeu_si512(out + 3 * DEPTH, _mm512_unpackhi_epi64(above_ab, above_cd));
    }
}

/* Sixteen pixels from `pixel` on, one of the two tiles of a panel; pixels that are not there are zeros. */
static void turn_pixels(const fkp_split_planes *p, size_t pixel, uint16_t *panel) {
    _Alignas(64) uint16_t rows[TILE_ROWS * SPLIT_PIXEL];
    for (size_t c = 0; c < p->channels; c += DEPTH, panel += PANEL) {
        for (size_t r = 0; r < TILE_ROWS; r++) {
            const bool there = pixel + r < p->pixels;
            const float *in = there ? p->in + (pixel + r) * p->in_stride + c : p->in;
            __builtin_prefetch(in + FKP_STREAM_AHEAD, 0, 3);
            __builtin_prefetch(in + FKP_STREAM_AHEAD + 16, 0, 3);
            split_chunk(in, there ? p->channels - c : 0, rows + r * SPLIT_PIXEL);
        }
        turn_pairs(rows, panel);
        turn_pairs(rows + DEPTH, panel + TILE);
    }
}

static void turn_panel(const fkp_split_planes *p, size_t pixel, uint16_t *panel) {
    turn_pixels(p, pixel, panel);
    turn_pixels(p, pixel + TILE_ROWS, panel + 2 * TILE);
}

/* ---- finishing ---- */

/* Sums of some planes at a panel's pixels. */
typedef struct block {
    float *sums;
    size_t plane, planes, pixel;
} block;

/* Finishes and writes a block, and asks for the lines that the next panel's will be written to: into the
 * second-level cache, for the first has too few places for those of all planes. */
FKP_ALWAYS_INLINE void finish_as(const fkp_split_planes *p, const block *b, const fkp_activation activation) {
    const size_t count = p->pixels - b->pixel;
    float *out = p->out + b->plane * p->out_stride + b->pixel;
    for (size_t r = 0; r < b->planes; r++, out += p->out_stride) {
        const fkp_vector bias = v_set(p->bias == NULL ? 0.0f : p->bias[b->plane + r]);
        const fkp_vector first = v_activate(v_add(v_load(b->sums + r * PIXELS), bias), activation);
        const fkp_vector second = v_activate(v_add(v_load(b->sums + r * PIXELS + 16), bias), activation);
        __builtin_prefetch(out + PIXELS, 0, 2);
        __builtin_prefetch(out + PIXELS + 16, 0, 2);
        if (count >= PIXELS) {
            v_store(out, first);
            v_store(out + 16, second);
        } else {
            v_store_n(out, count < 16 ? count : 16, first);
            if (count > 16) v_store_part(out + 16, count - 16, second);
        }
    }
}

static void finish(const fkp_split_planes *p, const block *b) {
    const fkp_activation activation = p->activation;
#define FINISH(kind) finish_as(p, b, kind)
    FKP_FOR_EACH_ACTIVATION(activation, FINISH)
#undef FINISH
}

/* ---- multiplying ---- */

/* A block's sums; it begins with step `now`, and the block after it with step `after`. */
FKP_ALWAYS_INLINE void multiply_as(const fkp_split_planes *p, operands now, const operands *after,
                                   const bool two, float *sums) {
    clear_sums(true, two);
    for (size_t c = 0; c < p->channels; c += DEPTH) {
        operands next_step = *after;
        if (c + DEPTH < p->channels) {
            next_step.rows = now.rows + p->chunk_step;
            next_step.filters = now.filters + PANEL;
        }
        if (two) {
            add_first_half(&now, true);
            add_second_half(&now, &next_step, true);
        } else {
            add_one_by_two(&now, &next_step, true);
        }
        now = next_step;
    }
    store_sums(sums, true, two);
}

static void multiply_block(const fkp_split_planes *p, const operands *first, const operands *after, bool two,
                           float *sums) {
    if (two)
        multiply_as(p, *first, after, true, sums);
    else
        multiply_as(p, *first, after, false, sums);
}

static operands operands_of(const fkp_split_planes *p, size_t plane, const uint16_t *panel) {
    return (operands){p->matrix + plane * SPLIT_PIXEL, panel, SPLIT_PIXEL * sizeof(uint16_t),
                      TILE_ROWS * SPLIT_PIXEL};
}

void fkp_amx_planes(const fkp_split_planes *p) {
    _Alignas(64) float sums[2][2 * ROW_TILE];
    const size_t blocks = (p->planes + BLOCK_ROWS - 1) / BLOCK_ROWS;
    const size_t panel_numbers = (p->channels + DEPTH - 1) / DEPTH * PANEL;
    uint16_t *panel = p->panels, *next = panel + panel_numbers;
    block before = {.sums = sums[0]}; /* of no planes */
    configure();
    turn_panel(p, 0, panel);
    operands now = operands_of(p, 0, panel);
    begin_steps(&now, true);
    for (size_t pixel = 0; pixel < p->pixels; pixel += PIXELS) {
        /* Stores reach the cache in order, and tiles are loaded from there: before the planes'. */
        if (pixel + PIXELS < p->pixels) turn_panel(p, pixel + PIXELS, next);
        for (size_t i = 0; i < blocks; i++) {
            const size_t plane = i * BLOCK_ROWS;
            const bool last = i + 1 == blocks;
            block made = {before.sums == sums[0] ? sums[1] : sums[0], plane,
                          last ? p->planes - plane : BLOCK_ROWS, pixel};
            const operands after = last ? operands_of(p, 0, next) : operands_of(p, plane + BLOCK_ROWS, panel);
            multiply_block(p, &now, &after, plane + TILE_ROWS < p->planes, made.sums);
            finish(p, &before);
            before = made;
            now = after;
        }
        uint16_t *used = panel;
        panel = next;
        next = used;
    }
    finish(p, &before);
    _tile_release();
}
