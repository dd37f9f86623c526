/* Winograd's minimal filtering F(m x m, r x r) (Lavin & Gray, Fast Algorithms for Convolutional Neural
 * Networks, CVPR 2016), by Toom and Cook's construction from interpolation points a_0 … a_(n-2) and infinity,
 * n = m + r - 1:
 *
 *   data      row i of B^T: the coefficients of prod_(j != i) (x - a_j); of infinity: of prod_j (x - a_j)
 *   filter    row i of G: (1, a_i, …, a_i^(r-1)); of infinity: (0, …, 0, 1)
 *   output    y_k = sum_i s_i a_i^k m_i (+ m_inf for k = m - 1), s_i = 1 / prod_(j != i) (a_i - a_j)
 *
 * The scales s are mostly found in G; here they cost nothing, while filters are many (winograd_product.c).
 *
 * Points in pairs +a, -a share an even and an odd half in B^T and G and a sum and a difference in A^T, which
 * is how the one-dimensional transforms below are factored. The points set the rounding error (Barabasz et
 * al., Error Analysis and Improving the Accuracy of Winograd Convolution, 2018); these were the best of a
 * search over short binary fractions, on normal data:
 *
 *   F(2,3)  0, 1, -1
 *   F(4,3)  0, 5/8, -5/8, 3/2, -3/2      half the error of the usual 0, 1, -1, 2, -2
 *   F(6,3)  0, 1, -1, 2, -2, 1/2, -1/2
 *   F(4,4)  0, 1, -1, 2, -2, 1/2         the odd one out: the other rows are those of five points, of data
 *                                        first multiplied by (x - 1/2), that is d'_j = d_(j+1) - d_j / 2
 *   F(5,3)  the same, and with them the same data transform
 *   F(4,2)  1/2, -1/2, 5/4, -5/4
 *
 * F(4,3) of stride 2: y_k = g_0 d_2k + g_1 d_(2k+1) + g_2 d_(2k+2). The even numbers and the outer taps are
 * F(4,2), five products, the odd numbers and the middle tap four: 9 instead of 12. Positions are in the order
 * of four points, odd numbers 0 to 2, infinity, odd number 3: the last two go into y_3 alone. */
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

FKP_ALWAYS_INLINE void data_4_3(const fkp_vector *d, size_t step, fkp_vector *o) {
    fkp_vector x[6];
    for (size_t i = 0; i < 6; i++) x[i] = d[i * step];
    const float a = 0.625f, b = 1.5f;
    fkp_vector product = v_set(a * a * b * b), minus_sum = v_set(-a * a - b * b);
    fkp_vector even_a = v_fma(x[2], v_set(-b * b), x[4]), odd_a = v_fma(x[1], v_set(-b * b), x[3]);
    fkp_vector even_b = v_fma(x[2], v_set(-a * a), x[4]), odd_b = v_fma(x[1], v_set(-a * a), x[3]);
    o[0] = v_fma(x[0], product, v_fma(x[2], minus_sum, x[4]));
    o[1] = v_fma(odd_a, v_set(a), even_a);
    o[2] = v_fma(odd_a, v_set(-a), even_a);
    o[3] = v_fma(odd_b, v_set(b), even_b);
    o[4] = v_fma(odd_b, v_set(-b), even_b);
    o[5] = v_fma(x[1], product, v_fma(x[3], minus_sum, x[5]));
}

/* Points 0, 1, -1, 2, -2 (and, in o[5], infinity) of six numbers. */
FKP_ALWAYS_INLINE void data_five_points(const fkp_vector x[6], fkp_vector o[6]) {
    fkp_vector four = v_set(4.0f), minus_four = v_set(-4.0f), minus_five = v_set(-5.0f);
    fkp_vector even1 = v_fma(x[2], minus_four, x[4]), odd1 = v_fma(x[1], minus_four, x[3]);
    fkp_vector even2 = v_sub(x[4], x[2]), odd2 = v_sub(x[3], x[1]);
    o[0] = v_fma(x[0], four, v_fma(x[2], minus_five, x[4]));
    o[1] = v_add(even1, odd1);
    o[2] = v_sub(even1, odd1);
    o[3] = v_fma(odd2, v_set(2.0f), even2);
    o[4] = v_fma(odd2, v_set(-2.0f), even2);
    o[5] = v_fma(x[1], four, v_fma(x[3], minus_five, x[5]));
}

/* F(4,4) and F(5,3). */
FKP_ALWAYS_INLINE void data_4_4(const fkp_vector *d, size_t step, fkp_vector *o) {
    fkp_vector x[6], five[6], minus_half = v_set(-0.5f);
    for (size_t i = 0; i < 6; i++) x[i] = v_fma(d[i * step], minus_half, d[(i + 1) * step]);
    fkp_vector half = v_fma(d[step], v_set(4.0f), v_fma(d[3 * step], v_set(-5.0f), d[5 * step]));
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
    fkp_vector odd2 = v_fma(x[1], quarter, v_fma(x[3], v_set(-1.25f), x[5]));
    fkp_vector even3 = v_fma(x[2], four, v_fma(x[4], v_set(-5.0f), x[6]));
    fkp_vector odd3 = v_fma(x[1], four, v_fma(x[3], v_set(-5.0f), x[5]));
    o[0] = v_fma(v_sub(x[2], x[4]), c, v_sub(x[6], x[0]));
    o[1] = v_add(even1, odd1);
    o[2] = v_sub(even1, odd1);
    o[3] = v_fma(odd2, v_set(2.0f), even2);
    o[4] = v_fma(odd2, v_set(-2.0f), even2);
    o[5] = v_fma(odd3, v_set(0.5f), even3);
    o[6] = v_fma(odd3, v_set(-0.5f), even3);
    o[7] = v_fma(v_sub(x[3], x[5]), c, v_sub(x[7], x[1]));
}

FKP_ALWAYS_INLINE void data_4_3_2(const fkp_vector *d, size_t step, fkp_vector *o) {
    fkp_vector x[5];
    for (size_t i = 0; i < 5; i++) x[i] = d[2 * i * step];
    const float a = 0.5f, b = 1.25f;
    fkp_vector even_a = v_fma(x[1], v_set(-b * b), x[3]), odd_a = v_fma(x[0], v_set(-b * b), x[2]);
    fkp_vector even_b = v_fma(x[1], v_set(-a * a), x[3]), odd_b = v_fma(x[0], v_set(-a * a), x[2]);
    o[0] = v_fma(odd_a, v_set(a), even_a);
    o[1] = v_fma(odd_a, v_set(-a), even_a);
    o[2] = v_fma(odd_b, v_set(b), even_b);
    o[3] = v_fma(odd_b, v_set(-b), even_b);
    for (size_t k = 0; k < 3; k++) o[4 + k] = d[(2 * k + 1) * step];
    o[7] = v_fma(x[0], v_set(a * a * b * b), v_fma(x[2], v_set(-a * a - b * b), x[4]));
    o[8] = d[7 * step];
}

/* ---- one-dimensional output transforms, from m[0 … n-1] with the given step to y[0 … m-1] ---- */

/* What the points +a and -a give: y_k += a^k (s+ m+ + s- m-) for even k, a^k (s+ m+ - s- m-) for odd k. */
typedef struct pair {
    fkp_vector sum, difference;
} pair;
/* Of points of one scale, which is left to the user. */
FKP_ALWAYS_INLINE pair pair_of(const fkp_vector *m, size_t step, size_t plus) {
    fkp_vector a = m[plus * step], b = m[(plus + 1) * step];
    return (pair){v_add(a, b), v_sub(a, b)};
}
FKP_ALWAYS_INLINE pair scaled_pair_of(const fkp_vector *m, size_t step, size_t plus, float s_plus,
                                      float s_minus) {
    fkp_vector a = v_mul(m[plus * step], v_set(s_plus)), b = m[(plus + 1) * step];
    return (pair){v_fma(b, v_set(s_minus), a), v_fma(b, v_set(-s_minus), a)};
}

FKP_ALWAYS_INLINE void result_2_3(const fkp_vector *m, size_t step, fkp_vector *y) {
    pair one = pair_of(m, step, 1);
    y[0] = v_sub(v_mul(one.sum, v_set(0.5f)), m[0]);
    y[1] = v_fma(one.difference, v_set(0.5f), m[3 * step]);
}

FKP_ALWAYS_INLINE void result_4_3(const fkp_vector *m, size_t step, fkp_vector *y) {
    const float a = 0.625f, b = 1.5f, s_0 = 256.0f / 225.0f, s_a = -2048.0f / 2975.0f, s_b = 128.0f / 1071.0f;
    pair pa = pair_of(m, step, 1), pb = pair_of(m, step, 3);
    y[0] = v_fma(m[0], v_set(s_0), v_fma(pb.sum, v_set(s_b), v_mul(pa.sum, v_set(s_a))));
    y[1] = v_fma(pb.difference, v_set(s_b * b), v_mul(pa.difference, v_set(s_a * a)));
    y[2] = v_fma(pb.sum, v_set(s_b * b * b), v_mul(pa.sum, v_set(s_a * a * a)));
    y[3] = v_fma(pb.difference, v_set(s_b * b * b * b),
                 v_fma(pa.difference, v_set(s_a * a * a * a), m[5 * step]));
}

/* The points of F(4,4) and F(5,3), and the results that both make of them alike. */
typedef struct odd_points {
    pair one, two;
    fkp_vector half;
} odd_points;
FKP_ALWAYS_INLINE odd_points first_three(const fkp_vector *m, size_t step, fkp_vector *y) {
    odd_points p = {.one = scaled_pair_of(m, step, 1, -1.0f / 3.0f, 1.0f / 9.0f),
                    .two = scaled_pair_of(m, step, 3, 1.0f / 36.0f, -1.0f / 60.0f),
                    .half = v_mul(m[5 * step], v_set(32.0f / 45.0f))};
    y[0] = v_add(v_fma(m[0], v_set(-0.5f), p.half), v_add(p.one.sum, p.two.sum));
    y[1] = v_fma(p.half, v_set(0.5f), v_fma(p.two.difference, v_set(2.0f), p.one.difference));
    y[2] = v_fma(p.half, v_set(0.25f), v_fma(p.two.sum, v_set(4.0f), p.one.sum));
    return p;
}

FKP_ALWAYS_INLINE void result_4_4(const fkp_vector *m, size_t step, fkp_vector *y) {
    odd_points p = first_three(m, step, y);
    y[3] = v_fma(p.half, v_set(0.125f),
                 v_fma(p.two.difference, v_set(8.0f), v_add(p.one.difference, m[6 * step])));
}

FKP_ALWAYS_INLINE void result_5_3(const fkp_vector *m, size_t step, fkp_vector *y) {
    odd_points p = first_three(m, step, y);
    y[3] = v_fma(p.half, v_set(0.125f), v_fma(p.two.difference, v_set(8.0f), p.one.difference));
    y[4] = v_fma(p.half, v_set(0.0625f), v_fma(p.two.sum, v_set(16.0f), v_add(p.one.sum, m[6 * step])));
}

/* What the three pairs of F(6,3) give to y_k, a_1 = 1, a_2 = 2, a_3 = 1/2. */
FKP_ALWAYS_INLINE fkp_vector sum_of_pairs(fkp_vector one, fkp_vector two, fkp_vector half, float two_power) {
    const float s_one = -2.0f / 9.0f, s_two = 1.0f / 90.0f, s_half = 32.0f / 45.0f;
    return v_fma(half, v_set(s_half / two_power),
                 v_fma(two, v_set(s_two * two_power), v_mul(one, v_set(s_one))));
}

FKP_ALWAYS_INLINE void result_6_3(const fkp_vector *m, size_t step, fkp_vector *y) {
    pair one = pair_of(m, step, 1), two = pair_of(m, step, 3), half = pair_of(m, step, 5);
    y[0] = v_sub(sum_of_pairs(one.sum, two.sum, half.sum, 1.0f), m[0]);
    y[1] = sum_of_pairs(one.difference, two.difference, half.difference, 2.0f);
    y[2] = sum_of_pairs(one.sum, two.sum, half.sum, 4.0f);
    y[3] = sum_of_pairs(one.difference, two.difference, half.difference, 8.0f);
    y[4] = sum_of_pairs(one.sum, two.sum, half.sum, 16.0f);
    y[5] = v_add(sum_of_pairs(one.difference, two.difference, half.difference, 32.0f), m[7 * step]);
}

FKP_ALWAYS_INLINE void result_4_3_2(const fkp_vector *m, size_t step, fkp_vector *y) {
    const float a = 0.5f, b = 1.25f, s_a = -16.0f / 21.0f, s_b = 32.0f / 105.0f; /* of a; of -a it is -s_a */
    pair pa = pair_of(m, step, 0), pb = pair_of(m, step, 2);
    y[0] = v_fma(pa.difference, v_set(s_a), v_fma(pb.difference, v_set(s_b), m[4 * step]));
    y[1] = v_fma(pa.sum, v_set(s_a * a), v_fma(pb.sum, v_set(s_b * b), m[5 * step]));
    y[2] = v_fma(pa.difference, v_set(s_a * a * a), v_fma(pb.difference, v_set(s_b * b * b), m[6 * step]));
    y[3] = v_fma(pa.sum, v_set(s_a * a * a * a),
                 v_fma(pb.sum, v_set(s_b * b * b * b), v_add(m[7 * step], m[8 * step])));
}

/* ---- data: columns first, then rows, a vector of channels at a time ---- */

/* Column j of the tile; zeros outside of the image. */
static void load_clipped(const fkp_winograd_input *in, size_t n, size_t j, size_t channel, size_t count,
                         fkp_vector *d) {
    bool outside = j < in->column_begin || j >= in->column_end;
    for (size_t i = 0; i < n; i++)
        d[i] = outside || i < in->row_begin || i >= in->row_end
                   ? v_set(0.0f)
                   : v_load_n(in->in + i * in->row_stride + j * in->pixel_stride + channel, count);
}

FKP_ALWAYS_INLINE bool is_inner(const fkp_winograd_input *in, size_t n) {
    return in->row_begin == 0 && in->row_end == n && in->column_begin == 0 && in->column_end == n;
}

/* Fetches column j of the next tile: the reads leap from row to row, which no hardware foresees, and what
 * another core wrote is far away. */
FKP_ALWAYS_INLINE void fetch_next(const fkp_winograd_input *in, size_t j, size_t channel) {
    if (j < in->next_column_begin || j >= in->next_column_end) return;
    const float *p = in->next + j * in->pixel_stride + channel;
    for (size_t i = in->next_row_begin; i < in->next_row_end; i++) __builtin_prefetch(p + i * in->row_stride);
}

/* Steps are kept apart from the struct, of which the compiler must think that every store may change it. */
#define DEFINE_INPUT(kind, n)                                                                                \
    static void input_##kind(const fkp_winograd_input *input) {                                              \
        const bool inner = is_inner(input, n);                                                               \
        const size_t row_stride = input->row_stride, pixel_stride = input->pixel_stride;                     \
        const size_t out_step = input->out_step, channels = input->channels;                                 \
        for (size_t c = 0; c < channels; c += FKP_LANES) {                                                   \
            const size_t count = v_lanes_at(c, channels);                                                    \
            const bool fetch = input->next != NULL && c % 16 == 0; /* a line of the cache is 16 floats */    \
            fkp_vector middle[n][n];                               /* [column][row] */                       \
            for (size_t j = 0; j < n; j++) {                                                                 \
                fkp_vector d[n];                                                                             \
                if (inner && count == FKP_LANES) {                                                           \
                    const float *p = input->in + j * pixel_stride + c;                                       \
                    for (size_t i = 0; i < n; i++) d[i] = v_load(p + i * row_stride);                        \
                } else {                                                                                     \
                    load_clipped(input, n, j, c, count, d);                                                  \
                }                                                                                            \
                if (fetch) fetch_next(input, j, c);                                                          \
                data_##kind(d, 1, middle[j]);                                                                \
            }                                                                                                \
            float *out = input->out + c;                                                                     \
            for (size_t i = 0; i < n; i++) {                                                                 \
                fkp_vector o[n];                                                                             \
                data_##kind(&middle[0][i], n, o);                                                            \
                for (size_t j = 0; j < n; j++, out += out_step) v_store_n(out, count, o[j]);                 \
            }                                                                                                \
        }                                                                                                    \
    }

DEFINE_INPUT(2_3, 4)
DEFINE_INPUT(4_3, 6)
DEFINE_INPUT(6_3, 8)
DEFINE_INPUT(4_4, 7)
DEFINE_INPUT(4_3_2, 9)

/* ---- results ---- */

/* What becomes of a vector of results. */
typedef struct ending {
    const fkp_winograd_output *output;
    fkp_vector bias, floor; /* floor: a lower bound, for want of an activation */
    size_t channel, count;
} ending;

/* Bias and residual of the result (i, j), and the bound. */
FKP_ALWAYS_INLINE fkp_vector finish(const ending *e, fkp_vector y, size_t i, size_t j, size_t count) {
    const fkp_epilogue *epilogue = e->output->epilogue;
    y = v_add(y, e->bias);
    if (epilogue->residual != NULL)
        y = v_add(y, v_load_n(epilogue->residual + i * e->output->residual_row_stride +
                                  j * epilogue->residual_stride + e->channel,
                              count));
    return v_max(e->floor, y);
}

/* Row i of the results, in whole vectors; `elu` is a constant. */
FKP_ALWAYS_INLINE void write_row(const ending *e, const fkp_vector *y, const size_t m, size_t i,
                                 const bool elu) {
    const fkp_winograd_output *o = e->output;
    float *out = o->out + i * o->row_stride + e->channel;
#pragma GCC unroll 6
    for (size_t j = 0; j < m; j++)
        if (j < o->columns) {
            fkp_vector result = finish(e, y[j], i, j, FKP_LANES);
            v_store(out + j * o->pixel_stride, elu ? v_elu(result) : result);
        }
}

/* The wanted results of a tile, y[i * MAX_N + j], in part of a vector, with any activation, pooled or not. */
static void write_any(const ending *e, const fkp_vector *y) {
    const fkp_winograd_output *o = e->output;
    const size_t side = o->pool ? 2 : 1;
    for (size_t i = 0; i < o->rows; i++)
        for (size_t j = 0; j < o->columns; j++) {
            fkp_vector largest = v_set(0.0f);
            for (size_t k = 0; k < side * side; k++) {
                size_t row = side * i + k / side, column = side * j + k % side;
                fkp_vector result = finish(e, y[row * MAX_N + column], row, column, e->count);
                result = v_activate(result, o->epilogue->activation);
                largest = k == 0 ? result : v_max(largest, result);
            }
            v_store_n(o->out + i * o->row_stride + j * o->pixel_stride + e->channel, e->count, largest);
        }
}

/* Most results are bounded or not, or an ELU, in whole vectors: they go to memory row by row. All others are
 * put aside for write_any(). */
typedef enum ending_kind { ENDING_BOUND, ENDING_ELU, ENDING_ANY } ending_kind;

static ending_kind ending_kind_of(const fkp_winograd_output *o, size_t count) {
    if (o->pool || count < FKP_LANES) return ENDING_ANY;
    switch (o->epilogue->activation) {
    case FKP_ACTIVATION_NONE:
    case FKP_ACTIVATION_RELU:
        return ENDING_BOUND;
    case FKP_ACTIVATION_ELU:
        return ENDING_ELU;
    case FKP_ACTIVATION_GELU:
        break;
    }
    return ENDING_ANY;
}

static ending ending_of(const fkp_winograd_output *o, size_t channel) {
    const size_t count = v_lanes_at(channel, o->channels);
    const bool relu = o->epilogue->activation == FKP_ACTIVATION_RELU;
    const float *bias = o->epilogue->bias;
    return (ending){.output = o,
                    .bias = bias == NULL ? v_set(0.0f) : v_load_n(bias + channel, count),
                    .floor = v_set(relu ? 0.0f : -__builtin_inff()),
                    .channel = channel,
                    .count = count};
}

#define DEFINE_OUTPUT(kind, n, m)                                                                            \
    FKP_ALWAYS_INLINE void results_##kind(const ending *e, const ending_kind way) {                          \
        const fkp_winograd_output *o = e->output;                                                            \
        const size_t rows = way == ENDING_ANY ? m : o->rows, in_step = o->in_step;                           \
        fkp_vector middle[n][m], y[m * MAX_N]; /* middle: [column][result row] */                            \
        for (size_t j = 0; j < n; j++) {                                                                     \
            const float *p = o->in + j * in_step + e->channel;                                               \
            fkp_vector d[n];                                                                                 \
            for (size_t i = 0; i < n; i++)                                                                   \
                d[i] = v_load_n(p + i * n * in_step, way == ENDING_ANY ? e->count : FKP_LANES);              \
            result_##kind(d, 1, middle[j]);                                                                  \
        }                                                                                                    \
        for (size_t i = 0; i < rows; i++) {                                                                  \
            fkp_vector *row = way == ENDING_ANY ? y + i * MAX_N : y;                                         \
            result_##kind(&middle[0][i], m, row);                                                            \
            if (way != ENDING_ANY) write_row(e, row, m, i, way == ENDING_ELU);                               \
        }                                                                                                    \
        if (way == ENDING_ANY) write_any(e, y);                                                              \
    }                                                                                                        \
    static void output_##kind(const fkp_winograd_output *output) {                                           \
        static const fkp_epilogue none = {NULL, NULL, 0, FKP_ACTIVATION_NONE};                               \
        fkp_winograd_output o = *output;                                                                     \
        if (o.epilogue == NULL) o.epilogue = &none;                                                          \
        for (size_t c = 0; c < o.channels; c += FKP_LANES) {                                                 \
            const ending e = ending_of(&o, c);                                                               \
            switch (ending_kind_of(&o, e.count)) {                                                           \
            case ENDING_BOUND:                                                                               \
                results_##kind(&e, ENDING_BOUND);                                                            \
                break;                                                                                       \
            case ENDING_ELU:                                                                                 \
                results_##kind(&e, ENDING_ELU);                                                              \
                break;                                                                                       \
            case ENDING_ANY:                                                                                 \
                results_##kind(&e, ENDING_ANY);                                                              \
                break;                                                                                       \
            }                                                                                                \
        }                                                                                                    \
    }

DEFINE_OUTPUT(2_3, 4, 2)
DEFINE_OUTPUT(4_3, 6, 4)
DEFINE_OUTPUT(5_3, 7, 5)
DEFINE_OUTPUT(6_3, 8, 6)
DEFINE_OUTPUT(4_4, 7, 4)
DEFINE_OUTPUT(4_3_2, 9, 4)

#if defined(FKP_SIMD_avx512)
#define RECORD_NAME(kind) "winograd_f32_" #kind "_avx512"
#elif defined(FKP_SIMD_avx2)
#define RECORD_NAME(kind) "winograd_f32_" #kind "_avx2"
#else
#define RECORD_NAME(kind) "winograd_f32_" #kind "_portable"
#endif
#define RECORD(kind, data_kind, m, r, s, n, filter_n)                                                        \
    (fkp_winograd_record) {                                                                                  \
        RECORD_NAME(kind), m, r, s, n, filter_n, input_##data_kind, NULL, NULL, output_##kind                \
    }

void FKP_NAME(register_winograd)(fkp_kernels *kernels) {
    fkp_winograd_record *records = kernels->winograd;
    records[FKP_WINOGRAD_2_3] = RECORD(2_3, 2_3, 2, 3, 1, 4, 4);
    records[FKP_WINOGRAD_4_3] = RECORD(4_3, 4_3, 4, 3, 1, 6, 6);
    records[FKP_WINOGRAD_5_3] = RECORD(5_3, 4_4, 5, 3, 1, 7, 7);
    records[FKP_WINOGRAD_6_3] = RECORD(6_3, 6_3, 6, 3, 1, 8, 8);
    records[FKP_WINOGRAD_4_4] = RECORD(4_4, 4_4, 4, 4, 1, 7, 7);
    records[FKP_WINOGRAD_4_3_2] = RECORD(4_3_2, 4_3_2, 4, 3, 2, 9, 6);
}
