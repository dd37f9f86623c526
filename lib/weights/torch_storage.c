#include <string.h>

#include "base/checked.h"
#include "weights/torch.h"

facekp_status fkp_storage_table_begin(fkp_storage_table *table, fkp_arena *arena, fkp_error *error) {
    table->count = 0;
    table->storages = fkp_arena_allocate(arena, FKP_MAX_STORAGES, sizeof *table->storages);
    return table->storages == NULL ? fkp_arena_failure(arena, "the list of storages", error) : FACEKP_OK;
}

fkp_storage *fkp_storage_find(const fkp_storage_table *table, const char *key) {
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->storages[i].key, key) == 0) return &table->storages[i];
    return NULL;
}

facekp_status fkp_storage_add(fkp_storage_table *table, const fkp_storage *storage, fkp_storage **added,
                              fkp_error *error) {
    if (table->count == FKP_MAX_STORAGES)
        return fkp_fail(error, FACEKP_ERROR_LIMIT, "more than %d storages", FKP_MAX_STORAGES);
    *added = &table->storages[table->count++];
    **added = *storage;
    return FACEKP_OK;
}

facekp_status fkp_parse_storage_id(const fkp_value *id, fkp_storage *storage, bool *known, fkp_error *error) {
    if (id->kind != FKP_VALUE_TUPLE || id->count < 5 || !fkp_value_is_string(id->items[0], "storage") ||
        id->items[1]->kind != FKP_VALUE_GLOBAL || id->items[2]->kind != FKP_VALUE_STRING ||
        id->items[4]->kind != FKP_VALUE_INTEGER || id->items[4]->integer < 0)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "a storage is described in no known way");
    *storage = (fkp_storage){0};
    storage->key = id->items[2]->text;
    storage->count = (uint64_t)id->items[4]->integer;
    *known = fkp_storage_dtype(id->items[1], &storage->dtype);
    return FACEKP_OK;
}

facekp_status fkp_storage_value(fkp_arena *arena, const fkp_storage *storage, fkp_value **value,
                                fkp_error *error) {
    *value = fkp_value_new(arena, storage == NULL ? FKP_VALUE_OPAQUE : FKP_VALUE_STORAGE);
    if (*value == NULL) return fkp_arena_failure(arena, "the values of a pickle", error);
    (*value)->storage = storage;
    if (storage == NULL) (*value)->text = "a storage of unknown type";
    return FACEKP_OK;
}

facekp_status fkp_storage_bytes(const fkp_storage *storage, size_t *bytes, fkp_error *error) {
    if (storage->count > SIZE_MAX ||
        !fkp_checked_multiply((size_t)storage->count, fkp_dtype_bytes(storage->dtype), bytes))
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "storage %.60s: larger than any memory", storage->key);
    return FACEKP_OK;
}
