/* Rows of channels are some kilobytes apart: a column of them falls on few sets of the caches, and on a page
 * each. So a block of rows is copied before it is multiplied, a's channels of a task once, b's a panel at a
 * time; meanwhile the tiles ask for what is copied next. How the work is cut does not change the sums. */
#include "train/layers/outer.h"

#include <string.h>

enum {
    BLOCK_ROWS = 256,    /* of a sum that stays in registers: c is visited once for so many */
    TASK_CHANNELS = 192, /* a's, whose copied block stays in the second-level cache while b's panels pass */
    PANEL = 32,          /* columns of a panel, at most */
    LINE = 16            /* floats of a line of the caches */
};

/* One worker's share, channels [first, last) of a, and its memory. */
typedef struct outer_share {
    const fkp_train_kernels *train;
    const fkp_outer *job;
    size_t first, last;
    const float **pointers; /* BLOCK_ROWS */
    float *panel;           /* BLOCK_ROWS x PANEL */
    float *block;           /* BLOCK_ROWS x TASK_CHANNELS; NULL: a is read where it lies */
} outer_share;

static size_t pointer_floats(void) { return BLOCK_ROWS * sizeof(const float *) / sizeof(float); }
static size_t share_floats(void) { return fkp_outer_serial_floats() + (size_t)BLOCK_ROWS * TASK_CHANNELS; }
size_t fkp_outer_serial_floats(void) { return pointer_floats() + (size_t)BLOCK_ROWS * PANEL; }
size_t fkp_outer_scratch(size_t threads) { return threads * share_floats(); }

static outer_share share_at(const fkp_train_kernels *train, const fkp_outer *job, float *memory) {
    return (outer_share){.train = train,
                         .job = job,
                         .last = job->a_channels,
                         .pointers = (const float **)(void *)memory,
                         .panel = memory + pointer_floats()};
}

/* Rows of a block that begins at `begin`. */
static size_t block_rows(const outer_share *share, size_t begin) {
    return fkp_min_size(BLOCK_ROWS, share->job->rows - begin);
}

static void point_at_rows(const outer_share *share, size_t begin) {
    const fkp_view *a = &share->job->a;
    const size_t channels = share->last - share->first;
    const float *from = a->data + begin * a->stride + share->first;
    for (size_t row = 0; row < block_rows(share, begin); row++, from += a->stride) {
        share->pointers[row] = from;
        if (share->block == NULL) continue;
        float *to = share->block + row * channels;
        memcpy(to, from, channels * sizeof *to);
        share->pointers[row] = to;
    }
}

static void copy_panel(const outer_share *share, size_t begin, size_t column, size_t columns) {
    const fkp_view *b = &share->job->b;
    const float *from = b->data + begin * b->stride + column;
    float *to = share->panel;
    const size_t rows = block_rows(share, begin);
    if (columns == PANEL) /* of a known size the copy is a few moves */
        for (size_t row = 0; row < rows; row++, from += b->stride, to += PANEL)
            memcpy(to, from, PANEL * sizeof *to);
    else
        for (size_t row = 0; row < rows; row++, from += b->stride, to += PANEL)
            memcpy(to, from, columns * sizeof *to);
}

/* What a tile asks for: a line of each of some rows, so many that FKP_OUTER_ASK tiles ask for a column of
 * lines. The first tiles of a panel ask for the next panel, the others for the next block of a. */
static void ask_for_next(const outer_share *share, size_t begin, size_t column, size_t index, size_t tiles,
                         fkp_outer_tile *tile) {
    const fkp_outer *job = share->job;
    const size_t width = share->train->outer.columns;
    size_t lines = fkp_divide_up(width, LINE), row = begin, channel = column + width, end = job->b_channels;
    const size_t for_panel = lines * FKP_OUTER_ASK;
    const fkp_view *from = &job->b;
    if (index >= for_panel) {
        index = column / width * (tiles - for_panel) + index - for_panel;
        lines = fkp_divide_up(share->last - share->first, LINE);
        row = begin + BLOCK_ROWS;
        channel = share->first;
        end = share->block == NULL ? 0 : share->last;
        from = &job->a;
    } else if (channel >= end) {
        row = begin + BLOCK_ROWS;
        channel = 0;
    }
    const size_t part = index / lines;
    row += part * (BLOCK_ROWS / FKP_OUTER_ASK);
    channel += index % lines * LINE;
    const bool wanted = part < FKP_OUTER_ASK && row < job->rows && channel < end;
    tile->next = wanted ? from->data + row * from->stride + channel : NULL;
    tile->next_stride = from->stride;
}

static void multiply_block(const outer_share *share, size_t begin) {
    const fkp_outer *job = share->job;
    const fkp_outer_record *record = &share->train->outer;
    const size_t channels = share->last - share->first, step = fkp_even_rows(channels, record->rows);
    fkp_outer_tile tile = {.pixels = block_rows(share, begin),
                           .a = share->pointers,
                           .b = share->panel,
                           .b_stride = PANEL,
                           .c_stride = job->c_stride,
                           .accumulate = job->accumulate || begin > 0};
    for (size_t column = 0; column < job->b_channels; column += record->columns) {
        tile.columns = fkp_min_size(record->columns, job->b_channels - column);
        copy_panel(share, begin, column, tile.columns);
        for (size_t row = 0; row < channels; row += step) {
            tile.rows = fkp_min_size(step, channels - row);
            tile.a_offset = row;
            tile.c = job->c + (share->first + row) * job->c_stride + column;
            ask_for_next(share, begin, column, row / step, fkp_divide_up(channels, step), &tile);
            record->tile(&tile);
        }
    }
}

static void multiply_share(const outer_share *share) {
    for (size_t begin = 0; begin < share->job->rows; begin += BLOCK_ROWS) {
        point_at_rows(share, begin);
        multiply_block(share, begin);
    }
}

void fkp_outer_serial(const fkp_train_kernels *train, const fkp_outer *job, float *memory) {
    const outer_share share = share_at(train, job, memory);
    multiply_share(&share);
}

typedef struct outer_job {
    const fkp_train_kernels *train;
    const fkp_outer *run;
    float *workers;
    size_t task_channels;
} outer_job;

static void outer_task(void *argument, size_t index, size_t worker) {
    const outer_job *job = argument;
    float *memory = job->workers + worker * share_floats();
    outer_share share = share_at(job->train, job->run, memory);
    share.first = index * job->task_channels;
    share.last = fkp_min_size(job->run->a_channels, share.first + job->task_channels);
    share.block = memory + fkp_outer_serial_floats();
    multiply_share(&share);
}

void fkp_outer_run(const fkp_context *context, const fkp_train_kernels *train, const fkp_outer *run) {
    const size_t a_thread = fkp_divide_up(run->a_channels, fkp_pool_threads(context->pool));
    outer_job job = {train, run, context->scratch, fkp_even_rows(a_thread, TASK_CHANNELS)};
    fkp_parallel(context->pool, fkp_divide_up(run->a_channels, job.task_channels), outer_task, &job);
}
