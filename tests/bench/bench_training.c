/* One network, one process: a whole training step (forward, loss, backward, Adam) on 224 x 224 pixels, as one
 * JSON line.
 *
 *   bench_training NETWORK THREADS BATCH STEPS [--profile]
 *
 * Weights, pixels and targets are random; smooth L1 for coordinates, cross entropy for heatmaps. With
 * --profile the milliseconds of every layer, forward and backward, go to the error stream (means over the
 * measured steps). A process of its own for each figure, because peak memory and cold start belong to
 * processes. */
#define _POSIX_C_SOURCE 200809L
#include "bench.h"

#include "base/floating.h"
#include "base/random.h"
#include "networks/networks.h"
#include "train/gradient.h"
#include "train/losses.h"
#include "train/optimiser.h"

typedef struct training {
    fkp_memory memory;
    fkp_kernels kernels;
    fkp_network *network;
    fkp_pool *pool;
    fkp_gradient *engine;
    fkp_optimiser *optimiser;
    fkp_loss loss;
    fkp_loss_batch batch;
    float *parameters, *gradients, *in, *targets, *scratch;
    double start_ms, load_ms, cold_ms;
    double *times;
    int steps;
} training;

/* Where the time of the measured steps goes: forward and backward of every layer, then loss and optimiser. */
typedef struct profile {
    double last;
    double *forward, *backward; /* per layer */
    double loss, optimiser;
} profile;

static int fail(const char *what, const char *message) {
    fprintf(stderr, "bench_training: %s: %s\n", what, message);
    return EXIT_FAILURE;
}

static double lap(profile *p) {
    double now = now_ms(CLOCK_MONOTONIC), passed = now - p->last;
    p->last = now;
    return passed;
}

static void observe(void *user, int32_t layer, bool backward) {
    profile *p = user;
    (backward ? p->backward : p->forward)[layer] += lap(p);
}

static facekp_status create(training *t, const char *name, int threads, int batch, fkp_error *error) {
    const fkp_network_options options = {.architecture = fkp_architecture_named(name)};
    const fkp_optimiser_options adam = {.kind = FKP_OPTIMISER_ADAM};
    t->memory = fkp_memory_from(NULL);
    fkp_kernels_select(FKP_ISA_COUNT - 1, &t->kernels);
    facekp_status status = fkp_network_create(&t->memory, &options, &t->network, error);
    if (status == FACEKP_OK) status = fkp_pool_create(&t->memory, threads, NULL, NULL, &t->pool, error);
    if (status == FACEKP_OK)
        status = fkp_gradient_create(&t->memory, t->network, &t->kernels, t->pool, (size_t)batch, &t->engine,
                                     error);
    if (status == FACEKP_OK)
        status = fkp_optimiser_create(&t->memory, t->network, &t->kernels, t->pool, &adam, NULL, 0,
                                      &t->optimiser, error);
    return status;
}

static float *take_floats(const training *t, size_t count) {
    return fkp_allocate(&t->memory, count, sizeof(float));
}

/* Random numbers where a step reads; false without memory. */
static bool fill(training *t, size_t batch) {
    const fkp_network *network = t->network;
    const fkp_shape shape = network->layers[network->layer_count - 1].shape;
    const size_t pixels = batch * fkp_shape_floats(network->layers[0].shape);
    const size_t numbers = batch * 2 * network->keypoints;
    const bool heatmaps = network->output_kind == FACEKP_OUTPUT_HEATMAPS;
    t->loss.kind = heatmaps ? FKP_LOSS_CROSS_ENTROPY : FKP_LOSS_SMOOTH_L1;
    t->parameters = take_floats(t, network->storage);
    t->gradients = take_floats(t, network->storage);
    t->in = take_floats(t, pixels);
    t->targets = take_floats(t, numbers);
    t->scratch = take_floats(t, fkp_loss_scratch(&t->loss, shape, batch));
    t->times = calloc((size_t)t->steps, sizeof *t->times);
    if (t->parameters == NULL || t->gradients == NULL || t->in == NULL || t->targets == NULL ||
        t->scratch == NULL || t->times == NULL)
        return false;
    fkp_network_initialize(network, 1, t->parameters);
    fkp_random random = fkp_random_stream(1, 2, 3);
    for (size_t i = 0; i < pixels; i++) t->in[i] = fkp_random_between(&random, 0.0f, 1.0f);
    const float largest = heatmaps ? (float)(shape.width - 1) : 1.0f;
    for (size_t i = 0; i < numbers; i++) t->targets[i] = fkp_random_between(&random, 0.0f, largest);
    t->batch = (fkp_loss_batch){.count = batch, .shape = shape, .targets = t->targets};
    return true;
}

static void take_step(training *t, uint64_t number, profile *p) {
    const fkp_context context = {.kernels = &t->kernels, .pool = t->pool, .scratch = t->scratch};
    lap(p);
    float *output = fkp_gradient_forward(t->engine, t->parameters, t->in, t->batch.count,
                                         &(fkp_forward){.training = true, .stream = number});
    t->batch.output = t->batch.d_output = output;
    lap(p);
    (void)fkp_loss_run(&context, &t->loss, &t->batch);
    p->loss += lap(p);
    fkp_gradient_backward(t->engine, t->parameters, output, false, t->gradients);
    lap(p);
    (void)fkp_optimiser_step(t->optimiser, &(fkp_optimiser_step_values){.rate = 1e-4}, t->parameters,
                             t->gradients);
    p->optimiser += lap(p);
}

static void measure(training *t, profile *p) {
    for (int step = -WARM_UP; step < t->steps; step++) {
        if (step == 0) {
            memset(p->forward, 0, 2 * (size_t)t->network->layer_count * sizeof *p->forward);
            p->loss = p->optimiser = 0.0;
        }
        double begin = now_ms(CLOCK_MONOTONIC);
        take_step(t, (uint64_t)(step + WARM_UP), p);
        if (step >= 0) t->times[step] = now_ms(CLOCK_MONOTONIC) - begin;
        if (step == -WARM_UP) t->cold_ms = now_ms(CLOCK_MONOTONIC) - t->start_ms;
    }
    sort_times(t->times, t->steps);
}

static void print_profile(const training *t, const profile *p) {
    double forward = 0.0, backward = 0.0, steps = (double)t->steps;
    for (int32_t i = 1; i < t->network->layer_count; i++) {
        const fkp_layer *layer = &t->network->layers[i];
        if (p->forward[i] + p->backward[i] <= 0.0) continue;
        fprintf(stderr, "%3d %-16s %-28s %3zu x %3zu x %4zu  %8.2f %8.2f\n", (int)i,
                fkp_layer_kind_name(layer->kind), layer->name, layer->shape.height, layer->shape.width,
                layer->shape.channels, p->forward[i] / steps, p->backward[i] / steps);
        forward += p->forward[i] / steps;
        backward += p->backward[i] / steps;
    }
    fprintf(stderr, "layers %.2f forward, %.2f backward; loss %.2f, optimiser %.2f ms\n", forward, backward,
            p->loss / steps, p->optimiser / steps);
}

static void print_line(const training *t, const char *name, int threads, int batch) {
    const double median = t->times[t->steps / 2];
    printf("{\"runtime\": \"facekp-train\", \"net\": \"%s\", \"threads\": %d, \"batch\": %d, \"median_ms\": "
           "%.2f, \"min_ms\": %.2f, \"images_per_s\": %.2f, \"load_ms\": %.0f, \"cold_ms\": %.0f, "
           "\"rss_mb\": %ld, \"engine_mb\": %.1f}\n",
           name, threads, batch, median, t->times[0], 1e3 * batch / median, t->load_ms, t->cold_ms, peak_mb(),
           (double)fkp_gradient_bytes(t->engine) / 1048576.0);
}

static void release(training *t, size_t batch) {
    const fkp_memory *memory = &t->memory;
    const size_t storage = t->network->storage;
    const fkp_shape shape = t->batch.shape;
    fkp_optimiser_free(t->optimiser);
    fkp_gradient_free(t->engine);
    fkp_pool_free(t->pool);
    fkp_release(memory, t->parameters, storage, sizeof(float));
    fkp_release(memory, t->gradients, storage, sizeof(float));
    fkp_release(memory, t->in, batch * fkp_shape_floats(t->network->layers[0].shape), sizeof(float));
    fkp_release(memory, t->targets, batch * 2 * t->network->keypoints, sizeof(float));
    fkp_release(memory, t->scratch, fkp_loss_scratch(&t->loss, shape, batch), sizeof(float));
    free(t->times);
    fkp_network_free(memory, t->network);
}

int main(int count, char **arguments) {
    const double start = start_ms();
    const bool profiled = count == 6 && strcmp(arguments[5], "--profile") == 0;
    if (count != 5 && !profiled) return fail("usage", "NETWORK THREADS BATCH STEPS [--profile]");
    const int threads = atoi(arguments[2]), batch = atoi(arguments[3]);
    training t = {.start_ms = start, .steps = atoi(arguments[4])};
    if (threads < 1 || batch < 1 || t.steps < 1)
        return fail("usage", "THREADS, BATCH and STEPS are positive");

    fkp_error error = {0};
    const fkp_floating floating = fkp_floating_begin(true);
    const double begin = now_ms(CLOCK_MONOTONIC);
    if (create(&t, arguments[1], threads, batch, &error) != FACEKP_OK)
        return fail(arguments[1], error.message);
    if (!fill(&t, (size_t)batch)) return fail("buffers", "no memory");
    t.load_ms = now_ms(CLOCK_MONOTONIC) - begin;
    profile p = {.forward = calloc(2 * (size_t)t.network->layer_count, sizeof(double))};
    if (p.forward == NULL) return fail("profile", "no memory");
    p.backward = p.forward + t.network->layer_count;
    if (profiled) fkp_gradient_observe(t.engine, observe, &p);
    measure(&t, &p);
    fkp_floating_end(floating);

    if (profiled) print_profile(&t, &p);
    print_line(&t, arguments[1], threads, batch);
    free(p.forward);
    release(&t, (size_t)batch);
    return EXIT_SUCCESS;
}
