#include <string.h>

#include "weights/weights.h"

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float fkp_half_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = (half >> 10) & 31, fraction = half & 0x3ff;
    if (exponent == 31) return float_of(sign | 0x7f800000 | fraction << 13);
    if (exponent != 0) return float_of(sign | (exponent + 112) << 23 | fraction << 13);
    float magnitude = (float)fraction * 0x1p-24f; /* zero and denormals; exact */
    return float_of(sign | bits_of(magnitude));
}

/* Drops the lowest `shift` bits, to nearest, ties to even. */
static uint32_t round_shift(uint32_t value, uint32_t shift) {
    uint32_t half_way = UINT32_C(1) << (shift - 1);
    uint32_t kept = value >> shift, dropped = value & ((half_way << 1) - 1);
    return kept + (dropped > half_way || (dropped == half_way && (kept & 1)));
}

uint16_t fkp_float_to_half(float value) {
    uint32_t bits = bits_of(value);
    uint16_t sign = (uint16_t)((bits >> 16) & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);  /* NaN, made quiet */
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* 65520 and above round to infinity */
    if (magnitude >= 0x38800000) /* normal: rounding may carry into the exponent, as it should */
        return (uint16_t)(sign | round_shift(magnitude - (UINT32_C(112) << 23), 13));
    uint32_t exponent = magnitude >> 23;
    if (exponent < 102) return sign; /* below half of the smallest denormal, 2^-25 */
    uint32_t mantissa = (magnitude & 0x7fffff) | 0x800000;
    return (uint16_t)(sign | round_shift(mantissa, 126 - exponent));
}

float fkp_bfloat16_to_float(uint16_t value) { return float_of((uint32_t)value << 16); }

uint16_t fkp_float_to_bfloat16(float value) {
    uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)round_shift(bits, 16);
}
