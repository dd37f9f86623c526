/* Transposed convolution 2 x 2, stride 2. x: N x H x W x I, W: I x O x 2 x 2, y: N x 2H x 2W x O. For each of
 * the four positions q of the output pixel's parity: y_q = x W_q + b,   dx = sum over q of dy_q W_q^T,   dW_q
 * = x^T dy_q,   db = sum of dy. */
#include "train/layers/blocks.h"
#include "train/layers/pack.h"
#include "train/layers/weight_gradient.h"

#include "operators/gemm.h"

typedef struct upsampling_sizes {
    size_t batch, height, width, in, out; /* of the input */
} upsampling_sizes;

static upsampling_sizes sizes_of(const fkp_pass *pass) {
    fkp_shape in = fkp_pass_in_shape(pass, 0);
    return (upsampling_sizes){pass->count, in.height, in.width, in.channels, pass->layer->shape.channels};
}

static fkp_upsampling upsampling_of(const fkp_pass *pass) {
    upsampling_sizes s = sizes_of(pass);
    return (fkp_upsampling){.batch = s.batch,
                            .in_height = s.height,
                            .in_width = s.width,
                            .in_channels = s.in,
                            .out_channels = s.out};
}

static size_t forward_packed_floats(const fkp_pass *pass) {
    upsampling_sizes s = sizes_of(pass);
    return fkp_divide_up(fkp_upsampling_packed_floats(pass->context.kernels, s.in, s.out), 16) * 16;
}

static void upsampling_forward(const fkp_pass *pass) {
    upsampling_sizes s = sizes_of(pass);
    fkp_upsampling up = upsampling_of(pass);
    float *packed = pass->context.scratch;
    for (size_t q = 0; q < 4; q++) /* as fkp_upsampling_pack() does */
        fkp_pack_matrix(&pass->context, s.in, s.out, fkp_pass_parameter(pass, FKP_ROLE_WEIGHT) + q, 4 * s.out,
                        4, packed + q * fkp_gemm_packed_floats(pass->context.kernels, s.in, s.out));
    up.in = pass->in[0].data;
    up.in_stride = pass->in[0].stride;
    up.packed = packed;
    up.out = pass->out.data;
    up.out_stride = pass->out.stride;
    up.epilogue.bias = fkp_pass_parameter(pass, FKP_ROLE_BIAS);
    up.epilogue.activation = pass->activation;
    fkp_context context = fkp_pass_context_after(pass, forward_packed_floats(pass));
    fkp_upsampling_run(&context, &up);
}

/* ---- dx: a product with four taps, the four pixels that came from one ---- */

typedef struct input_job {
    const fkp_pass *pass;
    upsampling_sizes s;
    float *packed;
} input_job;

static void pack_task(void *argument, size_t panel, size_t worker) {
    (void)worker;
    const input_job *job = argument;
    const fkp_kernels *kernels = job->pass->context.kernels;
    size_t first = panel * kernels->gemm.columns, columns = fkp_panel_columns(kernels, job->s.in, panel);
    const float *weights = fkp_pass_parameter(job->pass, FKP_ROLE_WEIGHT) + first * job->s.out * 4;
    float *to = job->packed + first * 4 * job->s.out;
    for (size_t q = 0; q < 4; q++) /* depth: output channels; columns: input channels */
        fkp_gemm_pack(kernels, job->s.out, columns, weights + q, 4, job->s.out * 4, NULL,
                      to + q * job->s.out * fkp_panel_width(kernels, job->s.in, panel));
}

static void input_row_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const input_job *job = argument;
    const fkp_kernels *kernels = job->pass->context.kernels;
    const upsampling_sizes *s = &job->s;
    size_t rows = kernels->gemm.rows, line = 2 * s->width * job->pass->d_out.stride;
    const float *d_out = job->pass->d_out.data + index * 2 * line;
    const float *pointers[4 * FKP_MAX_TILE_ROWS];
    for (size_t x = 0; x < s->width; x += rows) {
        fkp_gemm_tile tile = {.rows = fkp_min_size(rows, s->width - x),
                              .depth = s->out,
                              .taps = 4,
                              .a = pointers,
                              .c_stride = job->pass->d_in[0].stride};
        for (size_t q = 0; q < 4; q++)
            for (size_t r = 0; r < tile.rows; r++)
                pointers[q * rows + r] =
                    d_out + q / 2 * line + (2 * (x + r) + q % 2) * job->pass->d_out.stride;
        for (size_t panel = 0; panel < fkp_panels(kernels, s->in); panel++) {
            size_t first = panel * kernels->gemm.columns;
            tile.columns = fkp_panel_columns(kernels, s->in, panel);
            tile.b = job->packed + first * 4 * s->out;
            tile.c = job->pass->d_in[0].data + (index * s->width + x) * tile.c_stride + first;
            kernels->gemm.tile(&tile);
        }
    }
}

static size_t backward_packed_floats(const fkp_pass *pass) {
    upsampling_sizes s = sizes_of(pass);
    return fkp_divide_up(4 * s.out * fkp_packed_columns(pass->context.kernels, s.in), 16) * 16;
}

/* ---- dW: seen from the output, x is what a 2 x 2 convolution of stride 2 over dy would give ---- */

static fkp_convolution mirrored(const fkp_pass *pass) {
    upsampling_sizes s = sizes_of(pass);
    return (fkp_convolution){.batch = s.batch,
                             .in_height = 2 * s.height,
                             .in_width = 2 * s.width,
                             .in_channels = s.out,
                             .out_height = s.height,
                             .out_width = s.width,
                             .out_channels = s.in,
                             .kernel = 2,
                             .stride = 2};
}

static void upsampling_backward(const fkp_pass *pass) {
    upsampling_sizes s = sizes_of(pass);
    float *d_weights = fkp_pass_gradient(pass, FKP_ROLE_WEIGHT),
          *d_bias = fkp_pass_gradient(pass, FKP_ROLE_BIAS);
    if (d_weights != NULL)
        fkp_convolution_weights_run(&pass->context, pass->train,
                                    &(fkp_convolution_weights){mirrored(pass), FKP_CONVOLUTION_DIRECT,
                                                               pass->d_out, pass->in[0], d_weights,
                                                               pass->accumulate});
    if (d_bias != NULL)
        fkp_column_sums_run(&pass->context, pass->train, pass->d_out, fkp_pass_rows(pass), s.out,
                            pass->accumulate, d_bias);
    if (pass->d_in[0].data == NULL) return;
    input_job job = {pass, s, pass->context.scratch};
    fkp_parallel(pass->context.pool, fkp_panels(pass->context.kernels, s.in), pack_task, &job);
    fkp_parallel(pass->context.pool, s.batch * s.height, input_row_task, &job);
}

static size_t upsampling_scratch(const fkp_pass *pass) {
    fkp_upsampling up = upsampling_of(pass);
    fkp_convolution_weights mirror = {.shape = mirrored(pass), .algorithm = FKP_CONVOLUTION_DIRECT};
    size_t threads = fkp_pass_threads(pass);
    size_t forward =
        forward_packed_floats(pass) + fkp_upsampling_scratch(pass->context.kernels, &up, threads);
    size_t weights = fkp_convolution_weights_scratch(pass->context.kernels, &mirror, threads);
    size_t bias = fkp_column_sums_scratch(fkp_pass_rows(pass), up.out_channels);
    return fkp_max_size(fkp_max_size(forward, backward_packed_floats(pass)), fkp_max_size(weights, bias));
}

const fkp_layer_record fkp_upsampling_record = {.reads_input = true,
                                                .scratch = upsampling_scratch,
                                                .forward = upsampling_forward,
                                                .backward = upsampling_backward};
