#include "train/layers/split_linear.h"

#include "operators/split.h"

/* Fewer leave tiles half empty, and packing is for nothing. */
enum { LEAST_ROWS = 64, LEAST_CHANNELS = 32 };

bool fkp_split_linear(const fkp_pass *pass) {
    const fkp_linear_sizes s = fkp_linear_sizes_of(pass);
    return pass->split && s.rows >= LEAST_ROWS && s.depth >= LEAST_CHANNELS && s.columns >= LEAST_CHANNELS;
}

/* ---- forward, and back to the input: a 1 x 1 convolution of an image one pixel wide ---- */

static fkp_convolution_run_arguments run_of(size_t rows, size_t depth, size_t columns) {
    return (fkp_convolution_run_arguments){.shape = {.batch = 1,
                                                     .in_height = rows,
                                                     .in_width = 1,
                                                     .in_channels = depth,
                                                     .out_height = rows,
                                                     .out_width = 1,
                                                     .out_channels = columns,
                                                     .kernel = 1,
                                                     .stride = 1},
                                           .algorithm = FKP_CONVOLUTION_SPLIT};
}

static size_t run_scratch(const fkp_convolution_run_arguments *run, size_t threads) {
    return fkp_split_packed_floats(&run->shape) + fkp_split_scratch(run, threads);
}

typedef struct pack_job {
    const fkp_pass *pass;
    const fkp_convolution *shape;
    bool turned; /* the weights' rows are the product's depth */
    float *packed;
} pack_job;

static void pack_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const pack_job *job = argument;
    const fkp_convolution *shape = job->shape;
    const float *weights = fkp_pass_parameter(job->pass, FKP_ROLE_WEIGHT);
    const size_t first = index * FKP_SPLIT_TILE,
                 count = fkp_min_size(FKP_SPLIT_TILE, shape->out_channels - first);
    if (job->turned) {
        const fkp_split_row_block block = {
            weights, shape->out_channels, 1, {0, shape->in_channels}, {first, first + count}};
        fkp_split_pack_rows(job->pass->context.kernels, shape, &block, job->packed);
        return;
    }
    const fkp_column_block block = {.depth = shape->in_channels,
                                    .columns = shape->out_channels,
                                    .first = first,
                                    .count = count,
                                    .weights = weights + first * shape->in_channels};
    fkp_split_pack_columns(job->pass->context.kernels, shape, &block, job->packed);
}

static void pack_and_run(const fkp_pass *pass, fkp_convolution_run_arguments *run, bool turned) {
    float *packed = pass->context.scratch;
    pack_job job = {pass, &run->shape, turned, packed};
    fkp_parallel(pass->context.pool, fkp_divide_up(run->shape.out_channels, FKP_SPLIT_TILE), pack_task, &job);
    run->packed = packed;
    const fkp_context context = fkp_pass_context_after(pass, fkp_split_packed_floats(&run->shape));
    fkp_split_run(&context, run);
}

void fkp_split_linear_forward(const fkp_pass *pass) {
    const fkp_linear_sizes s = fkp_linear_sizes_of(pass);
    fkp_convolution_run_arguments run = run_of(s.rows, s.depth, s.columns);
    run.in = pass->in[0].data;
    run.in_stride = pass->in[0].stride;
    run.out = pass->out.data;
    run.out_stride = pass->out.stride;
    run.epilogue.bias = fkp_pass_parameter(pass, FKP_ROLE_BIAS);
    run.epilogue.activation = pass->activation;
    pack_and_run(pass, &run, false);
}

void fkp_split_linear_input_gradient(const fkp_pass *pass) {
    const fkp_linear_sizes s = fkp_linear_sizes_of(pass);
    fkp_convolution_run_arguments run = run_of(s.rows, s.columns, s.depth);
    run.in = pass->d_out.data;
    run.in_stride = pass->d_out.stride;
    run.out = pass->d_in[0].data;
    run.out_stride = pass->d_in[0].stride;
    run.epilogue.residual = pass->accumulate_input[0] ? run.out : NULL;
    run.epilogue.residual_stride = run.out_stride;
    pack_and_run(pass, &run, true);
}

/* ---- to the weights ---- */

enum {
    TURNED = 64,         /* channels of dy that are turned at a time */
    STRIP_CHANNELS = 128 /* of dy, whose part stays in the second-level cache while x's panels pass */
};

typedef struct weight_job {
    const fkp_pass *pass;
    fkp_linear_sizes s;
    fkp_convolution product; /* of depth rows: x as its filters */
    size_t chunks, chunk_step, panels;
    uint16_t *turned; /* dy */
    float *packed;    /* x */
} weight_job;

static weight_job weight_job_of(const fkp_pass *pass) {
    weight_job job = {.pass = pass, .s = fkp_linear_sizes_of(pass)};
    job.product = fkp_split_matrix(job.s.rows, job.s.depth);
    job.chunks = fkp_split_chunks(job.s.rows);
    job.chunk_step = fkp_split_chunk_step(job.s.columns + FKP_SPLIT_SLACK);
    job.panels = fkp_divide_up(job.s.depth, FKP_SPLIT_COLUMNS);
    return job;
}

/* A chunk of rows of both. */
static void take_apart_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const weight_job *job = argument;
    const fkp_kernels *kernels = job->pass->context.kernels;
    const fkp_view *dy = &job->pass->d_out, *x = &job->pass->in[0];
    const size_t first = index * FKP_SPLIT_DEPTH, count = fkp_min_size(FKP_SPLIT_DEPTH, job->s.rows - first);
    _Alignas(64) float turned[TURNED * FKP_SPLIT_DEPTH];
    for (size_t channel = 0; channel < job->s.columns; channel += TURNED) {
        const size_t channels = fkp_min_size(TURNED, job->s.columns - channel);
        kernels->transpose(dy->data + first * dy->stride + channel, dy->stride, count, channels, turned,
                           FKP_SPLIT_DEPTH);
        kernels->split.rows(&(fkp_split_rows){
            turned, FKP_SPLIT_DEPTH, channels, count,
            job->turned + index * job->chunk_step + channel * FKP_SPLIT_PIXEL, job->chunk_step});
    }
    const fkp_split_row_block block = {
        x->data + first * x->stride, x->stride, 1, {first, first + count}, {0, job->s.depth}};
    fkp_split_pack_rows(kernels, &job->product, &block, job->packed);
}

/* A strip of dW's rows, and a panel of its columns. */
static void multiply_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const weight_job *job = argument;
    const fkp_pass *pass = job->pass;
    const size_t first = index / job->panels * STRIP_CHANNELS;
    const size_t column = index % job->panels * FKP_SPLIT_COLUMNS;
    float *out = fkp_pass_gradient(pass, FKP_ROLE_WEIGHT) + first * job->s.depth + column;
    const fkp_epilogue sum = {.residual = out, .residual_stride = job->s.depth};
    fkp_split_product product = fkp_split_times(&job->product, job->packed, column);
    product.in = job->turned + first * FKP_SPLIT_PIXEL;
    product.chunk_step = job->chunk_step;
    product.next = fkp_split_next_panel(&job->product, job->packed, column);
    product.lines = fkp_min_size(STRIP_CHANNELS, job->s.columns - first);
    product.out = out;
    product.out_stride = product.line_stride = job->s.depth;
    product.epilogue = pass->accumulate ? &sum : NULL;
    pass->context.kernels->split.multiply(&product);
}

void fkp_split_linear_weight_gradient(const fkp_pass *pass) {
    weight_job job = weight_job_of(pass);
    job.packed = pass->context.scratch;
    job.turned = (uint16_t *)(void *)(job.packed + fkp_split_packed_floats(&job.product));
    fkp_parallel(pass->context.pool, job.chunks, take_apart_task, &job);
    fkp_parallel(pass->context.pool, fkp_divide_up(job.s.columns, STRIP_CHANNELS) * job.panels, multiply_task,
                 &job);
}

size_t fkp_split_linear_scratch(const fkp_pass *pass) {
    const fkp_linear_sizes s = fkp_linear_sizes_of(pass);
    const size_t threads = fkp_pass_threads(pass);
    const fkp_convolution_run_arguments forward = run_of(s.rows, s.depth, s.columns);
    const fkp_convolution_run_arguments back = run_of(s.rows, s.columns, s.depth);
    const weight_job job = weight_job_of(pass);
    const size_t weights = fkp_split_packed_floats(&job.product) + job.chunks * job.chunk_step / 2;
    return fkp_max_size(weights, fkp_max_size(run_scratch(&forward, threads), run_scratch(&back, threads)));
}
