/* A weights file as its tensors and metadata, whatever the format. */
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "weights/container.h"

/* Names and metadata of a file; far above what FKP_MAX_TENSORS real names need. */
#define STRING_BYTES ((size_t)32 << 20)
/* Strides and shared storages may make a tensor larger than its bytes. All together may be this many times
 * the file: room for any tied weight, none for a bomb. */
#define MOST_EXPANSION 8

typedef struct format {
    const char *name;
    bool (*recognizes)(const uint8_t *data, size_t size);
    facekp_status (*read)(fkp_weights *weights, fkp_error *error);
} format;

static const format formats[] = {
    {"torch zip", fkp_is_torch_zip, fkp_torch_zip_read},
    {"torch legacy", fkp_is_torch_legacy, fkp_torch_legacy_read},
    {"torch tar", fkp_is_torch_tar, fkp_torch_tar_read},
    {"safetensors", fkp_is_safetensors, fkp_safetensors_read},
};

/* True when the last element that the strides reach lies inside `available` bytes. */
static bool elements_inside(const fkp_tensor *tensor, size_t available) {
    size_t last = 0, step, bytes;
    if (tensor->count == 0) return true;
    for (int32_t i = 0; i < tensor->rank; i++)
        if (!fkp_checked_multiply(tensor->shape[i] - 1, tensor->strides[i], &step) ||
            !fkp_checked_add(last, step, &last))
            return false;
    return fkp_checked_add(last, 1, &last) &&
           fkp_checked_multiply(last, fkp_dtype_bytes(tensor->dtype), &bytes) && bytes <= available;
}

static facekp_status check_name(const char *name, fkp_error *error) {
    size_t length = strlen(name);
    if (length > FKP_MAX_TENSOR_NAME)
        return fkp_fail(error, FACEKP_ERROR_LIMIT, "a tensor's name is longer than %d bytes: %.60s…",
                        FKP_MAX_TENSOR_NAME, name);
    for (size_t i = 0, step; i < length; i += step)
        if ((step = fkp_utf8_sequence(name + i, length - i)) == 0)
            return fkp_fail(error, FACEKP_ERROR_FORMAT, "a tensor's name is not UTF-8");
    return FACEKP_OK;
}

facekp_status fkp_weights_add(fkp_weights *weights, const char *name, const fkp_tensor *tensor,
                              size_t available, fkp_error *error) {
    facekp_status status = check_name(name, error);
    if (status != FACEKP_OK) return status;
    if (weights->count == FKP_MAX_TENSORS)
        return fkp_fail(error, FACEKP_ERROR_LIMIT, "more than %d tensors", FKP_MAX_TENSORS);
    fkp_tensor *added = &weights->tensors[weights->count];
    *added = *tensor;
    size_t bytes;
    if (!fkp_shape_count(added->shape, added->rank, &added->count) ||
        !fkp_checked_multiply(added->count, fkp_dtype_bytes(added->dtype), &bytes))
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "%.200s: its shape is larger than any memory", name);
    if (!elements_inside(added, available))
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "%.200s: its elements reach outside its storage", name);
    added->name = fkp_arena_copy(&weights->strings, name, strlen(name));
    if (added->name == NULL) return fkp_arena_failure(&weights->strings, "the names of tensors", error);
    weights->count++;
    return FACEKP_OK;
}

facekp_status fkp_weights_add_metadata(fkp_weights *weights, const char *key, const char *value,
                                       fkp_error *error) {
    if (weights->metadata_count == FKP_MAX_METADATA)
        return fkp_fail(error, FACEKP_ERROR_LIMIT, "more than %d metadata entries", FKP_MAX_METADATA);
    if (strlen(key) > FKP_MAX_TENSOR_NAME || strlen(value) > FKP_MAX_METADATA_VALUE)
        return fkp_fail(error, FACEKP_ERROR_LIMIT, "metadata %.60s: longer than %d bytes", key,
                        FKP_MAX_METADATA_VALUE);
    fkp_metadata *added = &weights->metadata[weights->metadata_count];
    added->key = fkp_arena_copy(&weights->strings, key, strlen(key));
    added->value = fkp_arena_copy(&weights->strings, value, strlen(value));
    if (added->key == NULL || added->value == NULL)
        return fkp_arena_failure(&weights->strings, "the metadata", error);
    weights->metadata_count++;
    return FACEKP_OK;
}

static facekp_status check_expansion(const fkp_weights *weights, fkp_error *error) {
    size_t total = 0, bytes;
    for (size_t i = 0; i < weights->count; i++) {
        const fkp_tensor *tensor = &weights->tensors[i];
        bytes = tensor->count * fkp_dtype_bytes(tensor->dtype);
        if (!fkp_checked_add(total, bytes, &total) || total / MOST_EXPANSION > weights->size)
            return fkp_fail(error, FACEKP_ERROR_LIMIT,
                            "%.200s: the tensors up to this one expand to more than %d times the file",
                            tensor->name, MOST_EXPANSION);
    }
    return FACEKP_OK;
}

static facekp_status read_contents(fkp_weights *weights, fkp_error *error) {
    if (weights->size == 0) return fkp_fail(error, FACEKP_ERROR_TRUNCATED, "the file is empty");
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (!formats[i].recognizes(weights->data, weights->size)) continue;
        weights->format = formats[i].name;
        facekp_status status = formats[i].read(weights, error);
        if (status == FACEKP_OK) status = check_expansion(weights, error);
        return status == FACEKP_OK ? fkp_weights_index(weights, error) : status;
    }
    return fkp_fail(error, FACEKP_ERROR_FORMAT,
                    "neither safetensors nor a PyTorch checkpoint (zip, legacy or tar)");
}

static fkp_weights *create(const fkp_memory *memory) {
    fkp_weights *weights = fkp_allocate(memory, 1, sizeof *weights);
    if (weights == NULL) return NULL;
    weights->memory = *memory;
    fkp_arena_begin(&weights->strings, memory, STRING_BYTES);
    weights->tensors = fkp_allocate_raw(memory, FKP_MAX_TENSORS, sizeof *weights->tensors);
    weights->by_name = fkp_allocate(memory, FKP_MAX_TENSORS, sizeof *weights->by_name);
    weights->marks = fkp_allocate(memory, FKP_MAX_TENSORS, sizeof *weights->marks);
    weights->metadata = fkp_allocate(memory, FKP_MAX_METADATA, sizeof *weights->metadata);
    if (weights->tensors != NULL && weights->by_name != NULL && weights->marks != NULL &&
        weights->metadata != NULL)
        return weights;
    fkp_weights_close(weights);
    return NULL;
}

void fkp_weights_close(fkp_weights *weights) {
    if (weights == NULL) return;
    fkp_memory memory = weights->memory;
    fkp_file_close(&weights->file);
    fkp_arena_free(&weights->strings);
    fkp_release(&memory, weights->tensors, FKP_MAX_TENSORS, sizeof *weights->tensors);
    fkp_release(&memory, weights->by_name, FKP_MAX_TENSORS, sizeof *weights->by_name);
    fkp_release(&memory, weights->marks, FKP_MAX_TENSORS, sizeof *weights->marks);
    fkp_release(&memory, weights->metadata, FKP_MAX_METADATA, sizeof *weights->metadata);
    fkp_release(&memory, weights, 1, sizeof *weights);
}

facekp_status fkp_weights_open(const fkp_memory *memory, const char *path, fkp_weights **result,
                               fkp_error *error) {
    *result = NULL;
    fkp_file file;
    facekp_status status = fkp_file_open(path, &file, error);
    if (status != FACEKP_OK) return status;
    fkp_weights *weights = create(memory);
    if (weights == NULL) {
        fkp_file_close(&file);
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "%.200s: no memory to read it", path);
    }
    weights->file = file;
    weights->data = file.data;
    weights->size = file.size;
    status = read_contents(weights, error);
    if (status != FACEKP_OK) {
        fkp_weights_close(weights);
        return status;
    }
    *result = weights;
    return FACEKP_OK;
}

facekp_status fkp_weights_open_memory(const fkp_memory *memory, const void *data, size_t size,
                                      fkp_weights **result, fkp_error *error) {
    *result = NULL;
    fkp_weights *weights = create(memory);
    if (weights == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "no memory to read the weights");
    weights->data = data;
    weights->size = size;
    facekp_status status = read_contents(weights, error);
    if (status != FACEKP_OK) {
        fkp_weights_close(weights);
        return status;
    }
    *result = weights;
    return FACEKP_OK;
}

const char *fkp_weights_format(const fkp_weights *weights) { return weights->format; }
size_t fkp_weights_count(const fkp_weights *weights) { return weights->count; }
const fkp_tensor *fkp_weights_tensor(const fkp_weights *weights, size_t index) {
    return &weights->tensors[index];
}

const fkp_tensor *fkp_weights_find(const fkp_weights *weights, const char *name) {
    size_t low = 0, high = weights->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const fkp_tensor *tensor = &weights->tensors[weights->by_name[middle]];
        int order = strcmp(tensor->name, name);
        if (order == 0) return tensor;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const char *fkp_weights_metadata(const fkp_weights *weights, const char *key) {
    for (size_t i = 0; i < weights->metadata_count; i++)
        if (strcmp(weights->metadata[i].key, key) == 0) return weights->metadata[i].value;
    return NULL;
}

static bool little_endian(void) {
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 1;
}

/* The bytes go to the end of the room and become floats from its beginning on: no number is written over
 * before it was read, since none is larger than a float. */
static facekp_status read_dense(const fkp_weights *weights, const fkp_tensor *tensor, size_t first,
                                size_t count, float *values, fkp_error *error) {
    size_t width = fkp_dtype_bytes(tensor->dtype);
    uint8_t *bytes = (uint8_t *)values + count * (sizeof *values - width);
    const uint8_t *source = tensor->data + first * width;
    if (weights->file.data == NULL) {
        memcpy(bytes, source, count * width);
    } else {
        facekp_status status =
            fkp_file_read(&weights->file, (size_t)(source - weights->data), count * width, bytes, error);
        if (status != FACEKP_OK) return status;
    }
    if (tensor->dtype != FKP_F32 || !little_endian())
        fkp_floats_from(tensor->dtype, bytes, width, count, values);
    return FACEKP_OK;
}

facekp_status fkp_weights_read(const fkp_weights *weights, const fkp_tensor *tensor, size_t first,
                               size_t count, float *values, fkp_error *error) {
    if (fkp_tensor_dense(tensor) && fkp_dtype_bytes(tensor->dtype) <= sizeof *values)
        return read_dense(weights, tensor, first, count, values, error);
    fkp_tensor_read_part(tensor, first, count, values);
    return FACEKP_OK;
}
