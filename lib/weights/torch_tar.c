/* PyTorch's oldest container, a tar (torchvision's resnet18-5c106cde.pth is one). Members: `sys_info`;
 * `storages` (a count; then per storage a pickle (key, location, type), an i64 count and the elements; then a
 * pickled list of views (key, root key, offset, count)); `tensors` (a count; then per tensor a pickle (key,
 * storage key, type), an i32 rank, 4 bytes, i64 sizes, strides and offset); `pickle`: the object, whose
 * persistent ids are keys of tensors. Keys are integers, in `pickle` often spelled as text. */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "weights/torch.h"

#define BLOCK 512
#define KEY_BYTES 24

typedef struct tar_member {
    const char *name;
    const uint8_t *data; /* NULL: not there */
    size_t size;
} tar_member;

enum { SYSTEM, STORAGES, TENSORS, PICKLE, MEMBERS };

typedef struct named_tensor {
    const char *key;
    fkp_value *value;
} named_tensor;

typedef struct tar_reader {
    fkp_arena arena;
    tar_member members[MEMBERS];
    const uint8_t *data; /* of the member being read */
    size_t size, at;
    fkp_storage_table table;
    named_tensor *tensors;
    size_t tensor_count;
    fkp_error *error;
} tar_reader;

bool fkp_is_torch_tar(const uint8_t *data, size_t size) {
    return size >= BLOCK && memcmp(data + 257, "ustar", 5) == 0;
}

/* ---- members ---- */

/* A size in octal, ended by NUL or space, or, with the first bit set, in base 256. */
static bool read_size(const uint8_t *field, uint64_t *size) {
    *size = 0;
    if ((field[0] & 0x80) != 0) {
        if ((field[0] & 0x7f) != 0 || field[1] != 0 || field[2] != 0 || field[3] != 0) return false;
        for (int i = 4; i < 12; i++) *size = *size << 8 | field[i];
        return true;
    }
    int i = 0;
    while (i < 12 && field[i] == ' ') i++;
    int first = i;
    for (; i < 12 && field[i] >= '0' && field[i] <= '7'; i++) *size = *size << 3 | (uint64_t)(field[i] - '0');
    return i > first && (i == 12 || field[i] == '\0' || field[i] == ' ');
}

/* The sum of the header's bytes, its own field counted as spaces. */
static bool checksum_agrees(const uint8_t *header) {
    uint64_t written;
    uint8_t field[12] = {'0', '0', '0', '0'};
    unsigned sum = 0;
    memcpy(field + 4, header + 148, 8);
    if (field[4] == ' ') field[4] = '0';
    for (int i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? ' ' : header[i];
    return read_size(field, &written) && written == sum;
}

static facekp_status note_member(tar_reader *reader, const uint8_t *header, const uint8_t *data,
                                 size_t size) {
    char type = (char)header[156];
    for (size_t i = 0; i < MEMBERS; i++) {
        tar_member *member = &reader->members[i];
        if (strncmp((const char *)header, member->name, 100) != 0) continue;
        if (type != '0' && type != '\0')
            return fkp_fail(reader->error, FACEKP_ERROR_FORMAT, "tar: %s is a link, or no file",
                            member->name);
        if (member->data != NULL)
            return fkp_fail(reader->error, FACEKP_ERROR_FORMAT, "tar: %s is there twice", member->name);
        member->data = data;
        member->size = size;
    }
    return FACEKP_OK;
}

static bool empty_block(const uint8_t *block) {
    for (int i = 0; i < BLOCK; i++)
        if (block[i] != 0) return false;
    return true;
}

static facekp_status find_members(tar_reader *reader, const uint8_t *data, size_t size) {
    size_t at = 0;
    while (size - at >= BLOCK && !empty_block(data + at)) {
        const uint8_t *header = data + at;
        uint64_t length;
        if (memcmp(header + 257, "ustar", 5) != 0 || !checksum_agrees(header) ||
            !read_size(header + 124, &length))
            return fkp_fail(reader->error, FACEKP_ERROR_FORMAT, "tar: a damaged header at byte %zu", at);
        at += BLOCK;
        if (length > size - at)
            return fkp_fail(reader->error, FACEKP_ERROR_TRUNCATED,
                            "tar: %.100s claims %llu bytes, but the file has only %zu more",
                            (const char *)header, (unsigned long long)length, size - at);
        facekp_status status = note_member(reader, header, data + at, (size_t)length);
        if (status != FACEKP_OK) return status;
        size_t padded = fkp_divide_up((size_t)length, BLOCK) * BLOCK;
        at += fkp_min_size(padded, size - at);
    }
    for (size_t i = STORAGES; i < MEMBERS; i++)
        if (reader->members[i].data == NULL)
            return fkp_fail(reader->error, FACEKP_ERROR_TRUNCATED,
                            "tar: %s is missing: the file is cut, or no PyTorch checkpoint",
                            reader->members[i].name);
    return FACEKP_OK;
}

/* ---- reading a member ---- */

static void enter(tar_reader *reader, int which) {
    reader->data = reader->members[which].data;
    reader->size = reader->members[which].size;
    reader->at = 0;
}

static facekp_status next_pickle(tar_reader *reader, fkp_persistent_load load, fkp_value **value) {
    size_t used = 0;
    facekp_status status = fkp_unpickle(&reader->arena, reader->data + reader->at, reader->size - reader->at,
                                        load, reader, value, &used, reader->error);
    reader->at += used;
    return status;
}

static facekp_status take(tar_reader *reader, size_t size, const uint8_t **bytes) {
    if (!fkp_range_inside(reader->at, size, reader->size))
        return fkp_fail(reader->error, FACEKP_ERROR_TRUNCATED, "tar: a member ends too early");
    *bytes = reader->data + reader->at;
    reader->at += size;
    return FACEKP_OK;
}

static facekp_status no_form(const tar_reader *reader, const char *what) {
    return fkp_fail(reader->error, FACEKP_ERROR_FORMAT, "tar: %s is described in no known way", what);
}

static facekp_status next_count(tar_reader *reader, size_t most, size_t *count) {
    fkp_value *value;
    facekp_status status = next_pickle(reader, NULL, &value);
    if (status != FACEKP_OK) return status;
    if (value->kind != FKP_VALUE_INTEGER || value->integer < 0) return no_form(reader, "a count");
    if ((uint64_t)value->integer > most)
        return fkp_fail(reader->error, FACEKP_ERROR_LIMIT, "tar: %lld storages or tensors; at most %zu",
                        (long long)value->integer, most);
    *count = (size_t)value->integer;
    return FACEKP_OK;
}

/* A key as text; NULL if the value is none. `room` holds the digits of an integer. */
static const char *key_text(const fkp_value *value, char room[KEY_BYTES]) {
    if (value->kind == FKP_VALUE_STRING && strlen(value->text) == value->length) return value->text;
    if (value->kind != FKP_VALUE_INTEGER) return NULL;
    snprintf(room, KEY_BYTES, "%lld", (long long)value->integer);
    return room;
}

/* ---- storages ---- */

static facekp_status add_storage(tar_reader *reader, const char *key, fkp_storage *storage) {
    fkp_storage *added;
    if (fkp_storage_find(&reader->table, key) != NULL)
        return fkp_fail(reader->error, FACEKP_ERROR_FORMAT, "tar: storage %.60s is there twice", key);
    storage->key = fkp_arena_copy(&reader->arena, key, strlen(key));
    if (storage->key == NULL) return fkp_arena_failure(&reader->arena, "a storage's key", reader->error);
    return fkp_storage_add(&reader->table, storage, &added, reader->error);
}

static facekp_status read_storage(tar_reader *reader) {
    fkp_value *about;
    fkp_storage storage = {0};
    char room[KEY_BYTES];
    facekp_status status = next_pickle(reader, NULL, &about);
    if (status != FACEKP_OK) return status;
    const char *key =
        about->kind == FKP_VALUE_TUPLE && about->count == 3 ? key_text(about->items[0], room) : NULL;
    if (key == NULL || about->items[2]->kind != FKP_VALUE_GLOBAL) return no_form(reader, "a storage");
    if (!fkp_storage_dtype(about->items[2], &storage.dtype))
        return fkp_fail(reader->error, FACEKP_ERROR_UNSUPPORTED, "tar: storage %.60s: elements of type %.60s",
                        key, about->items[2]->text);
    const uint8_t *count = NULL;
    size_t bytes = 0;
    status = take(reader, 8, &count);
    if (status != FACEKP_OK) return status;
    storage.key = key;
    storage.count = fkp_load64(count);
    status = fkp_storage_bytes(&storage, &bytes, reader->error);
    if (status == FACEKP_OK) status = take(reader, bytes, &storage.data);
    return status == FACEKP_OK ? add_storage(reader, key, &storage) : status;
}

static facekp_status read_view(tar_reader *reader, const fkp_value *about) {
    char room[KEY_BYTES], root_room[KEY_BYTES];
    if (about->kind != FKP_VALUE_TUPLE || about->count != 4 || about->items[2]->kind != FKP_VALUE_INTEGER ||
        about->items[3]->kind != FKP_VALUE_INTEGER || about->items[2]->integer < 0 ||
        about->items[3]->integer < 0)
        return no_form(reader, "a part of a storage");
    const char *key = key_text(about->items[0], room), *root_key = key_text(about->items[1], root_room);
    if (key == NULL || root_key == NULL) return no_form(reader, "a part of a storage");
    const fkp_storage *root = fkp_storage_find(&reader->table, root_key);
    uint64_t offset = (uint64_t)about->items[2]->integer, count = (uint64_t)about->items[3]->integer;
    if (root == NULL || !fkp_range_inside(offset, count, root->count))
        return fkp_fail(reader->error, FACEKP_ERROR_FORMAT, "tar: a part of storage %.60s lies outside it",
                        root_key);
    fkp_storage view = {.dtype = root->dtype, .count = count};
    view.data = root->data + (size_t)offset * fkp_dtype_bytes(root->dtype);
    return add_storage(reader, key, &view);
}

static facekp_status read_storages(tar_reader *reader) {
    size_t count = 0;
    fkp_value *views;
    enter(reader, STORAGES);
    facekp_status status = next_count(reader, FKP_MAX_STORAGES, &count);
    for (size_t i = 0; i < count && status == FACEKP_OK; i++) status = read_storage(reader);
    if (status == FACEKP_OK) status = next_pickle(reader, NULL, &views);
    if (status != FACEKP_OK) return status;
    if (views->kind != FKP_VALUE_LIST) return no_form(reader, "the list of parts");
    for (size_t i = 0; i < views->count && status == FACEKP_OK; i++)
        status = read_view(reader, views->items[i]);
    return status;
}

/* ---- tensors ---- */

/* rank, 4 bytes, sizes, strides, offset. */
static facekp_status read_layout(tar_reader *reader, const fkp_storage *storage, fkp_value **value) {
    const uint8_t *bytes = NULL;
    facekp_status status = take(reader, 8, &bytes);
    if (status != FACEKP_OK) return status;
    uint32_t rank = fkp_load32(bytes);
    if (rank > FKP_MAX_RANK)
        return fkp_fail(reader->error, FACEKP_ERROR_LIMIT, "tar: a tensor of %u dimensions; at most %d",
                        (unsigned)rank, FKP_MAX_RANK);
    status = take(reader, 16 * (size_t)rank + 8, &bytes);
    if (status != FACEKP_OK) return status;
    int64_t sizes[FKP_MAX_RANK], strides[FKP_MAX_RANK];
    for (size_t i = 0; i < rank; i++) {
        sizes[i] = (int64_t)fkp_load64(bytes + 8 * i);
        strides[i] = (int64_t)fkp_load64(bytes + 8 * (rank + i));
    }
    return fkp_value_tensor(&reader->arena, storage, (int64_t)fkp_load64(bytes + 16 * (size_t)rank), rank,
                            sizes, strides, value, reader->error);
}

static const named_tensor *find_tensor(const tar_reader *reader, const char *key) {
    for (size_t i = 0; i < reader->tensor_count; i++)
        if (strcmp(reader->tensors[i].key, key) == 0) return &reader->tensors[i];
    return NULL;
}

static facekp_status read_tensor(tar_reader *reader) {
    fkp_value *about, *value = NULL;
    char room[KEY_BYTES], storage_room[KEY_BYTES];
    facekp_status status = next_pickle(reader, NULL, &about);
    if (status != FACEKP_OK) return status;
    if (about->kind != FKP_VALUE_TUPLE || about->count != 3) return no_form(reader, "a tensor");
    const char *key = key_text(about->items[0], room), *storage_key = key_text(about->items[1], storage_room);
    if (key == NULL || storage_key == NULL) return no_form(reader, "a tensor");
    const fkp_storage *storage = fkp_storage_find(&reader->table, storage_key);
    if (storage == NULL || find_tensor(reader, key) != NULL)
        return fkp_fail(reader->error, FACEKP_ERROR_FORMAT,
                        "tar: tensor %.60s is there twice, or without its storage", key);
    status = read_layout(reader, storage, &value);
    if (status != FACEKP_OK) return status;
    named_tensor *added = &reader->tensors[reader->tensor_count];
    *added = (named_tensor){fkp_arena_copy(&reader->arena, key, strlen(key)), value};
    if (added->key == NULL) return fkp_arena_failure(&reader->arena, "a tensor's key", reader->error);
    reader->tensor_count++;
    return FACEKP_OK;
}

static facekp_status read_tensors(tar_reader *reader) {
    size_t count = 0;
    enter(reader, TENSORS);
    facekp_status status = next_count(reader, FKP_MAX_TENSORS, &count);
    if (status != FACEKP_OK) return status;
    reader->tensors = fkp_arena_allocate(&reader->arena, count, sizeof *reader->tensors);
    if (reader->tensors == NULL)
        return fkp_arena_failure(&reader->arena, "the list of tensors", reader->error);
    for (size_t i = 0; i < count && status == FACEKP_OK; i++) status = read_tensor(reader);
    return status;
}

/* ---- the object ---- */

static facekp_status load_tensor(void *user, const fkp_value *id, fkp_value **value, fkp_error *error) {
    tar_reader *reader = user;
    char room[KEY_BYTES];
    const char *key = key_text(id, room);
    const named_tensor *found = key == NULL ? NULL : find_tensor(reader, key);
    if (found != NULL) {
        *value = found->value;
        return FACEKP_OK;
    }
    if (key == NULL)
        return fkp_storage_value(&reader->arena, NULL, value, error); /* a class and its source */
    return fkp_fail(error, FACEKP_ERROR_FORMAT, "tar: tensor %.60s is not in the file", key);
}

static facekp_status check_byte_order(tar_reader *reader) {
    fkp_value *system;
    if (reader->members[SYSTEM].data == NULL) return FACEKP_OK;
    enter(reader, SYSTEM);
    facekp_status status = next_pickle(reader, NULL, &system);
    if (status != FACEKP_OK) return status;
    const fkp_value *little = fkp_dict_find(system, "little_endian");
    if (little != NULL && (little->kind != FKP_VALUE_BOOLEAN || little->integer != 1))
        return fkp_fail(reader->error, FACEKP_ERROR_UNSUPPORTED, "the numbers are not little-endian");
    return FACEKP_OK;
}

static facekp_status read_checkpoint(tar_reader *reader, fkp_weights *weights, fkp_error *error) {
    fkp_value *root;
    facekp_status status = find_members(reader, weights->data, weights->size);
    if (status == FACEKP_OK) status = check_byte_order(reader);
    if (status == FACEKP_OK) status = fkp_storage_table_begin(&reader->table, &reader->arena, error);
    if (status == FACEKP_OK) status = read_storages(reader);
    if (status == FACEKP_OK) status = read_tensors(reader);
    if (status != FACEKP_OK) return status;
    enter(reader, PICKLE);
    status = next_pickle(reader, load_tensor, &root);
    return status == FACEKP_OK ? fkp_checkpoint_add(weights, root, error) : status;
}

facekp_status fkp_torch_tar_read(fkp_weights *weights, fkp_error *error) {
    tar_reader reader = {
        .members = {{"sys_info", NULL, 0}, {"storages", NULL, 0}, {"tensors", NULL, 0}, {"pickle", NULL, 0}},
        .error = error};
    fkp_arena_begin(&reader.arena, &weights->memory, FKP_PICKLE_BYTES);
    facekp_status status = read_checkpoint(&reader, weights, error);
    fkp_arena_free(&reader.arena);
    return status;
}
