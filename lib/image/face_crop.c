#include "image/face_crop.h"

#include <math.h>

/* The shorter side after the resize of record. */
static const int32_t record_side = 250;

static double resized_side(int32_t side, int32_t shorter) {
    return (double)((int64_t)record_side * side / shorter);
}

fkp_affine fkp_crop_of_record(int32_t width, int32_t height, int32_t size, double left, double top) {
    const int32_t shorter = width < height ? width : height;
    const double across = resized_side(width, shorter), down = resized_side(height, shorter);
    if (left < 0.0) left = floor((across - size) / 2.0);
    if (top < 0.0) top = floor((down - size) / 2.0);
    const double scale_x = width / across, scale_y = height / down;
    return (fkp_affine){scale_x, 0.0,     scale_x * (left + 0.5) - 0.5,
                        0.0,     scale_y, scale_y * (top + 0.5) - 0.5};
}

/* The map from upright pixels to stored pixels, for an image to be turned clockwise by `rotation` degrees. */
static fkp_affine upright_to_stored(const facekp_image *image) {
    const double right = image->width - 1, bottom = image->height - 1;
    switch (image->rotation) {
    case 90:
        return (fkp_affine){0, 1, 0, -1, 0, bottom};
    case 180:
        return (fkp_affine){-1, 0, right, 0, -1, bottom};
    case 270:
        return (fkp_affine){0, -1, right, 1, 0, 0};
    default:
        return (fkp_affine){1, 0, 0, 0, 1, 0};
    }
}

fkp_affine fkp_crop_of_image(const facekp_image *image, int32_t size) {
    const bool lying = image->rotation == 90 || image->rotation == 270;
    const int32_t width = lying ? image->height : image->width;
    const int32_t height = lying ? image->width : image->height;
    return fkp_affine_multiply(upright_to_stored(image), fkp_crop_of_record(width, height, size, -1, -1));
}

facekp_status fkp_box_check(const float *box, const facekp_image *image, fkp_error *error) {
    const float x = box[0], y = box[1], width = box[2], height = box[3];
    if (!isfinite(x) || !isfinite(y) || !(width >= 1.0f && width <= FKP_MAX_BOX) ||
        !(height >= 1.0f && height <= FKP_MAX_BOX))
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "box (%g, %g, %g, %g): x and y must be finite, width and height 1 to %g", (double)x,
                        (double)y, (double)width, (double)height, (double)FKP_MAX_BOX);
    if (x >= (float)image->width || y >= (float)image->height || x + width <= 0.0f || y + height <= 0.0f)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT,
                        "box (%g, %g, %g, %g) lies outside of the %d x %d image", (double)x, (double)y,
                        (double)width, (double)height, (int)image->width, (int)image->height);
    return FACEKP_OK;
}

/* A crop's middle on which the middle of a landmark box comes to lie, as a share of the side below 1/2: faces
 * leave more room above, for the forehead, than below. Measured: 126 of 224 at a fill of 0.48. */
static double lowering(double fill) { return (1.0 - fill) / 8.0; }

/* The crop whose horizontal axis runs along the unit vector (along_x, along_y) of the image and whose centre,
 * but for the lowering, is (x, y). */
static fkp_affine crop_around(double x, double y, double along_x, double along_y, double face_side,
                              double fill, int32_t size) {
    const double scale = face_side / (fill * size);
    const double u = 0.5 * (size - 1), v = u + lowering(fill) * size;
    const double a = scale * along_x, b = -scale * along_y;
    return (fkp_affine){a, b, x - a * u - b * v, -b, a, y + b * u - a * v};
}

fkp_affine fkp_crop_of_face(const float *box, const facekp_image *image, int32_t size) {
    const fkp_affine turn = upright_to_stored(image);
    const double x = (double)box[0] + 0.5 * (double)box[2], y = (double)box[1] + 0.5 * (double)box[3];
    return crop_around(x, y, turn.a, turn.d, fmax((double)box[2], (double)box[3]), FKP_BOX_FILL, size);
}

/* The unit vector from the eye at the left of an upright face to the one at its right. */
static bool eye_line(const float *points, double *along_x, double *along_y) {
    enum { LEFT = 36, RIGHT = 42, EYE_POINTS = 6 };
    double dx = 0.0, dy = 0.0;
    for (size_t i = 0; i < EYE_POINTS; i++) {
        dx += (double)points[2 * (RIGHT + i)] - (double)points[2 * (LEFT + i)];
        dy += (double)points[2 * (RIGHT + i) + 1] - (double)points[2 * (LEFT + i) + 1];
    }
    const double length = hypot(dx, dy);
    if (!(length > 1e-3)) return false;
    *along_x = dx / length;
    *along_y = dy / length;
    return true;
}

bool fkp_crop_of_points(const float *points, size_t count, const facekp_image *image, int32_t size,
                        double fill, fkp_affine *crop) {
    const fkp_affine turn = upright_to_stored(image);
    double along_x = turn.a, along_y = turn.d;
    if (count == FACEKP_KEYPOINTS && !eye_line(points, &along_x, &along_y)) return false;
    double low_u = INFINITY, high_u = -INFINITY, low_v = INFINITY, high_v = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        const double x = (double)points[2 * i], y = (double)points[2 * i + 1];
        if (!isfinite(x) || !isfinite(y)) return false;
        const double u = x * along_x + y * along_y, v = y * along_x - x * along_y;
        low_u = fmin(low_u, u);
        high_u = fmax(high_u, u);
        low_v = fmin(low_v, v);
        high_v = fmax(high_v, v);
    }
    const double side = fmax(high_u - low_u, high_v - low_v);
    const double u = 0.5 * (low_u + high_u), v = 0.5 * (low_v + high_v);
    const double x = u * along_x - v * along_y, y = u * along_y + v * along_x;
    if (!(side >= 1.0 && side <= (double)FKP_MAX_BOX) || x < 0 || x > image->width || y < 0 ||
        y > image->height)
        return false;
    *crop = crop_around(x, y, along_x, along_y, side, fill, size);
    return true;
}
