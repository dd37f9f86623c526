/* Reading safetensors: u64 N, N bytes of JSON, then the data (huggingface/safetensors, README). The checks
 * are those of the reference reader and the text's own: tensors tile the data with no hole and no overlap, no
 * key stands twice. No alignment is promised, so nothing here relies on one. */
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "base/sort.h"
#include "weights/container.h"

#define PREFIX_BYTES 8
#define MOST_HEADER_BYTES 100000000 /* the reference's limit */

typedef struct file_header {
    fkp_json *json;
    size_t data_begin, data_size;
} file_header;

bool fkp_is_safetensors(const uint8_t *data, size_t size) {
    return size > PREFIX_BYTES && data[PREFIX_BYTES] == '{';
}

static facekp_status parse_header(const fkp_weights *weights, file_header *header, fkp_error *error) {
    uint64_t length = fkp_load64(weights->data);
    if (length > MOST_HEADER_BYTES)
        return fkp_fail(error, FACEKP_ERROR_LIMIT, "the header claims %llu bytes; at most %d are allowed",
                        (unsigned long long)length, MOST_HEADER_BYTES);
    if (!fkp_range_inside(PREFIX_BYTES, length, weights->size))
        return fkp_fail(error, FACEKP_ERROR_TRUNCATED,
                        "the header claims %llu bytes, but the file has only %zu", (unsigned long long)length,
                        weights->size);
    header->data_begin = PREFIX_BYTES + (size_t)length;
    header->data_size = weights->size - header->data_begin;
    return fkp_json_parse(&weights->memory, (const char *)weights->data + PREFIX_BYTES, (size_t)length,
                          &header->json, error);
}

static facekp_status read_metadata(fkp_weights *weights, const fkp_json *json, const fkp_json_value *object,
                                   fkp_error *error) {
    if (object->kind != FKP_JSON_OBJECT)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "__metadata__ is not an object");
    for (const fkp_json_value *entry = fkp_json_first(json, object); entry != NULL;
         entry = fkp_json_next(json, entry)) {
        if (entry->kind != FKP_JSON_STRING)
            return fkp_fail(error, FACEKP_ERROR_FORMAT, "__metadata__: the value of \"%.200s\" is no string",
                            entry->key);
        facekp_status status = fkp_weights_add_metadata(weights, entry->key, entry->text, error);
        if (status != FACEKP_OK) return status;
    }
    return FACEKP_OK;
}

static facekp_status read_dtype(const fkp_json *json, const fkp_json_value *entry, fkp_dtype *dtype,
                                fkp_error *error) {
    const fkp_json_value *value = fkp_json_find(json, entry, "dtype");
    if (value == NULL || value->kind != FKP_JSON_STRING)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "%.200s: its dtype is missing", entry->key);
    for (int i = 0; i < FKP_DTYPES; i++)
        if (strcmp(value->text, fkp_dtype_name((fkp_dtype)i)) == 0) {
            *dtype = (fkp_dtype)i;
            return FACEKP_OK;
        }
    return fkp_fail(error, FACEKP_ERROR_UNSUPPORTED, "%.200s: elements of type %.40s are not supported",
                    entry->key, value->text);
}

static facekp_status read_shape(const fkp_json *json, const fkp_json_value *entry, fkp_tensor *tensor,
                                fkp_error *error) {
    const fkp_json_value *shape = fkp_json_find(json, entry, "shape");
    if (shape == NULL || shape->kind != FKP_JSON_ARRAY)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "%.200s: its shape is missing", entry->key);
    if (shape->count > FKP_MAX_RANK)
        return fkp_fail(error, FACEKP_ERROR_LIMIT, "%.200s: %u dimensions; at most %d are allowed",
                        entry->key, (unsigned)shape->count, FKP_MAX_RANK);
    tensor->rank = 0;
    for (const fkp_json_value *side = fkp_json_first(json, shape); side != NULL;
         side = fkp_json_next(json, side)) {
        uint64_t value;
        if (!fkp_json_unsigned(side, &value) || value > SIZE_MAX)
            return fkp_fail(error, FACEKP_ERROR_FORMAT, "%.200s: its shape holds no size", entry->key);
        tensor->shape[tensor->rank++] = (size_t)value;
    }
    return FACEKP_OK;
}

static facekp_status read_offsets(const fkp_json *json, const fkp_json_value *entry,
                                  const file_header *header, size_t *begin, size_t *size, fkp_error *error) {
    const fkp_json_value *offsets = fkp_json_find(json, entry, "data_offsets");
    uint64_t first, last;
    if (offsets == NULL || offsets->kind != FKP_JSON_ARRAY || offsets->count != 2 ||
        !fkp_json_unsigned(fkp_json_first(json, offsets), &first) ||
        !fkp_json_unsigned(fkp_json_next(json, fkp_json_first(json, offsets)), &last) || first > last)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "%.200s: its data_offsets are missing or not in order",
                        entry->key);
    if (last > header->data_size)
        return fkp_fail(error, FACEKP_ERROR_TRUNCATED,
                        "%.200s: its data ends at byte %llu of %zu; the file is cut or damaged", entry->key,
                        (unsigned long long)last, header->data_size);
    *begin = (size_t)first;
    *size = (size_t)(last - first);
    return FACEKP_OK;
}

static facekp_status read_tensor(fkp_weights *weights, const file_header *header, const fkp_json_value *entry,
                                 fkp_error *error) {
    const fkp_json *json = header->json;
    fkp_tensor tensor = {0};
    size_t begin = 0, size = 0, bytes;
    if (entry->kind != FKP_JSON_OBJECT)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "%.200s: its description is no object", entry->key);
    facekp_status status = read_dtype(json, entry, &tensor.dtype, error);
    if (status == FACEKP_OK) status = read_shape(json, entry, &tensor, error);
    if (status == FACEKP_OK) status = read_offsets(json, entry, header, &begin, &size, error);
    if (status != FACEKP_OK) return status;
    if (!fkp_shape_count(tensor.shape, tensor.rank, &tensor.count) ||
        !fkp_checked_multiply(tensor.count, fkp_dtype_bytes(tensor.dtype), &bytes) || bytes != size)
        return fkp_fail(error, FACEKP_ERROR_FORMAT,
                        "%.200s: its shape and dtype do not make the %zu bytes of its data_offsets",
                        entry->key, size);
    fkp_dense_strides(&tensor);
    tensor.data = weights->data + header->data_begin + begin;
    return fkp_weights_add(weights, entry->key, &tensor, size, error);
}

static size_t tensor_bytes(const fkp_tensor *tensor) {
    return tensor->count * fkp_dtype_bytes(tensor->dtype);
}

/* By place; of two that begin together the empty one first. */
static int compare_places(const void *context, uint32_t a, uint32_t b) {
    const fkp_tensor *first = (const fkp_tensor *)context + a, *second = (const fkp_tensor *)context + b;
    if (first->data != second->data) return first->data < second->data ? -1 : 1;
    size_t first_bytes = tensor_bytes(first), second_bytes = tensor_bytes(second);
    return first_bytes < second_bytes ? -1 : first_bytes > second_bytes;
}

static facekp_status check_tiling(fkp_weights *weights, const file_header *header, fkp_error *error) {
    uint32_t *order = weights->by_name; /* free until the names are sorted */
    for (size_t i = 0; i < weights->count; i++) order[i] = (uint32_t)i;
    fkp_sort(order, weights->count, compare_places, weights->tensors);
    const uint8_t *data = weights->data + header->data_begin;
    size_t end = 0;
    for (size_t i = 0; i < weights->count; i++) {
        const fkp_tensor *tensor = &weights->tensors[order[i]];
        size_t begin = (size_t)(tensor->data - data);
        if (begin != end)
            return fkp_fail(error, FACEKP_ERROR_FORMAT, "%.200s: its data begins at byte %zu, %s at %zu",
                            tensor->name, begin,
                            begin < end ? "inside the data before it, which ends"
                                        : "after a hole; the data before it ends",
                            end);
        end += tensor_bytes(tensor);
    }
    if (end != header->data_size)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "%zu bytes follow the last tensor",
                        header->data_size - end);
    return FACEKP_OK;
}

static facekp_status read_entries(fkp_weights *weights, const file_header *header, fkp_error *error) {
    const fkp_json *json = header->json;
    const fkp_json_value *root = fkp_json_root(json);
    for (const fkp_json_value *entry = fkp_json_first(json, root); entry != NULL;
         entry = fkp_json_next(json, entry)) {
        facekp_status status = strcmp(entry->key, "__metadata__") == 0
                                   ? read_metadata(weights, json, entry, error)
                                   : read_tensor(weights, header, entry, error);
        if (status != FACEKP_OK) return status;
    }
    return check_tiling(weights, header, error);
}

facekp_status fkp_safetensors_read(fkp_weights *weights, fkp_error *error) {
    file_header header = {0};
    facekp_status status = parse_header(weights, &header, error);
    if (status == FACEKP_OK) status = read_entries(weights, &header, error);
    fkp_json_free(header.json);
    return status;
}
