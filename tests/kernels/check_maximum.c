/* A row of max pooling against the reference. */
#include <math.h>

#include "harness.h"
#include "kernels/reference/reference.h"

enum { MAX_WINDOW = 4 };

typedef struct windows {
    size_t rows, width, size, stride, padding;
} windows;

typedef struct problem {
    guarded in[MAX_WINDOW], bias, out;
    const float *rows[MAX_WINDOW];
    fkp_maxima row;
} problem;

static void prepare(trial *check, problem *p, const windows *w, size_t channels, bool bias,
                    fkp_activation activation) {
    size_t pixels = (w->width + 2 * w->padding - w->size) / w->stride + 1;
    for (size_t r = 0; r < w->rows; r++) {
        p->in[r] = block_random(check, (w->width - 1) * (channels + 2) + channels, -4.0f, 4.0f);
        p->rows[r] = p->in[r].data;
    }
    p->bias = block_random(check, channels, -2.0f, 2.0f);
    p->out = block_create(check, (pixels - 1) * (channels + 3) + channels);
    p->row = (fkp_maxima){.rows = p->rows,
                          .row_count = w->rows,
                          .width = w->width,
                          .in_stride = channels + 2,
                          .size = w->size,
                          .stride = w->stride,
                          .padding = w->padding,
                          .pixels = pixels,
                          .channels = channels,
                          .out = p->out.data,
                          .out_stride = channels + 3,
                          .bias = bias ? p->bias.data : NULL,
                          .activation = activation};
}

static void release(trial *check, problem *p) {
    for (size_t r = 0; r < p->row.row_count; r++) block_free(check, &p->in[r]);
    block_free(check, &p->bias);
    block_free(check, &p->out);
}

static void check_row(trial *check, const windows *w, size_t channels, bool bias, fkp_activation activation) {
    static problem p;
    set_label(check, "maximum of %zu x %zu, stride %zu, padding %zu, %zu pixels of %zu, activation %d",
              w->rows, w->size, w->stride, w->padding, w->width, channels, (int)activation);
    prepare(check, &p, w, channels, bias, activation);
    guarded expected = block_create(check, p.out.count);
    fkp_maxima reference = p.row;
    reference.out = expected.data;
    check->kernels.maximum(&p.row);
    check->reference.maximum(&reference);
    for (size_t i = 0; i < p.out.count; i++) {
        if (i % (channels + 3) >= channels) {
            expect(check, is_poison(p.out.data[i]), "wrote between the pixels");
            continue;
        }
        double bound = bias || activation != FKP_ACTIVATION_NONE ? 16 * EPSILON * 6 : 0;
        expect_near(check, i, (double)p.out.data[i], (double)expected.data[i], bound);
    }
    block_free(check, &expected);
    release(check, &p);
}

void check_maximum(trial *check) {
    const windows shapes[] = {{2, 12, 2, 2, 0}, {2, 13, 2, 2, 0}, {3, 11, 3, 2, 1}, {2, 8, 3, 2, 1},
                              {1, 1, 1, 1, 0},  {4, 9, 4, 3, 2},  {2, 7, 2, 1, 0},  {1, 2, 3, 2, 1}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t i = 0; length_at(check, i) != SIZE_MAX; i++) {
            if (length_at(check, i) == 0) continue;
            for (int a = FKP_ACTIVATION_NONE; a <= FKP_ACTIVATION_GELU; a++)
                check_row(check, &shapes[s], length_at(check, i), (a + (int)i) % 2 == 0, (fkp_activation)a);
        }
}

typedef struct timed {
    const trial *check;
    problem problem;
} timed;

static void run_maximum(void *argument) {
    const timed *t = argument;
    t->check->kernels.maximum(&t->problem.row);
}

void bench_maximum(trial *check) {
    static timed t;
    t.check = check;
    const windows shapes[] = {{2, 56, 2, 2, 0}, {3, 32, 3, 2, 1}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int a = FKP_ACTIVATION_NONE; a <= FKP_ACTIVATION_ELU; a++) {
            const windows *w = &shapes[s];
            prepare(check, &t.problem, w, 64, true, (fkp_activation)a);
            set_label(check, "maximum of %zu x %zu, activation %d", w->size, w->size, a);
            size_t floats = w->rows * w->width * 64 + t.problem.row.pixels * 64;
            report_bandwidth(check, check->label, 4.0 * (double)floats, seconds_of(run_maximum, &t));
            release(check, &t.problem);
        }
}
