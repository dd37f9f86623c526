/* Winograd's transforms as their definition has them: the matrices made from the points (simd/winograd.c says
 * how), and two plain products in double. */
#include "kernels/reference/reference.h"

enum { MAX_N = FKP_REFERENCE_WINOGRAD_N };

static const struct {
    size_t m, r;
    double points[MAX_N - 1];
} kinds[] = {[FKP_WINOGRAD_2_3] = {2, 3, {0, 1, -1}},
             [FKP_WINOGRAD_4_3] = {4, 3, {0, 0.625, -0.625, 1.5, -1.5}},
             [FKP_WINOGRAD_5_3] = {5, 3, {0, 1, -1, 2, -2, 0.5}},
             [FKP_WINOGRAD_6_3] = {6, 3, {0, 1, -1, 2, -2, 0.5, -0.5}},
             [FKP_WINOGRAD_4_4] = {4, 4, {0, 1, -1, 2, -2, 0.5}}};

/* F(4, 3) of stride 2 is F(4, 2) of the even pixels and the outer two taps, and a plain product of each odd
 * pixel and the middle tap. Positions: the points of F(4, 2), odd pixels, and what only the last result
 * needs. */
enum { OUTER_POINTS = 4, ODD = 4, OUTER_INFINITY = 7, LAST_ODD = 8 };
static const double outer_points[OUTER_POINTS] = {0.5, -0.5, 1.25, -1.25};

/* Coefficients of prod (x - points[j]) over all j but `without`. */
static void polynomial(const double *points, size_t count, size_t without, double coefficients[MAX_N]) {
    for (size_t k = 0; k < MAX_N; k++) coefficients[k] = k == 0 ? 1.0 : 0.0;
    for (size_t j = 0; j < count; j++) {
        if (j == without) continue;
        for (size_t k = MAX_N - 1; k > 0; k--)
            coefficients[k] = coefficients[k - 1] - points[j] * coefficients[k];
        coefficients[0] *= -points[j];
    }
}

/* F(m, r) of stride 1. */
static void make_transforms(size_t m, size_t r, const double *points, fkp_reference_transforms *transforms) {
    size_t n = m + r - 1;
    *transforms = (fkp_reference_transforms){.n = n, .m = m, .r = r, .s = 1};
    for (size_t i = 0; i < n; i++) polynomial(points, n - 1, i, transforms->data[i]);
    for (size_t i = 0; i + 1 < n; i++) {
        double product = 1.0, power = 1.0;
        for (size_t j = 0; j + 1 < n; j++)
            if (j != i) product *= points[i] - points[j];
        for (size_t k = 0; k < n; k++, power *= points[i]) {
            if (k < r) transforms->filter[i][k] = power;
            if (k < m) transforms->result[k][i] = power / product;
        }
    }
    transforms->filter[n - 1][r - 1] = transforms->result[m - 1][n - 1] = 1.0;
}

static void make_strided_transforms(fkp_reference_transforms *transforms) {
    fkp_reference_transforms outer;
    make_transforms(4, 2, outer_points, &outer);
    *transforms = (fkp_reference_transforms){.n = 9, .m = 4, .r = 3, .s = 2};
    for (size_t i = 0; i < outer.n; i++) {
        size_t position = i < OUTER_POINTS ? i : OUTER_INFINITY;
        for (size_t k = 0; k < outer.n; k++) transforms->data[position][2 * k] = outer.data[i][k];
        for (size_t k = 0; k < outer.r; k++) transforms->filter[position][2 * k] = outer.filter[i][k];
        for (size_t k = 0; k < outer.m; k++) transforms->result[k][position] = outer.result[k][i];
    }
    for (size_t k = 0; k < transforms->m; k++) {
        size_t position = k + 1 < transforms->m ? ODD + k : LAST_ODD;
        transforms->data[position][2 * k + 1] = transforms->filter[position][1] = 1.0;
        transforms->result[k][position] = 1.0;
    }
}

void fkp_reference_winograd(fkp_winograd_kind kind, fkp_reference_transforms *transforms) {
    if (kind == FKP_WINOGRAD_4_3_2)
        make_strided_transforms(transforms);
    else
        make_transforms(kinds[kind].m, kinds[kind].r, kinds[kind].points, transforms);
}

/* (T x T^T)(i, j), x of size x size. */
static double product(double t[MAX_N][MAX_N], size_t size, double x[MAX_N][MAX_N], size_t i, size_t j) {
    double sum = 0.0;
    for (size_t k = 0; k < size; k++)
        for (size_t l = 0; l < size; l++) sum += t[i][k] * x[k][l] * t[j][l];
    return sum;
}

/* U of filter f of channel c at a position. */
static double filter_at(const fkp_winograd_product *p, fkp_reference_transforms *t, size_t c, size_t f,
                        size_t position) {
    double g[MAX_N][MAX_N];
    const float *panel =
        p->filters + f / p->granule * p->granule * t->r * t->r * p->channels + f % p->granule;
    for (size_t y = 0; y < t->r; y++)
        for (size_t x = 0; x < t->r; x++) g[y][x] = (double)panel[((c * t->r + y) * t->r + x) * p->granule];
    return product(t->filter, t->r, g, position / t->n, position % t->n);
}

/* U as [channel][filter][position]. */
static void transform(fkp_winograd_kind kind, const fkp_winograd_product *p, float *u) {
    fkp_reference_transforms t;
    fkp_reference_winograd(kind, &t);
    size_t positions = t.n * t.n;
    for (size_t k = 0; k < p->channels * p->width * positions; k++)
        u[k] = (float)filter_at(p, &t, k / positions / p->width, k / positions % p->width, k % positions);
}

static bool holds(fkp_range range, size_t tile) { return tile >= range.begin && tile < range.end; }

bool fkp_reference_winograd_wants(const fkp_winograd_product *p, const fkp_reference_transforms *t,
                                  size_t position, size_t tile) {
    return (position / t->n < t->n - t->s || holds(p->last_row, tile)) &&
           (position % t->n < t->n - t->s || holds(p->last_column, tile));
}

static void multiply(fkp_winograd_kind kind, const fkp_winograd_product *p) {
    fkp_reference_transforms t;
    fkp_reference_winograd(kind, &t);
    size_t positions = t.n * t.n;
    for (size_t k = 0; k < positions * p->tiles * p->width; k++) {
        size_t f = k % p->width, tile = k / p->width % p->tiles, position = k / p->width / p->tiles;
        if (!fkp_reference_winograd_wants(p, &t, position, tile)) continue;
        double sum = 0.0;
        for (size_t c = 0; c < p->channels; c++) {
            const float *block = p->data + (c / FKP_WINOGRAD_DEPTH * positions + position) * p->data_step;
            double u = p->transformed != NULL
                           ? (double)p->transformed[(c * p->width + f) * positions + position]
                           : filter_at(p, &t, c, f, position);
            sum += (double)block[tile * FKP_WINOGRAD_DEPTH + c % FKP_WINOGRAD_DEPTH] * u;
        }
        p->out[position * p->out_step + tile * p->width + f] = (float)sum;
    }
}

static void input(fkp_winograd_kind kind, const fkp_winograd_input *input) {
    fkp_reference_transforms t;
    fkp_reference_winograd(kind, &t);
    for (size_t c = 0; c < input->channels; c++) {
        double d[MAX_N][MAX_N];
        for (size_t i = 0; i < t.n; i++)
            for (size_t j = 0; j < t.n; j++) {
                bool inside = i >= input->row_begin && i < input->row_end && j >= input->column_begin &&
                              j < input->column_end;
                d[i][j] =
                    inside ? (double)input->in[i * input->row_stride + j * input->pixel_stride + c] : 0.0;
            }
        for (size_t i = 0; i < t.n; i++)
            for (size_t j = 0; j < t.n; j++)
                input->out[(i * t.n + j) * input->out_step + c] = (float)product(t.data, t.n, d, i, j);
    }
}

/* Result (i, j), with all that follows the sum. */
static double finished(const fkp_winograd_output *output, double sum, size_t i, size_t j, size_t channel) {
    const fkp_epilogue *epilogue = output->epilogue;
    if (epilogue == NULL) return sum;
    if (epilogue->bias != NULL) sum += (double)epilogue->bias[channel];
    if (epilogue->residual != NULL)
        sum +=
            (double)
                epilogue->residual[i * output->residual_row_stride + j * epilogue->residual_stride + channel];
    return fkp_reference_activation(sum, epilogue->activation);
}

static void output(fkp_winograd_kind kind, const fkp_winograd_output *output) {
    fkp_reference_transforms t;
    fkp_reference_winograd(kind, &t);
    size_t side = output->pool ? 2 : 1;
    for (size_t c = 0; c < output->channels; c++) {
        double m[MAX_N][MAX_N];
        for (size_t k = 0; k < t.n * t.n; k++)
            m[k / t.n][k % t.n] = (double)output->in[k * output->in_step + c];
        for (size_t i = 0; i < output->rows; i++)
            for (size_t j = 0; j < output->columns; j++) {
                double largest = 0.0;
                for (size_t k = 0; k < side * side; k++) {
                    size_t row = i * side + k / side, column = j * side + k % side;
                    double value = finished(output, product(t.result, t.n, m, row, column), row, column, c);
                    if (k == 0 || value > largest) largest = value;
                }
                output->out[i * output->row_stride + j * output->pixel_stride + c] = (float)largest;
            }
    }
}

#define DEFINE_RECORD(name, kind)                                                                            \
    static void input_##name(const fkp_winograd_input *i) { input(kind, i); }                                \
    static void transform_##name(const fkp_winograd_product *p, float *u) { transform(kind, p, u); }         \
    static void multiply_##name(const fkp_winograd_product *p) { multiply(kind, p); }                        \
    static void output_##name(const fkp_winograd_output *o) { output(kind, o); }
DEFINE_RECORD(2_3, FKP_WINOGRAD_2_3)
DEFINE_RECORD(4_3, FKP_WINOGRAD_4_3)
DEFINE_RECORD(5_3, FKP_WINOGRAD_5_3)
DEFINE_RECORD(6_3, FKP_WINOGRAD_6_3)
DEFINE_RECORD(4_4, FKP_WINOGRAD_4_4)
DEFINE_RECORD(4_3_2, FKP_WINOGRAD_4_3_2)
#define RECORD(name, m, r, s, n)                                                                             \
    (fkp_winograd_record) {                                                                                  \
        "winograd_f32_" #name "_reference", m, r, s, n, n, input_##name, transform_##name, multiply_##name,  \
            output_##name                                                                                    \
    }

void fkp_register_reference_winograd(fkp_kernels *kernels) {
    kernels->winograd_columns = kernels->winograd_rows = 1;
    kernels->winograd[FKP_WINOGRAD_2_3] = RECORD(2_3, 2, 3, 1, 4);
    kernels->winograd[FKP_WINOGRAD_4_3] = RECORD(4_3, 4, 3, 1, 6);
    kernels->winograd[FKP_WINOGRAD_5_3] = RECORD(5_3, 5, 3, 1, 7);
    kernels->winograd[FKP_WINOGRAD_6_3] = RECORD(6_3, 6, 3, 1, 8);
    kernels->winograd[FKP_WINOGRAD_4_4] = RECORD(4_4, 4, 4, 1, 7);
    kernels->winograd[FKP_WINOGRAD_4_3_2] = RECORD(4_3_2, 4, 3, 2, 9);
}
