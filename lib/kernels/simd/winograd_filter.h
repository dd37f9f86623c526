/* The filters of Winograd's form, for those who make U while they use it.
 *
 * G is taken without the scale of its points (winograd.c): a row is the filter's polynomial at a point, the
 * first and the last row are coefficients as they are. */
#ifndef FKP_WINOGRAD_FILTER_H
#define FKP_WINOGRAD_FILTER_H

#include "kernels/simd/simd.h"

/* Positions a side of a tile, and rows of U, at most. */
#define MAX_N 9
#define MAX_FILTER_N 8
#define DEPTH FKP_WINOGRAD_DEPTH
/* Floats in a line of the cache. */
#define LINE 16

/* What is particular to a kind; a constant wherever it is used. */
typedef struct form {
    size_t n, r, s;             /* positions a side, size of the kernel, stride */
    size_t filter_n;            /* rows and columns of U */
    float points[MAX_FILTER_N]; /* of U's rows, as far as they are points */
    size_t filter_of[MAX_N];    /* the row or column of U for a row or column of positions */
} form;
static const form form_2_3 = {4, 3, 1, 4, {0.0f, 1.0f, -1.0f}, {0, 1, 2, 3}};
static const form form_4_3 = {6, 3, 1, 6, {0.0f, 0.625f, -0.625f, 1.5f, -1.5f}, {0, 1, 2, 3, 4, 5}};
static const form form_5_3 = {7, 3, 1, 7, {0.0f, 1.0f, -1.0f, 2.0f, -2.0f, 0.5f}, {0, 1, 2, 3, 4, 5, 6}};
static const form form_6_3 = {
    8, 3, 1, 8, {0.0f, 1.0f, -1.0f, 2.0f, -2.0f, 0.5f, -0.5f}, {0, 1, 2, 3, 4, 5, 6, 7}};
static const form form_4_4 = {7, 4, 1, 7, {0.0f, 1.0f, -1.0f, 2.0f, -2.0f, 0.5f}, {0, 1, 2, 3, 4, 5, 6}};
/* U has the four points and infinity of the outer taps, and the middle tap. */
static const form form_4_3_2 = {9, 3, 2, 6, {0.5f, -0.5f, 1.25f, -1.25f}, {0, 1, 2, 3, 5, 5, 5, 4, 5}};

/* g_0 + g_1 a + … at the point of row i, the last being infinity. Even and odd half apart: those of a and -a
 * are the same, and the compiler makes them once. Everything but g is a constant where this is expanded. */
FKP_ALWAYS_INLINE fkp_vector evaluate(const form *f, const fkp_vector *g, const size_t i) {
    const float a = f->points[i];
    if (f->s == 2) {
        if (i + 1 == f->filter_n) return g[1];
        return i + 2 == f->filter_n ? g[2] : v_fma(g[2], v_set(a), g[0]);
    }
    if (i == 0) return g[0];
    if (i + 1 == f->filter_n) return g[f->r - 1];
    fkp_vector even = v_fma(g[2], v_set(a * a), g[0]);
    fkp_vector odd = f->r == 4 ? v_fma(g[f->r - 1], v_set(a * a), g[1]) : g[1];
    return v_fma(odd, v_set(a), even);
}

/* Row i of G times one vector of filters: r numbers, one a column of the kernel. */
FKP_ALWAYS_INLINE void filter_row(const form *f, const float *filters, const size_t i, fkp_vector *middle) {
#pragma GCC unroll 4
    for (size_t x = 0; x < f->r; x++) {
        fkp_vector g[4];
#pragma GCC unroll 4
        for (size_t y = 0; y < f->r; y++) g[y] = v_load(filters + (y * f->r + x) * FKP_LANES);
        middle[x] = evaluate(f, g, i);
    }
}

#if defined(FKP_SIMD_avx512)
/* F(4,3)'s products of four tiles, an image of 7 x 7 (winograd_four.c); false: it is something else, and
 * nothing is done. */
bool FKP_NAME(winograd_four_tiles)(const fkp_winograd_product *product);
#endif

#endif
