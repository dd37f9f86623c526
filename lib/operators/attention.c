/* softmax(scale Q K^T) V, a few query rows at a time: their scores never leave the first-level cache. Both
 * attentions of the library are this with other Q, K and V. */
#include <math.h>

#include "operators/split.h"

typedef struct attention_input {
    const float *queries; /* rows of `channels` floats */
    size_t query_stride, tokens, channels;
    float scale;
    float *out;
    size_t out_stride;
    float *weights; /* queries x tokens; NULL: not wanted */
} attention_input;

/* Scratch: K^T and V as panels, and the scores of one register tile. */
static size_t keys_floats(const fkp_kernels *kernels, size_t tokens, size_t channels) {
    return fkp_divide_up(fkp_gemm_packed_floats(kernels, channels, tokens), 16) * 16;
}
static size_t values_floats(const fkp_kernels *kernels, size_t tokens, size_t channels) {
    return fkp_divide_up(fkp_gemm_packed_floats(kernels, tokens, channels), 16) * 16;
}
static size_t packed_floats(const fkp_kernels *kernels, size_t tokens, size_t channels) {
    return keys_floats(kernels, tokens, channels) + values_floats(kernels, tokens, channels);
}
static size_t score_stride(size_t tokens) { return fkp_divide_up(tokens, 16) * 16; }
static size_t score_floats(const fkp_kernels *kernels, size_t tokens) {
    return kernels->gemm.rows * score_stride(tokens);
}

/* out[rows x columns] = rows times a whole packed matrix. */
static void multiply_rows(const fkp_kernels *kernels, const float *const *rows, size_t count, size_t depth,
                          const float *packed, size_t columns, float *out, size_t out_stride) {
    fkp_gemm_tile tile = {.rows = count, .depth = depth, .taps = 1, .a = rows, .c_stride = out_stride};
    for (size_t panel = 0; panel < fkp_panels(kernels, columns); panel++) {
        size_t first = panel * kernels->gemm.columns;
        tile.columns = fkp_panel_columns(kernels, columns, panel);
        tile.b = packed + first * depth;
        tile.c = out + first;
        kernels->gemm.tile(&tile);
    }
}

/* Queries [begin, end); K^T and V lie in `packed`. */
static void attend(const fkp_kernels *kernels, const attention_input *input, size_t begin, size_t end,
                   const float *packed, float *scores) {
    const float *values = packed + keys_floats(kernels, input->tokens, input->channels);
    size_t stride = score_stride(input->tokens);
    /* The panel's zeros give scores too: whole vectors are written faster, and nobody reads these. */
    size_t tokens = fkp_packed_columns(kernels, input->tokens);
    const float *rows[FKP_MAX_TILE_ROWS];
    for (size_t query = begin; query < end; query += kernels->gemm.rows) {
        size_t count = fkp_min_size(kernels->gemm.rows, end - query);
        for (size_t r = 0; r < count; r++) rows[r] = input->queries + (query + r) * input->query_stride;
        multiply_rows(kernels, rows, count, input->channels, packed, tokens, scores, stride);
        for (size_t r = 0; r < count; r++) {
            kernels->softmax(scores + r * stride, input->tokens, input->scale);
            rows[r] = scores + r * stride;
            if (input->weights != NULL)
                kernels->activate(scores + r * stride, input->weights + (query + r) * input->tokens,
                                  input->tokens, FKP_ACTIVATION_NONE);
        }
        multiply_rows(kernels, rows, count, input->tokens, values, input->channels,
                      input->out + query * input->out_stride, input->out_stride);
    }
}

/* ---- self attention: a task is one head of one image, and a worker's scratch is its own ---- */

typedef struct attention_job {
    const fkp_context *context;
    const fkp_attention *attention;
    size_t worker_floats;
} attention_job;

static void attention_task(void *argument, size_t index, size_t worker) {
    const attention_job *job = argument;
    const fkp_attention *a = job->attention;
    size_t image = index / a->heads, head = index % a->heads, d = a->head_channels;
    const float *qkv = a->qkv + image * a->tokens * a->qkv_stride + head * d;
    attention_input input = {.queries = qkv,
                             .query_stride = a->qkv_stride,
                             .tokens = a->tokens,
                             .channels = d,
                             .scale = 1.0f / sqrtf((float)d),
                             .out = a->out + image * a->tokens * a->out_stride + head * d,
                             .out_stride = a->out_stride};
    const fkp_kernels *kernels = job->context->kernels;
    float *keys = fkp_own_scratch(job->context, job->worker_floats, worker);
    float *values = keys + keys_floats(kernels, a->tokens, d);
    fkp_gemm_pack(kernels, d, a->tokens, qkv + a->heads * d, 1, a->qkv_stride, NULL, keys);
    fkp_gemm_pack(kernels, a->tokens, d, qkv + 2 * a->heads * d, a->qkv_stride, 1, NULL, values);
    attend(kernels, &input, 0, a->tokens, keys, keys + packed_floats(kernels, a->tokens, d));
}

static size_t worker_floats(const fkp_kernels *kernels, const fkp_attention *attention) {
    return packed_floats(kernels, attention->tokens, attention->head_channels) +
           score_floats(kernels, attention->tokens);
}

size_t fkp_attention_scratch(const fkp_kernels *kernels, const fkp_attention *attention, size_t threads) {
    if (fkp_split_attends(kernels, attention)) return fkp_split_attention_scratch(attention, threads);
    return threads * worker_floats(kernels, attention);
}

void fkp_attention_run(const fkp_context *context, const fkp_attention *attention) {
    if (fkp_split_attends(context->kernels, attention)) {
        fkp_split_attention_run(context, attention);
        return;
    }
    attention_job job = {context, attention, worker_floats(context->kernels, attention)};
    fkp_parallel(context->pool, attention->batch * attention->heads, attention_task, &job);
}

/* ---- keypoint queries: all threads pack an image's tokens, a task being a panel of K^T or of V; then a task
 * is one register tile of queries ---- */

typedef struct query_job {
    const fkp_context *context;
    const fkp_query_attention *attention;
    size_t tokens;
    size_t key_panels, value_panels, groups; /* of an image */
    float *scores;                           /* of every worker */
} query_job;

static const float *image_tokens(const query_job *job, size_t image) {
    const fkp_query_attention *a = job->attention;
    return a->in + (image * a->tokens + a->first) * a->in_stride;
}
static float *image_packed(const query_job *job, size_t image) {
    const fkp_context *context = job->context;
    return context->scratch + image * packed_floats(context->kernels, job->tokens, job->attention->channels);
}

static void pack_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const query_job *job = argument;
    const fkp_kernels *kernels = job->context->kernels;
    const fkp_query_attention *a = job->attention;
    size_t panels = job->key_panels + job->value_panels, image = index / panels, panel = index % panels;
    const float *tokens = image_tokens(job, image);
    float *keys = image_packed(job, image), *values = keys + keys_floats(kernels, job->tokens, a->channels);
    if (panel < job->key_panels) {
        size_t first = panel * kernels->gemm.columns;
        fkp_gemm_pack(kernels, a->channels, fkp_panel_columns(kernels, job->tokens, panel),
                      tokens + first * a->in_stride, 1, a->in_stride, NULL, keys + first * a->channels);
    } else {
        size_t first = (panel - job->key_panels) * kernels->gemm.columns;
        fkp_gemm_pack(kernels, job->tokens, fkp_panel_columns(kernels, a->channels, panel - job->key_panels),
                      tokens + first, a->in_stride, 1, NULL, values + first * job->tokens);
    }
}

static void query_task(void *argument, size_t index, size_t worker) {
    const query_job *job = argument;
    const fkp_kernels *kernels = job->context->kernels;
    const fkp_query_attention *a = job->attention;
    size_t image = index / job->groups, begin = index % job->groups * kernels->gemm.rows;
    attention_input input = {.queries = a->queries,
                             .query_stride = a->channels,
                             .tokens = job->tokens,
                             .channels = a->channels,
                             .scale = 1.0f / sqrtf((float)a->channels),
                             .out = a->out + image * a->count * a->channels,
                             .out_stride = a->channels,
                             .weights =
                                 a->weights == NULL ? NULL : a->weights + image * a->count * job->tokens};
    attend(kernels, &input, begin, fkp_min_size(a->count, begin + kernels->gemm.rows),
           image_packed(job, image), job->scores + worker * score_floats(kernels, job->tokens));
}

size_t fkp_query_attention_scratch(const fkp_kernels *kernels, const fkp_query_attention *attention,
                                   size_t threads) {
    if (fkp_split_attends_to_queries(kernels, attention)) return fkp_split_query_attention_scratch(attention);
    size_t tokens = attention->tokens - attention->first;
    return attention->batch * packed_floats(kernels, tokens, attention->channels) +
           threads * score_floats(kernels, tokens);
}

void fkp_query_attention_run(const fkp_context *context, const fkp_query_attention *attention) {
    if (fkp_split_attends_to_queries(context->kernels, attention)) {
        fkp_split_query_attention_run(context, attention);
        return;
    }
    query_job job = {.context = context,
                     .attention = attention,
                     .tokens = attention->tokens - attention->first,
                     .value_panels = fkp_panels(context->kernels, attention->channels),
                     .groups = fkp_divide_up(attention->count, context->kernels->gemm.rows)};
    job.key_panels = fkp_panels(context->kernels, job.tokens);
    job.scores = image_packed(&job, attention->batch);
    fkp_parallel(context->pool, attention->batch * (job.key_panels + job.value_panels), pack_task, &job);
    fkp_parallel(context->pool, attention->batch * job.groups, query_task, &job);
}
