/* A matrix product whose result goes to planes. It is computed the other way round, planes x pixels: the
 * register tile's columns are pixels, which lie side by side in a plane, and its rows are planes, so that it
 * writes the result where it belongs. A block of pixels is turned to be the panel; the matrix is turned once
 * a run. The bias is one more depth, of a channel that is 1: the last addition of every sum, as it is in an
 * epilogue. */
#include "operators/gemm.h"
#include "operators/split.h"

/* Panels of a task: a plane gets so many pixels at a time. */
#define TASK_PANELS 8

typedef struct planes_job {
    const fkp_kernels *kernels;
    const fkp_gemm *gemm;
    size_t depth;          /* with the bias */
    size_t pixels, blocks; /* of an image */
    size_t lead;           /* floats from a line of the cache to the first plane */
    float *turned;         /* planes x depth */
    float *panels;         /* of every worker */
} planes_job;

static size_t task_pixels(const fkp_kernels *kernels) { return TASK_PANELS * kernels->gemm.columns; }
static size_t turned_floats(const fkp_gemm *gemm) {
    return fkp_divide_up(gemm->columns * (gemm->depth + 1), 16) * 16;
}
/* From panel to panel: panels are aligned. */
static size_t panel_floats(const fkp_kernels *kernels, size_t depth) {
    return fkp_divide_up(depth * kernels->gemm.columns, 16) * 16;
}

size_t fkp_gemm_to_planes_scratch(const fkp_kernels *kernels, const fkp_gemm *gemm, size_t threads) {
    if (fkp_split_makes_planes(kernels, gemm)) return fkp_split_planes_scratch(gemm, threads);
    return turned_floats(gemm) + threads * TASK_PANELS * panel_floats(kernels, gemm->depth + 1);
}

void fkp_gemm_turn(const fkp_kernels *kernels, const fkp_gemm *gemm, float *turned, size_t stride) {
    for (size_t panel = 0; panel < fkp_panels(kernels, gemm->columns); panel++) {
        size_t first = panel * kernels->gemm.columns;
        kernels->transpose(gemm->packed + first * gemm->depth, fkp_panel_width(kernels, gemm->columns, panel),
                           gemm->depth, fkp_panel_columns(kernels, gemm->columns, panel),
                           turned + first * stride, stride);
    }
}

static void turn_matrix(const planes_job *job) {
    const fkp_gemm *gemm = job->gemm;
    fkp_gemm_turn(job->kernels, gemm, job->turned, job->depth);
    for (size_t j = 0; j < gemm->columns; j++)
        job->turned[j * job->depth + gemm->depth] =
            gemm->epilogue.bias == NULL ? 0.0f : gemm->epilogue.bias[j];
}

/* `count` pixels as a panel, depth x width, the bias's ones last. */
static void turn_pixels(const planes_job *job, const float *in, size_t count, float *panel) {
    const fkp_gemm *gemm = job->gemm;
    size_t width = fkp_packed_columns(job->kernels, count);
    job->kernels->transpose(in, gemm->in_stride, count, gemm->depth, panel, width);
    for (size_t k = 0; k < job->depth; k++)
        for (size_t j = k < gemm->depth ? count : 0; j < width; j++)
            panel[k * width + j] = k < gemm->depth ? 0.0f : 1.0f;
}

/* Asks for the lines that the tile at `out` writes, each plane's in another page: a store waits longer than
 * the multiplications last. */
static void fetch_tile(const planes_job *job, size_t rows, const float *out) {
    for (size_t r = 0; r < rows; r++)
        for (size_t pixel = 0; pixel < job->kernels->gemm.columns; pixel += 16)
            __builtin_prefetch(out + r * job->pixels + pixel, 0, 2);
}

/* All planes of `count` pixels, whose panels lie one after the other: panel by panel for a few planes, so
 * that a plane is written in long runs. */
static void multiply_panels(const planes_job *job, size_t count, const float *panels, float *out) {
    const fkp_gemm_record *record = &job->kernels->gemm;
    const fkp_epilogue epilogue = {.activation = job->gemm->epilogue.activation};
    const float *rows[FKP_MAX_TILE_ROWS];
    fkp_gemm_tile tile = {.depth = job->depth,
                          .taps = 1,
                          .a = rows,
                          .c_stride = job->pixels,
                          .epilogue = epilogue.activation == FKP_ACTIVATION_NONE ? NULL : &epilogue};
    size_t planes = job->gemm->columns, groups = fkp_divide_up(planes, record->rows);
    for (size_t group = 0, plane = 0; group < groups; group++, plane += tile.rows) {
        tile.rows = planes * (group + 1) / groups - plane;
        for (size_t r = 0; r < tile.rows; r++) rows[r] = job->turned + (plane + r) * job->depth;
        for (size_t pixel = 0; pixel < count; pixel += record->columns) {
            tile.columns = fkp_min_size(record->columns, count - pixel);
            tile.b = panels + pixel / record->columns * panel_floats(job->kernels, job->depth);
            tile.c = out + plane * job->pixels + pixel;
            if (pixel + record->columns < count) fetch_tile(job, tile.rows, tile.c + record->columns);
            record->tile(&tile);
        }
    }
}

static void planes_task(void *argument, size_t index, size_t worker) {
    const planes_job *job = argument;
    const fkp_gemm *gemm = job->gemm;
    size_t columns = job->kernels->gemm.columns;
    size_t image = index / job->blocks, block = index % job->blocks, step = task_pixels(job->kernels);
    size_t first = block == 0 ? 0 : block * step - job->lead;
    size_t count = fkp_min_size(job->pixels, (block + 1) * step - job->lead) - first;
    float *panels = job->panels + worker * TASK_PANELS * panel_floats(job->kernels, job->depth);
    for (size_t pixel = 0; pixel < count; pixel += columns)
        turn_pixels(job, gemm->in + (image * job->pixels + first + pixel) * gemm->in_stride,
                    fkp_min_size(columns, count - pixel),
                    panels + pixel / columns * panel_floats(job->kernels, job->depth));
    multiply_panels(job, count, panels, gemm->out + image * gemm->columns * job->pixels + first);
}

/* Tasks begin where the first plane's lines do, and with it the others' of most images: the planes are the
 * caller's memory, and a vector that lies in two lines takes two stores. */
void fkp_gemm_to_planes_run(const fkp_context *context, const fkp_gemm *gemm, size_t pixels) {
    if (fkp_split_makes_planes(context->kernels, gemm)) {
        fkp_split_planes_run(context, gemm, pixels);
        return;
    }
    const size_t lead = (uintptr_t)gemm->out / sizeof(float) % 16;
    planes_job job = {.kernels = context->kernels,
                      .gemm = gemm,
                      .depth = gemm->depth + 1,
                      .pixels = pixels,
                      .blocks = fkp_divide_up(pixels + lead, task_pixels(context->kernels)),
                      .lead = lead,
                      .turned = context->scratch,
                      .panels = context->scratch + turned_floats(gemm)};
    turn_matrix(&job);
    fkp_parallel(context->pool, gemm->rows / pixels * job.blocks, planes_task, &job);
}
