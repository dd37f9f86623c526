/* The first steps of training each network, dropout off, against PyTorch's in double precision
 * (make_training_golden.py): the first gradient of every tensor, the running statistics after it, and the
 * losses of ten Adam steps. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "golden/generator.h"
#include "networks/networks.h"
#include "support/run_suite.h"
#include "train/gradient.h"
#include "train/losses.h"
#include "train/optimiser.h"

enum { STEPS = 10, PROJECTIONS = 8, NUMBERS = 1 + PROJECTIONS };

typedef struct training_case {
    const char *name;
    fkp_network_options options;
    size_t first_picture, batch;
    double gain, rate;
    fkp_loss_kind loss;
} training_case;

static const training_case cases[] = {
    {"direct", {.architecture = FACEKP_DIRECT, .input_size = 64}, 120, 8, 1.2, 1e-4, FKP_LOSS_SMOOTH_L1},
    {"resnet18", {.architecture = FACEKP_RESNET18, .input_size = 48}, 208, 8, 1.0, 1e-5, FKP_LOSS_MSE},
    {"dino_query", {.architecture = FACEKP_DINO, .input_size = 96}, 0, 2, 0.8, 1e-5, FKP_LOSS_SMOOTH_L1},
    {"dino_flatten",
     {.architecture = FACEKP_DINO, .head = FKP_DINO_FLATTEN, .depth = 2, .input_size = 96},
     0,
     2,
     0.8,
     1e-4,
     FKP_LOSS_SMOOTH_L1},
    {"unet", {.architecture = FACEKP_UNET, .input_size = 32}, 152, 4, 1.2, 1e-4, FKP_LOSS_CROSS_ENTROPY}};
enum { CASES = sizeof cases / sizeof *cases };

/* ---- what PyTorch computed ---- */

/* A tensor's 2-norm and its projections onto vectors of random signs. */
typedef struct sketch {
    bool known;
    double numbers[NUMBERS];
} sketch;

typedef struct expectation {
    double losses[STEPS];
    sketch *tensors; /* per parameter: the gradient, or the running statistics */
} expectation;

static int32_t parameter_named(const fkp_network *network, const char *name) {
    for (int32_t i = 0; i < network->parameter_count; i++)
        if (strcmp(network->parameters[i].name, name) == 0) return i;
    ck_abort_msg("the network has no %s", name);
}

static void read_numbers(FILE *file, double *numbers, int count) {
    for (int i = 0; i < count; i++) ck_assert_int_eq(fscanf(file, "%lf", &numbers[i]), 1);
}

static void read_expectation(const training_case *c, const fkp_network *network, expectation *e) {
    char path[512], kind[16], name[FKP_NAME_BYTES];
    snprintf(path, sizeof path, "%s/golden/data/%s.training.txt", FKP_TEST_SOURCE, c->name);
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    e->tensors = calloc((size_t)network->parameter_count, sizeof *e->tensors);
    int losses = 0;
    while (fscanf(file, "%15s %63s", kind, name) == 2) {
        if (strcmp(kind, "loss") == 0) {
            ck_assert_int_lt(losses, STEPS);
            read_numbers(file, &e->losses[losses++], 1);
            continue;
        }
        int32_t index = parameter_named(network, name);
        bool running = strcmp(kind, "running") == 0;
        ck_assert_int_ne(running, fkp_role_trained(network->parameters[index].role));
        e->tensors[index].known = true;
        read_numbers(file, e->tensors[index].numbers, NUMBERS);
    }
    fclose(file);
    ck_assert_int_eq(losses, STEPS);
    for (int32_t i = 0; i < network->parameter_count; i++)
        ck_assert_msg(e->tensors[i].known, "%s: no %s", path, network->parameters[i].name);
}

/* ---- comparing ---- */

/* The distance of a tensor from the one that was sketched: with signs s, the mean of (s (a - b))^2 is
 * |a - b|^2. */
static double distance(const fkp_parameter *parameter, const float *values, const sketch *expected) {
    const uint64_t key = fkp_random_stream(GOLDEN_SEED, hash_name(parameter->name), 4).key;
    double projections[PROJECTIONS] = {0}, sum = 0.0;
    for (size_t i = 0; i < parameter->count; i++) {
        uint64_t signs = fkp_random_at(key, i);
        for (int k = 0; k < PROJECTIONS; k++)
            projections[k] += (signs >> k & 1) != 0 ? (double)values[i] : -(double)values[i];
    }
    for (int k = 0; k < PROJECTIONS; k++) {
        double difference = projections[k] - expected->numbers[1 + k];
        sum += difference * difference;
    }
    return sqrt(sum / PROJECTIONS);
}

/* What a gradient's distance is measured by: its norm. One that is zero in exact arithmetic, as of a bias
 * before BatchNorm, is held to a tenth of the size of the weights' beside it. */
static double scale_of(const fkp_network *network, const expectation *e, int32_t index) {
    const fkp_parameter *p = &network->parameters[index];
    const int32_t weight = fkp_network_parameter(network, p->layer, FKP_ROLE_WEIGHT);
    const double norm = e->tensors[index].numbers[0];
    if (weight < 0) return norm;
    const double entries = (double)p->count / (double)network->parameters[weight].count;
    return fmax(norm, 0.1 * e->tensors[weight].numbers[0] * sqrt(entries));
}

static void compare_tensors(const training_case *c, const fkp_network *network, const expectation *e,
                            const float *parameters, const float *gradients) {
    double worst_gradient = 0.0, worst_running = 0.0;
    for (int32_t i = 0; i < network->parameter_count; i++) {
        const fkp_parameter *p = &network->parameters[i];
        if (fkp_role_trained(p->role)) {
            double off = distance(p, gradients + p->offset, &e->tensors[i]) / scale_of(network, e, i);
            ck_assert_msg(off <= 1e-4, "%s: gradient of %s is off by %g", c->name, p->name, off);
            worst_gradient = fmax(worst_gradient, off);
        } else {
            double off = distance(p, parameters + p->offset, &e->tensors[i]) / e->tensors[i].numbers[0];
            ck_assert_msg(off <= 1e-5, "%s: %s is off by %g", c->name, p->name, off);
            worst_running = fmax(worst_running, off);
        }
    }
    printf("%s: gradients within %.2g, running statistics within %.2g\n", c->name, worst_gradient,
           worst_running);
}

/* ---- training ---- */

typedef struct trainer {
    fkp_memory memory;
    fkp_network *network;
    fkp_kernels kernels;
    fkp_pool *pool;
    fkp_gradient *engine;
    fkp_optimiser *optimiser;
    fkp_loss loss;
    fkp_loss_batch batch;
    float *parameters, *gradients, *in, *targets, *scratch;
} trainer;

static void begin_network(trainer *t, const training_case *c) {
    fkp_error error = {0};
    t->memory = fkp_memory_from(NULL);
    ck_assert_int_eq(fkp_network_create(&t->memory, &c->options, &t->network, &error), FACEKP_OK);
    for (int32_t i = 0; i < t->network->layer_count; i++)
        if (t->network->layers[i].kind == FKP_LAYER_DROPOUT) t->network->layers[i].rate = 0.0f;
    t->parameters = generate_parameters(t->network, c->gain);
    t->gradients = calloc(t->network->storage, sizeof *t->gradients);
    ck_assert_ptr_nonnull(t->parameters);
    ck_assert_ptr_nonnull(t->gradients);
}

static void begin_engine(trainer *t, const training_case *c, fkp_isa limit) {
    fkp_error error = {0};
    const fkp_optimiser_options options = {.kind = FKP_OPTIMISER_ADAM};
    fkp_kernels_select(limit, &t->kernels);
    ck_assert_int_eq(fkp_pool_create(&t->memory, 2, NULL, NULL, &t->pool, &error), FACEKP_OK);
    ck_assert_int_eq(
        fkp_gradient_create(&t->memory, t->network, &t->kernels, t->pool, c->batch, &t->engine, &error),
        FACEKP_OK);
    ck_assert_int_eq(fkp_optimiser_create(&t->memory, t->network, &t->kernels, t->pool, &options, NULL, 0,
                                          &t->optimiser, &error),
                     FACEKP_OK);
}

/* Pixels about zero; coordinates from -2 to 2, or on the grid of the heatmaps. */
static void begin_data(trainer *t, const training_case *c) {
    const fkp_shape shape = t->network->layers[t->network->layer_count - 1].shape;
    const size_t size = c->options.input_size, numbers = 2 * t->network->keypoints;
    const bool heatmaps = fkp_loss_is_heatmap(c->loss);
    t->in = calloc(c->batch * size * size, sizeof *t->in);
    t->targets = calloc(c->batch * numbers, sizeof *t->targets);
    t->loss = (fkp_loss){.kind = c->loss};
    t->scratch = calloc(fkp_loss_scratch(&t->loss, shape, c->batch) + 1, sizeof *t->scratch);
    for (size_t i = 0; i < c->batch; i++) {
        float *pixels = t->in + i * size * size;
        generate_picture(c->first_picture + i, size, pixels);
        for (size_t k = 0; k < size * size; k++) pixels[k] = 4.0f * pixels[k] - 2.0f;
        fkp_random random = fkp_random_stream(GOLDEN_SEED, 3, i);
        for (size_t k = 0; k < numbers; k++)
            t->targets[i * numbers + k] = heatmaps ? fkp_random_between(&random, 0.0f, (float)(size - 1))
                                                   : fkp_random_between(&random, -2.0f, 2.0f);
    }
    t->batch = (fkp_loss_batch){.count = c->batch, .shape = shape, .targets = t->targets};
}

static double differentiate(trainer *t) {
    const fkp_context context = {.kernels = &t->kernels, .pool = t->pool, .scratch = t->scratch};
    t->batch.d_output = fkp_gradient_forward(t->engine, t->parameters, t->in, t->batch.count,
                                             &(fkp_forward){.training = true});
    t->batch.output = t->batch.d_output;
    double loss = fkp_loss_run(&context, &t->loss, &t->batch);
    fkp_gradient_backward(t->engine, t->parameters, t->batch.d_output, false, t->gradients);
    return loss;
}

static void end_trainer(trainer *t) {
    fkp_optimiser_free(t->optimiser);
    fkp_gradient_free(t->engine);
    fkp_pool_free(t->pool);
    fkp_network_free(&t->memory, t->network);
    free(t->parameters);
    free(t->gradients);
    free(t->in);
    free(t->targets);
    free(t->scratch);
}

static void check_first_steps(const training_case *c, fkp_isa limit) {
    trainer t = {0};
    expectation e;
    begin_network(&t, c);
    begin_engine(&t, c, limit);
    begin_data(&t, c);
    read_expectation(c, t.network, &e);
    double worst = 0.0;
    for (int step = 0; step < STEPS; step++) {
        double loss = differentiate(&t), off = fabs(loss / e.losses[step] - 1.0);
        if (step == 0) compare_tensors(c, t.network, &e, t.parameters, t.gradients);
        ck_assert_msg(off <= 1e-3, "%s, step %d: loss %g, not %g", c->name, step, loss, e.losses[step]);
        worst = fmax(worst, off);
        fkp_optimiser_step(t.optimiser, &(fkp_optimiser_step_values){.rate = c->rate}, t.parameters,
                           t.gradients);
    }
    printf("%s on %s: losses within %.2g\n", c->name, fkp_isa_name(t.kernels.isa), worst);
    free(e.tensors);
    end_trainer(&t);
}

START_TEST(the_first_steps_are_pytorchs) { check_first_steps(&cases[_i], FKP_ISA_COUNT - 1); }
END_TEST

/* Where the best level has products of split numbers. */
START_TEST(they_are_so_in_float32_alone) {
    if (fkp_isa_detect(FKP_ISA_COUNT - 1) == FKP_ISA_AMX) check_first_steps(&cases[_i], FKP_ISA_AVX512);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("training golden");
    TCase *tests = tcase_create("training golden");
    tcase_set_timeout(tests, 600);
    tcase_add_loop_test(tests, the_first_steps_are_pytorchs, 0, CASES);
    tcase_add_loop_test(tests, they_are_so_in_float32_alone, 0, CASES);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
