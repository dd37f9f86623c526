/* Twelve steps of every optimiser against PyTorch's (make_parts_golden.py), on every instruction set, with
 * the same bits on any number of threads. */
#include "train/optimiser.h"

#include <math.h>

#include "golden/generator.h"
#include "golden/lines.h"
#include "support/failing_allocator.h"
#include "support/run_suite.h"

enum { STEPS = 12, EPOCH = 4, ABOUT = 10, MAX_GROUPS = 4 };
static const double rate = 0.01;

typedef struct optimiser_case {
    const char *name;
    fkp_optimiser_options options;
    double gradient_scale;
    fkp_parameter_group groups[MAX_GROUPS];
    size_t group_count;
} optimiser_case;

static const optimiser_case cases[] = {
    {.name = "adam", .options = {.kind = FKP_OPTIMISER_ADAM}},
    {.name = "adam-constants",
     .options = {.kind = FKP_OPTIMISER_ADAM, .beta1 = 0.8, .beta2 = 0.99, .epsilon = 1e-3}},
    {.name = "adam-decay", .options = {.kind = FKP_OPTIMISER_ADAM, .weight_decay = 0.1}},
    {.name = "adamw", .options = {.kind = FKP_OPTIMISER_ADAMW, .weight_decay = 0.1}},
    {.name = "sgd", .options = {.kind = FKP_OPTIMISER_SGD}},
    {.name = "sgd-momentum", .options = {.kind = FKP_OPTIMISER_SGD, .momentum = 0.9}},
    {.name = "sgd-momentum-decay",
     .options = {.kind = FKP_OPTIMISER_SGD, .momentum = 0.9, .weight_decay = 0.1}},
    {.name = "sgd-clipped", .options = {.kind = FKP_OPTIMISER_SGD, .clip_norm = 0.5}},
    {.name = "sgd-barely-clipped", .options = {.kind = FKP_OPTIMISER_SGD, .clip_norm = 1e4}},
    {.name = "adamw-clipped",
     .options = {.kind = FKP_OPTIMISER_ADAMW, .weight_decay = 0.1, .clip_norm = 0.5}},
    {.name = "sgd-scaled", .options = {.kind = FKP_OPTIMISER_SGD}, .gradient_scale = 0.25},
    {.name = "adamw-groups",
     .options = {.kind = FKP_OPTIMISER_ADAMW, .weight_decay = 0.1, .clip_norm = 2.0},
     .groups = {{"norm.*", 1.0, 0, true},
                {"first.*", 0.1, 0, false},
                {"wide.*", 1.0, 1, false},
                {"large.bias", 0.0, 0, false}},
     .group_count = 4},
    {.name = "adam-average", .options = {.kind = FKP_OPTIMISER_ADAM, .ema_decay = 0.99}}};

/* ---- a network for its parameters' sake, one of them larger than a task's slice ---- */

typedef struct bench {
    fkp_memory memory;
    fkp_network *network;
    fkp_pool *pool;
    fkp_optimiser *optimiser;
    float *parameters, *gradients;
} bench;

static fkp_network *build_network(const fkp_memory *memory) {
    fkp_builder builder;
    fkp_network *network;
    ck_assert_int_eq(fkp_network_begin(memory, &builder, 1, 1, 3), FACEKP_OK);
    int32_t x = fkp_add_batch_norm(&builder, fkp_add_linear(&builder, 0, "first", 5), "norm");
    fkp_add_linear(&builder, fkp_add_linear(&builder, x, "large", 130), "wide", 130);
    ck_assert_int_eq(fkp_network_finish(&builder, &network, NULL), FACEKP_OK);
    return network;
}

static void draw(const char *name, size_t index, float low, float high, size_t count, float *values) {
    fkp_random random = fkp_random_stream(GOLDEN_SEED, hash_name(name), index);
    for (size_t i = 0; i < count; i++) values[i] = fkp_random_between(&random, low, high);
}

static void draw_running(bench *b, size_t index) {
    for (int32_t i = 0; i < b->network->parameter_count; i++) {
        const fkp_parameter *p = &b->network->parameters[i];
        if (!fkp_role_trained(p->role))
            draw(p->name, index, -0.5f, 0.5f, p->count, b->parameters + p->offset);
    }
}

static void draw_gradients(bench *b, size_t step) {
    for (int32_t i = 0; i < b->network->parameter_count; i++) {
        const fkp_parameter *p = &b->network->parameters[i];
        char name[FKP_NAME_BYTES + 16];
        snprintf(name, sizeof name, "gradient %s", p->name);
        draw(name, step, -1.0f, 1.0f, p->count, b->gradients + p->offset);
    }
}

static void begin(bench *b, const optimiser_case *c, fkp_isa isa, int32_t threads) {
    fkp_kernels kernels;
    b->memory = fkp_memory_from(NULL);
    b->network = build_network(&b->memory);
    b->parameters = calloc(b->network->storage, sizeof *b->parameters);
    b->gradients = calloc(b->network->storage, sizeof *b->gradients);
    for (int32_t i = 0; i < b->network->parameter_count; i++) {
        const fkp_parameter *p = &b->network->parameters[i];
        draw(p->name, 0, -0.5f, 0.5f, p->count, b->parameters + p->offset);
    }
    fkp_kernels_select(isa, &kernels);
    ck_assert_int_eq(fkp_pool_create(&b->memory, threads, NULL, NULL, &b->pool, NULL), FACEKP_OK);
    ck_assert_int_eq(fkp_optimiser_create(&b->memory, b->network, &kernels, b->pool, &c->options, c->groups,
                                          c->group_count, &b->optimiser, NULL),
                     FACEKP_OK);
    fkp_optimiser_start_average(b->optimiser, b->parameters);
}

static void end(bench *b) {
    fkp_optimiser_free(b->optimiser);
    fkp_pool_free(b->pool);
    fkp_network_free(&b->memory, b->network);
    free(b->parameters);
    free(b->gradients);
}

static void step(bench *b, const optimiser_case *c, int number, double *norm) {
    const fkp_optimiser_step_values values = {.rate = rate, .gradient_scale = c->gradient_scale};
    if (number % EPOCH == 0) fkp_optimiser_begin_epoch(b->optimiser, number / EPOCH);
    draw_gradients(b, (size_t)number);
    draw_running(b, (size_t)number + 1);
    *norm = fkp_optimiser_step(b->optimiser, &values, b->parameters, b->gradients);
}

static void check_tensor(const char *key, const fkp_parameter *p, const float *storage) {
    golden_line expected;
    const size_t apart = (p->count + ABOUT - 1) / ABOUT;
    read_golden_line("optimisers.txt", key, &expected);
    ck_assert_uint_eq(expected.count, (p->count + apart - 1) / apart);
    for (size_t i = 0; i < expected.count; i++) {
        double value = (double)storage[p->offset + i * apart];
        ck_assert_msg(fabs(value - expected.numbers[i]) <= 2e-6, "%s[%zu] is %.9g, not %.9g", key, i * apart,
                      value, expected.numbers[i]);
    }
}

static void check_end(const bench *b, const optimiser_case *c) {
    const float *average = fkp_optimiser_average(b->optimiser);
    ck_assert_int_eq(average != NULL, c->options.ema_decay > 0.0);
    for (int32_t i = 0; i < b->network->parameter_count; i++) {
        const fkp_parameter *p = &b->network->parameters[i];
        char key[256];
        snprintf(key, sizeof key, "%s %s", c->name, p->name);
        if (fkp_role_trained(p->role)) check_tensor(key, p, b->parameters);
        snprintf(key, sizeof key, "%s average.%s", c->name, p->name);
        if (average != NULL) check_tensor(key, p, average);
    }
}

START_TEST(steps_are_pytorchs) {
    const optimiser_case *c = &cases[_i];
    char key[64];
    golden_line norms;
    snprintf(key, sizeof key, "%s norms", c->name);
    read_golden_line("optimisers.txt", key, &norms);
    ck_assert_uint_eq(norms.count, STEPS);
    for (int isa = 0; isa < FKP_ISA_COUNT; isa++) {
        bench b, other;
        begin(&b, c, (fkp_isa)isa, 1);
        begin(&other, c, (fkp_isa)isa, 2 + isa % 2);
        for (int number = 0; number < STEPS; number++) {
            double norm, again;
            step(&b, c, number, &norm);
            step(&other, c, number, &again);
            ck_assert_double_eq_tol(norm, norms.numbers[number], 1e-6 * norms.numbers[number]);
            ck_assert_double_eq(norm, again);
        }
        check_end(&b, c);
        ck_assert_mem_eq(b.parameters, other.parameters, b.network->storage * sizeof(float));
        end(&b);
        end(&other);
    }
}
END_TEST

/* ---- freezing, states, failures ---- */

static const fkp_parameter *parameter_named(const fkp_network *network, const char *name) {
    for (int32_t i = 0; i < network->parameter_count; i++)
        if (strcmp(network->parameters[i].name, name) == 0) return &network->parameters[i];
    ck_abort_msg("no %s", name);
}

/* A group that is frozen until epoch 1 has the bits it had, counts no step, and moves from then on. */
START_TEST(a_frozen_group_waits_for_its_epoch) {
    optimiser_case c = {.options = {.kind = FKP_OPTIMISER_ADAMW, .weight_decay = 0.1},
                        .groups = {{"wide.*", 1.0, 1, false}},
                        .group_count = 1};
    bench b;
    float before[130];
    double norm;
    size_t count;
    begin(&b, &c, FKP_ISA_COUNT - 1, 1);
    const fkp_parameter *wide = parameter_named(b.network, "wide.bias");
    const size_t index = (size_t)(wide - b.network->parameters);
    memcpy(before, b.parameters + wide->offset, sizeof before);
    for (int number = 0; number < EPOCH; number++) step(&b, &c, number, &norm);
    ck_assert_mem_eq(before, b.parameters + wide->offset, sizeof before);
    ck_assert(!fkp_optimiser_trained(b.optimiser)[index]);
    ck_assert_uint_eq(fkp_optimiser_steps(b.optimiser, &count)[index], 0);
    step(&b, &c, EPOCH, &norm);
    ck_assert_mem_ne(before, b.parameters + wide->offset, sizeof before);
    ck_assert(fkp_optimiser_trained(b.optimiser)[index]);
    ck_assert_uint_eq(fkp_optimiser_steps(b.optimiser, &count)[index], 1);
    ck_assert_uint_eq(count, (size_t)b.network->parameter_count + 1);
    end(&b);
}
END_TEST

START_TEST(a_gradient_that_is_not_finite_changes_nothing) {
    static const float bad[] = {NAN, INFINITY};
    optimiser_case c = {.options = {.kind = FKP_OPTIMISER_ADAM, .ema_decay = 0.9}};
    bench b;
    double norm;
    begin(&b, &c, FKP_ISA_COUNT - 1, 2);
    step(&b, &c, 0, &norm);
    const size_t bytes = b.network->storage * sizeof(float);
    float *before = malloc(bytes);
    ck_assert_ptr_nonnull(before);
    memcpy(before, b.parameters, bytes);
    for (size_t i = 0; i < 2; i++) {
        draw_gradients(&b, 1);
        b.gradients[parameter_named(b.network, "wide.weight")->offset + 16899] = bad[i];
        const fkp_optimiser_step_values values = {.rate = rate};
        ck_assert(!isfinite(fkp_optimiser_step(b.optimiser, &values, b.parameters, b.gradients)));
        ck_assert_mem_eq(before, b.parameters, bytes);
    }
    free(before);
    end(&b);
}
END_TEST

/* The state copied into another optimiser makes it go on with the same bits. */
START_TEST(the_state_is_all_there_is) {
    const optimiser_case *c = &cases[_i];
    bench b, other;
    double norm, again;
    size_t count;
    begin(&b, c, FKP_ISA_COUNT - 1, 1);
    begin(&other, c, FKP_ISA_COUNT - 1, 1);
    for (int number = 0; number < 6; number++) step(&b, c, number, &norm);
    memcpy(other.parameters, b.parameters, b.network->storage * sizeof(float));
    ck_assert_uint_eq(fkp_optimiser_state_count(b.optimiser), fkp_optimiser_state_count(other.optimiser));
    for (size_t i = 0; i < fkp_optimiser_state_count(b.optimiser); i++) {
        fkp_optimiser_state from = fkp_optimiser_state_at(b.optimiser, i);
        fkp_optimiser_state into = fkp_optimiser_state_at(other.optimiser, i);
        ck_assert_str_eq(from.name, into.name);
        ck_assert_uint_eq(from.count, into.count);
        memcpy(into.data, from.data, from.count * sizeof(float));
    }
    const uint64_t *steps = fkp_optimiser_steps(b.optimiser, &count);
    memcpy(fkp_optimiser_steps(other.optimiser, &count), steps, count * sizeof *steps);
    fkp_optimiser_begin_epoch(other.optimiser, 1);
    for (int number = 6; number < STEPS; number++) {
        step(&b, c, number, &norm);
        step(&other, c, number, &again);
        ck_assert_double_eq(norm, again);
    }
    ck_assert_mem_eq(b.parameters, other.parameters, b.network->storage * sizeof(float));
    end(&b);
    end(&other);
}
END_TEST

static const struct {
    fkp_optimiser_options options;
    fkp_parameter_group group;
    const char *word;
} wrong[] = {{.options = {.kind = FKP_OPTIMISER_KINDS}, .word = "unknown"},
             {.options = {.beta1 = 1.0}, .word = "beta1"},
             {.options = {.epsilon = -1.0}, .word = "epsilon"},
             {.options = {.momentum = 1.0}, .word = "momentum"},
             {.options = {.weight_decay = NAN}, .word = "decay"},
             {.options = {.clip_norm = -1.0}, .word = "clipping"},
             {.options = {.ema_decay = 1.0}, .word = "average"},
             {.group = {"layer4.*", 1.0, 0, false}, .word = "layer4.*"},
             {.group = {"*", -1.0, 0, false}, .word = "rate factor"},
             {.group = {"*", 1.0, -1, false}, .word = "frozen"}};

START_TEST(wrong_options_are_refused) {
    const fkp_memory memory = fkp_memory_from(NULL);
    fkp_network *network = build_network(&memory);
    fkp_kernels kernels;
    fkp_optimiser *optimiser;
    fkp_error error = {0};
    fkp_kernels_select(FKP_ISA_COUNT - 1, &kernels);
    ck_assert_int_eq(fkp_optimiser_create(&memory, network, &kernels, NULL, &wrong[_i].options,
                                          &wrong[_i].group, wrong[_i].group.pattern[0] != '\0', &optimiser,
                                          &error),
                     FACEKP_ERROR_ARGUMENT);
    ck_assert_ptr_null(optimiser);
    ck_assert_msg(strstr(error.message, wrong[_i].word) != NULL, "%s", error.message);
    fkp_network_free(&memory, network);
}
END_TEST

/* "*" is any run of characters, none too; all else stands for itself; the first group that matches counts. */
START_TEST(patterns_of_names) {
    static const struct {
        const char *pattern;
        int trained; /* of first.weight, first.bias, norm.weight, norm.bias, large.*, wide.*: bits from the
                        left */
    } patterns[] = {{"*", 0x00},      {"*.weight", 0x55}, {"*st*", 0x3f}, {"first.bias*", 0xbf},
                    {"*i*e*t", 0x7d}, {"first.*,", -1},   {"?irst*", -1}, {"irst*", -1}};
    static const char *const names[] = {"first.weight", "first.bias", "norm.weight", "norm.bias",
                                        "large.weight", "large.bias", "wide.weight", "wide.bias"};
    const fkp_memory memory = fkp_memory_from(NULL);
    fkp_network *network = build_network(&memory);
    const fkp_optimiser_options options = {.kind = FKP_OPTIMISER_SGD};
    fkp_kernels kernels;
    fkp_kernels_select(FKP_ISA_COUNT - 1, &kernels);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        fkp_parameter_group groups[2] = {{.rate_factor = 0.0}, {"*", 1.0, 0, false}};
        snprintf(groups[0].pattern, sizeof groups[0].pattern, "%s", patterns[i].pattern);
        fkp_optimiser *optimiser;
        facekp_status status =
            fkp_optimiser_create(&memory, network, &kernels, NULL, &options, groups, 2, &optimiser, NULL);
        ck_assert_int_eq(status, patterns[i].trained < 0 ? FACEKP_ERROR_ARGUMENT : FACEKP_OK);
        for (int k = 0; k < 8 && patterns[i].trained >= 0; k++) {
            size_t index = (size_t)(parameter_named(network, names[k]) - network->parameters);
            ck_assert_msg(fkp_optimiser_trained(optimiser)[index] == (patterns[i].trained >> (7 - k) & 1),
                          "%s and %s", patterns[i].pattern, names[k]);
        }
        fkp_optimiser_free(optimiser);
    }
    fkp_network_free(&memory, network);
}
END_TEST

static facekp_status create(const facekp_allocator *allocator, void *argument) {
    const fkp_memory memory = fkp_memory_from(allocator);
    const fkp_optimiser_options options = {.kind = FKP_OPTIMISER_ADAM, .ema_decay = 0.9};
    fkp_kernels kernels;
    fkp_optimiser *optimiser;
    fkp_kernels_select(FKP_ISA_COUNT - 1, &kernels);
    facekp_status status =
        fkp_optimiser_create(&memory, argument, &kernels, NULL, &options, NULL, 0, &optimiser, NULL);
    fkp_optimiser_free(optimiser);
    return status;
}

START_TEST(every_failing_allocation) {
    const fkp_memory memory = fkp_memory_from(NULL);
    fkp_network *network = build_network(&memory);
    check_every_allocation(create, network);
    fkp_network_free(&memory, network);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("optimisers");
    TCase *tests = tcase_create("optimisers");
    const int count = sizeof cases / sizeof *cases;
    tcase_add_loop_test(tests, steps_are_pytorchs, 0, count);
    tcase_add_test(tests, a_frozen_group_waits_for_its_epoch);
    tcase_add_test(tests, a_gradient_that_is_not_finite_changes_nothing);
    tcase_add_loop_test(tests, the_state_is_all_there_is, 0, count);
    tcase_add_loop_test(tests, wrong_options_are_refused, 0, sizeof wrong / sizeof *wrong);
    tcase_add_test(tests, patterns_of_names);
    tcase_add_test(tests, every_failing_allocation);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
