/* Finding the state dict in what a checkpoint holds: the dict itself, or a dict that has it beside an
 * optimiser, an epoch, arguments. */
#include <string.h>

#include "base/checked.h"
#include "weights/torch.h"

#define MOST_NESTING 4

/* In the order of preference; a teacher is the average of its students (DINO). */
static const char *const wrappers[] = {"state_dict", "model_state_dict", "model_state", "model",
                                       "teacher",    "student",          "network",     "net"};

static bool holds_tensors(const fkp_value *dict) {
    for (size_t i = 0; i + 1 < dict->count; i += 2)
        if (dict->items[i]->kind == FKP_VALUE_STRING && dict->items[i + 1]->kind == FKP_VALUE_TENSOR)
            return true;
    return false;
}

static const fkp_value *find_state_dict(const fkp_value *value, unsigned depth) {
    if (value == NULL || value->kind != FKP_VALUE_DICT || depth == MOST_NESTING) return NULL;
    for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++) {
        const fkp_value *found = find_state_dict(fkp_dict_find(value, wrappers[i]), depth + 1);
        if (found != NULL) return found;
    }
    return holds_tensors(value) ? value : NULL;
}

static facekp_status nothing_found(const fkp_value *root, fkp_error *error) {
    if (root->kind == FKP_VALUE_OPAQUE)
        return fkp_fail(error, FACEKP_ERROR_UNSUPPORTED,
                        "the file holds %.100s, not a state dict: save model.state_dict()", root->text);
    return fkp_fail(error, FACEKP_ERROR_FORMAT,
                    "no state dict found: neither tensors by name nor a dict of them under state_dict, "
                    "model, teacher, student or network");
}

static facekp_status add_tensor(fkp_weights *weights, const fkp_value *key, const fkp_view *view,
                                fkp_error *error) {
    const fkp_storage *storage = view->storage;
    if (strlen(key->text) != key->length)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "a tensor's name holds a NUL: %.100s", key->text);
    if (storage->data == NULL)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "%.200s: its storage %.60s is not in the file", key->text,
                        storage->key);
    if (view->offset > storage->count)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "%.200s: begins outside its storage", key->text);
    fkp_tensor tensor = {.dtype = storage->dtype, .rank = view->rank};
    memcpy(tensor.shape, view->shape, sizeof tensor.shape);
    memcpy(tensor.strides, view->strides, sizeof tensor.strides);
    size_t width = fkp_dtype_bytes(storage->dtype); /* the storage's bytes are known to fit a size_t */
    tensor.data = storage->data + (size_t)view->offset * width;
    return fkp_weights_add(weights, key->text, &tensor, (size_t)(storage->count - view->offset) * width,
                           error);
}

facekp_status fkp_checkpoint_add(fkp_weights *weights, const fkp_value *root, fkp_error *error) {
    const fkp_value *dict = find_state_dict(root, 0);
    if (dict == NULL) return nothing_found(root, error);
    for (size_t i = 0; i + 1 < dict->count; i += 2) {
        const fkp_value *key = dict->items[i], *value = dict->items[i + 1];
        if (key->kind != FKP_VALUE_STRING || value->kind != FKP_VALUE_TENSOR) continue;
        facekp_status status = add_tensor(weights, key, value->view, error);
        if (status != FACEKP_OK) return status;
    }
    return FACEKP_OK;
}
