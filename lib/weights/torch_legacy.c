/* PyTorch's container up to 1.5: pickles in a row (a magic number, a version, facts of the system, the
 * object, the list of storage keys), then for each key, in the order of the list, the number of elements and
 * the elements. */
#include <string.h>

#include "base/checked.h"
#include "weights/torch.h"

#define PROTOCOL_VERSION 1001

typedef struct legacy_reader {
    fkp_arena arena;
    const uint8_t *data;
    size_t size, at;
    fkp_storage_table table;
    fkp_error *error;
} legacy_reader;

/* LONG1, ten bytes, 0x1950a86a20f9469cfc6c: behind the opcodes PROTO and, from protocol 4 on, FRAME. */
bool fkp_is_torch_legacy(const uint8_t *data, size_t size) {
    static const uint8_t magic[] = {0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    static const size_t places[] = {2, 11};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (size >= places[i] + sizeof magic && data[0] == 0x80 &&
            memcmp(data + places[i], magic, sizeof magic) == 0)
            return true;
    return false;
}

static facekp_status next_pickle(legacy_reader *reader, fkp_persistent_load load, fkp_value **value) {
    size_t used = 0;
    facekp_status status = fkp_unpickle(&reader->arena, reader->data + reader->at, reader->size - reader->at,
                                        load, reader, value, &used, reader->error);
    reader->at += used;
    return status;
}

/* A part of another storage: (key, offset, count). */
static facekp_status load_view(legacy_reader *reader, const fkp_value *id, const fkp_storage *root,
                               fkp_storage **view) {
    const fkp_value *const *items = (const fkp_value *const *)id->items;
    if (id->kind != FKP_VALUE_TUPLE || id->count < 3 || items[0]->kind != FKP_VALUE_STRING ||
        items[1]->kind != FKP_VALUE_INTEGER || items[2]->kind != FKP_VALUE_INTEGER || items[1]->integer < 0 ||
        items[2]->integer < 0 ||
        !fkp_range_inside((uint64_t)items[1]->integer, (uint64_t)items[2]->integer, root->count))
        return fkp_fail(reader->error, FACEKP_ERROR_FORMAT, "a part of storage %.60s lies outside it",
                        root->key);
    const fkp_storage storage = {items[0]->text, root->dtype, (uint64_t)items[2]->integer,
                                 NULL,           root,        (uint64_t)items[1]->integer};
    *view = fkp_storage_find(&reader->table, storage.key);
    if (*view == NULL) return fkp_storage_add(&reader->table, &storage, view, reader->error);
    if ((*view)->root != root || (*view)->offset != storage.offset || (*view)->count != storage.count)
        return fkp_fail(reader->error, FACEKP_ERROR_FORMAT, "storage %.60s is described in two ways",
                        storage.key);
    return FACEKP_OK;
}

static facekp_status load_storage(void *user, const fkp_value *id, fkp_value **value, fkp_error *error) {
    legacy_reader *reader = user;
    fkp_storage storage;
    bool known = false;
    facekp_status status = fkp_parse_storage_id(id, &storage, &known, error);
    if (status != FACEKP_OK) return status;
    if (!known) /* its bytes stand between those of the others, and their number is not known */
        return fkp_fail(error, FACEKP_ERROR_UNSUPPORTED, "storage %.60s: elements of type %.60s", storage.key,
                        id->items[1]->text);
    fkp_storage *found = fkp_storage_find(&reader->table, storage.key);
    if (found == NULL) status = fkp_storage_add(&reader->table, &storage, &found, error);
    if (status != FACEKP_OK) return status;
    if (found->dtype != storage.dtype || found->count != storage.count || found->root != NULL)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "storage %.60s is described in two ways", storage.key);
    if (id->count > 5 && id->items[5]->kind != FKP_VALUE_NONE)
        status = load_view(reader, id->items[5], found, &found);
    return status == FACEKP_OK ? fkp_storage_value(&reader->arena, found, value, error) : status;
}

static facekp_status check_preamble(legacy_reader *reader) {
    fkp_value *magic, *version, *system;
    facekp_status status = next_pickle(reader, NULL, &magic);
    if (status == FACEKP_OK) status = next_pickle(reader, NULL, &version);
    if (status == FACEKP_OK && (version->kind != FKP_VALUE_INTEGER || version->integer != PROTOCOL_VERSION))
        return fkp_fail(reader->error, FACEKP_ERROR_UNSUPPORTED, "not version %d of PyTorch's format",
                        PROTOCOL_VERSION);
    if (status == FACEKP_OK) status = next_pickle(reader, NULL, &system);
    if (status != FACEKP_OK) return status;
    const fkp_value *little = fkp_dict_find(system, "little_endian");
    if (little == NULL || little->kind != FKP_VALUE_BOOLEAN || little->integer != 1)
        return fkp_fail(reader->error, FACEKP_ERROR_UNSUPPORTED, "the numbers are not little-endian");
    return FACEKP_OK;
}

/* The elements of one storage: a count, which must be the pickle's, and the bytes. */
static facekp_status read_storage(legacy_reader *reader, const fkp_value *key) {
    if (key->kind != FKP_VALUE_STRING)
        return fkp_fail(reader->error, FACEKP_ERROR_FORMAT, "the list of storages holds what is no key");
    fkp_storage *storage = fkp_storage_find(&reader->table, key->text);
    if (storage == NULL || storage->root != NULL || storage->data != NULL)
        return fkp_fail(reader->error, FACEKP_ERROR_FORMAT,
                        "storage %.60s is listed twice, or no tensor has it", key->text);
    if (reader->size - reader->at < 8)
        return fkp_fail(reader->error, FACEKP_ERROR_TRUNCATED, "the file ends before storage %.60s",
                        key->text);
    uint64_t count = fkp_load64(reader->data + reader->at);
    reader->at += 8;
    if (count != storage->count)
        return fkp_fail(reader->error, FACEKP_ERROR_FORMAT,
                        "storage %.60s: %llu elements at its data, %llu in the pickle", key->text,
                        (unsigned long long)count, (unsigned long long)storage->count);
    size_t bytes = 0;
    facekp_status status = fkp_storage_bytes(storage, &bytes, reader->error);
    if (status != FACEKP_OK) return status;
    if (!fkp_range_inside(reader->at, bytes, reader->size))
        return fkp_fail(reader->error, FACEKP_ERROR_TRUNCATED, "the file ends inside storage %.60s",
                        key->text);
    storage->data = reader->data + reader->at;
    reader->at += bytes;
    return FACEKP_OK;
}

static facekp_status read_storages(legacy_reader *reader, const fkp_value *keys) {
    if (keys->kind != FKP_VALUE_LIST)
        return fkp_fail(reader->error, FACEKP_ERROR_FORMAT, "the list of storages is missing");
    for (size_t i = 0; i < keys->count; i++) {
        facekp_status status = read_storage(reader, keys->items[i]);
        if (status != FACEKP_OK) return status;
    }
    for (size_t i = 0; i < reader->table.count; i++) {
        fkp_storage *view = &reader->table.storages[i];
        if (view->root != NULL && view->root->data != NULL)
            view->data = view->root->data + (size_t)view->offset * fkp_dtype_bytes(view->dtype);
    }
    return FACEKP_OK;
}

static facekp_status read_checkpoint(legacy_reader *reader, fkp_weights *weights, fkp_error *error) {
    fkp_value *root, *keys;
    facekp_status status = fkp_storage_table_begin(&reader->table, &reader->arena, error);
    if (status == FACEKP_OK) status = check_preamble(reader);
    if (status == FACEKP_OK) status = next_pickle(reader, load_storage, &root);
    if (status == FACEKP_OK) status = next_pickle(reader, NULL, &keys);
    if (status == FACEKP_OK) status = read_storages(reader, keys);
    return status == FACEKP_OK ? fkp_checkpoint_add(weights, root, error) : status;
}

facekp_status fkp_torch_legacy_read(fkp_weights *weights, fkp_error *error) {
    legacy_reader reader = {.data = weights->data, .size = weights->size, .error = error};
    fkp_arena_begin(&reader.arena, &weights->memory, FKP_PICKLE_BYTES);
    facekp_status status = read_checkpoint(&reader, weights, error);
    fkp_arena_free(&reader.arena);
    return status;
}
