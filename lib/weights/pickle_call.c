#include "weights/pickle_call.h"

#include <string.h>

#include "base/checked.h"

fkp_value *fkp_value_new(fkp_arena *arena, fkp_value_kind kind) {
    fkp_value *value = fkp_arena_allocate(arena, 1, sizeof *value);
    if (value != NULL) value->kind = kind;
    return value;
}

bool fkp_value_is_string(const fkp_value *value, const char *text) {
    return value != NULL && value->kind == FKP_VALUE_STRING && strcmp(value->text, text) == 0 &&
           value->length == strlen(text);
}

const fkp_value *fkp_dict_find(const fkp_value *dict, const char *key) {
    if (dict->kind != FKP_VALUE_DICT) return NULL;
    for (size_t i = dict->count; i >= 2; i -= 2)
        if (fkp_value_is_string(dict->items[i - 2], key)) return dict->items[i - 1];
    return NULL;
}

bool fkp_storage_dtype(const fkp_value *global, fkp_dtype *dtype) {
    static const struct {
        const char *name;
        fkp_dtype dtype;
    } types[] = {{"FloatStorage", FKP_F32},  {"HalfStorage", FKP_F16}, {"BFloat16Storage", FKP_BF16},
                 {"DoubleStorage", FKP_F64}, {"LongStorage", FKP_I64}, {"IntStorage", FKP_I32},
                 {"ShortStorage", FKP_I16},  {"CharStorage", FKP_I8},  {"ByteStorage", FKP_U8},
                 {"BoolStorage", FKP_BOOL}};
    if (global->kind != FKP_VALUE_GLOBAL) return false;
    const char *name = global->text;
    if (strncmp(name, "torch.", 6) != 0) return false;
    name += 6;
    if (strncmp(name, "cuda.", 5) == 0) name += 5;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(name, types[i].name) == 0) {
            *dtype = types[i].dtype;
            return true;
        }
    return false;
}

static facekp_status no_memory(const fkp_arena *arena, fkp_error *error) {
    return fkp_arena_failure(arena, "the values of a pickle", error);
}

static facekp_status make(fkp_arena *arena, fkp_value_kind kind, const char *text, fkp_value **result,
                          fkp_error *error) {
    *result = fkp_value_new(arena, kind);
    if (*result == NULL) return no_memory(arena, error);
    (*result)->text = text;
    return FACEKP_OK;
}

facekp_status fkp_value_tensor(fkp_arena *arena, const fkp_storage *storage, int64_t offset, size_t rank,
                               const int64_t *sizes, const int64_t *strides, fkp_value **value,
                               fkp_error *error) {
    if (rank > FKP_MAX_RANK)
        return make(arena, FKP_VALUE_OPAQUE, "a tensor of many dimensions", value, error);
    facekp_status status = make(arena, FKP_VALUE_TENSOR, NULL, value, error);
    if (status != FACEKP_OK) return status;
    fkp_view *view = fkp_arena_allocate(arena, 1, sizeof *view);
    if (view == NULL) return no_memory(arena, error);
    bool negative = offset < 0;
    view->storage = storage;
    view->offset = (uint64_t)offset;
    view->rank = (int32_t)rank;
    for (size_t i = 0; i < rank; i++) {
        negative |= sizes[i] < 0 || strides[i] < 0;
        view->shape[i] = (size_t)sizes[i];
        view->strides[i] = (size_t)strides[i];
    }
    if (negative)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "a tensor has a negative offset, size or stride");
    (*value)->view = view;
    return FACEKP_OK;
}

/* Up to FKP_MAX_RANK integers of a tuple (torch.Size gives one too); false if it holds anything else. */
static bool take_integers(const fkp_value *tuple, int64_t *numbers) {
    if (tuple->kind != FKP_VALUE_TUPLE && tuple->kind != FKP_VALUE_LIST) return false;
    for (size_t i = 0; i < tuple->count; i++) {
        if (tuple->items[i]->kind != FKP_VALUE_INTEGER) return false;
        if (i < FKP_MAX_RANK) numbers[i] = tuple->items[i]->integer;
    }
    return true;
}

/* _rebuild_tensor(storage, offset, size, stride), and _v2 with requires_grad and hooks after them. */
static facekp_status rebuild_tensor(fkp_arena *arena, const fkp_value *arguments, fkp_value **result,
                                    fkp_error *error) {
    int64_t sizes[FKP_MAX_RANK] = {0}, strides[FKP_MAX_RANK] = {0};
    fkp_value *const *items = arguments->items;
    if (arguments->count >= 4 && items[0]->kind == FKP_VALUE_OPAQUE)
        return make(arena, FKP_VALUE_OPAQUE, items[0]->text, result, error);
    if (arguments->count < 4 || items[0]->kind != FKP_VALUE_STORAGE || items[1]->kind != FKP_VALUE_INTEGER ||
        !take_integers(items[2], sizes) || !take_integers(items[3], strides) ||
        items[2]->count != items[3]->count)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "a tensor is described in no known way");
    return fkp_value_tensor(arena, items[0]->storage, items[1]->integer, items[2]->count, sizes, strides,
                            result, error);
}

/* OrderedDict() or OrderedDict([[key, value], …]), as Python 2 wrote it. */
static facekp_status make_dict(fkp_arena *arena, const fkp_value *arguments, fkp_value **result,
                               fkp_error *error) {
    facekp_status status = make(arena, FKP_VALUE_DICT, NULL, result, error);
    if (status != FACEKP_OK || arguments->count == 0) return status;
    const fkp_value *pairs = arguments->items[0];
    if (pairs->kind != FKP_VALUE_LIST && pairs->kind != FKP_VALUE_TUPLE) return FACEKP_OK;
    size_t capacity;
    if (!fkp_checked_multiply(pairs->count, 2, &capacity)) return no_memory(arena, error);
    fkp_value *dict = *result;
    dict->items = fkp_arena_allocate(arena, capacity, sizeof *dict->items);
    if (dict->items == NULL) return no_memory(arena, error);
    dict->capacity = capacity;
    for (size_t i = 0; i < pairs->count; i++) {
        const fkp_value *pair = pairs->items[i];
        if ((pair->kind != FKP_VALUE_LIST && pair->kind != FKP_VALUE_TUPLE) || pair->count != 2)
            return fkp_fail(error, FACEKP_ERROR_FORMAT, "an OrderedDict is made of what are no pairs");
        dict->items[dict->count++] = pair->items[0];
        dict->items[dict->count++] = pair->items[1];
    }
    return FACEKP_OK;
}

/* _rebuild_parameter(tensor, requires_grad, hooks): the tensor. torch.Size(sizes): the sizes. */
static facekp_status first_argument(fkp_arena *arena, const fkp_value *arguments, fkp_value **result,
                                    fkp_error *error) {
    if (arguments->count == 0) return make(arena, FKP_VALUE_OPAQUE, "an empty call", result, error);
    *result = arguments->items[0];
    return FACEKP_OK;
}

/* torch.nn.Parameter, made empty and given its state afterwards. */
static facekp_status make_parameter(fkp_arena *arena, const fkp_value *arguments, fkp_value **result,
                                    fkp_error *error) {
    if (arguments->count != 0) return first_argument(arena, arguments, result, error);
    return make(arena, FKP_VALUE_PARAMETER, NULL, result, error);
}

facekp_status fkp_pickle_call(fkp_arena *arena, const fkp_value *callable, const fkp_value *arguments,
                              fkp_value **result, fkp_error *error) {
    static const struct {
        const char *name;
        facekp_status (*meaning)(fkp_arena *arena, const fkp_value *arguments, fkp_value **result,
                                 fkp_error *error);
    } known[] = {
        {"torch._utils._rebuild_tensor_v2", rebuild_tensor},
        {"torch._utils._rebuild_tensor", rebuild_tensor},
        {"torch._utils._rebuild_parameter", first_argument},
        {"torch.nn.parameter.Parameter", make_parameter},
        {"torch.Size", first_argument},
        {"collections.OrderedDict", make_dict},
        {"builtins.dict", make_dict},
        {"__builtin__.dict", make_dict},
    };
    if (callable->kind != FKP_VALUE_GLOBAL)
        return make(arena, FKP_VALUE_OPAQUE, "the result of a call", result, error);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(callable->text, known[i].name) == 0)
            return known[i].meaning(arena, arguments, result, error);
    return make(arena, FKP_VALUE_OPAQUE, callable->text, result, error);
}
