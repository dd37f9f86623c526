#include "train/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "train/text.h"
#include "weights/weights.h"

#define FORMAT "1"
#define MAX_ARRAYS 8
#define WORDS 10 /* of the position */

/* ---- the state as words ---- */

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double from_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void position_to_words(const fkp_position *p, uint64_t words[WORDS]) {
    const uint64_t values[WORDS] = {p->epoch,
                                    p->step,
                                    p->data,
                                    p->batches,
                                    bits_of(p->loss_sum),
                                    bits_of(p->square_sum),
                                    p->coordinates,
                                    bits_of(p->best),
                                    p->best_epoch,
                                    p->worse_epochs};
    memcpy(words, values, sizeof values);
}

static fkp_position position_from_words(const uint64_t words[WORDS]) {
    return (fkp_position){.epoch = words[0],
                          .step = words[1],
                          .data = words[2],
                          .batches = words[3],
                          .loss_sum = from_bits(words[4]),
                          .square_sum = from_bits(words[5]),
                          .coordinates = words[6],
                          .best = from_bits(words[7]),
                          .best_epoch = words[8],
                          .worse_epochs = words[9]};
}

static void append_words(fkp_text *text, const uint64_t *words, size_t count) {
    for (size_t i = 0; i < count; i++) fkp_text_append(text, "%016llx", (unsigned long long)words[i]);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads 16 digits a word; false if there are other characters. */
static bool read_words(const char *text, uint64_t *words, size_t count) {
    for (size_t i = 0; i < count; i++) {
        words[i] = 0;
        for (size_t j = 0; j < 16; j++) {
            int digit = hex_digit(text[16 * i + j]);
            if (digit < 0) return false;
            words[i] = words[i] << 4 | (uint64_t)digit;
        }
    }
    return true;
}

/* ---- writing ---- */

static void array_name(char name[FKP_NAME_BYTES], const char *state) {
    snprintf(name, FKP_NAME_BYTES, "optimiser.%.40s", state);
}

static facekp_status write_tensors(const fkp_memory *memory, const char *path, const fkp_checkpoint *c,
                                   const char *state, fkp_error *error) {
    const fkp_network *network = c->network;
    size_t arrays = fkp_optimiser_state_count(c->optimiser), count = (size_t)network->parameter_count;
    char names[MAX_ARRAYS][FKP_NAME_BYTES];
    size_t sizes[MAX_ARRAYS];
    fkp_write_tensor *tensors = fkp_allocate(memory, count + arrays, sizeof *tensors);
    if (tensors == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "%s: no memory to write it", path);
    for (size_t i = 0; i < count; i++) {
        const fkp_parameter *p = &network->parameters[i];
        tensors[i] = (fkp_write_tensor){p->name, p->rank, p->shape, c->parameters + p->offset};
    }
    for (size_t i = 0; i < arrays; i++) {
        fkp_optimiser_state array = fkp_optimiser_state_at(c->optimiser, i);
        array_name(names[i], array.name);
        sizes[i] = array.count;
        tensors[count + i] = (fkp_write_tensor){names[i], 1, &sizes[i], array.data};
    }
    const fkp_metadata metadata[] = {{"facekp_checkpoint", FORMAT},
                                     {"architecture", fkp_architecture_name(network->architecture)},
                                     {"options", c->options},
                                     {"state", state}};
    facekp_status status = fkp_safetensors_write(memory, path, tensors, count + arrays, FKP_F32, metadata,
                                                 sizeof metadata / sizeof *metadata, error);
    fkp_release(memory, tensors, count + arrays, sizeof *tensors);
    return status;
}

facekp_status fkp_checkpoint_write(const fkp_memory *memory, const char *path,
                                   const fkp_checkpoint *checkpoint, fkp_error *error) {
    uint64_t words[WORDS];
    size_t step_count;
    const uint64_t *steps = fkp_optimiser_steps(checkpoint->optimiser, &step_count);
    fkp_text state;
    fkp_text_begin(&state, memory);
    position_to_words(checkpoint->position, words);
    append_words(&state, words, WORDS);
    append_words(&state, steps, step_count);
    facekp_status status = fkp_text_check(&state, error);
    if (status == FACEKP_OK) status = write_tensors(memory, path, checkpoint, fkp_text_get(&state), error);
    fkp_text_free(&state);
    return status;
}

/* ---- reading ---- */

static facekp_status read_tensor(const fkp_weights *weights, const char *name, size_t count, float *into,
                                 fkp_error *error) {
    const fkp_tensor *tensor = fkp_weights_find(weights, name);
    if (tensor == NULL || tensor->count != count || tensor->dtype != FKP_F32)
        return fkp_fail(error, FACEKP_ERROR_TENSOR, "tensor %s is %s; %zu float32 numbers are needed", name,
                        tensor == NULL ? "missing" : "of another size or type", count);
    fkp_tensor_read(tensor, into);
    return FACEKP_OK;
}

/* Names the first line in which two descriptions differ. */
static facekp_status compare_options(const char *saved, const char *given, fkp_error *error) {
    while (*saved != '\0' || *given != '\0') {
        size_t a = strcspn(saved, "\n"), b = strcspn(given, "\n");
        if (a != b || memcmp(saved, given, a) != 0)
            return fkp_fail(error, FACEKP_ERROR_STATE,
                            "the checkpoint is of a training with \"%.*s\", now there is \"%.*s\"; use the "
                            "same options, or another checkpoint file",
                            (int)fkp_min_size(a, 80), saved, (int)fkp_min_size(b, 80), given);
        saved += a + (saved[a] == '\n');
        given += b + (given[b] == '\n');
    }
    return FACEKP_OK;
}

static facekp_status read_state(const fkp_weights *weights, const fkp_checkpoint *c, fkp_error *error) {
    const char *state = fkp_weights_metadata(weights, "state");
    size_t step_count;
    uint64_t *steps = fkp_optimiser_steps(c->optimiser, &step_count), words[WORDS];
    if (state == NULL || strlen(state) != 16 * (WORDS + step_count) || !read_words(state, words, WORDS) ||
        !read_words(state + 16 * WORDS, steps, step_count))
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "the checkpoint's state is damaged");
    fkp_position position = position_from_words(words);
    if (position.data != c->position->data)
        return fkp_fail(error, FACEKP_ERROR_STATE,
                        "the checkpoint is of a training on other data; use the same files, or another "
                        "checkpoint file");
    *c->position = position;
    return FACEKP_OK;
}

static facekp_status read_arrays(const fkp_weights *weights, const fkp_checkpoint *c, fkp_error *error) {
    facekp_status status = FACEKP_OK;
    for (int32_t i = 0; i < c->network->parameter_count && status == FACEKP_OK; i++) {
        const fkp_parameter *p = &c->network->parameters[i];
        status = read_tensor(weights, p->name, p->count, c->parameters + p->offset, error);
    }
    for (size_t i = 0; i < fkp_optimiser_state_count(c->optimiser) && status == FACEKP_OK; i++) {
        char name[FKP_NAME_BYTES];
        fkp_optimiser_state array = fkp_optimiser_state_at(c->optimiser, i);
        array_name(name, array.name);
        status = read_tensor(weights, name, array.count, array.data, error);
    }
    return status;
}

static facekp_status read_all(const fkp_weights *weights, const fkp_checkpoint *c, fkp_error *error) {
    const char *format = fkp_weights_metadata(weights, "facekp_checkpoint");
    const char *architecture = fkp_weights_metadata(weights, "architecture");
    const char *options = fkp_weights_metadata(weights, "options");
    const char *ours = fkp_architecture_name(c->network->architecture);
    if (format == NULL || strcmp(format, FORMAT) != 0 || architecture == NULL || options == NULL)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "this is no checkpoint of this version");
    if (strcmp(architecture, ours) != 0)
        return fkp_fail(error, FACEKP_ERROR_STATE, "the checkpoint is of architecture %.40s, not %s",
                        architecture, ours);
    facekp_status status = compare_options(options, c->options, error);
    if (status == FACEKP_OK) status = read_arrays(weights, c, error);
    return status == FACEKP_OK ? read_state(weights, c, error) : status;
}

facekp_status fkp_checkpoint_read(const fkp_memory *memory, const char *path,
                                  const fkp_checkpoint *checkpoint, fkp_error *error) {
    fkp_weights *weights;
    facekp_status status = fkp_weights_open(memory, path, &weights, error);
    if (status == FACEKP_OK) {
        status = read_all(weights, checkpoint, error);
        fkp_weights_close(weights);
    }
    return status == FACEKP_OK ? FACEKP_OK : fkp_fail_in(error, path);
}
