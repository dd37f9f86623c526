/* Kernels that look at a whole row, or turn rows into columns. */
#include <math.h>
#include <string.h>

#include "harness.h"

/* x - mean is wrong by the rounding of the mean, of the sum of deviations that corrects it, and of x itself;
 * all of it is scaled. */
static void check_layer_norm_length(trial *check, size_t channels, float offset, float spread) {
    set_label(check, "layer_norm, %zu channels, %g +- %g", channels, (double)offset, (double)spread);
    guarded in = block_random(check, channels, offset - spread, offset + spread);
    guarded weight = block_random(check, channels, -2.0f, 2.0f);
    guarded bias = block_random(check, channels, -1.0f, 1.0f);
    guarded out = block_create(check, channels), expected = block_create(check, channels);
    const float epsilon = 1e-6f;
    check->kernels.layer_norm(in.data, weight.data, bias.data, epsilon, out.data, channels);
    check->reference.layer_norm(in.data, weight.data, bias.data, epsilon, expected.data, channels);
    double mean = 0, variance = 0;
    for (size_t i = 0; i < channels; i++) mean += (double)in.data[i] / (double)channels;
    for (size_t i = 0; i < channels; i++) variance += pow((double)in.data[i] - mean, 2) / (double)channels;
    double deviation = sqrt(variance + (double)epsilon);
    for (size_t i = 0; i < channels; i++) {
        double normalised = fabs((double)in.data[i] - mean) / deviation;
        double error = 4 * EPSILON * (fabs(mean) + deviation) / deviation +
                       ((double)channels + 8) * EPSILON * normalised;
        double bound = error * fabs((double)weight.data[i]) +
                       2 * EPSILON * (fabs((double)expected.data[i]) + fabs((double)bias.data[i]));
        expect_near(check, i, (double)out.data[i], (double)expected.data[i], bound);
    }
    check->kernels.layer_norm(in.data, weight.data, bias.data, epsilon, in.data, channels);
    expect(check, memcmp(in.data, out.data, channels * sizeof(float)) == 0,
           "in place it gave something else");
    block_free(check, &in);
    block_free(check, &weight);
    block_free(check, &bias);
    block_free(check, &out);
    block_free(check, &expected);
}

void check_layer_norm(trial *check) {
    for (size_t i = 0; length_at(check, i) != SIZE_MAX; i++) {
        check_layer_norm_length(check, length_at(check, i), 0.0f, 1.0f);
        check_layer_norm_length(check, length_at(check, i), 1000.0f, 1.0f);
        check_layer_norm_length(check, length_at(check, i), -3.0f, 1e-3f);
    }
}

/* exp's argument is rounded twice, relative to the numbers themselves, and exp is good to two units. */
static void check_softmax_length(trial *check, size_t count, float spread, float scale) {
    set_label(check, "softmax of %zu, +- %g, scale %g", count, (double)spread, (double)scale);
    guarded row = block_random(check, count, -spread, spread), expected = block_create(check, count);
    memcpy(expected.data, row.data, count * sizeof(float));
    check->kernels.softmax(row.data, count, scale);
    check->reference.softmax(expected.data, count, scale);
    double argument_error = 4 * EPSILON * (double)(spread * scale);
    double relative = 2 * argument_error + ((double)count + 8) * EPSILON;
    for (size_t i = 0; i < count; i++)
        expect_near(check, i, (double)row.data[i], (double)expected.data[i],
                    relative * (double)expected.data[i] + 1e-37);
    block_free(check, &row);
    block_free(check, &expected);
}

/* Numbers far below the largest vanish, equal ones share, and not-a-number is not lost. */
static void check_softmax_limits(trial *check) {
    set_label(check, "softmax at the limits");
    float row[] = {-3e38f, 2e4f, -2e4f, 2e4f, -INFINITY};
    check->kernels.softmax(row, 5, 1.0f);
    const double expected[] = {0, 0.5, 0, 0.5, 0};
    for (size_t i = 0; i < 5; i++) expect_near(check, i, (double)row[i], expected[i], 1e-30);
    float poisoned[] = {1.0f, NAN, 2.0f};
    check->kernels.softmax(poisoned, 3, 1.0f);
    expect(check, isnan(poisoned[0]) && isnan(poisoned[1]), "not-a-number was lost");
}

void check_softmax(trial *check) {
    for (size_t i = 0; length_at(check, i) != SIZE_MAX; i++) {
        check_softmax_length(check, length_at(check, i), 1.0f, 1.0f);
        check_softmax_length(check, length_at(check, i), 40.0f, 0.125f);
        check_softmax_length(check, length_at(check, i), 300.0f, 1.0f);
    }
    check_softmax_limits(check);
}

static void check_transpose_size(trial *check, size_t rows, size_t columns) {
    set_label(check, "transpose %zu x %zu", rows, columns);
    size_t in_stride = columns + 5, out_stride = rows + 3;
    guarded in = block_random(check, rows == 0 ? 0 : (rows - 1) * in_stride + columns, -1.0f, 1.0f);
    guarded out = block_create(check, columns == 0 ? 0 : (columns - 1) * out_stride + rows);
    check->kernels.transpose(in.data, in_stride, rows, columns, out.data, out_stride);
    for (size_t i = 0; i < out.count; i++) {
        size_t c = i / out_stride, r = i % out_stride;
        if (r < rows)
            expect_near(check, i, (double)out.data[i], (double)in.data[r * in_stride + c], 0);
        else
            expect(check, is_poison(out.data[i]), "wrote between the rows");
    }
    block_free(check, &in);
    block_free(check, &out);
}

void check_transpose(trial *check) {
    const size_t sizes[] = {0, 1, 3, 4, 7, 8, 15, 16, 17, 33, 68};
    for (size_t r = 0; r < sizeof sizes / sizeof *sizes; r++)
        for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++)
            check_transpose_size(check, sizes[r], sizes[c]);
}

enum { TRANSPOSED = 64, TRANSPOSED_STRIDE = 68 };

typedef struct timed {
    const trial *check;
    float *a, *b, *out;
    size_t count;
} timed;

static void run_layer_norm(void *argument) {
    const timed *t = argument;
    t->check->kernels.layer_norm(t->a, t->b, t->b, 1e-6f, t->out, t->count);
}
static void run_softmax(void *argument) {
    const timed *t = argument;
    t->check->kernels.softmax(t->out, t->count, 0.125f);
}
static void run_transpose(void *argument) {
    const timed *t = argument;
    t->check->kernels.transpose(t->a, TRANSPOSED_STRIDE, TRANSPOSED, TRANSPOSED, t->out, TRANSPOSED_STRIDE);
}

void bench_rowwise(trial *check) {
    const size_t count = TRANSPOSED * TRANSPOSED_STRIDE;
    guarded a = block_random(check, count, -3.0f, 3.0f), b = block_random(check, count, -3.0f, 3.0f);
    guarded out = block_random(check, count, -1.0f, 1.0f);
    timed t = {check, a.data, b.data, out.data, 384};
    report_bandwidth(check, "layer_norm of 384", 8.0 * 384, seconds_of(run_layer_norm, &t));
    t.count = 197;
    report_bandwidth(check, "softmax of 197", 8.0 * 197, seconds_of(run_softmax, &t));
    report_bandwidth(check, "transpose 64 x 64", 8.0 * TRANSPOSED * TRANSPOSED,
                     seconds_of(run_transpose, &t));
    block_free(check, &a);
    block_free(check, &b);
    block_free(check, &out);
}
