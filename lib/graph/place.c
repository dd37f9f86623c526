/* Every tensor gets its place. A tensor lives from the step that writes it first to the step that reads it
 * last; two that never live at the same time may share memory. Parts of a concatenation are channels of one
 * buffer, so that joining them costs nothing; where its one reader can read two tensors, they stay apart, and
 * the part that is made first does not keep room for the other. Buffers are placed largest first, each at the
 * lowest offset where it meets no other that lives with it. Offsets are counted from the arena's end: scratch
 * memory begins at the other one. */
#include "base/checked.h"
#include "base/sort.h"
#include "graph/program.h"

#define UNIT (FKP_ALIGNMENT / sizeof(float))

/* A tensor is stored in a root: itself, or the concatenation that it is a part of, from channel `inside` on.
 */
static int32_t root_of(const fkp_compiler *compiler, int32_t tensor, size_t *inside) {
    *inside = 0;
    while (compiler->tensors[tensor].whole >= 0) {
        *inside += compiler->tensors[tensor].first_channel;
        tensor = compiler->tensors[tensor].whole;
    }
    return tensor;
}

/* ---- concatenations that are never made ---- */

/* The tensors that are slices of `whole`, in the order of their channels; false unless they are two. */
static bool two_parts(const fkp_compiler *compiler, int32_t whole, int32_t parts[2]) {
    int32_t count = 0;
    for (int32_t i = 0; i < compiler->network->layer_count; i++) {
        if (compiler->tensors[i].whole != whole) continue;
        if (count == 2) return false;
        parts[count++] = i;
    }
    if (count != 2) return false;
    if (compiler->tensors[parts[0]].first_channel != 0) {
        int32_t second = parts[0];
        parts[0] = parts[1];
        parts[1] = second;
    }
    return compiler->tensors[parts[0]].first_channel == 0;
}

static bool reads(const fkp_step *step, int32_t tensor) {
    return step->inputs[0] == tensor || step->inputs[1] == tensor ||
           (step->beside_from > 0 && step->beside == tensor);
}

/* A convolution that alone reads a concatenation of two slices reads the two instead, if its algorithm can.
 */
static void read_apart(fkp_compiler *compiler, int32_t index) {
    const fkp_program *program = compiler->program;
    fkp_step *step = &compiler->program->steps[index];
    int32_t parts[2], whole = step->inputs[0];
    const size_t unit = fkp_convolution_beside(step->algorithm);
    if (step->kind != FKP_STEP_CONVOLUTION || unit == 0 || compiler->tensors[whole].whole >= 0 ||
        !two_parts(compiler, whole, parts) || compiler->tensors[parts[1]].first_channel % unit != 0)
        return;
    for (int32_t i = 0; i < program->step_count; i++)
        if (i != index && (reads(&program->steps[i], whole) || program->steps[i].result == whole)) return;
    step->inputs[0] = parts[0];
    step->beside = parts[1];
    step->beside_from = compiler->tensors[parts[1]].first_channel;
    for (int k = 0; k < 2; k++) compiler->tensors[parts[k]].whole = -1;
}

/* The step that writes a tensor, if step `index` alone reads it, as its input and not to add it; -1: it does
 * not, or the tensor is a part of another or the network's own. */
static int32_t writer_for(const fkp_compiler *compiler, int32_t index, int32_t tensor) {
    const fkp_program *program = compiler->program;
    int32_t writer = -1;
    if (compiler->tensors[tensor].home != FKP_HOME_ARENA || compiler->tensors[tensor].whole >= 0 ||
        program->steps[index].inputs[1] == tensor)
        return -1;
    for (int32_t i = 0; i < program->step_count; i++) {
        if (i != index && reads(&program->steps[i], tensor)) return -1;
        if (program->steps[i].result == tensor) writer = i;
    }
    return writer;
}

/* Where the second of the two is an upsampling's result that nobody else reads, the convolution makes the
 * rows that it needs, and the result is never made as a whole. */
static void upsample_inside(fkp_compiler *compiler, int32_t index) {
    fkp_program *program = compiler->program;
    fkp_step *step = &program->steps[index];
    if (step->beside_from == 0 || step->pool.size > 0) return;
    const int32_t writer = writer_for(compiler, index, step->beside);
    if (writer < 0 || program->steps[writer].kind != FKP_STEP_UPSAMPLING ||
        program->steps[writer].inputs[1] >= 0)
        return;
    fkp_step *up = &program->steps[writer];
    const fkp_convolution shape = fkp_step_convolution(step, 1);
    if (!fkp_convolution_upsamples(&program->kernels, &shape, step->algorithm, up->in.channels,
                                   up->out.channels))
        return;
    step->upsampling = writer;
    step->beside = up->inputs[0];
    up->inside = true;
}

/* ---- halves ---- */

/* A product's input is what two workers have written, each a half of the channels. If each multiplies its own
 * half, nothing comes from the other core, and nobody takes apart what the other does too; what they then
 * have are two tensors to be added, which a layer norm that follows does in passing. */
static void cut_in_halves(fkp_compiler *compiler, int32_t index) {
    fkp_program *program = compiler->program;
    if (index + 1 >= program->step_count) return;
    fkp_step *step = &program->steps[index], *norm = step + 1;
    if (step->kind != FKP_STEP_CONVOLUTION || norm->kind != FKP_STEP_LAYER_NORM) return;
    const fkp_convolution shape = fkp_step_convolution(step, 1);
    const bool same_rows = fkp_shape_rows(norm->in) == fkp_shape_rows(step->out); /* nothing is flattened */
    if (norm->inputs[0] != step->result || norm->skip || !same_rows ||
        step->activation != FKP_ACTIVATION_NONE || step->pool.size > 0 || step->beside_from > 0 ||
        !fkp_convolution_halves(&shape, step->algorithm))
        return;
    step->halves = norm->halves = true;
}

/* ---- layer norms ---- */

/* A linear layer that alone reads a layer norm's result normalises its rows itself, and the result is never
 * made. Where products are of split numbers two workers share the rows, and both would normalise all. A norm
 * that adds halves writes their sums for others to read, each once, and stays a step. */
static void normalise_inside(fkp_compiler *compiler, int32_t index) {
    fkp_program *program = compiler->program;
    fkp_step *step = &program->steps[index];
    if (step->kind != FKP_STEP_LINEAR || step->skip || step->unflattened.height != 0) return;
    const int32_t writer = writer_for(compiler, index, step->inputs[0]);
    if (writer < 0 || program->steps[writer].kind != FKP_STEP_LAYER_NORM) return;
    fkp_step *norm = &program->steps[writer];
    const bool same_rows = fkp_shape_rows(norm->in) == fkp_shape_rows(step->in); /* nothing is flattened */
    if (norm->halves || norm->skip || !same_rows) return;
    step->layer_norm = writer;
    step->inputs[0] = norm->inputs[0];
    norm->inside = true;
}

/* ---- lifetimes ---- */

/* The tensor in whose place a product leaves the sums of the second half of its channels; -1: none. */
static int32_t second_result(const fkp_step *step) {
    return step->halves && step->kind == FKP_STEP_CONVOLUTION ? step[1].result : -1;
}

/* Notes that a step writes or reads a tensor. */
static facekp_status touch(fkp_compiler *compiler, int32_t tensor, int32_t step, fkp_error *error) {
    fkp_program *program = compiler->program;
    size_t inside, floats;
    if (tensor < 0) return FACEKP_OK;
    int32_t root = root_of(compiler, tensor, &inside);
    fkp_tensor_plan *plan = &compiler->tensors[root];
    if (plan->home != FKP_HOME_ARENA) return FACEKP_OK;
    if (plan->buffer < 0) {
        size_t rows = fkp_shape_floats(compiler->network->layers[root].shape);
        if (!fkp_checked_add(rows, FKP_RED_ZONE, &floats) || !fkp_checked_round_up(floats, UNIT, &floats))
            return fkp_fail(error, FACEKP_ERROR_MEMORY, "layer %d is larger than the address space",
                            (int)root);
        plan->buffer = program->buffer_count++;
        program->buffers[plan->buffer] = (fkp_buffer){.floats = floats, .first_step = step};
    }
    program->buffers[plan->buffer].last_step = step;
    return FACEKP_OK;
}

/* Whether a convolution reads what is stored in a tensor's place as its input. */
static bool convolves(const fkp_compiler *compiler, const fkp_step *step, int32_t tensor) {
    size_t inside;
    return root_of(compiler, step->inputs[0], &inside) == tensor ||
           (step->beside_from > 0 && root_of(compiler, step->beside, &inside) == tensor);
}

/* The tensor that a step may write over, because it reads each number before it writes the one in its place;
 * -1: none. Elementwise steps do so, and convolutions of all forms but the direct, which comes back to its
 * sums, with what they add, unless other tasks still read it as the convolution's input. */
static int32_t overwritten(const fkp_compiler *compiler, const fkp_step *step) {
    if (step->kind == FKP_STEP_ACTIVATION || step->kind == FKP_STEP_SCALE_SHIFT)
        return step->skip ? -1 : step->inputs[0];
    bool once = step->kind == FKP_STEP_CONVOLUTION && step->algorithm != FKP_CONVOLUTION_DIRECT;
    return once && step->pool.size == 0 && !convolves(compiler, step, step->inputs[1]) ? step->inputs[1] : -1;
}

/* Such a tensor gives its place to the result, if nobody reads it later. */
static void share_in_place(fkp_compiler *compiler, int32_t index) {
    fkp_program *program = compiler->program;
    const fkp_step *step = &program->steps[index];
    const int32_t tensor = overwritten(compiler, step);
    if (tensor < 0 || step->result < 0) return;
    fkp_tensor_plan *in = &compiler->tensors[tensor], *out = &compiler->tensors[step->result];
    if (in->whole >= 0 || out->whole >= 0 || in->buffer < 0 || out->buffer < 0) return;
    fkp_buffer *source = &program->buffers[in->buffer], *target = &program->buffers[out->buffer];
    if (source->last_step != index || target->first_step != index || source->floats != target->floats) return;
    source->last_step = target->last_step;
    target->floats = 0;
    out->buffer = in->buffer;
}

static facekp_status find_lifetimes(fkp_compiler *compiler, fkp_error *error) {
    const fkp_program *program = compiler->program;
    for (int32_t i = 0; i < program->step_count; i++) {
        const fkp_step *step = &program->steps[i];
        if (step->inside) continue;
        const int32_t touched[] = {step->inputs[0], step->inputs[1], step->result,
                                   step->beside_from > 0 ? step->beside : -1, second_result(step)};
        for (size_t k = 0; k < sizeof touched / sizeof *touched; k++) {
            facekp_status status = touch(compiler, touched[k], i, error);
            if (status != FACEKP_OK) return status;
        }
    }
    for (int32_t i = 0; i < program->step_count; i++) share_in_place(compiler, i);
    return FACEKP_OK;
}

/* ---- offsets ---- */

/* Of equal ones that which lives longest, and then the last: so the high places are free again soon, for
 * steps that need much scratch memory. */
static int larger_first(const void *context, uint32_t a, uint32_t b) {
    const fkp_buffer *buffers = context;
    const int32_t life_a = buffers[a].last_step - buffers[a].first_step;
    const int32_t life_b = buffers[b].last_step - buffers[b].first_step;
    if (buffers[a].floats != buffers[b].floats) return buffers[a].floats > buffers[b].floats ? -1 : 1;
    if (life_a != life_b) return life_a > life_b ? -1 : 1;
    return a > b ? -1 : a < b;
}

static bool live_together(const fkp_buffer *a, const fkp_buffer *b) {
    return a->first_step <= b->last_step && b->first_step <= a->last_step;
}

/* The lowest offset at which the buffer meets none of those placed before it. Each of them that stands in the
 * way lifts it above itself, until none does. */
static size_t lowest_offset(const fkp_buffer *buffers, const uint32_t *placed, size_t count,
                            const fkp_buffer *buffer) {
    size_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < count; i++) {
            const fkp_buffer *other = &buffers[placed[i]];
            bool apart = offset + buffer->floats <= other->offset || other->offset + other->floats <= offset;
            if (apart || !live_together(buffer, other)) continue;
            offset = other->offset + other->floats;
            moved = true;
        }
    }
    return offset;
}

static facekp_status find_offsets(fkp_program *program, fkp_error *error) {
    size_t count = (size_t)program->buffer_count, total = 0;
    for (size_t i = 0; i < count; i++)
        if (!fkp_checked_add(total, program->buffers[i].floats, &total))
            return fkp_fail(error, FACEKP_ERROR_MEMORY, "the tensors are larger than the address space");
    uint32_t *order = fkp_allocate(&program->memory, count, sizeof *order);
    if (order == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory to place the tensors");
    for (size_t i = 0; i < count; i++) order[i] = (uint32_t)i;
    fkp_sort(order, count, larger_first, program->buffers);
    for (size_t i = 0; i < count; i++) {
        fkp_buffer *buffer = &program->buffers[order[i]];
        buffer->offset = lowest_offset(program->buffers, order, i, buffer);
        program->arena = fkp_max_size(program->arena, fkp_before_end(buffer));
    }
    fkp_release(&program->memory, order, count, sizeof *order);
    return FACEKP_OK;
}

/* ---- views ---- */

/* A tensor as a step sees it that takes each image for `rows` rows; -1: the result, dense. */
static fkp_view view_of(const fkp_compiler *compiler, int32_t tensor, size_t rows) {
    if (tensor < 0) return (fkp_view){.home = FKP_HOME_OUTPUT};
    size_t inside;
    int32_t root = root_of(compiler, tensor, &inside);
    const fkp_tensor_plan *plan = &compiler->tensors[root];
    fkp_shape shape = compiler->network->layers[root].shape;
    fkp_view view = {.home = plan->home,
                     .inside = inside,
                     .image_stride = fkp_shape_floats(shape),
                     .row_stride = shape.channels};
    if (plan->home == FKP_HOME_ARENA)
        view.before_end = fkp_before_end(&compiler->program->buffers[plan->buffer]);
    if (rows == 1) view.row_stride = view.image_stride;
    return view;
}

static void set_views(fkp_compiler *compiler, fkp_step *step) {
    size_t in_rows = fkp_shape_rows(step->in), out_rows = fkp_shape_rows(step->out);
    if (step->pool.size > 0)
        out_rows = fkp_pooled(step->out.height, &step->pool) * fkp_pooled(step->out.width, &step->pool);
    step->from = view_of(compiler, step->inputs[0], in_rows);
    if (step->inside) return; /* its result is nowhere */
    if (step->skip) step->from.inside += view_of(compiler, step->inputs[0], SIZE_MAX).row_stride;
    if (step->inputs[1] >= 0) step->other = view_of(compiler, step->inputs[1], out_rows);
    if (step->beside_from > 0) step->beside_view = view_of(compiler, step->beside, in_rows);
    step->into = view_of(compiler, step->result, out_rows);
    step->into.inside += step->first_channel;
    if (second_result(step) >= 0) step->second_into = view_of(compiler, second_result(step), out_rows);
    if (step->result >= 0) return;
    step->into.image_stride = fkp_shape_floats(step->in);
    step->into.row_stride = step->in.channels;
}

facekp_status fkp_compile_place(fkp_compiler *compiler, fkp_error *error) {
    fkp_program *program = compiler->program;
    program->buffer_capacity = compiler->network->layer_count;
    program->buffers =
        fkp_allocate(&program->memory, (size_t)program->buffer_capacity, sizeof *program->buffers);
    if (program->buffers == NULL)
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory to place the tensors");
    for (int32_t i = 0; i < program->step_count; i++) {
        program->steps[i].upsampling = program->steps[i].layer_norm = -1;
        read_apart(compiler, i);
        upsample_inside(compiler, i);
        cut_in_halves(compiler, i);
        normalise_inside(compiler, i);
    }
    facekp_status status = find_lifetimes(compiler, error);
    if (status == FACEKP_OK) status = find_offsets(program, error);
    if (status != FACEKP_OK) return status;
    for (int32_t i = 0; i < program->step_count; i++) set_views(compiler, &program->steps[i]);
    return FACEKP_OK;
}
