/* Every layer's gradients, alone and in company, against central differences of the plain double forward. The
 * tested layer stands behind a convolution, whose weights' gradient tells whether the layer's input gradient
 * is right. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "gradients/double_forward.h"
#include "networks/networks.h"
#include "train/gradient.h"

enum { BATCH = 3, ENTRIES = 24 };
static const uint64_t stream = 77;

/* ---- small networks, odd shapes ---- */

/* A 1 x 1 convolution makes `channels` channels of the image. */
static int32_t source(fkp_builder *b, size_t channels) {
    return fkp_add_convolution(b, 0, "source", channels, 1, 1, 0, true);
}
/* The same, bent: BatchNorm behind a linear map of one channel would leave that map no gradient at all. */
static int32_t bent_source(fkp_builder *b, size_t channels) {
    return fkp_add_activation(b, source(b, channels), FKP_ACTIVATION_ELU);
}
static void convolution_3(fkp_builder *b) { fkp_add_convolution(b, source(b, 5), "layer", 7, 3, 1, 1, true); }
static void convolution_3_wide(fkp_builder *b) {
    fkp_add_convolution(b, source(b, 33), "layer", 70, 3, 1, 1, false);
}
static void convolution_4(fkp_builder *b) {
    fkp_add_convolution(b, source(b, 9), "layer", 18, 4, 1, 0, true);
}
static void convolution_stride(fkp_builder *b) {
    fkp_add_convolution(b, source(b, 6), "layer", 10, 3, 2, 1, false);
}
static void convolution_point(fkp_builder *b) {
    fkp_add_convolution(b, source(b, 6), "layer", 68, 1, 1, 0, true);
}
static void convolution_point_stride(fkp_builder *b) {
    fkp_add_convolution(b, source(b, 6), "layer", 11, 1, 2, 0, false);
}
static void convolution_one_channel(fkp_builder *b) {
    fkp_add_convolution(b, source(b, 1), "layer", 8, 7, 2, 3, false);
}
static void convolution_patch(fkp_builder *b) {
    fkp_add_convolution(b, source(b, 2), "layer", 19, 4, 4, 0, true);
}
static void upsampling(fkp_builder *b) { fkp_add_upsampling(b, source(b, 10), "layer", 5); }
static void linear_rows(fkp_builder *b) { fkp_add_linear(b, source(b, 13), "layer", 37); }
static void linear_thin(fkp_builder *b) { fkp_add_linear(b, fkp_add_flatten(b, source(b, 3)), "layer", 41); }
static void batch_norm(fkp_builder *b) { fkp_add_batch_norm(b, bent_source(b, 19), "layer"); }
static void batch_norm_relu(fkp_builder *b) {
    fkp_add_activation(b, fkp_add_batch_norm(b, bent_source(b, 7), "layer"), FKP_ACTIVATION_RELU);
}
static void batch_norm_elu(fkp_builder *b) {
    int32_t x = fkp_add_activation(b, fkp_add_batch_norm(b, bent_source(b, 7), "layer"), FKP_ACTIVATION_ELU);
    fkp_add_convolution(b, x, "after", 4, 3, 1, 1, true);
}
static void activations(fkp_builder *b) {
    int32_t x = fkp_add_activation(b, source(b, 6), FKP_ACTIVATION_ELU);
    x = fkp_add_activation(b, fkp_add_linear(b, x, "one", 21), FKP_ACTIVATION_GELU);
    x = fkp_add_activation(b, fkp_add_linear(b, x, "two", 9), FKP_ACTIVATION_RELU);
    fkp_add_linear(b, x, "three", 5);
}
static void last_activation(fkp_builder *b) { fkp_add_activation(b, source(b, 6), FKP_ACTIVATION_ELU); }
static void max_pooling(fkp_builder *b) { fkp_add_max_pooling(b, source(b, 18), 2, 2, 0); }
static void max_pooling_overlapping(fkp_builder *b) { fkp_add_max_pooling(b, source(b, 18), 3, 2, 1); }
static void average_pooling(fkp_builder *b) { fkp_add_average_pooling(b, source(b, 18)); }
static void dropout(fkp_builder *b) {
    int32_t x = fkp_add_activation(b, fkp_add_batch_norm(b, bent_source(b, 7), "norm"), FKP_ACTIVATION_ELU);
    fkp_add_convolution(b, fkp_add_dropout(b, x, 0.3f, false), "after", 4, 3, 1, 1, true);
}
static void dropout_channels(fkp_builder *b) {
    fkp_add_convolution(b, fkp_add_dropout(b, source(b, 12), 0.4f, true), "after", 4, 3, 1, 1, true);
}
static void residual(fkp_builder *b) {
    int32_t x = source(b, 8);
    int32_t y = fkp_add_batch_norm(b, fkp_add_convolution(b, x, "inner", 8, 3, 1, 1, false), "norm");
    x = fkp_add_activation(b, fkp_add_sum(b, y, x), FKP_ACTIVATION_RELU);
    y = fkp_add_batch_norm(b, fkp_add_convolution(b, x, "left", 6, 3, 2, 1, false), "left_norm");
    int32_t z = fkp_add_batch_norm(b, fkp_add_convolution(b, x, "right", 6, 1, 2, 0, false), "right_norm");
    fkp_add_activation(b, fkp_add_sum(b, y, z), FKP_ACTIVATION_RELU);
}
static void doubled(fkp_builder *b) {
    int32_t x = source(b, 8);
    fkp_add_linear(b, fkp_add_sum(b, x, x), "layer", 5);
}
static void concatenation(fkp_builder *b) {
    int32_t skip =
        fkp_add_activation(b, fkp_add_batch_norm(b, bent_source(b, 5), "norm"), FKP_ACTIVATION_ELU);
    int32_t x = fkp_add_convolution(b, fkp_add_max_pooling(b, skip, 2, 2, 0), "deep", 6, 3, 1, 1, true);
    x = fkp_add_concatenation(b, skip, fkp_add_upsampling(b, x, "up", 3));
    fkp_add_convolution(b, x, "after", 4, 3, 1, 1, true);
}
static void concatenation_shared(fkp_builder *b) {
    int32_t a = source(b, 5);
    int32_t joined = fkp_add_concatenation(b, a, fkp_add_linear(b, a, "beside", 4));
    fkp_add_concatenation(b, fkp_add_linear(b, joined, "after", 3), a);
}
static void layer_norm(fkp_builder *b) { fkp_add_layer_norm(b, source(b, 21), "layer", 1e-6f); }
static int32_t token_rows(fkp_builder *b, size_t channels) {
    int32_t x = fkp_add_convolution(b, 0, "patches", channels, 3, 3, 0, true);
    return fkp_add_tokens(b, x, "class", "position");
}
static void tokens(fkp_builder *b) { fkp_add_linear(b, token_rows(b, 10), "after", 3); }
static void attention(fkp_builder *b) {
    fkp_add_attention(b, fkp_add_linear(b, token_rows(b, 10), "qkv", 3 * 18), 3);
}
static void transformer(fkp_builder *b) {
    int32_t x = token_rows(b, 18);
    int32_t y = fkp_add_linear(b, fkp_add_layer_norm(b, x, "norm1", 1e-6f), "qkv", 3 * 18);
    x = fkp_add_sum(b, x, fkp_add_linear(b, fkp_add_attention(b, y, 2), "projection", 18));
    y = fkp_add_linear(b, fkp_add_layer_norm(b, x, "norm2", 1e-6f), "fc1", 40);
    y = fkp_add_linear(b, fkp_add_activation(b, y, FKP_ACTIVATION_GELU), "fc2", 18);
    fkp_add_sum(b, x, y);
}
static void queries(fkp_builder *b) {
    int32_t x = fkp_add_skip_tokens(b, fkp_add_layer_norm(b, token_rows(b, 20), "norm", 1e-6f));
    fkp_add_linear(b, fkp_add_query_attention(b, x, "query", 7), "fc", 2);
}

typedef struct gradient_case {
    const char *name;
    void (*describe)(fkp_builder *builder);
    size_t height, width;
} gradient_case;

#define CASE(describe, height, width)                                                                        \
    { #describe, describe, height, width }
static const gradient_case cases[] = {CASE(convolution_3, 9, 7),
                                      CASE(convolution_3_wide, 13, 14),
                                      CASE(convolution_4, 11, 13),
                                      CASE(convolution_stride, 9, 8),
                                      CASE(convolution_point, 5, 7),
                                      CASE(convolution_point_stride, 7, 6),
                                      CASE(convolution_one_channel, 13, 11),
                                      CASE(convolution_patch, 8, 12),
                                      CASE(upsampling, 3, 5),
                                      CASE(linear_rows, 5, 3),
                                      CASE(linear_thin, 3, 5),
                                      CASE(batch_norm, 5, 7),
                                      CASE(batch_norm_relu, 5, 7),
                                      CASE(batch_norm_elu, 5, 7),
                                      CASE(activations, 3, 5),
                                      CASE(last_activation, 3, 5),
                                      CASE(max_pooling, 9, 7),
                                      CASE(max_pooling_overlapping, 9, 8),
                                      CASE(average_pooling, 5, 3),
                                      CASE(dropout, 5, 7),
                                      CASE(dropout_channels, 5, 7),
                                      CASE(residual, 9, 7),
                                      CASE(doubled, 3, 5),
                                      CASE(concatenation, 6, 10),
                                      CASE(concatenation_shared, 3, 5),
                                      CASE(layer_norm, 3, 5),
                                      CASE(tokens, 9, 6),
                                      CASE(attention, 9, 12),
                                      CASE(transformer, 9, 12),
                                      CASE(queries, 12, 9)};
enum { CASES = sizeof cases / sizeof *cases };

/* ---- a network, its numbers, and both ways to its gradient ---- */

typedef struct bench {
    fkp_memory memory;
    fkp_network *network;
    fkp_kernels kernels;
    fkp_pool *pool;
    fkp_gradient *engine;
    size_t out;
    float *parameters, *gradients, *in, *d_output;
    double *doubles;
} bench;

static void fill(float *values, size_t count, uint64_t key, float middle, float scale) {
    fkp_random random = fkp_random_stream(5, key, 0);
    for (size_t i = 0; i < count; i++) values[i] = middle + scale * fkp_random_between(&random, -1.0f, 1.0f);
}

static void fill_parameters(bench *b) {
    for (int32_t i = 0; i < b->network->parameter_count; i++) {
        const fkp_parameter *p = &b->network->parameters[i];
        bool factor = p->rank == 1 && (p->role == FKP_ROLE_WEIGHT || p->role == FKP_ROLE_RUNNING_VARIANCE);
        float scale = p->rank > 1 ? (float)(1.7 / sqrt((double)p->count / (double)p->shape[0])) : 0.4f;
        if (p->role >= FKP_ROLE_CLASS_TOKEN) scale = 0.7f;
        fill(b->parameters + p->offset, p->count, (uint64_t)i + 10, factor ? 1.0f : 0.0f, scale);
    }
    for (size_t i = 0; i < b->network->storage; i++) b->doubles[i] = (double)b->parameters[i];
}

static void begin_engine(bench *b, fkp_isa isa, int32_t threads) {
    fkp_error error = {0};
    fkp_kernels_select(isa, &b->kernels);
    ck_assert_int_eq(fkp_pool_create(&b->memory, threads, NULL, NULL, &b->pool, &error), FACEKP_OK);
    ck_assert_msg(fkp_gradient_create(&b->memory, b->network, &b->kernels, b->pool, BATCH, &b->engine,
                                      &error) == FACEKP_OK,
                  "%s", error.message);
    b->out = BATCH * fkp_shape_floats(b->network->layers[b->network->layer_count - 1].shape);
    size_t in = BATCH * fkp_shape_floats(b->network->layers[0].shape);
    b->parameters = calloc(b->network->storage, sizeof *b->parameters);
    b->gradients = calloc(b->network->storage, sizeof *b->gradients);
    b->doubles = calloc(b->network->storage, sizeof *b->doubles);
    b->in = calloc(in, sizeof *b->in);
    b->d_output = calloc(b->out, sizeof *b->d_output);
    fill(b->in, in, 1, 0.0f, 1.0f);
    fill(b->d_output, b->out, 2, 0.0f, 1.0f);
    fill_parameters(b);
}

static void begin_case(bench *b, const gradient_case *c, fkp_isa isa) {
    memset(b, 0, sizeof *b);
    b->memory = fkp_memory_from(NULL);
    fkp_builder builder;
    fkp_error error = {0};
    ck_assert_int_eq(fkp_network_begin(&b->memory, &builder, c->height, c->width, 1), FACEKP_OK);
    c->describe(&builder);
    ck_assert_msg(fkp_network_finish(&builder, &b->network, &error) == FACEKP_OK, "%s: %s", c->name,
                  error.message);
    begin_engine(b, isa, 2);
}

static void end_bench(bench *b) {
    fkp_gradient_free(b->engine);
    fkp_pool_free(b->pool);
    fkp_network_free(&b->memory, b->network);
    free(b->parameters);
    free(b->gradients);
    free(b->doubles);
    free(b->in);
    free(b->d_output);
}

static void run_engine(bench *b, bool accumulate) {
    fkp_gradient_forward(b->engine, b->parameters, b->in, BATCH,
                         &(fkp_forward){.training = true, .stream = stream});
    fkp_gradient_backward(b->engine, b->parameters, b->d_output, accumulate, b->gradients);
}

/* The scalar whose gradient is taken: output times d_output. */
static double scalar(const bench *b) {
    double *out = double_forward(b->network, b->doubles, b->in, BATCH, stream), sum = 0.0;
    for (size_t i = 0; i < b->out; i++) sum += out[i] * (double)b->d_output[i];
    free(out);
    return sum;
}

static double difference_at(bench *b, size_t place) {
    const double step = 1e-6, middle = b->doubles[place];
    b->doubles[place] = middle + step;
    double high = scalar(b);
    b->doubles[place] = middle - step;
    double low = scalar(b);
    b->doubles[place] = middle;
    return (high - low) / (2.0 * step);
}

/* Entries of a tensor, together: |gradient - difference| against |difference|. A gradient that is zero in
 * exact arithmetic (a bias before BatchNorm) is held to the size of the others'. */
static void check_tensor(bench *b, const char *name, const fkp_parameter *p, double typical) {
    double distance = 0.0, norm = 0.0;
    size_t entries = p->count < ENTRIES ? p->count : ENTRIES;
    for (size_t k = 0; k < entries; k++) {
        size_t place = p->offset + k * p->count / entries;
        double expected = difference_at(b, place), d = (double)b->gradients[place] - expected;
        distance += d * d;
        norm += expected * expected;
    }
    double scale = fmax(sqrt(norm), 1e-3 * typical * sqrt((double)entries));
    ck_assert_msg(sqrt(distance) <= 1e-4 * scale, "%s, %s: gradients differ by %g of %g", name, p->name,
                  sqrt(distance), scale);
}

/* Root mean square over all trained parameters. */
static double typical_gradient(const bench *b) {
    double sum = 0.0, count = 0.0;
    for (int32_t i = 0; i < b->network->parameter_count; i++) {
        const fkp_parameter *p = &b->network->parameters[i];
        if (!fkp_role_trained(p->role)) continue;
        for (size_t k = 0; k < p->count; k++)
            sum += (double)b->gradients[p->offset + k] * (double)b->gradients[p->offset + k];
        count += (double)p->count;
    }
    return sqrt(sum / count);
}

static void check_case(const gradient_case *c, fkp_isa isa) {
    bench b;
    begin_case(&b, c, isa);
    run_engine(&b, false);
    double typical = typical_gradient(&b);
    for (int32_t i = 0; i < b.network->parameter_count; i++)
        if (fkp_role_trained(b.network->parameters[i].role))
            check_tensor(&b, c->name, &b.network->parameters[i], typical);
    end_bench(&b);
}

START_TEST(layer_against_differences) { check_case(&cases[_i], FKP_ISA_COUNT); }
END_TEST
START_TEST(layer_on_lesser_cpus) {
    check_case(&cases[_i / 2], _i % 2 == 0 ? FKP_ISA_PORTABLE : FKP_ISA_AVX2);
}
END_TEST

START_TEST(gradients_add_up) {
    bench b;
    begin_case(&b, &cases[_i], FKP_ISA_COUNT);
    run_engine(&b, false);
    float *once = calloc(b.network->storage, sizeof *once);
    memcpy(once, b.gradients, b.network->storage * sizeof *once);
    run_engine(&b, true);
    double typical = typical_gradient(&b);
    for (int32_t i = 0; i < b.network->parameter_count; i++) {
        const fkp_parameter *p = &b.network->parameters[i];
        if (!fkp_role_trained(p->role)) continue;
        for (size_t k = p->offset; k < p->offset + p->count; k++)
            ck_assert_double_eq_tol((double)b.gradients[k], 2.0 * (double)once[k], 1e-5 * typical);
    }
    free(once);
    end_bench(&b);
}
END_TEST

/* A frozen tensor's gradient is left alone; the others' are the same bits as before. */
START_TEST(frozen_parameters_get_no_gradient) {
    bench b;
    begin_case(&b, &cases[_i], FKP_ISA_COUNT);
    size_t parameters = (size_t)b.network->parameter_count;
    run_engine(&b, false);
    float *all = calloc(b.network->storage, sizeof *all);
    memcpy(all, b.gradients, b.network->storage * sizeof *all);
    bool *trained = calloc(parameters, sizeof *trained);
    for (size_t i = 0; i < parameters; i++) trained[i] = i >= parameters / 2;
    fkp_gradient_set_trained(b.engine, trained);
    for (size_t i = 0; i < b.network->storage; i++) b.gradients[i] = -7.0f;
    run_engine(&b, false);
    for (size_t i = 0; i < parameters; i++) {
        const fkp_parameter *p = &b.network->parameters[i];
        bool expected = trained[i] && fkp_role_trained(p->role);
        for (size_t k = p->offset; k < p->offset + p->count; k++)
            ck_assert_float_eq(b.gradients[k], expected ? all[k] : -7.0f);
    }
    free(trained);
    free(all);
    end_bench(&b);
}
END_TEST

/* A smaller batch than the engine was made for gives what an engine of that size gives. */
START_TEST(a_partial_batch) {
    bench b;
    begin_case(&b, &cases[_i], FKP_ISA_COUNT);
    fkp_error error = {0};
    fkp_gradient *small;
    ck_assert_int_eq(fkp_gradient_create(&b.memory, b.network, &b.kernels, b.pool, BATCH - 1, &small, &error),
                     FACEKP_OK);
    fkp_gradient *engines[2] = {b.engine, small};
    float *results[2];
    for (int k = 0; k < 2; k++) {
        results[k] = calloc(b.network->storage, sizeof **results);
        fkp_gradient_forward(engines[k], b.parameters, b.in, BATCH - 1,
                             &(fkp_forward){.training = true, .stream = stream});
        fkp_gradient_backward(engines[k], b.parameters, b.d_output, false, results[k]);
    }
    ck_assert_int_eq(memcmp(results[0], results[1], b.network->storage * sizeof **results), 0);
    free(results[0]);
    free(results[1]);
    fkp_gradient_free(small);
    end_bench(&b);
}
END_TEST

/* ---- whole networks, one random direction over all parameters ---- */

static const fkp_network_options networks[] = {
    {.architecture = FACEKP_DIRECT, .keypoints = 3, .input_size = 64},
    {.architecture = FACEKP_RESNET18, .keypoints = 3, .input_size = 32},
    {.architecture = FACEKP_DINO, .keypoints = 3, .input_size = 48, .dimension = 48, .depth = 2, .heads = 2},
    {.architecture = FACEKP_DINO,
     .head = FKP_DINO_FLATTEN,
     .keypoints = 3,
     .input_size = 32,
     .dimension = 48,
     .depth = 1,
     .heads = 2},
    {.architecture = FACEKP_UNET, .keypoints = 3, .input_size = 32, .width = 4}};

START_TEST(network_along_one_direction) {
    bench b;
    memset(&b, 0, sizeof b);
    b.memory = fkp_memory_from(NULL);
    fkp_error error = {0};
    ck_assert_msg(fkp_network_create(&b.memory, &networks[_i], &b.network, &error) == FACEKP_OK, "%s",
                  error.message);
    begin_engine(&b, FKP_ISA_COUNT, 2);
    run_engine(&b, false);
    fkp_random random = fkp_random_stream(8, 8, 8);
    double slope = 0.0, norm = 0.0, direction_norm = 0.0;
    double *direction = calloc(b.network->storage, sizeof *direction);
    for (int32_t i = 0; i < b.network->parameter_count; i++) {
        const fkp_parameter *p = &b.network->parameters[i];
        if (!fkp_role_trained(p->role)) continue;
        for (size_t k = p->offset; k < p->offset + p->count; k++) {
            double g = (double)b.gradients[k];
            /* Half along the gradient, so that the slope is not lost among its own rounding. */
            direction[k] = 1e-2 * (double)fkp_random_normal(&random) + g;
            slope += g * direction[k];
            norm += g * g;
            direction_norm += direction[k] * direction[k];
        }
    }
    const double step = 1e-6 / sqrt(direction_norm);
    for (size_t k = 0; k < b.network->storage; k++) b.doubles[k] += step * direction[k];
    double high = scalar(&b);
    for (size_t k = 0; k < b.network->storage; k++) b.doubles[k] -= 2.0 * step * direction[k];
    double expected = (high - scalar(&b)) / (2.0 * step);
    ck_assert_msg(fabs(slope - expected) <= 1e-3 * fabs(expected) && norm > 0.0, "slope %g, difference %g",
                  slope, expected);
    free(direction);
    end_bench(&b);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("gradients");
    TCase *tests = tcase_create("differences");
    tcase_set_timeout(tests, 600);
    tcase_add_loop_test(tests, layer_against_differences, 0, CASES);
    tcase_add_loop_test(tests, layer_on_lesser_cpus, 0, 2 * CASES);
    tcase_add_loop_test(tests, gradients_add_up, 0, CASES);
    tcase_add_loop_test(tests, frozen_parameters_get_no_gradient, 0, CASES);
    tcase_add_loop_test(tests, a_partial_batch, 0, CASES);
    tcase_add_loop_test(tests, network_along_one_direction, 0, (int)(sizeof networks / sizeof *networks));
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
