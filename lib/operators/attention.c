/* softmax(scale Q K^T) V, a few query rows at a time: their scores never leave the first-level cache. Both
 * attentions of the library are this with other Q, K and V. */
#include <math.h>

#include "operators/gemm.h"

typedef struct attention_input {
    const float *queries, *keys, *values; /* rows of `channels` floats */
    size_t query_stride, token_stride;
    size_t query_count, tokens, channels;
    float scale;
    float *out;
    size_t out_stride;
    float *weights; /* query_count x tokens; NULL: not wanted */
} attention_input;

/* Scratch of a worker: K^T and V as panels, and the scores of one register tile. */
static size_t keys_floats(const fkp_kernels *kernels, size_t tokens, size_t channels) {
    return fkp_divide_up(fkp_gemm_packed_floats(kernels, channels, tokens), 16) * 16;
}
static size_t values_floats(const fkp_kernels *kernels, size_t tokens, size_t channels) {
    return fkp_divide_up(fkp_gemm_packed_floats(kernels, tokens, channels), 16) * 16;
}
static size_t score_stride(size_t tokens) { return fkp_divide_up(tokens, 16) * 16; }
static size_t worker_floats(const fkp_kernels *kernels, size_t tokens, size_t channels) {
    return keys_floats(kernels, tokens, channels) + values_floats(kernels, tokens, channels) +
           kernels->gemm.rows * score_stride(tokens);
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

static void attend(const fkp_kernels *kernels, const attention_input *input, float *scratch) {
    float *keys = scratch, *values = keys + keys_floats(kernels, input->tokens, input->channels);
    float *scores = values + values_floats(kernels, input->tokens, input->channels);
    size_t stride = score_stride(input->tokens);
    fkp_gemm_pack(kernels, input->channels, input->tokens, input->keys, 1, input->token_stride, NULL, keys);
    fkp_gemm_pack(kernels, input->tokens, input->channels, input->values, input->token_stride, 1, NULL,
                  values);
    const float *rows[FKP_MAX_TILE_ROWS];
    for (size_t query = 0; query < input->query_count; query += kernels->gemm.rows) {
        size_t count = fkp_min_size(kernels->gemm.rows, input->query_count - query);
        for (size_t r = 0; r < count; r++) rows[r] = input->queries + (query + r) * input->query_stride;
        multiply_rows(kernels, rows, count, input->channels, keys, input->tokens, scores, stride);
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

/* ---- self attention: a task is one head of one image ---- */

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
                             .keys = qkv + a->heads * d,
                             .values = qkv + 2 * a->heads * d,
                             .query_stride = a->qkv_stride,
                             .token_stride = a->qkv_stride,
                             .query_count = a->tokens,
                             .tokens = a->tokens,
                             .channels = d,
                             .scale = 1.0f / sqrtf((float)d),
                             .out = a->out + image * a->tokens * a->out_stride + head * d,
                             .out_stride = a->out_stride};
    attend(job->context->kernels, &input, job->context->scratch + worker * job->worker_floats);
}

size_t fkp_attention_scratch(const fkp_kernels *kernels, const fkp_attention *attention, size_t threads) {
    return threads * worker_floats(kernels, attention->tokens, attention->head_channels);
}

void fkp_attention_run(const fkp_context *context, const fkp_attention *attention) {
    attention_job job = {context, attention,
                         worker_floats(context->kernels, attention->tokens, attention->head_channels)};
    fkp_parallel(context->pool, attention->batch * attention->heads, attention_task, &job);
}

/* ---- keypoint queries: a task is one image ---- */

typedef struct query_job {
    const fkp_context *context;
    const fkp_query_attention *attention;
    size_t worker_floats;
} query_job;

static void query_task(void *argument, size_t index, size_t worker) {
    const query_job *job = argument;
    const fkp_query_attention *a = job->attention;
    size_t tokens = a->tokens - a->first;
    const float *x = a->in + (index * a->tokens + a->first) * a->in_stride;
    attention_input input = {.queries = a->queries,
                             .keys = x,
                             .values = x,
                             .query_stride = a->channels,
                             .token_stride = a->in_stride,
                             .query_count = a->count,
                             .tokens = tokens,
                             .channels = a->channels,
                             .scale = 1.0f / sqrtf((float)a->channels),
                             .out = a->out + index * a->count * a->channels,
                             .out_stride = a->channels,
                             .weights = a->weights == NULL ? NULL : a->weights + index * a->count * tokens};
    attend(job->context->kernels, &input, job->context->scratch + worker * job->worker_floats);
}

size_t fkp_query_attention_scratch(const fkp_kernels *kernels, const fkp_query_attention *attention,
                                   size_t threads) {
    return threads * worker_floats(kernels, attention->tokens - attention->first, attention->channels);
}

void fkp_query_attention_run(const fkp_context *context, const fkp_query_attention *attention) {
    query_job job = {
        context, attention,
        worker_floats(context->kernels, attention->tokens - attention->first, attention->channels)};
    fkp_parallel(context->pool, attention->batch, query_task, &job);
}
