/* A workspace, and a program run in it: one operator call after the other. Nothing is allocated and nothing
 * decided. */
#include <string.h>

#include "base/checked.h"
#include "graph/program.h"

#ifdef FKP_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

struct fkp_workspace {
    fkp_memory memory;
    const fkp_program *program;
    fkp_pool *pool;
    size_t batch;
    /* Tensors lie at fixed distances before the end of one piece of memory, and a step's scratch begins where
     * it begins: it may reach to where tensors of other steps lie. */
    float *storage;
    size_t floats;
    size_t slice; /* of scratch memory, for a worker */
};

/* Tensors and workers' slices begin at lines of the cache. */
enum { LINE_FLOATS = FKP_ALIGNMENT / sizeof(float) };

/* One run of a program, and the step at hand. */
typedef struct run {
    const fkp_workspace *workspace;
    const fkp_step *step;
    const float *in;
    float *out;
    size_t count; /* images */
} run;

/* ---- addresses ---- */

/* While a workspace is measured there is no memory yet, and all addresses are NULL. */
static float *home_of(const run *r, const fkp_view *view, float *caller) {
    const fkp_workspace *w = r->workspace;
    float *home = view->home == FKP_HOME_ARENA ? w->storage : caller;
    if (home == NULL) return NULL;
    if (view->home == FKP_HOME_ARENA) home += w->floats - view->before_end * w->batch;
    return home + view->inside;
}

static float *target_of(const run *r, const fkp_view *view) { return home_of(r, view, r->out); }

static const float *source_of(const run *r, const fkp_view *view) {
    if (view->home == FKP_HOME_INPUT) return r->in == NULL ? NULL : r->in + view->inside;
    return home_of(r, view, r->out);
}

static const float *weights_of(const run *r) { return r->workspace->program->packed + r->step->weights; }
static const float *bias_of(const run *r) {
    return r->step->bias == FKP_NO_BIAS ? NULL : r->workspace->program->packed + r->step->bias;
}

static fkp_epilogue epilogue_of(const run *r) {
    bool residual = r->step->inputs[1] >= 0;
    return (fkp_epilogue){.bias = bias_of(r),
                          .residual = residual ? source_of(r, &r->step->other) : NULL,
                          .residual_stride = residual ? r->step->other.row_stride : 0,
                          .activation = r->step->activation};
}

/* All rows of all images. */
static fkp_rows rows_of(const run *r) {
    return (fkp_rows){.rows = r->count * fkp_shape_rows(r->step->in),
                      .channels = r->step->in.channels,
                      .in = source_of(r, &r->step->from),
                      .in_stride = r->step->from.row_stride,
                      .out = target_of(r, &r->step->into),
                      .out_stride = r->step->into.row_stride};
}

/* ---- operators ---- */

static fkp_upsampling upsampling_of(const run *r) {
    return (fkp_upsampling){.batch = r->count,
                            .in_height = r->step->in.height,
                            .in_width = r->step->in.width,
                            .in_channels = r->step->in.channels,
                            .out_channels = r->step->out.channels,
                            .in = source_of(r, &r->step->from),
                            .in_stride = r->step->from.row_stride,
                            .packed = weights_of(r),
                            .out = target_of(r, &r->step->into),
                            .out_stride = r->step->into.row_stride,
                            .epilogue = epilogue_of(r)};
}

/* The upsampling of which a convolution makes the rows itself, its result being nowhere. */
static fkp_upsampling upsampling_inside(const run *r) {
    if (r->step->upsampling < 0) return (fkp_upsampling){0};
    run inside = *r;
    inside.step = &r->workspace->program->steps[r->step->upsampling];
    return upsampling_of(&inside);
}

/* Of halves the second lies where the result will. */
static fkp_layer_norm layer_norm_of(const run *r) {
    fkp_layer_norm norm = {.weight = weights_of(r), .bias = bias_of(r), .epsilon = r->step->epsilon};
    if (!r->step->halves) return norm;
    norm.addend = target_of(r, &r->step->into);
    norm.addend_stride = r->step->into.row_stride;
    norm.sum = target_of(r, &r->step->from);
    norm.sum_stride = r->step->from.row_stride;
    return norm;
}

/* The layer norm that a product's rows go through. */
static fkp_layer_norm layer_norm_inside(const run *r) {
    if (r->step->layer_norm < 0) return (fkp_layer_norm){0};
    run inside = *r;
    inside.step = &r->workspace->program->steps[r->step->layer_norm];
    return layer_norm_of(&inside);
}

static fkp_convolution_run_arguments convolution_of(const run *r) {
    return (fkp_convolution_run_arguments){.shape = fkp_step_convolution(r->step, r->count),
                                           .algorithm = r->step->algorithm,
                                           .packed = weights_of(r),
                                           .in = source_of(r, &r->step->from),
                                           .in_stride = r->step->from.row_stride,
                                           .beside = source_of(r, &r->step->beside_view),
                                           .beside_stride = r->step->beside_view.row_stride,
                                           .beside_from = r->step->beside_from,
                                           .upsampled = upsampling_inside(r),
                                           .out = target_of(r, &r->step->into),
                                           .out_stride = r->step->into.row_stride,
                                           .epilogue = epilogue_of(r),
                                           .pool = r->step->pool,
                                           .halves = r->step->halves,
                                           .second_out = target_of(r, &r->step->second_into),
                                           .second_out_stride = r->step->second_into.row_stride};
}

static fkp_gemm gemm_of(const run *r) {
    return (fkp_gemm){.rows = r->count * fkp_shape_rows(r->step->in),
                      .depth = r->step->in.channels,
                      .columns = r->step->out.channels,
                      .in = source_of(r, &r->step->from),
                      .in_stride = r->step->from.row_stride,
                      .packed = weights_of(r),
                      .out = target_of(r, &r->step->into),
                      .out_stride = r->step->into.row_stride,
                      .epilogue = epilogue_of(r),
                      .norm = layer_norm_inside(r)};
}

static fkp_attention attention_of(const run *r) {
    return (fkp_attention){.batch = r->count,
                           .tokens = fkp_shape_rows(r->step->in),
                           .heads = r->step->heads,
                           .head_channels = r->step->out.channels / r->step->heads,
                           .qkv = source_of(r, &r->step->from),
                           .qkv_stride = r->step->from.row_stride,
                           .out = target_of(r, &r->step->into),
                           .out_stride = r->step->into.row_stride};
}

/* The operator counts a skipped class token among the tokens. */
static fkp_query_attention query_attention_of(const run *r) {
    size_t first = r->step->skip ? 1 : 0;
    const float *in = source_of(r, &r->step->from);
    return (fkp_query_attention){.batch = r->count,
                                 .tokens = fkp_shape_rows(r->step->in) + first,
                                 .first = first,
                                 .channels = r->step->in.channels,
                                 .count = fkp_shape_rows(r->step->out),
                                 .in = in == NULL ? NULL : in - first * r->step->from.row_stride,
                                 .in_stride = r->step->from.row_stride,
                                 .queries = weights_of(r),
                                 .out = target_of(r, &r->step->into)};
}

static fkp_pooling pooling_of(const run *r) {
    return (fkp_pooling){.batch = r->count,
                         .in_height = r->step->in.height,
                         .in_width = r->step->in.width,
                         .channels = r->step->in.channels,
                         .out_height = r->step->out.height,
                         .out_width = r->step->out.width,
                         .kernel = r->step->kernel,
                         .stride = r->step->stride,
                         .padding = r->step->padding,
                         .in = source_of(r, &r->step->from),
                         .in_stride = r->step->from.row_stride,
                         .out = target_of(r, &r->step->into),
                         .out_stride = r->step->into.row_stride};
}

/* ---- steps ---- */

static void run_convolution(const run *r, const fkp_context *context) {
    fkp_convolution_run_arguments arguments = convolution_of(r);
    fkp_convolution_run(context, &arguments);
}

static void run_upsampling(const run *r, const fkp_context *context) {
    fkp_upsampling upsampling = upsampling_of(r);
    fkp_upsampling_run(context, &upsampling);
}

static void run_linear(const run *r, const fkp_context *context) {
    fkp_gemm gemm = gemm_of(r);
    fkp_gemm_run(context, &gemm);
}

static void run_linear_to_planes(const run *r, const fkp_context *context) {
    fkp_gemm gemm = gemm_of(r);
    fkp_gemm_to_planes_run(context, &gemm, fkp_shape_rows(r->step->in));
}

static void run_scale_shift(const run *r, const fkp_context *context) {
    fkp_rows rows = rows_of(r);
    fkp_scale_shift_run(context, &rows, weights_of(r), bias_of(r), r->step->activation);
}

static void run_activation(const run *r, const fkp_context *context) {
    fkp_rows rows = rows_of(r);
    fkp_activate_run(context, &rows, r->step->activation);
}

static void run_max_pooling(const run *r, const fkp_context *context) {
    fkp_pooling pooling = pooling_of(r);
    fkp_max_pooling_run(context, &pooling);
}

static void run_average_pooling(const run *r, const fkp_context *context) {
    fkp_pooling pooling = pooling_of(r);
    fkp_average_pooling_run(context, &pooling);
}

static void run_add(const run *r, const fkp_context *context) {
    fkp_rows rows = rows_of(r);
    fkp_add_run(context, &rows, source_of(r, &r->step->other), r->step->other.row_stride,
                r->step->activation);
}

/* Row 0 of an image is the class token at its position, made when packing; the patches follow. */
static void run_tokens(const run *r, const fkp_context *context) {
    const fkp_step *step = r->step;
    size_t channels = step->out.channels;
    const float *positions = weights_of(r);
    for (size_t image = 0; image < r->count; image++) {
        float *out = target_of(r, &step->into) + image * step->into.image_stride;
        memcpy(out, positions, channels * sizeof *out);
        fkp_rows patches = {.rows = fkp_shape_rows(step->in),
                            .channels = channels,
                            .in = source_of(r, &step->from) + image * step->from.image_stride,
                            .in_stride = step->from.row_stride,
                            .out = out + step->into.row_stride,
                            .out_stride = step->into.row_stride};
        fkp_add_run(context, &patches, positions + channels, channels, FKP_ACTIVATION_NONE);
    }
}

static void run_layer_norm(const run *r, const fkp_context *context) {
    fkp_rows rows = rows_of(r);
    const fkp_layer_norm norm = layer_norm_of(r);
    fkp_layer_norm_run(context, &rows, &norm);
}

static void run_attention(const run *r, const fkp_context *context) {
    fkp_attention attention = attention_of(r);
    fkp_attention_run(context, &attention);
}

static void run_query_attention(const run *r, const fkp_context *context) {
    fkp_query_attention attention = query_attention_of(r);
    fkp_query_attention_run(context, &attention);
}

static void run_copy(const run *r, const fkp_context *context) {
    const fkp_step *step = r->step;
    for (size_t image = 0; image < r->count; image++) {
        fkp_rows rows = rows_of(r);
        rows.rows = fkp_shape_rows(step->in);
        rows.in += image * step->from.image_stride;
        rows.out += image * step->into.image_stride;
        fkp_copy_run(context, &rows);
    }
}

static void run_to_planes(const run *r, const fkp_context *context) {
    fkp_to_planes_run(context, r->count, r->step->in.channels, fkp_shape_rows(r->step->in),
                      source_of(r, &r->step->from), r->step->from.row_stride, r->out);
}

static void (*const run_step[FKP_STEP_KINDS])(const run *r, const fkp_context *context) = {
    [FKP_STEP_CONVOLUTION] = run_convolution,
    [FKP_STEP_UPSAMPLING] = run_upsampling,
    [FKP_STEP_LINEAR] = run_linear,
    [FKP_STEP_LINEAR_TO_PLANES] = run_linear_to_planes,
    [FKP_STEP_SCALE_SHIFT] = run_scale_shift,
    [FKP_STEP_ACTIVATION] = run_activation,
    [FKP_STEP_MAX_POOLING] = run_max_pooling,
    [FKP_STEP_AVERAGE_POOLING] = run_average_pooling,
    [FKP_STEP_ADD] = run_add,
    [FKP_STEP_TOKENS] = run_tokens,
    [FKP_STEP_LAYER_NORM] = run_layer_norm,
    [FKP_STEP_ATTENTION] = run_attention,
    [FKP_STEP_QUERY_ATTENTION] = run_query_attention,
    [FKP_STEP_COPY] = run_copy,
    [FKP_STEP_TO_PLANES] = run_to_planes};

/* Scratch memory of the step at hand, in floats. */
static size_t scratch_of(const run *r) {
    const fkp_kernels *kernels = &r->workspace->program->kernels;
    size_t threads = fkp_pool_threads(r->workspace->pool);
    if (r->step->inside) return 0;
    switch (r->step->kind) {
    case FKP_STEP_CONVOLUTION: {
        fkp_convolution_run_arguments arguments = convolution_of(r);
        return fkp_convolution_scratch(kernels, &arguments, threads);
    }
    case FKP_STEP_UPSAMPLING: {
        fkp_upsampling upsampling = upsampling_of(r);
        return fkp_upsampling_scratch(kernels, &upsampling, threads);
    }
    case FKP_STEP_LINEAR: {
        fkp_gemm gemm = gemm_of(r);
        return fkp_gemm_scratch(kernels, &gemm, threads);
    }
    case FKP_STEP_LINEAR_TO_PLANES: {
        fkp_gemm gemm = gemm_of(r);
        return fkp_gemm_to_planes_scratch(kernels, &gemm, threads);
    }
    case FKP_STEP_ATTENTION: {
        fkp_attention attention = attention_of(r);
        return fkp_attention_scratch(kernels, &attention, threads);
    }
    case FKP_STEP_QUERY_ATTENTION: {
        fkp_query_attention attention = query_attention_of(r);
        return fkp_query_attention_scratch(kernels, &attention, threads);
    }
    default:
        return 0;
    }
}

/* ---- fences ---- */

/* Under AddressSanitizer a step sees the buffers that are alive and the scratch memory it asked for; all else
 * is poisoned. */
#ifdef FKP_ADDRESS_SANITIZER
static void fence(const run *r) {
    const fkp_workspace *w = r->workspace;
    const fkp_program *program = w->program;
    int32_t index = (int32_t)(r->step - program->steps);
    ASAN_POISON_MEMORY_REGION(w->storage, w->floats * sizeof *w->storage);
    for (int32_t i = 0; i < program->buffer_count; i++) {
        const fkp_buffer *buffer = &program->buffers[i];
        if (!fkp_is_alive(buffer, index)) continue;
        size_t floats = (buffer->floats - FKP_RED_ZONE) * w->batch;
        ASAN_UNPOISON_MEMORY_REGION(w->storage + w->floats - fkp_before_end(buffer) * w->batch,
                                    floats * sizeof *w->storage);
    }
    size_t threads = fkp_pool_threads(w->pool), scratch = scratch_of(r);
    ASAN_UNPOISON_MEMORY_REGION(w->storage, scratch * sizeof *w->storage);
    for (size_t i = 0; i < threads; i++)
        ASAN_UNPOISON_MEMORY_REGION(w->storage + i * w->slice, scratch / threads * sizeof *w->storage);
}
static void lift_fences(const fkp_workspace *w) {
    ASAN_UNPOISON_MEMORY_REGION(w->storage, w->floats * sizeof *w->storage);
}
#else
static void fence(const run *r) { (void)r; }
static void lift_fences(const fkp_workspace *w) { (void)w; }
#endif

/* ---- workspace ---- */

/* Fewer images may need more than a whole batch, which is cut into blocks. */
static size_t most_scratch(const fkp_workspace *workspace, int32_t step) {
    size_t scratch = 0;
    for (size_t count = 1; count <= workspace->batch; count++) {
        run r = {.workspace = workspace, .step = &workspace->program->steps[step], .count = count};
        scratch = fkp_max_size(scratch, scratch_of(&r));
    }
    return scratch;
}

/* Floats before the end among which all tensors lie that are alive at a step. */
static size_t tensor_floats(const fkp_workspace *workspace, int32_t step) {
    const fkp_program *program = workspace->program;
    size_t floats = 0;
    for (int32_t i = 0; i < program->buffer_count; i++)
        if (fkp_is_alive(&program->buffers[i], step))
            floats = fkp_max_size(floats, fkp_before_end(&program->buffers[i]) * workspace->batch);
    return floats;
}

/* The least memory in which every step finds its tensors and its scratch; and as much of that for a worker's
 * slice as no step's tensors reach into, but no more than some step asks for. */
static facekp_status measure(fkp_workspace *workspace, fkp_error *error) {
    const fkp_program *program = workspace->program;
    const size_t threads = fkp_pool_threads(workspace->pool);
    bool fits = fkp_checked_multiply(program->arena, workspace->batch, &workspace->floats);
    for (int32_t i = 0; fits && i < program->step_count; i++) {
        size_t scratch = most_scratch(workspace, i), needed = 0;
        fits = fkp_checked_add(tensor_floats(workspace, i), scratch, &needed) &&
               fkp_checked_round_up(needed, LINE_FLOATS, &needed);
        workspace->floats = fkp_max_size(workspace->floats, needed);
        workspace->slice = fkp_max_size(workspace->slice, scratch / threads);
    }
    if (!fits)
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "a batch of %zu passes the address space",
                        workspace->batch);
    for (int32_t i = 0; threads > 1 && i < program->step_count; i++) {
        size_t own = most_scratch(workspace, i) / threads;
        size_t others = workspace->floats - tensor_floats(workspace, i) - own;
        if (own > 0) workspace->slice = fkp_min_size(workspace->slice, others / (threads - 1));
    }
    workspace->slice = workspace->slice / LINE_FLOATS * LINE_FLOATS;
    return FACEKP_OK;
}

facekp_status fkp_workspace_create(const fkp_memory *memory, const fkp_program *program, size_t batch,
                                   fkp_pool *pool, fkp_workspace **result, fkp_error *error) {
    *result = NULL;
    fkp_workspace *workspace = fkp_allocate(memory, 1, sizeof *workspace);
    if (workspace == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for a workspace");
    *workspace = (fkp_workspace){.memory = *memory, .program = program, .pool = pool, .batch = batch};
    facekp_status status = measure(workspace, error);
    if (status == FACEKP_OK) {
        workspace->storage = fkp_allocate_raw(memory, workspace->floats, sizeof *workspace->storage);
        if (workspace->storage == NULL)
            status =
                fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for the tensors of a batch of %zu", batch);
    }
    if (status != FACEKP_OK) {
        fkp_release(memory, workspace, 1, sizeof *workspace);
        return status;
    }
    *result = workspace;
    return FACEKP_OK;
}

void fkp_workspace_free(fkp_workspace *workspace) {
    if (workspace == NULL) return;
    fkp_memory memory = workspace->memory;
    fkp_release(&memory, workspace->storage, workspace->floats, sizeof *workspace->storage);
    fkp_release(&memory, workspace, 1, sizeof *workspace);
}

size_t fkp_workspace_bytes(const fkp_workspace *workspace) {
    return sizeof *workspace + workspace->floats * sizeof *workspace->storage;
}

void fkp_workspace_run_step(fkp_workspace *workspace, int32_t step, const float *in, size_t count,
                            float *out) {
    const fkp_program *program = workspace->program;
    fkp_context context = {&program->kernels, workspace->pool, workspace->storage, workspace->slice};
    run r = {workspace, &program->steps[step], in, out, count};
    if (r.step->inside) return;
    fence(&r);
    run_step[r.step->kind](&r, &context);
}

void fkp_workspace_run(fkp_workspace *workspace, const float *in, size_t count, float *out) {
    for (int32_t i = 0; i < workspace->program->step_count; i++)
        fkp_workspace_run_step(workspace, i, in, count, out);
    lift_fences(workspace);
}
