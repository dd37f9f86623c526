/* Every step of a network's program by itself: what it computes, how, how long with one thread and with two,
 * and how near that is to the machine's ceiling.
 *
 *   bench_layers [--measure] MODEL [BATCH [RUNS]] [json]
 *
 * MODEL is a weights file, or the name of an architecture for random weights. With --measure the load chooses
 * algorithms by the clock. Runs with one and with two
 * threads take turns; a step's time is its median over the runs. MACs are those of the direct form; the share
 * of the ceiling counts the multiplications that the step's algorithm really makes, transforms left out, so
 * that no share can pass 100 %; but products of split numbers, which are not made by the instructions that
 * the ceiling is measured with, count as one each and pass it. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/floating.h"
#include "facekp/facekp.h"
#include "facekp/model.h"
#include "graph/program.h"
#include "kernels/harness.h"

enum { WARM_UP = 3, MOST_THREADS = 2 };

static double now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return 1e3 * (double)time.tv_sec + 1e-6 * (double)time.tv_nsec;
}

static _Noreturn void stop(const char *what, const char *message) {
    fprintf(stderr, "bench_layers: %s: %s\n", what, message);
    exit(EXIT_FAILURE);
}

static void *take(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) stop("buffers", "no memory");
    return memory;
}

static facekp_model *load(const char *name, bool measured) {
    char message[512] = "";
    facekp_load_options options = FACEKP_LOAD_OPTIONS_INIT;
    options.measure = measured;
    options.message = message;
    options.message_size = sizeof message;
    static const char *const names[] = {"", "direct", "resnet18", "dino", "unet"};
    for (int32_t i = FACEKP_DIRECT; i <= FACEKP_UNET; i++)
        if (strcmp(name, names[i]) == 0) {
            options.architecture = i;
            options.random_weights = 1;
        }
    facekp_model *model;
    if (facekp_model_load(options.random_weights ? NULL : name, &options, &model) != FACEKP_OK)
        stop(name, message);
    return model;
}

/* ---- work ---- */

static double product(double a, double b, double c) { return a * b * c; }

/* Multiply-adds of a step for one image in direct form, by itself. */
static double own_macs(const fkp_step *step) {
    double in = (double)step->in.channels, out = (double)step->out.channels;
    double rows = (double)fkp_shape_rows(step->out), taps = (double)(step->kernel * step->kernel);
    switch (step->kind) {
    case FKP_STEP_CONVOLUTION:
        return product(rows, out, taps * in);
    case FKP_STEP_UPSAMPLING:
    case FKP_STEP_LINEAR:
    case FKP_STEP_LINEAR_TO_PLANES:
        return product(rows, out, in);
    case FKP_STEP_ATTENTION:
        return 2.0 * product(rows, rows, out);
    case FKP_STEP_QUERY_ATTENTION:
        return 2.0 * product(rows, (double)fkp_shape_rows(step->in), in);
    default:
        return 0.0;
    }
}

/* With those of a step inside of it. */
static double macs_of(const fkp_program *program, const fkp_step *step) {
    if (step->inside) return 0.0;
    return own_macs(step) + (step->upsampling < 0 ? 0.0 : own_macs(&program->steps[step->upsampling]));
}

/* The same by the algorithm that computes it: a Winograd tile has n x n products in place of m x m x r x r.
 */
static double products_of(const fkp_program *program, const fkp_step *step) {
    if (step->kind != FKP_STEP_CONVOLUTION || !fkp_is_winograd(step->algorithm))
        return macs_of(program, step);
    const fkp_winograd_record *record =
        &program->kernels.winograd[step->algorithm - FKP_CONVOLUTION_WINOGRAD_2_3];
    double m = (double)record->tile, r = (double)record->kernel, n = (double)record->side;
    return own_macs(step) * (n * n) / (m * m * r * r);
}

static const char *algorithm_of(const fkp_kernels *kernels, const fkp_step *step) {
    if (step->kind != FKP_STEP_CONVOLUTION) return "";
    if (step->algorithm == FKP_CONVOLUTION_DIRECT) return "direct";
    if (step->algorithm == FKP_CONVOLUTION_SPLIT) return kernels->split.name;
    return kernels->winograd[step->algorithm - FKP_CONVOLUTION_WINOGRAD_2_3].name;
}

static void write_shape(const fkp_step *step, char *text, size_t size) {
    const char *note = step->pool.size > 0 ? ", pooled" : "";
    if (step->inside) note = ", in the next";
    if (step->kernel > 0)
        snprintf(text, size, "%zux%zux%zu -> %zu, %zux%zu/%zu%s", step->in.height, step->in.width,
                 step->in.channels, step->out.channels, step->kernel, step->kernel, step->stride, note);
    else
        snprintf(text, size, "%zu x %zu -> %zu x %zu%s", fkp_shape_rows(step->in), step->in.channels,
                 fkp_shape_rows(step->out), step->out.channels, note);
}

/* ---- time ---- */

/* A workspace with its own threads, and the times it took: runs of all steps, one after the other. */
typedef struct subject {
    fkp_pool *pool;
    fkp_workspace *workspace;
    double *times; /* steps x runs */
} subject;

static subject create_subject(const fkp_program *program, int32_t threads, size_t batch, size_t runs) {
    const fkp_memory memory = fkp_memory_from(NULL);
    fkp_error error = {0};
    subject s = {.times = take((size_t)program->step_count * runs, sizeof *s.times)};
    if (fkp_pool_create(&memory, threads, NULL, NULL, &s.pool, &error) != FACEKP_OK ||
        fkp_workspace_create(&memory, program, batch, s.pool, &s.workspace, &error) != FACEKP_OK)
        stop("workspace", error.message);
    return s;
}

static void free_subject(subject *s) {
    fkp_workspace_free(s->workspace);
    fkp_pool_free(s->pool);
    free(s->times);
}

static void time_run(const subject *s, int32_t steps, const float *in, size_t batch, float *out, int run,
                     int runs) {
    double begin = now_ms();
    for (int32_t i = 0; i < steps; i++) {
        fkp_workspace_run_step(s->workspace, i, in, batch, out);
        double end = now_ms();
        if (run >= 0) s->times[i * runs + run] = end - begin;
        begin = end;
    }
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *times, int runs) {
    qsort(times, (size_t)runs, sizeof *times, by_value);
    return times[runs / 2];
}

/* ---- report ---- */

typedef struct line {
    const char *kind, *algorithm, *shape;
    double macs, products;   /* of the batch */
    double ms[MOST_THREADS]; /* with 1, 2, … threads */
    double fastest[MOST_THREADS];
} line;

/* Share of the ceiling of as many threads. */
static double share(const line *l, double peak, int threads) {
    return 2.0 * l->products / (l->ms[threads - 1] * 1e6) / (peak * threads);
}

static void print_line(const line *l, int32_t index, double peak, bool json) {
    double rate = 2.0 * l->macs / (l->ms[0] * 1e6), speedup = l->ms[0] / l->ms[1];
    if (json)
        printf("{\"step\": %d, \"operator\": \"%s\", \"algorithm\": \"%s\", \"shape\": \"%s\", \"mmacs\": "
               "%.3f, \"ms_1\": %.4f, \"ms_2\": %.4f, \"fastest_1\": %.4f, \"fastest_2\": "
               "%.4f, \"gflops_1\": %.1f, \"share_1\": %.3f, \"share_2\": %.3f}\n",
               (int)index, l->kind, l->algorithm, l->shape, l->macs * 1e-6, l->ms[0], l->ms[1], l->fastest[0],
               l->fastest[1], rate, share(l, peak, 1), share(l, peak, 2));
    else
        printf("%3d %-16s %-25s %-34s %8.1f %8.3f %8.3f %6.2f %8.1f %4.0f %% %4.0f %%\n", (int)index, l->kind,
               l->algorithm, l->shape, l->macs * 1e-6, l->ms[0], l->ms[1], speedup, rate,
               100.0 * share(l, peak, 1), 100.0 * share(l, peak, 2));
}

static void report(const fkp_program *program, subject *subjects, size_t batch, int runs, bool json) {
    const fkp_kernels *kernels = &program->kernels;
    double peak = peak_gflops(kernels->isa);
    if (!json)
        printf("%.0f GFLOP/s a thread\n%3s %-16s %-25s %-34s %8s %8s %8s %6s %8s %13s\n", peak, "",
               "operator", "algorithm", "shape", "MMAC", "ms, 1", "ms, 2", "1 / 2", "GFLOP/s", "share 1, 2");
    line total = {.kind = "all", .algorithm = "", .shape = ""};
    for (int32_t i = 0; i < program->step_count; i++) {
        const fkp_step *step = &program->steps[i];
        char shape[96];
        write_shape(step, shape, sizeof shape);
        line l = {.kind = fkp_step_kind_name(step->kind),
                  .algorithm = algorithm_of(kernels, step),
                  .shape = shape,
                  .macs = macs_of(program, step) * (double)batch,
                  .products = products_of(program, step) * (double)batch};
        total.macs += l.macs;
        total.products += l.products;
        for (int k = 0; k < MOST_THREADS; k++) {
            l.ms[k] = median(subjects[k].times + i * runs, runs);
            l.fastest[k] = subjects[k].times[i * runs]; /* they are sorted now */
            total.ms[k] += l.ms[k];
            total.fastest[k] += l.fastest[k];
        }
        print_line(&l, i, peak, json);
    }
    print_line(&total, program->step_count, peak, json);
}

int main(int count, char **arguments) {
    const bool measured = count > 1 && strcmp(arguments[1], "--measure") == 0;
    if (measured) count--, arguments++;
    bool json = count > 2 && strcmp(arguments[count - 1], "json") == 0;
    if (json) count--;
    if (count < 2 || count > 4) stop("usage", "[--measure] MODEL [BATCH [RUNS]] [json]");
    int batch = count > 2 ? atoi(arguments[2]) : 1, runs = count > 3 ? atoi(arguments[3]) : 31;
    if (batch < 1 || runs < 1) stop("usage", "BATCH and RUNS are positive");

    facekp_model *model = load(arguments[1], measured);
    const fkp_program *program = model->program;
    size_t images = (size_t)batch, pixels = fkp_shape_floats(model->network->layers[0].shape);
    float *in = take(images * pixels, sizeof *in);
    float *out = take(images * facekp_model_output_count(model), sizeof *out);
    for (size_t i = 0; i < images * pixels; i++) in[i] = (float)(i * 2654435761u % 1024) / 1024.0f;

    fkp_floating floating = fkp_floating_begin(true);
    subject subjects[MOST_THREADS];
    for (int k = 0; k < MOST_THREADS; k++) subjects[k] = create_subject(program, k + 1, images, (size_t)runs);
    for (int run = -WARM_UP; run < runs; run++)
        for (int k = 0; k < MOST_THREADS; k++)
            time_run(&subjects[k], program->step_count, in, images, out, run, runs);
    fkp_floating_end(floating);
    report(program, subjects, images, runs, json);

    for (int k = 0; k < MOST_THREADS; k++) free_subject(&subjects[k]);
    free(in);
    free(out);
    facekp_model_free(model);
    return EXIT_SUCCESS;
}
