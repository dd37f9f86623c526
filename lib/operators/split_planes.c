/* A matrix product whose result goes to planes, by products of split numbers: planes x pixels, as in
 * gemm_planes.c. The matrix is turned and taken apart once a run, pixels by the task that multiplies them. */
#include "operators/gemm.h"
#include "operators/split.h"

/* Pixels of a task: a plane gets so many in one go. */
enum { TASK_PIXELS = 512 };

typedef struct planes_job {
    const fkp_context *context;
    const fkp_gemm *gemm;
    size_t pixels, blocks; /* of an image */
    size_t lead;           /* floats from a line of the cache to the first plane */
    const uint16_t *matrix;
    size_t chunk_step;
    float *panels; /* of every worker */
} planes_job;

static size_t step_of(const fkp_gemm *gemm) { return fkp_split_chunk_step(gemm->columns + FKP_SPLIT_SLACK); }
static size_t matrix_floats(const fkp_gemm *gemm) {
    return fkp_split_chunks(gemm->depth) * step_of(gemm) / 2;
}
static size_t panels_floats(const fkp_gemm *gemm) {
    return fkp_split_chunks(gemm->depth) * FKP_SPLIT_PANELS / 2;
}

bool fkp_split_makes_planes(const fkp_kernels *kernels, const fkp_gemm *gemm) {
    return kernels->split.speed > 0.0 && 2 * gemm->depth >= FKP_SPLIT_DEPTH &&
           gemm->columns >= FKP_SPLIT_TILE;
}

size_t fkp_split_planes_scratch(const fkp_gemm *gemm, size_t threads) {
    return matrix_floats(gemm) + threads * panels_floats(gemm) + gemm->columns * gemm->depth;
}

static void planes_task(void *argument, size_t index, size_t worker) {
    const planes_job *job = argument;
    const fkp_gemm *gemm = job->gemm;
    const size_t image = index / job->blocks, block = index % job->blocks;
    const size_t first = block == 0 ? 0 : block * TASK_PIXELS - job->lead;
    const size_t end = fkp_min_size(job->pixels, (block + 1) * TASK_PIXELS - job->lead);
    job->context->kernels->split.planes(
        &(fkp_split_planes){.in = gemm->in + (image * job->pixels + first) * gemm->in_stride,
                            .in_stride = gemm->in_stride,
                            .pixels = end - first,
                            .channels = gemm->depth,
                            .matrix = job->matrix,
                            .chunk_step = job->chunk_step,
                            .planes = gemm->columns,
                            .bias = gemm->epilogue.bias,
                            .activation = gemm->epilogue.activation,
                            .out = gemm->out + image * gemm->columns * job->pixels + first,
                            .out_stride = job->pixels,
                            .panels = (uint16_t *)(void *)(job->panels + worker * panels_floats(gemm))});
}

void fkp_split_planes_run(const fkp_context *context, const fkp_gemm *gemm, size_t pixels) {
    const size_t lead = (uintptr_t)gemm->out / sizeof(float) % 16;
    uint16_t *matrix = (uint16_t *)(void *)context->scratch;
    planes_job job = {.context = context,
                      .gemm = gemm,
                      .pixels = pixels,
                      .blocks = fkp_divide_up(pixels + lead, TASK_PIXELS),
                      .lead = lead,
                      .matrix = matrix,
                      .chunk_step = step_of(gemm),
                      .panels = context->scratch + matrix_floats(gemm)};
    float *turned = job.panels + fkp_pool_threads(context->pool) * panels_floats(gemm);
    fkp_gemm_turn(context->kernels, gemm, turned, gemm->depth);
    context->kernels->split.rows(
        &(fkp_split_rows){turned, gemm->depth, gemm->columns, gemm->depth, matrix, job.chunk_step});
    fkp_parallel(context->pool, gemm->rows / pixels * job.blocks, planes_task, &job);
}
