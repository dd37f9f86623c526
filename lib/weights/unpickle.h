/* Pickles as data. A pickle is a program for a stack machine; this one knows the opcodes and the globals that
 * a state dict needs and runs nothing: whatever else a pickle builds becomes an opaque value, which is an
 * error only if a tensor that is wanted hangs on it. */
#ifndef FKP_UNPICKLE_H
#define FKP_UNPICKLE_H

#include "base/arena.h"
#include "weights/weights.h"

typedef enum fkp_value_kind {
    FKP_VALUE_NONE,
    FKP_VALUE_BOOLEAN, /* integer: 0 or 1 */
    FKP_VALUE_INTEGER,
    FKP_VALUE_STRING, /* text, length; also byte strings */
    FKP_VALUE_TUPLE,  /* items, count */
    FKP_VALUE_LIST,
    FKP_VALUE_DICT,   /* items: key, value, …; a key set twice stands twice, and the last one holds */
    FKP_VALUE_GLOBAL, /* text: "module.name" */
    FKP_VALUE_STORAGE,
    FKP_VALUE_TENSOR,
    FKP_VALUE_PARAMETER, /* torch.nn.Parameter before its state is set */
    FKP_VALUE_OPAQUE     /* text: what it was, for messages */
} fkp_value_kind;

/* Elements of one type, shared by tensors. Its bytes may become known after the pickle is read. */
typedef struct fkp_storage {
    const char *key;
    fkp_dtype dtype;
    uint64_t count;                 /* elements */
    const uint8_t *data;            /* NULL: not known (yet) */
    const struct fkp_storage *root; /* of a view: the storage that it begins `offset` elements into */
    uint64_t offset;
} fkp_storage;

/* A tensor: elements of a storage. Numbers are not negative, but nothing is known of what they reach. */
typedef struct fkp_view {
    const fkp_storage *storage;
    uint64_t offset;
    int32_t rank;
    size_t shape[FKP_MAX_RANK], strides[FKP_MAX_RANK];
} fkp_view;

typedef struct fkp_value {
    fkp_value_kind kind;
    int64_t integer;
    const char *text; /* NUL-terminated */
    size_t length;    /* of the text; it may hold NULs of its own */
    struct fkp_value **items;
    size_t count, capacity; /* items in use, twice as many as a dict has entries */
    const fkp_storage *storage;
    const fkp_view *view;
} fkp_value;

/* Turns a persistent id into a value: a storage or a tensor. The format's reader knows what ids mean. */
typedef facekp_status (*fkp_persistent_load)(void *user, const fkp_value *id, fkp_value **value,
                                             fkp_error *error);

/* Reads one pickle from the beginning of `data`; *used says how long it was. Values live in the arena, texts
 * included. FACEKP_ERROR_LIMIT when it needs more than the arena may hold, deeper stacks or larger memo
 * tables than any real file. `load` NULL: persistent ids are refused. */
facekp_status fkp_unpickle(fkp_arena *arena, const uint8_t *data, size_t size, fkp_persistent_load load,
                           void *user, fkp_value **value, size_t *used, fkp_error *error);

fkp_value *fkp_value_new(fkp_arena *arena, fkp_value_kind kind); /* NULL: no memory */
/* A tensor or, where the rank is above FKP_MAX_RANK, an opaque value. FACEKP_ERROR_FORMAT for a negative
 * number. */
facekp_status fkp_value_tensor(fkp_arena *arena, const fkp_storage *storage, int64_t offset, size_t rank,
                               const int64_t *sizes, const int64_t *strides, fkp_value **value,
                               fkp_error *error);
bool fkp_value_is_string(const fkp_value *value, const char *text);
/* The value of a string key, the last one set; NULL if there is none or `dict` is no dict. */
const fkp_value *fkp_dict_find(const fkp_value *dict, const char *key);
/* "torch.FloatStorage" and its kin, also of torch.cuda. */
bool fkp_storage_dtype(const fkp_value *global, fkp_dtype *dtype);

#endif
