/* The softmax of some rows, taken apart. Rows side by side hide what one of them waits for: its largest
 * number, the sum of its exponentials, a division. */
#include "kernels/amx/register.h"
#include "kernels/amx/tiles.h"

enum { ROWS = 4, LANES = 16 };

/* A row's exponentials take the place of its scores, but for those of the last vector that is not whole. */
typedef struct softmax_row {
    float *scores;
    fkp_vector shift, last, inverse; /* inverse: of the sum of all */
} softmax_row;

/* The last vector may overlap the one before: a maximum does not mind. */
FKP_ALWAYS_INLINE fkp_vector last_scores(const float *row, size_t count) {
    if (count >= LANES) return v_load(row + count - LANES);
    return _mm512_mask_loadu_ps(v_set(row[0]), (__mmask16)((1u << count) - 1), row);
}

FKP_ALWAYS_INLINE void find_shifts(softmax_row *rows, const size_t n, size_t count, float scale) {
    fkp_vector largest[ROWS];
    for (size_t j = 0; j < n; j++) largest[j] = last_scores(rows[j].scores, count);
    for (size_t i = 0; i + LANES <= count; i += LANES)
        for (size_t j = 0; j < n; j++) largest[j] = v_max(largest[j], v_load(rows[j].scores + i));
    for (size_t j = 0; j < n; j++) rows[j].shift = v_set(-scale * v_largest(largest[j]));
}

FKP_ALWAYS_INLINE void find_exponentials(softmax_row *rows, const size_t n, size_t count, float scale) {
    const fkp_vector factor = v_set(scale);
    fkp_vector sums[ROWS];
    size_t i = 0;
    for (size_t j = 0; j < n; j++) sums[j] = v_set(0.0f);
    for (; i + LANES <= count; i += LANES)
        for (size_t j = 0; j < n; j++) {
            float *at = rows[j].scores + i;
            const fkp_vector e = v_exp2(v_fma(v_load(at), factor, rows[j].shift));
            v_store(at, e);
            sums[j] = v_add(sums[j], e);
        }
    const size_t tail = count - i;
    for (size_t j = 0; j < n; j++) {
        rows[j].last = v_set(0.0f);
        if (tail > 0)
            rows[j].last =
                v_keep(v_exp2(v_fma(v_load_part(rows[j].scores + i, tail), factor, rows[j].shift)), tail);
        rows[j].inverse = v_set(1.0f / v_sum(v_add(sums[j], rows[j].last)));
    }
}

/* Sixteen exponentials from number i on; zeros beyond the last. */
FKP_ALWAYS_INLINE fkp_vector exponentials_at(const softmax_row *row, size_t i, size_t count) {
    if (i + LANES <= count) return v_load(row->scores + i);
    return i < count ? row->last : v_set(0.0f);
}

/* exp by powers of two: the factor log2 e is part of the scale. */
FKP_ALWAYS_INLINE void softmax_rows(const fkp_split_softmax *s, size_t first, const size_t n) {
    const float scale = s->scale * 1.44269504f;
    const size_t count = s->columns;
    softmax_row rows[ROWS];
    for (size_t j = 0; j < n; j++) rows[j].scores = s->scores + (first + j) * s->stride;
    find_shifts(rows, n, count, scale);
    find_exponentials(rows, n, count, scale);
    uint16_t *out = s->out + first * 2 * DEPTH;
    for (size_t i = 0; i < count; i += DEPTH, out += s->chunk_step)
        for (size_t j = 0; j < n; j++) {
            const fkp_vector a = v_mul(exponentials_at(&rows[j], i, count), rows[j].inverse);
            const fkp_vector b = v_mul(exponentials_at(&rows[j], i + LANES, count), rows[j].inverse);
            const parts p = take_apart(a, b);
            _mm512_storeu_si512(out + j * 2 * DEPTH, p.high);
            _mm512_storeu_si512(out + j * 2 * DEPTH + DEPTH, p.low);
        }
}

void fkp_amx_softmax(const fkp_split_softmax *softmax) {
    size_t r = 0;
    for (; r + ROWS <= softmax->rows; r += ROWS) softmax_rows(softmax, r, ROWS);
    for (; r < softmax->rows; r++) softmax_rows(softmax, r, 1);
}
