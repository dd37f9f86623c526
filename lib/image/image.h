/* Images: bytes of any format -> gray float crops, and pictures to look at. */
#ifndef FKP_IMAGE_H
#define FKP_IMAGE_H

#include <stdbool.h>

#include "base/memory.h"

#define FKP_MAX_SIDE 32767
#define FKP_MAX_PIXELS ((size_t)256 << 20)

/* x' = a x + b y + c, y' = d x + e y + f; pixel centres at whole numbers. */
typedef struct fkp_affine {
    double a, b, c, d, e, f;
} fkp_affine;
fkp_affine fkp_affine_multiply(fkp_affine second, fkp_affine first); /* second after first */
/* False when it has no inverse. */
bool fkp_affine_invert(fkp_affine map, fkp_affine *inverse);
void fkp_affine_apply(const fkp_affine *map, double x, double y, double *px, double *py);

/* The map crop -> image of the preprocessing of record: shorter side to 250, the longer to
 * floor(250 longer / shorter), then `size` x `size` with its left upper corner at (left, top) of the resized
 * image; negative values: centred, at floor((resized - size) / 2). Resizing by s maps pixel centres by
 * u = s (x + 0.5) - 0.5. Rotation is fkp_crop_of_image()'s matter (face_crop.h). */
fkp_affine fkp_crop_of_record(int32_t width, int32_t height, int32_t size, double left, double top);

/* Checks an image of the caller's: pointers, sizes, format, stride against width, rotation. */
facekp_status fkp_image_check(const facekp_image *image, fkp_error *error);

/* Samples out[size x size] (gray, 0 to 1) at map(u, v): antialiased by the triangle filter of filter.h, whose
 * radius along an axis of the image is the map's reduction there, sqrt(a^2 + b^2) and sqrt(d^2 + e^2). Where
 * (u, v) lies outside of the image out is zero; up to there the filter's weights are those of the pixels that
 * exist, as when the whole image is resized and then cut. Colour counts by Rec. 601 luma. The image must
 * have passed fkp_image_check(). No allocation; any number of threads at a time. The one way from caller's
 * pixels to a network's input. */
void fkp_image_sample(const facekp_image *image, const fkp_affine *map, int32_t size, float *out);

/* ---- pictures ---- */

struct facekp_picture {
    fkp_memory memory;
    int32_t width, height, channels; /* 1 gray, 3 RGB */
    uint8_t *pixels;                 /* dense rows */
};

facekp_status fkp_picture_create(const fkp_memory *memory, int32_t width, int32_t height, int32_t channels,
                                 facekp_picture **picture, fkp_error *error);
void fkp_picture_free(facekp_picture *picture); /* NULL is fine */
/* Every colour type and bit depth, interlaced or not. Gray from colour is Rec. 601 luma; 16 bits are rounded
 * to 8; gamma and colour profiles are not applied, as in the training data; what is transparent is black, as
 * everything outside of an image is. */
facekp_status fkp_png_read(const fkp_memory *memory, const char *path, int32_t channels,
                           facekp_picture **picture, fkp_error *error);
/* Whole or not at all. */
facekp_status fkp_png_write(const facekp_picture *picture, const char *path, fkp_error *error);

/* draw.c, text.c, colormap.c: antialiased, clipped to the picture; rgb is 0xRRGGBB. */
void fkp_draw_disc(facekp_picture *picture, double x, double y, double radius, uint32_t rgb);
void fkp_draw_line(facekp_picture *picture, double x0, double y0, double x1, double y1, double width,
                   uint32_t rgb);
void fkp_draw_rectangle(facekp_picture *picture, int32_t x, int32_t y, int32_t width, int32_t height,
                        uint32_t rgb);
/* ASCII text in the built-in font, `scale` pixels a dot; (x, y) is its left upper corner. */
void fkp_draw_text(facekp_picture *picture, int32_t x, int32_t y, int32_t scale, const char *text,
                   uint32_t rgb);
int32_t fkp_text_width(const char *text, int32_t scale);
int32_t fkp_text_height(int32_t scale);
/* Copies `other` to (x, y); gray becomes RGB and RGB its luma where the two differ. */
void fkp_draw_picture(facekp_picture *picture, int32_t x, int32_t y, const facekp_picture *other);
/* Scaled by the triangle filter of fkp_image_sample(). */
facekp_status fkp_picture_resize(const facekp_picture *picture, int32_t width, int32_t height,
                                 facekp_picture **resized, fkp_error *error);
/* Value in [0, 1], others clamped and NaN 0, to a perceptually even colour, 0xRRGGBB: the greater, the
 * lighter. */
uint32_t fkp_colormap(float value);

/* Rec. 601 luma of 8-bit red, green and blue, times 1000: exact. */
static inline int32_t fkp_luma1000(int32_t red, int32_t green, int32_t blue) {
    return 299 * red + 587 * green + 114 * blue;
}
static inline uint8_t fkp_luma8(uint8_t red, uint8_t green, uint8_t blue) {
    return (uint8_t)((fkp_luma1000(red, green, blue) + 500) / 1000);
}

#endif
