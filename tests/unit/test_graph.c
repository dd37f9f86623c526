/* Programs against their descriptions: every layer kind and every way of fusing and placing it computes what
 * the description says, in the same bits for any threads and batches, without a copy where none is due. */
#include <check.h>

#include "golden/generator.h"
#include "graph/program.h"
#include "networks/networks.h"
#include "support/failing_allocator.h"
#include "support/interpreter.h"
#include "support/run_suite.h"

/* ---- small networks that exercise the compiler ---- */

/* A norm and an activation that no product comes before; the activation works in place. */
static void describe_unfoldable(fkp_builder *b) {
    int32_t x = fkp_add_convolution(b, 0, "a", 5, 3, 1, 1, true);
    x = fkp_add_max_pooling(b, x, 3, 2, 1);
    x = fkp_add_batch_norm(b, x, "n");
    x = fkp_add_max_pooling(b, x, 2, 1, 0);
    fkp_add_activation(b, x, FKP_ACTIVATION_GELU);
}

/* A convolution that is read before its norm too: nothing may be folded. */
static void describe_shared(fkp_builder *b) {
    int32_t x = fkp_add_convolution(b, 0, "a", 6, 3, 1, 1, false);
    int32_t y = fkp_add_batch_norm(b, x, "n");
    y = fkp_add_activation(b, y, FKP_ACTIVATION_RELU);
    x = fkp_add_sum(b, x, y);
    fkp_add_convolution(b, x, "b", 3, 3, 2, 1, true);
}

/* A 4 x 4 kernel, and pooling that drops an odd row and column; dropout between what is fused. */
static void describe_pooled(fkp_builder *b) {
    int32_t x = fkp_add_convolution(b, 0, "a", 7, 4, 1, 0, true);
    x = fkp_add_dropout(b, x, 0.5f, false);
    x = fkp_add_batch_norm(b, x, "n");
    x = fkp_add_activation(b, x, FKP_ACTIVATION_ELU);
    x = fkp_add_max_pooling(b, x, 2, 2, 0);
    x = fkp_add_convolution(b, x, "b", 9, 4, 1, 0, true);
    x = fkp_add_max_pooling(b, x, 2, 2, 0);
    x = fkp_add_flatten(b, x);
    x = fkp_add_dropout(b, x, 0.5f, false);
    x = fkp_add_linear(b, x, "l", 70);
    x = fkp_add_batch_norm(b, x, "m");
    x = fkp_add_activation(b, x, FKP_ACTIVATION_ELU);
    fkp_add_linear(b, x, "o", 5);
}

/* Slices inside slices, and a tensor that is wanted twice. */
static void describe_concatenations(fkp_builder *b) {
    int32_t x = fkp_add_convolution(b, 0, "a", 4, 3, 1, 1, true);
    int32_t y = fkp_add_convolution(b, x, "b", 3, 1, 1, 0, true);
    int32_t inner = fkp_add_concatenation(b, x, y);
    int32_t z = fkp_add_convolution(b, inner, "c", 2, 3, 1, 1, true);
    int32_t outer = fkp_add_concatenation(b, z, inner);
    int32_t twice = fkp_add_concatenation(b, y, outer);
    int32_t with_input = fkp_add_concatenation(b, twice, 0);
    fkp_add_convolution(b, with_input, "d", 3, 3, 1, 1, true);
}

static void describe_same_twice(fkp_builder *b) {
    int32_t x = fkp_add_convolution(b, 0, "a", 3, 3, 1, 1, true);
    x = fkp_add_concatenation(b, x, x);
    x = fkp_add_sum(b, x, x);
    fkp_add_average_pooling(b, x);
}

static void describe_upsampled(fkp_builder *b) {
    int32_t x = fkp_add_convolution(b, 0, "a", 6, 3, 1, 1, true);
    int32_t y = fkp_add_max_pooling(b, x, 2, 2, 0);
    y = fkp_add_upsampling(b, y, "u", 5);
    y = fkp_add_batch_norm(b, y, "n");
    y = fkp_add_concatenation(b, x, y);
    fkp_add_convolution(b, y, "o", 4, 1, 1, 0, true);
}

/* Two upsamplings beside a tensor of their size: one that a convolution alone reads, one that is read twice.
 */
static void describe_upsampled_twice(fkp_builder *b) {
    int32_t x = fkp_add_convolution(b, 0, "a", 32, 3, 1, 1, true);
    int32_t y = fkp_add_max_pooling(b, x, 2, 2, 0);
    int32_t once = fkp_add_upsampling(b, fkp_add_convolution(b, y, "b", 40, 3, 1, 1, true), "u", 64);
    once = fkp_add_concatenation(b, x, once);
    once = fkp_add_convolution(b, once, "c", 32, 3, 1, 1, true);
    int32_t again = fkp_add_upsampling(b, fkp_add_convolution(b, y, "d", 32, 3, 1, 1, true), "v", 32);
    int32_t both = fkp_add_concatenation(b, once, again);
    both = fkp_add_convolution(b, both, "e", 32, 3, 1, 1, true);
    fkp_add_convolution(b, fkp_add_sum(b, both, again), "o", 3, 1, 1, 0, true);
}

/* Two branches that each could take the sum. */
static void describe_projected(fkp_builder *b) {
    int32_t x = fkp_add_convolution(b, 0, "a", 8, 3, 1, 1, false);
    int32_t y = fkp_add_convolution(b, x, "b", 8, 3, 2, 1, false);
    y = fkp_add_batch_norm(b, y, "n");
    int32_t z = fkp_add_convolution(b, x, "p", 8, 1, 2, 0, false);
    z = fkp_add_batch_norm(b, z, "m");
    y = fkp_add_sum(b, y, z);
    y = fkp_add_activation(b, y, FKP_ACTIVATION_RELU);
    fkp_add_flatten(b, y);
}

/* Sums that convolutions take: with their own input, with what nobody reads later, which is written over, and
 * with what is read again. */
static void describe_residuals(fkp_builder *b) {
    int32_t x = fkp_add_convolution(b, 0, "a", 16, 3, 1, 1, true);
    x = fkp_add_sum(b, fkp_add_convolution(b, x, "b", 16, 3, 1, 1, true), x);
    int32_t y = fkp_add_convolution(b, x, "c", 16, 3, 1, 1, true);
    y = fkp_add_convolution(b, y, "d", 16, 3, 1, 1, true);
    y = fkp_add_activation(b, fkp_add_sum(b, y, x), FKP_ACTIVATION_RELU);
    x = fkp_add_convolution(b, y, "e", 16, 3, 1, 1, true);
    x = fkp_add_sum(b, fkp_add_convolution(b, x, "f", 16, 3, 1, 1, true), y);
    x = fkp_add_sum(b, fkp_add_convolution(b, x, "g", 16, 3, 1, 1, true), y);
    fkp_add_convolution(b, x, "h", 3, 1, 1, 0, true);
}

/* Sums with what the same convolution reads a part of, or reads as a part: neither may be written over. */
static void describe_sums_of_parts(fkp_builder *b) {
    int32_t x = fkp_add_convolution(b, 0, "a", 16, 3, 1, 1, true);
    int32_t y = fkp_add_convolution(b, x, "b", 16, 3, 1, 1, true);
    int32_t both = fkp_add_concatenation(b, x, y);
    x = fkp_add_sum(b, fkp_add_convolution(b, x, "c", 32, 3, 1, 1, true), both);
    y = fkp_add_convolution(b, x, "d", 16, 3, 1, 1, true);
    x = fkp_add_convolution(b, x, "e", 16, 3, 1, 1, true);
    both = fkp_add_concatenation(b, x, y);
    x = fkp_add_sum(b, fkp_add_convolution(b, both, "f", 16, 3, 1, 1, true), y);
    fkp_add_convolution(b, x, "g", 3, 1, 1, 0, true);
}

/* Skipped tokens read by what cannot read around them. */
static void describe_skipped(fkp_builder *b) {
    int32_t x = fkp_add_convolution(b, 0, "a", 12, 8, 8, 0, true);
    x = fkp_add_tokens(b, x, "class", "position");
    x = fkp_add_skip_tokens(b, x);
    x = fkp_add_linear(b, x, "l", 36);
    x = fkp_add_attention(b, x, 4);
    fkp_add_skip_tokens(b, x);
}

static void describe_flattened_tokens(fkp_builder *b) {
    int32_t x = fkp_add_convolution(b, 0, "a", 12, 8, 8, 0, true);
    x = fkp_add_tokens(b, x, "class", "position");
    x = fkp_add_skip_tokens(b, x);
    fkp_add_flatten(b, x);
}

static void (*const small[])(fkp_builder *) = {
    describe_unfoldable,       describe_shared,        describe_pooled,          describe_concatenations,
    describe_same_twice,       describe_upsampled,     describe_projected,       describe_skipped,
    describe_flattened_tokens, describe_sums_of_parts, describe_upsampled_twice, describe_residuals};
enum { SMALL = sizeof small / sizeof *small };

static const fkp_network_options whole[] = {
    {.architecture = FACEKP_DIRECT, .input_size = 80, .keypoints = 5},
    {.architecture = FACEKP_RESNET18, .input_size = 33, .keypoints = 3},
    {.architecture = FACEKP_DINO, .input_size = 48, .dimension = 36, .depth = 2, .heads = 3, .keypoints = 7},
    {.architecture = FACEKP_DINO,
     .head = FKP_DINO_FLATTEN,
     .input_size = 32,
     .dimension = 16,
     .depth = 1,
     .heads = 2,
     .keypoints = 3},
    {.architecture = FACEKP_UNET, .input_size = 32, .width = 4, .keypoints = 5}};
enum { WHOLE = sizeof whole / sizeof *whole, NETWORKS = SMALL + WHOLE };

static fkp_memory memory;

/* ---- a network with weights, and its program ---- */

typedef struct subject {
    fkp_network *network;
    float *storage;
    size_t pixels, floats; /* of one image, in and out */
} subject;

static fkp_network *describe(int index) {
    fkp_network *network;
    fkp_error error = {0};
    facekp_status status;
    if (index >= SMALL) {
        status = fkp_network_create(&memory, &whole[index - SMALL], &network, &error);
    } else {
        fkp_builder builder;
        ck_assert_int_eq(fkp_network_begin(&memory, &builder, 32, 32, 1), FACEKP_OK);
        small[index](&builder);
        status = fkp_network_finish(&builder, &network, &error);
    }
    ck_assert_msg(status == FACEKP_OK, "%s", error.message);
    return network;
}

static subject subject_of(fkp_network *network) {
    subject s = {.network = network};
    s.storage = generate_parameters(s.network, 1.0);
    ck_assert_ptr_nonnull(s.storage);
    s.pixels = fkp_shape_floats(s.network->layers[0].shape);
    s.floats = fkp_shape_floats(s.network->layers[s.network->layer_count - 1].shape);
    return s;
}

static subject make_subject(int index) { return subject_of(describe(index)); }

static void free_subject(subject *s) {
    fkp_network_free(&memory, s->network);
    free(s->storage);
}

static fkp_program *compile_with(const subject *s, const fkp_kernels *kernels) {
    fkp_weight_source source = {.user = s->storage, .read = read_storage};
    fkp_program *program;
    fkp_error error = {0};
    facekp_status status =
        fkp_program_compile(&memory, s->network, kernels, &source, false, &program, &error);
    ck_assert_msg(status == FACEKP_OK, "%s", error.message);
    return program;
}

static fkp_program *compile_for(const subject *s, fkp_isa limit) {
    fkp_kernels kernels;
    fkp_kernels_select(limit, &kernels);
    return compile_with(s, &kernels);
}

static float *pictures(const subject *s, size_t count) {
    float *in = malloc(count * s->pixels * sizeof *in);
    fkp_random random = fkp_random_stream(3, count, 0);
    for (size_t i = 0; i < count * s->pixels; i++) in[i] = fkp_random_uniform(&random);
    return in;
}

/* Runs `count` pictures in a workspace for `batch`. */
static float *run_program(const subject *s, const fkp_program *program, int32_t threads, size_t batch,
                          const float *in, size_t count) {
    fkp_pool *pool;
    fkp_workspace *workspace;
    fkp_error error = {0};
    float *out = malloc(count * s->floats * sizeof *out);
    ck_assert_int_eq(fkp_pool_create(&memory, threads, NULL, NULL, &pool, &error), FACEKP_OK);
    ck_assert_int_eq(fkp_workspace_create(&memory, program, batch, pool, &workspace, &error), FACEKP_OK);
    fkp_workspace_run(workspace, in, count, out);
    fkp_workspace_free(workspace);
    fkp_pool_free(pool);
    return out;
}

/* ---- what is computed ---- */

/* The description's rows in the order of the program's result: planes, unless they are tokens. */
static double in_result_order(const fkp_network *network, const double *rows, size_t k) {
    fkp_shape shape = network->layers[network->layer_count - 1].shape;
    size_t pixels = fkp_shape_rows(shape);
    return shape.width == 1 ? rows[k] : rows[k % pixels * shape.channels + k / pixels];
}

static void check_result(const subject *s, const double *expected, const float *out, int isa) {
    double worst = 0, largest = 0;
    for (size_t i = 0; i < s->floats; i++) {
        double value = in_result_order(s->network, expected, i);
        worst = fmax(worst, fabs((double)out[i] - value));
        largest = fmax(largest, fabs(value));
    }
    ck_assert_msg(worst <= 2e-5 * largest, "network of %d layers at level %d: off by %g of %g",
                  (int)s->network->layer_count, isa, worst, largest);
}

/* One picture on two threads. */
static void check_program(const subject *s, const fkp_program *program, int isa) {
    float *in = pictures(s, 1), *out = run_program(s, program, 2, 1, in, 1);
    double *expected = interpret(s->network, s->storage, in);
    check_result(s, expected, out, isa);
    free(expected);
    free(out);
    free(in);
}

START_TEST(programs_compute_what_descriptions_say) {
    subject s = make_subject(_i);
    float *in = pictures(&s, 2);
    double *expected[2] = {interpret(s.network, s.storage, in),
                           interpret(s.network, s.storage, in + s.pixels)};
    for (int isa = FKP_ISA_PORTABLE; isa < FKP_ISA_COUNT; isa++) {
        fkp_program *program = compile_for(&s, (fkp_isa)isa);
        float *out = run_program(&s, program, 2, 2, in, 2);
        for (size_t i = 0; i < 2; i++) check_result(&s, expected[i], out + i * s.floats, isa);
        free(out);
        fkp_program_free(program);
    }
    free(expected[0]);
    free(expected[1]);
    free(in);
    free_subject(&s);
}
END_TEST

START_TEST(threads_and_batches_do_not_change_bits) {
    subject s = make_subject(_i);
    fkp_program *program = compile_for(&s, FKP_ISA_COUNT - 1);
    float *in = pictures(&s, 3), *together = run_program(&s, program, 1, 3, in, 3);
    size_t bytes = s.floats * sizeof(float);
    for (int32_t threads = 2; threads <= 3; threads++) {
        float *out = run_program(&s, program, threads, 3, in, 3);
        ck_assert_mem_eq(out, together, 3 * bytes);
        free(out);
    }
    for (size_t i = 0; i < 3; i++) {
        /* Alone in a workspace of its own size, and of a larger one. */
        for (size_t batch = 1; batch <= 2; batch++) {
            float *out = run_program(&s, program, 1, batch, in + i * s.pixels, 1);
            ck_assert_mem_eq(out, together + i * s.floats, bytes);
            free(out);
        }
    }
    free(in);
    free(together);
    fkp_program_free(program);
    free_subject(&s);
}
END_TEST

/* ---- how ---- */

static size_t count_steps(const fkp_program *program, fkp_step_kind kind) {
    size_t count = 0;
    for (int32_t i = 0; i < program->step_count; i++) count += program->steps[i].kind == kind;
    return count;
}

START_TEST(what_can_be_fused_is) {
    static const struct {
        fkp_network_options options;
        int32_t steps;
    } expected[] = {
        {{.architecture = FACEKP_DIRECT, .input_size = 80}, 4 + 3},
        {{.architecture = FACEKP_RESNET18, .input_size = 32}, 1 + 16 + 3 + 1 + 1},
        {{.architecture = FACEKP_DINO, .input_size = 32, .dimension = 12, .depth = 3}, 2 + 3 * 7 + 3},
        {{.architecture = FACEKP_UNET, .input_size = 32, .width = 4}, 18 + 4 + 4 + 1}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        subject s = {0};
        fkp_error error = {0};
        ck_assert_int_eq(fkp_network_create(&memory, &expected[i].options, &s.network, &error), FACEKP_OK);
        s.storage = generate_parameters(s.network, 1.0);
        fkp_program *program = compile_for(&s, FKP_ISA_PORTABLE);
        ck_assert_int_eq(program->step_count, expected[i].steps);
        ck_assert_uint_eq(count_steps(program, FKP_STEP_COPY) + count_steps(program, FKP_STEP_TO_PLANES), 0);
        fkp_program_free(program);
        free_subject(&s);
    }
}
END_TEST

START_TEST(tensors_that_live_together_lie_apart) {
    subject s = make_subject(_i);
    fkp_program *program = compile_for(&s, FKP_ISA_COUNT - 1);
    size_t needed = 0;
    for (int32_t step = 0; step < program->step_count; step++) {
        size_t live = 0;
        for (int32_t i = 0; i < program->buffer_count; i++) {
            const fkp_buffer *a = &program->buffers[i];
            if (!fkp_is_alive(a, step)) continue;
            ck_assert_uint_le(fkp_before_end(a), program->arena);
            live += a->floats;
            for (int32_t j = 0; j < i; j++) {
                const fkp_buffer *b = &program->buffers[j];
                if (!fkp_is_alive(b, step)) continue;
                ck_assert(fkp_before_end(a) <= b->offset || fkp_before_end(b) <= a->offset);
            }
        }
        if (live > needed) needed = live;
    }
    /* No arrangement can do with less than what lives at one time; ours comes near. */
    ck_assert_uint_le(program->arena, needed + needed / 4);
    fkp_program_free(program);
    free_subject(&s);
}
END_TEST

/* Scratch memory lies opposite to them, so that few steps need room for all of both. */
START_TEST(the_highest_places_are_seldom_taken) {
    subject s = make_subject(NETWORKS - 1);
    fkp_program *program = compile_for(&s, FKP_ISA_COUNT - 1);
    int32_t taken = 0;
    for (int32_t step = 0; step < program->step_count; step++) {
        bool highest = false;
        for (int32_t i = 0; i < program->buffer_count; i++)
            highest = highest || (fkp_is_alive(&program->buffers[i], step) &&
                                  fkp_before_end(&program->buffers[i]) == program->arena);
        taken += highest;
    }
    ck_assert_int_le(taken, 3);
    fkp_program_free(program);
    free_subject(&s);
}
END_TEST

/* Also where split products are the reference's. */
START_TEST(an_upsampling_that_one_convolution_reads_is_never_made) {
    subject s = make_subject(SMALL - 2);
    fkp_kernels kernels;
    fkp_kernels_select((fkp_isa)_i, &kernels);
    if (kernels.split.speed <= 0.0) kernels.split.speed = 6.0;
    fkp_program *program = compile_with(&s, &kernels);
    size_t upsamplings = 0, inside = 0, made = 0;
    for (int32_t i = 0; i < program->step_count; i++) {
        const fkp_step *step = &program->steps[i];
        upsamplings += step->kind == FKP_STEP_UPSAMPLING;
        inside += step->inside;
        if (step->upsampling < 0) continue;
        ck_assert(program->steps[step->upsampling].inside);
        ck_assert_uint_eq(program->steps[step->upsampling].out.channels, 64);
        made++;
    }
    ck_assert_uint_eq(upsamplings, 2);
    ck_assert_uint_eq(inside, 1);
    ck_assert_uint_eq(made, 1);
    check_program(&s, program, _i);
    fkp_program_free(program);
    free_subject(&s);
}
END_TEST

/* A product long enough to be cut into two sums, and a layer norm: of its rows, of all of them in one, or of
 * rows that a product too narrow for matrix tiles multiplies. */
typedef enum normed { NORMED_ROWS, NORMED_FLAT, NORMED_AND_MULTIPLIED, NORMED_KINDS } normed;
static fkp_network *describe_normed(normed kind) {
    fkp_builder b;
    fkp_network *network;
    ck_assert_int_eq(fkp_network_begin(&memory, &b, 32, 32, 1), FACEKP_OK);
    int32_t x = fkp_add_convolution(&b, 0, "a", 12, 8, 8, 0, true);
    x = fkp_add_tokens(&b, x, "class", "position");
    x = fkp_add_linear(&b, x, "b", 768);
    x = fkp_add_linear(&b, x, "c", 24);
    if (kind == NORMED_FLAT) x = fkp_add_flatten(&b, x);
    x = fkp_add_layer_norm(&b, x, "n", 1e-6f);
    if (kind == NORMED_AND_MULTIPLIED) fkp_add_linear(&b, x, "d", 1);
    ck_assert_int_eq(fkp_network_finish(&b, &network, NULL), FACEKP_OK);
    return network;
}

START_TEST(halves_are_added_by_a_layer_norm_of_the_same_rows) {
    fkp_kernels kernels;
    fkp_kernels_select(FKP_ISA_COUNT - 1, &kernels);
    kernels.split.speed = 1e6;
    for (int kind = 0; kind < NORMED_KINDS; kind++) {
        subject s = subject_of(describe_normed((normed)kind));
        fkp_program *program = compile_with(&s, &kernels);
        size_t halves = 0;
        for (int32_t i = 0; i < program->step_count; i++) halves += program->steps[i].halves;
        ck_assert_uint_eq(halves, kind == NORMED_FLAT ? 0 : 2);
        if (kind == NORMED_AND_MULTIPLIED)
            ck_assert_int_eq(program->steps[program->step_count - 1].kind, FKP_STEP_LINEAR);
        check_program(&s, program, FKP_ISA_COUNT - 1);
        fkp_program_free(program);
        free_subject(&s);
    }
}
END_TEST

/* Layer norms that a linear layer alone reads, that two layers read, and that one reads as a single row. */
static fkp_network *describe_norms(void) {
    fkp_builder b;
    fkp_network *network;
    ck_assert_int_eq(fkp_network_begin(&memory, &b, 32, 32, 1), FACEKP_OK);
    int32_t x = fkp_add_convolution(&b, 0, "a", 12, 8, 8, 0, true);
    x = fkp_add_tokens(&b, x, "class", "position");
    x = fkp_add_linear(&b, fkp_add_layer_norm(&b, x, "alone", 1e-6f), "b", 20);
    x = fkp_add_layer_norm(&b, x, "shared", 1e-6f);
    x = fkp_add_sum(&b, x, fkp_add_linear(&b, x, "c", 20));
    x = fkp_add_layer_norm(&b, x, "flattened", 1e-6f);
    fkp_add_linear(&b, fkp_add_flatten(&b, x), "d", 6);
    ck_assert_int_eq(fkp_network_finish(&b, &network, NULL), FACEKP_OK);
    return network;
}

START_TEST(a_layer_norm_that_one_linear_layer_reads_is_never_made) {
    subject s = subject_of(describe_norms());
    fkp_kernels kernels;
    fkp_kernels_select((fkp_isa)_i, &kernels);
    kernels.split.speed = 0.0;
    fkp_program *program = compile_with(&s, &kernels);
    size_t norms = 0, inside = 0;
    for (int32_t i = 0; i < program->step_count; i++) {
        const fkp_step *step = &program->steps[i];
        norms += step->kind == FKP_STEP_LAYER_NORM;
        inside += step->inside;
        if (step->layer_norm < 0) continue;
        ck_assert_uint_eq(step->out.channels, 20);
        ck_assert(program->steps[step->layer_norm].inside);
    }
    ck_assert_uint_eq(norms, 3);
    ck_assert_uint_eq(inside, 1);
    check_program(&s, program, _i);
    fkp_program_free(program);
    free_subject(&s);
}
END_TEST

START_TEST(an_activation_alone_works_in_place) {
    subject s = make_subject(0);
    fkp_program *program = compile_for(&s, FKP_ISA_PORTABLE);
    const fkp_step *norm = &program->steps[2];
    ck_assert_int_eq(norm->kind, FKP_STEP_SCALE_SHIFT);
    ck_assert_int_eq(norm->from.home, FKP_HOME_ARENA);
    ck_assert_uint_eq(norm->from.before_end, norm->into.before_end);
    fkp_program_free(program);
    free_subject(&s);
}
END_TEST

START_TEST(a_sum_that_nobody_reads_later_is_written_over) {
    subject s = make_subject(SMALL - 1);
    fkp_program *program = compile_for(&s, FKP_ISA_PORTABLE);
    size_t in_place = 0, sums = 0;
    for (int32_t i = 0; i < program->step_count; i++) {
        const fkp_step *step = &program->steps[i];
        if (step->inputs[1] < 0) continue;
        ck_assert_int_ne(step->algorithm, FKP_CONVOLUTION_DIRECT);
        in_place += step->other.before_end == step->into.before_end;
        sums++;
    }
    ck_assert_uint_eq(sums, 4);
    ck_assert_uint_eq(in_place, 2);
    fkp_program_free(program);
    free_subject(&s);
}
END_TEST

/* Many channels of few tiles: seven images are two blocks of tiles, six are one, which is larger. */
static fkp_network *describe_blocks(void) {
    fkp_builder b;
    fkp_network *network;
    ck_assert_int_eq(fkp_network_begin(&memory, &b, 32, 32, 1), FACEKP_OK);
    int32_t x = fkp_add_convolution(&b, 0, "a", 4, 3, 1, 1, true);
    x = fkp_add_max_pooling(&b, x, 4, 4, 0);
    x = fkp_add_convolution(&b, x, "b", 512, 1, 1, 0, true);
    x = fkp_add_convolution(&b, x, "c", 512, 3, 1, 1, true);
    fkp_add_average_pooling(&b, x);
    ck_assert_int_eq(fkp_network_finish(&b, &network, NULL), FACEKP_OK);
    return network;
}

/* Memory with a fence behind each piece, which must stand when the piece is given back. */
#define FENCE ((size_t)4 << 20)
static void *take_fenced(void *user, size_t size, size_t alignment) {
    (void)user;
    unsigned char *piece = aligned_alloc(alignment, (size + FENCE + alignment - 1) / alignment * alignment);
    if (piece != NULL) memset(piece + size, 0x5a, FENCE);
    return piece;
}
static void release_fenced(void *user, void *pointer, size_t size) {
    (void)user;
    const unsigned char *fence = (const unsigned char *)pointer + size;
    size_t broken = 0;
    for (size_t i = 0; i < FENCE; i++) broken += fence[i] != 0x5a;
    ck_assert_uint_eq(broken, 0);
    free(pointer);
}

/* What a step's scratch memory lacked, it would take from the tensors. */
START_TEST(a_workspace_has_room_for_fewer_images_too) {
    const facekp_allocator fenced = {sizeof fenced, NULL, take_fenced, release_fenced};
    const fkp_memory behind_fences = fkp_memory_from(&fenced);
    enum { BATCH = 10 };
    subject s = subject_of(describe_blocks());
    fkp_program *program = compile_for(&s, FKP_ISA_COUNT - 1);
    float *in = pictures(&s, BATCH), *out = malloc(BATCH * s.floats * sizeof *out);
    float *expected = malloc(BATCH * s.floats * sizeof *expected);
    for (size_t i = 0; i < BATCH; i++) {
        float *alone = run_program(&s, program, 1, 1, in + i * s.pixels, 1);
        memcpy(expected + i * s.floats, alone, s.floats * sizeof *alone);
        free(alone);
    }
    for (int32_t threads = 1; threads <= 2; threads++)
        for (size_t batch = 1; batch <= BATCH; batch++) {
            fkp_pool *pool;
            fkp_workspace *workspace;
            ck_assert_int_eq(fkp_pool_create(&memory, threads, NULL, NULL, &pool, NULL), FACEKP_OK);
            ck_assert_int_eq(fkp_workspace_create(&behind_fences, program, batch, pool, &workspace, NULL),
                             FACEKP_OK);
            for (size_t count = 1; count <= batch; count++) {
                fkp_workspace_run(workspace, in, count, out);
                ck_assert_mem_eq(out, expected, count * s.floats * sizeof *out);
            }
            fkp_workspace_free(workspace);
            fkp_pool_free(pool);
        }
    free(expected);
    free(in);
    free(out);
    fkp_program_free(program);
    free_subject(&s);
}
END_TEST

/* ---- what fails ---- */

static facekp_status build_run_and_free(const facekp_allocator *allocator, void *argument) {
    const subject *s = argument;
    fkp_memory hooked = fkp_memory_from(allocator);
    fkp_kernels kernels;
    fkp_kernels_select(FKP_ISA_PORTABLE, &kernels);
    fkp_weight_source source = {.user = s->storage, .read = read_storage};
    fkp_program *program;
    fkp_workspace *workspace = NULL;
    fkp_pool *pool = NULL;
    float *in = pictures(s, 1), *out = malloc(s->floats * sizeof *out);
    facekp_status status = fkp_program_compile(&hooked, s->network, &kernels, &source, false, &program, NULL);
    if (status == FACEKP_OK) status = fkp_pool_create(&hooked, 1, NULL, NULL, &pool, NULL);
    if (status == FACEKP_OK) status = fkp_workspace_create(&hooked, program, 1, pool, &workspace, NULL);
    if (status == FACEKP_OK) {
        const failing_allocator *state = allocator->user;
        size_t calls = state->calls;
        fkp_workspace_run(workspace, in, 1, out);
        ck_assert_msg(state->calls == calls, "running allocated");
        ck_assert_uint_ge(state->bytes, fkp_program_weight_bytes(program) + fkp_workspace_bytes(workspace));
    }
    fkp_workspace_free(workspace);
    fkp_pool_free(pool);
    fkp_program_free(program);
    free(in);
    free(out);
    return status;
}

START_TEST(every_allocation_may_fail_and_none_is_made_running) {
    subject s = make_subject(2);
    check_every_allocation(build_run_and_free, &s);
    free_subject(&s);
}
END_TEST

/* Fails at the parameter whose number it is given. */
typedef struct broken_source {
    float *storage;
    int32_t reads, fail_at;
} broken_source;

static const float *read_or_fail(void *user, const fkp_parameter *parameter, size_t first, size_t count,
                                 float *room, fkp_error *error) {
    (void)count, (void)room;
    broken_source *broken = user;
    if (broken->reads++ == broken->fail_at) {
        fkp_fail(error, FACEKP_ERROR_VALUE, "%s is broken", parameter->name);
        return NULL;
    }
    return broken->storage + parameter->offset + first;
}

START_TEST(every_weight_may_fail_to_be_read) {
    subject s = make_subject(SMALL + 2); /* dino: every kind of parameter but a BatchNorm's */
    fkp_kernels kernels;
    fkp_kernels_select(FKP_ISA_PORTABLE, &kernels);
    facekp_status status = FACEKP_ERROR_VALUE;
    for (int32_t i = 0; status != FACEKP_OK; i++) {
        broken_source broken = {s.storage, 0, i};
        fkp_weight_source source = {.user = &broken, .read = read_or_fail};
        fkp_error error = {0};
        fkp_program *program;
        status = fkp_program_compile(&memory, s.network, &kernels, &source, false, &program, &error);
        if (status == FACEKP_OK) {
            ck_assert_int_eq(broken.reads, i);
            ck_assert_int_ge(i, s.network->parameter_count);
        } else {
            ck_assert_int_eq(status, FACEKP_ERROR_VALUE);
            ck_assert_ptr_null(program);
            ck_assert_ptr_nonnull(strstr(error.message, "is broken"));
        }
        fkp_program_free(program);
    }
    free_subject(&s);
}
END_TEST

/* A flattened map read by what has no weights to put into its order. */
static void describe_flat_norm(fkp_builder *b) {
    int32_t x = fkp_add_convolution(b, 0, "a", 4, 3, 1, 1, true);
    x = fkp_add_flatten(b, x);
    fkp_add_batch_norm(b, x, "n");
}
static void describe_nothing(fkp_builder *b) { fkp_add_dropout(b, 0, 0.5f, false); }

START_TEST(what_cannot_be_compiled_is_refused) {
    static void (*const impossible[])(fkp_builder *) = {describe_flat_norm, describe_nothing};
    for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) {
        fkp_builder builder;
        subject s = {0};
        fkp_error error = {0};
        ck_assert_int_eq(fkp_network_begin(&memory, &builder, 8, 8, 1), FACEKP_OK);
        impossible[i](&builder);
        ck_assert_int_eq(fkp_network_finish(&builder, &s.network, &error), FACEKP_OK);
        s.storage = generate_parameters(s.network, 1.0);
        fkp_weight_source source = {.user = s.storage, .read = read_storage};
        fkp_kernels kernels;
        fkp_kernels_select(FKP_ISA_PORTABLE, &kernels);
        fkp_program *program;
        ck_assert_int_eq(fkp_program_compile(&memory, s.network, &kernels, &source, false, &program, &error),
                         FACEKP_ERROR_UNSUPPORTED);
        ck_assert_ptr_null(program);
        free_subject(&s);
    }
}
END_TEST

int main(void) {
    memory = fkp_memory_from(NULL);
    Suite *suite = suite_create("graph");
    TCase *tests = tcase_create("graph");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, programs_compute_what_descriptions_say, 0, NETWORKS);
    tcase_add_loop_test(tests, threads_and_batches_do_not_change_bits, 0, NETWORKS);
    tcase_add_loop_test(tests, tensors_that_live_together_lie_apart, 0, NETWORKS);
    tcase_add_test(tests, the_highest_places_are_seldom_taken);
    tcase_add_test(tests, halves_are_added_by_a_layer_norm_of_the_same_rows);
    tcase_add_loop_test(tests, a_layer_norm_that_one_linear_layer_reads_is_never_made, 0, FKP_ISA_COUNT);
    tcase_add_test(tests, what_can_be_fused_is);
    tcase_add_loop_test(tests, an_upsampling_that_one_convolution_reads_is_never_made, 0, FKP_ISA_COUNT);
    tcase_add_test(tests, an_activation_alone_works_in_place);
    tcase_add_test(tests, a_sum_that_nobody_reads_later_is_written_over);
    tcase_add_test(tests, a_workspace_has_room_for_fewer_images_too);
    tcase_add_test(tests, every_allocation_may_fail_and_none_is_made_running);
    tcase_add_test(tests, every_weight_may_fail_to_be_read);
    tcase_add_test(tests, what_cannot_be_compiled_is_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
