/* Keypoint queries by products of split numbers. A task is all queries over one half of an image's tokens, so
 * that of two workers each packs and multiplies the tokens that are in its own caches: far less has to come
 * over from the other's than if each had half of the queries, and all tokens. A half's softmax is of its own
 * tokens alone; then, a few queries being a task, the results of both halves are added, times what each
 * half's exponentials are of all. There are two halves for every number of threads: the bits are to be the
 * same. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "operators/split.h"

enum { HALVES = 2 };
/* Fewer queries, tokens or channels leave tiles half empty. */
enum { LEAST_QUERIES = 16, LEAST_TOKENS = 64, LEAST_CHANNELS = 16 };
/* Queries of a task that adds halves. */
enum { ADDED = 4 };

bool fkp_split_attends_to_queries(const fkp_kernels *kernels, const fkp_query_attention *attention) {
    return kernels->split.speed > 0.0 && attention->count >= LEAST_QUERIES &&
           attention->tokens - attention->first >= LEAST_TOKENS && attention->channels >= LEAST_CHANNELS;
}

/* Of a query in a half, one token's score and what the softmax made of it: exp(score) over `weight` is the
 * sum of all exponentials. Of the heavier tokens, so that the weight is no tiny number. */
typedef struct sample {
    float score, weight;
} sample;

/* The memory of a half, floats from its beginning. The first numbers are queries taken apart; once there are
 * scores, the results lie there. */
typedef struct half_memory {
    size_t query_step, weight_step; /* of a chunk, in split numbers */
    size_t score_stride;
    size_t panel, scores, weights, samples; /* where they begin */
    size_t floats;
} half_memory;

typedef struct query_job {
    const fkp_context *context;
    const fkp_query_attention *attention;
    size_t tokens, split; /* used of an image, and those in its first half */
    float scale;
    half_memory memory;
    size_t step, groups; /* from half to half in scratch memory; tasks of an image that add */
} query_job;

static size_t rounded(size_t floats) { return fkp_divide_up(floats, 16) * 16; }

/* Rows taken apart, and what a product may read beyond them. */
static size_t rows_floats(size_t channels, size_t chunk_step) {
    return rounded((fkp_split_chunks(channels) * chunk_step + FKP_SPLIT_SLACK * FKP_SPLIT_PIXEL) / 2);
}

static void plan(query_job *job, const fkp_query_attention *a) {
    job->attention = a;
    job->tokens = a->tokens - a->first;
    /* Whole panels, so that only the second half has a part of one. */
    job->split = job->tokens / 2 / FKP_SPLIT_COLUMNS * FKP_SPLIT_COLUMNS;
    job->scale = 1.0f / sqrtf((float)a->channels);
    job->groups = fkp_divide_up(a->count, ADDED);
    const size_t most = job->tokens - job->split;
    const fkp_convolution keys = fkp_split_matrix(a->channels, FKP_SPLIT_COLUMNS);
    const fkp_convolution values = fkp_split_matrix(most, FKP_SPLIT_COLUMNS);
    half_memory *m = &job->memory;
    m->query_step = m->weight_step = fkp_split_chunk_step(a->count);
    m->score_stride = rounded(most);
    m->panel = fkp_max_size(rows_floats(a->channels, m->query_step), rounded(a->count * a->channels));
    m->scores = m->panel + fkp_max_size(fkp_split_packed_floats(&keys), fkp_split_packed_floats(&values));
    m->weights = m->scores + (a->count + 1) * m->score_stride;
    m->samples = m->weights + rows_floats(most, m->weight_step);
    m->floats = m->samples + rounded(a->count * sizeof(sample) / sizeof(float));
}

size_t fkp_split_query_attention_scratch(const fkp_query_attention *attention) {
    query_job job;
    plan(&job, attention);
    return attention->batch * HALVES * job.memory.floats;
}

static float *memory_of(const query_job *job, size_t image, size_t half) {
    return job->context->scratch + (image * HALVES + half) * job->step;
}
static sample *samples_in(const query_job *job, float *memory) {
    return (sample *)(void *)(memory + job->memory.samples);
}

/* Where a half's results go: those of the first one where both are added. */
static float *results_of(const query_job *job, size_t image, size_t half) {
    const fkp_query_attention *a = job->attention;
    return half == 0 ? a->out + image * a->count * a->channels : memory_of(job, image, half);
}

typedef struct token_range {
    const float *first;
    size_t count;
} token_range;

static token_range tokens_of(const query_job *job, size_t image, size_t half) {
    const fkp_query_attention *a = job->attention;
    const size_t begin = half == 0 ? 0 : job->split;
    return (token_range){a->in + (image * a->tokens + a->first + begin) * a->in_stride,
                         half == 0 ? job->split : job->tokens - begin};
}

/* A panel of keys at a time is packed and multiplied: it is still in the first-level cache. */
static void score(const query_job *job, const token_range *tokens, float *memory) {
    const fkp_kernels *kernels = job->context->kernels;
    const fkp_query_attention *a = job->attention;
    const half_memory *m = &job->memory;
    uint16_t *queries = (uint16_t *)(void *)memory;
    kernels->split.rows(
        &(fkp_split_rows){a->queries, a->channels, a->count, a->channels, queries, m->query_step});
    for (size_t first = 0; first < tokens->count; first += FKP_SPLIT_COLUMNS) {
        const size_t columns = fkp_min_size(FKP_SPLIT_COLUMNS, tokens->count - first);
        const fkp_convolution keys = fkp_split_matrix(a->channels, columns);
        const fkp_column_block block = {.depth = a->in_stride,
                                        .columns = columns,
                                        .count = columns,
                                        .weights = tokens->first + first * a->in_stride};
        fkp_split_pack_columns(kernels, &keys, &block, memory + m->panel);
        fkp_split_multiply(kernels, &keys, memory + m->panel,
                           &(fkp_split_factor){queries, m->query_step, a->count}, memory + m->scores + first,
                           m->score_stride);
    }
}

/* The softmax of a row of scores, which are kept in `scores`; a token of at least a half of the mean weight
 * is the sample, or any if there are NaN. */
static sample weigh(const query_job *job, float *row, size_t count, float *scores) {
    memcpy(scores, row, count * sizeof *row);
    job->context->kernels->softmax(row, count, job->scale);
    size_t token = 0;
    while (token + 1 < count && !(row[token] * (float)count >= 0.5f)) token++;
    return (sample){scores[token] * job->scale, row[token]};
}

static void sum_values(const query_job *job, const token_range *tokens, float *memory, float *results) {
    const fkp_kernels *kernels = job->context->kernels;
    const fkp_query_attention *a = job->attention;
    const half_memory *m = &job->memory;
    uint16_t *weights = (uint16_t *)(void *)(memory + m->weights);
    kernels->split.rows(&(fkp_split_rows){memory + m->scores, m->score_stride, a->count, tokens->count,
                                          weights, m->weight_step});
    for (size_t first = 0; first < a->channels; first += FKP_SPLIT_COLUMNS) {
        const size_t columns = fkp_min_size(FKP_SPLIT_COLUMNS, a->channels - first);
        const fkp_convolution values = fkp_split_matrix(tokens->count, columns);
        const fkp_split_row_block block = {
            tokens->first + first, a->in_stride, 1, {0, tokens->count}, {0, columns}};
        fkp_split_pack_rows(kernels, &values, &block, memory + m->panel);
        fkp_split_multiply(kernels, &values, memory + m->panel,
                           &(fkp_split_factor){weights, m->weight_step, a->count}, results + first,
                           a->channels);
    }
}

static void half_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const query_job *job = argument;
    const fkp_query_attention *a = job->attention;
    const half_memory *m = &job->memory;
    const size_t image = index / HALVES, half = index % HALVES;
    const token_range tokens = tokens_of(job, image, half);
    float *memory = memory_of(job, image, half), *scores = memory + m->scores;
    sample *samples = samples_in(job, memory);
    score(job, &tokens, memory);
    for (size_t q = 0; q < a->count; q++) {
        float *row = scores + q * m->score_stride;
        samples[q] = weigh(job, row, tokens.count, scores + a->count * m->score_stride);
        if (a->weights != NULL)
            memcpy(a->weights + (image * a->count + q) * job->tokens + half * job->split, row,
                   tokens.count * sizeof *row);
    }
    sum_values(job, &tokens, memory, results_of(job, image, half));
}

/* What each half's exponentials are of the sum of all. */
static void shares_of(const sample *first, const sample *second, float share[HALVES]) {
    const float largest = fmaxf(first->score, second->score);
    share[0] = expf(first->score - largest) / first->weight;
    share[1] = expf(second->score - largest) / second->weight;
    const float sum = share[0] + share[1];
    share[0] /= sum;
    share[1] /= sum;
}

static void add_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const query_job *job = argument;
    const fkp_query_attention *a = job->attention;
    const size_t image = index / job->groups, begin = index % job->groups * ADDED;
    const sample *first = samples_in(job, memory_of(job, image, 0));
    const sample *second = samples_in(job, memory_of(job, image, 1));
    for (size_t q = begin; q < fkp_min_size(a->count, begin + ADDED); q++) {
        float share[HALVES];
        shares_of(first + q, second + q, share);
        float *restrict out = results_of(job, image, 0) + q * a->channels;
        const float *restrict other = results_of(job, image, 1) + q * a->channels;
        for (size_t c = 0; c < a->channels; c++) out[c] = share[0] * out[c] + share[1] * other[c];
        if (a->weights == NULL) continue;
        float *weights = a->weights + (image * a->count + q) * job->tokens;
        for (size_t t = 0; t < job->tokens; t++) weights[t] *= share[t < job->split ? 0 : 1];
    }
}

void fkp_split_query_attention_run(const fkp_context *context, const fkp_query_attention *attention) {
    query_job job;
    plan(&job, attention);
    job.context = context;
    const size_t halves = attention->batch * HALVES;
    /* Where each worker has one half, that lies in the memory that is its own from operator to operator. */
    job.step = fkp_pool_threads(context->pool) == halves ? fkp_max_size(job.memory.floats, context->slice)
                                                         : job.memory.floats;
    fkp_parallel(context->pool, halves, half_task, &job);
    fkp_parallel(context->pool, attention->batch * job.groups, add_task, &job);
}
