/* Linear, per row: y = x W^T + b with x: rows x I, W: O x I, y: rows x O;
 *   dx = dy W,   dW = dy^T x,   db = column sums of dy.
 * With few rows the weights are read unpacked, once; with many they are packed for the register tile, or all
 * three products are of split numbers. */
#include "train/layers/blocks.h"
#include "train/layers/outer.h"
#include "train/layers/pack.h"
#include "train/layers/split_linear.h"

static bool is_thin(const fkp_linear_sizes *s) { return s->rows <= FKP_THIN_ROWS; }

enum {
    THIN_OUTPUTS = 24, /* outputs of a task of the thin forward */
    THIN_DEPTH = 8192, /* inputs of all rows that stay in the second-level cache while its outputs pass */
    THIN_INPUTS = 1024 /* inputs of a task of the thin backward */
};

static size_t packed_floats(const fkp_kernels *kernels, size_t depth, size_t columns) {
    return fkp_divide_up(fkp_gemm_packed_floats(kernels, depth, columns), 16) * 16;
}

static size_t linear_scratch(const fkp_pass *pass) {
    fkp_linear_sizes s = fkp_linear_sizes_of(pass);
    const fkp_kernels *kernels = pass->context.kernels;
    size_t threads = fkp_pass_threads(pass);
    fkp_gemm forward = {.rows = s.rows, .depth = s.depth, .columns = s.columns};
    fkp_gemm backward = {.rows = s.rows, .depth = s.columns, .columns = s.depth};
    size_t products = fkp_max_size(
        packed_floats(kernels, s.depth, s.columns) + fkp_gemm_scratch(kernels, &forward, threads),
        packed_floats(kernels, s.columns, s.depth) + fkp_gemm_scratch(kernels, &backward, threads));
    size_t sums = fkp_column_sums_scratch(s.rows, s.columns);
    if (fkp_split_linear(pass)) return fkp_max_size(sums, fkp_split_linear_scratch(pass));
    return fkp_max_size(is_thin(&s) ? 0 : products, fkp_max_size(sums, fkp_outer_scratch(threads)));
}

static void thin_forward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const fkp_pass *pass = argument;
    fkp_linear_sizes s = fkp_linear_sizes_of(pass);
    size_t first = index * THIN_OUTPUTS;
    fkp_thin_tile tile = {.rows = s.rows,
                          .outputs = fkp_min_size(THIN_OUTPUTS, s.columns - first),
                          .weights_stride = s.depth,
                          .in_stride = pass->in[0].stride,
                          .out = pass->out.data + first,
                          .out_stride = pass->out.stride};
    for (size_t begin = 0; begin < s.depth; begin += THIN_DEPTH) {
        tile.width = fkp_min_size(THIN_DEPTH, s.depth - begin);
        tile.weights = fkp_pass_parameter(pass, FKP_ROLE_WEIGHT) + first * s.depth + begin;
        tile.in = pass->in[0].data + begin;
        tile.accumulate = begin > 0;
        pass->train->thin_forward(&tile);
    }
    const float *bias = fkp_pass_parameter(pass, FKP_ROLE_BIAS);
    for (size_t r = 0; r < s.rows; r++) {
        float *out = tile.out + r * tile.out_stride;
        if (bias != NULL)
            pass->context.kernels->add(out, bias + first, out, tile.outputs, pass->activation);
        else
            pass->context.kernels->activate(out, out, tile.outputs, pass->activation);
    }
}

static void linear_forward(const fkp_pass *pass) {
    fkp_linear_sizes s = fkp_linear_sizes_of(pass);
    if (is_thin(&s)) {
        fkp_pass copy = *pass;
        fkp_parallel(pass->context.pool, fkp_divide_up(s.columns, THIN_OUTPUTS), thin_forward_task, &copy);
        return;
    }
    if (fkp_split_linear(pass)) {
        fkp_split_linear_forward(pass);
        return;
    }
    float *packed = pass->context.scratch;
    fkp_pack_matrix(&pass->context, s.depth, s.columns, fkp_pass_parameter(pass, FKP_ROLE_WEIGHT), 1, s.depth,
                    packed);
    fkp_gemm gemm = {.rows = s.rows,
                     .depth = s.depth,
                     .columns = s.columns,
                     .in = pass->in[0].data,
                     .in_stride = pass->in[0].stride,
                     .packed = packed,
                     .out = pass->out.data,
                     .out_stride = pass->out.stride};
    gemm.epilogue.bias = fkp_pass_parameter(pass, FKP_ROLE_BIAS);
    gemm.epilogue.activation = pass->activation;
    fkp_context context =
        fkp_pass_context_after(pass, packed_floats(pass->context.kernels, s.depth, s.columns));
    fkp_gemm_run(&context, &gemm);
}

/* One slice of inputs, all outputs: dW's columns and dx's. */
static void thin_backward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const fkp_pass *pass = argument;
    fkp_linear_sizes s = fkp_linear_sizes_of(pass);
    size_t first = index * THIN_INPUTS;
    float *d_weights = fkp_pass_gradient(pass, FKP_ROLE_WEIGHT);
    fkp_thin_tile tile = {.rows = s.rows,
                          .width = fkp_min_size(THIN_INPUTS, s.depth - first),
                          .outputs = s.columns,
                          .d = pass->d_out.data,
                          .d_stride = pass->d_out.stride,
                          .weights_stride = s.depth};
    if (d_weights != NULL) {
        tile.weights = d_weights + first;
        tile.in = pass->in[0].data + first;
        tile.in_stride = pass->in[0].stride;
        tile.accumulate = pass->accumulate;
        pass->train->thin_weights(&tile);
    }
    if (pass->d_in[0].data != NULL) {
        tile.weights = fkp_pass_parameter(pass, FKP_ROLE_WEIGHT) + first;
        tile.in = pass->d_in[0].data + first;
        tile.in_stride = pass->d_in[0].stride;
        tile.accumulate = pass->accumulate_input[0];
        pass->train->thin_input(&tile);
    }
}

static void input_gradient(const fkp_pass *pass, const fkp_linear_sizes *s) {
    float *packed = pass->context.scratch;
    fkp_pack_matrix(&pass->context, s->columns, s->depth, fkp_pass_parameter(pass, FKP_ROLE_WEIGHT), s->depth,
                    1, packed);
    fkp_gemm gemm = {.rows = s->rows,
                     .depth = s->columns,
                     .columns = s->depth,
                     .in = pass->d_out.data,
                     .in_stride = pass->d_out.stride,
                     .packed = packed,
                     .out = pass->d_in[0].data,
                     .out_stride = pass->d_in[0].stride,
                     .accumulate = pass->accumulate_input[0]};
    fkp_context context =
        fkp_pass_context_after(pass, packed_floats(pass->context.kernels, s->columns, s->depth));
    fkp_gemm_run(&context, &gemm);
}

static void linear_backward(const fkp_pass *pass) {
    fkp_linear_sizes s = fkp_linear_sizes_of(pass);
    float *d_weights = fkp_pass_gradient(pass, FKP_ROLE_WEIGHT),
          *d_bias = fkp_pass_gradient(pass, FKP_ROLE_BIAS);
    if (d_bias != NULL)
        fkp_column_sums_run(&pass->context, pass->train, pass->d_out, s.rows, s.columns, pass->accumulate,
                            d_bias);
    if (is_thin(&s)) {
        fkp_pass copy = *pass;
        fkp_parallel(pass->context.pool, fkp_divide_up(s.depth, THIN_INPUTS), thin_backward_task, &copy);
        return;
    }
    if (fkp_split_linear(pass)) {
        if (d_weights != NULL) fkp_split_linear_weight_gradient(pass);
        if (pass->d_in[0].data != NULL) fkp_split_linear_input_gradient(pass);
        return;
    }
    if (d_weights != NULL)
        fkp_outer_run(&pass->context, pass->train,
                      &(fkp_outer){.rows = s.rows,
                                   .a_channels = s.columns,
                                   .b_channels = s.depth,
                                   .a = pass->d_out,
                                   .b = pass->in[0],
                                   .c = d_weights,
                                   .c_stride = s.depth,
                                   .accumulate = pass->accumulate});
    if (pass->d_in[0].data != NULL) input_gradient(pass, &s);
}

const fkp_layer_record fkp_linear_record = {
    .reads_input = true,
    .accumulates = true,
    .scratch = linear_scratch,
    .forward = linear_forward,
    .backward = linear_backward,
};
