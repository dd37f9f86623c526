/* Kernels that treat every number alike. */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "kernels/reference/reference.h"

enum { ACTIVATIONS = FKP_ACTIVATION_GELU + 1 };

/* Error of an activation itself, for an exact argument x: ELU two units in the last place of the result; GELU
 * 3.1e-7 of erf, halved, times x, and three roundings. */
static double activation_bound(fkp_activation activation, double x) {
    if (activation == FKP_ACTIVATION_ELU) return 4 * EPSILON * fabs(x < 0 ? expm1(x) : x);
    if (activation == FKP_ACTIVATION_GELU) return 2.5e-7 * fabs(x);
    return 0;
}

/* An argument that is off by `error` moves the result by no more than 1.13 times that. */
static double bound_at(fkp_activation activation, double x, double error) {
    double bound = 1.13 * error + activation_bound(activation, x);
    return bound + EPSILON * (fabs(fkp_reference_activation(x, activation)) + bound) + 1e-37;
}

/* Numbers of all sizes, some of them special. */
static guarded extremes(trial *check, size_t count) {
    static const float special[] = {0.0f,   -0.0f, 1e-40f, -1e-40f, 1e-20f, -1e-20f, 88.7f,  -87.3f,
                                    -88.8f, 3e38f, -3e38f, -104.0f, 1.0f,   -1.0f,   -5.66f, -0.35f};
    guarded block = block_create(check, count);
    for (size_t i = 0; i < count; i++) {
        float exponent = fkp_random_between(&check->random, -20.0f, 6.0f);
        float x = exp2f(exponent) * (fkp_random_below(&check->random, 2) == 0 ? 1.0f : -1.0f);
        bool pick = fkp_random_below(&check->random, 4) == 0;
        block.data[i] =
            pick ? special[fkp_random_below(&check->random, sizeof special / sizeof *special)] : x;
    }
    return block;
}

static void check_activate_length(trial *check, size_t count, fkp_activation activation, bool in_place) {
    set_label(check, "activate %d, %zu numbers%s", (int)activation, count, in_place ? ", in place" : "");
    guarded in = extremes(check, count), out = block_create(check, count),
            before = block_create(check, count);
    memcpy(before.data, in.data, count * sizeof(float));
    float *result = in_place ? in.data : out.data;
    check->kernels.activate(in.data, result, count, activation);
    for (size_t i = 0; i < count; i++) {
        double x = (double)before.data[i];
        expect_near(check, i, (double)result[i], fkp_reference_activation(x, activation),
                    bound_at(activation, x, 0));
    }
    block_free(check, &in);
    block_free(check, &out);
    block_free(check, &before);
}

/* Not-a-number stays one, infinity is as in the limit. */
static void check_activate_limits(trial *check, fkp_activation activation) {
    set_label(check, "activate %d at the limits", (int)activation);
    const float in[] = {NAN, INFINITY, -INFINITY, -NAN, 1.0f};
    float out[5];
    check->kernels.activate(in, out, 5, activation);
    for (size_t i = 0; i < 5; i++) {
        bool unbounded_gelu = activation == FKP_ACTIVATION_GELU && in[i] == -INFINITY; /* 0 times infinity */
        if (!unbounded_gelu)
            expect_near(check, i, (double)out[i], fkp_reference_activation((double)in[i], activation), 1e-6);
    }
}

void check_activate(trial *check) {
    for (int a = 0; a < ACTIVATIONS; a++) {
        for (size_t i = 0; length_at(check, i) != SIZE_MAX; i++) {
            check_activate_length(check, length_at(check, i), (fkp_activation)a, false);
            check_activate_length(check, length_at(check, i), (fkp_activation)a, true);
        }
        check_activate_limits(check, (fkp_activation)a);
    }
}

static void check_scale_shift_length(trial *check, size_t count, fkp_activation activation) {
    set_label(check, "scale_shift, %zu channels, activation %d", count, (int)activation);
    guarded in = block_random(check, count, -8.0f, 8.0f), out = block_create(check, count);
    guarded scale = block_random(check, count, -2.0f, 2.0f), shift = block_random(check, count, -1.0f, 1.0f);
    check->kernels.scale_shift(in.data, scale.data, shift.data, out.data, count, activation);
    for (size_t i = 0; i < count; i++) {
        double product = (double)in.data[i] * (double)scale.data[i], x = product + (double)shift.data[i];
        double error = EPSILON * (2 * fabs(product) + fabs((double)shift.data[i]));
        expect_near(check, i, (double)out.data[i], fkp_reference_activation(x, activation),
                    bound_at(activation, x, error));
    }
    check->kernels.scale_shift(in.data, scale.data, shift.data, in.data, count, activation);
    expect(check, memcmp(in.data, out.data, count * sizeof(float)) == 0, "in place it gave something else");
    block_free(check, &in);
    block_free(check, &out);
    block_free(check, &scale);
    block_free(check, &shift);
}

void check_scale_shift(trial *check) {
    for (int a = 0; a < ACTIVATIONS; a++)
        for (size_t i = 0; length_at(check, i) != SIZE_MAX; i++)
            check_scale_shift_length(check, length_at(check, i), (fkp_activation)a);
}

static void check_add_length(trial *check, size_t count, fkp_activation activation) {
    set_label(check, "add, %zu numbers, activation %d", count, (int)activation);
    guarded a = extremes(check, count), b = block_random(check, count, -4.0f, 4.0f);
    guarded out = block_create(check, count);
    check->kernels.add(a.data, b.data, out.data, count, activation);
    for (size_t i = 0; i < count; i++) {
        double x = (double)a.data[i] + (double)b.data[i];
        expect_near(check, i, (double)out.data[i], fkp_reference_activation(x, activation),
                    bound_at(activation, x, EPSILON * fabs(x)));
    }
    check->kernels.add(a.data, b.data, a.data, count, activation);
    expect(check, memcmp(a.data, out.data, count * sizeof(float)) == 0, "in place it gave something else");
    block_free(check, &a);
    block_free(check, &b);
    block_free(check, &out);
}

void check_add(trial *check) {
    for (int a = 0; a < ACTIVATIONS; a++)
        for (size_t i = 0; length_at(check, i) != SIZE_MAX; i++)
            check_add_length(check, length_at(check, i), (fkp_activation)a);
}

typedef struct timed {
    const trial *check;
    float *a, *b, *out;
    size_t count;
    fkp_activation activation;
} timed;

static void run_activate(void *argument) {
    const timed *t = argument;
    t->check->kernels.activate(t->a, t->out, t->count, t->activation);
}
static void run_scale_shift(void *argument) {
    const timed *t = argument;
    t->check->kernels.scale_shift(t->a, t->b, t->b, t->out, t->count, t->activation);
}
static void run_add(void *argument) {
    const timed *t = argument;
    t->check->kernels.add(t->a, t->b, t->out, t->count, t->activation);
}

void bench_elementwise(trial *check) {
    enum { COUNT = 2048 };
    guarded a = block_random(check, COUNT, -3.0f, 3.0f), b = block_random(check, COUNT, -3.0f, 3.0f);
    guarded out = block_create(check, COUNT);
    timed t = {check, a.data, b.data, out.data, COUNT, FKP_ACTIVATION_NONE};
    static const char *const names[] = {"copy", "relu", "elu", "gelu"};
    for (int i = 0; i < ACTIVATIONS; i++) {
        t.activation = (fkp_activation)i;
        report_bandwidth(check, names[i], 8.0 * COUNT, seconds_of(run_activate, &t));
    }
    t.activation = FKP_ACTIVATION_NONE;
    report_bandwidth(check, "scale_shift", 16.0 * COUNT, seconds_of(run_scale_shift, &t));
    report_bandwidth(check, "add", 12.0 * COUNT, seconds_of(run_add, &t));
    block_free(check, &a);
    block_free(check, &b);
    block_free(check, &out);
}
