#include <math.h>

#include "image/image.h"

/* From linear light to an 8-bit sRGB channel (IEC 61966-2-1). */
static uint32_t encode(double linear) {
    const double light = fmin(fmax(linear, 0.0), 1.0);
    const double value = light <= 0.0031308 ? 12.92 * light : 1.055 * pow(light, 1.0 / 2.4) - 0.055;
    return (uint32_t)(255.0 * value + 0.5);
}

/* A path through Oklab (Ottosson: A perceptual color space for image processing, 2020), in which equal steps
 * look equally large: lightness rises evenly while the hue goes from violet over red to yellow; the chroma
 * falls to zero at the dark end and stays where sRGB has such colours. */
uint32_t fkp_colormap(float value) {
    const double t = value > 0.0f ? fmin((double)value, 1.0) : 0.0;
    const double lightness = 0.10 + 0.87 * t;
    const double hue = 5.0 + 3.0 * t; /* radians; 2 pi is red's side */
    const double chroma = 0.145 * sin(3.14159265358979 * sqrt(t) * 0.88);
    const double a = chroma * cos(hue), b = chroma * sin(hue);
    const double l = lightness + 0.3963377774 * a + 0.2158037573 * b;
    const double m = lightness - 0.1055613458 * a - 0.0638541728 * b;
    const double s = lightness - 0.0894841775 * a - 1.2914855480 * b;
    const double l3 = l * l * l, m3 = m * m * m, s3 = s * s * s;
    const uint32_t red = encode(4.0767416621 * l3 - 3.3077115913 * m3 + 0.2309699292 * s3);
    const uint32_t green = encode(-1.2684380046 * l3 + 2.6097574011 * m3 - 0.3413193965 * s3);
    const uint32_t blue = encode(-0.0041960863 * l3 - 0.7034186147 * m3 + 1.7076147010 * s3);
    return red << 16 | green << 8 | blue;
}
