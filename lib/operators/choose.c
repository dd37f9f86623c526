/* Which algorithm a convolution is computed with: the cheapest by a model of this library's own kernels. The
 * packed weights are as large for every one of them, so memory has no say in it. */
#include "operators/split.h"

#include <math.h>

/* Costs are counted in multiply-adds of the register tile at full rate. A number that goes through a
 * transform costs about as much as this many. */
#define FILTER_COST 4.0
#define DATA_COST 10.0
#define RESULT_COST 14.0
/* The same of a number that is taken apart, and of a result of split products. */
#define SPLIT_DATA_COST 4.0
#define SPLIT_RESULT_COST 4.0

static double direct_cost(const fkp_convolution *shape) {
    double outputs =
        (double)(shape->batch * shape->out_height * shape->out_width) * (double)shape->out_channels;
    return outputs * (double)(shape->kernel * shape->kernel * shape->in_channels);
}

/* Rows cost what they compute; but a register tile of few rows waits for its own sums. */
#define LEAST_ROWS 3.5

static double winograd_cost(const fkp_kernels *kernels, const fkp_convolution *shape,
                            fkp_convolution_algorithm algorithm) {
    const fkp_winograd_record *record = &kernels->winograd[algorithm - FKP_CONVOLUTION_WINOGRAD_2_3];
    size_t n = record->side, cut_n = n - record->stride;
    fkp_tile_side high = fkp_tile_side_of(shape->out_height, record->tile);
    fkp_tile_side wide = fkp_tile_side_of(shape->out_width, record->tile);
    size_t tiles = shape->batch * (high.full + high.cut) * (wide.full + wide.cut);
    size_t rows = shape->batch * (high.full * n + high.cut * cut_n) * (wide.full * n + wide.cut * cut_n);
    double in = (double)shape->in_channels, out = (double)shape->out_channels, positions = (double)(n * n);
    double filter_positions = (double)(record->filter_side * record->filter_side);
    double products = fmax((double)rows, LEAST_ROWS * positions) * in * out;
    double filters = filter_positions * in * out * FILTER_COST;
    double transforms = positions * (double)tiles * (in * DATA_COST + out * RESULT_COST);
    return products + filters + transforms;
}

/* A register tile's time is a split product's of `speed` times as many multiply-adds, of whole chunks and
 * tiles; and all that goes in is taken apart. */
static double split_cost(const fkp_kernels *kernels, const fkp_convolution *shape) {
    if (kernels->split.speed <= 0.0) return (double)INFINITY;
    const double in = (double)(fkp_split_chunks(shape->in_channels) * FKP_SPLIT_DEPTH);
    const double out = (double)(fkp_divide_up(shape->out_channels, FKP_SPLIT_COLUMNS) * FKP_SPLIT_COLUMNS);
    const double lines = (double)shape->batch * (double)shape->out_height * ((double)shape->out_width + 1.0);
    const double rows = fmax(2.0, ceil(lines / FKP_SPLIT_TILE)) * FKP_SPLIT_TILE;
    const double products = rows * out * in * (double)(shape->kernel * shape->kernel);
    const double data = (double)(shape->batch * shape->in_height * shape->in_width) * in;
    return products / kernels->split.speed + data * SPLIT_DATA_COST + lines * out * SPLIT_RESULT_COST;
}

fkp_convolution_algorithm fkp_convolution_choose(const fkp_kernels *kernels, const fkp_convolution *shape) {
    fkp_convolution_algorithm best = FKP_CONVOLUTION_DIRECT;
    double least = direct_cost(shape);
    for (int i = FKP_CONVOLUTION_WINOGRAD_2_3; i < FKP_CONVOLUTION_ALGORITHMS; i++) {
        fkp_convolution_algorithm algorithm = (fkp_convolution_algorithm)i;
        if (!fkp_convolution_can(shape, algorithm)) continue;
        double cost = fkp_is_winograd(algorithm) ? winograd_cost(kernels, shape, algorithm)
                                                 : split_cost(kernels, shape);
        if (cost < least) {
            least = cost;
            best = algorithm;
        }
    }
    return best;
}
