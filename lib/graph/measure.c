/* The algorithm of each convolution, by a short measurement on this machine: every algorithm that can compute
 * it runs a few times, alone, on the caller's thread, on one image of made-up numbers; the fastest is taken.
 * Algorithms take turns, so that a slow moment of the machine meets all of them. Convolutions of one shape
 * are measured once.
 *
 * What it cannot see: other batches, more threads, and what the steps before have left in the caches. */
#include <math.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/floating.h"
#include "base/random.h"
#include "graph/program.h"

/* Turns after the first, which warms up. */
enum { ROUNDS = 5 };
/* Of two as fast as this the cost model's choice is taken, which knows of no noise. */
#define TIE 1.05
/* So much slower than the fastest, an algorithm gets no further turn. */
#define HOPELESS 1.5

/* The memory of a run. The numbers of the first four are made up. */
enum { DATA, WEIGHTS, BIAS, RESIDUAL, MADE_UP, RESULT = MADE_UP, SCRATCH, OPERANDS };

typedef struct bench {
    const fkp_program *program;
    fkp_pool *pool;
    size_t floats[OPERANDS];
    float *operands[OPERANDS];
} bench;

static fkp_convolution_run_arguments run_of(const bench *b, const fkp_step *step,
                                            fkp_convolution_algorithm algorithm) {
    const bool sum = step->inputs[1] >= 0;
    const fkp_epilogue epilogue = {.bias = b->operands[BIAS],
                                   .residual = sum ? b->operands[RESIDUAL] : NULL,
                                   .residual_stride = step->out.channels,
                                   .activation = step->activation};
    return (fkp_convolution_run_arguments){.shape = fkp_step_convolution(step, 1),
                                           .algorithm = algorithm,
                                           .packed = b->operands[WEIGHTS],
                                           .in = b->operands[DATA],
                                           .in_stride = step->in.channels,
                                           .out = b->operands[RESULT],
                                           .out_stride = step->out.channels,
                                           .epilogue = epilogue,
                                           .pool = step->pool};
}

/* ---- which steps ---- */

/* What is never the fastest is not tried. */
static bool offers(const fkp_program *program, const fkp_convolution *shape,
                   fkp_convolution_algorithm algorithm) {
    return fkp_convolution_can(shape, algorithm) &&
           (algorithm != FKP_CONVOLUTION_SPLIT || program->kernels.split.speed > 0.0);
}

static bool has_choice(const fkp_program *program, const fkp_step *step) {
    if (step->kind != FKP_STEP_CONVOLUTION) return false;
    fkp_convolution shape = fkp_step_convolution(step, 1);
    for (int a = FKP_CONVOLUTION_WINOGRAD_2_3; a < FKP_CONVOLUTION_ALGORITHMS; a++)
        if (offers(program, &shape, (fkp_convolution_algorithm)a)) return true;
    return false;
}

static bool same_shape(fkp_shape a, fkp_shape b) {
    return a.height == b.height && a.width == b.width && a.channels == b.channels;
}

static bool same_window(fkp_window a, fkp_window b) {
    return a.size == b.size && a.stride == b.stride && a.padding == b.padding;
}

static bool same_work(const fkp_step *a, const fkp_step *b) {
    return same_shape(a->in, b->in) && same_shape(a->out, b->out) && a->kernel == b->kernel &&
           a->stride == b->stride && a->padding == b->padding && same_window(a->pool, b->pool) &&
           a->activation == b->activation && (a->inputs[1] >= 0) == (b->inputs[1] >= 0);
}

/* The first step before `index` that does the same work, or NULL. */
static const fkp_step *measured_before(const fkp_program *program, int32_t index) {
    const fkp_step *step = &program->steps[index];
    for (int32_t i = 0; i < index; i++)
        if (has_choice(program, &program->steps[i]) && same_work(&program->steps[i], step))
            return &program->steps[i];
    return NULL;
}

/* ---- memory ---- */

/* Raises the sizes to what a step needs. */
static void make_room_for(bench *b, const fkp_step *step) {
    const fkp_kernels *kernels = &b->program->kernels;
    fkp_convolution shape = fkp_step_convolution(step, 1);
    for (int i = 0; i < FKP_CONVOLUTION_ALGORITHMS; i++) {
        fkp_convolution_algorithm algorithm = (fkp_convolution_algorithm)i;
        if (!offers(b->program, &shape, algorithm)) continue;
        fkp_convolution_run_arguments run = run_of(b, step, algorithm);
        size_t needed[OPERANDS] = {[DATA] = fkp_shape_floats(step->in),
                                   [WEIGHTS] = fkp_convolution_packed_floats(kernels, &shape, algorithm),
                                   [BIAS] = step->out.channels,
                                   [RESIDUAL] = step->inputs[1] >= 0 ? fkp_shape_floats(step->out) : 0,
                                   [RESULT] = fkp_shape_floats(step->out),
                                   [SCRATCH] =
                                       fkp_convolution_scratch(kernels, &run, fkp_pool_threads(b->pool))};
        for (size_t k = 0; k < OPERANDS; k++) b->floats[k] = fkp_max_size(b->floats[k], needed[k]);
    }
}

static facekp_status open_bench(bench *b, fkp_error *error) {
    const fkp_memory *memory = &b->program->memory;
    facekp_status status = fkp_pool_create(memory, 1, NULL, NULL, &b->pool, error);
    if (status != FACEKP_OK) return status;
    for (int32_t i = 0; i < b->program->step_count; i++)
        if (has_choice(b->program, &b->program->steps[i])) make_room_for(b, &b->program->steps[i]);
    fkp_random random = fkp_random_stream(0, 0, 0);
    for (size_t k = 0; k < OPERANDS; k++) {
        b->operands[k] = fkp_allocate(memory, b->floats[k], sizeof(float));
        if (b->operands[k] == NULL)
            return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory to measure convolutions");
        for (size_t i = 0; k < MADE_UP && i < b->floats[k]; i++)
            b->operands[k][i] = fkp_random_between(&random, -1.0f, 1.0f);
    }
    return FACEKP_OK;
}

static void close_bench(const bench *b) {
    for (size_t k = 0; k < OPERANDS; k++)
        fkp_release(&b->program->memory, b->operands[k], b->floats[k], sizeof(float));
    fkp_pool_free(b->pool);
}

/* ---- time ---- */

static double seconds_of(const bench *b, const fkp_step *step, fkp_convolution_algorithm algorithm) {
    const fkp_context context = {
        .kernels = &b->program->kernels, .pool = b->pool, .scratch = b->operands[SCRATCH]};
    const fkp_convolution_run_arguments run = run_of(b, step, algorithm);
    double begin = fkp_seconds_now();
    fkp_convolution_run(&context, &run);
    return fkp_seconds_now() - begin;
}

/* Fastest run of each algorithm; infinity for those that cannot. Returns the fastest of all. */
static double time_algorithms(const bench *b, const fkp_step *step,
                              double seconds[FKP_CONVOLUTION_ALGORITHMS]) {
    const fkp_convolution shape = fkp_step_convolution(step, 1);
    double least = (double)INFINITY;
    for (int a = 0; a < FKP_CONVOLUTION_ALGORITHMS; a++) seconds[a] = (double)INFINITY;
    for (int round = 0; round <= ROUNDS; round++)
        for (int a = 0; a < FKP_CONVOLUTION_ALGORITHMS; a++) {
            fkp_convolution_algorithm algorithm = (fkp_convolution_algorithm)a;
            if (!offers(b->program, &shape, algorithm)) continue;
            bool hopeless = round > 0 && seconds[a] > HOPELESS * least;
            if (hopeless && algorithm != step->algorithm) continue;
            seconds[a] = fmin(seconds[a], seconds_of(b, step, algorithm));
            least = fmin(least, seconds[a]);
        }
    return least;
}

static fkp_convolution_algorithm fastest_of(const bench *b, const fkp_step *step) {
    double seconds[FKP_CONVOLUTION_ALGORITHMS];
    double least = time_algorithms(b, step, seconds);
    if (seconds[step->algorithm] <= TIE * least) return step->algorithm;
    fkp_convolution_algorithm fastest = FKP_CONVOLUTION_DIRECT;
    while (seconds[fastest] > least) fastest++;
    return fastest;
}

facekp_status fkp_compile_measure(fkp_compiler *compiler, fkp_error *error) {
    fkp_program *program = compiler->program;
    bench b = {.program = program};
    facekp_status status = open_bench(&b, error);
    /* As sessions compute. */
    fkp_floating floating = fkp_floating_begin(true);
    for (int32_t i = 0; status == FACEKP_OK && i < program->step_count; i++) {
        fkp_step *step = &program->steps[i];
        if (!has_choice(program, step)) continue;
        const fkp_step *before = measured_before(program, i);
        step->algorithm = before != NULL ? before->algorithm : fastest_of(&b, step);
    }
    fkp_floating_end(floating);
    close_bench(&b);
    return status;
}
