/* Convolution of one channel, a row of pixels at a time: a kernel's position is a single number of the plane,
 * read where it lies, and multiplies a vector or more of filters. The sums of a few pixels stay in registers
 * over all positions, and with 3 x 3 and 4 x 4 the compiler knows where every number is. */
#include "kernels/simd/register.h"
#include "kernels/simd/simd.h"

/* Sums of a group, pixels x vectors: up to 24 in AVX-512's registers, 12 in others'. With pooling a pixel has
 * four sums a vector, and one vector passes over the row. */
#define PIXELS 6
#define POOLED_PIXELS 3
#if defined(FKP_SIMD_avx512)
#define VECTORS 4
#else
#define VECTORS 2
#endif

/* Filters that pass over a row together, some vectors of them; of the last one n lanes. */
typedef struct filters filters;
typedef void finisher(const filters *f, const float *sums, size_t pixel, size_t pixels, size_t vectors);
struct filters {
    const fkp_plane_row *row;
    size_t column, n;
    fkp_vector bias[VECTORS];
    finisher *finish; /* of the rest of the epilogue; NULL: there is none but a lower bound */
    fkp_vector floor; /* that bound */
};

/* Residual and activation of `pixels` x `vectors` sums, on their way to memory. */
FKP_ALWAYS_INLINE void finish_as(const filters *f, const float *sums, size_t pixel, size_t pixels,
                                 size_t vectors, const fkp_activation activation) {
    const fkp_plane_row *row = f->row;
    const fkp_epilogue *epilogue = row->epilogue;
    for (size_t p = pixel; p < pixel + pixels; p++)
        for (size_t v = 0; v < vectors; v++, sums += FKP_LANES) {
            size_t column = f->column + v * FKP_LANES, n = v + 1 < vectors ? FKP_LANES : f->n;
            fkp_vector sum = v_load(sums);
            if (epilogue->residual != NULL)
                sum = v_add(sum, v_load_n(epilogue->residual + p * epilogue->residual_stride + column, n));
            v_store_n(row->out + p * row->out_stride + column, n, v_activate(sum, activation));
        }
}

/* One a kind, reached through a pointer, which keeps the compiler from copying them into every caller. */
#define DEFINE_FINISH(name, activation)                                                                      \
    static void finish_##name(const filters *f, const float *sums, size_t pixel, size_t pixels,              \
                              size_t vectors) {                                                              \
        finish_as(f, sums, pixel, pixels, vectors, activation);                                              \
    }
DEFINE_FINISH(plain, FKP_ACTIVATION_NONE)
DEFINE_FINISH(relu, FKP_ACTIVATION_RELU)
DEFINE_FINISH(elu, FKP_ACTIVATION_ELU)
DEFINE_FINISH(gelu, FKP_ACTIVATION_GELU)

static finisher *finisher_of(fkp_activation activation) {
    switch (activation) {
    case FKP_ACTIVATION_RELU:
        return finish_relu;
    case FKP_ACTIVATION_ELU:
        return finish_elu;
    case FKP_ACTIVATION_GELU:
        return finish_gelu;
    case FKP_ACTIVATION_NONE:
        break;
    }
    return finish_plain;
}

/* Adds up row y of the kernel for `rows` x `columns` pixels. */
FKP_ALWAYS_INLINE
void add_kernel_row(const filters *f, size_t pixel, size_t y, const size_t rows, const size_t columns,
                    const size_t vectors, const size_t kernel, const size_t stride, fkp_vector *sum) {
    const fkp_plane_row *row = f->row;
    const float *number = row->filters + y * kernel * row->width + f->column;
    const float *in[4 * POOLED_PIXELS];
#pragma GCC unroll 2
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (size_t c = 0; c < columns; c++)
            in[r * columns + c] = row->in + (r * stride + y) * row->in_stride + (pixel * rows + c) * stride;
#pragma GCC unroll 4
    for (size_t x = 0; x < kernel; x++, number += row->width) {
        fkp_vector filter[VECTORS];
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++) filter[v] = v_load(number + v * FKP_LANES);
#pragma GCC unroll 16
        for (size_t i = 0; i < rows * columns; i++) {
            fkp_vector value = v_set(in[i][x]);
#pragma GCC unroll 4
            for (size_t v = 0; v < vectors; v++)
                sum[i * vectors + v] = v_fma(value, filter[v], sum[i * vectors + v]);
        }
    }
}

/* The maximum of 2 x 2 sums: the next is `beside` further, the next row's `below`. */
FKP_ALWAYS_INLINE fkp_vector pooled(const fkp_vector *sum, const size_t beside, const size_t below) {
    return v_max(v_max(sum[0], sum[beside]), v_max(sum[below], sum[below + beside]));
}

/* `pixels` pixels from `pixel` on; with `pool` each is the maximum of 2 x 2 sums. `fixed`: the kernel's size,
 * at stride 1; 0: the row says both. */
FKP_ALWAYS_INLINE void group(const filters *f, size_t pixel, const size_t pixels, const size_t vectors,
                             const size_t fixed, const bool pool) {
    const fkp_plane_row *row = f->row;
    const size_t kernel = fixed == 0 ? row->kernel : fixed, stride = fixed == 0 ? row->stride : 1;
    const size_t rows = pool ? 2 : 1, columns = pool ? 2 * pixels : pixels;
    fkp_vector sum[PIXELS * VECTORS];
#pragma GCC unroll 16
    for (size_t i = 0; i < rows * columns; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++) sum[i * vectors + v] = v_set(0.0f);
    /* Unrolled too, the compiler would keep numbers for the next row, and run out of registers. */
    for (size_t y = 0; y < kernel; y++)
        add_kernel_row(f, pixel, y, rows, columns, vectors, kernel, stride, sum);

    _Alignas(64) float sums[PIXELS * VECTORS * FKP_LANES];
    float *out = row->out + pixel * row->out_stride + f->column;
#pragma GCC unroll 8
    for (size_t p = 0; p < pixels; p++)
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++) {
            fkp_vector result =
                pool ? pooled(sum + 2 * p * vectors + v, vectors, columns * vectors) : sum[p * vectors + v];
            result = v_add(result, f->bias[v]);
            if (f->finish == NULL)
                v_store_n(out + p * row->out_stride + v * FKP_LANES, v + 1 < vectors ? FKP_LANES : f->n,
                          v_max(f->floor, result));
            else
                v_store(sums + (p * vectors + v) * FKP_LANES, result);
        }
    if (f->finish != NULL) f->finish(f, sums, pixel, pixels, vectors);
}

/* All pixels, in groups of nearly the same size, at most `most`. */
FKP_ALWAYS_INLINE void groups(const filters *f, const size_t most, const size_t vectors, const size_t fixed,
                              const bool pool) {
    const size_t pixels = f->row->pixels, count = (pixels + most - 1) / most;
    for (size_t i = 0, pixel = 0; i < count; i++) {
        size_t n = pixels / count + (i < pixels % count);
        if (n == 1)
            group(f, pixel, 1, vectors, fixed, pool);
        else if (n == 2)
            group(f, pixel, 2, vectors, fixed, pool);
        else if (n == 3)
            group(f, pixel, 3, vectors, fixed, pool);
        else if (most > 3 && n == 4)
            group(f, pixel, 4, vectors, fixed, pool);
        else if (most > 3 && n == 5)
            group(f, pixel, 5, vectors, fixed, pool);
        else if (most > 3)
            group(f, pixel, 6, vectors, fixed, pool);
        pixel += n;
    }
}

/* One function each, so that the compiler allots registers to one body at a time. */
#define DEFINE_GROUPS(vectors, fixed)                                                                        \
    static void groups_##vectors##_##fixed(const filters *f) { groups(f, PIXELS, vectors, fixed, false); }
#define DEFINE_POOLED(vectors, fixed)                                                                        \
    static void pooled_##vectors##_##fixed(const filters *f) {                                               \
        groups(f, POOLED_PIXELS, vectors, fixed, true);                                                      \
    }
DEFINE_GROUPS(1, 0)
DEFINE_GROUPS(2, 0)
DEFINE_GROUPS(2, 3)
DEFINE_GROUPS(2, 4)
DEFINE_POOLED(1, 0)
DEFINE_POOLED(1, 4)
#if VECTORS == 4
DEFINE_GROUPS(4, 0)
#endif

/* How a row is cut: vectors that pass over it together, while there are so many filters left. */
typedef struct cut {
    size_t kernel, stride; /* 0: any */
    bool pool;
    size_t vectors;
    void (*pass)(const filters *f);
} cut;

/* The first that fits; the last of each kind always does. */
static const cut cuts[] = {{4, 1, true, 1, pooled_1_4},  {0, 0, true, 1, pooled_1_0},
                           {3, 1, false, 2, groups_2_3}, {4, 1, false, 2, groups_2_4},
#if VECTORS == 4
                           {0, 0, false, 4, groups_4_0},
#endif
                           {0, 0, false, 2, groups_2_0}, {0, 0, false, 1, groups_1_0}};

static const cut *cut_of(const fkp_plane_row *row, size_t vectors) {
    const cut *c = cuts;
    while (c->pool != row->pool || c->vectors > vectors ||
           (c->kernel != 0 && (c->kernel != row->kernel || c->stride != row->stride)))
        c++;
    return c;
}

static void convolve_plane(const fkp_plane_row *row) {
    static const fkp_epilogue none = {NULL, NULL, 0, FKP_ACTIVATION_NONE};
    const fkp_epilogue *epilogue = row->epilogue == NULL ? &none : row->epilogue;
    const bool bounded = epilogue->activation == FKP_ACTIVATION_RELU;
    const bool finished =
        epilogue->residual == NULL && (bounded || epilogue->activation == FKP_ACTIVATION_NONE);
    filters f = {.row = row,
                 .finish = finished ? NULL : finisher_of(epilogue->activation),
                 .floor = v_set(bounded ? 0.0f : -__builtin_inff())};
    for (size_t vectors; f.column < row->columns; f.column += vectors * FKP_LANES) {
        const cut *c = cut_of(row, (row->columns - f.column + FKP_LANES - 1) / FKP_LANES);
        vectors = c->vectors;
        for (size_t v = 0; v < vectors; v++) {
            size_t column = f.column + v * FKP_LANES;
            f.n = v_lanes_at(column, row->columns);
            f.bias[v] = epilogue->bias == NULL ? v_set(0.0f) : v_load_n(epilogue->bias + column, f.n);
        }
        c->pass(&f);
    }
}

void FKP_NAME(register_plane)(fkp_kernels *kernels) { kernels->convolve_plane = convolve_plane; }
