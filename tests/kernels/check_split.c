/* Products of split numbers against the reference, and the reference against the plain products of the
 * numbers that were taken apart. Split numbers live in buffers of floats, two in each. */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "kernels/reference/reference.h"

enum { DEPTH = FKP_SPLIT_DEPTH, PIXEL = 2 * DEPTH, GRANULE = FKP_SPLIT_TILE, MOST_TAPS = 9 };

static uint16_t *numbers(const guarded *block) { return (uint16_t *)(void *)block->data; }

/* ---- taking apart ---- */

static double joined(const uint16_t *number) {
    return (double)fkp_reference_bfloat16(number[0]) + (double)fkp_reference_bfloat16(number[DEPTH]);
}

/* What is lost of a number is 2^-17 of it, and what is kept is the same bits on every level. */
static void check_rows(trial *check, size_t rows, size_t channels) {
    set_label(check, "%s: %zu rows of %zu channels", check->kernels.split.name, rows, channels);
    const size_t chunks = (channels + DEPTH - 1) / DEPTH, stride = channels + 3, step = rows * PIXEL + 32;
    guarded in = block_random(check, (rows - 1) * stride + channels, -4.0f, 4.0f);
    guarded got = block_create(check, (chunks - 1) * step / 2 + rows * PIXEL / 2);
    guarded expected = block_create(check, got.count);
    fkp_split_rows work = {in.data, stride, rows, channels, numbers(&got), step};
    check->kernels.split.rows(&work);
    work.out = numbers(&expected);
    check->reference.split.rows(&work);
    expect(check, memcmp(got.data, expected.data, got.count * sizeof(float)) == 0, "other bits");
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < channels; c++) {
            const uint16_t *pixel = numbers(&got) + c / DEPTH * step + r * PIXEL + c % DEPTH;
            const double x = (double)in.data[r * stride + c];
            expect_near(check, r * channels + c, joined(pixel), x, fabs(x) * 0x1p-17);
        }
    block_free(check, &in);
    block_free(check, &got);
    block_free(check, &expected);
}

/* As the softmax of plain rows, and 2^-17 of each weight is lost; beyond the last number are zeros. */
static void check_softmax_rows(trial *check, size_t rows, size_t columns, float spread, float scale) {
    set_label(check, "%s: softmax of %zu rows of %zu, +- %g, scale %g", check->kernels.split.name, rows,
              columns, (double)spread, (double)scale);
    const size_t chunks = (columns + DEPTH - 1) / DEPTH, stride = columns + 3, step = rows * PIXEL + 32;
    guarded in = block_random(check, (rows - 1) * stride + columns, -spread, spread);
    guarded same = block_create(check, in.count);
    guarded got = block_create(check, (chunks - 1) * step / 2 + rows * PIXEL / 2);
    guarded expected = block_create(check, got.count);
    memcpy(same.data, in.data, in.count * sizeof(float));
    check->kernels.split.softmax(
        &(fkp_split_softmax){in.data, stride, rows, columns, scale, numbers(&got), step});
    check->reference.split.softmax(
        &(fkp_split_softmax){same.data, stride, rows, columns, scale, numbers(&expected), step});
    const double relative =
        8 * EPSILON * (double)(spread * scale) + ((double)columns + 8) * EPSILON + 0x1p-16;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < chunks * DEPTH; c++) {
            const size_t place = c / DEPTH * step + r * PIXEL + c % DEPTH;
            const double weight = joined(numbers(&expected) + place);
            expect_near(check, r * columns + c, joined(numbers(&got) + place), weight,
                        c < columns ? relative * weight + 1e-37 : 0.0);
        }
    block_free(check, &in);
    block_free(check, &same);
    block_free(check, &got);
    block_free(check, &expected);
}

/* Numbers far below the largest vanish, equal ones share, and not-a-number is not lost, nor does it reach
 * the rows beside its own. */
static void check_softmax_limits(trial *check) {
    set_label(check, "%s: softmax at the limits", check->kernels.split.name);
    float rows[4][3] = {{-3e38f, 2e4f, 2e4f}, {1.0f, NAN, 2.0f}, {-INFINITY, -2e4f, 0.0f}, {NAN, 0.0f, 0.0f}};
    const double expected[4][3] = {{0, 0.5, 0.5}, {NAN, NAN, NAN}, {0, 0, 1}, {NAN, NAN, NAN}};
    uint16_t out[4 * PIXEL];
    check->kernels.split.softmax(&(fkp_split_softmax){rows[0], 3, 4, 3, 1.0f, out, sizeof out / sizeof *out});
    for (size_t r = 0; r < 4; r++)
        for (size_t c = 0; c < 3; c++)
            expect_near(check, r * 3 + c, joined(out + r * PIXEL + c), expected[r][c], 1e-30);
}

static void check_softmax_sizes(trial *check) {
    const size_t columns[] = {1, 2, 15, 16, 17, 31, 32, 33, 48, 53, 64, 197};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        for (size_t rows = 1; rows <= 9; rows += 1 + rows / 5) {
            check_softmax_rows(check, rows, columns[i], 1.0f, 1.0f);
            check_softmax_rows(check, rows, columns[i], 40.0f, 0.125f);
            check_softmax_rows(check, rows, columns[i], 300.0f, 1.0f);
        }
    check_softmax_limits(check);
}

/* What is written of a tile, and that nothing else is. */
static void check_pack(trial *check, size_t count, bool scaled) {
    set_label(check, "%s: %zu packed rows%s", check->kernels.split.name, count, scaled ? ", scaled" : "");
    const size_t stride = GRANULE + 5;
    guarded rows = block_random(check, (count - 1) * stride + GRANULE, -2.0f, 2.0f);
    guarded scale = block_random(check, GRANULE, -2.0f, 2.0f);
    guarded got = block_create(check, DEPTH * GRANULE), expected = block_create(check, DEPTH * GRANULE);
    memset(got.data, 0, got.count * sizeof(float));
    memset(expected.data, 0, expected.count * sizeof(float));
    check->kernels.split.pack(rows.data, stride, count, scaled ? scale.data : NULL, numbers(&got));
    check->reference.split.pack(rows.data, stride, count, scaled ? scale.data : NULL, numbers(&expected));
    expect(check, memcmp(got.data, expected.data, got.count * sizeof(float)) == 0, "other bits");
    block_free(check, &rows);
    block_free(check, &scale);
    block_free(check, &got);
    block_free(check, &expected);
}

static void check_turn(trial *check, size_t count) {
    set_label(check, "%s: %zu turned numbers", check->kernels.split.name, count);
    const size_t stride = count + 3;
    guarded columns = block_random(check, (GRANULE - 1) * stride + count, -2.0f, 2.0f);
    guarded got = block_create(check, DEPTH * GRANULE), expected = block_create(check, DEPTH * GRANULE);
    check->kernels.split.turn(columns.data, stride, count, numbers(&got));
    check->reference.split.turn(columns.data, stride, count, numbers(&expected));
    expect(check, memcmp(got.data, expected.data, got.count * sizeof(float)) == 0, "other bits");
    block_free(check, &columns);
    block_free(check, &got);
    block_free(check, &expected);
}

/* ---- multiplying ---- */

typedef struct problem {
    fkp_split_product product;
    size_t taps[MOST_TAPS], rows, channels;
    guarded plain, in;        /* rows of channels, and the same taken apart */
    guarded weights, filters; /* steps x DEPTH rows of 32 columns, and the same packed */
    guarded bias, residual, out;
    fkp_epilogue epilogue;
} problem;

static void take_apart(trial *check, problem *p, size_t chunks) {
    const size_t step = (p->rows | 1) * PIXEL;
    p->channels = chunks * DEPTH - 5;
    p->plain = block_random(check, p->rows * p->channels, -1.0f, 1.0f);
    p->in = block_create_aligned(check, chunks * step / 2);
    memset(p->in.data, 0, p->in.count * sizeof(float));
    check->kernels.split.rows(&(fkp_split_rows){.in = p->plain.data,
                                                .in_stride = p->channels,
                                                .rows = p->rows,
                                                .channels = p->channels,
                                                .out = numbers(&p->in),
                                                .chunk_step = step});
    p->product.in = numbers(&p->in);
    p->product.chunk_step = step;
    p->product.chunks = chunks;
}

static void pack_filters(trial *check, problem *p) {
    const size_t steps = p->product.chunks * p->product.tap_count;
    const size_t tiles = p->product.columns > GRANULE ? 2 : 1, tile = 2 * DEPTH * GRANULE;
    p->weights = block_random(check, steps * DEPTH * 2 * GRANULE, -1.0f, 1.0f);
    p->filters = block_create_aligned(check, steps * tiles * tile / 2);
    for (size_t step = 0; step < steps; step++)
        for (size_t t = 0; t < tiles; t++)
            check->kernels.split.pack(p->weights.data + step * DEPTH * 2 * GRANULE + t * GRANULE, 2 * GRANULE,
                                      DEPTH, NULL, numbers(&p->filters) + (step * tiles + t) * tile);
    p->product.filters = numbers(&p->filters);
}

static void prepare(trial *check, problem *p, const fkp_split_product *sizes, bool finish) {
    const size_t pixels = sizes->lines * sizes->width, row_step = sizes->row_step;
    p->product = *sizes;
    for (size_t t = 0; t < sizes->tap_count; t++) p->taps[t] = t / 3 * sizes->pitch * row_step + t % 3;
    p->product.taps = p->taps;
    p->rows = ((sizes->lines - 1) * sizes->pitch + sizes->width - 1 + FKP_SPLIT_SLACK) * row_step +
              p->taps[sizes->tap_count - 1] + 1;
    take_apart(check, p, sizes->chunks);
    pack_filters(check, p);
    p->bias = block_random(check, sizes->columns, -1.0f, 1.0f);
    p->residual = block_random(check, (pixels - 1) * (sizes->columns + 1) + sizes->columns, -1.0f, 1.0f);
    p->out = block_create(check, (sizes->lines - 1) * sizes->line_stride +
                                     (sizes->width - 1) * sizes->out_stride + sizes->columns);
    p->epilogue = (fkp_epilogue){p->bias.data, p->residual.data, sizes->columns + 1, FKP_ACTIVATION_RELU};
    p->product.epilogue = finish ? &p->epilogue : NULL;
    p->product.out = p->out.data;
    p->product.next = p->product.filters;
}

static void release(trial *check, problem *p) {
    block_free(check, &p->plain);
    block_free(check, &p->in);
    block_free(check, &p->weights);
    block_free(check, &p->filters);
    block_free(check, &p->bias);
    block_free(check, &p->residual);
    block_free(check, &p->out);
}

/* One result from the numbers before they were taken apart; *magnitude: the sum of all products' magnitudes.
 */
static double plain_result(const problem *p, size_t pixel, size_t column, double *magnitude) {
    const fkp_split_product *product = &p->product;
    const size_t row = pixel / product->width * product->pitch + pixel % product->width;
    double sum = 0.0;
    *magnitude = 0.0;
    for (size_t tap = 0; tap < product->tap_count; tap++)
        for (size_t c = 0; c < p->channels; c++) {
            const size_t step = c / DEPTH * product->tap_count + tap;
            const float x = p->plain.data[(row * product->row_step + p->taps[tap]) * p->channels + c];
            const float w = p->weights.data[(step * DEPTH + c % DEPTH) * 2 * GRANULE + column];
            sum += (double)x * (double)w;
            *magnitude += fabs((double)x * (double)w);
        }
    if (product->epilogue == NULL) return sum;
    sum +=
        (double)p->bias.data[column] + (double)p->residual.data[pixel * p->epilogue.residual_stride + column];
    return fkp_reference_activation(sum, p->epilogue.activation);
}

/* Where a pixel's results lie from the first one on. */
static size_t place_of(const fkp_split_product *product, size_t pixel) {
    return pixel / product->width * product->line_stride + pixel % product->width * product->out_stride;
}

/* Three products in place of one lose 2^-15 of it; every sum is rounded once, relative to at most the sum
 * of all magnitudes. */
static void compare(trial *check, const problem *p) {
    const fkp_split_product *product = &p->product;
    const double roundings = 3.0 * (double)(product->chunks * product->tap_count * DEPTH) + 8.0;
    for (size_t pixel = 0; pixel < product->lines * product->width; pixel++) {
        const float *out = product->out + place_of(product, pixel);
        for (size_t column = 0; column < product->columns; column++) {
            double magnitude, expected = plain_result(p, pixel, column, &magnitude);
            const double bound = 0x1p-15 * magnitude + roundings * EPSILON * (magnitude + 3.0);
            expect_near(check, pixel * product->columns + column, (double)out[column], expected, bound);
        }
        if (pixel + 1 == product->lines * product->width) continue;
        const size_t end = place_of(product, pixel + 1) - place_of(product, pixel);
        for (size_t column = product->columns; column < end; column++)
            expect(check, is_poison(out[column]), "wrote between the rows");
    }
}

/* Against the reference, whose numbers were taken apart alike, only the roundings are left. */
static void compare_with_reference(trial *check, problem *p) {
    const fkp_split_product *product = &p->product;
    guarded expected = block_create(check, p->out.count);
    fkp_split_product work = *product;
    work.out = expected.data;
    check->reference.split.multiply(&work);
    const double steps = (double)(product->chunks * product->tap_count * DEPTH);
    const double bound = (3.0 * steps + 8.0) * EPSILON * (steps + 3.0);
    for (size_t pixel = 0; pixel < product->lines * product->width; pixel++)
        for (size_t column = 0; column < product->columns; column++) {
            const size_t at = place_of(product, pixel) + column;
            expect_near(check, at, (double)p->out.data[at], (double)expected.data[at], bound);
        }
    block_free(check, &expected);
}

/* Results that are written taken apart are those of a panel, taken apart; every second pixel is left alone.
 */
static void compare_apart(trial *check, problem *p) {
    const fkp_split_product *product = &p->product;
    const size_t line = 2 * product->width * PIXEL + DEPTH;
    guarded got = block_create(check, (product->lines * line) / 2);
    fkp_split_product work = *product;
    work.apart = numbers(&got);
    work.out = NULL;
    work.out_stride = 2 * PIXEL;
    work.line_stride = line;
    check->kernels.split.multiply(&work);
    for (size_t pixel = 0; pixel < product->lines * product->width; pixel++) {
        uint16_t expected[PIXEL];
        const uint16_t *place =
            work.apart + pixel / product->width * line + pixel % product->width * work.out_stride;
        check->kernels.split.rows(&(fkp_split_rows){.in = product->out + place_of(product, pixel),
                                                    .rows = 1,
                                                    .channels = product->columns,
                                                    .out = expected});
        expect(check, memcmp(place, expected, sizeof expected) == 0, "other bits");
        float between;
        memcpy(&between, place + PIXEL, sizeof between);
        expect(check, is_poison(between), "wrote between the pixels");
    }
    block_free(check, &got);
}

static void check_product(trial *check, const fkp_split_product *sizes, bool finish) {
    static problem p;
    set_label(check, "%s: %zu lines of %zu of %zu, %zu columns, %zu taps of %zu chunks, step %zu",
              check->kernels.split.name, sizes->lines, sizes->width, sizes->pitch, sizes->columns,
              sizes->tap_count, sizes->chunks, sizes->row_step);
    prepare(check, &p, sizes, finish);
    check->kernels.split.multiply(&p.product);
    compare(check, &p);
    compare_with_reference(check, &p);
    if (sizes->columns == FKP_SPLIT_COLUMNS) compare_apart(check, &p);
    release(check, &p);
}

/* ---- planes ---- */

typedef struct planes_problem {
    fkp_split_planes product;
    guarded in, weights, matrix, bias, out, panels;
} planes_problem;

static void prepare_planes(trial *check, planes_problem *p, size_t planes, size_t pixels, size_t channels) {
    const size_t chunks = (channels + DEPTH - 1) / DEPTH, step = ((planes + FKP_SPLIT_SLACK) | 1) * PIXEL;
    const size_t out_stride = pixels + 3;
    p->in = block_random(check, (pixels - 1) * (channels + 3) + channels, -1.0f, 1.0f);
    p->weights = block_random(check, planes * channels, -1.0f, 1.0f);
    p->matrix = block_create_aligned(check, chunks * step / 2);
    p->bias = block_random(check, planes, -1.0f, 1.0f);
    p->out = block_create(check, (planes - 1) * out_stride + pixels);
    p->panels = block_create_aligned(check, chunks * FKP_SPLIT_PANELS / 2);
    memset(p->matrix.data, 0, p->matrix.count * sizeof(float));
    check->kernels.split.rows(
        &(fkp_split_rows){p->weights.data, channels, planes, channels, numbers(&p->matrix), step});
    p->product = (fkp_split_planes){.in = p->in.data,
                                    .in_stride = channels + 3,
                                    .pixels = pixels,
                                    .channels = channels,
                                    .matrix = numbers(&p->matrix),
                                    .chunk_step = step,
                                    .planes = planes,
                                    .bias = planes % 2 == 0 ? p->bias.data : NULL,
                                    .activation = planes % 3 == 0 ? FKP_ACTIVATION_RELU : FKP_ACTIVATION_NONE,
                                    .out = p->out.data,
                                    .out_stride = out_stride,
                                    .panels = numbers(&p->panels)};
}

static void release_planes(trial *check, planes_problem *p) {
    block_free(check, &p->in);
    block_free(check, &p->weights);
    block_free(check, &p->matrix);
    block_free(check, &p->bias);
    block_free(check, &p->out);
    block_free(check, &p->panels);
}

/* One number from those that were not taken apart; *magnitude as above. */
static double plain_number(const planes_problem *p, size_t plane, size_t pixel, double *magnitude) {
    const fkp_split_planes *product = &p->product;
    double sum = product->bias == NULL ? 0.0 : (double)product->bias[plane];
    *magnitude = 0.0;
    for (size_t c = 0; c < product->channels; c++) {
        const double term = (double)p->weights.data[plane * product->channels + c] *
                            (double)p->in.data[pixel * product->in_stride + c];
        sum += term;
        *magnitude += fabs(term);
    }
    return fkp_reference_activation(sum, product->activation);
}

/* Against the plain product, with the bound of a product of rows, and against the reference. */
static void check_planes(trial *check, size_t planes, size_t pixels, size_t channels) {
    planes_problem p;
    set_label(check, "%s: %zu planes of %zu pixels, %zu channels", check->kernels.split.name, planes, pixels,
              channels);
    prepare_planes(check, &p, planes, pixels, channels);
    check->kernels.split.planes(&p.product);
    guarded expected = block_create(check, p.out.count);
    fkp_split_planes work = p.product;
    work.out = expected.data;
    check->reference.split.planes(&work);
    const double roundings = 3.0 * (double)channels + 8.0;
    for (size_t plane = 0; plane < planes; plane++) {
        const size_t line = plane * p.product.out_stride;
        for (size_t pixel = 0; pixel < pixels; pixel++) {
            const double got = (double)p.out.data[line + pixel];
            double magnitude, plain = plain_number(&p, plane, pixel, &magnitude);
            const double rounded = roundings * EPSILON * (magnitude + 3.0);
            expect_near(check, line + pixel, got, plain, 0x1p-15 * magnitude + rounded);
            expect_near(check, line + pixel, got, (double)expected.data[line + pixel], rounded);
        }
        for (size_t pixel = pixels; pixel < p.product.out_stride && plane + 1 < planes; pixel++)
            expect(check, is_poison(p.out.data[line + pixel]), "wrote between the planes");
    }
    block_free(check, &expected);
    release_planes(check, &p);
}

static void check_all_planes(trial *check) {
    const size_t planes[] = {1, 16, 18, 48, 68, 81}, pixels[] = {1, 16, 31, 32, 65, 100};
    for (size_t i = 0; i < sizeof planes / sizeof *planes; i++)
        for (size_t j = 0; j < sizeof pixels / sizeof *pixels; j++)
            check_planes(check, planes[i], pixels[j], (size_t[]){32, 7, 70}[(i + j) % 3]);
}

/* Bare sums, whose rows lie at one distance: whole tiles may go to memory as they are. */
static void check_bare_products(trial *check) {
    const size_t lines[] = {2, 16, 17, 4, 47, 6, 68, 300}, widths[] = {1, 1, 1, 8, 1, 9, 1, 1};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        for (size_t columns = 16; columns <= 32; columns += 8) {
            if (lines[i] == 300 && columns != 32) continue;
            const size_t stride = columns + i % 3;
            check_product(check,
                          &(fkp_split_product){.row_step = 1,
                                               .tap_count = 1,
                                               .chunks = 1 + i % 2 * 5,
                                               .columns = columns,
                                               .lines = lines[i],
                                               .width = widths[i],
                                               .pitch = widths[i],
                                               .out_stride = stride,
                                               .line_stride = widths[i] * stride},
                          false);
        }
}

void check_split(trial *check) {
    const size_t channels[] = {1, 2, 15, 16, 17, 31, 32, 33, 48, 49, 64, 97};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        for (size_t rows = 1; rows <= 3; rows++) check_rows(check, rows, channels[i]);
    check_softmax_sizes(check);
    const size_t counts[] = {1, 2, 3, 31, 32};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int scaled = 0; scaled < 2; scaled++) check_pack(check, counts[i], scaled == 1);
    const size_t turned[] = {1, 2, 15, 16, 17, 31, 32};
    for (size_t i = 0; i < sizeof turned / sizeof *turned; i++) check_turn(check, turned[i]);
    /* Few rows, one block, blocks and a rest, many of them; a pitch and a stride; lines without
     * a gap between them. */
    const size_t lines[] = {1, 7, 5, 33, 300, 11}, widths[] = {1, 7, 13, 1, 1, 6};
    const size_t pitches[] = {1, 8, 14, 1, 1, 6};
    const size_t columns[] = {1, 15, 16, 17, 31, 32};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
            for (size_t tap_count = 1; tap_count <= MOST_TAPS; tap_count += 8) {
                if (lines[i] == 300 && columns[c] != 17) continue;
                check_product(
                    check,
                    &(fkp_split_product){.row_step = 1 + i % 2,
                                         .tap_count = tap_count,
                                         .chunks = 1 + c % 3,
                                         .columns = columns[c],
                                         .lines = lines[i],
                                         .width = widths[i],
                                         .pitch = pitches[i],
                                         .out_stride = columns[c] + 3,
                                         .line_stride = widths[i] * (columns[c] + 3) + 50 * (c % 2)},
                    c % 2 == 0);
            }
    check_bare_products(check);
    check_all_planes(check);
}

typedef struct timed_product {
    const trial *check;
    problem problem;
} timed_product;

static void run_product(void *argument) {
    const timed_product *timed = argument;
    timed->check->kernels.split.multiply(&timed->problem.product);
}

typedef struct timed_planes {
    const trial *check;
    planes_problem problem;
} timed_planes;

static void run_planes(void *argument) {
    const timed_planes *timed = argument;
    timed->check->kernels.split.planes(&timed->problem.product);
}

static void bench_planes(trial *check) {
    timed_planes timed = {.check = check};
    prepare_planes(check, &timed.problem, 68, 512, 32);
    set_label(check, "%s, 68 planes of 512 pixels, 32 channels", check->kernels.split.name);
    report_gflops(check, check->label, 2.0 * (double)(68 * 512 * 32), seconds_of(run_planes, &timed));
    release_planes(check, &timed.problem);
}

typedef struct timed_softmax {
    const trial *check;
    fkp_split_softmax softmax;
} timed_softmax;

static void run_softmax(void *argument) {
    const timed_softmax *timed = argument;
    timed->check->kernels.split.softmax(&timed->softmax);
}

/* Of half of a ViT's queries; over and over, of what the one before left. */
static void bench_softmax(trial *check) {
    const size_t rows = 112, columns = 197, step = (rows | 1) * PIXEL;
    guarded scores = block_random(check, rows * columns, -4.0f, 4.0f);
    guarded out = block_create(check, (columns + DEPTH - 1) / DEPTH * step / 2);
    timed_softmax timed = {check, {scores.data, columns, rows, columns, 0.125f, numbers(&out), step}};
    set_label(check, "%s, softmax of 112 rows of 197", check->kernels.split.name);
    report_bandwidth(check, check->label, 8.0 * (double)(rows * columns), seconds_of(run_softmax, &timed));
    block_free(check, &scores);
    block_free(check, &out);
}

void bench_split(trial *check) {
    static timed_product timed;
    timed.check = check;
    if (check->kernels.split.speed <= 0.0) return;
    bench_planes(check);
    bench_softmax(check);
    const size_t chunks[] = {2, 12, 48}, taps[] = {9, 1, 1};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        const fkp_split_product sizes = {.row_step = 1,
                                         .tap_count = taps[i],
                                         .chunks = chunks[i],
                                         .columns = 32,
                                         .lines = 14,
                                         .width = 14,
                                         .pitch = 15,
                                         .out_stride = 32,
                                         .line_stride = 14 * 32};
        prepare(check, &timed.problem, &sizes, true);
        set_label(check, "%s, 14 x 14 x 32, %zu taps of %zu channels", check->kernels.split.name, taps[i],
                  chunks[i] * DEPTH);
        report_gflops(check, check->label, 2.0 * (double)(14 * 14 * 32 * taps[i] * chunks[i] * DEPTH),
                      seconds_of(run_product, &timed));
        release(check, &timed.problem);
    }
}
