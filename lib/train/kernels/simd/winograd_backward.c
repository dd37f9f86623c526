/* The transforms of a weight gradient in Winograd's form. The forward is y = A^T (G g G^T . B^T d B) A, with
 * the points and matrices of kernels/simd/winograd.c; so the gradient of g is
 *
 *   dg = G^T (sum over tiles of (A dy A^T) . (B^T d B)) G
 *
 * A dy is the polynomial of coefficients dy at the points (the last coefficient at infinity). G^T u adds up
 * what each point gives to each power, times s of the point. */
#include "train/kernels/simd/block.h"

#define MAX_M 6

/* ---- one-dimensional A: from x[0 … m-1] with the given step to o[0 … n-1] ---- */

/* The polynomial at +a and -a from its even and its odd part. */
FKP_ALWAYS_INLINE void both_signs(fkp_vector even, fkp_vector odd, float a, fkp_vector *o) {
    o[0] = v_fma(odd, v_set(a), even);
    o[1] = v_fma(odd, v_set(-a), even);
}
FKP_ALWAYS_INLINE void evaluate_4(const fkp_vector *x, size_t step, float a, fkp_vector *o) {
    const fkp_vector square = v_set(a * a);
    both_signs(v_fma(x[2 * step], square, x[0]), v_fma(x[3 * step], square, x[step]), a, o);
}
FKP_ALWAYS_INLINE void evaluate_5(const fkp_vector *x, size_t step, float a, fkp_vector *o) {
    const fkp_vector square = v_set(a * a);
    fkp_vector even = v_fma(v_fma(x[4 * step], square, x[2 * step]), square, x[0]);
    both_signs(even, v_fma(x[3 * step], square, x[step]), a, o);
}
FKP_ALWAYS_INLINE void evaluate_6(const fkp_vector *x, size_t step, float a, fkp_vector *o) {
    const fkp_vector square = v_set(a * a);
    fkp_vector even = v_fma(v_fma(x[4 * step], square, x[2 * step]), square, x[0]);
    fkp_vector odd = v_fma(v_fma(x[5 * step], square, x[3 * step]), square, x[step]);
    both_signs(even, odd, a, o);
}

FKP_ALWAYS_INLINE void spread_2_3(const fkp_vector *x, size_t step, fkp_vector *o) {
    o[0] = x[0];
    both_signs(x[0], x[step], 1.0f, o + 1);
    o[3] = x[step];
}
FKP_ALWAYS_INLINE void spread_4_3(const fkp_vector *x, size_t step, fkp_vector *o) {
    o[0] = x[0];
    evaluate_4(x, step, 0.625f, o + 1);
    evaluate_4(x, step, 1.5f, o + 3);
    o[5] = x[3 * step];
}
FKP_ALWAYS_INLINE void spread_5_3(const fkp_vector *x, size_t step, fkp_vector *o) {
    const fkp_vector half = v_set(0.5f);
    o[0] = x[0];
    evaluate_5(x, step, 1.0f, o + 1);
    evaluate_5(x, step, 2.0f, o + 3);
    o[5] = x[4 * step];
    for (size_t k = 4; k-- > 0;) o[5] = v_fma(o[5], half, x[k * step]);
    o[6] = x[4 * step];
}
FKP_ALWAYS_INLINE void spread_6_3(const fkp_vector *x, size_t step, fkp_vector *o) {
    o[0] = x[0];
    evaluate_6(x, step, 1.0f, o + 1);
    evaluate_6(x, step, 2.0f, o + 3);
    evaluate_6(x, step, 0.5f, o + 5);
    o[7] = x[5 * step];
}
FKP_ALWAYS_INLINE void spread_4_4(const fkp_vector *x, size_t step, fkp_vector *o) {
    const fkp_vector half = v_set(0.5f);
    o[0] = x[0];
    evaluate_4(x, step, 1.0f, o + 1);
    evaluate_4(x, step, 2.0f, o + 3);
    o[5] = v_fma(v_fma(v_fma(x[3 * step], half, x[2 * step]), half, x[step]), half, x[0]);
    o[6] = x[3 * step];
}

/* ---- one-dimensional G^T: from u[0 … n-1] with the given step to g[0 … r-1] ---- */

/* What the points +a and -a, times their s, give to even and to odd powers of a. */
typedef struct pair {
    fkp_vector sum, difference;
} pair;
FKP_ALWAYS_INLINE pair pair_of(const fkp_vector *u, size_t step, size_t plus, float s_plus, float s_minus) {
    fkp_vector a = v_mul(u[plus * step], v_set(s_plus)), b = v_mul(u[(plus + 1) * step], v_set(s_minus));
    return (pair){v_add(a, b), v_sub(a, b)};
}

FKP_ALWAYS_INLINE void gather_2_3(const fkp_vector *u, size_t step, fkp_vector *g) {
    pair one = pair_of(u, step, 1, 0.5f, 0.5f);
    g[0] = v_sub(one.sum, u[0]);
    g[1] = one.difference;
    g[2] = v_add(one.sum, u[3 * step]);
}
FKP_ALWAYS_INLINE void gather_4_3(const fkp_vector *u, size_t step, fkp_vector *g) {
    const float a = 0.625f, b = 1.5f;
    pair pa = pair_of(u, step, 1, -2048.0f / 2975.0f, -2048.0f / 2975.0f);
    pair pb = pair_of(u, step, 3, 128.0f / 1071.0f, 128.0f / 1071.0f);
    g[0] = v_fma(u[0], v_set(256.0f / 225.0f), v_add(pa.sum, pb.sum));
    g[1] = v_fma(pb.difference, v_set(b), v_mul(pa.difference, v_set(a)));
    g[2] = v_fma(pb.sum, v_set(b * b), v_fma(pa.sum, v_set(a * a), u[5 * step]));
}
FKP_ALWAYS_INLINE void gather_6_3(const fkp_vector *u, size_t step, fkp_vector *g) {
    pair one = pair_of(u, step, 1, -2.0f / 9.0f, -2.0f / 9.0f);
    pair two = pair_of(u, step, 3, 1.0f / 90.0f, 1.0f / 90.0f);
    pair half = pair_of(u, step, 5, 32.0f / 45.0f, 32.0f / 45.0f);
    g[0] = v_add(v_sub(one.sum, u[0]), v_add(two.sum, half.sum));
    g[1] = v_fma(half.difference, v_set(0.5f), v_fma(two.difference, v_set(2.0f), one.difference));
    g[2] = v_fma(half.sum, v_set(0.25f), v_fma(two.sum, v_set(4.0f), v_add(one.sum, u[7 * step])));
}
/* The points of F(4,4) and F(5,3), and what both gather alike. */
typedef struct odd_points {
    pair one, two;
    fkp_vector half;
} odd_points;
FKP_ALWAYS_INLINE odd_points first_two(const fkp_vector *u, size_t step, fkp_vector *g) {
    odd_points p = {.one = pair_of(u, step, 1, -1.0f / 3.0f, 1.0f / 9.0f),
                    .two = pair_of(u, step, 3, 1.0f / 36.0f, -1.0f / 60.0f),
                    .half = v_mul(u[5 * step], v_set(32.0f / 45.0f))};
    g[0] = v_fma(u[0], v_set(-0.5f), v_add(p.half, v_add(p.one.sum, p.two.sum)));
    g[1] = v_fma(p.half, v_set(0.5f), v_fma(p.two.difference, v_set(2.0f), p.one.difference));
    return p;
}
FKP_ALWAYS_INLINE void gather_5_3(const fkp_vector *u, size_t step, fkp_vector *g) {
    odd_points p = first_two(u, step, g);
    g[2] = v_fma(p.half, v_set(0.25f), v_fma(p.two.sum, v_set(4.0f), v_add(p.one.sum, u[6 * step])));
}
FKP_ALWAYS_INLINE void gather_4_4(const fkp_vector *u, size_t step, fkp_vector *g) {
    odd_points p = first_two(u, step, g);
    g[2] = v_fma(p.half, v_set(0.25f), v_fma(p.two.sum, v_set(4.0f), p.one.sum));
    g[3] = v_fma(p.half, v_set(0.125f),
                 v_fma(p.two.difference, v_set(8.0f), v_add(p.one.difference, u[6 * step])));
}

/* ---- in two dimensions: columns first, then rows, a vector at a time ---- */

/* Column j of dy; zeros beyond the tile's part of the image. */
FKP_ALWAYS_INLINE void load_column(const fkp_winograd_spread *s, size_t m, size_t j, size_t c, size_t lanes,
                                   fkp_vector *x) {
    const float *d = s->d_out + j * s->pixel_stride + c;
    for (size_t i = 0; i < m; i++)
        x[i] = i < s->rows && j < s->columns ? v_load_n(d + i * s->row_stride, lanes) : v_set(0.0f);
}

#define DEFINE_SPREAD(kind, n, m)                                                                            \
    static void winograd_spread_##kind(const fkp_winograd_spread *s) {                                       \
        for (size_t c = 0; c < s->channels; c += FKP_LANES) {                                                \
            const size_t lanes = v_lanes_at(c, s->channels);                                                 \
            fkp_vector middle[m][n];                                                                         \
            for (size_t j = 0; j < m; j++) {                                                                 \
                fkp_vector x[MAX_M];                                                                         \
                load_column(s, m, j, c, lanes, x);                                                           \
                spread_##kind(x, 1, middle[j]);                                                              \
            }                                                                                                \
            for (size_t i = 0; i < n; i++) {                                                                 \
                fkp_vector o[n];                                                                             \
                spread_##kind(&middle[0][i], n, o);                                                          \
                float *out = s->out + i * n * s->out_step + c;                                               \
                for (size_t j = 0; j < n; j++) v_store_n(out + j * s->out_step, lanes, o[j]);                \
            }                                                                                                \
        }                                                                                                    \
    }

DEFINE_SPREAD(2_3, 4, 2)
DEFINE_SPREAD(4_3, 6, 4)
DEFINE_SPREAD(5_3, 7, 5)
DEFINE_SPREAD(6_3, 8, 6)
DEFINE_SPREAD(4_4, 7, 4)

#define DEFINE_GATHER(kind, n, r)                                                                            \
    static void winograd_gather_##kind(const fkp_winograd_gather *gather) {                                  \
        for (size_t f = 0; f < gather->count; f += FKP_LANES) {                                              \
            const size_t lanes = v_lanes_at(f, gather->count);                                               \
            fkp_vector middle[n][r];                                                                         \
            for (size_t j = 0; j < n; j++) {                                                                 \
                fkp_vector u[n];                                                                             \
                for (size_t i = 0; i < n; i++)                                                               \
                    u[i] = v_load_n(gather->in + (i * n + j) * gather->in_step + f, lanes);                  \
                gather_##kind(u, 1, middle[j]);                                                              \
            }                                                                                                \
            for (size_t y = 0; y < r; y++) {                                                                 \
                fkp_vector g[r];                                                                             \
                gather_##kind(&middle[0][y], r, g);                                                          \
                float *out = gather->out + y * r * gather->out_step + f;                                     \
                for (size_t x = 0; x < r; x++) v_store_n(out + x * gather->out_step, lanes, g[x]);           \
            }                                                                                                \
        }                                                                                                    \
    }

DEFINE_GATHER(2_3, 4, 3)
DEFINE_GATHER(4_3, 6, 3)
DEFINE_GATHER(5_3, 7, 3)
DEFINE_GATHER(6_3, 8, 3)
DEFINE_GATHER(4_4, 7, 4)

#define RECORD(kind)                                                                                         \
    (fkp_winograd_backward_record) { winograd_spread_##kind, winograd_gather_##kind }

void FKP_NAME(register_train_winograd)(fkp_train_kernels *kernels) {
    kernels->winograd[FKP_WINOGRAD_2_3] = RECORD(2_3);
    kernels->winograd[FKP_WINOGRAD_4_3] = RECORD(4_3);
    kernels->winograd[FKP_WINOGRAD_5_3] = RECORD(5_3);
    kernels->winograd[FKP_WINOGRAD_6_3] = RECORD(6_3);
    kernels->winograd[FKP_WINOGRAD_4_4] = RECORD(4_4);
}
