#include <math.h>

#include "image/image.h"

fkp_affine fkp_affine_multiply(fkp_affine second, fkp_affine first) {
    return (fkp_affine){second.a * first.a + second.b * first.d,
                        second.a * first.b + second.b * first.e,
                        second.a * first.c + second.b * first.f + second.c,
                        second.d * first.a + second.e * first.d,
                        second.d * first.b + second.e * first.e,
                        second.d * first.c + second.e * first.f + second.f};
}

bool fkp_affine_invert(fkp_affine map, fkp_affine *inverse) {
    const double determinant = map.a * map.e - map.b * map.d;
    const double a = map.e / determinant, b = -map.b / determinant;
    const double d = -map.d / determinant, e = map.a / determinant;
    const fkp_affine result = {a, b, -(a * map.c + b * map.f), d, e, -(d * map.c + e * map.f)};
    /* A determinant of zero, or one too small for this map, shows as infinity or NaN in one of the sums. */
    if (!isfinite(result.a + result.b + result.c + result.d + result.e + result.f)) return false;
    *inverse = result;
    return true;
}

void fkp_affine_apply(const fkp_affine *map, double x, double y, double *px, double *py) {
    *px = map->a * x + map->b * y + map->c;
    *py = map->d * x + map->e * y + map->f;
}
