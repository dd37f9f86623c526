/* Windows over an image, as max pooling takes them: by itself (pooling.c) or at the end of a convolution. */
#ifndef FKP_OPERATORS_WINDOW_H
#define FKP_OPERATORS_WINDOW_H

#include <stddef.h>

/* size 0: none. */
typedef struct fkp_window {
    size_t size, stride, padding;
} fkp_window;

/* A window has at most this many positions. */
enum { FKP_WINDOW_POSITIONS = 64 };

/* Windows along `length` pixels. */
static inline size_t fkp_pooled(size_t length, const fkp_window *window) {
    return window->size == 0 ? length : (length + 2 * window->padding - window->size) / window->stride + 1;
}

/* The pixels of window (row, column) in an image of height x width; what lies outside does not count. `image`
 * holds rows from `first` on, pixels `stride` floats apart. Returns how many there are. */
static inline size_t fkp_window_pixels(const fkp_window *window, size_t height, size_t width, size_t row,
                                       size_t column, const float *image, size_t first, size_t stride,
                                       const float *pixels[FKP_WINDOW_POSITIONS]) {
    size_t count = 0;
    for (size_t i = 0; i < window->size; i++)
        for (size_t j = 0; j < window->size; j++) {
            /* Wraps around, and is then too large, above and left of the image. */
            size_t y = row * window->stride + i - window->padding;
            size_t x = column * window->stride + j - window->padding;
            if (y < height && x < width) pixels[count++] = image + ((y - first) * width + x) * stride;
        }
    return count;
}

#endif
