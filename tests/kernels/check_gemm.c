/* The register tile against the reference, number by number. */
#include <math.h>
#include <string.h>

#include "harness.h"

enum { MAX_ROWS = 16, MAX_COLUMNS = 256, MAX_TAPS = 4, MAX_DEPTH = 1024, ENDS = 7 };

/* Which parts of a tile's end are used. */
typedef struct tile_end {
    bool accumulate, epilogue, bias, residual;
    fkp_activation activation;
} tile_end;
static const tile_end ends[ENDS] = {
    {false, false, false, false, FKP_ACTIVATION_NONE}, {true, false, false, false, FKP_ACTIVATION_NONE},
    {false, true, true, false, FKP_ACTIVATION_NONE},   {false, true, true, true, FKP_ACTIVATION_RELU},
    {true, true, true, false, FKP_ACTIVATION_ELU},     {false, true, false, true, FKP_ACTIVATION_GELU},
    {false, true, false, false, FKP_ACTIVATION_ELU}};

typedef struct problem {
    fkp_gemm_tile tile;
    size_t width; /* of the panel */
    guarded a, b, c, bias, residual;
    float before[MAX_ROWS][MAX_COLUMNS]; /* c as it was */
    const float *rows[MAX_TAPS * MAX_ROWS];
    fkp_epilogue epilogue;
} problem;

/* Where number (k, j) of the matrix lies: in the second of two panels, beyond the first. */
static float *number_at(const problem *p, size_t k, size_t j) {
    return p->b.data + (j / p->width * p->tile.taps * p->tile.depth + k) * p->width + j % p->width;
}

/* Random inputs; pointers of rows that the tile does not have are NULL, c is poison unless it is added to. */
static void fill(trial *check, problem *p) {
    const fkp_gemm_tile *tile = &p->tile;
    size_t tile_rows = check->kernels.gemm.rows;
    for (size_t k = 0; k < tile->taps * tile->depth; k++)
        for (size_t j = 0; j < tile->columns || j % p->width > 0; j++)
            *number_at(p, k, j) = j < tile->columns ? fkp_random_between(&check->random, -1.0f, 1.0f) : 0.0f;
    memset(p->rows, 0, sizeof p->rows);
    for (size_t t = 0; t < tile->taps; t++)
        for (size_t r = 0; r < tile->rows; r++)
            p->rows[t * tile_rows + r] = p->a.data + (t * tile->rows + r) * tile->depth;
    for (size_t r = 0; r < tile->rows; r++)
        for (size_t j = 0; j < tile->columns; j++) {
            float *c = &p->c.data[r * tile->c_stride + j];
            if (tile->accumulate) *c = fkp_random_between(&check->random, -1.0f, 1.0f);
            p->before[r][j] = *c;
        }
}

static void prepare(trial *check, problem *p, size_t rows, size_t columns, size_t depth, size_t taps,
                    const tile_end *end) {
    const fkp_gemm_record *record = &check->kernels.gemm;
    const bool pair = columns > record->columns;
    p->width = pair ? record->columns : (columns + record->granule - 1) / record->granule * record->granule;
    p->a = block_random(check, taps * rows * depth, -1.0f, 1.0f);
    p->b = block_create_aligned(check, taps * depth * p->width * (pair ? 2 : 1));
    p->c = block_create(check, (rows - 1) * (columns + 3) + columns);
    p->bias = block_random(check, columns, -1.0f, 1.0f);
    p->residual = block_random(check, (rows - 1) * (columns + 1) + columns, -1.0f, 1.0f);
    p->epilogue = (fkp_epilogue){end->bias ? p->bias.data : NULL, end->residual ? p->residual.data : NULL,
                                 columns + 1, end->activation};
    p->tile = (fkp_gemm_tile){.rows = rows,
                              .columns = columns,
                              .depth = depth,
                              .taps = taps,
                              .a = p->rows,
                              .b = p->b.data,
                              .beside = pair ? p->b.data + depth * p->width : NULL,
                              .c = p->c.data,
                              .c_stride = columns + 3,
                              .accumulate = end->accumulate,
                              .epilogue = end->epilogue ? &p->epilogue : NULL};
    fill(check, p);
}

static void release(trial *check, problem *p) {
    block_free(check, &p->a);
    block_free(check, &p->b);
    block_free(check, &p->c);
    block_free(check, &p->bias);
    block_free(check, &p->residual);
}

/* One number by the reference's tile of one row and column. Its bound: every product and every sum is rounded
 * once, relative to at most the sum of all magnitudes; activations add their own error and no more than 1.13
 * of their argument's. */
static void compare(trial *check, const problem *p, size_t r, size_t j) {
    const fkp_gemm_tile *tile = &p->tile;
    float column[MAX_DEPTH], expected = p->before[r][j];
    const float *rows[MAX_TAPS];
    double magnitude = 3.0; /* bias, residual and what c held */
    for (size_t t = 0; t < tile->taps; t++) {
        rows[t] = p->rows[t * check->kernels.gemm.rows + r];
        for (size_t k = 0; k < tile->depth; k++) {
            column[t * tile->depth + k] = *number_at(p, t * tile->depth + k, j);
            magnitude += fabs((double)rows[t][k] * (double)column[t * tile->depth + k]);
        }
    }
    fkp_epilogue epilogue = p->epilogue;
    if (epilogue.bias != NULL) epilogue.bias += j;
    if (epilogue.residual != NULL) epilogue.residual += r * epilogue.residual_stride + j;
    fkp_gemm_tile one = *tile;
    one.a = rows;
    one.b = column;
    one.c = &expected;
    one.epilogue = tile->epilogue == NULL ? NULL : &epilogue;
    check->reference.gemm.tile(&one);
    double bound = (double)(tile->depth * tile->taps + 8) * EPSILON * magnitude * 1.13;
    expect_near(check, r * tile->columns + j, (double)tile->c[r * tile->c_stride + j], (double)expected,
                bound);
}

static void check_tile(trial *check, size_t rows, size_t columns, size_t depth, size_t taps,
                       const tile_end *end) {
    static problem p;
    set_label(check, "%s: %zu x %zu, %zu taps of %zu%s%s, activation %d", check->kernels.gemm.name, rows,
              columns, taps, depth, end->accumulate ? ", accumulated" : "", end->residual ? ", residual" : "",
              (int)end->activation);
    prepare(check, &p, rows, columns, depth, taps, end);
    check->kernels.gemm.tile(&p.tile);
    for (size_t r = 0; r < rows; r++) {
        for (size_t j = 0; j < columns; j++) compare(check, &p, r, j);
        for (size_t j = columns; j < p.tile.c_stride && r + 1 < rows; j++)
            expect(check, is_poison(p.c.data[r * p.tile.c_stride + j]), "wrote between the rows");
    }
    release(check, &p);
}

void check_gemm(trial *check) {
    const fkp_gemm_record *record = &check->kernels.gemm;
    set_label(check, "%s", record->name);
    bool fits = record->rows >= 1 && record->rows <= MAX_ROWS && 2 * record->columns <= MAX_COLUMNS &&
                record->granule >= 1 && record->columns % record->granule == 0;
    expect(check, fits, "its rows, columns or granule are out of range");
    if (!fits) return;
    const size_t depths[] = {0, 1, 2, 3, 5, 16, 131};
    for (size_t d = 0; d < sizeof depths / sizeof *depths; d++)
        for (size_t end = 0; end < ENDS; end++)
            check_tile(check, 1, 2 * record->columns, depths[d], 1, &ends[end]);
    for (size_t rows = 1; rows <= record->rows; rows++)
        for (size_t columns = 1; columns <= record->columns; columns++)
            for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
                size_t taps = 1 + fkp_random_below(&check->random, MAX_TAPS);
                check_tile(check, rows, columns, depths[d], taps,
                           &ends[fkp_random_below(&check->random, ENDS)]);
            }
}

typedef struct timed_tile {
    const trial *check;
    problem problem;
} timed_tile;

static void run_tile(void *argument) {
    const timed_tile *timed = argument;
    timed->check->kernels.gemm.tile(&timed->problem.tile);
}

void bench_gemm(trial *check) {
    static timed_tile timed;
    timed.check = check;
    const fkp_gemm_record *record = &check->kernels.gemm;
    const size_t depths[] = {16, 64, 384, MAX_DEPTH};
    for (size_t d = 0; d < sizeof depths / sizeof *depths; d++)
        for (size_t rows = 1; rows <= record->rows; rows += record->rows - 1)
            for (size_t columns = record->granule; columns <= record->columns; columns *= 2) {
                prepare(check, &timed.problem, rows, columns, depths[d], 1, &ends[2]);
                set_label(check, "%s, %zu x %zu, depth %zu", record->name, rows, columns, depths[d]);
                report_gflops(check, check->label, 2.0 * (double)(rows * columns * depths[d]),
                              seconds_of(run_tile, &timed));
                release(check, &timed.problem);
            }
}
