/* PyTorch's zip container (1.6 on): entries <prefix>/data.pkl, <prefix>/data/<key>, <prefix>/byteorder,
 * stored as they are. The central directory is believed; local headers are read only to find where the data
 * begins. Formats: PKWARE APPNOTE.TXT 6.3.9, with ZIP64 and data descriptors. Checksums are not compared:
 * PyTorch can be told to write none (torch.serialization.set_crc32_options). */
#include <string.h>

#include "base/checked.h"
#include "base/sort.h"
#include "weights/torch.h"

#define END_BYTES 22
#define END64_BYTES 56
#define LOCATOR64_BYTES 20
#define CENTRAL_BYTES 46
#define LOCAL_BYTES 30
#define MOST_COMMENT 65535
#define MOST_ENTRIES 16384

enum {
    SIGNATURE_LOCAL = 0x04034b50,
    SIGNATURE_CENTRAL = 0x02014b50,
    SIGNATURE_END = 0x06054b50,
    SIGNATURE_END64 = 0x06064b50,
    SIGNATURE_LOCATOR64 = 0x07064b50
};

typedef struct zip_entry {
    const char *name; /* in the file, not terminated */
    size_t name_length;
    unsigned method, flags;
    uint64_t compressed, size;
    uint64_t local; /* offset of the local header */
    uint64_t begin; /* offset of the data */
} zip_entry;

typedef struct zip_archive {
    const uint8_t *data;
    size_t size;
    zip_entry *entries; /* sorted by name once they are checked */
    uint32_t *by_name;
    size_t count;
    uint64_t directory, directory_size;
    fkp_error *error;
} zip_archive;

bool fkp_is_torch_zip(const uint8_t *data, size_t size) {
    return size >= 4 && fkp_load32(data) == SIGNATURE_LOCAL;
}

static facekp_status damaged(const zip_archive *zip, const char *what, uint64_t where) {
    return fkp_fail(zip->error, FACEKP_ERROR_FORMAT, "zip: %s at byte %llu", what, (unsigned long long)where);
}

/* ---- the directory ---- */

/* The end record lies before a comment of any length, so it is searched from the end. */
static facekp_status find_end(const zip_archive *zip, size_t *end) {
    size_t searched = fkp_min_size(zip->size, END_BYTES + MOST_COMMENT);
    for (size_t back = END_BYTES; back <= searched; back++) {
        const uint8_t *record = zip->data + zip->size - back;
        if (fkp_load32(record) == SIGNATURE_END && fkp_load16(record + 20) <= back - END_BYTES) {
            *end = zip->size - back;
            return FACEKP_OK;
        }
    }
    return fkp_fail(zip->error, FACEKP_ERROR_TRUNCATED,
                    "zip: the directory at the end is missing; the file is cut");
}

/* The ZIP64 end record, if a locator before the end record says so. */
static facekp_status find_end64(const zip_archive *zip, size_t end, const uint8_t **record) {
    *record = NULL;
    if (end < LOCATOR64_BYTES) return FACEKP_OK;
    const uint8_t *locator = zip->data + end - LOCATOR64_BYTES;
    if (fkp_load32(locator) != SIGNATURE_LOCATOR64) return FACEKP_OK;
    uint64_t offset = fkp_load64(locator + 8);
    if (!fkp_range_inside(offset, END64_BYTES, end) || fkp_load32(zip->data + offset) != SIGNATURE_END64)
        return damaged(zip, "no ZIP64 directory", offset);
    *record = zip->data + offset;
    return FACEKP_OK;
}

static facekp_status find_directory(zip_archive *zip) {
    size_t end = 0;
    const uint8_t *record64;
    facekp_status status = find_end(zip, &end);
    if (status == FACEKP_OK) status = find_end64(zip, end, &record64);
    if (status != FACEKP_OK) return status;
    const uint8_t *record = zip->data + end;
    uint64_t count = fkp_load16(record + 10);
    zip->directory_size = fkp_load32(record + 12);
    zip->directory = fkp_load32(record + 16);
    if (record64 != NULL) {
        count = fkp_load64(record64 + 32);
        zip->directory_size = fkp_load64(record64 + 40);
        zip->directory = fkp_load64(record64 + 48);
    }
    if (!fkp_range_inside(zip->directory, zip->directory_size, end))
        return damaged(zip, "a directory outside the file", zip->directory);
    if (count > MOST_ENTRIES)
        return fkp_fail(zip->error, FACEKP_ERROR_LIMIT, "zip: %llu entries; at most %d are read",
                        (unsigned long long)count, MOST_ENTRIES);
    if (count > zip->directory_size / CENTRAL_BYTES)
        return damaged(zip, "a directory too small for its entries", zip->directory);
    zip->count = (size_t)count;
    return FACEKP_OK;
}

/* The ZIP64 extra field holds, in this order, those of size, compressed size and offset that are all ones in
 * the entry itself. False if it is missing or too short. */
static bool read_extra64(zip_entry *entry, const uint8_t *extra, size_t size) {
    uint64_t *const fields[] = {&entry->size, &entry->compressed, &entry->local};
    bool needed = false;
    for (int i = 0; i < 3; i++) needed |= *fields[i] == UINT32_MAX;
    if (!needed) return true;
    while (size >= 4) {
        size_t length = fkp_load16(extra + 2);
        if (length > size - 4) return false;
        if (fkp_load16(extra) == 1) {
            const uint8_t *at = extra + 4, *end = extra + 4 + length;
            for (int i = 0; i < 3; i++) {
                if (*fields[i] != UINT32_MAX) continue;
                if (end - at < 8) return false;
                *fields[i] = fkp_load64(at);
                at += 8;
            }
            return true;
        }
        extra += 4 + length;
        size -= 4 + length;
    }
    return false;
}

static facekp_status read_entry(const zip_archive *zip, uint64_t *at, zip_entry *entry) {
    uint64_t end = zip->directory + zip->directory_size;
    const uint8_t *record = zip->data + *at;
    if (!fkp_range_inside(*at, CENTRAL_BYTES, end) || fkp_load32(record) != SIGNATURE_CENTRAL)
        return damaged(zip, "no directory entry", *at);
    size_t name = fkp_load16(record + 28), extra = fkp_load16(record + 30), comment = fkp_load16(record + 32);
    if (!fkp_range_inside(*at + CENTRAL_BYTES, name + extra + comment, end))
        return damaged(zip, "a directory entry that is too long", *at);
    *entry = (zip_entry){.name = (const char *)record + CENTRAL_BYTES,
                         .name_length = name,
                         .flags = fkp_load16(record + 8),
                         .method = fkp_load16(record + 10),
                         .compressed = fkp_load32(record + 20),
                         .size = fkp_load32(record + 24),
                         .local = fkp_load32(record + 42)};
    if (!read_extra64(entry, record + CENTRAL_BYTES + name, extra))
        return damaged(zip, "a ZIP64 entry without its sizes", *at);
    *at += CENTRAL_BYTES + name + extra + comment;
    return FACEKP_OK;
}

/* Where the data begins: behind the local header, whose name and extra field may be longer than the
 * directory's (PyTorch pads with them). */
static facekp_status find_data(const zip_archive *zip, zip_entry *entry) {
    const uint8_t *record = zip->data + entry->local;
    if (!fkp_range_inside(entry->local, LOCAL_BYTES, zip->directory) || fkp_load32(record) != SIGNATURE_LOCAL)
        return damaged(zip, "no local header", entry->local);
    uint64_t header = LOCAL_BYTES + (uint64_t)fkp_load16(record + 26) + fkp_load16(record + 28);
    entry->begin = entry->local + header;
    if (fkp_load16(record + 26) != entry->name_length ||
        !fkp_range_inside(entry->local, header, zip->directory) ||
        memcmp(record + LOCAL_BYTES, entry->name, entry->name_length) != 0)
        return damaged(zip, "a local header of another name than the directory's", entry->local);
    if (!fkp_range_inside(entry->begin, entry->compressed, zip->directory))
        return damaged(zip, "an entry that reaches outside the file", entry->local);
    return FACEKP_OK;
}

static int compare_places(const void *context, uint32_t a, uint32_t b) {
    const zip_entry *entries = context;
    return entries[a].local < entries[b].local ? -1 : entries[a].local > entries[b].local;
}

static int compare_text(const char *a, size_t a_length, const char *b, size_t b_length) {
    int order = memcmp(a, b, fkp_min_size(a_length, b_length));
    return order != 0 ? order : a_length < b_length ? -1 : a_length > b_length;
}

static int compare_names(const void *context, uint32_t a, uint32_t b) {
    const zip_entry *entries = context;
    return compare_text(entries[a].name, entries[a].name_length, entries[b].name, entries[b].name_length);
}

/* Entries that share bytes are how a small file pretends to be a large one. */
static facekp_status check_overlap(zip_archive *zip) {
    fkp_sort(zip->by_name, zip->count, compare_places, zip->entries);
    for (size_t i = 1; i < zip->count; i++) {
        const zip_entry *before = &zip->entries[zip->by_name[i - 1]], *after = &zip->entries[zip->by_name[i]];
        if (before->begin + before->compressed > after->local)
            return damaged(zip, "an entry that overlaps the one before it", after->local);
    }
    return FACEKP_OK;
}

static facekp_status check_names(zip_archive *zip) {
    fkp_sort(zip->by_name, zip->count, compare_names, zip->entries);
    for (size_t i = 1; i < zip->count; i++)
        if (compare_names(zip->entries, zip->by_name[i - 1], zip->by_name[i]) == 0)
            return damaged(zip, "a second entry of one name", zip->entries[zip->by_name[i]].local);
    return FACEKP_OK;
}

static facekp_status read_directory(zip_archive *zip, fkp_arena *arena) {
    facekp_status status = find_directory(zip);
    if (status != FACEKP_OK) return status;
    zip->entries = fkp_arena_allocate(arena, zip->count, sizeof *zip->entries);
    zip->by_name = fkp_arena_allocate(arena, zip->count, sizeof *zip->by_name);
    if (zip->entries == NULL || zip->by_name == NULL)
        return fkp_arena_failure(arena, "the directory of a zip file", zip->error);
    uint64_t at = zip->directory;
    for (size_t i = 0; i < zip->count && status == FACEKP_OK; i++) {
        zip->by_name[i] = (uint32_t)i;
        status = read_entry(zip, &at, &zip->entries[i]);
        if (status == FACEKP_OK) status = find_data(zip, &zip->entries[i]);
    }
    if (status == FACEKP_OK) status = check_overlap(zip);
    return status == FACEKP_OK ? check_names(zip) : status;
}

/* ---- entries ---- */

/* The entry called prefix + name; NULL if there is none. */
static const zip_entry *find_entry(const zip_archive *zip, const char *prefix, size_t prefix_length,
                                   const char *name) {
    size_t name_length = strlen(name), low = 0, high = zip->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const zip_entry *entry = &zip->entries[zip->by_name[middle]];
        size_t shared = fkp_min_size(entry->name_length, prefix_length);
        int order = compare_text(entry->name, shared, prefix, prefix_length);
        if (order == 0)
            order = compare_text(entry->name + shared, entry->name_length - shared, name, name_length);
        if (order == 0) return entry;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static facekp_status entry_bytes(const zip_archive *zip, const zip_entry *entry, const uint8_t **bytes,
                                 size_t *size) {
    if (entry->method != 0 || (entry->flags & 1) != 0)
        return fkp_fail(zip->error, FACEKP_ERROR_UNSUPPORTED,
                        "zip: %.*s is compressed or encrypted; PyTorch stores entries as they are",
                        (int)fkp_min_size(entry->name_length, 100), entry->name);
    if (entry->size != entry->compressed) return damaged(zip, "a stored entry of two sizes", entry->local);
    *bytes = zip->data + entry->begin;
    *size = (size_t)entry->size;
    return FACEKP_OK;
}

/* ---- the checkpoint ---- */

typedef struct zip_reader {
    fkp_arena arena;
    zip_archive zip;
    fkp_storage_table table;
    const char *prefix; /* in the file, with its slash */
    size_t prefix_length;
} zip_reader;

/* <prefix>/data.pkl; of several the one whose name is shortest. */
static const zip_entry *find_pickle(zip_reader *reader) {
    static const char name[] = "data.pkl";
    const size_t length = sizeof name - 1;
    const zip_entry *found = NULL;
    for (size_t i = 0; i < reader->zip.count; i++) {
        const zip_entry *entry = &reader->zip.entries[i];
        if (entry->name_length <= length || (found != NULL && entry->name_length >= found->name_length) ||
            memcmp(entry->name + entry->name_length - length, name, length) != 0 ||
            entry->name[entry->name_length - length - 1] != '/')
            continue;
        found = entry;
        reader->prefix = entry->name;
        reader->prefix_length = entry->name_length - length;
    }
    return found;
}

static facekp_status locate_storage(zip_reader *reader, fkp_storage *storage) {
    static const char folder[] = "data/";
    char name[sizeof folder + 64];
    size_t bytes = 0, size = 0;
    fkp_error *error = reader->zip.error;
    facekp_status status = fkp_storage_bytes(storage, &bytes, error);
    if (status != FACEKP_OK) return status;
    if (strlen(storage->key) > 64)
        return fkp_fail(error, FACEKP_ERROR_LIMIT, "a storage's key is longer than 64 bytes");
    memcpy(name, folder, sizeof folder - 1);
    strcpy(name + sizeof folder - 1, storage->key);
    const zip_entry *entry = find_entry(&reader->zip, reader->prefix, reader->prefix_length, name);
    if (entry == NULL)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "zip: storage %s is not in the file", storage->key);
    status = entry_bytes(&reader->zip, entry, &storage->data, &size);
    if (status != FACEKP_OK) return status;
    if (size < bytes)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "zip: storage %s has %zu bytes, the pickle says %zu",
                        storage->key, size, bytes);
    return FACEKP_OK;
}

static facekp_status load_storage(void *user, const fkp_value *id, fkp_value **value, fkp_error *error) {
    zip_reader *reader = user;
    fkp_storage storage;
    bool known = false;
    facekp_status status = fkp_parse_storage_id(id, &storage, &known, error);
    if (status != FACEKP_OK || !known)
        return status != FACEKP_OK ? status : fkp_storage_value(&reader->arena, NULL, value, error);
    fkp_storage *found = fkp_storage_find(&reader->table, storage.key);
    if (found == NULL) {
        status = locate_storage(reader, &storage);
        if (status == FACEKP_OK) status = fkp_storage_add(&reader->table, &storage, &found, error);
        if (status != FACEKP_OK) return status;
    }
    if (found->dtype != storage.dtype || found->count != storage.count)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "storage %.60s is described in two ways", storage.key);
    return fkp_storage_value(&reader->arena, found, value, error);
}

static facekp_status check_byte_order(zip_reader *reader) {
    const zip_entry *entry = find_entry(&reader->zip, reader->prefix, reader->prefix_length, "byteorder");
    const uint8_t *bytes;
    size_t size = 0;
    if (entry == NULL) return FACEKP_OK;
    facekp_status status = entry_bytes(&reader->zip, entry, &bytes, &size);
    if (status != FACEKP_OK) return status;
    if (size == 6 && memcmp(bytes, "little", 6) == 0) return FACEKP_OK;
    return fkp_fail(reader->zip.error, FACEKP_ERROR_UNSUPPORTED, "the numbers are not little-endian");
}

static facekp_status read_checkpoint(zip_reader *reader, fkp_weights *weights, fkp_error *error) {
    const uint8_t *bytes = NULL;
    size_t size = 0, used;
    fkp_value *root;
    facekp_status status = read_directory(&reader->zip, &reader->arena);
    if (status != FACEKP_OK) return status;
    const zip_entry *pickle = find_pickle(reader);
    if (pickle == NULL)
        return fkp_fail(error, FACEKP_ERROR_FORMAT, "a zip file without data.pkl: no PyTorch checkpoint");
    status = check_byte_order(reader);
    if (status == FACEKP_OK) status = entry_bytes(&reader->zip, pickle, &bytes, &size);
    if (status == FACEKP_OK) status = fkp_storage_table_begin(&reader->table, &reader->arena, error);
    if (status == FACEKP_OK)
        status = fkp_unpickle(&reader->arena, bytes, size, load_storage, reader, &root, &used, error);
    return status == FACEKP_OK ? fkp_checkpoint_add(weights, root, error) : status;
}

facekp_status fkp_torch_zip_read(fkp_weights *weights, fkp_error *error) {
    zip_reader reader = {.zip = {.data = weights->data, .size = weights->size, .error = error}};
    fkp_arena_begin(&reader.arena, &weights->memory, FKP_PICKLE_BYTES);
    facekp_status status = read_checkpoint(&reader, weights, error);
    fkp_arena_free(&reader.arena);
    return status;
}
