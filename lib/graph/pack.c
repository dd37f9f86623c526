/* Weights: read one tensor at a time, folded, packed as the chosen kernels read them, all in one allocation.
 * A BatchNorm after a product scales its columns and moves its bias:
 * gamma (W x + b - mean) / sqrt(variance + epsilon) + beta. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "graph/program.h"

#define UNIT (FKP_ALIGNMENT / sizeof(float))
/* Of large weights this much is read and packed at a time, so that it is still in the second-level cache. */
#define PIECE_FLOATS ((size_t)32 << 10)

typedef struct packer {
    const fkp_network *network;
    fkp_program *program;
    const fkp_weight_source *source;
    float *temporary;     /* what the three below are in */
    float *scale, *shift; /* of the step at hand: its folded norm, its bias */
    float *room;          /* what is read at a time */
    size_t channels;      /* of the widest step */
    size_t room_floats;
    fkp_error *error;
} packer;

/* ---- layout ---- */

static size_t weight_floats(const fkp_program *program, const fkp_step *step) {
    fkp_convolution shape = fkp_step_convolution(step, 1);
    switch (step->kind) {
    case FKP_STEP_CONVOLUTION:
        return fkp_convolution_packed_floats(&program->kernels, &shape, step->algorithm);
    case FKP_STEP_UPSAMPLING:
        return fkp_upsampling_packed_floats(&program->kernels, step->in.channels, step->out.channels);
    case FKP_STEP_LINEAR:
    case FKP_STEP_LINEAR_TO_PLANES:
        return fkp_gemm_packed_floats(&program->kernels, step->in.channels, step->out.channels);
    case FKP_STEP_SCALE_SHIFT:
    case FKP_STEP_LAYER_NORM:
        return step->out.channels;
    case FKP_STEP_TOKENS: /* the positions, with the class token added to the first */
    case FKP_STEP_QUERY_ATTENTION:
        return fkp_shape_floats(step->out);
    default:
        return 0;
    }
}

static bool has_bias(const fkp_network *network, const fkp_step *step) {
    return step->kind == FKP_STEP_SCALE_SHIFT || step->kind == FKP_STEP_LAYER_NORM || step->norm >= 0 ||
           network->layers[step->layer].bias;
}

/* Numbers of one column of a product's weights; 0: it is not packed by columns. */
static size_t column_floats(const fkp_step *step) {
    switch (step->kind) {
    case FKP_STEP_CONVOLUTION:
        return step->kernel * step->kernel * step->in.channels;
    case FKP_STEP_LINEAR:
    case FKP_STEP_LINEAR_TO_PLANES:
        return step->in.channels;
    default:
        return 0;
    }
}

/* Columns that are read at a time: about PIECE_FLOATS, whole granules. */
static size_t piece_columns(const fkp_program *program, const fkp_step *step) {
    size_t granule = program->kernels.gemm.granule;
    return fkp_max_size(1, PIECE_FLOATS / (column_floats(step) * granule)) * granule;
}

/* Input channels of an upsampling that are read at a time, likewise. */
static size_t piece_channels(const fkp_step *step) {
    const size_t least = FKP_SPLIT_DEPTH;
    return fkp_max_size(1, PIECE_FLOATS / (least * 4 * step->out.channels)) * least;
}

static size_t piece_floats(const fkp_program *program, const fkp_step *step) {
    size_t column = column_floats(step);
    if (step->kind == FKP_STEP_UPSAMPLING)
        return fkp_min_size(piece_channels(step), step->in.channels) * 4 * step->out.channels;
    if (column == 0) return weight_floats(program, step);
    return column * fkp_min_size(piece_columns(program, step), step->out.channels);
}

/* Lays the steps' weights one after the other. */
static facekp_status lay_out(packer *p) {
    fkp_program *program = p->program;
    size_t total = 0;
    for (int32_t i = 0; i < program->step_count; i++) {
        fkp_step *step = &program->steps[i];
        size_t end, weights = weight_floats(program, step);
        if (weights == 0) continue;
        step->weights = total;
        bool fits = fkp_checked_add(total, weights, &end) && fkp_checked_round_up(end, UNIT, &end);
        if (fits && has_bias(p->network, step)) {
            step->bias = end;
            fits = fkp_checked_add(end, step->out.channels, &end) && fkp_checked_round_up(end, UNIT, &end);
        }
        if (!fits) return fkp_fail(p->error, FACEKP_ERROR_MEMORY, "the weights pass the address space");
        total = end;
        p->channels = fkp_max_size(p->channels, step->out.channels);
        p->room_floats =
            fkp_max_size(p->room_floats, fkp_max_size(step->out.channels, piece_floats(program, step)));
    }
    program->packed_floats = total;
    return FACEKP_OK;
}

/* ---- reading ---- */

static const fkp_parameter *parameter_of(const packer *p, int32_t layer, fkp_role role) {
    return &p->network->parameters[fkp_network_parameter(p->network, layer, role)];
}

/* All numbers of a parameter, valid until the next read; NULL when reading failed. */
static const float *read(packer *p, int32_t layer, fkp_role role) {
    const fkp_parameter *parameter = parameter_of(p, layer, role);
    return p->source->read(p->source->user, parameter, 0, parameter->count, p->room, p->error);
}

static bool read_into(packer *p, int32_t layer, fkp_role role, float *copy) {
    const fkp_parameter *parameter = parameter_of(p, layer, role);
    const float *values = p->source->read(p->source->user, parameter, 0, parameter->count, copy, p->error);
    if (values != NULL && values != copy) memcpy(copy, values, parameter->count * sizeof *copy);
    return values != NULL;
}

/* A BatchNorm as x scale + shift, where `shift` holds the bias of the product before it: the parameters are
 * taken in one by one, since each read ends the one before. */
static bool read_norm(packer *p, int32_t norm, size_t channels) {
    const float *values = read(p, norm, FKP_ROLE_RUNNING_VARIANCE);
    if (values == NULL) return false;
    for (size_t c = 0; c < channels; c++)
        p->scale[c] = (float)(1.0 / sqrt((double)values[c] + (double)p->network->layers[norm].epsilon));
    values = read(p, norm, FKP_ROLE_WEIGHT);
    if (values == NULL) return false;
    for (size_t c = 0; c < channels; c++) p->scale[c] *= values[c];
    values = read(p, norm, FKP_ROLE_RUNNING_MEAN);
    if (values == NULL) return false;
    for (size_t c = 0; c < channels; c++) p->shift[c] = (p->shift[c] - values[c]) * p->scale[c];
    values = read(p, norm, FKP_ROLE_BIAS);
    if (values == NULL) return false;
    for (size_t c = 0; c < channels; c++) p->shift[c] += values[c];
    return true;
}

/* Scale and shift of a product's columns: its bias, and the norm folded into it. */
static bool read_folded(packer *p, const fkp_step *step) {
    if (!p->network->layers[step->layer].bias)
        memset(p->shift, 0, step->out.channels * sizeof *p->shift);
    else if (!read_into(p, step->layer, FKP_ROLE_BIAS, p->shift))
        return false;
    return step->norm < 0 || read_norm(p, step->norm, step->out.channels);
}

/* ---- packing ---- */

/* A product's weights, as many columns at a time as are read. After a flatten the columns go from C x H x W
 * order to the rows' H x W x C. */
static bool pack_columns(packer *p, const fkp_step *step, const float *scale, float *packed) {
    const fkp_kernels *kernels = &p->program->kernels;
    const fkp_parameter *parameter = parameter_of(p, step->layer, FKP_ROLE_WEIGHT);
    const fkp_convolution shape = fkp_step_convolution(step, 1);
    const size_t piece = piece_columns(p->program, step);
    fkp_column_block block = {.depth = column_floats(step),
                              .columns = step->out.channels,
                              .inner = fkp_shape_rows(step->unflattened),
                              .scale = scale};
    for (; block.first < block.columns; block.first += piece) {
        block.count = fkp_min_size(piece, block.columns - block.first);
        block.weights = p->source->read(p->source->user, parameter, block.first * block.depth,
                                        block.count * block.depth, p->room, p->error);
        if (block.weights == NULL) return false;
        if (step->kind == FKP_STEP_CONVOLUTION)
            fkp_convolution_pack_columns(kernels, &shape, step->algorithm, block, packed);
        else
            fkp_gemm_pack_columns(kernels, &block, packed);
    }
    return true;
}

/* An upsampling's weights, as many input channels at a time as are read. */
static bool pack_upsampling(packer *p, const fkp_step *step, float *packed) {
    const fkp_parameter *parameter = parameter_of(p, step->layer, FKP_ROLE_WEIGHT);
    const size_t row = 4 * step->out.channels, piece = piece_channels(step);
    fkp_range channels = {0, 0};
    for (; channels.begin < step->in.channels; channels.begin = channels.end) {
        channels.end = fkp_min_size(channels.begin + piece, step->in.channels);
        const float *weights = p->source->read(p->source->user, parameter, channels.begin * row,
                                               (channels.end - channels.begin) * row, p->room, p->error);
        if (weights == NULL) return false;
        fkp_upsampling_pack(&p->program->kernels, step->in.channels, step->out.channels, channels, weights,
                            packed);
    }
    return true;
}

static bool pack_product(packer *p, const fkp_step *step, float *packed, float *bias) {
    if (!read_folded(p, step)) return false;
    if (bias != NULL) memcpy(bias, p->shift, step->out.channels * sizeof *bias);
    return step->kind == FKP_STEP_UPSAMPLING
               ? pack_upsampling(p, step, packed)
               : pack_columns(p, step, step->norm < 0 ? NULL : p->scale, packed);
}

static bool pack_scale_shift(packer *p, const fkp_step *step, float *scale, float *shift) {
    size_t channels = step->out.channels;
    memset(p->shift, 0, channels * sizeof *p->shift);
    if (!read_norm(p, step->layer, channels)) return false;
    memcpy(scale, p->scale, channels * sizeof *scale);
    memcpy(shift, p->shift, channels * sizeof *shift);
    return true;
}

static bool pack_tokens(packer *p, const fkp_step *step, float *positions) {
    if (!read_into(p, step->layer, FKP_ROLE_POSITION, positions)) return false;
    const float *token = read(p, step->layer, FKP_ROLE_CLASS_TOKEN);
    if (token == NULL) return false;
    for (size_t c = 0; c < step->out.channels; c++) positions[c] += token[c];
    return true;
}

static bool pack_step(packer *p, const fkp_step *step) {
    float *weights = p->program->packed + step->weights;
    float *bias = step->bias == FKP_NO_BIAS ? NULL : p->program->packed + step->bias;
    switch (step->kind) {
    case FKP_STEP_CONVOLUTION:
    case FKP_STEP_UPSAMPLING:
    case FKP_STEP_LINEAR:
    case FKP_STEP_LINEAR_TO_PLANES:
        return pack_product(p, step, weights, bias);
    case FKP_STEP_SCALE_SHIFT:
        return pack_scale_shift(p, step, weights, bias);
    case FKP_STEP_LAYER_NORM:
        return read_into(p, step->layer, FKP_ROLE_WEIGHT, weights) &&
               read_into(p, step->layer, FKP_ROLE_BIAS, bias);
    case FKP_STEP_TOKENS:
        return pack_tokens(p, step, weights);
    case FKP_STEP_QUERY_ATTENTION:
        return read_into(p, step->layer, FKP_ROLE_QUERIES, weights);
    default:
        return true;
    }
}

facekp_status fkp_compile_pack(fkp_compiler *compiler, const fkp_weight_source *weights, fkp_error *error) {
    fkp_program *program = compiler->program;
    const fkp_memory *memory = &program->memory;
    fkp_error reason = {0};
    packer p = {.network = compiler->network, .program = program, .source = weights, .error = &reason};
    facekp_status status = lay_out(&p);
    if (status != FACEKP_OK) return fkp_fail(error, status, "%s", reason.message);
    size_t temporary = 2 * p.channels + p.room_floats;
    program->packed = fkp_allocate_raw(memory, program->packed_floats, sizeof *program->packed);
    p.temporary = fkp_allocate_raw(memory, temporary, sizeof *p.temporary);
    if (program->packed == NULL || p.temporary == NULL) {
        status =
            fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for %zu packed weights", program->packed_floats);
    } else {
        p.scale = p.temporary;
        p.shift = p.scale + p.channels;
        p.room = p.shift + p.channels;
    }
    for (int32_t i = 0; i < program->step_count && status == FACEKP_OK; i++)
        if (!pack_step(&p, &program->steps[i])) {
            status = reason.status == FACEKP_OK ? FACEKP_ERROR_TENSOR : reason.status;
            fkp_fail(error, status, "%s",
                     reason.status == FACEKP_OK ? "a weight is missing" : reason.message);
        }
    fkp_release(memory, p.temporary, temporary, sizeof *p.temporary);
    return status;
}
