/* A matrix product whose result goes to planes: a block of rows at a time is multiplied into scratch memory
 * and turned from there, so that the rows of the whole result are never stored. */
#include "operators/gemm.h"

size_t fkp_gemm_to_planes_scratch(const fkp_kernels *kernels, const fkp_gemm *gemm, size_t threads) {
    (void)kernels;
    return threads * fkp_divide_up(FKP_TASK_ROWS * gemm->columns, 16) * 16;
}

typedef struct planes_job {
    const fkp_context *context;
    const fkp_gemm *gemm;
    size_t pixels, blocks; /* of an image */
} planes_job;

/* Rows [first, first + count) times the whole matrix, into dense rows. */
static void multiply_block(const planes_job *job, size_t first, size_t count, float *out) {
    const fkp_gemm *gemm = job->gemm;
    const fkp_kernels *kernels = job->context->kernels;
    const float *rows[FKP_MAX_TILE_ROWS];
    for (size_t panel = 0; panel < fkp_panels(kernels, gemm->columns); panel++) {
        size_t column = panel * kernels->gemm.columns;
        fkp_epilogue epilogue = fkp_epilogue_at(&gemm->epilogue, first, column);
        fkp_gemm_tile tile = {.columns = fkp_panel_columns(kernels, gemm->columns, panel),
                              .depth = gemm->depth,
                              .taps = 1,
                              .a = rows,
                              .b = gemm->packed + column * gemm->depth,
                              .c_stride = gemm->columns,
                              .epilogue = &epilogue};
        for (size_t row = 0; row < count; row += kernels->gemm.rows) {
            tile.rows = fkp_min_size(kernels->gemm.rows, count - row);
            for (size_t r = 0; r < tile.rows; r++) rows[r] = gemm->in + (first + row + r) * gemm->in_stride;
            tile.c = out + row * gemm->columns + column;
            kernels->gemm.tile(&tile);
        }
    }
}

static void planes_task(void *argument, size_t index, size_t worker) {
    const planes_job *job = argument;
    const fkp_gemm *gemm = job->gemm;
    size_t image = index / job->blocks, pixel = index % job->blocks * FKP_TASK_ROWS;
    size_t count = fkp_min_size(FKP_TASK_ROWS, job->pixels - pixel);
    float *rows = job->context->scratch + worker * fkp_gemm_to_planes_scratch(job->context->kernels, gemm, 1);
    multiply_block(job, image * job->pixels + pixel, count, rows);
    job->context->kernels->transpose(rows, gemm->columns, count, gemm->columns,
                                     gemm->out + image * gemm->columns * job->pixels + pixel, job->pixels);
}

void fkp_gemm_to_planes_run(const fkp_context *context, const fkp_gemm *gemm, size_t pixels) {
    planes_job job = {context, gemm, pixels, fkp_divide_up(pixels, FKP_TASK_ROWS)};
    fkp_parallel(context->pool, gemm->rows / pixels * job.blocks, planes_task, &job);
}
