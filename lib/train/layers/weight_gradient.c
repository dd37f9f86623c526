/* A convolution's weight gradient in direct form is, for every tap of the kernel, a matrix product over
 * pixels. Work is cut into blocks of output channels and chunks of pixels by shape alone; each chunk has sums
 * of its own, which are added in their order at the end, where they are also turned into PyTorch's layout. */
#include "train/layers/weight_gradient.h"

#include <string.h>

#include "train/layers/outer.h"

enum {
    BLOCK_PIXELS = 128, /* pixels between two visits of the sums: both operands of a block fit the L2 cache */
    BLOCK_CHANNELS = 64,    /* output channels of a task */
    TASKS = 16,             /* wanted, so that a late thread holds up little */
    CHUNK_FLOATS = 4 << 20, /* of all chunks' sums together, at most */
    REDUCE_CHANNELS = 16    /* output channels of a task of the final addition */
};

/* How a shape is cut. With one input channel a tap would be a single number: there a kernel row is one tap,
 * its numbers take the place of channels, and they are read from a copy of the planes with their zero
 * borders. */
typedef struct weights_cut {
    bool by_rows;
    size_t taps, channels; /* as the product sees them */
    size_t pixels, blocks, chunks, pixels_per_chunk;
    size_t sums;           /* floats of one chunk's sums: taps x channels x out_channels */
    size_t pointer_floats; /* of one worker */
} weights_cut;

static weights_cut cut_of(const fkp_convolution *shape) {
    weights_cut cut = {.by_rows = shape->in_channels == 1};
    cut.taps = cut.by_rows ? shape->kernel : shape->kernel * shape->kernel;
    cut.channels = cut.by_rows ? shape->kernel : shape->in_channels;
    cut.pixels = shape->batch * shape->out_height * shape->out_width;
    cut.blocks = fkp_divide_up(shape->out_channels, BLOCK_CHANNELS);
    cut.sums = cut.taps * cut.channels * shape->out_channels;
    size_t wanted = fkp_divide_up(TASKS, cut.blocks);
    size_t allowed = fkp_min_size(CHUNK_FLOATS / cut.sums, cut.pixels / (2 * BLOCK_PIXELS));
    size_t chunks = fkp_max_size(1, fkp_min_size(wanted, allowed));
    cut.pixels_per_chunk = fkp_divide_up(fkp_divide_up(cut.pixels, chunks), BLOCK_PIXELS) * BLOCK_PIXELS;
    cut.chunks = fkp_divide_up(cut.pixels, cut.pixels_per_chunk);
    cut.pointer_floats = BLOCK_PIXELS * sizeof(const float *) / sizeof(float);
    return cut;
}

static size_t bordered_width(const fkp_convolution *shape) { return shape->in_width + 2 * shape->padding; }
static size_t bordered_height(const fkp_convolution *shape) { return shape->in_height + 2 * shape->padding; }
/* What all workers read: a pixel of zeros, or the bordered planes. */
static size_t shared_floats(const fkp_convolution *shape) {
    size_t floats = shape->in_channels == 1 ? shape->batch * bordered_height(shape) * bordered_width(shape)
                                            : shape->in_channels;
    return fkp_divide_up(floats, 16) * 16;
}

typedef struct weights_job {
    const fkp_context *context;
    const fkp_train_kernels *train;
    const fkp_convolution_weights *run;
    weights_cut cut;
    float *shared;  /* zeros, or bordered planes */
    float *workers; /* pointers */
    float *sums;    /* chunks x taps x channels x out_channels */
} weights_job;

static size_t direct_scratch(const fkp_convolution *shape, size_t threads) {
    weights_cut cut = cut_of(shape);
    return shared_floats(shape) + threads * cut.pointer_floats + cut.chunks * cut.sums;
}

/* Pointers to what tap (y, x) reads for output pixels [begin, end) of the batch; runs of a row at a time. */
static void fill_pointers(const weights_job *job, size_t y, size_t x, size_t begin, size_t end,
                          const float **pointers) {
    const fkp_convolution *s = &job->run->shape;
    const fkp_view *in = &job->run->in;
    for (size_t pixel = begin; pixel < end;) {
        size_t row = pixel / s->out_width, column = pixel % s->out_width;
        size_t run = fkp_min_size(end - pixel, s->out_width - column);
        size_t image = row / s->out_height, in_y = row % s->out_height * s->stride + y;
        bool inside = in_y >= s->padding && in_y < s->in_height + s->padding;
        const float *line =
            inside ? in->data + (image * s->in_height + in_y - s->padding) * s->in_width * in->stride : NULL;
        for (size_t i = 0; i < run; i++) {
            size_t in_x = (column + i) * s->stride + x;
            bool there = inside && in_x >= s->padding && in_x < s->in_width + s->padding;
            *pointers++ = there ? line + (in_x - s->padding) * in->stride : job->shared;
        }
        pixel += run;
    }
}

/* One input channel: pointers to kernel row y of each pixel's window. */
static void point_at_rows(const weights_job *job, size_t y, size_t begin, size_t end,
                          const float **pointers) {
    const fkp_convolution *s = &job->run->shape;
    for (size_t pixel = begin; pixel < end;) {
        size_t row = pixel / s->out_width, column = pixel % s->out_width;
        size_t run = fkp_min_size(end - pixel, s->out_width - column);
        size_t in_row = row / s->out_height * bordered_height(s) + row % s->out_height * s->stride + y;
        const float *line = job->shared + in_row * bordered_width(s);
        for (size_t i = 0; i < run; i++) *pointers++ = line + (column + i) * s->stride;
        pixel += run;
    }
}

static void border_task(void *argument, size_t image, size_t worker) {
    (void)worker;
    const weights_job *job = argument;
    const fkp_convolution *s = &job->run->shape;
    const fkp_view *in = &job->run->in;
    float *plane = job->shared + image * bordered_height(s) * bordered_width(s);
    memset(plane, 0, bordered_height(s) * bordered_width(s) * sizeof *plane);
    for (size_t y = 0; y < s->in_height; y++) {
        const float *from = in->data + (image * s->in_height + y) * s->in_width * in->stride;
        float *to = plane + (y + s->padding) * bordered_width(s) + s->padding;
        for (size_t x = 0; x < s->in_width; x++) to[x] = from[x * in->stride];
    }
}

/* One tap, one block of pixels: sums[channels x out_channels], columns [first, last). */
static void multiply_block(const weights_job *job, const float *const *pointers, size_t begin, size_t end,
                           size_t first, size_t last, bool accumulate, float *sums) {
    const fkp_outer_record *record = &job->train->outer;
    fkp_outer_tile tile = {.pixels = end - begin,
                           .a = pointers,
                           .b_stride = job->run->d_out.stride,
                           .c_stride = job->run->shape.out_channels,
                           .accumulate = accumulate};
    const float *d_out = job->run->d_out.data + begin * tile.b_stride;
    const size_t step = fkp_even_rows(job->cut.channels, record->rows);
    for (size_t column = first; column < last; column += record->columns) {
        tile.columns = fkp_min_size(record->columns, last - column);
        tile.b = d_out + column;
        for (size_t row = 0; row < job->cut.channels; row += step) {
            tile.rows = fkp_min_size(step, job->cut.channels - row);
            tile.a_offset = row;
            tile.c = sums + row * tile.c_stride + column;
            record->tile(&tile);
        }
    }
}

static void weights_task(void *argument, size_t index, size_t worker) {
    const weights_job *job = argument;
    const weights_cut *cut = &job->cut;
    size_t chunk = index / cut->blocks, first = index % cut->blocks * BLOCK_CHANNELS;
    size_t last = fkp_min_size(job->run->shape.out_channels, first + BLOCK_CHANNELS);
    size_t chunk_begin = chunk * cut->pixels_per_chunk;
    size_t chunk_end = fkp_min_size(cut->pixels, chunk_begin + cut->pixels_per_chunk);
    const float **pointers = (const float **)(void *)(job->workers + worker * cut->pointer_floats);
    float *sums = job->sums + chunk * cut->sums;
    size_t tap_sums = cut->channels * job->run->shape.out_channels;
    for (size_t begin = chunk_begin; begin < chunk_end; begin += BLOCK_PIXELS) {
        size_t end = fkp_min_size(chunk_end, begin + BLOCK_PIXELS);
        for (size_t tap = 0; tap < cut->taps; tap++) {
            if (cut->by_rows)
                point_at_rows(job, tap, begin, end, pointers);
            else
                fill_pointers(job, tap / job->run->shape.kernel, tap % job->run->shape.kernel, begin, end,
                              pointers);
            multiply_block(job, pointers, begin, end, first, last, begin > chunk_begin,
                           sums + tap * tap_sums);
        }
    }
}

/* Adds the chunks of REDUCE_CHANNELS output channels and writes them as out x in x kernel x kernel. */
static void reduce_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const weights_job *job = argument;
    const fkp_convolution *s = &job->run->shape;
    size_t window = s->kernel * s->kernel, first = index * REDUCE_CHANNELS;
    size_t count = fkp_min_size(REDUCE_CHANNELS, s->out_channels - first);
    for (size_t i = 0; i < s->in_channels; i++)
        for (size_t tap = 0; tap < window; tap++) {
            const float *from = job->sums + (tap * s->in_channels + i) * s->out_channels + first;
            float sum[REDUCE_CHANNELS];
            memcpy(sum, from, count * sizeof *sum);
            for (size_t chunk = 1; chunk < job->cut.chunks; chunk++)
                for (size_t o = 0; o < count; o++) sum[o] += from[chunk * job->cut.sums + o];
            float *to = job->run->d_weights + (first * s->in_channels + i) * window + tap;
            for (size_t o = 0; o < count; o++, to += s->in_channels * window)
                *to = job->run->accumulate ? *to + sum[o] : sum[o];
        }
}

static void run_direct(const fkp_context *context, const fkp_train_kernels *train,
                       const fkp_convolution_weights *run) {
    weights_job job = {.context = context, .train = train, .run = run, .cut = cut_of(&run->shape)};
    job.shared = context->scratch;
    job.workers = context->scratch + shared_floats(&run->shape);
    job.sums = job.workers + fkp_pool_threads(context->pool) * job.cut.pointer_floats;
    if (job.cut.by_rows)
        fkp_parallel(context->pool, run->shape.batch, border_task, &job);
    else
        memset(job.shared, 0, shared_floats(&run->shape) * sizeof *job.shared);
    fkp_parallel(context->pool, job.cut.chunks * job.cut.blocks, weights_task, &job);
    fkp_parallel(context->pool, fkp_divide_up(run->shape.out_channels, REDUCE_CHANNELS), reduce_task, &job);
}

/* ---- either form ---- */

/* The direct form's loads of single numbers, and rows that end early, cost it about this much. */
#define DIRECT_COST 1.25

bool fkp_convolution_weights_can(const fkp_convolution *shape, fkp_convolution_algorithm algorithm) {
    return algorithm == FKP_CONVOLUTION_DIRECT ||
           (fkp_is_winograd(algorithm) && shape->stride == 1 && fkp_convolution_can(shape, algorithm));
}

fkp_convolution_algorithm fkp_convolution_weights_choose(const fkp_kernels *kernels,
                                                         const fkp_convolution *shape) {
    fkp_convolution_weights run = {.shape = *shape, .algorithm = FKP_CONVOLUTION_DIRECT};
    fkp_convolution_algorithm best = run.algorithm;
    double least = DIRECT_COST * (double)(shape->batch * shape->out_height * shape->out_width) *
                   (double)(shape->kernel * shape->kernel * shape->in_channels) * (double)shape->out_channels;
    for (int i = FKP_CONVOLUTION_WINOGRAD_2_3; i < FKP_CONVOLUTION_ALGORITHMS; i++) {
        run.algorithm = (fkp_convolution_algorithm)i;
        if (!fkp_convolution_weights_can(shape, run.algorithm)) continue;
        double cost = fkp_winograd_weights_cost(kernels, &run);
        if (cost >= least) continue;
        least = cost;
        best = run.algorithm;
    }
    return best;
}

size_t fkp_convolution_weights_scratch(const fkp_kernels *kernels, const fkp_convolution_weights *run,
                                       size_t threads) {
    return run->algorithm == FKP_CONVOLUTION_DIRECT ? direct_scratch(&run->shape, threads)
                                                    : fkp_winograd_weights_scratch(kernels, run);
}

void fkp_convolution_weights_run(const fkp_context *context, const fkp_train_kernels *train,
                                 const fkp_convolution_weights *run) {
    (run->algorithm == FKP_CONVOLUTION_DIRECT ? run_direct : fkp_winograd_weights_run)(context, train, run);
}
