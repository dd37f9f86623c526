/* The operators on the shapes of the four networks, with one thread and with two. */
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"
#include "operators/operators.h"

typedef struct timed {
    fkp_context context;
    fkp_gemm gemm;
    fkp_convolution_run_arguments convolution;
    fkp_attention attention;
} timed;

static float *floats(trial *check, const fkp_memory *memory, size_t count) {
    float *values = fkp_allocate(memory, count, sizeof *values);
    if (values == NULL) {
        fprintf(stderr, "no memory for the benchmark\n");
        exit(EXIT_FAILURE);
    }
    for (size_t i = 0; i < count; i++) values[i] = fkp_random_between(&check->random, -1.0f, 1.0f);
    return values;
}

/* The rate is that of a thread. */
static void report(trial *check, const char *what, size_t threads, double operations, double seconds) {
    char line[128];
    snprintf(line, sizeof line, "%s, %zu thread%s", what, threads, threads == 1 ? "" : "s");
    report_gflops(check, line, operations / (double)threads, seconds);
}

static void run_gemm(void *argument) {
    const timed *t = argument;
    fkp_gemm_run(&t->context, &t->gemm);
}

static void bench_product(trial *check, fkp_pool *pool, size_t rows, size_t depth, size_t columns,
                          fkp_activation activation) {
    fkp_memory memory = fkp_memory_from(NULL);
    const fkp_kernels *kernels = &check->kernels;
    size_t packed_floats = fkp_gemm_packed_floats(kernels, depth, columns);
    float *in = floats(check, &memory, rows * depth), *packed = floats(check, &memory, packed_floats);
    float *out = floats(check, &memory, rows * columns), *bias = floats(check, &memory, columns);
    timed t = {.context = {.kernels = kernels, .pool = pool},
               .gemm = {.rows = rows,
                        .depth = depth,
                        .columns = columns,
                        .in = in,
                        .in_stride = depth,
                        .packed = packed,
                        .out = out,
                        .out_stride = columns,
                        .epilogue = {.bias = bias, .activation = activation}}};
    size_t scratch_floats = fkp_gemm_scratch(kernels, &t.gemm, fkp_pool_threads(pool));
    t.context.scratch = floats(check, &memory, scratch_floats);
    char what[64];
    snprintf(what, sizeof what, "product %zu x %zu x %zu", rows, depth, columns);
    double seconds = seconds_of(run_gemm, &t);
    report(check, what, fkp_pool_threads(pool), 2.0 * (double)(rows * depth * columns), seconds);
    /* A single row uses each weight once. */
    if (rows == 1 && fkp_pool_threads(pool) == 1)
        report_streaming(check, what, (double)sizeof(float) * (double)packed_floats, seconds);
    fkp_release(&memory, in, rows * depth, sizeof *in);
    fkp_release(&memory, packed, packed_floats, sizeof *packed);
    fkp_release(&memory, out, rows * columns, sizeof *out);
    fkp_release(&memory, bias, columns, sizeof *bias);
    fkp_release(&memory, t.context.scratch, scratch_floats, sizeof(float));
}

static void run_convolution(void *argument) {
    const timed *t = argument;
    fkp_convolution_run(&t->context, &t->convolution);
}

/* One layer of a network; images are squares. */
typedef struct layer {
    const char *network;
    size_t size, in_channels, out_channels, kernel, stride, padding;
    fkp_activation activation;
    bool pool;
} layer;
static const layer layers[] = {{"direct", 224, 1, 32, 4, 1, 0, FKP_ACTIVATION_ELU, true},
                               {"direct", 110, 32, 64, 4, 1, 0, FKP_ACTIVATION_ELU, true},
                               {"direct", 53, 64, 128, 4, 1, 0, FKP_ACTIVATION_ELU, true},
                               {"direct", 25, 128, 256, 4, 1, 0, FKP_ACTIVATION_ELU, true},
                               {"resnet18", 224, 1, 64, 7, 2, 3, FKP_ACTIVATION_RELU, false},
                               {"resnet18", 56, 64, 64, 3, 1, 1, FKP_ACTIVATION_RELU, false},
                               {"resnet18", 56, 64, 128, 3, 2, 1, FKP_ACTIVATION_RELU, false},
                               {"resnet18", 56, 64, 128, 1, 2, 0, FKP_ACTIVATION_NONE, false},
                               {"resnet18", 28, 128, 128, 3, 1, 1, FKP_ACTIVATION_RELU, false},
                               {"resnet18", 28, 128, 256, 3, 2, 1, FKP_ACTIVATION_RELU, false},
                               {"resnet18", 14, 256, 256, 3, 1, 1, FKP_ACTIVATION_RELU, false},
                               {"resnet18", 14, 256, 512, 3, 2, 1, FKP_ACTIVATION_RELU, false},
                               {"resnet18", 7, 512, 512, 3, 1, 1, FKP_ACTIVATION_RELU, false},
                               {"dino", 224, 1, 384, 16, 16, 0, FKP_ACTIVATION_NONE, false},
                               {"unet", 224, 1, 32, 3, 1, 1, FKP_ACTIVATION_ELU, false},
                               {"unet", 224, 32, 32, 3, 1, 1, FKP_ACTIVATION_ELU, false},
                               {"unet", 112, 64, 64, 3, 1, 1, FKP_ACTIVATION_ELU, false},
                               {"unet", 14, 256, 512, 3, 1, 1, FKP_ACTIVATION_ELU, false},
                               {"unet", 224, 32, 68, 1, 1, 0, FKP_ACTIVATION_NONE, false}};

static void bench_algorithm(trial *check, fkp_pool *pool, const layer *l, const fkp_convolution *shape,
                            fkp_convolution_algorithm algorithm) {
    fkp_memory memory = fkp_memory_from(NULL);
    const fkp_kernels *kernels = &check->kernels;
    timed t = {.context = {.kernels = kernels, .pool = pool},
               .convolution = {.shape = *shape,
                               .algorithm = algorithm,
                               .in_stride = l->in_channels,
                               .out_stride = l->out_channels,
                               .pool = l->pool ? (fkp_window){2, 2, 0} : (fkp_window){0, 0, 0}}};
    size_t in_floats = l->size * l->size * l->in_channels;
    size_t out_floats = shape->out_height * shape->out_width * l->out_channels;
    size_t packed_floats = fkp_convolution_packed_floats(kernels, shape, algorithm);
    size_t scratch_floats = fkp_convolution_scratch(kernels, &t.convolution, fkp_pool_threads(pool));
    float *in = floats(check, &memory, in_floats), *packed = floats(check, &memory, packed_floats);
    float *out = floats(check, &memory, out_floats), *bias = floats(check, &memory, l->out_channels);
    t.convolution.in = in;
    t.convolution.packed = packed;
    t.convolution.out = out;
    t.convolution.epilogue = (fkp_epilogue){.bias = bias, .activation = l->activation};
    t.context.scratch = floats(check, &memory, scratch_floats);
    char what[96];
    snprintf(what, sizeof what, "%s %zu: %zu -> %zu, %zux%zu/%zu, algorithm %d", l->network, l->size,
             l->in_channels, l->out_channels, l->kernel, l->kernel, l->stride, (int)algorithm);
    double operations = 2.0 * (double)(out_floats * l->kernel * l->kernel * l->in_channels);
    report(check, what, fkp_pool_threads(pool), operations, seconds_of(run_convolution, &t));
    fkp_release(&memory, in, in_floats, sizeof *in);
    fkp_release(&memory, packed, packed_floats, sizeof *packed);
    fkp_release(&memory, out, out_floats, sizeof *out);
    fkp_release(&memory, bias, l->out_channels, sizeof *bias);
    fkp_release(&memory, t.context.scratch, scratch_floats, sizeof(float));
}

/* In direct form, and in the one that the cost model chooses. */
static void bench_layer(trial *check, fkp_pool *pool, const layer *l) {
    size_t out_size = (l->size + 2 * l->padding - l->kernel) / l->stride + 1;
    fkp_convolution shape = {.batch = 1,
                             .in_height = l->size,
                             .in_width = l->size,
                             .in_channels = l->in_channels,
                             .out_height = out_size,
                             .out_width = out_size,
                             .out_channels = l->out_channels,
                             .kernel = l->kernel,
                             .stride = l->stride,
                             .padding = l->padding};
    fkp_convolution_algorithm best = fkp_convolution_choose(&check->kernels, &shape);
    bench_algorithm(check, pool, l, &shape, FKP_CONVOLUTION_DIRECT);
    if (best != FKP_CONVOLUTION_DIRECT) bench_algorithm(check, pool, l, &shape, best);
}

static void run_attention(void *argument) {
    const timed *t = argument;
    fkp_attention_run(&t->context, &t->attention);
}

static void bench_attention(trial *check, fkp_pool *pool) {
    enum { TOKENS = 197, HEADS = 6, CHANNELS = 64, ROW = HEADS * CHANNELS };
    fkp_memory memory = fkp_memory_from(NULL);
    float *qkv = floats(check, &memory, 3 * ROW * TOKENS), *out = floats(check, &memory, ROW * TOKENS);
    timed t = {.context = {.kernels = &check->kernels, .pool = pool},
               .attention = {1, TOKENS, HEADS, CHANNELS, qkv, 3 * ROW, out, ROW}};
    size_t scratch_floats = fkp_attention_scratch(&check->kernels, &t.attention, fkp_pool_threads(pool));
    t.context.scratch = floats(check, &memory, scratch_floats);
    report(check, "dino attention", fkp_pool_threads(pool), 4.0 * TOKENS * TOKENS * ROW,
           seconds_of(run_attention, &t));
    fkp_release(&memory, qkv, 3 * ROW * TOKENS, sizeof *qkv);
    fkp_release(&memory, out, ROW * TOKENS, sizeof *out);
    fkp_release(&memory, t.context.scratch, scratch_floats, sizeof(float));
}

void bench_operators(trial *check) {
    fkp_memory memory = fkp_memory_from(NULL);
    for (int32_t threads = 1; threads <= 2; threads++) {
        fkp_pool *pool;
        if (fkp_pool_create(&memory, threads, NULL, NULL, &pool, NULL) != FACEKP_OK) exit(EXIT_FAILURE);
        bench_product(check, pool, 197, 384, 1152, FKP_ACTIVATION_NONE);
        bench_product(check, pool, 197, 384, 384, FKP_ACTIVATION_NONE);
        bench_product(check, pool, 197, 384, 1536, FKP_ACTIVATION_GELU);
        bench_product(check, pool, 197, 1536, 384, FKP_ACTIVATION_NONE);
        bench_product(check, pool, 1, 30976, 1024, FKP_ACTIVATION_ELU);
        bench_product(check, pool, 8, 30976, 1024, FKP_ACTIVATION_ELU);
        bench_product(check, pool, 1024, 1024, 1024, FKP_ACTIVATION_NONE);
        bench_attention(check, pool);
        for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) bench_layer(check, pool, &layers[i]);
        fkp_pool_free(pool);
    }
}
