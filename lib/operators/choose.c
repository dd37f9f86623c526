/* Which algorithm a convolution is computed with: the cheapest by a model of this library's own kernels. */
#include "operators/convolution.h"

/* Weights may grow by this much over their direct form, in all positions together: transformed filters of
 * deep layers would otherwise be most of a network's memory. */
#define FILTER_GROWTH_LIMIT ((size_t)1536 << 10)

typedef struct cost {
    double time;   /* in multiply-adds of the register tile at full rate */
    size_t growth; /* floats of weights beyond the direct form */
} cost;

static cost direct_cost(const fkp_convolution *shape) {
    double outputs =
        (double)(shape->batch * shape->out_height * shape->out_width) * (double)shape->out_channels;
    return (cost){outputs * (double)(shape->kernel * shape->kernel * shape->in_channels), 0};
}

/* A number that goes through a transform costs about as much as this many multiply-adds of the register tile.
 */
#define DATA_COST 10.0
#define RESULT_COST 14.0

static cost winograd_cost(const fkp_kernels *kernels, const fkp_convolution *shape,
                          fkp_convolution_algorithm algorithm) {
    const fkp_winograd_record *record = &kernels->winograd[algorithm - FKP_CONVOLUTION_WINOGRAD_2_3];
    size_t n = record->tile + record->kernel - 1, positions = n * n;
    size_t tiles = shape->batch * fkp_divide_up(shape->out_height, record->tile) *
                   fkp_divide_up(shape->out_width, record->tile);
    /* The register tile computes whole rows; few tiles fill its last rows badly. */
    size_t rows = fkp_divide_up(tiles, kernels->gemm.rows) * kernels->gemm.rows;
    double in = (double)shape->in_channels, out = (double)shape->out_channels, count = (double)positions;
    double products = (double)rows * count * in * out;
    double transforms = (double)tiles * count * (in * DATA_COST + out * RESULT_COST);
    size_t filters = shape->in_channels * shape->out_channels;
    return (cost){products + transforms, filters * (positions - record->kernel * record->kernel)};
}

fkp_convolution_algorithm fkp_convolution_choose(const fkp_kernels *kernels, const fkp_convolution *shape) {
    fkp_convolution_algorithm best = FKP_CONVOLUTION_DIRECT;
    double least = direct_cost(shape).time;
    for (int i = FKP_CONVOLUTION_WINOGRAD_2_3; i < FKP_CONVOLUTION_ALGORITHMS; i++) {
        fkp_convolution_algorithm algorithm = (fkp_convolution_algorithm)i;
        if (!fkp_convolution_can(shape, algorithm)) continue;
        cost c = winograd_cost(kernels, shape, algorithm);
        if (c.time < least && c.growth <= FILTER_GROWTH_LIMIT) {
            least = c.time;
            best = algorithm;
        }
    }
    return best;
}
