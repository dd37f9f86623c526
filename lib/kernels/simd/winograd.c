/* Winograd's minimal filtering F(m x m, r x r) (Lavin & Gray, Fast Algorithms for Convolutional Neural
 * Networks, CVPR 2016), by Toom and Cook's construction from interpolation points a_0 … a_(n-2) and infinity,
 * n = m + r - 1:
 *
 *   output    y_k = sum_i a_i^k m_i (+ m_inf for k = m - 1)
 *   data      row i of B^T: the coefficients of prod_(j != i) (x - a_j); of infinity: of prod_j (x - a_j)
 *   filter    row i of G: (1, a_i, …, a_i^(r-1)) / prod_(j != i) (a_i - a_j); of infinity: (0, …, 0, 1)
 *
 * Points in pairs +a, -a share an even and an odd half in B^T and a sum and a difference in A^T, which is how
 * the one-dimensional transforms below are factored. Points: 0, 1, -1, then 2, -2, then 1/2 and -1/2. F(4,4)
 * has the odd one out, 1/2: there the data is first multiplied by (x - 1/2), that is d'_j = d_(j+1) - d_j
 * / 2. */
#include "kernels/simd/register.h"
#include "kernels/simd/simd.h"

#define MAX_N 8

/* ---- one-dimensional data transforms, from d[0 … n-1] with the given step to o[0 … n-1] ---- */

FKP_ALWAYS_INLINE void data_2_3(const fkp_vector *d, size_t step, fkp_vector *o) {
    fkp_vector d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
    o[0] = v_sub(d2, d0);
    o[1] = v_add(d2, d1);
    o[2] = v_sub(d2, d1);
    o[3] = v_sub(d3, d1);
}

/* Points 0, 1, -1, 2, -2 and infinity, of six numbers. */
FKP_ALWAYS_INLINE void data_five_points(const fkp_vector d[6], fkp_vector o[6]) {
    fkp_vector four = v_set(4.0f), minus_four = v_set(-4.0f), minus_five = v_set(-5.0f), two = v_set(2.0f);
    fkp_vector even1 = v_fma(d[2], minus_four, d[4]), odd1 = v_fma(d[1], minus_four, d[3]);
    fkp_vector even2 = v_sub(d[4], d[2]), odd2 = v_mul(two, v_sub(d[3], d[1]));
    o[0] = v_fma(d[0], four, v_fma(d[2], minus_five, d[4]));
    o[1] = v_add(even1, odd1);
    o[2] = v_sub(even1, odd1);
    o[3] = v_add(even2, odd2);
    o[4] = v_sub(even2, odd2);
    o[5] = v_fma(d[1], four, v_fma(d[3], minus_five, d[5]));
}

FKP_ALWAYS_INLINE void data_4_3(const fkp_vector *d, size_t step, fkp_vector *o) {
    fkp_vector x[6];
    for (size_t i = 0; i < 6; i++) x[i] = d[i * step];
    data_five_points(x, o);
}

FKP_ALWAYS_INLINE void data_4_4(const fkp_vector *d, size_t step, fkp_vector *o) {
    fkp_vector x[6], minus_half = v_set(-0.5f);
    for (size_t i = 0; i < 6; i++) x[i] = v_fma(d[i * step], minus_half, d[(i + 1) * step]);
    fkp_vector half = v_fma(d[step], v_set(4.0f), v_fma(d[3 * step], v_set(-5.0f), d[5 * step]));
    fkp_vector five[6];
    data_five_points(x, five);
    for (size_t i = 0; i < 5; i++) o[i] = five[i];
    o[5] = half;
    o[6] = five[5];
}

FKP_ALWAYS_INLINE void data_6_3(const fkp_vector *d, size_t step, fkp_vector *o) {
    fkp_vector x[8];
    for (size_t i = 0; i < 8; i++) x[i] = d[i * step];
    fkp_vector c = v_set(5.25f), four = v_set(4.0f), quarter = v_set(0.25f);
    fkp_vector even1 = v_fma(x[4], v_set(-4.25f), v_add(x[6], x[2]));
    fkp_vector odd1 = v_fma(x[3], v_set(-4.25f), v_add(x[5], x[1]));
    fkp_vector even2 = v_fma(x[2], quarter, v_fma(x[4], v_set(-1.25f), x[6]));
    fkp_vector odd2 = v_mul(v_set(2.0f), v_fma(x[1], quarter, v_fma(x[3], v_set(-1.25f), x[5])));
    fkp_vector even3 = v_fma(x[2], four, v_fma(x[4], v_set(-5.0f), x[6]));
    fkp_vector odd3 = v_mul(v_set(0.5f), v_fma(x[1], four, v_fma(x[3], v_set(-5.0f), x[5])));
    o[0] = v_fma(v_sub(x[2], x[4]), c, v_sub(x[6], x[0]));
    o[1] = v_add(even1, odd1);
    o[2] = v_sub(even1, odd1);
    o[3] = v_add(even2, odd2);
    o[4] = v_sub(even2, odd2);
    o[5] = v_add(even3, odd3);
    o[6] = v_sub(even3, odd3);
    o[7] = v_fma(v_sub(x[3], x[5]), c, v_sub(x[7], x[1]));
}

/* ---- one-dimensional output transforms, from m[0 … n-1] with the given step to y[0 … m-1] ---- */

FKP_ALWAYS_INLINE void result_2_3(const fkp_vector *m, size_t step, fkp_vector *y) {
    y[0] = v_add(m[0], v_add(m[step], m[2 * step]));
    y[1] = v_add(v_sub(m[step], m[2 * step]), m[3 * step]);
}

FKP_ALWAYS_INLINE void result_4_3(const fkp_vector *m, size_t step, fkp_vector *y) {
    fkp_vector sum1 = v_add(m[step], m[2 * step]), difference1 = v_sub(m[step], m[2 * step]);
    fkp_vector sum2 = v_add(m[3 * step], m[4 * step]), difference2 = v_sub(m[3 * step], m[4 * step]);
    y[0] = v_add(m[0], v_add(sum1, sum2));
    y[1] = v_fma(difference2, v_set(2.0f), difference1);
    y[2] = v_fma(sum2, v_set(4.0f), sum1);
    y[3] = v_fma(difference2, v_set(8.0f), v_add(difference1, m[5 * step]));
}

FKP_ALWAYS_INLINE void result_4_4(const fkp_vector *m, size_t step, fkp_vector *y) {
    fkp_vector sum1 = v_add(m[step], m[2 * step]), difference1 = v_sub(m[step], m[2 * step]);
    fkp_vector sum2 = v_add(m[3 * step], m[4 * step]), difference2 = v_sub(m[3 * step], m[4 * step]);
    fkp_vector half = m[5 * step];
    y[0] = v_add(v_add(m[0], half), v_add(sum1, sum2));
    y[1] = v_fma(half, v_set(0.5f), v_fma(difference2, v_set(2.0f), difference1));
    y[2] = v_fma(half, v_set(0.25f), v_fma(sum2, v_set(4.0f), sum1));
    y[3] = v_fma(half, v_set(0.125f), v_fma(difference2, v_set(8.0f), v_add(difference1, m[6 * step])));
}

FKP_ALWAYS_INLINE void result_6_3(const fkp_vector *m, size_t step, fkp_vector *y) {
    fkp_vector sum1 = v_add(m[step], m[2 * step]), difference1 = v_sub(m[step], m[2 * step]);
    fkp_vector sum2 = v_add(m[3 * step], m[4 * step]), difference2 = v_sub(m[3 * step], m[4 * step]);
    fkp_vector sum3 = v_add(m[5 * step], m[6 * step]), difference3 = v_sub(m[5 * step], m[6 * step]);
    y[0] = v_add(v_add(m[0], sum1), v_add(sum2, sum3));
    y[1] = v_fma(difference3, v_set(0.5f), v_fma(difference2, v_set(2.0f), difference1));
    y[2] = v_fma(sum3, v_set(0.25f), v_fma(sum2, v_set(4.0f), sum1));
    y[3] = v_fma(difference3, v_set(0.125f), v_fma(difference2, v_set(8.0f), difference1));
    y[4] = v_fma(sum3, v_set(0.0625f), v_fma(sum2, v_set(16.0f), sum1));
    y[5] = v_fma(difference3, v_set(0.03125f),
                 v_fma(difference2, v_set(32.0f), v_add(difference1, m[7 * step])));
}

/* ---- two-dimensional, a vector of channels at a time ---- */

typedef struct window {
    const fkp_winograd_input *input;
    size_t channel, count; /* first channel, and how many of the vector's lanes are channels */
} window;

/* Element (i, j) of the tile; zeros outside of the image. */
FKP_ALWAYS_INLINE fkp_vector element(const window *w, size_t i, size_t j) {
    const fkp_winograd_input *in = w->input;
    if (i < in->row_begin || i >= in->row_end || j < in->column_begin || j >= in->column_end)
        return v_set(0.0f);
    const float *p = in->in + i * in->row_stride + j * in->pixel_stride + w->channel;
    return w->count == FKP_LANES ? v_load(p) : v_load_part(p, w->count);
}

FKP_ALWAYS_INLINE bool is_inner(const fkp_winograd_input *in, size_t n) {
    return in->row_begin == 0 && in->row_end == n && in->column_begin == 0 && in->column_end == n;
}

/* Columns first, then rows; `transform` is one of the data transforms. */
#define DEFINE_INPUT(kind, n)                                                                                \
    static void input_##kind(const fkp_winograd_input *input) {                                              \
        const bool inner = is_inner(input, n);                                                               \
        for (size_t c = 0; c < input->channels; c += FKP_LANES) {                                            \
            size_t left = input->channels - c;                                                               \
            window w = {input, c, left < FKP_LANES ? left : FKP_LANES};                                      \
            fkp_vector middle[n][n]; /* [column][row] */                                                     \
            for (size_t j = 0; j < n; j++) {                                                                 \
                fkp_vector d[n];                                                                             \
                if (inner && w.count == FKP_LANES) {                                                         \
                    const float *p = input->in + j * input->pixel_stride + c;                                \
                    for (size_t i = 0; i < n; i++) d[i] = v_load(p + i * input->row_stride);                 \
                } else {                                                                                     \
                    for (size_t i = 0; i < n; i++) d[i] = element(&w, i, j);                                 \
                }                                                                                            \
                data_##kind(d, 1, middle[j]);                                                                \
            }                                                                                                \
            for (size_t i = 0; i < n; i++) {                                                                 \
                fkp_vector o[n];                                                                             \
                data_##kind(&middle[0][i], n, o);                                                            \
                float *out = input->out + i * n * input->out_step + c;                                       \
                if (w.count == FKP_LANES)                                                                    \
                    for (size_t j = 0; j < n; j++) v_store(out + j * input->out_step, o[j]);                 \
                else                                                                                         \
                    for (size_t j = 0; j < n; j++) v_store_part(out + j * input->out_step, w.count, o[j]);   \
            }                                                                                                \
        }                                                                                                    \
    }

DEFINE_INPUT(2_3, 4)
DEFINE_INPUT(4_3, 6)
DEFINE_INPUT(6_3, 8)
DEFINE_INPUT(4_4, 7)

/* Bias, residual and activation of the result (i, j). */
FKP_ALWAYS_INLINE fkp_vector finish(const fkp_winograd_output *output, fkp_vector y, fkp_vector bias,
                                    size_t i, size_t j, size_t channel, size_t count) {
    const fkp_epilogue *epilogue = output->epilogue;
    y = v_add(y, bias);
    if (epilogue->residual != NULL)
        y = v_add(y, v_load_part(epilogue->residual + i * output->residual_row_stride +
                                     j * epilogue->residual_stride + channel,
                                 count));
    return v_activate(y, epilogue->activation);
}

/* Writes the wanted part of m x m results, y[i * MAX_N + j], for one vector of channels. */
static void write_results(const fkp_winograd_output *output, const fkp_vector *y, size_t channel,
                          size_t count) {
    static const fkp_epilogue none = {NULL, NULL, 0, FKP_ACTIVATION_NONE};
    fkp_winograd_output o = *output;
    if (o.epilogue == NULL) o.epilogue = &none;
    fkp_vector bias = o.epilogue->bias == NULL ? v_set(0.0f) : v_load_part(o.epilogue->bias + channel, count);
    for (size_t i = 0; i < o.rows; i++)
        for (size_t j = 0; j < o.columns; j++) {
            fkp_vector result;
            if (o.pool) {
                const fkp_vector *p = y + 2 * i * MAX_N + 2 * j;
                result = v_max(v_max(finish(&o, p[0], bias, 2 * i, 2 * j, channel, count),
                                     finish(&o, p[1], bias, 2 * i, 2 * j + 1, channel, count)),
                               v_max(finish(&o, p[MAX_N], bias, 2 * i + 1, 2 * j, channel, count),
                                     finish(&o, p[MAX_N + 1], bias, 2 * i + 1, 2 * j + 1, channel, count)));
            } else {
                result = finish(&o, y[i * MAX_N + j], bias, i, j, channel, count);
            }
            v_store_part(o.out + i * o.row_stride + j * o.pixel_stride + channel, count, result);
        }
}

#define DEFINE_OUTPUT(kind, n, m)                                                                            \
    static void output_##kind(const fkp_winograd_output *output) {                                           \
        for (size_t c = 0; c < output->channels; c += FKP_LANES) {                                           \
            size_t left = output->channels - c, count = left < FKP_LANES ? left : FKP_LANES;                 \
            fkp_vector middle[n][m]; /* [column][result row] */                                              \
            for (size_t j = 0; j < n; j++) {                                                                 \
                const float *p = output->in + j * output->in_step + c;                                       \
                fkp_vector d[n];                                                                             \
                if (count == FKP_LANES)                                                                      \
                    for (size_t i = 0; i < n; i++) d[i] = v_load(p + i * n * output->in_step);               \
                else                                                                                         \
                    for (size_t i = 0; i < n; i++) d[i] = v_load_part(p + i * n * output->in_step, count);   \
                result_##kind(d, 1, middle[j]);                                                              \
            }                                                                                                \
            fkp_vector y[m * MAX_N];                                                                         \
            for (size_t i = 0; i < m; i++) result_##kind(&middle[0][i], m, y + i * MAX_N);                   \
            write_results(output, y, c, count);                                                              \
        }                                                                                                    \
    }

DEFINE_OUTPUT(2_3, 4, 2)
DEFINE_OUTPUT(4_3, 6, 4)
DEFINE_OUTPUT(6_3, 8, 6)
DEFINE_OUTPUT(4_4, 7, 4)

#if defined(FKP_SIMD_avx512)
#define RECORD_NAME(kind) "winograd_f32_" #kind "_avx512"
#elif defined(FKP_SIMD_avx2)
#define RECORD_NAME(kind) "winograd_f32_" #kind "_avx2"
#else
#define RECORD_NAME(kind) "winograd_f32_" #kind "_portable"
#endif

void FKP_NAME(register_winograd)(fkp_kernels *kernels) {
    fkp_winograd_record *records = kernels->winograd;
    records[FKP_WINOGRAD_2_3] = (fkp_winograd_record){RECORD_NAME(2x3), 2, 3, input_2_3, output_2_3};
    records[FKP_WINOGRAD_4_3] = (fkp_winograd_record){RECORD_NAME(4x3), 4, 3, input_4_3, output_4_3};
    records[FKP_WINOGRAD_6_3] = (fkp_winograd_record){RECORD_NAME(6x3), 6, 3, input_6_3, output_6_3};
    records[FKP_WINOGRAD_4_4] = (fkp_winograd_record){RECORD_NAME(4x4), 4, 4, input_4_4, output_4_4};
}
