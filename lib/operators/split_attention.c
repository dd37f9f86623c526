/* Self attention by products of split numbers. A task is one head of one image: keys and values are packed as
 * filters, queries taken apart; then for some queries at a time the scores, their softmax, and what that
 * makes of the values, all within the second-level cache. */
#include <math.h>

#include "operators/split.h"

/* Queries at a time: seven tiles of rows, half of a ViT's 197 tokens. */
enum { QUERIES = 112 };
/* Fewer tokens or channels leave tiles half empty. */
enum { LEAST_TOKENS = 32, LEAST_CHANNELS = 16 };

bool fkp_split_attends(const fkp_kernels *kernels, const fkp_attention *attention) {
    return kernels->split.speed > 0.0 && attention->tokens >= LEAST_TOKENS &&
           attention->head_channels >= LEAST_CHANNELS;
}

typedef struct attention_job {
    const fkp_context *context;
    const fkp_attention *attention;
    fkp_convolution keys, values;   /* as filters: d -> tokens, tokens -> d */
    size_t query_step, weight_step; /* of a chunk */
    size_t score_stride;
    size_t worker_floats;
} attention_job;

static size_t rounded(size_t floats) { return fkp_divide_up(floats, 16) * 16; }

static void plan(attention_job *job, const fkp_attention *attention) {
    const size_t tokens = attention->tokens, d = attention->head_channels;
    job->attention = attention;
    job->keys = fkp_split_matrix(d, tokens);
    job->values = fkp_split_matrix(tokens, d);
    job->query_step = fkp_split_chunk_step(tokens + FKP_SPLIT_SLACK);
    job->weight_step = fkp_split_chunk_step(fkp_min_size(tokens, QUERIES) + FKP_SPLIT_SLACK);
    job->score_stride = fkp_divide_up(tokens, FKP_SPLIT_COLUMNS) * FKP_SPLIT_COLUMNS;
    job->worker_floats = fkp_split_packed_floats(&job->keys) + fkp_split_packed_floats(&job->values) +
                         rounded(fkp_split_chunks(d) * job->query_step / 2) +
                         rounded(fkp_split_chunks(tokens) * job->weight_step / 2) +
                         QUERIES * job->score_stride;
}

size_t fkp_split_attention_scratch(const fkp_attention *attention, size_t threads) {
    attention_job job;
    plan(&job, attention);
    return threads * job.worker_floats;
}

static void attention_task(void *argument, size_t index, size_t worker) {
    const attention_job *job = argument;
    const fkp_kernels *kernels = job->context->kernels;
    const fkp_attention *a = job->attention;
    const size_t image = index / a->heads, head = index % a->heads, d = a->head_channels, row = a->heads * d;
    const float *qkv = a->qkv + image * a->tokens * a->qkv_stride + head * d;
    float *keys = fkp_own_scratch(job->context, job->worker_floats, worker);
    float *values = keys + fkp_split_packed_floats(&job->keys);
    float *scores = values + fkp_split_packed_floats(&job->values);
    uint16_t *queries = (uint16_t *)(void *)(scores + QUERIES * job->score_stride);
    uint16_t *weights = queries + 2 * rounded(fkp_split_chunks(d) * job->query_step / 2);
    kernels->split.rows(&(fkp_split_rows){qkv, a->qkv_stride, a->tokens, d, queries, job->query_step});
    fkp_split_pack_columns(
        kernels, &job->keys,
        &(fkp_column_block){
            .depth = a->qkv_stride, .columns = a->tokens, .count = a->tokens, .weights = qkv + row},
        keys);
    fkp_split_pack_rows(kernels, &job->values,
                        &(fkp_split_row_block){qkv + 2 * row, a->qkv_stride, 1, {0, a->tokens}, {0, d}},
                        values);
    for (size_t first = 0; first < a->tokens; first += QUERIES) {
        const size_t count = fkp_min_size(QUERIES, a->tokens - first);
        fkp_split_multiply(kernels, &job->keys, keys,
                           &(fkp_split_factor){queries + first * FKP_SPLIT_PIXEL, job->query_step, count},
                           scores, job->score_stride);
        kernels->split.softmax(&(fkp_split_softmax){scores, job->score_stride, count, a->tokens,
                                                    1.0f / sqrtf((float)d), weights, job->weight_step});
        fkp_split_multiply(kernels, &job->values, values,
                           &(fkp_split_factor){weights, job->weight_step, count},
                           a->out + (image * a->tokens + first) * a->out_stride + head * d, a->out_stride);
    }
}

void fkp_split_attention_run(const fkp_context *context, const fkp_attention *attention) {
    attention_job job;
    plan(&job, attention);
    job.context = context;
    fkp_parallel(context->pool, attention->batch * attention->heads, attention_task, &job);
}
