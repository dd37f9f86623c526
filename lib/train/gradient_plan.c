#include "train/gradient_plan.h"

#include <string.h>

/* A tensor that may live inside another one's buffer: a node of a forest. */
typedef struct plan_node {
    int32_t parent; /* -1: a buffer of its own */
    size_t channel; /* first channel inside the parent */
} plan_node;

typedef struct plan_buffer {
    size_t floats;
    int32_t first, last; /* times */
    size_t offset;
    bool placed;
} plan_buffer;

/* Per layer: its value, its gradient, what it saves, and a place to add from. */
enum { VALUE, GRADIENT, SAVED, TEMPORARY, PLACES };

typedef struct planner {
    const fkp_network *network;
    fkp_pass pass;
    int32_t count;        /* layers */
    int32_t *consumers;   /* how many layers read a value */
    int32_t *last_reader; /* the last of them in forward order; -1: none */
    plan_node *values, *gradients;
    plan_buffer *buffers; /* PLACES per layer */
    fkp_layer_plan *plans;
} planner;

static const fkp_layer *layer_at(const planner *p, int32_t i) { return &p->network->layers[i]; }
static int32_t forward_time(int32_t i) { return i; }
static int32_t backward_time(const planner *p, int32_t i) { return 2 * p->count - 1 - i; }
static bool is_last(const planner *p, int32_t i) { return i == p->count - 1; }

static int32_t root_of(const plan_node *nodes, int32_t i, size_t *channel) {
    *channel = 0;
    for (; nodes[i].parent >= 0; i = nodes[i].parent) *channel += nodes[i].channel;
    return i;
}

static void count_consumers(planner *p) {
    for (int32_t i = 0; i < p->count; i++) p->last_reader[i] = -1;
    for (int32_t i = 0; i < p->count; i++)
        for (int k = 0; k < 2; k++) {
            int32_t input = layer_at(p, i)->inputs[k];
            if (input < 0) continue;
            p->consumers[input]++;
            p->last_reader[input] = i;
        }
}

/* An activation that is the only reader of its input is done by the input's layer: after BatchNorm both ways,
 * after sums and products the forward, if its derivative is told by its output. */
static void absorb_activations(planner *p) {
    for (int32_t i = 1; i < p->count; i++) {
        const fkp_layer *layer = layer_at(p, i);
        if (layer->kind != FKP_LAYER_ACTIVATION || p->consumers[layer->inputs[0]] != 1) continue;
        fkp_layer_kind before = layer_at(p, layer->inputs[0])->kind;
        bool product = before == FKP_LAYER_ADD || before == FKP_LAYER_LINEAR ||
                       before == FKP_LAYER_CONVOLUTION || before == FKP_LAYER_UPSAMPLING;
        p->plans[i].backward_absorbed = before == FKP_LAYER_BATCH_NORM;
        p->plans[i].forward_absorbed =
            p->plans[i].backward_absorbed || (product && layer->activation != FKP_ACTIVATION_GELU);
        if (p->plans[i].forward_absorbed) p->plans[layer->inputs[0]].activation = layer->activation;
    }
}

static bool reads_input(const planner *p, int32_t i) {
    const fkp_layer *layer = layer_at(p, i);
    if (layer->kind == FKP_LAYER_ACTIVATION)
        return layer->activation == FKP_ACTIVATION_GELU && !p->plans[i].backward_absorbed;
    return p->plans[i].record->reads_input;
}
static bool reads_output(const planner *p, int32_t i) {
    const fkp_layer *layer = layer_at(p, i);
    if (layer->kind == FKP_LAYER_ACTIVATION)
        return layer->activation != FKP_ACTIVATION_GELU && !p->plans[i].backward_absorbed;
    return p->plans[i].record->reads_output;
}

/* ---- values ---- */

/* Whether layer i may write over its input: nobody else wants it. */
static bool may_overwrite(const planner *p, int32_t i, int32_t input) {
    return p->plans[i].record->in_place && input > 0 && p->consumers[input] == 1 && !reads_output(p, input) &&
           !reads_input(p, i);
}

/* Puts an input's buffer into a slice of the concatenation that reads it. */
static bool become_slice(plan_node *nodes, const planner *p, int32_t input, int32_t whole, size_t channel) {
    size_t inner;
    int32_t root = root_of(nodes, input, &inner);
    if (root == 0 || root == whole || layer_at(p, root)->shape.channels != layer_at(p, input)->shape.channels)
        return false;
    nodes[root] = (plan_node){whole, channel};
    return true;
}

static void share_values(planner *p) {
    for (int32_t i = 1; i < p->count; i++) {
        const fkp_layer *layer = layer_at(p, i);
        if (layer->kind == FKP_LAYER_CONCATENATE) {
            size_t first = layer_at(p, layer->inputs[0])->shape.channels;
            become_slice(p->values, p, layer->inputs[0], i, 0);
            become_slice(p->values, p, layer->inputs[1], i, first);
            continue;
        }
        for (int k = 1; k >= 0; k--)
            if (layer->inputs[k] >= 0 && p->values[i].parent < 0 && may_overwrite(p, i, layer->inputs[k]))
                p->values[i] = (plan_node){layer->inputs[k], 0};
    }
}

/* ---- gradients ---- */

/* dy of a sum is da and db as it stands, if whoever reads it first (the later input, whose only reader is the
 * sum) leaves it alone, and nothing is added to it (for the earlier input) before that. */
static void share_sum(planner *p, int32_t i) {
    const fkp_layer *layer = layer_at(p, i);
    int32_t early = layer->inputs[0] < layer->inputs[1] ? layer->inputs[0] : layer->inputs[1];
    int32_t late = layer->inputs[0] + layer->inputs[1] - early;
    if (is_last(p, i) || p->plans[i].keep_gradient || early == late || early == 0) return;
    if (p->consumers[late] != 1 || p->last_reader[early] != i) return;
    for (int32_t k = late; k < i; k++)
        for (int side = 0; side < 2; side++)
            if (layer_at(p, k)->inputs[side] == early) return;
    p->gradients[early] = p->gradients[late] = (plan_node){i, 0};
    p->plans[late].keep_gradient = true;
}

static void share_gradients(planner *p) {
    for (int32_t i = p->count - 1; i > 0; i--) {
        const fkp_layer *layer = layer_at(p, i);
        int32_t input = layer->inputs[0];
        if (p->plans[i].backward_absorbed) {
            p->gradients[input] = (plan_node){i, 0};
            p->plans[input].keep_gradient = p->plans[i].keep_gradient || is_last(p, i);
        } else if (layer->kind == FKP_LAYER_ADD) {
            share_sum(p, i);
        } else if (layer->kind == FKP_LAYER_CONCATENATE && !is_last(p, i) && !p->plans[i].keep_gradient) {
            size_t channel = 0;
            for (int k = 0; k < 2; channel += layer_at(p, layer->inputs[k])->shape.channels, k++)
                if (layer->inputs[k] > 0 && p->last_reader[layer->inputs[k]] == i &&
                    layer->inputs[0] != layer->inputs[1])
                    p->gradients[layer->inputs[k]] = (plan_node){i, channel};
        } else if (p->plans[i].record->gradient_in_place && !is_last(p, i) && !p->plans[i].keep_gradient &&
                   input > 0 && p->consumers[input] == 1) {
            p->gradients[input] = (plan_node){i, 0};
        }
    }
}

static void note_additions(planner *p) {
    for (int32_t i = 1; i < p->count; i++)
        for (int k = 0; k < 2; k++) {
            int32_t input = layer_at(p, i)->inputs[k];
            if (input <= 0) continue;
            fkp_layer_plan *plan = &p->plans[i];
            plan->accumulate_input[k] =
                p->last_reader[input] > i || (k == 1 && layer_at(p, i)->inputs[0] == input);
            plan->temporary[k] = plan->accumulate_input[k] && !plan->record->accumulates;
        }
}

/* ---- buffers and their lifetimes ---- */

static size_t floats_of(const planner *p, int32_t i) {
    return fkp_divide_up(p->pass.count * fkp_shape_floats(layer_at(p, i)->shape), 16) * 16;
}

static void use(plan_buffer *buffer, size_t floats, int32_t time) {
    if (buffer->floats == 0) buffer->first = buffer->last = time;
    if (floats > buffer->floats) buffer->floats = floats;
    if (time < buffer->first) buffer->first = time;
    if (time > buffer->last) buffer->last = time;
}

static void use_value(planner *p, int32_t i, int32_t time) {
    size_t channel;
    int32_t root = root_of(p->values, i, &channel);
    if (root > 0) use(&p->buffers[root * PLACES + VALUE], floats_of(p, root), time);
}
static void use_gradient(planner *p, int32_t i, int32_t time) {
    size_t channel;
    int32_t root = root_of(p->gradients, i, &channel);
    if (!is_last(p, root)) use(&p->buffers[root * PLACES + GRADIENT], floats_of(p, root), time);
}

static fkp_pass pass_of(const planner *p, int32_t i) {
    fkp_pass pass = p->pass;
    pass.layer = layer_at(p, i);
    pass.index = i;
    pass.activation = p->plans[i].activation;
    return pass;
}

static void note_lifetimes(planner *p) {
    for (int32_t i = 0; i < p->count; i++) {
        use_value(p, i, forward_time(i));
        if (is_last(p, i) || reads_output(p, i)) use_value(p, i, backward_time(p, i));
        if (i > 0) use_gradient(p, i, backward_time(p, i));
        fkp_pass pass = pass_of(p, i);
        if (p->plans[i].record->saved != NULL) {
            plan_buffer *saved = &p->buffers[i * PLACES + SAVED];
            size_t floats = fkp_divide_up(p->plans[i].record->saved(&pass), 16) * 16;
            use(saved, floats, forward_time(i));
            use(saved, floats, backward_time(p, i));
        }
        for (int k = 0; k < 2; k++) {
            int32_t input = layer_at(p, i)->inputs[k];
            if (input < 0) continue;
            use_value(p, input, forward_time(i));
            if (reads_input(p, i)) use_value(p, input, backward_time(p, i));
            if (input > 0) use_gradient(p, input, backward_time(p, i));
            if (p->plans[i].temporary[k])
                use(&p->buffers[i * PLACES + TEMPORARY], floats_of(p, input), backward_time(p, i));
        }
    }
}

/* ---- placing: the largest buffers first, each at the lowest place that is free for all of its life ---- */

static size_t lowest_place(const plan_buffer *buffers, size_t count, const plan_buffer *buffer) {
    size_t place = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < count; i++) {
            const plan_buffer *other = &buffers[i];
            bool same_time = other->first <= buffer->last && buffer->first <= other->last;
            bool same_place = place < other->offset + other->floats && other->offset < place + buffer->floats;
            if (!other->placed || !same_time || !same_place) continue;
            place = other->offset + other->floats;
            moved = true;
        }
    }
    return place;
}

static size_t place_buffers(plan_buffer *buffers, size_t count) {
    size_t end = 0;
    for (;;) {
        plan_buffer *largest = NULL;
        for (size_t i = 0; i < count; i++)
            if (!buffers[i].placed && buffers[i].floats > 0 &&
                (largest == NULL || buffers[i].floats > largest->floats))
                largest = &buffers[i];
        if (largest == NULL) return end;
        largest->offset = lowest_place(buffers, count, largest);
        largest->placed = true;
        end = fkp_max_size(end, largest->offset + largest->floats);
    }
}

static void write_places(planner *p) {
    for (int32_t i = 0; i < p->count; i++) {
        size_t channel;
        int32_t root = root_of(p->values, i, &channel);
        p->plans[i].value = (fkp_tensor_place){root == 0, p->buffers[root * PLACES + VALUE].offset + channel,
                                               layer_at(p, root)->shape.channels};
        root = root_of(p->gradients, i, &channel);
        p->plans[i].gradient =
            (fkp_tensor_place){is_last(p, root), p->buffers[root * PLACES + GRADIENT].offset + channel,
                               layer_at(p, root)->shape.channels};
        p->plans[i].saved = p->buffers[i * PLACES + SAVED].offset;
        for (int k = 0; k < 2; k++)
            if (p->plans[i].temporary[k])
                p->plans[i].temporary_place =
                    (fkp_tensor_place){false, p->buffers[i * PLACES + TEMPORARY].offset,
                                       layer_at(p, layer_at(p, i)->inputs[k])->shape.channels};
    }
}

/* Of a layer, for any number of images: fewer may need more than a whole batch, which is cut into blocks. */
static size_t most_scratch(const planner *p, int32_t index) {
    fkp_pass pass = pass_of(p, index);
    const size_t images = pass.count;
    size_t most = 0;
    for (pass.count = 1; pass.count <= images; pass.count++)
        most = fkp_max_size(most, p->plans[index].record->scratch(&pass));
    return most;
}

static void make_plan(planner *p, fkp_gradient_plan *plan) {
    for (int32_t i = 0; i < p->count; i++) {
        p->plans[i].record = fkp_layer_record_of(layer_at(p, i)->kind);
        p->values[i].parent = p->gradients[i].parent = -1;
    }
    count_consumers(p);
    absorb_activations(p);
    share_values(p);
    share_gradients(p);
    note_additions(p);
    note_lifetimes(p);
    plan->floats = place_buffers(p->buffers, (size_t)p->count * PLACES);
    write_places(p);
    for (int32_t i = 0; i < p->count; i++)
        if (p->plans[i].record->scratch != NULL)
            plan->scratch = fkp_max_size(plan->scratch, most_scratch(p, i));
}

facekp_status fkp_gradient_plan_create(const fkp_memory *memory, const fkp_pass *pass,
                                       fkp_gradient_plan *plan, fkp_error *error) {
    *plan = (fkp_gradient_plan){0};
    size_t count = (size_t)pass->network->layer_count;
    planner p = {.network = pass->network, .pass = *pass, .count = pass->network->layer_count};
    plan->layers = fkp_allocate(memory, count, sizeof *plan->layers);
    p.plans = plan->layers;
    p.consumers = fkp_allocate(memory, count, sizeof *p.consumers);
    p.last_reader = fkp_allocate(memory, count, sizeof *p.last_reader);
    p.values = fkp_allocate(memory, count, sizeof *p.values);
    p.gradients = fkp_allocate(memory, count, sizeof *p.gradients);
    p.buffers = fkp_allocate(memory, count * PLACES, sizeof *p.buffers);
    facekp_status status = FACEKP_OK;
    if (p.plans != NULL && p.consumers != NULL && p.last_reader != NULL && p.values != NULL &&
        p.gradients != NULL && p.buffers != NULL)
        make_plan(&p, plan);
    else
        status = fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory to plan the training of %zu layers", count);
    fkp_release(memory, p.consumers, count, sizeof *p.consumers);
    fkp_release(memory, p.last_reader, count, sizeof *p.last_reader);
    fkp_release(memory, p.values, count, sizeof *p.values);
    fkp_release(memory, p.gradients, count, sizeof *p.gradients);
    fkp_release(memory, p.buffers, count * PLACES, sizeof *p.buffers);
    if (status != FACEKP_OK) fkp_gradient_plan_free(memory, pass->network, plan);
    return status;
}

void fkp_gradient_plan_free(const fkp_memory *memory, const fkp_network *network, fkp_gradient_plan *plan) {
    fkp_release(memory, plan->layers, (size_t)network->layer_count, sizeof *plan->layers);
    *plan = (fkp_gradient_plan){0};
}
