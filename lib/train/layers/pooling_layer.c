/* Max pooling: dx of a window's first largest input += dy, found again by comparing with the output. Global
 * average pooling: dx = dy / (H W). */
#include <string.h>

#include "train/layers/blocks.h"

static fkp_pooling pooling_of(const fkp_pass *pass) {
    fkp_shape in = fkp_pass_in_shape(pass, 0), out = pass->layer->shape;
    return (fkp_pooling){.batch = pass->count,
                         .in_height = in.height,
                         .in_width = in.width,
                         .channels = in.channels,
                         .out_height = out.height,
                         .out_width = out.width,
                         .kernel = pass->layer->kernel,
                         .stride = pass->layer->stride,
                         .padding = pass->layer->padding,
                         .in = pass->in[0].data,
                         .in_stride = pass->in[0].stride,
                         .out = pass->out.data,
                         .out_stride = pass->out.stride};
}

static void max_forward(const fkp_pass *pass) {
    fkp_pooling pooling = pooling_of(pass);
    fkp_max_pooling_run(&pass->context, &pooling);
}

/* Windows of neighbouring output rows may share input rows, so a task is a run of output rows that touches
 * input rows of its own: all rows of an image when windows overlap, one row otherwise. */
static size_t rows_per_task(const fkp_pass *pass) {
    return pass->layer->kernel > pass->layer->stride ? pass->layer->shape.height : 1;
}

/* Whether windows lie side by side and nothing is there already: then gradients are written, not added. */
static bool writes(const fkp_pass *pass) {
    return pass->layer->kernel == pass->layer->stride && !pass->accumulate_input[0];
}

/* Input rows [begin, end) that a run of output rows owns; the last run takes what no window covers. */
static void owned_rows(const fkp_pass *pass, size_t first, size_t last, size_t *begin, size_t *end) {
    size_t height = fkp_pass_in_shape(pass, 0).height, stride = pass->layer->stride,
           padding = pass->layer->padding;
    *begin = first == 0 || first * stride < padding ? 0 : first * stride - padding;
    *end = last == pass->layer->shape.height ? height : fkp_min_size(height, last * stride - padding);
}

static void max_backward_row(const fkp_pass *pass, size_t image, size_t row) {
    fkp_shape in = fkp_pass_in_shape(pass, 0), out = pass->layer->shape;
    size_t first = row * pass->layer->stride, last = first + pass->layer->kernel,
           padding = pass->layer->padding;
    size_t begin = first < padding ? 0 : first - padding;
    size_t end = last < padding ? 0 : fkp_min_size(in.height, last - padding);
    if (begin >= end) return;
    size_t in_pixel = (image * in.height + begin) * in.width,
           out_pixel = (image * out.height + row) * out.width;
    fkp_pooling_row job = {.pixels = out.width,
                           .channels = out.channels,
                           .window_rows = end - begin,
                           .kernel = pass->layer->kernel,
                           .stride = pass->layer->stride,
                           .padding = padding,
                           .width = in.width,
                           .in = pass->in[0].data + in_pixel * pass->in[0].stride,
                           .in_stride = pass->in[0].stride,
                           .in_row_stride = in.width * pass->in[0].stride,
                           .d_in = pass->d_in[0].data + in_pixel * pass->d_in[0].stride,
                           .d_in_stride = pass->d_in[0].stride,
                           .d_in_row_stride = in.width * pass->d_in[0].stride,
                           .out = pass->out.data + out_pixel * pass->out.stride,
                           .out_stride = pass->out.stride,
                           .d_out = pass->d_out.data + out_pixel * pass->d_out.stride,
                           .d_out_stride = pass->d_out.stride,
                           .accumulate = !writes(pass)};
    pass->train->max_pooling_backward(&job);
}

/* Zeros for input rows [begin, end), but for the pixels whose gradients will be written. */
static void clear_rows(const fkp_pass *pass, size_t image, size_t begin, size_t end) {
    fkp_shape in = fkp_pass_in_shape(pass, 0), out = pass->layer->shape;
    size_t stride = pass->layer->stride, padding = pass->layer->padding;
    const fkp_view *d_in = &pass->d_in[0];
    for (size_t y = begin; y < end; y++) {
        bool written = writes(pass) && y + padding < out.height * stride;
        for (size_t x = written ? out.width * stride - padding : 0; x < in.width; x++)
            memset(d_in->data + ((image * in.height + y) * in.width + x) * d_in->stride, 0,
                   in.channels * sizeof(float));
    }
}

static void max_backward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const fkp_pass *pass = argument;
    size_t per_task = rows_per_task(pass), height = pass->layer->shape.height;
    size_t tasks = fkp_divide_up(height, per_task), image = index / tasks, first = index % tasks * per_task;
    size_t last = fkp_min_size(height, first + per_task), begin, end;
    owned_rows(pass, first, last, &begin, &end);
    if (!pass->accumulate_input[0]) clear_rows(pass, image, begin, end);
    for (size_t row = first; row < last; row++) max_backward_row(pass, image, row);
}

static void max_backward(const fkp_pass *pass) {
    if (pass->d_in[0].data == NULL) return;
    fkp_pass copy = *pass;
    size_t tasks = fkp_divide_up(pass->layer->shape.height, rows_per_task(pass));
    fkp_parallel(pass->context.pool, pass->count * tasks, max_backward_task, &copy);
}

const fkp_layer_record fkp_max_pooling_record = {.reads_input = true,
                                                 .reads_output = true,
                                                 .accumulates = true,
                                                 .forward = max_forward,
                                                 .backward = max_backward};

static void average_forward(const fkp_pass *pass) {
    fkp_pooling pooling = pooling_of(pass);
    fkp_average_pooling_run(&pass->context, &pooling);
}

static void average_backward_task(void *argument, size_t image, size_t worker) {
    (void)worker;
    const fkp_pass *pass = argument;
    size_t pixels = fkp_shape_rows(fkp_pass_in_shape(pass, 0)), channels = pass->layer->shape.channels;
    const float *d = pass->d_out.data + image * pass->d_out.stride;
    for (size_t p = image * pixels; p < (image + 1) * pixels; p++)
        for (size_t c = 0; c < channels; c++)
            pass->d_in[0].data[p * pass->d_in[0].stride + c] = d[c] / (float)pixels;
}

static void average_backward(const fkp_pass *pass) {
    if (pass->d_in[0].data == NULL) return;
    fkp_pass copy = *pass;
    fkp_parallel(pass->context.pool, pass->count, average_backward_task, &copy);
}

const fkp_layer_record fkp_average_pooling_record = {.forward = average_forward,
                                                     .backward = average_backward};
