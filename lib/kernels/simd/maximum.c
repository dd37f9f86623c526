/* Max pooling, a row of windows at a time, with the bias and the activation that may wait until then. */
#include "kernels/simd/register.h"
#include "kernels/simd/simd.h"

/* Vectors of channels that pass over a window together: they share the loops over its pixels. */
#define VECTORS 4

/* Pixels [begin, end) of the rows, `vectors` vectors of channels from `channel` on; of the last one n lanes.
 */
FKP_ALWAYS_INLINE void window_maximum(const fkp_maxima *row, size_t begin, size_t end, size_t channel,
                                      const size_t vectors, size_t n, float *out,
                                      const fkp_activation activation) {
    fkp_vector largest[VECTORS];
    for (size_t v = 0; v < vectors; v++)
        largest[v] = v_load_n(row->rows[0] + begin * row->in_stride + channel + v * FKP_LANES, n);
    for (size_t r = 0; r < row->row_count; r++) {
        const float *pixel = row->rows[r] + begin * row->in_stride + channel;
        for (size_t x = begin; x < end; x++, pixel += row->in_stride)
#pragma GCC unroll 4
            for (size_t v = 0; v < vectors; v++)
                largest[v] = v_max(largest[v], v_load_n(pixel + v * FKP_LANES, n));
    }
    for (size_t v = 0; v < vectors; v++) {
        size_t first = channel + v * FKP_LANES;
        fkp_vector bias = row->bias == NULL ? v_set(0.0f) : v_load_n(row->bias + first, n);
        v_store_n(out + first, n, v_activate(v_add(largest[v], bias), activation));
    }
}

FKP_ALWAYS_INLINE void maximum_as(const fkp_maxima *row, const fkp_activation activation) {
    const size_t block = VECTORS * FKP_LANES;
    for (size_t p = 0; p < row->pixels; p++) {
        size_t from = p * row->stride, to = from + row->size - row->padding;
        size_t begin = from < row->padding ? 0 : from - row->padding, end = to < row->width ? to : row->width;
        float *out = row->out + p * row->out_stride;
        size_t c = 0;
        for (; c + block <= row->channels; c += block)
            window_maximum(row, begin, end, c, VECTORS, FKP_LANES, out, activation);
        for (; c + FKP_LANES <= row->channels; c += FKP_LANES)
            window_maximum(row, begin, end, c, 1, FKP_LANES, out, activation);
        if (c < row->channels) window_maximum(row, begin, end, c, 1, row->channels - c, out, activation);
    }
}

static void maximum(const fkp_maxima *row) {
#define MAXIMUM(kind) maximum_as(row, kind)
    FKP_FOR_EACH_ACTIVATION(row->activation, MAXIMUM)
#undef MAXIMUM
}

void FKP_NAME(register_maximum)(fkp_kernels *kernels) { kernels->maximum = maximum; }
