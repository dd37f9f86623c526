/* Attention (Vaswani et al. 2017), per image and head, T tokens of d channels, and the keypoint queries,
 * which are the same with K = V = X. With S = s Q K^T, P = softmax(S), O = P V: dV = P^T dO,  dP = dO V^T, dS
 * = s P (dP - rowsum(P dP)),  dQ = dS K,  dK = dS^T Q. P is computed again, one head at a time. */
#include <math.h>
#include <string.h>

#include "operators/gemm.h"
#include "train/layers/blocks.h"
#include "train/layers/outer.h"

/* ---- products of one worker ---- */

/* out[rows x columns] (+)= a[rows x depth] times a packed matrix. */
static void multiply(const fkp_kernels *kernels, fkp_view a, size_t rows, size_t depth, const float *packed,
                     size_t columns, bool accumulate, fkp_view out) {
    const float *pointers[FKP_MAX_TILE_ROWS];
    for (size_t row = 0; row < rows; row += kernels->gemm.rows) {
        fkp_gemm_tile tile = {.rows = fkp_min_size(kernels->gemm.rows, rows - row),
                              .depth = depth,
                              .taps = 1,
                              .a = pointers,
                              .c_stride = out.stride,
                              .accumulate = accumulate};
        for (size_t r = 0; r < tile.rows; r++) pointers[r] = a.data + (row + r) * a.stride;
        for (size_t panel = 0; panel < fkp_panels(kernels, columns); panel++) {
            size_t first = panel * kernels->gemm.columns;
            tile.columns = fkp_panel_columns(kernels, columns, panel);
            tile.b = packed + first * depth;
            tile.c = out.data + row * out.stride + first;
            kernels->gemm.tile(&tile);
        }
    }
}

/* Memory of a worker: two score matrices, one packed matrix, that of outer products. */
typedef struct attention_memory {
    fkp_view scores, d_scores;
    float *packed;
    float *outer; /* of fkp_outer_serial */
} attention_memory;

static size_t score_stride(size_t tokens) { return fkp_divide_up(tokens, 16) * 16; }
static size_t packed_floats(const fkp_kernels *kernels, size_t tokens, size_t channels) {
    return fkp_divide_up(fkp_max_size(fkp_gemm_packed_floats(kernels, channels, tokens),
                                      fkp_gemm_packed_floats(kernels, tokens, channels)),
                         16) *
           16;
}
static size_t worker_floats(const fkp_kernels *kernels, size_t queries, size_t tokens, size_t channels) {
    return 2 * queries * score_stride(tokens) + packed_floats(kernels, tokens, channels) +
           fkp_outer_serial_floats();
}
static attention_memory memory_at(const fkp_kernels *kernels, float *memory, size_t queries, size_t tokens,
                                  size_t channels) {
    size_t stride = score_stride(tokens), scores = queries * stride;
    float *packed = memory + 2 * scores;
    return (attention_memory){{memory, stride},
                              {memory + scores, stride},
                              packed,
                              packed + packed_floats(kernels, tokens, channels)};
}

/* ---- self attention: a task is one head of one image ---- */

static fkp_attention attention_of(const fkp_pass *pass) {
    fkp_shape shape = pass->layer->shape;
    return (fkp_attention){.batch = pass->count,
                           .tokens = fkp_shape_rows(shape),
                           .heads = pass->layer->heads,
                           .head_channels = shape.channels / pass->layer->heads,
                           .qkv = pass->in[0].data,
                           .qkv_stride = pass->in[0].stride,
                           .out = pass->out.data,
                           .out_stride = pass->out.stride};
}

static size_t attention_scratch(const fkp_pass *pass) {
    fkp_attention a = attention_of(pass);
    size_t threads = fkp_pass_threads(pass);
    size_t backward = threads * worker_floats(pass->context.kernels, a.tokens, a.tokens, a.head_channels);
    return fkp_max_size(backward, fkp_attention_scratch(pass->context.kernels, &a, threads));
}

static void attention_forward(const fkp_pass *pass) {
    fkp_attention a = attention_of(pass);
    fkp_attention_run(&pass->context, &a);
}

static void attention_backward_task(void *argument, size_t index, size_t worker) {
    const fkp_pass *pass = argument;
    const fkp_kernels *kernels = pass->context.kernels;
    fkp_attention a = attention_of(pass);
    size_t t = a.tokens, d = a.head_channels, all = a.heads * d, row = index / a.heads * t,
           head = index % a.heads * d;
    const fkp_view *in = &pass->in[0], *d_in = &pass->d_in[0];
    fkp_view q = {in->data + row * in->stride + head, in->stride}, k = {q.data + all, in->stride};
    fkp_view v = {q.data + 2 * all, in->stride};
    fkp_view d_q = {d_in->data + row * d_in->stride + head, d_in->stride},
             d_k = {d_q.data + all, d_in->stride};
    fkp_view d_v = {d_q.data + 2 * all, d_in->stride};
    fkp_view d_out = {pass->d_out.data + row * pass->d_out.stride + head, pass->d_out.stride};
    attention_memory m =
        memory_at(kernels, pass->context.scratch + worker * worker_floats(kernels, t, t, d), t, t, d);
    const float scale = 1.0f / sqrtf((float)d);

    fkp_gemm_pack(kernels, d, t, k.data, 1, k.stride, NULL, m.packed);
    multiply(kernels, q, t, d, m.packed, t, false, m.scores);
    for (size_t i = 0; i < t; i++) kernels->softmax(m.scores.data + i * m.scores.stride, t, scale);
    fkp_gemm_pack(kernels, d, t, v.data, 1, v.stride, NULL, m.packed);
    multiply(kernels, d_out, t, d, m.packed, t, false, m.d_scores);
    fkp_outer_serial(pass->train, &(fkp_outer){t, t, d, m.scores, d_out, d_v.data, d_v.stride, false},
                     m.outer);
    for (size_t i = 0; i < t; i++)
        pass->train->softmax_backward(m.scores.data + i * m.scores.stride,
                                      m.d_scores.data + i * m.d_scores.stride, t, scale);
    fkp_gemm_pack(kernels, t, d, k.data, k.stride, 1, NULL, m.packed);
    multiply(kernels, m.d_scores, t, t, m.packed, d, false, d_q);
    fkp_outer_serial(pass->train, &(fkp_outer){t, t, d, m.d_scores, q, d_k.data, d_k.stride, false}, m.outer);
}

static void attention_backward(const fkp_pass *pass) {
    if (pass->d_in[0].data == NULL) return;
    fkp_pass copy = *pass;
    fkp_parallel(pass->context.pool, pass->count * pass->layer->heads, attention_backward_task, &copy);
}

const fkp_layer_record fkp_attention_record = {.reads_input = true,
                                               .scratch = attention_scratch,
                                               .forward = attention_forward,
                                               .backward = attention_backward};

/* ---- keypoint queries: F = softmax(s Q X^T) X; a task is one image, and dQ is added up over the images ----
 */

static fkp_query_attention queries_of(const fkp_pass *pass) {
    fkp_shape in = fkp_pass_in_shape(pass, 0);
    return (fkp_query_attention){.batch = pass->count,
                                 .tokens = fkp_shape_rows(in),
                                 .channels = in.channels,
                                 .count = pass->layer->count,
                                 .in = pass->in[0].data,
                                 .in_stride = pass->in[0].stride,
                                 .queries = fkp_pass_parameter(pass, FKP_ROLE_QUERIES),
                                 .out = pass->out.data,
                                 .weights = pass->saved};
}

static size_t query_saved(const fkp_pass *pass) {
    return pass->count * pass->layer->count * fkp_shape_rows(fkp_pass_in_shape(pass, 0));
}

static size_t query_scratch(const fkp_pass *pass) {
    const fkp_kernels *kernels = pass->context.kernels;
    fkp_shape in = fkp_pass_in_shape(pass, 0);
    fkp_query_attention a = {.batch = pass->count,
                             .tokens = fkp_shape_rows(in),
                             .channels = in.channels,
                             .count = pass->layer->count};
    size_t threads = fkp_pass_threads(pass);
    size_t backward =
        threads * worker_floats(kernels, a.count, a.tokens, a.channels) + pass->count * a.count * a.channels;
    return fkp_max_size(backward, fkp_query_attention_scratch(kernels, &a, threads));
}

static void query_forward(const fkp_pass *pass) {
    fkp_query_attention a = queries_of(pass);
    fkp_query_attention_run(&pass->context, &a);
}

/* Where the images' query gradients stand, after the workers' memory. */
static float *query_gradients(const fkp_pass *pass) {
    size_t tokens = fkp_shape_rows(fkp_pass_in_shape(pass, 0)), channels = pass->layer->shape.channels;
    return pass->context.scratch + fkp_pass_threads(pass) * worker_floats(pass->context.kernels,
                                                                          pass->layer->count, tokens,
                                                                          channels);
}

static void query_backward_task(void *argument, size_t image, size_t worker) {
    const fkp_pass *pass = argument;
    const fkp_kernels *kernels = pass->context.kernels;
    fkp_query_attention a = queries_of(pass);
    size_t t = a.tokens, c = a.channels, k = a.count;
    attention_memory m =
        memory_at(kernels, pass->context.scratch + worker * worker_floats(kernels, k, t, c), k, t, c);
    fkp_view x = {pass->in[0].data + image * t * pass->in[0].stride, pass->in[0].stride};
    fkp_view d_out = {pass->d_out.data + image * k * pass->d_out.stride, pass->d_out.stride};
    fkp_view weights = {pass->saved + image * k * t, t};
    const float scale = 1.0f / sqrtf((float)c);

    fkp_gemm_pack(kernels, c, t, x.data, 1, x.stride, NULL, m.packed);
    multiply(kernels, d_out, k, c, m.packed, t, false, m.d_scores);
    for (size_t i = 0; i < k; i++)
        pass->train->softmax_backward(weights.data + i * t, m.d_scores.data + i * m.d_scores.stride, t,
                                      scale);
    if (pass->d_in[0].data != NULL) {
        float *d_x = pass->d_in[0].data + image * t * pass->d_in[0].stride;
        fkp_view queries = {fkp_pass_parameter(pass, FKP_ROLE_QUERIES), c};
        fkp_outer_serial(pass->train, &(fkp_outer){k, t, c, weights, d_out, d_x, pass->d_in[0].stride, false},
                         m.outer);
        fkp_outer_serial(pass->train,
                         &(fkp_outer){k, t, c, m.d_scores, queries, d_x, pass->d_in[0].stride, true},
                         m.outer);
    }
    if (fkp_pass_gradient(pass, FKP_ROLE_QUERIES) == NULL) return;
    fkp_gemm_pack(kernels, t, c, x.data, x.stride, 1, NULL, m.packed);
    multiply(kernels, m.d_scores, k, t, m.packed, c, false,
             (fkp_view){query_gradients(pass) + image * k * c, c});
}

static void query_backward(const fkp_pass *pass) {
    fkp_pass copy = *pass;
    fkp_parallel(pass->context.pool, pass->count, query_backward_task, &copy);
    float *d_queries = fkp_pass_gradient(pass, FKP_ROLE_QUERIES);
    size_t floats = pass->layer->count * pass->layer->shape.channels;
    if (d_queries != NULL)
        fkp_add_partial_sums(query_gradients(pass), floats, pass->count, floats, pass->accumulate, d_queries);
}

const fkp_layer_record fkp_query_attention_record = {.reads_input = true,
                                                     .saved = query_saved,
                                                     .scratch = query_scratch,
                                                     .forward = query_forward,
                                                     .backward = query_backward};
