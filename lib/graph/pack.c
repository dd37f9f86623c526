/* Weights: read one tensor at a time, folded, packed as the chosen kernels read them, all in one allocation.
 * A BatchNorm after a product scales its columns and moves its bias:
 * gamma (W x + b - mean) / sqrt(variance + epsilon) + beta. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "graph/program.h"

#define UNIT (FKP_ALIGNMENT / sizeof(float))

typedef struct packer {
    const fkp_network *network;
    fkp_program *program;
    const fkp_weight_source *source;
    float *temporary;     /* what the three below are in */
    float *scale, *shift; /* of the step at hand: its folded norm, its bias */
    float *turned;        /* weights of one panel in the order of their unflattened input */
    size_t channels;      /* of the widest step */
    size_t turned_floats;
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
        if (step->unflattened.height != 0)
            p->turned_floats =
                fkp_max_size(p->turned_floats, step->in.channels * program->kernels.gemm.granule);
    }
    program->packed_floats = total;
    return FACEKP_OK;
}

/* ---- reading ---- */

static const fkp_parameter *parameter_of(const packer *p, int32_t layer, fkp_role role) {
    return &p->network->parameters[fkp_network_parameter(p->network, layer, role)];
}

/* A parameter's numbers, valid until the next read; NULL when reading failed. */
static const float *read(packer *p, int32_t layer, fkp_role role) {
    return p->source->read(p->source->user, parameter_of(p, layer, role), p->error);
}

static bool read_into(packer *p, int32_t layer, fkp_role role, float *copy) {
    const float *values = read(p, layer, role);
    if (values != NULL) memcpy(copy, values, parameter_of(p, layer, role)->count * sizeof *copy);
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

/* A linear layer after a flatten: its weights' columns go from C x H x W order to the rows' H x W x C. As
 * many outputs at a time as a granule of a packed panel is wide are turned, scaled, and laid into the panel.
 */
static void pack_unflattened(packer *p, const fkp_step *step, const float *weights, const float *scale,
                             float *packed) {
    const fkp_kernels *kernels = &p->program->kernels;
    size_t depth = step->in.channels, pixels = fkp_shape_rows(step->unflattened);
    size_t columns = step->out.channels, panel = kernels->gemm.columns, granule = kernels->gemm.granule;
    for (size_t first = 0; first < columns; first += granule) {
        size_t panel_first = first / panel * panel;
        size_t width = fkp_divide_up(fkp_min_size(panel, columns - panel_first), granule) * granule;
        for (size_t i = 0; i < granule; i++) {
            float *row = p->turned + i * depth;
            if (first + i >= columns) {
                memset(row, 0, depth * sizeof *row);
                continue;
            }
            kernels->transpose(weights + (first + i) * depth, pixels, step->unflattened.channels, pixels, row,
                               step->unflattened.channels);
            for (size_t k = 0; k < depth && scale != NULL; k++) row[k] *= scale[first + i];
        }
        kernels->transpose(p->turned, depth, granule, depth,
                           packed + panel_first * depth + (first - panel_first), width);
        if (p->source->used != NULL)
            p->source->used(p->source->user, first * depth, fkp_min_size(granule, columns - first) * depth);
    }
}

static bool pack_product(packer *p, const fkp_step *step, float *packed, float *bias) {
    const fkp_kernels *kernels = &p->program->kernels;
    if (!read_folded(p, step)) return false;
    if (bias != NULL) memcpy(bias, p->shift, step->out.channels * sizeof *bias);
    const float *scale = step->norm < 0 ? NULL : p->scale;
    const float *weights = read(p, step->layer, FKP_ROLE_WEIGHT);
    if (weights == NULL) return false;
    fkp_convolution shape = fkp_step_convolution(step, 1);
    if (step->kind == FKP_STEP_CONVOLUTION)
        fkp_convolution_pack(kernels, &shape, step->algorithm, weights, scale, packed);
    else if (step->kind == FKP_STEP_UPSAMPLING)
        fkp_upsampling_pack(kernels, step->in.channels, step->out.channels, weights, packed);
    else if (step->unflattened.height != 0)
        pack_unflattened(p, step, weights, scale, packed);
    else
        fkp_gemm_pack(kernels, step->in.channels, step->out.channels, weights, 1, step->in.channels, scale,
                      packed);
    return true;
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
    size_t temporary = 2 * p.channels + p.turned_floats;
    program->packed = fkp_allocate_raw(memory, program->packed_floats, sizeof *program->packed);
    p.temporary = fkp_allocate_raw(memory, temporary, sizeof *p.temporary);
    if (program->packed == NULL || p.temporary == NULL) {
        status =
            fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for %zu packed weights", program->packed_floats);
    } else {
        p.scale = p.temporary;
        p.shift = p.scale + p.channels;
        p.turned = p.shift + p.channels;
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
