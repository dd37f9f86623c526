/* Products of split numbers, as kernels.h defines them. */
#include <math.h>
#include <string.h>

#include "kernels/reference/reference.h"

enum { DEPTH = FKP_SPLIT_DEPTH, PAIRS = DEPTH / 2, WIDE = FKP_SPLIT_TILE, TILE = 2 * PAIRS * WIDE };

/* To the nearest bfloat16, to the even one of two. */
static uint16_t rounded(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (isnan(x)) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float fkp_reference_bfloat16(uint16_t number) {
    uint32_t bits = (uint32_t)number << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void split(float x, uint16_t *high, uint16_t *low) {
    *high = rounded(x);
    *low = rounded(x - fkp_reference_bfloat16(*high));
}

static void split_rows(const fkp_split_rows *rows) {
    size_t chunks = (rows->channels + DEPTH - 1) / DEPTH;
    for (size_t r = 0; r < rows->rows; r++)
        for (size_t c = 0; c < chunks * DEPTH; c++) {
            uint16_t *out = rows->out + c / DEPTH * rows->chunk_step + r * 2 * DEPTH + c % DEPTH;
            split(c < rows->channels ? rows->in[r * rows->in_stride + c] : 0.0f, out, out + DEPTH);
        }
}

static void softmax(const fkp_split_softmax *s) {
    const size_t chunks = (s->columns + DEPTH - 1) / DEPTH;
    for (size_t r = 0; r < s->rows; r++) {
        const float *row = s->scores + r * s->stride;
        double largest = -INFINITY, sum = 0;
        for (size_t c = 0; c < s->columns; c++) largest = fmax(largest, (double)s->scale * (double)row[c]);
        for (size_t c = 0; c < s->columns; c++) sum += exp((double)s->scale * (double)row[c] - largest);
        for (size_t c = 0; c < chunks * DEPTH; c++) {
            uint16_t *out = s->out + c / DEPTH * s->chunk_step + r * 2 * DEPTH + c % DEPTH;
            const bool there = c < s->columns;
            const double weight = there ? exp((double)s->scale * (double)row[c] - largest) / sum : 0.0;
            split((float)weight, out, out + DEPTH);
        }
    }
}

static void pack(const float *rows, size_t stride, size_t count, const float *scale, uint16_t *packed) {
    for (size_t k = 0; k < count + count % 2; k++)
        for (size_t j = 0; j < WIDE; j++) {
            uint16_t *high = packed + k / 2 * 2 * WIDE + 2 * j + k % 2;
            const float factor = scale == NULL ? 1.0f : scale[j];
            split(k < count ? rows[k * stride + j] * factor : 0.0f, high, high + TILE);
        }
}

static void turn(const float *columns, size_t stride, size_t count, uint16_t *packed) {
    float rows[DEPTH][WIDE] = {0};
    for (size_t j = 0; j < WIDE; j++)
        for (size_t k = 0; k < count; k++) rows[k][j] = columns[j * stride + k];
    pack(rows[0], WIDE, DEPTH, NULL, packed);
}

/* The product of the row of split numbers at `in` with one column of a tile. */
static double dot(const uint16_t *in, const uint16_t *tile, size_t column) {
    const uint16_t *filters = tile + column / WIDE * 2 * TILE + column % WIDE * 2;
    double sum = 0.0;
    for (size_t k = 0; k < DEPTH; k++) {
        const uint16_t *filter = filters + k / 2 * 2 * WIDE + k % 2;
        double high = (double)fkp_reference_bfloat16(filter[0]), x = (double)fkp_reference_bfloat16(in[k]);
        double low = (double)fkp_reference_bfloat16(filter[TILE]);
        sum += x * high + x * low + (double)fkp_reference_bfloat16(in[DEPTH + k]) * high;
    }
    return sum;
}

static double sum_at(const fkp_split_product *p, size_t row, size_t column) {
    const size_t tile = (p->columns > WIDE ? 2 : 1) * 2 * TILE;
    double sum = 0.0;
    for (size_t chunk = 0; chunk < p->chunks; chunk++)
        for (size_t tap = 0; tap < p->tap_count; tap++)
            sum += dot(p->in + chunk * p->chunk_step + (row * p->row_step + p->taps[tap]) * 2 * DEPTH,
                       p->filters + (chunk * p->tap_count + tap) * tile, column);
    return sum;
}

static float result_at(const fkp_split_product *p, size_t pixel, size_t column) {
    double sum = sum_at(p, pixel / p->width * p->pitch + pixel % p->width, column);
    const fkp_epilogue *epilogue = p->epilogue;
    if (epilogue == NULL) return (float)sum;
    if (epilogue->bias != NULL) sum += (double)epilogue->bias[column];
    if (epilogue->residual != NULL)
        sum += (double)epilogue->residual[pixel * epilogue->residual_stride + column];
    return (float)fkp_reference_activation(sum, epilogue->activation);
}

static void multiply(const fkp_split_product *p) {
    for (size_t pixel = 0; pixel < p->lines * p->width; pixel++)
        for (size_t column = 0; column < p->columns; column++) {
            const float result = result_at(p, pixel, column);
            const size_t place =
                pixel / p->width * p->line_stride + pixel % p->width * p->out_stride + column;
            if (p->apart != NULL)
                split(result, p->apart + place, p->apart + place + DEPTH);
            else
                p->out[place] = result;
        }
}

/* One number of a plane; its pixel is taken apart for every one. */
static double plane_at(const fkp_split_planes *p, size_t plane, size_t pixel) {
    double sum = 0.0;
    for (size_t c = 0; c < p->channels; c++) {
        const uint16_t *row = p->matrix + c / DEPTH * p->chunk_step + plane * 2 * DEPTH + c % DEPTH;
        uint16_t high, low;
        split(p->in[pixel * p->in_stride + c], &high, &low);
        const double x = (double)fkp_reference_bfloat16(high), y = (double)fkp_reference_bfloat16(row[0]);
        sum +=
            x * y + x * (double)fkp_reference_bfloat16(row[DEPTH]) + (double)fkp_reference_bfloat16(low) * y;
    }
    return sum;
}

static void planes(const fkp_split_planes *p) {
    for (size_t plane = 0; plane < p->planes; plane++)
        for (size_t pixel = 0; pixel < p->pixels; pixel++) {
            const double bias = p->bias == NULL ? 0.0 : (double)p->bias[plane];
            p->out[plane * p->out_stride + pixel] =
                (float)fkp_reference_activation(plane_at(p, plane, pixel) + bias, p->activation);
        }
}

void fkp_register_reference_split(fkp_kernels *kernels) {
    kernels->split =
        (fkp_split_record){"split_reference", 0.0, split_rows, softmax, pack, turn, multiply, planes};
}
