/* Transposed convolution 2 x 2, stride 2: output pixel (2 y + i, 2 x + j) is input pixel (y, x) times weight
 * (i, j); four matrix products that write every second pixel of every second row. */
#include "operators/split.h"

size_t fkp_upsampling_packed_floats(const fkp_kernels *kernels, size_t in_channels, size_t out_channels) {
    if (fkp_split_upsamples(kernels, in_channels, out_channels))
        return fkp_split_upsampling_packed_floats(in_channels, out_channels);
    return 4 * fkp_gemm_packed_floats(kernels, in_channels, out_channels);
}

void fkp_upsampling_pack(const fkp_kernels *kernels, size_t in_channels, size_t out_channels,
                         fkp_range channels, const float *weights, float *packed) {
    if (fkp_split_upsamples(kernels, in_channels, out_channels)) {
        fkp_split_upsampling_pack(kernels, in_channels, out_channels, channels, weights, packed);
        return;
    }
    const size_t matrix = fkp_gemm_packed_floats(kernels, in_channels, out_channels);
    for (size_t panel = 0; panel < fkp_panels(kernels, out_channels); panel++) {
        const size_t first = panel * kernels->gemm.columns;
        const size_t width = fkp_panel_width(kernels, out_channels, panel);
        float *rows = packed + first * in_channels + channels.begin * width;
        for (size_t position = 0; position < 4; position++)
            fkp_gemm_pack(kernels, channels.end - channels.begin,
                          fkp_panel_columns(kernels, out_channels, panel), weights + first * 4 + position,
                          out_channels * 4, 4, NULL, rows + position * matrix);
    }
}

size_t fkp_upsampling_scratch(const fkp_kernels *kernels, const fkp_upsampling *up, size_t threads) {
    return fkp_split_upsamples(kernels, up->in_channels, up->out_channels)
               ? fkp_split_upsampling_scratch(up, threads)
               : 0;
}

typedef struct upsampling_job {
    const fkp_kernels *kernels;
    const fkp_upsampling *up;
    size_t matrix; /* floats of one position's packed weights */
    size_t rows;   /* image rows of a task */
    size_t groups; /* tasks that all rows of all images make */
} upsampling_job;

static void upsample_row(const upsampling_job *job, size_t image_row, size_t position, size_t panel) {
    const fkp_upsampling *up = job->up;
    const fkp_gemm_record *record = &job->kernels->gemm;
    size_t first = panel * record->columns;
    fkp_epilogue epilogue = fkp_epilogue_at(&up->epilogue, 0, first);
    const float *rows[FKP_MAX_TILE_ROWS];
    fkp_gemm_tile tile = {.columns = fkp_panel_columns(job->kernels, up->out_channels, panel),
                          .depth = up->in_channels,
                          .taps = 1,
                          .a = rows,
                          .b = up->packed + position * job->matrix + first * up->in_channels,
                          .c_stride = 2 * up->out_stride,
                          .epilogue = &epilogue};
    size_t out_pixel = (2 * image_row + position / 2) * 2 * up->in_width + position % 2;
    /* Tiles of nearly the same size: a rest of two rows would read the whole panel for them. */
    for (size_t x = 0; x < up->in_width; x += tile.rows) {
        tile.rows = fkp_divide_up(up->in_width - x, fkp_divide_up(up->in_width - x, record->rows));
        for (size_t r = 0; r < tile.rows; r++)
            rows[r] = up->in + (image_row * up->in_width + x + r) * up->in_stride;
        tile.c = up->out + (out_pixel + 2 * x) * up->out_stride + first;
        record->tile(&tile);
    }
}

/* Some rows, a panel, and all four positions: the input is read once, and lines that lie side by side are
 * written one soon after the other. */
static void upsampling_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const upsampling_job *job = argument;
    size_t begin = index % job->groups * job->rows, panel = index / job->groups;
    size_t end = fkp_min_size(job->up->batch * job->up->in_height, begin + job->rows);
    for (size_t position = 0; position < 4; position++)
        for (size_t row = begin; row < end; row++) upsample_row(job, row, position, panel);
}

void fkp_upsampling_run(const fkp_context *context, const fkp_upsampling *up) {
    const size_t rows = up->batch * up->in_height, panels = fkp_panels(context->kernels, up->out_channels);
    if (rows == 0) return;
    if (fkp_split_upsamples(context->kernels, up->in_channels, up->out_channels)) {
        fkp_split_upsampling_run(context, up);
        return;
    }
    upsampling_job job = {.kernels = context->kernels, .up = up};
    job.matrix = fkp_gemm_packed_floats(context->kernels, up->in_channels, up->out_channels);
    job.rows = fkp_divide_up(rows, fkp_divide_up(rows, fkp_max_size(1, FKP_TASK_ROWS / up->in_width)));
    job.groups = fkp_divide_up(rows, job.rows);
    fkp_parallel(context->pool, panels * job.groups, upsampling_task, &job);
}
