/* Windows over an image, as max pooling takes them: by itself (pooling.c) or at the end of a convolution. */
#ifndef FKP_OPERATORS_WINDOW_H
#define FKP_OPERATORS_WINDOW_H

#include "kernels/kernels.h"

/* size 0: none. */
typedef struct fkp_window {
    size_t size, stride, padding;
} fkp_window;

/* A window has at most this many rows. */
enum { FKP_WINDOW_ROWS = 8 };

/* Windows along `length` pixels. */
static inline size_t fkp_pooled(size_t length, const fkp_window *window) {
    return window->size == 0 ? length : (length + 2 * window->padding - window->size) / window->stride + 1;
}

/* What window number `index` covers of `length` pixels; what lies outside does not count. */
static inline fkp_range fkp_window_span(const fkp_window *window, size_t length, size_t index) {
    size_t from = index * window->stride, to = from + window->size - window->padding;
    return (fkp_range){from < window->padding ? 0 : from - window->padding, to < length ? to : length};
}

#endif
