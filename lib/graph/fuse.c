/* Layers become steps. What follows an operator and nothing else reads is absorbed into it: BatchNorm (into
 * its weights), a sum and an activation (into its epilogue), max pooling. Dropout, flatten and skipped
 * tokens are no steps but ways of reading another layer's tensor; a concatenation is a tensor whose parts
 * others write. */
#include "graph/program.h"

/* How a layer's output is read: whose tensor it is, and how it is looked at. */
typedef struct reading {
    int32_t tensor;
    bool skip;             /* without its first row */
    bool flat;             /* as one row */
    fkp_shape unflattened; /* what a flatten reorders; height 0: nothing */
} reading;

static reading read_through(const fkp_compiler *compiler, int32_t layer) {
    reading r = {.tensor = layer};
    for (;; r.tensor = compiler->network->layers[r.tensor].inputs[0]) {
        const fkp_layer *l = &compiler->network->layers[r.tensor];
        if (compiler->tensors[r.tensor].copied) return r;
        if (l->kind == FKP_LAYER_SKIP_TOKENS) {
            r.skip = true;
        } else if (l->kind == FKP_LAYER_FLATTEN) {
            fkp_shape below = compiler->network->layers[l->inputs[0]].shape;
            r.flat = true;
            if (fkp_flatten_reorders(below)) r.unflattened = below;
        } else if (l->kind != FKP_LAYER_DROPOUT) {
            return r;
        }
    }
}

static bool reads_plainly(const reading *r) { return !r->skip && !r->flat; }

static bool is_view(const fkp_layer *layer) {
    return layer->kind == FKP_LAYER_DROPOUT || layer->kind == FKP_LAYER_FLATTEN ||
           layer->kind == FKP_LAYER_SKIP_TOKENS;
}

static void count_readers(fkp_compiler *compiler) {
    const fkp_network *network = compiler->network;
    for (int32_t i = 0; i < network->layer_count; i++) {
        compiler->tensors[i].whole = compiler->tensors[i].buffer = -1;
        for (int k = 0; k < 2; k++)
            if (network->layers[i].inputs[k] >= 0) compiler->tensors[network->layers[i].inputs[k]].readers++;
    }
    compiler->tensors[network->layer_count - 1].readers++;
}

/* The only layer that reads this one's output, looking through dropout; -1 if there are others, or none. */
static int32_t only_reader(const fkp_compiler *compiler, int32_t layer) {
    const fkp_network *network = compiler->network;
    for (int32_t i = layer + 1; i < network->layer_count && compiler->tensors[layer].readers == 1; i++) {
        if (network->layers[i].inputs[0] != layer && network->layers[i].inputs[1] != layer) continue;
        if (network->layers[i].kind != FKP_LAYER_DROPOUT) return i;
        layer = i;
    }
    return -1;
}

/* ---- steps ---- */

/* Steps are first put where their last layer stands, two places a layer, and later moved together. */
static fkp_step *place_for(fkp_compiler *compiler, int32_t layer, int place) {
    return &compiler->program->steps[2 * layer + place];
}

/* A step of the layer `index` whose first input is the layer `input`'s output. */
static facekp_status begin_step(const fkp_compiler *compiler, fkp_step_kind kind, int32_t index,
                                int32_t input, fkp_step *step, fkp_error *error) {
    const fkp_layer *layer = &compiler->network->layers[index];
    reading r = read_through(compiler, input);
    *step = (fkp_step){.kind = kind,
                       .layer = index,
                       .norm = -1,
                       .inputs = {r.tensor, -1},
                       .result = index,
                       .skip = r.skip,
                       .activation =
                           layer->kind == FKP_LAYER_ACTIVATION ? layer->activation : FKP_ACTIVATION_NONE,
                       .in = compiler->network->layers[input].shape,
                       .out = layer->shape,
                       .unflattened = r.unflattened,
                       .kernel = layer->kernel,
                       .stride = layer->stride,
                       .padding = layer->padding,
                       .heads = layer->heads,
                       .epsilon = layer->epsilon,
                       .bias = FKP_NO_BIAS};
    if (r.unflattened.height != 0 && kind != FKP_STEP_LINEAR)
        return fkp_fail(error, FACEKP_ERROR_UNSUPPORTED,
                        "layer %d (%s) reads a flattened map; only a linear layer can", (int)index,
                        fkp_layer_kind_name(layer->kind));
    return FACEKP_OK;
}

static bool takes_activation(const fkp_step *step) {
    return step->kind == FKP_STEP_CONVOLUTION || step->kind == FKP_STEP_UPSAMPLING ||
           step->kind == FKP_STEP_LINEAR || step->kind == FKP_STEP_SCALE_SHIFT || step->kind == FKP_STEP_ADD;
}

/* A sum of this step's result with another tensor: that becomes the residual. */
static bool absorb_sum(const fkp_compiler *compiler, fkp_step *step, int32_t tail, const fkp_layer *sum) {
    reading first = read_through(compiler, sum->inputs[0]), second = read_through(compiler, sum->inputs[1]);
    reading other = first.tensor == tail ? second : first;
    if (!reads_plainly(&other)) return false;
    step->inputs[1] = other.tensor;
    return true;
}

/* Every form of a convolution takes 2 x 2 windows side by side; the direct one, which a stride makes certain,
 * takes all. */
static bool can_pool(const fkp_step *step, const fkp_layer *pooling) {
    return step->stride > 1 || (pooling->kernel == 2 && pooling->stride == 2 && pooling->padding == 0);
}

/* Whether the layer, the only reader of the step's result so far, becomes part of the step. The epilogue's
 * order is: norm, sum, activation, pooling. */
static bool absorb(const fkp_compiler *compiler, fkp_step *step, int32_t tail, int32_t index) {
    const fkp_layer *layer = &compiler->network->layers[index];
    bool product = step->kind == FKP_STEP_CONVOLUTION || step->kind == FKP_STEP_LINEAR;
    bool bare = step->activation == FKP_ACTIVATION_NONE && step->pool.size == 0;
    switch (layer->kind) {
    case FKP_LAYER_BATCH_NORM:
        if (!product || !bare || step->norm >= 0 || step->inputs[1] >= 0) return false;
        step->norm = index;
        return true;
    case FKP_LAYER_ADD:
        return product && bare && step->inputs[1] < 0 && absorb_sum(compiler, step, tail, layer);
    case FKP_LAYER_ACTIVATION:
        if (!takes_activation(step) || !bare) return false;
        step->activation = layer->activation;
        return true;
    case FKP_LAYER_MAX_POOLING:
        if (step->kind != FKP_STEP_CONVOLUTION || step->pool.size > 0 || step->inputs[1] >= 0 ||
            !can_pool(step, layer))
            return false;
        step->pool = (fkp_window){layer->kernel, layer->stride, layer->padding};
        return true;
    default:
        return false;
    }
}

/* Makes the step of an operator and of all it absorbs. */
static facekp_status add_step(fkp_compiler *compiler, fkp_step_kind kind, int32_t index, fkp_error *error) {
    fkp_step step;
    facekp_status status =
        begin_step(compiler, kind, index, compiler->network->layers[index].inputs[0], &step, error);
    if (status != FACEKP_OK) return status;
    if (kind == FKP_STEP_ADD) {
        reading other = read_through(compiler, compiler->network->layers[index].inputs[1]);
        if (!reads_plainly(&other) || step.skip)
            return fkp_fail(error, FACEKP_ERROR_UNSUPPORTED, "layer %d adds a flattened or shortened tensor",
                            (int)index);
        step.inputs[1] = other.tensor;
    }
    for (int32_t next = only_reader(compiler, index);
         next >= 0 && !compiler->tensors[next].absorbed && absorb(compiler, &step, step.result, next);
         next = only_reader(compiler, next)) {
        compiler->tensors[next].absorbed = true;
        step.result = next;
    }
    *place_for(compiler, step.result, 0) = step;
    return FACEKP_OK;
}

/* ---- concatenation ---- */

/* Whether the tensor may lie as a slice of a wider one: some step writes it, all who read it take rows that
 * are far apart, and it is no slice yet. */
static bool may_be_slice(const fkp_compiler *compiler, int32_t tensor) {
    const fkp_network *network = compiler->network;
    const fkp_layer *layer = &network->layers[tensor];
    if (layer->kind == FKP_LAYER_INPUT || layer->kind == FKP_LAYER_QUERY_ATTENTION ||
        compiler->tensors[tensor].whole >= 0 ||
        read_through(compiler, network->layer_count - 1).tensor == tensor)
        return false;
    for (int32_t i = 0; i < network->layer_count; i++)
        for (int k = 0; k < 2; k++) {
            if (network->layers[i].inputs[k] < 0 || is_view(&network->layers[i])) continue;
            reading r = read_through(compiler, network->layers[i].inputs[k]);
            if (r.tensor == tensor && !reads_plainly(&r)) return false;
        }
    return true;
}

static facekp_status add_concatenation(fkp_compiler *compiler, int32_t index, fkp_error *error) {
    const fkp_layer *layer = &compiler->network->layers[index];
    size_t channel = 0;
    for (int k = 0; k < 2; k++) {
        reading r = read_through(compiler, layer->inputs[k]);
        fkp_shape shape = compiler->network->layers[layer->inputs[k]].shape;
        if (reads_plainly(&r) && may_be_slice(compiler, r.tensor)) {
            compiler->tensors[r.tensor].whole = index;
            compiler->tensors[r.tensor].first_channel = channel;
        } else {
            fkp_step *copy = place_for(compiler, index, k);
            facekp_status status = begin_step(compiler, FKP_STEP_COPY, index, layer->inputs[k], copy, error);
            if (status != FACEKP_OK) return status;
            copy->out = shape;
            copy->first_channel = channel;
        }
        channel += shape.channels;
    }
    return FACEKP_OK;
}

/* ---- views ---- */

/* Skipped tokens leave gaps between the images. Only the query attention, and a flatten that makes one row of
 * each image, can read around them; for others the rest is copied. */
static facekp_status add_skip_tokens(fkp_compiler *compiler, int32_t index, fkp_error *error) {
    const fkp_network *network = compiler->network;
    bool view = index != network->layer_count - 1;
    for (int32_t i = index + 1; i < network->layer_count; i++) {
        const fkp_layer *reader = &network->layers[i];
        if (reader->inputs[0] != index && reader->inputs[1] != index) continue;
        view = view && (reader->kind == FKP_LAYER_FLATTEN || reader->kind == FKP_LAYER_QUERY_ATTENTION);
    }
    if (view) return FACEKP_OK;
    fkp_step *copy = place_for(compiler, index, 0);
    facekp_status status =
        begin_step(compiler, FKP_STEP_COPY, index, network->layers[index].inputs[0], copy, error);
    copy->in = copy->out;
    copy->skip = true;
    compiler->tensors[index].copied = true;
    return status;
}

/* ---- the result ---- */

/* The step that writes a tensor. */
static fkp_step *writer_of(fkp_compiler *compiler, int32_t tensor) {
    fkp_step *step = place_for(compiler, tensor, 0);
    return step->kind != FKP_STEP_NONE && step->result == tensor ? step : NULL;
}

/* The network's result lies in the caller's memory as N x C x H x W; tokens stay rows. */
static facekp_status add_result(fkp_compiler *compiler, fkp_error *error) {
    int32_t last = compiler->network->layer_count - 1;
    reading r = read_through(compiler, last);
    if (r.tensor == 0) return fkp_fail(error, FACEKP_ERROR_UNSUPPORTED, "the network computes nothing");
    fkp_shape shape = compiler->network->layers[r.tensor].shape;
    bool planes = r.flat ? r.unflattened.height != 0 : fkp_flatten_reorders(shape);
    fkp_step *writer = writer_of(compiler, r.tensor);
    if (!planes && !r.skip) {
        compiler->tensors[r.tensor].home = FKP_HOME_OUTPUT;
    } else if (planes && writer != NULL && writer->kind == FKP_STEP_CONVOLUTION && writer->kernel == 1 &&
               writer->stride == 1 && writer->padding == 0 && writer->inputs[1] < 0 &&
               writer->pool.size == 0 && compiler->tensors[r.tensor].readers == 1) {
        writer->kind = FKP_STEP_LINEAR_TO_PLANES;
        writer->result = -1;
    } else {
        *place_for(compiler, last + 1, 0) =
            (fkp_step){.kind = planes ? FKP_STEP_TO_PLANES : FKP_STEP_COPY,
                       .layer = last,
                       .norm = -1,
                       .inputs = {r.tensor, -1},
                       .result = -1,
                       .skip = r.skip,
                       .in = r.skip ? (fkp_shape){shape.height - 1, shape.width, shape.channels} : shape,
                       .out = shape,
                       .bias = FKP_NO_BIAS};
    }
    return FACEKP_OK;
}

/* ---- all layers ---- */

static facekp_status add_layer(fkp_compiler *compiler, int32_t index, fkp_error *error) {
    static const fkp_step_kind kinds[FKP_LAYER_KINDS] = {
        [FKP_LAYER_CONVOLUTION] = FKP_STEP_CONVOLUTION,
        [FKP_LAYER_UPSAMPLING] = FKP_STEP_UPSAMPLING,
        [FKP_LAYER_LINEAR] = FKP_STEP_LINEAR,
        [FKP_LAYER_BATCH_NORM] = FKP_STEP_SCALE_SHIFT,
        [FKP_LAYER_ACTIVATION] = FKP_STEP_ACTIVATION,
        [FKP_LAYER_MAX_POOLING] = FKP_STEP_MAX_POOLING,
        [FKP_LAYER_AVERAGE_POOLING] = FKP_STEP_AVERAGE_POOLING,
        [FKP_LAYER_ADD] = FKP_STEP_ADD,
        [FKP_LAYER_TOKENS] = FKP_STEP_TOKENS,
        [FKP_LAYER_LAYER_NORM] = FKP_STEP_LAYER_NORM,
        [FKP_LAYER_ATTENTION] = FKP_STEP_ATTENTION,
        [FKP_LAYER_QUERY_ATTENTION] = FKP_STEP_QUERY_ATTENTION,
    };
    fkp_layer_kind kind = compiler->network->layers[index].kind;
    if (compiler->tensors[index].absorbed) return FACEKP_OK;
    if (kind == FKP_LAYER_CONCATENATE) return add_concatenation(compiler, index, error);
    if (kind == FKP_LAYER_SKIP_TOKENS) return add_skip_tokens(compiler, index, error);
    if (kinds[kind] == FKP_STEP_NONE) return FACEKP_OK;
    return add_step(compiler, kinds[kind], index, error);
}

facekp_status fkp_compile_fuse(fkp_compiler *compiler, fkp_error *error) {
    fkp_program *program = compiler->program;
    int32_t layers = compiler->network->layer_count, places = 2 * (layers + 1);
    if (compiler->network->layers[0].shape.channels != 1)
        return fkp_fail(error, FACEKP_ERROR_UNSUPPORTED, "the input must have one channel");
    program->steps = fkp_allocate(&program->memory, (size_t)places, sizeof *program->steps);
    if (program->steps == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory for a program");
    program->step_capacity = places;
    count_readers(compiler);
    compiler->tensors[0].home = FKP_HOME_INPUT;
    facekp_status status = FACEKP_OK;
    for (int32_t i = 1; i < layers && status == FACEKP_OK; i++) status = add_layer(compiler, i, error);
    if (status == FACEKP_OK) status = add_result(compiler, error);
    for (int32_t i = 0; i < places; i++)
        if (program->steps[i].kind != FKP_STEP_NONE)
            program->steps[program->step_count++] = program->steps[i];
    return status;
}
