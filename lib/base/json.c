#include "base/json.h"

#include <string.h>

#include "base/checked.h"
#include "base/sort.h"

struct fkp_json {
    fkp_memory memory;
    fkp_json_value *values;
    size_t capacity, count;
    char *pool; /* every decoded string and spelled number, each terminated */
    size_t pool_size;
    uint32_t *members; /* every value with a key, sorted by parent and key */
    size_t member_count;
};

typedef struct json_reader {
    fkp_json *json;
    const char *text;
    size_t size, at, pool_used;
    fkp_error *error;
} json_reader;

static facekp_status bad(json_reader *reader, const char *what) {
    return fkp_fail(reader->error, FACEKP_ERROR_FORMAT, "JSON: %s at byte %zu", what, reader->at);
}

/* -1 at the end. */
static int peek(const json_reader *reader) {
    return reader->at < reader->size ? (unsigned char)reader->text[reader->at] : -1;
}

static bool take(json_reader *reader, int character) {
    if (peek(reader) != character) return false;
    reader->at++;
    return true;
}

static void skip_space(json_reader *reader) {
    int c;
    while ((c = peek(reader)) == ' ' || c == '\n' || c == '\r' || c == '\t') reader->at++;
}

/* Sequences as table 3-7 of the Unicode Standard allows them: no overlong form, no surrogate, nothing above
 * U+10FFFF. */
size_t fkp_utf8_sequence(const char *text, size_t size) {
    if (size == 0) return 0;
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80) return 1;
    size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || size < length) return 0;
    unsigned low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < low || s[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if (s[i] < 0x80 || s[i] > 0xbf) return 0;
    return length;
}

static size_t encode_utf8(uint32_t code, char *out) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(lead[length] | code);
    return length;
}

static bool read_hex4(json_reader *reader, uint32_t *code) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        int c = peek(reader);
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            digit = (uint32_t)(c - 'A' + 10);
        else
            return false;
        value = value * 16 + digit;
        reader->at++;
    }
    *code = value;
    return true;
}

/* After "\u": one code point, from one escape or a pair of surrogates. */
static facekp_status read_unicode_escape(json_reader *reader, uint32_t *code) {
    uint32_t low;
    if (!read_hex4(reader, code)) return bad(reader, "bad \\u escape");
    if (*code == 0) return bad(reader, "NUL in a string");
    if (*code < 0xd800 || *code > 0xdfff) return FACEKP_OK;
    if (*code > 0xdbff || !take(reader, '\\') || !take(reader, 'u') || !read_hex4(reader, &low) ||
        low < 0xdc00 || low > 0xdfff)
        return bad(reader, "unpaired surrogate");
    *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
    return FACEKP_OK;
}

static facekp_status read_escape(json_reader *reader) {
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    char *out = reader->json->pool + reader->pool_used;
    if (take(reader, 'u')) {
        uint32_t code = 0;
        facekp_status status = read_unicode_escape(reader, &code);
        if (status == FACEKP_OK) reader->pool_used += encode_utf8(code, out);
        return status;
    }
    int c = peek(reader);
    const char *letter = c > 0 ? strchr(letters, c) : NULL;
    if (letter == NULL) return bad(reader, "unknown escape");
    *out = meanings[letter - letters];
    reader->pool_used++;
    reader->at++;
    return FACEKP_OK;
}

/* A string is never longer decoded than spelled, and its terminator takes the place of a quote, so the pool
 * of the text's size plus one always has room. */
static facekp_status read_string(json_reader *reader, const char **result) {
    if (!take(reader, '"')) return bad(reader, "expected a string");
    const char *start = reader->json->pool + reader->pool_used;
    while (!take(reader, '"')) {
        int c = peek(reader);
        if (c < 0) return bad(reader, "unfinished string");
        if (c < 0x20) return bad(reader, "control character in a string");
        if (take(reader, '\\')) {
            facekp_status status = read_escape(reader);
            if (status != FACEKP_OK) return status;
            continue;
        }
        size_t length = fkp_utf8_sequence(reader->text + reader->at, reader->size - reader->at);
        if (length == 0) return bad(reader, "invalid UTF-8");
        memcpy(reader->json->pool + reader->pool_used, reader->text + reader->at, length);
        reader->pool_used += length;
        reader->at += length;
    }
    reader->json->pool[reader->pool_used++] = '\0';
    *result = start;
    return FACEKP_OK;
}

static size_t skip_digits(json_reader *reader) {
    size_t start = reader->at;
    while (peek(reader) >= '0' && peek(reader) <= '9') reader->at++;
    return reader->at - start;
}

static facekp_status read_number(json_reader *reader, const char **result) {
    size_t start = reader->at;
    take(reader, '-');
    if (!take(reader, '0') && skip_digits(reader) == 0) return bad(reader, "expected a value");
    if (take(reader, '.') && skip_digits(reader) == 0) return bad(reader, "digits missing after the point");
    if (take(reader, 'e') || take(reader, 'E')) {
        if (!take(reader, '+')) take(reader, '-');
        if (skip_digits(reader) == 0) return bad(reader, "digits missing in the exponent");
    }
    char *out = reader->json->pool + reader->pool_used;
    memcpy(out, reader->text + start, reader->at - start);
    out[reader->at - start] = '\0';
    reader->pool_used += reader->at - start + 1;
    *result = out;
    return FACEKP_OK;
}

static bool take_word(json_reader *reader, const char *word) {
    size_t length = strlen(word);
    if (reader->size - reader->at < length || memcmp(reader->text + reader->at, word, length) != 0)
        return false;
    reader->at += length;
    return true;
}

static facekp_status read_value(json_reader *reader, uint32_t parent, const char *key, unsigned depth,
                                uint32_t *result);

/* The rest of an array or object whose bracket has been taken. */
static facekp_status read_container(json_reader *reader, uint32_t self, unsigned depth) {
    fkp_json_value *container = &reader->json->values[self];
    bool object = container->kind == FKP_JSON_OBJECT;
    int closing = object ? '}' : ']';
    uint32_t previous = 0;
    if (depth == FKP_JSON_DEPTH)
        return fkp_fail(reader->error, FACEKP_ERROR_LIMIT, "JSON: nested deeper than %d at byte %zu",
                        FKP_JSON_DEPTH, reader->at);
    skip_space(reader);
    if (take(reader, closing)) return FACEKP_OK;
    do {
        const char *key = NULL;
        uint32_t child;
        skip_space(reader);
        facekp_status status = object ? read_string(reader, &key) : FACEKP_OK;
        if (status != FACEKP_OK) return status;
        if (object) {
            skip_space(reader);
            if (!take(reader, ':')) return bad(reader, "expected a colon");
        }
        status = read_value(reader, self, key, depth + 1, &child);
        if (status != FACEKP_OK) return status;
        if (previous == 0)
            container->first = child;
        else
            reader->json->values[previous].next = child;
        previous = child;
        container->count++;
        skip_space(reader);
    } while (take(reader, ','));
    return take(reader, closing) ? FACEKP_OK : bad(reader, "expected a comma or the closing bracket");
}

static facekp_status read_value(json_reader *reader, uint32_t parent, const char *key, unsigned depth,
                                uint32_t *result) {
    fkp_json *json = reader->json;
    skip_space(reader);
    if (json->count == json->capacity)
        return fkp_fail(reader->error, FACEKP_ERROR_LIMIT, "JSON: more than %d values at byte %zu",
                        FKP_JSON_VALUES, reader->at);
    *result = (uint32_t)json->count;
    fkp_json_value *value = &json->values[json->count++];
    value->parent = parent;
    value->key = key;
    if (take(reader, '{')) {
        value->kind = FKP_JSON_OBJECT;
        return read_container(reader, *result, depth);
    }
    if (take(reader, '[')) {
        value->kind = FKP_JSON_ARRAY;
        return read_container(reader, *result, depth);
    }
    if (peek(reader) == '"') {
        value->kind = FKP_JSON_STRING;
        return read_string(reader, &value->text);
    }
    static const char *const words[] = {"null", "false", "true"};
    for (int i = 0; i < 3; i++)
        if (take_word(reader, words[i])) {
            value->kind = (fkp_json_kind)(FKP_JSON_NULL + i);
            return FACEKP_OK;
        }
    value->kind = FKP_JSON_NUMBER;
    return read_number(reader, &value->text);
}

static int compare_members(const void *context, uint32_t a, uint32_t b) {
    const fkp_json_value *values = context;
    if (values[a].parent != values[b].parent) return values[a].parent < values[b].parent ? -1 : 1;
    return strcmp(values[a].key, values[b].key);
}

static facekp_status index_members(fkp_json *json, fkp_error *error) {
    json->members = fkp_allocate(&json->memory, json->count, sizeof *json->members);
    if (json->members == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "JSON: no memory for its keys");
    for (size_t i = 0; i < json->count; i++)
        if (json->values[i].key != NULL) json->members[json->member_count++] = (uint32_t)i;
    fkp_sort(json->members, json->member_count, compare_members, json->values);
    for (size_t i = 1; i < json->member_count; i++)
        if (compare_members(json->values, json->members[i - 1], json->members[i]) == 0)
            return fkp_fail(error, FACEKP_ERROR_FORMAT, "JSON: the key \"%.200s\" stands twice in one object",
                            json->values[json->members[i]].key);
    return FACEKP_OK;
}

/* Every value but the root comes after a comma or an opening bracket, which bounds their number. */
static size_t most_values(const char *text, size_t size) {
    size_t most = 1;
    for (size_t i = 0; i < size && most < FKP_JSON_VALUES; i++)
        most += text[i] == ',' || text[i] == '[' || text[i] == '{';
    return most;
}

static facekp_status read_document(fkp_json *json, const char *text, size_t size, fkp_error *error) {
    json->capacity = most_values(text, size);
    json->values = fkp_allocate(&json->memory, json->capacity, sizeof *json->values);
    if (!fkp_checked_add(size, 1, &json->pool_size)) json->pool_size = 0;
    json->pool = fkp_allocate_raw(&json->memory, json->pool_size, 1);
    if (json->values == NULL || json->pool == NULL)
        return fkp_fail(error, FACEKP_ERROR_MEMORY, "JSON: no memory for %zu bytes of text", size);
    json_reader reader = {json, text, size, 0, 0, error};
    uint32_t root;
    facekp_status status = read_value(&reader, 0, NULL, 0, &root);
    if (status != FACEKP_OK) return status;
    skip_space(&reader);
    if (reader.at != size) return bad(&reader, "something follows the document");
    return index_members(json, error);
}

facekp_status fkp_json_parse(const fkp_memory *memory, const char *text, size_t size, fkp_json **result,
                             fkp_error *error) {
    *result = NULL;
    fkp_json *json = fkp_allocate(memory, 1, sizeof *json);
    if (json == NULL) return fkp_fail(error, FACEKP_ERROR_MEMORY, "JSON: no memory to read it");
    json->memory = *memory;
    facekp_status status = read_document(json, text, size, error);
    if (status != FACEKP_OK) {
        fkp_json_free(json);
        return status;
    }
    *result = json;
    return FACEKP_OK;
}

void fkp_json_free(fkp_json *json) {
    if (json == NULL) return;
    fkp_memory memory = json->memory;
    fkp_release(&memory, json->members, json->count, sizeof *json->members);
    fkp_release(&memory, json->values, json->capacity, sizeof *json->values);
    fkp_release(&memory, json->pool, json->pool_size, 1);
    fkp_release(&memory, json, 1, sizeof *json);
}

const fkp_json_value *fkp_json_root(const fkp_json *json) { return &json->values[0]; }

const fkp_json_value *fkp_json_first(const fkp_json *json, const fkp_json_value *container) {
    return container->first == 0 ? NULL : &json->values[container->first];
}

const fkp_json_value *fkp_json_next(const fkp_json *json, const fkp_json_value *value) {
    return value->next == 0 ? NULL : &json->values[value->next];
}

const fkp_json_value *fkp_json_find(const fkp_json *json, const fkp_json_value *object, const char *key) {
    if (object->kind != FKP_JSON_OBJECT) return NULL;
    uint32_t parent = (uint32_t)(object - json->values);
    size_t low = 0, high = json->member_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const fkp_json_value *value = &json->values[json->members[middle]];
        int order = value->parent != parent ? (value->parent < parent ? -1 : 1) : strcmp(value->key, key);
        if (order == 0) return value;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool fkp_json_unsigned(const fkp_json_value *value, uint64_t *result) {
    if (value == NULL || value->kind != FKP_JSON_NUMBER) return false;
    uint64_t number = 0;
    for (const char *c = value->text; *c != '\0'; c++) {
        if (*c < '0' || *c > '9') return false;
        uint64_t digit = (uint64_t)(*c - '0');
        if (number > (UINT64_MAX - digit) / 10) return false;
        number = number * 10 + digit;
    }
    *result = number;
    return true;
}
