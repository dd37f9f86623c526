/* A row of a convolution of one channel against the reference. */
#include <math.h>

#include "harness.h"

typedef struct plane {
    size_t kernel, stride, pixels, columns;
    bool pool;
} plane;

typedef struct plane_end {
    bool epilogue, bias, residual;
    fkp_activation activation;
} plane_end;
static const plane_end ends[] = {
    {false, false, false, FKP_ACTIVATION_NONE}, {true, true, false, FKP_ACTIVATION_RELU},
    {true, true, false, FKP_ACTIVATION_ELU},    {true, false, true, FKP_ACTIVATION_GELU},
    {true, true, true, FKP_ACTIVATION_NONE},    {true, false, false, FKP_ACTIVATION_ELU}};
enum { ENDS = sizeof ends / sizeof *ends };

typedef struct problem {
    fkp_plane_row row;
    guarded in, filters, out, bias, residual;
    fkp_epilogue epilogue;
} problem;

/* The row's numbers end where the last sum has read its last. */
static void prepare(trial *check, problem *p, const plane *shape, const plane_end *end) {
    size_t granule = check->kernels.gemm.granule, taps = shape->kernel * shape->kernel;
    size_t width = (shape->columns + granule - 1) / granule * granule, rows = shape->pool ? 2 : 1;
    size_t in_width = (rows * shape->pixels - 1) * shape->stride + shape->kernel, in_stride = in_width + 2;
    size_t in_rows = (rows - 1) * shape->stride + shape->kernel;
    p->in = block_random(check, (in_rows - 1) * in_stride + in_width, -1.0f, 1.0f);
    p->filters = block_create_aligned(check, taps * width);
    for (size_t i = 0; i < taps * width; i++)
        p->filters.data[i] =
            i % width < shape->columns ? fkp_random_between(&check->random, -1.0f, 1.0f) : 0.0f;
    p->out = block_create(check, (shape->pixels - 1) * (shape->columns + 3) + shape->columns);
    p->bias = block_random(check, shape->columns, -1.0f, 1.0f);
    p->residual =
        block_random(check, (shape->pixels - 1) * (shape->columns + 1) + shape->columns, -1.0f, 1.0f);
    p->epilogue = (fkp_epilogue){end->bias ? p->bias.data : NULL, end->residual ? p->residual.data : NULL,
                                 shape->columns + 1, end->activation};
    p->row = (fkp_plane_row){.in = p->in.data,
                             .in_stride = in_stride,
                             .kernel = shape->kernel,
                             .stride = shape->stride,
                             .pixels = shape->pixels,
                             .columns = shape->columns,
                             .filters = p->filters.data,
                             .width = width,
                             .out = p->out.data,
                             .out_stride = shape->columns + 3,
                             .epilogue = end->epilogue ? &p->epilogue : NULL,
                             .pool = shape->pool};
}

static void release(trial *check, problem *p) {
    block_free(check, &p->in);
    block_free(check, &p->filters);
    block_free(check, &p->out);
    block_free(check, &p->bias);
    block_free(check, &p->residual);
}

/* Terms are at most 1, and so is what rounding each sum of them loses, in units of the sum; signs differ, so
 * that it grows like the root of their number. Activations add their own error and no more than 1.13 of their
 * argument's. */
static void check_row(trial *check, const plane *shape, const plane_end *end) {
    problem p;
    set_label(check, "plane %zu x %zu, stride %zu, %zu pixels of %zu%s%s, activation %d", shape->kernel,
              shape->kernel, shape->stride, shape->pixels, shape->columns, shape->pool ? ", pooled" : "",
              end->residual ? ", residual" : "", (int)end->activation);
    prepare(check, &p, shape, end);
    guarded expected = block_create(check, p.out.count);
    fkp_plane_row reference = p.row;
    reference.out = expected.data;
    check->kernels.convolve_plane(&p.row);
    check->reference.convolve_plane(&reference);
    double terms = (double)(shape->kernel * shape->kernel + 2);
    for (size_t i = 0; i < p.out.count; i++) {
        if (i % p.row.out_stride < shape->columns)
            expect_near(check, i, (double)p.out.data[i], (double)expected.data[i],
                        1.13 * EPSILON * (sqrt(terms) + 8) * terms);
        else
            expect(check, is_poison(p.out.data[i]), "wrote between the pixels");
    }
    block_free(check, &expected);
    release(check, &p);
}

void check_plane(trial *check) {
    const size_t kernels[][2] = {{1, 1}, {2, 1}, {3, 1}, {3, 2}, {4, 1}, {5, 1}, {7, 2}, {16, 16}};
    const size_t lanes = check->kernels.lanes;
    const size_t columns[] = {1,         lanes - 1,     lanes,         lanes + 1,
                              2 * lanes, 2 * lanes + 1, 3 * lanes - 1, check->kernels.gemm.columns};
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++)
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
            for (size_t pixels = 1; pixels <= 14; pixels++)
                for (int pool = 0; pool < 2; pool++) {
                    if (columns[c] == 0 || columns[c] > check->kernels.gemm.columns) continue;
                    plane shape = {kernels[k][0], kernels[k][1], pixels, columns[c], pool == 1};
                    check_row(check, &shape, &ends[fkp_random_below(&check->random, ENDS)]);
                }
}

typedef struct timed {
    const trial *check;
    problem problem;
} timed;

static void run_plane(void *argument) {
    const timed *t = argument;
    t->check->kernels.convolve_plane(&t->problem.row);
}

/* Rows of the networks' first layers. */
void bench_plane(trial *check) {
    static timed t;
    t.check = check;
    const plane shapes[] = {
        {3, 1, 224, 32, false}, {4, 1, 110, 32, true}, {7, 2, 112, 64, false}, {16, 16, 14, 64, false}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t e = 1; e < 3; e++) {
            plane shape = shapes[s];
            if (shape.columns > check->kernels.gemm.columns) shape.columns = check->kernels.gemm.columns;
            prepare(check, &t.problem, &shape, &ends[e]);
            set_label(check, "plane %zu x %zu / %zu, %zu pixels of %zu%s, activation %d", shape.kernel,
                      shape.kernel, shape.stride, shape.pixels, shape.columns, shape.pool ? ", pooled" : "",
                      (int)ends[e].activation);
            double sums = (double)(shape.pixels * shape.columns * (shape.pool ? 4 : 1));
            report_gflops(check, check->label, 2.0 * sums * (double)(shape.kernel * shape.kernel),
                          seconds_of(run_plane, &t));
            release(check, &t.problem);
        }
}
