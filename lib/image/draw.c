/* Antialiased by coverage: a pixel's share of a shape is taken from the distance of its centre to the
 * shape's edge, half a pixel either way. */
#include <math.h>

#include "image/image.h"

/* ---- one pixel ---- */

static void blend_channel(uint8_t *channel, uint32_t colour, double coverage) {
    *channel = (uint8_t)(*channel + coverage * ((double)(colour & 0xff) - *channel) + 0.5);
}

static void blend_pixel(facekp_picture *picture, int32_t x, int32_t y, uint32_t rgb, double coverage) {
    uint8_t *pixel =
        picture->pixels + ((size_t)y * (size_t)picture->width + (size_t)x) * (size_t)picture->channels;
    if (picture->channels == 1) {
        blend_channel(pixel, fkp_luma8((uint8_t)(rgb >> 16), (uint8_t)(rgb >> 8), (uint8_t)rgb), coverage);
        return;
    }
    blend_channel(pixel, rgb >> 16, coverage);
    blend_channel(pixel + 1, rgb >> 8, coverage);
    blend_channel(pixel + 2, rgb, coverage);
}

/* ---- shapes ---- */

/* The pixels [low, high] that a shape from `from` to `to` may touch, clipped to [0, size). */
static void clip(double from, double to, int32_t size, int32_t *low, int32_t *high) {
    *low = (int32_t)fmin(fmax(floor(from), 0.0), size);
    *high = (int32_t)fmin(fmax(ceil(to), -1.0), size - 1.0);
}

static double square(double x) { return x * x; }

/* How far (x, y) is from the segment from (x0, y0) to (x1, y1). */
static double segment_distance(double x, double y, double x0, double y0, double x1, double y1) {
    const double dx = x1 - x0, dy = y1 - y0;
    const double length2 = square(dx) + square(dy);
    const double along = length2 > 0.0 ? ((x - x0) * dx + (y - y0) * dy) / length2 : 0.0;
    const double t = fmin(fmax(along, 0.0), 1.0);
    return sqrt(square(x - x0 - t * dx) + square(y - y0 - t * dy));
}

void fkp_draw_line(facekp_picture *picture, double x0, double y0, double x1, double y1, double width,
                   uint32_t rgb) {
    if (!isfinite(x0 + y0 + x1 + y1) || !(width > 0.0)) return;
    const double reach = 0.5 * width + 0.5;
    int32_t left, right, top, bottom;
    clip(fmin(x0, x1) - reach, fmax(x0, x1) + reach, picture->width, &left, &right);
    clip(fmin(y0, y1) - reach, fmax(y0, y1) + reach, picture->height, &top, &bottom);
    for (int32_t y = top; y <= bottom; y++)
        for (int32_t x = left; x <= right; x++) {
            const double coverage = reach - segment_distance(x, y, x0, y0, x1, y1);
            if (coverage > 0.0) blend_pixel(picture, x, y, rgb, fmin(coverage, fmin(width, 1.0)));
        }
}

void fkp_draw_disc(facekp_picture *picture, double x, double y, double radius, uint32_t rgb) {
    fkp_draw_line(picture, x, y, x, y, 2.0 * radius, rgb);
}

void fkp_draw_rectangle(facekp_picture *picture, int32_t x, int32_t y, int32_t width, int32_t height,
                        uint32_t rgb) {
    int32_t left, right, top, bottom;
    clip(x, (double)x + width - 1.0, picture->width, &left, &right);
    clip(y, (double)y + height - 1.0, picture->height, &top, &bottom);
    for (int32_t row = top; row <= bottom; row++)
        for (int32_t column = left; column <= right; column++) blend_pixel(picture, column, row, rgb, 1.0);
}

/* ---- pictures ---- */

static void copy_pixel(uint8_t *to, int32_t to_channels, const uint8_t *from, int32_t from_channels) {
    if (to_channels == from_channels)
        for (int32_t i = 0; i < to_channels; i++) to[i] = from[i];
    else if (to_channels == 1)
        to[0] = fkp_luma8(from[0], from[1], from[2]);
    else
        to[0] = to[1] = to[2] = from[0];
}

void fkp_draw_picture(facekp_picture *picture, int32_t x, int32_t y, const facekp_picture *other) {
    int32_t left, right, top, bottom;
    clip(x, (double)x + other->width - 1.0, picture->width, &left, &right);
    clip(y, (double)y + other->height - 1.0, picture->height, &top, &bottom);
    for (int32_t row = top; row <= bottom; row++)
        for (int32_t column = left; column <= right; column++)
            copy_pixel(picture->pixels + ((size_t)row * (size_t)picture->width + (size_t)column) *
                                             (size_t)picture->channels,
                       picture->channels,
                       other->pixels + ((size_t)(row - y) * (size_t)other->width + (size_t)(column - x)) *
                                           (size_t)other->channels,
                       other->channels);
}
