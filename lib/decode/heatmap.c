#include <math.h>
#include <string.h>

#include "decode/decode.h"
#include "decode/subpixel.h"

facekp_status fkp_heatmap_options_from(const facekp_predict_options *options, fkp_heatmap_options *result,
                                       fkp_error *error) {
    enum { DEFAULT_WINDOW = 9, SMALLEST_WINDOW = 3, LARGEST_WINDOW = 31 };
    if (options->decode < FACEKP_DECODE_DEFAULT || options->decode > FACEKP_DECODE_DARK)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "decode is %d; it must be one of FACEKP_DECODE_…",
                        (int)options->decode);
    const int32_t window = options->window == 0 ? DEFAULT_WINDOW : options->window;
    if (window < SMALLEST_WINDOW || window > LARGEST_WINDOW || window % 2 == 0)
        return fkp_fail(error, FACEKP_ERROR_ARGUMENT, "window is %d; it must be odd, %d to %d, or 0 for %d",
                        (int)window, SMALLEST_WINDOW, LARGEST_WINDOW, DEFAULT_WINDOW);
    result->method = options->decode == FACEKP_DECODE_DEFAULT ? FACEKP_DECODE_SOFT_ARGMAX : options->decode;
    result->window = window;
    return FACEKP_OK;
}

/* The two loops over a whole map are in as many independent lanes as the widest vectors have, twice: plain C
 * that compilers turn into vectors, and one order of summation whatever they make of it. */
enum { LANES = 32 };

static float greatest(const float *values, size_t count) {
    float lanes[LANES];
    for (size_t i = 0; i < LANES; i++) lanes[i] = -INFINITY;
    size_t done = 0;
    for (; done + LANES <= count; done += LANES)
        for (size_t i = 0; i < LANES; i++) /* a NaN is not greater than anything */
            lanes[i] = values[done + i] > lanes[i] ? values[done + i] : lanes[i];
    for (size_t i = 0; done + i < count; i++)
        lanes[i] = values[done + i] > lanes[i] ? values[done + i] : lanes[i];
    float result = lanes[0];
    for (size_t i = 1; i < LANES; i++) result = lanes[i] > result ? lanes[i] : result;
    return result;
}

/* exp(x) for x <= 0, to 1e-5 of itself; 1e-38 below -87 and for NaN. 2^f on [-1/2, 1/2] is the polynomial
 * through its values at the Chebyshev nodes; the whole part of x / ln 2 is added to the exponent. */
static inline float fast_exp(float x) {
    const float shift = 0x1.8p23f; /* adding it rounds to whole numbers, found in the low bits */
    const float bounded = x > -87.0f ? x : -87.0f;
    const float scaled = bounded * 1.44269504f, shifted = scaled + shift;
    const float f = scaled - (shifted - shift);
    const float power = 1.0f + f * (0.69312105f + f * (0.24022349f + f * (0.05592198f + f * 0.00966637f)));
    uint32_t whole, bits;
    memcpy(&whole, &shifted, sizeof whole);
    memcpy(&bits, &power, sizeof bits);
    bits += whole << 23;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

static double sum_of_exp(const float *values, size_t count, float peak) {
    enum { BLOCK = 64 * LANES }; /* short enough for sums in float */
    double sum = 0.0;
    for (size_t begin = 0; begin < count; begin += BLOCK) {
        const size_t end = count - begin < BLOCK ? count : begin + BLOCK;
        float lanes[LANES] = {0.0f};
        size_t done = begin;
        for (; done + LANES <= end; done += LANES)
            for (size_t i = 0; i < LANES; i++) lanes[i] += fast_exp(values[done + i] - peak);
        for (size_t i = 0; done + i < end; i++) lanes[i] += fast_exp(values[done + i] - peak);
        for (size_t i = 0; i < LANES; i++) sum += (double)lanes[i];
    }
    return sum;
}

/* The share of the softmax that lies in the window around the peak. */
static float window_mass(const fkp_map *map, const fkp_peak *peak, int32_t window) {
    const int32_t radius = window / 2;
    const int32_t left = peak->x > radius ? peak->x - radius : 0;
    const int32_t top = peak->y > radius ? peak->y - radius : 0;
    const int32_t right = peak->x < map->width - radius ? peak->x + radius : map->width - 1;
    const int32_t bottom = peak->y < map->height - radius ? peak->y + radius : map->height - 1;
    double mass = 0.0;
    for (int32_t y = top; y <= bottom; y++)
        for (int32_t x = left; x <= right; x++) mass += (double)fkp_relative_softmax(map, peak, x, y);
    const size_t cells = (size_t)map->height * (size_t)map->width;
    return (float)fmin(mass / sum_of_exp(map->logits, cells, peak->logit), 1.0);
}

void fkp_decode_heatmap(const float *logits, int32_t height, int32_t width,
                        const fkp_heatmap_options *options, float *point, float *confidence) {
    const fkp_map map = {logits, height, width};
    fkp_peak peak = {0, 0, greatest(logits, (size_t)height * (size_t)width)};
    if (!isfinite(peak.logit)) {
        point[0] = point[1] = NAN;
        *confidence = 0.0f;
        return;
    }
    size_t cell = 0;
    while (logits[cell] != peak.logit) cell++;
    peak.x = (int32_t)(cell % (size_t)width);
    peak.y = (int32_t)(cell / (size_t)width);
    double x = peak.x, y = peak.y;
    if (options->method == FACEKP_DECODE_SOFT_ARGMAX) fkp_soft_argmax(&map, &peak, options->window, &x, &y);
    if (options->method == FACEKP_DECODE_DARK) fkp_dark(&map, &peak, &x, &y);
    point[0] = (float)((x + 0.5) * FKP_INPUT_CROP / width - 0.5);
    point[1] = (float)((y + 0.5) * FKP_INPUT_CROP / height - 0.5);
    *confidence = window_mass(&map, &peak, options->window);
}
