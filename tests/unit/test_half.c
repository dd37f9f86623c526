/* binary16 and bfloat16: every half there and back, and rounding against the nearest neighbours. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "weights/weights.h"

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The value by its definition, sign * fraction * 2^exponent. */
static double half_by_definition(uint16_t half) {
    int exponent = (half >> 10) & 31, fraction = half & 0x3ff;
    double magnitude = exponent == 0 ? ldexp(fraction, -24) : ldexp(fraction + 1024, exponent - 25);
    return half & 0x8000 ? -magnitude : magnitude;
}

START_TEST(every_half_has_its_value_and_comes_back) {
    for (uint32_t i = 0; i <= 0xffff; i++) {
        uint16_t half = (uint16_t)i;
        float value = fkp_half_to_float(half);
        bool special = (half & 0x7c00) == 0x7c00;
        if (special && (half & 0x3ff) != 0) {
            ck_assert(isnan(value));
            ck_assert_uint_eq(fkp_float_to_half(value) & 0x7e00, 0x7e00);
            continue;
        }
        if (special)
            ck_assert(isinf(value) && (value < 0) == (half >> 15));
        else
            ck_assert((double)value == half_by_definition(half));
        ck_assert_uint_eq(fkp_float_to_half(value), half);
    }
}
END_TEST

/* Between neighbours a < b: below the middle to a, above to b, the middle to the even one. */
START_TEST(floats_round_to_the_nearest_half) {
    for (uint16_t half = 0; half < 0x7bff; half++) {
        double below = half_by_definition(half), above = half_by_definition((uint16_t)(half + 1));
        float middle = (float)((below + above) / 2); /* exact: one bit more than a half has */
        uint16_t even = half & 1 ? (uint16_t)(half + 1) : half;
        ck_assert_uint_eq(fkp_float_to_half(middle), even);
        ck_assert_uint_eq(fkp_float_to_half(-middle), even | 0x8000);
        ck_assert_uint_eq(fkp_float_to_half(nextafterf(middle, 0.0f)), half);
        ck_assert_uint_eq(fkp_float_to_half(nextafterf(middle, INFINITY)), half + 1);
    }
    ck_assert_uint_eq(fkp_float_to_half(65519.996f), 0x7bff);
    ck_assert_uint_eq(fkp_float_to_half(65520.0f), 0x7c00);
    ck_assert_uint_eq(fkp_float_to_half(INFINITY), 0x7c00);
    ck_assert_uint_eq(fkp_float_to_half(-1e30f), 0xfc00);
    ck_assert_uint_eq(fkp_float_to_half(1e-30f), 0);
}
END_TEST

START_TEST(bfloat16_is_the_upper_half_rounded) {
    for (uint32_t i = 0; i <= 0xffff; i++) {
        uint16_t value = (uint16_t)i;
        bool nan = (value & 0x7fff) > 0x7f80;
        ck_assert_uint_eq(bits_of(fkp_bfloat16_to_float(value)), i << 16);
        if (!nan) ck_assert_uint_eq(fkp_float_to_bfloat16(fkp_bfloat16_to_float(value)), value);
        if (nan) ck_assert(isnan(fkp_bfloat16_to_float(fkp_float_to_bfloat16(fkp_bfloat16_to_float(value)))));
    }
    ck_assert_uint_eq(fkp_float_to_bfloat16(1.00390625f), 0x3f80); /* 1 + 2^-8: a tie, to even */
    ck_assert_uint_eq(fkp_float_to_bfloat16(1.01171875f), 0x3f82); /* 1 + 3 2^-8: a tie, to even */
    ck_assert_uint_eq(fkp_float_to_bfloat16(1.0040f), 0x3f81);
    ck_assert_uint_eq(fkp_float_to_bfloat16(3.4e38f), 0x7f80);
}
END_TEST

START_TEST(random_floats_round_to_within_half_a_step) {
    fkp_random random = fkp_random_stream(1, 0, 0);
    for (int i = 0; i < 100000; i++) {
        float value =
            ldexpf(fkp_random_between(&random, -2.0f, 2.0f), (int)fkp_random_below(&random, 30) - 15);
        double step = fabs((double)value) < 0x1p-14 ? 0x1p-24 : ldexp(1.0, ilogbf(value) - 10);
        ck_assert(fabs((double)fkp_half_to_float(fkp_float_to_half(value)) - (double)value) <= step / 2);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("half");
    TCase *tests = tcase_create("half");
    tcase_add_test(tests, every_half_has_its_value_and_comes_back);
    tcase_add_test(tests, floats_round_to_the_nearest_half);
    tcase_add_test(tests, bfloat16_is_the_upper_half_rounded);
    tcase_add_test(tests, random_floats_round_to_within_half_a_step);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
