/* Filters of split products, packed: numbers of 16 bits, two in the place of a float. */
#include <string.h>

#include "operators/split.h"

/* Columns that are packed at a time, and a chunk's numbers of them, high and low. */
#define GRANULE ((size_t)FKP_SPLIT_TILE)
enum { COLUMNS_TILE = 2 * FKP_SPLIT_DEPTH * FKP_SPLIT_TILE };

size_t fkp_split_packed_floats(const fkp_convolution *shape) {
    return fkp_divide_up(shape->out_channels, GRANULE) * GRANULE * shape->kernel * shape->kernel *
           fkp_split_chunks(shape->in_channels) * FKP_SPLIT_DEPTH;
}

/* Numbers of a column that are turned at a time: still in the first-level cache when they are taken apart. */
enum { TURNED = 512 };

typedef struct filter_packer {
    const fkp_kernels *kernels;
    const fkp_column_block *block;
    size_t area, channels, taken; /* channels that are turned at a time, an even number */
    size_t first, count;          /* the columns at hand */
    size_t tile;                  /* from tile to tile of their panel */
    uint16_t *packed;             /* their first one */
} filter_packer;

/* Turns the weights of `count` channels, and scales them; what is missing of a tile and of an even number
 * of channels are zeros. */
static void turn_channels(const filter_packer *p, size_t channel, size_t count, float (*rows)[GRANULE]) {
    const fkp_column_block *block = p->block;
    const float *weights = block->weights + (p->first - block->first) * block->depth + channel * p->area;
    const size_t numbers = count * p->area;
    if (p->count < GRANULE || count % 2 != 0) memset(rows, 0, TURNED * sizeof *rows);
    p->kernels->transpose(weights, block->depth, p->count, numbers, rows[0], GRANULE);
    if (block->scale == NULL) return;
    float scale[GRANULE] = {0};
    memcpy(scale, block->scale + p->first, p->count * sizeof *scale);
    for (size_t k = 0; k < numbers; k++)
        for (size_t j = 0; j < GRANULE; j++) rows[k][j] *= scale[j];
}

static void pack_channels(const filter_packer *p, size_t channel, size_t count) {
    _Alignas(64) float rows[TURNED][GRANULE];
    turn_channels(p, channel, count, rows);
    for (size_t i = 0; i < count; i += 2) {
        const size_t chunk = (channel + i) / FKP_SPLIT_DEPTH, pair = (channel + i) % FKP_SPLIT_DEPTH / 2;
        uint16_t *high = p->packed + chunk * p->area * p->tile + pair * 2 * GRANULE;
        for (size_t tap = 0; tap < p->area; tap++, high += p->tile)
            p->kernels->split.pack(rows[i * p->area + tap], rows[(i + 1) * p->area + tap], high,
                                   high + COLUMNS_TILE / 2);
    }
}

/* Zeros for the channels that the last chunk has not. */
static void pack_nothing(const filter_packer *p) {
    for (size_t channel = p->channels + p->channels % 2; channel % FKP_SPLIT_DEPTH != 0; channel += 2) {
        uint16_t *high =
            p->packed + channel / FKP_SPLIT_DEPTH * p->area * p->tile + channel % FKP_SPLIT_DEPTH * GRANULE;
        for (size_t tap = 0; tap < p->area; tap++, high += p->tile) {
            memset(high, 0, 2 * GRANULE * sizeof *high);
            memset(high + COLUMNS_TILE / 2, 0, 2 * GRANULE * sizeof *high);
        }
    }
}

/* The columns from `first` on, in their panel. */
static void point_at_columns(filter_packer *p, size_t first, float *packed) {
    const size_t column_numbers = 2 * p->area * fkp_split_chunks(p->channels) * FKP_SPLIT_DEPTH;
    const size_t panel = first / FKP_SPLIT_COLUMNS * FKP_SPLIT_COLUMNS;
    p->first = first;
    p->tile = p->block->columns - panel > GRANULE ? 2 * COLUMNS_TILE : COLUMNS_TILE;
    p->packed =
        (uint16_t *)(void *)packed + panel * column_numbers + (first - panel) / GRANULE * COLUMNS_TILE;
}

void fkp_split_pack_columns(const fkp_kernels *kernels, const fkp_convolution *shape,
                            const fkp_column_block *block, float *packed) {
    filter_packer p = {.kernels = kernels,
                       .block = block,
                       .area = shape->kernel * shape->kernel,
                       .channels = shape->in_channels};
    p.taken = fkp_min_size(FKP_SPLIT_DEPTH, TURNED / p.area / 2 * 2);
    for (size_t done = 0; done < block->count; done += GRANULE) {
        point_at_columns(&p, block->first + done, packed);
        p.count = fkp_min_size(GRANULE, block->count - done);
        for (size_t channel = 0; channel < p.channels; channel += p.taken)
            pack_channels(&p, channel, fkp_min_size(p.taken, p.channels - channel));
        pack_nothing(&p);
    }
}

/* Numbers of a row at the columns at hand; what is missing, or all of NULL, are zeros. */
static void pick_row(const filter_packer *p, const float *row, size_t column_stride, float picked[GRANULE]) {
    for (size_t j = 0; j < GRANULE; j++)
        picked[j] = row != NULL && j < p->count ? row[j * column_stride] : 0.0f;
}

static void pack_pair(const filter_packer *p, const float *even, const float *odd, size_t column_stride,
                      uint16_t *high) {
    if (even != NULL && odd != NULL && p->count == GRANULE && column_stride == 1) {
        p->kernels->split.pack(even, odd, high, high + COLUMNS_TILE / 2);
        return;
    }
    _Alignas(64) float rows[2][GRANULE];
    pick_row(p, even, column_stride, rows[0]);
    pick_row(p, odd, column_stride, rows[1]);
    p->kernels->split.pack(rows[0], rows[1], high, high + COLUMNS_TILE / 2);
}

void fkp_split_pack_rows(const fkp_kernels *kernels, const fkp_convolution *matrix,
                         const fkp_split_row_block *rows, float *packed) {
    const fkp_column_block block = {.columns = matrix->out_channels};
    filter_packer p = {.kernels = kernels, .block = &block, .area = 1, .channels = matrix->in_channels};
    const size_t end = fkp_split_chunks(rows->depth.end) * FKP_SPLIT_DEPTH;
    for (size_t first = rows->columns.begin; first < rows->columns.end; first += GRANULE) {
        point_at_columns(&p, first, packed);
        p.count = fkp_min_size(GRANULE, rows->columns.end - first);
        const float *columns = rows->matrix + first * rows->column_stride;
        for (size_t k = rows->depth.begin; k < end; k += 2)
            pack_pair(&p, k < rows->depth.end ? columns + k * rows->stride : NULL,
                      k + 1 < rows->depth.end ? columns + (k + 1) * rows->stride : NULL, rows->column_stride,
                      p.packed + k / FKP_SPLIT_DEPTH * p.tile + k % FKP_SPLIT_DEPTH * GRANULE);
    }
}

const uint16_t *fkp_split_panel(const fkp_convolution *shape, const float *packed, size_t first) {
    const size_t column =
        2 * shape->kernel * shape->kernel * fkp_split_chunks(shape->in_channels) * FKP_SPLIT_DEPTH;
    return (const uint16_t *)(const void *)packed + first * column;
}

const uint16_t *fkp_split_next_panel(const fkp_convolution *shape, const float *packed, size_t first) {
    const size_t next = first + FKP_SPLIT_COLUMNS;
    return next + FKP_SPLIT_COLUMNS <= shape->out_channels ? fkp_split_panel(shape, packed, next) : NULL;
}

fkp_split_product fkp_split_times(const fkp_convolution *matrix, const float *packed, size_t first) {
    static const size_t only_tap = 0;
    return (fkp_split_product){.row_step = 1,
                               .taps = &only_tap,
                               .tap_count = 1,
                               .chunks = fkp_split_chunks(matrix->in_channels),
                               .filters = fkp_split_panel(matrix, packed, first),
                               .columns = fkp_min_size(FKP_SPLIT_COLUMNS, matrix->out_channels - first),
                               .width = 1,
                               .pitch = 1};
}
