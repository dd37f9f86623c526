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
    size_t area, channels, taken; /* channels that are turned at a time: a chunk, or a half of it, … */
    size_t first, count;          /* the columns at hand */
    size_t tile;                  /* from tile to tile of their panel */
    uint16_t *packed;             /* their first one */
} filter_packer;

/* Turns the weights of `count` channels; what is missing of a tile are zeros. */
static void turn_channels(const filter_packer *p, size_t channel, size_t count, float (*rows)[GRANULE]) {
    const fkp_column_block *block = p->block;
    const float *weights = block->weights + (p->first - block->first) * block->depth + channel * p->area;
    if (p->count < GRANULE) memset(rows, 0, TURNED * sizeof *rows);
    p->kernels->transpose(weights, block->depth, p->count, count * p->area, rows[0], GRANULE);
}

/* The place of a channel's high numbers in the tile of the first tap. */
static uint16_t *channel_place(const filter_packer *p, size_t channel) {
    return p->packed + channel / FKP_SPLIT_DEPTH * p->area * p->tile + channel % FKP_SPLIT_DEPTH * GRANULE;
}

/* Channels of one chunk: a tile is written from one end to the other, tap after tap. */
static void pack_channels(const filter_packer *p, size_t channel, size_t count, const float *scale) {
    uint16_t *packed = channel_place(p, channel);
    if (p->area == 1 && p->count == GRANULE && scale == NULL) {
        const fkp_column_block *block = p->block;
        p->kernels->split.turn(block->weights + (p->first - block->first) * block->depth + channel,
                               block->depth, count, packed);
        return;
    }
    _Alignas(64) float rows[TURNED][GRANULE];
    turn_channels(p, channel, count, rows);
    for (size_t tap = 0; tap < p->area; tap++, packed += p->tile)
        p->kernels->split.pack(rows[tap], p->area * GRANULE, count, scale, packed);
}

/* Zeros for the channels that the last chunk has not. */
static void pack_nothing(const filter_packer *p) {
    const size_t channel = p->channels + p->channels % 2;
    const size_t missing = fkp_split_chunks(channel) * FKP_SPLIT_DEPTH - channel;
    uint16_t *packed = channel_place(p, channel);
    for (size_t tap = 0; tap < p->area && missing > 0; tap++, packed += p->tile) {
        memset(packed, 0, missing * GRANULE * sizeof *packed);
        memset(packed + COLUMNS_TILE / 2, 0, missing * GRANULE * sizeof *packed);
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
    p.taken = FKP_SPLIT_DEPTH;
    while (p.taken * p.area > TURNED) p.taken /= 2;
    for (size_t done = 0; done < block->count; done += GRANULE) {
        float scale[GRANULE] = {0};
        point_at_columns(&p, block->first + done, packed);
        p.count = fkp_min_size(GRANULE, block->count - done);
        if (block->scale != NULL) memcpy(scale, block->scale + p.first, p.count * sizeof *scale);
        for (size_t channel = 0; channel < p.channels; channel += p.taken)
            pack_channels(&p, channel, fkp_min_size(p.taken, p.channels - channel),
                          block->scale == NULL ? NULL : scale);
        pack_nothing(&p);
    }
}

/* Rows of one chunk; columns that are missing, or lie apart, are picked. */
static void pack_chunk(const filter_packer *p, const float *rows, size_t stride, size_t column_stride,
                       size_t count, uint16_t *packed) {
    if (p->count == GRANULE && column_stride == 1) {
        p->kernels->split.pack(rows, stride, count, NULL, packed);
        return;
    }
    _Alignas(64) float picked[FKP_SPLIT_DEPTH][GRANULE];
    for (size_t k = 0; k < count; k++, rows += stride)
        for (size_t j = 0; j < GRANULE; j++) picked[k][j] = j < p->count ? rows[j * column_stride] : 0.0f;
    p->kernels->split.pack(picked[0], GRANULE, count, NULL, packed);
}

void fkp_split_pack_rows(const fkp_kernels *kernels, const fkp_convolution *matrix,
                         const fkp_split_row_block *rows, float *packed) {
    const fkp_column_block block = {.columns = matrix->out_channels};
    filter_packer p = {.kernels = kernels, .block = &block, .area = 1, .channels = matrix->in_channels};
    for (size_t first = rows->columns.begin; first < rows->columns.end; first += GRANULE) {
        point_at_columns(&p, first, packed);
        p.count = fkp_min_size(GRANULE, rows->columns.end - first);
        const float *columns = rows->matrix + first * rows->column_stride;
        for (size_t k = rows->depth.begin; k < rows->depth.end; k += FKP_SPLIT_DEPTH)
            pack_chunk(&p, columns + (k - rows->depth.begin) * rows->stride, rows->stride,
                       rows->column_stride, fkp_min_size(FKP_SPLIT_DEPTH, rows->depth.end - k),
                       channel_place(&p, k));
        if (rows->depth.end == p.channels) pack_nothing(&p);
    }
}

const uint16_t *fkp_split_panel(const fkp_convolution *shape, const float *packed, size_t first) {
    const size_t column =
        2 * shape->kernel * shape->kernel * fkp_split_chunks(shape->in_channels) * FKP_SPLIT_DEPTH;
    return (const uint16_t *)(const void *)packed + first * column;
}

const uint16_t *fkp_split_panel_chunk(const fkp_convolution *shape, const float *packed, size_t first,
                                      size_t chunk) {
    const size_t tile = shape->out_channels - first > GRANULE ? 2 * COLUMNS_TILE : COLUMNS_TILE;
    return fkp_split_panel(shape, packed, first) + chunk * shape->kernel * shape->kernel * tile;
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

void fkp_split_multiply(const fkp_kernels *kernels, const fkp_convolution *matrix, const float *packed,
                        const fkp_split_factor *rows, float *out, size_t out_stride) {
    for (size_t first = 0; first < matrix->out_channels; first += FKP_SPLIT_COLUMNS) {
        fkp_split_product panel = fkp_split_times(matrix, packed, first);
        panel.in = rows->in;
        panel.chunk_step = rows->chunk_step;
        panel.lines = rows->rows;
        panel.out = out + first;
        panel.out_stride = panel.line_stride = out_stride;
        kernels->split.multiply(&panel);
    }
}
