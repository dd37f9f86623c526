/* Kernels that look at a whole row, or turn rows into columns. */
#include "kernels/simd/register.h"
#include "kernels/simd/simd.h"

/* Sums over a row of what its numbers differ from `mean`, and of the squares of that. */
typedef struct deviations {
    float sum, squares;
} deviations;

/* Four vectors at a time to hide latency; the order depends on the count alone. The first of two passes asks
 * for rows further on. */
FKP_ALWAYS_INLINE deviations deviations_from(const float *row, size_t count, float mean, const bool first) {
    fkp_vector sums[4], squares[4], m = v_set(mean);
    for (int j = 0; j < 4; j++) sums[j] = squares[j] = v_set(0.0f);
    size_t i = 0;
    for (; i + 4 * FKP_LANES <= count; i += 4 * FKP_LANES)
        for (size_t j = 0; j < 4; j++) {
            if (first) __builtin_prefetch(row + i + j * FKP_LANES + FKP_STREAM_AHEAD);
            fkp_vector d = v_sub(v_load(row + i + j * FKP_LANES), m);
            sums[j] = v_add(sums[j], d);
            squares[j] = v_fma(d, d, squares[j]);
        }
    deviations result = {v_sum(v_add(v_add(sums[0], sums[1]), v_add(sums[2], sums[3]))),
                         v_sum(v_add(v_add(squares[0], squares[1]), v_add(squares[2], squares[3])))};
    for (; i < count; i++) {
        float d = row[i] - mean;
        result.sum += d;
        result.squares += d * d;
    }
    return result;
}

/* The mean is refined by the mean deviation from it, which takes the rounding of a long sum out again. So
 * small a deviation's square comes off the mean square without loss: that is the variance. */
static void layer_norm(const float *in, const float *weight, const float *bias, float epsilon, float *out,
                       size_t channels) {
    float count = (float)channels;
    float mean = deviations_from(in, channels, 0.0f, true).sum / count;
    deviations rest = deviations_from(in, channels, mean, false);
    float shift = rest.sum / count, variance = rest.squares / count - shift * shift;
    mean += shift;
    float scale = 1.0f / __builtin_sqrtf((variance < 0.0f ? 0.0f : variance) + epsilon);
    fkp_vector m = v_set(mean), s = v_set(scale);
    size_t i = 0;
    for (; i + FKP_LANES <= channels; i += FKP_LANES) {
        fkp_vector x = v_mul(v_sub(v_load(in + i), m), s);
        v_store(out + i, v_fma(x, v_load(weight + i), v_load(bias + i)));
    }
    size_t n = channels - i;
    if (n > 0) {
        fkp_vector x = v_mul(v_sub(v_load_part(in + i, n), m), s);
        v_store_part(out + i, n, v_fma(x, v_load_part(weight + i, n), v_load_part(bias + i, n)));
    }
}

/* The last vector may overlap the one before: a maximum does not mind. */
static float largest_of(const float *row, size_t count) {
    if (count < FKP_LANES) {
        float largest = row[0];
        for (size_t i = 1; i < count; i++) largest = row[i] > largest ? row[i] : largest;
        return largest;
    }
    fkp_vector even = v_load(row), odd = v_load(row + count - FKP_LANES);
    size_t i = FKP_LANES;
    for (; i + 2 * FKP_LANES <= count; i += 2 * FKP_LANES) {
        even = v_max(even, v_load(row + i));
        odd = v_max(odd, v_load(row + i + FKP_LANES));
    }
    if (i + FKP_LANES <= count) even = v_max(even, v_load(row + i));
    return v_largest(v_max(even, odd));
}

/* exp by powers of two: the factor log2 e is part of the scale. */
static void softmax(float *row, size_t count, float scale) {
    if (count == 0) return;
    scale *= 1.44269504f;
    fkp_vector s = v_set(scale), shift = v_set(-scale * largest_of(row, count)), total = v_set(0.0f);
    size_t i = 0, tail = count % FKP_LANES;
    for (; i + FKP_LANES <= count; i += FKP_LANES) {
        fkp_vector e = v_exp2(v_fma(v_load(row + i), s, shift));
        v_store(row + i, e);
        total = v_add(total, e);
    }
    fkp_vector last = v_set(0.0f);
    if (tail > 0) {
        last = v_keep(v_exp2(v_fma(v_load_part(row + i, tail), s, shift)), tail);
        total = v_add(total, last);
    }
    fkp_vector inverse = v_set(1.0f / v_sum(total));
    for (i = 0; i + FKP_LANES <= count; i += FKP_LANES) v_store(row + i, v_mul(v_load(row + i), inverse));
    if (tail > 0) v_store_part(row + i, tail, v_mul(last, inverse));
}

/* A square of SQUARE x SQUARE numbers. */
#if defined(FKP_SIMD_avx2) || defined(FKP_SIMD_avx512)
#define SQUARE 8
static void transpose_square(const float *in, size_t in_stride, float *out, size_t out_stride) {
    __m256 pairs[8], quads[8];
    for (size_t r = 0; r < 8; r += 2) { /* neighbours interleaved: rows r and r + 1 */
        __m256 a = _mm256_loadu_ps(in + r * in_stride), b = _mm256_loadu_ps(in + (r + 1) * in_stride);
        pairs[r] = _mm256_unpacklo_ps(a, b);
        pairs[r + 1] = _mm256_unpackhi_ps(a, b);
    }
    for (size_t r = 0; r < 8; r += 4) /* four rows of columns 0 and 4, 1 and 5, … */
        for (size_t half = 0; half < 2; half++) {
            __m256d a = _mm256_castps_pd(pairs[r + half]), b = _mm256_castps_pd(pairs[r + 2 + half]);
            quads[r + 2 * half] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
            quads[r + 2 * half + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
        }
    for (size_t c = 0; c < 4; c++) {
        _mm256_storeu_ps(out + c * out_stride, _mm256_permute2f128_ps(quads[c], quads[4 + c], 0x20));
        _mm256_storeu_ps(out + (4 + c) * out_stride, _mm256_permute2f128_ps(quads[c], quads[4 + c], 0x31));
    }
}
#else
#define SQUARE 4
static void transpose_square(const float *in, size_t in_stride, float *out, size_t out_stride) {
    fkp_vector rows[4];
    for (size_t r = 0; r < 4; r++) rows[r] = v_load(in + r * in_stride);
    for (size_t c = 0; c < 4; c++)
        v_store(out + c * out_stride, (fkp_vector){rows[0][c], rows[1][c], rows[2][c], rows[3][c]});
}
#endif

static void transpose(const float *in, size_t in_stride, size_t rows, size_t columns, float *out,
                      size_t out_stride) {
    size_t whole_rows = rows / SQUARE * SQUARE, whole_columns = columns / SQUARE * SQUARE;
    for (size_t c = 0; c < whole_columns; c += SQUARE)
        for (size_t r = 0; r < whole_rows; r += SQUARE)
            transpose_square(in + r * in_stride + c, in_stride, out + c * out_stride + r, out_stride);
    for (size_t c = 0; c < columns; c++)
        for (size_t r = c < whole_columns ? whole_rows : 0; r < rows; r++)
            out[c * out_stride + r] = in[r * in_stride + c];
}

void FKP_NAME(register_rowwise)(fkp_kernels *kernels) {
    kernels->layer_norm = layer_norm;
    kernels->softmax = softmax;
    kernels->transpose = transpose;
}
